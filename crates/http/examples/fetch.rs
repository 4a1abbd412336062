//! Fetches URLs at once, over a pool, and prints the status and the size of each.
//!
//! ```sh
//! cargo run -p asyncio-http --example hello &
//! cargo run -p asyncio-http --example fetch -- http://127.0.0.1:8080/hello/{you,me} \
//!     http://127.0.0.1:8080/slow
//! ```

use asyncio::gather;
use asyncio_http::Client;
use std::time::Duration;

#[asyncio::main]
async fn main() -> asyncio::Result<()> {
    let client = Client::builder()
        .timeout(Duration::from_secs(10))
        .limit_per_host(4)
        .trust_env(true)
        .build();
    let fetched = std::env::args().skip(1).map(|url| {
        let client = client.clone();
        async move {
            let response = client.get(&url).await?;
            let status = response.status();
            println!("{url}: {status}, {} bytes", response.read().await?.len());
            Ok(())
        }
    });
    // A request that fails is printed, and does not affect the others.
    for outcome in gather(fetched).return_exceptions().await? {
        if let Err(error) = outcome {
            println!("{error:?}");
        }
    }
    Ok(())
}
