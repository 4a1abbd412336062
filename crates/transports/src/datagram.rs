//! Datagrams: [`create_datagram_endpoint`], [`DatagramProtocol`] and [`DatagramTransport`].
//!
//! An [`endpoint`] is the part of a transport that lives in the loop; how it reads is in [`receive`].

use crate::slot::in_use;
use asyncio_core::{Error, Result};
use asyncio_sockets::{Address, Domain};
use socket2::SockAddr;
use std::{any::Any, cell::RefCell, marker::PhantomData, net::SocketAddr, rc::Rc};

mod create;
mod endpoint;
mod receive;
#[cfg(test)]
mod tests;
mod transport;

pub use create::{CreateDatagramEndpoint, CreateDatagramTransport, create_datagram_endpoint};
pub use transport::{DatagramTransport, Recipient};

/// What is called with the datagrams that arrive (`asyncio.DatagramProtocol`).
///
/// `A` is what the protocol is told of senders: their IP address and port, unless written otherwise.
/// An endpoint of another family, such as Unix sockets, needs a `DatagramProtocol<Address>`, which
/// serves every family; with another protocol it is not made. A sender without a name has an
/// [`Address`] that is neither an IP address nor a path.
///
/// `connection_made` comes first and once, `connection_lost` last and once, the others any number of
/// times between them. Each runs as a callback of the loop: a panic in one is reported, and the transport
/// lives on.
///
/// ```
/// use asyncio_sockets::{Address, Domain};
/// use asyncio_transports::{DatagramProtocol, DatagramTransport, create_datagram_endpoint};
///
/// struct Echo;
///
/// impl DatagramProtocol<Address> for Echo {
///     fn datagram_received(&mut self, transport: &DatagramTransport, data: &[u8], addr: Address) {
///         transport.sendto(data, addr);
///     }
/// }
///
/// # let directory = std::env::temp_dir().join(format!("asyncio-echo-{}", std::process::id()));
/// # std::fs::create_dir_all(&directory)?;
/// # let path = directory.join("socket");
/// asyncio_loop::run(async move {
///     let endpoint = create_datagram_endpoint(|| Echo).family(Domain::UNIX).local_addr(path);
///     let (transport, _echo) = endpoint.await?;
///     transport.close();
///     Ok(())
/// })?;
/// # std::fs::remove_dir_all(&directory)?;
/// # Ok::<(), asyncio_core::Error>(())
/// ```
pub trait DatagramProtocol<A: SenderAddress = SocketAddr>: 'static {
    /// The endpoint is there.
    fn connection_made(&mut self, transport: &DatagramTransport) {
        let _ = transport;
    }

    /// The endpoint is closed: `None` if it was closed or aborted on this side.
    fn connection_lost(&mut self, transport: &DatagramTransport, error: Option<Error>) {
        let _ = (transport, error);
    }

    /// More is buffered for sending than the high-water mark allows: send no more for now.
    fn pause_writing(&mut self, transport: &DatagramTransport) {
        let _ = transport;
    }

    /// No more is buffered than the low-water mark: go on sending.
    fn resume_writing(&mut self, transport: &DatagramTransport) {
        let _ = transport;
    }

    /// A datagram arrived; an empty one has no data.
    fn datagram_received(&mut self, transport: &DatagramTransport, data: &[u8], addr: A);

    /// The system refused to send or to receive, mostly because an earlier datagram found nobody
    /// (`ConnectionRefused`). The transport stays open.
    fn error_received(&mut self, transport: &DatagramTransport, error: Error) {
        let _ = (transport, error);
    }
}

/// What a [`DatagramProtocol`] may be told of senders: a [`SocketAddr`], or an [`Address`] of any
/// family.
pub trait SenderAddress: sealed::Sealed + Sized + 'static {
    #[doc(hidden)]
    fn suits(domain: Domain) -> bool;
    #[doc(hidden)]
    fn of(address: &SockAddr) -> Option<Self>;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for std::net::SocketAddr {}
    impl Sealed for asyncio_sockets::Address {}
}

impl SenderAddress for SocketAddr {
    fn suits(domain: Domain) -> bool {
        matches!(domain, Domain::IPV4 | Domain::IPV6)
    }

    fn of(address: &SockAddr) -> Option<SocketAddr> {
        address.as_socket()
    }
}

impl SenderAddress for Address {
    fn suits(_: Domain) -> bool {
        true
    }

    fn of(address: &SockAddr) -> Option<Address> {
        Some(address.clone().into())
    }
}

/// What happens to an endpoint.
enum Event<'a> {
    Made,
    Lost(Option<Error>),
    PauseWriting,
    ResumeWriting,
    Datagram(&'a [u8], &'a SockAddr),
    Error(Error),
}

/// A protocol as its endpoint has it, whatever its type.
trait Calls {
    /// Calls the callback of an event.
    ///
    /// # Errors
    /// `Runtime` if the protocol is being used at the moment.
    fn tell(&self, transport: &DatagramTransport, event: Event<'_>) -> Result<()>;

    /// The `RefCell` of the protocol.
    fn protocol(&self) -> Rc<dyn Any>;
}

struct Slot<P, A>(Rc<RefCell<P>>, PhantomData<fn() -> A>);

impl<P: DatagramProtocol<A>, A: SenderAddress> Calls for Slot<P, A> {
    fn tell(&self, transport: &DatagramTransport, event: Event<'_>) -> Result<()> {
        let mut protocol = self.0.try_borrow_mut().map_err(|_| in_use())?;
        match event {
            Event::Made => protocol.connection_made(transport),
            Event::Lost(error) => protocol.connection_lost(transport, error),
            Event::PauseWriting => protocol.pause_writing(transport),
            Event::ResumeWriting => protocol.resume_writing(transport),
            Event::Datagram(data, sender) => {
                // It is of the socket's family, which suits.
                if let Some(sender) = A::of(sender) {
                    protocol.datagram_received(transport, data, sender);
                }
            }
            Event::Error(error) => protocol.error_received(transport, error),
        }
        Ok(())
    }

    fn protocol(&self) -> Rc<dyn Any> {
        self.0.clone()
    }
}

/// The protocol for an endpoint of this family.
fn into_calls<P, A>(protocol: &Rc<RefCell<P>>, domain: Domain) -> Result<Rc<dyn Calls>>
where
    P: DatagramProtocol<A>,
    A: SenderAddress,
{
    if !A::suits(domain) {
        let text = "the protocol knows internet addresses alone; a socket of another family needs a \
                    DatagramProtocol<Address>";
        return Err(Error::value(text));
    }
    Ok(Rc::new(Slot(protocol.clone(), PhantomData)))
}
