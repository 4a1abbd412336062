//! [`Strings`]: a list of C strings.

use nix::libc;
#[cfg(target_os = "linux")]
use std::ffi::CStr;
use std::{ffi::OsStr, io, os::unix::ffi::OsStrExt, ptr::null};

/// Zero-terminated strings, one after another, and the list of their addresses.
pub(super) struct Strings {
    #[cfg_attr(not(target_os = "linux"), allow(dead_code))] // There it only owns the memory.
    bytes: Vec<u8>,
    /// The address of each string in `bytes`, and null at the end.
    pointers: Vec<*const libc::c_char>,
}

// SAFETY: the addresses point into memory that the list owns and never changes.
unsafe impl Send for Strings {}
// SAFETY: as above.
unsafe impl Sync for Strings {}

impl std::fmt::Debug for Strings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Strings")
    }
}

impl Strings {
    /// # Errors
    /// `InvalidInput` for a string with a zero inside, here as in the other functions.
    pub(super) fn of<S: AsRef<OsStr>>(strings: impl IntoIterator<Item = S>) -> io::Result<Strings> {
        let mut maker = Maker::default();
        for string in strings {
            maker.push(&[string.as_ref()])?;
        }
        Ok(maker.finish())
    }

    /// A list of `name=value`.
    pub(super) fn of_variables<N: AsRef<OsStr>, V: AsRef<OsStr>>(
        variables: impl IntoIterator<Item = (N, V)>,
    ) -> io::Result<Strings> {
        let mut maker = Maker::default();
        for (name, value) in variables {
            maker.push(&[name.as_ref(), OsStr::new("="), value.as_ref()])?;
        }
        Ok(maker.finish())
    }

    #[cfg(target_os = "linux")]
    pub(super) fn first(&self) -> Option<&CStr> {
        CStr::from_bytes_until_nul(&self.bytes).ok()
    }

    /// Returns the address of each string, and null at the end. Must be used while the list exists.
    pub(super) fn pointers(&self) -> &[*const libc::c_char] {
        &self.pointers
    }
}

#[derive(Default)]
struct Maker {
    bytes: Vec<u8>,
    starts: Vec<usize>,
}

impl Maker {
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

    fn finish(self) -> Strings {
        let begins = self.starts.iter().map(|start| self.bytes[*start..].as_ptr().cast());
        let pointers = begins.chain([null()]).collect();
        Strings { bytes: self.bytes, pointers }
    }
}
