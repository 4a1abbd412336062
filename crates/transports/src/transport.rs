//! [`Transport`]: the handle of a connection.

use crate::{
    connection::{Connection, Kind},
    extra_info::{ExtraInfo, Informed, Names},
    flow_control::water_marks,
    protocols::IntoProtocol,
    ssl,
    stream::Stream,
    trsock::TransportSocket,
};
use asyncio_core::{
    Error, LoopHandle, Result,
    exception::ExceptionContext,
    log::{Level, log},
    raw::{LoopLocal, LoopRef},
};
use bytes::Bytes;
use std::{
    cell::RefCell,
    fmt,
    io::IoSlice,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

/// A handle to a connection or to one end of a pipe (`asyncio.Transport`, `ReadTransport`,
/// `WriteTransport`).
///
/// Clones are handles to the same connection. Dropping them does not end the connection; it ends when it is
/// closed, aborted, or lost. A handle may be used on any thread. On a thread other than the loop's, calls are
/// passed to the loop and take effect soon, and queries that only the loop can answer return the result for a
/// closed connection.
#[doc(alias("asyncio.Transport", "BaseTransport", "ReadTransport", "WriteTransport"))]
#[derive(Clone)]
pub struct Transport(pub(crate) Arc<Shared>);

/// The data of every handle.
pub(crate) struct Shared {
    /// The lowest layer, which has the descriptor and the names.
    pub(crate) local: LoopLocal<Connection>,
    /// TLS over it, if the handle is for TLS.
    pub(crate) ssl: ssl::Layer,
    pub(crate) kind: Kind,
    pub(crate) closing: AtomicBool,
    lost_writes: LostWrites,
    pub(crate) names: Names,
}

/// The number of writes to a lost connection from which each write logs a warning.
pub const LOG_THRESHOLD_FOR_CONNLOST_WRITES: u32 = 5;

impl Shared {
    pub(crate) fn new(local: LoopLocal<Connection>, kind: Kind, names: Names) -> Shared {
        Shared::over(local, ssl::Layer::NONE, kind, names)
    }

    pub(crate) fn over(
        local: LoopLocal<Connection>,
        ssl: ssl::Layer,
        kind: Kind,
        names: Names,
    ) -> Shared {
        let (closing, lost_writes) = (AtomicBool::new(false), LostWrites::default());
        Shared { local, ssl, kind, closing, lost_writes, names }
    }

    /// Counts a write to a lost connection.
    pub(crate) fn count_lost_write(&self) {
        self.lost_writes.count(match self.kind {
            Kind::Socket { .. } => "socket.send() raised exception.",
            _ => "pipe closed by peer or os.write(pipe, data) raised exception.",
        });
    }
}

/// The number of writes to a lost connection.
#[derive(Debug, Default)]
pub(crate) struct LostWrites(AtomicU32);

impl LostWrites {
    /// Counts one write, and logs a warning if there were too many.
    pub(crate) fn count(&self, warning: &str) {
        if self.0.fetch_add(1, Ordering::Relaxed) + 1 < LOG_THRESHOLD_FOR_CONNLOST_WRITES {
            return;
        }
        // A counter that overflows would be silent again.
        self.0.store(LOG_THRESHOLD_FOR_CONNLOST_WRITES, Ordering::Relaxed);
        log(Level::Warning, warning);
    }
}

/// Both directions.
impl Transport {
    /// Returns the object behind the handle.
    pub(crate) fn stream(&self) -> Option<Rc<dyn Stream>> {
        match self.0.ssl.get() {
            Some(place) => Some(place.get()?),
            None => Some(self.0.local.get()?),
        }
    }

    /// Calls `f` with the object behind the handle: immediately on the loop's thread, or soon, as a step
    /// of the loop, from another thread.
    pub(crate) fn send(&self, f: impl FnOnce(&dyn Stream) + Send + 'static) {
        match self.0.ssl.get() {
            Some(place) => place.send(move |ssl| f(ssl)),
            None => self.0.local.send(move |connection| f(connection)),
        }
    }

    /// Returns the loop that the connection belongs to.
    pub fn get_loop(&self) -> LoopHandle {
        self.home().into()
    }

    /// Returns the loop. For the sibling crates.
    #[doc(hidden)]
    pub fn home(&self) -> LoopRef {
        self.0.local.home()
    }

    /// Closes the connection (`close`): nothing more is read, the buffered data is sent, and then
    /// `connection_lost(None)` is called. A second call does nothing.
    pub fn close(&self) {
        self.send(|stream| stream.close());
    }

    /// Closes the connection immediately (`abort`): the buffered data is lost.
    /// `connection_lost(None)` is called in the next iteration.
    pub fn abort(&self) {
        self.send(|stream| stream.force_close(None));
    }

    /// Returns whether the connection is closed, or will be when the buffered data has been sent
    /// (`is_closing`).
    #[inline]
    pub fn is_closing(&self) -> bool {
        self.0.closing.load(Ordering::Relaxed)
    }

    /// Returns information about the connection (`get_extra_info`): see [`ExtraInfo`].
    ///
    /// ```
    /// use asyncio::{PEERNAME, Transport};
    /// # #[allow(dead_code)]
    /// fn greet(transport: &Transport) {
    ///     if let Some(address) = transport.get_extra_info(PEERNAME) {
    ///         println!("hello {address}");
    ///     }
    /// }
    /// ```
    pub fn get_extra_info<T>(&self, what: ExtraInfo<T>) -> Option<T> {
        what.of(self)
    }

    /// Replaces the protocol of the connection (`set_protocol`). The new protocol is called from now on or, inside
    /// a callback, after that callback. Its `connection_made` is not called.
    ///
    /// # Errors
    /// `Runtime` if the connection is closed, or belongs to another thread; the protocol is dropped.
    pub fn set_protocol<Kind, P: IntoProtocol<Kind>>(&self, protocol: P) -> Result<()> {
        let Some(stream) = self.stream() else {
            return Err(Error::runtime(
                "set_protocol: the connection has ended, or belongs to another thread",
            ));
        };
        stream.set_protocol(P::into_calls(Rc::new(RefCell::new(protocol))));
        Ok(())
    }

    /// Returns the protocol (`get_protocol`), if it is a `P`; `None` once the connection is closed, and
    /// on other threads than the loop's.
    pub fn get_protocol<P: 'static>(&self) -> Option<Rc<RefCell<P>>> {
        self.stream()?.protocol()?.downcast().ok()
    }
}

