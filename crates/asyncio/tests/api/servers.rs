//! Servers with a limit.

use super::*;

/// Greets, and waits for the end of the client.
async fn greet(mut reader: StreamReader, writer: StreamWriter) -> Result<()> {
    writer.write("hello\n");
    writer.drain().await?;
    reader.read_to_end().await.map(drop)
}

#[asyncio::test]
async fn have_no_more_connections_than_they_are_told() -> Result<()> {
    let server = start_server(greet, ("127.0.0.1", 0)).max_connections(2).await?;
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(open_connection(server.local_addr()).await?);
    }
    for (reader, _) in &mut clients[..2] {
        assert_eq!(reader.readline().await?, "hello\n");
    }
    // The system has accepted the third and the fourth; the server has not.
    for (reader, _) in &mut clients[2..] {
        let late = wait_for(reader.readline(), 20 * LIMIT).await;
        assert!(late.unwrap_err().is_timeout());
    }
    for _ in 0..2 {
        // One goes, the next one comes.
        drop(clients.remove(0));
        assert_eq!(clients[1].0.readline().await?, "hello\n");
    }
    server.close();
    drop(clients);
    server.wait_closed().await
}

/// A connection that gets no protocol is not counted any longer.
#[asyncio::test]
async fn go_on_when_a_factory_fails() -> Result<()> {
    struct Hello;
    impl Protocol for Hello {
        fn connection_made(&mut self, transport: &Transport) {
            transport.write("hello\n");
        }
        fn data_received(&mut self, _: &Transport, _: Bytes) {}
    }
    let mut is_first = true;
    let factory = move || match std::mem::take(&mut is_first) {
        true => panic!("not this one"),
        false => Hello,
    };
    get_running_loop()?.set_exception_handler(|_, _| {});
    let server = create_server(factory, ("127.0.0.1", 0)).max_connections(1).await?;
    let (mut refused, _one) = open_connection(server.local_addr()).await?;
    let (mut reader, _two) = open_connection(server.local_addr()).await?;
    assert_eq!(reader.readline().await?, "hello\n");
    assert!(refused.readline().await.is_ok_and(|line| line.is_empty()));
    server.close();
    Ok(())
}
