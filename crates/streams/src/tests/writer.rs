//! Writers of real sockets: sending, and the end of the connection.

use super::*;
use asyncio_transports::{ExtraInfo, PEERNAME, SOCKNAME};
use futures_lite::future::poll_once;
use std::{io::ErrorKind, sync::Arc};

const MUCH: usize = 4 << 20;

/// Writes until the transport says that it is too much.
fn fill(writer: &StreamWriter) -> usize {
    let mut filled = 0;
    while !writer.shared().lock().writing.paused {
        writer.write([b'.'; 10_000]);
        filled += 10_000;
    }
    filled
}

fn drainers(writer: &StreamWriter) -> usize {
    writer.shared().lock().writing.drainers.len()
}

#[test]
fn a_drain_does_not_suspend_below_the_high_water_mark() {
    run(async {
        let (_reader, writer, _peer) = pair().await?;
        writer.write(b"little");
        assert!(poll_once(writer.drain()).await.unwrap().is_ok());
        fill(&writer);
        assert!(poll_once(writer.drain()).await.is_none());
        Ok(())
    });
}

#[test]
fn a_drain_of_what_is_closing_suspends_once() {
    run(async {
        let (_reader, writer, _peer) = pair().await?;
        // Data is left to be sent, so the connection has not ended yet.
        fill(&writer);
        writer.transport().set_write_buffer_limits(Some(1 << 30), None)?;
        writer.close();
        let began = Rc::new(std::cell::Cell::new(0));
        let ticks = began.clone();
        let ticking = create_task(async move {
            loop {
                ticks.set(ticks.get() + 1);
                iterations(1).await?;
            }
            #[allow(unreachable_code)]
            Ok(())
        });
        iterations(1).await?;
        let before = began.get();
        writer.drain().await?;
        assert_eq!(began.get(), before + 1);
        ticking.cancel();
        Ok(())
    });
}

#[test]
fn several_tasks_drain_at_once_and_all_go_on() {
    run(async {
        let (_reader, writer, peer) = pair().await?;
        let filled = fill(&writer);
        let writer = Rc::new(writer);
        let drains: Vec<_> = (0..10)
            .map(|_| {
                let writer = writer.clone();
                create_task(async move { writer.drain().await })
            })
            .collect();
        iterations(1).await?;
        assert_eq!(drainers(&writer), 10);
        let reading = read_rest(peer);
        asyncio_task::gather(drains).await?;
        assert_eq!(drainers(&writer), 0);
        writer.close();
        assert_eq!(join(reading).await?.len(), filled);
        Ok(())
    });
}

#[test]
fn drains_go_on_in_the_order_in_which_they_came() {
    run(async {
        let (_reader, writer, peer) = pair().await?;
        fill(&writer);
        let (writer, order) = (Rc::new(writer), Rc::new(RefCell::new(Vec::new())));
        let drains: Vec<_> = (0..5)
            .map(|n| {
                let (writer, order) = (writer.clone(), order.clone());
                create_task(async move {
                    writer.drain().await?;
                    order.borrow_mut().push(n);
                    Ok(())
                })
            })
            .collect();
        iterations(1).await?;
        drains[1].cancel();
        let reading = read_rest(peer);
        asyncio_task::gather(drains).return_exceptions().await?;
        assert_eq!(*order.borrow(), [0, 2, 3, 4]);
        writer.close();
        join(reading).await?;
        Ok(())
    });
}

#[test]
fn a_cancelled_drain_drops_nothing_and_delays_no_other() {
    run(async {
        let (_reader, writer, peer) = pair().await?;
        let filled = fill(&writer);
        let writer = Rc::new(writer);
        let drain = |writer: &Rc<StreamWriter>| {
            let writer = writer.clone();
            create_task(async move { writer.drain().await })
        };
        let (one, other) = (drain(&writer), drain(&writer));
        iterations(1).await?;
        one.cancel();
        assert!(is_cancelled(one.await));
        assert_eq!(drainers(&writer), 1);
        drop(poll_once(writer.drain()).await);
        assert_eq!(drainers(&writer), 1, "one that is dropped leaves nothing");
        let reading = read_rest(peer);
        other.await?;
        writer.close();
        assert_eq!(join(reading).await?.len(), filled);
        Ok(())
    });
}

