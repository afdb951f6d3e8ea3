//! A software engine over host memory: the other side of the core in its tests. It reads descriptors as hardware does, by
//! bus address, and does one per [`Engine::step`].

#![allow(dead_code, reason = "each test file uses its part")]

pub mod history;
mod memory;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use netdma_abi::completion::{self, TransferStatus};
use netdma_abi::descriptor::*;
use netdma_abi::status::{STATUS_INSUFFICIENT_RESOURCES, STATUS_SUCCESS, STATUS_UNSUCCESSFUL};
use netdma_abi::{
    ChannelHandle, ChannelParameters, CpuAffinity, Descriptor, NtStatus, PhysicalAddress, Version,
};
use netdma_core::channel::{Channel, Control, ControlOutcome, Setup};
use netdma_core::delivery::{self, Completed, Locked};
use netdma_core::memory::{Page, SLOTS_PER_PAGE, slot};
use netdma_core::progress::{Look, Progress};
use netdma_core::provider::{ChannelContext, EntryPoints};
use netdma_core::transfer::{Capabilities, Run, Runs};

pub use memory::HostMemory;

/// One provider call, as the engine saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    Start { address: u64, count: u32, word: u64 },
    Append { address: u64, count: u32 },
    Suspend,
    Resume,
    Abort,
    Reset,
}

/// What the engine knows.
#[derive(Default)]
pub struct Inner {
    /// Next descriptor to run, 0 when none is known.
    next: u64,
    /// Last descriptor run, 0 when none.
    pub last: u64,
    /// Counted dialect: descriptors left to run.
    remaining: u64,
    suspended: bool,
    started: bool,
    /// Halted by itself: an append then fails, or is taken without effect, in turns.
    dead: bool,
    /// Whether a dead engine takes the next append.
    takes_append: bool,
    /// An append has failed; for the test to take.
    pub append_failed: bool,
    /// Whose cache it hints at, once it was told.
    context: Option<u64>,
    pub calls: Vec<Call>,
    /// Statuses for the next start, append, abort and reset calls, before success is the rule again.
    pub fail: BTreeMap<&'static str, Vec<NtStatus>>,
    /// Interrupts asked for.
    pub interrupts: u64,
    /// Words of the descriptors run, in order.
    pub ran: Vec<[u64; 8]>,
    data: BTreeMap<u64, [u8; BLOCK as usize]>,
}

/// The engine, which is also the provider's entry points.
pub struct Engine {
    pages: Vec<(u64, Arc<Page>)>,
    word: Arc<AtomicU64>,
    version: Version,
    /// Entry points that are NULL.
    pub absent: Vec<&'static str>,
    pub inner: RefCell<Inner>,
}

const PAGE: u64 = 4096;

/// Bytes of memory that come to life together.
const BLOCK: u64 = 64;

impl Engine {
    pub fn over(memory: &HostMemory, version: Version) -> Self {
        Self {
            pages: memory.pages.clone(),
            word: memory.word.clone(),
            version,
            absent: Vec::new(),
            inner: RefCell::default(),
        }
    }

    pub fn calls(&self) -> Vec<Call> {
        self.inner.borrow().calls.clone()
    }

    pub fn fail_next(&self, entry: &'static str, statuses: &[NtStatus]) {
        self.inner.borrow_mut().fail.insert(entry, statuses.to_vec());
    }

    fn descriptor(&self, address: u64) -> [u64; 8] {
        let (_, page) = self
            .pages
            .iter()
            .find(|(page, _)| *page == address & !(PAGE - 1))
            .unwrap_or_else(|| panic!("the engine was sent to {address:#x}, which is no ring page"));
        assert_eq!(address % 64, 0, "descriptor at {address:#x} is not on a 64-byte boundary");
        slot(page, (address % PAGE / 64) as usize).expect("a page has 64 slots").words()
    }

    pub fn poke(&self, address: u64, bytes: &[u8]) {
        let mut inner = self.inner.borrow_mut();
        for (at, byte) in (address..).zip(bytes) {
            let block = inner.data.entry(at / BLOCK).or_insert([0; BLOCK as usize]);
            block[(at % BLOCK) as usize] = *byte;
        }
    }

    pub fn peek(&self, address: u64, length: usize) -> Vec<u8> {
        let inner = self.inner.borrow();
        (address..address + length as u64)
            .map(|at| inner.data.get(&(at / BLOCK)).map_or(0, |block| block[(at % BLOCK) as usize]))
            .collect()
    }

    /// Addresses of a side, byte by byte, page break included.
    fn side(first: u64, second: u64, breaks: bool, size: u64) -> Vec<u64> {
        let to_end = PAGE - first % PAGE;
        (0..size).map(|n| if breaks && n >= to_end { second + (n - to_end) } else { first + n }).collect()
    }

