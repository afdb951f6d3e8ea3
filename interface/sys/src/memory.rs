//! A ring's memory: one-page common buffers of the provider's DMA adapter (D5 of docs/architecture.md).

use core::sync::atomic::AtomicU64;

use netdma_core::delivery::ROOM;
use netdma_core::memory::{PageAddress, Request, RingMemory, RingPage, SLOTS_PER_PAGE};
use nt::Status;
use nt::dma::{Adapter, CommonPage};
use nt::irql::Passive;
use nt::pool::{Arc, Array, Tag};

/// Pool tag of everything in this image: "NDma".
pub const TAG: Tag = Tag::new(*b"NDma");

/// Why a ring could not be made.
#[derive(Clone, Copy)]
pub enum NoRing {
    /// Memory ran out, or the system gave none.
    Memory(Status),
    /// DMA is remapped for this device: physical addresses of clients would not reach memory (D17).
    Remapped {
        /// Address under which the device reaches the page.
        logical: u64,
        /// Address of the page in memory.
        physical: u64,
    },
    /// A page lies beyond what the engine reaches.
    OutOfReach,
}

/// Pages of descriptors, a page for the completion word, and the core's tables.
pub struct NtRing {
    pages: Array<CommonPage>,
    word: Arc<CommonPage>,
    table: Array<PageAddress>,
    requests: Array<Request>,
    room: Option<Array<Request>>,
}

impl NtRing {
    /// A ring of `pages` pages (a power of two), every one checked to be where the engine will look for it.
    ///
    /// # Errors
    /// What [`NoRing`] lists; nothing is left allocated.
    pub fn new(
        adapter: &Adapter,
        pages: usize,
        maximum_address: u64,
        irql: &Passive,
    ) -> Result<Self, NoRing> {
        let mut wrong = None;
        let pages = Array::try_new(TAG, pages, |_| {
            let page = adapter.common_page(irql)?;
            wrong = wrong.or(check(&page, maximum_address).err());
            Ok(page)
        })
        .map_err(NoRing::Memory)?;
        let word = adapter.common_page(irql).map_err(NoRing::Memory)?;
        if let Some(wrong) = wrong.or(check(&word, maximum_address).err()) {
            return Err(wrong);
        }
        let word = Arc::new(TAG, word).map_err(NoRing::Memory)?;
        let slots = pages.len().saturating_mul(SLOTS_PER_PAGE);
        let table = Array::new(TAG, pages.len(), |_| PageAddress::default()).map_err(NoRing::Memory)?;
        let requests = Array::new(TAG, slots, |_| Request::NONE).map_err(NoRing::Memory)?;
        let room = Array::new(TAG, ROOM, |_| Request::NONE).map_err(NoRing::Memory)?;
        Ok(Self { pages, word, table, requests, room: Some(room) })
    }

    /// The page of the completion word, which polls look at without the channel's lock.
    pub fn completion_page(&self) -> Arc<CommonPage> {
        self.word.clone()
    }

    /// Bus address of the completion word.
    pub fn completion_address(&self) -> u64 {
        self.word.logical()
    }
}

/// Whether device and processor mean the same memory by a page's address, and the engine reaches it.
///
/// # Errors
/// [`NoRing::Remapped`] or [`NoRing::OutOfReach`].
pub fn check(page: &CommonPage, maximum_address: u64) -> Result<(), NoRing> {
    let (logical, physical) = (page.logical(), page.physical());
    if logical != physical {
        return Err(NoRing::Remapped { logical, physical });
    }
    if logical.saturating_add(nt::page::SIZE as u64 - 1) > maximum_address {
        return Err(NoRing::OutOfReach);
    }
    Ok(())
}

impl RingMemory for NtRing {
    type Room = Array<Request>;

    fn take_room(&mut self) -> Option<Array<Request>> {
        self.room.take()
    }

    fn give_room(&mut self, room: Array<Request>) {
        self.room = Some(room);
    }

    fn pages(&self) -> usize {
        self.pages.len()
    }

    fn page(&self, index: usize) -> Option<RingPage<'_>> {
        self.pages.get(index).map(|page| RingPage { words: page.words(), address: page.logical() })
    }

    fn completion_word(&self) -> &AtomicU64 {
        let [word, ..] = self.word.words();
        word
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
