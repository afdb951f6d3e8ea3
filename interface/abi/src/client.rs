//! The client API (spec 5.4). Microsoft published the names of 13 functions and nothing else; those names are kept here
//! with parameters of ours, which fill exactly the argument words that x86 symbols show (spec 5.2). The functions
//! Windows 7 did not have carry names of their own.
//!
//! Rules for clients:
//! - Handles are values. A stale, foreign or twice-freed one gets [`STATUS_INVALID_HANDLE`](crate::status), one whose
//!   provider stopped gets `STATUS_DEVICE_REMOVED`; functions without a status ignore both.
//! - Every accepted copy completes exactly once, in the order of acceptance, with success, `STATUS_REQUEST_ABORTED` or
//!   `STATUS_IO_DEVICE_ERROR`. Its buffers stay locked and mapped to the same pages until then.
//! - Accepted is not posted: up to the pending limit copies wait for company. `NetDmaFlushPendingDescriptors` posts them.
//! - After any error a client may copy with the processor.

use crate::{
    Context, Descriptor, GroupAffinity, Mdl, NtStatus, PhysicalAddress, UnicodeString,
    descriptor::{DESTINATION_DCA_ENABLE, DESTINATION_NO_SNOOP, SERIALIZE_TRANSFER, SOURCE_NO_SNOOP},
};

/// A registered client (`PVOID` in C): a value, never a pointer.
#[repr(transparent)]
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientHandle(
    /// The value.
    pub usize,
);

/// A channel as its client names it (`PVOID` in C). Not the handle that the provider of the channel holds.
#[repr(transparent)]
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientChannelHandle(
    /// The value.
    pub usize,
);

/// A copy in flight (`ULONG_PTR`). Cookies of a channel increase in the order of acceptance; 0 is never one.
pub type Cookie = usize;

/// Version of this client API, for [`ClientCharacteristics`].
pub const CLIENT_MAJOR_VERSION: u8 = 1;
/// Minor part of the version.
pub const CLIENT_MINOR_VERSION: u8 = 0;
/// Revision of [`ClientChannelParameters`].
pub const CLIENT_CHANNEL_REVISION_1: u16 = 1;

/// Tells a client of a change. PASSIVE_LEVEL, no lock held. `code` is a raw [`crate::NotificationCode`].
///
/// A client returns from `ProviderRemoval` and `ProviderPowerDown` only when it has stopped posting (R228). It may call
/// any function of this API from here except `NetDmaDeregisterClient`.
pub type ClientEventHandler = unsafe extern "system" fn(client_context: Context, code: u32, provider_id: u32);

/// Tells a client that one copy ended. DISPATCH_LEVEL, no lock held: on the channel's processor when an interrupt reported
/// it, on the poller's when `NetDmaIsDmaCopyComplete` found it. The client may submit from here.
///
/// `user_context` is the one of the submission, null for `NetDmaChainCopyVirtualToVirtual`, which has no room for one.
pub type ClientCompletionHandler = unsafe extern "system" fn(
    channel_context: Context,
    cookie: Cookie,
    user_context: Context,
    status: NtStatus,
);

/// What a client registers with.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ClientCharacteristics {
    /// [`CLIENT_MAJOR_VERSION`], a version number.
    pub major_version: u8,
    /// [`CLIENT_MINOR_VERSION`], a version number.
    pub minor_version: u8,
    /// Bytes of this structure.
    pub size: u16,
    /// 0.
    pub flags: u32,
    /// Called on the six notices; may be null.
    pub event: Option<ClientEventHandler>,
    /// Called once per copy; null for a client that only polls.
    pub completion: Option<ClientCompletionHandler>,
    /// For logs; copied. May be empty.
    pub friendly_name: UnicodeString,
}
assert_layout!(ClientCharacteristics: size 0x28, align 8, {
    major_version @ 0x00,
    minor_version @ 0x01,
    size @ 0x02,
    flags @ 0x04,
    event @ 0x08,
    completion @ 0x10,
    friendly_name @ 0x18,
});

