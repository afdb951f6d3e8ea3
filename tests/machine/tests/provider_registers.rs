//! What ioatdma.sys reads and writes, access by access, over a whole life: which engine it takes, at which width and in
//! which order it touches registers, which quirks it heeds, and what it leaves alone.
#![forbid(unsafe_code)]

mod provider;

use ioat_model::Options;
use ioat_regs::device::Messages;
use ioat_regs::{ChannelMap, Version, channel as channel_registers, config, general};
use machine::lab::{Failure, Lab, PACKAGES, Setup};
use machine::watched::{Access, Space, Watch};
use netdma_events::BringUp;
use netdma_ioctl::{CONTROL_ABORT, CONTROL_NULL, CONTROL_RESET, CONTROL_RESUME, CONTROL_SUSPEND};
use nthost::pnp::Sleep;
use proof::proves;
use provider::{channel, nothing_left, seen, vetoed};

/// One engine of each version, one of either sort of 3.3, and the Skylake, which reads 3.2 or 3.3.
const ENGINES: [u16; 8] = [0x1A38, 0x402F, 0x3430, 0x6F20, 0x2021, 0x0C50, 0x6F50, 0x0B00];

fn options(device: u16) -> Result<Options, Failure> {
    Ok(Options::new(0x8086, device)?)
}

/// A machine with this engine, watched from its first access on, on which everything is installed.
fn watched(options: Options, watch: &Watch) -> Result<Lab, Failure> {
    let mut lab = Setup { engines: Vec::new(), ..Setup::new(1)? }.power_on()?;
    lab.plug_watched(options, watch)?;
    lab.add_client_device()?;
    for package in PACKAGES {
        lab.install(package)?;
    }
    Ok(lab)
}

/// Everything that clients and the system can do with an engine, from its arrival to its removal; gives the accesses.
fn whole_life(options: Options) -> Result<Vec<Access>, Failure> {
    let watch = Watch::default();
    let mut lab = watched(options, &watch)?;
    lab.expect_no_problems()?;
    let (client, number) = channel(&mut lab)?;
    client.copy_verified(&mut lab, number, 60_000, 1)?;
    client.control(&mut lab, number, CONTROL_NULL)?;
    for operation in [CONTROL_SUSPEND, CONTROL_RESUME, CONTROL_ABORT, CONTROL_RESET] {
        client.control(&mut lab, number, operation)?;
    }
    client.copy_verified(&mut lab, number, 60_000, 2)?;
    let plan = "halt descriptor=2 error=read-data".parse().expect("a fault plan");
    lab.engines[0].with(|engine| engine.set_faults(plan));
    assert!(client.copy_verified(&mut lab, number, 60_000, 3).is_err());
    lab.engines[0].with(|engine| engine.set_faults("".parse().expect("no fault")));
    client.copy_verified(&mut lab, number, 60_000, 4)?;
    vetoed(lab.run(|k| k.sleep(Sleep::Standby))?)?;
    lab.run(|k| k.wake_up())?;
    client.copy_verified(&mut lab, number, 60_000, 5)?;
    let statistics = client.statistics(&mut lab, number)?;
    assert_eq!((statistics.late, statistics.timeouts), (0, 0), "no interrupt was missed");
    client.close(&mut lab)?;
    let device = lab.engine_device(0)?.id;
    vetoed(lab.run(|k| k.remove_device(device))?)?;
    nothing_left(lab)?;
    Ok(watch.accesses())
}

/// Register accesses that are the driver's: the MSI-X table is the bus driver's, but for the quirk that wipes it.
fn registers(accesses: &[Access]) -> Vec<Access> {
    let table = |access: &Access| access.offset >= 0x1000;
    accesses.iter().copied().filter(|access| access.space == Space::Registers && !table(access)).collect()
}

/// Width of the register at `offset`, if one begins there.
fn width_at(version: Version, offset: u32) -> Option<u8> {
    let general = [
        (general::CHANCNT, 1),
        (general::XFERCAP, 1),
        (general::INTRCTRL, 1),
        (general::ATTNSTATUS, 4),
        (general::CBVER, 1),
        (general::INTRDELAY, 2),
        (general::DMACAPABILITY, 4),
    ];
    let map = ChannelMap::of(version);
    let narrow = [(map.control, 2), (map.command, 1), (map.error, 4), (map.error_mask, 4)];
    let wide = [map.status, map.chain, map.completion];
    let in_block = offset.checked_sub(channel_registers::STRIDE).map(|from| from % channel_registers::STRIDE);
    match in_block {
        None => general.iter().find(|(at, _)| *at == offset).map(|(_, width)| *width),
        Some(at) if Some(at) == map.count => Some(2),
        Some(at) if wide.contains(&at) => Some(8),
        Some(at) => narrow.iter().find(|(place, _)| *place == at).map(|(_, width)| *width),
    }
}

