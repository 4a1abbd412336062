//! Streams in real tasks: first readers alone, then over real sockets.

use super::*;
use asyncio_core::{Error, Result};
use asyncio_loop::{EventLoop, get_running_loop};
use asyncio_task::{create_task, sleep, wait_for};
use asyncio_transports::Server;
use std::{
    cell::RefCell,
    future::Future,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    os::unix::net::UnixStream,
    rc::Rc,
    thread::JoinHandle,
    time::Duration,
};

mod datagrams;
mod duplex;
mod flow;
mod reader;
mod server;
#[cfg(feature = "tls")]
mod ssl;
mod traits;
mod unread;
mod writer;

/// A test takes longer only if it hangs.
const GUARD: Duration = Duration::from_secs(60);

/// Runs `main` in its own loop.
fn run<F: Future<Output = Result<()>> + 'static>(main: F) {
    run_in(EventLoop::builder().build().unwrap(), main);
}

/// Runs `main` under the virtual clock.
fn run_virtual<F: Future<Output = Result<()>> + 'static>(main: F) {
    run_in(EventLoop::builder().virtual_time(true).build().unwrap(), main);
}

fn run_in<F: Future<Output = Result<()>> + 'static>(event_loop: EventLoop, main: F) {
    let outcome = event_loop.run_until_complete(async { wait_for(main, GUARD).await });
    event_loop.close().unwrap();
    outcome.unwrap();
}

/// Lets `count` iterations pass.
async fn iterations(count: usize) -> Result<()> {
    for _ in 0..count {
        sleep(Duration::ZERO).await?;
    }
    Ok(())
}

fn is_cancelled<T>(result: Result<T>) -> bool {
    result.is_err_and(|error| error.is_cancelled())
}

fn text<T: std::fmt::Debug>(result: Result<T>) -> String {
    result.unwrap_err().to_string()
}

/// Creates a connection, and its other side, which is blocking.
async fn pair() -> Result<(StreamReader, StreamWriter, UnixStream)> {
    pair_with_limit(DEFAULT_LIMIT).await
}

async fn pair_with_limit(limit: usize) -> Result<(StreamReader, StreamWriter, UnixStream)> {
    let (ours, theirs) = UnixStream::pair()?;
    theirs.set_read_timeout(Some(GUARD))?;
    theirs.set_write_timeout(Some(GUARD))?;
    ours.set_nonblocking(true)?;
    let (reader, writer) = open_unix_connection(socket(ours)?).limit(limit).await?;
    Ok((reader, writer, theirs))
}

fn socket(from: impl Into<std::os::fd::OwnedFd>) -> Result<asyncio_sockets::Socket> {
    asyncio_sockets::Socket::from_fd(from.into())
}

/// Creates the same over TCP.
async fn tcp_pair() -> Result<(StreamReader, StreamWriter, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let (reader, writer) = open_connection(listener.local_addr()?).await?;
    let (theirs, _) = listener.accept()?;
    theirs.set_read_timeout(Some(GUARD))?;
    theirs.set_write_timeout(Some(GUARD))?;
    Ok((reader, writer, theirs))
}

/// Reads on the other side until the end.
fn read_rest(mut from: impl std::io::Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut rest = Vec::new();
        from.read_to_end(&mut rest).unwrap();
        rest
    })
}

/// Returns the result of a thread, without blocking the loop.
async fn join<T: Send + 'static>(thread: JoinHandle<T>) -> Result<T> {
    asyncio_task::to_thread(|| thread.join().unwrap()).await
}

/// Collects the reports to the exception handler.
fn watch_handler() -> Result<Rc<RefCell<Vec<String>>>> {
    let log = Rc::new(RefCell::new(Vec::new()));
    let told = log.clone();
    get_running_loop()?.set_exception_handler(move |_, context| {
        let error = context.exception().map(Error::to_string).unwrap_or_default();
        told.borrow_mut().push(format!("{}: {error}", context.message()));
    });
    Ok(log)
}

fn io_kind<T: std::fmt::Debug>(result: Result<T>) -> std::io::ErrorKind {
    match result.unwrap_err() {
        Error::Io(error) => error.kind(),
        error => panic!("no system error: {error:?}"),
    }
}

/// Ends the connection with a reset.
fn reset(stream: impl Into<socket2::Socket>) {
    let stream = stream.into();
    stream.set_linger(Some(Duration::ZERO)).unwrap();
}
