//! Physical memory: page frames in one memory file, handed out scattered.
//!
//! A small part lies below 4 GiB (for devices that reach no further), the rest above. Which frame comes next is the
//! seed's choice, so virtual contiguity never means physical contiguity.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use crate::guarded::Guarded;
use crate::random::Random;

/// Bytes of a page.
pub const PAGE: u64 = 4096;

/// Where memory below 4 GiB starts, and where memory above does.
const LOW_BASE: u64 = 0x0100_0000;
const HIGH_BASE: u64 = 0x1_0000_0000;

/// The number of a page frame, counted through the memory file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Frame(u32);

impl Frame {
    /// Where its bytes are in the memory file.
    pub(crate) fn offset(self) -> u64 {
        u64::from(self.0) * PAGE
    }

    /// The frame after it in the memory file.
    pub(crate) fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// Where physical memory must come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placement {
    /// Highest physical address of the last byte.
    pub highest: u64,
    /// All frames in one run.
    pub contiguous: bool,
}

impl Placement {
    /// Any frame.
    pub const ANYWHERE: Self = Self { highest: u64::MAX, contiguous: false };
}

/// The physical memory of a machine.
#[derive(Debug)]
pub struct PhysicalMemory {
    file: OwnedFd,
    window: Window,
    low: u32,
    frames: u32,
    state: Guarded<State>,
}

/// All of it mapped once, for the devices and the host.
#[derive(Debug)]
struct Window {
    base: *mut u8,
    length: usize,
}

#[derive(Debug)]
struct State {
    /// Free frames in random order.
    free: Vec<u32>,
    /// Where a frame is in `free`; `USED` when it is not.
    place: Vec<u32>,
    random: Random,
}

const USED: u32 = u32::MAX;

impl PhysicalMemory {
    /// `bytes` of memory, rounded up to pages.
    pub(crate) fn new(bytes: u64, seed: u64) -> io::Result<Self> {
        let frames = u32::try_from(bytes.div_ceil(PAGE))
            .map_err(|_| io::Error::other("more than 16 TiB of memory"))?;
        let length = frames as usize * PAGE as usize;
        let file = memory_file(length)?;
        let window = Window::new(&file, length)?;
        let mut random = Random::new(seed ^ 0x5048_5953);
        let mut free: Vec<u32> = (0..frames).collect();
        for last in (1..free.len()).rev() {
            free.swap(last, random.below(last as u64 + 1) as usize);
        }
        let mut place = vec![0; free.len()];
        for (position, &frame) in free.iter().enumerate() {
            place[frame as usize] = position as u32;
        }
        Ok(Self { file, window, low: frames / 4, frames, state: Guarded::new(State { free, place, random }) })
    }

    /// The file that holds it.
    pub(crate) fn file(&self) -> i32 {
        self.file.as_raw_fd()
    }

    /// The physical address of `frame`.
    #[must_use]
    pub fn address(&self, frame: Frame) -> u64 {
        if frame.0 < self.low {
            LOW_BASE + u64::from(frame.0) * PAGE
        } else {
            HIGH_BASE + u64::from(frame.0 - self.low) * PAGE
        }
    }

    /// The frame of a physical address.
    #[must_use]
    pub fn frame(&self, address: u64) -> Option<Frame> {
        let index = if address >= HIGH_BASE {
            (address - HIGH_BASE) / PAGE + u64::from(self.low)
        } else {
            let index = address.checked_sub(LOW_BASE)? / PAGE;
            if index >= u64::from(self.low) {
                return None;
            }
            index
        };
        u32::try_from(index).ok().filter(|&index| index < self.frames).map(Frame)
    }

    /// Whether `frame` belongs to somebody.
    #[must_use]
    pub fn is_used(&self, frame: Frame) -> bool {
        self.state.with(|state| state.place[frame.0 as usize] == USED)
    }

    /// Free frames.
    #[must_use]
    pub fn free_frames(&self) -> usize {
        self.state.with(|state| state.free.len())
    }

