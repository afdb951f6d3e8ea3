//! netdma.sys on the hosted machine with this program on both its sides: provider and client are routines of the test, the
//! image between them is the real one.

use machine::events::{self as machine_events, Seen};
use machine::lab;
use netdma_abi::Version;
use netdma_abi::client::Statistics;
use netdma_abi::completion::address;
use nthost::memory::dma::Remapping;
use nthost::memory::pool::PoolRequest;
use nthost::pnp::Report;
use nthost::{Builder, Kernel, Machine};

use crate::routines::{self, PAGE, WORLD, World, descriptor, halt_of, run_of, world};
pub use crate::routines::{
    CHANNEL_CONTEXT, Call, Channel, DISPATCH, PASSIVE, PENDING, PROVIDER_CONTEXT, SUCCESS, Script, Told,
    call, interrupt_of, step_of,
};

/// Fields of the characteristics that tests vary.
#[derive(Debug, Clone)]
pub struct Table {
    pub version: Version,
    pub size: u16,
    pub flags: u32,
    pub pdo: u64,
    pub channels: u32,
    /// Entry points that are NULL.
    pub absent: Vec<&'static str>,
    pub name: &'static str,
}

/// The machine, netdma.sys on it, and memory to pass arguments in.
pub struct Bench<'a> {
    pub k: &'a Kernel,
    /// A page for arguments and answers.
    pub scratch: u64,
    /// The device object that stands for the engine.
    pub pdo: u64,
}

