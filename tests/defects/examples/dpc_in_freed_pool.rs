//! Frees the memory of a DPC that is queued.
#![no_std]
#![no_main]

use defects::*;

extern "C" fn routine(_dpc: *mut KDPC, _context: *mut c_void, _first: *mut c_void, _second: *mut c_void) {}

fn start(_driver: *mut DRIVER_OBJECT) {
    let dpc = allocate::<KDPC>(size_of::<KDPC>());
    KeInitializeDpc(dpc, routine, null_mut());
    let old = KfRaiseIrql(2);
    KeInsertQueueDpc(dpc, null_mut(), null_mut());
    mistake!(0 => KeRemoveQueueDpc(dpc));
    ExFreePool(dpc.cast());
    KeLowerIrql(old);
}

service!(start);
