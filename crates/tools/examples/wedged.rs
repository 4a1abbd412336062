//! Programs that hang, one of each kind: what the call graph, `asyncio ps` and the watchdog are for.
//!
//! ```sh
//! cargo run --example wedged -- lock_order
//! ```
//!
//! Each prints the call graphs of its tasks when `SIGUSR1` comes, and Ctrl-C says what its main task awaits.
//! `asyncio ps PID` and `pstree` of the crate asyncio-tools show where it is stuck, from outside. With a second
//! argument, `dump`, it prints the graphs by itself once it is stuck, and ends. The two kinds
//! that block the loop's thread cannot do that: the watchdog reports them.

use asyncio::{
    AsyncContextManager, Error, Lock, Queue, Result, Runner, Task, TaskGroup, signals::SIGUSR1,
};
use std::{
    future::Future,
    pin::Pin,
    process::ExitCode,
    rc::Rc,
    sync::mpsc,
    task::{Context, Poll},
    time::Duration,
};

/// How each is called, and what is wrong with it.
const KINDS: [(&str, &str); 7] = [
    ("lock_order", "two tasks take two locks in opposite order"),
    ("full_queue", "a task puts into a full queue that it alone empties"),
    ("task_done", "a worker forgets task_done, and the queue is joined"),
    ("foreign", "a future of another library is never woken"),
    ("blocking", "a step calls something that blocks"),
    ("endless", "a step never ends"),
    ("itself", "a task awaits itself through three others"),
];

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (kind, action) = (arguments.next().unwrap_or_default(), arguments.next());
    let runner = Runner::new().dump_on(SIGUSR1).watchdog(Duration::from_millis(200));
    let outcome = runner.with(|runner| {
        runner.run(async move {
            match action.as_deref() {
                Some("dump") => drop(Task::builder().name("dump").create(dump())),
                Some("ready") => drop(asyncio::create_task(ready())),
                _ => {}
            }
            wedge(&kind).await
        })
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn wedge(kind: &str) -> Result<()> {
    match kind {
        "lock_order" => lock_order().await,
        "full_queue" => full_queue().await,
        "task_done" => task_done().await,
        "foreign" => foreign().await,
        "blocking" => blocking().await,
        "endless" => endless().await,
        "itself" => itself().await,
        _ => {
            let kinds: Vec<String> =
                KINDS.iter().map(|(kind, what)| format!("  {kind:12}{what}")).collect();
            Err(Error::msg(format!("usage: wedged KIND [dump]\n{}", kinds.join("\n"))))
        }
    }
}

async fn lock_order() -> Result<()> {
    async fn transfer(from: Rc<Lock>, to: Rc<Lock>) -> Result<()> {
        let _from = from.acquire().await?;
        asyncio::sleep(Duration::ZERO).await?;
        let _to = to.acquire().await?;
        Ok(())
    }
    let (a, b) = (Rc::new(Lock::new(())), Rc::new(Lock::new(())));
    let there = Task::builder().name("there").create(transfer(a.clone(), b.clone()));
    let back = Task::builder().name("back").create(transfer(b, a));
    asyncio::gather!(there, back).await?;
    Ok(())
}

async fn full_queue() -> Result<()> {
    let lines = Queue::new(2);
    lines.set_name("lines");
    for line in 0..3 {
        lines.put(line).await?;
    }
    while !lines.empty() {
        lines.get().await?;
    }
    Ok(())
}

async fn task_done() -> Result<()> {
    let jobs = Rc::new(Queue::new(0));
    jobs.set_name("jobs");
    TaskGroup::new()
        .with(async |group| {
            let queue = jobs.clone();
            let worker = Task::builder().name("worker");
            let worker = group.create_task_with(worker, async move {
                loop {
                    let job: u32 = queue.get().await?;
                    if job % 2 == 0 {
                        continue; // … and the job is never done.
                    }
                    queue.task_done()?;
                }
                #[allow(unreachable_code)]
                Ok(())
            })?;
            for job in 0..4 {
                jobs.put_nowait(job)?;
            }
            asyncio::timeout(None).with(async |_| jobs.join().await).await?;
            worker.cancel();
            Ok(())
        })
        .await
}

/// What it stands for has gone, and no waker is kept.
struct Reply;

impl Future for Reply {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}

async fn foreign() -> Result<()> {
    let request = Task::builder().name("request").create(async {
        asyncio::cancellable(async {
            Reply.await;
            Ok(())
        })
        .await
    });
    request.await
}

async fn blocking() -> Result<()> {
    let reader = Task::builder().name("reader").create(async {
        asyncio::sleep(Duration::from_millis(1)).await?;
        let (sender, receiver) = mpsc::channel::<String>();
        let line = receiver.recv(); // `sender` is still there.
        drop((sender, line));
        Ok(())
    });
    reader.await
}

async fn endless() -> Result<()> {
    let counter = Task::builder().name("counter").create(async {
        asyncio::sleep(Duration::from_millis(1)).await?;
        let mut n = 27u64;
        while n != 0 {
            n = if n % 2 == 0 { n / 2 } else { 3 * n + 1 };
            std::hint::black_box(n);
        }
        Ok(())
    });
    counter.await
}

async fn itself() -> Result<()> {
    async fn follow(next: asyncio::Future<Task<()>>) -> Result<()> {
        let next = next.await?;
        asyncio::wait_for(next, None).await
    }
    let next = asyncio::Future::new();
    let first = Task::builder().name("first").create(follow(next.clone()));
    let mut last = first.clone();
    for name in ["second", "third", "fourth"] {
        last = Task::builder().name(name).create(async move { last.await });
    }
    next.set_result(last)?;
    first.await
}

/// Tells a test that the program is stuck.
async fn ready() -> Result<()> {
    asyncio::sleep(Duration::from_millis(100)).await?;
    // In the next iteration, when this task has ended.
    asyncio::get_running_loop()?.call_soon(|| println!("ready"))?;
    Ok(())
}

/// Prints the call graphs of all tasks when they are stuck, and those that can never continue; then ends the program.
async fn dump() -> Result<()> {
    asyncio::sleep(Duration::from_millis(100)).await?;
    let event_loop = asyncio::get_running_loop()?;
    println!("{}", event_loop.format_call_graphs());
    if let Some(deadlock) = event_loop.find_deadlock() {
        println!("{deadlock}");
    }
    std::process::exit(0)
}
