//! System services.

use crate::types::*;

imports! {
    fn ZwClose(Handle: HANDLE) -> NTSTATUS;
}
