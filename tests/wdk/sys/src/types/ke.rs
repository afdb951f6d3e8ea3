//! The kernel proper: processors, interrupts, dispatcher objects, deferred calls.

use super::*;

opaque! {
    _KTHREAD: PKTHREAD, PRKTHREAD, PETHREAD;
    _EPROCESS: PEPROCESS;
    _KINTERRUPT: PKINTERRUPT;
}

callbacks! {
    KDEFERRED_ROUTINE | PKDEFERRED_ROUTINE(
        Dpc: *mut _KDPC, DeferredContext: PVOID, SystemArgument1: PVOID, SystemArgument2: PVOID);
    KSTART_ROUTINE | PKSTART_ROUTINE(StartContext: PVOID);
    KBUGCHECK_REASON_CALLBACK_ROUTINE | PKBUGCHECK_REASON_CALLBACK_ROUTINE(
        Reason: KBUGCHECK_CALLBACK_REASON, Record: *mut _KBUGCHECK_REASON_CALLBACK_RECORD,
        ReasonSpecificData: PVOID, ReasonSpecificDataLength: ULONG);
    KIPI_BROADCAST_WORKER | PKIPI_BROADCAST_WORKER(Argument: ULONG_PTR) -> ULONG_PTR;
}

enumerations! {
    _EVENT_TYPE = EVENT_TYPE { NotificationEvent = 0, SynchronizationEvent = 1 }
    _TIMER_TYPE = TIMER_TYPE { NotificationTimer = 0, SynchronizationTimer = 1 }
    _WAIT_TYPE = WAIT_TYPE { WaitAll = 0, WaitAny = 1 }
    _MODE = MODE { KernelMode = 0, UserMode = 1, MaximumMode = 2 }
    _KWAIT_REASON = KWAIT_REASON { Executive = 0 }
    _KBUGCHECK_CALLBACK_REASON = KBUGCHECK_CALLBACK_REASON {
        KbCallbackInvalid = 0,
        KbCallbackReserved1 = 1,
        KbCallbackSecondaryDumpData = 2,
        KbCallbackDumpIo = 3,
        KbCallbackAddPages = 4,
    }
    _KDPC_IMPORTANCE = KDPC_IMPORTANCE {
        LowImportance = 0,
        MediumImportance = 1,
        HighImportance = 2,
        MediumHighImportance = 3,
    }
    _KINTERRUPT_MODE = KINTERRUPT_MODE { LevelSensitive = 0, Latched = 1 }
}

