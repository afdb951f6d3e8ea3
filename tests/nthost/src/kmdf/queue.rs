//! I/O queues: WDFQUEUE.
//!
//! A request goes to the device's default queue, waits there while the queue is held or full, and is presented to
//! EvtIoDeviceControl. A sequential queue presents the next one when the driver has completed the last.

use std::collections::VecDeque;

use super::device::Power;
use super::object::Body;
use super::status;
use crate::cpu::irql;
use crate::export::{DISPATCH, PASSIVE, exports};
use crate::io::layout::{irp, stack};
use crate::kernel::Kernel;

/// A WDFQUEUE.
#[derive(Debug)]
pub(super) struct Queue {
    device: u64,
    dispatch: Dispatch,
    /// EvtIoDeviceControl, or EvtIoDefault (which gets only queue and request).
    control: u64,
    default: u64,
    stop: u64,
    resume: u64,
    canceled: u64,
    power_managed: bool,
    /// Callbacks at PASSIVE_LEVEL only.
    passive: bool,
    /// Most requests a parallel queue presents at once.
    most: usize,
    waiting: VecDeque<u64>,
    presented: Vec<u64>,
    /// Presents requests at all.
    open: bool,
    /// Takes new requests.
    accepting: bool,
    /// Somebody is presenting right now.
    busy: bool,
}

/// WDF_IO_QUEUE_DISPATCH_TYPE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dispatch {
    Sequential,
    Parallel,
    Manual,
}

/// sizeof(WDF_IO_QUEUE_CONFIG) of 1.15 (wdfio.h).
const CONFIG_SIZE: u32 = 0x60;
/// WdfUseDefault.
const USE_DEFAULT: u32 = 2;
/// WdfExecutionLevelPassive.
const LEVEL_PASSIVE: u32 = 2;
/// Action flags of EvtIoStop: WdfRequestStopActionSuspend, WdfRequestStopActionPurge.
const STOP_SUSPEND: u64 = 1;
const STOP_PURGE: u64 = 2;

impl Kernel {
    pub(super) fn wdf_queue<R>(&self, handle: u64, work: impl FnOnce(&mut Queue) -> R) -> R {
        let found = self.wdf_object(handle, |object| match &mut object.body {
            Body::Queue(queue) => Some(work(queue)),
            _ => None,
        });
        found.unwrap_or_else(|| self.wrong_handle(handle, "WDFQUEUE"))
    }

    fn wdf_queue_create(&self, device: u64, config: u64, attributes: u64) -> Result<u64, i32> {
        if self.read::<u32>(config) != CONFIG_SIZE {
            return Err(status::INFO_LENGTH_MISMATCH);
        }
        let dispatch = match self.read::<u32>(config + 4) {
            1 => Dispatch::Sequential,
            2 => Dispatch::Parallel,
            3 => Dispatch::Manual,
            _ => return Err(status::INVALID_PARAMETER),
        };
        let (control, default): (u64, u64) = (self.read(config + 0x28), self.read(config + 0x10));
        if dispatch != Dispatch::Manual && control == 0 && default == 0 {
            return Err(status::WDF_NO_CALLBACK);
        }
        let attributes = self.wdf_attributes(attributes, true)?;
        let is_default = self.read::<u8>(config + 0xD) != 0;
        if is_default && self.wdf_device(device, |device| device.default_queue) != 0 {
            return Err(status::UNSUCCESSFUL);
        }
        let managed: u32 = self.read(config + 8);
        let most: u32 = self.read(config + 0x50);
        let working = self.wdf_device(device, |device| device.power == Power::Working);
        // A function driver's queue is power managed unless it says otherwise.
        let power_managed = managed == 1 || managed == USE_DEFAULT;
        let body = Queue {
            device,
            dispatch,
            control,
            default,
            stop: self.read(config + 0x38),
            resume: self.read(config + 0x40),
            canceled: self.read(config + 0x48),
            power_managed,
            passive: attributes.execution_level == LEVEL_PASSIVE,
            most: if dispatch == Dispatch::Sequential {
                1
            } else {
                usize::try_from(most).unwrap_or(1).max(1)
            },
            waiting: VecDeque::new(),
            presented: Vec::new(),
            open: working || !power_managed,
            accepting: true,
            busy: false,
        };
        let client = self.wdf_client(device);
        let handle = self.wdf_create(client, device, &attributes, Body::Queue(Box::new(body)));
        self.wdf_device(device, |device| {
            device.queues.push(handle);
            if is_default {
                device.default_queue = handle;
            }
        });
        Ok(handle)
    }

    /// The device of a queue.
    pub(super) fn wdf_queue_device(&self, handle: u64) -> u64 {
        self.wdf_queue(handle, |queue| queue.device)
    }

