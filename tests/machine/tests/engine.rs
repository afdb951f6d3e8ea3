//! The driver's engine logic on the engine model, in one process: no kernel, no image. What the registers cost is
//! counted by the model.
#![forbid(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicU64, Ordering};

use ioat_core::identity::Identity;
use ioat_core::self_test::{self, Scratch, ScratchPage, SelfTestError};
use ioat_core::service::{InterruptKind, set_interrupts};
use ioat_core::{
    Channel, Clock, Engine, Hardware, Outcome, Patience, PciConfig, Refusal, Registers, Report, State,
};
use ioat_model::{BusFault, Fault, Host, Options, Progress, Register, Which};
use ioat_regs::{ChanErr, Control, descriptor};
use netdma_abi::completion::ARMED;
use proof::proves;

/// Bus address of the bench's memory, and its size.
const MEMORY: u64 = 0x1_0000_0000;
const BYTES: usize = 0x40_0000;
/// Where things are in it.
const WORD: usize = 0x0000;
const RING: usize = 0x1000;
const SOURCE: usize = 0x10_0000;
const DESTINATION: usize = 0x20_0000;

/// One id of each hardware version, and each with something special about it.
const DEVICES: [u16; 7] = [0x1A38, 0x402F, 0x3430, 0x6F20, 0x2021, 0x6F50, 0x0B00];
/// Those whose chains are counted.
const COUNTED: [u16; 6] = [0x402F, 0x3430, 0x6F20, 0x2021, 0x6F50, 0x0B00];

/// Memory, messages and time around one model.
struct Bench {
    model: RefCell<ioat_model::Engine>,
    memory: Box<[AtomicU64]>,
    now_ns: Cell<u64>,
    messages: Cell<u64>,
    line: Cell<bool>,
}

struct Wires<'a>(&'a Bench);

impl Host for Wires<'_> {
    fn read(&mut self, address: u64, bytes: &mut [u8]) -> Result<(), BusFault> {
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = self.0.byte(self.0.place(address, index)?);
        }
        Ok(())
    }

    fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), BusFault> {
        for (index, byte) in bytes.iter().enumerate() {
            self.0.set_byte(self.0.place(address, index)?, *byte);
        }
        Ok(())
    }

    fn store(&mut self, address: u64, value: u64) -> Result<(), BusFault> {
        let place = self.0.place(address, 0)?;
        self.0.memory[place / 8].store(value, Ordering::Release);
        Ok(())
    }

    fn message(&mut self, _address: u64, _data: u32) {
        self.0.messages.set(self.0.messages.get() + 1);
    }

    fn line(&mut self, asserted: bool) {
        self.0.line.set(asserted);
    }

    fn now(&mut self) -> u64 {
        self.0.now_ns.get()
    }
}

impl Bench {
    fn new(device: u16, change: impl FnOnce(&mut Options)) -> Self {
        let mut options = Options::new(0x8086, device).unwrap();
        change(&mut options);
        let mut model = ioat_model::Engine::new(options).unwrap();
        // As a PCI bus driver leaves it: decoding and bus mastering on.
        model.config_write(0x04, 2, 0x6);
        let memory = (0..BYTES / 8).map(|_| AtomicU64::new(0)).collect();
        Self {
            model: RefCell::new(model),
            memory,
            now_ns: Cell::new(0),
            messages: Cell::new(0),
            line: Cell::new(false),
        }
    }

    fn place(&self, address: u64, index: usize) -> Result<usize, BusFault> {
        let address = address.wrapping_add(index as u64);
        match address.checked_sub(MEMORY) {
            Some(place) if (place as usize) < BYTES => Ok(place as usize),
            _ => Err(BusFault { address }),
        }
    }

    fn byte(&self, place: usize) -> u8 {
        self.memory[place / 8].load(Ordering::Acquire).to_le_bytes()[place % 8]
    }

