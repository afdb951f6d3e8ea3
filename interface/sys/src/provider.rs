//! Providers: registration, start and stop, power.
//!
//! What a provider's driver asks for is done one at a time ([`Provider::operations`]); calls of its allocate and free entry
//! points are one at a time too ([`Provider::calls`], Q15). Both are claims, not locks: notices to clients and calls of the
//! provider happen within them. The record itself is behind a spin lock that is held for a few instructions.

use core::sync::atomic::{AtomicU32, Ordering};

use netdma_abi::client::{PROVIDER_NAME_UNITS, ProviderInformation, Statistics};
use netdma_abi::status::{
    STATUS_DEVICE_NOT_READY, STATUS_INSUFFICIENT_RESOURCES, STATUS_INVALID_PARAMETER, STATUS_UNSUCCESSFUL,
};
use netdma_abi::{
    Context, CpuAffinity, NotificationCode, NtStatus, PhysicalAddress, ProviderAttributes,
    ProviderCharacteristics, ProviderHandle, Version,
};
use netdma_core::handle::{Entry, Handle, Kind, Table};
use netdma_core::policy::{self, Candidate};
use netdma_core::provider::{EntryPoints, ProviderRequest, ProviderState};
use netdma_core::registration::{Limits, Refused, check_characteristics};
use netdma_core::statistics::accumulate;
use netdma_events::{Event, Hex, Misuse, Refusal, Status};
use nt::dma::Adapter;
use nt::irql::{AtMostDispatch, Passive, UpToDispatch};
use nt::object::Device;
use nt::pool::{Array, Box};
use nt::spin_lock::SpinLock;
use nt::{processor, thread};

use crate::channel;
use crate::client;
use crate::foreign::EntryTable;
use crate::gate::{Entered, Gate, PAUSE};
use crate::memory::{self, NoRing, TAG};
use crate::trace::{self, Export};

/// Providers at a time. Our choice: machines have at most eight engine functions a socket.
const MAX_PROVIDERS: usize = 128;

/// Every provider there is.
pub static PROVIDERS: Table<Provider, MAX_PROVIDERS> =
    Table::new([const { Entry::new(Provider::new()) }; MAX_PROVIDERS]);

/// Ids as clients know them: never reused.
static LAST_ID: AtomicU32 = AtomicU32::new(0);

/// A friendly name, cut to what fits.
#[derive(Clone, Copy)]
pub struct Name {
    /// UTF-16.
    pub units: [u16; PROVIDER_NAME_UNITS],
    /// Units in use.
    pub count: usize,
}

impl Name {
    /// The first units of a text.
    pub fn of(text: &[u16]) -> Self {
        let mut name = Self { units: [0; PROVIDER_NAME_UNITS], count: 0 };
        for (unit, given) in name.units.iter_mut().zip(text) {
            *unit = *given;
            name.count = name.count.wrapping_add(1);
        }
        name
    }
}

/// An entry of the table, in use or not.
pub struct Provider {
    record: SpinLock<Option<Box<Record>>>,
    operations: Gate,
    calls: Gate,
}

/// What a provider registered, and where it stands.
struct Record {
    handle: Handle,
    id: u32,
    entries: EntryTable,
    version: Version,
    flags: u32,
    registered_channels: u32,
    name: Name,
    pdo: Device,
    state: ProviderState,
    limits: Limits,
    adapter: Option<Adapter>,
    /// Channels allocated or being allocated.
    channels: u32,
    /// Of these, being allocated.
    allocating: u32,
    /// What channels counted that are gone.
    counted: Statistics,
}

/// What a channel is made with.
pub struct Offer {
    /// The provider's entry in the table, to give the channel back to.
    pub provider: &'static Provider,
    /// Its handle.
    pub handle: Handle,
    /// Its id.
    pub id: u32,
    /// Its entry points.
    pub entries: EntryTable,
    /// Its version.
    pub version: Version,
    /// Its characteristics flags.
    pub flags: u32,
    /// What it can do.
    pub limits: Limits,
    /// Its way to memory.
    pub adapter: Adapter,
}

impl Provider {
    const fn new() -> Self {
        Self { record: SpinLock::new(None), operations: Gate::new(), calls: Gate::new() }
    }

