//! Generators in tasks of a loop: cancellations, scopes around a `send`, and what the loop closes.

use asyncio::{Error, Generator, GeneratorExit, Runner, prelude::*};
use std::{
    cell::{Cell, RefCell},
    future::pending,
    rc::Rc,
    time::Duration,
};

const SEC: Duration = Duration::from_secs(1);

type Log = Rc<RefCell<Vec<String>>>;

/// Sends 1, 2, … a second apart, and writes down how it ends.
fn numbers(log: &Log) -> Generator<u32> {
    let log = log.clone();
    asyncio::generator(async move |y| {
        let mut n = 0;
        let outcome: asyncio::Result<()> = async {
            loop {
                n += 1;
                y.send(n).await?;
                asyncio::sleep(SEC).await?;
            }
        }
        .await;
        asyncio::sleep(SEC).await?;
        log.borrow_mut().push(format!("{n}: {}", outcome.as_ref().unwrap_err()));
        outcome
    })
}

const EXIT: &str = "the generator is being closed";

#[asyncio::test(virtual_time = true)]
async fn a_cancellation_arrives_at_what_the_body_awaits() {
    let log = Log::default();
    let mut stream = numbers(&log);
    let consumer = asyncio::create_task(async move {
        while let Some(n) = stream.next().await {
            n?;
        }
        Ok(())
    });
    asyncio::sleep(SEC * 5 / 2).await.unwrap();
    consumer.cancel();
    assert!(consumer.await.unwrap_err().is_cancelled());
    assert_eq!(*log.borrow(), ["3: cancelled"]);
}

#[asyncio::test(virtual_time = true)]
async fn between_two_values_the_consumer_is_cancelled_and_not_the_body() {
    let log = Log::default();
    let mut stream = numbers(&log);
    let consumer = asyncio::create_task(async move {
        stream.next().await;
        assert!(asyncio::sleep(10 * SEC).await.unwrap_err().is_cancelled());
        // The body knows nothing of it.
        assert_eq!(stream.next().await.unwrap()?, 2);
        stream.aclose().await
    });
    asyncio::sleep(SEC).await.unwrap();
    consumer.cancel();
    consumer.await.unwrap();
    assert_eq!(*log.borrow(), [format!("2: {EXIT}")]);
}

/// A resource that writes down how it was left.
struct Resource(Log);

impl AsyncContextManager for Resource {
    type Target = ();
    async fn enter(&mut self) -> asyncio::Result<()> {
        Ok(())
    }
    async fn exit(&mut self, (): (), error: Option<&Error>) -> asyncio::Result<()> {
        let error = error.map_or("nothing".into(), Error::to_string);
        self.0.borrow_mut().push(error);
        Ok(())
    }
}

/// Sends within a scope, in which it then waits for something foreign.
fn scoped(log: &Log) -> Generator<u32> {
    let resource = Resource(log.clone());
    asyncio::generator(async move |y| {
        resource
            .with(async |()| {
                y.send(1).await?;
                y.send(2).await?;
                pending::<asyncio::Result<()>>().await
            })
            .await
    })
}

#[asyncio::test(virtual_time = true)]
async fn a_scope_around_a_send_is_no_foreign_wait() {
    let log = Log::default();
    let mut stream = scoped(&log);
    let consumer = asyncio::create_task(async move {
        assert_eq!(stream.next().await.unwrap()?, 1);
        assert!(asyncio::sleep(10 * SEC).await.is_err());
        // The cancellation was for the sleep alone.
        assert_eq!(stream.next().await.unwrap()?, 2);
        Ok(stream)
    });
    asyncio::sleep(SEC).await.unwrap();
    consumer.cancel();
    let mut stream = consumer.await.unwrap();
    assert!(log.borrow().is_empty());
    stream.aclose().await.unwrap();
    assert_eq!(*log.borrow(), [EXIT]);
}

#[asyncio::test(virtual_time = true)]
async fn a_foreign_wait_after_a_send_is_cancelled_at_the_scope_in_the_body() {
    let log = Log::default();
    let mut stream = scoped(&log);
    let seen = log.clone();
    let consumer = asyncio::create_task(async move {
        let mut items = Vec::new();
        while let Some(item) = stream.next().await {
            items.push(item.is_ok());
        }
        seen.borrow_mut().push(format!("{items:?}"));
        Ok(())
    });
    asyncio::sleep(SEC).await.unwrap();
    consumer.cancel();
    consumer.await.unwrap();
    assert_eq!(*log.borrow(), ["cancelled", "[true, true, false]"]);
}

#[test]
fn the_runner_closes_what_is_left() {
    let log = Log::default();
    let kept: Rc<RefCell<Vec<Generator<u32>>>> = Rc::default();
    let (inside, inside_log) = (kept.clone(), log.clone());
    Runner::new()
        .virtual_time(true)
        .with(|runner| {
            runner.run(async move {
                let (mut begun, fresh) = (numbers(&inside_log), numbers(&inside_log));
                begun.next().await;
                let mut ended = asyncio::generator(async |y| y.send(1).await);
                while ended.next().await.is_some() {}
                inside.borrow_mut().extend([begun, fresh, ended]);
                Ok(())
            })
        })
        .unwrap();
    assert_eq!(*log.borrow(), [format!("1: {EXIT}")]);
    drop(kept);
}

