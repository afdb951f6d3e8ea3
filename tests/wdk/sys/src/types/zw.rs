//! What system services, objects and threads need.

use super::*;

enumerations! {
    _KEY_VALUE_INFORMATION_CLASS = KEY_VALUE_INFORMATION_CLASS {
        KeyValueBasicInformation = 0,
        KeyValueFullInformation = 1,
        KeyValuePartialInformation = 2,
    }
}

structs! {
    _KEY_VALUE_PARTIAL_INFORMATION = KEY_VALUE_PARTIAL_INFORMATION, PKEY_VALUE_PARTIAL_INFORMATION {
        TitleIndex: ULONG,
        Type: ULONG,
        DataLength: ULONG,
        Data: [UCHAR; 1],
    }
    _CLIENT_ID = CLIENT_ID, PCLIENT_ID { UniqueProcess: HANDLE, UniqueThread: HANDLE }
    _OBJECT_HANDLE_INFORMATION = OBJECT_HANDLE_INFORMATION, POBJECT_HANDLE_INFORMATION {
        HandleAttributes: ULONG,
        GrantedAccess: ACCESS_MASK,
    }
}
