//! Interrupts: whose they are, what they report, how they are re-armed (H18, H22, H29, H30, H33).

use core::sync::atomic::{Ordering, fence};

use ioat_regs::{ChanSts, IntrCtrl, IntrDelay, general};

use crate::{Channel, Clock, Hardware, PciConfig, Registers, State, channel::CompletionWord};

/// How the function interrupts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InterruptKind {
    /// Not at all: completions are found by polling.
    None,
    /// One line or one message for all channels: ATTNSTATUS tells them apart.
    Shared,
    /// One MSI-X message per channel.
    PerChannel,
}

/// Lets the function interrupt in the given way (H18). With [`InterruptKind::None`], keeps it from doing so.
pub fn set_interrupts(registers: &impl Registers, kind: InterruptKind) {
    let control = IntrCtrl::new()
        .with_master_enable(kind != InterruptKind::None)
        .with_vector_per_channel(kind == InterruptKind::PerChannel);
    registers.write8(general::INTRCTRL, control.into_bits());
}

/// Sets the least time between two interrupts, in microseconds (0 to 16383); gives what the engine made of it. Where it
/// says that it cannot delay interrupts nothing is written (H32).
pub fn set_delay(registers: &impl Registers, microseconds: u16) -> u16 {
    let delay = IntrDelay::from_bits(registers.read16(general::INTRDELAY));
    if !delay.supported() || delay.into_bits() == u16::MAX {
        return 0;
    }
    if delay.microseconds() == microseconds {
        return microseconds;
    }
    registers.write16(general::INTRDELAY, delay.with_microseconds(microseconds & 0x3FFF).into_bits());
    IntrDelay::from_bits(registers.read16(general::INTRDELAY)).microseconds()
}

/// Asks, in the handler of a line or of a single message, which channels want attention: bit n for channel n.
/// `None`: the interrupt is somebody else's.
///
/// The read of INTRCTRL drops the line; what was read is written back (H30).
pub fn claim_shared(registers: &impl Registers) -> Option<u32> {
    let read = registers.read8(general::INTRCTRL);
    let control = IntrCtrl::from_bits(read);
    if read == u8::MAX || !control.master_enable() {
        return None;
    }
    let attention = if control.status() { registers.read32(general::ATTNSTATUS) } else { 0 };
    registers.write8(general::INTRCTRL, read);
    (attention != 0 && attention != u32::MAX).then_some(attention)
}

/// What to tell the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Report {
    /// Nothing new.
    Nothing,
    /// Everything up to the descriptor at this bus address is done.
    Completed(u64),
    /// The channel stopped for a reason other than completion; the completion word says Halted.
    Stopped,
}

impl Channel {
    /// Finds out what an interrupt was about. Normally from the completion word alone; when the word has not
    /// changed, from CHANSTS: a descriptor may interrupt without a word, and hardware may halt without one (H33).
    ///
    /// The first interrupt after a report may find nothing new and is then let pass: it was latched while its
    /// completion was being reported. What else it may have meant, the next one tells, or the next
    /// [`watch`](Self::watch).
    pub fn service<R: Registers, P: PciConfig, C: Clock>(
        &mut self,
        hardware: &Hardware<'_, R, P, C>,
        word: &CompletionWord,
    ) -> Report {
        if self.unreported {
            return self.stopped(word);
        }
        if !matches!(self.state, State::Running | State::Suspended) {
            return Report::Nothing;
        }
        match self.look(hardware, word) {
            Report::Nothing if core::mem::take(&mut self.told) => {
                // What else it may have meant, the watchdog's next look asks.
                self.watched = Some((word.load(Ordering::Acquire), self.posted));
                self.settled = false;
                Report::Nothing
            }
            Report::Nothing => self.question(hardware, word).0,
            report => report,
        }
    }

