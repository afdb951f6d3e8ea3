//! The whole life of a device in every combination of hardware version, interrupt and NetDMA version that can exist; and
//! for each of the others, the rule that forbids it.
#![forbid(unsafe_code)]

mod provider;

use std::fmt::Write as _;

use ioat_model::{ChannelStatistics, FaultPlan, Options, Register};
use ioat_regs::{State, Version, config};
use machine::lab::{Failure, Lab};
use netdma_events as events;
use netdma_ioctl::{CONTROL_ABORT, CONTROL_NULL, CONTROL_RESET, CONTROL_RESUME, CONTROL_SUSPEND};
use nthost::pnp::Sleep;
use proof::proves;
use provider::{channel, count, engine_state, nothing_left, page, seen, setup, vetoed};

/// One engine of each version.
const ENGINES: [(u16, &str); 6] =
    [(0x1A38, "1.2"), (0x402F, "2.0"), (0x3430, "3.0"), (0x6F20, "3.2"), (0x6F50, "3.3"), (0x0B00, "3.4")];

/// What the function is given to interrupt with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    MsiX,
    Msi,
    Line,
    None,
}

const KINDS: [(Kind, &str); 4] =
    [(Kind::MsiX, "MSI-X"), (Kind::Msi, "MSI"), (Kind::Line, "line"), (Kind::None, "none")];

/// NetDMA versions, as the setting has them.
const DIALECTS: [(u32, &str); 2] = [(0x101, "1.1"), (0x201, "2.1")];

/// Why a combination cannot exist.
fn forbidden(engine: &str, kind: Kind, version: u32) -> Option<&'static str> {
    let old = engine < "3.0";
    match (kind, version) {
        (_, 0x201) if engine == "1.2" => Some("no counter: R118, D4"),
        (_, 0x101) if engine != "1.2" => Some("the last link may not change: H47"),
        (Kind::MsiX, _) if old => Some("no MSI-X: §1.5, M69"),
        (Kind::Msi, _) if !old => Some("no MSI: §1.5"),
        _ => None,
    }
}

/// Ids of the capabilities in the function's configuration space.
fn capabilities(device: u16) -> Vec<u8> {
    let options = Options::new(0x8086, device).expect("the id is in the table");
    let mut engine = ioat_model::Engine::new(options).expect("an engine");
    let mut ids = Vec::new();
    let mut at = engine.config_read(config::CAPABILITIES, 1) as u16;
    while at != 0 {
        ids.push(engine.config_read(at, 1) as u8);
        at = engine.config_read(at + 1, 1) as u16;
    }
    ids
}

