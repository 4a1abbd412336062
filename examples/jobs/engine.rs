//! [`Engine`]: the commands to Redis. The crate `redis` implements its protocol, over our streams.

use asyncio::{Result, create_task, open_unix_connection, streams::Duplex};
use redis::{
    AsyncConnectionConfig, FromRedisValue, RedisConnectionInfo, Value,
    aio::MultiplexedConnection,
    cmd,
    streams::{StreamAutoClaimReply, StreamId, StreamReadReply},
};
use std::{path::Path, time::Duration};

const STREAM: &str = "jobs";
const GROUP: &str = "workers";
/// The hashes that count how often each job was done, and how often it was put aside.
const DONE: &str = "done";
const FAILED: &str = "failed";
/// Counts the results for jobs that another worker had already finished.
const LATE: &str = "late";

/// Stores a result, but only together with the acknowledgement: the first worker to acknowledge wins.
const FINISH: &str = "
    if redis.call('XACK', KEYS[1], ARGV[1], ARGV[2]) == 1 then
        redis.call('HINCRBY', KEYS[2], ARGV[3], 1)
        return 1
    end
    redis.call('INCR', KEYS[3])
    return 0";

/// A job of this worker.
pub(crate) struct Job {
    id: String,
    pub(crate) number: u64,
}

/// A connection, which clones share.
#[derive(Clone)]
pub(crate) struct Engine(MultiplexedConnection);

impl Engine {
    pub(crate) async fn connect(socket: &Path) -> Result<Engine> {
        let stream = Duplex::from(open_unix_connection(socket).await?);
        // Limits are asyncio's: redis would use tokio's timers, which do not run here.
        let config = AsyncConnectionConfig::new().set_response_timeout(None);
        let info = RedisConnectionInfo::default();
        let connecting = MultiplexedConnection::new_with_config(&info, stream, config);
        let (connection, driver) = connecting.await?;
        // The task ends with the last clone of the connection.
        drop(create_task(async move {
            driver.await;
            Ok(())
        }));
        Ok(Engine(connection))
    }

    async fn ask<T: FromRedisValue>(&self, command: &redis::Cmd) -> Result<T> {
        Ok(command.query_async(&mut self.0.clone()).await?)
    }

    /// Creates the group, which gets all jobs, including those that were added before.
    pub(crate) async fn create_group(&self) -> Result<()> {
        let mut create = cmd("XGROUP");
        self.ask(create.arg(&["CREATE", STREAM, GROUP, "0", "MKSTREAM"])).await
    }

    pub(crate) async fn add(&self, number: u64) -> Result<()> {
        let _: String = self.ask(cmd("XADD").arg(STREAM).arg("*").arg("n").arg(number)).await?;
        Ok(())
    }

    /// Takes new jobs; waits at most `wait` for the first one.
    pub(crate) async fn take(
        &self,
        worker: &str,
        count: usize,
        wait: Duration,
    ) -> Result<Vec<Job>> {
        let mut read = cmd("XREADGROUP");
        read.arg(&["GROUP", GROUP, worker]).arg("COUNT").arg(count);
        read.arg("BLOCK").arg(wait.as_millis() as u64).arg(&["STREAMS", STREAM, ">"]);
        let reply: Option<StreamReadReply> = self.ask(&read).await?;
        let entries = reply.into_iter().flat_map(|reply| reply.keys).flat_map(|key| key.ids);
        entries.map(job).collect()
    }

    /// Claims jobs that a worker has held for longer than the lease.
    pub(crate) async fn claim(
        &self,
        worker: &str,
        count: usize,
        lease: Duration,
    ) -> Result<Vec<Job>> {
        let mut claim = cmd("XAUTOCLAIM");
        claim.arg(&[STREAM, GROUP, worker]).arg(lease.as_millis() as u64).arg("0");
        let reply: StreamAutoClaimReply = self.ask(claim.arg("COUNT").arg(count)).await?;
        reply.claimed.into_iter().map(job).collect()
    }

    /// Acknowledges a job with its result; false if another worker has done so before.
    pub(crate) async fn finish(&self, job: &Job, succeeded: bool) -> Result<bool> {
        let results = if succeeded { DONE } else { FAILED };
        let mut finish = cmd("EVAL");
        finish.arg(FINISH).arg(3).arg(&[STREAM, results, LATE, GROUP, &job.id]).arg(job.number);
        self.ask(&finish).await
    }

    pub(crate) async fn report(&self) -> Result<Report> {
        let counts =
            async |results| -> Result<Vec<u64>> { self.ask(cmd("HVALS").arg(results)).await };
        let late: Option<u64> = self.ask(cmd("GET").arg(LATE)).await?;
        let pending: (u64, Value, Value, Value) =
            self.ask(cmd("XPENDING").arg(&[STREAM, GROUP])).await?;
        Ok(Report {
            done: counts(DONE).await?,
            failed: counts(FAILED).await?,
            late: late.unwrap_or(0),
            pending: pending.0,
        })
    }
}

/// The outcome of the jobs.
pub(crate) struct Report {
    /// How often each job that succeeded was done, and each that was put aside.
    pub(crate) done: Vec<u64>,
    pub(crate) failed: Vec<u64>,
    pub(crate) late: u64,
    /// The number of jobs that workers hold.
    pub(crate) pending: u64,
}

fn job(entry: StreamId) -> Result<Job> {
    let number = entry.get("n").ok_or_else(|| asyncio::Error::value("an entry that is no job"))?;
    Ok(Job { id: entry.id, number })
}
