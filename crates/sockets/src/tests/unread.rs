//! Data that follows a short receive is not left unread.

use super::*;
use asyncio_core::AsyncContextManager;
use asyncio_task::timeout;
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg, setsockopt, sockopt::PassCred};
use std::{io::IoSlice, os::fd::AsRawFd, process::Command};

/// A test takes longer only if it hangs.
const GUARD: Duration = Duration::from_secs(30);

/// Receives `count` bytes in any number of pieces. `send` is called while the first receive waits, so
/// the socket is registered by then.
async fn receive(
    socket: &Rc<Socket>,
    count: usize,
    send: impl FnOnce() -> Result<()>,
) -> Result<Vec<u8>> {
    let socket = socket.clone();
    let task = create_task(async move {
        timeout(GUARD)
            .with(async |_| {
                let mut all = Vec::new();
                while all.len() < count {
                    let mut buffer = [0; 100];
                    match all.len() % 2 {
                        0 => all.extend_from_slice(&sock_recv(&socket, 100).await?),
                        _ => {
                            let length = sock_recv_into(&socket, &mut buffer).await?;
                            all.extend_from_slice(&buffer[..length]);
                        }
                    }
                }
                Ok(all)
            })
            .await
    });
    settle().await?;
    send()?;
    task.await
}

#[test]
fn what_lies_behind_urgent_data_is_received() {
    run(async {
        let (one, other) = connection().await?;
        for _ in 0..3 {
            let received = receive(&one, 6, || {
                other.get_ref().send(b"abc")?;
                other.get_ref().send_out_of_band(b"!")?;
                other.get_ref().send(b"def")?;
                Ok(())
            });
            assert_eq!(received.await?, b"abcdef");
        }
        Ok(())
    });
}

#[test]
fn what_lies_behind_a_message_with_descriptors_is_received() {
    run(async {
        let (one, other) = pair();
        let file = std::fs::File::open("/dev/null")?;
        let received = receive(&one, 9, || {
            let descriptors = [file.as_raw_fd()];
            for part in ["abc", "def", "ghi"] {
                let part = [IoSlice::new(part.as_bytes())];
                let rights = [ControlMessage::ScmRights(&descriptors)];
                sendmsg::<()>(other.as_raw_fd(), &part, &rights, MsgFlags::empty(), None)
                    .map_err(io::Error::from)?;
            }
            Ok(())
        });
        assert_eq!(received.await?, b"abcdefghi");
        Ok(())
    });
}

#[cfg(target_os = "linux")]
#[test]
fn what_another_process_wrote_is_received_though_credentials_are_passed() {
    run(async {
        let (one, other) = pair();
        setsockopt(&*one, PassCred, &true).map_err(io::Error::from)?;
        let received = receive(&one, 6, || {
            other.get_ref().send(b"abc")?;
            let out = OwnedFd::from(other.get_ref().try_clone()?);
            let status = Command::new("printf").arg("def").stdout(out).status()?;
            assert!(status.success());
            Ok(())
        });
        assert_eq!(received.await?, b"abcdef");
        Ok(())
    });
}

#[test]
fn what_a_unix_socket_took_only_in_part_is_sent_to_the_end() {
    run(async {
        let (one, other) = pair();
        one.get_ref().set_send_buffer_size(4096)?;
        let data: Vec<u8> = (0..1 << 20).map(|n: u32| n as u8).collect();
        let expected = data.clone();
        let task = create_task(async move {
            timeout(GUARD).with(async |_| sock_sendall(&one, &data).await).await
        });
        let received = receive(&other, expected.len(), || Ok(())).await?;
        task.await?;
        assert!(received == expected);
        Ok(())
    });
}
