//! The page of the guide with Python beside Rust counts the lines of the examples.

use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

/// Counts the lines of a Python program and of the Rust program below it, in a file of the tour.
fn lines(file: &str) -> Option<(usize, usize)> {
    let (_, python) = file.split_once("//! ```python\n")?;
    let (python, rust) = python.split_once("//! ```\n")?;
    let is_code = |line: &&str, comment: &str| !line.is_empty() && !line.starts_with(comment);
    let python = python.lines().map(|line| line.trim_start_matches("//!").trim());
    let mut count = 0;
    // The end of the current statement, if its lines are not counted.
    let mut skipped: Option<&str> = None;
    for line in rust.lines().map(str::trim).filter(|line| is_code(line, "//")) {
        if skipped.is_none() {
            skipped = match line {
                _ if line.starts_with("use ") || line.starts_with("pub const TITLE") => Some(";"),
                // The last statement of a function replaces `Ok(())`.
                _ if line.starts_with("expect") => Some(")"),
                _ => None,
            };
            count +=
                usize::from(skipped.is_none() || skipped == Some(")") && !line.ends_with("?;"));
        }
        if skipped.is_some_and(|end| line.ends_with(end) || line.ends_with("?;")) {
            skipped = None;
        }
    }
    Some((python.filter(|line| is_code(line, "#")).count(), count))
}

/// Returns the rows of a table: the programs in `directory` that have a Python version, and their sum.
fn table(directory: &Path) -> (String, f64) {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|it| it == "rs")).collect();
    files.sort();
    let (mut table, mut python, mut rust) = (String::new(), 0, 0);
    for file in files {
        let Some((p, r)) = lines(&fs::read_to_string(&file).unwrap()) else { continue };
        let name = file.file_stem().unwrap().to_string_lossy();
        writeln!(table, "| `{name}` | {p} | {r} |").unwrap();
        (python, rust) = (python + p, rust + r);
    }
    let ratio = rust as f64 / python as f64;
    writeln!(table, "| **all of them** | **{python}** | **{rust}**, {ratio:.2} times |").unwrap();
    (table, ratio)
}

#[test]
fn its_tables_count_the_lines_of_the_examples() {
    let facade = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates/asyncio");
    let examples = facade.join("examples");
    let page = fs::read_to_string(facade.join("src/guide/side_by_side.md")).unwrap();
    for directory in [examples.join("tour"), examples] {
        let (table, ratio) = table(&directory);
        assert!(page.contains(&table), "side_by_side.md should have\n{table}");
        assert!(ratio < 1.6, "{ratio:.2} times the lines of Python");
    }
}
