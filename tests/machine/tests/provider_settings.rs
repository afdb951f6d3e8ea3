//! The settings of a device: INF, table and page say the same, each one is followed, and what is not allowed is ignored
//! with an event.
#![forbid(unsafe_code)]

mod provider;

use std::fmt::Write as _;

use ioat_core::settings::ALL;
use ioat_model::Register;
use machine::lab::{Failure, Lab};
use netdma_events::{InterruptKind, Setting};
use nthost::inf::Inf;
use nthost::registry::Value;
use proof::proves;
use provider::{channel, count, nothing_left, page, seen, setup};

/// A machine with one engine of this id, on which ioatdma.sys has these settings.
fn with(device: u16, settings: &[(&str, u32)]) -> Result<Lab, Failure> {
    let mut lab = setup(device, |options| options.coalescing = device != 0x0B00).power_on()?;
    provider::install_with(&mut lab, settings)?;
    Ok(lab)
}

#[test]
fn inf_table_and_page_say_the_same() {
    let path = format!("{}/../../inf/ioatdma.inx", env!("CARGO_MANIFEST_DIR"));
    let inf = Inf::parse("ioatdma", &std::fs::read(path).unwrap()).unwrap();
    let written = inf.plan("ioatdma_Device").unwrap().hardware;
    for row in ALL {
        let line =
            written.iter().find(|line| line.name == row.name).unwrap_or_else(|| panic!("{}", row.name));
        assert_eq!(
            (line.subkey.as_str(), &line.value),
            ("", &Some(Value::Dword(row.default))),
            "{}",
            row.name
        );
        assert!(line.keep, "{}: an update of the driver keeps it", row.name);
        assert!(row.allows(row.default), "{}", row.name);
        let event = Setting::NAMES.iter().find(|name| name.value == row.setting as u64).unwrap();
        assert_eq!(event.meaning, row.name, "events name it as the registry does");
    }
    let known: Vec<&str> = ALL.iter().map(|row| row.name).collect();
    let ours = written.iter().filter(|line| line.subkey.is_empty() && line.name != "Security");
    assert!(ours.map(|line| line.name.as_str()).eq(known), "the INF writes nothing else");

    let mut text = String::from(
        "# Settings\n\nMade from the table in `driver/core/src/settings.rs` by the test `inf_table_and_page_say_the_same`; run it \
         with `UPDATE_DOCS=1` after a change.\n\n\
         ## ioatdma.sys\n\nValues of type REG_DWORD in the key of each device, which the INF fills with the defaults:\n\n\
         `HKLM\\SYSTEM\\CurrentControlSet\\Enum\\<device instance path>\\Device Parameters`\n\n\
         They are read when the device is added: restart the device after a change (`pnputil /restart-device`). An update of \
         the driver keeps them. A value that is absent has its default. A value that is not allowed, or of another \
         type, has it too, and the event `SettingIgnored` names it.\n\n| Value | Default | Allowed | What for |\n|---|---|---|---|\n",
    );
    for row in ALL {
        let hex = row.name == "NetDmaVersion";
        let number = |value: u32| if hex && value > 0 { format!("{value:#06x}") } else { value.to_string() };
        let choices: Vec<String> = row
            .choices
            .iter()
            .map(|choice| {
                let range = if choice.least == choice.most {
                    number(choice.least)
                } else {
                    format!("{} to {}", number(choice.least), number(choice.most))
                };
                format!("{range}: {}", choice.meaning).replace('|', "\\|")
            })
            .collect();
        let meaning = row.meaning.replace('|', "\\|");
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {meaning} |",
            row.name,
            number(row.default),
            choices.join("<br>")
        );
    }
    text.push_str(
        "\nA line instead of messages is Windows' own choice to make: set `MSISupported` to 0 in the key's \
         `Interrupt Management\\MessageSignaledInterruptProperties`, and restart the device.\n\n\
         ## netdma.sys\n\n`DrainLimitMilliseconds` in \
         `HKLM\\SYSTEM\\CurrentControlSet\\Services\\netdma\\Parameters`, 100 to 60000, default 2000: a channel on which \
         nothing moves for so long, while its provider stops or powers down, is aborted. Read when netdma.sys is loaded; \
         the event `DrainLimitIgnored` says that it is out of its range.\n",
    );
    page("settings.md", &text);
}

