//! [`gather`]: several awaitables at once, their results in order.

use crate::future_like::{Child, FutureLike};
use asyncio_core::{
    CancelledError, Error, Result,
    sync::{AtomicBool, Mutex, Ordering},
    wait::Target,
    wait_site::WaitSite,
};
use asyncio_future::{Future, Take};
use std::{collections::HashMap, fmt, future::IntoFuture, sync::Arc};

/// Runs awaitables at once and gives their results in argument order (`asyncio.gather`).
///
/// Coroutines become tasks at this call; the same task or future given twice is awaited once. The
/// first error comes out at once, and the others run on; with
/// [`return_exceptions`](Gather::return_exceptions) errors stand in the list instead. For results of
/// different types there is the macro `gather!(a, b, c)`.
///
/// # Cancellation
/// Cancels every child, and returns `Err(Cancelled)` when they have ended: at the first that was
/// cancelled, or with `return_exceptions` at the last. A child that is cancelled by somebody else
/// counts as failed with `Cancelled`.
///
/// ```
/// # async fn example() -> asyncio_core::Result<()> {
/// let squares = asyncio_task::gather((1..4).map(async |n| Ok(n * n))).await?;
/// assert_eq!(squares, [1, 4, 9]);
/// # Ok(()) }
/// ```
#[track_caller]
pub fn gather<I, T>(awaitables: I) -> Gather<T>
where
    I: IntoIterator,
    I::Item: IntoFuture<Output = Result<T>>,
    <I::Item as IntoFuture>::IntoFuture: 'static,
    T: 'static,
{
    let site = WaitSite::here("gather");
    let children = awaitables
        .into_iter()
        .map(|a| Box::new(Child::ensure(a, site.location())) as Box<dyn Part<T>>)
        .collect();
    Gather::start(children, site)
}

/// What [`gather`] returns. Awaiting it gives the results.
#[must_use = "the awaitables run, but nobody sees how they end"]
pub struct Gather<T> {
    gathering: Arc<Mutex<Gathering<T>>>,
    site: WaitSite,
}

/// What [`Gather::return_exceptions`] returns.
#[must_use = "the awaitables run, but nobody sees how they end"]
pub struct GatherAll<T>(Gather<T>);

impl<T: 'static> Gather<T> {
    pub(crate) fn start(children: Vec<Box<dyn Part<T>>>, site: WaitSite) -> Gather<T> {
        Gather { gathering: Gathering::start(children), site }
    }

    /// Lets errors stand in the list of results, so that it is complete.
    pub fn return_exceptions(self) -> GatherAll<T> {
        GatherAll(self)
    }

    /// The future itself, which can be cancelled, given callbacks, and awaited by many.
    pub fn into_inner(self) -> Future<Vec<T>> {
        let future = Future::of_operation(self.site, Some(canceller(&self.gathering)));
        Gathering::finish_into(&self.gathering, Outer::Results(future.clone()));
        future
    }
}

impl<T: 'static> GatherAll<T> {
    /// The future itself, which can be cancelled, given callbacks, and awaited by many.
    pub fn into_inner(self) -> Future<Vec<Result<T>>> {
        let future = Future::of_operation(self.0.site, Some(canceller(&self.0.gathering)));
        Gathering::finish_into(&self.0.gathering, Outer::Outcomes(future.clone()));
        future
    }
}

impl<T: 'static> IntoFuture for Gather<T> {
    type Output = Result<Vec<T>>;
    type IntoFuture = Take<Vec<T>>;

    fn into_future(self) -> Take<Vec<T>> {
        self.into_inner().take()
    }
}

impl<T: 'static> IntoFuture for GatherAll<T> {
    type Output = Result<Vec<Result<T>>>;
    type IntoFuture = Take<Vec<Result<T>>>;

    fn into_future(self) -> Take<Vec<Result<T>>> {
        self.into_inner().take()
    }
}

impl<T> fmt::Debug for Gather<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}>", self.site)
    }
}

impl<T> fmt::Debug for GatherAll<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The future that the caller has, once it has said which it wants.
enum Outer<T> {
    Undecided,
    Results(Future<Vec<T>>),
    Outcomes(Future<Vec<Result<T>>>),
}

struct Gathering<T> {
    /// Each child once.
    children: Vec<Box<dyn Part<T>>>,
    /// For each argument its child.
    arguments: Vec<usize>,
    /// The children that are done, in the order in which that was seen.
    finished: Vec<usize>,
    outer: Outer<T>,
    request: Arc<Request>,
}

/// What cancels the children. It knows nothing of `T`, so that it can be sent anywhere.
struct Request {
    children: Vec<Target>,
    made: AtomicBool,
}

fn canceller<T>(gathering: &Mutex<Gathering<T>>) -> asyncio_future::Canceller {
    let request = gathering.lock().request.clone();
    Box::new(move |error| {
        let mut accepted = false;
        for child in &request.children {
            accepted |= child.cancel(error.clone());
        }
        if accepted {
            request.made.store(true, Ordering::Relaxed);
        }
        accepted
    })
}

