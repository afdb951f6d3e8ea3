//! PCI configuration space of one function (§1.4 to §1.6).
//!
//! The space is four tables of bytes: values, which bits software may write, which bits it clears by writing ones,
//! and the values at power-on. What a register *does* is decided by [`Engine`](crate::Engine) after the write.

use ioat_regs::config::{self, Command, MsiControl, MsixControl, PcieControl, PowerControl, Status};
use ioat_regs::device::Messages;

use crate::options::Options;

pub(crate) struct ConfigSpace {
    values: Vec<u8>,
    writable: Vec<u8>,
    clearable: Vec<u8>,
    initial: Vec<u8>,
    /// Where the capabilities are; zero where the function lacks one.
    power: u16,
    msi: u16,
    msix: u16,
    pcie: u16,
    has_chanerr_int: bool,
    /// What each step asks for, kept ready.
    command: Command,
    awake: bool,
}

impl ConfigSpace {
    pub(crate) fn new(options: &Options) -> Self {
        let platform = options.device.platform;
        let extended = platform.version.major() >= 3;
        let size = if extended { usize::from(config::SIZE) } else { 256 };
        let mut space = Self {
            values: vec![0; size],
            writable: vec![0; size],
            clearable: vec![0; size],
            initial: Vec::new(),
            power: if extended { config::POWER } else { config::POWER_V1 },
            msi: 0,
            msix: 0,
            pcie: 0,
            has_chanerr_int: options.version.has_chanerr_int(),
            command: Command::new(),
            awake: true,
        };
        space.header(options);
        match platform.messages {
            Messages::Msi => space.legacy_capabilities(options),
            Messages::Msix { table, pending } => space.express_capabilities(options, table, pending),
        }
        if extended {
            space.error_registers(options);
        }
        space.initial = space.values.clone();
        space
    }

    fn header(&mut self, options: &Options) {
        let platform = options.device.platform;
        self.set(config::VENDOR, 2, options.device.vendor.into());
        self.set(config::DEVICE, 2, options.device.device.into());
        let command = Command::new().with_memory(true).with_bus_master(true).with_interrupt_disable(true);
        self.allow(config::COMMAND, 2, command.into_bits().into());
        self.set(config::STATUS, 2, Status::new().with_capabilities(true).into_bits().into());
        let errors = Status::new().with_master_parity(true).with_target_abort(true).with_parity(true);
        self.clear_by_one(config::STATUS, 2, errors.into_bits().into());
        self.set(config::REVISION, 4, (config::CLASS << 8) | u32::from(options.revision));
        self.set(config::HEADER_TYPE, 1, if options.multifunction { 0x80 } else { 0 });
        // A 64-bit, non-prefetchable memory BAR: the address bits below its size are not writable (M2).
        self.set(config::BAR0, 4, 0x4);
        self.allow(config::BAR0, 4, !(platform.bar_size - 1));
        self.allow(config::BAR0 + 4, 4, u32::MAX);
        self.set(config::SUBSYSTEM, 2, options.device.vendor.into());
        self.allow(config::INTERRUPT_LINE, 1, 0xFF);
        self.set(config::INTERRUPT_PIN, 1, 1 + u32::from(options.function) % 4);
    }

    fn legacy_capabilities(&mut self, options: &Options) {
        self.msi = config::MSI;
        self.set(config::CAPABILITIES, 1, config::POWER_V1.into());
        self.power_capability(config::MSI, options);
        self.set(config::MSI, 1, config::CAP_MSI.into());
        self.set(config::MSI + 2, 2, MsiControl::new().with_wide(true).into_bits().into());
        self.allow(config::MSI + 2, 2, MsiControl::new().with_enable(true).into_bits().into());
        self.allow(config::MSI + 4, 4, !3);
        self.allow(config::MSI + 8, 4, u32::MAX);
        self.allow(config::MSI + 12, 2, 0xFFFF);
        if options.version.major() < 2 {
            self.allow(config::DMACTRL, 4, 0x3);
        }
    }

