//! IoConnectInterruptEx and IoDisconnectInterruptEx, the fully specified form.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::layout::status;
use crate::export::{PASSIVE, exports};
use crate::kernel::Kernel;
use crate::pci::interrupt::{Connection, Service, irql_of};

/// Connected interrupts by their KINTERRUPT.
#[derive(Debug, Default)]
pub(crate) struct Connected(BTreeMap<u64, Connected1>);

#[derive(Debug, Clone, Copy)]
struct Connected1 {
    connection: Connection,
    /// The driver's service routine.
    routine: u64,
    /// Made here, to be freed here.
    own_lock: Option<u64>,
}

/// CONNECT_FULLY_SPECIFIED, CONNECT_FULLY_SPECIFIED_GROUP.
const VERSIONS: [u32; 2] = [1, 4];

/// A service routine with the spin lock it runs under.
#[derive(Clone)]
pub(crate) struct Routine {
    /// For messages.
    pub(crate) name: String,
    /// The vector of the translated resource.
    pub(crate) vector: u32,
    /// Where the lock lies.
    pub(crate) lock: u64,
    /// IRQL the routine runs at: the vector's, or higher when several vectors share the lock.
    pub(crate) irql: u8,
    /// The driver's routine and its arguments; its low byte says "mine".
    pub(crate) call: Service,
}

impl Kernel {
    /// Connects a routine that runs under its spin lock. `None` when the vector was not assigned to any device.
    pub(crate) fn connect_routine(&self, routine: &Routine) -> Option<Connection> {
        let Routine { lock, irql, call, .. } = routine.clone();
        let service = move |k: &Self| {
            let old = k.raise_irql(irql);
            k.take_spin_lock(lock);
            let mine = call(k);
            k.drop_spin_lock(lock);
            k.lower_irql(old);
            mine
        };
        self.connect_vector(&routine.name, routine.vector, Arc::new(service))
    }

    /// Interrupts whose service routine lies in an image, in words: for the check at unload.
    pub(crate) fn interrupts_of(&self, image: impl Fn(u64) -> bool) -> Vec<String> {
        let routines = self.io.interrupts.with(|known| {
            let routines = known.0.values().map(|connected| connected.routine);
            routines.filter(|&routine| image(routine)).collect::<Vec<_>>()
        });
        let describe = |routine| format!("interrupt connected to {}", self.symbol(routine));
        routines.into_iter().map(describe).collect()
    }
}

exports! {
    module "ntoskrnl.exe";

    /// Connects a service routine (IO_CONNECT_INTERRUPT_PARAMETERS, fully specified: PDO 8, object 0x10, routine 0x18,
    /// context 0x20, spin lock 0x28, synchronize IRQL 0x30, save 0x31, share 0x32, vector 0x34, IRQL 0x38, mode 0x3C,
    /// processors 0x40, group 0x48).
    fn IoConnectInterruptEx(k; parameters: u64) -> i32 [PASSIVE, "Learn, IoConnectInterruptEx: PASSIVE_LEVEL"] {
        if k.allocation_fails() {
            return status::INSUFFICIENT_RESOURCES;
        }
        let version: u32 = k.read(parameters);
        if !VERSIONS.contains(&version) {
            return status::NOT_SUPPORTED;
        }
        let routine: u64 = k.read(parameters + 0x18);
        let context: u64 = k.read(parameters + 0x20);
        let given_lock: u64 = k.read(parameters + 0x28);
        let vector: u32 = k.read(parameters + 0x34);
        let synchronize: u8 = k.read(parameters + 0x30);
        let own_lock = (given_lock == 0).then(|| k.system_allocate(8, "interrupt spin lock"));
        let lock = own_lock.unwrap_or(given_lock);
        let object = k.system_allocate(0x100, "KINTERRUPT");
        let connect = Routine {
            name: format!("vector {vector:#x}"),
            vector,
            lock,
            irql: synchronize.max(irql_of(vector)),
            call: Arc::new(move |k: &Kernel| k.call("ISR", routine, &[object, context]) & 0xFF != 0),
        };
        match k.connect_routine(&connect) {
            Some(connection) => {
                k.io.interrupts.with(|known| known.0.insert(object, Connected1 { connection, routine, own_lock }));
                k.write(k.read::<u64>(parameters + 0x10), object);
                status::SUCCESS
            }
            None => {
                k.system_free(object);
                own_lock.into_iter().for_each(|lock| k.system_free(lock));
                status::INVALID_PARAMETER
            }
        }
    }

    /// Disconnects (IO_DISCONNECT_INTERRUPT_PARAMETERS: interrupt object 8).
    fn IoDisconnectInterruptEx(k; parameters: u64) [PASSIVE, "Learn, IoDisconnectInterruptEx: PASSIVE_LEVEL"] {
        let object: u64 = k.read(parameters + 8);
        if let Some(known) = k.io.interrupts.with(|known| known.0.remove(&object)) {
            k.disconnect_vector(known.connection);
            known.own_lock.into_iter().for_each(|lock| k.system_free(lock));
            k.system_free(object);
        }
    }
}
