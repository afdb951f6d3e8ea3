//! Stand-in for `wdk-sys` 0.5.2 on machines without the WDK: the names, types and ABI of the real bindings, only
//! what our drivers use.
//!
//! The real crate runs bindgen over the WDK's headers. Here the same items are written down by hand, in the spelling
//! bindgen gives them, so that a driver source compiles unchanged over either. What each item means stands on
//! Microsoft Learn under its name; layouts, values and table indices are held against independent sources by
//! `tests/layout.rs`.
//!
//! Adding an item: a structure goes into the file of its subsystem under `types`, a constant into `constants.rs`, a
//! kernel function into the file of its prefix under `ntddk`, a KMDF function's parameters into `kmdf-1.15.table`.

#![no_std]

#[doc(hidden)]
pub use wdk_macros as __proc_macros;

pub use crate::constants::*;
pub use crate::types::*;
pub use crate::wdf_globals::*;

mod constants;
#[cfg(windows)]
mod entry;
pub mod ntddk;
#[cfg(windows)]
mod runtime;
mod types;
pub mod wdf;
mod wdf_globals;

mod macros {
    /// Calls a KMDF function by its name.
    ///
    /// # Safety
    /// The function's own conditions.
    #[macro_export]
    macro_rules! call_unsafe_wdf_function_binding {
        ($($tokens:tt)*) => { $crate::__with_types_path!($($tokens)*) };
    }

    /// The end of the way: the name of the file with the types has been put in front.
    #[doc(hidden)]
    #[macro_export]
    macro_rules! __call_with_types {
        ($path:tt, $($tokens:tt)*) => {
            $crate::__proc_macros::call_unsafe_wdf_function_binding!($path, $($tokens)*)
        };
    }

    include!(concat!(env!("OUT_DIR"), "/types_path.rs"));
}

/// Whether `nt_status` is a success or an informational value.
#[must_use]
#[allow(non_snake_case)]
pub const fn NT_SUCCESS(nt_status: NTSTATUS) -> bool {
    nt_status >= 0
}

/// Whether `nt_status` is an informational value.
#[must_use]
#[allow(non_snake_case)]
pub const fn NT_INFORMATION(nt_status: NTSTATUS) -> bool {
    (nt_status as u32 >> 30) == 1
}

/// Whether `nt_status` is a warning.
#[must_use]
#[allow(non_snake_case)]
pub const fn NT_WARNING(nt_status: NTSTATUS) -> bool {
    (nt_status as u32 >> 30) == 2
}

/// Whether `nt_status` is an error.
#[must_use]
#[allow(non_snake_case)]
pub const fn NT_ERROR(nt_status: NTSTATUS) -> bool {
    (nt_status as u32 >> 30) == 3
}

/// Asserts, in a debug build, that the caller may touch pageable memory.
#[macro_export]
#[allow(non_snake_case)]
macro_rules! PAGED_CODE {
    () => {
        debug_assert!(unsafe { $crate::ntddk::KeGetCurrentIrql() <= $crate::APC_LEVEL as u8 });
    };
}
