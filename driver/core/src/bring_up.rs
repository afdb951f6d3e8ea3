//! From an unknown state to a programmed channel, and back to a quiet one (H9 to H13, H16, H37, H38).

use ioat_regs::{ChanCmd, ChanCtrl, ChanErr, ChannelMap, Version, channel, config, limits};

use crate::{
    Channel, Clock, Engine, Hardware, PciConfig, Registers, State, channel::StopError, hardware::wait_for,
};

/// The channel could not be brought up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BringUpError {
    /// A register reads all-ones.
    Gone,
    /// The reset did not end within 200 ms.
    ResetExpired,
    /// Somebody else has claimed the channel; it was left alone (H42). The channel stays [`State::Down`].
    Claimed,
}

/// What was out of order and has been put right, or can be lived with. Worth a line in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Trouble {
    /// The engine was found working: firmware or a crashed system left it so.
    pub was_running: bool,
    /// It did not suspend within 100 ms; the reset stopped it.
    pub did_not_suspend: bool,
    /// Errors that were left in CHANERR.
    pub errors: ChanErr,
    /// Errors that were left in CHANERR_INT.
    pub internal_errors: ChanErr,
    /// CHANERR_INT had to be cleared and cannot be reached; an error may keep the channel halted (H5).
    pub config_unreachable: bool,
}

impl Engine {
    /// Sees to what concerns the whole function: bus mastering on, relaxed ordering and no-snoop requests off
    /// (H16), on 1.2 the note whether the interrupt is a message (H41). What cannot be reached is left as it is.
    pub fn prepare(&self, config: &impl PciConfig, message: bool) {
        if let Some(command) = config.read16(config::COMMAND).map(config::Command::from_bits)
            && !command.bus_master()
        {
            config.write16(config::COMMAND, command.with_bus_master(true).into_bits());
        }
        if !self.version.has_counter()
            && let Some(control) = config.read32(config::DMACTRL)
        {
            let wanted = if message { control | config::DMACTRL_MSI } else { control & !config::DMACTRL_MSI };
            if wanted != control {
                config.write32(config::DMACTRL, wanted);
            }
        }
        let Some(offset) = pcie_capability(config) else { return };
        let offset = offset.wrapping_add(config::PCIE_DEVICE_CONTROL);
        let Some(control) = config.read16(offset).map(config::PcieControl::from_bits) else { return };
        let wanted = control.with_relaxed_ordering(false).with_no_snoop(false);
        if wanted != control {
            config.write16(offset, wanted.into_bits());
        }
    }

    /// Takes the function off the bus: the last way to keep an engine that does not even reset from writing to
    /// memory that others own by then. [`prepare`](Self::prepare) undoes it.
    pub(crate) fn stop_bus_master(&self, config: &impl PciConfig) {
        if let Some(command) = config.read16(config::COMMAND).map(config::Command::from_bits) {
            config.write16(config::COMMAND, command.with_bus_master(false).into_bits());
        }
    }
}

/// Offset of the PCI Express capability. The list is the device's, so the walk has an end of its own.
fn pcie_capability(config: &impl PciConfig) -> Option<u16> {
    /// Capabilities are dwords between 0x40 and 0xFF.
    const MOST_CAPABILITIES: u8 = 48;
    let mut offset = config.read16(config::CAPABILITIES)? & 0xFC;
    for _ in 0..MOST_CAPABILITIES {
        if offset < 0x40 {
            return None;
        }
        let header = config.read16(offset)?;
        if header & 0xFF == u16::from(config::CAP_PCIE) {
            return Some(offset);
        }
        offset = header >> 8 & 0xFC;
    }
    None
}

