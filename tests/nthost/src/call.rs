//! Calls from the kernel into driver code, and the record of who called whom that stack walks follow.

use std::sync::atomic::Ordering;

use crate::cpu::Context;
use crate::cpu::thread::Thread;
use crate::export::Export;
use crate::guarded;
use crate::kernel::Kernel;
use crate::loader::unwind::Registers;
use crate::stop::{Fault, bugcheck};

/// One crossing between driver code and the kernel, on the stack of the thread that made it.
#[derive(Debug)]
pub(crate) struct CallFrame {
    previous: *const Self,
    kind: CallKind,
}

/// The direction of a crossing.
#[derive(Debug, Clone, Copy)]
pub(crate) enum CallKind {
    /// Driver code called an exported function.
    Into {
        /// The function.
        export: &'static Export,
        /// The caller's registers.
        context: Context,
    },
    /// The kernel called driver code: what for, and where.
    Out {
        /// A name that lives as long as the frame.
        what: *const str,
        /// The routine.
        target: u64,
    },
    /// An instruction of driver code faulted and is being done by the machine.
    Trap {
        /// The registers at the instruction.
        registers: Registers,
    },
}

impl CallFrame {
    pub(crate) fn new(thread: &Thread, kind: CallKind) -> Self {
        Self { previous: thread.frames.load(Ordering::Relaxed), kind }
    }

    /// Makes this the innermost frame of `thread`, which runs, until the result is dropped. The frame must not move.
    pub(crate) fn link<'a>(&self, thread: &'a Thread) -> Linked<'a> {
        thread.frames.store(std::ptr::from_ref(self).cast_mut(), Ordering::Relaxed);
        Linked { thread, previous: self.previous }
    }

    /// The driver's stack pointer at the crossing; zero for calls out.
    pub(crate) fn stack_pointer(&self) -> u64 {
        match self.kind {
            CallKind::Into { context, .. } => context.rsp,
            CallKind::Out { .. } | CallKind::Trap { .. } => 0,
        }
    }
}

/// Takes the frame out of the thread's chain when dropped.
pub(crate) struct Linked<'a> {
    thread: &'a Thread,
    previous: *const CallFrame,
}

impl Drop for Linked<'_> {
    fn drop(&mut self) {
        self.thread.frames.store(self.previous.cast_mut(), Ordering::Relaxed);
    }
}

impl Kernel {
    /// The crossings of the current thread, innermost first.
    pub(crate) fn crossings(&self) -> Vec<CallKind> {
        self.crossings_of(&self.current_thread())
    }

    /// The crossings of a thread that is the current one or stands still, innermost first.
    fn crossings_of(&self, thread: &Thread) -> Vec<CallKind> {
        let mut crossings = Vec::new();
        let mut frame = thread.frames.load(Ordering::Relaxed).cast_const();
        // SAFETY: linked frames are on the stack of the thread, below its active functions, which do not go on meanwhile.
        while let Some(linked) = unsafe { frame.as_ref() } {
            crossings.push(linked.kind);
            frame = linked.previous;
        }
        crossings
    }

    /// Routines of an image that somebody is in the middle of, on whatever processor, in words. None in free-running mode,
    /// where the others do not stand still.
    pub(crate) fn calls_under_way_in(&self, image: impl Fn(u64) -> bool) -> Vec<String> {
        if self.options.free_running {
            return Vec::new();
        }
        // A thread that ended itself (PsTerminateSystemThread) never left its frames, and its stack is gone.
        let mut threads = self.cpus.threads.with(|threads| threads.clone());
        threads.retain(|thread| !thread.has_ended());
        let active = |thread: &std::rc::Rc<Thread>| {
            self.crossings_of(thread).into_iter().find_map(|crossing| match crossing {
                CallKind::Out { target, .. } if image(target) => {
                    Some(format!("{} is still running on {}", self.symbol(target), thread.name))
                }
                _ => None,
            })
        };
        threads.iter().filter_map(active).collect()
    }

