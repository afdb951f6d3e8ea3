//! From a violation to a [`Stop`]: where it happened, who called whom, what the machine looked like.

use crate::call::CallKind;
use crate::cpu::thread::{Run, Yield};
use crate::guarded;
use crate::kernel::Kernel;
use crate::loader::unwind::Registers;
use crate::memory::pool::tag_text;
use crate::memory::space::{Kind, Region};
use crate::stop::{Fault, Frame, Stop, ThreadState};
use crate::trace::Event;

/// Frames a stack walk shows at most.
const DEPTH: usize = 64;

impl Kernel {
    /// Stops the machine. The fiber that called this is never resumed.
    pub fn stop(&self, fault: Fault) -> ! {
        self.stop_at(fault, None)
    }

    /// Stops the machine because of the instruction with these registers.
    pub(crate) fn stop_at(&self, fault: Fault, registers: Option<Registers>) -> ! {
        // State that was being changed stays locked: then no routine can run any more.
        let consistent = !guarded::forget_open();
        if self.stopped.with(|stopped| stopped.is_none()) {
            let stop = self.describe(fault, registers);
            self.stopped.with(|stopped| *stopped = Some(stop));
            if consistent {
                self.call_bug_check_routines();
            }
        }
        self.halt();
    }

    /// Leaves the current fiber for ever.
    pub(crate) fn halt(&self) -> ! {
        let thread = self.current_thread();
        loop {
            thread.suspend(Yield::Stopped);
        }
    }

    /// The whole story of a violation.
    pub(crate) fn describe(&self, fault: Fault, registers: Option<Registers>) -> Box<Stop> {
        let Fault { rule, check, text, parameters } = fault;
        let thread = self.current_thread();
        Box::new(Stop {
            rule,
            code: check.code,
            name: check.name,
            meaning: check.meaning,
            text,
            parameters,
            irql: self.irql(),
            cpu: self.cpu_number(),
            thread: format!("{} ({})", thread.id.0, thread.name),
            stack: self.stack(registers),
            locks: self.held_spin_locks().into_iter().chain(self.held_waiting_locks()).collect(),
            threads: self.thread_states(),
            events: self.told_events(),
            time: self.now(),
            seed: self.seed(),
            replay: self.options.replay.clone(),
            dump: Vec::new(),
        })
    }

    /// The call stack: driver frames from the unwind data of their images, kernel frames from the crossings.
    fn stack(&self, registers: Option<Registers>) -> Vec<Frame> {
        let mut frames = Vec::new();
        if let Some(registers) = registers {
            self.walk(registers, true, &mut frames);
        }
        for crossing in self.crossings() {
            match crossing {
                CallKind::Into { export, context } => {
                    let symbol = format!("{}!{}", export.module, export.name);
                    frames.push(Frame { address: 0, symbol, line: None });
                    self.walk(Registers::of_call(self, &context), false, &mut frames);
                }
                CallKind::Trap { registers } => self.walk(registers, true, &mut frames),
                CallKind::Out { what, target } => {
                    // SAFETY: the text lives in the frame of `Kernel::call`, which is still active.
                    let what = unsafe { &*what };
                    frames.push(Frame {
                        address: target,
                        symbol: format!("(kernel calls {what})"),
                        line: None,
                    });
                }
            }
        }
        frames
    }

    /// Adds the driver's frames from `registers` outwards until the stack leaves the images.
    fn walk(&self, mut registers: Registers, exact: bool, frames: &mut Vec<Frame>) {
        let mut exact = exact;
        while frames.len() < DEPTH && self.loader.is_in_image(registers.rip) {
            // A return address may be the first of the next function: look up the call before it.
            let lookup = registers.rip - u64::from(!exact);
            frames.push(self.frame(registers.rip, lookup));
            match self.loader.unwind(self, &registers) {
                Some(outer) => registers = outer,
                None => break,
            }
            exact = false;
        }
    }

    fn frame(&self, address: u64, lookup: u64) -> Frame {
        let (symbol, line) = self.loader.resolve(lookup, address);
        Frame { address, symbol, line }
    }

    /// The function an address lies in, `image!function+0x12 [file:line]`.
    #[must_use]
    pub fn symbol(&self, address: u64) -> String {
        if !self.memory.space.contains(address) {
            return "the host program".to_owned();
        }
        let (symbol, line) = self.loader.resolve(address, address);
        line.map_or_else(|| symbol.clone(), |line| format!("{symbol} [{line}]"))
    }

