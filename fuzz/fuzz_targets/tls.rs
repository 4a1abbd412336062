//! One end of a TLS connection, client or server, from its handshake to its end, over a network that cuts, changes,
//! repeats and loses bytes, with a peer that closes, changes its keys or stops responding.
//!
//! Whatever arrives, the data that each side receives is a prefix of what the other side sent, the callbacks come in
//! order, and the connection ends without leaking a descriptor. On a network that changes nothing, everything that was
//! written before `close()` arrives.
#![no_main]

use asyncio::{
    BufferedProtocol, Bytes, Error, Protocol, Result, Task, Transport, connect_accepted_socket,
    create_task, create_unix_connection, sleep,
    socket::Socket,
    ssl::{
        Purpose, SslContext, create_default_context,
        rustls::{
            ClientConfig, ClientConnection, Connection, Error as TlsError, RootCertStore,
            ServerConfig, ServerConnection,
            pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
        },
    },
};
use asyncio_fuzz::{Input, iterations, open_files, run};
use std::{
    cell::Cell,
    io::{Read, Write},
    os::unix::net::UnixStream,
    rc::Rc,
    sync::{Arc, OnceLock},
    time::Duration,
};

const HOST: &str = "localhost";
/// The amount buffered in each direction, less than the buffers of the system.
const BYTES_MAX: usize = 100_000;

/// The certificate of both servers, and its key.
struct Known {
    server: SslContext,
    client: SslContext,
    peer_server: Arc<ServerConfig>,
    peer_client: Arc<ClientConfig>,
}

fn known() -> &'static Known {
    static KNOWN: OnceLock<Known> = OnceLock::new();
    KNOWN.get_or_init(|| {
        let made = rcgen::generate_simple_self_signed([HOST.to_owned()]).expect("a certificate");
        let (pem, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let mut server = create_default_context(Purpose::ClientAuth);
        server.load_cert_chain_pem(pem.as_bytes(), key.as_bytes()).expect("it is valid");
        let mut client = create_default_context(Purpose::ServerAuth);
        client.clear_verify_locations().expect("a client has some");
        client.load_verify_pem(pem.as_bytes()).expect("it is valid");
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).expect("it is valid");
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("it is valid");
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).expect("it is valid");
        let peer_server = ServerConfig::builder().with_no_client_auth();
        let peer_server = peer_server.with_single_cert(vec![certificate], key).expect("they fit");
        let peer_client = ClientConfig::builder().with_root_certificates(roots);
        Known {
            server,
            client,
            peer_server: Arc::new(peer_server),
            peer_client: Arc::new(peer_client.with_no_client_auth()),
        }
    })
}

/// The bytes that a side sends.
fn pattern(from: usize, length: usize) -> Vec<u8> {
    (from..from + length).map(|place| (place % 251) as u8).collect()
}

/// The events of the protocol, in order.
#[derive(Clone, Default)]
struct Log(Rc<Seen>);

#[derive(Default)]
struct Seen {
    made: Cell<bool>,
    eof: Cell<bool>,
    lost: Cell<bool>,
    paused: Cell<bool>,
    received: Cell<usize>,
    /// The actions of the protocol at its next callback.
    next: Cell<usize>,
}

impl Log {
    fn is_called(&self) {
        assert!(self.0.made.get() && !self.0.lost.get());
    }

    fn made(&self) {
        assert!(!self.0.made.replace(true));
    }

    fn data(&self, transport: &Transport, data: &[u8]) {
        self.is_called();
        assert!(!data.is_empty() && !self.0.eof.get());
        let received = self.0.received.replace(self.0.received.get() + data.len());
        assert!(data == pattern(received, data.len()), "another byte than was sent");
        self.acts(transport);
    }

    fn eof(&self, transport: &Transport) -> bool {
        self.is_called();
        assert!(!self.0.eof.replace(true));
        self.acts(transport);
        false
    }

    fn lost(&self) {
        self.is_called();
        self.0.lost.set(true);
    }

    fn pauses(&self, on: bool) {
        self.is_called();
        assert_ne!(self.0.paused.replace(on), on);
    }

    fn acts(&self, transport: &Transport) {
        match self.0.next.take() {
            1 => transport.close(),
            2 => transport.abort(),
            3 => transport.pause_reading(),
            _ => {}
        }
    }
}

impl Protocol for Log {
    fn connection_made(&mut self, _: &Transport) {
        self.made();
    }

    fn data_received(&mut self, transport: &Transport, data: Bytes) {
        self.data(transport, &data);
    }

    fn eof_received(&mut self, transport: &Transport) -> bool {
        self.eof(transport)
    }

    fn pause_writing(&mut self, _: &Transport) {
        self.pauses(true);
    }

    fn resume_writing(&mut self, _: &Transport) {
        self.pauses(false);
    }

