//! The story of a demonstration, from power-on to the last driver's unloading.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Read;
use std::time::{Duration, Instant};

use ioat_model::ChannelStatistics;
use ioat_regs::ChanErr;
use netdma_events::Level;
use netdma_ioctl::Provider;
use nthost::memory::user::UserBuffer;
use nthost::random::Random;
use sha2::{Digest, Sha256};

use super::corpus::Input;
use super::options::Options;
use super::progress::Progress;
use super::report::{Channel, Device, Driver, Report, Work, size};
use crate::client::{ANY_CHANNEL, Client, Copying};
use crate::events::Seen;
use crate::lab::{Failure, Lab, PACKAGES, Setup, source};
use netdmactl::pieces::{BUFFER, Batch, DATA};

/// What each package's image is in the picture.
const ROLES: [(&str, &str); 3] = [("netdma", "interface"), ("ioatdma", "provider"), ("netdmatest", "client")];

/// Boots, installs, copies, verifies, unloads. What goes wrong on the way is in the report; the machine goes on as
/// long as it can.
///
/// # Errors
/// One line, when the demonstration cannot be run as asked: a file that cannot be read any more, no memory.
pub fn run(options: &Options, files: &[Input], progress: &mut dyn Progress) -> Result<Report, String> {
    let begun = Instant::now();
    let mut report = Report {
        seed: options.seed,
        machine: format!(
            "hosted NT machine with {} processors and {} engines",
            options.cpus, options.engines
        ),
        injected: options.faults.faults.iter().map(ToString::to_string).collect(),
        work: Work {
            files: files.len() as u64,
            bytes: files.iter().map(|file| file.bytes).sum(),
            ..Work::default()
        },
        ..Report::default()
    };
    let mut setup =
        Setup::new(options.engines).map_err(|failure| failure.to_string())?.faults(options.faults.clone());
    setup.cpus = options.cpus as u32;
    setup.seed = options.seed;
    setup.replay = Some(options.command());

    progress.stage("powering on");
    let mut lab = setup.power_on().map_err(|failure| failure.to_string())?;
    let outcome = story(&mut lab, &mut report, files, options, progress);
    match outcome {
        Ok(()) => {}
        Err(Trouble::Host(line)) => return Err(line),
        Err(Trouble::Machine(failure)) => report.findings.push(failure.to_string()),
    }
    match lab.events() {
        Ok(events) => report.findings.extend(complaints(&events)),
        Err(failure) => report.findings.push(failure.to_string()),
    }
    progress.stage("unloading");
    report.machine_time = Duration::from_nanos(lab.machine.now());
    match lab.shut_down() {
        Ok(leaks) => report.leaks = leaks,
        Err(failure) => report.findings.push(failure.to_string()),
    }
    report.elapsed = begun.elapsed();
    Ok(report)
}

/// Why the story ended early.
enum Trouble {
    /// The host cannot go on: exit code 2.
    Host(String),
    /// The machine cannot: a finding.
    Machine(Failure),
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Machine(failure)
    }
}

/// One channel at work.
struct Worker {
    number: u32,
    engine: usize,
    processor: u32,
    buffer: UserBuffer,
    before: ChannelStatistics,
}

fn story(
    lab: &mut Lab,
    report: &mut Report,
    files: &[Input],
    options: &Options,
    progress: &mut dyn Progress,
) -> Result<(), Trouble> {
    lab.add_client_device()?;
    for package in PACKAGES {
        progress.stage(&format!("installing {package}.inf"));
        lab.install(package)?;
    }
    lab.expect_no_problems()?;
    describe(lab, report)?;

    let client = lab.open()?;
    let providers = client.providers(lab)?;
    if providers.len() != lab.engines.len() {
        return Err(Failure::Other(format!(
            "netdma.sys lists {} providers for {} engines",
            providers.len(),
            lab.engines.len()
        ))
        .into());
    }
    let workers = open_channels(lab, &client, &providers, options.cpus as u32)?;
    progress.stage(&format!(
        "copying {} files, {}, over {} channels",
        report.work.files,
        size(report.work.bytes),
        workers.len()
    ));
    let copied = copy_all(lab, &client, &workers, report, files, options.seed, progress);
    // Counted and closed whether or not the copies went well: it helps to see why not, and only a machine that was
    // left in order can be asked for leaks.
    count(lab, &client, &workers, report)?;
    for worker in workers {
        client.close_channel(lab, worker.number)?;
        lab.free(worker.buffer)?;
    }
    client.close(lab)?;
    copied
}

/// One channel of each provider, its completions spread over the processors.
fn open_channels(
    lab: &mut Lab,
    client: &Client,
    providers: &[Provider],
    cpus: u32,
) -> Result<Vec<Worker>, Failure> {
    let mut workers = Vec::new();
    for (engine, provider) in providers.iter().enumerate() {
        let processor = engine as u32 % cpus;
        let wanted = netdma_ioctl::OpenChannel { provider: provider.id, mask: 1 << processor, ..ANY_CHANNEL };
        let channel = client.open_channel(lab, wanted)?;
        let buffer = lab.buffer(BUFFER)?;
        let before = lab.engines[engine].channel(0);
        workers.push(Worker { number: channel.number, engine, processor: channel.processor, buffer, before });
    }
    Ok(workers)
}

