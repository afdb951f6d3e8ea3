//! Types, one file per subsystem, all in one name space as bindgen puts them.
//!
//! Tags keep their C spelling (`_KDPC`), with the aliases of the headers beside them (`KDPC`, `PKDPC`). Anonymous
//! members have bindgen's names (`__bindgen_anon_1`); members a driver must not touch are opaque storage.

#![allow(missing_docs, non_camel_case_types, non_snake_case, non_upper_case_globals)]
#![allow(clippy::upper_case_acronyms)]

/// `#[repr(C)]` structures: tag, aliases (the first is the value, the rest are pointers), members. `Default` is all
/// zeroes, as bindgen's is for a structure with pointers.
macro_rules! structs {
    ($($(#[$meta:meta])* $tag:ident $(= $name:ident $(, $pointer:ident)*)? { $($field:ident: $type:ty),* $(,)? })*) => {$(
        $(#[$meta])*
        #[repr(C)]
        #[derive(Clone, Copy)]
        pub struct $tag { $(pub $field: $type),* }
        $crate::types::aliases!($tag $(= $name $(, $pointer)*)?);
    )*};
}

/// The same for unions.
macro_rules! unions {
    ($($(#[$meta:meta])* $tag:ident $(= $name:ident $(, $pointer:ident)*)? { $($field:ident: $type:ty),* $(,)? })*) => {$(
        $(#[$meta])*
        #[repr(C)]
        #[derive(Clone, Copy)]
        pub union $tag { $(pub $field: $type),* }
        $crate::types::aliases!($tag $(= $name $(, $pointer)*)?);
    )*};
}

/// What structures and unions have in common.
macro_rules! aliases {
    ($tag:ident $(= $name:ident $(, $pointer:ident)*)?) => {
        impl Default for $tag {
            fn default() -> Self {
                // SAFETY: integers, pointers, `Option`s of function pointers and aggregates of them: all zeroes is a
                // value of each.
                unsafe { ::core::mem::zeroed() }
            }
        }
        $(
            pub type $name = $tag;
            $(pub type $pointer = *mut $tag;)*
        )?
    };
}

/// Enumerations in bindgen's module form: `_POOL_TYPE::NonPagedPool`, and `POOL_TYPE` for their type.
macro_rules! enumerations {
    ($($tag:ident $(= $name:ident $(, $pointer:ident)*)? { $($constant:ident = $value:expr),* $(,)? })*) => {$(
        pub mod $tag {
            pub type Type = ::core::ffi::c_int;
            $(pub const $constant: Type = $value;)*
        }
        $(
            pub use self::$tag::Type as $name;
            $(pub type $pointer = *mut $tag::Type;)*
        )?
    )*};
}

/// Function pointer types: every name is an alias of one `Option` of a function pointer.
macro_rules! callbacks {
    ($($($name:ident)|+ ($($parameter:ident: $type:ty),* $(,)?) $(-> $result:ty)?;)*) => {$(
        $crate::types::callbacks!(@each [$($name)+] [unsafe extern "C" fn($($parameter: $type),*) $(-> $result)?]);
    )*};
    (@each [$($name:ident)+] $function:tt) => {
        $($crate::types::callbacks!(@one $name $function);)+
    };
    (@one $name:ident [$function:ty]) => {
        pub type $name = ::core::option::Option<$function>;
    };
}

/// Pointers to structures that nobody looks into.
macro_rules! opaque {
    ($($tag:ident: $($pointer:ident),+;)*) => {$(
        #[repr(C)]
        #[derive(Clone, Copy)]
        pub struct $tag { _unused: [u8; 0] }
        $(pub type $pointer = *mut $tag;)+
    )*};
}

// The two that the others expand to.
pub(crate) use {aliases, callbacks};

mod base;
mod cm;
mod dma;
mod etw;
mod io;
mod ke;
mod wdf_core;
mod wdf_device;
mod wdf_io;
mod zw;

pub use base::*;
pub use cm::*;
pub use dma::*;
pub use etw::*;
pub use io::*;
pub use ke::*;
pub use wdf_core::*;
pub use wdf_device::*;
pub use wdf_io::*;
pub use zw::*;

// The function pointers of the KMDF table and their indices, from `kmdf-1.15.table`.
include!(concat!(env!("OUT_DIR"), "/wdf_functions.rs"));