    fn express_capabilities(&mut self, options: &Options, table: u32, pending: u32) {
        self.msix = config::MSIX;
        self.pcie = config::PCIE;
        self.set(config::CAPABILITIES, 1, config::MSIX.into());
        self.set(config::MSIX, 1, config::CAP_MSIX.into());
        self.set(config::MSIX + 1, 1, config::PCIE.into());
        let control = MsixControl::new().with_last_entry(u16::from(options.channels) - 1);
        self.set(config::MSIX + 2, 2, control.into_bits().into());
        let control = MsixControl::new().with_enable(true).with_function_mask(true);
        self.allow(config::MSIX + 2, 2, control.into_bits().into());
        self.set(config::MSIX + 4, 4, table);
        self.set(config::MSIX + 8, 4, pending);

        self.set(config::PCIE, 1, config::CAP_PCIE.into());
        self.set(config::PCIE + 1, 1, config::POWER.into());
        // Version 2, root complex integrated endpoint.
        self.set(config::PCIE + 2, 2, 0x0092);
        // Function level reset, role-based error reporting.
        self.set(config::PCIE + 4, 4, (1 << 28) | (1 << 15));
        let control = PcieControl::new().with_relaxed_ordering(true).with_no_snoop(true);
        self.set(config::PCIE + config::PCIE_DEVICE_CONTROL, 2, control.into_bits().into());
        self.allow(config::PCIE + config::PCIE_DEVICE_CONTROL, 2, control.into_bits().into());
        // Device control 2: completion timeout disable.
        self.set(config::PCIE + 0x24, 4, 1 << 4);
        self.allow(config::PCIE + 0x28, 2, 1 << 4);
        self.power_capability(0, options);
        if options.function == 0 {
            self.allow(config::DEVCFG, 2, 0xFEFF);
        }
    }

    fn power_capability(&mut self, next: u16, options: &Options) {
        self.set(self.power, 1, config::CAP_POWER.into());
        self.set(self.power + 1, 1, next.into());
        // Version 3 of the interface, neither D1 nor D2.
        self.set(self.power + 2, 2, 0x0003);
        let control = PowerControl::new().with_no_soft_reset(!options.d3_loses_state);
        self.set(self.power + config::POWER_CONTROL, 2, control.into_bits().into());
        self.allow(self.power + config::POWER_CONTROL, 2, 0x3);
    }

    /// The values at power-on are those of the one register dump found (§1.6).
    fn error_registers(&mut self, options: &Options) {
        if options.function == 0 {
            self.clear_by_one(config::DMAUNCERRSTS, 4, 0x149C);
            self.allow(config::DMAUNCERRMSK, 4, 0x149C);
            self.set(config::DMAUNCERRSEV, 4, 0x98);
            self.allow(config::DMAUNCERRSEV, 4, 0x149C);
            self.set(config::DMAUNCERRPTR, 1, 0x0A);
        }
        if self.has_chanerr_int {
            self.clear_by_one(config::CHANERR_INT, 4, u32::MAX);
        }
        self.set(config::CHANERRMSK_INT, 4, 0x0006_0000);
        self.allow(config::CHANERRMSK_INT, 4, 0x0FFF_FFFF);
        self.set(config::CHANERRSEV_INT, 4, 0x0001_0000);
        self.allow(config::CHANERRSEV_INT, 4, 0x0FFF_FFFF);
        self.set(config::CHANERRPTR, 1, 2);
    }

    /// Everything as at power-on.
    pub(crate) fn reset(&mut self) {
        self.values.copy_from_slice(&self.initial);
        self.keep_ready();
    }

    /// Reads beyond the end, as from a function without extended space, answer all ones.
    pub(crate) fn read(&self, offset: u16, width: u8) -> u32 {
        let start = usize::from(offset);
        match self.values.get(start..start + usize::from(width)) {
            Some(bytes) => bytes.iter().rev().fold(0, |value, &byte| (value << 8) | u32::from(byte)),
            None => ones(width),
        }
    }

