//! The peers: each runtime behind the same few operations, written as its users would write them.

use std::{
    cell::RefCell,
    future::{Future, poll_fn},
    ops::DerefMut,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::Poll,
    time::Duration,
};

pub(crate) const HOUR: Duration = Duration::from_secs(3600);

pub(crate) trait Peer: 'static {
    const NAME: &'static str;
    type Task<T: 'static>: 'static;

    /// Runs `main` to its end, in a new loop.
    fn run<T: 'static>(main: impl Future<Output = T> + 'static) -> T;
    fn spawn<T: 'static>(work: impl Future<Output = T> + 'static) -> Self::Task<T>;
    fn join<T: 'static>(task: Self::Task<T>) -> impl Future<Output = T>;
    /// Lets every other task run.
    fn pass() -> impl Future<Output = ()>;
    fn sleep(delay: Duration) -> impl Future<Output = ()>;
}

pub(crate) trait Cancel: Peer {
    /// Creates a task that sleeps for a long time.
    fn park() -> Self::Task<()>;
    /// Cancels tasks, and returns how many ended with the cancellation.
    fn cancel(tasks: Vec<Self::Task<()>>) -> impl Future<Output = usize>;
}

pub(crate) trait Timers: Peer {
    /// Returns whether `work` ended in time.
    fn timeout(
        limit: Duration,
        work: impl Future<Output = ()> + 'static,
    ) -> impl Future<Output = bool>;
    /// Creates a timer for each delay, and cancels all of them before they fire.
    fn make_and_lift(delays: impl Iterator<Item = Duration>) -> impl Future<Output = ()>;
}

/// Polls each future once, and drops them all.
async fn begin_and_drop(futures: impl Iterator<Item = impl Future>) {
    let mut futures: Pin<Box<[_]>> = Box::into_pin(futures.collect());
    poll_fn(|cx| {
        // SAFETY: nothing is moved out of the list, and the elements of a pinned list are pinned.
        for future in unsafe { futures.as_mut().get_unchecked_mut() } {
            // SAFETY: as above.
            assert!(unsafe { Pin::new_unchecked(future) }.poll(cx).is_pending());
        }
        Poll::Ready(())
    })
    .await;
}

pub(crate) trait Locks: Peer {
    type Lock: 'static;
    fn new_lock() -> Self::Lock;
    fn lock(lock: &Self::Lock) -> impl Future<Output = impl DerefMut<Target = usize>>;
}

pub(crate) trait Queues: Peer {
    type Sender: 'static;
    type Receiver: 'static;
    fn queue(size: usize) -> (Self::Sender, Self::Receiver);
    fn put(queue: &Self::Sender, item: usize) -> impl Future<Output = ()>;
    fn get(queue: &mut Self::Receiver) -> impl Future<Output = usize>;
}

pub(crate) struct Asyncio;

impl Peer for Asyncio {
    const NAME: &'static str = "asyncio";
    type Task<T: 'static> = asyncio::Task<T>;

    fn run<T: 'static>(main: impl Future<Output = T> + 'static) -> T {
        asyncio::run(async { Ok(main.await) }).expect("the work does not fail")
    }

    #[inline]
    fn spawn<T: 'static>(work: impl Future<Output = T> + 'static) -> asyncio::Task<T> {
        asyncio::create_task(async { Ok(work.await) })
    }

    async fn join<T: 'static>(task: asyncio::Task<T>) -> T {
        task.await.expect("the task does not fail")
    }

    async fn pass() {
        asyncio::sleep(Duration::ZERO).await.expect("not cancelled");
    }

    async fn sleep(delay: Duration) {
        asyncio::sleep(delay).await.expect("not cancelled");
    }
}

impl Cancel for Asyncio {
    fn park() -> asyncio::Task<()> {
        asyncio::create_task(asyncio::sleep(HOUR))
    }

    async fn cancel(tasks: Vec<asyncio::Task<()>>) -> usize {
        tasks.iter().for_each(|task| _ = task.cancel());
        let mut cancelled = 0;
        for task in tasks {
            cancelled += usize::from(task.await.is_err_and(|error| error.is_cancelled()));
        }
        cancelled
    }
}

