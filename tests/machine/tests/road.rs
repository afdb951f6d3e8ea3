//! The whole road once: install, start, copy, stop, unload, on the driver images as they ship.

#![forbid(unsafe_code)]

use machine::client::ANY_CHANNEL;
use machine::lab::{Failure, Lab, Setup, source};
use netdma_ioctl::{
    CONTROL_ABORT, CONTROL_NULL, CONTROL_RESET, CONTROL_RESUME, CONTROL_SUSPEND, OpenChannel, POLLED,
};
use nthost::inf::Inf;
use proof::proves;

/// One engine and its client, with a channel open.
fn one_channel() -> Result<(Lab, machine::client::Client, u32), Failure> {
    let mut lab = Setup::new(1)?.boot()?;
    let client = lab.open()?;
    let channel = client.open_channel(&mut lab, ANY_CHANNEL)?;
    Ok((lab, client, channel.number))
}

#[test]
fn install_start_copy_stop_unload_leaves_nothing_behind() -> Result<(), Failure> {
    let mut lab = Setup::new(2)?.boot()?;
    let client = lab.open()?;
    let channel = client.open_channel(&mut lab, ANY_CHANNEL)?;
    let copied = client.copy_verified(&mut lab, channel.number, 300_001, 1)?;
    proves!(image: R1, R11, R64, R97, R126; assert_eq!(copied, 300_001));

    let statistics = client.statistics(&mut lab, channel.number)?;
    assert_eq!((statistics.bytes, statistics.interface_bytes), (copied, copied));
    assert_eq!(statistics.failed + statistics.aborted + statistics.errors + statistics.late, 0);
    client.close(&mut lab)?;

    let leaks = lab.shut_down()?;
    proves!(image: R5, R73; assert!(leaks.is_empty(), "{leaks:?}"));
    Ok(())
}

#[test]
fn each_engine_is_registered_once_and_leaves_stopped_first() -> Result<(), Failure> {
    let mut lab = Setup::new(2)?.boot()?;
    let names = lab.event_names()?;
    let count = |name: &str| names.iter().filter(|seen| **seen == name).count();
    proves!(image: R6, R23, R57; assert_eq!((count("ProviderRegistered"), count("ProviderStarted")), (2, 2)));

    let client = lab.open()?;
    let providers = client.providers(&mut lab)?;
    proves!(image: R10, R62, R100; assert!(providers.iter().all(|provider| provider.channels == 1)));
    proves!(image: R60, R61, R270;
        assert!(providers.iter().all(|provider| provider.vendor == 0x8086));
        assert!(providers.iter().all(|provider| provider.maximum_transfer >= 4096));
        assert!(providers.iter().all(|provider| provider.hardware_version == 3 << 16 | 2)));
    proves!(image: R31; assert!(providers.iter().all(|provider| provider.name_length > 0)));
    client.close(&mut lab)?;

    let device = lab.engine_device(0)?.id;
    lab.run(|k| k.remove_device(device))?.map_err(|error| Failure::Other(error.to_string()))?;
    let names = lab.event_names()?;
    let stopped = names.iter().position(|name| *name == "ProviderStopped");
    let left = names.iter().position(|name| *name == "ProviderDeregistered");
    proves!(image: R71, R77, R78; assert!(stopped.is_some() && left.is_some() && stopped < left, "{names:?}"));
    Ok(())
}

#[test]
fn the_interface_reports_version_2_1() -> Result<(), Failure> {
    let mut lab = Setup::new(1)?.boot()?;
    let version = lab.call_export("netdma.sys", "NetDmaGetVersion", &[])?;
    proves!(image: R14, R15; assert_eq!(version & 0xFFFF_FFFF, 0x0002_0001));
    Ok(())
}

#[test]
fn the_provider_is_of_class_system() -> Result<(), Failure> {
    let package = source("ioatdma")?;
    let bytes = package.files.get("ioatdma.inf").cloned().unwrap_or_default();
    let inf = Inf::parse(&package.inf, &bytes).map_err(|error| Failure::Other(error.to_string()))?;
    proves!(image: R2; assert_eq!(inf.value("Version", "Class"), Some("System")));
    Ok(())
}

