//! The mode of a shared file after its transport is closed; and devices.

use super::*;
use std::os::fd::AsFd;

fn is_nonblocking(fd: &impl AsFd) -> bool {
    OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL).unwrap()).contains(OFlag::O_NONBLOCK)
}

#[test]
fn what_blocked_before_blocks_again_in_the_end() {
    run(async {
        let (reader, writer) = pipe();
        let (ours, _theirs) = UnixStream::pair()?;
        let terminal = openpty(None, None)?;
        let ends: [(OwnedFd, bool); 4] = [
            (reader.into(), true),
            (writer.into(), false),
            (ours.into(), true),
            (terminal.slave, false),
        ];
        for (end, is_reader) in ends {
            let copy = end.try_clone()?;
            let log = Log::default();
            let transport = match is_reader {
                true => read_pipe(Recorder::new(&log), end).await?,
                false => write_pipe(Recorder::new(&log), end).await?,
            };
            assert!(is_nonblocking(&copy));
            transport.close();
            log.lost().await?;
            assert!(!is_nonblocking(&copy));
        }
        Ok(())
    });
}

#[test]
fn what_did_not_block_before_stays_so() {
    run(async {
        let (reader, _writer) = pipe();
        fcntl(&reader, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        let copy = reader.try_clone()?;
        let log = Log::default();
        read_pipe(Recorder::new(&log), reader).await?.close();
        log.lost().await?;
        assert!(is_nonblocking(&copy));
        Ok(())
    });
}

/// The standard streams of a program in a terminal are such a file.
#[test]
fn an_open_file_of_several_transports_blocks_again_with_the_last() {
    run(async {
        let terminal = openpty(None, None)?;
        let (input, output) = (terminal.slave.try_clone()?, terminal.slave.try_clone()?);
        let (in_log, out_log) = (Log::default(), Log::default());
        let reader = read_pipe(Recorder::new(&in_log), input).await?;
        let writer = write_pipe(Recorder::new(&out_log), output).await?;
        reader.close();
        in_log.lost().await?;
        assert!(is_nonblocking(&terminal.slave), "the other transport needs it");
        writer.close();
        out_log.lost().await?;
        assert!(!is_nonblocking(&terminal.slave));
        Ok(())
    });
}

#[test]
fn a_loop_that_is_closed_leaves_no_file_non_blocking() {
    let (reader, _writer) = pipe();
    let copy = reader.try_clone().unwrap();
    run(async {
        read_pipe(Recorder::default(), reader).await?;
        Ok(())
    });
    assert!(!is_nonblocking(&copy));
}

#[test]
fn a_device_that_is_at_its_end_ends_at_once() {
    run(async {
        let log = Log::default();
        log.watch_handler()?;
        read_pipe(Recorder::new(&log), File::open("/dev/null")?).await?;
        log.lost().await?;
        assert_eq!(log.events(), "made eof lost");
        Ok(())
    });
}

#[test]
fn a_device_that_never_ends_is_read_until_it_is_closed_and_not_while_it_is_paused() {
    run(async {
        let log = Log::default();
        let transport = read_pipe(Recorder::new(&log), File::open("/dev/zero")?).await?;
        let so_much = |wanted: usize| move |log: &Log| log.received().len() >= wanted;
        log.until(so_much(1 << 20)).await?;
        transport.pause_reading();
        iterations(3).await?;
        let received = log.received().len();
        iterations(10).await?;
        assert_eq!(log.received().len(), received);
        transport.resume_reading();
        log.until(so_much(received + 1)).await?;
        transport.close();
        log.lost().await?;
        assert_eq!(log.events(), "made data lost");
        Ok(())
    });
}
