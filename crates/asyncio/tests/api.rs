//! What a user writes, with nothing but this crate in scope: each function by itself has to compile as it
//! stands, and does what it looks like.

use asyncio::*;
use std::{io::Write, time::Duration};

const LIMIT: Duration = Duration::from_millis(1);

mod limits {
    use super::*;

    async fn a_lock() -> Result<()> {
        let lock = Lock::new(());
        let _guard = wait_for(lock.acquire(), LIMIT).await?;
        Ok(())
    }

    async fn a_semaphore(semaphore: &Semaphore) -> Result<()> {
        let _permit = wait_for(semaphore.acquire(), LIMIT).await?;
        Ok(())
    }

    async fn a_slice(data: &[u8]) -> Result<&[u8]> {
        wait_for(async { Ok(data) }, LIMIT).await
    }

    #[asyncio::test(virtual_time = true)]
    async fn surround_what_borrows() -> Result<()> {
        a_lock().await?;
        let semaphore = Semaphore::new(1);
        a_semaphore(&semaphore).await?;
        let _permit = semaphore.acquire().await?;
        assert!(a_semaphore(&semaphore).await.unwrap_err().is_timeout());
        assert_eq!(a_slice(b"data").await?, b"data");
        Ok(())
    }
}

mod iteration {
    use super::*;

    async fn in_the_order_of_completion() -> Result<u32> {
        let mut sum = 0;
        let mut results = as_completed((0..3).map(async |i| Ok(i)));
        while let Some(result) = results.next().await {
            sum += result?;
        }
        Ok(sum)
    }

    async fn lines(mut reader: StreamReader) -> Result<usize> {
        let mut bytes = 0;
        while let Some(line) = reader.next().await {
            bytes += line?.len();
        }
        Ok(bytes)
    }

    async fn items(queue: &Queue<u32>) -> Result<u32> {
        let mut sum = 0;
        while let Some(item) = queue.next().await {
            sum += item?;
        }
        Ok(sum)
    }

    #[asyncio::test(virtual_time = true)]
    async fn needs_no_trait() -> Result<()> {
        assert_eq!(in_the_order_of_completion().await?, 3);

        let reader = StreamReader::new(10)?;
        reader.feed_data("one\ntwo")?;
        reader.feed_eof();
        assert_eq!(lines(reader).await?, 7);

        let queue = Queue::new(0);
        let sum = async {
            let mut sum = 0;
            for item in 1..=3 {
                queue.put(item).await?;
                sleep(LIMIT).await?;
                sum += item;
            }
            queue.shutdown(false);
            Ok(sum)
        };
        let (put, got) = try_join!(sum, items(&queue))?;
        assert_eq!(put, got);
        Ok(())
    }

    #[asyncio::test(virtual_time = true)]
    async fn gives_the_tasks_themselves_too() -> Result<()> {
        let mut done = as_completed([create_task(sleep(LIMIT).result(1))]).futures();
        while let Some(task) = done.next().await {
            assert!(matches!(task?, Awaitable::Task(task) if task.done()));
        }
        Ok(())
    }

    /// A `next` that loses a `select!` is no wait of the task any more.
    #[asyncio::test(virtual_time = true)]
    async fn that_is_broken_off_loses_nothing() -> Result<()> {
        let mut reader = StreamReader::new(10)?;
        let mut results = as_completed([sleep(3 * LIMIT).result(7)]);
        let queue = Queue::new(0);
        select! {
            _ = sleep(LIMIT) => {}
            _ = reader.next() => panic!("nothing was fed"),
            _ = results.next() => panic!("nothing is done"),
            _ = queue.next() => panic!("nothing was put"),
        }
        let me = current_task().expect("this is a task");
        get_running_loop()?.call_later(LIMIT, move || me.cancel())?;
        assert!(sleep(9 * LIMIT).await.unwrap_err().is_cancelled());
        reader.feed_data("line\n")?;
        queue.put_nowait(8)?;
        assert_eq!(reader.next().await.transpose()?.as_deref(), Some(&b"line\n"[..]));
        assert_eq!((results.next().await.transpose()?, queue.get().await?), (Some(7), 8));
        assert!(results.next().await.is_none());
        Ok(())
    }

    #[asyncio::test(virtual_time = true)]
    async fn that_is_cancelled_says_so() -> Result<()> {
        let task = create_task(async { Queue::<u32>::new(0).next().await.transpose() });
        sleep(LIMIT).await?;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        Ok(())
    }
}

