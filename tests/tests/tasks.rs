//! Tasks that wait for each other, the results of `gather`, and tasks of a closed loop.

use asyncio::{
    Error, EventLoop, Future, Result, Task, TaskGroup, all_tasks, create_task, current_task,
    eager_task_factory, gather, get_running_loop, prelude::*, sleep,
};
use std::{cell::RefCell, collections::BTreeMap, future::pending, rc::Rc, time::Duration};

type Slot = Rc<RefCell<Option<Task<u32>>>>;

/// Awaits the task in the slot.
async fn await_slot(slot: Slot) -> Result<u32> {
    let task = slot.borrow().clone();
    match task {
        Some(task) => task.await,
        None => Ok(0),
    }
}

/// CPython runs out of stack here (`RecursionError`).
#[asyncio::test(virtual_time)]
async fn tasks_that_wait_for_each_other_are_cancelled_together() -> Result<()> {
    let (first, second) = (Slot::default(), Slot::default());
    let one = create_task(await_slot(second.clone()));
    let two = create_task(await_slot(first.clone()));
    (*first.borrow_mut(), *second.borrow_mut()) = (Some(one.clone()), Some(two.clone()));
    sleep(Duration::from_millis(1)).await?;
    assert!(one.cancel());
    assert_eq!((one.cancelling(), two.cancelling()), (1, 1));
    assert!(one.await.unwrap_err().is_cancelled());
    assert!(two.await.unwrap_err().is_cancelled());
    Ok(())
}

#[asyncio::test(virtual_time)]
async fn a_task_that_gathers_itself_can_be_cancelled() -> Result<()> {
    let slot = Slot::default();
    let inside = slot.clone();
    let task = create_task(async move {
        sleep(Duration::ZERO).await?;
        let itself = inside.borrow().clone();
        let gathered = gather(itself).await;
        assert!(gathered.unwrap_err().is_cancelled());
        Ok(7)
    });
    *slot.borrow_mut() = Some(task.clone());
    sleep(Duration::from_millis(1)).await?;
    assert!(task.cancel());
    assert_eq!((task.clone().await?, task.cancelling()), (7, 1));
    Ok(())
}

#[test]
fn closing_a_loop_cancels_no_child_of_a_group() -> Result<()> {
    let event_loop = EventLoop::builder().virtual_time(true).build()?;
    let reports = Rc::new(RefCell::new(Vec::new()));
    let seen = reports.clone();
    event_loop.set_exception_handler(move |_, context| {
        seen.borrow_mut().push(context.message().to_owned());
    });
    event_loop.run_until_complete(async {
        let failing = Future::<()>::new();
        let children = [failing.clone(), Future::new()];
        let group = TaskGroup::new().with(async |group| {
            drop(group.create_task(gather(children).return_exceptions()));
            pending::<Result<()>>().await
        });
        drop(create_task(group));
        sleep(Duration::from_millis(1)).await?;
        // In the last iteration: the gather does not get to see it.
        let fail = move || failing.set_exception(Error::msg("late"));
        get_running_loop()?.call_soon(fail)?;
        Ok(())
    })?;
    event_loop.close()?;
    let reports = reports.take();
    assert!(reports.iter().any(|r| r == "Future exception was never retrieved"), "{reports:?}");
    Ok(())
}

/// Children are cancelled in the order in which they came into the group. One that was started
/// eagerly comes in when its first step is over.
#[asyncio::test(virtual_time)]
async fn a_child_of_an_eager_child_is_cancelled_before_it() -> Result<()> {
    let order = Rc::new(RefCell::new(Vec::new()));
    let child = |name: &'static str| {
        let order = order.clone();
        async move {
            let outcome = sleep(Duration::from_secs(1)).await;
            order.borrow_mut().push(name);
            outcome
        }
    };
    let outcome = TaskGroup::new().with(async |group| {
        let (inner, outer, inside) = (child("inner"), child("outer"), group.clone());
        let eager = Task::builder().eager_start(true);
        let task = group.create_task_with(eager, async move {
            drop(inside.create_task(inner));
            outer.await
        });
        drop(task?);
        sleep(Duration::from_millis(1)).await?;
        Err::<(), _>(Error::msg("enough"))
    });
    assert!(outcome.await.is_err());
    assert_eq!(order.take(), ["inner", "outer"]);
    Ok(())
}

