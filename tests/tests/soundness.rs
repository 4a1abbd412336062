//! Safe code, however it is written, does nothing undefined: the hard cases, by name.
//!
//! The first part are programs that once did. The second part lets threads run against each other for
//! a moment, each test with a seed that it prints (`ASYNCIO_SEED` repeats one). Most of what could go
//! wrong there shows in a sanitizer alone; what shows without one is asserted: every value is dropped
//! once, on a thread on which it may be, everybody who waits is woken, and who asks gets an answer.

use asyncio_core::{Error, Result, home, wait::Waiter};
use asyncio_future::{ConcurrentFuture, Future};
use asyncio_locks::{Event, Lock};
use asyncio_loop::{EventLoop, LoopHandle, Runner, get_event_loop, new_event_loop, set_event_loop};
use asyncio_queues::Queue;
use asyncio_task::{AnyTask, Task, all_tasks, create_task, run_coroutine_threadsafe, sleep};
use concurrent_queue::{ConcurrentQueue, PopError};
use std::{
    cell::{Cell, RefCell},
    future::{Future as StdFuture, poll_fn},
    pin::Pin,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
    thread::{self, ThreadId},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

const MS: Duration = Duration::from_millis(1);

// ---------------------------------------------------------------------------------------------------
// Programs

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
                let scheduler = this.home().local().unwrap();
                let ran = scheduler.run_ready();
                let run = outcome_of(this.run_forever());
                let created = outcome_of(create_task(async { Ok(()) }).exception().map(drop));
                let called = outcome_of(this.call_soon(|| ()));
                assert!(this.close().is_ok() && scheduler.close().is_ok());
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
        let scheduler = this.home().local().unwrap();
        // Whatever the loop is said to do.
        let running = (scheduler.close(), this.close());
        scheduler.set_running(false);
        let idle = (scheduler.close(), this.close());
        scheduler.set_running(true);
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
        let scheduler = event_loop.home().local().unwrap();
        event_loop.close().unwrap();
        let mine = Rc::new(());
        let captured = mine.clone();
        scheduler.set_exception_handler(Some(Rc::new(move |_| drop(captured.clone()))));
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
fn a_foreign_waker_that_panics_harms_nobody_else() {
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

/// What a thread keeps when it ends, and gives to the destructors of its thread-locals.
#[test]
fn a_forgotten_guard_names_no_loop_of_another_thread() {
    struct AtTheEnd(Sender<bool>);
    impl Drop for AtTheEnd {
        fn drop(&mut self) {
            self.0.send(home::entered().is_none());
        }
    }
    thread_local!(static END: RefCell<Option<AtTheEnd>> = const { RefCell::new(None) });
    let (send, receive) = channel();
    let thread = thread::spawn(move || {
        END.set(Some(AtTheEnd(send)));
        let event_loop = new_event_loop().unwrap();
        std::mem::forget(event_loop.home().enter());
        event_loop.close().unwrap();
    });
    thread.join().unwrap();
    assert!(receive.iter().next().unwrap());
}

// ---------------------------------------------------------------------------------------------------
// Threads

/// A small generator of numbers (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn coin(&mut self) -> bool {
        self.next() & 1 == 0
    }

    fn fork(&mut self) -> Random {
        Random(self.next())
    }

    /// Lets some time pass, most often none.
    fn dawdle(&mut self) {
        match self.below(8) {
            0 => thread::yield_now(),
            1 => (0..self.below(300)).for_each(|_| std::hint::spin_loop()),
            _ => {}
        }
    }
}

/// Repeats `round` for a moment.
fn repeat(name: &str, mut round: impl FnMut(&mut Random)) {
    let given = std::env::var("ASYNCIO_SEED").ok().and_then(|seed| seed.parse().ok());
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    let seed = given.unwrap_or_else(now);
    println!("{name}: ASYNCIO_SEED={seed}");
    let (mut random, began) = (Random(seed), Instant::now());
    let mut rounds = 0;
    while rounds < 3 || began.elapsed() < 150 * MS {
        round(&mut random);
        rounds += 1;
    }
    println!("{name}: {rounds} rounds");
}

