//! The end of a thread whose thread-locals hold a loop or a runner: their destructors run in any
//! order, and may find the library's own thread-locals already destroyed.

use asyncio_core::raw::{HomeRef, LoopRef};
use asyncio_future::Future;
use asyncio_loop::{
    EventLoop, Runner, get_event_loop, get_running_loop, new_event_loop, set_event_loop,
};
use asyncio_task::{create_task, generator, sleep};
use std::{
    cell::RefCell,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

/// Counts when it is dropped.
struct Counts(Arc<AtomicUsize>);

impl Drop for Counts {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

/// Runs a closure when it is dropped.
struct AtTheEnd(Box<dyn FnMut()>);

impl Drop for AtTheEnd {
    fn drop(&mut self) {
        (self.0)();
    }
}

thread_local! {
    static RUNNER: RefCell<Option<Runner>> = const { RefCell::new(None) };
    static LOOP: RefCell<Option<EventLoop>> = const { RefCell::new(None) };
    static LAST: RefCell<Option<AtTheEnd>> = const { RefCell::new(None) };
}

/// `first`: the thread-local is used before those of the library, and so is destroyed after them.
fn in_both_orders(body: impl Fn(bool) + Send + Sync) {
    thread::scope(|scope| {
        for first in [true, false] {
            let body = &body;
            scope.spawn(move || body(first)).join().expect("the thread ends cleanly");
        }
    });
}

#[test]
fn a_runner_in_a_thread_local_ends_its_program_when_its_thread_ends() {
    let cleaned = Arc::new(AtomicUsize::new(0));
    let dropped = Arc::new(AtomicUsize::new(0));
    in_both_orders(|first| {
        if first {
            RUNNER.set(None);
        }
        let mut runner = Runner::new();
        let (cleaned, counts) = (cleaned.clone(), Counts(dropped.clone()));
        let main = async move {
            drop(create_task(async move {
                let _counts = counts;
                let outcome = Future::<()>::new().await;
                // It cleans up as in any run: it awaits, and asks which loop it is in.
                sleep(Duration::from_millis(1)).await?;
                assert!(get_running_loop()?.is_running());
                assert!(outcome.is_err_and(|error| error.is_cancelled()));
                cleaned.fetch_add(1, SeqCst);
                Ok(())
            }));
            sleep(Duration::ZERO).await
        };
        runner.run(main).unwrap();
        RUNNER.set(Some(runner));
    });
    assert_eq!((cleaned.load(SeqCst), dropped.load(SeqCst)), (2, 2));
}

#[test]
fn a_program_runs_even_in_the_destructor_of_a_thread_local() {
    let ran = Arc::new(AtomicUsize::new(0));
    in_both_orders(|first| {
        let ran = ran.clone();
        let run = move || {
            let main = async {
                let mut numbers = generator(async |yielder| {
                    yielder.send(1).await?;
                    yielder.send(2).await
                });
                let number = numbers.next().await.transpose()?;
                create_task(async move { Ok(number) }).await
            };
            assert_eq!(asyncio_loop::run(main).unwrap(), Some(1));
            set_event_loop(None);
            assert!(get_running_loop().is_err() && get_event_loop().is_err());
            ran.fetch_add(1, SeqCst);
        };
        if first {
            LAST.set(None);
        }
        asyncio_loop::run(async { sleep(Duration::ZERO).await }).unwrap();
        LAST.set(Some(AtTheEnd(Box::new(run))));
    });
    assert_eq!(ran.load(SeqCst), 2);
}

/// The homes of the loops of many threads; each thread keeps its own until it ends.
fn places(first: bool) -> Vec<HomeRef> {
    let place = move || {
        if first {
            LOOP.set(None);
        }
        let event_loop = new_event_loop().unwrap();
        let home: LoopRef = event_loop.home();
        LOOP.set(Some(event_loop));
        home.place()
    };
    (0..40).map(|_| thread::spawn(place).join().unwrap()).collect()
}

#[test]
fn a_loop_in_a_thread_local_leaves_its_home_to_other_threads() {
    for first in [true, false] {
        let mut different = Vec::new();
        for place in places(first) {
            if !different.contains(&place) {
                different.push(place);
            }
        }
        // One would be enough without the other tests of this process.
        assert!(different.len() < 20, "{} homes for 40 loops, one at a time", different.len());
    }
}
