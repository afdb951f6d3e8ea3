//! The races of a channel, in every order of up to three preemptions: engine, client and provider are threads of their own.

#[path = "../../../interface/core/tests/support/memory.rs"]
#[allow(dead_code, reason = "the channel's tests use more of it")]
mod memory;

use std::sync::Arc;

use loom::cell::UnsafeCell;
use loom::sync::Mutex;
use loom::thread;
use memory::HostMemory;
use netdma_abi::completion::{TransferStatus, word};
use netdma_abi::descriptor::STATUS_UPDATE_ON_COMPLETION;
use netdma_abi::status::*;
use netdma_abi::{
    ChannelHandle, ChannelParameters, CpuAffinity, Descriptor, NtStatus, PhysicalAddress, Version, nt_success,
};
use netdma_core::channel::{Channel, ChannelState, Control, ControlOutcome, Setup};
use netdma_core::delivery::{self, Completed, Locked};
use netdma_core::handle::{Entry, Table};
use netdma_core::memory::{Page, slot};
use netdma_core::progress::{Look, Progress};
use netdma_core::provider::{ChannelContext, EntryPoints};
use netdma_core::sync::{AtomicU32, AtomicU64, Ordering, fence};
use netdma_core::transfer::{Capabilities, Run};

const RING: u64 = 0x1_0000_0000;
const SOURCE: u64 = 0x10_0000;
const DESTINATION: u64 = 0x20_0000;

/// Every interleaving with at most three preemptions: the races below need one or two.
fn model(test: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.max_branches = 20_000;
    builder.check(test);
}

/// An engine that runs in a thread of its own and knows only what is in memory: registers are its two atomics.
struct Engine {
    page: Arc<Page>,
    word: Arc<AtomicU64>,
    counted: bool,
    /// Where the list begins.
    chain: AtomicU64,
    /// Descriptors told of, start and appends together.
    count: AtomicU32,
}

impl Engine {
    fn over(memory: &HostMemory, version: Version) -> Self {
        let (_, page) = &memory.pages[0];
        Self {
            page: page.clone(),
            word: memory.word.clone(),
            counted: version >= Version::V2_0,
            chain: AtomicU64::new(0),
            count: AtomicU32::new(0),
        }
    }

    /// Runs until `total` descriptors are done, each checked to be the one the client built at its place.
    fn run(&self, total: u64) {
        let mut told = self.told_more_than(0);
        let mut at = self.chain.load(Ordering::Relaxed);
        for done in 0..total {
            if self.counted && u64::from(told) == done {
                told = self.told_more_than(told);
            }
            let position = (at - RING) / 64;
            let descriptor = slot(&self.page, position as usize).expect("a slot of the ring");
            let words = descriptor.words();
            assert_eq!(words[1], SOURCE + position * 64, "the engine ran what was not built yet");
            let mut next = words[3];
            if words[0] >> 32 & u64::from(STATUS_UPDATE_ON_COMPLETION) != 0 {
                let idle = if self.counted { u64::from(told) == done + 1 } else { next == 0 };
                let status = if idle { TransferStatus::Idle } else { TransferStatus::Active };
                self.word.store(word(at, status), Ordering::Release);
            }
            // Below 2.0 an engine at the end of its list reads the link again whenever it is told of more.
            while next == 0 && done + 1 < total {
                told = self.told_more_than(told);
                next = descriptor.words()[3];
            }
            // A device reads where a link leads after the link.
            fence(Ordering::Acquire);
            at = next;
        }
    }

    /// Waits for a doorbell.
    fn told_more_than(&self, known: u32) -> u32 {
        loop {
            let count = self.count.load(Ordering::Acquire);
            if count > known {
                return count;
            }
            thread::yield_now();
        }
    }
}

