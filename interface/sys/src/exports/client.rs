//! The functions that clients call (spec 5.4).

use netdma_abi::client::{
    self as abi, CLIENT_CHANNEL_REVISION_1, CLIENT_MAJOR_VERSION, ClientChannelHandle,
    ClientChannelParameters, ClientCharacteristics, ClientHandle, Cookie, ProviderInformation, SUBMIT_FLAGS,
    Statistics,
};
use netdma_abi::status::{
    STATUS_BUFFER_TOO_SMALL, STATUS_INVALID_PARAMETER, STATUS_PENDING, STATUS_REQUEST_ABORTED,
    STATUS_SUCCESS, STATUS_UNSUCCESSFUL,
};
use netdma_abi::{Context, Descriptor, Mdl, NtStatus, PhysicalAddress};
use netdma_core::channel::{Channel, Control};
use netdma_core::transfer::{Run, Runs};
use nt::mdl;

use super::{passive, read, up_to_dispatch, write};
use crate::foreign::UnderLock;
use crate::memory::NtRing;
use crate::trace::Export;
use crate::{channel, client, provider};

const _: abi::NetDmaRegisterClient = NetDmaRegisterClient;
const _: abi::NetDmaDeregisterClient = NetDmaDeregisterClient;
const _: abi::NetDmaEnumerateDmaProviders = NetDmaEnumerateDmaProviders;
const _: abi::NetDmaAllocateChannel = NetDmaAllocateChannel;
const _: abi::NetDmaFreeChannel = NetDmaFreeChannel;
const _: abi::NetDmaChainCopyVirtualToVirtual = NetDmaChainCopyVirtualToVirtual;
const _: abi::NetDmaChainCopyPhysicalToVirtual = NetDmaChainCopyPhysicalToVirtual;
const _: abi::NetDmaNullTransfer = NetDmaNullTransfer;
const _: abi::NetDmaIsDmaCopyComplete = NetDmaIsDmaCopyComplete;
const _: abi::NetDmaFlushPendingDescriptors = NetDmaFlushPendingDescriptors;
const _: abi::NetDmaGetMaxPendingDescriptors = NetDmaGetMaxPendingDescriptors;
const _: abi::NetDmaSetMaxPendingDescriptors = NetDmaSetMaxPendingDescriptors;
const _: abi::NetDmaPrefetchNextDescriptor = NetDmaPrefetchNextDescriptor;
const _: abi::NetDmaSubmitDescriptorList = NetDmaSubmitDescriptorList;
const _: abi::NetDmaControlChannel = NetDmaSuspendChannel;
const _: abi::NetDmaControlChannel = NetDmaResumeChannel;
const _: abi::NetDmaControlChannel = NetDmaAbortChannel;
const _: abi::NetDmaControlChannel = NetDmaResetChannel;
const _: abi::NetDmaQueryStatistics = NetDmaQueryStatistics;

/// The status of an outcome.
fn status_of(outcome: Result<(), NtStatus>) -> NtStatus {
    outcome.err().unwrap_or(STATUS_SUCCESS)
}

/// See [`abi::NetDmaRegisterClient`].
///
/// # Safety
/// The characteristics may be read, the handle location may be written, and the callbacks stay callable until the client
/// has deregistered.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn NetDmaRegisterClient(
    client_context: Context,
    characteristics: *const ClientCharacteristics,
    client: *mut ClientHandle,
) -> NtStatus {
    // SAFETY: the caller says that it may be written.
    if !unsafe { write(client, ClientHandle(0)) } {
        return STATUS_INVALID_PARAMETER;
    }
    let Some(mut irql) = passive(Export::RegisterClient, characteristics.addr()) else {
        return STATUS_UNSUCCESSFUL;
    };
    // SAFETY: the caller says that it may be read.
    let Some(given) = (unsafe { read(characteristics) }) else { return STATUS_INVALID_PARAMETER };
    if given.major_version != CLIENT_MAJOR_VERSION
        || usize::from(given.size) < size_of::<ClientCharacteristics>()
        || given.flags != 0
    {
        return STATUS_INVALID_PARAMETER;
    }
    let publish = |handle| {
        // SAFETY: the location was written before.
        unsafe { write(client, handle) };
    };
    status_of(client::register(client_context.expose_provenance(), &given, publish, &mut irql))
}

