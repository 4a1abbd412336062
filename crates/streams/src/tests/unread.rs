//! Data that follows a short receive is not left unread.

use super::*;

#[test]
fn what_lies_behind_urgent_data_is_read() {
    run(async {
        let (mut reader, _writer, peer) = tcp_pair().await?;
        let mut peer = socket2::Socket::from(peer);
        peer.write_all(b"hello")?;
        assert_eq!(reader.read(100).await?, "hello");
        peer.write_all(b"abc")?;
        peer.send_out_of_band(b"!")?;
        peer.write_all(b"def")?;
        assert_eq!(reader.readexactly(6).await?, "abcdef");
        Ok(())
    });
}

/// Large messages stay in the socket until the task that waits for them runs.
#[test]
fn what_lies_behind_urgent_data_is_read_though_it_was_left_with_the_system() {
    run(async {
        let (mut reader, _writer, peer) = tcp_pair().await?;
        let mut peer = socket2::Socket::from(peer);
        peer.write_all(&[b'.'; 5000])?;
        assert_eq!(reader.readexactly(5000).await?.len(), 5000);
        let task = create_task(async move { reader.readexactly(10_000).await });
        iterations(5).await?;
        peer.write_all(&[b'.'; 5000])?;
        peer.send_out_of_band(b"!")?;
        peer.write_all(&[b'.'; 5000])?;
        assert_eq!(task.await?.len(), 10_000);
        Ok(())
    });
}
