//! Tests of [`Error`].

use super::*;
use std::{num::ParseIntError, panic::Location};

#[test]
fn an_error_is_two_words_and_thread_safe() {
    fn thread_safe<T: Send + Sync + 'static>() {}
    thread_safe::<Error>();
    assert_eq!(size_of::<Error>(), 2 * size_of::<usize>());
    assert_eq!(size_of::<Result<()>>(), 2 * size_of::<usize>());
}

#[test]
fn question_mark_finds_the_variant() {
    fn fails<E: StdError + Send + Sync + 'static>(error: E) -> Error {
        let result: Result<()> = (|| Err(error)?)();
        result.unwrap_err()
    }
    assert!(
        matches!(fails(io::Error::from_raw_os_error(2)), Error::Io(e) if e.raw_os_error() == Some(2))
    );
    assert!(matches!(fails(QueueFull::default()), Error::QueueFull(_)));
    assert!(fails(CancelledError::new("stop")).is_cancelled());
    assert!(matches!(fails("x".parse::<i32>().unwrap_err()), Error::Other(_)));
}

#[test]
fn downcasting_gives_the_original_back() {
    let error = Error::from("x".parse::<i32>().unwrap_err());
    let copy = error.clone();
    let error = error.downcast::<ParseIntError>().unwrap_err();
    drop(copy);
    assert!(error.downcast_ref::<io::Error>().is_none());
    assert!(error.downcast::<ParseIntError>().is_ok());

    let io: io::Error = Error::from(io::Error::from_raw_os_error(13)).into();
    assert_eq!(io.raw_os_error(), Some(13));
    let shared = Error::from(io::Error::from_raw_os_error(13));
    assert_eq!(io::Error::from(shared.clone()).raw_os_error(), Some(13));
    let while_handling = shared.clone().with_context(Error::msg("before"));
    let back = Error::from(io::Error::from(while_handling.clone()));
    assert_eq!(back.context().map(Error::to_string).as_deref(), Some("before"));
    drop((shared, while_handling));
}

#[test]
fn an_error_survives_a_trip_through_a_box() {
    let boxed: Box<dyn StdError + Send + Sync> = Error::runtime("no").into();
    assert!(matches!(Error::from_boxed(boxed), Error::Runtime(_)));
    let io: io::Error = Error::from(TimeoutError::default()).into();
    assert_eq!(io.kind(), io::ErrorKind::TimedOut);
    assert!(Error::from(io).is_timeout());
}

#[test]
fn debug_shows_the_causes() {
    let error = Error::from(TimeoutError::default())
        .with_context(Error::from(CancelledError::new("deadline")))
        .with_context(Error::msg("first"));
    assert_eq!(
        format!("{error:?}"),
        "TimeoutError: timed out\n  while handling: CancelledError: deadline\n    while handling: Error: first"
    );
    let group = Error::Group(ExceptionGroup::new("two", vec![Error::msg("a"), Error::msg("b")]));
    assert_eq!(
        format!("{group:?}"),
        "ExceptionGroup: two (2 sub-exceptions)\n  1. Error: a\n  2. Error: b"
    );
}

#[test]
fn an_error_is_no_context_of_its_own_copies() {
    for error in [Error::value("it"), Error::msg("it"), Error::from(CancelledError::default())] {
        assert!(error.clone().with_context(error.clone()).context().is_none());
        let later = Error::runtime("later").with_context(error.clone());
        let once = later.clone().with_context(error).with_context(later);
        assert_eq!(std::iter::successors(once.context(), |e| e.context()).count(), 1);
    }
    let alike = Error::value("it").with_context(Error::value("it"));
    assert!(alike.context().is_some());
}

#[test]
fn a_panic_keeps_its_message_and_its_payload() {
    let error = Error::from_panic(Box::new("boom"));
    let Error::Panic(panic) = &error else { panic!("{error:?}") };
    assert_eq!(panic.message(), "boom");
    assert!(panic.take_payload().is_some() && panic.take_payload().is_none());
}

#[test]
fn the_number_of_a_system_error_is_found_under_every_text() {
    #[derive(Debug)]
    struct Text(io::Error);
    impl std::fmt::Display for Text {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "open: {}", self.0)
        }
    }
    impl StdError for Text {
        fn source(&self) -> Option<&(dyn StdError + 'static)> {
            Some(&self.0)
        }
    }
    let number = |error: io::Error| match Error::from(error) {
        Error::Io(error) => error.raw_os_error(),
        error => panic!("{error:?}"),
    };
    let text = |error: io::Error| io::Error::new(error.kind(), Text(error));
    let system = || io::Error::from_raw_os_error(24);
    assert_eq!(number(system()), Some(24));
    assert_eq!(number(text(system())), Some(24));
    assert_eq!(number(text(text(system()))), Some(24));
    assert_eq!(number(io::Error::other(system())), Some(24));
    assert_eq!(number(io::Error::other(text(system()))), Some(24));
    assert_eq!(number(text(io::Error::other("no number"))), None);
    assert_eq!(number(io::ErrorKind::NotFound.into()), None);
}

