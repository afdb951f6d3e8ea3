//! A stop: what the machine found wrong, told the way a debugger would.

use std::borrow::Cow;
use std::fmt;

use crate::trace::Event;

/// A bug-check code and its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BugCheck {
    /// The code Windows shows.
    pub code: u32,
    /// Its name in the bug check reference.
    pub name: &'static str,
}

/// The bug checks the machine raises (names and codes: Learn, Bug check code reference).
pub mod bugcheck {
    use super::BugCheck;

    macro_rules! codes {
        ($($name:ident = $code:literal;)*) => {
            $(#[doc = concat!("Bug check `", stringify!($name), "`.")]
            pub const $name: BugCheck = BugCheck { code: $code, name: stringify!($name) };)*

            /// The name of `code`, or a dash for one the machine itself never raises.
            #[must_use]
            pub const fn name_of(code: u32) -> &'static str {
                match code { $($code => stringify!($name),)* _ => "-" }
            }
        };
    }

    codes! {
        IRQL_NOT_GREATER_OR_EQUAL = 0x09;
        IRQL_NOT_LESS_OR_EQUAL = 0x0A;
        SPIN_LOCK_ALREADY_OWNED = 0x0F;
        SPIN_LOCK_NOT_OWNED = 0x10;
        NO_EXCEPTION_HANDLING_SUPPORT = 0x0B;
        REFERENCE_BY_POINTER = 0x18;
        BAD_POOL_HEADER = 0x19;
        KMODE_EXCEPTION_NOT_HANDLED = 0x1E;
        PANIC_STACK_SWITCH = 0x2B;
        MULTIPLE_IRP_COMPLETE_REQUESTS = 0x44;
        NO_MORE_IRP_STACK_LOCATIONS = 0x35;
        NMI_HARDWARE_FAILURE = 0x80;
        PAGE_FAULT_IN_NONPAGED_AREA = 0x50;
        PROCESS_HAS_LOCKED_PAGES = 0x76;
        UNEXPECTED_KERNEL_MODE_TRAP = 0x7F;
        ATTEMPTED_WRITE_TO_READONLY_MEMORY = 0xBE;
        BAD_POOL_CALLER = 0xC2;
        DRIVER_VERIFIER_DETECTED_VIOLATION = 0xC4;
        DRIVER_CORRUPTED_EXPOOL = 0xC5;
        DRIVER_CAUGHT_MODIFYING_FREED_POOL = 0xC6;
        TIMER_OR_DPC_INVALID = 0xC7;
        IRQL_UNEXPECTED_VALUE = 0xC8;
        DRIVER_VERIFIER_IOMANAGER_VIOLATION = 0xC9;
        PNP_DETECTED_FATAL_ERROR = 0xCA;
        DRIVER_LEFT_LOCKED_PAGES_IN_PROCESS = 0xCB;
        DRIVER_PAGE_FAULT_IN_FREED_SPECIAL_POOL = 0xD5;
        DRIVER_PAGE_FAULT_BEYOND_END_OF_ALLOCATION = 0xD6;
        PAGE_FAULT_IN_FREED_SPECIAL_POOL = 0xCC;
        PAGE_FAULT_BEYOND_END_OF_ALLOCATION = 0xCD;
        DRIVER_UNLOADED_WITHOUT_CANCELLING_PENDING_OPERATIONS = 0xCE;
        DRIVER_IRQL_NOT_LESS_OR_EQUAL = 0xD1;
        SPECIAL_POOL_DETECTED_MEMORY_CORRUPTION = 0xC1;
        MANUALLY_INITIATED_CRASH = 0xE2;
        THREAD_STUCK_IN_DEVICE_DRIVER = 0xEA;
        DRIVER_POWER_STATE_FAILURE = 0x9F;
        DRIVER_VERIFIER_DMA_VIOLATION = 0xE6;
        ATTEMPTED_EXECUTE_OF_NOEXECUTE_MEMORY = 0xFC;
        DRIVER_RETURNED_STATUS_REPARSE_FOR_VOLUME_OPEN = 0xF1;
        WDF_VIOLATION = 0x10D;
        KERNEL_SECURITY_CHECK_FAILURE = 0x139;
        DPC_WATCHDOG_VIOLATION = 0x133;
        CONTEXT_SWITCH_WITH_APC_PENDING = 0x11;
        CLOCK_WATCHDOG_TIMEOUT = 0x101;
        HARDWARE_INTERRUPT_STORM = 0xF2;
        INVALID_KERNEL_HANDLE = 0x93;
    }
}

/// Not a bug check of Windows: the host itself could not go on (its reason is in the text).
pub const HOST_FAILURE: BugCheck = BugCheck { code: 0, name: "HOST_FAILURE" };
/// Not a bug check of Windows: nothing can run any more, or a limit of virtual time or steps was reached.
pub const MACHINE_HUNG: BugCheck = BugCheck { code: 0, name: "MACHINE_HUNG" };

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

/// A spin lock that was held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldLock {
    /// Where the lock is.
    pub address: u64,
    /// The processor that holds it.
    pub cpu: u32,
    /// What took it.
    pub taken_at: String,
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
    /// The spin locks that were held.
    pub locks: Vec<HeldLock>,
    /// All threads.
    pub threads: Vec<ThreadState>,
    /// The last events, oldest first.
    pub events: Vec<Event>,
    /// Virtual time in nanoseconds.
    pub time: u64,
    /// The seed that replays it.
    pub seed: u64,
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "*** STOP {:#x} {}: {}", self.code, self.name, self.rule)?;
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
        section(f, "stack", &self.stack)?;
        if !self.locks.is_empty() {
            writeln!(f, "  spin locks held")?;
            for lock in &self.locks {
                writeln!(f, "    {:#x} by cpu {}, taken by {}", lock.address, lock.cpu, lock.taken_at)?;
            }
        }
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
