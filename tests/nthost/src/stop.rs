//! A stop: what the machine found wrong, told the way a debugger would.

use std::borrow::Cow;
use std::fmt;

use crate::ntoskrnl::DumpData;
use crate::trace::Event;

/// A bug-check code, its name and its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BugCheck {
    /// The code Windows shows.
    pub code: u32,
    /// Its name in the bug check reference.
    pub name: &'static str,
    /// What it says, in words.
    pub meaning: &'static str,
}

/// The bug checks the machine raises (names and codes: Learn, Bug check code reference).
pub mod bugcheck {
    use super::BugCheck;

    macro_rules! codes {
        ($($name:ident = $code:literal, $meaning:literal;)*) => {
            $(#[doc = concat!("Bug check `", stringify!($name), "`: ", $meaning, ".")]
            pub const $name: BugCheck = BugCheck { code: $code, name: stringify!($name), meaning: $meaning };)*

            /// The bug check `code`; one that the machine itself never raises has a dash for a name.
            #[must_use]
            pub const fn of_code(code: u32) -> BugCheck {
                match code { $($code => $name,)* _ => BugCheck { code, name: "-", meaning: "see Learn, Bug check code reference" } }
            }
        };
    }

    codes! {
        IRQL_NOT_GREATER_OR_EQUAL = 0x09, "the IRQL was raised to a lower level";
        IRQL_NOT_LESS_OR_EQUAL = 0x0A, "memory was accessed, or a thread waited, at an IRQL that is too high";
        SPIN_LOCK_ALREADY_OWNED = 0x0F, "a spin lock was requested by its owner";
        SPIN_LOCK_NOT_OWNED = 0x10, "a spin lock was released by somebody else than its owner";
        NO_EXCEPTION_HANDLING_SUPPORT = 0x0B, "exceptions cannot be handled here";
        REFERENCE_BY_POINTER = 0x18, "the reference count of an object is wrong for its state";
        BAD_POOL_HEADER = 0x19, "the bookkeeping beside a pool block is damaged";
        KMODE_EXCEPTION_NOT_HANDLED = 0x1E, "kernel code raised an exception that nobody handled";
        PANIC_STACK_SWITCH = 0x2B, "the kernel stack was overrun";
        MULTIPLE_IRP_COMPLETE_REQUESTS = 0x44, "a packet was completed that had been completed already";
        NO_MORE_IRP_STACK_LOCATIONS = 0x35, "a packet has no stack location left for the next driver";
        NMI_HARDWARE_FAILURE = 0x80, "the hardware reported a failure";
        PAGE_FAULT_IN_NONPAGED_AREA = 0x50, "an address was used that is not valid";
        PROCESS_HAS_LOCKED_PAGES = 0x76, "a process ended with pages still locked";
        UNEXPECTED_KERNEL_MODE_TRAP = 0x7F, "the processor trapped in a way the kernel does not allow (8: double fault, a stack overrun)";
        ATTEMPTED_WRITE_TO_READONLY_MEMORY = 0xBE, "read-only memory was written";
        BAD_POOL_CALLER = 0xC2, "a pool request that cannot be right";
        DRIVER_VERIFIER_DETECTED_VIOLATION = 0xC4, "the verifier found a driver breaking a rule";
        DRIVER_CORRUPTED_EXPOOL = 0xC5, "a driver damaged the pool";
        DRIVER_CAUGHT_MODIFYING_FREED_POOL = 0xC6, "pool was written after it was freed";
        TIMER_OR_DPC_INVALID = 0xC7, "memory that holds a live timer or DPC goes away, or one is used that is none";
        IRQL_UNEXPECTED_VALUE = 0xC8, "a routine returned at another IRQL than it was called at";
        DRIVER_VERIFIER_IOMANAGER_VIOLATION = 0xC9, "a driver broke a rule of the I/O manager";
        PNP_DETECTED_FATAL_ERROR = 0xCA, "a driver broke a rule of plug and play";
        DRIVER_LEFT_LOCKED_PAGES_IN_PROCESS = 0xCB, "a driver did not unlock the pages of a request";
        DRIVER_PAGE_FAULT_IN_FREED_SPECIAL_POOL = 0xD5, "a driver used pool that was freed";
        DRIVER_PAGE_FAULT_BEYOND_END_OF_ALLOCATION = 0xD6, "a driver went past the end of its pool block";
        PAGE_FAULT_IN_FREED_SPECIAL_POOL = 0xCC, "pool was used that was freed";
        PAGE_FAULT_BEYOND_END_OF_ALLOCATION = 0xCD, "the end of a pool block was passed";
        DRIVER_UNLOADED_WITHOUT_CANCELLING_PENDING_OPERATIONS = 0xCE, "a driver was unloaded and left work behind that would call it";
        DRIVER_IRQL_NOT_LESS_OR_EQUAL = 0xD1, "a driver used an invalid address at raised IRQL";
        SPECIAL_POOL_DETECTED_MEMORY_CORRUPTION = 0xC1, "bytes beside a block of special pool changed";
        MANUALLY_INITIATED_CRASH = 0xE2, "somebody asked for the crash";
        THREAD_STUCK_IN_DEVICE_DRIVER = 0xEA, "a driver does not come back";
        DRIVER_POWER_STATE_FAILURE = 0x9F, "a power request is not answered, or answered wrongly";
        DRIVER_VERIFIER_DMA_VIOLATION = 0xE6, "a driver broke a rule of DMA";
        ATTEMPTED_EXECUTE_OF_NOEXECUTE_MEMORY = 0xFC, "memory was executed that holds no code";
        DRIVER_RETURNED_STATUS_REPARSE_FOR_VOLUME_OPEN = 0xF1, "a volume was opened with a reparse";
        WDF_VIOLATION = 0x10D, "a driver broke a rule of the framework";
        KERNEL_SECURITY_CHECK_FAILURE = 0x139, "code found its own data damaged";
        DPC_WATCHDOG_VIOLATION = 0x133, "a processor stayed at DISPATCH_LEVEL or above for too long";
        CONTEXT_SWITCH_WITH_APC_PENDING = 0x11, "a thread was left with asynchronous calls pending";
        CLOCK_WATCHDOG_TIMEOUT = 0x101, "a processor does not answer";
        HARDWARE_INTERRUPT_STORM = 0xF2, "an interrupt stays asserted and nobody claims it";
        INVALID_KERNEL_HANDLE = 0x93, "a handle was closed that is none";
    }
}

