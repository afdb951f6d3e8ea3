//! Registration, channel, copy, fallback.
#![allow(unsafe_code, reason = "calls into netdma.sys, and the callback that it calls")]

use core::sync::atomic::Ordering;

use netdma_abi::client::{
    CHANNEL_POLLED, CLIENT_CHANNEL_REVISION_1, CLIENT_MAJOR_VERSION, CLIENT_MINOR_VERSION,
    ClientChannelHandle, ClientChannelParameters, ClientCharacteristics, ClientHandle,
};
use netdma_abi::{Context, GroupAffinity, UnicodeString};
use nt::irql::Passive;
use nt::mdl::Buffer;
use nt::time::Duration;
use nt::{Result, Status, thread};

// guide: import
mod imports {
    #![allow(non_snake_case, dead_code, reason = "the interface's names; not every function is called here")]
    netdma_abi::import_client_functions!();
}
// guide: end

/// Name under which netdma.sys logs this client.
const NAME: [u16; 10] = nt::string::widen("netdmacopy");

/// How long a poll that found nothing rests, and after how many of them the engine is given up.
const REST: Duration = Duration::from_millis(1);
const POLLS: u32 = 2000;

/// A registered client. Ends with [`Client::deregister`].
pub struct Client {
    handle: ClientHandle,
}

impl Client {
    // guide: register
    /// Registers. This client polls and asks for a channel when it needs one, so it has nothing to do when it is told of
    /// providers that come and go.
    ///
    /// # Errors
    /// What netdma.sys reports.
    pub fn register(_irql: &Passive) -> Result<Self> {
        let bytes = size_of_val(&NAME) as u16;
        let characteristics = ClientCharacteristics {
            major_version: CLIENT_MAJOR_VERSION,
            minor_version: CLIENT_MINOR_VERSION,
            size: size_of::<ClientCharacteristics>() as u16,
            flags: 0,
            event: Some(notice),
            completion: None,
            friendly_name: UnicodeString {
                length: bytes,
                maximum_length: bytes,
                buffer: NAME.as_ptr().cast_mut(),
            },
        };
        let mut handle = ClientHandle::default();
        // SAFETY: the characteristics and the name are read during the call; the handle is a local; the callback takes no
        // context and is part of the image, which deregisters before it leaves.
        let status =
            unsafe { imports::NetDmaRegisterClient(core::ptr::null_mut(), &characteristics, &mut handle) };
        Status::check(status).map(|()| Self { handle })
    }
    // guide: end

    /// Deregisters: frees the channels that are left.
    pub fn deregister(self, _irql: &Passive) {
        // SAFETY: the handle came from the registration and is used here for the last time.
        let _status = unsafe { imports::NetDmaDeregisterClient(self.handle) };
    }

    // guide: copy
    /// Copies, with an engine if one can be had, else with the processor: after any error a client may copy by itself, once
    /// nothing of the request is outstanding any more.
    ///
    /// # Errors
    /// INVALID_BUFFER_SIZE when a buffer is too short.
    pub fn copy(&self, to: &Buffer, from: &Buffer, length: u32, irql: &mut Passive) -> Result {
        if to.bytes().len().min(from.bytes().len()) < length as usize {
            return Err(Status::INVALID_BUFFER_SIZE);
        }
        let by_engine = match self.channel(irql) {
            Ok(channel) => {
                let result = engine_copy(channel, to, from, length, irql);
                // SAFETY: the handle came from the allocation and is used here for the last time. On return nothing is
                // outstanding.
                let _status = unsafe { imports::NetDmaFreeChannel(channel) };
                result
            }
            Err(status) => Err(status),
        };
        if by_engine.is_err() {
            for (to, from) in to.bytes().iter().zip(from.bytes()).take(length as usize) {
                to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
            }
        }
        Ok(())
    }
    // guide: end

    // guide: channel
    /// Allocates a channel of any provider that is only polled.
    ///
    /// # Errors
    /// DEVICE_NOT_READY where no provider is started, INSUFFICIENT_RESOURCES where all channels are taken; else what
    /// netdma.sys reports.
    fn channel(&self, _irql: &Passive) -> Result<ClientChannelHandle> {
        let mut parameters = ClientChannelParameters {
            revision: CLIENT_CHANNEL_REVISION_1,
            size: size_of::<ClientChannelParameters>() as u16,
            flags: CHANNEL_POLLED,
            processors: GroupAffinity::default(),
            priority: 0,
            ring_size: 0,
            channel_context: core::ptr::null_mut(),
            cpu_number: 0,
            provider_id: 0,
        };
        let mut channel = ClientChannelHandle::default();
        // SAFETY: parameters and handle are locals.
        let status = unsafe { imports::NetDmaAllocateChannel(self.handle, 0, &mut parameters, &mut channel) };
        Status::check(status).map(|()| channel)
    }
    // guide: end
}

// guide: engine
/// Submits one copy and polls until it is over.
///
/// # Errors
/// The copy was refused, has failed, or does not end.
fn engine_copy(
    channel: ClientChannelHandle,
    to: &Buffer,
    from: &Buffer,
    length: u32,
    irql: &mut Passive,
) -> Result {
    let (to, from) = (to.chain().as_ptr().cast(), from.chain().as_ptr().cast());
    let mut cookie = 0;
    // SAFETY: both chains describe nonpaged memory that the callers keep until the channel is freed.
    let status =
        unsafe { imports::NetDmaChainCopyVirtualToVirtual(channel, to, 0, from, 0, length, &mut cookie) };
    Status::check(status)?;
    for _ in 0..POLLS {
        // SAFETY: both arguments are values that netdma.sys checks.
        if unsafe { imports::NetDmaIsDmaCopyComplete(channel, cookie) } != 0 {
            return ended_well(channel);
        }
        thread::sleep(REST, irql);
    }
    // Freeing the channel cuts the copy off.
    Err(Status::IO_TIMEOUT)
}
// guide: end

/// Whether everything on the channel ended with success: without a completion callback the counters tell.
fn ended_well(channel: ClientChannelHandle) -> Result {
    let mut counters = netdma_abi::client::Statistics::default();
    let mut bytes = size_of_val(&counters) as u32;
    // SAFETY: the structure is a local of the stated size.
    let status = unsafe { imports::NetDmaQueryStatistics(channel, 0, &mut counters, &mut bytes) };
    Status::check(status)?;
    if counters.aborted == 0 && counters.failed == 0 { Ok(()) } else { Err(Status::IO_DEVICE_ERROR) }
}

/// Providers come and go. A client that keeps channels stops posting on them before it returns from a removal or power-down.
unsafe extern "system" fn notice(_client: Context, _code: u32, _provider: u32) {}
