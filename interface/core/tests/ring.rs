//! Rings on scattered pages: slots, links, and the way back from an address.

mod support;

use netdma_core::memory::{Operation, Request, RingMemory, SLOTS_PER_PAGE};
use netdma_core::ring::{BadMemory, Named, RESERVED_SLOTS, Ring};
use proof::proves;
use proptest::prelude::*;
use support::HostMemory;

fn ring(pages: usize) -> Ring<HostMemory> {
    Ring::new(HostMemory::scattered(pages)).expect("the memory is a ring")
}

/// A request of `context`.
fn request(context: usize) -> Request {
    Request { context, bytes: 0, status: 0 }
}

/// Everything done and not told.
fn taken(ring: &mut Ring<HostMemory>) -> Vec<Request> {
    let mut room = [Request::NONE; 8];
    let (_, count) = ring.take_done(&mut room);
    room[..count].to_vec()
}

/// Moves a ring on by `count` descriptors, all done and told, in requests of up to 60.
fn advance(ring: &mut Ring<HostMemory>, count: u64) {
    let target = ring.built() + count;
    while ring.built() != target {
        let end = target.min(ring.built() + 60);
        ring.accept(end, request(0)).expect("room");
        ring.mark_posted();
        let address = ring.address(end - 1).expect("a slot");
        assert_eq!(ring.read_word(address), Named::InFlight(end - 1));
        while ring.has_news() {
            taken(ring);
        }
    }
}

#[test]
fn the_slots_of_scattered_pages_form_one_circle() {
    for pages in [1, 2, 64, 1024] {
        let ring = ring(pages);
        let mut at = ring.address(0).expect("a slot");
        for position in 0..ring.size() {
            let address = ring.address(position).expect("a slot");
            proves!(crate: R122; assert_eq!(address % 64, 0));
            proves!(crate: R120; assert_eq!(at, address));
            at = ring.slot(position).expect("a slot").words()[3];
        }
        assert_eq!(at, ring.address(0).expect("a slot"), "the last links to the first");
    }
}

#[test]
fn the_largest_ring_has_65536_slots() {
    assert_eq!(ring(1024).size(), 65_536);
    assert_eq!(ring(1024).room(), 65_536 - RESERVED_SLOTS);
}

#[test]
fn memory_that_is_no_ring_is_refused_by_name() {
    let refused = |addresses: &[u64]| Ring::new(HostMemory::at(addresses)).err();
    assert_eq!(refused(&[]), Some(BadMemory::PageCount));
    assert_eq!(refused(&[0x1000, 0x2000, 0x3000]), Some(BadMemory::PageCount));
    assert_eq!(refused(&[0x1000, 0x2001]), Some(BadMemory::PageAddress));
    assert_eq!(refused(&[0x0]), Some(BadMemory::PageAddress));
    assert_eq!(refused(&[0x5000, 0x5000]), Some(BadMemory::SharedAddress));
    assert_eq!(refused(&[0x5000, 0x3000, 0x5000, 0x3000]), Some(BadMemory::SharedAddress));
}

/// R259 over every state of a one-page ring: whatever is done and in flight, each of the 64 addresses names one position,
/// the right one, or nothing.
#[test]
fn every_address_names_one_position_in_every_state() {
    for start in 0..64 {
        for in_flight in 0..=62 {
            let mut ring = ring(1);
            advance(&mut ring, start);
            let accepted = ring.accept(start + in_flight, request(0));
            assert_eq!(accepted.is_some(), in_flight != 0, "an empty request is none");
            ring.mark_posted();
            let last = start.checked_sub(1).and_then(|position| ring.address(position));
            if let Some(last) = last {
                assert_eq!(ring.read_word(last), Named::Stale, "the word still names the last one done");
            }
            for slot in 0..64 {
                let address = ring.address(slot).expect("a slot");
                let expected = (start..start + in_flight).find(|position| position % 64 == slot);
                let named = expected.map_or(Named::Stale, Named::InFlight);
                assert_eq!(ring.name(address), named, "slot {slot} with {in_flight} after {start}");
            }
            proves!(crate: R259; assert_eq!(ring.room(), 62 - in_flight));
        }
    }
}

proptest! {
    #![proptest_config(support::cases(10_000))]

    /// Ring pages anywhere in memory, in any order: an address of the ring names its slot, any other is foreign.
    #[test]
    fn addresses_of_any_ring_are_found_and_others_are_foreign(
        frames in prop::collection::hash_set(1u64..1 << 34, 16),
        start in 0u64..5_000,
        in_flight in 0u64..1_022,
        wild: u64,
    ) {
        let addresses: Vec<u64> = frames.iter().map(|frame| frame * 4096).collect();
        let mut ring = Ring::new(HostMemory::at(&addresses)).expect("distinct pages");
        advance(&mut ring, start);
        prop_assert_eq!(ring.accept(start + in_flight, request(0)).is_some(), in_flight != 0);
        ring.mark_posted();
        for position in start..start + in_flight {
            let address = ring.address(position).expect("a slot");
            prop_assert_eq!(ring.name(address), Named::InFlight(position));
        }
        prop_assert_eq!(ring.name(ring.address(start + in_flight).expect("a slot")), Named::Stale);
        if !addresses.contains(&(wild & !4095)) {
            prop_assert_eq!(ring.name(wild), Named::Foreign);
        }
    }
}

#[test]
fn a_failure_ends_only_what_was_in_flight() {
    let mut ring = ring(1);
    for end in 1..=4 {
        ring.accept(end, request(end as usize)).expect("room");
        if end == 2 {
            ring.mark_posted();
        }
    }
    let first = ring.address(0).expect("a slot");
    assert_eq!(ring.read_word(first), Named::InFlight(0));
    ring.fail(false, -1);
    let ended: Vec<(usize, i32)> =
        taken(&mut ring).iter().map(|request| (request.context, request.status)).collect();
    assert_eq!(ended, [(1, 0), (2, -1)]);
    assert_eq!(ring.pending(), 2, "what waits goes on waiting");
}

#[test]
fn a_slot_keeps_its_link_when_an_operation_is_written() {
    let ring = ring(2);
    let link = ring.slot(SLOTS_PER_PAGE as u64 - 1).expect("a slot").words()[3];
    ring.write(SLOTS_PER_PAGE as u64 - 1, &Operation { size: 1, ..Operation::default() }).expect("a slot");
    assert_eq!(ring.slot(SLOTS_PER_PAGE as u64 - 1).expect("a slot").words()[3], link);
    assert_eq!(link, ring.memory().page(1).expect("a page").address);
}
