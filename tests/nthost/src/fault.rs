//! Faults of driver code: what the processor would have done on a real machine, or a stop.
//!
//! Some instructions of a driver cannot work in a process: reads and writes of CR8 (the IRQL), reads of the page that
//! Windows shares at 0xFFFFF78000000000, accesses to device registers. They fault, are decoded here, and done. Every
//! other fault is the driver's error and becomes a [`crate::Stop`].
//!
//! The handler runs on a second stack of the faulting thread, so that a stack that is used up can be told, and may switch
//! fibers: the signal stays unblocked (`SA_NODEFER`), and a fault in the handler goes on on the same stack.

mod diagnose;
mod emulate;
pub(crate) mod shared_page;
mod single_step;

use std::io;
use std::sync::OnceLock;

use crate::kernel::Kernel;
use crate::loader::unwind::Registers;

/// The signals a faulting instruction raises.
const SIGNALS: [i32; 5] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGTRAP];

/// The processor state at a fault, changeable.
pub(crate) struct Trap<'a> {
    pub signal: i32,
    /// The address of the access, where the processor told one.
    pub address: u64,
    general: &'a mut [i64; 23],
}

/// Where the general registers, by their number in encodings, are in the saved state of Linux (sys/ucontext.h).
const GENERAL: [i32; 16] = [
    libc::REG_RAX,
    libc::REG_RCX,
    libc::REG_RDX,
    libc::REG_RBX,
    libc::REG_RSP,
    libc::REG_RBP,
    libc::REG_RSI,
    libc::REG_RDI,
    libc::REG_R8,
    libc::REG_R9,
    libc::REG_R10,
    libc::REG_R11,
    libc::REG_R12,
    libc::REG_R13,
    libc::REG_R14,
    libc::REG_R15,
];

impl Trap<'_> {
    pub(crate) fn rip(&self) -> u64 {
        self.general[libc::REG_RIP as usize] as u64
    }

    pub(crate) fn set_rip(&mut self, rip: u64) {
        self.general[libc::REG_RIP as usize] = rip as i64;
    }

    pub(crate) fn flags(&self) -> u64 {
        self.general[libc::REG_EFL as usize] as u64
    }

    pub(crate) fn set_flags(&mut self, flags: u64) {
        self.general[libc::REG_EFL as usize] = flags as i64;
    }

    /// General register `number` of the encodings.
    pub(crate) fn get(&self, number: usize) -> u64 {
        self.general[GENERAL[number] as usize] as u64
    }

    pub(crate) fn set(&mut self, number: usize, value: u64) {
        self.general[GENERAL[number] as usize] = value as i64;
    }

    /// Bits of the page-fault error code: 1 the access was a write, 4 it was an instruction fetch (Intel SDM 3, 4.7).
    fn error_bit(&self, bit: u32) -> bool {
        self.general[libc::REG_ERR as usize] >> bit & 1 == 1
    }

    /// The page-fault was a write.
    pub(crate) fn is_write(&self) -> bool {
        self.error_bit(1)
    }

    /// The page-fault was an instruction fetch.
    pub(crate) fn is_fetch(&self) -> bool {
        self.error_bit(4)
    }

    pub(crate) fn registers(&self) -> Registers {
        Registers { rip: self.rip(), general: std::array::from_fn(|number| self.get(number)) }
    }
}

/// Installs the fault handler of the process, once.
pub(crate) fn install() -> io::Result<()> {
    static DONE: OnceLock<Result<(), i32>> = OnceLock::new();
    let done = DONE.get_or_init(|| SIGNALS.into_iter().try_for_each(install_one));
    done.map_err(io::Error::from_raw_os_error)
}

/// What was installed before us, by signal number: for faults that are none of ours.
static PREVIOUS: [OnceLock<libc::sigaction>; 32] = [const { OnceLock::new() }; 32];

fn install_one(signal: i32) -> Result<(), i32> {
    // SAFETY: all-zero is a valid value of this C structure.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handle as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_NODEFER | libc::SA_ONSTACK;
    let mut previous = action;
    // SAFETY: both structures are valid; the handler has the signature that SA_SIGINFO asks for.
    if unsafe { libc::sigaction(signal, &action, &mut previous) } != 0 {
        return Err(io::Error::last_os_error().raw_os_error().unwrap_or(0));
    }
    // Installed once per signal: nothing was stored before.
    let _ = PREVIOUS[signal as usize].set(previous);
    Ok(())
}

extern "C" fn handle(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let context_pointer = context.cast::<libc::ucontext_t>();
    // SAFETY: the system passes the interrupted context to an SA_SIGINFO handler; it is ours until we return.
    let saved = unsafe { &mut *context_pointer };
    // SAFETY: likewise for the signal information.
    let info_ref = unsafe { &*info };
    // SAFETY: all five signals are raised with an address.
    let address = unsafe { info_ref.si_addr() } as u64;
    let mut trap = Trap { signal, address, general: &mut saved.uc_mcontext.gregs };
    let Some(k) = Kernel::current() else { return pass_on(signal, info, context) };
    let _kernel = k.enter_kernel();
    if !k.is_in_fiber(trap.get(4)) {
        return pass_on(signal, info, context);
    }
    // SI_USER and friends (code <= 0): somebody sent the signal, no instruction raised it.
    if info_ref.si_code <= 0 && info_ref.si_code != libc::SI_KERNEL {
        return pass_on(signal, info, context);
    }
    // TRAP_TRACE: the trap flag, not a breakpoint.
    if signal == libc::SIGTRAP && info_ref.si_code == libc::TRAP_TRACE && k.options.single_step {
        return k.step_over(&trap);
    }
    k.handle_trap(&mut trap);
}

/// Not a fault of a machine: what the process did before.
fn pass_on(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let Some(previous) = PREVIOUS[signal as usize].get() else { std::process::abort() };
    if previous.sa_sigaction == libc::SIG_DFL || previous.sa_sigaction == libc::SIG_IGN {
        // SAFETY: puts the former action back; the instruction faults again and meets it.
        unsafe { libc::sigaction(signal, previous, std::ptr::null_mut()) };
        return;
    }
    type Handler = extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void);
    // SAFETY: neither default nor ignore, so it is a function; with three arguments it also serves one that takes one.
    let handler = unsafe { std::mem::transmute::<usize, Handler>(previous.sa_sigaction) };
    handler(signal, info, context);
}

impl Kernel {
    /// Whether a stack pointer lies on the stack of the thread that runs.
    fn is_in_fiber(&self, pointer: u64) -> bool {
        self.current_thread().is_on_stack(pointer)
    }

    fn handle_trap(&self, trap: &mut Trap<'_>) {
        if trap.signal == libc::SIGSEGV && !trap.is_fetch() && self.emulate(trap) {
            return;
        }
        if trap.signal == libc::SIGILL && self.emulate_cpuid(trap) {
            return;
        }
        self.diagnose(trap);
    }
}
