//! Timers and everything else that happens at a moment of virtual time.
//!
//! A `KTIMER` lives in the driver's memory: dispatcher header, DueTime at 0x18, TimerListEntry at 0x20, Dpc at 0x30,
//! Period in milliseconds at 0x3C; 0x40 bytes on x64 (wdm.h).

use std::collections::BTreeMap;

use super::thread::ThreadId;
use crate::kernel::Kernel;

/// Nanoseconds in the 100 ns unit of Windows times.
pub(crate) const TICK: u64 = 100;
/// System time at power-on: 2026-01-01 in 100 ns units since 1601. Fixed, so that runs are alike.
pub(crate) const POWER_ON: u64 = 134_116_992_000_000_000;

pub(crate) const TIMER_NOTIFICATION: u8 = 8;
pub(crate) const TIMER_SYNCHRONIZATION: u8 = 9;
const DUE: u64 = 0x18;
const DPC: u64 = 0x30;
const PERIOD: u64 = 0x3C;
/// Bytes of a `KTIMER`.
pub(crate) const SIZE: u64 = 0x40;

/// What happens at a deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    /// A `KTIMER` expires.
    Timer(u64),
    /// A wait times out.
    Wait(ThreadId),
}

/// Deadlines in the order in which they come.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    deadlines: BTreeMap<(u64, u64), Due>,
    number: u64,
}

impl Timers {
    fn insert(&mut self, time: u64, due: Due) {
        self.number += 1;
        self.deadlines.insert((time, self.number), due);
    }

    fn remove(&mut self, due: Due) -> bool {
        let before = self.deadlines.len();
        self.deadlines.retain(|_, other| *other != due);
        self.deadlines.len() != before
    }
}

impl Kernel {
    pub(crate) fn initialize_timer(&self, timer: u64, kind: u8) {
        self.write_bytes(timer, &[0; SIZE as usize]);
        self.write(timer, kind);
    }

    /// Sets a timer; true when it was set already. `due` is in 100 ns: negative relative, positive absolute.
    pub(crate) fn set_timer(&self, timer: u64, due: i64, period: u32, dpc: u64) -> bool {
        let was_set = self.cancel_timer(timer);
        let time = self.time_of(due);
        self.write(timer + 4, 0i32);
        self.write(timer + DUE, time / TICK);
        self.write(timer + DPC, dpc);
        self.write(timer + PERIOD, period);
        self.cpus.timers.with(|timers| timers.insert(time, Due::Timer(timer)));
        was_set
    }

    /// Takes a timer out of the queue; true when it was set.
    pub(crate) fn cancel_timer(&self, timer: u64) -> bool {
        self.cpus.timers.with(|timers| timers.remove(Due::Timer(timer)))
    }

    pub(crate) fn is_timer_set(&self, timer: u64) -> bool {
        self.cpus.timers.with(|timers| timers.deadlines.values().any(|due| *due == Due::Timer(timer)))
    }

    /// A Windows time (100 ns, negative: from now on) as virtual nanoseconds.
    pub(crate) fn time_of(&self, due: i64) -> u64 {
        if due <= 0 {
            self.now().saturating_add(due.unsigned_abs().saturating_mul(TICK))
        } else {
            due.unsigned_abs().saturating_sub(POWER_ON).saturating_mul(TICK)
        }
    }

    pub(crate) fn wake_at(&self, time: u64, thread: ThreadId) {
        self.cpus.timers.with(|timers| timers.insert(time, Due::Wait(thread)));
    }

    pub(crate) fn forget_wake(&self, thread: ThreadId) {
        self.cpus.timers.with(|timers| timers.remove(Due::Wait(thread)));
    }

    pub(crate) fn next_deadline(&self) -> Option<u64> {
        self.cpus.timers.with(|timers| timers.deadlines.keys().next().map(|&(time, _)| time))
    }

    /// Does everything that is due.
    pub(crate) fn expire_timers(&self) {
        let now = self.now();
        let next = || {
            self.cpus.timers.with(|timers| {
                let entry = timers.deadlines.first_entry()?;
                (entry.key().0 <= now).then(|| (entry.key().0, entry.remove()))
            })
        };
        while let Some((time, due)) = next() {
            match due {
                Due::Timer(timer) => self.expire_timer(timer, time),
                Due::Wait(thread) => self.time_out(thread),
            }
        }
    }

    fn expire_timer(&self, timer: u64, time: u64) {
        self.record("timer expires", 0);
        let [period, dpc] = [u64::from(self.read::<u32>(timer + PERIOD)), self.read(timer + DPC)];
        if period != 0 {
            self.cpus.timers.with(|timers| timers.insert(time + period * 1_000_000, Due::Timer(timer)));
        }
        self.set_signal(timer, 1);
        if dpc != 0 {
            let now = self.system_time();
            self.queue_dpc(dpc, now & 0xFFFF_FFFF, now >> 32);
        }
    }

    /// System time in 100 ns units since 1601.
    pub(crate) fn system_time(&self) -> u64 {
        POWER_ON + self.now() / TICK
    }

    /// The DPCs of all timers that are set.
    pub(crate) fn timer_dpcs(&self) -> Vec<u64> {
        let timers: Vec<u64> = self.cpus.timers.with(|timers| {
            let set = timers.deadlines.values();
            set.filter_map(|due| if let Due::Timer(timer) = due { Some(*timer) } else { None }).collect()
        });
        timers.into_iter().map(|timer| self.read(timer + DPC)).filter(|&dpc| dpc != 0).collect()
    }

    /// A timer that is set and whose object lies in a range of addresses.
    pub(crate) fn timers_in(&self, start: u64, end: u64) -> Option<u64> {
        self.cpus.timers.with(|timers| {
            timers.deadlines.values().find_map(|due| match due {
                Due::Timer(timer) if (start..end).contains(timer) => Some(*timer),
                _ => None,
            })
        })
    }
}
