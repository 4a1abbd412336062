//! `amap` and `retry`.

use super::*;
use std::cell::{Cell, RefCell};

/// The number of running coroutines, and its maximum.
#[derive(Default)]
struct Load {
    now: Cell<usize>,
    most: Cell<usize>,
}

async fn worked_on(load: &Load, n: u32) -> Result<u32> {
    load.now.set(load.now.get() + 1);
    load.most.set(load.most.get().max(load.now.get()));
    // The first ones take longest.
    sleep((10 - n) * LIMIT).await?;
    load.now.set(load.now.get() - 1);
    Ok(n * n)
}

#[asyncio::test(virtual_time = true)]
async fn amap_works_on_so_many_items_at_once_and_keeps_their_order() -> Result<()> {
    let load = std::rc::Rc::new(Load::default());
    let work = |load: &std::rc::Rc<Load>| {
        let load = load.clone();
        async move |n| worked_on(&load, n).await
    };
    assert_eq!(amap(work(&load), 0..6).limit(2).await?, [0, 1, 4, 9, 16, 25]);
    assert_eq!(load.most.get(), 2);
    assert_eq!(amap(work(&load), 0..6).await?.len(), 6);
    assert_eq!(load.most.get(), 6);
    assert!(amap(work(&load), 0..0).limit(0).await?.is_empty());
    Ok(())
}

#[asyncio::test(virtual_time = true)]
async fn amap_takes_items_when_a_task_is_free_and_stops_at_an_error() -> Result<()> {
    let taken = std::rc::Rc::new(Cell::new(0));
    let count = taken.clone();
    let items = (0..).inspect(move |_| count.set(count.get() + 1));
    let failing = async |n: u32| {
        sleep(LIMIT).await?;
        if n == 5 { Err(Error::msg("five")) } else { Ok(n) }
    };
    let Err(Error::Group(errors)) = amap(failing, items).limit(3).await else {
        panic!("the sixth fails")
    };
    assert_eq!(errors.exceptions()[0].to_string(), "five");
    assert!(taken.get() <= 9, "{} items were taken", taken.get());
    assert_eq!(all_tasks()?.len(), 1, "none is left");
    Ok(())
}

#[asyncio::test(virtual_time = true)]
async fn a_cancelled_amap_leaves_no_task() -> Result<()> {
    let endless = amap(async |_| sleep(3_600_000 * LIMIT).await, 0..9).limit(4);
    assert!(wait_for(endless, LIMIT).await.unwrap_err().is_timeout());
    assert_eq!(all_tasks()?.len(), 1);
    Ok(())
}

#[asyncio::test(virtual_time = true)]
async fn retry_pauses_longer_and_longer() -> Result<()> {
    let (event_loop, times) = (get_running_loop()?, RefCell::new(Vec::new()));
    let busy = || {
        retry(async || {
            times.borrow_mut().push(event_loop.time().as_millis());
            Err::<(), _>(Error::msg("busy"))
        })
    };
    let outcome = busy().attempts(5).delay(10 * LIMIT).factor(3).max_delay(50 * LIMIT).await;
    assert_eq!(outcome.unwrap_err().to_string(), "busy");
    assert_eq!(times.take(), [0, 10, 40, 90, 140]);
    assert!(busy().attempts(0).await.is_err());
    assert_eq!(times.take().len(), 1);
    Ok(())
}

#[asyncio::test(virtual_time = true)]
async fn retry_ends_at_success_at_what_is_final_and_at_a_cancellation() -> Result<()> {
    let attempts = Cell::new(0);
    let attempt = async |outcome: fn(u32) -> Result<u32>| {
        attempts.set(attempts.get() + 1);
        outcome(attempts.get())
    };
    let third =
        retry(async || attempt(|n| if n < 3 { Err(Error::msg("busy")) } else { Ok(n) }).await);
    assert_eq!(third.await?, 3);

    attempts.set(0);
    let refused = retry(async || attempt(|_| Err(Error::value("no"))).await)
        .only_if(|error| !matches!(error, Error::Value(_)));
    assert_eq!((refused.await.unwrap_err().kind(), attempts.get()), ("ValueError", 1));

    attempts.set(0);
    let late = wait_for(retry(async || attempt(|_| Err(Error::msg("busy"))).await), LIMIT).await;
    assert!(late.unwrap_err().is_timeout());
    assert_eq!(attempts.get(), 1, "cancelled in the pause");

    let cancelled = retry(async || {
        attempts.set(attempts.get() + 1);
        Err::<(), _>(Error::Cancelled(CancelledError::default()))
    });
    assert!(cancelled.await.unwrap_err().is_cancelled());
    assert_eq!(attempts.get(), 2);
    Ok(())
}
