//! The run-time library and the debugger.

use crate::types::*;

imports! {
    fn DbgPrint(Format: PCSTR, ...) -> ULONG;
    fn RtlInitUnicodeString(DestinationString: PUNICODE_STRING, SourceString: PCWSTR);
}
