//! Every allocation that the three drivers make in a life fails once: each time what needed it fails with a status or is
//! done without, nothing stops, and nothing is left behind.

#![forbid(unsafe_code)]

use machine::client::ANY_CHANNEL;
use machine::lab::{Failure, Lab, PACKAGES, Setup};
use nthost::pnp::{Problem, Sleep, State};

/// STATUS_INSUFFICIENT_RESOURCES, and what the framework makes of it on the way into D0.
const EXPECTED: [i32; 2] = [0xC000_009A_u32 as i32, 0xC000_009E_u32 as i32];

/// How a life went in which one allocation failed.
#[derive(Debug)]
struct Outcome {
    /// Allocations that were asked for.
    allocations: u64,
    /// The one that failed.
    failed: Option<String>,
    /// What did not work.
    problems: Vec<String>,
}

/// Install, load, copy, rebalance, sleep and wake, remove; every step that fails is noted, and the next is tried.
fn life(fails: Option<u64>) -> Result<Outcome, Failure> {
    let mut setup = Setup::new(1)?;
    setup.memory = 64 << 20;
    let mut lab = setup.power_on()?;
    lab.run(|k| k.fail_allocation(fails))?;
    lab.add_client_device()?;
    for package in PACKAGES {
        lab.install(package)?;
    }
    let mut problems = Vec::new();
    note(copy(&mut lab), &mut problems)?;
    if let Some(engine) = started(&mut lab)? {
        note(lab.run(|k| k.rebalance(engine))?.map_err(other), &mut problems)?;
    }
    note(lab.run(|k| k.sleep(Sleep::Standby))?.map_err(other), &mut problems)?;
    lab.run(|k| k.wake_up())?;
    lab.machine.until_idle()?;
    note(copy(&mut lab), &mut problems)?;
    for device in lab.devices()? {
        if let Some(problem) = device.problem {
            check(&problem)?;
            problems.push(problem.to_string());
        }
    }
    let (allocations, failed) = lab.run(|k| (k.allocations(), k.failed_allocation()))?;
    let left = lab.shut_down()?;
    if !left.is_empty() {
        return Err(Failure::Other(format!("left behind: {left:?}")));
    }
    Ok(Outcome { allocations, failed, problems })
}

fn started(lab: &mut Lab) -> Result<Option<nthost::pnp::DevnodeId>, Failure> {
    let engine = lab.engine_device(0)?;
    Ok((engine.state == State::Started).then_some(engine.id))
}

fn copy(lab: &mut Lab) -> Result<(), Failure> {
    let client = lab.open()?;
    let copied = client
        .open_channel(lab, ANY_CHANNEL)
        .and_then(|channel| client.copy_verified(lab, channel.number, 20_000, 1));
    client.close(lab)?;
    copied.map(drop)
}

fn other(error: impl std::fmt::Display) -> Failure {
    Failure::Other(error.to_string())
}

/// Requests may fail; wrong bytes and stops may not be.
fn note(result: Result<(), Failure>, problems: &mut Vec<String>) -> Result<(), Failure> {
    match result {
        Ok(()) => Ok(()),
        Err(failure @ Failure::Request { .. }) => {
            problems.push(failure.to_string());
            Ok(())
        }
        Err(failure) => Err(failure),
    }
}

/// A device that does not work says so with the status of the allocation.
fn check(problem: &Problem) -> Result<(), Failure> {
    let status = match problem {
        Problem::FailedAdd(status) | Problem::FailedStart(status) => status.0,
        Problem::FailedDriverEntry(text) if text.contains("STATUS_INSUFFICIENT_RESOURCES") => return Ok(()),
        Problem::FailedPostStart => return Ok(()),
        other => return Err(Failure::Other(format!("a device fails for another reason: {other}"))),
    };
    if EXPECTED.contains(&status) { Ok(()) } else { Err(Failure::Other(format!("an odd status: {problem}"))) }
}

#[test]
fn each_allocation_of_the_drivers_may_fail() -> Result<(), Failure> {
    let whole = life(None)?;
    assert!(whole.problems.is_empty(), "{:?}", whole.problems);
    assert!(whole.failed.is_none() && whole.allocations > 50, "{} allocations", whole.allocations);
    let mut wrong = Vec::new();
    for number in 1..=whole.allocations {
        match life(Some(number)) {
            Ok(Outcome { failed: Some(what), problems, .. }) => {
                println!("{number}: {what}: {}", problems.join("; "));
                // Events and settings are done without; everything else is missed by somebody.
                let optional = what.starts_with("EtwRegister") || what.starts_with("ZwOpenKey");
                if problems.is_empty() && !optional {
                    wrong.push(format!("{number}: nobody noticed that {what} failed"));
                }
            }
            Ok(Outcome { failed: None, .. }) => wrong.push(format!("{number}: no such allocation came")),
            Err(failure) => wrong.push(format!("allocation {number}: {failure}")),
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), whole.allocations, wrong.join("\n"));
    Ok(())
}
