//! The facade names every type that it shows: a program can write down what any function of `asyncio` takes and returns.

use std::collections::HashSet;

use super::Findings;
use super::tree::Tree;

const FACADE: &str = "api/asyncio.txt";
/// This crate is re-exported as a whole.
const WHOLE: &str = "asyncio-files";
/// The crates of which the facade re-exports nothing.
const APART: [&str; 3] = ["asyncio-http", "asyncio-tokio", "asyncio-tools"];
/// This module is for the authors of primitives. Some of its names are those of other types in the facade.
const OF_PRIMITIVES: &str = "asyncio_core::wait::";
/// Types of methods for the authors of other loops.
const OF_LOOPS: [&str; 2] = ["Values", "LoopRef"];

pub(super) fn the_facade_names_what_it_shows(tree: &Tree, findings: &mut Findings) {
    let Some(facade) = tree.get(FACADE) else { return };
    let re_exports = facade.text.lines().filter_map(|line| line.strip_prefix("pub use "));
    let mut named: HashSet<&str> = re_exports.filter_map(|path| path.rsplit("::").next()).collect();
    named.extend(OF_LOOPS);
    let listings = || {
        tree.under("api/asyncio-")
            .filter(|file| !APART.iter().any(|apart| file.name() == format!("{apart}.txt")))
    };
    for file in listings().filter(|file| file.name() == format!("{WHOLE}.txt")) {
        named.extend(file.text.lines().filter(|line| line.starts_with("pub ")).filter_map(subject));
    }
    for file in listings() {
        for (index, line) in
            file.text.lines().enumerate().filter(|(_, line)| line.starts_with("pub "))
        {
            if !subject(line).is_some_and(|subject| named.contains(subject)) {
                continue;
            }
            // The traits of a module `sealed` are meant to have no name.
            for path in paths(line).filter(|path| !path.contains("::sealed::")) {
                if let Some(name) = type_of(path).filter(|name| !named.contains(name)) {
                    let remedy = "re-export it, or hide the item";
                    findings.add(
                        &file.path,
                        index,
                        format!("`asyncio` shows `{name}`, and has no such name; {remedy}"),
                    );
                }
            }
        }
    }
}

/// What a line is about: a type, for its fields and methods too, or a function.
fn subject(line: &str) -> Option<&str> {
    let path = paths(line).next().filter(|path| !path.starts_with(OF_PRIMITIVES))?;
    type_of(path).or_else(|| path.rsplit("::").next())
}

/// The paths in a line that lead into our crates.
fn paths(line: &str) -> impl Iterator<Item = &str> {
    let words = line.split(|c: char| !c.is_alphanumeric() && c != '_' && c != ':');
    words.filter(|word| word.starts_with("asyncio_"))
}

fn type_of(path: &str) -> Option<&str> {
    path.split("::").find(|part| part.starts_with(char::is_uppercase))
}

#[cfg(test)]
mod tests {
    use super::super::found;
    use super::*;

    #[test]
    fn a_type_without_a_name_is_found() {
        let locks = "\
pub struct asyncio_locks::lock::Lock<T>
pub fn asyncio_locks::lock::Lock<T>::acquire(&self) -> asyncio_locks::lock::Acquire<'_, T>
pub fn asyncio_locks::lock::Lock<T>::locked(&self) -> bool
pub fn asyncio_locks::waiters::WaitQueue::head(&self) -> asyncio_locks::waiters::Head
impl<T> asyncio_core::wait::Leaf for asyncio_locks::lock::Acquire<'_, T>
";
        let found_with = |facade: &str| {
            let files = [("api/asyncio.txt", facade), ("api/asyncio-locks.txt", locks)];
            found(the_facade_names_what_it_shows, &files)
        };
        assert_eq!(found_with("pub use asyncio::Lock\n"), ["api/asyncio-locks.txt:2"]);
        let both = "pub use asyncio::Lock\npub use asyncio::locks::Acquire\n";
        assert_eq!(found_with(both), [""; 0]);
        assert_eq!(found_with(""), [""; 0]);
    }

    #[test]
    fn files_are_named_as_a_whole() {
        let files = "\
pub struct asyncio_files::Open
pub fn asyncio_files::open(impl core::convert::AsRef<std::path::Path>) -> asyncio_files::Open
pub fn asyncio_files::read() -> impl asyncio_core::wait::Leaf<Output = ()>
";
        let listings =
            [("api/asyncio.txt", "pub use asyncio::files\n"), ("api/asyncio-files.txt", files)];
        assert_eq!(found(the_facade_names_what_it_shows, &listings), ["api/asyncio-files.txt:3"]);
    }
}
