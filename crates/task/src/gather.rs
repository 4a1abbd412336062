//! [`gather`]: several awaitables at once, their results in order.

use crate::{
    future_like::{Child, FutureLike, sealed::Sealed as _},
    limited::Limit,
};
use asyncio_core::{
    CancelledError, Error, Result,
    raw::{
        caught,
        sync::{AtomicBool, Mutex, MutexGuard, Ordering},
    },
    wait::{Parts, Target},
    wait_site::WaitSite,
};
use asyncio_future::{Future, Take};
use std::{collections::HashMap, fmt, future::IntoFuture, sync::Arc};

/// Runs awaitables at once and gives their results in argument order (`asyncio.gather`).
///
/// Coroutines become tasks at this call; the same task or future given twice is awaited once. The
/// first error comes out at once, and the others run on; with
/// [`return_exceptions`](Gather::return_exceptions) errors stand in the list instead. If a result cannot
/// be copied or collected because that panics, `Error::Panic` comes out.
///
/// The items of a list have one type: the calls of one coroutine function, or tasks. Two `async fn`s are two
/// types, even if their results are of the same one, so `asyncio.gather(a(), b())` is the macro
/// `gather!(a(), b())`, which gives a tuple.
///
/// # Cancellation
/// Cancels every child, and returns `Err(Cancelled)` when they have ended: at the first that was
/// cancelled, or with `return_exceptions` at the last. A child that is cancelled from elsewhere
/// counts as failed with `Cancelled`.
///
/// ```
/// #[asyncio::main]
/// async fn main() -> asyncio::Result<()> {
///     let squares = asyncio::gather((1..4).map(async |n| Ok(n * n))).await?;
///     assert_eq!(squares, [1, 4, 9]);
///     Ok(())
/// }
/// ```
#[doc(alias = "asyncio.gather")]
#[track_caller]
pub fn gather<I, T>(awaitables: I) -> Gather<T>
where
    I: IntoIterator,
    I::Item: IntoFuture<Output = Result<T>>,
    <I::Item as IntoFuture>::IntoFuture: 'static,
    T: 'static,
{
    let site = WaitSite::here(&"gather");
    let limit = Limit::default();
    let child = |awaitable| Box::new(limit.child(awaitable, site)) as Box<_>;
    let gathering = Gathering::start(awaitables.into_iter().map(child));
    Gather { gathering, limit, site }
}

/// What [`gather`] returns. Awaiting it gives the results.
#[must_use = "the awaitables run, but their outcomes are lost unless this is awaited"]
pub struct Gather<T> {
    gathering: Arc<Mutex<Gathering<T>>>,
    limit: Limit,
    site: WaitSite,
}

/// What [`Gather::return_exceptions`] returns.
#[must_use = "the awaitables run, but their outcomes are lost unless this is awaited"]
pub struct GatherAll<T>(Gather<T>);

impl<T: 'static> Gather<T> {
    /// A child is made when the one before it is listened to.
    pub(crate) fn start(
        children: impl IntoIterator<Item = Box<dyn Part<T>>>,
        site: WaitSite,
    ) -> Gather<T> {
        Gather { gathering: Gathering::start(children), limit: Limit::default(), site }
    }

    /// Sets how many of the coroutines run at once; at least one. They start in the order of the arguments, each
    /// when an earlier one ends. Tasks and futures among the arguments are already running, and do not count; nor
    /// do coroutines that an eager task factory has started in the call.
    ///
    /// Errors and cancellation are as without a limit: the first error comes out at once, and the others begin in
    /// their turn; a coroutine that has not begun when the gathering is cancelled never begins.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// async fn fetch(n: u32) -> asyncio::Result<u32> {
    ///     asyncio::sleep(Duration::from_millis(1)).await?;
    ///     Ok(n * n)
    /// }
    ///
    /// #[asyncio::main]
    /// async fn main() -> asyncio::Result<()> {
    ///     assert_eq!(asyncio::gather((1..=4).map(fetch)).limit(2).await?, [1, 4, 9, 16]);
    ///     Ok(())
    /// }
    /// ```
    pub fn limit(self, limit: usize) -> Self {
        self.limit.set(limit);
        self
    }

    /// Lets errors stand in the list of results, so that it is complete.
    pub fn return_exceptions(self) -> GatherAll<T> {
        GatherAll(self)
    }

    /// Gives the results in another collection than a `Vec`, or as whatever else is made from them.
    /// Of the future, [`into_inner`](Take::into_inner) gives what `into_inner` gives here.
    ///
    /// ```
    /// use std::collections::HashSet;
    ///
    /// #[asyncio::main]
    /// async fn main() -> asyncio::Result<()> {
    ///     let parities: HashSet<i32> = asyncio::gather((1..9).map(async |n| Ok(n % 2))).collect().await?;
    ///     assert_eq!(parities.len(), 2);
    ///     Ok(())
    /// }
    /// ```
    pub fn collect<C: FromIterator<T> + 'static>(self) -> Take<C> {
        let future = self.future();
        Gathering::finish_into(&self.gathering, Box::new(Results(future.clone())));
        future.take()
    }

    /// Returns the underlying future, which can be cancelled, take callbacks, and be awaited by
    /// several tasks.
    pub fn into_inner(self) -> Future<Vec<T>> {
        self.collect().into_inner()
    }

    fn future<C>(&self) -> Future<C> {
        Future::of_loop(self.site, Some(parts(&self.gathering)))
    }
}

