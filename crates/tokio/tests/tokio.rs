//! Code that runs inside the tokio runtime of a loop.

use asyncio::{Error, Runner, TaskGroup, prelude::*};
use asyncio_tokio::RunnerExt;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

const MS: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);

/// A client for our servers, which ignores the proxies of the environment.
fn client() -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder().no_proxy().build()
}

/// Becomes true when it is dropped.
struct Dropped(Arc<AtomicBool>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn dropped() -> (Dropped, Arc<AtomicBool>) {
    let flag = Arc::new(AtomicBool::new(false));
    (Dropped(flag.clone()), flag)
}

#[asyncio::test(tokio)]
async fn sockets_and_timers_of_tokio_work_in_our_tasks() -> asyncio::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let echo = async move {
        let (mut stream, _) = listener.accept().await?;
        let mut word = [0; 5];
        stream.read_exact(&mut word).await?;
        tokio::time::sleep(MS).await;
        stream.write_all(&word).await?;
        Ok(())
    };
    TaskGroup::new()
        .with(async |group| {
            drop(group.create_task(echo));
            let mut stream = TcpStream::connect(address).await?;
            stream.write_all(b"hello").await?;
            let mut word = Vec::new();
            stream.read_to_end(&mut word).await?;
            assert_eq!(word, b"hello");
            Ok(())
        })
        .await
}

#[asyncio::test(tokio)]
async fn jobs_in_threads_are_inside_too() -> asyncio::Result<()> {
    let join = asyncio::to_thread(|| tokio::runtime::Handle::current().spawn(async { 1 })).await?;
    let event_loop = asyncio::get_running_loop()?;
    let entered = || tokio::runtime::Handle::try_current().is_ok();
    assert!(event_loop.run_in_executor(None, entered)?.await?);
    assert_eq!(join.await?, 1);
    Ok(())
}

#[asyncio::test(tokio)]
async fn files_of_tokio_are_read_by_its_threads() -> asyncio::Result<()> {
    assert!(tokio::fs::read_to_string("Cargo.toml").await?.contains("asyncio-tokio"));
    Ok(())
}

#[asyncio::test(tokio)]
async fn a_limit_ends_a_wait_for_tokio() -> asyncio::Result<()> {
    let (guard, was_dropped) = dropped();
    let wait = async move {
        let _guard = guard;
        tokio::time::sleep(HOUR).await;
        Ok(())
    };
    assert!(asyncio::wait_for(wait, 5 * MS).await.unwrap_err().is_timeout());
    assert!(was_dropped.load(Ordering::Relaxed));
    Ok(())
}

#[asyncio::test(tokio)]
async fn work_over_there_comes_back_as_a_task() -> asyncio::Result<()> {
    let here = std::thread::current().id();
    let (go, gone) = tokio::sync::oneshot::channel();
    let task = asyncio_tokio::spawn(async move {
        gone.await.unwrap();
        std::thread::current().id() != here
    });
    let line = line!() - 4;
    assert_eq!((task.spawned_at().file(), task.spawned_at().line()), (file!(), line));
    asyncio::sleep(Duration::ZERO).await?;
    let site = task.wait_site().expect("it waits");
    assert_eq!(site.to_string(), format!("asyncio_tokio::spawn at {}:{line}:16", file!()));
    go.send(()).unwrap();
    assert!(task.await?);
    Ok(())
}

#[asyncio::test(tokio)]
async fn cancelling_the_task_aborts_the_work() -> asyncio::Result<()> {
    for steps in 0..3 {
        let (guard, was_dropped) = dropped();
        let ended = asyncio::Future::new();
        // Both are dropped with the future, even if it has not begun.
        let owned = (guard, TellWhenDropped(ended.clone()));
        let task = asyncio_tokio::spawn(async move {
            let _owned = owned;
            tokio::time::sleep(HOUR).await;
        });
        for _ in 0..steps {
            asyncio::sleep(Duration::ZERO).await?;
        }
        assert!(task.cancel());
        assert!(task.await.unwrap_err().is_cancelled());
        asyncio::wait_for(ended, HOUR).await?;
        assert!(was_dropped.load(Ordering::Relaxed));
    }
    Ok(())
}

/// Sets a future of the loop when it is dropped, on any thread.
struct TellWhenDropped(asyncio::Future<()>);

impl Drop for TellWhenDropped {
    fn drop(&mut self) {
        let _ = self.0.set_result(());
    }
}

#[asyncio::test(tokio)]
async fn a_panic_over_there_is_the_error_of_the_task() -> asyncio::Result<()> {
    let task = asyncio_tokio::spawn(async { panic!("over there") });
    let outcome: asyncio::Result<()> = task.await;
    assert!(matches!(outcome, Err(Error::Panic(panic)) if panic.message() == "over there"));
    Ok(())
}

#[test]
fn the_end_of_the_run_aborts_the_work() {
    let (guard, was_dropped) = dropped();
    let main = async move {
        drop(asyncio_tokio::spawn(async move {
            let _guard = guard;
            tokio::time::sleep(HOUR).await;
        }));
        asyncio::sleep(MS).await
    };
    Runner::new().tokio(true).with(|runner| runner.run(main)).unwrap();
    assert!(was_dropped.load(Ordering::Relaxed));
}