    fn set_byte(&self, place: usize, value: u8) {
        let mut bytes = self.memory[place / 8].load(Ordering::Acquire).to_le_bytes();
        bytes[place % 8] = value;
        self.memory[place / 8].store(u64::from_le_bytes(bytes), Ordering::Release);
    }

    fn word(&self) -> &AtomicU64 {
        &self.memory[WORD / 8]
    }

    /// Lets the engine work until it has nothing to do, however long that takes.
    fn run(&self) {
        self.steps(usize::MAX);
    }

    /// Lets the engine take at most `most` steps.
    fn steps(&self, most: usize) {
        for _ in 0..most {
            let progress = self.model.borrow_mut().step(&mut Wires(self));
            match progress {
                Progress::Worked => {}
                Progress::Idle => return,
                Progress::Until(moment) => self.now_ns.set(moment.max(self.now_ns.get() + 1)),
            }
        }
    }

    /// Writes a copy descriptor into slot `slot`, linked to the next slot or, as the last one, to `next`.
    fn copy(&self, slot: usize, length: u32, control: Control, next: u64) {
        let words = [
            u64::from(length) | u64::from(control.into_bits()) << 32,
            MEMORY + (SOURCE + slot * 0x100) as u64,
            MEMORY + (DESTINATION + slot * 0x100) as u64,
            next,
        ];
        for (index, word) in words.into_iter().enumerate() {
            self.memory[(RING + slot * descriptor::SIZE) / 8 + index].store(word, Ordering::Release);
        }
    }

    /// Copies of 100 bytes in slots `first..first + count`, in a ring of `ring` slots; the last one has a
    /// completion word.
    fn copies(&self, first: usize, count: usize, ring: usize) {
        for index in 0..count {
            let last = index + 1 == count;
            let control = Control::new().with_completion(last);
            self.copy((first + index) % ring, 100, control, slot((first + index + 1) % ring));
        }
    }

    fn fill_sources(&self, slots: usize) {
        for place in 0..slots * 0x100 {
            self.set_byte(SOURCE + place, (place * 7 + place / 256 + 1) as u8);
        }
    }

    fn copied(&self, slot: usize) -> bool {
        (0..100).all(|index| {
            self.byte(SOURCE + slot * 0x100 + index) == self.byte(DESTINATION + slot * 0x100 + index)
        })
    }

    fn costs(&self, number: u8) -> (u64, u64) {
        let model = self.model.borrow();
        let accesses = model.channel_statistics(number).unwrap().accesses;
        (accesses.reads(), accesses.writes())
    }

    fn hardware<C: Clock>(&self, clock: C) -> Hardware<'_, Self, Self, C> {
        Hardware { registers: self, config: self, clock }
    }
}

/// Bus address of a ring slot.
fn slot(number: usize) -> u64 {
    MEMORY + (RING + number * descriptor::SIZE) as u64
}

macro_rules! accessors {
    ($($read:ident $write:ident $type:ty;)+) => {
        impl Registers for Bench {
            $(
                fn $read(&self, offset: u32) -> $type {
                    self.model.borrow_mut().settle(&mut Wires(self));
                    self.model.borrow_mut().mmio_read(offset, size_of::<$type>() as u8) as $type
                }
                fn $write(&self, offset: u32, value: $type) {
                    self.model.borrow_mut().mmio_write(offset, size_of::<$type>() as u8, value.into());
                }
            )+
        }
    };
}
accessors! {
    read8 write8 u8;
    read16 write16 u16;
    read32 write32 u32;
    read64 write64 u64;
}

impl PciConfig for Bench {
    fn read16(&self, offset: u16) -> Option<u16> {
        Some(self.model.borrow_mut().config_read(offset, 2) as u16)
    }
    fn write16(&self, offset: u16, value: u16) -> Option<()> {
        self.model.borrow_mut().config_write(offset, 2, value.into());
        Some(())
    }
    fn read32(&self, offset: u16) -> Option<u32> {
        Some(self.model.borrow_mut().config_read(offset, 4))
    }
    fn write32(&self, offset: u16, value: u32) -> Option<()> {
        self.model.borrow_mut().config_write(offset, 4, value);
        Some(())
    }
}