/// Runs `main` on a loop of its own, in this thread: made by hand, or a runner's.
fn run<T: 'static>(random: &mut Random, main: impl StdFuture<Output = Result<T>> + 'static) -> T {
    let outcome = if random.coin() {
        let event_loop = new_event_loop().unwrap();
        event_loop.set_exception_handler(Some(Rc::new(|_, _| ())));
        let outcome = event_loop.run_until_complete(main);
        event_loop.close().unwrap();
        outcome
    } else {
        Runner::new().with(|runner| {
            runner.get_loop()?.set_exception_handler(Some(Rc::new(|_, _| ())));
            runner.run(main)
        })
    };
    outcome.unwrap()
}

/// A scope whose threads are joined one by one: a race detector does not see a scope's own end.
fn beside<'env>(body: impl for<'scope> FnOnce(&Threads<'scope, 'env>)) {
    thread::scope(|scope| {
        let threads = Threads { scope, started: RefCell::new(Vec::new()) };
        body(&threads);
        threads.started.take().into_iter().for_each(|thread| thread.join().unwrap());
    });
}

struct Threads<'scope, 'env> {
    scope: &'scope thread::Scope<'scope, 'env>,
    started: RefCell<Vec<thread::ScopedJoinHandle<'scope, ()>>>,
}

impl<'scope> Threads<'scope, '_> {
    fn spawn(&self, job: impl FnOnce() + Send + 'scope) {
        self.started.borrow_mut().push(self.scope.spawn(job));
    }
}

/// Runs each closure on a thread of its own, all at once, and waits for all.
fn at_once(jobs: Vec<Box<dyn FnOnce() + Send + '_>>) {
    let gate = &Gate::new(jobs.len());
    beside(|threads| {
        for job in jobs {
            threads.spawn(move || {
                gate.wait();
                job();
            });
        }
    });
}

/// Where threads wait for each other; like the channel below of nothing but atomics, so that a race
/// detector that does not see into the standard library knows what comes after what.
struct Gate(AtomicUsize);

impl Gate {
    fn new(count: usize) -> Gate {
        Gate(AtomicUsize::new(count))
    }

    fn wait(&self) {
        self.0.fetch_sub(1, SeqCst);
        while self.0.load(SeqCst) > 0 {
            thread::yield_now();
        }
    }
}

/// One end of a channel.
struct Sender<T>(Arc<(ConcurrentQueue<T>, AtomicUsize)>);

/// The other.
struct Receiver<T>(Arc<(ConcurrentQueue<T>, AtomicUsize)>);

fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let channel = Arc::new((ConcurrentQueue::unbounded(), AtomicUsize::new(1)));
    (Sender(channel.clone()), Receiver(channel))
}

impl<T> Sender<T> {
    fn send(&self, value: T) {
        assert!(self.0.0.push(value).is_ok(), "only the last sender closes it");
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        self.0.1.fetch_add(1, SeqCst);
        Sender(self.0.clone())
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        if self.0.1.fetch_sub(1, SeqCst) == 1 {
            self.0.0.close();
        }
    }
}

impl<T> Receiver<T> {
    /// What has come already.
    fn try_iter(&self) -> impl Iterator<Item = T> {
        self.0.0.try_iter()
    }

    /// What comes, until the last sender is gone.
    fn iter(&self) -> impl Iterator<Item = T> {
        std::iter::from_fn(|| {
            loop {
                match self.0.0.pop() {
                    Ok(value) => return Some(value),
                    Err(PopError::Closed) => return None,
                    Err(PopError::Empty) => thread::yield_now(),
                }
            }
        })
    }
}

/// A place for one value, for which others wait.
struct Slot<T>(Sender<T>, Receiver<T>);

impl<T: Copy> Slot<T> {
    fn new() -> Arc<Slot<T>> {
        let (send, receive) = channel();
        Arc::new(Slot(send, receive))
    }

    fn set(&self, value: T) {
        self.0.send(value);
    }

    /// Takes it out, and leaves it for the next.
    fn get(&self) -> T {
        let value = self.1.iter().next().expect("a sender is left");
        self.0.send(value);
        value
    }
}

/// A value that counts those that live, and has something to go wrong in its memory.
struct Counted {
    living: Arc<AtomicUsize>,
    text: String,
}

