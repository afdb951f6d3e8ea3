//! The engine model's hot path: fetch, next pointer, copy of 64 bytes, completion word, and one doorbell for each batch.
//!
//! The memory behind [`Host`] is one array; its functions are a bounds check and a memcpy each.

use ioat_model::{BusFault, Engine, Host, Options, Progress};

const SLOTS: u64 = 128;
const BATCH: u16 = 64;
const WORD: u64 = 0x4000;
const SOURCE: u64 = 0x5000;
const TARGET: u64 = 0x6000;

/// Memory from address zero, and nobody who listens.
struct Memory(Vec<u8>);

impl Memory {
    fn range(&mut self, address: u64, length: usize) -> Result<&mut [u8], BusFault> {
        let start = address as usize;
        self.0.get_mut(start..start + length).ok_or(BusFault { address })
    }
}

impl Host for Memory {
    fn read(&mut self, address: u64, bytes: &mut [u8]) -> Result<(), BusFault> {
        bytes.copy_from_slice(self.range(address, bytes.len())?);
        Ok(())
    }

    fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), BusFault> {
        self.range(address, bytes.len())?.copy_from_slice(bytes);
        Ok(())
    }

    fn store(&mut self, address: u64, value: u64) -> Result<(), BusFault> {
        self.range(address, 8)?.copy_from_slice(&value.to_le_bytes());
        Ok(())
    }

    fn message(&mut self, _: u64, _: u32) {}

    fn line(&mut self, _: bool) {}

    fn now(&mut self) -> u64 {
        0
    }
}

/// Descriptors that [`Copier::rounds`] does.
pub const DESCRIPTORS: u64 = 8192;

/// An engine with a ring that goes around.
pub struct Copier {
    engine: Engine,
    memory: Memory,
    /// Descriptors the engine has been told of.
    told: u16,
}

impl Copier {
    /// An engine that has done one lap of its ring.
    ///
    /// # Panics
    /// The model refuses what it must not.
    #[must_use]
    pub fn warm() -> Box<Self> {
        let mut memory = Memory(vec![7; 0x8000]);
        for number in 0..SLOTS {
            let next = 64 * ((number + 1) % SLOTS);
            let words = [64 | (8 << 32), SOURCE, TARGET, next];
            for (offset, word) in (0..).step_by(8).zip(words) {
                memory.store(64 * number + offset, word).expect("inside the array");
            }
        }
        let options = Options::new(0x8086, 0x6F20).expect("a known engine");
        let mut engine = Engine::new(options).expect("plain options");
        engine.config_write(0x04, 2, 6);
        engine.mmio_write(0x98, 8, WORD);
        engine.mmio_write(0x90, 8, 0);
        let mut copier = Box::new(Self { engine, memory, told: 0 });
        for _ in 0..SLOTS / u64::from(BATCH) {
            copier.round();
        }
        copier
    }

    /// [`DESCRIPTORS`] copies.
    ///
    /// # Panics
    /// The engine did not do them all.
    #[inline(never)]
    pub fn rounds(&mut self) {
        for _ in 0..DESCRIPTORS / u64::from(BATCH) {
            self.round();
        }
        let done = self.engine.channel_statistics(0).map_or(0, |channel| channel.copies);
        assert_eq!(done, u64::from(self.told), "the engine did what it was told");
    }

    fn round(&mut self) {
        self.told = self.told.wrapping_add(BATCH);
        self.engine.mmio_write(0x86, 2, self.told.into());
        while self.engine.step(&mut self.memory) == Progress::Worked {}
    }
}
