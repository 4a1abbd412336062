//! [`SubprocessProtocol`]: what is called with that which happens to a child process.

use crate::transport::SubprocessTransport;
use asyncio_core::Error;
use bytes::Bytes;

/// What is called with the output and the end of a child process (`asyncio.SubprocessProtocol`).
///
/// `connection_made` comes first and once, `connection_lost` last and once. Between them there is an
/// order for each pipe alone, whose data come before its loss; the process may exit before, between
/// or after all of these. The pipes have the numbers that they have in the child: 0, 1 and 2. Each
/// call is a step of the loop; a panic in one is reported, and ends nothing else.
#[doc(alias = "asyncio.SubprocessProtocol")]
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no protocol for a child process",
    label = "the factory has to return a protocol",
    note = "implement `asyncio::SubprocessProtocol` for `{Self}`"
)]
pub trait SubprocessProtocol: 'static {
    /// The process runs, and its pipes are connected.
    fn connection_made(&mut self, transport: &SubprocessTransport) {
        let _ = transport;
    }

    /// The child wrote to one of its pipes: at least one byte.
    fn pipe_data_received(&mut self, transport: &SubprocessTransport, fd: i32, data: Bytes) {
        let _ = (transport, fd, data);
    }

    /// A pipe is over: `None` if it came to its end, or was closed on this side.
    fn pipe_connection_lost(
        &mut self,
        transport: &SubprocessTransport,
        fd: i32,
        error: Option<Error>,
    ) {
        let _ = (transport, fd, error);
    }

    /// The process has ended; the transport has its return code.
    fn process_exited(&mut self, transport: &SubprocessTransport) {
        let _ = transport;
    }

    /// More is buffered for the child's standard input than the high-water mark of its pipe allows:
    /// write no more for now.
    fn pause_writing(&mut self, transport: &SubprocessTransport) {
        let _ = transport;
    }

    /// No more is buffered than the low-water mark: go on writing.
    fn resume_writing(&mut self, transport: &SubprocessTransport) {
        let _ = transport;
    }

    /// The process has ended, and all its pipes are over.
    fn connection_lost(&mut self, transport: &SubprocessTransport, error: Option<Error>) {
        let _ = (transport, error);
    }
}
