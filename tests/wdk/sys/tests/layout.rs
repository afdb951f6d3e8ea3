//! The stand-in's layouts, values and table indices against sources that are not its own.
//!
//! * WDM structures and constants: crate `windows-sys`, generated from Microsoft's metadata of the WDK.
//! * Structures that the metadata describes wrongly or not at all: numbers with their source.
//! * KMDF structures: sizes and offsets that gcc gives the declarations of the published headers
//!   (microsoft/Windows-Driver-Frameworks, src/publicinc/wdf/kmdf/1.15), `unsigned long` read as 32 bits.

use std::mem::offset_of;

use windows_sys::Wdk::Foundation as foundation;
use windows_sys::Wdk::System::{Registry as registry, SystemServices as services};
use windows_sys::Win32::Foundation as win32;
use windows_sys::Win32::System::Diagnostics::Etw as etw;
use windows_sys::Win32::System::Kernel as kernel;

/// The two structures have one size, and the named members one offset.
macro_rules! same {
    ($($name:ident = $module:ident { $($field:ident),* $(,)? };)*) => {$(
        assert_eq!(
            size_of::<wdk_sys::$name>(), size_of::<$module::$name>(), "size of {}", stringify!($name));
        $(assert_eq!(
            offset_of!(wdk_sys::$name, $field), offset_of!($module::$name, $field),
            "{}.{}", stringify!($name), stringify!($field));)*
    )*};
}

/// The structure has this size, and its members these offsets.
macro_rules! is {
    ($($name:ident $size:literal { $($field:ident $offset:literal),* $(,)? };)*) => {$(
        assert_eq!(size_of::<wdk_sys::$name>(), $size, "size of {}", stringify!($name));
        $(assert_eq!(
            offset_of!(wdk_sys::$name, $field), $offset, "{}.{}", stringify!($name), stringify!($field));)*
    )*};
}

/// The constants have one value.
macro_rules! equal {
    ($($($ours:ident)::+ = $($theirs:ident)::+;)*) => {$(
        assert_eq!(
            wdk_sys::$($ours)::+ as i64, $($theirs)::+ as i64, "{}", stringify!($($ours)::+));
    )*};
}

#[test]
fn structures_of_the_kernel_have_the_layout_of_microsofts_metadata() {
    same! {
        KBUGCHECK_REASON_CALLBACK_RECORD = services { Entry, CallbackRoutine, Component, Checksum, Reason, State };
        KBUGCHECK_ADD_PAGES = services { Context, Flags, BugCheckCode, Address, Count };
        KBUGCHECK_SECONDARY_DUMP_DATA = services {
            InBuffer, InBufferLength, MaximumAllowed, Guid, OutBuffer, OutBufferLength
        };
        KDPC = foundation {
            DpcListEntry, ProcessorHistory, DeferredRoutine, DeferredContext, SystemArgument1, SystemArgument2, DpcData,
        };
        DISPATCHER_HEADER = foundation { SignalState, WaitListHead };
        KEVENT = foundation { Header };
        KMUTANT = foundation { Header, MutantListEntry, OwnerThread, ApcDisable };
        KDEVICE_QUEUE = foundation { Type, Size, DeviceListHead, Lock };
        FAST_MUTEX = foundation { Count, Owner, Contention, Event, OldIrql };
        DRIVER_OBJECT = foundation {
            Type, Size, DeviceObject, Flags, DriverStart, DriverSize, DriverSection, DriverExtension, DriverName,
            HardwareDatabase, FastIoDispatch, DriverInit, DriverStartIo, DriverUnload, MajorFunction,
        };
        MDL = foundation { Next, Size, MdlFlags, Process, MappedSystemVa, StartVa, ByteCount, ByteOffset };
        KSEMAPHORE = services { Header, Limit };
        KDEVICE_QUEUE_ENTRY = services { DeviceListEntry, SortKey, Inserted };
        KLOCK_QUEUE_HANDLE = services { LockQueue, OldIrql };
        KSPIN_LOCK_QUEUE = services { Next, Lock };
        LIST_ENTRY = kernel { Flink, Blink };
        SINGLE_LIST_ENTRY = kernel { Next };
        PROCESSOR_NUMBER = kernel { Group, Number, Reserved };
        UNICODE_STRING = win32 { Length, MaximumLength, Buffer };
        OBJECT_ATTRIBUTES = foundation {
            Length, RootDirectory, ObjectName, Attributes, SecurityDescriptor, SecurityQualityOfService,
        };
        KEY_VALUE_PARTIAL_INFORMATION = services { TitleIndex, Type, DataLength, Data };
        OBJECT_HANDLE_INFORMATION = services { HandleAttributes, GrantedAccess };
    }
}

