//! [`receive_signals`]: a stream of signals.

use crate::{EventLoop, get_running_loop};
use asyncio_core::{Error, Result, wait_site::WaitSite};
use asyncio_future::Future;
use std::{
    cell::RefCell,
    collections::VecDeque,
    fmt,
    future::Future as StdFuture,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

/// Receives signals until it is dropped, as an asynchronous iterator (anyio's and trio's
/// `open_signal_receiver`). asyncio has only [`add_signal_handler`](EventLoop::add_signal_handler).
///
/// When the receiver is dropped, the previous dispositions of the signals are restored.
///
/// # Errors
/// `Runtime` without a running loop, or if the loop already handles one of the signals; otherwise as for
/// [`add_signal_handler`](EventLoop::add_signal_handler).
///
/// ```
/// use asyncio::signals::{SIGHUP, SIGUSR1, receive_signals};
///
/// #[asyncio::main]
/// async fn main() -> asyncio::Result<()> {
///     let mut signals = receive_signals([SIGHUP, SIGUSR1])?;
///     # fn kill(signal: i32) { unsafe extern "C" { safe fn raise(signal: i32) -> i32; } raise(signal); }
///     kill(SIGUSR1);
///     while let Some(signal) = signals.next().await {
///         match signal? {
///             SIGHUP => println!("reading the configuration again"),
///             _ => break,
///         }
///     }
///     Ok(())
/// }
/// ```
#[track_caller]
#[doc(alias = "open_signal_receiver")]
pub fn receive_signals(signals: impl IntoIterator<Item = i32>) -> Result<SignalReceiver> {
    let event_loop = get_running_loop()?;
    let mut receiver = SignalReceiver { event_loop, signals: Vec::new(), arrived: Rc::default() };
    for signal in signals {
        if receiver.event_loop.signals().handles(signal) {
            return Err(Error::runtime(format!(
                "receive_signals: signal {signal} already has a handler; remove it first"
            )));
        }
        let arrived = receiver.arrived.clone();
        receiver.event_loop.add_signal_handler(signal, move || {
            let mut arrived = arrived.borrow_mut();
            arrived.signals.push_back(signal);
            arrived.waiting.take().is_some_and(|waiting| waiting.set_result(()).is_ok())
        })?;
        receiver.signals.push(signal);
    }
    Ok(receiver)
}

/// The receiver that [`receive_signals`] returns.
#[must_use = "a receiver that is dropped receives nothing"]
pub struct SignalReceiver {
    event_loop: EventLoop,
    signals: Vec<i32>,
    arrived: Rc<RefCell<Arrived>>,
}

/// The signals that have arrived, and the future that waits for more.
#[derive(Default)]
struct Arrived {
    signals: VecDeque<i32>,
    waiting: Option<Future<()>>,
}

impl SignalReceiver {
    /// Returns the number of the next signal. There is always a next one, so this is never `None`. Signals of
    /// the same number that arrive before the loop looks at them count once.
    ///
    /// # Errors
    /// Only `Cancelled`, as an item.
    ///
    /// # Cancellation
    /// No signal was taken. Dropping the future does the same.
    #[allow(clippy::should_implement_trait, reason = "it is that of a stream")]
    #[track_caller]
    pub fn next(&mut self) -> NextSignal<'_> {
        let site = WaitSite::here(&"SignalReceiver.next");
        NextSignal { receiver: self, waiting: None, site }
    }
}

impl Drop for SignalReceiver {
    fn drop(&mut self) {
        for signal in self.signals.drain(..) {
            // It is a signal: it could be handled.
            let _ = self.event_loop.remove_signal_handler(signal);
        }
    }
}

impl fmt::Debug for SignalReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<SignalReceiver of {:?}>", self.signals)
    }
}

/// The future of [`SignalReceiver::next`].
#[must_use = "futures do nothing unless they are awaited"]
pub struct NextSignal<'a> {
    receiver: &'a mut SignalReceiver,
    waiting: Option<Future<()>>,
    site: WaitSite,
}

impl StdFuture for NextSignal<'_> {
    type Output = Option<Result<i32>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<i32>>> {
        let NextSignal { receiver, waiting, site } = &mut *self;
        if receiver.arrived.borrow().signals.is_empty() {
            let here = receiver.event_loop.home().check_awaited_here(site.what());
            if let Err(error) = here {
                return Poll::Ready(Some(Err(error)));
            }
        }
        if let Some(waiting) = waiting {
            if let Err(error) = ready!(Pin::new(waiting).poll(cx)) {
                return Poll::Ready(Some(Err(error)));
            }
        }
        let mut arrived = receiver.arrived.borrow_mut();
        if let Some(signal) = arrived.signals.pop_front() {
            return Poll::Ready(Some(Ok(signal)));
        }
        let future = waiting.insert(Future::of_operation(*site, None));
        arrived.waiting = Some(future.clone());
        drop(arrived);
        // It was just made, so it is pending, unless the task is cancelled here.
        Pin::new(future).poll(cx).map(|outcome| outcome.err().map(Err))
    }
}

impl Drop for NextSignal<'_> {
    fn drop(&mut self) {
        self.receiver.arrived.borrow_mut().waiting = None;
    }
}

impl fmt::Debug for NextSignal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<next of {:?}>", self.receiver)
    }
}
