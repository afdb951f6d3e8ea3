//! Waiting for dispatcher objects.
//!
//! An object's type (byte 0) and signal state (32 bits at offset 4) are in its `DISPATCHER_HEADER` in memory, as on
//! Windows; who waits is kept here.

use std::sync::atomic::Ordering;

use super::irql::{APC, DISPATCH};
use super::thread::{Run, Thread, ThreadId, Yield};
use super::timer::TIMER_SYNCHRONIZATION;
use crate::kernel::Kernel;
use crate::stop::{Fault, MACHINE_HUNG, bugcheck};

/// `KOBJECTS`: the dispatcher objects that a wait changes or that need to be told apart.
pub(crate) const NOTIFICATION_EVENT: u8 = 0;
pub(crate) const SYNCHRONIZATION_EVENT: u8 = 1;
pub(crate) const MUTANT: u8 = 2;
pub(crate) const SEMAPHORE: u8 = 5;
pub(crate) const THREAD: u8 = 6;

const STATE: u64 = 4;
/// `STATUS_TIMEOUT`.
pub(crate) const STATUS_TIMEOUT: i32 = 0x102;

/// The threads that wait, in the order in which they began.
#[derive(Debug, Default)]
pub(crate) struct Waits(Vec<Wait>);

/// One thread's wait.
#[derive(Debug, Clone)]
struct Wait {
    thread: ThreadId,
    objects: Vec<u64>,
    all: bool,
    /// Set when it is over.
    result: Option<i32>,
}

impl Kernel {
    /// The signal state of a dispatcher object.
    pub(crate) fn signal_state(&self, object: u64) -> i32 {
        self.read(object + STATE)
    }

    /// Sets the signal state and lets go whoever waited for it. Returns the old state.
    pub(crate) fn set_signal(&self, object: u64, state: i32) -> i32 {
        let old = self.signal_state(object);
        self.write(object + STATE, state);
        if state > 0 {
            self.release_waiters(object);
        }
        old
    }

    /// Waits for one (`all` false) or all of `objects`; `timeout` in 100 ns as Windows gives it, `None` for ever.
    ///
    /// Returns STATUS_WAIT_0 plus the index, or STATUS_TIMEOUT.
    pub fn wait_for(&self, objects: &[u64], all: bool, timeout: Option<i64>) -> i32 {
        self.switch_point();
        let thread = self.current_thread();
        if let Some(index) = self.try_acquire(objects, all, &thread) {
            return index;
        }
        if timeout == Some(0) {
            return STATUS_TIMEOUT;
        }
        self.check_may_wait();
        let id = thread.id;
        self.cpus
            .waits
            .with(|waits| waits.0.push(Wait { thread: id, objects: objects.to_vec(), all, result: None }));
        if let Some(timeout) = timeout {
            self.wake_at(self.time_of(timeout), id);
        }
        self.block(&thread);
        self.forget_wake(id);
        self.cpus.waits.with(|waits| {
            let position =
                waits.0.iter().position(|wait| wait.thread == id).expect("the wait that was entered");
            waits.0.remove(position).result.expect("a thread wakes when its wait is over")
        })
    }

    /// Waits until the thread has ended.
    pub fn join(&self, id: ThreadId) {
        let thread = self.thread(id);
        if thread.has_ended() {
            return;
        }
        self.reference_object(thread.object);
        self.wait_for(&[thread.object], false, None);
        self.dereference_object(thread.object);
    }

    fn check_may_wait(&self) {
        let irql = self.irql();
        if irql >= DISPATCH {
            self.stop(
                Fault::new("IrqlKeDispatchLte", bugcheck::IRQL_NOT_LESS_OR_EQUAL)
                    .text(format!("a thread would have to wait at IRQL {irql}"))
                    .parameter(0, "")
                    .parameter(u64::from(irql), "IRQL at the time of the wait")
                    .parameter(0, "")
                    .parameter(0, ""),
            );
        }
        if self.is_idle_thread(ThreadId(self.current_thread_id())) {
            self.stop(Fault::new("Host", MACHINE_HUNG).text("the idle thread would have to wait"));
        }
    }

    pub(crate) fn block(&self, thread: &Thread) {
        thread.irql.store(self.irql().min(APC), Ordering::Relaxed);
        thread.run.with(|run| *run = Run::Waiting);
        thread.suspend(Yield::Blocked);
        self.deliver();
    }

    /// Takes what the objects give, when they give it now.
    fn try_acquire(&self, objects: &[u64], all: bool, thread: &Thread) -> Option<i32> {
        let free = |object: &u64| self.is_free_for(*object, thread);
        if all {
            objects.iter().all(free).then(|| {
                objects.iter().for_each(|&object| self.consume(object, thread));
                0
            })
        } else {
            let index = objects.iter().position(free)?;
            self.consume(objects[index], thread);
            Some(index as i32)
        }
    }

    fn is_free_for(&self, object: u64, thread: &Thread) -> bool {
        self.signal_state(object) > 0
            || (self.read::<u8>(object) & 0x7F == MUTANT && self.mutant_owner(object) == thread.object)
    }

    /// The owner of a `KMUTANT` (OwnerThread at 0x28).
    fn mutant_owner(&self, object: u64) -> u64 {
        self.read(object + 0x28)
    }

    /// What a satisfied wait does to the object.
    fn consume(&self, object: u64, thread: &Thread) {
        let state = self.signal_state(object);
        match self.read::<u8>(object) & 0x7F {
            SYNCHRONIZATION_EVENT | TIMER_SYNCHRONIZATION => self.write(object + STATE, 0i32),
            SEMAPHORE => self.write(object + STATE, state - 1),
            MUTANT => {
                self.write(object + STATE, state - 1);
                self.write(object + 0x28, thread.object);
            }
            _ => {}
        }
    }

    fn release_waiters(&self, object: u64) {
        let candidates: Vec<Wait> = self.cpus.waits.with(|waits| {
            waits
                .0
                .iter()
                .filter(|wait| wait.result.is_none() && wait.objects.contains(&object))
                .cloned()
                .collect()
        });
        for wait in candidates {
            let thread = self.thread(wait.thread);
            if let Some(result) = self.try_acquire(&wait.objects, wait.all, &thread) {
                self.end_wait(wait.thread, result);
            }
        }
    }

    /// A wait's time is over.
    pub(super) fn time_out(&self, thread: ThreadId) {
        self.end_wait(thread, STATUS_TIMEOUT);
    }

    fn end_wait(&self, thread: ThreadId, result: i32) {
        let ended = self.cpus.waits.with(|waits| {
            let wait = waits.0.iter_mut().find(|wait| wait.thread == thread && wait.result.is_none());
            wait.map(|wait| wait.result = Some(result)).is_some()
        });
        if ended {
            self.make_ready(thread);
        }
    }

    /// What a waiting thread waits for.
    pub(crate) fn waited_objects(&self, thread: ThreadId) -> Vec<u64> {
        let find = |waits: &mut Waits| {
            waits.0.iter().find(|wait| wait.thread == thread).map(|wait| wait.objects.clone())
        };
        self.cpus.waits.try_with(find).flatten().unwrap_or_default()
    }

    /// An object that somebody waits for in a range of addresses.
    pub(crate) fn waited_in(&self, start: u64, end: u64) -> Option<u64> {
        self.cpus.waits.with(|waits| {
            let pending = waits.0.iter().filter(|wait| wait.result.is_none());
            pending.flat_map(|wait| &wait.objects).copied().find(|object| (start..end).contains(object))
        })
    }
}
