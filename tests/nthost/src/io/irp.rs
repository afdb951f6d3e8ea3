//! I/O request packets: made, sent down a stack, completed up again, cancelled.
//!
//! Packets are real structures in the machine's memory, so that any driver may read and change them. What the machine
//! itself must remember of a packet (has it been completed, who waits for it) is kept beside it: a driver cannot
//! confuse that.

use std::collections::BTreeMap;

use super::layout::{device, driver, irp, irp_name, stack, status};
use crate::kernel::Kernel;
use crate::stop::{Fault, bugcheck};

/// Dispatch routine of a driver that is part of the machine (bus drivers, the framework).
pub(crate) type HostDispatch = fn(&Kernel, device: u64, irp: u64) -> i32;

/// What happens when the last completion has run.
pub(crate) type Finish = Box<dyn FnOnce(&Kernel, i32, u64)>;

/// What a driver of the machine does when a packet it holds is cancelled.
pub(crate) type Cancel = Box<dyn FnOnce(&Kernel)>;

/// All packets in flight.
#[derive(Default)]
pub(crate) struct Irps(BTreeMap<u64, State>);

impl core::fmt::Debug for Irps {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_map().entries(self.0.iter().map(|(irp, state)| (irp, &state.what))).finish()
    }
}

struct State {
    what: String,
    /// Locations at which a driver of the machine waits for the packet to come back, with the event it waits for.
    held_at: Vec<(i8, u64)>,
    finish: Option<Finish>,
    /// A driver of the machine that wants to know of a cancellation.
    cancel: Option<Cancel>,
    completed: bool,
}

/// How many locations a packet for `target` needs.
fn stack_size(k: &Kernel, target: u64) -> u8 {
    k.read::<u8>(target + device::STACK_SIZE)
}

impl Kernel {
    /// Makes a packet for the stack below and including `target`, with its first location filled in.
    /// `finish` runs when everybody has completed it; the packet is freed after that.
    pub(crate) fn make_irp(
        &self,
        target: u64,
        major: u8,
        minor: u8,
        parameters: [u64; 4],
        finish: Finish,
    ) -> u64 {
        let count = stack_size(self, target);
        let size = irp::SIZE + u64::from(count) * stack::SIZE;
        let what = irp_name(major, minor);
        let at = self.system_allocate(size, format!("IRP {what}"));
        self.write(at, irp::TYPE);
        self.write(at + 2, u16::try_from(size).unwrap_or(0));
        self.write(at + irp::STACK_COUNT, count);
        self.write(at + irp::CURRENT_LOCATION, count + 1);
        self.write(at + irp::CURRENT_STACK, at + irp::SIZE + u64::from(count) * stack::SIZE);
        self.write(at + irp::STATUS, status::NOT_SUPPORTED);
        let first = self.next_stack(at);
        self.write(first + stack::MAJOR, major);
        self.write(first + stack::MINOR, minor);
        for (index, value) in (0..).zip(parameters) {
            self.write(first + stack::PARAMETERS + 8 * index, value);
        }
        let state = State { what, held_at: Vec::new(), finish: Some(finish), cancel: None, completed: false };
        self.io.irps.with(|irps| irps.0.insert(at, state));
        at
    }

    /// The current stack location.
    pub(crate) fn current_stack(&self, packet: u64) -> u64 {
        self.read(packet + irp::CURRENT_STACK)
    }

    /// The location of the next lower driver.
    pub(crate) fn next_stack(&self, packet: u64) -> u64 {
        self.current_stack(packet) - stack::SIZE
    }

    /// Major and minor function of the current location.
    pub(crate) fn irp_function(&self, packet: u64) -> (u8, u8) {
        let at = self.current_stack(packet);
        (self.read(at + stack::MAJOR), self.read(at + stack::MINOR))
    }

    /// One of the four parameters of the current location.
    pub(crate) fn irp_parameter(&self, packet: u64, index: u64) -> u64 {
        self.read(self.current_stack(packet) + stack::PARAMETERS + 8 * index)
    }

    /// IoCopyCurrentIrpStackLocationToNext: everything but the completion routine.
    pub(crate) fn copy_stack_to_next(&self, packet: u64) {
        let (from, to) = (self.current_stack(packet), self.next_stack(packet));
        let bytes = self.bytes(from, usize::try_from(stack::COMPLETION).unwrap_or(0));
        self.write_bytes(to, &bytes);
        self.write(to + stack::CONTROL, 0_u8);
        self.write(to + stack::COMPLETION, 0_u64);
    }

