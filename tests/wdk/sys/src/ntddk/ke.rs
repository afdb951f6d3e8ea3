//! The kernel proper: interrupt levels, spin locks, dispatcher objects, deferred calls, processors, time.

use crate::types::*;

imports! {
    fn KeGetCurrentIrql() -> KIRQL;
    fn KfRaiseIrql(NewIrql: KIRQL) -> KIRQL;
    fn KeLowerIrql(NewIrql: KIRQL);
    fn KeEnterCriticalRegion();
    fn KeLeaveCriticalRegion();
    fn KeRegisterBugCheckReasonCallback(
        CallbackRecord: PKBUGCHECK_REASON_CALLBACK_RECORD, CallbackRoutine: PKBUGCHECK_REASON_CALLBACK_ROUTINE,
        Reason: KBUGCHECK_CALLBACK_REASON, Component: PUCHAR) -> BOOLEAN;
    fn KeDeregisterBugCheckReasonCallback(CallbackRecord: PKBUGCHECK_REASON_CALLBACK_RECORD) -> BOOLEAN;

    fn KeAcquireSpinLockRaiseToDpc(SpinLock: PKSPIN_LOCK) -> KIRQL;
    fn KeReleaseSpinLock(SpinLock: PKSPIN_LOCK, NewIrql: KIRQL);
    fn KeAcquireSpinLockAtDpcLevel(SpinLock: PKSPIN_LOCK);
    fn KeReleaseSpinLockFromDpcLevel(SpinLock: PKSPIN_LOCK);
    fn KeTryToAcquireSpinLockAtDpcLevel(SpinLock: PKSPIN_LOCK) -> BOOLEAN;

    fn KeInitializeEvent(Event: PRKEVENT, Type: EVENT_TYPE, State: BOOLEAN);
    fn KeSetEvent(Event: PRKEVENT, Increment: KPRIORITY, Wait: BOOLEAN) -> LONG;
    fn KeClearEvent(Event: PRKEVENT);
    fn KeResetEvent(Event: PRKEVENT) -> LONG;
    fn KeReadStateEvent(Event: PRKEVENT) -> LONG;
    fn KeInitializeMutex(Mutex: PRKMUTEX, Level: ULONG);
    fn KeReleaseMutex(Mutex: PRKMUTEX, Wait: BOOLEAN) -> LONG;
    fn KeInitializeSemaphore(Semaphore: PRKSEMAPHORE, Count: LONG, Limit: LONG);
    fn KeReleaseSemaphore(Semaphore: PRKSEMAPHORE, Increment: KPRIORITY, Adjustment: LONG, Wait: BOOLEAN) -> LONG;
    fn KeWaitForSingleObject(
        Object: PVOID, WaitReason: KWAIT_REASON, WaitMode: KPROCESSOR_MODE, Alertable: BOOLEAN,
        Timeout: PLARGE_INTEGER) -> NTSTATUS;
    fn KeGetCurrentThread() -> PKTHREAD;
    fn KeDelayExecutionThread(WaitMode: KPROCESSOR_MODE, Alertable: BOOLEAN, Interval: PLARGE_INTEGER) -> NTSTATUS;

    fn KeInitializeTimerEx(Timer: PKTIMER, Type: TIMER_TYPE);
    fn KeSetTimer(Timer: PKTIMER, DueTime: LARGE_INTEGER, Dpc: PKDPC) -> BOOLEAN;
    fn KeSetTimerEx(Timer: PKTIMER, DueTime: LARGE_INTEGER, Period: LONG, Dpc: PKDPC) -> BOOLEAN;
    fn KeCancelTimer(arg1: PKTIMER) -> BOOLEAN;

    fn KeInitializeDpc(Dpc: PRKDPC, DeferredRoutine: PKDEFERRED_ROUTINE, DeferredContext: PVOID);
    fn KeInsertQueueDpc(Dpc: PRKDPC, SystemArgument1: PVOID, SystemArgument2: PVOID) -> BOOLEAN;
    fn KeRemoveQueueDpc(Dpc: PRKDPC) -> BOOLEAN;
    fn KeSetImportanceDpc(Dpc: PRKDPC, Importance: KDPC_IMPORTANCE);
    fn KeSetTargetProcessorDpcEx(Dpc: PKDPC, ProcNumber: PPROCESSOR_NUMBER) -> NTSTATUS;
    fn KeFlushQueuedDpcs();

    fn KeGetCurrentProcessorNumberEx(ProcNumber: PPROCESSOR_NUMBER) -> ULONG;
    fn KeGetProcessorIndexFromNumber(ProcNumber: PPROCESSOR_NUMBER) -> ULONG;
    fn KeGetProcessorNumberFromIndex(ProcIndex: ULONG, ProcNumber: PPROCESSOR_NUMBER) -> NTSTATUS;
    fn KeQueryActiveProcessorCountEx(GroupNumber: USHORT) -> ULONG;
    fn KeQueryMaximumProcessorCountEx(GroupNumber: USHORT) -> ULONG;
    fn KeQueryGroupAffinity(GroupNumber: USHORT) -> KAFFINITY;
    fn KeSetSystemGroupAffinityThread(Affinity: PGROUP_AFFINITY, PreviousAffinity: PGROUP_AFFINITY);
    fn KeRevertToUserGroupAffinityThread(PreviousAffinity: PGROUP_AFFINITY);

    fn KeQueryInterruptTimePrecise(QpcTimeStamp: PULONG64) -> ULONG64;
    fn KeStallExecutionProcessor(MicroSeconds: ULONG);

    fn KeBugCheckEx(
        BugCheckCode: ULONG, BugCheckParameter1: ULONG_PTR, BugCheckParameter2: ULONG_PTR,
        BugCheckParameter3: ULONG_PTR, BugCheckParameter4: ULONG_PTR) -> !;
}
