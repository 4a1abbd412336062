//! Lists of tasks and coroutines.

use super::*;

async fn whichever_ends_first() -> Result<()> {
    let number = create_task(async { Ok(1) });
    let text = create_task(async { Ok("x") });
    let (_done, _pending) = wait([(*number).clone(), (*text).clone()]).await?;
    Ok(())
}

async fn shutdown() -> Result<()> {
    let me = current_task();
    let others: Vec<_> =
        all_tasks()?.into_iter().filter(|task| Some(task) != me.as_ref()).collect();
    others.iter().for_each(|task| _ = task.cancel());
    gather(others).return_exceptions().await?;
    Ok(())
}

async fn one() -> Result<u32> {
    Ok(1)
}

async fn two() -> Result<u32> {
    Ok(2)
}

async fn both() -> Result<u32> {
    Ok(gather!(one(), two()).await?.0)
}

#[asyncio::test(virtual_time = true)]
async fn hold_tasks_of_any_type() -> Result<()> {
    whichever_ends_first().await?;
    assert_eq!(both().await?, 1);
    let numbers = create_task(sleep(9 * LIMIT).result(1));
    let texts = create_task(sleep(9 * LIMIT).result("x"));
    shutdown().await?;
    assert!(numbers.cancelled() && texts.cancelled());
    Ok(())
}

/// `done, pending = await asyncio.wait(tasks)`, which does not consume `tasks`.
#[asyncio::test(virtual_time = true)]
async fn are_waited_for_by_reference() -> Result<()> {
    let tasks = [3, 1, 2].map(|n| create_task(sleep(n * LIMIT).result(n)));
    let (done, pending) = wait(&tasks).return_when(FirstCompleted).await?;
    assert_eq!((done, pending), (vec![&tasks[1]], vec![&tasks[0], &tasks[2]]));
    let promises = vec![Future::<()>::new()];
    let (done, pending) = wait(&promises).timeout(LIMIT).await?;
    assert_eq!((done.len(), pending.len()), (0, 1));
    let (failing, slow) =
        (create_task(async { Err(Error::msg("no")) }), create_task(sleep(9 * LIMIT)));
    let (done, _) = wait([&failing, &slow]).return_when(FirstException).await?;
    assert_eq!(done, [&failing]);
    assert_eq!(gather(tasks).await?, [3, 1, 2]);
    Ok(())
}
