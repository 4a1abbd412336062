//! A program whose tasks wait in every way, to be looked into: `cargo run --example stuck -- kinds`, then
//! `asyncio ps PID`. It says `ready` when all of them wait, and ends when its input does.

use asyncio::{
    AsyncContextManager, Event, Group, Lock, Queue, Result, Task, TaskGroup, create_task, gather,
    get_running_loop, new_event_loop, race, shield, sleep, staggered::staggered_race, timeout,
    wait, wait_for,
};
use std::{
    future::pending,
    hint::spin_loop,
    io::{Read, Write, stdin, stdout},
    process::exit,
    rc::Rc,
    sync::{Mutex, mpsc},
    thread,
    time::Duration,
};

const HOUR: Duration = Duration::from_secs(3600);

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["kinds"] => asyncio::run(kinds()),
        ["ways"] => asyncio::run(ways()),
        ["circle"] => asyncio::run(circle()),
        ["many", count] => asyncio::run(many(count.parse().unwrap_or(1000))),
        ["threads"] => asyncio::run(threads()),
        ["shop"] => asyncio::run(shop()),
        _ => {
            eprintln!("stuck kinds|ways|circle|threads|shop|many N");
            exit(2)
        }
    }
}

/// Says that everything waits, and ends the program when the input ends.
async fn ready() -> Result<()> {
    for _ in 0..3 {
        sleep(Duration::ZERO).await?;
    }
    // In the next iteration, when the caller waits too.
    get_running_loop()?.call_soon(|| -> Result<()> {
        println!("ready");
        thread::spawn(|| {
            let _ = stdin().read(&mut [0]);
            exit(0)
        });
        Ok(stdout().flush()?)
    })?;
    Ok(())
}

/// Gives a task its name.
fn named<T: 'static>(name: &str, task: Task<T>) -> Task<T> {
    task.set_name(name);
    task
}

async fn kinds() -> Result<()> {
    let lock = Rc::new(Lock::new(()));
    let of_lock = lock.clone();
    let holder = named(
        "holder",
        create_task(async move {
            let _guard = of_lock.acquire().await?;
            sleep(HOUR).await
        }),
    );
    let locker = named(
        "locker",
        create_task(async move {
            drop(lock.acquire().await?);
            Ok(())
        }),
    );
    let getter = named(
        "getter",
        create_task(async move {
            Queue::<u32>::new(1).get().await?;
            Ok(())
        }),
    );
    let putter = named(
        "putter",
        create_task(async move {
            let full = Queue::new(1);
            full.put(1).await?;
            full.put(2).await?;
            Ok(())
        }),
    );
    let foreign = named(
        "foreign",
        create_task(async {
            pending::<()>().await;
            Ok(())
        }),
    );
    let inner = named("inner", create_task(sleep(HOUR)));
    let outer = named("outer", create_task(async move { inner.await }));
    ready().await?;
    gather([holder, locker, getter, putter, foreign, outer]).await?;
    Ok(())
}

/// A task that sleeps.
fn sleeper(name: &str) -> Task<()> {
    named(name, create_task(sleep(HOUR)))
}

/// Tasks that wait for others, each in another way.
async fn ways() -> Result<()> {
    let waits = async {
        wait([sleeper("waited"), sleeper("waited too")]).await?;
        Ok(())
    };
    let shields = async { shield(sleeper("shielded")).await };
    let group = async {
        let body = async |group: &mut Group| {
            let child = group.create_task_with(Task::builder().name("child"), sleep(HOUR))?;
            drop(child);
            Ok(())
        };
        TaskGroup::new().with(body).await
    };
    let staggers = async {
        let attempts = ["attempt"].map(|name| move || async move { sleeper(name).await });
        staggered_race(attempts, None).await?;
        Ok(())
    };
    let joins = async {
        let limited = timeout(HOUR).with(async |_| sleeper("joined too").await);
        let (one, two) = asyncio::join!(sleeper("joined"), limited);
        one.and(two)
    };
    let selects = async {
        asyncio::select! {
            outcome = sleeper("selected") => outcome,
            outcome = sleep(HOUR) => outcome,
        }
    };
    let races = async { race([sleeper("raced"), sleeper("raced too")]).await };
    let limits = async {
        let limited = timeout(HOUR).with(async |_| wait_for(sleeper("limited"), HOUR).await);
        limited.await
    };
    let promises = async {
        let promise = asyncio::Future::<()>::new();
        promise.await
    };
    let tasks = [
        named("waits", create_task(waits)),
        named("shields", create_task(shields)),
        named("groups", create_task(group)),
        named("staggers", create_task(staggers)),
        named("joins", create_task(joins)),
        named("selects", create_task(selects)),
        named("races", create_task(races)),
        named("limits", create_task(limits)),
        named("promises", create_task(promises)),
    ];
    ready().await?;
    gather(tasks).await?;
    Ok(())
}

