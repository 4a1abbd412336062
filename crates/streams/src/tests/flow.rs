//! Readers of real sockets: arrival, flow control, and the end.

use super::*;
use asyncio_task::Task;
use asyncio_transports::Transport;
use bytes::Bytes;
use std::{future::poll_fn, io::ErrorKind, net::Shutdown, task::Poll};

/// Lets the loop run until something has happened.
pub(super) async fn until(mut happened: impl FnMut() -> bool) -> Result<()> {
    while !happened() {
        iterations(1).await?;
    }
    Ok(())
}

fn buffered(reader: &StreamReader) -> usize {
    reader.shared().lock().buffer.len()
}

#[test]
fn above_twice_the_limit_the_transport_is_paused_and_at_the_limit_it_goes_on() {
    run(async {
        let (mut reader, writer, mut peer) = pair_with_limit(3).await?;
        let transport = writer.transport();
        peer.write_all(b"123456")?;
        until(|| buffered(&reader) == 6).await?;
        assert!(transport.is_reading(), "twice the limit is not too much");
        peer.write_all(b"7")?;
        until(|| buffered(&reader) == 7).await?;
        assert!(!transport.is_reading());
        assert_eq!(reader.read(3).await?, "123");
        assert!(!transport.is_reading(), "still more than the limit");
        assert_eq!(reader.read(1).await?, "4");
        assert!(transport.is_reading());
        Ok(())
    });
}

#[test]
fn a_read_that_has_to_wait_lets_a_paused_transport_go_on() {
    run(async {
        let (mut reader, writer, mut peer) = pair_with_limit(3).await?;
        peer.write_all(b"0123456789")?;
        until(|| !writer.transport().is_reading()).await?;
        peer.write_all(b"0123456789")?;
        assert_eq!(reader.readexactly(20).await?, "01234567890123456789");
        peer.write_all(b"0123456789")?;
        until(|| !writer.transport().is_reading()).await?;
        drop(peer);
        assert_eq!(reader.read_to_end().await?, "0123456789");
        Ok(())
    });
}

#[test]
fn a_long_line_that_is_dropped_lets_a_paused_transport_go_on() {
    run(async {
        let (mut reader, writer, mut peer) = pair_with_limit(3).await?;
        peer.write_all(b"0123456\nab")?;
        until(|| !writer.transport().is_reading()).await?;
        assert!(matches!(reader.readline().await, Err(Error::Value(_))));
        assert!(writer.transport().is_reading());
        Ok(())
    });
}

#[test]
fn a_peer_that_is_not_read_from_has_to_wait() {
    run(async {
        let limit = 1000;
        let (mut reader, writer, peer) = pair_with_limit(limit).await?;
        peer.set_nonblocking(true)?;
        let mut sent = 0;
        loop {
            match (&peer).write(&[b'.'; 10_000]) {
                Ok(n) => sent += n,
                // It is full, and nothing more is taken out of it.
                Err(_) if !writer.transport().is_reading() => break,
                Err(_) => iterations(1).await?,
            }
        }
        assert!(buffered(&reader) <= 2 * limit + 256 * 1024);
        assert_eq!(reader.readexactly(sent).await?.len(), sent);
        Ok(())
    });
}

#[test]
fn data_and_the_end_in_one_event_come_one_after_the_other() {
    run(async {
        let (mut reader, writer, mut peer) = tcp_pair().await?;
        peer.write_all(b"bye")?;
        drop(peer);
        assert_eq!(reader.read(100).await?, "bye");
        assert_eq!(reader.read(100).await?, "");
        assert!(reader.at_eof());
        assert!(!writer.is_closing(), "it may still be written to");
        Ok(())
    });
}

