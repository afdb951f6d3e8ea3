//! A machine ready for tests: processors, engines, the three driver packages, the test client's device.

use std::fmt;
use std::path::{Path, PathBuf};

use ioat_model::{BadOptions, FaultPlan};
use nthost::install::Source;
use nthost::memory::user::UserBuffer;
use nthost::pnp::{DeviceReport, DevnodeId, Report};
use nthost::{Kernel, Machine, Stop};

use crate::client::Client;
use crate::engine::EngineHandle;
use crate::events::{self, Seen};
use crate::watched::{Watch, Watched};

/// The engine that tests use unless they say otherwise: hardware 3.2, one channel per function, MSI-X.
pub const ENGINE: (u16, u16) = (0x8086, 0x6F20);

/// The packages, in the order in which they must be installed: the others import from the first.
pub const PACKAGES: [&str; 3] = ["netdma", "ioatdma", "netdmatest"];

/// Hardware id of the test client's root-enumerated device.
pub const CLIENT_DEVICE: &str = r"Root\NetDmaTest";

/// Where in its first page a program's buffer begins.
const ODD: u64 = 1237;

/// What a machine is to be like.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Processors.
    pub cpus: u32,
    /// Seed of everything that chance decides.
    pub seed: u64,
    /// Bytes of memory.
    pub memory: u64,
    /// Remapping hardware between memory and devices that did not opt out.
    pub remapping: bool,
    /// One engine function per entry.
    pub engines: Vec<ioat_model::Options>,
    /// A host thread for each processor: driver code runs on all of them at once.
    pub free_running: bool,
    /// Every instruction of driver code is a switch point.
    pub single_step: bool,
    /// The command that runs the same again, where it is no test's.
    pub replay: Option<String>,
}

impl Setup {
    /// Two processors and `engines` functions of one engine device.
    ///
    /// # Errors
    /// The device does not have so many functions.
    pub fn new(engines: usize) -> Result<Self, Failure> {
        let (vendor, device) = ENGINE;
        let engines = (0..engines)
            .map(|number| ioat_model::Options::function_of(vendor, device, number as u8))
            .collect::<Result<_, BadOptions>>()?;
        Ok(Self {
            cpus: 2,
            seed: 1,
            memory: 256 << 20,
            remapping: false,
            engines,
            free_running: false,
            single_step: false,
            replay: None,
        })
    }

    /// The first engine misbehaves as `plan` says.
    #[must_use]
    pub fn faults(mut self, plan: FaultPlan) -> Self {
        if let Some(first) = self.engines.first_mut() {
            first.faults = plan;
        }
        self
    }

    /// Powers the machine on with its engines plugged in and nothing installed.
    ///
    /// # Errors
    /// [`Failure`] when the host gives no memory, or an engine cannot be as asked.
    pub fn power_on(&self) -> Result<Lab, Failure> {
        let machine = Machine::builder()
            .cpus(self.cpus)
            .seed(self.seed)
            .memory(self.memory)
            .remapping(self.remapping)
            .free_running(self.free_running)
            .single_step(self.single_step)
            .replay(self.replay.clone().unwrap_or_default())
            .build()
            .map_err(|error| Failure::Other(format!("the machine cannot be built: {error}")))?;
        let mut lab = Lab { machine, engines: Vec::new() };
        for (number, options) in self.engines.iter().enumerate() {
            lab.plug(format!("engine {number}"), options.clone())?;
        }
        Ok(lab)
    }

    /// As [`power_on`](Self::power_on), then makes the client's device and installs the three packages.
    ///
    /// # Errors
    /// [`Failure`] when anything does not end with a working device.
    pub fn boot(&self) -> Result<Lab, Failure> {
        let mut lab = self.power_on()?;
        lab.install_all()?;
        Ok(lab)
    }
}

/// A machine that is powered on.
#[derive(Debug)]
pub struct Lab {
    /// The machine itself.
    pub machine: Machine,
    /// Its engines, in the order of their functions.
    pub engines: Vec<EngineHandle>,
}

impl Lab {
    /// Runs `work` in a thread of the machine.
    ///
    /// # Errors
    /// The machine stopped.
    pub fn run<'scope, R: 'scope>(&mut self, work: impl FnOnce(&Kernel) -> R + 'scope) -> Result<R, Failure> {
        Ok(self.machine.run(work)?)
    }

    /// Plugs in another engine. If its driver is installed it is started.
    ///
    /// # Errors
    /// No engine can be as `options` says, or the slot refuses it.
    pub fn plug(&mut self, name: String, options: ioat_model::Options) -> Result<DevnodeId, Failure> {
        let engine = EngineHandle::new(name, options).map_err(|bad| Failure::Other(bad.to_string()))?;
        let function = engine.function();
        self.engines.push(engine);
        self.run(|k| k.plug(None, function))?.map_err(Failure::Other)
    }

