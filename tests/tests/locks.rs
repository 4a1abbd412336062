//! Locks and events in tasks of a loop: what a cancellation does to them, and in which step; and waits
//! that leave their task.

use asyncio_core::{AsyncContextManager, Error};
use asyncio_locks::{Event, Lock, Semaphore};
use asyncio_loop::EventLoop;
use asyncio_task::{Task, create_task, current_task, sleep, timeout};
use asyncio_tests::support::{MS, briefly, cancelled, run};
use std::{
    cell::{Cell, RefCell},
    future::{Future, poll_fn},
    pin::Pin,
    rc::Rc,
    task::Poll,
    thread,
};

/// A task that takes the lock and keeps it without a guard, like `Task(lock.acquire())` in Python.
fn acquire(lock: &Rc<Lock>) -> Task<()> {
    let lock = lock.clone();
    create_task(async move {
        std::mem::forget(lock.acquire().await?);
        Ok(())
    })
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
        // A cancellation of a running task does not affect operations that do not suspend.
        current_task().unwrap().cancel();
        drop(lock.acquire().await?);
        assert!(cancelled(&briefly().await));
        Ok(())
    });
}

#[test]
fn a_released_lock_is_free_until_its_waiter_runs_and_no_task_barges_in() {
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
        // The lock is free and its first waiter is cancelled: this waiter passes the wake-up on.
        assert!(cancelled(&b.await));
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
        // For the lock, the waiter is gone immediately after the call.
        a.cancel();
        lock.release()?;
        let guard = lock.try_acquire();
        assert!(guard.is_some());
        assert!(cancelled(&a.await));
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
        assert!(cancelled(&task.await));
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

/// A wait that tasks pass to each other.
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
            // A wait that is dropped elsewhere also passes its wake-up on.
            drop(other);
        });
        elsewhere.join().unwrap();
        assert_eq!(*LOCK.acquire().await?, 2);
        Ok(())
    });
}
