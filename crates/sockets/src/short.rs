//! What a short read or write proves.
//!
//! The poller reports edges: it reports a descriptor once, when it *becomes* ready. If an operation
//! leaves data behind and the source is marked as drained, it waits for an event that never comes. So
//! operations are repeated until they return `WouldBlock`, except where a short result proves that the
//! next operation would block:
//!
//! - **TCP, read.** Linux copies data until the receive queue is empty. It stops earlier only at the end
//!   of the stream, at an error and at urgent data. The poller reports all three
//!   ([`Readiness::hangup`]), together with the data or after it, and from then on short reads prove
//!   nothing.
//! - **TCP, write.** Linux sends less if the send buffer is full, where it would return `WouldBlock` if
//!   nothing had been sent, or if the connection is broken, which the poller reports.
//! - **Unix sockets: nothing.** A read stops after a message that carries descriptors, and, with
//!   `SO_PASSCRED`, where the data of another process begins. A write stops if memory is short.
//! - **Other stream sockets: nothing.** SCTP, for example, keeps messages apart.
//! - **Pipes and terminals: nothing.** A terminal returns one line at a time, and a pipe in packet mode
//!   one packet.
//! - **Datagrams: nothing.** The next datagram may have arrived.
//!
//! [`Readiness::hangup`]: asyncio_core::source::Readiness::hangup

use socket2::{Domain, Socket, Type};

/// Systems limit how many bytes one call can move; on Linux the limit is just below 2 GiB. A call that
/// moved at least this many may have been cut short for that reason alone.
const MOST_AT_ONCE: usize = 1 << 30;

/// Returns whether moving `moved` of `wanted` bytes proves, on a [TCP socket](is_tcp), that the next
/// operation would block.
#[inline]
pub fn is_short(moved: usize, wanted: usize) -> bool {
    moved < wanted && moved < MOST_AT_ONCE
}

/// Returns whether `io` is a TCP socket. Always false where the system has no `SO_PROTOCOL`. The poller
/// does not report hang-ups there, so short reads prove nothing anyway.
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
