//! A reader that is fed by hand, as in CPython's `test_streams`.

use super::*;
use asyncio_core::{AsyncContextManager, scope::cancellable, wait_site::WaitSite};
use asyncio_task::{Task, create_task, current_task, timeout};
use bytes::Bytes;
use futures_lite::{
    AsyncBufReadExt, AsyncReadExt, StreamExt,
    future::{block_on, poll_once},
};

const DATA: &str = "line1\nline2\nline3\n";

fn reader(limit: usize) -> StreamReader {
    StreamReader::new(limit).unwrap()
}

/// Creates a reader with these pieces in it, and its feeder.
fn fed<const N: usize>(limit: usize, pieces: [&'static str; N]) -> (StreamReader, StreamFeeder) {
    let reader = reader(limit);
    for piece in pieces {
        reader.feed_data(piece).unwrap();
    }
    let feeder = reader.feeder();
    (reader, feeder)
}

/// Feeds a piece in each of the next iterations, and then the end.
fn feed_slowly<const N: usize>(feeder: &StreamFeeder, pieces: [&'static str; N]) -> Task<()> {
    let feeder = feeder.clone();
    create_task(async move {
        for piece in pieces {
            feeder.feed_data(piece)?;
            iterations(1).await?;
        }
        feeder.feed_eof();
        Ok(())
    })
}

#[test]
fn a_limit_of_zero_is_a_value_error() {
    let error = StreamReader::new(0).unwrap_err();
    assert!(matches!(error, Error::Value(_)));
    assert_eq!(error.to_string(), "Limit cannot be <= 0");
}

#[test]
fn read_gives_what_is_there_and_no_more_than_asked_for() {
    run_virtual(async {
        let (mut reader, feeder) = fed(10, []);
        assert_eq!(reader.read(0).await?, "", "nothing is there, and nothing asked for");
        feeder.feed_data("line1")?;
        feeder.feed_data("line2")?;
        assert_eq!(reader.read(0).await?, "");
        assert_eq!(reader.read(7).await?, "line1li");
        assert_eq!(reader.read(30).await?, "ne2");
        feeder.feed_eof();
        assert_eq!(reader.read(30).await?, "");
        assert!(reader.at_eof());
        Ok(())
    });
}

#[test]
fn read_waits_for_the_first_byte() {
    run_virtual(async {
        let (mut reader, feeder) = fed(10, []);
        feed_slowly(&feeder, ["a", "b"]);
        assert_eq!(reader.read(30).await?, "a");
        assert_eq!(reader.read(30).await?, "b");
        assert_eq!(reader.read(30).await?, "");
        Ok(())
    });
}

#[test]
fn read_and_readexactly_know_no_limit() {
    run_virtual(async {
        let (mut reader, _) = fed(3, ["chunk1", "chunk2"]);
        assert_eq!(reader.read(5).await?, "chunk");
        assert_eq!(reader.readexactly(7).await?, "1chunk2");
        Ok(())
    });
}

#[test]
fn read_to_end_waits_for_the_end_and_keeps_what_came_when_it_is_cancelled() {
    run_virtual(async {
        let (mut reader, feeder) = fed(3, ["one"]);
        let mut given_up = create_task(async move {
            assert!(is_cancelled(reader.read_to_end().await));
            Ok(reader)
        });
        iterations(1).await?;
        feeder.feed_data("two")?;
        given_up.cancel();
        let mut reader = (&mut given_up).await?;
        feed_slowly(&feeder, ["three"]);
        assert_eq!(reader.read_to_end().await?, "onetwothree");
        assert_eq!(reader.read_to_end().await?, "");
        Ok(())
    });
}

#[test]
fn readexactly_collects_across_pieces() {
    run_virtual(async {
        let (mut reader, feeder) = fed(100, []);
        assert_eq!(reader.readexactly(0).await?, "");
        feed_slowly(&feeder, ["abc", "def", "ghi"]);
        assert_eq!(reader.readexactly(8).await?, "abcdefgh");
        assert_eq!(reader.readexactly(1).await?, "i");
        Ok(())
    });
}

#[test]
fn readexactly_at_the_end_says_what_there_was() {
    run_virtual(async {
        let (mut reader, feeder) = fed(100, []);
        feed_slowly(&feeder, ["abc"]);
        let error = reader.readexactly(6).await.unwrap_err();
        assert_eq!(error.to_string(), "3 bytes read on a total of 6 expected bytes");
        let Error::IncompleteRead(error) = error else { panic!("{error:?}") };
        assert_eq!((error.partial(), error.expected()), (b"abc".as_slice(), Some(6)));
        assert!(reader.at_eof(), "the buffer was emptied");
        Ok(())
    });
}

#[test]
fn lines_come_with_their_newline_and_the_last_as_it_is() {
    run_virtual(async {
        let (mut reader, feeder) = fed(100, [DATA, "some"]);
        feed_slowly(&feeder, [" more"]);
        for expected in ["line1\n", "line2\n", "line3\n", "some more", ""] {
            assert_eq!(reader.readline().await?, expected);
        }
        Ok(())
    });
}

#[test]
fn the_limit_does_not_count_the_newline() {
    run_virtual(async {
        let (mut reader, feeder) = fed(7, ["1234567\n", "12345678\n", "rest\n"]);
        assert_eq!(reader.readline().await?, "1234567\n");
        let error = reader.readline().await.unwrap_err();
        assert!(matches!(error, Error::Value(_)));
        assert_eq!(error.to_string(), "Separator is found, but chunk is longer than limit");
        assert_eq!(reader.readline().await?, "rest\n", "only the long line is lost");
        feed_slowly(&feeder, ["7654321", "\n"]);
        assert_eq!(reader.readline().await?, "7654321\n", "the newline came later");
        Ok(())
    });
}

#[test]
fn a_line_whose_end_is_not_in_sight_takes_everything_with_it() {
    run_virtual(async {
        let (mut reader, feeder) = fed(7, ["li", "ne1", "line2"]);
        let error = reader.readline().await.unwrap_err();
        assert_eq!(error.to_string(), "Separator is not found, and chunk exceed the limit");
        feeder.feed_data("li2\n")?;
        assert_eq!(reader.readline().await?, "li2\n");
        // The same while it waits.
        feed_slowly(&feeder, ["chunk1", "chunk2", "chunk3\n"]);
        assert!(matches!(reader.readline().await, Err(Error::Value(_))));
        assert_eq!(reader.readline().await?, "chunk3\n");
        Ok(())
    });
}

#[test]
fn readuntil_gives_the_separator_too_even_when_it_arrives_in_parts() {
    run_virtual(async {
        let (mut reader, feeder) = fed(100, ["line1", "AAA"]);
        assert_eq!(reader.readuntil("AAA").await?, "line1AAA");
        feed_slowly(&feeder, ["QWERTY", "AAA", "A", "xxxA", "AAAy"]);
        assert_eq!(reader.readuntil(b"AAAA").await?, "QWERTYAAAA");
        assert_eq!(reader.readuntil(b"AAAA").await?, "xxxAAAA");
        assert_eq!(reader.read(9).await?, "y");
        Ok(())
    });
}

#[test]
fn of_several_separators_the_earliest_end_wins() {
    run_virtual(async {
        let (mut reader, feeder) = fed(100, ["ABCDEFG"]);
        assert_eq!(reader.readuntil(["DEF", "BCDE"]).await?, "ABCDE");
        assert_eq!(reader.read(9).await?, "FG");
        // A long and a short separator: the search goes back far enough.
        feed_slowly(&feeder, ["data", "\r", "\n", "x;y"]);
        assert_eq!(reader.readuntil([";", "a\r\n"]).await?, "data\r\n");
        assert_eq!(reader.readuntil([";", "a\r\n"]).await?, "x;");
        Ok(())
    });
}

#[test]
fn a_short_separator_is_found_before_there_is_room_for_the_long_one() {
    run_virtual(async {
        let (mut reader, feeder) = fed(100, ["a"]);
        feed_slowly(&feeder, [";"]);
        assert_eq!(reader.readuntil([";", "a very long separator"]).await?, "a;");
        Ok(())
    });
}

#[test]
fn an_empty_separator_is_a_value_error() {
    run_virtual(async {
        let (mut reader, _) = fed(100, ["ab"]);
        let empty = "Separator should be at least one-byte string";
        assert_eq!(text(reader.readuntil(b"").await), empty);
        assert_eq!(text(reader.readuntil(["a", ""]).await), empty);
        let none = "Separator should contain at least one element";
        assert_eq!(text(reader.readuntil(Vec::<&str>::new()).await), none);
        assert_eq!(reader.read(9).await?, "ab");
        Ok(())
    });
}

#[test]
fn beyond_the_limit_readuntil_leaves_everything_where_it_is() {
    run_virtual(async {
        let (mut reader, feeder) = fed(3, ["some dataAA"]);
        let overrun = |error: Error| match error {
            Error::LimitOverrun(error) => (error.consumed(), error.to_string()),
            error => panic!("{error:?}"),
        };
        let not_found = "Separator is not found, and chunk exceed the limit".to_owned();
        let found = "Separator is found, but chunk is longer than limit".to_owned();
        let error = reader.readuntil(b"AAA").await.unwrap_err();
        assert_eq!(overrun(error), (9, not_found));
        feeder.feed_data("A")?;
        let error = reader.readuntil(b"AAA").await.unwrap_err();
        assert_eq!(overrun(error), (9, found));
        assert_eq!(reader.readexactly(9).await?, "some data");
        assert_eq!(reader.readuntil(b"AAA").await?, "AAA", "gone past it");
        Ok(())
    });
}

#[test]
fn the_end_before_a_separator_is_an_incomplete_read() {
    run_virtual(async {
        let (mut reader, feeder) = fed(100, ["some dataAA"]);
        feeder.feed_eof();
        let error = reader.readuntil(b"AAA").await.unwrap_err();
        let text = "11 bytes read on a total of undefined expected bytes";
        assert_eq!(error.to_string(), text);
        let Error::IncompleteRead(error) = error else { panic!("{error:?}") };
        assert_eq!((error.partial(), error.expected()), (b"some dataAA".as_slice(), None));
        assert!(reader.at_eof());
        Ok(())
    });
}

#[test]
fn an_exception_comes_before_data_that_is_left_and_the_end_after_it() {
    run_virtual(async {
        let (mut reader, feeder) = fed(100, ["line\n"]);
        assert!(reader.exception().is_none());
        feeder.set_exception(Error::value("broken"));
        assert_eq!(reader.exception().unwrap().to_string(), "broken");
        assert_eq!(text(reader.read(2).await), "broken");
        assert_eq!(text(reader.read_to_end().await), "broken");
        assert_eq!(text(reader.readexactly(0).await), "broken");
        assert_eq!(text(reader.readline().await), "broken");
        assert_eq!(text(reader.readuntil(b"i").await), "broken");
        Ok(())
    });
}

#[test]
fn an_exception_ends_a_read_that_waits() {
    run_virtual(async {
        let (mut reader, feeder) = fed(100, ["li"]);
        let waiting = create_task(async move { reader.readline().await });
        iterations(1).await?;
        feeder.set_exception(Error::value("broken"));
        assert_eq!(text(waiting.await), "broken");
        Ok(())
    });
}

#[test]
fn what_woke_a_read_is_read_although_an_exception_followed() {
    run_virtual(async {
        let (mut reader, feeder) = fed(100, []);
        let waiting = create_task(async move { Ok((reader.read(9).await?, reader)) });
        iterations(1).await?;
        feeder.feed_data("last words")?;
        feeder.set_exception(Error::value("broken"));
        let (data, mut reader) = waiting.await?;
        assert_eq!(data, "last word");
        assert_eq!(text(reader.read(9).await), "broken");
        Ok(())
    });
}

#[test]
fn an_exception_after_the_reader_was_cancelled_does_no_harm() {
    run_virtual(async {
        let (mut reader, feeder) = fed(100, []);
        let waiting = create_task(async move { reader.readline().await });
        iterations(1).await?;
        waiting.cancel();
        feeder.set_exception(Error::value("broken"));
        assert!(is_cancelled(waiting.await));
        Ok(())
    });
}

#[test]
fn a_cancelled_read_leaves_the_data_to_the_next() {
    run_virtual(async {
        let (mut reader, feeder) = fed(100, ["par"]);
        let mut task = create_task(async move {
            assert!(is_cancelled(reader.readexactly(6).await));
            assert!(is_cancelled(reader.readline().await));
            assert!(is_cancelled(reader.readuntil(b"!").await));
            Ok(reader)
        });
        for _ in 0..3 {
            iterations(1).await?;
            task.cancel();
            iterations(1).await?;
        }
        let mut reader = (&mut task).await?;
        feeder.feed_data("tial")?;
        assert_eq!(reader.read(100).await?, "partial");
        Ok(())
    });
}

#[test]
fn a_read_cancelled_after_it_was_woken_leaves_the_data_to_the_next() {
    run_virtual(async {
        let (mut reader, feeder) = fed(100, []);
        let task = create_task(async move {
            assert!(is_cancelled(reader.read(100).await));
            reader.read(100).await
        });
        iterations(1).await?;
        feeder.feed_data("kept")?;
        task.cancel();
        assert_eq!(task.await?, "kept");
        Ok(())
    });
}

#[test]
fn a_read_that_is_dropped_leaves_the_data_to_the_next() {
    run_virtual(async {
        let (mut reader, feeder) = fed(100, []);
        let nap = Duration::from_millis(1);
        {
            let read = reader.read(100);
            let first = futures_lite::future::or(async { read.await.map(drop) }, sleep(nap));
            first.await?;
        }
        feeder.feed_data("kept")?;
        assert_eq!(reader.read(100).await?, "kept");
        Ok(())
    });
}

#[test]
fn a_cancellation_says_where_the_read_waits() {
    run_virtual(async {
        let (mut reader, _feeder) = fed(100, []);
        let line = line!() + 1;
        let task = create_task(async move { reader.readline().await });
        iterations(1).await?;
        let site: WaitSite = task.wait_site().unwrap();
        assert_eq!((site.what(), site.location().line()), ("StreamReader.readline", line));
        task.cancel();
        assert!(is_cancelled(task.await));
        Ok(())
    });
}

#[test]
fn nothing_is_fed_after_the_end() {
    let reader = reader(9);
    reader.feed_eof();
    reader.feed_eof();
    assert_eq!(text(reader.feed_data("x")), "feed_data after feed_eof");
}

#[test]
fn lines_are_a_stream_until_the_end() {
    run_virtual(async {
        let (mut reader, feeder) = fed(100, ["one\ntw"]);
        feed_slowly(&feeder, ["o\n", "three"]);
        let mut lines = Vec::new();
        while let Some(line) = reader.next().await {
            lines.push(line?);
        }
        assert_eq!(lines, ["one\n", "two\n", "three"]);
        Ok(())
    });
}

#[test]
fn a_stream_of_lines_goes_on_after_a_long_line_and_ends_with_an_exception() {
    run_virtual(async {
        let (reader, feeder) = fed(3, ["long line\na\nb"]);
        let items = create_task(async move { Ok(reader.collect::<Vec<_>>().await) });
        iterations(1).await?;
        feeder.set_exception(Error::value("broken"));
        let items: Vec<String> = (items.await?.into_iter())
            .map(|item| item.map_or_else(|e| e.to_string(), |line| format!("{line:?}")))
            .collect();
        let long = "Separator is found, but chunk is longer than limit";
        assert_eq!(items, [long, "b\"a\\n\"", "broken"]);
        Ok(())
    });
}

#[test]
fn a_cancelled_stream_of_lines_says_so_and_goes_on() {
    run_virtual(async {
        let (mut reader, feeder) = fed(100, ["on"]);
        let task = create_task(async move {
            assert!(is_cancelled(reader.next().await.unwrap()));
            reader.next().await.unwrap()
        });
        iterations(1).await?;
        task.cancel();
        iterations(1).await?;
        feeder.feed_data("e\n")?;
        assert_eq!(task.await?, "one\n");
        Ok(())
    });
}

#[test]
fn what_the_traits_do_not_consume_is_left_to_the_methods() {
    run_virtual(async {
        let (mut reader, feeder) = fed(100, ["ab\ncd", "ef"]);
        assert_eq!(reader.fill_buf().await?, b"ab\ncdef");
        AsyncBufReadExt::consume(&mut reader, 1);
        assert!(!reader.at_eof());
        let mut two = [0; 1];
        reader.read_exact(&mut two).await?;
        assert_eq!(two, *b"b");
        feeder.feed_data("gh\n")?;
        feeder.feed_eof();
        assert_eq!(reader.fill_buf().await?, b"\ncdef", "what is lent stays lent");
        assert!(!reader.at_eof());
        assert_eq!(reader.readline().await?, "\n");
        assert_eq!(reader.fill_buf().await?, b"cdefgh\n");
        assert_eq!(reader.next().await.unwrap()?, "cdefgh\n");
        assert!(reader.at_eof());
        let mut rest = Vec::new();
        assert_eq!(AsyncReadExt::read_to_end(&mut reader, &mut rest).await?, 0);
        Ok(())
    });
}

#[test]
fn a_cancellation_does_not_come_out_of_the_traits_but_of_the_scope_around() {
    run_virtual(async {
        let (mut reader, feeder) = fed(100, []);
        let task = create_task(async move {
            let mut text = String::new();
            let outcome: Result<()> = cancellable(async {
                // A library may convert every error of its connection in this way.
                assert!(reader.read_to_string(&mut text).await.is_ok());
                Ok(())
            })
            .await;
            assert!(matches!(outcome, Err(Error::Cancelled(_))), "{outcome:?}");
            // The clean-up may await, and read.
            reader.read(9).await
        });
        iterations(1).await?;
        task.cancel();
        iterations(1).await?;
        feeder.feed_data("bye")?;
        assert_eq!(task.await?, "bye");
        Ok(())
    });
}

#[test]
fn chunks_end_with_the_stream_and_a_cancelled_one_loses_nothing() {
    run_virtual(async {
        let (mut reader, feeder) = fed(100, ["abc"]);
        let limit = Duration::from_secs(1);
        assert_eq!(reader.read_chunk(2).await?.as_deref(), Some(&b"ab"[..]));
        assert_eq!(reader.read_chunk(2).await?.as_deref(), Some(&b"c"[..]));
        assert!(wait_for(reader.read_chunk(2), limit).await.unwrap_err().is_timeout());
        feeder.feed_data("d")?;
        assert_eq!(reader.read_chunk(2).await?.as_deref(), Some(&b"d"[..]));
        feeder.feed_eof();
        assert_eq!(reader.read_chunk(2).await?, None);
        feeder.set_exception(Error::runtime("lost"));
        assert_eq!(reader.read_chunk(2).await.unwrap_err().to_string(), "lost");
        Ok(())
    });
}

#[test]
fn a_line_that_is_late_is_returned_by_the_next_call() {
    run_virtual(async {
        let (mut reader, feeder) = fed(100, ["first\nsec"]);
        let limit = Duration::from_secs(1);
        assert_eq!(wait_for(reader.readline(), limit).await?, "first\n");
        assert!(wait_for(reader.readline(), limit).await.unwrap_err().is_timeout());
        assert!(wait_for(reader.readline(), Duration::ZERO).await.unwrap_err().is_timeout());
        feeder.feed_data("ond\nthird\n")?;
        assert_eq!(wait_for(reader.readline(), limit).await?, "second\n");
        assert_eq!(cancellable(reader.readline()).await?, "third\n");
        Ok(())
    });
}

#[test]
fn a_method_takes_the_place_of_a_poll_that_was_given_up() {
    run_virtual(async {
        let (mut reader, feeder) = fed(100, []);
        let task = create_task(async move {
            {
                let first = async { reader.next().await.map(|_| ()) };
                let second = async { sleep(Duration::ZERO).await.ok() };
                futures_lite::future::or(first, second).await;
            }
            let second = timeout(Duration::from_secs(1));
            let outcome = second.with(async |_| reader.read(9).await).await;
            assert!(outcome.unwrap_err().is_timeout());
            assert_eq!(current_task().unwrap().cancelling(), 0);
            reader.read(9).await
        });
        sleep(Duration::from_secs(2)).await?;
        feeder.feed_data("after")?;
        assert_eq!(task.await?, "after");
        Ok(())
    });
}

#[test]
fn a_poll_that_was_given_up_is_not_cancelled_later() {
    run_virtual(async {
        let (mut reader, feeder) = fed(100, []);
        let task = create_task(async move {
            assert!(poll_once(reader.next()).await.is_none());
            assert!(is_cancelled(reader.read(9).await));
            reader.next().await.unwrap()
        });
        iterations(1).await?;
        task.cancel();
        iterations(1).await?;
        feeder.feed_data("line\n")?;
        assert_eq!(task.await?, "line\n");
        Ok(())
    });
}

#[test]
fn bytes_that_are_lent_are_not_at_the_end() {
    run_virtual(async {
        let (mut reader, feeder) = fed(100, ["ab"]);
        feeder.feed_eof();
        assert_eq!(reader.fill_buf().await?, b"ab");
        assert!(!reader.at_eof());
        AsyncBufReadExt::consume(&mut reader, 2);
        assert!(reader.at_eof());
        Ok(())
    });
}

#[test]
fn no_bytes_are_read_at_once_even_while_another_poll_waits() {
    run_virtual(async {
        let (mut reader, _feeder) = fed(100, []);
        assert!(poll_once(reader.fill_buf()).await.is_none());
        assert_eq!(poll_once(AsyncReadExt::read(&mut reader, &mut [])).await.unwrap()?, 0);
        Ok(())
    });
}

#[test]
fn a_line_is_searched_from_its_own_beginning() {
    run_virtual(async {
        let (mut reader, feeder) = fed(100, ["abcdef"]);
        assert!(poll_once(reader.next()).await.is_none());
        feeder.feed_data("\nx\nabcdef")?;
        assert_eq!(poll_once(reader.next()).await.unwrap().unwrap()?, "abcdef\n");
        assert_eq!(poll_once(reader.next()).await.unwrap().unwrap()?, "x\n");
        // Data that another read takes from its beginning no longer counts.
        assert!(poll_once(reader.next()).await.is_none());
        let mut three = [0; 3];
        reader.read_exact(&mut three).await?;
        feeder.feed_data("\n")?;
        assert_eq!(poll_once(reader.next()).await.unwrap().unwrap()?, "def\n");
        assert!(poll_once(reader.next()).await.is_none());
        feeder.feed_data("abcdef")?;
        assert!(poll_once(reader.next()).await.is_none());
        assert_eq!(reader.read(3).await?, "abc");
        feeder.feed_data("\n")?;
        assert_eq!(poll_once(reader.next()).await.unwrap().unwrap()?, "def\n");
        Ok(())
    });
}

#[test]
fn another_thread_may_feed_and_another_executor_read() {
    let mut reader = reader(100);
    let feeder = reader.feeder();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for n in 0..1000 {
                feeder.feed_data(format!("{n}\n")).unwrap();
            }
            feeder.feed_eof();
        });
        let lines = futures_lite::future::block_on(async {
            let mut lines = 0;
            while let Some(line) = reader.next().await {
                assert_eq!(line?, format!("{lines}\n"));
                lines += 1;
            }
            Ok::<_, Error>(lines)
        });
        assert_eq!(lines.unwrap(), 1000);
    });
}

