//! The limit of [`gather`](crate::gather()) and [`as_completed`](crate::as_completed) on how many
//! coroutines run at once.

use crate::{TaskBuilder, future_like::Child};
use asyncio_core::{Result, wait_site::WaitSite};
use asyncio_locks::{AcquirePermit, OwnedPermit, Semaphore};
use pin_project_lite::pin_project;
use std::{
    cell::OnceCell,
    future::{Future, IntoFuture},
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, ready},
};

/// The semaphore that the coroutines share. The limit is set after their tasks were created, and before
/// these run.
#[derive(Clone, Default)]
pub(crate) struct Limit(Rc<OnceCell<Arc<Semaphore>>>);

impl Limit {
    /// Sets the limit, at least one. Only the first call has an effect.
    pub(crate) fn set(&self, limit: usize) {
        self.0.get_or_init(|| Arc::new(Semaphore::new(limit.max(1))));
    }

    /// Returns a task or future as it is, and anything else as a new task, which starts when the
    /// limit allows.
    pub(crate) fn child<F, T>(&self, awaitable: F, site: WaitSite) -> Child<T>
    where
        F: IntoFuture<Output = Result<T>>,
        F::IntoFuture: 'static,
        T: 'static,
    {
        Child::known(awaitable.into_future()).unwrap_or_else(|coroutine| {
            let (limit, stage) = (self.clone(), Stage::New);
            let coroutine = Limited { limit, stage, site, coroutine };
            Child::task(TaskBuilder::default().location(site.location()).create(coroutine))
        })
    }
}

pin_project! {
    /// A coroutine that starts when the limit allows.
    struct Limited<F> {
        limit: Limit,
        stage: Stage,
        site: WaitSite,
        #[pin]
        coroutine: F,
    }
}

enum Stage {
    New,
    Waiting(Box<AcquirePermit>),
    /// With a permit, if there is a limit.
    Begun(Option<OwnedPermit>),
}

impl<F, T> Future for Limited<F>
where
    F: Future<Output = Result<T>>,
{
    type Output = Result<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        let this = self.project();
        if let Stage::New = this.stage {
            *this.stage = match this.limit.0.get() {
                None => Stage::Begun(None),
                Some(limit) => Stage::Waiting(Box::new(limit.clone().acquire_owned_at(*this.site))),
            };
        }
        if let Stage::Waiting(waiting) = this.stage {
            let permit = ready!(Pin::new(&mut **waiting).poll(cx))?;
            *this.stage = Stage::Begun(Some(permit));
        }
        let outcome = ready!(this.coroutine.poll(cx));
        if let Stage::Begun(permit) = this.stage {
            drop(permit.take());
        }
        Poll::Ready(outcome)
    }
}
