//! [`Barrier`]: a number of tasks wait for each other.

use crate::{
    raw::{Hold, RawAcquire, RawLock},
    waiters::{Deferred, WaitQueue},
    waiting::{HasQueue, Waiting},
};
use asyncio_core::{
    AsyncContextManager, BrokenBarrierError, Error, Result,
    raw::sync::{Mutex, keep, mutant},
    wait_site::WaitSite,
};
use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

/// A point at which a number of tasks wait for each other (`asyncio.Barrier`). It can be used any
/// number of times.
///
/// ```text
///              the last party arrives            the last one leaves
///   ┌─ FILLING ──────────────────────► DRAINING ─────────────────────► FILLING
///   │   reset, with parties inside                the last one leaves
///   ├────────────────────────────────► RESETTING ────────────────────► FILLING
///   │   abort, from any state                     reset
///   └────────────────────────────────► BROKEN ───────────────────────► RESETTING or FILLING
/// ```
///
/// While the barrier drains or resets, a task that arrives waits for the next filling. A cancelled
/// task leaves, and another one may take its place. As in asyncio, the barrier is a condition with a
/// lock, for which [`wait`](Barrier::wait), [`reset`](Barrier::reset) and [`abort`](Barrier::abort)
/// may have to wait.
///
/// ```
/// use asyncio::Barrier;
/// use futures_lite::future::{block_on, try_zip};
/// let barrier = Barrier::new(2)?;
/// assert_eq!(block_on(try_zip(barrier.wait(), barrier.wait()))?, (0, 1));
/// # Ok::<_, asyncio::Error>(())
/// ```
#[doc(alias = "asyncio.Barrier")]
pub struct Barrier {
    parties: usize,
    raw: RawLock,
    inside: Mutex<Inside>,
}

struct Inside {
    phase: Phase,
    count: usize,
    queue: WaitQueue,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Filling,
    Draining,
    Resetting,
    Broken,
}

impl HasQueue for Inside {
    fn queue(&mut self) -> &mut WaitQueue {
        &mut self.queue
    }
}

impl Inside {
    /// Removes one party; the last one makes the barrier ready for the next filling.
    fn leave(&mut self, after: &mut Deferred) {
        self.count -= 1;
        if self.count == 0 {
            if matches!(self.phase, Phase::Draining | Phase::Resetting) {
                self.phase = Phase::Filling;
            }
            self.queue.wake_all(after);
        }
    }
}

impl Barrier {
    /// Creates a barrier for `parties` tasks.
    ///
    /// # Errors
    /// `Value` if `parties` is zero.
    ///
    /// ```
    /// use asyncio::Barrier;
    /// assert_eq!(Barrier::new(0).unwrap_err().to_string(), "parties must be > 0");
    /// ```
    pub fn new(parties: usize) -> Result<Barrier> {
        if parties == 0 {
            return Err(Error::value("parties must be > 0"));
        }
        let inside = Inside { phase: Phase::Filling, count: 0, queue: WaitQueue::new() };
        Ok(Barrier { parties, raw: RawLock::new(), inside: Mutex::new(inside) })
    }

