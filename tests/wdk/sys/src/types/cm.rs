//! Hardware resources as the Plug and Play manager hands them out. All of these are packed to four bytes (wdm.h).

use super::*;

structs! {
    #[repr(packed(4))]
    _CM_PARTIAL_RESOURCE_DESCRIPTOR__bindgen_ty_1__bindgen_ty_1 { Start: PHYSICAL_ADDRESS, Length: ULONG }
    #[repr(packed(4))]
    _CM_PARTIAL_RESOURCE_DESCRIPTOR__bindgen_ty_1__bindgen_ty_2 { Start: PHYSICAL_ADDRESS, Length: ULONG }
    #[repr(packed(4))]
    _CM_PARTIAL_RESOURCE_DESCRIPTOR__bindgen_ty_1__bindgen_ty_3 { Level: ULONG, Vector: ULONG, Affinity: KAFFINITY }
    #[repr(packed(4))]
    _CM_PARTIAL_RESOURCE_DESCRIPTOR__bindgen_ty_1__bindgen_ty_4__bindgen_ty_1__bindgen_ty_1 {
        Reserved: USHORT,
        MessageCount: USHORT,
        Vector: ULONG,
        Affinity: KAFFINITY,
    }
    #[repr(packed(4))]
    _CM_PARTIAL_RESOURCE_DESCRIPTOR__bindgen_ty_1__bindgen_ty_4__bindgen_ty_1__bindgen_ty_2 {
        Level: ULONG,
        Vector: ULONG,
        Affinity: KAFFINITY,
    }
    #[repr(packed(4))]
    _CM_PARTIAL_RESOURCE_DESCRIPTOR__bindgen_ty_1__bindgen_ty_4 {
        __bindgen_anon_1: _CM_PARTIAL_RESOURCE_DESCRIPTOR__bindgen_ty_1__bindgen_ty_4__bindgen_ty_1,
    }
    #[repr(packed(4))]
    _CM_PARTIAL_RESOURCE_DESCRIPTOR__bindgen_ty_1__bindgen_ty_5 { Start: PHYSICAL_ADDRESS, Length: ULONG }
    #[repr(packed(4))]
    _CM_PARTIAL_RESOURCE_DESCRIPTOR = CM_PARTIAL_RESOURCE_DESCRIPTOR, PCM_PARTIAL_RESOURCE_DESCRIPTOR {
        Type: UCHAR,
        ShareDisposition: UCHAR,
        Flags: USHORT,
        u: _CM_PARTIAL_RESOURCE_DESCRIPTOR__bindgen_ty_1,
    }
    _CM_PARTIAL_RESOURCE_LIST = CM_PARTIAL_RESOURCE_LIST, PCM_PARTIAL_RESOURCE_LIST {
        Version: USHORT,
        Revision: USHORT,
        Count: ULONG,
        PartialDescriptors: [CM_PARTIAL_RESOURCE_DESCRIPTOR; 1],
    }
    _CM_FULL_RESOURCE_DESCRIPTOR = CM_FULL_RESOURCE_DESCRIPTOR, PCM_FULL_RESOURCE_DESCRIPTOR {
        InterfaceType: INTERFACE_TYPE,
        BusNumber: ULONG,
        PartialResourceList: CM_PARTIAL_RESOURCE_LIST,
    }
    _CM_RESOURCE_LIST = CM_RESOURCE_LIST, PCM_RESOURCE_LIST {
        Count: ULONG,
        List: [CM_FULL_RESOURCE_DESCRIPTOR; 1],
    }
}

unions! {
    #[repr(packed(4))]
    _CM_PARTIAL_RESOURCE_DESCRIPTOR__bindgen_ty_1 {
        Generic: _CM_PARTIAL_RESOURCE_DESCRIPTOR__bindgen_ty_1__bindgen_ty_1,
        Port: _CM_PARTIAL_RESOURCE_DESCRIPTOR__bindgen_ty_1__bindgen_ty_2,
        Interrupt: _CM_PARTIAL_RESOURCE_DESCRIPTOR__bindgen_ty_1__bindgen_ty_3,
        MessageInterrupt: _CM_PARTIAL_RESOURCE_DESCRIPTOR__bindgen_ty_1__bindgen_ty_4,
        Memory: _CM_PARTIAL_RESOURCE_DESCRIPTOR__bindgen_ty_1__bindgen_ty_5,
    }
    #[repr(packed(4))]
    _CM_PARTIAL_RESOURCE_DESCRIPTOR__bindgen_ty_1__bindgen_ty_4__bindgen_ty_1 {
        Raw: _CM_PARTIAL_RESOURCE_DESCRIPTOR__bindgen_ty_1__bindgen_ty_4__bindgen_ty_1__bindgen_ty_1,
        Translated: _CM_PARTIAL_RESOURCE_DESCRIPTOR__bindgen_ty_1__bindgen_ty_4__bindgen_ty_1__bindgen_ty_2,
    }
}

enumerations! {
    _INTERFACE_TYPE = INTERFACE_TYPE, PINTERFACE_TYPE {
        InterfaceTypeUndefined = -1,
        Internal = 0,
        Isa = 1,
        PCIBus = 5,
    }
}
