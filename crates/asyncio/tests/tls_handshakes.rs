//! Thousands of handshakes that are given up at any point leave no descriptor, no connection and no task; nor does
//! anything else that is done with a connection. In a process of its own, since it counts all descriptors that
//! there are.
#![cfg(feature = "tls")]

mod tls_contexts;

use asyncio::{
    Address, Bytes, Error, Protocol, Result, StreamReader, StreamWriter, Task, Transport,
    all_tasks, create_connection, create_server, create_task, open_connection, sleep,
    ssl::{self, SslContext},
    start_server,
};
use std::{
    cell::Cell,
    rc::Rc,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tls_contexts::contexts;

/// `cargo xtask ci` runs this in a release build as well.
const HANDSHAKES: usize = if cfg!(debug_assertions) { 1_000 } else { 10_000 };
const AT_ONCE: usize = 100;

/// Counts the connections that are made and not lost.
struct Counted(Rc<Cell<i64>>);

impl Protocol for Counted {
    fn connection_made(&mut self, transport: &Transport) {
        self.0.set(self.0.get() + 1);
        transport.write(b"hello");
    }

    fn data_received(&mut self, _: &Transport, _: Bytes) {}

    fn connection_lost(&mut self, _: &Transport, _: Option<Error>) {
        self.0.set(self.0.get() - 1);
    }
}

/// The tests of this file run one after another, because each counts the descriptors of the process.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn open_files() -> usize {
    std::fs::read_dir("/dev/fd").unwrap().count()
}

#[test]
fn handshakes_given_up_anywhere_leave_nothing_behind() {
    let _alone = alone();
    asyncio::run(async {
        // What the loop opens at first use.
        sleep(Duration::ZERO).await?;
        let (theirs, ours) = contexts();
        let (before, alive) = (open_files(), Rc::new(Cell::new(0)));
        let counted = alive.clone();
        let server = create_server(move || Counted(counted.clone()), ("127.0.0.1", 0));
        let server = server.ssl(theirs).backlog(1024).await?;
        let address = server.local_addr();
        for wave in 0..HANDSHAKES / AT_ONCE {
            let connecting: Vec<Task<Transport>> = (0..AT_ONCE)
                .map(|_| {
                    let (ours, counted, address) = (ours.clone(), alive.clone(), address.clone());
                    create_task(async move {
                        let connecting = create_connection(move || Counted(counted), address);
                        let connecting = connecting.ssl(ours).server_hostname("localhost");
                        connecting.transport().await
                    })
                })
                .collect();
            for (number, task) in connecting.into_iter().enumerate() {
                if number % 5 == 0 {
                    // Some have come further than others, and each wave has another beginning.
                    for _ in 0..(wave * 7 + number) % 4 {
                        sleep(Duration::ZERO).await?;
                    }
                }
                match number % 4 {
                    0 => _ = task.cancel(),
                    1 if task.done() => task.await?.abort(),
                    2 => {
                        _ = task.add_done_callback(|task| {
                            if let Ok(transport) = task.result() {
                                transport.close();
                            }
                        })
                    }
                    _ => {
                        task.cancel();
                        match task.await {
                            Ok(transport) => transport.close(),
                            Err(error) => assert!(error.is_cancelled(), "{error}"),
                        }
                    }
                }
            }
        }
        server.close();
        server.abort_clients();
        server.wait_closed().await?;
        // What is left is this task.
        while alive.get() > 0 || open_files() > before || all_tasks()?.len() > 1 {
            sleep(Duration::from_millis(1)).await?;
        }
        assert_eq!((alive.get(), open_files(), all_tasks()?.len()), (0, before, 1));
        Result::Ok(())
    })
    .unwrap();
}

/// What is done with a connection, and given up.
#[derive(Clone, Copy, Debug)]
enum Operation {
    Read,
    Drain,
    Close,
    Upgrade,
}

/// `secure` and `plain` are the addresses of two servers.
async fn perform(
    operation: Operation,
    ours: SslContext,
    secure: Address,
    plain: Address,
) -> Result<()> {
    if let Operation::Upgrade = operation {
        let (_reader, mut writer) = open_connection(plain).await?;
        return writer.start_tls(ours).server_hostname("localhost").await;
    }
    let opening = open_connection(secure).ssl(ours).server_hostname("localhost");
    let (mut reader, writer) = opening.await?;
    match operation {
        Operation::Read => reader.read(1).await.map(drop),
        Operation::Drain => loop {
            writer.write([0; 100_000]);
            writer.drain().await?;
        },
        _ => {
            writer.close();
            writer.wait_closed().await
        }
    }
}

#[test]
fn what_is_given_up_at_any_step_leaves_nothing_behind() {
    use Operation::{Close, Drain, Read, Upgrade};
    let _alone = alone();
    asyncio::run(async {
        sleep(Duration::ZERO).await?;
        let (theirs, ours) = contexts();
        let before = open_files();
        // Neither of the servers reads what it is sent.
        let waits = async |_reader: StreamReader, writer: StreamWriter| {
            let _ = writer.wait_closed().await;
            Ok(())
        };
        let secure = start_server(waits, ("127.0.0.1", 0)).ssl(theirs.clone()).await?;
        let upgrades = async move |_reader: StreamReader, mut writer: StreamWriter| {
            if writer.start_tls(theirs.clone()).await.is_ok() {
                let _ = writer.wait_closed().await;
            }
            Ok(())
        };
        let plain = start_server(upgrades, ("127.0.0.1", 0)).await?;
        for operation in [Read, Drain, Close, Upgrade] {
            let mut cancelled = 0;
            for steps in 0..20 {
                let (secure, plain) = (secure.local_addr(), plain.local_addr());
                let task = create_task(perform(operation, ours.clone(), secure, plain));
                for _ in 0..steps {
                    sleep(Duration::ZERO).await?;
                }
                task.cancel();
                match task.await {
                    Ok(()) => {}
                    Err(error) => {
                        assert!(error.is_cancelled(), "{operation:?} {steps}: {error}");
                        cancelled += 1;
                    }
                }
            }
            assert!(cancelled > 0, "{operation:?}");
        }
        for server in [&secure, &plain] {
            server.close();
            server.abort_clients();
            server.wait_closed().await?;
        }
        while open_files() > before || all_tasks()?.len() > 1 {
            sleep(Duration::from_millis(1)).await?;
        }
        assert_eq!((open_files(), all_tasks()?.len()), (before, 1));
        Result::Ok(())
    })
    .unwrap();
}