mod errors {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum AppError {
        #[error("asyncio: {0}")]
        Asyncio(#[from] asyncio::Error),
        #[error("io: {0}")]
        Io(#[from] std::io::Error),
    }

    async fn of_the_application() -> Result<(), AppError> {
        sleep(Duration::ZERO).await?;
        std::io::sink().write_all(b"fine")?;
        Err(Error::msg("no more"))?
    }

    #[asyncio::test(virtual_time = true)]
    async fn of_an_application_hold_ours() {
        assert_eq!(of_the_application().await.unwrap_err().to_string(), "asyncio: no more");
    }
}

mod protocols {
    use super::*;

    /// Sends back what comes, whatever way it comes.
    struct Echo;

    impl Protocol for Echo {
        fn data_received(&mut self, transport: &Transport, data: Bytes) {
            transport.write(data);
        }
    }

    impl DatagramProtocol for Echo {
        fn datagram_received(&mut self, transport: &DatagramTransport, data: Bytes, addr: Address) {
            transport.sendto(data, addr);
        }
    }

    /// Keeps what comes, and from where.
    struct Ask(Future<(Bytes, Address)>);

    impl DatagramProtocol for Ask {
        fn connection_made(&mut self, transport: &DatagramTransport) {
            transport.sendto("hello", None);
        }
        fn datagram_received(&mut self, _: &DatagramTransport, data: Bytes, addr: Address) {
            let _ = self.0.set_result((data, addr));
        }
    }

    #[asyncio::test]
    async fn of_streams_and_of_datagrams_have_the_same_types() -> Result<()> {
        let server = create_server(|| Echo, ("127.0.0.1", 0)).await?;
        let (mut reader, writer) = open_connection(server.local_addr()).await?;
        let text = String::from("text, ");
        writer.write(&text);
        writer.write(b"array, ");
        writer.write(vec![b'v', b'e', b'c', b'\n']);
        assert_eq!(reader.readline().await?, "text, array, vec\n");
        server.close();

        let (there, _) = create_datagram_endpoint(|| Echo).local_addr(("127.0.0.1", 0)).await?;
        let address = there.get_extra_info(SOCKNAME).expect("it is bound");
        let answer = Future::new();
        let asking = create_datagram_endpoint(|| Ask(answer.clone())).remote_addr(&address);
        let (here, _) = asking.await?;
        assert_eq!(answer.await?, (Bytes::from("hello"), address));
        here.close();
        there.close();
        Ok(())
    }
}

mod threads {
    use super::*;

    /// Not `Clone`.
    #[derive(Debug, PartialEq)]
    struct Once(u32);

    async fn a_file() -> Result<String> {
        let event_loop = get_running_loop()?;
        Ok(event_loop.run_in_executor(None, || std::fs::read_to_string("Cargo.toml"))?.await??)
    }

    #[asyncio::test]
    async fn give_what_need_not_be_clone() -> Result<()> {
        assert!(a_file().await?.contains("[package]"));
        let event_loop = get_running_loop()?;
        let run = |n| event_loop.run_in_executor(None, move || Once(n));

        assert_eq!(gather([run(1)?, run(2)?]).await?, [Once(1), Once(2)]);

        let (done, pending) = wait([run(3)?, run(4)?]).await?;
        assert!(pending.is_empty());
        for (job, n) in done.into_iter().zip(3..) {
            assert_eq!(job.await?, Once(n));
        }

        let source = ConcurrentFuture::new();
        source.set_result(Once(5))?;
        let first = wrap_future(source)?;
        assert_eq!(wait_for(first, 60_000 * LIMIT).await?, Once(5));
        Ok(())
    }

    #[asyncio::test]
    async fn give_several_awaiters_a_copy_each() -> Result<()> {
        let job = get_running_loop()?.run_in_executor(None, || 7)?.into_inner();
        assert_eq!((job.clone().await?, job.await?), (7, 7));
        Ok(())
    }
}

mod lists {
    use super::*;

    async fn whichever_ends_first() -> Result<()> {
        let number = create_task(async { Ok(1) });
        let text = create_task(async { Ok("x") });
        let (_done, _pending) = wait([(*number).clone(), (*text).clone()]).await?;
        Ok(())
    }