impl Timers for Asyncio {
    async fn timeout(limit: Duration, work: impl Future<Output = ()> + 'static) -> bool {
        use asyncio::AsyncContextManager;
        let body = async |_: &mut _| {
            work.await;
            Ok(())
        };
        asyncio::timeout(limit).with(body).await.is_ok()
    }

    async fn make_and_lift(delays: impl Iterator<Item = Duration>) {
        let event_loop = asyncio::get_running_loop().expect("it runs");
        let later = |delay| event_loop.call_later(delay, || {}).expect("it is open");
        let timers: Vec<_> = delays.map(later).collect();
        timers.iter().for_each(|timer| timer.cancel());
    }
}

impl Locks for Asyncio {
    type Lock = asyncio::Lock<usize>;

    fn new_lock() -> asyncio::Lock<usize> {
        asyncio::Lock::new(0)
    }

    async fn lock(lock: &asyncio::Lock<usize>) -> impl DerefMut<Target = usize> {
        lock.acquire().await.expect("not cancelled")
    }
}

impl Queues for Asyncio {
    type Sender = Rc<asyncio::Queue<usize>>;
    type Receiver = Rc<asyncio::Queue<usize>>;

    fn queue(size: usize) -> (Self::Sender, Self::Receiver) {
        let queue = Rc::new(asyncio::Queue::new(size));
        (queue.clone(), queue)
    }

    async fn put(queue: &Self::Sender, item: usize) {
        queue.put(item).await.expect("not cancelled");
    }

    async fn get(queue: &mut Self::Receiver) -> usize {
        queue.get().await.expect("not cancelled")
    }
}

/// tokio's current-thread runtime.
pub(crate) struct Tokio;

impl Peer for Tokio {
    const NAME: &'static str = "tokio";
    type Task<T: 'static> = tokio::task::JoinHandle<T>;

    fn run<T: 'static>(main: impl Future<Output = T> + 'static) -> T {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_all().build_local(Default::default()).expect("it starts");
        runtime.block_on(main)
    }

    #[inline]
    fn spawn<T: 'static>(work: impl Future<Output = T> + 'static) -> Self::Task<T> {
        tokio::task::spawn_local(work)
    }

    async fn join<T: 'static>(task: Self::Task<T>) -> T {
        task.await.expect("the task does not fail")
    }

    async fn pass() {
        tokio::task::yield_now().await;
    }

    async fn sleep(delay: Duration) {
        tokio::time::sleep(delay).await;
    }
}

impl Cancel for Tokio {
    fn park() -> Self::Task<()> {
        tokio::task::spawn_local(tokio::time::sleep(HOUR))
    }

    async fn cancel(tasks: Vec<Self::Task<()>>) -> usize {
        tasks.iter().for_each(|task| task.abort());
        let mut cancelled = 0;
        for task in tasks {
            cancelled += usize::from(task.await.is_err_and(|error| error.is_cancelled()));
        }
        cancelled
    }
}

impl Timers for Tokio {
    async fn timeout(limit: Duration, work: impl Future<Output = ()> + 'static) -> bool {
        tokio::time::timeout(limit, work).await.is_ok()
    }

    async fn make_and_lift(delays: impl Iterator<Item = Duration>) {
        begin_and_drop(delays.map(tokio::time::sleep)).await;
    }
}

impl Locks for Tokio {
    type Lock = Arc<tokio::sync::Mutex<usize>>;

    fn new_lock() -> Self::Lock {
        Arc::default()
    }

    async fn lock(lock: &Self::Lock) -> impl DerefMut<Target = usize> {
        lock.lock().await
    }
}

impl Queues for Tokio {
    type Sender = tokio::sync::mpsc::Sender<usize>;
    type Receiver = tokio::sync::mpsc::Receiver<usize>;

    fn queue(size: usize) -> (Self::Sender, Self::Receiver) {
        tokio::sync::mpsc::channel(size)
    }

    async fn put(queue: &Self::Sender, item: usize) {
        queue.send(item).await.expect("the queue is open");
    }

    async fn get(queue: &mut Self::Receiver) -> usize {
        queue.recv().await.expect("the queue is open")
    }
}

/// smol's `LocalExecutor`, with async-io, async-lock and async-channel.
pub(crate) struct Smol;

