//! The metrics of a loop.

use super::*;
use asyncio_core::raw::metrics::{LATE_BOUNDS, set};
use std::thread;

fn metrics_in(main: impl AsyncFnOnce() -> Result<()> + 'static) -> crate::Metrics {
    let event_loop = new_event_loop().unwrap();
    let this = event_loop.clone();
    let metrics = event_loop.run_until_complete(async move {
        main().await?;
        Ok(this.metrics())
    });
    event_loop.close().unwrap();
    metrics.unwrap()
}

#[test]
fn iterations_and_steps_are_counted() {
    let metrics = metrics_in(async || {
        for _ in 0..10 {
            asyncio_task::sleep(Duration::ZERO).await?;
        }
        Ok(())
    });
    // The first step, and ten more; the current iteration is not counted yet.
    assert_eq!((metrics.iterations, metrics.steps), (10, 10));
    assert_eq!((metrics.events, metrics.jobs, metrics.longest_step), (0, 0, None));
}

#[test]
fn time_is_busy_or_waiting() {
    let metrics = metrics_in(async || {
        thread::sleep(3 * MS);
        asyncio_task::sleep(59 * MS).await?;
        // The number that was ready before the wait, and the number now, are updated when the loop next
        // reads the clock.
        asyncio_task::sleep(MS).await
    });
    assert!(metrics.busy >= 3 * MS && metrics.waiting >= 30 * MS, "{metrics:?}");
    assert!(metrics.longest_stretch >= 3 * MS && metrics.longest_stretch <= metrics.busy);
    assert_eq!((metrics.tasks, metrics.timers, metrics.ready), (1, 1, 0));
}

#[test]
fn a_step_is_measured_if_that_is_asked_for() {
    let event_loop = new_event_loop().unwrap();
    event_loop.measure_steps(true);
    event_loop
        .run_until_complete(async {
            thread::sleep(2 * MS);
            Ok(())
        })
        .unwrap();
    let longest = event_loop.metrics().longest_step.unwrap();
    assert!(longest >= 2 * MS);
    // Debug mode measures too, and leaves the choice as it is.
    event_loop.set_debug(true);
    event_loop.set_debug(false);
    event_loop
        .run_until_complete(async move {
            thread::sleep(longest + MS);
            Ok(())
        })
        .unwrap();
    assert!(event_loop.metrics().longest_step.unwrap() > longest);
    event_loop.close().unwrap();
}

#[test]
fn late_timers_are_counted_by_how_late_they_are() {
    let metrics = metrics_in(async || {
        let early = asyncio_task::create_task(asyncio_task::sleep(MS));
        asyncio_task::sleep(Duration::ZERO).await?;
        // It becomes due meanwhile, and cannot run.
        thread::sleep(30 * MS);
        early.await
    });
    let late: Vec<_> = metrics.late_timers().collect();
    assert_eq!(late.iter().map(|(_, count)| count).sum::<u64>(), 1);
    assert_eq!(late[..3].iter().map(|(_, count)| count).sum::<u64>(), 0, "{late:?}");
    assert_eq!(late[2].0, Some(10 * MS));
    assert_eq!((late.len(), late[LATE_BOUNDS.len()].0), (LATE_BOUNDS.len() + 1, None));
}

#[test]
fn another_thread_reads_them_while_the_loop_is_open() {
    let event_loop = new_event_loop().unwrap();
    let (this, handle) = (event_loop.clone(), event_loop.handle());
    event_loop.run_until_complete(async move { this.run_in_executor(None, || 1)?.await }).unwrap();
    let read = move || thread::spawn(move || handle.metrics()).join().unwrap();
    assert_eq!(read().unwrap(), event_loop.metrics());
    assert_eq!(read().unwrap().jobs, 1);
    event_loop.close().unwrap();
    assert!(matches!(read(), Err(Error::Runtime(_))));
    assert_eq!(event_loop.metrics(), crate::Metrics::default());
}

#[test]
fn what_a_loop_did_is_not_counted_for_the_next_one_in_its_place() {
    let event_loop = new_event_loop().unwrap();
    let counters = event_loop.home().counters();
    set(&counters.iterations, 5);
    event_loop.close().unwrap();
    let next = new_event_loop().unwrap();
    assert!(std::ptr::eq(counters, next.home().counters()));
    assert_eq!(next.metrics().iterations, 0);
    next.close().unwrap();
}