#[test]
fn without_an_interrupt_everything_is_found_by_looking() -> Result<(), Failure> {
    for device in [0x1A38, 0x402F, 0x6F20, 0x0B00] {
        let mut lab = with(device, &[("InterruptKind", 2)])?;
        lab.expect_no_problems()?;
        let (client, number) = channel(&mut lab)?;
        for seed in 0..3 {
            assert_eq!(client.copy_verified(&mut lab, number, 60_000, seed)?, 60_000);
        }
        let assigned = seen(&mut lab, "InterruptsAssigned")?;
        assert_eq!(assigned[0].value("kind"), Some(InterruptKind::None as u64));
        // Nothing but the missing re-arm keeps MSI-X from sending: the first message after a reset gets out.
        let function = lab.engines[0].statistics();
        let at_most = if [0x1A38, 0x402F].contains(&device) { 0 } else { lab.engines[0].channel(0).resets };
        assert!(function.messages <= at_most && function.line_assertions == 0, "{device:04x}: {function}");
        let statistics = client.statistics(&mut lab, number)?;
        assert_eq!(
            (statistics.late, statistics.timeouts),
            (0, 0),
            "{device:04x}: nobody had to wait for a rescue"
        );
        client.close(&mut lab)?;
        nothing_left(lab)?;
    }
    Ok(())
}

#[test]
fn one_interrupt_for_all_channels_can_be_forced() -> Result<(), Failure> {
    let mut lab = with(0x6F20, &[("InterruptKind", 1)])?;
    lab.expect_no_problems()?;
    let (client, number) = channel(&mut lab)?;
    client.copy_verified(&mut lab, number, 60_000, 1)?;
    let function = lab.engines[0].statistics();
    proves!(image: H30;
        assert!(function.messages > 0, "the interrupt is still a message");
        assert!(function.accesses.reads_of(Register::Intrctrl) >= function.messages, "and asked about as a line is"));
    client.close(&mut lab)?;
    nothing_left(lab)
}

#[test]
fn a_version_can_be_forced_within_the_engines_dialect() -> Result<(), Failure> {
    for (device, asked, registered) in [
        (0x6F20, 0x200, 0x200),
        (0x6F20, 0x201, 0x201),
        (0x1A38, 0x101, 0x101),
        (0x6F20, 0x101, 0x201),
        (0x1A38, 0x201, 0x101),
        // No engine registers as 1.0, which has no power notices.
        (0x1A38, 0x100, 0x101),
        (0x6F20, 0x100, 0x201),
    ] {
        let mut lab = with(device, &[("NetDmaVersion", asked)])?;
        let added = seen(&mut lab, "ProviderRegistered")?;
        let version = added[0].value("version").unwrap();
        proves!(image: R16, R26, H47; assert_eq!(version, registered, "{device:04x}, {asked:#x} asked for"));
        let ignored = seen(&mut lab, "SettingIgnored")?;
        let refused: Vec<_> =
            ignored.iter().map(|event| (event.value("setting"), event.value("value"))).collect();
        let expected = [(Some(Setting::NetDmaVersion as u64), Some(u64::from(asked)))];
        assert_eq!(refused, if u64::from(asked) == registered { &[][..] } else { &expected[..] });
        let (client, number) = channel(&mut lab)?;
        client.copy_verified(&mut lab, number, 60_000, 1)?;
        client.close(&mut lab)?;
        nothing_left(lab)?;
    }
    Ok(())
}

#[test]
fn interrupts_keep_the_distance_that_was_set() -> Result<(), Failure> {
    let mut lab = with(0x6F20, &[("InterruptDelayMicroseconds", 3000)])?;
    let (client, number) = channel(&mut lab)?;
    let (begin, before) = (lab.machine.now(), lab.engines[0].statistics().messages);
    for seed in 0..12 {
        client.copy_verified(&mut lab, number, 3_000, seed)?;
    }
    // A copy may be found by the look after the re-arm of the one before, so not each has an interrupt of its own.
    let (time, messages) = (lab.machine.now() - begin, lab.engines[0].statistics().messages - before);
    proves!(image: H32;
        assert!(messages > 3 && time >= (messages - 1) * 3_000_000, "{messages} messages in {time} ns"));
    proves!(image: H32; assert_eq!(lab.engines[0].with(|engine| engine.mmio_read(0x0C, 2)), 0x8000 | 3000));
    client.close(&mut lab)?;
    nothing_left(lab)?;

    // An engine that cannot: said, and nothing is written.
    let mut lab = with(0x0B00, &[("InterruptDelayMicroseconds", 3000)])?;
    let ignored = seen(&mut lab, "SettingIgnored")?;
    proves!(image: H32;
        assert_eq!(ignored.iter().map(|event| event.value("setting")).collect::<Vec<_>>(),
            [Some(Setting::InterruptDelay as u64)]);
        assert_eq!(lab.engines[0].statistics().accesses.writes_of(Register::Intrdelay), 0));
    nothing_left(lab)
}

