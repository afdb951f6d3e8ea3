//! What the INFs of the two device drivers say, held against the table of engines and the decisions of
//! docs/architecture.md. Installing from them is tested where a machine is booted.
#![forbid(unsafe_code)]

use ioat_regs::device::DEVICES;
use nthost::inf::Inf;
use nthost::inf::package::{Plan, Release};
use nthost::registry::Value;
use proof::proves;

/// Windows 10 2004, the oldest one served (D8).
const OLDEST: Release = Release { major: 10, minor: 0, build: 19041 };

fn parse(name: &str) -> Inf {
    let path = format!("{}/../../inf/{name}.inx", env!("CARGO_MANIFEST_DIR"));
    Inf::parse(name, &std::fs::read(&path).unwrap()).unwrap()
}

fn plan(name: &str) -> Plan {
    parse(name).plan(&format!("{name}_Device")).unwrap()
}

/// The value that the device's or service's part of the INF writes.
fn written<'a>(lines: &'a [nthost::inf::package::AddReg], subkey: &str, name: &str) -> Option<&'a Value> {
    lines
        .iter()
        .find(|line| {
            line.root == "HKR"
                && line.subkey.eq_ignore_ascii_case(subkey)
                && line.name.eq_ignore_ascii_case(name)
        })
        .and_then(|line| line.value.as_ref())
}

#[test]
fn ioatdma_serves_exactly_the_engines_of_the_table() {
    let served: Vec<Vec<String>> =
        parse("ioatdma").models(OLDEST).unwrap().into_iter().map(|model| model.ids).collect();
    let table: Vec<Vec<String>> = DEVICES
        .iter()
        .map(|row| vec![format!("PCI\\VEN_{:04X}&DEV_{:04X}", row.vendor, row.device)])
        .collect();
    proves!(crate: R1, H1; assert_eq!(served, table));
}

#[test]
fn every_engine_has_a_name_of_its_own_platform() {
    let models = parse("ioatdma").models(OLDEST).unwrap();
    for (model, row) in models.iter().zip(DEVICES) {
        assert!(model.description.starts_with("Intel I/OAT DMA engine ("), "{}", model.description);
        for (other, other_row) in models.iter().zip(DEVICES) {
            let same = row.platform == other_row.platform;
            assert_eq!(
                model.description == other.description,
                same,
                "{} {}",
                model.description,
                other.description
            );
        }
    }
}

#[test]
fn the_test_client_is_a_root_enumerated_device() {
    let models = parse("netdmatest").models(OLDEST).unwrap();
    assert_eq!(models.iter().map(|model| &model.ids).collect::<Vec<_>>(), [&["Root\\NetDmaTest".to_owned()]]);
}

#[test]
fn both_are_kmdf_1_15_drivers_of_class_system_that_run_from_the_driver_store() {
    for name in ["ioatdma", "netdmatest"] {
        let inf = parse(name);
        let version = inf.version().unwrap();
        proves!(crate: R2; assert_eq!(version.class, "System"));
        assert_eq!(inf.value("Version", "PnpLockdown"), Some("1"));
        assert_eq!(version.catalog, format!("{name}.cat"));

        let plan = plan(name);
        let image = format!("{name}.sys");
        assert_eq!(plan.kmdf, Some((name.to_owned(), "1.15".to_owned())));
        assert_eq!(
            plan.files.iter().map(|file| (file.directory.dirid, &file.source)).collect::<Vec<_>>(),
            [(13, &image)]
        );
        let [service] = &plan.services[..] else { panic!("one service, not {:?}", plan.services) };
        assert!(service.associated);
        assert_eq!((service.service_type, service.start_type, service.error_control), (1, 3, 1));
        assert_eq!((service.binary.0.dirid, &service.binary.1), (13, &image));
        assert_eq!(plan.registry, [], "nothing belongs in the software key");
        assert!(
            matches!(written(&plan.hardware, "", "Security"), Some(Value::Sz(text)) if text == "D:P(A;;GA;;;SY)(A;;GA;;;BA)"),
            "the device is for system and administrators only"
        );
    }
}

#[test]
fn ioatdma_opts_out_of_dma_remapping_in_both_spellings() {
    let plan = plan("ioatdma");
    assert_eq!(written(&plan.hardware, "DMA Management", "RemappingSupported"), Some(&Value::Dword(0)));
    let service = &plan.services[0].registry;
    assert_eq!(written(service, "Parameters", "DmaRemappingCompatible"), Some(&Value::Dword(0)));
}

#[test]
fn ioatdma_asks_for_one_message() {
    let plan = plan("ioatdma");
    let properties = "Interrupt Management\\MessageSignaledInterruptProperties";
    proves!(crate: H6;
        assert_eq!(written(&plan.hardware, properties, "MSISupported"), Some(&Value::Dword(1)));
        assert_eq!(written(&plan.hardware, properties, "MessageNumberLimit"), Some(&Value::Dword(1))));
}
