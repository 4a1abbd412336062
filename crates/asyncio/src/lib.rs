//! Python's asyncio, for Rust.
//!
//! One thread, one event loop, and tasks that take turns at each `.await`. The names, the order in which
//! tasks run, and the way in which they are cancelled are those of CPython 3.14.
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
//! # Is it for you?
//!
//! asyncio is a good choice if
//! - you know asyncio, or are porting a program from it;
//! - tasks have to clean up when they are cancelled, and the clean-up has to await;
//! - tasks share state, and you would rather use `Rc` than `Arc<Mutex<…>>`;
//! - tests should be fast, repeatable, and find deadlocks: time can be virtual;
//! - you want to know at any moment which task waits for what.
//!
//! asyncio is the wrong choice if
//! - one program has to spread its tasks over many cores (use tokio: a loop of asyncio is one
//!   thread);
//! - you depend on libraries whose handlers run on tokio's threads, such as `axum::serve` (libraries such as
//!   reqwest work, with the crate `asyncio-tokio`);
//! - you need Windows, or io_uring.
//!
//! # Where to go
//!
//! | you want to | read |
//! |---|---|
//! | learn it from the beginning | [the guide](guide), from [First steps](guide::first_steps) on |
//! | find what you would write in Python | [From Python, idiom by idiom](guide::from_python) |
//! | compare it with tokio | [From tokio](guide::from_tokio) |
//! | understand a compile error about `'static` | [Sharing state](guide::sharing_state) |
//! | understand cancellation | [Cancellation](guide::cancellation) |
//! | write a server | [Streams and servers](guide::streams), [Services](guide::services) |
//! | test a program | [Testing with virtual time](guide::testing) |
//! | know why a program hangs | [My program hangs](guide::hangs) |
//! | find a name | [the index by topic](guide::api_index) |
//!
//! The items below are those that programs name most often. The modules list the rest, whose names work without the
//! module too, as in Python: `asyncio::create_server` is on the page of [`transports`].
//!
//! The search box also finds each name by its Python name. Of a dotted name, type the last part: `get_nowait` for
//! `asyncio.Queue.get_nowait`.
//!
//! # Features
//!
//! Each feature selects a crate, or adds conversions. No feature changes the behaviour of another
//! part.
//!
//! | feature | default | what it adds |
//! |---|---|---|
//! | `locks` | yes | [`Lock`], [`Event`], [`Condition`], [`Semaphore`], [`BoundedSemaphore`], [`Barrier`], [`RwLock`] |
//! | `queues` | yes | [`Queue`], [`PriorityQueue`], [`LifoQueue`], [`channel()`] |
//! | `sockets` | yes | [`sock_recv`] and the other `sock_*` operations, [`socket::Socket`], [`Address`] |
//! | `transports` | yes | [`create_connection`], [`create_server`], [`create_datagram_endpoint`], pipes; with `sockets` |
//! | `streams` | yes | [`open_connection`], [`start_server`], [`StreamReader`], [`StreamWriter`]; with `transports` |
//! | `subprocess` | yes | [`create_subprocess_exec`], [`create_subprocess_shell`], [`subprocess`]; with `streams` |
//! | `macros` | yes | [`#[asyncio::main]`](macro@main), [`#[asyncio::test]`](macro@test), [`select!`], [`join!`], [`try_join!`] |
//! | `files` | no | files on the loop's threads, like aiofiles: the module `files`; with `sockets` |
//! | `tokio` | no | tokio's `AsyncRead` and `AsyncWrite` for streams; with `streams` |
//! | `hyper` | no | hyper's `Read` and `Write` for `streams::Duplex`; with `streams` |
//! | `tls` | no | TLS over rustls: the module `ssl`, `start_tls`, `.ssl(…)` for connections, servers and streams; with `transports` |
//! | `webpki-roots` | no | Mozilla's certificate authorities beside those of the system; with `tls` |
//! | `backtrace` | no | the watchdog of [`Runner`] shows the backtrace of the blocked thread |
//! | `anyhow`, `eyre` | no | `From<Error>` for the error type of that crate |
//!
//! # Depth
//!
//! There is no limit like Python's `RecursionError`. Tasks that await each other, gathers of gathers,
//! groups of tasks and of errors, and contexts of errors may be nested as deeply as memory allows: they are
//! cancelled, ended, shown and dropped without recursion. A coroutine that awaits a boxed coroutine, which
//! awaits another one, is different. Rust polls and drops nested values by recursion, so a chain of tens of
//! thousands of them overflows the stack. Make each of them a task, or write a loop.

