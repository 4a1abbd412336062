//! Generators under a foreign executor. The parts that need a loop are tested with the loop.

use super::*;
use futures_lite::{
    StreamExt,
    future::{block_on, poll_once, yield_now},
};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
};

type Log = Rc<RefCell<Vec<&'static str>>>;

/// Sends 1 and 2, and records how it ends.
fn two(log: &Log) -> Generator<i32> {
    let log = log.clone();
    generator(async move |y| {
        let sent = async {
            y.send(1).await?;
            log.borrow_mut().push("between");
            y.send(2).await
        };
        let outcome = sent.await;
        yield_now().await;
        log.borrow_mut().push(if outcome.is_ok() { "end" } else { "closed" });
        outcome
    })
}

#[test]
fn the_body_runs_only_when_it_is_asked() {
    let log = Log::default();
    let mut numbers = two(&log);
    block_on(async {
        assert_eq!(numbers.next().await.unwrap().unwrap(), 1);
        assert!(log.borrow().is_empty());
        assert_eq!(numbers.next().await.unwrap().unwrap(), 2);
        assert_eq!(*log.borrow(), ["between"]);
        assert!(numbers.next().await.is_none());
        assert_eq!(*log.borrow(), ["between", "end"]);
        assert!(numbers.next().await.is_none());
    });
}

#[test]
fn it_is_a_stream_like_any_other() {
    let squares = generator(async |y| {
        for n in 1..=3 {
            y.send(n * n).await?;
        }
        Ok(())
    });
    let squares: Vec<i32> = block_on(squares.try_collect()).unwrap();
    assert_eq!(squares, [1, 4, 9]);
}

#[test]
fn an_error_of_the_body_is_the_last_item() {
    let mut failing = generator(async |y| {
        y.send(1).await?;
        Err(Error::msg("no more"))
    });
    block_on(async {
        assert!(failing.next().await.unwrap().is_ok());
        assert_eq!(failing.next().await.unwrap().unwrap_err().to_string(), "no more");
        assert!(failing.next().await.is_none());
    });
}

#[test]
fn closing_lets_the_body_clean_up() {
    let log = Log::default();
    let mut numbers = two(&log);
    block_on(async {
        numbers.next().await;
        numbers.aclose().await.unwrap();
        assert_eq!(*log.borrow(), ["closed"]);
        assert!(numbers.next().await.is_none());
        numbers.aclose().await.unwrap();
    });
}

#[test]
fn one_that_never_ran_is_dropped_when_it_is_closed() {
    let log = Log::default();
    let mut numbers = two(&log);
    block_on(numbers.aclose()).unwrap();
    assert!(log.borrow().is_empty());
    assert_eq!(Rc::strong_count(&log), 1);
}

#[test]
fn a_body_that_ignores_the_exit_is_dropped() {
    let mut stubborn = generator(async |y| {
        loop {
            let _ = y.send(1).await;
        }
        #[allow(unreachable_code)]
        Ok(())
    });
    block_on(async {
        stubborn.next().await;
        let error = stubborn.aclose().await.unwrap_err();
        assert_eq!(error.to_string(), "the generator ignored GeneratorExit");
        assert!(stubborn.next().await.is_none());
    });
}

#[test]
fn the_error_of_a_clean_up_comes_out_of_closing() {
    let mut failing = generator(async |y| {
        let _ = y.send(1).await;
        Err(Error::msg("cannot clean up"))
    });
    block_on(async {
        failing.next().await;
        assert_eq!(failing.aclose().await.unwrap_err().to_string(), "cannot clean up");
    });
}

#[test]
fn a_body_stopped_in_an_await_is_told_at_its_next_send() {
    let log = Log::default();
    let inner = log.clone();
    let mut numbers = generator(async move |y| {
        yield_now().await;
        inner.borrow_mut().push("awaited");
        y.send(1).await
    });
    block_on(async {
        assert!(poll_once(numbers.next()).await.is_none());
        numbers.aclose().await.unwrap();
    });
    assert_eq!(*log.borrow(), ["awaited"]);
}

#[test]
fn parts_of_the_body_may_send_at_the_same_time() {
    let both = generator(async |y| {
        let (a, b) = futures_lite::future::zip(y.send('a'), y.send('b')).await;
        a.and(b)
    });
    let both: String = block_on(both.try_collect()).unwrap();
    assert_eq!(both, "ab");
}

#[test]
fn a_send_that_lost_takes_its_value_back() {
    let mut numbers = generator(async |y| {
        futures_lite::future::or(y.send(1), async { Ok(()) }).await?;
        y.send(2).await
    });
    assert_eq!(block_on(numbers.next()).unwrap().unwrap(), 2);
}

#[test]
fn sending_from_elsewhere_is_an_error() {
    let stolen = Rc::new(RefCell::new(None));
    let thief = stolen.clone();
    let mut empty = generator(async move |y: Yielder<i32>| {
        thief.replace(Some(y));
        Ok(())
    });
    block_on(async {
        assert!(empty.next().await.is_none());
        let yielder = stolen.take().unwrap();
        assert!(yielder.send(1).await.unwrap_err().to_string().contains("outside"));
    });
}

#[test]
fn a_panic_of_the_body_comes_out_and_ends_it() {
    let mut falling = generator(async |y: Yielder<i32>| {
        y.send(1).await?;
        panic!("fell")
    });
    block_on(falling.next()).unwrap().unwrap();
    let fall = catch_unwind(AssertUnwindSafe(|| block_on(falling.next()).map(|_| ())));
    assert_eq!(*fall.unwrap_err().downcast_ref::<&str>().unwrap(), "fell");
    assert!(block_on(falling.next()).is_none());
}
