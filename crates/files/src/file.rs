//! [`File`]: an open file.

use crate::{
    buffered::Buffered,
    mode::Mode,
    remote::{Remote, Step, once},
};
use asyncio_core::{
    Error, Result,
    wait::{Leaf, Wait},
    wait_site::WaitSite,
};
use bytes::Bytes;
use futures_core::Stream;
use std::{
    fmt,
    future::Future,
    io::{self, SeekFrom},
    mem,
    os::fd::{AsFd, BorrowedFd},
    panic::Location,
    path::Path,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

/// An open file, which [`open`](crate::open) returns (aiofiles' file objects, in binary mode).
///
/// Threads of the loop's executor do everything that may block. A read reads ahead. Writes are
/// buffered up to 128 KiB, or until [`flush`](File::flush) or [`close`](File::close). Most
/// operations therefore need no trip to a thread. A file has one position, as in Python, and a read
/// after a write sees the written data.
///
/// It is also a [`Stream`] of lines, each with its newline, and implements `AsyncRead`, `AsyncWrite` and `AsyncSeek` of
/// `futures-io`. Through these traits, a cancellation ends the innermost scope, as in every foreign wait. To use it
/// from several tasks, put it into a [`Lock`](https://docs.rs/asyncio/latest/asyncio/struct.Lock.html).
///
/// # Cancellation
/// For all operations: a thread finishes the work that it has started, and the next operation first waits
/// for it, so that operations take effect in order. A cancelled read loses nothing: its data is left to
/// the next read. If a cancelled operation fails, the next operation returns that error.
///
/// # Dropping
/// Call [`close`](File::close) on a file that was written to, because it returns the errors. A file
/// that is dropped instead still writes its buffer, on a thread if a loop runs; an error goes to
/// the exception handler. A process that is killed loses the data that was not flushed.
///
/// # Its descriptor
/// The descriptor (`AsFd`) can be passed to
/// [`sendfile`](https://docs.rs/asyncio/latest/asyncio/fn.sendfile.html) and `sock_sendfile`. Call `flush`
/// first. Then nothing is buffered, and the descriptor has the position of the file, during the call and after
/// it.
///
/// ```
/// use asyncio::{files, socket::{Domain, Socket, Type}, sock_recv, sock_sendfile};
///
/// #[asyncio::main]
/// async fn main() -> asyncio::Result<()> {
///     let mut file = files::open("Cargo.toml").await?;
///     let (ours, theirs) = Socket::pair(Domain::UNIX, Type::STREAM, None)?;
///     file.flush().await?;
///     sock_sendfile(&ours, &file).offset(1).count(7).await?;
///     assert_eq!(sock_recv(&theirs, 100).await?, "package");
///     assert_eq!(file.tell().await?, 8);
///     Ok(())
/// }
/// ```
pub struct File {
    pub(crate) remote: Remote<Buffered>,
    /// Shared with the threads, so that it can be borrowed while they work.
    descriptor: Arc<std::fs::File>,
    mode: Mode,
    opened_at: &'static Location<'static>,
    /// The wait of a poll through a trait, and the target of a seek that is in progress there.
    wait: Wait,
    pub(crate) seeking: Option<SeekFrom>,
}

impl File {
    pub(crate) fn new(
        file: std::fs::File,
        mode: Mode,
        path: Arc<Path>,
        opened_at: &'static Location<'static>,
    ) -> File {
        let descriptor = Arc::new(file);
        let buffered = Buffered::new(descriptor.clone(), path.clone());
        let remote = Remote::new(buffered, path);
        File { remote, descriptor, mode, opened_at, wait: Wait::new(), seeking: None }
    }

    /// Returns the path by which the file was opened (Python's `name`).
    pub fn path(&self) -> &Path {
        self.remote.path()
    }

    /// Returns whether the file was opened for reading (`readable`).
    pub fn readable(&self) -> bool {
        self.mode.reads()
    }

    /// Returns whether the file was opened for writing (`writable`).
    pub fn writable(&self) -> bool {
        self.mode.writes()
    }

    pub(crate) fn check_reads(&self, what: &str) -> Result<()> {
        self.check(self.readable(), what, "not readable")
    }

    pub(crate) fn check_writes(&self, what: &str) -> Result<()> {
        self.check(self.writable(), what, "not writable")
    }

    fn check(&self, may: bool, what: &str, why: &str) -> Result<()> {
        match may {
            true => Ok(()),
            false => Err(Error::value(format!("{what}: {:?} was opened {why}", self.path()))),
        }
    }

    /// Starts an operation, unless it is refused. An earlier poll through a trait is forgotten.
    fn operation<R>(
        &mut self,
        site: WaitSite,
        allowed: Result<()>,
        mut look: impl FnMut(&mut Buffered) -> Step<Buffered, R>,
    ) -> impl Leaf<Output = Result<R>> {
        self.end_poll();
        self.remote.operation(site, move |file| match &allowed {
            Ok(()) => look(file),
            Err(error) => Step::Fail(error.clone()),
        })
    }

    /// Starts an operation that reads.
    fn reading<R>(
        &mut self,
        site: WaitSite,
        look: impl FnMut(&mut Buffered) -> Step<Buffered, R>,
    ) -> impl Leaf<Output = Result<R>> {
        let allowed = self.check_reads(site.what());
        self.operation(site, allowed, look)
    }

    /// Starts a job that returns a number.
    fn asking(
        &mut self,
        site: WaitSite,
        allowed: Result<()>,
        job: impl FnOnce(&mut Buffered) -> io::Result<()> + Send + 'static,
    ) -> impl Leaf<Output = Result<u64>> {
        self.operation(site, allowed, once(job, |file| file.found))
    }
}

/// Reading.
impl File {
    /// Reads `n` bytes; fewer only at the end of the file, and none after it (`read(n)`).
    ///
    /// # Errors
    /// The system's error; `Value` if the file was not opened for reading.
    ///
    /// # Cancellation
    /// Nothing has been read: data that a thread reads meanwhile is left to the next operation.
    ///
    /// ```
    /// #[asyncio::main]
    /// async fn main() -> asyncio::Result<()> {
    ///     let mut file = asyncio::files::open("Cargo.toml").await?;
    ///     assert_eq!(file.read(9).await?, "[package]");
    ///     Ok(())
    /// }
    /// ```
    #[track_caller]
    pub fn read(&mut self, n: usize) -> impl Leaf<Output = Result<Bytes>> {
        let site = WaitSite::here(&"File.read");
        let fill = move |file: &mut Buffered| file.fill(n);
        self.reading(site, move |file| Step::done_or(file.take(n), fill))
    }

    /// Reads everything up to the end of the file (`read()` without a number).
    ///
    /// # Errors
    /// As for [`read`](File::read).
    ///
    /// # Cancellation
    /// Nothing has been read: data that a thread reads meanwhile is left to the next operation.
    #[track_caller]
    pub fn read_to_end(&mut self) -> impl Leaf<Output = Result<Bytes>> {
        let site = WaitSite::here(&"File.read_to_end");
        self.reading(site, |file| Step::done_or(file.take(usize::MAX), Buffered::fill_all))
    }

    /// Reads a line with its newline, however long it is (`readline`). At the end of the file, it
    /// returns the rest, which may be empty.
    ///
    /// # Errors
    /// As for [`read`](File::read).
    ///
    /// # Cancellation
    /// Nothing has been read: data that a thread reads meanwhile is left to the next operation.
    #[track_caller]
    pub fn readline(&mut self) -> impl Leaf<Output = Result<Bytes>> {
        let site = WaitSite::here(&"File.readline");
        self.reading(site, |file| Step::done_or(file.take_line(), Buffered::fill_line))
    }

    /// Reads the next line with its newline; `None` at the end (`async for line in file`).
    ///
    /// # Errors
    /// As for [`read`](File::read), as an item.
    ///
    /// # Cancellation
    /// Returns `Err(Cancelled)` as that item. Nothing has been read.
    ///
    /// ```
    /// #[asyncio::main]
    /// async fn main() -> asyncio::Result<()> {
    ///     let mut file = asyncio::files::open("Cargo.toml").await?;
    ///     let mut count = 0;
    ///     while let Some(line) = file.next().await {
    ///         count += usize::from(line?.starts_with(b"["));
    ///     }
    ///     assert!(count > 3);
    ///     Ok(())
    /// }
    /// ```
    #[allow(clippy::should_implement_trait, reason = "it is that of a stream")]
    #[track_caller]
    pub fn next(&mut self) -> impl Future<Output = Option<Result<Bytes>>> {
        let site = WaitSite::here(&"File.next");
        let line = self.reading(site, |file| Step::done_or(file.take_line(), Buffered::fill_line));
        async move { as_item(line.await) }
    }
}

/// Converts a line to an item of a stream.
fn as_item(line: Result<Bytes>) -> Option<Result<Bytes>> {
    match line {
        Ok(line) if line.is_empty() => None,
        line => Some(line),
    }
}

/// Writing, and the position.
impl File {
    /// Writes all of `data`, and returns its length (`write`). The data is buffered together with
    /// earlier writes; a thread writes it when there are 128 KiB.
    ///
    /// # Errors
    /// The system's error for this call: [`Write::written`] tells how much of `data` has reached the
    /// file. Data of earlier calls stays in the buffer. `Value` if the file was not opened for writing.
    ///
    /// # Cancellation
    /// If the future was awaited by `&mut`, its [`Write::written`] tells whether the file has taken
    /// `data`: all of it or nothing. Data that it has taken is written before the next operation begins,
    /// even if a thread is writing it now.
    ///
    /// ```
    /// use asyncio::files;
    ///
    /// #[asyncio::main]
    /// async fn main() -> asyncio::Result<()> {
    ///     let mut file = files::temp::file().await?;
    ///     let mut write = file.write("hello");
    ///     let outcome = (&mut write).await;
    ///     assert_eq!((outcome?, write.written()), (5, 5));
    ///     Ok(())
    /// }
    /// ```
    #[track_caller]
    pub fn write<D: AsRef<[u8]>>(&mut self, data: D) -> Write<'_, D> {
        self.end_poll();
        let (wait, site) = (Wait::new(), WaitSite::here(&"File.write"));
        Write { file: self, data, wait, site, is_taken: false, written: 0 }
    }

    /// Writes the buffer, and gives back the data that was read ahead, so that the descriptor has the
    /// position of the file (`flush`). The system may keep the data in memory; [`sync`](File::sync) waits
    /// until it is stored.
    ///
    /// # Errors
    /// The system's error, for example because the disk is full. Unwritten data stays in the buffer,
    /// and the next flush tries again.
    ///
    /// # Cancellation
    /// A thread that has started to write finishes.
    #[track_caller]
    pub fn flush(&mut self) -> impl Leaf<Output = Result<()>> {
        let site = WaitSite::here(&"File.flush");
        let mut flush = once(Buffered::flush, |_| ());
        let look = move |file: &mut Buffered| match file.is_empty() {
            true => Step::Done(()),
            false => flush(file),
        };
        self.operation(site, Ok(()), look)
    }

    /// Flushes, and waits until the system has stored the file (`os.fsync`).
    ///
    /// # Errors
    /// As for [`flush`](File::flush).
    ///
    /// # Cancellation
    /// A thread that has started finishes.
    #[track_caller]
    pub fn sync(&mut self) -> impl Leaf<Output = Result<()>> {
        self.operation(WaitSite::here(&"File.sync"), Ok(()), once(Buffered::sync, |_| ()))
    }

    /// Moves the position, and returns it (`seek`).
    ///
    /// # Errors
    /// The system's error: the position would be before the beginning, or the file is a pipe, which
    /// has none. The position then stays the same.
    ///
    /// # Cancellation
    /// The position may have been moved.
    #[track_caller]
    pub fn seek(&mut self, to: SeekFrom) -> impl Leaf<Output = Result<u64>> {
        self.asking(WaitSite::here(&"File.seek"), Ok(()), move |file| file.seek(to))
    }

    /// Returns the position at which the next read or write begins (`tell`).
    ///
    /// # Errors
    /// The system's error: a pipe has no position.
    ///
    /// # Cancellation
    /// The file does not change, except that the buffer may have been written.
    #[track_caller]
    pub fn tell(&mut self) -> impl Leaf<Output = Result<u64>> {
        self.asking(WaitSite::here(&"File.tell"), Ok(()), Buffered::tell)
    }

    /// Sets the length of the file to `size` bytes, or to its position if `size` is `None`, and returns
    /// the length (`truncate`). The position stays the same.
    ///
    /// # Errors
    /// The system's error; `Value` if the file was not opened for writing.
    ///
    /// # Cancellation
    /// The file may have been truncated.
    #[track_caller]
    pub fn truncate(&mut self, size: impl Into<Option<u64>>) -> impl Leaf<Output = Result<u64>> {
        let (size, site) = (size.into(), WaitSite::here(&"File.truncate"));
        let allowed = self.check_writes(site.what());
        self.asking(site, allowed, move |file| file.truncate(size))
    }

    /// Writes the buffer, and closes the file (`close`).
    ///
    /// # Errors
    /// The system's error. The file is closed in any case, and unwritten data is lost.
    ///
    /// # Cancellation
    /// The file is closed in any case, and the buffer is written in the background.
    #[track_caller]
    pub fn close(self) -> impl Future<Output = Result<()>> {
        let site = WaitSite::here(&"File.close");
        let File { remote, descriptor, .. } = self;
        drop(descriptor);
        remote.finish(site, Buffered::close)
    }
}

