//! Writes random scenarios as JSON lines, for another implementation of the language to run.

use asyncio_tests::conformance::random;
use std::{
    io::{self, Write},
    process::exit,
};

fn main() {
    let mut numbers = std::env::args().skip(1).map(|argument| argument.parse::<u64>());
    let (Some(Ok(first)), Some(Ok(count)), None) = (numbers.next(), numbers.next(), numbers.next())
    else {
        eprintln!("usage: scenarios FIRST_SEED COUNT");
        exit(2);
    };
    let mut out = io::BufWriter::new(io::stdout().lock());
    let mut written = Ok(());
    for seed in first..first.saturating_add(count) {
        written = written.and_then(|()| writeln!(out, "{}", random::scenario(seed)));
    }
    if let Err(error) = written.and_then(|()| out.flush()) {
        eprintln!("scenarios: {error}");
        exit(1);
    }
}
