//! Water marks, the end of writing, many pieces, and peers that do not read.

use super::*;
use asyncio_task::to_thread;

const HIGH: usize = 64 * 1024;
/// More than the system takes at once.
const LARGE: usize = 3_000_000;

/// Creates a connection whose other side reads nothing yet, and whose socket is full.
async fn full(recorder: Recorder) -> Result<(Transport, UnixStream, usize)> {
    let (ours, theirs) = UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let filled = fill(&ours);
    let transport = connect(ours, recorder);
    iterations(2).await?;
    Ok((transport, theirs, filled))
}

fn skip(from: &mut UnixStream, length: usize) -> Result<()> {
    Ok(from.read_exact(&mut vec![0; length])?)
}

#[test]
fn what_the_system_takes_is_not_buffered() {
    run(async {
        let log = Log::default();
        let (transport, mut theirs) = pair(Recorder::new(&log));
        transport.write(b"");
        transport.write(b"hello ");
        transport.writelines([b"wor".as_slice(), b"", b"ld"]);
        assert_eq!(transport.get_write_buffer_size(), 0);
        let mut seen = [0; 11];
        theirs.read_exact(&mut seen)?;
        assert_eq!(&seen, b"hello world");
        Ok(())
    });
}

#[test]
fn it_pauses_above_the_high_mark_and_goes_on_at_the_low_one() {
    run(async {
        let log = Log::default();
        let (transport, mut theirs, filled) = full(Recorder::new(&log)).await?;
        assert_eq!(transport.get_write_buffer_limits(), (HIGH / 4, HIGH));
        transport.write([b'a'; HIGH]);
        assert_eq!((log.events(), transport.get_write_buffer_size()), ("made".into(), HIGH));
        transport.write(b"b");
        assert_eq!(log.events(), "made pause", "told by the time that write returns");
        transport.write(b"c");
        assert_eq!(log.events(), "made pause", "once");
        let reading =
            create_task(to_thread(move || skip(&mut theirs, filled + HIGH + 2).map(|()| theirs)));
        log.wait("resume").await?;
        assert!(transport.get_write_buffer_size() <= HIGH / 4);
        let _theirs = reading.await??;
        assert_eq!(log.events(), "made pause resume");
        Ok(())
    });
}

#[test]
fn new_marks_count_at_once() {
    run(async {
        let log = Log::default();
        let (transport, _theirs, _) = full(Recorder::new(&log)).await?;
        transport.write([b'a'; 1000]);
        transport.set_write_buffer_limits(Some(1000), None)?;
        assert_eq!(
            (log.events(), transport.get_write_buffer_limits()),
            ("made".into(), (250, 1000))
        );
        transport.set_write_buffer_limits(None, Some(100))?;
        assert_eq!(
            (&*log.events(), transport.get_write_buffer_limits()),
            ("made pause", (100, 400))
        );
        let error = transport.set_write_buffer_limits(Some(1), Some(2)).unwrap_err();
        assert!(matches!(error, Error::Value(_)));
        assert_eq!(transport.get_write_buffer_limits(), (100, 400));
        transport.set_write_buffer_limits(Some(2000), Some(1000))?;
        assert_eq!(log.events(), "made pause resume");
        transport.set_write_buffer_limits(Some(0), None)?;
        assert_eq!(log.events(), "made pause resume pause");
        Ok(())
    });
}

#[test]
fn a_protocol_that_writes_is_told_right_after_its_callback() {
    run(async {
        let log = Log::default();
        let inside = log.clone();
        let recorder = Recorder::new(&log).on("data", move |transport| {
            transport.write([b'x'; HIGH + 1]);
            inside.add("written");
        });
        let (transport, mut theirs, filled) = full(recorder).await?;
        theirs.write_all(b"go")?;
        log.wait("written").await?;
        assert_eq!(log.events(), "made data written pause");
        let _reading = read_all(theirs);
        log.wait("resume").await?;
        assert!(filled > 0);
        transport.close();
        log.lost().await
    });
}

#[test]
fn what_is_written_in_the_callbacks_of_flow_control_keeps_its_order() {
    run(async {
        let log = Log::default();
        let more = Cell::new(3);
        let recorder = Recorder::new(&log).on("resume", move |transport| {
            if more.get() > 0 {
                more.set(more.get() - 1);
                transport.write(vec![b'0' + more.get(); LARGE]);
            } else {
                transport.close();
            }
        });
        let (transport, theirs, filled) = full(recorder).await?;
        transport.write(vec![b'3'; LARGE]);
        let all = read_all(theirs).all().await?;
        let expected: Vec<u8> = b"3210".iter().flat_map(|n| vec![*n; LARGE]).collect();
        assert!(all[filled..] == expected);
        log.lost().await?;
        let pairs = "pause resume ".repeat(4);
        assert_eq!(log.events(), format!("made {pairs}lost"));
        Ok(())
    });
}

