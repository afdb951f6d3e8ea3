//! netdma.sys with netdmasoft.sys, a provider that is an image of its own, and this program as the client: every version, engine
//! behaviour on request, and every failure of every entry point in every state of a channel.

use machine::soft::Soft;
use netdma_abi::Version;
use netdma_abi::descriptor::DESTINATION_DCA_ENABLE;
use netdma_abi::provider::CHARACTERISTICS_DCA_SUPPORTED;
use netdma_abi::status::*;
use netdmasoft_control::{Command, Entry, Setup, mode};
use proof::proves;

use crate::bench::*;
use crate::channels::copy;

const VERSIONS: [Version; 4] = [Version::V1_0, Version::V1_1, Version::V2_0, Version::V2_1];

fn setup(version: Version, flags: u32, mode: u32) -> Setup {
    Setup { version: version.0, flags, absent: 0, mode }
}

/// A machine with netdmasoft.sys as its provider.
fn with_soft(setup: Setup, work: impl FnOnce(&Bench<'_>, &Soft)) {
    on_machine(Version(setup.version), false, machine().first_apic_id(0x10), |b| {
        let soft = Soft::install(b.k).unwrap_or_else(|failure| panic!("{failure}"));
        assert_eq!(soft.setup(b.k, setup), SUCCESS);
        soft.calls(b.k);
        work(b, &soft);
        soft.remove(b.k).unwrap_or_else(|failure| panic!("{failure}"));
    });
}

#[test]
fn every_version_copies_and_reports_from_a_dpc_without_an_isr() {
    for version in VERSIONS {
        with_soft(setup(version, 0, 0), |b, soft| {
            let client = b.client(1);
            let (status, channel) = b.allocate_with(client, 0, 0, 0, 0, 2);
            assert_eq!(status, SUCCESS);
            let (to, from) = (b.buffer(9 * 4096, 5, 8 * 4096), b.buffer(9 * 4096, 77, 8 * 4096));
            let data: Vec<u8> = (0..8 * 4096u32).map(|n| (n % 249) as u8).collect();
            from.fill(&data);
            let mut cookies = Vec::new();
            for (at, length) in [(0, 1), (1, 4095), (4096, 9000), (13_096, 19_672)] {
                let (status, cookie) = copy(b, channel, (&to, at), (&from, at), length);
                assert_eq!(status, PENDING);
                cookies.push(cookie);
            }
            b.settle(|| b.is_complete(channel, *cookies.last().expect("four")));
            proves!(image: R19; assert_eq!(to.bytes(0, data.len()), data));
            let told = b.told();
            assert_eq!(told.iter().map(|told| told.cookie).collect::<Vec<_>>(), cookies);
            b.settle(|| soft.look(b.k, 0).reports != 0);
            let counters = b.statistics(channel, 0).expect("counters");
            proves!(image: R212; assert!(counters.interrupts == 0 && counters.dpcs != 0));
            proves!(image: R212; assert_eq!(soft.look(b.k, 0).processor, 1));
            let calls = soft.calls(b.k);
            assert_eq!((calls[0], calls[1]), (Entry::Allocate, Entry::Start), "{calls:?}");
            assert_eq!(b.free(channel), SUCCESS);
            assert!(!soft.look(b.k, 0).allocated);
            b.deregister_client(client);
        });
    }
}

#[test]
fn below_2_0_the_engine_may_scribble_into_the_two_reserved_fields() {
    with_soft(setup(Version::V1_1, 0, mode::MANUAL), |b, soft| {
        let client = b.client(1);
        let (_, channel) = b.allocate_with(client, 0, 0, 64, 0, 0);
        // Three laps of the ring: each slot is used again after the engine has written to it.
        for _ in 0..4 * 64 {
            let cookie = b.post(channel);
            soft.finish(b.k, 0);
            proves!(image: R236; assert!(b.is_complete(channel, cookie)));
        }
        assert_eq!(soft.look(b.k, 0).processed, 256);
        b.free(channel);
        b.deregister_client(client);
    });
}

#[test]
fn direct_cache_access_reaches_the_engine_as_it_was_registered() {
    with_soft(setup(Version::V2_1, CHARACTERISTICS_DCA_SUPPORTED, mode::MANUAL), |b, soft| {
        let client = b.client(1);
        let (status, channel) = b.allocate_with(client, 0, 0, 0, 0, 2);
        assert_eq!(status, SUCCESS);
        assert_eq!(soft.step(b.k, 0, 9), 1, "the change of context, and nothing else");
        let state = soft.look(b.k, 0);
        proves!(image: R238, R242; assert_eq!((state.processor, state.target), (1, 0x12)));
        proves!(image: R247; assert_eq!((state.data_hints, state.reports), (0, 0)));
        proves!(image: R248; assert_eq!((state.words, state.remaining), (1, 0)));
        proves!(image: R239, R240; assert_eq!(state.word_hints, 1));
        let buffer = b.buffer(4096, 0, 4096);
        let physical = |flags: u32| {
            let out = b.scratch + 0x88;
            let arguments = [channel, buffer.mdl, 0, buffer.physical(64), 8, flags.into(), 0, out];
            assert_eq!(b.call("NetDmaChainCopyPhysicalToVirtual", &arguments) as i32, PENDING);
        };
        for _ in 0..3 {
            physical(DESTINATION_DCA_ENABLE);
        }
        physical(0);
        assert_eq!(soft.step(b.k, 0, 9), 4);
        let state = soft.look(b.k, 0);
        proves!(image: R243, R244; assert_eq!((state.data_hints, state.target), (3, 0x12)));
        proves!(image: R240; assert_eq!(state.word_hints, state.words));
        b.free(channel);
        b.deregister_client(client);
    });
    with_soft(setup(Version::V2_1, 0, mode::MANUAL), |b, soft| {
        let client = b.client(1);
        let channel = b.allocate(client);
        proves!(image: R246; assert_eq!(soft.step(b.k, 0, 9), 0));
        proves!(image: R240; assert_eq!(soft.look(b.k, 0).word_hints, 0));
        b.free(channel);
        b.deregister_client(client);
    });
}

#[test]
fn both_forms_of_the_last_descriptor_and_absent_entry_points_are_served() {
    for mode in [mode::MANUAL, mode::MANUAL | mode::POINTER] {
        with_soft(setup(Version::V2_0, 0, mode), |b, soft| {
            let client = b.client(1);
            let channel = b.allocate(client);
            let cookies = [b.post(channel), b.post(channel)];
            soft.step(b.k, 0, 1);
            assert_eq!(b.call("NetDmaSuspendChannel", &[channel]) as i32, SUCCESS);
            let told = b.told();
            proves!(image: R181; assert_eq!(told.iter().map(|told| told.cookie).collect::<Vec<_>>(), cookies[..1]));
            assert_eq!(soft.step(b.k, 0, 9), 0, "suspended");
            assert_eq!(b.call("NetDmaResumeChannel", &[channel]) as i32, SUCCESS);
            soft.finish(b.k, 0);
            assert_eq!(b.told().len(), 1);
            b.free(channel);
            b.deregister_client(client);
        });
    }
    let optional = [Entry::SetAffinity, Entry::Suspend, Entry::Resume, Entry::Abort, Entry::Reset];
    let absent = optional.iter().fold(0, |mask, entry| mask | entry.bit());
    with_soft(Setup { absent, ..setup(Version::V1_0, 0, mode::MANUAL) }, |b, soft| {
        let client = b.client(1);
        let channel = b.allocate(client);
        b.post(channel);
        for export in
            ["NetDmaSuspendChannel", "NetDmaResumeChannel", "NetDmaAbortChannel", "NetDmaResetChannel"]
        {
            assert!((b.call(export, &[channel]) as i32) < 0, "{export}");
        }
        proves!(image: R29; assert_eq!(soft.calls(b.k), [Entry::Allocate, Entry::Start]));
        soft.finish(b.k, 0);
        assert_eq!(b.told().len(), 1);
        b.free(channel);
        b.deregister_client(client);
    });
    let incomplete = Setup { absent: Entry::Append.bit(), ..setup(Version::V2_1, 0, 0) };
    with_soft(setup(Version::V2_1, 0, 0), |b, soft| {
        proves!(image: R37; assert_eq!(soft.setup(b.k, incomplete), STATUS_UNSUCCESSFUL));
    });
}

#[test]
fn a_1_0_provider_that_asks_is_started_anew() {
    with_soft(setup(Version::V1_0, 0, mode::MANUAL), |b, soft| {
        let client = b.client(1);
        let channel = b.allocate(client);
        b.post(channel);
        soft.finish(b.k, 0);
        soft.calls(b.k);
        soft.command(b.k, Command::Ask { channel: 0 });
        proves!(image: R282; assert_eq!(soft.calls(b.k), [Entry::Start]));
        soft.finish(b.k, 0);
        assert_eq!(b.told().len(), 1, "the start's NULL descriptor is nobody's");
        b.free(channel);
        soft.calls(b.k);
        soft.command(b.k, Command::Ask { channel: 0 });
        proves!(image: R107; assert!(soft.calls(b.k).is_empty(), "nobody has the channel"));
        b.deregister_client(client);
    });
}

/// Where a channel is when an entry point begins to fail.
#[derive(Debug, Clone, Copy)]
enum Place {
    Initial,
    Waiting,
    Armed,
    Active,
    Idle,
    Suspended,
    Halted,
    PoweredDown,
}

const PLACES: [Place; 8] = [
    Place::Initial,
    Place::Waiting,
    Place::Armed,
    Place::Active,
    Place::Idle,
    Place::Suspended,
    Place::Halted,
    Place::PoweredDown,
];

/// A client's channel and what it was promised.
struct Story<'a> {
    b: &'a Bench<'a>,
    soft: &'a Soft,
    channel: u64,
    accepted: Vec<u64>,
}

