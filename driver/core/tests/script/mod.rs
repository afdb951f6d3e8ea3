//! A register double: the accesses a test expects, in order, with the answers to the reads. Anything else fails.
#![allow(dead_code, reason = "every test binary uses its part of this")]

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use ioat_core::identity::Identity;
use ioat_core::{Channel, Clock, Engine, Hardware, Patience, PciConfig, Registers};
use ioat_regs::{Device, State, Version};

/// One expected access. Reads carry their answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    R8(u32, u8),
    W8(u32, u8),
    R16(u32, u16),
    W16(u32, u16),
    R32(u32, u32),
    W32(u32, u32),
    R64(u32, u64),
    W64(u32, u64),
    /// Configuration space; `None` is "cannot be reached".
    C16(u16, Option<u16>),
    D16(u16, u16),
    C32(u16, Option<u32>),
    D32(u16, u32),
}
pub use Step::*;

/// The expected accesses, and a clock that moves only when it is asked to pause.
pub struct Script {
    steps: RefCell<VecDeque<Step>>,
    /// What happens while the next access is on its way.
    meanwhile: RefCell<Option<Box<dyn FnOnce()>>>,
    paused_us: Cell<u64>,
}

impl Script {
    pub fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        Self {
            steps: RefCell::new(steps.into_iter().collect()),
            meanwhile: RefCell::new(None),
            paused_us: Cell::new(0),
        }
    }

    /// Lets `act` happen while the next access is on its way.
    pub fn meanwhile(&self, act: impl FnOnce() + 'static) {
        *self.meanwhile.borrow_mut() = Some(Box::new(act));
    }

    pub fn paused_us(&self) -> u64 {
        self.paused_us.get()
    }

    /// Runs `act` with this script as the hardware, and checks that every step was taken.
    pub fn at_dispatch<T>(&self, act: impl FnOnce(&Hardware<'_, Self, Self, AtDispatch<'_>>) -> T) -> T {
        let answer = act(&Hardware { registers: self, config: self, clock: AtDispatch(self) });
        self.finish();
        answer
    }

    /// The same at PASSIVE_LEVEL.
    pub fn at_passive<T>(&self, act: impl FnOnce(&Hardware<'_, Self, Self, AtPassive<'_>>) -> T) -> T {
        let answer = act(&Hardware { registers: self, config: self, clock: AtPassive(self) });
        self.finish();
        answer
    }

    pub fn finish(&self) {
        assert!(self.steps.borrow().is_empty(), "expected but not seen: {:x?}", self.steps.borrow());
    }

    fn take(&self, seen: impl std::fmt::Debug) -> Step {
        if let Some(act) = self.meanwhile.take() {
            act();
        }
        self.steps.borrow_mut().pop_front().unwrap_or_else(|| panic!("unexpected access: {seen:x?}"))
    }

    fn write(&self, seen: Step) {
        let step = self.take(seen);
        assert!(step == seen, "expected {step:x?}, seen {seen:x?}");
    }
}

macro_rules! read {
    ($self:ident, $variant:ident, $offset:ident) => {{
        let step = $self.take((stringify!($variant), $offset));
        match step {
            $variant(at, value) if at == $offset => value,
            _ => panic!("expected {step:x?}, seen {} of {:#x}", stringify!($variant), $offset),
        }
    }};
}

impl Registers for Script {
    fn read8(&self, offset: u32) -> u8 {
        read!(self, R8, offset)
    }
    fn read16(&self, offset: u32) -> u16 {
        read!(self, R16, offset)
    }
    fn read32(&self, offset: u32) -> u32 {
        read!(self, R32, offset)
    }
    fn read64(&self, offset: u32) -> u64 {
        read!(self, R64, offset)
    }
    fn write8(&self, offset: u32, value: u8) {
        self.write(W8(offset, value));
    }
    fn write16(&self, offset: u32, value: u16) {
        self.write(W16(offset, value));
    }
    fn write32(&self, offset: u32, value: u32) {
        self.write(W32(offset, value));
    }
    fn write64(&self, offset: u32, value: u64) {
        self.write(W64(offset, value));
    }
}

impl PciConfig for Script {
    fn read16(&self, offset: u16) -> Option<u16> {
        read!(self, C16, offset)
    }
    fn write16(&self, offset: u16, value: u16) -> Option<()> {
        self.write(D16(offset, value));
        Some(())
    }
    fn read32(&self, offset: u16) -> Option<u32> {
        read!(self, C32, offset)
    }
    fn write32(&self, offset: u16, value: u32) -> Option<()> {
        self.write(D32(offset, value));
        Some(())
    }
}

pub struct AtDispatch<'a>(&'a Script);
pub struct AtPassive<'a>(&'a Script);

impl Clock for AtDispatch<'_> {
    const PATIENCE: Patience = Patience::DISPATCH;
    fn now_us(&self) -> u64 {
        self.0.paused_us.get()
    }
    fn pause_us(&self, us: u32) {
        assert!(us <= Self::PATIENCE.pause_us);
        self.0.paused_us.set(self.0.paused_us.get() + u64::from(us));
    }
}

