//! The functions that netdma.sys calls (spec 2.10).
//!
//! Unsafe code here rests on one contract: the provider context is the [`Engine`] that was registered, a channel context is
//! the [`Lane`] that was allocated, and both are alive because the engine deregisters before it goes.
#![allow(unsafe_code, reason = "C entry points")]

use core::ffi::c_void;
use core::sync::atomic::AtomicU64;

use netdma_abi::channel::{
    CHANNEL_REVISION_2, ChannelParametersRevision1, SIZEOF_CHANNEL_PARAMETERS_REVISION_1,
    SIZEOF_CHANNEL_PARAMETERS_REVISION_2,
};
use netdma_abi::status::{STATUS_INSUFFICIENT_RESOURCES, STATUS_SUCCESS, STATUS_UNSUCCESSFUL};
use netdma_abi::{
    ChannelHandle, ChannelParameters, Context, CpuAffinity, Descriptor, NtStatus, PhysicalAddress,
    ProviderCharacteristics, UnicodeString, Version,
};
use netdmasoft_control::{CHANNELS, Entry, mode};
use nt::irql::UpToDispatch;
use nt::object;
use nt::processor::{self, Number};

use crate::engine::Engine;
use crate::lane::Lane;

/// What people read.
const NAME: &str = "NetDMA software engine";
static NAME_CHARACTERS: [u16; NAME.len()] = nt::string::widen(NAME);

// guide: table
/// The table that is registered. Below 2.0 the name is ignored.
pub fn characteristics(engine: &Engine, pdo: &object::Device) -> ProviderCharacteristics {
    let setup = engine.behaviour.setup();
    let present = |entry: Entry| setup.absent & entry.bit() == 0;
    let name_bytes = size_of_val(&NAME_CHARACTERS) as u16;
    ProviderCharacteristics {
        major_version: (setup.version >> 16) as u8,
        minor_version: setup.version as u8,
        size: size_of::<ProviderCharacteristics>() as u16,
        flags: setup.flags,
        physical_device_object: pdo.as_ptr().cast(),
        max_dma_channel_count: CHANNELS,
        set_dma_channel_cpu_affinity: present(Entry::SetAffinity).then_some(set_dma_channel_cpu_affinity),
        allocate_dma_channel: present(Entry::Allocate).then_some(allocate_dma_channel),
        free_dma_channel: present(Entry::Free).then_some(free_dma_channel),
        start_dma: present(Entry::Start).then_some(start_dma),
        suspend_dma: present(Entry::Suspend).then_some(suspend_dma),
        resume_dma: present(Entry::Resume).then_some(resume_dma),
        abort_dma: present(Entry::Abort).then_some(abort_dma),
        append_dma: present(Entry::Append).then_some(append_dma),
        reset_channel: present(Entry::Reset).then_some(reset_channel),
        friendly_name: UnicodeString {
            length: name_bytes,
            maximum_length: name_bytes,
            buffer: NAME_CHARACTERS.as_ptr().cast_mut(),
        },
    }
}
// guide: end

/// `ProviderSetDmaChannelCpuAffinity`: there are no messages to be sent anywhere.
unsafe extern "system" fn set_dma_channel_cpu_affinity(
    context: Context,
    _affinities: *mut CpuAffinity,
    _bytes: u32,
) -> NtStatus {
    // SAFETY: the provider context, by the contract of this module.
    let Some(engine) = (unsafe { context.cast::<Engine>().as_ref() }) else { return STATUS_UNSUCCESSFUL };
    // SAFETY: the interface calls at PASSIVE_LEVEL (D1), and this function makes the only token.
    let mut irql = unsafe { UpToDispatch::assume() };
    engine.behaviour.called(Entry::SetAffinity, &mut irql).unwrap_or(STATUS_SUCCESS)
}

