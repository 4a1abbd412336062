//! A wake-up from another thread: the time until the task has answered.

use crate::{
    peers::Peer,
    workload::{Done, Measure, Workload, contestants},
};
use std::{
    future::poll_fn,
    hint::spin_loop,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Poll, Waker},
    thread,
    time::{Duration, Instant},
};

pub(crate) fn workloads() -> Vec<Workload> {
    vec![
        Workload::new(
            "awake",
            "wake from another thread, loop awake",
            contestants!(awake: Asyncio, Tokio, Smol),
        )
        .measure(Measure::Wall)
        .ceiling(0.30),
        Workload::new(
            "asleep",
            "wake from another thread, loop asleep",
            contestants!(asleep: Asyncio, Tokio, Smol, Monoio),
        )
        .measure(Measure::Wall)
        .ceiling(1.00),
    ]
}

/// A number that one thread writes and a task waits for, and another one in the opposite direction.
#[derive(Default)]
struct Line {
    asked: AtomicUsize,
    answered: AtomicUsize,
    waker: Mutex<Option<Waker>>,
}

impl Line {
    /// Asks so many times, with a pause before each, and returns the total time until the answers.
    fn ask(&self, times: usize, pause: Duration) -> Duration {
        let mut took = Duration::ZERO;
        for n in 1..=times {
            thread::sleep(pause);
            let waker = loop {
                match self.waker.lock().expect("no thread panics").take() {
                    Some(waker) => break waker,
                    None => spin_loop(),
                }
            };
            let start = Instant::now();
            self.asked.store(n, Ordering::Release);
            waker.wake();
            while self.answered.load(Ordering::Acquire) < n {
                spin_loop();
            }
            took += start.elapsed();
        }
        took
    }

    async fn answer(&self, times: usize) {
        for n in 1..=times {
            poll_fn(|cx| {
                if self.asked.load(Ordering::Acquire) >= n {
                    return Poll::Ready(());
                }
                *self.waker.lock().expect("no thread panics") = Some(cx.waker().clone());
                Poll::Pending
            })
            .await;
            self.answered.store(n, Ordering::Release);
        }
    }
}

async fn asked<P: Peer>(times: usize, pause: Duration, is_awake: bool) -> Done {
    let line = Arc::new(Line::default());
    let other = line.clone();
    let asking = thread::spawn(move || other.ask(times, pause));
    let answering = line.clone();
    let task = P::spawn(async move { answering.answer(times).await });
    while is_awake && line.answered.load(Ordering::Relaxed) < times {
        P::pass().await;
    }
    P::join(task).await;
    let took = asking.join().expect("the other thread does not panic");
    Done::said(times, took.as_nanos() as f64)
}

async fn awake<P: Peer>(_: usize) -> Done {
    asked::<P>(20_000, Duration::ZERO, true).await
}

async fn asleep<P: Peer>(_: usize) -> Done {
    asked::<P>(200, Duration::from_micros(500), false).await
}
