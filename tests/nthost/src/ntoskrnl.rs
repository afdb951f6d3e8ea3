//! The kernel services of `ntoskrnl.exe` that drivers import, one file for each family.

pub(crate) mod crash_dump;
pub(crate) mod dma;
mod dpcs;
pub(crate) mod etw;
mod events;
mod format;
mod irql;
pub(crate) mod locks;
mod mdls;
mod mm;
mod objects;
mod pool;
mod processors;
pub(crate) mod runtime;
pub(crate) mod status;
mod strings;
pub(crate) mod sync;
mod threads;
mod time;
pub(crate) mod work;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::export::Export;
use crate::guarded::Guarded;
use crate::kernel::Kernel;
use crate::loader::Image;
use crate::stop::{Fault, bugcheck};

pub use crash_dump::{AddedPages, DumpData};
pub use dma::CommonBuffer;
pub use etw::{TraceEvent, Value};

/// What the services keep.
#[derive(Debug, Default)]
pub(crate) struct Services {
    pub(crate) locks: Guarded<locks::Locks>,
    pub(crate) order: Guarded<locks::Order>,
    pub(crate) holders: Guarded<sync::Holders>,
    /// Reference counts of the kernel's own objects.
    pub(crate) objects: Guarded<BTreeMap<u64, objects::Object>>,
    /// Kernel handles and the objects they mean.
    pub(crate) handles: Guarded<BTreeMap<u64, threads::Handle>>,
    pub(crate) work: Guarded<work::Work>,
    pub(crate) adapters: Guarded<dma::Adapters>,
    pub(crate) session: Guarded<etw::Session>,
    pub(crate) crash_dump: Guarded<crash_dump::Callbacks>,
    /// The bug check routines run.
    pub(crate) crashing: AtomicBool,
    /// What drivers printed.
    pub(crate) messages: Guarded<Vec<String>>,
}

/// Every table of exported functions.
pub(crate) fn tables() -> [&'static [&'static Export]; 19] {
    [
        crash_dump::EXPORTS,
        dma::EXPORTS,
        dma::operations::EXPORTS,
        dpcs::EXPORTS,
        etw::EXPORTS,
        events::EXPORTS,
        irql::EXPORTS,
        locks::EXPORTS,
        mdls::EXPORTS,
        mm::EXPORTS,
        pool::EXPORTS,
        processors::EXPORTS,
        runtime::EXPORTS,
        runtime::BARE,
        strings::EXPORTS,
        sync::EXPORTS,
        threads::EXPORTS,
        time::EXPORTS,
        work::EXPORTS,
    ]
}

impl Kernel {
    /// What drivers have printed so far, oldest first.
    #[must_use]
    pub fn messages(&self) -> Vec<String> {
        self.services.messages.with(|messages| messages.clone())
    }

    /// Stops the machine when an image leaves something behind that would call into it or that it must give back.
    pub(crate) fn check_services_at_unload(&self, image: &Image) {
        let mine = |address: u64| image.contains(address);
        let mut left = self.adapters_made_by(mine);
        left.extend(self.work_of(mine));
        left.extend(self.providers_of(mine));
        left.extend(self.dump_routines_of(mine));
        left.extend(self.mappings_of(mine));
        left.extend(self.handles_of(mine));
        left.extend(self.calls_into(mine));
        left.extend(self.interrupts_of(mine));
        left.extend(self.calls_under_way_in(mine));
        let threads = self.cpus.threads.with(|threads| threads.clone());
        let running = |thread: &&std::rc::Rc<crate::cpu::thread::Thread>| {
            mine(thread.routine.load(Ordering::Relaxed)) && !thread.has_ended()
        };
        left.extend(threads.iter().filter(running).map(|thread| format!("running {}", thread.name)));
        if !left.is_empty() {
            self.stop(
                Fault::new("Unload", bugcheck::DRIVER_UNLOADED_WITHOUT_CANCELLING_PENDING_OPERATIONS)
                    .text(format!("{} is unloaded and leaves behind: {}", image.name, left.join("; ")))
                    .parameter(left.len() as u64, "things left behind"),
            );
        }
    }

    /// DPCs and timers that will call into an image.
    fn calls_into(&self, image: impl Fn(u64) -> bool) -> Vec<String> {
        let routine = |dpc: u64| self.read::<u64>(dpc + crate::cpu::dpc::ROUTINE);
        let queued = self.queued_dpcs().into_iter().filter(|&dpc| image(routine(dpc)));
        let timers = self.timer_dpcs().into_iter().filter(|&dpc| image(routine(dpc)));
        let queued = queued.map(|dpc| format!("queued DPC with routine {}", self.symbol(routine(dpc))));
        queued
            .chain(timers.map(|dpc| format!("timer set with routine {}", self.symbol(routine(dpc)))))
            .collect()
    }

    /// Contiguous memory, mappings of registers and of MDLs that code in an image has made and not undone.
    fn mappings_of(&self, image: impl Fn(u64) -> bool) -> Vec<String> {
        use crate::memory::space::Kind;
        let regions = self.memory.space.select(|region| {
            matches!(region.kind, Kind::Contiguous(_) | Kind::Mapping | Kind::Mmio(_))
                && image(region.made_by)
        });
        regions.iter().map(|region| self.describe_address(region.used.0)).collect()
    }
}
