//! What an [`Error`] promises.

use super::*;
use std::num::ParseIntError;

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

/// The outermost, and ten levels below it.
const MAX_GROUPS_SHOWN: usize = 11;
