//! How a device is reached, and how a request is refused: Windows itself or the hosted machine.

use std::fmt;
use std::time::Duration;

use netdma_ioctl::Guid;

/// An open handle on a device. Only the transport that gave it knows what it means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handle(pub usize);

/// How a request that succeeded ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// Bytes of the output that were written.
    pub bytes: usize,
    /// From sending it to its completion.
    pub took: Duration,
}

/// A machine with devices.
pub trait Transport {
    /// Names of the devices that offer the interface `class`, in the order of their places.
    ///
    /// # Errors
    /// The system does not say.
    fn devices(&mut self, class: Guid) -> Result<Vec<String>, Refusal>;

    /// Opens a device by its name, for reading and writing.
    ///
    /// # Errors
    /// The system or the driver refuses.
    fn open(&mut self, device: &str) -> Result<Handle, Refusal>;

    /// Closes what [`open`](Self::open) gave. What the driver keeps for the handle ends with it.
    fn close(&mut self, handle: Handle);

    /// Sends a request and waits for it. With a direct method the content of `output` is handed over too.
    ///
    /// # Errors
    /// The driver refuses, or the device has left.
    fn control(
        &mut self,
        handle: Handle,
        code: u32,
        input: &[u8],
        output: &mut [u8],
    ) -> Result<Answer, Refusal>;

    /// Lets time pass.
    fn wait(&mut self, time: Duration);

    /// What a reader of measured times must know; `None` on real hardware.
    fn caveat(&self) -> Option<&'static str> {
        None
    }

    /// Creates the root-enumerated device of netdmatest.sys; says what was done.
    ///
    /// # Errors
    /// The system refuses, or is not Windows.
    fn add_test_device(&mut self) -> Result<String, Trouble>;

    /// Removes every device that [`add_test_device`](Self::add_test_device) has made; says what was done.
    ///
    /// # Errors
    /// As there, or there is none.
    fn remove_test_device(&mut self) -> Result<String, Trouble>;
}

/// Why the system or a driver refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such device, or it has just left.
    NotFound,
    /// Only administrators may.
    AccessDenied,
    /// The device is there, but does not work now.
    NotReady,
    /// The driver has no such request: it is of another version.
    NoSuchRequest,
    /// The driver finds the request malformed, or a number in it out of range.
    Malformed,
    /// The channel is none of this handle.
    NotOurs,
    /// Memory, channels or descriptors have run out.
    NoResources,
    /// The engine's provider cannot do this.
    NotSupported,
    /// The engine reported an error.
    EngineError,
    /// The request was cut off by an abort, a reset or a removal.
    Aborted,
    /// Nothing moved for a second.
    TimedOut,
    /// Anything else, with the system's number.
    Other(u32),
}

