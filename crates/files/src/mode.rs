//! [`Mode`]: Python's mode strings.

use asyncio_core::{Error, Result};
use std::fs::OpenOptions;

/// The mode in which a file is opened.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Mode {
    kind: Kind,
    updates: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Read,
    Write,
    Append,
    Create,
}

impl Mode {
    pub(crate) const READ: Mode = Mode { kind: Kind::Read, updates: false };
    pub(crate) const UPDATE: Mode = Mode { kind: Kind::Read, updates: true };

    /// # Errors
    /// `Value` if Python would not accept it either.
    pub(crate) fn parse(mode: &str) -> Result<Mode> {
        let wrong = |why: &str| {
            let takes =
                "one of r, w, a and x, optionally with + to read and write, and optionally b or t";
            Err(Error::value(format!("open: invalid mode {mode:?}: {why}; it takes {takes}")))
        };
        let (mut kind, mut updates, mut content) = (None, false, None);
        for letter in mode.chars() {
            let is_first = match letter {
                'r' => kind.replace(Kind::Read).is_none(),
                'w' => kind.replace(Kind::Write).is_none(),
                'a' => kind.replace(Kind::Append).is_none(),
                'x' => kind.replace(Kind::Create).is_none(),
                '+' => !std::mem::replace(&mut updates, true),
                'b' | 't' => content.replace(letter).is_none(),
                _ => return wrong("an unknown letter"),
            };
            if !is_first {
                return wrong("two letters that exclude each other");
            }
        }
        match kind {
            Some(kind) => Ok(Mode { kind, updates }),
            None => wrong("it allows neither reading nor writing"),
        }
    }

    pub(crate) fn reads(self) -> bool {
        self.updates || self.kind == Kind::Read
    }

    pub(crate) fn writes(self) -> bool {
        self.updates || self.kind != Kind::Read
    }

    /// Whether the position is initially at the end of the file.
    pub(crate) fn appends(self) -> bool {
        self.kind == Kind::Append
    }

    pub(crate) fn options(self) -> OpenOptions {
        let mut options = OpenOptions::new();
        options.read(self.reads());
        match self.kind {
            Kind::Read => options.write(self.writes()),
            Kind::Write => options.write(true).create(true).truncate(true),
            Kind::Append => options.append(true).create(true),
            Kind::Create => options.write(true).create_new(true),
        };
        options
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pythons_modes_are_taken_in_any_order() {
        for (mode, kind, updates) in [
            ("r", Kind::Read, false),
            ("rb", Kind::Read, false),
            ("rt", Kind::Read, false),
            ("r+b", Kind::Read, true),
            ("b+w", Kind::Write, true),
            ("a", Kind::Append, false),
            ("xb+", Kind::Create, true),
        ] {
            assert_eq!(Mode::parse(mode).unwrap(), Mode { kind, updates }, "{mode}");
        }
    }

    #[test]
    fn other_modes_are_an_error_that_says_why() {
        for mode in ["", "b", "+", "rw", "rr", "r++", "rbt", "U", "rz", "R", " r"] {
            let error = Mode::parse(mode).unwrap_err();
            assert!(matches!(error, Error::Value(_)), "{mode}");
            assert!(error.to_string().starts_with(&format!("open: invalid mode {mode:?}: ")));
        }
    }
}
