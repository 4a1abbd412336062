//! Callbacks of a loop.

use super::*;

#[asyncio::test(virtual_time = true)]
async fn may_panic() -> Result<()> {
    let event_loop = get_running_loop()?;
    let reported = Future::new();
    let setter = reported.clone();
    event_loop.set_exception_handler(move |_, context| {
        let _ = setter.set_result(context.to_string());
    });
    event_loop.call_soon(|| panic!("as asked"))?;
    assert!(reported.await?.contains("as asked"));
    Ok(())
}
