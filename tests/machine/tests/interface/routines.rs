//! What netdma.sys calls in these tests: a provider's entry points with a software engine behind them, a client's
//! callbacks, and the DriverEntry of the driver that owns the device objects. They note everything, and answer as the
//! test's [`Script`] says.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use netdma_abi::Version;
use netdma_abi::completion::{TransferStatus, address, word};
use netdma_abi::descriptor::{
    DESTINATION_DCA_ENABLE, DESTINATION_PAGE_BREAK, INTERRUPT_ON_COMPLETION, NULL_TRANSFER,
    OP_TYPE_CONTEXT_CHANGE, OP_TYPE_MASK, SOURCE_PAGE_BREAK, STATUS_UPDATE_ON_COMPLETION,
};
use nthost::Kernel;
use nthost::memory::dma::DmaDomain;

pub const PASSIVE: u8 = 0;
pub const DISPATCH: u8 = 2;
pub const SUCCESS: i32 = 0;
pub const PENDING: i32 = 0x103;

/// What the provider's context is; channel contexts follow it.
pub const PROVIDER_CONTEXT: u64 = 0x0C0D_E000;
/// The client's context of the first channel it asks for; the next asks count on.
pub const CHANNEL_CONTEXT: u64 = 0xC11E;
pub const PAGE: u64 = 4096;

/// One call of a provider entry point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    pub entry: &'static str,
    pub context: u64,
    /// First descriptor's bus address and their number, for start and append; else zero.
    pub address: u64,
    pub count: u32,
    /// The completion word when it was called.
    pub word: u64,
    pub irql: u8,
    pub cpu: u32,
}

/// A completion callback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    pub channel: u64,
    pub cookie: u64,
    pub user: u64,
    pub status: i32,
    pub irql: u8,
    pub cpu: u32,
}

/// What `AllocateDmaChannel` was asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Asked {
    pub revision: u16,
    pub size: u16,
    pub flags: u32,
    pub word_virtual: u64,
    pub word_physical: u64,
    pub mask: u32,
    pub priority: u32,
    pub mask_ex: (u64, u16),
    pub handle: u64,
}

/// A channel of the software engine.
#[derive(Debug, Default, Clone)]
pub struct Channel {
    pub asked: Asked,
    pub next: u64,
    pub last: u64,
    pub remaining: u64,
    pub started: bool,
    pub suspended: bool,
    pub interrupts: u64,
    /// Whose cache it would hint at: what the last change of context said.
    pub cache: Option<u8>,
    /// Where it would have hinted at: first destination byte and the processor's APIC id.
    pub hints: Vec<(u64, Option<u8>)>,
    /// The eight words of each descriptor run.
    pub ran: Vec<[u64; 8]>,
}

/// What the test wants of its provider.
#[derive(Debug, Clone)]
pub struct Script {
    /// Entry points that answer with these statuses first.
    pub fail: BTreeMap<&'static str, Vec<i32>>,
    /// The processor that allocations report.
    pub cpu: u32,
    /// Start and append run all there is before they return.
    pub synchronous: bool,
    /// Suspend stores a pointer to the address, as the header's type has it.
    pub pointer_form: bool,
    /// Entry points let other processors run, and demand that nobody else is inside for the channel meanwhile.
    pub crowded: bool,
    /// An export to call from within an entry point, with the channel's handle.
    pub reenter: Option<(&'static str, &'static str)>,
    /// Resume runs all there is before it returns.
    pub run_on_resume: bool,
    /// The client frees this channel when it hears of a removal.
    pub free_on_removal: Option<u64>,
    /// The client deregisters itself from within its next notice.
    pub deregister_in_notice: Option<u64>,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            fail: BTreeMap::new(),
            cpu: 1,
            synchronous: false,
            pointer_form: false,
            crowded: false,
            reenter: None,
            run_on_resume: false,
            free_on_removal: None,
            deregister_in_notice: None,
        }
    }
}