    /// As [`plug`](Self::plug), with every access written down.
    ///
    /// # Errors
    /// As [`plug`](Self::plug).
    pub fn plug_watched(
        &mut self,
        options: ioat_model::Options,
        watch: &Watch,
    ) -> Result<DevnodeId, Failure> {
        let engine = EngineHandle::new("watched", options).map_err(|bad| Failure::Other(bad.to_string()))?;
        let function = Box::new(Watched::new(engine.clone(), watch.clone()));
        self.engines.push(engine);
        self.run(|k| k.plug(None, function))?.map_err(Failure::Other)
    }

    /// Installs a package that `cargo xtask drivers` built, by its name.
    ///
    /// # Errors
    /// The package is not there, or installing fails.
    pub fn install(&mut self, package: &str) -> Result<(), Failure> {
        self.install_source(&source(package)?)
    }

    /// Makes the client's device and installs the three packages.
    ///
    /// # Errors
    /// [`Failure`] when anything does not end with a working device.
    pub fn install_all(&mut self) -> Result<(), Failure> {
        self.add_client_device()?;
        for package in PACKAGES {
            self.install(package)?;
        }
        self.expect_no_problems()
    }

    /// Installs any package.
    ///
    /// # Errors
    /// Installing fails.
    pub fn install_source(&mut self, source: &Source) -> Result<(), Failure> {
        let installed = self.run(|k| k.install_package(source).map(drop))?;
        installed.map_err(|error| Failure::Other(format!("{}: {error}", source.inf)))
    }

    /// Makes the root-enumerated device of the test client.
    ///
    /// # Errors
    /// The machine stopped.
    pub fn add_client_device(&mut self) -> Result<DevnodeId, Failure> {
        self.run(|k| k.create_root_device(CLIENT_DEVICE))
    }

    /// Calls a function that an image exports, as an importing driver would, at PASSIVE_LEVEL.
    ///
    /// # Errors
    /// The image is not loaded or has no such export; the machine stopped.
    pub fn call_export(&mut self, image: &str, function: &str, arguments: &[u64]) -> Result<u64, Failure> {
        let result = self.run(|k| {
            let images = k.images();
            let image = images.iter().find(|loaded| loaded.name.to_lowercase().ends_with(image))?;
            let target = *image.exports.get(function)?;
            Some(k.call(function, target, arguments))
        })?;
        result.ok_or_else(|| Failure::Other(format!("{image} is not loaded or does not export {function}")))
    }

    /// The device that drives engine `number`.
    ///
    /// # Errors
    /// There is no such device.
    pub fn engine_device(&mut self, number: usize) -> Result<DeviceReport, Failure> {
        let functions = self.devices()?.into_iter().filter(|device| device.location.is_some());
        functions
            .into_iter()
            .nth(number)
            .ok_or_else(|| Failure::Other(format!("there is no engine {number}")))
    }