    /// Waits until all parties have arrived (`Barrier.wait`), and returns the order of arrival,
    /// from 0 to `parties - 1`. The last party does not suspend.
    ///
    /// # Errors
    /// `Cancelled`; `BrokenBarrier` if the barrier is broken, or is aborted or reset during the
    /// wait.
    ///
    /// # Cancellation
    /// The task leaves, and does not count as arrived; the barrier is not broken. Dropping the future
    /// does the same.
    ///
    /// ```
    /// use asyncio::Barrier;
    ///
    /// #[asyncio::main]
    /// async fn main() -> asyncio::Result<()> {
    ///     assert_eq!(Barrier::new(1)?.wait().await?, 0);
    ///     Ok(())
    /// }
    /// ```
    #[doc(alias = "asyncio.Barrier.wait")]
    #[track_caller]
    pub fn wait(&self) -> BarrierWait<'_> {
        let site = WaitSite::here(&"Barrier.wait");
        BarrierWait {
            barrier: self,
            acquire: self.raw.acquire(site),
            waiting: Waiting::new(&self.raw, &self.inside, site),
            index: None,
        }
    }

    /// Resets the barrier (`Barrier.reset`). Tasks that wait get `BrokenBarrier`.
    ///
    /// # Errors
    /// Only `Cancelled`.
    ///
    /// # Cancellation
    /// Nothing is reset; dropping the future does the same.
    ///
    /// ```
    /// use asyncio::Barrier;
    ///
    /// #[asyncio::main]
    /// async fn main() -> asyncio::Result<()> {
    ///     let barrier = Barrier::new(2)?;
    ///     barrier.abort().await?;
    ///     barrier.reset().await?;
    ///     assert!(!barrier.broken());
    ///     Ok(())
    /// }
    /// ```
    #[doc(alias = "asyncio.Barrier.reset")]
    #[track_caller]
    pub fn reset(&self) -> BarrierChange<'_> {
        self.change(Phase::Resetting, WaitSite::here(&"Barrier.reset"))
    }

    /// Breaks the barrier (`Barrier.abort`). Tasks that wait, now or later, get `BrokenBarrier`, until it
    /// is [`reset`](Barrier::reset).
    ///
    /// # Errors
    /// Only `Cancelled`.
    ///
    /// # Cancellation
    /// Nothing is broken; dropping the future does the same.
    ///
    /// ```
    /// use asyncio::Barrier;
    ///
    /// #[asyncio::main]
    /// async fn main() -> asyncio::Result<()> {
    ///     let barrier = Barrier::new(2)?;
    ///     barrier.abort().await?;
    ///     assert!(barrier.broken() && barrier.wait().await.is_err());
    ///     Ok(())
    /// }
    /// ```
    #[doc(alias = "asyncio.Barrier.abort")]
    #[track_caller]
    pub fn abort(&self) -> BarrierChange<'_> {
        self.change(Phase::Broken, WaitSite::here(&"Barrier.abort"))
    }

    fn change(&self, to: Phase, site: WaitSite) -> BarrierChange<'_> {
        BarrierChange { barrier: self, acquire: self.raw.acquire(site), to }
    }

    /// Returns the number of tasks that it takes to pass the barrier (`Barrier.parties`).
    ///
    /// ```
    /// assert_eq!(asyncio::Barrier::new(3)?.parties(), 3);
    /// # Ok::<_, asyncio::Error>(())
    /// ```
    #[doc(alias = "asyncio.Barrier.parties")]
    pub fn parties(&self) -> usize {
        self.parties
    }

    /// Returns how many tasks wait for the others (`Barrier.n_waiting`), without those that are
    /// already leaving.
    ///
    /// ```
    /// assert_eq!(asyncio::Barrier::new(3)?.n_waiting(), 0);
    /// # Ok::<_, asyncio::Error>(())
    /// ```
    #[doc(alias = "asyncio.Barrier.n_waiting")]
    pub fn n_waiting(&self) -> usize {
        let inside = self.inside.lock();
        if inside.phase == Phase::Filling { inside.count } else { 0 }
    }

    /// Returns whether the barrier is broken (`Barrier.broken`).
    ///
    /// ```
    /// assert!(!asyncio::Barrier::new(3)?.broken());
    /// # Ok::<_, asyncio::Error>(())
    /// ```
    #[doc(alias = "asyncio.Barrier.broken")]
    pub fn broken(&self) -> bool {
        self.inside.lock().phase == Phase::Broken
    }
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inside = self.inside.lock();
        f.debug_struct("Barrier")
            .field("phase", &inside.phase)
            .field("inside", &inside.count)
            .field("parties", &self.parties)
            .finish()
    }
}

/// `async with barrier as index`: waits at the beginning of the block, and does nothing at its end.
impl AsyncContextManager for &Barrier {
    type Target = usize;

