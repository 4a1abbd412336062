//! sqlx, whose pool needs a tokio runtime, with a real PostgreSQL: alone, and in handlers of axum.

use crate::{
    servers::start,
    support::{LOOPBACK, MS, is_cancelled, is_timeout, run_with_tokio},
};
use asyncio::{Error, Event, Result, create_task, gather, sleep, wait_for};
use asyncio_http::{Client, StatusCode, serve};
use asyncio_test_servers::Server;
use axum::{Router, extract::State, routing::get};
use sqlx::{PgPool, postgres::PgPoolOptions};
use std::{cell::Cell, rc::Rc};

/// The number of sessions in a pool.
const SESSIONS: u32 = 3;

async fn pool(port: u16) -> Result<PgPool> {
    let url = format!("postgres://postgres@127.0.0.1:{port}/postgres");
    let pool = PgPoolOptions::new().max_connections(SESSIONS).connect(&url).await?;
    let table = "CREATE TABLE IF NOT EXISTS rows (author TEXT NOT NULL)";
    sqlx::raw_sql(table).execute(&pool).await?;
    Ok(pool)
}

async fn count(pool: &PgPool, author: &str) -> Result<i64> {
    let count = sqlx::query_scalar("SELECT count(*) FROM rows WHERE author = $1");
    Ok(count.bind(author).fetch_one(pool).await?)
}

/// Waits until all sessions are in the pool again. By then, dropped queries have ended at the server.
async fn until_idle(pool: &PgPool) -> Result<()> {
    while pool.num_idle() < pool.size() as usize {
        sleep(MS).await?;
    }
    Ok(())
}

/// No query reads the response of another one that a limit or a cancellation has interrupted, at any point.
#[test]
fn queries_that_were_given_up_leave_the_pool_in_order() {
    let Some(server) = start(Server::postgres) else { return };
    let port = server.port();
    run_with_tokio(async move {
        let pool = pool(port).await?;
        let (mut given_up, mut whole) = (0, 0);
        for n in 0..30_u32 {
            let sql = "SELECT repeat('x', 100) FROM generate_series(1, 2000), pg_sleep(0.01)";
            let asked = pool.clone();
            let query = async move { Ok(sqlx::query(sql).fetch_all(&asked).await?.len()) };
            let outcome = match n % 2 {
                0 => wait_for(query, (n % 20) * 2 * MS).await,
                _ => {
                    let task = create_task(query);
                    sleep((n % 20) * 2 * MS).await?;
                    task.cancel();
                    task.await
                }
            };
            match outcome {
                Ok(rows) => {
                    assert_eq!(rows, 2000);
                    whole += 1;
                }
                Err(error) if n % 2 == 0 => is_timeout(Err(error)),
                Err(error) => is_cancelled(Err(error)),
            }
            given_up = n + 1 - whole;
            for n in 0..i64::from(SESSIONS) {
                let number = sqlx::query_scalar::<_, i64>("SELECT $1::int8").bind(n);
                assert_eq!(number.fetch_one(&pool).await?, n);
            }
        }
        assert!(given_up > 0);
        until_idle(&pool).await?;
        pool.close().await;
        Ok(())
    });
}

#[test]
fn a_transaction_that_was_given_up_is_rolled_back() {
    let Some(server) = start(Server::postgres) else { return };
    let port = server.port();
    run_with_tokio(async move {
        let pool = pool(port).await?;
        for by_limit in [true, false, true, false] {
            let (inserted, asked) = (Rc::new(Event::new()), pool.clone());
            let tell = inserted.clone();
            let task = create_task(async move {
                let mut transaction = asked.begin().await?;
                let insert = sqlx::query("INSERT INTO rows VALUES ('given up')");
                insert.execute(&mut *transaction).await?;
                tell.set();
                // The task is suspended in the library when it is ended.
                let wait = sqlx::query("SELECT pg_sleep(0.1)");
                let wait = async { Ok(wait.execute(&mut *transaction).await?) };
                wait_for(wait, by_limit.then_some(10 * MS)).await?;
                Ok(transaction.commit().await?)
            });
            inserted.wait().await?;
            if by_limit {
                is_timeout(task.await);
            } else {
                sleep(10 * MS).await?;
                task.cancel();
                is_cancelled(task.await);
            }
            until_idle(&pool).await?;
            assert_eq!(count(&pool, "given up").await?, 0);
        }
        pool.close().await;
        Ok(())
    });
}