    /// Something with the record, if it is that of `handle`.
    fn with<R>(
        &self,
        handle: Handle,
        irql: &mut impl AtMostDispatch,
        act: impl FnOnce(&mut Record) -> R,
    ) -> Option<R> {
        self.record.lock(irql).as_mut().filter(|record| record.handle == handle).map(|record| act(record))
    }

    /// The claim for allocate and free calls. `None`: this very thread is inside one.
    pub fn enter_calls(&self, irql: &Passive) -> Option<Entered<'_>> {
        self.calls.enter(irql)
    }

    /// An allocation is over. On failure the channel is given back too.
    pub fn allocated(&self, handle: Handle, success: bool, irql: &mut Passive) {
        self.with(handle, irql, |record| {
            record.allocating = record.allocating.saturating_sub(1);
            if !success {
                record.channels = record.channels.saturating_sub(1);
            }
        });
    }

    /// A channel is back, with what it counted.
    pub fn freed(&self, handle: Handle, counted: &Statistics, irql: &mut Passive) {
        self.with(handle, irql, |record| {
            record.channels = record.channels.saturating_sub(1);
            accumulate(&mut record.counted, counted);
        });
    }
}

/// The number of a provider in events.
pub fn number(handle: Handle) -> u64 {
    handle.index() as u64
}

fn event_version(version: Version) -> Hex {
    Hex(u64::from(version.0 >> 16 << 8 | version.0 & 0xFF))
}

/// Records a refusal and answers the status that the pages allow (R34).
fn refuse(version: Version, refused: Refused) -> NtStatus {
    trace::write(Event::RegistrationRefused {
        reason: refused.reason,
        version: event_version(version),
        detail: refused.detail,
    });
    match refused.reason {
        Refusal::NoMemory | Refusal::TooManyProviders => STATUS_INSUFFICIENT_RESOURCES,
        _ => STATUS_UNSUCCESSFUL,
    }
}

/// Registers a provider; `device` takes a reference to its checked PDO. Afterwards nothing of the caller's memory is used
/// any more (R39).
///
/// # Errors
/// UNSUCCESSFUL for what the table lacks, INSUFFICIENT_RESOURCES without room or memory (R34); an event names the reason.
pub fn register(
    context: Context,
    characteristics: &ProviderCharacteristics,
    name: Name,
    device: impl FnOnce() -> Option<Device>,
    irql: &mut Passive,
) -> Result<ProviderHandle, NtStatus> {
    let version = characteristics.version();
    let refuse_for = |reason, detail| refuse(version, Refused { reason, detail });
    check_characteristics(characteristics).map_err(|refused| refuse(version, refused))?;
    let entries = EntryTable::new(context, characteristics).ok_or(STATUS_UNSUCCESSFUL)?;
    let pdo = device().ok_or_else(|| refuse_for(Refusal::BadPointer, 0))?;
    let count = characteristics.max_dma_channel_count;
    if PROVIDERS.iter().any(|(handle, provider)| {
        provider.with(handle, irql, |record| record.pdo.as_ptr() == pdo.as_ptr()).unwrap_or(false)
    }) {
        return Err(refuse_for(Refusal::AlreadyRegistered, pdo.as_ptr().addr() as u64));
    }
    let mut affinities = Array::new(TAG, count as usize, |_| CpuAffinity::default())
        .map_err(|status| refuse_for(Refusal::NoMemory, status.code().cast_unsigned().into()))?;
    let (handle, provider) =
        PROVIDERS.claim().ok_or_else(|| refuse_for(Refusal::TooManyProviders, MAX_PROVIDERS as u64))?;
    let id = LAST_ID.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
    let record = Box::new(
        TAG,
        Record {
            handle,
            id,
            entries,
            version,
            flags: characteristics.flags,
            registered_channels: count,
            name,
            pdo,
            state: ProviderState::Stopped,
            limits: Limits::NONE,
            adapter: None,
            channels: 0,
            allocating: 0,
            counted: Statistics::default(),
        },
    );
    match record {
        Ok(record) => *provider.record.lock(irql) = Some(record),
        Err(status) => {
            PROVIDERS.release(handle);
            return Err(refuse_for(Refusal::NoMemory, status.code().cast_unsigned().into()));
        }
    }
    policy::spread_affinities(&mut affinities, id.wrapping_sub(1).wrapping_mul(count), processor::count());
    // Whether it has the entry point, and whether it succeeds, is the provider's affair (Q5, R56).
    let _answer = entries.set_channel_affinity(&mut affinities);
    trace::write(Event::ProviderRegistered {
        provider: number(handle),
        version: event_version(version),
        channels: count.into(),
    });
    client::tell_all(NotificationCode::ProviderRegistered, id, irql);
    Ok(ProviderHandle(handle.value(Kind::Provider)))
}