// guide: allocate
/// `ProviderAllocateDmaChannel`: the first free channel, on the first processor that the caller allows.
unsafe extern "system" fn allocate_dma_channel(
    context: Context,
    parameters: *mut ChannelParameters,
    channel: ChannelHandle,
    channel_context: *mut *mut c_void,
) -> NtStatus {
    // SAFETY: the provider context, by the contract of this module.
    let Some(engine) = (unsafe { context.cast::<Engine>().as_ref() }) else { return STATUS_UNSUCCESSFUL };
    // SAFETY: the interface calls at DISPATCH_LEVEL or below (R84), and this function makes the only token.
    let mut irql = unsafe { UpToDispatch::assume() };
    if let Some(failure) = engine.behaviour.called(Entry::Allocate, &mut irql) {
        return failure;
    }
    // SAFETY: null, or the caller's structure for the length of the call: revision 1 is the part that every caller has.
    let Some(given) = (unsafe { parameters.cast::<ChannelParametersRevision1>().as_ref() }).copied() else {
        return STATUS_UNSUCCESSFUL;
    };
    let word = given.completion_virtual_address.cast::<u64>();
    if channel_context.is_null()
        || usize::from(given.size) < SIZEOF_CHANNEL_PARAMETERS_REVISION_1
        || word.is_null()
        || !word.is_aligned()
    {
        return STATUS_UNSUCCESSFUL;
    }
    // SAFETY: the interface's word is aligned and resident, and stays until FreeDmaChannel has returned (R87, R88), which
    // takes the reference back.
    let word: &'static AtomicU64 = unsafe { AtomicU64::from_ptr(word) };
    let version = Version(engine.behaviour.setup().version);
    // SAFETY: the structure of the length that the caller says, as above.
    let wanted = unsafe { wanted_processor(parameters, given, version) };
    for lane in engine.lanes.iter() {
        let processor = wanted.or_else(|| lane.core.number.checked_rem(processor::count())).unwrap_or(0);
        if lane.allocate(channel, word, processor, &mut irql) {
            // SAFETY: the caller's structure, as above.
            if let Some(answer) = unsafe { parameters.cast::<ChannelParametersRevision1>().as_mut() } {
                answer.cpu_number = processor;
            }
            // SAFETY: not null, and the caller's place for the answer.
            unsafe { channel_context.write(core::ptr::from_ref(lane).cast_mut().cast()) };
            return STATUS_SUCCESS;
        }
    }
    STATUS_INSUFFICIENT_RESOURCES
}
// guide: end

/// The first processor of the mask; `None` if any will do. A 2.1 provider reads the mask with the group, older ones the
/// mask of group 0 (spec 2.3).
///
/// # Safety
/// The structure is as long as its size says.
unsafe fn wanted_processor(
    parameters: *const ChannelParameters,
    given: ChannelParametersRevision1,
    version: Version,
) -> Option<u32> {
    let extended = version >= Version::V2_1
        && given.revision >= CHANNEL_REVISION_2
        && usize::from(given.size) >= SIZEOF_CHANNEL_PARAMETERS_REVISION_2;
    let (group, mask) = if extended {
        // SAFETY: revision and size say that the whole structure is there.
        let set = unsafe { parameters.as_ref() }?.processor_affinity_mask_ex;
        (set.group, set.mask as u64)
    } else {
        (0, u64::from(given.processor_affinity_mask))
    };
    let number = u8::try_from(mask.trailing_zeros()).ok().filter(|_| mask != 0)?;
    Number { group, number }.index()
}

/// `ProviderFreeDmaChannel`.
unsafe extern "system" fn free_dma_channel(context: Context) {
    // SAFETY: the channel context, by the contract of this module.
    let Some(lane) = (unsafe { context.cast::<Lane>().as_ref() }) else { return };
    // SAFETY: the interface calls at DISPATCH_LEVEL or below (R253), and this function makes the only token.
    let mut irql = unsafe { UpToDispatch::assume() };
    let _cannot_fail = lane.core.behaviour.called(Entry::Free, &mut irql);
    lane.free(&mut irql);
}

