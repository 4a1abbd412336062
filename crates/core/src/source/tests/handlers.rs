//! Handlers.

use super::*;
use std::cell::Cell;

type Heard = Rc<RefCell<Vec<Readiness>>>;

fn watched(bench: &Bench) -> (Source<UnixStream>, UnixStream, Heard) {
    let (source, theirs) = pair();
    let heard = Heard::default();
    let (into, _entered) = (heard.clone(), bench.home.entering());
    source.set_handler(Rc::new(move |news| into.borrow_mut().push(news))).unwrap();
    (source, theirs, heard)
}

#[test]
fn a_handler_is_called_once_for_all_events_of_an_iteration() {
    let bench = Bench::new();
    let (source, _theirs, heard) = watched(&bench);
    bench.event(&source, true, false, false);
    bench.event(&source, false, true, true);
    assert!(heard.borrow().is_empty(), "only as a step");
    assert_eq!(bench.scheduler().run_ready(), 1);
    assert_eq!(*heard.borrow(), [Readiness { readable: true, writable: true, hangup: true }]);
    assert_eq!(bench.scheduler().run_ready(), 0);
}

#[test]
fn a_handler_that_asks_is_called_again() {
    let bench = Bench::new();
    let (source, _theirs, heard) = watched(&bench);
    let readable = Readiness { readable: true, ..Readiness::default() };
    source.call_handler_again(readable);
    source.call_handler_again(readable);
    assert_eq!(bench.scheduler().run_ready(), 1);
    assert_eq!(heard.borrow().len(), 1);
}

#[test]
fn a_handler_ends_with_its_source_even_if_it_was_to_be_called() {
    let bench = Bench::new();
    let (source, _theirs, heard) = watched(&bench);
    bench.event(&source, true, false, false);
    drop(source);
    assert_eq!(Rc::strong_count(&heard), 1);
    bench.scheduler().run_ready();
    assert!(heard.borrow().is_empty());
}

#[test]
fn a_handler_that_panics_is_called_the_next_time() {
    let bench = Bench::new();
    let (source, _theirs) = pair();
    let calls = Rc::new(Cell::new(0));
    let counting = calls.clone();
    let _entered = bench.home.entering();
    bench.scheduler().set_exception_handler(Some(Rc::new(|_| {})));
    let panics = move |_| {
        counting.set(counting.get() + 1);
        panic!("in a handler");
    };
    source.set_handler(Rc::new(panics)).unwrap();
    for _ in 0..2 {
        bench.event(&source, true, false, false);
        bench.scheduler().run_ready();
    }
    assert_eq!(calls.get(), 2);
}