#[test]
fn the_watchdog_looks_as_often_as_it_is_told() -> Result<(), Failure> {
    // The self-test has the first interrupt; the one of the first copy is lost.
    let lost = ioat_model::Fault::DropInterrupt { interrupt: ioat_model::Which::Only(2) };
    let mut waited = Vec::new();
    for milliseconds in [20, 800] {
        let mut lab = provider::faulty(0x6F20, &[lost]).power_on()?;
        provider::install_with(&mut lab, &[("WatchdogMilliseconds", milliseconds)])?;
        let (client, number) = channel(&mut lab)?;
        let begin = lab.machine.now();
        client.copy_verified(&mut lab, number, 3_000, 1)?;
        waited.push((lab.machine.now() - begin) / 1_000_000);
        client.close(&mut lab)?;
        nothing_left(lab)?;
    }
    proves!(image: H31; assert!(waited[0] <= 25 && (600..=850).contains(&waited[1]), "{waited:?}"));
    Ok(())
}

#[test]
fn without_the_self_test_an_engine_is_offered_unproved() -> Result<(), Failure> {
    let mut lab = with(0x6F20, &[("SelfTest", 0)])?;
    assert_eq!((count(&mut lab, "SelfTestPassed")?, count(&mut lab, "ProviderStarted")?), (0, 1));
    assert_eq!(lab.engines[0].channel(0).descriptors, 0);
    let (client, number) = channel(&mut lab)?;
    client.copy_verified(&mut lab, number, 60_000, 1)?;
    client.close(&mut lab)?;
    nothing_left(lab)
}

#[test]
fn values_that_are_not_allowed_are_ignored_by_name_and_the_engine_works() -> Result<(), Failure> {
    let wrong = [
        ("InterruptKind", 9),
        ("NetDmaVersion", 0x300),
        ("InterruptDelayMicroseconds", 0x4000),
        ("WatchdogMilliseconds", 0),
        ("SelfTest", 7),
    ];
    let mut lab = with(0x6F20, &wrong)?;
    lab.expect_no_problems()?;
    let ignored = seen(&mut lab, "SettingIgnored")?;
    let named: Vec<_> = ignored.iter().map(|event| (event.value("setting"), event.value("value"))).collect();
    let expected: Vec<_> =
        (1..).zip(wrong).map(|(setting, (_, value))| (Some(setting), Some(u64::from(value)))).collect();
    assert_eq!(named, expected);
    let (client, number) = channel(&mut lab)?;
    client.copy_verified(&mut lab, number, 60_000, 1)?;
    client.close(&mut lab)?;
    nothing_left(lab)
}

#[test]
fn a_drain_limit_out_of_its_range_is_ignored_and_told() -> Result<(), Failure> {
    let mut lab = setup(0x6F20, |_| {}).power_on()?;
    provider::install_changed(&mut lab, "netdma", &[("DrainLimitMilliseconds", 99)])?;
    let ignored = provider::seen(&mut lab, "DrainLimitIgnored")?;
    assert_eq!(ignored.iter().map(|event| event.value("value")).collect::<Vec<_>>(), [Some(99)]);
    nothing_left(lab)
}

#[test]
fn lost_interrupts_that_no_watchdog_finds_are_told_by_the_client() -> Result<(), Failure> {
    let lost = ioat_model::Fault::DropInterrupt { interrupt: ioat_model::Which::From(2) };
    let mut lab = provider::faulty(0x6F20, &[lost]).power_on()?;
    provider::install_with(&mut lab, &[("WatchdogMilliseconds", 10_000)])?;
    let (client, number) = channel(&mut lab)?;
    client.copy_verified(&mut lab, number, 3_000, 1)?;
    assert_ne!(count(&mut lab, "InterruptLost")?, 0);
    client.close(&mut lab)?;
    nothing_left(lab)
}
