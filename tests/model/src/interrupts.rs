//! From a channel's request to a message or a level (§4.8 to §4.11).
//!
//! Whether a channel may interrupt at all is its own affair (CHANCTRL bit 0 and the latch behind it). What happens
//! then depends on how the function is set up: an MSI-X entry, else an MSI message, else the line.

use ioat_regs::general::{IntrCtrl, IntrDelay};

use crate::{
    host::{Host, Progress},
    space::ConfigSpace,
    statistics::FunctionStatistics,
};

/// How often a stuck message is repeated, in nanoseconds.
const STUCK_PERIOD: u64 = 10_000;

pub(crate) struct Interrupts {
    master_enable: bool,
    vector_per_channel: bool,
    attention: u32,
    delay: IntrDelay,
    vectors: Vec<Vector>,
    /// INTRCTRL bit 2 as of the last evaluation: MSI sends a message when it rises.
    was_interrupting: bool,
    msi_pending: bool,
    /// When the interrupt that is being delayed may come.
    due: u64,
    last_sent: u64,
    line: bool,
    spurious: bool,
    stuck: bool,
    /// Something may have to be delivered.
    attend: bool,
}

/// One entry of the MSI-X table.
#[derive(Clone, Copy)]
struct Vector {
    address: u64,
    data: u32,
    masked: bool,
    pending: bool,
}

impl Vector {
    const RESET: Self = Self { address: 0, data: 0, masked: true, pending: false };
}

impl Interrupts {
    pub(crate) fn new(vectors: u8, coalescing: bool) -> Self {
        Self {
            master_enable: false,
            vector_per_channel: false,
            attention: 0,
            delay: IntrDelay::new().with_supported(coalescing),
            vectors: vec![Vector::RESET; vectors.into()],
            was_interrupting: false,
            msi_pending: false,
            due: 0,
            last_sent: 0,
            line: false,
            spurious: false,
            stuck: false,
            attend: false,
        }
    }

    /// As at power-on, but for what the bench has been told; what is stuck stays so.
    pub(crate) fn reset(&mut self) {
        *self = Self {
            line: self.line,
            stuck: self.stuck,
            attend: true,
            ..Self::new(self.vectors.len() as u8, self.delay.supported())
        };
    }

    /// Q6: a channel reset of some engines does this.
    pub(crate) fn wipe_vectors(&mut self) {
        self.vectors.fill(Vector::RESET);
    }

    /// A channel interrupts; the world hears of it at `due`.
    pub(crate) fn signal(&mut self, channel: u8, due: u64, space: &ConfigSpace) {
        self.attention |= 1 << channel;
        self.due = self.due.max(due);
        if self.delay.supported() {
            let distance = u64::from(self.delay.microseconds()) * 1000;
            self.due = self.due.max(self.last_sent + distance);
        }
        if space.msix().enable() {
            self.vector_of(channel).pending = true;
        }
        self.evaluate(space);
    }

    /// From now on the line stays asserted or the message is repeated, whatever software does.
    pub(crate) fn stick(&mut self) {
        self.stuck = true;
    }

    /// An interrupt without a cause.
    pub(crate) fn signal_spuriously(&mut self, channel: u8, space: &ConfigSpace) {
        self.attend = true;
        if space.msix().enable() {
            self.vector_of(channel).pending = true;
        } else {
            self.spurious = true;
            self.msi_pending |= space.msi().is_some();
        }
    }

    /// The channel's interrupt is acknowledged by its re-arm; `again` says that the next one follows at once.
    pub(crate) fn rearm(&mut self, channel: u8, again: bool, space: &ConfigSpace) {
        self.attention &= !(1 << channel);
        let held = space.msix().function_mask() || self.vector_of_ref(channel).is_some_and(|v| v.masked);
        if held && !again && !self.vectors.is_empty() {
            self.vector_of(channel).pending = false;
        }
        self.evaluate(space);
    }

    /// The channel is reset.
    pub(crate) fn forget(&mut self, channel: u8, space: &ConfigSpace) {
        self.attention &= !(1 << channel);
        if !self.vectors.is_empty() {
            self.vector_of(channel).pending = false;
        }
        self.evaluate(space);
    }

    /// Configuration space has changed.
    pub(crate) fn reconfigured(&mut self, space: &ConfigSpace) {
        self.attend = true;
        self.evaluate(space);
    }

    /// Sends what has to be sent and sets the line.
    pub(crate) fn deliver<H: Host + ?Sized>(
        &mut self,
        now: u64,
        space: &ConfigSpace,
        host: &mut H,
        statistics: &mut FunctionStatistics,
    ) -> Progress {
        if !self.attend {
            return Progress::Idle;
        }
        let early = now < self.due;
        let control = space.msix();
        let may_send = space.command().bus_master() && space.is_awake();
        if self.stuck
            && may_send
            && !early
            && control.enable()
            && let Some(first) = self.vectors.first_mut()
        {
            first.pending = true;
        }
        if early && (self.level(space) != self.line || self.msi_pending || self.any_deliverable(space)) {
            return Progress::Until(self.due);
        }
        let mut sent = false;
        if control.enable() && !control.function_mask() && may_send {
            for vector in self.vectors.iter_mut().filter(|vector| vector.pending && !vector.masked) {
                vector.pending = false;
                statistics.messages += 1;
                host.message(vector.address, vector.data);
                sent = true;
            }
        }
        if let Some((address, data)) = space.msi().filter(|_| self.msi_pending && may_send) {
            self.msi_pending = false;
            statistics.messages += 1;
            host.message(address, data);
            sent = true;
        }
        let level = self.level(space);
        if level != self.line {
            self.line = level;
            statistics.line_assertions += u64::from(level);
            host.line(level);
            sent = true;
        }
        if sent {
            self.last_sent = now;
        }
        self.attend = self.stuck;
        if self.stuck && control.enable() {
            self.due = now + STUCK_PERIOD;
            return if sent { Progress::Worked } else { Progress::Until(self.due) };
        }
        if sent { Progress::Worked } else { Progress::Idle }
    }

