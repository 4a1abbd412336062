//! Connections that continue with another protocol. WebSockets are in `tests/services` and in [`crate::curl`].

use crate::support::{HOUR, LOOPBACK, Raw, SECOND, ended, run, run_virtual, started, until};
use asyncio::{Error, Event, Result};
use asyncio_http::{Incoming, Request, Response, StatusCode, serve, service_fn, upgrade};
use std::{cell::Cell, rc::Rc};

const REQUEST: &str = "GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: shout\r\n\r\n";

/// Returns the response that grants the upgrade of [`REQUEST`].
fn switching() -> Result<Response<String>> {
    let response = Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header("connection", "upgrade")
        .header("upgrade", "shout");
    Ok(response.body(String::new())?)
}

/// Data that the client has sent together with its request is received.
#[test]
fn nothing_is_lost_that_follows_the_request() {
    run(async |_| {
        let service = service_fn(async |mut request: Request<Incoming>| {
            drop(upgrade(&mut request, async |both| {
                let (mut reader, writer) = both.into_split();
                let line = reader.readline().await?;
                writer.write(line.to_ascii_uppercase());
                writer.drain().await
            }));
            switching()
        });
        let server = started(service).await?;
        for line in ["early\n", "a".repeat(300_000).as_str()] {
            let mut client = Raw::to(server.local_addr()).await?;
            match line.strip_suffix('\n') {
                Some(_) => client.send(&format!("{REQUEST}{line}")),
                // More than fits into one read; its end is sent later.
                None => {
                    client.send(&format!("{REQUEST}{}", &line[..60_000]));
                    client.send("\n");
                }
            }
            assert!(client.head().await?.starts_with("http/1.1 101"));
            let heard = client.0.reader().read_to_end().await?;
            assert_eq!(heard.len(), line.len().min(60_001));
            assert!(heard.iter().all(|byte| !byte.is_ascii_lowercase()));
        }
        ended(server).await
    });
}

#[test]
fn a_server_that_stops_gives_the_handler_its_grace_and_then_cancels_it() {
    run_virtual(async |_| {
        let cancelled = Rc::new(Cell::new(0));
        let seen = cancelled.clone();
        let began = Rc::new(Event::new());
        let begins = began.clone();
        let service = service_fn(move |mut request: Request<Incoming>| {
            let (seen, begins) = (seen.clone(), begins.clone());
            drop(upgrade(&mut request, async move |both| {
                begins.set();
                let outcome = asyncio::sleep(HOUR).await;
                drop(both);
                if outcome.as_ref().is_err_and(Error::is_cancelled) {
                    seen.set(seen.get() + 1);
                }
                outcome
            }));
            async { switching() }
        });
        let server = serve(service, LOOPBACK).max_connections(10).await?;
        let mut client = Raw::to(server.local_addr()).await?;
        client.send(REQUEST);
        began.wait().await?;
        let before = asyncio::get_running_loop()?.time();
        server.shutdown(10 * SECOND).await?;
        let took = asyncio::get_running_loop()?.time() - before;
        assert!((10 * SECOND..11 * SECOND).contains(&took), "{took:?}");
        until(|| cancelled.get() == 1).await?;
        assert!(client.head().await?.starts_with("http/1.1 101"));
        assert!(client.is_over().await?);
        Ok(())
    });
}

#[test]
fn a_request_that_is_not_upgraded_leaves_nothing() {
    run(async |reports| {
        let service = service_fn(async |mut request: Request<Incoming>| {
            drop(upgrade(&mut request, async |_| panic!("it is not upgraded")));
            Ok::<_, Error>(Response::new("no".to_owned()))
        });
        let server = started(service).await?;
        let mut client = Raw::to(server.local_addr()).await?;
        client.send(REQUEST);
        assert_eq!(client.response().await?.1, "no");
        drop(client);
        // `upgrade` for a request without an upgrade is an error of the program.
        let mut client = Raw::to(server.local_addr()).await?;
        client.get("/");
        assert_eq!(client.response().await?.1, "no");
        ended(server).await?;
        asyncio::sleep(std::time::Duration::ZERO).await?;
        let [report] = &reports.take()[..] else { panic!("there is one report") };
        assert!(report.contains("upgrade"), "{report}");
        Ok(())
    });
}
