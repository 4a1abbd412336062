//! Functions that need no open file: whole files at once, and the names in directories.

use crate::remote::failed;
use asyncio_core::{Result, wait::Leaf, wait_site::WaitSite};
use asyncio_sockets::Lookup;
use bytes::Bytes;
use std::{
    fs::{self, Metadata},
    io,
    path::Path,
};

/// Runs a function with a path on a thread.
fn with_path<T: Send + 'static>(
    site: WaitSite,
    path: impl AsRef<Path>,
    work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
) -> Lookup<T> {
    let path = path.as_ref().to_path_buf();
    Lookup::new(site, move || work(&path).map_err(|error| failed(site.what(), &path, error)))
}

/// Declares functions of a path, which differ in the thread's work. The docs of each describe its
/// cancellation.
macro_rules! functions {
    ($(
        $(#[$doc:meta])*
        $name:ident -> $type:ty, $what:literal: $work:expr;
    )*) => {$(
        $(#[$doc])*
        ///
        /// # Errors
        /// The system's error, with the path; `Value` for a path that contains a null byte; `Runtime` without a
        /// running loop.
        ///
        /// # Cancellation
        /// If no thread has started the operation, it is not done. A thread that has started
        /// finishes.
        #[track_caller]
        pub fn $name(path: impl AsRef<Path>) -> impl Leaf<Output = Result<$type>> {
            with_path(WaitSite::here(&$what), path, $work)
        }
    )*};
}

functions! {
    /// Reads a whole file.
    read -> Bytes, "files.read": |path| Ok(fs::read(path)?.into());

    /// Reads a whole file of UTF-8 text. Other content is a `Value` error.
    ///
    /// ```
    /// #[asyncio::main]
    /// async fn main() -> asyncio::Result<()> {
    ///     let text = asyncio::files::read_to_string("Cargo.toml").await?;
    ///     assert!(text.starts_with("[package]"));
    ///     Ok(())
    /// }
    /// ```
    read_to_string -> String, "files.read_to_string": |path| fs::read_to_string(path);

    /// Returns the metadata of a file (`os.stat`).
    metadata -> Metadata, "files.metadata": |path| fs::metadata(path);

    /// Removes a file (`os.remove`).
    remove_file -> (), "files.remove_file": |path| fs::remove_file(path);

    /// Removes an empty directory (`os.rmdir`).
    remove_dir -> (), "files.remove_dir": |path| fs::remove_dir(path);

    /// Removes a directory with everything in it (`shutil.rmtree`).
    remove_dir_all -> (), "files.remove_dir_all": |path| fs::remove_dir_all(path);

    /// Creates a directory (`os.mkdir`).
    create_dir -> (), "files.create_dir": |path| fs::create_dir(path);

    /// Creates a directory and its parents, unless they exist (`os.makedirs` with `exist_ok`).
    create_dir_all -> (), "files.create_dir_all": |path| fs::create_dir_all(path);
}

/// Writes a whole file, and replaces its contents.
///
/// # Errors
/// The system's error, with the path; `Runtime` without a running loop.
///
/// # Cancellation
/// If no thread has started the operation, it is not done. A thread that has started finishes.
///
/// ```
/// use asyncio::files;
///
/// #[asyncio::main]
/// async fn main() -> asyncio::Result<()> {
///     let directory = files::temp::dir().await?;
///     let path = directory.path().join("greeting");
///     files::write(&path, "hello").await?;
///     assert_eq!(files::read(&path).await?, "hello");
///     Ok(())
/// }
/// ```
#[track_caller]
pub fn write(path: impl AsRef<Path>, data: impl AsRef<[u8]>) -> impl Leaf<Output = Result<()>> {
    let data = data.as_ref().to_vec();
    with_path(WaitSite::here(&"files.write"), path, move |path| fs::write(path, data))
}

/// Copies a file with its permissions, and returns its length in bytes (`shutil.copy`).
///
/// # Errors
/// The system's error, with both paths; `Runtime` without a running loop.
///
/// # Cancellation
/// If no thread has started the operation, it is not done. A thread that has started finishes.
#[track_caller]
pub fn copy(from: impl AsRef<Path>, to: impl AsRef<Path>) -> impl Leaf<Output = Result<u64>> {
    from_to(WaitSite::here(&"files.copy"), from, to, |from, to| fs::copy(from, to))
}

/// Renames a file or directory, and replaces a file that has the new name (`os.replace`).
///
/// # Errors
/// The system's error, with both paths; `Runtime` without a running loop.
///
/// # Cancellation
/// If no thread has started the operation, it is not done. A thread that has started finishes.
#[track_caller]
pub fn rename(from: impl AsRef<Path>, to: impl AsRef<Path>) -> impl Leaf<Output = Result<()>> {
    from_to(WaitSite::here(&"files.rename"), from, to, |from, to| fs::rename(from, to))
}

/// Runs a function with two paths on a thread.
fn from_to<T: Send + 'static>(
    site: WaitSite,
    from: impl AsRef<Path>,
    to: impl AsRef<Path>,
    work: fn(&Path, &Path) -> io::Result<T>,
) -> Lookup<T> {
    let (from, to) = (from.as_ref().to_path_buf(), to.as_ref().to_path_buf());
    Lookup::new(site, move || {
        work(&from, &to).map_err(|error| {
            failed(
                site.what(),
                Path::new(&format!("{} to {}", from.display(), to.display())),
                error,
            )
        })
    })
}
