//! KMDF: queues and requests.

use super::*;

callbacks! {
    EVT_WDF_IO_QUEUE_IO_DEFAULT | PFN_WDF_IO_QUEUE_IO_DEFAULT(Queue: WDFQUEUE, Request: WDFREQUEST);
    EVT_WDF_IO_QUEUE_IO_READ | PFN_WDF_IO_QUEUE_IO_READ(Queue: WDFQUEUE, Request: WDFREQUEST, Length: usize);
    EVT_WDF_IO_QUEUE_IO_WRITE | PFN_WDF_IO_QUEUE_IO_WRITE(Queue: WDFQUEUE, Request: WDFREQUEST, Length: usize);
    EVT_WDF_IO_QUEUE_IO_DEVICE_CONTROL | PFN_WDF_IO_QUEUE_IO_DEVICE_CONTROL
        | EVT_WDF_IO_QUEUE_IO_INTERNAL_DEVICE_CONTROL | PFN_WDF_IO_QUEUE_IO_INTERNAL_DEVICE_CONTROL(
        Queue: WDFQUEUE, Request: WDFREQUEST, OutputBufferLength: usize, InputBufferLength: usize,
        IoControlCode: ULONG);
    EVT_WDF_IO_QUEUE_IO_STOP | PFN_WDF_IO_QUEUE_IO_STOP(
        Queue: WDFQUEUE, Request: WDFREQUEST, ActionFlags: ULONG);
    EVT_WDF_IO_QUEUE_IO_RESUME | PFN_WDF_IO_QUEUE_IO_RESUME(Queue: WDFQUEUE, Request: WDFREQUEST);
    EVT_WDF_IO_QUEUE_IO_CANCELED_ON_QUEUE | PFN_WDF_IO_QUEUE_IO_CANCELED_ON_QUEUE(
        Queue: WDFQUEUE, Request: WDFREQUEST);
    EVT_WDF_IO_QUEUE_STATE | PFN_WDF_IO_QUEUE_STATE(Queue: WDFQUEUE, Context: WDFCONTEXT);
    EVT_WDF_REQUEST_CANCEL | PFN_WDF_REQUEST_CANCEL(Request: WDFREQUEST);
}

enumerations! {
    _WDF_IO_QUEUE_DISPATCH_TYPE = WDF_IO_QUEUE_DISPATCH_TYPE {
        WdfIoQueueDispatchInvalid = 0,
        WdfIoQueueDispatchSequential = 1,
        WdfIoQueueDispatchParallel = 2,
        WdfIoQueueDispatchManual = 3,
        WdfIoQueueDispatchMax = 4,
    }
    _WDF_REQUEST_TYPE = WDF_REQUEST_TYPE {
        WdfRequestTypeCreate = 0x0,
        WdfRequestTypeClose = 0x2,
        WdfRequestTypeRead = 0x3,
        WdfRequestTypeWrite = 0x4,
        WdfRequestTypeDeviceControl = 0xE,
        WdfRequestTypeDeviceControlInternal = 0xF,
        WdfRequestTypeCleanup = 0x12,
    }
}

structs! {
    _WDF_IO_QUEUE_CONFIG__bindgen_ty_1__bindgen_ty_1 { NumberOfPresentedRequests: ULONG }
    _WDF_IO_QUEUE_CONFIG = WDF_IO_QUEUE_CONFIG, PWDF_IO_QUEUE_CONFIG {
        Size: ULONG,
        DispatchType: WDF_IO_QUEUE_DISPATCH_TYPE,
        PowerManaged: WDF_TRI_STATE,
        AllowZeroLengthRequests: BOOLEAN,
        DefaultQueue: BOOLEAN,
        EvtIoDefault: PFN_WDF_IO_QUEUE_IO_DEFAULT,
        EvtIoRead: PFN_WDF_IO_QUEUE_IO_READ,
        EvtIoWrite: PFN_WDF_IO_QUEUE_IO_WRITE,
        EvtIoDeviceControl: PFN_WDF_IO_QUEUE_IO_DEVICE_CONTROL,
        EvtIoInternalDeviceControl: PFN_WDF_IO_QUEUE_IO_INTERNAL_DEVICE_CONTROL,
        EvtIoStop: PFN_WDF_IO_QUEUE_IO_STOP,
        EvtIoResume: PFN_WDF_IO_QUEUE_IO_RESUME,
        EvtIoCanceledOnQueue: PFN_WDF_IO_QUEUE_IO_CANCELED_ON_QUEUE,
        Settings: _WDF_IO_QUEUE_CONFIG__bindgen_ty_1,
        Driver: WDFDRIVER,
    }
    _WDF_REQUEST_PARAMETERS__bindgen_ty_1__bindgen_ty_1 {
        SecurityContext: PVOID,
        Options: ULONG,
        __bindgen_padding_0: u32,
        FileAttributes: USHORT,
        ShareAccess: USHORT,
        __bindgen_padding_1: u32,
        EaLength: ULONG,
        __bindgen_padding_2: u32,
    }
    _WDF_REQUEST_PARAMETERS__bindgen_ty_1__bindgen_ty_2 {
        Length: usize,
        Key: ULONG,
        DeviceOffset: LONGLONG,
    }
    _WDF_REQUEST_PARAMETERS__bindgen_ty_1__bindgen_ty_3 {
        Length: usize,
        Key: ULONG,
        DeviceOffset: LONGLONG,
    }
    _WDF_REQUEST_PARAMETERS__bindgen_ty_1__bindgen_ty_4 {
        OutputBufferLength: usize,
        InputBufferLength: usize,
        IoControlCode: ULONG,
        Type3InputBuffer: PVOID,
    }
    _WDF_REQUEST_PARAMETERS__bindgen_ty_1__bindgen_ty_5 {
        Arg1: PVOID,
        Arg2: PVOID,
        IoControlCode: ULONG,
        Arg4: PVOID,
    }
    _WDF_REQUEST_PARAMETERS = WDF_REQUEST_PARAMETERS, PWDF_REQUEST_PARAMETERS {
        Size: USHORT,
        MinorFunction: UCHAR,
        Type: WDF_REQUEST_TYPE,
        Parameters: _WDF_REQUEST_PARAMETERS__bindgen_ty_1,
    }
}

unions! {
    _WDF_IO_QUEUE_CONFIG__bindgen_ty_1 { Parallel: _WDF_IO_QUEUE_CONFIG__bindgen_ty_1__bindgen_ty_1 }
    _WDF_REQUEST_PARAMETERS__bindgen_ty_1 {
        Create: _WDF_REQUEST_PARAMETERS__bindgen_ty_1__bindgen_ty_1,
        Read: _WDF_REQUEST_PARAMETERS__bindgen_ty_1__bindgen_ty_2,
        Write: _WDF_REQUEST_PARAMETERS__bindgen_ty_1__bindgen_ty_3,
        DeviceIoControl: _WDF_REQUEST_PARAMETERS__bindgen_ty_1__bindgen_ty_4,
        Others: _WDF_REQUEST_PARAMETERS__bindgen_ty_1__bindgen_ty_5,
    }
}
