//! Configuration space, BAR, capabilities, resets and power states.

use ioat_model::{Engine, Options};
use ioat_regs::{ChanErr, State, config, device::DEVICES};
use proof::proves;

use crate::bench::{RING, Rig, SOURCE, Slot, TARGET, WORD};

fn engine(device: u16) -> Engine {
    Engine::new(Options::new(0x8086, device).unwrap()).unwrap()
}

#[test]
fn class_is_other_system_peripheral_and_header_says_several_functions() {
    let mut engine = engine(0x6F20);

    let class = engine.config_read(config::REVISION, 4);
    let header = engine.config_read(config::HEADER_TYPE, 1);

    proves!(model: M1; assert_eq!(class >> 8, 0x08_8000); assert_eq!(header, 0x80));
}

#[test]
fn bar_sizing_finds_one_wide_memory_region_of_16_kib() {
    let mut engine = engine(0x6F20);
    for bar in 0..6 {
        engine.config_write(config::BAR0 + 4 * bar, 4, u32::MAX);
    }

    let sized: Vec<u32> = (0..6).map(|bar| engine.config_read(config::BAR0 + 4 * bar, 4)).collect();

    proves!(model: M2; assert_eq!(sized, [0xFFFF_C004, 0xFFFF_FFFF, 0, 0, 0, 0]));
    engine.config_write(config::BAR0, 4, 0xDEAD_BEEF);
    assert_eq!(engine.config_read(config::BAR0, 4), 0xDEAD_8004, "address bits below the size stay zero");
}

/// Walks the capability list: (id, offset) in order.
fn capabilities(engine: &mut Engine) -> Vec<(u8, u16)> {
    let mut found = Vec::new();
    let mut offset = engine.config_read(config::CAPABILITIES, 1) as u16;
    while offset != 0 && found.len() < 48 {
        found.push((engine.config_read(offset, 1) as u8, offset));
        offset = engine.config_read(offset + 1, 1) as u16;
    }
    found
}

#[test]
fn capability_list_leads_from_msix_over_express_to_power_management() {
    let mut engine = engine(0x6F20);

    let list = capabilities(&mut engine);

    proves!(model: M3;
        assert_eq!(list, [(config::CAP_MSIX, 0x80), (config::CAP_PCIE, 0x90), (config::CAP_POWER, 0xE0)]);
        assert_eq!(engine.config_read(0x82, 2) & 0x7FF, 0, "one entry");
        assert_eq!(engine.config_read(0x84, 4), 0x2000);
        assert_eq!(engine.config_read(0x88, 4), 0x3000);
        assert_ne!(engine.config_read(0x94, 4) & (1 << 28), 0, "function level reset");
        assert_ne!(engine.config_read(0xE4, 2) & 8, 0, "no soft reset"));
}

#[test]
fn atom_engines_have_their_table_lower() {
    let mut engine = engine(0x6F50);

    proves!(model: M3;
        assert_eq!(engine.config_read(0x84, 4), 0x1000);
        assert_eq!(engine.config_read(0x88, 4), 0x1800));
}

#[test]
fn extended_space_holds_the_error_registers() {
    let mut engine = engine(0x6F20);

    proves!(model: M4;
        assert_eq!(engine.config_read(0x100, 4), 0, "no extended capability");
        assert_eq!(engine.config_read(config::DMAUNCERRSEV, 4), 0x98);
        assert_eq!(engine.config_read(config::DMAUNCERRPTR, 1), 0x0A);
        assert_eq!(engine.config_read(config::CHANERRMSK_INT, 4), 0x0006_0000);
        assert_eq!(engine.config_read(config::CHANERRSEV_INT, 4), 0x0001_0000);
        assert_eq!(engine.config_read(config::CHANERRPTR, 1), 2);
        assert_eq!(engine.config_read(0xFFC, 4), 0));

    engine.config_write(config::CHANERRMSK_INT, 4, config::CHANERRMSK_INT_RUN);
    engine.config_write(config::CHANERRPTR, 1, 0xFF);
    proves!(model: M4;
        assert_eq!(engine.config_read(config::CHANERRMSK_INT, 4), 0x3E07);
        assert_eq!(engine.config_read(config::CHANERRPTR, 1), 2, "read only"));
}

#[test]
fn cluster_error_registers_exist_in_function_0_only() {
    let mut second = engine(0x6F21);
    second.config_write(config::DMAUNCERRSEV, 4, u32::MAX);

    proves!(model: M4; assert_eq!(second.config_read(config::DMAUNCERRSEV, 4), 0));
}