#![forbid(unsafe_code)]

pub mod guide;

// The names follow asyncio's `__init__`, module by module.

// What a program names most often is listed on this page. The rest is listed on the pages of modules, which are called
// like those of Python's asyncio; its names are at the root too, as in Python.

// base_events, events
pub use asyncio_loop::{EventLoop, get_running_loop};

/// The loop's options, handles and callbacks (`asyncio.events`).
pub mod events {
    pub use asyncio_core::exception::ExceptionContext;
    pub use asyncio_core::handle::{Handle, ThreadsafeHandle, TimerHandle};
    pub use asyncio_loop::{
        Calls, EventLoopBuilder, ExceptionHandler, LoopHandle, Metrics, ShutdownAsyncgens,
        ShutdownDefaultExecutor, TaskFactory, eager_task_factory, get_event_loop, new_event_loop,
        set_event_loop,
    };
    pub use asyncio_loop::{
        Entered, Surroundings, ThreadPoolExecutor, ThreadPoolExecutorBuilder, ToExecutor, WaitReady,
    };
}
#[doc(hidden)] // On the page of the module; the names of asyncio have no module in front.
pub use events::*;

// Awaitable forms of asyncio's callbacks
pub use asyncio_loop::{wait_readable, wait_writable};

// unix_events: the numbers of signals, and a receiver of them
pub use asyncio_loop::signals;

// Received data, shared and sliced without copying (Python's `bytes`), and addresses
#[cfg(feature = "sockets")]
pub use asyncio_sockets::{Address, Bytes, Decode};

/// Sockets (Python's module `socket`), the loop's operations on them, and look-ups of names.
#[cfg(feature = "sockets")]
pub mod socket {
    pub use asyncio_sockets::{
        AI_ADDRCONFIG, AI_CANONNAME, AI_NUMERICHOST, AI_NUMERICSERV, AI_PASSIVE, AddrInfo, Domain,
        Endpoint, GetAddrInfo, GetNameInfo, NI_DGRAM, NI_NAMEREQD, NI_NOFQDN, NI_NUMERICHOST,
        NI_NUMERICSERV, Protocol, ReceivedMessage, Service, SockAccept, SockConnect, SockRecv,
        SockRecvInto, SockRecvfrom, SockRecvfromInto, SockRecvmsg, SockSendall, SockSendfile,
        SockSendmsg, SockSendto, Socket, Target, ToAddress, ToEndpoint, ToHost, Type,
        ensure_resolved, getaddrinfo, getnameinfo, sock_accept, sock_connect, sock_recv,
        sock_recv_into, sock_recvfrom, sock_recvfrom_into, sock_recvmsg, sock_sendall,
        sock_sendfile, sock_sendmsg, sock_sendto,
    };
}

#[cfg(feature = "sockets")]
#[doc(hidden)] // Not all of the module: its `Protocol` is another one than asyncio's.
pub use socket::{
    ToAddress, ToEndpoint, getaddrinfo, getnameinfo, sock_accept, sock_connect, sock_recv,
    sock_recv_into, sock_recvfrom, sock_recvfrom_into, sock_recvmsg, sock_sendall, sock_sendfile,
    sock_sendmsg, sock_sendto,
};

// coroutines, and counterparts of Python's syntax
pub use asyncio_core::AsyncContextManager;
pub use asyncio_core::scope::{Scope, cancellable};
pub use asyncio_task::generator::{Generator, Yielder, generator};

/// The types behind generators: the futures that their methods return.
pub mod generators {
    pub use asyncio_task::generator::{Aclose, Next, Sending};
}

// exceptions
pub use asyncio_core::error::{
    CancelledError, Error, ExceptionGroup, Result, ResultExt, TimeoutError, coroutine,
};

/// The types behind [`Error`]: the data of its variants (`asyncio.exceptions`).
pub mod exceptions {
    pub use asyncio_core::error::{
        AnyError, BrokenBarrierError, Coroutine, DeadlockError, IncompleteReadError,
        InvalidStateError, IoError, KeyboardInterrupt, LimitOverrunError, OtherError, PanicError,
        QueueEmpty, QueueFull, QueueShutDown, RuntimeError, SendfileNotAvailableError, ValueError,
    };
    pub use asyncio_task::GeneratorExit;
}
#[doc(hidden)]
pub use exceptions::*;

