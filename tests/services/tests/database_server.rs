//! tokio-postgres and a real server: queries that sleep, and how a session continues after a query was dropped.

use crate::{
    database::connect,
    servers::start,
    support::{Around, HOUR, Joined, MS, come_and_go, connections, ends, is_timeout, run},
};
use asyncio::{Error, Result, create_task, open_unix_connection, sleep, wait_for};
use asyncio_test_servers::Server;
use bytes::Bytes;
use futures_util::{
    SinkExt,
    future::{Either, LocalBoxFuture, select, try_join},
    stream::{FuturesUnordered, StreamExt},
};
use std::{
    future::{Future, poll_fn},
    path::{Path, PathBuf},
    pin::pin,
};
use tokio::io::AsyncWriteExt;
use tokio_postgres::{AsyncMessage, Client, Connection, CopyOutStream, NoTls, tls::NoTlsStream};

async fn open(path: &Path) -> Result<Joined> {
    let (reader, writer) = open_unix_connection(path).await?;
    Ok(tokio::io::join(reader, writer))
}

/// A session whose connection is driven by a task.
async fn client(path: &Path, around: &Around) -> Result<Client> {
    let (client, connection) = connect(open(path).await?).await?;
    around.task(async move { Ok(connection.await?) });
    Ok(client)
}

/// Drives the connection until `future` is done.
async fn beside<T>(
    connection: &mut Connection<Joined, NoTlsStream>,
    future: impl Future<Output = Result<T>>,
) -> Result<T> {
    match select(pin!(future), connection).await {
        Either::Left((outcome, _)) => outcome,
        Either::Right(_) => Err(Error::msg("the session has ended")),
    }
}

/// Whether another session runs one of [`NEVER_ENDING`].
async fn is_running(client: &Client, process: i64) -> Result<bool> {
    Ok(number(client, &format!("{RUNNING} AND pid = {process}")).await? == 1)
}

async fn until_running(client: &Client, process: i64) -> Result<()> {
    while !is_running(client, process).await? {
        sleep(MS).await?;
    }
    Ok(())
}

/// Waits in a task until `process` of the server runs one of [`NEVER_ENDING`].
fn watch(path: PathBuf, process: i64, around: &Around) {
    let told = around.clone();
    around.task(async move {
        let (client, connection) = connect(open(&path).await?).await?;
        let look = async {
            until_running(&client, process).await?;
            told.reached();
            drop(client);
            Ok::<_, Error>(())
        };
        try_join(look, async { Ok(connection.await?) }).await
    });
}

const NEVER: &str = "SELECT pg_sleep(3600)";
const PROCESS: &str = "SELECT pg_backend_pid()::int8";
const LOCK: &str = "SELECT pg_advisory_xact_lock(7)";
const RUNNING: &str = "SELECT count(*) FROM pg_stat_activity \
                       WHERE state = 'active' AND wait_event IN ('PgSleep', 'advisory')";

async fn number(client: &Client, sql: &str) -> Result<i64> {
    Ok(client.query_one(sql, &[]).await?.get(0))
}

/// Makes a suspended future from a client.
type Ask = fn(Client) -> LocalBoxFuture<'static, Result<()>>;

/// Statements that never end.
const NEVER_ENDING: [Ask; 5] = [
    |client| Box::pin(async move { Ok(client.query(NEVER, &[]).await.map(drop)?) }),
    |client| Box::pin(async move { Ok(client.batch_execute(NEVER).await?) }),
    |mut client| {
        Box::pin(async move {
            let transaction = client.transaction().await?;
            transaction.execute(NEVER, &[]).await?;
            Ok(transaction.commit().await?)
        })
    },
    |client| {
        Box::pin(async move {
            let copy = format!("COPY ({NEVER}) TO STDOUT");
            let mut rows = pin!(client.copy_out(&copy).await?);
            while rows.next().await.transpose()?.is_some() {}
            Ok(())
        })
    },
    // Waits for a lock that another session has.
    |client| Box::pin(async move { Ok(client.batch_execute(LOCK).await?) }),
];