impl EntryPoints for Engine {
    fn set_channel_affinity(&self, _: &mut [CpuAffinity]) -> Option<NtStatus> {
        None
    }
    fn allocate(&self, _: &mut ChannelParameters, _: ChannelHandle) -> Result<ChannelContext, NtStatus> {
        Err(STATUS_INSUFFICIENT_RESOURCES)
    }
    fn free(&self, _: ChannelContext) {}
    fn start(&self, _: ChannelContext, _: *mut Descriptor, at: PhysicalAddress, count: u32) -> NtStatus {
        self.chain.store(at.0, Ordering::Relaxed);
        self.count.fetch_add(count, Ordering::Release);
        STATUS_SUCCESS
    }
    fn append(&self, _: ChannelContext, _: *mut Descriptor, _: PhysicalAddress, count: u32) -> NtStatus {
        // A register write: it is ordered by the fence of the core, not by itself.
        self.count.fetch_add(count, Ordering::Relaxed);
        STATUS_SUCCESS
    }
    fn suspend(&self, _: ChannelContext) -> Option<Result<Option<PhysicalAddress>, NtStatus>> {
        None
    }
    fn resume(&self, _: ChannelContext) -> Option<NtStatus> {
        None
    }
    fn abort(&self, _: ChannelContext) -> Option<NtStatus> {
        None
    }
    fn reset(&self, _: ChannelContext) -> Option<NtStatus> {
        None
    }
}

fn setup(version: Version) -> Setup {
    Setup {
        version,
        context: ChannelContext(0),
        capabilities: Capabilities {
            maximum_transfer_size: 4096,
            maximum_address: u64::MAX,
            page_breaks: version >= Version::V2_0,
        },
        polled: false,
        cache: None,
    }
}

/// Copies from where the position says.
fn copy<P: EntryPoints>(channel: &mut Channel<HostMemory>, provider: &P) -> Result<u64, NtStatus> {
    let offset = channel.ring().built() * 64;
    let run = |address| Some(Run { address, length: 64 });
    channel.copy(provider, run(DESTINATION + offset), run(SOURCE + offset), 64, 0, 7)
}

/// A channel behind its lock, with what its client was told.
struct Shared<P> {
    channel: Mutex<Channel<HostMemory>>,
    provider: P,
    progress: Progress,
    told: Mutex<Vec<Completed>>,
}

impl<P> Locked for Shared<P> {
    type Memory = HostMemory;
    fn with<R>(&self, act: impl FnOnce(&mut Channel<HostMemory>) -> R) -> Option<R> {
        Some(act(&mut self.channel.lock().expect("no thread panics")))
    }
}

impl<P: EntryPoints> Shared<P> {
    fn new(version: Version, limit: u32, provider: impl FnOnce(&HostMemory) -> P) -> Arc<Self> {
        let memory = HostMemory::at(&[RING]);
        let provider = provider(&memory);
        let mut channel = Channel::new(memory, setup(version)).expect("the memory is a ring");
        channel.set_limit(&provider, limit).expect("a limit");
        let told = Mutex::new(Vec::new());
        Arc::new(Self { channel: Mutex::new(channel), provider, progress: Progress::new(), told })
    }

    fn under_lock<R>(&self, act: impl FnOnce(&mut Channel<HostMemory>) -> R) -> R {
        self.with(act).expect("the channel is there")
    }

    fn copy(&self) -> Result<u64, NtStatus> {
        self.under_lock(|channel| {
            let cookie = copy(channel, &self.provider);
            self.progress.publish(channel);
            cookie
        })
    }

    /// A poll, or with an address the provider's report.
    fn poll(&self) {
        let delivery = self.under_lock(|channel| {
            channel.observe(0);
            channel.go_on(&self.provider);
            self.progress.publish(channel);
            channel.begin_delivery()
        });
        if let Some(delivery) = delivery {
            delivery::deliver(self, delivery, |completed| {
                self.told.lock().expect("no thread panics").push(completed);
            });
        }
    }

    fn cookies(&self) -> Vec<u64> {
        self.told.lock().expect("no thread panics").iter().map(|completed| completed.cookie).collect()
    }
}

