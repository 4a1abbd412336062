//! Conditions under foreign executors.

use super::*;
use crate::testing::{Random, tester};
use futures_lite::future::{block_on, poll_once, yield_now};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread,
};

/// A waiter of a `Condition<T>` that returns the value that it finds.
async fn wait<T: Clone>(condition: &Condition<T>) -> Result<T> {
    let mut guard = condition.acquire().await?;
    guard.wait().await?;
    Ok(guard.clone())
}

#[test]
fn a_notified_waiter_comes_back_with_the_lock() {
    let condition = Condition::new(0);
    let mut a = tester(wait(&condition));
    a.is_pending();
    assert!(!condition.locked());
    let mut guard = condition.try_acquire().unwrap();
    *guard = 7;
    guard.notify(1);
    assert!(a.was_woken());
    // The lock is still held, so it waits for the lock now.
    a.is_pending();
    drop(guard);
    assert!(a.was_woken());
    assert_eq!(a.is_ready().unwrap(), 7);
    assert!(!condition.locked());
}

#[test]
fn notify_wakes_as_many_as_it_says_in_order() {
    let condition = Condition::new(());
    let mut waiters: Vec<_> = (0..5).map(|_| tester(wait(&condition))).collect();
    waiters.iter_mut().for_each(|waiter| waiter.is_pending());
    let guard = condition.try_acquire().unwrap();
    guard.notify(2);
    let woken: Vec<_> = waiters.iter_mut().map(|waiter| waiter.was_woken()).collect();
    assert_eq!(woken, [true, true, false, false, false]);
    guard.notify(1);
    guard.notify_all();
    assert!(waiters[2..].iter_mut().all(|waiter| waiter.was_woken()));
    drop(guard);
    waiters.iter_mut().for_each(|waiter| waiter.is_ready().unwrap());
}

#[test]
fn wait_for_looks_first_and_after_each_wake_up() {
    let condition = Condition::new(0);
    let mut looks = 0;
    let mut a = tester(async {
        let mut n = condition.acquire().await?;
        n.wait_for(|n| {
            looks += 1;
            *n > 1
        })
        .await?;
        Ok::<_, Error>(*n)
    });
    a.is_pending();
    for _ in 0..2 {
        let mut n = condition.try_acquire().unwrap();
        *n += 1;
        n.notify_all();
        drop(n);
        if a.was_woken() {
            let _ = a.poll().map(|n| assert_eq!(n.unwrap(), 2));
        }
    }
    drop(a);
    assert_eq!(looks, 3);
}

#[test]
fn a_wait_dropped_midway_leaves_a_guard_that_holds_nothing() {
    let condition = Condition::new(5);
    let mut guard = condition.try_acquire().unwrap();
    assert!(tester(guard.wait()).poll().is_pending());
    assert!(!ConditionGuard::is_held(&guard) && !condition.locked());
    assert!(catch_unwind(AssertUnwindSafe(|| *guard)).is_err());
    assert!(catch_unwind(AssertUnwindSafe(|| guard.notify(1))).is_err());
    assert!(matches!(block_on(guard.wait()), Err(Error::Runtime(_))));
    assert!(matches!(block_on(guard.wait_for(|_| true)), Err(Error::Runtime(_))));
    assert_eq!(format!("{guard:?}"), "ConditionGuard(LockGuard(lost))");
    // It does not release a lock that another guard holds either.
    let other = condition.try_acquire().unwrap();
    drop(guard);
    assert!(condition.locked());
    assert_eq!(*other, 5);
}

#[test]
fn a_notified_waiter_that_is_dropped_notifies_another() {
    let condition = Condition::new(());
    let (mut a, mut b) = (tester(wait(&condition)), tester(wait(&condition)));
    a.is_pending();
    b.is_pending();
    condition.try_acquire().unwrap().notify(1);
    assert!(!b.was_woken());
    drop(a);
    assert!(b.was_woken());
    b.is_ready().unwrap();
}

#[test]
fn a_waiter_dropped_while_it_acquires_notifies_another_and_gives_up_its_turn() {
    let condition = Condition::new(());
    let (mut a, mut b) = (tester(wait(&condition)), tester(wait(&condition)));
    a.is_pending();
    b.is_pending();
    let guard = condition.try_acquire().unwrap();
    guard.notify(1);
    assert!(a.was_woken());
    a.is_pending();
    let mut c = tester(condition.acquire());
    c.is_pending();
    drop(guard);
    assert!(a.was_woken() && !c.was_woken());
    drop(a);
    assert!(b.was_woken() && c.was_woken());
    drop(c.is_ready().unwrap());
    b.is_ready().unwrap();
}

