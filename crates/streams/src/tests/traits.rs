//! The traits of `futures-io`, and tokio's, over a real socket.

use super::*;
use futures_lite::{AsyncReadExt, AsyncWriteExt, future::poll_once, io::copy};
use std::io::ErrorKind;

#[test]
fn everything_goes_through_the_traits_of_futures_io() {
    run(async {
        let (mut reader, mut writer, peer) = pair().await?;
        let echo = std::thread::spawn(move || {
            std::io::copy(&mut &peer, &mut &peer).unwrap();
            peer.shutdown(std::net::Shutdown::Write).unwrap();
        });
        let sent = vec![7; 3 << 20];
        let data = sent.clone();
        let writing = create_task(async move {
            AsyncWriteExt::write_all(&mut writer, &data).await?;
            AsyncWriteExt::flush(&mut writer).await?;
            assert!(writer.transport().get_write_buffer_size() <= 64 * 1024 * 2);
            AsyncWriteExt::close(&mut writer).await?;
            assert_eq!(writer.transport().get_write_buffer_size(), 0);
            assert!(!writer.is_closing(), "the other direction is open");
            Ok(writer)
        });
        let mut received = Vec::new();
        AsyncReadExt::read_to_end(&mut reader, &mut received).await?;
        assert!(received == sent);
        writing.await?;
        join(echo).await
    });
}

#[test]
fn a_write_waits_above_the_high_water_mark() {
    run(async {
        let (_reader, mut writer, peer) = pair().await?;
        let mut written = 0;
        while let Some(outcome) = poll_once(AsyncWriteExt::write(&mut writer, &[7; 100_000])).await
        {
            written += outcome?;
        }
        let buffered = writer.transport().get_write_buffer_size();
        assert!((64 * 1024..=128 * 1024).contains(&buffered), "{buffered}");
        assert!(poll_once(AsyncWriteExt::flush(&mut writer)).await.is_none());
        let reading = read_rest(peer);
        AsyncWriteExt::flush(&mut writer).await?;
        drop(writer);
        assert_eq!(join(reading).await?.len(), written);
        Ok(())
    });
}

#[test]
fn the_end_waits_until_everything_has_been_sent() {
    run(async {
        let (_reader, mut writer, peer) = pair().await?;
        while writer.transport().get_write_buffer_size() == 0 {
            writer.write([7; 10_000]);
        }
        assert!(poll_once(AsyncWriteExt::flush(&mut writer)).await.is_some(), "little is buffered");
        assert!(poll_once(AsyncWriteExt::close(&mut writer)).await.is_none());
        let reading = read_rest(peer);
        AsyncWriteExt::close(&mut writer).await?;
        assert_eq!(writer.transport().get_write_buffer_size(), 0);
        join(reading).await?;
        Ok(())
    });
}

#[test]
fn a_write_that_was_given_up_does_not_keep_the_writer_from_ending() {
    run(async {
        let (_reader, mut writer, peer) = pair().await?;
        let mut written = 0;
        while let Some(outcome) = poll_once(AsyncWriteExt::write(&mut writer, &[7; 100_000])).await
        {
            written += outcome?;
        }
        assert!(poll_once(AsyncWriteExt::close(&mut writer)).await.is_none());
        let reading = read_rest(peer);
        AsyncWriteExt::close(&mut writer).await?;
        assert_eq!(writer.transport().get_write_buffer_size(), 0);
        assert_eq!(join(reading).await?.len(), written, "the other side has seen the end");
        Ok(())
    });
}

#[test]
fn a_write_after_the_end_is_an_error() {
    run(async {
        let (_reader, mut writer, _peer) = pair().await?;
        AsyncWriteExt::close(&mut writer).await?;
        AsyncWriteExt::close(&mut writer).await?;
        let error = AsyncWriteExt::write(&mut writer, b"x").await.unwrap_err();
        assert_eq!(error.to_string(), "Cannot call write() after write_eof()");
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        writer.close();
        let error = AsyncWriteExt::write(&mut writer, b"x").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        writer.wait_closed().await?;
        let error = AsyncWriteExt::write(&mut writer, b"x").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        AsyncWriteExt::close(&mut writer).await?;
        Ok(())
    });
}

#[test]
fn a_write_that_is_cancelled_says_so() {
    run(async {
        let (_reader, mut writer, _peer) = pair().await?;
        let writing = create_task(async move {
            AsyncWriteExt::write_all(&mut writer, &vec![7; 4 << 20]).await?;
            Ok(())
        });
        while writing.wait_site().is_none() {
            iterations(1).await?;
        }
        assert_eq!(writing.wait_site().unwrap().what(), "StreamWriter.poll_write");
        writing.cancel();
        assert!(is_cancelled(writing.await));
        Ok(())
    });
}

#[test]
fn a_forwarder_is_two_copies() {
    run(async {
        let (near_reader, near_writer, mut near) = pair().await?;
        let (far_reader, far_writer, mut far) = pair().await?;
        let forward = async |from: StreamReader, mut to: StreamWriter| {
            let length = copy(from, &mut to).await?;
            AsyncWriteExt::close(&mut to).await?;
            Ok((length, to)) // Dropped here, it would close the other direction, too.
        };
        let out = create_task(forward(near_reader, far_writer));
        let back = create_task(forward(far_reader, near_writer));
        near.write_all(b"question")?;
        near.shutdown(std::net::Shutdown::Write)?;
        let (length, _far_writer) = out.await?;
        assert_eq!(length, 8);
        let mut heard = String::new();
        far.read_to_string(&mut heard)?;
        assert_eq!(heard, "question");
        far.write_all(b"answer")?;
        drop(far);
        assert_eq!(back.await?.0, 6);
        heard.clear();
        near.read_to_string(&mut heard)?;
        assert_eq!(heard, "answer");
        Ok(())
    });
}

#[cfg(feature = "tokio")]
#[test]
fn everything_goes_through_the_traits_of_tokio() {
    use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};

    run(async {
        let (mut reader, mut writer, mut peer) = pair().await?;
        peer.write_all(b"one\ntwo")?;
        let mut line = String::new();
        AsyncBufReadExt::read_line(&mut reader, &mut line).await?;
        assert_eq!(line, "one\n");
        let mut three = [0; 3];
        AsyncReadExt::read_exact(&mut reader, &mut three).await?;
        assert_eq!(&three, b"two");
        AsyncWriteExt::write_all(&mut writer, b"three").await?;
        AsyncWriteExt::flush(&mut writer).await?;
        AsyncWriteExt::shutdown(&mut writer).await?;
        let mut heard = String::new();
        peer.read_to_string(&mut heard)?;
        assert_eq!(heard, "three");
        drop(peer);
        assert_eq!(AsyncReadExt::read(&mut reader, &mut three).await?, 0);
        Ok(())
    });
}

#[test]
fn a_write_after_the_end_is_a_broken_pipe_at_once_however_it_was_ended() {
    run(async {
        // Some data is still buffered, and an earlier write was refused.
        let (_reader, mut writer, _peer) = pair().await?;
        writer.write(vec![7; 1 << 22]);
        writer.write_eof();
        writer.write(b"refused");
        let error = AsyncWriteExt::write(&mut writer, b"x").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        writer.transport().abort();
        assert!(writer.drain().await.is_err());
        Ok(())
    });
}