/// Time passes and the engine works while the driver pauses.
struct Passive<'a>(&'a Bench);
struct Dispatch<'a>(&'a Bench);

fn pause(bench: &Bench, us: u32) {
    let until = bench.now_ns.get() + u64::from(us) * 1000;
    loop {
        let progress = bench.model.borrow_mut().step(&mut Wires(bench));
        match progress {
            Progress::Worked => {}
            Progress::Until(moment) if moment < until => bench.now_ns.set(moment.max(bench.now_ns.get() + 1)),
            _ => break,
        }
    }
    bench.now_ns.set(until.max(bench.now_ns.get()));
}

impl Clock for Passive<'_> {
    const PATIENCE: Patience = Patience::PASSIVE;
    fn now_us(&self) -> u64 {
        self.0.now_ns.get() / 1000
    }
    fn pause_us(&self, us: u32) {
        pause(self.0, us);
    }
}

impl Clock for Dispatch<'_> {
    const PATIENCE: Patience = Patience::DISPATCH;
    fn now_us(&self) -> u64 {
        self.0.now_ns.get() / 1000
    }
    fn pause_us(&self, us: u32) {
        pause(self.0, us);
    }
}

fn probe(bench: &Bench, device: u16) -> Engine {
    let identity = Identity::of(0x8086, device, netdma_abi::Version::V2_1).unwrap();
    Engine::probe(bench, &identity).unwrap()
}

/// Brought up and allocated, the completion word preset as the interface does.
fn ready(bench: &Bench, device: u16) -> Channel {
    let engine = probe(bench, device);
    let mut channel = Channel::new(engine, 0);
    engine.prepare(bench, true);
    channel.bring_up(&bench.hardware(Passive(bench))).unwrap();
    set_interrupts(bench, InterruptKind::PerChannel);
    channel.attach(&bench.hardware(Passive(bench)), MEMORY + WORD as u64).unwrap();
    bench.word().store(ARMED, Ordering::Release);
    channel
}

/// Started with `count` copies in a ring of 64.
fn started(bench: &Bench, device: u16, count: usize) -> Channel {
    let mut channel = ready(bench, device);
    bench.fill_sources(64);
    bench.copies(0, count, 64);
    channel.start(&bench.hardware(Dispatch(bench)), bench.word(), slot(0), count as u32).unwrap();
    channel
}

/// An engine in the middle of a list of 20 descriptors.
fn midway(device: u16) -> (Bench, Channel) {
    let bench = Bench::new(device, |options| {
        options.timing.fine = true;
        options.timing.per_descriptor = 2_000;
    });
    let channel = started(&bench, device, 20);
    bench.steps(12);
    (bench, channel)
}

#[test]
fn every_version_comes_up_and_copies() {
    for device in DEVICES {
        let bench = Bench::new(device, |_| {});
        let mut channel = ready(&bench, device);
        bench.fill_sources(64);
        bench.copies(0, 5, 64);
        if device == 0x1A38 {
            // Chains that are not counted end with zero.
            bench.copy(4, 100, Control::new().with_completion(true), 0);
        }
        channel.start(&bench.hardware(Dispatch(&bench)), bench.word(), slot(0), 5).unwrap();
        bench.run();
        proves!(crate: H9, H12, R97, R116, R126;
            assert!((0..5).all(|slot| bench.copied(slot)), "{device:04x}"));
        proves!(crate: R142, R144, R146; assert_eq!(bench.word().load(Ordering::Acquire), slot(4) | 1, "{device:04x}"));
        assert!(!bench.copied(5), "{device:04x}: no more than was asked for");
    }
}

#[test]
fn a_start_costs_three_writes_and_two_from_3_3_on() {
    for device in DEVICES {
        let bench = Bench::new(device, |_| {});
        let mut channel = ready(&bench, device);
        bench.copies(0, 3, 64);
        let before = bench.costs(0);
        channel.start(&bench.hardware(Dispatch(&bench)), bench.word(), slot(0), 3).unwrap();
        let after = bench.costs(0);
        let halves = channel_takes_halves(device);
        assert_eq!((after.0 - before.0, after.1 - before.1), (0, if halves { 3 } else { 2 }), "{device:04x}");
    }
}