    /// Runs one descriptor; `false` if there is none to run.
    pub fn step(&self) -> bool {
        let counted = self.version >= Version::V2_0;
        let mut inner = self.inner.borrow_mut();
        if inner.suspended || !inner.started {
            return false;
        }
        if counted && inner.remaining == 0 || inner.next == 0 {
            return false;
        }
        let address = inner.next;
        let words = self.descriptor(address);
        inner.ran.push(words);
        inner.last = address;
        inner.next = words[3];
        inner.remaining = inner.remaining.wrapping_sub(1);
        let more = if counted { inner.remaining != 0 } else { inner.next != 0 };
        let (size, flags) = (words[0] & 0xFFFF_FFFF, (words[0] >> 32) as u32);
        let context_change = flags & OP_TYPE_MASK == OP_TYPE_CONTEXT_CHANGE;
        if context_change {
            inner.context = Some(size);
        }
        let hints = !context_change && flags & DESTINATION_DCA_ENABLE != 0;
        assert!(!hints || inner.context.is_some(), "a hint before the engine knows whose cache (Q28)");
        drop(inner);

        if !context_change && flags & NULL_TRANSFER == 0 {
            let from = Self::side(words[1], words[4], flags & SOURCE_PAGE_BREAK != 0, size);
            let to = Self::side(words[2], words[5], flags & DESTINATION_PAGE_BREAK != 0, size);
            for (from, to) in from.into_iter().zip(to) {
                let byte = self.peek(from, 1);
                self.poke(to, &byte);
            }
        }
        if flags & STATUS_UPDATE_ON_COMPLETION != 0 {
            let status = if more { TransferStatus::Active } else { TransferStatus::Idle };
            self.word.store(completion::word(address, status), Ordering::Release);
        }
        if flags & INTERRUPT_ON_COMPLETION != 0 {
            self.inner.borrow_mut().interrupts += 1;
        }
        true
    }

    /// Runs everything it has; answers how many descriptors that were.
    pub fn run(&self) -> usize {
        let most = self.pages.len() * SLOTS_PER_PAGE;
        let mut count = 0;
        while self.step() {
            count += 1;
            assert!(count <= most, "the engine runs in a circle");
        }
        count
    }

    /// Halts by itself, as after a bad address.
    pub fn halt(&self) {
        self.stop_and_say();
        self.inner.borrow_mut().dead = true;
    }

    /// Stops, and writes no word.
    pub fn stop(&self) {
        let mut inner = self.inner.borrow_mut();
        (inner.next, inner.remaining, inner.started, inner.context) = (0, 0, false, None);
        (inner.suspended, inner.dead) = (false, false);
    }

    /// Stops as commanded.
    fn stop_and_say(&self) {
        self.stop();
        let last = self.inner.borrow().last;
        self.word.store(completion::word(last, TransferStatus::Halted), Ordering::Release);
    }

    /// Writes `word` instead of what is true.
    pub fn lie(&self, word: u64) {
        self.word.store(word, Ordering::Release);
    }

    /// The device leaves D0 and comes back: nothing is known any more.
    pub fn lose_power(&self) {
        let mut inner = self.inner.borrow_mut();
        (inner.next, inner.last, inner.remaining, inner.context) = (0, 0, 0, None);
        (inner.suspended, inner.started, inner.dead) = (false, false, false);
    }

    /// Adds what decides the engine's future to `state`; data and records are left out.
    pub fn snapshot(&self, state: &mut Vec<u64>) {
        let Inner {
            next,
            last,
            remaining,
            suspended,
            started,
            dead,
            takes_append,
            append_failed,
            context,
            calls: _,
            fail,
            interrupts: _,
            ran: _,
            data: _,
        } = &*self.inner.borrow();
        state.extend([*next, *last, *remaining]);
        state.extend([*suspended, *started, *dead, *takes_append, *append_failed].map(u64::from));
        state.push(context.map_or(u64::MAX, |target| target));
        state.extend(
            ["start", "append", "abort", "reset"].map(|entry| fail.get(entry).map_or(0, Vec::len) as u64),
        );
    }

