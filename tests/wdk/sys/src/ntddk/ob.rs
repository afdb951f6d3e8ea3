//! The object manager.

use crate::types::*;

imports! {
    fn ObfReferenceObject(Object: PVOID) -> LONG_PTR;
    fn ObfDereferenceObject(Object: PVOID) -> LONG_PTR;
    fn ObReferenceObjectByHandle(
        Handle: HANDLE, DesiredAccess: ACCESS_MASK, ObjectType: POBJECT_TYPE, AccessMode: KPROCESSOR_MODE,
        Object: *mut PVOID, HandleInformation: POBJECT_HANDLE_INFORMATION) -> NTSTATUS;
}
