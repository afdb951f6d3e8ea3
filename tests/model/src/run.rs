//! A channel at work: fetch, execute, complete, and go on (appendices B and D of docs/spec/ioat.md).

use ioat_regs::{ChanErr, ChanSts, State, descriptor};

use crate::{
    channel::{Chaining, Channel, Delay, Position, What},
    defects::Defect,
    faults::{Fault, Which},
    host::{Host, Progress},
    operation::{Denied, Dma, Operation, words},
    raid::Raid,
    shared::Shared,
};

/// Everything outside the channel that its work touches.
pub(crate) struct Workplace<'a, H: ?Sized> {
    pub(crate) dma: Dma<'a, H>,
    pub(crate) now: u64,
    pub(crate) shared: &'a mut Shared,
}

impl Delay {
    /// Whether the time has passed; if not, when it will have (`None`: never).
    fn passed(&mut self, now: u64, jitter: impl FnOnce(u64) -> u64) -> Result<(), Option<u64>> {
        if let Self::For(time) = *self {
            *self = Self::Until(now.saturating_add(jitter(time)));
        }
        match *self {
            Self::Until(time) if now < time => Err(Some(time)),
            Self::Forever => Err(None),
            _ => {
                *self = Self::None;
                Ok(())
            }
        }
    }
}

impl Channel {
    /// Does the next piece of work.
    pub(crate) fn step<H: Host + ?Sized>(&mut self, place: &mut Workplace<'_, H>) -> Progress {
        if self.resetting != Delay::None {
            let now = place.now;
            match self.resetting.passed(now, |time| place.shared.delay(time)) {
                Ok(()) => return Progress::Worked,
                Err(Some(time)) => return Progress::Until(time),
                Err(None) => return Progress::Idle,
            }
        }
        if !self.overtaken.is_empty() {
            self.deliver_overtaken(place);
        }
        let mut posted = Progress::Idle;
        if !self.posted.is_empty() {
            posted = self.send_posted(place);
            if posted == Progress::Worked {
                return posted;
            }
        }
        earlier(posted, self.work(place))
    }

    #[inline]
    fn work<H: Host + ?Sized>(&mut self, place: &mut Workplace<'_, H>) -> Progress {
        if self.state != State::Active && !self.suspending {
            return if self.state == State::Idle { self.look_again(place) } else { Progress::Idle };
        }
        if self.wait != Delay::None {
            let now = place.now;
            if let Err(until) = self.wait.passed(now, |time| place.shared.delay(time)) {
                return until.map_or(Progress::Idle, Progress::Until);
            }
        }
        if !self.in_flight
            && let Err(progress) = self.next(place)
        {
            return progress;
        }
        // A piece at a time where software may look in between, else the whole of it.
        while !self.job.is_done() {
            let shared = &mut *place.shared;
            if let Err(error) = self.job.advance(&mut place.dma, &mut shared.buffer, &shared.offer) {
                self.in_flight = false;
                self.fail(error, place);
                return Progress::Worked;
            }
            if shared.options.timing.fine {
                return Progress::Worked;
            }
        }
        self.in_flight = false;
        self.finish(place);
        Progress::Worked
    }

    /// Between two descriptors: takes the next one, to be executed at once.
    ///
    /// # Errors
    /// There is nothing to be executed now; what the step came to instead.
    #[inline]
    fn next<H: Host + ?Sized>(&mut self, place: &mut Workplace<'_, H>) -> Result<(), Progress> {
        if self.suspending {
            if !self.posted.is_empty() {
                return Err(Progress::Idle);
            }
            self.suspended();
            return Err(Progress::Worked);
        }
        let short = place.shared.has(Defect::CountOffByOne) && self.is_nearly_caught_up();
        if self.is_caught_up() || short {
            self.state = State::Idle;
            return Err(Progress::Worked);
        }
        match self.next_address(place) {
            Ok(Some(address)) => match self.fetch(address, place) {
                Ok(()) => return self.begin(place),
                Err(error) => self.halt(error, place.shared),
            },
            Ok(None) => {
                self.state = State::Idle;
                self.unsettled = false;
            }
            Err(error) => self.halt(error, place.shared),
        }
        Err(Progress::Worked)
    }