/// A value of [`ProviderInformation::state`]: registered, not started.
pub const PROVIDER_STOPPED: u32 = 0;
/// [`ProviderInformation::state`]: channels can be allocated and used.
pub const PROVIDER_STARTED: u32 = 1;
/// A value of [`ProviderInformation::state`]: a stop waits for outstanding work.
pub const PROVIDER_STOPPING: u32 = 2;
/// [`ProviderInformation::state`]: out of D0; channels stay allocated, nothing is accepted.
pub const PROVIDER_POWERED_DOWN: u32 = 3;

/// UTF-16 units of [`ProviderInformation::friendly_name`]; a longer name is cut.
pub const PROVIDER_NAME_UNITS: usize = 64;

/// One provider, as `NetDmaEnumerateDmaProviders` lists it.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProviderInformation {
    /// Names the provider in other calls; never 0, not reused while the interface is loaded.
    pub provider_id: u32,
    /// Registered version, as [`crate::Version`].
    pub version: u32,
    /// A value of the `PROVIDER_` states above.
    pub state: u32,
    /// Characteristics flags of the registration.
    pub flags: u32,
    /// Channels of the latest start.
    pub channel_count: u32,
    /// Of these channels, not allocated.
    pub free_channel_count: u32,
    /// Bytes one descriptor may copy. Longer copies are split by the interface.
    pub maximum_transfer_size: u32,
    /// PCI vendor id.
    pub vendor_id: u32,
    /// Largest physical address the engine reaches.
    pub maximum_address: PhysicalAddress,
    /// Hardware version, major << 16 | minor.
    pub hardware_version: u32,
    /// Bytes of `friendly_name` in use.
    pub friendly_name_length: u32,
    /// The registered name.
    pub friendly_name: [u16; PROVIDER_NAME_UNITS],
}
assert_layout!(ProviderInformation: size 0xB0, align 8, {
    provider_id @ 0x00,
    version @ 0x04,
    state @ 0x08,
    flags @ 0x0C,
    channel_count @ 0x10,
    free_channel_count @ 0x14,
    maximum_transfer_size @ 0x18,
    vendor_id @ 0x1C,
    maximum_address @ 0x20,
    hardware_version @ 0x28,
    friendly_name_length @ 0x2C,
    friendly_name @ 0x30,
});

/// [`ClientChannelParameters::flags`]: completions are only polled for; no descriptor of this channel asks for an interrupt.
pub const CHANNEL_POLLED: u32 = 0x1;

/// Descriptors of a ring when [`ClientChannelParameters::ring_size`] is 0.
pub const DEFAULT_RING_SIZE: u32 = 256;
/// Fewest descriptors of a ring: one page of them.
pub const MINIMUM_RING_SIZE: u32 = 64;
/// Most descriptors of a ring; the hardware counter of the engines served has 16 bits.
pub const MAXIMUM_RING_SIZE: u32 = 65_536;

/// What a client wants of a channel, and what it got.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct ClientChannelParameters {
    /// In: the revision, [`CLIENT_CHANNEL_REVISION_1`].
    pub revision: u16,
    /// In: bytes of this structure.
    pub size: u16,
    /// In: 0 or [`CHANNEL_POLLED`].
    pub flags: u32,
    /// In: processors for completions; mask 0 allows any.
    pub processors: GroupAffinity,
    /// In: relative priority among the engine's channels, larger is higher; 0 unless there is a reason (R94).
    pub priority: u32,
    /// In: descriptors of the ring, rounded up to a power of two between [`MINIMUM_RING_SIZE`] and
    /// [`MAXIMUM_RING_SIZE`]; 0 for [`DEFAULT_RING_SIZE`]. Out: what it became.
    pub ring_size: u32,
    /// In: handed to the completion callback.
    pub channel_context: Context,
    /// Out: system-wide index of the processor of the channel's completions.
    pub cpu_number: u32,
    /// Out: the provider the channel belongs to.
    pub provider_id: u32,
}
assert_layout!(ClientChannelParameters: size 0x30, align 8, {
    revision @ 0x00,
    size @ 0x02,
    flags @ 0x04,
    processors @ 0x08,
    priority @ 0x18,
    ring_size @ 0x1C,
    channel_context @ 0x20,
    cpu_number @ 0x28,
    provider_id @ 0x2C,
});

