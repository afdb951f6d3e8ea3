//! The rules: what each is called here and on Windows, and when it stops the machine.
//!
//! docs/verifier-rules.md is generated from this table and from what the drivers of `tests/defects` were seen to do.

/// One rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// The name a [`Stop`](crate::Stop) carries.
    pub name: &'static str,
    /// What checks it on Windows: an option of Driver Verifier, a rule of DDI compliance checking, the verifier of the
    /// framework, or the system itself.
    pub windows: &'static str,
    /// The page of Microsoft Learn that demands it.
    pub page: &'static str,
    /// When the machine stops.
    pub meaning: &'static str,
}

macro_rules! rules {
    ($($name:literal, $windows:literal, $page:literal: $meaning:literal;)*) => {
        &[$(Rule { name: $name, windows: $windows, page: $page, meaning: $meaning }),*]
    };
}

/// All of them, by subject.
pub static RULES: &[Rule] = rules! {
    // Memory.
    "Special Pool", "Special Pool", "Special Pool":
        "pool is touched outside a block or after it was freed, freed twice or from its middle, or bytes around it changed";
    "Pool", "Pool Tracking", "ExFreePoolWithTag function":
        "pool has no tag, no length, or is freed with the tag of another block";
    "Pool Tracking", "Pool Tracking", "Pool Tracking": "a driver is unloaded and has not freed its pool";
    "LiveObject", "Miscellaneous Checks", "Miscellaneous Checks":
        "memory goes away with something alive in it: a queued DPC, a set timer, an object waited for, a held lock, locked pages";
    "Unload", "the system", "Bug Check 0xCE":
        "an image is unloaded and something would still call into it, or it has not given back what it took";
    "Bounds", "DMA Verification", "DMA Verification": "memory that is no pool is touched outside its ends";
    "InvalidAddress", "the system", "Bug Check 0x50": "an address is touched that is nobody's";
    "WriteProtection", "the system", "Bug Check 0xBE": "memory is written that is read-only: code, constants";
    "DriverCode", "Code Integrity Checks", "Driver Verifier Options and Rule Classes":
        "the processor is sent to what is no code: data, a freed image";
    "SharedPage", "the system", "Bug Check 0xBE": "the page that every program reads the time from is written";
    "Overlap", "the C library", "memcpy": "memcpy copies between ranges that overlap";
    "ContiguousMemory", "Pool Tracking", "MmFreeContiguousMemory function": "something else is freed as contiguous memory";
    "MapRegisters", "Miscellaneous Checks", "MmMapIoSpaceEx function":
        "memory is mapped as device registers, or another range is unmapped than was mapped";
    "RegisterAccess", "the hardware", "READ_REGISTER_ULONG function":
        "device registers are touched by an instruction that devices do not answer (our choice: 8 to 64 bits)";
    "KernelStack", "the system", "Using the Kernel Stack": "the kernel stack has no room left for a call";
    // Levels.
    "IrqlCheck", "Force IRQL Checking", "Managing Hardware Priorities":
        "a function is called at another IRQL than its page allows";
    "IrqlKeRaiseLower", "Static Driver Verifier", "IrqlKeRaiseLower rule (wdm)": "the IRQL is raised to a lower one or lowered to a higher one";
    "IrqlReturn", "Static Driver Verifier", "IrqlReturn rule (wdm)": "a routine returns at another IRQL than it was entered at";
    "IrqlExAllocatePool", "Driver Verifier's pool checks", "Bug Check 0xC4": "paged pool is allocated above APC_LEVEL";
    "IrqlKeDispatchLte", "the system", "KeWaitForSingleObject function": "a thread would have to wait at DISPATCH_LEVEL or above";
    "IrqlKeSetEvent", "DDI compliance checking", "IrqlKeSetEvent rule (wdm)": "an event is set above APC_LEVEL with Wait TRUE";
    "IrqlMmProbeAndLockPages", "Force IRQL Checking", "MmProbeAndLockPages function": "pageable memory is locked above APC_LEVEL";
    "DpcWatchdog", "the system", "Bug Check 0x133":
        "a processor stays at DISPATCH_LEVEL or above for more than 10 ms of machine time (our choice)";
    "StallTooLong", "our choice", "KeStallExecutionProcessor function":
        "a processor is kept busy for more than 100 ms at once (the page asks for 50 microseconds)";
    // Locks and waits.
    "Deadlock", "Deadlock Detection", "Deadlock Detection":
        "a lock is taken by who holds it, or locks are taken in both orders, even at different times";
    "SpinLockRelease", "DDI compliance checking", "SpinlockRelease rule (wdm)": "a spin lock is released by a processor that does not hold it";
    "SpinLockReturn", "our choice", "Introduction to Spin Locks": "a routine returns with other spin locks held than it was entered with";
    "SpinLockIrql", "Deadlock Detection", "KeReleaseSpinLock function": "the IRQL is lowered while a spin lock is held";
    "SpinLockValue", "Miscellaneous Checks", "KeInitializeSpinLock function": "a spin lock holds a value that is none: not initialised, or overwritten";
    "LockOwner", "Deadlock Detection", "ExReleaseFastMutex function": "a mutex or push lock is released by a thread that does not hold it";
    "MutexOwner", "the system", "KeReleaseMutex function": "a kernel mutex is released by a thread that does not own it";
    "CriticalRegions", "DDI compliance checking", "CriticalRegions rule (wdm)": "a push lock is used, or a region left, outside a critical region";
    "Rundown", "the system", "Run-Down Protection": "rundown protection is released more often than taken";
    "SemaphoreLimit", "the system", "KeReleaseSemaphore function": "a semaphore is released beyond its limit";
    "WaitObject", "our choice", "KeWaitForSingleObject function": "a wait for something that is no dispatcher object (on Windows it never ends)";
    "WaitObjects", "the system", "KeWaitForMultipleObjects function": "a wait for more objects than it brings wait blocks for";
    "Watchdog", "our choice", "-": "every thread waits and nothing can wake one, or an operation takes longer than its limit";
    // Timers, DPCs, work, objects.
    "DpcObject", "Miscellaneous Checks", "KeInitializeDpc function": "a DPC is used that was never initialised";
    "TimerObject", "the system", "Bug Check 0xC7": "a timer is initialised while it is set, or used without";
    "WorkItem", "the system", "IoFreeWorkItem function": "something that is no work item is used as one";
    "WorkItemQueued", "the system", "IoQueueWorkItem function": "a work item is queued or freed while it is queued";
    "ObReference", "the system", "Bug Check 0x18": "a reference is given back that nobody has";
    // MDLs.
    "MdlLocked", "I/O Verification", "MmProbeAndLockPages function": "the pages of an MDL are locked twice, unlocked twice, or locked when it is freed";
    "MdlInvalid", "I/O Verification", "MmProbeAndLockPages function": "something that is no MDL is used as one";
    "MdlNonPaged", "I/O Verification", "MmBuildMdlForNonPagedPool function": "an MDL for nonpaged memory is built over pageable memory";
    "MdlMapped", "I/O Verification", "MmUnmapLockedPages function": "an MDL is unmapped that is not mapped";
    "MdlPages", "I/O Verification", "MmFreePagesFromMdl function": "pages are freed from an MDL that owns none";
    // DMA and interrupts.
    "DMA Checking", "DMA Verification", "Bug Check 0xE6":
        "an adapter or common buffer is used after it was given back, given back wrongly, or out when the device is stopped or removed; \
         a device touches freed memory";
    "InterruptStorm", "the system", "Bug Check 0xF2": "a line stays asserted and 1,000 services in a row claim nothing";
    // Packets, devices, drivers.
    "DoubleCompletion", "the system", "Bug Check 0x44": "a packet is completed a second time";
    "StatusPending", "I/O Verification", "I/O Verification": "a packet is completed with STATUS_PENDING";
    "CancelRoutine", "I/O Verification", "I/O Verification": "a packet is completed while it has a cancel routine";
    "IoStackLocations", "the system", "Bug Check 0x35": "a packet is sent further down than its stack is deep";
    "DeviceObject", "I/O Verification", "IoDeleteDevice function": "something that is no device object is deleted or detached";
    "AttachedDevice", "I/O Verification", "IoDeleteDevice function": "a device object is deleted while another one is attached to it";
    "DeviceObjectLeak", "the system", "Unload Routine Functionality": "a driver is unloaded and leaves a device object";
    "PnpRemove", "the system", "Bug Check 0xCA": "a device is removed and its driver stays attached";
    "DeviceInterface", "our choice", "IoSetDeviceInterfaceState function": "a device is removed and its interface stays on";
    "InterfaceReference", "our choice", "Using Driver-Defined Interfaces": "a bus interface is dereferenced more often than referenced";
    // The framework.
    "WdfObjectHandle", "the framework's verifier", "Bug Check 0x10D": "a handle is used that is none any more, or one of another kind";
    "WdfObjectReference", "the framework's verifier", "WdfObjectDereference function": "an object loses a reference that its driver never took";
    "WdfObjectDelete", "the framework's verifier", "WdfObjectDelete function": "an object is deleted that belongs to the framework";
    "WdfObjectLeak", "the framework's verifier", "Using KMDF Verifier": "objects are left when the driver leaves the framework";
    "WdfObjectAttributes", "the framework's verifier", "WDF_OBJECT_ATTRIBUTES_INIT function": "attributes were never initialised";
    "WdfRequestCancelable", "the framework's verifier", "Canceling I/O Requests": "a request is completed while it is cancelable";
    "WdfRequestCompleted", "the framework's verifier", "Bug Check 0x10D": "a request is used after it was completed";
    "WdfDeviceInit", "the framework's verifier", "WdfDeviceCreate function": "WDFDEVICE_INIT is used after the device was created";
    "WdfStructureSize", "the framework's verifier", "Using KMDF Verifier": "a structure has a size that its version does not";
    "WdfInterruptLock", "the framework's verifier", "WdfInterruptAcquireLock function": "the lock of an interrupt without resources is taken";
    "WdfDriverGlobals", "the framework", "Bug Check 0x10D": "the framework is called with driver globals that are none";
    "WdfVersionUnbind", "the framework", "Unload Routine Functionality": "a driver leaves without unbinding from the framework";
    // The driver itself.
    "Exception", "the system", "Bug Check 0x1E": "driver code raises an exception that nobody handles";
    "FastFail", "the system", "Bug Check 0x139": "driver code ends itself with __fastfail";
    "KeBugCheckEx", "the driver", "KeBugCheckEx function": "the driver asks for it";
};

