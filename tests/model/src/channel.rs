//! One channel: its registers, commands and states (§2.3 to §2.6, §4.1, §4.5, §4.14).
//!
//! Register accesses take effect here and at once; everything that needs memory or time is left to
//! [`run`](crate::run), which the scheduler steps.

use std::collections::VecDeque;

use ioat_regs::{ChanCmd, ChanCtrl, ChanErr, ChanSts, State, Version, channel};

use crate::{
    defects::Defect,
    faults::{Fault, FaultPlan},
    operation::Job,
    registers::Register,
    shared::Shared,
    statistics::ChannelStatistics,
};

/// How software says that there is more work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Chaining {
    /// 2.0 and later: DMACOUNT says how many descriptors are available, the engine counts those done.
    Counted {
        /// DMACOUNT.
        announced: u16,
        /// Slots consumed since CHAINADDR was written.
        done: u16,
    },
    /// 1.x: a null pointer ends the chain; APPEND makes the engine look at it again.
    Linked {
        /// An APPEND has not been answered yet.
        again: bool,
    },
}

/// Where the address of the next descriptor is to be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Position {
    /// In CHAINADDR.
    Chain,
    /// In the next pointer of the slot at this address.
    After(u64),
    /// Already read: 1.x looks at the next pointer as soon as a descriptor is done.
    At(u64),
}

/// Something that the channel has decided and that the world has not seen yet. In order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Posted {
    /// Not before this time; `None` until a step has seen it, then `lag` later.
    pub(crate) due: Option<u64>,
    pub(crate) lag: u64,
    pub(crate) what: What,
}

/// See [`Posted`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// Write the completion word.
    Store(u64),
    /// Write half of the completion word; offset and value.
    Half(u64, u32),
    /// Ask for an interrupt.
    Interrupt,
}

/// A span of time that starts when the engine next runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delay {
    None,
    For(u64),
    Until(u64),
    Forever,
}

pub(crate) struct Channel {
    pub(crate) number: u8,
    pub(crate) control: ChanCtrl,
    pub(crate) state: State,
    pub(crate) chaining: Chaining,
    pub(crate) position: Position,
    pub(crate) chain: u64,
    pub(crate) completion: u64,
    pub(crate) error: ChanErr,
    pub(crate) error_mask: ChanErr,
    /// Address of the last descriptor completed in this chain; zero if none.
    pub(crate) completed: u64,
    /// The descriptor in flight, or the last one.
    pub(crate) job: Job,
    pub(crate) in_flight: bool,
    /// CHAINADDR was written while a descriptor was in flight.
    pub(crate) rechain: bool,
    /// An interrupt waits for the re-arm.
    pub(crate) latched: bool,
    pub(crate) posted: VecDeque<Posted>,
    pub(crate) wait: Delay,
    pub(crate) suspending: bool,
    pub(crate) resetting: Delay,
    /// The first descriptor after a doorbell has not been done yet (M68).
    pub(crate) unsettled: bool,
    /// Data that an early completion has overtaken: steps left, the job.
    pub(crate) overtaken: VecDeque<(u64, Job)>,
    /// The last two completion words written.
    pub(crate) words: [u64; 2],
    pub(crate) statistics: ChannelStatistics,
    version: Version,
    dca: u32,
    /// DRSCTL, LTR_SWSEL, LTR_ACTIVE, LTR_IDLE: stored, without effect.
    latency: [u32; 4],
    /// What CHANCMD reads back by mistake; zero in a faithful engine.
    last_command: u8,
    /// Before 3.3 reading the low half of CHANSTS keeps the high half for the next read.
    status_latch: Option<u64>,
}

impl Channel {
    pub(crate) fn new(number: u8, version: Version) -> Self {
        Self {
            number,
            control: ChanCtrl::new(),
            state: State::Halted,
            chaining: if version.has_counter() {
                Chaining::Counted { announced: 0, done: 0 }
            } else {
                Chaining::Linked { again: false }
            },
            position: Position::Chain,
            chain: 0,
            completion: 0,
            error: ChanErr(0),
            error_mask: ChanErr(0),
            completed: 0,
            job: Job::default(),
            in_flight: false,
            rechain: false,
            latched: false,
            posted: VecDeque::new(),
            wait: Delay::None,
            suspending: false,
            resetting: Delay::None,
            unsettled: false,
            overtaken: VecDeque::new(),
            words: [0; 2],
            statistics: ChannelStatistics::default(),
            version,
            dca: channel::DCACTRL_RESET.into_bits(),
            latency: [0; 4],
            last_command: 0,
            status_latch: None,
        }
    }

