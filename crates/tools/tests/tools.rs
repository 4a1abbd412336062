//! CPython's `test_tools.py`: tables and trees of given tasks, and the cycles in them. Our tasks also have a
//! state, its duration and a frame, in columns four to six, which those tests do not check.

use asyncio_tools::{
    AwaitedInfo, Awaiter, State, TaskInfo, build_async_tree, build_task_table,
    display_awaited_by_tasks_table,
};

/// An awaiter of a task: the frames, innermost first, and the awaiting task.
type Awaiters<'a> = &'a [(&'a [&'a str], u64)];

fn thread(thread_id: u64, tasks: &[(u64, &str, Awaiters<'_>)]) -> AwaitedInfo {
    let awaiter = |(stack, task_id): &(&[&str], u64)| Awaiter {
        call_stack: stack.iter().map(|frame| (*frame).to_owned()).collect(),
        task_id: *task_id,
    };
    let task = |(task_id, name, awaiters): &(u64, &str, Awaiters<'_>)| TaskInfo {
        task_id: *task_id,
        task_name: (*name).to_owned(),
        state: State::Waiting,
        coroutine_stack: Vec::new(),
        lasts: None,
        awaited_by: awaiters.iter().map(awaiter).collect(),
    };
    AwaitedInfo { thread_id, awaited_by: tasks.iter().map(task).collect() }
}

/// The columns that CPython's table has.
fn table(result: &[AwaitedInfo]) -> Vec<[String; 6]> {
    let columns = |[a, b, c, _, _, _, d, e, f]: [String; 9]| [a, b, c, d, e, f];
    build_task_table(result).into_iter().map(columns).collect()
}

fn tree(result: &[AwaitedInfo]) -> String {
    let trees = build_async_tree(result).expect("there is no cycle");
    trees.iter().map(|tree| tree.join("\n") + "\n").collect()
}

fn cycles(result: &[AwaitedInfo]) -> Vec<Vec<u64>> {
    build_async_tree(result).expect_err("there is a cycle").cycles
}

/// A task `timer` that two subtasks of each of two roots wait for.
fn diamond() -> Vec<AwaitedInfo> {
    let (awaiter, other) = (
        &["awaiter3 app.py:130", "awaiter2 app.py:120", "awaiter app.py:110"][..],
        &["awaiterB3 app.py:190", "awaiterB2 app.py:180", "awaiterB app.py:170"][..],
    );
    let (exit, bloch) = (
        &["_aexit", "__aexit__", "main"][..],
        &["_aexit", "__aexit__", "blocho_caller", "bloch"][..],
    );
    let tasks: &[(u64, &str, Awaiters<'_>)] = &[
        (2, "Task-1", &[]),
        (3, "timer", &[(awaiter, 4), (other, 5), (other, 6), (awaiter, 7)]),
        (8, "root1", &[(exit, 2)]),
        (9, "root2", &[(exit, 2)]),
        (4, "child1_1", &[(bloch, 8)]),
        (6, "child2_1", &[(bloch, 8)]),
        (7, "child1_2", &[(bloch, 9)]),
        (5, "child2_2", &[(bloch, 9)]),
    ];
    vec![thread(1, tasks), thread(0, &[])]
}

fn two_roots() -> Vec<AwaitedInfo> {
    let (main2, main) = (&["main2"][..], &["main"][..]);
    vec![
        thread(
            9,
            &[(5, "Task-5", &[]), (6, "Task-6", &[(main2, 5)]), (7, "Task-7", &[(main2, 5)])],
        ),
        thread(10, &[(1, "Task-1", &[]), (2, "Task-2", &[(main, 1)]), (3, "Task-3", &[(main, 1)])]),
        thread(11, &[]),
    ]
}

#[test]
fn a_task_that_several_wait_for_stands_below_each_of_them() {
    assert_eq!(
        tree(&diamond()),
        "\
└── (T) Task-1
    └──  main
        └──  __aexit__
            └──  _aexit
                ├── (T) root1
                │   └──  bloch
                │       └──  blocho_caller
                │           └──  __aexit__
                │               └──  _aexit
                │                   ├── (T) child1_1
                │                   │   └──  awaiter app.py:110
                │                   │       └──  awaiter2 app.py:120
                │                   │           └──  awaiter3 app.py:130
                │                   │               └── (T) timer
                │                   └── (T) child2_1
                │                       └──  awaiterB app.py:170
                │                           └──  awaiterB2 app.py:180
                │                               └──  awaiterB3 app.py:190
                │                                   └── (T) timer
                └── (T) root2
                    └──  bloch
                        └──  blocho_caller
                            └──  __aexit__
                                └──  _aexit
                                    ├── (T) child1_2
                                    │   └──  awaiter app.py:110
                                    │       └──  awaiter2 app.py:120
                                    │           └──  awaiter3 app.py:130
                                    │               └── (T) timer
                                    └── (T) child2_2
                                        └──  awaiterB app.py:170
                                            └──  awaiterB2 app.py:180
                                                └──  awaiterB3 app.py:190
                                                    └── (T) timer
"
    );
    let rows = table(&diamond());
    assert_eq!(rows.len(), 11);
    assert_eq!(rows[0], ["1", "0x2", "Task-1", "", "", "0x0"]);
    assert_eq!(
        rows[1],
        ["1", "0x3", "timer", "awaiter3 -> awaiter2 -> awaiter", "child1_1", "0x4"]
    );
    let last =
        ["1", "0x5", "child2_2", "_aexit -> __aexit__ -> blocho_caller -> bloch", "root2", "0x9"];
    assert_eq!(rows[10], last);
}

#[test]
fn each_thread_has_trees_of_its_own() {
    assert_eq!(
        tree(&two_roots()),
        "\
└── (T) Task-5
    └──  main2
        ├── (T) Task-6
        └── (T) Task-7
└── (T) Task-1
    └──  main
        ├── (T) Task-2
        └── (T) Task-3
"
    );
    let rows = table(&two_roots());
    assert_eq!(rows[1], ["9", "0x6", "Task-6", "main2", "Task-5", "0x5"]);
    assert_eq!(rows[3], ["10", "0x1", "Task-1", "", "", "0x0"]);
}

#[test]
fn circles_are_found_and_a_table_shows_them_all_the_same() {
    let two = [thread(
        1,
        &[
            (2, "Task-1", &[]),
            (3, "a", &[(&["awaiter2"], 4), (&["main"], 2)]),
            (4, "b", &[(&["awaiter"], 3)]),
        ],
    )];
    assert_eq!(cycles(&two), [[4, 3, 4]]);
    assert_eq!(table(&two)[1], ["1", "0x3", "a", "awaiter2", "b", "0x4"]);
    let nested = &["nested", "nested", "task"][..];
    let both = [thread(
        1,
        &[
            (2, "Task-1", &[]),
            (3, "A", &[(nested, 4)]),
            (4, "B", &[(nested, 5), (nested, 3)]),
            (5, "C", &[(nested, 6)]),
            (6, "Task-2", &[(nested, 4)]),
        ],
    )];
    assert_eq!(cycles(&both), [vec![4, 3, 4], vec![4, 6, 5, 4]]);
    assert_eq!(table(&both).len(), 6);
    let each = [thread(1, &[(2, "Task-1", &[(&["main"], 3)]), (3, "Task-2", &[(&["main"], 2)])])];
    assert_eq!(cycles(&each), [[3, 2, 3]]);
    let three = [thread(
        1,
        &[
            (1, "Task-A", &[(&["call1"], 2)]),
            (2, "Task-B", &[(&["call2"], 3)]),
            (3, "Task-C", &[(&["call3"], 1), (&["call4"], 2)]),
        ],
    )];
    assert!(cycles(&three).iter().any(|cycle| [1, 2, 3].iter().all(|id| cycle.contains(id))));
    let itself = [thread(1, &[(1, "Self-Awaiter", &[(&["loopback"], 1)])])];
    assert_eq!(cycles(&itself), [[1, 1]]);
}

#[test]
fn a_circle_is_printed_as_asyncio_prints_it() {
    let itself = [thread(1, &[(1, "me", &[(&["loopback"], 1)])])];
    let error = build_async_tree(&itself).unwrap_err();
    let expected = "ERROR: await-graph contains cycles - cannot print a tree!\n\ncycle: me → me";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn nothing_gives_nothing() {
    assert_eq!(tree(&[]), "");
    assert_eq!(table(&[]), Vec::<[String; 6]>::new());
}

#[test]
fn tasks_that_nothing_waits_for_are_roots() {
    let input = [thread(1, &[(10, "taskA", &[]), (11, "taskB", &[])])];
    assert_eq!(tree(&input), "└── (T) taskA\n└── (T) taskB\n");
    let expected = [["1", "0xa", "taskA", "", "", "0x0"], ["1", "0xb", "taskB", "", "", "0x0"]];
    assert_eq!(table(&input), expected);
}

#[test]
fn a_chain_goes_down_frame_by_frame() {
    let chain = [thread(
        1,
        &[(2, "Task-1", &[]), (3, "Task-2", &[(&["main"], 2)]), (4, "Task-3", &[(&["main"], 3)])],
    )];
    assert_eq!(
        tree(&chain),
        "└── (T) Task-1\n    └──  main\n        └── (T) Task-2\n            └──  main\n\
         \x20               └── (T) Task-3\n"
    );
    assert_eq!(table(&chain)[2], ["1", "0x4", "Task-3", "main", "Task-2", "0x3"]);
    let deep = [thread(1, &[(10, "leaf", &[(&["c1", "c2", "c3"], 11)]), (11, "root", &[])])];
    assert_eq!(
        tree(&deep),
        "└── (T) root\n    └──  c3\n        └──  c2\n            └──  c1\n                └── (T) leaf\n"
    );
}

#[test]
fn a_task_that_waits_and_is_not_there_is_unknown() {
    let input = [thread(1, &[(1, "Task-A", &[(&["coro"], 999)])])];
    assert_eq!(table(&input), [["1", "0x1", "Task-A", "coro", "Unknown", "0x3e7"]]);
    assert_eq!(tree(&input), "");
}

#[test]
fn the_same_frame_stands_below_each_task_that_has_it_once() {
    let input = [thread(
        1,
        &[
            (1, "Task-1", &[(&["frameA"], 2), (&["frameA"], 3)]),
            (4, "Task-4", &[(&["frameA"], 2)]),
            (2, "Task-2", &[]),
            (3, "Task-3", &[]),
        ],
    )];
    assert_eq!(
        tree(&input),
        "└── (T) Task-2\n    └──  frameA\n        ├── (T) Task-1\n        └── (T) Task-4\n\
         └── (T) Task-3\n    └──  frameA\n        └── (T) Task-1\n"
    );
}

#[test]
fn a_chain_of_many_tasks_is_cut_off_and_overflows_nothing() {
    const COUNT: u64 = 30_000;
    let frame = &["main"][..];
    let awaiters: Vec<[(&[&str], u64); 1]> = (1..=COUNT).map(|id| [(frame, id + 1)]).collect();
    let tasks: Vec<(u64, &str, Awaiters<'_>)> =
        (1..=COUNT).zip(&awaiters).map(|(id, awaiter)| (id, "task", &awaiter[..])).collect();
    let mut chain = vec![thread(1, &tasks), thread(1, &[(COUNT + 1, "root", &[])])];
    let lines = tree(&chain);
    assert!(lines.lines().count() < 300 && lines.ends_with("…\n"), "{}", lines.lines().count());
    // Closed to a cycle.
    let Some(root) = chain[1].awaited_by.last_mut() else { unreachable!() };
    root.awaited_by.push(Awaiter { call_stack: vec!["main".to_owned()], task_id: 1 });
    assert_eq!(cycles(&chain)[0].len() as u64, COUNT + 2);
}

#[test]
fn a_table_is_printed_in_columns_as_wide_as_they_have_to_be() {
    let input = [thread(7, &[(1, "ann", &[(&["Task src/main.rs:3:5"], 2)]), (2, "b", &[])])];
    let printed = display_awaited_by_tasks_table(&input);
    let lines: Vec<&str> = printed.lines().collect();
    let head = "tid  task id  task name  state    for  coroutine stack  awaiter chain  awaiter name  \
                awaiter id";
    assert_eq!(lines[0], head);
    assert_eq!(
        lines[2],
        "7    0x1      ann        waiting                        Task           b             0x2"
    );
}
