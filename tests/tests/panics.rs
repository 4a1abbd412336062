//! Panics of the program's code inside ours: nothing hangs, nothing is lost, and the panic does not
//! leave the run.

use asyncio::{
    ContextVar, Error, Future, LifoQueue, PriorityQueue, Result, Runner, Task, create_task, gather,
    get_running_loop, run_coroutine_threadsafe, shield, sleep, to_thread,
};
use asyncio_tests::support::{
    MS, Reports, awaiting, briefly, message, poll_once, run, virtual_loop,
};
use std::{
    cmp::Ordering,
    fmt,
    panic::panic_any,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Wake, Waker},
};

/// Its clone, its drop, its comparison or its text panics.
#[derive(Debug)]
struct Fragile(&'static str);

impl Clone for Fragile {
    fn clone(&self) -> Fragile {
        assert_ne!(self.0, "clone", "no copy");
        Fragile(self.0)
    }
}

impl Drop for Fragile {
    fn drop(&mut self) {
        assert_ne!(self.0, "drop", "no drop");
    }
}

impl PartialEq for Fragile {
    fn eq(&self, other: &Fragile) -> bool {
        self.0 == other.0
    }
}

impl Eq for Fragile {}

impl PartialOrd for Fragile {
    fn partial_cmp(&self, other: &Fragile) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Fragile {
    fn cmp(&self, other: &Fragile) -> Ordering {
        assert!(self.0 != "compare" && other.0 != "compare", "no order");
        self.0.cmp(other.0)
    }
}

impl fmt::Display for Fragile {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("no text")
    }
}

impl std::error::Error for Fragile {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        assert_ne!(self.0, "source", "no source");
        None
    }
}

/// A collection that cannot be collected.
#[derive(Clone, Debug)]
struct Unmakable;

impl<T> FromIterator<T> for Unmakable {
    fn from_iter<I: IntoIterator<Item = T>>(_: I) -> Unmakable {
        panic!("no collection")
    }
}

#[test]
fn results_that_cannot_be_collected_or_copied_fail_the_gather() {
    run(async {
        let yielding = || async { briefly().await };
        let collected = gather([yielding()]).collect::<Unmakable>().await;
        assert_eq!(message(collected), "PanicError: panicked: no collection");
        let all = gather([yielding()]).return_exceptions().collect::<Unmakable>().await;
        assert_eq!(message(all), "PanicError: panicked: no collection");
        // Done at the call.
        let none: [Task<()>; 0] = [];
        let collected = gather(none).collect::<Unmakable>().await;
        assert_eq!(message(collected), "PanicError: panicked: no collection");
        let task = create_task(async { Ok(Fragile("clone")) });
        let gathered = gather([task.clone()]).await;
        assert!(message(gathered).starts_with("PanicError: panicked: assertion"));
        let future = Future::new();
        let (gathered, shielded) = (gather([future.clone()]), shield(future.clone()));
        future.set_result(Fragile("clone"))?;
        assert!(message(gathered.await).starts_with("PanicError: panicked: assertion"));
        assert!(message(shielded.await).starts_with("PanicError: panicked: assertion"));
        drop(task);
        Ok(())
    });
}

#[test]
fn a_value_that_cannot_be_copied_for_another_thread_fails_there() {
    let event_loop = virtual_loop();
    let sent = run_coroutine_threadsafe(
        async {
            let this = asyncio::current_task().and_then(|task| task.downcast::<Fragile>());
            // From now on, each retrieval copies the value.
            drop(this.expect("this").clone());
            Ok(Fragile("clone"))
        },
        event_loop.handle(),
    );
    event_loop.run_until_complete(sleep(MS)).unwrap();
    assert!(message(sent.result(None)).starts_with("PanicError: panicked: assertion"));
    event_loop.close().unwrap();
}

#[test]
fn an_order_that_panics_loses_no_wake_up() {
    run(async {
        let queue = Rc::new(PriorityQueue::new(0));
        queue.put_nowait(Fragile("a"))?;
        let panicking = queue.clone();
        let put = create_task(async move { panicking.put(Fragile("compare")).await });
        assert!(matches!(put.await, Err(Error::Panic(_))));
        // It is inserted nevertheless, as in Python's heap, and counts.
        assert_eq!(queue.qsize(), 2);
        assert_eq!(queue.get().await?.0, "a");
        assert_eq!(queue.get().await?.0, "compare");
        queue.task_done()?;
        queue.task_done()?;
        queue.join().await
    });
}

/// Panics when it returns its second item, which it loses.
#[derive(Default)]
struct Losing(Vec<u32>, u32);

impl asyncio::Order for Losing {
    type Item = u32;
    fn push(&mut self, item: u32) {
        self.0.push(item);
    }
    fn pop(&mut self) -> Option<u32> {
        self.1 += 1;
        let item = self.0.pop();
        assert_ne!(self.1, 2, "lost");
        item
    }
    fn len(&self) -> usize {
        self.0.len()
    }
}

