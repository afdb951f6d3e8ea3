//! What an administrator may change: values in the registry key of a device (docs/settings.md).
//!
//! The table says names, ranges and defaults once. The INF writes the defaults, the page lists them, and a test holds the
//! three together.

use netdma_abi as abi;
use netdma_events::Setting;

/// One value of the device's registry key, a REG_DWORD.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// The number by which events name it.
    pub setting: Setting,
    /// The value's name.
    pub name: &'static str,
    /// The value that holds when it is absent or not allowed. One of the choices.
    pub default: u32,
    /// What is allowed.
    pub choices: &'static [Choice],
    /// What it is for.
    pub meaning: &'static str,
}

/// Numbers that are allowed, and what they do.
#[derive(Debug, Clone, Copy)]
pub struct Choice {
    /// The least of them.
    pub least: u32,
    /// The greatest value.
    pub most: u32,
    /// What they do.
    pub meaning: &'static str,
}

impl Row {
    /// Whether `value` is allowed.
    pub fn allows(&self, value: u32) -> bool {
        self.choices.iter().any(|choice| (choice.least..=choice.most).contains(&value))
    }
}

/// How the function is to interrupt.
pub const INTERRUPT_KIND: Row = Row {
    setting: Setting::InterruptKind,
    name: "InterruptKind",
    default: 0,
    choices: &[
        only(0, "as assigned: a message per channel where there is one, else one message or a line for all"),
        only(1, "one interrupt for all channels, even where each could have its own message"),
        only(2, "none: completions are looked for every 10 ms"),
    ],
    meaning: "how the engine interrupts",
};

/// The NetDMA version to register as.
pub const NETDMA_VERSION: Row = Row {
    setting: Setting::NetDmaVersion,
    name: "NetDmaVersion",
    default: 0,
    choices: &[
        only(0, "the highest that engine and interface have"),
        only(0x0101, "1.1; only for hardware 1.2, which has no other"),
        only(0x0200, "2.0; only for hardware 2.0 and later"),
        only(0x0201, "2.1; only for hardware 2.0 and later"),
    ],
    meaning: "version as which the engine registers with netdma.sys, major << 8 | minor",
};

/// Least time between two interrupts.
pub const INTERRUPT_DELAY: Row = Row {
    setting: Setting::InterruptDelay,
    name: "InterruptDelayMicroseconds",
    default: 0,
    choices: &[Choice {
        least: 0,
        most: 0x3FFF,
        meaning: "microseconds; ignored with an event where the engine cannot delay interrupts",
    }],
    meaning: "least time between two interrupts of the engine: fewer of them, later",
};

/// How often the watchdog looks.
pub const WATCHDOG: Row = Row {
    setting: Setting::Watchdog,
    name: "WatchdogMilliseconds",
    default: 200,
    choices: &[Choice { least: 10, most: 10_000, meaning: "milliseconds" }],
    meaning: "how often a channel is looked at for lost interrupts and completions",
};

/// Whether a channel is proved before it is offered.
pub const SELF_TEST: Row = Row {
    setting: Setting::SelfTest,
    name: "SelfTest",
    default: 1,
    choices: &[only(0, "off"), only(1, "on")],
    meaning: "whether each channel has to copy and interrupt before it is offered",
};

/// Every setting, in the order of the page.
pub const ALL: [&Row; 5] = [&INTERRUPT_KIND, &NETDMA_VERSION, &INTERRUPT_DELAY, &WATCHDOG, &SELF_TEST];

/// How often completions are looked for where nothing interrupts, in milliseconds. Our choice: what the coarsest clock of
/// Windows allows.
pub const POLL_MS: u16 = 10;

/// What was found under a row's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// No such value.
    Absent,
    /// A value of another type.
    NotANumber,
    /// A REG_DWORD.
    Number(u32),
}

/// How a function is to interrupt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interrupts {
    /// As its resources allow.
    AsAssigned,
    /// One for all channels.
    Shared,
    /// Not at all.
    Off,
}

/// The settings of one device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// How it interrupts.
    pub interrupts: Interrupts,
    /// The NetDMA version asked for.
    pub version: Option<abi::Version>,
    /// Least time between two interrupts, in microseconds; zero is none.
    pub delay_us: u16,
    /// Period of the watchdog, in milliseconds.
    pub watchdog_ms: u16,
    /// Whether channels are proved before they are offered.
    pub self_test: bool,
}

impl Settings {
    /// Reads them all. `ignored` is told of each value that is not allowed; its default holds then.
    pub fn read(
        mut find: impl FnMut(&'static Row) -> Found,
        mut ignored: impl FnMut(&'static Row, Found),
    ) -> Self {
        let mut number = |row: &'static Row| match find(row) {
            Found::Number(value) if row.allows(value) => value,
            Found::Absent => row.default,
            wrong => {
                ignored(row, wrong);
                row.default
            }
        };
        Self {
            interrupts: match number(&INTERRUPT_KIND) {
                1 => Interrupts::Shared,
                2 => Interrupts::Off,
                _ => Interrupts::AsAssigned,
            },
            version: match number(&NETDMA_VERSION) {
                0 => None,
                value => Some(abi::Version(value.wrapping_shr(8) << 16 | value & 0xFF)),
            },
            delay_us: number(&INTERRUPT_DELAY) as u16,
            watchdog_ms: number(&WATCHDOG) as u16,
            self_test: number(&SELF_TEST) != 0,
        }
    }
}

/// One number.
const fn only(value: u32, meaning: &'static str) -> Choice {
    Choice { least: value, most: value, meaning }
}
