//! Engine errors and misbehaviour under the real netdma.sys and ioatdma.sys, many of them on one boot: what was done
//! before is reported done, what was in flight is reported failed, each request once, and the next batch works.
#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::collections::BTreeMap;

use ioat_model::{FaultPlan, Options};
use ioat_regs::ChanErr;
use machine::engine::EngineHandle;
use machine::lab::{Failure, Lab, PACKAGES};
use netdma_abi::descriptor::SERIALIZE_TRANSFER;
use nthost::memory::pool::PoolRequest;
use nthost::{Kernel, Machine};
use proof::proves;

/// One id of each hardware version.
const DEVICES: [u16; 6] = [0x1A38, 0x402F, 0x3430, 0x6F20, 0x6F50, 0x0B00];
/// Requests of a batch, which are posted together.
const BATCH: u64 = 32;
/// Bytes of a request.
const BYTES: u64 = 100;
/// How far apart requests lie.
const APART: u64 = 128;
/// Where in a batch an error strikes, counted from one, and the flags of every request: with and without a fence.
const PLACES: [(usize, u32); 6] =
    [(1, 0), (16, 0), (32, 0), (1, SERIALIZE_TRANSFER), (16, SERIALIZE_TRANSFER), (32, SERIALIZE_TRANSFER)];
/// Virtual milliseconds in which the provider's watchdog looks five times.
const PATIENCE: usize = 1_000;

const SUCCESS: i32 = 0;
const PENDING: i32 = 0x103;
const IO_DEVICE_ERROR: i32 = 0xC000_0185_u32.cast_signed();

thread_local! {
    /// Completion callbacks: cookie and status, in order.
    static TOLD: RefCell<Vec<(u64, i32)>> = const { RefCell::new(Vec::new()) };
}

extern "win64" fn completion(_channel: u64, cookie: u64, _user: u64, status: i32) {
    TOLD.with_borrow_mut(|told| told.push((cookie, status)));
}

extern "win64" fn notice(_client: u64, _code: u32, _provider: u32) {}

/// A client of netdma.sys that is part of this program, with one channel.
struct Client<'a> {
    k: &'a Kernel,
    engine: EngineHandle,
    exports: BTreeMap<String, u64>,
    /// A page for arguments, a page of sources, a page of destinations.
    memory: u64,
    client: u64,
    channel: u64,
    /// Makes the bytes of each batch others.
    batches: u8,
}

/// How a batch ended: the status of each request, in the order of submission.
type Ends = Vec<i32>;

