//! [`as_completed`]: results in the order in which they come.

use crate::{
    awaitables::Awaitables,
    future_like::{Awaitable, Child, FutureLike, sealed::Sealed as _},
    limited::Limit,
};
use asyncio_core::{
    Error, Result, TimeoutError,
    context::current_values,
    limit::ToTimeout,
    raw::{CallbackRef, LoopRef, running_loop, sync::Mutex, with_entered},
    wait_site::WaitSite,
};
use asyncio_future::DoneCallback;
use asyncio_locks::waiters::{Deferred, Polled, QueuedWait, WaitQueue};
use futures_core::Stream;
use std::{
    collections::{HashSet, VecDeque},
    fmt,
    future::Future as StdFuture,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

/// Runs awaitables at the same time, and returns each result as it arrives (`asyncio.as_completed`),
/// as a [`Stream`]. The iteration may be interrupted and continued later. If it ends early, or at a
/// [`timeout`](AsCompleted::timeout), nothing is cancelled.
///
/// # Errors
/// Each item is the outcome of one awaitable. After a timeout, each missing outcome is an
/// `Err(Timeout)`.
///
/// # Cancellation
/// Waiting for the next item returns `Err(Cancelled)` as that item; the awaitables continue.
///
/// ```
/// #[asyncio::main]
/// async fn main() -> asyncio::Result<()> {
///     use std::time::Duration;
///     let naps = [30, 10, 20].map(|ms| async move {
///         asyncio::sleep(Duration::from_millis(ms)).await?;
///         Ok(ms)
///     });
///     let mut soonest = asyncio::as_completed(naps);
///     while let Some(ms) = soonest.next().await {
///         println!("{}", ms?);
///     }
///     Ok(())
/// }
/// ```
#[doc(alias = "asyncio.as_completed")]
#[track_caller]
pub fn as_completed<I, T>(awaitables: I) -> AsCompleted<T>
where
    I: Awaitables<T>,
    T: 'static,
{
    let site = WaitSite::here(&"as_completed");
    let (limit, mut known) = (Limit::default(), HashSet::new());
    let children: Vec<Child<T>> = (awaitables.into_awaitables())
        .map(|awaitable| limit.child(awaitable, site))
        .filter(|child| known.insert(FutureLike::id(&**child)))
        .collect();
    let state = State {
        home: running_loop(),
        done: VecDeque::new(),
        todo: Vec::new(),
        waiters: WaitQueue::new(),
        timer: None,
    };
    let state = Arc::new(Mutex::new(state));
    let left = children.len();
    for child in children {
        let number = state.lock().todo.len();
        let shared = state.clone();
        let listening = child
            .check_awaited_here()
            .and_then(|()| child.on_done(move || completed(&shared, number)));
        let mut state = state.lock();
        match listening {
            Ok(callback) => state.todo.push(Some((child, callback))),
            Err(error) => {
                state.todo.push(None);
                state.done.push_back(Err(error));
            }
        }
    }
    AsCompleted { state, left, limit, site, next: None }
}

type Todo<T> = Option<(Child<T>, DoneCallback)>;

/// asyncio's internal queue: the finished awaitables, and the waiters for the next one.
struct State<T> {
    /// The loop in which the callbacks run.
    home: Option<LoopRef>,
    /// An error is an entry that did not finish in time, or whose end cannot be observed here.
    done: VecDeque<Result<Child<T>>>,
    todo: Vec<Todo<T>>,
    waiters: WaitQueue,
    timer: Option<CallbackRef>,
}

impl<T> State<T> {
    fn put(&mut self, item: Result<Child<T>>, after: &mut Deferred) {
        self.done.push_back(item);
        self.waiters.wake_next(after);
    }

    /// Wakes the next waiter, if there is something for it.
    fn pass_on(&mut self, after: &mut Deferred) {
        if !self.done.is_empty() {
            self.waiters.wake_next(after);
        }
    }
}

fn completed<T>(state: &Mutex<State<T>>, number: usize) {
    let mut after = Deferred::new();
    let mut state = state.lock();
    let Some((child, _)) = state.todo.get_mut(number).and_then(Option::take) else { return };
    state.put(Ok(child), &mut after);
    if state.todo.iter().all(Option::is_none) {
        if let Some(timer) = state.timer.take() {
            timer.cancel();
        }
    }
}

fn timed_out<T: 'static>(state: &Mutex<State<T>>) {
    let mut after = Deferred::new();
    // Dropped outside the lock, together with results, whose drop is code of the program.
    let late: Vec<_>;
    let mut state = state.lock();
    late = state.todo.drain(..).flatten().collect();
    for (child, callback) in &late {
        child.remove_done_callback(callback);
        state.put(Err(Error::Timeout(TimeoutError::default())), &mut after);
    }
}

