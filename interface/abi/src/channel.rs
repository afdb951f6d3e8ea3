//! Channel allocation (spec 2.3) and message affinities (spec 2.4).

use crate::{Context, GroupAffinity, PhysicalAddress};

/// `NET_DMA_CHANNEL_REVISION_1` (pages: `NET_DMA_CHANNEL_PARAMETERS_REVISION_1`, Q3): Vista, Server 2008.
#[doc(alias = "NET_DMA_CHANNEL_REVISION_1")]
#[doc(alias = "NET_DMA_CHANNEL_PARAMETERS_REVISION_1")]
pub const CHANNEL_REVISION_1: u16 = 1;
/// `NET_DMA_CHANNEL_REVISION_2`: Windows 7, Server 2008 R2 and this interface (R85).
#[doc(alias = "NET_DMA_CHANNEL_REVISION_2")]
#[doc(alias = "NET_DMA_CHANNEL_PARAMETERS_REVISION_2")]
pub const CHANNEL_REVISION_2: u16 = 2;

/// `SIZEOF_NET_DMA_CHANNEL_PARAMETERS_REVISION_1`: bytes through `cpu_number`; the least a revision 1 reader accepts.
#[doc(alias = "SIZEOF_NET_DMA_CHANNEL_PARAMETERS_REVISION_1")]
pub const SIZEOF_CHANNEL_PARAMETERS_REVISION_1: usize = 0x24;
/// `SIZEOF_NET_DMA_CHANNEL_PARAMETERS_REVISION_2`: bytes through `processor_affinity_mask_ex`.
#[doc(alias = "SIZEOF_NET_DMA_CHANNEL_PARAMETERS_REVISION_2")]
pub const SIZEOF_CHANNEL_PARAMETERS_REVISION_2: usize = 0x38;

/// `NET_DMA_CHANNEL_PARAMETERS`, revision 2: what `AllocateDmaChannel` gets and answers (D19, header).
/// A reader accepts larger sizes and higher revisions and ignores what it does not know (Q3, R102).
#[doc(alias = "NET_DMA_CHANNEL_PARAMETERS")]
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct ChannelParameters {
    /// `Revision`, in: [`CHANNEL_REVISION_1`] or [`CHANNEL_REVISION_2`].
    pub revision: u16,
    /// `Size`, in: bytes of the structure.
    pub size: u16,
    /// `Flags`, in: none exist; 0.
    pub flags: u32,
    /// `CompletionVirtualAddress`, in: kernel address of the completion word.
    pub completion_virtual_address: Context,
    /// `CompletionPhysicalAddress`, in: the same place for the engine; 8-byte aligned.
    pub completion_physical_address: PhysicalAddress,
    /// `ProcessorAffinityMask`: one bit for each processor of group 0.
    pub processor_affinity_mask: u32,
    /// `ChannelPriority`: a relative number, larger is more urgent; capped to what the hardware has (R93).
    pub channel_priority: u32,
    /// `CpuNumber`: system-wide index of a processor.
    pub cpu_number: u32,
    /// `ProcessorAffinityMaskEx`, in, revision 2 only: group and processors the channel may use.
    pub processor_affinity_mask_ex: GroupAffinity,
}
assert_layout!(ChannelParameters: size 0x38, align 8, {
    revision @ 0x00,
    size @ 0x02,
    flags @ 0x04,
    completion_virtual_address @ 0x08,
    completion_physical_address @ 0x10,
    processor_affinity_mask @ 0x18,
    channel_priority @ 0x1C,
    cpu_number @ 0x20,
    processor_affinity_mask_ex @ 0x28,
});

/// Revision 1 of [`ChannelParameters`]: the same without `processor_affinity_mask_ex`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct ChannelParametersRevision1 {
    /// `Revision`.
    pub revision: u16,
    /// `Size`: of the structure, in bytes.
    pub size: u16,
    /// `Flags`.
    pub flags: u32,
    /// `CompletionVirtualAddress`.
    pub completion_virtual_address: Context,
    /// `CompletionPhysicalAddress`.
    pub completion_physical_address: PhysicalAddress,
    /// `ProcessorAffinityMask`: one bit for each processor of group 0.
    pub processor_affinity_mask: u32,
    /// `ChannelPriority`: a relative number, larger is more urgent; capped to what the hardware has (R93).
    pub channel_priority: u32,
    /// `CpuNumber`: system-wide index of a processor.
    pub cpu_number: u32,
}
assert_layout!(ChannelParametersRevision1: size 0x28, align 8, {
    revision @ 0x00,
    size @ 0x02,
    flags @ 0x04,
    completion_virtual_address @ 0x08,
    completion_physical_address @ 0x10,
    processor_affinity_mask @ 0x18,
    channel_priority @ 0x1C,
    cpu_number @ 0x20,
});

const _: () = {
    use core::mem::offset_of;
    assert!(
        SIZEOF_CHANNEL_PARAMETERS_REVISION_1 == offset_of!(ChannelParameters, cpu_number) + size_of::<u32>()
    );
    assert!(
        SIZEOF_CHANNEL_PARAMETERS_REVISION_2
            == offset_of!(ChannelParameters, processor_affinity_mask_ex) + size_of::<GroupAffinity>()
    );
};

/// `NET_DMA_CHANNEL_CPU_AFFINITY`: the processor whose message interrupt a channel should use (D20).
#[doc(alias = "NET_DMA_CHANNEL_CPU_AFFINITY")]
#[repr(C)]
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct CpuAffinity {
    /// `DmaChannel`: channel number, below `max_dma_channel_count` (R45).
    pub dma_channel: u32,
    /// `CpuNumber`: system-wide index of the processor for that channel's MSI-X message.
    pub cpu_number: u32,
}
assert_layout!(CpuAffinity: size 8, align 4, { dma_channel @ 0, cpu_number @ 4 });

/// `IRQ_DEVICE_POLICY` values for interrupt resource descriptors (`wdm.h`).
pub mod irq_policy {
    /// `IrqPolicyMachineDefault`, value 0.
    #[doc(alias = "IrqPolicyMachineDefault")]
    pub const MACHINE_DEFAULT: u32 = 0;
    /// `IrqPolicyAllCloseProcessors`, value 1.
    #[doc(alias = "IrqPolicyAllCloseProcessors")]
    pub const ALL_CLOSE_PROCESSORS: u32 = 1;
    /// `IrqPolicyOneCloseProcessor`, value 2.
    #[doc(alias = "IrqPolicyOneCloseProcessor")]
    pub const ONE_CLOSE_PROCESSOR: u32 = 2;
    /// `IrqPolicyAllProcessorsInMachine`, value 3.
    #[doc(alias = "IrqPolicyAllProcessorsInMachine")]
    pub const ALL_PROCESSORS_IN_MACHINE: u32 = 3;
    /// `IrqPolicySpecifiedProcessors`, value 4: the one a provider writes, together with the target set (R52).
    #[doc(alias = "IrqPolicySpecifiedProcessors")]
    pub const SPECIFIED_PROCESSORS: u32 = 4;
    /// `IrqPolicySpreadMessagesAcrossAllProcessors`, value 5.
    #[doc(alias = "IrqPolicySpreadMessagesAcrossAllProcessors")]
    pub const SPREAD_MESSAGES_ACROSS_ALL_PROCESSORS: u32 = 5;
}