/// Two posts, the second of which meets the engine running, going idle, or idle.
fn append_meets_an_engine_that_goes_idle(version: Version) {
    model(move || {
        let shared = Shared::new(version, 1, |memory| Engine::over(memory, version));
        let engine = {
            let shared = shared.clone();
            thread::spawn(move || shared.provider.run(2))
        };
        shared.copy().expect("room");
        shared.copy().expect("room");
        engine.join().expect("the engine ran both");
        shared.poll();
        assert_eq!(shared.cookies(), [1, 2]);
        assert!(shared.under_lock(|channel| channel.is_quiet() && channel.state() == ChannelState::Idle));
    });
}

#[test]
fn append_meets_a_counting_engine_that_goes_idle() {
    append_meets_an_engine_that_goes_idle(Version::V2_1);
}

#[test]
fn append_meets_an_engine_that_goes_idle_at_the_end_of_its_list() {
    append_meets_an_engine_that_goes_idle(Version::V1_1);
}

/// Two that poll while the engine completes: callbacks neither overlap nor overtake nor get lost.
#[test]
fn a_poll_meets_a_report() {
    model(|| {
        let shared = Shared::new(Version::V2_1, 1, |memory| Engine::over(memory, Version::V2_1));
        shared.copy().expect("room");
        shared.copy().expect("room");
        let other = {
            let shared = shared.clone();
            thread::spawn(move || shared.poll())
        };
        shared.provider.run(1);
        shared.poll();
        other.join().expect("the other polled");
        assert_eq!(shared.cookies().len(), 1, "what is done is told when both have looked");
        assert_eq!(shared.cookies(), [1]);
    });
}

/// One polls without the lock while the engine completes and another reports: no copy is over before its data is there, and
/// one that is over is found, whoever has looked.
#[test]
fn a_poll_without_the_lock_meets_a_report() {
    model(|| {
        let shared = Shared::new(Version::V2_1, 1, |memory| Engine::over(memory, Version::V2_1));
        let data = loom::sync::Arc::new(UnsafeCell::new(0));
        let cookie = shared.copy().expect("room");
        let engine = {
            let (shared, data) = (shared.clone(), data.clone());
            thread::spawn(move || {
                data.with_mut(write);
                shared.provider.run(1);
            })
        };
        let reporter = {
            let shared = shared.clone();
            thread::spawn(move || shared.poll())
        };
        loop {
            match shared.progress.look(&shared.provider.word, cookie as usize) {
                Look::Complete => break,
                Look::Nothing => thread::yield_now(),
                Look::Ask => shared.poll(),
            }
        }
        data.with(|_| "loom reports a writer that this reader is not ordered after");
        engine.join().expect("the engine ran");
        reporter.join().expect("the report ended");
        assert_eq!(shared.cookies(), [1]);
    });
}

#[allow(unsafe_code, reason = "loom's cell gives pointers")]
fn write(data: *mut u32) {
    // SAFETY: loom has just checked that nobody else is there, and the cell lives on.
    unsafe { *data = 1 };
}

/// What the engine of [`Stepper`] knows.
#[derive(Default)]
struct Registers {
    /// Addresses the engine was told of and has not run.
    queue: Vec<u64>,
    ran: Vec<u64>,
    last: u64,
    started: bool,
    calls: Vec<&'static str>,
}

/// An engine that does a descriptor at a time, whole: what races is who looks when.
struct Stepper {
    word: Arc<AtomicU64>,
    registers: Mutex<Registers>,
}

impl Stepper {
    fn over(memory: &HostMemory) -> Self {
        Self { word: memory.word.clone(), registers: Mutex::new(Registers::default()) }
    }

