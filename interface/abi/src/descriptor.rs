//! The descriptor (spec 2.2) and its control flags (spec 2.9).

use crate::PhysicalAddress;

/// `NET_DMA_DESCRIPTOR`: one copy, as the engine reads it. 64 bytes on x86 and x64, in every version, and equal to the
/// Intel CB descriptor. Declared with the header's alignment of 8; the interface places every one on 64 bytes (Q1).
///
/// C unions are one field here, whose documentation names both members.
#[doc(alias = "NET_DMA_DESCRIPTOR")]
#[repr(C)]
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Descriptor {
    /// `TransferSize`: bytes to copy, 0 for a NULL transfer, at most the provider's `maximum_transfer_size`.
    /// `DCAContext32/16/8`: in a context-change descriptor (2.0+) the APIC id of the DCA target; Windows used the low
    /// 8 bits (C30, D18).
    #[doc(alias = "DCAContext8")]
    #[doc(alias = "DCAContext16")]
    #[doc(alias = "DCAContext32")]
    pub transfer_size: u32,
    /// `ControlFlags`: flags, the constants of this module.
    pub control_flags: u32,
    /// `SourceAddress`: first byte of the source.
    pub source_address: PhysicalAddress,
    /// `DestinationAddress`: first byte of the destination.
    pub destination_address: PhysicalAddress,
    /// `NextDescriptor`: the next descriptor. Below 2.0 zero ends a list; from 2.0 it is always valid and the count ends
    /// the list (C28).
    pub next_descriptor: PhysicalAddress,
    /// 2.0+ `NextSourceAddress`: second source page, low 12 bits zero, used with [`SOURCE_PAGE_BREAK`].
    /// Below 2.0 `Reserved1`: the engine's scratch between post and completion.
    #[doc(alias = "Reserved1")]
    pub next_source_address: PhysicalAddress,
    /// 2.0+ `NextDestinationAddress`: second destination page, low 12 bits zero, used with
    /// [`DESTINATION_PAGE_BREAK`]. Below 2.0 `Reserved2`: the engine's scratch.
    #[doc(alias = "Reserved2")]
    pub next_destination_address: PhysicalAddress,
    /// `UserContext1`: any value; the interface's, providers never change it (R252).
    pub user_context1: u64,
    /// `UserContext2`: any value; the interface's, providers never change it (R252).
    pub user_context2: u64,
}
assert_layout!(Descriptor: size 0x40, align 8, {
    transfer_size @ 0x00,
    control_flags @ 0x04,
    source_address @ 0x08,
    destination_address @ 0x10,
    next_descriptor @ 0x18,
    next_source_address @ 0x20,
    next_destination_address @ 0x28,
    user_context1 @ 0x30,
    user_context2 @ 0x38,
});

/// Bytes of a descriptor, and the boundary each one starts on (Q1: completion addresses leave the low six bits free).
pub const DESCRIPTOR_SIZE: usize = size_of::<Descriptor>();

