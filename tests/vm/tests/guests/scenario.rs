//! What is run and what must come out of it.

use std::{fs, path::PathBuf};

use ioat_model::Defect;

use crate::{
    initramfs::Initramfs,
    lab::Lab,
    machine::{self, Outcome},
};

/// How a scenario ended, with one line for people.
pub enum Verdict {
    /// It held.
    Passed(String),
    /// It did not; the line names the log.
    Failed(String),
    /// It could not be run.
    Skipped(String),
}

/// One virtual machine with one engine, or a conversation without a guest.
pub struct Scenario {
    /// Its name; `--only` selects by a part of it.
    pub name: &'static str,
    /// Part of every run, not only of `--all`.
    pub always: bool,
    /// PCI functions of the engine.
    pub functions: usize,
    /// Options of `ioat-vfio`.
    pub engine: &'static [&'static str],
    /// Guest memory, as QEMU writes it.
    pub memory: &'static str,
    /// More options of QEMU.
    pub qemu: &'static [&'static str],
    /// More words of the kernel's command line.
    pub kernel: &'static str,
    /// What the guest does, as a shell script; `MARK word …` lines are what it says.
    pub script: &'static str,
    /// How often the guest boots.
    pub boots: usize,
    /// What the guest needs beside busybox and modules.
    pub files: fn(&Lab, &mut Initramfs) -> Result<(), String>,
    /// What must have come out: the line for people, or what is wrong.
    pub judge: fn(&Outcome) -> Result<String, String>,
    /// The engine is broken on purpose: `judge` must find something wrong.
    pub must_be_caught: bool,
    /// Runs without a guest instead.
    pub instead: Option<Conversation>,
}

/// Something done without a guest: the line for people, or what is wrong.
pub type Conversation = fn(&Lab) -> Result<String, String>;

/// What most scenarios have in common.
pub const PLAIN: Scenario = Scenario {
    name: "",
    always: false,
    functions: 1,
    engine: &[],
    memory: "256M",
    qemu: &[],
    kernel: "",
    script: "",
    boots: 1,
    files: |_, _| Ok(()),
    judge: |_| Err("no judge".into()),
    must_be_caught: false,
    instead: None,
};

/// The guest's first program. What a scenario does is in `/scenario`.
const INIT: &str = r#"#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc none /proc; mount -t sysfs none /sys; mount -t devtmpfs none /dev
echo "MARK boot $(uname -r)"
. /scenario
dmesg | grep -i -E 'ioat|dmatest|BUG|Call Trace|DMAR|vfio' | sed 's/^/LOG /'
echo "MARK end"
if [ -e /reboot ]; then reboot -f; else poweroff -f; fi
"#;

impl Scenario {
    /// What of it differs from the plain one, for a table.
    pub fn special(&self) -> String {
        let mut words: Vec<String> = [self.engine, self.qemu, &[self.kernel]]
            .into_iter()
            .map(|options| options.join(" "))
            .filter(|options| !options.is_empty())
            .map(|options| format!("`{options}`"))
            .collect();
        if self.functions > 1 {
            words.push(format!("{} functions", self.functions));
        }
        if self.boots > 1 {
            words.push(format!("{} boots", self.boots));
        }
        if words.is_empty() { "-".into() } else { words.join(", ") }
    }

    /// The seeded mistake of its engine, if it has one.
    pub fn defect(&self) -> Option<Defect> {
        self.engine.iter().find_map(|word| Defect::named(word.strip_prefix("defect name=")?))
    }

    /// Runs it.
    pub fn run(&self, lab: &Lab) -> Verdict {
        if let Some(instead) = self.instead {
            return match instead(lab) {
                Ok(text) => Verdict::Passed(text),
                Err(text) => Verdict::Failed(text),
            };
        }
        let initrd = match self.initrd(lab) {
            Ok(initrd) => initrd,
            Err(why) => return Verdict::Skipped(why),
        };
        let outcome = match machine::boot(lab, self, &initrd) {
            Ok(outcome) => outcome,
            Err(why) => return Verdict::Failed(why),
        };
        let log = self.keep(&outcome);
        if outcome.mark("boot").is_none() {
            return Verdict::Failed(format!("the guest never came up; see {}", log.display()));
        }
        let judged = match &outcome.cut {
            Some(why) => Err(why.clone()),
            None => (self.judge)(&outcome),
        };
        match (judged, self.must_be_caught) {
            (Ok(text), false) => Verdict::Passed(text),
            (Err(why), true) => Verdict::Passed(format!("caught: {why}")),
            (Ok(text), true) => {
                Verdict::Failed(format!("nobody noticed the broken engine ({text}); see {}", log.display()))
            }
            (Err(why), false) => Verdict::Failed(format!("{why}; see {}", log.display())),
        }
    }

    fn initrd(&self, lab: &Lab) -> Result<Vec<u8>, String> {
        let mut files = Initramfs::new();
        files.file("init", INIT.as_bytes());
        files.file("scenario", self.script.as_bytes());
        if self.boots > 1 {
            files.file("reboot", &[]);
        }
        files.copy("bin/busybox", &lab.guest_file("busybox")?)?;
        for module in ["dca", "ioatdma", "dmatest"] {
            files.copy(&format!("lib/{module}.ko"), &lab.guest_file(&format!("{module}.ko"))?)?;
        }
        (self.files)(lab, &mut files)?;
        Ok(files.finish())
    }

    /// Keeps what was said, for whoever has to find out why.
    fn keep(&self, outcome: &Outcome) -> PathBuf {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("guests");
        let path = folder.join(format!("{}.log", self.name));
        let text = format!("{}\n---- ioat-vfio ----\n{}", outcome.serial, outcome.server);
        let _ = fs::create_dir_all(&folder).and_then(|()| fs::write(&path, text));
        path
    }
}
