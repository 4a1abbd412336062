//! Bytes in both directions, and how many of them are buffered.

use super::*;
use crate::{BufferedProtocol, sendfile};
use asyncio_task::create_task;
use std::{cell::RefCell, io::Write as _, rc::Rc};

#[test]
fn bytes_arrive_as_they_were_in_every_size() {
    run(async {
        let pair = pair().await?;
        let mut expected = Vec::new();
        for size in [1, 2, 100, 16_383, 16_384, 16_385, 70_000, 1_500_000] {
            let data: Vec<u8> = (0..size).map(|n: u32| (n % 251) as u8).collect();
            pair.client.write(&data);
            expected.extend(data);
        }
        pair.client.writelines([&b"in"[..], b"", b"pieces"]);
        pair.client.write(b"");
        expected.extend(b"inpieces");
        pair.theirs.until(|log| log.received().len() >= expected.len()).await?;
        assert!(pair.theirs.received() == expected);
        pair.client.close();
        pair.ours.lost().await
    });
}

#[test]
fn writing_pauses_at_the_high_mark_and_goes_on_at_the_low_one() {
    run(async {
        let pair = pair().await?;
        let server = pair.server.clients().remove(0);
        server.pause_reading();
        assert_eq!(pair.client.get_write_buffer_limits(), (128 * 1024, 512 * 1024));
        while pair.ours.count("pause") == 0 {
            pair.client.write(vec![5; 100_000]);
            iterations(1).await?;
        }
        assert!(pair.client.get_write_buffer_size() >= 512 * 1024);
        assert!(pair.client.get_write_buffer_size() < 512 * 1024 + 100_000);
        let (low, high) = server.get_read_buffer_limits();
        assert_eq!((low, high), (64 * 1024, 256 * 1024));
        while server.get_read_buffer_size() < high {
            iterations(1).await?;
        }
        assert!(server.get_read_buffer_size() < high + 256 * 1024);
        server.resume_reading();
        pair.ours.wait("resume").await?;
        pair.client.close();
        pair.ours.lost().await?;
        assert_eq!(server.get_read_buffer_size(), 0);
        Ok(())
    });
}

#[test]
fn marks_are_set_and_pausing_is_at_the_mark_itself() {
    run(async {
        let pair = pair().await?;
        pair.client.set_write_buffer_limits(None, None)?;
        assert_eq!(pair.client.get_write_buffer_limits(), (128 * 1024, 512 * 1024));
        pair.client.set_write_buffer_limits(Some(1000), None)?;
        assert_eq!(pair.client.get_write_buffer_limits(), (250, 1000));
        assert!(pair.client.set_read_buffer_limits(Some(1), Some(2)).is_err());
        pair.client.set_read_buffer_limits(None, Some(100))?;
        assert_eq!(pair.client.get_read_buffer_limits(), (100, 400));
        pair.client.abort();
        pair.ours.lost().await
    });
}

/// A protocol with a buffer of so many bytes.
struct Filled {
    buffer: Vec<u8>,
    received: Rc<RefCell<Vec<u8>>>,
    log: Log,
}

impl BufferedProtocol for Filled {
    fn get_buffer(&mut self, _: &Transport) -> &mut [u8] {
        &mut self.buffer
    }

    fn buffer_updated(&mut self, _: &Transport, nbytes: usize) {
        self.received.borrow_mut().extend_from_slice(&self.buffer[..nbytes]);
    }

    fn connection_made(&mut self, _: &Transport) {
        self.log.add("made");
    }

    fn eof_received(&mut self, _: &Transport) -> bool {
        self.log.add("eof");
        false
    }

    fn connection_lost(&mut self, _: &Transport, error: Option<Error>) {
        assert!(error.is_none(), "{error:?}");
        self.log.add("lost");
    }
}