#[test]
fn a_drain_that_was_woken_ends_well_whatever_follows() {
    run(async {
        let (_reader, writer, _peer) = pair().await?;
        fill(&writer);
        let writer = Rc::new(writer);
        let drain = || {
            let writer = writer.clone();
            create_task(async move { writer.drain().await })
        };
        let (one, other) = (drain(), drain());
        iterations(1).await?;
        let shared = writer.shared();
        shared.lock().resume_writing(&mut crate::state::Followup::default());
        shared.lock().pause_writing();
        one.await?;
        let broken = Some(Error::value("broken"));
        shared.lock().connection_lost(broken, &mut crate::state::Followup::default());
        other.await?;
        assert_eq!(text(writer.drain().await), "broken");
        let (_reader, writer, _peer) = pair().await?;
        writer.shared().lock().connection_lost(None, &mut crate::state::Followup::default());
        assert_eq!(text(writer.drain().await), "Connection lost");
        Ok(())
    });
}

#[test]
fn a_peer_that_never_reads_costs_no_more_than_the_water_marks() {
    run(async {
        let (_reader, writer, peer) = pair().await?;
        let transport = writer.transport().clone();
        let most = Rc::new(std::cell::Cell::new(0));
        let seen = most.clone();
        let writing = create_task(async move {
            loop {
                writer.write([b'.'; 10_000]);
                seen.set(seen.get().max(writer.transport().get_write_buffer_size()));
                writer.drain().await?;
            }
            #[allow(unreachable_code)]
            Ok(())
        });
        while writing.wait_site().is_none_or(|site| site.what() != "StreamWriter.drain") {
            iterations(1).await?;
        }
        assert!((64 * 1024..=64 * 1024 + 10_000).contains(&most.get()), "{}", most.get());
        transport.abort();
        // As in asyncio, the waiting `drain` succeeds, and the next one returns the error.
        assert_eq!(text::<()>(writing.await), "Connection lost");
        drop(peer);
        Ok(())
    });
}