// guide: start
/// `ProviderStartDma`: a new list.
unsafe extern "system" fn start_dma(
    context: Context,
    _first: *mut Descriptor,
    first_address: PhysicalAddress,
    count: u32,
) -> NtStatus {
    // SAFETY: the channel context, by the contract of this module.
    unsafe {
        enter(context, Entry::Start, |lane, irql| {
            lane.change(irql, |work, _, _| {
                work.start(first_address.0, count);
                Ok(())
            })
        })
    }
}
// guide: end

/// `ProviderAppendDma`: more of the list, which follows from its old end.
unsafe extern "system" fn append_dma(
    context: Context,
    _first: *mut Descriptor,
    _first_address: PhysicalAddress,
    count: u32,
) -> NtStatus {
    // SAFETY: the channel context, by the contract of this module.
    unsafe {
        enter(context, Entry::Append, |lane, irql| {
            lane.change(irql, |work, _, irql| work.append(count, irql))
        })
    }
}

/// `ProviderSuspendDma`. What goes to `last_descriptor` is the address itself, as the page has it, or a pointer to it, as the
/// type has it (Q7).
unsafe extern "system" fn suspend_dma(
    context: Context,
    last_descriptor: *mut *mut PhysicalAddress,
) -> NtStatus {
    let mut last = 0;
    let mut pointer = None;
    // SAFETY: the channel context, by the contract of this module.
    let status = unsafe {
        enter(context, Entry::Suspend, |lane, irql| {
            last = lane.change(irql, |work, word, _| {
                work.suspend(word);
                Ok(work.last)
            })?;
            if lane.core.behaviour.setup().mode & mode::POINTER != 0 {
                pointer = Some(lane.core.last_suspended(last));
            }
            Ok(())
        })
    };
    if status == STATUS_SUCCESS && !last_descriptor.is_null() {
        match pointer {
            // SAFETY: not null, and the caller's place for a pointer.
            Some(pointer) => unsafe { last_descriptor.write(pointer.cast()) },
            // SAFETY: not null, and as wide as an address on x64.
            None => unsafe { last_descriptor.cast::<u64>().write(last) },
        }
    }
    status
}

/// `ProviderResumeDma`.
unsafe extern "system" fn resume_dma(context: Context) -> NtStatus {
    // SAFETY: the channel context, by the contract of this module.
    unsafe {
        enter(context, Entry::Resume, |lane, irql| lane.change(irql, |work, _, irql| work.resume(irql)))
    }
}

/// `ProviderAbortDma`.
unsafe extern "system" fn abort_dma(context: Context) -> NtStatus {
    // SAFETY: the channel context, by the contract of this module.
    unsafe { enter(context, Entry::Abort, halt) }
}

/// `ProviderResetChannel`.
unsafe extern "system" fn reset_channel(context: Context) -> NtStatus {
    // SAFETY: the channel context, by the contract of this module.
    unsafe { enter(context, Entry::Reset, halt) }
}

fn halt(lane: &Lane, irql: &mut UpToDispatch) -> nt::Result {
    lane.change(irql, |work, word, _| {
        work.halt(word);
        Ok(())
    })
}

/// An entry point of a channel: remembered, made to fail if a test wants it, else done.
///
/// # Safety
/// `context` is null or a channel context, the level is DISPATCH_LEVEL or below, and the caller has no token.
unsafe fn enter(
    context: Context,
    entry: Entry,
    act: impl FnOnce(&Lane, &mut UpToDispatch) -> nt::Result,
) -> NtStatus {
    // SAFETY: by the contract of this function.
    let Some(lane) = (unsafe { context.cast::<Lane>().as_ref() }) else { return STATUS_UNSUCCESSFUL };
    // SAFETY: by the contract of this function.
    let mut irql = unsafe { UpToDispatch::assume() };
    match lane.core.behaviour.called(entry, &mut irql) {
        Some(failure) => failure,
        None if act(lane, &mut irql).is_ok() => STATUS_SUCCESS,
        None => STATUS_UNSUCCESSFUL,
    }
}
