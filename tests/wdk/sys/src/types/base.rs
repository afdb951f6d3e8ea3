//! The scalar types of basetsd.h and ntdef.h, strings, lists, identifiers.

use core::ffi::{
    c_char, c_int, c_longlong, c_schar, c_short, c_uchar, c_uint, c_ulonglong, c_ushort, c_void,
};

// `long` has 32 bits on Windows; elsewhere (the layout test runs on the build machine) C's has 64.
#[cfg(windows)]
use core::ffi::{c_long, c_ulong};
#[cfg(not(windows))]
type c_long = i32;
#[cfg(not(windows))]
type c_ulong = u32;

pub type CHAR = c_char;
pub type CCHAR = c_char;
pub type SCHAR = c_schar;
pub type UCHAR = c_uchar;
pub type BYTE = c_uchar;
pub type SHORT = c_short;
pub type CSHORT = c_short;
pub type USHORT = c_ushort;
pub type WORD = c_ushort;
pub type INT = c_int;
pub type UINT = c_uint;
pub type LONG = c_long;
pub type ULONG = c_ulong;
pub type DWORD = c_ulong;
pub type LONGLONG = c_longlong;
pub type ULONGLONG = c_ulonglong;
pub type INT32 = c_int;
pub type UINT32 = c_uint;
pub type UINT8 = c_uchar;
pub type UINT16 = c_ushort;
pub type INT64 = c_longlong;
pub type UINT64 = c_ulonglong;
pub type LONG64 = c_longlong;
pub type ULONG64 = c_ulonglong;
pub type DWORD64 = c_ulonglong;
pub type INT_PTR = c_longlong;
pub type UINT_PTR = c_ulonglong;
pub type LONG_PTR = c_longlong;
pub type ULONG_PTR = c_ulonglong;
pub type SIZE_T = ULONG_PTR;
pub type SSIZE_T = LONG_PTR;
pub type wchar_t = c_ushort;
pub type WCHAR = wchar_t;
pub type BOOLEAN = UCHAR;
pub type LOGICAL = ULONG;
pub type PVOID = *mut c_void;
pub type HANDLE = *mut c_void;
pub type PHANDLE = *mut HANDLE;
pub type PCHAR = *mut CHAR;
pub type PSTR = *mut CHAR;
pub type PCSTR = *const CHAR;
pub type PCCH = *const CHAR;
pub type PUCHAR = *mut UCHAR;
pub type PUSHORT = *mut USHORT;
pub type PSHORT = *mut SHORT;
pub type PLONG = *mut LONG;
pub type PULONG = *mut ULONG;
pub type PULONG64 = *mut ULONG64;
pub type PULONGLONG = *mut ULONGLONG;
pub type PLONGLONG = *mut LONGLONG;
pub type PULONG_PTR = *mut ULONG_PTR;
pub type PSIZE_T = *mut SIZE_T;
pub type PBOOLEAN = *mut BOOLEAN;
pub type PWCH = *mut WCHAR;
pub type PWCHAR = *mut WCHAR;
pub type PWSTR = *mut WCHAR;
pub type PCWSTR = *const WCHAR;
pub type PCWCH = *const WCHAR;
pub type NTSTATUS = LONG;
pub type PNTSTATUS = *mut NTSTATUS;
pub type ACCESS_MASK = DWORD;
pub type PACCESS_MASK = *mut ACCESS_MASK;
pub type LCID = ULONG;
pub type KIRQL = UCHAR;
pub type PKIRQL = *mut KIRQL;
pub type KPROCESSOR_MODE = CCHAR;
pub type KAFFINITY = ULONG_PTR;
pub type PKAFFINITY = *mut KAFFINITY;
pub type KPRIORITY = LONG;
pub type KSPIN_LOCK = ULONG_PTR;
pub type PKSPIN_LOCK = *mut KSPIN_LOCK;
pub type PFN_NUMBER = ULONG_PTR;
pub type PPFN_NUMBER = *mut PFN_NUMBER;
pub type PHYSICAL_ADDRESS = LARGE_INTEGER;
pub type PPHYSICAL_ADDRESS = *mut LARGE_INTEGER;
pub type DEVICE_TYPE = ULONG;
pub type POOL_FLAGS = ULONG64;
pub type PCUNICODE_STRING = *const UNICODE_STRING;
pub type LPCGUID = *const GUID;
pub type LPGUID = *mut GUID;

structs! {
    _LARGE_INTEGER__bindgen_ty_1 { LowPart: DWORD, HighPart: LONG }
    _LARGE_INTEGER__bindgen_ty_2 { LowPart: DWORD, HighPart: LONG }
    _ULARGE_INTEGER__bindgen_ty_1 { LowPart: DWORD, HighPart: DWORD }
    _ULARGE_INTEGER__bindgen_ty_2 { LowPart: DWORD, HighPart: DWORD }
    _UNICODE_STRING = UNICODE_STRING, PUNICODE_STRING {
        Length: USHORT,
        MaximumLength: USHORT,
        Buffer: PWCH,
    }
    _STRING = STRING, PSTRING {
        Length: USHORT,
        MaximumLength: USHORT,
        Buffer: PCHAR,
    }
    _LIST_ENTRY = LIST_ENTRY, PLIST_ENTRY, PRLIST_ENTRY {
        Flink: *mut _LIST_ENTRY,
        Blink: *mut _LIST_ENTRY,
    }
    _SINGLE_LIST_ENTRY = SINGLE_LIST_ENTRY, PSINGLE_LIST_ENTRY { Next: *mut _SINGLE_LIST_ENTRY }
    _GUID = GUID {
        Data1: c_ulong,
        Data2: c_ushort,
        Data3: c_ushort,
        Data4: [c_uchar; 8],
    }
    _OBJECT_ATTRIBUTES = OBJECT_ATTRIBUTES, POBJECT_ATTRIBUTES {
        Length: ULONG,
        RootDirectory: HANDLE,
        ObjectName: PUNICODE_STRING,
        Attributes: ULONG,
        SecurityDescriptor: PVOID,
        SecurityQualityOfService: PVOID,
    }
    _DEVPROPKEY = DEVPROPKEY, PDEVPROPKEY { fmtid: DEVPROPGUID, pid: DEVPROPID }
}

unions! {
    _LARGE_INTEGER = LARGE_INTEGER, PLARGE_INTEGER {
        __bindgen_anon_1: _LARGE_INTEGER__bindgen_ty_1,
        u: _LARGE_INTEGER__bindgen_ty_2,
        QuadPart: LONGLONG,
    }
    _ULARGE_INTEGER = ULARGE_INTEGER, PULARGE_INTEGER {
        __bindgen_anon_1: _ULARGE_INTEGER__bindgen_ty_1,
        u: _ULARGE_INTEGER__bindgen_ty_2,
        QuadPart: ULONGLONG,
    }
}

pub type ANSI_STRING = STRING;
pub type PANSI_STRING = PSTRING;
pub type PCANSI_STRING = *const STRING;
pub type DEVPROPGUID = GUID;
pub type DEVPROPID = ULONG;
pub type DEVPROPTYPE = ULONG;
pub type PDEVPROPTYPE = *mut ULONG;
