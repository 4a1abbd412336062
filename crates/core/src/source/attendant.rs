//! An attendant: what is called each time that a source becomes ready, for those who have no task
//! that waits. A transport is one.

use super::{Readiness, Source, Sources};
use crate::{
    Error, Result,
    context::{Values, current_values, swap_values},
    exception::ExceptionContext,
    home::entered,
    scheduler::{Entry as Step, Scheduler},
    slots::Key,
};
use std::{
    fmt,
    os::fd::AsFd,
    panic::{AssertUnwindSafe, Location, catch_unwind},
    rc::Rc,
};

pub(super) struct Attendant {
    callback: Rc<dyn Fn(Readiness)>,
    context: Values,
    location: &'static Location<'static>,
    /// What became ready since the last call; a step is in the ready queue if there is anything.
    news: Option<Readiness>,
}

impl fmt::Debug for Attendant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "attendant made at {}", self.location)
    }
}

impl Attendant {
    /// Adds to the news. True if there were none.
    pub(super) fn hear(&mut self, readiness: Readiness) -> bool {
        let first = self.news.is_none();
        let news = self.news.get_or_insert_default();
        news.readable |= readiness.readable;
        news.writable |= readiness.writable;
        news.hangup |= readiness.hangup;
        first
    }
}

impl Sources {
    /// Adds to the news of an attendant. True if it is to be called.
    #[inline]
    pub(super) fn tell(&mut self, key: Key, readiness: Readiness) -> bool {
        let tells_hangups = self.tells_hangups;
        let Some(entry) = self.entries.get_mut(key) else { return false };
        let Some(attendant) = &mut entry.attendant else { return false };
        attendant.hear(Readiness { hangup: entry.hangup || !tells_hangups, ..readiness })
    }
}

impl<T: AsFd> Source<T> {
    /// Registers the source, and has `callback` called with the news whenever a direction *becomes*
    /// ready: as a step of the iteration of the event, with the context variables of now. What is
    /// ready at registration is news. The callback has to take all there is, or to
    /// [ask](Source::attend_again) to be called again. In the news of an event, `hangup` says that one
    /// was told at any time, or that the driver [tells none](super::Driver::tells_hangups): then what
    /// moved less than it could have says nothing.
    ///
    /// It is held until the source is dropped, or given another attendant.
    ///
    /// # Errors
    /// As for [`register`](Source::register).
    #[track_caller]
    pub fn attend(&self, callback: Rc<dyn Fn(Readiness)>) -> Result<()> {
        let at = self.registered_now()?;
        let scheduler = entered().ok_or_else(|| Error::runtime("no running event loop"))?;
        let (context, location) = (current_values(), Location::caller());
        let attendant = Attendant { callback, context, location, news: None };
        let replaced = {
            let mut sources = scheduler.sources.borrow_mut();
            sources.entries.get_mut(at.key).and_then(|e| e.attendant.replace(attendant))
        };
        drop(replaced);
        Ok(())
    }

    /// Calls the attendant in the next iteration as if `readiness` were news.
    pub fn attend_again(&self, readiness: Readiness) {
        let Ok(Some(at)) = self.registered() else { return };
        let Some(scheduler) = at.home.local() else { return };
        let mut sources = scheduler.sources.borrow_mut();
        if sources.tell(at.key, readiness) {
            scheduler.push(Step::Source(at.key));
        }
    }
}

impl Scheduler {
    /// Tells the attendant of a source the news.
    pub(crate) fn run_attendant(&self, key: Key) -> Option<&'static Location<'static>> {
        let mut sources = self.sources.borrow_mut();
        let attendant = sources.entries.get_mut(key)?.attendant.as_mut()?;
        let news = attendant.news.take()?;
        let (callback, context) = (attendant.callback.clone(), attendant.context.clone());
        let location = attendant.location;
        drop(sources);
        let outer = swap_values(context);
        let outcome = catch_unwind(AssertUnwindSafe(move || callback(news)));
        let context = swap_values(outer);
        if let Err(panic) = outcome {
            ExceptionContext::new("Exception in callback")
                .with_exception(Error::from_panic(panic))
                .with_origin(location)
                .in_values(context.clone())
                .report(self.home());
        }
        // What it set is there at the next call, as with asyncio's handle of a reader.
        let mut sources = self.sources.borrow_mut();
        let attendant = sources.entries.get_mut(key).and_then(|e| e.attendant.as_mut());
        let replaced = attendant.map(|a| std::mem::replace(&mut a.context, context));
        drop(sources);
        drop(replaced);
        Some(location)
    }
}
