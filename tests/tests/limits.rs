//! The limit of `gather` and `as_completed`: how many coroutines run at the same time, in which order they begin, and
//! what happens to those that have not begun.

use asyncio::{Error, Result, as_completed, create_task, gather, sleep};
use asyncio_tests::support::{MS, Trace, briefly, cancelled, run};
use std::future::Future;

/// Coroutines that say when they begin and end; each takes so many milliseconds.
fn workers<const N: usize>(
    trace: &Trace,
    durations: [u32; N],
) -> [impl Future<Output = Result<usize>> + 'static; N] {
    let mut number = 0;
    durations.map(|duration| {
        let (trace, n) = (trace.clone(), number);
        number += 1;
        async move {
            trace.say(n);
            sleep(MS * duration).await?;
            trace.say(format!("/{n}"));
            Ok(n)
        }
    })
}

#[test]
fn of_a_gather_so_many_run_at_once_and_begin_in_order() {
    run(async {
        let trace = Trace::new();
        let results = gather(workers(&trace, [3, 1, 1, 2, 1])).limit(2).await?;
        assert_eq!(results, [0, 1, 2, 3, 4]);
        assert_eq!(trace.take(), "0 1 /1 2 /2 3 /0 4 /3 /4");
        // Zero is one.
        gather(workers(&trace, [2, 1])).limit(0).return_exceptions().await?;
        assert_eq!(trace.take(), "0 /0 1 /1");
        gather(workers(&trace, [2, 1])).return_exceptions().limit(1).await?;
        assert_eq!(trace.take(), "0 /0 1 /1");
        gather(workers(&trace, [2, 1])).await?;
        assert_eq!(trace.take(), "0 1 /1 /0");
        Ok(())
    });
}

#[test]
fn of_as_completed_so_many_run_at_once_and_begin_in_order() {
    run(async {
        let (trace, mut order) = (Trace::new(), Vec::new());
        let mut results = as_completed(workers(&trace, [3, 1, 1])).limit(2);
        while let Some(n) = results.next().await {
            order.push(n?);
        }
        assert_eq!((trace.take().as_str(), order), ("0 1 /1 2 /2 /0", vec![1, 2, 0]));
        Ok(())
    });
}

#[test]
fn what_has_not_begun_when_the_gathering_is_cancelled_never_begins() {
    run(async {
        let trace = Trace::new();
        let gathering = gather(workers(&trace, [5, 5, 5])).limit(1);
        let task = create_task(gathering.into_inner());
        sleep(MS).await?;
        task.cancel();
        assert!(cancelled(&task.await));
        sleep(MS * 20).await?;
        assert_eq!(trace.take(), "0");
        Ok(())
    });
}

/// Three coroutines that say when they begin; each goes on with `then`.
fn beginners<T>(
    trace: &Trace,
    then: impl AsyncFn(usize) -> Result<T> + Clone + 'static,
) -> [impl Future<Output = Result<T>> + 'static; 3] {
    [0, 1, 2].map(|n| {
        let (trace, then) = (trace.clone(), then.clone());
        async move {
            trace.say(n);
            then(n).await
        }
    })
}

#[test]
fn after_an_error_the_others_begin_in_their_turn() {
    run(async {
        let trace = Trace::new();
        let work = beginners(&trace, async |n| {
            sleep(MS).await?;
            if n == 0 { Err(Error::msg("boom")) } else { Ok(()) }
        });
        assert!(gather(work).limit(1).await.is_err());
        assert_eq!(trace.take(), "0 1");
        sleep(MS * 5).await?;
        assert_eq!(trace.take(), "2");
        Ok(())
    });
}

#[test]
fn a_coroutine_that_panics_or_is_cancelled_lets_the_next_begin() {
    run(async {
        let trace = Trace::new();
        let work = beginners(&trace, async |n| {
            match n {
                0 => panic!("over"),
                1 => asyncio::current_task().map(|task| task.cancel()),
                _ => None,
            };
            briefly().await
        });
        let outcomes = gather(work).limit(1).return_exceptions().await?;
        assert!(matches!(&outcomes[0], Err(Error::Panic(_))));
        assert!(cancelled(&outcomes[1]) && outcomes[2].is_ok());
        assert_eq!(trace.take(), "0 1 2");
        Ok(())
    });
}

#[test]
fn tasks_that_run_already_do_not_count() {
    run(async {
        let trace = Trace::new();
        let tasks = workers(&trace, [2, 2]).map(create_task);
        gather(tasks).limit(1).await?;
        assert_eq!(trace.take(), "0 1 /0 /1");
        Ok(())
    });
}

#[test]
fn a_coroutine_that_waits_for_its_turn_says_so() {
    run(async {
        let trace = Trace::new();
        let task = create_task(gather(workers(&trace, [5, 5])).limit(1).into_inner());
        sleep(MS).await?;
        let graphs = asyncio::get_running_loop()?.format_call_graphs();
        assert!(graphs.contains("gather at tests/tests/limits.rs"), "{graphs}");
        task.cancel();
        assert!(cancelled(&task.await));
        Ok(())
    });
}