#[test]
fn structures_of_dma_buses_and_traces_have_the_layout_of_microsofts_metadata() {
    same! {
        DEVICE_DESCRIPTION = services {
            Version, Master, ScatterGather, DemandMode, AutoInitialize, Dma32BitAddresses, IgnoreCount, Reserved1,
            Dma64BitAddresses, BusNumber, DmaChannel, InterfaceType, DmaWidth, DmaSpeed, MaximumLength, DmaPort,
            DmaAddressWidth, DmaControllerInstance, DmaRequestLine, DeviceAddress,
        };
        DMA_ADAPTER = services { Version, Size, DmaOperations };
        DMA_OPERATIONS = services {
            Size, PutDmaAdapter, AllocateCommonBuffer, FreeCommonBuffer, GetDmaAlignment, GetScatterGatherList,
            AllocateCommonBufferEx, MapTransferEx, FlushAdapterBuffersEx, FreeAdapterObject, CancelMappedTransfer,
            AllocateCommonBufferWithBounds, CreateCommonBufferFromMdl,
        };
        INTERFACE = services { Size, Version, Context, InterfaceReference, InterfaceDereference };
        BUS_INTERFACE_STANDARD = services {
            Size, Version, Context, InterfaceReference, InterfaceDereference, TranslateBusAddress, GetDmaAdapter,
            SetBusData, GetBusData,
        };
        EVENT_DESCRIPTOR = etw { Id, Version, Channel, Level, Opcode, Task, Keyword };
        EVENT_DATA_DESCRIPTOR = etw { Ptr, Size };
        EVENT_FILTER_DESCRIPTOR = etw { Ptr, Size, Type };
    }
}

/// Numbers of the debugger's `dt nt!_DEVICE_OBJECT`, `dt nt!_IRP` and `dt nt!_KTIMER` on x64 Windows 10: the offsets are
/// those of listings that several analysts of drivers have published, compared with this list member by member. The metadata
/// is wrong for these structures: it ignores the alignment to 16 bytes, the packing to 4, and members behind a version
/// switch.
#[test]
fn structures_the_metadata_describes_wrongly_have_the_layout_of_the_kernels_symbols() {
    is! {
        DEVICE_OBJECT 0x150 {
            Type 0, Size 2, ReferenceCount 4, DriverObject 8, NextDevice 0x10, AttachedDevice 0x18, CurrentIrp 0x20,
            Timer 0x28, Flags 0x30, Characteristics 0x34, Vpb 0x38, DeviceExtension 0x40, DeviceType 0x48,
            StackSize 0x4C, Queue 0x50, AlignmentRequirement 0x98, DeviceQueue 0xA0, Dpc 0xC8, ActiveThreadCount 0x108,
            SecurityDescriptor 0x110, DeviceLock 0x118, SectorSize 0x130, DeviceObjectExtension 0x138, Reserved 0x140,
        };
        IRP 0xD0 {
            Type 0, Size 2, MdlAddress 8, Flags 0x10, AssociatedIrp 0x18, ThreadListEntry 0x20, IoStatus 0x30,
            RequestorMode 0x40, PendingReturned 0x41, StackCount 0x42, CurrentLocation 0x43, Cancel 0x44,
            CancelIrql 0x45, AllocationFlags 0x47, UserEvent 0x50, Overlay 0x58, CancelRoutine 0x68, UserBuffer 0x70,
            Tail 0x78,
        };
        KTIMER 0x40 { Header 0, DueTime 0x18, TimerListEntry 0x20, Dpc 0x30, Processor 0x38, TimerType 0x3A, Period 0x3C };
        CM_PARTIAL_RESOURCE_DESCRIPTOR 0x14 { Type 0, ShareDisposition 1, Flags 2, u 4 };
        CM_PARTIAL_RESOURCE_LIST 0x1C { Version 0, Revision 2, Count 4, PartialDescriptors 8 };
        CM_FULL_RESOURCE_DESCRIPTOR 0x24 { InterfaceType 0, BusNumber 4, PartialResourceList 8 };
        CM_RESOURCE_LIST 0x28 { Count 0, List 4 };
        GROUP_AFFINITY 0x10 { Mask 0, Group 8, Reserved 0xA };
        IO_STATUS_BLOCK 0x10 { Information 8 };
        CLIENT_ID 0x10 { UniqueProcess 0, UniqueThread 8 };
        LARGE_INTEGER 8 {};
        GUID 16 { Data1 0, Data2 4, Data3 6, Data4 8 };
        DEVPROPKEY 20 { fmtid 0, pid 16 };
    }
    assert_eq!(align_of::<wdk_sys::DEVICE_OBJECT>(), 16);
    assert_eq!(align_of::<wdk_sys::IRP>(), 16);
    assert_eq!(align_of::<wdk_sys::CM_PARTIAL_RESOURCE_DESCRIPTOR>(), 4);
}

