//! The metrics of a loop for Prometheus, served by a second loop in another thread: they are available
//! even while the measured loop is blocked.
//!
//! ```sh
//! cargo run --example prometheus -- 127.0.0.1:9100
//! curl http://127.0.0.1:9100/metrics
//! ```

use asyncio::{LoopHandle, Metrics, StreamReader, StreamWriter, get_running_loop, start_server};
use std::{fmt::Write as _, thread, time::Duration};

/// Formats the metrics in Prometheus's text format.
fn exported(metrics: &Metrics) -> String {
    let counters = [
        ("iterations", metrics.iterations as f64),
        ("steps", metrics.steps as f64),
        ("events", metrics.events as f64),
        ("jobs", metrics.jobs as f64),
        ("busy_seconds", metrics.busy.as_secs_f64()),
        ("waiting_seconds", metrics.waiting.as_secs_f64()),
    ];
    let gauges = [
        ("longest_stretch_seconds", metrics.longest_stretch.as_secs_f64()),
        ("ready", metrics.ready as f64),
        ("tasks", metrics.tasks as f64),
        ("timers", metrics.timers as f64),
        ("descriptors", metrics.descriptors as f64),
        ("outstanding", metrics.outstanding as f64),
    ];
    let mut text = String::new();
    for (name, value) in counters {
        let _ = writeln!(text, "# TYPE asyncio_{name}_total counter\nasyncio_{name}_total {value}");
    }
    for (name, value) in gauges {
        let _ = writeln!(text, "# TYPE asyncio_{name} gauge\nasyncio_{name} {value}");
    }
    let _ = writeln!(text, "# TYPE asyncio_late_timers histogram");
    let mut count = 0;
    for (bound, timers) in metrics.late_timers() {
        count += timers;
        let bound = bound.map_or("+Inf".to_owned(), |bound| bound.as_secs_f64().to_string());
        let _ = writeln!(text, "asyncio_late_timers_bucket{{le=\"{bound}\"}} {count}");
    }
    let _ = writeln!(text, "asyncio_late_timers_count {count}");
    text
}

/// Answers each connection with the metrics of the loop, and closes it.
async fn serve(address: String, watched: LoopHandle) -> asyncio::Result<()> {
    let answer = move |mut reader: StreamReader, writer: StreamWriter| async move {
        reader.readuntil(b"\r\n\r\n").await?;
        let body = exported(&watched.metrics()?);
        let length = body.len();
        let head = format!("HTTP/1.0 200 OK\r\nContent-Length: {length}\r\n\r\n");
        writer.write(head.as_bytes());
        writer.write(body.as_bytes());
        writer.drain().await?;
        writer.close();
        writer.wait_closed().await
    };
    let server = start_server(answer, address).await?;
    println!("http://{}/metrics", server.local_addr());
    server.serve_forever().await
}

/// The measured program, which does a little work and waits.
#[asyncio::main]
async fn main() -> asyncio::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9100".to_owned());
    let watched = get_running_loop()?.handle();
    thread::spawn(move || asyncio::run(serve(address, watched)));
    loop {
        asyncio::sleep(Duration::from_millis(10)).await?;
    }
}
