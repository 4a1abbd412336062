//! Locks in tasks of a loop: what a cancellation does to them, and in which step.

use asyncio_core::{AsyncContextManager, Error, Result};
use asyncio_locks::{Barrier, BoundedSemaphore, Condition, Event, Lock, Semaphore};
use asyncio_loop::EventLoop;
use asyncio_task::{Task, create_task, current_task, sleep, timeout};
use std::{
    cell::{Cell, RefCell},
    future::{Future, poll_fn},
    pin::Pin,
    rc::Rc,
    task::Poll,
    thread,
    time::Duration,
};

/// Runs `main` on a loop of its own, under the virtual clock.
fn run(main: impl Future<Output = Result<()>> + 'static) {
    let event_loop = EventLoop::builder().virtual_time(true).build().unwrap();
    let outcome = event_loop.run_until_complete(main);
    event_loop.close().unwrap();
    outcome.unwrap();
}

/// One iteration of the loop.
async fn briefly() -> Result<()> {
    sleep(Duration::ZERO).await
}

const MS: Duration = Duration::from_millis(1);

/// A task that takes the lock and keeps it without a guard, as `Task(lock.acquire())` in Python.
fn acquire(lock: &Rc<Lock>) -> Task<()> {
    let lock = lock.clone();
    create_task(async move {
        std::mem::forget(lock.acquire().await?);
        Ok(())
    })
}

fn cancelled<T>(outcome: Result<T>) -> bool {
    matches!(outcome, Err(Error::Cancelled(_)))
}

#[test]
fn lock_is_first_come_first_served() {
    run(async {
        let lock = Rc::new(Lock::new(()));
        let order = Rc::new(RefCell::new(Vec::new()));
        let held = lock.acquire().await?;
        let tasks: Vec<_> = (0..3)
            .map(|n| {
                let (lock, order) = (lock.clone(), order.clone());
                create_task(async move {
                    let _guard = lock.acquire().await?;
                    order.borrow_mut().push(n);
                    briefly().await
                })
            })
            .collect();
        briefly().await?;
        drop(held);
        for task in tasks {
            task.await?;
        }
        assert_eq!(*order.borrow(), [0, 1, 2]);
        assert!(!lock.locked());
        Ok(())
    });
}

#[test]
fn uncontended_acquire_does_not_suspend() {
    run(async {
        let lock = Lock::new(());
        let turn = Rc::new(Cell::new(0));
        let other = turn.clone();
        let _ticker = create_task(async move {
            other.set(1);
            Ok(())
        });
        for _ in 0..3 {
            drop(lock.acquire().await?);
        }
        assert_eq!(turn.get(), 0);
        // A cancellation of a running task does not touch what does not suspend.
        current_task().unwrap().cancel();
        drop(lock.acquire().await?);
        assert!(cancelled(briefly().await));
        Ok(())
    });
}

#[test]
fn a_released_lock_is_free_until_its_waiter_runs_and_nobody_barges_in() {
    run(async {
        let lock = Rc::new(Lock::new(()));
        std::mem::forget(lock.acquire().await?);
        let waiter = acquire(&lock);
        briefly().await?;
        lock.release()?;
        assert!(!lock.locked());
        assert!(matches!(lock.release(), Err(Error::Runtime(_))));
        assert!(lock.try_acquire().is_none());
        let second = acquire(&lock);
        briefly().await?;
        // One step later the waiter has it.
        assert!(lock.locked() && waiter.done() && !second.done());
        lock.release()?;
        second.await
    });
}

#[test]
fn release_passes_over_a_waiter_cancelled_in_the_same_step() {
    run(async {
        let lock = Rc::new(Lock::new(()));
        std::mem::forget(lock.acquire().await?);
        let (b, c) = (acquire(&lock), acquire(&lock));
        briefly().await?;
        b.cancel();
        lock.release()?;
        // The lock is free and its first waiter is cancelled: that one passes the turn on.
        assert!(cancelled(b.await));
        c.await?;
        assert!(lock.locked());
        Ok(())
    });
}

