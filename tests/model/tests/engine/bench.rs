//! A bench for one engine: memory, a log of what the engine does to the world, and a driver's few moves.

use ioat_model::{BusFault, Defect, Engine, Fault, Host, Options, Progress};
use ioat_regs::{ChanCmd, ChanCtrl, ChanErr, ChanSts, ChannelMap, Control, Opcode, channel, config};

/// Where the bench's memory starts and how much there is. Nothing answers elsewhere.
pub const MEMORY: u64 = 0x1_0000_0000;
pub const MEMORY_SIZE: usize = 8 << 20;
/// The ring: room for 256 descriptors and more.
pub const RING: u64 = MEMORY + 0x1_0000;
/// The completion word.
pub const WORD: u64 = MEMORY + 0x8000;
/// Two buffers of 2 MiB.
pub const SOURCE: u64 = MEMORY + 0x20_0000;
pub const TARGET: u64 = MEMORY + 0x40_0000;

/// What the engine did to the world, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    Read(u64, usize),
    Write(u64, usize),
    Store(u64, u64),
    Message(u64, u32),
    Line(bool),
}

#[derive(Default)]
pub struct World {
    pub memory: Vec<u8>,
    pub events: Vec<Event>,
    pub now: u64,
    pub line: bool,
}

impl World {
    fn range(&self, address: u64, length: usize) -> Result<std::ops::Range<usize>, BusFault> {
        let fault = BusFault { address };
        let start = usize::try_from(address.checked_sub(MEMORY).ok_or(fault)?).map_err(|_| fault)?;
        let end = start.checked_add(length).filter(|&end| end <= MEMORY_SIZE).ok_or(fault)?;
        Ok(start..end)
    }

    pub fn bytes(&self, address: u64, length: usize) -> &[u8] {
        &self.memory[self.range(address, length).expect("inside the bench's memory")]
    }

    pub fn fill(&mut self, address: u64, bytes: &[u8]) {
        let range = self.range(address, bytes.len()).expect("inside the bench's memory");
        self.memory[range].copy_from_slice(bytes);
    }

    pub fn word(&self, address: u64) -> u64 {
        u64::from_le_bytes(self.bytes(address, 8).try_into().unwrap())
    }

    pub fn messages(&self) -> usize {
        self.events.iter().filter(|event| matches!(event, Event::Message(..))).count()
    }
}

impl Host for World {
    fn read(&mut self, address: u64, bytes: &mut [u8]) -> Result<(), BusFault> {
        let range = self.range(address, bytes.len())?;
        self.events.push(Event::Read(address, bytes.len()));
        bytes.copy_from_slice(&self.memory[range]);
        Ok(())
    }

    fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), BusFault> {
        let range = self.range(address, bytes.len())?;
        self.events.push(Event::Write(address, bytes.len()));
        self.memory[range].copy_from_slice(bytes);
        Ok(())
    }

    fn store(&mut self, address: u64, value: u64) -> Result<(), BusFault> {
        assert_eq!(address % 8, 0, "a completion word is aligned");
        let range = self.range(address, 8)?;
        self.events.push(Event::Store(address, value));
        self.memory[range].copy_from_slice(&value.to_le_bytes());
        Ok(())
    }

    fn message(&mut self, address: u64, data: u32) {
        self.events.push(Event::Message(address, data));
    }

    fn line(&mut self, asserted: bool) {
        assert_ne!(self.line, asserted, "the line is reported when it changes");
        self.line = asserted;
        self.events.push(Event::Line(asserted));
    }

    fn now(&mut self) -> u64 {
        self.now
    }
}

/// A descriptor to be put into the ring.
#[derive(Debug, Clone, Copy, Default)]
pub struct Slot {
    pub size: u32,
    pub control: u32,
    pub source: u64,
    pub target: u64,
    pub next: u64,
    pub next_source: u64,
    pub next_target: u64,
}

pub const RECORD: Control = Control::new().with_completion(true);
pub const INTERRUPT: Control = Control::new().with_interrupt(true);

impl Slot {
    pub fn null() -> Self {
        Self { size: 8, control: RECORD.with_null(true).into_bits(), ..Self::default() }
    }

    pub fn copy(source: u64, target: u64, size: u32) -> Self {
        Self { size, control: RECORD.into_bits(), source, target, ..Self::default() }
    }

    pub fn fill(pattern: u64, target: u64, size: u32) -> Self {
        let control = RECORD.with_opcode(Opcode::FILL.0).into_bits();
        Self { size, control, source: pattern, target, ..Self::default() }
    }

    pub fn with(self, control: Control) -> Self {
        Self { control: self.control | control.into_bits(), ..self }
    }

    pub fn without_record(self) -> Self {
        Self { control: self.control & !RECORD.into_bits(), ..self }
    }

    pub fn bytes(&self) -> [u8; 64] {
        let words = [
            u64::from(self.size) | (u64::from(self.control) << 32),
            self.source,
            self.target,
            self.next,
            self.next_source,
            self.next_target,
            0xDEAD_0006,
            0xDEAD_0007,
        ];
        let mut bytes = [0; 64];
        for (bytes, word) in bytes.chunks_exact_mut(8).zip(words) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }
}

/// The address of ring slot `number`.
pub fn slot(number: u64) -> u64 {
    RING + 64 * number
}

