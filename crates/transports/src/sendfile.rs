//! [`sendfile`]: sends a file over a transport.

use crate::transport::Transport;
use asyncio_core::{Error, Result, wait_site::WaitSite};
use asyncio_future::Future;
use asyncio_sockets::Transfer;
use std::{
    io,
    os::fd::AsFd,
    pin::Pin,
    task::{Context, Poll, ready},
};

#[cfg(test)]
mod tests;

/// The size in bytes of the blocks in which a file is read, if the system cannot send it.
const BLOCK_SIZE: usize = 16 * 1024;

/// Sends a file to the other side of a connection, after the buffered data, and returns the number of
/// bytes sent (`loop.sendfile`). It sends the whole file, unless [`offset`](Sendfile::offset) or
/// [`count`](Sendfile::count) say otherwise.
///
/// Meanwhile nothing is read, and writing to the transport is an error for the loop's exception handler.
/// On Linux, the system copies from the file to the socket. On other systems, over TLS, and for files
/// that cannot be sent in this way, the file is read in blocks on a thread. However the operation ends,
/// the file's position is then after the last byte that was sent.
///
/// `file` is any value with the descriptor of an open file. The descriptor is duplicated, so it may
/// be closed meanwhile.
///
/// # Errors
/// `Runtime` if the transport is closing, is a pipe, has ended its sending direction, is already
/// sending a file, or belongs to another thread; `Value` for a count of zero; `SendfileNotAvailable`
/// if the system cannot do it and [`fallback`](Sendfile::fallback) is off; the system's error for the
/// file or the connection, which is closed if it is broken. [`Sendfile::sent`] returns how much was
/// sent before.
///
/// # Cancellation
/// A part may have been sent, and the connection works as before. To know how much, await the future by
/// `&mut`, and call [`Sendfile::sent`] afterwards. If it is awaited again, it continues where it was.
///
/// ```
/// use asyncio::{Transport, sendfile};
/// # #[allow(dead_code)]
/// async fn send(transport: &Transport) -> asyncio::Result<u64> {
///     let file = std::fs::File::open("index.html")?;
///     sendfile(transport, &file).await
/// }
/// ```
#[doc(alias = "loop.sendfile")]
#[track_caller]
pub fn sendfile(transport: &Transport, file: &impl AsFd) -> Sendfile {
    let site = WaitSite::here(&"sendfile");
    let transfer = Transfer::new(file, BLOCK_SIZE, site);
    Sendfile {
        transport: transport.clone(),
        transfer,
        site,
        stage: Stage::Idle,
        was_reading: false,
    }
}

/// The future that [`sendfile`] returns.
#[derive(Debug)]
#[must_use = "futures do nothing unless they are awaited"]
pub struct Sendfile {
    pub(crate) transport: Transport,
    pub(crate) transfer: Transfer,
    pub(crate) site: WaitSite,
    pub(crate) stage: Stage,
    was_reading: bool,
}

#[derive(Debug)]
pub(crate) enum Stage {
    Idle,
    /// The buffered data is sent first.
    Waiting(Future<()>),
    Sending,
}

impl Sendfile {
    /// Sets the offset in the file at which to begin, in bytes.
    pub fn offset(mut self, offset: u64) -> Self {
        self.transfer.start = offset;
        self
    }

    /// Sets the largest number of bytes to send. By default, all bytes until the end of the file
    /// are sent.
    pub fn count(mut self, count: u64) -> Self {
        self.transfer.count = Some(count);
        self
    }

    /// Sets whether a file that the system cannot send is read and sent instead. With `false`, it
    /// is an error.
    pub fn fallback(mut self, fallback: bool) -> Self {
        self.transfer.fallback = fallback;
        self
    }

    /// Returns how many bytes the system has taken so far.
    pub fn sent(&self) -> u64 {
        self.transfer.sent
    }

    fn begin(&mut self) -> Result<()> {
        let transport = &self.transport;
        if transport.is_closing() {
            return Err(Error::runtime("sendfile: Transport is closing"));
        }
        if !transport.0.kind.is_socket() {
            let text = format!("sendfile: sendfile is not supported for transport {transport:?}");
            return Err(Error::runtime(text));
        }
        self.transfer.check()?;
        let of_another =
            || Error::runtime("sendfile: the transport has ended, or belongs to another thread");
        let stream = transport.stream().ok_or_else(of_another)?;
        let was_reading = stream.is_reading();
        let emptied = stream.begin_sendfile(self.site)?;
        (self.stage, self.was_reading) = (Stage::Waiting(emptied), was_reading);
        Ok(())
    }

    fn advance(&mut self, cx: &mut Context<'_>) -> Poll<Result<u64>> {
        if let Stage::Idle = self.stage {
            self.begin()?;
        }
        #[cfg(feature = "tls")]
        if let Some(place) = self.transport.0.ssl.get() {
            return self.advance_over(cx, place);
        }
        if let Stage::Waiting(emptied) = &mut self.stage {
            ready!(std::future::Future::poll(Pin::new(emptied), cx))?;
            self.stage = Stage::Sending;
        }
        let Some(source) = self.transport.0.local.get().and_then(|c| c.source()) else {
            return Poll::Ready(Err(closed()));
        };
        self.transfer.poll(cx, &source)
    }

    /// Lets the transport continue as before.
    fn end(&mut self, error: Option<Error>) {
        if let Stage::Idle = std::mem::replace(&mut self.stage, Stage::Idle) {
            return;
        }
        let was_reading = self.was_reading;
        self.transport.send(move |stream| {
            stream.end_sendfile(error);
            if was_reading {
                stream.resume_reading();
            }
        });
    }
}

/// The transport was closed meanwhile.
pub(crate) fn closed() -> Error {
    let text = "sendfile: the connection was closed";
    io::Error::new(io::ErrorKind::ConnectionAborted, text).into()
}

impl std::future::Future for Sendfile {
    type Output = Result<u64>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<u64>> {
        let this = self.get_mut();
        let outcome = ready!(this.advance(cx));
        this.end(outcome.as_ref().err().cloned());
        Poll::Ready(outcome)
    }
}

impl Drop for Sendfile {
    fn drop(&mut self) {
        self.end(None);
    }
}
