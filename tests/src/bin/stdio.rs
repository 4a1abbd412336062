//! A program that `tests/tests/stdio.rs` starts with all kinds of standard streams. Its argument selects what it does
//! with them.

use asyncio::{input, stderr, stdin, stdout};
use std::time::Duration;

fn main() -> asyncio::Result<()> {
    let what = std::env::args().nth(1).unwrap_or_default();
    asyncio::run(async move {
        match &*what {
            "echo" => echo().await,
            "inputs" => inputs().await,
            "cancel" => cancel().await,
            "flood" => flood().await,
            "panic" => {
                let _streams = (stdin().await?, stdout().await?);
                panic!("as it should");
            }
            "exit" => {
                let _streams = (stdin().await?, stdout().await?);
                std::process::exit(3);
            }
            other => Err(asyncio::Error::value(format!("there is no {other:?}"))),
        }
    })
}

/// Copies lines from standard input to standard output, and writes their number to standard error.
async fn echo() -> asyncio::Result<()> {
    let (mut lines, output) = (stdin().limit(1 << 20).await?, stdout().await?);
    let mut count = 0;
    while let Some(line) = lines.next().await {
        output.writelines([&line?.to_ascii_uppercase()[..], b""]);
        output.drain().await?;
        count += 1;
    }
    let errors = stderr().await?;
    errors.write(format!("{count} lines\n"));
    errors.drain().await
}

/// Prompts for input until there is no answer.
async fn inputs() -> asyncio::Result<()> {
    loop {
        match input("> ").await {
            Ok(line) => println!("{line:?}"),
            Err(error) => {
                println!("{error}");
                return Ok(());
            }
        }
    }
}

/// Reports that a read was cancelled, and then reads.
async fn cancel() -> asyncio::Result<()> {
    let (mut reader, output) = (stdin().await?, stdout().await?);
    let soon = Duration::from_millis(20);
    let error = asyncio::wait_for(reader.readline(), soon).await.unwrap_err();
    assert!(error.is_timeout(), "{error:?}");
    drop(reader);
    let error = asyncio::wait_for(input(""), soon).await.unwrap_err();
    assert!(error.is_timeout(), "{error:?}");
    output.write("cancelled\n");
    output.drain().await?;
    let answer = input("").await? + &input("").await? + "\n";
    output.write(answer);
    output.drain().await
}

/// Writes until an error occurs, and reports it.
async fn flood() -> asyncio::Result<()> {
    let output = stdout().await?;
    loop {
        output.write([0; 64 * 1024]);
        if let Err(error) = output.drain().await {
            let asyncio::Error::Io(error) = error else { return Err(error) };
            let errors = stderr().await?;
            errors.write(format!("it failed: {:?}", error.kind()));
            return errors.drain().await;
        }
    }
}