#[test]
fn cancel_and_release_in_one_step_leave_one_owner() {
    run(async {
        let lock = Rc::new(Lock::new(()));
        std::mem::forget(lock.acquire().await?);
        let a = acquire(&lock);
        briefly().await?;
        // As far as the lock goes the waiter is gone at the call.
        a.cancel();
        lock.release()?;
        let guard = lock.try_acquire();
        assert!(guard.is_some());
        assert!(cancelled(a.await));
        assert!(lock.locked());
        Ok(())
    });
}

#[test]
fn a_waiter_cancelled_after_it_was_woken_wakes_the_next() {
    run(async {
        let lock = Rc::new(Lock::new(()));
        std::mem::forget(lock.acquire().await?);
        let (b, c) = (acquire(&lock), acquire(&lock));
        briefly().await?;
        lock.release()?;
        b.cancel();
        briefly().await?;
        assert!(b.cancelled() && !c.done());
        briefly().await?;
        assert!(c.done() && lock.locked());
        c.await
    });
}

#[test]
fn lock_with_releases_when_the_body_is_cancelled() {
    run(async {
        let lock = Rc::new(Lock::new(0));
        let inner = lock.clone();
        let task = create_task(async move {
            inner
                .with(async |n| {
                    **n = 1;
                    sleep(1000 * MS).await
                })
                .await
        });
        briefly().await?;
        assert!(lock.locked());
        task.cancel();
        assert!(cancelled(task.await));
        assert_eq!(*lock.acquire().await?, 1);
        Ok(())
    });
}

#[test]
fn a_guard_is_kept_across_awaits_and_a_timeout_gives_up_the_place() {
    run(async {
        let lock = Rc::new(Lock::new(()));
        let guard = lock.acquire().await?;
        let late = timeout(5 * MS).with(async |_| lock.acquire().await).await;
        assert!(matches!(late, Err(Error::Timeout(_))));
        drop(guard);
        assert!(lock.try_acquire().is_some());
        Ok(())
    });
}