impl Counted {
    fn new(living: &Arc<AtomicUsize>) -> Counted {
        living.fetch_add(1, SeqCst);
        Counted { living: living.clone(), text: "alive".to_owned() }
    }
}

impl Clone for Counted {
    fn clone(&self) -> Counted {
        assert_eq!(self.text, "alive");
        Counted::new(&self.living)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        assert_eq!(self.text, "alive");
        assert!(self.living.fetch_sub(1, SeqCst) > 0, "dropped twice");
    }
}

/// A value that must stay where it is.
struct Here(ThreadId, Rc<Cell<u32>>);

impl Here {
    fn new() -> Here {
        Here(thread::current().id(), Rc::new(Cell::new(0)))
    }

    fn touch(&self) {
        assert_eq!(self.0, thread::current().id());
        self.1.set(self.1.get() + 1);
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        self.touch();
    }
}

/// Gives the waker with which it is polled to `wakers`, and is ready when `done` says so.
async fn lend_waker(wakers: Sender<Waker>, done: Arc<AtomicBool>, here: Here) -> Result<()> {
    let mut sent = false;
    poll_fn(|cx| {
        here.touch();
        if done.load(SeqCst) {
            return Poll::Ready(());
        }
        if !std::mem::replace(&mut sent, true) {
            wakers.send(cx.waker().clone());
        }
        Poll::Pending
    })
    .await;
    Ok(())
}

#[test]
fn a_waker_is_dropped_on_another_thread_after_the_loop_closed() {
    repeat("wakers after close", |random| {
        let (send, receive) = channel();
        let tasks = 1 + random.below(8);
        let kept = run(random, async move {
            let done = Arc::new(AtomicBool::new(false));
            let mut kept = Vec::new();
            for n in 0..tasks {
                let lent = lend_waker(send.clone(), done.clone(), Here::new());
                let task = create_task(lent);
                if n % 2 == 0 {
                    kept.push((*task).clone());
                }
            }
            sleep(Duration::ZERO).await?;
            Ok(kept)
        });
        let mut wakers: Vec<Waker> = receive.iter().collect();
        wakers.extend(wakers.clone());
        let half = wakers.split_off(wakers.len() / 2);
        let mut orders = [random.fork(), random.fork()];
        let [first, second] = &mut orders;
        let use_up = |wakers: Vec<Waker>, random: &mut Random| {
            for waker in wakers {
                match random.below(4) {
                    0 => drop(waker),
                    1 => waker.wake(),
                    2 => waker.wake_by_ref(),
                    _ => drop((waker.clone(), waker)),
                }
            }
        };
        at_once(vec![
            Box::new(|| use_up(wakers, first)),
            Box::new(|| use_up(half, second)),
            Box::new(|| kept.into_iter().for_each(|task| assert!(task.done()))),
        ]);
    });
}

#[test]
fn a_waker_is_called_on_other_threads_while_the_loop_runs_and_closes() {
    repeat("wakers during close", |random| {
        let (send, receive) = channel::<Waker>();
        let done = Arc::new(AtomicBool::new(false));
        let (stop, finishes) = (Arc::new(AtomicBool::new(false)), random.coin());
        beside(|threads| {
            let mut dawdler = random.fork();
            let (ended, finished) = (stop.clone(), done.clone());
            threads.spawn(move || {
                let mut wakers = Vec::new();
                while !ended.load(SeqCst) {
                    wakers.extend(receive.try_iter());
                    if finishes && dawdler.below(20) == 0 {
                        finished.store(true, SeqCst);
                    }
                    for waker in &wakers {
                        waker.wake_by_ref();
                    }
                    dawdler.dawdle();
                }
            });
            run(random, async move {
                for _ in 0..8 {
                    let lent = lend_waker(send.clone(), done.clone(), Here::new());
                    drop(create_task(lent));
                }
                for _ in 0..50 {
                    sleep(Duration::ZERO).await?;
                }
                Ok(())
            });
            stop.store(true, SeqCst);
        });
    });
}

