//! Two scatter lists become descriptors: every byte once, within the limits, and no descriptor too many.

mod support;

use netdma_abi::descriptor::{DESTINATION_PAGE_BREAK, SOURCE_PAGE_BREAK};
use netdma_core::memory::Operation;
use netdma_core::transfer::{Capabilities, Transfer, TransferError};
use proof::proves;
use proptest::prelude::*;
use support::Pieces;

const PAGE: u64 = 4096;

fn limits(maximum_transfer_size: u32, page_breaks: bool) -> Capabilities {
    Capabilities { maximum_transfer_size, maximum_address: (1 << 40) - 1, page_breaks }
}

fn operations(
    destination: &[(u64, u64)],
    source: &[(u64, u64)],
    length: u32,
    capabilities: Capabilities,
) -> Result<Vec<Operation>, TransferError> {
    let mut transfer = Transfer::new(Pieces::new(destination), Pieces::new(source), length, capabilities);
    let mut all = Vec::new();
    while let Some(operation) = transfer.next_operation()? {
        all.push(operation);
    }
    Ok(all)
}

/// The address of each byte of one side of a descriptor, as an engine walks it.
fn side(first: u64, second: u64, breaks: bool, size: u32) -> Vec<u64> {
    let to_end = PAGE - first % PAGE;
    (0..u64::from(size))
        .map(|n| if breaks && n >= to_end { second + n - to_end } else { first + n })
        .collect()
}

/// The address of each byte of a buffer.
fn bytes_of(runs: &[(u64, u64)]) -> Vec<u64> {
    runs.iter().flat_map(|(address, length)| *address..*address + *length).collect()
}

/// Section 3.20 of the specification, both worked examples.
#[test]
fn page_breaks_are_used_where_the_specification_uses_them() {
    let capabilities = limits(1 << 20, true);
    let one = operations(
        &[(0x2000_0200, 0x400)],
        &[(0x1000_0F00, 0x100), (0x5000_0000, 0x300)],
        0x400,
        capabilities,
    )
    .expect("it fits");
    proves!(crate: R233; assert_eq!(one, [Operation {
        size: 0x400,
        flags: SOURCE_PAGE_BREAK,
        source: 0x1000_0F00,
        destination: 0x2000_0200,
        next_source: 0x5000_0000,
        next_destination: 0,
    }]));
    let both = operations(
        &[(0x2000_0C00, 0x400), (0x6000_0000, 0x400)],
        &[(0x1000_0F00, 0x100), (0x5000_0000, 0x700)],
        0x800,
        capabilities,
    )
    .expect("it fits");
    proves!(crate: R233; assert_eq!(both, [Operation {
        size: 0x800,
        flags: SOURCE_PAGE_BREAK | DESTINATION_PAGE_BREAK,
        source: 0x1000_0F00,
        destination: 0x2000_0C00,
        next_source: 0x5000_0000,
        next_destination: 0x6000_0000,
    }]));
}

#[test]
fn neighbouring_frames_need_no_page_break() {
    let contiguous = [(0x1000_0800, 0x800), (0x1000_1000, 0x1000), (0x1000_2000, 0x10)];
    let all =
        operations(&[(0x2000_0000, 0x2000)], &contiguous, 0x1810, limits(1 << 20, true)).expect("it fits");
    proves!(crate: R233; assert_eq!(all.len(), 1));
    assert_eq!(all[0].flags, 0);
}

#[test]
fn below_2_0_each_page_that_moves_is_a_descriptor() {
    let all = operations(
        &[(0x2000_0000, 0x2000)],
        &[(0x1000_0F00, 0x100), (0x5000_0000, 0x300)],
        0x400,
        limits(1 << 20, false),
    )
    .expect("it fits");
    proves!(crate: R21, R234; assert!(all.iter().all(|operation| operation.flags == 0)));
    assert_eq!(all.iter().map(|operation| operation.size).collect::<Vec<u32>>(), [0x100, 0x300]);
}

#[test]
fn a_break_into_the_middle_of_a_page_is_another_descriptor() {
    let all = operations(
        &[(0x2000_0000, 0x2000)],
        &[(0x1000_0F00, 0x100), (0x5000_0010, 0x300)],
        0x400,
        limits(1 << 20, true),
    )
    .expect("it fits");
    proves!(crate: R232; assert_eq!(all.iter().map(|one| (one.size, one.flags)).collect::<Vec<_>>(), [(0x100, 0), (0x300, 0)]));
}

#[test]
fn a_buffer_that_ends_early_is_an_error() {
    let short = operations(&[(0x1000, 8)], &[(0x2000, 16)], 16, limits(4096, true));
    assert_eq!(short, Err(TransferError::TooShort));
    assert_eq!(operations(&[], &[(0x2000, 16)], 16, limits(4096, true)), Err(TransferError::TooShort));
}

/// Buffers as MDLs make them: pages anywhere, the first begun and the last ended anywhere, neighbours now and then.
fn buffer(length: u64) -> impl Strategy<Value = Vec<(u64, u64)>> {
    let pages = (length / PAGE + 2) as usize;
    (0..PAGE, prop::collection::vec((1u64..64, any::<bool>()), pages)).prop_map(move |(offset, frames)| {
        let mut runs = Vec::new();
        let (mut left, mut offset, mut last) = (length, offset, 0u64);
        for (number, (frame, neighbour)) in frames.into_iter().enumerate() {
            if left == 0 {
                break;
            }
            // Frames are distinct: the page number is part of the address.
            let frame = if neighbour && number > 0 { last + 1 } else { frame * 1000 + number as u64 * 7 };
            let taken = left.min(PAGE - offset);
            runs.push((frame * PAGE + offset, taken));
            (left, offset, last) = (left - taken, 0, frame);
        }
        runs
    })
}

