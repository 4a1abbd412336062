//! The guide: chapters from a first program to services.
//!
//! Every program on these pages is compiled and run by the tests, which compare its output with the
//! output shown below it.
//!
//! **Learn**
//! 1. [First steps](first_steps): a project, a coroutine, two at once
//! 2. [Tasks and structured concurrency](tasks): tasks, groups, and which to choose
//! 3. [Cancellation](cancellation): where it arrives, and cleaning up with awaits
//! 4. [Sharing state](sharing_state): `'static`, `Rc`, `RefCell` and locks, and what may borrow
//! 5. [Errors](errors): one type, groups of errors, panics
//! 6. [Racing and limits](racing): `select!`, `join!`, `race`, `wait`, timeouts, retries
//!
//! **Use**
//!
//! 7. [Streams and servers](streams): TCP, protocols, stopping without losing a request
//! 8. TLS: the chapter `tls`, if the feature of that name is on
//! 9. [Processes](processes): run programs, talk to them, end them
//! 10. [Threads](threads): blocking work, other threads, other loops
//! 11. [Files and standard input](files): what needs a thread, and what does not
//! 12. [Testing with virtual time](testing): a test of a whole day, and finding deadlocks
//! 13. [My program hangs](hangs): which task waits for what
//! 14. [Services](services): axum, hyper, PostgreSQL, Redis
//!
//! **Look up**
//!
//! 15. [From Python, idiom by idiom](from_python)
//! 16. [From tokio](from_tokio)
//! 17. [Python beside Rust](side_by_side): forty programs, and how long they are
//! 18. [Using single crates](single_crates)
//! 19. [Index by topic](api_index)

/// Declares the chapters, whose text is in `guide/`.
macro_rules! chapters {
    ($($(#[$when:meta])* $chapter:ident),+ $(,)?) => {
        $(
            $(#[$when])*
            #[doc = include_str!(concat!("guide/", stringify!($chapter), ".md"))]
            pub mod $chapter {}
        )+
    };
}

chapters![
    first_steps,
    tasks,
    cancellation,
    sharing_state,
    errors,
    racing,
    streams,
    #[cfg(feature = "tls")]
    tls,
    processes,
    threads,
    files,
    testing,
    hangs,
    #[cfg(not(doctest))] // `asyncio-http` runs its programs.
    services,
    from_python,
    from_tokio,
    side_by_side,
    single_crates,
    api_index,
];
