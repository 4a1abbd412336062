//! Real programs, looked into while they run: the example `stuck`, and what is no program of ours.

mod stuck;

use std::{
    fs,
    process::{Command, Output},
    time::{Duration, Instant},
};
use stuck::{Stuck, example};

/// Runs the command.
fn asyncio(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_asyncio")).args(arguments).output().expect("it was built")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("it prints UTF-8")
}

/// What it prints, with numbers of processes and addresses by their order, and columns by one space.
fn printed(arguments: &[&str]) -> String {
    let output = asyncio(arguments);
    assert!(output.status.success(), "{}", text(&output.stderr));
    normalised(text(&output.stdout))
}

fn normalised(text: &str) -> String {
    let mut known: Vec<&str> = Vec::new();
    let mut lines = String::new();
    for line in text.lines().filter(|line| !line.starts_with("---")) {
        let table = line.starts_with(|c: char| c.is_ascii_digit());
        let words = line.split(' ').filter(|word| !table || !word.is_empty()).map(|word| {
            let is_number = table && word.len() > 1 && word.bytes().all(|b| b.is_ascii_digit());
            if !is_number && (!word.starts_with("0x") || word == "0x0") {
                return word.to_owned();
            }
            let place = known.iter().position(|other| *other == word).unwrap_or_else(|| {
                known.push(word);
                known.len() - 1
            });
            format!("#{place}")
        });
        lines += words.collect::<Vec<_>>().join(" ").trim_end();
        lines.push('\n');
    }
    // The header is as wide as the columns.
    lines.replace("crates/tools/examples/stuck.rs", "stuck.rs")
}

/// Compares with a golden file, which `GOLDEN=write` writes.
fn assert_golden(name: &str, printed: &str) {
    let path = format!("{}/tests/golden/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("GOLDEN").is_some_and(|value| value == "write") {
        fs::write(&path, printed).expect("golden files can be written");
    }
    let expected = fs::read_to_string(&path).expect("the golden file is there");
    assert_eq!(printed, expected, "{name}: GOLDEN=write takes what is printed as right");
}

/// Everything but the header of a table, whose width depends on addresses.
fn rows(table: &str) -> String {
    table.lines().skip(1).map(|line| format!("{line}\n")).collect()
}

#[test]
fn every_kind_of_wait_is_shown_with_its_place() {
    let program = Stuck::start(&["kinds"]);
    assert_golden("kinds.ps", &rows(&printed(&["ps", &program.pid()])));
    assert_golden("kinds.pstree", &printed(&["pstree", &program.pid()]));
}

#[test]
fn tasks_that_wait_for_each_other_are_a_circle_and_no_tree() {
    let program = Stuck::start(&["circle"]);
    assert_golden("circle.ps", &rows(&printed(&["ps", &program.pid()])));
    let output = asyncio(&["pstree", &program.pid()]);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(1), ""));
    assert_golden("circle.pstree", text(&output.stderr));
}

#[test]
fn a_loop_that_is_blocked_or_spins_is_read_like_any_other() {
    let program = Stuck::start(&["threads"]);
    let until = Instant::now() + Duration::from_secs(60);
    // Until the thread has come to sleep in the system.
    let table = loop {
        let table = printed(&["ps", &program.pid()]);
        if table.contains(" blocked ") || Instant::now() > until {
            break table;
        }
    };
    assert_golden("threads.ps", &rows(&table));
}

