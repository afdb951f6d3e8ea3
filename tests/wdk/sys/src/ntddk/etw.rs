//! Event Tracing for Windows, under the kernel's own names.

use crate::types::*;

imports! {
    fn EtwRegister(
        ProviderId: LPCGUID, EnableCallback: PETWENABLECALLBACK, CallbackContext: PVOID,
        RegHandle: PREGHANDLE) -> NTSTATUS;
    fn EtwUnregister(RegHandle: REGHANDLE) -> NTSTATUS;
    fn EtwSetInformation(
        RegHandle: REGHANDLE, InformationClass: EVENT_INFO_CLASS, EventInformation: PVOID,
        InformationLength: ULONG) -> NTSTATUS;
    fn EtwWriteTransfer(
        RegHandle: REGHANDLE, EventDescriptor: PCEVENT_DESCRIPTOR, ActivityId: LPCGUID, RelatedActivityId: LPCGUID,
        UserDataCount: ULONG, UserData: PEVENT_DATA_DESCRIPTOR) -> NTSTATUS;
    fn EtwActivityIdControl(ControlCode: ULONG, ActivityId: LPGUID) -> NTSTATUS;
}
