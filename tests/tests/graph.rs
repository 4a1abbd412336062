//! The call graph: CPython's `test_asyncio.test_graph`, and the differences from it.

use asyncio::{
    AsyncContextManager, Error, FrameCallGraphEntry, Future, FutureCallGraph, Result, Task,
    TaskGroup, capture_call_graph, create_task, current_task, format_call_graph,
    future_add_to_awaited_by, future_discard_from_awaited_by, get_running_loop, print_call_graph,
    sleep, timeout,
};
use asyncio_tests::support::{MS, briefly, iterations, run, virtual_loop};
use futures_util::{StreamExt, stream::FuturesUnordered};
use std::{cell::RefCell, future::Future as StdFuture, pin::Pin, rc::Rc, time::Duration};

/// `name[created, …]`, and in parentheses what awaits it. Tasks without a name are `T`.
fn shape(graph: &FutureCallGraph) -> String {
    let name = match graph.task() {
        Some(task) if task.is_named() => task.name().to_string(),
        Some(_) => "T".to_owned(),
        None => "F".to_owned(),
    };
    let stack: Vec<&str> = graph.call_stack().iter().map(FrameCallGraphEntry::what).collect();
    let awaited_by: Vec<String> = graph.awaited_by().map(|graph| shape(&graph)).collect();
    match awaited_by.is_empty() {
        true => format!("{name}[{}]", stack.join(", ")),
        false => format!("{name}[{}]({})", stack.join(", "), awaited_by.join(" ")),
    }
}

/// The place in which the deepest coroutine stores its observation.
#[derive(Clone, Default)]
struct Seen(Rc<RefCell<String>>);

impl Seen {
    fn capture(&self) -> Result<()> {
        let graph = capture_call_graph(None)?.ok_or_else(|| Error::msg("no task runs"))?;
        self.0.replace(shape(&graph));
        Ok(())
    }

    async fn deep(self) -> Result<()> {
        briefly().await?;
        self.capture()
    }

    #[track_caller]
    fn assert(&self, expected: &str) {
        assert_eq!(*self.0.borrow(), expected);
    }
}

// CPython's tests.

#[test]
fn test_stack_tgroup() {
    run(async {
        let seen = Seen::default();
        let deep = seen.clone();
        TaskGroup::new()
            .with(async |group| {
                let root = Task::builder().name("c2_root");
                let task = group.create_task_with(root, deep.deep())?;
                for name in ["sub_main_1", "sub_main_2"] {
                    let task = task.clone();
                    let builder = Task::builder().name(name);
                    drop(group.create_task_with(builder, async move { task.await })?);
                }
                Ok(())
            })
            .await?;
        seen.assert(
            // The scope of the group, and the wait at its end.
            "c2_root[created, running](T[created, TaskGroup, TaskGroup] \
             sub_main_1[created, Task](T[created, TaskGroup, TaskGroup]) \
             sub_main_2[created, Task](T[created, TaskGroup, TaskGroup]))",
        );
        Ok(())
    });
}

#[test]
fn test_stack_async_gen() {
    run(async {
        let seen = Seen::default();
        let inside = seen.clone();
        let mut numbers = asyncio::generator(async move |y| {
            for n in 0..2 {
                y.send(n).await?;
                if n == 1 {
                    inside.capture()?;
                }
            }
            Ok(())
        });
        while let Some(n) = numbers.next().await {
            n?;
        }
        seen.assert("T[created, running]");
        Ok(())
    });
}

#[test]
fn test_stack_gather() {
    run(async {
        let seen = Seen::default();
        asyncio::gather!(seen.clone().deep(), briefly()).await?;
        seen.assert("T[created, running](T[created, gather])");
        Ok(())
    });
}

#[test]
fn test_stack_shield() {
    run(async {
        let seen = Seen::default();
        asyncio::shield(seen.clone().deep()).await?;
        seen.assert("T[created, running](T[created, shield])");
        Ok(())
    });
}

#[test]
fn test_stack_timeout() {
    run(async {
        let seen = Seen::default();
        let inside = seen.clone();
        asyncio::shield(async move {
            timeout(Duration::from_secs(1)).with(async |_| inside.deep().await).await
        })
        .await?;
        seen.assert("T[created, timeout, running](T[created, shield])");
        Ok(())
    });
}

#[test]
fn test_stack_wait() {
    run(async {
        let seen = Seen::default();
        let tasks = [create_task(seen.clone().deep()), create_task(iterations(3))];
        asyncio::wait(tasks).await?;
        seen.assert("T[created, running](T[created, wait])");
        Ok(())
    });
}

