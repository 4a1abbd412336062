//! What a read or write says that moved less than it was asked to.
//!
//! The loop is told of edges: when something *becomes* ready, once. An operation that leaves something
//! behind, and takes it for nothing, waits for an event that never comes. So it goes on until the
//! system says `WouldBlock`, except where less is as good a proof:
//!
//! - **TCP, read.** Linux copies from the queue until it is empty. It stops before that only at the end
//!   of the stream, at an error and at urgent data. The loop is told of all three, with the data or
//!   after it, and from then on believes nothing ([`Readiness::hangup`]).
//! - **TCP, write.** Linux sends less when there is no room left, which is where it says `WouldBlock` if
//!   nothing was sent, and when the connection is broken, which the loop is told.
//! - **Unix sockets prove nothing.** A read stops behind a message that carries descriptors, and under
//!   `SO_PASSCRED` where another process begins to write; a write, where the system has no memory.
//! - **Other streams prove nothing.** SCTP keeps messages apart.
//! - **Pipes and terminals prove nothing.** A terminal gives a line at a time, a pipe may keep packets
//!   apart.
//! - **Datagrams prove nothing.** The next one may be there.
//!
//! [`Readiness::hangup`]: asyncio_core::source::Readiness::hangup

use socket2::{Domain, Socket, Type};

/// No system moves more than this, in bytes, at once for certain (Linux stops just below 2 GiB): an
/// operation that moved as much may have been cut short for that alone.
const MOST_AT_ONCE: usize = 1 << 30;

/// Whether moving `moved` bytes of `wanted` says, of a [TCP socket](is_tcp), that the next operation
/// would block.
#[inline]
pub fn is_short(moved: usize, wanted: usize) -> bool {
    moved < wanted && moved < MOST_AT_ONCE
}

/// Whether a socket is one of TCP. False as well where the system cannot be asked: there the poller
/// tells no hang-ups, and nothing is believed anyway.
pub fn is_tcp(io: &Socket, domain: Domain, kind: Type) -> bool {
    let is_inet = domain == Domain::IPV4 || domain == Domain::IPV6;
    is_inet && kind == Type::STREAM && has_protocol_of_tcp(io)
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn has_protocol_of_tcp(io: &Socket) -> bool {
    io.protocol().is_ok_and(|protocol| protocol == Some(socket2::Protocol::TCP))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn has_protocol_of_tcp(_: &Socket) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn less_than_was_asked_for_is_short_unless_no_system_moves_more() {
        assert!(is_short(0, 1));
        assert!(is_short(99, 100));
        assert!(!is_short(100, 100));
        assert!(!is_short(MOST_AT_ONCE, usize::MAX));
    }

    #[test]
    fn only_tcp_is_tcp() {
        let is_tcp = |domain, kind| is_tcp(&Socket::new(domain, kind, None).unwrap(), domain, kind);
        let can_ask = cfg!(any(target_os = "linux", target_os = "android"));
        assert_eq!(is_tcp(Domain::IPV4, Type::STREAM), can_ask);
        assert!(!is_tcp(Domain::IPV4, Type::DGRAM));
        assert!(!is_tcp(Domain::UNIX, Type::STREAM));
        assert!(!is_tcp(Domain::UNIX, Type::SEQPACKET));
    }
}
