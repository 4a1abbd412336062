//! Temporary files and directories (Python's `tempfile`), which are removed when they are dropped.
//!
//! ```
//! use asyncio::{AsyncContextManager, files};
//!
//! #[asyncio::main]
//! async fn main() -> asyncio::Result<()> {
//!     let path = files::temp::dir().prefix("work-").with(async |directory| {
//!         files::write(directory.path().join("a"), "1").await?;
//!         Ok(directory.path().to_owned())
//!     }).await?;
//!     assert!(!path.exists());
//!     Ok(())
//! }
//! ```

use crate::{file::File, mode::Mode, remote::failed};
use asyncio_core::{AsyncContextManager, Error, Result, wait::Leaf, wait_site::WaitSite};
use asyncio_sockets::Lookup;
use std::{
    ffi::OsString,
    fmt,
    future::Future,
    io,
    marker::PhantomData,
    ops::{Deref, DerefMut},
    panic::Location,
    path::{Path, PathBuf},
    pin::Pin,
    task::{Context, Poll},
};
use tempfile::TempPath;

/// Creates a file with a unique name, open for reading and writing (`NamedTemporaryFile`). Only the
/// user of the process may open it. Awaiting it returns the [`TempFile`]; `with` passes it to a block
/// and removes it at the end.
///
/// # Errors
/// The system's error, with the directory; `Runtime` without a running loop.
///
/// # Cancellation
/// If the file was created, it is removed.
#[track_caller]
pub fn file() -> Temporary<TempFile> {
    Temporary::new(WaitSite::here(&"temp.file"))
}

/// Creates a directory with a unique name (`TemporaryDirectory`). Awaiting it returns the
/// [`TempDir`]; `with` passes it to a block, and removes it with its contents at the end.
///
/// # Errors
/// The system's error, with the parent directory; `Runtime` without a running loop.
///
/// # Cancellation
/// If the directory was created, it is removed.
#[track_caller]
pub fn dir() -> Temporary<TempDir> {
    Temporary::new(WaitSite::here(&"temp.dir"))
}

/// The value that [`file()`] and [`dir`] return, with their keyword arguments. Awaiting it creates
/// the file or directory.
#[must_use = "nothing is created unless it is awaited"]
pub struct Temporary<K> {
    prefix: OsString,
    suffix: OsString,
    parent: Option<PathBuf>,
    site: WaitSite,
    kind: PhantomData<fn() -> K>,
}

impl<K> Temporary<K> {
    fn new(site: WaitSite) -> Temporary<K> {
        let (prefix, suffix) = ("tmp".into(), OsString::new());
        Temporary { prefix, suffix, parent: None, site, kind: PhantomData }
    }

    /// Sets the beginning of the name. The default is `tmp`.
    pub fn prefix(mut self, prefix: impl Into<OsString>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Sets the end of the name.
    pub fn suffix(mut self, suffix: impl Into<OsString>) -> Self {
        self.suffix = suffix.into();
        self
    }

    /// Sets the directory in which it is created. The default is the system's directory for
    /// temporary files.
    pub fn dir(mut self, parent: impl Into<PathBuf>) -> Self {
        self.parent = Some(parent.into());
        self
    }
}

impl<K> fmt::Debug for Temporary<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} {:?}…{:?}>", self.site, self.prefix, self.suffix)
    }
}

/// A file or a directory.
trait Kind: Sized + Send + 'static {
    /// The value that the crate `tempfile` makes.
    type Made: Send + 'static;
    fn make(builder: &tempfile::Builder<'_, '_>, parent: &Path) -> io::Result<Self::Made>;
    fn wrap(made: Self::Made, made_at: &'static Location<'static>) -> Self;
    /// Removes it.
    fn remove(self, site: WaitSite) -> Lookup<()>;
}

impl Kind for TempFile {
    type Made = (std::fs::File, TempPath);

    fn make(builder: &tempfile::Builder<'_, '_>, parent: &Path) -> io::Result<Self::Made> {
        builder.tempfile_in(parent).map(tempfile::NamedTempFile::into_parts)
    }

    fn wrap((file, path): Self::Made, made_at: &'static Location<'static>) -> TempFile {
        let file = File::new(file, Mode::UPDATE, path.to_path_buf().into(), made_at);
        TempFile { file, path }
    }

