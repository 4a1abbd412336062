//! A future that several scopes or tasks poll (`Shared`): each is suspended in something foreign, and a
//! request to one of them does not come out of the others.

use asyncio::{
    AsyncContextManager, Error, Result, Task, TaskGroup, create_task, current_task,
    get_running_loop, join, sleep, wait_for,
};
use asyncio_tests::support::{MS, Trace, boom, cancelled, run};
use futures_util::future::{self, FutureExt, Shared};
use std::{future::Future, pin::Pin};

type Part = Shared<Pin<Box<dyn Future<Output = Result<u32>>>>>;

/// Ends after 50 ms, for all clones.
fn shared() -> Part {
    let body: Pin<Box<dyn Future<Output = Result<u32>>>> =
        Box::pin(async { sleep(50 * MS).result(7).await });
    body.shared()
}

type End = (&'static str, u128);

/// How a future ended, and when.
async fn end<T>(part: impl Future<Output = Result<T>>) -> End {
    let outcome = part.await;
    let now = get_running_loop().unwrap().time().as_millis();
    (outcome.as_ref().map_or_else(Error::kind, |_| "ok"), now)
}

const LATE: End = ("TimeoutError", 10);
const OK: End = ("ok", 50);

#[test]
fn a_limit_around_one_clone_leaves_the_others_alone() {
    run(async {
        let (part, limited) = (shared(), |part: Part| wait_for(part, 10 * MS));
        let long = wait_for(part.clone(), 100 * MS);
        assert_eq!(future::join(end(limited(part.clone())), end(long)).await, (LATE, OK));
        Ok(())
    });
    run(async {
        let part = shared();
        let long = wait_for(part.clone(), 100 * MS);
        let limited = wait_for(part, 10 * MS);
        assert_eq!(future::join(end(long), end(limited)).await, (OK, LATE));
        Ok(())
    });
    run(async {
        let part = shared();
        let limited = wait_for(part.clone(), 10 * MS);
        assert_eq!(future::join(end(limited), end(part)).await, (LATE, OK));
        Ok(())
    });
    run(async {
        let part = shared();
        let limited = wait_for(part.clone(), 10 * MS);
        assert_eq!(future::join(end(part), end(limited)).await, (OK, LATE));
        assert_eq!(current_task().unwrap().cancelling(), 0);
        Ok(())
    });
}

#[test]
fn each_limit_around_a_clone_expires_at_its_time() {
    run(async {
        let part = shared();
        let limited = |ms: u32| end(wait_for(part.clone(), ms * MS));
        let ends = future::join3(limited(20), limited(10), limited(100)).await;
        assert_eq!(ends, (("TimeoutError", 20), LATE, OK));
        let tasks = [10_u32, 20].map(|ms| {
            let part = shared();
            create_task(async move { Ok(end(wait_for(part, ms * MS)).await.0) })
        });
        for task in tasks {
            assert_eq!(task.await?, "TimeoutError");
        }
        Ok(())
    });
}

#[test]
fn a_group_that_fails_ends_no_clone_in_another_scope() {
    run(async {
        let part = shared();
        let failing = TaskGroup::new().with(async |group| {
            let _failing: Task<()> = group.create_task(async {
                sleep(10 * MS).await?;
                Err(boom())
            });
            part.clone().await
        });
        let other = wait_for(part.clone(), 100 * MS);
        let ends = future::join(end(failing), end(other)).await;
        assert_eq!(ends, (("ExceptionGroup", 10), OK));
        Ok(())
    });
}

#[test]
fn a_cancelled_task_ends_each_of_its_scopes_around_a_clone_and_no_other_task() {
    for is_first in [true, false] {
        run(async move {
            let part = shared();
            let spawn_other = || create_task(part.clone());
            let early = (!is_first).then(spawn_other);
            let (one, two) = (part.clone(), part.clone());
            let task = create_task(async move {
                let limited = end(wait_for(two, 100 * MS));
                let (one, two) =
                    join!(async { one.await }, async { Ok::<_, Error>(limited.await) });
                Ok((cancelled(&one), two?))
            });
            let other = early.unwrap_or_else(spawn_other);
            sleep(5 * MS).await?;
            task.cancel();
            assert_eq!(task.await?, (true, ("CancelledError", 5)));
            assert_eq!(end(other).await, OK);
            Ok(())
        });
    }
}

/// A context manager whose `exit` awaits.
struct Manager(Trace);

impl AsyncContextManager for Manager {
    type Target = ();
    async fn enter(&mut self) -> Result<()> {
        Ok(())
    }
    async fn exit(&mut self, (): (), error: Option<&Error>) -> Result<()> {
        sleep(MS).await?;
        self.0.say(error.map_or("closed", Error::kind));
        Ok(())
    }
}

#[test]
fn a_context_manager_around_a_clone_cleans_up_whichever_task_polled_last() {
    for is_first in [true, false] {
        run(async move {
            let (part, trace) = (shared(), Trace::new());
            let spawn_other = || create_task(part.clone());
            let early = (!is_first).then(spawn_other);
            let (inside, manager) = (part.clone(), Manager(trace.clone()));
            let task = create_task(manager.with(async move |()| inside.await));
            let other = early.unwrap_or_else(spawn_other);
            sleep(5 * MS).await?;
            task.cancel();
            assert_eq!(end(task).await, ("CancelledError", 6));
            assert_eq!(trace.take(), "CancelledError");
            assert_eq!(end(other).await, OK);
            Ok(())
        });
    }
}
