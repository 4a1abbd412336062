//! Runs many random programs of scopes, and prints the smallest ones that break the rules of cancellation.

use asyncio_tests::scopes;
use std::process::exit;

fn main() {
    let mut numbers = std::env::args().skip(1).map(|argument| argument.parse::<u64>());
    let (Some(Ok(first)), Some(Ok(count)), None) = (numbers.next(), numbers.next(), numbers.next())
    else {
        eprintln!("usage: scope_programs FIRST_SEED COUNT");
        exit(2);
    };
    // Panics are part of the report.
    std::panic::set_hook(Box::new(|_| {}));
    let mut failed = 0;
    for seed in first..first.saturating_add(count) {
        if let Err(text) = scopes::check(seed) {
            failed += 1;
            println!("{text}");
            if failed == 5 {
                break;
            }
        }
    }
    println!("{count} programs from seed {first}, {failed} failed");
    exit(i32::from(failed > 0));
}
