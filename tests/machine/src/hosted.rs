//! netdmactl's way to the devices of the hosted machine.

pub mod ctl;

use std::time::{Duration, Instant};

use netdma_ioctl::Guid;
use netdmactl::transport::{Answer, Handle, Refusal, Transport, Trouble};
use nthost::io::NtStatus;
use nthost::io::file::{File, Output};

use crate::lab::{Failure, Lab};

/// The transfer method stands in the two low bits of a control code (devioctl.h); 0 is METHOD_BUFFERED.
const METHOD: u32 = 3;

/// A booted machine as netdmactl sees it. A machine that stops ends the program that looks at it: the stop is said by a
/// panic, as there is nothing left to ask.
#[derive(Debug)]
pub struct Hosted<'l> {
    lab: &'l mut Lab,
    files: Vec<Option<File>>,
}

impl<'l> Hosted<'l> {
    /// The machine of `lab`.
    pub fn new(lab: &'l mut Lab) -> Self {
        Self { lab, files: Vec::new() }
    }

    fn file(&self, handle: Handle) -> Result<File, Refusal> {
        self.files.get(handle.0).copied().flatten().ok_or(Refusal::NotOurs)
    }
}

/// What the machine gave, unless it stopped.
fn alive<T>(result: Result<T, Failure>) -> T {
    match result {
        Ok(value) => value,
        Err(failure) => panic!("{failure}"),
    }
}

fn refusal(status: NtStatus) -> Refusal {
    Refusal::from_status(status.0.cast_unsigned())
}

/// A GUID as the machine has it.
pub fn guid(class: Guid) -> nthost::io::Guid {
    nthost::io::Guid { data1: class.data1, data2: class.data2, data3: class.data3, data4: class.data4 }
}

impl Transport for Hosted<'_> {
    fn devices(&mut self, class: Guid) -> Result<Vec<String>, Refusal> {
        Ok(alive(self.lab.run(|k| k.interfaces(guid(class)))))
    }

    fn open(&mut self, device: &str) -> Result<Handle, Refusal> {
        let file = alive(self.lab.run(|k| k.open(device))).map_err(refusal)?;
        self.files.push(Some(file));
        Ok(Handle(self.files.len() - 1))
    }

    fn close(&mut self, handle: Handle) {
        if let Some(file) = self.files.get_mut(handle.0).and_then(Option::take) {
            alive(self.lab.run(|k| k.close(file)));
        }
    }

    fn control(
        &mut self,
        handle: Handle,
        code: u32,
        input: &[u8],
        output: &mut [u8],
    ) -> Result<Answer, Refusal> {
        let file = self.file(handle)?;
        let (result, took) = if code & METHOD == 0 {
            let begun = Instant::now();
            let result = alive(self.lab.run(|k| k.ioctl(file, code, input, Output::Bytes(output))));
            (result, begun.elapsed())
        } else {
            let buffer = alive(self.lab.buffer(output.len()));
            alive(self.lab.fill(buffer, output));
            let begun = Instant::now();
            let result = alive(self.lab.run(|k| k.ioctl(file, code, input, Output::User(&buffer))));
            let took = begun.elapsed();
            output.copy_from_slice(&alive(self.lab.contents(buffer)));
            alive(self.lab.free(buffer));
            (result, took)
        };
        if !result.status.is_success() {
            return Err(refusal(result.status));
        }
        Ok(Answer { bytes: usize::try_from(result.information).unwrap_or(0), took })
    }

    fn wait(&mut self, time: Duration) {
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        alive(self.lab.machine.advance(nanoseconds).map_err(Failure::from));
    }

    fn caveat(&self) -> Option<&'static str> {
        Some(
            "The engine is a model in software: these times say how fast it is emulated, nothing about an engine.",
        )
    }

    fn add_test_device(&mut self) -> Result<String, Trouble> {
        Err(only_windows("add"))
    }

    fn remove_test_device(&mut self) -> Result<String, Trouble> {
        Err(only_windows("remove"))
    }
}

fn only_windows(what: &str) -> Trouble {
    Trouble::new(format!(
        "device {what}: only on Windows: the hosted machine is new for each command, and has the test client's device"
    ))
}
