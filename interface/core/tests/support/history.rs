//! Histories of a channel: steps of its client, its engine and its provider, and what must hold after each.
//!
//! Beside the channel a history keeps its own account of every request and descriptor, by position and therefore for good:
//! a descriptor runs at most once, in order, as it was asked for; a request is told once, in order, with success only if all
//! its descriptors ran since it was accepted, and with a failure only if something happened that excuses it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::atomic::Ordering;

use netdma_abi::completion::{self, TransferStatus};
use netdma_abi::descriptor::{DESTINATION_DCA_ENABLE, NULL_TRANSFER};
use netdma_abi::status::*;
use netdma_abi::{NtStatus, Version};
use netdma_core::channel::{Channel, ChannelState, Control, ControlOutcome};
use netdma_core::delivery::{self, Completed, Delivery};
use netdma_core::memory::{Request, RingMemory};
use netdma_core::ring::{RESERVED_SLOTS, Ring};

use super::{Bench, HostMemory};

/// One step of a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The client posts a NULL transfer.
    Null,
    /// The client posts a copy.
    Copy,
    /// The client posts a copy of two descriptors.
    Pieces,
    /// The client flushes.
    Flush,
    /// The engine does one descriptor.
    Engine,
    /// The client polls, and is told.
    Poll,
    /// Somebody looks and takes the right to deliver.
    Look,
    /// Who has the right to deliver tells.
    Tell,
    /// The same, and the client answers each completion with a NULL transfer.
    TellAnswered,
    /// The provider's DPC reports the last descriptor done.
    Dpc,
    /// The provider's DPC reports zero.
    DpcZero,
    /// The provider's DPC reports an address that is not the ring's.
    DpcForeign,
    Suspend,
    Resume,
    Abort,
    Reset,
    /// An abort that stops the engine, but writes no word.
    AbortUnwritten,
    /// The channel is claimed for a suspension, which `End` makes.
    ClaimSuspend,
    /// The channel is claimed for an abort, which `End` makes.
    ClaimAbort,
    /// The operation that the channel was claimed for is made and ended.
    End,
    /// The engine halts by itself.
    Halt,
    /// The same, and what it names is not the ring's.
    HaltElsewhere,
    /// A word that names nothing of the ring.
    Foreign,
    /// A word with a status that does not exist, on a descriptor in flight.
    Undefined,
    /// A word that names the last descriptor done once more, between two descriptors.
    Stale,
    /// A word that names the first descriptor that was not posted, and somebody looks before it is: afterwards the lie
    /// could not be told from the truth.
    Ahead,
    /// The next append fails.
    FailAppend,
    /// The next start fails.
    FailStart,
    /// The next starts fail, as often as one is tried.
    FailStarts,
    /// The next abort does not end in time.
    FailAbort,
    /// The device loses and regains power with the channel quiet.
    PowerCycle,
    /// Nothing is accepted any more.
    Close,
    /// And again.
    Open,
}

use Step::*;

impl Step {
    /// All of them.
    pub const ALL: [Self; Open as usize + 1] = [
        Null,
        Copy,
        Pieces,
        Flush,
        Engine,
        Poll,
        Look,
        Tell,
        TellAnswered,
        Dpc,
        DpcZero,
        DpcForeign,
        Suspend,
        Resume,
        Abort,
        Reset,
        AbortUnwritten,
        ClaimSuspend,
        ClaimAbort,
        End,
        Halt,
        HaltElsewhere,
        Foreign,
        Undefined,
        Stale,
        Ahead,
        FailAppend,
        FailStart,
        FailStarts,
        FailAbort,
        PowerCycle,
        Close,
        Open,
    ];
}

/// What excuses a request that ends as aborted.
const ABORTED: u8 = 1;
/// What excuses a request that ends with an error.
const FAILED: u8 = 2;
/// The engine may have written over a word that was not read yet: without another, only a reset ends what it did.
const LIED: u8 = 4;

/// A failing start, the two that follow it, and the one after a reset (Q10).
const EVERY_START: usize = 3;

