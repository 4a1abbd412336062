//! `#[asyncio::test]` on functions that are not async.

// With only a glob import, `#[test]` would be ambiguous.
use asyncio::test;

/// The attribute here is not std's.
#[test]
fn that_are_not_async_are_those_of_std() {
    assert!(asyncio::get_running_loop().is_err());
}

#[test]
async fn that_are_async_have_a_loop() {
    assert!(asyncio::get_running_loop().is_ok());
}

#[test]
#[should_panic(expected = "as they may")]
fn that_are_not_async_panic() {
    panic!("as they may");
}
