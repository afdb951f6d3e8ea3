//! KMDF: devices, their Plug and Play and power callbacks, interrupts.

use super::*;

opaque! {
    WDFDEVICE_INIT: PWDFDEVICE_INIT;
}

callbacks! {
    EVT_WDF_DEVICE_D0_ENTRY | PFN_WDF_DEVICE_D0_ENTRY(
        Device: WDFDEVICE, PreviousState: WDF_POWER_DEVICE_STATE) -> NTSTATUS;
    EVT_WDF_DEVICE_D0_ENTRY_POST_INTERRUPTS_ENABLED | PFN_WDF_DEVICE_D0_ENTRY_POST_INTERRUPTS_ENABLED(
        Device: WDFDEVICE, PreviousState: WDF_POWER_DEVICE_STATE) -> NTSTATUS;
    EVT_WDF_DEVICE_D0_EXIT | PFN_WDF_DEVICE_D0_EXIT(
        Device: WDFDEVICE, TargetState: WDF_POWER_DEVICE_STATE) -> NTSTATUS;
    EVT_WDF_DEVICE_D0_EXIT_PRE_INTERRUPTS_DISABLED | PFN_WDF_DEVICE_D0_EXIT_PRE_INTERRUPTS_DISABLED(
        Device: WDFDEVICE, TargetState: WDF_POWER_DEVICE_STATE) -> NTSTATUS;
    EVT_WDF_DEVICE_PREPARE_HARDWARE | PFN_WDF_DEVICE_PREPARE_HARDWARE(
        Device: WDFDEVICE, ResourcesRaw: WDFCMRESLIST, ResourcesTranslated: WDFCMRESLIST) -> NTSTATUS;
    EVT_WDF_DEVICE_RELEASE_HARDWARE | PFN_WDF_DEVICE_RELEASE_HARDWARE(
        Device: WDFDEVICE, ResourcesTranslated: WDFCMRESLIST) -> NTSTATUS;
    EVT_WDF_DEVICE_SELF_MANAGED_IO_CLEANUP | PFN_WDF_DEVICE_SELF_MANAGED_IO_CLEANUP(Device: WDFDEVICE);
    EVT_WDF_DEVICE_SELF_MANAGED_IO_FLUSH | PFN_WDF_DEVICE_SELF_MANAGED_IO_FLUSH(Device: WDFDEVICE);
    EVT_WDF_DEVICE_SELF_MANAGED_IO_INIT | PFN_WDF_DEVICE_SELF_MANAGED_IO_INIT(Device: WDFDEVICE) -> NTSTATUS;
    EVT_WDF_DEVICE_SELF_MANAGED_IO_SUSPEND | PFN_WDF_DEVICE_SELF_MANAGED_IO_SUSPEND(Device: WDFDEVICE) -> NTSTATUS;
    EVT_WDF_DEVICE_SELF_MANAGED_IO_RESTART | PFN_WDF_DEVICE_SELF_MANAGED_IO_RESTART(Device: WDFDEVICE) -> NTSTATUS;
    EVT_WDF_DEVICE_SURPRISE_REMOVAL | PFN_WDF_DEVICE_SURPRISE_REMOVAL(Device: WDFDEVICE);
    EVT_WDF_DEVICE_QUERY_REMOVE | PFN_WDF_DEVICE_QUERY_REMOVE(Device: WDFDEVICE) -> NTSTATUS;
    EVT_WDF_DEVICE_QUERY_STOP | PFN_WDF_DEVICE_QUERY_STOP(Device: WDFDEVICE) -> NTSTATUS;
    EVT_WDF_DEVICE_USAGE_NOTIFICATION | PFN_WDF_DEVICE_USAGE_NOTIFICATION(
        Device: WDFDEVICE, NotificationType: WDF_SPECIAL_FILE_TYPE, IsInNotificationPath: BOOLEAN);
    EVT_WDF_DEVICE_USAGE_NOTIFICATION_EX | PFN_WDF_DEVICE_USAGE_NOTIFICATION_EX(
        Device: WDFDEVICE, NotificationType: WDF_SPECIAL_FILE_TYPE, IsInNotificationPath: BOOLEAN) -> NTSTATUS;
    EVT_WDF_DEVICE_RELATIONS_QUERY | PFN_WDF_DEVICE_RELATIONS_QUERY(
        Device: WDFDEVICE, RelationType: DEVICE_RELATION_TYPE);
    EVT_WDF_DEVICE_FILE_CREATE | PFN_WDF_DEVICE_FILE_CREATE(
        Device: WDFDEVICE, Request: WDFREQUEST, FileObject: WDFFILEOBJECT);
    EVT_WDF_FILE_CLOSE | PFN_WDF_FILE_CLOSE(FileObject: WDFFILEOBJECT);
    EVT_WDF_FILE_CLEANUP | PFN_WDF_FILE_CLEANUP(FileObject: WDFFILEOBJECT);
    EVT_WDF_INTERRUPT_ISR | PFN_WDF_INTERRUPT_ISR(Interrupt: WDFINTERRUPT, MessageID: ULONG) -> BOOLEAN;
    EVT_WDF_INTERRUPT_SYNCHRONIZE | PFN_WDF_INTERRUPT_SYNCHRONIZE(
        Interrupt: WDFINTERRUPT, Context: WDFCONTEXT) -> BOOLEAN;
    EVT_WDF_INTERRUPT_DPC | PFN_WDF_INTERRUPT_DPC(Interrupt: WDFINTERRUPT, AssociatedObject: WDFOBJECT);
    EVT_WDF_INTERRUPT_WORKITEM | PFN_WDF_INTERRUPT_WORKITEM(Interrupt: WDFINTERRUPT, AssociatedObject: WDFOBJECT);
    EVT_WDF_INTERRUPT_ENABLE | PFN_WDF_INTERRUPT_ENABLE(
        Interrupt: WDFINTERRUPT, AssociatedDevice: WDFDEVICE) -> NTSTATUS;
    EVT_WDF_INTERRUPT_DISABLE | PFN_WDF_INTERRUPT_DISABLE(
        Interrupt: WDFINTERRUPT, AssociatedDevice: WDFDEVICE) -> NTSTATUS;
}

