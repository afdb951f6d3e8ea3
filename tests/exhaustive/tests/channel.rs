//! Every state a channel can reach: breadth first, every step from every state, over rings so small that they fill and
//! wrap within a few steps.
//!
//! A state is reached anew by taking its steps again. It is known again by its snapshot: equal snapshots must have equal
//! futures. That is not believed: now and then, where two histories meet in one state, both go on the same way, and their
//! snapshots must stay equal.

#[path = "../../../interface/core/tests/support/mod.rs"]
mod support;

use std::collections::HashMap;
use std::collections::hash_map::{DefaultHasher, Entry};
use std::hash::{Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};

use netdma_abi::Version;

use proof::proves;
use support::HostMemory;
use support::history::{History, Step};

/// One search.
#[derive(Debug, Clone, Copy)]
struct Search {
    version: Version,
    pages: usize,
    /// Requests of a full batch.
    limit: u32,
    cache: Option<u8>,
    depth: usize,
}

/// What a search saw.
#[derive(Debug, Default)]
struct Found {
    /// States, the first included.
    states: usize,
    /// Steps taken from them.
    edges: usize,
    /// Pairs of histories that met, and were compared.
    compared: usize,
    /// Steps taken one after another at most.
    depth: usize,
    /// No step leads out of the states found: they are all there are, whatever the depth.
    closed: bool,
    /// The steps after which something did not hold; why, the test's output says.
    fails_after: Option<Path>,
}

/// The steps to a state.
type Path = Box<[Step]>;

/// Of so many meetings one is compared.
const MEETINGS: usize = 97;

/// A snapshot's hash. Of ten million states two have the same with a chance of one in 10^24.
type State = [u64; 2];

fn state(history: &History) -> State {
    let snapshot = history.snapshot();
    [0_u64, 1].map(|salt| {
        let mut hasher = DefaultHasher::new();
        (salt, &snapshot).hash(&mut hasher);
        hasher.finish()
    })
}

impl Search {
    fn begin(&self) -> History {
        let memory = HostMemory::scattered(self.pages).with_room(self.pages);
        History::over(self.version, memory, self.limit, self.cache)
    }

    /// The history of `steps`, all but the last of which were taken before.
    fn history(&self, steps: &[Step]) -> History {
        let mut history = self.begin();
        if let Some((last, before)) = steps.split_last() {
            before.iter().for_each(|step| history.take_again(*step));
            history.take(*last);
        }
        history
    }

    /// Visits every state that is at most `depth` steps away.
    fn run(&self) -> Found {
        let mut found = Found::default();
        let mut known: HashMap<State, Path> = HashMap::from([(state(&self.begin()), Path::default())]);
        let mut newest = vec![Path::default()];
        while found.depth < self.depth && !newest.is_empty() && found.fails_after.is_none() {
            newest = self.go_deeper(&newest, &mut known, &mut found);
            found.depth += 1;
        }
        found.states = known.len();
        found.closed = newest.is_empty();
        println!("{self:?}: {found:?}");
        found
    }

    /// Takes every step from the newest states. Answers the states that are newer still.
    fn go_deeper(&self, newest: &[Path], known: &mut HashMap<State, Path>, found: &mut Found) -> Vec<Path> {
        let mut next = Vec::new();
        for path in newest {
            for step in Step::ALL {
                let steps: Path = path.iter().copied().chain([step]).collect();
                match catch_unwind(AssertUnwindSafe(|| self.visit(&steps, known, found))) {
                    Ok(true) => next.push(steps),
                    Ok(false) => {}
                    Err(_) => {
                        found.fails_after = Some(steps);
                        return next;
                    }
                }
            }
        }
        next
    }

    /// Takes `steps`. A state that is new has to end well in both ways; answers whether it is.
    fn visit(&self, steps: &[Step], known: &mut HashMap<State, Path>, found: &mut Found) -> bool {
        found.edges += 1;
        let mut history = self.history(steps);
        match known.entry(state(&history)) {
            Entry::Occupied(first) => {
                if found.edges.is_multiple_of(MEETINGS) {
                    self.compare(first.get(), steps, found.edges);
                    found.compared += 1;
                }
                false
            }
            Entry::Vacant(place) => {
                history.finish();
                self.history(steps).give_up();
                place.insert(steps.into());
                true
            }
        }
    }

    /// Two histories of one state go on alike: a few steps that `number` chooses, and to the end.
    fn compare(&self, one: &[Step], other: &[Step], number: usize) {
        let (mut left, mut right) = (self.history(one), self.history(other));
        let mut choice = number;
        for _ in 0..12 {
            choice = choice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let step = Step::ALL[(choice >> 33) % Step::ALL.len()];
            left.take(step);
            right.take(step);
            assert_eq!(left.snapshot(), right.snapshot(), "{one:?} and {other:?} are not the same state");
        }
        left.finish();
        right.finish();
        assert_eq!(left.snapshot(), right.snapshot(), "{one:?} and {other:?} do not end alike");
    }
}

/// Searches as deep as `depth`, or as the environment asks.
fn search(version: Version, pages: usize, cache: Option<u8>, depth: usize) -> Found {
    let asked = std::env::var("NETDMA_DEPTH");
    let depth = asked.map_or(depth, |asked| asked.parse().expect("NETDMA_DEPTH is a number of steps"));
    let found = Search { version, pages, limit: pages as u32 + 1, cache, depth }.run();
    assert!(found.closed || found.fails_after.is_some() || found.depth == depth);
    found
}

/// Of four slots two are in use at most: within eight steps the ring fills, empties, and goes round.
#[test]
fn every_state_of_four_slots_below_2_0_ends_well() {
    let found = search(Version::V1_0, 1, None, 8);
    proves!(crate: R139, R179, R180, R195, R209, R211, R276; assert_eq!(found.fails_after, None));
}

#[test]
fn every_state_of_four_slots_from_2_0_on_ends_well() {
    let found = search(Version::V2_1, 1, None, 8);
    proves!(crate: R139, R179, R180, R195, R209, R211, R276; assert_eq!(found.fails_after, None));
}

#[test]
fn every_state_of_two_pages_ends_well() {
    for version in [Version::V1_0, Version::V2_1] {
        assert_eq!(search(version, 2, None, 6).fails_after, None);
    }
}

/// A provider with direct cache access: the interface's own descriptors come between the client's.
#[test]
fn every_state_with_a_cache_to_hint_at_ends_well() {
    assert_eq!(search(Version::V2_1, 1, Some(5), 7).fails_after, None);
}