impl Channel {
    /// Brings the channel up from whatever state it is in: quiesce, clear errors, reset, program. An allocation
    /// made before a power-down stays. At PASSIVE_LEVEL.
    ///
    /// # Errors
    /// The device has left, or does not finish a reset.
    pub fn bring_up<R: Registers, P: PciConfig, C: Clock>(
        &mut self,
        hardware: &Hardware<'_, R, P, C>,
    ) -> Result<Trouble, BringUpError> {
        self.state = State::Down;
        self.posted = 0;
        self.unreported = false;
        self.claim(hardware)?;
        let result = self.quiesce_and_program(hardware);
        match result {
            Ok(_) => self.state = State::Ready,
            Err(_) if self.claimed => self.release(hardware),
            Err(_) => {}
        }
        result
    }

    /// Before 3.0, takes the channel for this driver by one read of CHANCTRL, unless it is claimed already (H42).
    fn claim<R: Registers, P: PciConfig, C: Clock>(
        &mut self,
        hardware: &Hardware<'_, R, P, C>,
    ) -> Result<(), BringUpError> {
        if self.engine.is_claimed_by_read() && !self.claimed {
            let control = self.block(hardware).control().ok_or(BringUpError::Gone)?;
            if control.in_use() {
                return Err(BringUpError::Claimed);
            }
            self.claimed = true;
        }
        Ok(())
    }

    /// Silences the channel and gives the claim back.
    fn release<R: Registers, P: PciConfig, C: Clock>(&mut self, hardware: &Hardware<'_, R, P, C>) {
        self.block(hardware).write_control(ChanCtrl::new());
        self.claimed = false;
    }

    fn quiesce_and_program<R: Registers, P: PciConfig, C: Clock>(
        &mut self,
        hardware: &Hardware<'_, R, P, C>,
    ) -> Result<Trouble, BringUpError> {
        let mut trouble = Trouble::default();
        let status = self.block(hardware).status().ok_or(BringUpError::Gone)?;
        if matches!(status.state(), Some(ioat_regs::State::Active | ioat_regs::State::Idle)) {
            trouble.was_running = status.state() == Some(ioat_regs::State::Active);
            match self.suspend_engine(hardware) {
                Ok(_) => {}
                Err(StopError::Expired) => trouble.did_not_suspend = true,
                Err(StopError::Gone) => return Err(BringUpError::Gone),
            }
        }
        let found = self.reset_engine(hardware).map_err(|error| match error {
            StopError::Gone => BringUpError::Gone,
            StopError::Expired => BringUpError::ResetExpired,
        })?;
        self.program(hardware);
        Ok(Trouble { was_running: trouble.was_running, did_not_suspend: trouble.did_not_suspend, ..found })
    }

    /// Leaves the engine halted and silent, as a following system wants to find it (H37, H38). An allocation stays.
    /// At PASSIVE_LEVEL, before the device leaves D0.
    ///
    /// # Errors
    /// The device has left, or does not finish a reset; its bus mastering is off then.
    pub fn shut_down<R: Registers, P: PciConfig, C: Clock>(
        &mut self,
        hardware: &Hardware<'_, R, P, C>,
    ) -> Result<(), BringUpError> {
        let reachable = !matches!(self.state, State::Down | State::Gone);
        if self.state != State::Gone {
            self.state = State::Down;
        }
        if !reachable {
            return Ok(());
        }
        let status = self.block(hardware).status().ok_or(BringUpError::Gone)?;
        if matches!(status.state(), Some(ioat_regs::State::Active | ioat_regs::State::Idle)) {
            // Expired or gone: the reset decides.
            let _ = self.suspend_engine(hardware);
        }
        match self.reset_engine(hardware) {
            Ok(_) => {}
            Err(StopError::Gone) => return Err(BringUpError::Gone),
            Err(StopError::Expired) => {
                self.engine.stop_bus_master(hardware.config);
                if self.claimed {
                    self.release(hardware);
                }
                return Err(BringUpError::ResetExpired);
            }
        }
        self.release(hardware);
        if !self.engine.version.has_counter() {
            settle(&hardware.clock);
        }
        Ok(())
    }

