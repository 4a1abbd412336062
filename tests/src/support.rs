//! Helpers of the integration tests: loops with a virtual clock, exact counts of iterations, and a record of what the
//! exception handler receives.

use asyncio::{
    Error, EventLoop, ExceptionContext, Future, Result, Task, create_task, get_running_loop, sleep,
};
use std::{
    cell::{Cell, RefCell},
    future::{Future as StdFuture, poll_fn},
    pin::Pin,
    rc::Rc,
    task::Poll,
    time::Duration,
};

/// A millisecond of loop time.
pub const MS: Duration = Duration::from_millis(1);

/// A new loop with a virtual clock.
pub fn virtual_loop() -> EventLoop {
    EventLoop::builder().virtual_time(true).build().expect("the system has a descriptor left")
}

/// Runs `main` on a new loop, under the virtual clock.
pub fn outcome_of<T: 'static>(main: impl StdFuture<Output = Result<T>> + 'static) -> Result<T> {
    let event_loop = virtual_loop();
    let outcome = event_loop.run_until_complete(main);
    event_loop.close()?;
    outcome
}

/// Runs a test that must not fail, like [`outcome_of`].
#[track_caller]
pub fn run(main: impl StdFuture<Output = Result<()>> + 'static) {
    outcome_of(main).unwrap();
}

/// Waits for one iteration of the loop.
pub async fn briefly() -> Result<()> {
    sleep(Duration::ZERO).await
}

/// Waits for so many iterations of the loop.
pub async fn iterations(n: usize) -> Result<()> {
    for _ in 0..n {
        briefly().await?;
    }
    Ok(())
}

/// Whether the outcome is a cancellation.
pub fn cancelled<T>(outcome: &Result<T>) -> bool {
    matches!(outcome, Err(Error::Cancelled(_)))
}

/// The message of the cancellation, empty if it has none.
#[track_caller]
pub fn cancel_message<T: std::fmt::Debug>(outcome: &Result<T>) -> String {
    match outcome {
        Err(Error::Cancelled(error)) => error.message().unwrap_or_default().to_owned(),
        other => panic!("no cancellation: {other:?}"),
    }
}

/// The kind and the message of the error.
#[track_caller]
pub fn message<T>(outcome: Result<T>) -> String {
    match outcome {
        Ok(_) => panic!("no error came out"),
        Err(error) => format!("{}: {error}", error.kind()),
    }
}

/// An error of no particular kind.
pub fn boom() -> Error {
    Error::msg("boom")
}

/// A task that awaits `future`.
pub fn awaiting<T: Clone + 'static>(future: &Future<T>) -> Task<T> {
    create_task(future.clone())
}

