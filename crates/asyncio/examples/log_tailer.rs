//! Follows a log file, prints its errors as they are written, and at Ctrl-C prints their number. `log_tailer FILE`
//!
//! ```python
//! async def main(file):
//!     stop = asyncio.Event()
//!     asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stop.set)
//!     tail = await asyncio.create_subprocess_exec("tail", "-n", "+1", "-F", file, stdout=PIPE)
//!     async def follow():
//!         async for line in tail.stdout:
//!             if b"ERROR" in line:
//!                 errors.append(line)
//!                 print(line.decode(), end="", flush=True)
//!     errors = []
//!     following, stopping = asyncio.create_task(follow()), asyncio.create_task(stop.wait())
//!     await asyncio.wait([following, stopping], return_when=asyncio.FIRST_COMPLETED)
//!     following.cancel()
//!     stopping.cancel()
//!     tail.terminate()
//!     await tail.wait()
//!     print(f"{len(errors)} errors")
//! ```

use asyncio::{create_subprocess_exec, select, signals, subprocess::PIPE};

#[asyncio::main]
async fn main() -> asyncio::Result<()> {
    let file = std::env::args().nth(1).unwrap_or_else(|| "/var/log/syslog".to_owned());
    let mut interrupts = signals::receive_signals([signals::SIGINT])?;
    let mut tail = create_subprocess_exec("tail", ["-n", "+1", "-F", &file]).stdout(PIPE).await?;
    let mut errors = 0;
    loop {
        select! {
            line = tail.stdout()?.next() => match line {
                Some(line) => {
                    let line = line?;
                    let text = String::from_utf8_lossy(&line);
                    if text.contains("ERROR") {
                        errors += 1;
                        print!("{text}");
                    }
                }
                None => break,
            },
            _ = interrupts.next() => break,
        }
    }
    tail.terminate()?;
    tail.wait().await?;
    println!("{errors} errors");
    Ok(())
}