fn channel_takes_halves(device: u16) -> bool {
    ioat_regs::Device::find(0x8086, device).unwrap().quirks().halves_only()
}

#[test]
fn an_append_costs_one_write_and_a_completion_one_rearm() {
    for device in COUNTED {
        let bench = Bench::new(device, |_| {});
        let mut channel = started(&bench, device, 3);
        bench.run();
        bench.copies(3, 2, 64);
        let before = bench.costs(0);
        channel.append(&bench.hardware(Dispatch(&bench)), slot(3), 2).unwrap();
        assert_eq!(bench.costs(0), (before.0, before.1 + 1), "{device:04x}: append");
        bench.run();
        let hardware = &bench.hardware(Dispatch(&bench));
        assert_eq!(channel.service(hardware, bench.word()), Report::Completed(slot(4)));
        assert_eq!(channel.rearm(hardware, bench.word()), Report::Nothing);
        assert_eq!(bench.costs(0), (before.0, before.1 + 2), "{device:04x}: completion");
    }
}

#[test]
fn append_to_an_idle_channel_restarts_it() {
    for device in COUNTED {
        let bench = Bench::new(device, |_| {});
        let mut channel = started(&bench, device, 3);
        bench.run();
        assert_eq!(bench.word().load(Ordering::Acquire), slot(2) | 1);
        bench.copies(3, 4, 64);
        channel.append(&bench.hardware(Dispatch(&bench)), slot(3), 4).unwrap();
        bench.run();
        proves!(crate: R131, R132, R136;
            assert!((0..7).all(|slot| bench.copied(slot)), "{device:04x}");
            assert_eq!(bench.word().load(Ordering::Acquire), slot(6) | 1));
    }
}

#[test]
fn append_on_1_2_links_the_old_tail() {
    let bench = Bench::new(0x1A38, |_| {});
    let mut channel = ready(&bench, 0x1A38);
    bench.fill_sources(8);
    let last = Control::new().with_completion(true);
    bench.copy(0, 100, last, 0);
    channel.start(&bench.hardware(Dispatch(&bench)), bench.word(), slot(0), 1).unwrap();
    bench.run();
    bench.copy(1, 100, last, 0);
    bench.copy(0, 100, last, slot(1));
    let before = bench.costs(0);
    channel.append(&bench.hardware(Dispatch(&bench)), slot(1), 1).unwrap();
    assert_eq!(bench.costs(0), (before.0, before.1 + 1));
    bench.run();
    proves!(crate: R129, H43; assert!(bench.copied(1)); assert_eq!(bench.word().load(Ordering::Acquire), slot(1) | 1));
}

#[test]
fn the_counter_wraps_without_losing_a_descriptor() {
    let bench = Bench::new(0x6F20, |_| {});
    let mut channel = started(&bench, 0x6F20, 1);
    let batch = 31;
    let mut posted = 1;
    while posted < 3 * 65536 {
        bench.run();
        bench.copies(posted % 64, batch, 64);
        channel.append(&bench.hardware(Dispatch(&bench)), slot(posted % 64), batch as u32).unwrap();
        posted += batch;
    }
    bench.run();
    let done = bench.model.borrow().channel_statistics(0).unwrap().copies;
    proves!(crate: R118, R132, R141; assert_eq!(done, posted as u64));
}

#[test]
fn append_racing_with_going_idle_loses_nothing() {
    // The engine is let run any number of steps before each append.
    for pace in 0..40 {
        let bench = Bench::new(0x6F20, |options| options.timing.fine = true);
        let mut channel = started(&bench, 0x6F20, 1);
        for number in 1..30 {
            bench.steps(pace);
            bench.copies(number, 1, 64);
            channel.append(&bench.hardware(Dispatch(&bench)), slot(number), 1).unwrap();
        }
        bench.run();
        let done = bench.model.borrow().channel_statistics(0).unwrap().copies;
        proves!(crate: R141; assert_eq!(done, 30, "after {pace} steps each"));
    }
}

