//! Objects of one loop that are awaited in another loop of the same thread: this is an error, not a
//! hang. Locks, queues and plain futures belong to no loop.

use asyncio::{
    AsyncContextManager, Awaitable, ConcurrentFuture, Error, EventLoop, Future, Lock, Queue,
    Result, StreamReader, StreamWriter, TaskGroup, TaskStatus, as_completed, cancellable,
    create_subprocess_exec, create_task, gather, generator, get_running_loop, open_connection,
    shield, sleep, sock_accept, sock_recv, start_server, timeout, wait, wait_for, wait_readable,
    wrap_future,
};
use asyncio::{
    signals::{SIGUSR2, receive_signals},
    socket::Socket,
    staggered::staggered_race,
    subprocess::PIPE,
};
use asyncio_tests::support::{MS, poll_once, virtual_loop};
use std::{
    future::Future as StdFuture,
    net::{TcpListener, TcpStream},
    pin::Pin,
    rc::Rc,
    sync::mpsc,
    time::Duration,
};

const HOUR: Duration = Duration::from_secs(3600);

type Leaf = Pin<Box<dyn StdFuture<Output = Result<()>>>>;

fn leaf<T>(leaf: impl StdFuture<Output = Result<T>> + 'static) -> Leaf {
    Box::pin(async move { leaf.await.map(drop) })
}

/// Awaits, within a limit, an object in a loop other than the one that created it. If `is_begun`,
/// its own loop polled it first.
fn awaited_elsewhere(is_begun: bool, make: impl AsyncFnOnce() -> Result<Leaf> + 'static) -> Error {
    let (one, other) = (asyncio::new_event_loop().unwrap(), virtual_loop());
    let made = one.run_until_complete(async move {
        let mut leaf = make().await?;
        if is_begun {
            assert!(poll_once(&mut leaf).await.is_none(), "it does not wait");
        }
        Ok(leaf)
    });
    let leaf = made.unwrap();
    let outcome = other.run_until_complete(timeout(HOUR).with(async |_| leaf.await));
    other.close().unwrap();
    one.close().unwrap();
    outcome.unwrap_err()
}

#[track_caller]
fn refused(is_begun: bool, make: impl AsyncFnOnce() -> Result<Leaf> + 'static) {
    let error = awaited_elsewhere(is_begun, make);
    assert_eq!(error.kind(), "RuntimeError", "{error:?}");
}

/// Both before its first poll and after.
macro_rules! refused {
    ($make:expr) => {
        for is_begun in [false, true] {
            refused(is_begun, $make);
        }
    };
}

fn task() -> asyncio::Task<()> {
    create_task(sleep(HOUR))
}

#[test]
fn tasks_and_what_is_made_of_them() {
    refused!(async || Ok(leaf(task())));
    refused!(async || Ok(leaf(task().any().into_future())));
    refused!(async || Ok(leaf(gather([task()]).into_future())));
    refused!(async || Ok(leaf(gather([task()]).into_inner())));
    refused!(async || Ok(leaf(asyncio::gather!(sleep(HOUR), task()).into_future())));
    refused!(async || Ok(leaf(wait([task()]).into_future())));
    refused!(async || Ok(leaf(shield(task()))));
    refused!(async || {
        let mut soonest = as_completed([sleep(HOUR)]);
        Ok(leaf(async move { soonest.next().await.expect("one") }))
    });
    refused!(async || Ok(leaf(as_completed([task()]).next_future().expect("one"))));
}

#[test]
fn what_is_made_here_of_tasks_that_are_not_from_here() {
    refused(false, async || {
        let task = task();
        Ok(leaf(async move { gather([task]).await }))
    });
    refused(false, async || {
        let task = task();
        Ok(leaf(async move { shield(task).await }))
    });
    refused(false, async || {
        let task = task();
        Ok(leaf(async move { wait_for(task, Duration::ZERO).await }))
    });
    refused(false, async || {
        let task = task();
        Ok(leaf(async move { as_completed([task]).next().await.expect("one") }))
    });
}

#[test]
fn times_and_scopes() {
    refused(true, async || Ok(leaf(sleep(HOUR))));
    refused(true, async || Ok(leaf(wait_for(Future::<()>::new(), HOUR))));
    refused(true, async || Ok(leaf(timeout(HOUR).with(async |_| Future::<()>::new().await))));
    refused(true, async || Ok(leaf(cancellable(Future::<()>::new()))));
    refused(true, async || {
        Ok(leaf(TaskGroup::new().with(async |group| {
            drop(group.create_task(sleep(HOUR)));
            Ok(())
        })))
    });
    refused(true, async || {
        Ok(leaf(
            TaskGroup::new()
                .with(async |group| group.start(async |_: TaskStatus<()>| sleep(HOUR).await).await),
        ))
    });
    refused(true, async || {
        let attempt = || async { sleep(HOUR).await };
        Ok(leaf(staggered_race([attempt], None)))
    });
    refused(true, async || {
        let mut naps = generator(async |y| {
            sleep(HOUR).await?;
            y.send(()).await
        });
        Ok(leaf(async move { naps.next().await.expect("one") }))
    });
}

#[test]
fn signals() {
    refused!(async || {
        let mut signals = receive_signals([SIGUSR2])?;
        Ok(leaf(async move { signals.next().await.expect("one") }))
    });
}

