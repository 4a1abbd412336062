//! Work that is distributed over processes by an engine that exists: Redis Streams with a consumer group.
//!
//! ```text
//!   jobs --demo [COUNT]                  all of it, with a Redis of its own; a worker is killed
//!   jobs produce SOCKET FIRST COUNT      adds jobs
//!   jobs work SOCKET NAME                works on jobs until SIGTERM, and finishes what it has
//! ```
//!
//! A job is an entry of a stream. The group gives each entry to one worker, and remembers it until the
//! worker acknowledges it. The result and the acknowledgement are stored in one step, so a job that two
//! workers have done (because the lease of a slow one ran out) counts once. What a killed worker held
//! is claimed by others when its lease has run out. A job that fails is tried again with growing pauses,
//! and put aside if it keeps failing.

mod demo;
mod engine;
mod worker;

use asyncio::Result;
use std::{path::Path, process::ExitCode};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = asyncio::run(async move {
        match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["--demo"] => demo::run(2_000).await,
            ["--demo", count] => demo::run(count.parse()?).await,
            ["produce", socket, first, count] => {
                produce(Path::new(socket), first.parse()?, count.parse()?).await
            }
            ["work", socket, name] => worker::run(Path::new(socket), name).await,
            _ => Err(asyncio::Error::value("usage: jobs --demo [COUNT] | produce … | work …")),
        }
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("jobs: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Adds `count` jobs, numbered from `first` on.
async fn produce(socket: &Path, first: u64, count: u64) -> Result<()> {
    let engine = engine::Engine::connect(socket).await?;
    for number in first..first + count {
        engine.add(number).await?;
    }
    Ok(())
}
