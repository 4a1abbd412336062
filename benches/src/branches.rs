//! Several awaits in one task: `join!`, `select!`, and a set of requests that each have a limit.

use crate::{
    peers::{Asyncio, HOUR, Peer, Tokio},
    workload::{Done, Workload, batches},
};
use futures_util::stream::{FuturesUnordered, StreamExt};

pub(crate) fn workloads() -> Vec<Workload> {
    vec![
        Workload::new(
            "join",
            "join! of two yields",
            vec![
                (Asyncio::NAME, |_| ran::<Asyncio>(joins_of_ours())),
                (Tokio::NAME, |_| ran::<Tokio>(joins_of_tokio())),
            ],
        )
        .ceiling(0.80),
        Workload::new(
            "select",
            "select! over a queue and an event, in a loop",
            vec![
                (Asyncio::NAME, |_| ran::<Asyncio>(selects_of_ours())),
                (Tokio::NAME, |_| ran::<Tokio>(selects_of_tokio())),
            ],
        )
        .ceiling(0.80),
        Workload::new(
            "limits",
            "requests in a FuturesUnordered of {n}, each limited",
            vec![
                (Asyncio::NAME, |n| ran::<Asyncio>(limits_of_ours(n))),
                (Tokio::NAME, |n| ran::<Tokio>(limits_of_tokio(n))),
            ],
        )
        .size(100)
        .ceiling(0.80),
    ]
}

fn ran<P: Peer>(work: impl Future<Output = usize> + 'static) -> Done {
    P::run(work).into()
}

async fn joins_of_ours() -> usize {
    for _ in 0..batches(1) {
        asyncio::join!(Asyncio::pass(), Asyncio::pass());
    }
    batches(1)
}

async fn joins_of_tokio() -> usize {
    for _ in 0..batches(1) {
        tokio::join!(Tokio::pass(), Tokio::pass());
    }
    batches(1)
}

/// The item arrives only while the task is suspended, so each round suspends once.
const ROUNDS: usize = 1_000_000;

async fn selects_of_ours() -> usize {
    let (queue, event) = (std::rc::Rc::new(asyncio::Queue::new(0)), asyncio::Event::new());
    let items = queue.clone();
    let feeder = Asyncio::spawn(async move {
        for item in 0..ROUNDS {
            items.put_nowait(item).expect("it has no bound");
            Asyncio::pass().await;
        }
    });
    let mut sum = 0;
    for _ in 0..ROUNDS {
        asyncio::select! {
            item = queue.get() => sum += item.expect("not cancelled"),
            _ = event.wait() => unreachable!("nothing sets it"),
        }
    }
    assert_eq!(sum, ROUNDS * (ROUNDS - 1) / 2);
    Asyncio::join(feeder).await;
    ROUNDS
}

async fn selects_of_tokio() -> usize {
    let (sender, mut queue) = tokio::sync::mpsc::unbounded_channel();
    let event = tokio::sync::Notify::new();
    let feeder = Tokio::spawn(async move {
        for item in 0..ROUNDS {
            sender.send(item).expect("it has no bound");
            Tokio::pass().await;
        }
    });
    let mut sum = 0;
    for _ in 0..ROUNDS {
        tokio::select! {
            biased;
            item = queue.recv() => sum += item.expect("it is open"),
            () = event.notified() => unreachable!("nothing notifies it"),
        }
    }
    assert_eq!(sum, ROUNDS * (ROUNDS - 1) / 2);
    Tokio::join(feeder).await;
    ROUNDS
}

async fn limits_of_ours(size: usize) -> usize {
    for _ in 0..batches(size) {
        let request = |n| async move {
            Asyncio::pass().await;
            Ok(n)
        };
        let mut all: FuturesUnordered<_> =
            (0..size).map(|n| asyncio::wait_for(request(n), HOUR)).collect();
        let mut sum = 0;
        while let Some(answer) = all.next().await {
            sum += answer.expect("in time");
        }
        assert_eq!(sum, size * (size - 1) / 2);
    }
    batches(size) * size
}

async fn limits_of_tokio(size: usize) -> usize {
    for _ in 0..batches(size) {
        let request = |n| async move {
            Tokio::pass().await;
            n
        };
        let mut all: FuturesUnordered<_> =
            (0..size).map(|n| tokio::time::timeout(HOUR, request(n))).collect();
        let mut sum = 0;
        while let Some(answer) = all.next().await {
            sum += answer.expect("in time");
        }
        assert_eq!(sum, size * (size - 1) / 2);
    }
    batches(size) * size
}
