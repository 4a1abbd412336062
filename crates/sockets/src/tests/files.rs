//! Files that are sent over a socket.

use super::*;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::{
    fs::File,
    future::poll_fn,
    io::{Read, Seek, SeekFrom, Write},
    os::fd::AsFd,
    path::PathBuf,
    pin::Pin,
};

/// Creates a file with `data`, which no longer has a name.
fn file(data: &[u8]) -> File {
    static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let name = format!("asyncio-sendfile-{}-{number}", std::process::id());
    let path: PathBuf = std::env::temp_dir().join(name);
    let mut file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
    std::fs::remove_file(path).unwrap();
    file.write_all(data).unwrap();
    file
}

/// More than sockets buffer.
fn data() -> Vec<u8> {
    (0..12_000_000u32).map(|n| (n / 7) as u8).collect()
}

fn position(mut file: &File) -> u64 {
    file.stream_position().unwrap()
}

/// Creates a pipe with `data` in it: a file that the system cannot send, because it has no offsets.
fn pipe(data: &[u8]) -> File {
    let (reader, writer) = nix::unistd::pipe().unwrap();
    File::from(writer).write_all(data).unwrap();
    reader.into()
}

/// Receives everything that arrives at `socket` until the end.
fn receive_all(socket: &Rc<Socket>) -> Task<Vec<u8>> {
    let socket = socket.clone();
    create_task(async move {
        let mut all = Vec::new();
        loop {
            let data = sock_recv(&socket, 1 << 20).await?;
            if data.is_empty() {
                return Ok(all);
            }
            all.extend_from_slice(&data);
        }
    })
}

#[test]
fn a_file_arrives_whole_and_its_position_is_behind_it() {
    run(async {
        let (ours, theirs) = connection().await?;
        let data = data();
        let file = file(&data);
        let receiving = receive_all(&theirs);
        assert_eq!(sock_sendfile(&ours, &file).fallback(false).await?, data.len() as u64);
        assert_eq!(position(&file), data.len() as u64);
        drop(ours);
        assert!(receiving.await? == data);
        Ok(())
    });
}

#[test]
fn a_part_of_a_file() {
    run(async {
        let (ours, theirs) = pair();
        let file = file(b"0123456789");
        assert_eq!(sock_sendfile(&ours, &file).offset(2).count(5).await?, 5);
        assert_eq!(position(&file), 7);
        assert_eq!(sock_sendfile(&ours, &file).offset(8).count(5).await?, 2, "there is no more");
        assert_eq!(position(&file), 10);
        assert_eq!(sock_sendfile(&ours, &file).offset(20).await?, 0);
        assert_eq!(position(&file), 20, "even if nothing was sent");
        assert_eq!(sock_recv(&theirs, 100).await?, "2345689");
        Ok(())
    });
}

#[test]
fn an_empty_file_is_nothing() {
    run(async {
        let (ours, _theirs) = pair();
        assert_eq!(sock_sendfile(&ours, &file(b"")).await?, 0);
        assert_eq!(sock_sendfile(&ours, &pipe(b"")).await?, 0);
        Ok(())
    });
}

#[test]
fn what_the_system_cannot_send_is_read_by_a_thread() {
    run(async {
        let (ours, theirs) = pair();
        let receiving = receive_all(&theirs);
        let error = sock_sendfile(&ours, &pipe(b"x")).fallback(false).await.unwrap_err();
        assert!(matches!(error, Error::SendfileNotAvailable(_)), "{error:?}");
        assert!(error.to_string().starts_with("sock_sendfile: sendfile failed: "), "{error}");
        assert_eq!(sock_sendfile(&ours, &pipe(b"hello ")).await?, 6);
        assert_eq!(sock_sendfile(&ours, &pipe(b"world and more")).count(5).await?, 5);
        drop(ours);
        assert_eq!(receiving.await?, b"hello world");
        Ok(())
    });
}

#[test]
fn the_fallback_sends_the_same_and_leaves_the_same_position() {
    run(async {
        let (ours, theirs) = pair();
        let data = data();
        let file = file(&data);
        let receiving = receive_all(&theirs);
        let mut sending = sock_sendfile(&ours, &file).offset(1).count(9_000_000);
        sending.pretend_unavailable();
        assert_eq!((&mut sending).await?, 9_000_000);
        assert_eq!(position(&file), 9_000_001);
        drop(sending);
        drop(ours);
        assert!(receiving.await? == data[1..9_000_001]);
        Ok(())
    });
}

