//! Interrupts: WDFINTERRUPT.

use std::sync::Arc;

use super::device::Power;
use super::object::{Attributes, Body};
use super::status;
use crate::export::{Between, DISPATCH, PASSIVE, exports};
use crate::io::interrupt::Routine;
use crate::io::low32;
use crate::kernel::Kernel;
use crate::pci::interrupt::Connection;
use crate::pci::requirements::{FLAG_LATCHED, FLAG_MESSAGE, FLAG_POLICY, OPTION_ALTERNATIVE, TYPE_INTERRUPT};

/// A WDFINTERRUPT.
#[derive(Debug)]
pub(super) struct Interrupt {
    device: u64,
    isr: u64,
    enable: u64,
    disable: u64,
    policy: Policy,
    /// The order of creation among the device's interrupts.
    message: u32,
    assigned: Option<Assigned>,
    connection: Option<Connection>,
    enabled: bool,
    lock: u64,
    /// IRQL before WdfInterruptAcquireLock.
    old_irql: u8,
}

/// What a driver set for an interrupt.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Policy {
    /// A policy was set at all.
    set: bool,
    policy: u16,
    priority: u32,
    mask: u64,
    group: u16,
    share: u32,
}

/// The translated resource of an interrupt.
#[derive(Debug, Clone, Copy)]
struct Assigned {
    level: u8,
    group: u16,
    vector: u32,
    affinity: u64,
    flags: u16,
    share: u8,
}

/// sizeof(WDF_INTERRUPT_CONFIG) of 1.15 (wdfinterrupt.h; ISR 0x18, DPC 0x20, enable 0x28, disable 0x30, work item 0x38,
/// raw 0x40, passive handling 0x58).
const CONFIG_SIZE: u32 = 0x68;
/// sizeof(WDF_INTERRUPT_INFO) of 1.15 and of 1.7 to 1.9.
const INFO_SIZE: u32 = 0x40;
/// sizeof(WDF_INTERRUPT_EXTENDED_POLICY): policy 4, priority 8, GROUP_AFFINITY 0x10 (mask, group).
const EXTENDED_POLICY_SIZE: u32 = 0x20;

impl Kernel {
    fn wdf_interrupt<R>(&self, handle: u64, work: impl FnOnce(&mut Interrupt) -> R) -> R {
        let found = self.wdf_object(handle, |object| match &mut object.body {
            Body::Interrupt(interrupt) => Some(work(interrupt)),
            _ => None,
        });
        found.unwrap_or_else(|| self.wrong_handle(handle, "WDFINTERRUPT"))
    }

    fn wdf_interrupt_create(&self, device: u64, config: u64, attributes: u64) -> Result<u64, i32> {
        if self.read::<u32>(config) != CONFIG_SIZE {
            return Err(status::INFO_LENGTH_MISMATCH);
        }
        let attributes: Attributes = self.wdf_attributes(attributes, true)?;
        let power = self.wdf_device(device, |device| device.power);
        if !matches!(power, Power::Init | Power::Preparing) {
            return Err(status::INVALID_DEVICE_STATE);
        }
        let isr: u64 = self.read(config + 0x18);
        if isr == 0 {
            return Err(status::INVALID_PARAMETER);
        }
        let unsupported = [
            (0x20, "EvtInterruptDpc"),
            (0x38, "EvtInterruptWorkItem"),
            (0x40, "InterruptRaw"),
            (8, "SpinLock"),
        ];
        let passive: u8 = self.read(config + 0x58);
        if let Some((_, name)) = unsupported.iter().find(|(at, _)| self.read::<u64>(config + at) != 0) {
            self.wdf_violation(
                "WdfFunction",
                format!("WDF_INTERRUPT_CONFIG.{name} is not implemented in this machine"),
            );
        }
        if passive != 0 {
            self.wdf_violation(
                "WdfFunction",
                "passive interrupt handling is not implemented in this machine",
            );
        }
        let message = self.wdf_device(device, |device| u32::try_from(device.interrupts.len()).unwrap_or(0));
        let body = Interrupt {
            device,
            isr,
            enable: self.read(config + 0x28),
            disable: self.read(config + 0x30),
            policy: Policy { share: self.read(config + 0x10), ..Policy::default() },
            message,
            assigned: None,
            connection: None,
            enabled: false,
            lock: self.system_allocate(8, "spin lock of a WDFINTERRUPT"),
            old_irql: 0,
        };
        let client = self.wdf_client(device);
        let handle = self.wdf_create(client, device, &attributes, Body::Interrupt(Box::new(body)));
        self.wdf_device(device, |device| device.interrupts.push(handle));
        Ok(handle)
    }

