//! The NetDMA DDI: what `netdma.h` was, as Rust layouts, constants and signatures.
//!
//! Three parties meet here. A *provider* (driver of a copy engine) hands the interface a table of entry points and
//! calls eight exports. The *interface* (`netdma.sys`) calls the entry points. A *client* calls the functions of
//! [`client`], whose names Windows 7 had and whose parameters are ours.
//!
//! Items carry idiomatic Rust names; the C name stands first in each documentation text and is a search alias
//! (`NET_DMA_DESCRIPTOR` finds [`Descriptor`]). Fields keep the C name in snake case. "Header" means a published
//! copy of `netdma.h`; codes such as D18 or C29 name the Microsoft pages listed in `docs/spec/netdma.md`, and R.. and
//! Q.. are its requirements and resolutions.
//!
//! Layouts are asserted while compiling: those of this build for x64, and those of [`x86`] through mirror types with
//! explicit sizes, so that one build checks both.
//!
//! | Module | Spec | Holds |
//! |---|---|---|
//! | [`base`] | 2.1 | status codes, addresses, handles, processors, strings |
//! | [`descriptor`] | 2.2, 2.9 | the 64-byte descriptor and its control flags |
//! | [`completion`] | 2.8, 3.12 | the completion word |
//! | [`channel`] | 2.3, 2.4 | channel parameters, message affinities |
//! | [`provider`] | 2.5, 2.6, 2.10 | characteristics, attributes, entry points, versions |
//! | [`notification`] | 2.7, 2.8 | PnP and power notices |
//! | [`exports`] | 2.11 | the eight functions providers call |
//! | [`client`] | 5.4 | the functions clients call |
//! | [`x86`] | 2 | the same layouts on 32-bit machines |
#![no_std]
#![forbid(unsafe_code)]

/// Asserts size, alignment and every field offset of a structure while compiling.
macro_rules! assert_layout {
    ($type:ty: size $size:literal, align $align:literal, { $($field:ident @ $offset:literal),* $(,)? }) => {
        const _: () = {
            assert!(size_of::<$type>() == $size);
            assert!(align_of::<$type>() == $align);
            $(assert!(core::mem::offset_of!($type, $field) == $offset);)*
        };
    };
}

pub mod base;
pub mod channel;
pub mod client;
pub mod completion;
pub mod descriptor;
pub mod exports;
pub mod notification;
pub mod provider;
pub mod x86;

pub use base::*;
pub use channel::{ChannelParameters, CpuAffinity};
pub use completion::TransferStatus;
pub use descriptor::Descriptor;
pub use notification::{NotificationCode, PnpNotification};
pub use provider::{ProviderAttributes, ProviderCharacteristics, Version};