#[test]
fn a_task_ends_while_it_is_cancelled_from_elsewhere() {
    repeat("cancelled from elsewhere", |random| {
        let (send, receive) = channel::<AnyTask>();
        let living = Arc::new(AtomicUsize::new(0));
        let (stop, counted) = (AtomicBool::new(false), living.clone());
        let mut own = random.fork();
        beside(|threads| {
            let mut dawdler = random.fork();
            let stop = &stop;
            threads.spawn(move || {
                let mut tasks = Vec::new();
                while !stop.load(SeqCst) {
                    tasks.extend(receive.try_iter());
                    for task in &tasks {
                        task.cancel_with("from elsewhere");
                        assert!(!format!("{task:?}{}", task.name()).is_empty());
                        dawdler.dawdle();
                    }
                    if tasks.len() > 20 {
                        tasks.drain(..10);
                    }
                }
                tasks.iter().for_each(|task| assert!(!task.cancel()));
            });
            run(random, async move {
                let mut tasks = Vec::new();
                for _ in 0..40 {
                    let (value, steps, swallows) =
                        (Counted::new(&counted), own.below(4), own.coin());
                    let here = Here::new();
                    let task = create_task(async move {
                        for _ in 0..steps {
                            match sleep(Duration::ZERO).await {
                                Err(Error::Cancelled(_)) if swallows => {}
                                other => other?,
                            }
                            here.touch();
                        }
                        Ok(value)
                    });
                    send.send((*task).clone());
                    tasks.push(task);
                    if own.coin() {
                        sleep(Duration::ZERO).await?;
                    }
                }
                for task in tasks {
                    match task.await {
                        Ok(value) => drop(value),
                        Err(error) => assert!(matches!(error, Error::Cancelled(_))),
                    }
                }
                Ok(())
            });
            stop.store(true, SeqCst);
        });
        assert_eq!(living.load(SeqCst), 0);
    });
}

#[test]
fn a_handle_is_dropped_while_callbacks_are_added_and_another_thread_cancels() {
    repeat("handles dropped", |random| {
        let (send, receive) = channel::<Task<Counted>>();
        let (tell, told) = channel::<AnyTask>();
        let living = Arc::new(AtomicUsize::new(0));
        let (counted, mut own) = (living.clone(), random.fork());
        beside(|threads| {
            let (mut one, mut other) = (random.fork(), random.fork());
            threads.spawn(move || {
                for task in receive.iter() {
                    one.dawdle();
                    drop(task);
                }
            });
            threads.spawn(move || {
                for task in told.iter() {
                    other.dawdle();
                    task.cancel();
                }
            });
            run(random, async move {
                let called = Rc::new(Cell::new(0));
                for _ in 0..40 {
                    let (value, forever) = (Counted::new(&counted), own.coin());
                    let task = create_task(async move {
                        match forever {
                            true => Future::<()>::new().await?,
                            false => sleep(Duration::ZERO).await?,
                        }
                        Ok(value)
                    });
                    tell.send((*task).clone());
                    for _ in 0..3 {
                        let count = called.clone();
                        let callback = move |task: &Task<Counted>| {
                            assert!(task.done());
                            count.set(count.get() + 1);
                        };
                        let callback = task.add_done_callback(callback)?;
                        if own.below(4) == 0 {
                            task.remove_done_callback(&callback);
                        }
                    }
                    send.send(if own.coin() { task.clone() } else { task });
                    if own.coin() {
                        sleep(Duration::ZERO).await?;
                    }
                }
                drop((send, tell));
                sleep(MS).await
            });
        });
        assert_eq!(living.load(SeqCst), 0);
    });
}