    fn answer(&self, entry: &'static str) -> NtStatus {
        match self.inner.borrow_mut().fail.get_mut(entry) {
            Some(statuses) if !statuses.is_empty() => statuses.remove(0),
            _ => STATUS_SUCCESS,
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
        let word = self.word.load(Ordering::Relaxed);
        self.inner.borrow_mut().calls.push(Call::Start { address: at.0, count, word });
        let status = self.answer("start");
        if status == STATUS_SUCCESS {
            let mut inner = self.inner.borrow_mut();
            (inner.next, inner.remaining, inner.last) = (at.0, count.into(), 0);
            (inner.suspended, inner.started, inner.dead) = (false, true, false);
        }
        status
    }

    fn append(&self, _: ChannelContext, _: *mut Descriptor, at: PhysicalAddress, count: u32) -> NtStatus {
        self.inner.borrow_mut().calls.push(Call::Append { address: at.0, count });
        if self.inner.borrow().dead {
            let mut inner = self.inner.borrow_mut();
            let taken = inner.takes_append;
            inner.takes_append = !taken;
            inner.append_failed |= !taken;
            return if taken { STATUS_SUCCESS } else { STATUS_UNSUCCESSFUL };
        }
        assert!(self.inner.borrow().started, "append without a start");
        let status = self.answer("append");
        if status == STATUS_SUCCESS {
            let last = self.inner.borrow().last;
            // A 1.x engine that stands on its tail reads it again to find the new link.
            let link = if last == 0 { 0 } else { self.descriptor(last)[3] };
            let mut inner = self.inner.borrow_mut();
            inner.remaining += u64::from(count);
            if inner.next == 0 {
                inner.next = link;
            }
            if self.version >= Version::V2_0 && inner.remaining == u64::from(count) {
                assert_eq!(inner.next, at.0, "an append begins where the tail points (R134)");
            }
        } else {
            self.inner.borrow_mut().append_failed = true;
        }
        status
    }

    fn suspend(&self, _: ChannelContext) -> Option<Result<Option<PhysicalAddress>, NtStatus>> {
        if self.absent.contains(&"suspend") {
            return None;
        }
        let mut inner = self.inner.borrow_mut();
        inner.calls.push(Call::Suspend);
        if inner.dead {
            return Some(Err(STATUS_UNSUCCESSFUL));
        }
        inner.suspended = true;
        self.word.store(completion::word(inner.last, TransferStatus::Suspend), Ordering::Release);
        Some(Ok((inner.last != 0).then_some(PhysicalAddress(inner.last))))
    }

    fn resume(&self, _: ChannelContext) -> Option<NtStatus> {
        if self.absent.contains(&"resume") {
            return None;
        }
        let mut inner = self.inner.borrow_mut();
        inner.calls.push(Call::Resume);
        if !std::mem::take(&mut inner.suspended) {
            return Some(STATUS_UNSUCCESSFUL);
        }
        Some(STATUS_SUCCESS)
    }

    fn abort(&self, _: ChannelContext) -> Option<NtStatus> {
        if self.absent.contains(&"abort") {
            return None;
        }
        self.inner.borrow_mut().calls.push(Call::Abort);
        let status = self.answer("abort");
        if status == STATUS_SUCCESS {
            self.stop_and_say();
        }
        Some(status)
    }

    fn reset(&self, _: ChannelContext) -> Option<NtStatus> {
        if self.absent.contains(&"reset") {
            return None;
        }
        self.inner.borrow_mut().calls.push(Call::Reset);
        let status = self.answer("reset");
        if status == STATUS_SUCCESS {
            self.stop_and_say();
        }
        Some(status)
    }
}

/// A list of runs as a buffer.
pub struct Pieces(pub std::vec::IntoIter<Run>);

impl Pieces {
    pub fn new(runs: &[(u64, u64)]) -> Self {
        let runs: Vec<Run> =
            runs.iter().map(|(address, length)| Run { address: *address, length: *length }).collect();
        Self(runs.into_iter())
    }
}

impl Runs for Pieces {
    fn next_run(&mut self) -> Option<Run> {
        self.0.next()
    }
}

/// A channel, its engine, and what the client was told.
pub struct Bench {
    pub channel: RefCell<Channel<HostMemory>>,
    pub engine: Engine,
    pub word: Arc<AtomicU64>,
    pub told: RefCell<Vec<Completed>>,
    pub progress: Progress,
}

impl Locked for Bench {
    type Memory = HostMemory;
    fn with<R>(&self, act: impl FnOnce(&mut Channel<HostMemory>) -> R) -> Option<R> {
        Some(self.with(act))
    }
}

/// Random cases, the same in every run; `NETDMA_RANDOM` in the environment asks for others.
pub fn cases(count: u32) -> proptest::test_runner::Config {
    use proptest::test_runner::{Config, RngSeed};
    let rng_seed = if std::env::var_os("NETDMA_RANDOM").is_some() {
        RngSeed::Random
    } else {
        RngSeed::Fixed(0x4E44_4D41)
    };
    Config { cases: count, rng_seed, failure_persistence: None, ..Config::default() }
}

/// Limits of a 3.x engine.
pub fn capabilities(version: Version) -> Capabilities {
    Capabilities {
        maximum_transfer_size: 1 << 20,
        maximum_address: (1 << 46) - 1,
        page_breaks: version >= Version::V2_0,
    }
}

impl Bench {
    pub fn new(version: Version, pages: usize) -> Self {
        Self::with_memory(version, HostMemory::scattered(pages))
    }

