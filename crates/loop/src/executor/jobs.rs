//! [`Jobs`]: the queue of an executor's jobs, and where its threads wait for one.
//!
//! A push takes no lock while every thread is busy. A thread that finds the queue empty counts itself as
//! idle, checks once more, and parks. A push *claims* one idle thread for its job. `idle` is read and
//! changed only by read-modify-write, so either the push sees the thread, or the thread sees the job.
//!
//! Claimed threads are woken one at a time; each wakes the next before it starts to work. A burst of
//! pushes therefore costs one system call and not one per job, and no thread is woken while another
//! thread holds a lock that it needs.

use asyncio_core::raw::sync::{AtomicUsize, Condvar, Mutex, Ordering, mutant};
use concurrent_queue::{ConcurrentQueue, PopError};

/// The jobs that no thread has taken yet, first in, first out.
#[derive(Debug)]
pub(crate) struct Jobs<J> {
    queue: ConcurrentQueue<J>,
    /// The number of threads that are idle and not claimed.
    idle: AtomicUsize,
    parking: Mutex<Parking>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct Parking {
    /// The number of threads that are claimed and still parked.
    claimed: usize,
    is_closed: bool,
}

impl<J> Jobs<J> {
    pub(crate) fn new() -> Jobs<J> {
        Jobs {
            queue: ConcurrentQueue::unbounded(),
            idle: AtomicUsize::new(0),
            parking: Mutex::default(),
            wake: Condvar::new(),
        }
    }

    /// The number of waiting jobs.
    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    /// The number of idle threads.
    pub(crate) fn idle(&self) -> usize {
        self.idle.load(Ordering::Relaxed)
    }

    /// Adds a job, and returns whether an idle thread takes it. A closed queue hands the job back.
    pub(crate) fn push(&self, job: J) -> Result<bool, J> {
        self.queue.push(job).map_err(|closed| closed.into_inner())?;
        let is_claimed = self.claim();
        if is_claimed {
            let mut parking = self.parking.lock();
            parking.claimed += 1;
            let is_first = parking.claimed == 1;
            drop(parking);
            if is_first {
                self.wake.notify_one();
            }
        }
        Ok(is_claimed)
    }

    /// Waits for the next job. Returns `None` once the queue is closed and empty.
    pub(crate) fn next(&self) -> Option<J> {
        loop {
            match self.queue.pop() {
                Ok(job) => return Some(job),
                Err(PopError::Closed) => return None,
                Err(PopError::Empty) => {}
            }
            self.idle.fetch_add(1, Ordering::AcqRel);
            let is_late = !mutant("jobs_parked_unseen") && !self.queue.is_empty();
            // If the claim fails, a push has claimed this thread.
            if !(is_late && self.claim()) {
                let is_claimed = self.park();
                if mutant("jobs_left_at_the_end") && !is_claimed {
                    return None;
                }
            }
        }
    }

    /// Refuses further jobs. Those that are in the queue are still taken.
    pub(crate) fn close(&self) {
        self.queue.close();
        self.parking.lock().is_closed = true;
        self.wake.notify_all();
    }

    fn claim(&self) -> bool {
        let mut idle = match mutant("jobs_idle_unseen") {
            true => self.idle.load(Ordering::Acquire),
            false => self.idle.fetch_add(0, Ordering::AcqRel),
        };
        while idle > 0 {
            let (success, failure) = (Ordering::AcqRel, Ordering::Acquire);
            match self.idle.compare_exchange_weak(idle, idle - 1, success, failure) {
                Ok(_) => return true,
                Err(now) => idle = now,
            }
        }
        false
    }

    /// Waits until this thread, or another parked one, is claimed, or the queue is closed. Returns false if
    /// only the latter happened.
    fn park(&self) -> bool {
        let mut parking = self.parking.lock();
        while parking.claimed == 0 && !parking.is_closed {
            parking = self.wake.wait(parking);
        }
        let is_claimed = parking.claimed > 0;
        parking.claimed = parking.claimed.saturating_sub(1);
        let is_another_claimed = parking.claimed > 0;
        drop(parking);
        if is_another_claimed && !mutant("jobs_claimed_unwoken") {
            self.wake.notify_one();
        }
        is_claimed
    }
}
