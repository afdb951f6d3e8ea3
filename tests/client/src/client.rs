//! The registration with netdma.sys and the table of open channels.

use core::sync::atomic::{AtomicU64, Ordering};

use netdma_abi::client::ProviderInformation;
use netdma_abi::notification::NotificationCode;
use netdma_events::Event;
use netdma_ioctl::{Channel, MAX_CHANNELS, OpenChannel, Statistics, StatisticsOf};
use nt::irql::Passive;
use nt::mutex::Mutex;
use nt::pool::{Arc, Array};
use nt::wdf::File;
use nt::{Result, Status};

use crate::TAG;
use crate::channel::{Counters, OpenedChannel};
use crate::netdma::{Allocation, ChannelHandle, ClientName, Registration};
use crate::trace;

/// The client, shared by the device and by the callbacks of netdma.sys.
///
/// Neither lock is held while a function of netdma.sys is called that may wait: a notice would wait for us.
pub struct Client {
    registration: Mutex<Option<Registration>>,
    channels: Mutex<Array<Entry>>,
}

/// One place of the table of channels.
enum Entry {
    /// Nobody's.
    Free,
    /// Being opened or closed.
    Taken,
    /// Open.
    Open(Open),
}

/// An open channel.
struct Open {
    owner: File,
    opened: Arc<OpenedChannel>,
    allocation: Allocation,
}

impl Client {
    /// A client that is not registered.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES.
    pub fn new() -> Result<Arc<Self>> {
        let channels = Array::new(TAG, MAX_CHANNELS as usize, |_| Entry::Free)?;
        Arc::new(TAG, Self { registration: Mutex::new(None), channels: Mutex::new(channels) })
    }

    /// Registers with netdma.sys.
    ///
    /// # Errors
    /// What netdma.sys reports.
    pub fn register(this: &Arc<Self>, irql: &mut Passive) -> Result {
        let registration = Registration::new(this.clone(), irql)?;
        *this.registration.lock(irql) = Some(registration);
        trace(Event::TestDeviceStarted {});
        Ok(())
    }

    /// Frees every channel and deregisters, if registered.
    pub fn deregister(&self, irql: &mut Passive) {
        self.close_all(|_| true, irql);
        // The guard ends with this statement: netdma.sys is called without it.
        let registration = self.registration.lock(irql).take();
        if let Some(registration) = registration {
            registration.end(irql);
            trace(Event::TestDeviceStopped {});
        }
    }

    /// The client's name in netdma.sys.
    fn name(&self, irql: &mut Passive) -> Result<ClientName> {
        self.registration.lock(irql).as_ref().map(Registration::name).ok_or(Status::DEVICE_NOT_READY)
    }

    /// The providers there are.
    ///
    /// # Errors
    /// What netdma.sys reports.
    pub fn providers(&self, irql: &mut Passive) -> Result<Array<ProviderInformation>> {
        self.name(irql)?.providers(irql)
    }

    /// Opens a channel for `owner`.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES when the table is full or memory runs out; else what netdma.sys reports.
    pub fn open(&self, owner: File, wish: &OpenChannel, irql: &mut Passive) -> Result<Channel> {
        let name = self.name(irql)?;
        let number = self.reserve(irql)?;
        let opened = Self::allocate(name, number, wish, irql);
        let mut channels = self.channels.lock(irql);
        let entry = channels.get_mut(number).ok_or(Status::INVALID_PARAMETER)?;
        match opened {
            Ok((opened, allocation)) => {
                let channel = Channel {
                    number: number as u32,
                    provider: allocation.provider,
                    processor: allocation.processor,
                    ring_size: allocation.ring_size,
                };
                *entry = Entry::Open(Open { owner, opened, allocation });
                Ok(channel)
            }
            Err(status) => {
                *entry = Entry::Free;
                Err(status)
            }
        }
    }

    /// Takes a free place of the table.
    fn reserve(&self, irql: &mut Passive) -> Result<usize> {
        let mut channels = self.channels.lock(irql);
        let (number, entry) = channels
            .iter_mut()
            .enumerate()
            .find(|(_, entry)| matches!(entry, Entry::Free))
            .ok_or(Status::INSUFFICIENT_RESOURCES)?;
        *entry = Entry::Taken;
        Ok(number)
    }

    fn allocate(
        name: ClientName,
        number: usize,
        wish: &OpenChannel,
        irql: &mut Passive,
    ) -> Result<(Arc<OpenedChannel>, Allocation)> {
        let opened = OpenedChannel::new(number as u32, wish, irql)?;
        let allocation = name.allocate(wish, opened.clone(), irql)?;
        opened.channel().set_handle(allocation.handle);
        if wish.pending_limit > 1
            && let Err(status) = allocation.handle.set_pending_limit(wish.pending_limit, irql)
        {
            allocation.free(irql);
            return Err(status);
        }
        Ok((opened, allocation))
    }

