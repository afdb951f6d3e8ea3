//! The kernel's functions that the drivers call, each as Microsoft Learn has it under its name.

#![allow(non_snake_case, missing_docs, reason = "the names are the kernel's, and so is their documentation")]

use core::ffi::c_void;
use core::ptr::null_mut;

use wdk_sys::{
    DEVICE_OBJECT, DRIVER_OBJECT, GUID, HANDLE, IRP, KDPC, KEVENT, KSEMAPHORE, KTIMER, MDL, NTSTATUS,
    OBJECT_ATTRIBUTES, PROCESSOR_NUMBER, UNICODE_STRING,
};

/// KDEFERRED_ROUTINE.
pub type DpcRoutine = extern "C" fn(*mut KDPC, *mut c_void, *mut c_void, *mut c_void);
/// KSTART_ROUTINE.
pub type ThreadRoutine = extern "C" fn(*mut c_void);
/// IO_WORKITEM_ROUTINE.
pub type WorkRoutine = extern "C" fn(*mut DEVICE_OBJECT, *mut c_void);

#[link(name = "ntoskrnl.exe", kind = "raw-dylib", modifiers = "+verbatim")]
unsafe extern "C" {
    pub safe fn ExAllocatePool2(flags: u64, bytes: usize, tag: u32) -> *mut c_void;
    pub safe fn ExFreePool(block: *mut c_void);
    pub safe fn ExFreePoolWithTag(block: *mut c_void, tag: u32);
    pub safe fn memcpy(to: *mut c_void, from: *const c_void, bytes: usize) -> *mut c_void;

    pub safe fn KfRaiseIrql(new: u8) -> u8;
    pub safe fn KeLowerIrql(new: u8);
    pub safe fn KeEnterCriticalRegion();
    pub safe fn KeLeaveCriticalRegion();
    pub safe fn KeStallExecutionProcessor(microseconds: u32);
    pub safe fn KeQueryPerformanceCounter(frequency: *mut i64) -> i64;
    pub safe fn KeBugCheckEx(code: u32, first: u64, second: u64, third: u64, fourth: u64) -> !;

    pub safe fn KeInitializeSpinLock(lock: *mut u64);
    pub safe fn KeAcquireSpinLockRaiseToDpc(lock: *mut u64) -> u8;
    pub safe fn KeReleaseSpinLock(lock: *mut u64, old: u8);
    pub safe fn KeAcquireSpinLockAtDpcLevel(lock: *mut u64);
    pub safe fn KeReleaseSpinLockFromDpcLevel(lock: *mut u64);

    pub safe fn ExAcquireFastMutex(mutex: *mut FastMutex);
    pub safe fn ExReleaseFastMutex(mutex: *mut FastMutex);
    pub safe fn ExInitializePushLock(lock: *mut u64);
    pub safe fn ExAcquirePushLockExclusiveEx(lock: *mut u64, flags: u32);
    pub safe fn ExReleasePushLockExclusiveEx(lock: *mut u64, flags: u32);
    pub safe fn ExInitializeRundownProtection(reference: *mut u64);
    pub safe fn ExAcquireRundownProtection(reference: *mut u64) -> u8;
    pub safe fn ExReleaseRundownProtection(reference: *mut u64);

    pub safe fn KeInitializeEvent(event: *mut KEVENT, kind: i32, signaled: u8);
    pub safe fn KeSetEvent(event: *mut KEVENT, increment: i32, wait: u8) -> i32;
    pub safe fn KeInitializeMutex(mutex: *mut Mutex, level: u32);
    pub safe fn KeReleaseMutex(mutex: *mut Mutex, wait: u8) -> i32;
    pub safe fn KeInitializeSemaphore(semaphore: *mut KSEMAPHORE, count: i32, limit: i32);
    pub safe fn KeReleaseSemaphore(
        semaphore: *mut KSEMAPHORE,
        increment: i32,
        adjustment: i32,
        wait: u8,
    ) -> i32;
    pub safe fn KeWaitForSingleObject(
        object: *mut c_void,
        reason: i32,
        mode: i8,
        alertable: u8,
        timeout: *const i64,
    ) -> NTSTATUS;
    pub safe fn KeWaitForMultipleObjects(
        count: u32,
        objects: *const *mut c_void,
        kind: i32,
        reason: i32,
        mode: i8,
        alertable: u8,
        timeout: *const i64,
        blocks: *mut c_void,
    ) -> NTSTATUS;
    pub safe fn KeDelayExecutionThread(mode: i8, alertable: u8, interval: *const i64) -> NTSTATUS;

    pub safe fn KeInitializeDpc(dpc: *mut KDPC, routine: DpcRoutine, context: *mut c_void);
    pub safe fn KeInsertQueueDpc(dpc: *mut KDPC, first: *mut c_void, second: *mut c_void) -> u8;
    pub safe fn KeSetTargetProcessorDpcEx(dpc: *mut KDPC, number: *const PROCESSOR_NUMBER) -> NTSTATUS;
    pub safe fn KeRemoveQueueDpc(dpc: *mut KDPC) -> u8;
    pub safe fn KeFlushQueuedDpcs();
    pub safe fn KeInitializeTimerEx(timer: *mut KTIMER, kind: i32);
    pub safe fn KeSetTimer(timer: *mut KTIMER, due: i64, dpc: *mut KDPC) -> u8;
    pub safe fn KeCancelTimer(timer: *mut KTIMER) -> u8;

    pub safe fn PsCreateSystemThread(
        handle: *mut HANDLE,
        access: u32,
        attributes: *mut OBJECT_ATTRIBUTES,
        process: HANDLE,
        client: *mut c_void,
        routine: ThreadRoutine,
        context: *mut c_void,
    ) -> NTSTATUS;
    pub safe fn ObReferenceObjectByHandle(
        handle: HANDLE,
        access: u32,
        kind: *mut c_void,
        mode: i8,
        object: *mut *mut c_void,
        information: *mut c_void,
    ) -> NTSTATUS;
    pub safe fn ObfReferenceObject(object: *mut c_void) -> i64;
    pub safe fn ObfDereferenceObject(object: *mut c_void) -> i64;
    pub safe fn ZwClose(handle: HANDLE) -> NTSTATUS;
    pub safe fn EtwRegister(
        id: *const GUID,
        callback: *mut c_void,
        context: *mut c_void,
        handle: *mut u64,
    ) -> NTSTATUS;
    pub safe fn EtwUnregister(handle: u64) -> NTSTATUS;

    pub safe fn IoAllocateWorkItem(device: *mut DEVICE_OBJECT) -> *mut c_void;
    pub safe fn IoFreeWorkItem(item: *mut c_void);
    pub safe fn IoQueueWorkItem(item: *mut c_void, routine: WorkRoutine, queue: i32, context: *mut c_void);

    pub safe fn IoAllocateMdl(
        address: *mut c_void,
        length: u32,
        secondary: u8,
        quota: u8,
        irp: *mut IRP,
    ) -> *mut MDL;
    pub safe fn IoFreeMdl(mdl: *mut MDL);
    pub safe fn IoBuildPartialMdl(source: *mut MDL, target: *mut MDL, address: *mut c_void, length: u32);
    pub safe fn MmBuildMdlForNonPagedPool(mdl: *mut MDL);
    pub safe fn MmProbeAndLockPages(mdl: *mut MDL, mode: i8, operation: i32);
    pub safe fn MmUnlockPages(mdl: *mut MDL);
    pub safe fn MmMapLockedPagesSpecifyCache(
        mdl: *mut MDL,
        mode: i8,
        cache: i32,
        base: *mut c_void,
        bug_check: u32,
        priority: u32,
    ) -> *mut c_void;
    pub safe fn MmUnmapLockedPages(address: *mut c_void, mdl: *mut MDL);
    pub safe fn MmFreePagesFromMdl(mdl: *mut MDL);
    pub safe fn MmAllocatePagesForMdlEx(
        lowest: i64,
        highest: i64,
        skip: i64,
        bytes: usize,
        cache: i32,
        flags: u32,
    ) -> *mut MDL;
    pub safe fn MmAllocateContiguousMemory(bytes: usize, highest: i64) -> *mut c_void;
    pub safe fn MmFreeContiguousMemory(address: *mut c_void);
    pub safe fn MmGetPhysicalAddress(address: *mut c_void) -> i64;
    pub safe fn MmMapIoSpaceEx(physical: i64, bytes: usize, protection: u32) -> *mut c_void;
    pub safe fn MmUnmapIoSpace(address: *mut c_void, bytes: usize);

    pub safe fn IoCreateDevice(
        driver: *mut DRIVER_OBJECT,
        extension: u32,
        name: *mut UNICODE_STRING,
        kind: u32,
        characteristics: u32,
        exclusive: u8,
        device: *mut *mut DEVICE_OBJECT,
    ) -> NTSTATUS;
    pub safe fn IoDeleteDevice(device: *mut DEVICE_OBJECT);
    pub safe fn IoAttachDeviceToDeviceStack(
        source: *mut DEVICE_OBJECT,
        target: *mut DEVICE_OBJECT,
    ) -> *mut DEVICE_OBJECT;
    pub safe fn IoDetachDevice(target: *mut DEVICE_OBJECT);
    pub safe fn IofCallDriver(device: *mut DEVICE_OBJECT, irp: *mut IRP) -> NTSTATUS;
    pub safe fn IofCompleteRequest(irp: *mut IRP, boost: i8);
    pub safe fn IoRegisterDeviceInterface(
        pdo: *mut DEVICE_OBJECT,
        class: *const GUID,
        reference: *mut UNICODE_STRING,
        link: *mut UNICODE_STRING,
    ) -> NTSTATUS;
    pub safe fn IoSetDeviceInterfaceState(link: *mut UNICODE_STRING, enable: u8) -> NTSTATUS;
    pub safe fn IoGetDmaAdapter(
        device: *mut DEVICE_OBJECT,
        description: *mut wdk_sys::DEVICE_DESCRIPTION,
        map_registers: *mut u32,
    ) -> *mut wdk_sys::DMA_ADAPTER;
    pub safe fn IoConnectInterruptEx(parameters: *mut c_void) -> NTSTATUS;
    pub safe fn IoDisconnectInterruptEx(parameters: *mut c_void);
}

