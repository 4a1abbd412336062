//! The messages that are logged; in a process of its own, because a process has one log.

use asyncio_core::{
    Result,
    log::{Level, set_logger},
};
use asyncio_loop::EventLoop;
use asyncio_sockets::{Domain, Socket, Type, getaddrinfo, sock_connect};
use std::{sync::Mutex, time::Duration};

static LOG: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Returns the messages about look-ups that were logged since.
fn logged() -> Vec<String> {
    let lines = std::mem::take(&mut *LOG.lock().unwrap());
    lines.into_iter().filter(|line| line.contains("address info")).collect()
}

#[test]
fn a_slow_look_up_is_logged_in_debug_mode() {
    set_logger(|level, text| {
        assert_eq!(level == Level::Info, text.starts_with("Getting address info"), "{text}");
        LOG.lock().unwrap().push(text.to_owned());
    });
    let event_loop = EventLoop::builder().debug(true).build().unwrap();
    let this = event_loop.clone();
    let outcome = event_loop.run_until_complete(async move {
        let look_up = || getaddrinfo("localhost", 80).family(Domain::IPV4).kind(Type::STREAM);
        this.set_slow_callback_duration(Duration::MAX);
        look_up().await?;
        assert_eq!(logged(), [""; 0]);

        this.set_slow_callback_duration(Duration::ZERO);
        look_up().await?;
        let lines = logged();
        let start = "Getting address info localhost:80, family=AF_INET, kind=1 took ";
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].starts_with(start), "{lines:?}");
        assert!(lines[0].ends_with("ms: [Address(127.0.0.1:80)]"), "{lines:?}");

        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        assert!(sock_connect(&socket, ("localhost", 1)).await.is_err());
        assert_eq!(logged().len(), 1);
        getaddrinfo("127.0.0.1", 80).kind(Type::STREAM).await?;
        assert_eq!(logged(), [""; 0], "nothing was looked up");

        this.set_debug(false);
        look_up().await?;
        assert_eq!(logged(), [""; 0]);
        Result::Ok(())
    });
    event_loop.close().unwrap();
    outcome.unwrap();
}
