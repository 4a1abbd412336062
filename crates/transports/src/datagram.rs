//! Datagrams: [`create_datagram_endpoint`], [`DatagramProtocol`] and [`DatagramTransport`].
//!
//! An [`endpoint`] is the part of a transport that lives in the loop; [`receive`] reads its
//! datagrams.

use crate::slot::in_use;
use asyncio_core::{Error, Result};
use asyncio_sockets::Address;
use bytes::Bytes;
use socket2::SockAddr;
use std::{any::Any, cell::RefCell, rc::Rc};

mod create;
mod endpoint;
mod receive;
#[cfg(test)]
mod tests;
mod transport;

pub use create::{CreateDatagramEndpoint, CreateDatagramTransport, create_datagram_endpoint};
pub use transport::{DatagramTransport, Recipient};

/// Receives datagrams as they arrive (`asyncio.DatagramProtocol`).
///
/// A sender without a name has an [`Address`] that is neither an IP address nor a path.
///
/// `connection_made` is called first and once, `connection_lost` last and once, and the others any number
/// of times between them. Each call is a callback of the loop: a panic in one is reported, and the
/// transport stays open.
///
/// ```
/// use asyncio::{Address, Bytes, DatagramProtocol, DatagramTransport, create_datagram_endpoint};
///
/// struct Echo;
///
/// impl DatagramProtocol for Echo {
///     fn datagram_received(&mut self, transport: &DatagramTransport, data: Bytes, addr: Address) {
///         transport.sendto(data, addr);
///     }
/// }
///
/// #[asyncio::main]
/// async fn main() -> asyncio::Result<()> {
///     let endpoint = create_datagram_endpoint(|| Echo).local_addr(("127.0.0.1", 0));
///     let (transport, _echo) = endpoint.await?;
///     transport.close();
///     Ok(())
/// }
/// ```
#[doc(alias = "asyncio.DatagramProtocol")]
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a protocol for datagrams",
    label = "the factory has to return a protocol",
    note = "implement `asyncio::DatagramProtocol` for `{Self}`"
)]
pub trait DatagramProtocol: 'static {
    /// Called when the endpoint was created.
    fn connection_made(&mut self, transport: &DatagramTransport) {
        let _ = transport;
    }

    /// Called when the endpoint is closed. The error is `None` if it was closed or aborted on this
    /// side.
    fn connection_lost(&mut self, transport: &DatagramTransport, error: Option<Error>) {
        let _ = (transport, error);
    }

    /// Called when the send buffer exceeds the high-water mark: stop sending.
    fn pause_writing(&mut self, transport: &DatagramTransport) {
        let _ = transport;
    }

    /// Called when the send buffer has drained to the low-water mark: sending may continue.
    fn resume_writing(&mut self, transport: &DatagramTransport) {
        let _ = transport;
    }

    /// Called with each datagram that arrives; an empty one has no data.
    fn datagram_received(&mut self, transport: &DatagramTransport, data: Bytes, addr: Address);

    /// Called when the system refuses to send or to receive, usually because an earlier datagram
    /// found no receiver (`ConnectionRefused`). The transport stays open.
    fn error_received(&mut self, transport: &DatagramTransport, error: Error) {
        let _ = (transport, error);
    }
}

/// An event of an endpoint.
enum Event<'a> {
    Made,
    Lost(Option<Error>),
    PauseWriting,
    ResumeWriting,
    Datagram(&'a [u8], &'a SockAddr),
    Error(Error),
}

/// A protocol of any type, as its endpoint calls it.
trait Calls {
    /// Calls the callback of an event.
    ///
    /// # Errors
    /// `Runtime` if the protocol is being used at the moment.
    fn tell(&self, transport: &DatagramTransport, event: Event<'_>) -> Result<()>;

    /// The `RefCell` of the protocol.
    fn protocol(&self) -> Rc<dyn Any>;
}

struct Slot<P>(Rc<RefCell<P>>);

impl<P: DatagramProtocol> Calls for Slot<P> {
    fn tell(&self, transport: &DatagramTransport, event: Event<'_>) -> Result<()> {
        let mut protocol = self.0.try_borrow_mut().map_err(|_| in_use())?;
        match event {
            Event::Made => protocol.connection_made(transport),
            Event::Lost(error) => protocol.connection_lost(transport, error),
            Event::PauseWriting => protocol.pause_writing(transport),
            Event::ResumeWriting => protocol.resume_writing(transport),
            Event::Datagram(data, sender) => {
                let (data, sender) = (Bytes::copy_from_slice(data), sender.clone().into());
                protocol.datagram_received(transport, data, sender);
            }
            Event::Error(error) => protocol.error_received(transport, error),
        }
        Ok(())
    }

    fn protocol(&self) -> Rc<dyn Any> {
        self.0.clone()
    }
}

fn into_calls<P: DatagramProtocol>(protocol: &Rc<RefCell<P>>) -> Rc<dyn Calls> {
    Rc::new(Slot(protocol.clone()))
}
