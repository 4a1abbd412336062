//! Semaphores under foreign executors.

use super::*;
use crate::testing::{Random, tester};
use futures_lite::future::{block_on, poll_once, yield_now};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

#[test]
fn permits_run_out_and_come_back() {
    let semaphore = Semaphore::new(2);
    let a = tester(semaphore.acquire()).is_ready().unwrap();
    let b = tester(semaphore.acquire()).is_ready().unwrap();
    assert!(semaphore.locked());
    let mut c = tester(semaphore.acquire());
    c.is_pending();
    drop(a);
    assert!(c.was_woken());
    assert_eq!(semaphore.value(), 0, "the permit is the waiter's at once");
    let c = c.is_ready().unwrap();
    drop((b, c));
    assert_eq!(semaphore.value(), 2);
}

#[test]
fn it_cannot_be_acquired_past_its_waiters() {
    let semaphore = Semaphore::new(0);
    let (mut a, mut b) = (tester(semaphore.acquire()), tester(semaphore.acquire()));
    a.is_pending();
    b.is_pending();
    semaphore.release();
    semaphore.release();
    semaphore.release();
    assert_eq!(semaphore.value(), 1);
    assert!(semaphore.locked(), "as long as a waiter is in the queue");
    assert!(semaphore.try_acquire().is_none());
    let mut late = tester(semaphore.acquire());
    late.is_pending();
    assert!(!late.was_woken());
    a.is_ready().unwrap().forget();
    assert!(late.was_woken(), "a leaving waiter passes the rest to the next");
    b.is_ready().unwrap().forget();
    late.is_ready().unwrap().forget();
    assert_eq!(semaphore.value(), 0);
}

#[test]
fn a_waiter_that_was_given_a_permit_and_is_dropped_gives_it_to_the_next() {
    let semaphore = Semaphore::new(0);
    let (mut a, mut b) = (tester(semaphore.acquire()), tester(semaphore.acquire()));
    a.is_pending();
    b.is_pending();
    semaphore.release();
    drop(a);
    assert!(b.was_woken());
    drop(b);
    assert_eq!(semaphore.value(), 1);
    assert!(!semaphore.locked());
}

#[test]
fn a_waiter_that_is_dropped_takes_no_permit() {
    let semaphore = Semaphore::new(0);
    let mut a = tester(semaphore.acquire());
    a.is_pending();
    drop(a);
    semaphore.release();
    assert_eq!(semaphore.value(), 1);
}

#[test]
fn release_may_exceed_the_initial_value() {
    let semaphore = Semaphore::new(1);
    semaphore.release();
    assert_eq!(semaphore.value(), 2);
    let all = Semaphore::new(usize::MAX);
    all.release();
    assert_eq!(all.value(), usize::MAX);
}

#[test]
fn a_bounded_one_cannot_be_released_too_often() {
    let semaphore = BoundedSemaphore::new(2);
    let permit = semaphore.acquire();
    let permit = block_on(permit).unwrap();
    semaphore.release().unwrap();
    assert!(matches!(semaphore.release(), Err(Error::Value(_))));
    assert_eq!(semaphore.value(), 2);
    // The permit has already been released by hand.
    drop(permit);
    assert_eq!(semaphore.value(), 2);
    let left = block_on((&semaphore).with(async |_| semaphore.release()));
    assert!(matches!(left, Err(Error::Value(_))));
    assert_eq!(format!("{semaphore:?}"), "BoundedSemaphore { value: 2, bound: 2, waiters: 0 }");
}

#[test]
fn with_holds_a_permit() {
    let semaphore = Semaphore::default();
    block_on(semaphore.with(async |_| {
        yield_now().await;
        assert!(semaphore.locked());
        Ok(())
    }))
    .unwrap();
    assert_eq!(semaphore.value(), 1);
}

#[test]
fn a_moved_waiter_does_not_lose_its_permit() {
    let semaphore = Semaphore::new(0);
    let mut a = tester(semaphore.acquire());
    a.is_pending();
    semaphore.release();
    a.moved().is_ready().unwrap().forget();
    assert_eq!(semaphore.value(), 0);
}

