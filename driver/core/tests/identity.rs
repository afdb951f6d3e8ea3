//! Which engine this is, before and after its registers can be read.
#![forbid(unsafe_code)]

mod script;

use ioat_core::identity::{Dialect, Engine, Identity, IdentityError, ProbeError};
use ioat_regs::Version;
use proof::proves;
use script::{BDX, CNB, ICX, R8, Script, engine};

fn identity(device: u16) -> Identity {
    Identity::of(0x8086, device, netdma_abi::Version::V2_1).unwrap()
}

fn probe(device: u16, cbver: u8, chancnt: u8, xfercap: u8) -> Result<Engine, ProbeError> {
    let script = Script::new([R8(0x08, cbver), R8(0x00, chancnt), R8(0x01, xfercap)]);
    Engine::probe(&script, &identity(device))
}

#[test]
fn counter_driven_engines_register_as_2_1_and_others_as_1_1() {
    for row in ioat_regs::device::DEVICES {
        let identity = Identity::of(row.vendor, row.device, netdma_abi::Version::V2_1).unwrap();
        let counted = row.platform.version.has_counter();
        assert_eq!(
            identity.registered,
            if counted { netdma_abi::Version::V2_1 } else { netdma_abi::Version::V1_1 }
        );
        assert_eq!(identity.dialect == Dialect::Counted, counted);
    }
}

#[test]
fn the_registered_version_is_not_above_the_interface() {
    let old = Identity::of(0x8086, BDX, netdma_abi::Version::V2_0).unwrap();
    proves!(crate: R16; assert_eq!(old.registered, netdma_abi::Version::V2_0));
}

#[test]
fn dsa_and_foreign_devices_have_no_identity() {
    let dsa = Identity::of(0x8086, 0x0B25, netdma_abi::Version::V2_1);
    proves!(crate: H1; assert_eq!(dsa, Err(IdentityError { vendor: 0x8086, device: 0x0B25 })));
}

#[test]
fn probing_reads_version_count_and_transfer_limit() {
    let engine = probe(BDX, 0x32, 0xE1, 0xF4).unwrap();
    proves!(crate: H2, H3;
        assert_eq!(engine.version, Version::V3_2);
        assert_eq!((engine.channels, engine.max_transfer), (1, 1 << 20)));
    assert_eq!(engine.max_address, (1 << 46) - 1);
}

#[test]
fn a_transfer_limit_above_one_mebibyte_is_capped_and_one_below_a_page_refused() {
    assert_eq!(probe(ICX, 0x34, 1, 31).unwrap().max_transfer, 1 << 20);
    assert_eq!(probe(ICX, 0x34, 1, 12).unwrap().max_transfer, 4096);
    proves!(crate: H3, R61;
        assert_eq!(probe(ICX, 0x34, 1, 11), Err(ProbeError::TransferLimit { found: 11 }));
        assert_eq!(probe(ICX, 0x34, 1, 0), Err(ProbeError::TransferLimit { found: 0 })));
}

#[test]
fn fewer_channels_than_registered_are_taken_and_more_are_not() {
    proves!(crate: R62;
        assert_eq!(probe(CNB, 0x12, 2, 20).unwrap().channels, 2);
        assert_eq!(probe(CNB, 0x12, 31, 20).unwrap().channels, 4));
    let script = Script::new([R8(0x08, 0x32), R8(0x00, 0xE0)]);
    proves!(crate: H3; assert_eq!(Engine::probe(&script, &identity(BDX)), Err(ProbeError::NoChannels)));
}

#[test]
fn a_version_of_the_other_dialect_is_refused_by_name() {
    let script = Script::new([R8(0x08, 0x12)]);
    let found = Engine::probe(&script, &identity(BDX));
    assert_eq!(found, Err(ProbeError::Dialect { found: Version::V1_2 }));
}

#[test]
fn a_version_that_the_id_cannot_have_is_refused_by_name() {
    let script = Script::new([R8(0x08, 0x34)]);
    let found = Engine::probe(&script, &identity(BDX));
    assert_eq!(found, Err(ProbeError::Version { found: Version::V3_4, expected: Version::V3_2 }));
}

#[test]
fn skylake_may_be_3_2_or_3_3_and_is_handled_as_3_2() {
    for cbver in [0x32, 0x33] {
        let engine = probe(0x2021, cbver, 1, 20).unwrap();
        proves!(crate: H2; assert!(engine.quirks.clear_chanerr_int() && engine.quirks.halves_only()));
    }
}

#[test]
fn all_ones_mean_that_the_device_is_gone() {
    let script = Script::new([R8(0x08, 0xFF)]);
    proves!(crate: H36; assert_eq!(Engine::probe(&script, &identity(BDX)), Err(ProbeError::Gone)));
}

#[test]
fn only_engines_whose_reset_wipes_the_message_table_have_it_saved() {
    assert_eq!(engine(BDX).wiped_msix, None);
    assert_eq!(probe(0x6F50, 0x33, 1, 20).unwrap().wiped_msix, Some((0x1000, 0x1800)));
}