    /// An interrupt is disposed.
    pub(super) fn forget_interrupt(&self, handle: u64) {
        let (device, lock, connected) = self.wdf_interrupt(handle, |interrupt| {
            (interrupt.device, interrupt.lock, interrupt.connection.take())
        });
        if let Some(connection) = connected {
            self.disconnect_vector(connection);
        }
        self.wdf_device(device, |device| device.interrupts.retain(|known| *known != handle));
        self.system_free(lock);
    }

    /// The policies of a device's interrupts in the order of creation.
    pub(super) fn interrupt_policies(&self, device: u64) -> Vec<Policy> {
        let handles = self.wdf_device(device, |device| device.interrupts.clone());
        handles.into_iter().map(|handle| self.wdf_interrupt(handle, |interrupt| interrupt.policy)).collect()
    }

    /// Writes policies into the interrupt descriptors of a requirements list, in place: each message descriptor takes
    /// the next interrupt, an alternative the one before it, a line behind messages the first (fxpkgpnpkm.cpp).
    pub(super) fn apply_policies(&self, list: u64, policies: &[Policy]) {
        let alternatives: u32 = self.read(list + 0x1C);
        let mut at = list + 0x20;
        for _ in 0..alternatives {
            let count: u32 = self.read(at + 4);
            let (mut message, mut line) = (None, None);
            let mut after_messages = false;
            for index in 0..u64::from(count) {
                let descriptor = at + 8 + index * 0x20;
                if self.read::<u8>(descriptor + 1) != TYPE_INTERRUPT {
                    continue;
                }
                let alternative = self.read::<u8>(descriptor) & OPTION_ALTERNATIVE != 0;
                let flags: u16 = self.read(descriptor + 4);
                let next = |current: Option<usize>| Some(current.map_or(0, |current| current + 1));
                let chosen = if flags & FLAG_MESSAGE != 0 {
                    after_messages = true;
                    message = if alternative { message } else { next(message) };
                    message
                } else {
                    line = if alternative { line } else { next(line) };
                    if core::mem::take(&mut after_messages) {
                        line = Some(0);
                    }
                    line
                };
                if let Some(policy) = chosen.and_then(|chosen| policies.get(chosen)) {
                    self.apply_policy(descriptor, flags, policy);
                }
            }
            at += 8 + u64::from(count) * 0x20;
        }
    }

    fn apply_policy(&self, descriptor: u64, flags: u16, policy: &Policy) {
        match policy.share {
            1 => self.write(descriptor + 2, crate::pci::requirements::SHARE_SHARED),
            0 => self.write(descriptor + 2, crate::pci::requirements::SHARE_EXCLUSIVE),
            _ => {}
        }
        // A policy from the registry, which the bus driver put in, wins.
        if policy.set && flags & FLAG_POLICY == 0 {
            self.write(descriptor + 4, flags | FLAG_POLICY);
            self.write(descriptor + 0x10, policy.policy);
            self.write(descriptor + 0x12, policy.group);
            self.write(descriptor + 0x14, policy.priority);
            self.write(descriptor + 0x18, policy.mask);
        }
    }

    /// Hands the interrupt resources out in the order of creation; what is left over on either side stays unused.
    pub(super) fn assign_interrupts(&self, device: u64, (raw, translated): (u64, u64)) {
        let handles = self.wdf_device(device, |device| device.interrupts.clone());
        let both = self.wdf_descriptors(raw).into_iter().zip(self.wdf_descriptors(translated));
        let interrupts = both.filter(|(_, translated)| self.read::<u8>(*translated) == TYPE_INTERRUPT);
        let mut rest = handles.into_iter();
        for (raw, translated) in interrupts {
            let flags: u16 = self.read(translated + 2);
            // The raw form of a message: group 4, count 6, vector 8, processors 0xC.
            let count = if flags & FLAG_MESSAGE != 0 { self.read::<u16>(raw + 6) } else { 1 };
            for message in 0..u32::from(count.max(1)) {
                let Some(handle) = rest.next() else { return };
                let assigned = Assigned {
                    level: u8::try_from(self.read::<u16>(translated + 4)).unwrap_or(0),
                    group: self.read(translated + 6),
                    vector: self.read::<u32>(translated + 8) + message,
                    affinity: self.read(translated + 0xC),
                    flags,
                    share: self.read(translated + 1),
                };
                self.wdf_interrupt(handle, |interrupt| interrupt.assigned = Some(assigned));
            }
        }
    }

