//! The I/O and PnP rules: each fires for a driver that breaks it once, and stays quiet for its twin that does not.
//!
//! The driver is one WDM function driver, played by routines of this program. A defect is one line of it that is done or
//! left out; `None` is the clean twin.

// The routines of this program run as driver code.
#![allow(unsafe_code)]

mod common;

use std::cell::Cell;

use common::{TestFunction, package};
use nthost::io::file::Output;
use nthost::{Kernel, Machine, Stop};

thread_local! {
    static KERNEL: Cell<*const Kernel> = const { Cell::new(std::ptr::null()) };
    static DEFECT: Cell<Option<Defect>> = const { Cell::new(None) };
    static LOWER: Cell<u64> = const { Cell::new(0) };
    static LINK: Cell<u64> = const { Cell::new(0) };
}

/// One line of the driver that is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Defect {
    CompletesTwice,
    CompletesWithPending,
    CompletesWithCancelRoutine,
    SendsTooDeep,
    StaysAttached,
    LeavesInterfaceOn,
    KeepsDevice,
    DereferencesPdoTwice,
    DeletesNoDevice,
}

fn k() -> &'static Kernel {
    // SAFETY: set by `live` for the machine that runs these routines, which outlives them.
    unsafe { &*KERNEL.get() }
}

fn is(defect: Defect) -> bool {
    DEFECT.get() == Some(defect)
}

const CODE: u32 = 0x0022_2000;
const INTERFACE: [u8; 16] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];
const STATUS: u64 = 0x30;
const CANCEL_ROUTINE: u64 = 0x68;
const CURRENT_LOCATION: u64 = 0x43;
const CURRENT_STACK: u64 = 0xB8;

extern "win64" fn entry(driver: u64, _path: u64) -> u64 {
    let k = k();
    k.write(k.read::<u64>(driver + 0x30) + 8, add_device as *const () as u64);
    k.write(driver + 0x68, unload as *const () as u64);
    for major in 0..28 {
        k.write(driver + 0x70 + 8 * major, dispatch as *const () as u64);
    }
    0
}

extern "win64" fn unload(_driver: u64) {}

extern "win64" fn add_device(driver: u64, pdo: u64) -> u64 {
    let k = k();
    let slot = k.system_allocate(8, "device");
    assert_eq!(k.call_export("IoCreateDevice", &[driver, 0, 0, 0x22, 0, 0, slot]) as u32, 0);
    let device: u64 = k.read(slot);
    LOWER.set(k.call_export("IoAttachDeviceToDeviceStack", &[device, pdo]));
    k.write(device + 0x30, k.read::<u32>(device + 0x30) & !0x80);
    let class = k.system_allocate(16, "class");
    k.write_bytes(class, &INTERFACE);
    let link = k.system_allocate(16, "link");
    assert_eq!(k.call_export("IoRegisterDeviceInterface", &[pdo, class, 0, link]) as u32, 0);
    LINK.set(link);
    k.call_export("ObfReferenceObject", &[pdo]);
    k.call_export("ObfDereferenceObject", &[pdo]);
    if is(Defect::DereferencesPdoTwice) {
        k.call_export("ObfDereferenceObject", &[pdo]);
    }
    if is(Defect::DeletesNoDevice) {
        k.call_export("IoDeleteDevice", &[link]);
    }
    0
}

/// IoSkipCurrentIrpStackLocation and IoCallDriver.
fn pass_down(irp: u64) -> u64 {
    let k = k();
    k.write(irp + CURRENT_LOCATION, k.read::<u8>(irp + CURRENT_LOCATION) + 1);
    k.write(irp + CURRENT_STACK, k.read::<u64>(irp + CURRENT_STACK) + 0x48);
    k.call_export("IofCallDriver", &[LOWER.get(), irp])
}

fn complete(irp: u64, status: i32) -> u64 {
    k().write(irp + STATUS, status);
    k().call_export("IofCompleteRequest", &[irp, 0]);
    0
}

