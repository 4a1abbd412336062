//! Models of `ConcurrentFuture`: it ends once, and every awaiter is woken.
#![cfg(loom)]

use asyncio_core::raw::model::check;
use asyncio_future::ConcurrentFuture;
use loom::{future::block_on, thread};
use std::future::IntoFuture;

#[test]
fn an_await_meets_a_result() {
    check(&["concurrent_listened_unseen"], 2, || {
        let future = ConcurrentFuture::new();
        let setter = future.clone();
        let other = thread::spawn(move || setter.set_result(7).unwrap());
        let got = block_on(future.clone().into_future());
        assert!(matches!(got, Ok(7)), "{got:?}");
        other.join().unwrap();
        // Dropped here, because loom does not see how an `Arc` of std orders the drops of its
        // handles.
        drop(future);
    });
}

#[test]
fn set_against_cancel() {
    check(&["concurrent_finished_twice"], 2, || {
        let future = ConcurrentFuture::new();
        let setter = future.clone();
        let other = thread::spawn(move || setter.set_result(7).is_ok());
        let cancelled = future.cancel();
        let set = other.join().unwrap();
        assert!(cancelled != set, "one of the two ends it");
        assert_eq!(future.try_result().is_some_and(|outcome| outcome.is_ok()), set);
    });
}
