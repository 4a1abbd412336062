//! [`amap`]: one coroutine function over many items, a limited number at a time.

use crate::{TaskGroup, taskgroups::enter_at};
use asyncio_core::{Result, wait_site::WaitSite};
use std::{
    cell::RefCell,
    fmt,
    future::{Future, IntoFuture},
    iter::Enumerate,
    pin::Pin,
    rc::Rc,
};

/// Calls `function` with each item, in tasks that run at the same time, and returns the results in the order
/// of the items (anyio's `amap`). [`limit`](Amap::limit) sets the largest number of tasks. asyncio has no
/// counterpart: its `gather` starts everything at once.
///
/// An item is taken from the iterator only when a task is free for it, so the list may be endless.
///
/// # Errors
/// The first error cancels the other tasks. When all have ended, the errors are returned as one `Group`, as by
/// a [`TaskGroup`].
///
/// # Cancellation
/// Cancels the tasks, and returns `Err(Cancelled)` when they have ended. Dropping the future cancels them.
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
///     let squares = asyncio::amap(fetch, 1..=4).limit(2).await?;
///     assert_eq!(squares, [1, 4, 9, 16]);
///     Ok(())
/// }
/// ```
#[track_caller]
pub fn amap<F, I, T>(function: F, items: I) -> Amap<F, I::IntoIter>
where
    F: AsyncFn(I::Item) -> Result<T> + 'static,
    I: IntoIterator,
{
    Amap { function, items: items.into_iter(), limit: usize::MAX, site: WaitSite::here(&"amap") }
}

/// The value that [`amap`] returns. Awaiting it runs it.
#[must_use = "nothing runs unless this is awaited"]
pub struct Amap<F, I> {
    function: F,
    items: I,
    limit: usize,
    site: WaitSite,
}

impl<F, I> Amap<F, I> {
    /// Sets how many items are processed at once; at least one.
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit.max(1);
        self
    }
}

impl<F, I, T> IntoFuture for Amap<F, I>
where
    F: AsyncFn(I::Item) -> Result<T> + 'static,
    I: Iterator + 'static,
    T: 'static,
{
    type Output = Result<Vec<T>>;
    type IntoFuture = Pin<Box<dyn Future<Output = Result<Vec<T>>>>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(run(self))
    }
}

/// The data that the tasks share.
struct Work<F, I: Iterator, T> {
    function: F,
    items: RefCell<Enumerate<I>>,
    results: RefCell<Vec<(usize, T)>>,
}

impl<F, I: Iterator, T> Work<F, I, T> {
    fn next(&self) -> Option<(usize, I::Item)> {
        self.items.borrow_mut().next()
    }
}

async fn run<F, I, T>(map: Amap<F, I>) -> Result<Vec<T>>
where
    F: AsyncFn(I::Item) -> Result<T> + 'static,
    I: Iterator + 'static,
    T: 'static,
{
    let Amap { function, items, limit, site } = map;
    let items = RefCell::new(items.enumerate());
    let work = Rc::new(Work { function, items, results: RefCell::default() });
    let group = TaskGroup::at(site);
    enter_at(group, site, async |group| {
        for _ in 0..limit {
            let Some(mut item) = work.next() else { break };
            let work = work.clone();
            drop(group.create_task(async move {
                loop {
                    let value = (work.function)(item.1).await?;
                    work.results.borrow_mut().push((item.0, value));
                    let Some(next) = work.next() else { return Ok(()) };
                    item = next;
                }
            }));
        }
        Ok(())
    })
    .await?;
    let mut results = work.results.take();
    results.sort_by_key(|(index, _)| *index);
    Ok(results.into_iter().map(|(_, value)| value).collect())
}

impl<F, I> fmt::Debug for Amap<F, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}>", self.site)
    }
}