/// The stream of results that [`as_completed`] returns.
#[must_use = "the awaitables run, but their outcomes are lost unless this is awaited"]
pub struct AsCompleted<T> {
    state: Arc<Mutex<State<T>>>,
    left: usize,
    limit: Limit,
    site: WaitSite,
    next: Option<NextCompleted<T>>,
}

impl<T: 'static> AsCompleted<T> {
    /// Sets how many of the coroutines run at once: see [`Gather::limit`](crate::Gather::limit).
    ///
    /// ```
    /// #[asyncio::main]
    /// async fn main() -> asyncio::Result<()> {
    ///     let mut in_order = asyncio::as_completed((1..=3).map(async |n| Ok(n))).limit(1);
    ///     while let Some(n) = in_order.next().await {
    ///         println!("{}", n?);
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub fn limit(self, limit: usize) -> Self {
        self.limit.set(limit);
        self
    }

    /// Stops waiting after this time.
    pub fn timeout(self, timeout: impl ToTimeout) -> Self {
        if let (Some(timeout), true) = (timeout.to_timeout(), self.left > 0) {
            with_entered(|scheduler| {
                let when = scheduler.timers.time().saturating_add(timeout);
                let state = self.state.clone();
                let expire = move || {
                    timed_out(&state);
                    Ok(())
                };
                let timer = scheduler.call_at(when, expire, current_values(), self.site.location());
                self.state.lock().timer = timer.ok();
            });
        }
        self
    }

    /// Returns the next result; `None` when there are no more (`async for`). This is the stream's `next`
    /// without its trait.
    ///
    /// # Errors
    /// The error of an awaitable is an item, and so is a `Timeout` for each one that is missing
    /// after [`timeout`](AsCompleted::timeout).
    ///
    /// # Cancellation
    /// Returns `Err(Cancelled)` as that item; the awaitables continue. Dropping the future loses no
    /// result.
    #[allow(clippy::should_implement_trait, reason = "it is that of a stream")]
    #[doc(alias("async for", "__anext__"))]
    pub fn next(&mut self) -> NextItem<'_, T, T> {
        NextItem { of: self, read: |child| child.retrieve() }
    }

    /// Returns the next item as a future of its own (asyncio's plain iteration): whichever of
    /// several such futures is awaited first gets the first result. `None` when there are as many
    /// as awaitables.
    pub fn next_future(&mut self) -> Option<NextCompleted<T>> {
        self.left = self.left.checked_sub(1)?;
        let (state, site) = (self.state.clone(), self.site);
        Some(NextCompleted { state, site, place: QueuedWait::new() })
    }

    /// Returns a stream of the tasks and futures themselves as they finish, instead of their
    /// results (asyncio's asynchronous iteration). An error of the stream is a timeout or a
    /// cancellation.
    pub fn futures(self) -> Completed<T> {
        Completed(self)
    }

    fn poll_child(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Child<T>>>> {
        if self.next.is_none() {
            self.next = self.next_future();
        }
        let Some(next) = &mut self.next else { return Poll::Ready(None) };
        let child = ready!(next.poll_child(cx));
        self.next = None;
        Poll::Ready(Some(child))
    }
}

impl<T> Unpin for AsCompleted<T> {}

impl<T: 'static> Stream for AsCompleted<T> {
    type Item = Result<T>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<T>>> {
        let child = ready!(self.poll_child(cx));
        Poll::Ready(child.map(|child| child.and_then(|child| child.retrieve())))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.left + usize::from(self.next.is_some());
        (left, Some(left))
    }
}