/// Bytes of a copy's descriptor.
const PIECE: u64 = 24;

const NOWHERE: u64 = 0xDEAD_0000_0000;

/// A request that was accepted and not told.
struct Accepted {
    begin: u64,
    cookie: u64,
    context: usize,
    bytes: u32,
    /// Where its bytes go, and which.
    data: Vec<(u64, Vec<u8>)>,
    excused: u8,
    /// How it ended, once it has.
    ended: Option<NtStatus>,
}

/// A descriptor of the ring.
struct Built {
    /// Where its bytes come from and go to; `None`: it moves nothing.
    piece: Option<(u64, u64)>,
    ran: bool,
}

/// A channel, and an account of what happened to it.
pub struct History {
    pub bench: Bench,
    waiting: VecDeque<Accepted>,
    /// Descriptors from position `first` to the ring's end.
    descriptors: VecDeque<Built>,
    first: u64,
    /// The last step found no room.
    found_full: bool,
    /// There is a cache to hint at: the interface posts descriptors of its own.
    hinting: bool,
    /// Who holds the right to deliver.
    held: Option<Delivery<Vec<Request>>>,
    claimed: Option<Control>,
    /// An append failed: what waits is started when the engine is quiet (Q10).
    owes_start: bool,
    /// What excuses failures until the next start.
    trouble: u8,
    starts: u64,
    /// Descriptors that were posted, and the position up to which they were.
    posted: u64,
    given: u64,
    /// The engine was halted after the last step.
    halted: bool,
    accepted: u64,
    told: u64,
    succeeded: u64,
    bytes: u64,
    buffers: u64,
}

impl History {
    /// A channel of one page whose batches are full at `limit` requests.
    pub fn new(version: Version, limit: u32) -> Self {
        Self::over(version, HostMemory::scattered(1), limit, None)
    }

    /// A channel over `memory`, with a cache to hint at, if any.
    pub fn over(version: Version, memory: HostMemory, limit: u32, cache: Option<u8>) -> Self {
        let bench = Bench::with_cache(version, memory, cache);
        bench.with(|channel| {
            channel.go_on(&bench.engine);
            channel.set_limit(&bench.engine, limit).expect("a limit");
        });
        let mut history = Self {
            bench,
            waiting: VecDeque::new(),
            descriptors: VecDeque::new(),
            first: 0,
            found_full: false,
            hinting: cache.is_some(),
            held: None,
            claimed: None,
            owes_start: false,
            trouble: 0,
            starts: 0,
            posted: 0,
            given: 0,
            halted: false,
            accepted: 0,
            told: 0,
            succeeded: 0,
            bytes: 0,
            buffers: 0,
        };
        history.account();
        history
    }

    /// Takes one step and checks what must hold after it.
    pub fn take(&mut self, step: Step) {
        let (posts, accepted, pending, owed) = (self.posts(), self.accepted, self.pending(), self.owes_start);
        let held =
            self.holds_back() && !matches!(step, Suspend | Resume | Abort | AbortUnwritten | Reset | End);
        self.take_again(step);
        self.check();
        if held && self.holds_back() {
            assert_eq!(self.posts(), posts, "nothing is posted while suspended, stopping or claimed");
        }
        let waits = match step {
            Null | Copy | Pieces => self.accepted > accepted,
            Poll | Look | Tell | Dpc | DpcForeign => true,
            _ => false,
        };
        let grown = pending + (self.accepted - accepted);
        if waits && !owed && !self.hinting && grown < u64::from(self.bench.with(|channel| channel.limit())) {
            assert_eq!(self.posts(), posts, "requests below the limit wait");
        }
    }

    /// Nothing may be posted.
    fn holds_back(&self) -> bool {
        let state = self.bench.with(|channel| channel.state());
        self.claimed.is_some() || matches!(state, ChannelState::Suspended | ChannelState::Stopping)
    }

    /// Starts and appends that were taken.
    fn posts(&self) -> u64 {
        let counted = self.bench.with(|channel| channel.statistics());
        counted.starts + counted.appends
    }