/// Not a bug check of Windows: the host itself could not go on (its reason is in the text).
pub const HOST_FAILURE: BugCheck =
    BugCheck { code: 0, name: "HOST_FAILURE", meaning: "the host program failed, not a driver" };
/// Not a bug check of Windows: nothing can run any more, or a limit of virtual time or steps was reached.
pub const MACHINE_HUNG: BugCheck =
    BugCheck { code: 0, name: "MACHINE_HUNG", meaning: "nothing goes on any more" };

/// What went wrong, before the machine has added where.
#[derive(Debug, Clone)]
pub struct Fault {
    pub(crate) rule: Cow<'static, str>,
    pub(crate) check: BugCheck,
    pub(crate) text: String,
    pub(crate) parameters: Vec<Parameter>,
}

impl Fault {
    /// A violation of `rule` (a name of Driver Verifier or WDF verifier where there is one).
    pub fn new(rule: impl Into<Cow<'static, str>>, check: BugCheck) -> Self {
        Self { rule: rule.into(), check, text: String::new(), parameters: Vec::new() }
    }

    /// One sentence for the reader: what happened to what.
    #[must_use]
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.text = text.into();
        self
    }

    /// Adds the next bug-check parameter and what it means.
    #[must_use]
    pub fn parameter(mut self, value: u64, meaning: impl Into<Cow<'static, str>>) -> Self {
        self.parameters.push(Parameter { value, meaning: meaning.into() });
        self
    }
}

/// One bug-check parameter.
#[derive(Debug, Clone)]
pub struct Parameter {
    /// Its value.
    pub value: u64,
    /// What the value is.
    pub meaning: Cow<'static, str>,
}

