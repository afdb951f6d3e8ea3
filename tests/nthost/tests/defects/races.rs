//! Two planted races: each is found by trying seeds, replays every time from the seed that found it, and its twin without
//! it passes for all the seeds that were tried.

use nthost::Stop;
use nthost::cpu::strategy::Strategy;
use nthost::replay::seeds;

use crate::lives::{Twin, builder, serve};

/// The drivers of this file.
pub const RACES: [&str; 2] = ["race_last_reference", "race_timer_set_again"];

/// How many seeds may be tried.
const SEEDS: u64 = 1000;
/// How often what was found is run again.
const REPLAYS: usize = 10;
/// How many seeds the twin is run with at least.
const FOR_THE_TWIN: u64 = 30;
/// Virtual nanoseconds between start and stop at most.
const SHORT: u64 = 200_000;

/// What is left of one life for comparison: the stop in full, and the hash of the machine's history.
type Lived = (Option<String>, u64);

struct Race {
    driver: &'static str,
    /// Whether it shows only when every instruction is a switch point.
    single_step: bool,
    /// What it is caught as.
    rule: &'static str,
}

impl Race {
    fn live(&self, twin: Twin, seed: u64, strategy: Strategy) -> (Result<(), Box<Stop>>, Lived, Strategy) {
        let builder = builder().seed(seed).strategy(strategy).single_step(self.single_step);
        let mut machine = builder.build().expect("a machine");
        // The service is stopped at a moment that the seed decides, as is everything else.
        let time = machine.run(|k| k.choose(SHORT)).expect("nothing runs yet");
        let outcome = serve(self.driver, twin, time, &mut machine);
        let told = outcome.as_ref().err().map(|stop| stop.to_string());
        (outcome, (told, machine.trace_hash()), Strategy::Replay(machine.decisions()))
    }

    /// The first seed with which the machine stops.
    fn search(&self) -> (u64, Box<Stop>) {
        let found = seeds(0..=SEEDS - 1).find_map(|seed| {
            let (outcome, ..) = self.live(Twin::Wrong, seed, Strategy::Random);
            outcome.err().map(|stop| (seed, stop))
        });
        found.unwrap_or_else(|| panic!("{}: nothing is found with {SEEDS} seeds", self.driver))
    }

    fn is_found_and_replays(&self) {
        let (seed, stop) = self.search();
        println!("{}: seed {seed}, {}", self.driver, stop.rule);
        assert_eq!((stop.rule.as_ref(), stop.seed), (self.rule, seed), "{stop}");
        let (_, first, history) = self.live(Twin::Wrong, seed, Strategy::Random);
        for _ in 0..REPLAYS {
            assert_eq!(self.live(Twin::Wrong, seed, Strategy::Random).1, first, "seed {seed} again");
        }
        assert_eq!(self.live(Twin::Wrong, seed, history).1, first, "the recorded decisions of seed {seed}");
        for seed in 0..seed.max(FOR_THE_TWIN) + 1 {
            let (outcome, ..) = self.live(Twin::Clean, seed, Strategy::Random);
            outcome.unwrap_or_else(|stop| panic!("the twin of {} with seed {seed}:\n{stop}", self.driver));
        }
    }
}

#[test]
fn a_reference_lost_between_two_instructions_is_found_within_1000_seeds_and_replays() {
    let race = Race { driver: RACES[0], single_step: true, rule: "Pool Tracking" };
    race.is_found_and_replays();
    let whole = Race { single_step: false, ..race };
    for seed in 0..20 {
        let (outcome, ..) = whole.live(Twin::Wrong, seed, Strategy::Random);
        outcome.unwrap_or_else(|stop| panic!("no switch point lies between the two instructions:\n{stop}"));
    }
}

#[test]
fn a_timer_set_again_while_its_driver_stops_is_found_within_1000_seeds_and_replays() {
    Race { driver: RACES[1], single_step: false, rule: "Unload" }.is_found_and_replays();
}