#[test]
fn a_busy_start_finishes_the_current_descriptor_and_drops_the_rest() {
    for device in COUNTED {
        let (bench, mut channel) = midway(device);
        bench.copies(40, 2, 64);
        channel.start(&bench.hardware(Dispatch(&bench)), bench.word(), slot(40), 2).unwrap();
        bench.run();
        let dropped = (0..20).filter(|slot| !bench.copied(*slot)).count();
        proves!(crate: R112, R113, R114, R115;
            assert!(bench.copied(40) && bench.copied(41), "{device:04x}");
            assert!(dropped > 0, "{device:04x}: the rest of the old list is dropped"));
        assert_eq!(bench.word().load(Ordering::Acquire), slot(41) | 1);
    }
}

#[test]
fn suspended_work_waits_and_resumed_work_completes() {
    for device in COUNTED {
        let (bench, mut channel) = midway(device);
        let hardware = &bench.hardware(Dispatch(&bench));
        let Ok(Outcome::Stopped(last)) = channel.suspend(hardware, bench.word()) else {
            panic!("{device:04x}")
        };
        let done = bench.model.borrow().channel_statistics(0).unwrap().copies as usize;
        assert!((1..20).contains(&done));
        proves!(crate: R173, R175, R176;
            assert_eq!(last, slot(done - 1), "{device:04x}");
            assert_eq!(bench.word().load(Ordering::Acquire), last | 2));
        bench.run();
        proves!(crate: R174;
            assert_eq!(bench.model.borrow().channel_statistics(0).unwrap().copies as usize, done));
        channel.resume(hardware).unwrap();
        bench.run();
        proves!(crate: R178, R180;
            assert!((0..20).all(|slot| bench.copied(slot)), "{device:04x}");
            assert_eq!(bench.word().load(Ordering::Acquire), slot(19) | 1));
    }
}

#[test]
fn a_resumed_channel_follows_a_changed_next_pointer() {
    let bench = Bench::new(0x6F20, |options| options.timing.per_descriptor = 2_000);
    let mut channel = started(&bench, 0x6F20, 4);
    bench.steps(3);
    let hardware = &bench.hardware(Dispatch(&bench));
    let Ok(Outcome::Stopped(last)) = channel.suspend(hardware, bench.word()) else { panic!("no suspend") };
    let done = ((last - slot(0)) / 64) as usize + 1;
    assert!(done < 4);
    // As many descriptors elsewhere.
    let rest = 4 - done;
    bench.copies(50, rest, 64);
    bench.copy(done - 1, 100, Control::new(), slot(50));
    channel.resume(hardware).unwrap();
    bench.run();
    proves!(crate: R178; assert!((50..50 + rest).all(|slot| bench.copied(slot))); assert!(!bench.copied(3)));
}

#[test]
fn abort_and_reset_stop_the_engine_for_good_and_start_works_after_them() {
    for device in COUNTED {
        for reset in [false, true] {
            let (bench, mut channel) = midway(device);
            let hardware = &bench.hardware(Dispatch(&bench));
            let outcome = if reset {
                channel.reset(hardware, bench.word())
            } else {
                channel.abort(hardware, bench.word())
            };
            let Ok(Outcome::Stopped(last)) = outcome else { panic!("{device:04x}: {outcome:?}") };
            let done = bench.model.borrow().channel_statistics(0).unwrap().descriptors;
            proves!(crate: R187, R190, R196; assert_eq!(bench.word().load(Ordering::Acquire), last | 3));
            bench.run();
            proves!(crate: R185, R186, R189, R192, R195;
                assert_eq!(bench.model.borrow().channel_statistics(0).unwrap().descriptors, done);
                assert_eq!(bench.word().load(Ordering::Acquire), last | 3));
            assert_eq!(channel.state(), if reset { State::Ready } else { State::Halted });

            bench.word().store(ARMED, Ordering::Release);
            bench.copies(40, 2, 64);
            channel.start(hardware, bench.word(), slot(40), 2).unwrap();
            bench.run();
            proves!(crate: R188, R193; assert_eq!(bench.word().load(Ordering::Acquire), slot(41) | 1, "{device:04x}"));
        }
    }
}

