//! A worker: takes jobs, claims those of workers that have died, and finishes what it has at SIGTERM.

use crate::engine::{Engine, Job};
use asyncio::{Error, Event, Result, TaskGroup, prelude::*, signals::SIGTERM};
use std::{path::Path, rc::Rc, time::Duration};

/// The number of jobs that a worker has at a time.
const BATCH: usize = 8;
/// How long a worker waits for new jobs before it looks for abandoned ones.
const WAIT: Duration = Duration::from_millis(100);
/// How long a job may take before others claim it. It has to be longer than any job takes.
pub(crate) const LEASE: Duration = Duration::from_secs(1);

pub(crate) async fn run(socket: &Path, name: &str) -> Result<()> {
    let engine = Engine::connect(socket).await?;
    let stop = Rc::new(Event::new());
    let stopped = stop.clone();
    asyncio::get_running_loop()?.add_signal_handler(SIGTERM, move || stopped.set())?;
    while !stop.is_set() {
        let mut jobs = engine.claim(name, BATCH, LEASE).await?;
        if jobs.is_empty() {
            jobs = engine.take(name, BATCH, WAIT).await?;
        }
        let work = TaskGroup::new().with(async |group| {
            for job in jobs {
                let engine = engine.clone();
                group.create_task(async move { work(&engine, job).await });
            }
            Ok(())
        });
        work.await?;
    }
    Ok(())
}

/// Does a job, repeats it with growing pauses if it fails, and acknowledges it.
async fn work(engine: &Engine, job: Job) -> Result<()> {
    let mut attempt = 0;
    let outcome = asyncio::retry(async || {
        attempt += 1;
        perform(job.number, attempt).await
    });
    let outcome = outcome.attempts(3).delay(Duration::from_millis(20)).await;
    if outcome.as_ref().is_err_and(Error::is_cancelled) {
        return outcome;
    }
    // The engine counts a late result as such.
    engine.finish(&job, outcome.is_ok()).await.map(drop)
}

/// The job itself: some jobs fail at first, and a few always.
async fn perform(number: u64, attempt: u32) -> Result<()> {
    asyncio::sleep(Duration::from_millis(5)).await?;
    match number {
        _ if always_fails(number) => Err(Error::msg("it cannot be done")),
        _ if number % 10 == 0 && attempt == 1 => Err(Error::msg("not this time")),
        _ => Ok(()),
    }
}

pub(crate) fn always_fails(number: u64) -> bool {
    number % 250 == 249
}
