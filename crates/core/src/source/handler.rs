//! A handler that is called each time a source becomes ready, for users without a waiting task,
//! such as transports.

use super::{Readiness, Registered, Source};
use crate::{
    Error, Result,
    caught::caught,
    context::{Values, current_values, swap_values},
    exception::ExceptionContext,
    home::{entered, no_loop_here},
    scheduler::{Scheduler, ready::ReadyStep},
    slots::Key,
};
use std::{fmt, os::fd::AsFd, panic::Location, rc::Rc};

/// A handler of readiness: a closure, or any other type with this method.
pub trait OnReady {
    /// Takes the readiness.
    fn on_ready(&self, pending: Readiness);
}

impl<F: Fn(Readiness)> OnReady for F {
    fn on_ready(&self, pending: Readiness) {
        self(pending);
    }
}

pub(super) struct ReadyHandler {
    callback: Rc<dyn OnReady>,
    context: Values,
    location: &'static Location<'static>,
    /// The readiness since the last call; if there is any, a step is in the ready queue.
    pending: Pending,
}

/// A [`Readiness`], or none, in one byte. Several bytes that are stored one by one and loaded
/// together would cause a store-forwarding stall.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Pending(u8);

impl Pending {
    const NONE: Pending = Pending(0);

    fn of(readiness: Readiness) -> Pending {
        let Readiness { readable, writable, hangup } = readiness;
        Pending(8 | u8::from(hangup) << 2 | u8::from(writable) << 1 | u8::from(readable))
    }

    fn readiness(self) -> Readiness {
        let Pending(bits) = self;
        Readiness { readable: bits & 1 != 0, writable: bits & 2 != 0, hangup: bits & 4 != 0 }
    }
}

impl fmt::Debug for ReadyHandler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "handler made at {}", self.location)
    }
}

impl Registered {
    /// Adds readiness for the handler. Returns true if the handler is to be called.
    #[inline]
    pub(super) fn tell(&mut self, readiness: Readiness, tells_hangups: bool) -> bool {
        let Some(handler) = &mut self.handler else { return false };
        let before = handler.pending;
        let pending = Pending::of(Readiness { hangup: self.hangup || !tells_hangups, ..readiness });
        handler.pending = Pending(before.0 | pending.0);
        before == Pending::NONE
    }
}

impl<T: AsFd> Source<T> {
    /// Registers the source, and calls `callback` with the readiness whenever a direction *becomes* ready. The
    /// callback runs as a step in the iteration of the event, with the current context variables. The readiness
    /// at registration is reported too. The callback has to read or write until it would block, or
    /// [ask](Source::call_handler_again) to be called again. In the readiness of an event, `hangup` means that a
    /// hang-up was reported at any time, or that the driver [reports none](super::Driver::tells_hangups): a short
    /// read or write then does not mean that the next one would block.
    ///
    /// The callback is kept until the source is dropped or gets another handler.
    ///
    /// # Errors
    /// As for [`register`](Source::register).
    #[track_caller]
    pub fn set_handler(&self, callback: Rc<dyn OnReady>) -> Result<()> {
        let at = self.registered_now()?;
        let scheduler = entered().ok_or_else(|| Error::runtime(no_loop_here()))?;
        let (context, location) = (current_values(), Location::caller());
        let handler = ReadyHandler { callback, context, location, pending: Pending::NONE };
        let replaced = {
            let mut sources = scheduler.sources.borrow_mut();
            sources.entries.get_mut(at.key).and_then(|e| e.handler.replace(handler))
        };
        drop(replaced);
        Ok(())
    }

    /// Calls the handler in the next iteration as if `readiness` had just been reported.
    pub fn call_handler_again(&self, readiness: Readiness) {
        let Ok(Some(at)) = self.registered() else { return };
        let Some(scheduler) = at.home.local() else { return };
        let mut sources = scheduler.sources.borrow_mut();
        let tells_hangups = sources.tells_hangups;
        let Some(entry) = sources.entries.get_mut(at.key) else { return };
        if entry.tell(readiness, tells_hangups) {
            scheduler.ready.push(ReadyStep::Source(at.key));
        }
    }
}

impl Scheduler {
    /// Calls the handler of a source.
    #[inline]
    pub(crate) fn run_handler(&self, key: Key) -> Option<&'static Location<'static>> {
        let mut sources = self.sources.borrow_mut();
        let handler = sources.entries.get_mut(key)?.handler.as_mut()?;
        let pending = std::mem::replace(&mut handler.pending, Pending::NONE);
        if pending == Pending::NONE {
            return None;
        }
        let (callback, before) = (handler.callback.clone(), handler.context.clone());
        let location = handler.location;
        drop(sources);
        let outer = swap_values(before.clone());
        let outcome = caught(move || callback.on_ready(pending.readiness()));
        let context = swap_values(outer);
        if let Err(panic) = outcome {
            self.report_panic(panic, location, context.clone());
        }
        if !context.is(&before) {
            self.keep_context(key, context);
        }
        Some(location)
    }

    #[cold]
    fn report_panic(&self, panic: Error, location: &'static Location<'static>, context: Values) {
        ExceptionContext::new("Exception in callback")
            .with_exception(panic)
            .with_origin(location)
            .in_values(context)
            .report(self.home());
    }

    /// Keeps the context variables that a handler set for its next call, like asyncio's handle of a
    /// reader.
    #[cold]
    fn keep_context(&self, key: Key, context: Values) {
        let mut sources = self.sources.borrow_mut();
        let handler = sources.entries.get_mut(key).and_then(|e| e.handler.as_mut());
        let replaced = handler.map(|a| std::mem::replace(&mut a.context, context));
        drop(sources);
        drop(replaced);
    }
}
