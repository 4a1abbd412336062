//! A protocol of streams for datagrams.

use asyncio::{Bytes, Protocol, Transport, create_datagram_endpoint};

struct Echo;

impl Protocol for Echo {
    fn data_received(&mut self, _: &Transport, _: Bytes) {}
}

fn main() {
    let _ = create_datagram_endpoint(|| Echo);
}
