//! [`RawLock`]: asyncio's lock without anything in it.
//!
//! One word decides which caller gets the lock, so that an uncontended acquire and an uncontended release
//! are one atomic operation each:
//!
//! ```text
//!   number of the hold (62 bits) │ QUEUED │ HELD
//! ```
//!
//! - HELD: the lock is held.
//! - QUEUED: the queue is not empty. Set and cleared under the queue's mutex; while it is set,
//!   the whole word changes only under that mutex.
//! - Each release adds one to the number. A [`Hold`] knows its number, so a hold that was released
//!   elsewhere is recognised and does nothing.
//!
//! Between a release and the next step of the first waiter, the lock is free and that waiter is
//! woken. No other caller takes the lock meanwhile, because a queue with claims is never overtaken.

use crate::waiters::{Deferred, Polled, QueuedWait, WaitQueue};
use asyncio_core::{
    Result,
    raw::sync::{self, AtomicU64, Mutex, Ordering, keep, mutant},
    wait_site::WaitSite,
};
use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

const HELD: u64 = 1;
const QUEUED: u64 = 2;
const NUMBER: u64 = 4;

pub(crate) struct RawLock {
    word: AtomicU64,
    queue: Mutex<WaitQueue>,
}

/// The lock is held, and the owner of this value may release it. Dropping it releases nothing.
#[must_use]
pub(crate) struct Hold<'a> {
    raw: &'a RawLock,
    number: u64,
}

impl fmt::Debug for Hold<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hold({})", self.number)
    }
}

impl Hold<'_> {
    /// Whether the lock was not released elsewhere.
    pub(crate) fn is_valid(&self) -> bool {
        let word = self.raw.word.load(Ordering::Relaxed);
        word & HELD != 0 && word / NUMBER == self.number
    }

    /// Takes the hold apart; [`RawLock::hold`] puts it together again, once.
    pub(crate) fn into_number(self) -> u64 {
        self.number
    }

    pub(crate) fn is_of(&self, raw: &RawLock) -> bool {
        std::ptr::eq(self.raw, raw)
    }

    /// Releases the lock and wakes the first waiter. Returns false if the lock was released
    /// elsewhere.
    pub(crate) fn release(self) -> bool {
        self.raw.release_number(self.number)
    }
}

impl fmt::Debug for RawLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lock")
            .field("locked", &self.is_locked())
            .field("waiters", &self.queue.lock().len())
            .finish()
    }
}

impl RawLock {
    const_fn! {
        pub(crate) fn new() -> RawLock {
            RawLock { word: AtomicU64::new(0), queue: Mutex::new(WaitQueue::new()) }
        }
    }

    pub(crate) fn is_locked(&self) -> bool {
        self.word.load(Ordering::Acquire) & HELD != 0
    }

    /// Takes the lock if it is free and there is no claim on it.
    pub(crate) fn try_acquire(&self) -> Option<Hold<'_>> {
        let word = self.word.load(Ordering::Relaxed);
        if word & (HELD | QUEUED) == 0 && self.change(word, word | HELD) {
            return Some(Hold { raw: self, number: word / NUMBER });
        }
        if word & HELD != 0 {
            return None;
        }
        let queue = self.queue.lock();
        if queue.has_claims() { None } else { self.take() }
    }

    /// Returns the hold of this number, which was taken apart.
    pub(crate) fn hold(&self, number: u64) -> Hold<'_> {
        Hold { raw: self, number }
    }

    /// Returns the future of the lock, for a wait that is reported as `site`.
    pub(crate) fn acquire(&self, site: WaitSite) -> RawAcquire<'_> {
        RawAcquire { raw: self, place: QueuedWait::new(), site }
    }

    /// Releases the lock, whichever caller holds it. Returns false if it is free.
    pub(crate) fn release_any(&self) -> bool {
        loop {
            let word = self.word.load(Ordering::Relaxed);
            if word & HELD == 0 {
                return false;
            }
            if self.release_number(word / NUMBER) {
                return true;
            }
        }
    }

    fn change(&self, from: u64, to: u64) -> bool {
        sync::change("lock_taken_twice", &self.word, from, to)
    }

    /// [`change`](RawLock::change) under the queue's mutex: no other thread changes a word with QUEUED, so
    /// it is simply written.
    fn change_in_line(&self, from: u64, to: u64) -> bool {
        if from & QUEUED == 0 {
            return self.change(from, to);
        }
        self.word.store(to, Ordering::Release);
        true
    }

    /// Takes the lock if it is free. The caller takes care of the queue.
    fn take(&self) -> Option<Hold<'_>> {
        let mut word = self.word.load(Ordering::Relaxed);
        while word & HELD == 0 {
            if self.change_in_line(word, word | HELD) {
                return Some(Hold { raw: self, number: word / NUMBER });
            }
            word = self.word.load(Ordering::Relaxed);
        }
        None
    }

    /// Takes the lock, or marks in the word that the queue is not empty. Under the queue's mutex.
    fn take_or_queue(&self, queue: &WaitQueue) -> Option<Hold<'_>> {
        let may_take = !queue.has_claims();
        loop {
            let word = self.word.load(Ordering::Relaxed);
            if word & HELD == 0 && may_take {
                if self.change(word, word | HELD) {
                    return Some(Hold { raw: self, number: word / NUMBER });
                }
            } else if word & QUEUED != 0 || self.change(word, word | QUEUED) {
                return None;
            } else if mutant("lock_queues_unseen") {
                self.word.fetch_or(QUEUED, Ordering::Relaxed);
                return None;
            }
        }
    }

    fn release_number(&self, number: u64) -> bool {
        let word = number * NUMBER;
        let is_queued = self.word.load(Ordering::Relaxed) & QUEUED != 0;
        let freed = word + NUMBER;
        if !is_queued && sync::change("lock_released_twice", &self.word, word | HELD, freed) {
            return true;
        }
        let mut after = Deferred::new();
        let mut queue = self.queue.lock();
        loop {
            let word = self.word.load(Ordering::Relaxed);
            if word & HELD == 0 || word / NUMBER != number {
                return false;
            }
            if self.change_in_line(word, (word & !HELD) + NUMBER) {
                queue.wake_first(&mut after);
                return true;
            }
        }
    }

    /// A waiter has left the queue. Under the queue's mutex.
    fn left(&self, queue: &WaitQueue) {
        if queue.is_empty() {
            self.word.fetch_and(!QUEUED, Ordering::Relaxed);
        }
    }

    /// Wakes the first in the queue if the lock is free.
    fn pass_on(&self, queue: &mut WaitQueue, after: &mut Deferred) {
        if !self.is_locked() {
            queue.wake_first(after);
        }
    }
}