/// Boots a machine with netdma.sys alone, runs `work` on it, and demands that nothing is left behind.
pub fn with_bench(version: Version, work: impl FnOnce(&Bench<'_>)) {
    with_machine(version, false, work);
}

/// The same; `remapped`: the engine's DMA is remapped.
pub fn with_machine(version: Version, remapped: bool, work: impl FnOnce(&Bench<'_>)) {
    on_machine(version, remapped, machine().remapping(remapped), work);
}

/// A machine of two processors that tests change as they need.
pub fn machine() -> Builder {
    Machine::builder().cpus(2).seed(1).memory(64 << 20).host_code(true)
}

/// As [`with_bench`] on another machine.
pub fn on_machine(version: Version, remapped: bool, machine: Builder, work: impl FnOnce(&Bench<'_>)) {
    WORLD.set(World { version: version.0, ..World::default() });
    let mut machine = machine.build().expect("a machine");
    let package = lab::source("netdma").unwrap_or_else(|failure| panic!("{failure}"));
    let ran = machine.run(|k| {
        k.install_package(&package).unwrap_or_else(|error| panic!("netdma: {error}"));
        k.start_service("netdma").unwrap_or_else(|error| panic!("netdma: {error:?}"));
        k.start_host_driver("engine", routines::entry as *const () as u64)
            .unwrap_or_else(|error| panic!("{error:?}"));
        let image = k.images().into_iter().find(|image| image.name.to_lowercase().ends_with("netdma.sys"));
        let image = image.expect("netdma.sys is loaded");
        world(|w| w.exports = image.exports.iter().map(|(name, at)| (name.clone(), *at)).collect());
        let scratch = k.system_allocate(PAGE, "arguments");
        let mut bench = Bench { k, scratch, pdo: 0 };
        bench.pdo = bench.device(remapped);
        world(|w| w.domain = k.dma_domain(bench.pdo));
        work(&bench);
        let left = k.pool_in_use(|_| true);
        let ours: Vec<_> = left.iter().filter(|leak| leak.tag == "NDma").collect();
        assert!(ours.is_empty(), "netdma.sys left memory behind: {ours:?}");
        k.call_export("IoDeleteDevice", &[bench.pdo]);
        let report: Report = k.shutdown();
        assert!(report.pool.is_empty(), "left behind: {:?}", report.pool);
    });
    if let Err(stop) = ran {
        panic!("{stop}");
    }
    machine_events::note(&machine.etw_events()).unwrap_or_else(|wrong| panic!("{wrong}"));
}

impl Bench<'_> {
    /// A device object that stands for an engine.
    pub fn device(&self, remapped: bool) -> u64 {
        let driver = world(|w| w.driver);
        let out = self.scratch + 0xF00;
        let status = self.k.call_export("IoCreateDevice", &[driver, 0, 0, 0x22, 0, 0, out]);
        assert_eq!(status as i32, SUCCESS);
        let device = self.k.read(out);
        let remapping = if remapped { Remapping::Allowed } else { Remapping::OptedOut };
        self.k.dma_register(device, remapping);
        device
    }

    /// Names of the image's exports, sorted.
    pub fn exports(&self) -> Vec<String> {
        world(|w| w.exports.keys().cloned().collect())
    }

    /// Lets the other threads of the machine run until `done` says so.
    pub fn settle(&self, done: impl Fn() -> bool) {
        let interval = self.scratch + 0xE00;
        for _ in 0..1000 {
            if done() {
                return;
            }
            self.k.write(interval, -10_000_i64);
            self.k.call_export("KeDelayExecutionThread", &[0, 0, interval]);
        }
        panic!("nothing came of it in a second of machine time");
    }

    /// Calls an export at PASSIVE_LEVEL.
    pub fn call(&self, export: &str, arguments: &[u64]) -> u64 {
        call(self.k, export, arguments)
    }

    /// Calls an export at another level.
    pub fn call_at(&self, irql: u8, export: &str, arguments: &[u64]) -> u64 {
        let old = self.k.raise_irql(irql);
        let answer = self.call(export, arguments);
        self.k.lower_irql(old);
        answer
    }

    pub fn script(&self, change: impl FnOnce(&mut Script)) {
        world(|w| change(&mut w.script));
    }

    /// What a call from within a callback answered.
    pub fn script_answer(&self) -> Option<i32> {
        world(|w| w.answer.take())
    }

    /// The entry point calls since the last question.
    pub fn calls(&self) -> Vec<Call> {
        world(|w| std::mem::take(&mut w.calls))
    }

    /// First descriptors given to start and append so far: virtual and physical address.
    pub fn firsts(&self) -> Vec<(u64, u64)> {
        world(|w| w.firsts.clone())
    }

    /// Their names.
    pub fn entries(&self) -> Vec<&'static str> {
        self.calls().iter().map(|call| call.entry).collect()
    }

    /// The completion callbacks since the last question.
    pub fn told(&self) -> Vec<Told> {
        world(|w| std::mem::take(&mut w.told))
    }

    /// Notices since the last question: (client context, code, provider id).
    pub fn notices(&self) -> Vec<(u64, u32, u32)> {
        world(|w| std::mem::take(&mut w.notices))
    }

    /// Codes of the notices since the last question.
    pub fn codes(&self) -> Vec<u32> {
        self.notices().iter().map(|(_, code, _)| *code).collect()
    }

    pub fn affinities(&self) -> Vec<(u32, u32)> {
        world(|w| w.affinities.clone())
    }

    /// The provider's channels, by context.
    pub fn channels(&self) -> Vec<u64> {
        world(|w| w.channels.keys().copied().collect())
    }

    pub fn channel(&self, context: u64) -> Channel {
        world(|w| w.channels.get(&context).cloned().expect("an allocated channel"))
    }

    /// The first channel of the provider.
    pub fn first(&self) -> u64 {
        PROVIDER_CONTEXT + 1
    }

    pub fn step(&self, channel: u64) -> bool {
        step_of(self.k, channel)
    }

    pub fn run(&self, channel: u64) -> usize {
        run_of(self.k, channel)
    }

    pub fn halt(&self, channel: u64) {
        halt_of(channel);
    }

    pub fn write_word(&self, channel: u64, value: u64) {
        self.k.write(self.channel(channel).asked.word_virtual, value);
    }

    /// Words of the descriptor at a bus address.
    pub fn descriptor(&self, address: u64) -> [u64; 8] {
        descriptor(self.k, world(|w| w.domain.expect("a domain")), address)
    }

    /// As the provider's DPC does: reports the last completed descriptor.
    pub fn dpc(&self, channel: u64) {
        let state = self.channel(channel);
        self.call_at(DISPATCH, "NetDmaInterruptDpc", &[state.asked.handle, address(state.last)]);
    }

    /// Names of the events so far.
    pub fn events(&self) -> Vec<Seen> {
        self.k
            .trace_events()
            .iter()
            .filter(|event| event.name != "FrameworkVersion")
            .map(|event| Seen::of(event).unwrap_or_else(|wrong| panic!("{wrong}")))
            .collect()
    }

    /// The last event of a name.
    pub fn event(&self, name: &str) -> Option<Seen> {
        self.events().into_iter().rev().find(|seen| seen.name() == name)
    }

    // ---- the provider's driver

    /// A table with everything in it.
    pub fn table(&self) -> Table {
        let version = Version(world(|w| w.version));
        Table {
            version,
            size: 0x70,
            flags: 0,
            pdo: self.pdo,
            channels: 2,
            absent: Vec::new(),
            name: "engine",
        }
    }

    /// Registers; answers status and handle. What was passed is overwritten before this returns (R39).
    pub fn register_with(&self, table: &Table) -> (i32, u64) {
        let k = self.k;
        let (at, name_at, out) = (self.scratch, self.scratch + 0x100, self.scratch + 0x80);
        let entries: [(&str, u64, *const ()); 9] = [
            ("set_affinity", 0x18, routines::set_affinity as *const ()),
            ("allocate", 0x20, routines::allocate as *const ()),
            ("free", 0x28, routines::free as *const ()),
            ("start", 0x30, routines::start as *const ()),
            ("suspend", 0x38, routines::suspend as *const ()),
            ("resume", 0x40, routines::resume as *const ()),
            ("abort", 0x48, routines::abort as *const ()),
            ("append", 0x50, routines::append as *const ()),
            ("reset", 0x58, routines::reset as *const ()),
        ];
        k.write_bytes(at, &[0; 0x100]);
        k.write(at, [(table.version.0 >> 16) as u8, table.version.0 as u8]);
        k.write(at + 2, table.size);
        k.write(at + 4, table.flags);
        k.write(at + 8, table.pdo);
        k.write(at + 0x10, table.channels);
        for (name, offset, entry) in entries {
            k.write(at + offset, if table.absent.contains(&name) { 0 } else { entry as u64 });
        }
        let text: Vec<u8> = table.name.encode_utf16().flat_map(u16::to_le_bytes).collect();
        k.write_bytes(name_at, &text);
        k.write(at + 0x60, [text.len() as u16, text.len() as u16]);
        k.write(at + 0x68, name_at);
        k.write(out, u64::MAX);
        let status = self.call("NetDmaRegisterProvider", &[PROVIDER_CONTEXT, out, at]) as i32;
        k.write_bytes(at, &[0xEE; 0x78]);
        k.write_bytes(name_at, &[0xEE; 0x40]);
        (status, k.read(out))
    }

    pub fn register(&self) -> u64 {
        let (status, handle) = self.register_with(&self.table());
        assert_eq!(status, SUCCESS);
        assert_ne!(handle, 0);
        handle
    }

    pub fn start_with(&self, handle: u64, channels: u32, maximum_transfer: u32, maximum_address: u64) {
        let (k, at) = (self.k, self.scratch);
        k.write_bytes(at, &[0; 0x20]);
        k.write(at, [3u8, 2u8]);
        k.write(at + 2, 0x20_u16);
        k.write(at + 8, 0x8086_u32);
        k.write(at + 0xC, channels);
        k.write(at + 0x10, maximum_transfer);
        k.write(at + 0x18, maximum_address);
        self.call("NetDmaProviderStart", &[handle, at]);
    }

    pub fn start(&self, handle: u64) {
        self.start_with(handle, 2, 1 << 20, (1 << 40) - 1);
    }

    pub fn stop(&self, handle: u64) {
        self.call("NetDmaProviderStop", &[handle]);
    }

    pub fn deregister(&self, handle: u64) {
        self.call("NetDmaDeregisterProvider", &[handle]);
    }

    /// Registered and started.
    pub fn provider(&self) -> u64 {
        let handle = self.register();
        self.start(handle);
        handle
    }

    pub fn power(&self, handle: u64, code: u32) {
        let (k, at) = (self.k, self.scratch);
        k.write_bytes(at, &[0; 0x20]);
        k.write(at, 1_u32);
        k.write(at + 4, 0x20_u32);
        k.write(at + 8, code);
        self.call("NetDmaPnPEventNotify", &[handle, at]);
    }

    // ---- the client

    /// Registers a client with this context.
    pub fn client(&self, context: u64) -> u64 {
        let (k, at, out) = (self.k, self.scratch, self.scratch + 0x80);
        k.write_bytes(at, &[0; 0x28]);
        k.write(at, [1u8, 0u8]);
        k.write(at + 2, 0x28_u16);
        k.write(at + 8, routines::event as *const () as u64);
        k.write(at + 0x10, routines::completion as *const () as u64);
        assert_eq!(self.call("NetDmaRegisterClient", &[context, at, out]) as i32, SUCCESS);
        k.read(out)
    }

    pub fn deregister_client(&self, client: u64) -> i32 {
        self.call("NetDmaDeregisterClient", &[client]) as i32
    }

    /// Allocates a channel; `flags` and ring size as given. Status and handle.
    pub fn allocate_with(
        &self,
        client: u64,
        provider: u32,
        flags: u32,
        ring: u32,
        group: u16,
        mask: u64,
    ) -> (i32, u64) {
        let (k, at, out) = (self.k, self.scratch, self.scratch + 0x80);
        k.write_bytes(at, &[0; 0x30]);
        k.write(at, 1_u16);
        k.write(at + 2, 0x30_u16);
        k.write(at + 4, flags);
        k.write(at + 8, mask);
        k.write(at + 0x10, group);
        k.write(at + 0x1C, ring);
        let context = world(|w| {
            w.allocations += 1;
            CHANNEL_CONTEXT + w.allocations - 1
        });
        k.write(at + 0x20, context);
        let status = self.call("NetDmaAllocateChannel", &[client, provider.into(), at, out]) as i32;
        (status, k.read(out))
    }

    pub fn allocate(&self, client: u64) -> u64 {
        let (status, handle) = self.allocate_with(client, 0, 0, 0, 0, 0);
        assert_eq!(status, SUCCESS);
        handle
    }

    /// The client's context of the channel asked for last.
    pub fn last_context(&self) -> u64 {
        world(|w| CHANNEL_CONTEXT + w.allocations - 1)
    }

    /// Processor, provider and ring size that the last allocation answered.
    pub fn answered(&self) -> (u32, u32, u32) {
        let at = self.scratch;
        (self.k.read(at + 0x28), self.k.read(at + 0x2C), self.k.read(at + 0x1C))
    }

    pub fn free(&self, channel: u64) -> i32 {
        self.call("NetDmaFreeChannel", &[channel]) as i32
    }

    /// A NULL transfer at PASSIVE_LEVEL: status and cookie.
    pub fn null(&self, channel: u64, user: u64) -> (i32, u64) {
        let out = self.scratch + 0x88;
        let status = self.call("NetDmaNullTransfer", &[channel, 0, user, out]) as i32;
        (status, self.k.read(out))
    }

    /// An accepted NULL transfer's cookie.
    pub fn post(&self, channel: u64) -> u64 {
        let (status, cookie) = self.null(channel, 0x0005_EED0);
        assert_eq!(status, PENDING);
        assert_ne!(cookie, 0);
        cookie
    }

    pub fn is_complete(&self, channel: u64, cookie: u64) -> bool {
        self.call("NetDmaIsDmaCopyComplete", &[channel, cookie]) as u8 != 0
    }

    pub fn set_limit(&self, channel: u64, limit: u32) -> i32 {
        self.call("NetDmaSetMaxPendingDescriptors", &[channel, limit.into()]) as i32
    }

    /// The counters of a channel (or, for channel 0, of a provider), or the status.
    pub fn statistics(&self, channel: u64, provider: u32) -> Result<Statistics, i32> {
        let (k, at, bytes) = (self.k, self.scratch, self.scratch + 0x180);
        k.write(bytes, size_of::<Statistics>() as u32);
        let status = self.call("NetDmaQueryStatistics", &[channel, provider.into(), at, bytes]) as i32;
        let word = |offset| k.read::<u64>(at + offset);
        if status < 0 {
            return Err(status);
        }
        Ok(Statistics {
            revision: k.read(at),
            size: k.read(at + 2),
            channels: k.read(at + 4),
            bytes: word(8),
            descriptors: word(0x10),
            batches: word(0x18),
            starts: word(0x20),
            appends: word(0x28),
            submitted: word(0x30),
            completed: word(0x38),
            aborted: word(0x40),
            failed: word(0x48),
            interrupts: word(0x50),
            dpcs: word(0x58),
            polls: word(0x60),
            halts: word(0x68),
            ring_full: word(0x70),
            provider_failures: word(0x78),
            foreign_addresses: word(0x80),
        })
    }

    /// A buffer of nonpaged pool with an MDL over part of it.
    pub fn buffer(&self, bytes: u64, offset: u64, length: u32) -> Buffer<'_> {
        let request =
            PoolRequest { size: bytes, tag: u32::from_le_bytes(*b"test"), nonpaged: true, zero: true };
        let address = self.k.pool_allocate(request).expect("pool");
        let mdl = self.k.allocate_mdl(address + offset, length).expect("an MDL");
        self.k.build_mdl_for_nonpaged(mdl);
        Buffer { k: self.k, address, offset, mdl }
    }
}

/// A buffer with its MDL; both go when this is dropped.
pub struct Buffer<'a> {
    k: &'a Kernel,
    pub address: u64,
    pub offset: u64,
    pub mdl: u64,
}

impl Buffer<'_> {
    /// Bytes from `at` on, counted from the MDL's first.
    pub fn bytes(&self, at: u64, length: usize) -> Vec<u8> {
        self.k.bytes(self.address + self.offset + at, length)
    }

    pub fn fill(&self, bytes: &[u8]) {
        self.k.write_bytes(self.address + self.offset, bytes);
    }

    pub fn physical(&self, at: u64) -> u64 {
        self.k.physical(self.address + self.offset + at).expect("the buffer is memory")
    }
}

impl Drop for Buffer<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.k.free_mdl(self.mdl);
            self.k.pool_free(self.address);
        }
    }
}
