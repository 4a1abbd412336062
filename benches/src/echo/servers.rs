//! The servers. Each is written as a user of its library would write it.

use asyncio::{Protocol, StreamReader, StreamWriter, Transport};
use bytes::Bytes;
use nix::{
    errno::Errno,
    sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
};
use std::{
    collections::HashMap,
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
    os::fd::AsRawFd,
};

/// The size of the buffer into which a connection of tokio or smol reads, and of the largest read of ours.
pub(crate) const BUFFER: usize = 16 * 1024;

/// One wait for each batch of requests, and one receive and one send for each request: the minimum.
pub(super) fn by_hand(listener: TcpListener) -> io::Result<()> {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    let readable = EpollFlags::EPOLLIN;
    listener.set_nonblocking(true)?;
    epoll.add(&listener, EpollEvent::new(readable, listener.as_raw_fd() as u64))?;
    let mut streams: HashMap<u64, TcpStream> = HashMap::new();
    let mut events = vec![EpollEvent::empty(); 1024];
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = match epoll.wait(&mut events, EpollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            outcome => outcome?,
        };
        for event in &events[..count] {
            let Some(stream) = streams.get_mut(&event.data()) else {
                while let Ok((stream, _)) = listener.accept() {
                    stream.set_nodelay(true)?;
                    stream.set_nonblocking(true)?;
                    let number = stream.as_raw_fd() as u64;
                    epoll.add(&stream, EpollEvent::new(readable, number))?;
                    streams.insert(number, stream);
                }
                continue;
            };
            match stream.read(&mut buffer) {
                Ok(received) if received > 0 => write_whole(stream, &buffer[..received])?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                _ => drop(streams.remove(&event.data())),
            }
        }
    }
}

/// The load reads every answer, so this does not wait for long.
fn write_whole(stream: &mut TcpStream, mut data: &[u8]) -> io::Result<()> {
    while !data.is_empty() {
        match stream.write(data) {
            Ok(sent) => data = &data[sent..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

pub(crate) struct Echo;

impl Protocol for Echo {
    fn data_received(&mut self, transport: &Transport, data: Bytes) {
        transport.write(&data);
    }
}

pub(super) fn transports(listener: TcpListener) -> io::Result<()> {
    let outcome = asyncio::run(async {
        let listener = asyncio::socket::Socket::try_from(listener)?;
        asyncio::create_server(|| Echo, listener).await?.serve_forever().await
    });
    outcome.map_err(io::Error::other)
}

pub(crate) async fn echo(mut reader: StreamReader, writer: StreamWriter) -> asyncio::Result<()> {
    loop {
        let data = reader.read(BUFFER).await?;
        if data.is_empty() {
            return Ok(());
        }
        writer.write(&data);
        writer.drain().await?;
    }
}

pub(super) fn streams(listener: TcpListener) -> io::Result<()> {
    let outcome = asyncio::run(async {
        let listener = asyncio::socket::Socket::try_from(listener)?;
        asyncio::start_server(echo, listener).await?.serve_forever().await
    });
    outcome.map_err(io::Error::other)
}

pub(super) fn tokio(listener: TcpListener) -> io::Result<()> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::LocalRuntime::new()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        loop {
            let (mut stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::task::spawn_local(async move {
                let mut buffer = vec![0; BUFFER];
                loop {
                    match stream.read(&mut buffer).await {
                        Ok(received) if received > 0 => {
                            stream.write_all(&buffer[..received]).await?;
                        }
                        outcome => return outcome.map(drop),
                    }
                }
            });
        }
    })
}

pub(super) fn smol(listener: TcpListener) -> io::Result<()> {
    use smol::io::{AsyncReadExt, AsyncWriteExt};
    let executor = smol::LocalExecutor::new();
    smol::block_on(executor.run(async {
        let listener = smol::Async::new(listener)?;
        loop {
            let (mut stream, _) = listener.accept().await?;
            stream.get_ref().set_nodelay(true)?;
            let echo = async move {
                let mut buffer = vec![0; BUFFER];
                loop {
                    match stream.read(&mut buffer).await {
                        Ok(received) if received > 0 => {
                            stream.write_all(&buffer[..received]).await?;
                        }
                        outcome => return outcome.map(drop),
                    }
                }
            };
            executor.spawn(echo).detach();
        }
    }))
}
