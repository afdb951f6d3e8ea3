//! Virtual processors, threads, and who runs when.
//!
//! A thread is a fiber of the host. Interrupts and DPCs run nested on the stack of whatever thread is current on their
//! processor, as on Windows. All fibers of a machine run on one host thread: at a switch point the running one may hand
//! it to another processor's. Only in free-running mode (`parallel`) each processor has a host thread of its own.

pub mod dpc;
pub mod interrupt;
pub mod irql;
pub(crate) mod parallel;
mod scheduler;
mod segment;
mod stack;
pub mod strategy;
mod switch;
pub mod thread;
pub mod timer;
pub mod wait;

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

use crate::guarded::Guarded;
use crate::kernel::Kernel;
use crate::pci::Progress;
use segment::Segment;
use thread::{Thread, ThreadId};

pub(crate) use scheduler::Outcome;
pub(crate) use segment::{Context, SAVED};

/// All processors of a machine and what they share.
#[derive(Debug)]
pub(crate) struct Cpus {
    pub(crate) list: Vec<Cpu>,
    pub(crate) threads: Guarded<Vec<Rc<Thread>>>,
    /// Threads that could run, in no particular order.
    ready: Guarded<Vec<ThreadId>>,
    pub(crate) waits: Guarded<wait::Waits>,
    pub(crate) timers: Guarded<timer::Timers>,
    pub(crate) interrupts: Guarded<interrupt::Interrupts>,
    devices: Guarded<Vec<Attached>>,
    pub(crate) decider: Guarded<strategy::Decider>,
    pub(crate) parallel: parallel::Parallel,
    /// Switch points since the host operation began.
    pub(crate) steps: AtomicU64,
}

/// One virtual processor.
#[derive(Debug)]
pub(crate) struct Cpu {
    pub(crate) irql: AtomicU8,
    /// The thread whose stack the processor runs on.
    pub(crate) thread: AtomicU32,
    /// The thread that runs when there is no other.
    idle: AtomicU32,
    pub(crate) dpcs: Guarded<VecDeque<u64>>,
    /// Virtual time at which the IRQL last rose to DISPATCH_LEVEL or a DPC began.
    raised_at: AtomicU64,
    /// The DPC that is running, and zero when none is.
    pub(crate) running_dpc: AtomicU64,
    pending: Guarded<Vec<interrupt::InterruptId>>,
    pub(crate) segment: Segment,
}

/// Something that makes progress by itself, in virtual time.
pub trait Device {
    /// Does one small piece of work and says when to be called again.
    fn step(&self, k: &Kernel) -> Progress;
}

/// Names an attached device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceId(usize);

struct Attached {
    device: Option<Arc<dyn Device>>,
    /// When it wants to be stepped, or never.
    due: Option<u64>,
}

impl std::fmt::Debug for Attached {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attached").field("due", &self.due).finish_non_exhaustive()
    }
}

thread_local! {
    static HERE: Cell<u32> = const { Cell::new(0) };
}

/// The processor that this host thread runs. Not inlined: see [`parallel`].
#[inline(never)]
fn here() -> u32 {
    HERE.get()
}

#[inline(never)]
fn set_here(number: u32) {
    HERE.set(number);
}

impl Cpus {
    pub(crate) fn new(count: u32, strategy: strategy::Strategy, seed: u64) -> Self {
        let count = count.clamp(1, 64);
        let cpu = |_| Cpu {
            irql: AtomicU8::new(0),
            thread: AtomicU32::new(0),
            idle: AtomicU32::new(0),
            dpcs: Guarded::new(VecDeque::new()),
            raised_at: AtomicU64::new(0),
            running_dpc: AtomicU64::new(0),
            pending: Guarded::new(Vec::new()),
            segment: Segment::new(),
        };
        Self {
            list: (0..count).map(cpu).collect(),
            threads: Guarded::new(Vec::new()),
            ready: Guarded::new(Vec::new()),
            waits: Guarded::new(wait::Waits::default()),
            timers: Guarded::new(timer::Timers::default()),
            interrupts: Guarded::new(interrupt::Interrupts(BTreeMap::new(), 0)),
            devices: Guarded::new(Vec::new()),
            decider: Guarded::new(strategy::Decider::new(strategy, seed, count)),
            parallel: parallel::Parallel::default(),
            steps: AtomicU64::new(0),
        }
    }
}

impl Kernel {
    /// Gives every processor its idle thread.
    pub(crate) fn power_on(&self) {
        for (number, cpu) in self.cpus.list.iter().enumerate() {
            let idle = self.create_idle_thread(number as u32);
            cpu.idle.store(idle.0, Ordering::Relaxed);
            cpu.thread.store(idle.0, Ordering::Relaxed);
        }
    }

    /// The processor that runs.
    #[must_use]
    pub fn cpu_number(&self) -> u32 {
        here()
    }

    /// How many processors there are.
    #[must_use]
    pub fn cpu_count(&self) -> u32 {
        self.cpus.list.len() as u32
    }

    pub(crate) fn cpu(&self) -> &Cpu {
        &self.cpus.list[here() as usize]
    }

    pub(crate) fn current_thread_id(&self) -> u32 {
        self.cpu().thread.load(Ordering::Relaxed)
    }

    /// Lets `device` make progress from the next switch point on.
    pub fn attach_device(&self, device: Arc<dyn Device>) -> DeviceId {
        let due = Some(self.now());
        self.cpus.devices.with(|devices| {
            devices.push(Attached { device: Some(device), due });
            DeviceId(devices.len() - 1)
        })
    }

    /// The device makes no more progress.
    pub fn detach_device(&self, id: DeviceId) {
        self.cpus.devices.with(|devices| devices[id.0] = Attached { device: None, due: None });
    }

    /// The device may have something to do again: call it after a register write.
    pub fn wake_device(&self, id: DeviceId) {
        let now = self.now();
        self.cpus.devices.with(|devices| {
            let attached = &mut devices[id.0];
            if attached.device.is_some() {
                attached.due = Some(attached.due.map_or(now, |due| due.min(now)));
            }
        });
    }
}
