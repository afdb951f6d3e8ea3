//! Control codes and buffers that user mode exchanges with the drivers: here those of netdmatest.sys, the NetDMA test
//! client; in [`engine`] those of ioatdma.sys.
//!
//! A program finds the device by its interface class [`INTERFACE`], opens it, lists the providers, opens channels and
//! copies. Channels belong to the file handle that opened them and are freed with it.
//!
//! | Code | Method, access | In | Out |
//! |---|---|---|---|
//! | [`PROVIDERS`] | buffered, read | - | as many [`Provider`]s as fit |
//! | [`OPEN_CHANNEL`] | buffered, read and write | [`OpenChannel`] | [`Channel`] |
//! | [`CLOSE_CHANNEL`] | buffered, read and write | [`ChannelNumber`] | - |
//! | [`COPY`] | direct, read and write | [`struct@Copy`], then [`Piece`]s | the buffer that is copied within |
//! | [`CONTROL`] | buffered, read and write | [`Control`] | - |
//! | [`STATISTICS`] | buffered, read | [`StatisticsOf`] | [`Statistics`] |
//!
//! # A copy
//! The output buffer of [`COPY`] holds both the bytes to be copied and the room for them; its pages are locked and handed
//! to the engine as they are. Each piece names a source and a destination range by offsets into that buffer, at any byte
//! and of any length. No destination may overlap a source or another destination. The request is completed when all its
//! pieces are done, with the number of bytes copied; many requests may be under way. It fails with
//!
//! | Status | Meaning |
//! |---|---|
//! | STATUS_INVALID_PARAMETER | a range reaches beyond the buffer, a length or count is zero or too large, a flag is unknown |
//! | STATUS_CONFLICTING_ADDRESSES | a destination overlaps a source or another destination |
//! | STATUS_INVALID_HANDLE | the channel number is not one of this file handle |
//! | STATUS_DEVICE_NOT_READY | the provider is powered down |
//! | STATUS_DEVICE_REMOVED | the provider has left |
//! | STATUS_IO_DEVICE_ERROR | the engine halted |
//! | STATUS_REQUEST_ABORTED | the channel was aborted or reset |
//! | STATUS_IO_TIMEOUT | nothing moved for [`NO_PROGRESS_MILLISECONDS`]; the client polled, then aborted the channel |
//!
//! After a failure the bytes of the destinations are undefined. No buffer holds a pointer or a physical address. Numbers
//! are little endian and every structure has the same layout for C (`repr(C)` without padding).
#![no_std]
#![forbid(unsafe_code)]

pub mod engine;
mod wire;

pub use wire::Wire;
use wire::wire;

/// Interface class of the test client's device, as the bytes of a GUID in memory order:
/// {8F2E1D4C-6B3A-4F59-9C27-51D0A3E4B876}.
pub const INTERFACE: Guid = Guid {
    data1: 0x8F2E_1D4C,
    data2: 0x6B3A,
    data3: 0x4F59,
    data4: [0x9C, 0x27, 0x51, 0xD0, 0xA3, 0xE4, 0xB8, 0x76],
};

/// A GUID (guiddef.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Guid {
    /// First 32 bits.
    pub data1: u32,
    /// Next 16 bits.
    pub data2: u16,
    /// Next 16 bits.
    pub data3: u16,
    /// Last 8 bytes.
    pub data4: [u8; 8],
}

/// Security descriptor of the device: everything for the system and for administrators, nothing for others.
pub const SDDL: &str = "D:P(A;;GA;;;SY)(A;;GA;;;BA)";

/// FILE_DEVICE_UNKNOWN of winioctl.h, the value for the type of the device and of its codes.
pub const DEVICE_TYPE: u32 = 0x22;

/// METHOD_BUFFERED of winioctl.h.
const BUFFERED: u32 = 0;
/// METHOD_OUT_DIRECT of winioctl.h: the output buffer is locked for writing.
const OUT_DIRECT: u32 = 2;
/// FILE_READ_ACCESS of winioctl.h.
const READ: u32 = 1;
/// FILE_WRITE_ACCESS of winioctl.h.
const WRITE: u32 = 2;

/// CTL_CODE of winioctl.h. Functions from 0x800 on are free for drivers like ours.
const fn code(function: u32, method: u32, access: u32) -> u32 {
    DEVICE_TYPE << 16 | access << 14 | function << 2 | method
}

