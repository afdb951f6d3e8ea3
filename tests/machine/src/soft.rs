//! netdmasoft.sys, the provider without hardware, as tests steer it.

use netdmasoft_control::{
    CHANNEL_WORDS, COMMAND, COMMAND_SIZE, Channel, Command, Entry, HISTORY, INTERFACE, Setup, put, take,
};
use nthost::Kernel;
use nthost::io::Guid;
use nthost::io::file::{File, Output};
use nthost::pnp::DevnodeId;

use crate::lab::{Failure, source};

/// Hardware id of its root-enumerated device.
const DEVICE: &str = r"Root\NetDmaSoft";

/// An open handle on its device.
#[derive(Debug)]
pub struct Soft {
    /// The device.
    pub device: DevnodeId,
    file: File,
}

impl Soft {
    /// Makes the device, installs the package and opens the device. netdma's package must be installed.
    ///
    /// # Errors
    /// The package was not built, or does not end with a working device.
    pub fn install(k: &Kernel) -> Result<Self, Failure> {
        let device = k.create_root_device(DEVICE);
        let package = source("netdmasoft")?;
        k.install_package(&package).map_err(|error| Failure::Other(format!("netdmasoft: {error}")))?;
        if let Some(problem) = k.device(device).and_then(|report| report.problem) {
            return Err(Failure::Other(format!("netdmasoft: {problem}")));
        }
        let (data1, data2, data3, data4) = INTERFACE;
        let file = k.open_interface(Guid { data1, data2, data3, data4 }, 0);
        let file =
            file.map_err(|status| Failure::Request { what: "opening netdmasoft", status: status.0 })?;
        Ok(Self { device, file })
    }

    /// Closes the handle and removes the device, and with it the driver.
    ///
    /// # Errors
    /// The device cannot be removed.
    pub fn remove(self, k: &Kernel) -> Result<(), Failure> {
        k.close(self.file);
        k.remove_device(self.device).map_err(|error| Failure::Other(error.to_string()))
    }

    /// Gives a command; the numbers of its answer.
    ///
    /// # Panics
    /// The command was refused: a test asked for what there is not.
    pub fn command(&self, k: &Kernel, command: Command) -> Vec<u64> {
        let mut input = [0; COMMAND_SIZE];
        put(&command.to_words(), &mut input);
        let mut output = [0; 8 * HISTORY];
        let result = k.ioctl(self.file, COMMAND, &input, Output::Bytes(&mut output));
        assert!(result.status.is_success(), "{command:?}: {}", result.status);
        let mut words = vec![0; result.information as usize / 8];
        take(&output, &mut words);
        words
    }

    /// Registers and starts anew; the registration's status.
    pub fn setup(&self, k: &Kernel, setup: Setup) -> i32 {
        self.command(k, Command::Setup(setup)).first().map_or(0, |status| (*status as u32).cast_signed())
    }

    /// Lets the next `count` calls of an entry point fail.
    pub fn fail(&self, k: &Kernel, entry: Entry, count: u32, status: i32) {
        self.command(k, Command::Fail { entry, count, status });
    }

    /// Processes descriptors; how many it were.
    pub fn step(&self, k: &Kernel, channel: u32, count: u32) -> u64 {
        self.command(k, Command::Step { channel, count }).first().copied().unwrap_or(0)
    }

    /// Processes everything there is and reports.
    pub fn finish(&self, k: &Kernel, channel: u32) {
        self.step(k, channel, u32::MAX);
        self.command(k, Command::Report { channel });
    }

    /// A channel's state.
    pub fn look(&self, k: &Kernel, channel: u32) -> Channel {
        let mut words = [0; CHANNEL_WORDS];
        let answer = self.command(k, Command::Look { channel });
        words.iter_mut().zip(answer).for_each(|(word, given)| *word = given);
        Channel::from_words(words)
    }

    /// The entry points called since the last question, oldest first.
    pub fn calls(&self, k: &Kernel) -> Vec<Entry> {
        let calls = self.command(k, Command::Calls);
        calls.iter().filter_map(|call| Entry::ALL.get(usize::try_from(*call).ok()?)).copied().collect()
    }
}
