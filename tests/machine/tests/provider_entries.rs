//! ioatdma.sys called directly: the functions of netdma.sys that it imports are this program's, so that each entry point can
//! be called as the contract allows, and what the driver tells the interface is seen as it tells it.
#![forbid(unsafe_code)]

mod provider;

use std::cell::RefCell;

use ioat_model::Options;
use ioat_regs::State;
use machine::lab::{Failure, Lab, PACKAGES, Setup};
use netdma_abi::completion::{ARMED, TransferStatus, word};
use netdma_abi::descriptor::{
    DESTINATION_DCA_ENABLE, DESTINATION_NO_SNOOP, DESTINATION_PAGE_BREAK, INTERRUPT_ON_COMPLETION,
    NULL_TRANSFER, SERIALIZE_TRANSFER, SOURCE_NO_SNOOP, SOURCE_PAGE_BREAK, STATUS_UPDATE_ON_COMPLETION,
};
use nthost::memory::dma::Remapping;
use nthost::pnp::{DevnodeId, Sleep};
use nthost::{Kernel, Machine};
use proof::proves;
use provider::{nothing_left, setup, vetoed};

const SUCCESS: i32 = 0;
const UNSUCCESSFUL: i32 = 0xC000_0001_u32 as i32;
const INSUFFICIENT_RESOURCES: i32 = 0xC000_009A_u32 as i32;
const PASSIVE: u8 = 0;
const DISPATCH: u8 = 2;
const PAGE: u64 = 4096;
/// The handle that registration gives.
const PROVIDER: u64 = 0x1234_5678;
/// The handle that the channel is allocated with.
const CHANNEL: u64 = 0xC4A_77E1;

/// A call of NetDmaIsr or NetDmaInterruptDpc.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Told {
    channel: u64,
    last: u64,
    irql: u8,
    cpu: u32,
    /// What stood at the watched place when the call came.
    seen: u64,
}

