//! One PCI function: accesses from software on one side, [`Engine::step`] on the other.

use std::fmt;

use ioat_regs::{ChanErr, ChanSts, channel as channel_registers, config, device::Messages};

use crate::{
    channel::Channel,
    defects::Defect,
    faults::{Fault, FaultPlan},
    host::{Host, Progress},
    operation::Dma,
    options::{BadOptions, Options},
    registers::{Register, RegisterFile, Slot},
    run::{Workplace, earlier},
    shared::Shared,
    space::ones,
    statistics::{ChannelStatistics, FunctionStatistics},
};

/// One I/OAT function.
///
/// Register and configuration accesses take effect at once. Work, completion words, messages and the interrupt
/// line come from [`step`](Self::step), so a bench calls that after each write, and again as long as it answers
/// [`Progress::Worked`].
pub struct Engine {
    registers: RegisterFile,
    channels: Vec<Channel>,
    shared: Shared,
    /// GENCTRL, CHWPREFLMT and the DCA requesters of 1.2: stored, without effect.
    storage: [u32; 8],
    statistics: FunctionStatistics,
    /// The channel whose turn it is.
    turn: usize,
    removed: bool,
}

impl Engine {
    /// An engine just powered on.
    ///
    /// # Errors
    /// [`BadOptions`] when no engine can be as `options` says.
    pub fn new(options: Options) -> Result<Self, BadOptions> {
        options.check()?;
        let msix = match options.device.platform.messages {
            Messages::Msix { table, pending } => Some((table, pending)),
            Messages::Msi => None,
        };
        let vectors = if msix.is_some() { options.channels } else { 0 };
        let mut engine = Self {
            registers: RegisterFile::new(options.version, options.channels, msix),
            channels: (0..options.channels).map(|number| Channel::new(number, options.version)).collect(),
            storage: [0; 8],
            statistics: FunctionStatistics::default(),
            turn: 0,
            removed: false,
            shared: Shared::new(options, vectors),
        };
        engine.power_on();
        Ok(engine)
    }

    /// What the engine was built from.
    pub fn options(&self) -> &Options {
        &self.shared.options
    }

    /// Size of BAR0 in bytes; there is no other BAR.
    pub fn bar_size(&self) -> u32 {
        self.shared.options.device.platform.bar_size
    }

    /// Returns to the state at power-on, configuration space included. Statistics and the numbering of fault plans
    /// go on.
    pub fn reset(&mut self) {
        self.shared.space.reset();
        self.shared.interrupts.reset();
        self.storage = [0; 8];
        self.power_on();
    }

    fn power_on(&mut self) {
        for channel in &mut self.channels {
            channel.power_on(&self.shared.options.faults);
        }
        for fault in &self.shared.options.faults.faults {
            if let Fault::HaltedAtStart { error } = fault {
                self.shared.space.raise_chanerr_int(1 << error.bit);
            }
        }
        self.shared.interrupts.reconfigured(&self.shared.space);
    }

    /// Takes the function out of its slot: from now on reads answer all ones, writes go nowhere, nothing works.
    pub fn remove(&mut self) {
        self.removed = true;
        self.shared.interrupts.reset();
    }

    /// Whether the function was taken out, by [`remove`](Self::remove) or by its fault plan.
    pub fn is_removed(&self) -> bool {
        self.removed
    }

    /// Sets MSI-X entry `vector` as if software had: unmasked with this message, or masked for `None`. For benches
    /// whose client keeps the table to itself, as vfio clients do; it is no register access.
    pub fn wire_vector(&mut self, vector: u8, message: Option<(u64, u32)>) {
        self.shared.interrupts.wire(vector, message);
    }

    /// From now on this goes wrong, instead of what the options or an earlier plan said; the things that a plan numbers
    /// are counted from one again. What only happens at power-on happens at the next one.
    pub fn set_faults(&mut self, faults: FaultPlan) {
        self.shared.set_faults(faults);
    }

    /// What the function has done, its channels apart.
    pub fn statistics(&self) -> FunctionStatistics {
        FunctionStatistics { faults: self.shared.counts.faults, ..self.statistics }
    }

    /// What channel `number` has done; `None` when there is no such channel.
    pub fn channel_statistics(&self, number: u8) -> Option<&ChannelStatistics> {
        self.channels.get(usize::from(number)).map(|channel| &channel.statistics)
    }

    /// CHANSTS and CHANERR of channel `number`, without the side effects of reading them.
    pub fn channel_state(&self, number: u8) -> Option<(ChanSts, ChanErr)> {
        self.channels.get(usize::from(number)).map(|channel| (channel.status(), channel.error))
    }