#[test]
fn without_a_runtime_or_a_loop_there_is_an_error() {
    let outcome = asyncio::run(async { asyncio_tokio::spawn(async {}).await });
    let error = outcome.unwrap_err().to_string();
    assert!(error.contains("there is no tokio runtime; run the program with"), "{error}");
    let off = Runner::new().tokio(false);
    off.with(|runner| runner.run(async { Ok(asyncio_tokio::spawn(async {}).await.is_err()) }))
        .map(|is_error| assert!(is_error))
        .unwrap();
    let task = asyncio_tokio::spawn(async {});
    let error = task.result().unwrap_err().to_string();
    assert!(error.contains("no running event loop"), "{error}");
}

#[test]
fn work_over_there_holds_up_the_virtual_clock() {
    let runner = Runner::new().virtual_time(true).tokio(true);
    let main = async {
        let event_loop = asyncio::get_running_loop()?;
        let begun = event_loop.time();
        let work = asyncio_tokio::spawn(tokio::time::sleep(20 * MS));
        // Neither a deadlock nor a timeout.
        asyncio::wait_for(work, HOUR).await?;
        assert!(event_loop.time() - begun < HOUR);
        // No work is outstanding any more, even after an abort.
        let work = asyncio_tokio::spawn(std::future::pending::<()>());
        work.cancel();
        assert!(work.await.unwrap_err().is_cancelled());
        asyncio::sleep(HOUR).await?;
        let never = asyncio::Future::<()>::new();
        assert!(matches!(asyncio::wait_for(never, HOUR).await, Err(Error::Timeout(_))));
        Ok(())
    };
    runner.with(|runner| runner.run(main)).unwrap();
}

#[test]
fn functions_of_ours_say_why_they_do_not_work_over_there() {
    let main = async {
        let spawned = tokio::spawn(async { asyncio::sleep(MS).await.unwrap_err().to_string() });
        let blocking = tokio::task::spawn_blocking(|| asyncio::get_running_loop().map(drop));
        let texts = [spawned.await?, blocking.await?.unwrap_err().to_string()];
        for text in texts {
            assert!(text.contains("no running event loop: this thread belongs to"), "{text}");
            assert!(text.contains("asyncio_http::serve"), "{text}");
        }
        Ok(())
    };
    Runner::new().tokio(true).with(|runner| runner.run(main)).unwrap();
}

#[test]
fn an_axum_server_of_tokio_gets_the_error_in_its_handlers() {
    let handler = || async {
        match asyncio::sleep(MS).await {
            Ok(()) => "slept".to_owned(),
            Err(error) => error.to_string(),
        }
    };
    let main = async move {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let router = axum::Router::new().route("/", axum::routing::get(handler));
        let server = asyncio_tokio::spawn(async move { axum::serve(listener, router).await });
        let text = asyncio::coroutine(async move {
            client()?.get(format!("http://{address}/")).send().await?.text().await
        });
        let text = text.await?;
        assert!(text.contains("this thread belongs to the tokio runtime"), "{text}");
        server.cancel();
        Ok(())
    };
    Runner::new().tokio(true).with(|runner| runner.run(main)).unwrap();
}

#[test]
fn requests_of_reqwest_run_beside_our_server() {
    use asyncio_http::{Incoming, Request, Response, serve, service_fn};
    async fn hello(request: Request<Incoming>) -> asyncio::Result<Response<String>> {
        if request.uri().path() == "/slow" {
            asyncio::sleep(HOUR).await?;
        }
        Ok(Response::new(format!("hello {}", request.uri().path())))
    }
    let main = async {
        let server = serve(service_fn(hello), ("127.0.0.1", 0)).await?;
        let base = format!("http://{}", server.local_addr());
        let client = client()?;
        let get = |path: String| {
            let request = client.get(format!("{base}/{path}"));
            asyncio::coroutine(async move { request.send().await?.text().await })
        };
        let texts = asyncio::gather((0..20).map(|n| get(n.to_string()))).await?;
        assert!(texts.iter().enumerate().all(|(n, text)| *text == format!("hello /{n}")));
        // The client still works after a request was dropped.
        let late = asyncio::wait_for(get("slow".to_owned()), 10 * MS).await;
        assert!(late.unwrap_err().is_timeout());
        assert_eq!(get("again".to_owned()).await?, "hello /again");
        drop(client);
        server.shutdown(Duration::ZERO).await
    };
    Runner::new().tokio(true).with(|runner| runner.run(main)).unwrap();
}

#[asyncio::test(tokio)]
async fn errors_of_such_a_library_come_in_by_the_question_mark() {
    async fn fetch() -> asyncio::Result<String> {
        let response = client()?.get("http://127.0.0.1:1/").send().await;
        Ok(response.add_note("asking the server")?.text().await?)
    }
    let error = fetch().await.unwrap_err();
    assert!(error.downcast_ref::<reqwest::Error>().is_some_and(|error| error.is_connect()));
    assert_eq!(error.notes(), ["asking the server"]);
}

/// A loop that runs inside another tokio runtime ends as well.
#[test]
fn a_runner_may_end_inside_of_another_runtime() {
    let outer = tokio::runtime::Builder::new_current_thread().build().unwrap();
    outer.block_on(async {
        let main = async {
            tokio::time::sleep(MS).await;
            Ok(())
        };
        Runner::new().tokio(true).with(|runner| runner.run(main)).unwrap();
    });
}