    /// The watchdog, called every few hundred milliseconds: finds completions whose interrupt or completion word was
    /// lost, and halts that nothing told of (H31, H44). A channel that makes progress costs no register access, one
    /// that stands still with work costs one read of CHANSTS each time, one that is done one read in all.
    pub fn watch<R: Registers, P: PciConfig, C: Clock>(
        &mut self,
        hardware: &Hardware<'_, R, P, C>,
        word: &CompletionWord,
    ) -> Report {
        if self.unreported {
            return self.stopped(word);
        }
        if self.state != State::Running {
            return Report::Nothing;
        }
        match self.look(hardware, word) {
            Report::Nothing => {}
            report => return report,
        }
        let now = (word.load(Ordering::Acquire), self.posted);
        if self.watched != Some(now) {
            self.watched = Some(now);
            self.settled = false;
            return Report::Nothing;
        }
        if self.settled {
            return Report::Nothing;
        }
        let (report, rest) = self.question(hardware, word);
        self.settled = rest.is_some();
        match rest {
            Some(rest) if self.make_good(word, now.0, rest) => Report::Completed(rest.address()),
            _ => report,
        }
    }

    /// Asks the engine itself: what is to be reported, and what CHANSTS says when the engine is idle.
    fn question<R: Registers, P: PciConfig, C: Clock>(
        &mut self,
        hardware: &Hardware<'_, R, P, C>,
        word: &CompletionWord,
    ) -> (Report, Option<ChanSts>) {
        let Some(status) = self.block(hardware).status() else {
            self.left();
            return (self.stopped(word), None);
        };
        let rest = match status.state() {
            Some(ioat_regs::State::Halted) => {
                self.fault(hardware, word, status);
                return (self.stopped(word), None);
            }
            Some(ioat_regs::State::Idle) => Some(status),
            _ => None,
        };
        if status.address() == 0 || status.address() == self.reported {
            return (Report::Nothing, rest);
        }
        self.reported = status.address();
        (Report::Completed(status.address()), rest)
    }

    /// Writes the completion word that an idle engine owes, and says whether it did: the interface believes nothing else
    /// (Q7). What the engine wrote before it answered the read of CHANSTS has arrived, because on PCI Express a completion
    /// does not pass a posted write while relaxed ordering is off (Base Specification, 2.4.1, rules D2a and D2b of the ordering
    /// table, seen in others' renderings of it; H16). So a word that is still what it was `before` is a lost one; one that
    /// changed meanwhile is the engine's newer one and stays.
    fn make_good(&mut self, word: &CompletionWord, before: u64, rest: ChanSts) -> bool {
        let owed = rest.address() != 0 && rest.address() != ChanSts(before).address();
        let written =
            owed && word.compare_exchange(before, rest.0, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        if written {
            self.seen = rest;
        }
        written
    }

    /// Lets the channel interrupt again and looks at the completion word once more, so that what was completed in
    /// between is not left lying (H29). One register write; none where nothing interrupts.
    pub fn rearm<R: Registers, P: PciConfig, C: Clock>(
        &mut self,
        hardware: &Hardware<'_, R, P, C>,
        word: &CompletionWord,
    ) -> Report {
        if matches!(self.state, State::Down | State::Stopping | State::Lost | State::Gone)
            || self.completion.is_none()
        {
            return Report::Nothing;
        }
        if !self.polled {
            self.block(hardware).write_control(self.run_control());
            // The re-arm is on its way before the word is read.
            fence(Ordering::SeqCst);
        }
        if matches!(self.state, State::Running | State::Suspended) {
            self.look(hardware, word)
        } else {
            Report::Nothing
        }
    }

    /// Whether the completion word says something new. Reads no register unless it says that the engine halted.
    fn look<R: Registers, P: PciConfig, C: Clock>(
        &mut self,
        hardware: &Hardware<'_, R, P, C>,
        word: &CompletionWord,
    ) -> Report {
        let now = ChanSts(word.load(Ordering::Acquire));
        if now == self.seen {
            return Report::Nothing;
        }
        match now.state() {
            Some(ioat_regs::State::Halted) => {
                self.fault(hardware, word, now);
                self.stopped(word)
            }
            Some(ioat_regs::State::Armed) => Report::Nothing,
            _ => {
                self.seen = now;
                self.reported = now.address();
                self.told = true;
                Report::Completed(now.address())
            }
        }
    }

    /// The one report of a stop. The word says Halted whatever happened to the device.
    fn stopped(&mut self, word: &CompletionWord) -> Report {
        self.unreported = false;
        if ChanSts(word.load(Ordering::Acquire)).state() != Some(ioat_regs::State::Halted) {
            self.report_halt(word, crate::channel::reported_address(word));
        }
        Report::Stopped
    }
}
