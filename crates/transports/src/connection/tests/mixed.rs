//! All operations in random order: whatever the two sides of a connection do, the bytes arrive as they
//! were sent, no event is lost, and the callbacks keep their order.

use super::*;
use asyncio_task::to_thread;

/// Numbers that are different each time, and the same for each seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }

    fn size(&mut self) -> usize {
        let magnitude = self.below(20);
        self.below(1 << magnitude) as usize
    }
}

struct Side {
    log: Log,
    transport: Transport,
    sent: Vec<u8>,
    is_paused: Rc<Cell<bool>>,
    has_ended: bool,
}

impl Side {
    fn new(io: impl Into<socket2::Socket>) -> Side {
        let (log, is_paused) = (Log::default(), Rc::new(Cell::new(false)));
        let (pause, resume) = (is_paused.clone(), is_paused.clone());
        let recorder = Recorder::new(&log)
            .staying_open()
            .on("pause", move |_| pause.set(true))
            .on("resume", move |_| resume.set(false));
        Side {
            log,
            transport: connect(io, recorder),
            sent: Vec::new(),
            is_paused,
            has_ended: false,
        }
    }

    fn write(&mut self, random: &mut Random) {
        if self.has_ended || self.is_paused.get() {
            return;
        }
        let data: Vec<u8> = (0..random.size()).map(|n| (n / 3) as u8 ^ random.0 as u8).collect();
        self.sent.extend_from_slice(&data);
        match random.below(3) {
            0 => self.transport.write(&data),
            1 => self.transport.writelines(data.chunks(1 + random.size())),
            _ => {
                let (one, other) = data.split_at(data.len() / 2);
                self.transport.write(one);
                self.transport.write(other);
            }
        }
    }

    async fn act(&mut self, random: &mut Random) -> Result<()> {
        match random.below(12) {
            0..=4 => self.write(random),
            5 => self.transport.pause_reading(),
            6 | 7 => self.transport.resume_reading(),
            8 => self.transport.set_write_buffer_limits(Some(random.size()), None)?,
            9 => iterations(random.below(4) as usize).await?,
            10 if random.below(20) == 0 => {
                self.transport.write_eof();
                self.has_ended = true;
            }
            _ => iterations(1).await?,
        }
        Ok(())
    }

    fn finish(&mut self) {
        self.transport.set_write_buffer_limits(None, None).unwrap();
        self.transport.resume_reading();
        self.transport.write_eof();
        self.has_ended = true;
    }

    fn check(&self, other: &Side) {
        assert!(self.log.received() == other.sent);
        let events = self.log.events();
        let flow: Vec<&str> =
            events.split(' ').filter(|event| ["pause", "resume"].contains(event)).collect();
        let pairs = ["pause", "resume"].into_iter().cycle();
        assert!(flow.iter().zip(pairs).all(|(seen, due)| *seen == due), "{events}");
        for once in ["made", "eof", "lost"] {
            assert_eq!(self.log.count(once), 1, "{events}");
        }
        assert!(events.starts_with("made") && events.ends_with("lost"), "{events}");
    }
}

async fn play(
    seed: u64,
    sides: (impl Into<socket2::Socket>, impl Into<socket2::Socket>),
) -> Result<()> {
    let mut random = Random(seed);
    let (mut one, mut other) = (Side::new(sides.0), Side::new(sides.1));
    iterations(2).await?;
    for _ in 0..300 {
        match random.below(2) {
            0 => one.act(&mut random).await?,
            _ => other.act(&mut random).await?,
        }
    }
    one.finish();
    other.finish();
    one.log.wait("eof").await?;
    other.log.wait("eof").await?;
    one.transport.close();
    other.transport.close();
    one.log.lost().await?;
    other.log.lost().await?;
    one.check(&other);
    other.check(&one);
    Ok(())
}

#[test]
fn two_transports_and_thousands_of_actions() {
    for seed in 0..20 {
        run(async move {
            play(seed, UnixStream::pair()?).await?;
            play(seed, tcp_pair()).await
        });
    }
    // TCP may deliver later, and a virtual clock does not wait for that.
    for seed in 20..40 {
        run_step_by_step(async move { play(seed, UnixStream::pair()?).await });
    }
}

/// The other side is blocking and slow, so the socket becomes full again and again.
#[test]
fn a_slow_reader_gets_it_all() {
    for seed in 0..10 {
        run(async move {
            let mut random = Random(seed);
            let (ours, mut theirs) = tcp_pair();
            let mut side = Side::new(ours);
            let reading = create_task(to_thread(move || {
                let (mut all, mut buffer, mut sizes) = (Vec::new(), vec![0; 1 << 16], Random(seed));
                loop {
                    let size = 1 + sizes.size() % buffer.len();
                    match theirs.read(&mut buffer[..size]) {
                        Ok(0) => return all,
                        Ok(length) => all.extend_from_slice(&buffer[..length]),
                        Err(error) => panic!("{error}"),
                    }
                    std::thread::yield_now();
                }
            }));
            while side.sent.len() < 4_000_000 {
                side.write(&mut random);
                iterations(1).await?;
            }
            side.transport.close();
            assert!(reading.await? == side.sent);
            side.log.lost().await
        });
    }
}