    /// Where the next descriptor is; `None` at the end of a linked chain.
    ///
    /// The next pointer is read as late as possible (M30): until the descriptor behind it is announced, software
    /// may still change what it points to.
    #[inline]
    fn next_address<H: Host + ?Sized>(
        &mut self,
        place: &mut Workplace<'_, H>,
    ) -> Result<Option<u64>, ChanErr> {
        let address = match self.position {
            Position::Chain => {
                return if self.chain.is_multiple_of(descriptor::SIZE as u64) {
                    Ok(Some(self.chain))
                } else {
                    Err(ChanErr::CHAIN_ADDRESS)
                };
            }
            Position::After(slot) => read_next(slot, place)?,
            Position::At(address) => address,
        };
        if let Chaining::Linked { .. } = self.chaining
            && address == 0
        {
            return self.next_address_again(place);
        }
        if address.is_multiple_of(descriptor::SIZE as u64) {
            Ok(Some(address))
        } else {
            Err(ChanErr::DESCRIPTOR)
        }
    }

    /// At the end of a linked chain: an APPEND that came meanwhile asks to look once more.
    #[cold]
    fn next_address_again<H: Host + ?Sized>(
        &mut self,
        place: &mut Workplace<'_, H>,
    ) -> Result<Option<u64>, ChanErr> {
        let Chaining::Linked { again } = &mut self.chaining else { return Ok(None) };
        self.position = Position::After(self.completed);
        if !std::mem::take(again) || self.completed == 0 {
            return Ok(None);
        }
        match read_next(self.completed, place)? {
            0 => Ok(None),
            address if address.is_multiple_of(descriptor::SIZE as u64) => Ok(Some(address)),
            _ => Err(ChanErr::DESCRIPTOR),
        }
    }

    /// An APPEND to an idle linked chain.
    #[cold]
    fn look_again<H: Host + ?Sized>(&mut self, place: &mut Workplace<'_, H>) -> Progress {
        if self.chaining != (Chaining::Linked { again: true }) {
            return Progress::Idle;
        }
        match self.next_address_again(place) {
            Ok(Some(address)) => {
                self.position = Position::At(address);
                self.state = State::Active;
            }
            Ok(None) => self.unsettled = false,
            Err(error) => self.halt(error, place.shared),
        }
        Progress::Worked
    }

    #[inline]
    fn fetch<H: Host + ?Sized>(&mut self, address: u64, place: &mut Workplace<'_, H>) -> Result<(), ChanErr> {
        place.dma.read(address, &mut self.job.bytes).map_err(|Denied| ChanErr::NEXT_ADDRESS)?;
        if !place.shared.plain {
            Self::fail_as_planned(place)?;
        }
        self.job.decode(address, &place.shared.offer)?;
        if self.job.operation == Operation::Raid {
            self.extend(place)?;
        }
        self.in_flight = true;
        Ok(())
    }

    /// Counts the descriptor, and fails it when the plan says so.
    #[cold]
    fn fail_as_planned<H: Host + ?Sized>(place: &mut Workplace<'_, H>) -> Result<(), ChanErr> {
        place.shared.counts.descriptors += 1;
        let number = place.shared.counts.descriptors;
        let halt = place.shared.fault(|fault| match fault {
            Fault::Halt { descriptor, error } if descriptor.strikes(number) => Some(ChanErr(1 << error.bit)),
            _ => None,
        });
        halt.map_or(Ok(()), Err)
    }

