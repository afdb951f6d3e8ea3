//! Event Tracing for Windows, under the kernel's own names.

use crate::types::*;

imports! {
    fn EtwUnregister(RegHandle: ULONGLONG) -> NTSTATUS;
    fn EtwRegister(ProviderId: LPCGUID, EnableCallback: PVOID, CallbackContext: PVOID, RegHandle: *mut ULONGLONG) -> NTSTATUS;
    fn EtwSetInformation(RegHandle: ULONGLONG, InformationClass: ULONG, EventInformation: PVOID, InformationLength: ULONG) -> NTSTATUS;
    fn EtwWriteTransfer(RegHandle: ULONGLONG, EventDescriptor: PVOID, ActivityId: LPCGUID, RelatedActivityId: LPCGUID, UserDataCount: ULONG, UserData: PVOID) -> NTSTATUS;
    fn EtwActivityIdControl(ControlCode: ULONG, ActivityId: LPGUID) -> NTSTATUS;
}
