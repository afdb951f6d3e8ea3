//! Every fault that the engine model knows, one row each, on every generation: how it ends, that nothing is lost or told
//! twice, and that work goes on afterwards.

use ioat_model::{Defect, FAULTS, Fault, FaultPlan};
use machine::lab::{Failure, Lab};
use proof::proves;

use crate::client::*;

/// STATUS_UNSUCCESSFUL: what a control operation answers that its engine does not finish (R275).
const UNSUCCESSFUL: i32 = 0xC000_0001_u32.cast_signed();
/// CM_PROB_FAILED_START.
const FAILED_START: u32 = 10;

/// One plan of each fault, in the order of the model's list.
const PLANS: &[&str] = &[
    "flip-bit copy=5 bit=9",
    "skip-copy copy=5",
    "early-completion descriptor=5 steps=1",
    "drop-interrupt interrupt=*",
    "spurious-interrupt descriptor=*",
    "stuck-interrupt interrupt=1",
    "halt descriptor=5 error=read-data",
    "removed access=1",
    "lost-completion completion=1",
    "late-completion completion=1 by=3000000",
    "torn-completion completion=*",
    "foreign-completion completion=1 address=0x100000040",
    "backward-completion completion=1",
    "endless-reset reset=*",
    "endless-suspend suspend=*",
    "halted-at-start error=read-data",
    "running-at-start",
    "config-unreachable",
    "defect name=short-copy",
];

#[test]
fn every_fault_of_the_model_ends_as_specified() -> Result<(), Failure> {
    let listed: Vec<_> = FAULTS.iter().map(|(name, _)| *name).collect();
    let planned: Vec<_> = PLANS.iter().filter_map(|plan| plan.split(' ').next()).collect();
    assert_eq!(planned, listed, "each fault of the model's list has a plan here");
    for plan in PLANS {
        let FaultPlan { faults } = plan.parse().expect("a fault plan");
        for device in DEVICES {
            row(&faults[0], plan, device)?;
        }
    }
    Ok(())
}

/// How a fault ends. One that the model learns does not compile without a row here.
fn row(fault: &Fault, plan: &str, device: u16) -> Result<(), Failure> {
    match fault {
        // No driver can see these: who wants to know compares.
        Fault::FlipBit { .. } | Fault::SkipCopy { .. } => unnoticed(device, plan, false),
        Fault::EarlyCompletion { .. } => unnoticed(device, plan, true),
        // These cost time.
        Fault::DropInterrupt { .. }
        | Fault::SpuriousInterrupt { .. }
        | Fault::StuckInterrupt { .. }
        | Fault::LateCompletion { .. }
        | Fault::TornCompletion { .. }
        // The watchdog reads what the word does not say (H31).
        | Fault::LostCompletion { .. }
        | Fault::BackwardCompletion { .. }
        // Not believed: the channel is reset, which writes an honest word.
        | Fault::ForeignCompletion { .. } => delayed(device, plan),
        Fault::Halt { .. } => failed(device, plan, 4),
        Fault::Removed { .. } => removed(device, plan),
        Fault::EndlessReset { .. } => endless_reset(device, plan),
        Fault::EndlessSuspend { .. } => endless_suspend(device, plan),
        // Found at power-on, and put right before the first client.
        Fault::HaltedAtStart { .. } | Fault::RunningAtStart | Fault::ConfigUnreachable => found(device, plan),
        Fault::Defect { .. } => Defect::ALL.iter().try_for_each(|defect| defective(device, *defect)),
    }
}

/// Every request is told done, once, and all data is there.
fn delayed(device: u16, plan: &str) -> Result<(), Failure> {
    nothing_left(with_client(options(device, ""), |client| {
        client.misbehave(plan);
        client.works(plan);
        client.misbehave("");
        client.works(plan);
    })?)
}

/// Every request is told done, once; the fifth has not the data it should have, or (`later`) not yet.
fn unnoticed(device: u16, plan: &str, later: bool) -> Result<(), Failure> {
    nothing_left(with_client(options(device, ""), |client| {
        client.misbehave(plan);
        let cookies = client.submit(0);
        assert_eq!(client.ends(&cookies), Some(vec![SUCCESS; BATCH as usize]), "{device:04x}: {plan}");
        client.misbehave("");
        client.rest();
        let wrong: Vec<u64> = (0..BATCH).filter(|number| !client.arrived(*number)).collect();
        assert_eq!(wrong, if later { vec![] } else { vec![4] }, "{device:04x}: {plan}");
        client.works(plan);
    })?)
}

