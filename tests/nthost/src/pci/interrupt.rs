//! From a message or a line to the service routines of a driver.
//!
//! A vector belongs to one message, or to one line that several functions may share. Its number decides its IRQL, as on
//! x64 Windows: IRQL is the vector divided by sixteen. A driver connects its routine to a vector; the routine runs on
//! the processor the message names, at the vector's IRQL, under the interrupt's own spin lock (that lock is taken by
//! whoever connects: I/O manager or framework).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Location;
use crate::cpu::interrupt::InterruptId;
use crate::kernel::Kernel;
use crate::stop::{Fault, bugcheck};

/// Device vectors: IRQL 5 to 11.
const VECTORS: core::ops::RangeInclusive<u32> = 0x51..=0xBF;
/// Where messages are written (Intel SDM volume 3, "Message Address Register Format").
const MESSAGE_BASE: u64 = 0xFEE0_0000;
/// Unclaimed services in a row of an asserted line before the machine calls it a storm (our choice).
const STORM: u32 = 1000;

/// A connected service routine: says whether the interrupt was its device's.
pub(crate) type Service = Arc<dyn Fn(&Kernel) -> bool + Send + Sync>;

/// All vectors in use.
#[derive(Default)]
pub(crate) struct Vectors {
    vectors: BTreeMap<u32, Vector>,
    next_connection: u64,
}

struct Vector {
    cpus: u64,
    /// The line, for a level triggered vector.
    line: Option<u8>,
    users: u32,
    delivery: Option<InterruptId>,
    connections: Vec<(u64, Service)>,
    unclaimed: u32,
    /// Messages that came while nobody was connected.
    lost: u64,
}

impl core::fmt::Debug for Vectors {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_set().entries(self.vectors.keys()).finish()
    }
}

/// Names a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Connection {
    vector: u32,
    id: u64,
}

/// The IRQL at which the routines of `vector` run.
pub(crate) fn irql_of(vector: u32) -> u8 {
    u8::try_from(vector >> 4).unwrap_or(15)
}

/// The line a pin is routed to: pins swizzle over four lines by device number, as boards do.
pub(crate) fn line_of(location: Location, pin: u8) -> u8 {
    if pin == 0 { 0xFF } else { 16 + (location.device + pin - 1) % 4 }
}

/// Message address and data that deliver `vector` to the processor `cpu`.
pub(crate) fn message_for(vector: u32, cpu: u32) -> (u64, u32) {
    (MESSAGE_BASE | u64::from(cpu & 0xFF) << 12, vector)
}

impl Kernel {
    /// A vector for one message, to be delivered to one of the processors of `cpus`.
    pub(crate) fn allocate_message_vector(&self, cpus: u64) -> Option<u32> {
        self.pci.vectors.with(|vectors| {
            let vector = VECTORS.into_iter().find(|vector| !vectors.vectors.contains_key(vector))?;
            vectors.vectors.insert(vector, Vector::new(cpus, None));
            Some(vector)
        })
    }

    /// The vector of a line, shared by all that ask for it.
    pub(crate) fn allocate_line_vector(&self, line: u8, cpus: u64) -> Option<u32> {
        self.pci.vectors.with(|vectors| {
            if let Some((vector, known)) =
                vectors.vectors.iter_mut().find(|(_, known)| known.line == Some(line))
            {
                known.users += 1;
                return Some(*vector);
            }
            let vector = VECTORS.rev().find(|vector| !vectors.vectors.contains_key(vector))?;
            vectors.vectors.insert(vector, Vector::new(cpus, Some(line)));
            Some(vector)
        })
    }

    /// Gives a vector back. Nobody may be connected any more.
    pub(crate) fn free_vector(&self, vector: u32) {
        let delivery = self.pci.vectors.with(|vectors| {
            let known = vectors.vectors.get_mut(&vector)?;
            known.users -= 1;
            if known.users > 0 {
                return None;
            }
            vectors.vectors.remove(&vector)?.delivery
        });
        if let Some(id) = delivery {
            self.disconnect_interrupt(id);
        }
    }

