//! Proof that a channel fetches, copies, reports and interrupts, before a client is let near it (H15, H19).

use core::sync::atomic::{AtomicU64, Ordering};

use ioat_regs::{ChanErr, ChanSts, Control, descriptor, limits};

use crate::{Channel, Clock, Hardware, PciConfig, Refusal, Registers, hardware::wait_for};

/// A page of memory that the engine may read and write.
#[derive(Debug, Clone, Copy)]
pub struct ScratchPage<'a> {
    /// Its 64-bit words.
    pub words: &'a [AtomicU64],
    /// Its bus address.
    pub address: u64,
}

/// The three pages of a self-test. What they hold before does not matter.
#[derive(Debug, Clone, Copy)]
pub struct Scratch<'a> {
    /// Descriptors and completion word.
    pub control: ScratchPage<'a>,
    /// Where bytes come from.
    pub source: ScratchPage<'a>,
    /// Where they go.
    pub destination: ScratchPage<'a>,
}

/// Why a channel is not to be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SelfTestError {
    /// The channel refused a command.
    Refused(Refusal),
    /// The descriptor was not completed in time.
    NotCompleted {
        /// CHANSTS, all-ones from a device that has left.
        status: u64,
        /// CHANERR.
        error: ChanErr,
    },
    /// The copy is not equal to its source, or bytes around it changed.
    WrongData {
        /// Offset of the first wrong byte in the destination page.
        offset: u32,
    },
    /// Everything worked, but no interrupt came.
    NoInterrupt,
}

/// Bytes copied, and where in their pages they begin: at least 2000 at odd offsets (H19).
const LENGTH: usize = 2003;
const FROM: usize = 13;
const TO: usize = 7;
/// What the destination is filled with before.
const FILLER: u8 = 0xA5;
/// Longest wait for the copy and for its interrupt, in microseconds. A copy takes about one; the limit is that of
/// the null descriptor.
const LIMIT_US: u32 = limits::FIRST_NULL_US;

/// Where things are in the control page.
const NULL_AT: usize = 0;
const COPY_AT: usize = descriptor::SIZE;
const WORD_AT: usize = 2 * descriptor::SIZE;

/// Runs the test on a channel that is brought up and has no owner. Afterwards the channel has been started and has
/// to be brought up again. `interrupted` tells whether an interrupt has come since the test began; `None` when the
/// function has none.
///
/// # Errors
/// The channel does not work.
pub fn run<R: Registers, P: PciConfig, C: Clock>(
    channel: &mut Channel,
    hardware: &Hardware<'_, R, P, C>,
    scratch: &Scratch<'_>,
    interrupted: Option<impl Fn() -> bool>,
) -> Result<(), SelfTestError> {
    let control = scratch.control;
    let address = |offset: usize| control.address.wrapping_add(offset as u64);
    let word = word_at(control, WORD_AT).ok_or(SelfTestError::Refused(Refusal::BadList))?;
    prepare(scratch);

    // A null first: fetch, counter and completion word. Size 8, because 3.0 does not take zero (Q3).
    let counted = channel.engine.version.has_counter();
    let null = Control::new().with_null(true).with_completion(true);
    write(control, NULL_AT, 8, null, [0, 0, if counted { address(COPY_AT) } else { 0 }]);
    word.store(netdma_abi::completion::ARMED, Ordering::Release);
    channel.attach(hardware, address(WORD_AT)).map_err(SelfTestError::Refused)?;
    channel.start(hardware, word, address(NULL_AT), 1).map_err(SelfTestError::Refused)?;
    completed(channel, hardware, word, address(NULL_AT))?;

    let copy = Control::new().with_completion(true).with_interrupt(true);
    let from = scratch.source.address.wrapping_add(FROM as u64);
    let to = scratch.destination.address.wrapping_add(TO as u64);
    write(control, COPY_AT, LENGTH as u32, copy, [from, to, 0]);
    if !counted {
        // Chains without a counter grow by their last link, before APPEND (H43).
        write(control, NULL_AT, 8, null, [0, 0, address(COPY_AT)]);
    }
    channel.append(hardware, address(COPY_AT), 1).map_err(SelfTestError::Refused)?;
    completed(channel, hardware, word, address(COPY_AT))?;
    compare(scratch)?;

    if let Some(interrupted) = interrupted {
        wait_for(&hardware.clock, LIMIT_US, || interrupted().then_some(()))
            .ok_or(SelfTestError::NoInterrupt)?;
    }
    Ok(())
}

