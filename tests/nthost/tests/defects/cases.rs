//! Which driver breaks which rule.

use crate::lives::Life;

/// One driver of `tests/defects`.
#[derive(Debug)]
pub struct Case {
    /// The source's name.
    pub driver: &'static str,
    /// What it needs to live.
    pub life: Life,
    /// The rule that must stop it, and its bug check.
    pub rule: &'static str,
    pub code: u32,
    /// Part of what the stop must say.
    pub says: &'static str,
}

macro_rules! cases {
    ($($life:ident { $($driver:ident: $rule:literal $code:literal $says:literal;)* })*) => {
        &[$($(Case {
            driver: stringify!($driver), life: Life::$life, rule: $rule, code: $code, says: $says,
        }),*),*]
    };
}

/// All of them.
pub static CASES: &[Case] = cases! {
    Service {
        pool_overrun: "Special Pool" 0xD6 "1 bytes past the end of nonpaged pool block";
        pool_underrun: "Special Pool" 0xC1 "bytes around pool block";
        pool_overrun_in_slack: "Special Pool" 0xC1 "of 20 bytes were overwritten";
        pool_freed_from_the_middle: "Special Pool" 0xC2 "lies inside pool block";
        pool_use_after_free: "Special Pool" 0xD5 "of 32 bytes + 0x0, made by";
        pool_double_free: "Special Pool" 0xC2 "freed twice";
        pool_wrong_tag: "Pool" 0xC2 "has tag 'Defe' and is freed with 'Oops'";
        pool_without_tag: "Pool" 0xC2 "without a tag";
        pool_leak: "Pool Tracking" 0xC4 "has not freed 1 pool allocations: 'Defe' 32 bytes";
        pool_paged_at_dispatch: "IrqlExAllocatePool" 0xC4 "allocated at IRQL 2";
        timer_in_freed_pool: "LiveObject" 0xC7 "a timer that is set";
        dpc_in_freed_pool: "LiveObject" 0xC7 "a queued DPC";
        lock_in_freed_pool: "LiveObject" 0xC4 "a held spin lock";
        event_in_freed_pool: "LiveObject" 0xC4 "an object that a thread waits for";
        locked_pages_in_freed_pool: "LiveObject" 0xC4 "pages locked by an MDL";
        timer_at_unload: "Unload" 0xCE "timer set with routine";
        dpc_at_unload: "Unload" 0xCE "routine";
        thread_at_unload: "Unload" 0xCE "running";
        work_item_at_unload: "Unload" 0xCE "work item";
        contiguous_memory_at_unload: "Unload" 0xCE "contiguous memory";
        handle_at_unload: "Unload" 0xCE "handle";
        trace_provider_at_unload: "Unload" 0xCE "provider";
        call_above_its_irql: "IrqlCheck" 0xC4 "KeFlushQueuedDpcs was called at IRQL 2";
        wait_at_dispatch: "IrqlKeDispatchLte" 0xA "wait at IRQL 2";
        irql_raised_down: "IrqlKeRaiseLower" 0x9 "raised from 2 to 1";
        irql_lowered_up: "IrqlKeRaiseLower" 0xA "lowered from 0 to 2";
        irql_not_restored: "IrqlReturn" 0xC8 "entered at IRQL 0 and returned at 2";
        lock_not_released: "SpinLockReturn" 0xC4 "lock_not_released.sys!";
        stall_for_long: "StallTooLong" 0xC4 "200000 microseconds";
        poll_at_dispatch: "DpcWatchdog" 0x133 "";
        lock_taken_twice: "Deadlock" 0x0F "takes a spin lock that it holds already";
        callback_under_a_lock: "Deadlock" 0x0F "takes a spin lock that it holds already";
        lock_order: "Deadlock" 0xC4 "the other way round";
        lock_circle: "Deadlock" 0xC4 "the other way round";
        lock_never_taken: "SpinLockRelease" 0x10 "releases a spin lock that it does not hold";
        lock_overwritten: "SpinLockValue" 0xC4 "holds 0x5555";
        irql_lowered_under_a_lock: "SpinLockIrql" 0xC4 "lowered to 0 with a spin lock held";
        mutex_taken_twice: "Deadlock" 0xC4 "a lock that it holds already";
        mutex_never_taken: "LockOwner" 0xC4 "a thread that does not hold it";
        kernel_mutex_never_taken: "MutexOwner" 0x1E "a thread that does not hold it";
        push_lock_outside_a_region: "CriticalRegions" 0xC4 "outside a critical region";
        rundown_released_twice: "Rundown" 0xC4 "more often than taken";
        semaphore_beyond_its_limit: "SemaphoreLimit" 0x1E "beyond its limit";
        event_set_to_wait_at_dispatch: "IrqlKeSetEvent" 0xC4 "Wait TRUE";
        wait_for_no_object: "WaitObject" 0xC4 "type 77";
        wait_for_too_many: "WaitObjects" 0xC "a wait for 4 objects";
        dpc_not_initialised: "DpcObject" 0xC4 "no initialised DPC";
        timer_initialised_again: "TimerObject" 0xC7 "initialised again";
        object_dereferenced_twice: "ObReference" 0x18 "no object";
        mdl_freed_locked: "MdlLocked" 0xC4 "still locks its pages";
        mdl_not_initialised: "MdlInvalid" 0xC4 "no valid MDL";
        mdl_of_paged_pool: "MdlNonPaged" 0xC4 "pageable memory";
        mdl_locked_at_dispatch: "IrqlMmProbeAndLockPages" 0xC4 "locked at IRQL 2";
        mdl_unmapped_twice: "MdlMapped" 0xC4 "not mapped";
        mdl_pages_of_another: "MdlPages" 0xC4 "owns no pages";
        contiguous_memory_from_pool: "ContiguousMemory" 0xC2 "freed as contiguous memory";
        copy_overlaps: "Overlap" 0xC4 "the ranges overlap";
        work_item_queued_twice: "WorkItemQueued" 0xC4 "queued already";
        work_item_freed_twice: "WorkItem" 0xC4 "no work item";
        data_executed: "DriverCode" 0xFC "data_executed.sys +";
        code_written: "WriteProtection" 0xBE "code_written.sys +";
        null_pointer: "InvalidAddress" 0x50 "near null";
        breakpoint: "Exception" 0x1E "a breakpoint";
        fast_fail: "FastFail" 0x139 "__fastfail";
        shared_page_written: "SharedPage" 0xBE "offset 0x320";
        stack_used_up: "KernelStack" 0x2B "used up";
        wait_for_ever: "Watchdog" 0 "every thread waits";
        bug_check: "KeBugCheckEx" 0xE2 "the driver asked";
        device_deleted_under_another: "AttachedDevice" 0xCA "another one is attached";
        no_device_deleted: "DeviceObject" 0xC9 "no device object";
    }
    Device {
        irp_completed_twice: "DoubleCompletion" 0x44 "completed a second time";
        irp_completed_as_pending: "StatusPending" 0xC9 "status 0x103";
        irp_completed_cancelable: "CancelRoutine" 0xC9 "while it has a cancel routine";
        irp_sent_too_deep: "IoStackLocations" 0x35 "further down than its stack is deep";
        device_stays_attached: "PnpRemove" 0xCA "still attached";
        interface_left_on: "DeviceInterface" 0xCA "still on";
        device_not_deleted: "DeviceObjectLeak" 0xCE "leaves 1 device object";
        pdo_dereferenced_twice: "ObReference" 0x18 "is dereferenced more often";
        registers_left_mapped: "Unload" 0xCE "device registers";
        registers_unmapped_in_part: "MapRegisters" 0xC4 "0x800 bytes";
        registers_mapped_elsewhere: "MapRegisters" 0xC4 "neither does a device answer there";
        register_read_too_wide: "RegisterAccess" 0x1E "which hosted devices do not answer";
        interrupt_left_connected: "Unload" 0xCE "interrupt connected to";
        adapter_not_put: "DMA Checking" 0xE6 "IRP_MN_STOP_DEVICE";
        adapter_used_after_put: "DMA Checking" 0xE6 "";
        adapter_put_before_its_buffer: "DMA Checking" 0xE6 "";
        common_buffer_freed_twice: "DMA Checking" 0xE6 "";
        common_buffer_freed_in_part: "DMA Checking" 0xE6 "allocated: 4096 bytes";
        common_buffer_overrun: "Bounds" 0x50 "1 bytes past the end of common buffer";
        device_writes_to_freed_memory: "DMA Checking" 0xE6 "that has been freed";
        request_completed_twice: "WdfObjectHandle" 0x10D "deleted, foreign or garbage";
        request_used_after_completion: "WdfRequestCompleted" 0x10D "used after it was completed";
        request_completed_cancelable: "WdfRequestCancelable" 0x10D "while it is cancelable";
        framework_device_deleted: "WdfObjectDelete" 0x10D "belongs to the framework";
        framework_object_dereferenced_twice: "WdfObjectReference" 0x10D "never took";
        framework_object_left_referenced: "WdfObjectLeak" 0x10D "still exist";
        framework_object_used_after_delete: "WdfObjectHandle" 0x10D "deleted, foreign or garbage";
        device_init_used_after_create: "WdfDeviceInit" 0x10D "any more";
        framework_structure_size: "WdfStructureSize" 0x10D "";
        file_object_attributes: "WdfObjectAttributes" 0x10D "attributes of file objects";
        bus_interface_dereferenced_twice: "InterfaceReference" 0x18 "more often than it was referenced";
        interrupt_lock_without_resources: "WdfInterruptLock" 0x10D "without resources";
        framework_globals_overwritten: "WdfDriverGlobals" 0x10D "no driver globals";
        driver_stays_bound: "WdfVersionUnbind" 0x10D "without unbinding";
    }
    Line {
        line_never_released: "InterruptStorm" 0xF2 "no service routine claims it";
    }
};
