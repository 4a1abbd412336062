//! Modes, and writing.

use crate::file_with;
use asyncio::{AsyncContextManager, Error, files};
use std::{io::SeekFrom, os::unix::fs::MetadataExt};

#[asyncio::test]
async fn each_mode_does_what_pythons_does() -> asyncio::Result<()> {
    let (directory, path) = file_with("12345").await?;
    let read = || files::read_to_string(&path);

    files::open(&path).mode("r+").with(async |file| file.write("ab").await).await?;
    assert_eq!(read().await?, "ab345");
    let appended = files::open(&path).mode("a").with(async |file| {
        assert_eq!(file.tell().await?, 5);
        file.write("6").await?;
        file.tell().await
    });
    assert_eq!(appended.await?, 6);
    assert_eq!(read().await?, "ab3456");
    let appended = files::open(&path).mode("a+b").with(async |file| {
        file.seek(SeekFrom::Start(0)).await?;
        assert_eq!(file.read(3).await?, "ab3");
        file.write("7").await?;
        assert_eq!(file.tell().await?, 7);
        file.read(1).await
    });
    assert_eq!(appended.await?, "");
    assert_eq!(read().await?, "ab34567");
    let written = files::open(&path).mode("w+").with(async |file| {
        file.write("new").await?;
        file.seek(SeekFrom::Start(1)).await?;
        file.read_to_end().await
    });
    assert_eq!(written.await?, "ew");
    let error = files::open(&path).mode("x").await.unwrap_err();
    assert!(error.to_string().starts_with("open: "), "{error}");
    let created = directory.path().join("created");
    files::open(&created).mode("x").permissions(0o600).await?.close().await?;
    assert_eq!(files::metadata(&created).await?.mode() & 0o777, 0o600);
    Ok(())
}

#[asyncio::test]
async fn a_mode_that_forbids_an_operation_is_an_error_at_once() -> asyncio::Result<()> {
    let (_directory, path) = file_with("text").await?;
    let mut file = files::open(&path).await?;
    for error in [file.write("x").await.map(drop), file.truncate(1).await.map(drop)] {
        let error = error.unwrap_err();
        assert!(matches!(error, Error::Value(_)) && error.to_string().contains("not writable"));
    }
    let mut file = files::open(&path).mode("w").await?;
    for error in [file.read(1).await, file.readline().await, file.read_to_end().await] {
        let error = error.unwrap_err();
        assert!(matches!(error, Error::Value(_)) && error.to_string().contains("not readable"));
    }
    assert!(matches!(file.next().await, Some(Err(Error::Value(_)))));
    Ok(())
}

#[asyncio::test]
async fn a_write_goes_where_the_last_read_ended_and_is_read_back() -> asyncio::Result<()> {
    let (_directory, path) = file_with("one\ntwo\nthree\n").await?;
    let mut file = files::open(&path).mode("r+").await?;
    assert_eq!(file.readline().await?, "one\n");
    assert_eq!(file.write("TWO").await?, 3);
    assert_eq!(file.readline().await?, "\n");
    assert_eq!(file.tell().await?, 8);
    file.write("T").await?;
    file.flush().await?;
    assert_eq!(files::read(&path).await?, "one\nTWO\nThree\n");
    file.close().await
}

#[asyncio::test]
async fn small_writes_wait_for_a_flush_and_large_ones_do_not() -> asyncio::Result<()> {
    let (_directory, path) = file_with("").await?;
    let size = async || Ok::<_, Error>(files::metadata(&path).await?.len());
    let mut file = files::open(&path).mode("w").await?;
    for _ in 0..100 {
        file.write([1; 1000]).await?;
    }
    assert_eq!(size().await?, 0);
    file.flush().await?;
    assert_eq!(size().await?, 100_000);
    file.write([2; 10]).await?;
    file.write(vec![3; 1 << 20]).await?;
    assert_eq!(size().await?, 100_010 + (1 << 20));
    file.sync().await?;
    file.write("end").await?;
    file.close().await?;
    let text = files::read(&path).await?;
    assert_eq!((text[100_009], text[100_010], &text[text.len() - 3..]), (2, 3, &b"end"[..]));
    Ok(())
}

#[asyncio::test]
async fn truncate_leaves_the_position() -> asyncio::Result<()> {
    let (_directory, path) = file_with("0123456789").await?;
    let mut file = files::open(&path).mode("r+").await?;
    assert_eq!(file.read(4).await?, "0123");
    assert_eq!(file.truncate(6).await?, 6);
    assert_eq!(file.read(10).await?, "45");
    assert_eq!(file.seek(SeekFrom::Start(3)).await?, 3);
    assert_eq!(file.truncate(None).await?, 3);
    assert_eq!(file.truncate(5).await?, 5);
    assert_eq!(file.read_to_end().await?, "\0\0");
    file.close().await
}

#[asyncio::test]
async fn sendfile_moves_the_position_of_a_file_that_was_flushed() -> asyncio::Result<()> {
    let (_directory, path) = file_with("one\ntwo\nthree\n").await?;
    let mut file = files::open(&path).mode("r+").await?;
    assert_eq!(file.readline().await?, "one\n");
    file.write("TWO").await?;
    file.flush().await?;
    assert_eq!(file.tell().await?, 7);

    let server = asyncio::start_server(
        async |mut reader, _writer| {
            assert_eq!(reader.read_to_end().await?, "TWO\nth");
            Ok(())
        },
        ("127.0.0.1", 0),
    )
    .await?;
    let (_reader, writer) = asyncio::open_connection(server.local_addr()).await?;
    assert_eq!(asyncio::sendfile(writer.transport(), &file).offset(4).count(6).await?, 6);
    writer.close();
    assert_eq!(file.tell().await?, 10);
    assert_eq!(file.readline().await?, "ree\n");
    server.close();
    server.wait_closed().await
}