/// The code that lists the providers.
pub const PROVIDERS: u32 = code(0x800, BUFFERED, READ);
/// Allocates a channel.
pub const OPEN_CHANNEL: u32 = code(0x801, BUFFERED, READ | WRITE);
/// Frees a channel, after its outstanding work is done.
pub const CLOSE_CHANNEL: u32 = code(0x802, BUFFERED, READ | WRITE);
/// Copies within the output buffer.
pub const COPY: u32 = code(0x803, OUT_DIRECT, READ | WRITE);
/// Does something to a channel.
pub const CONTROL: u32 = code(0x804, BUFFERED, READ | WRITE);
/// Counters of a channel or of a provider.
pub const STATISTICS: u32 = code(0x805, BUFFERED, READ);

/// Most channels open at one time, over all file handles.
pub const MAX_CHANNELS: u32 = 64;
/// Most pieces of one copy.
pub const MAX_PIECES: u32 = 256;
/// Largest buffer of one copy: offsets are 32-bit numbers, as in the NetDMA functions.
pub const MAX_BUFFER: u64 = u32::MAX as u64;
/// A channel with work outstanding that makes no progress for this long is polled, and then aborted.
pub const NO_PROGRESS_MILLISECONDS: u64 = 1000;

wire! {
    /// A provider, as netdma.sys lists it.
    Provider {
        /// Names the provider; never 0.
        id: u32,
        /// NetDMA version it registered with, major << 16 | minor.
        version: u32,
        /// 0 stopped, 1 started, 2 stopping, 3 powered down.
        state: u32,
        /// Hardware version, major << 16 | minor.
        hardware_version: u32,
        /// Channels it has.
        channels: u32,
        /// Channels that nobody has allocated.
        free_channels: u32,
        /// Bytes that one descriptor may copy.
        maximum_transfer: u32,
        /// PCI vendor id.
        vendor: u32,
        /// Largest physical address that it reaches.
        maximum_address: u64,
        /// UTF-16 units of the name in use.
        name_length: u32,
        /// Zero.
        reserved: u32,
        /// Name it registered with.
        name: [u16; 64],
    }
}

wire! {
    /// What channel is wanted.
    OpenChannel {
        /// A provider, or 0 for any.
        provider: u32,
        /// 0 or [`POLLED`].
        flags: u32,
        /// Processors of this group that completions may be reported on; mask 0 for any.
        group: u32,
        /// Descriptors of the ring; 0 for the default.
        ring_size: u32,
        /// Mask of processors in the group.
        mask: u64,
        /// Requests that are posted together; 0 or 1 posts each at once.
        pending_limit: u32,
        /// Zero.
        reserved: u32,
    }
}

/// [`OpenChannel::flags`]: completions are found by polling; the engine is not asked to interrupt.
pub const POLLED: u32 = 1;

wire! {
    /// A channel that was opened.
    Channel {
        /// Names the channel for this file handle.
        number: u32,
        /// The provider it belongs to.
        provider: u32,
        /// System-wide index of the processor on which completions are reported.
        processor: u32,
        /// Descriptors of the ring.
        ring_size: u32,
    }
}

wire! {
    /// A channel of this file handle.
    ChannelNumber {
        /// As [`Channel::number`].
        number: u32,
    }
}

wire! {
    /// A copy; as many [`Piece`]s follow as it says.
    Copy {
        /// As [`Channel::number`].
        channel: u32,
        /// Zero.
        flags: u32,
        /// Pieces that follow, 1 to [`MAX_PIECES`].
        pieces: u32,
        /// Zero.
        reserved: u32,
    }
}

wire! {
    /// One range to be copied.
    Piece {
        /// Where the bytes are, in bytes from the beginning of the buffer.
        source: u32,
        /// Where they go, in bytes from the beginning of the buffer.
        destination: u32,
        /// How many; not 0.
        length: u32,
        /// Zero.
        flags: u32,
    }
}

wire! {
    /// Something to be done to a channel.
    Control {
        /// As [`Channel::number`].
        channel: u32,
        /// One of the `CONTROL_` values.
        operation: u32,
    }
}

