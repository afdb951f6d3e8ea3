//! Devices that come, go, or never start.

#![forbid(unsafe_code)]

use machine::client::ANY_CHANNEL;
use machine::lab::{ENGINE, Failure, Setup};
use netdma_ioctl::Piece;
use nthost::pnp::{Problem, State};
use proof::proves;

fn other(error: impl std::fmt::Display) -> Failure {
    Failure::Other(error.to_string())
}

#[test]
fn adding_and_removing_without_a_start_leaves_nothing_behind() -> Result<(), Failure> {
    let mut lab = Setup::new(1)?.power_on()?;
    let device = lab.engine_device(0)?.id;
    lab.run(|k| k.starve(device, true))?;
    lab.add_client_device()?;
    for package in ["netdma", "ioatdma"] {
        lab.install(package)?;
    }
    let report = lab.engine_device(0)?;
    assert_eq!((report.state, report.problem), (State::Added, Some(Problem::NormalConflict)));
    let names = lab.event_names()?;
    proves!(image: R35, R47; assert!(
        names.contains(&"ProviderRegistered") && !names.contains(&"ProviderStarted"), "{names:?}"));

    lab.run(|k| k.remove_device(device))?.map_err(other)?;
    let names = lab.event_names()?;
    proves!(image: R78, R79; assert!(names.contains(&"ProviderDeregistered"), "{names:?}"));
    let leaks = lab.shut_down()?;
    assert!(leaks.is_empty(), "{leaks:?}");
    Ok(())
}

#[test]
fn a_remapped_machine_is_refused_at_start_by_name() -> Result<(), Failure> {
    let mut setup = Setup::new(1)?;
    setup.remapping = true;
    let mut lab = setup.power_on()?;
    lab.add_client_device()?;
    // The package as built opts out; without the two lines Windows would remap the device.
    let mut source = machine::lab::source("ioatdma")?;
    strip_opt_out(&mut source);
    lab.install("netdma")?;
    lab.install_source(&source)?;
    lab.install("netdmatest")?;
    let names = lab.event_names()?;
    assert!(names.contains(&"RemappedMemoryRefused"), "{names:?}");
    let refused =
        lab.events()?.into_iter().find(|seen| seen.name() == "RemappedMemoryRefused").expect("just seen");
    assert_ne!(refused.value("logical"), refused.value("physical"));
    assert!(refused.entry.remedy.contains("DmaRemappingCompatible"));

    let client = lab.open()?;
    proves!(image: R67; assert!(client.open_channel(&mut lab, ANY_CHANNEL).is_err()));
    client.close(&mut lab)?;
    let leaks = lab.shut_down()?;
    assert!(leaks.is_empty(), "{leaks:?}");
    Ok(())
}

#[test]
fn on_a_machine_with_remapping_hardware_the_opted_out_package_works() -> Result<(), Failure> {
    let mut setup = Setup::new(1)?;
    setup.remapping = true;
    let mut lab = setup.boot()?;
    let client = lab.open()?;
    let channel = client.open_channel(&mut lab, ANY_CHANNEL)?;
    assert_eq!(client.copy_verified(&mut lab, channel.number, 100_000, 1)?, 100_000);
    Ok(())
}

/// Removes both spellings of the remapping opt-out from an INF.
fn strip_opt_out(source: &mut nthost::install::Source) {
    let name = source.inf.to_lowercase();
    let text =
        String::from_utf8(source.files.get(&name).cloned().unwrap_or_default()).expect("an INF in UTF-8");
    let kept: Vec<&str> = text
        .lines()
        .filter(|line| !line.contains("DmaRemappingCompatible,") && !line.contains("\"RemappingSupported\","))
        .collect();
    assert_eq!(text.lines().count() - kept.len(), 2, "both spellings were there");
    source.files.insert(name, kept.join("\r\n").into_bytes());
}

#[test]
fn an_engine_plugged_in_later_is_started_and_serves() -> Result<(), Failure> {
    let mut lab = Setup::new(1)?.boot()?;
    let (vendor, device) = ENGINE;
    let options = ioat_model::Options::function_of(vendor, device, 1).map_err(other)?;
    lab.plug("engine 1".into(), options)?;
    lab.expect_no_problems()?;
    let client = lab.open()?;
    for seed in 0..2 {
        let channel = client.open_channel(&mut lab, ANY_CHANNEL)?;
        client.copy_verified(&mut lab, channel.number, 50_000, seed)?;
    }
    Ok(())
}

#[test]
fn stop_and_start_can_be_repeated_between_register_and_deregister() -> Result<(), Failure> {
    let mut lab = Setup::new(1)?.boot()?;
    let device = lab.engine_device(0)?.id;
    for round in 1..=3 {
        lab.run(|k| k.rebalance(device))?.map_err(other)?;
        lab.expect_no_problems()?;
        let names = lab.event_names()?;
        let count = |name: &str| names.iter().filter(|seen| **seen == name).count();
        proves!(image: R65, R66, R75, R283;
            assert_eq!(count("ProviderStarted"), 1 + round);
            assert_eq!(count("ProviderStopped"), round);
            assert_eq!(count("ProviderRegistered"), 1));
        let client = lab.open()?;
        let channel = client.open_channel(&mut lab, ANY_CHANNEL)?;
        client.copy_verified(&mut lab, channel.number, 50_000, round as u64)?;
        client.close(&mut lab)?;
    }
    let leaks = lab.shut_down()?;
    assert!(leaks.is_empty(), "{leaks:?}");
    Ok(())
}

#[test]
fn surprise_removal_ends_work_under_way_and_leaves_nothing_behind() -> Result<(), Failure> {
    for seed in nthost::replay::seeds(0..=7) {
        let mut setup = Setup::new(1)?;
        setup.seed = seed;
        let mut lab = setup.boot()?;
        let client = lab.open()?;
        let channel = client.open_channel(&mut lab, ANY_CHANNEL)?;
        let buffer = lab.buffer(2 << 20)?;
        let piece = |number: u32| Piece {
            source: number * 4099,
            destination: (1 << 20) + number * 4099,
            length: 4001,
            flags: 0,
        };
        let pieces: Vec<Piece> = (0..200).map(piece).collect();
        let copying = client.copy(&mut lab, channel.number, buffer, &pieces)?;
        let device = lab.engine_device(0)?.id;
        lab.run(|k| k.surprise_remove(device))?.map_err(other)?;
        // The request ends either way; when nothing was left to do it has succeeded.
        let outcome = client.finish(&mut lab, copying);
        proves!(image: R82; assert!(!matches!(outcome, Err(Failure::Stop(_))), "{outcome:?}"));
        let late = client.copy_verified(&mut lab, channel.number, 1000, 1);
        proves!(image: R74; assert!(matches!(late, Err(Failure::Request { .. })), "{late:?}"));
        lab.free(buffer)?;
        client.close(&mut lab)?;
        let leaks = lab.shut_down()?;
        assert!(leaks.is_empty(), "seed {seed}: {leaks:?}");
    }
    Ok(())
}