    /// Names of the drivers' events so far.
    ///
    /// # Errors
    /// As [`events`](Self::events).
    pub fn event_names(&mut self) -> Result<Vec<&'static str>, Failure> {
        Ok(self.events()?.iter().map(Seen::name).collect())
    }

    /// Every device of the machine.
    ///
    /// # Errors
    /// The machine stopped.
    pub fn devices(&mut self) -> Result<Vec<DeviceReport>, Failure> {
        self.run(Kernel::devices)
    }

    /// Fails with the first device that does not work, and why.
    ///
    /// # Errors
    /// As said.
    pub fn expect_no_problems(&mut self) -> Result<(), Failure> {
        for device in self.devices()? {
            if let Some(problem) = device.problem {
                return Err(Failure::Other(format!("{}: {problem}{}", device.instance, self.last_words())));
            }
        }
        Ok(())
    }

    /// Opens the test client's device.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn open(&mut self) -> Result<Client, Failure> {
        Client::open(self)
    }

    /// A buffer of a program on the machine: scattered pages, beginning at an odd place in the first.
    ///
    /// # Errors
    /// The machine has no memory left.
    pub fn buffer(&mut self, bytes: usize) -> Result<UserBuffer, Failure> {
        let buffer = self.run(|k| k.user_allocate(bytes as u64, ODD))?;
        buffer.ok_or_else(|| Failure::Other(format!("the machine has no {bytes} bytes left for a buffer")))
    }

    /// Writes all of `buffer`.
    ///
    /// # Errors
    /// The machine stopped.
    pub fn fill(&mut self, buffer: UserBuffer, bytes: &[u8]) -> Result<(), Failure> {
        assert_eq!(bytes.len() as u64, buffer.length, "the whole buffer is written");
        self.run(|k| k.write_bytes(buffer.address, bytes))
    }

    /// Reads all of `buffer`.
    ///
    /// # Errors
    /// The machine stopped, or a byte around the buffer was overwritten.
    pub fn contents(&mut self, buffer: UserBuffer) -> Result<Vec<u8>, Failure> {
        let (bytes, damage) =
            self.run(|k| (k.bytes(buffer.address, buffer.length as usize), k.user_guard_damage(buffer)))?;
        match damage {
            None => Ok(bytes),
            Some(at) => Err(Failure::Other(format!("a byte outside the buffer was overwritten, at {at:#x}"))),
        }
    }

    /// Gives a buffer back.
    ///
    /// # Errors
    /// The machine stopped: something still used it.
    pub fn free(&mut self, buffer: UserBuffer) -> Result<(), Failure> {
        self.run(|k| k.user_free(buffer))
    }

    /// The drivers' events so far.
    ///
    /// # Errors
    /// An event contradicts the table of netdma-events.
    pub fn events(&mut self) -> Result<Vec<Seen>, Failure> {
        let events = self.run(Kernel::trace_events)?;
        events.iter().map(|event| Seen::of(event).map_err(Failure::Other)).collect()
    }

    /// Removes every device, unloads every driver and says what is left behind, by kind and number.
    ///
    /// # Errors
    /// The machine stopped.
    pub fn shut_down(mut self) -> Result<Vec<(String, u64)>, Failure> {
        let left = self.run(Kernel::shutdown)?;
        events::note(&self.machine.etw_events()).map_err(Failure::Other)?;
        Ok(leftovers(&left))
    }

    /// The errors among the drivers' last events, for messages.
    fn last_words(&mut self) -> String {
        let events = self.events().unwrap_or_default();
        let errors = events.iter().filter(|seen| seen.entry.level <= netdma_events::Level::Error);
        let words: Vec<String> = errors.map(|seen| format!("\n    {seen}: {}", seen.entry.meaning)).collect();
        words.concat()
    }
}

/// What a shutdown left, in words.
fn leftovers(report: &Report) -> Vec<(String, u64)> {
    let mut left: Vec<(String, u64)> = Vec::new();
    let mut add = |what: String, number: usize| {
        if number > 0 {
            left.push((what, number as u64));
        }
    };
    report.devices.iter().for_each(|(device, why)| add(format!("device {device:?} ({why})"), 1));
    report.services.iter().for_each(|(service, why)| add(format!("service {service} ({why})"), 1));
    report.images.iter().for_each(|image| add(format!("image {image}"), 1));
    report
        .pool
        .iter()
        .for_each(|leak| add(format!("pool block of {} bytes, tag {}", leak.size, leak.tag), 1));
    report.packets.iter().for_each(|packet| add(format!("packet ({packet})"), 1));
    report.keys.iter().for_each(|key| add(format!("registry key ({key})"), 1));
    add("open files".into(), report.files);
    add("framework objects".into(), report.framework_objects);
    add("references to bus interfaces".into(), usize::try_from(report.interface_references).unwrap_or(0));
    left
}

/// The package called `name`, as `cargo xtask drivers` built it.
///
/// # Errors
/// It was not built.
pub fn source(name: &str) -> Result<Source, Failure> {
    let inf = packages().join(name).join(format!("{name}.inf"));
    Source::read(&inf)
        .map_err(|error| Failure::Other(format!("{error}; `cargo xtask drivers` builds the packages")))
}

/// Folder of the driver packages that `cargo xtask drivers` built.
pub fn packages() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/drivers")
}

/// Why something asked of the machine did not happen.
pub enum Failure {
    /// The machine stopped: a driver broke a rule.
    Stop(Box<Stop>),
    /// A request ended with an error status.
    Request {
        /// What was asked.
        what: &'static str,
        /// How it ended.
        status: i32,
    },
    /// Something is not as it must be.
    Other(String),
}

impl From<Box<Stop>> for Failure {
    fn from(stop: Box<Stop>) -> Self {
        Self::Stop(stop)
    }
}

impl From<BadOptions> for Failure {
    fn from(bad: BadOptions) -> Self {
        Self::Other(bad.to_string())
    }
}

/// As [`Display`](fmt::Display): a test that returns a failure shows it readably.
impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stop(stop) => stop.fmt(f),
            Self::Request { what, status } => write!(f, "{what}: {}", nthost::io::NtStatus(*status)),
            Self::Other(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for Failure {}
