//! System services.

use crate::types::*;

imports! {
    fn ZwClose(Handle: HANDLE) -> NTSTATUS;
    fn ZwOpenKey(KeyHandle: PHANDLE, DesiredAccess: ACCESS_MASK, ObjectAttributes: POBJECT_ATTRIBUTES) -> NTSTATUS;
    fn ZwQueryValueKey(
        KeyHandle: HANDLE, ValueName: PUNICODE_STRING, KeyValueInformationClass: KEY_VALUE_INFORMATION_CLASS,
        KeyValueInformation: PVOID, Length: ULONG, ResultLength: PULONG) -> NTSTATUS;
}
