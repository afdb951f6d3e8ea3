//! ioatdma.sys with this program in the place of netdma.sys.

use std::cell::RefCell;

use ioat_model::Options;
use ioat_regs::State;
use machine::lab::{Failure, Lab, Setup};
use netdma_abi::completion::ARMED;
use netdma_abi::descriptor::{INTERRUPT_ON_COMPLETION, STATUS_UPDATE_ON_COMPLETION};
use nthost::memory::dma::Remapping;
use nthost::pci::Traffic;
use nthost::pnp::DevnodeId;
use nthost::{AddedPages, Kernel, Machine};

use crate::provider::{VERSIONS, install_with, nothing_left, setup, vetoed};

pub const SUCCESS: i32 = 0;
pub const UNSUCCESSFUL: i32 = 0xC000_0001_u32 as i32;
pub const INSUFFICIENT_RESOURCES: i32 = 0xC000_009A_u32 as i32;
pub const PASSIVE: u8 = 0;
pub const DISPATCH: u8 = 2;
pub const PAGE: u64 = 4096;
/// The handle that registration gives.
pub const PROVIDER: u64 = 0x1234_5678;
/// The handle that the channel is allocated with.
pub const CHANNEL: u64 = 0xC4A_77E1;

/// A call of NetDmaIsr or NetDmaInterruptDpc.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    pub channel: u64,
    pub last: u64,
    pub irql: u8,
    pub cpu: u32,
    /// What stood at the watched place when the call came.
    pub seen: u64,
}

/// What the driver has told the interface.
#[derive(Debug, Default, Clone)]
pub struct Desk {
    /// The table, as bytes; empty before the registration.
    pub table: Vec<u8>,
    pub context: u64,
    /// The handle that registration gives; zero means that there is no NetDMA.
    pub gives: u64,
    pub attributes: Vec<u8>,
    /// Provider handles and levels of starts, stops and the deregistration.
    pub calls: Vec<(&'static str, u64, u8)>,
    /// Code, revision, size, buffer, length, level.
    pub notices: Vec<(u32, u32, u32, u64, u32, u8)>,
    pub interrupts: Vec<Told>,
    pub reports: Vec<Told>,
    /// The processor that NetDmaIsr names.
    pub processor: u32,
    /// A place in memory to look at whenever the driver tells something.
    pub watched: u64,
    /// Channel and processor that registration asks for.
    pub affinity: Option<(u32, u32)>,
    /// NetDmaProviderStop waits until the completion word is no longer the same, or a second is over; what it then was.
    pub patient_stop: Option<u64>,
    /// NetDmaInterruptDpc takes its time, in microseconds, before it notes what it was told.
    pub lingers: u64,
    /// How often the driver had told something when a free returned: interrupts and reports.
    pub freed: Option<(usize, usize)>,
    /// The next NetDmaIsr is where the system stops: what each engine's routine then answered.
    pub crash: Option<Vec<AddedPages>>,
    /// Entry points to call from within the next NetDmaInterruptDpc, with the channel first; and their answers.
    pub inside: Vec<(usize, [u64; 4])>,
    pub answers: Vec<i32>,
    /// Allocate a channel from within NetDmaProviderStart; the status it gave.
    pub eager: Option<(u64, u64)>,
    pub eager_status: Option<i32>,
}

thread_local! {
    static DESK: RefCell<Desk> = RefCell::default();
}

pub fn desk<R>(act: impl FnOnce(&mut Desk) -> R) -> R {
    DESK.with_borrow_mut(act)
}

pub fn kernel<R>(act: impl FnOnce(&Kernel) -> R) -> R {
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
    if let Some((channel, processor)) = desk(|d| d.affinity) {
        let entry = desk(|d| d.entry(AFFINITY));
        kernel(|k| {
            let at = k.system_allocate(8, "DMA_CHANNEL_CPU_AFFINITY");
            k.write(at, [channel, processor]);
            assert_eq!(k.call("SetDmaChannelCpuAffinity", entry, &[context, at, 8]) as i32, SUCCESS);
            k.system_free(at);
        });
    }
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
    if let Some(at) = desk(|d| d.patient_stop) {
        kernel(|k| {
            let interval = k.system_allocate(8, "interval");
            k.write(interval, -10_000_i64);
            for _ in 0..1_000 {
                if k.read::<u64>(at) & 7 == 1 {
                    break;
                }
                k.call_export("KeDelayExecutionThread", &[0, 0, interval]);
            }
            k.system_free(interval);
            desk(|d| d.patient_stop = Some(k.read(at)));
        });
    }
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

pub fn told(channel: u64, last: u64) -> Told {
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
    if desk(|d| d.crash.as_ref().is_some_and(Vec::is_empty)) {
        let answers = kernel(Kernel::prepare_dump);
        desk(|d| d.crash = Some(answers));
    }
    let named = desk(|d| {
        d.interrupts.push(told);
        d.processor
    });
    kernel(|k| k.write(processor, named));
}

extern "win64" fn interrupt_dpc(channel: u64, last: u64) {
    for _ in 0..desk(|d| d.lingers) {
        kernel(|k| k.call_export("KeStallExecutionProcessor", &[1]));
    }
    assert_eq!(kernel(Kernel::locks_held), 0, "the interface is told with no lock held (D11)");
    let told = told(channel, last);
    let inside = desk(|d| {
        d.reports.push(told);
        std::mem::take(&mut d.inside)
    });
    for (entry, arguments) in inside {
        let target = desk(|d| d.entry(entry));
        let answer = kernel(|k| k.call("from within NetDmaInterruptDpc", target, &arguments)) as i32;
        desk(|d| d.answers.push(answer));
    }
}

/// The driver's imports and what stands in for them.
pub fn doubles() -> [(&'static str, u64); 8] {
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
pub const AFFINITY: usize = 0x18;
pub const ALLOCATE: usize = 0x20;
pub const FREE: usize = 0x28;
pub const START: usize = 0x30;
pub const SUSPEND: usize = 0x38;
pub const RESUME: usize = 0x40;
pub const ABORT: usize = 0x48;
pub const APPEND: usize = 0x50;
pub const RESET: usize = 0x58;

impl Desk {
    pub fn number(&self, at: usize, length: usize) -> u64 {
        let bytes = &self.table[at..at + length];
        bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
    }

    pub fn entry(&self, at: usize) -> u64 {
        self.number(at, 8)
    }
}

/// What the function interrupts with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interrupts {
    /// MSI-X, or MSI where there is no MSI-X.
    Messages,
    /// The line.
    Line,
    /// Nothing: completions are looked for.
    None,
}

/// One cell of the matrix: an engine and its interrupts. Each engine has one dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    /// PCI device id.
    pub device: u16,
    /// What it interrupts with.
    pub interrupts: Interrupts,
}

impl std::fmt::Display for Cell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:04x} {:?}", self.device, self.interrupts)
    }
}

