//! Files of scenarios and records.

use super::run::Run;
use serde_json::Value as Json;
use std::{fs, io::Read, path::Path};

/// A scenario, and what CPython recorded for it.
#[derive(Debug)]
pub struct Record {
    /// Its name.
    pub name: String,
    /// The scenario as JSON.
    pub scenario: Json,
    /// The record, empty for a scenario alone.
    pub recorded: Option<Run>,
}

/// Reads a file with a record or a scenario in each line, gzipped or not.
///
/// # Errors
/// If the file cannot be read, or if a line is neither. The error names the line.
pub fn read(path: &Path) -> Result<Vec<Record>, String> {
    let place = path.display();
    let bytes = fs::read(path).map_err(|error| format!("{place}: {error}"))?;
    let mut text = String::new();
    let read = match bytes.starts_with(&[0x1f, 0x8b]) {
        true => flate2::read::MultiGzDecoder::new(&bytes[..]).read_to_string(&mut text),
        false => bytes.as_slice().read_to_string(&mut text),
    };
    read.map_err(|error| format!("{place}: {error}"))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(index, line)| {
            record(line).map_err(|problem| format!("{place}:{}: {problem}", index + 1))
        })
        .collect()
}

fn record(line: &str) -> Result<Record, String> {
    let mut json: Json = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let members = json.as_object_mut().ok_or("not an object")?;
    let recorded = match (members.remove("trace"), members.remove("outcome")) {
        (None, None) => None,
        (Some(Json::Array(trace)), Some(outcome)) => Some(Run { trace, outcome }),
        _ => return Err("a record has both a trace and an outcome".to_owned()),
    };
    let scenario = members.remove("scenario").unwrap_or(json);
    let name = scenario["name"].as_str().ok_or("the scenario has no name")?.to_owned();
    Ok(Record { name, scenario, recorded })
}
