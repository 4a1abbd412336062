//! [`Session`]: rustls, as far as it is used here.

use super::{
    arguments::Secured,
    configuration::Configured,
    context::{SniCallback, SslContext},
    error::SslError,
    info::SslObject,
};
use crate::transport::Transport;
use asyncio_core::{Error, Result};
use rustls::{
    ClientConnection, Connection, ServerConnection,
    server::{Accepted, Acceptor},
};
use std::{
    io::{self, BufRead, IoSlice, Write},
    sync::Arc,
};

/// As much is encrypted at once: what rustls then writes in one call.
const MOST: usize = 64 * 16 * 1024;

/// One side of a TLS connection.
pub(super) struct Session {
    stage: Stage,
    hostname: Option<Arc<str>>,
    is_server: bool,
    /// The beginning of what the other side sent, by which something that is not TLS is recognised.
    first_bytes: Vec<u8>,
    /// Whether the other side has said that it will send no more.
    peer_closed: bool,
    /// Whether it has failed: the other side was told, and rustls must be left alone.
    failed: bool,
}

enum Stage {
    /// A server whose context depends on what the client asks for.
    Accepting(Box<Acceptor>, SniCallback, SslContext),
    Open(Box<Connection>),
}

impl Session {
    /// # Errors
    /// What the context says.
    pub(super) fn new(secured: &Secured) -> Result<Session> {
        let context = &secured.context;
        let stage = match (&secured.name, &context.settings().sni_callback) {
            (None, Some(callback)) => {
                Stage::Accepting(Box::default(), callback.clone(), context.clone())
            }
            (name, _) => Stage::Open(Box::new(match context.configured()? {
                Configured::Server(config) => {
                    ServerConnection::new(config).map_err(of_setup)?.into()
                }
                Configured::Client(config) => {
                    let name = name.clone().ok_or_else(|| Error::value("ssl: no server name"))?;
                    ClientConnection::new(config, name).map_err(of_setup)?.into()
                }
            })),
        };
        let mut session = Session {
            stage,
            hostname: secured.hostname.clone(),
            is_server: secured.name.is_none(),
            first_bytes: Vec::new(),
            peer_closed: false,
            failed: false,
        };
        session.lift_limit();
        Ok(session)
    }

    /// What is encrypted is given to the transport at once; how much that may be is decided here.
    fn lift_limit(&mut self) {
        if let Stage::Open(connection) = &mut self.stage {
            connection.set_buffer_limit(None);
        }
    }

    pub(super) fn is_handshaking(&self) -> bool {
        match &self.stage {
            Stage::Accepting(..) => true,
            Stage::Open(connection) => connection.is_handshaking(),
        }
    }

    pub(super) fn peer_closed(&self) -> bool {
        self.peer_closed
    }

    /// What was agreed; after the handshake.
    pub(super) fn object(&self) -> Option<SslObject> {
        match &self.stage {
            Stage::Accepting(..) => None,
            Stage::Open(connection) => SslObject::of(connection, self.hostname.as_deref()),
        }
    }

    /// Takes some of `input`: at least one byte, unless the other side has closed. What comes of it is
    /// to be [read](Session::plaintext) before the next call.
    pub(super) fn feed(&mut self, input: &mut &[u8], out: &Transport) -> Result<()> {
        if self.is_handshaking() && self.first_bytes.len() < 8 {
            let more = input.len().min(8 - self.first_bytes.len());
            self.first_bytes.extend_from_slice(&input[..more]);
        }
        let outcome = match &mut self.stage {
            Stage::Accepting(acceptor, ..) => match acceptor.read_tls(input) {
                Ok(_) => self.accept(out),
                Err(error) => Err(rustls::Error::General(error.to_string())),
            },
            Stage::Open(connection) => match connection.read_tls(input) {
                Ok(0) => {
                    *input = &[];
                    Ok(())
                }
                Ok(_) => connection.process_new_packets().map(|state| {
                    self.peer_closed = state.peer_has_closed();
                    if self.peer_closed {
                        *input = &[];
                    }
                }),
                Err(error) => Err(rustls::Error::General(error.to_string())),
            },
        };
        outcome.map_err(|error| {
            self.failed = true;
            io::Error::from(SslError::new(error, self.is_server, &self.first_bytes)).into()
        })
    }

