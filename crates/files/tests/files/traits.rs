//! Through the traits of `futures-io` and `futures-core`.

use crate::{file_with, to_read};
use asyncio::files;
use futures_lite::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt, StreamExt};
use std::{
    io::{SeekFrom, Write},
    time::Duration,
};

#[asyncio::test]
async fn other_libraries_read_write_and_seek() -> asyncio::Result<()> {
    let (_directory, path) = file_with("").await?;
    let mut file = files::open(&path).mode("w+").await?;
    let text: Vec<u8> = (0..300_000u32).map(|n| (n % 251) as u8).collect();
    AsyncWriteExt::write_all(&mut file, &text).await?;
    AsyncWriteExt::flush(&mut file).await?;
    assert_eq!(files::metadata(&path).await?.len(), 300_000);
    assert_eq!(AsyncSeekExt::seek(&mut file, SeekFrom::Start(100)).await?, 100);
    let mut part = [0; 1000];
    file.read_exact(&mut part).await?;
    assert_eq!(part, text[100..1100]);
    assert_eq!(AsyncSeekExt::seek(&mut file, SeekFrom::Current(-10)).await?, 1090);
    let mut rest = Vec::new();
    AsyncReadExt::read_to_end(&mut file, &mut rest).await?;
    assert!(rest == text[1090..]);
    AsyncWriteExt::close(&mut file).await?;
    Ok(())
}

#[asyncio::test]
async fn it_is_a_stream_of_lines() -> asyncio::Result<()> {
    let (_directory, path) = file_with("one\ntwo").await?;
    let file = files::open(&path).await?;
    let lines: Vec<_> = StreamExt::map(file, |line| line.unwrap()).collect().await;
    assert_eq!(lines, ["one\n", "two"]);
    let entries = files::read_dir(path.parent().unwrap()).await?;
    assert_eq!(entries.count().await, 1);
    Ok(())
}

#[asyncio::test]
async fn a_foreign_read_is_ended_by_its_scope_and_loses_nothing() -> asyncio::Result<()> {
    let (_directory, mut file, mut other) = to_read().await?;
    let mut buffer = [0; 5];
    let read = asyncio::cancellable(async { Ok(file.read_exact(&mut buffer).await?) });
    let error = asyncio::wait_for(read, Duration::from_millis(20)).await.unwrap_err();
    assert!(error.is_timeout(), "{error:?}");
    other.write_all(b"hello world")?;
    assert_eq!(file.read(5).await?, "hello");
    file.read_exact(&mut buffer).await?;
    assert_eq!(buffer, *b" worl");
    assert_eq!(file.read(1).await?, "d");
    Ok(())
}

#[asyncio::test]
async fn a_seek_that_is_given_up_is_done_before_the_next() -> asyncio::Result<()> {
    let (_directory, path) = file_with("0123456789").await?;
    let mut file = files::open(&path).await?;
    let mut seek = AsyncSeekExt::seek(&mut file, SeekFrom::Start(5));
    // The thread may already have finished.
    let _ = futures_lite::future::poll_once(&mut seek).await;
    assert_eq!(AsyncSeekExt::seek(&mut file, SeekFrom::Current(1)).await?, 6);
    assert_eq!(file.read(1).await?, "6");
    Ok(())
}
