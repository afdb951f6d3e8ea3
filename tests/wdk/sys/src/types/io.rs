//! The I/O manager: drivers, devices, requests, interfaces between drivers.

use super::*;

opaque! {
    _DRIVER_EXTENSION: PDRIVER_EXTENSION;
    _DEVOBJ_EXTENSION: PDEVOBJ_EXTENSION;
    _FAST_IO_DISPATCH: PFAST_IO_DISPATCH;
    _IO_TIMER: PIO_TIMER;
    _VPB: PVPB;
    _FILE_OBJECT: PFILE_OBJECT;
    _IO_WORKITEM: PIO_WORKITEM;
    _OBJECT_TYPE: POBJECT_TYPE;
}

pub type PSECURITY_DESCRIPTOR = PVOID;

callbacks! {
    DRIVER_INITIALIZE | PDRIVER_INITIALIZE(
        DriverObject: *mut _DRIVER_OBJECT, RegistryPath: PUNICODE_STRING) -> NTSTATUS;
    DRIVER_UNLOAD | PDRIVER_UNLOAD(DriverObject: *mut _DRIVER_OBJECT);
    DRIVER_DISPATCH | PDRIVER_DISPATCH(DeviceObject: *mut _DEVICE_OBJECT, Irp: *mut _IRP) -> NTSTATUS;
    DRIVER_STARTIO | PDRIVER_STARTIO | DRIVER_CANCEL | PDRIVER_CANCEL(
        DeviceObject: *mut _DEVICE_OBJECT, Irp: *mut _IRP);
    IO_WORKITEM_ROUTINE | PIO_WORKITEM_ROUTINE(DeviceObject: PDEVICE_OBJECT, Context: PVOID);
    IO_COMPLETION_ROUTINE | PIO_COMPLETION_ROUTINE(
        DeviceObject: PDEVICE_OBJECT, Irp: PIRP, Context: PVOID) -> NTSTATUS;
    INTERFACE_REFERENCE | PINTERFACE_REFERENCE | INTERFACE_DEREFERENCE | PINTERFACE_DEREFERENCE(Context: PVOID);
    TRANSLATE_BUS_ADDRESS | PTRANSLATE_BUS_ADDRESS(
        Context: PVOID, BusAddress: PHYSICAL_ADDRESS, Length: ULONG, AddressSpace: PULONG,
        TranslatedAddress: PPHYSICAL_ADDRESS) -> BOOLEAN;
    GET_DMA_ADAPTER | PGET_DMA_ADAPTER(
        Context: PVOID, DeviceDescriptor: *mut _DEVICE_DESCRIPTION,
        NumberOfMapRegisters: PULONG) -> *mut _DMA_ADAPTER;
    GET_SET_DEVICE_DATA | PGET_SET_DEVICE_DATA(
        Context: PVOID, DataType: ULONG, Buffer: PVOID, Offset: ULONG, Length: ULONG) -> ULONG;
}

enumerations! {
    DEVICE_REGISTRY_PROPERTY {
        DevicePropertyDeviceDescription = 0x0,
        DevicePropertyHardwareID = 0x1,
        DevicePropertyCompatibleIDs = 0x2,
        DevicePropertyBootConfiguration = 0x3,
        DevicePropertyBootConfigurationTranslated = 0x4,
        DevicePropertyClassName = 0x5,
        DevicePropertyClassGuid = 0x6,
        DevicePropertyDriverKeyName = 0x7,
        DevicePropertyManufacturer = 0x8,
        DevicePropertyFriendlyName = 0x9,
        DevicePropertyLocationInformation = 0xA,
        DevicePropertyPhysicalDeviceObjectName = 0xB,
        DevicePropertyBusTypeGuid = 0xC,
        DevicePropertyLegacyBusType = 0xD,
        DevicePropertyBusNumber = 0xE,
        DevicePropertyEnumeratorName = 0xF,
        DevicePropertyAddress = 0x10,
        DevicePropertyUINumber = 0x11,
        DevicePropertyInstallState = 0x12,
        DevicePropertyRemovalPolicy = 0x13,
        DevicePropertyResourceRequirements = 0x14,
        DevicePropertyAllocatedResources = 0x15,
        DevicePropertyContainerID = 0x16,
    }
    _DEVICE_RELATION_TYPE = DEVICE_RELATION_TYPE {
        BusRelations = 0,
        EjectionRelations = 1,
        PowerRelations = 2,
        RemovalRelations = 3,
        TargetDeviceRelation = 4,
        SingleBusRelations = 5,
        TransportRelations = 6,
    }
    _POOL_TYPE = POOL_TYPE { NonPagedPool = 0, PagedPool = 1, NonPagedPoolNx = 512 }
    _WORK_QUEUE_TYPE = WORK_QUEUE_TYPE {
        CriticalWorkQueue = 0,
        DelayedWorkQueue = 1,
        HyperCriticalWorkQueue = 2,
    }
}