#[test]
fn every_register_is_accessed_at_its_width_and_below_3_3_the_wide_ones_in_halves_low_first()
-> Result<(), Failure> {
    for device in ENGINES {
        let options = options(device)?;
        let (version, halves) = (options.version, options.device.quirks().halves_only());
        // Skylake's 3.3 is handled as 3.2.
        assert_eq!(halves, version < Version::V3_3 || device == 0x2021, "{device:04x}");
        let accesses = registers(&whole_life(options)?);
        let mut rest = accesses.iter().peekable();
        let mut wide = 0;
        while let Some(access) = rest.next() {
            let what = format!("{device:04x}: {access:x?}");
            match width_at(version, access.offset) {
                Some(8) if halves => {
                    wide += 1;
                    let high = rest.next().map(|next| (next.offset, next.width, next.is_write));
                    // A pair that is read is read again, low half, to see whether it stood still (§2.6).
                    proves!(image: H8;
                        assert_eq!(access.width, 4, "{what}");
                        assert_eq!(high, Some((access.offset + 4, 4, access.is_write)), "{what}"));
                    if !access.is_write {
                        let again = rest.next().map(|next| (next.offset, next.width, next.is_write));
                        assert_eq!(again, Some((access.offset, 4, false)), "{what}");
                    }
                }
                width => {
                    wide += u32::from(width == Some(8));
                    proves!(image: H8; assert_eq!(Some(access.width), width, "{what}"));
                }
            }
        }
        assert!(wide > 10, "{device:04x}: {wide}");
    }
    Ok(())
}

#[test]
fn what_only_3_4_has_and_what_nobody_needs_is_left_alone() -> Result<(), Failure> {
    for device in ENGINES {
        let options = options(device)?;
        let version = options.version;
        for access in registers(&whole_life(options)?) {
            let in_block = access.offset.checked_sub(channel_registers::STRIDE);
            let in_block = in_block.map(|from| from % channel_registers::STRIDE);
            let prefetch = [channel_registers::DRSCTL, channel_registers::LTR_SWSEL];
            let latency = [channel_registers::LTR_ACTIVE, channel_registers::LTR_IDLE];
            let of_3_4 = access.offset == general::CHWPREFLMT
                || version == Version::V3_4
                    && in_block.is_some_and(|at| prefetch.iter().chain(&latency).any(|place| *place == at));
            proves!(image: H17; assert!(!of_3_4, "{device:04x}: {access:x?}"));
            let dca = in_block.is_some() && in_block == ChannelMap::of(version).dca;
            proves!(image: H16; assert!(!dca, "{device:04x}: {access:x?}"));
        }
    }
    Ok(())
}

#[test]
fn relaxed_ordering_and_no_snoop_are_off_while_the_engine_works() -> Result<(), Failure> {
    for device in ENGINES {
        let options = options(device)?;
        let version = options.version;
        let mut lab = watched(options, &Watch::default())?;
        let control = lab.engines[0].with(|engine| {
            let mut at = engine.config_read(config::CAPABILITIES, 1) as u16;
            while at != 0 && engine.config_read(at, 1) as u8 != config::CAP_PCIE {
                at = engine.config_read(at + 1, 1) as u16;
            }
            (at != 0).then(|| engine.config_read(at + config::PCIE_DEVICE_CONTROL, 2))
        });
        // On power-on the model has both on, as the PCI Express specification lets it.
        assert_eq!(control.is_some(), version >= Version::V3_0, "{device:04x}");
        proves!(image: H16; assert_eq!(control.unwrap_or(0) & (1 << 4 | 1 << 11), 0, "{device:04x}"));
        let (client, number) = channel(&mut lab)?;
        client.copy_verified(&mut lab, number, 20_000, 1)?;
        client.close(&mut lab)?;
        nothing_left(lab)?;
    }
    Ok(())
}

#[test]
fn internal_errors_are_masked_and_tylersburgs_parity_error_is_cleared_with_every_reset() -> Result<(), Failure>
{
    for device in ENGINES {
        let options = options(device)?;
        let (version, map) = (options.version, ChannelMap::of(options.version));
        let command = channel_registers::base(0) + map.command;
        let accesses = whole_life(options)?;
        let reset = |access: &&Access| {
            access.space == Space::Registers
                && access.is_write
                && (access.offset, access.value) == (command, 0x20)
        };
        let resets = accesses.iter().filter(reset).count();
        assert!(resets > 3, "{device:04x}");
        let written = |offset: u16, value: u64| {
            let place = (Space::Config, u32::from(offset), value, true);
            accesses.iter().filter(|a| (a.space, a.offset, a.value, a.is_write) == place).count()
        };
        let (parity, masked) = (written(config::DMAUNCERRSTS, 0x10), written(config::CHANERRMSK_INT, 0x3E07));
        proves!(image: H10; assert_eq!(parity, if device == 0x3430 { resets } else { 0 }, "{device:04x}"));
        let masks = version == Version::V3_0 || version == Version::V3_2;
        proves!(image: H10; assert_eq!(masked > 0, masks, "{device:04x}: {masked}"));
    }
    Ok(())
}