/// Flags a client may set on a submission. Completion flags belong to the interface. Who sets a no-snoop flag has made sure
/// that caches hold nothing of that side (R164). [`DESTINATION_DCA_ENABLE`] asks that the channel's processor finds the
/// destination in its cache; it is dropped where the provider has no direct cache access.
pub const SUBMIT_FLAGS: u32 =
    SOURCE_NO_SNOOP | DESTINATION_NO_SNOOP | SERIALIZE_TRANSFER | DESTINATION_DCA_ENABLE;

/// Copies that may wait before the interface posts them, when a client never sets the limit: post at once.
pub const DEFAULT_MAX_PENDING_DESCRIPTORS: u32 = 1;

/// Revision of [`Statistics`].
pub const STATISTICS_REVISION_1: u16 = 1;

/// Counters of a channel since its allocation, or of a provider's channels since its registration.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Statistics {
    /// Out: the revision, [`STATISTICS_REVISION_1`].
    pub revision: u16,
    /// Out: bytes of this structure.
    pub size: u16,
    /// Out: channels counted.
    pub channels: u32,
    /// Payload bytes of descriptors completed with success.
    pub bytes: u64,
    /// Descriptors posted.
    pub descriptors: u64,
    /// Number of posts, each one provider call: `starts + appends`.
    pub batches: u64,
    /// Number of posts by `StartDma`.
    pub starts: u64,
    /// Number of posts by `AppendDma`.
    pub appends: u64,
    /// Requests (cookies) accepted.
    pub submitted: u64,
    /// Requests completed with success.
    pub completed: u64,
    /// Requests ended by abort, reset or stop.
    pub aborted: u64,
    /// Requests ended by an engine error.
    pub failed: u64,
    /// `NetDmaIsr` calls.
    pub interrupts: u64,
    /// `NetDmaInterruptDpc` calls.
    pub dpcs: u64,
    /// Number of polls that looked at the completion word.
    pub polls: u64,
    /// Times the channel was found Halted.
    pub halts: u64,
    /// Submissions refused for lack of ring slots.
    pub ring_full: u64,
    /// Provider calls that returned a failure.
    pub provider_failures: u64,
    /// Completion words or reported addresses that named nothing in flight.
    pub foreign_addresses: u64,
}
assert_layout!(Statistics: size 0x88, align 8, {
    revision @ 0x00,
    size @ 0x02,
    channels @ 0x04,
    bytes @ 0x08,
    descriptors @ 0x10,
    batches @ 0x18,
    starts @ 0x20,
    appends @ 0x28,
    submitted @ 0x30,
    completed @ 0x38,
    aborted @ 0x40,
    failed @ 0x48,
    interrupts @ 0x50,
    dpcs @ 0x58,
    polls @ 0x60,
    halts @ 0x68,
    ring_full @ 0x70,
    provider_failures @ 0x78,
    foreign_addresses @ 0x80,
});

/// Signature of `NetDmaRegisterClient` (3 words). PASSIVE_LEVEL. Then tells the client of the providers already there.
pub type NetDmaRegisterClient = unsafe extern "system" fn(
    client_context: Context,
    characteristics: *const ClientCharacteristics,
    client: *mut ClientHandle,
) -> NtStatus;