/// See [`abi::NetDmaDeregisterClient`].
///
/// # Safety
/// None: any handle may be passed.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn NetDmaDeregisterClient(client: ClientHandle) -> NtStatus {
    match passive(Export::DeregisterClient, client.0) {
        Some(mut irql) => status_of(client::deregister(client, &mut irql)),
        None => STATUS_UNSUCCESSFUL,
    }
}

/// See [`abi::NetDmaEnumerateDmaProviders`].
///
/// # Safety
/// The array is null or has room for its bytes; the other two locations may be written.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn NetDmaEnumerateDmaProviders(
    client: ClientHandle,
    providers: *mut ProviderInformation,
    bytes: u32,
    bytes_needed: *mut u32,
    provider_count: *mut u32,
) -> NtStatus {
    let Some(mut irql) = passive(Export::EnumerateDmaProviders, client.0) else { return STATUS_UNSUCCESSFUL };
    if let Err(status) = client::find(client, Export::EnumerateDmaProviders) {
        return status;
    }
    let mut count = 0u32;
    provider::enumerate(|_| count = count.wrapping_add(1), &mut irql);
    let size = size_of::<ProviderInformation>() as u32;
    let needed = count.saturating_mul(size);
    // SAFETY: the caller says that both may be written.
    let stored = unsafe { write(bytes_needed, needed) };
    // SAFETY: the caller says that both may be written.
    if !unsafe { write(provider_count, count) } || !stored {
        return STATUS_INVALID_PARAMETER;
    }
    if bytes < needed {
        return STATUS_BUFFER_TOO_SMALL;
    }
    if count != 0 && (providers.is_null() || !providers.is_aligned()) {
        return STATUS_INVALID_PARAMETER;
    }
    // A provider may come or go between counting and listing: the room bounds the list, and its length is told.
    let room = count;
    let mut listed = 0u32;
    provider::enumerate(
        |information| {
            if listed < room {
                // SAFETY: `listed` is below the room that the caller's bytes give.
                let place = unsafe { providers.add(listed as usize) };
                // SAFETY: the place lies in the caller's array.
                unsafe { write(place, information) };
                listed = listed.wrapping_add(1);
            }
        },
        &mut irql,
    );
    // SAFETY: the location was written before.
    unsafe { write(provider_count, listed) };
    STATUS_SUCCESS
}

/// See [`abi::NetDmaAllocateChannel`].
///
/// # Safety
/// The parameters may be read and written, the handle location may be written.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn NetDmaAllocateChannel(
    client: ClientHandle,
    provider_id: u32,
    parameters: *mut ClientChannelParameters,
    channel: *mut ClientChannelHandle,
) -> NtStatus {
    let Some(mut irql) = passive(Export::AllocateChannel, client.0) else { return STATUS_UNSUCCESSFUL };
    // SAFETY: the caller says that it may be written.
    if !unsafe { write(channel, ClientChannelHandle(0)) } {
        return STATUS_INVALID_PARAMETER;
    }
    // SAFETY: the caller says that it may be read.
    let Some(mut given) = (unsafe { read(parameters) }) else { return STATUS_INVALID_PARAMETER };
    if given.revision != CLIENT_CHANNEL_REVISION_1
        || usize::from(given.size) < size_of::<ClientChannelParameters>()
    {
        return STATUS_INVALID_PARAMETER;
    }
    let allocated = client::enter(client, Export::AllocateChannel, &mut irql)
        .and_then(|present| channel::allocate(&present, client.0, provider_id, &mut given, &mut irql));
    match allocated {
        Ok(handle) => {
            // SAFETY: it was read before, and the caller says that it may be written.
            unsafe { write(parameters, given) };
            // SAFETY: the location was written before.
            unsafe { write(channel, handle) };
            STATUS_SUCCESS
        }
        Err(status) => status,
    }
}

