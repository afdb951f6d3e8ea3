//! The registers of one channel, typed, at their exact widths.

use core::sync::atomic::{Ordering, fence};

use ioat_regs::{ChanCmd, ChanCtrl, ChanErr, ChanSts, ChannelMap, channel};

use crate::{Engine, Registers};

/// One channel's register block.
#[derive(Debug)]
pub struct Block<'a, R> {
    registers: &'a R,
    map: &'static ChannelMap,
    base: u32,
    halves: bool,
}

/// How often a torn pair of halves is read again before the last pair is taken as it is.
const TORN_READS: u8 = 4;

impl<'a, R: Registers> Block<'a, R> {
    /// The block of channel `number` of `engine`.
    pub fn new(registers: &'a R, engine: &Engine, number: u8) -> Self {
        Self {
            registers,
            map: ChannelMap::of(engine.version),
            base: channel::base(number),
            halves: engine.quirks.halves_only(),
        }
    }

    /// CHANSTS, or `None` from a device that has left (H36).
    ///
    /// Where the register takes two reads the low half comes first and is read again until it stands still, since
    /// the pair was seen torn on 3.2 (§2.6).
    pub fn status(&self) -> Option<ChanSts> {
        let offset = self.at(self.map.status);
        let word = if self.halves {
            let mut low = self.registers.read32(offset);
            let mut word = u64::MAX;
            for _ in 0..TORN_READS {
                if low == u32::MAX {
                    return None;
                }
                word = u64::from(self.registers.read32(offset.wrapping_add(4))) << 32 | u64::from(low);
                let again = self.registers.read32(offset);
                if again == low {
                    break;
                }
                low = again;
            }
            word
        } else {
            self.registers.read64(offset)
        };
        (word != u64::MAX).then_some(ChanSts(word))
    }

    /// CHANERR, or `None` from a device that has left (H36).
    pub fn error(&self) -> Option<ChanErr> {
        let error = ChanErr(self.registers.read32(self.at(self.map.error)));
        (error != ChanErr::GONE).then_some(error)
    }

    /// Clears the given bits of CHANERR.
    pub fn clear_error(&self, error: ChanErr) {
        self.registers.write32(self.at(self.map.error), error.0);
    }

    /// CHANCTRL, or `None` from a device that has left. Before 3.0 the read that finds bit 8 clear sets it (§2.4).
    pub fn control(&self) -> Option<ChanCtrl> {
        let control = self.registers.read16(self.at(self.map.control));
        (control != u16::MAX).then_some(ChanCtrl::from_bits(control))
    }

    /// CHANCTRL.
    pub fn write_control(&self, control: ChanCtrl) {
        self.registers.write16(self.at(self.map.control), control.into_bits());
    }

    /// CHANCMD: one command.
    pub fn command(&self, command: ChanCmd) {
        self.registers.write8(self.at(self.map.command), command.into_bits());
    }

    /// Whether a reset is still going on: `None` from a device that has left. Not for 1.x, where no driver relies
    /// on that bit (H43).
    pub fn resetting(&self) -> Option<bool> {
        let command = self.registers.read8(self.at(self.map.command));
        (command != u8::MAX).then_some(ChanCmd::from_bits(command).reset())
    }

    /// CHANCMP: where completion words go.
    pub fn write_completion(&self, address: u64) {
        self.write64(self.map.completion, address);
    }

    /// CHAINADDR: where the first descriptor is. Clears the counter.
    pub fn write_chain(&self, address: u64) {
        self.write64(self.map.chain, address);
    }

    /// Tells the engine that descriptors are there: DMACOUNT, or `otherwise` where there is no counter.
    ///
    /// Descriptors written before this call are visible to the engine (H20).
    pub fn ring(&self, count: u16, otherwise: ChanCmd) {
        fence(Ordering::Release);
        match self.map.count {
            Some(offset) => self.registers.write16(self.at(offset), count),
            None => self.command(otherwise),
        }
    }

    fn write64(&self, register: u32, value: u64) {
        let offset = self.at(register);
        if self.halves {
            self.registers.write32(offset, value as u32);
            self.registers.write32(offset.wrapping_add(4), (value >> 32) as u32);
        } else {
            self.registers.write64(offset, value);
        }
    }

    fn at(&self, register: u32) -> u32 {
        self.base.wrapping_add(register)
    }
}
