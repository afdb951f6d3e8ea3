//! Who runs next: the scheduling decisions of a machine, and their record.
//!
//! Decisions come from a source of chance of their own, so that a recorded history can be played back, or changed,
//! without changing anything else the seed decides.

use std::collections::BTreeSet;

use crate::random::Random;

/// How a machine decides who runs.
#[derive(Debug, Clone, Default)]
pub enum Strategy {
    /// Every decision is drawn: at a switch point the processor mostly goes on, sometimes gives way.
    #[default]
    Random,
    /// Every switch point gives way to the next processor, every eighth to the next thread.
    RoundRobin,
    /// Priority change (Burckhardt et al., "A Randomized Scheduler with Probabilistic Guarantees of Finding Bugs"):
    /// the processor of highest priority runs; at `changes` random points among the first `within` switch points the
    /// one that runs falls to the lowest.
    PriorityChange {
        /// Points at which the priority changes: the depth of the bugs sought, less one.
        changes: u32,
        /// Switch points the points are spread over.
        within: u64,
    },
    /// The decisions of an earlier machine with the same seed; where they end, every processor just goes on.
    Replay(History),
}

/// The decisions a machine has taken.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History(Vec<u16>);

impl History {
    /// How many decisions there were.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing was decided yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first `length` decisions.
    #[must_use]
    pub fn up_to(mut self, length: usize) -> Self {
        self.0.truncate(length);
        self
    }
}

/// What happens at a switch point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    Stay,
    /// Another processor may run.
    GiveWay,
    /// Another thread may run on this processor.
    Preempt,
}

const TURNS: [Turn; 3] = [Turn::Stay, Turn::GiveWay, Turn::Preempt];

/// What is picked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pick {
    Cpu,
    Thread,
}

/// One switch point in so many hands the host thread to another processor, with [`Strategy::Random`].
const SWITCH: u64 = 6;
/// One switch point in so many below DISPATCH_LEVEL ends the thread's turn.
const PREEMPT: u64 = 24;
/// With [`Strategy::RoundRobin`] a thread's turn lasts so many switch points.
const QUANTUM: u64 = 8;

/// Takes the decisions.
#[derive(Debug)]
pub(crate) struct Decider {
    strategy: Strategy,
    random: Random,
    history: History,
    /// Switch points so far.
    points: u64,
    /// Decisions played back so far.
    played: usize,
    /// With round robin: what was picked last, processor and thread.
    last: [u32; 2],
    /// With priority change: the processors, highest priority first, and where priorities change.
    order: Vec<u32>,
    changes: BTreeSet<u64>,
}

impl Decider {
    pub(crate) fn new(strategy: Strategy, seed: u64, cpus: u32) -> Self {
        let mut random = Random::new(seed ^ 0x5343_4845_4455_4C45);
        let mut order: Vec<u32> = (0..cpus).collect();
        for last in (1..order.len()).rev() {
            order.swap(last, random.below(last as u64 + 1) as usize);
        }
        let changes = match strategy {
            Strategy::PriorityChange { changes, within } => {
                (0..changes).map(|_| random.below(within)).collect()
            }
            _ => BTreeSet::new(),
        };
        Self {
            strategy,
            random,
            history: History::default(),
            points: 0,
            played: 0,
            last: [0; 2],
            order,
            changes,
        }
    }

    pub(crate) fn history(&self) -> History {
        self.history.clone()
    }

    /// What the processor `cpu` does at a switch point; a thread's turn may only end when `preemptible`.
    pub(crate) fn turn(&mut self, cpu: u32, preemptible: bool) -> Turn {
        self.points += 1;
        let turn = match &self.strategy {
            Strategy::Random if self.random.below(SWITCH) == 0 => Turn::GiveWay,
            Strategy::Random if preemptible && self.random.below(PREEMPT) == 0 => Turn::Preempt,
            Strategy::Random => Turn::Stay,
            Strategy::RoundRobin if preemptible && self.points.is_multiple_of(QUANTUM) => Turn::Preempt,
            Strategy::RoundRobin => Turn::GiveWay,
            Strategy::PriorityChange { .. } => {
                if self.changes.contains(&self.points) {
                    self.demote(cpu);
                }
                Turn::GiveWay
            }
            Strategy::Replay(_) => {
                let recorded = self.next_recorded().and_then(|index| TURNS.get(index).copied());
                recorded.filter(|&turn| turn != Turn::Preempt || preemptible).unwrap_or(Turn::Stay)
            }
        };
        self.history.0.push(turn as u16);
        turn
    }

    /// The processor spins: with priorities it would spin for ever.
    pub(crate) fn demote(&mut self, cpu: u32) {
        self.order.retain(|&other| other != cpu);
        self.order.push(cpu);
    }

    /// The index of one of `options` (sorted, at least one).
    pub(crate) fn pick(&mut self, what: Pick, options: &[u32]) -> usize {
        if options.len() == 1 {
            return 0;
        }
        let index = match (&self.strategy, what) {
            (Strategy::RoundRobin, _) => {
                let last = self.last[what as usize];
                options.iter().position(|&option| option > last).unwrap_or(0)
            }
            (Strategy::PriorityChange { .. }, Pick::Cpu) => {
                let best = self.order.iter().find_map(|cpu| options.iter().position(|option| option == cpu));
                best.unwrap_or(0)
            }
            (Strategy::Replay(_), _) => {
                self.next_recorded().filter(|&index| index < options.len()).unwrap_or(0)
            }
            _ => self.random.below(options.len() as u64) as usize,
        };
        self.last[what as usize] = options[index];
        self.history.0.push(index as u16);
        index
    }

    fn next_recorded(&mut self) -> Option<usize> {
        let Strategy::Replay(history) = &self.strategy else { return None };
        let next = history.0.get(self.played).copied();
        self.played += 1;
        next.map(usize::from)
    }
}