/// One engine of each version, with all that it can interrupt with.
pub fn cells() -> impl Iterator<Item = Cell> {
    VERSIONS.into_iter().flat_map(|device| {
        [Interrupts::Messages, Interrupts::Line, Interrupts::None]
            .map(|interrupts| Cell { device, interrupts })
    })
}

/// Those of them that are told of work by a counter.
pub fn counted_cells() -> impl Iterator<Item = Cell> {
    cells().filter(|cell| cell.device != 0x1A38)
}

/// A machine on which one engine's driver talks to this program.
pub struct Bench {
    pub lab: Lab,
    pub device: DevnodeId,
    interrupts: Interrupts,
    /// The import slots that were changed, with what stood there.
    pub slots: Vec<(u64, u64)>,
    /// A page for parameters and answers, one for descriptors, and three for data, each with its bus address.
    pub pages: [(u64, u64); 5],
}

pub const ARGUMENTS: usize = 0;
pub const RING: usize = 1;
pub const SOURCE: usize = 2;
pub const SECOND: usize = 3;
pub const TARGET: usize = 4;
/// Where in the first page the completion word is.
pub const WORD: u64 = 0x400;

impl Bench {
    /// The engine `device`, interrupting as it likes best.
    pub fn new(
        device: u16,
        change: impl FnOnce(&mut Options),
        before: impl FnOnce(&mut Desk),
    ) -> Result<Self, Failure> {
        Self::on(Cell { device, interrupts: Interrupts::Messages }, change, before)
    }

