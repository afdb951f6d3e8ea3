//! The scheduler: picks the processor that runs next and the thread it runs, as the seed decides.

use std::sync::atomic::Ordering;

use super::strategy::Pick;
use super::thread::{Run, ThreadId, Yield};
use super::{Cpu, set_here};
use crate::guarded;
use crate::kernel::Kernel;
use crate::stop::{Fault, MACHINE_HUNG, Stop};

/// How [`Kernel::drive`] ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The goal was reached.
    Reached,
    /// Nothing can run, now or later.
    Idle,
}

impl Kernel {
    /// Runs the machine until `goal` holds, nothing can happen any more, or it stops.
    ///
    /// Virtual time jumps over idle stretches, but not past `until`.
    pub(crate) fn drive(&self, until: u64, goal: &dyn Fn(&Self) -> bool) -> Result<Outcome, Box<Stop>> {
        self.cpus.steps.store(0, Ordering::Relaxed);
        if self.options.free_running {
            return self.drive_parallel(until, goal);
        }
        let deadline = self.now().saturating_add(self.options.time_limit);
        loop {
            if let Some(stop) = self.stopped.with(|stopped| stopped.clone()) {
                return Err(stop);
            }
            if goal(self) {
                return Ok(Outcome::Reached);
            }
            if self.now() > deadline || self.cpus.steps.load(Ordering::Relaxed) > self.options.step_limit {
                return Err(self.hung("the operation did not end within its limit of virtual time or steps"));
            }
            let busy: Vec<u32> = (0..self.cpu_count()).filter(|&cpu| self.has_work(cpu)).collect();
            let cpu = if busy.is_empty() {
                match self.next_event() {
                    Some(time) if time <= until => self.set_now(self.now().max(time)),
                    _ => return Ok(Outcome::Idle),
                }
                self.choose(u64::from(self.cpu_count())) as u32
            } else {
                busy[self.cpus.decider.with(|decider| decider.pick(Pick::Cpu, &busy))]
            };
            self.resume(cpu);
        }
    }

    /// Runs one processor until its fiber yields.
    pub(super) fn resume(&self, number: u32) {
        set_here(number);
        let cpu = self.cpu();
        if self.is_idle(cpu) && cpu.irql.load(Ordering::Relaxed) < super::irql::DISPATCH {
            self.dispatch(number, cpu);
        }
        let thread = self.current_thread();
        cpu.segment.activate(thread.object);
        let why = thread.resume();
        guarded::forget_open();
        match why {
            Some(Yield::GiveWay | Yield::Idle | Yield::Stopped) => {}
            Some(Yield::Preempted) => {
                self.leave(cpu);
                self.make_ready(thread.id);
            }
            Some(Yield::Finished) => {
                self.note_news();
                self.leave(cpu);
                thread.abandon();
            }
            Some(Yield::Blocked) | None => {
                self.note_news();
                self.leave(cpu);
            }
        }
    }

    /// Gives an idle processor one of the ready threads that may run on it.
    fn dispatch(&self, number: u32, cpu: &Cpu) {
        let able = self.ready_for(number);
        if able.is_empty() {
            return;
        }
        let numbers: Vec<u32> = able.iter().map(|id| id.0).collect();
        let id = able[self.cpus.decider.with(|decider| decider.pick(Pick::Thread, &numbers))];
        self.cpus.ready.with(|ready| ready.retain(|&other| other != id));
        let thread = self.thread(id);
        thread.run.with(|run| *run = Run::Running(number));
        cpu.thread.store(id.0, Ordering::Relaxed);
        cpu.irql.store(thread.irql.load(Ordering::Relaxed), Ordering::Relaxed);
        self.record("thread runs", u64::from(id.0));
    }

    /// The processor's thread has left it.
    fn leave(&self, cpu: &Cpu) {
        cpu.thread.store(cpu.idle.load(Ordering::Relaxed), Ordering::Relaxed);
        cpu.irql.store(0, Ordering::Relaxed);
    }

    /// Lets a thread run when a processor has time for it.
    pub(crate) fn make_ready(&self, id: ThreadId) {
        self.thread(id).run.with(|run| *run = Run::Ready);
        self.cpus.ready.with(|ready| ready.push(id));
        self.note_news();
    }

    fn ready_for(&self, cpu: u32) -> Vec<ThreadId> {
        let ready = self.cpus.ready.with(|ready| ready.clone());
        if ready.is_empty() {
            return ready;
        }
        let mut able: Vec<_> = ready
            .into_iter()
            .filter(|&id| self.thread(id).affinity.with(|mask| *mask >> cpu & 1 == 1))
            .collect();
        able.sort_unstable();
        able
    }

    pub(super) fn has_work(&self, number: u32) -> bool {
        let cpu = &self.cpus.list[number as usize];
        !self.is_idle(cpu)
            || cpu.irql.load(Ordering::Relaxed) > 0
            || !cpu.dpcs.with(|dpcs| dpcs.is_empty())
            || !cpu.pending.with(|pending| pending.is_empty())
            || !self.ready_for(number).is_empty()
    }

    fn is_idle(&self, cpu: &Cpu) -> bool {
        cpu.thread.load(Ordering::Relaxed) == cpu.idle.load(Ordering::Relaxed)
    }

    pub(crate) fn is_idle_thread(&self, id: ThreadId) -> bool {
        self.cpus.list.iter().any(|cpu| cpu.idle.load(Ordering::Relaxed) == id.0)
    }

    /// The machine stops because nothing goes on.
    pub(crate) fn hung(&self, why: &str) -> Box<Stop> {
        let stop = self.describe(Fault::new("Watchdog", MACHINE_HUNG).text(why), None);
        self.stopped.with(|stopped| *stopped = Some(stop.clone()));
        stop
    }
}