/// The entry of a handle, or an event.
fn find(value: ProviderHandle, export: Export) -> Option<(Handle, &'static Provider)> {
    let found = Handle::parse(Kind::Provider, value.0)
        .and_then(|handle| PROVIDERS.get(handle).map(|provider| (handle, provider)));
    if found.is_none() {
        trace::misuse(Misuse::BadHandle, export, value.0);
    }
    found
}

/// The claim for what a provider's driver asks, refused (with an event) on a thread that is inside such a request or inside
/// one of the provider's own entry points.
fn enter(
    provider: &'static Provider,
    value: ProviderHandle,
    export: Export,
    irql: &Passive,
) -> Option<Entered<'static>> {
    let entered = if provider.calls.is_mine() { None } else { provider.operations.enter(irql) };
    if entered.is_none() {
        trace::misuse(Misuse::CallFromProvider, export, value.0);
    }
    entered
}

/// `NetDmaProviderStart`. A refusal leaves the provider stopped (R67).
pub fn start(value: ProviderHandle, attributes: &ProviderAttributes, irql: &mut Passive) {
    let Some((handle, provider)) = find(value, Export::ProviderStart) else { return };
    let Some(_entered) = enter(provider, value, Export::ProviderStart, irql) else { return };
    let refuse = |reason, detail| {
        trace::write(Event::StartRefused { provider: number(handle), reason, detail: Status(detail) });
    };
    let Some((state, registered, id)) =
        provider.with(handle, irql, |record| (record.state, record.registered_channels, record.id))
    else {
        return;
    };
    let Ok(next) = state.after(ProviderRequest::Start) else {
        trace::misuse(Misuse::WrongState, Export::ProviderStart, value.0);
        return;
    };
    let limits = match Limits::check(attributes, registered) {
        Ok(limits) => limits,
        Err(refused) => return refuse(refused.reason, (refused.detail as u32).cast_signed()),
    };
    let adapter = match adapter(provider, handle, &limits, irql) {
        Ok(adapter) => adapter,
        Err(NoRing::Memory(status)) => return refuse(Refusal::NoAdapter, status.code()),
        Err(NoRing::OutOfReach) => return refuse(Refusal::BadAttributes, STATUS_INVALID_PARAMETER),
        Err(NoRing::Remapped { logical, physical }) => {
            trace::write(Event::RemappedMemoryRefused {
                provider: number(handle),
                logical: Hex(logical),
                physical: Hex(physical),
            });
            return refuse(Refusal::RemappedMemory, STATUS_UNSUCCESSFUL);
        }
    };
    provider.with(handle, irql, |record| {
        record.limits = limits;
        record.adapter = Some(adapter);
        record.state = next;
    });
    trace::write(Event::ProviderStarted {
        provider: number(handle),
        channels: limits.channels.into(),
        hardware: Hex(u64::from(limits.hardware_version >> 16 << 8 | limits.hardware_version & 0xFF)),
    });
    client::tell_all(NotificationCode::ProviderArrival, id, irql);
    for _ in 0..limits.channels {
        client::tell_all(NotificationCode::ChannelArrival, id, irql);
    }
}

/// The provider's adapter, with one page taken and looked at: DMA that is remapped shows here (D17).
fn adapter(
    provider: &Provider,
    handle: Handle,
    limits: &Limits,
    irql: &mut Passive,
) -> Result<Adapter, NoRing> {
    let gone = NoRing::Memory(nt::Status::DEVICE_DOES_NOT_EXIST);
    // The record's reference keeps the device object; only this thread, which holds the operations claim, could end it. So it
    // is enough to take another reference under the lock.
    let pdo = provider.with(handle, irql, |record| record.pdo.clone()).ok_or(gone)?;
    let adapter = Adapter::new(TAG, &pdo, limits.maximum_transfer_size, irql).map_err(NoRing::Memory)?;
    let probe = adapter.common_page(irql).map_err(NoRing::Memory)?;
    memory::check(&probe, limits.maximum_address)?;
    Ok(adapter)
}

