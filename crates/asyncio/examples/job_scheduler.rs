//! Runs shell commands again and again, each with its own period, and tries one that fails three times. After SIGTERM
//! or Ctrl-C, no further command is started, and the running ones may finish. `job_scheduler SECONDS COMMAND…`
//!
//! ```python
//! async def run(command):
//!     for attempt in range(3):
//!         process = await asyncio.create_subprocess_shell(command)
//!         if await process.wait() == 0:
//!             return print(f"done: {command}", flush=True)
//!         await asyncio.sleep(0.1 * 2 ** attempt)
//!     print(f"given up: {command}", flush=True)
//!
//! async def repeat(period, command, stop):
//!     while not stop.is_set():
//!         await run(command)
//!         try:
//!             await asyncio.wait_for(stop.wait(), period)
//!         except TimeoutError:
//!             pass
//!
//! async def main(jobs):
//!     stop = asyncio.Event()
//!     for number in signal.SIGTERM, signal.SIGINT:
//!         asyncio.get_running_loop().add_signal_handler(number, stop.set)
//!     async with asyncio.TaskGroup() as group:
//!         for period, command in jobs:
//!             group.create_task(repeat(period, command, stop))
//!     print("stopped")
//! ```

use asyncio::{
    AsyncContextManager, Error, Event, TaskGroup, create_subprocess_shell, get_running_loop, retry,
    signals::{SIGINT, SIGTERM},
    timeout,
};
use std::{rc::Rc, time::Duration};

async fn run(command: &str) -> asyncio::Result<()> {
    let once = async || match create_subprocess_shell(command).await?.wait().await? {
        0 => Ok(()),
        code => Err(Error::msg(format!("exit status {code}"))),
    };
    match retry(once).attempts(3).delay(Duration::from_millis(100)).await {
        Ok(()) => println!("done: {command}"),
        Err(error) if error.is_cancelled() => return Err(error),
        Err(error) => println!("given up: {command}: {error}"),
    }
    Ok(())
}

async fn repeat(period: Duration, command: String, stop: Rc<Event>) -> asyncio::Result<()> {
    while !stop.is_set() {
        run(&command).await?;
        timeout(period).with_suppress(async |_| stop.wait().await).await?;
    }
    Ok(())
}

#[asyncio::main]
async fn main() -> asyncio::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let stop = Rc::new(Event::new());
    for signal in [SIGTERM, SIGINT] {
        let stop = stop.clone();
        get_running_loop()?.add_signal_handler(signal, move || stop.set())?;
    }
    let jobs = TaskGroup::new().with(async |group| {
        for job in arguments.chunks_exact(2) {
            let period = Duration::from_secs_f64(job[0].parse()?);
            group.create_task(repeat(period, job[1].clone(), stop.clone()));
        }
        Ok(())
    });
    jobs.await?;
    println!("stopped");
    Ok(())
}
