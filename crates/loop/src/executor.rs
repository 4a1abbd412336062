//! [`ThreadPoolExecutor`]: threads for work that blocks.

mod jobs;
#[cfg(test)]
mod tests;

use async_task::Runnable;
use asyncio_core::{
    Error, Result,
    event_loop::Job,
    raw::{
        caught,
        sync::{AtomicUsize, Condvar, Mutex, Ordering},
    },
};
use asyncio_future::ConcurrentFuture;
use jobs::Jobs;
use std::{
    cell::Cell,
    fmt, ptr,
    sync::Arc,
    thread::{self, JoinHandle},
};

/// Threads that run jobs in the order of their arrival (`concurrent.futures.ThreadPoolExecutor`).
///
/// A thread is started when a job arrives and no thread is idle, up to the limit. Threads stay
/// until the executor is shut down. Clones are handles to the same executor; dropping the last one
/// shuts it down without waiting.
///
/// ```
/// let executor = asyncio::ThreadPoolExecutor::builder().max_workers(2).build()?;
/// let sum = executor.submit(|| (1..=100).sum::<u32>())?;
/// assert_eq!(sum.result(None)?, 5050);
/// executor.shutdown(true);
/// # Ok::<(), asyncio::Error>(())
/// ```
#[derive(Clone)]
pub struct ThreadPoolExecutor(Arc<Owner>);

/// A type that is accepted as an executor: a [`ThreadPoolExecutor`], a reference to one, or `None` for the
/// default executor of the loop.
///
/// ```
/// use asyncio::ThreadPoolExecutor;
///
/// #[asyncio::main]
/// async fn main() -> asyncio::Result<()> {
///     let event_loop = asyncio::get_running_loop()?;
///     assert_eq!(event_loop.run_in_executor(None, || 1)?.await?, 1);
///     let pool = ThreadPoolExecutor::builder().max_workers(2).build()?;
///     assert_eq!(event_loop.run_in_executor(&pool, || 2)?.await?, 2);
///     Ok(())
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an executor",
    label = "write `None` for the default executor, or `&executor`",
    note = "`asyncio::to_thread(function)` is the short form: it always uses the default executor"
)]
pub trait ToExecutor {
    /// Returns the executor, if it is not the default one.
    fn to_executor(self) -> Option<ThreadPoolExecutor>;
}

impl ToExecutor for ThreadPoolExecutor {
    fn to_executor(self) -> Option<ThreadPoolExecutor> {
        Some(self)
    }
}

impl ToExecutor for &ThreadPoolExecutor {
    fn to_executor(self) -> Option<ThreadPoolExecutor> {
        Some(self.clone())
    }
}

impl ToExecutor for Option<&ThreadPoolExecutor> {
    fn to_executor(self) -> Option<ThreadPoolExecutor> {
        self.cloned()
    }
}

impl ToExecutor for &Option<ThreadPoolExecutor> {
    fn to_executor(self) -> Option<ThreadPoolExecutor> {
        self.clone()
    }
}

/// The part that the handles share. The threads have only the pool, so that they do not keep the
/// executor alive.
struct Owner(Arc<Pool>);

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.shut_down();
    }
}

struct Pool {
    jobs: Jobs<Runnable>,
    threads: Mutex<Threads>,
    /// A thread has ended, or has started to wait for the others in `shutdown`.
    ended: Condvar,
    /// The number of threads that were started, written under the lock of `threads`.
    started: AtomicUsize,
    max_workers: usize,
    prefix: String,
}

#[derive(Default)]
struct Threads {
    handles: Vec<JoinHandle<()>>,
    /// The number of threads that have not ended.
    alive: usize,
    /// The number of those that are in a job that has called `shutdown(true)`.
    waiting: usize,
    is_shut_down: bool,
    /// Jobs that the last thread runs before it ends.
    at_the_end: Vec<Job>,
}

thread_local! {
    /// The pool whose thread this is.
    static WORKS_IN: Cell<*const Pool> = const { Cell::new(ptr::null()) };
}

