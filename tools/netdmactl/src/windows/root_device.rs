//! The root-enumerated device of netdmatest.sys: nothing finds it, so it is made by hand, as `devcon install` does.

use std::ptr;

use windows_sys::Win32::Devices::DeviceAndDriverInstallation::{
    DICD_GENERATE_ID, DIF_REGISTERDEVICE, DIF_REMOVE, DiInstallDevice, HDEVINFO, SP_DEVINFO_DATA,
    SPDRP_HARDWAREID, SetupDiCallClassInstaller, SetupDiCreateDeviceInfoList, SetupDiCreateDeviceInfoW,
    SetupDiDestroyDeviceInfoList, SetupDiEnumDeviceInfo, SetupDiGetClassDevsW,
    SetupDiGetDeviceRegistryPropertyW, SetupDiSetDeviceRegistryPropertyW,
};
use windows_sys::core::GUID;

use super::{last_error_code, strings, wide};
use crate::transport::{Refusal, Trouble};

/// The hardware id that netdmatest.inf serves.
const HARDWARE_ID: &str = r"Root\NetDmaTest";
/// What the device's instance is called: ROOT\NETDMATEST\0000.
const NAME: &str = "NetDmaTest";
/// The enumerator of devices that are made by hand.
const ENUMERATOR: &str = "ROOT";
/// Class System, as in netdmatest.inf.
const CLASS: GUID = GUID::from_u128(0x4d36e97d_e325_11ce_bfc1_08002be10318);
/// ERROR_NO_MORE_ITEMS of winerror.h.
const NO_MORE_ITEMS: u32 = 259;
/// ERROR_NO_DRIVER_SELECTED of setupapi.h: no package in the driver store serves the device.
const NO_DRIVER_SELECTED: u32 = 0xE000_0203;
/// ERROR_IN_WOW64 of setupapi.h.
const IN_WOW64: u32 = 0xE000_0235;

/// Creates the device and installs the best driver of the driver store on it.
///
/// # Errors
/// There is one already, no package serves it, the caller is no administrator, or SetupAPI fails; the message says which.
pub fn add() -> Result<String, Trouble> {
    if !find_all()?.1.is_empty() {
        return Err(Trouble::new(
            "device add: it is there already: use it, or run `netdmactl device remove` first",
        ));
    }
    let list = List::new()?;
    let (name, mut device) = (wide(NAME), EMPTY);
    // SAFETY: list, name and class are valid during the call; the device is a local of the stated size.
    let created = unsafe {
        SetupDiCreateDeviceInfoW(
            list.0,
            name.as_ptr(),
            &CLASS,
            ptr::null(),
            ptr::null_mut(),
            DICD_GENERATE_ID,
            &mut device,
        )
    };
    check("creating the device", created)?;
    // A multi-string: one more zero ends the list.
    let mut ids = wide(HARDWARE_ID);
    ids.push(0);
    // SAFETY: list and device belong together; the bytes of the ids are valid during the call.
    let named = unsafe {
        SetupDiSetDeviceRegistryPropertyW(
            list.0,
            &mut device,
            SPDRP_HARDWAREID,
            ids.as_ptr().cast(),
            (ids.len() * size_of::<u16>()) as u32,
        )
    };
    check("naming the device", named)?;
    // SAFETY: list and device belong together.
    let registered = unsafe { SetupDiCallClassInstaller(DIF_REGISTERDEVICE, list.0, &device) };
    check("registering the device", registered)?;

    let mut reboot = 0;
    // SAFETY: list and device belong together; no driver is named, so Windows takes the best one; the flag is a local.
    let installed = unsafe { DiInstallDevice(ptr::null_mut(), list.0, &device, ptr::null(), 0, &mut reboot) };
    if installed == 0 {
        let why = last_error_code();
        // A device without a driver is of no use: it goes again.
        // SAFETY: list and device belong together.
        let _removed = unsafe { SetupDiCallClassInstaller(DIF_REMOVE, list.0, &device) };
        return Err(trouble("installing netdmatest on the new device", why));
    }
    Ok(if reboot == 0 {
        "the test client's device was created".to_owned()
    } else {
        "the test client's device was created; restart Windows to use it".to_owned()
    })
}