#[test]
fn an_item_that_is_lost_counts_as_done_and_its_place_is_free() {
    run(async {
        let queue = Rc::new(asyncio::OrderedQueue::with_order(1, Losing::default()));
        let get = |queue: &Rc<asyncio::OrderedQueue<Losing>>| {
            let queue = queue.clone();
            create_task(async move { queue.get().await })
        };
        queue.put_nowait(1)?;
        assert_eq!(get(&queue).await?, 1);
        queue.task_done()?;
        queue.put_nowait(2)?;
        let putter = queue.clone();
        let put = create_task(async move { putter.put(3).await });
        briefly().await?;
        assert!(matches!(get(&queue).await, Err(Error::Panic(_))));
        put.await?;
        assert_eq!(get(&queue).await?, 3);
        queue.task_done()?;
        queue.join().await
    });
}

/// A waker that panics.
struct Broken(AtomicBool);

impl Wake for Broken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Relaxed);
        panic!("no waking")
    }
}

#[test]
fn a_waker_that_panics_keeps_no_other_task_from_being_cancelled() {
    run(async {
        let broken = Arc::new(Broken(AtomicBool::new(false)));
        let waker = Waker::from(broken.clone());
        let task = create_task(async move {
            let (mut nap, mut other) = (Box::pin(sleep(9 * MS)), Box::pin(sleep(9 * MS)));
            std::future::poll_fn(|cx| {
                let _ = nap.as_mut().poll(&mut Context::from_waker(&waker));
                other.as_mut().poll(cx)
            })
            .await
        });
        let bystander = create_task(async { Future::<()>::new().await });
        briefly().await?;
        task.cancel();
        bystander.cancel();
        assert!(broken.0.load(Relaxed));
        assert!(bystander.await.unwrap_err().is_cancelled());
        assert!(task.await.unwrap_err().is_cancelled());
        Ok(())
    });
}

static VALUE: ContextVar<Arc<Fragile>> = ContextVar::new("value");

#[test]
fn the_drop_of_a_context_variable_does_not_come_out_of_the_run() {
    run(async {
        let reports = Reports::collect();
        let task = create_task(async {
            VALUE.set(Arc::new(Fragile("drop")));
            Ok(())
        });
        drop(task);
        let next = create_task(async { Ok(7) });
        assert_eq!(next.await?, 7);
        assert_eq!(reports.messages(), ["Exception in the drop of a value"]);
        Ok(())
    });
}

#[test]
fn what_a_closing_loop_drops_may_panic_more_than_once() {
    let event_loop = virtual_loop();
    for _ in 0..3 {
        let fragile = Fragile("drop");
        event_loop.call_later(MS, move || drop(fragile)).unwrap();
    }
    event_loop.close().unwrap();
}

/// A panic payload whose drop panics with another such payload.
struct Bomb;

fn explode() {
    panic_any(Bomb)
}

impl Drop for Bomb {
    fn drop(&mut self) {
        panic_any(Bomb)
    }
}

#[test]
fn a_payload_whose_drop_panics_is_no_more_than_a_panic() {
    let outcome = Runner::new().virtual_time(true).with(|runner| {
        runner.run(async {
            let event_loop = get_running_loop()?;
            drop(create_task::<_, ()>(async { panic_any(Bomb) }));
            event_loop.call_soon(explode)?;
            let task = create_task::<_, ()>(async { panic_any(Bomb) });
            assert!(matches!(task.await, Err(Error::Panic(_))));
            let job = to_thread(explode).await;
            assert!(matches!(job, Err(Error::Panic(_))));
            drop(job);
            let job = event_loop.run_in_executor(None, explode)?;
            assert!(matches!(job.await, Err(Error::Panic(_))));
            event_loop.set_exception_handler(|_, _| panic_any(Bomb));
            event_loop.call_soon(explode)?;
            briefly().await?;
            panic_any(Bomb)
        })
    });
    let error: Error = Result::<()>::unwrap_err(outcome);
    assert!(matches!(error, Error::Panic(_)));
    drop(error);
}

#[test]
fn an_error_whose_text_or_source_panics_is_reported() {
    run(async {
        let reports = Reports::collect();
        drop(create_task(async { Err::<(), _>(Fragile("source").into()) }));
        sleep(MS).await?;
        assert_eq!(reports.messages(), ["Task exception was never retrieved"]);
        // To the log.
        get_running_loop()?.reset_exception_handler();
        drop(create_task(async { Err::<(), _>(Fragile("text").into()) }));
        sleep(MS).await
    });
}

#[test]
fn a_failing_copy_of_a_future_harms_only_its_caller() {
    run(async {
        let future = Future::new();
        let (one, two) = (awaiting(&future), create_task(future.take()));
        briefly().await?;
        future.set_result(Fragile("clone"))?;
        assert!(matches!(one.await, Err(Error::Panic(_))));
        assert_eq!(two.await?.0, "clone");
        let lifo = LifoQueue::new(0);
        lifo.put_nowait(Fragile("clone"))?;
        let mut getting = Box::pin(lifo.get());
        assert!(matches!(poll_once(&mut getting).await, Some(Ok(Fragile("clone")))));
        Ok(())
    });
}
