//! Protocols, with the facade alone.

use super::*;

/// Sends back all data, from streams and datagrams.
struct Echo;

impl Protocol for Echo {
    fn data_received(&mut self, transport: &Transport, data: Bytes) {
        transport.write(data);
    }
}

impl DatagramProtocol for Echo {
    fn datagram_received(&mut self, transport: &DatagramTransport, data: Bytes, addr: Address) {
        transport.sendto(data, addr);
    }
}

/// Keeps each datagram, and its sender.
struct Ask(Future<(Bytes, Address)>);

impl DatagramProtocol for Ask {
    fn connection_made(&mut self, transport: &DatagramTransport) {
        transport.sendto("hello", None);
    }
    fn datagram_received(&mut self, _: &DatagramTransport, data: Bytes, addr: Address) {
        let _ = self.0.set_result((data, addr));
    }
}

#[asyncio::test]
async fn of_streams_and_of_datagrams_have_the_same_types() -> Result<()> {
    let server = create_server(|| Echo, ("127.0.0.1", 0)).await?;
    let (mut reader, writer) = open_connection(server.local_addr()).await?;
    let text = String::from("text, ");
    writer.write(&text);
    writer.write(b"array, ");
    writer.write(vec![b'v', b'e', b'c', b'\n']);
    assert_eq!(reader.readline().await?, "text, array, vec\n");
    server.close();

    let (there, _) = create_datagram_endpoint(|| Echo).local_addr(("127.0.0.1", 0)).await?;
    let address = there.get_extra_info(SOCKNAME).expect("it is bound");
    let answer = Future::new();
    let asking = create_datagram_endpoint(|| Ask(answer.clone())).remote_addr(&address);
    let (here, _) = asking.await?;
    assert_eq!(answer.await?, (Bytes::from("hello"), address));
    here.close();
    there.close();
    Ok(())
}
