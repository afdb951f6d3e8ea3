//! What user mode is told: netdma-ioctl's `engine` interface, which netdmactl reads. Read only.
//!
//! Answered from memory: no register is touched and nothing is waited for, so an open handle or a request under way
//! delays neither a power change nor a removal. No answer holds an address of memory.

use ioat_core::{InterruptKind, State};
use netdma_ioctl::engine::{self as ioctl, Channel, Engine};
use netdma_ioctl::{DEVICE_TYPE, SDDL, Wire};
use nt::irql::Passive;
use nt::pool::Array;
use nt::string::Wide;
use nt::wdf::{DeviceControl, DeviceHandle, DeviceInit, Request, Served};
use nt::{Result, Status, sys};

use crate::device::IoatDevice;
use crate::{TAG, netdma};

/// Who may open the device.
const SDDL_CHARACTERS: [u16; SDDL.len()] = nt::string::widen(SDDL);

/// Interface class of the device.
const INTERFACE: sys::GUID = sys::GUID {
    Data1: ioctl::INTERFACE.data1,
    Data2: ioctl::INTERFACE.data2,
    Data3: ioctl::INTERFACE.data3,
    Data4: ioctl::INTERFACE.data4,
};

/// Version of the driver, major << 16 | minor << 8 | patch, from Cargo.toml.
const DRIVER_VERSION: u32 = number(env!("CARGO_PKG_VERSION_MAJOR")) << 16
    | number(env!("CARGO_PKG_VERSION_MINOR")) << 8
    | number(env!("CARGO_PKG_VERSION_PATCH"));

/// Lets only the system and administrators open the device that is about to be created.
///
/// # Errors
/// What the framework reports.
pub fn secure(init: &mut DeviceInit<'_>, irql: &Passive) -> Result {
    init.secure(DEVICE_TYPE, Wide::new(&SDDL_CHARACTERS), irql)
}

/// Offers the device to user mode; requests come once it has started.
///
/// # Errors
/// What the framework reports.
pub fn publish(device: DeviceHandle<'_, IoatDevice>, irql: &Passive) -> Result {
    device.serve_requests(Served::Always, irql)?;
    device.create_interface(&INTERFACE, irql)
}

impl DeviceControl for IoatDevice {
    fn device_control(&self, request: Request, code: u32, irql: &mut Passive) {
        let answer = match code {
            ioctl::REPORT => self.report(&request, irql),
            _ => Err(Status::INVALID_DEVICE_REQUEST),
        };
        request.complete(answer);
    }
}

impl IoatDevice {
    /// Writes the engine and as many channels as fit; gives the number of bytes.
    fn report(&self, request: &Request, irql: &mut Passive) -> Result<usize> {
        let room = request.output_length()?.checked_sub(Engine::SIZE).ok_or(Status::BUFFER_TOO_SMALL)?;
        let lanes = self.engine().present().iter().take(room / Channel::SIZE);
        let length = lanes.len().saturating_mul(Channel::SIZE).saturating_add(Engine::SIZE);
        let mut bytes = Array::new(TAG, length, |_| 0_u8)?;
        let (head, rest) = bytes.split_at_mut_checked(Engine::SIZE).ok_or(Status::BUFFER_TOO_SMALL)?;
        self.describe(irql).write_to(head).ok_or(Status::BUFFER_TOO_SMALL)?;
        for (chunk, lane) in rest.chunks_exact_mut(Channel::SIZE).zip(lanes) {
            lane.report(irql).write_to(chunk).ok_or(Status::BUFFER_TOO_SMALL)?;
        }
        request.write_output(&bytes)?;
        Ok(length)
    }

    fn describe(&self, irql: &mut Passive) -> Engine {
        let facts = self.facts(irql);
        let engine = self.engine();
        let device = engine.identity.device;
        Engine {
            location: engine.location.0 as u32,
            id: u32::from(device.vendor) << 16 | u32::from(device.device),
            driver_version: DRIVER_VERSION,
            interface_version: netdma::version(irql).0,
            version: engine.identity.registered.0,
            hardware_version: facts
                .map_or(0, |facts| u32::from(facts.version.major()) << 16 | u32::from(facts.version.minor())),
            state: if self.is_gone() {
                ioctl::STATE_GONE
            } else if facts.is_none() {
                ioctl::STATE_STOPPED
            } else if self.is_awake() {
                ioctl::STATE_WORKING
            } else {
                ioctl::STATE_ASLEEP
            },
            interrupts: match engine.kind() {
                InterruptKind::None => ioctl::INTERRUPTS_NONE,
                InterruptKind::Shared => ioctl::INTERRUPTS_SHARED,
                InterruptKind::PerChannel => ioctl::INTERRUPTS_PER_CHANNEL,
            },
            channels: engine.present().len() as u32,
            maximum_transfer: facts.map_or(0, |facts| facts.max_transfer),
        }
    }
}

/// A channel's state as user mode names it.
pub const fn state(state: State) -> u32 {
    match state {
        State::Down => ioctl::CHANNEL_DOWN,
        State::Ready => ioctl::CHANNEL_READY,
        State::Running => ioctl::CHANNEL_RUNNING,
        State::Suspended => ioctl::CHANNEL_SUSPENDED,
        State::Halted => ioctl::CHANNEL_HALTED,
        State::Faulted => ioctl::CHANNEL_FAULTED,
        State::Stopping => ioctl::CHANNEL_STOPPING,
        State::Lost => ioctl::CHANNEL_LOST,
        State::Gone => ioctl::CHANNEL_GONE,
    }
}

/// The number that decimal `digits` name.
const fn number(digits: &str) -> u32 {
    let bytes = digits.as_bytes();
    let (mut value, mut at) = (0_u32, 0);
    while at < bytes.len() {
        value = value.wrapping_mul(10).wrapping_add((bytes[at] as u32).wrapping_sub('0' as u32));
        at += 1;
    }
    value
}
