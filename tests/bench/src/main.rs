//! The hot path of netdma.sys, to be counted instruction by instruction: client call, ring, entry point, register write,
//! completion word, walk, callback.
//!
//! `netdma-bench DIALECT BATCH ROUNDS` makes ROUNDS times BATCH copies of one page each, posted together, and ends them by
//! one completion word and one report. Two runs that differ only in ROUNDS, counted by callgrind, give the cost of a
//! descriptor; `cargo xtask bench` does that. The channel's lock is a `RefCell` here: the kernel's spin lock is counted
//! apart.

#![forbid(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use netdma_abi::completion::{TransferStatus, word};
use netdma_abi::status::STATUS_SUCCESS;
use netdma_abi::{
    ChannelHandle, ChannelParameters, CpuAffinity, Descriptor, NtStatus, PhysicalAddress, Version,
};
use netdma_core::channel::{Channel, Setup};
use netdma_core::delivery::{self, Completed, Locked};
use netdma_core::memory::{Page, PageAddress, Request, RingMemory, SLOTS_PER_PAGE, WORDS_PER_PAGE};
use netdma_core::provider::{ChannelContext, EntryPoints};
use netdma_core::transfer::{Capabilities, Run};

/// Pages of the ring: 1,024 descriptors.
const PAGES: usize = 16;

struct Memory {
    pages: Vec<Box<Page>>,
    word: Box<AtomicU64>,
    table: Vec<PageAddress>,
    requests: Vec<Request>,
    room: Option<Vec<Completed>>,
}

impl Memory {
    fn new() -> Self {
        Self {
            pages: (0..PAGES).map(|_| Box::new([const { AtomicU64::new(0) }; WORDS_PER_PAGE])).collect(),
            word: Box::default(),
            table: vec![PageAddress::default(); PAGES],
            requests: vec![Request::default(); PAGES * SLOTS_PER_PAGE],
            room: Some(vec![Completed::default(); delivery::ROOM]),
        }
    }
}

impl RingMemory for Memory {
    type Room = Vec<Completed>;
    fn take_room(&mut self) -> Option<Vec<Completed>> {
        self.room.take()
    }
    fn give_room(&mut self, room: Vec<Completed>) {
        self.room = Some(room);
    }
    fn pages(&self) -> usize {
        self.pages.len()
    }
    fn page(&self, index: usize) -> Option<&Page> {
        self.pages.get(index).map(|page| &**page)
    }
    fn page_address(&self, index: usize) -> Option<u64> {
        // Scattered: the order of addresses is not the order of pages.
        (index < PAGES).then_some(0x1_0000_0000 + (index as u64 * 7 % PAGES as u64) * 0x1000)
    }
    fn completion_word(&self) -> &AtomicU64 {
        &self.word
    }
    fn page_table(&self) -> &[PageAddress] {
        &self.table
    }
    fn page_table_mut(&mut self) -> &mut [PageAddress] {
        &mut self.table
    }
    fn requests(&self) -> &[Request] {
        &self.requests
    }
    fn requests_mut(&mut self) -> &mut [Request] {
        &mut self.requests
    }
}

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

struct Client {
    channel: RefCell<Channel<Memory>>,
    provider: Provider,
    told: Cell<u64>,
}

impl Locked for Client {
    type Memory = Memory;
    fn with<R>(&self, act: impl FnOnce(&mut Channel<Memory>) -> R) -> Option<R> {
        Some(act(&mut self.channel.borrow_mut()))
    }
}

impl Client {
    /// What a client's copy call does.
    #[inline(never)]
    fn copy(&self, page: u64) -> Option<u64> {
        let run = |address| Some(Run { address, length: 4096 });
        let (to, from) = (run(0x8000_0000 + page * 0x2000), run(0xC000_0000 + page * 0x2000));
        self.channel.borrow_mut().copy(&self.provider, to, from, 4096, 0, page as usize).ok()
    }

    /// What the DPC's report does.
    #[inline(never)]
    fn interrupt(&self) {
        let batch = {
            let mut channel = self.channel.borrow_mut();
            channel.observe(0);
            channel.go_on(&self.provider);
            channel.begin_delivery()
        };
        if let Some(batch) = batch {
            delivery::deliver(self, batch, |completed| self.complete(completed));
        }
    }

    #[inline(never)]
    fn complete(&self, completed: &Completed) {
        self.told.set(self.told.get().wrapping_add(completed.cookie));
    }
}

fn run(version: Version, batch: u32, rounds: u64) -> Option<()> {
    let setup = Setup {
        version,
        context: ChannelContext(0),
        capabilities: Capabilities {
            maximum_transfer_size: 1 << 20,
            maximum_address: u64::MAX,
            page_breaks: version >= Version::V2_0,
        },
        polled: false,
    };
    let client = Client {
        channel: RefCell::new(Channel::new(Memory::new(), setup).ok()?),
        provider: Provider { count: Cell::new(0), register: AtomicU32::new(0) },
        told: Cell::new(0),
    };
    client.channel.borrow_mut().set_limit(&client.provider, batch).ok()?;
    let mut sum = 0u64;
    for _ in 0..rounds {
        let mut last = 0;
        for page in 0..batch.into() {
            last = client.copy(page)?;
            sum = sum.wrapping_add(last);
        }
        // The engine's part: the word names the last descriptor of the batch.
        let channel = client.channel.borrow();
        let address = channel.ring().address(last - 1)?;
        channel
            .ring()
            .memory()
            .completion_word()
            .store(word(address, TransferStatus::Idle), Ordering::Release);
        drop(channel);
        client.interrupt();
    }
    (client.told.get() == sum).then_some(())
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [dialect, batch, rounds] = &arguments[..] else {
        eprintln!("netdma-bench: give a dialect (1 or 2), a batch size and a number of rounds");
        return ExitCode::from(2);
    };
    let version = if dialect == "1" { Version::V1_1 } else { Version::V2_1 };
    match (batch.parse(), rounds.parse()) {
        (Ok(batch @ 1..=1000), Ok(rounds)) => match run(version, batch, rounds) {
            Some(()) => ExitCode::SUCCESS,
            None => {
                eprintln!("netdma-bench: a copy was refused or told twice");
                ExitCode::FAILURE
            }
        },
        _ => {
            eprintln!("netdma-bench: the batch is 1 to 1000, rounds is a number");
            ExitCode::from(2)
        }
    }
}