    /// IofCallDriver.
    pub(crate) fn call_driver(&self, target: u64, packet: u64) -> i32 {
        self.switch_point();
        let location: u8 = self.read(packet + irp::CURRENT_LOCATION);
        if location <= 1 {
            self.stop(
                Fault::new("IoStackLocations", bugcheck::NO_MORE_IRP_STACK_LOCATIONS)
                    .text(format!("{} is sent further down than its stack is deep", self.irp_what(packet)))
                    .parameter(packet, "IRP"),
            );
        }
        let at = self.next_stack(packet);
        self.write(packet + irp::CURRENT_LOCATION, location - 1);
        self.write(packet + irp::CURRENT_STACK, at);
        self.write(at + stack::DEVICE, target);
        let owner: u64 = self.read(target + device::DRIVER);
        let major: u8 = self.read(at + stack::MAJOR);
        let minor: u8 = self.read(at + stack::MINOR);
        let name = self.driver_name(owner);
        self.record(format!("{} to {name}", irp_name(major, minor)), 0);
        if let Some(dispatch) = self.host_dispatch(owner) {
            return dispatch(self, target, packet);
        }
        let routine: u64 = self.read(owner + driver::MAJOR_FUNCTION + 8 * u64::from(major.min(27)));
        let result =
            self.call(&format!("{name} dispatch of {}", irp_name(major, minor)), routine, &[target, packet]);
        super::low32(result)
    }

    /// Sends the packet to the next lower device and waits until it has come back up to this location.
    /// The caller then owns it again and completes it.
    pub(crate) fn forward_and_wait(&self, lower: u64, packet: u64) -> i32 {
        self.copy_stack_to_next(packet);
        let event = self.new_event("a packet to come back up");
        let location: i8 = self.read::<u8>(packet + irp::CURRENT_LOCATION).cast_signed() - 1;
        self.io.irps.with(|irps| {
            if let Some(state) = irps.0.get_mut(&packet) {
                state.held_at.push((location, event));
            }
        });
        self.call_driver(lower, packet);
        self.wait_for(&[event], false, None);
        self.system_free(event);
        self.read(packet + irp::STATUS)
    }

    /// Passes a packet on: the next driver gets this location's parameters; this one is out of it.
    pub(crate) fn skip_and_call(&self, lower: u64, packet: u64) -> i32 {
        let location: u8 = self.read(packet + irp::CURRENT_LOCATION);
        self.write(packet + irp::CURRENT_LOCATION, location + 1);
        self.write(packet + irp::CURRENT_STACK, self.current_stack(packet) + stack::SIZE);
        self.call_driver(lower, packet)
    }

    /// Sets the result and completes.
    pub(crate) fn finish_irp(&self, packet: u64, result: i32, information: u64) -> i32 {
        self.write(packet + irp::STATUS, result);
        self.write(packet + irp::INFORMATION, information);
        self.complete_irp(packet);
        result
    }

    /// IofCompleteRequest.
    pub(crate) fn complete_irp(&self, packet: u64) {
        self.switch_point();
        let what = self.irp_what(packet);
        let second = self.io.irps.with(|irps| irps.0.get(&packet).is_none_or(|state| state.completed));
        if second {
            self.stop(
                Fault::new("DoubleCompletion", bugcheck::MULTIPLE_IRP_COMPLETE_REQUESTS)
                    .text(format!("{what} is completed a second time"))
                    .parameter(packet, "IRP"),
            );
        }
        let result: i32 = self.read(packet + irp::STATUS);
        if result == status::PENDING || result == -1 {
            self.io_violation(
                "StatusPending",
                format!("{what} is completed with status {result:#x}"),
                packet,
            );
        }
        if self.read::<u64>(packet + irp::CANCEL_ROUTINE) != 0 {
            self.io_violation(
                "CancelRoutine",
                format!("{what} is completed while it has a cancel routine"),
                packet,
            );
        }
        loop {
            let location: i8 = self.read::<u8>(packet + irp::CURRENT_LOCATION).cast_signed();
            let count: i8 = self.read::<u8>(packet + irp::STACK_COUNT).cast_signed();
            if location > count {
                break;
            }
            let at = self.current_stack(packet);
            let control: u8 = self.read(at + stack::CONTROL);
            self.write(packet + irp::PENDING_RETURNED, control & stack::SL_PENDING_RETURNED);
            self.write(packet + irp::CURRENT_LOCATION, (location + 1).cast_unsigned());
            self.write(packet + irp::CURRENT_STACK, at + stack::SIZE);
            let held = self.io.irps.with(|irps| {
                let state = irps.0.get_mut(&packet)?;
                let index = state.held_at.iter().position(|(place, _)| *place == location)?;
                Some(state.held_at.remove(index).1)
            });
            if let Some(event) = held {
                self.set_signal(event, 1);
                return;
            }
            let result: i32 = self.read(packet + irp::STATUS);
            let cancelled = self.read::<u8>(packet + irp::CANCEL) != 0;
            let wanted = (status::ok(result) && control & stack::SL_INVOKE_ON_SUCCESS != 0)
                || (!status::ok(result) && control & stack::SL_INVOKE_ON_ERROR != 0)
                || (cancelled && control & stack::SL_INVOKE_ON_CANCEL != 0);
            if wanted {
                let routine: u64 = self.read(at + stack::COMPLETION);
                let context: u64 = self.read(at + stack::CONTEXT);
                let upper = if location < count { self.read(at + stack::SIZE + stack::DEVICE) } else { 0 };
                let answer =
                    self.call(&format!("completion routine of {what}"), routine, &[upper, packet, context]);
                if super::low32(answer) == status::MORE_PROCESSING_REQUIRED {
                    return;
                }
            } else if control & stack::SL_PENDING_RETURNED != 0 && location < count {
                let above = at + stack::SIZE + stack::CONTROL;
                self.write(above, self.read::<u8>(above) | stack::SL_PENDING_RETURNED);
            }
        }
        let finish = self.io.irps.with(|irps| {
            let state = irps.0.get_mut(&packet)?;
            state.completed = true;
            state.finish.take()
        });
        let result: i32 = self.read(packet + irp::STATUS);
        let information: u64 = self.read(packet + irp::INFORMATION);
        if let Some(finish) = finish {
            finish(self, result, information);
        }
        self.io.irps.with(|irps| irps.0.remove(&packet));
        self.system_free(packet);
    }

