//! The demonstration: a Redis, producers and workers as processes, of which one worker is killed.

use crate::{
    engine::{Engine, Report},
    worker::{LEASE, always_fails},
};
use asyncio::{
    Error, Result, create_subprocess_exec,
    signals::{SIGCONT, SIGSTOP},
    sleep,
    subprocess::Process,
    to_thread, wait_for,
};
use asyncio_test_servers::Server;
use std::{path::Path, time::Duration};

const WORKERS: usize = 3;
/// How long each step may take.
const LIMIT: Duration = Duration::from_secs(60);

pub(crate) async fn run(count: u64) -> Result<()> {
    let redis = match to_thread(Server::redis).await? {
        Ok(redis) => redis,
        Err(why) => {
            println!("SKIPPED: jobs: {why}");
            return Ok(());
        }
    };
    wait_for(work(&redis.socket(), count), LIMIT).await
}

/// Starts this program as another process.
async fn start(what: &str, socket: &Path, rest: &[String]) -> Result<Process> {
    let mut arguments = vec![what.into(), socket.as_os_str().to_owned()];
    arguments.extend(rest.iter().map(Into::into));
    create_subprocess_exec(std::env::current_exe()?, arguments).await
}

async fn work(socket: &Path, count: u64) -> Result<()> {
    let connect = asyncio::retry(async || Engine::connect(socket).await);
    let engine = connect.attempts(20).await?;
    engine.create_group().await?;

    let half = count / 2;
    let mut producers = Vec::new();
    for (first, count) in [(0, half), (half, count - half)] {
        producers.push(start("produce", socket, &[first.to_string(), count.to_string()]).await?);
    }
    let mut workers = Vec::new();
    for number in 0..WORKERS {
        workers.push(start("work", socket, &[format!("worker-{number}")]).await?);
    }
    println!("2 producers, {count} jobs, {WORKERS} workers");

    let killed = workers.remove(0);
    until(&engine, |report| finished(report) >= count / 4).await?;
    killed.kill()?;
    killed.wait().await?;
    let held = engine.report().await?.pending;
    println!("a worker was killed; {held} jobs were being worked on");
    // Another worker is stopped for longer than its lease, so its results are late.
    workers[0].send_signal(SIGSTOP)?;
    sleep(LEASE * 3 / 2).await?;
    workers[0].send_signal(SIGCONT)?;

    for producer in producers {
        succeeded("a producer", producer.wait().await?)?;
    }
    let report = until(&engine, |report| finished(report) >= count && report.pending == 0).await?;
    for worker in &workers {
        worker.terminate()?;
    }
    for worker in workers {
        succeeded("a worker", worker.wait().await?)?;
    }
    check(&report, count)
}

/// Returns how many jobs have a result.
fn finished(report: &Report) -> u64 {
    (report.done.len() + report.failed.len()) as u64
}

async fn until(engine: &Engine, is_so: impl Fn(&Report) -> bool) -> Result<Report> {
    loop {
        let report = engine.report().await?;
        if is_so(&report) {
            return Ok(report);
        }
        sleep(LEASE / 20).await?;
    }
}

fn succeeded(what: &str, code: i32) -> Result<()> {
    match code {
        0 => Ok(()),
        code => Err(Error::msg(format!("{what} ended with {code}"))),
    }
}

/// Checks that no job was lost or counted twice.
fn check(report: &Report, count: u64) -> Result<()> {
    let aside = (0..count).filter(|number| always_fails(*number)).count();
    let Report { done, failed, late, .. } = report;
    let lost = count as i64 - finished(report) as i64;
    let twice = done.iter().chain(failed).filter(|times| **times != 1).count();
    println!(
        "done: {}, put aside: {}, lost: {lost}, done twice: {twice}",
        done.len(),
        failed.len()
    );
    println!("results that came late, and were refused: {late}");
    match (lost, twice, failed.len() == aside) {
        (0, 0, true) => Ok(()),
        _ => Err(Error::msg(format!("{count} jobs were added, {aside} of which always fail"))),
    }
}