/// Waiting for the lock.
impl RawLock {
    /// Takes the lock as soon as the waiter is first. It may be polled again after it is done; then it
    /// waits again.
    pub(crate) fn poll_acquire(
        &self,
        place: &mut QueuedWait,
        cx: &mut Context<'_>,
        site: WaitSite,
    ) -> Poll<Result<Hold<'_>>> {
        if !place.is_taken() {
            let word = self.word.load(Ordering::Relaxed);
            if word & (HELD | QUEUED) == 0 && self.change(word, word | HELD) {
                return Poll::Ready(Ok(Hold { raw: self, number: word / NUMBER }));
            }
        }
        let mut after = Deferred::new();
        let mut queue = self.queue.lock();
        if !place.is_taken() {
            if let Some(hold) = self.take_or_queue(&queue) {
                return Poll::Ready(Ok(hold));
            }
            queue.join(place, cx, site);
            return Poll::Pending;
        }
        match queue.poll(place, cx, site, &mut after) {
            Polled::Pending => Poll::Pending,
            Polled::Moved => {
                self.pass_on(&mut queue, &mut after);
                Poll::Pending
            }
            Polled::Woken => match self.take() {
                Some(hold) => {
                    self.left(&queue);
                    Poll::Ready(Ok(hold))
                }
                None => {
                    // The lock cannot have been taken; if it was, it is not ours.
                    debug_assert!(false, "a woken waiter was overtaken");
                    queue.join(place, cx, site);
                    Poll::Pending
                }
            },
            Polled::Cancelled { error, .. } => {
                self.left(&queue);
                self.pass_on(&mut queue, &mut after);
                Poll::Ready(Err(error))
            }
        }
    }

    /// Gives up a place in the queue, if one is taken.
    pub(crate) fn leave(&self, place: &mut QueuedWait) {
        if place.is_taken() {
            let mut after = Deferred::new();
            let mut queue = self.queue.lock();
            let is_free = !self.is_locked();
            queue = keep("lock_left_unseen", &self.queue, queue);
            queue.leave(place, &mut after);
            self.left(&queue);
            if is_free {
                queue.wake_first(&mut after);
            }
        }
    }
}

/// Waits for the lock. It may be polled again after it is done; then it waits for the lock again.
#[derive(Debug)]
pub(crate) struct RawAcquire<'a> {
    raw: &'a RawLock,
    place: QueuedWait,
    site: WaitSite,
}

impl<'a> Future for RawAcquire<'a> {
    type Output = Result<Hold<'a>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Hold<'a>>> {
        let RawAcquire { raw, place, site } = &mut *self;
        let raw: &'a RawLock = raw;
        raw.poll_acquire(place, cx, *site)
    }
}

impl Drop for RawAcquire<'_> {
    fn drop(&mut self) {
        self.raw.leave(&mut self.place);
    }
}
