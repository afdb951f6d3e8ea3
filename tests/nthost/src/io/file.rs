//! Files on devices: what a program on the machine does with a device.

use std::cell::Cell;
use std::rc::Rc;

use super::NtStatus;
use super::interface::Guid;
use super::layout::{device, file, irp, major, stack, status};
use crate::kernel::Kernel;
use crate::memory::user::UserBuffer;

/// What the machine keeps of an open file.
#[derive(Debug, Clone)]
pub(crate) struct Opened {
    /// The device that was opened.
    device: u64,
    name: u64,
    /// Packets in flight for it.
    in_flight: u32,
}

/// An open file on a device. Close it with [`Kernel::close`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct File(u64);

/// Where the output of a device control request goes.
#[derive(Debug)]
pub enum Output<'a> {
    /// None.
    None,
    /// METHOD_BUFFERED: copied through the system buffer.
    Bytes(&'a mut [u8]),
    /// METHOD_IN_DIRECT and METHOD_OUT_DIRECT: a locked buffer of the program, described by an MDL.
    User(&'a UserBuffer),
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IoResult {
    /// Its status.
    pub status: NtStatus,
    /// IoStatus.Information: the bytes of output, as a rule.
    pub information: u64,
}

/// A request that may still be on its way.
#[derive(Debug)]
pub struct Request {
    packet: u64,
    event: u64,
    result: Rc<Cell<Option<IoResult>>>,
    /// Freed when the request is done; zero for none.
    system_buffer: u64,
    buffered_output: bool,
    mdl: u64,
}

/// The transfer method is in the two low bits of the control code (devioctl.h).
const METHOD_BUFFERED: u32 = 0;
const METHOD_OUT_DIRECT: u32 = 2;
const METHOD_NEITHER: u32 = 3;

impl Kernel {
    /// Opens the `index`-th device that offers an interface.
    ///
    /// # Errors
    /// The status of the open; STATUS_OBJECT_NAME_NOT_FOUND when there is no such interface.
    pub fn open_interface(&self, class: Guid, index: usize) -> Result<File, NtStatus> {
        let found = self.enabled_interfaces(class);
        let (_, link) = found.get(index).ok_or(NtStatus(status::OBJECT_NAME_NOT_FOUND))?;
        self.open(link)
    }

    /// The links of the devices that offer an interface, in the order of their instances.
    #[must_use]
    pub fn interfaces(&self, class: Guid) -> Vec<String> {
        self.enabled_interfaces(class).into_iter().map(|(_, link)| link).collect()
    }

    /// Opens a device by name, link or interface.
    ///
    /// # Errors
    /// The status of the open.
    pub fn open(&self, path: &str) -> Result<File, NtStatus> {
        let target = self.device_at(path).ok_or(NtStatus(status::OBJECT_NAME_NOT_FOUND))?;
        let top = self.top_of_stack(target);
        let flags: u32 = self.read(top + device::FLAGS);
        if flags & device::DO_DEVICE_INITIALIZING != 0 {
            return Err(NtStatus(status::NO_SUCH_DEVICE));
        }
        let bottom = self.bottom_of_stack(target);
        if flags & device::DO_EXCLUSIVE != 0 && self.open_files_of(bottom) > 0 {
            return Err(NtStatus(status::ACCESS_DENIED));
        }
        let object = self.system_allocate(file::SIZE, format!("FILE_OBJECT {path}"));
        let name = self.make_unicode_string("");
        self.write(object, file::TYPE);
        self.write(object + 2, u16::try_from(file::SIZE).unwrap_or(0));
        self.write(object + file::DEVICE, target);
        self.write_bytes(object + file::NAME, &self.bytes(name, 16));
        self.adopt_object(object);
        let opened = Opened { device: target, name, in_flight: 0 };
        self.io.files.with(|files| files.insert(object, opened));
        self.count_open(target, true);
        let (result, _) = self.send_file_irp(object, top, major::CREATE);
        if !status::ok(result) {
            self.forget_file(object);
            return Err(NtStatus(result));
        }
        Ok(File(object))
    }

    /// Closes a file: cleanup, once every request is done close.
    pub fn close(&self, file: File) {
        let Some(opened) = self.io.files.with(|files| files.get(&file.0).cloned()) else { return };
        let bottom = self.bottom_of_stack(opened.device);
        let top = self.top_of_stack(opened.device);
        self.send_file_irp(file.0, top, major::CLEANUP);
        // The last reference of a file is given back by its last packet; only then it closes.
        while self.io.files.with(|files| files.get(&file.0).is_some_and(|opened| opened.in_flight > 0)) {
            self.pass_time(1_000);
            self.give_way();
        }
        self.send_file_irp(file.0, top, major::CLOSE);
        self.forget_file(file.0);
        self.files_closed(bottom);
    }

    /// A device control request, waited for.
    pub fn ioctl(&self, file: File, code: u32, input: &[u8], output: Output<'_>) -> IoResult {
        let (length, user) = match &output {
            Output::None => (0, None),
            Output::Bytes(bytes) => (bytes.len(), None),
            Output::User(buffer) => (usize::try_from(buffer.length).unwrap_or(usize::MAX), Some(*buffer)),
        };
        let request = self.ioctl_start(file, code, input, length, user);
        let bytes = match output {
            Output::Bytes(bytes) => bytes,
            _ => &mut [],
        };
        self.wait_request(request, bytes)
    }

    /// Sends a device control request and returns while it may be pending.
    pub fn ioctl_start(
        &self,
        file: File,
        code: u32,
        input: &[u8],
        output_length: usize,
        user: Option<&UserBuffer>,
    ) -> Request {
        let method = code & 3;
        let buffered_output = method == METHOD_BUFFERED;
        let room = if buffered_output { input.len().max(output_length) } else { input.len() };
        let size = u64::try_from(room).unwrap_or(0);
        let system_buffer = if room == 0 {
            0
        } else {
            self.system_allocate(size, format!("system buffer of IOCTL {code:#x}"))
        };
        if system_buffer != 0 {
            self.write_bytes(system_buffer, input);
        }
        let mdl = user.filter(|_| method != METHOD_BUFFERED && method != METHOD_NEITHER);
        let mdl = mdl.map_or(0, |buffer| self.lock_user_buffer(*buffer, method == METHOD_OUT_DIRECT));
        let event = self.new_event("a device control request to be completed");
        let result: Rc<Cell<Option<IoResult>>> = Rc::default();
        let out = Rc::clone(&result);
        let object = file.0;
        let finish = move |k: &Self, status: i32, information: u64| {
            out.set(Some(IoResult { status: NtStatus(status), information }));
            k.io.files.with(|files| files.get_mut(&object).map(|opened| opened.in_flight -= 1));
            k.set_signal(event, 1);
        };
        let target = self.io.files.with(|files| {
            files.get_mut(&object).map(|opened| {
                opened.in_flight += 1;
                opened.device
            })
        });
        let mut request = Request { packet: 0, event, result, system_buffer, buffered_output, mdl };
        let Some(target) = target else {
            request.result.set(Some(IoResult { status: NtStatus(status::INVALID_HANDLE), information: 0 }));
            self.set_signal(event, 1);
            return request;
        };
        let top = self.top_of_stack(target);
        let number = |length: usize| u64::try_from(length).unwrap_or(0);
        let parameters = [number(output_length), number(input.len()), u64::from(code), 0];
        let packet = self.make_irp(top, major::DEVICE_CONTROL, 0, parameters, Box::new(finish));
        request.packet = packet;
        self.write(packet + irp::SYSTEM_BUFFER, system_buffer);
        self.write(packet + irp::MDL, mdl);
        self.write(packet + irp::REQUESTOR_MODE, 1_u8);
        self.aim_at_file(packet, object);
        self.call_driver(top, packet);
        request
    }

    /// Whether a request is done.
    #[must_use]
    pub fn is_done(&self, request: &Request) -> bool {
        request.result.get().is_some()
    }

    /// Asks for a request to be cancelled. It is still to be waited for.
    pub fn cancel(&self, request: &Request) {
        if !self.is_done(request) {
            self.cancel_irp(request.packet);
        }
    }

    /// Waits for a request and copies buffered output to `bytes`.
    pub fn wait_request(&self, request: Request, bytes: &mut [u8]) -> IoResult {
        self.wait_for(&[request.event], false, None);
        self.system_free(request.event);
        let result = request
            .result
            .get()
            .unwrap_or(IoResult { status: NtStatus(status::UNSUCCESSFUL), information: 0 });
        if request.mdl != 0 {
            self.unlock_mdl(request.mdl);
            self.free_mdl(request.mdl);
        }
        if request.system_buffer != 0 {
            // Buffered output is copied back unless the request failed with an error (not a warning).
            let failed = result.status.0.cast_unsigned() >> 30 == 3;
            if request.buffered_output && !failed {
                let count = bytes.len().min(usize::try_from(result.information).unwrap_or(0));
                if let Some(part) = bytes.get_mut(..count) {
                    part.copy_from_slice(&self.bytes(request.system_buffer, count));
                }
            }
            self.system_free(request.system_buffer);
        }
        result
    }

    /// Open files of the stack above a PDO.
    pub(crate) fn open_files_of(&self, pdo: u64) -> usize {
        let devices: Vec<u64> =
            self.io.files.with(|files| files.values().map(|opened| opened.device).collect());
        devices.into_iter().filter(|device| self.bottom_of_stack(*device) == pdo).count()
    }

    /// Files that are still open, in words.
    pub(crate) fn open_files(&self) -> usize {
        self.io.files.with(|files| files.len())
    }

    /// An MDL with the pages of a program's buffer locked, as the I/O manager makes it for direct methods.
    fn lock_user_buffer(&self, buffer: UserBuffer, write: bool) -> u64 {
        let length = u32::try_from(buffer.length).unwrap_or(u32::MAX);
        let mdl = self.allocate_mdl(buffer.address, length).expect("pool for an MDL of the I/O manager");
        self.lock_mdl(mdl, write);
        mdl
    }

    fn send_file_irp(&self, object: u64, top: u64, function: u8) -> (i32, u64) {
        // CREATE: SecurityContext, Options with FILE_OPEN (1) as the disposition, attributes and sharing.
        let parameters = if function == major::CREATE { [0, 1 << 24, 0, 0] } else { [0; 4] };
        self.send_irp_with(top, function, 0, parameters, |packet| {
            self.write(packet + irp::REQUESTOR_MODE, 1_u8);
            self.aim_at_file(packet, object);
        })
    }

    fn aim_at_file(&self, packet: u64, object: u64) {
        self.write(packet + irp::FILE, object);
        self.write(self.next_stack(packet) + stack::FILE, object);
    }

    fn count_open(&self, target: u64, up: bool) {
        let count: i32 = self.read(target + device::REFERENCE_COUNT);
        self.write(target + device::REFERENCE_COUNT, if up { count + 1 } else { count - 1 });
    }

    fn forget_file(&self, object: u64) {
        if let Some(opened) = self.io.files.with(|files| files.remove(&object)) {
            self.count_open(opened.device, false);
            self.system_free(opened.name);
            self.dereference_object(object);
        }
    }
}
