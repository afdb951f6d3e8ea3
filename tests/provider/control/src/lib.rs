//! How tests steer netdmasoft.sys: one I/O control code, a command of four numbers in, numbers out.
#![no_std]
#![forbid(unsafe_code)]

/// Interface class of the device, {C8B1E5A2-6D0F-4E37-9A45-1B7F20D3C6E8}, as its four parts.
pub const INTERFACE: (u32, u16, u16, [u8; 8]) =
    (0xC8B1_E5A2, 0x6D0F, 0x4E37, [0x9A, 0x45, 0x1B, 0x7F, 0x20, 0xD3, 0xC6, 0xE8]);

/// The code: FILE_DEVICE_UNKNOWN, function 0x800, METHOD_BUFFERED, read and write access (CTL_CODE of the WDK's devioctl.h).
pub const COMMAND: u32 = 0x22 << 16 | 3 << 14 | 0x800 << 2;

/// Channels of the engine.
pub const CHANNELS: u32 = 4;

/// The entry points of a provider, in the order of the documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum Entry {
    /// `SetDmaChannelCpuAffinity`.
    SetAffinity = 0,
    /// `AllocateDmaChannel`.
    Allocate = 1,
    /// `FreeDmaChannel`.
    Free = 2,
    /// `StartDma`.
    Start = 3,
    /// `AppendDma`.
    Append = 4,
    /// `SuspendDma`.
    Suspend = 5,
    /// `ResumeDma`.
    Resume = 6,
    /// `AbortDma`.
    Abort = 7,
    /// `ResetChannel`.
    Reset = 8,
}

impl Entry {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::SetAffinity,
        Self::Allocate,
        Self::Free,
        Self::Start,
        Self::Append,
        Self::Suspend,
        Self::Resume,
        Self::Abort,
        Self::Reset,
    ];

    /// Its bit in [`Setup::absent`].
    #[must_use]
    pub const fn bit(self) -> u32 {
        1 << self as u32
    }
}

/// Bits of [`Setup::mode`].
pub mod mode {
    /// Nothing runs by itself: descriptors are processed by [`Step`](super::Command::Step), reported by
    /// [`Report`](super::Command::Report).
    pub const MANUAL: u32 = 1;
    /// `SuspendDma` stores a pointer to the address, as its type says, instead of the address, as its page says (Q7).
    pub const POINTER: u32 = 2;
    /// The device leaves without deregistering, as a broken driver would.
    pub const FORGET: u32 = 4;
}

/// What is registered and how the engine behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setup {
    /// NetDMA version, major << 16 | minor.
    pub version: u32,
    /// Flags of the characteristics.
    pub flags: u32,
    /// Entry points that are null, by [`Entry::bit`].
    pub absent: u32,
    /// Of [`mode`].
    pub mode: u32,
}

/// What a test asks for. Numbers of channels are those of the engine, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Stops and deregisters, then registers and starts anew. Answers the registration's status.
    Setup(Setup),
    /// The next `count` calls of an entry point fail with this status.
    Fail {
        /// Which.
        entry: Entry,
        /// How many calls.
        count: u32,
        /// A failing NTSTATUS.
        status: i32,
    },
    /// Processes up to `count` descriptors. Answers how many it were.
    Step {
        /// The channel.
        channel: u32,
        /// Most descriptors.
        count: u32,
    },
    /// Tells the interface of the last descriptor processed, as the engine's interrupt would.
    Report {
        /// The channel.
        channel: u32,
    },
    /// The engine fails: status Halted, reported with address 0.
    Halt {
        /// The channel.
        channel: u32,
    },
    /// A report without a completion: a 1.0 provider asks for a fresh start (Q20).
    Ask {
        /// The channel.
        channel: u32,
    },
    /// Answers a [`Channel`].
    Look {
        /// The channel.
        channel: u32,
    },
    /// Answers the entry points called since the last question, oldest first, at most [`HISTORY`].
    Calls,
    /// Sends a power notice: 5 for down, 6 for up.
    Power {
        /// The code.
        code: u32,
    },
    /// Stops the provider.
    Stop,
    /// Starts it.
    Start,
}

/// Calls that are remembered; a power of two.
pub const HISTORY: usize = 256;

/// Bytes of a command.
pub const COMMAND_SIZE: usize = 4 * 8;

