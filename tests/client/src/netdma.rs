//! The client functions of netdma.sys, made safe, and the two callbacks that it calls.

#![allow(unsafe_code, reason = "the C functions and callbacks of the NetDMA client interface")]

use core::ffi::c_void;

use netdma_abi::client::{
    CHANNEL_POLLED, CLIENT_CHANNEL_REVISION_1, CLIENT_MAJOR_VERSION, CLIENT_MINOR_VERSION,
    ClientChannelHandle, ClientChannelParameters, ClientCharacteristics, ClientHandle, Cookie,
    ProviderInformation, Statistics,
};
use netdma_abi::{Context, GroupAffinity, NtStatus, UnicodeString};
use netdma_ioctl::OpenChannel;
use nt::irql::{AtMostDispatch, Dispatch, Passive};
use nt::mdl::Chain;
use nt::pool::{Arc, Array};
use nt::{Result, Status};

use crate::TAG;
use crate::channel::OpenedChannel;
use crate::client::Client;

mod imports {
    #![allow(
        non_snake_case,
        dead_code,
        reason = "the names are the interface's; not every function is called here"
    )]
    netdma_abi::import_client_functions!();
}

/// Name under which netdma.sys logs this client.
const NAME: [u16; 10] = nt::string::widen("netdmatest");

/// A registration with netdma.sys. Ends with [`Registration::end`].
pub struct Registration {
    handle: ClientHandle,
    /// The reference that the callbacks use.
    client: *const Client,
}

// SAFETY: the pointer is an owner count of an `Arc<Client>`, and `Client` may be sent and shared.
unsafe impl Send for Registration {}
// SAFETY: as for `Send`.
unsafe impl Sync for Registration {}

impl Registration {
    /// Registers. Notices come from then on, of the providers already there even before this returns.
    ///
    /// # Errors
    /// What netdma.sys reports.
    pub fn new(client: Arc<Client>, _irql: &Passive) -> Result<Self> {
        let name = UnicodeString {
            length: size_of_val(&NAME) as u16,
            maximum_length: size_of_val(&NAME) as u16,
            buffer: NAME.as_ptr().cast_mut(),
        };
        let characteristics = ClientCharacteristics {
            major_version: CLIENT_MAJOR_VERSION,
            minor_version: CLIENT_MINOR_VERSION,
            size: size_of::<ClientCharacteristics>() as u16,
            flags: 0,
            event: Some(notice),
            completion: Some(completed),
            friendly_name: name,
        };
        let client = client.into_raw();
        let mut handle = ClientHandle::default();
        // SAFETY: the characteristics and the name are read during the call; the context is an owner of the client, given
        // away until the registration ends; the handle is a local.
        let status =
            unsafe { imports::NetDmaRegisterClient(client.cast_mut().cast(), &characteristics, &mut handle) };
        let registration = Self { handle, client };
        match Status::check(status) {
            Ok(()) => Ok(registration),
            Err(status) => {
                registration.release();
                Err(status)
            }
        }
    }

    /// Deregisters: frees the channels that are left, waits for callbacks under way.
    pub fn end(self, _irql: &Passive) {
        // SAFETY: the handle came from the registration and is used here for the last time.
        let _status = unsafe { imports::NetDmaDeregisterClient(self.handle) };
        self.release();
    }

    /// Names the client in calls.
    pub const fn name(&self) -> ClientName {
        ClientName(self.handle)
    }

    /// Takes the callbacks' reference back: none runs any more.
    fn release(self) {
        // SAFETY: `new` gave this owner away, and takes it back once.
        drop(unsafe { Arc::from_raw(self.client) });
    }
}

/// A client as netdma.sys names it. A value that netdma.sys checks, so a stale one is an error and no danger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientName(ClientHandle);

impl ClientName {
    /// The providers there are.
    ///
    /// # Errors
    /// What netdma.sys reports, INSUFFICIENT_RESOURCES when memory runs out.
    pub fn providers(self, _irql: &Passive) -> Result<Array<ProviderInformation>> {
        let (mut bytes, mut count) = (0, 0);
        // SAFETY: no array is given, the numbers are locals.
        let status = unsafe {
            imports::NetDmaEnumerateDmaProviders(self.0, core::ptr::null_mut(), 0, &mut bytes, &mut count)
        };
        if Status::from_code(status) != Status::BUFFER_TOO_SMALL {
            Status::check(status)?;
        }
        let room = count;
        let mut providers = Array::new(TAG, room as usize, |_| EMPTY)?;
        let bytes_of_room = u32::try_from(size_of_val(&*providers)).map_err(|_| Status::INTEGER_OVERFLOW)?;
        // SAFETY: the array has the stated size, the numbers are locals.
        let status = unsafe {
            imports::NetDmaEnumerateDmaProviders(
                self.0,
                providers.as_mut_ptr(),
                bytes_of_room,
                &mut bytes,
                &mut count,
            )
        };
        // One more may have come in between: then the caller asks again.
        Status::check(status)?;
        // One fewer may be there: what was not filled in has no id.
        Ok(providers)
    }

