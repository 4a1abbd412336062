//! A protocol as its transport has it, whatever its type.

use crate::{
    protocols::{BufferedProtocol, Protocol},
    transport::Transport,
};
use asyncio_core::{Error, Result};
use bytes::Bytes;
use std::{
    any::Any,
    cell::{RefCell, RefMut},
    io,
    rc::Rc,
};

/// What happens to a connection.
#[derive(Debug)]
pub enum Event {
    Made,
    Lost(Option<Error>),
    PauseWriting,
    ResumeWriting,
    /// So many bytes are in the protocol's own buffer.
    Filled(usize),
    Eof,
}

/// What a protocol wants of bytes that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// To be called with them.
    Data,
    /// To have them in its own buffer.
    Fill,
    /// To leave them with the system for now.
    Leave,
}

/// Reads into a buffer.
pub(crate) type Read<'a> = &'a mut dyn FnMut(&mut [u8]) -> io::Result<usize>;

/// The calls that a transport makes.
pub trait Calls {
    /// Calls the callback of an event; true if it is `eof_received` and said so. `Err` with the event
    /// if the protocol is being used at the moment.
    fn tell(&self, transport: &Transport, event: Event) -> Result<bool, Event>;

    /// Calls the protocol with what was received.
    ///
    /// # Errors
    /// `Runtime` if the protocol is being used at the moment.
    fn data(&self, transport: &Transport, data: Bytes) -> Result<()>;

    /// Asks what the protocol wants of bytes that arrived, and whether it leaves them if it may.
    fn wish(&self, transport: &Transport, may_leave: bool) -> Wish;

    /// Reads into the protocol's own buffer.
    ///
    /// # Errors
    /// `Runtime` if the buffer is empty, or the protocol is being used at the moment.
    fn fill(&self, transport: &Transport, read: Read<'_>) -> Result<io::Result<usize>>;

    /// The `RefCell` of the protocol.
    fn protocol(&self) -> Rc<dyn Any>;
}

/// A [`Protocol`].
#[derive(Debug)]
pub struct Plain<P>(pub(crate) Rc<RefCell<P>>);

/// A [`BufferedProtocol`].
#[derive(Debug)]
pub struct Buffered<P>(pub(crate) Rc<RefCell<P>>);

impl<P: Protocol> Calls for Plain<P> {
    fn tell(&self, transport: &Transport, event: Event) -> Result<bool, Event> {
        let Ok(mut protocol) = self.0.try_borrow_mut() else { return Err(event) };
        match event {
            Event::Made => protocol.connection_made(transport),
            Event::Lost(error) => protocol.connection_lost(transport, error),
            Event::PauseWriting => protocol.pause_writing(transport),
            Event::ResumeWriting => protocol.resume_writing(transport),
            Event::Filled(_) => {}
            Event::Eof => return Ok(protocol.eof_received(transport)),
        }
        Ok(false)
    }

    fn data(&self, transport: &Transport, data: Bytes) -> Result<()> {
        let Ok(mut protocol) = self.0.try_borrow_mut() else { return Err(in_use()) };
        protocol.data_received(transport, data);
        Ok(())
    }

    #[inline]
    fn wish(&self, transport: &Transport, may_leave: bool) -> Wish {
        let leaves = |mut protocol: RefMut<'_, P>| protocol.leaves(transport);
        let is_left = may_leave && self.0.try_borrow_mut().is_ok_and(leaves);
        if is_left { Wish::Leave } else { Wish::Data }
    }

    fn fill(&self, _: &Transport, _: Read<'_>) -> Result<io::Result<usize>> {
        Err(no_buffer())
    }

    fn protocol(&self) -> Rc<dyn Any> {
        self.0.clone()
    }
}

impl<P: BufferedProtocol> Calls for Buffered<P> {
    fn tell(&self, transport: &Transport, event: Event) -> Result<bool, Event> {
        let Ok(mut protocol) = self.0.try_borrow_mut() else { return Err(event) };
        match event {
            Event::Made => protocol.connection_made(transport),
            Event::Lost(error) => protocol.connection_lost(transport, error),
            Event::PauseWriting => protocol.pause_writing(transport),
            Event::ResumeWriting => protocol.resume_writing(transport),
            Event::Filled(nbytes) => protocol.buffer_updated(transport, nbytes),
            Event::Eof => return Ok(protocol.eof_received(transport)),
        }
        Ok(false)
    }

    fn data(&self, transport: &Transport, data: Bytes) -> Result<()> {
        let Ok(mut protocol) = self.0.try_borrow_mut() else { return Err(in_use()) };
        put(&mut *protocol, transport, &data);
        Ok(())
    }

    fn wish(&self, _: &Transport, _: bool) -> Wish {
        Wish::Fill
    }

    fn fill(&self, transport: &Transport, read: Read<'_>) -> Result<io::Result<usize>> {
        let Ok(mut protocol) = self.0.try_borrow_mut() else { return Err(in_use()) };
        let buffer = protocol.get_buffer(transport);
        if buffer.is_empty() {
            return Err(no_buffer());
        }
        Ok(read(buffer))
    }

    fn protocol(&self) -> Rc<dyn Any> {
        self.0.clone()
    }
}

/// Bytes that were there before the protocol, piece by piece.
fn put(protocol: &mut impl BufferedProtocol, transport: &Transport, mut data: &[u8]) {
    while !data.is_empty() {
        let buffer = protocol.get_buffer(transport);
        let length = buffer.len().min(data.len());
        if length == 0 {
            return;
        }
        buffer[..length].copy_from_slice(&data[..length]);
        protocol.buffer_updated(transport, length);
        data = &data[length..];
    }
}

fn no_buffer() -> Error {
    Error::runtime("get_buffer() returned an empty buffer")
}

/// Why a callback could not be called.
#[cold]
pub(crate) fn in_use() -> Error {
    Error::runtime("the protocol is in use: its RefCell is borrowed outside of its callbacks")
}