    /// Goes on with the context for the server that the client asks for, once it has asked.
    fn accept(&mut self, out: &Transport) -> Result<(), rustls::Error> {
        let Stage::Accepting(acceptor, callback, context) = &mut self.stage else { return Ok(()) };
        let refused = |(error, mut alert): (_, rustls::server::AcceptedAlert)| {
            // The handshake has failed whether or not the other side is told why.
            let _ = alert.write_all(&mut Out(out));
            error
        };
        let Some(accepted) = acceptor.accept().map_err(refused)? else { return Ok(()) };
        let chosen = callback(name_of(&accepted).as_deref());
        let config = match chosen.as_ref().unwrap_or(context).configured() {
            Ok(Configured::Server(config)) => config,
            Ok(Configured::Client(_)) => {
                let text = "sni_callback: a server needs a context for Purpose::ClientAuth";
                return Err(rustls::Error::General(text.to_owned()));
            }
            Err(error) => return Err(rustls::Error::General(error.to_string())),
        };
        let connection = accepted.into_connection(config).map_err(refused)?;
        self.stage = Stage::Open(Box::new(connection.into()));
        self.lift_limit();
        Ok(())
    }

    /// What was decrypted and not read yet.
    pub(super) fn plaintext(&mut self) -> &[u8] {
        match &mut self.stage {
            Stage::Open(connection) => connection.reader().into_first_chunk().unwrap_or(&[]),
            Stage::Accepting(..) => &[],
        }
    }

    /// So much of it was read.
    pub(super) fn consume(&mut self, length: usize) {
        if let Stage::Open(connection) = &mut self.stage {
            connection.reader().consume(length);
        }
    }

    /// Encrypts as much of `data` as `out` has room for, or all of it if `forced`; and tells how much.
    pub(super) fn write(&mut self, data: &[u8], out: &Transport, forced: bool) -> Result<usize> {
        let Stage::Open(connection) = &mut self.stage else { return Ok(0) };
        if self.failed {
            // Lost with the connection, which ends when the failure is read.
            return Ok(data.len());
        }
        let mut written = 0;
        while written < data.len() && (forced || !is_full(out)) {
            let end = data.len().min(written + MOST);
            connection.writer().write_all(&data[written..end])?;
            written = end;
            flush(connection, out)?;
        }
        Ok(written)
    }

    /// Says that this side will send no more.
    pub(super) fn send_close_notify(&mut self) {
        if let (Stage::Open(connection), false) = (&mut self.stage, self.failed) {
            connection.send_close_notify();
        }
    }

    /// Gives what rustls has to say to `out`.
    pub(super) fn flush(&mut self, out: &Transport) -> Result<()> {
        match &mut self.stage {
            Stage::Open(connection) => flush(connection, out),
            Stage::Accepting(..) => Ok(()),
        }
    }
}

fn name_of(accepted: &Accepted) -> Option<String> {
    accepted.client_hello().server_name().map(str::to_owned)
}

fn is_full(out: &Transport) -> bool {
    out.stream().is_none_or(|stream| stream.is_full())
}

fn flush(connection: &mut Connection, out: &Transport) -> Result<()> {
    while connection.wants_write() {
        connection.write_tls(&mut Out(out))?;
    }
    Ok(())
}

fn of_setup(error: rustls::Error) -> Error {
    Error::value(format!("ssl: {error}"))
}

/// A transport, which takes everything.
struct Out<'a>(&'a Transport);

impl Write for Out<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.0.try_write(data)?;
        Ok(data.len())
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        if let [piece] = pieces {
            return self.write(piece);
        }
        if let Some(stream) = self.0.stream() {
            stream.writelines(pieces)?;
        }
        Ok(pieces.iter().map(|piece| piece.len()).sum())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