/// Reading.
impl Transport {
    /// Stops delivering data to the protocol until [`resume_reading`](Transport::resume_reading)
    /// (`pause_reading`).
    pub fn pause_reading(&self) {
        self.send(|stream| stream.pause_reading());
    }

    /// Undoes [`pause_reading`](Transport::pause_reading) (`resume_reading`).
    pub fn resume_reading(&self) {
        self.send(|stream| stream.resume_reading());
    }

    /// Returns whether data is delivered to the protocol (`is_reading`). It is not while reading is
    /// paused or the transport is closing.
    pub fn is_reading(&self) -> bool {
        self.stream().is_some_and(|stream| stream.is_reading())
    }
}

/// Writing.
impl Transport {
    /// Sends `data` (`write`): immediately as far as the system takes it, the rest from a buffer.
    ///
    /// Data written after the connection was lost is dropped, with a warning in the log from the fifth time on. Data
    /// written after [`write_eof`](Transport::write_eof) or during a `sendfile` is dropped, and reported to the loop's
    /// exception handler as a `Runtime` error.
    #[inline]
    pub fn write(&self, data: impl AsRef<[u8]>) {
        if let Err(error) = self.try_write(data) {
            self.report("transport.write() failed", error);
        }
    }

    /// Does what [`write`](Transport::write) does, and returns an error if the data is refused.
    ///
    /// # Errors
    /// `Runtime` where `write` reports one to the exception handler. On another thread than the
    /// loop's, it goes to the exception handler here, too.
    // Inlined into the code that writes, which saves a mispredicted return after the system call.
    #[inline(always)]
    pub fn try_write(&self, data: impl AsRef<[u8]>) -> Result<()> {
        let data = data.as_ref();
        if self.0.ssl.get().is_some() {
            return self.write_over(data);
        }
        match self.0.local.get() {
            Some(connection) => connection.write(data),
            None => {
                self.write_elsewhere(data);
                Ok(())
            }
        }
    }

    /// Writes to TLS.
    #[inline(never)]
    fn write_over(&self, data: &[u8]) -> Result<()> {
        match self.stream() {
            Some(stream) => stream.write(data),
            None => {
                self.write_elsewhere(data);
                Ok(())
            }
        }
    }

    /// There is no connection on this thread: it has ended, or belongs to another thread.
    #[cold]
    fn write_elsewhere(&self, data: &[u8]) {
        if !self.0.local.home().is_local() {
            let data = Bytes::copy_from_slice(data);
            self.send(move |stream| {
                if let Err(error) = stream.write(&data) {
                    stream.handle().report("transport.write() failed", error);
                }
            });
        } else if !data.is_empty() {
            self.0.count_lost_write();
        }
    }