/// A copy on its way, and what it carries.
struct Flight<'a> {
    worker: &'a Worker,
    input: &'a Input,
    batch: Batch,
    copying: Copying,
}

/// Copies every file, with as many requests under way as there are channels, and verifies each. Ends at the first
/// thing that is wrong, which is then in the report.
fn copy_all(
    lab: &mut Lab,
    client: &Client,
    workers: &[Worker],
    report: &mut Report,
    files: &[Input],
    seed: u64,
    progress: &mut dyn Progress,
) -> Result<(), Trouble> {
    let mut random = Random::new(seed);
    let mut flights: VecDeque<Flight<'_>> = VecDeque::new();
    let mut next = workers.iter().cycle();
    let mut hashes = Hashes::default();
    let mut outcome = Ok(());
    'files: for input in files {
        let mut chunks = Chunks::open(input)?;
        loop {
            let data = chunks.fill()?;
            if data.is_empty() {
                break;
            }
            let batch = Batch::plan(data, &mut || random.next());
            let used = batch.bytes();
            hashes.sent.update(&data[..used]);
            chunks.used(used);
            if flights.len() == workers.len() {
                let landed = land(lab, client, flights.pop_front(), report, &mut hashes);
                if landed.is_err() {
                    outcome = landed;
                    break 'files;
                }
                progress.copied(report.work.bytes_verified, report.work.bytes);
            }
            let Some(worker) = next.next() else { break 'files };
            lab.fill(worker.buffer, &batch.before)?;
            let copying = client.copy(lab, worker.number, worker.buffer, &batch.request())?;
            flights.push_back(Flight { worker, input, batch, copying });
        }
    }
    // What is still under way is waited for in any case: its buffers must not be given back before.
    while let Some(flight) = flights.pop_front() {
        let landed = land(lab, client, Some(flight), report, &mut hashes);
        outcome = outcome.and(landed);
        progress.copied(report.work.bytes_verified, report.work.bytes);
    }
    report.work.source_hash = hashes.sent.finalize().into();
    report.work.destination_hash = hashes.arrived.finalize().into();
    Ok(outcome?)
}

/// Waits for a copy and verifies it.
fn land(
    lab: &mut Lab,
    client: &Client,
    flight: Option<Flight<'_>>,
    report: &mut Report,
    hashes: &mut Hashes,
) -> Result<(), Failure> {
    let Some(Flight { worker, input, batch, copying }) = flight else { return Ok(()) };
    let place = format!("{}, {}", lab.engines[worker.engine].name(), input.path.display());
    let wrong = |what: String| Failure::Other(format!("{place}: {what}"));
    if let Err(failure) = client.finish(lab, copying) {
        return match failure {
            Failure::Request { .. } => Err(wrong(failure.to_string())),
            other => Err(other),
        };
    }
    let after = lab.contents(worker.buffer)?;
    batch.arrived(&after).for_each(|bytes| hashes.arrived.update(bytes));
    batch.check(&after).map_err(|what| wrong(what.to_string()))?;
    report.work.copies_verified += batch.pieces.len() as u64;
    report.work.bytes_verified += batch.bytes() as u64;
    Ok(())
}

/// What was read from the disk, and what came out of the machine.
#[derive(Default)]
struct Hashes {
    sent: Sha256,
    arrived: Sha256,
}

/// A file, read in the portions that batches take.
struct Chunks<'a> {
    input: &'a Input,
    file: File,
    left: u64,
    held: Vec<u8>,
}

impl<'a> Chunks<'a> {
    fn open(input: &'a Input) -> Result<Self, Trouble> {
        let file = File::open(&input.path)
            .map_err(|error| Trouble::Host(format!("{}: cannot be read: {error}", input.path.display())))?;
        Ok(Self { input, file, left: input.bytes, held: Vec::new() })
    }

    /// The next bytes, as many as a batch takes at most; none at the end of the file.
    fn fill(&mut self) -> Result<&[u8], Trouble> {
        let held = self.held.len();
        let more = (DATA - held).min(usize::try_from(self.left).unwrap_or(DATA));
        self.held.resize(held + more, 0);
        self.file.read_exact(&mut self.held[held..]).map_err(|error| {
            Trouble::Host(format!("{}: cannot be read to its end: {error}", self.input.path.display()))
        })?;
        self.left -= more as u64;
        Ok(&self.held)
    }

    fn used(&mut self, bytes: usize) {
        self.held.drain(..bytes);
    }
}