    /// XOR and PQ: the sources that did not fit into the base are in the slot behind it, which costs a count too.
    #[cold]
    fn extend<H: Host + ?Sized>(&mut self, place: &mut Workplace<'_, H>) -> Result<(), ChanErr> {
        let job = &mut self.job;
        let mut extension = [0; descriptor::SIZE];
        if Raid::needs_extension(job.control) {
            if let Chaining::Counted { announced, done } = self.chaining
                && announced.wrapping_sub(done) < 2
            {
                return Err(ChanErr::COUNT);
            }
            let address = read_next(job.base, place)?;
            if !address.is_multiple_of(descriptor::SIZE as u64) {
                return Err(ChanErr::DESCRIPTOR);
            }
            place.dma.read(address, &mut extension).map_err(|Denied| ChanErr::NEXT_ADDRESS)?;
            job.last_slot = address;
            job.slots = 2;
        }
        job.raid = Some(Box::new(Raid::decode(job.control, &words(&job.bytes), &words(&extension))));
        Ok(())
    }

    /// A descriptor has been read: how long it takes, and what goes wrong with it. As [`Self::next`].
    #[inline]
    fn begin<H: Host + ?Sized>(&mut self, place: &mut Workplace<'_, H>) -> Result<(), Progress> {
        if place.shared.plain {
            return Ok(());
        }
        self.afflict(place);
        let timing = &place.shared.options.timing;
        let mut time = timing.per_descriptor;
        if self.job.moves_data() {
            time = time.saturating_add(u64::from(self.job.length).saturating_mul(timing.per_byte) / 1000);
        }
        if time != 0 || timing.jitter != 0 {
            self.wait = Delay::For(time);
        } else if !timing.fine {
            return Ok(());
        }
        Err(Progress::Worked)
    }

    #[cold]
    fn afflict<H: Host + ?Sized>(&mut self, place: &mut Workplace<'_, H>) {
        let job = &mut self.job;
        place.shared.counts.copies += u64::from(job.operation == Operation::Copy);
        let (descriptor_number, copy_number) = (place.shared.counts.descriptors, place.shared.counts.copies);
        if job.operation == Operation::Copy {
            job.flip = place.shared.fault(|fault| match fault {
                Fault::FlipBit { copy, bit } if copy.strikes(copy_number) => Some(*bit),
                _ => None,
            });
            let skip = |fault: &Fault| {
                strikes(fault, copy_number, |fault| match fault {
                    Fault::SkipCopy { copy } => Some(*copy),
                    _ => None,
                })
            };
            if place.shared.fault(skip).is_some() {
                job.moved = job.length;
            }
        }
        let early = place.shared.fault(|fault| match fault {
            Fault::EarlyCompletion { descriptor, steps } if descriptor.strikes(descriptor_number) => {
                Some(*steps)
            }
            _ => None,
        });
        if let Some(steps) = early {
            self.overtaken.push_back((steps, job.clone()));
            job.moved = job.length;
        }
        let spurious = |fault: &Fault| {
            strikes(fault, descriptor_number, |fault| match fault {
                Fault::SpuriousInterrupt { descriptor } => Some(*descriptor),
                _ => None,
            })
        };
        if place.shared.fault(spurious).is_some() {
            place.shared.interrupts.signal_spuriously(self.number, &place.shared.space);
        }
    }

    /// The data of early completions arrives at last.
    fn deliver_overtaken<H: Host + ?Sized>(&mut self, place: &mut Workplace<'_, H>) {
        let Some((steps, job)) = self.overtaken.front_mut() else { return };
        if *steps > 0 {
            *steps -= 1;
            return;
        }
        let mut job = job.clone();
        self.overtaken.pop_front();
        while !job.is_done()
            && job.advance(&mut place.dma, &mut place.shared.buffer, &place.shared.offer).is_ok()
        {}
    }

