//! Handles, registration, provider states, policy, counters.

use std::collections::HashSet;

use netdma_abi::client::Statistics;
use netdma_abi::provider::{PROVIDER_SUPPORTS_PROC_GROUPS, ProviderCharacteristics};
use netdma_abi::{
    ChannelHandle, ChannelParameters, Context, CpuAffinity, Descriptor, GroupAffinity, NtStatus,
    PhysicalAddress, ProviderAttributes, UnicodeString, Version,
};
use netdma_core::handle::{Entry, Handle, Kind, Table};
use netdma_core::policy::{Candidate, choose_provider, legacy_mask, processors_for, spread_affinities};
use netdma_core::provider::{ProviderRequest, ProviderState};
use netdma_core::registration::{Dialect, INTERFACE_VERSION, Limits, check_characteristics, readable_size};
use netdma_core::statistics::accumulate;
use netdma_events::Refusal;
use proof::proves;
use proptest::prelude::*;

// ---- handles

static TABLE: Table<u32, 4> = Table::new([const { Entry::new(7) }; 4]);

#[test]
fn a_handle_names_its_entry_until_it_is_released() {
    let table: Table<u32, 2> = Table::new([const { Entry::new(0) }; 2]);
    let (first, _) = table.claim().expect("free");
    let (second, _) = table.claim().expect("free");
    assert!(table.claim().is_none());
    assert!(table.get(first).is_some());
    assert!(table.release(first));
    assert!(table.get(first).is_none(), "stale");
    assert!(!table.release(first), "freed twice");
    let (third, _) = table.claim().expect("free again");
    assert_eq!(third.index(), first.index());
    assert_ne!(third, first, "the entry is known by another handle now");
    assert!(table.get(first).is_none());
    assert_eq!(table.iter().map(|(handle, _)| handle).collect::<Vec<Handle>>(), [third, second]);
}

#[test]
fn a_handle_of_another_kind_is_not_parsed() {
    let (handle, _) = TABLE.claim().expect("free");
    let value = handle.value(Kind::ProviderChannel);
    assert_eq!(Handle::parse(Kind::ProviderChannel, value), Some(handle));
    for kind in [Kind::Provider, Kind::Client, Kind::ClientChannel] {
        assert_eq!(Handle::parse(kind, value), None);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        rng_seed: proptest::test_runner::RngSeed::Fixed(1),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Of all values only the one given names anything.
    #[test]
    fn forged_handles_name_nothing(value: usize) {
        let table: Table<u32, 2> = Table::new([const { Entry::new(0) }; 2]);
        let (real, _) = table.claim().expect("free");
        let named = Handle::parse(Kind::Client, value).is_some_and(|handle| table.get(handle).is_some());
        prop_assert_eq!(named, value == real.value(Kind::Client));
    }
}

#[test]
fn handles_are_never_null_and_never_repeat() {
    let table: Table<u32, 1> = Table::new([const { Entry::new(0) }; 1]);
    let mut seen = HashSet::new();
    for _ in 0..10_000 {
        let (handle, _) = table.claim().expect("free");
        assert_ne!(handle.value(Kind::Client), 0);
        assert!(seen.insert(handle.value(Kind::Client)));
        table.release(handle);
    }
}

#[test]
fn one_of_many_racing_releases_wins() {
    let (handle, _) = TABLE.claim().expect("free");
    let wins: usize = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..8).map(|_| scope.spawn(move || usize::from(TABLE.release(handle)))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).sum()
    });
    assert_eq!(wins, 1);
}

// ---- registration

extern "system" fn allocate(
    _: Context,
    _: *mut ChannelParameters,
    _: ChannelHandle,
    _: *mut Context,
) -> NtStatus {
    0
}
extern "system" fn free(_: Context) {}
extern "system" fn post(_: Context, _: *mut Descriptor, _: PhysicalAddress, _: u32) -> NtStatus {
    0
}
extern "system" fn suspend(_: Context, _: *mut *mut PhysicalAddress) -> NtStatus {
    0
}
extern "system" fn control(_: Context) -> NtStatus {
    0
}

fn characteristics(version: Version) -> ProviderCharacteristics {
    static mut NAME: [u16; 1] = [0x41];
    ProviderCharacteristics {
        major_version: (version.0 >> 16) as u8,
        minor_version: version.0 as u8,
        size: size_of::<ProviderCharacteristics>() as u16,
        flags: 0,
        physical_device_object: core::ptr::dangling_mut(),
        max_dma_channel_count: 4,
        set_dma_channel_cpu_affinity: None,
        allocate_dma_channel: Some(allocate),
        free_dma_channel: Some(free),
        start_dma: Some(post),
        suspend_dma: Some(suspend),
        resume_dma: Some(control),
        abort_dma: None,
        append_dma: Some(post),
        reset_channel: None,
        friendly_name: UnicodeString { length: 2, maximum_length: 2, buffer: (&raw mut NAME).cast() },
    }
}