    /// A packet becomes a request of the default queue.
    pub(super) fn wdf_queue_request(&self, device: u64, packet: u64) -> i32 {
        let handle = self.wdf_device(device, |device| device.default_queue);
        if handle == 0 {
            return self.finish_irp(packet, status::INVALID_DEVICE_REQUEST, 0);
        }
        if !self.wdf_queue(handle, |queue| queue.accepting) {
            return self.finish_irp(packet, status::INVALID_DEVICE_STATE, 0);
        }
        let at = self.current_stack(packet);
        let control: u8 = self.read(at + stack::CONTROL);
        self.write(at + stack::CONTROL, control | stack::SL_PENDING_RETURNED);
        let request = self.new_request(device, handle, packet);
        self.enqueue_request(handle, request, packet);
        status::PENDING
    }

    /// Puts a request at the end of a queue; it can be cancelled there.
    pub(super) fn enqueue_request(&self, handle: u64, request: u64, packet: u64) {
        self.wdf_queue(handle, |queue| queue.waiting.push_back(request));
        let cancel = move |k: &Self| k.cancel_waiting(handle, request);
        if self.set_irp_cancel(packet, Some(Box::new(cancel))) {
            self.set_irp_cancel(packet, None);
            self.cancel_waiting(handle, request);
            return;
        }
        self.present_requests(handle);
    }

    /// A waiting request is cancelled: EvtIoCanceledOnQueue, or completed for the driver.
    fn cancel_waiting(&self, handle: u64, request: u64) {
        let (found, canceled) = self.wdf_queue(handle, |queue| {
            let before = queue.waiting.len();
            queue.waiting.retain(|known| *known != request);
            (queue.waiting.len() < before, queue.canceled)
        });
        if !found {
            return;
        }
        if canceled == 0 {
            self.complete_request(request, status::CANCELLED, 0);
        } else {
            self.wdf_queue(handle, |queue| queue.presented.push(request));
            self.call("EvtIoCanceledOnQueue", canceled, &[handle, request]);
        }
    }

    /// Presents what may be presented. One presenter at a time, so that a driver's callback does not nest.
    pub(super) fn present_requests(&self, handle: u64) {
        let (passive, ready) = self.wdf_queue(handle, |queue| (queue.passive, queue.is_ready()));
        if !ready {
            return;
        }
        if passive && self.irql() > irql::PASSIVE {
            // The framework hands over to a work item when the driver wants PASSIVE_LEVEL.
            self.wdf_reference(handle);
            let run = move |k: &Self| {
                k.present_requests(handle);
                k.wdf_dereference(handle);
            };
            self.spawn("KMDF queue", 0, Box::new(run));
            return;
        }
        while let Some((request, control, default)) = self.wdf_queue(handle, |queue| {
            if !queue.is_ready() {
                return None;
            }
            let request = queue.waiting.pop_front()?;
            queue.presented.push(request);
            queue.busy = true;
            Some((request, queue.control, queue.default))
        }) {
            let packet = self.request_packet(request);
            self.set_irp_cancel(packet, None);
            let (output, input) = (self.irp_parameter(packet, 0), self.irp_parameter(packet, 1));
            let code = self.irp_parameter(packet, 2) & 0xFFFF_FFFF;
            if control != 0 {
                let arguments = [handle, request, output & 0xFFFF_FFFF, input & 0xFFFF_FFFF, code];
                self.call("EvtIoDeviceControl", control, &arguments);
            } else {
                self.call("EvtIoDefault", default, &[handle, request]);
            }
            self.wdf_queue(handle, |queue| queue.busy = false);
        }
    }

    /// A presented request left the driver's hands.
    pub(super) fn request_left(&self, handle: u64, request: u64) {
        self.wdf_queue(handle, |queue| queue.presented.retain(|known| *known != request));
    }

    /// Takes the next waiting request for the driver (manual dispatch).
    fn retrieve_next(&self, handle: u64) -> Result<u64, i32> {
        let request = self.wdf_queue(handle, |queue| {
            if !queue.open {
                return Err(status::WDF_PAUSED);
            }
            let request = queue.waiting.pop_front().ok_or(status::NO_MORE_ENTRIES)?;
            queue.presented.push(request);
            Ok(request)
        })?;
        self.set_irp_cancel(self.request_packet(request), None);
        Ok(request)
    }

    /// The device is in D0: power managed queues present again.
    pub(super) fn resume_queues(&self, device: u64) {
        for handle in self.wdf_device(device, |device| device.queues.clone()) {
            let (managed, resume, presented) =
                self.wdf_queue(handle, |queue| (queue.power_managed, queue.resume, queue.presented.clone()));
            if !managed {
                continue;
            }
            self.wdf_queue(handle, |queue| queue.open = true);
            if resume != 0 {
                for request in presented {
                    self.call("EvtIoResume", resume, &[handle, request]);
                }
            }
            self.present_requests(handle);
        }
    }

    /// The device leaves D0: power managed queues present nothing more, and the driver's requests are waited for.
    pub(super) fn hold_queues(&self, device: u64) {
        for handle in self.wdf_device(device, |device| device.queues.clone()) {
            if self.wdf_queue(handle, |queue| queue.power_managed) {
                self.wdf_queue(handle, |queue| queue.open = false);
                self.stop_presented(handle, STOP_SUSPEND);
            }
        }
    }

