//! Pipes, terminals and the pipes of other processes.

use super::*;
use crate::testing::*;
use asyncio_task::{create_task, sleep};
use nix::{libc, pty::openpty};
use std::{
    io::{Read, Write},
    os::{fd::AsRawFd, unix::net::UnixStream},
    process::{Command, Stdio},
    time::Duration,
};

mod modes;

/// Creates a pipe: the reading and the writing end.
fn pipe() -> (File, File) {
    let (reader, writer) = nix::unistd::pipe().unwrap();
    (reader.into(), writer.into())
}

async fn read_pipe(recorder: Recorder, pipe: impl Into<OwnedFd>) -> Result<Transport> {
    let (transport, _) = connect_read_pipe(|| recorder, pipe).await?;
    Ok(transport)
}

async fn write_pipe(recorder: Recorder, pipe: impl Into<OwnedFd>) -> Result<Transport> {
    let (transport, _) = connect_write_pipe(|| recorder, pipe).await?;
    Ok(transport)
}

#[test]
fn a_read_pipe_is_made_and_read_to_its_end() {
    run(async {
        let log = Log::default();
        let (reader, mut writer) = pipe();
        writer.write_all(b"before ")?;
        let protocol = || Recorder::new(&log).staying_open();
        let (transport, protocol) = connect_read_pipe(protocol, reader).await?;
        assert!(log.events().starts_with("made"), "it is there when it is given");
        assert!(Rc::ptr_eq(&transport.get_protocol::<Recorder>().unwrap(), &protocol));
        writer.write_all(b"and after")?;
        drop(writer);
        log.lost().await?;
        assert_eq!(log.events(), "made data eof lost", "what eof_received says does not matter");
        assert_eq!(log.received(), b"before and after");
        assert!(transport.is_closing() && !transport.is_reading());
        assert!(transport.get_protocol::<Recorder>().is_none());
        Ok(())
    });
}

#[test]
fn the_end_of_a_read_pipe_comes_in_two_steps() {
    run_step_by_step(async {
        let log = Log::default();
        let (reader, writer) = pipe();
        let between = log.clone();
        let recorder = Recorder::new(&log).on("eof", move |transport| {
            assert!(transport.is_closing());
            assert!(transport.get_protocol::<Recorder>().is_some());
            between.add("between");
        });
        let transport = read_pipe(recorder, reader).await?;
        drop(writer);
        transport.write(b"x");
        log.lost().await?;
        assert_eq!(log.events(), "made eof between lost");
        Ok(())
    });
}

#[test]
fn every_kind_of_pipe_is_one_and_is_made_non_blocking_and_closed_in_the_end() {
    run(async {
        let directory = std::env::temp_dir().join(format!("asyncio-fifo-{}", std::process::id()));
        std::fs::create_dir_all(&directory)?;
        let path = directory.join("fifo");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU)?;
        let fifo = File::options().read(true).write(true).open(&path)?;
        let (socket, _other) = UnixStream::pair()?;
        let terminal = openpty(None, None)?;
        let all: [OwnedFd; 3] = [fifo.into(), socket.into(), terminal.master];
        for end in all {
            let log = Log::default();
            let copy = File::from(end.try_clone()?);
            let transport = read_pipe(Recorder::new(&log), end).await?;
            let flags = OFlag::from_bits_retain(fcntl(&copy, FcntlArg::F_GETFL)?);
            assert!(flags.contains(OFlag::O_NONBLOCK));
            transport.close();
            log.lost().await?;
            assert_eq!(log.events(), "made lost");
        }
        std::fs::remove_dir_all(&directory)?;

        let log = Log::default();
        let (reader, mut writer) = pipe();
        let transport = read_pipe(Recorder::new(&log), reader).await?;
        transport.close();
        log.lost().await?;
        iterations(1).await?;
        assert_eq!(writer.write(b"x").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        Ok(())
    });
}

