//! [`Decode`]: received bytes as text.

use asyncio_core::{Error, Result};
use std::str::Utf8Error;

/// The method `decode` of bytes, as in Python. It is in `asyncio::prelude`.
pub trait Decode {
    /// Returns the text of these bytes (`bytes.decode`).
    ///
    /// To accept any bytes, use [`String::from_utf8_lossy`], which replaces those that are not UTF-8
    /// (`errors="replace"`).
    ///
    /// # Errors
    /// `Value` if the bytes are not UTF-8, with Python's message.
    ///
    /// ```
    /// use asyncio::prelude::*;
    /// # #[asyncio::main]
    /// # async fn main() -> asyncio::Result<()> {
    /// let answer = async |mut reader: asyncio::StreamReader, writer: asyncio::StreamWriter| {
    ///     let name = reader.readline().await?.decode()?;
    ///     Ok(writer.write(format!("hello, {name}")))
    /// };
    /// let server = asyncio::start_server(answer, ("127.0.0.1", 0)).await?;
    /// let (mut reader, writer) = asyncio::open_connection(server.local_addr()).await?;
    /// writer.write("Zoë\n");
    /// assert_eq!(reader.readline().await?.decode()?, "hello, Zoë\n");
    /// # server.close();
    /// # Ok(())
    /// # }
    /// ```
    #[doc(alias("bytes.decode", "UnicodeDecodeError"))]
    fn decode(&self) -> Result<String>;
}

impl Decode for [u8] {
    fn decode(&self) -> Result<String> {
        match std::str::from_utf8(self) {
            Ok(text) => Ok(text.to_owned()),
            Err(error) => Err(undecodable(self, error)),
        }
    }
}

#[cold]
fn undecodable(bytes: &[u8], error: Utf8Error) -> Error {
    let first = error.valid_up_to();
    let end = error.error_len().map_or(bytes.len(), |length| first + length);
    let reason = match (error.error_len(), bytes[first]) {
        (None, _) => "unexpected end of data",
        (Some(_), 0x80..=0xc1 | 0xf5..) => "invalid start byte",
        (Some(_), _) => "invalid continuation byte",
    };
    let place = match end - first {
        1 => format!("byte 0x{:02x} in position {first}", bytes[first]),
        _ => format!("bytes in position {first}-{}", end - 1),
    };
    Error::value(format!("'utf-8' codec can't decode {place}: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The messages are those of CPython.
    #[test]
    fn what_is_not_utf_8_is_told_as_python_does() {
        assert_eq!(b"".decode().unwrap(), "");
        assert_eq!("grün".as_bytes().decode().unwrap(), "grün");
        for (bytes, message) in [
            (&b"ab\xff"[..], "byte 0xff in position 2: invalid start byte"),
            (b"\x80", "byte 0x80 in position 0: invalid start byte"),
            (b"a\xc3", "byte 0xc3 in position 1: unexpected end of data"),
            (b"a\xc3(", "byte 0xc3 in position 1: invalid continuation byte"),
            (b"\xe2\x82", "bytes in position 0-1: unexpected end of data"),
            (b"\xe2\x82(", "bytes in position 0-1: invalid continuation byte"),
            (b"\xf5\x80", "byte 0xf5 in position 0: invalid start byte"),
        ] {
            let error = bytes.decode().unwrap_err();
            assert!(matches!(error, Error::Value(_)));
            assert_eq!(error.to_string(), format!("'utf-8' codec can't decode {message}"));
        }
    }
}
