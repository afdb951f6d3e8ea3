//! A ring's memory on the heap, for tests and for `tests/bench`.

use std::sync::Arc;

use netdma_core::memory::{Page, PageAddress, Request, RingMemory, RingPage, SLOTS_PER_PAGE, WORDS_PER_PAGE};
use netdma_core::sync::AtomicU64;

/// Ring pages at bus addresses of the test's choice, and everything else a ring needs.
pub struct HostMemory {
    pub pages: Vec<(u64, Arc<Page>)>,
    pub word: Arc<AtomicU64>,
    table: Vec<PageAddress>,
    requests: Vec<Request>,
    room: Option<Vec<Request>>,
}

impl HostMemory {
    /// Pages at these addresses.
    #[must_use]
    pub fn at(addresses: &[u64]) -> Self {
        let slots = addresses.len() * SLOTS_PER_PAGE;
        Self {
            pages: addresses
                .iter()
                .map(|address| {
                    (*address, Arc::new(std::array::from_fn::<_, WORDS_PER_PAGE, _>(|_| AtomicU64::new(0))))
                })
                .collect(),
            word: Arc::new(AtomicU64::new(0)),
            table: vec![PageAddress::default(); addresses.len()],
            requests: vec![Request::NONE; slots],
            room: Some(vec![Request::NONE; 8]),
        }
    }

    /// Room for `count` requests on their way out, in place of few.
    #[must_use]
    pub fn with_room(self, count: usize) -> Self {
        Self { room: Some(vec![Request::NONE; count]), ..self }
    }

    /// `count` pages that are neither adjacent nor in order.
    #[must_use]
    pub fn scattered(count: usize) -> Self {
        let odd = 0x9E37_79B1u64;
        let addresses: Vec<u64> =
            (0..count as u64).map(|page| 0x1_0000_0000 + (page * odd % 4099) * 0x1000).collect();
        Self::at(&addresses)
    }
}

impl RingMemory for HostMemory {
    type Room = Vec<Request>;
    fn take_room(&mut self) -> Option<Vec<Request>> {
        self.room.take()
    }
    fn give_room(&mut self, room: Vec<Request>) {
        self.room = Some(room);
    }
    fn pages(&self) -> usize {
        self.pages.len()
    }
    fn page(&self, index: usize) -> Option<RingPage<'_>> {
        self.pages.get(index).map(|(address, words)| RingPage { words, address: *address })
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
