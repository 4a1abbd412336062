//! Texts and bytes as addresses. An accepted address is the one that was written, and the system returns it unchanged.
//! Everything else is an error.
#![no_main]

use asyncio::{
    Address, EventLoop, Result, ToEndpoint, getaddrinfo,
    socket::{AI_NUMERICHOST, AI_NUMERICSERV, Domain, Service, Socket, Type},
};
use std::{
    ffi::OsStr,
    net::{IpAddr, SocketAddr},
    os::unix::ffi::OsStrExt,
    path::Path,
};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    path(data);
    if let Ok(text) = std::str::from_utf8(data) {
        endpoint(text);
        if let Some((host, service)) = text.split_once('\n') {
            put_together(host, service);
            numbers(host, service);
        }
    }
});

/// A path of a Unix socket.
fn path(data: &[u8]) {
    let path = Path::new(OsStr::from_bytes(data));
    let (is_abstract, has_null) = (data.first() == Some(&0), data.contains(&0));
    match Address::from_path(path) {
        Err(asyncio::Error::Value(_)) => assert!(has_null && !is_abstract),
        Err(error) => assert!(data.len() > 100, "{error}"),
        Ok(address) if is_abstract => {
            let socket = Socket::new(Domain::UNIX, Type::DGRAM, None).expect("a socket");
            // Another process may use that name.
            if socket.bind(&address).is_ok() {
                assert_eq!(socket.local_addr().expect("it is bound"), address);
                assert_eq!(address.as_path(), None);
            }
        }
        Ok(address) => {
            assert!(!has_null && data.len() <= 108);
            assert_eq!(address.as_path(), (!data.is_empty()).then_some(path));
            assert_eq!(address.to_string(), path.display().to_string());
        }
    }
}

/// A text for `host:port`.
fn endpoint(text: &str) {
    let host = text.to_endpoint().host();
    match (text.parse::<SocketAddr>(), host) {
        (Ok(address), host) => {
            assert_eq!(host, Some(address.ip().to_string()));
            let address = Address::from(address);
            assert_eq!(
                address.as_inet().map(|a| a.to_string()),
                text.parse().ok().map(|a: SocketAddr| a.to_string())
            );
        }
        (Err(_), Some(host)) => {
            // Only the port and the brackets are left out.
            let port = text.rsplit_once(':').map(|(_, port)| port).expect("a colon");
            assert!(port.parse::<u16>().is_ok(), "{port:?}");
            assert!(text == format!("{host}:{port}") || text == format!("[{host}]:{port}"));
        }
        (Err(_), None) => {}
    }
}

/// A host and a port are formatted as a text that parses to the same host and port.
fn put_together(host: &str, service: &str) {
    let Ok(port) = service.parse::<u16>() else { return };
    if host.is_empty() || host.contains(['[', ']', ':']) || host.parse::<IpAddr>().is_ok() {
        return;
    }
    assert_eq!(format!("{host}:{port}").to_endpoint().host().as_deref(), Some(host));
    assert_eq!(format!("[{host}]:{port}").to_endpoint().host().as_deref(), Some(host));
    assert_eq!((host, port).to_endpoint().host().as_deref(), Some(host));
}

thread_local! {
    static LOOP: EventLoop = EventLoop::builder().build().expect("a loop");
}

/// Numeric hosts and ports, which need no name server.
fn numbers(host: &str, service: &str) {
    let (asked, port) = (host.to_owned(), Service::from(service));
    let outcome: Result<_> = LOOP.with(|event_loop| {
        event_loop.run_until_complete(async move {
            let asking = getaddrinfo(&*asked, port).kind(Type::STREAM);
            asking.flags(AI_NUMERICHOST | AI_NUMERICSERV).await
        })
    });
    let expected = match Service::from(service) {
        Service::Port(port) => port,
        // The system permits white space and a sign in front of a number. Other names are services that it knows.
        Service::Name(name) => {
            let Ok(port) = name.trim_start().trim_start_matches('+').parse() else { return };
            port
        }
    };
    match (host.parse::<IpAddr>(), outcome) {
        (Ok(ip), Ok(found)) => {
            let found: Vec<_> = found.iter().filter_map(|info| info.address.as_inet()).collect();
            assert_eq!(found, [SocketAddr::new(ip, expected)]);
        }
        (Err(_), Ok(found)) => {
            assert!(!found.is_empty());
            assert!(
                found.iter().all(|i| i.address.as_inet().is_some_and(|a| a.port() == expected))
            );
        }
        (ip, Err(error)) => {
            let is_number = ip.is_ok() && service.parse::<u16>().is_ok();
            assert!(!is_number, "a number is its own address: {error}");
        }
    }
}
