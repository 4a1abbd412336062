//! [`shield`]: protects an awaitable from a cancellation of its awaiter.

use crate::future_like::{Awaitable, Child, FutureLike, sealed::Sealed as _};
use asyncio_core::{Result, exception::ExceptionContext, raw::caught, wait_site::WaitSite};
use asyncio_future::{Future, Take};
use std::{
    fmt,
    future::{Future as StdFuture, IntoFuture},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

/// Awaits a task or coroutine that is not cancelled when the awaiting task is (`asyncio.shield`).
///
/// A coroutine becomes a task at this call. An argument that is already done is returned as it is.
///
/// # Cancellation
/// Returns `Err(Cancelled)` immediately, while the shielded task continues; if it then fails, the
/// error goes to the exception handler. If the shielded task itself is cancelled, the await returns
/// that cancellation. Dropping the shield does what a cancellation does.
///
/// ```
/// #[asyncio::main]
/// async fn main() -> asyncio::Result<()> {
///     let saved = asyncio::shield(async { Ok("saved") }).await?;
///     assert_eq!(saved, "saved");
///     Ok(())
/// }
/// ```
#[doc(alias = "asyncio.shield")]
#[track_caller]
pub fn shield<F, T>(awaitable: F) -> Shield<T>
where
    F: IntoFuture<Output = Result<T>>,
    F::IntoFuture: 'static,
    T: 'static,
{
    let site = WaitSite::here(&"shield");
    let inner = Rc::new(Child::ensure(awaitable, site.location()));
    if inner.done() {
        let Ok(inner) = Rc::try_unwrap(inner) else { unreachable!("not shared yet") };
        return Shield(State::Done(inner));
    }
    let outer = Future::of_loop(site, inner.target());
    let linked = link(&inner, &outer);
    if let Err(error) = linked {
        let _ = outer.set_exception(error);
    }
    Shield(State::Outer(outer.take()))
}

fn link<T: 'static>(inner: &Rc<Child<T>>, outer: &Future<T>) -> Result<()> {
    inner.check_awaited_here()?;
    let (child, follower) = (inner.clone(), Follower(outer.clone()));
    let following = inner.on_done(move || {
        let Follower(follower) = &follower;
        if follower.cancelled() {
            return;
        }
        if child.cancelled() {
            follower.cancel();
            return;
        }
        // It is pending, because it was not cancelled and nothing else sets it.
        let _ = match caught(|| child.retrieve()).unwrap_or_else(Err) {
            Ok(value) => follower.set_result(value).map_err(Into::into),
            Err(error) => follower.set_exception(error),
        };
    })?;
    let child = inner.clone();
    outer.add_done_callback(move |_| {
        if child.done() {
            return;
        }
        child.remove_done_callback(&following);
        let late = child.clone();
        if let Ok(callback) = child.on_done(move || report(&late)) {
            child.replace_late_report(callback);
        }
    })?;
    Ok(())
}

/// Owned by the callback of the shielded awaitable. If the callback is dropped without having run, the
/// loop is closed.
struct Follower<T>(Future<T>);

impl<T> Drop for Follower<T> {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

/// Reports a failure that nothing awaits any more to the exception handler.
fn report<T: 'static>(child: &Child<T>) {
    if child.cancelled() {
        return;
    }
    if let Ok(Some(error)) = child.exception() {
        ExceptionContext::new(format!("{} exception in shielded future", error.kind()))
            .with_exception(error)
            .report(None);
    }
}

/// The future of [`shield`].
#[must_use = "futures do nothing unless they are awaited"]
pub struct Shield<T>(State<T>);

enum State<T> {
    /// It was already done at the call.
    Done(Child<T>),
    Outer(Take<T>),
    /// It was taken out.
    Taken,
}

impl<T: 'static> Shield<T> {
    /// Returns the underlying future, which can be cancelled, take callbacks, and be awaited by
    /// several tasks. If the argument was already done at the call, this is the argument itself.
    pub fn into_inner(mut self) -> Awaitable<T> {
        match std::mem::replace(&mut self.0, State::Taken) {
            State::Done(child) => child.into_awaitable(),
            State::Outer(outer) => Awaitable::Future(outer.into_inner()),
            State::Taken => unreachable!("only this takes it"),
        }
    }
}

/// Nothing is left that waits for the shielded task, which may run on for long.
impl<T> Drop for Shield<T> {
    fn drop(&mut self) {
        if let State::Outer(outer) = &self.0 {
            let outer = outer.future();
            // If it is done, a cancellation would count as retrieving its error.
            if !outer.done() {
                outer.cancel();
            }
        }
    }
}

impl<T> Unpin for Shield<T> {}

impl<T: 'static> StdFuture for Shield<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        match &mut self.0 {
            State::Done(child) => Poll::Ready(child.retrieve()),
            State::Outer(outer) => Pin::new(outer).poll(cx),
            State::Taken => unreachable!("only `into_inner` takes it"),
        }
    }
}

impl<T> fmt::Debug for Shield<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            State::Done(_) => f.write_str("<Shield done>"),
            State::Outer(outer) => f.debug_tuple("Shield").field(outer).finish(),
            State::Taken => f.write_str("<Shield>"),
        }
    }
}
