//! The engine's hot path, to be counted instruction by instruction: `hot_path ROUNDS` runs ROUNDS times 64 copies of 64
//! bytes, each with its completion word, one doorbell for all of them.
//!
//! Two runs that differ only in ROUNDS, counted by callgrind, give the cost of a descriptor: fetch, next pointer, copy
//! and completion word, through a [`Host`] whose memory is one array. The host's functions are a bounds
//! check and a memcpy each; callgrind tells memcpy's share.
#![forbid(unsafe_code)]

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

fn main() {
    let rounds: u16 = std::env::args().nth(1).and_then(|word| word.parse().ok()).unwrap_or(10);
    let mut memory = Memory(vec![7; 0x8000]);
    for number in 0..SLOTS {
        let next = 64 * ((number + 1) % SLOTS);
        let words = [64 | (8 << 32), SOURCE, TARGET, next];
        for (offset, word) in (0..).step_by(8).zip(words) {
            memory.store(64 * number + offset, word).expect("inside the array");
        }
    }
    let mut engine =
        Engine::new(Options::new(0x8086, 0x6F20).expect("a known engine")).expect("plain options");
    engine.config_write(0x04, 2, 6);
    engine.mmio_write(0x98, 8, WORD);
    engine.mmio_write(0x90, 8, 0);
    for round in 1..=rounds {
        engine.mmio_write(0x86, 2, round.wrapping_mul(BATCH).into());
        while engine.step(&mut memory) == Progress::Worked {}
    }
    let done = engine.channel_statistics(0).map_or(0, |channel| channel.copies);
    println!("{done} copies of 64 bytes");
}
