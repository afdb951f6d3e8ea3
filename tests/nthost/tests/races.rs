//! Strategies, replay, and races: a planted one is found, its twin without it is not accused, and what was found replays.

use nthost::cpu::strategy::{History, Strategy};
use nthost::replay::seeds;
use nthost::{Builder, Kernel, Machine};

fn builder(seed: u64) -> Builder {
    Machine::builder().cpus(2).seed(seed).memory(16 << 20)
}

/// How two threads add to a counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Twin {
    /// Read, call the kernel, write: an addition in between is lost.
    Racy,
    /// The same under a spin lock.
    Locked,
}

/// Two threads add one each, three times. Returns the counter, the hash of the history, and the decisions.
fn count(twin: Twin, builder: Builder) -> (u32, u64, History) {
    let mut machine = builder.build().expect("a machine");
    let counted = machine
        .run(|k| {
            let (counter, lock) = (k.system_allocate(8, "counter"), k.system_allocate(8, "lock"));
            let add = move |k: &Kernel| {
                for _ in 0..3 {
                    let old = (twin == Twin::Locked).then(|| k.acquire_spin_lock(lock));
                    let value: u32 = k.read(counter);
                    k.call_export("KeQueryPerformanceCounter", &[0]);
                    k.write(counter, value + 1);
                    if let Some(old) = old {
                        k.release_spin_lock(lock, old);
                    }
                }
            };
            let threads = [k.spawn("first", 0, Box::new(add)), k.spawn("second", 0, Box::new(add))];
            threads.into_iter().for_each(|thread| k.join(thread));
            k.read(counter)
        })
        .unwrap_or_else(|stop| panic!("{stop}"));
    (counted, machine.trace_hash(), machine.decisions())
}

fn strategies() -> [Strategy; 3] {
    [Strategy::Random, Strategy::RoundRobin, Strategy::PriorityChange { changes: 2, within: 60 }]
}

#[test]
fn a_planted_race_is_found_within_1000_seeds_and_replays_every_time() {
    for strategy in [Strategy::Random, Strategy::PriorityChange { changes: 2, within: 60 }] {
        let racy = |seed| count(Twin::Racy, builder(seed).strategy(strategy.clone()));
        let seed =
            (0..1000).find(|&seed| racy(seed).0 != 6).unwrap_or_else(|| panic!("{strategy:?} finds nothing"));
        let found = racy(seed);
        for _ in 0..5 {
            assert_eq!(racy(seed), found, "seed {seed} again");
        }
        let replayed = count(Twin::Racy, builder(seed).strategy(Strategy::Replay(found.2.clone())));
        assert_eq!(replayed, found, "the recorded decisions");
    }
}

#[test]
fn the_twin_without_the_race_passes_under_every_strategy() {
    for strategy in strategies() {
        for seed in seeds(0..=99) {
            let (counted, ..) = count(Twin::Locked, builder(seed).strategy(strategy.clone()));
            assert_eq!(counted, 6, "seed {seed}, {strategy:?}");
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_history_under_every_strategy() {
    for strategy in strategies() {
        for seed in seeds(0..=19) {
            let run = || count(Twin::Racy, builder(seed).strategy(strategy.clone()));
            assert_eq!(run(), run(), "seed {seed}, {strategy:?}");
        }
    }
}

#[test]
fn a_history_cut_short_goes_on_without_switching() {
    let (_, _, history) = count(Twin::Racy, builder(1));
    let (counted, _, again) = count(Twin::Racy, builder(1).strategy(Strategy::Replay(history.up_to(0))));
    assert_eq!(counted, 6, "without a switch nothing is lost");
    assert!(!again.is_empty());
}