    fn take(&self, call: &'static str, at: u64, count: u32) -> NtStatus {
        let mut registers = self.registers.lock().expect("no thread panics");
        registers.calls.push(call);
        assert!(call == "start" || registers.started, "an append to a stopped engine");
        if call == "start" {
            registers.queue.clear();
            registers.started = true;
        }
        let slots = memory_slots();
        let first = (at - RING) / 64;
        registers.queue.extend((0..u64::from(count)).map(|n| RING + (first + n) % slots * 64));
        STATUS_SUCCESS
    }

    fn step(&self) -> bool {
        let mut registers = self.registers.lock().expect("no thread panics");
        if registers.queue.is_empty() {
            return false;
        }
        let at = registers.queue.remove(0);
        registers.ran.push(at);
        registers.last = at;
        let status = if registers.queue.is_empty() { TransferStatus::Idle } else { TransferStatus::Active };
        self.word.store(word(at, status), Ordering::Release);
        true
    }
}

fn memory_slots() -> u64 {
    netdma_core::memory::SLOTS_PER_PAGE as u64
}

impl EntryPoints for Stepper {
    fn set_channel_affinity(&self, _: &mut [CpuAffinity]) -> Option<NtStatus> {
        None
    }
    fn allocate(&self, _: &mut ChannelParameters, _: ChannelHandle) -> Result<ChannelContext, NtStatus> {
        Err(STATUS_INSUFFICIENT_RESOURCES)
    }
    fn free(&self, _: ChannelContext) {}
    fn start(&self, _: ChannelContext, _: *mut Descriptor, at: PhysicalAddress, count: u32) -> NtStatus {
        self.take("start", at.0, count)
    }
    fn append(&self, _: ChannelContext, _: *mut Descriptor, at: PhysicalAddress, count: u32) -> NtStatus {
        self.take("append", at.0, count)
    }
    fn suspend(&self, _: ChannelContext) -> Option<Result<Option<PhysicalAddress>, NtStatus>> {
        None
    }
    fn resume(&self, _: ChannelContext) -> Option<NtStatus> {
        None
    }
    fn abort(&self, _: ChannelContext) -> Option<NtStatus> {
        let mut registers = self.registers.lock().expect("no thread panics");
        registers.queue.clear();
        registers.started = false;
        self.word.store(word(registers.last, TransferStatus::Halted), Ordering::Release);
        Some(STATUS_SUCCESS)
    }
    fn reset(&self, channel: ChannelContext) -> Option<NtStatus> {
        self.abort(channel)
    }
}

impl Shared<Stepper> {
    /// As `netdma.sys` does it: claimed under the lock, called without it, ended under it.
    fn control(&self, control: Control) {
        if self.under_lock(|channel| channel.begin_control(control)).is_err() {
            return;
        }
        let status = self.provider.abort(ChannelContext(0)).expect("the entry point is there");
        let outcome =
            if nt_success(status) { ControlOutcome::Done(None) } else { ControlOutcome::Failed(status) };
        self.under_lock(|channel| channel.end_control(&self.provider, outcome));
        self.poll();
    }

    /// What a drain does until the channel is quiet.
    fn drain(&self) {
        loop {
            self.under_lock(|channel| channel.post(&self.provider));
            while self.provider.step() {}
            self.poll();
            if self.under_lock(|channel| channel.is_quiet()) {
                return;
            }
            thread::yield_now();
        }
    }

    /// Every cookie up to `count` once and in order; success only for what the engine ran.
    fn check_told(&self, count: u64) {
        assert!(self.cookies().into_iter().eq(1..=count), "{:?}", self.cookies());
        let ran = &self.provider.registers.lock().expect("no thread panics").ran;
        for completed in &*self.told.lock().expect("no thread panics") {
            let address = RING + (completed.cookie - 1) % memory_slots() * 64;
            assert!(
                completed.status != STATUS_SUCCESS || ran.contains(&address),
                "success without the engine"
            );
        }
    }
}

