//! Python's asyncio, for Rust.
//!
//! One thread, one event loop, and coroutines that take turns at each `.await`, in the order in which
//! CPython 3.14 lets them: what runs when, who wins a race, and where a cancellation arrives are
//! asyncio's. So are the names. This page is the guide; each item says the rest.
//!
//! # A first program
//!
//! ```
//! use std::time::Duration;
//!
//! async fn say_after(delay: Duration, what: &str) -> asyncio::Result<()> {
//!     asyncio::sleep(delay).await?;
//!     println!("{what}");
//!     Ok(())
//! }
//!
//! #[asyncio::main]
//! async fn main() -> asyncio::Result<()> {
//!     let (short, long) = (Duration::from_millis(10), Duration::from_millis(20));
//!     asyncio::gather!(say_after(short, "Hello"), say_after(long, "World")).await?;
//!     Ok(())
//! }
//! ```
//!
//! A coroutine is an `async fn` that returns [`asyncio::Result`](Result). It does nothing until it is
//! awaited, or given to something that runs it: [`create_task`], [`gather`](gather()), a [`TaskGroup`].
//! [`#[asyncio::main]`](macro@main) runs the first one; [`run`] and [`Runner`] do the same by hand.
//!
//! # Python beside Rust
//!
//! | Python | Rust |
//! |---|---|
//! | `asyncio.run(main())` | [`asyncio::run(main())`](run) |
//! | `await asyncio.sleep(1)` | [`asyncio::sleep(Duration::from_secs(1)).await?`](sleep) |
//! | `t = asyncio.create_task(f())` | [`let t = asyncio::create_task(f())`](create_task) |
//! | `create_task(f(), name="x")` | [`Task::builder().name("x").create(f())`](TaskBuilder) |
//! | `await asyncio.gather(a(), b())` | `asyncio::gather!(a(), b()).await?` |
//! | `await asyncio.gather(*map(a, xs))` | [`asyncio::gather(xs.into_iter().map(a)).await?`](gather()) |
//! | `gather(…, return_exceptions=True)` | [`gather(list).return_exceptions().await?`](Gather::return_exceptions) |
//! | `await asyncio.wait(ts, return_when=FIRST_COMPLETED)` | [`asyncio::wait(ts).return_when(FirstCompleted).await?`](wait) |
//! | `await asyncio.wait_for(f(), 1)` | [`asyncio::wait_for(f(), Duration::from_secs(1)).await`](wait_for) |
//! | `async with asyncio.timeout(1): …` | [`asyncio::timeout(second).with(async \|_\| { … }).await`](timeout) |
//! | `async with TaskGroup() as g: …` | [`TaskGroup::new().with(async \|g\| { … }).await`](TaskGroup) |
//! | `async with lock: …` | [`let guard = lock.acquire().await?;`](Lock) |
//! | `async for x in stream: …` | `while let Some(x) = stream.next().await { … }` |
//! | `async def f(): yield x` | [`asyncio::generator(async \|y\| { y.send(x).await?; Ok(()) })`](generator()) |
//! | `try: … except CancelledError: …` | `match … { Err(Error::Cancelled(_)) => …, other => other? }` |
//! | `raise` | `return Err(error)`, or `?` |
//! | `await asyncio.to_thread(f, x)` | [`asyncio::to_thread(move \|\| f(x)).await?`](to_thread) |
//! | `loop.call_later(1, f, x)` | [`event_loop.call_later(second, move \|\| f(x))?`](EventLoop::call_later) |
//! | `r, w = await asyncio.open_connection(host, 80)` | [`let (mut r, w) = asyncio::open_connection((host, 80)).await?`](open_connection) |
//! | `await asyncio.start_server(cb, host, 80, backlog=9)` | [`asyncio::start_server(cb, (host, 80)).backlog(9).await?`](start_server) |
//! | `await asyncio.create_subprocess_exec("ls", "-l", stdout=PIPE)` | [`create_subprocess_exec("ls", ["-l"]).stdout(PIPE).await?`](create_subprocess_exec) |
//! | `async with server: await server.serve_forever()` | [`server.with(async \|s\| s.serve_forever().await).await`](Server) |
//! | `await reader.read()` | [`reader.read_to_end().await?`](StreamReader::read_to_end) |
//! | `w.write(b"hi"); await w.drain()` | [`w.write(b"hi"); w.drain().await?`](StreamWriter) |
//! | `w.get_extra_info("peername")` | [`w.get_extra_info(PEERNAME)`](StreamWriter::get_extra_info) |
//! | `loop.create_server(Echo, host, 80)` | [`asyncio::create_server(\|\| Echo, (host, 80)).await?`](create_server) |
//! | `loop.sock_recv(sock, 1024)` | [`asyncio::sock_recv(&sock, 1024).await?`](sock_recv) |
//!
//! What is an argument by position there is one here. A keyword argument is a method of the value
//! that the call returns, and `.await` runs it. `async with x as y` is `x.with(async |y| { … })`,
//! which every [`AsyncContextManager`] has, also your own; bring it in by `use asyncio::prelude::*`.
//!
//! # Errors
//!
//! There is one type of error, [`Error`], as there is one hierarchy of exceptions. It can be matched,
//! and `?` makes one of any error that implements `std::error::Error`.
//!
//! ```
//! use asyncio::Error;
//!
//! async fn read_port(path: &str) -> asyncio::Result<u16> {
//!     let text = std::fs::read_to_string(path)?; // An io::Error comes in …
//!     Ok(text.trim().parse()?) // … and a ParseIntError.
//! }
//!
//! # #[asyncio::main]
//! # async fn main() -> asyncio::Result<()> {
//! match read_port("no such file").await {
//!     Err(Error::Io(error)) => println!("{error}; taking 8888"),
//!     port => println!("{}", port?),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! An error in a task is the result of the task: whoever awaits it gets it. Errors that nobody asks
//! for go to the loop's exception handler, by default into the log. A panic in a task is the error
//! [`Error::Panic`] of that task; the loop and the other tasks go on.
//!
//! # Cancellation
//!
//! [`task.cancel()`](AnyTask::cancel) makes the await at which the task is suspended return
//! `Err(Error::Cancelled(_))`. That is an error like any other: `?` passes it on, and on its way out
//! the task can clean up, also with awaits.
//!
//! ```
//! use asyncio::Error;
//! use std::time::Duration;
//!
//! async fn poll_for_ever() -> asyncio::Result<()> {
//!     let outcome = async {
//!         loop {
//!             asyncio::sleep(Duration::from_millis(10)).await?;
//!         }
//!     }
//!     .await;
//!     // `finally:`, which may take its time.
//!     asyncio::sleep(Duration::from_millis(1)).await?;
//!     println!("the connection is closed");
//!     outcome
//! }
//!
//! # #[asyncio::main]
//! # async fn main() -> asyncio::Result<()> {
//! let task = asyncio::create_task(poll_for_ever());
//! asyncio::sleep(Duration::from_millis(25)).await?;
//! task.cancel();
//! match task.await {
//!     Err(Error::Cancelled(_)) => println!("it was cancelled"),
//!     outcome => outcome?,
//! }
//! # Ok(())
//! # }
//! ```
//!
//! - A task that is about to go on, because what it waits for has arrived, is cancelled all the same;
//!   what had arrived is left for others: the item stays in the queue, the lock is passed on.
//! - A cancellation waits for the next await that suspends. One that has its result at once does not
//!   return it.
//! - [`timeout`], [`wait_for`] and [`TaskGroup`] cancel, and turn what comes back into their own
//!   outcome. [`shield`] keeps a cancellation away from what it awaits.
//! - Do not swallow it. A task that handles `Error::Cancelled` and goes on looks, to whoever cancelled
//!   it, as if it had refused. In `match`es over errors let it through, or ask
//!   [`Error::is_cancelled`].
//! - Dropping a future also ends it, as anywhere in Rust, but gives it no chance to await. Everything
//!   here can be dropped at any await without losing a wake-up or an item. Prefer to cancel.
//!
//! # Futures of other crates
//!
//! Anything that is a `Future` can be awaited. What is not of this workspace knows nothing of our
//! cancellation; so it is dropped, at the innermost scope around it, and the scope returns
//! `Err(Cancelled)`. Every `x.with(…)`, [`wait_for`] and task is such a scope, and [`cancellable`]
//! makes one anywhere:
//!
//! ```
//! use std::{future::pending, time::Duration};
//!
//! # #[asyncio::main]
//! # async fn main() -> asyncio::Result<()> {
//! let task = asyncio::create_task(async {
//!     let answer = asyncio::cancellable(async { Ok(pending::<u32>().await) }).await;
//!     if answer.is_err() {
//!         println!("the request was dropped; now the clean-up");
//!         asyncio::sleep(Duration::from_millis(1)).await?;
//!     }
//!     answer
//! });
//! asyncio::sleep(Duration::from_millis(1)).await?;
//! task.cancel();
//! assert!(task.await.unwrap_err().is_cancelled());
//! # Ok(())
//! # }
//! ```
//!
//! A future that needs the reactor of another runtime (sockets and timers of tokio, say) has to run under
//! that. The other way round, locks, queues and futures of this workspace work under any executor.
//!
//! # Several awaits in one task
//!
//! A task can await several things at once: with [`join!`], [`try_join!`] and [`select!`], and with what
//! other crates offer (`futures::join!`, `FuturesUnordered`, `buffered(n)`, a web framework that polls its
//! handlers in the task of the connection). A request to cancel then reaches what it is meant for:
//!
//! - The task, each `x.with(…)`, [`timeout`], [`wait_for`], [`TaskGroup`], [`cancellable`] and each branch of
//!   the three macros is a *scope*. Scopes form a tree: each is inside of the one in which it is polled.
//! - A request comes from a scope, and reaches what is inside of that: `cancel()` the whole task, an expired
//!   deadline or an aborting group its own part. [`cancelling()`](AnyTask::cancelling) counts the requests
//!   on the current path.
//!
//! ```
//! use std::time::Duration;
//!
//! # #[asyncio::main]
//! # async fn main() -> asyncio::Result<()> {
//! let mut worker = asyncio::create_task(async {
//!     asyncio::sleep(Duration::from_millis(30)).await?;
//!     Ok("done")
//! });
//! let jobs = asyncio::Queue::new(0);
//! jobs.put_nowait(Duration::from_secs(60))?;
//! let outcome = loop {
//!     asyncio::select! {
//!         outcome = &mut worker => break outcome?,
//!         job = jobs.get() => {
//!             // The limit ends the job; the worker goes on.
//!             let late = asyncio::wait_for(asyncio::sleep(job?), Duration::from_millis(5)).await;
//!             assert!(late.unwrap_err().is_timeout());
//!         }
//!     }
//! };
//! assert_eq!(outcome, "done");
//! # Ok(())
//! # }
//! ```
//!
//! Some cases cannot be told apart. The remedy is to make the part in question a scope of its own, with
//! [`cancellable`] or one of the macros:
//!
//! - `futures::join!(ours, foreign)` in one scope: our half takes the error, and the foreign half goes on. An
//!   axum handler over HTTP/1 that is suspended in one of our awaits makes an answer of the error, so a
//!   limit around the whole connection has then been used up.
//! - A child of `FuturesUnordered` that had not been polled when the request came is not told.
//! - The body of a generator keeps a request until it is polled again.
//! - A `sleep` or read that was begun and put aside still belongs to the task, and is cancelled with it.
//!
//! The other hazard of many awaits in one task is a fair lock, a permit or an item that is granted to a future
//! which is not polled any more: everything behind it in the line waits. Drop such a future, or keep polling
//! it.
//!
//! # Depth
//!
//! There is no limit like Python's `RecursionError`. Tasks that wait for each other, gathers of gathers,
//! groups of tasks and of errors, and contexts of errors may be nested as deeply as memory allows: they are
//! cancelled, ended, shown and dropped without recursion. A coroutine that awaits a boxed coroutine, which
//! awaits another one, is different: Rust polls and drops nested values by recursion, so a chain of tens of
//! thousands of them overflows the stack. Make a task of each, or write a loop.
//!
//! # Threads
//!
//! A loop, its tasks and its callbacks stay on one thread, so what they share may be `Rc` and
//! `RefCell`, and between two awaits nobody interferes. Work that blocks goes to another thread by
//! [`to_thread`]; other threads reach the loop through its [`LoopHandle`]:
//!
//! ```
//! # #[asyncio::main]
//! # async fn main() -> asyncio::Result<()> {
//! let text = asyncio::to_thread(|| std::fs::read_to_string("Cargo.toml")).await??;
//! assert!(!text.is_empty());
//!
//! let answer = asyncio::Future::new();
//! let (setter, event_loop) = (answer.clone(), asyncio::get_running_loop()?.handle());
//! std::thread::spawn(move || {
//!     event_loop.call_soon_threadsafe(move || setter.set_result("from another thread"))
//! });
//! assert_eq!(answer.await?, "from another thread");
//! # Ok(())
//! # }
//! ```
//!
//! [`run_coroutine_threadsafe`] runs a whole coroutine on a loop in another thread.
//!
//! # Testing
//!
//! Under the virtual clock no time passes while something is ready, and none is spent waiting when
//! nothing is: the clock jumps to the next timer. So a test can sleep for a day, and its times are
//! exact. When nothing is left that could wake anybody, the run ends with [`Error::Deadlock`], which
//! names every task and the line at which it waits.
//!
//! ```
//! # mod tests {
//! use std::time::Duration;
//!
//! #[asyncio::test(virtual_time = true)]
//! async fn it_gives_up_after_a_day() -> asyncio::Result<()> {
//!     let day = Duration::from_secs(24 * 3600);
//!     let outcome = asyncio::wait_for(asyncio::Future::<()>::new(), day).await;
//!     assert!(outcome.unwrap_err().is_timeout());
//!     Ok(())
//! }
//! # }
//! # fn main() {
//! # use std::time::Duration;
//! let stuck = asyncio::Runner::new().virtual_time(true).with(|runner| {
//!     runner.run(async { asyncio::Future::<()>::new().await })
//! });
//! assert!(matches!(stuck, Err(asyncio::Error::Deadlock(_))));
//! # }
//! ```
//!
//! In a program that runs, [`all_tasks`] lists the tasks, and [`AnyTask::wait_site`] says of each where
//! it waits.
//!
//! # Features
//!
//! A feature selects a crate, or conversions; none changes what another part does.
//!
//! | feature | default | what it adds |
//! |---|---|---|
//! | `locks` | yes | [`Lock`], [`Event`], [`Condition`], [`Semaphore`], [`BoundedSemaphore`], [`Barrier`] |
//! | `queues` | yes | [`Queue`], [`PriorityQueue`], [`LifoQueue`], [`channel()`] |
//! | `sockets` | yes | [`sock_recv`] and its like, [`socket::Socket`], [`Address`] |
//! | `transports` | yes | [`create_connection`], [`create_server`], [`create_datagram_endpoint`], pipes; with `sockets` |
//! | `streams` | yes | [`open_connection`], [`start_server`], [`StreamReader`], [`StreamWriter`]; with `transports` |
//! | `subprocess` | yes | [`create_subprocess_exec`], [`create_subprocess_shell`], [`subprocess`]; with `streams` |
//! | `macros` | yes | [`#[asyncio::main]`](macro@main), [`#[asyncio::test]`](macro@test) |
//! | `tokio` | no | tokio's `AsyncRead` and `AsyncWrite` for streams; with `streams` |
//! | `hyper` | no | hyper's `Read` and `Write` for `streams::Duplex`; with `streams` |
//! | `tls` | no | TLS over rustls: the module `ssl`, `start_tls`, `.ssl(…)` of what makes connections, servers and streams; with `transports` |
//! | `webpki-roots` | no | Mozilla's certificate authorities beside those of the system; with `tls` |
//! | `anyhow`, `eyre` | no | `From<Error>` for the error type of that crate |
//!
//! Each part is a crate of its own as well (`asyncio-locks`, `asyncio-queues`, `asyncio-task`, …), for
//! those who want no more than that.

