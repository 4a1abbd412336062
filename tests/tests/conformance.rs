//! The same program has the same trace as under CPython 3.14, and every program keeps the general
//! rules.

use asyncio_tests::conformance::{
    compare::{Options, difference},
    corpus, pool, random,
    run::{Run, run},
};
use std::{collections::BTreeMap, path::Path};

#[test]
fn every_recorded_trace_is_equal() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance/visible.jsonl.gz");
    let records = corpus::read(&corpus).unwrap();
    let names: Vec<String> = records.iter().map(|record| record.name.clone()).collect();
    assert_eq!(names.len(), 1785);
    let verdicts = pool::check(records.into(), 2, Options::default());
    let different: BTreeMap<_, _> =
        names.iter().zip(verdicts).filter_map(|(name, verdict)| Some((name, verdict?))).collect();
    for (name, difference) in &different {
        eprintln!("--- {name}\n{difference}");
    }
    assert!(different.is_empty(), "{} traces differ", different.len());
}

/// How a scenario ended.
fn verdict(run: &Run) -> Option<&str> {
    let ways = ["result", "error", "stuck"];
    let mut found = ways.into_iter().filter(|way| run.outcome.get(way).is_some());
    let way = found.next()?;
    (found.next().is_none() && (way != "stuck" || run.outcome[way] == "deadlock")).then_some(way)
}

/// `run` checks itself that no task is lost: each one that was spawned is done or pending at the end,
/// and ended when the loop is closed.
#[test]
fn a_random_scenario_ends_and_is_the_same_twice() {
    let mut ways = BTreeMap::<String, usize>::new();
    for seed in 0..1500 {
        let scenario = random::scenario(seed);
        let case = format!("scenario of seed {seed} (scenarios {seed} 1): {scenario}");
        let once = run(&scenario).unwrap_or_else(|problem| panic!("{problem}\n{case}"));
        let again = run(&scenario).unwrap_or_else(|problem| panic!("{problem}\n{case}"));
        if let Some(difference) = difference(&once, &again, Options::default()) {
            panic!("differs the second time:\n{difference}{case}");
        }
        let way = verdict(&once).unwrap_or_else(|| panic!("{}\n{case}", once.outcome));
        *ways.entry(way.to_owned()).or_default() += 1;
    }
    // Else the scenarios are not what they are meant to be.
    assert!(ways.len() == 3 && ways.values().all(|&count| count > 50), "{ways:?}");
}