#[test]
fn the_message_table_that_a_reset_wipes_is_written_back_after_each() -> Result<(), Failure> {
    for device in [0x0C50, 0x6F50] {
        let options = options(device)?;
        let Messages::Msix { table, pending } = options.device.platform.messages else { panic!("MSI-X") };
        let command = channel_registers::base(0) + ChannelMap::of(options.version).command;
        // With messages that are missed the life would be told of it.
        let accesses = whole_life(options)?;
        let mut rest =
            accesses.iter().filter(|access| access.space == Space::Registers && access.is_write).peekable();
        let mut entry = [0; 3];
        let mut resets = 0;
        while let Some(access) = rest.next() {
            let places = [table, table + 8, pending];
            if let Some(place) = places.iter().position(|place| *place == access.offset) {
                if access.width == 8 {
                    entry[place] = access.value;
                }
                continue;
            }
            if (access.offset, access.value) != (command, 0x20) {
                continue;
            }
            resets += 1;
            let back: Vec<_> =
                std::iter::from_fn(|| rest.next_if(|next| places.contains(&next.offset))).collect();
            let places_back: Vec<u32> = back.iter().map(|access| access.offset).collect();
            proves!(image: H11; assert_eq!(places_back, places, "{device:04x} reset {resets}"));
        }
        assert!(resets > 3, "{device:04x}");
    }
    Ok(())
}

#[test]
fn a_function_of_the_same_class_with_another_id_is_not_bound() -> Result<(), Failure> {
    // The accelerator that came after this engine: the same class, and another interface.
    let dsa = |watch: &Watch| {
        watch.answer(Space::Config, 0, 0x0B25_8086);
        watch.answer(Space::Config, 2, 0x0B25);
    };
    let watch = Watch::default();
    dsa(&watch);
    let mut lab = Setup::new(1)?.boot()?;
    lab.plug_watched(options(0x0B00)?, &watch)?;
    let device = lab.engine_device(1)?;
    proves!(image: H1; assert_eq!((device.service.as_str(), device.state == nthost::pnp::State::Started), ("", false)));
    proves!(image: H1; assert_eq!(registers(&watch.accesses()), [], "no register of it is touched"));
    nothing_left(lab)?;

    // Forced on it all the same: the id in its configuration space is another one than Windows matched.
    let watch = Watch::default();
    let mut lab = Setup { engines: Vec::new(), ..Setup::new(1)? }.power_on()?;
    lab.plug_watched(options(0x0B00)?, &watch)?;
    dsa(&watch);
    lab.add_client_device()?;
    for package in PACKAGES {
        lab.install(package)?;
    }
    let unknown: Vec<_> = seen(&mut lab, "UnknownDevice")?.iter().map(|event| event.value("id")).collect();
    proves!(image: H1; assert_eq!(unknown, [Some(0x8086_0B25)]));
    proves!(image: H1; assert_eq!(registers(&watch.accesses()), []));
    nothing_left(lab)
}

#[test]
fn an_engine_of_another_version_than_its_id_says_is_refused_by_name() -> Result<(), Failure> {
    for (device, version) in [
        (0x1A38, 0x20),
        (0x402F, 0x12),
        (0x3430, 0x32),
        (0x6F20, 0x12),
        (0x6F20, 0x33),
        (0x0B00, 0x40),
        (0x2021, 0x34),
    ] {
        let watch = Watch::default();
        watch.answer(Space::Registers, general::CBVER, version);
        let mut lab = watched(options(device)?, &watch)?;
        let refused: Vec<_> =
            seen(&mut lab, "IdentityRefused")?.iter().map(|event| event.value("found")).collect();
        proves!(image: H2; assert_eq!(refused, [Some(version)], "{device:04x}"));
        proves!(image: H2; assert!(seen(&mut lab, "ProviderStarted")?.is_empty(), "{device:04x}"));
        nothing_left(lab)?;
    }
    Ok(())
}

