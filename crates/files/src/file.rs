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

/// An open file, which [`open`](crate::open) gives: aiofiles' file objects, in binary mode.
///
/// What may block is done by threads of the loop's executor. A read reads ahead, and what is written
/// is collected until 128 KiB have come together, or until [`flush`](File::flush) or
/// [`close`](File::close): so most operations take no trip to a thread. It has one position, as in
/// Python, and a read after a write sees what was written.
///
/// It is also a [`Stream`] of lines, each with its newline, and implements `AsyncRead`, `AsyncWrite`
/// and `AsyncSeek` of `futures-io`; there a cancellation ends the innermost scope, as in every foreign
/// wait. To use it from several tasks, put it into a [`Lock`](https://docs.rs/asyncio/latest/asyncio/struct.Lock.html).
///
/// # Cancellation
/// Of all operations: what a thread has begun it finishes, and the next operation waits for that
/// first, so that they take effect in order. A cancelled read loses nothing: what was read is left to the
/// next one. If what was cancelled fails, the next operation returns that error.
///
/// # Dropping
/// [`close`](File::close) a file that was written to: it tells whether that worked. A file that is
/// dropped instead still writes what is buffered, on a thread if a loop runs; an error goes to the
/// exception handler. A process that is killed loses what was not flushed.
///
/// # Its descriptor
/// The descriptor (`AsFd`) can be given to [`sendfile`](https://docs.rs/asyncio/latest/asyncio/fn.sendfile.html)
/// and `sock_sendfile`. `flush` the file before: then nothing is buffered, and the position of the
/// descriptor is that of the file, during the call and after it.
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
    /// Shared with what the threads work on, so that it can be lent while they do.
    descriptor: Arc<std::fs::File>,
    mode: Mode,
    opened_at: &'static Location<'static>,
    /// What waits when it is polled through a trait, and where to a seek is under way there.
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

    /// An operation, unless it is refused. What the file was polled for through a trait is forgotten.
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

    /// An operation that reads.
    fn reading<R>(
        &mut self,
        site: WaitSite,
        look: impl FnMut(&mut Buffered) -> Step<Buffered, R>,
    ) -> impl Leaf<Output = Result<R>> {
        let allowed = self.check_reads(site.what());
        self.operation(site, allowed, look)
    }

    /// A job that leaves a number.
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
    /// Reads `n` bytes; fewer at the end of the file alone, and none behind it (`read(n)`).
    ///
    /// # Errors
    /// What the system says; `Value` if the file was not opened to be read.
    ///
    /// # Cancellation
    /// Nothing has been read: what a thread reads meanwhile is left to the next one.
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
    /// Nothing has been read: what a thread reads meanwhile is left to the next one.
    #[track_caller]
    pub fn read_to_end(&mut self) -> impl Leaf<Output = Result<Bytes>> {
        let site = WaitSite::here(&"File.read_to_end");
        self.reading(site, |file| Step::done_or(file.take(usize::MAX), Buffered::fill_all))
    }

    /// Reads a line with its newline, however long it is; what is left at the end, perhaps nothing
    /// (`readline`).
    ///
    /// # Errors
    /// As for [`read`](File::read).
    ///
    /// # Cancellation
    /// Nothing has been read: what a thread reads meanwhile is left to the next one.
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

/// A line as an item of a stream.
fn as_item(line: Result<Bytes>) -> Option<Result<Bytes>> {
    match line {
        Ok(line) if line.is_empty() => None,
        line => Some(line),
    }
}

/// Writing, and the position.
impl File {
    /// Writes all of `data`, and tells how much that is (`write`). It is collected with what was written
    /// before; a thread writes it when 128 KiB have come together.
    ///
    /// # Errors
    /// What the system says of what is written by this call: [`Write::written`] tells how much of `data`
    /// has reached the file. What earlier calls have left in the buffer stays there. `Value` if the file
    /// was not opened to be written.
    ///
    /// # Cancellation
    /// [`Write::written`] of a future that is awaited by `&mut` tells whether the file has taken `data`:
    /// all of it or nothing. What it has taken is written before the next operation begins, even if a
    /// thread has it at the moment.
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

    /// Writes what is buffered, and gives back what was read ahead: the position of the descriptor is that
    /// of the file then (`flush`). The system may keep what is written in memory; [`sync`](File::sync)
    /// waits until it is stored.
    ///
    /// # Errors
    /// What the system says, a full disk for example. What was not written stays in the buffer, and the
    /// next flush tries again.
    ///
    /// # Cancellation
    /// A thread that has begun to write goes on.
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
    /// A thread that has begun goes on.
    #[track_caller]
    pub fn sync(&mut self) -> impl Leaf<Output = Result<()>> {
        self.operation(WaitSite::here(&"File.sync"), Ok(()), once(Buffered::sync, |_| ()))
    }

    /// Moves the position, and tells what it is now (`seek`).
    ///
    /// # Errors
    /// What the system says: the position would be before the beginning, or a pipe has none; the
    /// position stays then.
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
    /// What the system says: a pipe has none.
    ///
    /// # Cancellation
    /// Nothing happens to the file, except that what was buffered may have been written.
    #[track_caller]
    pub fn tell(&mut self) -> impl Leaf<Output = Result<u64>> {
        self.asking(WaitSite::here(&"File.tell"), Ok(()), Buffered::tell)
    }

    /// Makes the file `size` bytes long, or as long as its position says if that is `None`, and tells how
    /// long it is (`truncate`). The position stays where it is.
    ///
    /// # Errors
    /// What the system says; `Value` if the file was not opened to be written.
    ///
    /// # Cancellation
    /// The file may have been truncated.
    #[track_caller]
    pub fn truncate(&mut self, size: impl Into<Option<u64>>) -> impl Leaf<Output = Result<u64>> {
        let (size, site) = (size.into(), WaitSite::here(&"File.truncate"));
        let allowed = self.check_writes(site.what());
        self.asking(site, allowed, move |file| file.truncate(size))
    }

    /// Writes what is buffered, and closes the file (`close`).
    ///
    /// # Errors
    /// What the system says. The file is closed all the same, and what was not written is lost.
    ///
    /// # Cancellation
    /// The file is closed all the same, and what is buffered is written in the background.
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

/// Being polled through a trait.
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
