//! Files for asyncio, like aiofiles in Python.
//!
//! A running event loop is needed; it comes from `asyncio`, or from `asyncio-loop`.
//!
//! | here | in Python |
//! |---|---|
//! | [`open`], [`File`] | `aiofiles.open` and its file objects, in binary mode |
//! | [`read`], [`read_to_string`], [`write()`], [`copy`] | `pathlib.Path.read_bytes` and similar methods, `shutil.copy` |
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
//! No system reports the readiness of files, so everything that may block is a job for a thread of
//! the loop's default executor. A file reads ahead and buffers its writes: a program that reads 4
//! KiB at a time, or line by line, needs one job for up to 1 MiB. Under the virtual clock, time
//! stands still while a job runs.
//!
//! # Cancellation
//! A job that a thread has started is finished. The next operation of an open file waits for it, so no
//! byte is lost, and operations take effect in order: see [`File`].
//!
//! # Differences from aiofiles
//! - A file reads and writes bytes; [`read_to_string`] is for text.
//! - Closing a file consumes it, so a closed file cannot be used.
//! - A cancelled `read(n)` loses nothing; with aiofiles, the bytes are lost.

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
