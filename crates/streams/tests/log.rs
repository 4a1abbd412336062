//! The messages that are logged; in a process of its own, because a process has one log.

use asyncio_core::{
    Result,
    log::{Level, set_logger},
};
use asyncio_loop::EventLoop;
use asyncio_streams::open_unix_connection;
use std::{os::unix::net::UnixStream, sync::Mutex};

static LOG: Mutex<Vec<(Level, String)>> = Mutex::new(Vec::new());

/// Returns the messages about unclosed objects that were logged since.
fn logged() -> Vec<String> {
    let lines = std::mem::take(&mut *LOG.lock().unwrap());
    let unclosed = lines.into_iter().filter(|(_, line)| line.starts_with("unclosed"));
    unclosed.map(|(level, line)| format!("{level:?}: {line}")).collect()
}

async fn writer() -> Result<asyncio_streams::StreamWriter> {
    let (ours, _theirs) = UnixStream::pair()?;
    let socket = asyncio_sockets::Socket::from_fd(ours)?;
    Ok(open_unix_connection(socket).await?.1)
}

#[test]
fn a_writer_that_is_dropped_unclosed_is_logged_in_debug_mode() {
    set_logger(|level, text| LOG.lock().unwrap().push((level, text.to_owned())));
    let event_loop = EventLoop::builder().debug(true).build().unwrap();
    let this = event_loop.clone();
    let outcome = event_loop.run_until_complete(async move {
        let unclosed = writer().await?;
        let text = format!("Warning: unclosed {unclosed:?}");
        assert!(text.contains("<StreamWriter transport="), "{text}");
        drop(unclosed);
        assert_eq!(logged(), [text]);

        let closed = writer().await?;
        closed.close();
        drop(closed);
        assert_eq!(logged(), [""; 0]);

        this.set_debug(false);
        drop(writer().await?);
        assert_eq!(logged(), [""; 0]);
        Result::Ok(())
    });
    event_loop.close().unwrap();
    outcome.unwrap();
}
