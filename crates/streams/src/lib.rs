//! asyncio's streams: `open_connection`, `start_server`, `StreamReader`, `StreamWriter`.

#![forbid(unsafe_code)]

mod buffer;
mod crowd;
mod futures_io;
mod protocol;
mod reader;
mod reading;
mod separators;
mod state;
#[cfg(feature = "tokio")]
mod tokio_io;
mod writer;

pub use protocol::StreamReaderProtocol;
pub use reader::{DEFAULT_LIMIT, StreamFeeder, StreamReader};
pub use reading::{Read, ReadAll, ReadExactly, ReadLine, ReadUntil};
pub use separators::{IntoSeparators, Separators};
pub use writer::{Drain, StreamWriter, WaitClosed};

#[cfg(test)]
mod tests;