impl Story<'_> {
    fn post(&mut self) {
        let (status, cookie) = self.b.null(self.channel, 7);
        assert!(status == PENDING || status < 0, "{status:#x}");
        assert_eq!(status == PENDING, cookie != 0);
        if status == PENDING {
            self.accepted.push(cookie);
        }
    }

    fn control(&self, export: &str) {
        self.b.call(export, &[self.channel]);
    }

    fn command(&self, command: Command) {
        self.soft.command(self.b.k, command);
    }

    fn step(&self) {
        self.soft.step(self.b.k, 0, 1);
        self.command(Command::Report { channel: 0 });
    }

    fn go_to(&mut self, place: Place) {
        match place {
            Place::Initial => {}
            Place::Waiting => {
                self.b.set_limit(self.channel, 10);
                self.post();
            }
            Place::Armed => self.post(),
            Place::Active => {
                self.post();
                self.post();
                self.step();
            }
            Place::Idle => {
                self.post();
                self.step();
            }
            Place::Suspended => {
                self.post();
                self.post();
                self.step();
                self.control("NetDmaSuspendChannel");
            }
            Place::Halted => {
                self.post();
                self.command(Command::Halt { channel: 0 });
            }
            Place::PoweredDown => self.command(Command::Power { code: 5 }),
        }
    }

    /// Everything that makes the interface call entry points.
    fn live(&mut self) {
        self.post();
        self.post();
        self.b.set_limit(self.channel, 1);
        self.control("NetDmaSuspendChannel");
        self.post();
        self.control("NetDmaResumeChannel");
        self.step();
        self.control("NetDmaAbortChannel");
        self.post();
        self.post();
        self.step();
        self.control("NetDmaResetChannel");
        self.post();
        self.command(Command::Halt { channel: 0 });
        self.post();
        self.step();
        self.command(Command::Power { code: 5 });
        self.command(Command::Power { code: 6 });
        self.step();
        self.post();
        self.step();
        self.control("NetDmaSuspendChannel");
    }
}

