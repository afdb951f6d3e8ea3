//! Switch points: where virtual time passes and anything may happen that could happen on a real machine.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::irql::DISPATCH;
use super::strategy::Turn;
use super::thread::Yield;
use crate::guarded;
use crate::kernel::Kernel;
use crate::pci::Progress;

/// Virtual nanoseconds one switch point takes, at least and in addition at most. Our choice: about a kernel call.
const STEP: u64 = 40;
const STEP_SPREAD: u64 = 80;
impl Kernel {
    /// Time passes; devices, interrupts, DPCs, other threads and other processors get their chance.
    ///
    /// Called at every kernel call and register access. The caller may run on another processor afterwards when it is
    /// below DISPATCH_LEVEL.
    pub fn switch_point(&self) {
        guarded::assert_none_open();
        if self.is_crashing() {
            return;
        }
        self.count_switch_point();
        self.pass_time(STEP + self.choose(STEP_SPREAD));
        self.deliver();
        let (cpu, preemptible) = (self.cpu_number(), self.irql() < DISPATCH);
        match self.cpus.decider.with(|decider| decider.turn(cpu, preemptible)) {
            Turn::Stay => {}
            Turn::GiveWay => self.yield_cpu(),
            Turn::Preempt => self.preempt(),
        }
    }

    /// Lets other processors run because this one can only wait; returns on this one.
    pub(crate) fn give_way(&self) {
        let cpu = self.cpu_number();
        self.cpus.decider.with(|decider| decider.demote(cpu));
        self.yield_cpu();
    }

    fn yield_cpu(&self) {
        if self.is_crashing() {
            // A bug check routine waits for another processor, which stands still.
            self.halt();
        }
        self.current_thread().suspend(Yield::GiveWay);
        self.deliver();
    }

    /// Ends the turn of the current thread: any ready thread may run next.
    pub(crate) fn preempt(&self) {
        let thread = self.current_thread();
        if self.is_idle_thread(thread.id) {
            return self.give_way();
        }
        thread.irql.store(self.irql(), Ordering::Relaxed);
        thread.suspend(Yield::Preempted);
        self.deliver();
    }

    /// Virtual time passes; what is due happens.
    pub(crate) fn pass_time(&self, nanoseconds: u64) {
        self.cpus.steps.fetch_add(1, Ordering::Relaxed);
        self.set_now(self.now() + nanoseconds);
        self.expire_timers();
        self.step_devices();
    }

    /// Runs what this processor's IRQL lets through: interrupts, then DPCs.
    pub(crate) fn deliver(&self) {
        loop {
            let irql = self.irql();
            if let Some(interrupt) = self.take_interrupt(irql) {
                self.run_interrupt(interrupt);
            } else if irql < DISPATCH && self.has_dpc() {
                self.run_dpcs();
            } else {
                break;
            }
        }
    }

    /// Gives every device that is due one step.
    fn step_devices(&self) {
        let now = self.now();
        let due = |index: usize| {
            self.cpus.devices.with(|devices| {
                let attached = devices.get_mut(index)?;
                let due = attached.due.is_some_and(|due| due <= now);
                // While it is stepped nobody else steps it; a register write during the step wakes it again.
                Some(
                    due.then(|| (attached.device.clone(), attached.due.take()))
                        .and_then(|(device, _)| device),
                )
            })
        };
        let mut index = 0;
        while let Some(device) = due(index) {
            if let Some(device) = device {
                let next = match device.step(self) {
                    Progress::Worked => Some(now),
                    Progress::Idle => None,
                    Progress::Until(time) => Some(time),
                };
                self.note_progress(index, next, &device);
            }
            index += 1;
        }
    }

    fn note_progress(&self, index: usize, next: Option<u64>, device: &Arc<dyn super::Device>) {
        self.cpus.devices.with(|devices| {
            let attached = &mut devices[index];
            let same = attached.device.as_ref().is_some_and(|current| Arc::ptr_eq(current, device));
            if same && let Some(next) = next {
                attached.due = Some(attached.due.map_or(next, |due| due.min(next)));
            }
        });
    }

    /// When something happens by itself next.
    pub(crate) fn next_event(&self) -> Option<u64> {
        let device = self.next_device_event();
        let timer = self.next_deadline();
        device.into_iter().chain(timer).min()
    }

    pub(crate) fn next_device_event(&self) -> Option<u64> {
        self.cpus.devices.with(|devices| devices.iter().filter_map(|attached| attached.due).min())
    }

    /// What the idle thread does each time it is resumed.
    pub(crate) fn idle_work(&self) {
        self.pass_time(STEP);
        self.deliver();
    }
}