    /// Stores the writable bits, clears the clearable ones.
    pub(crate) fn write(&mut self, offset: u16, width: u8, value: u32) {
        for (position, byte) in (usize::from(offset)..).zip(value.to_le_bytes()).take(width.into()) {
            let Some(old) = self.values.get_mut(position) else { return };
            let (writable, clearable) = (self.writable[position], self.clearable[position]);
            *old = (*old & !writable & !(clearable & byte)) | (byte & writable);
        }
        self.keep_ready();
    }

    fn keep_ready(&mut self) {
        self.command = Command::from_bits(self.read(config::COMMAND, 2) as u16);
        let power = self.read(self.power + config::POWER_CONTROL, 2) as u16;
        self.awake = PowerControl::from_bits(power).state() == 0;
    }

    /// Sets bits that hardware sets.
    pub(crate) fn raise(&mut self, offset: u16, bits: u32) {
        let value = self.read(offset, 4) | bits;
        self.set(offset, 4, value);
    }

    pub(crate) fn command(&self) -> Command {
        self.command
    }

    /// Records a halt's reason where the version has a second copy of it.
    pub(crate) fn raise_chanerr_int(&mut self, bits: u32) {
        if self.has_chanerr_int {
            self.raise(config::CHANERR_INT, bits);
        }
    }

    /// The second copy of CHANERR, zero where there is none.
    pub(crate) fn chanerr_int(&self) -> u32 {
        if self.has_chanerr_int { self.read(config::CHANERR_INT, 4) } else { 0 }
    }

    pub(crate) fn msix(&self) -> MsixControl {
        if self.msix == 0 {
            return MsixControl::new();
        }
        MsixControl::from_bits(self.read(self.msix + 2, 2) as u16)
    }

    /// Address and data of the MSI message, when that is in use.
    pub(crate) fn msi(&self) -> Option<(u64, u32)> {
        if self.msi == 0 || !MsiControl::from_bits(self.read(self.msi + 2, 2) as u16).enable() {
            return None;
        }
        let low = u64::from(self.read(self.msi + 4, 4));
        let high = u64::from(self.read(self.msi + 8, 4));
        Some(((high << 32) | low, self.read(self.msi + 12, 2)))
    }

    /// In D0, where registers answer and the engine works.
    pub(crate) fn is_awake(&self) -> bool {
        self.awake
    }

    /// Whether a write of `value` at `offset` asks for a function level reset.
    pub(crate) fn asks_for_reset(&self, offset: u16, width: u8, value: u32) -> bool {
        let control = self.pcie + config::PCIE_DEVICE_CONTROL;
        if self.pcie == 0 || offset > control + 1 || offset + u16::from(width) < control + 2 {
            return false;
        }
        let shifted = (u64::from(value) << 16) >> (8 * (i32::from(control) - i32::from(offset) + 2));
        PcieControl::from_bits(shifted as u16).function_level_reset()
    }

    fn set(&mut self, offset: u16, width: u8, value: u32) {
        put(&mut self.values, offset, width, value);
    }

    fn allow(&mut self, offset: u16, width: u8, bits: u32) {
        put(&mut self.writable, offset, width, bits);
    }

    fn clear_by_one(&mut self, offset: u16, width: u8, bits: u32) {
        put(&mut self.clearable, offset, width, bits);
    }
}

fn put(table: &mut [u8], offset: u16, width: u8, value: u32) {
    let bytes = value.to_le_bytes();
    let start = usize::from(offset);
    table[start..start + usize::from(width)].copy_from_slice(&bytes[..usize::from(width)]);
}

/// What a read of `width` bytes answers where nothing is.
pub(crate) fn ones(width: u8) -> u32 {
    (u64::MAX >> (64 - 8 * u32::from(width))) as u32
}