#[test]
fn functions_have_consecutive_ids_or_share_one() {
    let ids = |device, functions: u8| -> Vec<u32> {
        (0..functions)
            .map(|number| {
                let options = Options::function_of(0x8086, device, number).unwrap();
                Engine::new(options).unwrap().config_read(config::DEVICE, 2)
            })
            .collect()
    };

    proves!(model: M5;
        assert_eq!(ids(0x6F20, 8), (0x6F20..0x6F28).collect::<Vec<_>>());
        assert_eq!(ids(0x2021, 8), [0x2021; 8]);
        assert_eq!(ids(0x0B00, 8), [0x0B00; 8]);
        assert_eq!(ids(0x6F50, 4), (0x6F50..0x6F54).collect::<Vec<_>>()));
    assert!(Options::function_of(0x8086, 0x6F50, 4).is_err());
}

#[test]
fn every_device_of_the_table_can_be_built_and_reports_itself() {
    for row in DEVICES {
        let mut engine = Engine::new(Options::new(row.vendor, row.device).unwrap()).unwrap();
        engine.config_write(config::COMMAND, 2, 0x2);
        assert_eq!(engine.config_read(0, 4), u32::from(row.vendor) | (u32::from(row.device) << 16));
        assert_eq!(engine.mmio_read(0x08, 1), u64::from(row.platform.version.0));
        assert_eq!(engine.mmio_read(0x00, 1), u64::from(row.platform.channels));
    }
}

#[test]
fn an_unknown_id_is_refused_by_name() {
    let error = Options::new(0x8086, 0x0B25).unwrap_err();

    assert!(error.to_string().contains("8086:0b25 is not an I/OAT engine"), "{error}");
}

#[test]
fn line_obeys_the_command_register_and_shows_in_status() {
    let mut rig = Rig::new();
    assert_ne!(rig.engine.config_read(config::INTERRUPT_PIN, 1), 0);
    rig.write(0x03, 1, 1);

    rig.execute(&[Slot::null().with(crate::bench::INTERRUPT)]);
    proves!(model: M6;
        assert!(rig.world.line);
        assert_ne!(rig.engine.config_read(config::STATUS, 2) & 8, 0);
        assert_eq!(rig.engine.config_read(config::COMMAND, 4) >> 19 & 1, 1, "seen in a wider read too"));

    rig.engine.config_write(config::COMMAND, 2, 0x406);
    rig.run();
    proves!(model: M6; assert!(!rig.world.line));
    rig.engine.config_write(config::COMMAND, 2, 0x006);
    rig.run();
    proves!(model: M6; assert!(rig.world.line));
}

#[test]
fn pins_of_the_functions_differ() {
    let pins = [0x6F20, 0x6F21, 0x6F22, 0x6F23, 0x6F24]
        .map(|device| engine(device).config_read(config::INTERRUPT_PIN, 1));

    proves!(model: M6; assert_eq!(pins, [1, 2, 3, 4, 1]));
}

#[test]
fn without_bus_mastering_a_fetch_halts_and_touches_nothing() {
    let mut rig = Rig::new();
    rig.bring_up();
    rig.put(0, &[Slot::copy(SOURCE, TARGET, 64)]);
    rig.engine.config_write(config::COMMAND, 2, 0x2);

    rig.announce(1);
    rig.run();

    proves!(model: M7;
        assert_eq!(rig.status(), 3);
        assert_eq!(rig.error(), ChanErr::NEXT_ADDRESS);
        assert_eq!(rig.world.events, []));
}

#[test]
fn function_level_reset_returns_everything_to_power_on() {
    let mut rig = Rig::new();
    let fresh: Vec<u32> = (0..0x400).map(|dword| engine(0x6F20).config_read(dword * 4, 4)).collect();
    rig.enable_msix();
    rig.execute(&[Slot::null().with(crate::bench::INTERRUPT)]);
    rig.engine.config_write(config::CHANERRMSK_INT, 4, 0x3E07);
    rig.write(0x03, 1, 9);

    let control = rig.engine.config_read(0x98, 2);
    rig.engine.config_write(0x98, 2, control | 0x8000);
    rig.run();

    let after: Vec<u32> = (0..0x400).map(|dword| rig.engine.config_read(dword * 4, 4)).collect();
    rig.engine.config_write(config::COMMAND, 2, 0x6);
    proves!(model: M8, M16;
        assert_eq!(after, fresh);
        assert_eq!(rig.status(), 3);
        assert_eq!(rig.channel_read(0x10, 8), 0);
        assert_eq!(rig.channel_read(0x18, 8), 0);
        assert_eq!(rig.channel_read(0x06, 2), 0);
        assert_eq!(rig.channel_read(0x04, 1), 0);
        assert_eq!(rig.channel_read(0x00, 2), 0);
        assert_eq!(rig.read(0x03, 1), 0);
        assert_eq!(rig.read(0x2000, 8), 0);
        assert_eq!(rig.read(0x2008, 8), 1 << 32, "masked"));
}

