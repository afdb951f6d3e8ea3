//! The machine as its host sees it.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::atomic::Ordering;

use crate::cpu::Outcome;
use crate::cpu::strategy::{History, Strategy};
use crate::cpu::thread::Run;
use crate::kernel::{Kernel, Options};
use crate::stop::{Fault, HOST_FAILURE, Stop};

/// A hosted NT machine.
///
/// Everything happens inside [`Machine::run`] and its siblings; between two calls the machine stands still.
#[derive(Debug)]
pub struct Machine {
    kernel: Box<Kernel>,
}

/// Makes a [`Machine`].
#[derive(Debug, Clone, Default)]
pub struct Builder {
    options: Options,
}

impl Builder {
    /// Virtual processors, 1 to 64; 2 unless said otherwise.
    #[must_use]
    pub fn cpus(mut self, count: u32) -> Self {
        self.options.cpus = count;
        self
    }

    /// The seed: it decides everything that could go either way.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.options.seed = seed;
        self
    }

    /// APIC id of the first processor, as CPUID tells it: 0 unless said otherwise. Each further one has an id two higher, as
    /// where the second thread of each core is switched off.
    #[must_use]
    pub fn first_apic_id(mut self, id: u32) -> Self {
        self.options.first_apic_id = id;
        self
    }

    /// Bytes of physical memory; 256 MiB unless said otherwise.
    #[must_use]
    pub fn memory(mut self, bytes: u64) -> Self {
        self.options.memory = bytes;
        self
    }

    /// Whether remapping hardware sits between memory and the devices that did not opt out.
    #[must_use]
    pub fn remapping(mut self, on: bool) -> Self {
        self.options.remapping = on;
        self
    }

    /// Virtual time in nanoseconds and switch points that one host operation may take before it counts as hung.
    #[must_use]
    pub fn limits(mut self, time: u64, steps: u64) -> Self {
        self.options.time_limit = time;
        self.options.step_limit = steps;
        self
    }

    /// Who runs next where more than one could; [`Strategy::Random`] unless said otherwise.
    #[must_use]
    pub fn strategy(mut self, strategy: Strategy) -> Self {
        self.options.strategy = strategy;
        self
    }

    /// Makes every instruction of driver code a switch point (by the processor's trap flag): slow, and finds races
    /// that no kernel call separates.
    #[must_use]
    pub fn single_step(mut self, on: bool) -> Self {
        self.options.single_step = on;
        self
    }

    /// Gives each processor a host thread, so that driver code runs on all of them at once. There is no replay, and the
    /// seed decides little; not to be combined with single-step mode.
    #[must_use]
    pub fn free_running(mut self, on: bool) -> Self {
        self.options.free_running = on;
        self
    }

    /// Lets functions of the host program stand in for driver code where the kernel calls a routine: for tests that
    /// need no image.
    #[must_use]
    pub fn host_code(mut self, allowed: bool) -> Self {
        self.options.host_code = allowed;
        self
    }

    /// The command that runs the same history again, for stops to show. Without it a stop names the test that made
    /// the machine; see [`crate::replay`].
    #[must_use]
    pub fn replay(mut self, command: impl Into<String>) -> Self {
        self.options.replay = command.into();
        self
    }

    /// Powers the machine on.
    ///
    /// # Errors
    /// When the host gives no memory or address space.
    pub fn build(mut self) -> io::Result<Machine> {
        crate::fault::install()?;
        if self.options.replay.is_empty() {
            self.options.replay = crate::replay::command(self.options.seed);
        }
        Ok(Machine { kernel: Kernel::new(self.options)? })
    }
}