#[test]
fn a_waiter_dropped_before_it_is_notified_takes_no_notification() {
    let condition = Condition::new(());
    let (mut a, mut b) = (tester(wait(&condition)), tester(wait(&condition)));
    a.is_pending();
    b.is_pending();
    drop(a);
    assert!(!b.was_woken());
    condition.try_acquire().unwrap().notify(1);
    assert!(b.was_woken());
    b.is_ready().unwrap();
}

#[test]
fn a_lock_is_shared_by_conditions() {
    let lock = Arc::new(Lock::new(1));
    let first = Condition::with_lock(lock.clone());
    let second: Condition<i32, &Lock<i32>> = Condition::with_lock(&lock);
    let mut a = tester(async {
        let mut guard = first.acquire().await?;
        guard.wait().await?;
        Ok::<_, Error>(*guard)
    });
    a.is_pending();
    let guard = second.try_acquire().unwrap();
    assert!(lock.locked() && first.locked());
    guard.notify_all();
    assert!(!a.was_woken(), "the queue is a condition's own");
    first.notify(1).unwrap();
    drop(guard);
    assert!(a.was_woken());
    assert_eq!(a.is_ready().unwrap(), 1);
}

#[test]
fn without_the_lock_waiting_and_notifying_are_errors() {
    let condition = Condition::new(());
    for error in [
        condition.notify(1).unwrap_err(),
        condition.notify_all().unwrap_err(),
        condition.release().unwrap_err(),
        block_on(condition.wait()).unwrap_err(),
        block_on(condition.wait_for(|| false)).unwrap_err(),
    ] {
        assert!(matches!(error, Error::Runtime(_)));
    }
    assert!(!condition.locked());
    assert!(condition.queue.lock().is_empty());
}

#[test]
fn used_without_guards_it_is_asyncios() {
    let condition = Condition::new(());
    let done = std::cell::Cell::new(false);
    let mut a = tester(async {
        std::mem::forget(condition.acquire().await?);
        condition.wait_for(|| done.get()).await?;
        assert!(condition.locked());
        condition.release()
    });
    a.is_pending();
    let guard = condition.try_acquire().unwrap();
    done.set(true);
    condition.notify_all().unwrap();
    // A release that the guard does not know about.
    condition.release().unwrap();
    assert!(!ConditionGuard::is_held(&guard));
    a.is_ready().unwrap();
    assert!(!condition.locked());
    drop(guard);
}

#[test]
fn an_unguarded_wait_makes_the_guard_inert() {
    let condition = Condition::new(());
    let guard = condition.try_acquire().unwrap();
    let mut wait = tester(condition.wait());
    wait.is_pending();
    assert!(!ConditionGuard::is_held(&guard));
    condition.try_acquire().unwrap().notify(1);
    wait.is_ready().unwrap();
    drop(guard);
    assert!(condition.locked());
    condition.release().unwrap();
}

#[test]
fn with_gives_a_guard() {
    let condition = Condition::new(2);
    let n = block_on(condition.with(async |n| {
        yield_now().await;
        n.notify_all();
        Ok(**n)
    }));
    assert_eq!(n.unwrap(), 2);
    assert!(!condition.locked());
}

#[test]
fn futures_and_guards_are_send_where_their_contents_are() {
    fn send<T: Send>(_: &T) {}
    let condition = Condition::new(1);
    send(&condition.acquire());
    let mut guard = condition.try_acquire().unwrap();
    send(&guard);
    send(&guard.wait());
    send(&guard.wait_for(|_| true));
    let plain = Condition::new(());
    send(&plain.wait());
}

/// Producers and consumers in threads; some waits are dropped before their end.
#[test]
fn stress_no_notification_is_lost() {
    let (pairs, rounds) = (2, 1000);
    let seed = 99;
    println!("seed {seed}");
    let stock = Arc::new(Condition::new(0));
    let threads: Vec<_> = (0..pairs)
        .flat_map(|n| {
            let (stock, taken) = (stock.clone(), stock.clone());
            let producer = thread::spawn(move || {
                for _ in 0..rounds {
                    let mut items = block_on(stock.acquire()).unwrap();
                    *items += 1;
                    items.notify(1);
                }
            });
            let consumer = thread::spawn(move || {
                let mut random = Random::new(seed + n);
                for _ in 0..rounds {
                    block_on(async {
                        if random.below(2) == 0 {
                            let mut items = taken.acquire().await.unwrap();
                            let given_up = items.wait_for(|n| *n > 0);
                            let _ = poll_once(given_up).await;
                        }
                        let mut items = taken.acquire().await.unwrap();
                        items.wait_for(|n| *n > 0).await.unwrap();
                        *items -= 1;
                    });
                }
            });
            [producer, consumer]
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(*stock.try_acquire().unwrap(), 0);
    assert!(stock.queue.lock().is_empty());
}
