//! Servers and their clients.

use super::*;
use asyncio_core::AsyncContextManager;
use asyncio_task::{AnyTask, current_task, gather};
use asyncio_transports::{create_connection, create_server};
use std::{cell::Cell, io::ErrorKind, path::PathBuf};

async fn echo(mut reader: StreamReader, writer: StreamWriter) -> Result<()> {
    loop {
        let data = reader.read(100).await?;
        if data.is_empty() {
            break;
        }
        writer.write(&data);
        writer.drain().await?;
    }
    writer.close();
    writer.wait_closed().await
}

async fn talk(address: asyncio_sockets::Address, words: [&'static str; 3]) -> Result<Vec<u8>> {
    let (mut reader, writer) = open_connection(address).await?;
    let mut heard = Vec::new();
    for word in words {
        writer.write(word.as_bytes());
        writer.drain().await?;
        heard.extend(reader.readexactly(word.len()).await?);
    }
    writer.write_eof();
    assert_eq!(reader.read(1).await?, "");
    Ok(heard)
}

async fn over(server: Server) -> Result<()> {
    server.close();
    server.wait_closed().await
}

#[test]
fn a_server_serves_several_clients_at_once() {
    run(async {
        let server = start_server(echo, ("127.0.0.1", 0)).backlog(10).await?;
        let address = server.local_addr();
        let heard = gather((0..50).map(|_| talk(address.clone(), ["one", "two", "three"]))).await?;
        assert!(heard.iter().all(|heard| heard == b"onetwothree"));
        over(server).await
    });
}

#[test]
fn a_closure_may_keep_what_it_needs() {
    run(async {
        let hits = Rc::new(Cell::new(0));
        let count = hits.clone();
        let client = async move |mut r: StreamReader, w: StreamWriter| {
            count.set(count.get() + 1);
            let line = r.readline().await?;
            w.write(&line);
            w.drain().await
        };
        let server = start_server(client, ("127.0.0.1", 0)).await?;
        for n in 1..=3 {
            let (mut r, w) = open_connection(server.local_addr()).limit(1 << 16).await?;
            w.write(b"hello\n");
            w.drain().await?;
            assert_eq!(r.readline().await?, "hello\n");
            assert_eq!(hits.get(), n);
        }
        over(server).await
    });
}

#[test]
fn the_types_of_a_closure_need_not_be_written() {
    run(async {
        let starting = start_server(
            async |mut r, w| {
                w.write(&r.readline().await?);
                w.drain().await
            },
            ("127.0.0.1", 0),
        );
        let server = starting.await?;
        let (mut r, w) = open_connection(server.local_addr()).await?;
        w.write(b"hello\n");
        assert_eq!(r.read_to_end().await?, "hello\n");
        over(server).await
    });
}

/// Returns the data that a client reads from a server with this handler, and the reports to the
/// exception handler.
async fn served<H, T>(handler: H) -> Result<(bytes::Bytes, Vec<String>)>
where
    H: AsyncFn(StreamReader, StreamWriter) -> Result<T> + 'static,
    T: 'static,
{
    let log = watch_handler()?;
    let server = start_server(handler, ("127.0.0.1", 0)).await?;
    let (mut reader, writer) = open_connection(server.local_addr()).await?;
    writer.write(b"x");
    let read = reader.read_to_end().await?;
    over(server).await?;
    let told = log.borrow().clone();
    Ok((read, told))
}

#[test]
fn an_error_of_a_handler_is_reported_and_the_connection_closed() {
    run(async {
        let (read, told) = served(async |mut r: StreamReader, w: StreamWriter| {
            r.read(1).await?;
            w.write(b"so far");
            Err::<(), _>(Error::value("no further"))
        })
        .await?;
        assert_eq!(read, "so far");
        assert_eq!(told, ["Unhandled exception in client_connected_cb: no further"]);
        Ok(())
    });
}

#[test]
fn an_error_of_a_handler_closes_the_connection_even_if_others_have_its_writer() {
    run(async {
        let kept = Rc::new(RefCell::new(Vec::new()));
        let keep = kept.clone();
        let (read, told) = served(async move |mut r: StreamReader, w: StreamWriter| {
            r.read(1).await?;
            keep.borrow_mut().push(w);
            Err::<(), _>(Error::value("no further"))
        })
        .await?;
        assert_eq!((read.len(), told.len()), (0, 1));
        assert!(kept.borrow()[0].is_closing());
        Ok(())
    });
}

#[test]
fn a_panic_of_a_handler_is_reported_and_the_connection_closed() {
    run(async {
        let (read, told) = served(async |mut r: StreamReader, _w: StreamWriter| {
            r.read(1).await?;
            if r.at_eof() { Ok(()) } else { panic!("no further") }
        })
        .await?;
        assert_eq!(read, "");
        assert_eq!(told, ["Unhandled exception in client_connected_cb: panicked: no further"]);
        Ok(())
    });
}

#[test]
fn a_handler_that_is_cancelled_is_closed_silently() {
    run(async {
        let log = watch_handler()?;
        let task: Rc<RefCell<Option<AnyTask>>> = Rc::default();
        let (keep, kept) = (task.clone(), Rc::new(RefCell::new(Vec::new())));
        let writers = kept.clone();
        let client = async move |mut r: StreamReader, w: StreamWriter| {
            writers.borrow_mut().push(w);
            *keep.borrow_mut() = current_task();
            r.read(1).await
        };
        let server = start_server(client, ("127.0.0.1", 0)).await?;
        let (mut reader, _writer) = open_connection(server.local_addr()).await?;
        while task.borrow().is_none() {
            iterations(1).await?;
        }
        iterations(1).await?;
        assert!(task.borrow().as_ref().unwrap().cancel());
        assert_eq!(reader.read_to_end().await?, "");
        over(server).await?;
        assert!(log.borrow().is_empty(), "{log:?}");
        Ok(())
    });
}

#[test]
fn a_limit_of_zero_is_a_value_error_everywhere() {
    run(async {
        let path = temporary("limit");
        let expected = "Limit cannot be <= 0";
        assert_eq!(text(open_connection(("127.0.0.1", 1)).limit(0).await), expected);
        assert_eq!(text(open_unix_connection(&path).limit(0).await), expected);
        assert_eq!(text(start_server(echo, ("127.0.0.1", 0)).limit(0).await), expected);
        assert_eq!(text(start_unix_server(echo, &path).limit(0).await), expected);
        assert!(!path.exists());
        Ok(())
    });
}

#[test]
fn the_defaults_are_those_of_asyncio() {
    run(async {
        assert_eq!(DEFAULT_LIMIT, 65536);
        let starting = format!("{:?}", start_server(echo, ("127.0.0.1", 0)));
        assert!(starting.contains("backlog: 100"), "{starting}");
        let server = start_server(echo, ("127.0.0.1", 0)).await?;
        let (mut reader, writer) = open_connection(server.local_addr()).await?;
        assert_eq!(writer.transport().get_write_buffer_limits(), (16384, 65536));
        writer.write([b'.'; 65536]);
        writer.write(b"\n");
        assert_eq!(reader.readline().await?.len(), 65537);
        writer.write([b'.'; 65537]);
        writer.write(b"\n");
        assert!(matches!(reader.readline().await, Err(Error::Value(_))));
        drop(writer);
        over(server).await
    });
}

#[test]
fn the_limit_is_that_of_lines() {
    run(async {
        let client = async |mut reader: StreamReader, writer: StreamWriter| {
            let outcome = match reader.readline().await {
                Err(Error::Value(error)) => error.to_string(),
                outcome => format!("{:?}", outcome?),
            };
            writer.write(outcome.as_bytes());
            Ok(())
        };
        let server = start_server(client, ("127.0.0.1", 0)).limit(4).await?;
        let not_found = "Separator is not found, and chunk exceed the limit";
        for (limit, line) in [(100, "12345"), (5, "123\n")] {
            let (mut reader, writer) = open_connection(server.local_addr()).limit(limit).await?;
            writer.write(line.as_bytes());
            match limit {
                100 => assert_eq!(reader.readline().await?, not_found),
                _ => assert_eq!(text(reader.readline().await), not_found),
            }
        }
        over(server).await
    });
}

fn temporary(name: &str) -> PathBuf {
    let name = format!("asyncio-streams-{name}-{}", std::process::id());
    std::env::temp_dir().join(name)
}

#[test]
fn unix_sockets_work_like_tcp() {
    run(async {
        let path = temporary("echo");
        let server = start_unix_server(echo, &path).backlog(10).await?;
        let (mut reader, writer) = open_unix_connection(&path).await?;
        writer.write(b"hello");
        assert_eq!(reader.readexactly(5).await?, "hello");
        writer.write_eof();
        assert_eq!(reader.read_to_end().await?, "");
        over(server).await?;
        assert!(!path.exists());
        Ok(())
    });
}

#[test]
fn what_fails_names_the_function() {
    run(async {
        let error = open_unix_connection(temporary("nothing")).await.unwrap_err();
        assert!(error.to_string().contains("open_unix_connection"), "{error}");
        assert_eq!(io_kind::<()>(Err(error)), ErrorKind::NotFound);
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        drop(listener);
        let error = open_connection(address).await.unwrap_err();
        assert_eq!(io_kind::<()>(Err(error)), ErrorKind::ConnectionRefused);
        let taken = TcpListener::bind("127.0.0.1:0")?;
        let error = start_server(echo, taken.local_addr()?).await.unwrap_err();
        assert!(error.to_string().contains("start_server"), "{error}");
        assert_eq!(io_kind::<()>(Err(error)), ErrorKind::AddrInUse);
        Ok(())
    });
}

#[test]
fn an_opening_that_is_cancelled_closes_and_reports_nothing() {
    run(async {
        let log = watch_handler()?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        for steps in 0..4 {
            let opening = create_task(async move { open_connection(address).await });
            iterations(steps).await?;
            opening.cancel();
            match opening.await {
                Err(error) => assert!(error.is_cancelled()),
                Ok(halves) => drop(halves),
            }
            iterations(3).await?;
        }
        listener.set_nonblocking(true)?;
        while let Ok((mut accepted, _)) = listener.accept() {
            accepted.set_nonblocking(false)?;
            accepted.set_read_timeout(Some(GUARD))?;
            let _ = accepted.read(&mut [0]); // The end, or a reset.
        }
        assert!(log.borrow().is_empty(), "{log:?}");
        Ok(())
    });
}

#[test]
fn serving_until_cancelled_lets_the_clients_end() {
    run(async {
        let server = start_server(echo, ("127.0.0.1", 0)).await?;
        let address = server.local_addr();
        let serving =
            create_task(async move { server.with(async |s| s.serve_forever().await).await });
        assert_eq!(talk(address.clone(), ["a", "b", "c"]).await?, b"abc");
        serving.cancel();
        assert!(is_cancelled(serving.await));
        assert_eq!(io_kind(open_connection(address).await), ErrorKind::ConnectionRefused);
        Ok(())
    });
}

#[test]
fn a_plain_function_may_serve_too() {
    run(async {
        fn client_connected(_reader: StreamReader, writer: StreamWriter) {
            writer.write(b"too late\n");
        }
        let factory = || {
            let reader = StreamReader::new(100).unwrap();
            StreamReaderProtocol::with_callback(reader, client_connected)
        };
        let server = create_server(factory, ("127.0.0.1", 0)).await?;
        let (mut reader, _writer) = open_connection(server.local_addr()).await?;
        assert_eq!(reader.read_to_end().await?, "too late\n");
        over(server).await
    });
}

#[test]
fn the_halves_can_be_made_by_hand() {
    run(async {
        let server = start_server(echo, ("127.0.0.1", 0)).await?;
        let mut reader = StreamReader::new(100)?;
        let factory = || StreamReaderProtocol::new(&reader);
        let (transport, protocol) = create_connection(factory, server.local_addr()).await?;
        let writer = StreamWriter::new(transport, &protocol.borrow());
        writer.write(b"by hand\n");
        assert_eq!(reader.readline().await?, "by hand\n");
        drop(writer);
        over(server).await
    });
}

#[test]
fn a_reader_that_is_dropped_before_there_is_a_connection_aborts_it() {
    run(async {
        let log = watch_handler()?;
        let server = start_server(echo, ("127.0.0.1", 0)).await?;
        let factory = || StreamReaderProtocol::new(&StreamReader::new(100).unwrap());
        let (transport, _) = create_connection(factory, server.local_addr()).await?;
        assert!(transport.is_closing());
        let told = "An open stream was garbage collected prior to establishing network \
                    connection; call \"stream.close()\" explicitly.: ";
        assert_eq!(*log.borrow(), [told]);
        over(server).await
    });
}

#[test]
fn a_task_of_a_client_says_where_it_was_started_and_where_it_waits() {
    run(async {
        let task: Rc<RefCell<Option<AnyTask>>> = Rc::default();
        let keep = task.clone();
        let client = async move |mut r: StreamReader, _w: StreamWriter| {
            *keep.borrow_mut() = current_task();
            r.readline().await
        };
        let line = line!() + 1;
        let server = start_server(client, ("127.0.0.1", 0)).await?;
        let (_reader, writer) = open_connection(server.local_addr()).await?;
        while task.borrow().as_ref().is_none_or(|task| task.wait_site().is_none()) {
            iterations(1).await?;
        }
        let task = task.take().unwrap();
        assert_eq!(task.wait_site().unwrap().what(), "StreamReader.readline");
        assert_eq!(task.spawned_at().line(), line);
        drop(writer);
        over(server).await
    });
}