/// What the routines know and have seen; one machine a thread.
#[derive(Default)]
pub struct World {
    pub version: u32,
    pub script: Script,
    pub domain: Option<DmaDomain>,
    pub calls: Vec<Call>,
    /// First descriptors given: virtual and physical address.
    pub firsts: Vec<(u64, u64)>,
    /// Contexts that an entry point is inside for.
    pub inside: BTreeSet<u64>,
    pub channels: BTreeMap<u64, Channel>,
    pub affinities: Vec<(u32, u32)>,
    pub told: Vec<Told>,
    pub notices: Vec<(u64, u32, u32)>,
    pub driver: u64,
    pub exports: BTreeMap<String, u64>,
    /// Allocations asked for.
    pub allocations: u64,
    /// What a call from within a callback answered.
    pub answer: Option<i32>,
}

thread_local! {
    pub static WORLD: RefCell<World> = RefCell::default();
}

pub fn world<R>(act: impl FnOnce(&mut World) -> R) -> R {
    WORLD.with_borrow_mut(act)
}

fn kernel<R>(act: impl FnOnce(&Kernel) -> R) -> R {
    Kernel::with_current(act).expect("called by a machine")
}

/// Records the call and answers the scripted status.
fn called(entry: &'static str, context: u64, address: u64, count: u32) -> i32 {
    let (irql, cpu) = kernel(|k| (k.irql(), k.cpu_number()));
    if world(|w| w.script.crowded) {
        assert!(
            world(|w| w.inside.insert(context)),
            "{entry}: another entry point is inside for the channel"
        );
        for _ in 0..3 {
            kernel(|k| k.call_export("KeStallExecutionProcessor", &[1]));
        }
        world(|w| w.inside.remove(&context));
    }
    let at = world(|w| w.channels.get(&context).map_or(0, |channel| channel.asked.word_virtual));
    let word = if at == 0 { 0 } else { kernel(|k| k.read::<u64>(at)) };
    let (status, reenter) = world(|w| {
        w.calls.push(Call { entry, context, address, count, word, irql, cpu });
        let status = match w.script.fail.get_mut(entry) {
            Some(statuses) if !statuses.is_empty() => statuses.remove(0),
            _ => SUCCESS,
        };
        let handle = w.channels.get(&context).map_or(0, |channel| channel.asked.handle);
        (status, w.script.reenter.filter(|(from, _)| *from == entry).map(|(_, export)| (export, handle)))
    });
    if let Some((export, handle)) = reenter {
        world(|w| w.script.reenter = None);
        kernel(|k| call(k, export, &[handle, 0]));
    }
    status
}

/// Calls an export of netdma.sys in the current thread of the machine.
pub fn call(k: &Kernel, export: &str, arguments: &[u64]) -> u64 {
    let target = world(|w| w.exports.get(export).copied());
    k.call(export, target.unwrap_or_else(|| panic!("netdma.sys does not export {export}")), arguments)
}

pub extern "win64" fn set_affinity(context: u64, array: u64, bytes: u32) -> i32 {
    let pairs: Vec<(u32, u32)> = kernel(|k| {
        (0..u64::from(bytes) / 8).map(|n| (k.read(array + 8 * n), k.read(array + 8 * n + 4))).collect()
    });
    world(|w| w.affinities = pairs);
    called("set_affinity", context, 0, bytes)
}

pub extern "win64" fn allocate(context: u64, parameters: u64, handle: u64, out: u64) -> i32 {
    let status = called("allocate", context, 0, 0);
    if status < 0 {
        return status;
    }
    let asked = kernel(|k| Asked {
        revision: k.read(parameters),
        size: k.read(parameters + 2),
        flags: k.read(parameters + 4),
        word_virtual: k.read(parameters + 8),
        word_physical: k.read(parameters + 0x10),
        mask: k.read(parameters + 0x18),
        priority: k.read(parameters + 0x1C),
        mask_ex: (k.read(parameters + 0x28), k.read(parameters + 0x30)),
        handle,
    });
    let (channel, cpu) = world(|w| {
        let channel = (context + 1..).find(|free| !w.channels.contains_key(free)).expect("a number");
        w.channels.insert(channel, Channel { asked, ..Channel::default() });
        (channel, w.script.cpu)
    });
    kernel(|k| {
        k.write(parameters + 0x20, cpu);
        k.write(out, channel);
    });
    SUCCESS
}

