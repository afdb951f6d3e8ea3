//! Client-built descriptor lists (R12): checked and copied, never used in place (client-data-is-untrusted).

use netdma_abi::client::SUBMIT_FLAGS;
use netdma_abi::descriptor::{
    DESTINATION_DCA_ENABLE, DESTINATION_PAGE_BREAK, NULL_TRANSFER, SOURCE_PAGE_BREAK,
};
use netdma_abi::status::STATUS_INVALID_PARAMETER;
use netdma_abi::{Descriptor, NtStatus, PAGE_SIZE, PhysicalAddress};

use super::{Channel, null_operation};
use crate::memory::{Operation, RingMemory};
use crate::provider::EntryPoints;
use crate::transfer::{Capabilities, Run, is_reachable};

impl<M: RingMemory> Channel<M> {
    /// Copies client-built descriptors into the ring as one request (R12). `descriptor(n)` gives the nth of `count`.
    ///
    /// # Errors
    /// As [`null`](Self::null), and INVALID_PARAMETER for an empty list or a descriptor that asks for what a client may not ask.
    pub fn list(
        &mut self,
        provider: &impl EntryPoints,
        count: u32,
        context: usize,
        descriptor: impl Fn(u32) -> Option<Descriptor>,
    ) -> Result<u64, NtStatus> {
        if count == 0 || u64::from(count) > self.ring.size() {
            return Err(STATUS_INVALID_PARAMETER);
        }
        let capabilities = self.setup.capabilities;
        let hints = self.hinted(DESTINATION_DCA_ENABLE);
        let mut bytes = 0u32;
        for number in 0..count {
            let given = descriptor(number).ok_or(STATUS_INVALID_PARAMETER)?;
            let operation = list_operation(&given, &capabilities, 0).ok_or(STATUS_INVALID_PARAMETER)?;
            let payload = if operation.flags & NULL_TRANSFER == 0 { operation.size } else { 0 };
            bytes = bytes.checked_add(payload).ok_or(STATUS_INVALID_PARAMETER)?;
        }
        let mut number = 0;
        self.submit(provider, 0, context, bytes, |own| {
            if number == count {
                return Ok(None);
            }
            let given = descriptor(number).ok_or(STATUS_INVALID_PARAMETER)?;
            number = number.wrapping_add(1);
            let mut operation = list_operation(&given, &capabilities, own).ok_or(STATUS_INVALID_PARAMETER)?;
            operation.flags &= !DESTINATION_DCA_ENABLE | hints;
            Ok(Some(operation))
        })
    }
}

/// A client's descriptor as we post it, or `None` if it asks for what a client may not ask (client-data-is-untrusted).
fn list_operation(given: &Descriptor, capabilities: &Capabilities, own: u64) -> Option<Operation> {
    const PAGE: u64 = PAGE_SIZE as u64;
    let breaks = if capabilities.page_breaks { SOURCE_PAGE_BREAK | DESTINATION_PAGE_BREAK } else { 0 };
    let allowed = SUBMIT_FLAGS | NULL_TRANSFER | breaks;
    if given.control_flags & !allowed != 0 {
        return None;
    }
    if given.control_flags & NULL_TRANSFER != 0 || given.transfer_size == 0 {
        let flags = given.control_flags & SUBMIT_FLAGS & !DESTINATION_DCA_ENABLE;
        return Some(Operation { flags: flags | NULL_TRANSFER, ..null_operation(own) });
    }
    if given.transfer_size > capabilities.maximum_transfer_size {
        return None;
    }
    let side = |first: PhysicalAddress, second: PhysicalAddress, flag: u32| {
        let length = u64::from(given.transfer_size);
        let to_page_end = PAGE.wrapping_sub(first.0 & (PAGE - 1));
        if given.control_flags & flag == 0 || length <= to_page_end {
            return is_reachable(Run { address: first.0, length }, capabilities);
        }
        second.0 & (PAGE - 1) == 0
            && is_reachable(Run { address: first.0, length: to_page_end }, capabilities)
            && is_reachable(Run { address: second.0, length: length.wrapping_sub(to_page_end) }, capabilities)
    };
    let reachable = side(given.source_address, given.next_source_address, SOURCE_PAGE_BREAK)
        && side(given.destination_address, given.next_destination_address, DESTINATION_PAGE_BREAK);
    reachable.then_some(Operation {
        size: given.transfer_size,
        flags: given.control_flags,
        source: given.source_address.0,
        destination: given.destination_address.0,
        next_source: given.next_source_address.0,
        next_destination: given.next_destination_address.0,
    })
}
