//! A ring of descriptors on scattered pages.
//!
//! Positions count descriptors since the ring was made and never go back; a slot is a position modulo the ring's size, a
//! power of two. Four positions move:
//!
//! ```text
//!         told                done            posted           built
//!  ────────┼────────────────────┼────────────────┼────────────────┼───────>
//!  reusable   to tell the client   the engine's     to be posted
//! ```
//!
//! Beside each slot stands what its descriptor's end means to the client: a request at the last descriptor of each, nothing at
//! the others. So a request needs no list of its own, and its cookie is the position behind it.
//!
//! Two slots always stay out of use: the last processed one, which an engine may read again for its link, and a spare, so
//! that an address the engine reports names one position only (Q25, R258, R259).
//!
//! That an address names one position only must hold for the oldest address that can still be seen: the completion word keeps
//! its value until the engine writes again. So only the word moves `done` (or a failure, after which the next post is a start
//! and overwrites the word): what the word named last is then always the position before `done`, the one slot that can never
//! be in flight.

#[cfg(small_pages)]
mod snapshot;

use netdma_abi::status::STATUS_SUCCESS;
use netdma_abi::{NtStatus, PAGE_SIZE};

use crate::memory::{Operation, PageAddress, Request, RingMemory, SLOTS_PER_PAGE, Slot, slot};

/// Slots that are never in flight.
pub const RESERVED_SLOTS: u64 = 2;

/// Most pages of a ring: 65,536 descriptors, what a 16-bit hardware counter can tell apart.
pub const MAX_PAGES: usize = 1024;

const SLOT_SHIFT: u32 = SLOTS_PER_PAGE.trailing_zeros();
const SLOT_MASK: u64 = SLOTS_PER_PAGE as u64 - 1;
const PAGE_MASK: u64 = PAGE_SIZE as u64 - 1;
const DESCRIPTOR_SHIFT: u32 = netdma_abi::descriptor::DESCRIPTOR_SIZE.trailing_zeros();

/// The memory given cannot be a ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadMemory {
    /// Pages are none, too many, or no power of two.
    PageCount,
    /// A page has no address, or one that is not page aligned.
    PageAddress,
    /// Two pages have the same address.
    SharedAddress,
    /// The page table or the request table has the wrong number of entries.
    TableLength,
}

/// What an address reported by a device or provider names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    /// A posted descriptor that was not known to be done: its position.
    InFlight(u64),
    /// A descriptor of this ring that is not in flight, such as the last one done.
    Stale,
    /// No descriptor of this ring.
    Foreign,
}

/// A ring over its memory. See the module for the positions.
#[derive(Debug)]
pub struct Ring<M> {
    memory: M,
    mask: u64,
    done: u64,
    posted: u64,
    built: u64,
    told: u64,
}

impl<M: RingMemory> Ring<M> {
    /// Links the slots to a circle and sorts the page table.
    ///
    /// # Errors
    /// What [`BadMemory`] lists.
    pub fn new(mut memory: M) -> Result<Self, BadMemory> {
        let pages = memory.pages();
        if !pages.is_power_of_two() || pages > MAX_PAGES {
            return Err(BadMemory::PageCount);
        }
        let slots = pages.wrapping_mul(SLOTS_PER_PAGE);
        if memory.requests().len() != slots || memory.page_table().len() != pages {
            return Err(BadMemory::TableLength);
        }
        sort_page_table(&mut memory)?;
        let ring =
            Self { memory, mask: (slots as u64).wrapping_sub(1), done: 0, posted: 0, built: 0, told: 0 };
        for position in 0..ring.size() {
            let slot = ring.slot(position).ok_or(BadMemory::PageCount)?;
            slot.link(ring.address(position.wrapping_add(1)).ok_or(BadMemory::PageAddress)?);
            slot.label(position);
        }
        Ok(ring)
    }

