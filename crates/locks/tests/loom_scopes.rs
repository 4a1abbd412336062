//! Models of a request that comes from a scope and meets a wake-up from another thread.
#![cfg(loom)]

use asyncio_core::{
    CancelledError, Result,
    raw::model::{Loop, check, leak},
    scope::{ScopePlace, ScopePoll},
    wait_site::WaitSite,
};
use asyncio_locks::{Event, Semaphore};
use loom::thread;
use std::{
    cell::{Cell, RefCell},
    future::{Future, poll_fn},
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll},
};

/// Polls a leaf inside a scope.
fn poll_inside<T>(
    place: &mut ScopePlace,
    leaf: Pin<&mut impl Future<Output = Result<T>>>,
    cx: &mut Context<'_>,
) -> Poll<Result<T>> {
    match place.poll(cx, |cx| leaf.poll(cx)) {
        ScopePoll::Ready(outcome) => Poll::Ready(outcome),
        ScopePoll::Pending => Poll::Pending,
        ScopePoll::GivesWay(cancelled) => Poll::Ready(Err(cancelled.into())),
    }
}

/// The request comes before the leaf runs again: the leaf gets the error even if it was woken, and the
/// permit goes back.
#[test]
fn a_request_of_a_scope_against_a_wake_beside_the_first_wait() {
    let mutants = ["other_wake_overwrites_cancel", "other_cancel_overwrites_wake"];
    check(&mutants, 3, || {
        let semaphore: &Semaphore = leak(Semaphore::new(0));
        let (tasks, scope, outcome) =
            (Loop::new(), Rc::new(Cell::new(None)), Rc::new(RefCell::new(None)));
        let (key, result) = (scope.clone(), outcome.clone());
        tasks.spawn(async move {
            // It takes the task's first wait.
            let never: &Event = leak(Event::new());
            let mut first = Box::pin(never.wait());
            let mut place = ScopePlace::new(WaitSite::here(&"a scope"));
            let mut permit = pin!(semaphore.acquire());
            let outcome = poll_fn(|cx| {
                assert!(first.as_mut().poll(cx).is_pending());
                let polled = poll_inside(&mut place, permit.as_mut(), cx);
                key.set(place.key());
                polled
            });
            *result.borrow_mut() = Some(outcome.await.map(drop));
        });
        tasks.turn();
        let releases = thread::spawn(|| semaphore.release());
        scope.get().unwrap().request(CancelledError::default());
        tasks.run();
        releases.join().unwrap();
        assert!(outcome.take().unwrap().unwrap_err().is_cancelled());
        assert!(semaphore.try_acquire().is_some(), "the permit is lost");
    });
}

/// The scope only borrowed the leaf, and ends before the leaf runs again. The leaf continues to wait, and
/// sees a release from the time when it counted as cancelled.
#[test]
fn a_request_that_is_taken_back_against_a_wake() {
    check(&["revoked_without_a_look"], 3, || {
        let semaphore: &Semaphore = leak(Semaphore::new(0));
        let (tasks, scope, outcome) =
            (Loop::new(), Rc::new(Cell::new(None)), Rc::new(RefCell::new(None)));
        let (key, result) = (scope.clone(), outcome.clone());
        tasks.spawn(async move {
            let mut place = Some(ScopePlace::new(WaitSite::here(&"a scope")));
            let mut permit = pin!(semaphore.acquire());
            let outcome = poll_fn(|cx| {
                let Some(inside) = &mut place else { return permit.as_mut().poll(cx) };
                match key.take() {
                    None => {
                        assert!(poll_inside(inside, permit.as_mut(), cx).is_pending());
                        key.set(inside.key());
                        Poll::Pending
                    }
                    Some(_) => {
                        place = None;
                        permit.as_mut().poll(cx)
                    }
                }
            });
            *result.borrow_mut() = Some(outcome.await.map(drop));
        });
        tasks.turn();
        let releases = thread::spawn(|| semaphore.release());
        scope.get().unwrap().request(CancelledError::default());
        tasks.run();
        releases.join().unwrap();
        outcome.take().unwrap().unwrap();
    });
}