    /// Connects a service routine to a vector; `None` when the vector was never assigned.
    pub(crate) fn connect_vector(&self, name: &str, vector: u32, service: Service) -> Option<Connection> {
        let fresh = self
            .pci
            .vectors
            .with(|vectors| vectors.vectors.get(&vector).map(|known| known.delivery.is_none()))?;
        if fresh {
            let id =
                self.connect_interrupt(name, irql_of(vector), Box::new(move |k| k.service_vector(vector)));
            self.pci.vectors.with(|vectors| {
                if let Some(known) = vectors.vectors.get_mut(&vector) {
                    known.delivery = Some(id);
                }
            });
        }
        let id = self.pci.vectors.with(|vectors| {
            vectors.next_connection += 1;
            let id = vectors.next_connection;
            vectors.vectors.get_mut(&vector)?.connections.push((id, service));
            Some(id)
        })?;
        // A line that is already asserted interrupts at once.
        self.redeliver_line(vector);
        Some(Connection { vector, id })
    }

    /// Disconnects a service routine: when this returns, it neither runs nor will run.
    pub(crate) fn disconnect_vector(&self, connection: Connection) {
        let removed = self.pci.vectors.with(|vectors| {
            let known = vectors.vectors.get_mut(&connection.vector)?;
            let index = known.connections.iter().position(|(id, _)| *id == connection.id)?;
            let (_, service) = known.connections.remove(index);
            Some((service, if known.connections.is_empty() { known.delivery.take() } else { None }))
        });
        let Some((service, delivery)) = removed else { return };
        if let Some(id) = delivery {
            self.disconnect_interrupt(id);
        }
        // On a shared line the routine may still be on its way on another processor.
        while Arc::strong_count(&service) > 1 {
            self.pass_time(100);
            self.give_way();
        }
    }

    /// A write to the message window.
    pub(crate) fn deliver_message(&self, device: &str, address: u64, data: u32) {
        let vector = data & 0xFF;
        let cpu = u32::try_from(address >> 12 & 0xFF).unwrap_or(0);
        if address & !0xF_FFFF != MESSAGE_BASE || cpu >= self.cpu_count() {
            self.record(format!("{device}: message to nowhere"), address);
            return;
        }
        let delivery = self.pci.vectors.with(|vectors| {
            let known = vectors.vectors.get_mut(&vector)?;
            if known.delivery.is_none() {
                known.lost += 1;
            }
            known.delivery
        });
        match delivery {
            Some(id) => self.raise_interrupt(id, cpu),
            None => self.record(format!("{device}: message to an unconnected vector"), u64::from(vector)),
        }
    }

    /// A line was asserted.
    pub(crate) fn deliver_line(&self, location: Location, pin: u8) {
        let line = line_of(location, pin);
        let target = self.pci.vectors.with(|vectors| {
            let known = vectors.vectors.values().find(|known| known.line == Some(line))?;
            Some((known.delivery?, known.cpus.trailing_zeros()))
        });
        if let Some((id, cpu)) = target {
            self.raise_interrupt(id, cpu.min(self.cpu_count() - 1));
        }
    }

    /// Runs the routines of a vector: all of a line until one claims it, the one of a message.
    fn service_vector(&self, vector: u32) -> bool {
        let services: Vec<Service> = self.pci.vectors.with(|vectors| {
            let known = vectors.vectors.get(&vector);
            known
                .map(|known| known.connections.iter().map(|(_, service)| Arc::clone(service)).collect())
                .unwrap_or_default()
        });
        let claimed = services.iter().any(|service| service(self));
        let storm = self.pci.vectors.with(|vectors| {
            let known = vectors.vectors.get_mut(&vector)?;
            known.unclaimed = if claimed || known.line.is_none() { 0 } else { known.unclaimed + 1 };
            (known.unclaimed > STORM).then_some(known.line)
        });
        if let Some(line) = storm {
            let line = line.unwrap_or_default();
            self.stop(
                Fault::new("InterruptStorm", bugcheck::HARDWARE_INTERRUPT_STORM)
                    .text(format!("line {line} stays asserted and no service routine claims it"))
                    .parameter(u64::from(vector), "vector"),
            );
        }
        self.redeliver_line(vector);
        claimed
    }

    /// A level triggered line that is still asserted interrupts again.
    fn redeliver_line(&self, vector: u32) {
        let line = self.pci.vectors.with(|vectors| vectors.vectors.get(&vector).and_then(|known| known.line));
        let asserted = line.and_then(|line| {
            self.functions()
                .into_iter()
                .find(|slot| slot.line_asserted() && line_of(slot.location, slot.pin) == line)
        });
        if let Some(slot) = asserted {
            self.deliver_line(slot.location, slot.pin);
        }
    }
}

impl Vector {
    fn new(cpus: u64, line: Option<u8>) -> Self {
        Self { cpus, line, users: 1, delivery: None, connections: Vec::new(), unclaimed: 0, lost: 0 }
    }
}
