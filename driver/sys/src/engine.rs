//! What the entry points and interrupts of one device share.

use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU8, Ordering};

use ioat_core::bring_up::halt_for_dump;
use ioat_core::{Identity, InterruptKind};
use netdma_events::Hex;
use nt::irql::Passive;
use nt::pool::{Arc, Array};
use nt::{Result, Status};

use crate::TAG;
use crate::lane::Lane;
use crate::window::Window;

/// One engine: the provider context that netdma.sys hands to the entry points.
#[derive(Debug)]
pub struct Engine {
    /// What was decided when the device was added.
    pub identity: Identity,
    /// Where the function is, for events: bus << 8 | device << 3 | function.
    pub location: Hex,
    /// One for each channel the function can have at most.
    pub lanes: Array<Lane>,
    /// How many of them are there (CHANCNT); none before the device has started.
    present: AtomicU8,
    /// [`InterruptKind`], as its position in [`KINDS`].
    kind: AtomicU8,
    /// The registers, for those who can take no lock that others hold at DISPATCH_LEVEL: the interrupt service routine
    /// and the bug check callback. Null while the device is not in D0.
    window: AtomicPtr<Window>,
}

const KINDS: [InterruptKind; 3] = [InterruptKind::None, InterruptKind::Shared, InterruptKind::PerChannel];

impl Engine {
    /// An engine that has not started.
    ///
    /// # Errors
    /// Memory or a thread could not be had.
    pub fn new(identity: Identity, location: Hex, irql: &Passive) -> Result<Self> {
        let lanes = Array::try_new(TAG, identity.max_channels.into(), |number| {
            let number = u8::try_from(number).map_err(|_| Status::INVALID_PARAMETER)?;
            Lane::new(number, location, irql)
        })?;
        Ok(Self {
            identity,
            location,
            lanes,
            present: AtomicU8::new(0),
            kind: AtomicU8::new(0),
            window: AtomicPtr::new(ptr::null_mut()),
        })
    }

    /// The channels that are there.
    pub fn present(&self) -> &[Lane] {
        let count = usize::from(self.present.load(Ordering::Acquire)).min(self.lanes.len());
        self.lanes.get(..count).unwrap_or_default()
    }

    /// How the function interrupts.
    pub fn kind(&self) -> InterruptKind {
        KINDS.get(usize::from(self.kind.load(Ordering::Acquire))).copied().unwrap_or(InterruptKind::None)
    }

    /// The device has started: its registers, how it interrupts, and how many channels it has.
    pub fn open(
        &self,
        window: &Arc<Window>,
        facts: ioat_core::Engine,
        kind: InterruptKind,
        watchdog_ms: u16,
        irql: &mut Passive,
    ) {
        for lane in self.lanes.iter().take(facts.channels.into()) {
            lane.open(window.clone(), facts, kind == InterruptKind::None, watchdog_ms, irql);
        }
        self.kind.store(KINDS.iter().position(|known| *known == kind).unwrap_or(0) as u8, Ordering::Release);
        self.present.store(facts.channels, Ordering::Release);
    }

    /// The device is in D0: its registers may be touched by those who hold no lock. The caller keeps the window until after
    /// [`unpublish`](Self::unpublish).
    pub fn publish(&self, window: &Arc<Window>, _irql: &Passive) {
        self.window.store(ptr::from_ref::<Window>(window).cast_mut(), Ordering::Release);
    }

    /// The device leaves D0, or has left altogether. No interrupt is connected any more.
    pub fn unpublish(&self, _irql: &Passive) {
        self.window.store(ptr::null_mut(), Ordering::Release);
    }

    /// The device has lost its registers. No interrupt is connected any more, and no channel is allocated.
    pub fn close(&self, irql: &mut Passive) {
        self.unpublish(irql);
        self.present.store(0, Ordering::Release);
        for lane in self.lanes.iter() {
            lane.close(irql);
        }
    }

    /// The registers, for the interrupt service routine.
    #[allow(unsafe_code, reason = "the pointer crosses from PnP callbacks to the interrupt service routine")]
    pub fn window(&self, _irql: &nt::irql::Device) -> Option<&Window> {
        let window = self.window.load(Ordering::Acquire);
        // SAFETY: null, or the window that `publish` was lent by its owner, who keeps it until after `unpublish`. The
        // framework connects interrupts after EvtDeviceD0Entry and disconnects them before EvtDeviceD0Exit, where these
        // two are called, so no service routine sees it go.
        unsafe { window.as_ref() }
    }

    /// The system has stopped and will write a dump: stops every channel by one register write each (H39). Takes no lock,
    /// since whoever holds one will not release it.
    #[allow(unsafe_code, reason = "the pointer crosses from PnP callbacks to the bug check callback")]
    pub fn halt_for_dump(&self, _irql: &nt::irql::BugCheck) {
        let window = self.window.load(Ordering::Acquire);
        // SAFETY: null, or the window of `publish`, whose owner keeps it until after `unpublish` has made it null. Every
        // other processor stands still, so a pointer that is not null cannot become stale meanwhile.
        let Some(window) = (unsafe { window.as_ref() }) else { return };
        for number in 0..self.present.load(Ordering::Acquire) {
            halt_for_dump(window, self.identity.device.platform.version, number);
        }
    }
}