extern "win64" fn dispatch(device: u64, irp: u64) -> u64 {
    let k = k();
    let stack: u64 = k.read(irp + CURRENT_STACK);
    let (major, minor): (u8, u8) = (k.read(stack), k.read(stack + 1));
    match (major, minor) {
        (0x1B, 0) => {
            k.call_export("IoSetDeviceInterfaceState", &[LINK.get(), 1]);
            pass_down(irp)
        }
        (0x1B, 2) => {
            let lower = LOWER.get();
            if !is(Defect::LeavesInterfaceOn) {
                let link = link_again(lower);
                k.call_export("IoSetDeviceInterfaceState", &[link, 0]);
            }
            let result = pass_down(irp);
            if !is(Defect::StaysAttached) {
                k.call_export("IoDetachDevice", &[lower]);
                if !is(Defect::KeepsDevice) {
                    k.call_export("IoDeleteDevice", &[device]);
                }
            }
            result
        }
        (0x1B | 0x16 | 0x17, _) => pass_down(irp),
        (0x0E, _) => {
            if is(Defect::CompletesWithCancelRoutine) {
                k.write(irp + CANCEL_ROUTINE, dispatch as *const () as u64);
            }
            let status = if is(Defect::CompletesWithPending) { 0x103 } else { 0 };
            let result = complete(irp, status);
            if is(Defect::CompletesTwice) {
                k.call_export("IofCompleteRequest", &[irp, 0]);
            }
            result
        }
        // Without its own place in the stack for it, a packet that is sent down again and again runs out of places.
        _ if is(Defect::SendsTooDeep) => k.call_export("IofCallDriver", &[device, irp]),
        _ => complete(irp, 0),
    }
}

/// The link's name once more, as registering the same interface again gives it.
fn link_again(pdo: u64) -> u64 {
    let k = k();
    let class = k.system_allocate(16, "class");
    k.write_bytes(class, &INTERFACE);
    let link = k.system_allocate(16, "link");
    assert_eq!(k.call_export("IoRegisterDeviceInterface", &[pdo, class, 0, link]) as u32, 0);
    link
}

/// The driver's whole life: added, started, asked, removed, unloaded.
fn live(defect: Option<Defect>) -> Result<(), Box<Stop>> {
    DEFECT.set(defect);
    let mut machine = Machine::builder().memory(16 << 20).host_code(true).build().expect("a machine");
    machine.run(|k| {
        KERNEL.set(std::ptr::from_ref(k));
        let id = k.plug(None, Box::new(TestFunction::new(1))).expect("a function");
        k.start_host_driver("engine", entry as *const () as u64).expect("DriverEntry");
        k.install_package(&package()).expect("a package");
        assert_eq!(k.device(id).and_then(|device| device.problem), None);
        let class = nthost::io::Guid::from_bytes(INTERFACE);
        let file = k.open_interface(class, 0).expect("a file");
        assert!(k.ioctl(file, CODE, b"x", Output::None).status.is_success());
        k.close(file);
        k.remove_device(id).expect("nobody refuses");
        let report = k.shutdown();
        assert_eq!((report.devices, report.services), (vec![], vec![]));
    })
}

#[test]
fn the_clean_twin_passes() {
    live(None).expect("no rule is broken");
}

#[test]
fn each_defect_is_caught_by_its_rule() {
    let cases = [
        (Defect::CompletesTwice, "DoubleCompletion", 0x44),
        (Defect::CompletesWithPending, "StatusPending", 0xC9),
        (Defect::CompletesWithCancelRoutine, "CancelRoutine", 0xC9),
        (Defect::SendsTooDeep, "IoStackLocations", 0x35),
        (Defect::StaysAttached, "PnpRemove", 0xCA),
        (Defect::LeavesInterfaceOn, "DeviceInterface", 0xCA),
        (Defect::KeepsDevice, "DeviceObjectLeak", 0xCE),
        (Defect::DereferencesPdoTwice, "ObReference", 0x18),
        (Defect::DeletesNoDevice, "DeviceObject", 0xC9),
    ];
    for (defect, rule, code) in cases {
        let Err(stop) = live(Some(defect)) else { panic!("{defect:?} is not caught") };
        assert_eq!((stop.rule.as_ref(), stop.code), (rule, code), "{defect:?}: {stop}");
    }
}