impl Clock for AtPassive<'_> {
    const PATIENCE: Patience = Patience::PASSIVE;
    fn now_us(&self) -> u64 {
        self.0.paused_us.get()
    }
    fn pause_us(&self, us: u32) {
        assert!(us <= Self::PATIENCE.pause_us);
        self.0.paused_us.set(self.0.paused_us.get() + u64::from(us));
    }
}

/// A 3.4 engine: 64-bit accesses, no second error register.
pub const ICX: u16 = 0x0B00;
/// A 3.2 engine: halves, CHANERR_INT in configuration space.
pub const BDX: u16 = 0x6F20;
/// A 1.2 engine: START and APPEND.
pub const CNB: u16 = 0x1A38;

/// The registers of channel 0 on 2.0 and later.
pub const CHANCTRL: u32 = 0x80;
pub const CHANCMD: u32 = 0x84;
pub const DMACOUNT: u32 = 0x86;
pub const CHANSTS: u32 = 0x88;
pub const CHAINADDR: u32 = 0x90;
pub const CHANCMP: u32 = 0x98;
pub const CHANERR: u32 = 0xA8;

pub const SUSPEND: u8 = 0x04;
pub const ABORT: u8 = 0x08;
pub const RESUME: u8 = 0x10;
pub const RESET: u8 = 0x20;

/// Where the tests' descriptors and completion words are.
pub const RING: u64 = 0x1_0000_0000;
pub const WORD: u64 = 0x2_0000_0040;

/// The engine with this id, probed.
pub fn engine(device: u16) -> Engine {
    let identity = Identity::of(0x8086, device, netdma_abi::Version::V2_1).unwrap();
    let version = Device::find(0x8086, device).unwrap().platform.version;
    let script = Script::new([R8(0x08, version.0), R8(0x00, 1), R8(0x01, 20)]);
    let engine = Engine::probe(&script, &identity).unwrap();
    script.finish();
    engine
}

/// The steps of one CHANSTS read that gives `address` and `state`.
pub fn status(device: u16, address: u64, state: State) -> Vec<Step> {
    status_word(device, address | state as u64)
}

/// The steps of one CHANSTS read that gives `word`.
pub fn status_word(device: u16, word: u64) -> Vec<Step> {
    let (low, high) = (word as u32, (word >> 32) as u32);
    match Device::find(0x8086, device).unwrap().platform.version {
        Version::V3_4 => vec![R64(CHANSTS, word)],
        _ if low == u32::MAX => vec![R32(CHANSTS, low)],
        _ => vec![R32(CHANSTS, low), R32(CHANSTS + 4, high), R32(CHANSTS, low)],
    }
}

/// Puts several pieces of a script one behind the other.
pub fn steps<const N: usize>(pieces: [Vec<Step>; N]) -> Vec<Step> {
    pieces.into_iter().flatten().collect()
}

/// Brought up and allocated.
pub fn ready(device: u16) -> Channel {
    let mut channel = Channel::new(engine(device), 0);
    let second = device == BDX;
    let internal: &[Step] = if second { &[C32(0x180, Some(0))] } else { &[] };
    let mask: &[Step] = if second { &[D32(0x184, 0x3E07)] } else { &[] };
    let script = Script::new(steps([
        status(device, 0, State::Halted),
        vec![R32(CHANERR, 0)],
        internal.to_vec(),
        vec![W8(CHANCMD, RESET), R8(CHANCMD, 0)],
        mask.to_vec(),
        vec![W16(CHANCTRL, 0)],
    ]));
    script.at_passive(|hardware| channel.bring_up(hardware)).unwrap();
    let write = if second {
        vec![W32(CHANCMP, WORD as u32), W32(CHANCMP + 4, (WORD >> 32) as u32)]
    } else {
        vec![W64(CHANCMP, WORD)]
    };
    let script = Script::new(steps([
        status(device, 0, State::Halted),
        vec![R32(CHANERR, 0), W16(CHANCTRL, 0x1D)],
        write,
    ]));
    script.at_dispatch(|hardware| channel.attach(hardware, WORD)).unwrap();
    assert_eq!(channel.state(), ioat_core::State::Ready);
    channel
}

/// Started with three descriptors.
pub fn running(device: u16) -> Channel {
    let mut channel = ready(device);
    let word = std::sync::atomic::AtomicU64::new(netdma_abi::completion::ARMED);
    let script = Script::new(launch(device, RING, 3));
    script.at_dispatch(|hardware| channel.start(hardware, &word, RING, 3)).unwrap();
    channel
}

/// The accesses of a start on a quiet channel.
pub fn launch(device: u16, first: u64, count: u16) -> Vec<Step> {
    if device == BDX {
        vec![W32(CHAINADDR, first as u32), W32(CHAINADDR + 4, (first >> 32) as u32), W16(DMACOUNT, count)]
    } else {
        vec![W64(CHAINADDR, first), W16(DMACOUNT, count)]
    }
}