/// The stream of [`AsCompleted::futures`].
#[must_use = "streams do nothing unless they are polled"]
pub struct Completed<T>(AsCompleted<T>);

impl<T: 'static> Completed<T> {
    /// Returns the next task or future that is done; `None` when there are no more: see
    /// [`AsCompleted::next`].
    ///
    /// # Errors
    /// `Timeout` for each one that is missing after [`AsCompleted::timeout`].
    ///
    /// # Cancellation
    /// As there.
    #[allow(clippy::should_implement_trait, reason = "it is that of a stream")]
    pub fn next(&mut self) -> NextItem<'_, T, Awaitable<T>> {
        NextItem { of: &mut self.0, read: |child| Ok(child.into_awaitable()) }
    }
}

impl<T: 'static> Stream for Completed<T> {
    type Item = Result<Awaitable<T>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let child = ready!(self.0.poll_child(cx));
        Poll::Ready(child.map(|child| child.map(Child::into_awaitable)))
    }
}

/// The future of [`AsCompleted::next`] and [`Completed::next`].
#[must_use = "futures do nothing unless they are awaited"]
pub struct NextItem<'a, T, R> {
    of: &'a mut AsCompleted<T>,
    read: fn(Child<T>) -> Result<R>,
}

impl<T: 'static, R> StdFuture for NextItem<'_, T, R> {
    type Output = Option<Result<R>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<R>>> {
        let child = ready!(self.of.poll_child(cx));
        Poll::Ready(child.map(|child| child.and_then(self.read)))
    }
}

impl<T, R> Drop for NextItem<'_, T, R> {
    fn drop(&mut self) {
        if let Some(next) = &mut self.of.next {
            next.leave();
        }
    }
}

/// The future of [`AsCompleted::next_future`].
#[must_use = "futures do nothing unless they are awaited"]
pub struct NextCompleted<T> {
    state: Arc<Mutex<State<T>>>,
    site: WaitSite,
    place: QueuedWait,
}

impl<T: 'static> NextCompleted<T> {
    fn poll_child(&mut self, cx: &mut Context<'_>) -> Poll<Result<Child<T>>> {
        let mut after = Deferred::new();
        let mut state = self.state.lock();
        if let (Some(home), true) = (state.home, state.done.is_empty()) {
            home.check_awaited_here(self.site.what())?;
        }
        if self.place.is_taken() {
            match state.waiters.poll(&mut self.place, cx, self.site, &mut after) {
                Polled::Pending => return Poll::Pending,
                Polled::Moved => {
                    state.pass_on(&mut after);
                    return Poll::Pending;
                }
                Polled::Woken => {}
                Polled::Cancelled { error, woken } => {
                    if woken {
                        state.pass_on(&mut after);
                    }
                    return Poll::Ready(Err(error));
                }
            }
        }
        if let Some(item) = state.done.pop_front() {
            return Poll::Ready(item);
        }
        state.waiters.join(&mut self.place, cx, self.site);
        Poll::Pending
    }
}

impl<T> Unpin for NextCompleted<T> {}

impl<T: 'static> StdFuture for NextCompleted<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        let child = ready!(self.poll_child(cx));
        Poll::Ready(child.and_then(|child| child.retrieve()))
    }
}

impl<T> NextCompleted<T> {
    /// Ends the wait. If it was woken, the wake-up goes to the next waiter.
    fn leave(&mut self) {
        let mut after = Deferred::new();
        let mut state = self.state.lock();
        if state.waiters.leave(&mut self.place, &mut after) {
            state.pass_on(&mut after);
        }
    }
}

impl<T> Drop for NextCompleted<T> {
    fn drop(&mut self) {
        self.leave();
    }
}

impl<T> fmt::Debug for AsCompleted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}, {} left>", self.site, self.left)
    }
}

impl<T> fmt::Debug for Completed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T, R> fmt::Debug for NextItem<'_, T, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<next of {:?}>", self.of)
    }
}

impl<T> fmt::Debug for NextCompleted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<next of {}>", self.site)
    }
}