/// Within a memory and an interrupt resource (Learn, CM_PARTIAL_RESOURCE_DESCRIPTOR).
#[test]
fn members_of_a_resource_are_where_the_page_puts_them() {
    // SAFETY: every bit pattern is a value of this structure.
    let resource: wdk_sys::CM_PARTIAL_RESOURCE_DESCRIPTOR = unsafe {
        std::mem::transmute([
            3_u8, 1, 4, 0, // type, share disposition, flags
            0, 0x10, 0, 0, 8, 0, 0, 0, // start, or level and vector
            0, 0x40, 0, 0, 9, 0, 0, 0, // length, or affinity
        ])
    };
    // SAFETY: the union's members are plain numbers.
    let memory = unsafe { resource.u.Memory };
    // SAFETY: as above.
    let start = unsafe { { memory.Start }.QuadPart };
    assert_eq!((start, { memory.Length }), (0x8_0000_1000, 0x4000));
    // SAFETY: as above.
    let message = unsafe { resource.u.MessageInterrupt.__bindgen_anon_1 };
    // SAFETY: as above.
    let raw = unsafe { message.Raw };
    // SAFETY: as above.
    let message = unsafe { message.Translated };
    assert_eq!(({ message.Level }, { message.Vector }, { message.Affinity }), (0x1000, 8, 0x9_0000_4000));
    assert_eq!(({ raw.MessageCount }, { raw.Vector }), (0, 8));
}