/// Polls `future` once, and returns whether it is done.
pub async fn poll_once<F: StdFuture + Unpin>(future: &mut F) -> Option<F::Output> {
    poll_fn(|cx| match Pin::new(&mut *future).poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

/// A record of steps. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Trace(Rc<RefCell<Vec<String>>>);

impl Trace {
    /// An empty trace.
    pub fn new() -> Trace {
        Trace::default()
    }

    /// Adds a step.
    pub fn say(&self, what: impl ToString) {
        self.0.borrow_mut().push(what.to_string());
    }

    /// Returns a callback that adds a step.
    pub fn note(&self, what: &str) -> impl FnOnce() + use<> {
        let (trace, what) = (self.clone(), what.to_string());
        move || trace.0.borrow_mut().push(what)
    }

    /// Returns the steps since the last call, in order.
    pub fn take(&self) -> String {
        self.0.take().join(" ")
    }
}

/// What the exception handler of a loop received.
#[derive(Clone, Debug, Default)]
pub struct Reports(Rc<RefCell<Vec<ExceptionContext>>>);

impl Reports {
    /// Sets the exception handler of the running loop.
    pub fn collect() -> Reports {
        let event_loop = get_running_loop().expect("a loop runs");
        Reports::of(&event_loop)
    }

    /// Sets the exception handler of a loop.
    pub fn of(event_loop: &EventLoop) -> Reports {
        let reports = Reports::default();
        let list = reports.0.clone();
        event_loop.set_exception_handler(move |_, context: &ExceptionContext| {
            list.borrow_mut().push(context.clone());
        });
        reports
    }

    /// Returns what was reported since the last call.
    pub fn take(&self) -> Vec<ExceptionContext> {
        self.0.take()
    }

    /// Returns the messages of what was reported since the last call.
    pub fn messages(&self) -> Vec<String> {
        self.take().iter().map(|context| context.message().to_owned()).collect()
    }
}

/// Counts the iterations of a loop exactly, by a callback that runs first in each iteration, because it ran first in
/// the one before. Clones share the count.
#[derive(Clone, Debug)]
pub struct Iterations(Rc<Counter>);

#[derive(Debug)]
struct Counter {
    event_loop: EventLoop,
    count: Cell<u64>,
    paused: Cell<bool>,
}

impl Iterations {
    /// Runs a test in a loop whose iterations are counted.
    #[track_caller]
    pub fn count<F: StdFuture<Output = Result<()>> + 'static>(test: impl FnOnce(Iterations) -> F) {
        let event_loop = virtual_loop();
        let counter = Counter {
            event_loop: event_loop.clone(),
            count: Cell::new(0),
            paused: Cell::new(false),
        };
        let this = Iterations(Rc::new(counter));
        let first = this.clone();
        event_loop.call_soon(move || first.tick()).expect("the loop is open");
        let outcome = event_loop.run_until_complete(test(this));
        event_loop.close().expect("the loop does not run");
        outcome.unwrap();
    }

    fn tick(&self) -> Result<()> {
        self.0.count.set(self.0.count.get() + 1);
        if self.now() > 10_000 {
            // Time does not advance here, so nothing else would end a test that hangs.
            return Err(Error::KeyboardInterrupt(Default::default()));
        }
        if self.0.paused.get() {
            return Ok(());
        }
        let next = self.clone();
        self.0.event_loop.call_soon(move || next.tick()).map(drop)
    }

    /// The number of the current iteration.
    pub fn now(&self) -> u64 {
        self.0.count.get()
    }

    /// Stops counting until the iteration in which a timer of `delay` is due, because the virtual clock does not advance
    /// while a callback is always ready. That timer is created before any that the test creates after this call. The
    /// value returned holds the number of that iteration.
    pub fn pause(&self, delay: Duration) -> Rc<Cell<u64>> {
        self.0.paused.set(true);
        let (this, due) = (self.clone(), Rc::new(Cell::new(0)));
        let tell = due.clone();
        let resume = move || {
            this.0.paused.set(false);
            let outcome = this.tick();
            tell.set(this.now());
            outcome
        };
        self.0.event_loop.call_later(delay, resume).expect("the loop is open");
        due
    }

    /// Creates a task that awaits `awaitable`, and reports in which iteration it continued, and with what.
    pub fn of<T: 'static>(
        &self,
        awaitable: impl IntoFuture<Output = Result<T>> + 'static,
    ) -> Task<(u64, Result<T>)> {
        let this = self.clone();
        create_task(async move {
            let outcome = awaitable.await;
            Ok((this.now(), outcome))
        })
    }

    /// Returns a callback that reports in which iteration it ran.
    pub fn callback(&self) -> (Rc<Cell<u64>>, impl FnOnce() + use<>) {
        let (this, ran) = (self.clone(), Rc::new(Cell::new(0)));
        let tell = ran.clone();
        (ran, move || tell.set(this.now()))
    }
}

/// `(iteration, how)` relative to `cause`.
#[track_caller]
pub fn after(cause: u64, seen: (u64, Result<()>)) -> u64 {
    assert!(seen.1.is_ok(), "{:?}", seen.1);
    seen.0 - cause
}

/// The same, for a cancellation.
#[track_caller]
pub fn cancelled_after<T: std::fmt::Debug>(cause: u64, seen: (u64, Result<T>)) -> u64 {
    assert!(cancelled(&seen.1), "{:?}", seen.1);
    seen.0 - cause
}

/// Lets time pass, and counts.
pub async fn sleep_until(count: &Iterations, when: Duration) -> Result<()> {
    count.pause(when);
    sleep(when).await
}