    /// As at power-on; counters of the past stay.
    pub(crate) fn power_on(&mut self, faults: &FaultPlan) {
        *self = Self { statistics: self.statistics, ..Self::new(self.number, self.version) };
        for fault in &faults.faults {
            match fault {
                Fault::HaltedAtStart { error } => self.error.0 |= 1 << error.bit,
                Fault::RunningAtStart => {
                    self.state = State::Active;
                    self.wait = Delay::Forever;
                }
                _ => {}
            }
        }
    }

    /// CHANSTS: the word that is also written as the completion word.
    pub(crate) fn status(&self) -> ChanSts {
        ChanSts::new(self.completed, self.state)
    }

    /// Everything announced is done.
    pub(crate) fn is_caught_up(&self) -> bool {
        match self.chaining {
            Chaining::Counted { announced, done } => announced == done,
            Chaining::Linked { .. } => false,
        }
    }

    /// All but one of the announced descriptors are done.
    pub(crate) fn is_nearly_caught_up(&self) -> bool {
        matches!(self.chaining, Chaining::Counted { announced, done } if announced.wrapping_sub(done) == 1)
    }

    pub(crate) fn read(&mut self, register: Register, mask: u64) -> u64 {
        match register {
            Register::Chanctrl => {
                let value = self.control;
                if mask & 0x100 != 0 {
                    self.control.set_in_use(true);
                }
                value.into_bits().into()
            }
            Register::DmaComp => 0,
            Register::Chancmd => {
                let pending = ChanCmd::new().with_reset(self.resetting != Delay::None);
                u64::from(pending.into_bits() | self.last_command)
            }
            Register::Dmacount => match self.chaining {
                Chaining::Counted { announced, .. } => announced.into(),
                Chaining::Linked { .. } => 0,
            },
            Register::Chansts => self.read_status(mask),
            Register::Chainaddr => self.chain,
            Register::Chancmp => self.completion,
            Register::Cdar => {
                if self.in_flight {
                    self.job.base
                } else {
                    self.completed
                }
            }
            Register::Chanerr => self.error.0.into(),
            Register::Chanerrmask => self.error_mask.0.into(),
            Register::Dcactrl => self.dca.into(),
            _ => latency_index(register).map_or(0, |index| self.latency[index].into()),
        }
    }

    fn read_status(&mut self, mask: u64) -> u64 {
        const LOW: u64 = 0xFFFF_FFFF;
        let value = self.status().0;
        let latch = self.status_latch.take();
        if self.version >= Version::V3_3 {
            return value;
        }
        if mask == LOW {
            self.status_latch = Some(value);
        }
        if mask == !LOW { latch.unwrap_or(value) } else { value }
    }

    pub(crate) fn write(&mut self, register: Register, value: u64, mask: u64, shared: &mut Shared) {
        let merge = |old: u64| (old & !mask) | value;
        match register {
            Register::Chanctrl => self.write_control(value as u16, mask as u16, shared),
            Register::Chancmd => {
                if shared.has(Defect::CommandReadsBack) {
                    self.last_command = value as u8;
                }
                self.command(ChanCmd::from_bits(value as u8), shared);
            }
            Register::Dmacount => {
                let old = self.read(Register::Dmacount, 0);
                self.announce(merge(old) as u16, shared);
            }
            Register::Chainaddr => {
                self.chain = merge(self.chain);
                self.chain_written(shared);
            }
            Register::Chancmp => self.completion = merge(self.completion),
            Register::Chanerr => {
                let sticky = ChanErr::UNAFFILIATED.0;
                if !shared.has(Defect::ErrorIsStorage) {
                    self.error.0 &= !(value as u32 & !sticky);
                }
            }
            Register::Chanerrmask => self.error_mask.0 = merge(self.error_mask.0.into()) as u32,
            Register::Dcactrl => self.dca = merge(self.dca.into()) as u32 & 0x1_FFFF,
            _ => {
                if let Some(index) = latency_index(register) {
                    self.latency[index] = merge(self.latency[index].into()) as u32;
                }
            }
        }
    }

    fn write_control(&mut self, value: u16, mask: u16, shared: &mut Shared) {
        const STORED: u16 = 0xF33C;
        let kept = self.control.into_bits() & !(mask & STORED);
        self.control = ChanCtrl::from_bits(kept | (value & STORED));
        if value & 1 == 0 {
            return;
        }
        // The re-arm. What was asked for since the last interrupt comes now.
        self.control.set_interrupt_disable(false);
        let again = std::mem::take(&mut self.latched);
        shared.interrupts.rearm(self.number, again, &shared.space);
        if again {
            self.signal(0, shared);
        }
    }