    /// Requests that wait to be posted.
    fn pending(&self) -> u64 {
        let posted = self.bench.with(|channel| channel.ring().posted());
        self.waiting.iter().filter(|request| request.cookie > posted).count() as u64
    }

    /// Takes a step that was checked in an equal history before.
    pub fn take_again(&mut self, step: Step) {
        self.found_full = false;
        match step {
            Null => self.submit(0),
            Copy => self.submit(1),
            Pieces => self.submit(2),
            Flush => self.bench.with(|channel| channel.post(&self.bench.engine)),
            Engine => drop(self.run_one()),
            Poll => self.report(0),
            Look => self.look(),
            Tell => self.tell(false),
            TellAnswered => self.tell(true),
            Dpc => {
                let last = self.bench.engine.inner.borrow().last;
                self.report(last);
            }
            DpcZero => {
                self.report(0);
                self.bench.with(|channel| channel.start_anew(&self.bench.engine));
            }
            DpcForeign => {
                let foreign = self.bench.report(NOWHERE).foreign;
                assert!(foreign.is_some(), "a foreign address is reported");
                self.hear();
            }
            Suspend => self.control(Control::Suspend),
            Resume => self.control(Control::Resume),
            Abort => self.control(Control::Abort(STATUS_REQUEST_ABORTED)),
            Reset => self.control(Control::Reset(STATUS_REQUEST_ABORTED)),
            AbortUnwritten => {
                if self.claim(Control::Abort(STATUS_REQUEST_ABORTED)) {
                    self.excuse(LIED);
                    self.bench.engine.stop();
                    self.end_as(ControlOutcome::Done(None));
                }
            }
            ClaimSuspend => drop(self.claim(Control::Suspend)),
            ClaimAbort => drop(self.claim(Control::Abort(STATUS_REQUEST_ABORTED))),
            End => self.end(),
            Halt => self.bench.engine.halt(),
            HaltElsewhere => {
                self.excuse(FAILED | LIED);
                self.bench.engine.halt();
                self.bench.engine.lie(completion::word(NOWHERE, TransferStatus::Halted));
            }
            Foreign => self.lie(|_| Some(NOWHERE)),
            Undefined => self.lie(|ring| Some(ring.address(ring.done())? | 6)),
            Stale => self.lie(|ring| Some(ring.address(ring.done().wrapping_sub(1))? | 0x38)),
            Ahead => {
                self.lie(|ring| ring.address(ring.posted()));
                self.report(0);
            }
            FailAppend => self.bench.engine.fail_next("append", &[STATUS_UNSUCCESSFUL]),
            FailStart => self.bench.engine.fail_next("start", &[STATUS_UNSUCCESSFUL]),
            FailStarts => {
                self.excuse(FAILED);
                self.bench.engine.fail_next("start", &[STATUS_UNSUCCESSFUL; EVERY_START]);
            }
            FailAbort => self.bench.engine.fail_next("abort", &[STATUS_UNSUCCESSFUL]),
            PowerCycle => {
                if self.bench.with(|channel| channel.is_quiet() && channel.state() != ChannelState::Suspended)
                {
                    self.bench.engine.lose_power();
                    self.bench.with(|channel| {
                        channel.lose_context();
                        channel.rearm(&self.bench.engine);
                    });
                }
            }
            Close => self.bench.with(|channel| channel.close()),
            Open => self.bench.with(|channel| channel.open()),
        }
        self.account();
    }