/// `NET_DMA_INTERRUPT_ON_COMPLETION` (1.0): interrupt after this descriptor.
#[doc(alias = "NET_DMA_INTERRUPT_ON_COMPLETION")]
pub const INTERRUPT_ON_COMPLETION: u32 = 0x0000_0001;
/// `NET_DMA_SOURCE_NO_SNOOP` (1.0): caches need not be snooped for the source; the submitter vouches for it (R164).
#[doc(alias = "NET_DMA_SOURCE_NO_SNOOP")]
pub const SOURCE_NO_SNOOP: u32 = 0x0000_0002;
/// `NET_DMA_DESTINATION_NO_SNOOP` (1.0): the same for the destination.
#[doc(alias = "NET_DMA_DESTINATION_NO_SNOOP")]
pub const DESTINATION_NO_SNOOP: u32 = 0x0000_0004;
/// `NET_DMA_STATUS_UPDATE_ON_COMPLETION` (1.0): write the completion word after this descriptor.
#[doc(alias = "NET_DMA_STATUS_UPDATE_ON_COMPLETION")]
pub const STATUS_UPDATE_ON_COMPLETION: u32 = 0x0000_0008;
/// `NET_DMA_SERIALIZE_TRANSFER` (1.0): a fence. All writes of this descriptor, data and status, end before the next
/// descriptor's data is read (R158).
#[doc(alias = "NET_DMA_SERIALIZE_TRANSFER")]
pub const SERIALIZE_TRANSFER: u32 = 0x0000_0010;
/// `NET_DMA_NULL_TRANSFER` (1.0): no data moves; size and addresses must be valid but are not looked at (C16).
#[doc(alias = "NET_DMA_NULL_TRANSFER")]
pub const NULL_TRANSFER: u32 = 0x0000_0020;
/// `NET_DMA_SOURCE_PAGE_BREAK` (2.0): after the first page's end the source goes on at `next_source_address` (C29).
#[doc(alias = "NET_DMA_SOURCE_PAGE_BREAK")]
pub const SOURCE_PAGE_BREAK: u32 = 0x0000_0040;
/// `NET_DMA_DESTINATION_PAGE_BREAK` (2.0): likewise for the destination at `next_destination_address`.
#[doc(alias = "NET_DMA_DESTINATION_PAGE_BREAK")]
pub const DESTINATION_PAGE_BREAK: u32 = 0x0000_0080;
/// `NET_DMA_DESTINATION_DCA_ENABLE` (2.0): hint the DCA target's cache about this descriptor's destination (C30).
#[doc(alias = "NET_DMA_DESTINATION_DCA_ENABLE")]
pub const DESTINATION_DCA_ENABLE: u32 = 0x0000_0200;
/// `NET_DMA_DCA_CONTEXT_CHANGE` (2.0): only with [`OP_TYPE_CONTEXT_CHANGE`], where it reuses bit 0: the context that
/// changes is the DCA target (R247).
#[doc(alias = "NET_DMA_DCA_CONTEXT_CHANGE")]
pub const DCA_CONTEXT_CHANGE: u32 = 0x0000_0001;

/// `NET_DMA_OP_TYPE_STANDARD_DMA` (2.0): a copy.
#[doc(alias = "NET_DMA_OP_TYPE_STANDARD_DMA")]
pub const OP_TYPE_STANDARD_DMA: u32 = 0x0000_0000;
/// `NET_DMA_OP_TYPE_CONTEXT_CHANGE` (2.0): an 8-bit operation code, although pages call it a bit.
#[doc(alias = "NET_DMA_OP_TYPE_CONTEXT_CHANGE")]
pub const OP_TYPE_CONTEXT_CHANGE: u32 = 0xFF00_0000;
/// `NET_DMA_OP_TYPE_MASK`: the name is documented (D18), its value is not; ours, equal to the CB opcode mask.
#[doc(alias = "NET_DMA_OP_TYPE_MASK")]
pub const OP_TYPE_MASK: u32 = 0xFF00_0000;

/// `NET_DMA_RESERVED_MASK` for 2.x providers: every bit not otherwise assigned (D18 names it, the value is ours).
#[doc(alias = "NET_DMA_RESERVED_MASK")]
pub const RESERVED_MASK: u32 = 0x00FF_FD00;
/// `NET_DMA_RESERVED_MASK` for 1.x providers, which know neither page breaks nor DCA.
pub const RESERVED_MASK_1X: u32 = 0x00FF_FFC0;

const _: () = {
    let assigned = INTERRUPT_ON_COMPLETION
        | SOURCE_NO_SNOOP
        | DESTINATION_NO_SNOOP
        | STATUS_UPDATE_ON_COMPLETION
        | SERIALIZE_TRANSFER
        | NULL_TRANSFER;
    let assigned_2x = assigned | SOURCE_PAGE_BREAK | DESTINATION_PAGE_BREAK | DESTINATION_DCA_ENABLE;
    assert!(RESERVED_MASK_1X == !(assigned | OP_TYPE_MASK));
    assert!(RESERVED_MASK == !(assigned_2x | OP_TYPE_MASK));
};
