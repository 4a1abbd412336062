//! The step `alone` of `ci`: it packages each crate, and builds a project outside the workspace that uses only the
//! packaged locks, under tokio.

use std::fs;
use std::path::Path;

use crate::shell::{Run, Workspace};
use crate::tidy::tree::Tree;
use crate::{Outcome, TaskResult};

/// The crates are not on crates.io yet, so the project uses the packages instead.
const MANIFEST: &str = r#"[package]
name = "alone"
edition = "2024"

[dependencies]
asyncio-locks = "*"
tokio = { version = "1", features = ["macros", "rt-multi-thread"] }

[patch.crates-io]
asyncio-core = { path = "asyncio-core" }
asyncio-locks = { path = "asyncio-locks" }

[workspace]
"#;

const PROGRAM: &str = r#"use asyncio_locks::{Lock, Semaphore};
use std::sync::Arc;

#[tokio::main]
async fn main() {
    let shared = Arc::new((Lock::new(0), Semaphore::new(3)));
    let tasks: Vec<_> = (0..10)
        .map(|_| {
            let shared = shared.clone();
            tokio::spawn(async move {
                for _ in 0..1000 {
                    let _permit = shared.1.acquire().await.unwrap();
                    *shared.0.acquire().await.unwrap() += 1;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!((*shared.0.acquire().await.unwrap(), shared.1.value()), (10_000, 3));
}
"#;

pub(crate) fn run(workspace: &Workspace) -> TaskResult {
    let tree = Tree::read(&workspace.root)?;
    let packages = tree.crates().flat_map(|member| ["-p".to_owned(), member.package]);
    workspace.cargo("package --no-verify --allow-dirty").args(packages).run()?;
    let project = workspace.target("alone");
    let written = write(&project);
    written.map_err(|error| format!("cannot write {}: {error}", project.display()))?;
    for name in ["asyncio-core", "asyncio-locks"] {
        unpack(workspace, name, &project)?.run()?;
    }
    let manifest = project.join("Cargo.toml");
    let cargo = workspace.cargo("run --quiet --manifest-path").args([manifest.to_string_lossy()]);
    cargo.target_dir(project.join("target")).run()?;
    let lock = fs::read_to_string(project.join("Cargo.lock")).map_err(|error| error.to_string())?;
    match not_only_locks(&lock) {
        None => Ok(Outcome::Done),
        Some(name) => Err(format!("a project that depends on the locks alone also gets {name}")),
    }
}

/// Creates an empty project. Earlier build products are kept.
fn write(project: &Path) -> std::io::Result<()> {
    for name in ["asyncio-core", "asyncio-locks", "src"] {
        let dir = project.join(name);
        if dir.exists() {
            fs::remove_dir_all(&dir)?;
        }
        fs::create_dir_all(&dir)?;
    }
    fs::write(project.join("Cargo.toml"), MANIFEST)?;
    fs::write(project.join("src/main.rs"), PROGRAM)
}

fn unpack(workspace: &Workspace, name: &str, project: &Path) -> Result<Run, String> {
    let packages = workspace.target("package");
    let found = fs::read_dir(&packages).map_err(|error| error.to_string())?;
    let is_ours = |file: &String| {
        file.strip_prefix(name)
            .is_some_and(|rest| rest.starts_with('-') && rest.ends_with(".crate"))
    };
    let mut files = found.filter_map(|file| file.ok()?.file_name().into_string().ok());
    let file = files.find(is_ours).ok_or_else(|| format!("{name} was not packaged"))?;
    let (file, into) = (packages.join(file), project.join(name));
    let tar = workspace.tool("tar", "-x -z --strip-components 1 -f");
    Ok(tar.args([file.to_string_lossy(), "-C".into(), into.to_string_lossy()]))
}

/// Returns a crate of ours in the lock file that is neither the locks nor one of their dependencies.
fn not_only_locks(lock: &str) -> Option<&str> {
    let names = lock.lines().filter_map(|line| line.strip_prefix("name = "));
    let mut ours = names.filter(|name| name.contains("asyncio") || name.contains("polling"));
    ours.find(|name| !["\"asyncio-core\"", "\"asyncio-locks\""].contains(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_that_comes_with_the_locks_is_found() {
        let lock = "name = \"asyncio-core\"\nname = \"asyncio-locks\"\nname = \"tokio\"\n";
        assert_eq!(not_only_locks(lock), None);
        let lock = format!("{lock}name = \"asyncio-loop\"\n");
        assert_eq!(not_only_locks(&lock), Some("\"asyncio-loop\""));
    }
}
