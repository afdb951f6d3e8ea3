//! ioatdma.sys on the old engines, hardware 1.2 and 2.0: four channels in one function, one interrupt for all of them.
#![forbid(unsafe_code)]

mod provider;

use ioat_regs::config;
use machine::client::ANY_CHANNEL;
use machine::lab::{Failure, Lab, PACKAGES};
use netdma_events::BringUp;
use netdma_ioctl::CONTROL_ABORT;
use proof::proves;
use provider::{channel, nothing_left, seen, setup, vetoed};

#[test]
fn a_1_2_engine_registers_as_1_1_and_copies() -> Result<(), Failure> {
    let mut lab = setup(0x1A38, |_| {}).boot()?;
    let added = seen(&mut lab, "DeviceAdded")?;
    proves!(image: R26, H41;
        assert_eq!(added.first().and_then(|event| event.value("version")), Some(0x0101)));
    let (client, number) = channel(&mut lab)?;
    let copied = client.copy_verified(&mut lab, number, 200_003, 1)?;
    proves!(image: R117, R129, R126, H43; assert_eq!(copied, 200_003));
    client.copy_verified(&mut lab, number, 200_003, 2)?;
    client.close(&mut lab)?;
    nothing_left(lab)
}

#[test]
fn the_four_channels_of_one_function_work_side_by_side() -> Result<(), Failure> {
    for device in [0x1A38, 0x402F] {
        let mut lab = setup(device, |_| {}).boot()?;
        let client = lab.open()?;
        let mut channels = Vec::new();
        for _ in 0..4 {
            channels.push(client.open_channel(&mut lab, ANY_CHANNEL)?.number);
        }
        let fifth = client.open_channel(&mut lab, ANY_CHANNEL);
        proves!(image: R62, R100, R265; assert!(fifth.is_err(), "{device:04x}: four channels, not five"));
        for (seed, number) in channels.iter().enumerate() {
            let copied = client.copy_verified(&mut lab, *number, 60_000, seed as u64)?;
            proves!(image: R13, R256, H41; assert_eq!(copied, 60_000, "{device:04x}"));
        }
        let work: Vec<u64> = (0..4).map(|number| lab.engines[0].channel(number).copies).collect();
        assert!(work.iter().all(|copies| *copies > 1), "{device:04x}: every channel has copied: {work:?}");

        // One channel is aborted; the others do not notice.
        client.control(&mut lab, channels[0], CONTROL_ABORT)?;
        for (seed, number) in channels.iter().enumerate() {
            let copied = client.copy_verified(&mut lab, *number, 60_000, 10 + seed as u64)?;
            proves!(image: R188, R194; assert_eq!(copied, 60_000, "{device:04x}"));
        }
        client.close(&mut lab)?;
        nothing_left(lab)?;
    }
    Ok(())
}

/// Claims a channel of an engine that nobody has started, as the idle driver of the 7300 chipset does; gives CHANCTRL.
fn claim(lab: &Lab, channel: u32) -> u64 {
    lab.engines[0].with(|engine| {
        // Awake: a removed device sleeps.
        engine.config_write(config::POWER_V1 + 4, 2, 0);
        let command = engine.config_read(config::COMMAND, 2);
        let memory = config::Command::from_bits(command as u16).with_memory(true).into_bits();
        engine.config_write(config::COMMAND, 2, memory.into());
        let control = engine.mmio_read(0x80 * (channel + 1), 2);
        engine.config_write(config::COMMAND, 2, command);
        control
    })
}

#[test]
fn a_channel_that_somebody_else_has_claimed_stays_his() -> Result<(), Failure> {
    for device in [0x1A38, 0x402F] {
        let mut lab = setup(device, |_| {}).power_on()?;
        assert_eq!(claim(&lab, 2), 0);
        lab.install_all()?;
        let claimed = seen(&mut lab, "ChannelClaimed")?;
        proves!(image: H42; assert_eq!(claimed.iter().map(|event| event.value("channel")).collect::<Vec<_>>(), [Some(2)]));
        let started = seen(&mut lab, "ProviderStarted")?;
        proves!(image: R62; assert_eq!(started[0].value("channels"), Some(3)));

        let client = lab.open()?;
        let mut numbers = Vec::new();
        for _ in 0..3 {
            numbers.push(client.open_channel(&mut lab, ANY_CHANNEL)?.number);
        }
        assert!(
            client.open_channel(&mut lab, ANY_CHANNEL).is_err(),
            "{device:04x}: three channels, not four"
        );
        for (seed, number) in numbers.into_iter().enumerate() {
            client.copy_verified(&mut lab, number, 30_000, seed as u64)?;
        }
        client.close(&mut lab)?;
        let theirs = lab.engines[0].channel(2).accesses;
        proves!(image: H42;
            assert_eq!((theirs.writes(), theirs.reads()), (0, 2), "{device:04x}: one read by each of us, and nothing else"));

        let devnode = lab.engine_device(0)?.id;
        vetoed(lab.run(|k| k.remove_device(devnode))?)?;
        for channel in [0, 1, 3] {
            proves!(image: H42; assert_eq!(claim(&lab, channel), 0, "{device:04x}: given back"));
        }
        nothing_left(lab)?;
    }
    Ok(())
}

#[test]
fn an_engine_whose_channels_are_all_claimed_does_not_start_and_says_why() -> Result<(), Failure> {
    let mut lab = setup(0x1A38, |_| {}).power_on()?;
    for channel in 0..4 {
        claim(&lab, channel);
    }
    lab.add_client_device()?;
    for package in PACKAGES {
        lab.install(package)?;
    }
    let steps: Vec<_> = seen(&mut lab, "BringUpFailed")?.iter().map(|event| event.value("step")).collect();
    assert_eq!(steps, [Some(BringUp::Claim as u64)]);
    assert!(seen(&mut lab, "ProviderStarted")?.is_empty());
    nothing_left(lab)
}

#[test]
fn configuration_space_of_1_2_is_told_whether_the_interrupt_is_a_message() -> Result<(), Failure> {
    for (limit, expected) in [(None, 2), (Some(0), 0)] {
        let mut lab = setup(0x1A38, |_| {}).power_on()?;
        lab.run(|k| k.limit_messages(limit))?;
        lab.install_all()?;
        let control = lab.engines[0].with(|engine| engine.config_read(0x48, 4));
        proves!(image: H41; assert_eq!(control & 2, expected));
        nothing_left(lab)?;
    }
    Ok(())
}