#[test]
fn data_and_a_reset_in_one_event_come_one_after_the_other() {
    run(async {
        let (mut reader, writer, mut peer) = tcp_pair().await?;
        let reading = create_task(async move { Ok((reader.read(100).await?, reader)) });
        iterations(1).await?;
        peer.write_all(b"last")?;
        reset(peer);
        let (data, mut reader) = reading.await?;
        assert_eq!(data, "last");
        assert_eq!(io_kind(reader.read(100).await), ErrorKind::ConnectionReset);
        assert_eq!(io_kind(reader.read(100).await), ErrorKind::ConnectionReset, "and again");
        assert_eq!(io_kind(writer.drain().await), ErrorKind::ConnectionReset);
        assert_eq!(io_kind(writer.wait_closed().await), ErrorKind::ConnectionReset);
        Ok(())
    });
}

#[test]
fn the_end_of_the_other_direction_leaves_this_one_open() {
    run(async {
        let (mut reader, writer, mut peer) = tcp_pair().await?;
        peer.write_all(b"question")?;
        peer.shutdown(Shutdown::Write)?;
        assert_eq!(reader.read_to_end().await?, "question");
        writer.write(b"answer");
        writer.close();
        writer.wait_closed().await?;
        let mut answer = String::new();
        peer.read_to_string(&mut answer)?;
        assert_eq!(answer, "answer");
        Ok(())
    });
}

#[test]
fn a_peer_may_send_one_byte_at_a_time() {
    run(async {
        let (mut reader, _writer, mut peer) = tcp_pair().await?;
        peer.set_nodelay(true)?;
        let sending = std::thread::spawn(move || {
            for byte in b"one\ntwo\nthree".iter().cycle().take(13 * 50) {
                peer.write_all(&[*byte]).unwrap();
            }
        });
        for _ in 0..50 {
            assert_eq!(reader.readline().await?, "one\n");
            assert_eq!(reader.readuntil(b"\n").await?, "two\n");
            assert_eq!(reader.readexactly(5).await?, "three");
        }
        assert_eq!(reader.readline().await?, "");
        join(sending).await
    });
}

#[test]
fn what_arrives_for_a_reader_that_was_dropped_is_thrown_away() {
    run(async {
        let (mut reader, writer, mut peer) = pair_with_limit(3).await?;
        peer.write_all(b"0123456789")?;
        until(|| !writer.transport().is_reading()).await?;
        assert_eq!(reader.read(1).await?, "0");
        drop(reader);
        let sending = std::thread::spawn(move || {
            for _ in 0..1000 {
                peer.write_all(&[b'.'; 1000]).unwrap();
            }
            peer
        });
        let peer = join(sending).await?;
        writer.write(b"done");
        drop(writer);
        assert_eq!(join(read_rest(peer)).await?, b"done");
        Ok(())
    });
}

#[test]
fn closing_the_writer_is_the_end_for_the_reader() {
    run(async {
        let (mut reader, writer, _peer) = pair().await?;
        writer.close();
        writer.wait_closed().await?;
        assert!(reader.at_eof());
        assert_eq!(reader.read_to_end().await?, "");
        Ok(())
    });
}

#[test]
fn a_reader_has_one_transport() {
    run(async {
        let (reader, writer, _peer) = pair().await?;
        let error = reader.set_transport(writer.transport().clone()).unwrap_err();
        assert_eq!(error.to_string(), "StreamReader.set_transport: Transport already set");
        // A reader that is fed by hand pauses its transport.
        let fed = StreamReader::new(1)?;
        fed.set_transport(writer.transport().clone())?;
        fed.feed_data("abc")?;
        assert!(!writer.transport().is_reading());
        drop(fed);
        assert!(writer.transport().is_reading());
        Ok(())
    });
}

#[test]
fn what_came_in_one_piece_is_handed_out_without_a_copy() {
    run(async {
        let (mut reader, _writer, mut peer) = pair().await?;
        peer.write_all(&[7; 40_000])?;
        until(|| buffered(&reader) == 40_000).await?;
        let place = reader.shared().lock().buffer.as_slice().as_ptr();
        let (head, rest) = (reader.readexactly(20_000).await?, reader.read(30_000).await?);
        assert_eq!((head.as_ptr(), rest.as_ptr()), (place, place.wrapping_add(20_000)));
        Ok(())
    });
}

