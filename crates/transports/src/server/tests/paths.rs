//! Servers for Unix sockets.

use super::*;
use crate::create_unix_connection;
use std::{
    fs,
    os::unix::net::{UnixListener, UnixStream},
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
};

/// A unique path, which is removed when this is dropped.
struct Place(PathBuf);

impl Place {
    fn new() -> Place {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("asyncio-server-{}-{number}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        fs::create_dir(&dir).unwrap();
        Place(dir)
    }

    fn path(&self) -> PathBuf {
        self.0.join("socket")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn recorder() -> Recorder {
    Recorder::default()
}

#[test]
fn a_path_is_served_and_removed_in_the_end() {
    run(async {
        let place = Place::new();
        let log = Log::default();
        let seen = log.clone();
        let factory = move || {
            Recorder::new(&seen).on("data", |transport: &Transport| {
                assert!(transport.get_extra_info(SOCKNAME).is_some());
                transport.write(b"pong");
                transport.close();
            })
        };
        let server = create_unix_server(factory, place.path()).backlog(5).await?;
        assert_eq!(server.local_addr().as_path(), Some(&*place.path()));
        let mut client = UnixStream::connect(place.path()).unwrap();
        client.set_read_timeout(Some(GUARD)).unwrap();
        client.write_all(b"ping").unwrap();
        log.lost().await?;
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "pong");
        server.close();
        assert!(!place.path().exists());
        server.wait_closed().await
    });
}

#[test]
fn a_socket_left_behind_is_replaced() {
    run(async {
        let place = Place::new();
        drop(UnixListener::bind(place.path()).unwrap());
        assert!(place.path().exists());
        let server = create_unix_server(recorder, place.path()).start_serving(false).await?;
        assert!(UnixStream::connect(place.path()).is_err());
        server.start_serving().await?;
        assert!(UnixStream::connect(place.path()).is_ok());
        server.close();
        Ok(())
    });
}

#[test]
fn another_file_is_not_replaced_and_named_in_the_error() {
    run(async {
        let place = Place::new();
        fs::write(place.path(), "precious").unwrap();
        let error = create_unix_server(recorder, place.path()).await.unwrap_err();
        let path = place.path();
        let expected = format!("create_unix_server: Address {} is already in use", path.display());
        assert_eq!(error.to_string(), expected);
        assert_eq!(errno(&error), Some(libc::EADDRINUSE));
        assert_eq!(error.downcast::<std::io::Error>().unwrap().kind(), ErrorKind::AddrInUse);
        assert_eq!(fs::read_to_string(path).unwrap(), "precious");
        Ok(())
    });
}

#[test]
fn without_a_loop_no_socket_is_replaced() {
    let place = Place::new();
    let _listener = UnixListener::bind(place.path()).unwrap();
    let creating = create_unix_server(recorder, place.path()).into_future();
    let error = futures_lite::future::block_on(creating).unwrap_err();
    assert_eq!(error.to_string(), "create_unix_server: no running event loop");
    UnixStream::connect(place.path()).unwrap();
}

#[test]
fn a_path_that_became_another_socket_is_kept() {
    run(async {
        let place = Place::new();
        let server = create_unix_server(recorder, place.path()).await?;
        let aside = place.0.join("aside");
        let other = UnixListener::bind(&aside).unwrap();
        fs::rename(aside, place.path()).unwrap();
        server.close();
        assert!(place.path().exists());
        drop(other);
        Ok(())
    });
}

#[test]
fn a_path_that_is_gone_is_no_error() {
    run(async {
        let place = Place::new();
        let server = create_unix_server(recorder, place.path()).await?;
        fs::remove_file(place.path()).unwrap();
        server.close();
        server.wait_closed().await
    });
}

#[test]
fn a_path_may_be_kept() {
    run(async {
        let place = Place::new();
        let creating = create_unix_server(recorder, place.path()).cleanup_socket(false);
        let server = creating.await?;
        server.close();
        assert!(place.path().exists());
        Ok(())
    });
}

#[test]
fn with_the_loop_the_path_goes_too() {
    let place = Place::new();
    let path = place.path();
    run(async {
        create_unix_server(recorder, path).await?;
        Ok(())
    });
    assert!(!place.path().exists());
}

#[test]
fn a_socket_may_be_given() {
    run(async {
        let place = Place::new();
        for cleanup in [None, Some(false), Some(true)] {
            let _ = fs::remove_file(place.path());
            let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
            socket.bind(place.path())?;
            let mut creating = create_unix_server(recorder, socket);
            if let Some(cleanup) = cleanup {
                creating = creating.cleanup_socket(cleanup);
            }
            let server = creating.await?;
            assert!(UnixStream::connect(place.path()).is_ok());
            server.close();
            // Another process may still listen on it.
            assert_eq!(place.path().exists(), cleanup != Some(true));
        }
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        let outcome = create_unix_server(recorder, socket).await;
        assert!(text(outcome).starts_with("create_unix_server: a Unix socket was expected"));
        let socket = Socket::new(Domain::UNIX, Type::DGRAM, None)?;
        let outcome = create_unix_server(recorder, socket).await;
        assert!(text(outcome).starts_with("create_unix_server: a stream socket was expected"));
        Ok(())
    });
}

#[test]
#[cfg(target_os = "linux")]
fn an_abstract_name_is_no_path() {
    use std::os::{linux::net::SocketAddrExt, unix::net::SocketAddr};
    run(async {
        let name = format!("asyncio-server-{}", std::process::id());
        let server = create_unix_server(recorder, format!("\0{name}")).await?;
        assert_eq!(server.local_addr().to_string(), format!("@{name}"));
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        assert!(UnixStream::connect_addr(&address).is_ok());
        server.close();
        assert!(UnixStream::connect_addr(&address).is_err());
        Ok(())
    });
}

#[test]
fn a_path_that_is_too_long_is_an_error() {
    run(async {
        let outcome = create_unix_server(recorder, "x".repeat(300)).await;
        let text = text(outcome);
        assert!(text.starts_with("create_unix_server: "), "{text}");
        let outcome = create_unix_server(recorder, "/nonexistent/socket").await;
        let text = super::text(outcome);
        assert!(text.starts_with("create_unix_server: /nonexistent/socket: "), "{text}");
        Ok(())
    });
}

#[test]
fn a_path_with_a_null_byte_inside_is_refused_and_no_other_is_bound() {
    run(async {
        let place = Place::new();
        let text = format!("{}/a\0b", place.0.display());
        for outcome in [
            create_unix_server(recorder, &*text).await,
            create_unix_server(recorder, PathBuf::from(&text)).await,
            create_unix_server(recorder, Address::from(socket2::SockAddr::unix(&text)?)).await,
        ] {
            let error = outcome.unwrap_err();
            assert_eq!(error.kind(), "ValueError");
            let beginning =
                "create_unix_server: the path of a Unix socket has an embedded null byte";
            assert!(error.to_string().starts_with(beginning), "{error}");
        }
        let error = create_unix_connection(recorder, &*text).await.map(drop).unwrap_err();
        assert_eq!(error.kind(), "ValueError");
        assert_eq!(fs::read_dir(&place.0)?.count(), 0, "nothing is left behind");
        Ok(())
    });
}

#[cfg(target_os = "linux")]
#[test]
fn an_abstract_name_may_have_null_bytes_anywhere() {
    run(async {
        let name = format!("\0asyncio-{}\0name", std::process::id());
        let server = create_unix_server(recorder, &*name).await?;
        let listening = server.local_addr();
        assert_eq!(listening.as_sock_addr().as_abstract_namespace(), Some(&name.as_bytes()[1..]));
        create_unix_connection(recorder, &*name).await?.0.close();
        server.close();
        Ok(())
    });
}

#[test]
fn an_empty_path_is_refused() {
    run(async {
        for outcome in [
            create_unix_server(recorder, "").await,
            create_unix_server(recorder, PathBuf::new()).await,
        ] {
            let error = outcome.unwrap_err();
            assert_eq!(error.kind(), "ValueError");
            let beginning = "create_unix_server: the path is empty";
            assert!(error.to_string().starts_with(beginning), "{error}");
        }
        Ok(())
    });
}

/// This is how to listen at a name that the system chooses.
#[cfg(target_os = "linux")]
#[test]
fn a_name_that_the_system_chose_is_told() {
    run(async {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.bind("")?;
        let server = create_unix_server(recorder, socket).await?;
        create_unix_connection(recorder, server.local_addr()).await?.0.close();
        server.close();
        Ok(())
    });
}
