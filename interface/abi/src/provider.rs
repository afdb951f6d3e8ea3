//! What a provider registers (spec 2.5, 2.6) and the nine entry points the interface calls (spec 2.10).

use core::ffi::c_void;

use crate::{
    ChannelHandle, ChannelParameters, Context, CpuAffinity, Descriptor, DeviceObject, NtStatus,
    PhysicalAddress, UnicodeString,
};

/// A NetDMA version as `NetDmaGetVersion` spells it: major in the high, minor in the low 16 bits (R14).
#[repr(transparent)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(
    /// `major << 16 | minor`.
    pub u32,
);

impl Version {
    /// Vista: nine entry points, NULL-terminated lists.
    pub const V1_0: Self = Self::new(1, 0);
    /// Vista SP1: `NetDmaGetVersion`, power notices.
    pub const V1_1: Self = Self::new(1, 1);
    /// Server 2008: counted lists, page breaks, DCA, friendly name.
    pub const V2_0: Self = Self::new(2, 0);
    /// Windows 7: channel parameters revision 2, processor groups.
    pub const V2_1: Self = Self::new(2, 1);

    /// The version with these numbers.
    #[must_use]
    pub const fn new(major: u8, minor: u8) -> Self {
        Self((major as u32) << 16 | minor as u32)
    }
}

/// `NET_DMA_PROVIDER_REVISION_1`: major version of the NULL-terminated dialect.
#[doc(alias = "NET_DMA_PROVIDER_REVISION_1")]
pub const PROVIDER_REVISION_1: u8 = 1;
/// `NET_DMA_PROVIDER_REVISION_2`: major version of the counted dialect.
#[doc(alias = "NET_DMA_PROVIDER_REVISION_2")]
pub const PROVIDER_REVISION_2: u8 = 2;

/// `NET_DMA_PROVIDER_CHARACTERISTICS_DCA_SUPPORTED` (2.0+): the engine can hint caches (C30).
#[doc(alias = "NET_DMA_PROVIDER_CHARACTERISTICS_DCA_SUPPORTED")]
pub const CHARACTERISTICS_DCA_SUPPORTED: u32 = 0x1;
/// `NET_DMA_PROVIDER_ATTRIBUTES_DCA_SUPPORTED`: the oldest header's name of the same bit. Tolerated and ignored in
/// [`ProviderAttributes::flags`] (Q6).
#[doc(alias = "NET_DMA_PROVIDER_ATTRIBUTES_DCA_SUPPORTED")]
pub const ATTRIBUTES_DCA_SUPPORTED: u32 = 0x1;
/// `NET_DMA_PROVIDER_SUPPORTS_PROC_GROUPS` (2.1, headers only): channels may live on processors outside group 0 (Q13).
#[doc(alias = "NET_DMA_PROVIDER_SUPPORTS_PROC_GROUPS")]
pub const PROVIDER_SUPPORTS_PROC_GROUPS: u32 = 0x2;

/// `DMA_CHANNELS_CPU_AFFINITY_HANDLER` (D1): tells the provider which processor each channel's message should target.
/// Called at PASSIVE_LEVEL within `NetDmaRegisterProvider`. Last argument: bytes of the array.
#[doc(alias = "DMA_CHANNELS_CPU_AFFINITY_HANDLER")]
pub type SetDmaChannelCpuAffinity = unsafe extern "system" fn(
    provider_context: Context,
    affinities: *mut CpuAffinity,
    bytes: u32,
) -> NtStatus;

/// `DMA_CHANNEL_ALLOCATE_HANDLER` (D2): takes a free channel, stores its context. At most DISPATCH_LEVEL.
#[doc(alias = "DMA_CHANNEL_ALLOCATE_HANDLER")]
pub type AllocateDmaChannel = unsafe extern "system" fn(
    provider_context: Context,
    parameters: *mut ChannelParameters,
    channel: ChannelHandle,
    channel_context: *mut *mut c_void,
) -> NtStatus;

/// `DMA_CHANNEL_FREE_HANDLER` (D3): gives the channel back; nothing is outstanding (R106). At most DISPATCH_LEVEL.
#[doc(alias = "DMA_CHANNEL_FREE_HANDLER")]
pub type FreeDmaChannel = unsafe extern "system" fn(channel_context: Context);

