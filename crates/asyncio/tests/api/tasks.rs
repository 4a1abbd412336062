//! Tasks in sets, endless ones, and owned permits.

use super::*;
use std::collections::HashSet;

/// The set of background tasks of asyncio's documentation.
#[asyncio::test(virtual_time = true)]
async fn are_kept_in_sets() -> Result<()> {
    let background: HashSet<_> = (0..3).map(|n| create_task(sleep(n * LIMIT))).collect();
    let names: HashSet<AnyTask> = background.iter().map(|task| task.any()).collect();
    assert_eq!(
        names,
        all_tasks()?.into_iter().filter(|t| Some(t) != current_task().as_ref()).collect()
    );
    let first = background.iter().next().expect("there are three").clone();
    assert!(background.contains(&first));
    gather(background).await?;
    Ok(())
}

#[asyncio::test(virtual_time = true)]
async fn that_never_return_need_no_annotation() -> Result<()> {
    let task = create_task(endless(async {
        loop {
            sleep(LIMIT).await?;
        }
    }));
    sleep(5 * LIMIT).await?;
    task.cancel();
    assert!(task.await.unwrap_err().is_cancelled());
    Ok(())
}

#[asyncio::test]
#[allow(clippy::needless_borrows_for_generic_args, reason = "it is what is tested")]
async fn come_from_other_threads_by_a_handle_that_is_lent() -> Result<()> {
    let handle = get_running_loop()?.handle();
    let thread = to_thread(move || -> Result<_> {
        let first = run_coroutine_threadsafe(async { Ok(1) }, &handle);
        let second = run_coroutine_threadsafe(async { Ok(2) }, &handle);
        Ok((first.result(None)?, second.result(None)?))
    });
    assert_eq!(thread.await??, (1, 2));
    // `asyncio.run_coroutine_threadsafe(coroutine, loop)`
    let third = run_coroutine_threadsafe(async { Ok(3) }, get_running_loop()?);
    assert_eq!(wrap_future(third)?.await?, 3);
    Ok(())
}
