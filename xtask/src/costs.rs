//! The time that the packages of other projects take in a build, from cargo's report (`--timings`).

use std::collections::BTreeMap;
use std::fmt;

use crate::shell::Workspace;

/// The seconds that the compiler took for each package of another project.
#[derive(Default)]
pub(crate) struct Costs(BTreeMap<String, f64>);

impl Costs {
    /// Adds the report of the last build. It does not list what was already built.
    pub(crate) fn add_report(&mut self, workspace: &Workspace) {
        let path = workspace.target("cargo-timings").join("cargo-timing.html");
        self.add(&std::fs::read_to_string(path).unwrap_or_default());
    }

    fn add(&mut self, report: &str) {
        let mut package = "";
        for line in report.lines().map(str::trim) {
            if let Some(name) = line.strip_prefix("\"name\": \"") {
                package = name.trim_end_matches("\",");
            } else if let Some(seconds) = line.strip_prefix("\"duration\": ") {
                let is_ours = package.starts_with("asyncio") || package == "xtask";
                if let (false, Ok(seconds)) =
                    (is_ours, seconds.trim_end_matches(',').parse::<f64>())
                {
                    *self.0.entry(package.to_owned()).or_insert(0.0) += seconds;
                }
            }
        }
    }
}

/// One line: the total, and every package of a second or more. Nothing if nothing was built.
impl fmt::Display for Costs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        let total: f64 = self.0.values().sum();
        write!(f, "dependencies: {} packages in {total:.0} s:", self.0.len())?;
        let mut longest: Vec<_> = self.0.iter().filter(|(_, seconds)| **seconds >= 1.0).collect();
        longest.sort_by(|one, other| other.1.total_cmp(one.1));
        longest.iter().try_for_each(|(package, seconds)| write!(f, " {package} {seconds:.0},"))?;
        f.write_str(" the others less than one")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_come_first_and_the_workspace_is_left_out() {
        let unit = |name: &str, seconds: f64| {
            format!("  {{\n    \"name\": \"{name}\",\n    \"duration\": {seconds},\n  }},\n")
        };
        let units = [("sqlx", 1.5), ("asyncio-http", 9.0), ("itoa", 0.4), ("redis", 7.0)];
        let report = units.map(|(name, seconds)| unit(name, seconds)).concat();
        let mut costs = Costs::default();
        assert_eq!(costs.to_string(), "");
        costs.add(&(report + &unit("sqlx", 1.0)));
        let said = "dependencies: 3 packages in 10 s: redis 7, sqlx 2, the others less than one";
        assert_eq!(costs.to_string(), said);
    }
}
