//! Offsets of the WDM structures that drivers and the machine share, for x64.
//!
//! Source: wdm.h of the WDK (DRIVER_OBJECT, DRIVER_EXTENSION, DEVICE_OBJECT, IRP, IO_STACK_LOCATION, FILE_OBJECT, MDL).

/// DRIVER_OBJECT.
pub(crate) mod driver {
    /// IO_TYPE_DRIVER.
    pub const TYPE: i16 = 4;
    pub const SIZE: u64 = 0x150;
    pub const DEVICE_OBJECT: u64 = 0x08;
    pub const START: u64 = 0x18;
    pub const IMAGE_SIZE: u64 = 0x20;
    pub const EXTENSION: u64 = 0x30;
    pub const NAME: u64 = 0x38;
    pub const INIT: u64 = 0x58;
    pub const UNLOAD: u64 = 0x68;
    pub const MAJOR_FUNCTION: u64 = 0x70;
    /// IRP_MJ_MAXIMUM_FUNCTION + 1.
    pub const MAJOR_FUNCTIONS: u64 = 28;

    /// DRIVER_EXTENSION lies behind the driver object.
    pub const EXTENSION_SIZE: u64 = 0x50;
    pub const EXTENSION_ADD_DEVICE: u64 = 0x08;
    pub const EXTENSION_SERVICE_KEY: u64 = 0x18;
}

/// DEVICE_OBJECT.
pub(crate) mod device {
    /// IO_TYPE_DEVICE.
    pub const TYPE: i16 = 3;
    pub const SIZE: u64 = 0x150;
    pub const REFERENCE_COUNT: u64 = 0x04;
    pub const DRIVER: u64 = 0x08;
    pub const NEXT: u64 = 0x10;
    pub const ATTACHED: u64 = 0x18;
    pub const FLAGS: u64 = 0x30;
    pub const CHARACTERISTICS: u64 = 0x34;
    pub const EXTENSION: u64 = 0x40;
    pub const DEVICE_TYPE: u64 = 0x48;
    pub const STACK_SIZE: u64 = 0x4C;
    pub const ALIGNMENT: u64 = 0x98;

    pub const DO_BUFFERED_IO: u32 = 0x04;
    pub const DO_EXCLUSIVE: u32 = 0x08;
    pub const DO_DIRECT_IO: u32 = 0x10;
    pub const DO_DEVICE_INITIALIZING: u32 = 0x80;
    pub const DO_BUS_ENUMERATED_DEVICE: u32 = 0x1000;
    pub const DO_POWER_PAGABLE: u32 = 0x2000;
}

/// IRP.
pub(crate) mod irp {
    /// IO_TYPE_IRP.
    pub const TYPE: i16 = 6;
    pub const SIZE: u64 = 0xD0;
    pub const MDL: u64 = 0x08;
    pub const SYSTEM_BUFFER: u64 = 0x18;
    pub const STATUS: u64 = 0x30;
    pub const INFORMATION: u64 = 0x38;
    pub const REQUESTOR_MODE: u64 = 0x40;
    pub const PENDING_RETURNED: u64 = 0x41;
    pub const STACK_COUNT: u64 = 0x42;
    pub const CURRENT_LOCATION: u64 = 0x43;
    pub const CANCEL: u64 = 0x44;
    pub const CANCEL_IRQL: u64 = 0x45;
    pub const CANCEL_ROUTINE: u64 = 0x68;
    pub const CURRENT_STACK: u64 = 0xB8;
    pub const FILE: u64 = 0xC0;
}

/// IO_STACK_LOCATION.
pub(crate) mod stack {
    pub const SIZE: u64 = 0x48;
    pub const MAJOR: u64 = 0x00;
    pub const MINOR: u64 = 0x01;
    pub const CONTROL: u64 = 0x03;
    /// The four pointer-sized parameters.
    pub const PARAMETERS: u64 = 0x08;
    pub const DEVICE: u64 = 0x28;
    pub const FILE: u64 = 0x30;
    pub const COMPLETION: u64 = 0x38;
    pub const CONTEXT: u64 = 0x40;

