//! The standard streams of the process: [`stdin`], [`stdout`], [`stderr`] and [`input`].

mod output;

pub use output::StdioWriter;

use crate::{
    protocol::StreamReaderProtocol,
    reader::{DEFAULT_LIMIT, StreamReader},
    state::{Followup, Shared, State},
};
use asyncio_core::{
    Error, Result,
    raw::sync::{Arc, Mutex},
    wait_site::WaitSite,
};
use asyncio_sockets::{in_call, on_thread};
use asyncio_transports::{Transport, connect_read_pipe};
use bytes::Bytes;
use std::{
    fmt,
    fs::File,
    future::Future,
    io::{self, ErrorKind, Read},
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::FileTypeExt,
    },
    pin::Pin,
};

/// Opens the standard input of the process, whatever kind of file it is; awaiting it returns a
/// [`StreamReader`]. In asyncio this is done with `connect_read_pipe`, which does not take files.
///
/// A terminal, a pipe, a socket or a device is in non-blocking mode while the reader exists. Blocking
/// mode is restored when the reader is dropped or the process exits, even by a panic, but not if a
/// signal kills the process. Threads read a file, one block at a time, when the reader's buffer is
/// empty.
///
/// When a reader is dropped, its unread data goes to the next one. There should be only one reader at a
/// time.
///
/// # Errors
/// The system's error; `Runtime` without a running loop; `Value` for a [`limit`](Stdin::limit) of
/// zero.
///
/// # Cancellation
/// Nothing has been read.
///
/// ```no_run
/// #[asyncio::main]
/// async fn main() -> asyncio::Result<()> {
///     let mut lines = asyncio::stdin().await?;
///     let output = asyncio::stdout().await?;
///     while let Some(line) = lines.next().await {
///         output.write(&line?.to_ascii_uppercase());
///         output.drain().await?;
///     }
///     Ok(())
/// }
/// ```
#[track_caller]
pub fn stdin() -> Stdin {
    Stdin { limit: DEFAULT_LIMIT, site: WaitSite::here(&"stdin") }
}

/// The value that [`stdin`] returns, with its keyword argument. Awaiting it returns the reader.
#[derive(Debug)]
#[must_use = "nothing happens unless it is awaited"]
pub struct Stdin {
    limit: usize,
    site: WaitSite,
}

impl Stdin {
    /// Sets the longest line, 64 KiB by default.
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    async fn open(self) -> Result<StreamReader> {
        let Stdin { limit, site } = self;
        let mut state = State::with_limit(State::check_limit(limit)?);
        // There is no writer that would keep the connection open.
        state.writing.is_over = true;
        let mut standard = Standard { file: None, is_asked: false };
        let input = copy(io::stdin()).map_err(|error| in_call(site.what(), error.into()))?;
        let pipe = match input {
            Input::File(file) => {
                standard.file = Some(Arc::new(file));
                None
            }
            Input::Pipe(pipe) => Some(pipe),
        };
        state.standard = Some(Box::new(standard));
        let read_ahead = std::mem::take(&mut *READ_AHEAD.lock());
        state.feed(read_ahead.into(), &mut Followup::default());
        let shared = Arc::new(Mutex::new(state));
        let mut beginning = Beginning(Some(shared.clone()));
        if let Some(pipe) = pipe {
            let shared = shared.clone();
            let factory = move || StreamReaderProtocol::of(shared);
            let _: Transport = connect_read_pipe(factory, pipe).at(site).transport().await?;
        }
        beginning.0 = None;
        Ok(StreamReader::of(shared, site.location()))
    }
}

impl IntoFuture for Stdin {
    type Output = Result<StreamReader>;
    type IntoFuture = OpeningStdio<StreamReader>;

    fn into_future(self) -> OpeningStdio<StreamReader> {
        OpeningStdio(Box::pin(self.open()))
    }
}

/// The future of [`stdin`], [`stdout`] and [`stderr`].
#[must_use = "futures do nothing unless they are awaited"]
pub struct OpeningStdio<T>(Pin<Box<dyn Future<Output = Result<T>> + Send>>);

impl<T> Future for OpeningStdio<T> {
    type Output = Result<T>;

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<T>> {
        self.0.as_mut().poll(cx)
    }
}

impl<T> fmt::Debug for OpeningStdio<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<OpeningStdio>")
    }
}

/// Opens the standard output of the process, whatever kind of file it is; awaiting it returns a
/// [`StdioWriter`].
///
/// A terminal, a pipe, a socket or a device is in non-blocking mode while the writer exists, as for
/// [`stdin`]. During that time, `println!` can fail if the other side is slow. Threads write a file.
/// Call [`drain`](StdioWriter::drain) before the program ends: a closed loop sends nothing.
///
/// # Errors
/// The system's error; `Runtime` without a running loop.
///
/// # Cancellation
/// Nothing has been written.
///
/// ```
/// #[asyncio::main]
/// async fn main() -> asyncio::Result<()> {
///     let output = asyncio::stdout().await?;
///     output.write("hello\n");
///     output.drain().await
/// }
/// ```
#[track_caller]
pub fn stdout() -> OpeningStdio<StdioWriter> {
    let site = WaitSite::here(&"stdout");
    OpeningStdio(Box::pin(async move { StdioWriter::open(io::stdout(), site).await }))
}

