//! [`Strings`]: a list of strings as C has them.

use nix::libc;
use std::{
    collections::BTreeMap,
    ffi::{CStr, OsStr, OsString},
    io,
    os::unix::ffi::OsStrExt,
    ptr::null,
};

/// Strings that end with zero, one behind the other.
#[derive(Debug, Default)]
pub(super) struct Strings {
    bytes: Vec<u8>,
    /// Where each begins.
    starts: Vec<usize>,
}

impl Strings {
    /// # Errors
    /// `InvalidInput` for a string with a zero inside, here as in the other functions.
    pub(super) fn of<S: AsRef<OsStr>>(strings: impl IntoIterator<Item = S>) -> io::Result<Strings> {
        let mut this = Strings::default();
        for string in strings {
            this.push(&[string.as_ref()])?;
        }
        Ok(this)
    }

    /// A list of `name=value`.
    pub(super) fn of_variables(variables: &BTreeMap<OsString, OsString>) -> io::Result<Strings> {
        let mut this = Strings::default();
        for (name, value) in variables {
            this.push(&[name, OsStr::new("="), value])?;
        }
        Ok(this)
    }

    fn push(&mut self, parts: &[&OsStr]) -> io::Result<()> {
        self.starts.push(self.bytes.len());
        for part in parts {
            if part.as_bytes().contains(&0) {
                return Err(io::ErrorKind::InvalidInput.into());
            }
            self.bytes.extend_from_slice(part.as_bytes());
        }
        self.bytes.push(0);
        Ok(())
    }

    pub(super) fn first(&self) -> Option<&CStr> {
        CStr::from_bytes_until_nul(&self.bytes).ok()
    }

    /// Where each begins, and null at the end. To be used while the list is there, unchanged.
    pub(super) fn pointers(&self) -> Vec<*const libc::c_char> {
        let begins = self.starts.iter().map(|start| self.bytes[*start..].as_ptr().cast());
        begins.chain([null()]).collect()
    }
}