    /// The interrupts lose their resources.
    pub(super) fn revoke_interrupts(&self, device: u64) {
        for handle in self.wdf_device(device, |device| device.interrupts.clone()) {
            self.wdf_interrupt(handle, |interrupt| interrupt.assigned = None);
        }
    }

    /// Connects and enables each interrupt that has resources, in the order of creation.
    pub(super) fn connect_interrupts(&self, device: u64) -> i32 {
        for handle in self.wdf_device(device, |device| device.interrupts.clone()) {
            let (assigned, isr, lock, enable, message) = self.wdf_interrupt(handle, |interrupt| {
                (interrupt.assigned, interrupt.isr, interrupt.lock, interrupt.enable, interrupt.message)
            });
            let Some(assigned) = assigned else { continue };
            let call =
                move |k: &Self| k.call("EvtInterruptIsr", isr, &[handle, u64::from(message)]) & 0xFF != 0;
            let routine = Routine {
                name: format!("vector {:#x}", assigned.vector),
                vector: assigned.vector,
                lock,
                irql: assigned.level,
                call: Arc::new(call),
            };
            let Some(connection) = self.connect_routine(&routine) else { return status::INVALID_PARAMETER };
            self.wdf_interrupt(handle, |interrupt| interrupt.connection = Some(connection));
            if enable != 0 {
                let result =
                    self.under_interrupt_lock(handle, "EvtInterruptEnable", enable, &[handle, device]);
                if !status::ok(low32(result)) {
                    return low32(result);
                }
            }
            self.wdf_interrupt(handle, |interrupt| interrupt.enabled = true);
        }
        status::SUCCESS
    }

    /// Disables and disconnects, last one first; DPCs that were queued have run when this returns.
    pub(super) fn disconnect_interrupts(&self, device: u64) {
        for handle in self.wdf_device(device, |device| device.interrupts.clone()).into_iter().rev() {
            let (connected, enabled, disable) = self.wdf_interrupt(handle, |interrupt| {
                let enabled = core::mem::take(&mut interrupt.enabled);
                (interrupt.connection.take(), enabled, interrupt.disable)
            });
            let Some(connection) = connected else { continue };
            if enabled && disable != 0 {
                self.under_interrupt_lock(handle, "EvtInterruptDisable", disable, &[handle, device]);
            }
            self.flush_dpcs();
            self.disconnect_vector(connection);
        }
    }

    /// Calls driver code at the interrupt's IRQL with its lock held.
    fn under_interrupt_lock(&self, handle: u64, what: &str, routine: u64, arguments: &[u64]) -> u64 {
        let old = self.take_interrupt_lock(handle);
        let result = self.call(what, routine, arguments);
        self.drop_interrupt_lock(handle, old);
        result
    }

    fn take_interrupt_lock(&self, handle: u64) -> u8 {
        let (assigned, lock) = self.wdf_interrupt(handle, |interrupt| (interrupt.assigned, interrupt.lock));
        let Some(assigned) = assigned else {
            self.wdf_violation("WdfInterruptLock", "the lock of an interrupt without resources is taken")
        };
        let old = self.raise_irql(assigned.level);
        self.take_spin_lock(lock);
        old
    }

    fn drop_interrupt_lock(&self, handle: u64, old: u8) {
        let lock = self.wdf_interrupt(handle, |interrupt| interrupt.lock);
        self.drop_spin_lock(lock);
        self.lower_irql(old);
    }
}

