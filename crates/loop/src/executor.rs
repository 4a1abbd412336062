//! [`ThreadPoolExecutor`]: threads for work that blocks.

use asyncio_core::{Error, Result, event_loop::Job, raw::caught};
use asyncio_future::ConcurrentFuture;
use std::{
    cell::Cell,
    collections::VecDeque,
    fmt, ptr,
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread::{self, JoinHandle},
};

/// Threads that run jobs in the order of their arrival (`concurrent.futures.ThreadPoolExecutor`).
///
/// A thread is started when a job comes and no thread is idle, up to the limit; threads stay until
/// the executor is shut down. Clones are handles to the same executor; dropping the last one shuts
/// it down without waiting.
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

/// What the handles share. The threads have only the pool, so that they do not keep it going.
struct Owner(Arc<Pool>);

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.shut_down();
    }
}

struct Pool {
    state: Mutex<State>,
    /// There is a job, or nothing will come any more.
    wake: Condvar,
    /// A thread has ended, or has started to wait for the others in `shutdown`.
    ended: Condvar,
    max_workers: usize,
    prefix: String,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    /// How many threads wait for a job.
    idle: usize,
    threads: Vec<JoinHandle<()>>,
    /// How many threads have not ended.
    alive: usize,
    /// How many of those are in a job that has called `shutdown(true)`.
    waiting: usize,
    is_shut_down: bool,
    /// What the last thread runs before it ends.
    at_the_end: Vec<Job>,
}

thread_local! {
    /// The pool whose thread this is.
    static WORKS_IN: Cell<*const Pool> = const { Cell::new(ptr::null()) };
}

impl ThreadPoolExecutor {
    /// An executor with settings of its own.
    pub fn builder() -> ThreadPoolExecutorBuilder {
        ThreadPoolExecutorBuilder { max_workers: default_max_workers(), prefix: None }
    }

    /// The default executor of a loop.
    pub(crate) fn of_loop() -> ThreadPoolExecutor {
        ThreadPoolExecutor::make(default_max_workers(), "asyncio".to_owned())
    }

    fn make(max_workers: usize, prefix: String) -> ThreadPoolExecutor {
        let (state, wake, ended) = (Mutex::default(), Condvar::new(), Condvar::new());
        let pool = Pool { state, wake, ended, max_workers, prefix };
        ThreadPoolExecutor(Arc::new(Owner(Arc::new(pool))))
    }

    /// Runs `job` in one of the threads (`Executor.submit`). It begins after those that came
    /// before; until then, cancelling the future prevents it. A job that panics gives `Error::Panic`.
    ///
    /// # Errors
    /// `Runtime` after [`shutdown`](ThreadPoolExecutor::shutdown); what the system says if it has no
    /// thread.
    #[doc(alias = "asyncio.Executor.submit")]
    pub fn submit<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<ConcurrentFuture<T>> {
        let future = ConcurrentFuture::new();
        let worker = future.clone();
        self.execute(Box::new(move || {
            if worker.set_running_or_notify_cancel() {
                let outcome = caught(job);
                // Only this thread ends a future that runs.
                let _ = worker.set(outcome);
            }
        }))?;
        Ok(future)
    }

    /// Runs `job`, whose result is of no interest here.
    pub(crate) fn execute(&self, job: Job) -> Result<()> {
        let pool = &self.0.0;
        let mut state = pool.lock();
        if state.is_shut_down {
            return Err(Error::runtime("cannot schedule new futures after shutdown"));
        }
        state.jobs.push_back(job);
        if state.jobs.len() <= state.idle {
            pool.wake.notify_one();
        } else if state.threads.len() < pool.max_workers {
            if let Err(error) = pool.start_thread(&mut state) {
                // Without any thread the job would wait for ever.
                if state.threads.is_empty() {
                    let refused = state.jobs.pop_back();
                    drop(state);
                    drop(refused);
                    return Err(error.into());
                }
            }
        }
        Ok(())
    }