    /// Allocates a channel for `opened`, which its callbacks refer to from then on.
    ///
    /// # Errors
    /// What netdma.sys reports.
    pub fn allocate(
        self,
        wish: &OpenChannel,
        opened: Arc<OpenedChannel>,
        _irql: &Passive,
    ) -> Result<Allocation> {
        let context = opened.into_raw();
        let mut parameters = ClientChannelParameters {
            revision: CLIENT_CHANNEL_REVISION_1,
            size: size_of::<ClientChannelParameters>() as u16,
            flags: if wish.flags & netdma_ioctl::POLLED != 0 { CHANNEL_POLLED } else { 0 },
            processors: GroupAffinity {
                mask: wish.mask as usize,
                group: wish.group as u16,
                reserved: [0; 3],
            },
            priority: 0,
            ring_size: wish.ring_size,
            channel_context: context.cast_mut().cast(),
            cpu_number: 0,
            provider_id: 0,
        };
        let mut handle = ClientChannelHandle::default();
        // SAFETY: parameters and handle are locals; the context is an owner of the channel, given away until it is freed.
        let status =
            unsafe { imports::NetDmaAllocateChannel(self.0, wish.provider, &mut parameters, &mut handle) };
        let allocation = Allocation {
            handle: ChannelHandle(handle.0),
            context,
            processor: parameters.cpu_number,
            provider: parameters.provider_id,
            ring_size: parameters.ring_size,
        };
        match Status::check(status) {
            Ok(()) => Ok(allocation),
            Err(status) => {
                allocation.release();
                Err(status)
            }
        }
    }
}

/// A provider entry before it is filled in.
const EMPTY: ProviderInformation = ProviderInformation {
    provider_id: 0,
    version: 0,
    state: 0,
    flags: 0,
    channel_count: 0,
    free_channel_count: 0,
    maximum_transfer_size: 0,
    vendor_id: 0,
    maximum_address: netdma_abi::PhysicalAddress(0),
    hardware_version: 0,
    friendly_name_length: 0,
    friendly_name: [0; netdma_abi::client::PROVIDER_NAME_UNITS],
};

/// An allocated channel. Ends with [`Allocation::free`].
pub struct Allocation {
    /// Names the channel in calls.
    pub handle: ChannelHandle,
    /// The reference that the callbacks use.
    context: *const OpenedChannel,
    /// System-wide index of the processor of its completions.
    pub processor: u32,
    /// The provider it belongs to.
    pub provider: u32,
    /// Descriptors of its ring.
    pub ring_size: u32,
}

// SAFETY: the pointer is an owner count of an `Arc<OpenedChannel>`, which may be sent and shared.
unsafe impl Send for Allocation {}
// SAFETY: as for `Send`.
unsafe impl Sync for Allocation {}

impl Allocation {
    /// Frees the channel, after its outstanding work is done. Must not be dropped instead.
    pub fn free(self, _irql: &Passive) {
        // SAFETY: the handle came from the allocation and is used here for the last time.
        let _status = unsafe { imports::NetDmaFreeChannel(self.handle.raw()) };
        self.release();
    }

    /// Takes the callbacks' reference back: none runs any more.
    fn release(self) {
        // SAFETY: `allocate` gave this owner away, and takes it back once.
        drop(unsafe { Arc::from_raw(self.context) });
    }
}

/// A channel as netdma.sys names it. A value that netdma.sys checks, so a stale one is an error and no danger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelHandle(pub usize);

/// What can be done to a channel at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Posts what waits for company.
    Flush,
    /// Suspends it.
    Suspend,
    /// Resumes it.
    Resume,
    /// Cuts off what is outstanding.
    Abort,
    /// Resets it.
    Reset,
}

impl ChannelHandle {
    const fn raw(self) -> ClientChannelHandle {
        ClientChannelHandle(self.0)
    }