    /// A descriptor or an error asks for an interrupt (M49).
    pub(crate) fn request_interrupt(&mut self, now: u64, shared: &mut Shared) {
        self.statistics.interrupts_requested += 1;
        if self.control.interrupt_disable() {
            self.statistics.interrupts_latched += 1;
            self.latched = !shared.has(Defect::LostLatch);
        } else {
            self.signal(now.saturating_add(shared.options.timing.interrupt_lag), shared);
        }
    }

    fn signal(&mut self, due: u64, shared: &mut Shared) {
        self.control.set_interrupt_disable(!shared.has(Defect::NoInterruptDisable));
        shared.counts.interrupts += 1;
        let number = shared.counts.interrupts;
        let dropped = shared.fault(|fault| {
            matches!(fault, Fault::DropInterrupt { interrupt } if interrupt.strikes(number)).then_some(())
        });
        if dropped.is_some() {
            return;
        }
        let stuck = shared.fault(|fault| {
            matches!(fault, Fault::StuckInterrupt { interrupt } if number >= *interrupt).then_some(())
        });
        if stuck.is_some() {
            shared.interrupts.stick();
        }
        shared.interrupts.signal(self.number, due, &shared.space);
        self.statistics.interrupts_signalled += 1;
    }

    /// CHAINADDR, either half, takes the channel to a new chain (M20).
    fn chain_written(&mut self, shared: &Shared) {
        let Chaining::Counted { announced, done } = &mut self.chaining else { return };
        match self.state {
            State::Halted if !self.error.is_empty() || shared.space.chanerr_int() != 0 => {}
            State::Active if self.in_flight => {
                *announced = 0;
                self.rechain = true;
            }
            State::Halted | State::Armed | State::Suspended | State::Idle | State::Active => {
                (*announced, *done) = (0, 0);
                self.arm(shared);
            }
        }
    }

    /// At the beginning of the chain that CHAINADDR names.
    pub(crate) fn arm(&mut self, shared: &Shared) {
        self.rechain = false;
        self.position = Position::Chain;
        if !shared.has(Defect::StaleAddress) {
            self.completed = 0;
        }
        if !shared.has(Defect::NotArmed) {
            self.state = State::Armed;
        }
        self.statistics.chains += 1;
    }

    /// DMACOUNT: this many descriptors are available since CHAINADDR was written (M27, M28).
    fn announce(&mut self, count: u16, shared: &mut Shared) {
        let Chaining::Counted { announced, done } = &mut self.chaining else { return };
        if *announced == count {
            self.statistics.empty_doorbells += 1;
        } else {
            self.statistics.doorbells += 1;
        }
        *announced = count;
        if count == *done {
            return;
        }
        match self.state {
            State::Armed => {
                self.state = State::Active;
                self.unsettled = true;
                if shared.options.timing.start_delay != 0 {
                    self.wait = Delay::For(shared.options.timing.start_delay);
                }
            }
            State::Idle => {
                self.state = State::Active;
                self.unsettled = true;
            }
            State::Active | State::Suspended | State::Halted => {}
        }
    }

    /// CHANCMD (§2.5).
    fn command(&mut self, command: ChanCmd, shared: &mut Shared) {
        const DEFINED: u8 = 0x3F;
        let command = ChanCmd::from_bits(command.into_bits() & DEFINED);
        if command.into_bits().count_ones() > 1 {
            self.halt(ChanErr::COMMAND, shared);
        } else if command.start() {
            self.start();
        } else if command.append() {
            self.append();
        } else if command.suspend() {
            self.suspend(shared);
        } else if command.abort() {
            self.abort();
        } else if command.resume() {
            self.resume();
        } else if command.reset() {
            self.reset(shared);
        }
    }

    /// START of 1.x; later versions have nothing to start (§4.14).
    fn start(&mut self) {
        let Chaining::Linked { again } = &mut self.chaining else { return };
        if self.state == State::Active || !self.error.is_empty() {
            return;
        }
        *again = false;
        self.completed = 0;
        self.position = Position::Chain;
        self.state = State::Active;
        self.unsettled = true;
        self.statistics.doorbells += 1;
        self.statistics.chains += 1;
    }

