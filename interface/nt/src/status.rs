//! NTSTATUS as a type, and [`Result`] with it.

use core::fmt;

use wdk_sys::NTSTATUS;

/// A status that is not success, or success as what a callback returns to the kernel.
#[derive(Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Status(NTSTATUS);

/// What a fallible kernel operation gives.
pub type Result<T = ()> = core::result::Result<T, Status>;

/// Declares the named codes (ntstatus.h) and the way back from a code to its name.
macro_rules! statuses {
    ($($name:ident = $code:literal, $meaning:literal;)+) => {
        impl Status {
            $(
                #[doc = concat!("STATUS_", stringify!($name), ": ", $meaning, ".")]
                pub const $name: Self = Self($code as u32 as i32);
            )+

            /// The name in ntstatus.h, or "?" for a code that these drivers never return themselves.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self.0 as u32 {
                    $($code => concat!("STATUS_", stringify!($name)),)+
                    _ => "?",
                }
            }
        }
    };
}

statuses! {
    SUCCESS = 0x0000_0000, "done";
    TIMEOUT = 0x0000_0102, "a wait ended because its time was up";
    PENDING = 0x0000_0103, "accepted; completion is reported later";
    BUFFER_OVERFLOW = 0x8000_0005, "part of the data was returned, the rest did not fit";
    DEVICE_BUSY = 0x8000_0011, "in use";
    NO_MORE_ENTRIES = 0x8000_001A, "nothing follows";
    UNSUCCESSFUL = 0xC000_0001, "failed without a better reason";
    NOT_IMPLEMENTED = 0xC000_0002, "there is no such operation";
    INFO_LENGTH_MISMATCH = 0xC000_0004, "the structure's size is not the expected one";
    INVALID_HANDLE = 0xC000_0008, "the handle names nothing";
    INVALID_PARAMETER = 0xC000_000D, "an argument is outside its legal values";
    NO_SUCH_DEVICE = 0xC000_000E, "the device is gone";
    INVALID_DEVICE_REQUEST = 0xC000_0010, "the device has no such request";
    ACCESS_DENIED = 0xC000_0022, "not allowed";
    BUFFER_TOO_SMALL = 0xC000_0023, "the caller's buffer does not hold the answer";
    OBJECT_NAME_NOT_FOUND = 0xC000_0034, "no key, value or object has this name";
    OBJECT_TYPE_MISMATCH = 0xC000_0024, "the object or value is of another type";
    REVISION_MISMATCH = 0xC000_0059, "the version is not one that is served";
    CONFLICTING_ADDRESSES = 0xC000_0018, "the ranges overlap";
    INTEGER_OVERFLOW = 0xC000_0095, "a sum is larger than its type";
    INSUFFICIENT_RESOURCES = 0xC000_009A, "memory, descriptors or slots ran out";
    DEVICE_NOT_READY = 0xC000_00A3, "the device cannot serve this now";
    IO_TIMEOUT = 0xC000_00B5, "the device did not answer in time";
    NOT_SUPPORTED = 0xC000_00BB, "the provider or device cannot do this";
    DEVICE_DOES_NOT_EXIST = 0xC000_00C0, "the device has left";
    CANCELLED = 0xC000_0120, "the request was cancelled";
    INVALID_DEVICE_STATE = 0xC000_0184, "the call does not fit the object's state";
    IO_DEVICE_ERROR = 0xC000_0185, "the device reported an error";
    DEVICE_PROTOCOL_ERROR = 0xC000_0186, "the device broke its own protocol";
    DEVICE_CONFIGURATION_ERROR = 0xC000_0182, "the device's resources are not usable";
    INVALID_BUFFER_SIZE = 0xC000_0206, "the buffer's size does not fit its contents";
    NOT_FOUND = 0xC000_0225, "it is not there";
    ALREADY_REGISTERED = 0xC000_0718, "it is registered already";
    DATA_ERROR = 0xC000_003E, "the data is not what it should be";
    REQUEST_ABORTED = 0xC000_0240, "cut off by an abort, a reset or a stop";
    DELETE_PENDING = 0xC000_0056, "the object is being torn down";
    DEVICE_REMOVED = 0xC000_02B6, "the device was removed";
}

impl Status {
    /// The code as it came from the kernel.
    pub const fn from_code(code: NTSTATUS) -> Self {
        Self(code)
    }

    /// The code as the kernel wants it.
    #[must_use]
    pub const fn code(self) -> NTSTATUS {
        self.0
    }

    /// Whether the code reports success or information (NT_SUCCESS of ntdef.h).
    #[must_use]
    pub const fn is_success(self) -> bool {
        self.0 >= 0
    }

    /// Success or informational codes are `Ok`, warnings and errors `Err`.
    ///
    /// # Errors
    /// The code, if it is a warning or an error.
    pub const fn check(code: NTSTATUS) -> Result {
        if code >= 0 { Ok(()) } else { Err(Self(code)) }
    }
}

/// What a callback returns to the kernel.
impl From<Result> for Status {
    fn from(result: Result) -> Self {
        match result {
            Ok(()) => Self::SUCCESS,
            Err(status) => status,
        }
    }
}

impl From<Status> for netdma_events::Status {
    fn from(status: Status) -> Self {
        Self(status.0)
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:#010x})", self.name(), self.0.cast_unsigned())
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::format;

    use super::*;

    #[test]
    fn success_and_information_are_ok_warnings_and_errors_are_not() {
        assert_eq!(Status::check(0), Ok(()));
        assert_eq!(Status::check(Status::PENDING.code()), Ok(()));
        assert_eq!(Status::check(Status::BUFFER_OVERFLOW.code()), Err(Status::BUFFER_OVERFLOW));
        assert_eq!(Status::check(Status::UNSUCCESSFUL.code()), Err(Status::UNSUCCESSFUL));
    }

    #[test]
    fn a_code_prints_with_its_name_and_an_unknown_one_as_a_number() {
        assert_eq!(
            format!("{:?}", Status::INSUFFICIENT_RESOURCES),
            "STATUS_INSUFFICIENT_RESOURCES (0xc000009a)"
        );
        assert_eq!(format!("{:?}", Status::from_code(0x1234)), "? (0x00001234)");
    }

    #[test]
    fn names_stand_for_the_codes_of_the_bindings() {
        assert_eq!(Status::DEVICE_REMOVED.code(), wdk_sys::STATUS_DEVICE_REMOVED);
        assert_eq!(Status::INVALID_DEVICE_STATE.code(), wdk_sys::STATUS_INVALID_DEVICE_STATE);
        assert_eq!(Status::IO_TIMEOUT.code(), wdk_sys::STATUS_IO_TIMEOUT);
        assert_eq!(Status::DEVICE_BUSY.code(), wdk_sys::STATUS_DEVICE_BUSY);
    }
}
