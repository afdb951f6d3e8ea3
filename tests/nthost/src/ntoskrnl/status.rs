//! The status codes the kernel services return (ntstatus.h).
#![allow(missing_docs)] // the names say it; they are ntstatus.h's

pub const SUCCESS: i32 = 0;
pub const INVALID_HANDLE: i32 = 0xC000_0008_u32 as i32;
pub const INVALID_PARAMETER: i32 = 0xC000_000D_u32 as i32;
pub const BUFFER_TOO_SMALL: i32 = 0xC000_0023_u32 as i32;