    fn remove(self, site: WaitSite) -> Lookup<()> {
        let TempFile { file, path } = self;
        if let Some(mut file) = file.remote.value() {
            file.forget();
        }
        let name = path.to_path_buf();
        Lookup::new(site, move || {
            drop(file);
            path.close().map_err(|error| failed(site.what(), &name, error))
        })
    }
}

impl Kind for TempDir {
    type Made = tempfile::TempDir;

    fn make(builder: &tempfile::Builder<'_, '_>, parent: &Path) -> io::Result<Self::Made> {
        builder.tempdir_in(parent)
    }

    fn wrap(made: Self::Made, _: &'static Location<'static>) -> TempDir {
        TempDir(made)
    }

    fn remove(self, site: WaitSite) -> Lookup<()> {
        let name = self.path().to_owned();
        Lookup::new(site, move || self.0.close().map_err(|error| failed(site.what(), &name, error)))
    }
}

#[allow(private_bounds, reason = "there are these two")]
impl<K: Kind> Temporary<K> {
    fn create(&self) -> Creating<K> {
        let (prefix, suffix, site) = (self.prefix.clone(), self.suffix.clone(), self.site);
        let parent = self.parent.clone();
        let lookup = Lookup::new(site, move || {
            let parent = parent.unwrap_or_else(std::env::temp_dir);
            let mut builder = tempfile::Builder::new();
            let made = K::make(builder.prefix(&prefix).suffix(&suffix), &parent);
            made.map_err(|error| failed(site.what(), &parent, error))
        });
        Creating { lookup, made_at: site.location() }
    }
}

#[allow(private_bounds, reason = "there are these two")]
impl<K: Kind> IntoFuture for Temporary<K> {
    type Output = Result<K>;
    type IntoFuture = Creating<K>;

    fn into_future(self) -> Creating<K> {
        self.create()
    }
}

/// The future of [`file()`] and [`dir`].
#[derive(Debug)]
#[must_use = "futures do nothing unless they are awaited"]
#[allow(private_bounds, reason = "there are these two")]
pub struct Creating<K: Kind> {
    lookup: Lookup<K::Made>,
    made_at: &'static Location<'static>,
}

impl<K: Kind> Future for Creating<K> {
    type Output = Result<K>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<K>> {
        let made_at = self.made_at;
        Pin::new(&mut self.lookup).poll(cx).map_ok(|made| K::wrap(made, made_at))
    }
}

impl<K: Kind> Leaf for Creating<K> {}

/// Removes it after the block, even if the block fails.
#[allow(private_bounds, reason = "there are these two")]
impl<K: Kind> AsyncContextManager for Temporary<K> {
    type Target = K;

    async fn enter(&mut self) -> Result<K> {
        self.create().await
    }

    async fn exit(&mut self, target: K, _: Option<&Error>) -> Result<()> {
        target.remove(self.site).await
    }
}

/// A temporary file: a [`File`] that is removed when it is dropped. Dropping it blocks the thread
/// briefly; [`close`](TempFile::close) does not.
#[derive(Debug)]
pub struct TempFile {
    file: File,
    path: TempPath,
}

impl TempFile {
    /// Closes the file and removes it.
    ///
    /// # Errors
    /// The system's error.
    ///
    /// # Cancellation
    /// The file is removed in any case.
    #[track_caller]
    pub fn close(self) -> impl Leaf<Output = Result<()>> {
        self.remove(WaitSite::here(&"TempFile.close"))
    }
}

impl Deref for TempFile {
    type Target = File;

    fn deref(&self) -> &File {
        &self.file
    }
}

impl DerefMut for TempFile {
    fn deref_mut(&mut self) -> &mut File {
        &mut self.file
    }
}

/// A temporary directory, which is removed with its contents when it is dropped. Dropping it blocks
/// the thread until that is done; [`close`](TempDir::close) does not.
#[derive(Debug)]
pub struct TempDir(tempfile::TempDir);

impl TempDir {
    /// Returns its path.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Removes the directory with its contents.
    ///
    /// # Errors
    /// The system's error.
    ///
    /// # Cancellation
    /// The directory is removed in any case.
    #[track_caller]
    pub fn close(self) -> impl Leaf<Output = Result<()>> {
        self.remove(WaitSite::here(&"TempDir.close"))
    }
}