#[test]
fn more_pieces_than_a_system_call_takes_all_arrive() {
    // The loop polls for I/O in every iteration, so the initial readiness is known soon. And TCP
    // does not report room in a socket that was never full.
    run_step_by_step(async {
        let (ours, theirs) = tcp_pair();
        let log = Log::default();
        let transport = connect(ours, Recorder::new(&log));
        iterations(5).await?;
        let pieces: Vec<Vec<u8>> = (0..5000u32).map(|n| n.to_string().into_bytes()).collect();
        let reading = read_all(theirs);
        transport.writelines(&pieces);
        transport.writelines(Vec::<Vec<u8>>::new());
        transport.close();
        assert!(reading.all().await? == pieces.concat());
        Ok(())
    });
}

#[test]
fn pieces_that_are_sent_in_part_are_not_sent_again() {
    run(async {
        let log = Log::default();
        let (transport, theirs) = pair(Recorder::new(&log));
        let pieces: Vec<Vec<u8>> = (0..100u8).map(|n| vec![n; 50_000 + usize::from(n)]).collect();
        transport.writelines(&pieces);
        assert!(transport.get_write_buffer_size() > 0);
        transport.writelines([b"the", b"end"]);
        transport.close();
        let all = read_all(theirs).all().await?;
        assert!(all == [pieces.concat(), b"theend".to_vec()].concat());
        Ok(())
    });
}

#[test]
fn the_end_of_writing_comes_after_what_is_buffered_and_reading_goes_on() {
    run(async {
        let log = Log::default();
        log.watch_handler()?;
        let (transport, theirs) = pair(Recorder::new(&log).staying_open());
        log.wait("made").await?;
        assert!(transport.can_write_eof());
        transport.write(vec![b'x'; LARGE]);
        transport.write_eof();
        transport.write_eof();
        transport.write(b"more");
        transport.writelines([b"more"]);
        let copy = theirs.try_clone()?;
        let all = read_all(theirs).all().await?;
        assert_eq!(all.len(), LARGE);
        (&copy).write_all(b"answer")?;
        log.wait("data").await?;
        let refused = ["write", "writelines"].map(|what| {
            let error = format!("Cannot call {what}() after write_eof()");
            format!("handler: transport.{what}() failed: {error}")
        });
        let refused = refused.join(" ");
        assert_eq!(log.events(), format!("made pause {refused} resume data"));
        copy.shutdown(Shutdown::Both)?;
        log.wait("eof").await?;
        transport.close();
        log.lost().await
    });
}

#[test]
fn the_end_of_writing_does_nothing_to_what_is_closing() {
    run(async {
        let log = Log::default();
        log.watch_handler()?;
        let (transport, theirs) = pair(Recorder::new(&log));
        log.wait("made").await?;
        transport.write(vec![b'x'; LARGE]);
        transport.close();
        transport.write_eof();
        // It is still sent, as in asyncio.
        transport.write(b"!");
        let all = read_all(theirs).all().await?;
        assert_eq!((all.len(), all.last()), (LARGE + 1, Some(&b'!')));
        log.lost().await?;
        assert_eq!(log.events(), "made pause resume lost");
        Ok(())
    });
}

#[test]
fn writing_to_a_peer_that_is_gone_ends_the_connection() {
    run(async {
        let log = Log::default();
        log.watch_handler()?;
        let (transport, theirs) = pair(Recorder::new(&log).staying_open());
        log.wait("made").await?;
        drop(theirs);
        log.wait("eof").await?;
        transport.write(b"anyone?");
        assert!(transport.is_closing());
        transport.write(b"no");
        log.lost().await?;
        assert_eq!(
            log.events(),
            "made eof lost:BrokenPipe",
            "an error of the system is not reported"
        );
        Ok(())
    });
}

#[test]
fn a_peer_that_never_reads_costs_what_the_protocol_buffers_and_no_more() {
    run(async {
        let log = Log::default();
        let paused = Rc::new(Cell::new(false));
        let (pause, resume) = (paused.clone(), paused.clone());
        let recorder = Recorder::new(&log)
            .on("pause", move |_| pause.set(true))
            .on("resume", move |_| resume.set(false));
        let (transport, mut theirs) = pair(recorder);
        let mut written = 0;
        while written < 20_000_000 {
            while !paused.get() && written < 20_000_000 {
                transport.write([b'x'; 1000]);
                written += 1000;
                assert!(transport.get_write_buffer_size() <= HIGH + 1000);
            }
            theirs.set_nonblocking(true)?;
            while theirs.read(&mut [0; 65536]).is_ok_and(|n| n > 0) {}
            iterations(1).await?;
        }
        Ok(())
    });
}
