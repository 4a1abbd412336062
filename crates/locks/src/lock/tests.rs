//! The lock under foreign executors. Its behaviour in tasks of a loop is tested with the loop.

use super::*;
use crate::testing::{Random, tester};
use futures_lite::future::{block_on, poll_once, yield_now};
use std::{
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

#[test]
fn uncontended_it_never_suspends() {
    let lock = Lock::new(1);
    for _ in 0..3 {
        let guard = tester(lock.acquire()).is_ready().unwrap();
        assert!(lock.locked());
        drop(guard);
        assert!(!lock.locked());
    }
}

#[test]
fn release_wakes_the_first_in_line_and_leaves_the_lock_free_for_it() {
    let lock = Lock::new(());
    let held = lock.try_acquire().unwrap();
    let (mut a, mut b) = (tester(lock.acquire()), tester(lock.acquire()));
    a.is_pending();
    b.is_pending();
    drop(held);
    assert!(!lock.locked());
    assert!(a.was_woken() && !b.was_woken());
    // No other task takes it in between.
    assert!(lock.try_acquire().is_none());
    let mut late = tester(lock.acquire());
    late.is_pending();
    let guard = a.is_ready().unwrap();
    assert!(lock.locked());
    drop(guard);
    assert!(b.was_woken() && !late.was_woken());
    drop(b.is_ready().unwrap());
    assert!(late.was_woken());
    drop(late.is_ready().unwrap());
    assert!(lock.try_acquire().is_some());
}

#[test]
fn release_by_hand_needs_a_held_lock_and_makes_the_guard_inert() {
    let lock = Lock::new(());
    assert!(matches!(lock.release(), Err(Error::Runtime(_))));
    assert!(!lock.locked());
    let first = lock.try_acquire().unwrap();
    lock.release().unwrap();
    assert!(!LockGuard::is_held(&first));
    let second = lock.try_acquire().unwrap();
    // The first guard must not release what the second holds.
    drop(first);
    assert!(lock.locked() && LockGuard::is_held(&second));
    drop(second);
    assert!(!lock.locked());
    assert!(matches!(lock.release(), Err(Error::Runtime(_))));
}

#[test]
fn release_by_hand_wakes_a_waiter() {
    let lock = Lock::new(());
    std::mem::forget(lock.try_acquire());
    let mut a = tester(lock.acquire());
    a.is_pending();
    lock.release().unwrap();
    assert!(a.was_woken());
    let guard = a.is_ready().unwrap();
    lock.release().unwrap();
    assert!(LockGuard::release(guard).is_err());
}

#[test]
fn with_enters_and_leaves() {
    let lock = Arc::new(Lock::new(3));
    let seen = block_on(lock.with(async |n| {
        **n += 1;
        assert!(lock.locked());
        yield_now().await;
        Ok(**n)
    }));
    assert_eq!(seen.unwrap(), 4);
    let failed = block_on(lock.with(async |_| Err::<(), _>(Error::msg("no"))));
    assert_eq!(failed.unwrap_err().to_string(), "no");
    assert!(!lock.locked());
    // As in Python, where the release at the end is the error.
    let plain = Lock::new(());
    let left = block_on(plain.with(async |_| plain.release()));
    assert!(matches!(left, Err(Error::Runtime(_))));
}

#[test]
fn with_dropped_in_the_middle_releases() {
    let lock = Lock::new(());
    let mut user = tester((&lock).with(async |_| {
        yield_now().await;
        Ok(())
    }));
    user.is_pending();
    assert!(lock.locked());
    drop(user);
    assert!(!lock.locked());
}

#[test]
fn guards_are_as_shareable_as_what_they_guard() {
    fn send<T: Send>() {}
    fn sync<T: Sync>() {}
    send::<Lock<std::cell::Cell<i32>>>();
    sync::<Lock<std::cell::Cell<i32>>>();
    send::<LockGuard<'_, i32>>();
    sync::<LockGuard<'_, i32>>();
    send::<Acquire<'_, i32>>();
    let single = Rc::new(Lock::new(Rc::new(1)));
    assert_eq!(**block_on(single.acquire()).unwrap(), 1);
}

#[test]
fn it_can_own_what_has_no_size() {
    let lock: Arc<Lock<[i32]>> = Arc::new(Lock::new([1, 2, 3]));
    block_on(lock.acquire()).unwrap()[1] = 5;
    assert_eq!(block_on(lock.acquire()).unwrap().iter().sum::<i32>(), 9);
}

#[test]
fn debug_tells_the_state() {
    let lock = Lock::new(());
    let guard = lock.try_acquire().unwrap();
    let mut a = tester(lock.acquire());
    a.is_pending();
    assert_eq!(format!("{lock:?}"), "Lock { locked: true, waiters: 1 }");
    assert_eq!(format!("{guard:?}"), "LockGuard(())");
}

#[test]
fn tasks_of_tokio_share_it_with_threads() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let lock = Arc::new(Lock::new(0));
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let lock = lock.clone();
            runtime.spawn(async move {
                for _ in 0..200 {
                    let mut n = lock.acquire().await.unwrap();
                    let before = *n;
                    tokio::task::yield_now().await;
                    *n = before + 1;
                }
            })
        })
        .collect();
    let other = lock.clone();
    let thread = thread::spawn(move || (0..200).for_each(|_| *other.acquire_blocking() += 1));
    runtime.block_on(async {
        for task in tasks {
            task.await.unwrap();
        }
    });
    thread.join().unwrap();
    assert_eq!(*lock.acquire_blocking(), 1800);
}