    async fn shutdown() -> Result<()> {
        let me = current_task();
        let others: Vec<_> =
            all_tasks()?.into_iter().filter(|task| Some(task) != me.as_ref()).collect();
        others.iter().for_each(|task| _ = task.cancel());
        gather(others).return_exceptions().await?;
        Ok(())
    }

    async fn one() -> Result<u32> {
        Ok(1)
    }

    async fn two() -> Result<u32> {
        Ok(2)
    }

    async fn both() -> Result<u32> {
        Ok(gather!(one(), two()).await?.0)
    }

    #[asyncio::test(virtual_time = true)]
    async fn hold_tasks_of_any_type() -> Result<()> {
        whichever_ends_first().await?;
        assert_eq!(both().await?, 1);
        let numbers = create_task(sleep(9 * LIMIT).result(1));
        let texts = create_task(sleep(9 * LIMIT).result("x"));
        shutdown().await?;
        assert!(numbers.cancelled() && texts.cancelled());
        Ok(())
    }
}

mod callbacks {
    use super::*;

    #[asyncio::test(virtual_time = true)]
    async fn may_panic() -> Result<()> {
        let event_loop = get_running_loop()?;
        let reported = Future::new();
        let setter = reported.clone();
        event_loop.set_exception_handler(move |_, context| {
            let _ = setter.set_result(context.to_string());
        });
        event_loop.call_soon(|| panic!("as asked"))?;
        assert!(reported.await?.contains("as asked"));
        Ok(())
    }
}

mod tasks {
    use super::*;
    use std::collections::HashSet;

    /// The set of background tasks of asyncio's documentation.
    #[asyncio::test(virtual_time = true)]
    async fn are_kept_in_sets() -> Result<()> {
        let background: HashSet<_> = (0..3).map(|n| create_task(sleep(n * LIMIT))).collect();
        let names: HashSet<AnyTask> = background.iter().map(|task| task.any()).collect();
        assert_eq!(
            names,
            all_tasks()?.into_iter().filter(|t| Some(t) != current_task().as_ref()).collect()
        );
        let first = background.iter().next().expect("there are three").clone();
        assert!(background.contains(&first));
        gather(background).await?;
        Ok(())
    }

    #[asyncio::test(virtual_time = true)]
    async fn that_never_return_need_no_annotation() -> Result<()> {
        let task = create_task(endless(async {
            loop {
                sleep(LIMIT).await?;
            }
        }));
        sleep(5 * LIMIT).await?;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        Ok(())
    }

    #[asyncio::test]
    #[allow(clippy::needless_borrows_for_generic_args, reason = "it is what is tested")]
    async fn come_from_other_threads_by_a_handle_that_is_lent() -> Result<()> {
        let handle = get_running_loop()?.handle();
        let thread = to_thread(move || -> Result<_> {
            let first = run_coroutine_threadsafe(async { Ok(1) }, &handle);
            let second = run_coroutine_threadsafe(async { Ok(2) }, &handle);
            Ok((first.result(None)?, second.result(None)?))
        });
        assert_eq!(thread.await??, (1, 2));
        Ok(())
    }
}

mod processes {
    use super::*;
    use asyncio::subprocess::PIPE;

    #[asyncio::test]
    async fn give_their_pipes_or_say_how_to_get_them() -> Result<()> {
        let mut cat = create_subprocess_exec("cat", ()).stdin(PIPE).stdout(PIPE).await?;
        cat.stdin()?.write("line\n");
        assert_eq!(cat.stdout()?.readline().await?, "line\n");
        let error = cat.stderr().unwrap_err();
        assert!(error.to_string().contains("start the process with `.stderr(PIPE)`"), "{error}");
        cat.send_signal(signals::SIGKILL)?;
        assert_eq!(cat.wait().await?, -signals::SIGKILL);
        Ok(())
    }
}

mod tests {
    // Beside a glob alone the compiler finds `#[test]` ambiguous.
    use asyncio::test;

    /// What stands here is not std's attribute.
    #[test]
    fn that_are_not_async_are_those_of_std() {
        assert!(asyncio::get_running_loop().is_err());
    }

    #[test]
    async fn that_are_async_have_a_loop() {
        assert!(asyncio::get_running_loop().is_ok());
    }

    #[test]
    #[should_panic(expected = "as they may")]
    fn that_are_not_async_panic() {
        panic!("as they may");
    }
}

mod context_managers {
    use super::*;
    use std::{cell::RefCell, rc::Rc};