#[test]
fn structures_of_kmdf_have_the_layout_of_the_published_headers() {
    is! {
        WDF_DRIVER_GLOBALS 56 { Driver 0, DriverFlags 8, DriverTag 12, DriverName 16, DisplaceDriverUnload 48 };
        WDF_OBJECT_ATTRIBUTES 56 {
            Size 0, EvtCleanupCallback 8, EvtDestroyCallback 16, ExecutionLevel 24, SynchronizationScope 28,
            ParentObject 32, ContextSizeOverride 40, ContextTypeInfo 48,
        };
        WDF_OBJECT_CONTEXT_TYPE_INFO 40 {
            Size 0, ContextName 8, ContextSize 16, UniqueType 24, EvtDriverGetUniqueContextType 32,
        };
        WDF_DRIVER_CONFIG 32 {
            Size 0, EvtDriverDeviceAdd 8, EvtDriverUnload 16, DriverInitFlags 24, DriverPoolTag 28,
        };
        WDF_WORKITEM_CONFIG 24 { Size 0, EvtWorkItemFunc 8, AutomaticSerialization 16 };
        WDF_TIMER_CONFIG 40 {
            Size 0, EvtTimerFunc 8, Period 16, AutomaticSerialization 20, TolerableDelay 24, UseHighResolutionTimer 32,
        };
        WDF_PNPPOWER_EVENT_CALLBACKS 144 {
            Size 0, EvtDeviceD0Entry 8, EvtDeviceD0EntryPostInterruptsEnabled 16, EvtDeviceD0Exit 24,
            EvtDeviceD0ExitPreInterruptsDisabled 32, EvtDevicePrepareHardware 40, EvtDeviceReleaseHardware 48,
            EvtDeviceSelfManagedIoCleanup 56, EvtDeviceSelfManagedIoFlush 64, EvtDeviceSelfManagedIoInit 72,
            EvtDeviceSelfManagedIoSuspend 80, EvtDeviceSelfManagedIoRestart 88, EvtDeviceSurpriseRemoval 96,
            EvtDeviceQueryRemove 104, EvtDeviceQueryStop 112, EvtDeviceUsageNotification 120,
            EvtDeviceRelationsQuery 128, EvtDeviceUsageNotificationEx 136,
        };
        WDF_FILEOBJECT_CONFIG 40 {
            Size 0, EvtDeviceFileCreate 8, EvtFileClose 16, EvtFileCleanup 24, AutoForwardCleanupClose 32,
            FileObjectClass 36,
        };
        WDF_DEVICE_PNP_CAPABILITIES 48 {
            Size 0, LockSupported 4, EjectSupported 8, Removable 12, DockDevice 16, UniqueID 20, SilentInstall 24,
            SurpriseRemovalOK 28, HardwareDisabled 32, NoDisplayInUI 36, Address 40, UINumber 44,
        };
        WDF_DEVICE_PROPERTY_DATA 24 { Size 0, PropertyKey 8, Lcid 16, Flags 20 };
        WDF_INTERRUPT_CONFIG 104 {
            Size 0, SpinLock 8, ShareVector 16, FloatingSave 20, AutomaticSerialization 21, EvtInterruptIsr 24,
            EvtInterruptDpc 32, EvtInterruptEnable 40, EvtInterruptDisable 48, EvtInterruptWorkItem 56,
            InterruptRaw 64, InterruptTranslated 72, WaitLock 80, PassiveHandling 88, ReportInactiveOnPowerDown 92,
            CanWakeDevice 96,
        };
        WDF_INTERRUPT_INFO 64 {
            Size 0, Reserved1 8, TargetProcessorSet 16, Reserved2 24, MessageNumber 28, Vector 32, Irql 36, Mode 40,
            Polarity 44, MessageSignaled 48, ShareDisposition 49, Group 56,
        };
        WDF_INTERRUPT_EXTENDED_POLICY 32 { Size 0, Policy 4, Priority 8, TargetProcessorSetAndGroup 16 };
        WDF_IO_QUEUE_CONFIG 96 {
            Size 0, DispatchType 4, PowerManaged 8, AllowZeroLengthRequests 12, DefaultQueue 13, EvtIoDefault 16,
            EvtIoRead 24, EvtIoWrite 32, EvtIoDeviceControl 40, EvtIoInternalDeviceControl 48, EvtIoStop 56,
            EvtIoResume 64, EvtIoCanceledOnQueue 72, Settings 80, Driver 88,
        };
        WDF_REQUEST_PARAMETERS 40 { Size 0, MinorFunction 2, Type 4, Parameters 8 };
    }
}