impl Command {
    /// The command as four numbers.
    #[must_use]
    pub fn to_words(self) -> [u64; 4] {
        let pair = |high: u32, low: u32| u64::from(high) << 32 | u64::from(low);
        match self {
            Self::Setup(Setup { version, flags, absent, mode }) => {
                [0, pair(version, flags), absent.into(), mode.into()]
            }
            Self::Fail { entry, count, status } => {
                [1, entry as u64, count.into(), status.cast_unsigned().into()]
            }
            Self::Step { channel, count } => [2, channel.into(), count.into(), 0],
            Self::Report { channel } => [3, channel.into(), 0, 0],
            Self::Halt { channel } => [4, channel.into(), 0, 0],
            Self::Ask { channel } => [5, channel.into(), 0, 0],
            Self::Look { channel } => [6, channel.into(), 0, 0],
            Self::Calls => [7, 0, 0, 0],
            Self::Power { code } => [8, code.into(), 0, 0],
            Self::Stop => [9, 0, 0, 0],
            Self::Start => [10, 0, 0, 0],
        }
    }

    /// The command of four numbers; `None` if it is none.
    #[must_use]
    pub fn from_words([code, first, second, third]: [u64; 4]) -> Option<Self> {
        let channel = first as u32;
        Some(match code {
            0 => Self::Setup(Setup {
                version: (first >> 32) as u32,
                flags: first as u32,
                absent: second as u32,
                mode: third as u32,
            }),
            1 => Self::Fail {
                entry: *Entry::ALL.get(usize::try_from(first).ok()?)?,
                count: second as u32,
                status: (third as u32).cast_signed(),
            },
            2 => Self::Step { channel, count: second as u32 },
            3 => Self::Report { channel },
            4 => Self::Halt { channel },
            5 => Self::Ask { channel },
            6 => Self::Look { channel },
            7 => Self::Calls,
            8 => Self::Power { code: first as u32 },
            9 => Self::Stop,
            10 => Self::Start,
            _ => return None,
        })
    }
}

/// The state of a channel, and what it has done since it was allocated.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Channel {
    /// Somebody has it.
    pub allocated: bool,
    /// Started and not aborted, reset or halted since.
    pub started: bool,
    /// Suspended.
    pub suspended: bool,
    /// System-wide index of its processor.
    pub processor: u32,
    /// Descriptors that a counted list still has.
    pub remaining: u64,
    /// Descriptors processed.
    pub processed: u64,
    /// Reports to the interface.
    pub reports: u64,
    /// Completion words written for descriptors.
    pub words: u64,
    /// Every control flag that a descriptor had.
    pub flags: u32,
    /// APIC id of the processor whose cache is hinted at; all ones before the first change of context.
    pub target: u64,
    /// Hints that came with data.
    pub data_hints: u64,
    /// Hints that came with completion words.
    pub word_hints: u64,
}

/// Numbers of a [`Channel`].
pub const CHANNEL_WORDS: usize = 12;

impl Channel {
    /// As numbers.
    #[must_use]
    pub fn to_words(self) -> [u64; CHANNEL_WORDS] {
        [
            self.allocated.into(),
            self.started.into(),
            self.suspended.into(),
            self.processor.into(),
            self.remaining,
            self.processed,
            self.reports,
            self.words,
            self.flags.into(),
            self.target,
            self.data_hints,
            self.word_hints,
        ]
    }

    /// From numbers.
    #[must_use]
    pub fn from_words(words: [u64; CHANNEL_WORDS]) -> Self {
        let [
            allocated,
            started,
            suspended,
            processor,
            remaining,
            processed,
            reports,
            words,
            flags,
            target,
            data_hints,
            word_hints,
        ] = words;
        Self {
            allocated: allocated != 0,
            started: started != 0,
            suspended: suspended != 0,
            processor: processor as u32,
            remaining,
            processed,
            reports,
            words,
            flags: flags as u32,
            target,
            data_hints,
            word_hints,
        }
    }
}

/// Numbers as bytes, little-endian; as many as both sides have room for.
pub fn put(words: &[u64], bytes: &mut [u8]) {
    for (place, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(words) {
        *place = word.to_le_bytes();
    }
}

/// Bytes as numbers.
pub fn take(bytes: &[u8], words: &mut [u64]) {
    for (word, place) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
        *word = u64::from_le_bytes(*place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_and_channels_survive_the_way_through_numbers() {
        let setup = Setup { version: 0x2_0001, flags: 3, absent: 0x1E0, mode: mode::MANUAL };
        for command in [
            Command::Setup(setup),
            Command::Fail { entry: Entry::Append, count: 2, status: -1 },
            Command::Step { channel: 3, count: 7 },
            Command::Look { channel: 1 },
            Command::Power { code: 5 },
            Command::Start,
        ] {
            assert_eq!(Command::from_words(command.to_words()), Some(command));
        }
        assert_eq!(Command::from_words([99, 0, 0, 0]), None);
        assert_eq!(Command::from_words([1, 9, 0, 0]), None);
        let words = [1, 0, 1, 1, 5, 6, 7, 8, 0x3F, u64::MAX, 9, 10];
        assert_eq!(Channel::from_words(words).to_words(), words);
    }
}
