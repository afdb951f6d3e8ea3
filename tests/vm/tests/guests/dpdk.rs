//! DPDK's dma/ioat driver under DPDK's own test suite, in a Linux guest.
//!
//! `dpdk-test` ends with status 0 when a test was skipped and often when it failed, so only its words count: the suite
//! ran on this device, and said "Test OK".

use std::{collections::BTreeMap, path::PathBuf, process::Command};

use crate::{
    initramfs::Initramfs,
    lab::Lab,
    machine::Outcome,
    scenario::{PLAIN, Scenario},
};

/// Plug-ins that the tests need beside what `dpdk-test` is linked with.
const PLUGINS: [&str; 4] =
    ["librte_dma_ioat.so", "librte_mempool_ring.so", "librte_bus_pci.so", "librte_bus_vdev.so"];

/// Kernel modules in the order in which they are loaded.
const MODULES: [&str; 8] = [
    "uio",
    "uio_pci_generic",
    "irqbypass",
    "vfio",
    "vfio_virqfd",
    "vfio_iommu_type1",
    "vfio-pci-core",
    "vfio-pci",
];

/// Puts `dpdk-test` into the guest with every library it needs, each once: a library that is found under two names
/// registers itself twice. The folder of plug-ins therefore holds links.
fn files(lab: &Lab, guest: &mut Initramfs) -> Result<(), String> {
    let root = lab.dpdk()?;
    let libraries = root.join("usr/lib/x86_64-linux-gnu");
    let program = root.join("usr/bin/dpdk-test");
    let linker = root.join("usr/lib64/ld-linux-x86-64.so.2");
    let plugins = PLUGINS.map(|name| libraries.join(name));
    let mut needed: BTreeMap<String, PathBuf> = BTreeMap::new();
    for file in std::iter::once(&program).chain(&plugins) {
        let output = Command::new(&linker)
            .arg("--library-path")
            .arg(&libraries)
            .arg("--list")
            .arg(file)
            .output()
            .map_err(|error| format!("{}: {error}", linker.display()))?;
        // `librte_eal.so.25 => /…/librte_eal.so.25 (0x…)`
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            if let Some((name, rest)) = line.trim().split_once(" => ") {
                let path = rest.split(" (").next().unwrap_or_default();
                needed.insert(name.rsplit('/').next().unwrap_or(name).into(), path.into());
            }
        }
    }
    for (plugin, path) in PLUGINS.iter().zip(&plugins) {
        // Under its own name only if nobody needs it under its versioned one.
        let versioned = format!("{plugin}.25");
        let target = if needed.contains_key(&versioned) { versioned } else { (*plugin).to_owned() };
        needed.entry(target.clone()).or_insert_with(|| path.clone());
        guest.link(&format!("dpdk/plugins/{plugin}"), &format!("/dpdk/lib/{target}"));
    }
    // Opened by name when a thread ends.
    needed.insert("libgcc_s.so.1".into(), libraries.join("libgcc_s.so.1"));
    for (name, path) in &needed {
        guest.copy(&format!("dpdk/lib/{name}"), path)?;
    }
    guest.copy("dpdk/lib/ld-linux-x86-64.so.2", &linker)?;
    guest.copy("dpdk/dpdk-test", &program)?;
    for module in MODULES {
        guest.copy(&format!("lib/{module}.ko"), &lab.guest_file(&format!("{module}.ko"))?)?;
    }
    Ok(())
}

/// Huge pages, the driver that gives the function to user space, and the suite.
macro_rules! suite {
    ($id:literal, $driver:literal, $mode:literal) => {
        concat!(
            "for m in uio uio_pci_generic irqbypass vfio vfio_virqfd vfio_iommu_type1 vfio-pci-core vfio-pci; do\n",
            "  insmod /lib/$m.ko; done\n",
            "echo 200 > /proc/sys/vm/nr_hugepages; mkdir -p /dev/hugepages /run /var/run\n",
            "mount -t hugetlbfs none /dev/hugepages\n",
            "echo '8086 ",
            $id,
            "' > /sys/bus/pci/drivers/",
            $driver,
            "/new_id\n",
            "echo \"MARK driver $(basename $(readlink /sys/bus/pci/devices/0000:00:04.0/driver))\"\n",
            "DPDK_TEST=dmadev_autotest /dpdk/lib/ld-linux-x86-64.so.2 --library-path /dpdk/lib /dpdk/dpdk-test \\\n",
            "  -d /dpdk/plugins --iova-mode=",
            $mode,
            " -a 0000:00:04.0 --no-telemetry -l 0 -m 256 2>&1 | sed 's/^/DPDK /'\n"
        )
    };
}

