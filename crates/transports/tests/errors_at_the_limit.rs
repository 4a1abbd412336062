//! Every error has the number of the system when too many files are open. Needs its own process.

use asyncio_core::{Error, Result};
use asyncio_sockets::{Address, Domain, Socket, Type, sock_accept};
use asyncio_transports::{
    DatagramProtocol, DatagramTransport, Protocol, Transport, create_connection,
    create_datagram_endpoint, create_server, create_unix_connection, create_unix_server,
};
use bytes::Bytes;
use nix::{
    libc::EMFILE,
    sys::resource::{Resource, getrlimit, setrlimit},
};
use std::{fs::File, net::TcpStream, os::fd::AsRawFd};

struct Idle;

impl Protocol for Idle {
    fn data_received(&mut self, _: &Transport, _: Bytes) {}
}

impl DatagramProtocol for Idle {
    fn datagram_received(&mut self, _: &DatagramTransport, _: Bytes, _: Address) {}
}

fn number<T>(outcome: Result<T>) -> Option<i32> {
    match outcome {
        Ok(_) => panic!("a descriptor was left"),
        Err(Error::Io(error)) => {
            assert!(!error.to_string().is_empty());
            error.raw_os_error()
        }
        Err(error) => panic!("no system error: {error:?}"),
    }
}

#[test]
fn every_error_has_the_number_of_the_system() {
    asyncio_loop::run(async {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        listener.bind(("127.0.0.1", 0))?;
        listener.listen(5)?;
        let address = listener.local_addr()?;
        let _client = TcpStream::connect(address.as_inet().unwrap())?;
        let (allowed, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
        let file = File::open("/dev/null")?;
        // All lower numbers are in use.
        setrlimit(Resource::RLIMIT_NOFILE, file.as_raw_fd() as u64 + 1, hard)?;
        let path = std::env::temp_dir().join("asyncio-no-descriptor-left");
        let numbers = [
            number(Socket::new(Domain::IPV4, Type::STREAM, None)),
            number(sock_accept(&listener).await),
            number(create_connection(|| Idle, &address).await),
            number(create_unix_connection(|| Idle, &*path).await),
            number(create_server(|| Idle, ("127.0.0.1", 0)).await),
            number(create_unix_server(|| Idle, &*path).await),
            number(create_datagram_endpoint(|| Idle).local_addr(("127.0.0.1", 0)).await),
            number(asyncio_sockets::sock_sendfile(&listener, &file).await),
        ];
        setrlimit(Resource::RLIMIT_NOFILE, allowed, hard)?;
        assert_eq!(numbers, [Some(EMFILE); 8]);
        Ok(())
    })
    .unwrap();
}