    /// Submits a request of `pieces` descriptors, a NULL transfer for none.
    fn submit(&mut self, pieces: u64) {
        self.found_full = false;
        let (begin, room, open, stopping) = self.bench.with(|channel| {
            let (ring, stopping) = (channel.ring(), channel.state() == ChannelState::Stopping);
            (ring.built(), ring.room(), channel.is_open(), stopping)
        });
        let context = self.accepted as usize + 1;
        let (bench, length) = (&self.bench, (pieces * PIECE) as u32);
        let mut built = Vec::new();
        let mut data = Vec::new();
        for _ in 0..pieces {
            // Buffers that never meet, so that no piece is joined to another.
            let (from, to) = (0x10_0000_0000 + self.buffers * 64, 0x20_0000_0000 + self.buffers * 64);
            let bytes: Vec<u8> = (0..PIECE).map(|n| (self.buffers * 7 + n) as u8 | 1).collect();
            bench.engine.poke(from, &bytes);
            built.push(Built { piece: Some((from, to)), ran: false });
            data.push((to, bytes));
            self.buffers += 1;
        }
        let side = |which: fn((u64, u64)) -> u64| {
            let runs: Vec<(u64, u64)> =
                built.iter().filter_map(|built| Some((which(built.piece?), PIECE))).collect();
            super::Pieces::new(&runs)
        };
        let answer = bench.with(|channel| match pieces {
            0 => channel.null(&bench.engine, 0, context),
            _ => {
                let flags = channel.hinted(DESTINATION_DCA_ENABLE);
                channel.copy(
                    &bench.engine,
                    side(|(_, to)| to),
                    side(|(from, _)| from),
                    length,
                    flags,
                    context,
                )
            }
        });
        match answer {
            Err(STATUS_DEVICE_NOT_READY) => assert!(!open, "an open channel accepts"),
            Err(STATUS_INVALID_DEVICE_STATE) => {
                assert!(open && stopping, "a channel that is not stopping accepts")
            }
            Err(STATUS_INSUFFICIENT_RESOURCES) => {
                assert!(room < pieces.max(1), "a ring with room accepts");
                self.found_full = true;
            }
            Err(other) => panic!("refused with {other:#x}"),
            Ok(_) => assert!(open && !stopping, "accepted while closed or stopping"),
        }
        if let Ok(cookie) = answer {
            built.resize_with(pieces.max(1) as usize, || Built { piece: None, ran: false });
            assert_eq!(cookie, begin + built.len() as u64, "a cookie is the position behind the request");
            let (excused, bytes) = (self.trouble, length);
            self.waiting.push_back(Accepted { begin, cookie, context, bytes, data, excused, ended: None });
            self.descriptors.extend(built);
            self.accepted += 1;
        }
    }

    /// The engine does one descriptor, which must be the first in flight that it has not done.
    fn run_one(&mut self) -> bool {
        if !self.bench.engine.step() {
            return false;
        }
        let address = self.bench.engine.inner.borrow().last;
        let (done, posted) = self.bench.with(|channel| (channel.ring().done(), channel.ring().posted()));
        let first = self.first;
        let next = (done..posted).find(|position| !self.descriptors[(position - first) as usize].ran);
        let position = next.expect("the engine ran what it had done already, or was never given");
        let expected = self.bench.with(|channel| channel.ring().address(position));
        assert_eq!(Some(address), expected, "the engine runs what it was given, in order");
        self.descriptors[(position - first) as usize].ran = true;
        true
    }

    fn report(&mut self, address: u64) {
        let word = self.bench.word.load(Ordering::Relaxed);
        let nonsense = completion::address(word) == NOWHERE || TransferStatus::of(word).is_none();
        let seen = self.bench.report(address);
        assert!(!nonsense || seen.foreign.is_some(), "a word of nonsense is reported");
        self.hear();
    }

    /// Looks at the word and takes the right to deliver, if nobody has it.
    fn look(&mut self) {
        let bench = &self.bench;
        let held = bench.with(|channel| {
            channel.observe(0);
            channel.go_on(&bench.engine);
            channel.begin_delivery()
        });
        if held.is_none() {
            return;
        }
        assert!(self.held.is_none(), "two deliver at once");
        self.held = held;
    }

    /// Tells what is held, and whatever else has ended. With `answering` the client posts from its callback.
    fn tell(&mut self, answering: bool) {
        let Some(held) = self.held.take() else { return };
        let history = RefCell::new(self);
        delivery::deliver(&Telling(&history), held, |completed| {
            let mut history = history.borrow_mut();
            history.told(completed);
            if answering {
                history.submit(0);
                history.account();
            }
        });
    }

