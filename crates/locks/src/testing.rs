//! A future that the test polls by hand, with a waker that counts.

use std::{
    fmt::Debug,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    task::{Context, Poll, Wake, Waker},
    thread,
    time::Duration,
};

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A future, and how often it was woken.
pub(crate) struct Tester<F> {
    future: Pin<Box<F>>,
    count: Arc<Count>,
    waker: Waker,
    seen: usize,
}

pub(crate) fn tester<F: Future>(future: F) -> Tester<F> {
    let count = Arc::new(Count::default());
    let waker = Waker::from(count.clone());
    Tester { future: Box::pin(future), count, waker, seen: 0 }
}

impl<F: Future> Tester<F>
where
    F::Output: Debug,
{
    pub(crate) fn poll(&mut self) -> Poll<F::Output> {
        self.future.as_mut().poll(&mut Context::from_waker(&self.waker))
    }

    #[track_caller]
    pub(crate) fn is_pending(&mut self) {
        let polled = self.poll();
        assert!(polled.is_pending(), "ready: {polled:?}");
    }

    #[track_caller]
    pub(crate) fn is_ready(&mut self) -> F::Output {
        match self.poll() {
            Poll::Ready(output) => output,
            Poll::Pending => panic!("pending"),
        }
    }

    /// Whether it was woken since the last call; never twice.
    #[track_caller]
    pub(crate) fn was_woken(&mut self) -> bool {
        let count = self.count.0.load(Ordering::SeqCst);
        let new = count - self.seen;
        assert!(new <= 1, "woken {new} times");
        self.seen = count;
        new == 1
    }

    /// Polls from now on as another task, whose wake-ups are counted from zero.
    pub(crate) fn moved(self) -> Tester<F> {
        let Tester { future, .. } = self;
        let count = Arc::new(Count::default());
        let waker = Waker::from(count.clone());
        Tester { future, count, waker, seen: 0 }
    }
}

struct Owner<T>(#[allow(dead_code)] T);

impl<T: Send + Sync> Wake for Owner<T> {
    fn wake(self: Arc<Self>) {}
}

/// Polls `future` with a waker that owns `owned`, as in an executor whose tasks live in their
/// wakers. Then polls twice with another waker: by the second time, `owned` is dropped.
pub(crate) fn poll_with_another_waker<T: Send + 'static>(
    future: impl Future<Output = T> + Send + 'static,
    owned: impl Send + Sync + 'static,
) -> Poll<T> {
    let (sender, receiver) = mpsc::channel();
    let mut future = Box::pin(future);
    let waker = Waker::from(Arc::new(Owner(owned)));
    assert!(future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    drop(waker);
    thread::spawn(move || {
        assert!(future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        sender.send(future.as_mut().poll(&mut Context::from_waker(Waker::noop())))
    });
    receiver.recv_timeout(Duration::from_secs(30)).expect("the second poll hangs")
}

/// A generator of pseudorandom numbers (xorshift), so that a run can be repeated from its seed.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}