    /// APPEND of 1.x: the next pointer of the last descriptor may have become non-zero.
    fn append(&mut self) {
        let Chaining::Linked { again } = &mut self.chaining else { return };
        if matches!(self.state, State::Active | State::Idle | State::Suspended) {
            *again = true;
            self.unsettled = self.state != State::Suspended;
            self.statistics.doorbells += 1;
        }
    }

    fn suspend(&mut self, shared: &mut Shared) {
        shared.counts.suspends += 1;
        let number = shared.counts.suspends;
        let endless = |fault: &Fault| {
            matches!(fault, Fault::EndlessSuspend { suspend } if suspend.strikes(number)).then_some(())
        };
        if shared.fault(endless).is_some() {
            return;
        }
        if !matches!(self.state, State::Active | State::Idle) {
            return;
        }
        self.suspending = true;
        if shared.options.timing.suspend != 0 {
            self.wait = Delay::For(shared.options.timing.suspend);
        } else if !self.in_flight && self.posted.is_empty() {
            self.suspended();
        }
    }

    /// Nothing is in flight any more.
    pub(crate) fn suspended(&mut self) {
        self.suspending = false;
        self.state = State::Suspended;
        self.statistics.suspends += 1;
    }

    fn resume(&mut self) {
        if self.state != State::Suspended {
            return;
        }
        self.state = if self.is_caught_up() { State::Idle } else { State::Active };
        self.unsettled = self.state == State::Active;
    }

    /// Work in flight is dropped; what was completed stays reported.
    fn abort(&mut self) {
        if self.state != State::Halted {
            self.drop_work();
            self.state = State::Halted;
        }
    }

    /// Registers are cleared at once; the command bit may stay set for a while (M17, M18).
    fn reset(&mut self, shared: &mut Shared) {
        self.statistics.resets += 1;
        shared.counts.resets += 1;
        let number = shared.counts.resets;
        self.drop_work();
        self.state = if shared.has(Defect::ActiveAfterReset) { State::Active } else { State::Halted };
        if !shared.has(Defect::StaleAddress) {
            self.completed = 0;
        }
        self.position = Position::Chain;
        if let Chaining::Counted { announced, done } = &mut self.chaining {
            (*announced, *done) = (0, 0);
            self.chain = 0;
            if !shared.options.reset_keeps_completion_address {
                self.completion = 0;
            }
        }
        self.latched = false;
        self.control.set_interrupt_disable(false);
        shared.interrupts.forget(self.number, &shared.space);

        let quirks = shared.options.device.quirks();
        if quirks.reset_wipes_msix() {
            shared.interrupts.wipe_vectors();
        }
        if quirks.config_parity() {
            shared.space.raise(ioat_regs::config::DMAUNCERRSTS, ioat_regs::config::CONFIG_PARITY);
        }
        let endless = |fault: &Fault| {
            matches!(fault, Fault::EndlessReset { reset } if reset.strikes(number)).then_some(())
        };
        self.resetting = if shared.fault(endless).is_some() {
            Delay::Forever
        } else if shared.options.timing.reset != 0 {
            Delay::For(shared.options.timing.reset)
        } else {
            Delay::None
        };
    }

    fn drop_work(&mut self) {
        self.in_flight = false;
        self.rechain = false;
        self.posted.clear();
        self.overtaken.clear();
        self.wait = Delay::None;
        self.suspending = false;
        self.unsettled = false;
        if let Chaining::Linked { again } = &mut self.chaining {
            *again = false;
        }
    }

    /// Stops on an error (§4.7). The completion word and the interrupt follow in the next step.
    #[cold]
    pub(crate) fn halt(&mut self, error: ChanErr, shared: &mut Shared) {
        self.error = self.error.union(error);
        shared.space.raise_chanerr_int(error.0);
        self.in_flight = false;
        self.rechain = false;
        self.suspending = false;
        self.unsettled = false;
        self.wait = Delay::None;
        self.state = State::Halted;
        self.statistics.halts += 1;
        if self.control.error_completion() && error != ChanErr::COMPLETION_ADDRESS {
            self.post(What::Store(self.status().0), 0);
        }
        if self.control.error_interrupt() {
            self.post(What::Interrupt, 0);
        }
    }

    pub(crate) fn post(&mut self, what: What, lag: u64) {
        self.posted.push_back(Posted { due: None, lag, what });
    }
}

fn latency_index(register: Register) -> Option<usize> {
    Some(match register {
        Register::Drsctl => 0,
        Register::LtrSwsel => 1,
        Register::LtrActive => 2,
        Register::LtrIdle => 3,
        _ => return None,
    })
}
