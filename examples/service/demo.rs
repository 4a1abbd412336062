//! The demonstration: the service as a process, with its own servers, under a load of which half is cancelled.

use crate::SECOND;
use asyncio::{
    Error, Result, create_subprocess_exec, files, gather, sleep, ssl,
    subprocess::{PIPE, Process},
    to_thread, wait_for,
};
use asyncio_http::{Client, StatusCode};
use asyncio_test_servers::Server;
use sqlx::{Connection, PgConnection};
use std::{
    cell::{Cell, RefCell},
    ffi::OsString,
    rc::Rc,
    time::{Duration, Instant},
};

const CLIENTS: usize = 50;
const LOAD: Duration = Duration::from_secs(3);
const AWAY: Duration = Duration::from_millis(100);

pub(crate) async fn run() -> Result<()> {
    let servers = to_thread(|| (Server::postgres(), Server::redis())).await?;
    let (Ok(postgres), Ok(redis)) = servers else {
        println!("SKIPPED: service: {servers:?}");
        return Ok(());
    };
    let dir = files::temp::dir().prefix("service-").await?;
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let [certificate, key] = ["cert.pem", "key.pem"].map(|name| dir.path().join(name));
    files::write(&certificate, made.cert.pem()).await?;
    files::write(&key, made.signing_key.serialize_pem()).await?;
    let database = format!("postgres://postgres@127.0.0.1:{}/postgres", postgres.port());
    let cache = format!("redis://127.0.0.1:{}", redis.port());
    let arguments = ["127.0.0.1:0", &database, &cache].map(OsString::from);
    let arguments = arguments.into_iter().chain([certificate.into(), key.into()]);
    let mut service =
        create_subprocess_exec(std::env::current_exe()?, arguments).stdout(PIPE).await?;

    let mut trusting = ssl::create_default_context(ssl::Purpose::ServerAuth);
    trusting.clear_verify_locations()?;
    trusting.load_verify_pem(made.cert.pem().as_bytes())?;
    let client = Client::builder().ssl(trusting).timeout(10 * SECOND).build();
    let outcome = show(&mut service, client, &database).await;
    // No process is left, with any outcome.
    let _ = service.kill();
    service.wait().await?;
    outcome
}

async fn show(service: &mut Process, client: Client, database: &str) -> Result<()> {
    let line = service.stdout()?.readline().await?;
    let site = String::from_utf8_lossy(&line).trim().replace("127.0.0.1", "localhost");
    let (ids, given_up) = Default::default();
    let load = Rc::new(Load { client, site, ids, given_up });
    println!("{CLIENTS} clients                          {}", load.run(0).await?);
    println!("{CLIENTS} clients beside {CLIENTS} that leave    {}", load.run(CLIENTS).await?);

    // The session of a cancelled request returns to the pool after the rollback.
    let sessions = loop {
        let text = load.text("/metrics").await?;
        let gauge = |name| text.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
        let (all, idle) = (gauge("database_sessions "), gauge("database_sessions_idle "));
        if all == idle {
            break all.unwrap_or_default();
        }
        sleep(SECOND / 20).await?;
    };
    let health = load.text("/health").await?;
    let mut database = PgConnection::connect(database).await?;
    let count = "SELECT (SELECT count(*) FROM links), (SELECT count(*) FROM changes)";
    let (links, changes): (i64, i64) = sqlx::query_as(count).fetch_one(&mut database).await?;
    database.close().await?;
    let (given_up, halves) = (load.given_up.get(), links - changes);
    println!("requests given up: {given_up}; links without their change: {halves}; {health}");
    println!("sessions of the pool: {sessions}, all of them idle");
    service.terminate()?;
    let code = wait_for(service.wait(), 30 * SECOND).await?;
    match code == 0 && links == changes && links >= load.ids.borrow().len() as i64 {
        true => Ok(()),
        false => Err(Error::msg(format!("{links} links, {changes} changes, exit code {code}"))),
    }
}

struct Load {
    client: Client,
    site: String,
    /// The IDs of the links so far.
    ids: RefCell<Vec<i64>>,
    given_up: Cell<usize>,
}

impl Load {
    async fn text(&self, path: &str) -> Result<String> {
        let url = format!("{}{path}", self.site);
        self.client.get(url).await?.raise_for_status()?.text().await
    }

    /// Runs the clients that stay, beside `leaving` others, and reports the latencies of those that stay.
    async fn run(self: &Rc<Load>, leaving: usize) -> Result<String> {
        let end = Instant::now() + LOAD;
        let clients = (0..CLIENTS + leaving).map(|number| {
            let load = self.clone();
            async move { load.client(number, number >= CLIENTS, end).await }
        });
        let mut times = gather(clients).await?[..CLIENTS].concat();
        times.sort();
        let rate = times.len() as f64 / LOAD.as_secs_f64();
        let [p50, p99] = [50, 99].map(|part| times[times.len() * part / 100].as_secs_f64() * 1e3);
        Ok(format!("{rate:6.0} requests/s, median {p50:.1} ms, 99 % within {p99:.1} ms"))
    }

    /// Sends requests until `end`. A client that leaves cancels each request within a few milliseconds, and comes
    /// back after a while, with another connection. (Without that pause, it would be the handshakes of TLS that
    /// slow the others down.)
    async fn client(&self, number: usize, leaves: bool, end: Instant) -> Result<Vec<Duration>> {
        let (mut times, mut began) = (Vec::new(), Instant::now());
        while began < end {
            let n = number + times.len();
            let limit = leaves.then_some((n % 8) as u32 * SECOND / 1000);
            match wait_for(self.request(n), limit).await {
                Err(error) if error.is_timeout() && leaves => {
                    self.given_up.set(self.given_up.get() + 1);
                    sleep(AWAY).await?;
                }
                outcome => outcome?,
            }
            times.push(began.elapsed());
            began = Instant::now();
        }
        Ok(times)
    }

    /// Adds a link, or follows one.
    async fn request(&self, n: usize) -> Result<()> {
        if n % 4 == 0 || self.ids.borrow().is_empty() {
            let request = self.client.post(format!("{}/links", self.site));
            let response = request.body(format!("http://localhost/{n}")).await?;
            let id = response.raise_for_status()?.json().await?;
            self.ids.borrow_mut().push(id);
            return Ok(());
        }
        let id = self.ids.borrow()[n * 31 % self.ids.borrow().len()];
        let request = self.client.get(format!("{}/links/{id}", self.site));
        let response = request.allow_redirects(false).await?.raise_for_status()?;
        assert_eq!(response.status(), StatusCode::TEMPORARY_REDIRECT);
        response.read().await.map(drop)
    }
}