#[test]
fn jobs_of_threads() {
    refused!(async || {
        let (release, released) = mpsc::channel::<()>();
        let job = get_running_loop()?.run_in_executor(None, move || released.recv().is_ok())?;
        Ok(leaf(async move {
            let outcome = job.await;
            drop(release);
            outcome
        }))
    });
    refused!(async || Ok(leaf(wrap_future(ConcurrentFuture::<()>::new())?)));
    refused!(async || {
        let (release, released) = mpsc::channel::<()>();
        drop(get_running_loop()?.run_in_executor(None, move || released.recv().is_ok())?);
        let ending = get_running_loop()?.shutdown_default_executor(None);
        Ok(leaf(async move {
            let outcome = ending.await;
            drop(release);
            outcome
        }))
    });
}

#[test]
fn sockets() {
    refused(true, async || {
        let listener = Socket::from_fd(TcpListener::bind("127.0.0.1:0")?)?;
        Ok(leaf(async move { sock_accept(&listener).await }))
    });
    refused(true, async || {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let peer = TcpStream::connect(listener.local_addr()?)?;
        Ok(leaf(async move {
            let outcome = wait_readable(&peer).await;
            drop(listener);
            outcome
        }))
    });
    refused(true, async || {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let peer = Socket::from_fd(TcpStream::connect(listener.local_addr()?)?)?;
        Ok(leaf(async move {
            let outcome = sock_recv(&peer, 9).await;
            drop(listener);
            outcome
        }))
    });
}

#[test]
fn streams_and_servers() {
    async fn connected() -> Result<(StreamReader, StreamWriter, TcpListener)> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let (reader, writer) = open_connection(listener.local_addr()?).await?;
        Ok((reader, writer, listener))
    }
    refused!(async || {
        let (mut reader, writer, listener) = connected().await?;
        Ok(leaf(async move {
            let outcome = reader.readline().await;
            drop((writer, listener));
            outcome
        }))
    });
    refused!(async || {
        let (reader, writer, listener) = connected().await?;
        writer.write(vec![0; 16 << 20]);
        Ok(leaf(async move {
            let outcome = writer.drain().await;
            drop((reader, listener));
            outcome
        }))
    });
    refused!(async || {
        let (reader, writer, listener) = connected().await?;
        Ok(leaf(async move {
            let outcome = writer.wait_closed().await;
            drop((reader, listener));
            outcome
        }))
    });
    let serve = async || {
        let handler = async |_: StreamReader, _: StreamWriter| Ok(());
        start_server(handler, ("127.0.0.1", 0)).await
    };
    refused!(async move || {
        let server = serve().await?;
        Ok(leaf(async move { server.serve_forever().await }))
    });
    refused!(async move || {
        let server = serve().await?;
        Ok(leaf(async move { server.wait_closed().await }))
    });
}

#[test]
fn processes() {
    refused!(async || {
        let process = create_subprocess_exec("sleep", ["1000"]).await?;
        let ended = process.wait();
        process.kill()?;
        Ok(leaf(ended))
    });
    refused!(async || {
        let process = create_subprocess_exec("cat", ()).stdin(PIPE).stdout(PIPE).await?;
        Ok(leaf(async move {
            let mut process = process;
            process.communicate(None).await
        }))
    });
}

#[test]
fn what_belongs_to_no_loop_goes_on_in_another() -> Result<()> {
    let (one, other) = (virtual_loop(), virtual_loop());
    let (lock, queue, future) = (Rc::new(Lock::new(())), Rc::new(Queue::new(0)), Future::new());
    let (l, q, f) = (lock.clone(), queue.clone(), future.clone());
    one.run_until_complete(async move {
        drop(l.acquire().await?);
        q.put_nowait(1)?;
        f.set_result(2).map_err(Error::from)
    })?;
    let sum = other.run_until_complete(async move {
        let _guard = lock.acquire().await?;
        Ok(queue.get().await? + future.await?)
    })?;
    assert_eq!(sum, 3);
    one.close()?;
    other.close()
}

#[test]
fn a_future_of_a_closed_loop_is_refused() -> Result<()> {
    let (one, other): (EventLoop, EventLoop) = (virtual_loop(), virtual_loop());
    let gathered = one.run_until_complete(async {
        let never = async { Future::<()>::new().await };
        Ok(gather([never]).into_inner())
    })?;
    one.run_until_complete(sleep(MS))?;
    one.close()?;
    let outcome = other.run_until_complete(async move { gathered.await });
    assert_eq!(outcome.unwrap_err().kind(), "RuntimeError");
    other.close()
}

#[test]
fn a_loop_that_closes_ends_what_another_thread_awaits() -> Result<()> {
    let event_loop = virtual_loop();
    let (gathered, shielded) = event_loop.run_until_complete(async {
        let gathered = gather([sleep(HOUR)]).into_inner();
        let Awaitable::Future(shielded) = shield(sleep(HOUR)).into_inner() else { unreachable!() };
        Ok((gathered, shielded))
    })?;
    let (waits, waiting) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let both = futures_lite::future::zip(gathered, shielded);
        let mut both = std::pin::pin!(both);
        futures_lite::future::block_on(async {
            assert!(futures_lite::future::poll_once(both.as_mut()).await.is_none());
            waits.send(()).unwrap();
            let (gathered, shielded) = both.await;
            (gathered.unwrap_err().kind(), shielded.unwrap_err().kind())
        })
    });
    waiting.recv().unwrap();
    event_loop.close()?;
    assert_eq!(thread.join().unwrap(), ("RuntimeError", "RuntimeError"));
    Ok(())
}
