//! [`StreamReader`], the reading half of a connection, and [`StreamFeeder`], which feeds it.

use crate::{
    buffer::WORTH_KEEPING,
    reading::{
        NextLine, Read, ReadChunk, ReadExactly, ReadLine, ReadToEnd, ReadUntil, Reading, poll_read,
    },
    separators::IntoSeparators,
    state::{Followup, Search, Shared, State},
};
use asyncio_core::{
    Error, Result,
    raw::sync::{Arc, Mutex},
    wait::Wait,
    wait_site::WaitSite,
};
use asyncio_transports::Transport;
use bytes::{Buf, Bytes};
use futures_core::Stream;
use std::{
    fmt,
    panic::Location,
    pin::Pin,
    task::{Context, Poll, ready},
};

/// The default limit for the length of a line: 64 KiB.
pub const DEFAULT_LIMIT: usize = 64 * 1024;

/// The reading half of a connection (`asyncio.StreamReader`).
///
/// [`next`](StreamReader::next) is `async for line in reader`, and the reader is also a [`Stream`] of lines, each with
/// its newline (the last line may have none). The reader implements the traits `AsyncRead` and `AsyncBufRead` of
/// `futures-io`, and with the feature `tokio` those of tokio. A wait through these traits never returns a cancellation
/// as an [`io::Error`](std::io::Error); the innermost scope around it returns the cancellation instead. A poll through
/// them continues an abandoned read, so the data of that read comes before an error of the connection.
///
/// Data that has arrived and was not read is buffered. When more than twice the limit is buffered, the transport is
/// paused until no more than the limit is left, or until a read has to wait. A peer that sends faster than the
/// program reads therefore has to wait. Data that arrives after the reader was dropped is discarded.
///
/// ```
/// use asyncio::StreamReader;
///
/// #[asyncio::main]
/// async fn main() -> asyncio::Result<()> {
///     let mut reader = StreamReader::new(1000)?; // Those of a connection are made with it.
///     reader.feed_data("one\ntwo\nthr")?;
///     reader.feed_eof();
///     assert_eq!(reader.readline().await?, "one\n");
///     assert_eq!(reader.readexactly(2).await?, "tw");
///     assert_eq!(reader.read(100).await?, "o\nthr");
///     assert!(reader.at_eof());
///     Ok(())
/// }
/// ```
#[doc(alias = "asyncio.StreamReader")]
pub struct StreamReader {
    shared: Shared,
    made_at: &'static Location<'static>,
    /// The operation that is being polled through a trait, and its wait.
    polled: Polled,
    wait: Wait,
    /// The search for the end of the next line.
    search: Search,
    /// Data that was taken out of the buffer for a borrow and not consumed, and an upper bound of
    /// the memory that it keeps alive.
    lent: Bytes,
    lent_pins: usize,
    /// Whether the stream of lines has returned the error that ended the connection.
    ended: bool,
}

/// The operation for which a reader is polled through a trait, until it is polled for another one.
#[derive(Clone, Copy, PartialEq)]
enum Polled {
    Never,
    Lines,
    Bytes,
}

/// Creation.
impl StreamReader {
    /// Creates a reader that is [fed](StreamReader::feeder) by hand, with lines of at most `limit`
    /// bytes.
    ///
    /// # Errors
    /// `Value` if `limit` is zero.
    #[track_caller]
    pub fn new(limit: usize) -> Result<StreamReader> {
        let state = State::with_limit(State::check_limit(limit)?);
        Ok(StreamReader::of(Arc::new(Mutex::new(state)), Location::caller()))
    }