#[test]
fn function_level_reset_is_recognised_in_every_width() {
    for (offset, width, value) in [(0x98, 2, 0x8000), (0x98, 4, 0x8000), (0x99, 1, 0x80)] {
        let mut engine = engine(0x6F20);
        engine.config_write(offset, width, value);
        assert_eq!(engine.statistics().function_resets, 1, "{offset:#x} {width}");
    }
    let mut engine = engine(0x6F20);
    engine.config_write(0x98, 1, 0x80);
    engine.config_write(0x94, 4, 0x8000);
    engine.config_write(0x9A, 2, 0x8000);
    assert_eq!(engine.statistics().function_resets, 0);
}

#[test]
fn in_d3hot_registers_do_not_answer_and_come_back_unchanged() {
    let mut rig = Rig::new();
    rig.bring_up();

    rig.engine.config_write(0xE4, 2, 3);
    assert_eq!(rig.status(), u64::MAX);
    rig.announce(1);
    rig.engine.config_write(0xE4, 2, 0);

    assert_eq!(rig.channel_read(0x10, 8), RING);
    assert_eq!(rig.channel_read(0x06, 2), 0, "the doorbell went nowhere");
}

#[test]
fn an_engine_may_lose_its_registers_in_d3hot_and_then_says_so() {
    let mut rig = Rig::of(0x6F20, |options| options.d3_loses_state = true);
    assert_eq!(rig.engine.config_read(0xE4, 2) & 8, 0);
    rig.bring_up();

    rig.engine.config_write(0xE4, 2, 3);
    rig.engine.config_write(0xE4, 2, 0);
    rig.engine.config_write(config::COMMAND, 2, 0x6);

    assert_eq!(rig.status(), 3);
    assert_eq!(rig.channel_read(0x10, 8), 0);
}

#[test]
fn work_stands_still_in_d3hot() {
    let mut rig = Rig::new();
    rig.bring_up();
    rig.put(0, &[Slot::null()]);
    rig.announce(1);

    rig.engine.config_write(0xE4, 2, 3);
    rig.run();
    assert_eq!(rig.world.events, []);
    rig.engine.config_write(0xE4, 2, 0);
    rig.run();

    assert_eq!(rig.world.word(WORD), Rig::sts(RING, State::Idle));
}

#[test]
fn disabled_memory_space_answers_nothing() {
    let mut rig = Rig::new();
    rig.engine.config_write(config::COMMAND, 2, 0);

    assert_eq!(rig.read(0x08, 4), 0xFFFF_FFFF);
}

#[test]
fn read_only_registers_ignore_writes_and_holes_read_zero() {
    let mut rig = Rig::new();
    for offset in [0x00, 0x01, 0x08] {
        rig.write(offset, 1, 0xFF);
    }
    rig.write(0x10, 4, u64::MAX);
    rig.write(0x14, 2, u64::MAX);
    rig.channel_write(0x08, 8, u64::MAX);
    rig.channel_write(0x02, 2, u64::MAX);

    proves!(model: M9;
        assert_eq!(rig.read(0x00, 1), 1);
        assert_eq!(rig.read(0x01, 1), 0x14);
        assert_eq!(rig.read(0x08, 1), 0x32);
        assert_eq!(rig.read(0x10, 4), 0x41);
        assert_eq!(rig.read(0x14, 2), 0);
        assert_eq!(rig.status(), 3);
        assert_eq!(rig.channel_read(0x02, 2), 6);
        assert_eq!((rig.read(0x50, 8), rig.read(0x1000, 4), rig.read(0x3FF8, 8)), (0, 0, 0)));

    rig.engine.config_write(config::VENDOR, 4, 0);
    rig.engine.config_write(config::REVISION, 4, 0);
    proves!(model: M9;
        assert_eq!(rig.engine.config_read(config::VENDOR, 4), 0x6F20_8086);
        assert_eq!(rig.engine.config_read(config::REVISION, 4) >> 8, 0x08_8000));
}

#[test]
fn second_copy_of_the_error_is_cleared_by_ones_until_3_2_and_absent_later() {
    for (device, recorded) in
        [(0x3431, true), (0x6F20, true), (0x2021, false), (0x6F50, false), (0x0B00, false)]
    {
        let mut rig = Rig::of(device, |_| {});
        rig.execute(&[Slot::copy(0x40, TARGET, 64)]);

        let bits = rig.engine.config_read(config::CHANERR_INT, 4);
        proves!(model: M26; assert_eq!(bits != 0, recorded, "{device:04x}"));
        rig.engine.config_write(config::CHANERR_INT, 4, bits);
        proves!(model: M26; assert_eq!(rig.engine.config_read(config::CHANERR_INT, 4), 0));
    }
}
