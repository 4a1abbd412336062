//! Work on other threads.

use super::*;

/// Not `Clone`.
#[derive(Debug, PartialEq)]
struct Once(u32);

async fn a_file() -> Result<String> {
    let event_loop = get_running_loop()?;
    Ok(event_loop.run_in_executor(None, || std::fs::read_to_string("Cargo.toml"))?.await??)
}

#[asyncio::test]
async fn give_what_need_not_be_clone() -> Result<()> {
    assert!(a_file().await?.contains("[package]"));
    let event_loop = get_running_loop()?;
    let run = |n| event_loop.run_in_executor(None, move || Once(n));

    assert_eq!(gather([run(1)?, run(2)?]).await?, [Once(1), Once(2)]);

    let (done, pending) = wait([run(3)?, run(4)?]).await?;
    assert!(pending.is_empty());
    for (job, n) in done.into_iter().zip(3..) {
        assert_eq!(job.await?, Once(n));
    }

    let source = ConcurrentFuture::new();
    source.set_result(Once(5))?;
    let first = wrap_future(source)?;
    assert_eq!(wait_for(first, 60_000 * LIMIT).await?, Once(5));
    Ok(())
}

#[asyncio::test]
async fn give_several_awaiters_a_copy_each() -> Result<()> {
    let job = get_running_loop()?.run_in_executor(None, || 7)?.into_inner();
    assert_eq!((job.clone().await?, job.await?), (7, 7));
    Ok(())
}