#[test]
fn a_group_that_is_nested_deeply_is_shown_in_part_and_dropped() {
    let mut error = Error::runtime("leaf");
    for _ in 0..100_000 {
        error = Error::Group(ExceptionGroup::new("nested", [error]));
    }
    let shown = format!("{error:?}");
    assert_eq!(shown.matches("nested (1 sub-exception)").count(), MAX_GROUPS_SHOWN);
    assert!(shown.ends_with("... (groups are shown up to 10 levels deep)"), "{shown}");
    drop(error);
    let many: Vec<Error> = (0..20).map(Error::msg).collect();
    let shown = format!("{:?}", Error::Group(ExceptionGroup::new("many", many)));
    assert!(shown.ends_with("15. Error: 14\n  and 5 more"), "{shown}");
}

/// Returns the `{:?}` text without the backtraces that the environment may have requested.
fn shown(error: &Error) -> String {
    let is_backtrace = |line: &&str| {
        let line = line.trim_start();
        let is_frame = line.trim_start_matches(|c: char| c.is_ascii_digit()).starts_with(": ");
        line == "backtrace:" || line.starts_with("at ") || is_frame
    };
    let text = format!("{error:?}");
    text.lines().filter(|line| !is_backtrace(line)).collect::<Vec<_>>().join("\n")
}

#[test]
fn an_error_that_comes_in_keeps_its_line() {
    fn parse() -> Result<i32> {
        Ok("x".parse::<i32>()?)
    }
    let line = line!() - 2;
    let error = parse().unwrap_err();
    assert_eq!(error.location().map(|at| (at.file(), at.line())), Some((file!(), line)));
    assert_eq!(shown(&error), format!("invalid digit found in string, at {}:{line}", file!()));
    assert_eq!(error.to_string(), "invalid digit found in string");
    // When it passes through other types, it keeps the first line.
    let boxed: Box<dyn StdError + Send + Sync> = error.into();
    let again = (|| -> Result<()> { Err(boxed).into_asyncio()? })().unwrap_err();
    assert_eq!(again.location().map(Location::line), Some(line));
    let group = ExceptionGroup::new("two", [again, Error::runtime("b")]);
    let shown = shown(&Error::Group(group));
    assert!(shown.contains(&format!("string, at {}:{line}\n  2. RuntimeError: b", file!())));
}

#[test]
fn no_line_is_said_of_the_standard_library() {
    let by_name = "x".parse::<i32>().map_err(Error::from).unwrap_err();
    assert_eq!(shown(&by_name), "invalid digit found in string");
    let by_method = "x".parse::<i32>().into_asyncio().unwrap_err();
    assert_eq!(by_method.location().map(Location::line), Some(line!() - 1));
}

#[test]
fn an_error_of_ours_has_no_line() {
    let error = (|| -> Result<()> { Err(QueueFull::default())? })().unwrap_err();
    assert_eq!(format!("{error:?}"), "QueueFull: the queue is full");
}

#[test]
fn notes_change_neither_kind_nor_message() {
    let missing = || Err::<(), _>(io::Error::from_raw_os_error(2));
    let error = missing().add_note(format_args!("reading {}", "a")).add_note("b\nc").unwrap_err();
    assert!(matches!(&error, Error::Io(e) if e.raw_os_error() == Some(2)));
    assert_eq!(error.notes(), ["reading a", "b\nc"]);
    let shown = shown(&error);
    assert!(shown.ends_with(&format!(":{}\n  reading a\n  b\n  c", line!() - 4)), "{shown}");
    let copy = error.clone().add_note("of the copy");
    assert_eq!((error.notes().len(), copy.notes().len()), (2, 3));
    let cancelled = Err::<(), Error>(CancelledError::new("stop").into()).add_note("while serving");
    assert!(matches!(cancelled, Err(Error::Cancelled(e)) if e.message() == Some("stop")));
}

#[test]
fn a_note_that_is_not_needed_is_not_formatted() {
    struct Never;
    impl std::fmt::Display for Never {
        fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            panic!("formatted")
        }
    }
    assert_eq!(Ok::<_, io::Error>(1).add_note(Never).unwrap(), 1);
}