    pub fn with_memory(version: Version, memory: HostMemory) -> Self {
        Self::with_cache(version, memory, None)
    }

    /// With a provider that hints at `cache`.
    pub fn with_cache(version: Version, memory: HostMemory, cache: Option<u8>) -> Self {
        let engine = Engine::over(&memory, version);
        let word = memory.word.clone();
        let setup = Setup {
            version,
            context: ChannelContext(0xC0FFEE),
            capabilities: capabilities(version),
            polled: false,
            cache,
        };
        let channel = Channel::new(memory, setup).expect("the memory is a ring");
        Self {
            channel: RefCell::new(channel),
            engine,
            word,
            told: RefCell::default(),
            progress: Progress::new(),
        }
    }

    /// Under the lock, as it were.
    pub fn with<R>(&self, act: impl FnOnce(&mut Channel<HostMemory>) -> R) -> R {
        let mut channel = self.channel.borrow_mut();
        let answer = act(&mut channel);
        if !channel.took_plainly() {
            self.progress.publish(&channel);
        }
        answer
    }

    /// Submits a NULL request.
    pub fn null(&self, context: usize) -> Result<u64, NtStatus> {
        self.with(|channel| channel.null(&self.engine, 0, context))
    }

    /// Submits a copy between two contiguous buffers.
    pub fn copy(&self, to: u64, from: u64, length: u32, context: usize) -> Result<u64, NtStatus> {
        let run = |address| Some(Run { address, length: length.into() });
        self.with(|channel| channel.copy(&self.engine, run(to), run(from), length, 0, context))
    }

    /// Looks at the completion word and tells the client, as a poll does. Each is checked to find nothing where one without
    /// the lock would have found nothing.
    pub fn poll(&self) -> netdma_core::channel::Observed {
        let last = self.channel.borrow().ring().built() as usize;
        let look = self.progress.look(&self.word, last);
        assert_eq!(look == Look::Complete, last != 0 && self.channel.borrow().is_complete(last));
        // The driver tells what a visit has found before the next can come.
        let untold = self.channel.borrow().ring().has_news();
        let before = (self.told.borrow().len(), self.engine.calls().len());
        let seen = self.report(0);
        if look == Look::Nothing && !untold {
            let after = (self.told.borrow().len(), self.engine.calls().len());
            assert_eq!(
                (seen, after),
                (netdma_core::channel::Observed::default(), before),
                "the lock was needed"
            );
        }
        seen
    }

    /// The same with an address from the provider, as a DPC does.
    pub fn report(&self, address: u64) -> netdma_core::channel::Observed {
        let (seen, batch) = self.with(|channel| {
            let seen = channel.observe(address);
            channel.go_on(&self.engine);
            (seen, channel.begin_delivery())
        });
        if let Some(batch) = batch {
            delivery::deliver(self, batch, |completed| {
                let mut told = self.told.borrow_mut();
                assert!(told.last().is_none_or(|last| last.cookie < completed.cookie), "told twice");
                told.push(completed);
            });
        }
        seen
    }

    /// What the engine makes of a control operation that the channel was claimed for.
    pub fn ask(&self, control: Control) -> ControlOutcome {
        let context = self.with(|channel| channel.context());
        let answered = match control {
            Control::Suspend => {
                return match self.engine.suspend(context) {
                    None => ControlOutcome::Absent,
                    Some(Ok(last)) => ControlOutcome::Done(last),
                    Some(Err(status)) => ControlOutcome::Failed(status),
                };
            }
            Control::Resume => self.engine.resume(context),
            Control::Abort(_) => self.engine.abort(context),
            Control::Reset(_) => self.engine.reset(context),
        };
        match answered {
            None => ControlOutcome::Absent,
            Some(STATUS_SUCCESS) => ControlOutcome::Done(None),
            Some(status) => ControlOutcome::Failed(status),
        }
    }

    /// Controls the channel as `netdma.sys` does: claim, call without the lock, end.
    pub fn control(&self, control: Control) -> Result<NtStatus, NtStatus> {
        self.with(|channel| channel.begin_control(control))?;
        let outcome = self.ask(control);
        Ok(self.with(|channel| channel.end_control(&self.engine, outcome)))
    }

    /// Cookies and statuses told so far.
    pub fn told(&self) -> Vec<(u64, NtStatus)> {
        self.told.borrow().iter().map(|completed| (completed.cookie, completed.status)).collect()
    }
}