    fn connection_lost(&mut self, _: &Transport, _: Option<Error>) {
        self.lost();
    }
}

/// The same protocol with its own buffer, of any size.
struct Buffered(Log, Vec<u8>);

impl BufferedProtocol for Buffered {
    fn connection_made(&mut self, _: &Transport) {
        self.0.made();
    }

    fn get_buffer(&mut self, _: &Transport) -> &mut [u8] {
        &mut self.1
    }

    fn buffer_updated(&mut self, transport: &Transport, nbytes: usize) {
        self.0.data(transport, &self.1[..nbytes]);
    }

    fn eof_received(&mut self, transport: &Transport) -> bool {
        self.0.eof(transport)
    }

    fn pause_writing(&mut self, _: &Transport) {
        self.0.pauses(true);
    }

    fn resume_writing(&mut self, _: &Transport) {
        self.0.pauses(false);
    }

    fn connection_lost(&mut self, _: &Transport, _: Option<Error>) {
        self.0.lost();
    }
}

/// Opens our end on a socket.
async fn open(socket: Socket, is_server: bool, buffer: usize, log: Log) -> Result<Transport> {
    let known = known();
    let (server, client) = (&known.server, &known.client);
    let plain = log.clone();
    let buffered = move || Buffered(log, vec![0; buffer]);
    match (is_server, buffer) {
        (true, 0) => Ok(connect_accepted_socket(move || plain, socket).ssl(server).await?.0),
        (true, _) => Ok(connect_accepted_socket(buffered, socket).ssl(server).await?.0),
        (false, 0) => {
            let connecting = create_unix_connection(move || plain, socket).ssl(client);
            Ok(connecting.server_hostname(HOST).await?.0)
        }
        (false, _) => {
            let connecting = create_unix_connection(buffered, socket).ssl(client);
            Ok(connecting.server_hostname(HOST).await?.0)
        }
    }
}

/// The peer and the network.
struct Peer {
    session: Connection,
    socket: UnixStream,
    /// What it receives into.
    block: Vec<u8>,
    /// What it has encrypted and the network has not carried yet.
    under_way: Vec<u8>,
    /// Whether the network has changed any data.
    is_spoilt: bool,
    /// Whether the peer has ended, by an error or because it stopped responding.
    is_dead: bool,
    sent: usize,
    received: usize,
}

impl Peer {
    fn new(is_server: bool, socket: UnixStream) -> Peer {
        socket.set_nonblocking(true).expect("it can be set");
        let known = known();
        let session = match is_server {
            true => ServerConnection::new(known.peer_server.clone()).expect("it fits").into(),
            false => {
                let name = ServerName::try_from(HOST).expect("a name");
                ClientConnection::new(known.peer_client.clone(), name).expect("it fits").into()
            }
        };
        Peer {
            session,
            socket,
            block: vec![0; 16 * 1024],
            under_way: Vec::new(),
            is_spoilt: false,
            is_dead: false,
            sent: 0,
            received: 0,
        }
    }

    /// Takes what our end has sent, and encrypts what it has to say. Returns whether our end has sent anything.
    fn receive(&mut self) -> bool {
        let mut is_heard = false;
        while let Ok(length @ 1..) = self.socket.read(&mut self.block) {
            is_heard = true;
            let mut data = &self.block[..length];
            while !self.is_dead && !data.is_empty() {
                match self.session.read_tls(&mut data) {
                    Ok(1..) => {}
                    // Nothing is accepted after a close_notify.
                    _ => break,
                }
                if let Err(error) = self.session.process_new_packets() {
                    // Our end may send an alert, but never sends invalid data.
                    assert!(
                        self.is_spoilt || matches!(error, TlsError::AlertReceived(_)),
                        "{error}"
                    );
                    self.is_dead = true;
                }
                let mut plaintext = Vec::new();
                let _ = self.session.reader().read_to_end(&mut plaintext);
                assert!(plaintext == pattern(self.received, plaintext.len()));
                self.received += plaintext.len();
            }
        }
        while self.session.wants_write() {
            if self.session.write_tls(&mut self.under_way).is_err() {
                break;
            }
        }
        is_heard
    }

    fn send(&mut self, length: usize) {
        if self.is_dead || self.sent + length > BYTES_MAX {
            return;
        }
        let data = pattern(self.sent, length);
        if self.session.writer().write_all(&data).is_ok() {
            self.sent += length;
        }
    }

    /// Carries so many bytes. Returns whether there were any.
    fn carry(&mut self, length: usize) -> bool {
        let length = length.min(self.under_way.len());
        let carried = self.socket.write(&self.under_way[..length]).unwrap_or(0);
        self.under_way.drain(..carried);
        carried > 0
    }