enumerations! {
    _WDF_POWER_DEVICE_STATE = WDF_POWER_DEVICE_STATE, PWDF_POWER_DEVICE_STATE {
        WdfPowerDeviceInvalid = 0,
        WdfPowerDeviceD0 = 1,
        WdfPowerDeviceD1 = 2,
        WdfPowerDeviceD2 = 3,
        WdfPowerDeviceD3 = 4,
        WdfPowerDeviceD3Final = 5,
        WdfPowerDevicePrepareForHibernation = 6,
        WdfPowerDeviceMaximum = 7,
    }
    _WDF_SPECIAL_FILE_TYPE = WDF_SPECIAL_FILE_TYPE, PWDF_SPECIAL_FILE_TYPE {
        WdfSpecialFileUndefined = 0,
        WdfSpecialFilePaging = 1,
        WdfSpecialFileHibernation = 2,
        WdfSpecialFileDump = 3,
        WdfSpecialFileBoot = 4,
    }
    _WDF_DEVICE_IO_TYPE = WDF_DEVICE_IO_TYPE, PWDF_DEVICE_IO_TYPE {
        WdfDeviceIoUndefined = 0,
        WdfDeviceIoNeither = 1,
        WdfDeviceIoBuffered = 2,
        WdfDeviceIoDirect = 3,
        WdfDeviceIoBufferedOrDirect = 4,
    }
    _WDF_FILEOBJECT_CLASS = WDF_FILEOBJECT_CLASS, PWDF_FILEOBJECT_CLASS {
        WdfFileObjectInvalid = 0,
        WdfFileObjectNotRequired = 1,
        WdfFileObjectWdfCanUseFsContext = 2,
        WdfFileObjectWdfCanUseFsContext2 = 3,
        WdfFileObjectWdfCannotUseFsContexts = 4,
        WdfFileObjectCanBeOptional = -0x8000_0000,
    }
    _WDF_DEVICE_FAILED_ACTION = WDF_DEVICE_FAILED_ACTION {
        WdfDeviceFailedUndefined = 0,
        WdfDeviceFailedAttemptRestart = 1,
        WdfDeviceFailedNoRestart = 2,
    }
    _WDF_INTERRUPT_POLARITY = WDF_INTERRUPT_POLARITY, PWDF_INTERRUPT_POLARITY {
        WdfInterruptPolarityUnknown = 0,
        WdfInterruptActiveHigh = 1,
        WdfInterruptActiveLow = 2,
    }
    _WDF_INTERRUPT_POLICY = WDF_INTERRUPT_POLICY, PWDF_INTERRUPT_POLICY {
        WdfIrqPolicyMachineDefault = 0,
        WdfIrqPolicyAllCloseProcessors = 1,
        WdfIrqPolicyOneCloseProcessor = 2,
        WdfIrqPolicyAllProcessorsInMachine = 3,
        WdfIrqPolicySpecifiedProcessors = 4,
        WdfIrqPolicySpreadMessagesAcrossAllProcessors = 5,
    }
    _WDF_INTERRUPT_PRIORITY = WDF_INTERRUPT_PRIORITY, PWDF_INTERRUPT_PRIORITY {
        WdfIrqPriorityUndefined = 0,
        WdfIrqPriorityLow = 1,
        WdfIrqPriorityNormal = 2,
        WdfIrqPriorityHigh = 3,
    }
}

