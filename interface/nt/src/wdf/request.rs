//! Requests from user mode.
//!
//! A request is read, answered and completed at up to DISPATCH_LEVEL ("WdfRequestRetrieveInputBuffer", "WdfRequestComplete").

use core::mem::ManuallyDrop;
use core::ptr;

use wdk_sys::{
    _WDF_FILEOBJECT_CLASS, _WDF_IO_QUEUE_DISPATCH_TYPE, _WDF_TRI_STATE, MDL, ULONG, ULONG_PTR,
    WDF_FILEOBJECT_CONFIG, WDF_IO_QUEUE_CONFIG, WDFDEVICE, WDFFILEOBJECT, WDFQUEUE, WDFREQUEST,
    call_unsafe_wdf_function_binding,
};

use super::context;
use super::device::{Device, DeviceHandle, DeviceInit};
use crate::irql::Passive;
use crate::mdl::Chain;
use crate::{Result, Status};

/// A device that serves I/O control requests.
pub trait DeviceControl: Device {
    /// A request has come (EvtIoDeviceControl). Several may be under way at once. `request` may be kept and completed
    /// later, on any thread; dropped, it is completed as cancelled.
    fn device_control(&self, request: Request, code: u32, irql: &mut Passive);

    /// The last handle to `file` is closed (EvtFileCleanup). Requests of it may still be under way. Called when the
    /// device asked for it with [`DeviceInit::watch_files`].
    fn file_closed(&self, file: File, irql: &mut Passive) {
        let _unused = (file, irql);
    }

    /// No request of `file` is under way any more (EvtFileClose): what one has left after
    /// [`file_closed`](Self::file_closed) can be cleared away. Likewise.
    fn file_done(&self, file: File, irql: &mut Passive) {
        let _unused = (file, irql);
    }
}

/// When a device's requests reach [`DeviceControl`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    /// While the device is in D0 (a power managed queue): requests are held back otherwise, and the device leaves D0 only
    /// once those that were handed out are completed.
    WhileWorking,
    /// From the start of the device to its removal, whatever its power state: for requests that need no hardware.
    Always,
}

/// What a request was sent through: one for each time the device was opened. Only good for comparing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct File(usize);

impl DeviceInit<'_> {
    /// Lets the device hear of closed files (WdfDeviceInitSetFileObjectConfig).
    pub fn watch_files<D: DeviceControl>(&mut self) {
        let mut config = WDF_FILEOBJECT_CONFIG {
            Size: size_of::<WDF_FILEOBJECT_CONFIG>() as ULONG,
            EvtFileCleanup: Some(file_cleanup::<D>),
            EvtFileClose: Some(file_close::<D>),
            AutoForwardCleanupClose: _WDF_TRI_STATE::WdfUseDefault,
            FileObjectClass: _WDF_FILEOBJECT_CLASS::WdfFileObjectWdfCannotUseFsContexts,
            ..WDF_FILEOBJECT_CONFIG::default()
        };
        // SAFETY: the structure is lent for the callback; the framework copies the configuration; no attributes are given.
        unsafe {
            call_unsafe_wdf_function_binding!(
                WdfDeviceInitSetFileObjectConfig,
                self.as_raw(),
                &mut config,
                ptr::null_mut()
            )
        };
    }
}