    /// Has the network carry what there is, until both ends are silent.
    async fn settle(&mut self) -> Result<()> {
        let mut silent = 0;
        while silent < 2 {
            let (is_heard, is_carried) = (self.receive(), self.carry(2 * BYTES_MAX));
            silent = if is_heard || is_carried { 0 } else { silent + 1 };
            iterations(3).await?;
        }
        Ok(())
    }

    /// Changes data in transit, as a bad network does.
    fn spoil(&mut self, input: &mut Input<'_>) {
        let (kind, place) = (input.below(5), input.number());
        let length = self.under_way.len();
        let place = place % length.max(1);
        match kind {
            0 if length > 0 => self.under_way[place] ^= 1 << input.below(8),
            1 => self.under_way.truncate(place),
            2 => {
                let count = input.below(64);
                let garbage = input.take(count).to_vec();
                self.under_way.splice(place.min(length)..place.min(length), garbage);
            }
            3 => drop(self.under_way.drain(..place)),
            _ => self.under_way.extend_from_within(place.min(length)..),
        }
        self.is_spoilt = true;
    }
}

async fn converse(data: Vec<u8>) -> Result<()> {
    iterations(1).await?;
    let before = open_files();
    let mut input = Input::new(&data);
    let is_server = input.flag();
    let buffer = input.below(4) * input.below(256);
    let (ours, theirs) = UnixStream::pair()?;
    let (log, mut peer) = (Log::default(), Peer::new(!is_server, theirs));
    let opening = open(Socket::try_from(ours)?, is_server, buffer, log.clone());
    let opening: Task<Transport> = create_task(opening);
    let (mut transport, mut written, mut is_cut) = (None::<Transport>, 0, false);
    let mut is_quick = input.flag();
    while !input.is_over() && !log.0.lost.get() {
        if transport.is_none() && opening.done() {
            match opening.result() {
                Ok(opened) => transport = Some(opened),
                Err(_) => break,
            }
        }
        match (input.below(20), &transport) {
            (0, _) => peer.send(input.number() % 20_000),
            (1, _) => peer.session.send_close_notify(),
            (2, _) => _ = peer.session.refresh_traffic_keys(),
            (3, _) => peer.spoil(&mut input),
            (4, _) => is_quick = !is_quick,
            (5, None) if input.below(8) == 1 => is_cut = opening.cancel(),
            (5..9, Some(open)) if written < BYTES_MAX && !open.is_closing() => {
                let length = 1 + input.number() % 20_000;
                open.write(pattern(written, length));
                written += length;
            }
            (9, Some(open)) => open.pause_reading(),
            (10, Some(open)) => open.resume_reading(),
            (11, Some(_)) => {
                log.0.next.set(input.below(4));
                is_cut |= log.0.next.get() == 2;
            }
            (12, Some(open)) if input.below(4) == 1 => open.close(),
            (13, Some(open)) if input.below(4) == 1 => {
                is_cut = true;
                open.abort();
            }
            (14, Some(open)) => {
                let (high, low) = (input.number(), input.number());
                let _ = open.set_read_buffer_limits(Some(high), Some(low));
                let _ = open.set_write_buffer_limits(Some(low), Some(high));
            }
            _ => {}
        }
        peer.receive();
        peer.carry(if is_quick { BYTES_MAX } else { input.number() % 2000 });
        iterations(3).await?;
    }
    drop(transport.take_if(|_| input.flag()));
    end(&log, &mut peer, transport, opening, is_cut, written).await?;
    drop(peer);
    iterations(5).await?;
    assert_eq!(open_files(), before);
    Ok(())
}

/// Closes our end, and delivers all data in transit.
async fn end(
    log: &Log,
    peer: &mut Peer,
    transport: Option<Transport>,
    opening: Task<Transport>,
    is_cut: bool,
    written: usize,
) -> Result<()> {
    let is_whole = !peer.is_spoilt && !is_cut;
    // Its protocol may pause once more when it is called.
    for _ in 0..3 {
        peer.settle().await?;
        if let Some(transport) = &transport {
            transport.resume_reading();
        }
    }
    let transport = match (transport, opening.done()) {
        (None, true) => opening.result().ok(),
        (transport, _) => transport,
    };
    if let Some(transport) = &transport {
        assert!(log.0.made.get());
        transport.close();
    }
    peer.settle().await?;
    // What is not over by now is so at its limit.
    sleep(Duration::from_secs(3600)).await?;
    peer.receive();
    assert!(opening.done(), "the handshake has a limit");
    if let Err(error) = opening.result() {
        assert!(matches!(error, Error::Io(_)) || error.is_cancelled(), "{error:?}");
    }
    assert_eq!(log.0.made.get(), log.0.lost.get(), "what is made is lost");
    assert!(log.0.received.get() <= peer.sent);
    assert!(!is_whole || peer.is_dead || peer.received == written, "written data was lost");
    Ok(())
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| run(converse(data.to_vec())));
