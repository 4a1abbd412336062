//! Three endpoints that send to each other, answer from their callbacks, and close. A datagram arrives exactly once,
//! complete and in order, or not at all if its receiver is closed.
#![no_main]

use asyncio::{
    Address, Bytes, DatagramProtocol, DatagramTransport, Error, Result, SOCKNAME,
    create_datagram_endpoint,
};
use asyncio_fuzz::{Input, iterations, open_files, run};
use std::{cell::RefCell, rc::Rc};

const ENDPOINTS: usize = 3;
/// How much the buffers of the system are certain to hold.
const DATAGRAMS: usize = 24;
const LARGEST: usize = 1500;
/// More than fits into one datagram.
const TOO_LARGE: usize = 66_000;

#[derive(Default)]
struct Endpoint {
    transport: Option<DatagramTransport>,
    address: Option<Address>,
    /// Whether it is connected to the endpoint before it.
    is_connected: bool,
    /// How often it answers, and whether it closes when a datagram arrives.
    answers: usize,
    closes: bool,
    is_closed: bool,
    calls: Vec<&'static str>,
    errors: usize,
    too_large: usize,
}

#[derive(Default)]
struct Net {
    endpoints: Vec<Endpoint>,
    sent: Vec<(usize, usize, Vec<u8>)>,
    received: Vec<(usize, usize, Vec<u8>)>,
}

impl Net {
    fn number(&self, address: &Address) -> usize {
        let same = |endpoint: &Endpoint| endpoint.address.as_ref() == Some(address);
        self.endpoints.iter().position(same).expect("one of the three")
    }
}

type Shared = Rc<RefCell<Net>>;

/// Sends, and records what must arrive.
fn send(net: &Shared, from: usize, to: usize, data: Vec<u8>) {
    let mut inner = net.borrow_mut();
    let sender = &mut inner.endpoints[from];
    let before = (from + ENDPOINTS - 1) % ENDPOINTS;
    let to = if sender.is_connected { before } else { to };
    let Some(transport) = sender.transport.clone() else { return };
    if sender.is_closed || inner.sent.len() >= DATAGRAMS {
        return;
    }
    let sender = &mut inner.endpoints[from];
    sender.too_large += usize::from(data.len() == TOO_LARGE);
    let is_connected = sender.is_connected;
    let address = inner.endpoints[to].address.clone();
    if data.len() < TOO_LARGE {
        inner.sent.push((from, to, data.clone()));
    }
    drop(inner);
    match address {
        Some(address) if !is_connected => transport.sendto(data, address),
        _ => transport.sendto(data, None),
    }
}

fn close(net: &Shared, number: usize, at_once: bool) {
    let mut inner = net.borrow_mut();
    inner.endpoints[number].is_closed = true;
    let transport = inner.endpoints[number].transport.clone();
    drop(inner);
    match (transport, at_once) {
        (Some(transport), true) => transport.abort(),
        (Some(transport), false) => transport.close(),
        (None, _) => {}
    }
}

struct Peer(usize, Shared);

impl Peer {
    fn is_called(&self, what: &'static str) {
        let calls = &mut self.1.borrow_mut().endpoints[self.0].calls;
        assert_eq!(calls.is_empty(), what == "made", "{calls:?}, {what}");
        assert_ne!(calls.last(), Some(&"lost"), "{what}");
        if what == "pause" || what == "resume" {
            let last = calls.iter().rfind(|call| **call == "pause" || **call == "resume");
            assert_eq!(last == Some(&"pause"), what == "resume");
        }
        calls.push(what);
    }
}

impl DatagramProtocol for Peer {
    fn connection_made(&mut self, transport: &DatagramTransport) {
        self.is_called("made");
        self.1.borrow_mut().endpoints[self.0].transport = Some(transport.clone());
    }

    fn connection_lost(&mut self, _: &DatagramTransport, error: Option<Error>) {
        self.is_called("lost");
        assert!(error.is_none(), "{error:?}");
    }

    fn pause_writing(&mut self, _: &DatagramTransport) {
        self.is_called("pause");
    }

    fn resume_writing(&mut self, _: &DatagramTransport) {
        self.is_called("resume");
    }