impl<T: 'static> GatherAll<T> {
    /// Sets how many of the coroutines run at once: see [`Gather::limit`].
    pub fn limit(self, limit: usize) -> Self {
        GatherAll(self.0.limit(limit))
    }

    /// Gives the outcomes in another collection than a `Vec`: see [`Gather::collect`].
    pub fn collect<C: FromIterator<Result<T>> + 'static>(self) -> Take<C> {
        let future = self.0.future();
        Gathering::finish_into(&self.0.gathering, Box::new(Outcomes(future.clone())));
        future.take()
    }

    /// Returns the underlying future, which can be cancelled, take callbacks, and be awaited by
    /// several tasks.
    pub fn into_inner(self) -> Future<Vec<Result<T>>> {
        self.collect().into_inner()
    }
}

impl<T: 'static> IntoFuture for Gather<T> {
    type Output = Result<Vec<T>>;
    type IntoFuture = Take<Vec<T>>;

    fn into_future(self) -> Take<Vec<T>> {
        self.collect()
    }
}

impl<T: 'static> IntoFuture for GatherAll<T> {
    type Output = Result<Vec<Result<T>>>;
    type IntoFuture = Take<Vec<Result<T>>>;

    fn into_future(self) -> Take<Vec<Result<T>>> {
        self.collect()
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

/// The future that the caller has, whatever it collects.
trait Outer<T> {
    fn done(&self) -> bool;
    /// Whether the first error is the result.
    fn ends_at_error(&self) -> bool;
    fn fail(&self, error: Error);
    fn complete(&self, outcomes: Vec<Result<T>>);
    fn abandon(&self);
}

struct Results<C>(Future<C>);
struct Outcomes<C>(Future<C>);

// None of these can fail, except for a future that was set elsewhere: then that stays.
impl<T, C: FromIterator<T>> Outer<T> for Results<C> {
    fn done(&self) -> bool {
        self.0.done()
    }
    fn ends_at_error(&self) -> bool {
        true
    }
    fn fail(&self, error: Error) {
        let _ = self.0.set_exception(error);
    }
    fn abandon(&self) {
        self.0.abandon();
    }
    fn complete(&self, outcomes: Vec<Result<T>>) {
        match outcomes.into_iter().collect() {
            Ok(results) => drop(self.0.set_result(results)),
            Err(error) => self.fail(error),
        }
    }
}

impl<T, C: FromIterator<Result<T>>> Outer<T> for Outcomes<C> {
    fn done(&self) -> bool {
        self.0.done()
    }
    fn ends_at_error(&self) -> bool {
        false
    }
    fn fail(&self, error: Error) {
        let _ = self.0.set_exception(error);
    }
    fn abandon(&self) {
        self.0.abandon();
    }
    fn complete(&self, outcomes: Vec<Result<T>>) {
        drop(self.0.set_result(outcomes.into_iter().collect()));
    }
}

struct Gathering<T> {
    /// Each child once.
    children: Vec<Box<dyn Part<T>>>,
    /// For each argument its child.
    arguments: Vec<usize>,
    /// The children that are done, in the order in which that was seen.
    finished: Vec<usize>,
    /// Not there until the caller has said what it wants.
    outer: Option<Box<dyn Outer<T>>>,
    cancel_requested: Arc<AtomicBool>,
}

/// What a request goes to. It knows nothing of `T`, so that it can be sent anywhere.
fn parts<T>(gathering: &Mutex<Gathering<T>>) -> Parts {
    let gathering = gathering.lock();
    let of_argument = |&index: &usize| gathering.children[index].target();
    let targets = gathering.arguments.iter().map(of_argument).collect();
    Parts::new(targets, gathering.cancel_requested.clone())
}

impl<T: 'static> Gathering<T> {
    /// Done children are accounted for at once, the others when they are done.
    fn start(given: impl IntoIterator<Item = Box<dyn Part<T>>>) -> Arc<Mutex<Gathering<T>>> {
        let this = Arc::new(Mutex::new(Gathering {
            children: Vec::new(),
            arguments: Vec::new(),
            finished: Vec::new(),
            outer: None,
            cancel_requested: Arc::default(),
        }));
        let mut known = HashMap::new();
        // Not locked meanwhile: what makes a child may start it eagerly.
        for child in given {
            let mut gathering = this.lock();
            let new = gathering.children.len();
            let index = *known.entry(child.id()).or_insert(new);
            gathering.arguments.push(index);
            if index < new {
                continue;
            }
            let done = this.clone();
            let listening = match child.done() {
                true => Ok(false),
                false => {
                    child.listen(Box::new(move || Gathering::child_done(&done, new))).map(|()| true)
                }
            };
            if !matches!(listening, Ok(true)) {
                gathering.finished.push(new);
            }
            gathering.children.push(match listening {
                Ok(_) => child,
                Err(error) => Box::new(Refused(child, error)),
            });
        }
        this
    }

    /// Decides what the caller gets, and catches up with what has happened so far.
    fn finish_into(this: &Mutex<Gathering<T>>, outer: Box<dyn Outer<T>>) {
        let mut gathering = this.lock();
        gathering.outer = Some(outer);
        if gathering.children.is_empty() {
            return Gathering::complete(gathering);
        }
        let so_far = std::mem::take(&mut gathering.finished);
        drop(gathering);
        so_far.into_iter().for_each(|index| Gathering::child_done(this, index));
    }

    fn child_done(this: &Mutex<Gathering<T>>, index: usize) {
        let mut gathering = this.lock();
        gathering.finished.push(index);
        let child = &*gathering.children[index];
        let Some(outer) = &gathering.outer else { return };
        if outer.done() {
            return forget(child);
        }
        if outer.ends_at_error() {
            // A cancelled child has failed as well.
            if let Some(error) = child.exception().unwrap_or_else(Some) {
                return outer.fail(error);
            }
        }
        if gathering.finished.len() == gathering.children.len() {
            Gathering::complete(gathering);
        }
    }

    /// Every child is done. To read and to collect the results is code of the program (`Clone`,
    /// `FromIterator`), which may come back here, and may panic.
    fn complete(mut gathering: MutexGuard<'_, Gathering<T>>) {
        let Some(outer) = gathering.outer.take() else { return };
        let children = std::mem::take(&mut gathering.children);
        let arguments = std::mem::take(&mut gathering.arguments);
        let is_cancelled = gathering.cancel_requested.load(Ordering::Relaxed);
        drop(gathering);
        let completed = caught(|| {
            let outcomes = arguments.iter().map(|&n| children[n].outcome()).collect();
            if !is_cancelled {
                return outer.complete(outcomes);
            }
            let last = arguments.last().map(|&n| children[n].exception());
            // A bare cancellation, if the last child swallowed its own.
            outer.fail(match last {
                Some(Err(error @ Error::Cancelled(_))) => error,
                _ => Error::Cancelled(CancelledError::default()),
            });
        });
        if let Err(panic) = completed {
            outer.fail(panic);
        }
    }
}

