//! One channel: submission, completion, polling, the watch for a stuck engine.
//!
//! Operations wait in a queue and are submitted piece by piece, as long as the ring has room, by whoever holds the queue's
//! lock: the request's own thread, or the channel's worker when room was missing. Completions come by callback, on an
//! interrupt channel from the engine's DPC, on a polled channel out of the worker's polls. The worker also watches: a
//! channel on which nothing moves for a second is polled, in case an interrupt was lost, and then aborted, so that no
//! request hangs.

use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use netdma_events::Event;
use netdma_ioctl::{NO_PROGRESS_MILLISECONDS, OpenChannel, POLLED};
use nt::irql::{Dispatch, Passive};
use nt::mutex::Mutex;
use nt::pool::{Arc, Array};
use nt::spin_lock::SpinLock;
use nt::time::{Duration, Instant};
use nt::worker::Worker;
use nt::{Result, Status};

use crate::TAG;
use crate::netdma::{self, ChannelHandle};
use crate::operation::{Operation, Work};
use crate::queue::Queue;
use crate::rendezvous::{Rendezvous, Slot};
use crate::trace;

/// Requests that may wait on one channel.
const MAX_WAITING: usize = 256;
/// Pieces that may be in flight on one channel.
const MAX_IN_FLIGHT: usize = 1024;
/// Polls in one go before the worker rests.
const POLLS_AT_ONCE: usize = 256;
/// How long the worker rests between looks at a polled channel with work in flight.
const POLL_REST: Duration = Duration::from_millis(1);
/// How long the worker rests between looks at an interrupt channel with work in flight.
const WATCH_REST: Duration = Duration::from_millis(100);
/// Without progress for this long something is wrong.
const NO_PROGRESS: Duration = Duration::from_millis(NO_PROGRESS_MILLISECONDS);

/// A channel with its worker: what netdma.sys calls back.
pub struct OpenedChannel {
    worker: Worker<Arc<Channel>, Option<Duration>>,
    channel: Arc<Channel>,
}

/// What the worker and the callbacks share.
pub struct Channel {
    /// Name for user mode and in events.
    number: u32,
    /// Name in netdma.sys; 0 until it is allocated.
    handle: AtomicUsize,
    polled: bool,
    waiting: Mutex<Waiting>,
    in_flight: SpinLock<Rendezvous<Array<Slot<Piece>>>>,
    /// Pieces submitted or about to be, not completed.
    pieces_in_flight: AtomicUsize,
    /// The newest cookie.
    last_cookie: AtomicUsize,
    /// Submission stopped for lack of room: the next completion wakes the worker.
    hungry: AtomicBool,
    /// The worker looks in from time to time.
    watched: AtomicBool,
    /// The watch has aborted the channel: what is aborted now timed out.
    timed_out: AtomicBool,
    /// What the worker saw last.
    watch: Mutex<Watch>,
    /// Counters, for `STATISTICS`.
    pub counters: Counters,
}

/// Operations whose pieces are to be submitted.
struct Waiting {
    operations: Queue<Array<Option<Arc<Operation>>>>,
    /// Index of the first operation's next piece.
    next_piece: usize,
    /// Why nothing may be submitted.
    closed: Option<Status>,
}

/// A piece in flight.
struct Piece {
    operation: Arc<Operation>,
    bytes: u64,
}

/// What the worker saw last, and when.
struct Watch {
    completions: u64,
    since: Option<Instant>,
}

/// What a channel counts.
#[derive(Default)]
pub struct Counters {
    /// Pieces submitted.
    pub submitted: AtomicU64,
    /// Pieces completed with success.
    pub succeeded: AtomicU64,
    /// Pieces that failed after they were submitted.
    pub failed: AtomicU64,
    /// Bytes of those that succeeded.
    pub bytes: AtomicU64,
    /// Completion callbacks.
    pub callbacks: AtomicU64,
    /// Polls.
    pub polls: AtomicU64,
    /// Completions that only the watch's poll found.
    pub late: AtomicU64,
    /// Times the watch aborted the channel.
    pub timeouts: AtomicU64,
}

/// Adds to a counter.
fn count(counter: &AtomicU64, amount: u64) {
    counter.fetch_add(amount, Ordering::Relaxed);
}

impl OpenedChannel {
    /// A channel that has yet to be allocated.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES.
    pub fn new(number: u32, wish: &OpenChannel, irql: &Passive) -> Result<Arc<Self>> {
        let channel = Arc::new(
            TAG,
            Channel {
                number,
                handle: AtomicUsize::new(0),
                polled: wish.flags & POLLED != 0,
                waiting: Mutex::new(Waiting {
                    operations: Queue::new(Array::new(TAG, MAX_WAITING, |_| None)?),
                    next_piece: 0,
                    closed: None,
                }),
                in_flight: SpinLock::new(Rendezvous::new(Array::new(TAG, MAX_IN_FLIGHT, |_| Slot::Free)?)),
                pieces_in_flight: AtomicUsize::new(0),
                last_cookie: AtomicUsize::new(0),
                hungry: AtomicBool::new(false),
                watched: AtomicBool::new(false),
                timed_out: AtomicBool::new(false),
                watch: Mutex::new(Watch { completions: 0, since: None }),
                counters: Counters::default(),
            },
        )?;
        let worker = Worker::new(TAG, channel.clone(), Channel::work, irql)?;
        Arc::new(TAG, Self { worker, channel })
    }

