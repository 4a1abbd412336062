//! Child processes: started, and awaited to their end.

use crate::{
    peers::{Asyncio, Peer, Smol, Tokio},
    workload::{Contestant, Workload},
};
use nix::{spawn, sys::wait};
use std::ffi::CString;

/// The shortest program, given by its path, so that the search in `PATH` is not measured.
const PROGRAM: &str = "/bin/true";
const TEXT: &str = "/bin/echo";
const TIMES: usize = 1_000;

pub(crate) fn workloads() -> Vec<Workload> {
    let limit: (&str, Contestant) = ("posix_spawn", |_| posix_spawn().into());
    vec![
        Workload::new(
            "process",
            "process started and awaited",
            vec![
                (Asyncio::NAME, |_| Asyncio::run(asyncios()).into()),
                (Tokio::NAME, |_| Tokio::run(tokios()).into()),
                (Smol::NAME, |_| Smol::run(smols()).into()),
                limit,
            ],
        )
        .ceiling(0.95)
        .in_python(),
        Workload::new(
            "output",
            "process started, its output read to the end",
            vec![
                (Asyncio::NAME, |_| Asyncio::run(asyncios_output()).into()),
                (Tokio::NAME, |_| Tokio::run(tokios_output()).into()),
                (Smol::NAME, |_| Smol::run(smols_output()).into()),
            ],
        )
        .in_python(),
    ]
}

async fn asyncios() -> usize {
    for _ in 0..TIMES {
        let process = asyncio::create_subprocess_exec(PROGRAM, [""; 0]).await.expect("it starts");
        assert_eq!(process.wait().await.expect("not cancelled"), 0);
    }
    TIMES
}

async fn tokios() -> usize {
    for _ in 0..TIMES {
        let mut process = tokio::process::Command::new(PROGRAM).spawn().expect("it starts");
        assert!(process.wait().await.expect("it ends").success());
    }
    TIMES
}

async fn smols() -> usize {
    for _ in 0..TIMES {
        let mut process = smol::process::Command::new(PROGRAM).spawn().expect("it starts");
        assert!(process.status().await.expect("it ends").success());
    }
    TIMES
}

/// Without a loop, one after the other: the cost of the system calls.
fn posix_spawn() -> usize {
    let text = |text: String| CString::new(text).expect("no zero byte");
    let environment: Vec<CString> =
        std::env::vars().map(|(n, v)| text(format!("{n}={v}"))).collect();
    let program = text(PROGRAM.to_owned());
    let actions = spawn::PosixSpawnFileActions::init().expect("there is memory");
    let attributes = spawn::PosixSpawnAttr::init().expect("there is memory");
    for _ in 0..TIMES {
        let arguments = [&program];
        let pid = spawn::posix_spawn(&*program, &actions, &attributes, &arguments, &environment)
            .expect("it starts");
        let status = wait::waitpid(pid, None).expect("it ends");
        assert_eq!(status, wait::WaitStatus::Exited(pid, 0));
    }
    TIMES
}

async fn asyncios_output() -> usize {
    use asyncio::subprocess::PIPE;
    for _ in 0..TIMES {
        let spawn = asyncio::create_subprocess_exec(TEXT, ["hello"]).stdout(PIPE);
        let output = spawn.await.expect("it starts").communicate(None).await;
        assert_eq!(output.expect("not cancelled").stdout, b"hello\n");
    }
    TIMES
}

async fn tokios_output() -> usize {
    for _ in 0..TIMES {
        let mut command = tokio::process::Command::new(TEXT);
        command.arg("hello").stdout(std::process::Stdio::piped());
        let output = command.spawn().expect("it starts").wait_with_output().await;
        assert_eq!(output.expect("it ends").stdout, b"hello\n");
    }
    TIMES
}

async fn smols_output() -> usize {
    for _ in 0..TIMES {
        let mut command = smol::process::Command::new(TEXT);
        command.arg("hello").stdout(smol::process::Stdio::piped());
        let output = command.spawn().expect("it starts").output().await;
        assert_eq!(output.expect("it ends").stdout, b"hello\n");
    }
    TIMES
}