    /// Level of the interrupt line, as the configuration has it now.
    pub(crate) fn level(&self, space: &ConfigSpace) -> bool {
        self.is_line_pending(space) && !space.command().interrupt_disable() && space.is_awake()
    }

    /// The line is wanted, whether or not the command register lets it through (M6).
    pub(crate) fn is_line_pending(&self, space: &ConfigSpace) -> bool {
        let wanted = (self.master_enable && self.attention != 0) || self.spurious || self.stuck;
        wanted && !space.msix().enable() && space.msi().is_none()
    }

    fn any_deliverable(&self, space: &ConfigSpace) -> bool {
        let control = space.msix();
        control.enable()
            && !control.function_mask()
            && self.vectors.iter().any(|vector| vector.pending && !vector.masked)
    }

    fn evaluate(&mut self, space: &ConfigSpace) {
        let interrupting = self.master_enable && self.attention != 0;
        if interrupting && !self.was_interrupting && space.msi().is_some() {
            self.msi_pending = true;
        }
        self.was_interrupting = interrupting;
        self.attend = true;
    }

    /// One vector per channel; where there are fewer, the last serves the rest.
    fn vector_of(&mut self, channel: u8) -> &mut Vector {
        let last = self.vectors.len() - 1;
        &mut self.vectors[usize::from(channel).min(last)]
    }

    fn vector_of_ref(&self, channel: u8) -> Option<&Vector> {
        let last = self.vectors.len().checked_sub(1)?;
        self.vectors.get(usize::from(channel).min(last))
    }

    /// INTRCTRL, whose read clears the master enable, unless a defect keeps it.
    pub(crate) fn read_control(&mut self, keep: bool, space: &ConfigSpace) -> u8 {
        let value = IntrCtrl::new()
            .with_master_enable(self.master_enable)
            .with_status(self.attention != 0)
            .with_interrupt(self.master_enable && self.attention != 0)
            .with_vector_per_channel(self.vector_per_channel);
        self.master_enable &= keep;
        self.spurious = false;
        self.evaluate(space);
        value.into_bits()
    }

    pub(crate) fn write_control(&mut self, value: u8, space: &ConfigSpace) {
        let value = IntrCtrl::from_bits(value);
        self.master_enable = value.master_enable();
        self.vector_per_channel = value.vector_per_channel();
        self.evaluate(space);
    }

    /// ATTNSTATUS, which a read clears.
    pub(crate) fn read_attention(&mut self, space: &ConfigSpace) -> u32 {
        let value = self.attention;
        self.attention = 0;
        self.evaluate(space);
        value
    }

    pub(crate) fn write_attention(&mut self, ones: u32, space: &ConfigSpace) {
        self.attention &= !ones;
        self.evaluate(space);
    }

    pub(crate) fn delay(&self) -> u16 {
        self.delay.into_bits()
    }

    pub(crate) fn write_delay(&mut self, value: u16, mask: u16) {
        let merged = (self.delay.into_bits() & !mask) | (value & mask);
        self.delay = self.delay.with_microseconds(IntrDelay::from_bits(merged).microseconds());
    }

    /// Eight bytes of the MSI-X table: an entry's address, or its data and vector control.
    pub(crate) fn read_table(&self, vector: u8, upper: bool) -> u64 {
        let Some(entry) = self.vectors.get(usize::from(vector)) else { return 0 };
        if upper { (u64::from(entry.masked) << 32) | u64::from(entry.data) } else { entry.address }
    }

    pub(crate) fn write_table(&mut self, vector: u8, upper: bool, value: u64, mask: u64) {
        let merged = (self.read_table(vector, upper) & !mask) | (value & mask);
        let Some(entry) = self.vectors.get_mut(usize::from(vector)) else { return };
        if upper {
            entry.data = merged as u32;
            entry.masked = (merged >> 32) & 1 != 0;
        } else {
            entry.address = merged & !3;
        }
        self.attend = true;
    }

    /// Sets an entry from outside.
    pub(crate) fn wire(&mut self, vector: u8, message: Option<(u64, u32)>) {
        let Some(entry) = self.vectors.get_mut(usize::from(vector)) else { return };
        entry.masked = message.is_none();
        if let Some((address, data)) = message {
            (entry.address, entry.data) = (address, data);
        }
        self.attend = true;
    }

    /// The pending bits: what is held back by a mask.
    pub(crate) fn pending(&self, space: &ConfigSpace) -> u64 {
        let all_masked = space.msix().function_mask();
        let held = |vector: &Vector| vector.pending && (vector.masked || all_masked);
        self.vectors.iter().rev().fold(0, |bits, vector| (bits << 1) | u64::from(held(vector)))
    }

    /// Software wrote the pending bits: hardware ignores it but for the engines whose table software restores
    /// after a reset (Q6), where the bits are storage.
    pub(crate) fn write_pending(&mut self, value: u64, mask: u64) {
        for (number, vector) in self.vectors.iter_mut().enumerate() {
            if mask >> number & 1 != 0 {
                vector.pending = value >> number & 1 != 0;
            }
        }
        self.attend = true;
    }
}