/// One frame of a call stack, innermost first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The code address; zero for the kernel itself.
    pub address: u64,
    /// `image!function+0x12`, or the kernel's own entry (`ntoskrnl.exe!KeSetEvent`).
    pub symbol: String,
    /// Source file and line, where the PDB knows them.
    pub line: Option<String>,
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.address == 0 {
            write!(f, "{:16} {}", "", self.symbol)?;
        } else {
            write!(f, "{:016x} {}", self.address, self.symbol)?;
        }
        if let Some(line) = &self.line {
            write!(f, "  [{line}]")?;
        }
        Ok(())
    }
}

/// A lock that was held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldLock {
    /// `spin lock`, or `mutex or push lock` for one that threads wait for.
    pub kind: &'static str,
    /// Where the lock is.
    pub address: u64,
    /// The processor or thread that holds it, or how many threads share it.
    pub holder: String,
    /// What took it (last, when it is shared).
    pub taken_at: String,
}

impl fmt::Display for HeldLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, address, holder, taken_at } = self;
        write!(f, "{kind} {address:#x} held by {holder}, taken by {taken_at}")
    }
}

/// The state of one thread when the machine stopped.
#[derive(Debug, Clone)]
pub struct ThreadState {
    /// Number of the thread.
    pub id: u32,
    /// What it was started for.
    pub name: String,
    /// Running, ready, or what it waits for.
    pub state: String,
}

/// A machine that stopped: it is dead afterwards.
#[derive(Debug, Clone)]
pub struct Stop {
    /// The rule that was broken.
    pub rule: Cow<'static, str>,
    /// Bug-check code, zero for a stop that Windows does not know.
    pub code: u32,
    /// Name of the code.
    pub name: &'static str,
    /// What the code says.
    pub meaning: &'static str,
    /// One sentence: what happened to what.
    pub text: String,
    /// The bug-check parameters with their meaning.
    pub parameters: Vec<Parameter>,
    /// IRQL of the processor.
    pub irql: u8,
    /// The processor.
    pub cpu: u32,
    /// The thread that was current, with its name.
    pub thread: String,
    /// The call stack, innermost frame first.
    pub stack: Vec<Frame>,
    /// The locks that were held.
    pub locks: Vec<HeldLock>,
    /// All threads.
    pub threads: Vec<ThreadState>,
    /// The last events, oldest first.
    pub events: Vec<Event>,
    /// Virtual time in nanoseconds.
    pub time: u64,
    /// The machine's seed.
    pub seed: u64,
    /// The command that replays it.
    pub replay: String,
    /// What drivers added to the crash dump: their bug check callbacks ran after everything above was taken down.
    pub dump: Vec<DumpData>,
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "*** STOP {:#x} {}: {}", self.code, self.name, self.rule)?;
        writeln!(f, "    {}", self.meaning)?;
        writeln!(f, "    {}", self.text)?;
        for (number, parameter) in self.parameters.iter().enumerate() {
            writeln!(f, "    {}: {:#018x}  {}", number + 1, parameter.value, parameter.meaning)?;
        }
        writeln!(
            f,
            "    cpu {} at IRQL {}, thread {}, {} us after power-on, seed {}",
            self.cpu,
            self.irql,
            self.thread,
            self.time / 1000,
            self.seed
        )?;
        writeln!(f, "    replay: {}", self.replay)?;
        section(f, "stack", &self.stack)?;
        section(f, "locks held", &self.locks)?;
        writeln!(f, "  threads")?;
        for thread in &self.threads {
            writeln!(f, "    {:>3} {}: {}", thread.id, thread.name, thread.state)?;
        }
        section(f, "last events", &self.events)
    }
}

impl std::error::Error for Stop {}

fn section(f: &mut fmt::Formatter<'_>, title: &str, lines: &[impl fmt::Display]) -> fmt::Result {
    if lines.is_empty() {
        return Ok(());
    }
    writeln!(f, "  {title}")?;
    lines.iter().try_for_each(|line| writeln!(f, "    {line}"))
}
