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
        let others: Vec<_> = all_tasks()?
            .into_iter()
            .filter(|task| Some(task) != me.as_ref())
            .collect();
        others.iter().for_each(|task| drop(task.cancel()));
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
        event_loop.set_exception_handler(Some(ExceptionHandler::new(move |context| {
            let _ = setter.set_result(context.to_string());
        })));
        event_loop.call_soon(|| panic!("as asked"))?;
        assert!(reported.await?.contains("as asked"));
        Ok(())
    }
}
