//! Operations that are cancelled or dropped while a thread works on them. A FIFO makes the thread wait.

use crate::{to_read, to_write};
use asyncio::{AsyncContextManager, Error, files, wait_for};
use std::{
    io::{Read, Write},
    time::Duration,
};

const SOON: Duration = Duration::from_millis(20);

#[asyncio::test]
async fn a_cancelled_read_leaves_what_the_thread_reads_to_the_next() -> asyncio::Result<()> {
    let (_directory, mut file, mut other) = to_read().await?;
    assert!(wait_for(file.read(4), SOON).await.unwrap_err().is_timeout());
    assert!(wait_for(file.readline(), SOON).await.unwrap_err().is_timeout());
    other.write_all(b"one\ntwo\nthree\n")?;
    assert_eq!(file.readline().await?, "one\n");
    assert_eq!(file.read(2).await?, "tw");
    assert_eq!(file.next().await.transpose()?.unwrap(), "o\n");
    assert_eq!(file.read(6).await?, "three\n");
    Ok(())
}

#[asyncio::test]
async fn a_large_read_that_is_cancelled_loses_nothing_either() -> asyncio::Result<()> {
    let (_directory, mut file, mut other) = to_read().await?;
    let text: Vec<u8> = (0..500_000u32).map(|n| (n % 251) as u8).collect();
    assert!(wait_for(file.read(400_000), SOON).await.unwrap_err().is_timeout());
    let written = text.clone();
    let writing = std::thread::spawn(move || other.write_all(&written));
    let mut all = file.read(10).await?.to_vec();
    all.extend(file.read(200_000).await?);
    all.extend(file.read_to_end().await?);
    assert!(all == text);
    writing.join().unwrap()?;
    Ok(())
}

#[asyncio::test]
async fn the_loser_of_a_select_loses_no_byte() -> asyncio::Result<()> {
    let (_directory, mut file, mut other) = to_read().await?;
    for n in 0..20u8 {
        asyncio::select! {
            _ = file.read(1) => panic!("nothing was written"),
            _ = asyncio::sleep(Duration::from_millis(1)) => {}
        }
        other.write_all(&[n])?;
        assert_eq!(file.read(1).await?, [n][..]);
    }
    Ok(())
}

#[asyncio::test]
async fn a_cancelled_write_says_what_was_taken_and_ends_before_the_next() -> asyncio::Result<()> {
    let (_directory, mut file, mut other) = to_write().await?;
    let large = vec![b'a'; 1 << 20];
    file.write("first ").await?;
    let mut write = file.write(&large);
    assert!(wait_for(&mut write, SOON).await.unwrap_err().is_timeout());
    assert_eq!(write.written(), 1 << 20);
    drop(write);
    // The operation waits for a thread, which waits for a reader, so none of its data is written.
    let mut write = file.write("never");
    assert!(wait_for(&mut write, SOON).await.unwrap_err().is_timeout());
    assert_eq!(write.written(), 0);
    drop(write);

    let reading = asyncio::create_task(asyncio::to_thread(move || {
        let mut all = Vec::new();
        other.read_to_end(&mut all).map(|_| all)
    }));
    file.write("last").await?;
    file.close().await?;
    let all = reading.await??;
    assert_eq!(all.len(), 6 + (1 << 20) + 4);
    assert!(all.starts_with(b"first aaa") && all.ends_with(b"aaalast"));
    Ok(())
}

#[asyncio::test]
async fn a_write_that_is_awaited_again_goes_on() -> asyncio::Result<()> {
    let (_directory, mut file, mut other) = to_write().await?;
    let large = vec![b'a'; 1 << 20];
    let mut write = file.write(&large);
    assert!(wait_for(&mut write, SOON).await.unwrap_err().is_timeout());
    let reading = asyncio::create_task(asyncio::to_thread(move || {
        let mut all = Vec::new();
        other.read_to_end(&mut all).map(|_| all.len())
    }));
    assert_eq!(write.await?, 1 << 20);
    file.close().await?;
    assert_eq!(reading.await??, 1 << 20);
    Ok(())
}

#[asyncio::test]
async fn the_error_of_a_cancelled_write_is_that_of_the_next_operation() -> asyncio::Result<()> {
    let (_directory, mut file, other) = to_write().await?;
    let large = vec![b'a'; 1 << 20];
    assert!(wait_for(file.write(&large), SOON).await.unwrap_err().is_timeout());
    drop(other);
    let error = file.flush().await.unwrap_err();
    assert!(error.to_string().starts_with("File.write: "), "{error}");
    assert!(matches!(&error, Error::Io(e) if e.kind() == std::io::ErrorKind::BrokenPipe));
    // The error was reported once, and the unwritten data is discarded.
    file.flush().await?;
    file.close().await
}

#[asyncio::test]
async fn a_cancelled_close_writes_in_the_background() -> asyncio::Result<()> {
    let (_directory, mut file, mut other) = to_write().await?;
    file.write(vec![b'a'; 100_000]).await?;
    assert!(wait_for(file.close(), SOON).await.unwrap_err().is_timeout());
    let mut all = Vec::new();
    let read = asyncio::to_thread(move || other.read_to_end(&mut all)).await??;
    assert_eq!(read, 100_000);
    Ok(())
}

#[asyncio::test]
async fn a_cancelled_task_leaves_the_block_and_closes() -> asyncio::Result<()> {
    let (_directory, path) = crate::file_with("").await?;
    let task = asyncio::create_task({
        let path = path.clone();
        async move {
            let block = files::open(&path).mode("w").with(async |file| {
                file.write("written").await?;
                asyncio::sleep(Duration::from_secs(3600)).await
            });
            block.await
        }
    });
    while task.wait_site().is_none_or(|site| site.what() != "sleep") {
        asyncio::sleep(Duration::ZERO).await?;
    }
    task.cancel();
    assert!(task.await.unwrap_err().is_cancelled());
    assert_eq!(files::read(&path).await?, "written");
    Ok(())
}

#[asyncio::test(virtual_time)]
async fn the_virtual_clock_stands_while_a_thread_reads() -> asyncio::Result<()> {
    let (_directory, mut file, mut other) = to_read().await?;
    let writing = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        other.write_all(b"hello").map(|()| other)
    });
    // Under the virtual clock an hour would pass immediately.
    assert_eq!(wait_for(file.read(5), Duration::from_secs(3600)).await?, "hello");
    drop(writing.join().unwrap()?);
    Ok(())
}
