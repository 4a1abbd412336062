//! The servers. Each does what a user of its library would write.

use super::certificate;
use crate::echo::servers::{BUFFER, Echo, echo};
use asyncio::ssl::{Purpose, SslContext, create_default_context};
use std::{io, net::TcpListener, sync::Arc};
use tokio_rustls::rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

fn context() -> asyncio::Result<SslContext> {
    let pem = certificate();
    let mut context = create_default_context(Purpose::ClientAuth);
    context.load_cert_chain_pem(pem.as_bytes(), pem.as_bytes())?;
    Ok(context)
}

pub(super) fn transports(listener: TcpListener) -> io::Result<()> {
    let outcome = asyncio::run(async {
        let listener = asyncio::socket::Socket::try_from(listener)?;
        let server = asyncio::create_server(|| Echo, listener).ssl(context()?).await?;
        server.serve_forever().await
    });
    outcome.map_err(io::Error::other)
}

pub(super) fn streams(listener: TcpListener) -> io::Result<()> {
    let outcome = asyncio::run(async {
        let listener = asyncio::socket::Socket::try_from(listener)?;
        asyncio::start_server(echo, listener).ssl(context()?).await?.serve_forever().await
    });
    outcome.map_err(io::Error::other)
}

pub(super) fn tokio(listener: TcpListener) -> io::Result<()> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let pem = certificate();
    let provider = Arc::new(ring::default_provider());
    let chain = vec![CertificateDer::from_pem_slice(pem.as_bytes()).map_err(io::Error::other)?];
    let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(io::Error::other)?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(io::Error::other)?;
    // As ours.
    config.ticketer = ring::Ticketer::new().map_err(io::Error::other)?;
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::LocalRuntime::new()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let acceptor = acceptor.clone();
            tokio::task::spawn_local(async move {
                let mut stream = acceptor.accept(stream).await?;
                let mut buffer = vec![0; BUFFER];
                loop {
                    match stream.read(&mut buffer).await {
                        Ok(received) if received > 0 => {
                            stream.write_all(&buffer[..received]).await?;
                            stream.flush().await?;
                        }
                        Ok(_) => return stream.shutdown().await,
                        Err(error) => return Err(error),
                    }
                }
            });
        }
    })
}
