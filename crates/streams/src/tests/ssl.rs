//! Streams over TLS: nothing about them is different.

use super::*;
use asyncio_core::AsyncContextManager;
use asyncio_task::Task;
use asyncio_transports::{
    Protocol, SOCKET, Transport,
    ssl::{self, SSL_OBJECT, SslContext, SslError},
};
use bytes::Bytes;
use contexts::contexts;
use flow::{has_arrived, until};
use std::cell::Cell;

#[path = "../../../asyncio/tests/tls_contexts/mod.rs"]
// The same pair as in the tests of the facade.
mod contexts;

async fn echo(mut reader: StreamReader, writer: StreamWriter) -> Result<()> {
    loop {
        let data = reader.read(100_000).await?;
        if data.is_empty() {
            return Ok(());
        }
        writer.write(&data);
        writer.drain().await?;
    }
}

fn address(server: &Server) -> (&'static str, u16) {
    ("localhost", server.local_addr().as_inet().unwrap().port())
}

#[test]
fn what_is_written_comes_back() {
    run(async {
        let (theirs, ours) = contexts();
        let server = start_server(echo, ("127.0.0.1", 0)).ssl(theirs).await?;
        server
            .with(async |server| {
                let (mut reader, writer) = open_connection(address(server)).ssl(ours).await?;
                assert!(writer.get_extra_info(SSL_OBJECT).is_some());
                let data = vec![1; 3_000_000];
                let sending = async {
                    for chunk in data.chunks(100_000) {
                        writer.write(chunk);
                        writer.drain().await?;
                    }
                    Ok::<_, Error>(())
                };
                let (sent, received) =
                    futures_lite::future::zip(sending, reader.readexactly(data.len())).await;
                sent?;
                assert!(received? == data);
                writer.close();
                writer.wait_closed().await?;
                assert_eq!(reader.read(1).await?, "");
                Ok(())
            })
            .await
    });
}

#[test]
fn over_unix_sockets() {
    run(async {
        let (theirs, ours) = contexts();
        let path = std::env::temp_dir().join(format!("streams-tls-{}", std::process::id()));
        let server = start_unix_server(echo, &path).ssl(theirs).await?;
        let opening = open_unix_connection(&path).ssl(ours).server_hostname("localhost");
        let (mut reader, writer) = opening.await?;
        writer.write(b"hello\n");
        assert_eq!(reader.readline().await?, "hello\n");
        server.close();
        Ok(())
    });
}

#[test]
fn a_handshake_that_fails_is_the_error_of_opening_and_names_the_cause() {
    run(async {
        let (theirs, _) = contexts();
        let server = start_server(echo, ("127.0.0.1", 0)).ssl(theirs).await?;
        let opening = open_connection(address(&server)).ssl(contexts().1);
        let error = text(opening.await);
        assert!(error.starts_with("open_connection: the certificate of the server"), "{error}");
        server.close();
        server.wait_closed().await
    });
}

/// A server that upgrades after a line, and a client that has sent that line.
async fn upgrading(ours: &SslContext, theirs: SslContext) -> Result<(StreamReader, StreamWriter)> {
    let client = async move |mut reader: StreamReader, mut writer: StreamWriter| {
        assert_eq!(reader.readline().await?, "STARTTLS\n");
        writer.write(b"go on\n");
        writer.start_tls(theirs.clone()).await?;
        echo(reader, writer).await
    };
    let server = start_server(client, ("127.0.0.1", 0)).await?;
    let (mut reader, mut writer) = open_connection(address(&server)).await?;
    server.close();
    writer.write(b"STARTTLS\n");
    assert_eq!(reader.readline().await?, "go on\n");
    assert!(writer.get_extra_info(SSL_OBJECT).is_none());
    writer.start_tls(ours).server_hostname("localhost").await?;
    Ok((reader, writer))
}