/// For each byte of a buffer, the end of the physically contiguous bytes it is in.
fn contiguous_ends(addresses: &[u64]) -> Vec<usize> {
    let mut ends = vec![addresses.len(); addresses.len()];
    for at in (0..addresses.len().saturating_sub(1)).rev() {
        ends[at] = if addresses[at + 1] == addresses[at] + 1 { ends[at + 1] } else { at + 1 };
    }
    ends
}

/// For each byte, how far one descriptor that starts there reaches on this side, by the rules of spec 3.20.
fn reaches(addresses: &[u64], page_breaks: bool) -> Vec<usize> {
    let ends = contiguous_ends(addresses);
    (0..addresses.len())
        .map(|at| {
            let end = ends[at];
            let at_page_end = end == at + (PAGE - addresses[at] % PAGE) as usize;
            let breaks = page_breaks
                && at_page_end
                && addresses.get(end).is_some_and(|next| next.is_multiple_of(PAGE));
            if breaks { ends[end].min(end + PAGE as usize) } else { end }
        })
        .collect()
}

/// Two MDLs joined: the second begins anywhere in a page, whether the first ended at a page's end or not.
fn chain(length: u64) -> impl Strategy<Value = Vec<(u64, u64)>> {
    (1..length.max(2), any::<bool>()).prop_flat_map(move |(first, two)| {
        let first = if two { first.min(length) } else { length };
        (buffer(first), buffer(length - first)).prop_map(|(mut runs, second)| {
            // The second MDL's frames lie elsewhere.
            runs.extend(second.into_iter().map(|(address, length)| (address + (1 << 36), length)));
            runs
        })
    })
}

/// The fewest descriptors any splitting could do with. Taking the longest each time is optimal because a descriptor that
/// starts later never reaches less far, which is asserted.
fn fewest(destination: &[u64], source: &[u64], capabilities: Capabilities) -> usize {
    let (to, from) =
        (reaches(destination, capabilities.page_breaks), reaches(source, capabilities.page_breaks));
    let most = capabilities.maximum_transfer_size as usize;
    let ends: Vec<usize> = (0..source.len()).map(|at| to[at].min(from[at]).min(at + most)).collect();
    assert!(ends.windows(2).all(|pair| pair[0] <= pair[1]), "starting later never reaches less far");
    let (mut at, mut count) = (0, 0);
    while at < source.len() {
        (at, count) = (ends[at], count + 1);
    }
    count
}

proptest! {
    #![proptest_config(support::cases(10_000))]

    /// R69, R232, R233, R235: whatever the buffers, in both dialects, every byte is copied once and in order, within the limits.
    #[test]
    fn every_byte_is_copied_once_in_order_with_the_fewest_descriptors(
        (length, destination, source) in (1u64..20_000)
            .prop_flat_map(|length| (Just(length), chain(length), chain(length))),
        maximum_transfer_size in prop::sample::select(vec![4096u32, 5000, 8192, 1 << 20]),
    ) {
        for page_breaks in [false, true] {
            let capabilities = limits(maximum_transfer_size, page_breaks);
            let all = operations(&destination, &source, length as u32, capabilities).expect("the buffers are long enough");
            let (mut from, mut to) = (Vec::new(), Vec::new());
            for operation in &all {
                prop_assert!(operation.size > 0 && operation.size <= maximum_transfer_size);
                let source_breaks = operation.flags & SOURCE_PAGE_BREAK != 0;
                let destination_breaks = operation.flags & DESTINATION_PAGE_BREAK != 0;
                prop_assert!(page_breaks || operation.flags == 0);
                prop_assert_eq!(operation.next_source % PAGE, 0);
                prop_assert_eq!(operation.next_destination % PAGE, 0);
                from.extend(side(operation.source, operation.next_source, source_breaks, operation.size));
                to.extend(side(operation.destination, operation.next_destination, destination_breaks, operation.size));
                // A flag where the page is followed by its neighbour would be one too many.
                prop_assert!(!source_breaks || operation.next_source != (operation.source | (PAGE - 1)) + 1);
                prop_assert!(!destination_breaks
                    || operation.next_destination != (operation.destination | (PAGE - 1)) + 1);
            }
            let (wanted_from, wanted_to) = (bytes_of(&source), bytes_of(&destination));
            prop_assert_eq!(&from, &wanted_from);
            prop_assert_eq!(&to, &wanted_to);
            prop_assert_eq!(all.len(), fewest(&wanted_to, &wanted_from, capabilities));
        }
    }

    /// Whatever a client passes, nothing beyond the engine's reach is handed out and nothing overflows.
    #[test]
    fn wild_addresses_end_in_an_error_or_within_reach(
        runs in prop::collection::vec((any::<u64>(), 0u64..0x1_0000), 0..6),
        length in 1u32..0x2_0000,
    ) {
        for page_breaks in [false, true] {
            let capabilities = limits(1 << 20, page_breaks);
            for operation in operations(&[(0x10_0000, 0x10_0000)], &runs, length, capabilities).unwrap_or_default() {
                let breaks = operation.flags & SOURCE_PAGE_BREAK != 0;
                for address in side(operation.source, operation.next_source, breaks, operation.size) {
                    prop_assert!(address <= capabilities.maximum_address);
                }
            }
        }
    }
}