    /// Installs the packages on an engine, and plugs another in, whose driver is bound to this program.
    pub fn on(
        Cell { device, interrupts }: Cell,
        change: impl FnOnce(&mut Options),
        before: impl FnOnce(&mut Desk),
    ) -> Result<Self, Failure> {
        DESK.set(Desk { gives: PROVIDER, ..Desk::default() });
        desk(before);
        let machine = Machine::builder().cpus(2).seed(1).memory(32 << 20).host_code(true).build();
        let machine = machine.map_err(|error| Failure::Other(error.to_string()))?;
        let mut lab = Lab { machine, engines: Vec::new() };
        let first: Setup = setup(device, |_| {});
        lab.plug("first".into(), first.engines[0].clone())?;
        if interrupts == Interrupts::Line {
            lab.run(|k| k.limit_messages(Some(0)))?;
        }
        install_with(&mut lab, &[("InterruptKind", u32::from(interrupts == Interrupts::None) * 2)])?;
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
        Ok(Self { lab, device, interrupts, slots, pages })
    }

    /// Calls an entry point at `irql`.
    pub fn call_at(&mut self, irql: u8, entry: usize, arguments: &[u64]) -> Result<i32, Failure> {
        let target = desk(|d| d.entry(entry));
        self.lab.run(|k| {
            let old = k.raise_irql(irql);
            let answer = k.call("a provider entry point", target, arguments);
            k.lower_irql(old);
            answer as i32
        })
    }

    pub fn call(&mut self, entry: usize, arguments: &[u64]) -> Result<i32, Failure> {
        self.call_at(PASSIVE, entry, arguments)
    }

