//! `sock_recv`, `sock_recv_into` and `sock_sendall`.

use super::*;
use asyncio_core::AsyncContextManager;

#[test]
fn data_goes_both_ways_and_the_end_is_no_data() {
    run(async {
        let (one, other) = connection().await?;
        sock_sendall(&one, b"hello").await?;
        assert_eq!(sock_recv(&other, 1024).await?, "hello");
        let mut buffer = [0; 3];
        sock_sendall(&other, b"world").await?;
        assert_eq!(sock_recv_into(&one, &mut buffer).await?, 3);
        assert_eq!(&buffer, b"wor");
        assert_eq!(sock_recv_into(&one, &mut buffer).await?, 2);
        assert_eq!(&buffer[..2], b"ld");
        other.shutdown(Shutdown::Write)?;
        assert_eq!(sock_recv(&one, 1024).await?, "");
        assert_eq!(sock_recv_into(&one, &mut buffer).await?, 0);
        Ok(())
    });
}

#[test]
fn a_receiver_waits_for_what_is_sent_later_again_and_again() {
    run(async {
        let (one, other) = connection().await?;
        for n in 0..20_u8 {
            let waiting = receiver(&one, 1024);
            settle().await?;
            assert!(!waiting.done());
            sock_sendall(&other, &[n; 10]).await?;
            assert_eq!(&waiting.await?[..], [n; 10]);
        }
        let waiting = receiver(&one, 1024);
        settle().await?;
        drop(other);
        assert_eq!(waiting.await?, "");
        Ok(())
    });
}

#[test]
fn data_and_the_end_in_one_event_are_both_found() {
    run(async {
        for round in 0..20 {
            let (one, other) = connection().await?;
            let waiting = receiver(&one, 1024);
            settle().await?;
            sock_sendall(&other, b"last words").await?;
            drop(other);
            assert_eq!(waiting.await?, "last words");
            if round % 2 == 0 {
                settle().await?;
            }
            assert_eq!(sock_recv(&one, 1024).await?, "");
        }
        Ok(())
    });
}

#[test]
fn a_reset_connection_wakes_receiver_and_sender() {
    run(async {
        let (one, other) = connection().await?;
        let receiving = receiver(&one, 16);
        let socket = one.clone();
        let sending = create_task(async move { sock_sendall(&socket, &vec![0; 64 << 20]).await });
        settle().await?;
        assert!(!receiving.done() && !sending.done());
        // Closed with unread data: a reset.
        drop(other);
        let received = receiving.await;
        assert!(received.is_err() || received.is_ok_and(|bytes| bytes.is_empty()));
        let kind = kind(sending.await);
        assert!(matches!(kind, io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe));
        Ok(())
    });
}

#[test]
fn a_huge_content_goes_through() {
    run(async {
        const SIZE: usize = 8 << 20;
        for (one, other) in [pair(), connection().await?] {
            let data: Vec<u8> = (0..SIZE).map(|n| (n % 251) as u8).collect();
            let expected = data.clone();
            let sending = create_task(async move { sock_sendall(&one, &data).await });
            let mut received = Vec::new();
            let mut size = 1;
            while received.len() < SIZE {
                // Through the thread's buffer, and through buffers of its own.
                size = if size < 1 << 20 { size * 3 } else { 1 };
                let bytes = sock_recv(&other, size).await?;
                assert!(!bytes.is_empty() && bytes.len() <= size);
                received.extend_from_slice(&bytes);
            }
            sending.await?;
            assert!(received == expected);
        }
        Ok(())
    });
}

#[test]
fn a_size_that_no_machine_has_is_no_panic() {
    run(async {
        let (one, other) = pair();
        sock_sendall(&one, b"x").await?;
        assert_eq!(sock_recv(&other, usize::MAX).await?, "x");
        Ok(())
    });
}

#[test]
fn a_cancelled_receiver_leaves_the_data_to_the_next() {
    run(async {
        let (one, other) = connection().await?;
        let first = receiver(&one, 1024);
        sleep(YIELD).await?;
        first.cancel();
        // Started before the cancelled one has run, on the same socket.
        let second = receiver(&one, 1024);
        sleep(YIELD).await?;
        assert!(first.done(), "a cancellation takes effect in the next iteration");
        assert!(is_cancelled(first.await));
        settle().await?;
        sock_sendall(&other, b"hello").await?;
        assert_eq!(second.await?, "hello");
        Ok(())
    });
}

#[test]
fn a_receiver_that_is_woken_and_then_cancelled_leaves_the_data() {
    run_step_by_step(async {
        let (one, other) = pair();
        for _ in 0..3 {
            let (first, second) = (receiver(&one, 1024), receiver(&one, 1024));
            settle().await?;
            sock_sendall(&other, b"hello").await?;
            // The poll of the next iteration wakes the first; this task is ready before it, as
            // `a_receiver_runs_in_the_iteration_of_its_event` shows.
            sleep(YIELD).await?;
            first.cancel();
            sleep(YIELD).await?;
            assert!(is_cancelled(first.await));
            assert_eq!(second.await?, "hello");
        }
        Ok(())
    });
}

