//! The bytes of both sides, cut and changed on their way: the test is the network.

use super::*;
use crate::{
    connection::Kind,
    extra_info::Names,
    protocols::IntoProtocol,
    slot::{BufferedCalls, Event},
    ssl::{Arguments, protocol::SslProtocol},
    starting::Side,
};
use std::{cell::RefCell, io::Read, os::unix::net::UnixStream, rc::Rc};

/// One side, and the socket that has what it sends; nothing arrives there.
struct End {
    transport: Transport,
    ssl: Rc<SslProtocol>,
    sent: UnixStream,
    log: Log,
}

fn end(context: SslContext, side: &Side) -> Result<End> {
    let (ours, sent) = UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    sent.set_nonblocking(true)?;
    let log = Log::default();
    let calls = Recorder::into_calls(Rc::new(RefCell::new(Recorder::new(&log))));
    let mut arguments = Arguments::default();
    arguments.set_ssl(context.into());
    let plan = arguments.plan(side)?;
    let kind = Kind::Socket { is_tcp: false };
    let transport = plan.open(ours.into(), kind, Names::default(), calls)?;
    let ssl = transport.0.ssl.get().unwrap().get().unwrap();
    transport.stream().unwrap().start(None);
    Ok(End { transport, ssl, sent, log })
}

async fn ends() -> Result<[End; 2]> {
    let ends = [
        end(client_context(), &Side::Client(Some(HOST.to_owned())))?,
        end(server_context(), &Side::Server)?,
    ];
    iterations(2).await?;
    Ok(ends)
}

impl End {
    /// What it has sent since the last call.
    fn take(&mut self) -> Vec<u8> {
        let (mut all, mut block) = (Vec::new(), vec![0; 100_000]);
        while let Ok(length @ 1..) = self.sent.read(&mut block) {
            all.extend_from_slice(&block[..length]);
        }
        all
    }

    fn receive(&self, mut data: &[u8]) {
        while !data.is_empty() {
            let received = self.ssl.fill(&self.transport, &mut |buffer| data.read(buffer));
            let received = received.unwrap().unwrap();
            let _ = BufferedCalls::tell(&*self.ssl, &self.transport, Event::Filled(received));
        }
    }
}

/// Carries bytes from each to the other until both are silent, as `carry` does it.
async fn carry(ends: &mut [End; 2], mut carry: impl FnMut(&End, Vec<u8>)) -> Result<()> {
    let mut silent = 0;
    while silent < 3 {
        silent += 1;
        for (from, to) in [(0, 1), (1, 0)] {
            let sent = ends[from].take();
            if !sent.is_empty() {
                silent = 0;
                carry(&ends[to], sent);
            }
        }
        iterations(2).await?;
    }
    Ok(())
}

#[test]
fn records_are_put_together_however_they_are_cut() {
    run(async {
        for size in [1, 2, 3, 5, 7, 13, 100, 4096, 16_389] {
            let mut ends = ends().await?;
            let in_pieces =
                |to: &End, sent: Vec<u8>| sent.chunks(size).for_each(|piece| to.receive(piece));
            carry(&mut ends, in_pieces).await?;
            let data: Vec<u8> = (0..40_000u32).map(|n| (n % 251) as u8).collect();
            for end in &ends {
                assert_eq!(end.log.events(), "made", "{size}");
                end.transport.write(&data);
            }
            carry(&mut ends, in_pieces).await?;
            ends[0].transport.close();
            carry(&mut ends, in_pieces).await?;
            for end in &ends {
                assert!(end.log.received() == data, "{size}");
                assert_eq!(end.log.events(), "made data eof lost", "{size}");
            }
        }
        Ok(())
    });
}

#[test]
fn every_cut_of_a_whole_conversation_is_survived() {
    run(async {
        // The end comes after so many bytes.
        for end_at in (0..3_000).step_by(37) {
            let mut ends = ends().await?;
            let mut left = end_at;
            carry(&mut ends, |to, sent| {
                let length = sent.len().min(left);
                left -= length;
                to.receive(&sent[..length]);
            })
            .await?;
            for end in &ends {
                let _ = BufferedCalls::tell(&*end.ssl, &end.transport, Event::Eof);
            }
            iterations(10).await?;
            for end in &ends {
                let events = end.log.events();
                assert!(events.is_empty() || events == "made eof lost", "{end_at}: {events}");
                assert!(end.transport.is_closing());
            }
        }
        Ok(())
    });
}

/// A sequence of numbers that look random (splitmix64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) as usize % end.max(1)
    }
}

/// What a bad network makes of some bytes.
fn spoil(data: &mut Vec<u8>, numbers: &mut Numbers) {
    match numbers.below(6) {
        0 => {
            let place = numbers.below(data.len());
            data[place] ^= 1 << numbers.below(8);
        }
        1 => data.truncate(numbers.below(data.len())),
        2 => {
            let place = numbers.below(data.len());
            data.insert(place, numbers.below(256) as u8);
        }
        3 => drop(data.drain(..numbers.below(data.len()))),
        4 => *data = (0..numbers.below(300)).map(|_| numbers.below(256) as u8).collect(),
        _ => data.extend_from_within(..),
    }
}

#[test]
fn garbage_in_every_state_ends_the_connection_in_order() {
    run(async {
        for seed in 0..400 {
            let mut numbers = Numbers(seed);
            let mut ends = ends().await?;
            let (mut flight, spoilt) = (0, numbers.below(8));
            if spoilt >= 4 {
                // In an open session.
                carry(&mut ends, |to, sent| to.receive(&sent)).await?;
                ends[0].transport.write([1; 20_000]);
                ends[1].transport.write([2; 200]);
                flight = 4;
            }
            carry(&mut ends, |to, mut sent| {
                if flight == spoilt {
                    spoil(&mut sent, &mut numbers);
                }
                flight += 1;
                to.receive(&sent);
            })
            .await?;
            for end in &ends {
                end.transport.close();
            }
            carry(&mut ends, |to, sent| to.receive(&sent)).await?;
            for end in &ends {
                end.transport.abort();
            }
            iterations(5).await?;
            for end in &ends {
                let (made, lost) =
                    (end.log.count("made"), end.log.events().matches("lost").count());
                assert_eq!(made, lost, "{seed}: {}", end.log.events());
                assert!(made <= 1 && end.log.count("eof") <= 1, "{seed}");
            }
        }
        Ok(())
    });
}
