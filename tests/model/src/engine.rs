//! One PCI function: accesses from software on one side, [`Engine::step`] on the other.

use std::fmt;

use ioat_regs::{ChanErr, ChanSts, channel as channel_registers, config, device::Messages};

use crate::{
    channel::{Channel, Counts, Surroundings},
    defects::Defect,
    faults::Fault,
    host::{Host, Progress},
    interrupts::Interrupts,
    operation::{Dma, Offer, PIECE},
    options::{BadOptions, Options},
    registers::{Register, RegisterFile, Slot},
    run::{Workplace, earlier},
    space::{ConfigSpace, ones},
    statistics::{ChannelStatistics, FunctionStatistics},
    timing::Dice,
};

/// One I/OAT function.
///
/// Register and configuration accesses take effect at once. Work, completion words, messages and the interrupt
/// line come from [`step`](Self::step), so a bench calls that after each write, and again as long as it answers
/// [`Progress::Worked`].
pub struct Engine {
    options: Options,
    offer: Offer,
    registers: RegisterFile,
    space: ConfigSpace,
    interrupts: Interrupts,
    channels: Vec<Channel>,
    /// GENCTRL, CHWPREFLMT and the DCA requesters of 1.2: stored, without effect.
    storage: [u32; 8],
    counts: Counts,
    statistics: FunctionStatistics,
    dice: Dice,
    /// The channel whose turn it is.
    turn: usize,
    removed: bool,
    buffer: Box<[u8; PIECE]>,
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
            offer: Offer {
                version: options.version,
                capability: options.capability,
                max_transfer: 1 << options.xfercap,
                limit: 1 << options.device.platform.address_bits,
                no_page_break: options.faults.has(Defect::NoPageBreak),
                fill_by_address: options.faults.has(Defect::FillByAddress),
                short_copy: options.faults.has(Defect::ShortCopy),
            },
            registers: RegisterFile::new(options.version, options.channels, msix),
            space: ConfigSpace::new(&options),
            interrupts: Interrupts::new(vectors, options.coalescing),
            channels: (0..options.channels).map(|number| Channel::new(number, options.version)).collect(),
            storage: [0; 8],
            counts: Counts::default(),
            statistics: FunctionStatistics::default(),
            dice: Dice::new(options.timing.seed),
            turn: 0,
            removed: false,
            buffer: Box::new([0; PIECE]),
            options,
        };
        engine.power_on();
        Ok(engine)
    }

    /// What the engine was built from.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Size of BAR0 in bytes; there is no other BAR.
    pub fn bar_size(&self) -> u32 {
        self.options.device.platform.bar_size
    }

    /// Returns to the state at power-on, configuration space included. Statistics and the numbering of fault plans
    /// go on.
    pub fn reset(&mut self) {
        self.space.reset();
        self.interrupts.reset();
        self.storage = [0; 8];
        self.power_on();
    }

    fn power_on(&mut self) {
        for channel in &mut self.channels {
            channel.power_on(&self.options.faults);
        }
        for fault in &self.options.faults.faults {
            if let Fault::HaltedAtStart { error } = fault {
                self.space.raise_chanerr_int(1 << error.bit);
            }
        }
        self.interrupts.reconfigured(&self.space);
    }

    /// Takes the function out of its slot: from now on reads answer all ones, writes go nowhere, nothing works.
    pub fn remove(&mut self) {
        self.removed = true;
        self.interrupts.reset();
    }

    /// Whether the function was taken out, by [`remove`](Self::remove) or by its fault plan.
    pub fn is_removed(&self) -> bool {
        self.removed
    }

    /// Sets MSI-X entry `vector` as if software had: unmasked with this message, or masked for `None`. For benches
    /// whose client keeps the table to itself, as vfio clients do; it is no register access.
    pub fn wire_vector(&mut self, vector: u8, message: Option<(u64, u32)>) {
        self.interrupts.wire(vector, message);
    }

    /// What the function has done, its channels apart.
    pub fn statistics(&self) -> FunctionStatistics {
        FunctionStatistics { faults: self.counts.faults, ..self.statistics }
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
        let mut value = self.space.read(offset, width);
        if self.interrupts.is_line_pending(&self.space) {
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
        if self.space.asks_for_reset(offset, width, value) {
            self.statistics.function_resets += 1;
            self.reset();
            return;
        }
        let was_awake = self.space.is_awake();
        self.space.write(offset, width, value);
        if self.options.d3_loses_state && !was_awake && self.space.is_awake() {
            self.reset();
        }
        self.interrupts.reconfigured(&self.space);
    }

    fn is_unreachable(&self, offset: u16) -> bool {
        offset >= 0x100 && self.options.faults.faults.contains(&Fault::ConfigUnreachable)
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
        self.counts.accesses += 1;
        let number = self.counts.accesses;
        if !self.removed
            && let Some(()) = self
                .options
                .faults
                .find(|fault| matches!(fault, Fault::Removed { access } if number >= *access).then_some(()))
        {
            self.counts.faults += 1;
            self.remove();
        }
        !self.removed && self.space.command().memory() && self.space.is_awake()
    }

    fn read_register(&mut self, slot: &Slot, mask: u64) -> u64 {
        let channel = &mut self.channels[usize::from(slot.index)];
        let platform = self.options.device.platform;
        let value = match slot.register {
            Register::Chancnt => self.options.channels.into(),
            Register::Xfercap => self.options.xfercap.into(),
            Register::Cbver => self.options.version.0.into(),
            Register::Dmacapability => self.options.capability.into_bits().into(),
            Register::Perportoffset | Register::CsStatus | Register::Dcaoffset | Register::Cbprio => 0,
            Register::Intrctrl => {
                let keep = self.options.faults.has(Defect::EnableStays);
                self.interrupts.read_control(keep, &self.space).into()
            }
            Register::Attnstatus => self.interrupts.read_attention(&self.space).into(),
            Register::Intrdelay => self.interrupts.delay().into(),
            Register::Genctrl | Register::Chwpreflmt | Register::DcaRequester => {
                self.storage[storage_index(slot)].into()
            }
            Register::MsixTable => self.interrupts.read_table(slot.index, RegisterFile::is_upper_half(slot)),
            Register::MsixPending => self.interrupts.pending(&self.space),
            Register::DmaComp => {
                channel.statistics.accesses.count_read(slot.register);
                return platform.compatibility.into_bits().into();
            }
            register => {
                channel.statistics.accesses.count_read(register);
                return channel.read(register, mask);
            }
        };
        self.statistics.accesses.count_read(slot.register);
        value
    }

    fn write_register(&mut self, slot: &Slot, value: u64, mask: u64) {
        match slot.register {
            Register::Intrctrl => self.interrupts.write_control(value as u8, &self.space),
            Register::Attnstatus => self.interrupts.write_attention(value as u32, &self.space),
            Register::Intrdelay => self.interrupts.write_delay(value as u16, mask as u16),
            Register::Genctrl | Register::Chwpreflmt | Register::DcaRequester => {
                let stored = &mut self.storage[storage_index(slot)];
                *stored = (*stored & !(mask as u32)) | value as u32;
            }
            Register::MsixTable => {
                self.interrupts.write_table(slot.index, RegisterFile::is_upper_half(slot), value, mask);
            }
            Register::MsixPending => {
                if self.options.device.quirks().reset_wipes_msix() {
                    self.interrupts.write_pending(value, mask);
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
                let mut around = Surroundings {
                    options: &self.options,
                    space: &mut self.space,
                    interrupts: &mut self.interrupts,
                    counts: &mut self.counts,
                };
                channel.write(register, value, mask, &mut around);
                return;
            }
        }
        self.statistics.accesses.count_write(slot.register);
    }

    /// Does one small piece of work: a message, a completion word that lagged, or a descriptor of one channel (with
    /// [`Timing::fine`](crate::Timing::fine), a part of one).
    pub fn step<H: Host + ?Sized>(&mut self, host: &mut H) -> Progress {
        let now = host.now();
        let delivered = self.interrupts.deliver(now, &self.space, host, &mut self.statistics);
        if delivered == Progress::Worked || self.removed || !self.space.is_awake() {
            return delivered;
        }
        let count = self.channels.len();
        let first =
            if self.options.timing.seed == 0 { self.turn } else { self.dice.below(count as u64) as usize };
        let mut progress = delivered;
        for distance in 0..count {
            let number = wrapped(first + distance, count);
            progress = earlier(progress, self.step_channel(number, now, host));
            if progress == Progress::Worked {
                self.turn = wrapped(number + 1, count);
                break;
            }
        }
        progress
    }

    fn step_channel<H: Host + ?Sized>(&mut self, number: usize, now: u64, host: &mut H) -> Progress {
        let mut place = Workplace {
            dma: Dma { host, enabled: self.space.command().bus_master(), limit: self.offer.limit },
            now,
            options: &self.options,
            offer: &self.offer,
            space: &mut self.space,
            interrupts: &mut self.interrupts,
            counts: &mut self.counts,
            dice: &mut self.dice,
            buffer: &mut self.buffer,
        };
        self.channels[number].step(&mut place)
    }

    /// Works off what hardware before 3.0 has done by the time the next register read is answered: the first
    /// descriptor after a doorbell (M68). A bench that can, calls this before each read; on later hardware it does
    /// nothing.
    pub fn settle<H: Host + ?Sized>(&mut self, host: &mut H) {
        if self.options.version.major() >= 3 {
            return;
        }
        while self.channels.iter().any(|channel| channel.unsettled) && self.step(host) == Progress::Worked {}
    }
}

/// `number` modulo `count`, for numbers below twice that.
fn wrapped(number: usize, count: usize) -> usize {
    if number >= count { number - count } else { number }
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
        let device = self.options.device;
        write!(
            f,
            "{:04x}:{:04x}.{} version {}",
            device.vendor, device.device, self.options.function, self.options.version
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