    /// The device goes: waiting requests are cancelled, the driver's are waited for. `managed` chooses the queues.
    pub(super) fn purge_queues(&self, device: u64, managed: bool) {
        for handle in self.wdf_device(device, |device| device.queues.clone()) {
            if self.wdf_queue(handle, |queue| queue.power_managed) == managed {
                self.purge_queue(handle);
            }
        }
    }

    fn purge_queue(&self, handle: u64) {
        self.wdf_queue(handle, |queue| (queue.accepting, queue.open) = (false, false));
        while let Some(request) = self.wdf_queue(handle, |queue| queue.waiting.front().copied()) {
            self.set_irp_cancel(self.request_packet(request), None);
            self.cancel_waiting(handle, request);
        }
        self.stop_presented(handle, STOP_PURGE);
    }

    /// EvtIoStop for each request the driver holds, and waiting until it holds none.
    fn stop_presented(&self, handle: u64, action: u64) {
        let (stop, presented) = self.wdf_queue(handle, |queue| (queue.stop, queue.presented.clone()));
        if stop != 0 {
            for request in &presented {
                self.call("EvtIoStop", stop, &[handle, *request, action]);
            }
        } else if action == STOP_PURGE {
            // A purge cancels what the driver marked cancelable.
            presented.iter().for_each(|request| self.cancel_irp(self.request_packet(*request)));
        }
        while self.wdf_queue(handle, |queue| !queue.presented.is_empty() || queue.busy) {
            self.pass_time(1_000);
            self.give_way();
        }
    }
}

impl Queue {
    /// Whether another request may be presented now.
    fn is_ready(&self) -> bool {
        self.open
            && !self.busy
            && self.dispatch != Dispatch::Manual
            && self.presented.len() < self.most
            && !self.waiting.is_empty()
    }
}

exports! {
    module "Wdf01000.sys";

    /// Makes a queue.
    fn WdfIoQueueCreate(k; _globals: u64, device: u64, config: u64, attributes: u64, result: u64) -> i32
        [DISPATCH, "Learn, WdfIoQueueCreate: <= DISPATCH_LEVEL"]
    {
        if k.allocation_fails() {
            return status::INSUFFICIENT_RESOURCES;
        }
        match k.wdf_queue_create(device, config, attributes) {
            Ok(handle) => {
                if result != 0 {
                    k.write(result, handle);
                }
                status::SUCCESS
            }
            Err(error) => error,
        }
    }

    /// The device of a queue.
    fn WdfIoQueueGetDevice(k; _globals: u64, queue: u64) -> u64 [DISPATCH, "Learn, WdfIoQueueGetDevice: <= DISPATCH_LEVEL"] {
        k.wdf_queue_device(queue)
    }

    /// Presents requests again.
    fn WdfIoQueueStart(k; _globals: u64, queue: u64) [DISPATCH, "Learn, WdfIoQueueStart: <= DISPATCH_LEVEL"] {
        k.wdf_queue(queue, |queue| (queue.open, queue.accepting) = (true, true));
        k.present_requests(queue);
    }

    /// Presents nothing more and waits for the driver's requests.
    fn WdfIoQueueStopSynchronously(k; _globals: u64, queue: u64)
        [PASSIVE, "Learn, WdfIoQueueStopSynchronously: PASSIVE_LEVEL"]
    {
        k.wdf_queue(queue, |queue| queue.open = false);
        k.stop_presented(queue, 0);
    }

    /// Cancels everything and waits for it.
    fn WdfIoQueuePurgeSynchronously(k; _globals: u64, queue: u64)
        [PASSIVE, "Learn, WdfIoQueuePurgeSynchronously: PASSIVE_LEVEL"]
    {
        k.purge_queue(queue);
    }

    /// The next request of a manual queue.
    fn WdfIoQueueRetrieveNextRequest(k; _globals: u64, queue: u64, result: u64) -> i32
        [DISPATCH, "Learn, WdfIoQueueRetrieveNextRequest: <= DISPATCH_LEVEL"]
    {
        match k.retrieve_next(queue) {
            Ok(request) => {
                k.write(result, request);
                status::SUCCESS
            }
            Err(error) => error,
        }
    }

    /// Moves a presented request to another queue of the device.
    fn WdfRequestForwardToIoQueue(k; _globals: u64, request: u64, queue: u64) -> i32
        [DISPATCH, "Learn, WdfRequestForwardToIoQueue: <= DISPATCH_LEVEL"]
    {
        let packet = k.request_packet(request);
        let from = k.request_queue(request);
        if from == queue {
            return status::INVALID_DEVICE_REQUEST;
        }
        if !k.wdf_queue(queue, |queue| queue.accepting) {
            return status::WDF_BUSY;
        }
        k.request_left(from, request);
        k.set_request_queue(request, queue);
        k.write(packet + irp::STATUS, status::SUCCESS);
        k.enqueue_request(queue, request, packet);
        k.present_requests(from);
        status::SUCCESS
    }
}
