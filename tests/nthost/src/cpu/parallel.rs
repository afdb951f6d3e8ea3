//! Free-running mode: each processor has a host thread, and driver code runs on all of them at once.
//!
//! The kernel itself has one lock. Whoever runs code of the host holds it; it is given up when driver code is entered and
//! taken again when driver code calls the kernel or faults. So the state behind it is used by one host thread at a time,
//! as in the other modes, while drivers meet each other's loads and stores as on a real machine. What happens when is the
//! host system's business: there is no seed for it, and no replay.
//!
//! A fiber may go on on another host thread. Thread-local values are therefore only reached through functions that are
//! not inlined: an address of the old thread must not survive a switch.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::scheduler::Outcome;
use crate::kernel::Kernel;
use crate::stop::Stop;

/// The kernel's lock, and the processors that have nothing to do.
#[derive(Debug, Default)]
pub(crate) struct Parallel {
    state: Mutex<State>,
    /// The lock was given up.
    free: Condvar,
    /// There may be work for a processor, or the operation is over.
    work: Condvar,
    /// Something was made ready since idle processors last looked.
    news: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    /// The next ticket, and the one whose turn it is: the lock goes round in the order of asking.
    next: u64,
    turn: u64,
    /// Processors that wait for work.
    idle: u32,
    /// How the operation ended.
    outcome: Option<Outcome>,
}

thread_local! {
    static HOLDS: Cell<bool> = const { Cell::new(false) };
}

#[inline(never)]
fn holds() -> bool {
    HOLDS.get()
}

#[inline(never)]
fn set_holds(holds: bool) {
    HOLDS.set(holds);
}

impl Parallel {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) {
        let mut state = self.state();
        let ticket = state.next;
        state.next += 1;
        drop(
            self.free.wait_while(state, |state| state.turn != ticket).unwrap_or_else(PoisonError::into_inner),
        );
        set_holds(true);
    }

    fn unlock(&self) {
        set_holds(false);
        let mut state = self.state();
        state.turn += 1;
        let (waiting, wake) =
            (state.next > state.turn, state.idle > 0 && self.news.swap(false, Ordering::Relaxed));
        drop(state);
        if waiting {
            self.free.notify_all();
        }
        if wake {
            self.work.notify_all();
        }
    }

    /// The operation is over.
    fn finish(&self, outcome: Outcome) {
        self.state().outcome.get_or_insert(outcome);
        self.work.notify_all();
    }
}

/// The kernel lock, given back when dropped if it was taken for it.
pub(crate) struct InKernel<'a>(Option<&'a Parallel>);

impl Drop for InKernel<'_> {
    fn drop(&mut self) {
        if let Some(parallel) = self.0 {
            parallel.unlock();
        }
    }
}

/// A reference that goes to the host threads of the other processors.
struct Shared<'a>(&'a Kernel);

// SAFETY: every use of the kernel's state is by the holder of its lock, one host thread at a time, and what one of them
// did happens before what the next does. What is read without the lock does not change while the machine runs.
unsafe impl Send for Shared<'_> {}

impl Kernel {
    /// Driver code has entered the kernel.
    pub(crate) fn enter_kernel(&self) -> InKernel<'_> {
        if !self.options.free_running || holds() {
            return InKernel(None);
        }
        self.cpus.parallel.lock();
        if self.stopped.with(|stopped| stopped.is_some()) {
            self.halt();
        }
        InKernel(Some(&self.cpus.parallel))
    }

    /// Runs driver code without the kernel's lock.
    pub(crate) fn outside_kernel<R>(&self, driver: impl FnOnce() -> R) -> R {
        // Bug check routines run alone.
        if !self.options.free_running || !holds() || self.is_crashing() {
            return driver();
        }
        self.cpus.parallel.unlock();
        let result = driver();
        self.cpus.parallel.lock();
        if self.stopped.with(|stopped| stopped.is_some()) {
            self.halt();
        }
        result
    }

    /// Some processor has something to do that it did not have before.
    pub(crate) fn note_news(&self) {
        self.cpus.parallel.news.store(true, Ordering::Relaxed);
    }

    /// [`drive`](Self::drive) in this mode. The caller's host thread is processor 0; only it looks at `goal`.
    pub(super) fn drive_parallel(
        &self,
        until: u64,
        goal: &dyn Fn(&Self) -> bool,
    ) -> Result<Outcome, Box<Stop>> {
        let deadline = self.now().saturating_add(self.options.time_limit);
        self.cpus.parallel.state().outcome = None;
        std::thread::scope(|scope| {
            for number in 1..self.cpu_count() {
                let shared = Shared(self);
                scope.spawn(move || {
                    let shared = shared;
                    let k = shared.0;
                    k.enter(|| k.run_processor(number, until, deadline, &|_| false));
                });
            }
            self.run_processor(0, until, deadline, goal);
        });
        if let Some(stop) = self.stopped.with(|stopped| stopped.clone()) {
            return Err(stop);
        }
        match self.cpus.parallel.state().outcome {
            Some(outcome) => Ok(outcome),
            None => Err(self.hung("the operation did not end within its limit of virtual time or steps")),
        }
    }

    /// Runs one processor until the operation is over.
    fn run_processor(&self, number: u32, until: u64, deadline: u64, goal: &dyn Fn(&Self) -> bool) {
        /// A processor that ended by a panic would leave the others waiting for the lock.
        struct AbortWhenPanicking;
        impl Drop for AbortWhenPanicking {
            fn drop(&mut self) {
                if std::thread::panicking() {
                    std::process::abort();
                }
            }
        }
        let _guard = AbortWhenPanicking;
        super::set_here(number);
        let parallel = &self.cpus.parallel;
        parallel.lock();
        loop {
            let late =
                self.now() > deadline || self.cpus.steps.load(Ordering::Relaxed) > self.options.step_limit;
            let stopped = self.stopped.with(|stopped| stopped.is_some());
            if late || stopped || parallel.state().outcome.is_some() {
                break;
            }
            if goal(self) {
                parallel.finish(Outcome::Reached);
                break;
            }
            if self.has_work(number) {
                self.resume(number);
                // Others have their turn between two turns of this one.
                parallel.unlock();
                parallel.lock();
                continue;
            }
            let last = parallel.state().idle + 1 == self.cpu_count();
            let work = (0..self.cpu_count()).any(|cpu| self.has_work(cpu));
            if last && !work {
                match self.next_event() {
                    Some(time) if time <= until => {
                        self.set_now(self.now().max(time));
                        self.resume(number);
                        continue;
                    }
                    _ => {
                        parallel.finish(Outcome::Idle);
                        break;
                    }
                }
            }
            // Gives the lock up and waits in one step: nothing can be missed in between.
            set_holds(false);
            let mut state = parallel.state();
            state.turn += 1;
            state.idle += 1;
            parallel.free.notify_all();
            if work {
                parallel.work.notify_all();
            }
            state = parallel.work.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
            drop(state);
            parallel.lock();
        }
        parallel.news.store(true, Ordering::Relaxed);
        parallel.work.notify_all();
        parallel.unlock();
    }
}