#[test]
fn test_stack_task() {
    run(async {
        let seen = Seen::default();
        Task::builder().name("there there").create(seen.clone().deep()).await?;
        seen.assert("there there[created, running](T[created, Task])");
        Ok(())
    });
}

#[test]
fn test_stack_future() {
    run(async {
        let future = Future::<()>::new();
        let outcome = TaskGroup::new().with(async |group| {
            for name in ["task A", "task B"] {
                let future = future.clone();
                let builder = Task::builder().name(name);
                drop(group.create_task_with(builder, async move { future.await })?);
            }
            iterations(5).await?;
            let graph = capture_call_graph(&future)?.expect("it is given");
            // Python has the group's task here as well: it counts children, not the tasks that
            // await them.
            assert_eq!(shape(&graph), "F[](task A[created, Future] task B[created, Future])");
            assert!(format_call_graph(&future)?.starts_with("* Future(id="));
            future.set_result(())?;
            Ok(())
        });
        outcome.await
    });
}

// The text of an entry.

#[test]
fn a_wait_for_a_task_or_future_names_the_line_of_the_await() {
    run(async {
        let future = Future::<()>::new();
        let first = create_task(future.clone());
        let made = first.clone();
        let (line, awaiting) = (line!(), async move { first.await });
        let second = create_task(awaiting);
        let borrowed = second.clone();
        let third = create_task(async move {
            let mut borrowed = borrowed;
            (&mut borrowed).await
        });
        let (boxed_at, boxed) = (line!(), second.clone());
        let fourth = create_task(async move {
            let boxed: Pin<Box<dyn StdFuture<Output = Result<()>>>> = Box::pin(boxed);
            boxed.await
        });
        briefly().await?;
        let at = |task: &Task<()>| {
            let graph = capture_call_graph(task).unwrap().unwrap();
            graph.call_stack().last().and_then(|entry| entry.location()).unwrap()
        };
        assert_eq!((at(&second).file(), at(&second).line()), (file!(), line));
        // By way of a reference or a Box there is no such line: where the task was made.
        assert_eq!(at(&third), second.spawned_at());
        assert_eq!(at(&fourth), second.spawned_at());
        assert!(second.spawned_at().line() < boxed_at);
        // The future is the coroutine itself, so no `.await` polls it.
        assert_eq!(at(&made), future.made_at());
        future.set_result(())?;
        asyncio::gather([third, fourth]).await.map(drop)
    });
}

#[test]
fn the_innermost_scope_stands_last_before_the_wait() {
    run(async {
        let sleeping = create_task(async {
            TaskGroup::new()
                .with(async |_| {
                    timeout(None).with(async |_| asyncio::wait_for(sleep(MS), 2 * MS).await).await
                })
                .await
        });
        briefly().await?;
        let graph = capture_call_graph(&sleeping)?.unwrap();
        assert_eq!(shape(&graph), "T[created, TaskGroup, timeout, wait_for, sleep]");
        sleeping.await
    });
}

#[test]
fn several_awaits_in_one_task_share_the_scopes_around_them() {
    run(async {
        let other = create_task(sleep(MS));
        let watched = other.clone();
        let joining = create_task(async move {
            timeout(None)
                .with(async |_| {
                    let (a, b) = asyncio::join!(sleep(MS), async { watched.await });
                    a.and(b)
                })
                .await
        });
        let racing = other.clone();
        let selecting = create_task(async move {
            asyncio::select! {
                outcome = racing => outcome,
                outcome = Future::new() => outcome,
            }
        });
        briefly().await?;
        let graph = capture_call_graph(&joining)?.unwrap();
        assert_eq!(shape(&graph), "T[created, timeout, sleep, join!, Task]");
        let graph = capture_call_graph(&other)?.unwrap();
        let waiters: Vec<_> = graph.awaited_by().filter_map(|graph| graph.task()).collect();
        assert_eq!(waiters, [joining.any(), selecting.any()]);
        joining.await?;
        selecting.await
    });
}

#[test]
fn a_foreign_future_is_shown_as_such() {
    run(async {
        let nap = create_task(sleep(MS));
        let awaited = nap.clone();
        let foreign = create_task(async move {
            let mut all = FuturesUnordered::from_iter([awaited]);
            all.next().await.unwrap_or(Ok(()))
        });
        let never = create_task(async {
            std::future::pending::<()>().await;
            Ok(())
        });
        let scoped = create_task(asyncio::cancellable(std::future::pending::<Result<()>>()));
        briefly().await?;
        let shape_of = |task: &Task<()>| shape(&capture_call_graph(task).unwrap().unwrap());
        assert_eq!(shape_of(&foreign), "T[created, <a future of another library>, Task]");
        assert_eq!(shape_of(&never), "T[created, <a future of another library>]");
        assert_eq!(shape_of(&scoped), "T[created, cancellable, <a future of another library>]");
        assert!(shape_of(&nap).ends_with("](T[created, <a future of another library>, Task])"));
        foreign.await?;
        never.cancel();
        scoped.cancel();
        Ok(())
    });
}