/// Installed, used in every way, put to sleep, removed.
fn whole_life(device: u16, kind: Kind, version: u32) -> Result<(), Failure> {
    let cell = format!("{device:04x} {kind:?} {version:#x}");
    let mut lab = setup(device, |options| {
        options.d3_loses_state = true;
        options.timing.per_descriptor = 2_000;
    })
    .power_on()?;
    if kind == Kind::Line {
        lab.run(|k| k.limit_messages(Some(0)))?;
    }
    let off = u32::from(kind == Kind::None) * 2;
    provider::install_with(&mut lab, &[("InterruptKind", off), ("NetDmaVersion", version)])?;
    lab.expect_no_problems()?;

    let registered = seen(&mut lab, "ProviderRegistered")?[0].value("version");
    assert_eq!(registered, Some(version.into()), "{cell}");
    assert!(seen(&mut lab, "SettingIgnored")?.is_empty(), "{cell}");
    let given = match kind {
        Kind::MsiX => events::InterruptKind::MsiX,
        Kind::Msi => events::InterruptKind::Msi,
        Kind::Line => events::InterruptKind::Line,
        Kind::None => events::InterruptKind::None,
    };
    assert_eq!(seen(&mut lab, "InterruptsAssigned")?[0].value("kind"), Some(given as u64), "{cell}");

    let (client, number) = channel(&mut lab)?;
    let copied = client.copy_verified(&mut lab, number, 60_000, 1)?;
    proves!(image: R54, R116, R126, H12, H22; assert_eq!(copied, 60_000, "{cell}"));
    let nulls = lab.engines[0].channel(0).nulls;
    client.control(&mut lab, number, CONTROL_NULL)?;
    proves!(image: R166, R167, R168; assert!(lab.engines[0].channel(0).nulls > nulls, "{cell}"));

    // Suspended in the middle of a copy, which is completed after the resume.
    let copying = client.begin_verified(&mut lab, number, 60_000, 2)?;
    client.control(&mut lab, number, CONTROL_SUSPEND)?;
    proves!(image: R173; assert_eq!(engine_state(&lab, 0), Some(State::Suspended), "{cell}"));
    client.control(&mut lab, number, CONTROL_RESUME)?;
    let copied = client.end_verified(&mut lab, copying)?;
    proves!(image: R178, R180; assert_eq!(copied, 60_000, "{cell}"));

    for (seed, operation) in [(3, CONTROL_ABORT), (4, CONTROL_RESET)] {
        let cut = client.begin_verified(&mut lab, number, 60_000, seed)?;
        client.control(&mut lab, number, operation)?;
        // Done before it was cut off, or failed; never hung.
        let _ = client.end_verified(&mut lab, cut);
        let copied = client.copy_verified(&mut lab, number, 60_000, 10 + seed)?;
        proves!(image: R187, R188, R192, R193; assert_eq!(copied, 60_000, "{cell}"));
    }

    // An error of the engine in the middle of a copy: it halts, says why, and the next copy finds it at work again.
    let plan = |text: &str| text.parse::<FaultPlan>().expect("a fault plan");
    lab.engines[0].with(|engine| engine.set_faults(plan("halt descriptor=5 error=read-data")));
    let failed = client.copy_verified(&mut lab, number, 60_000, 6);
    proves!(image: R211, H33, H34; assert!(failed.is_err(), "{cell}: the engine halted"));
    lab.engines[0].with(|engine| engine.set_faults(plan("")));
    let named: Vec<_> = seen(&mut lab, "EngineError")?.iter().map(|event| event.value("errors")).collect();
    let bit = ioat_regs::error::ErrorBit::named("read-data").expect("a bit of the table").bit;
    proves!(image: R147, R204, H33; assert_eq!(named, [Some(1 << bit)], "{cell}"));
    let copied = client.copy_verified(&mut lab, number, 60_000, 7)?;
    proves!(image: R112, H34; assert_eq!(copied, 60_000, "{cell}"));

    vetoed(lab.run(|k| k.sleep(Sleep::Standby))?)?;
    lab.run(|k| k.wake_up())?;
    let copied = client.copy_verified(&mut lab, number, 60_000, 5)?;
    proves!(image: R213, R214, R222, H37; assert_eq!(copied, 60_000, "{cell}"));

    let function = lab.engines[0].statistics();
    // Where nothing is to interrupt, MSI-X sends one message after each reset and then waits for the re-arm.
    let stray = if kind == Kind::None { lab.engines[0].channel(0).resets } else { 0 };
    let (messages, lines) = (function.messages > stray, function.line_assertions > 0);
    let expected = (matches!(kind, Kind::MsiX | Kind::Msi), kind == Kind::Line);
    proves!(image: R53, H18; assert_eq!((messages, lines), expected, "{cell}"));
    let statistics = client.statistics(&mut lab, number)?;
    assert_eq!((statistics.late, statistics.timeouts, statistics.halts), (0, 0, 1), "{cell}");
    if kind == Kind::MsiX && lab.engines[0].with(|engine| engine.options().device.quirks().reset_wipes_msix())
    {
        proves!(image: H11; assert_eq!(statistics.late, 0, "{cell}: the resets have not cost the message table"));
    }
    let ended = statistics.completed + statistics.aborted + statistics.errors;
    proves!(image: R192; assert_eq!(statistics.accepted, ended, "{cell}: each exactly once"));
    client.close(&mut lab)?;

    // Stopped, and started anew.
    let device = lab.engine_device(0)?.id;
    vetoed(lab.run(|k| k.rebalance(device))?)?;
    let (client, number) = channel(&mut lab)?;
    let copied = client.copy_verified(&mut lab, number, 60_000, 8)?;
    proves!(image: R65, R75; assert_eq!((copied, count(&mut lab, "ProviderStarted")?), (60_000, 2), "{cell}"));
    client.close(&mut lab)?;
    never_touched(&lab, &cell);

    vetoed(lab.run(|k| k.remove_device(device))?)?;
    assert_eq!(count(&mut lab, "ProviderDeregistered")?, 1, "{cell}");
    proves!(image: H38, R283; assert_eq!(engine_state(&lab, 0), Some(State::Halted), "{cell}"));
    nothing_left(lab)
}