    /// Writes channel parameters: mask, and for revision 2 group and mask of processors.
    pub fn parameters(
        &mut self,
        mask: u32,
        extended: Option<(u16, u64)>,
        priority: u32,
    ) -> Result<u64, Failure> {
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
    pub fn allocate(&mut self) -> Result<(u64, u32), Failure> {
        let at = self.parameters(0, None, 0)?;
        let (status, context, processor) = self.allocate_with(PASSIVE, at)?;
        assert_eq!(status, SUCCESS);
        Ok((context, processor))
    }

    pub fn allocate_with(&mut self, irql: u8, parameters: u64) -> Result<(i32, u64, u32), Failure> {
        let out = self.pages[ARGUMENTS].0 + 0x200;
        self.lab.run(|k| k.write(out, 0_u64))?;
        let context = desk(|d| d.context);
        let status = self.call_at(irql, ALLOCATE, &[context, parameters, CHANNEL, out])?;
        self.lab.run(|k| (status, k.read(out), k.read(parameters + 0x20)))
    }

    /// Writes descriptor `slot`; its next pointer names slot `slot + 1`.
    pub fn descriptor(
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

    /// Links descriptor `slot` on to slot `next`, or to nothing.
    pub fn link(&mut self, slot: u64, next: Option<u64>) -> Result<(), Failure> {
        let (at, bus) = self.pages[RING];
        self.lab.run(|k| k.write(at + slot * 64 + 0x18, next.map_or(0, |next| bus + next * 64)))
    }

    /// Writes `count` descriptors of eight bytes each that copy to places of their own, and says what the target was before.
    /// The list ends behind the last one, in the engine's way.
    pub fn list(&mut self, slots: std::ops::Range<u64>, flags: u32) -> Result<Vec<u8>, Failure> {
        self.fill(SOURCE, 7)?;
        let (source, target) = (self.pages[SOURCE].1, self.pages[TARGET].1);
        let end = slots.end;
        for slot in slots {
            self.descriptor(slot, 8, flags, [source, target + 8 * slot, 0, 0])?;
        }
        if self.is_linked() {
            self.link(end - 1, None)?;
        }
        self.fill(TARGET, 0xEE)
    }

    /// The slots of [`list`](Self::list) whose copies have arrived, `before` being what it gave.
    pub fn arrived(&mut self, before: &[u8]) -> Result<Vec<u64>, Failure> {
        let now = self.contents(TARGET)?;
        let (now, before) = (now.chunks_exact(8), before.chunks_exact(8));
        Ok((0..)
            .zip(now.zip(before))
            .filter(|(_, (now, before))| now != before)
            .map(|(slot, _)| slot)
            .collect())
    }

    /// The page of descriptors.
    pub fn ring(&mut self) -> Result<Vec<u8>, Failure> {
        self.contents(RING)
    }

    /// Whether the engine is one of 1.2, whose lists end at a null link.
    pub fn is_linked(&self) -> bool {
        self.lab.engines[1].with(|engine| engine.options().version.major() < 2)
    }

    /// What channel 0 of the engine has done.
    pub fn engine(&self) -> ioat_model::ChannelStatistics {
        self.lab.engines[1].channel(0)
    }

    /// Starts (or appends) `count` descriptors from `slot`.
    pub fn post(&mut self, entry: usize, channel: u64, slot: u64, count: u64) -> Result<i32, Failure> {
        if entry == START {
            self.set_word(ARMED)?;
        }
        self.post_quietly(entry, channel, slot, count)
    }

    /// As [`post`](Self::post), with the completion word as it is.
    pub fn post_quietly(
        &mut self,
        entry: usize,
        channel: u64,
        slot: u64,
        count: u64,
    ) -> Result<i32, Failure> {
        let (at, bus) = self.pages[RING];
        self.call_at(DISPATCH, entry, &[channel, at + slot * 64, bus + slot * 64, count])
    }

    pub fn set_word(&mut self, value: u64) -> Result<(), Failure> {
        let at = self.pages[ARGUMENTS].0 + WORD;
        self.lab.run(|k| k.write(at, value))
    }

    pub fn word(&mut self) -> Result<u64, Failure> {
        let at = self.pages[ARGUMENTS].0 + WORD;
        self.lab.run(|k| k.read(at))
    }

    /// Lets everything happen that is under way, reports included.
    pub fn settle(&mut self) -> Result<(), Failure> {
        if self.interrupts == Interrupts::None {
            // The driver looks every ten milliseconds.
            self.lab.machine.advance(50_000_000)?;
        }
        Ok(self.lab.machine.until_idle()?)
    }

    pub fn fill(&mut self, page: usize, seed: u8) -> Result<Vec<u8>, Failure> {
        let bytes: Vec<u8> = (0..PAGE).map(|n| (n as u8).wrapping_mul(31).wrapping_add(seed)).collect();
        let at = self.pages[page].0;
        self.lab.run(|k| k.write_bytes(at, &bytes))?;
        Ok(bytes)
    }

    pub fn contents(&mut self, page: usize) -> Result<Vec<u8>, Failure> {
        let at = self.pages[page].0;
        self.lab.run(|k| k.bytes(at, PAGE as usize))
    }

    pub fn state(&self) -> Option<State> {
        self.lab.engines[1].with(|engine| engine.channel_state(0)).and_then(|(status, _)| status.state())
    }

    /// Register accesses of processors that the engine's slot has seen.
    pub fn traffic(&mut self) -> Result<Option<Traffic>, Failure> {
        let device = self.device;
        self.lab.run(|k| k.device(device).and_then(|report| report.traffic))
    }

    /// Removes the engine, gives the imports back, and demands that nothing is left.
    pub fn end(mut self) -> Result<(), Failure> {
        let device = self.device;
        vetoed(self.lab.run(|k| k.remove_device(device))?)?;
        self.give_back()
    }

    /// The same when the engine has left.
    pub fn give_back(mut self) -> Result<(), Failure> {
        let (slots, pages) = (self.slots, self.pages);
        self.lab.run(|k| {
            slots.iter().for_each(|(at, real)| store(k, *at, *real));
            pages.iter().for_each(|(at, _)| k.system_free(*at));
        })?;
        nothing_left(self.lab)
    }
}

/// Writes eight bytes of memory that the processor may only read, as a device would.
pub fn store(k: &Kernel, at: u64, value: u64) {
    const NOBODY: u64 = 1;
    let domain = k.dma_register(NOBODY, Remapping::OptedOut);
    k.dma_write(domain, k.physical(at).expect("memory"), &value.to_le_bytes()).expect("memory answers");
    k.dma_forget(NOBODY);
}

pub fn bench(device: u16) -> Result<Bench, Failure> {
    Bench::new(device, |_| {}, |_| {})
}

pub fn bench_on(cell: Cell) -> Result<Bench, Failure> {
    Bench::on(cell, |_| {}, |_| {})
}

pub const BOTH: u32 = INTERRUPT_ON_COMPLETION | STATUS_UPDATE_ON_COMPLETION;

/// An engine that takes ten microseconds for a descriptor, and a channel of it.
pub fn slow(cell: Cell) -> Result<(Bench, u64), Failure> {
    let mut bench = Bench::on(cell, |options| options.timing.per_descriptor = 10_000, |_| {})?;
    let (channel, _) = bench.allocate()?;
    Ok((bench, channel))
}