#[test]
fn handles_are_cloned_and_dropped_on_several_threads_while_tasks_finish() {
    repeat("handles cloned", |random| {
        let living = Arc::new(AtomicUsize::new(0));
        let channels: Vec<_> = (0..3).map(|_| channel::<Task<Counted>>()).collect();
        let (senders, receivers): (Vec<_>, Vec<_>) = channels.into_iter().unzip();
        let (counted, mut own) = (living.clone(), random.fork());
        beside(|threads| {
            for receiver in receivers {
                let mut random = random.fork();
                threads.spawn(move || {
                    let mut kept = Vec::new();
                    for task in receiver.iter() {
                        // The result is for the loop's thread alone; that it is asked for is no harm.
                        assert!(task.result().is_err() && task.exception().is_err());
                        assert!(!task.cancelled());
                        kept.push(task.clone());
                        kept.push(task);
                        if random.below(3) == 0 {
                            kept.truncate(random.below(5) as usize);
                        }
                        random.dawdle();
                    }
                    // Now the loop may be closed, or not.
                    random.dawdle();
                });
            }
            run(random, async move {
                for n in 0..40 {
                    let (value, steps) = (Counted::new(&counted), own.below(3));
                    let task = create_task(async move {
                        for _ in 0..steps {
                            sleep(Duration::ZERO).await?;
                        }
                        Ok(value)
                    });
                    for sender in &senders {
                        sender.send(task.clone());
                    }
                    match n % 4 {
                        0 => drop(task.await?),
                        1 => drop(task),
                        2 => std::mem::forget(task.name()),
                        _ => sleep(Duration::ZERO).await?,
                    }
                }
                Ok(())
            });
        });
        assert_eq!(living.load(SeqCst), 0);
    });
}

#[test]
fn a_result_that_another_thread_drops_is_not_found_again() {
    repeat("results dropped", |random| {
        let living = Arc::new(AtomicUsize::new(0));
        let counted = living.clone();
        let (tasks, names): (Vec<Task<Counted>>, Vec<AnyTask>) = run(random, async move {
            let tasks: Vec<_> = (0..20)
                .map(|_| {
                    let value = Counted::new(&counted);
                    create_task(async move { Ok(value) })
                })
                .collect();
            sleep(MS).await?;
            // From now on the value is copied.
            let names = tasks.iter().map(|task| (*task.clone()).clone()).collect();
            Ok((tasks, names))
        });
        // The loop is closed: whoever drops the last handle drops the result, where that is.
        let gate = Arc::new(Gate::new(2));
        let there = gate.clone();
        let thread = thread::spawn(move || {
            there.wait();
            tasks.into_iter().for_each(drop);
        });
        gate.wait();
        for task in names.iter().rev() {
            if let Some(task) = task.downcast::<Counted>() {
                assert_eq!(task.result().unwrap().text, "alive");
            }
        }
        thread.join().unwrap();
        assert!(names.iter().all(|task| task.downcast::<Counted>().is_none()));
        assert_eq!(living.load(SeqCst), 0);
    });
}

#[test]
fn futures_are_set_cancelled_and_awaited_across_threads_and_loops() {
    repeat("futures across loops", |random| {
        let futures: Vec<Future<Arc<String>>> = (0..10).map(|_| Future::new()).collect();
        let waits = |mut random: Random| {
            let futures = futures.clone();
            move || {
                let mut own = random.fork();
                run(&mut random, async move {
                    let called = Rc::new(Cell::new(0));
                    let mut tasks = Vec::new();
                    for future in &futures {
                        let count = called.clone();
                        let callback = move |_: &Future<_>| count.set(count.get() + 1);
                        let callback = future.add_done_callback(callback)?;
                        if own.below(4) == 0 {
                            future.remove_done_callback(&callback);
                        }
                        let task = create_task(future.clone());
                        if own.below(8) == 0 {
                            // The task cancels the future.
                            sleep(Duration::ZERO).await?;
                            task.cancel();
                        }
                        tasks.push(task);
                    }
                    let mut ended = 0;
                    for task in tasks {
                        match task.await {
                            Ok(text) => assert_eq!(*text, "set"),
                            Err(error) => assert!(matches!(error, Error::Cancelled(_))),
                        }
                        ended += 1;
                    }
                    assert_eq!(ended, 10);
                    Ok(())
                });
            }
        };
        let sets = |mut random: Random| {
            let futures = futures.clone();
            move || {
                for future in futures {
                    random.dawdle();
                    match random.below(3) {
                        0 => _ = future.set_result(Arc::new("set".to_owned())),
                        1 => _ = future.cancel(),
                        _ => drop(future.clone()),
                    }
                    let _ = future.set_result(Arc::new("set".to_owned()));
                }
            }
        };
        let blocks = {
            let futures = futures.clone();
            move || {
                for future in futures {
                    drop(futures_lite::future::block_on(future));
                }
            }
        };
        at_once(vec![
            Box::new(waits(random.fork())),
            Box::new(waits(random.fork())),
            Box::new(sets(random.fork())),
            Box::new(sets(random.fork())),
            Box::new(blocks),
        ]);
        assert!(futures.iter().all(Future::done));
    });
}

