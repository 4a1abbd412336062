//! [`Communicate`]: feeds a process and reads all of its output at the same time.

use crate::{process::Process, wait::ProcessWait};
use asyncio_core::{Error, Result, wait_site::WaitSite};
use asyncio_streams::{StreamReader, StreamWriter};
use bytes::{Buf, Bytes};
use std::{
    borrow::Cow,
    fmt,
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    task::{Context, Poll},
};

/// The number of bytes that are written or read at once.
const CHUNK: usize = 64 * 1024;

/// The output of a process through its pipes, which [`Process::communicate`] returns. A stream that
/// is not a pipe is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// The data that it wrote to standard output.
    pub stdout: Vec<u8>,
    /// The data that it wrote to standard error.
    pub stderr: Vec<u8>,
}

/// The input of [`Process::communicate`]: text or bytes, borrowed or owned, or `None`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the input of a process",
    label = "text or bytes, or `None`, are expected",
    note = "write `process.communicate(\"text\")`, `process.communicate(bytes)`, or `process.communicate(None)`",
    note = "there is no `Some` around the input"
)]
pub trait ToInput<'a> {
    /// The input, if there is any.
    fn to_input(self) -> Option<Cow<'a, [u8]>>;
}

impl<'a> ToInput<'a> for Option<&'a [u8]> {
    fn to_input(self) -> Option<Cow<'a, [u8]>> {
        self.map(Cow::Borrowed)
    }
}

impl<'a, T: AsRef<[u8]> + ?Sized> ToInput<'a> for &'a T {
    fn to_input(self) -> Option<Cow<'a, [u8]>> {
        Some(Cow::Borrowed(self.as_ref()))
    }
}

macro_rules! owned_input {
    ($($owned:ty)*) => {$(
        impl ToInput<'_> for $owned {
            fn to_input(self) -> Option<Cow<'static, [u8]>> {
                Some(Cow::Owned(self.into()))
            }
        }
    )*};
}

owned_input!(String Vec<u8> Bytes);

/// An exchange with a process. It has begun, and may be interrupted.
#[derive(Default)]
pub(crate) struct Exchange {
    has_begun: bool,
    /// The input that was not yet written when it was interrupted.
    unwritten: Bytes,
    /// The output that was read so far.
    output: Output,
}

/// The future of [`Process::communicate`].
///
/// # Cancellation
/// Nothing is lost: the output that was read and the input that was not written are kept. The next
/// `communicate(None)` continues where this one stopped. Until then, standard input stays open.
#[must_use = "futures do nothing unless they are awaited"]
pub struct Communicate<'a>(Pin<Box<dyn Future<Output = Result<Output>> + Send + 'a>>);

impl<'a> Communicate<'a> {
    pub(crate) fn new(
        process: &'a mut Process,
        input: impl ToInput<'a>,
        site: WaitSite,
    ) -> Communicate<'a> {
        Communicate(Box::pin(communicate(process, input.to_input(), site)))
    }
}

impl Future for Communicate<'_> {
    type Output = Result<Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Output>> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for Communicate<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Communicate")
    }
}

async fn communicate(
    process: &mut Process,
    input: Option<Cow<'_, [u8]>>,
    site: WaitSite,
) -> Result<Output> {
    let Process { stdin, stdout, stderr, exchange, child } = process;
    let Exchange { has_begun, unwritten, output } = exchange;
    if input.is_some() {
        if *has_begun {
            let text = "cannot send input after communication was begun";
            return Err(Error::value(format!("Process.communicate: {text}")));
        }
        if stdin.is_none() {
            let text = "standard input is not a pipe";
            return Err(Error::value(format!("Process.communicate: {text}")));
        }
    }
    *has_begun = true;
    let input = Input { borrowed: input.as_deref().unwrap_or_default(), kept: unwritten };
    {
        let feed = pin!(feed(stdin.as_ref(), input, site));
        let stdout = pin!(collect(stdout.as_mut(), &mut output.stdout, site));
        let stderr = pin!(collect(stderr.as_mut(), &mut output.stderr, site));
        together([feed, stdout, stderr]).await?;
    }
    ProcessWait::new(child.clone(), site).await?;
    Ok(std::mem::take(exchange).output)
}

/// The input to write: the rest of an earlier call, or that of this call. If the call is
/// interrupted, the rest is kept.
struct Input<'a> {
    borrowed: &'a [u8],
    kept: &'a mut Bytes,
}

impl Input<'_> {
    /// Calls `write` with the next bytes; returns false if there are none.
    fn next(&mut self, write: impl FnOnce(&[u8])) -> bool {
        let rest = if self.kept.is_empty() { self.borrowed } else { &self.kept[..] };
        let chunk = rest.len().min(CHUNK);
        write(&rest[..chunk]);
        if self.kept.is_empty() {
            self.borrowed.advance(chunk);
        } else {
            self.kept.advance(chunk);
        }
        chunk > 0
    }

    /// Discards the rest, which will not be read.
    fn forget(&mut self) {
        self.borrowed = &[];
        self.kept.clear();
    }
}

impl Drop for Input<'_> {
    fn drop(&mut self) {
        if !self.borrowed.is_empty() {
            *self.kept = Bytes::copy_from_slice(self.borrowed);
        }
    }
}

/// Writes everything and closes the pipe. It is not an error if the child does not read it.
async fn feed(stdin: Option<&StreamWriter>, mut input: Input<'_>, site: WaitSite) -> Result<()> {
    let Some(stdin) = stdin else { return Ok(()) };
    while input.next(|chunk| stdin.write(chunk)) {
        match stdin.drain().at(site).await {
            Err(Error::Io(error)) if is_broken(error.kind()) => input.forget(),
            drained => drained?,
        }
    }
    stdin.close();
    Ok(())
}

fn is_broken(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

/// Reads until the end.
async fn collect(
    stream: Option<&mut StreamReader>,
    all: &mut Vec<u8>,
    site: WaitSite,
) -> Result<()> {
    let Some(stream) = stream else { return Ok(()) };
    loop {
        let chunk = stream.read(CHUNK).at(site).await?;
        if chunk.is_empty() {
            return Ok(());
        }
        all.extend_from_slice(&chunk);
    }
}

type Part<'a> = Pin<&'a mut (dyn Future<Output = Result<()>> + Send)>;

/// Runs three futures until all are done, or one fails.
fn together(parts: [Part<'_>; 3]) -> impl Future<Output = Result<()>> {
    let mut running = parts.map(Some);
    poll_fn(move |cx| {
        for place in &mut running {
            match place.as_mut().map(|part| part.as_mut().poll(cx)) {
                Some(Poll::Ready(Ok(()))) => *place = None,
                Some(Poll::Ready(Err(error))) => return Poll::Ready(Err(error)),
                Some(Poll::Pending) | None => {}
            }
        }
        if running.iter().all(Option::is_none) { Poll::Ready(Ok(())) } else { Poll::Pending }
    })
}