    /// What the worker and the callbacks share.
    pub fn channel(&self) -> &Channel {
        &self.channel
    }

    /// Takes an operation in and submits what there is room for.
    pub fn start(&self, operation: Arc<Operation>, irql: &mut Passive) {
        let mut waiting = self.channel.waiting.lock(irql);
        if let Err(operation) = waiting.operations.push(operation) {
            operation.fail(Status::INSUFFICIENT_RESOURCES);
            return;
        }
        self.channel.submit(&mut waiting, irql);
        drop(waiting);
        if !self.channel.watched.swap(true, Ordering::AcqRel) {
            self.worker.ask(irql);
        }
    }

    /// Lets nothing be submitted any more, for this reason: what waits fails with it. On return no submission is under way.
    pub fn close(&self, reason: Status, irql: &mut Passive) {
        let mut waiting = self.channel.waiting.lock(irql);
        waiting.closed = Some(reason);
        self.channel.submit(&mut waiting, irql);
    }

    /// Lets operations be submitted again, unless the reason why not was another one.
    pub fn reopen(&self, reason: Status, irql: &mut Passive) {
        let mut waiting = self.channel.waiting.lock(irql);
        if waiting.closed == Some(reason) {
            waiting.closed = None;
        }
    }

    /// A copy ended.
    pub fn completed(&self, cookie: usize, status: Status, irql: &Dispatch) {
        let channel = &self.channel;
        count(&channel.counters.callbacks, 1);
        let piece = channel.in_flight.lock_at_dispatch(irql).completed(cookie, status.code());
        channel.pieces_in_flight.fetch_sub(1, Ordering::AcqRel);
        if let Some(piece) = piece {
            channel.finish(piece, status);
        }
        if channel.hungry.swap(false, Ordering::AcqRel) {
            self.worker.ask(irql);
        }
    }
}

/// How submitting one piece went.
enum Submitted {
    /// It is in flight, or already done.
    Yes,
    /// There is no room now.
    NoRoom,
    /// It was refused.
    Refused(Status),
}

impl Channel {
    /// Tells the channel its name in netdma.sys.
    pub fn set_handle(&self, handle: ChannelHandle) {
        self.handle.store(handle.0, Ordering::Release);
    }

    /// Its name in netdma.sys.
    pub fn handle(&self) -> ChannelHandle {
        ChannelHandle(self.handle.load(Ordering::Acquire))
    }

    /// Submits what waits, in order, until there is no room.
    fn submit(&self, waiting: &mut Waiting, irql: &mut Passive) {
        let mut posted = false;
        while let Some(operation) = waiting.operations.first() {
            let alone = !self.is_busy();
            let outcome = match waiting.closed {
                Some(reason) => Submitted::Refused(reason),
                None => self.submit_piece(operation, waiting.next_piece, irql),
            };
            let finished = match outcome {
                Submitted::Yes => {
                    posted = true;
                    waiting.next_piece = waiting.next_piece.saturating_add(1);
                    waiting.next_piece >= operation.work().pieces()
                }
                // Say that room is wanted, then look again: a completion in between saw nobody waiting for it.
                Submitted::NoRoom if !alone && !self.hungry.swap(true, Ordering::AcqRel) => continue,
                // The next completion wakes the worker.
                Submitted::NoRoom if self.is_busy() => break,
                // Everything was completed while this was tried: now there is room.
                Submitted::NoRoom if !alone => continue,
                // Nothing was in flight that could make room: the piece is larger than the ring.
                Submitted::NoRoom => {
                    operation.fail(Status::INSUFFICIENT_RESOURCES);
                    true
                }
                Submitted::Refused(status) => {
                    operation.fail(status);
                    true
                }
            };
            if finished {
                waiting.next_piece = 0;
                // What of it is in flight keeps the operation; else the request is completed here.
                drop(waiting.operations.pop());
            }
        }
        if posted {
            // What was accepted and waits for company has no more to come.
            let _flushed = self.handle().control(netdma::Operation::Flush, irql);
        }
        if waiting.operations.is_empty() {
            self.hungry.store(false, Ordering::Release);
        }
    }

