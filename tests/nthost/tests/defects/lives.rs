//! The lives that drivers lead on the machine: a whole one, from the package to the last leftover.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use nthost::install::Source;
use nthost::io::Guid;
use nthost::io::file::Output;
use nthost::{Builder, Machine, Stop};

use crate::common::{TestFunction, inf};

/// What a driver needs to live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// A service that is started and stopped.
    Service,
    /// A PCI function with a message; the device is asked, rebalanced, asked again, and removed.
    Device,
    /// The same with a line instead of messages.
    Line,
}

/// The two drivers of one source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Twin {
    Wrong,
    Clean,
}

/// CTL_CODE(FILE_DEVICE_UNKNOWN, 0x800, METHOD_BUFFERED, FILE_ANY_ACCESS).
const CODE: u32 = 0x0022_2000;

/// The interface of `defects::wdm`.
const INTERFACE: Guid = Guid {
    data1: 0x5D9C_7B10,
    data2: 0x3E41,
    data3: 0x4A6F,
    data4: [0x91, 0x2C, 0x6B, 0x0E, 0x8D, 0x57, 0xF4, 0x23],
};

/// Time for what a driver has set going, in virtual nanoseconds.
const A_WHILE: u64 = 100_000_000;

/// The machine that drivers live on unless a test says otherwise: with limits that a driver which hangs reaches soon.
pub fn builder() -> Builder {
    Machine::builder().memory(16 << 20).limits(10_000_000_000, 2_000_000)
}

/// The repository's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Lives the whole life of a driver. What it leaves behind without a stop fails the test, as does a device that does not
/// work.
pub fn live(driver: &str, twin: Twin, life: Life, machine: &mut Machine) -> Result<(), Box<Stop>> {
    match life {
        Life::Service => serve(driver, twin, A_WHILE, machine),
        Life::Device => drive(driver, twin, 1, machine),
        Life::Line => drive(driver, twin, 0, machine),
    }
}

/// Starts a service, lets it work for so many virtual nanoseconds, and stops it.
pub fn serve(driver: &str, twin: Twin, time: u64, machine: &mut Machine) -> Result<(), Box<Stop>> {
    machine.run(|k| {
        k.install_package(&package(driver, twin, inf::service(driver, 13))).expect("a package");
        k.start_service(driver).expect("a driver that starts");
    })?;
    machine.advance(time)?;
    machine.run(|k| {
        k.stop_service(driver).expect("a driver that stops");
        assert_eq!(k.shutdown().leaks(), 0, "{driver}, {twin:?}: {:?}", k.shutdown());
    })
}

fn drive(driver: &str, twin: Twin, messages: u16, machine: &mut Machine) -> Result<(), Box<Stop>> {
    let id = machine.run(|k| {
        let id = k.plug(None, Box::new(TestFunction::new(messages))).expect("a function");
        k.install_package(&package(driver, twin, inf::device(driver, r"PCI\VEN_8086&DEV_6F20", "")))
            .expect("a package");
        assert_eq!(k.device(id).and_then(|device| device.problem), None, "{driver}, {twin:?}");
        id
    })?;
    for rebalanced in [false, true] {
        machine.advance(A_WHILE)?;
        machine.run(|k| {
            let file = k.open_interface(INTERFACE, 0).expect("a device that can be opened");
            let done = k.ioctl(file, CODE, b"x", Output::None);
            assert!(done.status.is_success(), "{driver}, {twin:?}: {}", done.status);
            k.close(file);
            if !rebalanced {
                k.rebalance(id).expect("nobody refuses");
            }
        })?;
    }
    machine.run(|k| {
        k.remove_device(id).expect("nobody refuses");
        assert_eq!(k.shutdown().leaks(), 0, "{driver}, {twin:?}: {:?}", k.shutdown());
    })
}

/// The package of a driver as `cargo xtask defects` built it.
fn package(driver: &str, twin: Twin, inf: String) -> Source {
    let folder = root().join("target/defects").join(match twin {
        Twin::Wrong => "wrong",
        Twin::Clean => "clean",
    });
    let image = folder.join(format!("{driver}.sys"));
    let bytes = fs::read(&image)
        .unwrap_or_else(|error| panic!("{}: {error}; `cargo xtask defects` builds it", image.display()));
    let files =
        BTreeMap::from([("driver.inf".to_owned(), inf.into_bytes()), (format!("{driver}.sys"), bytes)]);
    Source { inf: "driver.inf".to_owned(), files, origin: Some(folder) }
}