impl ThreadPoolExecutor {
    /// Returns a builder for an executor with other settings.
    pub fn builder() -> ThreadPoolExecutorBuilder {
        ThreadPoolExecutorBuilder { max_workers: default_max_workers(), prefix: None }
    }

    /// The default executor of a loop.
    pub(crate) fn of_loop() -> ThreadPoolExecutor {
        ThreadPoolExecutor::make(default_max_workers(), "asyncio".to_owned())
    }

    fn make(max_workers: usize, prefix: String) -> ThreadPoolExecutor {
        ThreadPoolExecutor(Arc::new(Owner(Arc::new(Pool {
            jobs: Jobs::new(),
            threads: Mutex::default(),
            ended: Condvar::new(),
            started: AtomicUsize::new(0),
            max_workers,
            prefix,
        }))))
    }

    /// Runs `job` in one of the threads (`Executor.submit`). It starts after all earlier jobs; until
    /// then, cancelling the future prevents it. If the job panics, the result is `Error::Panic`.
    ///
    /// # Errors
    /// `Runtime` after [`shutdown`](ThreadPoolExecutor::shutdown); the system's error if it cannot
    /// start a thread.
    #[doc(alias = "asyncio.Executor.submit")]
    pub fn submit<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<ConcurrentFuture<T>> {
        let future = ConcurrentFuture::new();
        let worker = future.clone();
        self.execute(move || {
            if worker.set_running_or_notify_cancel() {
                let outcome = caught(job);
                // Only this thread ends a future that runs.
                let _ = worker.set(outcome);
            }
        })?;
        Ok(future)
    }

    /// Runs `job` in one of the threads; its result is ignored.
    pub(crate) fn execute(&self, job: impl FnOnce() + Send + 'static) -> Result<()> {
        let pool = &self.0.0;
        // The job runs when the runnable does, and is never scheduled again.
        let (runnable, task) = async_task::spawn(async move { job() }, |_| ());
        task.detach();
        // Once the first thread has started, there is a thread for every job that the queue
        // accepts.
        let is_first = pool.started.load(Ordering::Acquire) == 0 && pool.start_first()?;
        let is_claimed = pool.jobs.push(runnable).map_err(|_| is_shut_down())?;
        if !is_claimed && !is_first {
            pool.start_another();
        }
        Ok(())
    }

    /// Stops taking jobs; jobs that were already taken still run (`Executor.shutdown`). With `wait`,
    /// it blocks until the last one has finished, even if another thread has called it before. A job
    /// that calls it waits neither for itself nor for other jobs that have called it.
    #[doc(alias = "asyncio.Executor.shutdown")]
    pub fn shutdown(&self, wait: bool) {
        let pool = &self.0.0;
        pool.shut_down();
        if !wait {
            return;
        }
        let works_here =
            WORKS_IN.try_with(Cell::get).is_ok_and(|works_in| works_in == &raw const **pool);
        let mut threads = pool.threads.lock();
        if works_here {
            threads.waiting += 1;
            pool.ended.notify_all();
        }
        while threads.alive > if works_here { threads.waiting } else { 0 } {
            threads = pool.ended.wait(threads);
        }
        if works_here {
            return threads.waiting -= 1;
        }
        let handles = std::mem::take(&mut threads.handles);
        drop(threads);
        for thread in handles {
            // It is about to exit, and has no result.
            let _ = thread.join();
        }
    }

    /// Shuts the executor down. The last thread calls `callback` before it ends; if there is no
    /// thread, this call does.
    pub(crate) fn shutdown_then(&self, callback: Job) {
        let pool = &self.0.0;
        pool.shut_down();
        let mut threads = pool.threads.lock();
        if threads.alive > 0 {
            return threads.at_the_end.push(callback);
        }
        drop(threads);
        callback();
    }
}

