//! Context managers in their three forms.

use super::*;
use std::{cell::RefCell, rc::Rc};

/// Records how it was used, and suppresses the value errors of its body.
#[derive(Clone, Default)]
struct Log(Rc<RefCell<Vec<&'static str>>>);

impl AsyncContextManager for Log {
    type Target = ();

    async fn enter(&mut self) -> Result<()> {
        self.0.borrow_mut().push("enter");
        Ok(())
    }

    async fn exit(&mut self, _: (), error: Option<&Error>) -> Result<()> {
        self.0.borrow_mut().push(if error.is_some() { "failed" } else { "exit" });
        sleep(LIMIT).await
    }

    async fn exit_suppress(&mut self, _: (), error: Option<&Error>) -> Result<bool> {
        self.exit((), error).await?;
        Ok(matches!(error, Some(Error::Value(_) | Error::Panic(_))))
    }
}

#[asyncio::test(virtual_time = true)]
async fn may_be_their_own_target() -> Result<()> {
    let log = Log::default();
    let used = log.clone().with_self(async |log| {
        log.0.borrow_mut().push("used");
        Ok(7)
    });
    assert_eq!(used.await?, 7);
    let failed = log.clone().with_self(async |_| Err::<(), _>(Error::msg("no")));
    assert_eq!(failed.await.unwrap_err().to_string(), "no");
    assert_eq!(*log.0.borrow(), ["enter", "used", "exit", "enter", "failed"]);
    Ok(())
}

#[asyncio::test(virtual_time = true)]
async fn may_suppress_what_they_choose() -> Result<()> {
    let log = Log::default();
    assert_eq!(log.clone().with_suppress(async |()| Ok(7)).await?, Some(7));
    let value = log.clone().with_suppress(async |()| Err::<(), _>(Error::value("no")));
    assert_eq!(value.await?, None);
    let other = log.clone().with_suppress(async |()| Err::<(), _>(Error::msg("no")));
    assert_eq!(other.await.unwrap_err().to_string(), "no");
    let panics = create_task(log.with_suppress(async |()| -> Result<()> { panic!("goes on") }));
    assert!(matches!(panics.await, Err(Error::Panic(_))));
    Ok(())
}

/// trio's `move_on_after`.
#[asyncio::test(virtual_time = true)]
async fn that_limit_may_move_on() -> Result<()> {
    let late = timeout(LIMIT).with_suppress(async |_| sleep(9 * LIMIT).await);
    assert_eq!(late.await?, None);
    let in_time = timeout(9 * LIMIT).with_suppress(async |_| sleep(LIMIT).result(7).await);
    assert_eq!(in_time.await?, Some(7));
    let fails = timeout(LIMIT).with_suppress(async |_| Err::<(), _>(Error::msg("no")));
    assert_eq!(fails.await.unwrap_err().to_string(), "no");
    // What is cancelled from outside is cancelled.
    let task = create_task(timeout(9 * LIMIT).with_suppress(async |_| sleep(8 * LIMIT).await));
    sleep(LIMIT).await?;
    task.cancel();
    assert!(task.await.unwrap_err().is_cancelled());
    Ok(())
}