/// What the driver never does, whatever is asked of it.
fn never_touched(lab: &Lab, cell: &str) {
    let engine = &lab.engines[0];
    let (function, version) = (engine.statistics(), engine.with(|engine| engine.options().version));
    let channels: Vec<ChannelStatistics> =
        (0..engine.with(|engine| engine.options().channels)).map(|number| engine.channel(number)).collect();
    let none = |count: fn(&ChannelStatistics) -> u64| channels.iter().all(|channel| count(channel) == 0);
    proves!(image: H27; assert!(none(|channel| channel.raids), "{cell}: XOR and PQ"));
    proves!(image: H28; assert!(none(|channel| channel.fills), "{cell}: fills"));
    let accesses = |register| function.accesses.reads_of(register) + function.accesses.writes_of(register);
    assert_eq!(accesses(Register::Chwpreflmt), 0, "{cell}");
    for register in
        [Register::Drsctl, Register::LtrSwsel, Register::LtrActive, Register::LtrIdle, Register::Dcactrl]
    {
        let touched: u64 =
            channels.iter().map(|c| c.accesses.reads_of(register) + c.accesses.writes_of(register)).sum();
        proves!(image: H16, H17; assert_eq!(touched, 0, "{cell}: {register:?}"));
    }
    let of = |count: fn(&ChannelStatistics) -> u64| channels.iter().map(count).sum::<u64>();
    let (copies, nulls) = (of(|channel| channel.copies), of(|channel| channel.nulls));
    match version {
        // A page break, an opcode that is none, or a size that it does not take would have halted it (§3.4).
        Version::V1_2 => {
            proves!(image: H46;
                assert_eq!(accesses(Register::Dmacapability), 0, "{cell}");
                assert_eq!((of(|channel| channel.descriptors), of(|channel| channel.halts)), (copies + nulls, 1), "{cell}"));
        }
        Version::V2_0 => {
            let (counted, polled) = (
                of(|c| c.accesses.writes_of(Register::Dmacount)),
                of(|c| c.accesses.reads_of(Register::Chancmd)),
            );
            proves!(image: H45;
                assert_eq!(of(|channel| channel.descriptors), copies + nulls, "{cell}: copies and nulls only");
                assert!(counted > 0 && polled > 0, "{cell}: counted, and resets are waited for"));
        }
        _ => {}
    }
}

#[test]
fn every_combination_that_can_exist_lives_its_whole_life() -> Result<(), Failure> {
    let mut text = String::from(
        "# Where ioatdma.sys was seen to work\n\nMade by the test `every_combination_that_can_exist_lives_its_whole_life` on \
         the images, on the hosted machine with the engine model; run it with `UPDATE_DOCS=1` after a change.\n\n\
         In a cell that says *runs* the engine was installed, copied (every byte checked), ran a null transfer, was suspended \
         in the middle of a copy and resumed, aborted and reset in the middle of others, halted by an error in the middle of \
         another, slept, woke, was stopped and started anew, copied after each, and was removed; nothing was \
         left behind. The other cells name the rule that forbids them.\n\n\
         | Hardware | NetDMA |",
    );
    for (_, name) in KINDS {
        let _ = write!(text, " {name} |");
    }
    text.push_str("\n|---|---|---|---|---|---|");
    for (device, engine) in ENGINES {
        let ids = capabilities(device);
        for (version, dialect) in DIALECTS {
            let _ = write!(text, "\n| {engine} ({device:04x}) | {dialect} |");
            for (kind, _) in KINDS {
                match forbidden(engine, kind, version) {
                    Some(rule) => {
                        let _ = write!(text, " - ({rule}) |");
                    }
                    None => {
                        whole_life(device, kind, version)?;
                        text.push_str(" runs |");
                    }
                }
            }
        }
        // What is said to be impossible is.
        assert_eq!(ids.contains(&config::CAP_MSIX), engine >= "3.0", "{engine}");
        assert_eq!(ids.contains(&config::CAP_MSI), engine < "3.0", "{engine}");
    }
    text.push_str("\n\nAn engine that is told to register in the other dialect ignores that with an event: [settings.md](settings.md).\n");
    page("ioat-matrix.md", &text);
    Ok(())
}