/// The suite ran on our function and was content.
fn content(outcome: &Outcome) -> Result<String, String> {
    if outcome.count("DPDK ### Test dmadev instance 0 [0000:00:04.0]") == 0 {
        // The driver refused the engine, or the suite's part that comes before the data did.
        let why = outcome.serial.lines().find(|line| line.starts_with("DPDK ") && line.contains("failed"));
        return Err(match why {
            Some(line) => {
                format!("DPDK's suite did not get to the data: {}", line.trim_start_matches("DPDK "))
            }
            None => "DPDK's suite did not run on the engine".into(),
        });
    }
    // `+ Tests Failed :       0`, once per suite.
    let failures = |line: &&str| line.contains("Tests Failed :") && !line.trim_end().ends_with(" 0");
    if let Some(line) = outcome.serial.lines().find(failures) {
        return Err(line.trim_start_matches("DPDK").trim().to_owned());
    }
    if outcome.count("DPDK Test OK") == 0 {
        return Err("DPDK's suite did not say Test OK".into());
    }
    if outcome.mark("end").is_none() {
        return Err("the guest did not come to its end".into());
    }
    let (descriptors, fills) = (outcome.counter("descriptors"), outcome.counter("fills"));
    Ok(format!("{descriptors} descriptors, {fills} fills"))
}

/// As [`content`], with the suite's error tests, in which descriptors fail on purpose.
fn content_with_errors(outcome: &Outcome) -> Result<String, String> {
    let text = content(outcome)?;
    let halts = outcome.counter("halts");
    if outcome.count("error_handling") == 0 || halts == 0 {
        return Err(format!("the error tests did not run ({halts} halts)"));
    }
    Ok(format!("{text}, {halts} halts recovered"))
}

const DPDK: Scenario = Scenario { memory: "1G", files, judge: content, ..PLAIN };
const PHYSICAL: Scenario = Scenario { script: suite!("6f20", "uio_pci_generic", "pa"), ..DPDK };
const BEHIND_IOMMU: Scenario = Scenario {
    engine: &["--id", "0b00", "--timing", "start-delay=30000000"],
    qemu: &["-device", "intel-iommu,caching-mode=on"],
    kernel: "intel_iommu=on iommu.strict=1 iommu.passthrough=0",
    script: suite!("0b00", "vfio-pci", "va"),
    judge: content_with_errors,
    ..DPDK
};

/// Every scenario with DPDK.
pub fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario { name: "dpdk-6f20-physical", ..PHYSICAL },
        Scenario {
            name: "dpdk-2021-physical",
            engine: &["--id", "2021"],
            script: suite!("2021", "uio_pci_generic", "pa"),
            ..PHYSICAL
        },
        Scenario { name: "dpdk-0b00-iommu-errors", ..BEHIND_IOMMU },
        Scenario {
            name: "dpdk-catches-word-of-next",
            engine: &["--fault", "defect name=word-of-next"],
            must_be_caught: true,
            ..PHYSICAL
        },
        Scenario {
            name: "dpdk-catches-active-after-reset",
            engine: &["--fault", "defect name=active-after-reset"],
            must_be_caught: true,
            ..PHYSICAL
        },
        broken_in_errors(
            "dpdk-catches-error-is-storage",
            &["--id", "0b00", "--timing", "start-delay=30000000", "--fault", "defect name=error-is-storage"],
        ),
        broken_in_errors(
            "dpdk-catches-halt-reports-failed",
            &[
                "--id",
                "0b00",
                "--timing",
                "start-delay=30000000",
                "--fault",
                "defect name=halt-reports-failed",
            ],
        ),
    ]
}

/// The scenario of an engine that is broken where descriptors fail.
const fn broken_in_errors(name: &'static str, engine: &'static [&'static str]) -> Scenario {
    Scenario { name, engine, must_be_caught: true, ..BEHIND_IOMMU }
}