    /// Sends several pieces (`writelines`), in one system call if nothing is buffered. Otherwise it
    /// works like [`write`](Transport::write).
    pub fn writelines<I>(&self, pieces: I)
    where
        I: IntoIterator<Item: AsRef<[u8]>>,
    {
        if let Err(error) = self.try_writelines(pieces) {
            self.report("transport.writelines() failed", error);
        }
    }

    /// Does what [`writelines`](Transport::writelines) does, and returns an error if the data is
    /// refused.
    ///
    /// # Errors
    /// As for [`try_write`](Transport::try_write).
    pub fn try_writelines<I>(&self, pieces: I) -> Result<()>
    where
        I: IntoIterator<Item: AsRef<[u8]>>,
    {
        let pieces: Vec<I::Item> = pieces.into_iter().collect();
        match self.stream() {
            Some(stream) => {
                let pieces: Vec<_> = pieces.iter().map(|p| IoSlice::new(p.as_ref())).collect();
                stream.writelines(&pieces)
            }
            None => {
                let joined: Vec<u8> = pieces.iter().flat_map(|p| p.as_ref()).copied().collect();
                self.try_write(&joined)
            }
        }
    }

    /// Ends the sending direction after the buffered data (`write_eof`); the other side sees the end,
    /// and may continue to send. It does nothing if the transport is closing. A pipe is closed. TLS
    /// does not support it, which is reported to the loop's exception handler as an error.
    pub fn write_eof(&self) {
        self.send(|stream| stream.write_eof());
    }

    /// Returns whether [`write_eof`](Transport::write_eof) works (`can_write_eof`): on all writable
    /// transports except TLS.
    pub fn can_write_eof(&self) -> bool {
        self.0.kind != Kind::ReadPipe && self.0.ssl.get().is_none()
    }

    /// Sets the marks of the write buffer, in bytes: `pause_writing` is called above `high`,
    /// `resume_writing` at `low` or below (`set_write_buffer_limits`). By default, `high` is four
    /// times `low`, or 64 KiB (512 KiB with TLS) if neither is given; `low` is a quarter of `high`.
    /// TLS pauses already at `high`, as in asyncio.
    ///
    /// # Errors
    /// `Value` unless `high` is at least `low`; nothing changes then.
    pub fn set_write_buffer_limits(&self, high: Option<usize>, low: Option<usize>) -> Result<()> {
        let default = self.0.ssl.high_water();
        let (low, high) = water_marks("set_write_buffer_limits", default, high, low)?;
        self.send(move |stream| stream.set_water_marks(low, high));
        Ok(())
    }

    /// Returns the marks `(low, high)` (`get_write_buffer_limits`).
    pub fn get_write_buffer_limits(&self) -> (usize, usize) {
        self.stream().map_or((0, 0), |stream| stream.water_marks())
    }

    /// Returns the number of buffered bytes (`get_write_buffer_size`).
    pub fn get_write_buffer_size(&self) -> usize {
        self.stream().map_or(0, |stream| stream.buffered())
    }

    #[cold]
    pub(crate) fn report(&self, message: &'static str, error: Error) {
        ExceptionContext::new(message).with_exception(error).report(Some(self.0.local.home()));
    }
}

impl Informed for Transport {
    fn names(&self) -> &Names {
        &self.0.names
    }

    fn socket(&self) -> Option<TransportSocket> {
        TransportSocket::of(&self.0.local.get()?.source()?)
    }

    #[cfg(feature = "tls")]
    fn ssl(&self) -> Option<&ssl::Layer> {
        Some(&self.0.ssl)
    }
}

/// Handles of the same connection are equal.
impl PartialEq for Transport {
    fn eq(&self, other: &Transport) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Transport {}

/// `<Transport 127.0.0.1:8888 - 127.0.0.1:40404 closing>`
impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let closing = if self.is_closing() { " closing" } else { "" };
        write!(f, "<Transport {:?}{closing}>", self.0.names)
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{Log, Recorder, iterations, pair, run};

    #[test]
    fn a_refused_write_is_an_error_of_the_call_or_goes_to_the_handler() {
        run(async {
            let log = Log::default();
            log.watch_handler()?;
            let (transport, _peer) = pair(Recorder::new(&log));
            iterations(1).await?;
            transport.write_eof();
            let refused = "Cannot call write() after write_eof()";
            assert_eq!(transport.try_write(b"x").unwrap_err().to_string(), refused);
            assert!(transport.try_writelines(["x"]).is_err());
            assert_eq!(log.events(), "made");
            transport.write(b"x");
            assert_eq!(log.events(), format!("made handler: transport.write() failed: {refused}"));
            transport.abort();
            log.lost().await
        });
    }
}
