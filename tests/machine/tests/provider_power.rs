//! ioatdma.sys over sleep, wake, rebalance, restart and removal: the engine ends up quiet, the memory returned.
#![forbid(unsafe_code)]

mod provider;

use ioat_model::Register;
use ioat_regs::State;
use machine::hosted::guid;
use machine::lab::Failure;
use nthost::AddedPages;
use nthost::pnp::Sleep;
use proof::proves;
use provider::{channel, engine_state, nothing_left, seen, setup, vetoed};

#[test]
fn a_channel_survives_sleep_and_hibernation() -> Result<(), Failure> {
    for device in [0x1A38, 0x402F, 0x6F20, 0x0B00, 0x6F50] {
        for sleep in [Sleep::Standby, Sleep::Hibernate] {
            let mut lab = setup(device, |options| options.d3_loses_state = true).boot()?;
            let (client, number) = channel(&mut lab)?;
            client.copy_verified(&mut lab, number, 60_000, 1)?;
            let starts = client.statistics(&mut lab, number)?.starts;

            vetoed(lab.run(|k| k.sleep(sleep))?)?;
            let names = lab.event_names()?;
            proves!(image: R213, R219, H37;
                assert!(names.contains(&"ProviderPoweredDown") && names.contains(&"EngineQuiesced"), "{names:?}"));
            lab.run(|k| k.wake_up())?;
            let restored = seen(&mut lab, "EngineRestored")?.len();
            proves!(image: R214; assert_eq!(restored, 1, "{device:04x} {sleep:?}"));

            client.copy_verified(&mut lab, number, 60_000, 2)?;
            let now = client.statistics(&mut lab, number)?.starts;
            proves!(image: R221, R222, R277; assert!(now > starts));
            client.close(&mut lab)?;
            nothing_left(lab)?;
        }
    }
    Ok(())
}

#[test]
fn a_hundred_sleeps_leave_nothing_behind() -> Result<(), Failure> {
    let mut lab = setup(0x6F20, |options| options.d3_loses_state = true).boot()?;
    let (client, number) = channel(&mut lab)?;
    for round in 0..100 {
        client.copy_verified(&mut lab, number, 3_000, round)?;
        vetoed(lab.run(|k| k.sleep(Sleep::Standby))?)?;
        lab.run(|k| k.wake_up())?;
    }
    client.copy_verified(&mut lab, number, 3_000, 101)?;
    client.close(&mut lab)?;
    nothing_left(lab)
}

#[test]
fn removal_leaves_the_engine_halted_and_silent() -> Result<(), Failure> {
    let mut lab = setup(0x6F20, |_| {}).boot()?;
    let (client, number) = channel(&mut lab)?;
    client.copy_verified(&mut lab, number, 60_000, 1)?;
    client.close(&mut lab)?;
    let device = lab.engine_device(0)?.id;
    vetoed(lab.run(|k| k.remove_device(device))?)?;
    proves!(image: H38, H39, R283; assert_eq!(engine_state(&lab, 0), Some(State::Halted)));
    let names = lab.event_names()?;
    proves!(image: R71, R77; assert!(names.contains(&"ProviderStopped") && names.contains(&"ProviderDeregistered")));

    // The function stays in its slot and can be started again.
    lab.run(|k| k.start_device(device))?;
    let (client, number) = channel(&mut lab)?;
    client.copy_verified(&mut lab, number, 60_000, 2)?;
    client.close(&mut lab)?;
    nothing_left(lab)
}

#[test]
fn a_rebalance_stops_and_starts_the_provider() -> Result<(), Failure> {
    let mut lab = setup(0x6F20, |_| {}).boot()?;
    let device = lab.engine_device(0)?.id;
    for round in 0..20 {
        let (client, number) = channel(&mut lab)?;
        client.copy_verified(&mut lab, number, 10_000, round)?;
        client.close(&mut lab)?;
        vetoed(lab.run(|k| k.rebalance(device))?)?;
    }
    let names = lab.event_names()?;
    let count = |name: &str| names.iter().filter(|seen| **seen == name).count();
    proves!(image: R75, R283, R65;
        assert_eq!((count("ProviderStarted"), count("ProviderStopped")), (21, 20)));
    proves!(image: R23; assert_eq!(count("ProviderRegistered"), 1));
    nothing_left(lab)
}