    /// Writes down how it was used. Its body's errors are dropped if they are of values.
    #[derive(Clone, Default)]
    struct Log(Rc<RefCell<Vec<&'static str>>>);

    impl AsyncContextManager for Log {
        type Target = ();

        async fn enter(&mut self) -> Result<()> {
            self.0.borrow_mut().push("enter");
            Ok(())
        }

        async fn exit(&mut self, _: (), error: Option<&Error>) -> Result<()> {
            self.0.borrow_mut().push(if error.is_some() { "failed" } else { "exit" });
            sleep(LIMIT).await
        }

        async fn exit_suppress(&mut self, _: (), error: Option<&Error>) -> Result<bool> {
            self.exit((), error).await?;
            Ok(matches!(error, Some(Error::Value(_) | Error::Panic(_))))
        }
    }

    #[asyncio::test(virtual_time = true)]
    async fn may_be_their_own_target() -> Result<()> {
        let log = Log::default();
        let used = log.clone().with_self(async |log| {
            log.0.borrow_mut().push("used");
            Ok(7)
        });
        assert_eq!(used.await?, 7);
        let failed = log.clone().with_self(async |_| Err::<(), _>(Error::msg("no")));
        assert_eq!(failed.await.unwrap_err().to_string(), "no");
        assert_eq!(*log.0.borrow(), ["enter", "used", "exit", "enter", "failed"]);
        Ok(())
    }

    #[asyncio::test(virtual_time = true)]
    async fn may_suppress_what_they_choose() -> Result<()> {
        let log = Log::default();
        assert_eq!(log.clone().with_suppress(async |()| Ok(7)).await?, Some(7));
        let value = log.clone().with_suppress(async |()| Err::<(), _>(Error::value("no")));
        assert_eq!(value.await?, None);
        let other = log.clone().with_suppress(async |()| Err::<(), _>(Error::msg("no")));
        assert_eq!(other.await.unwrap_err().to_string(), "no");
        let panics = create_task(log.with_suppress(async |()| -> Result<()> { panic!("goes on") }));
        assert!(matches!(panics.await, Err(Error::Panic(_))));
        Ok(())
    }

    /// trio's `move_on_after`.
    #[asyncio::test(virtual_time = true)]
    async fn that_limit_may_move_on() -> Result<()> {
        let late = timeout(LIMIT).with_suppress(async |_| sleep(9 * LIMIT).await);
        assert_eq!(late.await?, None);
        let in_time = timeout(9 * LIMIT).with_suppress(async |_| sleep(LIMIT).result(7).await);
        assert_eq!(in_time.await?, Some(7));
        let fails = timeout(LIMIT).with_suppress(async |_| Err::<(), _>(Error::msg("no")));
        assert_eq!(fails.await.unwrap_err().to_string(), "no");
        // What is cancelled from outside is cancelled.
        let task = create_task(timeout(9 * LIMIT).with_suppress(async |_| sleep(8 * LIMIT).await));
        sleep(LIMIT).await?;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        Ok(())
    }
}

mod exception_groups {
    use super::*;

    async fn both_fail() -> Result<()> {
        let group = TaskGroup::new().with(async |group| {
            drop(group.create_task(async { Err::<(), _>(Error::value("a")) }));
            drop(group.create_task(async { Err::<(), _>(Error::msg("b")) }));
            Ok(())
        });
        group.await
    }

    #[asyncio::test(virtual_time = true)]
    async fn are_divided_as_by_except_star() -> Result<()> {
        let Err(Error::Group(group)) = both_fail().await else { panic!("it fails") };
        let (values, rest) = group.split(|error| matches!(error, Error::Value(_)));
        let members = |group: Option<ExceptionGroup>| group.expect("it has one").exceptions().len();
        assert_eq!((members(values), members(rest)), (1, 1));
        Ok(())
    }
}

mod descriptors {
    use super::*;
    use std::{
        io::{Read, Write},
        os::unix::net::UnixStream,
    };

    fn pair() -> Result<(UnixStream, UnixStream)> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        Ok((ours, theirs))
    }