/// Of DEVICE_REGISTRY_PROPERTY only the members without a string type are compared: the metadata holds the values that
/// wdm.h gives the static analyser, 0x1000 and more above those of the compiler.
#[test]
fn status_codes_and_enumerations_have_microsofts_values() {
    equal! {
        STATUS_TIMEOUT = win32::STATUS_TIMEOUT;
        STATUS_PENDING = win32::STATUS_PENDING;
        STATUS_BUFFER_OVERFLOW = win32::STATUS_BUFFER_OVERFLOW;
        STATUS_DEVICE_BUSY = win32::STATUS_DEVICE_BUSY;
        STATUS_NO_MORE_ENTRIES = win32::STATUS_NO_MORE_ENTRIES;
        STATUS_UNSUCCESSFUL = win32::STATUS_UNSUCCESSFUL;
        STATUS_NOT_IMPLEMENTED = win32::STATUS_NOT_IMPLEMENTED;
        STATUS_INFO_LENGTH_MISMATCH = win32::STATUS_INFO_LENGTH_MISMATCH;
        STATUS_ACCESS_VIOLATION = win32::STATUS_ACCESS_VIOLATION;
        STATUS_INVALID_HANDLE = win32::STATUS_INVALID_HANDLE;
        STATUS_INVALID_PARAMETER = win32::STATUS_INVALID_PARAMETER;
        STATUS_NO_SUCH_DEVICE = win32::STATUS_NO_SUCH_DEVICE;
        STATUS_INVALID_DEVICE_REQUEST = win32::STATUS_INVALID_DEVICE_REQUEST;
        STATUS_MORE_PROCESSING_REQUIRED = win32::STATUS_MORE_PROCESSING_REQUIRED;
        STATUS_NO_MEMORY = win32::STATUS_NO_MEMORY;
        STATUS_ACCESS_DENIED = win32::STATUS_ACCESS_DENIED;
        STATUS_BUFFER_TOO_SMALL = win32::STATUS_BUFFER_TOO_SMALL;
        STATUS_OBJECT_TYPE_MISMATCH = win32::STATUS_OBJECT_TYPE_MISMATCH;
        STATUS_OBJECT_NAME_NOT_FOUND = win32::STATUS_OBJECT_NAME_NOT_FOUND;
        STATUS_OBJECT_NAME_COLLISION = win32::STATUS_OBJECT_NAME_COLLISION;
        STATUS_DATA_ERROR = win32::STATUS_DATA_ERROR;
        STATUS_DELETE_PENDING = win32::STATUS_DELETE_PENDING;
        STATUS_REVISION_MISMATCH = win32::STATUS_REVISION_MISMATCH;
        STATUS_INTEGER_OVERFLOW = win32::STATUS_INTEGER_OVERFLOW;
        STATUS_INSUFFICIENT_RESOURCES = win32::STATUS_INSUFFICIENT_RESOURCES;
        STATUS_DEVICE_NOT_CONNECTED = win32::STATUS_DEVICE_NOT_CONNECTED;
        STATUS_DEVICE_NOT_READY = win32::STATUS_DEVICE_NOT_READY;
        STATUS_IO_TIMEOUT = win32::STATUS_IO_TIMEOUT;
        STATUS_NOT_SUPPORTED = win32::STATUS_NOT_SUPPORTED;
        STATUS_DEVICE_DOES_NOT_EXIST = win32::STATUS_DEVICE_DOES_NOT_EXIST;
        STATUS_INTERNAL_ERROR = win32::STATUS_INTERNAL_ERROR;
        STATUS_CANCELLED = win32::STATUS_CANCELLED;
        STATUS_DEVICE_CONFIGURATION_ERROR = win32::STATUS_DEVICE_CONFIGURATION_ERROR;
        STATUS_INVALID_DEVICE_STATE = win32::STATUS_INVALID_DEVICE_STATE;
        STATUS_IO_DEVICE_ERROR = win32::STATUS_IO_DEVICE_ERROR;
        STATUS_DEVICE_PROTOCOL_ERROR = win32::STATUS_DEVICE_PROTOCOL_ERROR;
        STATUS_NOT_FOUND = win32::STATUS_NOT_FOUND;
        STATUS_CONNECTION_INVALID = win32::STATUS_CONNECTION_INVALID;
        STATUS_DEVICE_REMOVED = win32::STATUS_DEVICE_REMOVED;
        STATUS_DEVICE_HARDWARE_ERROR = win32::STATUS_DEVICE_HARDWARE_ERROR;
        STATUS_RESOURCE_IN_USE = win32::STATUS_RESOURCE_IN_USE;

        _POOL_TYPE::NonPagedPoolNx = foundation::NonPagedPoolNx;
        _KDPC_IMPORTANCE::HighImportance = services::HighImportance;
        _KDPC_IMPORTANCE::MediumHighImportance = services::MediumHighImportance;
        _KBUGCHECK_CALLBACK_REASON::KbCallbackSecondaryDumpData = services::KbCallbackSecondaryDumpData;
        _KBUGCHECK_CALLBACK_REASON::KbCallbackAddPages = services::KbCallbackAddPages;
        KB_ADD_PAGES_FLAG_VIRTUAL_ADDRESS = services::KB_ADD_PAGES_FLAG_VIRTUAL_ADDRESS;
        PLUGPLAY_REGKEY_DEVICE = services::PLUGPLAY_REGKEY_DEVICE;
        _KINTERRUPT_MODE::Latched = services::Latched;
        _EVENT_TYPE::SynchronizationEvent = kernel::SynchronizationEvent;
        _TIMER_TYPE::SynchronizationTimer = kernel::SynchronizationTimer;
        _WAIT_TYPE::WaitAny = kernel::WaitAny;
        _INTERFACE_TYPE::PCIBus = services::PCIBus;
        _KEY_VALUE_INFORMATION_CLASS::KeyValuePartialInformation = registry::KeyValuePartialInformation;
        _EVENT_INFO_CLASS::EventProviderSetTraits = etw::EventProviderSetTraits;
        DEVICE_REGISTRY_PROPERTY::DevicePropertyBusNumber = services::DevicePropertyBusNumber;
        DEVICE_REGISTRY_PROPERTY::DevicePropertyAddress = services::DevicePropertyAddress;
    }
}

