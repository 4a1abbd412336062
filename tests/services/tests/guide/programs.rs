//! The programs of the guide in one: the argument is the number of the program to run. The build script makes the
//! modules.

use std::{env, process::ExitCode};

include!(concat!(env!("OUT_DIR"), "/programs.rs"));

fn main() -> ExitCode {
    let number = env::args().nth(1).and_then(|number| number.parse().ok());
    let program = number.and_then(|number: usize| PROGRAMS.get(number));
    program.expect("the argument is the number of a program")()
}