/// Signature of `NetDmaDeregisterClient` (1). PASSIVE_LEVEL. Frees the client's channels, waits for its callbacks.
pub type NetDmaDeregisterClient = unsafe extern "system" fn(client: ClientHandle) -> NtStatus;

/// Signature of `NetDmaEnumerateDmaProviders` (5). PASSIVE_LEVEL. `bytes`: of the array, 0 to ask for the size. Always
/// stores the bytes needed and the provider count; a short array gets `STATUS_BUFFER_TOO_SMALL` and stays untouched.
pub type NetDmaEnumerateDmaProviders = unsafe extern "system" fn(
    client: ClientHandle,
    providers: *mut ProviderInformation,
    bytes: u32,
    bytes_needed: *mut u32,
    provider_count: *mut u32,
) -> NtStatus;

/// Signature of `NetDmaAllocateChannel` (4). PASSIVE_LEVEL. `provider_id` 0: any.
pub type NetDmaAllocateChannel = unsafe extern "system" fn(
    client: ClientHandle,
    provider_id: u32,
    parameters: *mut ClientChannelParameters,
    channel: *mut ClientChannelHandle,
) -> NtStatus;

/// Signature of `NetDmaFreeChannel` (1). PASSIVE_LEVEL. Posts what waits, waits for all of it, then frees.
pub type NetDmaFreeChannel = unsafe extern "system" fn(channel: ClientChannelHandle) -> NtStatus;

/// Signature of `NetDmaChainCopyVirtualToVirtual` (7). At most DISPATCH_LEVEL. Copies `length` bytes between two chains of
/// locked MDLs, each from a byte offset into its chain. `STATUS_PENDING` and a cookie when accepted.
pub type NetDmaChainCopyVirtualToVirtual = unsafe extern "system" fn(
    channel: ClientChannelHandle,
    destination: *mut Mdl,
    destination_offset: u32,
    source: *mut Mdl,
    source_offset: u32,
    length: u32,
    cookie: *mut Cookie,
) -> NtStatus;

/// Signature of `NetDmaChainCopyPhysicalToVirtual` (9). At most DISPATCH_LEVEL. The source is physically contiguous.
/// `flags`: of [`SUBMIT_FLAGS`].
pub type NetDmaChainCopyPhysicalToVirtual = unsafe extern "system" fn(
    channel: ClientChannelHandle,
    destination: *mut Mdl,
    destination_offset: u32,
    source: PhysicalAddress,
    length: u32,
    flags: u32,
    user_context: Context,
    cookie: *mut Cookie,
) -> NtStatus;

/// Signature of `NetDmaNullTransfer` (4). At most DISPATCH_LEVEL. Completes after everything accepted before it.
pub type NetDmaNullTransfer = unsafe extern "system" fn(
    channel: ClientChannelHandle,
    flags: u32,
    user_context: Context,
    cookie: *mut Cookie,
) -> NtStatus;

/// Signature of `NetDmaIsDmaCopyComplete` (2). At most DISPATCH_LEVEL. `BOOLEAN`: 1 when the interface is done with that copy,
/// also when it failed or its provider stopped; 0 while it is outstanding, for a cookie that was never given, and for a
/// handle that names nothing. Looks at the completion word and so drives completion.
pub type NetDmaIsDmaCopyComplete =
    unsafe extern "system" fn(channel: ClientChannelHandle, cookie: Cookie) -> u8;

/// Signature of `NetDmaFlushPendingDescriptors` (1). At most DISPATCH_LEVEL. Posts what waits.
pub type NetDmaFlushPendingDescriptors = unsafe extern "system" fn(channel: ClientChannelHandle) -> NtStatus;

/// Signature of `NetDmaGetMaxPendingDescriptors` (1). At most DISPATCH_LEVEL. 0 for a bad handle.
pub type NetDmaGetMaxPendingDescriptors = unsafe extern "system" fn(channel: ClientChannelHandle) -> u32;