structs! {
    _DRIVER_OBJECT = DRIVER_OBJECT, PDRIVER_OBJECT {
        Type: CSHORT,
        Size: CSHORT,
        DeviceObject: PDEVICE_OBJECT,
        Flags: ULONG,
        DriverStart: PVOID,
        DriverSize: ULONG,
        DriverSection: PVOID,
        DriverExtension: PDRIVER_EXTENSION,
        DriverName: UNICODE_STRING,
        HardwareDatabase: PUNICODE_STRING,
        FastIoDispatch: PFAST_IO_DISPATCH,
        DriverInit: PDRIVER_INITIALIZE,
        DriverStartIo: PDRIVER_STARTIO,
        DriverUnload: PDRIVER_UNLOAD,
        MajorFunction: [PDRIVER_DISPATCH; 28],
    }
    #[repr(align(16))]
    _DEVICE_OBJECT = DEVICE_OBJECT, PDEVICE_OBJECT {
        Type: CSHORT,
        Size: USHORT,
        ReferenceCount: LONG,
        DriverObject: *mut _DRIVER_OBJECT,
        NextDevice: *mut _DEVICE_OBJECT,
        AttachedDevice: *mut _DEVICE_OBJECT,
        CurrentIrp: *mut _IRP,
        Timer: PIO_TIMER,
        Flags: ULONG,
        Characteristics: ULONG,
        Vpb: PVPB,
        DeviceExtension: PVOID,
        DeviceType: DEVICE_TYPE,
        StackSize: CCHAR,
        Queue: [ULONGLONG; 9],
        AlignmentRequirement: ULONG,
        DeviceQueue: KDEVICE_QUEUE,
        Dpc: KDPC,
        ActiveThreadCount: ULONG,
        SecurityDescriptor: PSECURITY_DESCRIPTOR,
        DeviceLock: KEVENT,
        SectorSize: USHORT,
        Spare1: USHORT,
        DeviceObjectExtension: PDEVOBJ_EXTENSION,
        Reserved: PVOID,
    }
    _MDL = MDL, PMDL, PMDLX {
        Next: *mut _MDL,
        Size: CSHORT,
        MdlFlags: CSHORT,
        AllocationProcessorNumber: USHORT,
        Reserved: USHORT,
        Process: *mut _EPROCESS,
        MappedSystemVa: PVOID,
        StartVa: PVOID,
        ByteCount: ULONG,
        ByteOffset: ULONG,
    }
    _IO_STATUS_BLOCK = IO_STATUS_BLOCK, PIO_STATUS_BLOCK {
        __bindgen_anon_1: _IO_STATUS_BLOCK__bindgen_ty_1,
        Information: ULONG_PTR,
    }
    #[repr(align(16))]
    _IRP = IRP, PIRP {
        Type: CSHORT,
        Size: USHORT,
        AllocationProcessorNumber: USHORT,
        Reserved: USHORT,
        MdlAddress: PMDL,
        Flags: ULONG,
        AssociatedIrp: _IRP__bindgen_ty_1,
        ThreadListEntry: LIST_ENTRY,
        IoStatus: IO_STATUS_BLOCK,
        RequestorMode: KPROCESSOR_MODE,
        PendingReturned: BOOLEAN,
        StackCount: CHAR,
        CurrentLocation: CHAR,
        Cancel: BOOLEAN,
        CancelIrql: KIRQL,
        ApcEnvironment: CCHAR,
        AllocationFlags: UCHAR,
        __bindgen_anon_1: PIO_STATUS_BLOCK,
        UserEvent: PKEVENT,
        Overlay: [ULONGLONG; 2],
        CancelRoutine: PDRIVER_CANCEL,
        UserBuffer: PVOID,
        Tail: [ULONGLONG; 11],
    }
    _INTERFACE = INTERFACE, PINTERFACE {
        Size: USHORT,
        Version: USHORT,
        Context: PVOID,
        InterfaceReference: PINTERFACE_REFERENCE,
        InterfaceDereference: PINTERFACE_DEREFERENCE,
    }
    _BUS_INTERFACE_STANDARD = BUS_INTERFACE_STANDARD, PBUS_INTERFACE_STANDARD {
        Size: USHORT,
        Version: USHORT,
        Context: PVOID,
        InterfaceReference: PINTERFACE_REFERENCE,
        InterfaceDereference: PINTERFACE_DEREFERENCE,
        TranslateBusAddress: PTRANSLATE_BUS_ADDRESS,
        GetDmaAdapter: PGET_DMA_ADAPTER,
        SetBusData: PGET_SET_DEVICE_DATA,
        GetBusData: PGET_SET_DEVICE_DATA,
    }
}

unions! {
    _IO_STATUS_BLOCK__bindgen_ty_1 { Status: NTSTATUS, Pointer: PVOID }
    _IRP__bindgen_ty_1 { MasterIrp: *mut _IRP, IrpCount: LONG, SystemBuffer: PVOID }
}
