//! Software may do anything to an engine. It never stops the bench, never touches what it was not given, and a reset
//! brings it back.

use ioat_model::{Options, Timing};
use ioat_regs::{config, device::DEVICES};
use proptest::prelude::*;

use crate::bench::{MEMORY, RING, Rig, SOURCE, Slot, TARGET, WORD, slot};

/// What software does.
#[derive(Debug, Clone)]
enum Deed {
    Read { offset: u32, width: u8 },
    Write { offset: u32, width: u8, value: u64 },
    Configure { offset: u16, width: u8, value: u32 },
    Step(u8),
    Wait(u32),
}

/// Numbers that mean something somewhere, and some that do not.
fn number() -> impl Strategy<Value = u64> {
    let meaningful = prop::sample::select(vec![
        0,
        1,
        2,
        4,
        5,
        8,
        0x20,
        0x1D,
        0x3F,
        0x40,
        0xFF,
        0xFFFF,
        RING,
        slot(1),
        slot(200),
        RING + 4,
        WORD,
        WORD + 4,
        SOURCE,
        TARGET,
        MEMORY,
        MEMORY - 8,
        1 << 40,
        1 << 48,
        u64::MAX,
    ]);
    prop_oneof![4 => meaningful, 1 => any::<u64>()]
}

fn width() -> impl Strategy<Value = u8> {
    prop::sample::select(vec![1_u8, 2, 4, 8])
}

fn deed() -> impl Strategy<Value = Deed> {
    let register = prop_oneof![4 => 0x80_u32..0x100, 2 => 0_u32..0x280, 1 => 0_u32..0x4010];
    let place = prop_oneof![
        Just(config::COMMAND),
        Just(config::CHANERR_INT),
        Just(config::MSIX + 2),
        Just(config::PCIE + config::PCIE_DEVICE_CONTROL),
        Just(config::POWER + config::POWER_CONTROL),
        (0_u16..1024).prop_map(|dword| dword * 4),
    ];
    prop_oneof![
        2 => (register.clone(), width()).prop_map(|(offset, width)| Deed::Read { offset, width }),
        6 => (register, width(), number()).prop_map(|(offset, width, value)| Deed::Write {
            offset,
            width,
            value: value & (u64::MAX >> (64 - 8 * u32::from(width))),
        }),
        1 => (place, number()).prop_map(|(offset, value)| {
            let width = if offset % 4 == 0 { 4 } else { 2 };
            Deed::Configure { offset, width, value: (value & (0xFFFF_FFFF >> (32 - 8 * u32::from(width)))) as u32 }
        }),
        3 => any::<u8>().prop_map(Deed::Step),
        1 => any::<u32>().prop_map(Deed::Wait),
    ]
}

/// Descriptors, of which many are good.
fn descriptor() -> impl Strategy<Value = Slot> {
    let control = prop_oneof![
        4 => prop::sample::select(vec![0x08_u32, 0x09, 0x29, 0x18, 0xC8, 0x0100_0008, 0x8700_0008, 0x8900_0109]),
        1 => any::<u32>(),
    ];
    let size = prop_oneof![4 => 0_u32..9000, 1 => any::<u32>()];
    (size, control, number(), number(), number(), number()).prop_map(
        |(size, control, source, target, next_source, next_target)| Slot {
            size,
            control,
            source,
            target,
            next: 0,
            next_source,
            next_target,
        },
    )
}

/// One line of a fault plan, or none.
fn fault() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "",
        "",
        "flip-bit copy=*/2 bit=77",
        "skip-copy copy=*/2",
        "early-completion descriptor=*/2 steps=3",
        "drop-interrupt interrupt=*/2",
        "spurious-interrupt descriptor=*/2",
        "stuck-interrupt interrupt=2",
        "halt descriptor=*/3 error=read-data",
        "removed access=40",
        "lost-completion completion=*/2",
        "late-completion completion=*/2 by=18446744073709551615",
        "torn-completion completion=*/2",
        "foreign-completion completion=*/2 address=0x10",
        "backward-completion completion=*/2",
        "endless-reset reset=*/2",
        "endless-suspend suspend=*/2",
        "halted-at-start error=length",
        "running-at-start",
        "config-unreachable",
    ])
}

fn timing() -> impl Strategy<Value = Timing> {
    prop::sample::select(vec![
        "",
        "fine=1,seed=3,jitter=50,per-descriptor=10,per-byte=10,completion-lag=20,interrupt-lag=30,suspend=9,reset=9",
        "start-delay=18446744073709551615",
        "per-byte=18446744073709551615,jitter=18446744073709551615,interrupt-lag=18446744073709551615",
    ])
    .prop_map(|text| text.parse().expect("a timing"))
}

proptest! {
    #![proptest_config(ProptestConfig {
        rng_seed: proptest::test_runner::RngSeed::Fixed(1),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_deeds_of_software_upset_an_engine(
        device in 0..DEVICES.len(),
        raid in any::<bool>(),
        fault in fault(),
        timing in timing(),
        ring in prop::collection::vec(descriptor(), 1..40),
        deeds in prop::collection::vec(deed(), 0..200),
    ) {
        let row = &DEVICES[device];
        let mut options = Options::new(row.vendor, row.device).expect("a row of the table");
        options.faults = fault.parse().expect("a fault");
        options.timing = timing;
        if raid {
            options.capability = 0x341.into();
        }
        let mut rig = Rig::with(options);
        rig.put(0, &ring);
        rig.put(ring.len() as u64, &[Slot { next: RING, ..Slot::null() }]);
        rig.enable_msix();
        rig.set_word(WORD);
        rig.set_chain(RING);
        for deed in deeds {
            match deed {
                Deed::Read { offset, width } => _ = rig.read(offset, width),
                Deed::Write { offset, width, value } => rig.write(offset, width, value),
                Deed::Configure { offset, width, value } => rig.engine.config_write(offset, width, value),
                Deed::Step(times) => for _ in 0..times { rig.engine.step(&mut rig.world); },
                Deed::Wait(time) => rig.world.now += u64::from(time),
            }
        }

        rig.engine.reset();

        if !rig.engine.is_removed() && fault.is_empty() {
            rig.engine.config_write(config::COMMAND, 2, 0x6);
            prop_assert_eq!(rig.status(), 3);
            prop_assert_eq!(rig.error().0, 0);
        }
    }
}