impl fmt::Debug for ThreadPoolExecutor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pool = &self.0.0;
        f.debug_struct("ThreadPoolExecutor")
            .field("threads", &pool.started.load(Ordering::Relaxed))
            .field("idle", &pool.jobs.idle())
            .field("waiting", &pool.jobs.len())
            .field("is_shut_down", &pool.threads.lock().is_shut_down)
            .finish()
    }
}

impl Pool {
    /// Starts the first thread. Returns false if there is one already.
    fn start_first(self: &Arc<Pool>) -> Result<bool> {
        let mut threads = self.threads.lock();
        if threads.is_shut_down {
            return Err(is_shut_down());
        }
        let is_first = threads.handles.is_empty();
        if is_first {
            self.start_thread(&mut threads)?;
        }
        Ok(is_first)
    }

    /// Starts a thread, if another one is allowed. If it fails, the existing threads run every job.
    fn start_another(self: &Arc<Pool>) {
        if self.started.load(Ordering::Relaxed) < self.max_workers {
            let mut threads = self.threads.lock();
            if !threads.is_shut_down && threads.handles.len() < self.max_workers {
                let _ = self.start_thread(&mut threads);
            }
        }
    }

    fn start_thread(self: &Arc<Pool>, threads: &mut Threads) -> std::io::Result<()> {
        let name = format!("{}_{}", self.prefix, threads.handles.len());
        let pool = self.clone();
        threads.handles.push(thread::Builder::new().name(name).spawn(move || pool.work())?);
        threads.alive += 1;
        self.started.store(threads.handles.len(), Ordering::Release);
        Ok(())
    }

    fn work(&self) {
        WORKS_IN.with(|works_in| works_in.set(self));
        while let Some(job) = self.jobs.next() {
            quietly(|| _ = job.run());
        }
        let mut threads = self.threads.lock();
        threads.alive -= 1;
        let last = match threads.alive {
            0 => std::mem::take(&mut threads.at_the_end),
            _ => Vec::new(),
        };
        self.ended.notify_all();
        drop(threads);
        last.into_iter().for_each(quietly);
    }

    fn shut_down(&self) {
        self.threads.lock().is_shut_down = true;
        self.jobs.close();
    }
}

fn is_shut_down() -> Error {
    Error::runtime("cannot schedule new futures after shutdown")
}

/// A panic belongs to the job, and so does reporting it.
fn quietly(job: impl FnOnce()) {
    drop(caught(job));
}

/// As in Python: blocking work mostly waits, so there are more threads than processors, but not
/// hundreds on a large machine.
fn default_max_workers() -> usize {
    thread::available_parallelism().map_or(1, |n| n.get()).saturating_add(4).min(32)
}

/// Builds a [`ThreadPoolExecutor`] with custom settings.
#[derive(Clone, Debug)]
#[must_use]
pub struct ThreadPoolExecutorBuilder {
    max_workers: usize,
    prefix: Option<String>,
}

impl ThreadPoolExecutorBuilder {
    /// Sets the largest number of threads. The default is the number of processors plus four, at
    /// most 32.
    pub fn max_workers(mut self, max_workers: usize) -> Self {
        self.max_workers = max_workers;
        self
    }

    /// Sets the prefix of thread names; `_` and a number follow it.
    pub fn thread_name_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = Some(prefix.into());
        self
    }

    /// Creates the executor, which has no thread yet.
    ///
    /// # Errors
    /// `Value` if the limit is zero threads, or if the name has a zero byte.
    pub fn build(self) -> Result<ThreadPoolExecutor> {
        if self.max_workers == 0 {
            return Err(Error::value("ThreadPoolExecutor: max_workers must be greater than 0"));
        }
        let prefix = self.prefix.unwrap_or_else(|| "ThreadPoolExecutor".to_owned());
        if prefix.contains('\0') {
            return Err(Error::value("ThreadPoolExecutor: a zero byte in the thread name prefix"));
        }
        Ok(ThreadPoolExecutor::make(self.max_workers, prefix))
    }
}