#![forbid(unsafe_code)]

// The names follow asyncio's `__init__`, module by module.

// base_events, events
pub use asyncio_core::exception::ExceptionContext;
pub use asyncio_core::handle::{Handle, ThreadsafeHandle, TimerHandle};
pub use asyncio_loop::{
    Calls, EventLoop, EventLoopBuilder, ExceptionHandler, LoopHandle, Metrics, ShutdownAsyncgens,
    ShutdownDefaultExecutor, TaskFactory, get_event_loop, get_running_loop, new_event_loop,
    set_event_loop,
};

// What asyncio has callbacks for, awaited
pub use asyncio_loop::{WaitReady, wait_readable, wait_writable};

// unix_events: the numbers of signals, and a receiver of them
pub use asyncio_loop::signals;

// What is received: shared, and sliced without copying (Python's `bytes`)
#[cfg(feature = "sockets")]
pub use asyncio_sockets::Bytes;

// The socket operations of the loop, and its look-ups of names
#[cfg(feature = "sockets")]
pub use asyncio_sockets::{
    Address, ToAddress, ToEndpoint, getaddrinfo, getnameinfo, sock_accept, sock_connect, sock_recv,
    sock_recv_into, sock_recvfrom, sock_recvfrom_into, sock_sendall, sock_sendfile, sock_sendto,
};