/// NTSTATUS, the error code of Windows that RtlNtStatusToDosError makes of it, and what it means here.
const CODES: &[(u32, u32, Refusal)] = &[
    // STATUS_NO_SUCH_DEVICE, ERROR_FILE_NOT_FOUND
    (0xC000_000E, 2, Refusal::NotFound),
    // STATUS_OBJECT_NAME_NOT_FOUND, ERROR_FILE_NOT_FOUND
    (0xC000_0034, 2, Refusal::NotFound),
    // STATUS_DEVICE_DOES_NOT_EXIST, ERROR_DEV_NOT_EXIST
    (0xC000_00C0, 55, Refusal::NotFound),
    // STATUS_DEVICE_REMOVED, ERROR_DEVICE_REMOVED
    (0xC000_02B6, 1617, Refusal::NotFound),
    // STATUS_DELETE_PENDING; its error code is that of STATUS_ACCESS_DENIED, which is the commoner reason
    (0xC000_0056, 5, Refusal::NotFound),
    // STATUS_ACCESS_DENIED, ERROR_ACCESS_DENIED
    (0xC000_0022, 5, Refusal::AccessDenied),
    // STATUS_DEVICE_NOT_READY, ERROR_NOT_READY
    (0xC000_00A3, 21, Refusal::NotReady),
    // STATUS_INVALID_DEVICE_STATE, ERROR_BAD_COMMAND
    (0xC000_0184, 22, Refusal::NotReady),
    // STATUS_INVALID_DEVICE_REQUEST, ERROR_INVALID_FUNCTION
    (0xC000_0010, 1, Refusal::NoSuchRequest),
    // STATUS_INVALID_PARAMETER, ERROR_INVALID_PARAMETER
    (0xC000_000D, 87, Refusal::Malformed),
    // STATUS_BUFFER_TOO_SMALL, ERROR_INSUFFICIENT_BUFFER
    (0xC000_0023, 122, Refusal::Malformed),
    // STATUS_INVALID_BUFFER_SIZE, ERROR_INVALID_USER_BUFFER
    (0xC000_0206, 1784, Refusal::Malformed),
    // STATUS_CONFLICTING_ADDRESSES, ERROR_INVALID_ADDRESS
    (0xC000_0018, 487, Refusal::Malformed),
    // STATUS_INVALID_HANDLE, ERROR_INVALID_HANDLE
    (0xC000_0008, 6, Refusal::NotOurs),
    // STATUS_INSUFFICIENT_RESOURCES, ERROR_NO_SYSTEM_RESOURCES
    (0xC000_009A, 1450, Refusal::NoResources),
    // STATUS_NOT_SUPPORTED, ERROR_NOT_SUPPORTED
    (0xC000_00BB, 50, Refusal::NotSupported),
    // STATUS_IO_DEVICE_ERROR, ERROR_IO_DEVICE
    (0xC000_0185, 1117, Refusal::EngineError),
    // STATUS_REQUEST_ABORTED, ERROR_REQUEST_ABORTED
    (0xC000_0240, 1235, Refusal::Aborted),
    // STATUS_CANCELLED, ERROR_OPERATION_ABORTED
    (0xC000_0120, 995, Refusal::Aborted),
    // STATUS_IO_TIMEOUT, ERROR_SEM_TIMEOUT
    (0xC000_00B5, 121, Refusal::TimedOut),
];

impl Refusal {
    /// What an NTSTATUS means.
    #[must_use]
    pub fn from_status(status: u32) -> Self {
        CODES
            .iter()
            .find(|(known, _, _)| *known == status)
            .map_or(Self::Other(status), |(_, _, meaning)| *meaning)
    }

    /// What an error code of Windows means (GetLastError).
    #[must_use]
    pub fn from_error(error: u32) -> Self {
        // Two statuses share code 5: being refused is the likelier one.
        if error == 5 {
            return Self::AccessDenied;
        }
        CODES
            .iter()
            .find(|(_, known, _)| *known == error)
            .map_or(Self::Other(error), |(_, _, meaning)| *meaning)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFound => "the device is not there, or has just left: see `netdmactl list`",
            Self::AccessDenied => "only administrators may: run this in an elevated prompt",
            Self::NotReady => {
                "the device does not work now (powered down, or being removed): try again when it is back"
            }
            Self::NoSuchRequest => {
                "the driver does not know the request: install driver and netdmactl of the same version"
            }
            Self::Malformed => {
                "the driver finds the request malformed: install driver and netdmactl of the same version"
            }
            Self::NotOurs => {
                "the channel is not open in this program: the provider may have been restarted; try again"
            }
            Self::NoResources => {
                "no channel, descriptor or memory is left: end another client, or ask for less"
            }
            Self::NotSupported => "the engine's provider cannot do this",
            Self::EngineError => "the engine reported an error: `netdmactl errors` names it",
            Self::Aborted => "it was cut off by an abort, a reset or a removal: try again",
            Self::TimedOut => {
                "nothing moved for a second, and the channel was aborted: `netdmactl errors` may say more"
            }
            Self::Other(code) => return write!(f, "the system refuses with code {code:#x}"),
        })
    }
}

/// Why a command could not be done as asked: one line that names the input and the remedy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble(String);

impl Trouble {
    /// With this line.
    #[must_use]
    pub fn new(line: impl Into<String>) -> Self {
        Self(line.into())
    }

    /// `what` was refused.
    #[must_use]
    pub fn refused(what: impl fmt::Display, refusal: Refusal) -> Self {
        Self(format!("{what}: {refusal}"))
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Trouble {}

impl From<std::io::Error> for Trouble {
    fn from(error: std::io::Error) -> Self {
        Self(format!("the output cannot be written: {error}"))
    }
}
