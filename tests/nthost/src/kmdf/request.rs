//! Requests and files: WDFREQUEST, WDFFILEOBJECT.

use super::object::{Attributes, Body};
use super::status;
use crate::export::{ANY, DISPATCH, PASSIVE, exports};
use crate::io::layout::{irp, stack};
use crate::kernel::Kernel;

/// A WDFREQUEST.
#[derive(Debug)]
pub(super) struct Request {
    packet: u64,
    queue: u64,
    file: u64,
    /// EvtRequestCancel while the request is cancelable.
    cancelable: u64,
    /// EvtRequestCancel has been called: the driver completes and need not unmark.
    cancel_called: bool,
    completed: bool,
    /// The packet's parameters at its arrival: output length, input length, control code, type 3 input.
    parameters: [u64; 4],
    function: u8,
}

/// A WDFFILEOBJECT.
#[derive(Debug, Clone, Copy)]
pub(super) struct FileObject {
    device: u64,
    object: u64,
}

/// Transfer method of a control code.
const METHOD_BUFFERED: u64 = 0;
const METHOD_NEITHER: u64 = 3;
/// sizeof(WDF_REQUEST_PARAMETERS).
const PARAMETERS_SIZE: u16 = 0x28;

impl Kernel {
    fn wdf_request<R>(&self, handle: u64, work: impl FnOnce(&mut Request) -> R) -> R {
        let found = self.wdf_object(handle, |object| match &mut object.body {
            Body::Request(request) => Some(work(request)),
            _ => None,
        });
        found.unwrap_or_else(|| self.wrong_handle(handle, "WDFREQUEST"))
    }

    /// A request that its driver still holds.
    fn live_request<R>(&self, handle: u64, work: impl FnOnce(&mut Request) -> R) -> R {
        if self.wdf_request(handle, |request| request.completed) {
            self.wdf_violation("WdfRequestCompleted", "a request is used after it was completed");
        }
        self.wdf_request(handle, work)
    }

    /// Makes a request of a packet.
    pub(super) fn new_request(&self, device: u64, queue: u64, packet: u64) -> u64 {
        let object: u64 = self.read(self.current_stack(packet) + stack::FILE);
        let file = self.file_of(device, object).unwrap_or(0);
        let parameters =
            core::array::from_fn(|index| self.irp_parameter(packet, u64::try_from(index).unwrap_or(0)));
        let (function, _) = self.irp_function(packet);
        let body = Request {
            packet,
            queue,
            file,
            cancelable: 0,
            cancel_called: false,
            completed: false,
            parameters,
            function,
        };
        let client = self.wdf_client(device);
        self.wdf_create(client, device, &Attributes::default(), Body::Request(Box::new(body)))
    }

    /// The packet of a request.
    pub(super) fn request_packet(&self, handle: u64) -> u64 {
        self.live_request(handle, |request| request.packet)
    }

    /// The queue a request came from.
    pub(super) fn request_queue(&self, handle: u64) -> u64 {
        self.live_request(handle, |request| request.queue)
    }

    pub(super) fn set_request_queue(&self, handle: u64, queue: u64) {
        self.live_request(handle, |request| request.queue = queue);
    }

    /// Completes a request, once.
    pub(super) fn complete_request(&self, handle: u64, result: i32, information: u64) {
        let (packet, queue, cancelable) =
            self.live_request(handle, |request| (request.packet, request.queue, request.cancelable));
        if cancelable != 0 {
            self.wdf_violation(
                "WdfRequestCancelable",
                "a request is completed while it is cancelable: call WdfRequestUnmarkCancelable first",
            );
        }
        self.wdf_request(handle, |request| request.completed = true);
        if queue != 0 {
            self.request_left(queue, handle);
        }
        // The request is gone for the driver before the packet is, so that nobody finds it in between.
        self.wdf_delete(handle);
        self.finish_irp(packet, result, information);
        if queue != 0 && self.kmdf.objects.with(|objects| objects.contains(queue)) {
            self.present_requests(queue);
        }
    }