/// Sockets, and the words in which they and names are described (Python's module `socket`).
#[cfg(feature = "sockets")]
pub mod socket {
    pub use asyncio_sockets::{
        AI_ADDRCONFIG, AI_CANONNAME, AI_NUMERICHOST, AI_NUMERICSERV, AI_PASSIVE, AddrInfo, Domain,
        Endpoint, GetAddrInfo, GetNameInfo, NI_DGRAM, NI_NAMEREQD, NI_NOFQDN, NI_NUMERICHOST,
        NI_NUMERICSERV, Protocol, Service, SockAccept, SockConnect, SockRecv, SockRecvInto,
        SockRecvfrom, SockRecvfromInto, SockSendall, SockSendfile, SockSendto, Socket, Target,
        Type, ensure_resolved,
    };
}

// coroutines, and what Python has in its grammar
pub use asyncio_core::AsyncContextManager;
pub use asyncio_core::scope::{Scope, cancellable};
pub use asyncio_task::{Generator, GeneratorExit, Yielder, generator};

// exceptions
pub use asyncio_core::error::{
    BrokenBarrierError, CancelledError, DeadlockError, Error, ExceptionGroup, IncompleteReadError,
    InvalidStateError, IoError, KeyboardInterrupt, LimitOverrunError, OtherError, PanicError,
    QueueEmpty, QueueFull, QueueShutDown, Result, RuntimeError, SendfileNotAvailableError,
    TimeoutError, ValueError,
};

