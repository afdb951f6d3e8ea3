//! The laboratory for virtual machines: QEMU, a kernel with its modules, DPDK, from Debian's archive.
//!
//! Everything is downloaded and unpacked into the cache folder, one folder per set of package versions; programs
//! run from there through their own dynamic linker. A file `lab.txt` of `key=value` lines, written last, tells the
//! tests where things are and what versions they have.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::Failure;
use crate::debian::Apt;
use crate::{cache, steps};

/// How much of the laboratory is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parts {
    /// QEMU and a Linux guest.
    Linux,
    /// DPDK as well.
    All,
}

/// QEMU: the device `vfio-user-pci` came with 10.1, which only the backports have.
const QEMU_SUITES: &[&str] = &["trixie", "trixie-backports"];
/// DPDK 24.11.
const DPDK_SUITES: &[&str] = &["trixie"];
/// The kernel whose compiler and headers fit each other: 6.1 with gcc 12.
const KERNEL_SUITES: &[&str] = &["bookworm"];

/// Returns the folder of a complete laboratory, setting up what is missing.
///
/// # Errors
/// The machine is no Debian, a tool is missing, the archive cannot be reached, or there is no space; the message
/// says which.
pub fn prepare(parts: Parts, refresh: bool) -> Result<PathBuf, Failure> {
    let _lock = cache::lock()?;
    let folder = cache::folder()?.join("vm");
    let wanted: &[Part] = match parts {
        Parts::Linux => &[QEMU, KERNEL],
        Parts::All => &[QEMU, KERNEL, DPDK],
    };
    let mut manifest = String::new();
    for part in wanted {
        let lines = match installed(&folder, part).filter(|_| !refresh) {
            Some(lines) => lines,
            None => install(&folder, part)?,
        };
        manifest.push_str(&lines);
    }
    write(&folder.join("lab.txt"), &manifest)?;
    Ok(folder)
}

/// One independent piece of the laboratory.
struct Part {
    name: &'static str,
    suites: &'static [&'static str],
    /// The package whose version names the folder; asked for with `apt-cache policy`.
    key: fn(&Apt) -> Result<String, Failure>,
    /// Downloads packages and makes `folder` complete; returns lines for the manifest.
    build: fn(&Apt, &Path, &Path) -> Result<String, Failure>,
}

const QEMU: Part = Part {
    name: "qemu",
    suites: QEMU_SUITES,
    key: |apt| candidate(apt, "qemu-system-x86", Some("trixie-backports")),
    build: build_qemu,
};
const KERNEL: Part = Part {
    name: "linux",
    suites: KERNEL_SUITES,
    key: |apt| candidate(apt, &kernel_package(apt)?, None),
    build: build_kernel,
};
const DPDK: Part = Part {
    name: "dpdk",
    suites: DPDK_SUITES,
    key: |apt| candidate(apt, "dpdk-dev", None),
    build: build_dpdk,
};

/// The manifest lines of the newest complete copy of `part`.
fn installed(folder: &Path, part: &Part) -> Option<String> {
    let entries = fs::read_dir(folder).ok()?;
    let mut complete: Vec<(std::time::SystemTime, String)> = entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(&format!("{}-", part.name)))
        .filter_map(|entry| {
            let path = entry.path().join("part.txt");
            Some((path.metadata().ok()?.modified().ok()?, fs::read_to_string(path).ok()?))
        })
        .collect();
    complete.sort();
    complete.pop().map(|(_, lines)| lines)
}

fn install(folder: &Path, part: &Part) -> Result<String, Failure> {
    eprintln!("setting up {} for the virtual machines, from Debian's {}", part.name, part.suites.join(", "));
    let work = folder.join(format!("{}.partial", part.name));
    remove(&work)?;
    make(&work)?;
    let apt = Apt::prepare(&work.join("apt"), part.suites)?;
    let version = (part.key)(&apt)?;
    let name: String =
        version.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '_' }).collect();
    let place = folder.join(format!("{}-{name}", part.name));
    if let Ok(lines) = fs::read_to_string(place.join("part.txt")) {
        remove(&work)?;
        return Ok(lines);
    }
    remove(&place)?;
    make(&place)?;
    let mut lines = (part.build)(&apt, &work, &place)?;
    let _ = writeln!(lines, "{}_version={version}", part.name);
    write(&place.join("part.txt"), &lines)?;
    remove(&work)?;
    Ok(lines)
}