/// FAST_MUTEX: Count, Owner, Contention, Event, OldIrql.
pub type FastMutex = wdk_sys::FAST_MUTEX;
/// KMUTEX.
pub type Mutex = wdk_sys::KMUTEX;

/// ExInitializeFastMutex, which is inline in wdm.h: a count of one and a synchronization event.
pub fn initialize_fast_mutex(mutex: *mut FastMutex) {
    // SAFETY: the caller's mutex, which nobody uses yet.
    let mutex = unsafe { &mut *mutex };
    mutex.Count = 1;
    KeInitializeEvent(&mut mutex.Event, 1, 0);
}

/// KeWaitForSingleObject without a limit.
pub fn wait<T>(object: *mut T) -> NTSTATUS {
    KeWaitForSingleObject(object.cast(), 0, 0, 0, null_mut())
}

/// Waits for so many milliseconds.
pub fn sleep(milliseconds: i64) {
    let interval = milliseconds.wrapping_mul(-10_000);
    KeDelayExecutionThread(0, 0, &interval);
}

/// A system thread of the driver's own: wait for it with [`join`].
#[must_use]
pub fn spawn(routine: ThreadRoutine) -> *mut c_void {
    let (mut handle, mut thread) = (null_mut(), null_mut());
    PsCreateSystemThread(&mut handle, 0x1F_FFFF, null_mut(), null_mut(), null_mut(), routine, null_mut());
    ObReferenceObjectByHandle(handle, 0x1F_FFFF, null_mut(), 0, &mut thread, null_mut());
    ZwClose(handle);
    thread
}

/// Waits until a thread has ended, and gives it back.
pub fn join(thread: *mut c_void) {
    wait(thread);
    ObfDereferenceObject(thread);
}