// Edges.

#[test]
fn operations_of_operations_are_looked_through() {
    run(async {
        let nap = Task::builder().name("nap").create(sleep(MS));
        let inner = asyncio::gather([nap.clone(), nap.clone()]).into_inner();
        let outer =
            create_task(async move { asyncio::gather!(asyncio::shield(inner.take())).await });
        let racing = create_task(asyncio::staggered::staggered_race(
            [|| async { Future::<()>::new().await }],
            None,
        ));
        iterations(2).await?;
        let graph = capture_call_graph(&nap)?.unwrap();
        let waiters: Vec<String> = graph.awaited_by().map(|graph| shape(&graph)).collect();
        assert_eq!(waiters.len(), 1, "{waiters:?}");
        assert!(
            waiters[0].starts_with("T[created, shield](") || waiters[0].starts_with("T[created, ")
        );
        let attempts = asyncio::all_tasks()?.into_iter().filter(|task| {
            let graph = capture_call_graph(task).unwrap().unwrap();
            graph.awaited_by().any(|graph| graph.task() == Some(racing.any()))
        });
        // The second attempt waits until the first has failed.
        assert_eq!(attempts.count(), 2);
        racing.cancel();
        outer.await.map(drop)
    });
}

#[test]
fn an_edge_is_gone_when_the_await_is() {
    run(async {
        let nap = create_task(sleep(10 * MS));
        let impatient = create_task({
            let nap = nap.clone();
            async move { asyncio::wait_for(asyncio::shield(nap), MS).await }
        });
        briefly().await?;
        let waiters = || capture_call_graph(&nap).unwrap().unwrap().awaited_by().count();
        assert_eq!(waiters(), 1);
        assert!(impatient.await.unwrap_err().is_timeout());
        assert_eq!(waiters(), 0);
        nap.await
    });
}

#[test]
fn edges_that_a_program_says_are_kept_until_it_takes_them_back() {
    run(async {
        let (part, whole) = (Future::<()>::new(), Future::<()>::new());
        let awaiting = create_task(whole.clone());
        briefly().await?;
        future_add_to_awaited_by(&part, &whole);
        future_add_to_awaited_by(&part, &whole);
        future_add_to_awaited_by(&part, &awaiting);
        let shape_of_part = || shape(&capture_call_graph(&part).unwrap().unwrap());
        assert_eq!(shape_of_part(), "F[](F[](T[created, Future]) T[created, Future])");
        future_discard_from_awaited_by(&part, &whole);
        future_discard_from_awaited_by(&part, &awaiting);
        assert_eq!(shape_of_part(), "F[]");
        future_discard_from_awaited_by(&part, &whole);
        awaiting.cancel();
        Ok(())
    });
}

#[test]
fn a_circle_is_found_and_shown() {
    run(async {
        let next = Future::<Task<()>>::new();
        let start = next.clone();
        let first = Task::builder().name("first").create(async move { start.await?.await });
        let last = Task::builder().name("last").create({
            let first = first.clone();
            async move { first.await }
        });
        next.set_result(last.clone())?;
        iterations(3).await?;
        let text = format_call_graph(&first)?;
        let heads: Vec<&str> = text.lines().filter(|line| line.contains("* Task")).collect();
        assert!(heads[0].starts_with("* Task(name=\"first\""), "{text}");
        assert!(heads[1].starts_with("    * Task(name=\"last\""), "{text}");
        assert!(heads[2].ends_with("(a cycle)") && heads[2].contains("\"first\""), "{text}");
        assert_eq!(heads.len(), 3);
        let deadlock = get_running_loop()?.find_deadlock().expect("they await each other");
        assert_eq!(deadlock.tasks().len(), 2, "{deadlock}");
        first.cancel();
        last.cancel();
        Ok(())
    });
}

#[test]
fn a_chain_may_be_longer_than_the_stack_has_room_for() {
    run(async {
        let gate = Future::<()>::new();
        let mut last = create_task(gate.clone());
        let first = last.clone();
        for _ in 0..20_000 {
            let awaited = last;
            last = create_task(async move { awaited.await });
        }
        briefly().await?;
        let graph = capture_call_graph(&first)?.unwrap();
        assert_eq!(graph.to_string().matches("* Task").count(), 20_001);
        let text = get_running_loop()?.format_call_graphs();
        assert_eq!(text.matches("* Task").count(), 20_002);
        gate.set_result(())?;
        last.await
    });
}

