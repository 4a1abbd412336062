//! Safe code never causes undefined behaviour: programs that once did.

use asyncio_core::{Error, Result, raw::Scheduler};
use asyncio_future::Future;
use asyncio_loop::{EventLoop, get_event_loop, new_event_loop, set_event_loop};
use asyncio_task::{Task, all_tasks, create_task, sleep};
use std::{
    cell::{Cell, RefCell},
    fmt,
    future::{Future as StdFuture, poll_fn},
    pin::Pin,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
    thread::{self},
    time::Duration,
};

const MS: Duration = Duration::from_millis(1);

/// Calls a closure when it is dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

fn outcome_of<T>(outcome: Result<T>) -> String {
    outcome.map_or_else(|error| error.to_string(), |_| "ok".to_owned())
}

#[test]
fn a_coroutine_that_is_dropped_by_close_runs_nothing() {
    let event_loop = new_event_loop().unwrap();
    let (seen, steps) = (Rc::new(RefCell::new(Vec::new())), Rc::new(Cell::new(0)));
    let (this, log, count) = (event_loop.clone(), seen.clone(), steps.clone());
    let create = move || {
        for _ in 0..3 {
            let (this, log, count) = (this.clone(), log.clone(), count.clone());
            let guard = OnDrop(move || {
                let ran = this.home().with(Scheduler::run_ready).unwrap();
                let run = outcome_of(this.run_forever());
                let created = outcome_of(create_task(async { Ok(()) }).exception().map(drop));
                let called = outcome_of(this.call_soon(|| ()));
                let closed = this.home().with(Scheduler::close).unwrap();
                assert!(this.close().is_ok() && closed.is_ok());
                log.borrow_mut().push((ran, run, created, called));
            });
            drop(create_task(async move {
                count.set(count.get() + 1);
                drop(guard);
                Ok(())
            }));
        }
        this.stop();
    };
    event_loop.call_soon(create).unwrap();
    event_loop.run_forever().unwrap();
    event_loop.close().unwrap();
    assert_eq!(steps.get(), 0);
    let closed = "Event loop is closed".to_owned();
    let expected = (0, closed.clone(), "ok".to_owned(), closed);
    assert_eq!(*seen.borrow(), [expected.clone(), expected.clone(), expected]);
}

#[test]
fn a_loop_is_not_closed_inside_a_step() {
    let event_loop = new_event_loop().unwrap();
    let this = event_loop.clone();
    let main = async move {
        let kept = Box::new(7);
        // Whatever the loop is said to do.
        let (running, idle) = this
            .home()
            .with(|scheduler| {
                let running = (scheduler.close(), this.close());
                scheduler.set_running(false);
                let idle = (scheduler.close(), this.close());
                scheduler.set_running(true);
                (running, idle)
            })
            .unwrap();
        assert!(running.0.is_err() && running.1.is_err() && idle.0.is_err() && idle.1.is_err());
        Ok(*kept)
    };
    assert_eq!(event_loop.run_until_complete(main).unwrap(), 7);
    event_loop.close().unwrap();
}

#[test]
fn a_closed_loop_keeps_nothing_for_the_next_thread() {
    let next = thread::spawn(|| {
        let event_loop = new_event_loop().unwrap();
        let mine = Rc::new(());
        let captured = mine.clone();
        event_loop.home().with(|scheduler| {
            event_loop.close().unwrap();
            scheduler.set_exception_handler(Some(Rc::new(move |_| drop(captured.clone()))));
        });
        assert_eq!(Rc::strong_count(&mine), 1);
    });
    next.join().unwrap();
}

#[test]
fn what_close_delivers_does_not_close_once_more() {
    struct Closes;
    impl Drop for Closes {
        fn drop(&mut self) {
            let old = get_event_loop().unwrap();
            assert!(old.close().is_ok());
            assert_eq!(outcome_of(old.run_forever()), "Event loop is closed");
            assert!(!old.is_closed(), "the one that is under way goes on");
        }
    }
    let event_loop = new_event_loop().unwrap();
    let task = event_loop.run_until_complete(async {
        let task = create_task(async { Ok(Closes) });
        sleep(Duration::ZERO).await?;
        sleep(Duration::ZERO).await?;
        Ok(task)
    });
    let task = task.unwrap();
    assert!(task.done());
    thread::spawn(move || drop(task)).join().unwrap();
    set_event_loop(event_loop.clone());
    event_loop.close().unwrap();
    set_event_loop(None);
    assert!(event_loop.is_closed());
}

