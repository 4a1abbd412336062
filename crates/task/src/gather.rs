//! [`gather`]: runs several awaitables at once, and returns their results in order.

use crate::{
    awaitables::Awaitables,
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

/// Runs awaitables at the same time, and returns their results in argument order
/// (`asyncio.gather`).
///
/// Coroutines become tasks at this call. If the same task or future is passed twice, it is awaited once.
/// The first error is returned immediately, and the other awaitables continue; with
/// [`return_exceptions`](Gather::return_exceptions), errors are in the list instead. If copying or
/// collecting a result panics, the error is an `Error::Panic`.
///
/// The items of a list have one type: calls of the same coroutine function, or tasks. Two `async fn`s have
/// two types, even if their results have the same type. So `asyncio.gather(a(), b())` is the macro
/// `gather!(a(), b())`, which returns a tuple.
///
/// # Cancellation
/// Cancels every child. Returns `Err(Cancelled)` when the first cancelled child has ended or, with
/// `return_exceptions`, when the last one has. A child that is cancelled from elsewhere counts as
/// failed with `Cancelled`.
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
    I: Awaitables<T>,
    T: 'static,
{
    let site = WaitSite::here(&"gather");
    let limit = Limit::default();
    let child = |awaitable| Box::new(limit.child(awaitable, site)) as Box<_>;
    let gathering = Gathering::start(awaitables.into_awaitables().map(child));
    Gather { gathering, limit, site }
}

/// The value that [`gather`] returns. Awaiting it returns the results.
#[must_use = "the awaitables run, but their outcomes are lost unless this is awaited"]
pub struct Gather<T> {
    gathering: Arc<Mutex<Gathering<T>>>,
    limit: Limit,
    site: WaitSite,
}

/// The value that [`Gather::return_exceptions`] returns.
#[must_use = "the awaitables run, but their outcomes are lost unless this is awaited"]
pub struct GatherAll<T>(Gather<T>);

impl<T: 'static> Gather<T> {
    /// Each child is created after a callback was added to the previous one.
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
    /// Errors and cancellation work as without a limit: the first error is returned immediately, and the other
    /// coroutines start in their turn. A coroutine that has not started when the `gather` is cancelled never
    /// starts.
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

    /// Returns errors in the list of results, so that the list is complete.
    pub fn return_exceptions(self) -> GatherAll<T> {
        GatherAll(self)
    }

    /// Collects the results into a collection other than a `Vec`, or into any other type that can
    /// be collected from them. [`into_inner`](Take::into_inner) of the returned future corresponds
    /// to `into_inner` here.
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

    /// Collects the outcomes into a collection other than a `Vec`: see [`Gather::collect`].
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

/// The caller's future, whatever it collects.
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

// None of these can fail, unless the future was set elsewhere; then that result stays.
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
    /// Every child, once.
    children: Vec<Box<dyn Part<T>>>,
    /// The child of each argument.
    arguments: Vec<usize>,
    /// The children that are done, in the order in which this was noticed.
    finished: Vec<usize>,
    /// `None` until the caller has chosen the result.
    outer: Option<Box<dyn Outer<T>>>,
    cancel_requested: Arc<AtomicBool>,
}

/// The parts to which a request goes. They do not depend on `T`, so they can be sent anywhere.
fn parts<T>(gathering: &Mutex<Gathering<T>>) -> Parts {
    let gathering = gathering.lock();
    let of_argument = |&index: &usize| gathering.children[index].target();
    let targets = gathering.arguments.iter().map(of_argument).collect();
    Parts::new(targets, gathering.cancel_requested.clone())
}

impl<T: 'static> Gathering<T> {
    /// Children that are done are counted immediately, the others when they are done.
    fn start(given: impl IntoIterator<Item = Box<dyn Part<T>>>) -> Arc<Mutex<Gathering<T>>> {
        let this = Arc::new(Mutex::new(Gathering {
            children: Vec::new(),
            arguments: Vec::new(),
            finished: Vec::new(),
            outer: None,
            cancel_requested: Arc::default(),
        }));
        let mut known = HashMap::new();
        // Not locked here, because creating a child may start it eagerly.
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

    /// Sets the caller's result, and catches up with the children that are already done.
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
            // A cancelled child counts as failed.
            if let Some(error) = child.exception().unwrap_or_else(Some) {
                return outer.fail(error);
            }
        }
        if gathering.finished.len() == gathering.children.len() {
            Gathering::complete(gathering);
        }
    }

    /// Completes the result when every child is done. Reading and collecting the results runs code
    /// of the program (`Clone`, `FromIterator`), which may call back here, and may panic.
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

/// The last callback of a child has been dropped: it has run, or the loop is closed.
impl<T> Drop for Gathering<T> {
    fn drop(&mut self) {
        if let Some(outer) = &self.outer {
            outer.abandon();
        }
    }
}

/// The error of a child that fails after the end has no receiver.
fn forget<T>(child: &dyn Part<T>) {
    if !child.cancelled() {
        let _ = child.exception();
    }
}

/// A child of a `gather` whose results are `T`.
pub(crate) trait Part<T> {
    fn id(&self) -> usize;
    fn done(&self) -> bool;
    fn cancelled(&self) -> bool;
    fn exception(&self) -> Result<Option<Error>>;
    fn target(&self) -> Target;
    /// Calls `callback` when it is done.
    ///
    /// # Errors
    /// `Runtime` if it cannot be awaited here.
    fn listen(&self, callback: Box<dyn FnOnce()>) -> Result<()>;
    /// Returns its outcome, for the list of results.
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

/// A child of another type, and the function that makes a `T` of its result. It is never equal to
/// another child.
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

/// A child that cannot be awaited here, and the reason: it counts as failed.
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
