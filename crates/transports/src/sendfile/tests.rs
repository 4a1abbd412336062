//! Files between other writes, and early ends.

use super::*;
use crate::{connect_write_pipe, testing::*};
use asyncio_task::{create_task, sleep};
use std::{
    fs::File,
    io::{Read, Seek, Write},
    os::unix::net::UnixStream,
    time::Duration,
};

/// Creates a file with `data`, which no longer has a name.
fn file(data: &[u8]) -> File {
    static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let name = format!("asyncio-transport-sendfile-{}-{number}", std::process::id());
    let path = std::env::temp_dir().join(name);
    let mut file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
    std::fs::remove_file(path).unwrap();
    file.write_all(data).unwrap();
    file
}

/// More than sockets buffer.
fn data() -> Vec<u8> {
    (0..8_000_000u32).map(|n| (n / 7) as u8).collect()
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

/// Creates a connection, and its other side.
async fn connected(recorder: Recorder) -> Result<(Transport, UnixStream)> {
    let (transport, theirs) = pair(recorder);
    iterations(3).await?;
    Ok((transport, theirs))
}

#[test]
fn a_file_comes_between_what_is_written_before_and_after() {
    run(async {
        let log = Log::default();
        let (transport, theirs) = connected(Recorder::new(&log)).await?;
        let (before, data, after) = (vec![b'<'; 3_000_000], data(), vec![b'>'; 3_000_000]);
        let contents = file(&data);
        transport.write(&before);
        assert!(transport.get_write_buffer_size() > 0);
        let sending = sendfile(&transport, &contents).fallback(false);
        let reading = read_all(theirs);
        assert_eq!(sending.await?, data.len() as u64);
        assert_eq!(position(&contents), data.len() as u64);
        transport.write(&after);
        transport.close();
        assert!(reading.all().await? == [before, data, after].concat());
        Ok(())
    });
}

#[test]
fn what_the_system_cannot_send_is_read_by_a_thread() {
    run(async {
        let log = Log::default();
        let (transport, theirs) = connected(Recorder::new(&log)).await?;
        let error = sendfile(&transport, &pipe(b"x")).fallback(false).await.unwrap_err();
        assert!(matches!(error, Error::SendfileNotAvailable(_)), "{error:?}");
        assert!(error.to_string().starts_with("sendfile: "), "{error}");
        assert!(!transport.is_closing() && transport.is_reading());
        transport.write(b"<");
        let data = vec![b'x'; 50_000];
        assert_eq!(sendfile(&transport, &pipe(&data)).await?, 50_000, "several blocks");
        transport.write(b">");
        transport.close();
        assert!(read_all(theirs).all().await? == [b"<", &data[..], b">"].concat());
        Ok(())
    });
}

#[test]
fn a_part_of_a_file() {
    run(async {
        let (transport, theirs) = connected(Recorder::default()).await?;
        let contents = file(b"0123456789");
        assert_eq!(sendfile(&transport, &contents).offset(2).count(5).await?, 5);
        assert_eq!(position(&contents), 7);
        assert_eq!(sendfile(&transport, &contents).offset(10).await?, 0);
        assert_eq!(position(&contents), 10, "even if nothing was sent");
        assert_eq!(sendfile(&transport, &file(b"")).await?, 0);
        let error = sendfile(&transport, &contents).count(0).await.unwrap_err();
        assert_eq!(error.to_string(), "sendfile: count must be a positive integer (got 0)");
        transport.close();
        assert_eq!(read_all(theirs).all().await?, b"23456");
        Ok(())
    });
}

#[test]
fn meanwhile_other_writes_are_refused_and_nothing_is_read() {
    run(async {
        let log = Log::default();
        log.watch_handler()?;
        let (transport, mut theirs) = connected(Recorder::new(&log)).await?;
        let data = data();
        let contents = file(&data);
        let task = create_task(sendfile(&transport, &contents));
        iterations(3).await?;
        transport.write(b"no");
        transport.writelines([b"no"]);
        let error = sendfile(&transport, &contents).await.unwrap_err();
        assert_eq!(error.to_string(), "unable to sendfile; sendfile is in progress");
        assert!(!transport.is_reading());
        theirs.write_all(b"later")?;
        iterations(5).await?;
        assert_eq!(log.count("data"), 0);
        // It takes effect after the file.
        transport.write_eof();
        let reading = read_all(theirs);
        assert_eq!(task.await?, data.len() as u64);
        assert!(reading.all().await? == data);
        log.wait("data").await?;
        let refused = ["write", "writelines"].map(|what| {
            let error = format!("unable to {what}; sendfile is in progress");
            format!("handler: transport.{what}() failed: {error}")
        });
        assert!(log.events().starts_with(&format!("made {} data", refused.join(" "))));
        Ok(())
    });
}

#[test]
fn one_whose_reading_was_paused_stays_paused() {
    run(async {
        let (transport, _theirs) = connected(Recorder::default()).await?;
        transport.pause_reading();
        assert_eq!(sendfile(&transport, &file(b"x")).await?, 1);
        assert!(!transport.is_reading());
        transport.resume_reading();
        assert_eq!(sendfile(&transport, &file(b"x")).await?, 1);
        assert!(transport.is_reading());
        Ok(())
    });
}

#[test]
fn what_cannot_send_a_file_says_so_and_sends_nothing() {
    run(async {
        let log = Log::default();
        let contents = file(b"text");
        let (transport, theirs) = connected(Recorder::new(&log)).await?;
        transport.close();
        let error = sendfile(&transport, &contents).await.unwrap_err();
        assert_eq!(error.to_string(), "sendfile: Transport is closing");
        assert!(matches!(error, Error::Runtime(_)));
        assert_eq!(read_all(theirs).all().await?, b"");
        assert_eq!(position(&contents), 4);

        let (transport, _theirs) = connected(Recorder::default()).await?;
        transport.write_eof();
        let error = sendfile(&transport, &contents).await.unwrap_err();
        assert_eq!(error.to_string(), "Cannot call sendfile() after write_eof()");

        let (_reader, writer) = nix::unistd::pipe()?;
        let (pipe, _) = connect_write_pipe(Recorder::default, writer).await?;
        let error = sendfile(&pipe, &contents).await.unwrap_err().to_string();
        assert!(error.contains("sendfile is not supported for transport <Transport"), "{error}");
        Ok(())
    });
}

#[test]
fn a_peer_that_goes_away_in_the_middle() {
    for data in [data(), vec![b'p'; 60_000]] {
        run(async move {
            let log = Log::default();
            let (ours, mut theirs) = tcp_pair();
            let transport = connect(ours, Recorder::new(&log).staying_open());
            iterations(3).await?;
            let is_native = data.len() > 100_000;
            let contents = if is_native { file(&data) } else { pipe(&data) };
            let mut sending = sendfile(&transport, &contents);
            if !is_native {
                // The rest does not come before the peer is gone.
                transport.write(vec![b'x'; 8_000_000]);
            }
            let going = create_task(asyncio_task::to_thread(move || {
                theirs.read_exact(&mut [0; 1024]).map(|()| drop(theirs))
            }));
            let error = (&mut sending).await.unwrap_err();
            let Error::Io(error) = &error else { panic!("{error:?}") };
            let broken = [io::ErrorKind::ConnectionReset, io::ErrorKind::BrokenPipe];
            assert!(broken.contains(&error.kind()), "{error:?}");
            assert!(transport.is_closing());
            if is_native {
                assert!(0 < sending.sent() && sending.sent() < data.len() as u64);
                assert_eq!(position(&contents), sending.sent());
            }
            going.await??;
            log.lost().await?;
            assert!(log.events().contains("lost:"), "{}", log.events());
            Ok(())
        });
    }
}

#[test]
fn a_cancelled_one_says_how_much_went_and_leaves_the_connection_as_it_was() {
    run_step_by_step(async {
        let log = Log::default();
        let (transport, theirs) = connected(Recorder::new(&log)).await?;
        let data = data();
        let contents = file(&data);
        let (mine, seen) = (transport.clone(), log.clone());
        let mut sending = sendfile(&mine, &contents);
        let task = create_task(async move {
            assert!((&mut sending).await.unwrap_err().is_cancelled());
            seen.add("cancelled");
            Ok(sending)
        });
        iterations(5).await?;
        assert_eq!(task.wait_site().unwrap().what(), "sendfile");
        assert!(!transport.is_reading());
        task.cancel();
        log.wait("cancelled").await?;
        let mut sending = task.await?;
        let sent = sending.sent();
        assert!(sent > 0 && sent < data.len() as u64 && position(&contents) == sent);
        assert!(transport.is_reading() && !transport.is_closing());
        let reading = read_all(theirs);
        transport.write(b"|");
        assert_eq!((&mut sending).await?, data.len() as u64, "it goes on where it was");
        transport.close();
        let sent = sent as usize;
        assert!(reading.all().await? == [&data[..sent], b"|", &data[sent..]].concat());
        Ok(())
    });
}

#[test]
fn one_that_is_cancelled_or_dropped_while_it_waits_for_the_buffer_lets_others_write() {
    run_step_by_step(async {
        let log = Log::default();
        log.watch_handler()?;
        let (transport, theirs) = connected(Recorder::new(&log)).await?;
        let contents = file(b"never");
        transport.write(vec![b'x'; 3_000_000]);
        let task = create_task(sendfile(&transport, &contents));
        iterations(3).await?;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        transport.write(b"1");
        let mut sending = Box::pin(sendfile(&transport, &contents));
        std::future::poll_fn(|cx| {
            assert!(std::future::Future::poll(sending.as_mut(), cx).is_pending());
            Poll::Ready(())
        })
        .await;
        drop(sending);
        transport.write(b"2");
        transport.close();
        let all = read_all(theirs).all().await?;
        assert_eq!((all.len(), &all[3_000_000..]), (3_000_002, b"12".as_slice()));
        log.lost().await?;
        assert_eq!(log.events(), "made pause resume lost");
        Ok(())
    });
}

#[test]
fn closing_the_transport_ends_it() {
    for (end, is_buffered) in [
        (Transport::close as fn(&Transport), false),
        (Transport::close, true),
        (Transport::abort, false),
        (Transport::abort, true),
    ] {
        run(async move {
            let log = Log::default();
            log.watch_handler()?;
            let (transport, theirs) = connected(Recorder::new(&log)).await?;
            let contents = file(&data());
            if is_buffered {
                transport.write(vec![0; 3_000_000]);
            }
            let task = create_task(sendfile(&transport, &contents));
            iterations(3).await?;
            end(&transport);
            let reading = read_all(theirs);
            let Err(Error::Io(error)) = task.await else { panic!("it goes on") };
            let ended = [io::ErrorKind::ConnectionAborted, io::ErrorKind::ConnectionReset];
            assert!(ended.contains(&error.kind()), "{error:?}");
            log.lost().await?;
            assert!(log.events().ends_with(" lost"), "{}", log.events());
            reading.all().await?;
            Ok(())
        });
    }
}

#[test]
fn the_future_can_be_sent_and_needs_no_file() {
    fn check<T: Send + 'static>(of: T) -> T {
        of
    }
    run(async {
        let (transport, theirs) = connected(Recorder::default()).await?;
        let sending = check(sendfile(&transport, &file(b"text")));
        assert_eq!(sending.await?, 4);
        sleep(Duration::ZERO).await?;
        transport.close();
        assert_eq!(read_all(theirs).all().await?, b"text");
        Ok(())
    });
}
