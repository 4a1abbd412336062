//! Barriers under foreign executors.

use super::*;
use crate::testing::tester;
use futures_lite::future::block_on;
use std::{sync::Arc, thread};

#[test]
fn a_barrier_of_zero_parties_is_an_error() {
    assert!(matches!(Barrier::new(0), Err(Error::Value(_))));
}

#[test]
fn every_party_gets_an_index_and_the_last_does_not_suspend() {
    let barrier = Barrier::new(3).unwrap();
    let (mut a, mut b) = (tester(barrier.wait()), tester(barrier.wait()));
    a.is_pending();
    b.is_pending();
    assert_eq!(barrier.n_waiting(), 2);
    assert_eq!(tester(barrier.wait()).is_ready().unwrap(), 2);
    assert_eq!(barrier.n_waiting(), 0);
    assert!(a.was_woken() && b.was_woken());
    assert_eq!(a.is_ready().unwrap(), 0);
    assert_eq!(b.is_ready().unwrap(), 1);
    // And again.
    let mut a = tester(barrier.wait());
    a.is_pending();
    assert_eq!(barrier.n_waiting(), 1);
}

#[test]
fn a_party_that_comes_while_it_drains_waits_for_the_next_filling() {
    let barrier = Barrier::new(2).unwrap();
    let mut a = tester(barrier.wait());
    a.is_pending();
    tester(barrier.wait()).is_ready().unwrap();
    let mut early = tester(barrier.wait());
    early.is_pending();
    assert_eq!(barrier.n_waiting(), 0);
    assert!(!early.was_woken());
    a.is_ready().unwrap();
    assert!(early.was_woken());
    early.is_pending();
    assert_eq!(barrier.n_waiting(), 1);
    assert_eq!(tester(barrier.wait()).is_ready().unwrap(), 1);
    assert_eq!(early.is_ready().unwrap(), 0);
}

#[test]
fn reset_breaks_the_waits_and_nothing_else() {
    let barrier = Barrier::new(3).unwrap();
    let (mut a, mut b) = (tester(barrier.wait()), tester(barrier.wait()));
    a.is_pending();
    b.is_pending();
    block_on(barrier.reset()).unwrap();
    assert!(!barrier.broken());
    let mut late = tester(barrier.wait());
    late.is_pending();
    assert_eq!(barrier.n_waiting(), 0, "it is still resetting");
    assert!(matches!(a.is_ready(), Err(Error::BrokenBarrier(_))));
    assert!(matches!(b.is_ready(), Err(Error::BrokenBarrier(_))));
    assert!(late.was_woken());
    late.is_pending();
    assert_eq!(barrier.n_waiting(), 1);
}

#[test]
fn abort_breaks_it_until_it_is_reset() {
    let barrier = Barrier::new(2).unwrap();
    let mut a = tester(barrier.wait());
    a.is_pending();
    block_on(barrier.abort()).unwrap();
    assert!(barrier.broken());
    assert!(matches!(tester(barrier.wait()).is_ready(), Err(Error::BrokenBarrier(_))));
    assert!(matches!(a.is_ready(), Err(Error::BrokenBarrier(_))));
    assert!(barrier.broken());
    block_on(barrier.reset()).unwrap();
    let mut a = tester(barrier.wait());
    a.is_pending();
    assert_eq!(tester(barrier.wait()).is_ready().unwrap(), 1);
    assert_eq!(a.is_ready().unwrap(), 0);
}

#[test]
fn a_dropped_party_does_not_count() {
    let barrier = Barrier::new(2).unwrap();
    let mut a = tester(barrier.wait());
    a.is_pending();
    drop(a);
    assert_eq!(barrier.n_waiting(), 0);
    let mut b = tester(barrier.wait());
    b.is_pending();
    assert_eq!(tester(barrier.wait()).is_ready().unwrap(), 1);
    assert_eq!(b.is_ready().unwrap(), 0);
}

#[test]
fn the_last_to_leave_makes_it_ready_even_if_it_is_dropped() {
    let barrier = Barrier::new(2).unwrap();
    let mut a = tester(barrier.wait());
    a.is_pending();
    tester(barrier.wait()).is_ready().unwrap();
    let mut early = tester(barrier.wait());
    early.is_pending();
    drop(a);
    assert!(early.was_woken());
    early.is_pending();
    assert_eq!(barrier.n_waiting(), 1);
}

#[test]
fn with_gives_the_index() {
    let barrier = Barrier::new(1).unwrap();
    let index = block_on(barrier.with(async |index| Ok(*index)));
    assert_eq!(index.unwrap(), 0);
    assert_eq!(format!("{barrier:?}"), "Barrier { phase: Filling, inside: 0, parties: 1 }");
}

#[test]
fn threads_meet_again_and_again() {
    let (parties, rounds) = (3, 200);
    let barrier = Arc::new(Barrier::new(parties).unwrap());
    let threads: Vec<_> = (0..parties)
        .map(|_| {
            let barrier = barrier.clone();
            thread::spawn(move || -> Vec<usize> {
                (0..rounds).map(|_| block_on(barrier.wait()).unwrap()).collect()
            })
        })
        .collect();
    let indices: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    for round in 0..rounds {
        let mut all: Vec<_> = indices.iter().map(|of| of[round]).collect();
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2]);
    }
}
