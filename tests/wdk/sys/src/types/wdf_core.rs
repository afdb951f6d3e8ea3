//! KMDF: handles, object attributes, drivers, timers, work items.

use core::ffi::c_int;

use super::*;

/// Handles: pointers to structures of one unused member, as `DECLARE_HANDLE` makes them.
macro_rules! handles {
    ($($tag:ident = $name:ident;)*) => {
        structs! { $($tag { unused: c_int })* }
        $(pub type $name = *mut $tag;)*
    };
}

handles! {
    WDFDRIVER__ = WDFDRIVER;
    WDFDEVICE__ = WDFDEVICE;
    WDFQUEUE__ = WDFQUEUE;
    WDFREQUEST__ = WDFREQUEST;
    WDFFILEOBJECT__ = WDFFILEOBJECT;
    WDFDPC__ = WDFDPC;
    WDFTIMER__ = WDFTIMER;
    WDFWORKITEM__ = WDFWORKITEM;
    WDFINTERRUPT__ = WDFINTERRUPT;
    WDFWAITLOCK__ = WDFWAITLOCK;
    WDFSPINLOCK__ = WDFSPINLOCK;
    WDFMEMORY__ = WDFMEMORY;
    WDFLOOKASIDE__ = WDFLOOKASIDE;
    WDFIOTARGET__ = WDFIOTARGET;
    WDFKEY__ = WDFKEY;
    WDFSTRING__ = WDFSTRING;
    WDFCOLLECTION__ = WDFCOLLECTION;
    WDFCMRESLIST__ = WDFCMRESLIST;
}

pub type WDFOBJECT = HANDLE;
pub type PWDFOBJECT = *mut HANDLE;
pub type WDFCONTEXT = PVOID;
pub type PCWDF_OBJECT_CONTEXT_TYPE_INFO = *const _WDF_OBJECT_CONTEXT_TYPE_INFO;

callbacks! {
    WDFFUNC();
    PFN_GET_UNIQUE_CONTEXT_TYPE() -> PCWDF_OBJECT_CONTEXT_TYPE_INFO;
    EVT_WDF_OBJECT_CONTEXT_CLEANUP | PFN_WDF_OBJECT_CONTEXT_CLEANUP(Object: WDFOBJECT);
    EVT_WDF_OBJECT_CONTEXT_DESTROY | PFN_WDF_OBJECT_CONTEXT_DESTROY(Object: WDFOBJECT);
    EVT_WDF_DRIVER_DEVICE_ADD | PFN_WDF_DRIVER_DEVICE_ADD(Driver: WDFDRIVER, DeviceInit: PWDFDEVICE_INIT) -> NTSTATUS;
    EVT_WDF_DRIVER_UNLOAD | PFN_WDF_DRIVER_UNLOAD(Driver: WDFDRIVER);
    EVT_WDF_WORKITEM | PFN_WDF_WORKITEM(WorkItem: WDFWORKITEM);
    EVT_WDF_TIMER | PFN_WDF_TIMER(Timer: WDFTIMER);
}

enumerations! {
    _WDF_TRI_STATE = WDF_TRI_STATE, PWDF_TRI_STATE {
        WdfFalse = 0,
        WdfTrue = 1,
        WdfUseDefault = 2,
    }
    _WDF_EXECUTION_LEVEL = WDF_EXECUTION_LEVEL {
        WdfExecutionLevelInvalid = 0,
        WdfExecutionLevelInheritFromParent = 1,
        WdfExecutionLevelPassive = 2,
        WdfExecutionLevelDispatch = 3,
    }
    _WDF_SYNCHRONIZATION_SCOPE = WDF_SYNCHRONIZATION_SCOPE {
        WdfSynchronizationScopeInvalid = 0,
        WdfSynchronizationScopeInheritFromParent = 1,
        WdfSynchronizationScopeDevice = 2,
        WdfSynchronizationScopeQueue = 3,
        WdfSynchronizationScopeNone = 4,
    }
    _WDF_DRIVER_INIT_FLAGS = WDF_DRIVER_INIT_FLAGS {
        WdfDriverInitNonPnpDriver = 1,
        WdfDriverInitNoDispatchOverride = 2,
        WdfVerifyOn = 4,
        WdfVerifierOn = 8,
    }
}

structs! {
    _WDF_DRIVER_GLOBALS = WDF_DRIVER_GLOBALS, PWDF_DRIVER_GLOBALS {
        Driver: WDFDRIVER,
        DriverFlags: ULONG,
        DriverTag: ULONG,
        DriverName: [CHAR; 32],
        DisplaceDriverUnload: BOOLEAN,
    }
    _WDF_OBJECT_ATTRIBUTES = WDF_OBJECT_ATTRIBUTES, PWDF_OBJECT_ATTRIBUTES {
        Size: ULONG,
        EvtCleanupCallback: PFN_WDF_OBJECT_CONTEXT_CLEANUP,
        EvtDestroyCallback: PFN_WDF_OBJECT_CONTEXT_DESTROY,
        ExecutionLevel: WDF_EXECUTION_LEVEL,
        SynchronizationScope: WDF_SYNCHRONIZATION_SCOPE,
        ParentObject: WDFOBJECT,
        ContextSizeOverride: usize,
        ContextTypeInfo: PCWDF_OBJECT_CONTEXT_TYPE_INFO,
    }
    _WDF_OBJECT_CONTEXT_TYPE_INFO = WDF_OBJECT_CONTEXT_TYPE_INFO, PWDF_OBJECT_CONTEXT_TYPE_INFO {
        Size: ULONG,
        ContextName: PCHAR,
        ContextSize: usize,
        UniqueType: PCWDF_OBJECT_CONTEXT_TYPE_INFO,
        EvtDriverGetUniqueContextType: PFN_GET_UNIQUE_CONTEXT_TYPE,
    }
    _WDF_DRIVER_CONFIG = WDF_DRIVER_CONFIG, PWDF_DRIVER_CONFIG {
        Size: ULONG,
        EvtDriverDeviceAdd: PFN_WDF_DRIVER_DEVICE_ADD,
        EvtDriverUnload: PFN_WDF_DRIVER_UNLOAD,
        DriverInitFlags: ULONG,
        DriverPoolTag: ULONG,
    }
    _WDF_WORKITEM_CONFIG = WDF_WORKITEM_CONFIG, PWDF_WORKITEM_CONFIG {
        Size: ULONG,
        EvtWorkItemFunc: PFN_WDF_WORKITEM,
        AutomaticSerialization: BOOLEAN,
    }
    #[repr(align(8))]
    _WDF_TIMER_CONFIG = WDF_TIMER_CONFIG, PWDF_TIMER_CONFIG {
        Size: ULONG,
        EvtTimerFunc: PFN_WDF_TIMER,
        Period: ULONG,
        AutomaticSerialization: BOOLEAN,
        TolerableDelay: ULONG,
        __bindgen_padding_0: u32,
        UseHighResolutionTimer: BOOLEAN,
    }
}
