//! The hot path of netdma.sys: client call, ring, entry point, register write, completion word, walk, callback.
//!
//! One-page copies, posted in batches, each ended by one completion word and one report. The channel's lock is a `RefCell`
//! here: the kernel's spin lock is counted apart.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use netdma_abi::completion::{TransferStatus, address, word};
use netdma_abi::status::STATUS_SUCCESS;
use netdma_abi::{
    ChannelHandle, ChannelParameters, CpuAffinity, Descriptor, NtStatus, PhysicalAddress, Version,
};
use netdma_core::channel::{Channel, Setup};
use netdma_core::delivery::{self, Completed, Locked};
use netdma_core::memory::SLOTS_PER_PAGE;
use netdma_core::provider::{ChannelContext, EntryPoints};
use netdma_core::transfer::{Capabilities, Run};

use crate::memory::HostMemory;

/// Pages of the ring: 1,024 descriptors.
const PAGES: usize = 16;
const SLOTS: u64 = (PAGES * SLOTS_PER_PAGE) as u64;

/// A provider whose every post is one write of a 32-bit register.
struct Provider {
    count: Cell<u32>,
    register: AtomicU32,
}

impl Provider {
    #[inline(never)]
    fn ring(&self, count: u32) -> NtStatus {
        self.count.set(self.count.get().wrapping_add(count));
        self.register.store(self.count.get(), Ordering::Release);
        STATUS_SUCCESS
    }
}

impl EntryPoints for Provider {
    fn set_channel_affinity(&self, _: &mut [CpuAffinity]) -> Option<NtStatus> {
        None
    }
    fn allocate(&self, _: &mut ChannelParameters, _: ChannelHandle) -> Result<ChannelContext, NtStatus> {
        Ok(ChannelContext(0))
    }
    fn free(&self, _: ChannelContext) {}
    fn start(&self, _: ChannelContext, _: *mut Descriptor, _: PhysicalAddress, count: u32) -> NtStatus {
        self.ring(count)
    }
    fn append(&self, _: ChannelContext, _: *mut Descriptor, _: PhysicalAddress, count: u32) -> NtStatus {
        self.ring(count)
    }
    fn suspend(&self, _: ChannelContext) -> Option<Result<Option<PhysicalAddress>, NtStatus>> {
        None
    }
    fn resume(&self, _: ChannelContext) -> Option<NtStatus> {
        None
    }
    fn abort(&self, _: ChannelContext) -> Option<NtStatus> {
        None
    }
    fn reset(&self, _: ChannelContext) -> Option<NtStatus> {
        None
    }
}

/// Descriptors that [`Client::rounds`] does: eight laps of the ring.
pub const DESCRIPTORS: u64 = 8192;

/// A completion callback: context of the channel, cookie, context of the request, status.
type Callback = extern "C" fn(&Cell<u64>, usize, usize, NtStatus);

/// A client with its channel, whose engine does at once what it is told.
pub struct Client {
    channel: RefCell<Channel<HostMemory>>,
    provider: Provider,
    batch: u32,
    /// The completion word for each slot: what the engine has to write.
    words: Vec<u64>,
    word: Arc<AtomicU64>,
    /// Sums of cookies: given by submissions, and told by callbacks.
    given: u64,
    callback: Callback,
    told: Cell<u64>,
}

impl Locked for Client {
    type Memory = HostMemory;
    fn with<R>(&self, act: impl FnOnce(&mut Channel<HostMemory>) -> R) -> Option<R> {
        Some(act(&mut self.channel.borrow_mut()))
    }
}

impl Client {
    /// A channel that posts `batch` requests at a time, after its start and one lap of the ring.
    ///
    /// # Panics
    /// The core refuses what it must not.
    #[must_use]
    pub fn warm(version: Version, batch: u32) -> Box<Self> {
        let setup = Setup {
            version,
            context: ChannelContext(0),
            capabilities: Capabilities {
                maximum_transfer_size: 1 << 20,
                maximum_address: u64::MAX,
                page_breaks: version >= Version::V2_0,
            },
            polled: false,
            cache: None,
        };
        let memory = HostMemory::scattered(PAGES).with_room(delivery::ROOM);
        let completion_word = memory.word.clone();
        let mut client = Box::new(Self {
            channel: RefCell::new(Channel::new(memory, setup).expect("the memory is a ring")),
            provider: Provider { count: Cell::new(0), register: AtomicU32::new(0) },
            batch,
            words: Vec::new(),
            word: completion_word,
            given: 0,
            callback: std::hint::black_box(callback as Callback),
            told: Cell::new(0),
        });
        let ring = |position| client.channel.borrow().ring().address(position).expect("a slot of the ring");
        client.words = (0..SLOTS).map(|position| word(ring(position), TransferStatus::Idle)).collect();
        client.channel.borrow_mut().set_limit(&client.provider, batch).expect("a limit above zero");
        for _ in 0..SLOTS / u64::from(batch) {
            client.round();
        }
        client
    }

    /// [`DESCRIPTORS`] copies, each told once.
    ///
    /// # Panics
    /// A copy was refused, or not told exactly once.
    #[inline(never)]
    pub fn rounds(&mut self) {
        for _ in 0..DESCRIPTORS / u64::from(self.batch) {
            self.round();
        }
        assert_eq!(self.told.get(), self.given, "every cookie is told exactly once");
    }

    /// One batch.
    fn round(&mut self) {
        let mut last = 0;
        for page in 0..self.batch.into() {
            last = self.copy(page).expect("there is room");
            self.given = self.given.wrapping_add(last);
        }
        let address = self.finish(last);
        self.interrupt(address);
    }

    /// The engine's part: the word names the last descriptor of the batch, whose address it answers.
    fn finish(&self, last: u64) -> u64 {
        let word = self.words[(last - 1) as usize % self.words.len()];
        self.word.store(word, Ordering::Release);
        address(word)
    }

    /// What a client's copy call does.
    #[inline(never)]
    fn copy(&self, page: u64) -> Option<u64> {
        let run = |address| Some(Run { address, length: 4096 });
        let (to, from) = (run(0x8000_0000 + page * 0x2000), run(0xC000_0000 + page * 0x2000));
        self.channel.borrow_mut().copy(&self.provider, to, from, 4096, 0, page as usize).ok()
    }

    /// What the DPC's report does; it names what the word names.
    #[inline(never)]
    fn interrupt(&self, address: u64) {
        let delivery = {
            let mut channel = self.channel.borrow_mut();
            channel.count_dpc();
            channel.observe(address);
            channel.go_on(&self.provider);
            channel.begin_delivery()
        };
        if let Some(delivery) = delivery {
            delivery::deliver(self, delivery, |Completed { cookie, context, status }| {
                (self.callback)(&self.told, cookie as usize, context, status);
            });
        }
    }
}

/// The client's, called through a pointer as in the kernel.
extern "C" fn callback(told: &Cell<u64>, cookie: usize, _: usize, status: NtStatus) {
    if status == STATUS_SUCCESS {
        told.set(told.get().wrapping_add(cookie as u64));
    }
}
