//! The programs of the guide, and the first one of README.md, print what the pages say.
//!
//! If a page has a block of `text,output` below a program, the program is run, and its standard output is compared with
//! the block, line by line. `…` stands for anything within a line. The programs are compiled as one, which runs each of
//! them in a separate process. After a change, update the outputs with
//! `GUIDE=overwrite cargo test -p asyncio-services-tests guide`, and read the difference.

use std::{
    fmt::Write,
    fs,
    ops::Range,
    path::{Path, PathBuf},
};

const OUTPUT: &str = "```text,output\n";
const FENCE: &str = "```";

fn facade() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates/asyncio")
}

/// A program, and the position of its output in the chapter.
struct Program {
    code: String,
    output: Range<usize>,
}

/// The programs of a chapter that have an output.
fn programs(chapter: &str) -> Vec<Program> {
    let outputs = chapter.match_indices(OUTPUT).map(|(opening, _)| {
        let above = &chapter[..opening];
        let close = above.rfind(FENCE).expect("a program stands above its output");
        let open = above[..close].rfind(FENCE).expect("the block of the program is opened");
        let lines = above[open..close].lines().skip(1);
        // The page hides lines that begin with `# `.
        let code = lines.map(|line| line.strip_prefix("# ").unwrap_or(line));
        let start = opening + OUTPUT.len();
        let end = start + chapter[start..].find(FENCE).expect("the block of the output is closed");
        Program { code: code.collect::<Vec<_>>().join("\n"), output: start..end }
    });
    outputs.collect()
}

/// A program that contains one of these waits for something outside its loop, so it does not run under the virtual
/// clock.
const OUTSIDE: [&str; 7] = [
    "asyncio_http",
    "connect_read_pipe",
    "open_connection",
    "raise(",
    "subprocess",
    "thread",
    "tokio::",
];

/// Any other program runs under the virtual clock, so that its output is always the same. Line numbers do not
/// change.
fn with_its_clock(code: &str) -> String {
    if OUTSIDE.iter().any(|word| code.contains(word)) {
        return code.to_owned();
    }
    let main = "fn main() -> asyncio::Result<()> { asyncio::Runner::new().virtual_time(true)\
                .with(|runner| runner.run(program())) }\nasync fn program()";
    code.replace("#[asyncio::main]\nasync fn main()", main)
}

/// The path at which a program is compiled, which it may print.
fn file(directory: &Path, number: usize) -> PathBuf {
    directory.join(format!("program_{number}.rs"))
}

/// All programs in one source text. With a number as its argument it runs that program, and without one it runs all
/// of them and writes their outputs to `directory`.
fn as_one(programs: &[&Program], directory: &Path) -> String {
    let (mut modules, mut runs) = (String::new(), String::new());
    for (number, Program { code, .. }) in programs.iter().enumerate() {
        let file = file(directory, number);
        let run =
            "pub fn run() -> std::process::ExitCode { std::process::Termination::report(main()) }";
        fs::write(&file, format!("{}\n{run}\n", with_its_clock(code))).unwrap();
        writeln!(modules, "#[path = {file:?}]\nmod program_{number};").unwrap();
        writeln!(runs, "        program_{number}::run,").unwrap();
    }
    format!(
        r#"#![allow(unused)]
{modules}
fn main() -> std::process::ExitCode {{
    let programs: &[fn() -> std::process::ExitCode] = &[
{runs}    ];
    if let Some(number) = std::env::args().nth(1) {{
        return programs[number.parse::<usize>().unwrap()]();
    }}
    for number in 0..programs.len() {{
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        // With this variable, an error would show its backtrace.
        command.env_remove("RUST_BACKTRACE").env_remove("RUST_LIB_BACKTRACE");
        let output = command.arg(number.to_string()).output().unwrap();
        assert!(output.status.success(), "program {{number}}: {{output:?}}");
        std::fs::write(std::path::Path::new({directory:?}).join(number.to_string()), output.stdout).unwrap();
    }}
    std::process::ExitCode::SUCCESS
}}
"#
    )
}

fn is_like(line: &str, expected: &str) -> bool {
    match expected.split_once('…') {
        None => line == expected,
        Some((before, after)) => line.strip_prefix(before).is_some_and(|rest| {
            rest.char_indices().any(|(at, _)| is_like(&rest[at..], after)) || is_like("", after)
        }),
    }
}

#[test]
fn dots_stand_for_anything_within_a_line() {
    assert!(is_like("id=0x55d4)", "id=0x…)") && is_like("at 9:99", "at …") && is_like("x", "x"));
    assert!(is_like("a b c", "a…c…") && !is_like("a b", "a…c") && !is_like("x", "y"));
}

#[test]
fn its_programs_print_what_it_says() {
    let guide = facade().join("src/guide");
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guide");
    fs::create_dir_all(&directory).unwrap();

    let entries = fs::read_dir(guide).unwrap().map(|entry| entry.unwrap().path());
    let mut chapters: Vec<PathBuf> = entries.collect();
    chapters.sort();
    chapters.push(facade().join("../../README.md"));
    let texts: Vec<String> =
        chapters.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    let found: Vec<Vec<Program>> = texts.iter().map(|text| programs(text)).collect();
    let all: Vec<&Program> = found.iter().flatten().collect();
    assert!(all.len() > 30, "only {} programs were found", all.len());

    let source = directory.join("programs.rs");
    fs::write(&source, as_one(&all, &directory)).unwrap();
    let cases = trybuild::TestCases::new();
    cases.pass(&source);
    drop(cases); // This compiles and runs it.

    let output = |number: usize| {
        let output = fs::read_to_string(directory.join(number.to_string())).unwrap();
        output.replace(&*file(&directory, number).to_string_lossy(), "src/main.rs")
    };
    let mut outputs = (0..all.len()).map(output);
    let mut wrong = String::new();
    for ((path, text), programs) in chapters.iter().zip(&texts).zip(&found) {
        let (mut rewritten, mut done) = (String::new(), 0);
        for (program, actual) in programs.iter().zip(&mut outputs) {
            let expected = &text[program.output.clone()];
            let same = actual.lines().count() == expected.lines().count()
                && actual
                    .lines()
                    .zip(expected.lines())
                    .all(|(line, expected)| is_like(line, expected));
            rewritten += &text[done..program.output.start];
            rewritten += if same { expected } else { &actual };
            done = program.output.end;
            if !same {
                let line = text[..program.output.start].lines().count();
                let path = path.display();
                writeln!(wrong, "{path}:{line}: expected\n{expected}but it printed\n{actual}")
                    .unwrap();
            }
        }
        if std::env::var_os("GUIDE").is_some_and(|how| how == "overwrite") {
            fs::write(path, rewritten + &text[done..]).unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

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
    let examples = facade().join("examples");
    let page = fs::read_to_string(facade().join("src/guide/side_by_side.md")).unwrap();
    for directory in [examples.join("tour"), examples] {
        let (table, ratio) = table(&directory);
        assert!(page.contains(&table), "side_by_side.md should have\n{table}");
        assert!(ratio < 1.6, "{ratio:.2} times the lines of Python");
    }
}