#[test]
fn an_engine_error_halts_is_named_and_the_next_start_works() {
    for device in DEVICES {
        for error in ["source-address", "read-data", "control", "length", "completion-address"] {
            let bit = ioat_regs::error::ErrorBit::named(error).unwrap();
            let bench = Bench::new(device, |options| {
                options.faults.faults.push(Fault::Halt { descriptor: Which::Only(3), error: bit });
            });
            let mut channel = started(&bench, device, 5);
            bench.run();
            let hardware = &bench.hardware(Dispatch(&bench));
            proves!(crate: H33, R147, R204;
                assert_eq!(channel.service(hardware, bench.word()), Report::Stopped, "{device:04x} {error}"));
            assert_eq!(channel.last_error(), ChanErr(1 << bit.bit), "{device:04x}");
            assert_eq!(bench.word().load(Ordering::Acquire) & 7, 3);
            assert_eq!(channel.append(hardware, slot(3), 1), Err(Refusal::NotStarted));

            bench.word().store(ARMED, Ordering::Release);
            let last = Control::new().with_completion(true);
            bench.copy(10, 100, last, if device == 0x1A38 { 0 } else { slot(11) });
            channel.start(hardware, bench.word(), slot(10), 1).unwrap();
            bench.run();
            assert_eq!(bench.word().load(Ordering::Acquire), slot(10) | 1, "{device:04x} {error}");
            assert!(bench.copied(10));
        }
    }
}

#[test]
fn whatever_state_firmware_left_the_channel_comes_up() {
    let bit = ioat_regs::error::ErrorBit::named("dma-integrity").unwrap();
    for device in DEVICES {
        for fault in [Fault::HaltedAtStart { error: bit }, Fault::RunningAtStart, Fault::ConfigUnreachable] {
            let bench = Bench::new(device, |options| options.faults.faults.push(fault));
            let mut channel = ready(&bench, device);
            bench.fill_sources(1);
            bench.copy(0, 100, Control::new().with_completion(true), 0);
            channel.start(&bench.hardware(Dispatch(&bench)), bench.word(), slot(0), 1).unwrap();
            bench.run();
            proves!(crate: H5, H9; assert!(bench.copied(0), "{device:04x} {fault:?}"));
        }
    }
}

#[test]
fn a_slow_reset_is_waited_for_at_passive_and_handed_over_at_dispatch() {
    for device in COUNTED {
        let bench = Bench::new(device, |options| options.timing.reset = 150_000_000);
        let mut channel = started(&bench, device, 3);
        bench.run();
        let hardware = &bench.hardware(Dispatch(&bench));
        let before = bench.now_ns.get();
        assert_eq!(channel.reset(hardware, bench.word()), Err(Refusal::Expired), "{device:04x}");
        assert!(bench.now_ns.get() - before <= 51_000, "no more than 50 µs at DISPATCH_LEVEL");
        assert_eq!(channel.start(hardware, bench.word(), slot(0), 1), Err(Refusal::Stopping));
        channel.finish_stopping(&bench.hardware(Passive(&bench)));
        assert_eq!(channel.state(), State::Halted);
        assert_eq!(channel.service(hardware, bench.word()), Report::Stopped);
        bench.copies(40, 1, 64);
        channel.start(hardware, bench.word(), slot(40), 1).unwrap();
        bench.run();
        assert!(bench.copied(40), "{device:04x}");
    }
}

