//! tokio-postgres with a server that never responds, or stops responding. Tests with a real server are in
//! [`database_server`](crate::database_server).

use crate::support::{Around, HOUR, Joined, MS, ends, is_timeout, pair, run};
use asyncio::{Error, Event, Result, create_task, wait_for};
use futures_util::{
    future::{try_join, try_join_all},
    stream::{FuturesUnordered, StreamExt},
};
use std::{cell::Cell, future::pending, rc::Rc};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_postgres::{Client, Config, Connection, NoTls, tls::NoTlsStream};

type Database = (Client, Connection<Joined, NoTlsStream>);

/// Opens a session on a connection.
pub(crate) async fn connect<S>(io: S) -> Result<(Client, Connection<S, NoTlsStream>)>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    Ok(Config::new().user("postgres").dbname("postgres").connect_raw(io, NoTls).await?)
}

/// The server requires no authentication, and is ready for a query.
const WELCOME: &[u8] = b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I";

/// The response to an empty query, after which the server is ready for another.
const EMPTY: &[u8] = b"I\0\0\0\x04Z\0\0\0\x05I";

/// Reads the first message of a client, or any other one after its first byte.
async fn read_message(io: &mut Joined) -> Result<()> {
    let length = io.read_i32().await? as usize;
    let mut rest = vec![0; length - 4];
    io.read_exact(&mut rest).await?;
    Ok(())
}

/// A server that accepts the session, reads `n` bytes, and then nothing more.
async fn server(mut io: Joined, n: usize, around: Around) -> Result<()> {
    read_message(&mut io).await?;
    io.write_all(WELCOME).await?;
    io.read_exact(&mut vec![0; n]).await?;
    around.reached();
    let _kept = io;
    pending().await
}

/// A session with such a server.
async fn session(around: &Around, n: usize) -> Result<Database> {
    let (ours, theirs) = pair().await?;
    around.task(server(theirs, n, around.clone()));
    connect(ours).await
}

/// The same, with a task that drives the connection.
async fn client(around: &Around) -> Result<Client> {
    let (client, connection) = session(around, 1).await?;
    around.task(async move { Ok(connection.await?) });
    Ok(client)
}

#[test]
fn a_session_waits_to_be_let_in() {
    for part in [0, 1, 9] {
        ends(async move |around| {
            let (ours, mut theirs) = pair().await?;
            around.clone().task(async move {
                read_message(&mut theirs).await?;
                theirs.write_all(&WELCOME[..part]).await?;
                around.reached();
                let _kept = theirs;
                pending::<Result<()>>().await
            });
            Ok(connect(ours))
        });
    }
}

#[test]
fn a_query_waits_for_its_rows() {
    ends(async |around| {
        let client = client(&around).await?;
        Ok(async move { Ok(client.query("SELECT 7", &[]).await?) })
    });
}

#[test]
fn a_simple_query_waits_for_its_rows() {
    ends(async |around| {
        let client = client(&around).await?;
        Ok(async move { Ok(client.simple_query("SELECT 7").await?) })
    });
}

#[test]
fn many_queries_wait_for_their_rows() {
    ends(async |around| {
        let client = client(&around).await?;
        Ok(async move {
            let queries = (0..5).map(|_| client.simple_query("SELECT 7"));
            Ok(try_join_all(queries).await?)
        })
    });
}

#[test]
fn a_transaction_waits_to_begin() {
    ends(async |around| {
        let mut client = client(&around).await?;
        Ok(async move { Ok(client.transaction().await?.commit().await?) })
    });
}

#[test]
fn a_query_and_its_connection_wait_in_one_task() {
    ends(async |around| {
        let (ours, theirs) = pair().await?;
        around.task(server(theirs, 1, around.clone()));
        Ok(async move {
            let (client, connection) = connect(ours).await?;
            let query = async { Ok::<_, Error>(client.query("SELECT 7", &[]).await?) };
            try_join(query, async { Ok(connection.await?) }).await
        })
    });
}

#[test]
fn a_connection_waits_for_queries() {
    ends(async |around| {
        let (client, connection) = session(&around, 0).await?;
        around.keep(client);
        Ok(async move { Ok(connection.await?) })
    });
}

#[test]
fn a_connection_waits_while_a_query_does() {
    ends(async |around| {
        let (client, connection) = session(&around, 1).await?;
        around.task(async move { Ok(client.simple_query("SELECT 7").await?) });
        Ok(async move { Ok(connection.await?) })
    });
}

#[test]
fn a_connection_waits_until_a_query_is_taken() {
    ends(async |around| {
        let (client, connection) = session(&around, 1).await?;
        around.task(async move { Ok(client.simple_query(&"x".repeat(12_000_000)).await?) });
        Ok(async move { Ok(connection.await?) })
    });
}

/// A server that responds to empty queries.
pub(crate) async fn answer_empty_queries(mut io: Joined) -> Result<()> {
    read_message(&mut io).await?;
    io.write_all(WELCOME).await?;
    while let Ok(b'Q') = io.read_u8().await {
        read_message(&mut io).await?;
        io.write_all(EMPTY).await?;
    }
    Ok(())
}

// What continues.

#[test]
fn queries_that_were_given_up_leave_the_connection_to_others() {
    run(async {
        let around = Around::default();
        let (ours, mut theirs) = pair().await?;
        let asked = Rc::new(Cell::new(0));
        let (count, answer) = (asked.clone(), Rc::new(Event::new()));
        let answers = answer.clone();
        around.task(async move {
            read_message(&mut theirs).await?;
            theirs.write_all(WELCOME).await?;
            while let Ok(b'Q') = theirs.read_u8().await {
                read_message(&mut theirs).await?;
                count.set(count.get() + 1);
                if count.get() == 10 {
                    answers.wait().await?;
                    for _ in 0..10 {
                        theirs.write_all(EMPTY).await?;
                    }
                }
            }
            Ok(())
        });
        let (client, connection) = connect(ours).await?;
        let connection = create_task(async move { Ok(connection.await?) });
        let mut queries = FuturesUnordered::new();
        for n in 0..10 {
            let query = async { Ok(client.simple_query("").await?) };
            let limit = if n % 2 == 0 { 20 * MS } else { HOUR };
            queries.push(async move { (n, wait_for(query, limit).await) });
        }
        let mut late = 0;
        while let Some((n, outcome)) = queries.next().await {
            if n % 2 == 0 {
                is_timeout(outcome.map(drop));
                late += 1;
                if late == 5 {
                    answer.set();
                }
            } else {
                outcome?;
            }
        }
        assert_eq!(asked.get(), 10);
        drop(queries);
        drop(client);
        connection.await?;
        around.end().await
    });
}