#[test]
fn a_session_is_ended_whatever_it_waits_for() {
    let Some(server) = start(Server::postgres) else { return };
    for ask in NEVER_ENDING {
        let path = server.socket();
        ends(async move |around| {
            // Another session has the lock.
            let other = client(&path, &around).await?;
            other.batch_execute(&format!("BEGIN; {LOCK}")).await?;
            around.keep(other);
            let client = client(&path, &around).await?;
            watch(path.clone(), number(&client, PROCESS).await?, &around);
            Ok(ask(client))
        });
    }
    // The same statements, while the same task drives the connection.
    for ask in NEVER_ENDING {
        let path = server.socket();
        ends(async move |around| {
            let other = client(&path, &around).await?;
            other.batch_execute(&format!("BEGIN; {LOCK}")).await?;
            around.keep(other);
            let (client, mut connection) = connect(open(&path).await?).await?;
            let process = beside(&mut connection, number(&client, PROCESS)).await?;
            watch(path.clone(), process, &around);
            Ok(try_join(ask(client), async { Ok(connection.await?) }))
        });
    }
}

#[test]
fn a_session_goes_on_after_what_was_given_up() {
    let Some(server) = start(Server::postgres) else { return };
    let path = server.socket();
    run(async move {
        let around = Around::default();
        let other = client(&path, &around).await?;
        let mut client = client(&path, &around).await?;
        let process = number(&client, PROCESS).await?;
        eprintln!("a query that another session ends");
        for n in 0..5 {
            let query = async { Ok(client.batch_execute(NEVER).await?) };
            is_timeout(wait_for(query, 20 * MS).await);
            until_running(&other, process).await?;
            other.batch_execute(&format!("SELECT pg_cancel_backend({process})")).await?;
            assert_eq!(number(&client, &format!("SELECT {n}::int8")).await?, n);
        }
        eprintln!("a transaction that is rolled back");
        client.batch_execute("CREATE TABLE numbers (n int8)").await?;
        for _ in 0..5 {
            let insert = async {
                let transaction = client.transaction().await?;
                transaction.execute("INSERT INTO numbers VALUES (7)", &[]).await?;
                sleep(HOUR).await?;
                Ok(transaction.commit().await?)
            };
            is_timeout(wait_for(insert, 20 * MS).await);
            assert_eq!(number(&client, "SELECT count(*) FROM numbers").await?, 0);
        }
        eprintln!("a copy that is read in pieces, each under a limit");
        let rows = client.copy_out("COPY (SELECT generate_series(1, 200000)) TO STDOUT").await?;
        let text = under_limits(rows).await?;
        let expected: String = (1..=200_000).map(|n| format!("{n}\n")).collect();
        assert!(text == expected.as_bytes(), "{} of {} bytes", text.len(), expected.len());
        eprintln!("a copy that is written in pieces, each under a limit");
        let mut sink = pin!(client.copy_in::<_, Bytes>("COPY numbers FROM STDIN").await?);
        for n in 0..2000 {
            sink.feed(Bytes::from(format!("{n}\n"))).await?;
            while let Err(error) = wait_for(async { Ok(sink.flush().await?) }, MS).await {
                is_timeout(Err(error));
            }
        }
        assert_eq!(sink.finish().await?, 2000);
        assert_eq!(number(&client, "SELECT sum(n)::int8 FROM numbers").await?, 1_999_000);
        eprintln!("queries beside each other");
        let mut queries = FuturesUnordered::new();
        for n in 0..50_i64 {
            let (client, limit) = (&client, if n % 5 == 0 { 5 * MS } else { HOUR });
            let query = async move {
                let sql = "SELECT $1::int8 FROM pg_sleep(0.001)";
                Ok(client.query_one(sql, &[&n]).await?.get::<_, i64>(0))
            };
            queries.push(async move { (n, wait_for(query, limit).await) });
        }
        while let Some((n, outcome)) = queries.next().await {
            match outcome {
                Ok(got) => assert_eq!(got, n),
                Err(error) if n % 5 == 0 => is_timeout(Err(error)),
                Err(error) => return Err(error),
            }
        }
        drop(queries);
        eprintln!("a query that is cancelled by a message");
        let query = async { Ok(client.batch_execute(NEVER).await?) };
        is_timeout(wait_for(query, 20 * MS).await);
        until_running(&other, process).await?;
        // The server signals twice, so that a next query might be cancelled too.
        client.cancel_token().cancel_query_raw(open(&path).await?, NoTls).await?;
        while is_running(&other, process).await? {
            sleep(MS).await?;
        }
        drop(client);
        around.end().await
    });
    let path = server.socket();
    run(async move {
        eprintln!("notifications, each awaited under a limit");
        let around = Around::default();
        let (listener, mut connection) = connect(open(&path).await?).await?;
        let listen = async { Ok(listener.batch_execute("LISTEN news").await?) };
        beside(&mut connection, listen).await?;
        let sender = client(&path, &around).await?;
        around.task(async move {
            for n in 0..100 {
                sender.batch_execute(&format!("NOTIFY news, '{n}'")).await?;
                sleep((n % 4) * MS).await?;
            }
            Ok(())
        });
        let mut heard = Vec::new();
        while heard.len() < 100 {
            let next = async { Ok(poll_fn(|cx| connection.poll_message(cx)).await) };
            match wait_for(next, 2 * MS).await {
                Ok(Some(message)) => {
                    if let AsyncMessage::Notification(news) = message? {
                        heard.push(news.payload().to_owned());
                    }
                }
                Ok(None) => return Err(Error::msg("the session has ended")),
                Err(error) => is_timeout(Err(error)),
            }
        }
        assert_eq!(heard, (0..100).map(|n| n.to_string()).collect::<Vec<_>>());
        drop(listener);
        around.end().await
    });
}