// futures, and `concurrent.futures`
pub use asyncio_future::{ConcurrentFuture, Future, wrap_future};

/// The call graph: what a task awaits, and what awaits it (`asyncio.graph`).
pub mod graph {
    pub use asyncio_core::wait_site::WaitSite;
    pub use asyncio_task::graph::{
        FrameCallGraphEntry, FutureCallGraph, ToCallGraph, capture_call_graph, format_call_graph,
        future_add_to_awaited_by, future_discard_from_awaited_by, print_call_graph,
    };
}
#[doc(hidden)]
pub use graph::*;

// locks
#[cfg(feature = "locks")]
pub use asyncio_locks::{Barrier, BoundedSemaphore, Condition, Event, Lock, RwLock, Semaphore};

/// The types behind locks: guards and permits, and the futures that wait for them.
#[cfg(feature = "locks")]
pub mod locks {
    pub use asyncio_locks::barrier::{BarrierChange, BarrierWait};
    pub use asyncio_locks::condition::{
        ConditionAcquire, ConditionWait, ConditionWaitFor, GuardWait, GuardWaitFor,
    };
    pub use asyncio_locks::event::EventWait;
    pub use asyncio_locks::lock::{Acquire, AcquireOwned};
    pub use asyncio_locks::rwlock::{LockRef, Mode, RwLockAcquire};
    pub use asyncio_locks::semaphore::SemaphoreAcquire;
    pub use asyncio_locks::{
        AcquirePermit, ConditionGuard, LockGuard, OwnedLockGuard, OwnedPermit, OwnedReadGuard,
        OwnedWriteGuard, Permit, Permits, ReadGuard, Reading, RwLockGuard, WriteGuard, Writing,
    };
}
#[cfg(feature = "locks")]
#[doc(hidden)]
pub use locks::{
    ConditionGuard, LockGuard, OwnedLockGuard, OwnedPermit, OwnedReadGuard, OwnedWriteGuard,
    Permit, Permits, ReadGuard, Reading, RwLockGuard, WriteGuard, Writing,
};

// queues
#[cfg(feature = "queues")]
pub use asyncio_queues::{
    LifoQueue, OrderedQueue, PriorityQueue, Queue, Receiver, Sender, channel,
};

/// The types behind queues: their orders, the futures that wait, and the error that hands an item back.
#[cfg(feature = "queues")]
pub mod queues {
    pub use asyncio_queues::queue::{Join, Next};
    pub use asyncio_queues::{Fifo, Get, Lifo, Order, Priority, Put, PutError};
}
#[cfg(feature = "queues")]
#[doc(hidden)]
pub use queues::{Fifo, Get, Lifo, Order, Priority, Put, PutError};

/// Protocols: what transports call (`asyncio.protocols`).
#[cfg(feature = "transports")]
pub mod protocols {
    #[cfg(feature = "subprocess")]
    pub use asyncio_subprocess::SubprocessProtocol;
    pub use asyncio_transports::{BufferedProtocol, DatagramProtocol, Protocol};
}
#[cfg(feature = "transports")]
#[doc(hidden)]
pub use protocols::*;

// runners
pub use asyncio_loop::{Runner, run};
#[cfg(feature = "macros")]
pub use asyncio_macros::{main, test};

// streams
#[cfg(feature = "streams")]
pub use asyncio_streams::{
    DatagramEndpoint, StreamReader, StreamWriter, input, open_connection, open_datagram_endpoint,
    open_unix_connection, start_server, start_unix_server, stderr, stdin, stdout,
};
#[cfg(feature = "streams")]
#[doc(hidden)]
pub use asyncio_streams::{StreamFeeder, StreamReaderProtocol};

/// The types behind streams, and their constant.
#[cfg(feature = "streams")]
pub mod streams {
    #[cfg(feature = "tls")]
    pub use asyncio_streams::StartTls;
    pub use asyncio_streams::{
        DEFAULT_LIMIT, Drain, Duplex, IntoSeparators, NextDatagram, NextLine, OpenConnection,
        OpenDatagramEndpoint, OpenUnixConnection, Opening, OpeningDatagramEndpoint, OpeningStdio,
        Read, ReadChunk, ReadExactly, ReadLine, ReadToEnd, ReadUntil, RecvFrom, Separators,
        StartServer, StartUnixServer, Starting, Stdin, StdioWriter, StreamFeeder,
        StreamReaderProtocol, WaitClosed,
    };
}