#[test]
fn a_protocol_with_a_buffer_of_its_own_gets_everything_whatever_its_size() {
    run(async {
        for size in [1, 7, 16_384, 300_000] {
            let theirs = Log::default();
            let server = serve(&theirs, server_context()).await?;
            let (log, received) = (Log::default(), Rc::new(RefCell::new(Vec::new())));
            let (given, filled) = (log.clone(), received.clone());
            let factory = || Filled { buffer: vec![0; size], received: filled, log: given };
            let connecting = create_connection(factory, (HOST, port_of(&server)));
            let (_transport, _) = connecting.ssl(client_context()).await?;
            theirs.wait("made").await?;
            let length = if size < 100 { 5_000 } else { 600_000 };
            let data: Vec<u8> = (0..length).map(|n: u32| (n % 253) as u8).collect();
            for transport in server.clients() {
                transport.write(&data);
                transport.close();
            }
            log.lost().await?;
            assert!(*received.borrow() == data, "{size}");
            assert_eq!(log.events(), "made eof lost");
        }
        Ok(())
    });
}

#[test]
fn much_goes_both_ways_with_little_memory() {
    const MUCH: usize = 64 << 20;
    struct Counting {
        log: Log,
        received: usize,
        sent: usize,
        paused: bool,
    }
    impl Counting {
        fn send(&mut self, transport: &Transport) {
            let chunk: &[u8] = &[3; 50_000];
            while self.sent < MUCH && !self.paused {
                // Told after the callback only, so that it looks itself.
                transport.write(chunk);
                self.sent += chunk.len();
                self.paused = transport.get_write_buffer_size() >= 512 * 1024;
            }
            assert!(transport.get_write_buffer_size() < 600_000);
        }
    }
    impl crate::Protocol for Counting {
        fn connection_made(&mut self, transport: &Transport) {
            self.log.add("made");
            self.send(transport);
        }
        fn resume_writing(&mut self, transport: &Transport) {
            self.paused = false;
            self.send(transport);
        }
        fn data_received(&mut self, transport: &Transport, data: bytes::Bytes) {
            self.received += data.len();
            assert!(data.len() <= 512 * 1024);
            if self.received >= MUCH && self.sent >= MUCH {
                transport.close();
            }
        }
        fn connection_lost(&mut self, _: &Transport, _: Option<Error>) {
            self.log.add(format!("lost {}", self.received >= MUCH));
        }
    }
    run(async {
        let log = Log::default();
        let new = |log: &Log| Counting { log: log.clone(), received: 0, sent: 0, paused: false };
        let theirs = log.clone();
        let server = create_server(move || new(&theirs), ("127.0.0.1", 0));
        let server = server.ssl(server_context()).await?;
        let connecting = create_connection(|| new(&log), (HOST, port_of(&server)));
        let (_transport, _) = connecting.ssl(client_context()).await?;
        log.until(|log| log.events().matches("lost").count() == 2).await?;
        assert!(log.events().contains("lost true"), "{}", log.events());
        Ok(())
    });
}

#[test]
fn a_file_goes_out_in_blocks() {
    run(async {
        let path = std::env::temp_dir().join(format!("asyncio-tls-file-{}", std::process::id()));
        let data: Vec<u8> = (0..16_000_000u32).map(|n| (n % 249) as u8).collect();
        std::fs::File::create(&path)?.write_all(&data)?;
        let file = std::fs::File::open(&path)?;
        let pair = pair().await?;
        pair.client.write(b"before");
        let refused = sendfile(&pair.client, &file).fallback(false).await.unwrap_err();
        assert!(refused.to_string().contains("fallback is disabled"), "{refused}");
        let server = pair.server.clients().remove(0);
        server.pause_reading();
        let client = pair.client.clone();
        let sending = create_task(async move { sendfile(&client, &file).offset(10).await });
        iterations(2).await?;
        assert!(pair.client.try_write(b"x").unwrap_err().to_string().contains("in progress"));
        server.resume_reading();
        assert_eq!(sending.await?, 15_999_990);
        pair.client.write(b"after");
        let expected = [b"before", &data[10..], b"after"].concat();
        pair.theirs.until(|log| log.received().len() >= expected.len()).await?;
        assert!(pair.theirs.received() == expected);
        assert!(pair.client.is_reading());
        pair.client.close();
        pair.ours.lost().await?;
        Ok(std::fs::remove_file(&path)?)
    });
}

#[test]
fn handles_work_on_other_threads() {
    run(async {
        let pair = pair().await?;
        let client = pair.client.clone();
        asyncio_task::to_thread(move || {
            client.write(b"from another thread");
            client.close();
        })
        .await?;
        pair.theirs.lost().await?;
        assert_eq!(pair.theirs.received(), b"from another thread");
        Ok(())
    });
}