/// `DMA_START_HANDLER` (D4): runs `count` descriptors from a new address, dropping what is not yet processed.
/// At most DISPATCH_LEVEL.
#[doc(alias = "DMA_START_HANDLER")]
pub type StartDma = unsafe extern "system" fn(
    channel_context: Context,
    first: *mut Descriptor,
    first_address: PhysicalAddress,
    count: u32,
) -> NtStatus;

/// `DMA_APPEND_HANDLER` (D5): `count` more descriptors behind the ones already given. At most DISPATCH_LEVEL.
#[doc(alias = "DMA_APPEND_HANDLER")]
pub type AppendDma = unsafe extern "system" fn(
    channel_context: Context,
    first: *mut Descriptor,
    first_address: PhysicalAddress,
    count: u32,
) -> NtStatus;

/// `DMA_SUSPEND_HANDLER` (D6): finishes the current descriptor and stops. At most DISPATCH_LEVEL.
///
/// `last_descriptor` is typed as pointer to pointer, while prose wants the physical address itself at that place. The
/// interface accepts both (Q7, [`decode_last_descriptor`]); our providers store the address.
#[doc(alias = "DMA_SUSPEND_HANDLER")]
pub type SuspendDma = unsafe extern "system" fn(
    channel_context: Context,
    last_descriptor: *mut *mut PhysicalAddress,
) -> NtStatus;

/// `DMA_RESUME_HANDLER` (D7): goes on after a suspend. At most DISPATCH_LEVEL.
#[doc(alias = "DMA_RESUME_HANDLER")]
pub type ResumeDma = unsafe extern "system" fn(channel_context: Context) -> NtStatus;

/// `DMA_ABORT_HANDLER` (D8): ends the transfer and drops everything scheduled. At most DISPATCH_LEVEL.
#[doc(alias = "DMA_ABORT_HANDLER")]
pub type AbortDma = unsafe extern "system" fn(channel_context: Context) -> NtStatus;

/// `DMA_RESET_HANDLER` (D9): as abort, and back to the state right after allocation. At most DISPATCH_LEVEL.
#[doc(alias = "DMA_RESET_HANDLER")]
pub type ResetChannel = unsafe extern "system" fn(channel_context: Context) -> NtStatus;

/// What a suspend left in the slot it was given (Q7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LastDescriptor {
    /// The slot still holds its preset: nothing reported.
    NotReported,
    /// The physical address itself.
    Address(PhysicalAddress),
    /// A kernel pointer to the physical address (the type as the header has it).
    Pointer(u64),
}

/// The slot's content before the call: all ones (Q7).
pub const LAST_DESCRIPTOR_PRESET: u64 = u64::MAX;

/// Reads the slot after a successful suspend on x64: unchanged, an address, or a kernel pointer (top 16 bits set).
#[must_use]
pub const fn decode_last_descriptor(slot: u64) -> LastDescriptor {
    match slot {
        LAST_DESCRIPTOR_PRESET => LastDescriptor::NotReported,
        pointer if pointer >> 48 == 0xFFFF => LastDescriptor::Pointer(pointer),
        address => LastDescriptor::Address(PhysicalAddress(address)),
    }
}

