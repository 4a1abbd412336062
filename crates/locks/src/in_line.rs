//! Tests of what every lock guarantees to its waiters, in each of its modes.

use crate::{
    Condition, Lock, Result, RwLock, Semaphore,
    testing::{Tester, tester},
};
use futures_lite::future::block_on;
use std::{
    any::Any,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
};

type Guard = Box<dyn Any>;
type Waiting = Tester<Pin<Box<dyn Future<Output = Guard>>>>;

/// A lock that is held, and two futures in line for it.
struct Line {
    mode: &'static str,
    held: Guard,
    first: Waiting,
    next: Waiting,
}

fn waiting<G: 'static>(future: impl Future<Output = Result<G>> + 'static) -> Waiting {
    let mut waiting = tester(Box::pin(async { Box::new(future.await.unwrap()) as Guard }) as _);
    Waiting::is_pending(&mut waiting);
    waiting
}

fn line<H: 'static, F: 'static, N: 'static>(
    mode: &'static str,
    hold: impl Future<Output = Result<H>> + 'static,
    first: impl Future<Output = Result<F>> + 'static,
    next: impl Future<Output = Result<N>> + 'static,
) -> Line {
    let held = Box::new(block_on(hold).unwrap());
    Line { mode, held, first: waiting(first), next: waiting(next) }
}

fn leak<T>(lock: T) -> &'static T {
    Box::leak(Box::new(lock))
}

fn lines() -> [Line; 9] {
    let (a, b) = (leak(Lock::new(())), Arc::new(Lock::new(())));
    let (c, d, e) = (leak(RwLock::new(())), leak(RwLock::new(())), leak(RwLock::new(())));
    let (f, g) = (Arc::new(RwLock::new(())), leak(Semaphore::new(1)));
    let (h, i) = (Arc::new(Semaphore::new(1)), leak(Condition::new(())));
    let (b, f, h) = (move || b.clone(), move || f.clone(), move || h.clone());
    [
        line("Lock", a.acquire(), a.acquire(), a.acquire()),
        line("Lock, owned", b().acquire_owned(), b().acquire_owned(), b().acquire_owned()),
        line("RwLock, writers", c.write(), c.write(), c.write()),
        line("RwLock, a reader behind a writer", d.write(), d.read(), d.write()),
        line("RwLock, a writer behind a reader", e.read(), e.write(), e.read()),
        line("RwLock, owned", f().write_owned(), f().write_owned(), f().write_owned()),
        line("Semaphore", g.acquire(), g.acquire(), g.acquire()),
        line("Semaphore, owned", h().acquire_owned(), h().acquire_owned(), h().acquire_owned()),
        line("Condition", i.acquire(), i.acquire(), i.acquire()),
    ]
}

#[test]
fn a_woken_waiter_that_is_dropped_wakes_the_next() {
    for Line { mode, held, mut first, mut next } in lines() {
        drop(held);
        assert!(first.was_woken() && !next.was_woken(), "{mode}");
        drop(first);
        assert!(next.was_woken(), "{mode}");
        next.is_ready();
    }
}

#[test]
fn a_waiter_that_is_dropped_before_the_release_is_not_waited_for() {
    for Line { mode, held, first, mut next } in lines() {
        drop(first);
        drop(held);
        // A reader goes in beside a reader as soon as no writer stands before it.
        assert!(next.was_woken(), "{mode}");
        next.is_ready();
    }
}

#[test]
fn a_waiter_moved_to_another_task_keeps_its_place() {
    for Line { mode, held, first, mut next } in lines() {
        let mut first = first.moved();
        first.is_pending();
        drop(held);
        assert!(first.was_woken() && !next.was_woken(), "{mode}");
        // Even if it was woken before anything polled it there.
        let mut first = first.moved();
        drop(first.is_ready());
        assert!(next.was_woken(), "{mode}");
    }
}

#[test]
fn a_panic_while_it_is_held_releases_it() {
    for Line { mode, held, mut first, .. } in lines() {
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let _held = held;
            panic!("on purpose");
        }));
        assert!(outcome.is_err() && first.was_woken(), "{mode}");
        first.is_ready();
    }
}
