//! [`generator()`]: an async generator, written as a body that sends its values.
//!
//! The body has no task of its own. The caller that requests the next value polls the body up to its next
//! `send`. The `send` hands the value over, and stays suspended until the next call.

use crate::current_task;
use asyncio_core::{Error, Result, wait::Wait, wait_site::WaitSite};
use futures_core::Stream;
pub use shutdown::shutdown_asyncgens;
use shutdown::{Close, register};
use std::{
    cell::{Cell, RefCell},
    fmt,
    future::Future,
    panic::Location,
    pin::Pin,
    rc::{Rc, Weak},
    task::{Context, Poll, Waker, ready},
};

mod shutdown;
#[cfg(test)]
mod tests;

/// Creates an async generator: a [`Stream`] of the values that `body` sends (`async def` with
/// `yield`).
///
/// The body runs when a value is requested, in the task that requests it, and stops at each
/// [`send`](Yielder::send). When it returns, the stream ends; if it fails, the error is the last
/// item.
///
/// # Cancellation
/// A cancellation of the task that requests a value arrives at the body's await. If the body passes
/// it on, it is the last item.
///
/// Dropping the generator drops the body where it is suspended. To let the body clean up with
/// awaits, call [`aclose`](Generator::aclose). The loop does this for generators that are alive at
/// the end of `asyncio::run`, or when `shutdown_asyncgens` is called.
///
/// # Differences from asyncio
/// There is no `asend` or `athrow`, and the loop does not close a dropped generator. A generator
/// stays on its thread.
///
/// ```
/// use std::time::Duration;
///
/// #[asyncio::main]
/// async fn main() -> asyncio::Result<()> {
///     let mut countdown = asyncio::generator(async |y| {
///         for n in (1..=3).rev() {
///             y.send(n).await?;
///             asyncio::sleep(Duration::from_millis(10)).await?;
///         }
///         Ok(())
///     });
///     while let Some(n) = countdown.next().await {
///         println!("{}", n?);
///     }
///     Ok(())
/// }
/// ```
#[track_caller]
#[doc(alias("yield", "async for"))]
pub fn generator<T, F>(body: F) -> Generator<T>
where
    F: AsyncFnOnce(Yielder<T>) -> Result<()> + 'static,
    T: 'static,
{
    let channel = Rc::new(Channel::new());
    let yielder = Yielder { channel: channel.clone() };
    let body: Body = Box::pin(async move { body(yielder).await });
    let made_at = Location::caller();
    let (state, asker) = (Cell::new(State::Fresh), Cell::new(None));
    Generator(Rc::new(Inner { channel, body: Cell::new(Some(body)), state, asker, made_at }))
}

type Body = Pin<Box<dyn Future<Output = Result<()>>>>;

/// An async generator (Python's `async_generator` object): see [`generator()`].
#[must_use = "a generator does nothing unless it is asked for values"]
pub struct Generator<T>(Rc<Inner<T>>);

/// The object to which the body of a generator sends its values.
pub struct Yielder<T> {
    channel: Rc<Channel<T>>,
}

/// The error of [`Yielder::send`] in a generator that is being closed (`GeneratorExit`). Pass it on
/// with `?` after cleaning up.
///
/// ```
/// #[asyncio::main]
/// async fn main() -> asyncio::Result<()> {
/// use asyncio::generator;
///     use asyncio::GeneratorExit;
///     let mut lines = generator(async |y| {
///         let sent = y.send("line").await;
///         if sent.as_ref().is_err_and(|error| error.downcast_ref::<GeneratorExit>().is_some()) {
///             println!("closing the file");
///         }
///         sent
///     });
///     lines.next().await;
///     lines.aclose().await?;
///     Ok(())
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GeneratorExit;

impl fmt::Display for GeneratorExit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the generator is being closed")
    }
}

impl std::error::Error for GeneratorExit {}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Fresh,
    Suspended,
    Running,
    Done,
}

struct Inner<T> {
    channel: Rc<Channel<T>>,
    /// `None` while the body runs, and after it has ended.
    body: Cell<Option<Body>>,
    state: Cell<State>,
    /// The caller whose operation is in progress.
    asker: Cell<Option<Asker>>,
    made_at: &'static Location<'static>,
}

