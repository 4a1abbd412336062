//! Rules for single files: docs, length, forbidden text, clean lines.

use super::Findings;
use super::tree::{File, Tree};

const MAX_LINES: usize = 600;
/// Tests are lists, and longer than code may be.
const MAX_TEST_LINES: usize = 900;

/// Written in halves, because this file is checked too.
const UNFINISHED: &[&str] = &[
    concat!("to", "do!("),
    concat!("unimpl", "emented!("),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
    concat!("#[ig", "nore"),
    concat!("db", "g!("),
];
const MACHINE_PATHS: &[&str] =
    &[concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")];
const REGISTRIES: &[&str] = &[concat!("regis", "try+"), concat!("spar", "se+")];
/// The name of crates.io in Cargo.lock.
const CRATES_IO: &[&str] =
    &["https://github.com/rust-lang/crates.io-index", "https://index.crates.io/"];
/// Tables that name other registries in a manifest or in cargo's configuration.
const REGISTRY_TABLES: &[&str] = &[concat!("[sour", "ce."), concat!("[regis", "tries")];

pub(super) fn every_module_has_docs(tree: &Tree, findings: &mut Findings) {
    for file in tree.rust() {
        if !file.text.starts_with("//!") {
            findings.add(&file.path, 0, "a module begins with `//!` docs");
        }
    }
}

pub(super) fn no_file_has_outgrown_its_purpose(tree: &Tree, findings: &mut Findings) {
    for file in tree.rust() {
        let max = if is_test(file) { MAX_TEST_LINES } else { MAX_LINES };
        let lines = file.text.lines().count();
        if lines > max {
            findings.add(&file.path, max, format!("{lines} lines, more than {max}: split it"));
        }
    }
}

fn is_test(file: &File) -> bool {
    file.name() == "tests.rs" || file.path.split('/').any(|part| part == "tests")
}

pub(super) fn nothing_unfinished(tree: &Tree, findings: &mut Findings) {
    for file in tree.rust() {
        findings.add_lines(file, |line| {
            let mark = UNFINISHED.iter().find(|mark| line.contains(**mark))?;
            Some(format!("`{mark}` is left over"))
        });
    }
}

pub(super) fn nothing_of_one_machine(tree: &Tree, findings: &mut Findings) {
    for file in &tree.files {
        findings.add_lines(file, |line| {
            if let Some(path) = MACHINE_PATHS.iter().find(|path| line.contains(**path)) {
                return Some(format!("`{path}`: a path of one machine"));
            }
            let is_toml = file.path.ends_with(".toml");
            (names_a_registry(line)
                || is_toml && REGISTRY_TABLES.iter().any(|table| line.starts_with(table)))
            .then(|| "a registry other than crates.io".to_owned())
        });
    }
}

fn names_a_registry(line: &str) -> bool {
    REGISTRIES.iter().any(|scheme| {
        line.split(scheme).skip(1).any(|rest| {
            rest.starts_with("http") && !CRATES_IO.iter().any(|index| rest.starts_with(index))
        })
    })
}

pub(super) fn lines_are_clean(tree: &Tree, findings: &mut Findings) {
    for file in tree.files.iter().filter(|file| is_written_by_hand(file)) {
        findings.add_lines(file, |line| {
            if line.ends_with([' ', '\t', '\r']) {
                Some("white space at the end of the line".to_owned())
            } else if file.is_rust() && line.contains('\t') {
                Some("a tab".to_owned())
            } else {
                None
            }
        });
        if !file.text.is_empty() && !file.text.ends_with('\n') {
            let last = file.text.lines().count() - 1;
            findings.add(&file.path, last, "no newline at the end of the file");
        }
    }
}

/// The examples of items, which appear on the pages of the facade. The examples in a crate's `lib.rs` are for users of
/// that crate alone, and so is everything in crates that the facade does not re-export.
pub(super) fn examples_name_the_facade(tree: &Tree, findings: &mut Findings) {
    let above_the_facade = ["crates/http/", "crates/tokio/"];
    let is_read_there = |file: &&File| {
        let is_above = above_the_facade.iter().any(|path| file.path.starts_with(path));
        file.is_rust() && file.path.contains("/src/") && !is_above
    };
    for file in tree.under("crates/").filter(is_read_there).filter(|f| f.name() != "lib.rs") {
        let mut is_code = false;
        findings.add_lines(file, |line| {
            let Some(docs) = line.trim_start().strip_prefix("///") else {
                is_code = false;
                return None;
            };
            is_code ^= docs.trim_start().starts_with("```");
            let names_a_crate = |line: &str| {
                let mut parts = line.split("asyncio_").skip(1);
                parts.any(|rest| rest.trim_start_matches(char::is_alphabetic).starts_with("::"))
            };
            (is_code && names_a_crate(docs)).then(|| "an example names a crate".to_owned())
        });
    }
}

fn is_written_by_hand(file: &File) -> bool {
    let extensions = [".rs", ".toml", ".md", ".txt"];
    file.path.starts_with(".ci/") || extensions.iter().any(|end| file.path.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::super::found;
    use super::*;

    #[test]
    fn a_module_without_docs_is_found() {
        let files =
            [("crates/a/src/lib.rs", "//! Good.\n"), ("tests/tests/b.rs", "use a;\n//! Late.\n")];
        assert_eq!(found(every_module_has_docs, &files), ["tests/tests/b.rs:1"]);
    }

    #[test]
    fn long_files_are_found_and_tests_may_be_longer() {
        let (short, long, longest) = ("a\n".repeat(600), "a\n".repeat(601), "a\n".repeat(901));
        let files: [(&str, &str); 6] = [
            ("crates/a/src/fits.rs", &short),
            ("crates/a/src/long.rs", &long),
            ("crates/a/src/long/tests.rs", &long),
            ("tests/tests/long.rs", &long),
            ("tests/tests/longest.rs", &longest),
            ("CHANGELOG.md", &longest),
        ];
        let expected = ["crates/a/src/long.rs:601", "tests/tests/longest.rs:901"];
        assert_eq!(found(no_file_has_outgrown_its_purpose, &files), expected);
    }

    #[test]
    fn an_example_that_names_a_crate_is_found() {
        let text = "//! Docs.\n/// See [`asyncio_a::b`].\n/// ```\n/// asyncio_a::b();\n/// asyncio::b();\n\
                    /// ```\n/// asyncio_a::b();\nfn b() {}\n";
        let files = [("crates/a/src/b.rs", text), ("crates/a/src/lib.rs", text)];
        assert_eq!(found(examples_name_the_facade, &files), ["crates/a/src/b.rs:4"]);
    }

    #[test]
    fn each_mark_of_unfinished_work_is_found() {
        for mark in UNFINISHED {
            let text = format!("//! Docs.\n\nfn f() {{ {mark} }}\n");
            let found = found(nothing_unfinished, &[("crates/a/src/lib.rs", &text)]);
            assert_eq!(found, ["crates/a/src/lib.rs:3"], "{mark}");
        }
    }

    #[test]
    fn each_machine_path_is_found_in_any_file() {
        for path in MACHINE_PATHS {
            let text = format!("# Title\nSee {path}notes.\n");
            assert_eq!(found(nothing_of_one_machine, &[("README.md", &text)]), ["README.md:2"]);
        }
    }

    #[test]
    fn a_registry_is_found_unless_it_is_crates_io() {
        let [git, sparse] = REGISTRIES else { panic!("two schemes") };
        let lock = format!(
            "source = \"{git}https://github.com/rust-lang/crates.io-index\"\n\
             source = \"{git}https://crates.example/index\"\n\
             source = \"{sparse}https://crates.example/\"\n"
        );
        let config = format!("[alias]\n{}mirror]\n", REGISTRY_TABLES[0]);
        let files: [(&str, &str); 2] = [("Cargo.lock", &lock), (".cargo/config.toml", &config)];
        let expected = ["Cargo.lock:2", "Cargo.lock:3", ".cargo/config.toml:2"];
        assert_eq!(found(nothing_of_one_machine, &files), expected);
    }

    #[test]
    fn unclean_lines_are_found() {
        let files = [
            ("crates/a/src/lib.rs", "//! Good.\nfn a() {} \n\tfn b() {}\nfn c() {}"),
            (".ci/run", "#!/usr/bin/env bash\t\n"),
            ("README.md", "\tindented\n"),
            ("tests/conformance/visible.jsonl", "{} "),
        ];
        let at = "crates/a/src/lib.rs";
        let expected =
            [format!("{at}:2"), format!("{at}:3"), format!("{at}:4"), ".ci/run:1".into()];
        assert_eq!(found(lines_are_clean, &files), expected);
    }
}