#[test]
fn a_connection_is_upgraded_and_its_halves_go_on() {
    run(async {
        let (theirs, ours) = contexts();
        let (mut reader, writer) = upgrading(&ours, theirs).await?;
        let object = writer.get_extra_info(SSL_OBJECT).unwrap();
        assert_eq!(object.server_hostname(), Some("localhost"));
        writer.write(b"secret\n");
        assert_eq!(reader.readline().await?, "secret\n");
        writer.close();
        writer.wait_closed().await
    });
}

#[test]
fn what_the_reader_has_buffered_is_the_beginning_of_tls() {
    run(async {
        let (theirs, ours) = contexts();
        let greeted = asyncio_future::Future::new();
        let greeting = greeted.clone();
        let client = async move |mut reader: StreamReader, mut writer: StreamWriter| {
            // Borrowed first, so that the reader has it.
            assert_eq!(reader.readexactly(1).await?, "x");
            let shared = reader.shared().clone();
            while shared.lock().buffer.is_empty() {
                iterations(1).await?;
            }
            let _ = greeting.set_result(());
            writer.start_tls(theirs.clone()).await?;
            echo(reader, writer).await
        };
        let server = start_server(client, ("127.0.0.1", 0)).await?;
        let (mut reader, mut writer) = open_connection(address(&server)).await?;
        server.close();
        writer.write(b"x");
        writer.start_tls(ours).server_hostname("localhost").await?;
        greeted.await?;
        writer.write(b"secret\n");
        assert_eq!(reader.readline().await?, "secret\n");
        Ok(())
    });
}

#[test]
fn plain_text_that_came_before_does_not_pass_for_what_came_through_tls() {
    run(async {
        let (_, ours) = contexts();
        let (mut reader, mut writer, mut theirs) = pair().await?;
        theirs.write_all(b"ready\n250 injected\n")?;
        assert_eq!(reader.readline().await?, "ready\n");
        let error = text(writer.start_tls(ours).server_hostname("localhost").await);
        assert!(
            error.starts_with("StreamWriter.start_tls: the other side speaks no TLS"),
            "{error}"
        );
        Ok(())
    });
}

#[test]
fn an_upgrade_that_is_cancelled_closes_the_connection_and_one_that_is_refused_does_not() {
    run(async {
        let (_, ours) = contexts();
        let (mut reader, mut writer, mut theirs) = pair().await?;
        let refused = text(writer.start_tls(ours.clone()).await);
        assert!(refused.contains("server_hostname must be set"), "{refused}");
        theirs.write_all(b"still here\n")?;
        assert_eq!(reader.readline().await?, "still here\n");
        let upgrade =
            create_task(async move { writer.start_tls(ours).server_hostname("localhost").await });
        iterations(5).await?;
        upgrade.cancel();
        assert!(is_cancelled(upgrade.await));
        theirs.read_to_end(&mut Vec::new())?;
        Ok(())
    });
}

#[test]
fn the_end_of_one_direction_is_told_by_drain_and_a_writer_that_is_dropped_leaves_the_reader() {
    run(async {
        let (theirs, ours) = contexts();
        let (mut reader, writer) = upgrading(&ours, theirs).await?;
        assert!(!writer.can_write_eof());
        writer.write_eof();
        assert!(text(writer.drain().await).contains("Cannot call write_eof() on a TLS connection"));
        writer.write(b"last\n");
        drop(writer);
        assert_eq!(reader.readline().await?, "last\n");
        Ok(())
    });
}

#[test]
fn the_traits_of_other_libraries_work_and_close_closes() {
    use futures_lite::{AsyncReadExt, AsyncWriteExt};
    run(async {
        let (theirs, ours) = contexts();
        let (mut reader, mut writer) = upgrading(&ours, theirs).await?;
        writer.write_all(b"hello").await?;
        let mut answer = [0; 5];
        AsyncReadExt::read_exact(&mut reader, &mut answer).await?;
        assert_eq!(&answer, b"hello");
        AsyncWriteExt::close(&mut writer).await?;
        let mut rest = Vec::new();
        AsyncReadExt::read_to_end(&mut reader, &mut rest).await?;
        assert_eq!(rest, b"");
        Ok(())
    });
}

