//! Random programs of scopes: the rules of cancellation, in combinations that no other test has.
//!
//! `cargo run -p asyncio-tests --bin scope_programs FIRST_SEED COUNT` runs more of them.

use asyncio_tests::scopes;

/// This number takes a few seconds.
const PROGRAMS: u64 = 4000;

#[test]
fn random_programs_of_scopes_keep_the_law() {
    for seed in 0..PROGRAMS {
        if let Err(fault) = scopes::check(seed) {
            panic!("{fault}");
        }
    }
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in 0..100 {
        let program = scopes::generate::program(seed);
        let describe = || {
            let (tree, record) = scopes::run::run(&program);
            record.describe(&tree)
        };
        assert_eq!(describe(), describe(), "seed {seed}");
    }
}
