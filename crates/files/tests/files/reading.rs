//! Reading, and the position.

use crate::file_with;
use asyncio::{AsyncContextManager, files};
use std::io::SeekFrom;

#[asyncio::test]
async fn reads_give_what_was_asked_for_and_less_at_the_end_alone() -> asyncio::Result<()> {
    let text: Vec<u8> = (0..300_000u32).map(|n| (n % 251) as u8).collect();
    let (_directory, path) = file_with(&text).await?;
    let mut file = files::open(&path).await?;
    let (mut read, mut sizes) = (Vec::new(), [1, 4096, 100_000, 131_072, 5].into_iter().cycle());
    while read.len() < text.len() {
        let n = sizes.next().unwrap();
        let data = file.read(n).await?;
        assert_eq!(data.len(), n.min(text.len() - read.len()));
        read.extend_from_slice(&data);
        assert_eq!(file.tell().await?, read.len() as u64);
    }
    assert_eq!(read, text);
    assert_eq!(file.read(10).await?, "");
    assert_eq!(file.read(1 << 20).await?, "");
    assert_eq!(file.read_to_end().await?, "");
    file.close().await
}

#[asyncio::test]
async fn a_huge_read_is_a_read_to_the_end() -> asyncio::Result<()> {
    let (_directory, path) = file_with("hello").await?;
    let mut file = files::open(&path).await?;
    assert_eq!(file.read(1).await?, "h");
    assert_eq!(file.read(usize::MAX).await?, "ello");
    Ok(())
}

#[asyncio::test]
async fn lines_end_with_their_newline_and_the_last_one_may_not() -> asyncio::Result<()> {
    let long = "x".repeat(700_000) + "\n";
    let text = format!("one\n\n{long}last");
    let (_directory, path) = file_with(&text).await?;
    let mut file = files::open(&path).await?;
    let mut lines = Vec::new();
    while let Some(line) = file.next().await {
        lines.push(String::from_utf8(line?.to_vec()).unwrap());
    }
    assert_eq!(lines, ["one\n", "\n", &long, "last"]);
    assert_eq!(file.readline().await?, "");
    assert!(file.next().await.is_none());
    Ok(())
}

#[asyncio::test]
async fn lines_and_bytes_share_the_position() -> asyncio::Result<()> {
    let (_directory, path) = file_with("one\ntwo\nthree").await?;
    let mut file = files::open(&path).await?;
    assert_eq!(file.read(1).await?, "o");
    assert_eq!(file.readline().await?, "ne\n");
    assert_eq!(file.read(0).await?, "");
    assert_eq!(file.seek(SeekFrom::Current(1)).await?, 5);
    assert_eq!(file.readline().await?, "wo\n");
    assert_eq!(file.seek(SeekFrom::End(-2)).await?, 11);
    assert_eq!(file.read_to_end().await?, "ee");
    assert_eq!(file.seek(SeekFrom::Start(0)).await?, 0);
    assert_eq!(file.readline().await?, "one\n");
    Ok(())
}

#[asyncio::test]
async fn what_is_appended_meanwhile_is_read_behind_the_end() -> asyncio::Result<()> {
    let (_directory, path) = file_with("one").await?;
    let mut file = files::open(&path).await?;
    assert_eq!(file.read(10).await?, "one");
    assert_eq!(file.read(10).await?, "");
    files::open(&path).mode("a").with(async |other| other.write("two").await).await?;
    assert_eq!(file.read(10).await?, "two");
    Ok(())
}

#[asyncio::test]
async fn two_tasks_share_a_file_in_a_lock() -> asyncio::Result<()> {
    let text: String = (0..10_000).map(|n| format!("{n}\n")).collect();
    let (_directory, path) = file_with(&text).await?;
    let file = std::rc::Rc::new(asyncio::Lock::new(files::open(&path).await?));
    let read = || {
        let file = file.clone();
        async move {
            let mut lines = Vec::new();
            while let Some(line) = file.acquire().await?.next().await {
                lines.push(line?);
                asyncio::sleep(std::time::Duration::ZERO).await?;
            }
            Ok(lines)
        }
    };
    let (one, two) = (asyncio::create_task(read()), asyncio::create_task(read()));
    let (one, two) = (one.await?, two.await?);
    assert!(!one.is_empty() && !two.is_empty());
    let mut numbers: Vec<u32> = [one, two]
        .concat()
        .iter()
        .map(|line| std::str::from_utf8(line).unwrap().trim_end().parse().unwrap())
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..10_000).collect::<Vec<u32>>());
    Ok(())
}

#[test]
fn without_a_loop_it_is_an_error() {
    let outcome = futures_lite::future::block_on(files::open("Cargo.toml").into_future());
    let error = outcome.unwrap_err();
    assert!(matches!(error, asyncio::Error::Runtime(_)), "{error:?}");

    let mut file = asyncio::run(async { files::open("Cargo.toml").await }).unwrap();
    let outcome = futures_lite::future::block_on(file.read(9));
    assert!(matches!(outcome.unwrap_err(), asyncio::Error::Runtime(_)));
    // In a loop it continues, even in another one.
    assert_eq!(asyncio::run(async move { file.read(9).await }).unwrap(), "[package]");
}
