//! [`LoopLocal`]: a value that lives in a loop, behind a handle that may be moved anywhere.
//!
//! Transports, servers and child processes belong to their loop: they may hold values that cannot be sent to
//! another thread, live until they are closed, whether or not there are handles, and are dropped with the
//! loop, on its thread. A program holds a `LoopLocal`: two words, `Copy`, `Send` and `Sync`.
//!
//! ```
//! use std::{cell::Cell, rc::Rc};
//! # fn example() -> asyncio_core::Result<()> {
//! let count = asyncio_core::raw::LoopLocal::new(Rc::new(Cell::new(1)))?;
//! count.with(|count| count.set(2));
//! assert_eq!(count.get().unwrap().get(), 2);
//! count.remove();
//! assert!(count.get().is_none());
//! # Ok(())
//! # }
//! ```

use crate::{
    Error, Result,
    home::{LoopRef, Message, no_loop_here, with_entered},
    scheduler::Scheduler,
    slots::Key,
};
use std::{fmt, marker::PhantomData, rc::Rc};

/// A handle to a value that lives in a loop.
pub struct LoopLocal<T> {
    home: LoopRef,
    key: Key,
    value: PhantomData<fn() -> T>,
}

impl Scheduler {
    /// Keeps a value in this loop, as [`LoopLocal::new`] does in the running one.
    fn keep<T: 'static>(&self, value: Rc<T>) -> Result<LoopLocal<T>> {
        let home = self.check_open()?;
        let key = self.locals.borrow_mut().insert(value);
        Ok(LoopLocal { home, key, value: PhantomData })
    }
}

impl<T: 'static> LoopLocal<T> {
    /// Moves a value into the loop that runs in this thread, until it is [removed](LoopLocal::remove)
    /// or the loop is closed.
    ///
    /// # Errors
    /// `Runtime` if no loop runs, or if it is being closed.
    pub fn new(value: Rc<T>) -> Result<LoopLocal<T>> {
        let kept = with_entered(|scheduler| scheduler.keep(value));
        kept.unwrap_or_else(|| Err(Error::runtime(no_loop_here())))
    }

    /// Returns the value; `None` if it was removed, if its loop is closed, or on another thread.
    #[inline]
    pub fn get(self) -> Option<Rc<T>> {
        let value = self.home.local()?.locals.borrow().get(self.key)?.clone();
        value.downcast().ok()
    }

    /// Calls `f` with the value, if there is one here.
    pub fn with<R>(self, f: impl FnOnce(&T) -> R) -> Option<R> {
        self.get().map(|value| f(&value))
    }

    /// Takes the value out of the loop, on the loop's thread.
    pub fn remove(self) -> Option<Rc<T>> {
        let value = self.home.local()?.locals.borrow_mut().remove(self.key)?;
        value.downcast().ok()
    }

    /// Calls `f` with the value: immediately on the loop's thread, or soon, as a step of the loop,
    /// from another thread. Nothing happens if the value is gone.
    pub fn send(self, f: impl FnOnce(&T) + Send + 'static) {
        if self.home.is_local() {
            self.with(f);
        } else {
            let call = move || {
                self.with(f);
                Ok(())
            };
            let _ = self.home.send(Message::Call(Box::new(call)));
        }
    }

    /// Returns the loop that owns it.
    pub fn home(self) -> LoopRef {
        self.home
    }
}

impl<T> Clone for LoopLocal<T> {
    fn clone(&self) -> LoopLocal<T> {
        *self
    }
}

impl<T> Copy for LoopLocal<T> {}

impl<T> PartialEq for LoopLocal<T> {
    fn eq(&self, other: &LoopLocal<T>) -> bool {
        self.home == other.home && self.key == other.key
    }
}

impl<T> Eq for LoopLocal<T> {}

impl<T> fmt::Debug for LoopLocal<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoopLocal").field("loop", &self.home).field("key", &self.key).finish()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::home::{LoopRef, test_remote::TestRemote};
    use std::cell::Cell;

    #[test]
    fn a_value_is_found_until_it_is_removed() {
        let home = LoopRef::open(false, || Box::new(TestRemote));
        let scheduler = home.local().unwrap();
        let one = scheduler.keep(Rc::new(Cell::new(1))).unwrap();
        let two = scheduler.keep(Rc::new(Cell::new(2))).unwrap();
        one.send(|value| value.set(3));
        assert_eq!(one.remove().unwrap().get(), 3);
        assert!(one.get().is_none());
        assert_eq!(two.get().unwrap().get(), 2);
        assert!(std::thread::spawn(move || two.get().is_none()).join().unwrap());
        scheduler.close().unwrap();
    }

    #[test]
    fn what_is_left_is_dropped_with_the_loop_and_may_not_come_back() {
        struct Returns(LoopRef, Rc<Cell<bool>>);
        impl Drop for Returns {
            fn drop(&mut self) {
                let scheduler = self.0.local().expect("still there");
                self.1.set(scheduler.keep(Rc::new(1)).is_err());
            }
        }
        let home = LoopRef::open(false, || Box::new(TestRemote));
        let refused = Rc::new(Cell::new(false));
        let scheduler = home.local().unwrap();
        let local = scheduler.keep(Rc::new(Returns(home, refused.clone()))).unwrap();
        scheduler.close().unwrap();
        assert!(refused.get());
        assert!(local.get().is_none());
    }
}