/// Signature of `NetDmaSetMaxPendingDescriptors` (2). At most DISPATCH_LEVEL. `limit`: requests that are posted together;
/// 1 posts at once; 0 is refused; larger than the ring means "when flushed".
pub type NetDmaSetMaxPendingDescriptors =
    unsafe extern "system" fn(channel: ClientChannelHandle, limit: u32) -> NtStatus;

/// Signature of `NetDmaPrefetchNextDescriptor` (1). At most DISPATCH_LEVEL. Warms the next slot's cache line.
pub type NetDmaPrefetchNextDescriptor = unsafe extern "system" fn(channel: ClientChannelHandle);

/// Signature of `NetDmaSubmitDescriptorList` (ours). At most DISPATCH_LEVEL. An array of `count` descriptors becomes one
/// request with one cookie (R12). The interface copies them and gives them its own chain, contexts and completion flags:
/// `next_descriptor` and the user contexts are ignored, [`SUBMIT_FLAGS`], the NULL flag and, from 2.0, page breaks are
/// honoured, anything else is refused.
pub type NetDmaSubmitDescriptorList = unsafe extern "system" fn(
    channel: ClientChannelHandle,
    descriptors: *const Descriptor,
    count: u32,
    user_context: Context,
    cookie: *mut Cookie,
) -> NtStatus;

/// Signature of `NetDmaSuspendChannel`, `NetDmaResumeChannel`, `NetDmaAbortChannel` and `NetDmaResetChannel` (ours, 1 word).
/// At most DISPATCH_LEVEL. `STATUS_NOT_SUPPORTED` where the provider has no such entry point.
pub type NetDmaControlChannel = unsafe extern "system" fn(channel: ClientChannelHandle) -> NtStatus;

/// Signature of `NetDmaQueryStatistics` (ours). At most DISPATCH_LEVEL. Of the channel, or, when `channel` is 0, of the
/// provider. `bytes`: in, of the buffer; out, of [`Statistics`].
pub type NetDmaQueryStatistics = unsafe extern "system" fn(
    channel: ClientChannelHandle,
    provider_id: u32,
    statistics: *mut Statistics,
    bytes: *mut u32,
) -> NtStatus;

