//! The common part of this crate's tests: a protocol that records its events.

use crate::{
    Protocol, Transport,
    connection::{Connection, Kind},
    extra_info::Names,
    io::Io,
    protocols::IntoProtocol,
};
use asyncio_core::{Error, Result};
use asyncio_future::Future;
use asyncio_loop::{EventLoop, get_running_loop};
use asyncio_sockets::{Type, is_tcp};
use asyncio_task::{sleep, wait_for};
use bytes::Bytes;
use std::{
    cell::RefCell,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::net::UnixStream,
    rc::Rc,
    time::Duration,
};

/// A test takes longer only if it hangs.
const GUARD: Duration = Duration::from_secs(30);

/// Returns the error number of the system.
pub(crate) fn errno(error: &Error) -> Option<i32> {
    let Error::Io(error) = error else { return None };
    error.raw_os_error()
}

/// Runs `main` in its own loop.
pub(crate) fn run<F: std::future::Future<Output = Result<()>> + 'static>(main: F) {
    run_in(EventLoop::builder().build().unwrap(), main);
}

/// Does the same in a loop that polls for I/O in every iteration.
pub(crate) fn run_step_by_step<F: std::future::Future<Output = Result<()>> + 'static>(main: F) {
    run_in(EventLoop::builder().virtual_time(true).build().unwrap(), main);
}

/// Does the same for tests that take hours.
#[cfg(feature = "tls")]
pub(crate) fn run_hours<F: std::future::Future<Output = Result<()>> + 'static>(main: F) {
    let hours = async { wait_for(main, 1000 * GUARD).await };
    let event_loop = EventLoop::builder().virtual_time(true).build().unwrap();
    let outcome = event_loop.run_until_complete(hours);
    event_loop.close().unwrap();
    outcome.unwrap();
}

fn run_in<F: std::future::Future<Output = Result<()>> + 'static>(event_loop: EventLoop, main: F) {
    let outcome = event_loop.run_until_complete(async { wait_for(main, GUARD).await });
    event_loop.close().unwrap();
    outcome.unwrap();
}

/// Lets `count` iterations pass.
pub(crate) async fn iterations(count: usize) -> Result<()> {
    for _ in 0..count {
        sleep(Duration::ZERO).await?;
    }
    Ok(())
}

/// The events, in order.
#[derive(Clone, Default)]
pub(crate) struct Log(Rc<RefCell<Inner>>);

#[derive(Default)]
struct Inner {
    events: Vec<String>,
    received: Vec<u8>,
    watchers: Vec<Future<()>>,
}

impl Log {
    pub(crate) fn add(&self, event: impl Into<String>) {
        let mut inner = self.0.borrow_mut();
        inner.events.push(event.into());
        let watchers = std::mem::take(&mut inner.watchers);
        drop(inner);
        for watcher in watchers {
            let _ = watcher.set_result(());
        }
    }

    /// Adds data; consecutive data is one event, in however many pieces it arrives.
    pub(crate) fn add_data(&self, data: &[u8]) {
        self.0.borrow_mut().received.extend_from_slice(data);
        let again = self.0.borrow().events.last().is_some_and(|event| event == "data");
        match again {
            true => {
                self.0.borrow_mut().events.pop();
                self.add("data");
            }
            false => self.add("data"),
        }
    }

    /// Returns all events so far, separated by spaces.
    pub(crate) fn events(&self) -> String {
        self.0.borrow().events.join(" ")
    }

    pub(crate) fn count(&self, event: &str) -> usize {
        self.0.borrow().events.iter().filter(|seen| *seen == event).count()
    }

    /// Returns all data so far.
    pub(crate) fn received(&self) -> Vec<u8> {
        self.0.borrow().received.clone()
    }

    /// Clears the log.
    #[cfg(feature = "tls")]
    pub(crate) fn forget(&self) {
        self.0.replace(Inner::default());
    }

    /// Waits until `condition` holds; asks after each event.
    pub(crate) async fn until(&self, condition: impl Fn(&Log) -> bool) -> Result<()> {
        while !condition(self) {
            let watcher = Future::new();
            self.0.borrow_mut().watchers.push(watcher.clone());
            watcher.await?;
        }
        Ok(())
    }

    /// Waits for an event of this name.
    pub(crate) async fn wait(&self, event: &str) -> Result<()> {
        self.until(|log| log.count(event) > 0).await
    }

    /// Waits for any kind of end.
    pub(crate) async fn lost(&self) -> Result<()> {
        self.until(|log| log.0.borrow().events.iter().any(|e| e.starts_with("lost"))).await
    }

