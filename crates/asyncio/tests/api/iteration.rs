//! `async for`, with nothing but the facade.

use super::*;

async fn in_the_order_of_completion() -> Result<u32> {
    let mut sum = 0;
    let mut results = as_completed((0..3).map(async |i| Ok(i)));
    while let Some(result) = results.next().await {
        sum += result?;
    }
    Ok(sum)
}

async fn lines(mut reader: StreamReader) -> Result<usize> {
    let mut bytes = 0;
    while let Some(line) = reader.next().await {
        bytes += line?.len();
    }
    Ok(bytes)
}

async fn items(queue: &Queue<u32>) -> Result<u32> {
    let mut sum = 0;
    while let Some(item) = queue.next().await {
        sum += item?;
    }
    Ok(sum)
}

#[asyncio::test(virtual_time = true)]
async fn needs_no_trait() -> Result<()> {
    assert_eq!(in_the_order_of_completion().await?, 3);

    let reader = StreamReader::new(10)?;
    reader.feed_data("one\ntwo")?;
    reader.feed_eof();
    assert_eq!(lines(reader).await?, 7);

    let queue = Queue::new(0);
    let sum = async {
        let mut sum = 0;
        for item in 1..=3 {
            queue.put(item).await?;
            sleep(LIMIT).await?;
            sum += item;
        }
        queue.shutdown(false);
        Ok(sum)
    };
    let (put, got) = try_join!(sum, items(&queue))?;
    assert_eq!(put, got);
    Ok(())
}

#[asyncio::test(virtual_time = true)]
async fn gives_the_tasks_themselves_too() -> Result<()> {
    let mut done = as_completed([create_task(sleep(LIMIT).result(1))]).futures();
    while let Some(task) = done.next().await {
        let task = task?;
        assert_eq!(task.result()?, 1);
        assert!(matches!(task, Awaitable::Task(task) if task.done()));
    }
    Ok(())
}

/// A `next` that loses a `select!` is no longer a wait of the task.
#[asyncio::test(virtual_time = true)]
async fn that_is_broken_off_loses_nothing() -> Result<()> {
    let mut reader = StreamReader::new(10)?;
    let mut results = as_completed([sleep(3 * LIMIT).result(7)]);
    let queue = Queue::new(0);
    select! {
        _ = sleep(LIMIT) => {}
        _ = reader.next() => panic!("nothing was fed"),
        _ = results.next() => panic!("nothing is done"),
        _ = queue.next() => panic!("nothing was put"),
    }
    let me = current_task().expect("this is a task");
    get_running_loop()?.call_later(LIMIT, move || me.cancel())?;
    assert!(sleep(9 * LIMIT).await.unwrap_err().is_cancelled());
    reader.feed_data("line\n")?;
    queue.put_nowait(8)?;
    assert_eq!(reader.next().await.transpose()?.as_deref(), Some(&b"line\n"[..]));
    assert_eq!((results.next().await.transpose()?, queue.get().await?), (Some(7), 8));
    assert!(results.next().await.is_none());
    Ok(())
}

#[asyncio::test(virtual_time = true)]
async fn that_is_cancelled_says_so() -> Result<()> {
    let task = create_task(async { Queue::<u32>::new(0).next().await.transpose() });
    sleep(LIMIT).await?;
    task.cancel();
    assert!(task.await.unwrap_err().is_cancelled());
    Ok(())
}