/// See [`abi::NetDmaFreeChannel`].
///
/// # Safety
/// None: any handle may be passed.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn NetDmaFreeChannel(channel: ClientChannelHandle) -> NtStatus {
    match passive(Export::FreeChannel, channel.0) {
        Some(mut irql) => channel::free_by_client(channel, &mut irql),
        None => STATUS_UNSUCCESSFUL,
    }
}

/// A buffer's pieces as the core takes them.
struct Pieces<'a>(mdl::Runs<'a>);

impl Runs for Pieces<'_> {
    #[inline]
    fn next_run(&mut self) -> Option<Run> {
        self.0.next().map(|run| Run { address: run.address, length: run.length.into() })
    }
}

/// `length` bytes of an MDL chain from an offset.
///
/// # Safety
/// The chain is null or of valid MDLs whose pages stay locked until the copy has completed.
unsafe fn pieces<'a>(chain: *mut Mdl, offset: u32, length: u32) -> Result<Pieces<'a>, NtStatus> {
    // SAFETY: the caller says so; ours and the bindings' MDL are the same opaque structure.
    let chain = unsafe { mdl::Chain::from_ptr(chain.cast()) }.ok_or(STATUS_INVALID_PARAMETER)?;
    chain.runs(offset.into(), length.into()).map(Pieces).map_err(|_| STATUS_INVALID_PARAMETER)
}

/// A submission: the cookie is stored before the request can complete, and cleared if it is refused.
///
/// # Safety
/// The cookie's location may be written.
#[inline]
unsafe fn submit(
    channel: ClientChannelHandle,
    export: Export,
    cookie: *mut Cookie,
    act: impl FnOnce(&mut Channel<NtRing>, &UnderLock<'_>) -> Result<u64, NtStatus>,
) -> NtStatus {
    let Some(mut irql) = up_to_dispatch(export, channel.0) else { return STATUS_UNSUCCESSFUL };
    // SAFETY: the caller says that it may be written.
    if !unsafe { write(cookie, 0) } {
        return STATUS_INVALID_PARAMETER;
    }
    let outcome = channel::call(channel, export, &mut irql, |channel, provider| {
        let given = act(channel, provider)?;
        // Under the lock, so before any callback for it.
        // SAFETY: the location was written before.
        unsafe { write(cookie, given as usize) };
        Ok(())
    });
    match outcome.and_then(|inner| inner) {
        Ok(()) => STATUS_PENDING,
        Err(status) => status,
    }
}

/// See [`abi::NetDmaChainCopyVirtualToVirtual`].
///
/// # Safety
/// Both chains are of valid MDLs whose pages stay locked until the copy has completed; the cookie's location may be
/// written.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn NetDmaChainCopyVirtualToVirtual(
    channel: ClientChannelHandle,
    destination: *mut Mdl,
    destination_offset: u32,
    source: *mut Mdl,
    source_offset: u32,
    length: u32,
    cookie: *mut Cookie,
) -> NtStatus {
    // SAFETY: the caller says so.
    let to = unsafe { pieces(destination, destination_offset, length) };
    // SAFETY: the caller says so.
    let from = unsafe { pieces(source, source_offset, length) };
    let (to, from) = match (to, from) {
        (Ok(to), Ok(from)) => (to, from),
        (Err(status), _) | (_, Err(status)) => return status,
    };
    // SAFETY: the caller says that the location may be written.
    unsafe {
        submit(channel, Export::ChainCopyVirtualToVirtual, cookie, |channel, provider| {
            channel.copy(provider, to, from, length, 0, 0)
        })
    }
}

