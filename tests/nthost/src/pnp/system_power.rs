//! Sleep and wake: system power packets for every stack, then the power itself.
//!
//! Source: Learn, "Handling System Power State Requests": the power manager asks every stack (IRP_MN_QUERY_POWER), then
//! sets the state (IRP_MN_SET_POWER); the owner of the power policy asks for the device state that goes with it.

use super::{DevnodeId, RemoveError, State};
use crate::io::NtStatus;
use crate::io::layout::{major, power, status};
use crate::kernel::Kernel;

/// SYSTEM_POWER_STATE (wdm.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sleep {
    /// S3: memory keeps its contents, devices lose power.
    Standby = 4,
    /// S4: everything loses power; memory comes back from the disk.
    Hibernate = 5,
}

/// PowerSystemWorking.
const WORKING: u64 = 1;
/// SystemPowerState is POWER_STATE_TYPE 0.
const SYSTEM: u64 = 0;

impl Kernel {
    /// The machine goes to sleep: every started stack is asked and then told, clients first; then devices lose power.
    ///
    /// # Errors
    /// The veto of a driver; the stacks that were already asked are told that the machine stays up.
    pub fn sleep(&self, sleep: Sleep) -> Result<(), RemoveError> {
        let state = sleep as u64;
        let nodes = self.power_order();
        for (done, id) in nodes.iter().enumerate() {
            let result = self.send_system_power(*id, power::QUERY_POWER, state);
            if !status::ok(result) {
                for id in nodes.iter().take(done) {
                    self.send_system_power(*id, power::SET_POWER, WORKING);
                }
                return Err(RemoveError::Vetoed(NtStatus(result)));
            }
        }
        for id in nodes {
            self.send_system_power(id, power::SET_POWER, state);
        }
        self.record("the machine sleeps", state);
        self.functions().iter().for_each(|slot| slot.lose_power());
        Ok(())
    }

    /// The machine wakes: devices have power again, and every started stack is told, providers first.
    pub fn wake_up(&self) {
        self.record("the machine wakes", WORKING);
        for id in self.power_order().into_iter().rev() {
            self.send_system_power(id, power::SET_POWER, WORKING);
        }
    }

    /// Started devices: clients (root-enumerated) before the functions they use.
    fn power_order(&self) -> Vec<DevnodeId> {
        let is_client = |id: &DevnodeId| self.node(*id).is_some_and(|node| node.slot.is_none());
        let (clients, others): (Vec<_>, Vec<_>) =
            self.all_nodes().into_iter().filter(|id| self.is_started(*id)).partition(is_client);
        clients.into_iter().chain(others).collect()
    }

    fn is_started(&self, id: DevnodeId) -> bool {
        self.node(id).is_some_and(|node| node.state == State::Started)
    }

    /// A device that was pulled meanwhile is not asked any more; one that is being asked is not torn down meanwhile.
    fn send_system_power(&self, id: DevnodeId, minor: u8, state: u64) -> i32 {
        let Some(node) = self.node(id).filter(|node| node.state == State::Started) else {
            return status::SUCCESS;
        };
        self.change_node(id, |node| node.power_packets += 1);
        let top = self.top_of_stack(node.pdo);
        let (result, _) = self.send_irp(top, major::POWER, minor, [0, SYSTEM, state, 0]);
        self.change_node(id, |node| node.power_packets -= 1);
        self.finish_surprise_if_unused(id);
        result
    }
}