// futures, and `concurrent.futures`
pub use asyncio_future::{
    CallbackOutput, ConcurrentFuture, DoneCallback, Future, NotPending, Take, wrap_future,
};
pub use asyncio_loop::{ThreadPoolExecutor, ThreadPoolExecutorBuilder};

// graph
pub use asyncio_core::wait_site::WaitSite;

// locks
#[cfg(feature = "locks")]
pub use asyncio_locks::{
    Barrier, BoundedSemaphore, Condition, ConditionGuard, Event, Lock, LockGuard, OwnedLockGuard,
    OwnedPermit, Permit, Permits, Semaphore,
};

// queues
#[cfg(feature = "queues")]
pub use asyncio_queues::{
    Fifo, Lifo, LifoQueue, Order, OrderedQueue, Priority, PriorityQueue, PutError, Queue, Receiver,
    Sender, channel,
};

// protocols
#[cfg(feature = "subprocess")]
pub use asyncio_subprocess::SubprocessProtocol;
#[cfg(feature = "transports")]
pub use asyncio_transports::{BufferedProtocol, DatagramProtocol, Protocol};

// runners
pub use asyncio_loop::{Runner, run};
#[cfg(feature = "macros")]
pub use asyncio_macros::{main, test};

// streams
#[cfg(feature = "streams")]
pub use asyncio_streams::{
    StreamFeeder, StreamReader, StreamReaderProtocol, StreamWriter, open_connection,
    open_unix_connection, start_server, start_unix_server,
};