exports! {
    module "Wdf01000.sys";

    /// Makes an interrupt.
    fn WdfInterruptCreate(k; _globals: u64, device: u64, config: u64, attributes: u64, result: u64) -> i32
        [PASSIVE, "Learn, WdfInterruptCreate: PASSIVE_LEVEL"]
    {
        if k.allocation_fails() {
            return status::INSUFFICIENT_RESOURCES;
        }
        match k.wdf_interrupt_create(device, config, attributes) {
            Ok(handle) => {
                k.write(result, handle);
                status::SUCCESS
            }
            Err(error) => error,
        }
    }

    /// Sets processors and priority, groups included.
    fn WdfInterruptSetExtendedPolicy(k; _globals: u64, interrupt: u64, given: u64)
        [DISPATCH, "Learn, WdfInterruptSetExtendedPolicy: <= DISPATCH_LEVEL"]
    {
        k.wdf_size(given, "WDF_INTERRUPT_EXTENDED_POLICY", &[EXTENDED_POLICY_SIZE]);
        let policy: u32 = k.read(given + 4);
        let priority: u32 = k.read(given + 8);
        let (mask, group): (u64, u16) = (k.read(given + 0x10), k.read(given + 0x18));
        k.wdf_interrupt(interrupt, |interrupt| {
            let share = interrupt.policy.share;
            interrupt.policy =
                Policy { set: true, policy: u16::try_from(policy).unwrap_or(0), priority, mask, group, share };
        });
    }

    /// Sets processors of group 0 and priority.
    fn WdfInterruptSetPolicy(k; _globals: u64, interrupt: u64, policy: u32, priority: u32, mask: u64)
        [DISPATCH, "Learn, WdfInterruptSetPolicy: <= DISPATCH_LEVEL"]
    {
        k.wdf_interrupt(interrupt, |interrupt| {
            let share = interrupt.policy.share;
            interrupt.policy =
                Policy { set: true, policy: u16::try_from(policy).unwrap_or(0), priority, mask, group: 0, share };
        });
    }

    /// What an interrupt was given.
    fn WdfInterruptGetInfo(k; _globals: u64, interrupt: u64, info: u64)
        [crate::export::ANY, "Learn, WdfInterruptGetInfo: any level"]
    {
        k.wdf_size(info, "WDF_INTERRUPT_INFO", &[INFO_SIZE]);
        let (assigned, message) = k.wdf_interrupt(interrupt, |interrupt| (interrupt.assigned, interrupt.message));
        k.write_bytes(info + 4, &[0; 0x3C]);
        k.write(info + 0x1C, message);
        if let Some(Assigned { level, group, vector, affinity, flags, share }) = assigned {
            k.write(info + 0x10, affinity);
            k.write(info + 0x20, vector);
            k.write(info + 0x24, level);
            // KINTERRUPT_MODE: LevelSensitive 0, Latched 1.
            k.write(info + 0x28, u32::from(flags & FLAG_LATCHED));
            k.write(info + 0x30, u8::from(flags & FLAG_MESSAGE != 0));
            k.write(info + 0x31, share);
            k.write(info + 0x38, group);
        }
    }

    /// The device of an interrupt.
    fn WdfInterruptGetDevice(k; _globals: u64, interrupt: u64) -> u64
        [crate::export::ANY, "Learn, WdfInterruptGetDevice: any level"]
    {
        k.wdf_interrupt(interrupt, |interrupt| interrupt.device)
    }

    /// Raises to the interrupt's IRQL and takes its lock.
    fn WdfInterruptAcquireLock(k; _globals: u64, interrupt: u64)
        [crate::export::UpTo(12), "Learn, WdfInterruptAcquireLock: <= DIRQL"]
    {
        let old = k.take_interrupt_lock(interrupt);
        k.wdf_interrupt(interrupt, |interrupt| interrupt.old_irql = old);
    }

    /// Gives the lock back and lowers to the IRQL before.
    fn WdfInterruptReleaseLock(k; _globals: u64, interrupt: u64)
        [Between(3, 12), "Learn, WdfInterruptReleaseLock: DIRQL"]
    {
        let old = k.wdf_interrupt(interrupt, |interrupt| interrupt.old_irql);
        k.drop_interrupt_lock(interrupt, old);
    }

    /// Calls a routine at the interrupt's IRQL with its lock held.
    fn WdfInterruptSynchronize(k; _globals: u64, interrupt: u64, routine: u64, context: u64) -> u8
        [crate::export::UpTo(12), "Learn, WdfInterruptSynchronize: <= DIRQL"]
    {
        u8::from(k.under_interrupt_lock(interrupt, "EvtInterruptSynchronize", routine, &[interrupt, context]) & 0xFF != 0)
    }
}
