//! Judges the tests themselves: each seeded defect must make the test named for it fail.
//!
//! The test binary runs itself once more for each defect, with the defect named in the environment; every engine of
//! that run has it ([`DEFECT`] is read by the bench).

use std::{
    env,
    process::{Command, Stdio},
};

use ioat_model::Defect;

/// Names the defect that every engine of the run gets.
pub const DEFECT: &str = "IOAT_MODEL_DEFECT";

/// Runs one test of this binary; the proofs it might record are not asked for.
fn passes(test: &str, defect: Option<Defect>) -> bool {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args([test, "--exact"]).env_remove("NETDMA_PROOFS").env_remove(DEFECT);
    if let Some(defect) = defect {
        command.env(DEFECT, defect.to_string());
    }
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("running 1 test"), "there is no test {test}");
    output.status.success()
}

#[test]
fn every_seeded_defect_is_caught_by_the_test_named_for_it() {
    for &defect in Defect::ALL {
        let test = defect.caught_by();
        assert!(passes(test, None), "{test} fails without any defect");
        assert!(!passes(test, Some(defect)), "{test} does not notice the defect {defect}");
    }
}