    /// Reads configuration space: `width` is 1, 2 or 4, `offset` a multiple of it.
    pub fn config_read(&mut self, offset: u16, width: u8) -> u32 {
        if self.removed || self.is_unreachable(offset) {
            return ones(width);
        }
        let mut value = self.shared.space.read(offset, width);
        if self.shared.interrupts.is_line_pending(&self.shared.space) {
            let bit = u64::from(config::Status::new().with_interrupt(true).into_bits());
            value |= ((bit << (8 * config::STATUS)) >> (8 * offset).min(63)) as u32 & ones(width);
        }
        value
    }

    /// Writes configuration space: `width` is 1, 2 or 4, `offset` a multiple of it.
    pub fn config_write(&mut self, offset: u16, width: u8, value: u32) {
        if self.removed || self.is_unreachable(offset) {
            return;
        }
        if self.shared.space.asks_for_reset(offset, width, value) {
            self.statistics.function_resets += 1;
            self.reset();
            return;
        }
        let was_awake = self.shared.space.is_awake();
        self.shared.space.write(offset, width, value);
        if self.shared.options.d3_loses_state && !was_awake && self.shared.space.is_awake() {
            self.reset();
        }
        self.shared.interrupts.reconfigured(&self.shared.space);
    }

    fn is_unreachable(&self, offset: u16) -> bool {
        offset >= 0x100 && self.shared.options.faults.faults.contains(&Fault::ConfigUnreachable)
    }

    /// Reads BAR0: `width` is 1, 2, 4 or 8. Registers covered in part or several at once are fine (M10).
    pub fn mmio_read(&mut self, offset: u32, width: u8) -> u64 {
        if !self.answers() {
            return u64::MAX >> (64 - 8 * u32::from(width));
        }
        let covered: [_; MOST_COVERED] = first_of(self.registers.covered(offset, width));
        if covered[0].is_none() {
            self.statistics.stray_accesses += 1;
        }
        covered
            .into_iter()
            .flatten()
            .fold(0, |value, part| value | part.place(self.read_register(&part.slot, part.mask)))
    }

    /// Writes BAR0: `width` is 1, 2, 4 or 8.
    pub fn mmio_write(&mut self, offset: u32, width: u8, value: u64) {
        if !self.answers() {
            return;
        }
        let covered: [_; MOST_COVERED] = first_of(self.registers.covered(offset, width));
        if covered[0].is_none() {
            self.statistics.stray_accesses += 1;
        }
        for part in covered.into_iter().flatten() {
            self.write_register(&part.slot, part.extract(value), part.mask);
        }
    }

    /// Counts the access, lets the plan remove the function, and says whether registers answer.
    fn answers(&mut self) -> bool {
        self.shared.counts.accesses += 1;
        let number = self.shared.counts.accesses;
        let removed =
            |fault: &Fault| matches!(fault, Fault::Removed { access } if number >= *access).then_some(());
        if !self.removed && self.shared.fault(removed).is_some() {
            self.remove();
        }
        !self.removed && self.shared.space.command().memory() && self.shared.space.is_awake()
    }

    fn read_register(&mut self, slot: &Slot, mask: u64) -> u64 {
        let value = match slot.register {
            Register::Chancnt => self.shared.options.channels.into(),
            Register::Xfercap => self.shared.options.xfercap.into(),
            Register::Cbver => self.shared.options.version.0.into(),
            Register::Dmacapability => self.shared.options.capability.into_bits().into(),
            Register::Perportoffset | Register::CsStatus | Register::Dcaoffset | Register::Cbprio => 0,
            Register::Intrctrl => {
                let keep = self.shared.options.faults.has(Defect::EnableStays);
                self.shared.interrupts.read_control(keep, &self.shared.space).into()
            }
            Register::Attnstatus => self.shared.interrupts.read_attention(&self.shared.space).into(),
            Register::Intrdelay => self.shared.interrupts.delay().into(),
            Register::Genctrl | Register::Chwpreflmt | Register::DcaRequester => {
                self.storage[storage_index(slot)].into()
            }
            Register::MsixTable => {
                self.shared.interrupts.read_table(slot.index, RegisterFile::is_upper_half(slot))
            }
            Register::MsixPending => self.shared.interrupts.pending(&self.shared.space),
            register => {
                let channel = &mut self.channels[usize::from(slot.index)];
                channel.statistics.accesses.count_read(register);
                return match register {
                    Register::DmaComp => self.shared.options.device.platform.compatibility.into_bits().into(),
                    _ => channel.read(register, mask),
                };
            }
        };
        self.statistics.accesses.count_read(slot.register);
        value
    }

