//! Shared by the tests: connections, the ways to end a future, and checks that nothing is left over.

use asyncio::{
    Address, AnyTask, AsyncContextManager, Error, Event, ExceptionContext, Queue, Result, Runner,
    StreamReader, StreamWriter, Task, TaskGroup, ToEndpoint, all_tasks, cancellable, create_task,
    current_task, gather, get_running_loop, open_connection, sleep, start_server, timeout,
    wait_for,
};
use asyncio_http::HttpServer;
use asyncio_tokio::RunnerExt;
use futures_util::future::LocalBoxFuture;
use hyper_util::rt::TokioIo;
use std::{
    cell::{Cell, RefCell},
    fs,
    future::Future,
    process,
    rc::Rc,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::io::Join;

pub(crate) const MS: Duration = Duration::from_millis(1);
/// A time that never passes.
pub(crate) const HOUR: Duration = Duration::from_secs(3600);
pub(crate) const LOOPBACK: (&str, u16) = ("127.0.0.1", 0);
/// A limit that passes only after the future was suspended.
const LIMIT: Duration = Duration::from_millis(40);
/// A test that takes longer is stuck, unless it makes more connections than usual.
const STUCK: Duration = Duration::from_secs(60);

/// Both halves of a connection as one value, with the traits of tokio.
pub(crate) type Joined = Join<StreamReader, StreamWriter>;
/// The same with the traits of hyper.
pub(crate) type ForHyper = TokioIo<Joined>;
/// A future in which a library waits without end.
type Suspended = LocalBoxFuture<'static, Result<()>>;

/// Returns how many descriptors the process has, including the one that is used to count them.
pub(crate) fn descriptors() -> usize {
    fs::read_dir("/dev/fd").map_or(0, Iterator::count)
}

/// A closed transport closes its socket in a later iteration.
pub(crate) async fn until_descriptors(n: usize) -> Result<()> {
    while descriptors() != n {
        sleep(Duration::ZERO).await?;
    }
    Ok(())
}

/// Returns how many connections a test opens: the number in the variable, or `usual`, for which CI has time.
/// `ASYNCIO_CONNECTIONS=10000 cargo test -p asyncio-services-tests come_and_go`
pub(crate) fn connections(usual: usize) -> usize {
    let said = std::env::var("ASYNCIO_CONNECTIONS").ok().and_then(|text| text.parse().ok());
    said.unwrap_or(usual)
}

/// Runs `count` clients, `at_once` at a time, and waits until all descriptors are closed, including those of
/// servers in this process. The number that a client gets selects the state in which it disconnects.
pub(crate) async fn come_and_go<F>(
    count: usize,
    at_once: usize,
    client: impl Fn(usize) -> F,
) -> Result<()>
where
    F: Future<Output = Result<()>> + 'static,
{
    let before = descriptors();
    for round in 0..count / at_once {
        gather((0..at_once).map(|n| client(round + n))).await?;
    }
    while descriptors() != before {
        sleep(MS).await?;
    }
    Ok(())
}

/// Lets 20 clients send requests until they fail, and stops the server after the first 200 responses. Returns the
/// number of responses. A request gets the number of its client.
pub(crate) async fn stop_under_load<F>(
    server: &HttpServer<'_>,
    stop: &Event,
    request: impl Fn(u64) -> F + 'static,
) -> Result<u64>
where
    F: Future<Output = Result<()>> + 'static,
{
    let (request, answers) = (Rc::new(request), Rc::new(Cell::new(0)));
    let clients: Vec<_> = (0..20)
        .map(|client| {
            let (request, answers) = (request.clone(), answers.clone());
            create_task(async move {
                while request(client).await.is_ok() {
                    answers.set(answers.get() + 1);
                }
                Ok(())
            })
        })
        .collect();
    while answers.get() < 200 {
        sleep(MS).await?;
    }
    stop.set();
    server.serve_forever().await?;
    gather(clients).await?;
    Ok(answers.get())
}

/// Held by code that opens descriptors: one test at a time counts them.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `main` on a loop, and checks that nothing is reported and no descriptor stays open.
#[track_caller]
pub(crate) fn run(main: impl Future<Output = Result<()>> + 'static) {
    run_in(Runner::new, main);
}

/// The same with a tokio runtime around it.
#[track_caller]
pub(crate) fn run_with_tokio(main: impl Future<Output = Result<()>> + 'static) {
    run_in(|| Runner::new().tokio(true), main);
}

#[track_caller]
fn run_in(runner: impl Fn() -> Runner, main: impl Future<Output = Result<()>> + 'static) {
    let _alone = alone();
    // Some things are created once and kept.
    runner().run(async { Ok(()) }).unwrap();
    let before = descriptors();
    let mut runner = runner();
    let reports = Rc::new(RefCell::new(Vec::new()));
    let told = reports.clone();
    let outcome = runner.run(async move {
        let event_loop = get_running_loop()?;
        let tell = move |_: &_, context: &ExceptionContext| told.borrow_mut().push(context.clone());
        event_loop.set_exception_handler(tell);
        let limit = STUCK * (1 + connections(0) as u32 / 1000);
        let watchdog = event_loop.call_later(limit, stuck)?;
        let outcome = main.await;
        watchdog.cancel();
        outcome
    });
    runner.close().unwrap();
    outcome.unwrap();
    assert!(reports.borrow().is_empty(), "{:?}", reports.borrow());
    assert_eq!(descriptors(), before, "descriptors are left open");
}

/// Aborts, because a panic in a callback would be caught, and the test would continue to wait.
fn stuck() {
    for task in all_tasks().unwrap_or_default() {
        let site = task.wait_site().map(|site| site.to_string());
        eprintln!("stuck: {} {:?}", task.name(), site);
    }
    process::abort();
}

/// Waits for a number of iterations of the loop.
pub(crate) async fn iterations(n: usize) -> Result<()> {
    for _ in 0..n {
        sleep(Duration::ZERO).await?;
    }
    Ok(())
}

/// Returns both ends of a connection over a loopback socket.
pub(crate) async fn pair() -> Result<(Joined, Joined)> {
    let ends = Rc::new(Queue::new(0));
    let accepted = ends.clone();
    let accept =
        async move |reader, writer| accepted.put_nowait((reader, writer)).map_err(Error::msg);
    let server = start_server(accept, LOOPBACK).await?;
    let (reader, writer) = open_connection(server.local_addr()).await?;
    let ours = tokio::io::join(reader, writer);
    let (reader, writer) = ends.get().await?;
    server.close();
    Ok((ours, tokio::io::join(reader, writer)))
}

pub(crate) async fn open(address: impl ToEndpoint) -> Result<Joined> {
    let (reader, writer) = open_connection(address).await?;
    Ok(tokio::io::join(reader, writer))
}

/// Starts a server that ends with the test, and returns its address. Clients may disconnect at any time.
pub(crate) async fn listen<F>(
    around: &Around,
    serve: impl Fn(Joined) -> F + 'static,
) -> Result<Address>
where
    F: Future<Output = Result<()>>,
{
    let accept = async move |reader, writer| {
        drop(serve(tokio::io::join(reader, writer)).await);
        Ok(())
    };
    let server = start_server(accept, LOOPBACK).await?;
    let address = server.local_addr();
    around.task(async move { server.with(async |server| server.serve_forever().await).await });
    Ok(address)
}

/// The same for hyper.
pub(crate) async fn hyper_pair() -> Result<(ForHyper, ForHyper)> {
    let (ours, theirs) = pair().await?;
    Ok((TokioIo::new(ours), TokioIo::new(theirs)))
}

/// The surroundings of a suspended future.
#[derive(Clone, Default)]
pub(crate) struct Around(Rc<Parts>);

#[derive(Default)]
struct Parts {
    reached: Event,
    tasks: RefCell<Vec<AnyTask>>,
}

impl Around {
    /// Starts a task at the other end of the connection, or beside the future. Its outcome is ignored, because the
    /// connection is closed by then.
    pub(crate) fn task<T: 'static>(&self, coroutine: impl Future<Output = Result<T>> + 'static) {
        let task = create_task(async move {
            drop(coroutine.await);
            Ok(())
        });
        self.0.tasks.borrow_mut().push(AnyTask::clone(&task));
    }

    /// Keeps `what` open in a task.
    pub(crate) fn keep(&self, what: impl Sized + 'static) {
        self.task(async move {
            let _kept = what;
            Event::new().wait().await
        });
    }

    /// Records that the future now waits without end.
    pub(crate) fn reached(&self) {
        self.0.reached.set();
    }

    async fn until_reached(&self) -> Result<()> {
        self.0.reached.wait().await?;
        iterations(10).await
    }

    /// Ends the tasks.
    pub(crate) async fn end(&self) -> Result<()> {
        for task in self.0.tasks.take() {
            task.cancel();
            while !task.done() {
                sleep(Duration::ZERO).await?;
            }
        }
        Ok(())
    }
}