/// Stops that are no rule for drivers: the machine cannot go on.
pub static NO_RULES: [(&str, &str); 2] = [
    ("Host", "the machine's own code fails, or lacks a function that a driver wants"),
    ("WdfFunction", "a function of the framework is not implemented in this machine; the stop names it"),
];

/// The rule of a name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;

    /// The rules that a source file raises by name.
    fn raised(source: &str) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        for opening in ["Fault::new(", "wdf_violation(", "io_violation("] {
            for (at, _) in source.match_indices(opening) {
                let rest = source[at + opening.len()..].trim_start();
                if let Some(name) = rest.strip_prefix('"').and_then(|rest| rest.split('"').next()) {
                    names.insert(name.to_owned());
                }
            }
        }
        names
    }

    fn sources(folder: &Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).expect("the sources of this crate") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                sources(&path, found);
            } else if path.extension().is_some_and(|kind| kind == "rs") && !path.ends_with("rules.rs") {
                found.push(std::fs::read_to_string(&path).expect("a source"));
            }
        }
    }

    #[test]
    fn every_rule_that_is_raised_is_in_the_table() {
        let mut found = Vec::new();
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
        let names: BTreeSet<String> = found.iter().flat_map(|source| raised(source)).collect();
        assert!(names.len() > 50, "{names:?}");
        let unknown: Vec<_> = names
            .iter()
            .filter(|name| find(name).is_none() && NO_RULES.iter().all(|(other, _)| other != name))
            .collect();
        assert!(unknown.is_empty(), "in no table of rules.rs: {unknown:?}");
    }

    #[test]
    fn no_rule_is_listed_twice() {
        let names: BTreeSet<_> = RULES.iter().map(|rule| rule.name).collect();
        assert_eq!(names.len(), RULES.len());
    }
}