/// A value of [`Control::operation`]: posts a transfer that moves nothing; completed when everything before it
/// is.
pub const CONTROL_NULL: u32 = 1;
/// A value of [`Control::operation`]: posts what was accepted but waits for company.
pub const CONTROL_FLUSH: u32 = 2;
/// [`Control::operation`]: suspends the channel.
pub const CONTROL_SUSPEND: u32 = 3;
/// A value of [`Control::operation`]: resumes it.
pub const CONTROL_RESUME: u32 = 4;
/// A value of [`Control::operation`]: cuts off what is outstanding.
pub const CONTROL_ABORT: u32 = 5;
/// [`Control::operation`]: resets the channel.
pub const CONTROL_RESET: u32 = 6;

wire! {
    /// Whose counters are wanted.
    StatisticsOf {
        /// A provider, or 0 for a channel.
        provider: u32,
        /// As [`Channel::number`]; ignored for a provider.
        channel: u32,
    }
}

wire! {
    /// Counters: the client's own, which are zero for a provider, then those of netdma.sys.
    Statistics {
        /// Copies and other transfers that the client asked for.
        submitted: u64,
        /// Of these, completed with success.
        succeeded: u64,
        /// Of these, failed.
        failed: u64,
        /// Bytes of those that succeeded.
        bytes: u64,
        /// Completion callbacks.
        callbacks: u64,
        /// Polls by the client.
        polls: u64,
        /// Transfers that only the client's watchdog found done: their interrupt was lost.
        late: u64,
        /// Times the watchdog aborted the channel.
        timeouts: u64,
        /// netdma.sys: bytes of descriptors completed with success.
        interface_bytes: u64,
        /// netdma.sys: descriptors posted.
        descriptors: u64,
        /// netdma.sys: posts, each one call of the provider.
        batches: u64,
        /// netdma.sys: posts by start.
        starts: u64,
        /// netdma.sys: posts by append.
        appends: u64,
        /// netdma.sys: requests accepted.
        accepted: u64,
        /// netdma.sys: requests completed with success.
        completed: u64,
        /// netdma.sys: requests ended by abort, reset or stop.
        aborted: u64,
        /// netdma.sys: requests ended by an engine error.
        errors: u64,
        /// netdma.sys: interrupts reported.
        interrupts: u64,
        /// netdma.sys: DPCs reported.
        dpcs: u64,
        /// netdma.sys: polls that looked at the completion word.
        interface_polls: u64,
        /// netdma.sys: times the channel was found halted.
        halts: u64,
        /// netdma.sys: submissions refused for lack of ring slots.
        ring_full: u64,
        /// netdma.sys: provider calls that failed.
        provider_failures: u64,
        /// netdma.sys: completion words that named nothing in flight.
        foreign_addresses: u64,
    }
}

impl Piece {
    /// Whether `pieces` may be copied within a buffer of `buffer` bytes.
    ///
    /// # Errors
    /// The reason why not, with the index of the piece that breaks the rule.
    pub fn check(pieces: &[Self], buffer: u64) -> Result<(), BadPiece> {
        for (index, piece) in pieces.iter().enumerate() {
            if piece.length == 0 || piece.flags != 0 {
                return Err(BadPiece::Malformed(index));
            }
            if piece.source_end() > buffer || piece.destination_end() > buffer {
                return Err(BadPiece::OutOfRange(index));
            }
            let overlaps = pieces.iter().enumerate().any(|(other_index, other)| {
                overlap(piece.destination, piece.destination_end(), other.source, other.source_end())
                    || (other_index != index
                        && overlap(
                            piece.destination,
                            piece.destination_end(),
                            other.destination,
                            other.destination_end(),
                        ))
            });
            if overlaps {
                return Err(BadPiece::Overlap(index));
            }
        }
        Ok(())
    }

    /// First byte behind the source. Cannot overflow: both numbers have 32 bits.
    const fn source_end(&self) -> u64 {
        (self.source as u64).wrapping_add(self.length as u64)
    }

    /// First byte behind the destination. Cannot overflow: both numbers have 32 bits.
    const fn destination_end(&self) -> u64 {
        (self.destination as u64).wrapping_add(self.length as u64)
    }
}

/// Why pieces are refused. The number is the index of the first piece that breaks the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadPiece {
    /// Its length is zero, or a flag is set.
    Malformed(usize),
    /// It reaches beyond the buffer.
    OutOfRange(usize),
    /// Its destination overlaps a source or another destination.
    Overlap(usize),
}

/// Whether two ranges, each from its first byte to the first byte behind it, share a byte.
const fn overlap(start: u32, end: u64, other_start: u32, other_end: u64) -> bool {
    (start as u64) < other_end && (other_start as u64) < end
}
