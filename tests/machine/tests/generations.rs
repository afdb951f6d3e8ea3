//! One engine of each hardware generation under the same images.

#![forbid(unsafe_code)]

use ioat_model::Options;
use machine::client::ANY_CHANNEL;
use machine::lab::{ENGINE, Failure, Setup};
use proof::proves;

/// Copies on every channel of a function with this id; returns how many channels it has.
fn copies_on(device: u16) -> Result<u32, Failure> {
    let mut setup = Setup::new(0)?;
    setup.engines = vec![Options::new(ENGINE.0, device)?];
    let mut lab = setup.boot()?;
    let client = lab.open()?;
    let providers = client.providers(&mut lab)?;
    let [provider] = providers[..] else {
        return Err(Failure::Other(format!("{device:04x}: {} providers", providers.len())));
    };
    let version = setup.engines[0].version;
    let reported = u32::from(version.major()) << 16 | u32::from(version.minor());
    proves!(image: R62, R63, R270;
        assert_eq!(provider.hardware_version, reported, "{device:04x}");
        assert_eq!(provider.channels, u32::from(setup.engines[0].channels), "{device:04x}");
        assert!(provider.maximum_address >= u64::from(u32::MAX), "{device:04x}"));
    for number in 0..provider.channels {
        let channel = client.open_channel(&mut lab, ANY_CHANNEL)?;
        let copied = client.copy_verified(&mut lab, channel.number, 150_000, u64::from(number))?;
        let statistics = client.statistics(&mut lab, channel.number)?;
        proves!(image: R13, R198;
            assert_eq!(copied, 150_000, "{device:04x}");
            assert!(statistics.interrupts > 0 && statistics.late == 0, "{device:04x}: {statistics:?}"));
    }
    client.close(&mut lab)?;
    let leaks = lab.shut_down()?;
    assert!(leaks.is_empty(), "{device:04x}: {leaks:?}");
    Ok(provider.channels)
}

#[test]
fn hardware_3_copies() -> Result<(), Failure> {
    // 3.0, 3.2 with and without quirks, 3.3, 3.4.
    for device in [0x3430, 0x6F20, 0x2021, 0x6F50, 0x0B00] {
        assert_eq!(copies_on(device)?, 1, "{device:04x}");
    }
    Ok(())
}

#[test]
fn hardware_2_0_copies_on_its_four_channels() -> Result<(), Failure> {
    assert_eq!(copies_on(0x402F)?, 4);
    Ok(())
}