    fn mark_cancelable(&self, handle: u64, routine: u64) -> bool {
        let packet = self.live_request(handle, |request| {
            request.cancelable = routine;
            request.packet
        });
        let cancel = move |k: &Self| k.request_cancelled(handle);
        if self.set_irp_cancel(packet, Some(Box::new(cancel))) {
            self.set_irp_cancel(packet, None);
            self.wdf_request(handle, |request| request.cancelable = 0);
            return false;
        }
        true
    }

    /// EvtRequestCancel of a request that was cancelable.
    fn request_cancelled(&self, handle: u64) {
        let routine = self.live_request(handle, |request| {
            request.cancel_called = true;
            core::mem::take(&mut request.cancelable)
        });
        if routine != 0 {
            self.call("EvtRequestCancel", routine, &[handle]);
        }
    }

    /// The buffer of a control request: address and length, or a status.
    fn request_buffer(&self, handle: u64, output: bool, least: u64) -> Result<(u64, u64), i32> {
        let (packet, parameters) = self.live_request(handle, |request| (request.packet, request.parameters));
        let [output_length, input_length, code, _] = parameters;
        let length = if output { output_length } else { input_length } & 0xFFFF_FFFF;
        if length == 0 || length < least {
            return Err(status::BUFFER_TOO_SMALL);
        }
        match code & 3 {
            METHOD_NEITHER => Err(status::INVALID_DEVICE_REQUEST),
            method if output && method != METHOD_BUFFERED => {
                let mdl: u64 = self.read(packet + irp::MDL);
                let address = self.map_mdl(mdl).ok_or(status::INSUFFICIENT_RESOURCES)?;
                Ok((address, length))
            }
            _ => Ok((self.read(packet + irp::SYSTEM_BUFFER), length)),
        }
    }

    /// The WDFFILEOBJECT of a FILE_OBJECT.
    fn file_of(&self, device: u64, object: u64) -> Option<u64> {
        self.kmdf.objects.with(|objects| objects.file_of(device, object))
    }

    fn wdf_file(&self, handle: u64) -> FileObject {
        let found = self.wdf_object(handle, |object| match object.body {
            Body::File(file) => Some(file),
            _ => None,
        });
        found.unwrap_or_else(|| self.wrong_handle(handle, "WDFFILEOBJECT"))
    }

    /// IRP_MJ_CREATE.
    pub(super) fn wdf_file_create(&self, device: u64, packet: u64) -> i32 {
        let config = self.wdf_device(device, |device| device.file);
        let object: u64 = self.read(self.current_stack(packet) + stack::FILE);
        if config.wanted {
            let body = Body::File(FileObject { device, object });
            self.wdf_create(self.wdf_client(device), device, &config.attributes, body);
        }
        if config.create == 0 {
            return self.finish_irp(packet, status::SUCCESS, 0);
        }
        let at = self.current_stack(packet);
        let control: u8 = self.read(at + stack::CONTROL);
        self.write(at + stack::CONTROL, control | stack::SL_PENDING_RETURNED);
        let request = self.new_request(device, 0, packet);
        let file = self.file_of(device, object).unwrap_or(0);
        self.call("EvtDeviceFileCreate", config.create, &[device, request, file]);
        status::PENDING
    }

    /// IRP_MJ_CLEANUP: the last handle was closed.
    pub(super) fn wdf_file_cleanup(&self, device: u64, packet: u64) -> i32 {
        let config = self.wdf_device(device, |device| device.file);
        let object: u64 = self.read(self.current_stack(packet) + stack::FILE);
        if let Some(file) = self.file_of(device, object)
            && config.cleanup != 0
        {
            self.call("EvtFileCleanup", config.cleanup, &[file]);
        }
        self.finish_irp(packet, status::SUCCESS, 0)
    }

    /// IRP_MJ_CLOSE: the last reference is gone.
    pub(super) fn wdf_file_close(&self, device: u64, packet: u64) -> i32 {
        let config = self.wdf_device(device, |device| device.file);
        let object: u64 = self.read(self.current_stack(packet) + stack::FILE);
        if let Some(file) = self.file_of(device, object) {
            if config.close != 0 {
                self.call("EvtFileClose", config.close, &[file]);
            }
            self.wdf_delete(file);
        }
        self.finish_irp(packet, status::SUCCESS, 0)
    }
}