    /// The data is where it belongs: report it (M43 to M45).
    #[inline(always)]
    fn finish<H: Host + ?Sized>(&mut self, place: &mut Workplace<'_, H>) {
        self.count();
        self.completed = self.job.base;
        self.unsettled = false;
        let last = match &mut self.chaining {
            Chaining::Counted { announced, done } => {
                *done = done.wrapping_add(self.job.slots);
                self.position = if place.shared.has(Defect::NextReadEarly) {
                    Position::At(self.job.word(descriptor::NEXT / 8))
                } else {
                    Position::After(self.job.last_slot)
                };
                announced == done && !self.rechain
            }
            Chaining::Linked { .. } => match read_next(self.job.last_slot, place) {
                Ok(address) => {
                    self.position = Position::At(address);
                    address == 0
                }
                // The failure belongs to the next descriptor: it is met again when that one is fetched.
                Err(_) => {
                    self.position = Position::After(self.job.last_slot);
                    false
                }
            },
        };
        if last && !self.suspending && matches!(self.chaining, Chaining::Counted { .. }) {
            self.state = State::Idle;
        }
        let reported = if place.shared.has(Defect::WordOfNext) {
            self.job.word(descriptor::NEXT / 8)
        } else {
            self.job.base
        };
        let word = ChanSts::new(reported, if last { State::Idle } else { State::Active });
        let hasty = place.shared.has(Defect::InterruptBeforeWord);
        if hasty && self.job.wants_interrupt() {
            self.request_interrupt(place.now, place.shared);
        }
        if self.job.control.completion() {
            if hasty {
                self.post(What::Store(word.0), 5_000);
            } else {
                self.report(word, place);
            }
        }
        if self.job.wants_interrupt() && !hasty && self.state != State::Halted {
            if self.posted.is_empty() {
                self.request_interrupt(place.now, place.shared);
            } else {
                self.post(What::Interrupt, 0);
            }
        }
        if self.state == State::Halted {
            return;
        }
        if self.rechain {
            if let Chaining::Counted { announced, done } = &mut self.chaining {
                *done = 0;
                let more = *announced != 0;
                self.arm(place.shared);
                if more {
                    self.state = State::Active;
                }
            }
        } else if last && self.chaining == (Chaining::Linked { again: false }) && !self.suspending {
            self.state = State::Idle;
            self.position = Position::After(self.completed);
        }
    }

    /// A descriptor failed. A masked error does not halt: the descriptor counts as done (M46).
    #[cold]
    fn fail<H: Host + ?Sized>(&mut self, error: ChanErr, place: &mut Workplace<'_, H>) {
        if self.error_mask.contains(error) {
            self.finish(place);
        } else {
            if place.shared.has(Defect::HaltReportsFailed) {
                self.completed = self.job.base;
            }
            self.halt(error, place.shared);
        }
    }

    /// Writes the completion word, or posts it when it is to lag, or lets a fault have it.
    #[inline]
    fn report<H: Host + ?Sized>(&mut self, word: ChanSts, place: &mut Workplace<'_, H>) {
        if place.shared.plain && self.posted.is_empty() {
            self.store(word.0, place);
        } else if !self.spoil(word, place) {
            self.report_late(word, place);
        }
    }

    /// Writes the completion word behind what is posted already and after its lag.
    #[cold]
    fn report_late<H: Host + ?Sized>(&mut self, word: ChanSts, place: &mut Workplace<'_, H>) {
        let lag = place.shared.options.timing.completion_lag;
        if lag == 0 && self.posted.is_empty() {
            self.store(word.0, place);
        } else {
            let lag = place.shared.delay(lag);
            self.post(What::Store(word.0), lag);
        }
    }

