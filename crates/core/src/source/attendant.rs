//! A handler that is called each time that a source becomes ready, for users that have no task
//! that waits. A transport is one.

use super::{Entry, Readiness, Source};
use crate::{
    Error, Result,
    caught::caught,
    context::{Values, current_values, swap_values},
    exception::ExceptionContext,
    home::{entered, no_loop_here},
    ready::Entry as Step,
    scheduler::Scheduler,
    slots::Key,
};
use std::{fmt, os::fd::AsFd, panic::Location, rc::Rc};

/// What is told when a source becomes ready: a closure, or what else has this method.
pub trait Attend {
    /// Takes the readiness.
    fn hear(&self, news: Readiness);
}

impl<F: Fn(Readiness)> Attend for F {
    fn hear(&self, news: Readiness) {
        self(news);
    }
}

pub(super) struct Attendant {
    callback: Rc<dyn Attend>,
    context: Values,
    location: &'static Location<'static>,
    /// What became ready since the last call; a step is in the ready queue if there is anything.
    news: News,
}

/// A [`Readiness`], or that there is none, in one byte: several that were stored one by one and are
/// loaded together make the processor wait.
#[derive(Clone, Copy, Debug, PartialEq)]
struct News(u8);

impl News {
    const NONE: News = News(0);

    fn of(readiness: Readiness) -> News {
        let Readiness { readable, writable, hangup } = readiness;
        News(8 | u8::from(hangup) << 2 | u8::from(writable) << 1 | u8::from(readable))
    }

    fn readiness(self) -> Readiness {
        let News(bits) = self;
        Readiness { readable: bits & 1 != 0, writable: bits & 2 != 0, hangup: bits & 4 != 0 }
    }
}

impl fmt::Debug for Attendant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "attendant made at {}", self.location)
    }
}

impl Entry {
    /// Adds readiness for the handler. True if it is to be called.
    #[inline]
    pub(super) fn tell(&mut self, readiness: Readiness, tells_hangups: bool) -> bool {
        let Some(attendant) = &mut self.attendant else { return false };
        let before = attendant.news;
        let news = News::of(Readiness { hangup: self.hangup || !tells_hangups, ..readiness });
        attendant.news = News(before.0 | news.0);
        before == News::NONE
    }
}

impl<T: AsFd> Source<T> {
    /// Registers the source, and has `callback` called with the readiness whenever a direction *becomes*
    /// ready: as a step of the iteration of the event, with the context variables of now. What is
    /// ready at registration is reported. The callback has to take all there is, or to
    /// [ask](Source::attend_again) to be called again. In the readiness of an event, `hangup` says that one
    /// was told at any time, or that the driver [tells none](super::Driver::tells_hangups): then what
    /// moved less than it could have says nothing.
    ///
    /// It is held until the source is dropped, or given another handler.
    ///
    /// # Errors
    /// As for [`register`](Source::register).
    #[track_caller]
    pub fn attend(&self, callback: Rc<dyn Attend>) -> Result<()> {
        let at = self.registered_now()?;
        let scheduler = entered().ok_or_else(|| Error::runtime(no_loop_here()))?;
        let (context, location) = (current_values(), Location::caller());
        let attendant = Attendant { callback, context, location, news: News::NONE };
        let replaced = {
            let mut sources = scheduler.sources.borrow_mut();
            sources.entries.get_mut(at.key).and_then(|e| e.attendant.replace(attendant))
        };
        drop(replaced);
        Ok(())
    }

    /// Calls the handler in the next iteration as if `readiness` had just been reported.
    pub fn attend_again(&self, readiness: Readiness) {
        let Ok(Some(at)) = self.registered() else { return };
        let Some(scheduler) = at.home.local() else { return };
        let mut sources = scheduler.sources.borrow_mut();
        let tells_hangups = sources.tells_hangups;
        let Some(entry) = sources.entries.get_mut(at.key) else { return };
        if entry.tell(readiness, tells_hangups) {
            scheduler.push(Step::Source(at.key));
        }
    }
}

impl Scheduler {
    /// Calls the handler of a source.
    #[inline]
    pub(crate) fn run_attendant(&self, key: Key) -> Option<&'static Location<'static>> {
        let mut sources = self.sources.borrow_mut();
        let attendant = sources.entries.get_mut(key)?.attendant.as_mut()?;
        let news = std::mem::replace(&mut attendant.news, News::NONE);
        if news == News::NONE {
            return None;
        }
        let (callback, before) = (attendant.callback.clone(), attendant.context.clone());
        let location = attendant.location;
        drop(sources);
        let outer = swap_values(before.clone());
        let outcome = caught(move || callback.hear(news.readiness()));
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

    /// What a handler set is there at the next call, as with asyncio's handle of a reader.
    #[cold]
    fn keep_context(&self, key: Key, context: Values) {
        let mut sources = self.sources.borrow_mut();
        let attendant = sources.entries.get_mut(key).and_then(|e| e.attendant.as_mut());
        let replaced = attendant.map(|a| std::mem::replace(&mut a.context, context));
        drop(sources);
        drop(replaced);
    }
}