    pub const SL_PENDING_RETURNED: u8 = 0x01;
    pub const SL_INVOKE_ON_CANCEL: u8 = 0x20;
    pub const SL_INVOKE_ON_SUCCESS: u8 = 0x40;
    pub const SL_INVOKE_ON_ERROR: u8 = 0x80;
}

/// FILE_OBJECT.
pub(crate) mod file {
    /// IO_TYPE_FILE.
    pub const TYPE: i16 = 5;
    pub const SIZE: u64 = 0xD8;
    pub const DEVICE: u64 = 0x08;
    pub const NAME: u64 = 0x58;
}

/// IRP_MJ_… .
pub(crate) mod major {
    pub const CREATE: u8 = 0x00;
    pub const CLOSE: u8 = 0x02;
    pub const DEVICE_CONTROL: u8 = 0x0E;
    pub const CLEANUP: u8 = 0x12;
    pub const POWER: u8 = 0x16;
    pub const SYSTEM_CONTROL: u8 = 0x17;
    pub const PNP: u8 = 0x1B;
}

/// Minor functions of IRP_MJ_PNP.
pub(crate) mod pnp {
    pub const START_DEVICE: u8 = 0x00;
    pub const QUERY_REMOVE_DEVICE: u8 = 0x01;
    pub const REMOVE_DEVICE: u8 = 0x02;
    pub const CANCEL_REMOVE_DEVICE: u8 = 0x03;
    pub const STOP_DEVICE: u8 = 0x04;
    pub const QUERY_STOP_DEVICE: u8 = 0x05;
    pub const CANCEL_STOP_DEVICE: u8 = 0x06;
    pub const QUERY_DEVICE_RELATIONS: u8 = 0x07;
    pub const QUERY_INTERFACE: u8 = 0x08;
    pub const QUERY_CAPABILITIES: u8 = 0x09;
    pub const QUERY_RESOURCES: u8 = 0x0A;
    pub const QUERY_RESOURCE_REQUIREMENTS: u8 = 0x0B;
    pub const QUERY_DEVICE_TEXT: u8 = 0x0C;
    pub const FILTER_RESOURCE_REQUIREMENTS: u8 = 0x0D;
    pub const READ_CONFIG: u8 = 0x0F;
    pub const WRITE_CONFIG: u8 = 0x10;
    pub const QUERY_ID: u8 = 0x13;
    pub const QUERY_PNP_DEVICE_STATE: u8 = 0x14;
    pub const QUERY_BUS_INFORMATION: u8 = 0x15;
    pub const SURPRISE_REMOVAL: u8 = 0x17;
}

/// Minor functions of IRP_MJ_POWER.
pub(crate) mod power {
    pub const SET_POWER: u8 = 0x02;
    pub const QUERY_POWER: u8 = 0x03;
}

