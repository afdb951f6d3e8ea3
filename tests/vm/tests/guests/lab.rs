//! The laboratory: what `cargo xtask vm --install` has put into the cache folder.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Paths and versions, from `lab.txt`.
pub struct Lab {
    entries: BTreeMap<String, String>,
}

impl Lab {
    /// The laboratory that the environment names.
    pub fn find() -> Result<Self, String> {
        let folder = env::var_os("NETDMA_VM_LAB").ok_or("no laboratory: run `cargo xtask vm`")?;
        let path = Path::new(&folder).join("lab.txt");
        let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let entries = text
            .lines()
            .filter_map(|line| line.split_once('='))
            .map(|(key, value)| (key.into(), value.into()));
        Ok(Self { entries: entries.collect() })
    }

    fn entry(&self, key: &str) -> Result<&str, String> {
        self.entries
            .get(key)
            .map(String::as_str)
            .ok_or_else(|| format!("the laboratory lacks {key}: run `cargo xtask vm --all --install`"))
    }

    /// A file of the guest: kernel, busybox or a module.
    pub fn guest_file(&self, name: &str) -> Result<PathBuf, String> {
        Ok(Path::new(self.entry("linux")?).join(name))
    }

    /// The folder into which DPDK's packages are unpacked.
    pub fn dpdk(&self) -> Result<PathBuf, String> {
        Ok(self.entry("dpdk")?.into())
    }

    /// Versions of everything, for reports.
    pub fn versions(&self) -> String {
        let version = |name: &str| {
            let key = format!("{name}_version");
            self.entries.get(&key).map(|version| format!("{name} {version}"))
        };
        ["qemu", "linux", "dpdk"].into_iter().filter_map(version).collect::<Vec<_>>().join(", ")
    }

    /// QEMU, run through its own dynamic linker, with its own firmware.
    pub fn qemu(&self) -> Result<Command, String> {
        let root = Path::new(self.entry("qemu")?);
        let libraries = root.join("usr/lib/x86_64-linux-gnu");
        let mut command = Command::new(root.join("usr/lib64/ld-linux-x86-64.so.2"));
        command
            .env("QEMU_MODULE_DIR", libraries.join("qemu"))
            .arg("--library-path")
            .arg(&libraries)
            .arg(root.join("usr/bin/qemu-system-x86_64"));
        for firmware in ["usr/share/qemu", "usr/share/seabios", "usr/lib/ipxe/qemu"] {
            command.arg("-L").arg(root.join(firmware));
        }
        Ok(command)
    }
}
