//! Every rule that a driver can break is broken by one, and stops the machine with its name; the driver's twin, which
//! differs in one place, lives through the same life without a stop and leaves nothing behind.
//!
//! The drivers are in `tests/defects`. When all are caught, the page docs/verifier-rules.md is what was seen: with
//! NETDMA_RULES set it is written to the file of that name (`cargo xtask rules`).

#[path = "../common/mod.rs"]
mod common;

mod cases;
mod lives;
mod page;
mod races;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::{env, fs};

use cases::{CASES, Case};
use lives::{Twin, builder, live};
use nthost::Stop;

/// What came of one driver, or why it does not prove its rule.
fn outcome(case: &Case) -> Result<Box<Stop>, String> {
    let life = |twin| {
        let mut machine = builder().build().expect("a machine");
        let lived = catch_unwind(AssertUnwindSafe(|| live(case.driver, twin, case.life, &mut machine)));
        lived.map_err(|_| format!("{}, {twin:?}: the test itself failed, see above", case.driver))
    };
    match life(Twin::Wrong)? {
        Ok(()) => Err(format!("{} is not caught", case.driver)),
        Err(stop) if (stop.rule.as_ref(), stop.code) != (case.rule, case.code) => Err(format!(
            "{} is caught as {} ({:#x}), not as {} ({:#x}):\n{stop}",
            case.driver, stop.rule, stop.code, case.rule, case.code
        )),
        Err(stop) if !stop.text.contains(case.says) => {
            Err(format!("{}: the stop does not say {:?}:\n{stop}", case.driver, case.says))
        }
        Err(stop) => {
            if let Err(stop) = life(Twin::Clean)? {
                return Err(format!("the twin of {} is stopped:\n{stop}", case.driver));
            }
            Ok(stop)
        }
    }
}

#[test]
fn each_defect_is_caught_by_its_rule_and_its_twin_passes() {
    let only = env::var("NETDMA_DEFECT").ok();
    let chosen = CASES.iter().filter(|case| only.as_deref().is_none_or(|name| name == case.driver));
    let (mut caught, mut faults) = (Vec::new(), Vec::new());
    for case in chosen {
        match outcome(case) {
            Ok(stop) => caught.push((case, stop)),
            Err(fault) => faults.push(fault),
        }
    }
    assert!(faults.is_empty(), "{} of {} drivers:\n{}", faults.len(), CASES.len(), faults.join("\n"));
    if let Ok(path) = env::var("NETDMA_RULES") {
        fs::write(&path, page::page(&caught)).unwrap_or_else(|error| panic!("{path}: {error}"));
    }
}

#[test]
fn every_rule_has_a_driver_that_breaks_it() {
    for rule in nthost::rules::RULES {
        assert!(CASES.iter().any(|case| case.rule == rule.name), "{} is broken by no driver", rule.name);
    }
    for case in CASES {
        assert!(nthost::rules::find(case.rule).is_some(), "{}: {} is no rule", case.driver, case.rule);
    }
}

#[test]
fn each_source_makes_one_mistake_and_stands_in_the_table() {
    let folder = lives::root().join("tests/defects/examples");
    let mut names: Vec<String> = fs::read_dir(&folder)
        .expect("the drivers' sources")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().replace(".rs", ""))
        .collect();
    names.sort();
    for name in &names {
        let source = fs::read_to_string(folder.join(format!("{name}.rs"))).expect("a source");
        assert_eq!(source.matches("mistake!").count(), 1, "{name} makes one mistake");
    }
    let mut listed: Vec<String> = CASES.iter().map(|case| case.driver.to_owned()).collect();
    listed.extend(races::RACES.map(str::to_owned));
    listed.sort();
    assert_eq!(listed, names);
}
