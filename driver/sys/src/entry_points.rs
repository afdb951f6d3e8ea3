//! The nine functions that netdma.sys calls (spec 2.10). Each turns the interface's pointers into types and calls its
//! channel.
//!
//! Unsafe code here rests on one contract: the provider context is the [`Engine`] that was registered, a channel
//! context is the [`Lane`] that was allocated, and both are alive because the engine deregisters before it goes (R79).
#![allow(unsafe_code, reason = "C entry points")]

use core::ffi::c_void;
use core::sync::atomic::AtomicU64;

use ioat_core::Outcome;
use netdma_abi::base::status::{STATUS_INSUFFICIENT_RESOURCES, STATUS_SUCCESS, STATUS_UNSUCCESSFUL};
use netdma_abi::channel::{
    CHANNEL_REVISION_2, ChannelParametersRevision1, SIZEOF_CHANNEL_PARAMETERS_REVISION_1,
    SIZEOF_CHANNEL_PARAMETERS_REVISION_2,
};
use netdma_abi::provider::PROVIDER_SUPPORTS_PROC_GROUPS;
use netdma_abi::{
    ChannelHandle, ChannelParameters, Context, CpuAffinity, Descriptor, NtStatus, PhysicalAddress,
    ProviderCharacteristics, UnicodeString, Version,
};
use netdma_events::{Event, Sink};
use nt::irql::UpToDispatch;
use nt::object;
use nt::pool::Arc;
use nt::processor::Number;

use crate::affinity::Allowed;
use crate::engine::Engine;
use crate::lane::{ControlCommand, Lane, Owner};
use crate::{TAG, TRACE};

/// What people read: `FriendlyName` (R31).
const NAME: &str = "Intel I/OAT DMA engine";
static NAME_CHARACTERS: [u16; NAME.len()] = nt::string::widen(NAME);

/// The table that is registered for an engine (R23 to R31).
pub fn characteristics(engine: &Engine, pdo: &object::Device) -> ProviderCharacteristics {
    let version = engine.identity.registered;
    let name_bytes = size_of_val(&NAME_CHARACTERS) as u16;
    ProviderCharacteristics {
        major_version: (version.0 >> 16) as u8,
        minor_version: version.0 as u8,
        size: size_of::<ProviderCharacteristics>() as u16,
        flags: if version >= Version::V2_1 { PROVIDER_SUPPORTS_PROC_GROUPS } else { 0 },
        physical_device_object: pdo.as_ptr().cast(),
        max_dma_channel_count: engine.identity.max_channels.into(),
        set_dma_channel_cpu_affinity: Some(set_dma_channel_cpu_affinity),
        allocate_dma_channel: Some(allocate_dma_channel),
        free_dma_channel: Some(free_dma_channel),
        start_dma: Some(start_dma),
        suspend_dma: Some(suspend_dma),
        resume_dma: Some(resume_dma),
        abort_dma: Some(abort_dma),
        append_dma: Some(append_dma),
        reset_channel: Some(reset_channel),
        friendly_name: UnicodeString {
            length: name_bytes,
            maximum_length: name_bytes,
            buffer: NAME_CHARACTERS.as_ptr().cast_mut(),
        },
    }
}

/// `ProviderSetDmaChannelCpuAffinity` (R47, R48): keeps the wishes; the device applies them to its interrupts when the
/// registration has returned.
unsafe extern "system" fn set_dma_channel_cpu_affinity(
    context: Context,
    affinities: *mut CpuAffinity,
    bytes: u32,
) -> NtStatus {
    // SAFETY: the provider context, by the contract of this module.
    let Some(engine) = (unsafe { context.cast::<Engine>().as_ref() }) else { return STATUS_UNSUCCESSFUL };
    if affinities.is_null() || !affinities.is_aligned() {
        return STATUS_UNSUCCESSFUL;
    }
    let count = bytes as usize / size_of::<CpuAffinity>();
    // SAFETY: the interface says that the array has this many bytes (D1); it is aligned and not null.
    let affinities = unsafe { core::slice::from_raw_parts(affinities, count) };
    for affinity in affinities {
        let Some(lane) = engine.lanes.get(affinity.dma_channel as usize) else { continue };
        match Number::from_index(affinity.cpu_number) {
            Ok(_) => lane.wish(affinity.cpu_number),
            Err(status) => TRACE.write(Event::AffinityRefused {
                location: engine.location,
                channel: affinity.dma_channel.into(),
                processor: affinity.cpu_number.into(),
                status: status.into(),
            }),
        }
    }
    STATUS_SUCCESS
}

