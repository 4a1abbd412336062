//! Tests of `ConcurrentFuture` between threads, named by situation.

use super::*;
use std::{
    panic::{AssertUnwindSafe, catch_unwind, panic_any},
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

/// Runs `work` in a thread, and fails if it does not end because it waits for its own lock.
fn ends(work: impl FnOnce() + Send + 'static) {
    let (end, ended) = mpsc::channel();
    let thread = thread::spawn(move || {
        work();
        let _ = end.send(());
    });
    if let Err(mpsc::RecvTimeoutError::Timeout) = ended.recv_timeout(Duration::from_secs(30)) {
        panic!("a thread waits for a lock that it holds");
    }
    thread.join().unwrap();
}

fn is_invalid_state<T>(outcome: &Result<T>) -> bool {
    matches!(outcome, Err(Error::InvalidState(_)))
}

/// Uses its future when it is dropped.
struct AtEnd(ConcurrentFuture<u32>);

impl Drop for AtEnd {
    fn drop(&mut self) {
        let _ = self.0.running();
    }
}

/// A panic whose payload panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("the payload fell over, too");
    }
}

#[test]
fn a_callback_that_panics_stops_neither_the_others_nor_set_result() {
    static RAN: AtomicUsize = AtomicUsize::new(0);
    let future = ConcurrentFuture::new();
    for panics in [true, false, true, false] {
        future.add_done_callback(move |_| {
            RAN.fetch_add(1, Ordering::Relaxed);
            if panics {
                panic_any(Bomb);
            }
        });
    }
    future.set_result(7).unwrap();
    assert_eq!(RAN.load(Ordering::Relaxed), 4);
    // A callback that comes late is called immediately, with the same future.
    future.add_done_callback(|_| panic!("late"));
    assert_eq!(future.result(None).unwrap(), 7);
}

#[test]
fn a_request_to_cancel_that_panics_leaves_the_future_cancelled() {
    let future = ConcurrentFuture::<u32>::new();
    assert!(future.set_running_or_notify_cancel());
    future.on_cancel(|| panic!("cannot ask"));
    assert!(future.cancel());
    assert!(future.cancelled());
}

#[test]
fn what_a_request_to_cancel_captured_may_use_the_future_when_it_is_dropped() {
    let ends_by: [fn(&ConcurrentFuture<u32>) -> bool; 3] =
        [ConcurrentFuture::cancel, |future| future.set_result(1).is_ok(), ConcurrentFuture::done];
    for end in ends_by {
        ends(move || {
            let future = ConcurrentFuture::new();
            let request = |future: &ConcurrentFuture<u32>| {
                let at_end = AtEnd(future.clone());
                move || drop(at_end)
            };
            future.on_cancel(request(&future));
            future.set_running_or_notify_cancel();
            future.on_cancel(request(&future));
            end(&future);
            // Unused, if it is done.
            future.on_cancel(request(&future));
            future.set_result(2).unwrap_or_default();
        });
    }
}

#[test]
fn a_request_to_cancel_may_be_there_before_the_work_begins() {
    let (ask, asked) = mpsc::channel();
    let future = ConcurrentFuture::<u32>::new();
    future.on_cancel(move || ask.send(()).unwrap());
    assert!(future.set_running_or_notify_cancel());
    assert!(future.cancel());
    assert_eq!(asked.try_recv(), Ok(()));

    // Work that has not started is not asked to end.
    let (ask, asked) = mpsc::channel();
    let future = ConcurrentFuture::<u32>::new();
    future.on_cancel(move || ask.send(()).unwrap());
    assert!(future.cancel() && !future.set_running_or_notify_cancel());
    assert_eq!(asked.try_recv(), Err(mpsc::TryRecvError::Disconnected));
}

#[test]
fn every_thread_that_cancels_learns_that_it_is_cancelled() {
    for _ in 0..200 {
        let future = ConcurrentFuture::<u32>::new();
        future.on_cancel(|| ());
        future.set_running_or_notify_cancel();
        let cancel = || {
            thread::spawn({
                let future = future.clone();
                move || future.cancel()
            })
        };
        let threads = [cancel(), cancel(), cancel()];
        assert!(threads.into_iter().all(|thread| thread.join().unwrap()));
    }
    let done = ConcurrentFuture::new();
    done.set_result(1).unwrap();
    assert!(!done.cancel());
}

#[test]
fn a_value_that_was_moved_out_is_an_invalid_state() {
    let future = ConcurrentFuture::new();
    assert!(future.try_result().is_none());
    future.set_result(7).unwrap();
    assert_eq!(future.try_result().unwrap().unwrap(), 7);
    assert!(is_invalid_state(&future.try_result().unwrap()));
    assert!(is_invalid_state(&future.result(None)));
    // The value is not restored.
    assert!(is_invalid_state(&future.shared().result(None)));
}

#[test]
fn a_shared_value_is_there_for_every_caller() {
    let future = ConcurrentFuture::new();
    let other = future.clone();
    future.set_result("again".to_owned()).unwrap();
    let future = future.shared();
    for future in [&future, &other, &future] {
        assert_eq!(future.result(None).unwrap(), "again");
        assert_eq!(future.try_result().unwrap().unwrap(), "again");
    }
}

#[test]
fn the_clone_of_a_shared_value_may_use_the_future_and_may_panic() {
    struct Value(ConcurrentFuture<Value>, u32);
    impl Clone for Value {
        fn clone(&self) -> Value {
            assert!(self.0.done() && self.1 > 0);
            Value(self.0.clone(), self.1)
        }
    }
    ends(|| {
        let future = ConcurrentFuture::new().shared();
        future.set_result(Value(future.clone(), 1)).unwrap_or_default();
        assert_eq!(future.result(None).unwrap().1, 1);
        let future = ConcurrentFuture::new().shared();
        future.set_result(Value(future.clone(), 0)).unwrap_or_default();
        for _ in 0..2 {
            assert!(catch_unwind(AssertUnwindSafe(|| drop(future.result(None)))).is_err());
        }
    });
}

#[test]
fn it_can_be_awaited_under_any_executor() {
    use futures_lite::future::block_on;
    let future = ConcurrentFuture::new();
    let setter = future.clone();
    let thread = thread::spawn(move || {
        thread::sleep(Duration::from_millis(5));
        setter.set_result(7)
    });
    assert_eq!(block_on(future.clone().into_future()).unwrap(), 7);
    thread.join().unwrap().unwrap();
    // As with `result`, the first caller got the value.
    assert!(is_invalid_state(&block_on(future.into_future())));
}

#[test]
fn all_awaiters_and_all_blocked_callers_are_woken() {
    use futures_lite::future::block_on;
    let future = ConcurrentFuture::<u32>::new().shared();
    let threads: Vec<_> = (0..6)
        .map(|n| {
            let future = future.clone();
            thread::spawn(move || match n % 2 {
                0 => block_on(future.into_future()),
                _ => future.result(None),
            })
        })
        .collect();
    assert!(future.cancel());
    for thread in threads {
        assert!(thread.join().unwrap().unwrap_err().is_cancelled());
    }
}
