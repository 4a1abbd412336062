//! The end of generators that outlive the run, which [`shutdown_asyncgens`] closes.

use super::{Asker, Inner, State};
use crate::gather;
use asyncio_core::{
    Result,
    exception::ExceptionContext,
    log::{Level, log},
    raw::{LoopRef, running_loop},
};
use std::{
    cell::RefCell,
    future::Future,
    panic::Location,
    pin::Pin,
    rc::{Rc, Weak},
    task::{Context, Poll},
};

/// A generator of any type, as [`shutdown_asyncgens`] closes it.
pub(super) trait Close {
    fn is_open(&self) -> bool;
    fn poll_close(&self, cx: &mut Context<'_>) -> Poll<Result<()>>;
    fn give_up(&self);
    fn made_at(&self) -> &'static Location<'static>;
}

impl<T: 'static> Close for Inner<T> {
    fn is_open(&self) -> bool {
        self.state.get() != State::Done
    }

    fn poll_close(&self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Inner::poll_close(self, Asker::Shutdown, cx)
    }

    fn give_up(&self) {
        Inner::give_up(self, Asker::Shutdown);
    }

    fn made_at(&self) -> &'static Location<'static> {
        self.made_at
    }
}

/// Closes a generator.
struct Closer(Rc<dyn Close>);

impl Future for Closer {
    type Output = Result<()>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.0.poll_close(cx)
    }
}

impl Drop for Closer {
    fn drop(&mut self) {
        self.0.give_up();
    }
}

/// The generators whose first value was requested on one loop.
struct Registry {
    home: LoopRef,
    live: Vec<Weak<dyn Close>>,
    /// The number of entries at which dropped generators are removed.
    sweep_at: usize,
    shut_down: bool,
}

thread_local! {
    static REGISTRIES: RefCell<Vec<Registry>> = const { RefCell::new(Vec::new()) };
}

/// Calls `f` with the registry of `home`. `None` if the thread ends, and its thread-locals are gone.
fn with_registry<R>(home: LoopRef, f: impl FnOnce(&mut Registry) -> R) -> Option<R> {
    let find = |registries: &RefCell<Vec<Registry>>| {
        let registries = &mut *registries.borrow_mut();
        let index = registries.iter().position(|registry| registry.home == home);
        let index = index.unwrap_or_else(|| {
            registries.retain(|registry| registry.home.is_local());
            registries.push(Registry { home, live: Vec::new(), sweep_at: 16, shut_down: false });
            registries.len() - 1
        });
        f(&mut registries[index])
    };
    REGISTRIES.try_with(find).ok()
}

pub(super) fn register(generator: Weak<dyn Close>) {
    let Some(home) = running_loop() else { return };
    let late = with_registry(home, |registry| {
        if registry.live.len() >= registry.sweep_at {
            registry.live.retain(|generator| generator.strong_count() > 0);
            registry.sweep_at = (2 * registry.live.len()).max(16);
        }
        registry.live.push(generator);
        registry.shut_down
    });
    if late == Some(true) {
        log(Level::Warning, "a generator was started after shutdown_asyncgens");
    }
}

/// Closes every generator that was started on the loop `home`, all at the same time, as
/// `loop.shutdown_asyncgens` does. Errors go to the exception handler. A generator that is being closed
/// may itself await the `aclose` of another one. Call this in a task of that loop.
///
/// # Errors
/// `Runtime` without a running loop.
///
/// # Cancellation
/// Cancels the clean-up of the generators.
// For the crate of the loop, whose method users call.
#[doc(hidden)]
pub async fn shutdown_asyncgens(home: LoopRef) -> Result<()> {
    let live = with_registry(home, |registry| {
        registry.shut_down = true;
        std::mem::take(&mut registry.live)
    });
    let live = live.unwrap_or_default();
    let open: Vec<Rc<dyn Close>> =
        live.iter().filter_map(Weak::upgrade).filter(|generator| generator.is_open()).collect();
    if open.is_empty() {
        return Ok(());
    }
    let outcomes = gather(open.iter().cloned().map(Closer)).return_exceptions().await?;
    for (generator, outcome) in open.iter().zip(outcomes) {
        if let Err(error) = outcome {
            ExceptionContext::new("an error occurred during closing of a generator")
                .with_exception(error)
                .with_note("asyncgen", format_args!("made at {}", generator.made_at()))
                .report(Some(home));
        }
    }
    Ok(())
}
