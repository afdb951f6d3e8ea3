//! Control codes and buffers that user mode exchanges with ioatdma.sys: what an engine is and has done. Read only.
//!
//! Every started engine offers the interface class [`INTERFACE`]. Its one code, [`REPORT`], is answered from memory in
//! every power state and also after a surprise removal has begun: no register is touched and nothing is waited for.
//!
//! | Code | Method, access | In | Out |
//! |---|---|---|---|
//! | [`REPORT`] | buffered, read | - | [`Engine`], then as many [`Channel`]s as fit |

use crate::wire::wire;
use crate::{BUFFERED, Guid, READ, code};

/// Interface class of an engine: {B5D6C0E2-1F3A-4C8E-9D47-3A60F2718C95}.
pub const INTERFACE: Guid = Guid {
    data1: 0xB5D6_C0E2,
    data2: 0x1F3A,
    data3: 0x4C8E,
    data4: [0x9D, 0x47, 0x3A, 0x60, 0xF2, 0x71, 0x8C, 0x95],
};

/// The engine and its channels. STATUS_BUFFER_TOO_SMALL when not even [`Engine`] fits.
pub const REPORT: u32 = code(0x900, BUFFERED, READ);

/// Most channels of one engine.
pub const MAX_CHANNELS: u32 = 4;

/// No processor.
pub const NOWHERE: u32 = u32::MAX;

wire! {
    /// One engine: a PCI function.
    Engine {
        /// Where it is, as bus << 8 | device << 3 | function.
        location: u32,
        /// PCI vendor << 16 | device.
        id: u32,
        /// Version of ioatdma.sys, major << 16 | minor << 8 | patch.
        driver_version: u32,
        /// Version of the NetDMA interface of netdma.sys, major << 16 | minor.
        interface_version: u32,
        /// NetDMA version it registered with, major << 16 | minor.
        version: u32,
        /// Hardware version as the engine reports it, major << 16 | minor; 0 before it was first started.
        hardware_version: u32,
        /// One of the `STATE_` values.
        state: u32,
        /// One of the `INTERRUPTS_` values.
        interrupts: u32,
        /// Channels it has; 0 while it has no resources.
        channels: u32,
        /// Bytes that one descriptor may copy; 0 before it was first started.
        maximum_transfer: u32,
    }
}

/// A value of [`Engine::state`]: it has no resources: not started, or stopped.
pub const STATE_STOPPED: u32 = 0;
/// A value of [`Engine::state`]: it works.
pub const STATE_WORKING: u32 = 1;
/// A value of [`Engine::state`]: it is powered down, or on its way up or down.
pub const STATE_ASLEEP: u32 = 2;
/// A value of [`Engine::state`]: it was removed without being asked.
pub const STATE_GONE: u32 = 3;

/// A value of [`Engine::interrupts`]: none; completions are found by looking.
pub const INTERRUPTS_NONE: u32 = 0;
/// [`Engine::interrupts`]: one, a line or a message, for all channels.
pub const INTERRUPTS_SHARED: u32 = 1;
/// [`Engine::interrupts`]: a message for each channel.
pub const INTERRUPTS_PER_CHANNEL: u32 = 2;

wire! {
    /// One channel. The counters begin at zero when the driver is given the device.
    Channel {
        /// Its number in the function.
        number: u32,
        /// One of the `CHANNEL_` values.
        state: u32,
        /// 1 while the channel is allocated, 0 otherwise.
        allocated: u32,
        /// System-wide index of the processor at which its message arrives; [`NOWHERE`] if several or none.
        message_processor: u32,
        /// System-wide index of the processor on which completions are reported; [`NOWHERE`] before the first allocation.
        report_processor: u32,
        /// CHANERR of the last halt; 0 if there was none.
        last_errors: u32,
        /// Interrupts taken.
        interrupts: u64,
        /// Times that completions were reported to netdma.sys.
        completions: u64,
        /// Times that the channel stopped by itself.
        halts: u64,
        /// Completions that only the watchdog found.
        recovered: u64,
        /// Commands that did not stop the engine within their wait, and were finished in the background.
        late_stops: u64,
    }
}

/// [`Channel::state`]: not in D0, or without resources.
pub const CHANNEL_DOWN: u32 = 0;
/// [`Channel::state`]: quiet and programmed.
pub const CHANNEL_READY: u32 = 1;
/// [`Channel::state`]: started; busy, or done with everything.
pub const CHANNEL_RUNNING: u32 = 2;
/// [`Channel::state`]: suspended by command.
pub const CHANNEL_SUSPENDED: u32 = 3;
/// [`Channel::state`]: stopped by an abort.
pub const CHANNEL_HALTED: u32 = 4;
/// [`Channel::state`]: stopped by an error, until a start or a reset.
pub const CHANNEL_FAULTED: u32 = 5;
/// [`Channel::state`]: a stop is being finished in the background.
pub const CHANNEL_STOPPING: u32 = 6;
/// [`Channel::state`]: it did not even finish a reset; out of use until the device is restarted.
pub const CHANNEL_LOST: u32 = 7;
/// [`Channel::state`]: its device has left.
pub const CHANNEL_GONE: u32 = 8;

/// The name of a [`Channel::state`].
#[must_use]
pub const fn state_name(state: u32) -> &'static str {
    match state {
        CHANNEL_DOWN => "down",
        CHANNEL_READY => "ready",
        CHANNEL_RUNNING => "running",
        CHANNEL_SUSPENDED => "suspended",
        CHANNEL_HALTED => "halted",
        CHANNEL_FAULTED => "faulted",
        CHANNEL_STOPPING => "stopping",
        CHANNEL_LOST => "lost",
        CHANNEL_GONE => "gone",
        _ => "unknown",
    }
}