/// A caller that runs the body. An operation of one caller lasts until it is ready or dropped, and the
/// other one is refused meanwhile: the body can wake only one of them.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Asker {
    /// The owner of the [`Generator`], which calls one method at a time.
    Handle,
    /// [`shutdown_asyncgens`].
    Shutdown,
}

/// The progress of closing a generator.
#[derive(Clone, Copy, PartialEq)]
enum Closing {
    No,
    /// The next `send` fails with `GeneratorExit`.
    Asked,
    /// A `send` has failed with it.
    Told,
    /// The body has still sent another value.
    Ignored,
}

/// The data that a generator and its body share.
struct Channel<T> {
    value: Cell<Option<T>>,
    /// The number of values that were taken.
    taken: Cell<u64>,
    closing: Cell<Closing>,
    /// Whether the body is being polled.
    running: Cell<bool>,
    /// The last `send` that handed a value over.
    site: Cell<Option<WaitSite>>,
    /// The `send` whose value was taken, and which has not continued since.
    suspended: Cell<Option<WaitSite>>,
    /// Registers a suspended `send` as a leaf in the scopes around it while the body is polled.
    /// Between two polls, the consumer may wait for anything, and a cancellation is not for the
    /// body.
    wait: RefCell<Wait>,
    /// The tasks that have to be woken when the body continues, beside the one that polls it.
    wakers: RefCell<Vec<Waker>>,
    poller: RefCell<Option<Waker>>,
}

impl<T> Channel<T> {
    fn new() -> Channel<T> {
        Channel {
            value: Cell::new(None),
            taken: Cell::new(0),
            closing: Cell::new(Closing::No),
            running: Cell::new(false),
            site: Cell::new(None),
            suspended: Cell::new(None),
            wait: RefCell::new(Wait::new()),
            wakers: RefCell::default(),
            poller: RefCell::new(None),
        }
    }

    fn arm(&self, cx: &Context<'_>, site: WaitSite) {
        // Under another executor there is no task that could be cancelled.
        if current_task().is_some() {
            self.wait.borrow_mut().arm(cx, site, None);
        }
    }

    /// A body that polls its parts by wakers of their own (`FuturesUnordered`) must be told to poll
    /// this one.
    fn wake_on_resume(&self, cx: &Context<'_>) {
        let poller = self.poller.borrow();
        if !poller.as_ref().is_some_and(|poller| poller.will_wake(cx.waker())) {
            self.wakers.borrow_mut().push(cx.waker().clone());
        }
    }

    fn begin(&self, cx: &Context<'_>) {
        let mut poller = self.poller.borrow_mut();
        if !poller.as_ref().is_some_and(|poller| poller.will_wake(cx.waker())) {
            *poller = Some(cx.waker().clone());
        }
        drop(poller);
        self.running.set(true);
        if let Some(site) = self.suspended.take() {
            self.arm(cx, site);
        }
        let wakers = std::mem::take(&mut *self.wakers.borrow_mut());
        wakers.into_iter().for_each(Waker::wake);
    }

    fn take(&self) -> Option<T> {
        let value = self.value.take()?;
        self.taken.set(self.taken.get() + 1);
        self.suspended.set(self.site.get());
        Some(value)
    }

    /// Returns the outcome of a `send` that may not send.
    fn exit(&self) -> Poll<Result<()>> {
        if self.closing.get() == Closing::Asked {
            self.closing.set(Closing::Told);
            return Poll::Ready(Err(GeneratorExit.into()));
        }
        self.closing.set(Closing::Ignored);
        Poll::Pending
    }
}

impl<T> Yielder<T> {
    /// Hands `value` to the caller of `next`, and waits until the next value is requested
    /// (`yield`).
    ///
    /// # Errors
    /// [`GeneratorExit`] if the generator is being closed instead. The body may then clean up, and
    /// may await, but must not send another value.
    ///
    /// # Cancellation
    /// A cancellation is not delivered here: between two values, it goes to the consumer. If the
    /// future is dropped before the value was handed over, the value is taken back.
    #[track_caller]
    pub fn send(&self, value: T) -> Sending<'_, T> {
        let stage = Stage::Ready(Some(value));
        Sending { channel: &self.channel, stage, site: WaitSite::here(&"Yielder.send") }
    }
}

