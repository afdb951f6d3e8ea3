//! What a `DMA_OPERATIONS` table points at. Drivers do not import these; they find them through an adapter.

use super::{adapter, allocate, violation};
use crate::export::{ANY, DISPATCH, Export, PASSIVE};
use crate::kernel::Kernel;
use crate::ntoskrnl::mm::pages_of;
use crate::stop::{Fault, HOST_FAILURE};

/// `DMA_OPERATIONS` (wdm.h) up to DMA_ADAPTER version 1 and in full. Entry 0 is the size; functions that are not hosted
/// stop the machine by name.
static OPERATIONS: [(&str, Option<&Export>); 41] = [
    ("Size", None),
    ("PutDmaAdapter", Some(&PutDmaAdapter::EXPORT)),
    ("AllocateCommonBuffer", Some(&AllocateCommonBuffer::EXPORT)),
    ("FreeCommonBuffer", Some(&FreeCommonBuffer::EXPORT)),
    ("AllocateAdapterChannel", None),
    ("FlushAdapterBuffers", Some(&FlushAdapterBuffers::EXPORT)),
    ("FreeAdapterChannel", None),
    ("FreeMapRegisters", None),
    ("MapTransfer", None),
    ("GetDmaAlignment", Some(&GetDmaAlignment::EXPORT)),
    ("ReadDmaCounter", None),
    ("GetScatterGatherList", None),
    ("PutScatterGatherList", None),
    ("CalculateScatterGatherList", None),
    ("BuildScatterGatherList", None),
    ("BuildMdlFromScatterGatherList", None),
    ("GetDmaAdapterInfo", None),
    ("GetDmaTransferInfo", None),
    ("InitializeDmaTransferContext", None),
    ("AllocateCommonBufferEx", Some(&AllocateCommonBufferEx::EXPORT)),
    ("AllocateAdapterChannelEx", None),
    ("ConfigureAdapterChannel", None),
    ("CancelAdapterChannel", None),
    ("MapTransferEx", None),
    ("GetScatterGatherListEx", None),
    ("BuildScatterGatherListEx", None),
    ("FlushAdapterBuffersEx", None),
    ("FreeAdapterObject", None),
    ("CancelMappedTransfer", None),
    ("AllocateDomainCommonBuffer", None),
    ("FlushDmaBuffer", None),
    ("JoinDmaDomain", None),
    ("LeaveDmaDomain", None),
    ("GetDmaDomain", None),
    ("AllocateCommonBufferWithBounds", None),
    ("AllocateCommonBufferVector", None),
    ("GetCommonBufferFromVectorByIndex", None),
    ("FreeCommonBufferFromVector", None),
    ("FreeCommonBufferVector", None),
    ("CreateCommonBufferFromMdl", None),
    ("", None),
];
/// Entries of the table that versions 1 and 2 of DEVICE_DESCRIPTION get, and of the one for version 3.
pub(super) const ENTRIES_V1: usize = 16;
pub(super) const ENTRIES_V3: usize = 40;

/// The table with so many entries.
pub(super) fn table(k: &Kernel, entries: usize) -> u64 {
    if let Some(table) = k.services.adapters.with(|adapters| adapters.tables.get(&entries).copied()) {
        return table;
    }
    let table = k.system_allocate(entries as u64 * 8, "DMA_OPERATIONS");
    k.write(table, entries as u32 * 8);
    for (index, (_, export)) in OPERATIONS.iter().enumerate().take(entries).skip(1) {
        k.write(table + index as u64 * 8, k.export_address(export.unwrap_or(&NotHosted::EXPORT)));
    }
    k.services.adapters.with(|adapters| adapters.tables.insert(entries, table));
    table
}

