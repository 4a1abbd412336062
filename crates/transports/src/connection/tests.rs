//! Stream connections over real sockets: how they begin and end. Reading, writing and faults have
//! files of their own.

use crate::{
    BufferedProtocol, Protocol, SOCKET, Transport, connection::Connection, extra_info::Names,
    io::Io, protocols::IntoProtocol, testing::*,
};
use asyncio_core::{Error, Result};
use asyncio_future::Future;
use asyncio_loop::get_running_loop;
use asyncio_task::create_task;
use bytes::Bytes;
use std::{
    cell::{Cell, RefCell},
    io::{Read, Write},
    net::Shutdown,
    os::unix::net::UnixStream,
    rc::Rc,
};

mod faults;
mod mixed;
mod reading;
mod unread;
mod writing;

#[test]
fn made_then_data_then_the_end_then_lost_once_each() {
    run(async {
        let log = Log::default();
        let (transport, mut theirs) = pair(Recorder::new(&log));
        assert_eq!(log.events(), "", "nothing happens at once");
        theirs.write_all(b"hello")?;
        drop(theirs);
        log.lost().await?;
        assert_eq!(log.events(), "made data eof lost");
        assert_eq!(log.received(), b"hello");
        iterations(5).await?;
        transport.close();
        transport.abort();
        iterations(5).await?;
        assert_eq!(log.events(), "made data eof lost", "nothing comes after it");
        Ok(())
    });
}

#[test]
fn data_that_is_there_before_never_precedes_the_beginning_and_waiters_come_after_both() {
    run_step_by_step(async {
        let log = Log::default();
        let (ours, mut theirs) = UnixStream::pair()?;
        theirs.write_all(b"early")?;
        ours.set_nonblocking(true)?;
        let calls = Recorder::into_calls(Rc::new(RefCell::new(Recorder::new(&log))));
        let io = Io::Socket(ours.into());
        let kind = super::Kind::Socket { is_tcp: false };
        let transport = Connection::open(io, kind, Names::default(), calls)?;
        iterations(3).await?;
        assert_eq!(log.events(), "", "it is not started");
        let made = Future::new();
        transport.0.local.with(|connection| connection.start(Some(made.clone())));
        made.await?;
        assert!(log.events().starts_with("made"));
        log.wait("data").await?;
        assert_eq!(log.events(), "made data");
        Ok(())
    });
}

#[test]
fn closing_is_asynchronous_and_idempotent() {
    run_step_by_step(async {
        let log = Log::default();
        let (transport, mut theirs) = pair(Recorder::new(&log));
        iterations(3).await?;
        assert!(!transport.is_closing() && transport.is_reading());
        theirs.write_all(b"unread")?;
        transport.close();
        assert!(transport.is_closing() && !transport.is_reading());
        assert_eq!(log.events(), "made");
        transport.close();
        iterations(5).await?;
        assert_eq!(log.events(), "made lost", "what arrived is not read any more");
        assert_eq!(theirs.read(&mut [0; 8]).unwrap_or(0), 0, "the descriptor is closed");
        Ok(())
    });
}

#[test]
fn closing_before_the_beginning_comes_after_it() {
    run_step_by_step(async {
        for end in [Transport::close, Transport::abort] {
            let log = Log::default();
            let (transport, _theirs) = pair(Recorder::new(&log));
            end(&transport);
            log.lost().await?;
            assert_eq!(log.events(), "made lost");

            let log = Log::default();
            let (_transport, mut theirs) = pair(Recorder::new(&log).on("made", end));
            theirs.write_all(b"unread")?;
            log.lost().await?;
            assert_eq!(log.events(), "made lost");
        }
        Ok(())
    });
}

#[test]
fn closing_sends_what_is_buffered_first() {
    run(async {
        let log = Log::default();
        let (transport, theirs) = pair(Recorder::new(&log));
        log.wait("made").await?;
        let data: Vec<u8> = (0..5_000_000u32).map(|n| (n / 7) as u8).collect();
        transport.write(&data);
        transport.close();
        iterations(20).await?;
        assert_eq!(log.events(), "made pause");
        assert!(read_all(theirs).all().await? == data);
        log.lost().await?;
        assert_eq!(log.events(), "made pause resume lost");
        Ok(())
    });
}

#[test]
fn aborting_drops_what_is_buffered_and_ends_in_the_next_iteration() {
    run_step_by_step(async {
        let log = Log::default();
        let (transport, theirs) = pair(Recorder::new(&log));
        iterations(2).await?;
        transport.write(vec![1; 5_000_000]);
        transport.abort();
        assert!(transport.is_closing());
        assert_eq!((transport.get_write_buffer_size(), &*log.events()), (0, "made pause"));
        iterations(1).await?;
        assert_eq!(log.events(), "made pause lost");
        assert!(read_all(theirs).all().await?.len() < 5_000_000);
        Ok(())
    });
}

#[test]
fn aborting_while_closing_does_not_wait_for_the_buffer() {
    run(async {
        let log = Log::default();
        let (transport, _theirs) = pair(Recorder::new(&log));
        log.wait("made").await?;
        transport.write(vec![1; 5_000_000]);
        transport.close();
        iterations(3).await?;
        transport.abort();
        log.lost().await?;
        assert_eq!(log.events(), "made pause lost");
        Ok(())
    });
}

