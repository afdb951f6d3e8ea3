//! Engine errors and removal: a named event, a halted channel, nothing lost or completed twice, and work afterwards.
#![forbid(unsafe_code)]

mod provider;

use ioat_model::{Fault, Options, Which};
use ioat_regs::ChanErr;
use ioat_regs::general::ATTNSTATUS;
use machine::lab::{Failure, Setup};
use machine::watched::{Space, Watch};
use netdma_ioctl::{CONTROL_ABORT, Statistics};
use proof::proves;
use provider::{channel, faulty, install, nothing_left, seen, setup};

/// The descriptors of the self-test come first: a null and a copy.
const SELF_TEST: u64 = 2;

/// Requests that netdma.sys has ended, in whatever way.
fn ended(statistics: &Statistics) -> u64 {
    statistics.completed + statistics.aborted + statistics.errors
}

#[test]
fn every_error_bit_is_named_and_the_channel_recovers() -> Result<(), Failure> {
    // Bit 15 is read only (§2.8): whoever sets it, no driver clears it.
    let clearable = ChanErr::ALL.iter().filter(|bit| 1 << bit.bit != ChanErr::UNAFFILIATED.0);
    for bit in clearable {
        let fault = Fault::Halt { descriptor: Which::Only(SELF_TEST + 3), error: bit };
        let mut lab = faulty(0x6F20, &[fault]).boot()?;
        let (client, number) = channel(&mut lab)?;
        let failed = client.copy_verified(&mut lab, number, 60_000, 1);
        assert!(failed.is_err(), "{}: the copy that met the error fails", bit.name);

        // Whoever found the halt first: the driver says which error it was.
        lab.machine.until_idle()?;
        let errors = seen(&mut lab, "EngineError")?;
        proves!(image: H33, R147, R204, R211;
            assert_eq!(errors.len(), 1, "{}", bit.name);
            assert_eq!(errors[0].value("errors"), Some(1 << bit.bit), "{}", bit.name));

        let statistics = client.statistics(&mut lab, number)?;
        assert_eq!(statistics.accepted, ended(&statistics), "{}: each exactly once", bit.name);
        let copied = client.copy_verified(&mut lab, number, 60_000, 2)?;
        proves!(image: R112; assert_eq!(copied, 60_000, "{}", bit.name));
        client.close(&mut lab)?;
        nothing_left(lab)?;
    }
    Ok(())
}

#[test]
fn an_error_at_any_place_of_a_batch_ends_the_same_way() -> Result<(), Failure> {
    let bit = ioat_regs::error::ErrorBit::named("read-data").expect("a bit of the table");
    for device in [0x6F20, 0x0B00] {
        for place in 1.. {
            let fault = Fault::Halt { descriptor: Which::Only(SELF_TEST + place), error: bit };
            let mut lab = faulty(device, &[fault]).boot()?;
            let (client, number) = channel(&mut lab)?;
            let outcome = client.copy_verified(&mut lab, number, 90_000, 1);
            if lab.engines[0].statistics().faults == 0 {
                // The copy has fewer descriptors than that.
                outcome?;
                assert!(place > 5, "{device:04x}: only {place} descriptors");
                break;
            }
            assert!(outcome.is_err(), "{device:04x} descriptor {place}");
            let statistics = client.statistics(&mut lab, number)?;
            assert_eq!(statistics.accepted, ended(&statistics), "{device:04x} descriptor {place}");
            client.copy_verified(&mut lab, number, 90_000, 2)?;
            client.close(&mut lab)?;
            nothing_left(lab)?;
        }
    }
    Ok(())
}

#[test]
fn a_lost_interrupt_or_completion_word_costs_time_and_nothing_else() -> Result<(), Failure> {
    // The self-test has one interrupt and two completion words of its own.
    for fault in [
        Fault::DropInterrupt { interrupt: Which::Only(2) },
        Fault::DropInterrupt { interrupt: Which::Only(3) },
        Fault::LostCompletion { completion: Which::Only(3) },
        Fault::LostCompletion { completion: Which::Only(5) },
    ] {
        let mut lab = faulty(0x6F20, &[fault]).boot()?;
        let (client, number) = channel(&mut lab)?;
        let copied = client.copy_verified(&mut lab, number, 60_000, 1)?;
        assert_eq!(copied, 60_000, "{fault:?}");
        client.copy_verified(&mut lab, number, 60_000, 2)?;
        client.close(&mut lab)?;
        nothing_left(lab)?;
    }
    Ok(())
}