    fn thread_states(&self) -> Vec<ThreadState> {
        let threads = self.cpus.threads.try_with(|threads| threads.clone()).unwrap_or_default();
        let alive = threads.iter().filter_map(|thread| {
            let state = match thread.run.try_with(|run| run.clone())? {
                Run::Finished => return None,
                Run::Ready => "ready".to_owned(),
                Run::Running(cpu) => format!("running on cpu {cpu}"),
                Run::Waiting => {
                    let objects = self.waited_objects(thread.id);
                    let objects: Vec<_> =
                        objects.iter().map(|&object| self.describe_address(object)).collect();
                    format!("waits for {}", objects.join(", "))
                }
            };
            Some(ThreadState { id: thread.id.0, name: thread.name.clone(), state })
        });
        alive.filter(|state| !state.name.starts_with("idle ")).collect()
    }

    /// The last events, calls with the place they came from.
    fn told_events(&self) -> Vec<Event> {
        let tell = |mut event: Event| {
            if let Some(caller) = event.caller {
                event.what = format!("{} from {}", event.what, self.symbol(caller)).into();
            }
            event
        };
        self.last_events().into_iter().map(tell).collect()
    }

    /// What an address is, in words.
    #[must_use]
    pub fn describe_address(&self, address: u64) -> String {
        if address < 0x10000 {
            return format!("{address:#x} (near null)");
        }
        if let Some(region) = self.memory.space.find(address) {
            return self.describe_region(&region, address);
        }
        let threads = self.cpus.threads.try_with(|threads| threads.clone()).unwrap_or_default();
        if let Some(thread) = threads.iter().find(|thread| thread.is_on_stack(address) && !thread.has_ended())
        {
            return format!("{address:#x} on the stack of thread {} ({})", thread.id.0, thread.name);
        }
        if self.memory.space.contains(address) {
            format!("{address:#x}, kernel memory that was never allocated")
        } else {
            format!("{address:#x}, not memory of this machine")
        }
    }

    fn describe_region(&self, region: &Region, address: u64) -> String {
        let (first, end) = region.used;
        let what = match &region.kind {
            Kind::Image(name) => format!("image {name}"),
            Kind::Pool { tag, size, nonpaged } => {
                let pool = if *nonpaged { "nonpaged" } else { "paged" };
                format!("{pool} pool block {first:#x} '{}' of {size} bytes", tag_text(*tag))
            }
            Kind::System(what) | Kind::Contiguous(what) => what.clone(),
            Kind::Mapping => "a mapping of an MDL".to_owned(),
            Kind::Mmio(physical) => format!("device registers at physical address {physical:#x}"),
            Kind::User => "a user buffer".to_owned(),
        };
        let place = if address < first {
            format!("{} bytes before {what}", first - address)
        } else if address >= end {
            format!("{} bytes past the end of {what}", address - end + 1)
        } else {
            format!("{what} + {:#x}", address - first)
        };
        let made = if region.made_by == 0 {
            String::new()
        } else {
            format!(", made by {}", self.symbol(region.made_by))
        };
        let freed = match region.freed_by {
            None => String::new(),
            Some(0) => ", freed".to_owned(),
            Some(by) => format!(", freed by {}", self.symbol(by)),
        };
        format!("{address:#x}: {place}{made}{freed}")
    }

    /// Stops the machine when memory about to go away holds something the kernel still uses.
    pub(crate) fn check_nothing_live_in(&self, start: u64, end: u64, what: &str) {
        use crate::stop::bugcheck::{DRIVER_VERIFIER_DETECTED_VIOLATION, TIMER_OR_DPC_INVALID};
        let live = [
            (self.dpcs_in(start, end), "a queued DPC", TIMER_OR_DPC_INVALID),
            (self.timers_in(start, end), "a timer that is set", TIMER_OR_DPC_INVALID),
            (
                self.waited_in(start, end),
                "an object that a thread waits for",
                DRIVER_VERIFIER_DETECTED_VIOLATION,
            ),
            (self.locks_in(start, end), "a held spin lock", DRIVER_VERIFIER_DETECTED_VIOLATION),
            (self.holders_in(start, end), "a held lock", DRIVER_VERIFIER_DETECTED_VIOLATION),
            (self.locked_in(start, end), "pages locked by an MDL", DRIVER_VERIFIER_DETECTED_VIOLATION),
        ];
        for (found, object, check) in live {
            if let Some(object_address) = found {
                self.stop(
                    Fault::new("LiveObject", check)
                        .text(format!("{what} at {start:#x} contains {object} at {object_address:#x}"))
                        .parameter(0, "object found in memory that goes away")
                        .parameter(object_address, "the object")
                        .parameter(start, "start of the memory")
                        .parameter(end, "end of the memory"),
                );
            }
        }
    }
}
