//! ```python
//! async def run(program, *args):
//!     process = await asyncio.create_subprocess_exec(
//!         program, *args, stdout=PIPE, stderr=PIPE)
//!     stdout, stderr = await process.communicate()
//!     print(f"{program} {args} ended with {process.returncode}")
//!     return stdout.decode()
//!
//! async def main():
//!     assert await run("ls", "-d", "/", "/tmp") == "/\n/tmp\n"
//!     assert await run("ls", "/no/such/place") == ""
//! ```

use crate::stage::{expect, expect_lines};
use asyncio::{prelude::*, subprocess::PIPE};

pub const TITLE: &str = "Subprocesses: the output of a program, and its exit status";

async fn run(program: &str, args: &[&str]) -> asyncio::Result<String> {
    let spawn = asyncio::create_subprocess_exec(program, args).stdout(PIPE).stderr(PIPE);
    let mut process = spawn.await?;
    let output = process.communicate(None).await?;
    let outcome = if process.returncode() == Some(0) { "well" } else { "badly" };
    say!("{program} {} ended {outcome}", args.join(" "));
    output.stdout.decode()
}

pub async fn main() -> asyncio::Result<()> {
    expect("the list", run("ls", &["-d", "/", "/tmp"]).await?, "/\n/tmp\n")?;
    expect("no list", run("ls", &["/no/such/place"]).await?, "")?;
    expect_lines(["ls -d / /tmp ended well", "ls /no/such/place ended badly"])
}