/// See [`abi::NetDmaChainCopyPhysicalToVirtual`].
///
/// # Safety
/// The chain is of valid MDLs whose pages, and those at the physical address, stay locked until the copy has completed; the
/// cookie's location may be written.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn NetDmaChainCopyPhysicalToVirtual(
    channel: ClientChannelHandle,
    destination: *mut Mdl,
    destination_offset: u32,
    source: PhysicalAddress,
    length: u32,
    flags: u32,
    user_context: Context,
    cookie: *mut Cookie,
) -> NtStatus {
    if flags & !SUBMIT_FLAGS != 0 {
        return STATUS_INVALID_PARAMETER;
    }
    // SAFETY: the caller says so.
    let to = match unsafe { pieces(destination, destination_offset, length) } {
        Ok(to) => to,
        Err(status) => return status,
    };
    let from = Some(Run { address: source.0, length: length.into() });
    let context = user_context.expose_provenance();
    // SAFETY: the caller says that the location may be written.
    unsafe {
        submit(channel, Export::ChainCopyPhysicalToVirtual, cookie, |channel, provider| {
            let flags = channel.hinted(flags);
            channel.copy(provider, to, from, length, flags, context)
        })
    }
}

/// See [`abi::NetDmaNullTransfer`].
///
/// # Safety
/// The cookie's location may be written.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn NetDmaNullTransfer(
    channel: ClientChannelHandle,
    flags: u32,
    user_context: Context,
    cookie: *mut Cookie,
) -> NtStatus {
    if flags & !SUBMIT_FLAGS != 0 {
        return STATUS_INVALID_PARAMETER;
    }
    let context = user_context.expose_provenance();
    // SAFETY: the caller says that the location may be written.
    unsafe {
        submit(channel, Export::NullTransfer, cookie, |channel, provider| {
            channel.null(provider, flags, context)
        })
    }
}

/// See [`abi::NetDmaSubmitDescriptorList`].
///
/// # Safety
/// The array has `count` descriptors that may be read; the cookie's location may be written; the buffers that the
/// descriptors name stay locked until the request has completed.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn NetDmaSubmitDescriptorList(
    channel: ClientChannelHandle,
    descriptors: *const Descriptor,
    count: u32,
    user_context: Context,
    cookie: *mut Cookie,
) -> NtStatus {
    if descriptors.is_null() || !descriptors.is_aligned() {
        return STATUS_INVALID_PARAMETER;
    }
    let context = user_context.expose_provenance();
    let descriptor = |number: u32| {
        // SAFETY: the core asks for numbers below `count`, which the caller says the array has.
        let place = unsafe { descriptors.add(number as usize) };
        // SAFETY: as above.
        unsafe { read(place) }
    };
    // SAFETY: the caller says that the location may be written.
    unsafe {
        submit(channel, Export::SubmitDescriptorList, cookie, |channel, provider| {
            channel.list(provider, count, context, descriptor)
        })
    }
}

/// See [`abi::NetDmaIsDmaCopyComplete`].
///
/// # Safety
/// None: any handle and cookie may be passed.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn NetDmaIsDmaCopyComplete(channel: ClientChannelHandle, cookie: Cookie) -> u8 {
    match up_to_dispatch(Export::IsDmaCopyComplete, channel.0) {
        Some(mut irql) => channel::is_complete(channel, cookie, &mut irql).into(),
        None => 0,
    }
}

/// See [`abi::NetDmaFlushPendingDescriptors`].
///
/// # Safety
/// None: any handle may be passed.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn NetDmaFlushPendingDescriptors(channel: ClientChannelHandle) -> NtStatus {
    let export = Export::FlushPendingDescriptors;
    let Some(mut irql) = up_to_dispatch(export, channel.0) else { return STATUS_UNSUCCESSFUL };
    status_of(channel::call(channel, export, &mut irql, |channel, provider| channel.post(provider)))
}

/// See [`abi::NetDmaGetMaxPendingDescriptors`].
///
/// # Safety
/// None: any handle may be passed.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn NetDmaGetMaxPendingDescriptors(channel: ClientChannelHandle) -> u32 {
    let export = Export::GetMaxPendingDescriptors;
    let Some(mut irql) = up_to_dispatch(export, channel.0) else { return 0 };
    channel::call(channel, export, &mut irql, |channel, _| channel.limit()).unwrap_or(0)
}

