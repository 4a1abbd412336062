//! A line by itself, under foreign wakers.

use super::*;
use std::task::Waker;

fn join(line: &mut Line) -> Place {
    let mut place = Place::new();
    let cx = Context::from_waker(Waker::noop());
    line.join(&mut place, &cx, WaitSite::here(&"test"));
    place
}

fn look(line: &mut Line, place: &mut Place) -> Turn {
    let cx = Context::from_waker(Waker::noop());
    line.poll(place, &cx, WaitSite::here(&"test"), &mut After::new())
}

#[test]
fn waiters_are_woken_in_the_order_in_which_they_came() {
    let mut line = Line::new();
    let mut places: Vec<_> = (0..5).map(|_| join(&mut line)).collect();
    let mut after = After::new();
    for n in 0..5 {
        assert!(line.wake_next(&mut after));
        for (i, place) in places.iter_mut().enumerate().skip(n) {
            if i == n {
                assert!(matches!(look(&mut line, place), Turn::Woken), "{i} at {n}");
            } else {
                assert!(matches!(look(&mut line, place), Turn::Pending), "{i} at {n}");
            }
        }
    }
    assert!(!line.wake_next(&mut after));
    assert!(line.is_empty());
}

#[test]
fn the_woken_stay_in_line_until_they_run() {
    let mut line = Line::new();
    let (mut first, mut second) = (join(&mut line), join(&mut line));
    let mut after = After::new();
    assert!(line.wake_first(&mut after));
    assert!(!line.wake_first(&mut after));
    assert_eq!(line.len(), 2);
    assert!(line.has_claims());
    assert!(line.leave(&mut first, &mut after));
    assert!(line.wake_first(&mut after));
    assert!(line.leave(&mut second, &mut after));
    assert!(!line.has_claims());
}

#[test]
fn leaving_tells_whether_a_wake_up_is_left_over() {
    let mut line = Line::new();
    let (mut first, mut second) = (join(&mut line), join(&mut line));
    line.wake_next(&mut After::new());
    assert!(!line.leave(&mut second, &mut After::new()));
    assert!(line.leave(&mut first, &mut After::new()));
    assert!(!line.leave(&mut first, &mut After::new()), "it had left already");
}

#[test]
fn whoever_leaves_from_the_middle_is_not_missed() {
    let mut line = Line::new();
    let mut places: Vec<_> = (0..6).map(|_| join(&mut line)).collect();
    let mut after = After::new();
    line.wake_next(&mut after);
    for i in [1, 4, 2] {
        assert!(!line.leave(&mut places[i], &mut after));
    }
    let late = join(&mut line);
    places.push(late);
    let mut order = Vec::new();
    line.wake_all(&mut after);
    for (i, place) in places.iter_mut().enumerate() {
        if place.is_taken() && matches!(look(&mut line, place), Turn::Woken) {
            order.push(i);
        }
    }
    assert_eq!(order, [0, 3, 5, 6]);
    assert!(line.is_empty());
}

#[test]
fn slots_are_used_again() {
    let mut line = Line::new();
    let mut keeper = join(&mut line);
    for _ in 0..1000 {
        let mut place = join(&mut line);
        line.leave(&mut place, &mut After::new());
    }
    assert_eq!(line.slots.len(), 2);
    assert!(!line.leave(&mut keeper, &mut After::new()));
}