#[asyncio::test(virtual_time = true)]
async fn shutting_down_closes_all_at_once_and_reports_what_fails() -> asyncio::Result<()> {
    let event_loop = asyncio::get_running_loop()?;
    let reports = Log::default();
    let reported = reports.clone();
    event_loop.set_exception_handler(move |_, context| {
        assert!(context.note("asyncgen").is_some());
        let error = context.exception().map(Error::to_string);
        reported.borrow_mut().push(error.unwrap_or_default());
    });
    let closed = Rc::new(Cell::new(0));
    let mut generators: Vec<Generator<u32>> = (0..3)
        .map(|n| {
            let closed = closed.clone();
            asyncio::generator(async move |y| {
                let error = y.send(n).await.unwrap_err();
                assert!(error.downcast_ref::<GeneratorExit>().is_some());
                asyncio::sleep(SEC).await?;
                closed.set(closed.get() + 1);
                if n == 1 { Err(Error::msg("stuck")) } else { Err(error) }
            })
        })
        .collect();
    for generator in &mut generators {
        generator.next().await;
    }
    let before = event_loop.time();
    event_loop.shutdown_asyncgens().await?;
    assert_eq!((closed.get(), event_loop.time() - before), (3, SEC));
    assert_eq!(*reports.borrow(), ["stuck"]);
    assert!(generators[0].next().await.is_none());
    Ok(())
}

#[asyncio::test(virtual_time = true)]
async fn a_yield_costs_no_iteration() -> asyncio::Result<()> {
    let turns = Rc::new(Cell::new(0));
    let counted = turns.clone();
    let counter = asyncio::create_task(async move {
        loop {
            asyncio::sleep(Duration::ZERO).await?;
            counted.set(counted.get() + 1);
        }
        #[allow(unreachable_code)]
        Ok(())
    });
    let mut stream = asyncio::generator(async |y| {
        for n in 0..100 {
            y.send(n).await?;
        }
        Ok(())
    });
    while let Some(n) = stream.next().await {
        n?;
    }
    assert_eq!(turns.get(), 0);
    counter.cancel();
    Ok(())
}

/// Sends once, and closes `inner` in its clean-up.
fn closes(inner: Generator<u32>, begun: bool) -> Generator<u32> {
    asyncio::generator(async move |y| {
        let mut inner = inner;
        if !begun {
            inner.next().await.unwrap()?;
        }
        let sent = y.send(0).await;
        inner.aclose().await?;
        sent
    })
}

#[test]
fn a_generator_that_closes_another_at_the_end_of_the_run_does_not_hang_it() {
    for inner_is_first in [false, true] {
        let (log, reports) = (Log::default(), Log::default());
        let kept: Rc<Cell<Option<Generator<u32>>>> = Rc::default();
        let (inside, inside_log, reported) = (kept.clone(), log.clone(), reports.clone());
        Runner::new()
            .virtual_time(true)
            .with(|runner| {
                runner.run(async move {
                    let event_loop = asyncio::get_running_loop()?;
                    event_loop.set_exception_handler(move |_, context| {
                        let error = context.exception().map(Error::to_string);
                        reported.borrow_mut().push(error.unwrap_or_default());
                    });
                    let mut inner = numbers(&inside_log);
                    if inner_is_first {
                        inner.next().await.unwrap()?;
                    }
                    let mut outer = closes(inner, inner_is_first);
                    outer.next().await.unwrap()?;
                    inside.set(Some(outer));
                    Ok(())
                })
            })
            .unwrap();
        // The second closer is refused, whichever it is.
        assert_eq!(*log.borrow(), [format!("1: {EXIT}")]);
        assert_eq!(*reports.borrow(), ["Generator.aclose: the generator is already running"]);
        assert!(kept.take().is_some());
    }
}

#[asyncio::test(virtual_time = true)]
async fn a_generator_that_the_loop_closes_gives_no_value_meanwhile() -> asyncio::Result<()> {
    let log = Log::default();
    let mut stream = numbers(&log);
    stream.next().await.unwrap()?;
    let event_loop = asyncio::get_running_loop()?;
    let closing = asyncio::create_task(async move { event_loop.shutdown_asyncgens().await });
    asyncio::sleep(SEC / 2).await?;
    let refused = stream.next().await.unwrap().unwrap_err();
    assert_eq!(refused.to_string(), "Generator.next: the generator is already running");
    let refused = stream.aclose().await.unwrap_err();
    assert_eq!(refused.to_string(), "Generator.aclose: the generator is already running");
    closing.await?;
    assert_eq!(*log.borrow(), [format!("1: {EXIT}")]);
    assert!(stream.next().await.is_none());
    stream.aclose().await
}

#[asyncio::test(virtual_time = true)]
async fn a_close_that_is_given_up_lets_the_body_send_again() -> asyncio::Result<()> {
    let mut stream = asyncio::generator(async |y| {
        while y.send(1).await.is_ok() {}
        asyncio::sleep(SEC).await?;
        y.send(2).await
    });
    stream.next().await.unwrap()?;
    let mut closing = stream.aclose();
    assert!(futures_lite::future::poll_once(&mut closing).await.is_none());
    drop(closing);
    assert_eq!(stream.next().await.unwrap()?, 2);
    stream.aclose().await
}