#[test]
fn under_tokio_no_more_than_the_limit_are_inside() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let semaphore = Arc::new(Semaphore::new(3));
    let inside = Arc::new(AtomicUsize::new(0));
    let tasks: Vec<_> = (0..10)
        .map(|_| {
            let (semaphore, inside) = (semaphore.clone(), inside.clone());
            runtime.spawn(async move {
                for _ in 0..50 {
                    let _permit = semaphore.acquire().await.unwrap();
                    assert!(inside.fetch_add(1, Ordering::SeqCst) < 3);
                    tokio::task::yield_now().await;
                    inside.fetch_sub(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    runtime.block_on(async {
        for task in tasks {
            task.await.unwrap();
        }
    });
    assert_eq!(semaphore.value(), 3);
}

/// Threads whose waiters give up at random, woken or not: no permit is lost, and none is created.
#[test]
fn stress_no_permit_is_lost() {
    let (threads, rounds, permits) = (3, 3000, 2);
    let seed = 7_331;
    println!("seed {seed}");
    let semaphore = Arc::new(Semaphore::new(permits));
    let inside = Arc::new(AtomicUsize::new(0));
    let running: Vec<_> = (0..threads)
        .map(|n| {
            let (semaphore, inside) = (semaphore.clone(), inside.clone());
            thread::spawn(move || {
                let mut random = Random::new(seed + n);
                for _ in 0..rounds {
                    block_on(async {
                        let mut acquire = semaphore.acquire();
                        let early = poll_once(&mut acquire).await;
                        if random.below(2) == 0 {
                            drop(acquire);
                            drop(early);
                            return;
                        }
                        let permit = match early {
                            Some(permit) => permit.unwrap(),
                            None => acquire.await.unwrap(),
                        };
                        assert!(inside.fetch_add(1, Ordering::SeqCst) < permits);
                        if random.below(4) == 0 {
                            thread::yield_now();
                        }
                        inside.fetch_sub(1, Ordering::SeqCst);
                        drop(permit);
                    });
                }
            })
        })
        .collect();
    for thread in running {
        thread.join().unwrap();
    }
    assert_eq!(semaphore.value(), permits);
    assert!(semaphore.state.lock().queue.is_empty());
}

#[test]
fn an_owned_permit_keeps_its_semaphore() {
    let semaphore = Arc::new(Semaphore::new(1));
    let permit = tester(semaphore.clone().acquire_owned()).is_ready().unwrap();
    let mut next = tester(semaphore.clone().acquire_owned());
    next.is_pending();
    let mut dropped = tester(semaphore.clone().acquire_owned());
    dropped.is_pending();
    // It may be moved anywhere.
    thread::spawn(move || drop(permit)).join().unwrap();
    assert!(next.was_woken());
    drop(next);
    assert!(dropped.was_woken(), "a woken waiter that is dropped passes its permit on");
    dropped.is_ready().unwrap().forget();
    drop(dropped);
    assert_eq!((semaphore.value(), Arc::strong_count(&semaphore)), (0, 1));
    semaphore.release();
    tester(semaphore.clone().acquire_owned()).is_ready().unwrap().release().unwrap();
    assert_eq!(semaphore.value(), 1);
}

#[test]
fn an_owned_permit_of_a_bounded_semaphore_is_released_within_its_bound() {
    let semaphore = Arc::new(BoundedSemaphore::new(1));
    let permit = tester(semaphore.clone().acquire_owned()).is_ready().unwrap();
    semaphore.release().unwrap();
    assert_eq!(permit.release().unwrap_err().kind(), "ValueError");
    drop(tester(semaphore.clone().acquire_owned()).is_ready().unwrap());
    assert_eq!(semaphore.value(), 1);
}

#[test]
fn its_capacity_can_be_changed() {
    let semaphore = Semaphore::new(2);
    let [a, b] = [(); 2].map(|()| tester(semaphore.acquire()).is_ready().unwrap());
    let (mut c, mut d) = (tester(semaphore.acquire()), tester(semaphore.acquire()));
    c.is_pending();
    d.is_pending();
    semaphore.add_permits(2);
    assert!(c.was_woken() && d.was_woken(), "as many are woken as come in");
    let (c, d) = (c.is_ready().unwrap(), d.is_ready().unwrap());

    // Four are taken, and two should be left.
    semaphore.remove_permits(2);
    let mut late = tester(semaphore.acquire());
    late.is_pending();
    drop((a, b));
    assert!(!late.was_woken() && semaphore.value() == 0);
    drop(c);
    assert!(late.was_woken());
    // A permit that was given to a dropped waiter comes back like any other.
    semaphore.remove_permits(1);
    drop(late);
    assert_eq!(semaphore.value(), 0);
    drop(d);
    assert_eq!(semaphore.value(), 1);

    // The removed permits come back first.
    semaphore.remove_permits(3);
    assert_eq!(semaphore.value(), 0);
    semaphore.add_permits(2);
    assert_eq!(semaphore.value(), 0);
    semaphore.add_permits(1);
    assert_eq!(semaphore.value(), 1);
    semaphore.remove_permits(usize::MAX);
    semaphore.remove_permits(usize::MAX);
    assert!(semaphore.locked());
}
