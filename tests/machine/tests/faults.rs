//! The demonstration against an engine that misbehaves: it must notice, and say what happened.

#![forbid(unsafe_code)]

use std::path::PathBuf;

use ioat_model::FaultPlan;
use machine::demo::corpus::{self, Input};
use machine::demo::options::{Options, Request};
use machine::demo::progress::Silent;
use machine::demo::report::Report;
use machine::demo::run::run;

/// The demonstration over this test's own program and a few small files beside it.
fn demonstrate(words: &[&str]) -> Report {
    let options = match Request::parse(words.iter().map(Into::into)) {
        Ok(Request::Run(options)) => options,
        other => panic!("{words:?}: {other:?}"),
    };
    run(&options, &files(), &mut Silent).expect("the demonstration can be run")
}

/// A few files of this repository: a picture of many small ones and some that fill more than one batch.
fn files() -> Vec<Input> {
    let docs = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/spec");
    let image = machine::lab::packages().join("netdma/netdma.pdb");
    corpus::named(&[docs, image]).expect("files of the repository")
}

/// The one line of a report that begins the diagnosis.
fn diagnosis(words: &[&str]) -> String {
    let report = demonstrate(words);
    assert!(!report.is_good(), "a misbehaving engine went unnoticed:\n{report}");
    assert!(report.leaks.is_empty(), "{report}");
    report.faults().join("\n")
}

#[test]
fn a_faithful_engine_delivers_every_byte() {
    let report = demonstrate(&[]);
    assert!(report.is_good(), "{report}");
    assert_eq!(report.work.bytes_verified, report.work.bytes);
    assert_eq!(report.work.source_hash, report.work.destination_hash);
    assert!(report.channels.iter().all(|channel| channel.engine_bytes > 0), "both engines worked:\n{report}");
    assert_eq!(report.devices.len(), 3);
    assert_eq!(report.drivers.len(), 3);
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let (one, two, other) = (demonstrate(&[]), demonstrate(&[]), demonstrate(&["--seed", "2"]));
    assert_eq!((one.machine_time, &one.channels), (two.machine_time, &two.channels));
    assert_ne!(one.machine_time, other.machine_time);
}

#[test]
fn a_flipped_bit_is_found_and_located() {
    let diagnosis = diagnosis(&["--fault", "flip-bit@20"]);
    assert!(
        diagnosis.contains("engine 0, ") && diagnosis.contains("arrived with 1 wrong bit"),
        "{diagnosis}"
    );
}

#[test]
fn a_copy_that_was_not_done_is_told_from_a_wrong_one() {
    let diagnosis = diagnosis(&["--fault", "no-copy@20"]);
    assert!(diagnosis.contains("engine 0, ") && diagnosis.contains("they were not copied"), "{diagnosis}");
}

#[test]
fn a_lost_interrupt_is_noticed_though_every_byte_arrives() {
    let report = demonstrate(&["--fault", "drop-interrupt@3"]);
    let diagnosis = report.faults().join("\n");
    assert_eq!(report.work.bytes_verified, report.work.bytes);
    assert!(!report.is_good(), "{report}");
    assert!(diagnosis.contains("CompletionRecovered"), "{diagnosis}");
    assert!(diagnosis.contains("no interrupt had told of"), "{diagnosis}");
}

#[test]
fn a_halt_is_reported_with_the_name_of_its_error() {
    for (error, bit) in [("read-data", "0x100"), ("write-data", "0x200"), ("destination-address", "0x2")] {
        let diagnosis = diagnosis(&["--fault", &format!("halt:{error}@9")]);
        assert!(diagnosis.contains(&format!("errors={bit} ")) && diagnosis.contains(error), "{diagnosis}");
        assert!(diagnosis.contains("EngineError") && diagnosis.contains("ChannelHalted"), "{diagnosis}");
        assert!(diagnosis.contains("STATUS_IO_DEVICE_ERROR"), "{diagnosis}");
    }
}

#[test]
fn an_engine_that_vanishes_is_reported_as_gone() {
    let diagnosis = diagnosis(&["--fault", "removed access=60"]);
    assert!(diagnosis.contains("no longer answers"), "{diagnosis}");
}

#[test]
fn an_engine_that_cannot_be_reset_does_not_start() {
    let diagnosis = diagnosis(&["--fault", "endless-reset reset=*"]);
    assert!(diagnosis.contains("ResetTimedOut") && diagnosis.contains("code 10"), "{diagnosis}");
}

#[test]
fn a_plan_of_the_model_can_be_given_as_it_is() {
    let plan: FaultPlan = "lost-completion completion=3".parse().expect("a plan");
    let options = Options { faults: plan, ..Options::default() };
    let report = run(&options, &files(), &mut Silent).expect("the demonstration can be run");
    assert_eq!(report.injected, ["lost-completion completion=3"]);
    // The next completion word tells of both descriptors: nothing is lost.
    assert_eq!(report.work.bytes_verified, report.work.bytes, "{report}");
}
