//! The devices of the Windows that the program runs on.

#![allow(unsafe_code, reason = "calls of Windows")]

mod root_device;

use std::ptr;
use std::time::{Duration, Instant};

use netdma_ioctl::Guid;
use windows_sys::Win32::Devices::DeviceAndDriverInstallation::{
    CM_GET_DEVICE_INTERFACE_LIST_PRESENT, CM_Get_Device_Interface_List_SizeW, CM_Get_Device_Interface_ListW,
    CR_BUFFER_SMALL, CR_SUCCESS,
};
use windows_sys::Win32::Foundation::{
    CloseHandle, GENERIC_READ, GENERIC_WRITE, GetLastError, HANDLE, INVALID_HANDLE_VALUE,
};
use windows_sys::Win32::Storage::FileSystem::{
    CreateFileW, FILE_SHARE_READ, FILE_SHARE_WRITE, OPEN_EXISTING,
};
use windows_sys::Win32::System::IO::DeviceIoControl;
use windows_sys::core::GUID;

use crate::transport::{Answer, Handle, Refusal, Transport, Trouble};

/// The Windows that the program runs on.
#[derive(Debug)]
pub struct Windows;

/// How often a list of devices is asked for anew when it grows meanwhile.
const TRIES: u32 = 8;

impl Transport for Windows {
    fn devices(&mut self, class: Guid) -> Result<Vec<String>, Refusal> {
        let class = guid(class);
        for _ in 0..TRIES {
            let mut length = 0;
            // SAFETY: length and class are locals; no device id narrows the list.
            let answer = unsafe {
                CM_Get_Device_Interface_List_SizeW(
                    &mut length,
                    &class,
                    ptr::null(),
                    CM_GET_DEVICE_INTERFACE_LIST_PRESENT,
                )
            };
            if answer != CR_SUCCESS {
                return Err(Refusal::Other(answer));
            }
            let mut names = vec![0_u16; length as usize];
            // SAFETY: the buffer has the stated number of characters; the class is a local.
            let answer = unsafe {
                CM_Get_Device_Interface_ListW(
                    &class,
                    ptr::null(),
                    names.as_mut_ptr(),
                    length,
                    CM_GET_DEVICE_INTERFACE_LIST_PRESENT,
                )
            };
            match answer {
                CR_SUCCESS => return Ok(strings(&names)),
                // A device has come since the length was asked for.
                CR_BUFFER_SMALL => {}
                other => return Err(Refusal::Other(other)),
            }
        }
        Err(Refusal::NotReady)
    }

    fn open(&mut self, device: &str) -> Result<Handle, Refusal> {
        let name = wide(device);
        // SAFETY: the name ends with a zero and lives during the call; no attributes and no template are given.
        let handle = unsafe {
            CreateFileW(
                name.as_ptr(),
                GENERIC_READ | GENERIC_WRITE,
                FILE_SHARE_READ | FILE_SHARE_WRITE,
                ptr::null(),
                OPEN_EXISTING,
                0,
                ptr::null_mut(),
            )
        };
        if handle == INVALID_HANDLE_VALUE { Err(last_error()) } else { Ok(Handle(handle.addr())) }
    }

    fn close(&mut self, handle: Handle) {
        // SAFETY: a value that `open` gave; Windows checks it.
        let _open = unsafe { CloseHandle(raw(handle)) };
    }

    fn control(
        &mut self,
        handle: Handle,
        code: u32,
        input: &[u8],
        output: &mut [u8],
    ) -> Result<Answer, Refusal> {
        let [input_length, output_length] =
            [input.len(), output.len()].map(|length| u32::try_from(length).map_err(|_| Refusal::Malformed));
        let mut bytes = 0;
        let begun = Instant::now();
        // SAFETY: both buffers have the stated lengths and live until the call returns, which without an OVERLAPPED is after
        // the request's completion; the handle is a value that Windows checks.
        let done = unsafe {
            DeviceIoControl(
                raw(handle),
                code,
                input.as_ptr().cast(),
                input_length?,
                output.as_mut_ptr().cast(),
                output_length?,
                &mut bytes,
                ptr::null_mut(),
            )
        };
        let took = begun.elapsed();
        if done == 0 { Err(last_error()) } else { Ok(Answer { bytes: bytes as usize, took }) }
    }

    fn wait(&mut self, time: Duration) {
        std::thread::sleep(time);
    }

    fn add_test_device(&mut self) -> Result<String, Trouble> {
        root_device::add()
    }

    fn remove_test_device(&mut self) -> Result<String, Trouble> {
        root_device::remove()
    }
}

/// The handle as Windows has it: an index that was kept as a number.
const fn raw(handle: Handle) -> HANDLE {
    ptr::without_provenance_mut(handle.0)
}

fn last_error() -> Refusal {
    Refusal::from_error(last_error_code())
}

/// GetLastError.
fn last_error_code() -> u32 {
    // SAFETY: reads a number of this thread.
    unsafe { GetLastError() }
}

const fn guid(guid: Guid) -> GUID {
    GUID { data1: guid.data1, data2: guid.data2, data3: guid.data3, data4: guid.data4 }
}

/// UTF-16 with a zero at the end.
fn wide(text: &str) -> Vec<u16> {
    text.encode_utf16().chain(std::iter::once(0)).collect()
}

/// The strings of a multi-string: each ends with a zero, the list with an empty one.
fn strings(characters: &[u16]) -> Vec<String> {
    characters
        .split(|character| *character == 0)
        .take_while(|text| !text.is_empty())
        .map(String::from_utf16_lossy)
        .collect()
}
