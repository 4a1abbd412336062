//! The crate `redis` over our streams, with a real Redis.

use crate::{
    servers::start,
    support::{
        Around, HOUR, LOOPBACK, MS, come_and_go, connections, ends, is_timeout, run,
        stop_under_load,
    },
};
use asyncio::{
    AsyncContextManager, Error, Event, Result, StreamReader, StreamWriter, TaskGroup, create_task,
    open_unix_connection, sleep, streams::Duplex, wait_for,
};
use asyncio_http::{Client, Incoming, Request, Response, serve, service_fn};
use asyncio_test_servers::Server;
use redis::{
    AsyncCommands, AsyncConnectionConfig, RedisConnectionInfo, Value, aio::MultiplexedConnection,
    cmd,
};
use std::path::{Path, PathBuf};

/// A connection that is driven by a task.
async fn connect(path: &Path, around: &Around) -> Result<MultiplexedConnection> {
    let stream = Duplex::from(open_unix_connection(path).await?);
    let config = AsyncConnectionConfig::new().set_response_timeout(None);
    let info = RedisConnectionInfo::default();
    let (connection, driver) =
        MultiplexedConnection::new_with_config(&info, stream, config).await?;
    around.task(async move {
        driver.await;
        Ok(())
    });
    Ok(connection)
}

/// Waits until `count` clients wait for an item.
async fn until_blocked(path: PathBuf, count: usize, around: Around) -> Result<()> {
    let mut other = connect(&path, &around).await?;
    loop {
        let clients: String = cmd("CLIENT").arg("LIST").query_async(&mut other).await?;
        if clients.matches("cmd=blpop").count() == count {
            around.reached();
            return Ok(());
        }
        sleep(MS).await?;
    }
}

#[test]
fn a_command_waits_for_its_answer() {
    let Some(server) = start(Server::redis) else { return };
    let path = server.socket();
    ends(async move |around| {
        let mut connection = connect(&path, &around).await?;
        around.task(until_blocked(path.clone(), 1, around.clone()));
        Ok(async move { Ok(connection.blpop::<_, Value>("nothing", 0.0).await?) })
    });
}

/// A late response is matched to its dropped command, and to no other command.
#[test]
fn commands_that_were_given_up_leave_the_connection_to_others() {
    let Some(server) = start(Server::redis) else { return };
    let path = server.socket();
    run(async move {
        let around = Around::default();
        let mut connection = connect(&path, &around).await?;
        for n in 0..50_u32 {
            let mut given_up = connection.clone();
            // Redis responds after 20 ms; the command reaches its limit or is cancelled earlier.
            let wait = async move { Ok(given_up.blpop::<_, Value>("nothing", 0.02).await?) };
            match n % 2 {
                0 => is_timeout(wait_for(wait, (n % 10) * MS).await.map(drop)),
                _ => {
                    let task = create_task(wait);
                    sleep((n % 10) * MS).await?;
                    task.cancel();
                    assert!(task.await.unwrap_err().is_cancelled());
                }
            }
            let () = connection.set("n", n).await?;
            assert_eq!(connection.get::<_, u32>("n").await?, n);
        }
        let several = TaskGroup::new().with(async |group| {
            for n in 0..200_u32 {
                let mut connection = connection.clone();
                drop(group.create_task(async move {
                    let limit = if n % 3 == 0 { MS / 2 } else { HOUR };
                    let echo = async {
                        let echo: u32 = cmd("ECHO").arg(n).query_async(&mut connection).await?;
                        Ok(echo)
                    };
                    match wait_for(echo, limit).await {
                        Err(error) if n % 3 == 0 => is_timeout(Err(error)),
                        outcome => assert_eq!(outcome?, n),
                    }
                    Ok(())
                }));
            }
            Ok(())
        });
        several.await?;
        around.end().await
    });
}

#[test]
fn a_server_that_dies_is_noticed_and_comes_back_with_its_data() {
    let Some(server) = start(Server::redis) else { return };
    let (path, handle) = (server.socket(), server.handle());
    run(async move {
        let around = Around::default();
        let mut connection = connect(&path, &around).await?;
        let () = connection.set("kept", 7).await?;
        for round in 0..3 {
            let blocked = Around::default();
            let mut waits = connection.clone();
            // A limit does not hide the error of the connection.
            let waiting = create_task(wait_for(
                async move { Ok(waits.blpop::<_, Value>("nothing", 0.0).await?) },
                HOUR,
            ));
            until_blocked(path.clone(), 1, blocked.clone()).await?;
            handle.kill().await?;
            let error = waiting.await.unwrap_err();
            assert!(!error.is_cancelled() && !error.is_timeout(), "{error:?}");
            assert!(connection.get::<_, u32>("kept").await.is_err());
            assert!(connect(&path, &around).await.is_err());
            handle.start().await?;
            connection = connect(&path, &around).await?;
            assert_eq!(connection.incr::<_, _, u32>("kept", 1).await?, 8 + round);
            blocked.end().await?;
        }
        drop(connection);
        around.end().await
    });
}

/// A service counts its requests in Redis; their number is that of the responses.
#[test]
fn under_load_a_stop_of_a_service_loses_no_request() {
    let Some(redis) = start(Server::redis) else { return };
    let path = redis.socket();
    run(async move {
        let around = Around::default();
        let mut connection = connect(&path, &around).await?;
        let (stop, counting) = (Event::new(), connection.clone());
        let service = service_fn(move |_: Request<Incoming>| {
            let mut connection = counting.clone();
            async move {
                let number: u64 = connection.incr("requests", 1).await?;
                Ok::<_, Error>(Response::new(number.to_string()))
            }
        });
        let server = serve(service, LOOPBACK).graceful(&stop, HOUR).await?;
        let (client, url) = (Client::new(), format!("http://{}/", server.local_addr()));
        let answers = stop_under_load(&server, &stop, move |_| {
            let request = client.get(&url);
            async { request.await?.raise_for_status()?.text().await.map(drop) }
        });
        assert_eq!(answers.await?, connection.get::<_, u64>("requests").await?);
        drop((server, connection));
        around.end().await
    });
}

/// Clients disconnect in every state: nothing sent, half a command, waiting, answered, blocked.
#[test]
fn ten_thousand_connections_come_and_go() {
    let Some(server) = start(Server::redis) else { return };
    let path = server.socket();
    run(come_and_go(connections(10_000), 100, move |state| {
        let path = path.clone();
        async move {
            let (mut reader, writer): (StreamReader, StreamWriter) =
                open_unix_connection(&path).await?;
            match state % 5 {
                0 => {}
                1 => writer.write("*1\r\n$4\r\nPI"),
                2 => writer.write("PING\r\n"),
                3 => writer.write("BLPOP nothing 0\r\n"),
                _ => {
                    writer.write("PING\r\n");
                    assert_eq!(reader.readline().await?, "+PONG\r\n");
                }
            }
            Ok(())
        }
    }));
}