impl<D: DeviceControl> DeviceHandle<'_, D> {
    /// Creates the queue through which requests reach [`DeviceControl`] (WdfIoQueueCreate), at PASSIVE_LEVEL: default,
    /// parallel.
    ///
    /// # Errors
    /// What the framework reports.
    pub fn serve_requests(self, served: Served, _irql: &Passive) -> Result {
        let mut config = WDF_IO_QUEUE_CONFIG {
            Size: size_of::<WDF_IO_QUEUE_CONFIG>() as ULONG,
            DispatchType: _WDF_IO_QUEUE_DISPATCH_TYPE::WdfIoQueueDispatchParallel,
            PowerManaged: match served {
                Served::WhileWorking => _WDF_TRI_STATE::WdfTrue,
                Served::Always => _WDF_TRI_STATE::WdfFalse,
            },
            DefaultQueue: 1,
            EvtIoDeviceControl: Some(device_control::<D>),
            ..WDF_IO_QUEUE_CONFIG::default()
        };
        // As many as come: WDF_IO_QUEUE_CONFIG_INIT_DEFAULT_QUEUE of wdfio.h.
        config.Settings.Parallel.NumberOfPresentedRequests = ULONG::MAX;
        let mut attributes = context::passive_attributes();
        let mut queue: WDFQUEUE = ptr::null_mut();
        // SAFETY: the device is not deleted during the handle's life; the others are locals.
        Status::check(unsafe {
            call_unsafe_wdf_function_binding!(
                WdfIoQueueCreate,
                self.as_raw(),
                &mut config,
                &mut attributes,
                &mut queue
            )
        })
    }
}

/// A request that waits for its completion. Completing consumes it, so it is completed exactly once.
#[derive(Debug)]
pub struct Request(WDFREQUEST);

// SAFETY: a request may be completed and its buffers used on any thread.
unsafe impl Send for Request {}
// SAFETY: shared access gives only lookups, which the framework serialises.
unsafe impl Sync for Request {}

impl Request {
    /// Copies the beginning of the input buffer to `into`, and gives the length of all of it.
    ///
    /// # Errors
    /// BUFFER_TOO_SMALL when the input is shorter than `into`.
    pub fn read_input(&self, into: &mut [u8]) -> Result<usize> {
        let mut buffer = ptr::null_mut();
        let mut length = 0;
        // SAFETY: the request is not completed; the others are locals.
        Status::check(unsafe {
            call_unsafe_wdf_function_binding!(
                WdfRequestRetrieveInputBuffer,
                self.0,
                into.len(),
                &mut buffer,
                &mut length
            )
        })?;
        // SAFETY: the framework gave a buffer of at least this length, which the system keeps until completion and nobody
        // else writes; `into` is memory of ours, so they do not overlap.
        unsafe { ptr::copy_nonoverlapping(buffer.cast::<u8>(), into.as_mut_ptr(), into.len()) };
        Ok(length)
    }

    /// Bytes of the output buffer.
    ///
    /// # Errors
    /// BUFFER_TOO_SMALL when there is none.
    pub fn output_length(&self) -> Result<usize> {
        let mut buffer = ptr::null_mut();
        let mut length = 0;
        // SAFETY: the request is not completed; the others are locals.
        Status::check(unsafe {
            call_unsafe_wdf_function_binding!(
                WdfRequestRetrieveOutputBuffer,
                self.0,
                1,
                &mut buffer,
                &mut length
            )
        })?;
        Ok(length)
    }

    /// Copies `bytes` to the beginning of the output buffer of a buffered request. Input and output share one buffer:
    /// what is still to be read of the input must be read before.
    ///
    /// # Errors
    /// BUFFER_TOO_SMALL when the output buffer is shorter.
    pub fn write_output(&self, bytes: &[u8]) -> Result {
        if bytes.is_empty() {
            return Ok(());
        }
        let mut buffer = ptr::null_mut();
        // SAFETY: the request is not completed; the others are locals; the length is not wanted.
        Status::check(unsafe {
            call_unsafe_wdf_function_binding!(
                WdfRequestRetrieveOutputBuffer,
                self.0,
                bytes.len(),
                &mut buffer,
                ptr::null_mut()
            )
        })?;
        // SAFETY: the framework gave a buffer of at least this length; `bytes` is memory of ours, so they do not overlap.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), buffer.cast::<u8>(), bytes.len()) };
        Ok(())
    }