#[test]
fn skylake_may_read_3_2_or_3_3_and_is_handled_as_3_2() -> Result<(), Failure> {
    for (device, version, old) in [
        (0x6F20, Version::V3_2, true),
        (0x2021, Version::V3_2, true),
        (0x2021, Version::V3_3, true),
        (0x0C50, Version::V3_3, false),
    ] {
        let what = format!("{device:04x} reads {version}");
        let watch = Watch::default();
        let mut lab = watched(Options { version, ..options(device)? }, &watch)?;
        lab.expect_no_problems()?;
        let (client, number) = channel(&mut lab)?;
        client.copy_verified(&mut lab, number, 20_000, 1)?;
        client.close(&mut lab)?;
        nothing_left(lab)?;
        let accesses = watch.accesses();
        // Below 3.3 the internal errors are looked after, and 64-bit registers are accessed in halves.
        let internal = (Space::Config, u32::from(config::CHANERR_INT));
        let asked = accesses.iter().any(|access| (access.space, access.offset) == internal);
        let halves = registers(&accesses).iter().all(|access| access.width < 8);
        proves!(image: H2; assert_eq!((asked, halves), (old, old), "{what}"));
    }
    Ok(())
}

#[test]
fn channel_count_and_transfer_limit_are_masked_bounded_and_reported() -> Result<(), Failure> {
    let mebibyte = Some((1, 1 << 20));
    for (device, register, value, expected) in [
        (0x6F20, general::XFERCAP, 0x14, mebibyte),
        (0x6F20, general::XFERCAP, 0x1F, mebibyte),
        (0x6F20, general::XFERCAP, 0xF4, mebibyte),
        (0x6F20, general::XFERCAP, 0x0C, Some((1, 4096))),
        (0x6F20, general::XFERCAP, 0x0B, None),
        (0x6F20, general::XFERCAP, 0x00, None),
        (0x402F, general::CHANCNT, 0x02, Some((2, 1 << 20))),
        (0x402F, general::CHANCNT, 0xE4, Some((4, 1 << 20))),
        (0x402F, general::CHANCNT, 0x1F, Some((4, 1 << 20))),
        (0x402F, general::CHANCNT, 0x00, None),
        (0x6F20, general::CHANCNT, 0x08, mebibyte),
    ] {
        let what = format!("{device:04x}: {value:#x} at {register:#x}");
        let watch = Watch::default();
        watch.answer(Space::Registers, register, value);
        let mut lab = watched(options(device)?, &watch)?;
        let client = lab.open()?;
        let offered: Vec<_> = client
            .providers(&mut lab)?
            .iter()
            .map(|provider| (provider.channels, provider.maximum_transfer))
            .collect();
        match expected {
            Some(expected) => {
                proves!(image: H3; assert_eq!(offered, [expected], "{what}"));
                let number = client.open_channel(&mut lab, machine::client::ANY_CHANNEL)?.number;
                client.copy_verified(&mut lab, number, 60_000, 1)?;
            }
            None => {
                let steps: Vec<_> =
                    seen(&mut lab, "BringUpFailed")?.iter().map(|event| event.value("step")).collect();
                proves!(image: H3; assert_eq!(steps, [Some(BringUp::ReadIdentity as u64)], "{what}"));
            }
        }
        client.close(&mut lab)?;
        nothing_left(lab)?;
    }
    Ok(())
}

#[test]
fn clients_are_told_the_address_width_and_the_transfer_limit_of_every_version() -> Result<(), Failure> {
    for (device, bits) in
        [(0x1A38, 40), (0x402F, 40), (0x3430, 40), (0x6F20, 46), (0x2021, 46), (0x0C50, 48), (0x0B00, 48)]
    {
        for xfercap in [12, 20] {
            let mut lab = watched(Options { xfercap, ..options(device)? }, &Watch::default())?;
            let (client, number) = channel(&mut lab)?;
            let offered: Vec<_> = client.providers(&mut lab)?;
            let told: Vec<_> = offered
                .iter()
                .map(|provider| (provider.maximum_address, provider.maximum_transfer))
                .collect();
            proves!(image: H7, H40; assert_eq!(told, [((1 << bits) - 1, 1 << xfercap)], "{device:04x}"));
            // An engine halts on a descriptor that is longer than it takes.
            let copied = client.copy_verified(&mut lab, number, 60_000, 1)?;
            proves!(image: H25; assert_eq!((copied, lab.engines[0].channel(0).halts), (60_000, 0), "{device:04x}"));
            client.close(&mut lab)?;
            nothing_left(lab)?;
        }
    }
    Ok(())
}

#[test]
fn the_last_thing_that_interrupt_control_is_told_is_to_be_silent() -> Result<(), Failure> {
    for device in ENGINES {
        let accesses = registers(&whole_life(options(device)?)?);
        let told = accesses.iter().filter(|access| access.is_write && access.offset == general::INTRCTRL);
        let told: Vec<u64> = told.map(|access| access.value).collect();
        proves!(image: H18; assert!(told.len() > 1 && told.last() == Some(&0), "{device:04x}: {told:x?}"));
    }
    Ok(())
}