    #[asyncio::test]
    async fn are_awaited() -> Result<()> {
        let (mut ours, mut theirs) = pair()?;
        wait_writable(&ours).await?;
        for _ in 0..2 {
            let writing = create_task(to_thread({
                let mut theirs = theirs.try_clone()?;
                move || theirs.write_all(b"hello")
            }));
            wait_readable(&ours).await?;
            let mut bytes = [0; 16];
            assert_eq!(ours.read(&mut bytes)?, 5);
            writing.await??;
        }
        theirs.write_all(b"more")?;
        // Nothing is left of the waits.
        assert!(!get_running_loop()?.remove_reader(&ours)?);
        Ok(())
    }

    #[asyncio::test]
    async fn that_nobody_waits_for_any_more_are_left_alone() -> Result<()> {
        let (ours, mut theirs) = pair()?;
        let event_loop = get_running_loop()?;
        let late = wait_for(wait_readable(&ours), LIMIT).await;
        assert!(late.unwrap_err().is_timeout());
        assert!(!event_loop.remove_reader(&ours)?);
        select! {
            outcome = wait_readable(&ours) => outcome?,
            outcome = sleep(LIMIT) => outcome?,
        }
        assert!(!event_loop.remove_reader(&ours)?);
        theirs.write_all(b"now")?;
        wait_readable(&ours).await
    }

    #[asyncio::test]
    async fn have_one_waiter_in_each_direction() -> Result<()> {
        let (ours, _theirs) = pair()?;
        let event_loop = get_running_loop()?;
        let busy = async {
            sleep(Duration::ZERO).await?;
            let error = wait_readable(&ours).await.unwrap_err().to_string();
            assert!(error.contains("something waits for file descriptor"), "{error}");
            wait_writable(&ours).await?;
            event_loop.remove_reader(&ours)
        };
        let (first, removed) = join!(wait_readable(&ours), busy);
        assert!(removed? && first.unwrap_err().to_string().contains("replaced or removed"));
        Ok(())
    }
}

mod helpers {
    use super::*;
    use std::cell::{Cell, RefCell};

    /// How many run now, and how many did at most.
    #[derive(Default)]
    struct Load {
        now: Cell<usize>,
        most: Cell<usize>,
    }

    async fn worked_on(load: &Load, n: u32) -> Result<u32> {
        load.now.set(load.now.get() + 1);
        load.most.set(load.most.get().max(load.now.get()));
        // The first ones take longest.
        sleep((10 - n) * LIMIT).await?;
        load.now.set(load.now.get() - 1);
        Ok(n * n)
    }

    #[asyncio::test(virtual_time = true)]
    async fn amap_works_on_so_many_items_at_once_and_keeps_their_order() -> Result<()> {
        let load = std::rc::Rc::new(Load::default());
        let work = |load: &std::rc::Rc<Load>| {
            let load = load.clone();
            async move |n| worked_on(&load, n).await
        };
        assert_eq!(amap(work(&load), 0..6).limit(2).await?, [0, 1, 4, 9, 16, 25]);
        assert_eq!(load.most.get(), 2);
        assert_eq!(amap(work(&load), 0..6).await?.len(), 6);
        assert_eq!(load.most.get(), 6);
        assert!(amap(work(&load), 0..0).limit(0).await?.is_empty());
        Ok(())
    }

    #[asyncio::test(virtual_time = true)]
    async fn amap_takes_items_when_a_task_is_free_and_stops_at_an_error() -> Result<()> {
        let taken = std::rc::Rc::new(Cell::new(0));
        let count = taken.clone();
        let items = (0..).inspect(move |_| count.set(count.get() + 1));
        let failing = async |n: u32| {
            sleep(LIMIT).await?;
            if n == 5 { Err(Error::msg("five")) } else { Ok(n) }
        };
        let Err(Error::Group(errors)) = amap(failing, items).limit(3).await else {
            panic!("the sixth fails")
        };
        assert_eq!(errors.exceptions()[0].to_string(), "five");
        assert!(taken.get() <= 9, "{} items were taken", taken.get());
        assert_eq!(all_tasks()?.len(), 1, "none is left");
        Ok(())
    }

    #[asyncio::test(virtual_time = true)]
    async fn a_cancelled_amap_leaves_no_task() -> Result<()> {
        let endless = amap(async |_| sleep(3_600_000 * LIMIT).await, 0..9).limit(4);
        assert!(wait_for(endless, LIMIT).await.unwrap_err().is_timeout());
        assert_eq!(all_tasks()?.len(), 1);
        Ok(())
    }

