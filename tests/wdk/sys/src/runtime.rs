//! Symbols that compiled code refers to without naming them.
//!
//! The memory functions and the stack probe come from the kernel, as with Microsoft's linker. `_fltused` and the
//! C++ frame handler are mentioned by code that is never run; the real crate defines them as exported functions,
//! here they are plain assembly symbols, so that they do not appear among an image's exports.

#[allow(dead_code, reason = "called by generated code only")]
#[link(name = "ntoskrnl.exe", kind = "raw-dylib", modifiers = "+verbatim")]
unsafe extern "C" {
    fn memcpy(destination: *mut u8, source: *const u8, count: usize) -> *mut u8;
    fn memmove(destination: *mut u8, source: *const u8, count: usize) -> *mut u8;
    fn memset(destination: *mut u8, value: i32, count: usize) -> *mut u8;
    fn memcmp(left: *const u8, right: *const u8, count: usize) -> i32;
    fn strlen(text: *const i8) -> usize;
    fn __chkstk();
}

core::arch::global_asm!(
    ".section .rdata,\"dr\"",
    ".globl _fltused",
    "_fltused:",
    ".long 0",
    ".text",
    ".globl __CxxFrameHandler3",
    "__CxxFrameHandler3:",
    "int3",
);
