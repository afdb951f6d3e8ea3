//! The bus: enumeration, BARs, ids, requirements, what a function can and cannot reach.

mod common;

use common::{TestFunction, package, register};
use nthost::Machine;
use nthost::inf::package::Release;
use nthost::install::{Source, System};
use nthost::pci::config::{self, Bar, Messages};
use nthost::pci::requirements::{
    Assigned, FLAG_LATCHED, FLAG_MESSAGE, Given, MESSAGE_TOKEN, OPTION_ALTERNATIVE, SHARE_EXCLUSIVE,
    SHARE_SHARED, Want, decode_requirements, encode_requirements, encode_resources, requirements,
};
use nthost::pci::{Location, PciFunction};
use nthost::pnp::{InstallError, Problem, State};

fn machine() -> Machine {
    Machine::builder().memory(16 << 20).host_code(true).build().expect("a machine")
}

#[test]
fn a_function_is_sized_placed_and_named_as_firmware_and_windows_do_it() {
    let function = TestFunction::new(1);
    let mut machine = machine();
    let reports = machine
        .run(|k| {
            k.plug(None, Box::new(function.clone())).expect("a function");
            k.plug(None, Box::new(TestFunction::new(1))).expect("a second one");
            k.devices()
        })
        .expect("no stop");
    let instances: Vec<&str> = reports.iter().map(|report| report.instance.as_str()).collect();
    assert_eq!(
        instances,
        [
            r"PCI\VEN_8086&DEV_6F20&SUBSYS_56781234&REV_04\3&11583659&0&20",
            r"PCI\VEN_8086&DEV_6F20&SUBSYS_56781234&REV_04\3&11583659&0&21",
        ]
    );
    assert_eq!(reports[0].location, Some(Location { bus: 0, device: 4, function: 0 }));
    assert_eq!(
        (reports[0].state, reports[0].problem.clone()),
        (State::Enumerated, Some(Problem::NotInstalled))
    );
    let mut function = function;
    assert_eq!(function.config_read(0x14, 4), 0x3800, "BAR 0 lies in the window for 64-bit BARs");
    assert_eq!(function.config_read(config::COMMAND, 2), 0, "and does not answer before START");
}

#[test]
fn a_function_in_a_taken_slot_and_one_that_contradicts_itself_are_refused() {
    struct Liar(TestFunction);
    impl PciFunction for Liar {
        fn name(&self) -> String {
            "liar".to_owned()
        }
        fn config_read(&mut self, offset: u16, width: u8) -> u32 {
            self.0.config_read(offset, width)
        }
        fn config_write(&mut self, offset: u16, width: u8, value: u32) {
            self.0.config_write(offset, width, value);
        }
        fn bar_sizes(&self) -> [u64; 6] {
            [0x2000, 0, 0, 0, 0, 0]
        }
        fn mmio_read(&mut self, bar: u8, offset: u64, width: u8) -> u64 {
            self.0.mmio_read(bar, offset, width)
        }
        fn mmio_write(&mut self, bar: u8, offset: u64, width: u8, value: u64) {
            self.0.mmio_write(bar, offset, width, value);
        }
        fn step(&mut self, bus: &mut dyn nthost::pci::BusMaster) -> nthost::pci::Progress {
            self.0.step(bus)
        }
        fn reset(&mut self) {
            self.0.reset();
        }
    }
    let place = Location { bus: 0, device: 9, function: 1 };
    let (taken, lie) = machine()
        .run(|k| {
            k.plug(Some(place), Box::new(TestFunction::new(1))).expect("a free slot");
            let taken = k.plug(Some(place), Box::new(TestFunction::new(1))).expect_err("a taken one");
            (taken, k.plug(None, Box::new(Liar(TestFunction::new(1)))).expect_err("a lie"))
        })
        .expect("no stop");
    assert_eq!(taken, "PCI bus 0, device 9, function 1 is taken: test function needs another place");
    assert_eq!(lie, "liar: sizing BAR 0 gives 0x1000 bytes, the function declares 0x2000");
}

#[test]
fn each_msi_x_message_is_one_descriptor_and_the_line_the_alternative_behind_them() {
    let bars = [Bar { index: 0, size: 0x4000, wide: true, prefetchable: false, base: 0x10_0000 }];
    let msix = Messages::MsiX { capability: 0x80, count: 3, table_bar: 0, table: 0x2000 };
    let shape = |lists: &[Vec<nthost::pci::requirements::Requirement>]| -> Vec<(u8, u16, u32, u32)> {
        let interrupts = lists[0].iter().filter_map(|requirement| match requirement.want {
            Want::Interrupt { minimum, maximum, .. } => {
                Some((requirement.option, requirement.flags, minimum, maximum))
            }
            _ => None,
        });
        interrupts.collect()
    };
    let message = (0, FLAG_LATCHED | FLAG_MESSAGE, MESSAGE_TOKEN, MESSAGE_TOKEN);
    let line = (OPTION_ALTERNATIVE, 0, 0, 255);
    assert_eq!(shape(&requirements(&bars, msix, 1, true, None)), [message, message, message, line]);
    assert_eq!(shape(&requirements(&bars, msix, 1, true, Some(1))), [message, line]);
    assert_eq!(
        shape(&requirements(&bars, msix, 1, false, None)),
        [(0, 0, 0, 255)],
        "MSISupported is not set"
    );
    let msi = Messages::Msi { capability: 0x50, count: 4 };
    let all = (0, FLAG_LATCHED | FLAG_MESSAGE, MESSAGE_TOKEN - 3, MESSAGE_TOKEN);
    let one = (OPTION_ALTERNATIVE, FLAG_LATCHED | FLAG_MESSAGE, MESSAGE_TOKEN, MESSAGE_TOKEN);
    assert_eq!(shape(&requirements(&bars, msi, 1, true, None)), [all, one, line]);
    assert_eq!(shape(&requirements(&bars, Messages::None, 0, true, None)), []);
}