/// See [`abi::NetDmaSetMaxPendingDescriptors`].
///
/// # Safety
/// None: any handle and limit may be passed.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn NetDmaSetMaxPendingDescriptors(
    channel: ClientChannelHandle,
    limit: u32,
) -> NtStatus {
    let export = Export::SetMaxPendingDescriptors;
    let Some(mut irql) = up_to_dispatch(export, channel.0) else { return STATUS_UNSUCCESSFUL };
    let set =
        channel::call(channel, export, &mut irql, |channel, provider| channel.set_limit(provider, limit));
    status_of(set.and_then(|inner| inner))
}

/// See [`abi::NetDmaPrefetchNextDescriptor`]. Reading the slot's first word brings its line in.
///
/// # Safety
/// None: any handle may be passed.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn NetDmaPrefetchNextDescriptor(channel: ClientChannelHandle) {
    let export = Export::PrefetchNextDescriptor;
    if let Some(mut irql) = up_to_dispatch(export, channel.0) {
        // A bad handle is ignored, as by every function without a status.
        let _outcome = channel::call(channel, export, &mut irql, |channel, _| channel.touch_next());
    }
}

fn control(channel: ClientChannelHandle, export: Export, control: Control) -> NtStatus {
    match up_to_dispatch(export, channel.0) {
        Some(mut irql) => channel::control(channel, export, control, &mut irql),
        None => STATUS_UNSUCCESSFUL,
    }
}

/// See [`abi::NetDmaControlChannel`].
///
/// # Safety
/// None: any handle may be passed.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn NetDmaSuspendChannel(channel: ClientChannelHandle) -> NtStatus {
    control(channel, Export::SuspendChannel, Control::Suspend)
}

/// See [`abi::NetDmaControlChannel`].
///
/// # Safety
/// None: any handle may be passed.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn NetDmaResumeChannel(channel: ClientChannelHandle) -> NtStatus {
    control(channel, Export::ResumeChannel, Control::Resume)
}

/// See [`abi::NetDmaControlChannel`].
///
/// # Safety
/// None: any handle may be passed.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn NetDmaAbortChannel(channel: ClientChannelHandle) -> NtStatus {
    control(channel, Export::AbortChannel, Control::Abort(STATUS_REQUEST_ABORTED))
}

/// See [`abi::NetDmaControlChannel`].
///
/// # Safety
/// None: any handle may be passed.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn NetDmaResetChannel(channel: ClientChannelHandle) -> NtStatus {
    control(channel, Export::ResetChannel, Control::Reset(STATUS_REQUEST_ABORTED))
}

/// See [`abi::NetDmaQueryStatistics`].
///
/// # Safety
/// The counters have room for `bytes`, which may be read and written.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn NetDmaQueryStatistics(
    channel: ClientChannelHandle,
    provider_id: u32,
    statistics: *mut Statistics,
    bytes: *mut u32,
) -> NtStatus {
    let export = Export::QueryStatistics;
    let Some(mut irql) = up_to_dispatch(export, channel.0) else { return STATUS_UNSUCCESSFUL };
    let size = size_of::<Statistics>() as u32;
    // SAFETY: the caller says that it may be read.
    let Some(room) = (unsafe { read(bytes) }) else { return STATUS_INVALID_PARAMETER };
    // SAFETY: the caller says that it may be written.
    unsafe { write(bytes, size) };
    if room < size {
        return STATUS_BUFFER_TOO_SMALL;
    }
    let counters = match channel {
        ClientChannelHandle(0) => provider::statistics(provider_id, &mut irql),
        channel => channel::statistics(channel, &mut irql),
    };
    match counters {
        Ok(counters) => {
            let counters = Statistics { revision: abi::STATISTICS_REVISION_1, size: size as u16, ..counters };
            // SAFETY: the room was found large enough, and the caller says that it may be written.
            if unsafe { write(statistics, counters) } { STATUS_SUCCESS } else { STATUS_INVALID_PARAMETER }
        }
        Err(status) => status,
    }
}