#[test]
fn a_stripped_program_is_read_too() {
    let directory = std::env::temp_dir().join(format!("asyncio-tools-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    let stripped = directory.join("stripped");
    fs::copy(example("stuck"), &stripped).unwrap();
    match Command::new("strip").arg(&stripped).status() {
        Ok(status) if status.success() => {
            let program = Stuck::of(&stripped, &["kinds"]);
            assert_golden("kinds.ps", &rows(&printed(&["ps", &program.pid()])));
        }
        _ => println!("SKIPPED: there is no `strip`"),
    }
    fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn a_core_dump_is_read_as_the_program_was() {
    let directory = std::env::temp_dir().join(format!("asyncio-core-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    let program = Stuck::start(&["kinds"]);
    let prefix = directory.join("core");
    let dumped = Command::new("gcore").arg("-o").arg(&prefix).arg(program.pid()).output();
    match dumped {
        Ok(output) if output.status.success() => {
            let core = format!("{}.{}", prefix.display(), program.pid());
            assert_golden("kinds.ps", &rows(&printed(&["ps", "--core", &core])));
        }
        _ => println!("SKIPPED: there is no `gcore`, or it may not dump"),
    }
    fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn json_says_everything() {
    let program = Stuck::start(&["kinds"]);
    let output = asyncio(&["ps", "--json", &program.pid()]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let tasks = json["loops"][0]["tasks"].as_array().unwrap();
    let by_name = |name: &str| tasks.iter().find(|task| task["name"] == name).unwrap();
    let (inner, outer) = (by_name("inner"), by_name("outer"));
    assert_eq!(inner["awaited_by"][0], outer["id"]);
    assert_eq!(outer["awaits"][0], inner["id"]);
    assert_eq!((&inner["waits_for"], &inner["state"]), (&"sleep".into(), &"waiting".into()));
    assert!(by_name("foreign")["waits_for"].is_null());
    assert_eq!(json["loops"][0]["unread_tasks"], 0);
    assert!(json["loops"][0]["steps"].as_u64() >= Some(9));
}

#[test]
fn many_tasks_are_listed_while_one_of_them_runs_all_the_time() {
    const COUNT: usize = 100_000;
    let program = Stuck::start(&["many", &COUNT.to_string()]);
    let began = Instant::now();
    let output = asyncio(&["ps", &program.pid()]);
    assert!(began.elapsed() < Duration::from_secs(60));
    // How wide the columns are depends on what the other one does.
    let waits = |line: &&str| line.contains(" waiting ") && line.contains(" Event.wait ");
    let waiting = text(&output.stdout).lines().filter(waits);
    assert_eq!(waiting.count(), COUNT);
}

#[test]
fn what_cannot_be_looked_into_says_so_in_a_sentence() {
    let failed = |arguments: &[&str]| {
        let output = asyncio(arguments);
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(1), ""));
        text(&output.stderr).to_owned()
    };
    let absent = failed(&["ps", "2147483647"]);
    assert_eq!(absent, "asyncio: there is no process 2147483647; `ps -e` lists those that run\n");
    let mut other = Command::new("sleep").arg("60").spawn().unwrap();
    let pid = other.id().to_string();
    for command in ["ps", "pstree", "top"] {
        let without = failed(&[command, &pid]);
        let expected = format!("asyncio: process {pid} has no asyncio for Rust in it");
        assert!(without.starts_with(&expected), "{without}");
    }
    other.kill().unwrap();
    other.wait().unwrap();
    let ended = failed(&["ps", &pid]);
    assert!(ended.contains("there is no process"), "{ended}");
    let this = failed(&["ps", "--core", "Cargo.toml"]);
    assert!(this.contains("Cargo.toml is no core dump"), "{this}");
}

#[test]
fn arguments_that_make_no_sense_are_told_with_the_usage() {
    for arguments in [&[][..], &["ps"], &["ps", "x"], &["ps", "-1"], &["ps", "1", "2"], &["dance"]]
    {
        let output = asyncio(arguments);
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(2), ""), "{arguments:?}");
        assert!(text(&output.stderr).contains("usage: asyncio ps"), "{arguments:?}");
    }
    assert!(text(&asyncio(&["--help"]).stdout).contains("usage: asyncio ps"));
    assert!(text(&asyncio(&["--version"]).stdout).starts_with("asyncio 0."));
}