/// `NetDmaProviderStop`. When it returns nothing is outstanding, every channel is freed and all memory is back at the
/// system, whatever clients did or did not do (R72, R73, D5).
pub fn stop(value: ProviderHandle, irql: &mut Passive) {
    let Some((handle, provider)) = find(value, Export::ProviderStop) else { return };
    let Some(_entered) = enter(provider, value, Export::ProviderStop, irql) else { return };
    stop_claimed(handle, provider, irql);
}

fn stop_claimed(handle: Handle, provider: &'static Provider, irql: &mut Passive) {
    let begun = provider.with(handle, irql, |record| {
        let next = record.state.after(ProviderRequest::Stop).ok()?;
        record.state = next;
        (next == ProviderState::Stopping).then_some(record.id)
    });
    // Stopped already: no effect (R81).
    let Some(Some(id)) = begun else { return };
    client::tell_all(NotificationCode::ProviderRemoval, id, irql);
    let mut aborted = 0u64;
    loop {
        aborted = aborted.saturating_add(channel::retire_all(handle, irql));
        let left = provider.with(handle, irql, |record| record.channels).unwrap_or(0);
        if left == 0 {
            break;
        }
        thread::sleep(PAUSE, irql);
    }
    let adapter = provider.with(handle, irql, |record| record.adapter.take()).flatten();
    drop(adapter);
    provider.with(handle, irql, |record| record.state = ProviderState::Stopped);
    trace::write(Event::ProviderStopped { provider: number(handle), outstanding: aborted });
}

/// `NetDmaDeregisterProvider`. Stops first if need be (R80).
pub fn deregister(value: ProviderHandle, irql: &mut Passive) {
    let Some((handle, provider)) = find(value, Export::DeregisterProvider) else { return };
    let Some(_entered) = enter(provider, value, Export::DeregisterProvider, irql) else { return };
    let state = provider.with(handle, irql, |record| record.state);
    if matches!(state, Some(ProviderState::Started | ProviderState::PoweredDown)) {
        trace::misuse(Misuse::WrongState, Export::DeregisterProvider, value.0);
        stop_claimed(handle, provider, irql);
    }
    let record = provider.record.lock(irql).take_if(|record| record.handle == handle);
    if record.is_some() {
        PROVIDERS.release(handle);
        trace::write(Event::ProviderDeregistered { provider: number(handle) });
    }
}

/// Forgets every provider without a call: their images are gone, and with them the entry points (D1). The entries stay taken,
/// so that this image stays too, and so do the rings of their channels, which an engine may still write to.
pub fn abandon_all(irql: &mut Passive) {
    for (_, provider) in PROVIDERS.iter() {
        let record = provider.record.lock(irql).take();
        drop(record);
    }
}

/// `NetDmaPnPEventNotify` with a checked power code.
pub fn power(value: ProviderHandle, code: NotificationCode, irql: &mut Passive) {
    let export = Export::PnPEventNotify;
    let Some((handle, provider)) = find(value, export) else { return };
    let Some(_entered) = enter(provider, value, export, irql) else { return };
    let request = match code {
        NotificationCode::ProviderPowerDown => ProviderRequest::PowerDown,
        NotificationCode::ProviderPowerUp => ProviderRequest::PowerUp,
        _ => return trace::misuse(Misuse::BadNotification, export, code as usize),
    };
    let changed = provider.with(handle, irql, |record| {
        // A 1.0 provider cannot notify (R226).
        if record.version < Version::V1_1 {
            return None;
        }
        let next = record.state.after(request).ok()?;
        if request == ProviderRequest::PowerDown {
            record.state = next;
        }
        Some((record.id, next))
    });
    let Some(Some((id, next))) = changed else {
        return trace::misuse(Misuse::WrongState, export, value.0);
    };
    if request == ProviderRequest::PowerDown {
        client::tell_all(code, id, irql);
        while provider.with(handle, irql, |record| record.allocating).unwrap_or(0) != 0 {
            thread::sleep(PAUSE, irql);
        }
        let channels = channel::power_down_all(handle, irql);
        trace::write(Event::ProviderPoweredDown { provider: number(handle), channels });
    } else {
        let channels = channel::power_up_all(handle, irql);
        provider.with(handle, irql, |record| record.state = next);
        trace::write(Event::ProviderPoweredUp { provider: number(handle), channels });
        client::tell_all(code, id, irql);
    }
}

