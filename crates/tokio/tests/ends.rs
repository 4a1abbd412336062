//! Descriptors and threads after the end of a runner are the same as before. This test has its own process, because
//! it counts those of the whole process.

#![cfg(target_os = "linux")]

use asyncio::Runner;
use asyncio_tokio::RunnerExt;
use std::{fs, time::Duration};

/// The descriptors and threads of this process.
fn counts() -> (usize, usize) {
    let of = |what| fs::read_dir(format!("/proc/self/{what}")).unwrap().count();
    (of("fd"), of("task"))
}

fn run() {
    Runner::new()
        .tokio(true)
        .with(|runner| {
            runner.run(async {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
                drop(asyncio_tokio::spawn(async move { listener.accept().await.map(drop) }));
                tokio::spawn(std::future::pending::<()>());
                tokio::task::spawn_blocking(|| ()).await?;
                tokio::time::sleep(Duration::from_millis(1)).await;
                assert!(counts().1 > 2);
                asyncio::to_thread(|| ()).await
            })
        })
        .unwrap();
}

#[test]
fn descriptors_and_threads_are_back_to_what_they_were() {
    // With its feature `signal`, tokio's first runtime opens a pair of sockets for the whole process.
    run();
    let before = counts();
    for _ in 0..3 {
        run();
        assert_eq!(counts(), before);
    }
}