/// A driver calls through the table at eight times the index (wdfdriver.h and its like: `WdfFunctions[...TableIndex]`). The
/// indices are those of microsoft/Windows-Driver-Frameworks, src/publicinc/wdf/kmdf/1.15/wdffuncenum.h, whose 444 names
/// were compared with the table's, in order.
#[test]
fn functions_of_kmdf_are_where_drivers_call_them() {
    use wdk_sys::_WDFFUNCENUM as index;
    for (entry, offset) in [
        (index::WdfDeviceCreateTableIndex, 0x258),
        (index::WdfDeviceCreateDeviceInterfaceTableIndex, 0x268),
        (index::WdfDeviceCreateSymbolicLinkTableIndex, 0x280),
        (index::WdfDriverCreateTableIndex, 0x3A0),
        (index::WdfIoQueueCreateTableIndex, 0x4C0),
        (index::WdfObjectGetTypedContextWorkerTableIndex, 0x650),
        (index::WdfRequestCompleteTableIndex, 0x838),
        (index::WdfRequestCompleteWithInformationTableIndex, 0x848),
        (index::WdfRequestRetrieveInputBufferTableIndex, 0x868),
        (index::WdfRequestRetrieveOutputBufferTableIndex, 0x870),
    ] {
        assert_eq!(entry * 8, offset);
    }
    // wdffuncenum.h of 1.15: the last function and the number of functions.
    assert_eq!(index::WdfDeviceOpenDevicemapKeyTableIndex, 443);
    assert_eq!(index::WdfFunctionTableNumEntries, 444);
    assert_eq!(wdk_sys::wdf::__private::get_wdf_function_count(), 444);
}

/// The stand-in is made for one version of the framework; the workspace must name the same one.
#[test]
fn the_workspace_binds_the_version_of_the_table() {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../Cargo.toml");
    let manifest = std::fs::read_to_string(manifest).unwrap();
    for line in [r#"driver-type = "KMDF""#, "kmdf-version-major = 1", "target-kmdf-version-minor = 15"] {
        assert!(manifest.lines().any(|found| found == line), "Cargo.toml lacks {line:?}");
    }
}
