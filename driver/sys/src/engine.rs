//! What the entry points and interrupts of one device share.

use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU8, Ordering};

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
    /// The registers, for the interrupt service routine alone, which can take no lock that others hold at
    /// DISPATCH_LEVEL. Null while the device has none.
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
        irql: &mut Passive,
    ) {
        for lane in self.lanes.iter().take(facts.channels.into()) {
            lane.open(window.clone(), facts, irql);
        }
        self.kind.store(KINDS.iter().position(|known| *known == kind).unwrap_or(0) as u8, Ordering::Release);
        self.present.store(facts.channels, Ordering::Release);
        self.window.store(ptr::from_ref::<Window>(window).cast_mut(), Ordering::Release);
    }

    /// The device has lost its registers. No interrupt is connected any more, and no channel is allocated.
    pub fn close(&self, irql: &mut Passive) {
        self.window.store(ptr::null_mut(), Ordering::Release);
        self.present.store(0, Ordering::Release);
        for lane in self.lanes.iter() {
            lane.close(irql);
        }
    }

    /// The registers, for the interrupt service routine.
    #[allow(unsafe_code, reason = "the pointer crosses from PnP callbacks to the interrupt service routine")]
    pub fn window(&self, _irql: &nt::irql::Device) -> Option<&Window> {
        let window = self.window.load(Ordering::Acquire);
        // SAFETY: null, or the window that `open` was lent by its owner, who keeps it until after `close`. The
        // framework connects interrupts after EvtDevicePrepareHardware and disconnects them before
        // EvtDeviceReleaseHardware, where these two are called, so no service routine sees it go.
        unsafe { window.as_ref() }
    }
}