/// The future of [`Yielder::send`].
#[must_use = "futures do nothing unless they are awaited"]
pub struct Sending<'a, T> {
    channel: &'a Channel<T>,
    stage: Stage<T>,
    site: WaitSite,
}

enum Stage<T> {
    Ready(Option<T>),
    /// The value follows this number of values.
    Handed(u64),
    Over,
}

impl<T> Unpin for Sending<'_, T> {}

impl<T> Future for Sending<'_, T> {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let channel = self.channel;
        let closing = channel.closing.get() != Closing::No;
        let poll = match &mut self.stage {
            _ if !channel.running.get() => Poll::Ready(Err(Error::runtime(
                "Yielder.send: awaited outside of the generator's body",
            ))),
            Stage::Ready(_) if closing => channel.exit(),
            Stage::Ready(value) => {
                // Another part of the body may have sent at the same time; then it is the turn of
                // that part.
                let before = channel.value.take();
                let mine = before.is_none();
                channel.value.set(if mine { value.take() } else { before });
                if mine {
                    self.stage = Stage::Handed(channel.taken.get());
                    channel.site.set(Some(self.site));
                    channel.arm(cx, self.site);
                }
                Poll::Pending
            }
            Stage::Handed(number) if channel.taken.get() == *number => Poll::Pending,
            Stage::Handed(_) => {
                channel.wait.borrow_mut().disarm();
                if closing { channel.exit() } else { Poll::Ready(Ok(())) }
            }
            Stage::Over => Poll::Ready(Err(Error::runtime("Yielder.send: polled after its end"))),
        };
        match poll {
            Poll::Ready(_) => self.stage = Stage::Over,
            Poll::Pending => channel.wake_on_resume(cx),
        }
        poll
    }
}

impl<T> Drop for Sending<'_, T> {
    fn drop(&mut self) {
        if matches!(self.stage, Stage::Handed(number) if number == self.channel.taken.get()) {
            self.channel.wait.borrow_mut().disarm();
            drop(self.channel.value.take());
        }
    }
}

/// The result of polling the body.
enum Resumed<T> {
    Sent(T),
    Ended(Result<()>),
}

impl<T> Inner<T> {
    /// Begins or continues an operation.
    fn begin(&self, asker: Asker, operation: &str) -> Result<()> {
        let is_asked = self.asker.get().is_some_and(|other| other != asker);
        match self.state.get() {
            State::Done => {}
            State::Running => return Err(running(operation)),
            _ if is_asked => return Err(running(operation)),
            _ => self.asker.set(Some(asker)),
        }
        Ok(())
    }

    /// Ends an operation. If it was closing the generator, and has not finished, the body may send
    /// again.
    fn give_up(&self, asker: Asker) {
        if self.asker.get() == Some(asker) {
            self.asker.set(None);
            self.channel.closing.set(Closing::No);
        }
    }

    /// Polls the body, in an operation that has started.
    fn poll(&self, cx: &mut Context<'_>) -> Poll<Resumed<T>> {
        let Some(mut body) = self.body.take() else { return Poll::Ready(Resumed::Ended(Ok(()))) };
        self.channel.begin(cx);
        let running = Running(self);
        self.state.set(State::Running);
        let ended = body.as_mut().poll(cx);
        drop(running);
        if let Poll::Ready(outcome) = ended {
            drop(body);
            return Poll::Ready(Resumed::Ended(outcome));
        }
        self.state.set(State::Suspended);
        self.body.set(Some(body));
        let Some(value) = self.channel.take() else { return Poll::Pending };
        self.asker.set(None);
        Poll::Ready(Resumed::Sent(value))
    }

