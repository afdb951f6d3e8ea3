//! ioatdma.sys brings up every counter-driven engine, with whatever interrupts it is given and from whatever state
//! it was left in; and says by name why it does not.
#![forbid(unsafe_code)]

mod provider;

use ioat_model::{Fault, Register, Which};
use machine::lab::Failure;
use netdma_events::InterruptKind;
use proof::proves;
use provider::{COUNTED, channel, faulty, install, nothing_left, seen, setup};

#[test]
fn every_counter_driven_engine_starts_and_copies() -> Result<(), Failure> {
    for device in COUNTED {
        let mut lab = setup(device, |_| {}).boot()?;
        let (client, number) = channel(&mut lab)?;
        let copied = client.copy_verified(&mut lab, number, 200_003, device.into())?;
        proves!(image: R118, R126, R142, R144, H9, H12, H13;
            assert_eq!(copied, 200_003, "{device:04x}"));
        let tested = seen(&mut lab, "SelfTestPassed")?.len();
        proves!(image: H15, H19; assert!(tested >= 1, "{device:04x}"));
        client.close(&mut lab)?;
        nothing_left(lab)?;
    }
    Ok(())
}

#[test]
fn every_counter_driven_engine_works_on_a_line_interrupt() -> Result<(), Failure> {
    for device in COUNTED {
        let setup = setup(device, |_| {});
        let mut lab = setup.power_on()?;
        lab.run(|k| k.limit_messages(Some(0)))?;
        lab.add_client_device()?;
        for package in machine::lab::PACKAGES {
            lab.install(package)?;
        }
        lab.expect_no_problems()?;
        let (client, number) = channel(&mut lab)?;
        client.copy_verified(&mut lab, number, 100_003, device.into())?;
        let assigned = seen(&mut lab, "InterruptsAssigned")?;
        let line = InterruptKind::Line as u64;
        proves!(image: R53, R54, H6, H18, H30;
            assert_eq!(assigned.last().and_then(|event| event.value("kind")), Some(line), "{device:04x}");
            assert!(lab.engines[0].statistics().line_assertions > 0, "{device:04x}");
            assert_eq!(lab.engines[0].statistics().messages, 0, "{device:04x}"));
        client.close(&mut lab)?;
        nothing_left(lab)?;
    }
    Ok(())
}

#[test]
fn with_messages_no_interrupt_register_is_read() -> Result<(), Failure> {
    let mut lab = setup(0x6F20, |_| {}).boot()?;
    let (client, number) = channel(&mut lab)?;
    client.copy_verified(&mut lab, number, 200_003, 1)?;
    let function = lab.engines[0].statistics();
    proves!(image: H29, R200, R203;
        assert!(function.messages > 0);
        assert_eq!(function.accesses.reads_of(Register::Intrctrl), 0);
        assert_eq!(function.accesses.reads_of(Register::Attnstatus), 0));
    Ok(())
}

#[test]
fn a_copy_costs_one_write_per_batch_and_no_read() -> Result<(), Failure> {
    let mut lab = setup(0x6F20, |_| {}).boot()?;
    let (client, number) = channel(&mut lab)?;
    client.copy_verified(&mut lab, number, 10_000, 1)?;
    let before = (lab.engines[0].channel(0).accesses, client.statistics(&mut lab, number)?);
    client.copy_verified(&mut lab, number, 400_003, 2)?;
    let now = (lab.engines[0].channel(0).accesses, client.statistics(&mut lab, number)?);

    let writes = |register| now.0.writes_of(register) - before.0.writes_of(register);
    let appends = now.1.appends - before.1.appends;
    assert!(appends > 0);
    proves!(image: H20, R131, R132;
        assert_eq!(writes(Register::Dmacount), appends);
        assert_eq!(writes(Register::Chainaddr), 0));
    assert_eq!(now.0.reads_of(Register::Chansts), before.0.reads_of(Register::Chansts), "no read on the way");
    assert_eq!(writes(Register::Dmacount) + writes(Register::Chanctrl), now.0.writes() - before.0.writes());
    Ok(())
}

#[test]
fn whatever_state_the_engine_was_left_in_it_starts() -> Result<(), Failure> {
    let error = ioat_regs::error::ErrorBit::named("dma-integrity").expect("a bit of the table");
    for device in [0x6F20, 0x0B00] {
        for fault in [Fault::HaltedAtStart { error }, Fault::RunningAtStart] {
            let mut lab = faulty(device, &[fault]).boot()?;
            let cleared = seen(&mut lab, "LeftoversCleared")?;
            proves!(image: H9; assert_eq!(cleared.len(), 1, "{device:04x} {fault:?}"));
            let (client, number) = channel(&mut lab)?;
            client.copy_verified(&mut lab, number, 50_000, 3)?;
        }
    }
    Ok(())
}

#[test]
fn unreachable_extended_configuration_space_is_said_and_lived_with() -> Result<(), Failure> {
    let mut lab = faulty(0x6F20, &[Fault::ConfigUnreachable]).boot()?;
    let said = seen(&mut lab, "ErrorsUnreachable")?.len();
    proves!(image: H5; assert!(said > 0));
    let (client, number) = channel(&mut lab)?;
    client.copy_verified(&mut lab, number, 50_000, 4)?;
    Ok(())
}

#[test]
fn an_engine_that_fails_its_self_test_is_not_offered() -> Result<(), Failure> {
    for (fault, event) in [
        (Fault::FlipBit { copy: Which::From(1), bit: 9 }, "SelfTestWrongData"),
        (Fault::SkipCopy { copy: Which::From(1) }, "SelfTestWrongData"),
        (Fault::LostCompletion { completion: Which::From(1) }, "SelfTestFailed"),
        (Fault::DropInterrupt { interrupt: Which::From(1) }, "InterruptMissing"),
    ] {
        let mut lab = install(&faulty(0x6F20, &[fault]))?;
        let said = seen(&mut lab, event)?.len();
        let started = seen(&mut lab, "ProviderStarted")?.len();
        proves!(image: H15, H19; assert_eq!((said, started), (1, 0), "{fault:?}"));
        assert!(lab.expect_no_problems().is_err(), "the device does not start");
        nothing_left(lab)?;
    }
    Ok(())
}

#[test]
fn a_reset_that_never_ends_fails_the_start_by_name() -> Result<(), Failure> {
    let mut lab = install(&faulty(0x6F20, &[Fault::EndlessReset { reset: Which::From(1) }]))?;
    let said = seen(&mut lab, "ResetTimedOut")?.len();
    let started = seen(&mut lab, "ProviderStarted")?.len();
    proves!(image: H9; assert_eq!((said, started), (1, 0)));
    nothing_left(lab)
}

#[test]
fn a_reset_of_150_ms_is_waited_for() -> Result<(), Failure> {
    for device in COUNTED {
        let mut lab = setup(device, |options| options.timing.reset = 150_000_000).boot()?;
        let (client, number) = channel(&mut lab)?;
        let copied = client.copy_verified(&mut lab, number, 20_000, 5)?;
        proves!(image: H9; assert_eq!(copied, 20_000, "{device:04x}"));
        client.close(&mut lab)?;
        nothing_left(lab)?;
    }
    Ok(())
}