#[test]
fn what_is_no_pipe_is_refused_and_closed() {
    run(async {
        let path = std::env::temp_dir().join(format!("asyncio-file-{}", std::process::id()));
        std::fs::write(&path, "text")?;
        for is_reader in [true, false] {
            let log = Log::default();
            let file = File::open(&path)?;
            let descriptor = file.as_raw_fd();
            let result = match is_reader {
                true => connect_read_pipe(|| Recorder::new(&log), file).await,
                false => connect_write_pipe(|| Recorder::new(&log), file).await,
            };
            let error = result.map(drop).unwrap_err();
            assert!(matches!(error, Error::Value(_)), "{error:?}");
            let name = if is_reader { "connect_read_pipe" } else { "connect_write_pipe" };
            let text = format!("{name}: Pipe transport is for pipes/sockets only.");
            assert_eq!(error.to_string(), text);
            let left = std::fs::read_link(format!("/proc/self/fd/{descriptor}"));
            assert!(left.is_err() || left.is_ok_and(|left| left != path), "closed");
            assert_eq!(log.events(), "");
        }
        std::fs::remove_file(&path)?;
        Ok(())
    });
}

#[test]
fn without_a_loop_it_is_an_error() {
    let (reader, _writer) = pipe();
    let log = Log::default();
    let mut connecting = connect_read_pipe(|| Recorder::new(&log), reader);
    let mut cx = Context::from_waker(std::task::Waker::noop());
    let polled = std::future::Future::poll(Pin::new(&mut connecting), &mut cx);
    let Poll::Ready(Err(error)) = polled else { panic!("it waits without a loop") };
    assert_eq!(error.to_string(), "connect_read_pipe: no running event loop");
    let polled = std::future::Future::poll(Pin::new(&mut connecting), &mut cx);
    assert!(matches!(polled, Poll::Ready(Err(Error::Runtime(_)))));
}

#[test]
fn the_transport_alone_can_be_made_by_a_future_that_is_sent() {
    fn check<T: Send>(of: T) -> T {
        of
    }
    struct Ignore;
    impl crate::Protocol for Ignore {
        fn data_received(&mut self, _: &Transport, _: bytes::Bytes) {}
    }
    run(async {
        let (reader, writer) = pipe();
        let transport = check(connect_read_pipe(|| Ignore, reader).transport()).await?;
        assert!(transport.is_reading());
        let other = check(connect_write_pipe(|| Ignore, writer).transport()).await?;
        other.close();
        Ok(())
    });
}

