//! Conditions in tasks of a loop: what a cancellation does to a wait, and in which step.

use asyncio_core::{AsyncContextManager, Error};
use asyncio_locks::{Condition, Lock};
use asyncio_task::{Task, create_task, timeout};
use asyncio_tests::support::{MS, briefly, cancelled, run};
use std::{cell::Cell, rc::Rc};

/// A task that waits for the condition and writes `name` when it comes back with the lock.
fn wait(condition: &Rc<Condition<Vec<&'static str>>>, name: &'static str) -> Task<()> {
    let condition = condition.clone();
    create_task(async move {
        let mut log = condition.acquire().await?;
        let outcome = log.wait().await;
        log.push(name);
        outcome
    })
}

#[test]
fn condition_notify_wakes_in_order_and_as_many_as_it_says() {
    run(async {
        let condition = Rc::new(Condition::new(Vec::new()));
        let tasks = ["a", "b", "c"].map(|name| wait(&condition, name));
        briefly().await?;
        condition.acquire().await?.notify(1);
        // The notified waiter runs one step later, and finds the lock free.
        briefly().await?;
        assert_eq!(*condition.acquire().await?, ["a"]);
        condition.acquire().await?.notify_all();
        for task in tasks {
            task.await?;
        }
        assert_eq!(*condition.acquire().await?, ["a", "b", "c"]);
        Ok(())
    });
}

#[test]
fn a_cancelled_waiter_is_not_notified() {
    run(async {
        let condition = Rc::new(Condition::new(Vec::new()));
        let (a, b) = (wait(&condition, "a"), wait(&condition, "b"));
        briefly().await?;
        let guard = condition.acquire().await?;
        a.cancel();
        guard.notify(1);
        drop(guard);
        assert!(cancelled(&a.await));
        b.await?;
        assert_eq!(*condition.acquire().await?, ["a", "b"]);
        Ok(())
    });
}

#[test]
fn a_condition_wait_cancelled_while_it_acquires_holds_the_lock_when_it_returns() {
    run(async {
        let condition = Rc::new(Condition::new(Vec::new()));
        let a = wait(&condition, "a");
        briefly().await?;
        let guard = condition.acquire().await?;
        guard.notify(1);
        briefly().await?;
        // Notified, and cancelled repeatedly while it waits for the lock.
        for _ in 0..3 {
            a.cancel_with("contested");
            briefly().await?;
            assert!(!a.done() && guard.is_empty());
        }
        a.cancel_with("the last");
        drop(guard);
        let error = a.await.unwrap_err();
        assert_eq!(error.to_string(), "the last");
        assert_eq!(*condition.acquire().await?, ["a"]);
        Ok(())
    });
}

#[test]
fn a_condition_wait_cancelled_after_notify_holds_the_lock_when_it_returns() {
    run(async {
        let condition = Rc::new(Condition::new(Vec::new()));
        let a = wait(&condition, "a");
        briefly().await?;
        let guard = condition.acquire().await?;
        guard.notify(1);
        a.cancel_with("late");
        briefly().await?;
        assert!(!a.done(), "the cancellation waits for the lock");
        drop(guard);
        let error = a.await.unwrap_err();
        assert_eq!(error.to_string(), "late");
        assert_eq!(*condition.acquire().await?, ["a"]);
        Ok(())
    });
}

#[test]
fn a_condition_wait_returns_the_cancellation_with_its_message() {
    run(async {
        let condition = Rc::new(Condition::new(Vec::new()));
        let a = wait(&condition, "a");
        briefly().await?;
        a.cancel_with("foo");
        assert_eq!(a.await.unwrap_err().to_string(), "foo");
        assert!(!condition.locked());
        Ok(())
    });
}

#[test]
fn a_notification_given_to_a_cancelled_waiter_goes_to_another() {
    run(async {
        let condition = Rc::new(Condition::new(Vec::new()));
        let (a, b) = (wait(&condition, "a"), wait(&condition, "b"));
        briefly().await?;
        condition.acquire().await?.notify(1);
        a.cancel();
        assert!(cancelled(&a.await));
        b.await?;
        assert_eq!(*condition.acquire().await?, ["a", "b"]);
        Ok(())
    });
}

#[test]
fn a_waiter_cancelled_while_it_acquires_passes_its_notification_on() {
    run(async {
        let condition = Rc::new(Condition::new(Vec::new()));
        let (a, b) = (wait(&condition, "a"), wait(&condition, "b"));
        briefly().await?;
        let guard = condition.acquire().await?;
        guard.notify(1);
        briefly().await?;
        a.cancel();
        briefly().await?;
        assert!(!b.done());
        drop(guard);
        assert!(cancelled(&a.await));
        b.await
    });
}

#[test]
fn a_timeout_over_a_condition_wait_leaves_the_lock_held() {
    run(async {
        let condition = Condition::new(1);
        let mut guard = condition.acquire().await?;
        let late = timeout(MS).with(async |_| guard.wait().await).await;
        assert!(matches!(late, Err(Error::Timeout(_))));
        assert!(condition.locked());
        assert_eq!(*guard, 1);
        Ok(())
    });
}

#[test]
fn wait_for_comes_back_when_the_predicate_holds() {
    run(async {
        let condition = Rc::new(Condition::new(0));
        let (inner, looks) = (condition.clone(), Rc::new(Cell::new(0)));
        let count = looks.clone();
        let task = create_task(async move {
            let mut n = inner.acquire().await?;
            n.wait_for(|n| {
                count.set(count.get() + 1);
                *n == 2
            })
            .await?;
            Ok(*n)
        });
        briefly().await?;
        for _ in 0..2 {
            let mut n = condition.acquire().await?;
            *n += 1;
            n.notify(1);
            drop(n);
            briefly().await?;
        }
        assert_eq!((task.await?, looks.get()), (2, 3));
        Ok(())
    });
}

#[test]
fn conditions_share_a_lock_with_others_and_are_used_without_guards() {
    run(async {
        let lock = Rc::new(Lock::new(()));
        let condition = Rc::new(Condition::with_lock(lock.clone()));
        assert!(matches!(condition.wait().await, Err(Error::Runtime(_))));
        assert!(matches!(condition.notify(1), Err(Error::Runtime(_))));
        let inner = condition.clone();
        let waiter = create_task(async move {
            std::mem::forget(inner.acquire().await?);
            inner.wait().await?;
            assert!(inner.locked());
            inner.release()
        });
        briefly().await?;
        std::mem::forget(lock.acquire().await?);
        condition.notify(1)?;
        briefly().await?;
        assert!(!waiter.done());
        lock.release()?;
        waiter.await?;
        assert!(!lock.locked());
        Ok(())
    });
}