#[test]
fn a_protocol_that_stays_open_can_write_after_the_end() {
    run(async {
        let log = Log::default();
        let (transport, mut theirs) = pair(Recorder::new(&log).staying_open());
        theirs.write_all(b"question")?;
        theirs.shutdown(Shutdown::Write)?;
        log.wait("eof").await?;
        iterations(5).await?;
        assert_eq!(log.events(), "made data eof");
        assert!(!transport.is_closing());
        transport.write(b"answer");
        transport.close();
        log.lost().await?;
        assert_eq!(read_all(theirs).all().await?, b"answer");
        assert_eq!(log.events(), "made data eof lost");
        Ok(())
    });
}

type Then = Box<dyn FnOnce(&Transport, &[u8])>;

/// A protocol with its own memory.
struct Filled {
    log: Log,
    buffer: Vec<u8>,
    then: Option<Then>,
}

impl Filled {
    fn new(log: &Log, size: usize) -> Filled {
        Filled { log: log.clone(), buffer: vec![0; size], then: None }
    }
}

impl BufferedProtocol for Filled {
    fn connection_made(&mut self, _: &Transport) {
        self.log.add("made");
    }

    fn connection_lost(&mut self, _: &Transport, error: Option<Error>) {
        self.log.add(match error {
            None => "lost".to_owned(),
            Some(error) => format!("lost:{error}"),
        });
    }

    fn get_buffer(&mut self, _: &Transport) -> &mut [u8] {
        &mut self.buffer
    }

    fn buffer_updated(&mut self, transport: &Transport, nbytes: usize) {
        self.log.add(format!("filled:{}", String::from_utf8_lossy(&self.buffer[..nbytes])));
        if let Some(then) = self.then.take() {
            then(transport, &self.buffer[..nbytes]);
        }
    }

    fn eof_received(&mut self, _: &Transport) -> bool {
        self.log.add("eof");
        false
    }
}

#[test]
fn protocols_are_changed_at_any_time_and_into_the_other_kind() {
    run_step_by_step(async {
        let log = Log::default();
        let next = log.clone();
        let first = Recorder::new(&log).on("data", move |transport| {
            let protocol = Filled::new(&next, 3);
            transport.set_protocol(protocol).unwrap();
            assert!(transport.get_protocol::<Recorder>().is_none());
        });
        let (transport, mut theirs) = pair(first);
        assert!(transport.get_protocol::<Recorder>().is_some());
        theirs.write_all(b"one")?;
        log.wait("data").await?;
        let filled = transport.get_protocol::<Filled>().expect("it is the new one");
        let last = log.clone();
        filled.borrow_mut().then = Some(Box::new(move |transport, data| {
            assert_eq!(data, b"two");
            transport.set_protocol(Recorder::new(&last)).unwrap();
        }));
        theirs.write_all(b"two")?;
        log.wait("filled:two").await?;
        theirs.write_all(b"three")?;
        log.until(|log| log.count("data") == 2).await?;
        drop(theirs);
        log.lost().await?;
        assert_eq!(log.events(), "made data filled:two data eof lost");
        let error = transport.set_protocol(Recorder::default()).unwrap_err();
        assert!(matches!(error, Error::Runtime(_)));
        Ok(())
    });
}

#[test]
fn a_connection_lives_without_handles_until_it_is_lost_and_then_lets_its_protocol_go() {
    struct Dropped(Log);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.add("dropped");
        }
    }
    impl Protocol for Dropped {
        fn data_received(&mut self, transport: &Transport, data: Bytes) {
            transport.write(&data);
        }
    }
    run(async {
        let log = Log::default();
        let (transport, mut theirs) = pair(Dropped(log.clone()));
        drop(transport);
        let (sent, answer) = (theirs.try_clone()?, log.clone());
        let echo = create_task(asyncio_task::to_thread(move || {
            (&sent).write_all(b"ping").unwrap();
            let mut reply = [0; 4];
            theirs.read_exact(&mut reply).unwrap();
            reply
        }));
        assert_eq!(&echo.await?, b"ping");
        answer.wait("dropped").await?;
        assert_eq!(log.events(), "dropped");
        Ok(())
    });
}

#[test]
fn what_the_socket_is_can_be_asked_until_it_is_closed() {
    run(async {
        let log = Log::default();
        let (transport, _theirs) = pair(Recorder::new(&log));
        let socket = transport.get_extra_info(SOCKET).unwrap();
        assert!(socket.fileno()? >= 0);
        transport.close();
        log.lost().await?;
        iterations(1).await?;
        assert!(socket.fileno().is_err());
        assert!(transport.get_extra_info(SOCKET).is_none());
        Ok(())
    });
}

#[test]
fn handles_are_equal_if_they_are_of_the_same_and_say_what_they_are() {
    run(async {
        let (one, _theirs) = pair(Recorder::default());
        let (other, _theirs) = pair(Recorder::default());
        assert!(one == one.clone() && one != other);
        one.close();
        assert!(format!("{one:?}").ends_with(" closing>"), "{one:?}");
        Ok(())
    });
}