structs! {
    _DISPATCHER_HEADER__bindgen_ty_1__bindgen_ty_1 { Type: UCHAR, Signalling: UCHAR, Size: UCHAR, Reserved1: UCHAR }
    _DISPATCHER_HEADER = DISPATCHER_HEADER, PDISPATCHER_HEADER {
        __bindgen_anon_1: _DISPATCHER_HEADER__bindgen_ty_1,
        SignalState: LONG,
        WaitListHead: LIST_ENTRY,
    }
    _KEVENT = KEVENT, PKEVENT, PRKEVENT { Header: DISPATCHER_HEADER }
    _KSEMAPHORE = KSEMAPHORE, PKSEMAPHORE, PRKSEMAPHORE { Header: DISPATCHER_HEADER, Limit: LONG }
    _KTIMER = KTIMER, PKTIMER, PRKTIMER {
        Header: DISPATCHER_HEADER,
        DueTime: ULARGE_INTEGER,
        TimerListEntry: LIST_ENTRY,
        Dpc: *mut _KDPC,
        Processor: USHORT,
        TimerType: USHORT,
        Period: ULONG,
    }
    _KMUTANT = KMUTANT, PKMUTANT, PRKMUTANT {
        Header: DISPATCHER_HEADER,
        MutantListEntry: LIST_ENTRY,
        OwnerThread: *mut _KTHREAD,
        __bindgen_anon_1: UCHAR,
        ApcDisable: UCHAR,
    }
    _KDPC__bindgen_ty_1__bindgen_ty_1 { Type: UCHAR, Importance: UCHAR, Number: USHORT }
    _KDPC = KDPC, PKDPC, PRKDPC {
        __bindgen_anon_1: _KDPC__bindgen_ty_1,
        DpcListEntry: SINGLE_LIST_ENTRY,
        ProcessorHistory: KAFFINITY,
        DeferredRoutine: PKDEFERRED_ROUTINE,
        DeferredContext: PVOID,
        SystemArgument1: PVOID,
        SystemArgument2: PVOID,
        DpcData: PVOID,
    }
    _KBUGCHECK_REASON_CALLBACK_RECORD = KBUGCHECK_REASON_CALLBACK_RECORD, PKBUGCHECK_REASON_CALLBACK_RECORD {
        Entry: LIST_ENTRY,
        CallbackRoutine: PKBUGCHECK_REASON_CALLBACK_ROUTINE,
        Component: PUCHAR,
        Checksum: ULONG_PTR,
        Reason: KBUGCHECK_CALLBACK_REASON,
        State: UCHAR,
    }
    _KBUGCHECK_SECONDARY_DUMP_DATA = KBUGCHECK_SECONDARY_DUMP_DATA, PKBUGCHECK_SECONDARY_DUMP_DATA {
        InBuffer: PVOID,
        InBufferLength: ULONG,
        MaximumAllowed: ULONG,
        Guid: GUID,
        OutBuffer: PVOID,
        OutBufferLength: ULONG,
    }
    _KBUGCHECK_ADD_PAGES = KBUGCHECK_ADD_PAGES, PKBUGCHECK_ADD_PAGES {
        Context: PVOID,
        Flags: ULONG,
        BugCheckCode: ULONG,
        Address: ULONG_PTR,
        Count: ULONG_PTR,
    }
    _KDEVICE_QUEUE = KDEVICE_QUEUE, PKDEVICE_QUEUE {
        Type: CSHORT,
        Size: CSHORT,
        DeviceListHead: LIST_ENTRY,
        Lock: KSPIN_LOCK,
        __bindgen_anon_1: ULONGLONG,
    }
    _KDEVICE_QUEUE_ENTRY = KDEVICE_QUEUE_ENTRY, PKDEVICE_QUEUE_ENTRY {
        DeviceListEntry: LIST_ENTRY,
        SortKey: ULONG,
        Inserted: BOOLEAN,
    }
    _FAST_MUTEX = FAST_MUTEX, PFAST_MUTEX {
        Count: LONG,
        Owner: PVOID,
        Contention: ULONG,
        Event: KEVENT,
        OldIrql: ULONG,
    }
    _KLOCK_QUEUE_HANDLE = KLOCK_QUEUE_HANDLE, PKLOCK_QUEUE_HANDLE {
        LockQueue: KSPIN_LOCK_QUEUE,
        OldIrql: KIRQL,
    }
    _KSPIN_LOCK_QUEUE = KSPIN_LOCK_QUEUE, PKSPIN_LOCK_QUEUE {
        Next: *mut _KSPIN_LOCK_QUEUE,
        Lock: PKSPIN_LOCK,
    }
    _GROUP_AFFINITY = GROUP_AFFINITY, PGROUP_AFFINITY {
        Mask: KAFFINITY,
        Group: USHORT,
        Reserved: [USHORT; 3],
    }
    _PROCESSOR_NUMBER = PROCESSOR_NUMBER, PPROCESSOR_NUMBER {
        Group: USHORT,
        Number: UCHAR,
        Reserved: UCHAR,
    }
}

unions! {
    _DISPATCHER_HEADER__bindgen_ty_1 {
        Lock: LONG,
        LockNV: LONG,
        __bindgen_anon_1: _DISPATCHER_HEADER__bindgen_ty_1__bindgen_ty_1,
    }
    _KDPC__bindgen_ty_1 {
        TargetInfoAsUlong: ULONG,
        __bindgen_anon_1: _KDPC__bindgen_ty_1__bindgen_ty_1,
    }
}

pub type KMUTEX = KMUTANT;
pub type PKMUTEX = PKMUTANT;
pub type PRKMUTEX = PRKMUTANT;