#[test]
fn a_reader_on_another_thread_learns_that_the_loop_was_closed() {
    let event_loop = EventLoop::builder().build().unwrap();
    let (mut reader, writer, _peer) = event_loop.run_until_complete(pair()).unwrap();
    let reading = std::thread::spawn(move || futures_lite::future::block_on(reader.read(1)));
    while writer.shared().lock().reading.is_none() {
        std::thread::yield_now();
    }
    event_loop.close().unwrap();
    let closed = "the loop of the connection is closed, or its transport has another protocol";
    assert_eq!(text(reading.join().unwrap()), closed);
    assert_eq!(text(futures_lite::future::block_on(writer.drain())), closed);
    assert_eq!(text(futures_lite::future::block_on(writer.wait_closed())), closed);
    writer.write(b"in vain");
    writer.close();
}

/// Whether the system has data for the reader, or the data was received, if the loop reports no
/// hang-ups.
pub(super) fn has_arrived(writer: &StreamWriter) -> bool {
    let state = writer.shared().lock();
    state.arrival.is_some() || !state.buffer.is_empty()
}

/// A task that reads from a connection with data, before the step in which it gets the data.
async fn about_to_read() -> Result<(Task<(Result<Bytes>, StreamReader)>, StreamWriter, TcpStream)> {
    let (mut reader, writer, mut peer) = tcp_pair().await?;
    // After a small message, the next one is received immediately.
    peer.write_all(&[0; 2000])?;
    reader.readexactly(2000).await?;
    let reading = create_task(async move { Ok((reader.read(100).await, reader)) });
    until(|| writer.shared().lock().reading.is_some()).await?;
    peer.write_all(b"data")?;
    until(|| has_arrived(&writer)).await?;
    Ok((reading, writer, peer))
}

#[test]
fn what_arrived_for_a_read_that_is_cancelled_is_left_to_the_next() {
    run(async {
        let (reading, _writer, mut peer) = about_to_read().await?;
        reading.cancel();
        let (data, mut reader) = reading.await?;
        assert!(is_cancelled(data));
        assert_eq!(reader.readexactly(2).await?, "da");
        peer.write_all(b"more")?;
        assert_eq!(reader.readexactly(6).await?, "tamore");
        Ok(())
    });
}

#[test]
fn what_arrived_before_the_connection_was_ended_is_read() {
    for end in [Transport::close, Transport::abort, Transport::pause_reading] {
        run(async move {
            let (reading, writer, _peer) = about_to_read().await?;
            end(writer.transport());
            assert_eq!(reading.await?.0?, "data");
            Ok(())
        });
    }
}

#[test]
fn what_arrived_for_the_former_protocol_is_not_the_next_ones() {
    run(async {
        let (reading, writer, mut peer) = about_to_read().await?;
        let mut next = StreamReader::new(10)?;
        writer.transport().set_protocol(StreamReaderProtocol::new(&next))?;
        peer.write_all(b"next")?;
        assert_eq!(next.read(100).await?, "next");
        assert_eq!(reading.await?.0?, "data");
        Ok(())
    });
}

#[test]
fn what_arrived_for_a_task_can_be_read_on_another_thread() {
    run(async {
        let (mut reader, writer, mut peer) = tcp_pair().await?;
        peer.write_all(&[0; 2000])?;
        reader.readexactly(2000).await?;
        let pending = poll_fn(|cx| Poll::Ready(reader.poll_bytes(cx, 9).is_pending()));
        assert!(pending.await, "nothing is there");
        peer.write_all(b"data")?;
        until(|| has_arrived(&writer)).await?;
        let reading = std::thread::spawn(move || futures_lite::future::block_on(reader.read(9)));
        assert_eq!(join(reading).await??, "data");
        Ok(())
    });
}
