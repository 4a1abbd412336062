//! Thousands of handshakes that are given up at any point leave no descriptor, no connection and no task.
//! In a separate process, because it counts all open descriptors.
#![cfg(feature = "tls")]

mod tls_contexts;

use asyncio::{
    Bytes, Error, Protocol, Result, Task, Transport, all_tasks, create_connection, create_server,
    create_task, sleep,
};
use std::{cell::Cell, rc::Rc, time::Duration};
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

fn open_files() -> usize {
    std::fs::read_dir("/dev/fd").unwrap().count()
}

#[test]
fn handshakes_given_up_anywhere_leave_nothing_behind() {
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
