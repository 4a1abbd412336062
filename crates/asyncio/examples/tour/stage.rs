//! The output of the tour: titles, lines with their time, checks, the summary.

use asyncio::{Error, Result};
use std::{
    cell::RefCell,
    fmt::Debug,
    io::IsTerminal,
    process::ExitCode,
    time::{Duration, Instant},
};

pub const MS: Duration = Duration::from_millis(1);

/// A stop of the tour.
pub struct Stop {
    pub name: &'static str,
    pub title: &'static str,
    pub run: fn() -> Result<()>,
}

/// The lines that the current stop has printed so far.
struct Stage {
    began: Instant,
    lines: Vec<String>,
}

thread_local! {
    static STAGE: RefCell<Stage> =
        RefCell::new(Stage { began: Instant::now(), lines: Vec::new() });
}

/// Prints a line, as `println!` does, with the time since the stop began.
macro_rules! say {
    ($($format:tt)*) => { crate::stage::line(format!($($format)*)) };
}

pub fn line(text: String) {
    let since = STAGE.with_borrow(|stage| stage.began.elapsed());
    let time = format!("{:>7.1} ms", since.as_secs_f64() * 1000.0);
    println!("  {}  {text}", Paint::Dim.on(&time));
    STAGE.with_borrow_mut(|stage| stage.lines.push(text));
}

/// Fails unless the stop has printed exactly this.
pub fn expect_lines<const N: usize>(expected: [&str; N]) -> Result<()> {
    expect("what was said", STAGE.with_borrow(|stage| stage.lines.clone()), expected.as_slice())
}

/// Fails unless `actual` is `expected`.
pub fn expect<A: Debug + PartialEq<E>, E: Debug>(what: &str, actual: A, expected: E) -> Result<()> {
    if actual == expected {
        return Ok(());
    }
    Err(Error::msg(format!("{what}: expected {expected:?}, got {actual:?}")))
}

/// Runs the stops one after the other, and prints a summary.
pub fn tour<'a>(stops: impl Iterator<Item = &'a Stop>) -> ExitCode {
    let began = Instant::now();
    let (mut kept, mut failed) = (0, Vec::new());
    for (index, stop) in stops.enumerate() {
        println!("{} {}", Paint::Bold.on(&format!("{:>2}", index + 1)), Paint::Bold.on(stop.title));
        STAGE.set(Stage { began: Instant::now(), lines: Vec::new() });
        match (stop.run)() {
            Ok(()) => kept += 1,
            Err(error) => {
                println!("  {} {error:?}", Paint::Red.on("not as promised:"));
                failed.push(stop.name);
            }
        }
        println!();
    }
    let seconds = began.elapsed().as_secs_f64();
    let total = kept + failed.len();
    let stops = if total == 1 { "1 stop".to_owned() } else { format!("{total} stops") };
    if failed.is_empty() && total > 0 {
        let verdict = Paint::Green.on("all as promised");
        println!("{stops} in {seconds:.1} s, {verdict}.");
        return ExitCode::SUCCESS;
    }
    let verdict = match total {
        0 => "No stop has that name.".to_owned(),
        _ => format!("{stops} in {seconds:.1} s, not as promised: {}", failed.join(", ")),
    };
    println!("{}", Paint::Red.on(&verdict));
    ExitCode::FAILURE
}

/// Emphasis, on a terminal only.
enum Paint {
    Bold,
    Dim,
    Green,
    Red,
}

impl Paint {
    fn on(self, text: &str) -> String {
        let code = match self {
            Paint::Bold => "1",
            Paint::Dim => "2",
            Paint::Green => "32",
            Paint::Red => "31",
        };
        let plain = !std::io::stdout().is_terminal() || std::env::var_os("NO_COLOR").is_some();
        if plain { text.to_owned() } else { format!("\x1b[{code}m{text}\x1b[0m") }
    }
}
