//! A tour of asyncio: the programs of its introductions, in Rust.
//!
//! Each stop is a small program in its own file, with the same program in Python at the top. It prints what it does, and
//! checks the result. The tour fails if a stop fails.
//!
//! ```sh
//! cargo run --release --example tour             # all stops
//! cargo run --release --example tour -- shield   # those whose name contains "shield"
//! cargo run --release --example tour --features asyncio/tls   # with TLS
//! ```

#![allow(unreachable_pub)] // So that the stops read like programs.

#[macro_use]
mod stage;

use stage::Stop;
use std::process::ExitCode;

/// Declares the modules of the stops, in the order of the tour.
macro_rules! stops {
    ($($(#[$when:meta])* $module:ident),+ $(,)?) => {
        $($(#[$when])* mod $module;)+

        const STOPS: &[Stop] = &[$($(#[$when])* Stop {
            name: stringify!($module),
            title: $module::TITLE,
            run: || asyncio::run($module::main()),
        }),+];
    };
}

stops![
    hello_world,
    tasks,
    a_future,
    errors,
    wait_first,
    wait_for,
    as_completed,
    ensure_future,
    shield,
    periodic,
    task_group,
    context_manager,
    generator,
    lock,
    event,
    semaphore,
    condition,
    producer_consumer,
    priority_queue,
    to_thread,
    echo_server,
    tcp_echo,
    line_protocol,
    unix_socket,
    udp_echo,
    #[cfg(feature = "tls")]
    tls_echo,
    graceful_shutdown,
    capture,
    shell_pipeline,
    probes,
    deadline,
];

fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let is_wanted = |stop: &&Stop| {
        wanted.is_empty() || wanted.iter().any(|part| stop.name.contains(part.as_str()))
    };
    stage::tour(STOPS.iter().filter(is_wanted))
}
