//! Programs on the facade: those of asyncio's introductions, and a few more. Each runs under the virtual clock, where the
//! elapsed time shows what waited for what.

use asyncio::{
    AsyncContextManager, Error, FirstCompleted, Queue, StreamReader, StreamWriter, TaskGroup,
};
use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};

const MS: Duration = Duration::from_millis(1);
const SEC: Duration = Duration::from_secs(1);

thread_local! {
    static SAID: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// `println!`, for a test to read.
macro_rules! say {
    ($($format:tt)*) => {{
        let line = format!($($format)*);
        SAID.with_borrow_mut(|said| said.push(line));
    }};
}

/// What was said since the last call, and when it is now, in milliseconds.
fn said() -> (Vec<String>, u128) {
    let now = asyncio::get_running_loop().map(|event_loop| event_loop.time());
    (SAID.take(), now.unwrap_or_default().as_millis())
}

async fn say(what: &str) -> asyncio::Result<()> {
    asyncio::sleep(SEC).await?;
    say!("{what}");
    Ok(())
}

async fn hello() -> asyncio::Result<()> {
    asyncio::gather!(say("Hello"), say("World")).await?;
    Ok(())
}

#[asyncio::test(virtual_time = true)]
async fn hello_world() -> asyncio::Result<()> {
    hello().await?;
    assert_eq!(said(), (vec!["Hello".into(), "World".into()], 1000));
    Ok(())
}

async fn fetch(url: String) -> asyncio::Result<String> {
    asyncio::sleep(SEC).await?;
    if url.contains('2') {
        return Err(std::io::Error::other("network error").into());
    }
    Ok(format!("data from {url}"))
}

#[asyncio::test(virtual_time = true)]
async fn errors() -> asyncio::Result<()> {
    for url in ["a/1", "a/2"] {
        match fetch(url.into()).await {
            Ok(d) => say!("{d}"),
            Err(e) if e.is_cancelled() => return Err(e),
            Err(e) => say!("error fetching {url}: {e}"),
        }
    }
    let expected = ["data from a/1", "error fetching a/2: network error"];
    assert_eq!(said(), (expected.map(String::from).into(), 2000));
    Ok(())
}

async fn check_updates(interval: Duration) -> asyncio::Result<()> {
    let outcome = async {
        loop {
            say!("checking");
            asyncio::sleep(interval).await?
        }
    }
    .await;
    if let Err(Error::Cancelled(_)) = &outcome {
        asyncio::sleep(10 * MS).await?;
        say!("cleaned up");
    }
    outcome
}

#[asyncio::test(virtual_time = true)]
async fn cancelling() -> asyncio::Result<()> {
    let update = asyncio::Task::builder().name("updates").create(check_updates(800 * MS));
    asyncio::sleep(3 * SEC).await?;
    update.cancel();
    match update.await {
        Err(e) if e.is_cancelled() => say!("cancelled"),
        other => other?,
    }
    let expected = ["checking", "checking", "checking", "checking", "cleaned up", "cancelled"];
    assert_eq!(said(), (expected.map(String::from).into(), 3010));
    Ok(())
}

#[asyncio::test(virtual_time = true)]
async fn first_of() -> asyncio::Result<()> {
    let nap = async |n: u32| {
        asyncio::sleep(n * SEC).await?;
        Ok(n)
    };
    let tasks = (1..4).map(|n| asyncio::create_task(nap(n)));
    let (done, pending) = asyncio::wait(tasks).return_when(FirstCompleted).timeout(9 * SEC).await?;
    for t in done {
        say!("{}", t.await?);
    }
    for t in &pending {
        t.cancel();
    }
    let all = asyncio::gather(["x/1", "x/2"].map(|u| fetch(u.into()))).return_exceptions().await?;
    say!("{} failed", all.iter().filter(|r| r.is_err()).count());
    let mut soonest = asyncio::as_completed([3, 1, 2].map(nap));
    while let Some(n) = soonest.next().await {
        say!("{}", n?);
    }
    match asyncio::wait_for(fetch("slow".into()), 100 * MS).await {
        Err(Error::Timeout(_)) => say!("too slow"),
        r => say!("{}", r?),
    }
    let expected = ["1", "1 failed", "1", "2", "3", "too slow"];
    assert_eq!(said(), (expected.map(String::from).into(), 5100));
    Ok(())
}

#[asyncio::test(virtual_time = true)]
async fn a_future() -> asyncio::Result<()> {
    let fut = asyncio::Future::new();
    let setter = fut.clone();
    // A callback may fail: its error goes to the loop's exception handler.
    asyncio::get_running_loop()?
        .call_later(2 * SEC, move || setter.set_result("future is done"))?;
    say!("{}", fut.await?);
    assert_eq!(said(), (vec!["future is done".into()], 2000));
    Ok(())
}

struct Database {
    name: String,
}

struct Connection {
    name: String,
}

impl AsyncContextManager for Database {
    type Target = Connection;

    async fn enter(&mut self) -> asyncio::Result<Connection> {
        asyncio::sleep(SEC).await?;
        Ok(Connection { name: self.name.clone() })
    }

    async fn exit(&mut self, conn: Connection, error: Option<&Error>) -> asyncio::Result<()> {
        asyncio::sleep(SEC).await?;
        say!("{} closed, {}", conn.name, error.is_some());
        Ok(())
    }
}

#[asyncio::test(virtual_time = true)]
async fn managed() -> asyncio::Result<()> {
    let rows = Database { name: "mine".into() }
        .with(async |conn| {
            say!("using {}", conn.name);
            asyncio::sleep(2 * SEC).await?;
            Ok(3)
        })
        .await?;
    let total = TaskGroup::new()
        .with(async |tg| {
            let a = tg.create_task(async { Ok(1) });
            let tg2 = tg.clone();
            tg.create_task(async move {
                tg2.create_task(say("grandchild"));
                Ok(())
            });
            Ok(rows + a.await?)
        })
        .await?;
    asyncio::timeout(SEC / 2)
        .with(async |deadline| {
            // As in Python a deadline is moved to a time of the loop, not by a delay.
            deadline.reschedule(asyncio::get_running_loop()?.time() + 2 * SEC)?;
            hello().await
        })
        .await?;
    say!("{total}");
    let expected = ["using mine", "mine closed, false", "grandchild", "Hello", "World", "4"];
    assert_eq!(said(), (expected.map(String::from).into(), 6000));
    Ok(())
}

#[asyncio::test(virtual_time = true)]
async fn workers() -> asyncio::Result<()> {
    let queue = Rc::new(Queue::new(10));
    let work = async |id: u32, queue: Rc<Queue<u64>>| -> asyncio::Result<()> {
        loop {
            let n = queue.get().await?;
            asyncio::sleep(n as u32 * MS).await?;
            say!("worker {id}: {n}");
            queue.task_done()?;
        }
    };
    let workers: Vec<_> = (0..3).map(|id| asyncio::create_task(work(id, queue.clone()))).collect();
    for n in 0..20 {
        queue.put(n).await?;
    }
    queue.join().await?;
    for w in &workers {
        w.cancel();
    }
    asyncio::gather(workers).return_exceptions().await?;
    let (lines, elapsed) = said();
    assert_eq!((lines.len(), &*lines[0]), (20, "worker 0: 0"));
    assert!((64..190).contains(&elapsed), "{elapsed} ms: three at work, not one");
    Ok(())
}

static COUNT: asyncio::Lock<u64> = asyncio::Lock::new(0);

async fn locked() -> asyncio::Result<()> {
    let mut n = COUNT.acquire().await?;
    *n += 1;
    asyncio::sleep(SEC).await?;
    Ok(())
}

#[asyncio::test(virtual_time = true)]
async fn a_lock_lets_one_in_at_a_time() -> asyncio::Result<()> {
    asyncio::gather((0..3).map(|_| locked())).await?;
    assert_eq!((*COUNT.acquire().await?, said().1), (3, 3000));
    Ok(())
}

async fn consumer(ready: Rc<asyncio::Condition<Vec<i32>>>) -> asyncio::Result<i32> {
    let mut q = ready.acquire().await?;
    q.wait_for(|q| !q.is_empty()).await?;
    Ok(q.remove(0))
}

#[asyncio::test(virtual_time = true)]
async fn a_condition_wakes_its_waiter() -> asyncio::Result<()> {
    let ready = Rc::new(asyncio::Condition::new(Vec::new()));
    let consumers = [1, 2].map(|_| asyncio::create_task(consumer(ready.clone())));
    for n in [10, 20] {
        asyncio::sleep(SEC).await?;
        let mut q = ready.acquire().await?;
        q.push(n);
        q.notify(1);
    }
    assert_eq!(asyncio::gather(consumers).await?, [10, 20]);
    Ok(())
}

async fn handle_client(mut reader: StreamReader, writer: StreamWriter) -> asyncio::Result<()> {
    loop {
        let data = reader.read(100).await?;
        if data.is_empty() {
            break;
        }
        writer.write(&data);
        writer.drain().await?;
    }
    writer.close();
    writer.wait_closed().await
}

#[asyncio::test]
async fn serve() -> asyncio::Result<()> {
    let server = asyncio::start_server(handle_client, ("127.0.0.1", 0)).backlog(100).await?;
    let address = server.local_addr();
    let serving = async move { server.with(async |server| server.serve_forever().await).await };
    let serving: asyncio::Task<()> = asyncio::create_task(serving);
    let (mut reader, writer) = asyncio::open_connection(&address).await?;
    writer.write(b"to and fro");
    writer.write_eof();
    assert_eq!(reader.read_to_end().await?, "to and fro");
    serving.cancel();
    assert!(serving.await.unwrap_err().is_cancelled());
    assert!(asyncio::open_connection(&address).await.is_err());
    Ok(())
}

#[asyncio::test]
async fn serve_closure() -> asyncio::Result<()> {
    let hits = Rc::new(Cell::new(0));
    let count = hits.clone();
    let server = asyncio::start_server(
        async move |mut r, w| {
            count.set(count.get() + 1);
            let line = r.readline().await?;
            w.write(&line);
            w.drain().await
        },
        ("127.0.0.1", 0),
    )
    .await?;
    let (mut r, w) = asyncio::open_connection(server.local_addr()).limit(1 << 16).await?;
    w.write(b"hello\n");
    w.drain().await?;
    assert_eq!((r.readline().await?, hits.get()), ("hello\n".into(), 1));
    Ok(())
}

async fn ping(host: &str) -> asyncio::Result<bool> {
    use asyncio::subprocess::{DEVNULL, PIPE};
    // As if it were `ping -c 1`, for which not every machine has a program, or leave.
    let ping =
        asyncio::create_subprocess_shell(format!("echo 1 packet to {host}; test {host} = up"));
    let mut p = ping.stdout(PIPE).stderr(DEVNULL).await?;
    let out = p.communicate(None).await?;
    say!("{}", String::from_utf8_lossy(&out.stdout).trim());
    Ok(p.returncode() == Some(0))
}

#[asyncio::test(virtual_time)]
async fn pings() -> asyncio::Result<()> {
    assert_eq!((ping("up").await?, ping("down").await?), (true, false));
    assert_eq!(said().0, ["1 packet to up", "1 packet to down"]);
    Ok(())
}

#[asyncio::test]
async fn blocking() -> asyncio::Result<()> {
    let text = asyncio::to_thread(|| std::fs::read_to_string("Cargo.toml")).await??;
    assert!(text.contains("asyncio"));
    Ok(())
}
