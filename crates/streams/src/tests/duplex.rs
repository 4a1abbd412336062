//! [`Duplex`]: both halves as one value, through the traits of three libraries, and back.

use super::*;
use futures_lite::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, future::poll_fn};
use std::{io::IoSlice, pin::Pin};

async fn both() -> Result<(Duplex, UnixStream)> {
    let (reader, writer, peer) = pair().await?;
    Ok((Duplex::from((reader, writer)), peer))
}

#[test]
fn nothing_is_lost_on_the_way_there_and_back() {
    run(async {
        let (mut reader, writer, mut peer) = pair().await?;
        peer.write_all(b"one\ntwo\nthree\nfour\n")?;
        assert_eq!(reader.readline().await?, "one\n");
        let mut sent = 0;
        while writer.transport().get_write_buffer_size() == 0 {
            writer.write([1; 10_000]);
            sent += 10_000;
        }

        let mut both = Duplex::from((reader, writer));
        // Borrowed, and consumed in part.
        assert!(AsyncBufReadExt::fill_buf(&mut both).await?.starts_with(b"two\n"));
        AsyncBufReadExt::consume(&mut both, 2);
        both.writer().write(b"end");
        sent += 3;

        let (mut reader, writer) = both.into();
        assert_eq!(reader.readline().await?, "o\n");
        let mut both = Duplex::from((reader, writer));
        assert_eq!(both.reader().readline().await?, "three\n");
        let mut five = [0; 5];
        AsyncReadExt::read_exact(&mut both, &mut five).await?;
        assert_eq!(&five, b"four\n");

        let reading = read_rest(peer);
        AsyncWriteExt::close(&mut both).await?;
        let heard = join(reading).await?;
        assert_eq!(heard.len(), sent);
        assert!(heard.ends_with(b"\x01end"));
        Ok(())
    });
}

#[test]
fn what_was_read_too_far_is_read_first() {
    run(async {
        let (mut both, mut peer) = both().await?;
        peer.write_all(b"GET / then\nmore\n")?;
        let mut begin = [0; 6];
        AsyncReadExt::read_exact(&mut both, &mut begin).await?;
        both.reader().unread("".into());
        both.reader().unread(begin[4..].to_vec().into());
        assert_eq!(both.reader().readline().await?, "/ then\n");
        assert_eq!(both.reader().readline().await?, "more\n");
        Ok(())
    });
}

#[test]
fn pieces_are_written_together_and_no_more_than_there_is_room_for() {
    run(async {
        let (mut both, peer) = both().await?;
        let large = vec![7; 50_000];
        let pieces = [&b""[..], b"head", &large, &large].map(IoSlice::new);
        let write = |both: &mut Duplex, cx: &mut std::task::Context<'_>| {
            futures_lite::AsyncWrite::poll_write_vectored(Pin::new(both), cx, &pieces)
        };
        let written = poll_fn(|cx| write(&mut both, cx)).await?;
        assert_eq!(written, 64 * 1024);
        assert_eq!(poll_fn(|cx| write(&mut both, cx)).await?, 64 * 1024);
        let little = [&b"lit"[..], b"", b"tle"].map(IoSlice::new);
        let write = poll_fn(|cx| {
            futures_lite::AsyncWrite::poll_write_vectored(Pin::new(&mut both), cx, &little)
        });
        let reading = read_rest(peer);
        assert_eq!(write.await?, 6);
        drop(both);
        let heard = join(reading).await?;
        assert_eq!(heard.len(), 2 * 64 * 1024 + 6);
        assert!(heard[64 * 1024..].starts_with(b"head\x07"));
        assert!(heard.ends_with(b"\x07little"));
        Ok(())
    });
}

#[cfg(feature = "tokio")]
#[test]
fn everything_goes_through_the_traits_of_tokio() {
    use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};

    run(async {
        let (mut both, mut peer) = both().await?;
        peer.write_all(b"one\ntwo")?;
        let mut line = String::new();
        AsyncBufReadExt::read_line(&mut both, &mut line).await?;
        assert_eq!(line, "one\n");
        let mut three = [0; 3];
        AsyncReadExt::read_exact(&mut both, &mut three).await?;
        assert_eq!(&three, b"two");
        let pieces = [&b"th"[..], b"ree"].map(IoSlice::new);
        assert_eq!(AsyncWriteExt::write_vectored(&mut both, &pieces).await?, 5);
        AsyncWriteExt::flush(&mut both).await?;
        AsyncWriteExt::shutdown(&mut both).await?;
        let mut heard = String::new();
        peer.read_to_string(&mut heard)?;
        assert_eq!(heard, "three");
        Ok(())
    });
}

#[cfg(feature = "hyper")]
#[test]
fn everything_goes_through_the_traits_of_hyper() {
    use hyper::rt::{Read, ReadBuf, Write};

    run(async {
        let (mut both, mut peer) = both().await?;
        peer.write_all(b"one two")?;
        let mut memory = [0; 4];
        let mut buffer = ReadBuf::new(&mut memory);
        poll_fn(|cx| Read::poll_read(Pin::new(&mut both), cx, buffer.unfilled())).await?;
        assert_eq!(buffer.filled(), b"one ");
        assert_eq!(both.reader().readexactly(3).await?, "two");
        let pieces = [&b"th"[..], b"re"].map(IoSlice::new);
        assert!(Write::is_write_vectored(&both));
        let write = poll_fn(|cx| Write::poll_write_vectored(Pin::new(&mut both), cx, &pieces));
        assert_eq!(write.await?, 4);
        assert_eq!(poll_fn(|cx| Write::poll_write(Pin::new(&mut both), cx, b"e")).await?, 1);
        poll_fn(|cx| Write::poll_flush(Pin::new(&mut both), cx)).await?;
        poll_fn(|cx| Write::poll_shutdown(Pin::new(&mut both), cx)).await?;
        let mut heard = String::new();
        peer.read_to_string(&mut heard)?;
        assert_eq!(heard, "three");
        Ok(())
    });
}

/// A wait inside hyper or tokio never returns a cancellation: the scope around it does.
#[cfg(feature = "hyper")]
#[test]
fn a_read_through_a_trait_that_is_cancelled_is_no_error_of_the_system() {
    use hyper::rt::{Read, ReadBuf};

    run(async {
        let (mut both, mut peer) = both().await?;
        let mut memory = [0; 4];
        let mut buffer = ReadBuf::new(&mut memory);
        let read = async {
            let read = poll_fn(|cx| Read::poll_read(Pin::new(&mut both), cx, buffer.unfilled()));
            panic!("it has ended: {:?}", read.await);
            #[allow(unreachable_code)]
            Ok(())
        };
        let limited = wait_for(read, Duration::from_millis(5)).await;
        assert!(limited.unwrap_err().is_timeout());
        peer.write_all(b"late")?;
        assert_eq!(both.reader().readexactly(4).await?, "late");
        Ok(())
    });
}
