//! Models of `ThreadsafeHandle`: a cancelled callback does not run, or has ended.
#![cfg(loom)]

use asyncio_core::{
    handle::ThreadsafeHandle,
    raw::{
        model::{Loop, check, leak},
        sync::{AtomicBool, Ordering},
    },
};
use loom::thread;

#[test]
fn a_cancelled_callback_does_not_run_or_has_ended() {
    check(&["handle_cancelled_late", "handle_told_early"], 3, || {
        let (tasks, ended): (_, &AtomicBool) = (Loop::new(), leak(AtomicBool::new(false)));
        let callback = || {
            ended.store(true, Ordering::Release);
            Ok(())
        };
        let handle = ThreadsafeHandle::send(tasks.home(), callback).unwrap();
        let other = handle.clone();
        let canceller = thread::spawn(move || {
            other.cancel();
            let has_ended = ended.load(Ordering::Acquire);
            assert!(other.cancelled() != has_ended, "it is cancelled, or has run to its end");
        });
        tasks.turn();
        canceller.join().unwrap();
    });
}