#[test]
fn requirement_lists_survive_their_memory_form_and_damaged_ones_are_refused() {
    let bars = [Bar { index: 0, size: 0x4000, wide: true, prefetchable: false, base: 0x10_0000 }];
    let msix = Messages::MsiX { capability: 0x80, count: 2, table_bar: 0, table: 0x2000 };
    let lists = requirements(&bars, msix, 1, true, None);
    let bytes = encode_requirements(0, 4, &lists);
    assert_eq!(bytes.len(), 0x20 + 8 + 4 * 0x20);
    assert_eq!(decode_requirements(&bytes), Ok(lists));
    assert!(decode_requirements(&bytes[..bytes.len() - 1]).unwrap_err().contains("claims"));
    let mut more = bytes.clone();
    more[0x24] = 5;
    assert!(decode_requirements(&more).unwrap_err().contains("ends at byte"));
}

#[test]
fn assigned_resources_have_the_packed_layout_of_cm_partial_resource_descriptor() {
    let list = [
        Assigned {
            share: SHARE_EXCLUSIVE,
            flags: 0,
            given: Given::Memory { start: 0x1_2345_6000, length: 0x4000 },
        },
        Assigned {
            share: SHARE_SHARED,
            flags: 3,
            given: Given::Interrupt { level: 5, group: 0, vector: 0x51, affinity: 2 },
        },
    ];
    let bytes = encode_resources(0, &list);
    assert_eq!(bytes.len(), 0x14 + 2 * 0x14);
    assert_eq!(bytes[0x10..0x14], [2, 0, 0, 0], "count");
    assert_eq!(bytes[0x14..0x18], [3, 1, 0, 0], "type, share, flags");
    assert_eq!(bytes[0x18..0x20], 0x1_2345_6000_u64.to_le_bytes());
    assert_eq!(bytes[0x28..0x2C], [2, 3, 3, 0]);
    assert_eq!(bytes[0x2C..0x34], [5, 0, 0, 0, 0x51, 0, 0, 0]);
    assert_eq!(bytes[0x34..0x3C], 2_u64.to_le_bytes());
}

#[test]
fn a_device_that_was_not_started_neither_answers_nor_reaches_memory() {
    let function = TestFunction::new(1);
    let mut machine = machine();
    let (read, after) = machine
        .run(|k| {
            k.plug(None, Box::new(function.clone())).expect("a function");
            let mut probe = function.clone();
            let base =
                u64::from(probe.config_read(0x10, 4) & !0xF) | u64::from(probe.config_read(0x14, 4)) << 32;
            let at = k.call_export("MmMapIoSpaceEx", &[base, 0x1000, 0x204]);
            k.write(at + register::DOORBELL, 7_u32);
            (k.read::<u32>(at), function.log())
        })
        .expect("no stop");
    assert_eq!(read, u32::MAX);
    assert!(!after.iter().any(|line| line.starts_with("write")), "{after:?}");
}

#[test]
fn a_package_without_an_id_of_this_machine_says_which_ids_and_devices_there_are() {
    let mut package: Source = package();
    let text = String::from_utf8(package.files["engine.inf"].clone()).unwrap();
    let text = text.replace(r"PCI\VEN_8086&DEV_6F20, Root\Engine", r"PCI\VEN_8086&DEV_0B00");
    package.files.insert("engine.inf".to_owned(), text.into_bytes());
    let error = machine()
        .run(|k| {
            k.plug(None, Box::new(TestFunction::new(1))).expect("a function");
            k.install_package(&package).expect_err("no device")
        })
        .expect("no stop");
    assert!(matches!(error, InstallError::NoDevice { .. }));
    let text = error.to_string();
    assert!(text.contains(r"PCI\VEN_8086&DEV_0B00"), "{text}");
    assert!(
        text.contains(r"devices without a driver: PCI\VEN_8086&DEV_6F20&SUBSYS_56781234&REV_04"),
        "{text}"
    );
}

#[test]
fn a_device_whose_image_does_not_load_has_code_39_and_says_why() {
    let (problem, other) = machine()
        .run(|k| {
            let id = k.plug(None, Box::new(TestFunction::new(1))).expect("a function");
            k.install_package(&package()).expect("a package");
            let root = k.create_root_device(r"Root\Engine");
            (k.device(id).and_then(|device| device.problem), k.device(root).and_then(|device| device.problem))
        })
        .expect("no stop");
    let problem = problem.expect("the payload is no image");
    assert_eq!((problem.code(), other.map(|problem| problem.code())), (39, Some(39)));
    assert!(problem.to_string().contains("engine.sys"), "{problem}");
}

#[test]
fn the_release_decides_which_decorations_apply() {
    let mut old = System::new(Release { major: 6, minor: 1, build: 7601 });
    assert!(old.stage(&package()).is_ok(), "NTamd64 without a version applies to every release");
}