#[test]
fn a_server_that_dies_is_noticed_and_comes_back() {
    let Some(server) = start(Server::postgres) else { return };
    let (path, handle) = (server.socket(), server.handle());
    run(async move {
        let around = Around::default();
        let other = client(&path, &around).await?;
        let waits = client(&path, &around).await?;
        let process = number(&waits, PROCESS).await?;
        let query = async move { Ok(waits.batch_execute(NEVER).await?) };
        let waiting = create_task(wait_for(query, HOUR));
        until_running(&other, process).await?;
        handle.kill().await?;
        let error = waiting.await.unwrap_err();
        assert!(!error.is_cancelled() && !error.is_timeout(), "{error:?}");
        assert!(number(&other, "SELECT 1::int8").await.is_err());
        assert!(client(&path, &around).await.is_err());
        handle.start().await?;
        assert_eq!(number(&client(&path, &around).await?, "SELECT 7::int8").await?, 7);
        around.end().await
    });
}

/// Reads a stream to its end, each piece under a limit that is often too short.
async fn under_limits(rows: CopyOutStream) -> Result<Vec<u8>> {
    let mut rows = pin!(rows);
    let mut text = Vec::new();
    loop {
        match wait_for(async { Ok(rows.next().await) }, MS / 10).await {
            Ok(Some(piece)) => text.extend_from_slice(&piece?),
            Ok(None) => return Ok(text),
            Err(error) => is_timeout(Err(error)),
        }
    }
}

/// Clients disconnect in every state: nothing sent, half of the first message, session open, waiting, answered. The
/// server starts a process for each connection, so only a few exist at once.
#[test]
fn many_connections_come_and_go() {
    let Some(server) = start(Server::postgres) else { return };
    let path = server.socket();
    run(async move {
        let to = path.clone();
        come_and_go(connections(300), 20, move |state| {
            let path = to.clone();
            async move {
                let mut io = open(&path).await?;
                match state % 5 {
                    0 => return Ok(()),
                    1 => return Ok(io.write_all(&[0, 0, 0, 80, 0, 3]).await?),
                    _ => {}
                }
                let (client, mut connection) = connect(io).await?;
                match state % 5 {
                    2 => {}
                    3 => {
                        // Most of them reach the limit. The server's process lives until its sleep ends.
                        let asked =
                            async { Ok(client.batch_execute("SELECT pg_sleep(0.1)").await?) };
                        drop(wait_for(beside(&mut connection, asked), 5 * MS).await);
                    }
                    _ => {
                        let answer = beside(&mut connection, number(&client, "SELECT 7::int8"));
                        assert_eq!(answer.await?, 7);
                    }
                }
                Ok(())
            }
        })
        .await?;
        let (client, mut connection) = connect(open(&path).await?).await?;
        assert_eq!(beside(&mut connection, number(&client, "SELECT 8::int8")).await?, 8);
        Ok(())
    });
}