    /// Copies `length` bytes within `pages`, from `source` to `destination`.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES when the ring is full; else what netdma.sys reports.
    ///
    /// # Safety
    /// The pages stay locked until the copy is reported complete.
    pub unsafe fn copy(
        self,
        pages: Chain<'_>,
        source: u32,
        destination: u32,
        length: u32,
        _irql: &impl AtMostDispatch,
    ) -> Result<Cookie> {
        let mdl = pages.as_ptr().cast();
        let mut cookie = 0;
        // SAFETY: the chain is valid during the call, and its pages until the completion, by the contract.
        let status = unsafe {
            imports::NetDmaChainCopyVirtualToVirtual(
                self.raw(),
                mdl,
                destination,
                mdl,
                source,
                length,
                &mut cookie,
            )
        };
        Status::check(status).map(|()| cookie)
    }

    /// Posts a transfer that moves nothing.
    ///
    /// # Errors
    /// As [`ChannelHandle::copy`].
    pub fn null_transfer(self, _irql: &impl AtMostDispatch) -> Result<Cookie> {
        let mut cookie = 0;
        // SAFETY: the cookie is a local; no context is given.
        let status =
            unsafe { imports::NetDmaNullTransfer(self.raw(), 0, core::ptr::null_mut(), &mut cookie) };
        Status::check(status).map(|()| cookie)
    }

    /// Looks whether the copy is done; completions that this finds are reported before it returns.
    pub fn is_complete(self, cookie: Cookie, _irql: &impl AtMostDispatch) -> bool {
        // SAFETY: both arguments are values that netdma.sys checks.
        unsafe { imports::NetDmaIsDmaCopyComplete(self.raw(), cookie) != 0 }
    }

    /// Sets how many requests are posted together.
    ///
    /// # Errors
    /// What netdma.sys reports.
    pub fn set_pending_limit(self, limit: u32, _irql: &impl AtMostDispatch) -> Result {
        // SAFETY: both arguments are values that netdma.sys checks.
        Status::check(unsafe { imports::NetDmaSetMaxPendingDescriptors(self.raw(), limit) })
    }

    /// Does something to the channel at once.
    ///
    /// # Errors
    /// NOT_SUPPORTED where the provider cannot; else what netdma.sys reports.
    pub fn control(self, operation: Operation, _irql: &impl AtMostDispatch) -> Result {
        let channel = self.raw();
        let status = match operation {
            // SAFETY: the argument is a value that netdma.sys checks.
            Operation::Flush => unsafe { imports::NetDmaFlushPendingDescriptors(channel) },
            // SAFETY: as above.
            Operation::Suspend => unsafe { imports::NetDmaSuspendChannel(channel) },
            // SAFETY: as above.
            Operation::Resume => unsafe { imports::NetDmaResumeChannel(channel) },
            // SAFETY: as above.
            Operation::Abort => unsafe { imports::NetDmaAbortChannel(channel) },
            // SAFETY: as above.
            Operation::Reset => unsafe { imports::NetDmaResetChannel(channel) },
        };
        Status::check(status)
    }

    /// The counters of netdma.sys: of this channel, or, if it is 0, of the provider.
    ///
    /// # Errors
    /// What netdma.sys reports.
    pub fn statistics(self, provider: u32, _irql: &impl AtMostDispatch) -> Result<Statistics> {
        let mut statistics = Statistics::default();
        let mut bytes = size_of::<Statistics>() as u32;
        // SAFETY: the structure is a local of the stated size.
        Status::check(unsafe {
            imports::NetDmaQueryStatistics(self.raw(), provider, &mut statistics, &mut bytes)
        })?;
        Ok(statistics)
    }
}

/// netdma.sys reports a provider or power event.
unsafe extern "system" fn notice(client: Context, code: u32, provider: u32) {
    // SAFETY: the context is the owner given away in `Registration::new`, which outlives every callback.
    let client = unsafe { &*client.cast::<Client>() };
    // SAFETY: event callbacks come at PASSIVE_LEVEL (netdma-abi, ClientEventHandler).
    let mut irql = unsafe { Passive::assume() };
    client.notice(code, provider, &mut irql);
}

/// netdma.sys reports that a copy ended.
unsafe extern "system" fn completed(channel: Context, cookie: Cookie, _user: *mut c_void, status: NtStatus) {
    // SAFETY: the context is the owner given away in `Registration::allocate`, which outlives every callback.
    let channel = unsafe { &*channel.cast::<OpenedChannel>() };
    // SAFETY: completion callbacks come at DISPATCH_LEVEL (netdma-abi, ClientCompletionHandler).
    let irql = unsafe { Dispatch::assume() };
    channel.completed(cookie, Status::from_code(status), &irql);
}
