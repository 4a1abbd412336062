//! Compares the traces of scenarios with those recorded on CPython.

use asyncio_tests::conformance::{
    compare::Options,
    corpus::{self, Record},
    pool,
};
use serde_json::json;
use std::{
    io::{self, Write},
    path::PathBuf,
    process::exit,
    sync::Arc,
    thread::available_parallelism,
};

const USAGE: &str = "\
usage: conformance [options] FILE.jsonl [FILE...]
Runs every scenario of the files (JSON lines, gzipped or not) and compares its trace and outcome with
the recorded ones. The exit status is 1 if one differs.
  --print               write the traces as JSON lines instead
  --filter NAME         only scenarios whose name contains NAME
  --jobs N              run N at a time
  --ignore-messages     treat Cancelled:message as Cancelled
  --ignore-unretrieved  do not compare which errors were never retrieved";

struct Arguments {
    files: Vec<PathBuf>,
    print: bool,
    filter: Option<String>,
    jobs: usize,
    options: Options,
}

fn main() {
    let outcome = arguments().and_then(|arguments| run(&arguments));
    exit(match outcome {
        Ok(true) => 0,
        Ok(false) => 1,
        Err(problem) => {
            eprintln!("conformance: {problem}");
            2
        }
    });
}

fn arguments() -> Result<Arguments, String> {
    let mut arguments = Arguments {
        files: Vec::new(),
        print: false,
        filter: None,
        jobs: available_parallelism().map_or(1, usize::from),
        options: Options::default(),
    };
    let mut given = std::env::args_os().skip(1);
    while let Some(argument) = given.next() {
        let mut value = |name: &str| {
            let value = given.next().and_then(|value| value.into_string().ok());
            value.ok_or_else(|| format!("{name} needs a value\n{USAGE}"))
        };
        match argument.to_str() {
            Some("--print") => arguments.print = true,
            Some("--filter") => arguments.filter = Some(value("--filter")?),
            Some("--jobs") => {
                let jobs = value("--jobs")?;
                let number = jobs.parse().ok().filter(|&jobs: &usize| jobs > 0);
                arguments.jobs = number.ok_or_else(|| format!("--jobs cannot be {jobs:?}"))?;
            }
            Some("--ignore-messages") => arguments.options.ignore_messages = true,
            Some("--ignore-unretrieved") => arguments.options.ignore_unretrieved = true,
            Some("--help" | "-h") => {
                println!("{USAGE}");
                exit(0);
            }
            Some(unknown) if unknown.starts_with('-') => {
                return Err(format!("unknown option {unknown}\n{USAGE}"));
            }
            _ => arguments.files.push(argument.into()),
        }
    }
    if arguments.files.is_empty() {
        return Err(format!("no file\n{USAGE}"));
    }
    Ok(arguments)
}

/// Returns whether everything is equal.
fn run(arguments: &Arguments) -> Result<bool, String> {
    let mut records: Vec<Record> = Vec::new();
    for file in &arguments.files {
        records.extend(corpus::read(file)?);
    }
    if let Some(filter) = &arguments.filter {
        records.retain(|record| record.name.contains(filter));
        if records.is_empty() {
            return Err(format!("no scenario has {filter:?} in its name"));
        }
    }
    let records: Arc<[Record]> = records.into();
    let report = |result: io::Result<bool>| result.map_err(|error| format!("stdout: {error}"));
    report(match arguments.print {
        true => print(&records, arguments.jobs),
        false => check(&records, arguments.jobs, arguments.options),
    })
}

fn check(records: &Arc<[Record]>, jobs: usize, options: Options) -> io::Result<bool> {
    let mut out = io::stdout().lock();
    let verdicts = pool::check(records.clone(), jobs, options);
    for (record, verdict) in records.iter().zip(&verdicts) {
        if let Some(difference) = verdict {
            write!(out, "--- {}\n{difference}", record.name)?;
        }
    }
    let equal = verdicts.iter().filter(|verdict| verdict.is_none()).count();
    writeln!(out, "conformance: {equal} of {} traces equal", records.len())?;
    out.flush()?;
    Ok(equal == records.len())
}

fn print(records: &Arc<[Record]>, jobs: usize) -> io::Result<bool> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let mut all = true;
    for (record, run) in records.iter().zip(pool::run_all(records.clone(), jobs)) {
        match run {
            Ok(run) => {
                let line = json!({
                    "name": record.name, "trace": run.trace, "outcome": run.outcome,
                });
                writeln!(out, "{line}")?;
            }
            Err(problem) => {
                all = false;
                eprintln!("conformance: {}: {problem}", record.name);
            }
        }
    }
    out.flush()?;
    Ok(all)
}
