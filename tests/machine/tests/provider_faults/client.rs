//! A client of netdma.sys that is part of this program, and machines with one engine for it.

use std::cell::RefCell;
use std::collections::BTreeMap;

use ioat_model::{FaultPlan, Options};
use machine::engine::EngineHandle;
use machine::lab::{Failure, Lab, PACKAGES};
use nthost::memory::pool::PoolRequest;
use nthost::{Kernel, Machine};

/// One id of each hardware version.
pub const DEVICES: [u16; 6] = [0x1A38, 0x402F, 0x3430, 0x6F20, 0x6F50, 0x0B00];
/// Requests of a batch, which are posted together.
pub const BATCH: u64 = 32;
/// Bytes of a request.
const BYTES: u64 = 100;
/// How far apart requests lie.
const APART: u64 = 128;
/// Virtual milliseconds in which the provider's watchdog looks five times.
const PATIENCE: usize = 1_000;

pub const SUCCESS: i32 = 0;
const PENDING: i32 = 0x103;
pub const IO_DEVICE_ERROR: i32 = 0xC000_0185_u32.cast_signed();

thread_local! {
    /// Completion callbacks: cookie and status, in order.
    static TOLD: RefCell<Vec<(u64, i32)>> = const { RefCell::new(Vec::new()) };
}

extern "win64" fn completion(_channel: u64, cookie: u64, _user: u64, status: i32) {
    let locks = Kernel::with_current(Kernel::locks_held);
    assert_eq!(locks, Some(0), "a client is called with no lock held");
    TOLD.with_borrow_mut(|told| told.push((cookie, status)));
}

extern "win64" fn notice(_client: u64, _code: u32, _provider: u32) {}

/// A client of netdma.sys that is part of this program, with one channel.
pub struct Client<'a> {
    pub k: &'a Kernel,
    engine: EngineHandle,
    exports: BTreeMap<String, u64>,
    /// A page for arguments, a page of sources, a page of destinations.
    memory: u64,
    client: u64,
    pub channel: u64,
    /// Makes the bytes of each batch others.
    batches: u8,
}

/// How a batch ended: the status of each request, in the order of submission.
pub type Ends = Vec<i32>;

impl<'a> Client<'a> {
    pub fn new(k: &'a Kernel, engine: EngineHandle) -> Self {
        TOLD.take();
        let images = k.images();
        let netdma = images.iter().find(|image| image.name.to_lowercase().ends_with("netdma.sys"));
        let exports = netdma.expect("netdma.sys is loaded").exports.clone().into_iter().collect();
        let request =
            PoolRequest { size: 3 * 4096, tag: u32::from_le_bytes(*b"test"), nonpaged: true, zero: true };
        let memory = k.pool_allocate(request).expect("pool");
        let mut client = Self { k, engine, exports, memory, client: 0, channel: 0, batches: 0 };
        client.register();
        client.allocate();
        client
    }

    pub fn call(&self, export: &str, arguments: &[u64]) -> i32 {
        self.k.call(export, self.exports[export], arguments) as i32
    }

    fn register(&mut self) {
        let (k, at, out) = (self.k, self.memory, self.memory + 0x80);
        k.write(at, [1_u8, 0]);
        k.write(at + 2, 0x28_u16);
        k.write(at + 8, notice as *const () as u64);
        k.write(at + 0x10, completion as *const () as u64);
        assert_eq!(self.call("NetDmaRegisterClient", &[0xC0, at, out]), SUCCESS);
        self.client = k.read(out);
    }

    fn allocate(&mut self) {
        let (k, at, out) = (self.k, self.memory, self.memory + 0x80);
        k.write_bytes(at, &[0; 0x30]);
        k.write(at, 1_u16);
        k.write(at + 2, 0x30_u16);
        assert_eq!(self.call("NetDmaAllocateChannel", &[self.client, 0, at, out]), SUCCESS);
        self.channel = k.read(out);
        assert_eq!(self.call("NetDmaSetMaxPendingDescriptors", &[self.channel, BATCH]), SUCCESS);
    }

    pub fn misbehave(&self, plan: &str) {
        let plan: FaultPlan = plan.parse().expect("a fault plan");
        self.engine.with(|engine| engine.set_faults(plan));
    }

    fn source(&self, number: u64) -> u64 {
        self.memory + 0x1000 + APART * number
    }

    fn target(&self, number: u64) -> u64 {
        self.memory + 0x2000 + APART * number
    }

