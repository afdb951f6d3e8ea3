//! What the demonstration tells in the end.

use std::fmt;
use std::time::Duration;

/// Everything a run found out.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    /// The seed that replays the run.
    pub seed: u64,
    /// The machine, such as `hosted NT, 2 CPUs, 256 MiB`.
    pub machine: String,
    /// Devices the machine found.
    pub devices: Vec<Device>,
    /// Driver images that were loaded.
    pub drivers: Vec<Driver>,
    /// Channels that copied.
    pub channels: Vec<Channel>,
    /// What was copied.
    pub work: Work,
    /// Faults that the engines were told to commit, as lines of a plan.
    pub injected: Vec<String>,
    /// What went wrong, in the words of whoever noticed it.
    pub findings: Vec<String>,
    /// Objects that the drivers left behind, by kind and number.
    pub leaks: Vec<(String, u64)>,
    /// Time on the host's clock, from power-on to the last driver's unloading.
    pub elapsed: Duration,
    /// Time on the machine's own clock.
    pub machine_time: Duration,
}

/// A device node.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Device {
    /// Where it is, such as `PCI 0:4.0` or `ROOT\NETDMATEST`.
    pub place: String,
    /// What its INF calls it.
    pub description: String,
    /// What it is made of, such as `8086:6f20, hardware 3.2, MSI-X`.
    pub details: String,
    /// The service that drives it.
    pub service: String,
}

/// A driver image.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Driver {
    /// File name.
    pub image: String,
    /// Version its INF states.
    pub version: String,
    /// Where the machine loaded it from.
    pub folder: String,
    /// What it is in the picture.
    pub role: &'static str,
}

/// A channel, as the three that count it saw it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Channel {
    /// Name, such as `engine 0`.
    pub name: String,
    /// Processor of its completions.
    pub cpu: u32,
    /// Bytes by the client's count.
    pub client_bytes: u64,
    /// Bytes by the interface's count.
    pub interface_bytes: u64,
    /// Bytes by the engine's count.
    pub engine_bytes: u64,
    /// Descriptors the engine finished.
    pub descriptors: u64,
    /// Batches posted: starts and appends.
    pub batches: u64,
    /// Posts that started the channel.
    pub starts: u64,
    /// Posts that appended to a running chain.
    pub appends: u64,
    /// Register writes while copying.
    pub register_writes: u64,
    /// Register reads while copying.
    pub register_reads: u64,
    /// Interrupts the engine signalled.
    pub interrupts: u64,
    /// Times the client or a watchdog looked for completions itself.
    pub polls: u64,
}

/// Totals over all channels.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Work {
    /// Files to copy.
    pub files: u64,
    /// Bytes to copy.
    pub bytes: u64,
    /// Copies that came back right.
    pub copies_verified: u64,
    /// Bytes of them.
    pub bytes_verified: u64,
    /// SHA-256 over what was read from the disk.
    pub source_hash: [u8; 32],
    /// SHA-256 over what arrived.
    pub destination_hash: [u8; 32],
}

impl Report {
    /// What is wrong: the findings, and whatever the numbers themselves contradict.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = self.findings.clone();
        for channel in &self.channels {
            let Channel { client_bytes, interface_bytes, engine_bytes, .. } = *channel;
            if client_bytes != interface_bytes || interface_bytes != engine_bytes {
                faults.push(format!(
                    "{}: the counts of bytes disagree: client {client_bytes}, netdma.sys {interface_bytes}, engine \
                     {engine_bytes}",
                    channel.name
                ));
            }
        }
        let Work { bytes, bytes_verified, source_hash, destination_hash, .. } = self.work;
        if bytes_verified != bytes {
            faults.push(format!("only {bytes_verified} of {bytes} bytes were verified"));
        }
        // When not everything arrived the hashes differ of course.
        if bytes_verified == bytes && source_hash != destination_hash {
            faults.push("the hash of what arrived is not that of what was sent".into());
        }
        for (kind, number) in &self.leaks {
            faults.push(format!("{number} {kind} left behind after everything was unloaded"));
        }
        faults
    }

    /// Nothing is wrong.
    pub fn is_good(&self) -> bool {
        self.faults().is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults = self.faults();
        writeln!(f, "NetDMA on a {}", self.machine)?;
        self.devices_and_drivers(f)?;
        self.channel_table(f)?;
        let Work { files, bytes, copies_verified, bytes_verified, .. } = self.work;
        let verified = format!("{} in {}", size(bytes_verified), plural(copies_verified, "copy"));
        if bytes_verified == bytes {
            writeln!(f, "\n  {} copied and verified: {verified}", plural(files, "file"))?;
        } else {
            writeln!(
                f,
                "\n  Stopped after {verified}; there were {} in {}",
                size(bytes),
                plural(files, "file")
            )?;
        }
        writeln!(f, "  SHA-256 sent    {}", hex(&self.work.source_hash))?;
        writeln!(f, "          arrived {}", hex(&self.work.destination_hash))?;
        let leaks: u64 = self.leaks.iter().map(|(_, number)| number).sum();
        writeln!(
            f,
            "  {} after unloading everything; {} of machine time, {} here; seed {}",
            plural(leaks, "leak"),
            time(self.machine_time),
            time(self.elapsed),
            self.seed
        )?;
        if !self.injected.is_empty() {
            writeln!(f, "\n  The first engine was told to misbehave:")?;
            self.injected.iter().try_for_each(|fault| writeln!(f, "    {fault}"))?;
        }
        if faults.is_empty() {
            return writeln!(f, "\n  Every byte arrived.");
        }
        writeln!(f, "\n  WRONG:")?;
        faults.iter().try_for_each(|fault| writeln!(f, "    {fault}"))
    }
}