    pub(crate) fn of(shared: Shared, made_at: &'static Location<'static>) -> StreamReader {
        let (wait, lent) = (Wait::new(), Bytes::new());
        StreamReader {
            shared,
            made_at,
            polled: Polled::Never,
            wait,
            search: Search::default(),
            lent,
            lent_pins: 0,
            ended: false,
        }
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Returns the feeder of this reader, which works even while a task reads.
    pub fn feeder(&self) -> StreamFeeder {
        StreamFeeder(self.shared.clone())
    }

    /// Adds data: see [`StreamFeeder::feed_data`].
    pub fn feed_data(&self, data: impl Into<Bytes>) -> Result<()> {
        feed_data(&self.shared, data.into())
    }

    /// Ends the stream: see [`StreamFeeder::feed_eof`].
    pub fn feed_eof(&self) {
        feed_eof(&self.shared);
    }

    /// Sets the error of the stream: see [`StreamFeeder::set_exception`].
    pub fn set_exception(&self, error: impl Into<Error>) {
        set_exception(&self.shared, error.into());
    }

    /// Sets the transport that is paused while too much is buffered (`set_transport`).
    ///
    /// # Errors
    /// `Runtime` if there is one already.
    pub fn set_transport(&self, transport: Transport) -> Result<()> {
        let mut state = self.shared.lock();
        if state.transport.is_some() {
            return Err(Error::runtime("StreamReader.set_transport: Transport already set"));
        }
        state.transport = Some(transport);
        Ok(())
    }
}

/// Reading. The result of a read shares the memory in which it was received, if that is at most
/// sixteen times as large; otherwise it is a copy. Data that a program keeps therefore never keeps
/// more than sixteen times its own size alive.
impl StreamReader {
    /// Reads up to `n` bytes, as soon as there are any (`read(n)`); none at the end.
    ///
    /// # Errors
    /// The error that ended the connection, even if there is data left to read.
    ///
    /// # Cancellation
    /// Nothing has been read: the data is left for the next read.
    #[inline]
    #[track_caller]
    pub fn read(&mut self, n: usize) -> Read<'_> {
        Read { reading: Reading::new(self, WaitSite::here(&"StreamReader.read")), n }
    }