/// The types behind streams, and their constant.
#[cfg(feature = "streams")]
pub mod streams {
    #[cfg(feature = "tls")]
    pub use asyncio_streams::StartTls;
    pub use asyncio_streams::{
        DEFAULT_LIMIT, Drain, Duplex, IntoSeparators, NextLine, OpenConnection, OpenUnixConnection,
        Opening, Read, ReadExactly, ReadLine, ReadToEnd, ReadUntil, Separators, StartServer,
        StartUnixServer, Starting, WaitClosed,
    };
}

// subprocess
#[cfg(feature = "subprocess")]
pub use asyncio_subprocess::{create_subprocess_exec, create_subprocess_shell};

/// Child processes: what their streams can be, and the types behind them (`asyncio.subprocess`).
#[cfg(feature = "subprocess")]
pub mod subprocess {
    pub use asyncio_subprocess::{
        Account, Communicate, DEVNULL, KillTree, Output, PIPE, Process, ProcessWait, STDOUT, Spawn,
        Spawning, SpawningWithProtocol, Stdio, Streams, WithProtocol,
    };
}

// tasks
pub use asyncio_loop::eager_task_factory;
pub use asyncio_task::ReturnWhen::{self, AllCompleted, FirstCompleted, FirstException};
pub use asyncio_task::{
    Amap, AnyAwait, AnyTask, AsCompleted, Awaitable, Completed, FutureLike, Gather, GatherAll,
    NextCompleted, NextItem, Racing, Retry, Shield, Sleep, Task, TaskBuilder, Wait, WaitFor,
    Waiting, all_tasks, amap, as_completed, create_task, current_task, endless, ensure_future,
    gather, race, retry, run_coroutine_threadsafe, shield, sleep, wait, wait_for,
};