crate::export::exports! {
    module "DMA_OPERATIONS";

    /// Gives an adapter back.
    fn PutDmaAdapter(k; address: u64) [DISPATCH, "Learn, PPUT_DMA_ADAPTER"] {
        let adapter = adapter(k, address);
        if !adapter.buffers.is_empty() {
            k.stop(violation(7, "the adapter is released before its common buffers are freed")
                .parameter(address, "the DMA adapter")
                .parameter(adapter.buffers.len() as u64, "common buffers not freed"));
        }
        k.services.adapters.with(|adapters| adapters.adapters.remove(&address));
        k.system_free(address);
    }

    /// Memory that driver and device share.
    fn AllocateCommonBuffer(k; address: u64, length: u32, logical: u64, cached: u8) -> u64 [PASSIVE, "Learn, PALLOCATE_COMMON_BUFFER"] {
        if k.allocation_fails() {
            return 0;
        }
        let _ = cached;
        allocate(k, address, u64::from(length), logical, u64::MAX)
    }

    /// The same, at or below a bus address that the caller names.
    fn AllocateCommonBufferEx(k; address: u64, highest: u64, length: u32, logical: u64, cached: u8, node: u32) -> u64 [PASSIVE, "Learn, PALLOCATE_COMMON_BUFFER_EX"] {
        if k.allocation_fails() {
            return 0;
        }
        let _ = (cached, node);
        let highest = if highest == 0 { u64::MAX } else { k.read(highest) };
        allocate(k, address, u64::from(length), logical, highest)
    }

    /// Frees a common buffer; length and bus address must be those of its allocation.
    fn FreeCommonBuffer(k; address: u64, length: u32, logical: u64, buffer: u64, cached: u8) [PASSIVE, "Learn, PFREE_COMMON_BUFFER"] {
        let _ = cached;
        let adapter = adapter(k, address);
        let Some(&(bus, size)) = adapter.buffers.get(&buffer) else {
            k.stop(violation(3, "a common buffer is freed that this adapter does not have")
                .text(k.describe_address(buffer))
                .parameter(buffer, "the buffer"));
        };
        if (bus, size) != (logical, u64::from(length)) {
            k.stop(violation(3, "a common buffer is freed with another length or bus address than it was allocated with")
                .text(format!("allocated: {size} bytes at bus address {bus:#x}; freed: {length} bytes at {logical:#x}"))
                .parameter(buffer, "the buffer"));
        }
        k.check_nothing_live_in(buffer, buffer + size, "a common buffer being freed");
        k.dma_unmap(adapter.domain, bus, pages_of(0, size));
        k.services.adapters.with(|adapters| {
            adapters.adapters.get_mut(&address).map(|adapter| adapter.buffers.remove(&buffer))
        });
        k.memory.destroy(buffer, k.caller_address());
    }

    /// Nothing is cached between device and memory: true.
    fn FlushAdapterBuffers(k; address: u64, mdl: u64, registers: u64, current: u64, length: u32, write: u8) -> u8 [DISPATCH, "Learn, PFLUSH_ADAPTER_BUFFERS"] {
        let _ = (mdl, registers, current, length, write);
        adapter(k, address);
        1
    }

    /// The alignment DMA buffers need: none.
    fn GetDmaAlignment(k; address: u64) -> u32 [PASSIVE, "Learn, PGET_DMA_ALIGNMENT"] {
        adapter(k, address);
        1
    }

    /// A function of the table that the machine does not host.
    fn NotHosted(k;) -> u64 [ANY, "wdm.h, DMA_OPERATIONS"] {
        k.stop(Fault::new("Host", HOST_FAILURE)
            .text("a function of DMA_OPERATIONS that the hosted machine does not have is called"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_the_entries_of_the_header_in_order() {
        // Offsets of a few functions in wdm.h for x64; the size is entry 0.
        for (name, offset) in
            [("PutDmaAdapter", 8), ("GetDmaAlignment", 72), ("AllocateCommonBufferEx", 0x98)]
        {
            let index = OPERATIONS.iter().position(|entry| entry.0 == name).expect("the entry");
            assert_eq!(index * 8, offset, "{name}");
        }
        assert_eq!(OPERATIONS[ENTRIES_V1 - 1].0, "BuildMdlFromScatterGatherList");
        assert_eq!(OPERATIONS[ENTRIES_V3 - 1].0, "CreateCommonBufferFromMdl");
    }
}