#[test]
fn a_task_that_writes_and_drains_learns_that_the_peer_is_gone() {
    run(async {
        let (_reader, writer, peer) = tcp_pair().await?;
        drop(peer);
        let error = loop {
            writer.write(b"anybody there?");
            if let Err(error) = writer.drain().await {
                break error;
            }
            iterations(1).await?;
        };
        let kind = io_kind::<()>(Err(error));
        assert!(matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{kind}");
        Ok(())
    });
}

#[test]
fn a_loop_of_writes_and_drains_alone_learns_of_the_end() {
    run(async {
        let (_reader, writer, _peer) = pair().await?;
        writer.transport().abort();
        let mut rounds = 0;
        let error = loop {
            writer.write(b"x");
            if let Err(error) = writer.drain().await {
                break error;
            }
            rounds += 1;
        };
        assert!(rounds <= 1, "{rounds}");
        assert_eq!(error.to_string(), "Connection lost");
        assert_eq!(io_kind::<()>(Err(error)), ErrorKind::ConnectionReset);
        Ok(())
    });
}

#[test]
fn a_drain_after_close_is_a_connection_reset() {
    run(async {
        let (_reader, writer, _peer) = pair().await?;
        writer.close();
        writer.wait_closed().await?;
        writer.write(b"too late");
        let error = writer.drain().await.unwrap_err();
        assert_eq!(error.to_string(), "Connection lost");
        assert_eq!(io_kind::<()>(Err(error)), ErrorKind::ConnectionReset);
        Ok(())
    });
}

#[test]
fn a_broken_connection_ends_a_drain_that_waits() {
    run(async {
        let (_reader, writer, peer) = tcp_pair().await?;
        fill(&writer);
        let writer = Rc::new(writer);
        let waiting = create_task({
            let writer = writer.clone();
            async move { writer.drain().await }
        });
        iterations(1).await?;
        reset(peer);
        let kind = io_kind(waiting.await);
        assert!(matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{kind}");
        assert_eq!(io_kind(writer.wait_closed().await), kind);
        Ok(())
    });
}

#[test]
fn what_is_written_after_write_eof_is_an_error_of_the_next_drain() {
    run(async {
        let log = watch_handler()?;
        let (_reader, writer, mut peer) = pair().await?;
        assert!(writer.can_write_eof());
        writer.write(b"all of it");
        writer.write_eof();
        writer.write(b"and more");
        writer.writelines(["and", "more"]);
        let error = writer.drain().await.unwrap_err();
        assert_eq!(error.to_string(), "Cannot call write() after write_eof()");
        assert!(matches!(error, Error::Runtime(_)));
        writer.drain().await?;
        let mut text = String::new();
        peer.read_to_string(&mut text)?;
        assert_eq!(text, "all of it");
        assert!(log.borrow().is_empty());
        // An error that no `drain` returns is reported.
        writer.writelines(["and", "more"]);
        drop(writer);
        let refused = "Cannot call writelines() after write_eof()";
        assert_eq!(*log.borrow(), [format!("StreamWriter.write() failed: {refused}")]);
        Ok(())
    });
}

#[test]
fn after_write_eof_what_is_buffered_is_sent_and_what_comes_is_read() {
    run(async {
        let (mut reader, writer, mut peer) = pair().await?;
        let filled = fill(&writer);
        writer.write_eof();
        let talking = std::thread::spawn(move || {
            let mut all = Vec::new();
            peer.read_to_end(&mut all).unwrap();
            peer.write_all(b"got it\n").unwrap();
            all.len()
        });
        assert_eq!(reader.readline().await?, "got it\n");
        assert_eq!(join(talking).await?, filled);
        Ok(())
    });
}

#[test]
fn several_pieces_are_sent_in_order() {
    run(async {
        let (_reader, writer, peer) = pair().await?;
        writer.writelines([&b"one "[..], b"", b"two "]);
        writer.writelines(vec!["three".to_owned()]);
        writer.close();
        writer.wait_closed().await?;
        assert_eq!(join(read_rest(peer)).await?, b"one two three");
        Ok(())
    });
}

#[test]
fn a_writer_that_is_dropped_unclosed_delivers_everything() {
    run(async {
        let (reader, writer, peer) = pair().await?;
        writer.write(vec![7; MUCH]);
        drop((reader, writer));
        let rest = join(read_rest(peer)).await?;
        assert!(rest.len() == MUCH && rest.iter().all(|byte| *byte == 7));
        Ok(())
    });
}

#[test]
fn close_sends_what_is_buffered_whatever_is_unread() {
    run(async {
        let (reader, writer, mut peer) = pair().await?;
        peer.write_all(b"this is not read")?;
        while reader.shared().lock().buffer.is_empty() {
            iterations(1).await?;
        }
        writer.write(vec![7; MUCH]);
        writer.close();
        assert!(writer.is_closing());
        writer.close();
        let reading = read_rest(peer);
        writer.wait_closed().await?;
        assert_eq!(join(reading).await?.len(), MUCH);
        Ok(())
    });
}

#[test]
fn several_may_wait_for_the_end_and_one_that_gives_up_disturbs_no_other() {
    run(async {
        let (_reader, writer, _peer) = pair().await?;
        let writer = Rc::new(writer);
        let wait = |writer: &Rc<StreamWriter>| {
            let writer = writer.clone();
            create_task(async move { writer.wait_closed().await })
        };
        let (one, other) = (wait(&writer), wait(&writer));
        iterations(1).await?;
        one.cancel();
        assert!(is_cancelled(one.await));
        writer.close();
        other.await?;
        writer.wait_closed().await
    });
}

#[test]
fn a_writer_tells_about_its_connection() {
    run(async {
        let (_reader, writer, peer) = tcp_pair().await?;
        let address = |what: ExtraInfo<asyncio_sockets::Address>| {
            writer.get_extra_info(what).unwrap().as_inet().unwrap()
        };
        assert_eq!(address(PEERNAME), peer.local_addr()?);
        assert_eq!(address(SOCKNAME), peer.peer_addr()?);
        assert_eq!(writer.transport().get_write_buffer_limits(), (16 * 1024, 64 * 1024));
        let transport = format!("{:?}", writer.transport());
        assert_eq!(format!("{writer:?}"), format!("<StreamWriter transport={transport}>"));
        Ok(())
    });
}

#[test]
fn another_thread_may_write_and_another_executor_drain() {
    run(async {
        let (reader, writer, mut peer) = pair().await?;
        let writer = Arc::new(writer);
        let theirs = writer.clone();
        let writing = std::thread::spawn(move || {
            theirs.write(b"from a thread");
            futures_lite::future::block_on(theirs.drain()).unwrap();
            theirs.close();
            futures_lite::future::block_on(theirs.wait_closed()).unwrap();
        });
        join(writing).await?;
        let mut text = String::new();
        peer.read_to_string(&mut text)?;
        assert_eq!(text, "from a thread");
        drop((reader, writer));
        Ok(())
    });
}

#[test]
fn a_drain_that_was_woken_may_be_finished_on_another_thread() {
    run(async {
        let (_reader, writer, _peer) = pair().await?;
        fill(&writer);
        let mut drain = Box::pin(writer.drain());
        assert!(poll_once(&mut drain).await.is_none());
        let shared = writer.shared();
        shared.lock().resume_writing(&mut crate::state::Followup::default());
        shared.lock().pause_writing();
        std::thread::scope(|scope| {
            scope.spawn(|| futures_lite::future::block_on(drain)).join().unwrap()
        })
    });
}

#[test]
fn the_writer_and_its_futures_can_be_sent() {
    fn check<T: Send>(_: &T) {}
    fn check_sync<T: Send + Sync>(_: &T) {}
    run(async {
        let opening = open_connection(("127.0.0.1", 1));
        check(&opening);
        check(&opening.into_future());
        let (_reader, writer, _peer) = pair().await?;
        check_sync(&writer);
        check_sync(&writer.drain());
        check_sync(&writer.wait_closed());
        Ok(())
    });
}

#[test]
fn with_the_writer_dropped_the_answer_is_read_and_the_connection_ends() {
    run(async {
        let (mut reader, writer, mut peer) = tcp_pair().await?;
        peer.write_all(b"early ")?;
        writer.write(b"question");
        let transport = writer.transport().clone();
        drop(writer);
        let mut question = String::new();
        peer.read_to_string(&mut question)?;
        assert_eq!(question, "question", "the direction was ended");
        assert!(!transport.is_closing());
        peer.write_all(b"answer")?;
        assert_eq!(reader.readexactly(12).await?, "early answer");
        drop(peer);
        assert_eq!(reader.read_to_end().await?, "");
        iterations(3).await?;
        assert!(transport.is_closing(), "nothing is left to come");
        Ok(())
    });
}

#[test]
fn a_connection_is_closed_when_both_halves_are_dropped_in_either_order() {
    run(async {
        for writer_first in [true, false] {
            let (reader, writer, peer) = pair().await?;
            writer.write(vec![7; MUCH]);
            let transport = writer.transport().clone();
            let (mut reader, mut writer) = (Some(reader), Some(writer));
            match writer_first {
                true => drop(writer.take()),
                false => drop(reader.take()),
            }
            iterations(3).await?;
            assert!(!transport.is_closing());
            drop((reader, writer));
            assert!(transport.is_closing());
            assert_eq!(join(read_rest(peer)).await?.len(), MUCH, "what was written is sent first");
        }
        Ok(())
    });
}

#[test]
fn a_writer_dropped_after_the_end_of_what_is_read_closes_the_connection() {
    run(async {
        let (mut reader, writer, peer) = pair().await?;
        drop(peer);
        assert_eq!(reader.read_to_end().await?, "");
        let transport = writer.transport().clone();
        drop(writer);
        assert!(transport.is_closing());
        Ok(())
    });
}
