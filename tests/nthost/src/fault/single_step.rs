//! Single-step mode: the processor's trap flag makes every instruction of driver code a switch point.
//!
//! The flag is set when the kernel enters driver code and cleared when driver code enters the kernel; on the few host
//! instructions in between it does no harm.

use std::arch::asm;

use super::Trap;
use crate::call::{CallFrame, CallKind};
use crate::kernel::Kernel;

impl Kernel {
    /// Driver code has entered the kernel: no more traps. Says whether to go on with them at the return.
    pub(crate) fn pause_single_step(&self) -> bool {
        if !self.options.single_step {
            return false;
        }
        let caller = self.cpu().segment.saved().rsp;
        // SAFETY: clears the trap flag (bit 8) of this processor and nothing else.
        unsafe { asm!("pushfq", "and qword ptr [rsp], -257", "popfq") };
        // Only a return into an image goes on stepping: the host calls exported functions too.
        self.current_thread().is_on_stack(caller) && self.image_of(self.read(caller)).is_some()
    }

    /// The kernel enters driver code, or goes back to it.
    pub(crate) fn resume_single_step(&self, step: bool) {
        if step && self.options.single_step {
            // SAFETY: sets the trap flag (bit 8) of this processor; the handler for it is installed.
            unsafe { asm!("pushfq", "or qword ptr [rsp], 256", "popfq") };
        }
    }

    /// An instruction has been done with the trap flag set.
    pub(super) fn step_over(&self, trap: &Trap<'_>) {
        if self.image_of(trap.rip()).is_none() {
            return;
        }
        let thread = self.current_thread();
        let frame = CallFrame::new(&thread, CallKind::Trap { registers: trap.registers() });
        let _linked = frame.link(&thread);
        self.switch_point();
    }
}
