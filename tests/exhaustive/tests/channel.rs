//! Every state a channel can reach: breadth first, every step from every state, over rings so small that they fill and
//! wrap within a few steps.
//!
//! A state is reached anew by taking its steps again. It is known again by its snapshot: equal snapshots must have equal
//! futures. That is not believed: now and then, where two histories meet in one state, both go on the same way, and their
//! snapshots must stay equal.

#[path = "../../../interface/core/tests/support/mod.rs"]
mod support;

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use netdma_abi::Version;


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
#[derive(Debug)]
struct Found {
    /// States, the first included.
    states: usize,
    /// Steps taken from them.
    edges: usize,
    /// Pairs of histories that met, and were compared.
    compared: usize,
    /// Steps to the last new state.
    deepest: usize,
    /// No step leads out of the states found: they are all there are, whatever the depth.
    closed: bool,
}

/// Of so many meetings one is compared.
const MEETINGS: usize = 97;

impl Search {
    fn begin(&self) -> History {
        let memory = HostMemory::scattered(self.pages).with_room(self.pages);
        History::over(self.version, memory, self.limit, self.cache)
    }

    /// The history of `steps`.
    fn history(&self, steps: &[Step]) -> History {
        let mut history = self.begin();
        for step in steps {
            history.take(*step);
        }
        history
    }

    /// Every state at most `depth` steps away.
    fn run(&self) -> Found {
        let mut known: HashMap<Vec<u64>, Box<[Step]>> = HashMap::new();
        known.insert(self.begin().snapshot(), Box::default());
        let mut found = Found { states: 1, edges: 0, compared: 0, deepest: 0, closed: false };
        let mut newest: Vec<Box<[Step]>> = vec![Box::default()];
        for depth in 1..=self.depth {
            let mut next = Vec::new();
            for path in &newest {
                for step in Step::ALL {
                    let mut steps = path.to_vec();
                    steps.push(step);
                    self.visit(&steps, &mut known, &mut next, &mut found);
                }
            }
            newest = next;
            if newest.is_empty() {
                break;
            }
            found.deepest = depth;
        }
        found.closed = newest.is_empty();
        found.states = known.len();
        found
    }

    /// Takes `steps`, whose state is new or not. A new one has to end well, in both ways.
    fn visit(
        &self,
        steps: &[Step],
        known: &mut HashMap<Vec<u64>, Box<[Step]>>,
        next: &mut Vec<Box<[Step]>>,
        found: &mut Found,
    ) {
        found.edges += 1;
        let visited = catch_unwind(AssertUnwindSafe(|| {
            let history = self.history(steps);
            let state = history.snapshot();
            if let Some(first) = known.get(&state) {
                if found.edges % MEETINGS == 0 {
                    self.compare(first, steps, found.edges);
                    found.compared += 1;
                }
                return;
            }
            let mut ending = history;
            ending.finish();
            self.history(steps).give_up();
            known.insert(state, steps.into());
            next.push(steps.into());
        }));
        assert!(visited.is_ok(), "{self:?} fails after {steps:?}");
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

#[test]
fn every_state_of_a_ring_of_four_slots_ends_well() {
    for version in [Version::V1_0, Version::V2_1] {
        let depth = std::env::var("D").map_or(5, |d| d.parse().unwrap());
        let pages = std::env::var("P").map_or(1, |d| d.parse().unwrap());
        let search = Search { version, pages, limit: 2, cache: None, depth };
        let now = std::time::Instant::now();
        println!("{search:?}: {:?} {:?}", search.run(), now.elapsed());
    }
}
