//! A protocol of any type, as its transport calls it.

use crate::{
    flow_control::FlowControl,
    protocols::{BufferedProtocol, Protocol},
    transport::Transport,
};
use asyncio_core::{Error, Result, exception::ExceptionContext};
use bytes::Bytes;
use std::{any::Any, cell::RefCell, fmt, io, rc::Rc};

/// An event of a connection.
#[derive(Debug)]
pub enum Event {
    Made,
    Lost(Option<Error>),
    PauseWriting,
    ResumeWriting,
    /// This number of bytes is in the protocol's own buffer.
    Filled(usize),
    Eof,
}

/// A function that reads into a buffer.
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
    /// Calls the callback of an event; returns true if it is `eof_received` and returned true. `Err`
    /// with the event if the protocol is in use.
    pub(crate) fn tell(&self, transport: &Transport, event: Event) -> Result<bool, Event> {
        match self {
            Calls::Plain(calls) => calls.tell(transport, event),
            Calls::Buffered(calls) => calls.tell(transport, event),
        }
    }

    /// Returns the `RefCell` of the protocol.
    pub(crate) fn protocol(&self) -> Rc<dyn Any> {
        match self {
            Calls::Plain(calls) => calls.clone().protocol(),
            Calls::Buffered(calls) => calls.clone().protocol(),
        }
    }
}

/// A caller of a protocol: a connection, or TLS over one.
pub(crate) trait CallsProtocol {
    /// Returns the transport that the protocol sees.
    fn transport(&self) -> &Transport;

    /// Returns the protocol, until the end.
    fn calls(&self) -> Option<Calls>;

    fn flow(&self) -> &FlowControl;

    /// Returns whether the protocol has started and has not ended, so that it can be told to pause.
    fn may_pause(&self) -> bool;

    /// Makes a call to the protocol, and then those that became due meanwhile.
    #[inline(always)]
    fn during_call<R>(&self, call: impl FnOnce(&Transport) -> R) -> Result<R> {
        let outcome = self.flow().during_call(|| call(self.transport()));
        self.announce();
        outcome
    }

    /// Calls the protocol for an event, and returns its answer.
    fn tell(&self, event: Event) -> Result<bool> {
        let Some(calls) = self.calls() else { return Ok(false) };
        match self.during_call(|handle| calls.tell(handle, event))? {
            Ok(answer) => Ok(answer),
            Err(_event) => Err(in_use()),
        }
    }

    /// Calls the protocol for an event without an answer, whatever happens in the call.
    fn call(&self, event: Event, callback: &str) {
        if let Err(error) = self.tell(event) {
            self.report(format!("Exception in callback protocol.{callback}()"), error);
        }
    }

    /// Tells the protocol to pause or to continue, unless it already knows. If one of its callbacks is
    /// running, the protocol is notified when that callback has returned.
    #[inline]
    fn announce(&self) {
        if self.may_pause() {
            if let Some(paused) = self.flow().changed() {
                self.announce_now(paused);
            }
        }
    }

    #[cold]
    fn announce_now(&self, paused: bool) {
        let (event, callback) = match paused {
            true => (Event::PauseWriting, "pause_writing"),
            false => (Event::ResumeWriting, "resume_writing"),
        };
        if let Err(error) = self.tell(event) {
            self.report(format!("protocol.{callback}() failed"), error);
        }
    }

    fn report(&self, message: String, error: Error) {
        let home = self.transport().0.local.home();
        ExceptionContext::new(message).with_exception(error).report(Some(home));
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

    /// Calls the protocol with received data.
    ///
    /// # Errors
    /// `Runtime` if the protocol is in use.
    fn data(&self, transport: &Transport, data: Bytes) -> Result<()>;

    /// Returns whether the protocol leaves new bytes with the system for now.
    fn leaves(&self, transport: &Transport) -> bool;
}

/// The calls to a [`BufferedProtocol`].
pub trait BufferedCalls {
    fn tell(&self, transport: &Transport, event: Event) -> Result<bool, Event>;

    fn protocol(self: Rc<Self>) -> Rc<dyn Any>;

    /// Reads into the protocol's own buffer.
    ///
    /// # Errors
    /// `Runtime` if the buffer is empty, or if the protocol is in use.
    fn fill(&self, transport: &Transport, read: Read<'_>) -> Result<io::Result<usize>>;

    /// Whether the protocol leaves bytes that arrived with the system for now.
    fn leaves(&self, _: &Transport) -> bool {
        false
    }
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

/// The error of a callback that could not be called.
#[cold]
pub(crate) fn in_use() -> Error {
    Error::runtime("the protocol is in use: its RefCell is borrowed outside of its callbacks")
}