    /// What a halted engine has, or was given since the last step, may fail; what waits goes to the next start.
    fn excuse_posted(&mut self) {
        let posted = self.bench.with(|channel| channel.statistics()).descriptors;
        self.given += posted - std::mem::replace(&mut self.posted, posted);
        if self.halted || self.bench.engine.inner.borrow().dead {
            let given = self.given;
            for request in self.waiting.iter_mut().filter(|request| request.begin < given) {
                request.excused |= FAILED;
            }
        }
    }

    /// Takes note of what the bench was told.
    fn hear(&mut self) {
        self.excuse_posted();
        for completed in self.bench.told.take() {
            self.told(completed);
        }
    }

    fn told(&mut self, completed: Completed) {
        let request = self.waiting.pop_front().expect("told without a request");
        assert_eq!(completed.cookie, request.cookie, "told in the order of acceptance, each once");
        assert_eq!(completed.context, request.context, "told with its context");
        self.told += 1;
        if let Some(ended) = request.ended {
            assert_eq!(completed.status, ended, "told as it ended");
        }
        let ran = (request.begin..request.cookie)
            .all(|position| self.descriptors[(position - self.first) as usize].ran);
        match completed.status {
            STATUS_SUCCESS => {
                assert!(ran, "success without the engine");
                for (to, data) in &request.data {
                    assert_eq!(&self.bench.engine.peek(*to, data.len()), data, "success without the data");
                }
                self.succeeded += 1;
                self.bytes += u64::from(request.bytes);
                return;
            }
            STATUS_REQUEST_ABORTED => assert!(request.excused & ABORTED != 0, "aborted unasked"),
            STATUS_IO_DEVICE_ERROR => assert!(request.excused & FAILED != 0, "failed without a cause"),
            other => panic!("told {other:#x}"),
        }
        assert!(!ran || request.excused & LIED != 0, "the engine did it, and its word said so");
    }

    /// From now on, and for what was accepted before, `trouble` excuses a failure.
    fn excuse(&mut self, trouble: u8) {
        self.trouble |= trouble;
        for request in &mut self.waiting {
            request.excused |= trouble;
        }
    }

    /// The engine writes an address that it cannot mean, or cannot mean now; `None`: there is none of the kind.
    fn lie(&mut self, word: impl FnOnce(&Ring<HostMemory>) -> Option<u64>) {
        if let Some(word) = self.bench.with(|channel| word(channel.ring())) {
            self.excuse(FAILED | LIED);
            self.bench.engine.lie(word);
        }
    }

    fn claim(&mut self, control: Control) -> bool {
        let state = self.bench.with(|channel| channel.state());
        let fits = match control {
            Control::Suspend => {
                matches!(state, ChannelState::Armed | ChannelState::Active | ChannelState::Idle)
            }
            Control::Resume => state == ChannelState::Suspended,
            Control::Abort(_) | Control::Reset(_) => true,
        };
        let claimed = self.bench.with(|channel| channel.begin_control(control)).is_ok();
        assert_eq!(claimed, fits && self.claimed.is_none(), "one operation at a time, where it fits");
        if claimed {
            self.claimed = Some(control);
            if matches!(control, Control::Abort(_) | Control::Reset(_)) {
                self.excuse(ABORTED);
            }
        }
        claimed
    }

    fn end(&mut self) {
        if let Some(control) = self.claimed {
            self.end_as(self.bench.ask(control));
        }
    }

    fn end_as(&mut self, outcome: ControlOutcome) {
        let Some(control) = self.claimed.take() else { return };
        let status = self.bench.with(|channel| channel.end_control(&self.bench.engine, outcome));
        self.report(0);
        let empties = matches!(control, Control::Abort(_) | Control::Reset(_));
        if empties && status == STATUS_SUCCESS {
            let done = self.bench.with(|channel| channel.ring().done());
            let ended = self.waiting.iter().all(|request| request.cookie <= done);
            assert!(ended, "an abort or reset ends everything accepted");
            let armed =
                self.bench.engine.inner.borrow().fail.get("start").is_some_and(|left| !left.is_empty());
            self.trouble = if armed { FAILED } else { 0 };
        }
    }