/// The name of a minor function, for the trace and for stops.
pub(crate) fn irp_name(major: u8, minor: u8) -> String {
    let pnp = match minor {
        pnp::START_DEVICE => "START_DEVICE",
        pnp::QUERY_REMOVE_DEVICE => "QUERY_REMOVE_DEVICE",
        pnp::REMOVE_DEVICE => "REMOVE_DEVICE",
        pnp::CANCEL_REMOVE_DEVICE => "CANCEL_REMOVE_DEVICE",
        pnp::STOP_DEVICE => "STOP_DEVICE",
        pnp::QUERY_STOP_DEVICE => "QUERY_STOP_DEVICE",
        pnp::CANCEL_STOP_DEVICE => "CANCEL_STOP_DEVICE",
        pnp::QUERY_DEVICE_RELATIONS => "QUERY_DEVICE_RELATIONS",
        pnp::QUERY_INTERFACE => "QUERY_INTERFACE",
        pnp::QUERY_CAPABILITIES => "QUERY_CAPABILITIES",
        pnp::QUERY_RESOURCES => "QUERY_RESOURCES",
        pnp::QUERY_RESOURCE_REQUIREMENTS => "QUERY_RESOURCE_REQUIREMENTS",
        pnp::QUERY_DEVICE_TEXT => "QUERY_DEVICE_TEXT",
        pnp::FILTER_RESOURCE_REQUIREMENTS => "FILTER_RESOURCE_REQUIREMENTS",
        pnp::READ_CONFIG => "READ_CONFIG",
        pnp::WRITE_CONFIG => "WRITE_CONFIG",
        pnp::QUERY_ID => "QUERY_ID",
        pnp::QUERY_PNP_DEVICE_STATE => "QUERY_PNP_DEVICE_STATE",
        pnp::QUERY_BUS_INFORMATION => "QUERY_BUS_INFORMATION",
        pnp::SURPRISE_REMOVAL => "SURPRISE_REMOVAL",
        _ => return format!("IRP_MJ {major:#04x} minor {minor:#04x}"),
    };
    match (major, minor) {
        (major::PNP, _) => format!("IRP_MN_{pnp}"),
        (major::POWER, power::SET_POWER) => "IRP_MN_SET_POWER".to_owned(),
        (major::POWER, power::QUERY_POWER) => "IRP_MN_QUERY_POWER".to_owned(),
        (major::CREATE, _) => "IRP_MJ_CREATE".to_owned(),
        (major::CLEANUP, _) => "IRP_MJ_CLEANUP".to_owned(),
        (major::CLOSE, _) => "IRP_MJ_CLOSE".to_owned(),
        (major::DEVICE_CONTROL, _) => "IRP_MJ_DEVICE_CONTROL".to_owned(),
        (major, minor) => format!("IRP_MJ {major:#04x} minor {minor:#04x}"),
    }
}

/// NTSTATUS values in use (ntstatus.h).
pub(crate) mod status {
    pub const SUCCESS: i32 = 0;
    pub const PENDING: i32 = 0x103;
    pub const UNSUCCESSFUL: i32 = 0xC000_0001_u32 as i32;
    pub const INFO_LENGTH_MISMATCH: i32 = 0xC000_0004_u32 as i32;
    pub const INVALID_PARAMETER: i32 = 0xC000_000D_u32 as i32;
    pub const NO_SUCH_DEVICE: i32 = 0xC000_000E_u32 as i32;
    pub const INVALID_DEVICE_REQUEST: i32 = 0xC000_0010_u32 as i32;
    pub const MORE_PROCESSING_REQUIRED: i32 = 0xC000_0016_u32 as i32;
    pub const ACCESS_DENIED: i32 = 0xC000_0022_u32 as i32;
    pub const BUFFER_TOO_SMALL: i32 = 0xC000_0023_u32 as i32;
    pub const OBJECT_NAME_NOT_FOUND: i32 = 0xC000_0034_u32 as i32;
    pub const OBJECT_NAME_COLLISION: i32 = 0xC000_0035_u32 as i32;
    pub const INSUFFICIENT_RESOURCES: i32 = 0xC000_009A_u32 as i32;
    pub const DEVICE_NOT_READY: i32 = 0xC000_00A3_u32 as i32;
    pub const NOT_SUPPORTED: i32 = 0xC000_00BB_u32 as i32;
    pub const IMAGE_ALREADY_LOADED: i32 = 0xC000_010E_u32 as i32;
    pub const CANCELLED: i32 = 0xC000_0120_u32 as i32;
    pub const DELETE_PENDING: i32 = 0xC000_0056_u32 as i32;
    pub const INVALID_DEVICE_STATE: i32 = 0xC000_0184_u32 as i32;
    pub const NOT_FOUND: i32 = 0xC000_0225_u32 as i32;
    pub const NO_MORE_ENTRIES: i32 = 0x8000_001A_u32 as i32;
    pub const BUFFER_OVERFLOW: i32 = 0x8000_0005_u32 as i32;
    pub const INVALID_HANDLE: i32 = 0xC000_0008_u32 as i32;

    /// NT_SUCCESS.
    pub const fn ok(status: i32) -> bool {
        status >= 0
    }
}