#[test]
fn a_receiver_runs_in_the_iteration_of_its_event() {
    run_step_by_step(async {
        let (one, other) = pair();
        let waiting = receiver(&one, 1024);
        settle().await?;
        sock_sendall(&other, b"hello").await?;
        sleep(YIELD).await?;
        assert!(!waiting.done(), "it is ready, after this task");
        sleep(YIELD).await?;
        assert!(waiting.done());
        Ok(())
    });
}

#[test]
fn receivers_are_served_in_order() {
    run(async {
        let (one, other) = pair();
        let waiting: Vec<_> = (0..4).map(|_| receiver(&one, 1)).collect();
        settle().await?;
        sock_sendall(&other, b"abcd").await?;
        for (task, expected) in waiting.into_iter().zip(["a", "b", "c", "d"]) {
            assert_eq!(task.await?, expected);
        }
        Ok(())
    });
}

#[test]
fn a_cancelled_sender_tells_how_much_went() {
    run(async {
        let (one, other) = connection().await?;
        let data = Rc::new(vec![b'x'; 64 << 20]);
        let (socket, copy) = (one.clone(), data.clone());
        let sending = create_task(async move {
            let mut sending = sock_sendall(&socket, &copy);
            let outcome = (&mut sending).await;
            assert!(is_cancelled(outcome));
            Ok(sending.sent())
        });
        settle().await?;
        sending.cancel();
        let sent = sending.await?;
        assert!(0 < sent && sent < data.len());
        // The next one on the same socket continues where it ended, and nothing arrived twice.
        let finishing = create_task(async move { sock_sendall(&one, b"end").await });
        let mut received = 0;
        while received < sent + 3 {
            let bytes = sock_recv(&other, 1 << 20).await?;
            assert!(!bytes.is_empty());
            let xs = bytes.iter().filter(|byte| **byte == b'x').count();
            received += bytes.len();
            assert!(xs == bytes.len() || (received == sent + 3 && bytes.ends_with(b"end")));
        }
        finishing.await
    });
}

#[test]
fn a_sender_that_is_awaited_again_goes_on() {
    run(async {
        let (one, other) = pair();
        let data: Vec<u8> = (0..4 << 20).map(|n| (n % 253) as u8).collect();
        let copy = data.clone();
        let sending = create_task(async move {
            let mut sending = sock_sendall(&one, &copy);
            let outcome = asyncio_task::timeout(Duration::from_millis(1))
                .with(async |_| (&mut sending).await)
                .await;
            assert!(outcome.is_err_and(|error| error.is_timeout()));
            sending.await
        });
        let mut received = Vec::new();
        sleep(Duration::from_millis(20)).await?;
        while received.len() < data.len() {
            received.extend_from_slice(&sock_recv(&other, 1 << 16).await?);
        }
        sending.await?;
        assert!(received == data);
        Ok(())
    });
}

#[test]
fn senders_do_not_mix_their_data() {
    run(async {
        let (one, other) = pair();
        const SIZE: usize = 1 << 20;
        let senders: Vec<_> = [b'a', b'b', b'c']
            .map(|byte| {
                let one = one.clone();
                create_task(async move { sock_sendall(&one, &vec![byte; SIZE]).await })
            })
            .into();
        let mut received = Vec::new();
        while received.len() < 3 * SIZE {
            received.extend_from_slice(&sock_recv(&other, 1 << 16).await?);
        }
        for sender in senders {
            sender.await?;
        }
        assert!(received.is_sorted());
        Ok(())
    });
}

#[test]
fn a_timeout_ends_a_wait() {
    run(async {
        let (one, _other) = pair();
        let outcome = asyncio_task::timeout(Duration::from_millis(1))
            .with(async |_| sock_recv(&one, 1).await)
            .await;
        assert!(outcome.unwrap_err().is_timeout());
        Ok(())
    });
}

#[test]
fn a_receive_of_nothing_returns_at_once_and_takes_nothing() {
    run(async {
        let (one, other) = connection().await?;
        let idle = tcp()?;
        for socket in [&*one, &idle] {
            let mut cx = Context::from_waker(std::task::Waker::noop());
            let outcome = Pin::new(&mut sock_recv(socket, 0)).poll(&mut cx);
            assert!(matches!(&outcome, Poll::Ready(Ok(data)) if data.is_empty()), "{outcome:?}");
            let outcome = Pin::new(&mut sock_recv_into(socket, &mut [])).poll(&mut cx);
            assert!(matches!(outcome, Poll::Ready(Ok(0))), "{outcome:?}");
        }
        // It does not queue behind a waiting receive either.
        let waiting = receiver(&one, 8);
        settle().await?;
        assert_eq!(sock_recv(&one, 0).await?, "");
        sock_sendall(&other, b"data").await?;
        assert_eq!(waiting.await?, "data");
        Ok(())
    });
}
