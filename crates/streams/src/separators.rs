//! [`Separators`]: the separators of `readuntil`, and the search for them.

use asyncio_core::{Error, Result};
use memchr::{memchr, memmem};

/// The argument of [`readuntil`](crate::StreamReader::readuntil): one separator, as bytes or text,
/// or an array or vector of several.
///
/// ```
/// # async fn example(mut reader: asyncio::StreamReader) -> asyncio::Result<()> {
/// let line = reader.readuntil(b"\r\n").await?;
/// let sentence = reader.readuntil([". ", "! ", "? "]).await?;
/// # Ok(()) }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a separator",
    label = "bytes or text are expected",
    note = "write `b\"\\n\"` or `\"\\n\"`, or for several an array such as `[\". \", \"! \"]`"
)]
pub trait IntoSeparators<'a> {
    /// The separators.
    fn into_separators(self) -> Separators<'a>;
}

/// One separator or several.
#[derive(Clone, Debug)]
pub struct Separators<'a>(Kind<'a>);

#[derive(Clone, Debug)]
enum Kind<'a> {
    One(&'a [u8]),
    /// The shortest first.
    Several(Vec<Vec<u8>>),
}

macro_rules! one {
    ($([$($generic:tt)*] $type:ty: $value:ident => $bytes:expr;)*) => {$(
        impl<'a, $($generic)*> IntoSeparators<'a> for $type {
            fn into_separators(self) -> Separators<'a> {
                let $value = self;
                Separators(Kind::One($bytes))
            }
        }
    )*};
}

one! {
    [] &'a [u8]: bytes => bytes;
    [const N: usize] &'a [u8; N]: bytes => bytes;
    [] &'a str: text => text.as_bytes();
    [] &'a bytes::Bytes: bytes => bytes;
}

impl<'a, S: AsRef<[u8]>, const N: usize> IntoSeparators<'a> for [S; N] {
    fn into_separators(self) -> Separators<'a> {
        several(self.iter())
    }
}

impl<'a, S: AsRef<[u8]>> IntoSeparators<'a> for Vec<S> {
    fn into_separators(self) -> Separators<'a> {
        several(self.iter())
    }
}

fn several<'a, 's, S: AsRef<[u8]> + 's>(separators: impl Iterator<Item = &'s S>) -> Separators<'a> {
    let mut separators: Vec<_> = separators.map(|s| s.as_ref().to_vec()).collect();
    separators.sort_by_key(Vec::len);
    Separators(Kind::Several(separators))
}

/// The place of a separator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl Separators<'_> {
    pub(crate) const NEWLINE: Separators<'static> = Separators(Kind::One(b"\n"));

    /// # Errors
    /// `Value` if there is none, or if one is empty.
    pub(crate) fn check(&self) -> Result<()> {
        let shortest = match &self.0 {
            Kind::One(separator) => Some(separator.len()),
            Kind::Several(separators) => separators.first().map(Vec::len),
        };
        match shortest {
            None => Err(Error::value("Separator should contain at least one element")),
            Some(0) => Err(Error::value("Separator should be at least one-byte string")),
            Some(_) => Ok(()),
        }
    }

    /// The length of the longest.
    pub(crate) fn longest(&self) -> usize {
        match &self.0 {
            Kind::One(separator) => separator.len(),
            Kind::Several(separators) => separators.last().map_or(0, Vec::len),
        }
    }

    /// Finds the separator that ends first in `data`; no separator begins before `from`.
    pub(crate) fn find(&self, data: &[u8], from: usize) -> Option<Found> {
        let rest = data.get(from..)?;
        let find = |separator: &[u8]| {
            let start = from + find(rest, separator)?;
            Some(Found { start, end: start + separator.len() })
        };
        match &self.0 {
            Kind::One(separator) => find(separator),
            Kind::Several(separators) => {
                separators.iter().filter_map(|s| find(s)).min_by_key(|found| found.end)
            }
        }
    }
}

fn find(data: &[u8], separator: &[u8]) -> Option<usize> {
    match separator {
        [byte] => memchr(*byte, data),
        _ => memmem::find(data, separator),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found<'a>(separators: impl IntoSeparators<'a>, data: &str) -> Option<(usize, usize)> {
        let found = separators.into_separators().find(data.as_bytes(), 0)?;
        Some((found.start, found.end))
    }

    #[test]
    fn of_several_separators_the_one_that_ends_first_is_found() {
        assert_eq!(found(["DEF", "BCDE"], "ABCDEFG"), Some((1, 5)));
        assert_eq!(found(["BCDE", "DEF"], "ABCDEFG"), Some((1, 5)));
        assert_eq!(found(["EF", "DEF"], "ABCDEFG"), Some((4, 6)), "the shortest of equals");
        assert_eq!(found(vec![b"x".as_slice(), b"yy"], "ayyx"), Some((1, 3)));
        assert_eq!(found(["x", "y"], "abc"), None);
    }

    #[test]
    fn one_separator_may_be_bytes_or_text() {
        assert_eq!(found(b"\r\n", "a\nb\r\n"), Some((3, 5)));
        assert_eq!(found("\n", "a\nb"), Some((1, 2)));
        assert_eq!(found(&bytes::Bytes::from("b"), "a\nb"), Some((2, 3)));
        assert_eq!(found("ab", "a"), None);
    }

    #[test]
    fn none_and_an_empty_one_are_errors() {
        let check = |separators: Separators<'_>| separators.check().unwrap_err().to_string();
        let empty = "Separator should be at least one-byte string";
        assert_eq!(check("".into_separators()), empty);
        assert_eq!(check(["a", ""].into_separators()), empty);
        let none = "Separator should contain at least one element";
        assert_eq!(check(Vec::<&str>::new().into_separators()), none);
    }
}