#[test]
fn no_failure_of_an_entry_point_in_any_state_leaks_or_completes_twice() {
    let failing = [
        Entry::Allocate,
        Entry::Start,
        Entry::Append,
        Entry::Suspend,
        Entry::Resume,
        Entry::Abort,
        Entry::Reset,
    ];
    for version in [Version::V1_1, Version::V2_1] {
        with_soft(setup(version, 0, mode::MANUAL), |b, soft| {
            let client = b.client(1);
            for entry in failing {
                for place in PLACES {
                    // Once; as often as one request is tried; always.
                    for count in [1, 3, u32::MAX] {
                        one_story(b, soft, client, (entry, place, count));
                    }
                }
            }
            b.deregister_client(client);
        });
    }
}

/// A channel's life in which an entry point fails from some place on, and how it must end.
fn one_story(b: &Bench<'_>, soft: &Soft, client: u64, what: (Entry, Place, u32)) {
    let (entry, place, count) = what;
    let status = [STATUS_UNSUCCESSFUL, STATUS_INSUFFICIENT_RESOURCES][count as usize % 2];
    if entry == Entry::Allocate {
        soft.fail(b.k, entry, count, status);
        proves!(image: R276; assert_eq!(b.allocate_with(client, 0, 0, 0, 0, 0), (status, 0), "{what:?}"));
        soft.fail(b.k, entry, 0, 0);
    }
    let channel = b.allocate(client);
    let context = b.last_context();
    let mut story = Story { b, soft, channel, accepted: Vec::new() };
    story.go_to(place);
    soft.fail(b.k, entry, count, status);
    story.live();
    assert_eq!(b.free(channel), SUCCESS, "{what:?}");
    soft.fail(b.k, entry, 0, 0);
    // A cycle may have left the provider powered down.
    soft.command(b.k, Command::Power { code: 6 });
    let told = b.told();
    let cookies: Vec<u64> = told.iter().map(|told| told.cookie).collect();
    proves!(image: R139, R209, R276; assert_eq!(cookies, story.accepted, "{what:?}: each once, in order"));
    let ends = [SUCCESS, STATUS_REQUEST_ABORTED, STATUS_IO_DEVICE_ERROR];
    assert!(
        told.iter().all(|told| told.channel == context && ends.contains(&told.status)),
        "{what:?}: {told:?}"
    );
    let calls = soft.calls(b.k);
    let count = |wanted: Entry| calls.iter().filter(|call| **call == wanted).count();
    let refused = usize::from(entry == Entry::Allocate);
    proves!(image: R73, R99; assert_eq!((count(Entry::Allocate), count(Entry::Free)), (1 + refused, 1), "{what:?}"));
    assert!(!soft.look(b.k, 0).allocated, "{what:?}");
}