    fn control(&mut self, control: Control) {
        if self.claim(control) {
            self.end();
        }
    }

    /// Everything that decides what this history may still become, such that equal snapshots have equal futures. Positions
    /// count from what the ring has told, and modulo its size.
    #[cfg(small_pages)]
    pub fn snapshot(&self) -> Vec<u64> {
        let told = self.ring_told();
        let mut state = self.bench.with(|channel| channel.snapshot());
        self.bench.engine.snapshot(&mut state);
        state.extend([self.held.is_some(), self.owes_start].map(u64::from));
        state.push(self.trouble.into());
        state.push(self.claimed.map_or(0, |control| u64::from(control == Control::Suspend) + 1));
        for Accepted { begin, cookie, context: _, bytes, data: _, excused, ended } in &self.waiting {
            state.extend([begin.wrapping_sub(told), cookie.wrapping_sub(told), u64::from(*bytes)]);
            // Whether a success would have been excused is never asked.
            let excused = if *ended == Some(STATUS_SUCCESS) { 0 } else { *excused };
            state.extend([u64::from(excused), ended.map_or(u64::MAX, |status| status as u64)]);
        }
        state.push(self.first.wrapping_sub(told));
        state.extend(self.descriptors.iter().map(|built| u64::from(built.ran)));
        state
    }

    /// Position up to which the ring has been told.
    fn ring_told(&self) -> u64 {
        self.bench.with(|channel| {
            let ring = channel.ring();
            ring.built() - (ring.size() - RESERVED_SLOTS - ring.room())
        })
    }

    /// Brings the account up to date: the interface's own descriptors, starts, and what nobody asks about any more.
    fn account(&mut self) {
        let (done, posted, built) = self.bench.with(|channel| {
            let ring = channel.ring();
            (ring.done(), ring.posted(), ring.built())
        });
        let refused = std::mem::take(&mut self.bench.engine.inner.borrow_mut().append_failed);
        self.owes_start = (self.owes_start || refused) && posted != built;
        let missing = (built - self.first) as usize;
        assert!(missing >= self.descriptors.len(), "an accepted descriptor is gone");
        self.descriptors.resize_with(missing, || Built { piece: None, ran: false });
        let starts = self.bench.with(|channel| channel.statistics()).starts;
        if starts != self.starts {
            self.starts = starts;
            self.trouble = 0;
            for position in done..built {
                self.descriptors[(position - self.first) as usize].ran = false;
            }
        }
        self.excuse_posted();
        self.given = posted;
        self.halted = self.bench.engine.inner.borrow().dead;
        self.bench.with(|channel| {
            let (ring, noted) = (channel.ring(), channel.ring().memory().requests());
            for request in self.waiting.iter_mut().filter(|request| request.cookie <= done) {
                request.ended.get_or_insert(noted[((request.cookie - 1) % ring.size()) as usize].status);
            }
        });
        let needed = self.waiting.front().map_or(done, |request| request.begin.min(done));
        while self.first < needed {
            self.first += 1;
            self.descriptors.pop_front();
        }
    }

