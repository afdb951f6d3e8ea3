//! The stack of a thread, with a second one for the fault handler.
//!
//! The handler needs a stack of its own because a fault may be that the thread's is used up. Each thread has one, since
//! what runs in the handler may wait and go on later, when other threads have faulted.

use std::cell::Cell;
use std::io;
use std::num::NonZeroUsize;

use corosensei::stack::{Stack, StackPointer};

/// Bytes of the stack proper. Windows gives 24 KiB; the host's own code below a driver needs more.
const OWN: usize = 1 << 20;
/// Bytes for the fault handler and what runs in it.
const HANDLER: usize = 512 << 10;
/// Inaccessible bytes below each of the two.
const GUARD: usize = 64 << 10;
/// Kernel calls closer to the end than this are a stack overflow.
const RESERVE: u64 = 128 << 10;

/// Where a stack is: guard, handler's stack, guard, the thread's own stack, upwards.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    start: u64,
}

/// The memory.
#[derive(Debug)]
pub(crate) struct FiberStack {
    bounds: Bounds,
}

const LENGTH: usize = GUARD + HANDLER + GUARD + OWN;

impl FiberStack {
    pub(crate) fn new() -> io::Result<Self> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK | libc::MAP_NORESERVE;
        // SAFETY: a fresh mapping anywhere.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), LENGTH, libc::PROT_NONE, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let stack = Self { bounds: Bounds { start: start as u64 } };
        for (offset, length) in [(GUARD, HANDLER), (GUARD + HANDLER + GUARD, OWN)] {
            let at = start.wrapping_byte_add(offset);
            // SAFETY: pages of the mapping just made.
            if unsafe { libc::mprotect(at, length, libc::PROT_READ | libc::PROT_WRITE) } != 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(stack)
    }

    pub(crate) fn bounds(&self) -> Bounds {
        self.bounds
    }
}

impl Drop for FiberStack {
    fn drop(&mut self) {
        // SAFETY: the mapping made in `new`; the fiber that used it has ended or is never entered again.
        unsafe { libc::munmap(self.bounds.start as *mut _, LENGTH) };
    }
}

// SAFETY: base and limit enclose the thread's own stack and the guard below it, which stay mapped as long as `self`.
unsafe impl Stack for FiberStack {
    fn base(&self) -> StackPointer {
        NonZeroUsize::new(self.bounds.end() as usize).expect("the end of a mapping")
    }

    fn limit(&self) -> StackPointer {
        NonZeroUsize::new(self.bounds.guard().0 as usize).expect("inside a mapping")
    }
}

impl Bounds {
    fn end(self) -> u64 {
        self.start + LENGTH as u64
    }

    /// The guard below the thread's own stack.
    fn guard(self) -> (u64, u64) {
        let start = self.start + (GUARD + HANDLER) as u64;
        (start, start + GUARD as u64)
    }

    /// Whether an address is on either stack, or in a guard.
    pub(crate) fn contain(self, address: u64) -> bool {
        (self.start..self.end()).contains(&address)
    }

    /// Whether an access to `address` means that the stack is used up.
    pub(crate) fn is_overrun(self, address: u64) -> bool {
        let (start, end) = self.guard();
        (start..end).contains(&address)
    }

    /// Whether a stack pointer on the thread's own stack leaves too little room for the kernel.
    pub(crate) fn is_low(self, pointer: u64) -> bool {
        let (_, own) = self.guard();
        (own..own + RESERVE).contains(&pointer)
    }

    /// From now on the fault handler of this host thread runs on this stack. Not to be called on it.
    pub(crate) fn use_for_faults(self) {
        thread_local! {
            static IN_USE: Cell<u64> = const { Cell::new(0) };
        }
        if IN_USE.replace(self.start) == self.start {
            return;
        }
        let stack =
            libc::stack_t { ss_sp: (self.start + GUARD as u64) as *mut _, ss_flags: 0, ss_size: HANDLER };
        // SAFETY: the memory stays mapped as long as the thread's fiber can run.
        let result = unsafe { libc::sigaltstack(&stack, std::ptr::null_mut()) };
        assert_eq!(result, 0, "{}", io::Error::last_os_error());
    }
}
