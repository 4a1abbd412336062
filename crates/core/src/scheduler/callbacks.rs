//! Callbacks: registering them, making them ready, and cancelling them.

use super::Scheduler;
use crate::{
    Result,
    context::Values,
    home::Message,
    scheduler::{clock::nanos, ready::ReadyStep, timers::Action},
    slots::Key,
    task::listeners::CallbackRef,
    wait::{Wait, Waiter},
};
use std::{panic::Location, time::Duration};

impl Scheduler {
    /// Schedules a callback for the next iteration.
    pub fn call_soon(
        &self,
        callback: impl FnOnce() -> Result<()> + 'static,
        context: Values,
        location: &'static Location<'static>,
    ) -> Result<CallbackRef> {
        let parked = self.park(callback, context, location)?;
        self.ready.push(ReadyStep::Callback(parked.key));
        Ok(parked)
    }

    /// Schedules a callback for `when`, in loop time.
    pub fn call_at(
        &self,
        when: Duration,
        callback: impl FnOnce() -> Result<()> + 'static,
        context: Values,
        location: &'static Location<'static>,
    ) -> Result<CallbackRef> {
        let home = self.check_open()?;
        let (when, closure) = (Some(nanos(when)), Box::new(callback));
        let key = self.timers.callbacks().park_call(when, closure, context, location);
        Ok(CallbackRef { place: home.place(), key })
    }

    /// Registers a callback that becomes ready when [`CallbackRef::fire`] is called.
    pub fn park(
        &self,
        callback: impl FnOnce() -> Result<()> + 'static,
        context: Values,
        location: &'static Location<'static>,
    ) -> Result<CallbackRef> {
        let home = self.check_open()?;
        let closure = Box::new(callback);
        let key = self.timers.callbacks().park_call(None, closure, context, location);
        Ok(CallbackRef { place: home.place(), key })
    }

    /// Sets a timer that ends a wait after `delay`, in nanoseconds. Needs no allocation if the wait is
    /// the first of a task. Returns `None` if the loop is closed, or the wait is not armed.
    pub fn wake_after(
        &self,
        delay: u64,
        wait: &Wait,
        location: &'static Location<'static>,
    ) -> Option<CallbackRef> {
        let place = self.check_open().ok()?.place();
        let when = Some(self.timers.now().saturating_add(delay));
        let key = match wait.first_in(place) {
            Some((task, number)) => {
                self.timers.callbacks().park(when, Action::Resume { task, number })
            }
            None => {
                let wake = waking(wait.waiter()?);
                self.timers.callbacks().park_call(when, wake, Values::default(), location)
            }
        };
        Some(CallbackRef { place, key })
    }

    /// Registers a callback that cancels the contents of a scope at `when`. Needs no allocation. A
    /// time in the past takes effect in the next iteration.
    pub(crate) fn expire_at(&self, when: Duration, scope: Key) -> Key {
        let when = Some(nanos(when)).filter(|when| *when > self.timers.passed());
        let key = self.timers.callbacks().park(when, Action::Expire(scope));
        if when.is_none() {
            self.ready.push(ReadyStep::Callback(key));
        }
        key
    }

    /// Replaces the sleeper that a timer wakes; if the timer has fired, the new sleeper is woken
    /// immediately.
    pub(crate) fn replace_waiter(
        &self,
        timer: Key,
        waiter: Waiter,
        location: &'static Location<'static>,
    ) {
        if !self.timers.callbacks().contains(timer) {
            waiter.wake_now();
            return;
        }
        let mut callbacks = self.timers.callbacks();
        let call = callbacks.call(waking(waiter), Values::default(), location);
        let previous = callbacks.replace(timer, Action::Call(call));
        drop(callbacks);
        if let Some(action) = previous {
            self.drop_call(action);
        }
    }

    pub(crate) fn fire(&self, key: Key) {
        if self.timers.callbacks().contains(key) {
            self.ready.push(ReadyStep::Callback(key));
        }
    }

    pub(crate) fn cancel(&self, key: Key) -> bool {
        let taken = self.timers.callbacks().take(key);
        taken.map(|action| self.drop_call(action)).is_some()
    }

    /// Drops the closure of a callback that has not run.
    fn drop_call(&self, action: Action) {
        if let Action::Call(call) = action {
            drop(self.timers.take_call(call));
        }
    }

    /// Handles a message from another thread.
    pub fn deliver(&self, message: Message) {
        match message {
            Message::Task(task) => task.wake(),
            Message::Fire(key) => self.fire(key),
            Message::Quiet(quiet) => quiet(),
            Message::Call(call) => {
                let _ = self.call_soon(call, Values::default(), Location::caller());
            }
        }
    }
}

/// The call of a timer whose sleep is not the first wait of a task.
fn waking(waiter: Waiter) -> Box<dyn FnOnce() -> Result<()>> {
    Box::new(move || {
        waiter.wake_now();
        Ok(())
    })
}