structs! {
    _WDF_PNPPOWER_EVENT_CALLBACKS = WDF_PNPPOWER_EVENT_CALLBACKS, PWDF_PNPPOWER_EVENT_CALLBACKS {
        Size: ULONG,
        EvtDeviceD0Entry: PFN_WDF_DEVICE_D0_ENTRY,
        EvtDeviceD0EntryPostInterruptsEnabled: PFN_WDF_DEVICE_D0_ENTRY_POST_INTERRUPTS_ENABLED,
        EvtDeviceD0Exit: PFN_WDF_DEVICE_D0_EXIT,
        EvtDeviceD0ExitPreInterruptsDisabled: PFN_WDF_DEVICE_D0_EXIT_PRE_INTERRUPTS_DISABLED,
        EvtDevicePrepareHardware: PFN_WDF_DEVICE_PREPARE_HARDWARE,
        EvtDeviceReleaseHardware: PFN_WDF_DEVICE_RELEASE_HARDWARE,
        EvtDeviceSelfManagedIoCleanup: PFN_WDF_DEVICE_SELF_MANAGED_IO_CLEANUP,
        EvtDeviceSelfManagedIoFlush: PFN_WDF_DEVICE_SELF_MANAGED_IO_FLUSH,
        EvtDeviceSelfManagedIoInit: PFN_WDF_DEVICE_SELF_MANAGED_IO_INIT,
        EvtDeviceSelfManagedIoSuspend: PFN_WDF_DEVICE_SELF_MANAGED_IO_SUSPEND,
        EvtDeviceSelfManagedIoRestart: PFN_WDF_DEVICE_SELF_MANAGED_IO_RESTART,
        EvtDeviceSurpriseRemoval: PFN_WDF_DEVICE_SURPRISE_REMOVAL,
        EvtDeviceQueryRemove: PFN_WDF_DEVICE_QUERY_REMOVE,
        EvtDeviceQueryStop: PFN_WDF_DEVICE_QUERY_STOP,
        EvtDeviceUsageNotification: PFN_WDF_DEVICE_USAGE_NOTIFICATION,
        EvtDeviceRelationsQuery: PFN_WDF_DEVICE_RELATIONS_QUERY,
        EvtDeviceUsageNotificationEx: PFN_WDF_DEVICE_USAGE_NOTIFICATION_EX,
    }
    _WDF_FILEOBJECT_CONFIG = WDF_FILEOBJECT_CONFIG, PWDF_FILEOBJECT_CONFIG {
        Size: ULONG,
        EvtDeviceFileCreate: PFN_WDF_DEVICE_FILE_CREATE,
        EvtFileClose: PFN_WDF_FILE_CLOSE,
        EvtFileCleanup: PFN_WDF_FILE_CLEANUP,
        AutoForwardCleanupClose: WDF_TRI_STATE,
        FileObjectClass: WDF_FILEOBJECT_CLASS,
    }
    _WDF_DEVICE_PNP_CAPABILITIES = WDF_DEVICE_PNP_CAPABILITIES, PWDF_DEVICE_PNP_CAPABILITIES {
        Size: ULONG,
        LockSupported: WDF_TRI_STATE,
        EjectSupported: WDF_TRI_STATE,
        Removable: WDF_TRI_STATE,
        DockDevice: WDF_TRI_STATE,
        UniqueID: WDF_TRI_STATE,
        SilentInstall: WDF_TRI_STATE,
        SurpriseRemovalOK: WDF_TRI_STATE,
        HardwareDisabled: WDF_TRI_STATE,
        NoDisplayInUI: WDF_TRI_STATE,
        Address: ULONG,
        UINumber: ULONG,
    }
    _WDF_DEVICE_PROPERTY_DATA = WDF_DEVICE_PROPERTY_DATA, PWDF_DEVICE_PROPERTY_DATA {
        Size: ULONG,
        PropertyKey: *const DEVPROPKEY,
        Lcid: LCID,
        Flags: ULONG,
    }
    _WDF_INTERRUPT_CONFIG = WDF_INTERRUPT_CONFIG, PWDF_INTERRUPT_CONFIG {
        Size: ULONG,
        SpinLock: WDFSPINLOCK,
        ShareVector: WDF_TRI_STATE,
        FloatingSave: BOOLEAN,
        AutomaticSerialization: BOOLEAN,
        EvtInterruptIsr: PFN_WDF_INTERRUPT_ISR,
        EvtInterruptDpc: PFN_WDF_INTERRUPT_DPC,
        EvtInterruptEnable: PFN_WDF_INTERRUPT_ENABLE,
        EvtInterruptDisable: PFN_WDF_INTERRUPT_DISABLE,
        EvtInterruptWorkItem: PFN_WDF_INTERRUPT_WORKITEM,
        InterruptRaw: PCM_PARTIAL_RESOURCE_DESCRIPTOR,
        InterruptTranslated: PCM_PARTIAL_RESOURCE_DESCRIPTOR,
        WaitLock: WDFWAITLOCK,
        PassiveHandling: BOOLEAN,
        ReportInactiveOnPowerDown: WDF_TRI_STATE,
        CanWakeDevice: BOOLEAN,
    }
    #[repr(align(8))]
    _WDF_INTERRUPT_INFO = WDF_INTERRUPT_INFO, PWDF_INTERRUPT_INFO {
        Size: ULONG,
        Reserved1: ULONG64,
        TargetProcessorSet: KAFFINITY,
        Reserved2: ULONG,
        MessageNumber: ULONG,
        Vector: ULONG,
        Irql: KIRQL,
        Mode: KINTERRUPT_MODE,
        Polarity: WDF_INTERRUPT_POLARITY,
        MessageSignaled: BOOLEAN,
        ShareDisposition: UCHAR,
        __bindgen_padding_0: [u16; 3],
        Group: USHORT,
    }
    _WDF_INTERRUPT_EXTENDED_POLICY = WDF_INTERRUPT_EXTENDED_POLICY, PWDF_INTERRUPT_EXTENDED_POLICY {
        Size: ULONG,
        Policy: WDF_INTERRUPT_POLICY,
        Priority: WDF_INTERRUPT_PRIORITY,
        TargetProcessorSetAndGroup: GROUP_AFFINITY,
    }
}
