//! What a request of reqwest costs here, beside plain tokio: `cargo run --release -p asyncio-tokio --example cost`.
//!
//! A server of asyncio-http in a thread of its own answers. Each line has the least time per request of several
//! rounds, which take turns, or the CPU time per request of all of them, with that of the server.

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
const WARM_UP: usize = 100;
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
    let one_thread = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // As with asyncio-tokio, the tasks that reqwest spawns run on another thread than the request.
    let mut two_threads = tokio::runtime::Builder::new_multi_thread();
    let two_threads = two_threads.worker_threads(1).enable_all().build()?;
    let ours = |main: Measured| Runner::new().tokio(true).with(|runner| runner.run(main.run()));
    println!("µs per request:    tokio, one thread; two threads; here");
    for at_once in [1, AT_ONCE] {
        let mut costs = [Cost::default(), Cost::default(), Cost::default()];
        for _ in 0..ROUNDS {
            let main = || Measured { url: url.clone(), at_once };
            costs[0].add(|| one_thread.block_on(main().run()))?;
            costs[1].add(|| two_threads.block_on(main().run()))?;
            costs[2].add(|| ours(main()))?;
        }
        let [one, two, here] = costs.map(|cost| cost.per_request());
        println!("{at_once:>3} at once, time: {:6.1}; {:6.1}; {:6.1}", one.0, two.0, here.0);
        println!("{at_once:>3} at once, CPU:  {:6.1}; {:6.1}; {:6.1}", one.1, two.1, here.1);
    }
    Ok(())
}

/// The costs of the rounds of one kind.
#[derive(Default)]
struct Cost {
    least: Option<Duration>,
    cpu: Duration,
}

impl Cost {
    fn add(&mut self, round: impl FnOnce() -> asyncio::Result<Duration>) -> asyncio::Result<()> {
        let before = cpu_time()?;
        let took = round()?;
        self.cpu += cpu_time()? - before;
        self.least = Some(self.least.map_or(took, |least| least.min(took)));
        Ok(())
    }

    /// The least time and the CPU time, in microseconds.
    fn per_request(&self) -> (f64, f64) {
        let micros = |time: Duration, n: usize| time.as_secs_f64() * 1e6 / n as f64;
        let least = self.least.unwrap_or_default();
        (micros(least, REQUESTS), micros(self.cpu, ROUNDS * (REQUESTS + WARM_UP)))
    }
}

/// The CPU time of this process, as Linux counts it, in hundredths of a second.
fn cpu_time() -> asyncio::Result<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks: Result<Vec<u64>, _> =
        after_name.split_whitespace().skip(11).take(2).map(str::parse).collect();
    Ok(Duration::from_millis(10 * ticks?.iter().sum::<u64>()))
}

/// Sends a number of requests, some at once. The future is the same under both runtimes.
struct Measured {
    url: String,
    at_once: usize,
}

impl Measured {
    async fn run(self) -> asyncio::Result<Duration> {
        let client = reqwest::Client::builder().no_proxy().build()?;
        let requests = |n: usize| {
            let (client, url) = (client.clone(), self.url.clone());
            async move {
                for _ in 0..n {
                    client.get(&url).send().await?.bytes().await?;
                }
                asyncio::Result::Ok(())
            }
        };
        self.all(&requests, WARM_UP).await?;
        let begun = Instant::now();
        self.all(&requests, REQUESTS).await?;
        Ok(begun.elapsed())
    }

    /// `total` requests in several futures of one task.
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