#[test]
fn every_function_that_opens_takes_the_limits_of_tls() {
    const LIMIT: Duration = Duration::from_secs(2);
    const EXPECTED: &str = "SSL handshake is taking longer than 2.0 seconds";
    run_virtual(async {
        let (theirs, ours) = contexts();
        let silent = std::net::TcpListener::bind("127.0.0.1:0")?;
        let opening = open_connection(silent.local_addr()?).ssl(&ours).server_hostname("localhost");
        let error = text(opening.ssl_handshake_timeout(LIMIT).await);
        assert!(error.contains(EXPECTED), "{error}");
        let (stream, _silent) = UnixStream::pair()?;
        let opening = open_unix_connection(socket(stream)?).ssl(&ours);
        let opening = opening.server_hostname("localhost").ssl_handshake_timeout(LIMIT);
        let error = text(opening.await);
        assert!(error.contains(EXPECTED), "{error}");
        let (_reader, mut writer, _silent) = pair().await?;
        let upgrading = writer.start_tls(&ours).server_hostname("localhost");
        let error = text(upgrading.ssl_handshake_timeout(LIMIT).await);
        assert!(error.contains(EXPECTED), "{error}");

        // The server says nothing at the end, since it does not read.
        let paused = Rc::new(Cell::new(false));
        let is_paused = paused.clone();
        let waits = async move |_reader: StreamReader, writer: StreamWriter| {
            writer.transport().pause_reading();
            is_paused.set(true);
            writer.wait_closed().await
        };
        let server = start_server(waits, ("127.0.0.1", 0)).ssl(theirs).await?;
        let opening = open_connection(address(&server)).ssl(ours).ssl_shutdown_timeout(LIMIT);
        let (_reader, writer) = opening.await?;
        until(|| paused.get()).await?;
        writer.close();
        assert_eq!(text(writer.wait_closed().await), "SSL shutdown timed out");
        server.close();
        server.abort_clients();
        Ok(())
    });
}

#[test]
fn a_server_gives_a_silent_client_the_time_of_its_limit() {
    const LIMIT: Duration = Duration::from_secs(2);
    /// Returns when the server ends the connection of this client, which sends nothing.
    async fn ended((mut reader, _writer): (StreamReader, StreamWriter)) -> Result<Duration> {
        assert_eq!(reader.read_to_end().await?, "");
        Ok(get_running_loop()?.time())
    }
    run_virtual(async {
        let (context, _) = contexts();
        let handler = async |_: StreamReader, _: StreamWriter| -> Result<()> {
            panic!("no handshake has ended")
        };
        let server = start_server(handler, ("127.0.0.1", 0)).ssl(&context);
        let server = server.ssl_handshake_timeout(LIMIT).await?;
        let started = get_running_loop()?.time();
        let silent = open_connection(("127.0.0.1", address(&server).1)).await?;
        assert_eq!(ended(silent).await? - started, LIMIT);

        let path = std::env::temp_dir().join(format!("asyncio-silent-{}", std::process::id()));
        let server = start_unix_server(handler, &path).ssl(&context);
        let server = server.ssl_handshake_timeout(LIMIT).await?;
        assert_eq!(ended(open_unix_connection(&path).await?).await? - started, 2 * LIMIT);
        drop(server);
        Ok(())
    });
}

async fn write_for_ever(writer: StreamWriter, count: Rc<Cell<usize>>) -> Result<()> {
    loop {
        writer.write([7; 100_000]);
        count.set(count.get() + 1);
        writer.drain().await?;
    }
}

#[test]
fn a_reader_that_is_slow_stops_the_writer() {
    run(async {
        let (theirs, ours) = contexts();
        let (mut reader, writer) = upgrading(&ours, theirs).await?;
        // The server echoes, and the client does not read.
        let (transport, written) = (writer.transport().clone(), Rc::new(Cell::new(0)));
        let writing = create_task(write_for_ever(writer, written.clone()));
        // A side counts as stopped if it does not continue in this number of iterations.
        let (mut stopped, mut since) = (0, 0);
        while since < 500 {
            iterations(1).await?;
            since = if written.get() == stopped { since + 1 } else { 0 };
            stopped = written.get();
        }
        assert!(stopped < 1000, "the system does not buffer so much");
        assert!(transport.get_write_buffer_size() >= 512 * 1024);
        for _ in 0..stopped {
            assert!(reader.readexactly(100_000).await?.iter().all(|byte| *byte == 7));
        }
        writing.cancel();
        assert!(is_cancelled(writing.await));
        Ok(())
    });
}