pub extern "win64" fn free(channel: u64) {
    called("free", channel, 0, 0);
    world(|w| w.channels.remove(&channel)).expect("a channel is freed once");
}

pub extern "win64" fn start(channel: u64, descriptor: u64, address: u64, count: u32) -> i32 {
    world(|w| w.firsts.push((descriptor, address)));
    let status = called("start", channel, address, count);
    if status >= 0 {
        let synchronous = world(|w| {
            let state = w.channels.get_mut(&channel).expect("an allocated channel");
            (state.next, state.last, state.remaining) = (address, 0, count.into());
            (state.started, state.suspended) = (true, false);
            w.script.synchronous
        });
        if synchronous {
            kernel(|k| run_of(k, channel));
        }
    }
    status
}

pub extern "win64" fn append(channel: u64, first: u64, address: u64, count: u32) -> i32 {
    world(|w| w.firsts.push((first, address)));
    let status = called("append", channel, address, count);
    if status >= 0 {
        let (last, domain) = world(|w| (w.channels[&channel].last, w.domain.expect("a domain")));
        let link = if last == 0 { 0 } else { kernel(|k| descriptor(k, domain, last)[3]) };
        let synchronous = world(|w| {
            let state = w.channels.get_mut(&channel).expect("an allocated channel");
            assert!(state.started, "append without a start");
            state.remaining += u64::from(count);
            if state.next == 0 {
                state.next = link;
            }
            w.script.synchronous
        });
        if synchronous {
            kernel(|k| run_of(k, channel));
        }
    }
    status
}

pub extern "win64" fn suspend(channel: u64, slot: u64) -> i32 {
    let status = called("suspend", channel, 0, 0);
    if status < 0 {
        return status;
    }
    let (last, at, pointer) = world(|w| {
        let pointer = w.script.pointer_form;
        let state = w.channels.get_mut(&channel).expect("an allocated channel");
        state.suspended = true;
        (state.last, state.asked.word_virtual, pointer)
    });
    kernel(|k| {
        k.write(at, word(last, TransferStatus::Suspend));
        if pointer {
            let place = k.system_allocate(8, "last descriptor");
            k.write(place, last);
            k.write(slot, place);
        } else {
            k.write(slot, last);
        }
    });
    SUCCESS
}

pub extern "win64" fn resume(channel: u64) -> i32 {
    let status = called("resume", channel, 0, 0);
    if status >= 0 {
        let run = world(|w| {
            w.channels.get_mut(&channel).expect("an allocated channel").suspended = false;
            w.script.run_on_resume
        });
        if run {
            kernel(|k| run_of(k, channel));
        }
    }
    status
}

pub extern "win64" fn abort(channel: u64) -> i32 {
    let status = called("abort", channel, 0, 0);
    if status >= 0 {
        halt_of(channel);
    }
    status
}

pub extern "win64" fn reset(channel: u64) -> i32 {
    let status = called("reset", channel, 0, 0);
    if status >= 0 {
        halt_of(channel);
    }
    status
}

pub fn halt_of(channel: u64) {
    let (last, at) = world(|w| {
        let state = w.channels.get_mut(&channel).expect("an allocated channel");
        (state.next, state.remaining, state.started, state.suspended) = (0, 0, false, false);
        (state.last, state.asked.word_virtual)
    });
    kernel(|k| k.write(at, word(last, TransferStatus::Halted)));
}

pub extern "win64" fn completion(channel: u64, cookie: u64, user: u64, status: i32) {
    let (irql, cpu, locks) = kernel(|k| (k.irql(), k.cpu_number(), k.locks_held()));
    assert_eq!(locks, 0, "a client is called with no lock held");
    world(|w| w.told.push(Told { channel, cookie, user, status, irql, cpu }));
}

