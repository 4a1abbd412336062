//! [`Remote`]: a value on which threads of the loop's executor work, one job at a time.

use asyncio_core::{
    Error, Result,
    exception::ExceptionContext,
    raw::{
        LoopRef, Message, caught, running_loop,
        sync::{Mutex, MutexGuard},
    },
    wait::{Leaf, Wait},
    wait_site::WaitSite,
};
use asyncio_sockets::{Answer, Lookup, described, on_thread};
use std::{
    fmt,
    future::Future,
    io, mem,
    path::Path,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

/// A value of a file or directory, which either the loop or a thread accesses.
///
/// A job that was started runs to its end, even if the operation that started it is cancelled or
/// dropped. The next operation waits for it first, and returns its error.
pub(crate) struct Remote<T> {
    value: Arc<Mutex<T>>,
    answer: Arc<Answer<Outcome>>,
    /// Whether a job was started whose outcome has not been taken.
    is_busy: bool,
    path: Arc<Path>,
}

/// The result of an operation's access to the value.
pub(crate) enum Step<T, R> {
    Done(R),
    /// A thread has to do this first.
    Job(Job<T>),
    Fail(Error),
}

type Job<T> = Box<dyn FnOnce(&mut T) -> io::Result<()> + Send>;

impl<T, R> Step<T, R> {
    pub(crate) fn job(job: impl FnOnce(&mut T) -> io::Result<()> + Send + 'static) -> Step<T, R> {
        Step::Job(Box::new(job))
    }

    /// Returns the available result, or the job that gets it.
    pub(crate) fn done_or(
        found: Option<R>,
        job: impl FnOnce(&mut T) -> io::Result<()> + Send + 'static,
    ) -> Step<T, R> {
        found.map_or_else(|| Step::job(job), Step::Done)
    }
}

/// The operation of a single job, which then returns the job's result.
pub(crate) fn once<T, R>(
    job: impl FnOnce(&mut T) -> io::Result<()> + Send + 'static,
    result: impl Fn(&T) -> R,
) -> impl FnMut(&mut T) -> Step<T, R> {
    let mut job = Some(job);
    move |value| match job.take() {
        Some(job) => Step::job(job),
        None => Step::Done(result(value)),
    }
}

/// The outcome of a job. An error that no operation has returned goes to the exception handler.
#[derive(Debug)]
struct Outcome {
    result: Result<()>,
    home: Option<LoopRef>,
}

impl Drop for Outcome {
    fn drop(&mut self) {
        if let Err(error) = mem::replace(&mut self.result, Ok(())) {
            report("the error of a cancelled operation on a file", error, self.home);
        }
    }
}

/// Reports to the exception handler of a loop, which may be the loop of another thread.
pub(crate) fn report(message: &'static str, error: Error, home: Option<LoopRef>) {
    let context = move |error| ExceptionContext::new(message).with_exception(error);
    match home {
        Some(home) if home.with(|_| ()).is_none() => {
            let for_loop = error.clone();
            let tell = move || context(for_loop).report(Some(home));
            if home.send(Message::Quiet(Box::new(tell))).is_err() {
                context(error).log();
            }
        }
        home => context(error).report(home),
    }
}

/// Adds the function and the file to an error. A path that contains a null byte, and text that is not UTF-8, are
/// `Value` errors, as in Python.
pub(crate) fn failed(what: &str, path: &Path, error: io::Error) -> Error {
    if path.as_os_str().as_encoded_bytes().contains(&0) {
        return Error::value(format!("{what}: {path:?}: embedded null byte"));
    }
    let text = format!("{what}: {}: {error}", path.display());
    match error.kind() {
        io::ErrorKind::InvalidData => Error::value(text),
        _ => described(text, error).into(),
    }
}

impl<T: Send + 'static> Remote<T> {
    pub(crate) fn new(value: T, path: Arc<Path>) -> Remote<T> {
        let (value, answer) = (Arc::new(Mutex::new(value)), Arc::new(Answer::new()));
        Remote { value, answer, is_busy: false, path }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The value, if no job works on it.
    pub(crate) fn value(&self) -> Option<MutexGuard<'_, T>> {
        (!self.is_busy).then(|| self.value.lock())
    }

    fn start(&mut self, site: WaitSite, job: Job<T>) -> Result<()> {
        let (value, answer) = (self.value.clone(), self.answer.clone());
        let (path, home) = (self.path.clone(), running_loop());
        on_thread(move || {
            let result = caught(|| job(&mut value.lock()));
            let result =
                result.and_then(|done| done.map_err(|error| failed(site.what(), &path, error)));
            // If the owner is gone, this drops the value here, and not on the loop's thread.
            drop(value);
            answer.give(Outcome { result, home });
        })?;
        self.is_busy = true;
        Ok(())
    }

    /// Waits until no job works on the value.
    ///
    /// # Errors
    /// The error of the job; the cancellation of this wait.
    fn poll_idle(&mut self, wait: &mut Wait, cx: &Context<'_>, site: WaitSite) -> Poll<Result<()>> {
        if !self.is_busy {
            return Poll::Ready(Ok(()));
        }
        let mut outcome = ready!(self.answer.poll(wait, cx, site))?;
        self.is_busy = false;
        Poll::Ready(mem::replace(&mut outcome.result, Ok(())))
    }

    /// Runs the operation's jobs until the operation is done.
    pub(crate) fn poll<R>(
        &mut self,
        wait: &mut Wait,
        cx: &Context<'_>,
        site: WaitSite,
        look: &mut impl FnMut(&mut T) -> Step<T, R>,
    ) -> Poll<Result<R>> {
        loop {
            ready!(self.poll_idle(wait, cx, site))?;
            let step = look(&mut self.value.lock());
            match step {
                Step::Done(done) => return Poll::Ready(Ok(done)),
                Step::Job(job) => self.start(site, job)?,
                Step::Fail(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// The future of an operation.
    pub(crate) fn operation<R, F: FnMut(&mut T) -> Step<T, R>>(
        &mut self,
        site: WaitSite,
        look: F,
    ) -> Operation<'_, T, F> {
        Operation { remote: self, look, wait: Wait::new(), site }
    }

    /// Waits for the last job, runs `job`, and drops the value on the job's thread.
    pub(crate) async fn finish(
        mut self,
        site: WaitSite,
        job: impl FnOnce(&mut T) -> io::Result<()> + Send + 'static,
    ) -> Result<()> {
        let before = self.operation(site, |_| Step::Done(())).await;
        let Remote { value, path, .. } = self;
        if before.as_ref().is_err_and(Error::is_cancelled) {
            return before;
        }
        let closed = Lookup::new(site, move || {
            let outcome = job(&mut value.lock());
            drop(value);
            outcome.map_err(|error| failed(site.what(), &path, error))
        });
        let closed = closed.await;
        before.and(closed)
    }
}

impl<T: fmt::Debug> fmt::Debug for Remote<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.path)?;
        match self.is_busy {
            true => f.write_str(" busy"),
            false => write!(f, " {:?}", self.value.lock()),
        }
    }
}

/// The future of an operation: a leaf.
pub(crate) struct Operation<'a, T, F> {
    remote: &'a mut Remote<T>,
    look: F,
    wait: Wait,
    site: WaitSite,
}

// Its contents are not pinned.
impl<T, F> Unpin for Operation<'_, T, F> {}

impl<T, R, F> Future for Operation<'_, T, F>
where
    T: Send + 'static,
    F: FnMut(&mut T) -> Step<T, R>,
{
    type Output = Result<R>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<R>> {
        let Operation { remote, look, wait, site } = self.get_mut();
        remote.poll(wait, cx, *site, look)
    }
}

impl<T, R, F> Leaf for Operation<'_, T, F>
where
    T: Send + 'static,
    F: FnMut(&mut T) -> Step<T, R>,
{
}