    /// What must hold at any time.
    fn check(&self) {
        let (told, pending, holds_back) = (self.ring_told(), self.pending(), self.holds_back());
        self.bench.with(|channel| {
            let ring = channel.ring();
            assert!(ring.built() - told <= ring.size() - RESERVED_SLOTS, "more in use than there are slots");
            assert!(told <= ring.done() && ring.done() <= ring.posted() && ring.posted() <= ring.built());
            for position in ring.done()..ring.built() {
                let [head, source, destination, link, ..] = ring.slot(position).expect("a slot").words();
                let (size, flags) = (head & 0xFFFF_FFFF, (head >> 32) as u32);
                if let Some((from, to)) = self.descriptors[(position - self.first) as usize].piece {
                    assert_eq!(
                        (size, source, destination),
                        (PIECE, from, to),
                        "a descriptor says what was asked"
                    );
                    assert_eq!(flags & NULL_TRANSFER, 0);
                }
                let next = ring.address(position + 1).expect("a slot");
                assert!(link == next || link == 0, "a link leads to the next slot");
            }
            let link = |position| ring.slot(position).expect("a slot").words()[3];
            let ends = (0..ring.size()).filter(|position| link(*position) == 0).count();
            assert!(ends <= 1, "one list at most ends in the ring, the engine's");
            for request in self.waiting.iter().filter(|request| request.cookie > told) {
                let noted = ring.memory().requests()[((request.cookie - 1) % ring.size()) as usize];
                assert_eq!((noted.context, noted.bytes), (request.context, request.bytes));
                let done = request.cookie <= ring.done();
                assert_eq!(channel.is_complete(request.cookie as usize), done, "complete when it is done");
            }
            let held = holds_back || self.owes_start && ring.outstanding() != 0;
            assert!(held || pending == 0 || !self.found_full, "a full ring is posted");
            assert!(held || pending < channel.limit().into(), "a full batch is posted");
            match channel.state() {
                ChannelState::Idle => assert_eq!(ring.outstanding(), 0, "idle with work"),
                ChannelState::Active => assert_ne!(ring.outstanding(), 0, "active without work"),
                _ => {}
            }
            let counted = channel.statistics();
            assert_eq!(counted.submitted, self.accepted);
            if self.held.is_none() {
                assert_eq!(counted.completed, self.succeeded);
                assert_eq!(counted.completed + counted.aborted + counted.failed, self.told);
                assert_eq!(counted.bytes, self.bytes);
            }
        });
    }

    /// What a drain does (D22 of the architecture): it must end, with everything told, and the channel must be of use.
    pub fn finish(&mut self) {
        self.settle();
        self.bench.engine.inner.borrow_mut().fail.clear();
        self.take(Open);
        // An engine that halted unnoticed takes the first with it.
        for _ in 0..2 {
            let before = self.succeeded;
            self.take(Copy);
            self.settle();
            if self.succeeded > before {
                return;
            }
        }
        panic!("the channel is of no use in {:?}", self.bench.with(|channel| channel.state()));
    }

    fn settle(&mut self) {
        for round in 0..200 {
            self.take(End);
            self.take(Tell);
            if self.bench.with(|channel| channel.state()) == ChannelState::Suspended {
                self.take(Resume);
            }
            self.take(Flush);
            self.engine_runs();
            self.take(Poll);
            let stopping = self.bench.with(|channel| channel.state()) == ChannelState::Stopping;
            // Whoever drains sees no progress, and resets.
            if stopping || round == 8 && self.trouble & LIED != 0 {
                self.take(Reset);
            }
            if self.bench.with(|channel| channel.is_quiet()) {
                assert!(self.waiting.is_empty(), "quiet, but not everything is told");
                return;
            }
        }
        panic!("the channel hangs in {:?}", self.bench.with(|channel| channel.state()));
    }

    fn engine_runs(&mut self) {
        let most = self.bench.with(|channel| channel.ring().size());
        let mut ran = 0;
        while self.run_one() {
            ran += 1;
            assert!(ran <= most, "the engine runs in a circle");
        }
    }

    /// What a stop does when the device is dead: everything ends at once.
    pub fn give_up(&mut self) {
        self.excuse(FAILED | LIED);
        self.take(Close);
        self.bench.engine.halt();
        self.take(End);
        self.take(Tell);
        self.bench.with(|channel| channel.give_up(STATUS_IO_DEVICE_ERROR));
        self.take(Poll);
        assert!(self.bench.with(|channel| channel.is_quiet()), "somebody is at work on a dead channel");
        assert!(self.waiting.is_empty(), "given up, but not everything is told");
    }
}

/// The channel of a history, for a delivery whose callback changes the history.
struct Telling<'a, 'b>(&'a RefCell<&'b mut History>);

impl delivery::Locked for Telling<'_, '_> {
    type Memory = HostMemory;
    fn with<R>(&self, act: impl FnOnce(&mut Channel<HostMemory>) -> R) -> Option<R> {
        Some(self.0.borrow().bench.with(act))
    }
}