fn build_qemu(apt: &Apt, work: &Path, place: &Path) -> Result<String, Failure> {
    let root = place.join("root");
    download_with_dependencies(apt, work, "trixie-backports", &["qemu-system-x86"])?;
    Apt::unpack(&work.join("apt/cache/archives"), &root)?;
    remove(&root.join("usr/share/doc"))?;
    Ok(format!("qemu={}\n", root.display()))
}

fn build_dpdk(apt: &Apt, work: &Path, place: &Path) -> Result<String, Failure> {
    let root = place.join("root");
    let packages = ["dpdk-dev", "librte-dma-ioat25", "librte-mempool-ring25"];
    download_with_dependencies(apt, work, "trixie", &packages)?;
    Apt::unpack(&work.join("apt/cache/archives"), &root)?;
    remove(&root.join("usr/share/doc"))?;
    Ok(format!("dpdk={}\n", root.display()))
}

/// Kernel, busybox, and the module `dmatest`, which Debian's kernels lack: built from the kernel's source package.
fn build_kernel(apt: &Apt, work: &Path, place: &Path) -> Result<String, Failure> {
    for tool in ["gcc-12", "make", "tar", "xz"] {
        if Command::new(tool).arg("--version").output().is_err() {
            return Err(Failure::usage(format!("{tool} is missing: it builds the kernel's dmatest module")));
        }
    }
    let image = kernel_package(apt)?;
    let release = image.trim_start_matches("linux-image-").to_owned();
    let headers = format!("linux-headers-{release}");
    let common = release.replace("-amd64", "-common");
    let packages = [
        image.as_str(),
        &headers,
        &format!("linux-headers-{common}"),
        "linux-kbuild-6.1",
        "linux-compiler-gcc-12-x86",
        "busybox-static",
    ];
    let debs = work.join("debs");
    make(&debs)?;
    steps::run(
        "apt download",
        apt.command("apt-get").arg("download").args(packages).current_dir(&debs),
        |_| {},
    )?;
    let root = work.join("root");
    Apt::unpack(&debs, &root)?;
    let module = build_dmatest(apt, work, &root, &headers)?;

    let modules = root.join("lib/modules").join(&release).join("kernel/drivers");
    for (from, name) in [
        (root.join(format!("boot/vmlinuz-{release}")), "vmlinuz"),
        (root.join("bin/busybox"), "busybox"),
        (module, "dmatest.ko"),
        (modules.join("dca/dca.ko"), "dca.ko"),
        (modules.join("dma/ioat/ioatdma.ko"), "ioatdma.ko"),
        (modules.join("uio/uio.ko"), "uio.ko"),
        (modules.join("uio/uio_pci_generic.ko"), "uio_pci_generic.ko"),
        (modules.join("vfio/vfio.ko"), "vfio.ko"),
        (modules.join("vfio/vfio_iommu_type1.ko"), "vfio_iommu_type1.ko"),
        (modules.join("vfio/vfio_virqfd.ko"), "vfio_virqfd.ko"),
        (modules.join("vfio/pci/vfio-pci-core.ko"), "vfio-pci-core.ko"),
        (modules.join("vfio/pci/vfio-pci.ko"), "vfio-pci.ko"),
        (root.join(format!("lib/modules/{release}/kernel/virt/lib/irqbypass.ko")), "irqbypass.ko"),
    ] {
        let to = place.join(name);
        fs::copy(&from, &to).map_err(|error| Failure::usage(format!("{}: {error}", from.display())))?;
        if name.ends_with(".ko") {
            // Debug information is most of a module; without strip the guest's memory holds it too.
            let _ = Command::new("strip").arg("--strip-debug").arg(&to).status();
        }
    }
    Ok(format!("linux={}\nlinux_release={release}\n", place.display()))
}