#[test]
fn a_part_of_a_group_keeps_its_notes() {
    let group = ExceptionGroup::new("two", [Error::value("a"), Error::msg("b")]);
    let Error::Group(group) = Error::Group(group).add_note("n") else { unreachable!() };
    let (values, _) = group.split(|error| matches!(error, Error::Value(_)));
    assert_eq!(values.map(Error::Group).unwrap().notes(), ["n"]);
}

/// Returns the error that the adapter makes of a `Result<_, E>`.
fn adapted<E: Into<Box<dyn StdError + Send + Sync>> + 'static>(error: E) -> Error {
    let future = coroutine(async { Err::<(), E>(error) });
    futures_lite::future::block_on(future).unwrap_err()
}

#[test]
fn the_adapter_keeps_originals_and_cancellations() {
    let parse = || "x".parse::<i32>().unwrap_err();
    assert!(adapted(parse()).downcast::<ParseIntError>().is_ok());
    let boxed: Box<dyn StdError + Send + Sync> = parse().into();
    assert!(adapted(boxed).downcast::<ParseIntError>().is_ok());
    assert!(matches!(adapted(io::Error::from_raw_os_error(2)), Error::Io(_)));
    assert!(matches!(adapted(CancelledError::new("stop")), Error::Cancelled(_)));
    assert!(matches!(adapted(Error::runtime("no")), Error::Runtime(_)));
    assert_eq!(adapted("a text").to_string(), "a text");
    assert_eq!(adapted(parse()).location().map(Location::file), Some(file!()));
}

// A process reads the setting for backtraces only once.
#[cfg(not(miri))]
#[test]
fn a_backtrace_is_kept_where_the_environment_asks_for_one() {
    const NAME: &str = "error::tests::a_backtrace_is_kept_where_the_environment_asks_for_one";
    const VARIABLE: &str = "RUST_LIB_BACKTRACE";
    if std::env::var_os(VARIABLE).is_none_or(|value| value != "full") {
        let mut again = std::process::Command::new(std::env::current_exe().unwrap());
        let outcome = again.args(["--exact", NAME]).env(VARIABLE, "full").output().unwrap();
        assert!(outcome.status.success(), "{outcome:?}");
        assert!(String::from_utf8_lossy(&outcome.stdout).contains("1 passed"));
        return;
    }
    let error = (|| -> Result<i32> { Ok("x".parse::<i32>()?) })().unwrap_err();
    assert!(error.backtrace().is_some());
    let shown = format!("{error:?}");
    let (_, backtrace) = shown.split_once("\n  backtrace:\n").expect("it is shown");
    assert!(backtrace.contains("error::tests::"), "{shown}");
    assert!(Error::runtime("ours").backtrace().is_none());
}

#[cfg(feature = "anyhow")]
#[test]
fn what_anyhow_has_wrapped_comes_out_again() {
    use anyhow::Context;
    let parse = || anyhow::Error::from("x".parse::<i32>().unwrap_err());
    let error = adapted(parse().context("reading the port"));
    assert_eq!(error.to_string(), "reading the port");
    assert!(error.downcast_ref::<ParseIntError>().is_some());
    assert!(error.downcast_ref::<io::Error>().is_none());
    assert!(error.downcast::<ParseIntError>().is_ok());
    let cancelled = || anyhow::Error::from(Error::from(CancelledError::new("stop")));
    assert!(matches!(adapted(cancelled()), Error::Cancelled(_)));
    let with_context = adapted(Err::<(), _>(cancelled()).context("serving").unwrap_err());
    assert_eq!(with_context.to_string(), "serving");
    assert_eq!(with_context.as_cancelled().and_then(|e| e.message()), Some("stop"));
    let io = adapted(anyhow::Error::from(io::Error::from_raw_os_error(2)));
    assert!(matches!(io, Error::Io(_)));
}

#[cfg(feature = "eyre")]
#[test]
fn what_eyre_has_wrapped_comes_out_again() {
    let error = adapted(eyre::Report::from("x".parse::<i32>().unwrap_err()).wrap_err("the port"));
    assert_eq!(error.to_string(), "the port");
    assert!(error.downcast::<ParseIntError>().is_ok());
    let cancelled = eyre::Report::from(Error::from(CancelledError::new("stop")));
    assert!(matches!(adapted(cancelled), Error::Cancelled(_)));
}

/// The outermost, and ten levels below it.
const MAX_GROUPS_SHOWN: usize = 11;