#[test]
#[cfg(target_os = "linux")]
fn the_fallback_reads_a_block_at_a_time() {
    run(async {
        let (ours, _theirs) = pair();
        // A socket that does not take a whole block, so that there is no second.
        ours.source.get_ref().set_send_buffer_size(4096)?;
        let (reader, writer) = nix::unistd::pipe()?;
        nix::fcntl::fcntl(&writer, nix::fcntl::FcntlArg::F_SETPIPE_SZ(1 << 20))?;
        File::from(writer).write_all(&[7; 600_000])?;
        let mut file = File::from(reader);
        let mut sending = sock_sendfile(&ours, &file);
        poll_fn(|cx| {
            assert!(Pin::new(&mut sending).poll(cx).is_pending());
            if sending.sent() > 0 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        drop(sending);
        let mut rest = Vec::new();
        file.read_to_end(&mut rest)?;
        assert_eq!(600_000 - rest.len(), SENDFILE_FALLBACK_READBUFFER_SIZE);
        assert_eq!(SENDFILE_FALLBACK_READBUFFER_SIZE, 256 * 1024);
        Ok(())
    });
}

#[test]
fn what_makes_no_sense_is_an_error() {
    run(async {
        let (ours, _theirs) = pair();
        let file = file(b"x");
        let error = sock_sendfile(&ours, &file).count(0).await.unwrap_err();
        assert_eq!(error.to_string(), "sock_sendfile: count must be a positive integer (got 0)");
        let error = sock_sendfile(&ours, &file).offset(u64::MAX).await.unwrap_err();
        assert!(matches!(error, Error::Value(_)), "{error:?}");
        let (datagrams, _other) = Socket::pair(Domain::UNIX, Type::DGRAM, None)?;
        let error = sock_sendfile(&datagrams, &file).await.unwrap_err();
        let text = "sock_sendfile: only SOCK_STREAM type sockets are supported";
        assert_eq!(error.to_string(), text);
        assert_eq!(position(&file), 1, "it was not touched");
        let write_only = File::options().write(true).open("/dev/null")?;
        let error = sock_sendfile(&ours, &write_only).await.unwrap_err();
        assert!(error.to_string().starts_with("sock_sendfile: "), "{error}");
        Ok(())
    });
}

#[test]
fn an_error_after_a_part_is_the_real_one() {
    for is_native in [true, false] {
        run(async move {
            let (ours, theirs) = connection().await?;
            let data = data();
            let file = file(&data);
            let receiver = create_task(async move { sock_recv(&theirs, 1024).await.map(drop) });
            let mut sending = sock_sendfile(&ours, &file);
            if !is_native {
                sending.pretend_unavailable();
            }
            let error = (&mut sending).await.unwrap_err();
            assert!(matches!(
                kind(Err::<(), _>(error)),
                io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
            ));
            let sent = sending.sent();
            assert!(0 < sent && sent < data.len() as u64);
            assert_eq!(position(&file), sent);
            receiver.await
        });
    }
}

#[test]
fn a_cancelled_one_says_how_much_went_and_goes_on_there() {
    for is_native in [true, false] {
        run(async move {
            let (ours, theirs) = pair();
            let data = data();
            let contents = file(&data);
            let copy = contents.try_clone()?;
            let (sender, seen) = (ours.clone(), Rc::new(std::cell::Cell::new(0)));
            let report = seen.clone();
            let task = create_task(async move {
                let mut sending = sock_sendfile(&sender, &copy);
                if !is_native {
                    sending.pretend_unavailable();
                }
                assert!((&mut sending).await.unwrap_err().is_cancelled());
                report.set(sending.sent());
                (&mut sending).await
            });
            // Until the socket is full.
            while task.wait_site().is_none() || !is_full(&ours) {
                sleep(YIELD).await?;
            }
            task.cancel();
            while seen.get() == 0 {
                sleep(YIELD).await?;
            }
            let sent = seen.get();
            assert_eq!(position(&contents), sent);
            let receiving = receive_all(&theirs);
            assert_eq!(task.await?, data.len() as u64);
            drop(ours);
            assert!(receiving.await? == data);
            Ok(())
        });
    }
}

/// Whether it takes nothing more.
fn is_full(socket: &Socket) -> bool {
    let mut asked = [PollFd::new(socket.as_fd(), PollFlags::POLLOUT)];
    poll(&mut asked, PollTimeout::ZERO).unwrap() == 0
}

#[test]
fn a_dropped_one_leaves_the_position_behind_what_went() {
    run(async {
        let (ours, mut theirs) = std::os::unix::net::UnixStream::pair()?;
        let ours = Socket::try_from(ours)?;
        let data = data();
        let file = file(&data);
        let mut sending = sock_sendfile(&ours, &file);
        poll_fn(|cx| {
            assert!(Pin::new(&mut sending).poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        let sent = sending.sent();
        assert!(sent > 0);
        (&file).seek(SeekFrom::Start(3))?;
        drop(sending);
        assert_eq!(position(&file), sent);
        drop(ours);
        let mut all = Vec::new();
        theirs.read_to_end(&mut all)?;
        assert!(all == data[..all.len()] && all.len() as u64 == sent);
        Ok(())
    });
}

#[test]
fn the_file_may_be_closed_meanwhile_and_the_future_sent() {
    fn check<T: Send>(of: T) -> T {
        of
    }
    run(async {
        let (ours, theirs) = pair();
        let data = data();
        let file = file(&data);
        let sending = check(sock_sendfile(&ours, &file.as_fd()));
        drop(file);
        let receiving = receive_all(&theirs);
        assert_eq!(sending.await?, data.len() as u64);
        drop(ours);
        assert!(receiving.await? == data);
        Ok(())
    });
}

#[test]
fn a_large_file_does_not_keep_others_waiting() {
    run_step_by_step(async {
        let (ours, mut theirs) = std::os::unix::net::UnixStream::pair()?;
        let ours = Socket::try_from(ours)?;
        let file = file(b"");
        file.set_len(1 << 30)?;
        let reader = std::thread::spawn(move || {
            let mut buffer = vec![0; 1 << 20];
            while theirs.read(&mut buffer).is_ok_and(|n| n > 0) {}
        });
        let task = create_task(async move { sock_sendfile(&ours, &file).count(40 << 20).await });
        let mut iterations = 0;
        while !task.done() {
            sleep(YIELD).await?;
            iterations += 1;
        }
        assert_eq!(task.await?, 40 << 20);
        assert!(iterations >= 10, "{iterations}");
        reader.join().unwrap();
        Ok(())
    });
}
