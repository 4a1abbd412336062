//! `getaddrinfo` and `getnameinfo`.

use super::*;
use crate::question::{Hints, Question};

fn texts(found: &[AddrInfo]) -> Vec<String> {
    found.iter().map(|info| info.address.to_string()).collect()
}

#[test]
fn a_name_has_addresses_for_each_kind_of_socket() {
    run(async {
        let found = getaddrinfo("localhost", 80).family(Domain::IPV4).await?;
        assert!(found.iter().all(|info| info.address.to_string() == "127.0.0.1:80"), "{found:?}");
        let stream = found.iter().find(|info| info.kind == Type::STREAM).unwrap();
        assert_eq!((stream.family, stream.protocol), (Domain::IPV4, Some(Protocol::TCP)));
        assert_eq!(stream.canonical_name, None);
        assert!(found.iter().any(|info| info.protocol == Some(Protocol::UDP)));
        let udp = getaddrinfo("localhost", 80).family(Domain::IPV4).protocol(Protocol::UDP).await?;
        assert!(udp.iter().all(|info| info.kind == Type::DGRAM), "{udp:?}");
        Ok(())
    });
}

#[test]
fn what_the_short_cut_answers_is_what_the_system_answers() {
    for (host, kind, flags) in [
        ("127.0.0.1", Type::STREAM, 0),
        ("127.0.0.1", Type::DGRAM, AI_PASSIVE),
        ("::1", Type::STREAM, 0),
        ("", Type::STREAM, 0),
        ("", Type::STREAM, AI_PASSIVE),
    ] {
        for family in [Domain::IPV4, Domain::IPV6] {
            let hints = Hints { family: Some(family), kind: Some(kind), protocol: None, flags };
            let question = Question::new(host.to_owned(), 80.into(), hints).unwrap();
            match question.answer_at_once() {
                Some(known) => assert_eq!([hints.entry(known.into())], *question.ask().unwrap()),
                None => assert!(question.ask().is_err(), "{question}"),
            }
        }
    }
}

#[test]
fn no_host_is_this_machine_and_passive_every_interface() {
    run(async {
        let found = texts(&getaddrinfo(None, 80).kind(Type::STREAM).await?);
        assert!(found.contains(&"127.0.0.1:80".to_owned()), "{found:?}");
        let found = texts(&getaddrinfo("", 80).kind(Type::STREAM).flags(AI_PASSIVE).await?);
        assert!(found.contains(&"0.0.0.0:80".to_owned()), "{found:?}");
        Ok(())
    });
}

#[test]
fn services_and_canonical_names_are_looked_up() {
    run(async {
        let found = getaddrinfo(String::from("127.0.0.1"), "http").kind(Type::STREAM).await?;
        assert_eq!(texts(&found), ["127.0.0.1:80"]);
        let found = getaddrinfo("127.0.0.1", 0).kind(Type::STREAM).flags(AI_CANONNAME).await?;
        assert_eq!(found[0].canonical_name.as_deref(), Some("127.0.0.1"));
        Ok(())
    });
}

#[test]
fn what_cannot_be_found_is_an_error_that_names_the_function_and_the_host() {
    run(async {
        let error = getaddrinfo("name.invalid", 80).flags(AI_NUMERICHOST).await.unwrap_err();
        assert!(error.to_string().starts_with("getaddrinfo: name.invalid:80: "), "{error}");
        assert_eq!(kind(Err::<(), _>(error)), io::ErrorKind::NotFound);
        let error = getaddrinfo("127.0.0.1", "no-such-service").await.unwrap_err();
        let text = "getaddrinfo: 127.0.0.1:no-such-service: ";
        assert!(error.to_string().starts_with(text), "{error}");
        let error = getaddrinfo("127.0.0.1", "65536").kind(Type::STREAM).await.unwrap_err();
        assert_eq!(error.kind(), "ValueError");
        assert_eq!(error.to_string(), "getaddrinfo: port must be 0-65535, not 65536");
        let error = getaddrinfo("a\0b", 1).await.unwrap_err();
        assert_eq!(error.to_string(), "getaddrinfo: a host name has no null bytes");
        let error = ensure_resolved(([127, 0, 0, 1], 80)).family(Domain::IPV6).await.unwrap_err();
        let text = "ensure_resolved: 127.0.0.1:80 is not of the family AF_INET6";
        assert_eq!(error.to_string(), text);
        Ok(())
    });
}

#[test]
fn what_is_an_address_is_resolved_as_it_is() {
    run(async {
        let found = ensure_resolved("/tmp/socket").family(Domain::UNIX).await?;
        assert_eq!(found[0].address.as_path(), Some(std::path::Path::new("/tmp/socket")));
        assert_eq!((found[0].family, found[0].protocol), (Domain::UNIX, None));
        let found = ensure_resolved(SocketAddr::from(([0; 16], 1))).kind(Type::DGRAM).await?;
        assert_eq!((found[0].family, found[0].kind), (Domain::IPV6, Type::DGRAM));
        assert_eq!(found[0].protocol, Some(Protocol::UDP));
        Ok(())
    });
}