    #[asyncio::test(virtual_time = true)]
    async fn retry_pauses_longer_and_longer() -> Result<()> {
        let (event_loop, times) = (get_running_loop()?, RefCell::new(Vec::new()));
        let busy = || {
            retry(async || {
                times.borrow_mut().push(event_loop.time().as_millis());
                Err::<(), _>(Error::msg("busy"))
            })
        };
        let outcome = busy().attempts(5).delay(10 * LIMIT).factor(3).max_delay(50 * LIMIT).await;
        assert_eq!(outcome.unwrap_err().to_string(), "busy");
        assert_eq!(times.take(), [0, 10, 40, 90, 140]);
        assert!(busy().attempts(0).await.is_err());
        assert_eq!(times.take().len(), 1);
        Ok(())
    }

    #[asyncio::test(virtual_time = true)]
    async fn retry_ends_at_success_at_what_is_final_and_at_a_cancellation() -> Result<()> {
        let attempts = Cell::new(0);
        let attempt = async |outcome: fn(u32) -> Result<u32>| {
            attempts.set(attempts.get() + 1);
            outcome(attempts.get())
        };
        let third =
            retry(async || attempt(|n| if n < 3 { Err(Error::msg("busy")) } else { Ok(n) }).await);
        assert_eq!(third.await?, 3);

        attempts.set(0);
        let refused = retry(async || attempt(|_| Err(Error::value("no"))).await)
            .only_if(|error| !matches!(error, Error::Value(_)));
        assert_eq!((refused.await.unwrap_err().kind(), attempts.get()), ("ValueError", 1));

        attempts.set(0);
        let late =
            wait_for(retry(async || attempt(|_| Err(Error::msg("busy"))).await), LIMIT).await;
        assert!(late.unwrap_err().is_timeout());
        assert_eq!(attempts.get(), 1, "cancelled in the pause");

        let cancelled = retry(async || {
            attempts.set(attempts.get() + 1);
            Err::<(), _>(Error::Cancelled(CancelledError::default()))
        });
        assert!(cancelled.await.unwrap_err().is_cancelled());
        assert_eq!(attempts.get(), 2);
        Ok(())
    }
}

mod servers {
    use super::*;

    /// Greets, and waits for the end of the client.
    async fn greet(mut reader: StreamReader, writer: StreamWriter) -> Result<()> {
        writer.write("hello\n");
        writer.drain().await?;
        reader.read_to_end().await.map(drop)
    }

    #[asyncio::test]
    async fn have_no_more_connections_than_they_are_told() -> Result<()> {
        let server = start_server(greet, ("127.0.0.1", 0)).max_connections(2).await?;
        let mut clients = Vec::new();
        for _ in 0..4 {
            clients.push(open_connection(server.local_addr()).await?);
        }
        for (reader, _) in &mut clients[..2] {
            assert_eq!(reader.readline().await?, "hello\n");
        }
        // The system has accepted the third and the fourth; the server has not.
        for (reader, _) in &mut clients[2..] {
            let late = wait_for(reader.readline(), 20 * LIMIT).await;
            assert!(late.unwrap_err().is_timeout());
        }
        for _ in 0..2 {
            // One goes, the next one comes.
            drop(clients.remove(0));
            assert_eq!(clients[1].0.readline().await?, "hello\n");
        }
        server.close();
        drop(clients);
        server.wait_closed().await
    }

    /// A connection that gets no protocol counts no more.
    #[asyncio::test]
    async fn go_on_when_a_factory_fails() -> Result<()> {
        struct Hello;
        impl Protocol for Hello {
            fn connection_made(&mut self, transport: &Transport) {
                transport.write("hello\n");
            }
            fn data_received(&mut self, _: &Transport, _: Bytes) {}
        }
        let mut is_first = true;
        let factory = move || match std::mem::take(&mut is_first) {
            true => panic!("not this one"),
            false => Hello,
        };
        get_running_loop()?.set_exception_handler(|_, _| {});
        let server = create_server(factory, ("127.0.0.1", 0)).max_connections(1).await?;
        let (mut refused, _one) = open_connection(server.local_addr()).await?;
        let (mut reader, _two) = open_connection(server.local_addr()).await?;
        assert_eq!(reader.readline().await?, "hello\n");
        assert!(refused.readline().await.is_ok_and(|line| line.is_empty()));
        server.close();
        Ok(())
    }
}