/// Removes every device that has our hardware id.
///
/// # Errors
/// There is none, the caller is no administrator, or SetupAPI fails; the message says which.
pub fn remove() -> Result<String, Trouble> {
    let (list, devices) = find_all()?;
    if devices.is_empty() {
        return Err(Trouble::new("device remove: there is none; `netdmactl device add` creates it"));
    }
    for device in &devices {
        // SAFETY: list and device belong together.
        let removed = unsafe { SetupDiCallClassInstaller(DIF_REMOVE, list.0, device) };
        check("removing the device", removed)?;
    }
    Ok(match devices.len() {
        1 => "the test client's device was removed".to_owned(),
        number => format!("{number} devices of the test client were removed"),
    })
}

/// A list of devices, destroyed when it goes.
struct List(HDEVINFO);

impl List {
    fn new() -> Result<Self, Trouble> {
        // SAFETY: the class is a constant; no window is given.
        let list = unsafe { SetupDiCreateDeviceInfoList(&CLASS, ptr::null_mut()) };
        Self::of(list)
    }

    /// Every device that was made by hand, present or not.
    fn of_root_devices() -> Result<Self, Trouble> {
        let enumerator = wide(ENUMERATOR);
        // SAFETY: the class is a constant, the enumerator lives during the call; no window is given.
        let list = unsafe { SetupDiGetClassDevsW(&CLASS, enumerator.as_ptr(), ptr::null_mut(), 0) };
        Self::of(list)
    }

    /// INVALID_HANDLE_VALUE, -1, is none.
    fn of(list: HDEVINFO) -> Result<Self, Trouble> {
        if list == -1 { Err(trouble("asking for devices", last_error_code())) } else { Ok(Self(list)) }
    }
}

impl Drop for List {
    fn drop(&mut self) {
        // SAFETY: the list is valid and goes with this value.
        let _destroyed = unsafe { SetupDiDestroyDeviceInfoList(self.0) };
    }
}

const EMPTY: SP_DEVINFO_DATA = SP_DEVINFO_DATA {
    cbSize: size_of::<SP_DEVINFO_DATA>() as u32,
    ClassGuid: GUID::from_u128(0),
    DevInst: 0,
    Reserved: 0,
};

/// The devices with our hardware id, and the list that they are of.
fn find_all() -> Result<(List, Vec<SP_DEVINFO_DATA>), Trouble> {
    let list = List::of_root_devices()?;
    let mut found = Vec::new();
    for index in 0.. {
        let mut device = EMPTY;
        // SAFETY: the list is valid; the device is a local of the stated size.
        if unsafe { SetupDiEnumDeviceInfo(list.0, index, &mut device) } == 0 {
            match last_error_code() {
                NO_MORE_ITEMS => break,
                why => return Err(trouble("looking for the device", why)),
            }
        }
        if hardware_ids(&list, &device).iter().any(|id| id.eq_ignore_ascii_case(HARDWARE_ID)) {
            found.push(device);
        }
    }
    Ok((list, found))
}

/// The hardware ids of a device; none if it has none.
fn hardware_ids(list: &List, device: &SP_DEVINFO_DATA) -> Vec<String> {
    let mut characters = [0_u16; 512];
    // SAFETY: list and device belong together; the buffer has the stated number of bytes.
    let read = unsafe {
        SetupDiGetDeviceRegistryPropertyW(
            list.0,
            device,
            SPDRP_HARDWAREID,
            ptr::null_mut(),
            characters.as_mut_ptr().cast(),
            size_of_val(&characters) as u32,
            ptr::null_mut(),
        )
    };
    if read == 0 { Vec::new() } else { strings(&characters) }
}

fn check(what: &str, done: i32) -> Result<(), Trouble> {
    if done == 0 { Err(trouble(what, last_error_code())) } else { Ok(()) }
}

fn trouble(what: &str, error: u32) -> Trouble {
    match error {
        NO_DRIVER_SELECTED => Trouble::new(format!(
            "{what}: no package serves it: run `pnputil /add-driver netdma.inf /install`, then the same with \
             netdmatest.inf, then this again"
        )),
        IN_WOW64 => Trouble::new(format!("{what}: this is a 32-bit program: use the 64-bit netdmactl")),
        other => Trouble::refused(what, Refusal::from_error(other)),
    }
}
