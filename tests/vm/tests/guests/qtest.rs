//! The PCI function as QEMU presents it, driven without any guest through QEMU's test protocol.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Stdio},
};

use proof::proves;

use crate::{
    lab::Lab,
    machine::Server,
    scenario::{PLAIN, Scenario},
};

/// The scenarios without a guest.
pub fn scenarios() -> Vec<Scenario> {
    vec![Scenario { name: "qtest-6f20", always: true, instead: Some(conversation), ..PLAIN }]
}

/// QEMU without a processor: one command per line, one answer per line.
struct Qtest {
    qemu: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Qtest {
    fn start(lab: &Lab, server: &Server) -> Result<Self, String> {
        let socket = server.sockets()[0].display();
        let device = format!(
            r#"{{"driver":"vfio-user-pci","socket":{{"type":"unix","path":"{socket}"}},"addr":"4"}}"#
        );
        let mut qemu = lab
            .qemu()?
            .args([
                "-M",
                "q35",
                "-accel",
                "qtest",
                "-qtest",
                "stdio",
                "-m",
                "128M",
                "-nodefaults",
                "-display",
                "none",
            ])
            .args(["-object", "memory-backend-memfd,id=m,size=128M,share=on", "-machine", "memory-backend=m"])
            .arg("-device")
            .arg(device)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("QEMU: {error}"))?;
        let input = qemu.stdin.take().ok_or("QEMU has no input")?;
        let output = BufReader::new(qemu.stdout.take().ok_or("QEMU has no output")?);
        Ok(Self { qemu, input, output })
    }

    /// Sends a command; returns what follows `OK`.
    fn ask(&mut self, command: &str) -> Result<String, String> {
        writeln!(self.input, "{command}").map_err(|error| format!("QEMU: {error}"))?;
        loop {
            let mut line = String::new();
            if self.output.read_line(&mut line).map_err(|error| format!("QEMU: {error}"))? == 0 {
                return Err(format!("QEMU ended at `{command}`"));
            }
            if let Some(answer) = line.trim().strip_prefix("OK") {
                return Ok(answer.trim().to_owned());
            }
            if line.starts_with("FAIL") {
                return Err(format!("`{command}`: {}", line.trim()));
            }
        }
    }

    fn number(&mut self, command: &str) -> Result<u64, String> {
        let answer = self.ask(command)?;
        let digits = answer.trim_start_matches("0x");
        u64::from_str_radix(digits, 16).map_err(|_| format!("`{command}` answered {answer}"))
    }

    /// Configuration space of device 4 through the enhanced window, extended part included.
    fn config(offset: u64) -> u64 {
        ECAM + (4 << 15) + offset
    }
}

impl Drop for Qtest {
    fn drop(&mut self) {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

const ECAM: u64 = 0xB000_0000;
const BAR: u64 = 0xFE00_0000;
const CHANNEL: u64 = BAR + 0x80;
const RING: u64 = 0x10_0000;
const WORD: u64 = 0x10_8000;
const SOURCE: u64 = 0x11_0003;
const TARGET: u64 = 0x12_0001;

fn conversation(lab: &Lab) -> Result<String, String> {
    let server = Server::start(1, &[])?;
    let mut test = Qtest::start(lab, &server)?;
    // The enhanced configuration window of q35, through the port mechanism.
    test.ask("outl 0xcf8 0x80000060")?;
    test.ask(&format!("outl 0xcfc {:#x}", ECAM | 1))?;
    let id = test.number(&format!("readl {:#x}", Qtest::config(0)))?;
    let class = test.number(&format!("readl {:#x}", Qtest::config(8)))? >> 8;
    let severity = test.number(&format!("readl {:#x}", Qtest::config(0x150)))?;
    test.ask(&format!("writel {:#x} 0xffffffff", Qtest::config(0x10)))?;
    let sized = test.number(&format!("readl {:#x}", Qtest::config(0x10)))?;
    test.ask(&format!("writel {:#x} {BAR:#x}", Qtest::config(0x10)))?;
    test.ask(&format!("writel {:#x} 0", Qtest::config(0x14)))?;
    test.ask(&format!("writew {:#x} 6", Qtest::config(4)))?;
    let version = test.number(&format!("readb {:#x}", BAR + 8))?;

    let source: Vec<u8> = (0..1000_u32).map(|n| (n * 13 + 5) as u8).collect();
    let hex: String = source.iter().map(|byte| format!("{byte:02x}")).collect();
    test.ask(&format!("write {SOURCE:#x} {} 0x{hex}", source.len()))?;
    let descriptor = [1000 | (0x08 << 32), SOURCE, TARGET, RING + 64];
    for (offset, word) in (0..).step_by(8).zip(descriptor) {
        test.ask(&format!("writeq {:#x} {word:#x}", RING + offset))?;
    }
    test.ask(&format!("writeb {:#x} 0x20", CHANNEL + 4))?;
    test.ask(&format!("writew {CHANNEL:#x} 0x1d"))?;
    test.ask(&format!("writeq {:#x} {WORD:#x}", CHANNEL + 0x18))?;
    test.ask(&format!("writeq {:#x} {RING:#x}", CHANNEL + 0x10))?;
    let armed = test.number(&format!("readq {:#x}", CHANNEL + 8))?;
    test.ask(&format!("writew {:#x} 1", CHANNEL + 6))?;
    let mut status = 0;
    while status & 7 == 0 {
        status = test.number(&format!("readq {:#x}", CHANNEL + 8))?;
    }
    let word = test.number(&format!("readq {WORD:#x}"))?;
    let copied = test.ask(&format!("read {TARGET:#x} {}", source.len()))?;
    drop(test);
    let found = [id, class, sized, severity, version, armed, status, word];
    let expected = [0x6F20_8086, 0x08_8000, 0xFFFF_C004, 0x98, 0x32, 4, RING | 1, RING | 1];
    if found != expected {
        return Err(format!("id, class, BAR, severity, version, states: {found:#x?}, not {expected:#x?}"));
    }
    if copied != format!("0x{hex}") {
        return Err("the copy is not what its source is".into());
    }
    proves!(model: M1, M2, M11, M16, M20, M31, M45; assert_eq!(found, expected));
    Ok("configuration space, BAR, reset, arming and a copy through QEMU's eyes".into())
}
