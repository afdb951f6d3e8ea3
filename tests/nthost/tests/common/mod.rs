//! A small PCI function for tests of the machine itself: registers, one doorbell, messages, a line, a bit of DMA.
#![allow(dead_code)] // each test program uses its part

pub mod inf;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use nthost::install::Source;
use nthost::pci::{BusMaster, PciFunction, Progress};

/// What the function does and has seen, shared with the test.
#[derive(Debug, Default)]
pub struct State {
    /// The 4 KiB of configuration space.
    pub config: Vec<u8>,
    /// MSI-X table and registers: one page.
    pub registers: Vec<u8>,
    /// Work the doorbell has asked for.
    pub doorbell: Option<u32>,
    /// What happened: `reset`, `write 0 1`, `fault`.
    pub log: Vec<String>,
    line: bool,
}

/// Registers of the test function.
pub mod register {
    /// A write of n sends message n, or asserts the line when messages are off.
    pub const DOORBELL: u64 = 0;
    /// A write of anything releases the line.
    pub const ACKNOWLEDGE: u64 = 4;
    /// Bus address of a 64-bit word that the doorbell adds one to.
    pub const COUNTER: u64 = 8;
    /// The MSI-X table.
    pub const TABLE: u64 = 0x800;
}

/// A PCI function with `messages` MSI-X messages.
#[derive(Clone)]
pub struct TestFunction {
    pub state: Arc<Mutex<State>>,
    messages: u16,
}

const BAR_SIZE: u64 = 0x1000;
const MSIX: usize = 0x80;
const POWER: usize = 0x90;

impl TestFunction {
    pub fn new(messages: u16) -> Self {
        let function = Self { state: Arc::default(), messages };
        function.clone().reset();
        function
    }

    pub fn log(&self) -> Vec<String> {
        self.state.lock().unwrap().log.clone()
    }
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

impl PciFunction for TestFunction {
    fn name(&self) -> String {
        "test function".to_owned()
    }

    fn config_read(&mut self, offset: u16, width: u8) -> u32 {
        let state = self.state.lock().unwrap();
        let at = usize::from(offset);
        number(&state.config[at..at + usize::from(width)]) as u32
    }

    fn config_write(&mut self, offset: u16, width: u8, value: u32) {
        let mut state = self.state.lock().unwrap();
        for (at, byte) in (usize::from(offset)..).zip(value.to_le_bytes()).take(usize::from(width)) {
            let writable: u8 = match at {
                0x04 => 0x06,
                0x05 => 0x04,
                0x10 => 0x00,
                0x11 => 0xF0,
                0x12..0x18 | 0x3C => 0xFF,
                at if at == MSIX + 3 => 0xC0,
                at if at == POWER + 4 => 0x03,
                0x100 => 0xFF,
                _ => 0,
            };
            state.config[at] = state.config[at] & !writable | byte & writable;
        }
    }

    fn bar_sizes(&self) -> [u64; 6] {
        [BAR_SIZE, 0, 0, 0, 0, 0]
    }

    fn mmio_read(&mut self, _bar: u8, offset: u64, width: u8) -> u64 {
        let state = self.state.lock().unwrap();
        let at = offset as usize;
        number(&state.registers[at..at + usize::from(width)])
    }

    fn mmio_write(&mut self, _bar: u8, offset: u64, width: u8, value: u64) {
        let mut state = self.state.lock().unwrap();
        let at = offset as usize;
        state.registers[at..at + usize::from(width)]
            .copy_from_slice(&value.to_le_bytes()[..usize::from(width)]);
        match offset {
            register::DOORBELL => state.doorbell = Some(value as u32),
            register::ACKNOWLEDGE => state.line = false,
            _ => {}
        }
        if offset < register::TABLE {
            state.log.push(format!("write {offset} {value}"));
        }
    }

    fn step(&mut self, bus: &mut dyn BusMaster) -> Progress {
        let mut state = self.state.lock().unwrap();
        let line = state.line;
        bus.line(line);
        let Some(message) = state.doorbell.take() else { return Progress::Idle };
        let counter = number(&state.registers[8..16]);
        if counter != 0 {
            let mut bytes = [0; 8];
            if bus.read(counter, &mut bytes).is_err()
                || bus.store(counter, u64::from_le_bytes(bytes) + 1).is_err()
            {
                state.log.push("fault".to_owned());
            }
        }
        if state.config[MSIX + 3] & 0x80 != 0 {
            let entry = register::TABLE as usize + 16 * message as usize;
            let (address, data) =
                (number(&state.registers[entry..entry + 8]), number(&state.registers[entry + 8..entry + 12]));
            if state.registers[entry + 12] & 1 == 0 {
                bus.message(address, data as u32);
            }
        } else {
            state.line = true;
            bus.line(true);
        }
        Progress::Worked
    }

    fn reset(&mut self) {
        let mut config = vec![0; 0x1000];
        config[..4].copy_from_slice(&[0x86, 0x80, 0x20, 0x6F]);
        config[6] = 0x10;
        config[8..12].copy_from_slice(&[0x04, 0x00, 0x80, 0x08]);
        config[0x10] = 4;
        config[0x2C..0x30].copy_from_slice(&[0x34, 0x12, 0x78, 0x56]);
        config[0x34] = MSIX as u8;
        config[0x3D] = 1;
        if self.messages > 0 {
            config[MSIX..MSIX + 4].copy_from_slice(&[0x11, POWER as u8, (self.messages - 1) as u8, 0]);
        } else {
            config[0x34] = POWER as u8;
        }
        config[MSIX + 4..MSIX + 8].copy_from_slice(&(register::TABLE as u32).to_le_bytes());
        config[POWER..POWER + 4].copy_from_slice(&[0x01, 0, 3, 0]);
        let mut state = self.state.lock().unwrap();
        state.config = config;
        state.registers = vec![0; BAR_SIZE as usize];
        state.doorbell = None;
        state.line = false;
        state.log.push("reset".to_owned());
    }
}

/// A package that installs service `engine` on the test function (and on `Root\Engine`).
pub fn package() -> Source {
    let text = inf::device(
        "engine",
        r"PCI\VEN_8086&DEV_6F20, Root\Engine",
        r#"HKR,"DMA Management",RemappingSupported,0x00010001,0"#,
    );
    let mut files = BTreeMap::new();
    files.insert("engine.inf".to_owned(), text.into_bytes());
    files.insert("engine.sys".to_owned(), b"no image: the test's own routines stand in".to_vec());
    Source { inf: "engine.inf".to_owned(), files, origin: None }
}