    async fn enter(&mut self) -> Result<usize> {
        self.wait().await
    }

    async fn exit(&mut self, _: usize, _: Option<&Error>) -> Result<()> {
        Ok(())
    }
}

/// Waits for all parties: see [`Barrier::wait`].
#[must_use = "futures do nothing unless they are awaited"]
pub struct BarrierWait<'a> {
    barrier: &'a Barrier,
    acquire: RawAcquire<'a>,
    waiting: Waiting<'a, Inside>,
    /// The order of arrival, while the task counts as arrived.
    index: Option<usize>,
}

impl fmt::Debug for BarrierWait<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BarrierWait").field("index", &self.index).finish_non_exhaustive()
    }
}

impl BarrierWait<'_> {
    /// Advances a task that has the lock; returns `None` if it has to wait for another phase.
    fn step(&mut self, inside: &mut Inside, after: &mut Deferred) -> Option<Result<usize>> {
        let broken = |what| Some(Err(Error::BrokenBarrier(BrokenBarrierError::new(what))));
        let index = match (self.index, inside.phase) {
            (None, Phase::Draining | Phase::Resetting) | (Some(_), Phase::Filling) => return None,
            (None, Phase::Broken) => return broken("Barrier aborted"),
            (None, Phase::Filling) => *self.index.insert(inside.count),
            (Some(_), Phase::Resetting | Phase::Broken) => {
                return broken("Abort or reset of barrier");
            }
            (Some(index), Phase::Draining) => return Some(Ok(index)),
        };
        inside.count += 1;
        if inside.count == self.barrier.parties {
            inside.phase = Phase::Draining;
            inside.queue.wake_all(after);
            return Some(Ok(index));
        }
        None
    }
}

impl Future for BarrierWait<'_> {
    type Output = Result<usize>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<usize>> {
        let this = &mut *self;
        let (hold, waited): (Hold<'_>, _) = if this.waiting.is_idle() {
            (ready!(Pin::new(&mut this.acquire).poll(cx))?, Ok(()))
        } else {
            ready!(this.waiting.poll(cx))
        };
        let mut after = Deferred::new();
        let mut inside = this.barrier.inside.lock();
        let outcome = match waited {
            Ok(()) => this.step(&mut inside, &mut after),
            Err(error) => Some(Err(error)),
        };
        if outcome.is_some() && this.index.take().is_some() {
            inside.leave(&mut after);
        }
        if outcome.is_none() && !mutant("barrier_joined_last") {
            this.waiting.join(&mut inside, cx);
        }
        drop(inside);
        hold.release();
        if outcome.is_none() && mutant("barrier_joined_last") {
            this.waiting.join(&mut this.barrier.inside.lock(), cx);
        }
        outcome.map_or(Poll::Pending, Poll::Ready)
    }
}

impl Drop for BarrierWait<'_> {
    fn drop(&mut self) {
        if self.index.is_some() {
            let mut after = Deferred::new();
            self.barrier.inside.lock().leave(&mut after);
        }
    }
}

/// Waits for the barrier's lock, and changes its state: see [`Barrier::reset`] and
/// [`Barrier::abort`].
#[must_use = "futures do nothing unless they are awaited"]
pub struct BarrierChange<'a> {
    barrier: &'a Barrier,
    acquire: RawAcquire<'a>,
    to: Phase,
}

impl fmt::Debug for BarrierChange<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BarrierChange").field("to", &self.to).finish_non_exhaustive()
    }
}

impl Future for BarrierChange<'_> {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let hold = ready!(Pin::new(&mut self.acquire).poll(cx))?;
        let mut after = Deferred::new();
        let mut inside = self.barrier.inside.lock();
        let is_empty = inside.count == 0;
        inside = keep("barrier_reset_unseen", &self.barrier.inside, inside);
        inside.phase =
            if self.to == Phase::Resetting && is_empty { Phase::Filling } else { self.to };
        inside.queue.wake_all(&mut after);
        drop(inside);
        hold.release();
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests;
