//! Values and words that the specification spells out (spec 2.8, 2.9, section 8).

use netdma_abi::completion::{self, TransferStatus};
use netdma_abi::descriptor::*;
use netdma_abi::provider::{LAST_DESCRIPTOR_PRESET, LastDescriptor, decode_last_descriptor};
use netdma_abi::{NotificationCode, PhysicalAddress, Version};

/// R144, R150, section 8.
#[test]
fn completion_words_carry_address_and_status() {
    let at = 0x1_2345_6780;
    for (status, expected) in [
        (TransferStatus::Active, 0x1_2345_6780),
        (TransferStatus::Idle, 0x1_2345_6781),
        (TransferStatus::Suspend, 0x1_2345_6782),
        (TransferStatus::Halted, 0x1_2345_6783),
    ] {
        let word = completion::word(at, status);
        assert_eq!(word, expected);
        assert_eq!(TransferStatus::of(word), Some(status));
        assert_eq!(completion::address(word), at);
    }
    assert_eq!(completion::ARMED, 4);
    assert_eq!(completion::word(0, TransferStatus::Halted), 3);
}

/// Q1: bits 5..3 are ignored on read; 5, 6 and 7 are no status.
#[test]
fn stray_low_bits_do_not_reach_the_address() {
    assert_eq!(completion::address(0x1_2345_67B9), 0x1_2345_6780);
    assert_eq!(TransferStatus::of(0x1_2345_67B9), Some(TransferStatus::Idle));
    for unassigned in 5..8 {
        assert_eq!(TransferStatus::of(unassigned), None);
    }
}

/// R251, section 8.
#[test]
fn control_flags_have_the_documented_values() {
    assert_eq!(INTERRUPT_ON_COMPLETION | STATUS_UPDATE_ON_COMPLETION | SERIALIZE_TRANSFER, 0x19);
    assert_eq!(NULL_TRANSFER | STATUS_UPDATE_ON_COMPLETION, 0x28);
    let breaks = SOURCE_PAGE_BREAK | DESTINATION_PAGE_BREAK;
    assert_eq!(breaks | DESTINATION_DCA_ENABLE | STATUS_UPDATE_ON_COMPLETION, 0x2C8);
    assert_eq!(OP_TYPE_CONTEXT_CHANGE | DCA_CONTEXT_CHANGE | STATUS_UPDATE_ON_COMPLETION, 0xFF00_0009);
    assert_eq!((SOURCE_NO_SNOOP, DESTINATION_NO_SNOOP), (2, 4));
}

/// R14, R15.
#[test]
fn a_version_is_major_over_minor() {
    assert_eq!(Version::V2_1, Version(0x0002_0001));
    assert!(Version::V1_1 < Version::V2_0);
}

/// R251.
#[test]
fn notification_codes_are_one_to_six() {
    for raw in 1..7 {
        assert_eq!(NotificationCode::from_raw(raw).map(|code| code as u32), Some(raw));
    }
    assert_eq!(NotificationCode::from_raw(0), None);
    assert_eq!(NotificationCode::from_raw(7), None);
}

/// R181, Q7: nothing stored, an address, a pointer.
#[test]
fn both_historic_forms_of_the_last_descriptor_are_told_apart() {
    assert_eq!(decode_last_descriptor(LAST_DESCRIPTOR_PRESET), LastDescriptor::NotReported);
    assert_eq!(
        decode_last_descriptor(0x1_2345_6780),
        LastDescriptor::Address(PhysicalAddress(0x1_2345_6780))
    );
    assert_eq!(decode_last_descriptor(0xFFFF_8000_1234_0000), LastDescriptor::Pointer(0xFFFF_8000_1234_0000));
}