impl Report {
    fn devices_and_drivers(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.devices.is_empty() {
            writeln!(f, "\n  Devices")?;
        }
        let place = self.devices.iter().map(|device| device.place.len()).max().unwrap_or(0);
        let description = self.devices.iter().map(|device| device.description.len()).max().unwrap_or(0);
        for device in &self.devices {
            let Device { place: at, description: what, details, service } = device;
            writeln!(f, "    {at:<place$}  {what:<description$}  {service:<10}  {details}")?;
        }
        if !self.drivers.is_empty() {
            writeln!(f, "\n  Drivers")?;
        }
        for Driver { image, version, folder, role } in &self.drivers {
            writeln!(f, "    {image:<14}  {version:<10}  {role:<10}  {folder}")?;
        }
        Ok(())
    }

    fn channel_table(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.channels.is_empty() {
            return Ok(());
        }
        writeln!(
            f,
            "\n  Channel    CPU        bytes  descriptors  batches   starts  appends  reg writes  reads  \
            interrupts   polls"
        )?;
        for channel in &self.channels {
            writeln!(
                f,
                "    {:<9}{:>3} {:>12} {:>12} {:>8} {:>8} {:>8} {:>11} {:>6} {:>11} {:>7}",
                channel.name,
                channel.cpu,
                grouped(channel.engine_bytes),
                grouped(channel.descriptors),
                grouped(channel.batches),
                grouped(channel.starts),
                grouped(channel.appends),
                grouped(channel.register_writes),
                grouped(channel.register_reads),
                grouped(channel.interrupts),
                grouped(channel.polls),
            )?;
        }
        Ok(())
    }
}

/// A number with its thousands apart: `1 234 567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// A size in the unit that suits it.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} bytes");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

fn plural(number: u64, what: &str) -> String {
    match (number, what.strip_suffix('y')) {
        (1, _) => format!("1 {what}"),
        (_, Some(stem)) => format!("{} {stem}ies", grouped(number)),
        (_, None) => format!("{} {what}s", grouped(number)),
    }
}

fn time(time: Duration) -> String {
    if time.as_secs() >= 1 {
        format!("{:.1} s", time.as_secs_f64())
    } else {
        format!("{:.1} ms", time.as_secs_f64() * 1e3)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Report {
        Report {
            seed: 7,
            machine: "hosted NT machine with 2 CPUs".into(),
            channels: vec![Channel {
                name: "engine 0".into(),
                client_bytes: 1_234_567,
                interface_bytes: 1_234_567,
                engine_bytes: 1_234_567,
                ..Channel::default()
            }],
            work: Work {
                files: 1,
                bytes: 1_234_567,
                bytes_verified: 1_234_567,
                copies_verified: 80,
                ..Work::default()
            },
            ..Report::default()
        }
    }

    #[test]
    fn a_good_run_says_so() {
        let report = good();
        assert!(report.is_good(), "{:?}", report.faults());
        let text = report.to_string();
        for part in [
            "Every byte arrived",
            "1 234 567",
            "80 copies",
            "0 leaks",
            "seed 7",
            "1 file copied and verified",
        ] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
    }

    #[test]
    fn numbers_that_contradict_each_other_are_faults() {
        let mut report = good();
        report.channels[0].engine_bytes -= 1;
        assert!(report.faults()[0].contains("engine 1234566"), "{:?}", report.faults());
        let mut report = good();
        report.work.bytes_verified -= 1;
        assert!(report.to_string().contains("Stopped after 1.2 MiB in 80 copies"), "{report}");
        assert!(!report.is_good());
        let mut report = good();
        report.work.destination_hash[31] = 1;
        assert!(!report.is_good());
        let mut report = good();
        report.leaks.push(("pool allocations".into(), 2));
        assert!(report.to_string().contains("2 pool allocations left behind"), "{report}");
        assert!(report.to_string().contains("2 leaks"), "{report}");
    }

    #[test]
    fn numbers_are_readable() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1 000", "1 234 567"]);
        assert_eq!([1023, 1024, 64 << 20].map(size), ["1023 bytes", "1.0 KiB", "64.0 MiB"]);
    }
}
