//! Futures that are not ours.

use asyncio::{Result, get_running_loop};
use std::{
    cell::{Cell, RefCell},
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::sync::{mpsc, oneshot};

/// A receiver of tokio's.
pub(super) enum Sent {
    Oneshot(oneshot::Receiver<()>),
    Channel(mpsc::UnboundedReceiver<()>),
}

impl Sent {
    /// The value is sent after this time.
    pub(super) fn oneshot(after: Duration) -> Result<Sent> {
        let (sender, receiver) = oneshot::channel();
        get_running_loop()?.call_later(after, move || sender.send(()).is_ok())?;
        Ok(Sent::Oneshot(receiver))
    }

    /// The value is sent after this time.
    pub(super) fn channel(after: Duration) -> Result<Sent> {
        let (sender, receiver) = mpsc::unbounded_channel();
        get_running_loop()?.call_later(after, move || sender.send(()).is_ok())?;
        Ok(Sent::Channel(receiver))
    }
}

impl Future for Sent {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        match &mut *self {
            Sent::Oneshot(receiver) => Pin::new(receiver).poll(cx).map(|_| Ok(())),
            Sent::Channel(receiver) => receiver.poll_recv(cx).map(|_| Ok(())),
        }
    }
}

impl fmt::Debug for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sent")
    }
}

/// A future that a timer wakes.
pub(super) fn waked(after: Duration) -> Result<impl Future<Output = Result<()>>> {
    let state: Rc<(Cell<bool>, RefCell<Option<Waker>>)> = Rc::default();
    let timer = state.clone();
    get_running_loop()?.call_later(after, move || {
        timer.0.set(true);
        timer.1.take().into_iter().for_each(Waker::wake);
    })?;
    Ok(poll_fn(move |cx| {
        if state.0.get() {
            return Poll::Ready(Ok(()));
        }
        state.1.replace(Some(cx.waker().clone()));
        Poll::Pending
    }))
}

/// A future that wakes itself a few times.
pub(super) async fn spins(times: u16) -> Result<()> {
    let mut left = times;
    poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(Ok(()));
        }
        left -= 1;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await
}

/// A future of ours, polled through a trait of another library.
pub(super) async fn library<F: Future<Output = Result<()>>>(future: F) -> Result<()> {
    let mut future = std::pin::pin!(future);
    poll_fn(|cx| asyncio_core::scope::foreign(|| future.as_mut().poll(cx))).await
}