    /// Reads up to `n` bytes, as soon as there are any; `None` at the end (`while data := await
    /// reader.read(n)`). If `n` is zero, it returns `None` at once.
    ///
    /// # Errors
    /// The error that ended the connection, as for [`read`](StreamReader::read).
    ///
    /// # Cancellation
    /// Nothing has been read: the data is left for the next read.
    ///
    /// ```
    /// use asyncio::{StreamReader, StreamWriter};
    ///
    /// async fn echo(mut reader: StreamReader, writer: StreamWriter) -> asyncio::Result<()> {
    ///     while let Some(data) = reader.read_chunk(65_536).await? {
    ///         writer.write(data);
    ///         writer.drain().await?;
    ///     }
    ///     Ok(())
    /// }
    /// # #[asyncio::main]
    /// # async fn main() -> asyncio::Result<()> {
    /// # let server = asyncio::start_server(echo, ("127.0.0.1", 0)).await?;
    /// # let (mut reader, writer) = asyncio::open_connection(server.local_addr()).await?;
    /// # writer.write("hello");
    /// # writer.write_eof();
    /// # assert_eq!(reader.read_to_end().await?, "hello");
    /// # server.close();
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn read_chunk(&mut self, n: usize) -> ReadChunk<'_> {
        let reading = Reading::new(self, WaitSite::here(&"StreamReader.read_chunk"));
        ReadChunk { read: Read { reading, n } }
    }

    /// Reads everything until the end (`read()` without a number), without a limit.
    ///
    /// # Errors
    /// The error that ended the connection, as for [`read`](StreamReader::read).
    ///
    /// # Cancellation
    /// Nothing has been read: the data so far is left for the next read.
    #[track_caller]
    pub fn read_to_end(&mut self) -> ReadToEnd<'_> {
        ReadToEnd { reading: Reading::new(self, WaitSite::here(&"StreamReader.read_to_end")) }
    }

    /// Reads exactly `n` bytes (`readexactly`).
    ///
    /// # Errors
    /// `IncompleteRead` with the bytes that arrived, if the stream ends before; the error that ended the connection, as
    /// for [`read`](StreamReader::read).
    ///
    /// # Cancellation
    /// Nothing has been read: the data so far is left for the next read.
    #[track_caller]
    pub fn readexactly(&mut self, n: usize) -> ReadExactly<'_> {
        ReadExactly { reading: Reading::new(self, WaitSite::here(&"StreamReader.readexactly")), n }
    }

    /// Reads a line with its newline (`readline`). At the end of the stream, returns the rest, which may be empty.
    ///
    /// # Errors
    /// `Value` if the line is longer than the limit, not counting the newline. The line is then discarded; if its end
    /// has not arrived yet, everything that has arrived is. The error that ended the connection, as for
    /// [`read`](StreamReader::read).
    ///
    /// # Cancellation
    /// Nothing has been read: the data so far is left for the next read.
    #[track_caller]
    pub fn readline(&mut self) -> ReadLine<'_> {
        let reading = Reading::new(self, WaitSite::here(&"StreamReader.readline"));
        ReadLine { reading, search: Search::default() }
    }

    /// Reads the next line with its newline; `None` at the end (`async for line in reader`).
    ///
    /// # Errors
    /// The errors of [`readline`](StreamReader::readline), as an item. A line that is too long does not
    /// end the lines; the error that ended the connection is the last item.
    ///
    /// # Cancellation
    /// Returns `Err(Cancelled)` as that item. Nothing has been read: the data so far is left for the
    /// next read. Dropping the future does the same.
    ///
    /// ```
    /// use asyncio::StreamReader;
    ///
    /// #[asyncio::main]
    /// async fn main() -> asyncio::Result<()> {
    ///     let mut reader = StreamReader::new(1000)?;
    ///     reader.feed_data("one\ntwo")?;
    ///     reader.feed_eof();
    ///     let mut lines = Vec::new();
    ///     while let Some(line) = reader.next().await {
    ///         lines.push(line?);
    ///     }
    ///     assert_eq!(lines, ["one\n", "two"]);
    ///     Ok(())
    /// }
    /// ```
    #[allow(clippy::should_implement_trait, reason = "it is that of a stream")]
    #[track_caller]
    #[doc(alias("async for", "__aiter__", "__anext__"))]
    pub fn next(&mut self) -> NextLine<'_> {
        NextLine { reader: self, site: WaitSite::here(&"StreamReader.next") }
    }

    /// Reads up to and including a separator (`readuntil`). Of several separators, the one that ends first counts.
    ///
    /// # Errors
    /// - `IncompleteRead` with the bytes that arrived, if the stream ends before.
    /// - `LimitOverrun` if more than the limit precedes the separator. The data stays in the buffer, and
    ///   can be read in another way.
    /// - `Value` for an empty separator, or none.
    /// - The error that ended the connection, as for [`read`](StreamReader::read).
    ///
    /// # Cancellation
    /// Nothing has been read: the data so far is left for the next read.
    #[track_caller]
    pub fn readuntil<'a>(&'a mut self, separator: impl IntoSeparators<'a>) -> ReadUntil<'a> {
        let reading = Reading::new(self, WaitSite::here(&"StreamReader.readuntil"));
        ReadUntil { reading, separators: separator.into_separators(), search: Search::default() }
    }

    /// Puts `data` back, to be read next, for a library that has read too far.
    #[doc(hidden)] // For the HTTP crate.
    pub fn unread(&mut self, data: Bytes) {
        self.end_poll();
        let pins = data.len();
        if pins > 0 {
            self.shared.lock().buffer.put_back(data, pins);
        }
    }

    /// Returns whether everything has been read and the stream has ended (`at_eof`).
    pub fn at_eof(&self) -> bool {
        let state = self.shared.lock();
        state.eof && state.buffer.is_empty() && self.lent.is_empty()
    }

    /// Returns the error that every read returns, if the connection is broken (`exception`).
    pub fn exception(&self) -> Option<Error> {
        self.shared.lock().exception.clone()
    }
}

/// Polls through a trait.
impl StreamReader {
    /// Restores the reader for callers that do not poll it through a trait.
    #[inline]
    pub(crate) fn end_poll(&mut self) {
        if self.polled != Polled::Never {
            self.poll_for(Polled::Never);
        }
    }

    /// Forgets the operation for which it was polled before.
    #[cold]
    fn poll_for(&mut self, what: Polled) {
        self.polled = what;
        self.wait.disarm();
        self.search = Search::default();
        if !self.lent.is_empty() {
            let lent = std::mem::take(&mut self.lent);
            self.shared.lock().buffer.put_back(lent, self.lent_pins);
        }
    }

    /// Reads up to `n` bytes.
    pub(crate) fn poll_bytes(&mut self, cx: &Context<'_>, n: usize) -> Poll<Result<Bytes>> {
        if self.polled != Polled::Bytes {
            self.poll_for(Polled::Bytes);
        }
        if n == 0 || !self.lent.is_empty() {
            let n = n.min(self.lent.len());
            return Poll::Ready(Ok(self.lent.split_to(n)));
        }
        let site = WaitSite::new(&"StreamReader.poll_read", self.made_at);
        poll_read(&self.shared, &mut self.wait, cx, site, |state| state.try_read(n))
    }

