//! Processes and threads.

use crate::types::*;

imports! {
    fn PsCreateSystemThread(
        ThreadHandle: PHANDLE, DesiredAccess: ULONG, ObjectAttributes: POBJECT_ATTRIBUTES, ProcessHandle: HANDLE,
        ClientId: PCLIENT_ID, StartRoutine: PKSTART_ROUTINE, StartContext: PVOID) -> NTSTATUS;
    fn PsTerminateSystemThread(ExitStatus: NTSTATUS) -> NTSTATUS;
    fn PsGetCurrentThreadId() -> HANDLE;
}
