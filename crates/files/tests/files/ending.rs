//! Files that are dropped.

use crate::{descriptors, file_with};
use asyncio::{AsyncContextManager, files};
use std::{cell::RefCell, rc::Rc};

#[test]
fn a_file_that_is_dropped_still_writes_what_is_buffered() {
    let directory = std::env::temp_dir().join(format!("asyncio-files-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join("dropped");
    let inner = path.clone();
    let kept = asyncio::run(async move {
        let mut file = files::open(&inner).mode("w+").await?;
        file.write("flushed").await?;
        file.flush().await?;
        file.write(" and not").await?;
        drop(file);
        let mut kept = files::open(&inner).mode("a").await?;
        kept.write(", kept").await?;
        Ok(kept)
    });
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "flushed and not");
    // The loop has ended by now.
    drop(kept);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "flushed and not, kept");
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn an_error_after_the_file_was_dropped_goes_to_the_exception_handler() {
    let told = Rc::new(RefCell::new(Vec::new()));
    let handler = told.clone();
    asyncio::run(async move {
        asyncio::get_running_loop()?.set_exception_handler(move |_, context| {
            handler.borrow_mut().push(context.message().to_owned());
        });
        let mut file = files::open("/dev/full").mode("w").await?;
        file.write("lost").await?;
        drop(file);
        // The thread reports it before it does anything else.
        asyncio::get_running_loop()?.shutdown_default_executor(None).await
    })
    .unwrap();
    assert_eq!(*told.borrow(), ["a file was dropped before it was flushed"]);
}

#[asyncio::test]
async fn descriptors_are_closed_with_their_files() -> asyncio::Result<()> {
    let (_directory, path) = file_with("text").await?;
    let before = descriptors();
    for _ in 0..50 {
        let mut file = files::open(&path).mode("r+").await?;
        file.read(1).await?;
        file.write("x").await?;
        file.close().await?;
        let file = files::open(&path).await?;
        drop(file);
        files::open(&path).with(async |file| file.read(2).await).await?;
        let mut entries = files::read_dir("/").await?;
        entries.next().await;
        drop(files::temp::file().await?);
    }
    assert_eq!(descriptors(), before);
    Ok(())
}

#[asyncio::test]
async fn a_block_that_fails_closes_its_file() -> asyncio::Result<()> {
    let (_directory, path) = file_with("").await?;
    let before = descriptors();
    let block = files::open(&path).mode("w").with(async |file| {
        file.write("written").await?;
        Err::<(), _>(asyncio::Error::value("the block fails"))
    });
    assert_eq!(block.await.unwrap_err().to_string(), "the block fails");
    assert_eq!(descriptors(), before);
    assert_eq!(files::read(&path).await?, "written");
    Ok(())
}

#[asyncio::test]
async fn temporary_files_are_removed_when_they_are_dropped() -> asyncio::Result<()> {
    let mut file = files::temp::file().prefix("a-").suffix(".txt").await?;
    file.write("text").await?;
    file.flush().await?;
    let path = file.path().to_owned();
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    assert!(name.starts_with("a-") && name.ends_with(".txt"), "{name}");
    assert_eq!(files::read(&path).await?, "text");
    drop(file);
    assert!(!path.exists());

    let path = files::temp::file().with(async |file| Ok(file.path().to_owned())).await?;
    assert!(!path.exists());

    let directory = files::temp::dir().await?;
    let inner = directory.path().join("a/b");
    files::create_dir_all(&inner).await?;
    let file = files::temp::file().dir(&inner).await?;
    assert_eq!(file.path().parent(), Some(&*inner));
    file.close().await?;
    assert_eq!(files::read_dir(&inner).await?.next().await.transpose()?.map(drop), None);
    let path = directory.path().to_owned();
    directory.close().await?;
    assert!(!path.exists());
    Ok(())
}
