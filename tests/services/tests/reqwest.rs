//! reqwest, which needs a tokio runtime, as the client of a server on our loop.

use crate::support::{
    HOUR, LOOPBACK, MS, come_and_go, connections, is_cancelled, is_timeout, run_with_tokio,
    stop_under_load,
};
use asyncio::{Address, Event, Result, create_task, gather, sleep, wait_for};
use asyncio_http::{HttpServer, Incoming, Request, Response, serve, service_fn};
use std::{cell::Cell, rc::Rc, time::Duration};

/// Responds with the path, after the number of milliseconds in the query.
async fn server(address: impl asyncio::ToEndpoint) -> Result<HttpServer<'static>> {
    let echo = async |request: Request<Incoming>| {
        if let Some(ms) = request.uri().query() {
            sleep(ms.parse::<u32>()? * MS).await?;
        }
        Ok::<_, asyncio::Error>(Response::new(request.uri().path().to_owned()))
    };
    serve(service_fn(echo), address).await
}

fn client() -> Result<reqwest::Client> {
    Ok(reqwest::Client::builder().no_proxy().build()?)
}

async fn text(client: &reqwest::Client, to: &Address, path: &str) -> Result<String> {
    Ok(client.get(format!("http://{to}{path}")).send().await?.text().await?)
}

#[test]
fn requests_that_were_given_up_leave_the_pool_in_order() {
    run_with_tokio(async {
        let (server, client) = (server(LOOPBACK).await?, client()?);
        let address = server.local_addr();
        for n in 0..40_u32 {
            let (asked, to) = (client.clone(), address.clone());
            let late = async move { text(&asked, &to, "/late?50").await.map(drop) };
            match n % 2 {
                0 => is_timeout(wait_for(late, (n % 20) * MS / 2).await),
                _ => {
                    let task = create_task(late);
                    sleep((n % 20) * MS / 2).await?;
                    task.cancel();
                    is_cancelled(task.await);
                }
            }
            let paths = (0..3).map(|m| format!("/{n}/{m}"));
            let asked = paths.map(|path| {
                let (client, address) = (client.clone(), address.clone());
                async move {
                    assert_eq!(text(&client, &address, &path).await?, path);
                    Ok(())
                }
            });
            gather(asked).await?;
        }
        drop(client);
        server.shutdown(Duration::ZERO).await
    });
}

#[test]
fn a_server_that_dies_is_noticed_and_comes_back() {
    run_with_tokio(async {
        let (first, client) = (server(LOOPBACK).await?, client()?);
        let address = first.local_addr();
        assert_eq!(text(&client, &address, "/1").await?, "/1");
        let (asked, to) = (client.clone(), address.clone());
        let waiting =
            create_task(wait_for(async move { text(&asked, &to, "/2?3600000").await }, HOUR));
        sleep(10 * MS).await?;
        first.shutdown(Duration::ZERO).await?;
        let error = waiting.await.unwrap_err();
        assert!(!error.is_cancelled() && !error.is_timeout(), "{error:?}");
        assert!(text(&client, &address, "/3").await.is_err());
        let again = server(address.clone()).await?;
        assert_eq!(text(&client, &address, "/4").await?, "/4");
        drop(client);
        again.shutdown(Duration::ZERO).await
    });
}

/// Every request that a handler has started is answered.
#[test]
fn under_load_a_stop_loses_no_request() {
    run_with_tokio(async {
        let (stop, begun) = (Event::new(), Rc::new(Cell::new(0)));
        let seen = begun.clone();
        let slow = service_fn(move |_: Request<Incoming>| {
            seen.set(seen.get() + 1);
            async {
                sleep(2 * MS).await?;
                Ok::<_, asyncio::Error>(Response::new("served".to_owned()))
            }
        });
        let server = serve(slow, LOOPBACK).graceful(&stop, HOUR).await?;
        let (client, address) = (client()?, server.local_addr());
        let answers = stop_under_load(&server, &stop, move |_| {
            let (client, address) = (client.clone(), address.clone());
            async move {
                assert_eq!(text(&client, &address, "/").await?, "served");
                Ok(())
            }
        });
        assert_eq!(answers.await?, begun.get());
        Ok(())
    });
}

/// Half of the requests are answered, the others are dropped.
#[test]
fn many_connections_come_and_go() {
    run_with_tokio(async {
        let server = server(LOOPBACK).await?;
        let address = server.local_addr();
        come_and_go(connections(1000), 100, move |state| {
            let address = address.clone();
            async move {
                let client =
                    reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build()?;
                match state % 2 {
                    0 => assert_eq!(text(&client, &address, "/").await?, "/"),
                    _ => {
                        let late = text(&client, &address, "/?3600000");
                        is_timeout(wait_for(late, 5 * MS).await.map(drop));
                    }
                }
                Ok(())
            }
        })
        .await?;
        server.shutdown(Duration::ZERO).await
    });
}
