//! Pool, MDLs, DMA adapters, user buffers: what they give and what they catch.

use nthost::memory::dma::Remapping;
use nthost::{Kernel, Machine, Stop};

fn machine() -> Machine {
    Machine::builder().cpus(1).memory(16 << 20).build().expect("a machine")
}

fn stop_of(work: impl FnOnce(&Kernel)) -> Box<Stop> {
    machine().run(work).expect_err("a stop")
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
fn a_read_past_the_end_of_a_block_stops_the_machine() {
    let stop = stop_of(|k| {
        let block = pool(k, 32);
        k.call_export("RtlCompareMemory", &[block, block + 1, 32]);
    });
    assert_eq!(stop.name, "DRIVER_PAGE_FAULT_BEYOND_END_OF_ALLOCATION", "{stop}");
    assert!(stop.text.contains("1 bytes past the end"), "{stop}");
}

#[test]
fn a_use_after_free_stops_the_machine_and_says_what_was_there() {
    let stop = stop_of(|k| {
        let block = pool(k, 32);
        k.call_export("ExFreePool", &[block]);
        k.call_export("memset", &[block, 0, 4]);
    });
    assert_eq!(stop.name, "DRIVER_PAGE_FAULT_IN_FREED_SPECIAL_POOL", "{stop}");
    assert!(stop.text.contains("'Test' of 32 bytes"), "{stop}");
}

#[test]
fn a_double_free_stops_the_machine() {
    let stop = stop_of(|k| {
        let block = pool(k, 32);
        k.call_export("ExFreePool", &[block]);
        k.call_export("ExFreePool", &[block]);
    });
    assert_eq!(stop.name, "BAD_POOL_CALLER", "{stop}");
    assert!(stop.text.contains("freed twice"), "{stop}");
}

#[test]
fn bytes_written_beside_a_block_are_found_when_it_is_freed() {
    for offset in [-1i64, 20, 31] {
        let stop = stop_of(|k| {
            let block = pool(k, 20);
            k.call_export("memset", &[block.wrapping_add_signed(offset), 0, 1]);
            k.call_export("ExFreePool", &[block]);
        });
        assert_eq!(stop.name, "SPECIAL_POOL_DETECTED_MEMORY_CORRUPTION", "{stop}");
    }
}

#[test]
fn freeing_with_another_tag_or_from_the_middle_stops_the_machine() {
    let stop = stop_of(|k| {
        let block = pool(k, 20);
        k.call_export("ExFreePoolWithTag", &[block, TAG + 1]);
    });
    assert!(stop.text.contains("has tag 'Test'"), "{stop}");
    let stop = stop_of(|k| {
        let block = pool(k, 64);
        k.call_export("ExFreePool", &[block + 16]);
    });
    assert!(stop.text.contains("lies inside pool block"), "{stop}");
}

#[test]
fn memory_that_holds_a_queued_dpc_or_a_set_timer_cannot_be_freed() {
    let stop = stop_of(|k| {
        let block = pool(k, 0x100);
        k.call_export("KeInitializeTimerEx", &[block + 0x40, 0]);
        k.call_export("KeSetTimer", &[block + 0x40, (-1_000_000i64) as u64, 0]);
        k.call_export("ExFreePool", &[block]);
    });
    assert_eq!(stop.name, "TIMER_OR_DPC_INVALID", "{stop}");
    assert!(stop.text.contains("a timer that is set"), "{stop}");
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

#[test]
fn a_buffer_whose_pages_are_locked_cannot_be_freed_nor_its_mdl() {
    let stop = stop_of(|k| {
        let block = k.call_export("ExAllocatePool2", &[PAGED, 100, TAG]);
        let mdl = k.call_export("IoAllocateMdl", &[block, 100, 0, 0, 0]);
        k.call_export("MmProbeAndLockPages", &[mdl, 0, 1]);
        k.call_export("ExFreePool", &[block]);
    });
    assert!(stop.text.contains("pages locked by an MDL"), "{stop}");
    let stop = stop_of(|k| {
        let block = k.call_export("ExAllocatePool2", &[PAGED, 100, TAG]);
        let mdl = k.call_export("IoAllocateMdl", &[block, 100, 0, 0, 0]);
        k.call_export("MmProbeAndLockPages", &[mdl, 0, 1]);
        k.call_export("IoFreeMdl", &[mdl]);
    });
    assert_eq!(stop.rule, "MdlLocked", "{stop}");
}

#[test]
fn paged_pool_at_dispatch_level_stops_the_machine() {
    let stop = stop_of(|k| {
        k.call_export("KfRaiseIrql", &[2]);
        k.call_export("ExAllocatePool2", &[PAGED, 100, TAG]);
    });
    assert_eq!(stop.rule, "IrqlExAllocatePool", "{stop}");
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
fn an_adapter_put_back_with_a_common_buffer_out_is_a_dma_violation() {
    let stop = stop_of(|k| {
        let device = k.system_allocate(64, "a device");
        let adapter = adapter(k, device);
        common_buffer(k, adapter, 4096);
        operation(k, adapter, PUT, &[adapter]);
    });
    assert_eq!((stop.code, stop.parameters[0].value), (0xE6, 7), "{stop}");
}

#[test]
fn an_adapter_used_after_it_was_put_back_is_a_dma_violation() {
    let stop = stop_of(|k| {
        let device = k.system_allocate(64, "a device");
        let adapter = adapter(k, device);
        let allocate = k.read(k.read::<u64>(adapter + 8) + ALLOCATE);
        operation(k, adapter, PUT, &[adapter]);
        k.call("AllocateCommonBuffer", allocate, &[adapter, 4096, 0, 1]);
    });
    assert_eq!((stop.code, stop.parameters[0].value), (0xE6, 0x18), "{stop}");
}

#[test]
fn an_adapter_that_is_out_when_the_device_stops_is_a_dma_violation() {
    let stop = stop_of(|k| {
        let device = k.system_allocate(64, "a device");
        adapter(k, device);
        k.check_adapters_returned(device, "IRP_MN_STOP_DEVICE");
    });
    assert_eq!((stop.code, stop.parameters[0].value), (0xE6, 0x11), "{stop}");
}

#[test]
fn a_common_buffer_freed_with_the_wrong_length_is_a_dma_violation() {
    let stop = stop_of(|k| {
        let device = k.system_allocate(64, "a device");
        let adapter = adapter(k, device);
        let (buffer, bus) = common_buffer(k, adapter, 4096);
        operation(k, adapter, FREE, &[adapter, 4000, bus, buffer, 1]);
    });
    assert_eq!((stop.code, stop.parameters[0].value), (0xE6, 3), "{stop}");
}

#[test]
fn a_device_that_writes_to_freed_memory_stops_the_machine() {
    let stop = stop_of(|k| {
        let device = k.system_allocate(64, "a device");
        let domain = k.dma_register(device, Remapping::Allowed);
        let block = pool(k, 64);
        let bus = k.physical(block).expect("memory");
        k.call_export("ExFreePool", &[block]);
        let _ = k.dma_write(domain, bus, &[1]);
    });
    assert_eq!(stop.rule, "DMA Checking", "{stop}");
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