    fn write_register(&mut self, slot: &Slot, value: u64, mask: u64) {
        match slot.register {
            Register::Intrctrl => self.shared.interrupts.write_control(value as u8, &self.shared.space),
            Register::Attnstatus => self.shared.interrupts.write_attention(value as u32, &self.shared.space),
            Register::Intrdelay => self.shared.interrupts.write_delay(value as u16, mask as u16),
            Register::Genctrl | Register::Chwpreflmt | Register::DcaRequester => {
                let stored = &mut self.storage[storage_index(slot)];
                *stored = (*stored & !(mask as u32)) | value as u32;
            }
            Register::MsixTable => {
                self.shared.interrupts.write_table(
                    slot.index,
                    RegisterFile::is_upper_half(slot),
                    value,
                    mask,
                );
            }
            Register::MsixPending => {
                if self.shared.options.device.quirks().reset_wipes_msix() {
                    self.shared.interrupts.write_pending(value, mask);
                }
            }
            Register::Chancnt
            | Register::Xfercap
            | Register::Cbver
            | Register::Perportoffset
            | Register::CsStatus
            | Register::Dmacapability
            | Register::Dcaoffset
            | Register::Cbprio => {}
            register => {
                let channel = &mut self.channels[usize::from(slot.index)];
                channel.statistics.accesses.count_write(register);
                channel.write(register, value, mask, &mut self.shared);
                return;
            }
        }
        self.statistics.accesses.count_write(slot.register);
    }

    /// Does one small piece of work: a message, a completion word that lagged, or a descriptor of one channel (with
    /// [`Timing::fine`](crate::Timing::fine), a part of one).
    pub fn step<H: Host + ?Sized>(&mut self, host: &mut H) -> Progress {
        let now = host.now();
        let delivered = self.shared.interrupts.deliver(now, &self.shared.space, host, &mut self.statistics);
        if delivered == Progress::Worked || self.removed || !self.shared.space.is_awake() {
            return delivered;
        }
        let count = self.channels.len();
        let first = if self.shared.options.timing.seed == 0 {
            self.turn
        } else {
            self.shared.dice.below(count as u64) as usize
        };
        let mut progress = delivered;
        let mut number = first;
        for _ in 0..count {
            let next = if number + 1 == count { 0 } else { number + 1 };
            match self.step_channel(number, now, host) {
                Progress::Worked => {
                    self.turn = next;
                    return Progress::Worked;
                }
                other => progress = earlier(progress, other),
            }
            number = next;
        }
        progress
    }

    fn step_channel<H: Host + ?Sized>(&mut self, number: usize, now: u64, host: &mut H) -> Progress {
        let shared = &mut self.shared;
        let limit = if shared.space.command().bus_master() { shared.offer.limit } else { 0 };
        let mut place = Workplace { dma: Dma { host, limit }, now, shared };
        self.channels[number].step(&mut place)
    }

    /// Works off what hardware before 3.0 has done by the time the next register read is answered: the first
    /// descriptor after a doorbell (M68). A bench that can, calls this before each read; on later hardware it does
    /// nothing.
    pub fn settle<H: Host + ?Sized>(&mut self, host: &mut H) {
        if self.shared.options.version.major() >= 3 {
            return;
        }
        while self.channels.iter().any(|channel| channel.unsettled) && self.step(host) == Progress::Worked {}
    }
}

/// Most registers that one access can cover: the eight bytes at 0x00 hold five.
const MOST_COVERED: usize = 5;

fn first_of<T: Copy>(mut parts: impl Iterator<Item = T>) -> [Option<T>; MOST_COVERED] {
    std::array::from_fn(|_| parts.next())
}

/// GENCTRL, CHWPREFLMT, then the DCA requesters of 1.2.
fn storage_index(slot: &Slot) -> usize {
    match slot.register {
        Register::Genctrl => 0,
        Register::Chwpreflmt => 1,
        _ => 2 + usize::from(slot.index),
    }
}

/// One line for the function and one for each channel: enough to see what it is doing.
impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let device = self.shared.options.device;
        write!(
            f,
            "{:04x}:{:04x}.{} version {}",
            device.vendor, device.device, self.shared.options.function, self.shared.options.version
        )?;
        for channel in &self.channels {
            write!(
                f,
                "; channel {} at BAR0+{:#x}: {:?} error {} control {:#06x}",
                channel.number,
                channel_registers::base(channel.number),
                channel.status(),
                channel.error,
                channel.control.into_bits()
            )?;
        }
        Ok(())
    }
}