pub extern "win64" fn event(client: u64, code: u32, provider: u32) {
    let (irql, locks) = kernel(|k| (k.irql(), k.locks_held()));
    assert_eq!((irql, locks), (PASSIVE, 0), "notices come at PASSIVE_LEVEL, with no lock held");
    world(|w| w.notices.push((client, code, provider)));
    let (free, deregister) = world(|w| {
        let free = if code == 3 { w.script.free_on_removal.take() } else { None };
        (free, w.script.deregister_in_notice.take())
    });
    if let Some(channel) = free {
        kernel(|k| call(k, "NetDmaFreeChannel", &[channel]));
    }
    if let Some(client) = deregister {
        let answer = kernel(|k| call(k, "NetDmaDeregisterClient", &[client])) as i32;
        world(|w| w.answer = Some(answer));
    }
}

/// DriverEntry of the test's own driver: it only owns the device objects that stand for engines.
pub extern "win64" fn entry(driver: u64, _path: u64) -> i32 {
    world(|w| w.driver = driver);
    SUCCESS
}

pub fn descriptor(k: &Kernel, domain: DmaDomain, address: u64) -> [u64; 8] {
    let mut bytes = [0; 64];
    k.dma_read(domain, address, &mut bytes).expect("a descriptor lies in memory");
    let (words, _) = bytes.as_chunks::<8>();
    std::array::from_fn(|n| u64::from_le_bytes(words[n]))
}

/// The pieces of one side: up to the end of the first page, and from the second page on.
fn side(first: u64, second: u64, breaks: bool, size: u64) -> Vec<(u64, u64)> {
    let to_end = PAGE - first % PAGE;
    if breaks && size > to_end { vec![(first, to_end), (second, size - to_end)] } else { vec![(first, size)] }
}

/// Runs one descriptor; `false` if there is none, or the channel is not allocated.
pub fn step_of(k: &Kernel, channel: u64) -> bool {
    let counted = world(|w| w.version >= Version::V2_0.0);
    let Some((address, domain)) = world(|w| {
        let domain = w.domain.expect("a domain");
        let state = w.channels.get(&channel)?;
        let idle = !state.started || state.suspended || state.next == 0 || counted && state.remaining == 0;
        (!idle).then_some((state.next, domain))
    }) else {
        return false;
    };
    let words = descriptor(k, domain, address);
    let (size, flags) = (words[0] & 0xFFFF_FFFF, (words[0] >> 32) as u32);
    let context_change = flags & OP_TYPE_MASK == OP_TYPE_CONTEXT_CHANGE;
    if flags & NULL_TRANSFER == 0 && !context_change {
        let mut data = Vec::new();
        for (at, length) in side(words[1], words[4], flags & SOURCE_PAGE_BREAK != 0, size) {
            let mut part = vec![0; length as usize];
            k.dma_read(domain, at, &mut part).expect("the source is memory");
            data.extend(part);
        }
        let mut rest = &data[..];
        for (at, length) in side(words[2], words[5], flags & DESTINATION_PAGE_BREAK != 0, size) {
            let (part, after) = rest.split_at(length as usize);
            k.dma_write(domain, at, part).expect("the destination is memory");
            rest = after;
        }
    }
    let (more, at) = world(|w| {
        let state = w.channels.get_mut(&channel).expect("an allocated channel");
        state.ran.push(words);
        state.last = address;
        state.next = words[3];
        state.remaining = state.remaining.wrapping_sub(1);
        if context_change {
            state.cache = Some(size as u8);
        } else {
            state.interrupts += u64::from(flags & INTERRUPT_ON_COMPLETION);
            if flags & DESTINATION_DCA_ENABLE != 0 {
                state.hints.push((words[2], state.cache));
            }
        }
        (if counted { state.remaining != 0 } else { state.next != 0 }, state.asked.word_physical)
    });
    if flags & STATUS_UPDATE_ON_COMPLETION != 0 {
        let status = if more { TransferStatus::Active } else { TransferStatus::Idle };
        k.dma_store(domain, at, word(address, status)).expect("the completion word is memory");
    }
    true
}

/// What the provider's interrupt names: its handle and the last descriptor; `None` while nobody has the channel.
pub fn interrupt_of(channel: u64) -> Option<(u64, u64)> {
    world(|w| w.channels.get(&channel).map(|state| (state.asked.handle, address(state.last))))
}

pub fn run_of(k: &Kernel, channel: u64) -> usize {
    let mut count = 0;
    while step_of(k, channel) {
        count += 1;
    }
    count
}