/// Those before the error are done, the error and all behind it fail, each once.
fn failed(device: u16, plan: &str, good: usize) -> Result<(), Failure> {
    nothing_left(with_client(options(device, ""), |client| {
        client.misbehave(plan);
        let cookies = client.submit(0);
        let mut wanted = vec![SUCCESS; good];
        wanted.resize(BATCH as usize, IO_DEVICE_ERROR);
        proves!(image: R211; assert_eq!(client.ends(&cookies), Some(wanted), "{device:04x}: {plan}"));
        client.misbehave("");
        client.works(plan);
    })?)
}

/// The engine is found like this and works.
fn found(device: u16, plan: &str) -> Result<(), Failure> {
    nothing_left(with_client(options(device, plan), |_| {})?)
}

/// The function is gone in the middle of a batch: what it had not done fails, and the channel can be given back.
fn removed(device: u16, plan: &str) -> Result<(), Failure> {
    let lab = with_client(options(device, ""), |client| {
        client.misbehave("lost-completion completion=1; drop-interrupt interrupt=*");
        let cookies = client.submit(0);
        client.misbehave(plan);
        let ends = client.ends(&cookies).expect("a device that is gone fails its work");
        proves!(image: R82, H36; assert!(
            ends.iter().all(|status| [SUCCESS, IO_DEVICE_ERROR].contains(status)), "{device:04x}: {ends:x?}"));
    })?;
    nothing_left(lab)
}

/// Found so, the device does not start (problem code 10) and leaves nothing; met in use, the reset answers failure, what
/// was asked for ends once, and the channel can be given back.
fn endless_reset(device: u16, plan: &str) -> Result<(), Failure> {
    let mut lab = boot(options(device, plan))?;
    assert_eq!(problems(&mut lab)?, [FAILED_START], "{device:04x}");
    let names = lab.event_names()?;
    assert!(names.contains(&"BringUpFailed"), "{device:04x}: {names:?}");
    nothing_left(lab)?;

    let lab = with_client(options(device, ""), |client| {
        client.misbehave(plan);
        let cookies = client.submit(0);
        // Below 2.0 the command bit says nothing: CHANSTS tells that the channel is at rest (M66).
        let expected = if device == DEVICES[0] { SUCCESS } else { UNSUCCESSFUL };
        assert_eq!(client.call("NetDmaResetChannel", &[client.channel]), expected, "{device:04x}");
        let ends = client.ends(&cookies);
        assert!(ends.is_some(), "{device:04x}: nothing came");
    })?;
    nothing_left(lab)
}

/// A suspension that the engine ignores answers failure; work goes on.
fn endless_suspend(device: u16, plan: &str) -> Result<(), Failure> {
    nothing_left(with_client(options(device, ""), |client| {
        client.misbehave(plan);
        let answer = client.call("NetDmaSuspendChannel", &[client.channel]);
        assert_eq!(answer, UNSUCCESSFUL, "{device:04x}");
        client.misbehave("");
        client.works("a suspension without effect");
    })?)
}

/// An engine with a mistake of design: whatever it does, no request is told twice, and everything can be given back.
fn defective(device: u16, defect: Defect) -> Result<(), Failure> {
    let plan = format!("defect name={}", defect.name());
    let mut lab = boot(options(device, &plan))?;
    if problems(&mut lab)?.is_empty() {
        let engine = lab.engines[0].clone();
        lab.run(|k| {
            let mut client = Client::new(k, engine);
            let cookies = client.submit(0);
            let _ = client.ends(&cookies);
            client.leave();
        })?;
    }
    nothing_left(lab)
}

/// The problem codes of devices that have one.
fn problems(lab: &mut Lab) -> Result<Vec<u32>, Failure> {
    let devices = lab.run(|k| k.devices())?;
    Ok(devices.iter().filter_map(|device| device.problem.as_ref()).map(|problem| problem.code()).collect())
}
