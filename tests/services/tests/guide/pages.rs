//! The programs on the pages of the guide, and their outputs. For the build script, which makes modules of the
//! programs, and for the tests, which run them.

#![allow(dead_code)] // Each of them uses a part of this.

use std::{
    fs,
    ops::Range,
    path::{Path, PathBuf},
};

const OUTPUT: &str = "```text,output\n";
const FENCE: &str = "```";

pub(crate) struct Page {
    pub(crate) path: PathBuf,
    pub(crate) text: String,
    pub(crate) programs: Vec<Program>,
}

/// A program that is followed by its output.
pub(crate) struct Program {
    pub(crate) code: String,
    /// The position of the output in the page.
    pub(crate) output: Range<usize>,
}

/// The directory of the guide, and README.md.
pub(crate) fn sources() -> [PathBuf; 2] {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    [root.join("crates/asyncio/src/guide"), root.join("README.md")]
}

/// The pages in the order of their names, then README.md.
pub(crate) fn pages() -> Vec<Page> {
    let [guide, readme] = sources();
    let entries = fs::read_dir(guide).expect("the guide is there");
    let mut paths: Vec<PathBuf> =
        entries.map(|entry| entry.expect("its directory can be read").path()).collect();
    paths.sort();
    paths.push(readme);
    let page = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("a page can be read");
        Page { programs: programs(&text), path, text }
    };
    paths.into_iter().map(page).collect()
}

fn programs(text: &str) -> Vec<Program> {
    let outputs = text.match_indices(OUTPUT).map(|(opening, _)| {
        let above = &text[..opening];
        let close = above.rfind(FENCE).expect("a program stands above its output");
        let open = above[..close].rfind(FENCE).expect("the block of the program is opened");
        let lines = above[open..close].lines().skip(1);
        // The page hides lines that begin with `# `.
        let code = lines.map(|line| line.strip_prefix("# ").unwrap_or(line));
        let start = opening + OUTPUT.len();
        let end = start + text[start..].find(FENCE).expect("the block of the output is closed");
        Program { code: code.collect::<Vec<_>>().join("\n"), output: start..end }
    });
    outputs.collect()
}