/// An abort or reset while the engine completes and somebody polls.
fn control_meets_completion(control: Control) {
    model(move || {
        let shared = Shared::new(Version::V2_1, 1, Stepper::over);
        shared.copy().expect("room");
        shared.copy().expect("room");
        let engine = {
            let shared = shared.clone();
            thread::spawn(move || {
                shared.provider.step();
                shared.poll();
            })
        };
        shared.control(control);
        engine.join().expect("the engine stepped");
        shared.poll();
        shared.check_told(2);
        assert!(shared.under_lock(|channel| channel.is_quiet() && channel.state().needs_start()));
    });
}

#[test]
fn an_abort_meets_a_completion() {
    control_meets_completion(Control::Abort(STATUS_REQUEST_ABORTED));
}

#[test]
fn a_reset_meets_a_completion() {
    control_meets_completion(Control::Reset(STATUS_REQUEST_ABORTED));
}

/// What is accepted before the stop is told; nothing is accepted after it.
#[test]
fn a_stop_meets_a_submission() {
    model(|| {
        let shared = Shared::new(Version::V2_1, 2, Stepper::over);
        let client = {
            let shared = shared.clone();
            thread::spawn(move || u64::from(shared.copy().is_ok()) + u64::from(shared.copy().is_ok()))
        };
        shared.under_lock(|channel| channel.close());
        shared.drain();
        let told = shared.cookies().len() as u64;
        let accepted = client.join().expect("the client tried");
        assert_eq!(accepted, told, "accepted after the stop, or lost by it");
        shared.check_told(accepted);
        assert_eq!(shared.copy(), Err(STATUS_DEVICE_NOT_READY));
    });
}

/// A device that leaves D0 and comes back: the first call after it is a start.
#[test]
fn a_power_down_meets_a_submission() {
    model(|| {
        let shared = Shared::new(Version::V2_1, 1, Stepper::over);
        let client = {
            let shared = shared.clone();
            thread::spawn(move || u64::from(shared.copy().is_ok()) + u64::from(shared.copy().is_ok()))
        };
        shared.under_lock(|channel| channel.close());
        shared.drain();
        shared.under_lock(|channel| channel.lose_context());
        {
            let mut registers = shared.provider.registers.lock().expect("no thread panics");
            (registers.started, registers.last) = (false, 0);
            registers.calls.clear();
        }
        shared.under_lock(|channel| {
            channel.rearm(&shared.provider);
            channel.open();
        });
        client.join().expect("the client tried");
        shared.drain();
        assert_eq!(shared.provider.registers.lock().expect("no thread panics").calls[0], "start");
        assert!(shared.cookies().is_sorted());
        let accepted = shared.under_lock(|channel| channel.statistics().submitted);
        assert_eq!(shared.cookies().len() as u64, accepted, "each told once");
    });
}

/// A channel in its table, as a report of the provider finds it.
struct Place {
    live: Mutex<Option<Arc<Shared<Stepper>>>>,
}

/// A report and a free: the report finds the channel or does not; the channel goes only when nobody delivers.
#[test]
fn a_free_meets_a_report() {
    model(|| {
        let table = Arc::new(Table::<Place, 1>::new([Entry::new(Place { live: Mutex::new(None) })]));
        let shared = Shared::new(Version::V2_1, 1, Stepper::over);
        let handle = {
            let (handle, place) = table.claim().expect("a free entry");
            *place.live.lock().expect("no thread panics") = Some(shared.clone());
            handle
        };
        shared.copy().expect("room");
        shared.provider.step();
        let reporter = {
            let table = table.clone();
            thread::spawn(move || {
                let live = table.get(handle).and_then(|place| place.live.lock().expect("no panic").clone());
                if let Some(live) = live {
                    live.poll();
                }
            })
        };
        shared.under_lock(|channel| channel.close());
        shared.drain();
        assert_eq!(shared.cookies(), [1], "told before it goes");
        let place = table.get(handle).expect("not given back yet");
        *place.live.lock().expect("no thread panics") = None;
        assert!(table.release(handle));
        reporter.join().expect("the report ended");
        shared.check_told(1);
        assert!(table.get(handle).is_none());
    });
}
