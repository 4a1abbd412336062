//! Barriers in tasks of a loop: what a cancellation does to them, and in which step.

use asyncio_core::{Error, Result};
use asyncio_locks::Barrier;
use asyncio_task::{Task, create_task};
use asyncio_tests::support::{briefly, cancelled, run};
use std::{cell::RefCell, rc::Rc};

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
        assert!(cancelled(&a.await));
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
        assert!(cancelled(&late.await));
        assert_eq!(barrier.n_waiting(), 0);
        Ok(())
    });
}
