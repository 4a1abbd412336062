//! [`read_dir`]: the entries of a directory.

use crate::remote::{Remote, Step, failed};
use asyncio_core::{
    Result,
    wait::{Leaf, Wait},
    wait_site::WaitSite,
};
use asyncio_sockets::Lookup;
use futures_core::Stream;
use std::{
    collections::VecDeque,
    ffi::OsStr,
    fmt,
    fs::FileType,
    future::Future,
    io,
    panic::Location,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

/// The number of entries that a thread reads at once.
const BATCH: usize = 512;

/// Opens a directory, and returns its entries as a stream, in no particular order and without `.`
/// and `..` (`os.scandir`). A thread reads many entries at once.
///
/// # Errors
/// The system's error, with the path; `Runtime` without a running loop.
///
/// # Cancellation
/// The directory is closed.
///
/// ```
/// use asyncio::files;
///
/// #[asyncio::main]
/// async fn main() -> asyncio::Result<()> {
///     let mut entries = files::read_dir("src").await?;
///     let mut names = Vec::new();
///     while let Some(entry) = entries.next().await {
///         names.push(entry?.file_name().to_owned());
///     }
///     assert!(names.contains(&"lib.rs".into()));
///     Ok(())
/// }
/// ```
#[track_caller]
pub fn read_dir(path: impl AsRef<Path>) -> impl Leaf<Output = Result<ReadDir>> {
    let (path, site) = (Arc::<Path>::from(path.as_ref()), WaitSite::here(&"files.read_dir"));
    Lookup::new(site, move || {
        let entries = std::fs::read_dir(&path);
        let entries = entries.map_err(|error| failed(site.what(), &path, error))?;
        let listing = Listing { entries: Some(entries), batch: VecDeque::new() };
        let opened_at = site.location();
        Ok(ReadDir { remote: Remote::new(listing, path), opened_at, wait: Wait::new() })
    })
}

/// A [`Stream`] of the entries of a directory, which [`read_dir`] returns.
pub struct ReadDir {
    remote: Remote<Listing>,
    opened_at: &'static Location<'static>,
    /// The wait of a poll as a stream.
    wait: Wait,
}

struct Listing {
    /// `Some` until the last entry was read.
    entries: Option<std::fs::ReadDir>,
    batch: VecDeque<DirEntry>,
}

impl Listing {
    /// Returns the next entry, which a thread may have to read first.
    fn look(&mut self) -> Step<Listing, Option<DirEntry>> {
        match self.batch.pop_front() {
            None if self.entries.is_some() => Step::job(Listing::read),
            entry => Step::Done(entry),
        }
    }

    fn read(&mut self) -> io::Result<()> {
        while let Some(entries) = self.entries.as_mut().filter(|_| self.batch.len() < BATCH) {
            match entries.next() {
                None => self.entries = None,
                Some(entry) => {
                    let entry = entry?;
                    match entry.file_type() {
                        Ok(file_type) => {
                            self.batch.push_back(DirEntry { path: entry.path(), file_type });
                        }
                        // The entry was removed meanwhile.
                        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                        Err(error) => return Err(error),
                    }
                }
            }
        }
        Ok(())
    }
}

impl ReadDir {
    /// Returns the next entry; `None` after the last one.
    ///
    /// # Errors
    /// The system's error, as an item.
    ///
    /// # Cancellation
    /// Returns `Err(Cancelled)` as that item. No entry is lost.
    #[allow(clippy::should_implement_trait, reason = "it is that of a stream")]
    #[track_caller]
    pub fn next(&mut self) -> impl Future<Output = Option<Result<DirEntry>>> {
        self.wait.disarm();
        let entry = self.remote.operation(WaitSite::here(&"ReadDir.next"), Listing::look);
        async move { entry.await.transpose() }
    }
}

impl Stream for ReadDir {
    type Item = Result<DirEntry>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<DirEntry>>> {
        let ReadDir { remote, opened_at, wait } = self.get_mut();
        let site = WaitSite::new(&"ReadDir.next", opened_at);
        remote.poll(wait, cx, site, &mut Listing::look).map(Result::transpose)
    }
}

impl fmt::Debug for ReadDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<ReadDir {:?}>", self.remote.path())
    }
}

/// An entry of a directory.
#[derive(Clone, Debug)]
pub struct DirEntry {
    path: PathBuf,
    file_type: FileType,
}

impl DirEntry {
    /// Returns the path of the directory, with the name of the entry.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the name of the entry.
    pub fn file_name(&self) -> &OsStr {
        self.path.file_name().unwrap_or_default()
    }

    /// Returns the type of the entry, such as a file, a directory or a symbolic link. It was read
    /// together with the name.
    pub fn file_type(&self) -> FileType {
        self.file_type
    }
}