impl<T: 'static> Gathering<T> {
    fn start(given: Vec<Box<dyn Part<T>>>) -> Arc<Mutex<Gathering<T>>> {
        let (mut children, mut arguments, mut known) = (Vec::new(), Vec::new(), HashMap::new());
        for child in given {
            let index = *known.entry(child.id()).or_insert(children.len());
            if index == children.len() {
                children.push(child);
            }
            arguments.push(index);
        }
        let targets = arguments.iter().map(|&n| children[n].target()).collect();
        let request = Arc::new(Request { children: targets, made: AtomicBool::new(false) });
        let outer = Outer::Undecided;
        let finished = Vec::new();
        let this = Gathering { children, arguments, finished, outer, request };
        let this = Arc::new(Mutex::new(this));
        Gathering::listen(&this);
        this
    }

    /// Done children are accounted for at once, the others when they are done.
    fn listen(this: &Arc<Mutex<Gathering<T>>>) {
        let mut gathering = this.lock();
        for index in 0..gathering.children.len() {
            let child = &*gathering.children[index];
            let listening = !child.done() && {
                let this = this.clone();
                child.listen(Box::new(move || this.lock().child_done(index)))
            };
            if !listening {
                gathering.finished.push(index);
            }
        }
    }

    /// Decides what the caller gets, and catches up with what has happened so far.
    fn finish_into(this: &Mutex<Gathering<T>>, outer: Outer<T>) {
        let mut gathering = this.lock();
        gathering.outer = outer;
        if gathering.children.is_empty() {
            return gathering.complete();
        }
        let so_far = std::mem::take(&mut gathering.finished);
        so_far.into_iter().for_each(|index| gathering.child_done(index));
    }

    fn child_done(&mut self, index: usize) {
        self.finished.push(index);
        let child = &*self.children[index];
        match &self.outer {
            Outer::Undecided => return,
            Outer::Results(outer) if outer.done() => return forget(child),
            Outer::Outcomes(outer) if outer.done() => return forget(child),
            Outer::Results(outer) => {
                let error = child.exception().unwrap_or_else(Some);
                if let Some(error) = error {
                    // A child that cannot even be listened to has failed as well.
                    let _ = outer.set_exception(error);
                    return;
                }
            }
            Outer::Outcomes(_) => {}
        }
        if self.finished.len() == self.children.len() {
            self.complete();
        }
    }

    /// Every child is done.
    fn complete(&mut self) {
        let cancelled = self.request.made.load(Ordering::Relaxed);
        let outcomes: Vec<Result<T>> =
            self.arguments.iter().map(|&n| self.children[n].outcome()).collect();
        if cancelled {
            let last = self.arguments.last().map(|&n| self.children[n].exception());
            // A bare cancellation, if the last child swallowed its own.
            let error = match last {
                Some(Err(error @ Error::Cancelled(_))) => error,
                _ => Error::Cancelled(CancelledError::default()),
            };
            let _ = match &self.outer {
                Outer::Undecided => Ok(()),
                Outer::Results(outer) => outer.set_exception(error),
                Outer::Outcomes(outer) => outer.set_exception(error),
            };
            return;
        }
        match &self.outer {
            Outer::Undecided => {}
            Outer::Outcomes(outer) => drop(outer.set_result(outcomes)),
            Outer::Results(outer) => match outcomes.into_iter().collect::<Result<Vec<T>>>() {
                Ok(results) => drop(outer.set_result(results)),
                Err(error) => drop(outer.set_exception(error)),
            },
        }
    }
}

/// The error of a child that fails after the end is nobody's any more.
fn forget<T>(child: &dyn Part<T>) {
    if !child.cancelled() {
        let _ = child.exception();
    }
}

/// A child of a gathering whose results are `T`.
pub(crate) trait Part<T> {
    fn id(&self) -> usize;
    fn done(&self) -> bool;
    fn cancelled(&self) -> bool;
    fn exception(&self) -> Result<Option<Error>>;
    fn target(&self) -> Target;
    /// Calls `callback` when it is done; false if that cannot be.
    fn listen(&self, callback: Box<dyn FnOnce()>) -> bool;
    /// How it ended, for the list of results.
    fn outcome(&self) -> Result<T>;
}

impl<T: 'static> Part<T> for Child<T> {
    fn id(&self) -> usize {
        FutureLike::id(&**self)
    }
    fn done(&self) -> bool {
        FutureLike::done(&**self)
    }
    fn cancelled(&self) -> bool {
        FutureLike::cancelled(&**self)
    }
    fn exception(&self) -> Result<Option<Error>> {
        FutureLike::exception(&**self)
    }
    fn target(&self) -> Target {
        FutureLike::target(&**self)
    }
    fn listen(&self, callback: Box<dyn FnOnce()>) -> bool {
        self.on_done(callback).is_ok()
    }
    fn outcome(&self) -> Result<T> {
        match self.cancelled() {
            true => Err(Error::Cancelled(self.later_message())),
            false => self.retrieve(),
        }
    }
}

/// A child of another type, and what makes a `T` of its result. It is never the same as another.
pub(crate) struct Mapped<A, T>(pub(crate) Child<A>, pub(crate) fn(A) -> T);

impl<A: 'static, T: 'static> Part<T> for Mapped<A, T> {
    fn id(&self) -> usize {
        &raw const *self as usize
    }
    fn done(&self) -> bool {
        self.0.done()
    }
    fn cancelled(&self) -> bool {
        self.0.cancelled()
    }
    fn exception(&self) -> Result<Option<Error>> {
        self.0.exception()
    }
    fn target(&self) -> Target {
        self.0.target()
    }
    fn listen(&self, callback: Box<dyn FnOnce()>) -> bool {
        self.0.listen(callback)
    }
    fn outcome(&self) -> Result<T> {
        self.0.outcome().map(self.1)
    }
}