    /// Submits 32 copies, each a request of its own; their cookies.
    pub fn submit(&mut self, flags: u32) -> Vec<u64> {
        self.batches = self.batches.wrapping_add(1);
        let k = self.k;
        (0..BATCH)
            .map(|number| {
                let (at, out) = (self.memory + 0x100, self.memory + 0x80);
                k.write_bytes(self.source(number), &self.bytes(number));
                k.write_bytes(self.target(number), &[0; BYTES as usize]);
                let physical = |address| k.physical(address).expect("pool is memory");
                let head = BYTES | u64::from(flags) << 32;
                let words =
                    [head, physical(self.source(number)), physical(self.target(number)), 0, 0, 0, 0, 0];
                k.write(at, words);
                let status = self.call("NetDmaSubmitDescriptorList", &[self.channel, at, 1, number, out]);
                assert_eq!(status, PENDING, "request {number}");
                k.read(out)
            })
            .collect()
    }

    /// What request `number` of the batch copies.
    fn bytes(&self, number: u64) -> [u8; BYTES as usize] {
        std::array::from_fn(|at| (at as u8) ^ (number as u8).wrapping_mul(37) ^ self.batches)
    }

    pub fn arrived(&self, number: u64) -> bool {
        self.k.bytes(self.target(number), BYTES as usize) == self.bytes(number)
    }

    /// Lets a virtual millisecond pass.
    pub fn rest(&self) {
        self.k.write(self.memory, -10_000_i64);
        self.k.call_export("KeDelayExecutionThread", &[0, 0, self.memory]);
    }

    /// Lets time pass until all of these have been told of, each once; `None` if that does not come.
    pub fn ends(&self, cookies: &[u64]) -> Option<Ends> {
        for _ in 0..PATIENCE {
            if TOLD.with_borrow(|told| told.len() >= cookies.len()) {
                break;
            }
            self.rest();
        }
        let told = TOLD.take();
        if told.is_empty() {
            return None;
        }
        let statuses: BTreeMap<u64, i32> = told.iter().copied().collect();
        assert_eq!(told.len(), statuses.len(), "completed twice: {told:x?}");
        assert_eq!(told.len(), cookies.len(), "lost: {told:x?} of {cookies:x?}");
        Some(cookies.iter().map(|cookie| statuses[cookie]).collect())
    }

    /// A batch that must be done, every byte of it.
    pub fn works(&mut self, after: &str) {
        let cookies = self.submit(0);
        assert_eq!(self.ends(&cookies), Some(vec![SUCCESS; BATCH as usize]), "after {after}");
        assert!((0..BATCH).all(|number| self.arrived(number)), "after {after}");
    }

    pub fn leave(self) {
        assert_eq!(self.call("NetDmaFreeChannel", &[self.channel]), SUCCESS);
        assert_eq!(self.call("NetDmaDeregisterClient", &[self.client]), SUCCESS);
        assert_eq!(TOLD.take(), [], "told of more than was asked for");
        self.k.pool_free(self.memory);
    }
}

/// Boots a machine with one engine and the packages of the interface and its provider, however they start.
pub fn boot(options: Options) -> Result<Lab, Failure> {
    let machine = Machine::builder().cpus(2).seed(1).memory(64 << 20).host_code(true).build();
    let mut lab = Lab { machine: machine.expect("a machine"), engines: Vec::new() };
    lab.plug("engine".into(), options)?;
    for package in &PACKAGES[..2] {
        lab.install(package)?;
    }
    Ok(lab)
}

/// Boots such a machine, runs `work` with a client on it, and demands that nothing is
/// left behind.
pub fn with_client(options: Options, work: impl FnOnce(&mut Client<'_>)) -> Result<Lab, Failure> {
    let mut lab = boot(options)?;
    lab.expect_no_problems()?;
    let engine = lab.engines[0].clone();
    lab.run(|k| {
        let mut client = Client::new(k, engine);
        client.works("the start");
        work(&mut client);
        client.misbehave("");
        client.leave();
    })?;
    Ok(lab)
}

pub fn options(device: u16, plan: &str) -> Options {
    let options = Options::new(0x8086, device).expect("an id of the table");
    Options { faults: plan.parse().expect("a fault plan"), ..options }
}

pub fn nothing_left(lab: Lab) -> Result<(), Failure> {
    let left = lab.shut_down()?;
    assert!(left.is_empty(), "{left:?}");
    Ok(())
}