    /// Takes `count` frames, or `None` when there are not as many where `placement` wants them.
    pub(crate) fn allocate(&self, count: usize, placement: Placement) -> Option<Vec<Frame>> {
        let limit = self.frames_up_to(placement.highest);
        self.state.with(|state| {
            let taken = if placement.contiguous && count > 1 {
                state.find_run(count, limit)?
            } else if limit >= self.frames {
                let start = state.free.len().checked_sub(count)?;
                state.free[start..].to_vec()
            } else {
                let found: Vec<u32> =
                    state.free.iter().copied().filter(|&frame| frame < limit).take(count).collect();
                if found.len() < count {
                    return None;
                }
                found
            };
            for &frame in &taken {
                state.take(frame);
            }
            Some(taken.into_iter().map(Frame).collect())
        })
    }

    /// Gives frames back.
    pub(crate) fn free(&self, frames: &[Frame]) {
        self.state.with(|state| frames.iter().for_each(|frame| state.give_back(frame.0)));
    }

    /// How many frames, counted from the first, lie wholly at or below `highest`.
    fn frames_up_to(&self, highest: u64) -> u32 {
        let whole = |from: u64| highest.saturating_add(1).saturating_sub(from) / PAGE;
        if highest >= HIGH_BASE {
            u32::try_from(u64::from(self.low) + whole(HIGH_BASE)).unwrap_or(u32::MAX).min(self.frames)
        } else {
            u32::try_from(whole(LOW_BASE)).unwrap_or(u32::MAX).min(self.low)
        }
    }

    /// The bytes of `frame` from `offset`, as the host and the devices see them: `length` must stay inside the page.
    pub(crate) fn pointer(&self, frame: Frame, offset: u64, length: usize) -> *mut u8 {
        assert!(offset + length as u64 <= PAGE, "{length} bytes at {offset} leave the page");
        // SAFETY: `frame` is below `self.frames` (only this type makes frames) and the bytes stay inside its page.
        unsafe { self.window.base.add((frame.offset() + offset) as usize) }
    }

    /// Copies from `frame`.
    pub(crate) fn read(&self, frame: Frame, offset: u64, bytes: &mut [u8]) {
        let from = self.pointer(frame, offset, bytes.len());
        // SAFETY: `pointer` checked the range; the window and `bytes` are different memory.
        unsafe { std::ptr::copy_nonoverlapping(from, bytes.as_mut_ptr(), bytes.len()) };
    }

    /// Copies into `frame`.
    pub(crate) fn write(&self, frame: Frame, offset: u64, bytes: &[u8]) {
        let to = self.pointer(frame, offset, bytes.len());
        // SAFETY: `pointer` checked the range; the window and `bytes` are different memory.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
    }

    /// Stores eight bytes at once; `offset` is a multiple of eight.
    pub(crate) fn store(&self, frame: Frame, offset: u64, value: u64) {
        assert_eq!(offset % 8, 0, "a store of eight bytes at {offset}");
        let to = self.pointer(frame, offset, 8).cast::<u64>();
        // SAFETY: in range (`pointer`), aligned (assertion), and every access to it is atomic or by the one host thread.
        let word = unsafe { std::sync::atomic::AtomicU64::from_ptr(to) };
        word.store(value, std::sync::atomic::Ordering::Release);
    }
}

impl State {
    fn take(&mut self, frame: u32) {
        let position = std::mem::replace(&mut self.place[frame as usize], USED) as usize;
        self.free.swap_remove(position);
        if let Some(&moved) = self.free.get(position) {
            self.place[moved as usize] = position as u32;
        }
    }

    fn give_back(&mut self, frame: u32) {
        assert_eq!(self.place[frame as usize], USED, "frame {frame} freed twice");
        let position = self.random.below(self.free.len() as u64 + 1) as usize;
        self.free.push(frame);
        let last = self.free.len() - 1;
        self.free.swap(position, last);
        self.place[self.free[last] as usize] = last as u32;
        self.place[frame as usize] = position as u32;
    }