fn refusal(change: impl FnOnce(&mut ProviderCharacteristics)) -> Option<Refusal> {
    let mut table = characteristics(Version::V2_1);
    change(&mut table);
    check_characteristics(&table).err().map(|refused| refused.reason)
}

#[test]
fn every_version_up_to_the_interfaces_is_accepted() {
    for version in [Version::V1_0, Version::V1_1, Version::V2_0, Version::V2_1] {
        proves!(crate: R19; assert_eq!(check_characteristics(&characteristics(version)), Ok(())));
    }
    proves!(crate: R15; assert_eq!(INTERFACE_VERSION, Version(0x0002_0001)));
    for version in [Version::new(0, 1), Version::new(1, 2), Version::new(2, 2), Version::new(3, 0)] {
        let refused = check_characteristics(&characteristics(version)).map_err(|refused| refused.reason);
        proves!(crate: R20; assert_eq!(refused, Err(Refusal::BadVersion)));
    }
}

#[test]
fn each_defect_of_a_table_is_refused_by_name() {
    proves!(crate: R37, R284;
        assert_eq!(refusal(|table| table.physical_device_object = core::ptr::null_mut()), Some(Refusal::BadPointer));
        assert_eq!(refusal(|table| table.size = 0x6F), Some(Refusal::BadSize));
        assert_eq!(refusal(|table| table.flags = 0x4), Some(Refusal::BadFlags));
        assert_eq!(refusal(|table| table.max_dma_channel_count = 0), Some(Refusal::BadChannelCount));
        assert_eq!(refusal(|table| table.max_dma_channel_count = 65), Some(Refusal::BadChannelCount));
        assert_eq!(refusal(|table| table.allocate_dma_channel = None), Some(Refusal::MissingEntryPoint));
        assert_eq!(refusal(|table| table.free_dma_channel = None), Some(Refusal::MissingEntryPoint));
        assert_eq!(refusal(|table| table.start_dma = None), Some(Refusal::MissingEntryPoint));
        assert_eq!(refusal(|table| table.append_dma = None), Some(Refusal::MissingEntryPoint));
        assert_eq!(refusal(|table| table.resume_dma = None), Some(Refusal::UnpairedEntryPoint));
        assert_eq!(refusal(|table| table.friendly_name = UnicodeString::EMPTY), Some(Refusal::BadName))
    );
    assert_eq!(refusal(|table| table.friendly_name.length = 1), Some(Refusal::BadName));
    assert_eq!(refusal(|table| table.friendly_name.length = 4), Some(Refusal::BadName));
}

#[test]
fn optional_entry_points_may_be_absent() {
    proves!(crate: R28, R56; assert_eq!(refusal(|table| {
        (table.suspend_dma, table.resume_dma, table.abort_dma, table.reset_channel) = (None, None, None, None);
        table.set_dma_channel_cpu_affinity = None;
    }), None));
}

#[test]
fn flags_are_those_of_the_version() {
    let with_flags = |version, flags| {
        let mut table = characteristics(version);
        table.flags = flags;
        check_characteristics(&table).is_ok()
    };
    proves!(crate: R284; assert!(!with_flags(Version::V1_1, 1)));
    assert!(with_flags(Version::V2_0, 1));
    assert!(!with_flags(Version::V2_0, 2));
    assert!(with_flags(Version::V2_1, 3));
}

#[test]
fn a_1_x_table_may_end_before_the_name_and_a_larger_one_is_cut() {
    proves!(crate: R41; assert_eq!(readable_size(Version::V1_0, 0x60), Ok(0x60)));
    assert_eq!(readable_size(Version::V1_1, 0x100), Ok(0x70));
    assert!(readable_size(Version::V2_0, 0x60).is_err());
    assert!(readable_size(Version::V1_0, 0x5F).is_err());
    let mut short = characteristics(Version::V1_0);
    (short.size, short.friendly_name) = (0x60, UnicodeString::EMPTY);
    proves!(crate: R41; assert_eq!(check_characteristics(&short), Ok(())));
    assert_eq!(Dialect::of(Version::V1_1), Dialect::NullTerminated);
    assert_eq!(Dialect::of(Version::V2_0), Dialect::Counted);
}