/// `ProviderAllocateDmaChannel` (R89 to R105).
unsafe extern "system" fn allocate_dma_channel(
    context: Context,
    parameters: *mut ChannelParameters,
    channel: ChannelHandle,
    channel_context: *mut *mut c_void,
) -> NtStatus {
    // SAFETY: the provider context, by the contract of this module.
    let Some(engine) = (unsafe { context.cast::<Engine>().as_ref() }) else { return STATUS_UNSUCCESSFUL };
    // SAFETY: null, or the caller's structure for the length of the call: revision 1 is the part that every caller has.
    let Some(common) = (unsafe { parameters.cast::<ChannelParametersRevision1>().as_ref() }).copied() else {
        return STATUS_UNSUCCESSFUL;
    };
    let size = usize::from(common.size);
    if channel_context.is_null() || size < SIZEOF_CHANNEL_PARAMETERS_REVISION_1 {
        return STATUS_UNSUCCESSFUL;
    }
    let extended = if common.revision >= CHANNEL_REVISION_2 && size >= SIZEOF_CHANNEL_PARAMETERS_REVISION_2 {
        // SAFETY: revision and size say that the whole structure is there (Q3).
        unsafe { parameters.as_ref() }.map(|whole| whole.processor_affinity_mask_ex)
    } else {
        None
    }
    .map(|set| (set.group, set.mask as u64));
    let allowed =
        Allowed::from_parameters(engine.identity.registered, common.processor_affinity_mask, extended);

    let word = common.completion_virtual_address.cast::<u64>();
    let completion = common.completion_physical_address.0;
    if word.is_null() || !word.is_aligned() || completion & 7 != 0 {
        return STATUS_UNSUCCESSFUL;
    }
    // SAFETY: the interface's word is aligned, resident and shared with nobody else but the engine, which writes it as a
    // whole (R87, R88). It stays until FreeDmaChannel has returned, and `Lane::free` gives the reference up before.
    let word: &'static AtomicU64 = unsafe { AtomicU64::from_ptr(word) };
    // SAFETY: the interface calls at DISPATCH_LEVEL or below (R84), and this function makes the only token.
    let mut irql = unsafe { UpToDispatch::assume() };

    let Ok(owner) = Arc::new(TAG, Owner { handle: channel, word }) else {
        return STATUS_INSUFFICIENT_RESOURCES;
    };
    let mut answer = STATUS_INSUFFICIENT_RESOURCES;
    // First a channel whose message arrives at one of the processors, then any; in both passes the first free one.
    for preferred in [true, false] {
        for lane in engine.present() {
            let message = lane.message().filter(|index| {
                Number::from_index(*index).is_ok_and(|processor| allowed.contains(processor))
            });
            let processor = match message {
                Some(processor) => Some(processor),
                None if preferred => continue,
                None => allowed.lowest().and_then(Number::index),
            };
            // None of the processors asked for is there.
            let Some(processor) = processor else { return STATUS_UNSUCCESSFUL };
            match lane.allocate(&owner, completion, processor, &mut irql) {
                Ok(false) => {}
                Ok(true) => {
                    // SAFETY: the caller's structure, as above.
                    if let Some(answer) = unsafe { parameters.cast::<ChannelParametersRevision1>().as_mut() }
                    {
                        answer.cpu_number = processor;
                    }
                    // SAFETY: not null, and the caller's place for the answer.
                    unsafe { channel_context.write(core::ptr::from_ref(lane).cast_mut().cast()) };
                    return STATUS_SUCCESS;
                }
                // This one does not come to rest; perhaps another does.
                Err(_) => answer = STATUS_UNSUCCESSFUL,
            }
        }
    }
    answer
}