/// Devices and drivers, for the report.
fn describe(lab: &mut Lab, report: &mut Report) -> Result<(), Failure> {
    for device in lab.devices()? {
        let (place, details) = match device.location {
            Some(location) => (
                location.to_string(),
                format!("{}, {} message interrupt(s)", pci_id(&device.instance), device.messages),
            ),
            None => (device.instance, String::new()),
        };
        report.devices.push(Device {
            place,
            description: device.description,
            details,
            service: device.service,
        });
    }
    let loaded: Vec<String> =
        lab.run(|k| k.images().iter().map(|image| image.path.display().to_string()).collect())?;
    for (package, role) in ROLES {
        let image = format!("{package}.sys");
        let path = loaded.iter().find(|path| path.to_lowercase().ends_with(&format!("\\{image}")));
        let path = path.ok_or_else(|| Failure::Other(format!("{image} was not loaded")))?;
        let folder = path.rsplit_once('\\').map_or("", |(folder, _)| folder).to_owned();
        let version = package_version(package)?;
        report.drivers.push(Driver { image, version, folder, role });
    }
    Ok(())
}

/// The version that a package's INF states.
fn package_version(package: &str) -> Result<String, Failure> {
    let source = source(package)?;
    let bytes = source.files.get(&source.inf.to_lowercase()).cloned().unwrap_or_default();
    let version = nthost::inf::Inf::parse(&source.inf, &bytes).and_then(|inf| inf.version());
    let version = version.map_err(|error| Failure::Other(error.to_string()))?;
    Ok(version.driver_ver.split_once(',').map_or("", |(_, version)| version).trim().to_owned())
}

/// What the client, the interface and the engine counted.
fn count(lab: &mut Lab, client: &Client, workers: &[Worker], report: &mut Report) -> Result<(), Failure> {
    for worker in workers {
        let statistics = client.statistics(lab, worker.number)?;
        let engine = &lab.engines[worker.engine];
        let (before, now) = (&worker.before, engine.channel(0));
        if statistics.late > 0 {
            report.findings.push(format!(
                "{}: {} transfers were done, but no interrupt said so; the client found them by polling",
                engine.name(),
                statistics.late
            ));
        }
        report.channels.push(Channel {
            name: engine.name().to_owned(),
            cpu: worker.processor,
            client_bytes: statistics.bytes,
            interface_bytes: statistics.interface_bytes,
            engine_bytes: now.bytes - before.bytes,
            descriptors: now.descriptors - before.descriptors,
            batches: statistics.batches,
            starts: statistics.starts,
            appends: statistics.appends,
            register_writes: now.accesses.writes() - before.accesses.writes(),
            register_reads: now.accesses.reads() - before.accesses.reads(),
            interrupts: now.interrupts_signalled - before.interrupts_signalled,
            polls: statistics.polls + statistics.interface_polls,
        });
    }
    Ok(())
}

/// `8086:6f20 rev 04` out of `PCI\VEN_8086&DEV_6F20&SUBSYS_…&REV_04\…`.
fn pci_id(instance: &str) -> String {
    let part = |name: &str| {
        let (_, rest) = instance.split_once(name)?;
        rest.split(['&', '\\']).next().map(str::to_lowercase)
    };
    match (part("VEN_"), part("DEV_"), part("REV_")) {
        (Some(vendor), Some(device), Some(revision)) => format!("{vendor}:{device} rev {revision}"),
        _ => instance.to_owned(),
    }
}

/// The drivers' warnings and errors, each kind once: the first of it, and how many there were.
fn complaints(events: &[Seen]) -> Vec<String> {
    let mut kinds: Vec<(&Seen, usize)> = Vec::new();
    for seen in events.iter().filter(|seen| seen.entry.level <= Level::Warning) {
        match kinds.iter_mut().find(|(first, _)| first.name() == seen.name()) {
            Some((_, count)) => *count += 1,
            None => kinds.push((seen, 1)),
        }
    }
    let told = |(first, count): (&Seen, usize)| {
        let times = if count == 1 { String::new() } else { format!(" ({count} times)") };
        let bits = match first.value("errors").and_then(|bits| u32::try_from(bits).ok()) {
            Some(bits) => format!(" [CHANERR {}]", ChanErr(bits)),
            None => String::new(),
        };
        format!("{first}{times}: {}{bits}", first.entry.meaning)
    };
    kinds.into_iter().map(told).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pci_instance_reads_as_its_ids() {
        let instance = r"PCI\VEN_8086&DEV_6F20&SUBSYS_00008086&REV_04\3&11583659&0&20";
        assert_eq!(pci_id(instance), "8086:6f20 rev 04");
        assert_eq!(pci_id("ROOT\\X"), "ROOT\\X");
    }

    #[test]
    fn complaints_of_one_kind_are_told_once() {
        let entry =
            |name: &str| netdma_events::EVENTS.iter().find(|entry| entry.name == name).expect("an event");
        let seen = |name: &str| {
            let entry = entry(name);
            Seen { entry, values: vec![0x100; entry.fields.len()] }
        };
        let told = complaints(&[seen("EngineError"), seen("ProviderStarted"), seen("EngineError")]);
        assert_eq!(told.len(), 1);
        assert!(told[0].contains("(2 times)") && told[0].contains("(read-data)"), "{}", told[0]);
    }
}