    /// The channel `number` of `owner`.
    ///
    /// # Errors
    /// INVALID_HANDLE when there is none.
    pub fn channel(&self, owner: File, number: u32, irql: &mut Passive) -> Result<Arc<OpenedChannel>> {
        match self.channels.lock(irql).get(number as usize) {
            Some(Entry::Open(open)) if open.owner == owner => Ok(open.opened.clone()),
            _ => Err(Status::INVALID_HANDLE),
        }
    }

    /// Closes the channel `number` of `owner`.
    ///
    /// # Errors
    /// INVALID_HANDLE when there is none.
    pub fn close(&self, owner: File, number: u32, irql: &mut Passive) -> Result {
        let mut channels = self.channels.lock(irql);
        let entry = channels.get_mut(number as usize).ok_or(Status::INVALID_HANDLE)?;
        let open = entry.take_if(|open| open.owner == owner).ok_or(Status::INVALID_HANDLE)?;
        drop(channels);
        self.finish_closing(open, number as usize, irql);
        Ok(())
    }

    /// Closes every channel of `owner`: its file is closed.
    pub fn close_all_of(&self, owner: File, irql: &mut Passive) {
        self.close_all(|open| open.owner == owner, irql);
    }

    fn close_all(&self, which: impl Fn(&Open) -> bool, irql: &mut Passive) {
        for number in 0..MAX_CHANNELS as usize {
            // The guard ends with this statement: netdma.sys is called without it.
            let open = self.channels.lock(irql).get_mut(number).and_then(|entry| entry.take_if(&which));
            if let Some(open) = open {
                self.finish_closing(open, number, irql);
            }
        }
    }

    /// Fails what waits, lets netdma.sys finish what is in flight, frees the channel and its place.
    fn finish_closing(&self, open: Open, number: usize, irql: &mut Passive) {
        open.opened.close(Status::CANCELLED, irql);
        open.allocation.free(irql);
        if let Some(entry) = self.channels.lock(irql).get_mut(number) {
            *entry = Entry::Free;
        }
    }

    /// netdma.sys reports a provider or power event. On return from a removal or power-down nothing is posted any more on
    /// the provider's channels (R228, R262).
    pub fn notice(&self, code: u32, provider: u32, irql: &mut Passive) {
        trace(Event::ProviderNotice { code: code.into(), provider: provider.into() });
        const REMOVAL: u32 = NotificationCode::ProviderRemoval as u32;
        const POWER_DOWN: u32 = NotificationCode::ProviderPowerDown as u32;
        const POWER_UP: u32 = NotificationCode::ProviderPowerUp as u32;
        let channels = self.channels.lock(irql);
        for entry in channels.iter() {
            let Entry::Open(Open { opened, allocation, .. }) = entry else { continue };
            if allocation.provider != provider {
                continue;
            }
            match code {
                REMOVAL => opened.close(Status::DEVICE_REMOVED, irql),
                POWER_DOWN => opened.close(Status::DEVICE_NOT_READY, irql),
                POWER_UP => opened.reopen(Status::DEVICE_NOT_READY, irql),
                _ => {}
            }
        }
    }

    /// Counters of a provider, or of a channel of `owner`.
    ///
    /// # Errors
    /// INVALID_HANDLE when the channel is none; else what netdma.sys reports.
    pub fn statistics(&self, owner: File, of: StatisticsOf, irql: &mut Passive) -> Result<Statistics> {
        if of.provider != 0 {
            let theirs = ChannelHandle(0).statistics(of.provider, irql)?;
            return Ok(both(&Counters::default(), &theirs));
        }
        let opened = self.channel(owner, of.channel, irql)?;
        let theirs = opened.channel().handle().statistics(0, irql)?;
        Ok(both(&opened.channel().counters, &theirs))
    }
}

impl Entry {
    /// Takes the channel out for closing, if it is open and `which` says so.
    fn take_if(&mut self, which: impl Fn(&Open) -> bool) -> Option<Open> {
        if !matches!(self, Self::Open(open) if which(open)) {
            return None;
        }
        match core::mem::replace(self, Self::Taken) {
            Self::Open(open) => Some(open),
            _ => None,
        }
    }
}

/// The client's counters beside those of netdma.sys.
fn both(ours: &Counters, theirs: &netdma_abi::client::Statistics) -> Statistics {
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    Statistics {
        submitted: read(&ours.submitted),
        succeeded: read(&ours.succeeded),
        failed: read(&ours.failed),
        bytes: read(&ours.bytes),
        callbacks: read(&ours.callbacks),
        polls: read(&ours.polls),
        late: read(&ours.late),
        timeouts: read(&ours.timeouts),
        interface_bytes: theirs.bytes,
        descriptors: theirs.descriptors,
        batches: theirs.batches,
        starts: theirs.starts,
        appends: theirs.appends,
        accepted: theirs.submitted,
        completed: theirs.completed,
        aborted: theirs.aborted,
        errors: theirs.failed,
        interrupts: theirs.interrupts,
        dpcs: theirs.dpcs,
        interface_polls: theirs.polls,
        halts: theirs.halts,
        ring_full: theirs.ring_full,
        provider_failures: theirs.provider_failures,
        foreign_addresses: theirs.foreign_addresses,
    }
}