/// `ProviderFreeDmaChannel` (R108 to R110).
unsafe extern "system" fn free_dma_channel(context: Context) {
    // SAFETY: the channel context, by the contract of this module.
    let Some(lane) = (unsafe { context.cast::<Lane>().as_ref() }) else { return };
    // SAFETY: the interface calls at DISPATCH_LEVEL or below (R253), and this function makes the only token.
    let mut irql = unsafe { UpToDispatch::assume() };
    lane.free(&mut irql);
}

/// `ProviderStartDma` (R112 to R126).
unsafe extern "system" fn start_dma(
    context: Context,
    _first: *mut Descriptor,
    first_address: PhysicalAddress,
    count: u32,
) -> NtStatus {
    // SAFETY: the channel context, by the contract of this module.
    let Some(lane) = (unsafe { context.cast::<Lane>().as_ref() }) else { return STATUS_UNSUCCESSFUL };
    // SAFETY: the interface calls at DISPATCH_LEVEL or below (R253), and this function makes the only token.
    let mut irql = unsafe { UpToDispatch::assume() };
    status(
        lane.quickly(&mut irql, |channel, hardware, word| {
            channel.start(hardware, word, first_address.0, count)
        }),
    )
}

/// `ProviderAppendDma` (R129 to R141).
unsafe extern "system" fn append_dma(
    context: Context,
    _first: *mut Descriptor,
    first_address: PhysicalAddress,
    count: u32,
) -> NtStatus {
    // SAFETY: the channel context, by the contract of this module.
    let Some(lane) = (unsafe { context.cast::<Lane>().as_ref() }) else { return STATUS_UNSUCCESSFUL };
    // SAFETY: the interface calls at DISPATCH_LEVEL or below (R253), and this function makes the only token.
    let mut irql = unsafe { UpToDispatch::assume() };
    status(
        lane.quickly(&mut irql, |channel, hardware, _word| channel.append(hardware, first_address.0, count)),
    )
}

/// `ProviderSuspendDma` (R173 to R176, R182): the address itself goes to the place that is typed as a pointer (Q7).
unsafe extern "system" fn suspend_dma(
    context: Context,
    last_descriptor: *mut *mut PhysicalAddress,
) -> NtStatus {
    // SAFETY: the context and the level, by the contract of this module.
    let result = unsafe { control(context, ControlCommand::Suspend) };
    if let (Ok(Outcome::Stopped(address)), false) = (result, last_descriptor.is_null()) {
        // SAFETY: not null, and the caller's eight bytes for the answer (Q7).
        unsafe { last_descriptor.cast::<u64>().write(address) };
    }
    status(result)
}

/// `ProviderResumeDma` (R178, R180, R183).
unsafe extern "system" fn resume_dma(context: Context) -> NtStatus {
    // SAFETY: the context and the level, by the contract of this module.
    status(unsafe { control(context, ControlCommand::Resume) })
}

/// `ProviderAbortDma` (R185 to R188).
unsafe extern "system" fn abort_dma(context: Context) -> NtStatus {
    // SAFETY: the context and the level, by the contract of this module.
    status(unsafe { control(context, ControlCommand::Abort) })
}

/// `ProviderResetChannel` (R189 to R193).
unsafe extern "system" fn reset_channel(context: Context) -> NtStatus {
    // SAFETY: the context and the level, by the contract of this module.
    status(unsafe { control(context, ControlCommand::Reset) })
}

/// Runs a control command on the channel of `context`.
///
/// # Safety
/// `context` is null or a channel context, the level is DISPATCH_LEVEL or below, and the caller has no token.
unsafe fn control(context: Context, command: ControlCommand) -> nt::Result<Outcome> {
    // SAFETY: by the contract of this function.
    let lane = unsafe { context.cast::<Lane>().as_ref() }.ok_or(nt::Status::UNSUCCESSFUL)?;
    // SAFETY: by the contract of this function.
    let mut irql = unsafe { UpToDispatch::assume() };
    lane.control(&mut irql, command)
}

fn status(result: nt::Result<Outcome>) -> NtStatus {
    if result.is_ok() { STATUS_SUCCESS } else { STATUS_UNSUCCESSFUL }
}