    /// Sends a fresh packet and waits for its end: (status, information).
    pub(crate) fn send_irp(&self, target: u64, major: u8, minor: u8, parameters: [u64; 4]) -> (i32, u64) {
        self.send_irp_with(target, major, minor, parameters, |_| {})
    }

    /// [`Kernel::send_irp`] with a chance to fill in the packet.
    pub(crate) fn send_irp_with(
        &self,
        target: u64,
        major: u8,
        minor: u8,
        parameters: [u64; 4],
        prepare: impl FnOnce(u64),
    ) -> (i32, u64) {
        let event = self.new_event("a packet to be completed");
        let result = std::rc::Rc::new(core::cell::Cell::new((status::UNSUCCESSFUL, 0)));
        let out = std::rc::Rc::clone(&result);
        let finish = move |k: &Self, status: i32, information: u64| {
            out.set((status, information));
            k.set_signal(event, 1);
        };
        let packet = self.make_irp(target, major, minor, parameters, Box::new(finish));
        prepare(packet);
        self.call_driver(target, packet);
        self.wait_for(&[event], false, None);
        self.system_free(event);
        result.get()
    }

    /// Remembers what a driver of the machine wants done when the packet is cancelled; `None` forgets it.
    /// Says whether the packet is already cancelled.
    pub(crate) fn set_irp_cancel(&self, packet: u64, cancel: Option<Cancel>) -> bool {
        let cancelled = self.read::<u8>(packet + irp::CANCEL) != 0;
        self.io.irps.with(|irps| {
            if let Some(state) = irps.0.get_mut(&packet) {
                state.cancel = cancel;
            }
        });
        cancelled
    }

    /// IoCancelIrp: marks the packet and tells whoever holds it.
    pub(crate) fn cancel_irp(&self, packet: u64) {
        let Some(told) = self.io.irps.with(|irps| irps.0.get_mut(&packet).map(|state| state.cancel.take()))
        else {
            return;
        };
        self.record(format!("{} is cancelled", self.irp_what(packet)), 0);
        self.write(packet + irp::CANCEL, 1_u8);
        let routine: u64 = self.read(packet + irp::CANCEL_ROUTINE);
        if let Some(told) = told {
            told(self);
        } else if routine != 0 {
            // A WDM cancel routine is entered with the cancel spin lock held and releases it (Learn, "Cancel routines").
            self.write(packet + irp::CANCEL_ROUTINE, 0_u64);
            let old = self.acquire_cancel_lock();
            self.write(packet + irp::CANCEL_IRQL, old);
            let target: u64 = self.read(self.current_stack(packet) + stack::DEVICE);
            self.call(&format!("cancel routine of {}", self.irp_what(packet)), routine, &[target, packet]);
        }
    }

    /// Packets in flight, in words: for reports of what was left behind.
    pub(crate) fn irps_in_flight(&self) -> Vec<String> {
        self.io.irps.with(|irps| irps.0.values().map(|state| state.what.clone()).collect())
    }

    /// The name of a packet, for messages.
    pub(crate) fn irp_what(&self, packet: u64) -> String {
        let known = self.io.irps.with(|irps| irps.0.get(&packet).map(|state| state.what.clone()));
        known.unwrap_or_else(|| format!("{packet:#x}, which is no IRP in flight,"))
    }

    fn io_violation(&self, rule: &'static str, text: String, packet: u64) -> ! {
        self.stop(
            Fault::new(rule, bugcheck::DRIVER_VERIFIER_IOMANAGER_VIOLATION)
                .text(text)
                .parameter(packet, "IRP"),
        )
    }

    /// A notification event in the machine's memory that host code waits for; free it with `system_free`.
    pub(crate) fn new_event(&self, what: &str) -> u64 {
        self.system_allocate(0x18, format!("event: {what}"))
    }
}