impl Machine {
    /// A builder with the defaults.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Runs `work` in a system thread at PASSIVE_LEVEL, and everything else the machine does meanwhile, until it returns.
    ///
    /// # Errors
    /// The [`Stop`] that ended the machine; every later operation returns the same one.
    ///
    /// # Panics
    /// With the panic of `work`, which ends the machine too.
    pub fn run<'scope, R: 'scope>(
        &mut self,
        work: impl FnOnce(&Kernel) -> R + 'scope,
    ) -> Result<R, Box<Stop>> {
        let slot: Rc<RefCell<Option<R>>> = Rc::default();
        let result = Rc::clone(&slot);
        let body: Box<dyn FnOnce(&Kernel) + 'scope> = Box::new(move |k| {
            let value = work(k);
            *result.borrow_mut() = Some(value);
        });
        // SAFETY: the thread runs only inside `drive` below. When this function returns the thread has ended, or the
        // machine has stopped and none of its fibers is entered again: nothing borrowed is used after 'scope.
        let body = unsafe {
            std::mem::transmute::<Box<dyn FnOnce(&Kernel) + 'scope>, Box<dyn FnOnce(&Kernel)>>(body)
        };
        let kernel = &*self.kernel;
        kernel.enter(|| {
            if let Some(stop) = kernel.stopped.with(|stopped| stopped.clone()) {
                return Err(stop);
            }
            // In free-running mode processor 0 is the caller's own host thread.
            let id = kernel.spawn("host", u64::from(kernel.options.free_running), body);
            let thread = kernel.thread(id);
            let ended = || thread.run.with(|run| *run == Run::Finished);
            let outcome = kernel.drive(u64::MAX, &|_| ended());
            if let Some(payload) = thread.panic.with(Option::take) {
                kernel.give_up("a host operation panicked");
                std::panic::resume_unwind(payload);
            }
            match outcome? {
                Outcome::Reached => Ok(slot.borrow_mut().take().expect("the thread has ended")),
                Outcome::Idle => Err(kernel.hung("every thread waits and nothing can wake one (a deadlock)")),
            }
        })
    }

    /// Lets the machine go on until no thread, DPC, interrupt or device has anything to do. Timers that are still to
    /// expire do not count.
    ///
    /// # Errors
    /// The [`Stop`] that ended the machine.
    pub fn until_idle(&mut self) -> Result<(), Box<Stop>> {
        let kernel = &*self.kernel;
        kernel.enter(|| {
            loop {
                // Devices may still have work at a known time; timers alone do not keep a machine busy.
                let until = kernel.next_device_event().unwrap_or(0).max(kernel.now());
                kernel.drive(until, &|_| false)?;
                if kernel.next_device_event().is_none() {
                    return Ok(());
                }
            }
        })
    }

    /// Lets the machine go on for `nanoseconds` of virtual time.
    ///
    /// # Errors
    /// The [`Stop`] that ended the machine.
    pub fn advance(&mut self, nanoseconds: u64) -> Result<(), Box<Stop>> {
        let kernel = &*self.kernel;
        let until = kernel.now() + nanoseconds;
        kernel.enter(|| {
            if kernel.drive(until, &|k| k.now() >= until)? == Outcome::Idle {
                kernel.set_now(until);
            }
            Ok(())
        })
    }

    /// The events that drivers have traced so far (ETW), decoded.
    #[must_use]
    pub fn etw_events(&self) -> Vec<crate::TraceEvent> {
        self.kernel.trace_events()
    }

    /// What drivers have printed so far (DbgPrint).
    #[must_use]
    pub fn messages(&self) -> Vec<String> {
        self.kernel.messages()
    }

    /// The scheduling decisions taken so far, for [`Strategy::Replay`] with the same seed.
    #[must_use]
    pub fn decisions(&self) -> History {
        self.kernel.cpus.decider.with(|decider| decider.history())
    }

    /// A hash over the machine's history so far.
    #[must_use]
    pub fn trace_hash(&self) -> u64 {
        self.kernel.trace_hash()
    }

    /// Events in the machine's history so far.
    #[must_use]
    pub fn trace_length(&self) -> u64 {
        self.kernel.trace_length()
    }

    /// Calls of kernel functions by drivers so far, without those that only touch their arguments.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.kernel.calls.load(Ordering::Relaxed)
    }

    /// Virtual time since power-on in nanoseconds.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.kernel.now()
    }
}

impl Kernel {
    fn give_up(&self, why: &str) {
        let stop = self.describe(Fault::new("Host", HOST_FAILURE).text(why), None);
        self.stopped.with(|stopped| {
            stopped.get_or_insert(stop);
        });
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.kernel.enter(|| self.kernel.power_off());
    }
}
