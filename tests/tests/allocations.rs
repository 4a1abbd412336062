//! The number of allocations: none for a wake-up, a `sleep` or a `timeout`, one for a task unless
//! the thread has the memory of one that has ended, one for a callback that captures something.

use asyncio::{
    AsyncContextManager, Future, Queue, Result, Task, create_task, get_running_loop, sleep,
    timeout, wait_for,
};
use asyncio_tests::support::{MS, briefly, cancelled, run};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::{Cell, RefCell},
    future::poll_fn,
    rc::Rc,
    task::{Poll, Waker},
    time::Duration,
};

thread_local! {
    /// Each test counts its own thread. The value needs no drop, so it is always accessible.
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

fn count() {
    let _ = COUNT.try_with(|count| count.set(count.get() + 1));
}

// SAFETY: every call is forwarded unchanged to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as the caller promised.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as the caller promised.
        unsafe { System.realloc(place, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const TIMES: u64 = 100;

/// The number of allocations in [`TIMES`] runs of `work`, after all tables have grown.
async fn allocations(work: impl AsyncFn() -> Result<()>) -> Result<u64> {
    for _ in 0..2 * TIMES {
        work().await?;
    }
    let before = COUNT.get();
    for _ in 0..TIMES {
        work().await?;
    }
    Ok(COUNT.get() - before)
}

#[test]
fn what_allocates_is_counted() {
    run(async {
        let boxed = allocations(async || {
            drop(std::hint::black_box(Box::new(1)));
            Ok(())
        });
        assert_eq!(boxed.await?, TIMES);
        Ok(())
    });
}

#[test]
fn a_yield_allocates_nothing() {
    run(async {
        assert_eq!(allocations(async || briefly().await).await?, 0);
        Ok(())
    });
}

#[test]
fn a_wake_up_by_waker_allocates_nothing() {
    run(async {
        let (slot, ended) = (Rc::new(RefCell::new(None::<Waker>)), Rc::new(Cell::new(false)));
        let (wakers, end) = (slot.clone(), ended.clone());
        let woken = create_task(poll_fn(move |cx| {
            wakers.replace(Some(cx.waker().clone()));
            if end.get() { Poll::Ready(Ok(())) } else { Poll::Pending }
        }));
        let wake = async || {
            if let Some(waker) = slot.take() {
                waker.wake();
            }
            briefly().await
        };
        assert_eq!(allocations(wake).await?, 0);
        ended.set(true);
        wake().await?;
        woken.await
    });
}

#[test]
fn a_wake_up_between_tasks_allocates_nothing() {
    run(async {
        let (there, back) = (Rc::new(Queue::new(1)), Rc::new(Queue::new(1)));
        let (get, put) = (there.clone(), back.clone());
        let echo: Task<()> = create_task(async move {
            loop {
                put.put(get.get().await?).await?;
            }
        });
        let round_trip = async || {
            there.put(1).await?;
            back.get().await.map(drop)
        };
        assert_eq!(allocations(round_trip).await?, 0);
        echo.cancel();
        assert!(cancelled(&echo.await));
        Ok(())
    });
}

#[test]
fn sleep_allocates_nothing() {
    run(async {
        assert_eq!(allocations(async || sleep(MS).await).await?, 0);
        Ok(())
    });
}

#[test]
fn timeout_and_wait_for_allocate_nothing() {
    run(async {
        let hour = Duration::from_secs(3600);
        assert_eq!(
            allocations(async || timeout(hour).with(async |_| briefly().await).await).await?,
            0
        );
        assert_eq!(
            allocations(async || timeout(hour).with(async |_| sleep(MS).await).await).await?,
            0
        );
        assert_eq!(allocations(async || wait_for(sleep(MS), hour).await).await?, 0);
        Ok(())
    });
}

#[test]
fn each_of_many_tasks_allocates_once() {
    run(async {
        // None of them takes the memory of another, because none is dropped.
        let tasks = RefCell::new(Vec::with_capacity(3 * TIMES as usize));
        let spawn = async || {
            tasks.borrow_mut().push(create_task(briefly()));
            briefly().await
        };
        assert_eq!(allocations(spawn).await?, TIMES);
        Ok(())
    });
}

#[test]
fn a_task_takes_the_memory_of_one_that_has_ended() {
    run(async {
        let spawn_and_join = async || create_task(async { Ok(()) }).await;
        assert_eq!(allocations(spawn_and_join).await?, 0);
        let with_a_wait = async || create_task(sleep(MS)).await;
        assert_eq!(allocations(with_a_wait).await?, 0);
        let cancelled_at_once = async || {
            let task = create_task(sleep(MS));
            briefly().await?;
            task.cancel();
            assert!(cancelled(&task.await));
            Ok(())
        };
        assert_eq!(allocations(cancelled_at_once).await?, 0);
        let detached = async || {
            drop(create_task(briefly()));
            briefly().await
        };
        assert_eq!(allocations(detached).await?, 0);
        Ok(())
    });
}

#[test]
fn a_future_and_its_wake_up_allocate_no_more_than_the_future() {
    run(async {
        let made = allocations(async || {
            std::hint::black_box(Future::<()>::new());
            Ok(())
        });
        let made = made.await?;
        let awaited = allocations(async || {
            let future = Future::new();
            let setter = future.clone();
            let task = create_task(future);
            briefly().await?;
            setter.set_result(())?;
            task.await
        });
        assert_eq!(awaited.await?, made);
        Ok(())
    });
}

#[test]
fn a_callback_that_captures_allocates_once_and_one_that_does_not_never() {
    run(async {
        let (event_loop, ran) = (get_running_loop()?, Rc::new(Cell::new(0)));
        let capturing = async || {
            let ran = ran.clone();
            event_loop.call_soon(move || ran.set(ran.get() + 1))?;
            briefly().await
        };
        assert_eq!(allocations(capturing).await?, TIMES);
        let later = async || {
            let ran = ran.clone();
            event_loop.call_later(MS, move || ran.set(ran.get() + 1))?;
            sleep(MS).await
        };
        assert_eq!(allocations(later).await?, TIMES);
        assert_eq!(ran.get(), 6 * TIMES);
        let bare = async || {
            event_loop.call_soon(|| ())?;
            briefly().await
        };
        assert_eq!(allocations(bare).await?, 0);
        Ok(())
    });
}