#[test]
fn tasks_of_smol_share_it() {
    let lock = Arc::new(Lock::new(0));
    smol::block_on(async {
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let lock = lock.clone();
                smol::spawn(async move {
                    for _ in 0..100 {
                        *lock.acquire().await.unwrap() += 1;
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await;
        }
    });
    assert_eq!(*lock.try_acquire().unwrap(), 800);
}

/// Threads with several waiters each, which arrive, wait, leave or get the lock at random.
#[test]
fn stress_one_holder_at_a_time_and_no_wake_up_is_lost() {
    let (threads, rounds) = (3, 3000);
    let seed = 20_240_613;
    println!("seed {seed}");
    let lock = Arc::new(Lock::new(0u64));
    let inside = Arc::new(AtomicBool::new(false));
    let taken = Arc::new(AtomicUsize::new(0));
    let running: Vec<_> = (0..threads)
        .map(|n| {
            let (lock, inside, taken) = (lock.clone(), inside.clone(), taken.clone());
            thread::spawn(move || {
                let mut random = Random::new(seed + n);
                for _ in 0..rounds {
                    block_on(async {
                        // Some give up immediately, woken or not.
                        let mut given_up = lock.acquire();
                        let early = poll_once(&mut given_up).await;
                        if random.below(2) == 0 {
                            drop(early);
                            drop(given_up);
                            return;
                        }
                        let mut guard = match early {
                            Some(guard) => guard.unwrap(),
                            None => given_up.await.unwrap(),
                        };
                        assert!(!inside.swap(true, Ordering::SeqCst), "two holders");
                        *guard += 1;
                        taken.fetch_add(1, Ordering::SeqCst);
                        if random.below(4) == 0 {
                            thread::yield_now();
                        }
                        inside.store(false, Ordering::SeqCst);
                    });
                }
            })
        })
        .collect();
    for thread in running {
        thread.join().unwrap();
    }
    let total = *lock.try_acquire().expect("it is free");
    assert_eq!(total, taken.load(Ordering::SeqCst) as u64);
}

#[test]
fn an_owned_guard_keeps_its_lock() {
    let lock = std::sync::Arc::new(Lock::new(1));
    let mut guard = tester(lock.clone().acquire_owned()).is_ready().unwrap();
    assert!(OwnedLockGuard::is_held(&guard) && lock.locked());
    let mut next = tester(lock.clone().acquire_owned());
    next.is_pending();
    let mut last = tester(lock.acquire());
    last.is_pending();
    *guard += 1;
    std::thread::spawn(move || drop(guard)).join().unwrap();
    assert!(next.was_woken());
    drop(next);
    assert!(last.was_woken(), "a woken waiter that is dropped wakes the next");
    assert_eq!(*last.is_ready().unwrap(), 2);
    drop(last);
    assert_eq!(std::sync::Arc::strong_count(&lock), 1);
    let text = format!("{:?}", tester(lock.clone().acquire_owned()).is_ready().unwrap());
    assert_eq!((&*text, lock.locked()), ("OwnedLockGuard(2)", false));
}

#[test]
fn an_owned_guard_does_nothing_after_a_release_behind_its_back() {
    let lock = std::sync::Arc::new(Lock::new(()));
    let guard = tester(lock.clone().acquire_owned()).is_ready().unwrap();
    lock.release().unwrap();
    let other = lock.try_acquire().unwrap();
    assert!(!OwnedLockGuard::is_held(&guard));
    drop(guard);
    assert!(lock.locked());
    drop(other);
}
