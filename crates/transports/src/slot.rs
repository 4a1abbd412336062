//! A protocol as its transport has it, whatever its type.

use crate::{
    protocols::{BufferedProtocol, Protocol},
    transport::Transport,
};
use asyncio_core::{Error, Result};
use bytes::Bytes;
use std::{any::Any, cell::RefCell, fmt, io, rc::Rc};

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

/// Reads into a buffer.
pub(crate) type Read<'a> = &'a mut dyn FnMut(&mut [u8]) -> io::Result<usize>;

/// The kind of a [`Protocol`].
#[derive(Debug)]
pub struct Plain;

/// The kind of a [`BufferedProtocol`].
#[derive(Debug)]
pub struct Buffered;

/// The calls that a transport makes.
#[derive(Clone)]
pub enum Calls {
    Plain(Rc<dyn PlainCalls>),
    Buffered(Rc<dyn BufferedCalls>),
}

impl Calls {
    /// Calls the callback of an event; true if it is `eof_received` and said so. `Err` with the event
    /// if the protocol is being used at the moment.
    pub(crate) fn tell(&self, transport: &Transport, event: Event) -> Result<bool, Event> {
        match self {
            Calls::Plain(calls) => calls.tell(transport, event),
            Calls::Buffered(calls) => calls.tell(transport, event),
        }
    }

    /// The `RefCell` of the protocol.
    pub(crate) fn protocol(&self) -> Rc<dyn Any> {
        match self {
            Calls::Plain(calls) => calls.clone().protocol(),
            Calls::Buffered(calls) => calls.clone().protocol(),
        }
    }
}

impl fmt::Debug for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Calls::Plain(_) => "a Protocol",
            Calls::Buffered(_) => "a BufferedProtocol",
        })
    }
}

/// The calls to a [`Protocol`].
pub trait PlainCalls {
    fn tell(&self, transport: &Transport, event: Event) -> Result<bool, Event>;

    fn protocol(self: Rc<Self>) -> Rc<dyn Any>;

    /// Calls the protocol with what was received.
    ///
    /// # Errors
    /// `Runtime` if the protocol is being used at the moment.
    fn data(&self, transport: &Transport, data: Bytes) -> Result<()>;

    /// Whether the protocol leaves bytes that arrived with the system for now.
    fn leaves(&self, transport: &Transport) -> bool;
}

/// The calls to a [`BufferedProtocol`].
pub trait BufferedCalls {
    fn tell(&self, transport: &Transport, event: Event) -> Result<bool, Event>;

    fn protocol(self: Rc<Self>) -> Rc<dyn Any>;

    /// Reads into the protocol's own buffer.
    ///
    /// # Errors
    /// `Runtime` if the buffer is empty, or the protocol is being used at the moment.
    fn fill(&self, transport: &Transport, read: Read<'_>) -> Result<io::Result<usize>>;
}

impl<P: Protocol> PlainCalls for RefCell<P> {
    fn tell(&self, transport: &Transport, event: Event) -> Result<bool, Event> {
        let Ok(mut protocol) = self.try_borrow_mut() else { return Err(event) };
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

    fn protocol(self: Rc<Self>) -> Rc<dyn Any> {
        self
    }

    fn data(&self, transport: &Transport, data: Bytes) -> Result<()> {
        let Ok(mut protocol) = self.try_borrow_mut() else { return Err(in_use()) };
        protocol.data_received(transport, data);
        Ok(())
    }

    fn leaves(&self, transport: &Transport) -> bool {
        self.try_borrow_mut().is_ok_and(|mut protocol| protocol.leaves(transport))
    }
}

impl<P: BufferedProtocol> BufferedCalls for RefCell<P> {
    fn tell(&self, transport: &Transport, event: Event) -> Result<bool, Event> {
        let Ok(mut protocol) = self.try_borrow_mut() else { return Err(event) };
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

    fn protocol(self: Rc<Self>) -> Rc<dyn Any> {
        self
    }

    fn fill(&self, transport: &Transport, read: Read<'_>) -> Result<io::Result<usize>> {
        let Ok(mut protocol) = self.try_borrow_mut() else { return Err(in_use()) };
        let buffer = protocol.get_buffer(transport);
        if buffer.is_empty() {
            return Err(Error::runtime("get_buffer() returned an empty buffer"));
        }
        Ok(read(buffer))
    }
}

/// Why a callback could not be called.
#[cold]
pub(crate) fn in_use() -> Error {
    Error::runtime("the protocol is in use: its RefCell is borrowed outside of its callbacks")
}
