//! What the tests of the provider on the real images share.
#![allow(dead_code, reason = "every test binary uses its part of this")]

use ioat_model::{Fault, Options};
use machine::client::{ANY_CHANNEL, Client};
use machine::events::Seen;
use machine::lab::{Failure, Lab, PACKAGES, Setup};

/// Counter-driven engines: one id of each version, and each with something special about it.
pub const COUNTED: [u16; 6] = [0x402F, 0x3430, 0x6F20, 0x2021, 0x6F50, 0x0B00];

/// A machine with one engine of this id.
pub fn setup(device: u16, change: impl FnOnce(&mut Options)) -> Setup {
    let mut options = Options::new(0x8086, device).expect("the id is in the table");
    change(&mut options);
    Setup { engines: vec![options], ..Setup::new(1).expect("one engine is always possible") }
}

/// A machine with one engine on which these things go wrong.
pub fn faulty(device: u16, faults: &[Fault]) -> Setup {
    setup(device, |options| options.faults.faults.extend_from_slice(faults))
}

/// Installs everything without expecting that the engine starts.
pub fn install(setup: &Setup) -> Result<Lab, Failure> {
    let mut lab = setup.power_on()?;
    lab.add_client_device()?;
    for package in PACKAGES {
        lab.install(package)?;
    }
    Ok(lab)
}

/// A program with one channel open.
pub fn channel(lab: &mut Lab) -> Result<(Client, u32), Failure> {
    let client = lab.open()?;
    let channel = client.open_channel(lab, ANY_CHANNEL)?;
    Ok((client, channel.number))
}

/// The events of this name.
pub fn seen(lab: &mut Lab, name: &str) -> Result<Vec<Seen>, Failure> {
    Ok(lab.events()?.into_iter().filter(|event| event.name() == name).collect())
}

/// Ends the machine; nothing may be left behind.
pub fn nothing_left(lab: Lab) -> Result<(), Failure> {
    let leaks = lab.shut_down()?;
    assert!(leaks.is_empty(), "{leaks:?}");
    Ok(())
}