    /// Whether a fault took the completion word.
    #[cold]
    fn spoil<H: Host + ?Sized>(&mut self, word: ChanSts, place: &mut Workplace<'_, H>) -> bool {
        place.shared.counts.completions += 1;
        let number = place.shared.counts.completions;
        let fault = place.shared.fault(|fault| {
            let which = match fault {
                Fault::LostCompletion { completion }
                | Fault::LateCompletion { completion, .. }
                | Fault::TornCompletion { completion }
                | Fault::ForeignCompletion { completion, .. }
                | Fault::BackwardCompletion { completion } => completion,
                _ => return None,
            };
            which.strikes(number).then_some(*fault)
        });
        match fault {
            Some(Fault::LostCompletion { .. }) => {}
            Some(Fault::LateCompletion { by, .. }) => self.post(What::Store(word.0), by),
            Some(Fault::TornCompletion { .. }) => {
                self.post(What::Half(0, word.0 as u32), 0);
                self.post(What::Half(4, (word.0 >> 32) as u32), 0);
            }
            Some(Fault::ForeignCompletion { address, .. }) => {
                let state = word.0 & ChanSts::STATE_MASK;
                self.post(What::Store((address & ChanSts::ADDRESS_MASK) | state), 0);
            }
            Some(Fault::BackwardCompletion { .. }) => self.post(What::Store(self.words[0]), 0),
            _ => return false,
        }
        true
    }

    #[inline]
    fn store<H: Host + ?Sized>(&mut self, word: u64, place: &mut Workplace<'_, H>) {
        let aligned = self.completion.is_multiple_of(descriptor::COMPLETION_SIZE as u64);
        if aligned && place.dma.store(self.completion, word).is_ok() {
            self.statistics.completions += 1;
            self.words = [self.words[1], word];
        } else if self.state != State::Halted {
            self.halt(ChanErr::COMPLETION_ADDRESS, place.shared);
        }
    }

    /// Sends what is posted and due, one thing per step.
    #[cold]
    fn send_posted<H: Host + ?Sized>(&mut self, place: &mut Workplace<'_, H>) -> Progress {
        let Some(front) = self.posted.front_mut() else { return Progress::Idle };
        let due = *front.due.get_or_insert(place.now.saturating_add(front.lag));
        if place.now < due {
            return Progress::Until(due);
        }
        let what = front.what;
        self.posted.pop_front();
        match what {
            What::Store(word) => self.store(word, place),
            What::Half(offset, half) => {
                // Nobody is told when it fails: a torn word is broken hardware already.
                let _ = place.dma.write(self.completion + offset, &half.to_le_bytes());
                self.statistics.completions += u64::from(offset != 0);
            }
            What::Interrupt => {
                self.request_interrupt(place.now, place.shared);
            }
        }
        Progress::Worked
    }

    #[inline]
    fn count(&mut self) {
        let statistics = &mut self.statistics;
        statistics.descriptors += 1;
        match self.job.operation {
            Operation::Copy => statistics.copies += 1,
            Operation::Fill => statistics.fills += 1,
            Operation::Null => statistics.nulls += 1,
            Operation::Raid => statistics.raids += 1,
            Operation::DcaContext => {}
        }
        if self.job.moves_data() {
            statistics.bytes += u64::from(self.job.length);
        }
    }
}

/// Reads the next pointer of the slot at `slot`.
fn read_next<H: Host + ?Sized>(slot: u64, place: &mut Workplace<'_, H>) -> Result<u64, ChanErr> {
    let mut bytes = [0; 8];
    let address = slot.wrapping_add(descriptor::NEXT as u64);
    place.dma.read(address, &mut bytes).map_err(|Denied| ChanErr::NEXT_ADDRESS)?;
    Ok(u64::from_le_bytes(bytes))
}

/// Whether `fault` is of the kind that `pick` picks and strikes the `number`-th.
fn strikes(fault: &Fault, number: u64, pick: impl FnOnce(&Fault) -> Option<Which>) -> Option<()> {
    pick(fault)?.strikes(number).then_some(())
}

/// The one that has something to do first.
pub(crate) fn earlier(one: Progress, other: Progress) -> Progress {
    match (one, other) {
        (Progress::Worked, _) | (_, Progress::Worked) => Progress::Worked,
        (Progress::Until(a), Progress::Until(b)) => Progress::Until(a.min(b)),
        (Progress::Idle, rest) | (rest, Progress::Idle) => rest,
    }
}