#[test]
fn a_loop_in_a_thread_local_is_closed_at_the_end_of_its_thread() {
    thread_local!(static KEPT: RefCell<Option<EventLoop>> = const { RefCell::new(None) });
    let dropped = Arc::new(AtomicUsize::new(0));
    for first in [true, false] {
        let count = dropped.clone();
        let thread = thread::spawn(move || {
            if first {
                // It is dropped after what it needs.
                KEPT.with(|_| ());
            }
            let event_loop = new_event_loop().unwrap();
            let main = async move {
                let (task, callback) = (count.clone(), count);
                let guard = OnDrop(move || _ = task.fetch_add(1, SeqCst));
                drop(create_task(async move {
                    let _guard = guard;
                    Future::<()>::new().await
                }));
                let guard = OnDrop(move || _ = callback.fetch_add(1, SeqCst));
                get_event_loop()?.call_later(Duration::MAX, move || drop(guard))?;
                sleep(Duration::ZERO).await
            };
            event_loop.run_until_complete(main).unwrap();
            KEPT.set(Some(event_loop));
        });
        thread.join().unwrap();
    }
    assert_eq!(dropped.load(SeqCst), 4);
}

#[test]
fn a_loop_that_was_chosen_is_closed_at_the_end_of_its_thread() {
    let dropped = Arc::new(AtomicUsize::new(0));
    let count = dropped.clone();
    let thread = thread::spawn(move || {
        let event_loop = new_event_loop().unwrap();
        set_event_loop(event_loop.clone());
        let guard = OnDrop(move || _ = count.fetch_add(1, SeqCst));
        let main = async move {
            drop(create_task(async move {
                let _guard = guard;
                Future::<()>::new().await
            }));
            sleep(Duration::ZERO).await
        };
        event_loop.run_until_complete(main).unwrap();
    });
    thread.join().unwrap();
    assert_eq!(dropped.load(SeqCst), 1);
}

#[test]
fn a_result_that_panics_when_it_is_dropped_ends_its_task_all_the_same() {
    struct Panics;
    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("a panic on purpose");
        }
    }
    let event_loop = new_event_loop().unwrap();
    let main = async {
        // Detached; cancelled as it returns; its coroutine panics as well.
        let detached = (*create_task(async { Ok(Panics) })).clone();
        let itself = create_task(async {
            asyncio_task::current_task().unwrap().cancel();
            Ok(Panics)
        });
        let twice = create_task(async {
            let value = Panics;
            let _guard = OnDrop(|| panic!("a panic on purpose"));
            poll_fn(|_| Poll::Ready(())).await;
            Ok(value)
        });
        sleep(MS).await?;
        assert!(detached.done() && itself.cancelled() && twice.done());
        assert!(matches!(twice.exception()?, Some(Error::Panic(_))));
        // The last handle goes.
        let kept = create_task(async { Ok(Panics) });
        sleep(MS).await?;
        drop(kept);
        assert_eq!(all_tasks()?.len(), 1);
        Ok(())
    };
    event_loop.run_until_complete(main).unwrap();
    event_loop.close().unwrap();
}

#[test]
fn a_foreign_waker_that_panics_harms_no_other() {
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("a panic on purpose");
        }
    }
    fn poll_with_panics<F: StdFuture + Unpin>(future: &mut F) {
        let waker = Waker::from(Arc::new(Panics));
        assert!(Pin::new(future).poll(&mut Context::from_waker(&waker)).is_pending());
    }
    let event_loop = new_event_loop().unwrap();
    let main = async {
        let mut task = create_task(async { sleep(MS).await });
        poll_with_panics(&mut task);
        let future = Future::new();
        let mut other = future.clone();
        poll_with_panics(&mut other);
        let waits = create_task(future.clone());
        sleep(Duration::ZERO).await?;
        future.set_result(1)?;
        assert_eq!(waits.await?, 1);
        task.await
    };
    event_loop.run_until_complete(main).unwrap();
    event_loop.close().unwrap();
}

#[test]
fn a_context_variable_may_do_anything_when_it_is_cloned() {
    static VAR: asyncio_core::context::ContextVar<Nested> =
        asyncio_core::context::ContextVar::new("nested");
    struct Nested(u32);
    impl Clone for Nested {
        fn clone(&self) -> Nested {
            if self.0 < 3 {
                VAR.set(Nested(self.0 + 1));
                VAR.get();
            }
            Nested(self.0)
        }
    }
    VAR.set(Nested(0));
    assert_eq!(VAR.get().unwrap().0, 0);
    assert_eq!(VAR.get().unwrap().0, 3);
}

/// Retrieves the result of its own task, and copies of it, when it is dropped.
struct AsksForItself(Rc<RefCell<Option<Task<String>>>>, Rc<Cell<u32>>);

