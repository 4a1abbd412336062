//! Models of the executor: every accepted job runs once, however its threads go to sleep.
//!
//! The queue is not part of the crate's interface, so its source is compiled into the models.
#![cfg(loom)]
#![allow(dead_code, unreachable_pub)]

#[path = "../src/executor/jobs.rs"]
mod jobs;

use asyncio_core::raw::{
    model::check,
    sync::{Arc, AtomicUsize, Condvar, Mutex, Ordering},
};
use jobs::Jobs;
use loom::thread;

/// The number of jobs that have run, for a thread that waits for them.
struct Done(Mutex<usize>, Condvar);

impl Done {
    fn new() -> Arc<Done> {
        Arc::new(Done(Mutex::new(0), Condvar::new()))
    }

    fn add(&self) {
        *self.0.lock() += 1;
        self.1.notify_all();
    }

    fn wait_for(&self, count: usize) {
        let mut done = self.0.lock();
        while *done < count {
            done = self.1.wait(done);
        }
    }
}

/// A thread of an executor.
fn worker(jobs: &Arc<Jobs<u32>>, done: &Arc<Done>) -> thread::JoinHandle<()> {
    let (jobs, done) = (jobs.clone(), done.clone());
    thread::spawn(move || {
        while jobs.next().is_some() {
            done.add();
        }
    })
}

/// The queue is closed only when the job has run, so that closing wakes no thread that a push should have.
#[test]
fn a_job_is_not_left_with_a_thread_that_goes_to_sleep() {
    check(&["jobs_parked_unseen", "jobs_idle_unseen"], 3, || {
        let (jobs, done) = (Arc::new(Jobs::new()), Done::new());
        let worker = worker(&jobs, &done);
        assert!(jobs.push(1).is_ok());
        done.wait_for(1);
        jobs.close();
        worker.join().unwrap();
    });
}

/// A job that is claimed for a thread does not wait for the job of another.
#[test]
fn two_jobs_run_beside_each_other_if_two_threads_are_idle() {
    check(&["jobs_claimed_unwoken"], 2, || {
        let jobs = Arc::new(Jobs::new());
        let both = Done::new();
        let workers = [(); 2].map(|()| {
            let (jobs, both) = (jobs.clone(), both.clone());
            thread::spawn(move || {
                while jobs.next().is_some() {
                    both.add();
                    both.wait_for(2);
                    jobs.close();
                }
            })
        });
        while jobs.idle() < 2 {
            thread::yield_now();
        }
        assert!([1, 2].iter().all(|job| jobs.push(*job).unwrap()), "each claims a thread");
        workers.into_iter().for_each(|worker| worker.join().unwrap());
    });
}

/// A push that is accepted while the queue is closed is still taken.
#[test]
fn a_job_that_is_accepted_while_the_executor_shuts_down_runs() {
    check(&["jobs_left_at_the_end"], 3, || {
        let (jobs, done) = (Arc::new(Jobs::new()), Done::new());
        let worker = worker(&jobs, &done);
        let accepted = Arc::new(AtomicUsize::new(0));
        let (sender, count) = (jobs.clone(), accepted.clone());
        let sender = thread::spawn(move || {
            if sender.push(1).is_ok() {
                count.fetch_add(1, Ordering::AcqRel);
            }
        });
        jobs.close();
        sender.join().unwrap();
        worker.join().unwrap();
        assert_eq!(*done.0.lock(), accepted.load(Ordering::Acquire));
    });
}