#[test]
fn a_cancelled_or_dropped_attempt_closes_the_pipe() {
    run_step_by_step(async {
        let (reader, mut writer) = pipe();
        drop(connect_read_pipe(Recorder::default, reader));
        assert_eq!(writer.write(b"x").unwrap_err().kind(), io::ErrorKind::BrokenPipe);

        let log = Log::default();
        let (reader, mut writer) = pipe();
        let recorder = Recorder::new(&log);
        let task = create_task(connect_read_pipe(|| recorder, reader));
        sleep(Duration::ZERO).await?;
        let site = task.wait_site().unwrap();
        assert_eq!((site.what(), site.location().file()), ("connect_read_pipe", file!()));
        task.cancel();
        assert!(task.await.map(drop).unwrap_err().is_cancelled());
        log.lost().await?;
        assert_eq!(log.events(), "made lost");
        iterations(1).await?;
        assert_eq!(writer.write(b"x").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        Ok(())
    });
}

#[test]
fn a_read_pipe_cannot_be_written_to() {
    run(async {
        let log = Log::default();
        log.watch_handler()?;
        let (reader, _writer) = pipe();
        let transport = read_pipe(Recorder::new(&log), reader).await?;
        transport.write(b"x");
        transport.write_eof();
        assert!(!transport.is_closing() && !transport.can_write_eof());
        let text = "made handler: transport.write() failed: Cannot call write() of a read pipe";
        assert_eq!(log.events(), text);
        Ok(())
    });
}

#[test]
fn a_paused_read_pipe_goes_on_where_it_was() {
    run_step_by_step(async {
        let log = Log::default();
        let (reader, mut writer) = pipe();
        let recorder = Recorder::new(&log).on("made", Transport::pause_reading);
        let transport = read_pipe(recorder, reader).await?;
        writer.write_all(b"one ")?;
        iterations(5).await?;
        drop(writer);
        iterations(5).await?;
        assert_eq!(log.events(), "made");
        transport.resume_reading();
        log.lost().await?;
        assert_eq!(log.events(), "made data eof lost");
        Ok(())
    });
}

/// In a terminal, a read returns one line, however many there are: a short read does not mean that
/// nothing is left.
#[test]
fn all_lines_of_a_terminal_arrive_and_its_end_is_no_error_for_the_handler() {
    run(async {
        let log = Log::default();
        log.watch_handler()?;
        let terminal = openpty(None, None)?;
        File::from(terminal.master.try_clone()?).write_all(b"one\ntwo\nthree\n")?;
        let transport = read_pipe(Recorder::new(&log), terminal.slave).await?;
        log.until(|log| log.received() == b"one\ntwo\nthree\n").await?;
        transport.close();
        log.lost().await?;

        let log = Log::default();
        log.watch_handler()?;
        let terminal = openpty(None, None)?;
        let _transport = read_pipe(Recorder::new(&log), terminal.master).await?;
        File::from(terminal.slave).write_all(b"last words")?;
        log.lost().await?;
        let end = io::Error::from_raw_os_error(libc::EIO).kind();
        assert_eq!(log.events(), format!("made data lost:{end:?}"));
        assert_eq!(log.received(), b"last words");
        Ok(())
    });
}

#[test]
fn another_error_of_a_read_pipe_is_reported() {
    run(async {
        let log = Log::default();
        log.watch_handler()?;
        let (ours, theirs) = tcp_pair();
        let _transport = read_pipe(Recorder::new(&log), ours).await?;
        socket2::SockRef::from(&theirs).set_linger(Some(Duration::ZERO))?;
        drop(theirs);
        log.lost().await?;
        let reset = io::Error::from_raw_os_error(libc::ECONNRESET);
        let report = format!("handler: Fatal read error on pipe transport: {reset}");
        assert_eq!(log.events(), format!("made {report} lost:ConnectionReset"));
        Ok(())
    });
}

#[test]
fn a_write_pipe_says_when_its_reader_is_gone() {
    // The loop polls for I/O in every iteration, so the initial readiness is known by then.
    run_step_by_step(async {
        let log = Log::default();
        let (reader, writer) = pipe();
        let transport = write_pipe(Recorder::new(&log), writer).await?;
        transport.write(b"seen");
        drop(reader);
        log.lost().await?;
        assert_eq!(log.events(), "made lost", "nothing was buffered");
        assert!(transport.is_closing());

        let log = Log::default();
        let (reader, writer) = UnixStream::pair()?;
        let transport = write_pipe(Recorder::new(&log), writer).await?;
        transport.write(vec![0; 1 << 20]);
        assert!(transport.get_write_buffer_size() > 0);
        iterations(5).await?;
        drop(reader);
        log.lost().await?;
        assert_eq!(log.events(), "made pause lost:BrokenPipe", "with something buffered");
        Ok(())
    });
}

#[test]
fn closing_or_ending_a_write_pipe_sends_what_is_buffered_and_no_more() {
    for end in [Transport::close, Transport::write_eof] {
        run(async move {
            let log = Log::default();
            let (reader, writer) = pipe();
            let transport = write_pipe(Recorder::new(&log), writer).await?;
            let data: Vec<u8> = (0..500_000u32).map(|n| n as u8).collect();
            transport.write(&data);
            end(&transport);
            end(&transport);
            assert!(transport.is_closing());
            transport.write(b"too late");
            iterations(5).await?;
            assert_eq!(log.events(), "made pause", "not before all is sent");
            assert!(read_all(reader).all().await? == data);
            log.lost().await?;
            assert_eq!(log.events(), "made pause resume lost");
            Ok(())
        });
    }
}

#[test]
fn aborting_a_write_pipe_drops_what_is_buffered() {
    run(async {
        let log = Log::default();
        let (reader, writer) = pipe();
        let transport = write_pipe(Recorder::new(&log), writer).await?;
        transport.write(vec![7; 500_000]);
        transport.abort();
        assert_eq!(transport.get_write_buffer_size(), 0);
        log.lost().await?;
        assert_eq!(log.events(), "made pause lost");
        let length = read_all(reader).all().await?.len();
        assert!(0 < length && length < 500_000, "{length}");
        Ok(())
    });
}

#[test]
fn the_water_marks_of_a_write_pipe_hold() {
    run(async {
        let log = Log::default();
        let (mut reader, writer) = pipe();
        let filled = {
            set_nonblocking(&writer, true)?;
            fill(&writer)
        };
        let transport = write_pipe(Recorder::new(&log), writer).await?;
        transport.set_write_buffer_limits(Some(100), Some(10))?;
        transport.write([b'x'; 100]);
        assert_eq!(log.events(), "made", "as much as allowed");
        transport.write([b'y'; 1]);
        assert_eq!(log.events(), "made pause");
        assert_eq!(transport.get_write_buffer_size(), 101);
        reader.read_exact(&mut vec![0; filled])?;
        log.wait("resume").await?;
        let mut rest = [0; 101];
        reader.read_exact(&mut rest)?;
        assert_eq!(rest[99..], *b"xy");
        assert_eq!(log.events(), "made pause resume");
        Ok(())
    });
}

#[test]
fn a_device_that_cannot_be_waited_for_can_be_written_to() {
    run(async {
        let log = Log::default();
        log.watch_handler()?;
        let file = File::options().write(true).open("/dev/null")?;
        let transport = write_pipe(Recorder::new(&log), file).await?;
        transport.write(vec![0; 1 << 20]);
        assert_eq!(transport.get_write_buffer_size(), 0);
        transport.close();
        log.lost().await?;
        assert_eq!(log.events(), "made lost");
        Ok(())
    });
}

#[test]
fn what_is_written_to_a_terminal_arrives() {
    run(async {
        let log = Log::default();
        let terminal = openpty(None, None)?;
        let transport = write_pipe(Recorder::new(&log), terminal.slave).await?;
        let master = read_pipe(Recorder::new(&log), terminal.master).await?;
        // Without a newline, because the terminal turns it into two bytes.
        let data: Vec<u8> = (0..100_000u32).map(|n| b'a' + (n % 26) as u8).collect();
        transport.write(&data);
        log.until(|log| log.received().len() >= data.len()).await?;
        assert!(log.received() == data);
        master.close();
        log.lost().await
    });
}

#[test]
fn pipes_of_another_process() {
    run(async {
        let log = Log::default();
        let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (to, from) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let writing = Log::default();
        let writer = write_pipe(Recorder::new(&writing), to).await?;
        let _reader = read_pipe(Recorder::new(&log), from).await?;
        let data: Vec<u8> = (0..1_000_000u32).map(|n| (n / 3) as u8).collect();
        writer.write(&data);
        writer.write_eof();
        log.lost().await?;
        assert!(log.received() == data);
        assert_eq!(log.events(), "made data eof lost");
        writing.lost().await?;
        assert_eq!(writing.events(), "made pause resume lost");
        assert!(child.wait()?.success());

        let mut child = Command::new("true").stdin(Stdio::piped()).spawn()?;
        let log = Log::default();
        let _writer = write_pipe(Recorder::new(&log), child.stdin.take().unwrap()).await?;
        log.lost().await?;
        assert_eq!(log.events(), "made lost", "it went away");
        child.wait()?;
        Ok(())
    });
}