/// Tasks that wait for each other.
async fn circle() -> Result<()> {
    let places: Rc<[Mutex<Option<Task<()>>>; 3]> = Rc::default();
    let names = ["ann", "bob", "cid"];
    for (place, name) in names.into_iter().enumerate() {
        let others = places.clone();
        let task = create_task(async move {
            let next = others[(place + 1) % names.len()].lock().unwrap().take();
            match next {
                Some(next) => next.await,
                None => Ok(()),
            }
        });
        *places[place].lock().unwrap() = Some(named(name, task));
    }
    ready().await?;
    sleep(HOUR).await
}

/// As many tasks as are asked for, beside one that runs all the time.
async fn many(count: usize) -> Result<()> {
    let event = Rc::new(Event::new());
    for _ in 0..count {
        let event = event.clone();
        drop(create_task(async move { event.wait().await }));
    }
    ready().await?;
    loop {
        sleep(Duration::ZERO).await?;
    }
}

/// Three loops: one waits, one is blocked in the system, one does not come back.
async fn threads() -> Result<()> {
    let (sender, receiver) = mpsc::channel();
    let begun = sender.clone();
    thread::Builder::new().name("reader".to_owned()).spawn(move || {
        in_loop("blocks", async move {
            let _ = begun.send(());
            thread::sleep(HOUR);
            Ok(())
        })
    })?;
    // Loops are listed in the order in which they were made.
    let _ = receiver.recv();
    thread::Builder::new().name("spinner".to_owned()).spawn(move || {
        in_loop("spins", async move {
            let _ = sender.send(());
            loop {
                spin_loop();
            }
        })
    })?;
    let _ = receiver.recv();
    ready().await?;
    sleep(HOUR).await
}

/// A program in which something is wrong: a task that never rests, one that blocks its loop, some that are
/// made and never end, and a lock at which many wait.
async fn shop() -> Result<()> {
    let (sender, receiver) = mpsc::channel();
    thread::Builder::new().name("printer".to_owned()).spawn(move || {
        in_loop("print receipts", async move {
            let _ = sender.send(());
            thread::sleep(HOUR);
            Ok(())
        })
    })?;
    let _ = receiver.recv();
    let till = Rc::new(Lock::new(()));
    for number in 1..=8 {
        let till = till.clone();
        let customer = create_task(async move {
            let _guard = till.acquire().await?;
            sleep(HOUR).await
        });
        customer.set_name(format!("customer {number}"));
    }
    let orders = Rc::new(Queue::<u32>::new(20));
    orders.set_name("orders");
    let cook = async move {
        loop {
            orders.get().await?;
        }
    };
    drop(named::<()>("cook", create_task(cook)));
    let poller = async {
        loop {
            sleep(Duration::ZERO).await?;
        }
    };
    drop(named::<()>("poll the door", create_task(poller)));
    ready().await?;
    for number in 1.. {
        let order = create_task(async { wait_for(sleep(HOUR), HOUR).await });
        order.set_name(format!("order {number}"));
        sleep(Duration::from_millis(200)).await?;
    }
    Ok(())
}

fn in_loop(name: &str, main: impl Future<Output = Result<()>> + 'static) -> Result<()> {
    let event_loop = new_event_loop()?;
    let task = event_loop.create_task(main);
    task.set_name(name);
    event_loop.run_until_complete(task)
}