/// The last callback of a child is gone: it has run, or the loop is closed.
impl<T> Drop for Gathering<T> {
    fn drop(&mut self) {
        if let Some(outer) = &self.outer {
            outer.abandon();
        }
    }
}

/// The error of a child that fails after the end has no receiver any more.
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
    /// Calls `callback` when it is done.
    ///
    /// # Errors
    /// `Runtime` if that cannot be here.
    fn listen(&self, callback: Box<dyn FnOnce()>) -> Result<()>;
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
    fn listen(&self, callback: Box<dyn FnOnce()>) -> Result<()> {
        self.check_awaited_here()?;
        self.on_done(callback).map(drop)
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
    fn listen(&self, callback: Box<dyn FnOnce()>) -> Result<()> {
        self.0.listen(callback)
    }
    fn outcome(&self) -> Result<T> {
        self.0.outcome().map(self.1)
    }
}

/// A child that cannot be listened to here, and why: it counts as failed.
struct Refused<T>(Box<dyn Part<T>>, Error);

impl<T> Part<T> for Refused<T> {
    fn id(&self) -> usize {
        self.0.id()
    }
    fn done(&self) -> bool {
        true
    }
    fn cancelled(&self) -> bool {
        false
    }
    fn exception(&self) -> Result<Option<Error>> {
        Ok(Some(self.1.clone()))
    }
    fn target(&self) -> Target {
        self.0.target()
    }
    fn listen(&self, _: Box<dyn FnOnce()>) -> Result<()> {
        Err(self.1.clone())
    }
    fn outcome(&self) -> Result<T> {
        Err(self.1.clone())
    }
}
