//! The end of a thread whose thread-locals hold a loop or a runner: their destructors run in any
//! order, and may find the library's own thread-locals already destroyed.

use asyncio::{AsyncContextManager, Lock, Result, StreamReader, ThreadPoolExecutor};
use asyncio_core::raw::{HomeRef, LoopRef};
use asyncio_future::Future;
use asyncio_loop::{
    EventLoop, Runner, get_event_loop, get_running_loop, new_event_loop, set_event_loop,
};
use asyncio_task::{create_task, generator, sleep};
use futures_lite::future::poll_once;
use std::{
    any::Any,
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
    static HANDLES: RefCell<Vec<Box<dyn Any>>> = const { RefCell::new(Vec::new()) };
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

/// Handles of what belongs to a loop, most of them in the middle of an operation. Each of the five `counts`
/// is dropped by the loop, or with its handle. There is no process: ThreadSanitizer cannot follow `vfork`.
async fn handles(counts: [Counts; 5]) -> Result<Vec<Box<dyn Any>>> {
    let [task, timer, value, yielded, limited] = counts;
    let minute = Duration::from_secs(60);
    let event_loop = get_running_loop()?;
    let serve = async |mut reader: StreamReader, _writer| reader.readline().await.map(drop);
    let server = asyncio::start_server(serve, ("127.0.0.1", 0)).await?;
    let (reader, writer) = asyncio::open_connection(server.local_addr()).await?;
    let datagrams = asyncio::open_datagram_endpoint().local_addr(("127.0.0.1", 0)).await?;
    let lock = Arc::new(Lock::new(value));
    let (guard, second) = (lock.clone().acquire_owned().await?, lock);
    let waiter = create_task(async move { second.acquire_owned().await.map(drop) });
    let future = Future::<()>::new();
    future.add_done_callback(|_| drop(create_task(async { Ok(()) })))?;
    let mut numbers = generator(async move |yielder| {
        let _yielded = yielded;
        yielder.send(1).await?;
        yielder.send(2).await
    });
    assert_eq!(numbers.next().await.transpose()?, Some(1));
    let mut limited = Box::pin(asyncio::timeout(minute).with(async move |_| {
        let _limited = limited;
        sleep(minute).await
    }));
    assert!(poll_once(&mut limited).await.is_none());
    let mut job = Box::pin(asyncio::to_thread(|| thread::sleep(Duration::from_millis(1))));
    assert!(poll_once(&mut job).await.is_none());
    let executor = ThreadPoolExecutor::builder().build()?;
    let other_job = event_loop.run_in_executor(&executor, || ())?;
    let running = create_task(async move {
        let _task = task;
        Future::<()>::new().await
    });
    let timer = event_loop.call_later(minute, move || drop(timer))?;
    sleep(Duration::ZERO).await?;
    Ok(vec![
        Box::new((server, reader, writer, datagrams)),
        Box::new((guard, waiter, future, running, timer)),
        Box::new((numbers, limited, job, other_job, executor)),
        Box::new((event_loop.handle(), event_loop)),
    ])
}

#[test]
fn handles_in_a_thread_local_may_be_dropped_before_their_loop_and_after_it() {
    let dropped = Arc::new(AtomicUsize::new(0));
    for when in ["closed", "before", "after"] {
        in_both_orders(|first| {
            if first {
                HANDLES.take();
            }
            let mut runner = Runner::new();
            let counts = std::array::from_fn(|_| Counts(dropped.clone()));
            let mut handles = runner.run(handles(counts)).unwrap();
            match when {
                "closed" => drop(runner),
                "before" => handles.insert(0, Box::new(runner)),
                _ => handles.push(Box::new(runner)),
            }
            HANDLES.set(handles);
        });
    }
    assert_eq!(dropped.load(SeqCst), 3 * 2 * 5);
}
