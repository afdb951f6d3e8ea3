//! Long random histories of a channel. Whatever clients, engine and provider do, each accepted request is told exactly
//! once, in order, with success only if the engine did it; nothing hangs. Every short history of a small ring is tried by
//! `tests/exhaustive`.

mod support;

use netdma_abi::Version;
use proptest::prelude::*;
use support::history::{History, Step};

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        30 => Just(Step::Engine),
        40 => prop::sample::select(vec![Step::Null, Step::Copy, Step::Pieces]),
        22 => prop::sample::select(vec![Step::Flush, Step::Poll, Step::Dpc, Step::Look, Step::TellAnswered]),
        12 => prop::sample::select(Step::ALL.to_vec()),
    ];
    prop::collection::vec(step, 0..200)
}

/// What the random histories found first: reports ahead of the word let an old word name the next lap.
#[test]
fn an_old_word_behind_reports_is_not_taken_for_the_next_lap() {
    let nulls = |count| std::iter::repeat_n(Step::Null, count);
    let engine = |count| std::iter::repeat_n(Step::Engine, count);
    let mut history = History::new(Version::V1_0, 31);
    let begin = nulls(31).chain(engine(31)).chain([Step::Poll]);
    let overtaken = nulls(31).chain(engine(30)).chain([Step::Dpc]);
    let lap = nulls(30).chain([Step::Copy]).chain(nulls(4)).chain([Step::Flush, Step::Poll]);
    for step in begin.chain(overtaken).chain(lap) {
        history.take(step);
    }
    history.finish();
}

proptest! {
    #![proptest_config(support::cases(10_000))]

    /// Long histories, several times round the ring, each with a provider of every version.
    #[test]
    fn every_random_history_ends_well(limit in 1u32..70, steps in steps()) {
        for version in [Version::V1_0, Version::V1_1, Version::V2_0, Version::V2_1] {
            let mut history = History::new(version, limit);
            for step in &steps {
                history.take(*step);
            }
            history.finish();
        }
    }
}
