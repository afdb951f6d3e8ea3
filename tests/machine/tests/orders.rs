//! Every order in which netdma.sys can come to life and leave (D1 of docs/architecture.md): as an import, as a service, by the
//! first call of an export; with importers before and after.

#![forbid(unsafe_code)]

use machine::client::ANY_CHANNEL;
use machine::lab::{Failure, Lab, Setup};
use machine::soft::Soft;
use netdmasoft_control::{self as control, mode};
use nthost::Kernel;
use nthost::pnp::DevnodeId;
use proof::proves;

/// A machine without engines, with netdma's package: its image is on the disk and in nobody's memory.
fn lab() -> Result<Lab, Failure> {
    let mut lab = Setup::new(0)?.power_on()?;
    lab.install("netdma")?;
    assert!(!is_loaded(&mut lab)?);
    Ok(lab)
}

fn is_loaded(lab: &mut Lab) -> Result<bool, Failure> {
    lab.run(|k| k.images().iter().any(|image| image.name.to_lowercase().ends_with("netdma.sys")))
}

/// A provider and a client, and a copy that works.
fn importers_come(lab: &mut Lab) -> Result<(Soft, DevnodeId), Failure> {
    let soft = lab.run(Soft::install)??;
    let device = lab.add_client_device()?;
    lab.install("netdmatest")?;
    lab.expect_no_problems()?;
    let client = lab.open()?;
    let channel = client.open_channel(lab, ANY_CHANNEL)?;
    proves!(image: R11; assert_eq!(client.copy_verified(lab, channel.number, 30_000, 1)?, 30_000));
    client.close(lab)?;
    Ok((soft, device))
}

/// Both leave.
fn importers_leave(lab: &mut Lab, (soft, device): (Soft, DevnodeId)) -> Result<(), Failure> {
    lab.run(|k| soft.remove(k))??;
    remove(lab, device)
}

fn remove(lab: &mut Lab, device: DevnodeId) -> Result<(), Failure> {
    lab.run(|k| k.remove_device(device))?.map_err(|error| Failure::Other(error.to_string()))
}

fn start_service(lab: &mut Lab) -> Result<(), Failure> {
    lab.run(|k| k.start_service("netdma"))?.map_err(|error| Failure::Other(error.to_string()))
}

/// Stopping the service is refused: there is no unload routine.
fn stop_is_refused(lab: &mut Lab) -> Result<(), Failure> {
    let refused = lab.run(|k| k.stop_service("netdma"))?.expect_err("a stop is refused").to_string();
    assert!(refused.contains("netdma"), "{refused}");
    assert!(is_loaded(lab)?);
    Ok(())
}

fn count(lab: &mut Lab, name: &str) -> Result<usize, Failure> {
    Ok(lab.event_names()?.iter().filter(|seen| **seen == name).count())
}

#[test]
fn the_first_importer_brings_the_image_and_the_last_one_takes_it_along() -> Result<(), Failure> {
    let mut lab = lab()?;
    for life in 1..=3 {
        let importers = importers_come(&mut lab)?;
        assert_eq!(count(&mut lab, "InterfaceLoaded")?, life);
        importers_leave(&mut lab, importers)?;
        assert!(!is_loaded(&mut lab)?);
        assert_eq!(count(&mut lab, "InterfaceUnloaded")?, life);
    }
    let leaks = lab.shut_down()?;
    assert!(leaks.is_empty(), "{leaks:?}");
    Ok(())
}

#[test]
fn a_started_service_serves_importers_is_not_stopped_and_outlives_them() -> Result<(), Failure> {
    let mut lab = lab()?;
    start_service(&mut lab)?;
    let importers = importers_come(&mut lab)?;
    stop_is_refused(&mut lab)?;
    importers_leave(&mut lab, importers)?;
    assert!(is_loaded(&mut lab)?, "the service's own load is left");
    stop_is_refused(&mut lab)?;
    let again = importers_come(&mut lab)?;
    importers_leave(&mut lab, again)?;
    assert_eq!(count(&mut lab, "InterfaceLoaded")?, 1, "one life, whoever came first");
    Ok(())
}

#[test]
fn a_service_that_is_started_under_importers_keeps_the_image_when_they_leave() -> Result<(), Failure> {
    let mut lab = lab()?;
    let importers = importers_come(&mut lab)?;
    start_service(&mut lab)?;
    stop_is_refused(&mut lab)?;
    importers_leave(&mut lab, importers)?;
    assert!(is_loaded(&mut lab)?);
    let again = importers_come(&mut lab)?;
    importers_leave(&mut lab, again)?;
    assert_eq!(count(&mut lab, "InterfaceLoaded")?, 1);
    Ok(())
}

