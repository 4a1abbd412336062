//! [`Exec`]: the arguments of a child's `execve`, prepared by its parent.

use super::{Program, strings::Strings};
use nix::libc;
use std::{
    ffi::{OsStr, OsString},
    io,
    os::unix::ffi::OsStrExt,
};

/// The candidate files of the program, its arguments and its variables, as `execve` takes them.
#[derive(Debug)]
pub(super) struct Exec {
    /// In the order in which they are tried.
    files: Strings,
    arguments: Strings,
    variables: Strings,
}

impl Exec {
    /// # Errors
    /// `InvalidInput` for a zero byte.
    pub(super) fn of(program: &Program) -> io::Result<Exec> {
        let name = program.executable.as_ref().unwrap_or(&program.name);
        let arguments = [&program.name].into_iter().chain(&program.args);
        let arguments = Strings::of(arguments)?;
        let (path, variables) = match &program.env {
            Some(env) => (env.get(OsStr::new("PATH")).cloned(), Strings::of_variables(env)?),
            None => {
                // Copied through `std`, which holds its lock against `set_var` in other threads.
                let env: Vec<(OsString, OsString)> = std::env::vars_os().collect();
                let path = env.iter().find(|(name, _)| name == "PATH");
                let path = path.map(|(_, value)| value.clone());
                (path, Strings::of_variables(env.iter().map(|(name, value)| (name, value)))?)
            }
        };
        Ok(Exec { files: files(name, path)?, arguments, variables })
    }

    /// Runs the program, in the child. Returns only if that fails, with the error. A file of an unknown
    /// format is `ENOEXEC`, as in CPython: no shell is tried.
    ///
    /// It only makes system calls, so it may run after `fork`, and on memory shared with the parent.
    pub(super) fn run(&self) -> io::Error {
        let (arguments, variables) = (self.arguments.pointers(), self.variables.pointers());
        let mut denied = None;
        for file in self.files.pointers().iter().take_while(|file| !file.is_null()) {
            // SAFETY: a string, and two lists of strings that end with null; all live as long as `self`.
            unsafe { libc::execve(*file, arguments.as_ptr(), variables.as_ptr()) };
            let error = io::Error::last_os_error();
            if !matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR)) {
                denied = denied.or(Some(error));
            }
        }
        denied.unwrap_or_else(|| io::Error::from_raw_os_error(libc::ENOENT))
    }
}

/// Finds the candidates as `execvp` and CPython do: a name without a slash is searched in the
/// child's `PATH`.
fn files(name: &OsStr, path: Option<OsString>) -> io::Result<Strings> {
    if name.as_bytes().contains(&b'/') {
        return Strings::of([name]);
    }
    let path = path.as_deref().unwrap_or(OsStr::new("/bin:/usr/bin"));
    Strings::of(std::env::split_paths(path).map(|directory| directory.join(name)))
}