    fn datagram_received(&mut self, _: &DatagramTransport, data: Bytes, address: Address) {
        self.is_called("datagram");
        let mut net = self.1.borrow_mut();
        let from = net.number(&address);
        net.received.push((from, self.0, data.to_vec()));
        let this = &mut net.endpoints[self.0];
        let (answers, closes) = (this.answers > 0, this.closes);
        this.answers = this.answers.saturating_sub(1);
        drop(net);
        if answers {
            send(&self.1, self.0, from, [&data[..data.len().min(LARGEST - 1)], b"!"].concat());
        }
        if closes {
            close(&self.1, self.0, data.is_empty());
        }
    }

    fn error_received(&mut self, _: &DatagramTransport, _: Error) {
        self.is_called("error");
        self.1.borrow_mut().endpoints[self.0].errors += 1;
    }
}

async fn play(data: Vec<u8>) -> Result<()> {
    iterations(1).await?;
    let before = open_files();
    let mut input = Input::new(&data);
    let net = Shared::default();
    for number in 0..ENDPOINTS {
        let endpoint = Endpoint {
            answers: input.below(4),
            closes: input.below(8) == 1,
            is_connected: number > 0 && input.flag(),
            ..Endpoint::default()
        };
        let before = (number > 0).then(|| net.borrow().endpoints[number - 1].address.clone());
        let is_connected = endpoint.is_connected;
        net.borrow_mut().endpoints.push(endpoint);
        let peer = Peer(number, net.clone());
        let creating = create_datagram_endpoint(move || peer).local_addr(("127.0.0.1", 0));
        let creating = match before.flatten() {
            Some(address) if is_connected => creating.remote_addr(address),
            _ => creating,
        };
        let (transport, _) = creating.await?;
        net.borrow_mut().endpoints[number].address = transport.get_extra_info(SOCKNAME);
    }
    while !input.is_over() {
        let number = input.below(ENDPOINTS);
        let transport = net.borrow().endpoints[number].transport.clone();
        match (input.below(16), transport) {
            (0, _) => close(&net, number, input.flag()),
            (1, Some(transport)) => {
                let (high, low) = (input.number(), input.number());
                assert_eq!(
                    transport.set_write_buffer_limits(Some(high), Some(low)).is_err(),
                    high < low
                );
            }
            (2, _) => send(&net, number, input.below(ENDPOINTS), vec![0; TOO_LARGE]),
            (3, Some(transport)) if !net.borrow().endpoints[number].is_closed => {
                transport.set_protocol(Peer(number, net.clone()))?;
            }
            (4..8, _) => iterations(1 + input.below(4)).await?,
            _ => {
                let length = input.number() % LARGEST;
                let mut data = vec![net.borrow().sent.len() as u8; length];
                let first = input.take(length.min(4));
                data[..first.len()].copy_from_slice(first);
                send(&net, number, input.below(ENDPOINTS), data);
            }
        }
    }
    iterations(100).await?;
    check(&net.borrow());
    for number in 0..ENDPOINTS {
        close(&net, number, false);
    }
    iterations(10).await?;
    for endpoint in net.borrow_mut().endpoints.drain(..) {
        assert_eq!((endpoint.calls.first(), endpoint.calls.last()), (Some(&"made"), Some(&"lost")));
    }
    assert_eq!(open_files(), before);
    Ok(())
}

/// Everything that was sent has arrived, in order, unless the receiver is closed.
fn check(net: &Net) {
    for from in 0..ENDPOINTS {
        for to in 0..ENDPOINTS {
            let between = |all: &[(usize, usize, Vec<u8>)]| -> Vec<Vec<u8>> {
                let these = all.iter().filter(|(f, t, _)| (*f, *t) == (from, to));
                these.map(|(_, _, data)| data.clone()).collect()
            };
            let (sent, received) = (between(&net.sent), between(&net.received));
            let (receiver, before) = (&net.endpoints[to], (to + ENDPOINTS - 1) % ENDPOINTS);
            if receiver.is_connected && from != before {
                assert!(received.is_empty(), "the system lets only the remote address through");
            } else if receiver.is_closed {
                assert!(sent.starts_with(&received));
            } else {
                assert!(sent == received, "{from} to {to}: {} of {}", received.len(), sent.len());
            }
        }
    }
    for (number, endpoint) in net.endpoints.iter().enumerate() {
        // Connected endpoints also get an error if their remote address is closed.
        let is_exact = !endpoint.is_connected && !endpoint.is_closed;
        assert!(!is_exact || endpoint.errors == endpoint.too_large, "{number}");
    }
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| run(play(data.to_vec())));
