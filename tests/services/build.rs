//! Makes modules of the programs of the guide, for the tests in `tests/guide`.

#[path = "tests/guide/pages.rs"]
mod pages;

use std::{env, fs, path::Path};

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

/// Makes the `main` of a program callable, whatever it returns.
const RUN: &str = "pub(crate) fn run() -> std::process::ExitCode { \
                   std::process::Termination::report(main()) }";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=tests/guide/pages.rs");
    for source in pages::sources() {
        println!("cargo::rerun-if-changed={}", source.display());
    }
    let directory = env::var_os("OUT_DIR").expect("cargo sets it");
    let directory = Path::new(&directory);
    let (mut modules, mut programs) = (String::new(), String::new());
    let all = pages::pages().into_iter().flat_map(|page| page.programs);
    for (number, program) in all.enumerate() {
        let file = directory.join(format!("program_{number}.rs"));
        let code = format!("{}\n{RUN}\n", with_its_clock(&program.code));
        fs::write(&file, code).expect("OUT_DIR can be written to");
        modules += &format!(
            "#[allow(warnings, clippy::all)]\n#[path = {file:?}]\nmod program_{number};\n"
        );
        programs += &format!("    program_{number}::run,\n");
    }
    let programs = format!("const PROGRAMS: &[fn() -> ExitCode] = &[\n{programs}];\n");
    fs::write(directory.join("programs.rs"), modules + &programs)
        .expect("OUT_DIR can be written to");
}