type Leaf = Pin<Box<dyn StdFuture<Output = Result<()>> + Send>>;

/// A leaf of some kind, which may be sent, and waits for long.
fn some_leaf(
    random: &mut Random,
    future: &Future<()>,
    lock: &Arc<Lock>,
    event: &Arc<Event>,
    queue: &Arc<Queue<u32>>,
    task: &Task<()>,
) -> Leaf {
    let (lock, event, queue) = (lock.clone(), event.clone(), queue.clone());
    match random.below(7) {
        0 => Box::pin(sleep(Duration::from_secs(100))),
        1 => Box::pin(sleep(MS)),
        2 => Box::pin(future.clone()),
        3 => Box::pin(async move { lock.acquire().await.map(drop) }),
        4 => Box::pin(async move { event.wait().await.map(drop) }),
        5 => Box::pin(async move { queue.get().await.map(drop) }),
        _ => Box::pin(task.clone()),
    }
}

#[test]
fn leaves_are_moved_to_other_tasks_threads_and_loops_and_dropped_there() {
    repeat("leaves moved", |random| {
        let (send, receive) = channel::<Leaf>();
        let (future, lock) = (Future::new(), Arc::new(Lock::new(())));
        let (event, queue) = (Arc::new(Event::new()), Arc::new(Queue::new(0)));
        let guard = lock.try_acquire().unwrap();
        let things = (future.clone(), lock.clone(), event.clone(), queue.clone());
        let mut own = random.fork();
        beside(|threads| {
            let mut random_there = random.fork();
            threads.spawn(move || {
                let leaves: Vec<Leaf> = receive.iter().collect();
                let mut own = random_there.fork();
                run(&mut random_there, async move {
                    for mut leaf in leaves {
                        if own.coin() {
                            // Polled here, in a task of this loop; then dropped, or cancelled.
                            let task = create_task(async move {
                                let once = poll_fn(|cx| Poll::Ready(leaf.as_mut().poll(cx)));
                                if once.await.is_pending() {
                                    leaf.await?;
                                }
                                Ok(())
                            });
                            sleep(Duration::ZERO).await?;
                            task.cancel();
                            drop(task.await);
                        }
                    }
                    Ok(())
                });
            });
            run(random, async move {
                let (future, lock, event, queue) = things;
                let slow = create_task(async { sleep(20 * MS).await });
                let mut moved = Vec::new();
                for _ in 0..20 {
                    let mut leaf = some_leaf(&mut own, &future, &lock, &event, &queue, &slow);
                    let (send, kind) = (send.clone(), own.below(4));
                    moved.push(create_task(async move {
                        let polled = poll_fn(|cx| Poll::Ready(leaf.as_mut().poll(cx))).await;
                        if polled.is_ready() {
                            return Ok(());
                        }
                        match kind {
                            // Dropped by another task, by another thread; awaited by another task.
                            0 => drop(create_task(async move {
                                drop(leaf);
                                Ok(())
                            })),
                            1 | 2 => send.send(leaf),
                            _ => _ = create_task(leaf).cancel_with("enough"),
                        }
                        sleep(Duration::ZERO).await
                    }));
                }
                drop(send);
                for task in moved {
                    task.await?;
                }
                event.set();
                let _ = queue.put_nowait(1);
                let _ = future.set_result(());
                drop(slow);
                sleep(MS).await
            });
            drop(guard);
        });
    });
}

