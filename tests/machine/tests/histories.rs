//! Lives of a machine that chance decides: installing, copying, rebalancing, sleeping, removing, in any order and with
//! work under way. No life may stop the machine, corrupt a byte, hang, or leave anything behind.

#![forbid(unsafe_code)]

use std::collections::BTreeSet;

use machine::life::{ALWAYS, Life, live};
use nthost::replay::{SEED, command, seeds};

/// Lives of a test run; `NETDMA_HISTORIES` asks for another number.
const LIVES: u64 = 200;
/// Lives that are lived twice.
const TWICE: u64 = 100;

/// The life of `seed`, which must end well.
fn life(seed: u64) -> Life {
    live(seed).unwrap_or_else(|death| {
        panic!("{:?}\n{}\nreplay: {}", death.events, death.failure, command(seed));
    })
}

#[test]
fn no_life_stops_the_machine_or_leaves_anything_behind() {
    let wanted = std::env::var("NETDMA_HISTORIES").ok().and_then(|text| text.parse().ok()).unwrap_or(LIVES);
    let mut all = BTreeSet::new();
    for seed in seeds(1..=wanted) {
        let kinds = life(seed).kinds();
        for event in ALWAYS {
            assert!(kinds.contains(&event), "seed {seed} has no {event:?}");
        }
        all.extend(kinds);
    }
    if std::env::var_os(SEED).is_none() && wanted >= LIVES {
        assert_eq!(all.len(), 13, "every kind of event happened: {all:?}");
    }
}

#[test]
fn the_same_seed_lives_the_same_life_twice() {
    let lives: Vec<Life> = seeds(1..=TWICE).map(life).collect();
    let different: BTreeSet<u64> = lives.iter().map(|life| life.trace).collect();
    assert_eq!(different.len(), lives.len(), "the trace tells lives apart");
    for (seed, first) in seeds(1..=TWICE).zip(lives) {
        assert_eq!(life(seed), first, "{}", command(seed));
    }
}
