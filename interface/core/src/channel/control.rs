//! Control operations (suspend, resume, abort, reset), and the starts that nobody submitted for.

use netdma_abi::status::{STATUS_INVALID_DEVICE_STATE, STATUS_NOT_SUPPORTED, STATUS_SUCCESS};
use netdma_abi::{NtStatus, PhysicalAddress, Version, nt_success};

use super::{Channel, ChannelState, null_operation};
use crate::memory::{Operation, RingMemory};
use crate::provider::EntryPoints;
use crate::sync::{Ordering, fence};

/// A control operation in progress, which is alone on the channel but holds no lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// `SuspendDma`.
    Suspend,
    /// `ResumeDma`.
    Resume,
    /// `AbortDma`; with how requests shall end.
    Abort(NtStatus),
    /// `ResetChannel`; likewise.
    Reset(NtStatus),
}

/// How a control operation ended at the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ControlOutcome {
    /// Done. After a suspend with the last processed descriptor, if told.
    Done(Option<PhysicalAddress>),
    /// The provider refused or did not get done in time.
    Failed(NtStatus),
    /// The provider has no such entry point.
    Absent,
}

impl<M: RingMemory> Channel<M> {
    /// Claims the channel for a control operation, which the caller then makes without the lock (D18 of the
    /// architecture) and ends by [`end_control`](Self::end_control). Until then nothing is posted.
    ///
    /// # Errors
    /// INVALID_DEVICE_STATE when another control operation runs, or the state does not allow this one.
    pub fn begin_control(&mut self, control: Control) -> Result<(), NtStatus> {
        let fits = match control {
            Control::Suspend => self.state.is_running(),
            Control::Resume => self.state == ChannelState::Suspended,
            Control::Abort(_) | Control::Reset(_) => true,
        };
        if self.control.is_some() || !fits {
            return Err(STATUS_INVALID_DEVICE_STATE);
        }
        self.control = Some(control);
        if let Control::Abort(status) | Control::Reset(status) = control {
            self.ending = Some(status);
        }
        Ok(())
    }

    /// Ends a control operation and answers its status.
    pub fn end_control(&mut self, provider: &impl EntryPoints, outcome: ControlOutcome) -> NtStatus {
        let Some(control) = self.control.take() else { return STATUS_INVALID_DEVICE_STATE };
        let status = match (control, outcome) {
            (Control::Suspend, ControlOutcome::Done(last)) => {
                self.observe(last.map_or(0, |last| last.0));
                if self.state.is_running() {
                    self.state = ChannelState::Suspended;
                    self.context_due = self.setup.cache.is_some();
                }
                STATUS_SUCCESS
            }
            (Control::Resume, ControlOutcome::Done(_)) => {
                self.state =
                    if self.ring.outstanding() == 0 { ChannelState::Idle } else { ChannelState::Active };
                STATUS_SUCCESS
            }
            (Control::Abort(ending), ControlOutcome::Done(_)) => {
                self.observe(0);
                self.end_everything(true, ending, ChannelState::Halted);
                STATUS_SUCCESS
            }
            (Control::Reset(ending), ControlOutcome::Done(_)) => {
                self.observe(0);
                self.end_everything(true, ending, ChannelState::Initial);
                STATUS_SUCCESS
            }
            (Control::Abort(_) | Control::Reset(_), ControlOutcome::Failed(status)) => {
                self.count_provider_failure();
                // The provider may still be at it. A Halted word ends this state, and nothing else but a stop does.
                if !self.state.needs_start() {
                    self.shut_window();
                    self.state = ChannelState::Stopping;
                }
                status
            }
            (_, ControlOutcome::Failed(status)) => {
                self.count_provider_failure();
                status
            }
            (_, ControlOutcome::Absent) => {
                self.ending = None;
                STATUS_NOT_SUPPORTED
            }
        };
        self.go_on(provider);
        status
    }

    /// The engine is dead and its provider has promised to touch nothing more: everything accepted ends with `status`.
    pub fn give_up(&mut self, status: NtStatus) {
        self.end_everything(true, status, ChannelState::Halted);
    }

    /// The device leaves D0 with the channel quiet.
    pub fn lose_context(&mut self) {
        self.state = ChannelState::ContextLost;
        self.restart = false;
        self.context_due = self.setup.cache.is_some();
    }

    /// Starts the channel with one NULL descriptor that no client hears of: after D0 (R221), or because a 1.0 provider
    /// asked (R282). A due change of context goes in the same list (R223).
    pub fn rearm(&mut self, provider: &impl EntryPoints) {
        if !self.retired && self.build_silent(null_operation) {
            self.build_context();
            self.post(provider);
        }
    }

    /// Builds a descriptor of the interface itself, given its own address; no client hears of it.
    pub(super) fn build_silent(&mut self, operation: impl FnOnce(u64) -> Operation) -> bool {
        let position = self.ring.built();
        let Some(own) = self.ring.address(position).filter(|_| self.ring.has_room()) else { return false };
        if self.ring.write(position, &operation(own)).is_none() {
            return false;
        }
        self.shut_window();
        self.ring.accept_silent(position.wrapping_add(1));
        true
    }

    /// A report without a completion on a channel that is not halted: a 1.0 provider wants a fresh start (R282).
    pub fn start_anew(&mut self, provider: &impl EntryPoints) {
        if self.setup.version != Version::V1_0 || !self.state.is_running() || self.control.is_some() {
            return;
        }
        if self.ring.outstanding() == 0 {
            if !self.retired {
                self.state = ChannelState::ContextLost;
                self.rearm(provider);
            }
            return;
        }
        let first = self.ring.done();
        let Some((slot, address)) = self.ring.locate(first) else { return };
        let descriptor = slot.as_descriptor();
        self.arm();
        fence(Ordering::Release);
        let count = self.ring.outstanding() as u32;
        let status = provider.start(self.setup.context, descriptor, PhysicalAddress(address), count);
        if nt_success(status) {
            self.statistics.starts = self.statistics.starts.wrapping_add(1);
            self.state = ChannelState::Armed;
        } else {
            self.count_provider_failure();
        }
    }
}
