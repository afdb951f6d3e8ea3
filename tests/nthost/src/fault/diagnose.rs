//! What a fault that nothing stands in for says about the driver.

use iced_x86::Mnemonic;

use super::Trap;
use crate::call::CallKind;
use crate::cpu::irql::DISPATCH;
use crate::kernel::Kernel;
use crate::memory::space::{Kind, Region};
use crate::stop::{BugCheck, Fault, HOST_FAILURE, bugcheck};

impl Kernel {
    /// Stops the machine because of a fault.
    pub(super) fn diagnose(&self, trap: &Trap<'_>) -> ! {
        let fault = match trap.signal {
            libc::SIGSEGV | libc::SIGBUS => self.access_fault(trap),
            libc::SIGFPE => exception(0xC000_0094, "an integer division by zero or overflow", trap.rip()),
            libc::SIGTRAP => exception(0x8000_0003, "a breakpoint", trap.rip()),
            _ => exception(
                0xC000_001D,
                "an instruction that does not exist (a panic or an abort ends in one)",
                trap.rip(),
            ),
        };
        let in_image = self.image_of(trap.rip()).is_some();
        self.stop_at(fault, in_image.then(|| trap.registers()));
    }

    fn access_fault(&self, trap: &Trap<'_>) -> Fault {
        let rip = trap.rip();
        let in_image = self.image_of(rip).is_some();
        if trap.is_fetch() {
            return Fault::new("DriverCode", bugcheck::ATTEMPTED_EXECUTE_OF_NOEXECUTE_MEMORY)
                .text(format!("execution went to {}", self.describe_address(rip)))
                .parameter(rip, "the address");
        }
        if let Some(fault) = self.privileged(trap) {
            return fault;
        }
        let address = trap.address;
        if self.current_thread().is_overrun(address) {
            // Windows has no stack left to push the page fault on: a double fault.
            return Fault::new("KernelStack", bugcheck::UNEXPECTED_KERNEL_MODE_TRAP)
                .text("the kernel stack is used up")
                .parameter(8, "double fault")
                .parameter(address, "the address");
        }
        let ours = self.memory.space.contains(address) || address < 0x10000;
        let known_caller = !matches!(self.crossings().first(), None | Some(CallKind::Out { .. }));
        if !(in_image || ours && known_caller) && self.image_of(self.caller_address()).is_none() {
            return Fault::new("Host", HOST_FAILURE).text(format!(
                "the host's own code at {rip:#x} accessed {}",
                self.describe_address(address)
            ));
        }
        let access = if trap.is_write() { "written" } else { "read" };
        let (rule, check) = self.classify(trap, address);
        Fault::new(rule, check)
            .text(format!("{access}: {}", self.describe_address(address)))
            .parameter(address, "the address")
            .parameter(u64::from(self.irql()), "IRQL")
            .parameter(u64::from(trap.is_write()), "0 for a read, 1 for a write")
            .parameter(rip, "the instruction")
    }

    /// Instructions that fault for other reasons than an address.
    fn privileged(&self, trap: &Trap<'_>) -> Option<Fault> {
        let instruction = self.decode(trap.rip())?;
        match instruction.mnemonic() {
            Mnemonic::Int if instruction.immediate8() == 0x29 => Some(
                Fault::new("FastFail", bugcheck::KERNEL_SECURITY_CHECK_FAILURE)
                    .text("the driver ended itself with __fastfail")
                    .parameter(trap.get(1), "the reason it gave"),
            ),
            Mnemonic::Cli
            | Mnemonic::Sti
            | Mnemonic::Hlt
            | Mnemonic::In
            | Mnemonic::Out
            | Mnemonic::Rdmsr
            | Mnemonic::Wrmsr => Some(exception(
                0xC000_0096,
                &format!(
                    "a privileged instruction the machine does not offer ({:?})",
                    instruction.mnemonic()
                ),
                trap.rip(),
            )),
            _ => None,
        }
    }

    /// The rule and the bug check that special pool and the memory manager raise for such an access.
    fn classify(&self, trap: &Trap<'_>, address: u64) -> (&'static str, BugCheck) {
        let raised = self.irql() >= DISPATCH;
        let plain = if raised {
            bugcheck::DRIVER_IRQL_NOT_LESS_OR_EQUAL
        } else {
            bugcheck::PAGE_FAULT_IN_NONPAGED_AREA
        };
        match self.memory.space.find(address) {
            Some(Region { freed_by: Some(_), .. }) => {
                ("Special Pool", bugcheck::DRIVER_PAGE_FAULT_IN_FREED_SPECIAL_POOL)
            }
            Some(region) if address >= region.end() && matches!(region.kind, Kind::Pool { .. }) => {
                ("Special Pool", bugcheck::DRIVER_PAGE_FAULT_BEYOND_END_OF_ALLOCATION)
            }
            Some(region) if address >= region.end() => ("Bounds", plain),
            Some(_) if trap.is_write() => ("WriteProtection", bugcheck::ATTEMPTED_WRITE_TO_READONLY_MEMORY),
            _ => ("InvalidAddress", plain),
        }
    }
}

/// An exception nobody handles.
fn exception(status: u32, what: &str, rip: u64) -> Fault {
    Fault::new("Exception", bugcheck::KMODE_EXCEPTION_NOT_HANDLED)
        .text(format!("driver code raised {what}"))
        .parameter(u64::from(status), "exception code")
        .parameter(rip, "the instruction")
}
