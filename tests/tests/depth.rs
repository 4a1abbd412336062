//! Structures that are nested deeper than the stack would allow for recursion: gathers of gathers, groups
//! of tasks, contexts of errors.

use asyncio::{
    Error, ExceptionGroup, Future, Result, TaskGroup, create_task, gather, prelude::*, sleep,
};
use asyncio_tests::support::{MS, briefly, cancelled, outcome_of, run};

const DEEP: u32 = 100_000;

#[derive(Clone)]
struct Sum(u32);

impl FromIterator<Sum> for Sum {
    fn from_iter<I: IntoIterator<Item = Sum>>(parts: I) -> Sum {
        Sum(parts.into_iter().map(|Sum(n)| n).sum())
    }
}

/// A gather of a gather of …, around a future.
fn nested(innermost: &Future<Sum>) -> Future<Sum> {
    (0..DEEP).fold(innermost.clone(), |inner, _| gather([inner]).collect::<Sum>().into_inner())
}

#[test]
fn gathers_of_gathers_are_cancelled_without_recursion() {
    run(async {
        let innermost = Future::new();
        let outermost = nested(&innermost);
        assert!(outermost.cancel());
        assert!(innermost.cancelled() && !outermost.done());
        assert!(cancelled(&outermost.await));
        let innermost = Future::new();
        let task = create_task(nested(&innermost));
        briefly().await?;
        task.cancel();
        assert!(innermost.cancelled() && !task.done());
        assert!(cancelled(&task.await));
        Ok(())
    });
}

#[test]
fn gathers_of_gathers_end_and_are_dropped_without_recursion() {
    run(async {
        let innermost = Future::new();
        let outermost = nested(&innermost);
        innermost.set_result(Sum(7)).map_err(Error::from)?;
        assert_eq!(outermost.await?.0, 7);
        Ok(())
    });
    // Dropped with the loop, and after it.
    for is_kept in [false, true] {
        let kept = outcome_of(async move {
            let outermost = nested(&Future::new());
            Ok(is_kept.then_some(outermost))
        });
        drop(kept.unwrap());
    }
}

#[test]
fn a_task_in_deeply_nested_groups_is_cancelled_without_recursion() {
    type Boxed = std::pin::Pin<Box<dyn std::future::Future<Output = Result<()>>>>;
    fn nest(n: u32) -> Boxed {
        Box::pin(async move {
            if n == 0 {
                return Future::new().await;
            }
            let body = async move |group: &mut asyncio::Group| {
                drop(group.create_task(nest(n - 1)));
                Ok(())
            };
            TaskGroup::new().with(body).await
        })
    }
    run(async {
        let task = create_task(nest(10_000));
        sleep(MS).await?;
        task.cancel();
        assert!(cancelled(&task.await));
        // Left to the end of the run.
        drop(create_task(nest(10_000)));
        sleep(MS).await
    });
}

#[test]
fn deep_contexts_and_groups_are_made_shown_and_dropped_without_recursion() {
    let mut error = Error::runtime("first");
    for n in 0..DEEP {
        error = match n % 2 {
            0 => Error::value("next").with_context(error),
            _ => Error::Group(ExceptionGroup::new("next", [error])),
        };
    }
    let error = error.with_context(Error::runtime("last"));
    assert!(format!("{error:?}").len() < 10_000);
    drop(error);
    let contexts = (0..DEEP)
        .fold(Error::runtime("first"), |error, _| Error::value("next").with_context(error));
    let error = contexts.clone().with_context(Error::runtime("last"));
    drop(contexts);
    let last = std::iter::successors(Some(&error), |error| error.context()).last();
    assert_eq!(last.map(Error::to_string).as_deref(), Some("last"));
}