    /// Slots of the ring.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.mask.wrapping_add(1)
    }

    /// Everything before this position is done.
    #[must_use]
    pub fn done(&self) -> u64 {
        self.done
    }

    /// Everything before this position was given to the provider.
    #[must_use]
    pub fn posted(&self) -> u64 {
        self.posted
    }

    /// Everything before this position is built and belongs to accepted requests.
    #[must_use]
    pub fn built(&self) -> u64 {
        self.built
    }

    /// Descriptors the engine has.
    #[must_use]
    pub fn outstanding(&self) -> u64 {
        self.posted.wrapping_sub(self.done)
    }

    /// Descriptors that wait to be posted.
    #[must_use]
    pub fn pending(&self) -> u64 {
        self.built.wrapping_sub(self.posted)
    }

    /// Descriptors that can still be built.
    #[must_use]
    pub fn room(&self) -> u64 {
        // A slot is in use until it is told, so never more than the ring less the reserved ones.
        self.size().wrapping_sub(RESERVED_SLOTS).wrapping_sub(self.built.wrapping_sub(self.told))
    }

    /// Whether something is done and not told.
    #[inline]
    #[must_use]
    pub fn has_news(&self) -> bool {
        self.told != self.done
    }

    /// Nothing is unfinished or untold.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.told == self.built
    }

    /// The memory, for changing what is not the ring.
    pub fn memory_mut(&mut self) -> &mut M {
        &mut self.memory
    }

    /// The memory, for its owner.
    #[must_use]
    pub fn memory(&self) -> &M {
        &self.memory
    }

    /// Gives the memory back.
    #[must_use]
    pub fn into_memory(self) -> M {
        self.memory
    }

    /// The slot of a position and its bus address.
    #[inline]
    #[must_use]
    pub fn locate(&self, position: u64) -> Option<(Slot<'_>, u64)> {
        let at = position & self.mask;
        let page = self.memory.page((at >> SLOT_SHIFT) as usize)?;
        let slot = slot(page.words, (at & SLOT_MASK) as usize)?;
        Some((slot, page.address | (at & SLOT_MASK) << DESCRIPTOR_SHIFT))
    }

    /// The slot of a position.
    #[inline]
    #[must_use]
    pub fn slot(&self, position: u64) -> Option<Slot<'_>> {
        self.locate(position).map(|(slot, _)| slot)
    }

    /// The bus address of a position's slot.
    #[inline]
    #[must_use]
    pub fn address(&self, position: u64) -> Option<u64> {
        self.locate(position).map(|(_, address)| address)
    }

    /// Whether one more descriptor has room.
    #[inline]
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.room() != 0
    }

    /// Writes the descriptor at `position`, which is at or behind `built` and becomes part of the ring by
    /// [`accept`](Self::accept) or [`accept_silent`](Self::accept_silent).
    #[inline]
    pub fn write(&self, position: u64, operation: &Operation) -> Option<()> {
        self.slot(position)?.write(operation);
        Some(())
    }

    /// Takes the descriptors up to `end`, at least one, as one request. `None`: there is none.
    pub fn accept(&mut self, end: u64, request: Request) -> Option<()> {
        let last = end.checked_sub(1).filter(|last| *last >= self.built)?;
        self.fill(last);
        *self.request_mut(last)? = request;
        self.built = end;
        Some(())
    }

    /// Takes the descriptors up to `end` as the interface's own: no client hears of them.
    pub fn accept_silent(&mut self, end: u64) {
        self.fill(end);
        self.built = end;
    }

    /// Writes one descriptor between two contiguous pieces and takes it as a request; the caller knows that it has room.
    #[inline]
    pub fn accept_plain(
        &mut self,
        size: u32,
        flags: u32,
        source: u64,
        destination: u64,
        context: usize,
    ) -> Option<u64> {
        let position = self.built;
        self.slot(position)?.write_plain(size, flags, source, destination);
        *self.request_mut(position)? = Request { context, bytes: size, status: STATUS_SUCCESS };
        self.built = position.wrapping_add(1);
        Some(self.built)
    }

    /// No request ends from `built` up to `end`.
    fn fill(&mut self, end: u64) {
        let mut position = self.built;
        while position < end
            && let Some(request) = self.request_mut(position)
        {
            *request = Request::NONE;
            position = position.wrapping_add(1);
        }
    }

    #[inline]
    fn request_mut(&mut self, position: u64) -> Option<&mut Request> {
        let at = (position & self.mask) as usize;
        self.memory.requests_mut().get_mut(at)
    }

    /// The pending descriptors are the engine's now.
    pub fn mark_posted(&mut self) {
        self.posted = self.built;
    }

    /// Everything up to what the completion word names is done. Answers what it named.
    #[inline]
    pub fn read_word(&mut self, address: u64) -> Named {
        let named = self.name(address);
        if let Named::InFlight(position) = named {
            self.done = position.wrapping_add(1);
        }
        named
    }

    /// Everything posted is done. Answers how much of it was not known to be.
    #[inline]
    pub fn finish(&mut self) -> u64 {
        let finished = self.outstanding();
        self.done = self.posted;
        finished
    }

    /// Ends what is in flight (or, with `pending`, everything accepted) with a failure.
    pub fn fail(&mut self, pending: bool, status: NtStatus) {
        let end = if pending { self.built } else { self.posted };
        let mut position = self.done;
        while position < end
            && let Some(request) = self.request_mut(position)
        {
            if *request != Request::NONE {
                request.status = status;
            }
            position = position.wrapping_add(1);
        }
        self.done = end;
        self.posted = end;
    }

    /// Takes out what is done and not told, oldest first, as far as it lies in one piece and `room` goes. Answers the
    /// position of the first and their number; the slots can be built anew.
    #[inline]
    pub fn take_done(&mut self, room: &mut [Request]) -> (u64, usize) {
        let first = self.told;
        let ready = self.done.wrapping_sub(first) as usize;
        let source = self.memory.requests().get((first & self.mask) as usize..).unwrap_or_default();
        let count = ready.min(source.len()).min(room.len());
        let (Some(room), Some(source)) = (room.get_mut(..count), source.get(..count)) else {
            return (first, 0);
        };
        for (place, request) in room.iter_mut().zip(source) {
            *place = *request;
        }
        self.told = first.wrapping_add(count as u64);
        (first, count)
    }

    /// What an address names. At most ten steps in a full-size ring, one when it lies on the page of the first unfinished
    /// descriptor.
    #[inline]
    #[must_use]
    pub fn name(&self, address: u64) -> Named {
        let page_address = address & !PAGE_MASK;
        let first_page = (self.done & self.mask) >> SLOT_SHIFT;
        let page = match self.memory.page(first_page as usize) {
            Some(near) if near.address == page_address => first_page,
            _ => match self.find_page(page_address) {
                Some(page) => page,
                None => return Named::Foreign,
            },
        };
        let slot = page << SLOT_SHIFT | (address & PAGE_MASK) >> DESCRIPTOR_SHIFT;
        let distance = slot.wrapping_sub(self.done) & self.mask;
        if distance < self.outstanding() {
            Named::InFlight(self.done.wrapping_add(distance))
        } else {
            Named::Stale
        }
    }

    fn find_page(&self, address: u64) -> Option<u64> {
        let table = self.memory.page_table();
        let at = table.binary_search_by_key(&address, |entry| entry.address).ok()?;
        table.get(at).map(|entry| entry.page.into())
    }
}

/// Fills the page table and sorts it by address: insertion from the back, since pages mostly come in rising order.
fn sort_page_table<M: RingMemory>(memory: &mut M) -> Result<(), BadMemory> {
    for page in 0..memory.pages() {
        let address = memory.page(page).ok_or(BadMemory::PageAddress)?.address;
        if address & PAGE_MASK != 0 || address == 0 {
            return Err(BadMemory::PageAddress);
        }
        let table = memory.page_table_mut();
        let mut at = page;
        while let Some(before) = at.checked_sub(1) {
            let lower = *table.get(before).ok_or(BadMemory::TableLength)?;
            if lower.address == address {
                return Err(BadMemory::SharedAddress);
            }
            if lower.address < address {
                break;
            }
            *table.get_mut(at).ok_or(BadMemory::TableLength)? = lower;
            at = before;
        }
        *table.get_mut(at).ok_or(BadMemory::TableLength)? = PageAddress { address, page: page as u32 };
    }
    Ok(())
}
