//! Data that follows a short receive is not left unread.

use super::*;
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg, setsockopt, sockopt::PassCred};
use std::{
    io::IoSlice,
    os::fd::{AsRawFd, OwnedFd},
    process::Command,
};

/// A protocol with its own buffer, which is larger than the data.
struct Filled(Log, [u8; 100]);

impl BufferedProtocol for Filled {
    fn get_buffer(&mut self, _: &Transport) -> &mut [u8] {
        &mut self.1
    }

    fn buffer_updated(&mut self, _: &Transport, nbytes: usize) {
        self.0.add_data(&self.1[..nbytes]);
    }
}

async fn received(log: &Log, expected: &'static [u8]) -> Result<()> {
    log.until(|log| log.received().len() >= expected.len()).await?;
    assert_eq!(log.received(), expected);
    Ok(())
}

/// Creates a connection with a protocol of either kind.
fn connected(log: &Log, ours: impl Into<socket2::Socket>, buffered: bool) -> Transport {
    match buffered {
        true => connect(ours, Filled(log.clone(), [0; 100])),
        false => connect(ours, Recorder::new(log)),
    }
}

#[test]
fn what_lies_behind_urgent_data_is_received() {
    for buffered in [false, true] {
        run(async move {
            let log = Log::default();
            let (ours, theirs) = tcp_pair();
            let _transport = connected(&log, ours, buffered);
            iterations(5).await?;
            let mut theirs = socket2::Socket::from(theirs);
            theirs.write_all(b"abc")?;
            theirs.send_out_of_band(b"!")?;
            theirs.write_all(b"def")?;
            received(&log, b"abcdef").await
        });
    }
}

#[test]
fn what_lies_behind_a_message_with_descriptors_is_received() {
    for buffered in [false, true] {
        run(async move {
            let log = Log::default();
            let (ours, theirs) = UnixStream::pair()?;
            let _transport = connected(&log, ours, buffered);
            iterations(5).await?;
            let descriptors = [theirs.as_raw_fd()];
            for part in ["abc", "def", "ghi"] {
                let part = [IoSlice::new(part.as_bytes())];
                let rights = [ControlMessage::ScmRights(&descriptors)];
                sendmsg::<()>(theirs.as_raw_fd(), &part, &rights, MsgFlags::empty(), None)
                    .map_err(std::io::Error::from)?;
            }
            received(&log, b"abcdefghi").await
        });
    }
}

#[cfg(target_os = "linux")]
#[test]
fn what_another_process_wrote_is_received_though_credentials_are_passed() {
    for buffered in [false, true] {
        run(async move {
            let log = Log::default();
            let (ours, mut theirs) = UnixStream::pair()?;
            setsockopt(&ours, PassCred, &true).map_err(std::io::Error::from)?;
            let _transport = connected(&log, ours, buffered);
            iterations(5).await?;
            theirs.write_all(b"abc")?;
            let out = OwnedFd::from(theirs.try_clone()?);
            assert!(Command::new("printf").arg("def").stdout(out).status()?.success());
            received(&log, b"abcdef").await
        });
    }
}