type Executor = Rc<smol::LocalExecutor<'static>>;
thread_local!(static EXECUTOR: RefCell<Option<Executor>> = const { RefCell::new(None) });

impl Peer for Smol {
    const NAME: &'static str = "smol";
    type Task<T: 'static> = smol::Task<T>;

    fn run<T: 'static>(main: impl Future<Output = T> + 'static) -> T {
        let executor = Executor::default();
        EXECUTOR.set(Some(executor.clone()));
        let outcome = smol::block_on(executor.run(main));
        EXECUTOR.set(None);
        outcome
    }

    #[inline]
    fn spawn<T: 'static>(work: impl Future<Output = T> + 'static) -> smol::Task<T> {
        EXECUTOR.with_borrow(|executor| executor.as_ref().expect("it runs").spawn(work))
    }

    async fn join<T: 'static>(task: smol::Task<T>) -> T {
        task.await
    }

    async fn pass() {
        smol::future::yield_now().await;
    }

    async fn sleep(delay: Duration) {
        smol::Timer::after(delay).await;
    }
}

impl Cancel for Smol {
    fn park() -> smol::Task<()> {
        Self::spawn(Self::sleep(HOUR))
    }

    async fn cancel(tasks: Vec<smol::Task<()>>) -> usize {
        let mut cancelled = 0;
        for task in tasks {
            cancelled += usize::from(task.cancel().await.is_none());
        }
        cancelled
    }
}

impl Timers for Smol {
    async fn timeout(limit: Duration, work: impl Future<Output = ()> + 'static) -> bool {
        let late = async {
            smol::Timer::after(limit).await;
            false
        };
        smol::future::or(
            async {
                work.await;
                true
            },
            late,
        )
        .await
    }

    async fn make_and_lift(delays: impl Iterator<Item = Duration>) {
        begin_and_drop(delays.map(smol::Timer::after)).await;
    }
}

impl Locks for Smol {
    type Lock = smol::lock::Mutex<usize>;

    fn new_lock() -> Self::Lock {
        smol::lock::Mutex::new(0)
    }

    async fn lock(lock: &Self::Lock) -> impl DerefMut<Target = usize> {
        lock.lock().await
    }
}

impl Queues for Smol {
    type Sender = smol::channel::Sender<usize>;
    type Receiver = smol::channel::Receiver<usize>;

    fn queue(size: usize) -> (Self::Sender, Self::Receiver) {
        smol::channel::bounded(size)
    }

    async fn put(queue: &Self::Sender, item: usize) {
        queue.send(item).await.expect("the queue is open");
    }

    async fn get(queue: &mut Self::Receiver) -> usize {
        queue.recv().await.expect("the queue is open")
    }
}

/// monoio, over io_uring if the system supports it. It is left out if there is no other task to switch to, because it
/// puts a task that wakes itself at the front of its queue. It has no channels, so it uses smol's.
pub(crate) struct Monoio;

impl Peer for Monoio {
    const NAME: &'static str = "monoio";
    type Task<T: 'static> = monoio::task::JoinHandle<T>;

    fn run<T: 'static>(main: impl Future<Output = T> + 'static) -> T {
        let builder = monoio::RuntimeBuilder::<monoio::FusionDriver>::new();
        builder.enable_timer().build().expect("it starts").block_on(main)
    }

    #[inline]
    fn spawn<T: 'static>(work: impl Future<Output = T> + 'static) -> Self::Task<T> {
        monoio::spawn(work)
    }

    async fn join<T: 'static>(task: Self::Task<T>) -> T {
        task.await
    }

    async fn pass() {
        // monoio has no such function; smol's is similar to those of the others.
        smol::future::yield_now().await;
    }

    async fn sleep(delay: Duration) {
        monoio::time::sleep(delay).await;
    }
}

impl Queues for Monoio {
    type Sender = smol::channel::Sender<usize>;
    type Receiver = smol::channel::Receiver<usize>;

    fn queue(size: usize) -> (Self::Sender, Self::Receiver) {
        Smol::queue(size)
    }

    async fn put(queue: &Self::Sender, item: usize) {
        Smol::put(queue, item).await;
    }

    async fn get(queue: &mut Self::Receiver) -> usize {
        Smol::get(queue).await
    }
}
