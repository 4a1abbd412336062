//! Files for asyncio: what aiofiles is for Python's.
//!
//! | here | in Python |
//! |---|---|
//! | [`open`], [`File`] | `aiofiles.open` and its file objects, in binary mode |
//! | [`read`], [`read_to_string`], [`write()`], [`copy`] | `pathlib.Path.read_bytes` and its like, `shutil.copy` |
//! | [`read_dir`], [`metadata`], [`rename`], [`remove_file`], … | `aiofiles.os` |
//! | [`temp`] | `aiofiles.tempfile` |
//!
//! ```
//! use asyncio::{AsyncContextManager, files};
//!
//! #[asyncio::main]
//! async fn main() -> asyncio::Result<()> {
//!     let directory = files::temp::dir().await?;
//!     let path = directory.path().join("notes");
//!     files::open(&path).mode("w+").with(async |file| {
//!         file.write("one\n").await?;
//!         file.write("two\n").await?;
//!         file.seek(std::io::SeekFrom::Start(0)).await?;
//!         while let Some(line) = file.next().await {
//!             assert_eq!(line?.len(), 4);
//!         }
//!         Ok(())
//!     }).await?;
//!     assert_eq!(files::read_to_string(&path).await?, "one\ntwo\n");
//!     Ok(())
//! }
//! ```
//!
//! # Threads
//! No system offers readiness of files, so all that may block is a job for a thread of the loop's
//! default executor. A file reads ahead and collects what is written; so 4 KiB at a time, or line by
//! line, takes one job for up to 1 MiB. Under the virtual clock time stands still while a job runs.
//!
//! # Cancellation
//! A job that a thread has begun is finished. An open file then has its next operation wait for it, so
//! no byte is lost and operations take effect in order: see [`File`].
//!
//! # Differences from aiofiles
//! - A file gives and takes bytes; [`read_to_string`] is for text.
//! - A file is closed by being consumed, so none is used after it was closed.
//! - `read(n)` in a task that is cancelled loses nothing; with aiofiles the bytes are gone.

#![forbid(unsafe_code)]

mod buffered;
mod file;
mod functions;
mod futures_io;
mod mode;
mod open;
mod read_dir;
mod remote;
pub mod temp;

#[doc(hidden)]
pub use asyncio_core::{Error, Result};
pub use file::{File, Write};
pub use functions::{
    copy, create_dir, create_dir_all, metadata, read, read_to_string, remove_dir, remove_dir_all,
    remove_file, rename, write,
};
pub use open::{Open, Opening, open};
pub use read_dir::{DirEntry, ReadDir, read_dir};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