    /// Submits one piece.
    fn submit_piece(&self, operation: &Arc<Operation>, index: usize, irql: &mut Passive) -> Submitted {
        if self.pieces_in_flight.fetch_add(1, Ordering::AcqRel) >= MAX_IN_FLIGHT {
            self.pieces_in_flight.fetch_sub(1, Ordering::AcqRel);
            return Submitted::NoRoom;
        }
        match self.post(operation, index, irql) {
            Ok((cookie, bytes)) => {
                count(&self.counters.submitted, 1);
                self.last_cookie.fetch_max(cookie, Ordering::Relaxed);
                let piece = Piece { operation: operation.clone(), bytes };
                let met = self.in_flight.lock(irql).submitted(cookie, piece);
                if let Some((piece, status)) = met {
                    self.finish(piece, Status::from_code(status));
                }
                Submitted::Yes
            }
            Err(status) => {
                self.pieces_in_flight.fetch_sub(1, Ordering::AcqRel);
                match status {
                    Status::INSUFFICIENT_RESOURCES => Submitted::NoRoom,
                    status => Submitted::Refused(status),
                }
            }
        }
    }

    /// Hands one piece to netdma.sys; its cookie and length.
    #[allow(unsafe_code, reason = "a copy's pages must stay locked, which the operation sees to")]
    fn post(&self, operation: &Operation, index: usize, irql: &Passive) -> Result<(usize, u64)> {
        match operation.work() {
            Work::Null => self.handle().null_transfer(irql).map(|cookie| (cookie, 0)),
            Work::Copy(pieces) => {
                let piece = pieces.get(index).ok_or(Status::INVALID_PARAMETER)?;
                let pages = operation.request().ok_or(Status::CANCELLED)?.output_pages()?;
                let (source, destination, length) = (piece.source, piece.destination, piece.length);
                // SAFETY: the request's pages are locked until it is completed, which the operation does when its last
                // owner is gone; the piece in flight is an owner until its completion has been reported.
                let cookie = unsafe { self.handle().copy(pages, source, destination, length, irql) }?;
                Ok((cookie, length.into()))
            }
        }
    }

    /// A piece is done: it lets go of its operation.
    fn finish(&self, piece: Piece, status: Status) {
        if status.is_success() {
            count(&self.counters.succeeded, 1);
            count(&self.counters.bytes, piece.bytes);
            return;
        }
        let status = match status {
            Status::REQUEST_ABORTED if self.timed_out.load(Ordering::Acquire) => Status::IO_TIMEOUT,
            status => status,
        };
        count(&self.counters.failed, 1);
        piece.operation.fail(status);
        trace(Event::CopyFailed { channel: self.number.into(), bytes: piece.bytes, status: status.into() });
    }

    /// The worker's routine: submits what found no room, polls, watches. Gives the time until it wants to look again.
    fn work(channel: &Arc<Self>, irql: &mut Passive) -> Option<Duration> {
        let mut waiting = channel.waiting.lock(irql);
        channel.submit(&mut waiting, irql);
        drop(waiting);
        if channel.polled {
            channel.poll(irql);
        }
        channel.watch(irql);
        if channel.is_busy() || !channel.leave_watch() {
            return Some(if channel.polled { POLL_REST } else { WATCH_REST });
        }
        None
    }

    fn is_busy(&self) -> bool {
        self.pieces_in_flight.load(Ordering::Acquire) > 0
    }

    /// Stops watching; false if work came in meanwhile, whose thread may have seen the channel watched.
    fn leave_watch(&self) -> bool {
        self.watched.store(false, Ordering::SeqCst);
        !self.is_busy() || self.watched.swap(true, Ordering::SeqCst)
    }

    /// Polls for a while, or until the newest copy is done.
    fn poll(&self, irql: &Passive) {
        for _ in 0..POLLS_AT_ONCE {
            if !self.is_busy() || self.look(irql) {
                break;
            }
            core::hint::spin_loop();
        }
    }

    /// One poll; whether the newest copy is done.
    fn look(&self, irql: &Passive) -> bool {
        count(&self.counters.polls, 1);
        self.handle().is_complete(self.last_cookie.load(Ordering::Relaxed), irql)
    }

    /// Sees whether anything moved, and if not for too long, polls, then aborts, then resets.
    fn watch(&self, irql: &mut Passive) {
        let mut watch = self.watch.lock(irql);
        let completions = self.counters.callbacks.load(Ordering::Relaxed);
        if !self.is_busy() || completions != watch.completions {
            *watch = Watch { completions, since: None };
            self.timed_out.store(false, Ordering::Release);
        }
        if !self.is_busy() {
            return;
        }
        let since = *watch.since.get_or_insert_with(Instant::now);
        if since.elapsed() < NO_PROGRESS {
            return;
        }
        watch.since = None;
        self.look(irql);
        let found = self.counters.callbacks.load(Ordering::Relaxed).wrapping_sub(completions);
        if found > 0 {
            count(&self.counters.late, found);
            trace(Event::InterruptLost { channel: self.number.into(), found });
            return;
        }
        let before = self.timed_out.swap(true, Ordering::AcqRel);
        count(&self.counters.timeouts, 1);
        let outstanding = self.pieces_in_flight.load(Ordering::Acquire) as u64;
        trace(Event::NoProgress { channel: self.number.into(), outstanding });
        // The second time round the abort has not helped.
        let remedy = if before { netdma::Operation::Reset } else { netdma::Operation::Abort };
        if self.handle().control(remedy, irql).is_err() {
            let _helpless = self.handle().control(netdma::Operation::Reset, irql);
        }
    }
}
