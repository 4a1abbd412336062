//! A loop for the unit tests of its I/O half: a scheduler, a selector, and turns on demand.

use crate::{
    inbox::Inbox,
    selector::{Notifier, Selector},
    watchers::Action,
};
use asyncio_core::{
    Result,
    event_loop::{AbstractEventLoop, Job},
    raw::{LoopRef, Scheduler},
    source::Direction,
};
use std::{
    any::Any,
    future::Future,
    os::fd::RawFd,
    panic::Location,
    pin::pin,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

/// Longer than anything here takes: a test that waits this long has failed.
pub(crate) const FOR_EVER: Duration = Duration::from_secs(60);

pub(crate) struct TestLoop {
    pub(crate) home: LoopRef,
    pub(crate) selector: Selector,
    inbox: &'static Inbox<Arc<Notifier>>,
}

struct Woken {
    flag: AtomicBool,
    notifier: Arc<Notifier>,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.flag.store(true, Ordering::Release);
        self.notifier.notify();
    }
}

/// Runs jobs on threads of their own.
#[derive(Debug)]
struct Threads;

impl AbstractEventLoop for Threads {
    fn submit(&self, job: Job) -> Result<()> {
        std::thread::spawn(job);
        Ok(())
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl TestLoop {
    pub(crate) fn new() -> TestLoop {
        let selector = Selector::new().unwrap();
        let home = LoopRef::open(false, || Box::new(Inbox::<Arc<Notifier>>::new()));
        let inbox = home.remote().as_any().downcast_ref::<Inbox<Arc<Notifier>>>().unwrap();
        inbox.open(home.id(), selector.notifier());
        let this = TestLoop { home, selector, inbox };
        this.with(|scheduler| {
            this.selector.attach(scheduler);
            scheduler.set_event_loop(Rc::new(Threads));
        });
        this
    }

    pub(crate) fn with<R>(&self, f: impl FnOnce(&Scheduler) -> R) -> R {
        self.home.with(f).expect("open until it is dropped")
    }

    /// One look at the selector. Returns how many events there were.
    pub(crate) fn poll(&self, timeout: Option<Duration>) -> usize {
        self.with(|scheduler| {
            let events = self.selector.poll(timeout, scheduler);
            scheduler.timers.look_at_machine();
            events
        })
        .unwrap()
    }

    /// Calls `action` when `watched` is ready.
    #[track_caller]
    pub(crate) fn watch(&self, watched: (RawFd, Direction), action: Action) {
        let (watchers, location) = (self.selector.watchers(), Location::caller());
        let set = |scheduler: &_| watchers.set(scheduler, watched, "add_reader", action, location);
        self.with(set).unwrap();
    }

    /// Ends what [`watch`](TestLoop::watch) began.
    pub(crate) fn unwatch(&self, watched: (RawFd, Direction)) -> Result<bool> {
        self.with(|scheduler| self.selector.watchers().unset(scheduler, watched))
    }

    /// One iteration that waits at most `timeout`. Returns how many events there were.
    pub(crate) fn turn(&self, timeout: Duration) -> usize {
        self.home.enter(|| {
            self.with(|scheduler| {
                let timeout = if scheduler.has_ready() { Duration::ZERO } else { timeout };
                let events = self.poll(Some(timeout));
                self.inbox.take_messages(|message| scheduler.deliver(message));
                scheduler.move_due_timers(|| None);
                scheduler.run_ready();
                events
            })
        })
    }

    /// Takes turns until `future` is done.
    pub(crate) fn block_on<F: Future>(&self, future: F) -> F::Output {
        let woken =
            Arc::new(Woken { flag: AtomicBool::new(true), notifier: self.selector.notifier() });
        let waker = Waker::from(woken.clone());
        let mut future = pin!(future);
        loop {
            if woken.flag.swap(false, Ordering::AcqRel) {
                let mut cx = Context::from_waker(&waker);
                let outcome = self.home.enter(|| future.as_mut().poll(&mut cx));
                if let Poll::Ready(output) = outcome {
                    return output;
                }
            }
            self.turn(FOR_EVER);
        }
    }
}

impl Drop for TestLoop {
    fn drop(&mut self) {
        self.home.with(|scheduler| {
            self.inbox.close(|message| scheduler.deliver(message));
            scheduler.close().unwrap();
        });
    }
}