/// One engine with one world around it.
pub struct Rig {
    pub engine: Engine,
    pub world: World,
}

impl Rig {
    /// A Broadwell function, memory and bus mastering enabled: hardware 3.2.
    pub fn new() -> Self {
        Self::of(0x6F20, |_| {})
    }

    pub fn of(device: u16, change: impl FnOnce(&mut Options)) -> Self {
        let mut options = Options::new(0x8086, device).unwrap();
        change(&mut options);
        Self::with(options)
    }

    pub fn with(mut options: Options) -> Self {
        if let Ok(name) = std::env::var(crate::mutation::DEFECT) {
            let name = Defect::named(&name).expect("a known defect");
            options.faults.faults.push(Fault::Defect { name });
        }
        let world = World { memory: vec![0; MEMORY_SIZE], ..World::default() };
        let mut rig = Self { engine: Engine::new(options).unwrap(), world };
        rig.engine.config_write(config::COMMAND, 2, 0x6);
        rig
    }

    /// With faults, as a plan has them.
    pub fn with_faults(plan: &str) -> Self {
        Self::of(0x6F20, |options| options.faults = plan.parse().unwrap())
    }

    fn map(&self) -> &'static ChannelMap {
        ChannelMap::of(self.engine.options().version)
    }

    pub fn read(&mut self, offset: u32, width: u8) -> u64 {
        self.engine.mmio_read(offset, width)
    }

    pub fn write(&mut self, offset: u32, width: u8, value: u64) {
        self.engine.mmio_write(offset, width, value);
    }

    /// A register of channel 0.
    pub fn channel_read(&mut self, offset: u32, width: u8) -> u64 {
        self.read(channel::base(0) + offset, width)
    }

    pub fn channel_write(&mut self, offset: u32, width: u8, value: u64) {
        self.write(channel::base(0) + offset, width, value);
    }

    pub fn status(&mut self) -> u64 {
        self.channel_read(self.map().status, 8)
    }

    pub fn error(&mut self) -> ChanErr {
        ChanErr(self.channel_read(self.map().error, 4) as u32)
    }

    pub fn clear_error(&mut self) {
        let error = self.error().0;
        self.channel_write(self.map().error, 4, error.into());
        let second = self.engine.config_read(config::CHANERR_INT, 4);
        self.engine.config_write(config::CHANERR_INT, 4, second);
    }

    pub fn command(&mut self, command: ChanCmd) {
        self.channel_write(self.map().command, 1, command.into_bits().into());
    }

    pub fn control(&mut self, control: ChanCtrl) {
        self.channel_write(self.map().control, 2, control.into_bits().into());
    }

    pub fn set_chain(&mut self, address: u64) {
        self.channel_write(self.map().chain, 4, address & 0xFFFF_FFFF);
        self.channel_write(self.map().chain + 4, 4, address >> 32);
    }

    pub fn set_word(&mut self, address: u64) {
        self.channel_write(self.map().completion, 8, address);
    }

    pub fn announce(&mut self, count: u16) {
        self.channel_write(self.map().count.expect("a counter"), 2, count.into());
    }

    /// The cold start of a 3.x driver, down to CHAINADDR: ready for the first doorbell.
    pub fn bring_up(&mut self) {
        self.clear_error();
        self.command(ChanCmd::RESET);
        self.control(channel::CHANCTRL_RUN);
        self.set_word(WORD);
        self.set_chain(RING);
    }

    /// Puts the slots into the ring from slot `first`, each linked to the one behind it.
    pub fn put(&mut self, first: u64, slots: &[Slot]) {
        for (number, &descriptor) in (first..).zip(slots) {
            let linked = Slot { next: slot(number + 1), ..descriptor };
            self.world.fill(slot(number), &linked.bytes());
        }
    }

    /// Steps until there is nothing more to do, time included.
    pub fn run(&mut self) {
        for _ in 0..10_000_000 {
            match self.engine.step(&mut self.world) {
                Progress::Worked => {}
                Progress::Until(time) => {
                    assert!(time > self.world.now, "waiting for the past");
                    self.world.now = time;
                }
                Progress::Idle => return,
            }
        }
        panic!("the engine does not come to rest: {:?}", self.engine);
    }

    /// Steps until there is nothing more to do now; time stands still.
    pub fn run_now(&mut self) -> Progress {
        loop {
            let progress = self.engine.step(&mut self.world);
            if progress != Progress::Worked {
                return progress;
            }
        }
    }

    /// Brings the channel up, runs `slots` from slot 0, and returns CHANSTS.
    pub fn execute(&mut self, slots: &[Slot]) -> u64 {
        self.bring_up();
        self.put(0, slots);
        self.announce(slots.len() as u16);
        self.run();
        self.status()
    }

    /// MSI-X on, entry 0 unmasked.
    pub fn enable_msix(&mut self) {
        self.engine.config_write(config::MSIX + 2, 2, 0x8000);
        self.write(0x2000, 8, 0xFEE0_0000);
        self.write(0x2008, 8, 0x41);
    }

    /// CHANSTS of `address` and `state`.
    pub fn sts(address: u64, state: ioat_regs::State) -> u64 {
        ChanSts::new(address, state).0
    }
}

/// Bytes that differ from their neighbours and from other seeds' bytes.
pub fn pattern(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed | 1;
    (0..length)
        .map(|_| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 56) as u8
        })
        .collect()
}
