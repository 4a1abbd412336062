//! Tasks that wait for each other.

use asyncio::{Result, Task, create_task, gather, sleep};
use std::{cell::RefCell, rc::Rc, time::Duration};

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
