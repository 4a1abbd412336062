//! [`SubprocessProtocol`]: the callbacks for a child process.

use crate::transport::SubprocessTransport;
use asyncio_core::Error;
use bytes::Bytes;

/// Callbacks for the output and the end of a child process (`asyncio.SubprocessProtocol`).
///
/// `connection_made` is called first and once, `connection_lost` last and once. Between them, only
/// the calls for each pipe are ordered: its data comes before its loss. The process may exit before,
/// between or after all of these. The pipes have the numbers that they have in the child: 0, 1 and
/// 2. Each call is a step of the loop; a panic in one is reported, and ends nothing else.
#[doc(alias = "asyncio.SubprocessProtocol")]
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a protocol for a child process",
    label = "the factory has to return a protocol",
    note = "implement `asyncio::SubprocessProtocol` for `{Self}`"
)]
pub trait SubprocessProtocol: 'static {
    /// Called when the process runs and its pipes are connected.
    fn connection_made(&mut self, transport: &SubprocessTransport) {
        let _ = transport;
    }

    /// Called when the child has written at least one byte to one of its pipes.
    fn pipe_data_received(&mut self, transport: &SubprocessTransport, fd: i32, data: Bytes) {
        let _ = (transport, fd, data);
    }

    /// Called when a pipe has ended; the error is `None` if it came to its end, or was closed on
    /// this side.
    fn pipe_connection_lost(
        &mut self,
        transport: &SubprocessTransport,
        fd: i32,
        error: Option<Error>,
    ) {
        let _ = (transport, fd, error);
    }

    /// Called when the process has ended; the transport has its return code.
    fn process_exited(&mut self, transport: &SubprocessTransport) {
        let _ = transport;
    }

    /// Called when more is buffered for the child's standard input than the high-water mark of its
    /// pipe: stop writing.
    fn pause_writing(&mut self, transport: &SubprocessTransport) {
        let _ = transport;
    }

    /// Called when no more is buffered than the low-water mark: writing may continue.
    fn resume_writing(&mut self, transport: &SubprocessTransport) {
        let _ = transport;
    }

    /// Called when the process and all its pipes have ended.
    fn connection_lost(&mut self, transport: &SubprocessTransport, error: Option<Error>) {
        let _ = (transport, error);
    }
}