/// So the task that awaits the gather continues before the steps that an eager child triggers.
#[asyncio::test(virtual_time)]
async fn gather_listens_to_a_child_before_it_starts_the_next() -> Result<()> {
    get_running_loop()?.set_task_factory(eager_task_factory);
    let order = Rc::new(RefCell::new(Vec::new()));
    let (failing, seen) = (Future::<()>::new(), order.clone());
    let inside = failing.clone();
    let second = async move {
        let outcome = inside.await;
        get_running_loop()?.call_soon(move || seen.borrow_mut().push("set off by the second"))?;
        outcome
    };
    let later = failing.clone();
    get_running_loop()?.call_soon(move || later.set_exception(Error::msg("late")))?;
    assert!(asyncio::gather!(failing, second).await.is_err());
    order.borrow_mut().push("the gather is over");
    sleep(Duration::from_millis(1)).await?;
    assert_eq!(order.take(), ["the gather is over", "set off by the second"]);
    Ok(())
}

#[asyncio::test(virtual_time)]
async fn gather_collects_into_what_is_asked_for() -> Result<()> {
    let pairs =
        || (0..3).map(async |n| if n < 2 { Ok((n, n * n)) } else { Err(Error::msg("big")) });
    let squares: BTreeMap<i32, i32> = gather(pairs().take(2)).collect().await?;
    assert_eq!(squares, BTreeMap::from([(0, 0), (1, 1)]));
    let all: Result<BTreeMap<i32, i32>> = gather(pairs()).collect().await;
    assert_eq!(all.unwrap_err().to_string(), "big");
    // A `Result` is a collection of outcomes too.
    let all: Result<BTreeMap<i32, i32>> = gather(pairs()).return_exceptions().collect().await?;
    assert_eq!(all.unwrap_err().to_string(), "big");
    Ok(())
}

#[asyncio::test(virtual_time)]
async fn a_task_without_its_type_can_have_it_back() -> Result<()> {
    drop(create_task(async { Ok(1_u32) }));
    drop(create_task(async { Ok("one") }));
    let numbers: Vec<_> = all_tasks()?.iter().filter_map(|task| task.downcast::<u32>()).collect();
    assert_eq!(gather(numbers).await?, [1]);
    let itself = create_task(async {
        let itself = current_task().and_then(|task| task.downcast::<u8>());
        itself.map(|task| task.cancel()).ok_or_else(|| Error::msg("no task"))?;
        sleep(Duration::ZERO).await?;
        Ok(0_u8)
    });
    assert!(itself.await.unwrap_err().is_cancelled());
    Ok(())
}

#[asyncio::test(virtual_time)]
async fn a_task_that_was_woken_waits_nowhere() -> Result<()> {
    let future = Future::<()>::new();
    let task = create_task(future.clone());
    sleep(Duration::ZERO).await?;
    assert_eq!(task.wait_site().map(|site| site.what()), Some("Future"));
    future.set_result(())?;
    assert!(task.wait_site().is_none());
    task.await
}

#[test]
fn a_task_of_another_loop_of_this_thread_is_an_error() -> Result<()> {
    let one = asyncio::new_event_loop()?;
    let other = EventLoop::builder().virtual_time(true).build()?;
    let task = one.create_task(async { sleep(Duration::from_millis(5)).await });
    let any = task.any();
    let outcome = other.run_until_complete(async move { task.await });
    assert_eq!(outcome.unwrap_err().kind(), "RuntimeError");
    let outcome = other.run_until_complete(async move { any.await });
    assert_eq!(outcome.unwrap_err().kind(), "RuntimeError");
    one.run_until_complete(async { sleep(Duration::from_millis(6)).await })?;
    one.close()?;
    other.close()
}

type Boxed = std::pin::Pin<Box<dyn std::future::Future<Output = Result<u32>>>>;

#[asyncio::test(virtual_time)]
async fn a_deep_chain_of_gathers_is_cancelled() -> Result<()> {
    fn chain(n: u32) -> Boxed {
        Box::pin(async move {
            if n == 0 {
                return Future::new().await;
            }
            Ok(gather([chain(n - 1)]).await?[0])
        })
    }
    let task = create_task(chain(10_000));
    sleep(Duration::from_secs(1)).await?;
    task.cancel();
    assert!(task.await.unwrap_err().is_cancelled());
    Ok(())
}

#[asyncio::test(virtual_time)]
async fn a_deeply_nested_group_of_errors_is_reported() -> Result<()> {
    fn nest(n: u32) -> Boxed {
        Box::pin(async move {
            if n == 0 {
                return Err(Error::runtime("leaf"));
            }
            let body = async move |group: &mut asyncio::Group| {
                group.create_task(nest(n - 1));
                Ok(0)
            };
            TaskGroup::new().with(body).await
        })
    }
    drop(create_task(nest(4_000)));
    sleep(Duration::from_millis(5)).await
}