#[test]
fn a_server_that_dies_is_noticed_and_comes_back() {
    let Some(server) = start(Server::postgres) else { return };
    let (port, handle) = (server.port(), server.handle());
    run_with_tokio(async move {
        let pool = pool(port).await?;
        let asked = pool.clone();
        let waiting = create_task(async move {
            Ok(sqlx::query("SELECT pg_sleep(3600)").execute(&asked).await.map(drop)?)
        });
        while pool.num_idle() > 0 {
            sleep(MS).await?;
        }
        handle.kill().await?;
        let error = waiting.await.unwrap_err();
        assert!(!error.is_cancelled() && !error.is_timeout(), "{error:?}");
        handle.start().await?;
        // The pool notices for each of its sessions that it is closed.
        assert_eq!(count(&pool, "nobody").await?, 0);
        pool.close().await;
        Ok(())
    });
}

/// Inserts a row for the author, which takes a while.
async fn insert(State(pool): State<PgPool>, author: String) -> Result<String, StatusCode> {
    let rows = async {
        let mut transaction = pool.begin().await?;
        let insert = sqlx::query("INSERT INTO rows VALUES ($1)").bind(&author);
        insert.execute(&mut *transaction).await?;
        sqlx::query("SELECT pg_sleep(0.002)").execute(&mut *transaction).await?;
        transaction.commit().await
    };
    rows.await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    Ok(author)
}

/// Clients that disconnect in the middle of a query do not affect others, and a graceful stop loses no request:
/// there are as many rows as responses.
#[test]
fn under_load_that_is_half_given_up_no_request_is_lost() {
    let Some(server) = start(Server::postgres) else { return };
    let port = server.port();
    run_with_tokio(async move {
        let pool = pool(port).await?;
        let app = Router::new().route("/", get(insert)).with_state(pool.clone());
        let stop = Event::new();
        let server = serve(app, LOOPBACK).graceful(&stop, 3600 * 1000 * MS).await?;
        let url = format!("http://{}/", server.local_addr());
        let (client, answers, left) = (Client::new(), Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let clients: Vec<_> = (0..20_u32)
            .map(|n| {
                let (client, url) = (client.clone(), url.clone());
                let (answers, left) = (answers.clone(), left.clone());
                create_task(async move {
                    let (stays, author) = (n % 2 == 0, if n % 2 == 0 { "stays" } else { "leaves" });
                    loop {
                        let request = client.get(&url).body(author);
                        let request = async { request.await?.raise_for_status()?.text().await };
                        let limit = (!stays).then_some((left.get() % 10) * MS);
                        match wait_for(request, limit).await {
                            Ok(text) => assert_eq!(text, author),
                            Err(error) if !stays && error.is_timeout() => left.set(left.get() + 1),
                            // The server has stopped.
                            Err(_) => return Ok(()),
                        }
                        answers.set(answers.get() + u32::from(stays));
                    }
                })
            })
            .collect();
        while answers.get() < 60 || left.get() < 30 {
            sleep(MS).await?;
        }
        stop.set();
        server.serve_forever().await?;
        gather(clients).await?;
        until_idle(&pool).await?;
        assert_eq!(count(&pool, "stays").await?, i64::from(answers.get()));
        let bad: Error = client.get(&url).await.unwrap_err();
        assert!(!bad.is_timeout());
        pool.close().await;
        Ok(())
    });
}