#[test]
fn a_reset_that_never_ends_leaves_memory_alone_afterwards() {
    let bench = Bench::new(0x0B00, |options| {
        options.timing.per_descriptor = 1_000_000;
        // The first reset is that of the bring-up.
        options.faults.faults.push(Fault::EndlessReset { reset: Which::From(2) });
    });
    let mut channel = started(&bench, 0x0B00, 5);
    let hardware = &bench.hardware(Dispatch(&bench));
    assert_eq!(channel.reset(hardware, bench.word()), Err(Refusal::Expired));
    channel.finish_stopping(&bench.hardware(Passive(&bench)));
    assert_eq!(channel.state(), State::Lost);
    assert_eq!(channel.service(hardware, bench.word()), Report::Stopped);
    let word = bench.word().load(Ordering::Acquire);
    bench.run();
    assert_eq!(bench.word().load(Ordering::Acquire), word);
    assert!((0..5).all(|slot| !bench.copied(slot)));
}

#[test]
fn removal_at_any_register_access_ends_every_command() {
    for device in [0x1A38, 0x6F20, 0x6F50, 0x0B00] {
        for access in 0..80 {
            let bench = Bench::new(device, |options| options.faults.faults.push(Fault::Removed { access }));
            let identity = Identity::of(0x8086, device, netdma_abi::Version::V2_1).unwrap();
            let Ok(engine) = Engine::probe(&bench, &identity) else { continue };
            let mut channel = Channel::new(engine, 0);
            let hardware = &bench.hardware(Passive(&bench));
            if channel.bring_up(hardware).is_err() || channel.attach(hardware, MEMORY).is_err() {
                continue;
            }
            bench.copies(0, 5, 64);
            bench.copy(4, 100, Control::new().with_completion(true), 0);
            let _ = channel.start(hardware, bench.word(), slot(0), 5);
            bench.run();
            let mut stops = 0;
            let mut count = |report| stops += u32::from(report == Report::Stopped);
            count(channel.service(hardware, bench.word()));
            count(channel.rearm(hardware, bench.word()));
            let _ = channel.suspend(hardware, bench.word());
            let _ = channel.resume(hardware);
            let _ = channel.abort(hardware, bench.word());
            let _ = channel.reset(hardware, bench.word());
            channel.finish_stopping(hardware);
            count(channel.service(hardware, bench.word()));
            let gone = channel.state() == State::Gone;
            proves!(crate: H36, R82;
                assert_eq!(stops, u32::from(gone), "{device:04x} access {access}: {channel:?}");
                assert!(!gone || bench.word().load(Ordering::Acquire) & 7 == 3));
            let _ = channel.shut_down(hardware);
        }
    }
}

#[test]
fn interrupts_are_requested_signalled_and_rearmed() {
    for device in COUNTED {
        let bench = Bench::new(device, |_| {});
        // The line: messages are off.
        let mut channel = ready(&bench, device);
        set_interrupts(&bench, InterruptKind::Shared);
        bench.fill_sources(4);
        let both = Control::new().with_completion(true).with_interrupt(true);
        bench.copy(0, 100, both, slot(1));
        bench.copy(1, 100, both, slot(2));
        let hardware = &bench.hardware(Dispatch(&bench));
        channel.start(hardware, bench.word(), slot(0), 1).unwrap();
        bench.run();
        assert!(bench.line.get(), "{device:04x}");
        proves!(crate: H30, R198; assert_eq!(ioat_core::service::claim_shared(&bench), Some(1), "{device:04x}"));
        bench.run();
        assert!(!bench.line.get(), "{device:04x}: reading INTRCTRL drops the line");
        // Not re-armed yet: the next one waits.
        channel.append(hardware, slot(1), 1).unwrap();
        bench.run();
        assert!(!bench.line.get());
        assert_eq!(channel.rearm(hardware, bench.word()), Report::Completed(slot(1)));
        bench.run();
        proves!(crate: H29; assert!(bench.line.get(), "{device:04x}: the re-arm lets it through"));
        let register =
            bench.model.borrow().channel_statistics(0).unwrap().accesses.writes_of(Register::Chanctrl);
        assert!(register >= 2);
    }
}

