//! Opening and closing: the homes without a loop, which the next loops of a thread take.

use super::{Home, LoopRef, Message, Remote, thread_id};
use crate::{
    layout,
    metrics::counters::Counters,
    scheduler::Scheduler,
    sync::{AtomicU64, Ordering},
};
use std::{
    any::Any,
    cell::RefCell,
    sync::{Mutex, OnceLock},
};

/// The vacant homes of this thread.
#[derive(Default)]
struct Vacant(RefCell<Vec<&'static Home>>);

/// The vacant homes of threads that ended.
static ORPHANED: Mutex<Vec<&'static Home>> = Mutex::new(Vec::new());

impl Drop for Vacant {
    fn drop(&mut self) {
        let mut orphaned = ORPHANED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        for home in self.0.take() {
            home.thread.store(0, Ordering::Relaxed);
            orphaned.push(home);
        }
    }
}

thread_local! {
    static VACANT: Vacant = Vacant::default();
    /// The homes of loops that other thread-locals close when [`VACANT`] is already destroyed. Its
    /// destructor runs after theirs, because it is created while they run.
    static VACATED_LATE: Vacant = Vacant::default();
}

impl Home {
    fn leak(remote: Box<dyn Remote>) -> &'static Home {
        let (thread, id) = (AtomicU64::new(0), AtomicU64::new(0));
        let (scheduler, keepers) = (Scheduler::new(), Mutex::new(Vec::new()));
        let (counters, next) = (Counters::default(), Default::default());
        let home = Home { thread, id, scheduler, counters, remote, keepers, next };
        let home = Box::leak(Box::new(home));
        layout::publish(home);
        home
    }
}

impl LoopRef {
    /// Opens a loop on this thread, with a virtual clock or the machine's. `remote` is called only
    /// if there is no vacant home, so every loop of a process must use the same kind.
    pub fn open(is_virtual: bool, remote: impl FnOnce() -> Box<dyn Remote>) -> LoopRef {
        static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
        let home = LoopRef::vacant().unwrap_or_else(|| Home::leak(remote()));
        let id = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        home.thread.store(thread_id(), Ordering::Relaxed);
        home.counters.reset();
        home.id.store(id, Ordering::Relaxed);
        let this = LoopRef { home, id };
        home.scheduler.open(this, is_virtual);
        this
    }

    fn vacant() -> Option<&'static Home> {
        if cfg!(loom) {
            // Nothing outlives one execution of a model.
            return None;
        }
        let kept = VACANT.try_with(|vacant| vacant.0.borrow_mut().pop()).ok().flatten();
        kept.or_else(|| ORPHANED.lock().unwrap_or_else(|p| p.into_inner()).pop())
    }

    /// Creates a reference to a loop that does not exist; every use of it fails.
    pub fn nowhere() -> LoopRef {
        struct NoLoop;
        impl Remote for NoLoop {
            fn push(&self, _: u64, message: Message) -> Result<(), Message> {
                Err(message)
            }
            fn close(&self, _: &mut dyn FnMut(Message)) {}
            fn as_any(&self) -> &dyn Any {
                self
            }
        }
        static NOWHERE: OnceLock<&'static Home> = OnceLock::new();
        let home = NOWHERE.get_or_init(|| Home::leak(Box::new(NoLoop)));
        LoopRef { home, id: 0 }
    }

    /// Vacates the home; the scheduler must have been emptied. No reference to the loop works any
    /// more.
    pub(crate) fn vacate(self) {
        if self.local().is_some() {
            self.home.id.store(0, Ordering::Relaxed);
            if cfg!(loom) {
                return; // As in `vacant`.
            }
            let keep = |vacant: &Vacant| vacant.0.borrow_mut().push(self.home);
            // Not given away immediately, because the code that closes the loop may still use its
            // scheduler.
            if VACANT.try_with(keep).is_err() {
                let _ = VACATED_LATE.try_with(keep);
            }
        }
    }
}
