//! What a request of reqwest costs here, beside plain tokio: `cargo run --release -p asyncio-tokio --example cost`.
//!
//! A server of asyncio-http in a thread of its own answers. Each line is the least time per request of several
//! rounds, which take turns.

use asyncio::Runner;
use asyncio_http::{Incoming, Request, Response, serve, service_fn};
use asyncio_tokio::RunnerExt;
use std::{
    future::Future,
    sync::mpsc,
    time::{Duration, Instant},
};

const ROUNDS: usize = 15;
const REQUESTS: usize = 4_000;
const AT_ONCE: usize = 50;

fn main() -> asyncio::Result<()> {
    let (address, addresses) = mpsc::channel();
    std::thread::spawn(move || {
        asyncio::run(async move {
            let hello = async |_: Request<Incoming>| {
                Ok::<_, asyncio::Error>(Response::new("hello".to_owned()))
            };
            let server = serve(service_fn(hello), ("127.0.0.1", 0)).await?;
            let _ = address.send(server.local_addr().to_string());
            server.serve_forever().await
        })
    });
    let url = format!("http://{}/", addresses.recv()?);
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let plain = |main: Measured| tokio.block_on(main.run());
    let ours = |main: Measured| Runner::new().tokio(true).with(|runner| runner.run(main.run()));
    for at_once in [1, AT_ONCE] {
        let (mut least_plain, mut least_ours) = (Duration::MAX, Duration::MAX);
        for _ in 0..ROUNDS {
            let main = || Measured { url: url.clone(), at_once };
            least_plain = least_plain.min(plain(main())?);
            least_ours = least_ours.min(ours(main())?);
        }
        let per_request = |time: Duration| time.as_secs_f64() * 1e6 / REQUESTS as f64;
        let (plain, ours) = (per_request(least_plain), per_request(least_ours));
        println!(
            "{at_once:>3} at once: tokio {plain:6.1} µs, here {ours:6.1} µs, {:+.1} µs",
            ours - plain
        );
    }
    Ok(())
}

/// So many requests, some at once. It is the same future under both.
struct Measured {
    url: String,
    at_once: usize,
}

impl Measured {
    async fn run(self) -> asyncio::Result<Duration> {
        let client = reqwest::Client::new();
        let requests = |n: usize| {
            let (client, url) = (client.clone(), self.url.clone());
            async move {
                for _ in 0..n {
                    client.get(&url).send().await?.bytes().await?;
                }
                asyncio::Result::Ok(())
            }
        };
        self.all(&requests, self.at_once).await?;
        let begun = Instant::now();
        self.all(&requests, REQUESTS).await?;
        Ok(begun.elapsed())
    }

    /// `total` requests in so many futures of one task.
    async fn all<F: Future<Output = asyncio::Result<()>>>(
        &self,
        requests: impl Fn(usize) -> F,
        total: usize,
    ) -> asyncio::Result<()> {
        let mut all: futures_util::stream::FuturesUnordered<F> =
            (0..self.at_once).map(|_| requests(total / self.at_once)).collect();
        while let Some(outcome) = futures_util::StreamExt::next(&mut all).await {
            outcome?;
        }
        Ok(())
    }
}
