//! Limits around what borrows.

use super::*;

async fn a_lock() -> Result<()> {
    let lock = Lock::new(());
    let _guard = wait_for(lock.acquire(), LIMIT).await?;
    Ok(())
}

async fn a_semaphore(semaphore: &Semaphore) -> Result<()> {
    let _permit = wait_for(semaphore.acquire(), LIMIT).await?;
    Ok(())
}

async fn a_slice(data: &[u8]) -> Result<&[u8]> {
    wait_for(async { Ok(data) }, LIMIT).await
}

async fn a_full_queue() -> Result<()> {
    let queue = Queue::new(1);
    wait_for(queue.put(1), LIMIT).await?;
    wait_for(queue.put(2), LIMIT).await
}

async fn a_reader_and_a_writer(lock: &RwLock<u32>) -> Result<u32> {
    *wait_for(lock.write(), LIMIT).await? += 1;
    Ok(*wait_for(lock.read(), LIMIT).await?)
}

#[asyncio::test(virtual_time = true)]
async fn surround_what_borrows() -> Result<()> {
    a_lock().await?;
    assert!(a_full_queue().await.unwrap_err().is_timeout());
    assert_eq!(a_reader_and_a_writer(&RwLock::new(1)).await?, 2);
    let semaphore = Semaphore::new(1);
    a_semaphore(&semaphore).await?;
    let _permit = semaphore.acquire().await?;
    assert!(a_semaphore(&semaphore).await.unwrap_err().is_timeout());
    assert_eq!(a_slice(b"data").await?, b"data");
    Ok(())
}