    /// A run of free frames below `limit`, searched from a random place on, that does not cross from low to high.
    fn find_run(&mut self, count: usize, limit: u32) -> Option<Vec<u32>> {
        let low = self.place.len() as u32 / 4;
        let start = self.random.below(u64::from(limit)) as u32;
        for (from, to) in [(start, limit), (0, limit)] {
            let mut run = 0;
            for frame in from..to {
                let free = self.place[frame as usize] != USED;
                run = if !free {
                    0
                } else if frame == low {
                    1
                } else {
                    run + 1
                };
                if run == count {
                    return Some((frame + 1 - count as u32..=frame).collect());
                }
            }
        }
        None
    }
}

impl Window {
    fn new(file: &OwnedFd, length: usize) -> io::Result<Self> {
        // SAFETY: a new mapping at an address the system chooses; it touches no existing memory.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                length,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        if base == libc::MAP_FAILED {
            Err(io::Error::last_os_error())
        } else {
            Ok(Self { base: base.cast(), length })
        }
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `new` and nothing refers to it once the machine is dropped.
        unsafe { libc::munmap(self.base.cast(), self.length) };
    }
}

fn memory_file(length: usize) -> io::Result<OwnedFd> {
    // SAFETY: the name is a valid C string.
    let file = unsafe { libc::memfd_create(c"nthost".as_ptr(), libc::MFD_CLOEXEC) };
    if file < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `file` was just opened and nobody else owns it.
    let file = unsafe { OwnedFd::from_raw_fd(file) };
    let length = i64::try_from(length).map_err(io::Error::other)?;
    // SAFETY: an open file; changing its length touches no memory.
    if unsafe { libc::ftruncate(file.as_raw_fd(), length) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(pages: u64) -> PhysicalMemory {
        PhysicalMemory::new(pages * PAGE, 1).expect("memory")
    }

    #[test]
    fn every_frame_is_handed_out_once_and_scattered() {
        let memory = memory(64);
        let frames = memory.allocate(64, Placement::ANYWHERE).expect("all frames");
        let mut sorted = frames.clone();
        sorted.sort();
        sorted.dedup();
        assert_eq!(sorted.len(), 64);
        assert!(frames.windows(2).filter(|pair| pair[0].next() == pair[1]).count() < 8);
        assert!(memory.allocate(1, Placement::ANYWHERE).is_none());
        memory.free(&frames);
        assert_eq!(memory.free_frames(), 64);
    }

    #[test]
    fn addresses_and_frames_are_inverse() {
        let memory = memory(64);
        for frame in memory.allocate(64, Placement::ANYWHERE).expect("all frames") {
            assert_eq!(memory.frame(memory.address(frame) + 17), Some(frame));
        }
        assert_eq!(memory.frame(0), None);
        assert_eq!(memory.frame(LOW_BASE + 16 * PAGE), None);
        assert_eq!(memory.frame(HIGH_BASE + 48 * PAGE), None);
    }

    #[test]
    fn contiguous_and_low_requests_get_what_they_ask_for() {
        let memory = memory(256);
        let run = memory.allocate(16, Placement { highest: u64::MAX, contiguous: true }).expect("a run");
        assert!(run.windows(2).all(|pair| memory.address(pair[0]) + PAGE == memory.address(pair[1])));
        let low =
            memory.allocate(8, Placement { highest: 0xFFFF_FFFF, contiguous: false }).expect("low frames");
        assert!(low.iter().all(|&frame| memory.address(frame) < HIGH_BASE));
        assert!(memory.allocate(65, Placement { highest: 0xFFFF_FFFF, contiguous: false }).is_none());
    }

    #[test]
    fn bytes_written_through_the_window_come_back() {
        let memory = memory(4);
        let frame = memory.allocate(1, Placement::ANYWHERE).expect("a frame")[0];
        memory.write(frame, 100, b"hello");
        memory.store(frame, 8, 0x1122_3344_5566_7788);
        let mut bytes = [0; 5];
        memory.read(frame, 100, &mut bytes);
        assert_eq!(&bytes, b"hello");
        memory.read(frame, 8, &mut bytes);
        assert_eq!(bytes, [0x88, 0x77, 0x66, 0x55, 0x44]);
    }
}
