//! A ring's memory on the heap, for tests and for `tests/bench`.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use netdma_core::delivery::Completed;
use netdma_core::memory::{Page, PageAddress, Request, RingMemory, SLOTS_PER_PAGE, WORDS_PER_PAGE};

/// Ring pages at bus addresses of the test's choice, and everything else a ring needs.
pub struct HostMemory {
    pub pages: Vec<(u64, Arc<Page>)>,
    pub word: Arc<AtomicU64>,
    table: Vec<PageAddress>,
    requests: Vec<Request>,
    room: Option<Vec<Completed>>,
}

impl HostMemory {
    /// Pages at these addresses.
    #[must_use]
    pub fn at(addresses: &[u64]) -> Self {
        let slots = addresses.len() * SLOTS_PER_PAGE;
        Self {
            pages: addresses
                .iter()
                .map(|address| (*address, Arc::new([const { AtomicU64::new(0) }; WORDS_PER_PAGE])))
                .collect(),
            word: Arc::default(),
            table: vec![PageAddress::default(); addresses.len()],
            requests: vec![Request::default(); slots],
            room: Some(vec![Completed::default(); 8]),
        }
    }

    /// Room for `count` completions on their way out, in place of few.
    #[must_use]
    pub fn with_room(self, count: usize) -> Self {
        Self { room: Some(vec![Completed::default(); count]), ..self }
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
        self.pages.get(index).map(|(_, page)| &**page)
    }
    fn page_address(&self, index: usize) -> Option<u64> {
        self.pages.get(index).map(|(address, _)| *address)
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