#[test]
fn a_service_without_importers_can_be_started_and_not_stopped() -> Result<(), Failure> {
    let mut lab = lab()?;
    start_service(&mut lab)?;
    stop_is_refused(&mut lab)?;
    let twice = lab.run(|k| k.start_service("netdma"))?.expect_err("it runs").to_string();
    assert!(twice.contains("netdma"), "{twice}");
    Ok(())
}

#[test]
fn a_client_before_the_first_provider_and_a_provider_after_the_last_client_work() -> Result<(), Failure> {
    let mut lab = lab()?;
    let device = lab.add_client_device()?;
    lab.install("netdmatest")?;
    let client = lab.open()?;
    assert!(client.providers(&mut lab)?.is_empty());
    let soft = lab.run(Soft::install)??;
    let channel = client.open_channel(&mut lab, ANY_CHANNEL)?;
    client.copy_verified(&mut lab, channel.number, 10_000, 2)?;
    client.close(&mut lab)?;
    remove(&mut lab, device)?;
    assert!(is_loaded(&mut lab)?);
    lab.run(|k| soft.remove(k))??;
    assert!(!is_loaded(&mut lab)?);
    let leaks = lab.shut_down()?;
    assert!(leaks.is_empty(), "{leaks:?}");
    Ok(())
}

#[test]
fn a_provider_whose_image_left_without_deregistering_is_never_called_again() -> Result<(), Failure> {
    let mut lab = lab()?;
    let soft = lab.run(Soft::install)??;
    let version = netdma_abi::Version::V2_1.0;
    let setup = control::Setup { version, flags: 0, absent: 0, mode: mode::FORGET };
    lab.run(|k| soft.setup(k, setup))?;
    lab.run(|k| soft.remove(k))??;
    assert!(is_loaded(&mut lab)?, "the image stays while somebody is registered");
    assert_eq!(count(&mut lab, "UnloadRefused")?, 1);
    // Its entry points are no code any more: a call of one would stop the machine.
    let device = lab.add_client_device()?;
    lab.install("netdmatest")?;
    let client = lab.open()?;
    proves!(image: R79; assert!(client.providers(&mut lab)?.is_empty()));
    assert!(client.open_channel(&mut lab, ANY_CHANNEL).is_err());
    let soft = lab.run(Soft::install)??;
    let channel = client.open_channel(&mut lab, ANY_CHANNEL)?;
    client.copy_verified(&mut lab, channel.number, 10_000, 3)?;
    client.close(&mut lab)?;
    importers_leave(&mut lab, (soft, device))
}

#[test]
fn an_export_called_before_any_entry_point_of_the_image_works() -> Result<(), Failure> {
    let mut lab = lab()?;
    // Loaded by itself, as nobody's import and nobody's service: neither DllInitialize nor DriverEntry has run.
    let registered = lab.run(|k| {
        let image = k.load_installed("netdma").map_err(|error| Failure::Other(error.to_string()))?;
        let exports = k.images().into_iter().find(|loaded| loaded.id == image).expect("just loaded");
        let call = |name: &str, arguments: &[u64]| k.call(name, exports.exports[name], arguments);
        proves!(image: R14; assert_eq!(call("NetDmaGetVersion", &[]) as u32, 0x0002_0001));
        Ok::<_, Failure>(register_and_leave(k, &call))
    })??;
    assert_eq!(registered, 0);
    assert_eq!(
        count(&mut lab, "InterfaceLoaded")?,
        1,
        "the first export that needs it initialises the image"
    );
    Ok(())
}

/// Registers a client without callbacks and deregisters it; the first status that is not success.
fn register_and_leave(k: &Kernel, call: &dyn Fn(&str, &[u64]) -> u64) -> i32 {
    let at = k.system_allocate(0x80, "characteristics");
    k.write_bytes(at, &[0; 0x80]);
    k.write(at, [1u8, 0u8]);
    k.write(at + 2, 0x28_u16);
    let registered = call("NetDmaRegisterClient", &[0, at, at + 0x40]) as i32;
    let handle: u64 = k.read(at + 0x40);
    let left = call("NetDmaDeregisterClient", &[handle]) as i32;
    if registered == 0 { left } else { registered }
}