#[test]
fn coroutines_come_from_ten_threads() {
    repeat("ten threads", |random| {
        let living = Arc::new(AtomicUsize::new(0));
        let early = random.coin();
        let mut jobs: Vec<Box<dyn FnOnce() + Send>> = Vec::new();
        let finished = Arc::new(AtomicUsize::new(0));
        let handle = Slot::new();
        let (place, count) = (handle.clone(), finished.clone());
        let mut own = random.fork();
        jobs.push(Box::new(move || {
            run(&mut own, async move {
                let event_loop = asyncio_loop::get_running_loop()?;
                place.set(event_loop.handle());
                // Until all have been served; or not so long, and the loop closes under them.
                while !early && count.load(SeqCst) < 10 {
                    sleep(MS).await?;
                }
                sleep(MS).await
            });
        }));
        for _ in 0..10 {
            let (mut random, living) = (random.fork(), living.clone());
            let (handle, finished) = (handle.clone(), finished.clone());
            jobs.push(Box::new(move || {
                let event_loop: LoopHandle = handle.get();
                let futures: Vec<ConcurrentFuture<Counted>> = (0..10)
                    .map(|_| {
                        let (value, delay) = (Counted::new(&living), random.below(2) as u32);
                        let job = async move {
                            sleep(delay * MS / 4).await?;
                            Ok(value)
                        };
                        run_coroutine_threadsafe(job, event_loop)
                    })
                    .collect();
                for future in futures {
                    if random.below(4) == 0 {
                        future.cancel();
                    }
                    // One whose loop closes before it begins stays pending, as in Python.
                    match future.result(50 * MS) {
                        Ok(value) => assert_eq!(value.text, "alive"),
                        Err(Error::Timeout(_)) => assert!(early),
                        Err(_) => {}
                    }
                }
                finished.fetch_add(1, SeqCst);
            }));
        }
        at_once(jobs);
        assert_eq!(living.load(SeqCst), 0);
    });
}

#[test]
fn threadsafe_callbacks_are_cancelled_from_other_threads_while_they_run() {
    repeat("threadsafe callbacks", |random| {
        let living = Arc::new(AtomicUsize::new(0));
        let handle = Slot::new();
        let mut jobs: Vec<Box<dyn FnOnce() + Send + '_>> = Vec::new();
        let (mut own, ended) = (random.fork(), AtomicUsize::new(0));
        let (place, ended) = (&handle, &ended);
        jobs.push(Box::new(move || {
            let event_loop = new_event_loop().unwrap();
            place.set(event_loop.handle());
            let early = own.below(3) == 0;
            while !early && ended.load(SeqCst) < 3 {
                event_loop.stop();
                event_loop.run_forever().unwrap();
                own.dawdle();
            }
            event_loop.close().unwrap();
        }));
        for _ in 0..3 {
            let (mut random, living) = (random.fork(), living.clone());
            jobs.push(Box::new(move || {
                let event_loop: LoopHandle = place.get();
                for _ in 0..30 {
                    let (value, running) =
                        (Counted::new(&living), Arc::new(AtomicBool::new(false)));
                    let (inside, mut slow) = (running.clone(), random.fork());
                    let callback = move || {
                        inside.store(true, SeqCst);
                        slow.dawdle();
                        assert_eq!(value.text, "alive");
                        drop(value);
                        inside.store(false, SeqCst);
                    };
                    let Ok(handle) = event_loop.call_soon_threadsafe(callback) else { break };
                    random.dawdle();
                    if random.coin() {
                        let other = handle.clone();
                        other.cancel();
                        assert!(!running.load(SeqCst), "cancel waits for one that runs");
                    }
                }
                ended.fetch_add(1, SeqCst);
            }));
        }
        at_once(jobs);
        assert_eq!(living.load(SeqCst), 0);
    });
}

#[test]
fn handles_and_timers_are_cancelled_from_other_threads() {
    repeat("handles cancelled", |random| {
        let (send, receive) = channel();
        let mut own = random.fork();
        beside(|threads| {
            let mut random_there = random.fork();
            threads.spawn(move || {
                for handle in receive.iter() {
                    let handle: asyncio_core::handle::TimerHandle = handle;
                    random_there.dawdle();
                    handle.cancel();
                    assert!(handle.cancelled());
                    drop(handle.get_context());
                }
            });
            run(random, async move {
                let event_loop = asyncio_loop::get_running_loop()?;
                for _ in 0..60 {
                    let (here, delay) = (Here::new(), own.below(3) as u32);
                    let callback = move || here.touch();
                    send.send(event_loop.call_later(delay * MS / 20, callback)?);
                    if own.coin() {
                        sleep(Duration::ZERO).await?;
                    }
                }
                Ok(())
            });
        });
    });
}

