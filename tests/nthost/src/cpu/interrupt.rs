//! Device interrupts: connected service routines, and edges that wait for a processor's IRQL to let them in.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::irql::{DEVICE_HIGHEST, DEVICE_LOWEST, DISPATCH};
use crate::kernel::Kernel;
use crate::stop::{Fault, bugcheck};

/// Names a connected interrupt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct InterruptId(u32);

/// Handles an interrupt and says whether it was the device's.
pub type Service = Box<dyn Fn(&Kernel) -> bool>;

pub(crate) struct Interrupts(pub(crate) BTreeMap<InterruptId, Rc<Interrupt>>, pub(crate) u32);

pub(crate) struct Interrupt {
    name: String,
    irql: u8,
    service: Service,
}

impl std::fmt::Debug for Interrupts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.0.iter().map(|(id, interrupt)| (id, &interrupt.name))).finish()
    }
}

impl Kernel {
    /// Connects `service` at `irql` (a device level). It runs on the processor an edge is raised on.
    ///
    /// # Panics
    /// When `irql` is no device level.
    pub fn connect_interrupt(&self, name: impl Into<String>, irql: u8, service: Service) -> InterruptId {
        assert!((DEVICE_LOWEST..=DEVICE_HIGHEST).contains(&irql), "an interrupt at IRQL {irql}");
        let interrupt = Rc::new(Interrupt { name: name.into(), irql, service });
        self.cpus.interrupts.with(|interrupts| {
            let id = InterruptId(interrupts.1);
            interrupts.1 += 1;
            interrupts.0.insert(id, interrupt);
            id
        })
    }

    /// Disconnects; edges not yet delivered are lost. Returns once no processor is in the service routine.
    pub fn disconnect_interrupt(&self, id: InterruptId) {
        let interrupt = self.cpus.interrupts.with(|interrupts| interrupts.0.remove(&id));
        for cpu in &self.cpus.list {
            cpu.pending.with(|pending| pending.retain(|&other| other != id));
        }
        let Some(interrupt) = interrupt else { return };
        while Rc::strong_count(&interrupt) > 1 {
            self.pass_time(100);
            self.give_way();
        }
    }

    /// An edge of interrupt `id` arrives at processor `cpu`; edges merge while one waits. An unconnected one is lost.
    pub fn raise_interrupt(&self, id: InterruptId, cpu: u32) {
        if !self.cpus.interrupts.with(|interrupts| interrupts.0.contains_key(&id)) {
            return;
        }
        self.cpus.list[cpu as usize].pending.with(|pending| {
            if !pending.contains(&id) {
                pending.push(id);
            }
        });
        self.note_news();
    }

    /// The highest pending interrupt above `irql`.
    pub(super) fn take_interrupt(&self, irql: u8) -> Option<Rc<Interrupt>> {
        let pending = self.cpu().pending.with(|pending| pending.clone());
        if pending.is_empty() {
            return None;
        }
        let (id, interrupt) = self.cpus.interrupts.with(|interrupts| {
            let connected = pending.iter().filter_map(|id| Some((*id, Rc::clone(interrupts.0.get(id)?))));
            connected
                .filter(|(_, interrupt)| interrupt.irql > irql)
                .max_by_key(|(_, interrupt)| interrupt.irql)
        })?;
        self.cpu().pending.with(|pending| pending.retain(|&other| other != id));
        Some(interrupt)
    }

    pub(super) fn run_interrupt(&self, interrupt: Rc<Interrupt>) {
        let old = self.irql();
        if old < DISPATCH {
            self.note_raised();
        }
        self.set_irql(interrupt.irql);
        self.record(format!("interrupt {}", interrupt.name), u64::from(interrupt.irql));
        let ours = (interrupt.service)(self);
        if self.irql() != interrupt.irql {
            self.stop(Fault::new("IrqlReturn", bugcheck::IRQL_UNEXPECTED_VALUE).text(format!(
                "the service routine of {} entered at IRQL {} and returned at {}",
                interrupt.name,
                interrupt.irql,
                self.irql()
            )));
        }
        if !ours {
            self.record(format!("interrupt {} not claimed", interrupt.name), 0);
        }
        drop(interrupt);
        // Straight back: the loop that called this looks for more.
        self.set_irql(old);
    }
}