fn build_dmatest(apt: &Apt, work: &Path, root: &Path, headers: &str) -> Result<PathBuf, Failure> {
    let sources = work.join("source");
    make(&sources)?;
    // The very version of the kernel: the archive may hold several.
    let table = apt.ask(&["policy", &kernel_package(apt)?])?;
    let version = field(&table, "Candidate:").unwrap_or_default();
    let package = format!("linux-source-6.1={version}");
    steps::run(
        "apt download",
        apt.command("apt-get").arg("download").arg(package).current_dir(&sources),
        |_| {},
    )?;
    let module = work.join("module");
    make(&module)?;
    // Two files of a thousandfold: the archive is read as a stream and no further than needed.
    let script = "dpkg-deb --fsys-tarfile linux-source-*.deb \
                  | tar --extract --to-stdout ./usr/src/linux-source-6.1.tar.xz \
                  | xz --decompress --stdout \
                  | tar --extract --occurrence=1 --strip-components=3 --directory ../module \
                    linux-source-6.1/drivers/dma/dmatest.c linux-source-6.1/drivers/dma/dmaengine.h";
    steps::run("kernel source", Command::new("sh").args(["-c", script]).current_dir(&sources), |_| {})?;
    write(&module.join("Makefile"), "obj-m := dmatest.o\n")?;

    // The headers' makefile names its other half by its place on an installed system.
    let tree = root.join("usr/src").join(headers);
    let makefile = tree.join("Makefile");
    let text = fs::read_to_string(&makefile)
        .map_err(|error| Failure::usage(format!("{}: {error}", makefile.display())))?;
    write(&makefile, &text.replace("include /usr/src/", &format!("include {}/usr/src/", root.display())))?;
    let mut make = Command::new("make");
    make.arg("-C").arg(&tree).arg(format!("M={}", module.display())).arg("modules");
    steps::run("dmatest module", &mut make, |_| {})?;
    Ok(module.join("dmatest.ko"))
}

/// The package of the kernel that `linux-image-amd64` stands for.
fn kernel_package(apt: &Apt) -> Result<String, Failure> {
    let answer = apt.ask(&["depends", "linux-image-amd64"])?;
    let package = answer.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
    package
        .map(str::to_owned)
        .find(|name| name.starts_with("linux-image-"))
        .ok_or_else(|| Failure::usage("the archive has no linux-image-amd64"))
}

/// The version of `package` that would be taken, from `suite` if that is given.
fn candidate(apt: &Apt, package: &str, suite: Option<&str>) -> Result<String, Failure> {
    let missing = || Failure::usage(format!("the archive has no {package}"));
    match suite {
        Some(suite) => {
            let table = apt.ask(&["madison", package])?;
            let line = table.lines().find(|line| line.contains(&format!(" {suite}/"))).ok_or_else(missing)?;
            line.split('|').nth(1).map(|version| version.trim().to_owned()).ok_or_else(missing)
        }
        None => {
            let table = apt.ask(&["policy", package])?;
            field(&table, "Candidate:").filter(|version| version != "(none)").ok_or_else(missing)
        }
    }
}

/// What follows `name` in its line.
fn field(table: &str, name: &str) -> Option<String> {
    table.lines().find_map(|line| line.trim().strip_prefix(name)).map(|rest| rest.trim().to_owned())
}

fn download_with_dependencies(apt: &Apt, work: &Path, suite: &str, packages: &[&str]) -> Result<(), Failure> {
    let mut command = apt.command("apt-get");
    command
        .args(["install", "--yes", "--download-only", "--no-install-recommends", "--target-release", suite])
        .args(packages)
        .current_dir(work);
    steps::run("apt download", &mut command, |_| {})
}

fn make(folder: &Path) -> Result<(), Failure> {
    fs::create_dir_all(folder).map_err(|error| Failure::usage(format!("{}: {error}", folder.display())))
}

fn remove(folder: &Path) -> Result<(), Failure> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Failure::usage(format!("{}: {error}", folder.display())))
        }
        _ => Ok(()),
    }
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    fs::write(path, text).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
}
