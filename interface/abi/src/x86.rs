//! The structures as a 32-bit machine lays them out (spec 2). No x86 driver is built; these mirrors spell pointers as
//! `u32`, so that the build for any machine asserts the x86 tables too (R249, R250).
//!
//! [`crate::Descriptor`], [`crate::CpuAffinity`] and [`crate::ProviderAttributes`] hold no pointer and are the same there.

/// x86 `GROUP_AFFINITY`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct GroupAffinity {
    /// `Mask`, 32 processors.
    pub mask: u32,
    /// `Group`.
    pub group: u16,
    /// `Reserved`.
    pub reserved: [u16; 3],
}
assert_layout!(GroupAffinity: size 12, align 4, { mask @ 0, group @ 4, reserved @ 6 });

/// x86 `UNICODE_STRING`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct UnicodeString {
    /// `Length`, in bytes.
    pub length: u16,
    /// `MaximumLength`, in bytes.
    pub maximum_length: u16,
    /// `Buffer`.
    pub buffer: u32,
}
assert_layout!(UnicodeString: size 8, align 4, { length @ 0, maximum_length @ 2, buffer @ 4 });

/// x86 `NET_DMA_CHANNEL_PARAMETERS`, revision 2.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct ChannelParameters {
    /// `Revision`.
    pub revision: u16,
    /// `Size`: of the structure, in bytes.
    pub size: u16,
    /// `Flags`.
    pub flags: u32,
    /// `CompletionVirtualAddress`.
    pub completion_virtual_address: u32,
    /// `CompletionPhysicalAddress`.
    pub completion_physical_address: u64,
    /// `ProcessorAffinityMask`.
    pub processor_affinity_mask: u32,
    /// `ChannelPriority`.
    pub channel_priority: u32,
    /// `CpuNumber`.
    pub cpu_number: u32,
    /// `ProcessorAffinityMaskEx`.
    pub processor_affinity_mask_ex: GroupAffinity,
}
assert_layout!(ChannelParameters: size 0x30, align 8, {
    revision @ 0x00,
    size @ 0x02,
    flags @ 0x04,
    completion_virtual_address @ 0x08,
    completion_physical_address @ 0x10,
    processor_affinity_mask @ 0x18,
    channel_priority @ 0x1C,
    cpu_number @ 0x20,
    processor_affinity_mask_ex @ 0x24,
});

/// x86 `NET_DMA_CHANNEL_PARAMETERS`, revision 1.
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
    pub completion_virtual_address: u32,
    /// `CompletionPhysicalAddress`.
    pub completion_physical_address: u64,
    /// `ProcessorAffinityMask`.
    pub processor_affinity_mask: u32,
    /// `ChannelPriority`.
    pub channel_priority: u32,
    /// `CpuNumber`.
    pub cpu_number: u32,
}
assert_layout!(ChannelParametersRevision1: size 0x28, align 8, { cpu_number @ 0x20 });

/// x86 `SIZEOF_NET_DMA_CHANNEL_PARAMETERS_REVISION_1`.
pub const SIZEOF_CHANNEL_PARAMETERS_REVISION_1: usize = 0x24;
/// x86 `SIZEOF_NET_DMA_CHANNEL_PARAMETERS_REVISION_2`.
pub const SIZEOF_CHANNEL_PARAMETERS_REVISION_2: usize = 0x30;

/// x86 `NET_DMA_PROVIDER_CHARACTERISTICS`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct ProviderCharacteristics {
    /// `MajorVersion`.
    pub major_version: u8,
    /// `MinorVersion`.
    pub minor_version: u8,
    /// `Size`: of the structure, in bytes.
    pub size: u16,
    /// `Flags`.
    pub flags: u32,
    /// `PhysicalDeviceObject`.
    pub physical_device_object: u32,
    /// `MaxDmaChannelCount`.
    pub max_dma_channel_count: u32,
    /// `SetDmaChannelCpuAffinity`.
    pub set_dma_channel_cpu_affinity: u32,
    /// `AllocateDmaChannel`.
    pub allocate_dma_channel: u32,
    /// `FreeDmaChannel`.
    pub free_dma_channel: u32,
    /// `StartDma`.
    pub start_dma: u32,
    /// `SuspendDma`.
    pub suspend_dma: u32,
    /// `ResumeDma`.
    pub resume_dma: u32,
    /// `AbortDma`.
    pub abort_dma: u32,
    /// `AppendDma`.
    pub append_dma: u32,
    /// `ResetChannel`.
    pub reset_channel: u32,
    /// `FriendlyName`.
    pub friendly_name: UnicodeString,
}
assert_layout!(ProviderCharacteristics: size 0x3C, align 4, {
    major_version @ 0x00,
    minor_version @ 0x01,
    size @ 0x02,
    flags @ 0x04,
    physical_device_object @ 0x08,
    max_dma_channel_count @ 0x0C,
    set_dma_channel_cpu_affinity @ 0x10,
    allocate_dma_channel @ 0x14,
    free_dma_channel @ 0x18,
    start_dma @ 0x1C,
    suspend_dma @ 0x20,
    resume_dma @ 0x24,
    abort_dma @ 0x28,
    append_dma @ 0x2C,
    reset_channel @ 0x30,
    friendly_name @ 0x34,
});

/// x86 bytes of the 1.0 characteristics.
pub const SIZEOF_CHARACTERISTICS_1_0: usize = 0x34;

/// x86 `NET_DMA_PNP_NOTIFICATION`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct PnpNotification {
    /// `StructureRevision`.
    pub structure_revision: u32,
    /// `StructureSize`, in bytes.
    pub structure_size: u32,
    /// `NotificationCode`.
    pub notification_code: u32,
    /// `Buffer`.
    pub buffer: u32,
    /// `BufferLength`, in bytes.
    pub buffer_length: u32,
}
assert_layout!(PnpNotification: size 0x14, align 4, {
    structure_revision @ 0x00,
    structure_size @ 0x04,
    notification_code @ 0x08,
    buffer @ 0x0C,
    buffer_length @ 0x10,
});

const _: () = {
    use core::mem::offset_of;
    assert!(SIZEOF_CHANNEL_PARAMETERS_REVISION_1 == offset_of!(ChannelParameters, cpu_number) + 4);
    assert!(
        SIZEOF_CHANNEL_PARAMETERS_REVISION_2
            == offset_of!(ChannelParameters, processor_affinity_mask_ex) + 12
    );
    assert!(SIZEOF_CHARACTERISTICS_1_0 == offset_of!(ProviderCharacteristics, friendly_name));
};
