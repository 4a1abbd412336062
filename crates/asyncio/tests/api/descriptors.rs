//! Descriptors that are awaited.

use super::*;
use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
};

fn pair() -> Result<(UnixStream, UnixStream)> {
    let (ours, theirs) = UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    Ok((ours, theirs))
}

#[asyncio::test]
async fn are_awaited() -> Result<()> {
    let (mut ours, mut theirs) = pair()?;
    wait_writable(&ours).await?;
    for _ in 0..2 {
        let writing = create_task(to_thread({
            let mut theirs = theirs.try_clone()?;
            move || theirs.write_all(b"hello")
        }));
        wait_readable(&ours).await?;
        let mut bytes = [0; 16];
        assert_eq!(ours.read(&mut bytes)?, 5);
        writing.await??;
    }
    theirs.write_all(b"more")?;
    // Nothing is left of the waits.
    assert!(!get_running_loop()?.remove_reader(&ours)?);
    Ok(())
}

#[asyncio::test]
async fn with_no_waiter_left_are_left_alone() -> Result<()> {
    let (ours, mut theirs) = pair()?;
    let event_loop = get_running_loop()?;
    let late = wait_for(wait_readable(&ours), LIMIT).await;
    assert!(late.unwrap_err().is_timeout());
    assert!(!event_loop.remove_reader(&ours)?);
    select! {
        outcome = wait_readable(&ours) => outcome?,
        outcome = sleep(LIMIT) => outcome?,
    }
    assert!(!event_loop.remove_reader(&ours)?);
    theirs.write_all(b"now")?;
    wait_readable(&ours).await
}

#[asyncio::test]
async fn have_one_waiter_in_each_direction() -> Result<()> {
    let (ours, _theirs) = pair()?;
    let event_loop = get_running_loop()?;
    let busy = async {
        sleep(Duration::ZERO).await?;
        let error = wait_readable(&ours).await.unwrap_err().to_string();
        assert!(error.contains("something already waits for file descriptor"), "{error}");
        wait_writable(&ours).await?;
        event_loop.remove_reader(&ours)
    };
    let (first, removed) = join!(wait_readable(&ours), busy);
    assert!(removed? && first.unwrap_err().to_string().contains("replaced or removed"));
    Ok(())
}