/// Waits until the completion word names `descriptor` as done.
fn completed<R: Registers, P: PciConfig, C: Clock>(
    channel: &Channel,
    hardware: &Hardware<'_, R, P, C>,
    word: &AtomicU64,
    descriptor: u64,
) -> Result<(), SelfTestError> {
    let done = wait_for(&hardware.clock, LIMIT_US, || {
        let word = ChanSts(word.load(Ordering::Acquire));
        let running = matches!(word.state(), Some(ioat_regs::State::Active | ioat_regs::State::Idle));
        (running && word.address() == descriptor).then_some(())
    });
    done.ok_or_else(|| {
        let block = channel.block(hardware);
        SelfTestError::NotCompleted {
            status: block.status().map_or(u64::MAX, |status| status.0),
            error: block.error().unwrap_or(ChanErr::GONE),
        }
    })
}

/// A byte of the source: every offset has another neighbourhood.
fn pattern(offset: usize) -> u8 {
    (offset.wrapping_mul(7) ^ (offset >> 5)) as u8
}

/// What the destination holds at `offset` after a correct copy.
fn expected(offset: usize) -> u8 {
    match offset.checked_sub(TO) {
        Some(copied) if copied < LENGTH => pattern(FROM.wrapping_add(copied)),
        _ => FILLER,
    }
}

fn prepare(scratch: &Scratch<'_>) {
    for (index, word) in scratch.source.words.iter().enumerate() {
        word.store(word_of(index, pattern), Ordering::Relaxed);
    }
    for word in scratch.destination.words {
        word.store(word_of(0, |_| FILLER), Ordering::Relaxed);
    }
}

fn compare(scratch: &Scratch<'_>) -> Result<(), SelfTestError> {
    for (index, word) in scratch.destination.words.iter().enumerate() {
        let difference = word.load(Ordering::Acquire) ^ word_of(index, expected);
        if difference != 0 {
            let byte = (difference.trailing_zeros() / 8) as usize;
            return Err(SelfTestError::WrongData { offset: index.wrapping_mul(8).wrapping_add(byte) as u32 });
        }
    }
    Ok(())
}

/// The 64-bit word number `index` of a page whose bytes are `byte(offset)`.
fn word_of(index: usize, byte: impl Fn(usize) -> u8) -> u64 {
    let first = index.wrapping_mul(8);
    u64::from_le_bytes(core::array::from_fn(|offset| byte(first.wrapping_add(offset))))
}

/// Writes a descriptor: size, control word, then source, destination and next.
fn write(page: ScratchPage<'_>, at: usize, length: u32, control: Control, addresses: [u64; 3]) {
    let [source, destination, next] = addresses;
    let head = u64::from(length) | u64::from(control.into_bits()) << 32;
    for (offset, value) in [
        (descriptor::LENGTH, head),
        (descriptor::SOURCE, source),
        (descriptor::DESTINATION, destination),
        (descriptor::NEXT, next),
        (descriptor::NEXT_SOURCE, 0),
        (descriptor::NEXT_DESTINATION, 0),
    ] {
        if let Some(word) = word_at(page, at.wrapping_add(offset)) {
            word.store(value, Ordering::Release);
        }
    }
}

fn word_at(page: ScratchPage<'_>, offset: usize) -> Option<&AtomicU64> {
    page.words.get(offset / 8)
}
