//! What the command `asyncio` prints, with numbers that are the same in every run, and golden files of it.

use std::{
    fs,
    process::{Command, Output},
    thread,
    time::{Duration, Instant},
};

/// Runs the command.
pub(crate) fn asyncio(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_asyncio")).args(arguments).output().expect("it was built")
}

pub(crate) fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("it prints UTF-8")
}

/// What it prints, as in a program of one file, with threads and tasks numbered in the order in which they are
/// named, each of which waits for a minute.
pub(crate) fn printed(arguments: &[&str]) -> String {
    let output = asyncio(arguments);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let printed = text(&output.stdout);
    if printed.starts_with("tid ") { table(printed) } else { in_one_file(printed) }
}

/// The same, of one file. Lines of our own crates may change.
pub(crate) fn in_one_file(printed: &str) -> String {
    let files = ["crates/tools/examples/stuck.rs", "crates/tools/examples/wedged.rs"];
    let text =
        files.iter().fold(printed.to_owned(), |text, file| text.replace(file, "src/main.rs"));
    let mut parts = text.split("crates/");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| match part.split_once(".rs:") {
        Some((file, rest)) => {
            let rest = rest.trim_start_matches(|c: char| c == ':' || c.is_ascii_digit());
            format!("{text}crates/{file}.rs{rest}")
        }
        None => format!("{text}crates/{part}"),
    })
}

/// A table with other numbers, and columns that are as wide as they then have to be.
fn table(printed: &str) -> String {
    let mut lines = printed.lines();
    let header = lines.next().unwrap_or_default();
    let columns = [
        "tid",
        "task id",
        "task name",
        "state",
        "for",
        "coroutine stack",
        "awaiter chain",
        "awaiter name",
        "awaiter id",
    ];
    let starts = columns.map(|column| header.find(column).expect("the header has it"));
    let (mut threads, mut tasks) = (Vec::new(), vec!["0x0".to_owned()]);
    let cells = |line: &str| -> [String; 9] {
        let letters: Vec<char> = line.chars().collect();
        std::array::from_fn(|at| {
            let end = starts.get(at + 1).copied().unwrap_or(letters.len()).min(letters.len());
            let cell: String = letters[starts[at].min(end)..end].iter().collect();
            in_one_file(cell.trim_end())
        })
    };
    let mut rows = vec![columns.map(str::to_owned)];
    let (queues, tasks_shown): (Vec<&str>, Vec<&str>) =
        lines.partition(|line| line.starts_with("queue "));
    for line in tasks_shown.into_iter().filter(|line| !line.starts_with("---")) {
        let mut row = cells(line);
        row[0] = (4711 + number(&mut threads, &row[0])).to_string();
        for id in [1, 8] {
            row[id] = format!("{:#x}", number(&mut tasks, &row[id]));
        }
        if !row[4].is_empty() {
            row[4] = "60.0 s".to_owned();
        }
        rows.push(row);
    }
    let width =
        |at: usize| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or_default();
    let widths: [usize; 9] = std::array::from_fn(width);
    let shown = rows.iter().map(|row| {
        let cells: Vec<String> =
            row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        cells.join("  ").trim_end().to_owned() + "\n"
    });
    shown.chain(queues.into_iter().map(|queue| format!("{queue}\n"))).collect()
}

/// The place of a name among those that are known.
fn number(known: &mut Vec<String>, name: &str) -> usize {
    known.iter().position(|other| other == name).unwrap_or_else(|| {
        known.push(name.to_owned());
        known.len() - 1
    })
}

/// Compares with a golden file, which `GOLDEN=write` in the environment writes.
#[track_caller]
pub(crate) fn assert_golden(name: &str, printed: &str) {
    assert_eq!(
        printed,
        golden(name, printed),
        "{name}: GOLDEN=write takes what is printed as right"
    );
}

/// The same of what the command prints, as soon as the program has come so far.
#[track_caller]
pub(crate) fn assert_prints(name: &str, arguments: &[&str]) {
    if writes() {
        // Nothing says yet what it has to come to.
        thread::sleep(Duration::from_millis(500));
    }
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let shown = printed(arguments);
        if shown == golden(name, &shown) || Instant::now() > until {
            return assert_golden(name, &shown);
        }
    }
}

fn writes() -> bool {
    std::env::var_os("GOLDEN").is_some_and(|value| value == "write")
}

fn golden(name: &str, printed: &str) -> String {
    let path = format!("{}/tests/golden/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    if writes() {
        fs::write(&path, printed).expect("golden files can be written");
    }
    fs::read_to_string(&path).expect("the golden file is there")
}