/// Declares the client functions as imports from `netdma.sys`, in the invoking module.
#[macro_export]
macro_rules! import_client_functions {
    () => {
        #[link(name = "netdma.sys", kind = "raw-dylib", modifiers = "+verbatim")]
        unsafe extern "system" {
            /// See [`netdma_abi::client::NetDmaRegisterClient`].
            pub fn NetDmaRegisterClient(
                client_context: $crate::Context,
                characteristics: *const $crate::client::ClientCharacteristics,
                client: *mut $crate::client::ClientHandle,
            ) -> $crate::NtStatus;
            /// See [`netdma_abi::client::NetDmaDeregisterClient`].
            pub fn NetDmaDeregisterClient(client: $crate::client::ClientHandle) -> $crate::NtStatus;
            /// See [`netdma_abi::client::NetDmaEnumerateDmaProviders`].
            pub fn NetDmaEnumerateDmaProviders(
                client: $crate::client::ClientHandle,
                providers: *mut $crate::client::ProviderInformation,
                bytes: u32,
                bytes_needed: *mut u32,
                provider_count: *mut u32,
            ) -> $crate::NtStatus;
            /// See [`netdma_abi::client::NetDmaAllocateChannel`].
            pub fn NetDmaAllocateChannel(
                client: $crate::client::ClientHandle,
                provider_id: u32,
                parameters: *mut $crate::client::ClientChannelParameters,
                channel: *mut $crate::client::ClientChannelHandle,
            ) -> $crate::NtStatus;
            /// See [`netdma_abi::client::NetDmaFreeChannel`].
            pub fn NetDmaFreeChannel(channel: $crate::client::ClientChannelHandle) -> $crate::NtStatus;
            /// See [`netdma_abi::client::NetDmaChainCopyVirtualToVirtual`].
            pub fn NetDmaChainCopyVirtualToVirtual(
                channel: $crate::client::ClientChannelHandle,
                destination: *mut $crate::Mdl,
                destination_offset: u32,
                source: *mut $crate::Mdl,
                source_offset: u32,
                length: u32,
                cookie: *mut $crate::client::Cookie,
            ) -> $crate::NtStatus;
            /// See [`netdma_abi::client::NetDmaChainCopyPhysicalToVirtual`].
            pub fn NetDmaChainCopyPhysicalToVirtual(
                channel: $crate::client::ClientChannelHandle,
                destination: *mut $crate::Mdl,
                destination_offset: u32,
                source: $crate::PhysicalAddress,
                length: u32,
                flags: u32,
                user_context: $crate::Context,
                cookie: *mut $crate::client::Cookie,
            ) -> $crate::NtStatus;
            /// See [`netdma_abi::client::NetDmaNullTransfer`].
            pub fn NetDmaNullTransfer(
                channel: $crate::client::ClientChannelHandle,
                flags: u32,
                user_context: $crate::Context,
                cookie: *mut $crate::client::Cookie,
            ) -> $crate::NtStatus;
            /// See [`netdma_abi::client::NetDmaIsDmaCopyComplete`].
            pub fn NetDmaIsDmaCopyComplete(
                channel: $crate::client::ClientChannelHandle,
                cookie: $crate::client::Cookie,
            ) -> u8;
            /// See [`netdma_abi::client::NetDmaFlushPendingDescriptors`].
            pub fn NetDmaFlushPendingDescriptors(
                channel: $crate::client::ClientChannelHandle,
            ) -> $crate::NtStatus;
            /// See [`netdma_abi::client::NetDmaGetMaxPendingDescriptors`].
            pub fn NetDmaGetMaxPendingDescriptors(channel: $crate::client::ClientChannelHandle) -> u32;
            /// See [`netdma_abi::client::NetDmaSetMaxPendingDescriptors`].
            pub fn NetDmaSetMaxPendingDescriptors(
                channel: $crate::client::ClientChannelHandle,
                limit: u32,
            ) -> $crate::NtStatus;
            /// See [`netdma_abi::client::NetDmaPrefetchNextDescriptor`].
            pub fn NetDmaPrefetchNextDescriptor(channel: $crate::client::ClientChannelHandle);
            /// See [`netdma_abi::client::NetDmaSubmitDescriptorList`].
            pub fn NetDmaSubmitDescriptorList(
                channel: $crate::client::ClientChannelHandle,
                descriptors: *const $crate::Descriptor,
                count: u32,
                user_context: $crate::Context,
                cookie: *mut $crate::client::Cookie,
            ) -> $crate::NtStatus;
            /// See [`netdma_abi::client::NetDmaControlChannel`].
            pub fn NetDmaSuspendChannel(channel: $crate::client::ClientChannelHandle) -> $crate::NtStatus;
            /// See [`netdma_abi::client::NetDmaControlChannel`].
            pub fn NetDmaResumeChannel(channel: $crate::client::ClientChannelHandle) -> $crate::NtStatus;
            /// See [`netdma_abi::client::NetDmaControlChannel`].
            pub fn NetDmaAbortChannel(channel: $crate::client::ClientChannelHandle) -> $crate::NtStatus;
            /// See [`netdma_abi::client::NetDmaControlChannel`].
            pub fn NetDmaResetChannel(channel: $crate::client::ClientChannelHandle) -> $crate::NtStatus;
            /// See [`netdma_abi::client::NetDmaQueryStatistics`].
            pub fn NetDmaQueryStatistics(
                channel: $crate::client::ClientChannelHandle,
                provider_id: u32,
                statistics: *mut $crate::client::Statistics,
                bytes: *mut u32,
            ) -> $crate::NtStatus;
        }
    };
}
