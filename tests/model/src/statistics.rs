//! Counters: what an engine has done, and what software has done to it.

use std::fmt;

use crate::registers::Register;

/// Reads and writes of each register of one channel, or of the function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Accesses {
    reads: [u64; Register::COUNT],
    writes: [u64; Register::COUNT],
}

impl Accesses {
    /// How often `register` was read.
    pub fn reads_of(&self, register: Register) -> u64 {
        self.reads[register as usize]
    }

    /// How often `register` was written. A 64-bit register written in two halves counts twice: writes are bus
    /// transactions.
    pub fn writes_of(&self, register: Register) -> u64 {
        self.writes[register as usize]
    }

    /// All reads.
    pub fn reads(&self) -> u64 {
        self.reads.iter().sum()
    }

    /// All writes.
    pub fn writes(&self) -> u64 {
        self.writes.iter().sum()
    }

    pub(crate) fn count_read(&mut self, register: Register) {
        self.reads[register as usize] += 1;
    }

    pub(crate) fn count_write(&mut self, register: Register) {
        self.writes[register as usize] += 1;
    }
}

/// What one channel has done since power-on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ChannelStatistics {
    /// Software's register accesses.
    pub accesses: Accesses,
    /// Descriptors finished, of all kinds; an extended one counts once.
    pub descriptors: u64,
    /// Copies finished.
    pub copies: u64,
    /// Fills finished.
    pub fills: u64,
    /// Nulls finished.
    pub nulls: u64,
    /// XOR and PQ operations finished.
    pub raids: u64,
    /// Bytes that copies, fills, XOR and PQ covered.
    pub bytes: u64,
    /// Doorbells: DMACOUNT stores, and START and APPEND commands, that found new work.
    pub doorbells: u64,
    /// Doorbells that found none.
    pub empty_doorbells: u64,
    /// Times CHAINADDR took the channel to a new chain.
    pub chains: u64,
    /// Completion words written.
    pub completions: u64,
    /// Interrupts asked for by descriptors and errors.
    pub interrupts_requested: u64,
    /// Of those, how many were signalled, at once or at re-arm.
    pub interrupts_signalled: u64,
    /// Of those asked for, how many found the channel not re-armed and waited.
    pub interrupts_latched: u64,
    /// Suspends that took effect.
    pub suspends: u64,
    /// Resets.
    pub resets: u64,
    /// Halts on an error.
    pub halts: u64,
}

impl ChannelStatistics {
    fn rows(&self) -> [(&'static str, u64); 18] {
        [
            ("descriptors", self.descriptors),
            ("copies", self.copies),
            ("fills", self.fills),
            ("nulls", self.nulls),
            ("xor and pq", self.raids),
            ("bytes", self.bytes),
            ("doorbells", self.doorbells),
            ("empty doorbells", self.empty_doorbells),
            ("chains", self.chains),
            ("completion words", self.completions),
            ("interrupts requested", self.interrupts_requested),
            ("interrupts signalled", self.interrupts_signalled),
            ("interrupts latched", self.interrupts_latched),
            ("suspends", self.suspends),
            ("resets", self.resets),
            ("halts", self.halts),
            ("register reads", self.accesses.reads()),
            ("register writes", self.accesses.writes()),
        ]
    }
}

/// One line per counter that is not zero.
impl fmt::Display for ChannelStatistics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in self.rows().into_iter().filter(|&(_, value)| value != 0) {
            writeln!(f, "  {name:<22}{value:>14}")?;
        }
        Ok(())
    }
}

/// What a function has done since power-on, its channels apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FunctionStatistics {
    /// Accesses to the general registers, the MSI-X table and its pending bits.
    pub accesses: Accesses,
    /// Accesses to places in the BAR where no register is.
    pub stray_accesses: u64,
    /// Messages sent.
    pub messages: u64,
    /// Times the interrupt line was asserted.
    pub line_assertions: u64,
    /// Function level resets.
    pub function_resets: u64,
    /// Faults of the plan that have struck.
    pub faults: u64,
}

/// One line per counter that is not zero.
impl fmt::Display for FunctionStatistics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = [
            ("messages", self.messages),
            ("line assertions", self.line_assertions),
            ("function resets", self.function_resets),
            ("faults injected", self.faults),
            ("general register reads", self.accesses.reads()),
            ("general register writes", self.accesses.writes()),
            ("stray accesses", self.stray_accesses),
        ];
        for (name, value) in rows.into_iter().filter(|&(_, value)| value != 0) {
            writeln!(f, "  {name:<24}{value:>12}")?;
        }
        Ok(())
    }
}