/// A task that reads from a connection on which something has arrived, before the step in which it has it.
async fn about_to_read() -> Result<(Task<(Result<Bytes>, StreamReader)>, StreamWriter)> {
    let (theirs, ours) = contexts();
    let (mut reader, writer) = upgrading(&ours, theirs).await?;
    // After a small message the next one is received at once.
    writer.write([0; 2000]);
    reader.readexactly(2000).await?;
    let reading = create_task(async move { Ok((reader.read(100).await, reader)) });
    until(|| writer.shared().lock().reading.is_some()).await?;
    writer.write(b"data");
    until(|| has_arrived(&writer)).await?;
    Ok((reading, writer))
}

#[test]
fn what_arrived_before_the_connection_was_ended_is_read() {
    for end in [Transport::close, Transport::abort, Transport::pause_reading] {
        run(async move {
            let (reading, writer) = about_to_read().await?;
            end(writer.transport());
            assert_eq!(reading.await?.0?, "data");
            Ok(())
        });
    }
}

#[test]
fn what_arrived_for_a_read_that_is_cancelled_is_left_to_the_next() {
    run(async {
        let (reading, writer) = about_to_read().await?;
        reading.cancel();
        let (data, mut reader) = reading.await?;
        assert!(is_cancelled(data));
        assert_eq!(reader.readexactly(2).await?, "da");
        writer.write(b"more");
        assert_eq!(reader.readexactly(6).await?, "tamore");
        Ok(())
    });
}

#[test]
fn what_arrived_with_the_end_is_read_and_so_is_the_end() {
    run(async {
        let (theirs, ours) = contexts();
        // It answers with so many bytes and closes, in one go.
        let answer = async |mut reader: StreamReader, writer: StreamWriter| {
            while reader.readexactly(1).await.is_ok() {
                writer.write([7; 3000]);
            }
            writer.write([8; 3000]);
            writer.close();
            writer.wait_closed().await
        };
        let server = start_server(answer, ("127.0.0.1", 0)).ssl(theirs).await?;
        let (mut reader, writer) = open_connection(address(&server)).ssl(ours).await?;
        server.close();
        for _ in 0..3 {
            writer.write(b"?");
            assert_eq!(reader.readexactly(3000).await?, [7; 3000][..]);
        }
        writer.close();
        assert_eq!(reader.read_to_end().await?, "");
        writer.wait_closed().await
    });
}

#[test]
fn what_is_no_tls_any_more_is_the_error_of_reads_and_of_wait_closed() {
    run(async {
        let (theirs, ours) = contexts();
        let server = asyncio_transports::create_server(Corrupts::default, ("127.0.0.1", 0));
        let server = server.ssl(theirs).await?;
        let (mut reader, writer) =
            open_connection(server.local_addr()).ssl(ours).server_hostname("localhost").await?;
        assert_eq!(reader.readline().await?, "A\n");
        writer.write(b"B");
        let error = reader.readline().await.unwrap_err();
        assert!(SslError::of(&error).is_some(), "{error:?}");
        writer.close();
        let error = writer.wait_closed().await.unwrap_err();
        assert!(SslError::of(&error).is_some(), "{error:?}");
        Ok(())
    });
}

/// A server that writes past TLS once the client has answered.
#[derive(Default)]
struct Corrupts;

impl Protocol for Corrupts {
    fn connection_made(&mut self, transport: &Transport) {
        transport.write(b"A\n");
    }

    fn data_received(&mut self, transport: &Transport, _: Bytes) {
        let socket = transport.get_extra_info(SOCKET).unwrap();
        let socket = TcpStream::from(socket.dup().unwrap());
        (&socket).write_all(b"please corrupt the connection").unwrap();
    }
}