    fn poll_close(&self, asker: Asker, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.begin(asker, "aclose")?;
        if self.state.get() == State::Fresh {
            self.end();
        }
        if self.channel.closing.get() == Closing::No {
            self.channel.closing.set(Closing::Asked);
        }
        let turn = self.poll(cx);
        if self.channel.closing.get() == Closing::Ignored {
            self.end();
            return Poll::Ready(Err(Error::runtime("the generator ignored GeneratorExit")));
        }
        Poll::Ready(match ready!(turn) {
            Resumed::Ended(Err(error)) if error.downcast_ref::<GeneratorExit>().is_none() => {
                Err(error)
            }
            _ => Ok(()),
        })
    }

    fn end(&self) {
        self.state.set(State::Done);
        drop(self.body.take());
    }
}

fn running(operation: &str) -> Error {
    Error::runtime(format!("Generator.{operation}: the generator is already running"))
}

/// A poll of the body, which may end by a panic.
struct Running<'a, T>(&'a Inner<T>);

impl<T> Drop for Running<'_, T> {
    fn drop(&mut self) {
        let channel = &self.0.channel;
        channel.running.set(false);
        channel.wait.borrow_mut().disarm();
        self.0.state.set(State::Done);
    }
}

impl<T: 'static> Generator<T> {
    /// Returns the next value; `None` when there are no more (`anext`). This is the stream's `next`
    /// without its trait.
    ///
    /// # Errors
    /// The errors of the body; `Runtime` while the loop closes the generator.
    ///
    /// # Cancellation
    /// See [`generator()`]. Dropping the future stops the body where it is; the next call continues
    /// from there.
    #[allow(clippy::should_implement_trait)] // It is that of a stream.
    #[doc(alias("async for", "__anext__"))]
    pub fn next(&mut self) -> Next<'_, T> {
        Next(self)
    }

    /// Closes the generator (`aclose`): the `send` in which the body is suspended, or its next one,
    /// fails with [`GeneratorExit`], so that the body can clean up. A body that never ran is
    /// dropped. Closing a generator that has ended does nothing.
    ///
    /// # Errors
    /// The error of the body, unless it is `GeneratorExit`; `Runtime` if the body sends another
    /// value instead of ending, if it is running, or while the loop closes the generator.
    ///
    /// # Cancellation
    /// A cancellation arrives at the body's await, as in [`next`](Generator::next). If the future is
    /// dropped before it is ready, the generator stays open.
    pub fn aclose(&mut self) -> Aclose<'_, T> {
        Aclose(self)
    }
}

/// The future of [`Generator::next`].
#[derive(Debug)]
#[must_use = "futures do nothing unless they are awaited"]
pub struct Next<'a, T>(&'a mut Generator<T>);

/// The future of [`Generator::aclose`].
#[derive(Debug)]
#[must_use = "futures do nothing unless they are awaited"]
pub struct Aclose<'a, T>(&'a mut Generator<T>);

impl<T: 'static> Future for Next<'_, T> {
    type Output = Option<Result<T>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<T>>> {
        Pin::new(&mut *self.0).poll_next(cx)
    }
}

impl<T> Drop for Next<'_, T> {
    fn drop(&mut self) {
        self.0.0.give_up(Asker::Handle);
    }
}

impl<T: 'static> Future for Aclose<'_, T> {
    type Output = Result<()>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.0.0.poll_close(Asker::Handle, cx)
    }
}

impl<T> Drop for Aclose<'_, T> {
    fn drop(&mut self) {
        self.0.0.give_up(Asker::Handle);
    }
}

impl<T: 'static> Stream for Generator<T> {
    type Item = Result<T>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<T>>> {
        if let Err(error) = self.0.begin(Asker::Handle, "next") {
            return Poll::Ready(Some(Err(error)));
        }
        if self.0.state.get() == State::Fresh {
            register(Rc::downgrade(&self.0) as Weak<dyn Close>);
        }
        Poll::Ready(match ready!(self.0.poll(cx)) {
            Resumed::Sent(value) => Some(Ok(value)),
            Resumed::Ended(Ok(())) => None,
            Resumed::Ended(Err(error)) => Some(Err(error)),
        })
    }
}

impl<T> fmt::Debug for Generator<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<Generator {:?} made at {}>", self.0.state.get(), self.0.made_at)
    }
}

impl<T> fmt::Debug for Yielder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<Yielder>")
    }
}

impl<T> fmt::Debug for Sending<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}>", self.site)
    }
}