    /// Takes no more jobs; those that were taken still run (`Executor.shutdown`). With `wait` it
    /// blocks until the last one has finished, even if another thread has called it before. A job that
    /// calls it waits neither for itself nor for other jobs that have called it.
    #[doc(alias = "asyncio.Executor.shutdown")]
    pub fn shutdown(&self, wait: bool) {
        let pool = &self.0.0;
        pool.shut_down();
        if !wait {
            return;
        }
        let works_here =
            WORKS_IN.try_with(Cell::get).is_ok_and(|works_in| works_in == &raw const **pool);
        let mut state = pool.lock();
        if works_here {
            state.waiting += 1;
            pool.ended.notify_all();
        }
        while state.alive > if works_here { state.waiting } else { 0 } {
            state = pool.ended.wait(state).unwrap_or_else(|poisoned| poisoned.into_inner());
        }
        if works_here {
            return state.waiting -= 1;
        }
        let threads = std::mem::take(&mut state.threads);
        drop(state);
        for thread in threads {
            // It is about to exit, and has no result.
            let _ = thread.join();
        }
    }

    /// Shuts it down. The last thread calls `callback` before it ends; without a thread, this call
    /// does.
    pub(crate) fn shutdown_then(&self, callback: Job) {
        let pool = &self.0.0;
        pool.shut_down();
        let mut state = pool.lock();
        if state.alive > 0 {
            return state.at_the_end.push(callback);
        }
        drop(state);
        callback();
    }
}

impl fmt::Debug for ThreadPoolExecutor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.0.0.lock();
        f.debug_struct("ThreadPoolExecutor")
            .field("threads", &state.threads.len())
            .field("idle", &state.idle)
            .field("waiting", &state.jobs.len())
            .field("is_shut_down", &state.is_shut_down)
            .finish()
    }
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn start_thread(self: &Arc<Pool>, state: &mut State) -> std::io::Result<()> {
        let name = format!("{}_{}", self.prefix, state.threads.len());
        let pool = self.clone();
        state.threads.push(thread::Builder::new().name(name).spawn(move || pool.work())?);
        state.alive += 1;
        Ok(())
    }

    fn work(&self) {
        WORKS_IN.with(|works_in| works_in.set(self));
        let mut state = self.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                drop(state);
                quietly(job);
                state = self.lock();
            } else if state.is_shut_down {
                break;
            } else {
                state.idle += 1;
                state = self.wake.wait(state).unwrap_or_else(|poisoned| poisoned.into_inner());
                state.idle -= 1;
            }
        }
        state.alive -= 1;
        let last = match state.alive {
            0 => std::mem::take(&mut state.at_the_end),
            _ => Vec::new(),
        };
        self.ended.notify_all();
        drop(state);
        last.into_iter().for_each(quietly);
    }

    fn shut_down(&self) {
        self.lock().is_shut_down = true;
        self.wake.notify_all();
    }
}

/// A panic belongs to the job, and so does reporting it.
fn quietly(job: Job) {
    drop(caught(job));
}

/// As in Python: work that blocks mostly waits, so more than there are processors, but not so many
/// that a large machine starts hundreds.
fn default_max_workers() -> usize {
    thread::available_parallelism().map_or(1, |n| n.get()).saturating_add(4).min(32)
}

/// What [`ThreadPoolExecutor::builder`] returns.
#[derive(Clone, Debug)]
#[must_use]
pub struct ThreadPoolExecutorBuilder {
    max_workers: usize,
    prefix: Option<String>,
}

impl ThreadPoolExecutorBuilder {
    /// How many threads there may be: four more than processors, at most 32, if this is not called.
    pub fn max_workers(mut self, max_workers: usize) -> Self {
        self.max_workers = max_workers;
        self
    }

    /// The threads are named by this, `_` and their number.
    pub fn thread_name_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = Some(prefix.into());
        self
    }

    /// Makes the executor; it has no thread yet.
    ///
    /// # Errors
    /// `Value` if there may be no thread at all, or if the name has a zero byte.
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

#[cfg(test)]
mod tests;
