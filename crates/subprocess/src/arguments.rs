//! [`ToArguments`]: the types that are accepted as the arguments of a program.

use std::ffi::{OsStr, OsString};

/// The arguments of a program: a list of text or paths, or `()` for none. `Kind` is inferred.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a list of arguments for a program",
    label = "a list is expected",
    note = "write `[\"-l\", \"/tmp\"]`, or `()` for no arguments"
)]
pub trait ToArguments<Kind> {
    #[doc(hidden)]
    fn to_arguments(self) -> Vec<OsString>;
}

/// A list of arguments.
#[derive(Debug)]
pub enum Listed {}

/// No arguments.
#[derive(Debug)]
pub enum Nothing {}

impl<I> ToArguments<Listed> for I
where
    I: IntoIterator,
    I::Item: AsRef<OsStr>,
{
    fn to_arguments(self) -> Vec<OsString> {
        self.into_iter().map(|argument| argument.as_ref().to_owned()).collect()
    }
}

impl ToArguments<Nothing> for () {
    fn to_arguments(self) -> Vec<OsString> {
        Vec::new()
    }
}
