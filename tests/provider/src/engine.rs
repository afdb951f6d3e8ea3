//! What all channels share: how the engine is to behave, and what was called.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use netdma_abi::NtStatus;
use netdmasoft_control::{CHANNELS, Entry, HISTORY, Setup};
use nt::Result;
use nt::irql::{AtMostDispatch, Passive};
use nt::pool::{Arc, Array};
use nt::spin_lock::SpinLock;

use crate::TAG;
use crate::lane::Lane;

/// The provider context: everything that an entry point needs. Alive from before the registration until after its end.
pub struct Engine {
    /// Its channels.
    pub lanes: Array<Lane>,
    /// How it behaves.
    pub behaviour: Arc<Behaviour>,
}

/// How the engine is to behave. The numbers are those of [`Setup`].
pub struct Behaviour {
    version: AtomicU32,
    flags: AtomicU32,
    absent: AtomicU32,
    mode: AtomicU32,
    /// Of each entry point: calls that are to fail in the high, the status in the low half.
    failures: [AtomicU64; Entry::ALL.len()],
    history: SpinLock<History>,
}

/// Entry points called, the oldest forgotten.
struct History {
    calls: [u8; HISTORY],
    count: usize,
}

impl Engine {
    /// An engine with nobody on it.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES.
    pub fn new(setup: Setup, irql: &Passive) -> Result<Arc<Self>> {
        let behaviour = Behaviour {
            version: AtomicU32::new(0),
            flags: AtomicU32::new(0),
            absent: AtomicU32::new(0),
            mode: AtomicU32::new(0),
            failures: [const { AtomicU64::new(0) }; Entry::ALL.len()],
            history: SpinLock::new(History { calls: [0; HISTORY], count: 0 }),
        };
        behaviour.set(setup);
        let behaviour = Arc::new(TAG, behaviour)?;
        let lanes = Array::try_new(TAG, CHANNELS as usize, |number| {
            Lane::new(number as u32, behaviour.clone(), irql)
        })?;
        Arc::new(TAG, Self { lanes, behaviour })
    }
}

impl Behaviour {
    /// How it behaves now.
    pub fn setup(&self) -> Setup {
        let read = |number: &AtomicU32| number.load(Ordering::Relaxed);
        Setup {
            version: read(&self.version),
            flags: read(&self.flags),
            absent: read(&self.absent),
            mode: read(&self.mode),
        }
    }

    /// Behaves otherwise from now on, and lets nothing fail.
    pub fn set(&self, setup: Setup) {
        self.version.store(setup.version, Ordering::Relaxed);
        self.flags.store(setup.flags, Ordering::Relaxed);
        self.absent.store(setup.absent, Ordering::Relaxed);
        self.mode.store(setup.mode, Ordering::Relaxed);
        self.failures.iter().for_each(|failure| failure.store(0, Ordering::Relaxed));
    }

    /// Lets the next `count` calls of an entry point fail.
    pub fn fail(&self, entry: Entry, count: u32, status: NtStatus) {
        if let Some(failure) = self.failures.get(entry as usize) {
            failure.store(u64::from(count) << 32 | u64::from(status.cast_unsigned()), Ordering::Relaxed);
        }
    }

    /// Remembers that an entry point was called; the failure it is to answer with, if it is to fail.
    pub fn called(&self, entry: Entry, irql: &mut impl AtMostDispatch) -> Option<NtStatus> {
        let mut history = self.history.lock(irql);
        let place = history.count & HISTORY.wrapping_sub(1);
        if let Some(call) = history.calls.get_mut(place) {
            *call = entry as u8;
        }
        history.count = history.count.wrapping_add(1);
        drop(history);
        let failure = self.failures.get(entry as usize)?;
        let fewer = |word: u64| word.checked_sub(1 << 32);
        let before = failure.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fewer).ok()?;
        Some((before as u32).cast_signed())
    }

    /// Hands the calls since the last question to `give`, oldest first.
    pub fn take_history(&self, irql: &mut Passive, mut give: impl FnMut(u8)) {
        let mut history = self.history.lock(irql);
        let first = history.count.saturating_sub(HISTORY);
        for number in first..history.count {
            if let Some(call) = history.calls.get(number & HISTORY.wrapping_sub(1)) {
                give(*call);
            }
        }
        history.count = 0;
    }
}