/// The future of [`File::write`].
#[must_use = "futures do nothing unless they are awaited"]
pub struct Write<'a, D> {
    file: &'a mut File,
    data: D,
    wait: Wait,
    site: WaitSite,
    is_taken: bool,
    written: usize,
}

impl<D> Write<'_, D> {
    /// Returns how many bytes the file has taken; after an error, how many have reached it.
    pub fn written(&self) -> usize {
        self.written
    }
}

// The data is not pinned.
impl<D> Unpin for Write<'_, D> {}

impl<D: AsRef<[u8]>> Future for Write<'_, D> {
    type Output = Result<usize>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<usize>> {
        let Write { file, data, wait, site, is_taken, written } = self.get_mut();
        file.check_writes(site.what())?;
        let data = data.as_ref();
        let mut look = |file: &mut Buffered| {
            if mem::replace(is_taken, true) || file.put(data) {
                *written = data.len();
                return Step::Done(());
            }
            *written = data.len();
            let before = file.put_all(data);
            Step::job(move |file: &mut Buffered| file.write_out_but(before))
        };
        let outcome = ready!(file.remote.poll(wait, cx, *site, &mut look));
        match outcome {
            Ok(()) => Poll::Ready(Ok(*written)),
            Err(error) => {
                let failed = *is_taken && !error.is_cancelled();
                if let Some(file) = file.remote.value().filter(|_| failed) {
                    *written = file.written;
                }
                Poll::Ready(Err(error))
            }
        }
    }
}

impl<D: AsRef<[u8]>> Leaf for Write<'_, D> {}

impl<D> fmt::Debug for Write<'_, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<Write {} bytes to {:?}>", self.written, self.file)
    }
}

/// Polls through a trait.
impl File {
    fn end_poll(&mut self) {
        self.wait.disarm();
        self.seeking = None;
    }

    pub(crate) fn poll<R>(
        &mut self,
        cx: &Context<'_>,
        what: &'static &'static str,
        look: &mut impl FnMut(&mut Buffered) -> Step<Buffered, R>,
    ) -> Poll<Result<R>> {
        let site = WaitSite::new(what, self.opened_at);
        self.remote.poll(&mut self.wait, cx, site, look)
    }
}

/// Lines, each with its newline.
impl Stream for File {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        self.check_reads("File.next")?;
        let mut look = |file: &mut Buffered| Step::done_or(file.take_line(), Buffered::fill_line);
        self.poll(cx, &"File.next", &mut look).map(as_item)
    }
}

/// See [its descriptor](File#its-descriptor).
impl AsFd for File {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// `<File "notes" 5 bytes read ahead, 0 to write>`
impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<File {:?}>", self.remote)
    }
}