#[test]
fn a_channel_is_never_given_to_two_clients() -> Result<(), Failure> {
    let mut lab = Setup::new(2)?.boot()?;
    let (first, second) = (lab.open()?, lab.open()?);
    let one = first.open_channel(&mut lab, ANY_CHANNEL)?;
    let two = second.open_channel(&mut lab, ANY_CHANNEL)?;
    proves!(image: R8, R9; assert_ne!(one.provider, two.provider));

    let third = second.open_channel(&mut lab, ANY_CHANNEL);
    assert!(third.is_err(), "two engines have two channels: {third:?}");
    first.copy_verified(&mut lab, one.number, 70_000, 2)?;
    second.copy_verified(&mut lab, two.number, 70_000, 3)?;

    first.close(&mut lab)?;
    let again = second.open_channel(&mut lab, ANY_CHANNEL)?;
    proves!(image: R108; assert_eq!(again.provider, one.provider));
    second.copy_verified(&mut lab, again.number, 70_000, 4)?;
    second.close(&mut lab)?;
    Ok(())
}

#[test]
fn a_null_transfer_moves_nothing_and_is_completed() -> Result<(), Failure> {
    let (mut lab, client, channel) = one_channel()?;
    let before = lab.engines[0].channel(0);
    client.control(&mut lab, channel, CONTROL_NULL)?;
    client.copy_verified(&mut lab, channel, 5_000, 5)?;
    client.control(&mut lab, channel, CONTROL_NULL)?;
    let now = lab.engines[0].channel(0);
    let statistics = client.statistics(&mut lab, channel)?;
    proves!(image: R166, R167, R170;
        assert_eq!(now.nulls - before.nulls, 2);
        assert_eq!(now.bytes - before.bytes, 5_000);
        assert_eq!(statistics.completed, statistics.accepted));
    Ok(())
}

#[test]
fn a_polled_channel_asks_for_no_interrupt() -> Result<(), Failure> {
    let mut lab = Setup::new(1)?.boot()?;
    let client = lab.open()?;
    let channel = client.open_channel(&mut lab, OpenChannel { flags: POLLED, ..ANY_CHANNEL })?;
    let before = lab.engines[0].channel(0);
    client.copy_verified(&mut lab, channel.number, 200_000, 6)?;
    let now = lab.engines[0].channel(0);
    let statistics = client.statistics(&mut lab, channel.number)?;
    proves!(image: R156, R199;
        assert_eq!(now.interrupts_requested, before.interrupts_requested);
        assert!(statistics.interface_polls > 0));
    Ok(())
}

#[test]
fn after_abort_and_after_reset_the_channel_works_again() -> Result<(), Failure> {
    let (mut lab, client, channel) = one_channel()?;
    client.copy_verified(&mut lab, channel, 100_000, 7)?;
    let starts = client.statistics(&mut lab, channel)?.starts;

    client.control(&mut lab, channel, CONTROL_ABORT)?;
    client.copy_verified(&mut lab, channel, 100_000, 8)?;
    let after_abort = client.statistics(&mut lab, channel)?.starts;
    proves!(image: R137, R188; assert_eq!(after_abort, starts + 1));

    client.control(&mut lab, channel, CONTROL_RESET)?;
    client.copy_verified(&mut lab, channel, 100_000, 9)?;
    let after_reset = client.statistics(&mut lab, channel)?.starts;
    proves!(image: R111, R193; assert_eq!(after_reset, after_abort + 1));
    Ok(())
}

#[test]
fn what_is_posted_to_a_suspended_channel_is_done_after_resume() -> Result<(), Failure> {
    let (mut lab, client, channel) = one_channel()?;
    client.copy_verified(&mut lab, channel, 100_000, 10)?;
    client.control(&mut lab, channel, CONTROL_SUSPEND)?;
    let before = lab.engines[0].channel(0);

    let buffer = lab.buffer(8192)?;
    lab.fill(buffer, &[0x5A; 8192])?;
    let piece = netdma_ioctl::Piece { source: 1, destination: 5000, length: 3001, flags: 0 };
    let copying = client.copy(&mut lab, channel, buffer, &[piece])?;
    lab.machine.advance(1_000_000)?;
    proves!(image: R174; assert_eq!(lab.engines[0].channel(0).descriptors, before.descriptors));

    client.control(&mut lab, channel, CONTROL_RESUME)?;
    client.finish(&mut lab, copying)?;
    proves!(image: R180; assert!(lab.engines[0].channel(0).descriptors > before.descriptors));
    lab.free(buffer)?;
    client.close(&mut lab)?;
    let leaks = lab.shut_down()?;
    assert!(leaks.is_empty(), "{leaks:?}");
    Ok(())
}
