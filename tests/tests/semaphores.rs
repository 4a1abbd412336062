//! Semaphores in tasks of a loop: what a cancellation does to them, and in which step.

use asyncio_core::{AsyncContextManager, Error};
use asyncio_locks::{BoundedSemaphore, Semaphore};
use asyncio_task::{Task, create_task, sleep};
use asyncio_tests::support::{MS, briefly, cancelled, run};
use std::{cell::Cell, cell::RefCell, rc::Rc};

/// A task that takes a permit permanently.
fn take(semaphore: &Rc<Semaphore>) -> Task<()> {
    let semaphore = semaphore.clone();
    create_task(async move {
        semaphore.acquire().await?.forget();
        Ok(())
    })
}

#[test]
fn a_semaphore_is_not_acquired_past_its_waiters() {
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
fn leaving_the_line_of_a_semaphore_wakes_as_many_as_there_are_permits() {
    run(async {
        let semaphore = Rc::new(Semaphore::new(0));
        let (a, b, c) = (take(&semaphore), take(&semaphore), take(&semaphore));
        briefly().await?;
        // Of three permits, two go to waiters. The third stays in the semaphore, but no other task
        // may take it before them: the first of them to run passes it to the next waiter.
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
        // And back to the semaphore, if there is no waiter.
        let c = take(&semaphore);
        briefly().await?;
        semaphore.release();
        c.cancel();
        assert!(cancelled(&c.await));
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
