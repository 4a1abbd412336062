//! Shared by the tests: loops that must report nothing, and clients that write raw HTTP.

use asyncio::{
    Address, Error, Event, Result, Runner, Task, get_running_loop, sleep, streams::Duplex,
};
use asyncio_http::{HttpServer, IntoService, serve};
use std::{
    cell::{Cell, RefCell},
    fs,
    future::Future,
    process,
    rc::Rc,
    sync::{Mutex, PoisonError},
    time::Duration,
};

pub(crate) const MS: Duration = Duration::from_millis(1);
pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const HOUR: Duration = Duration::from_secs(3600);
pub(crate) const LOOPBACK: (&str, u16) = ("127.0.0.1", 0);
/// A test that takes longer is stuck.
const STUCK: Duration = Duration::from_secs(100);

/// The reports to the loop's exception handler.
#[derive(Clone, Default)]
pub(crate) struct Reports(Rc<RefCell<Vec<String>>>);

impl Reports {
    /// Returns and removes the reports so far. Reports that no test takes are a failure.
    pub(crate) fn take(&self) -> Vec<String> {
        self.0.take()
    }
}

/// Returns how many descriptors the process has, including the one that is used to count them.
pub(crate) fn descriptors() -> usize {
    fs::read_dir("/dev/fd").map_or(0, Iterator::count)
}

/// Runs `main` on a loop, and checks that all reports were taken and no descriptor stays open.
#[track_caller]
pub(crate) fn run<F: Future<Output = Result<()>> + 'static>(main: impl FnOnce(Reports) -> F) {
    run_in(Runner::new(), main);
}

/// The same under the virtual clock.
#[track_caller]
pub(crate) fn run_virtual<F: Future<Output = Result<()>> + 'static>(
    main: impl FnOnce(Reports) -> F,
) {
    run_in(Runner::new().virtual_time(true), main);
}

#[track_caller]
fn run_in<F: Future<Output = Result<()>> + 'static>(
    mut runner: Runner,
    main: impl FnOnce(Reports) -> F,
) {
    static ALONE: Mutex<()> = Mutex::new(());
    // One test at a time counts descriptors.
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    // Some things are created once and kept.
    asyncio::run(async { Ok(()) }).unwrap();
    let before = descriptors();
    let reports = Reports::default();
    let (told, main) = (reports.clone(), main(reports.clone()));
    // This limit counts in real time.
    let guard = std::thread::Builder::new().spawn(stuck).expect("a thread starts");
    let outcome = runner.run(async move {
        get_running_loop()?.set_exception_handler(move |_, context| {
            told.0.borrow_mut().push(context.to_string());
        });
        main.await
    });
    runner.close().unwrap();
    guard.thread().unpark();
    guard.join().unwrap();
    outcome.unwrap();
    assert_eq!(reports.take(), [""; 0]);
    assert_eq!(descriptors(), before, "descriptors are left open");
}

fn stuck() {
    let began = std::time::Instant::now();
    std::thread::park_timeout(STUCK);
    if began.elapsed() >= STUCK {
        eprintln!("a test is stuck");
        process::abort();
    }
}

/// Waits for a number of iterations of the loop.
pub(crate) async fn iterations(n: usize) -> Result<()> {
    for _ in 0..n {
        sleep(Duration::ZERO).await?;
    }
    Ok(())
}

/// Waits until the condition is true.
pub(crate) async fn until(condition: impl Fn() -> bool) -> Result<()> {
    while !condition() {
        sleep(MS / 10).await?;
    }
    Ok(())
}

/// Waits for the end of a task, and returns its result.
pub(crate) async fn outcome<T: Clone + 'static>(task: &Task<T>) -> Result<Result<T>> {
    until(|| task.done()).await?;
    Ok(task.result())
}

/// Starts a server with the default settings.
pub(crate) async fn started<Kind: 'static>(
    service: impl IntoService<Kind>,
) -> Result<HttpServer<'static>> {
    serve(service, LOOPBACK).await
}

/// Ends a server without grace.
pub(crate) async fn ended(server: HttpServer<'_>) -> Result<()> {
    server.shutdown(Duration::ZERO).await
}

pub(crate) fn url(server: &HttpServer<'_>, path: &str) -> String {
    format!("http://{}{path}", server.local_addr())
}

/// A client that writes raw HTTP/1.
pub(crate) struct Raw(pub(crate) Duplex);

impl Raw {
    pub(crate) async fn to(address: Address) -> Result<Raw> {
        Ok(Raw(asyncio::open_connection(address).await?.into()))
    }

    pub(crate) fn send(&mut self, text: &str) {
        self.0.writer().write(text.as_bytes());
    }

    pub(crate) fn get(&mut self, path: &str) {
        self.send(&format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n"));
    }

    /// Reads the head of a response, and returns it in lower case.
    pub(crate) async fn head(&mut self) -> Result<String> {
        let head = self.0.reader().readuntil("\r\n\r\n").await?;
        Ok(String::from_utf8_lossy(&head).to_lowercase())
    }

    /// Reads a response whose body has a length.
    pub(crate) async fn response(&mut self) -> Result<(String, String)> {
        let head = self.head().await?;
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length = length.ok_or_else(|| Error::msg(format!("no length: {head}")))?.parse()?;
        let body = self.0.reader().readexactly(length).await?;
        Ok((head, String::from_utf8_lossy(&body).into_owned()))
    }

    /// Returns whether the connection has ended.
    pub(crate) async fn is_over(&mut self) -> Result<bool> {
        match self.0.reader().read(1).await {
            Ok(data) => Ok(data.is_empty()),
            Err(Error::Io(_)) => Ok(true),
            Err(error) => Err(error),
        }
    }
}

/// A handler that waits to be cancelled, and counts its calls and cancellations.
#[derive(Clone, Default)]
pub(crate) struct Waiting(Rc<WaitingParts>);

#[derive(Default)]
struct WaitingParts {
    began: Cell<usize>,
    cancelled: Cell<usize>,
    never: Event,
}

impl Waiting {
    pub(crate) async fn wait(&self) -> Result<()> {
        let parts = &self.0;
        parts.began.set(parts.began.get() + 1);
        let outcome = parts.never.wait().await;
        if outcome.as_ref().is_err_and(Error::is_cancelled) {
            // Clean-up may wait.
            sleep(MS).await?;
            parts.cancelled.set(parts.cancelled.get() + 1);
        }
        outcome
    }

    pub(crate) fn began(&self) -> usize {
        self.0.began.get()
    }

    pub(crate) fn cancelled(&self) -> usize {
        self.0.cancelled.get()
    }
}
