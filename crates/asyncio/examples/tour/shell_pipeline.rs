//! ```python
//! async def main():
//!     process = await asyncio.create_subprocess_shell(
//!         "sort | uniq -c | sort -rn | head -n 1", stdin=PIPE, stdout=PIPE)
//!     stdout, _ = await process.communicate(b"pear\napple\npear\nplum\napple\npear\n")
//!     count, fruit = stdout.split()
//!     print(f"{count} times {fruit}")
//! ```

use crate::stage::expect_lines;
use asyncio::{prelude::*, subprocess::PIPE};

pub const TITLE: &str = "Subprocesses: a pipeline of the shell, fed and read at the same time";

pub async fn main() -> asyncio::Result<()> {
    let pipeline = asyncio::create_subprocess_shell("sort | uniq -c | sort -rn | head -n 1");
    let mut process = pipeline.stdin(PIPE).stdout(PIPE).await?;
    let output = process.communicate(b"pear\napple\npear\nplum\napple\npear\n").await?;
    let text = output.stdout.decode()?;
    say!("{}", text.split_whitespace().collect::<Vec<_>>().join(" times "));
    expect_lines(["3 times pear"])
}