    /// Where driver code called the kernel: the return address of the innermost call, or zero.
    pub(crate) fn caller_address(&self) -> u64 {
        let frame = self.current_thread().frames.load(Ordering::Relaxed).cast_const();
        // SAFETY: a linked frame is on the stack of the current thread.
        let Some(frame) = (unsafe { frame.as_ref() }) else { return 0 };
        match frame.kind {
            CallKind::Into { context, .. } => self.read(context.rsp),
            CallKind::Trap { registers } => registers.rip,
            CallKind::Out { .. } => 0,
        }
    }

    /// Calls driver code: `target` with up to 12 integer or pointer arguments, and returns what it leaves in RAX.
    ///
    /// `what` says what for (`DriverEntry`, `EvtDeviceD0Entry`). The routine must return at the IRQL and with the spin
    /// locks it was entered with.
    pub fn call(&self, what: &str, target: u64, args: &[u64]) -> u64 {
        guarded::assert_none_open();
        if !self.is_code(target) {
            self.stop(
                Fault::new("DriverCode", bugcheck::ATTEMPTED_EXECUTE_OF_NOEXECUTE_MEMORY)
                    .text(format!("{what} is at {target:#x}, which is {}", self.describe_address(target)))
                    .parameter(target, "the routine's address"),
            );
        }
        let thread = self.current_thread();
        let frame = CallFrame::new(&thread, CallKind::Out { what, target });
        let linked = frame.link(&thread);
        let (irql, locks) = (self.irql(), self.locks_held());
        self.resume_single_step(true);
        let result = self.outside_kernel(|| call_win64(target, args));
        self.pause_single_step();
        drop(linked);
        let after = self.irql();
        if after != irql {
            self.stop(
                Fault::new("IrqlReturn", bugcheck::IRQL_UNEXPECTED_VALUE)
                    .text(format!(
                        "{what} ({}) was entered at IRQL {irql} and returned at {after}",
                        self.symbol(target)
                    ))
                    .parameter(u64::from(irql), "IRQL at entry")
                    .parameter(u64::from(after), "IRQL at return"),
            );
        }
        if irql >= crate::cpu::irql::DISPATCH && self.locks_held() != locks {
            self.stop(Fault::new("SpinLockReturn", bugcheck::DRIVER_VERIFIER_DETECTED_VIOLATION).text(
                format!(
                    "{what} ({}) returned with other spin locks held than at its entry",
                    self.symbol(target)
                ),
            ));
        }
        result
    }
}

impl Kernel {
    /// Calls an exported function of `ntoskrnl.exe` the way driver code does: through its thunk, with all checks.
    ///
    /// For hosts that want a kernel service without an image of their own.
    ///
    /// # Panics
    /// When there is no such function.
    pub fn call_export(&self, name: &str, args: &[u64]) -> u64 {
        let export = self.find_export(None, name).unwrap_or_else(|| panic!("the kernel exports no {name}"));
        call_win64(self.export_address(export), args)
    }
}

/// The call itself, with the arguments the Windows x64 convention puts in registers and on the stack.
fn call_win64(target: u64, args: &[u64]) -> u64 {
    type F4 = extern "win64" fn(u64, u64, u64, u64) -> u64;
    type F12 = extern "win64" fn(u64, u64, u64, u64, u64, u64, u64, u64, u64, u64, u64, u64) -> u64;
    assert!(args.len() <= 12, "{} arguments", args.len());
    let a = |index: usize| args.get(index).copied().unwrap_or(0);
    if args.len() <= 4 {
        // SAFETY: the caller checked that `target` is driver code; a routine ignores arguments it does not have.
        let routine = unsafe { std::mem::transmute::<u64, F4>(target) };
        routine(a(0), a(1), a(2), a(3))
    } else {
        // SAFETY: as above; the stack is the caller's to pop.
        let routine = unsafe { std::mem::transmute::<u64, F12>(target) };
        routine(a(0), a(1), a(2), a(3), a(4), a(5), a(6), a(7), a(8), a(9), a(10), a(11))
    }
}
