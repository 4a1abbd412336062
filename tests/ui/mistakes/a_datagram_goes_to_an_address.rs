//! `transport.sendto(data, 8888)`

fn send(transport: &asyncio::DatagramTransport) {
    transport.sendto(b"data", 8888);
}

fn main() {}