/// Takes a channel of a started provider (`wanted`, or 0 for any) into account.
///
/// # Errors
/// INVALID_PARAMETER for an id that nobody has, DEVICE_NOT_READY when nothing is started, INSUFFICIENT_RESOURCES when every
/// channel is taken (Q33).
pub fn reserve(wanted: u32, irql: &mut Passive) -> Result<Offer, NtStatus> {
    let mut known = false;
    // Between choice and reservation the last channel may go to somebody else; then choose again, at most once a provider.
    for _ in 0..MAX_PROVIDERS {
        let candidates = PROVIDERS.iter().filter_map(|(handle, provider)| {
            provider.with(handle, irql, |record| {
                known |= record.id == wanted;
                (record.state == ProviderState::Started).then_some(Candidate {
                    id: record.id,
                    free_channels: record.limits.channels.saturating_sub(record.channels),
                })
            })?
        });
        let Some(chosen) = policy::choose_provider(candidates, wanted) else { break };
        let offer = PROVIDERS.iter().find_map(|(handle, provider)| {
            provider.with(handle, irql, |record| {
                let free = record.limits.channels > record.channels;
                if record.id != chosen || record.state != ProviderState::Started || !free {
                    return None;
                }
                let adapter = record.adapter.clone()?;
                record.channels = record.channels.wrapping_add(1);
                record.allocating = record.allocating.wrapping_add(1);
                Some(Offer {
                    provider,
                    handle,
                    id: record.id,
                    entries: record.entries,
                    version: record.version,
                    flags: record.flags,
                    limits: record.limits,
                    adapter,
                })
            })?
        });
        if let Some(offer) = offer {
            return Ok(offer);
        }
    }
    if wanted != 0 && !known {
        return Err(STATUS_INVALID_PARAMETER);
    }
    // Every channel is taken (Q33), or nothing is started.
    let any_started = PROVIDERS.iter().any(|(handle, provider)| {
        provider
            .with(handle, irql, |record| {
                record.state == ProviderState::Started && (wanted == 0 || record.id == wanted)
            })
            .unwrap_or(false)
    });
    Err(if any_started { STATUS_INSUFFICIENT_RESOURCES } else { STATUS_DEVICE_NOT_READY })
}

/// Tells a new client of the providers there are.
pub fn tell_present(mut tell: impl FnMut(NotificationCode, u32, &mut Passive), irql: &mut Passive) {
    for (handle, provider) in PROVIDERS.iter() {
        let present = provider.with(handle, irql, |record| (record.id, record.state, record.limits.channels));
        let Some((id, state, channels)) = present else { continue };
        tell(NotificationCode::ProviderRegistered, id, irql);
        if state == ProviderState::Started {
            tell(NotificationCode::ProviderArrival, id, irql);
            for _ in 0..channels {
                tell(NotificationCode::ChannelArrival, id, irql);
            }
        }
    }
}

/// Gives a description of each provider.
pub fn enumerate(mut give: impl FnMut(ProviderInformation), irql: &mut Passive) {
    for (handle, provider) in PROVIDERS.iter() {
        let information = provider.with(handle, irql, |record| ProviderInformation {
            provider_id: record.id,
            version: record.version.0,
            state: record.state as u32,
            flags: record.flags,
            channel_count: record.limits.channels,
            free_channel_count: record.limits.channels.saturating_sub(record.channels),
            maximum_transfer_size: record.limits.maximum_transfer_size,
            vendor_id: record.limits.vendor_id,
            maximum_address: PhysicalAddress(record.limits.maximum_address),
            hardware_version: record.limits.hardware_version,
            friendly_name_length: (record.name.count.wrapping_mul(2)) as u32,
            friendly_name: record.name.units,
        });
        if let Some(information) = information {
            give(information);
        }
    }
}

/// The counters of a provider's channels, those that are gone included.
///
/// # Errors
/// INVALID_PARAMETER for an id that nobody has.
pub fn statistics(id: u32, irql: &mut UpToDispatch) -> Result<Statistics, NtStatus> {
    for (handle, provider) in PROVIDERS.iter() {
        let counted =
            provider.with(handle, irql, |record| (record.id == id).then_some(record.counted)).flatten();
        if let Some(mut total) = counted {
            channel::add_statistics(handle, &mut total, irql);
            return Ok(total);
        }
    }
    Err(STATUS_INVALID_PARAMETER)
}