impl Drop for AsksForItself {
    fn drop(&mut self) {
        let task = self.0.borrow_mut().take().unwrap();
        assert!(matches!(task.result(), Err(Error::InvalidState(_))));
        assert!(task.exception().is_err() && !task.done() && !task.cancelled());
        drop(task.clone());
        self.1.set(self.1.get() + 1);
    }
}

#[test]
fn a_coroutine_that_is_dropped_finds_no_result_in_its_place() {
    let counted = Rc::new(Cell::new(0));
    let asked = counted.clone();
    let spawn = |asked: &Rc<Cell<u32>>, waits: bool, panics: bool| {
        let slot = Rc::new(RefCell::new(None));
        let asks = AsksForItself(slot.clone(), asked.clone());
        let task = create_task(async move {
            let _guard = OnDrop(move || assert!(!panics, "a panic on purpose"));
            let _asks = asks;
            if waits {
                Future::<()>::new().await?;
            }
            sleep(Duration::ZERO).await?;
            Ok("a value on the heap".to_owned())
        });
        // There is a second handle, but the value is still moved out, because no copy was requested
        // yet.
        slot.replace((*task).clone().downcast::<String>());
        task
    };
    let event_loop = new_event_loop().unwrap();
    let main = async move {
        let returns = spawn(&asked, false, false);
        let panics = spawn(&asked, false, true);
        let cancelled = spawn(&asked, true, false);
        let unstarted = spawn(&asked, true, false);
        unstarted.cancel();
        sleep(MS).await?;
        cancelled.cancel();
        sleep(MS).await?;
        assert_eq!(asked.get(), 4);
        // A copy was requested when the coroutine was dropped.
        assert_eq!(returns.result()?, returns.await?);
        assert!(matches!(panics.await, Err(Error::Panic(_))));
        assert!(cancelled.cancelled() && unstarted.cancelled());
        let at_close = (spawn(&asked, true, false), spawn(&asked, true, true));
        sleep(MS).await?;
        Ok(at_close)
    };
    let at_close = event_loop.run_until_complete(main).unwrap();
    event_loop.close().unwrap();
    assert_eq!(counted.get(), 6);
    assert!(at_close.0.cancelled() && at_close.1.done() && !at_close.1.cancelled());
}

#[test]
fn a_coroutine_and_its_result_stand_in_one_place_whatever_their_size_and_alignment() {
    #[repr(align(64))]
    #[derive(Clone)]
    struct Wide<const N: usize>([u8; N], Rc<()>);
    let counted = Rc::new(());
    let alive = counted.clone();
    let (small, large) = (Wide([1; 7], alive.clone()), Wide([2; 4000], alive.clone()));
    let event_loop = new_event_loop().unwrap();
    let main = async move {
        // A wide coroutine with a narrow result, a narrow one with a wide result, and the like.
        let narrow = create_task(async move {
            let large = large;
            sleep(Duration::ZERO).await?;
            Ok(large.0.iter().map(|byte| u32::from(*byte)).sum::<u32>())
        });
        let mut made = Some(small);
        let wide = create_task(poll_fn(move |_| Poll::Ready(Ok(made.take().unwrap()))));
        let copy = alive.clone();
        let both = create_task(async move {
            let before = Wide([3; 100], copy);
            sleep(Duration::ZERO).await?;
            Ok(Wide([before.0[99]; 5000], before.1))
        });
        sleep(MS).await?;
        assert_eq!(Rc::strong_count(&alive), 4);
        let kept = both.result()?;
        assert_eq!(std::ptr::from_ref(&kept).addr() % 64, 0);
        assert_eq!((kept.0[4999], both.await?.0[4999], wide.await?.0), (3, 3, [1; 7]));
        narrow.await
    };
    assert_eq!(event_loop.run_until_complete(main).unwrap(), 8000);
    event_loop.close().unwrap();
    assert_eq!(Rc::strong_count(&counted), 1);
}

#[test]
fn a_sleep_is_shown_at_any_time_and_never_what_may_be_gone() {
    struct Result(Box<u32>);
    impl fmt::Debug for Result {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            panic!("{} was shown", self.0)
        }
    }
    let event_loop = new_event_loop().unwrap();
    let main = async {
        let mut sleep = sleep(MS).result(Result(Box::new(7)));
        assert!(format!("{sleep:?}").starts_with("Sleep"));
        assert!(futures_lite::future::poll_once(&mut sleep).await.is_none());
        assert!(format!("{sleep:?}").starts_with("Sleep"));
        assert_eq!(*(&mut sleep).await?.0, 7);
        assert!(format!("{sleep:?}").starts_with("Sleep"));
        Ok(())
    };
    event_loop.run_until_complete(main).unwrap();
    event_loop.close().unwrap();
}
