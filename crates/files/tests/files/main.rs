//! Tests on real files.

mod cancelling;
mod directories;
mod ending;
mod errors;
mod reading;
mod traits;
mod writing;

use asyncio::files::{self, File, temp::TempDir};
use std::path::PathBuf;

/// A directory, and the path of a file in it that contains `text`.
async fn file_with(text: impl AsRef<[u8]>) -> asyncio::Result<(TempDir, PathBuf)> {
    let directory = files::temp::dir().await?;
    let path = directory.path().join("file");
    files::write(&path, text).await?;
    Ok((directory, path))
}

/// A FIFO, whose ends are open in both processes of a test: what is read waits for what is written.
async fn fifo() -> asyncio::Result<(TempDir, PathBuf)> {
    let directory = files::temp::dir().await?;
    let path = directory.path().join("fifo");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU)?;
    Ok((directory, path))
}

/// The read end of a FIFO, and its write end as a file of the standard library.
async fn to_read() -> asyncio::Result<(TempDir, File, std::fs::File)> {
    let (directory, path) = fifo().await?;
    let other = std::fs::OpenOptions::new().read(true).write(true).open(&path)?;
    let file = files::open(&path).await?;
    Ok((directory, file, other))
}

/// The write end of a FIFO, and its read end as a file of the standard library.
async fn to_write() -> asyncio::Result<(TempDir, File, std::fs::File)> {
    let (directory, path) = fifo().await?;
    let writing = asyncio::create_task({
        let path = path.clone();
        async move { files::open(&path).mode("w").await }
    });
    let other = asyncio::to_thread(move || std::fs::File::open(path)).await??;
    Ok((directory, writing.await?, other))
}

/// Returns how many descriptors the process has.
fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}