#[test]
fn a_read_that_was_woken_may_be_finished_on_another_thread() {
    run(async {
        let (mut reader, feeder) = fed(100, []);
        let mut read = Box::pin(reader.read(9));
        assert!(poll_once(&mut read).await.is_none());
        feeder.feed_data("far away")?;
        let data = std::thread::scope(|scope| scope.spawn(|| block_on(read)).join().unwrap());
        assert_eq!(data?, "far away");
        // And a line that was not.
        let mut read = Box::pin(reader.read(9));
        assert!(poll_once(&mut read).await.is_none());
        let data = std::thread::scope(|scope| {
            let reading = scope.spawn(|| block_on(read));
            feeder.feed_data("farther").unwrap();
            reading.join().unwrap()
        });
        assert_eq!(data?, "farther");
        Ok(())
    });
}

#[test]
fn the_reader_and_its_futures_can_be_sent() {
    fn check<T: Send + Sync>(_: &T) {}
    let mut reader = reader(1);
    check(&reader);
    check(&reader.feeder());
    check(&reader.read(1));
    check(&reader.read_to_end());
    check(&reader.readexactly(1));
    check(&reader.readline());
    check(&reader.readuntil([";"]));
}

#[test]
fn a_reader_shows_what_it_has() {
    let (reader, feeder) = fed(DEFAULT_LIMIT, []);
    assert_eq!(format!("{reader:?}"), "<StreamReader>");
    feeder.feed_data(Bytes::from("12345")).unwrap();
    feeder.feed_eof();
    assert_eq!(format!("{reader:?}"), "<StreamReader 5 bytes eof>");
    let (reader, feeder) = fed(7, []);
    feeder.set_exception(Error::value("broken"));
    assert_eq!(format!("{reader:?}"), "<StreamReader limit=7 exception=broken>");
}

#[test]
fn one_call_may_have_a_limit_of_its_own() {
    block_on(async {
        let mut reader = StreamReader::new(4)?;
        reader.feed_data("a line\nanother\nlast")?;
        assert_eq!(reader.readline().limit(6).await?, "a line\n");
        assert!(matches!(reader.readuntil(b"\n").limit(3).await, Err(Error::LimitOverrun(_))));
        assert_eq!(reader.readuntil(b"\n").limit(7).await?, "another\n");
        // The next call has the reader's limit again.
        reader.feed_data(" line\n")?;
        assert!(matches!(reader.readline().await, Err(Error::Value(_))));
        reader.feed_data("abcdef")?;
        reader.feed_eof();
        assert_eq!(reader.readline().limit(6).await?, "abcdef");
        Ok::<_, Error>(())
    })
    .unwrap();
}