impl<'a> Client<'a> {
    fn new(k: &'a Kernel, engine: EngineHandle) -> Self {
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

    fn call(&self, export: &str, arguments: &[u64]) -> i32 {
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

    fn misbehave(&self, plan: &str) {
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
    fn submit(&mut self, flags: u32) -> Vec<u64> {
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

    fn arrived(&self, number: u64) -> bool {
        self.k.bytes(self.target(number), BYTES as usize) == self.bytes(number)
    }

    /// Lets time pass until all of these have been told of, each once; `None` if that does not come.
    fn ends(&self, cookies: &[u64]) -> Option<Ends> {
        for _ in 0..PATIENCE {
            if TOLD.with_borrow(|told| told.len() >= cookies.len()) {
                break;
            }
            self.k.write(self.memory, -10_000_i64);
            self.k.call_export("KeDelayExecutionThread", &[0, 0, self.memory]);
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
    fn works(&mut self, after: &str) {
        let cookies = self.submit(0);
        assert_eq!(self.ends(&cookies), Some(vec![SUCCESS; BATCH as usize]), "after {after}");
        assert!((0..BATCH).all(|number| self.arrived(number)), "after {after}");
    }

    fn leave(self) {
        assert_eq!(self.call("NetDmaFreeChannel", &[self.channel]), SUCCESS);
        assert_eq!(self.call("NetDmaDeregisterClient", &[self.client]), SUCCESS);
        assert_eq!(TOLD.take(), [], "told of more than was asked for");
        self.k.pool_free(self.memory);
    }
}

/// Boots a machine with one engine and the three packages, runs `work` with a client on it, and demands that nothing is
/// left behind.
fn with_client(options: Options, work: impl FnOnce(&mut Client<'_>)) -> Result<Lab, Failure> {
    let machine = Machine::builder().cpus(2).seed(1).memory(64 << 20).host_code(true).build();
    let mut lab = Lab { machine: machine.expect("a machine"), engines: Vec::new() };
    lab.plug("engine".into(), options)?;
    for package in &PACKAGES[..2] {
        lab.install(package)?;
    }
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

fn options(device: u16, plan: &str) -> Options {
    let options = Options::new(0x8086, device).expect("an id of the table");
    Options { faults: plan.parse().expect("a fault plan"), ..options }
}

fn nothing_left(lab: Lab) -> Result<(), Failure> {
    let left = lab.shut_down()?;
    assert!(left.is_empty(), "{left:?}");
    Ok(())
}

#[test]
fn every_error_at_the_first_a_middle_and_the_last_of_a_batch_ends_each_request_once() -> Result<(), Failure> {
    // Bit 15 is read only (§2.8): whoever sets it, no driver clears it.
    let bits: Vec<_> = ChanErr::ALL.iter().filter(|bit| 1 << bit.bit != ChanErr::UNAFFILIATED.0).collect();
    for device in DEVICES {
        let mut expected = Vec::new();
        let mut lab = with_client(options(device, ""), |client| {
            for bit in &bits {
                for (place, flags) in PLACES {
                    let case = format!("{device:04x}: {} at {place}, flags {flags:#x}", bit.name);
                    client.misbehave(&format!("halt descriptor={place} error={}", bit.name));
                    let cookies = client.submit(flags);
                    let ends = client.ends(&cookies);
                    client.misbehave("");
                    let good = place - 1;
                    let mut wanted = vec![SUCCESS; good];
                    wanted.resize(BATCH as usize, IO_DEVICE_ERROR);
                    proves!(image: R211, H34; assert_eq!(ends.as_deref(), Some(&wanted[..]), "{case}"));
                    assert!((0..good as u64).all(|number| client.arrived(number)), "{case}");
                    client.works(&case);
                    expected.push(1 << bit.bit);
                }
            }
        })?;
        let events = lab.events()?;
        let errors = events.iter().filter(|event| event.name() == "EngineError");
        assert_eq!(errors.filter_map(|event| event.value("errors")).collect::<Vec<u64>>(), expected);
        nothing_left(lab)?;
    }
    Ok(())
}

#[test]
fn interrupts_that_are_lost_or_nobody_asked_for_and_slow_words_cost_time_and_nothing_else()
-> Result<(), Failure> {
    for device in DEVICES {
        let lab = with_client(options(device, ""), |client| {
            for plan in [
                "drop-interrupt interrupt=1",
                "drop-interrupt interrupt=*",
                "spurious-interrupt descriptor=*",
                "late-completion completion=1 by=3000000",
                "torn-completion completion=*",
            ] {
                client.misbehave(plan);
                for _ in 0..2 {
                    proves!(image: H31; client.works(plan));
                }
                client.misbehave("");
                client.works(plan);
            }
        })?;
        nothing_left(lab)?;
    }
    Ok(())
}

#[test]
fn a_completion_word_that_never_came_is_made_good_by_the_watchdog() -> Result<(), Failure> {
    for device in DEVICES {
        let lab = with_client(options(device, ""), |client| {
            for plan in [
                "lost-completion completion=1",
                "backward-completion completion=1",
                "drop-interrupt interrupt=1; lost-completion completion=1",
                // Names nothing: the state is believed, the address is none.
                "foreign-completion completion=1 address=0x10",
            ] {
                // Nothing follows that could bring the next word: only the completion word tells what is done (Q7).
                client.misbehave(plan);
                proves!(image: H31, H44; client.works(plan));
                client.misbehave("");
                client.works(plan);
            }
        })?;
        nothing_left(lab)?;
    }
    Ok(())
}

#[test]
fn a_completion_word_that_names_a_stranger_is_not_believed_and_the_channel_is_stopped() -> Result<(), Failure>
{
    let strangers = ["0x1000", "0x100000040", "0xFFFFFFFFFFFFFFC0"];
    for device in DEVICES {
        let mut lab = with_client(options(device, ""), |client| {
            for address in strangers {
                let plan = format!("foreign-completion completion=1 address={address}");
                client.misbehave(&plan);
                let cookies = client.submit(0);
                // The stop writes an honest word: all was done.
                assert_eq!(
                    client.ends(&cookies),
                    Some(vec![SUCCESS; BATCH as usize]),
                    "{device:04x}: {plan}"
                );
                client.misbehave("");
                client.works(&plan);
            }
        })?;
        let names = lab.event_names()?;
        let foreign = names.iter().filter(|name| **name == "ForeignCompletion");
        assert_eq!(foreign.count(), strangers.len(), "{device:04x}");
        nothing_left(lab)?;
    }
    Ok(())
}

#[test]
fn an_interrupt_that_never_ends_stops_nobody() -> Result<(), Failure> {
    for device in DEVICES {
        let lab = with_client(options(device, ""), |client| {
            client.misbehave("stuck-interrupt interrupt=1");
            for _ in 0..3 {
                client.works("an interrupt that is stuck");
            }
        })?;
        nothing_left(lab)?;
    }
    Ok(())
}

#[test]
fn an_engine_found_running_or_halted_or_with_half_its_configuration_space_is_put_to_work()
-> Result<(), Failure> {
    for device in DEVICES {
        for plan in ["running-at-start", "halted-at-start error=read-data", "config-unreachable"] {
            nothing_left(with_client(options(device, plan), |_| {})?)?;
        }
    }
    Ok(())
}
