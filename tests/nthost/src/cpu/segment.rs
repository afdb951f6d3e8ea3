//! The page that GS points at on each virtual processor.
//!
//! Driver code reads `gs:[0x18]` (the processor control region itself), `gs:[0x20]` (the processor block) and
//! `gs:[0x188]` (the current thread); kernel calls leave the driver's registers behind the public part.

use std::cell::UnsafeCell;
use std::sync::LazyLock;

/// Offsets in the processor control region of x64 Windows (KPCR.Self, KPCR.CurrentPrcb, KPRCB.CurrentThread).
const SELF: usize = 0x18;
const CURRENT_PRCB: usize = 0x20;
const PRCB: usize = 0x180;
const CURRENT_THREAD: usize = 0x188;
/// Where an import thunk saves the caller's registers: behind everything Windows defines there. Our choice.
pub(crate) const SAVED: usize = 0x3000;
const LENGTH: usize = 0x4000;

/// The nonvolatile registers of driver code at the moment it called the kernel: enough to walk its stack.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct Context {
    pub rsp: u64,
    pub rbx: u64,
    pub rbp: u64,
    pub rsi: u64,
    pub rdi: u64,
    pub r12: u64,
    pub r13: u64,
    pub r14: u64,
    pub r15: u64,
}

/// One processor's page.
#[derive(Debug)]
pub(crate) struct Segment(Box<Page>);

#[repr(C, align(4096))]
struct Page(UnsafeCell<[u8; LENGTH]>);

impl std::fmt::Debug for Page {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Page")
    }
}

// SAFETY: only the processor it belongs to touches a page, and a processor runs on one host thread at a time.
unsafe impl Sync for Page {}

impl Segment {
    pub(crate) fn new() -> Self {
        let segment = Self(Box::new(Page(UnsafeCell::new([0; LENGTH]))));
        let base = segment.base();
        segment.set(SELF, base);
        segment.set(CURRENT_PRCB, base + PRCB as u64);
        segment
    }

    fn base(&self) -> u64 {
        self.0.0.get() as u64
    }

    fn set(&self, offset: usize, value: u64) {
        assert!(offset + 8 <= LENGTH);
        let at = self.0.0.get().cast::<u8>().wrapping_add(offset).cast::<u64>();
        // SAFETY: inside the page (assertion), aligned, and only this processor uses it.
        unsafe { at.write(value) };
    }

    /// The registers the last kernel call left.
    pub(crate) fn saved(&self) -> Context {
        let at = self.0.0.get().cast::<u8>().wrapping_add(SAVED).cast::<Context>();
        // SAFETY: inside the page, aligned, and only this processor uses it.
        unsafe { at.read() }
    }

    /// Points GS of this host thread at the page, with `thread` as the current thread object.
    pub(crate) fn activate(&self, thread: u64) {
        self.set(CURRENT_THREAD, thread);
        set_gs(self.base());
    }
}

fn set_gs(base: u64) {
    /// AT_HWCAP2 bit 1: the kernel lets user code write GS (Linux, Documentation/arch/x86/x86_64/fsgs.rst).
    static DIRECT: LazyLock<bool> = LazyLock::new(|| {
        // SAFETY: reads the auxiliary vector.
        let capabilities = unsafe { libc::getauxval(libc::AT_HWCAP2) };
        capabilities & 2 != 0
    });
    if *DIRECT {
        // SAFETY: allowed as just checked; the host's own code does not use GS on x86-64.
        unsafe { std::arch::asm!("wrgsbase {}", in(reg) base, options(nostack, preserves_flags)) };
    } else {
        const ARCH_SET_GS: i32 = 0x1001;
        // SAFETY: sets this thread's GS base, which the host's own code does not use.
        unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_SET_GS, base) };
    }
}
