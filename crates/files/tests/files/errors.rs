//! Errors.

use crate::file_with;
use asyncio::{Error, files};
use std::{io::ErrorKind, os::unix::fs::PermissionsExt};

fn kind(error: &Error) -> Option<ErrorKind> {
    match error {
        Error::Io(error) => Some(error.kind()),
        _ => None,
    }
}

#[asyncio::test]
async fn errors_of_the_system_name_the_function_and_the_path() -> asyncio::Result<()> {
    let error = files::open("/no/such/file").await.unwrap_err();
    assert_eq!(kind(&error), Some(ErrorKind::NotFound));
    assert!(error.to_string().starts_with("open: /no/such/file: No such file"), "{error}");
    let error = files::rename("/no/such/file", "/no/other").await.unwrap_err();
    assert!(error.to_string().starts_with("files.rename: /no/such/file to /no/other: "), "{error}");
    for mode in ["r", "w", "r+", "a"] {
        let error = files::open("/").mode(mode).await.unwrap_err();
        assert_eq!(kind(&error), Some(ErrorKind::IsADirectory), "{mode}");
    }
    let error = files::open("/").mode("rw").await.unwrap_err();
    assert!(matches!(error, Error::Value(_)), "{error:?}");
    Ok(())
}

#[asyncio::test]
async fn a_path_with_a_null_byte_and_text_that_is_not_utf_8_are_no_errors_of_the_system()
-> asyncio::Result<()> {
    let path = "/no\0such";
    let (_directory, file) = file_with([0xff, b'\n']).await?;
    let errors = [
        ("open", files::open(path).await.map(drop)),
        ("files.read", files::read(path).await.map(drop)),
        ("files.write", files::write(path, "").await),
        ("files.rename", files::rename(path, "/no/other").await),
        ("files.copy", files::copy("/etc/passwd", path).await.map(drop)),
        ("files.read_dir", files::read_dir(path).await.map(drop)),
    ];
    for (what, outcome) in errors {
        let error = outcome.unwrap_err();
        let text = error.to_string();
        assert_eq!(error.kind(), "ValueError", "{what}");
        assert!(text.starts_with(what) && text.ends_with("embedded null byte"), "{text}");
    }
    assert_eq!(files::read_to_string(&file).await.unwrap_err().kind(), "ValueError");
    Ok(())
}

#[asyncio::test]
async fn a_file_that_must_not_be_opened_is_not() -> asyncio::Result<()> {
    let (_directory, path) = file_with("secret").await?;
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o000))?;
    let outcome = files::open(&path).await;
    // Root may do this.
    match nix::unistd::geteuid().is_root() {
        true => _ = outcome?,
        false => assert_eq!(kind(&outcome.unwrap_err()), Some(ErrorKind::PermissionDenied)),
    }
    Ok(())
}

#[asyncio::test]
async fn a_full_disk_fails_the_flush_and_the_close() -> asyncio::Result<()> {
    let mut file = files::open("/dev/full").mode("w").await?;
    assert_eq!(file.write("hello").await?, 5);
    for _ in 0..2 {
        let error = file.flush().await.unwrap_err();
        assert_eq!(kind(&error), Some(ErrorKind::StorageFull));
        assert!(error.to_string().starts_with("File.flush: /dev/full: "), "{error}");
    }
    let data = vec![0; 1 << 20];
    let mut write = file.write(&data);
    let error = (&mut write).await.unwrap_err();
    assert_eq!((write.written(), kind(&error)), (0, Some(ErrorKind::StorageFull)));
    drop(write);
    // The data of the small write is still buffered, and the unwritten data of the large one is
    // not.
    assert!(format!("{file:?}").contains("5 to write"), "{file:?}");
    let error = file.close().await.unwrap_err();
    assert_eq!(kind(&error), Some(ErrorKind::StorageFull));
    Ok(())
}

#[asyncio::test]
async fn a_pipe_has_no_position_and_loses_nothing_by_being_asked() -> asyncio::Result<()> {
    let (_directory, mut file, mut other) = crate::to_read().await?;
    std::io::Write::write_all(&mut other, b"one\ntwo\n")?;
    assert_eq!(file.readline().await?, "one\n");
    for outcome in [file.tell().await, file.seek(std::io::SeekFrom::Start(0)).await] {
        assert_eq!(kind(&outcome.unwrap_err()), Some(ErrorKind::NotSeekable));
    }
    file.flush().await?;
    assert_eq!(file.readline().await?, "two\n");
    Ok(())
}