/// Opens the standard error output of the process: see [`stdout`].
///
/// # Errors
/// As for [`stdout`].
///
/// # Cancellation
/// As for [`stdout`].
#[track_caller]
pub fn stderr() -> OpeningStdio<StdioWriter> {
    let site = WaitSite::here(&"stderr");
    OpeningStdio(Box::pin(async move { StdioWriter::open(io::stderr(), site).await }))
}

/// Writes `prompt` to standard output and reads a line from standard input, without its newline
/// (Python's `input`). Other tasks run meanwhile.
///
/// # Errors
/// `Io` of the kind `UnexpectedEof` at the end of the input, where Python raises an `EOFError`; `Value`
/// if the line is not UTF-8; the system's error.
///
/// # Cancellation
/// The prompt may have been written. No input is lost.
///
/// ```no_run
/// #[asyncio::main]
/// async fn main() -> asyncio::Result<()> {
///     let name = asyncio::input("Your name: ").await?;
///     println!("Hello {name}");
///     Ok(())
/// }
/// ```
#[track_caller]
pub fn input(prompt: impl AsRef<str>) -> impl Future<Output = Result<String>> + Send {
    let (prompt, site) = (prompt.as_ref().to_owned(), WaitSite::here(&"input"));
    async move {
        if !prompt.is_empty() {
            let output = StdioWriter::open(io::stdout(), site).await?;
            output.write(prompt);
            output.drain_at(site).await?;
        }
        let mut reader = Stdin { limit: DEFAULT_LIMIT, site }.open().await?;
        let line = reader.readline().at(site).limit(usize::MAX).await?;
        if line.is_empty() {
            let error = io::Error::new(ErrorKind::UnexpectedEof, "EOF when reading a line");
            return Err(in_call(site.what(), error.into()));
        }
        let line = line.strip_suffix(b"\n").unwrap_or(&line);
        let text = std::str::from_utf8(line);
        Ok(text.map_err(|error| Error::value(format!("input: {error}")))?.to_owned())
    }
}

/// The kind of a standard stream.
enum Input {
    /// A descriptor that can be waited for.
    Pipe(OwnedFd),
    File(File),
}

/// Duplicates the descriptor of a standard stream.
fn copy(stream: impl AsFd) -> io::Result<Input> {
    let file = File::from(stream.as_fd().try_clone_to_owned()?);
    let file_type = file.metadata()?.file_type();
    let is_pipe = file_type.is_fifo() || file_type.is_socket() || file_type.is_char_device();
    Ok(if is_pipe { Input::Pipe(file.into()) } else { Input::File(file) })
}

/// Unread data of dropped readers of the standard input.
static READ_AHEAD: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// The size of the blocks in which a file is read.
const BLOCK: usize = 64 * 1024;

/// The additional state of a reader of the standard input.
#[derive(Debug)]
pub(crate) struct Standard {
    /// A file that threads read, and whether a thread is reading.
    file: Option<Arc<File>>,
    is_asked: bool,
}

impl State {
    /// Lets a thread read the next block if the input is a file, because the reader waits for more.
    pub(crate) fn ask_file(&mut self, shared: &Shared) -> Result<()> {
        let Some(standard) = self.standard.as_mut().filter(|it| !it.is_asked) else {
            return Ok(());
        };
        let Some(file) = standard.file.clone() else { return Ok(()) };
        let shared = shared.clone();
        on_thread(move || {
            let block = read_block(&file);
            let mut after = Followup::default();
            let mut state = shared.lock();
            if let Some(standard) = &mut state.standard {
                standard.is_asked = false;
            }
            match block {
                Ok(block) if block.is_empty() => state.feed_eof(&mut after),
                Ok(block) => state.feed(block, &mut after),
                Err(error) => state.set_exception(in_call("stdin", error.into()), &mut after),
            }
        })?;
        standard.is_asked = true;
        Ok(())
    }

    /// Keeps unread data for the next reader of the standard input.
    pub(crate) fn keep_for_the_next(&self, data: &[u8]) {
        if self.standard.is_some() {
            READ_AHEAD.lock().extend_from_slice(data);
        }
    }
}

fn read_block(mut file: &File) -> io::Result<Bytes> {
    let mut block = vec![0; BLOCK];
    loop {
        match file.read(&mut block) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            outcome => {
                block.truncate(outcome?);
                return Ok(block.into());
            }
        }
    }
}

/// The state of a reader that is being created. It is not a reader yet, because dropping a reader would
/// be reported.
struct Beginning(Option<Shared>);

impl Drop for Beginning {
    fn drop(&mut self) {
        if let Some(shared) = self.0.take() {
            let state = shared.lock();
            state.keep_for_the_next(state.buffer.as_slice());
        }
    }
}