#[test]
fn spurious_interrupts_harm_nothing() -> Result<(), Failure> {
    let mut lab = faulty(0x6F20, &[Fault::SpuriousInterrupt { descriptor: Which::Every(3) }]).boot()?;
    let (client, number) = channel(&mut lab)?;
    client.copy_verified(&mut lab, number, 90_000, 1)?;
    let statistics = client.statistics(&mut lab, number)?;
    assert_eq!((statistics.errors, statistics.failed), (0, 0));
    client.close(&mut lab)?;
    nothing_left(lab)
}

#[test]
fn an_interrupt_of_a_channel_that_is_not_there_is_claimed_and_told() -> Result<(), Failure> {
    let watch = Watch::default();
    let mut lab = Setup { engines: Vec::new(), ..Setup::new(1)? }.power_on()?;
    lab.run(|k| k.limit_messages(Some(0)))?;
    lab.plug_watched(Options::new(0x8086, 0x6F20).expect("an id of the table"), &watch)?;
    lab.install_all()?;
    watch.answer(Space::Registers, ATTNSTATUS, 1 << 7);
    let (client, number) = channel(&mut lab)?;
    // The watchdog finds what the interrupt did not tell.
    client.copy_verified(&mut lab, number, 3_000, 1)?;
    let told = seen(&mut lab, "SpuriousInterrupt")?;
    assert!(
        !told.is_empty() && told.iter().all(|event| event.value("attention") == Some(1 << 7)),
        "{told:?}"
    );
    client.close(&mut lab)?;
    nothing_left(lab)
}

#[test]
fn a_stop_that_takes_long_is_finished_in_the_background() -> Result<(), Failure> {
    let mut lab = setup(0x6F20, |options| options.timing.reset = 150_000_000).boot()?;
    let (client, number) = channel(&mut lab)?;
    client.copy_verified(&mut lab, number, 60_000, 1)?;
    client.control(&mut lab, number, CONTROL_ABORT)?;
    let copied = client.copy_verified(&mut lab, number, 60_000, 2)?;
    proves!(image: R188; assert_eq!(copied, 60_000));
    client.close(&mut lab)?;
    nothing_left(lab)
}

#[test]
fn removal_at_any_register_access_of_the_start_leaves_nothing_behind() -> Result<(), Failure> {
    let every_access = (0x6F20, (1..60).step_by(1));
    // Four channels take four times as many.
    for (device, accesses) in [every_access, (0x1A38, (1..200).step_by(7)), (0x402F, (2..200).step_by(7))] {
        for access in accesses {
            let mut lab = install(&faulty(device, &[Fault::Removed { access }]))?;
            let devnode = lab.engine_device(0)?.id;
            let removed = lab.run(|k| k.surprise_remove(devnode))?;
            assert!(removed.is_ok(), "{device:04x} access {access}: {removed:?}");
            proves!(image: H36; nothing_left(lab)?);
        }
    }
    Ok(())
}

#[test]
fn a_device_pulled_out_under_a_copy_ends_it_and_leaves_nothing_behind() -> Result<(), Failure> {
    let cases =
        (0..40).step_by(3).flat_map(|accesses| [(0x6F20, accesses), (0x1A38, accesses), (0x402F, accesses)]);
    for (id, accesses) in cases {
        let mut lab = setup(id, |options| options.timing.per_descriptor = 5_000).boot()?;
        let (client, number) = channel(&mut lab)?;
        client.copy_verified(&mut lab, number, 10_000, 1)?;
        let device = lab.engine_device(0)?.id;
        let plan = lab.run(|k| k.vanish_after(device, accesses))?;
        assert!(plan.is_ok(), "{plan:?}");
        let outcome = client.copy_verified(&mut lab, number, 90_000, accesses);
        let removed = lab.run(|k| k.surprise_remove(device))?;
        assert!(removed.is_ok(), "{accesses}: {removed:?}");
        proves!(image: R82, H36; {
            // Done before it went, or failed; never hung.
            let _ = outcome;
            let again = client.copy_verified(&mut lab, number, 1_000, 2);
            assert!(again.is_err(), "{accesses}: the provider has left");
        });
        client.close(&mut lab)?;
        nothing_left(lab)?;
    }
    Ok(())
}