/// What the driver has told the interface.
#[derive(Debug, Default, Clone)]
struct Desk {
    /// The table, as bytes; empty before the registration.
    table: Vec<u8>,
    context: u64,
    /// The handle that registration gives; zero means that there is no NetDMA.
    gives: u64,
    attributes: Vec<u8>,
    /// Provider handles and levels of starts, stops and the deregistration.
    calls: Vec<(&'static str, u64, u8)>,
    /// Code, revision, size, buffer, length, level.
    notices: Vec<(u32, u32, u32, u64, u32, u8)>,
    interrupts: Vec<Told>,
    reports: Vec<Told>,
    /// The processor that NetDmaIsr names.
    processor: u32,
    /// A place in memory to look at whenever the driver tells something.
    watched: u64,
    /// Allocate a channel from within NetDmaProviderStart; the status it gave.
    eager: Option<(u64, u64)>,
    eager_status: Option<i32>,
}

thread_local! {
    static DESK: RefCell<Desk> = RefCell::default();
}

fn desk<R>(act: impl FnOnce(&mut Desk) -> R) -> R {
    DESK.with_borrow_mut(act)
}

fn kernel<R>(act: impl FnOnce(&Kernel) -> R) -> R {
    Kernel::with_current(act).expect("called by a machine")
}

extern "win64" fn get_version() -> u32 {
    0x0002_0001
}

extern "win64" fn register(context: u64, handle: u64, table: u64) -> i32 {
    let bytes = kernel(|k| k.bytes(table, 0x70));
    let gives = desk(|d| {
        (d.table, d.context) = (bytes, context);
        d.calls.push(("register", 0, kernel(Kernel::irql)));
        d.gives
    });
    kernel(|k| k.write(handle, gives));
    SUCCESS
}

extern "win64" fn deregister(handle: u64) {
    desk(|d| d.calls.push(("deregister", handle, kernel(Kernel::irql))));
}

extern "win64" fn start(handle: u64, attributes: u64) {
    let bytes = kernel(|k| k.bytes(attributes, 0x20));
    let eager = desk(|d| {
        d.attributes = bytes;
        d.calls.push(("start", handle, kernel(Kernel::irql)));
        d.eager.map(|(parameters, out)| (d.entry(ALLOCATE), d.context, parameters, out))
    });
    if let Some((allocate, context, parameters, out)) = eager {
        let status =
            kernel(|k| k.call("AllocateDmaChannel", allocate, &[context, parameters, CHANNEL, out])) as i32;
        desk(|d| d.eager_status = Some(status));
    }
}

extern "win64" fn stop(handle: u64) {
    desk(|d| d.calls.push(("stop", handle, kernel(Kernel::irql))));
}

extern "win64" fn notify(handle: u64, notice: u64) {
    let notice = kernel(|k| {
        (
            k.read(notice + 8),
            k.read(notice),
            k.read(notice + 4),
            k.read(notice + 0x10),
            k.read(notice + 0x18),
            k.irql(),
        )
    });
    // The first engine's driver calls too.
    if handle == PROVIDER {
        desk(|d| d.notices.push(notice));
    }
}

fn told(channel: u64, last: u64) -> Told {
    let watched = desk(|d| d.watched);
    kernel(|k| Told {
        channel,
        last,
        irql: k.irql(),
        cpu: k.cpu_number(),
        seen: if watched == 0 { 0 } else { k.read(watched) },
    })
}

extern "win64" fn isr(channel: u64, last: u64, processor: u64) {
    let told = told(channel, last);
    let named = desk(|d| {
        d.interrupts.push(told);
        d.processor
    });
    kernel(|k| k.write(processor, named));
}

extern "win64" fn interrupt_dpc(channel: u64, last: u64) {
    let told = told(channel, last);
    desk(|d| d.reports.push(told));
}

/// The driver's imports and what stands in for them.
fn doubles() -> [(&'static str, u64); 8] {
    [
        ("NetDmaGetVersion", get_version as *const () as u64),
        ("NetDmaRegisterProvider", register as *const () as u64),
        ("NetDmaDeregisterProvider", deregister as *const () as u64),
        ("NetDmaProviderStart", start as *const () as u64),
        ("NetDmaProviderStop", stop as *const () as u64),
        ("NetDmaPnPEventNotify", notify as *const () as u64),
        ("NetDmaIsr", isr as *const () as u64),
        ("NetDmaInterruptDpc", interrupt_dpc as *const () as u64),
    ]
}

/// Places of the entry points in the table.
const AFFINITY: usize = 0x18;
const ALLOCATE: usize = 0x20;
const FREE: usize = 0x28;
const START: usize = 0x30;
const SUSPEND: usize = 0x38;
const RESUME: usize = 0x40;
const ABORT: usize = 0x48;
const APPEND: usize = 0x50;
const RESET: usize = 0x58;

impl Desk {
    fn number(&self, at: usize, length: usize) -> u64 {
        let bytes = &self.table[at..at + length];
        bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
    }

    fn entry(&self, at: usize) -> u64 {
        self.number(at, 8)
    }
}

/// A machine on which one engine's driver talks to this program.
struct Bench {
    lab: Lab,
    device: DevnodeId,
    /// The import slots that were changed, with what stood there.
    slots: Vec<(u64, u64)>,
    /// A page for parameters and answers, one for descriptors, and three for data, each with its bus address.
    pages: [(u64, u64); 5],
}

const ARGUMENTS: usize = 0;
const RING: usize = 1;
const SOURCE: usize = 2;
const SECOND: usize = 3;
const TARGET: usize = 4;
/// Where in the first page the completion word is.
const WORD: u64 = 0x400;

impl Bench {
    /// Installs the packages on an engine that is then removed, and plugs one in whose driver is bound to this program.
    fn new(
        device: u16,
        change: impl FnOnce(&mut Options),
        before: impl FnOnce(&mut Desk),
    ) -> Result<Self, Failure> {
        DESK.set(Desk { gives: PROVIDER, ..Desk::default() });
        desk(before);
        let machine = Machine::builder().cpus(2).seed(1).memory(128 << 20).host_code(true).build();
        let machine = machine.map_err(|error| Failure::Other(error.to_string()))?;
        let mut lab = Lab { machine, engines: Vec::new() };
        let first: Setup = setup(device, |_| {});
        lab.plug("first".into(), first.engines[0].clone())?;
        lab.add_client_device()?;
        for package in PACKAGES {
            lab.install(package)?;
        }
        let slots = lab.run(|k| {
            let images = k.images();
            let find = |name: &str| {
                images.iter().find(|image| image.name.to_lowercase().ends_with(name)).expect("loaded")
            };
            let (driver, interface) = (find("ioatdma.sys"), find("netdma.sys"));
            let bytes = k.bytes(driver.base, driver.size as usize);
            let mut slots = Vec::new();
            for (name, double) in doubles() {
                let real = interface.exports[name];
                let (words, _) = bytes.as_chunks::<8>();
                let at = words.iter().position(|word| u64::from_le_bytes(*word) == real).expect("an import");
                slots.push((driver.base + 8 * at as u64, real));
                store(k, driver.base + 8 * at as u64, double);
            }
            slots
        })?;
        let second = setup(device, change).engines[0].clone();
        let device = lab.plug("second".into(), Options { function: 1, ..second })?;
        let pages = lab.run(|k| {
            [(); 5].map(|()| {
                let at = k.system_allocate(PAGE, "the test's page");
                (at, k.physical(at).expect("memory"))
            })
        })?;
        Ok(Self { lab, device, slots, pages })
    }

    /// Calls an entry point at `irql`.
    fn call_at(&mut self, irql: u8, entry: usize, arguments: &[u64]) -> Result<i32, Failure> {
        let target = desk(|d| d.entry(entry));
        self.lab.run(|k| {
            let old = k.raise_irql(irql);
            let answer = k.call("a provider entry point", target, arguments);
            k.lower_irql(old);
            answer as i32
        })
    }

    fn call(&mut self, entry: usize, arguments: &[u64]) -> Result<i32, Failure> {
        self.call_at(PASSIVE, entry, arguments)
    }

    /// Writes channel parameters: mask, and for revision 2 group and mask of processors.
    fn parameters(&mut self, mask: u32, extended: Option<(u16, u64)>, priority: u32) -> Result<u64, Failure> {
        let (at, bus) = self.pages[ARGUMENTS];
        self.lab.run(|k| {
            k.write_bytes(at, &[0; 0x38]);
            k.write(at, if extended.is_some() { 2_u16 } else { 1 });
            k.write(at + 2, if extended.is_some() { 0x38_u16 } else { 0x28 });
            k.write(at + 8, at + WORD);
            k.write(at + 0x10, bus + WORD);
            k.write(at + 0x18, mask);
            k.write(at + 0x1C, priority);
            k.write(at + 0x20, u32::MAX);
            let (group, mask) = extended.unwrap_or((0, 0));
            k.write(at + 0x28, mask);
            k.write(at + 0x30, group);
            k.write(at + WORD, ARMED);
            at
        })
    }

    /// Allocates a channel; gives its context and the processor it reports on.
    fn allocate(&mut self) -> Result<(u64, u32), Failure> {
        let at = self.parameters(0, None, 0)?;
        let (status, context, processor) = self.allocate_with(PASSIVE, at)?;
        assert_eq!(status, SUCCESS);
        Ok((context, processor))
    }

    fn allocate_with(&mut self, irql: u8, parameters: u64) -> Result<(i32, u64, u32), Failure> {
        let out = self.pages[ARGUMENTS].0 + 0x200;
        self.lab.run(|k| k.write(out, 0_u64))?;
        let context = desk(|d| d.context);
        let status = self.call_at(irql, ALLOCATE, &[context, parameters, CHANNEL, out])?;
        self.lab.run(|k| (status, k.read(out), k.read(parameters + 0x20)))
    }

    /// Writes descriptor `slot`; its next pointer names slot `slot + 1`.
    fn descriptor(
        &mut self,
        slot: u64,
        length: u32,
        flags: u32,
        addresses: [u64; 4],
    ) -> Result<u64, Failure> {
        let (at, bus) = self.pages[RING];
        let [source, target, second_source, second_target] = addresses;
        self.lab.run(|k| {
            let at = at + slot * 64;
            k.write(at, length);
            k.write(at + 4, flags);
            k.write(at + 8, source);
            k.write(at + 0x10, target);
            k.write(at + 0x18, bus + (slot + 1) * 64);
            k.write(at + 0x20, second_source);
            k.write(at + 0x28, second_target);
            k.write(at + 0x30, 0x5AFE_0001_u64);
            k.write(at + 0x38, 0x5AFE_0002_u64);
        })?;
        Ok(bus + slot * 64)
    }

    /// Starts (or appends) `count` descriptors from `slot`.
    fn post(&mut self, entry: usize, channel: u64, slot: u64, count: u64) -> Result<i32, Failure> {
        let (at, bus) = self.pages[RING];
        if entry == START {
            self.set_word(ARMED)?;
        }
        self.call_at(DISPATCH, entry, &[channel, at + slot * 64, bus + slot * 64, count])
    }

    fn set_word(&mut self, value: u64) -> Result<(), Failure> {
        let at = self.pages[ARGUMENTS].0 + WORD;
        self.lab.run(|k| k.write(at, value))
    }

    fn word(&mut self) -> Result<u64, Failure> {
        let at = self.pages[ARGUMENTS].0 + WORD;
        self.lab.run(|k| k.read(at))
    }

    fn settle(&mut self) -> Result<(), Failure> {
        Ok(self.lab.machine.until_idle()?)
    }

    fn fill(&mut self, page: usize, seed: u8) -> Result<Vec<u8>, Failure> {
        let bytes: Vec<u8> = (0..PAGE).map(|n| (n as u8).wrapping_mul(31).wrapping_add(seed)).collect();
        let at = self.pages[page].0;
        self.lab.run(|k| k.write_bytes(at, &bytes))?;
        Ok(bytes)
    }

    fn contents(&mut self, page: usize) -> Result<Vec<u8>, Failure> {
        let at = self.pages[page].0;
        self.lab.run(|k| k.bytes(at, PAGE as usize))
    }

    fn state(&self) -> Option<State> {
        self.lab.engines[1].with(|engine| engine.channel_state(0)).and_then(|(status, _)| status.state())
    }

    /// Removes the engine, gives the imports back, and demands that nothing is left.
    fn end(mut self) -> Result<(), Failure> {
        let device = self.device;
        vetoed(self.lab.run(|k| k.remove_device(device))?)?;
        let (slots, pages) = (self.slots, self.pages);
        self.lab.run(|k| {
            slots.iter().for_each(|(at, real)| store(k, *at, *real));
            pages.iter().for_each(|(at, _)| k.system_free(*at));
        })?;
        nothing_left(self.lab)
    }
}

/// Writes eight bytes of memory that the processor may only read, as a device would.
fn store(k: &Kernel, at: u64, value: u64) {
    const NOBODY: u64 = 1;
    let domain = k.dma_register(NOBODY, Remapping::OptedOut);
    k.dma_write(domain, k.physical(at).expect("memory"), &value.to_le_bytes()).expect("memory answers");
    k.dma_forget(NOBODY);
}

fn bench(device: u16) -> Result<Bench, Failure> {
    Bench::new(device, |_| {}, |_| {})
}

const BOTH: u32 = INTERRUPT_ON_COMPLETION | STATUS_UPDATE_ON_COMPLETION;

#[test]
fn the_table_and_the_attributes_say_what_the_driver_is() -> Result<(), Failure> {
    let mut bench = bench(0x6F20)?;
    let said = desk(|d| d.clone());
    proves!(image: R25; assert_eq!(said.number(2, 2), 0x70));
    let pdo = said.number(8, 8);
    let is_pdo = bench.lab.run(|k| k.dma_domain(pdo).is_some())?;
    proves!(image: R24; assert!(is_pdo, "the device object that the bus made"));
    let entries = [ALLOCATE, FREE, START, APPEND, SUSPEND, RESUME, ABORT, RESET, AFFINITY];
    let inside = bench.lab.run(|k| {
        let images = k.images();
        let image =
            images.iter().find(|image| image.name.to_lowercase().ends_with("ioatdma.sys")).expect("loaded");
        entries.iter().all(|entry| image.is_code(said.entry(*entry)))
    })?;
    proves!(image: R27, R28, R30; assert!(inside, "every entry point is there, in the driver's code"));

    let attributes = said.attributes;
    proves!(image: R59; assert_eq!((attributes[2], attributes[3], &attributes[4..8]), (0x20, 0, &[0; 4][..])));
    proves!(image: R267; assert!(said.calls.iter().all(|(_, _, irql)| *irql == PASSIVE), "{:?}", said.calls));
    bench.end()?;
    let calls = desk(|d| d.calls.clone());
    let names: Vec<_> = calls.iter().map(|(name, _, _)| *name).collect();
    assert_eq!(names, ["register", "start", "stop", "deregister"]);
    proves!(image: R269, R267; assert!(calls[1..].iter().all(|(_, handle, irql)| (*handle, *irql) == (PROVIDER, PASSIVE))));
    Ok(())
}

#[test]
fn without_netdma_the_engine_is_a_plain_device() -> Result<(), Failure> {
    let mut bench = Bench::new(0x6F20, |_| {}, |desk| desk.gives = 0)?;
    let device = bench.device;
    let report = bench.lab.run(|k| k.device(device))?.expect("the device");
    proves!(image: R40; assert_eq!((report.problem, report.state), (None, nthost::pnp::State::Started)));
    bench.end()?;
    let names: Vec<_> = desk(|d| d.calls.iter().map(|(name, _, _)| *name).collect());
    proves!(image: R40; assert_eq!(names, ["register"], "no call with a handle that was not given"));
    Ok(())
}

#[test]
fn channels_can_be_taken_before_the_start_has_returned() -> Result<(), Failure> {
    // The parameters lie in memory that the bench makes before it plugs in: learn the addresses first.
    let mut bench = bench(0x6F20)?;
    let parameters = bench.parameters(0, None, 0)?;
    let device = bench.device;
    desk(|d| d.eager = Some((parameters, parameters + 0x200)));
    vetoed(bench.lab.run(|k| k.rebalance(device))?)?;
    proves!(image: R58; assert_eq!(desk(|d| d.eager_status), Some(SUCCESS)));
    let context: u64 = bench.lab.run(|k| k.read(parameters + 0x200))?;
    bench.call(FREE, &[context])?;
    bench.end()
}

#[test]
fn an_allocation_answers_context_and_processor_or_changes_nothing() -> Result<(), Failure> {
    let mut bench = bench(0x6F20)?;
    // At DISPATCH_LEVEL, where the machine stops a driver that waits or touches paged memory.
    let at = bench.parameters(0b10, None, u32::MAX)?;
    let (status, context, processor) = bench.allocate_with(DISPATCH, at)?;
    proves!(image: R91, R93, R95, R101, R274; assert_eq!((status, context != 0, processor), (SUCCESS, true, 1)));

    // The only channel is taken: nothing is answered, and the channel that was given still works.
    let at = bench.parameters(0, None, 0)?;
    let (status, nothing, untouched) = bench.allocate_with(PASSIVE, at)?;
    proves!(image: R98, R100, R274; assert_eq!((status, nothing, untouched), (INSUFFICIENT_RESOURCES, 0, u32::MAX)));
    // Size 8: hardware 3.0 takes no null of size zero (H15).
    bench.descriptor(0, 8, NULL_TRANSFER | BOTH, [0; 4])?;
    desk(|d| d.processor = 1);
    assert_eq!(bench.post(START, context, 0, 1)?, SUCCESS);
    bench.settle()?;
    let reports = desk(|d| d.reports.clone());
    proves!(image: R92, R202, R268;
        assert!(!reports.is_empty() && reports.iter().all(|told| (told.channel, told.cpu) == (CHANNEL, 1)), "{reports:?}"));
    bench.call(FREE, &[context])?;

    for (mask, extended, expected) in [
        (0, None, Some(0)),
        (0, Some((0, 0)), Some(0)),
        (0b01, Some((0, 0b10)), Some(1)),
        (1 << 9, None, None),
        (0, Some((3, 1)), None),
    ] {
        let at = bench.parameters(mask, extended, 0)?;
        let (status, context, processor) = bench.allocate_with(PASSIVE, at)?;
        match expected {
            Some(expected) => {
                proves!(image: R102, R103, R105; assert_eq!((status, processor), (SUCCESS, expected), "{mask:#x} {extended:?}"));
                bench.call(FREE, &[context])?;
            }
            None => {
                proves!(image: R274; assert_eq!(status, UNSUCCESSFUL, "no such processor: {mask:#x} {extended:?}"))
            }
        }
    }
    bench.end()
}

#[test]
fn every_combination_of_word_and_interrupt_does_what_it_says() -> Result<(), Failure> {
    for device in [0x402F, 0x6F20, 0x0B00] {
        let mut bench = bench(device)?;
        let (channel, _) = bench.allocate()?;
        let target = bench.pages[TARGET].1;
        let source = bench.pages[SOURCE].1;
        for flags in [0, INTERRUPT_ON_COMPLETION, STATUS_UPDATE_ON_COMPLETION, BOTH] {
            let original = bench.fill(SOURCE, flags as u8)?;
            bench.fill(TARGET, 0xEE)?;
            let (watched, last) = (bench.pages[TARGET].0 + 992, 992..1000);
            desk(|d| {
                d.interrupts.clear();
                d.reports.clear();
                d.watched = watched;
            });
            let address = bench.descriptor(0, 1000, flags, [source, target, 0, 0])?;
            assert_eq!(bench.post(START, channel, 0, 1)?, SUCCESS);
            bench.settle()?;
            assert_eq!(bench.contents(TARGET)?[..1000], original[..1000], "{device:04x} {flags:#x}");
            let (word_now, said) = (bench.word()?, desk(|d| d.clone()));
            let expected = if flags & STATUS_UPDATE_ON_COMPLETION != 0 {
                word(address, TransferStatus::Idle)
            } else {
                ARMED
            };
            proves!(image: R142, R143, R157, R162; assert_eq!(word_now, expected, "{device:04x} {flags:#x}"));
            let interrupts = usize::from(flags & INTERRUPT_ON_COMPLETION != 0);
            proves!(image: R155, R157, R200, R210; assert_eq!(said.interrupts.len(), interrupts, "{device:04x} {flags:#x}"));
            let written = u64::from_le_bytes(original[last].try_into().expect("eight bytes"));
            proves!(image: R154; assert!(said.interrupts.iter().all(|told| told.seen == written), "data first: {said:?}"));
            proves!(image: R268; assert!(said.interrupts.iter().all(|told| told.channel == CHANNEL)));
            let reported: Vec<_> = said.reports.iter().map(|told| (told.last, told.irql)).collect();
            let all = if interrupts == 1 { vec![(address, DISPATCH)] } else { vec![] };
            proves!(image: R203, R278; assert_eq!(reported, all, "{device:04x} {flags:#x}: without a word CHANSTS tells"));
        }
        desk(|d| d.watched = 0);
        bench.call(FREE, &[channel])?;
        bench.end()?;
    }
    Ok(())
}

#[test]
fn page_breaks_fences_nulls_and_hints() -> Result<(), Failure> {
    let mut bench = bench(0x6F20)?;
    let (channel, _) = bench.allocate()?;
    let [_, _, (_, source), (_, second), (_, target)] = bench.pages;
    let from = bench.fill(SOURCE, 1)?;
    let next = bench.fill(SECOND, 2)?;
    let post =
        |bench: &mut Bench, length: u32, flags: u32, addresses: [u64; 4]| -> Result<Vec<u8>, Failure> {
            bench.fill(TARGET, 0xEE)?;
            let address = bench.descriptor(0, length, flags | STATUS_UPDATE_ON_COMPLETION, addresses)?;
            assert_eq!(bench.post(START, channel, 0, 1)?, SUCCESS);
            bench.settle()?;
            assert_eq!(bench.word()?, word(address, TransferStatus::Idle), "{flags:#x}");
            let ring = bench.pages[RING].0;
            let users: [u64; 2] = bench.lab.run(|k| [k.read(ring + 0x30), k.read(ring + 0x38)])?;
            proves!(image: R252; assert_eq!(users, [0x5AFE_0001, 0x5AFE_0002]));
            bench.contents(TARGET)
        };
    // 96 bytes to the end of the first source page, the rest from the second.
    let joined: Vec<u8> = from[4000..].iter().chain(&next[..400]).copied().collect();
    let there = post(&mut bench, 496, SOURCE_PAGE_BREAK, [source + 4000, target, second, 0])?;
    proves!(image: R229; assert_eq!(there[..496], joined[..]));
    // The source is one piece, the target is broken: its second part goes to the beginning of the same page.
    let there = post(&mut bench, 496, DESTINATION_PAGE_BREAK, [source, target + 3996, 0, target])?;
    proves!(image: R230; assert_eq!((&there[3996..], &there[..396]), (&from[..100], &from[100..496])));
    let both = SOURCE_PAGE_BREAK | DESTINATION_PAGE_BREAK;
    let there = post(&mut bench, 496, both, [source + 4000, target + 3996, second, target])?;
    proves!(image: R231; assert_eq!((&there[3996..], &there[..396]), (&joined[..100], &joined[100..])));
    let there = post(&mut bench, 96, both, [source, target, second, second])?;
    proves!(image: R237; assert_eq!(there[..96], from[..96], "a break that is never reached"));
    let there = post(&mut bench, 300, DESTINATION_DCA_ENABLE, [source, target, 0, 0])?;
    proves!(image: R245; assert_eq!(there[..300], from[..300]));
    let there = post(&mut bench, 300, SOURCE_NO_SNOOP | DESTINATION_NO_SNOOP, [source, target, 0, 0])?;
    proves!(image: R163, R279; assert_eq!(there[..300], from[..300]));

    // A fence: the second copy reads what the first one wrote. And a null behind both, whose interrupt says all is done.
    bench.fill(TARGET, 0xEE)?;
    bench.descriptor(10, 64, SERIALIZE_TRANSFER, [source, target, 0, 0])?;
    bench.descriptor(11, 64, 0, [target, target + 1000, 0, 0])?;
    let last = bench.descriptor(12, 8, NULL_TRANSFER | BOTH, [0; 4])?;
    desk(|d| d.reports.clear());
    assert_eq!(bench.post(START, channel, 10, 3)?, SUCCESS);
    bench.settle()?;
    let there = bench.contents(TARGET)?;
    proves!(image: R153, R158; assert_eq!((&there[..64], &there[1000..1064]), (&from[..64], &from[..64])));
    let reports: Vec<u64> = desk(|d| d.reports.iter().map(|told| told.last).collect());
    proves!(image: R166, R167, R168, R169; assert_eq!(reports, [last]));
    bench.call(FREE, &[channel])?;
    bench.end()
}

#[test]
fn the_count_ends_a_list_although_it_is_linked_on_and_an_append_goes_on() -> Result<(), Failure> {
    let mut bench = Bench::new(0x6F20, |options| options.timing.per_descriptor = 100_000, |_| {})?;
    let (channel, _) = bench.allocate()?;
    let (source, target) = (bench.pages[SOURCE].1, bench.pages[TARGET].1);
    for slot in 0..20 {
        bench.descriptor(slot, 16, STATUS_UPDATE_ON_COMPLETION, [source, target + 64 * slot, 0, 0])?;
    }
    let ring = bench.pages[RING].1;
    assert_eq!(bench.post(START, channel, 0, 5)?, SUCCESS);
    bench.lab.machine.advance(250_000)?;
    let during = bench.word()?;
    proves!(image: R145, R149, R152; assert_eq!(during & 7, TransferStatus::Active as u64, "{during:#x}: more remain"));
    bench.settle()?;
    proves!(image: R118, R119, R271, R272; assert_eq!(bench.word()?, word(ring + 4 * 64, TransferStatus::Idle)));
    // Two appends, the second while the first one runs.
    assert_eq!(bench.post(APPEND, channel, 5, 5)?, SUCCESS);
    bench.lab.machine.advance(150_000)?;
    assert_eq!(bench.post(APPEND, channel, 10, 3)?, SUCCESS);
    bench.settle()?;
    proves!(image: R131, R132, R136, R140, R141; assert_eq!(bench.word()?, word(ring + 12 * 64, TransferStatus::Idle)));
    bench.call(FREE, &[channel])?;
    bench.end()
}

#[test]
fn a_busy_start_finishes_the_descriptor_under_way_and_takes_the_new_list() -> Result<(), Failure> {
    for device in [0x402F, 0x6F20, 0x0B00] {
        let mut bench = Bench::new(device, |options| options.timing.per_descriptor = 10_000, |_| {})?;
        let (channel, _) = bench.allocate()?;
        bench.fill(SOURCE, 7)?;
        bench.fill(TARGET, 0)?;
        let (source, target) = (bench.pages[SOURCE].1, bench.pages[TARGET].1);
        for slot in 0..40 {
            bench.descriptor(slot, 8, STATUS_UPDATE_ON_COMPLETION, [source, target + 8 * slot, 0, 0])?;
        }
        let before = bench.contents(TARGET)?;
        assert_eq!(bench.post(START, channel, 0, 30)?, SUCCESS);
        bench.lab.machine.advance(55_000)?;
        assert_eq!(bench.state(), Some(State::Active), "{device:04x}");
        let status = bench.post(START, channel, 36, 2)?;
        bench.settle()?;
        let after = bench.contents(TARGET)?;
        let done: Vec<u64> = (0..40)
            .filter(|slot| after[8 * slot..8 * slot + 8] != before[8 * slot..8 * slot + 8])
            .map(|slot| slot as u64)
            .collect();
        let first: Vec<u64> = done.iter().copied().filter(|slot| *slot < 30).collect();
        proves!(image: R112, R113, R114, R115, R125;
            assert_eq!(status, SUCCESS);
            assert!(first.len() < 29 && first == (0..first.len() as u64).collect::<Vec<_>>(), "{device:04x}: {done:?}");
            assert_eq!(done[first.len()..], [36, 37], "{device:04x}"));
        let ring = bench.pages[RING].1;
        assert_eq!(bench.word()?, word(ring + 37 * 64, TransferStatus::Idle), "{device:04x}");
        bench.call(FREE, &[channel])?;
        bench.end()?;
    }
    Ok(())
}

#[test]
fn control_commands_answer_success_or_unsuccessful_and_name_the_last_descriptor() -> Result<(), Failure> {
    let mut bench = Bench::new(0x6F20, |options| options.timing.per_descriptor = 10_000, |_| {})?;
    let (channel, _) = bench.allocate()?;
    let (source, target) = (bench.pages[SOURCE].1, bench.pages[TARGET].1);
    for slot in 0..40 {
        bench.descriptor(slot, 8, 0, [source, target, 0, 0])?;
    }
    let place = bench.pages[ARGUMENTS].0 + 0x300;
    let unstarted = [
        bench.call(SUSPEND, &[channel, place])?,
        bench.call(RESUME, &[channel])?,
        bench.call(ABORT, &[channel])?,
    ];
    proves!(image: R183, R275; assert_eq!(unstarted, [UNSUCCESSFUL; 3]));
    assert_eq!(bench.post(APPEND, channel, 0, 1)?, UNSUCCESSFUL, "nothing was started");
    assert_eq!(bench.call(RESET, &[channel])?, SUCCESS);

    for irql in [PASSIVE, DISPATCH] {
        assert_eq!(bench.post(START, channel, 0, 40)?, SUCCESS);
        bench.lab.machine.advance(55_000)?;
        let status = bench.call_at(irql, SUSPEND, &[channel, place])?;
        let named: u64 = bench.lab.run(|k| k.read(place))?;
        proves!(image: R173, R175, R275; assert_eq!((status, named & 0x3F), (SUCCESS, 0)));
        let at = bench.pages[RING].1;
        assert!((at..at + 40 * 64).contains(&named), "{named:#x}");
        proves!(image: R148, R176; assert_eq!(bench.word()?, word(named, TransferStatus::Suspend)));
        proves!(image: R178, R180; assert_eq!(bench.call_at(irql, RESUME, &[channel])?, SUCCESS));
        bench.lab.machine.advance(35_000)?;
        proves!(image: R187, R196, R275;
            assert_eq!(bench.call_at(irql, ABORT, &[channel])?, SUCCESS);
            assert_eq!(bench.word()? & 7, TransferStatus::Halted as u64));
        proves!(image: R188; assert_eq!(bench.post(START, channel, 0, 2)?, SUCCESS));
        bench.settle()?;
        proves!(image: R190, R192, R275; assert_eq!(bench.call_at(irql, RESET, &[channel])?, SUCCESS));
    }
    bench.call(FREE, &[channel])?;
    bench.end()
}

#[test]
fn after_a_free_the_handle_is_never_used_again() -> Result<(), Failure> {
    let mut bench = Bench::new(0x6F20, |options| options.timing.interrupt_lag = 2_000, |_| {})?;
    let (source, target) = (bench.pages[SOURCE].1, bench.pages[TARGET].1);
    let mut late = 0;
    for round in 0..60_u64 {
        let (channel, _) = bench.allocate()?;
        for slot in 0..8 {
            bench.descriptor(slot, 64, BOTH, [source, target, 0, 0])?;
        }
        assert_eq!(bench.post(START, channel, 0, 8)?, SUCCESS);
        // Service routine and DPC are under way, or about to be.
        bench.lab.machine.advance(round * 150)?;
        bench.call(FREE, &[channel])?;
        let told = desk(|d| (d.interrupts.len(), d.reports.len()));
        late += usize::from(bench.state() != Some(State::Halted));
        bench.settle()?;
        proves!(image: R109, R110; assert_eq!(desk(|d| (d.interrupts.len(), d.reports.len())), told, "round {round}"));
        // Whatever it was doing is over before the channel is given again.
        let (channel, _) = bench.allocate()?;
        bench.call(FREE, &[channel])?;
    }
    assert!(late > 0 && desk(|d| d.reports.len()) > 0, "some frees came in the middle");
    bench.end()
}

#[test]
fn power_notices_have_the_form_that_is_documented() -> Result<(), Failure> {
    let mut bench = bench(0x6F20)?;
    vetoed(bench.lab.run(|k| k.sleep(Sleep::Standby))?)?;
    bench.lab.run(|k| k.wake_up())?;
    let notices = desk(|d| d.notices.clone());
    let codes: Vec<u32> = notices.iter().map(|notice| notice.0).collect();
    proves!(image: R213, R214; assert_eq!(codes, [5, 6]));
    proves!(image: R215, R216, R217; assert!(notices.iter().all(|notice| (notice.1, notice.2, notice.3, notice.4, notice.5) == (1, 0x20, 0, 0, PASSIVE)), "{notices:?}"));
    bench.end()
}