    /// The caller's output buffer of a direct request, locked until completion.
    ///
    /// # Errors
    /// BUFFER_TOO_SMALL when the caller passed none.
    pub fn output_pages(&self) -> Result<Chain<'_>> {
        let mut mdl: *mut MDL = ptr::null_mut();
        // SAFETY: the request is not completed; the other is a local.
        Status::check(unsafe {
            call_unsafe_wdf_function_binding!(WdfRequestRetrieveOutputWdmMdl, self.0, &mut mdl)
        })?;
        // SAFETY: the I/O manager locked the pages until the request is completed, which takes the request itself.
        unsafe { Chain::from_ptr(mdl) }.ok_or(Status::BUFFER_TOO_SMALL)
    }

    /// What the request was sent through.
    #[must_use]
    pub fn file(&self) -> File {
        // SAFETY: the request is not completed.
        File(unsafe { call_unsafe_wdf_function_binding!(WdfRequestGetFileObject, self.0) }.addr())
    }

    /// Completes the request with `result`: the number of bytes written to the output buffer, or the error.
    pub fn complete(self, result: Result<usize>) {
        let request = ManuallyDrop::new(self);
        request.finish(result);
    }

    fn finish(&self, result: Result<usize>) {
        let (status, bytes) = match result {
            Ok(bytes) => (Status::SUCCESS, bytes),
            Err(status) => (status, 0),
        };
        // SAFETY: the request is not completed, and nobody uses it after this: `complete` consumed it, or it is dropped.
        unsafe {
            call_unsafe_wdf_function_binding!(
                WdfRequestCompleteWithInformation,
                self.0,
                status.code(),
                bytes as ULONG_PTR
            )
        };
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        self.finish(Err(Status::CANCELLED));
    }
}

/// EvtIoDeviceControl.
unsafe extern "C" fn device_control<D: DeviceControl>(
    queue: WDFQUEUE,
    request: WDFREQUEST,
    _output_length: usize,
    _input_length: usize,
    code: ULONG,
) {
    let request = Request(request);
    // SAFETY: the queue's attributes ask for PASSIVE_LEVEL.
    let mut irql = unsafe { Passive::assume() };
    // SAFETY: the queue is valid during its callback.
    let device: WDFDEVICE = unsafe { call_unsafe_wdf_function_binding!(WdfIoQueueGetDevice, queue) };
    // SAFETY: a device is not deleted before its queues.
    let device = unsafe { DeviceHandle::<D>::new(device) };
    match device.value() {
        Ok(value) => value.device_control(request, code, &mut irql),
        Err(status) => request.complete(Err(status)),
    }
}

/// EvtFileCleanup.
unsafe extern "C" fn file_cleanup<D: DeviceControl>(file: WDFFILEOBJECT) {
    // SAFETY: the framework's EvtFileCleanup, at PASSIVE_LEVEL (Learn, EvtFileCleanup).
    unsafe { of_file(file, |value: &D, file, irql| value.file_closed(file, irql)) };
}

/// EvtFileClose.
unsafe extern "C" fn file_close<D: DeviceControl>(file: WDFFILEOBJECT) {
    // SAFETY: the framework's EvtFileClose, at PASSIVE_LEVEL (Learn, EvtFileClose).
    unsafe { of_file(file, |value: &D, file, irql| value.file_done(file, irql)) };
}

/// Calls `method` with the value of the file's device.
///
/// # Safety
/// Called from one of the framework's PASSIVE_LEVEL callbacks for `file`, of a device with a context of type `D`.
unsafe fn of_file<D: DeviceControl>(file: WDFFILEOBJECT, method: impl FnOnce(&D, File, &mut Passive)) {
    // SAFETY: by the contract.
    let mut irql = unsafe { Passive::assume() };
    // SAFETY: the file is valid during its callback.
    let device: WDFDEVICE = unsafe { call_unsafe_wdf_function_binding!(WdfFileObjectGetDevice, file) };
    // SAFETY: a device is not deleted before its files.
    let device = unsafe { DeviceHandle::<D>::new(device) };
    if let Ok(value) = device.value() {
        method(value, File(file.addr()), &mut irql);
    }
}