#[test]
fn added_then_removed_without_a_start() -> Result<(), Failure> {
    let mut lab = setup(0x6F20, |_| {}).power_on()?;
    lab.add_client_device()?;
    let device = lab.engine_device(0)?.id;
    lab.run(|k| k.starve(device, true))?;
    for package in machine::lab::PACKAGES {
        lab.install(package)?;
    }
    let names = lab.event_names()?;
    proves!(image: R22, R47; assert!(names.contains(&"ProviderRegistered") && !names.contains(&"ProviderStarted")));
    vetoed(lab.run(|k| k.remove_device(device))?)?;
    let names = lab.event_names()?;
    proves!(image: R78; assert!(names.contains(&"ProviderDeregistered"), "{names:?}"));
    nothing_left(lab)
}

/// What a routine answers that adds nothing to a dump and does not want to be called again.
const NO_PAGES: AddedPages = AddedPages { flags: 1, pages: 0 };

#[test]
fn before_a_crash_dump_is_written_the_engine_is_stopped_by_one_write_per_channel() -> Result<(), Failure> {
    for (device, channels) in [(0x1A38, 4), (0x402F, 4), (0x6F20, 1), (0x0B00, 1)] {
        let mut lab = setup(device, |options| options.timing.per_descriptor = 50_000).boot()?;
        let (client, number) = channel(&mut lab)?;
        let copying = client.begin_verified(&mut lab, number, 90_000, 1)?;
        let before = lab.engines[0].channel(0);
        assert_eq!(engine_state(&lab, 0), Some(State::Active), "{device:04x}: it is at work");

        let added = lab.run(|k| k.prepare_dump())?;
        assert_eq!(added, [NO_PAGES], "{device:04x}: called, and the dump gets no more pages by it");
        let now = lab.engines[0].channel(0);
        proves!(image: H39;
            assert_eq!((now.accesses.writes() - before.accesses.writes(), now.accesses.reads()), (1, before.accesses.reads()));
            assert_eq!(now.accesses.writes_of(Register::Chancmd) - before.accesses.writes_of(Register::Chancmd), 1));
        for number in 0..channels {
            proves!(image: H39; assert_eq!(engine_state(&lab, number), Some(State::Halted), "{device:04x} {number}"));
        }
        // A dump that is written in several runs asks again.
        assert_eq!(lab.run(|k| k.prepare_dump())?, [NO_PAGES], "{device:04x}");
        assert_eq!(engine_state(&lab, 0), Some(State::Halted), "{device:04x}");
        // The machine did not really stop: the watchdog finds the silent halt, and everything ends as usual.
        let cut = client.end_verified(&mut lab, copying);
        assert!(cut.is_err(), "{device:04x}: the copy was cut off");
        client.close(&mut lab)?;
        nothing_left(lab)?;
    }
    Ok(())
}

#[test]
fn a_device_that_sleeps_is_not_touched_before_a_crash_dump() -> Result<(), Failure> {
    let mut lab = setup(0x6F20, |options| options.d3_loses_state = true).boot()?;
    vetoed(lab.run(|k| k.sleep(Sleep::Standby))?)?;
    let before = lab.engine_device(0)?.traffic;
    assert_eq!(lab.run(|k| k.prepare_dump())?, [NO_PAGES]);
    proves!(image: H39; assert_eq!(lab.engine_device(0)?.traffic, before));
    lab.run(|k| k.wake_up())?;
    nothing_left(lab)
}

#[test]
fn an_engine_that_has_left_or_is_stopped_is_not_touched_before_a_crash_dump() -> Result<(), Failure> {
    let mut lab = setup(0x6F20, |_| {}).boot()?;
    let device = lab.engine_device(0)?.id;
    // An open handle keeps the device, and so its routine, while there is no engine any more.
    let file = lab.run(|k| k.open_interface(guid(netdma_ioctl::engine::INTERFACE), 0))?.expect("an engine");
    vetoed(lab.run(|k| k.surprise_remove(device))?)?;
    let before = lab.engines[0].statistics();
    assert_eq!(lab.run(|k| k.prepare_dump())?, [NO_PAGES]);
    proves!(image: H36, H39; assert_eq!(lab.engines[0].statistics(), before));
    lab.run(|k| k.close(file))?;
    proves!(image: H39; assert!(lab.run(|k| k.prepare_dump())?.is_empty(), "a device that is removed has no routine"));
    nothing_left(lab)
}
