//! [`OwnedPermit`]: a permit that keeps its semaphore alive.

use crate::{
    semaphore::{BoundedSemaphore, Semaphore},
    waiters::QueuedWait,
};
use asyncio_core::{Result, wait_site::WaitSite};
use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

/// A [`Semaphore`] or a [`BoundedSemaphore`]. Sealed.
pub trait Permits: sealed::Sealed {}

mod sealed {
    pub trait Sealed {
        /// The semaphore, and the largest number of permits that it may have.
        fn parts(&self) -> (&super::Semaphore, Option<usize>);
    }
}

impl Permits for Semaphore {}
impl sealed::Sealed for Semaphore {
    fn parts(&self) -> (&Semaphore, Option<usize>) {
        (self, None)
    }
}

impl Permits for BoundedSemaphore {}
impl sealed::Sealed for BoundedSemaphore {
    fn parts(&self) -> (&Semaphore, Option<usize>) {
        (&self.semaphore, Some(self.bound))
    }
}

impl Semaphore {
    /// Takes a permit as [`acquire`](Semaphore::acquire) does. The permit keeps the semaphore alive and
    /// borrows nothing, so it can be moved to another task.
    ///
    /// # Errors
    /// Only `Cancelled`.
    ///
    /// # Cancellation
    /// As for [`acquire`](Semaphore::acquire).
    ///
    /// ```
    /// use asyncio::Semaphore;
    /// use std::sync::Arc;
    ///
    /// #[asyncio::main]
    /// async fn main() -> asyncio::Result<()> {
    ///     let downloads = Arc::new(Semaphore::new(2));
    ///     let permit = downloads.clone().acquire_owned().await?;
    ///     asyncio::create_task(async move { Ok(drop(permit)) }).await?;
    ///     assert_eq!(downloads.value(), 2);
    ///     Ok(())
    /// }
    /// ```
    #[track_caller]
    pub fn acquire_owned(self: Arc<Self>) -> AcquirePermit<Semaphore> {
        self.acquire_owned_at(WaitSite::here(&"Semaphore.acquire_owned"))
    }

    /// Does what [`acquire_owned`](Semaphore::acquire_owned) does, as a part of another operation.
    #[doc(hidden)]
    pub fn acquire_owned_at(self: Arc<Self>, site: WaitSite) -> AcquirePermit<Semaphore> {
        AcquirePermit { semaphore: self, place: QueuedWait::new(), site }
    }
}

impl BoundedSemaphore {
    /// Takes a permit that keeps the semaphore alive: see [`Semaphore::acquire_owned`].
    ///
    /// # Errors
    /// Only `Cancelled`.
    ///
    /// # Cancellation
    /// As for [`Semaphore::acquire`].
    #[track_caller]
    pub fn acquire_owned(self: Arc<Self>) -> AcquirePermit<BoundedSemaphore> {
        let site = WaitSite::here(&"BoundedSemaphore.acquire_owned");
        AcquirePermit { semaphore: self, place: QueuedWait::new(), site }
    }
}

/// A [`Permit`](crate::Permit) that keeps its semaphore alive. Dropping it releases the permit.
#[must_use = "a permit that is dropped is released"]
pub struct OwnedPermit<S: Permits = Semaphore> {
    /// `Some` until the permit is released or forgotten.
    semaphore: Option<Arc<S>>,
}

impl<S: Permits> OwnedPermit<S> {
    /// Keeps the permit taken until `release` is called on the semaphore.
    pub fn forget(mut self) {
        self.semaphore = None;
    }

    /// Releases the permit, as dropping it does.
    ///
    /// # Errors
    /// `Value` if the semaphore is bounded, and other code has already released all permits.
    pub fn release(mut self) -> Result<()> {
        self.give_back()
    }

    fn give_back(&mut self) -> Result<()> {
        let Some(of) = self.semaphore.take() else { return Ok(()) };
        let (semaphore, bound) = of.parts();
        semaphore.release_within(bound)
    }
}

impl<S: Permits> Drop for OwnedPermit<S> {
    fn drop(&mut self) {
        // If a bounded semaphore is full again, this permit is one too many, and is discarded.
        let _ = self.give_back();
    }
}

impl<S: Permits> fmt::Debug for OwnedPermit<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let semaphore = self.semaphore.as_ref().map(|of| of.parts().0);
        f.debug_struct("OwnedPermit").field("semaphore", &semaphore).finish()
    }
}

/// Waits for an [`OwnedPermit`]: see [`Semaphore::acquire_owned`].
#[must_use = "futures do nothing unless they are awaited"]
pub struct AcquirePermit<S: Permits = Semaphore> {
    semaphore: Arc<S>,
    place: QueuedWait,
    site: WaitSite,
}

impl<S: Permits> Future for AcquirePermit<S> {
    type Output = Result<OwnedPermit<S>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let AcquirePermit { semaphore, place, site } = &mut *self;
        let (of, _) = semaphore.parts();
        of.poll_acquire(place, cx, *site)
            .map_ok(|()| OwnedPermit { semaphore: Some(semaphore.clone()) })
    }
}

impl<S: Permits> Drop for AcquirePermit<S> {
    fn drop(&mut self) {
        self.semaphore.parts().0.leave(&mut self.place);
    }
}

impl<S: Permits> fmt::Debug for AcquirePermit<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AcquirePermit").field("semaphore", self.semaphore.parts().0).finish()
    }
}