// taskgroups
pub use asyncio_task::{Group, TaskGroup, TaskStatus};

// threads
pub use asyncio_task::{ToThread, to_thread};

// timeouts
pub use asyncio_core::limit::ToTimeout;
pub use asyncio_task::{Deadline, Timeout, Watch, timeout, timeout_at};

// transports, and what makes them
#[cfg(feature = "subprocess")]
pub use asyncio_subprocess::{SubprocessTransport, subprocess_exec, subprocess_shell};
#[cfg(feature = "transports")]
pub use asyncio_transports::{
    DatagramTransport, ExtraInfo, PEERNAME, SOCKET, SOCKNAME, Server, Transport,
    connect_accepted_socket, connect_read_pipe, connect_write_pipe, create_connection,
    create_datagram_endpoint, create_server, create_unix_connection, create_unix_server, sendfile,
};

/// TLS (Python's module `ssl`): the contexts that `ssl` of what makes connections and servers takes,
/// and what can be asked of a connection.
///
/// ```
/// use asyncio::ssl::{Purpose, create_default_context};
///
/// # fn certificate() -> (String, String) {
/// #     let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
/// #     (made.cert.pem(), made.signing_key.serialize_pem())
/// # }
/// # #[asyncio::main]
/// # async fn main() -> asyncio::Result<()> {
/// # let (certificate, key) = certificate();
/// let mut context = create_default_context(Purpose::ClientAuth);
/// context.load_cert_chain_pem(certificate.as_bytes(), key.as_bytes())?;
/// let server = asyncio::start_server(
///     async |mut reader, writer| Ok(writer.write(&reader.readline().await?)),
///     ("127.0.0.1", 0),
/// )
/// .ssl(context)
/// .await?;
///
/// let mut context = create_default_context(Purpose::ServerAuth);
/// context.load_verify_pem(certificate.as_bytes())?;
/// let opening = asyncio::open_connection(server.local_addr()).ssl(context);
/// let (mut reader, writer) = opening.server_hostname("localhost").await?;
/// writer.write(b"hello\n");
/// assert_eq!(reader.readline().await?, "hello\n");
/// # server.close();
/// # Ok(())
/// # }
/// ```
#[cfg(feature = "tls")]
pub mod ssl {
    pub use asyncio_transports::ssl::{
        CIPHER, COMPRESSION, Cipher, PEERCERT, Purpose, SSL_OBJECT, SSLCONTEXT, Ssl, SslContext,
        SslError, SslObject, StartTls, TlsVersion, VerifyMode, create_default_context, rustls,
    };
}

