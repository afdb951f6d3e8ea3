//! Pool, MDLs, DMA adapters, user buffers: what they give. What they catch is shown by the drivers of `tests/defects`.

use nthost::memory::dma::Remapping;
use nthost::{Kernel, Machine};

fn machine() -> Machine {
    Machine::builder().cpus(1).memory(16 << 20).build().expect("a machine")
}

const NON_PAGED: u64 = 0x40;
const PAGED: u64 = 0x100;
const TAG: u64 = 0x7473_6554;

fn pool(k: &Kernel, size: u64) -> u64 {
    let block = k.call_export("ExAllocatePool2", &[NON_PAGED, size, TAG]);
    assert_ne!(block, 0);
    block
}

#[test]
fn pool_is_zeroed_and_page_sized_blocks_start_at_a_page() {
    machine()
        .run(|k| {
            for size in [1, 15, 16, 100, 4000, 4096, 5000] {
                let block = pool(k, size);
                assert_eq!(block % 16, 0);
                assert!(size < 4096 || block.is_multiple_of(4096));
                assert!(k.bytes(block, size as usize).iter().all(|&byte| byte == 0));
                k.call_export("ExFreePool", &[block]);
            }
            assert_eq!(
                k.call_export("ExAllocatePool2", &[NON_PAGED | PAGED, 8, TAG]),
                0,
                "two pools at once"
            );
        })
        .unwrap_or_else(|stop| panic!("{stop}"));
}

#[test]
fn pages_next_to_each_other_are_not_physically() {
    machine()
        .run(|k| {
            let block = pool(k, 32 * 4096);
            let frames: Vec<_> =
                (0..32).map(|page| k.physical(block + page * 4096).expect("memory")).collect();
            let neighbours = frames.windows(2).filter(|pair| pair[0] + 4096 == pair[1]).count();
            assert!(neighbours < 4, "{neighbours} of 31");
            k.call_export("ExFreePool", &[block]);
        })
        .unwrap_or_else(|stop| panic!("{stop}"));
}

#[test]
fn a_locked_mdl_names_the_frames_of_its_buffer_and_can_be_mapped() {
    machine()
        .run(|k| {
            let buffer = k.user_allocate(10_000, 123).expect("memory");
            k.write_bytes(buffer.address, &[7; 10_000]);
            let mdl = k.call_export("IoAllocateMdl", &[buffer.address, 10_000, 0, 0, 0]);
            k.call_export("MmProbeAndLockPages", &[mdl, 0, 0]);
            for page in 0..3 {
                let frame: u64 = k.read(mdl + 0x30 + page * 8);
                assert_eq!(Some(frame * 4096), k.physical(buffer.address - 123 + page * 4096));
            }
            let mapped = k.call_export("MmMapLockedPagesSpecifyCache", &[mdl, 0, 1, 0, 0, 16]);
            assert_ne!(mapped, buffer.address);
            assert_eq!(k.bytes(mapped, 10_000), [7; 10_000]);
            k.write(mapped + 9_999, 9u8);
            assert_eq!(k.read::<u8>(buffer.address + 9_999), 9);
            k.call_export("MmUnlockPages", &[mdl]);
            k.call_export("IoFreeMdl", &[mdl]);
            assert_eq!(k.user_guard_damage(buffer), None);
            k.write(buffer.address + 10_000, 0u8);
            assert_eq!(k.user_guard_damage(buffer), Some(buffer.address + 10_000));
            k.user_free(buffer);
        })
        .unwrap_or_else(|stop| panic!("{stop}"));
}

/// A DMA adapter for a made-up device, of a DEVICE_DESCRIPTION version 2 with 64-bit addresses.
fn adapter(k: &Kernel, device: u64) -> u64 {
    let description = k.system_allocate(0x38, "DEVICE_DESCRIPTION");
    k.write(description, 2u32);
    k.write_bytes(description + 4, &[1, 1, 0, 0, 1, 0, 0, 1]);
    let adapter = k.call_export("IoGetDmaAdapter", &[device, description, 0]);
    assert_ne!(adapter, 0);
    adapter
}

/// Calls an entry of the adapter's DMA_OPERATIONS by its offset (wdm.h).
fn operation(k: &Kernel, adapter: u64, offset: u64, arguments: &[u64]) -> u64 {
    let table: u64 = k.read(adapter + 8);
    k.call("DMA operation", k.read(table + offset), arguments)
}

const PUT: u64 = 8;
const ALLOCATE: u64 = 16;
const FREE: u64 = 24;

fn common_buffer(k: &Kernel, adapter: u64, length: u64) -> (u64, u64) {
    let logical = k.system_allocate(8, "logical address");
    let buffer = operation(k, adapter, ALLOCATE, &[adapter, length, logical, 1]);
    assert_ne!(buffer, 0);
    (buffer, k.read(logical))
}

#[test]
fn a_common_buffer_is_seen_by_the_device_at_its_bus_address() {
    for remapping in [false, true] {
        let mut machine =
            Machine::builder().cpus(1).memory(16 << 20).remapping(remapping).build().expect("a machine");
        machine
            .run(|k| {
                let device = k.system_allocate(64, "a device");
                let domain = k.dma_register(device, Remapping::Allowed);
                let adapter = adapter(k, device);
                let (buffer, bus) = common_buffer(k, adapter, 8192);
                assert_eq!(remapping, bus != k.physical(buffer).expect("memory"));
                k.dma_write(domain, bus + 4090, b"across a page").expect("memory answers");
                assert_eq!(k.bytes(buffer + 4090, 13), b"across a page");
                k.dma_store(domain, bus + 8, 0x1234).expect("memory answers");
                let mut word = [0; 8];
                k.dma_read(domain, bus + 8, &mut word).expect("memory answers");
                assert_eq!(u64::from_le_bytes(word), 0x1234);
                if remapping {
                    let physical = k.physical(buffer).expect("memory");
                    assert!(
                        k.dma_read(domain, physical, &mut word).is_err(),
                        "physical addresses mean nothing"
                    );
                    assert_eq!(word, [0xFF; 8]);
                    assert!(k.dma_read(domain, bus + 8192, &mut word).is_err(), "nothing behind the buffer");
                }
                operation(k, adapter, FREE, &[adapter, 8192, bus, buffer, 1]);
                operation(k, adapter, PUT, &[adapter]);
                assert!(k.adapters_of(device).is_empty());
            })
            .unwrap_or_else(|stop| panic!("{stop}"));
    }
}

#[test]
fn a_device_that_opted_out_is_not_remapped() {
    let mut machine = Machine::builder().cpus(1).memory(16 << 20).remapping(true).build().expect("a machine");
    machine
        .run(|k| {
            let device = k.system_allocate(64, "a device");
            let domain = k.dma_register(device, Remapping::OptedOut);
            assert!(!k.dma_is_remapped(domain));
        })
        .expect("no stop");
}

#[test]
fn an_allocation_beyond_memory_fails_and_loses_nothing() {
    machine()
        .run(|k| {
            assert_eq!(k.call_export("ExAllocatePool2", &[NON_PAGED, 1 << 30, TAG]), 0);
            let block = pool(k, 4 << 20);
            k.call_export("ExFreePool", &[block]);
        })
        .unwrap_or_else(|stop| panic!("{stop}"));
}