    /// Records the reports to the exception handler, as `handler: message: error`.
    pub(crate) fn watch_handler(&self) -> Result<()> {
        let log = self.clone();
        get_running_loop()?.set_exception_handler(move |_, context| {
            let error = context.exception().map(Error::to_string).unwrap_or_default();
            log.add(format!("handler: {}: {error}", context.message()));
        });
        Ok(())
    }
}

type Hook<'a> = Box<dyn FnMut(&Transport) + 'a>;

/// A protocol that records its events, and runs the given reactions.
#[derive(Default)]
pub(crate) struct Recorder {
    pub(crate) log: Log,
    /// The result of `eof_received`.
    pub(crate) stays_open: bool,
    hooks: Vec<(&'static str, Hook<'static>)>,
}

impl Recorder {
    pub(crate) fn new(log: &Log) -> Recorder {
        Recorder { log: log.clone(), ..Recorder::default() }
    }

    pub(crate) fn staying_open(mut self) -> Recorder {
        self.stays_open = true;
        self
    }

    /// Calls `f` in the callback of an event, after it was recorded.
    pub(crate) fn on(mut self, event: &'static str, f: impl FnMut(&Transport) + 'static) -> Self {
        self.hooks.push((event, Box::new(f)));
        self
    }

    fn happens(&mut self, event: &str, transport: &Transport) {
        for (_, hook) in self.hooks.iter_mut().filter(|(name, _)| *name == event) {
            hook(transport);
        }
    }
}

impl Protocol for Recorder {
    fn connection_made(&mut self, transport: &Transport) {
        self.log.add("made");
        self.happens("made", transport);
    }

    fn connection_lost(&mut self, transport: &Transport, error: Option<Error>) {
        match &error {
            None => self.log.add("lost"),
            Some(Error::Io(error)) => self.log.add(format!("lost:{:?}", error.kind())),
            Some(error) => self.log.add(format!("lost:{error}")),
        }
        self.happens("lost", transport);
    }

    fn pause_writing(&mut self, transport: &Transport) {
        self.log.add("pause");
        self.happens("pause", transport);
    }

    fn resume_writing(&mut self, transport: &Transport) {
        self.log.add("resume");
        self.happens("resume", transport);
    }

    fn data_received(&mut self, transport: &Transport, data: Bytes) {
        assert!(!data.is_empty());
        self.log.add_data(&data);
        self.happens("data", transport);
    }

    fn eof_received(&mut self, transport: &Transport) -> bool {
        self.log.add("eof");
        self.happens("eof", transport);
        self.stays_open
    }
}

/// Starts a connection over `io`, which will be made in the next iteration.
pub(crate) fn connect<K, P: IntoProtocol<K>>(
    io: impl Into<socket2::Socket>,
    protocol: P,
) -> Transport {
    let io = io.into();
    io.set_nonblocking(true).unwrap();
    let calls = P::into_calls(Rc::new(RefCell::new(protocol)));
    let domain = io.local_addr().unwrap().domain();
    let kind = Kind::Socket { is_tcp: is_tcp(&io, domain, Type::STREAM) };
    let transport = Connection::open(Io::Socket(io), kind, Names::default(), calls).unwrap();
    transport.0.local.with(|connection| connection.start(None));
    transport
}

/// Creates a connection, and its other side, which is blocking.
pub(crate) fn pair<K, P: IntoProtocol<K>>(protocol: P) -> (Transport, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    theirs.set_read_timeout(Some(GUARD)).unwrap();
    theirs.set_write_timeout(Some(GUARD)).unwrap();
    (connect(ours, protocol), theirs)
}

/// Creates the two ends of a connection over TCP.
pub(crate) fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (other, _) = listener.accept().unwrap();
    other.set_read_timeout(Some(GUARD)).unwrap();
    other.set_write_timeout(Some(GUARD)).unwrap();
    (one, other)
}

/// Starts a thread that reads from the other side until the end.
pub(crate) fn read_all(mut from: impl Read + Send + 'static) -> Reading {
    Reading(asyncio_task::create_task(asyncio_task::to_thread(move || {
        let mut all = Vec::new();
        let outcome = from.read_to_end(&mut all);
        (all, outcome.map(drop))
    })))
}

pub(crate) struct Reading(asyncio_task::Task<(Vec<u8>, std::io::Result<()>)>);

impl Reading {
    pub(crate) async fn all(self) -> Result<Vec<u8>> {
        let (all, outcome) = self.0.await?;
        outcome?;
        Ok(all)
    }
}

/// Fills a non-blocking writer until it is full.
pub(crate) fn fill(mut to: impl Write) -> usize {
    let mut filled = 0;
    loop {
        match to.write(&[b'.'; 4096]) {
            Ok(n) => filled += n,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return filled,
            Err(error) => panic!("{error}"),
        }
    }
}
