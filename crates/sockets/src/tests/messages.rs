//! Messages that carry descriptors.

use super::*;
use asyncio_task::wait_for;
use std::{
    fs::File,
    io::{Read, Seek, Write},
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::PathBuf,
    time::Duration,
};

const NONE: &[File] = &[];

fn pair(kind: Type) -> (Socket, Socket) {
    Socket::pair(Domain::UNIX, kind, None).unwrap()
}

/// Creates an open file that is removed from its directory.
fn file(name: &str) -> File {
    let path: PathBuf =
        std::env::temp_dir().join(format!("asyncio-messages-{name}-{}", std::process::id()));
    let options = File::options().read(true).write(true).create(true).truncate(true).open(&path);
    std::fs::remove_file(path).unwrap();
    options.unwrap()
}

fn is_closed_on_exec(fd: &impl AsFd) -> bool {
    let flags = rustix::io::fcntl_getfd(fd.as_fd()).unwrap();
    flags.contains(rustix::io::FdFlags::CLOEXEC)
}

#[test]
fn descriptors_go_with_a_message_and_are_closed_on_exec() {
    run(async {
        for kind in [Type::STREAM, Type::DGRAM, Type::SEQPACKET] {
            let (ours, theirs) = pair(kind);
            let (mut one, other) = (file("one"), file("other"));
            assert_eq!(sock_sendmsg(&ours, b"two files", &[&one, &other]).await?, 9);
            let message = sock_recvmsg(&theirs, 100, 4).await?;
            assert_eq!(message.data, "two files");
            assert!(!message.is_truncated && !message.lost_fds);
            assert_eq!(message.fds.len(), 2);
            assert!(message.fds.iter().all(is_closed_on_exec));
            // It is the same open file.
            let mut fds = message.fds.into_iter().map(File::from);
            fds.next().unwrap().write_all(b"written").unwrap();
            one.rewind()?;
            let mut text = String::new();
            one.read_to_string(&mut text)?;
            assert_eq!(text, "written");
        }
        Ok(())
    });
}

#[test]
fn a_stream_keeps_messages_with_descriptors_apart() {
    run(async {
        let (ours, theirs) = pair(Type::STREAM);
        sock_sendall(&ours, b"before ").await?;
        sock_sendmsg(&ours, b"with", &[file("apart")]).await?;
        sock_sendall(&ours, b" after").await?;
        let (mut text, mut fds) = (Vec::new(), 0);
        while text.len() < 17 {
            let message = sock_recvmsg(&theirs, 100, 1).await?;
            text.extend_from_slice(&message.data);
            fds += message.fds.len();
        }
        assert_eq!((&*text, fds), (&b"before with after"[..], 1));
        ours.shutdown(std::net::Shutdown::Write)?;
        assert!(sock_recvmsg(&theirs, 100, 1).await?.data.is_empty());
        Ok(())
    });
}

#[test]
fn what_does_not_fit_is_told_and_leaks_no_descriptor() {
    run(async {
        let (ours, theirs) = pair(Type::DGRAM);
        let (read, write) = UnixStream::pair()?;
        // One of three is requested; with alignment, the system may deliver two.
        let fds = [write.as_fd(), write.as_fd(), write.as_fd()];
        sock_sendmsg(&ours, b"longer", &fds).await?;
        let message = sock_recvmsg(&theirs, 4, 1).await?;
        assert_eq!((&*message.data, message.fds.len()), (&b"long"[..], 1));
        assert!(message.is_truncated && message.lost_fds);
        // None is requested.
        sock_sendmsg(&ours, b"x", &fds).await?;
        let none = sock_recvmsg(&theirs, 4, 0).await?;
        assert!(none.fds.is_empty() && none.lost_fds && !none.is_truncated);
        // The pipe ends when its last writer is closed.
        drop((write, message));
        let mut rest = Vec::new();
        { read }.read_to_end(&mut rest)?;
        assert!(rest.is_empty());
        Ok(())
    });
}

#[test]
fn the_sender_of_a_datagram_is_named() {
    run(async {
        let path = std::env::temp_dir().join(format!("asyncio-sender-{}", std::process::id()));
        let ours = Socket::new(Domain::UNIX, Type::DGRAM, None)?;
        let theirs = Socket::new(Domain::UNIX, Type::DGRAM, None)?;
        theirs.bind(path.with_extension("to"))?;
        ours.bind(&*path)?;
        sock_connect(&ours, path.with_extension("to")).await?;
        sock_sendmsg(&ours, b"x", NONE).await?;
        let message = sock_recvmsg(&theirs, 4, 0).await?;
        assert_eq!(message.sender.unwrap().as_path(), Some(&*path));
        std::fs::remove_file(&path)?;
        std::fs::remove_file(path.with_extension("to"))?;

        let (ours, theirs) = pair(Type::DGRAM);
        sock_sendmsg(&ours, b"x", NONE).await?;
        assert!(sock_recvmsg(&theirs, 4, 0).await?.sender.is_none());
        Ok(())
    });
}

#[test]
fn descriptors_without_data_are_refused_on_a_stream_alone() {
    run(async {
        let (ours, _theirs) = pair(Type::STREAM);
        let error = sock_sendmsg(&ours, b"", &[file("empty")]).await.unwrap_err();
        assert_eq!(error.kind(), "ValueError");
        let (ours, theirs) = pair(Type::DGRAM);
        sock_sendmsg(&ours, b"", &[file("empty")]).await?;
        assert_eq!(sock_recvmsg(&theirs, 4, 1).await?.fds.len(), 1);
        Ok(())
    });
}

#[test]
fn a_receive_that_is_cancelled_takes_no_descriptor() {
    run(async {
        let (ours, theirs) = pair(Type::STREAM);
        let late = wait_for(sock_recvmsg(&theirs, 10, 1), Duration::from_millis(1)).await;
        assert_eq!(late.unwrap_err().kind(), "TimeoutError");
        sock_sendmsg(&ours, b"x", &[file("cancelled")]).await?;
        assert_eq!(sock_recvmsg(&theirs, 10, 1).await?.fds.len(), 1);
        Ok(())
    });
}

#[test]
fn an_error_of_the_system_names_the_function() {
    run(async {
        let (ours, theirs) = pair(Type::STREAM);
        drop(theirs);
        let error = sock_sendmsg(&ours, b"x", &[file("broken")]).await.unwrap_err();
        assert!(error.to_string().starts_with("sock_sendmsg: "), "{error}");
        let many: Vec<OwnedFd> =
            (0..300).map(|_| ours.as_fd().try_clone_to_owned()).collect::<std::io::Result<_>>()?;
        assert!(many.iter().all(|fd| fd.as_raw_fd() > 2));
        let (ours, _theirs) = pair(Type::STREAM);
        assert_eq!(sock_sendmsg(&ours, b"x", &many).await.unwrap_err().kind(), "OSError");
        Ok(())
    });
}