#[test]
fn a_lock_is_bound_to_no_loop() {
    let lock = std::sync::Arc::new(Lock::new(0));
    let threads: Vec<_> = (0..2)
        .map(|_| {
            let lock = lock.clone();
            thread::spawn(move || {
                let event_loop = EventLoop::builder().build().unwrap();
                let outcome = event_loop.run_until_complete(async move {
                    for _ in 0..100 {
                        let mut n = lock.acquire().await?;
                        let before = *n;
                        briefly().await?;
                        *n = before + 1;
                    }
                    Ok(())
                });
                event_loop.close().unwrap();
                outcome.unwrap();
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(*lock.try_acquire().unwrap(), 200);
}

#[test]
fn the_wait_site_names_the_operation() {
    run(async {
        let lock = Rc::new(Lock::new(()));
        std::mem::forget(lock.acquire().await?);
        let waiter = acquire(&lock);
        briefly().await?;
        let site = waiter.wait_site().unwrap();
        assert_eq!((site.what(), site.location().file()), ("Lock.acquire", file!()));
        lock.release()?;
        waiter.await
    });
}

#[test]
fn event_set_then_clear_still_wakes_the_waiters_of_that_moment() {
    run(async {
        let event = Rc::new(Event::new());
        let waiter = |event: &Rc<Event>| {
            let event = event.clone();
            create_task(async move { event.wait().await })
        };
        let (a, b, c) = (waiter(&event), waiter(&event), waiter(&event));
        briefly().await?;
        c.cancel();
        event.set();
        event.clear();
        briefly().await?;
        assert!(a.done() && b.done() && c.cancelled());
        let late = waiter(&event);
        briefly().await?;
        assert!(!late.done());
        event.set();
        event.wait().await?;
        assert!(!late.done(), "a wait on a set event does not suspend");
        late.await
    });
}

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
        assert!(cancelled(a.await));
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
        // Notified, and waiting for the lock: cancelled there, again and again.
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
        assert!(cancelled(a.await));
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
        assert!(cancelled(a.await));
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

/// A task that takes a permit for good.
fn take(semaphore: &Rc<Semaphore>) -> Task<()> {
    let semaphore = semaphore.clone();
    create_task(async move {
        semaphore.acquire().await?.forget();
        Ok(())
    })
}

#[test]
fn a_semaphore_is_not_acquired_past_those_who_wait() {
    run(async {
        let semaphore = Rc::new(Semaphore::new(1));
        let order = Rc::new(RefCell::new(Vec::new()));
        let worker = |name: &'static str| {
            let (semaphore, order) = (semaphore.clone(), order.clone());
            create_task(async move {
                for _ in 0..2 {
                    semaphore.acquire().await?.forget();
                    order.borrow_mut().push(name);
                    semaphore.release();
                }
                Ok(())
            })
        };
        let held = semaphore.acquire().await?;
        let (a, b) = (worker("a"), worker("b"));
        briefly().await?;
        drop(held);
        // The permit is the first waiter's now, and the next is the second's.
        assert!(semaphore.locked());
        a.await?;
        b.await?;
        assert_eq!(*order.borrow(), ["a", "b", "a", "b"]);
        Ok(())
    });
}

#[test]
fn who_leaves_the_line_of_a_semaphore_wakes_as_many_as_there_are_permits() {
    run(async {
        let semaphore = Rc::new(Semaphore::new(0));
        let (a, b, c) = (take(&semaphore), take(&semaphore), take(&semaphore));
        briefly().await?;
        // Of three permits two go to those who wait. The third stays in, but nobody may take it past
        // them: the first of them to run gives it to the next in line.
        a.cancel();
        for _ in 0..3 {
            semaphore.release();
        }
        assert_eq!(semaphore.value(), 1);
        assert!(semaphore.locked());
        let (d, e) = (take(&semaphore), take(&semaphore));
        briefly().await?;
        assert!(a.cancelled() && b.done() && c.done());
        briefly().await?;
        assert!(d.done() != e.done());
        semaphore.release();
        d.await?;
        e.await
    });
}

#[test]
fn a_cancelled_waiter_of_a_semaphore_takes_no_permit() {
    run(async {
        let semaphore = Rc::new(Semaphore::new(0));
        let tasks = [0, 1, 2, 3].map(|_| take(&semaphore));
        briefly().await?;
        tasks[0].cancel();
        tasks[1].cancel();
        semaphore.release();
        semaphore.release();
        briefly().await?;
        assert!(tasks[2].done() && tasks[3].done());
        assert!(tasks[0].cancelled() && tasks[1].cancelled());
        assert_eq!(semaphore.value(), 0);
        Ok(())
    });
}

#[test]
fn a_semaphore_does_not_hang_after_a_cancelled_waiter() {
    run(async {
        let semaphore = Rc::new(Semaphore::new(1));
        semaphore.acquire().await?.forget();
        let (a, b) = (take(&semaphore), take(&semaphore));
        briefly().await?;
        a.cancel();
        briefly().await?;
        semaphore.release();
        b.await?;
        assert!(a.cancelled() && semaphore.locked());
        Ok(())
    });
}

#[test]
fn a_permit_given_to_a_waiter_that_is_cancelled_goes_to_the_next() {
    run(async {
        let semaphore = Rc::new(Semaphore::new(1));
        semaphore.acquire().await?.forget();
        let (a, b) = (take(&semaphore), take(&semaphore));
        briefly().await?;
        semaphore.release();
        a.cancel();
        briefly().await?;
        assert!(a.cancelled() && !b.done());
        b.await?;
        // And back in, if nobody waits.
        let c = take(&semaphore);
        briefly().await?;
        semaphore.release();
        c.cancel();
        assert!(cancelled(c.await));
        assert_eq!(semaphore.value(), 1);
        assert!(!semaphore.locked());
        Ok(())
    });
}

#[test]
fn no_more_tasks_than_permits_are_inside() {
    run(async {
        let (semaphore, inside) = (Rc::new(BoundedSemaphore::new(3)), Rc::new(Cell::new(0)));
        let tasks: Vec<_> = (0..10)
            .map(|_| {
                let (semaphore, inside) = (semaphore.clone(), inside.clone());
                create_task(async move {
                    semaphore
                        .with(async |_| {
                            inside.set(inside.get() + 1);
                            assert!(inside.get() <= 3);
                            sleep(MS).await?;
                            inside.set(inside.get() - 1);
                            Ok(())
                        })
                        .await
                })
            })
            .collect();
        for task in tasks {
            task.await?;
        }
        assert!(matches!(semaphore.release(), Err(Error::Value(_))));
        Ok(())
    });
}

/// A task that waits at the barrier.
fn meet(barrier: &Rc<Barrier>) -> Task<usize> {
    let barrier = barrier.clone();
    create_task(async move { barrier.wait().await })
}

fn broken<T>(outcome: Result<T>) -> bool {
    matches!(outcome, Err(Error::BrokenBarrier(_)))
}

#[test]
fn the_last_party_wakes_all_others_in_order_of_arrival() {
    run(async {
        let barrier = Rc::new(Barrier::new(3)?);
        let (a, b) = (meet(&barrier), meet(&barrier));
        briefly().await?;
        assert_eq!((barrier.parties(), barrier.n_waiting(), barrier.broken()), (3, 2, false));
        assert_eq!(barrier.wait().await?, 2);
        assert_eq!(barrier.n_waiting(), 0);
        assert!(!a.done());
        briefly().await?;
        assert!(a.done() && b.done());
        assert_eq!((a.await?, b.await?), (0, 1));
        Ok(())
    });
}

#[test]
fn a_cancelled_party_leaves_and_breaks_nothing() {
    run(async {
        let barrier = Rc::new(Barrier::new(3)?);
        let (a, b) = (meet(&barrier), meet(&barrier));
        briefly().await?;
        a.cancel();
        assert!(cancelled(a.await));
        assert_eq!((barrier.n_waiting(), barrier.broken()), (1, false));
        let c = meet(&barrier);
        briefly().await?;
        barrier.wait().await?;
        b.await?;
        c.await?;
        assert_eq!(barrier.n_waiting(), 0);
        Ok(())
    });
}

#[test]
fn parties_that_come_while_it_drains_wait_for_the_drain() {
    run(async {
        let barrier = Rc::new(Barrier::new(3)?);
        let rounds = Rc::new(RefCell::new(Vec::new()));
        let tasks: Vec<_> = (0..3)
            .map(|n| {
                let (barrier, rounds) = (barrier.clone(), rounds.clone());
                create_task(async move {
                    for round in 0..3 {
                        barrier.wait().await?;
                        rounds.borrow_mut().push((round, n));
                    }
                    Ok(())
                })
            })
            .collect();
        for task in tasks {
            task.await?;
        }
        let rounds: Vec<_> = rounds.borrow().iter().map(|entry| entry.0).collect();
        assert_eq!(rounds, [0, 0, 0, 1, 1, 1, 2, 2, 2]);
        assert_eq!(barrier.n_waiting(), 0);
        Ok(())
    });
}

#[test]
fn a_reset_in_the_middle_of_the_drain_breaks_those_that_are_not_out_yet() {
    run(async {
        let barrier = Rc::new(Barrier::new(3)?);
        let inner = barrier.clone();
        // The first party to come out resets the barrier before the second one has run.
        let a = create_task(async move {
            let index = inner.wait().await?;
            inner.reset().await?;
            Ok(index)
        });
        let b = meet(&barrier);
        briefly().await?;
        barrier.wait().await?;
        assert_eq!(a.await?, 0);
        assert!(broken(b.await));
        assert!(!barrier.broken());
        let (a, b) = (meet(&barrier), meet(&barrier));
        briefly().await?;
        assert_eq!(barrier.wait().await?, 2);
        assert_eq!((a.await?, b.await?), (0, 1));
        Ok(())
    });
}

#[test]
fn an_aborted_barrier_stays_broken_until_it_is_reset() {
    run(async {
        let barrier = Rc::new(Barrier::new(3)?);
        let (a, b) = (meet(&barrier), meet(&barrier));
        briefly().await?;
        barrier.abort().await?;
        assert!(broken(a.await) && broken(b.await));
        assert!(barrier.broken() && broken(barrier.wait().await));
        barrier.reset().await?;
        assert!(!barrier.broken());
        let (a, b) = (meet(&barrier), meet(&barrier));
        briefly().await?;
        barrier.wait().await?;
        a.await?;
        b.await?;
        Ok(())
    });
}

#[test]
fn a_reset_breaks_the_waits_and_the_barrier_can_be_used_at_once() {
    run(async {
        let barrier = Rc::new(Barrier::new(3)?);
        let (a, b) = (meet(&barrier), meet(&barrier));
        briefly().await?;
        barrier.reset().await?;
        let late = meet(&barrier);
        assert!(broken(a.await) && broken(b.await));
        briefly().await?;
        assert_eq!((barrier.n_waiting(), barrier.broken()), (1, false));
        late.cancel();
        assert!(cancelled(late.await));
        assert_eq!(barrier.n_waiting(), 0);
        Ok(())
    });
}

/// A wait that tasks hand to each other.
type Shared<F> = Rc<RefCell<Pin<Box<F>>>>;

/// A task that is suspended in a wait which it does not own.
fn suspend_in<F>(wait: &Shared<F>) -> Task<()>
where
    F: Future<Output: 'static> + 'static,
{
    let wait = wait.clone();
    create_task(async move {
        let mut first = true;
        poll_fn(|cx| {
            if first {
                first = false;
                return wait.borrow_mut().as_mut().poll(cx).map(drop);
            }
            Poll::Ready(())
        })
        .await;
        Ok(())
    })
}

#[test]
fn a_wait_that_leaves_its_finished_task_keeps_its_wake_up() {
    run(async {
        let lock: &'static Lock = Box::leak(Box::new(Lock::new(())));
        std::mem::forget(lock.acquire().await?);
        let wait = Rc::new(RefCell::new(Box::pin(lock.acquire())));
        let a = suspend_in(&wait);
        briefly().await?;
        lock.release()?;
        a.await?;
        // It was woken in a task that is gone.
        let guard = poll_fn(|cx| wait.borrow_mut().as_mut().poll(cx)).await?;
        drop(guard);
        assert!(!lock.locked());
        Ok(())
    });
}

#[test]
fn a_wait_that_leaves_its_cancelled_task_is_served_after_all() {
    run(async {
        let lock: &'static Lock = Box::leak(Box::new(Lock::new(())));
        std::mem::forget(lock.acquire().await?);
        let wait = Rc::new(RefCell::new(Box::pin(lock.acquire())));
        let a = suspend_in(&wait);
        briefly().await?;
        a.cancel();
        // Passed over: its task is cancelled. But then it is polled in another.
        lock.release()?;
        drop(poll_fn(|cx| wait.borrow_mut().as_mut().poll(cx)).await?);

        let semaphore: &'static Semaphore = Box::leak(Box::new(Semaphore::new(0)));
        let wait = Rc::new(RefCell::new(Box::pin(semaphore.acquire())));
        let b = suspend_in(&wait);
        briefly().await?;
        b.cancel();
        semaphore.release();
        drop(poll_fn(|cx| wait.borrow_mut().as_mut().poll(cx)).await?);
        assert_eq!(semaphore.value(), 1);
        Ok(())
    });
}

#[test]
fn a_wait_that_leaves_for_another_thread_keeps_its_wake_up() {
    run(async {
        static LOCK: Lock<i32> = Lock::new(1);
        let held = LOCK.acquire().await?;
        let mut wait = Box::pin(LOCK.acquire());
        poll_fn(|cx| {
            assert!(wait.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        drop(held);
        let mut other = Box::pin(LOCK.acquire());
        poll_fn(|cx| {
            assert!(other.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        let elsewhere = thread::spawn(move || {
            let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
            match wait.as_mut().poll(&mut cx) {
                Poll::Ready(guard) => *guard.unwrap() += 1,
                Poll::Pending => panic!("the lock was given to this wait"),
            }
            // One that is dropped elsewhere passes its turn on, too.
            drop(other);
        });
        elsewhere.join().unwrap();
        assert_eq!(*LOCK.acquire().await?, 2);
        Ok(())
    });
}
