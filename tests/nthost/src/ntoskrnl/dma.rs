//! DMA adapters and common buffers.

pub(crate) mod operations;

use std::collections::BTreeMap;

use super::mm::pages_of;
use crate::export::PASSIVE;
use crate::kernel::Kernel;
use crate::memory::Create;
use crate::memory::dma::{DmaDomain, Remapping};
use crate::memory::physical::{PAGE, Placement};
use crate::memory::space::Kind;
use crate::stop::{Fault, bugcheck};

/// What drivers have of adapters.
#[derive(Debug, Default)]
pub(crate) struct Adapters {
    adapters: BTreeMap<u64, Adapter>,
    /// Tables of functions by the number of entries they have.
    tables: BTreeMap<usize, u64>,
}

#[derive(Debug, Clone)]
struct Adapter {
    device: u64,
    domain: DmaDomain,
    /// Highest bus address the device reaches.
    highest: u64,
    made_by: u64,
    /// Common buffers by virtual address: bus address and length as asked for.
    buffers: BTreeMap<u64, (u64, u64)>,
}

/// Bytes of a `DMA_ADAPTER`: Version, Size, DmaOperations at 8 (wdm.h). What follows is the kernel's own.
const ADAPTER_SIZE: u64 = 0x40;

/// `DEVICE_DESCRIPTION` (wdm.h): Version, eight BOOLEANs from 4 on, DmaAddressWidth at 0x2C.
const DMA32: u64 = 8;
const DMA64: u64 = 11;
const ADDRESS_WIDTH: u64 = 0x2C;
const VERSION3: u32 = 3;

fn violation(code: u64, meaning: &'static str) -> Fault {
    Fault::new("DMA Checking", bugcheck::DRIVER_VERIFIER_DMA_VIOLATION).parameter(code, meaning)
}

/// The adapter, or a stop: a null, released or foreign pointer is bug check 0xE6.
fn adapter(k: &Kernel, address: u64) -> Adapter {
    if let Some(adapter) = k.services.adapters.with(|adapters| adapters.adapters.get(&address).cloned()) {
        return adapter;
    }
    let (code, meaning) = if address == 0 {
        (0x19, "a null DMA_ADAPTER")
    } else {
        (0x18, "an adapter that no longer exists is used")
    };
    k.stop(violation(code, meaning).parameter(address, "the DMA adapter").text(k.describe_address(address)));
}

fn allocate(k: &Kernel, address: u64, length: u64, logical: u64, highest: u64) -> u64 {
    let adapter = adapter(k, address);
    let pages = pages_of(0, length);
    if length == 0 {
        return 0;
    }
    let highest = highest.min(adapter.highest);
    // A remapped device sees the pages in a row wherever they are; any other needs them so.
    let contiguous = !k.dma_is_remapped(adapter.domain);
    let mut create = Create::new(Kind::Contiguous("common buffer".to_owned()), length);
    create.placement = Placement { highest: if contiguous { highest } else { u64::MAX }, contiguous };
    create.fill = 0xA5;
    create.made_by = k.caller_address();
    let Some(buffer) = k.memory.create(&create) else { return 0 };
    let frames: Vec<_> =
        (0..pages).filter_map(|page| k.memory.space.frame_of(buffer + page * PAGE)).collect();
    let bus = k.dma_map(adapter.domain, &frames, highest);
    k.services.adapters.with(|adapters| {
        adapters.adapters.get_mut(&address).map(|adapter| adapter.buffers.insert(buffer, (bus, length)))
    });
    k.write(logical, bus);
    buffer
}

/// Memory that a driver shares with its device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommonBuffer {
    /// Where drivers see it.
    pub address: u64,
    /// Where the device sees it.
    pub bus: u64,
    /// Its length in bytes, as asked for.
    pub length: u64,
}

impl Kernel {
    /// The common buffers that drivers have.
    #[must_use]
    pub fn common_buffers(&self) -> Vec<CommonBuffer> {
        self.services.adapters.with(|adapters| {
            let buffers = adapters.adapters.values().flat_map(|adapter| &adapter.buffers);
            buffers.map(|(&address, &(bus, length))| CommonBuffer { address, bus, length }).collect()
        })
    }

    /// Adapters of a device that were not put back, in words. Windows' verifier looks when the device is stopped and
    /// removed (Learn, PutDmaAdapter; bug check 0xE6).
    #[must_use]
    pub fn adapters_of(&self, device: u64) -> Vec<String> {
        self.adapters_where(|adapter| adapter.device == device)
    }

    /// Adapters that code in an image has got and not put back.
    pub(crate) fn adapters_made_by(&self, image: impl Fn(u64) -> bool) -> Vec<String> {
        self.adapters_where(|adapter| image(adapter.made_by))
    }

    fn adapters_where(&self, select: impl Fn(&Adapter) -> bool) -> Vec<String> {
        let found: Vec<_> = self.services.adapters.with(|adapters| {
            adapters
                .adapters
                .values()
                .filter(|adapter| select(adapter))
                .map(|a| (a.made_by, a.buffers.len()))
                .collect()
        });
        let describe = |(made_by, buffers)| {
            format!("DMA adapter from {} with {buffers} common buffers", self.symbol(made_by))
        };
        found.into_iter().map(describe).collect()
    }

    /// Stops the machine when a device that is being stopped or removed still has adapters out.
    pub fn check_adapters_returned(&self, device: u64, when: &str) {
        let out = self.adapters_of(device);
        if !out.is_empty() {
            self.stop(
                violation(0x11, "adapters are still referenced")
                    .parameter(out.len() as u64, "how many")
                    .text(format!("at {when} the device's driver still has {}", out.join(", "))),
            );
        }
    }
}

crate::export::exports! {
    module "ntoskrnl.exe";

    /// The DMA adapter of a device, or null.
    fn IoGetDmaAdapter(k; device: u64, description: u64, map_registers: u64) -> u64 [PASSIVE, "Learn, IoGetDmaAdapter"] {
        if k.allocation_fails() {
            return 0;
        }
        let version: u32 = k.read(description);
        if version > VERSION3 {
            k.stop(violation(0x25, "unknown device description version").parameter(u64::from(version), "the version"));
        }
        let device = k.bottom_of_stack(device);
        let [dma32, dma64] = [DMA32, DMA64].map(|field| k.read::<u8>(description + field) != 0);
        let width = if version == VERSION3 { k.read::<u32>(description + ADDRESS_WIDTH) } else { 0 };
        let highest = match (width, dma64, dma32) {
            (1..=63, _, _) => (1 << width) - 1,
            (_, true, _) | (64.., _, _) => u64::MAX,
            (_, false, true) => 0xFFFF_FFFF,
            // Neither: a device with 24 address lines (Learn, DEVICE_DESCRIPTION).
            (_, false, false) => 0x00FF_FFFF,
        };
        let domain = k.dma_domain(device).unwrap_or_else(|| k.dma_register(device, Remapping::Allowed));
        let entries = if version == VERSION3 { operations::ENTRIES_V3 } else { operations::ENTRIES_V1 };
        let address = k.system_allocate(ADAPTER_SIZE, "DMA adapter");
        k.write(address, if version == VERSION3 { 3u16 } else { 1 });
        k.write(address + 2, ADAPTER_SIZE as u16);
        k.write(address + 8, operations::table(k, entries));
        if map_registers != 0 {
            k.write(map_registers, u32::MAX);
        }
        let entry = Adapter { device, domain, highest, made_by: k.caller_address(), buffers: BTreeMap::new() };
        k.services.adapters.with(|adapters| adapters.adapters.insert(address, entry));
        address
    }
}