// subprocess
#[cfg(feature = "subprocess")]
pub use asyncio_subprocess::{create_subprocess_exec, create_subprocess_shell};

/// Child processes: options for their streams, and the types behind them (`asyncio.subprocess`).
#[cfg(feature = "subprocess")]
pub mod subprocess {
    pub use asyncio_subprocess::{
        Account, Communicate, DEVNULL, KillTree, Output, PIPE, Process, ProcessWait, STDOUT, Spawn,
        Spawning, SpawningWithProtocol, Stdio, Streams, ToArguments, ToInput, WithProtocol,
    };
}

// tasks
pub use asyncio_task::ReturnWhen::{self, AllCompleted, FirstCompleted, FirstException};
pub use asyncio_task::{
    AnyTask, FutureLike, Task, TaskBuilder, all_tasks, amap, as_completed, create_task,
    current_task, endless, ensure_future, gather, race, retry, run_coroutine_threadsafe, shield,
    sleep, wait, wait_for,
};

// There is no module `futures`: `use asyncio::*` would make the name of the crate `futures` ambiguous.
/// The types behind tasks and futures: the values that the functions return, and that `.await` runs.
pub mod tasks {
    pub use asyncio_core::limit::ToTimeout;
    pub use asyncio_core::wait::Leaf;
    pub use asyncio_future::{CallbackOutput, ConcurrentResult, DoneCallback, NotPending, Take};
    pub use asyncio_task::{
        Amap, AnyAwait, AsCompleted, Awaitable, Awaitables, Completed, Deadline, Gather, GatherAll,
        NextCompleted, NextItem, Racing, Retry, Shield, Sleep, TaskStatus, ToThread, Wait, WaitFor,
        Waiting, Watch,
    };
}
#[doc(hidden)]
pub use tasks::*;

// taskgroups
pub use asyncio_task::{Group, TaskGroup};

// threads
pub use asyncio_task::to_thread;

// timeouts
pub use asyncio_task::{Timeout, timeout, timeout_at};

#[cfg(feature = "transports")]
pub use asyncio_transports::Server;

/// TLS (Python's module `ssl`): contexts for the `ssl` option of connections and servers, and
/// information about a connection.
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

/// Transports, the functions that create them (methods of Python's loop), and the types behind them
/// (`asyncio.transports`).
#[cfg(feature = "transports")]
pub mod transports {
    #[cfg(feature = "subprocess")]
    pub use asyncio_subprocess::{SubprocessTransport, subprocess_exec, subprocess_shell};
    #[cfg(feature = "tls")]
    pub use asyncio_transports::ssl::start_tls;
    pub use asyncio_transports::{
        ConnectPipe, ConnectPipeTransport, Connecting, ConnectingTransport, CreateConnection,
        CreateDatagramEndpoint, CreateDatagramTransport, CreateServer, CreateUnixServer,
        CreatingServer, DatagramTransport, ExtraInfo, IntoProtocol, Known, PEERNAME, Recipient,
        SOCKET, SOCKNAME, Sendfile, ServeForever, StartServing, Transport, TransportSocket,
        WaitClosed, connect_accepted_socket, connect_read_pipe, connect_write_pipe,
        create_connection, create_datagram_endpoint, create_server, create_unix_connection,
        create_unix_server, sendfile,
    };
}
#[cfg(feature = "tls")]
#[doc(hidden)]
pub use transports::start_tls;
#[cfg(feature = "transports")]
#[doc(hidden)]
pub use transports::{
    DatagramTransport, ExtraInfo, PEERNAME, SOCKET, SOCKNAME, Transport, connect_accepted_socket,
    connect_read_pipe, connect_write_pipe, create_connection, create_datagram_endpoint,
    create_server, create_unix_connection, create_unix_server, sendfile,
};
#[cfg(feature = "subprocess")]
#[doc(hidden)]
pub use transports::{SubprocessTransport, subprocess_exec, subprocess_shell};

// aiofiles
#[cfg(feature = "files")]
pub use asyncio_files as files;

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

/// Races whose coroutines start one after another.
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
    #[cfg(feature = "sockets")]
    pub use crate::Decode as _;
    pub use crate::{AsyncContextManager, FutureLike, ResultExt as _};
}

#[cfg(feature = "macros")]
mod branch_macros;

#[cfg(feature = "macros")]
#[doc(hidden)] // For the code that attributes and macros generate.
#[path = "macro_support.rs"]
pub mod __macros;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
