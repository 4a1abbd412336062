//! Directories, and functions of paths.

use asyncio::files;
use std::collections::HashSet;

#[asyncio::test]
async fn a_directory_of_many_entries_is_listed_in_full() -> asyncio::Result<()> {
    let directory = files::temp::dir().await?;
    let path = directory.path().to_owned();
    asyncio::to_thread(move || {
        (0..10_000).try_for_each(|n| std::fs::File::create(path.join(n.to_string())).map(drop))
    })
    .await??;
    files::create_dir(directory.path().join("directory")).await?;
    let mut entries = files::read_dir(directory.path()).await?;
    let (mut names, mut directories) = (HashSet::new(), 0);
    while let Some(entry) = entries.next().await {
        let entry = entry?;
        directories += usize::from(entry.file_type().is_dir());
        assert_eq!(entry.path(), directory.path().join(entry.file_name()));
        assert!(names.insert(entry.file_name().to_owned()));
    }
    assert_eq!((names.len(), directories), (10_001, 1));
    assert!(entries.next().await.is_none());
    directory.close().await
}

#[asyncio::test]
async fn functions_of_paths_do_what_they_say() -> asyncio::Result<()> {
    let directory = files::temp::dir().await?;
    let path = |name: &str| directory.path().join(name);
    files::create_dir_all(path("a/b")).await?;
    files::create_dir_all(path("a/b")).await?;
    assert!(files::create_dir(path("a")).await.is_err());
    files::write(path("a/one"), "text").await?;
    assert_eq!(files::copy(path("a/one"), path("a/two")).await?, 4);
    files::rename(path("a/two"), path("a/b/two")).await?;
    assert_eq!(files::read_to_string(path("a/b/two")).await?, "text");
    assert_eq!(files::metadata(path("a/b/two")).await?.len(), 4);
    files::remove_file(path("a/one")).await?;
    assert!(files::remove_dir(path("a/b")).await.is_err());
    files::remove_file(path("a/b/two")).await?;
    files::remove_dir(path("a/b")).await?;
    files::create_dir_all(path("a/c/d")).await?;
    files::remove_dir_all(path("a")).await?;
    assert!(files::metadata(path("a")).await.is_err());
    files::write(path("bytes"), [0xff, 0xfe]).await?;
    assert!(files::read_to_string(path("bytes")).await.is_err());
    Ok(())
}