/// A scope that counts how often it was left with a cancellation.
pub(crate) struct Left(pub(crate) Rc<Cell<u32>>);

impl AsyncContextManager for Left {
    type Target = ();

    async fn enter(&mut self) -> Result<()> {
        Ok(())
    }

    async fn exit(&mut self, (): (), error: Option<&Error>) -> Result<()> {
        sleep(MS).await?;
        self.0.set(self.0.get() + u32::from(error.is_some_and(Error::is_cancelled)));
        Ok(())
    }
}

/// A way to end a future that would never end.
#[derive(Clone, Copy, Debug)]
enum Way {
    WaitFor,
    WaitForInside,
    Timeout,
    Group,
    GroupBody,
    GroupAlone,
    Cancel,
    CancelHandled,
    CancelInside,
    Drop,
    EndOfRun,
}

const WAYS: [Way; 11] = [
    Way::WaitFor,
    Way::WaitForInside,
    Way::Timeout,
    Way::Group,
    Way::GroupBody,
    Way::GroupAlone,
    Way::Cancel,
    Way::CancelHandled,
    Way::CancelInside,
    Way::Drop,
    Way::EndOfRun,
];

/// Ends the future from `make` in every way, each time on a new loop. The outcome must be that of the limit or of
/// the cancellation; the task continues, and the connection is closed.
#[track_caller]
pub(crate) fn ends<F, T>(make: impl AsyncFn(Around) -> Result<F> + 'static)
where
    F: Future<Output = Result<T>> + 'static,
{
    let make = Rc::new(make);
    for way in WAYS {
        let make = make.clone();
        run(async move {
            let before = descriptors();
            let around = Around::default();
            let future = make(around.clone()).await?;
            eprintln!("{way:?}");
            way.end(Box::pin(async { future.await.map(drop) }), &around).await?;
            assert_eq!(current_task().map(|task| task.cancelling()), Some(0));
            if let Way::EndOfRun = way {
                return Ok(());
            }
            around.end().await?;
            until_descriptors(before).await
        });
    }
}

impl Way {
    async fn end(self, future: Suspended, around: &Around) -> Result<()> {
        match self {
            Way::WaitFor => is_timeout(wait_for(future, LIMIT).await),
            Way::WaitForInside => {
                let outer = async {
                    is_timeout(wait_for(future, LIMIT).await);
                    sleep(MS).await?;
                    Ok("goes on")
                };
                assert_eq!(wait_for(outer, HOUR).await?, "goes on");
            }
            Way::Timeout => {
                let (timeout, watch) = timeout(None).watched();
                let ended = timeout.with(async |_| {
                    let around = around.clone();
                    let expire = create_task(async move {
                        around.until_reached().await?;
                        watch.reschedule(get_running_loop()?.time())
                    });
                    future.await?;
                    expire.await
                });
                is_timeout(ended.await);
            }
            Way::Group => {
                let mut task = None;
                let ended = TaskGroup::new().with(async |group| {
                    task = Some(group.create_task(future));
                    drop(group.create_task(failing(around.clone())));
                    Ok(())
                });
                failed(ended.await);
                is_cancelled(task.map(|task| task.result()).expect("it was made"));
            }
            Way::GroupBody => {
                let mut inside = None;
                let ended = TaskGroup::new().with(async |group| {
                    drop(group.create_task(failing(around.clone())));
                    let outcome = cancellable(future).await;
                    inside = Some(outcome.clone());
                    outcome
                });
                failed(ended.await);
                has_cancelled(inside.expect("it was told"));
            }
            // The only scope that gives way here is the group's own.
            Way::GroupAlone => {
                let ended = TaskGroup::new().with(async |group| {
                    drop(group.create_task(failing(around.clone())));
                    future.await
                });
                failed(ended.await);
            }
            Way::Cancel => {
                let task = create_task(future);
                around.until_reached().await?;
                assert!(task.cancel());
                is_cancelled(finished(task).await?);
            }
            Way::CancelHandled => {
                let task = create_task(async move {
                    has_cancelled(cancellable(future).await);
                    sleep(MS).await?;
                    Ok(())
                });
                around.until_reached().await?;
                assert!(task.cancel());
                finished(task).await??;
            }
            // The cause is not a limit, because none has passed.
            Way::CancelInside => {
                let task = create_task(timeout(HOUR).with(async |_| wait_for(future, HOUR).await));
                around.until_reached().await?;
                assert!(task.cancel());
                is_cancelled(finished(task).await?);
            }
            Way::Drop => {
                let mut limited = Box::pin(wait_for(future, HOUR));
                tokio::select! {
                    outcome = &mut limited => panic!("it has ended: {outcome:?}"),
                    reached = around.until_reached() => reached?,
                }
                drop(limited);
            }
            // Everything that is left is cancelled then, even at the other end.
            Way::EndOfRun => {
                drop(create_task(future));
                around.until_reached().await?;
            }
        }
        Ok(())
    }
}

/// Waits for the end of a task, and returns its result.
async fn finished<T: Clone + 'static>(task: Task<T>) -> Result<Result<T>> {
    while !task.done() {
        sleep(MS).await?;
    }
    Ok(task.result())
}

async fn failing(around: Around) -> Result<()> {
    around.until_reached().await?;
    Err(Error::msg("a child failed"))
}

#[track_caller]
pub(crate) fn is_timeout(outcome: Result<()>) {
    assert!(matches!(outcome, Err(Error::Timeout(_))), "not a timeout: {outcome:?}");
}

#[track_caller]
pub(crate) fn is_cancelled(outcome: Result<()>) {
    assert!(matches!(outcome, Err(Error::Cancelled(_))), "not cancelled: {outcome:?}");
}

/// Inside the task it may still be wrapped, if a library got it from a handler of asyncio.
#[track_caller]
fn has_cancelled(outcome: Result<()>) {
    let is = outcome.as_ref().is_err_and(Error::is_cancelled);
    assert!(is, "not cancelled: {outcome:?}");
}

#[track_caller]
fn failed(outcome: Result<()>) {
    let Err(Error::Group(group)) = outcome else { panic!("not the group's errors: {outcome:?}") };
    assert_eq!(group.exceptions().len(), 1, "{group:?}");
    assert_eq!(group.exceptions()[0].to_string(), "a child failed");
}
