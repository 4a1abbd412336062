//! The crate `futures` beside `use asyncio::*`: its name has to stay free, and its adaptors have to take our values.

use asyncio::*;
use futures::{StreamExt, TryStreamExt, future, stream::FuturesUnordered};

#[asyncio::test(virtual_time = true)]
async fn the_name_of_the_crate_is_free() -> Result<()> {
    let numbers = generator(async |y| {
        for n in 0..5 {
            y.send(n).await?;
        }
        Ok(())
    });
    let even = numbers.try_filter(|n| future::ready(n % 2 == 0)).map_ok(|n| n * 2);
    assert_eq!(even.try_collect::<Vec<_>>().await?, [0, 4, 8]);

    let mut set: FuturesUnordered<_> =
        [2, 1].map(|n| sleep(n * super::LIMIT).result(n)).into_iter().collect();
    assert_eq!(set.next().await.transpose()?, Some(1));
    assert_eq!(futures::future::join_all([sleep(super::LIMIT)]).await.len(), 1);
    Ok(())
}