// Arguments.

#[test]
fn limit_and_depth_leave_entries_out() {
    run(async {
        let sleeping = create_task(async { timeout(None).with(async |_| sleep(MS).await).await });
        briefly().await?;
        let graph = capture_call_graph(&sleeping)?.unwrap();
        let limited = |limit| shape(&graph.clone().limit(limit));
        assert_eq!(limited(2), "T[created, timeout]");
        assert_eq!(limited(-2), "T[timeout, sleep]");
        assert_eq!(limited(-9), "T[created, timeout, sleep]");
        assert_eq!(limited(isize::MIN), "T[created, timeout, sleep]");
        assert_eq!(limited(0), "T[]");
        // Only the running task has lines to skip.
        assert_eq!(shape(&graph.clone().depth(2)), "T[created, timeout, sleep]");
        let own = capture_call_graph(current_task())?.unwrap();
        assert_eq!(shape(&own.clone().depth(1)), "T[created, running]");
        assert_eq!(shape(&own.clone().depth(2)), "T[created]");
        assert_eq!(shape(&own.depth(9)), "T[]");
        sleeping.await
    });
}

#[test]
fn without_a_task_there_is_no_graph_and_without_a_loop_an_error() {
    let event_loop = virtual_loop();
    let (seen, stop) = (Rc::new(RefCell::new(None)), event_loop.clone());
    let (slot, sleeping) = (seen.clone(), event_loop.create_task(sleep(MS)));
    let asked = sleeping.clone();
    event_loop
        .call_later(MS / 2, move || {
            // From a callback.
            let own = capture_call_graph(None).map(|graph| graph.is_none());
            let text = format_call_graph(None).unwrap() + &format_call_graph(&asked).unwrap();
            slot.replace(Some((own, text)));
            stop.stop();
        })
        .unwrap();
    event_loop.run_forever().unwrap();
    let (own, text) = seen.take().expect("it was called");
    assert!(matches!(own, Ok(true)));
    assert!(text.starts_with("* Task(") && text.contains("sleep at "), "{text}");
    // Without a running loop.
    assert!(matches!(capture_call_graph(None), Err(Error::Runtime(_))));
    assert!(matches!(print_call_graph(None), Err(Error::Runtime(_))));
    assert_eq!(shape(&capture_call_graph(&sleeping).unwrap().unwrap()), "T[created, sleep]");
    event_loop.close().unwrap();
    assert_eq!(shape(&capture_call_graph(&sleeping).unwrap().unwrap()), "T[created]");
}

#[test]
fn a_task_of_another_thread_is_an_error() {
    let event_loop = virtual_loop();
    let task = event_loop.create_task(sleep(MS));
    let outcome = std::thread::scope(|scope| {
        let asking = scope.spawn(|| capture_call_graph(&task.any()).map(drop));
        asking.join().unwrap()
    });
    assert!(matches!(outcome, Err(Error::Runtime(_))), "{outcome:?}");
    event_loop.run_until_complete(task).unwrap();
    event_loop.close().unwrap();
}

// Tasks that can never continue.

#[test]
fn tasks_without_anything_outside_are_stuck_and_others_are_not() {
    run(async {
        let event_loop = get_running_loop()?;
        let stuck = Task::builder().name("stuck").create(Future::<()>::new());
        briefly().await?;
        let found = event_loop.find_deadlock().expect("nothing is left");
        assert_eq!(found.tasks().len(), 1);
        assert!(found.tasks()[0].starts_with("stuck: Future at "), "{found}");
        let nap = create_task(sleep(MS));
        briefly().await?;
        // A timer may do anything.
        assert!(event_loop.find_deadlock().is_none());
        stuck.cancel();
        nap.await
    });
}

#[test]
fn a_circle_with_a_deadline_or_a_way_out_is_none() {
    run(async {
        let next = Future::<Task<()>>::new();
        let start = next.clone();
        let patient = create_task(async move {
            let next = start.await?;
            asyncio::wait_for(next, 5 * MS).await
        });
        let last = create_task({
            let patient = patient.clone();
            async move { patient.await }
        });
        next.set_result(last)?;
        iterations(3).await?;
        assert!(get_running_loop()?.find_deadlock().is_none());
        assert!(patient.await.is_err());
        Ok(())
    });
}
