//! One engine as a vfio-user function: what each message of the client does.

use std::{
    fs::File,
    io::Write,
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use ioat_model::{BusFault, Engine, Host, Progress, RegisterAccess};
use ioat_regs::{config, device::Messages};

use crate::{
    memory::{Access, Memory},
    protocol::{Command, Fields, MAX_DATA, Refusal, irq, region, version_reply, words, words_and_doubles},
};

/// Descriptors done between two looks at the socket.
const BURST: usize = 64;

/// An engine, the memory it sees and the files that carry its interrupts.
pub struct Function {
    engine: Engine,
    bench: Bench,
    greeted: bool,
    accesses: Vec<RegisterAccess>,
    /// How many accesses are kept.
    kept: usize,
}

/// When the engine wants to run again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// At once.
    Now,
    /// Not before this has passed.
    After(Duration),
    /// After the next message.
    Message,
}

struct Bench {
    memory: Memory,
    clock: Instant,
    line: Line,
    msi: Vec<Option<File>>,
    msix: Vec<Option<File>>,
    uses_msi: bool,
}

/// The interrupt line: signalling masks it until the client unmasks it.
#[derive(Default)]
struct Line {
    file: Option<File>,
    asserted: bool,
    masked: bool,
}

impl Line {
    fn update(&mut self) {
        if self.asserted && !self.masked && self.file.is_some() {
            self.masked = true;
            signal(self.file.as_ref());
        }
    }
}

/// Adds one to an event file. A client that vanished is noticed on its socket, not here.
fn signal(file: Option<&File>) {
    if let Some(mut file) = file {
        let _ = file.write_all(&1_u64.to_ne_bytes());
    }
}

impl Host for Bench {
    fn read(&mut self, address: u64, bytes: &mut [u8]) -> Result<(), BusFault> {
        self.memory.read(address, bytes)
    }

    fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), BusFault> {
        self.memory.write(address, bytes)
    }

    fn store(&mut self, address: u64, value: u64) -> Result<(), BusFault> {
        self.memory.store(address, value)
    }

    fn message(&mut self, _: u64, data: u32) {
        // The client keeps the MSI-X table to itself; ours was wired with the vector's number as data.
        let file = if self.uses_msi { self.msi.first() } else { self.msix.get(data as usize) };
        signal(file.and_then(Option::as_ref));
    }

    fn line(&mut self, asserted: bool) {
        self.line.asserted = asserted;
        self.line.update();
    }

    fn now(&mut self) -> u64 {
        u64::try_from(self.clock.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

impl Function {
    /// A function that waits for its client.
    pub fn new(engine: Engine) -> Self {
        let vectors = usize::from(engine.options().channels);
        let uses_msi = engine.options().device.platform.messages == Messages::Msi;
        let none = |count| std::iter::repeat_with(|| None).take(count).collect();
        Self {
            engine,
            bench: Bench {
                memory: Memory::default(),
                clock: Instant::now(),
                line: Line::default(),
                msi: none(usize::from(uses_msi)),
                msix: none(if uses_msi { 0 } else { vectors }),
                uses_msi,
            },
            greeted: false,
            accesses: Vec::new(),
            kept: 0,
        }
    }

    /// Keeps the first `count` register accesses.
    pub fn keep_accesses(&mut self, count: usize) {
        self.kept = count;
    }

    /// The first register accesses, as many as are kept.
    pub fn accesses(&self) -> &[RegisterAccess] {
        &self.accesses
    }

    fn note(&mut self, access: RegisterAccess) {
        if self.accesses.len() < self.kept {
            self.accesses.push(access);
        }
    }

    /// The engine, for its statistics.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// A client has introduced itself.
    pub fn is_greeted(&self) -> bool {
        self.greeted
    }

    /// The client has left: power off, forget its memory and interrupts.
    pub fn disconnected(&mut self) {
        self.engine.reset();
        self.bench.memory.clear();
        self.bench.line = Line::default();
        self.bench.msi.fill_with(|| None);
        self.bench.msix.fill_with(|| None);
        self.greeted = false;
    }

    /// Lets the engine work for a while.
    pub fn run(&mut self) -> Next {
        for _ in 0..BURST {
            match self.engine.step(&mut self.bench) {
                Progress::Worked => {}
                Progress::Idle => return Next::Message,
                Progress::Until(time) => {
                    return Next::After(Duration::from_nanos(time.saturating_sub(self.bench.now())));
                }
            }
        }
        Next::Now
    }

    /// Does what a message asks for and returns the payload of the answer.
    ///
    /// # Errors
    /// The command is refused; nothing has changed.
    pub fn handle(&mut self, command: u16, payload: &[u8], files: Vec<OwnedFd>) -> Result<Vec<u8>, Refusal> {
        let command = Command::of(command)
            .ok_or_else(|| Refusal::not_supported(format!("command {command} is not served")))?;
        if command != Command::Version && !self.greeted {
            return Err(Refusal::invalid(format!("{command:?} before Version")));
        }
        self.obey(command, payload, files)
            .map_err(|refusal| Refusal { why: format!("{command:?}: {refusal}"), ..refusal })
    }

    fn obey(&mut self, command: Command, payload: &[u8], files: Vec<OwnedFd>) -> Result<Vec<u8>, Refusal> {
        match command {
            Command::Version => self.greet(payload),
            Command::DmaMap => self.map(payload, files),
            Command::DmaUnmap => self.unmap(payload),
            Command::DeviceInfo => Fields::of(payload, 16).map(|_| {
                const PCI_AND_RESET: u32 = 3;
                words(&[16, PCI_AND_RESET, region::COUNT, irq::COUNT])
            }),
            Command::RegionInfo => self.region_info(payload),
            Command::IrqInfo => self.irq_info(payload),
            Command::SetIrqs => self.set_irqs(payload, files),
            Command::RegionRead => self.read(payload),
            Command::RegionWrite => self.write(payload),
            Command::Reset => {
                self.engine.reset();
                self.wire();
                Ok(Vec::new())
            }
        }
    }

    fn greet(&mut self, payload: &[u8]) -> Result<Vec<u8>, Refusal> {
        let major = Fields::of(payload, 4)?.half(0);
        if major != 0 {
            return Err(Refusal::not_supported(format!("major version {major}; this is version 0")));
        }
        self.greeted = true;
        Ok(version_reply())
    }

    fn map(&mut self, payload: &[u8], mut files: Vec<OwnedFd>) -> Result<Vec<u8>, Refusal> {
        const WRITE: u32 = 2;
        let fields = Fields::of(payload, 32)?;
        if files.len() > 1 {
            return Err(Refusal::invalid(format!("{} files for one range", files.len())));
        }
        let access = Access { write: fields.word(4) & WRITE != 0 };
        let (offset, address, size) = (fields.double(8), fields.double(16), fields.double(24));
        let file = files.pop().map(File::from);
        self.bench
            .memory
            .map(address, size, offset, file, access)
            .map_err(|error| Refusal::invalid(format!("{size:#x} bytes at {address:#x}: {error}")))?;
        Ok(Vec::new())
    }

    fn unmap(&mut self, payload: &[u8]) -> Result<Vec<u8>, Refusal> {
        const ALL: u32 = 2;
        let fields = Fields::of(payload, 24)?;
        let (flags, address, size) = (fields.word(4), fields.double(8), fields.double(16));
        if flags & ALL != 0 {
            self.bench.memory.clear();
        } else {
            self.bench
                .memory
                .unmap(address, size)
                .map_err(|error| Refusal::invalid(format!("{size:#x} bytes at {address:#x}: {error}")))?;
        }
        Ok(payload[..24].to_vec())
    }

    fn region_size(&self, number: u32) -> u64 {
        match number {
            region::BAR0 => self.engine.bar_size().into(),
            region::CONFIG if self.bench.uses_msi => 256,
            region::CONFIG => config::SIZE.into(),
            _ => 0,
        }
    }

    fn region_info(&self, payload: &[u8]) -> Result<Vec<u8>, Refusal> {
        let number = Fields::of(payload, 16)?.word(8);
        if number >= region::COUNT {
            return Err(Refusal::invalid(format!("there is no region {number}")));
        }
        let size = self.region_size(number);
        let flags = if size == 0 { 0 } else { region::READ_WRITE };
        Ok(words_and_doubles(&[32, flags, number, 0], &[size, 0]))
    }

    fn irq_info(&self, payload: &[u8]) -> Result<Vec<u8>, Refusal> {
        let kind = Fields::of(payload, 16)?.word(8);
        let (flags, count) = match kind {
            irq::LINE => (irq::EVENTFD | irq::MASKABLE | irq::AUTOMASKED, 1),
            irq::MSI => (irq::EVENTFD | irq::NO_RESIZE, self.bench.msi.len()),
            irq::MSIX => (irq::EVENTFD | irq::NO_RESIZE, self.bench.msix.len()),
            _ if kind < irq::COUNT => (irq::EVENTFD, 0),
            _ => return Err(Refusal::invalid(format!("there are no interrupts of kind {kind}"))),
        };
        Ok(words(&[16, flags, kind, count as u32]))
    }

    fn set_irqs(&mut self, payload: &[u8], files: Vec<OwnedFd>) -> Result<Vec<u8>, Refusal> {
        let fields = Fields::of(payload, 20)?;
        let (flags, kind) = (fields.word(4), fields.word(8));
        let (start, count) = (fields.word(12) as usize, fields.word(16) as usize);
        if kind == irq::LINE {
            self.set_line(flags, start, count, files)?;
            return Ok(Vec::new());
        }
        let slots = match kind {
            irq::MSI => &mut self.bench.msi,
            irq::MSIX => &mut self.bench.msix,
            _ if kind < irq::COUNT && count == 0 => return Ok(Vec::new()),
            _ => return Err(Refusal::invalid(format!("there are no interrupts of kind {kind}"))),
        };
        let vectors = slots.len();
        let chosen = start.checked_add(count).and_then(|end| slots.get_mut(start..end)).ok_or_else(|| {
            Refusal::invalid(format!("{count} vectors from {start} on: of kind {kind} there are {vectors}"))
        })?;
        match flags {
            _ if flags == irq::TRIGGER | irq::DATA_NONE && count == 0 => slots.fill_with(|| None),
            _ if flags == irq::TRIGGER | irq::DATA_NONE => {
                chosen.iter().for_each(|file| signal(file.as_ref()))
            }
            // Without files the interrupts are disconnected.
            _ if flags == irq::TRIGGER | irq::DATA_EVENTFD && files.is_empty() => chosen.fill_with(|| None),
            _ if flags == irq::TRIGGER | irq::DATA_EVENTFD && files.len() == count => {
                for (slot, file) in chosen.iter_mut().zip(files) {
                    *slot = Some(File::from(file));
                }
            }
            _ => {
                let files = files.len();
                return Err(Refusal::invalid(format!(
                    "flags {flags:#x} with {count} vectors and {files} files"
                )));
            }
        }
        self.wire();
        Ok(Vec::new())
    }

    fn set_line(
        &mut self,
        flags: u32,
        start: usize,
        count: usize,
        files: Vec<OwnedFd>,
    ) -> Result<(), Refusal> {
        let line = &mut self.bench.line;
        if start != 0 || count > 1 {
            return Err(Refusal::invalid(format!("{count} lines from {start} on: there is one")));
        }
        match flags {
            _ if flags == irq::TRIGGER | irq::DATA_NONE && count == 0 => line.file = None,
            _ if flags == irq::TRIGGER | irq::DATA_NONE => signal(line.file.as_ref()),
            _ if flags == irq::TRIGGER | irq::DATA_EVENTFD => {
                line.file = files.into_iter().next().map(File::from);
                line.masked = false;
            }
            _ if flags == irq::MASK | irq::DATA_NONE => line.masked = true,
            _ if flags == irq::UNMASK | irq::DATA_NONE => line.masked = false,
            _ => return Err(Refusal::not_supported(format!("flags {flags:#x} for the line"))),
        }
        line.update();
        Ok(())
    }

    /// Gives the engine a table that matches the files: the client's own never arrives here.
    fn wire(&mut self) {
        for (vector, file) in (0_u8..).zip(&self.bench.msix) {
            self.engine.wire_vector(vector, file.as_ref().map(|_| (0, vector.into())));
        }
    }

    /// Offset, region and length of an access, all within bounds.
    fn access(&self, payload: &[u8]) -> Result<(u64, u32, usize), Refusal> {
        let fields = Fields::of(payload, 16)?;
        let (offset, number, count) = (fields.double(0), fields.word(8), fields.word(12) as usize);
        let size = self.region_size(number);
        let inside = offset.checked_add(count as u64).is_some_and(|end| end <= size);
        if count > MAX_DATA || !inside {
            let why = format!("{count} bytes at {offset:#x} of region {number}, which has {size:#x} bytes");
            return Err(Refusal::invalid(why));
        }
        Ok((offset, number, count))
    }

    fn read(&mut self, payload: &[u8]) -> Result<Vec<u8>, Refusal> {
        let (start, number, count) = self.access(payload)?;
        self.engine.settle(&mut self.bench);
        let mut answer = payload[..16].to_vec();
        for (offset, width) in pieces(start, count, if number == region::CONFIG { 4 } else { 8 }) {
            let value = if number == region::CONFIG {
                self.engine.config_read(offset as u16, width).into()
            } else {
                self.note(RegisterAccess { offset: offset as u32, width, written: None });
                self.engine.mmio_read(offset as u32, width)
            };
            answer.extend_from_slice(&value.to_le_bytes()[..usize::from(width)]);
        }
        Ok(answer)
    }

    fn write(&mut self, payload: &[u8]) -> Result<Vec<u8>, Refusal> {
        let (start, number, count) = self.access(payload)?;
        let data = Fields::of(payload, 16 + count)?.rest(16);
        let mut data = data.iter();
        for (offset, width) in pieces(start, count, if number == region::CONFIG { 4 } else { 8 }) {
            let mut bytes = [0; 8];
            for (byte, given) in bytes.iter_mut().zip(data.by_ref().take(width.into())) {
                *byte = *given;
            }
            let value = u64::from_le_bytes(bytes);
            if number == region::CONFIG {
                self.engine.config_write(offset as u16, width, value as u32);
            } else {
                self.note(RegisterAccess { offset: offset as u32, width, written: Some(value) });
                self.engine.mmio_write(offset as u32, width, value);
            }
        }
        // A reset inside may have cleared the engine's table.
        self.wire();
        Ok(payload[..16].to_vec())
    }
}

/// Splits an access into naturally aligned pieces of at most `widest` bytes.
fn pieces(start: u64, count: usize, widest: u64) -> impl Iterator<Item = (u64, u8)> {
    let end = start + count as u64;
    let mut at = start;
    std::iter::from_fn(move || {
        if at >= end {
            return None;
        }
        let mut width = widest;
        while !at.is_multiple_of(width) || at + width > end {
            width /= 2;
        }
        let piece = (at, width as u8);
        at += width;
        Some(piece)
    })
}
