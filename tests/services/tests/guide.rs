//! The programs of the guide, and the first one of README.md, print what the pages say.
//!
//! If a page has a block of `text,output` below a program, the program is run, and its standard output is compared with
//! the block, line by line. `…` stands for anything within a line. The build script makes modules of the programs, which
//! the example `guide` contains. `cargo build -p asyncio-services-tests --examples` builds it. After a change, update the
//! outputs with `GUIDE=overwrite cargo test -p asyncio-services-tests guide`, and read the difference.

mod pages;

use pages::{Page, pages};
use std::{env, fmt::Write, fs, path::PathBuf, process::Command};

/// The example that contains the programs.
fn example() -> PathBuf {
    let mut directory = env::current_exe().unwrap();
    directory.pop(); // deps
    directory.pop();
    directory.join("examples").join("guide")
}

/// The standard output of a program.
fn output(number: usize) -> String {
    let mut command = Command::new(example());
    // With this variable, an error would show its backtrace.
    command.env_remove("RUST_BACKTRACE").env_remove("RUST_LIB_BACKTRACE");
    let output = command.arg(number.to_string()).output().unwrap();
    assert!(output.status.success(), "program {number}: {output:?}");
    // A program may print where it is.
    let file = format!("{}/program_{number}.rs", env!("OUT_DIR"));
    String::from_utf8(output.stdout).unwrap().replace(&file, "src/main.rs")
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
    let (mut number, mut wrong) = (0, String::new());
    for Page { path, text, programs } in pages() {
        let (mut rewritten, mut done) = (String::new(), 0);
        for program in programs {
            let (actual, expected) = (output(number), &text[program.output.clone()]);
            let lines = || actual.lines().zip(expected.lines());
            let same = actual.lines().count() == expected.lines().count()
                && lines().all(|(line, expected)| is_like(line, expected));
            rewritten += &text[done..program.output.start];
            rewritten += if same { expected } else { &actual };
            if !same {
                let (path, line) = (path.display(), text[..program.output.start].lines().count());
                writeln!(wrong, "{path}:{line}: expected\n{expected}but it printed\n{actual}")
                    .unwrap();
            }
            (number, done) = (number + 1, program.output.end);
        }
        if env::var_os("GUIDE").is_some_and(|how| how == "overwrite") {
            fs::write(path, rewritten + &text[done..]).unwrap();
        }
    }
    assert!(number > 30, "only {number} programs were found");
    assert!(wrong.is_empty(), "{wrong}");
}
