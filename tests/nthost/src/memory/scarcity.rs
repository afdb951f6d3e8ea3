//! Low resources: an allocation of a driver's that fails on purpose.
//!
//! What fails is what fails on Windows when memory runs out: pool and what the kernel and the framework make of it on a
//! driver's behalf, mappings, handles (Learn, "Low Resources Simulation"). The machine's own allocations never do.

use crate::call::CallKind;
use crate::kernel::Kernel;

/// Which allocation fails.
#[derive(Debug, Default)]
pub(crate) struct Scarcity {
    counted: u64,
    fails: Option<u64>,
    failed: Option<String>,
}

impl Kernel {
    /// Counts the allocations of drivers from here on, from one; the one with this number fails.
    pub fn fail_allocation(&self, number: Option<u64>) {
        self.memory.scarcity.with(|scarcity| *scarcity = Scarcity { fails: number, ..Scarcity::default() });
    }

    /// Allocations of drivers since [`fail_allocation`](Self::fail_allocation).
    #[must_use]
    pub fn allocations(&self) -> u64 {
        self.memory.scarcity.with(|scarcity| scarcity.counted)
    }

    /// The allocation that failed: the function, and where it was called.
    #[must_use]
    pub fn failed_allocation(&self) -> Option<String> {
        self.memory.scarcity.with(|scarcity| scarcity.failed.clone())
    }

    /// Whether this call of a driver's, which allocates, is the one that fails.
    pub(crate) fn allocation_fails(&self) -> bool {
        let caller = self.caller_address();
        if self.image_of(caller).is_none() {
            return false;
        }
        let fails = self.memory.scarcity.with(|scarcity| {
            scarcity.counted += 1;
            scarcity.fails == Some(scarcity.counted)
        });
        if fails {
            let function = match self.crossings().first() {
                Some(CallKind::Into { export, .. }) => export.name,
                _ => "an allocation",
            };
            self.record("an allocation fails", 0);
            let told = format!("{function} from {}", self.symbol(caller));
            self.memory.scarcity.with(|scarcity| scarcity.failed = Some(told));
        }
        fails
    }
}
