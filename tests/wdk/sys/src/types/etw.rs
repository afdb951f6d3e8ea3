//! Event Tracing for Windows (evntprov.h).

use super::*;

pub type REGHANDLE = ULONGLONG;
pub type PREGHANDLE = *mut ULONGLONG;
pub type PCEVENT_DESCRIPTOR = *const EVENT_DESCRIPTOR;

callbacks! {
    ETWENABLECALLBACK | PETWENABLECALLBACK(
        SourceId: LPCGUID, ControlCode: ULONG, Level: UCHAR, MatchAnyKeyword: ULONGLONG, MatchAllKeyword: ULONGLONG,
        FilterData: PEVENT_FILTER_DESCRIPTOR, CallbackContext: PVOID);
}

enumerations! {
    _EVENT_INFO_CLASS = EVENT_INFO_CLASS {
        EventProviderBinaryTrackInfo = 0,
        EventProviderSetReserved1 = 1,
        EventProviderSetTraits = 2,
        EventProviderUseDescriptorType = 3,
    }
}

structs! {
    _EVENT_DATA_DESCRIPTOR__bindgen_ty_1__bindgen_ty_1 { Type: UCHAR, Reserved1: UCHAR, Reserved2: USHORT }
    _EVENT_DATA_DESCRIPTOR = EVENT_DATA_DESCRIPTOR, PEVENT_DATA_DESCRIPTOR {
        Ptr: ULONGLONG,
        Size: ULONG,
        __bindgen_anon_1: _EVENT_DATA_DESCRIPTOR__bindgen_ty_1,
    }
    _EVENT_DESCRIPTOR = EVENT_DESCRIPTOR, PEVENT_DESCRIPTOR {
        Id: USHORT,
        Version: UCHAR,
        Channel: UCHAR,
        Level: UCHAR,
        Opcode: UCHAR,
        Task: USHORT,
        Keyword: ULONGLONG,
    }
    _EVENT_FILTER_DESCRIPTOR = EVENT_FILTER_DESCRIPTOR, PEVENT_FILTER_DESCRIPTOR {
        Ptr: ULONGLONG,
        Size: ULONG,
        Type: ULONG,
    }
}

unions! {
    _EVENT_DATA_DESCRIPTOR__bindgen_ty_1 {
        Reserved: ULONG,
        __bindgen_anon_1: _EVENT_DATA_DESCRIPTOR__bindgen_ty_1__bindgen_ty_1,
    }
}