impl FileObject {
    /// Whether this is the framework's half of a FILE_OBJECT.
    pub(super) fn is(&self, device: u64, object: u64) -> bool {
        (self.device, self.object) == (device, object)
    }
}

/// Writes a buffer's address and length for the driver.
fn give_buffer(k: &Kernel, found: Result<(u64, u64), i32>, buffer: u64, length: u64) -> i32 {
    match found {
        Ok((address, bytes)) => {
            k.write(buffer, address);
            if length != 0 {
                k.write(length, bytes);
            }
            status::SUCCESS
        }
        Err(error) => error,
    }
}

exports! {
    module "Wdf01000.sys";

    /// Completes a request.
    fn WdfRequestComplete(k; _globals: u64, request: u64, result: i32)
        [DISPATCH, "Learn, WdfRequestComplete: <= DISPATCH_LEVEL"]
    {
        let packet = k.request_packet(request);
        let information: u64 = k.read(packet + irp::INFORMATION);
        k.complete_request(request, result, information);
    }

    /// Completes a request with its count of bytes.
    fn WdfRequestCompleteWithInformation(k; _globals: u64, request: u64, result: i32, information: u64)
        [DISPATCH, "Learn, WdfRequestCompleteWithInformation: <= DISPATCH_LEVEL"]
    {
        k.complete_request(request, result, information);
    }

    /// Sets the count of bytes.
    fn WdfRequestSetInformation(k; _globals: u64, request: u64, information: u64)
        [DISPATCH, "Learn, WdfRequestSetInformation: <= DISPATCH_LEVEL"]
    {
        let packet = k.request_packet(request);
        k.write(packet + irp::INFORMATION, information);
    }

    /// The input of a control request.
    fn WdfRequestRetrieveInputBuffer(k; _globals: u64, request: u64, least: u64, buffer: u64, length: u64) -> i32
        [DISPATCH, "Learn, WdfRequestRetrieveInputBuffer: <= DISPATCH_LEVEL"]
    {
        give_buffer(k, k.request_buffer(request, false, least), buffer, length)
    }

    /// The output of a control request.
    fn WdfRequestRetrieveOutputBuffer(k; _globals: u64, request: u64, least: u64, buffer: u64, length: u64) -> i32
        [DISPATCH, "Learn, WdfRequestRetrieveOutputBuffer: <= DISPATCH_LEVEL"]
    {
        give_buffer(k, k.request_buffer(request, true, least), buffer, length)
    }

    /// The MDL of a direct control request's buffer.
    fn WdfRequestRetrieveOutputWdmMdl(k; _globals: u64, request: u64, result: u64) -> i32
        [DISPATCH, "Learn, WdfRequestRetrieveOutputWdmMdl: <= DISPATCH_LEVEL"]
    {
        let (packet, code) = k.live_request(request, |request| (request.packet, request.parameters[2]));
        let mdl: u64 = k.read(packet + irp::MDL);
        match code & 3 {
            METHOD_NEITHER => return status::INVALID_DEVICE_REQUEST,
            METHOD_BUFFERED => k.wdf_violation(
                "WdfFunction",
                "WdfRequestRetrieveOutputWdmMdl for METHOD_BUFFERED is not implemented in this machine",
            ),
            _ => {}
        }
        k.write(result, mdl);
        if mdl == 0 { status::BUFFER_TOO_SMALL } else { status::SUCCESS }
    }

    /// What is asked for.
    fn WdfRequestGetParameters(k; _globals: u64, request: u64, at: u64)
        [DISPATCH, "Learn, WdfRequestGetParameters: <= DISPATCH_LEVEL"]
    {
        let (parameters, function) = k.live_request(request, |request| (request.parameters, request.function));
        if k.read::<u16>(at) != PARAMETERS_SIZE {
            k.wdf_violation("WdfStructureSize", "WDF_REQUEST_PARAMETERS.Size is wrong: use WDF_REQUEST_PARAMETERS_INIT");
        }
        k.write(at + 2, 0_u8);
        k.write(at + 4, u32::from(function));
        for (index, value) in (0..).zip(parameters) {
            k.write(at + 8 + 8 * index, value);
        }
    }

    /// Lets a request be cancelled; a request that is cancelled already is refused.
    fn WdfRequestMarkCancelableEx(k; _globals: u64, request: u64, routine: u64) -> i32
        [DISPATCH, "Learn, WdfRequestMarkCancelableEx: <= DISPATCH_LEVEL"]
    {
        if k.live_request(request, |request| request.cancelable) != 0 {
            return status::WDF_REQUEST_ALREADY_PENDING;
        }
        if k.mark_cancelable(request, routine) { status::SUCCESS } else { status::CANCELLED }
    }

    /// Lets a request be cancelled; a request that is cancelled already gets its callback at once.
    fn WdfRequestMarkCancelable(k; _globals: u64, request: u64, routine: u64)
        [DISPATCH, "Learn, WdfRequestMarkCancelable: <= DISPATCH_LEVEL"]
    {
        if !k.mark_cancelable(request, routine) {
            k.wdf_request(request, |request| request.cancel_called = true);
            k.call("EvtRequestCancel", routine, &[request]);
        }
    }

    /// Takes cancelability back.
    fn WdfRequestUnmarkCancelable(k; _globals: u64, request: u64) -> i32
        [DISPATCH, "Learn, WdfRequestUnmarkCancelable: <= DISPATCH_LEVEL"]
    {
        let (packet, called, before) = k.live_request(request, |request| {
            (request.packet, request.cancel_called, core::mem::take(&mut request.cancelable))
        });
        if called {
            return status::CANCELLED;
        }
        if before == 0 {
            return status::WDF_REQUEST_INVALID_STATE;
        }
        k.set_irp_cancel(packet, None);
        status::SUCCESS
    }

    /// Whether cancellation was asked for.
    fn WdfRequestIsCanceled(k; _globals: u64, request: u64) -> u8
        [DISPATCH, "Learn, WdfRequestIsCanceled: <= DISPATCH_LEVEL"]
    {
        k.read(k.request_packet(request) + irp::CANCEL)
    }

    /// The file a request came through.
    fn WdfRequestGetFileObject(k; _globals: u64, request: u64) -> u64
        [DISPATCH, "Learn, WdfRequestGetFileObject: <= DISPATCH_LEVEL"]
    {
        k.live_request(request, |request| request.file)
    }

    /// The queue a request came from.
    fn WdfRequestGetIoQueue(k; _globals: u64, request: u64) -> u64
        [DISPATCH, "Learn, WdfRequestGetIoQueue: <= DISPATCH_LEVEL"]
    {
        k.request_queue(request)
    }

    /// UserMode or KernelMode.
    fn WdfRequestGetRequestorMode(k; _globals: u64, request: u64) -> u8
        [DISPATCH, "Learn, WdfRequestGetRequestorMode: <= DISPATCH_LEVEL"]
    {
        k.read(k.request_packet(request) + irp::REQUESTOR_MODE)
    }

    /// The packet.
    fn WdfRequestWdmGetIrp(k; _globals: u64, request: u64) -> u64
        [DISPATCH, "Learn, WdfRequestWdmGetIrp: <= DISPATCH_LEVEL"]
    {
        k.request_packet(request)
    }

    /// The device of a file.
    fn WdfFileObjectGetDevice(k; _globals: u64, file: u64) -> u64
        [PASSIVE, "Learn, WdfFileObjectGetDevice: PASSIVE_LEVEL"]
    {
        k.wdf_file(file).device
    }

    /// The FILE_OBJECT of a file.
    pure fn WdfFileObjectWdmGetFileObject(k; _globals: u64, file: u64) -> u64
        [ANY, "KMDF: any level"]
    {
        k.wdf_file(file).object
    }
}
