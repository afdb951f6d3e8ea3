//! The inside of a machine: what kernel services, devices and drivers' callbacks see as `k`.

use std::borrow::Cow;
use std::cell::Cell;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::cpu::Cpus;
use crate::cpu::strategy::Strategy;
use crate::guarded::Guarded;
use crate::loader::Loader;
use crate::memory::Memory;
use crate::ntoskrnl::Services;
use crate::random::Random;
use crate::stop::Stop;
use crate::trace::{Event, Trace};

/// How a machine is made.
#[derive(Debug, Clone)]
pub struct Options {
    /// Virtual processors, 1 to 64.
    pub cpus: u32,
    /// What decides everything that could go either way.
    pub seed: u64,
    /// APIC id of the first processor; each of the others has the id of the one before and two.
    pub first_apic_id: u32,
    /// Bytes of physical memory.
    pub memory: u64,
    /// Whether devices that did not opt out are behind remapping hardware.
    pub remapping: bool,
    /// Virtual time one host operation may take, in nanoseconds.
    pub time_limit: u64,
    /// The Windows release that INF decorations are compared with.
    pub release: crate::inf::package::Release,
    /// Who runs next.
    pub strategy: Strategy,
    /// Whether every instruction of driver code is a switch point.
    pub single_step: bool,
    /// Whether each processor has a host thread of its own.
    pub free_running: bool,
    /// Whether routines of the host program may stand in for driver code: for tests of this crate.
    pub host_code: bool,
    /// Switch points one host operation may take.
    pub step_limit: u64,
    /// The command that runs the same history again.
    pub replay: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            cpus: 2,
            seed: 1,
            first_apic_id: 0,
            memory: 256 << 20,
            remapping: false,
            time_limit: 600_000_000_000,
            release: crate::inf::package::Release { major: 10, minor: 0, build: 19041 },
            strategy: Strategy::Random,
            single_step: false,
            free_running: false,
            host_code: false,
            step_limit: 2_000_000_000,
            replay: String::new(),
        }
    }
}

/// A machine's kernel.
#[derive(Debug)]
pub struct Kernel {
    pub(crate) options: Options,
    now: AtomicU64,
    /// Calls from driver code that were switch points.
    pub(crate) calls: AtomicU64,
    random: Guarded<Random>,
    trace: Guarded<Trace>,
    pub(crate) stopped: Guarded<Option<Box<Stop>>>,
    pub(crate) cpus: Cpus,
    pub(crate) memory: Memory,
    pub(crate) loader: Loader,
    pub(crate) services: Services,
    pub(crate) pci: crate::pci::bus::Bus,
    pub(crate) io: crate::io::Io,
    pub(crate) pnp: crate::pnp::Pnp,
    pub(crate) kmdf: crate::kmdf::Kmdf,
    pub(crate) system: Guarded<crate::install::System>,
}

thread_local! {
    static CURRENT: Cell<*const Kernel> = const { Cell::new(std::ptr::null()) };
}

/// Not inlined: see [`crate::cpu::parallel`].
#[inline(never)]
fn current() -> *const Kernel {
    CURRENT.get()
}

#[inline(never)]
fn replace_current(kernel: *const Kernel) -> *const Kernel {
    CURRENT.replace(kernel)
}

impl Kernel {
    pub(crate) fn new(options: Options) -> io::Result<Box<Self>> {
        let memory = Memory::new(options.memory, options.seed, options.remapping)?;
        let kernel = Box::new(Self {
            now: AtomicU64::new(0),
            calls: AtomicU64::new(0),
            random: Guarded::new(Random::new(options.seed)),
            trace: Guarded::new(Trace::new()),
            stopped: Guarded::new(None),
            cpus: Cpus::new(options.cpus, options.strategy.clone(), options.seed),
            memory,
            loader: Loader::default(),
            services: Services::default(),
            pci: crate::pci::bus::Bus::default(),
            io: crate::io::Io::default(),
            pnp: crate::pnp::Pnp::default(),
            kmdf: crate::kmdf::Kmdf::default(),
            system: Guarded::new(crate::install::System::new(options.release)),
            options,
        });
        kernel.power_on();
        Ok(kernel)
    }

    /// Makes this machine the one that driver code on this host thread belongs to, while `work` runs.
    pub(crate) fn enter<R>(&self, work: impl FnOnce() -> R) -> R {
        struct Restore(*const Kernel);
        impl Drop for Restore {
            fn drop(&mut self) {
                replace_current(self.0);
            }
        }
        let _restore = Restore(replace_current(self));
        work()
    }

    /// The machine whose code runs on this host thread.
    ///
    /// The reference is only good inside a fiber of that machine, which cannot outlive it.
    pub(crate) fn current() -> Option<&'static Self> {
        let kernel = current();
        // SAFETY: set by `enter` for as long as the machine's fibers run; fibers do not outlive their machine.
        unsafe { kernel.as_ref() }
    }

    /// Runs `work` with the machine whose code runs on this host thread: for routines of the host that a machine calls.
    pub fn with_current<R>(work: impl FnOnce(&Self) -> R) -> Option<R> {
        Self::current().map(work)
    }

    /// Virtual time since power-on in nanoseconds.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }

    pub(crate) fn set_now(&self, now: u64) {
        self.now.store(now, Ordering::Relaxed);
    }

    /// A number below `bound`, decided by the seed. Every choice of the machine goes through here.
    #[must_use]
    pub fn choose(&self, bound: u64) -> u64 {
        self.random.with(|random| random.below(bound))
    }

    /// Records an event in the history of the machine.
    ///
    /// `value` must be the same in every run with the same seed: no host address.
    pub fn record(&self, what: impl Into<Cow<'static, str>>, value: u64) {
        self.record_from(what.into(), value, None);
    }

    /// The same, for a call that came from the driver code at `caller`.
    pub(crate) fn record_from(&self, what: Cow<'static, str>, value: u64, caller: Option<u64>) {
        let event = Event {
            number: 0,
            time: self.now(),
            cpu: self.cpu_number(),
            irql: self.irql(),
            thread: self.current_thread_id(),
            what,
            value: caller.map_or(value, |caller| caller.wrapping_sub(self.memory.space.base())),
            caller,
        };
        self.trace.with(|trace| trace.record(event));
    }

    /// A hash over everything recorded so far: equal histories have equal hashes.
    #[must_use]
    pub fn trace_hash(&self) -> u64 {
        self.trace.with(|trace| trace.hash())
    }

    /// Events recorded so far.
    #[must_use]
    pub fn trace_length(&self) -> u64 {
        self.trace.with(|trace| trace.count())
    }

    /// The last events, oldest first.
    #[must_use]
    pub fn last_events(&self) -> Vec<Event> {
        self.trace.try_with(|trace| trace.last()).unwrap_or_default()
    }

    /// The seed of the machine.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.options.seed
    }
}
