//! The files of the workspace, as text.

use std::fs;
use std::path::Path;

pub(crate) struct Tree {
    pub(crate) files: Vec<File>,
}

pub(crate) struct File {
    /// The path from the root of the workspace, with `/` between the parts.
    pub(crate) path: String,
    pub(crate) text: String,
}

/// A member of the workspace under `crates/`.
pub(crate) struct Crate {
    pub(crate) dir: String,
    pub(crate) package: String,
}

impl Tree {
    /// Reads all files except build products, version control and files that are not UTF-8.
    pub(crate) fn read(root: &Path) -> Result<Self, String> {
        let mut tree = Self { files: Vec::new() };
        tree.read_dir(root, "")?;
        tree.files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(tree)
    }

    fn read_dir(&mut self, dir: &Path, prefix: &str) -> Result<(), String> {
        let failed = |error| format!("cannot read {}: {error}", dir.display());
        for entry in fs::read_dir(dir).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name == ".git" {
                continue; // A directory, or in a worktree a file with the path of one.
            }
            let path = format!("{prefix}{name}");
            let kind = entry.file_type().map_err(failed)?;
            if kind.is_dir() {
                // Cargo marks each target directory with a CACHEDIR.TAG, wherever it is.
                let is_source = path != "target" && !entry.path().join("CACHEDIR.TAG").exists();
                if is_source {
                    self.read_dir(&entry.path(), &format!("{path}/"))?;
                }
            } else if kind.is_file() {
                let bytes = fs::read(entry.path())
                    .map_err(|error| format!("cannot read {path}: {error}"))?;
                if let Ok(text) = String::from_utf8(bytes) {
                    self.files.push(File { path, text });
                }
            }
        }
        Ok(())
    }

    pub(crate) fn get(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    pub(crate) fn under(&self, prefix: &str) -> impl Iterator<Item = &File> {
        self.files.iter().filter(move |file| file.path.starts_with(prefix))
    }

    pub(crate) fn rust(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| file.is_rust())
    }

    pub(crate) fn manifests(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| file.name() == "Cargo.toml")
    }

    pub(crate) fn crates(&self) -> impl Iterator<Item = Crate> {
        self.manifests().filter_map(|manifest| {
            let dir = manifest.path.strip_suffix("/Cargo.toml")?;
            let name = dir.strip_prefix("crates/").filter(|name| !name.contains('/'))?;
            let package =
                if name == "asyncio" { name.to_owned() } else { format!("asyncio-{name}") };
            Some(Crate { dir: dir.to_owned(), package })
        })
    }

    #[cfg(test)]
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        let file =
            |(path, text): &(&str, &str)| File { path: (*path).into(), text: (*text).into() };
        Self { files: files.iter().map(file).collect() }
    }
}

impl File {
    pub(crate) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crates_are_the_directories_of_crates() {
        let tree = Tree::of(&[
            ("Cargo.toml", ""),
            ("crates/asyncio/Cargo.toml", ""),
            ("crates/task/Cargo.toml", ""),
            ("tests/Cargo.toml", ""),
        ]);
        let packages: Vec<String> = tree.crates().map(|member| member.package).collect();
        assert_eq!(packages, ["asyncio", "asyncio-task"]);
    }

    #[test]
    fn the_tree_on_disk_is_read_without_build_products() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is in the root");
        let tree = Tree::read(root).expect("the workspace can be read");
        assert!(tree.get("xtask/src/tidy/tree.rs").is_some_and(|file| file.text.contains("Tree")));
        assert!(
            !tree.files.iter().any(|file| file.path == ".git" || file.path.starts_with(".git/"))
        );
        assert!(!tree.files.iter().any(|file| file.path.contains("/.fingerprint/")));
    }
}