#[cfg(feature = "tls")]
pub use asyncio_transports::ssl::start_tls;

/// The types behind transports.
#[cfg(feature = "transports")]
pub mod transports {
    pub use asyncio_transports::{
        ConnectPipe, ConnectPipeTransport, Connecting, ConnectingTransport, CreateConnection,
        CreateDatagramEndpoint, CreateDatagramTransport, CreateServer, CreateUnixServer,
        CreatingServer, IntoProtocol, Known, Recipient, Sendfile, ServeForever, StartServing,
        TransportSocket, WaitClosed,
    };
}

// contextvars
pub use asyncio_core::context::{Context, ContextVar, Token};

/// asyncio's constants.
pub mod constants {
    pub use asyncio_loop::THREAD_JOIN_TIMEOUT;
    #[cfg(feature = "sockets")]
    pub use asyncio_sockets::SENDFILE_FALLBACK_READBUFFER_SIZE;
    #[cfg(feature = "tls")]
    pub use asyncio_transports::ssl::{
        FLOW_CONTROL_HIGH_WATER_SSL_READ, FLOW_CONTROL_HIGH_WATER_SSL_WRITE, SSL_HANDSHAKE_TIMEOUT,
        SSL_SHUTDOWN_TIMEOUT,
    };
    #[cfg(feature = "transports")]
    pub use asyncio_transports::{ACCEPT_RETRY_DELAY, LOG_THRESHOLD_FOR_CONNLOST_WRITES};
}

/// Races whose runners start one after another.
pub mod staggered {
    pub use asyncio_task::{Race, staggered_race};
}

/// The traits whose methods a program calls without naming them.
///
/// ```
/// use asyncio::prelude::*;
/// # async fn example() -> asyncio::Result<()> {
/// asyncio::TaskGroup::new().with(async |_group| Ok(())).await
/// # }
/// ```
pub mod prelude {
    pub use crate::{AsyncContextManager, FutureLike};
}

#[cfg(feature = "macros")]
mod branch_macros;

#[cfg(feature = "macros")]
#[doc(hidden)] // For the code that attributes and macros make.
#[path = "macro_support.rs"]
pub mod __macros;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