#[test]
fn an_address_has_a_name_and_its_port_too() {
    run(async {
        let local = ("127.0.0.1", 80);
        assert_eq!(getnameinfo(local).await?, ("localhost".to_owned(), "http".to_owned()));
        let digits = getnameinfo(local).flags(NI_NUMERICHOST | NI_NUMERICSERV).await?;
        assert_eq!(digits, ("127.0.0.1".to_owned(), "80".to_owned()));
        let error = getnameinfo(Address::from_path("/tmp/x")?).await.unwrap_err();
        assert_eq!(error.to_string(), "getnameinfo: Address(/tmp/x) is not an IP address");
        // As in Python, names are not looked up.
        let error = getnameinfo(("localhost", 80)).await.unwrap_err();
        assert_eq!(error.to_string(), "getnameinfo: localhost:80 is not an IP address");
        assert_eq!(getnameinfo("[::1]:80").flags(NI_NUMERICHOST).await?.0, "::1");
        Ok(())
    });
}

#[test]
fn an_address_without_a_name_is_an_error_if_it_has_to_have_one() {
    run(async {
        // Digits are not a name, and need no name server.
        let flags = NI_NAMEREQD | NI_NUMERICHOST;
        let error = getnameinfo(([192, 0, 2, 1], 80)).flags(flags).await.unwrap_err();
        assert!(error.to_string().starts_with("getnameinfo: 192.0.2.1:80: "), "{error}");
        Ok(())
    });
}

#[test]
fn a_look_up_that_is_cancelled_before_a_thread_has_it_is_not_asked() {
    use std::sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    };
    run(async {
        let (release, held) = mpsc::channel::<()>();
        let held = Arc::new(std::sync::Mutex::new(held));
        let event_loop = get_running_loop()?;
        let pool = asyncio_loop::ThreadPoolExecutor::builder().max_workers(1).build()?;
        event_loop.set_default_executor(pool);
        let blocking = {
            let held = held.clone();
            asyncio_task::to_thread(move || held.lock().unwrap().recv())
        };
        let blocking = create_task(blocking);
        settle().await?;
        let asked = Arc::new(AtomicBool::new(false));
        let flag = asked.clone();
        let site = asyncio_core::wait_site::WaitSite::here(&"test");
        let lookup = create_task(crate::lookup::Lookup::new(site, move || {
            flag.store(true, Ordering::SeqCst);
            Ok(())
        }));
        settle().await?;
        lookup.cancel();
        assert!(is_cancelled(lookup.await));
        release.send(()).unwrap();
        blocking.await?.unwrap();
        asyncio_task::to_thread(|| ()).await?;
        assert!(!asked.load(Ordering::SeqCst));
        Ok(())
    });
}

#[test]
fn a_look_up_suspends_even_if_the_thread_is_quick() {
    run(async {
        let site = asyncio_core::wait_site::WaitSite::here(&"test");
        for _ in 0..20_000 {
            let mut quick = crate::lookup::Lookup::new(site, || Ok(()));
            let polled = std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut quick).poll(cx)));
            assert!(polled.await.is_pending());
        }
        Ok(())
    });
}

#[test]
fn without_a_loop_there_are_literals_but_no_names_zones_and_services() {
    let mut cx = Context::from_waker(std::task::Waker::noop());
    let mut poll = |host: &str, port: &str| {
        let mut lookup = getaddrinfo(host, port).kind(Type::STREAM);
        let Poll::Ready(outcome) = Pin::new(&mut lookup).poll(&mut cx) else {
            panic!("it waits without a loop");
        };
        outcome.map(|found| texts(&found)).map_err(|error| error.to_string())
    };
    assert_eq!(poll("::1", "80").unwrap(), ["[::1]:80"]);
    for (host, port) in [("127.0.0.1", "ssh"), ("::1%lo", "80"), ("localhost", "80")] {
        assert_eq!(poll(host, port).unwrap_err(), "getaddrinfo: no running event loop");
    }
}

#[test]
fn a_path_with_a_null_byte_inside_is_refused_everywhere() {
    run(async {
        let path = "/tmp/asyncio\0never";
        let error = Address::from_path(path).unwrap_err();
        assert_eq!(error.kind(), "ValueError");
        assert_eq!(
            error.to_string(),
            "the path of a Unix socket has an embedded null byte: \"/tmp/asyncio\\0never\"; use a path \
             without it"
        );
        assert!(Address::from_path("/tmp/asyncio\0").is_err(), "nor at the end");
        assert!(Address::from_path("").is_ok());
        let made_elsewhere = Address::from(socket2::SockAddr::unix(path)?);
        let stream = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        let datagram = Socket::new(Domain::UNIX, Type::DGRAM, None)?;
        for outcome in [
            stream.bind(path),
            stream.bind(&made_elsewhere),
            sock_connect(&stream, path).await,
            sock_connect(&stream, &made_elsewhere).await,
            sock_sendto(&datagram, b"x", path).await.map(drop),
            ensure_resolved(path).family(Domain::UNIX).await.map(drop),
        ] {
            assert_eq!(outcome.unwrap_err().kind(), "ValueError");
        }
        assert_eq!(Address::from_path("\0a\0b").is_ok(), cfg!(target_os = "linux"));
        Ok(())
    });
}
