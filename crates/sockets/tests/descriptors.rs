//! The descriptors that a loop has open; in a process of its own, where nothing else opens any.
#![cfg(target_os = "linux")]

use asyncio_loop::new_event_loop;
use asyncio_sockets::{Domain, Socket, Type, sock_recv, sock_sendall};

/// Returns the numbers that are open.
fn open() -> Vec<String> {
    let names = std::fs::read_dir("/proc/self/fd").unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_loop_has_three_descriptors_and_closing_it_closes_them() {
    let before = open();
    let event_loop = new_event_loop().unwrap();
    // A poller, its notifier and its timer.
    assert_eq!(open().len(), before.len() + 3);
    event_loop
        .run_until_complete(async {
            let (one, other) = Socket::pair(Domain::UNIX, Type::STREAM, None)?;
            let receiving = asyncio_task::create_task(async move { sock_recv(&one, 8).await });
            asyncio_task::sleep(std::time::Duration::ZERO).await?;
            sock_sendall(&other, b"hello").await?;
            assert_eq!(receiving.await?, "hello");
            Ok(())
        })
        .unwrap();
    assert_eq!(open().len(), before.len() + 3);
    event_loop.close().unwrap();
    assert_eq!(open(), before);
}
