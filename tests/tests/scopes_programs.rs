//! Programs that random search has found, as data: the law of a cancellation holds for each. See
//! `scopes_random.rs`; those that need more than a program can say stand in `scopes_found.rs`.

use asyncio_tests::scopes::{
    fault,
    program::{
        Cancel,
        Kind::{self, *},
        Node, Program,
    },
};

fn with(kind: Kind, parts: impl Into<Vec<Node>>) -> Node {
    Node { kind, parts: parts.into() }
}

fn leaf(kind: Kind) -> Node {
    Node::leaf(kind)
}

/// A program of one task, which is cancelled at each of these times.
fn program(parts: impl Into<Vec<Node>>, cancels: &[u16]) -> Program {
    let cancels = cancels.iter().map(|at| Cancel { at: *at, task: 0 }).collect();
    let tasks = vec![parts.into()];
    Program { tasks, cancels, eager: false, set_at: None, queue: 0, permits: 1 }
}

#[track_caller]
fn is_right(program: &Program) {
    assert_eq!(fault(program), None, "{program}");
}

#[test]
fn what_was_passed_on_before_a_move_is_answered_after_it() {
    let inside = with(Manager(0), [leaf(Future(0))]);
    let limited = with(WaitFor(1), [leaf(CancelSelf), inside]);
    is_right(&program([with(Move, [limited])], &[]));
}

#[test]
fn a_request_made_twice_before_a_move_comes_out_once() {
    let handled = with(Handle, [leaf(Oneshot(0)), leaf(Sleep(5))]);
    let managed = with(Manager(0), [leaf(Future(5))]);
    let both = with(TryJoined, [leaf(Future(5)), leaf(Sleep(5))]);
    for managed in [managed, with(Manager(0), [both])] {
        let set = with(Unordered, [handled.clone(), managed]);
        is_right(&program([with(Move, [set])], &[5, 5]));
    }
}

#[test]
fn a_limit_around_what_was_put_aside_before_a_move_gives_way() {
    let waits = with(Seq, [leaf(Oneshot(0)), leaf(Never)]);
    let lent = with(Lend, [with(Race, [leaf(Sleep(0))]), leaf(CancelSelf), waits]);
    is_right(&program([with(Move, [with(WaitFor(1), [lent])])], &[]));
}

#[test]
fn a_limit_gives_way_in_another_task_after_the_end_of_its_first_one() {
    let limited = with(WaitFor(1), [leaf(Oneshot(0)), leaf(Never)]);
    let moved = with(Move, [with(Join, [leaf(Sleep(0)), limited])]);
    is_right(&program([with(Select, [moved, leaf(Fail)])], &[]));
}

#[test]
fn a_request_that_was_taken_back_may_be_followed_by_another() {
    let join = with(Join, [leaf(Sleep(4)), with(WaitFor(3), [leaf(Never)])]);
    let all = with(TryJoined, [with(WaitFor(3), [leaf(Sleep(3))]), join]);
    is_right(&program([with(Borrow(3), [all, leaf(Sleep(3))])], &[]));
}

#[test]
fn what_is_woken_and_borrowed_takes_what_was_also_taken_beside_its_limit() {
    let racer = with(Swallow, [leaf(Sleep(1))]);
    is_right(&program([with(Borrow(1), [leaf(Sleep(0)), racer])], &[0]));
}

#[test]
fn a_limit_in_a_set_gives_way_if_the_set_inside_it_was_put_aside() {
    let woken = with(Buffered(2), [leaf(Sleep(1)), leaf(Spins(1))]);
    let borrowed = with(Borrow(1), [with(Lend, [woken, leaf(Spins(0)), leaf(Never)])]);
    let limited = with(Unordered, [with(WaitFor(1), [leaf(Sleep(0))])]);
    let other = with(WaitFor(1), [with(Lend, [limited, leaf(Put), leaf(Never)])]);
    for limited in [borrowed, other] {
        is_right(&program([with(Buffered(2), [limited])], &[]));
    }
}

#[test]
fn what_is_woken_takes_a_request_that_something_beside_it_has_passed_on() {
    let asks = [leaf(CancelSelf), leaf(Child)];
    for around in [WaitFor(1), Joined] {
        let parts = with(around, [with(Seq, asks.clone())]);
        is_right(&program([with(Join, [leaf(Sleep(0)), parts])], &[]));
    }
}

#[test]
fn what_was_withdrawn_is_not_thrown_after_the_end_of_a_branch() {
    let handled = with(Handle, [with(WaitFor(1), [leaf(Never)])]);
    let limited = with(Timeout(0), [handled]);
    for beside in [leaf(Sleep(1)), with(Joined, [leaf(Sleep(0))])] {
        let select = with(Select, [limited.clone(), beside]);
        is_right(&program([leaf(CancelSelf), select, leaf(Sleep(0))], &[]));
    }
}

#[test]
fn an_await_that_moves_with_a_request_it_has_passed_on_leaves_none_behind() {
    let swallows = [with(Swallow, [leaf(Sleep(2))]), leaf(Sleep(0))];
    let moved = with(Move, [with(Child, swallows), leaf(Oneshot(2))]);
    is_right(&program([moved, leaf(Sleep(0))], &[2]));
}

#[test]
fn a_request_counts_once_in_what_an_await_that_moves_to_an_eager_task_has_passed_it_on_to() {
    let join = with(Join, [with(Permit, [leaf(Oneshot(0)), leaf(Never)]), leaf(Sleep(0))]);
    let limited = with(WaitFor(5), [leaf(Sleep(0))]);
    for awaited in [
        with(Child, [leaf(Sleep(0))]),
        with(Gather, [leaf(Sleep(0))]),
        with(Child, [join]),
        with(Child, [with(Swallow, [leaf(Sleep(0))]), limited]),
    ] {
        for around in [Seq, WaitFor(9), Cancellable, Joined] {
            let moved = with(Move, [awaited.clone(), leaf(CancelSelf)]);
            let eager = Program { eager: true, ..program([with(around, [moved])], &[]) };
            is_right(&eager);
        }
    }
}