/// Runs the self-test on a channel that is brought up; its memory is the bench's from `CONTROL` on.
fn self_test(bench: &Bench, device: u16, interrupts: bool) -> Result<(), SelfTestError> {
    const CONTROL: usize = 0x4000;
    let page = |place: usize| ScratchPage {
        words: &bench.memory[place / 8..place / 8 + 512],
        address: MEMORY + place as u64,
    };
    let scratch = Scratch {
        control: page(CONTROL),
        source: page(CONTROL + 0x2000),
        destination: page(CONTROL + 0x5000),
    };
    let mut channel = Channel::new(probe(bench, device), 0);
    let hardware = &bench.hardware(Passive(bench));
    channel.bring_up(hardware).unwrap();
    set_interrupts(bench, InterruptKind::Shared);
    self_test::run(&mut channel, hardware, &scratch, interrupts.then_some(|| bench.line.get()))
}

#[test]
fn the_self_test_passes_on_every_version() {
    for device in DEVICES {
        let bench = Bench::new(device, |options| options.timing.completion_lag = 3_000);
        proves!(crate: H15, H19; assert_eq!(self_test(&bench, device, true), Ok(()), "{device:04x}"));
    }
}

#[test]
fn the_self_test_finds_an_engine_that_copies_wrongly() {
    // The copied bytes begin at offset 7 of the destination page; bit 100 is in their byte 12.
    for (fault, offset) in [
        (Fault::FlipBit { copy: Which::Only(1), bit: 100 }, 19),
        (Fault::SkipCopy { copy: Which::Only(1) }, 7),
        (Fault::EarlyCompletion { descriptor: Which::Only(2), steps: 64 }, 7),
    ] {
        let bench = Bench::new(0x6F20, |options| options.faults.faults.push(fault));
        let result = self_test(&bench, 0x6F20, true);
        proves!(crate: H19; assert_eq!(result, Err(SelfTestError::WrongData { offset }), "{fault:?}"));
    }
}

#[test]
fn the_self_test_finds_an_engine_that_does_not_report_or_interrupt() {
    let bit = ioat_regs::error::ErrorBit::named("next-address").unwrap();
    let halt = Fault::Halt { descriptor: Which::Only(1), error: bit };
    let bench = Bench::new(0x6F20, |options| options.faults.faults.push(halt));
    let result = self_test(&bench, 0x6F20, true);
    proves!(crate: H15; assert_eq!(result, Err(SelfTestError::NotCompleted { status: 3, error: ChanErr(4) })));

    let lost = Fault::LostCompletion { completion: Which::From(1) };
    let bench = Bench::new(0x6F20, |options| options.faults.faults.push(lost));
    assert!(matches!(self_test(&bench, 0x6F20, true), Err(SelfTestError::NotCompleted { .. })));

    let silent = Fault::DropInterrupt { interrupt: Which::From(1) };
    let bench = Bench::new(0x6F20, |options| options.faults.faults.push(silent));
    proves!(crate: H19; assert_eq!(self_test(&bench, 0x6F20, true), Err(SelfTestError::NoInterrupt)));
    let bench = Bench::new(0x6F20, |options| options.faults.faults.push(silent));
    assert_eq!(self_test(&bench, 0x6F20, false), Ok(()), "without an interrupt none is waited for");
}

#[test]
fn a_lent_channel_refuses_commands_and_remembers_a_removal() {
    let bench = Bench::new(0x6F20, |_| {});
    let mut channel = started(&bench, 0x6F20, 1);
    bench.run();
    let hardware = &bench.hardware(Dispatch(&bench));
    let lent = channel.lend().unwrap();
    assert_eq!(channel.append(hardware, slot(1), 1), Err(Refusal::Stopping));
    assert!(channel.lend().is_none());
    channel.remove(Some(bench.word()));
    channel.take_back(hardware, lent);
    assert_eq!(channel.state(), State::Gone);
    assert_eq!(channel.service(hardware, bench.word()), Report::Stopped);
}