    /// Returns the next line; `None` at the end, and after the error that ended the connection.
    pub(crate) fn poll_line(
        &mut self,
        cx: &Context<'_>,
        site: WaitSite,
    ) -> Poll<Option<Result<Bytes>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        if self.polled != Polled::Lines {
            self.poll_for(Polled::Lines);
        }
        let StreamReader { shared, wait, search, .. } = self;
        let line = ready!(poll_read(shared, wait, cx, site, |s| s.try_readline(search)));
        *search = Search::default();
        if line.is_err() {
            self.ended = self.exception().is_some();
        }
        Poll::Ready(match line {
            Ok(line) if line.is_empty() => None,
            line => Some(line),
        })
    }

    /// Returns the available data, at least one byte unless the stream ends. It counts as read when
    /// it is [consumed](StreamReader::consume_lent).
    pub(crate) fn poll_lent(&mut self, cx: &Context<'_>) -> Poll<Result<&[u8]>> {
        if self.lent.is_empty() {
            self.lent = ready!(self.poll_bytes(cx, usize::MAX))?;
            self.lent_pins = self.lent.len().saturating_mul(WORTH_KEEPING);
        }
        Poll::Ready(Ok(&self.lent))
    }

    pub(crate) fn consume_lent(&mut self, n: usize) {
        self.lent.advance(n.min(self.lent.len()));
    }
}

/// Lines, each with its newline. An error that leaves the connection intact (a line that is too
/// long) does not end the stream; the error that ended the connection is its last item.
impl Stream for StreamReader {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        let site = WaitSite::new(&"StreamReader.next", self.made_at);
        self.poll_line(cx, site)
    }
}

impl Drop for StreamReader {
    fn drop(&mut self) {
        self.end_poll();
        let mut after = Followup::default();
        let mut state = self.shared.lock();
        let unread = state.stop_reading(&mut after);
        state.keep_for_the_next(unread.as_slice());
        drop(state);
        drop(unread);
    }
}

/// `<StreamReader 5 bytes eof paused>`
impl fmt::Debug for StreamReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.shared.lock();
        f.write_str("<StreamReader")?;
        match state.buffer.len() + self.lent.len() {
            0 => {}
            n => write!(f, " {n} bytes")?,
        }
        if state.eof {
            f.write_str(" eof")?;
        }
        if state.limit != DEFAULT_LIMIT {
            write!(f, " limit={}", state.limit)?;
        }
        if let Some(error) = &state.exception {
            write!(f, " exception={error}")?;
        }
        if let Some(transport) = &state.transport {
            write!(f, " transport={transport:?}")?;
        }
        if state.paused {
            f.write_str(" paused")?;
        }
        f.write_str(">")
    }
}

/// Feeds a [`StreamReader`], from any task or thread.
#[derive(Clone)]
pub struct StreamFeeder(Shared);

impl StreamFeeder {
    /// Returns whether nothing more will arrive: the stream has ended, or is broken.
    #[doc(hidden)] // For the HTTP crate.
    pub fn has_ended(&self) -> bool {
        let state = self.0.lock();
        state.eof || state.exception.is_some()
    }

    /// Adds `data` to the readable data (`feed_data`).
    ///
    /// # Errors
    /// `Runtime` after [`feed_eof`](StreamFeeder::feed_eof).
    pub fn feed_data(&self, data: impl Into<Bytes>) -> Result<()> {
        feed_data(&self.0, data.into())
    }

    /// Marks the end of the stream (`feed_eof`).
    pub fn feed_eof(&self) {
        feed_eof(&self.0);
    }

    /// Makes every read fail with this error from now on, including a read that waits (`set_exception`).
    pub fn set_exception(&self, error: impl Into<Error>) {
        set_exception(&self.0, error.into());
    }
}

impl fmt::Debug for StreamFeeder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<StreamFeeder>")
    }
}

fn feed_data(shared: &Shared, data: Bytes) -> Result<()> {
    let mut after = Followup::default();
    let mut state = shared.lock();
    if state.eof {
        return Err(Error::runtime("feed_data after feed_eof"));
    }
    state.feed(data, &mut after);
    Ok(())
}

fn feed_eof(shared: &Shared) {
    let mut after = Followup::default();
    shared.lock().feed_eof(&mut after);
}

fn set_exception(shared: &Shared, error: Error) {
    let mut after = Followup::default();
    shared.lock().set_exception(error, &mut after);
}