    /// Clears the errors and resets. Everything programmed is lost afterwards (H12).
    pub(crate) fn reset_engine<R: Registers, P: PciConfig, C: Clock>(
        &mut self,
        hardware: &Hardware<'_, R, P, C>,
    ) -> Result<Trouble, StopError> {
        let block = self.block(hardware);
        let quirks = self.engine.quirks;
        let mut trouble = Trouble { errors: block.error().ok_or(StopError::Gone)?, ..Trouble::default() };
        if !trouble.errors.is_empty() {
            block.clear_error(trouble.errors);
        }
        if quirks.clear_chanerr_int() {
            match clear_internal_errors(hardware.config) {
                Some(errors) => trouble.internal_errors = errors,
                None => trouble.config_unreachable = true,
            }
        }
        if quirks.config_parity() {
            hardware.config.write32(config::DMAUNCERRSTS, config::CONFIG_PARITY);
        }

        let msix = self.engine.wiped_msix.map(|place| MsixEntry::save(hardware.registers, place));
        block.command(ChanCmd::RESET);
        let has_counter = self.engine.version.has_counter();
        let end = wait_for(&hardware.clock, C::PATIENCE.reset_us, || {
            // 1.x: no driver relies on the command bit there; CHANSTS tells (M66).
            let over = if has_counter {
                block.resetting().map(|resetting| !resetting)
            } else {
                block.status().map(|status| status.state() != Some(ioat_regs::State::Active))
            };
            match over {
                None => Some(Err(StopError::Gone)),
                Some(true) => Some(Ok(())),
                Some(false) => None,
            }
        });
        if let Some(entry) = msix {
            entry.restore(hardware.registers);
        }
        end.unwrap_or(Err(StopError::Expired))?;
        if quirks.mask_internal_errors() {
            hardware.config.write32(config::CHANERRMSK_INT, config::CHANERRMSK_INT_RUN);
        }
        Ok(trouble)
    }

    /// Programs what a reset has lost and a start does not write: CHANCTRL, then CHANCMP (H12). A channel that
    /// nobody has allocated stays silent.
    pub(crate) fn program<R: Registers, P: PciConfig, C: Clock>(&self, hardware: &Hardware<'_, R, P, C>) {
        let block = self.block(hardware);
        match self.completion {
            Some(completion) => {
                block.write_control(self.run_control());
                block.write_completion(completion);
            }
            None => block.write_control(self.silent_control()),
        }
    }
}

/// Stops channel `number` at a bug check, by one register write and nothing else: afterwards it writes no memory, so that
/// the dump holds still, and a following system finds it halted (H39). At any level.
pub fn halt_for_dump(registers: &impl Registers, version: Version, number: u8) {
    let offset = channel::base(number).wrapping_add(ChannelMap::of(version).command);
    registers.write8(offset, ChanCmd::RESET.into_bits());
}

/// Clears CHANERR_INT; says what was in it, or `None` when it cannot be reached (H5).
fn clear_internal_errors(config: &impl PciConfig) -> Option<ChanErr> {
    let errors = ChanErr(config.read32(config::CHANERR_INT)?);
    if errors == ChanErr::GONE {
        return None;
    }
    if !errors.is_empty() {
        config.write32(config::CHANERR_INT, errors.0)?;
    }
    Some(errors)
}

/// Lets 1.x come to rest before memory is freed (H43).
fn settle<C: Clock>(clock: &C) {
    let _ = wait_for(clock, limits::RESET_SETTLE_V1_US, || None::<()>);
}

/// The MSI-X table entry and pending bits that a reset of some 3.3 engines wipes (Q6, H11).
struct MsixEntry {
    table: u32,
    pending: u32,
    saved: [u64; 3],
}

impl MsixEntry {
    fn save(registers: &impl Registers, (table, pending): (u32, u32)) -> Self {
        let saved =
            [registers.read64(table), registers.read64(table.wrapping_add(8)), registers.read64(pending)];
        Self { table, pending, saved }
    }

    fn restore(self, registers: &impl Registers) {
        let [address, data, pending] = self.saved;
        registers.write64(self.table, address);
        registers.write64(self.table.wrapping_add(8), data);
        registers.write64(self.pending, pending);
    }
}
