//! Clients: who they are, and the notices they get.

use core::sync::atomic::Ordering;

use netdma_abi::client::{ClientCharacteristics, ClientHandle};
use netdma_abi::status::{STATUS_INSUFFICIENT_RESOURCES, STATUS_INVALID_DEVICE_STATE, STATUS_INVALID_HANDLE};
use netdma_abi::{NotificationCode, NtStatus};
use netdma_core::handle::{Entry, Handle, Kind, Table};
use netdma_events::{Event, Misuse};
use nt::irql::Passive;
use nt::rundown::{Pass, Rundown};
use nt::spin_lock::SpinLock;
use nt::thread;

use crate::channel::{self, CHANNELS};
use crate::foreign::EventCallback;
use crate::gate::{Gate, PAUSE};
use crate::provider;
use crate::trace::{self, Export};

/// Clients at a time. Our choice.
const MAX_CLIENTS: usize = 64;

/// Every client there is.
pub static CLIENTS: Table<Client, MAX_CLIENTS> =
    Table::new([const { Entry::new(Client::new()) }; MAX_CLIENTS]);

/// An entry of the table, in use or not.
pub struct Client {
    record: SpinLock<Option<Record>>,
    /// Entered by notices and allocations; closed by deregistration.
    users: Rundown,
    /// One notice at a time, and who is telling it.
    notices: Gate,
}

/// What a client registered.
#[derive(Clone, Copy)]
struct Record {
    handle: Handle,
    event: Option<EventCallback>,
    completion: Option<netdma_abi::client::ClientCompletionHandler>,
    leaving: bool,
}

impl Client {
    const fn new() -> Self {
        Self { record: SpinLock::new(None), users: Rundown::new(), notices: Gate::new() }
    }

    /// The record, if it is that of `handle`: an entry may have changed hands since it was looked up.
    fn record(&self, handle: Handle, irql: &mut Passive) -> Option<Record> {
        self.record.lock(irql).filter(|record| record.handle == handle)
    }

    /// Tells this client something, if it is still there.
    fn tell(&self, handle: Handle, code: NotificationCode, provider: u32, irql: &mut Passive) {
        let Some(_inside) = self.users.enter() else { return };
        if let Some(event) = self.record(handle, irql).and_then(|record| record.event) {
            // `None`: a notice that this client's own callback has caused, which is told within it.
            let _telling = self.notices.enter(irql);
            event.call(code, provider, irql);
        }
    }
}

/// The number of a client in events.
pub fn number(handle: Handle) -> u64 {
    handle.index() as u64
}

/// Registers a client. It is told what is there already; a notice may come twice, but none is missed.
///
/// # Errors
/// INSUFFICIENT_RESOURCES when the table of clients is full.
pub fn register(
    context: usize,
    characteristics: &ClientCharacteristics,
    publish: impl FnOnce(ClientHandle),
    irql: &mut Passive,
) -> Result<(), NtStatus> {
    let (handle, client) = CLIENTS.claim().ok_or(STATUS_INSUFFICIENT_RESOURCES)?;
    *client.record.lock(irql) = Some(Record {
        handle,
        event: characteristics.event.map(|handler| EventCallback { context, handler }),
        completion: characteristics.completion,
        leaving: false,
    });
    client.users.open();
    publish(ClientHandle(handle.value(Kind::Client)));
    trace::write(Event::ClientRegistered { client: number(handle) });
    provider::tell_present(|code, provider, irql| client.tell(handle, code, provider, irql), irql);
    Ok(())
}

/// Ends a registration: waits for notices and allocations to end, then frees the client's channels.
///
/// # Errors
/// INVALID_HANDLE, or INVALID_DEVICE_STATE from within one of the client's own notices.
pub fn deregister(value: ClientHandle, irql: &mut Passive) -> Result<(), NtStatus> {
    let (handle, client) = find(value, Export::DeregisterClient)?;
    if client.notices.is_mine() {
        trace::misuse(Misuse::CallFromCallback, Export::DeregisterClient, value.0);
        return Err(STATUS_INVALID_DEVICE_STATE);
    }
    match client.record.lock(irql).as_mut() {
        Some(record) if record.handle == handle && !record.leaving => record.leaving = true,
        _ => return Err(STATUS_INVALID_HANDLE),
    }
    client.users.close();
    while !client.users.is_empty() {
        thread::sleep(PAUSE, irql);
    }
    for (channel, slot) in CHANNELS.iter() {
        if slot.owner.load(Ordering::Acquire) == value.0 {
            channel::free(channel, slot, irql);
        }
    }
    *client.record.lock(irql) = None;
    CLIENTS.release(handle);
    trace::write(Event::ClientDeregistered { client: number(handle) });
    Ok(())
}

/// Forgets every client without a call: their images are gone. The entries stay taken, so that this image stays too.
pub fn abandon_all(irql: &mut Passive) {
    for (_, client) in CLIENTS.iter() {
        client.users.close();
        *client.record.lock(irql) = None;
    }
}

/// A client that is allocating, and cannot finish leaving meanwhile.
pub struct Present {
    /// Its handle.
    pub handle: Handle,
    /// Whom to tell of completions.
    pub completion: Option<netdma_abi::client::ClientCompletionHandler>,
    _inside: Pass<'static>,
}

/// Lets a client in for an allocation.
///
/// # Errors
/// INVALID_HANDLE, also while the client is being deregistered.
pub fn enter(value: ClientHandle, export: Export, irql: &mut Passive) -> Result<Present, NtStatus> {
    let (handle, client) = find(value, export)?;
    let inside = client.users.enter().ok_or(STATUS_INVALID_HANDLE)?;
    let record = client.record(handle, irql).ok_or(STATUS_INVALID_HANDLE)?;
    Ok(Present { handle, completion: record.completion, _inside: inside })
}

/// The entry of a handle, or an error and an event.
///
/// # Errors
/// INVALID_HANDLE.
pub fn find(value: ClientHandle, export: Export) -> Result<(Handle, &'static Client), NtStatus> {
    Handle::parse(Kind::Client, value.0)
        .and_then(|handle| CLIENTS.get(handle).map(|client| (handle, client)))
        .ok_or_else(|| {
            trace::misuse(Misuse::BadHandle, export, value.0);
            STATUS_INVALID_HANDLE
        })
}

/// Tells every client. No lock is held (D11).
pub fn tell_all(code: NotificationCode, provider: u32, irql: &mut Passive) {
    for (handle, client) in CLIENTS.iter() {
        client.tell(handle, code, provider, irql);
    }
}