#[test]
fn loops_are_opened_and_closed_by_the_thousand_on_many_threads() {
    repeat("homes", |random| {
        // What outlives its loop, and is used while the home is another loop's.
        let (send, receive) = channel::<(AnyTask, LoopHandle, Waker, Leaf)>();
        let mut jobs: Vec<Box<dyn FnOnce() + Send>> = Vec::new();
        for _ in 0..4 {
            let (mut random, send) = (random.fork(), send.clone());
            jobs.push(Box::new(move || {
                for _ in 0..25 {
                    // Two at a time, closed in either order.
                    let first = new_event_loop().unwrap();
                    let second = random.coin().then(|| new_event_loop().unwrap());
                    if random.coin() {
                        first.close().unwrap();
                    } else if let Some(second) = &second {
                        second.close().unwrap();
                    }
                    drop(second.map(|second| second.close()));
                    first.close().unwrap();
                    let send = send.clone();
                    run(&mut random, async move {
                        let mut leaf: Leaf = Box::pin(sleep(Duration::from_secs(9)));
                        let waker = poll_fn(|cx| {
                            assert!(leaf.as_mut().poll(cx).is_pending());
                            Poll::Ready(cx.waker().clone())
                        });
                        let waker = waker.await;
                        let task = asyncio_task::current_task().unwrap();
                        let handle = asyncio_loop::get_running_loop()?.handle();
                        send.send((task, handle, waker, leaf));
                        drop(create_task(async { Future::<()>::new().await }));
                        sleep(Duration::ZERO).await
                    });
                }
            }));
        }
        drop(send);
        jobs.push(Box::new(move || {
            for (task, handle, waker, leaf) in receive.iter() {
                waker.wake_by_ref();
                task.cancel();
                let _ = handle.call_soon_threadsafe(|| ());
                drop(leaf);
                drop((waker, task));
            }
        }));
        // Each thread ends, and leaves its homes to the next round's.
        at_once(jobs);
    });
}

#[test]
fn coroutines_spawn_cancel_and_run_others_when_they_are_dropped() {
    repeat("coroutines dropped", |random| {
        let living = Arc::new(AtomicUsize::new(0));
        let (counted, mut own) = (living.clone(), random.fork());
        run(random, async move {
            let mut names: Vec<AnyTask> = Vec::new();
            for n in 0..20 {
                let (value, others) = (Counted::new(&counted), names.clone());
                let guard = OnDrop(move || {
                    assert_eq!(value.text, "alive");
                    others.iter().for_each(|task| _ = task.cancel());
                    let inner = value.clone();
                    let again = Task::builder().eager_start(true).create(async move {
                        let _inner = inner;
                        sleep(Duration::ZERO).await
                    });
                    again.cancel();
                    drop(again);
                    for task in all_tasks().unwrap_or_default() {
                        drop(task.downcast::<()>());
                    }
                });
                let eager = own.coin();
                let task = Task::builder().eager_start(eager).create(async move {
                    let _guard = guard;
                    sleep(n % 3 * MS / 10).await?;
                    Future::<()>::new().await
                });
                names.push((*task).clone());
                match own.below(4) {
                    0 => _ = task.cancel(),
                    1 => sleep(Duration::ZERO).await?,
                    _ => drop(task),
                }
            }
            Ok(())
        });
        assert_eq!(living.load(SeqCst), 0);
    });
}

/// What is sent and shared, by type; what stays, by the compiler's refusal in the documentation.
#[test]
fn what_may_be_sent_may_be_sent() {
    fn sent<T: Send>() {}
    fn shared<T: Sync>() {}
    sent::<Task<Cell<u32>>>();
    shared::<Task<Cell<u32>>>();
    sent::<Future<Cell<u32>>>();
    shared::<Future<Cell<u32>>>();
    sent::<AnyTask>();
    shared::<AnyTask>();
    sent::<LoopHandle>();
    sent::<Waiter>();
    shared::<Waiter>();
}
