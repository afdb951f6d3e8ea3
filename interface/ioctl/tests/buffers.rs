//! What the test client's buffers mean, byte for byte, and which copies are refused.

use netdma_ioctl::{BadPiece, COPY, Channel, OPEN_CHANNEL, PROVIDERS, Piece, Provider, Wire};

fn piece(source: u32, destination: u32, length: u32) -> Piece {
    Piece { source, destination, length, flags: 0 }
}

#[test]
fn control_codes_are_those_of_ctl_code() {
    // (type << 16) | (access << 14) | (function << 2) | method, as winioctl.h computes them.
    assert_eq!(PROVIDERS, 0x0022_6000);
    assert_eq!(OPEN_CHANNEL, 0x0022_E004);
    assert_eq!(COPY, 0x0022_E00E);
}

#[test]
fn a_structure_survives_the_way_to_bytes_and_back() {
    let mut name = [0; 64];
    name[0] = 0x49;
    let provider = Provider {
        id: 7,
        version: 0x0002_0001,
        state: 1,
        hardware_version: 0x0003_0002,
        channels: 4,
        free_channels: 3,
        maximum_transfer: 1 << 20,
        vendor: 0x8086,
        maximum_address: u64::MAX,
        name_length: 1,
        reserved: 0,
        name,
    };
    assert_eq!(Provider::from_bytes(&provider.to_bytes()), Some(provider));
}

#[test]
fn numbers_are_little_endian_in_the_order_of_the_members() {
    let channel = Channel { number: 1, provider: 0x0203, processor: 4, ring_size: 256 };
    assert_eq!(channel.to_bytes(), [1, 0, 0, 0, 3, 2, 0, 0, 4, 0, 0, 0, 0, 1, 0, 0]);
}

#[test]
fn a_buffer_that_is_too_short_is_neither_read_nor_written() {
    let channel = Channel { number: 1, provider: 2, processor: 3, ring_size: 4 };
    let mut short = [0xAA; Channel::SIZE - 1];
    assert_eq!(Channel::from_bytes(&short), None);
    assert_eq!(channel.write_to(&mut short), None);
    assert_eq!(short, [0xAA; Channel::SIZE - 1]);
}

#[test]
fn ranges_that_touch_do_not_overlap() {
    assert_eq!(Piece::check(&[piece(0, 10, 10), piece(20, 30, 10)], 40), Ok(()));
}

#[test]
fn a_range_may_end_with_the_buffer_and_not_a_byte_later() {
    assert_eq!(Piece::check(&[piece(0, 10, 10)], 20), Ok(()));
    assert_eq!(Piece::check(&[piece(0, 10, 10)], 19), Err(BadPiece::OutOfRange(0)));
    assert_eq!(Piece::check(&[piece(10, 0, 10)], 19), Err(BadPiece::OutOfRange(0)));
}

#[test]
fn an_end_beyond_32_bits_is_out_of_range_and_does_not_wrap() {
    assert_eq!(
        Piece::check(&[piece(0, u32::MAX, u32::MAX)], u64::from(u32::MAX)),
        Err(BadPiece::OutOfRange(0))
    );
}

#[test]
fn a_destination_may_overlap_neither_its_source_nor_that_of_another_piece() {
    assert_eq!(Piece::check(&[piece(0, 9, 10)], 100), Err(BadPiece::Overlap(0)));
    assert_eq!(Piece::check(&[piece(0, 40, 10), piece(49, 60, 10)], 100), Err(BadPiece::Overlap(0)));
    assert_eq!(Piece::check(&[piece(49, 60, 10), piece(0, 40, 10)], 100), Err(BadPiece::Overlap(1)));
}

#[test]
fn two_destinations_may_not_overlap_but_two_sources_may() {
    assert_eq!(Piece::check(&[piece(0, 40, 10), piece(10, 49, 10)], 100), Err(BadPiece::Overlap(0)));
    assert_eq!(Piece::check(&[piece(0, 40, 10), piece(5, 50, 10)], 100), Ok(()));
}

#[test]
fn an_empty_piece_and_an_unknown_flag_are_malformed() {
    assert_eq!(Piece::check(&[piece(0, 10, 0)], 100), Err(BadPiece::Malformed(0)));
    let flagged = Piece { flags: 1, ..piece(0, 10, 1) };
    assert_eq!(Piece::check(&[piece(20, 30, 1), flagged], 100), Err(BadPiece::Malformed(1)));
}
