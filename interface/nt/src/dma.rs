//! Memory that a device and the processor share: DMA adapter and common buffers.
//!
//! Adapters and pages come and go at PASSIVE_LEVEL, which their functions demand
//! ("IoGetDmaAdapter", "AllocateCommonBuffer"); memory and addresses of a page are for any IRQL.

use core::fmt;
use core::ptr::NonNull;
use core::sync::atomic::AtomicU64;

use wdk_sys::ntddk::{IoGetDmaAdapter, MmGetPhysicalAddress};
use wdk_sys::{
    _INTERFACE_TYPE, DEVICE_DESCRIPTION, DEVICE_DESCRIPTION_VERSION2, DMA_ADAPTER, PHYSICAL_ADDRESS, ULONG,
};

use crate::irql::Passive;
use crate::object;
use crate::page::{self, WORDS, physical};
use crate::pool::{Arc, Tag};
use crate::{Result, Status};

/// A bus-mastering device's way to memory. Clones are the same adapter; the last owner returns it to the system.
///
/// Everything here, dropping included, happens at PASSIVE_LEVEL. The adapter must be back before the device's
/// IRP_MN_STOP_DEVICE or IRP_MN_REMOVE_DEVICE completes, its common buffers before it (Driver Verifier, 0xE6).
#[derive(Clone, Debug)]
pub struct Adapter(Arc<Inner>);

struct Inner(NonNull<DMA_ADAPTER>);

// SAFETY: the adapter's operations may be called from any thread at PASSIVE_LEVEL.
unsafe impl Send for Inner {}
// SAFETY: as for `Send`; allocating and freeing common buffers is serialised by the system.
unsafe impl Sync for Inner {}

impl Adapter {
    /// The adapter of the device whose physical device object is `pdo`: a 64-bit bus master that scatters and gathers,
    /// whose transfers are at most `largest_transfer` bytes.
    ///
    /// # Errors
    /// NOT_SUPPORTED when the system gives none, INSUFFICIENT_RESOURCES when memory runs out.
    pub fn new(tag: Tag, pdo: &object::Device, largest_transfer: u32, _irql: &Passive) -> Result<Self> {
        let mut description = DEVICE_DESCRIPTION {
            Version: DEVICE_DESCRIPTION_VERSION2,
            Master: 1,
            ScatterGather: 1,
            Dma32BitAddresses: 1,
            Dma64BitAddresses: 1,
            InterfaceType: _INTERFACE_TYPE::PCIBus,
            MaximumLength: largest_transfer,
            ..DEVICE_DESCRIPTION::default()
        };
        let mut map_registers: ULONG = 0;
        // SAFETY: the device object is alive by its reference, the other pointers are to locals, and the token gives the
        // level the function demands.
        let adapter = unsafe { IoGetDmaAdapter(pdo.as_ptr(), &mut description, &mut map_registers) };
        let adapter = NonNull::new(adapter).ok_or(Status::NOT_SUPPORTED)?;
        Arc::new(tag, Inner(adapter)).map(Self)
    }

    /// One page, zeroed, that device and processor see alike.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES.
    pub fn common_page(&self, _irql: &Passive) -> Result<CommonPage> {
        let allocate = self.0.operations()?.AllocateCommonBuffer.ok_or(Status::NOT_SUPPORTED)?;
        let mut logical = PHYSICAL_ADDRESS { QuadPart: 0 };
        // SAFETY: the adapter is alive by its owner count, the pointer is to a local, and the token gives the level the
        // function demands. The buffer is cached: x64 devices snoop, and no-snoop is the client's choice.
        let memory = unsafe { allocate(self.0.0.as_ptr(), page::SIZE as ULONG, &mut logical, 1) };
        let memory = NonNull::new(memory).ok_or(Status::INSUFFICIENT_RESOURCES)?;
        let page = CommonPage { memory: memory.cast(), logical, adapter: self.clone() };
        for word in page.words() {
            word.store(0, core::sync::atomic::Ordering::Relaxed);
        }
        Ok(page)
    }
}

impl Inner {
    fn operations(&self) -> Result<&wdk_sys::DMA_OPERATIONS> {
        // SAFETY: the adapter is alive until `drop`.
        let table = unsafe { self.0.as_ref() }.DmaOperations;
        // SAFETY: the table belongs to the adapter and lives as long.
        unsafe { table.as_ref() }.ok_or(Status::NOT_SUPPORTED)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Ok(operations) = self.operations()
            && let Some(put) = operations.PutDmaAdapter
        {
            // SAFETY: IoGetDmaAdapter gave the adapter, and its last owner is gone, common buffers included.
            unsafe { put(self.0.as_ptr()) };
        }
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Adapter")
    }
}

/// One page that device and processor see alike (a common buffer). Dropped at PASSIVE_LEVEL.
pub struct CommonPage {
    memory: NonNull<[AtomicU64; WORDS]>,
    logical: PHYSICAL_ADDRESS,
    adapter: Adapter,
}

// SAFETY: the words are atomics, and the adapter may be used from any thread.
unsafe impl Send for CommonPage {}
// SAFETY: as for `Send`.
unsafe impl Sync for CommonPage {}

impl CommonPage {
    /// The words of the page. Atomics, because the device reads and writes them at any time.
    #[must_use]
    pub const fn words(&self) -> &[AtomicU64; WORDS] {
        // SAFETY: the buffer is a page, aligned to a page, and lives until `drop`.
        unsafe { self.memory.as_ref() }
    }

    /// Address under which the device reaches the page.
    #[must_use]
    pub fn logical(&self) -> u64 {
        physical(self.logical)
    }

    /// Address of the page in physical memory. Where it differs from [`CommonPage::logical`], DMA is remapped.
    #[must_use]
    pub fn physical(&self) -> u64 {
        // SAFETY: a common buffer is resident and mapped.
        physical(unsafe { MmGetPhysicalAddress(self.memory.as_ptr().cast()) })
    }
}

impl Drop for CommonPage {
    fn drop(&mut self) {
        if let Ok(operations) = self.adapter.0.operations()
            && let Some(free) = operations.FreeCommonBuffer
        {
            let adapter = self.adapter.0.0.as_ptr();
            // SAFETY: the same adapter, length, addresses and caching as in `common_page`; nobody uses the page any more.
            unsafe { free(adapter, page::SIZE as ULONG, self.logical, self.memory.as_ptr().cast(), 1) };
        }
    }
}

impl fmt::Debug for CommonPage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CommonPage at {:#x}", self.logical())
    }
}