#[test]
fn attributes_out_of_range_refuse_the_start() {
    let good = ProviderAttributes {
        major_hw_version: 3,
        minor_hw_version: 2,
        size: 0x20,
        flags: 0,
        vendor_id: 0x8086,
        dma_channel_count: 8,
        maximum_transfer_size: 1 << 20,
        maximum_address_space: PhysicalAddress(u64::MAX),
    };
    let limits = Limits::check(&good, 4).expect("good");
    proves!(crate: R68; assert_eq!(limits.channels, 4));
    assert_eq!(limits.hardware_version, 0x3_0002);
    assert!(Limits::check(&ProviderAttributes { flags: 1, ..good }, 4).is_ok(), "tolerated (Q6)");
    let reason = |attributes| Limits::check(&attributes, 4).map_err(|refused| refused.reason);
    proves!(crate: R67;
        assert_eq!(reason(ProviderAttributes { size: 0x1F, ..good }), Err(Refusal::BadSize));
        assert_eq!(reason(ProviderAttributes { flags: 2, ..good }), Err(Refusal::BadFlags));
        assert_eq!(reason(ProviderAttributes { dma_channel_count: 0, ..good }), Err(Refusal::BadChannelCount));
        assert_eq!(reason(ProviderAttributes { maximum_transfer_size: 4095, ..good }), Err(Refusal::BadAttributes));
        assert_eq!(
            reason(ProviderAttributes { maximum_address_space: PhysicalAddress(0), ..good }),
            Err(Refusal::BadAttributes)
        )
    );
}

// ---- provider states

#[test]
fn a_provider_goes_only_where_its_state_allows() {
    use ProviderRequest as Ask;
    use ProviderState as Is;
    let allowed = [
        (Is::Stopped, Ask::Start, Is::Started),
        (Is::Stopped, Ask::Stop, Is::Stopped),
        (Is::Started, Ask::Stop, Is::Stopping),
        (Is::Started, Ask::PowerDown, Is::PoweredDown),
        (Is::PoweredDown, Ask::PowerUp, Is::Started),
        (Is::PoweredDown, Ask::Stop, Is::Stopping),
    ];
    for state in [Is::Stopped, Is::Started, Is::Stopping, Is::PoweredDown] {
        for request in [Ask::Start, Ask::Stop, Ask::PowerDown, Ask::PowerUp] {
            let expected =
                allowed.iter().find(|(from, by, _)| (*from, *by) == (state, request)).map(|(.., to)| *to);
            assert_eq!(state.after(request).ok(), expected, "{state:?} {request:?}");
        }
    }
}

// ---- policy

#[test]
fn a_channel_comes_from_the_provider_with_most_free_ones() {
    let candidates =
        [(1, 2), (2, 5), (3, 5), (4, 0)].map(|(id, free_channels)| Candidate { id, free_channels });
    let choose = |wanted| choose_provider(candidates.into_iter(), wanted);
    assert_eq!(choose(0), Some(2));
    assert_eq!(choose(1), Some(1));
    assert_eq!(choose(4), None);
    assert_eq!(choose(9), None);
}

#[test]
fn processor_groups_go_only_to_providers_that_know_them() {
    let wanted = GroupAffinity { mask: 0xF0, group: 1, reserved: [1, 2, 3] };
    let any = GroupAffinity::default();
    assert_eq!(processors_for(0, wanted), any);
    let aware = processors_for(PROVIDER_SUPPORTS_PROC_GROUPS, wanted);
    assert_eq!(aware, GroupAffinity { reserved: [0; 3], ..wanted });
    assert_eq!(legacy_mask(aware), 0);
    proves!(crate: R104;
        assert_eq!(legacy_mask(GroupAffinity { mask: 0x1_0000_0003, group: 0, reserved: [0; 3] }), 3));
}

#[test]
fn message_affinities_cover_all_channels_and_go_round_the_processors() {
    let mut affinities = [CpuAffinity::default(); 5];
    spread_affinities(&mut affinities, 2, 4);
    let pairs: Vec<(u32, u32)> = affinities.iter().map(|pair| (pair.dma_channel, pair.cpu_number)).collect();
    proves!(crate: R44, R45; assert_eq!(pairs, [(0, 2), (1, 3), (2, 0), (3, 1), (4, 2)]));
    spread_affinities(&mut affinities, u32::MAX, 0);
    assert!(affinities.iter().all(|pair| pair.cpu_number == 0));
}

// ---- counters

#[test]
fn every_counter_is_accumulated() {
    let counters = |n| Statistics {
        revision: 0,
        size: 0,
        channels: n as u32,
        bytes: n,
        descriptors: n + 1,
        batches: n + 2,
        starts: n + 3,
        appends: n + 4,
        submitted: n + 5,
        completed: n + 6,
        aborted: n + 7,
        failed: n + 8,
        interrupts: n + 9,
        dpcs: n + 10,
        polls: n + 11,
        halts: n + 12,
        ring_full: n + 13,
        provider_failures: n + 14,
        foreign_addresses: n + 15,
    };
    let mut total = Statistics::default();
    accumulate(&mut total, &counters(100));
    assert_eq!(total, counters(100));
}
