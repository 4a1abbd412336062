//! What `except*` does.

use super::*;

async fn both_fail() -> Result<()> {
    let group = TaskGroup::new().with(async |group| {
        drop(group.create_task(async { Err::<(), _>(Error::value("a")) }));
        drop(group.create_task(async { Err::<(), _>(Error::msg("b")) }));
        Ok(())
    });
    group.await
}

#[asyncio::test(virtual_time = true)]
async fn are_divided_as_by_except_star() -> Result<()> {
    let Err(Error::Group(group)) = both_fail().await else { panic!("it fails") };
    let (values, rest) = group.split(|error| matches!(error, Error::Value(_)));
    let members = |group: Option<ExceptionGroup>| group.expect("it has one").exceptions().len();
    assert_eq!((members(values), members(rest)), (1, 1));
    Ok(())
}
