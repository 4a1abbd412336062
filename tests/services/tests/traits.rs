//! Connections through the traits of tokio and futures-lite: reads, writes, copies, lines.

use crate::support::{Around, Joined, MS, ends, is_timeout, pair, run};
use asyncio::{Result, StreamReader, StreamWriter, create_task, sleep, wait_for};
use std::future::pending;

/// More than the system and our buffers accept.
const MUCH: usize = 12_000_000;

type Halves = (StreamReader, StreamWriter);

/// A connection whose other end has sent "abc", and reads nothing.
async fn silent(around: &Around) -> Result<Joined> {
    use tokio::io::AsyncWriteExt;
    let (ours, mut theirs) = pair().await?;
    theirs.write_all(b"abc").await?;
    around.keep(theirs);
    around.reached();
    Ok(ours)
}

/// A connection whose other end reads one byte and then nothing more.
async fn full(around: &Around) -> Result<Joined> {
    use tokio::io::AsyncReadExt;
    let (ours, mut theirs) = pair().await?;
    around.clone().task({
        let around = around.clone();
        async move {
            theirs.read_u8().await?;
            around.reached();
            let _kept = theirs;
            pending::<Result<()>>().await
        }
    });
    Ok(ours)
}

/// A use of a connection that does not end.
type Use<Io> = fn(Io) -> futures_util::future::LocalBoxFuture<'static, Result<()>>;

#[test]
fn reads_of_tokio_are_ended() {
    use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, copy, sink, split};
    const USES: [Use<Joined>; 6] = [
        |mut io| Box::pin(async move { Ok(io.read_exact(&mut [0; 4]).await.map(drop)?) }),
        |mut io| Box::pin(async move { Ok(io.read_to_end(&mut Vec::new()).await.map(drop)?) }),
        |io| {
            Box::pin(async move {
                let mut lines = BufReader::new(io).lines();
                Ok(lines.next_line().await.map(drop)?)
            })
        },
        |mut io| Box::pin(async move { Ok(copy(&mut io, &mut sink()).await.map(drop)?) }),
        |io| {
            Box::pin(async move {
                let (mut reader, _writer) = split(io);
                Ok(reader.read_to_string(&mut String::new()).await.map(drop)?)
            })
        },
        |io| {
            Box::pin(async move {
                // This uses the reader's own buffer, without another one.
                let (mut reader, _writer) = io.into_inner();
                Ok(reader.read_until(b'\n', &mut Vec::new()).await.map(drop)?)
            })
        },
    ];
    for read in USES {
        ends(async move |around| Ok(read(silent(&around).await?)));
    }
}

#[test]
fn writes_of_tokio_are_ended() {
    use tokio::io::{AsyncWriteExt, copy, repeat};
    const USES: [Use<Joined>; 4] = [
        |mut io| Box::pin(async move { Ok(io.write_all(&vec![7; MUCH]).await?) }),
        |mut io| Box::pin(async move { Ok(copy(&mut repeat(7), &mut io).await.map(drop)?) }),
        |io| {
            Box::pin(async move {
                // This waits until the writer has sent its buffered data.
                let (_reader, mut writer) = io.into_inner();
                writer.write(vec![7; MUCH]);
                Ok(AsyncWriteExt::shutdown(&mut writer).await?)
            })
        },
        |io| {
            Box::pin(async move {
                let (_reader, mut writer) = io.into_inner();
                writer.write(vec![7; MUCH]);
                Ok(AsyncWriteExt::write_all(&mut writer, b"x").await?)
            })
        },
    ];
    for write in USES {
        ends(async move |around| Ok(write(full(&around).await?)));
    }
}

#[test]
fn reads_of_futures_are_ended() {
    use futures_lite::{
        StreamExt,
        io::{AsyncBufReadExt, AsyncReadExt, copy, sink},
    };
    const USES: [Use<Halves>; 4] = [
        |(mut io, _writer)| {
            Box::pin(async move {
                let _kept = _writer;
                Ok(AsyncReadExt::read_exact(&mut io, &mut [0; 4]).await?)
            })
        },
        |(io, writer)| {
            Box::pin(async move {
                let _kept = writer;
                let mut lines = AsyncBufReadExt::lines(io);
                Ok(lines.next().await.transpose().map(drop)?)
            })
        },
        |(io, writer)| {
            Box::pin(async move {
                let _kept = writer;
                Ok(copy(io, sink()).await.map(drop)?)
            })
        },
        |(mut io, writer)| {
            Box::pin(async move {
                let _kept = writer;
                let mut text = String::new();
                Ok(AsyncReadExt::read_to_string(&mut io, &mut text).await.map(drop)?)
            })
        },
    ];
    for read in USES {
        ends(async move |around| Ok(read(silent(&around).await?.into_inner())));
    }
}

#[test]
fn writes_of_futures_are_ended() {
    use futures_lite::io::{AsyncWriteExt, copy, repeat};
    const USES: [Use<Halves>; 3] = [
        |(reader, mut io)| {
            Box::pin(async move {
                let _kept = reader;
                Ok(AsyncWriteExt::write_all(&mut io, &vec![7; MUCH]).await?)
            })
        },
        |(reader, io)| {
            Box::pin(async move {
                let _kept = reader;
                Ok(copy(repeat(7), io).await.map(drop)?)
            })
        },
        |(reader, mut io)| {
            Box::pin(async move {
                let _kept = reader;
                io.write(vec![7; MUCH]);
                Ok(AsyncWriteExt::close(&mut io).await?)
            })
        },
    ];
    for write in USES {
        ends(async move |around| Ok(write(full(&around).await?.into_inner())));
    }
}

#[test]
fn a_proxy_is_ended() {
    use tokio::io::{AsyncWriteExt, copy_bidirectional};
    ends(async |around| {
        let ((mut near, mut client), (mut far, mut server)) = (pair().await?, pair().await?);
        client.write_all(b"ask").await?;
        server.write_all(b"answer").await?;
        around.keep((client, server));
        around.reached();
        Ok(async move { Ok(copy_bidirectional(&mut near, &mut far).await?) })
    });
}

#[test]
fn a_proxy_of_which_each_step_is_under_a_limit_loses_no_byte() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    run(async {
        let ((mut near, mut client), (mut far, mut server)) = (pair().await?, pair().await?);
        let sent: Vec<u8> = (0..2_000_000_u32).map(|n| (n % 251) as u8).collect();
        let data = sent.clone();
        let sending = create_task(async move {
            for piece in data.chunks(10_000) {
                client.write_all(piece).await?;
                sleep(MS / 10).await?;
            }
            Ok(client.shutdown().await?)
        });
        let hearing = create_task(async move {
            sleep(20 * MS).await?;
            let mut heard = Vec::new();
            server.read_to_end(&mut heard).await?;
            Ok(heard)
        });
        let (mut buffer, mut late) = (vec![0; 50_000], 0);
        loop {
            let n = match wait_for(async { Ok(near.read(&mut buffer).await?) }, MS / 5).await {
                Ok(0) => break,
                Ok(n) => n,
                Err(error) => {
                    is_timeout(Err(error));
                    late += 1;
                    continue;
                }
            };
            let mut rest = &buffer[..n];
            // `write_buf` records how much was written, even if it is dropped.
            while !rest.is_empty() {
                let write = wait_for(async { Ok(far.write_buf(&mut rest).await?) }, MS / 5).await;
                if let Err(error) = write {
                    is_timeout(Err(error));
                    late += 1;
                }
            }
        }
        far.shutdown().await?;
        sending.await?;
        assert!(hearing.await? == sent);
        assert!(late > 0);
        Ok(())
    });
}