/// `NET_DMA_PROVIDER_CHARACTERISTICS`: the registration table (D21, header). Mind the order: `append_dma` comes after
/// `abort_dma`.
#[doc(alias = "NET_DMA_PROVIDER_CHARACTERISTICS")]
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ProviderCharacteristics {
    /// `MajorVersion`: NetDMA version that the provider implements (Q4): 1 or 2.
    pub major_version: u8,
    /// `MinorVersion`: 0 or 1.
    pub minor_version: u8,
    /// `Size`: bytes of this structure; a 1.0 table ends before `friendly_name` ([`SIZEOF_CHARACTERISTICS_1_0`]).
    pub size: u16,
    /// `Flags`: 0 below 2.0; [`CHARACTERISTICS_DCA_SUPPORTED`], [`PROVIDER_SUPPORTS_PROC_GROUPS`].
    pub flags: u32,
    /// `PhysicalDeviceObject`: the PDO that AddDevice got.
    pub physical_device_object: *mut DeviceObject,
    /// `MaxDmaChannelCount`: upper bound of channels, at least 1.
    pub max_dma_channel_count: u32,
    /// `SetDmaChannelCpuAffinity`: our providers set it, the interface does without (Q5).
    pub set_dma_channel_cpu_affinity: Option<SetDmaChannelCpuAffinity>,
    /// `AllocateDmaChannel`: mandatory.
    pub allocate_dma_channel: Option<AllocateDmaChannel>,
    /// `FreeDmaChannel`: mandatory.
    pub free_dma_channel: Option<FreeDmaChannel>,
    /// `StartDma`: mandatory.
    pub start_dma: Option<StartDma>,
    /// `SuspendDma`: null if absent.
    pub suspend_dma: Option<SuspendDma>,
    /// `ResumeDma`: required when `suspend_dma` is there.
    pub resume_dma: Option<ResumeDma>,
    /// `AbortDma`: null if absent.
    pub abort_dma: Option<AbortDma>,
    /// `AppendDma`: mandatory.
    pub append_dma: Option<AppendDma>,
    /// `ResetChannel`: null if absent.
    pub reset_channel: Option<ResetChannel>,
    /// `FriendlyName`, 2.0+: mandatory, for people. Not part of a 1.0 table.
    pub friendly_name: UnicodeString,
}
assert_layout!(ProviderCharacteristics: size 0x70, align 8, {
    major_version @ 0x00,
    minor_version @ 0x01,
    size @ 0x02,
    flags @ 0x04,
    physical_device_object @ 0x08,
    max_dma_channel_count @ 0x10,
    set_dma_channel_cpu_affinity @ 0x18,
    allocate_dma_channel @ 0x20,
    free_dma_channel @ 0x28,
    start_dma @ 0x30,
    suspend_dma @ 0x38,
    resume_dma @ 0x40,
    abort_dma @ 0x48,
    append_dma @ 0x50,
    reset_channel @ 0x58,
    friendly_name @ 0x60,
});

/// Bytes of the 1.0 table, which ends with `reset_channel` (spec 2.5, R41).
pub const SIZEOF_CHARACTERISTICS_1_0: usize = 0x60;
const _: () =
    assert!(SIZEOF_CHARACTERISTICS_1_0 == core::mem::offset_of!(ProviderCharacteristics, friendly_name));

impl ProviderCharacteristics {
    /// The version the provider registers as.
    #[must_use]
    pub const fn version(&self) -> Version {
        Version::new(self.major_version, self.minor_version)
    }
}

/// `NET_DMA_PROVIDER_ATTRIBUTES`: what a provider says at each start (D22). Same layout on x86 and x64.
#[doc(alias = "NET_DMA_PROVIDER_ATTRIBUTES")]
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProviderAttributes {
    /// `MajorHwVersion`: hardware major version.
    pub major_hw_version: u8,
    /// `MinorHwVersion`: hardware minor version.
    pub minor_hw_version: u8,
    /// `Size`: bytes of this structure.
    pub size: u16,
    /// `Flags`: 0; bit [`ATTRIBUTES_DCA_SUPPORTED`] is tolerated (Q6).
    pub flags: u32,
    /// `VendorId`: PCI vendor id of the engine.
    pub vendor_id: u32,
    /// `DmaChannelCount`: channels really there; the interface uses no more than `max_dma_channel_count` (R68).
    pub dma_channel_count: u32,
    /// `MaximumTransferSize`: bytes per descriptor, at least 4096 (R61).
    pub maximum_transfer_size: u32,
    /// `MaximumAddressSpace`: largest physical address the engine reaches (R63).
    pub maximum_address_space: PhysicalAddress,
}
assert_layout!(ProviderAttributes: size 0x20, align 8, {
    major_hw_version @ 0x00,
    minor_hw_version @ 0x01,
    size @ 0x02,
    flags @ 0x04,
    vendor_id @ 0x08,
    dma_channel_count @ 0x0C,
    maximum_transfer_size @ 0x10,
    maximum_address_space @ 0x18,
});

/// The least `maximum_transfer_size` a provider may report, in bytes (D22).
pub const LEAST_MAXIMUM_TRANSFER_SIZE: u32 = 4096;
