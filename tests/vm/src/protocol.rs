//! vfio-user on the wire: headers, payloads, replies.
//!
//! The protocol is that of the vfio-user specification 0.9 (QEMU's docs/interop/vfio-user.rst): 16 bytes of header,
//! little-endian, then a payload whose length the header tells. Payloads reuse the structures of Linux'
//! vfio.h. Everything here is length-checked parsing; a message that does not parse is answered with an error.

use std::fmt;

/// Bytes in a header.
pub const HEADER: usize = 16;
/// Most bytes of data in one region access or message, as announced to the client.
pub const MAX_DATA: usize = 1 << 20;
/// Most file descriptors in one message, as announced to the client.
pub const MAX_FDS: usize = 16;
/// The longest message that can be legal.
pub const MAX_MESSAGE: usize = HEADER + 64 + MAX_DATA;

/// The commands that a client may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// First of all: versions and capabilities.
    Version,
    /// Here is memory.
    DmaMap,
    /// It is gone.
    DmaUnmap,
    /// How many regions and interrupts are there?
    DeviceInfo,
    /// How large is region n?
    RegionInfo,
    /// How many interrupts of kind n are there?
    IrqInfo,
    /// Connect, mask, unmask interrupts.
    SetIrqs,
    /// Read a BAR or configuration space.
    RegionRead,
    /// Write one.
    RegionWrite,
    /// Reset the function.
    Reset,
}

impl Command {
    /// The command with this number; `None` for those that this server does not serve.
    pub fn of(number: u16) -> Option<Self> {
        Some(match number {
            1 => Self::Version,
            2 => Self::DmaMap,
            3 => Self::DmaUnmap,
            4 => Self::DeviceInfo,
            5 => Self::RegionInfo,
            7 => Self::IrqInfo,
            8 => Self::SetIrqs,
            9 => Self::RegionRead,
            10 => Self::RegionWrite,
            13 => Self::Reset,
            _ => return None,
        })
    }
}

/// A message's first 16 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Chosen by the client, repeated in the reply.
    pub id: u16,
    /// Number of the command.
    pub command: u16,
    /// Length of the whole message.
    pub size: u32,
    flags: u32,
}

const REPLY: u32 = 1;
const TYPE: u32 = 0xF;
const NO_REPLY: u32 = 1 << 4;
const ERROR: u32 = 1 << 5;

impl Header {
    /// The header in `bytes`.
    pub fn parse(bytes: &[u8; HEADER]) -> Self {
        let fields = Fields(bytes);
        Self { id: fields.half(0), command: fields.half(2), size: fields.word(4), flags: fields.word(8) }
    }

    /// Bytes that follow the header.
    ///
    /// # Errors
    /// What is wrong with the header: after that the stream cannot be followed any more.
    pub fn payload(&self) -> Result<usize, String> {
        let size = self.size as usize;
        if self.flags & TYPE != 0 {
            return Err(format!("message {} is no command (flags {:#x})", self.id, self.flags));
        }
        if !(HEADER..=MAX_MESSAGE).contains(&size) {
            return Err(format!("message {} says it has {size} bytes", self.id));
        }
        Ok(size - HEADER)
    }

    /// The client waits for an answer.
    pub fn wants_reply(&self) -> bool {
        self.flags & NO_REPLY == 0
    }

    /// The answer: `payload`, or the error number.
    pub fn reply(&self, outcome: &Result<Vec<u8>, Refusal>) -> Vec<u8> {
        let (flags, error, payload) = match outcome {
            Ok(payload) => (REPLY, 0, payload.as_slice()),
            Err(refusal) => (REPLY | ERROR, refusal.errno as u32, &[][..]),
        };
        let mut message = Vec::with_capacity(HEADER + payload.len());
        message.extend_from_slice(&self.id.to_le_bytes());
        message.extend_from_slice(&self.command.to_le_bytes());
        message.extend_from_slice(&((HEADER + payload.len()) as u32).to_le_bytes());
        message.extend_from_slice(&flags.to_le_bytes());
        message.extend_from_slice(&error.to_le_bytes());
        message.extend_from_slice(payload);
        message
    }
}

/// Why a command is refused. Nothing has changed then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What the client is told.
    pub errno: Errno,
    /// What people are told.
    pub why: String,
}

impl Refusal {
    /// The request makes no sense.
    pub fn invalid(why: impl Into<String>) -> Self {
        Self { errno: Errno::Invalid, why: why.into() }
    }

    /// The thing asked for does not exist here.
    pub fn not_supported(why: impl Into<String>) -> Self {
        Self { errno: Errno::NotSupported, why: why.into() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl std::error::Error for Refusal {}

/// The error number of a refusal, as Linux numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Errno {
    /// The request makes no sense.
    Invalid = 22,
    /// The thing asked for does not exist here.
    NotSupported = 95,
}

/// A payload's fields by offset; what is beyond its end reads as zero, so lengths are checked first.
#[derive(Debug, Clone, Copy)]
pub struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// A payload of at least `length` bytes.
    ///
    /// # Errors
    /// It is shorter.
    pub fn of(payload: &'a [u8], length: usize) -> Result<Self, Refusal> {
        if payload.len() < length {
            return Err(Refusal::invalid(format!("it has {} bytes of {length}", payload.len())));
        }
        Ok(Self(payload))
    }

    fn bytes<const N: usize>(&self, offset: usize) -> [u8; N] {
        self.0.get(offset..offset + N).and_then(|bytes| bytes.try_into().ok()).unwrap_or([0; N])
    }

    /// 16 bits.
    pub fn half(&self, offset: usize) -> u16 {
        u16::from_le_bytes(self.bytes(offset))
    }

    /// 32 bits.
    pub fn word(&self, offset: usize) -> u32 {
        u32::from_le_bytes(self.bytes(offset))
    }

    /// 64 bits.
    pub fn double(&self, offset: usize) -> u64 {
        u64::from_le_bytes(self.bytes(offset))
    }

    /// Everything from `offset` on.
    pub fn rest(&self, offset: usize) -> &'a [u8] {
        self.0.get(offset..).unwrap_or_default()
    }
}

/// A payload put together from 32-bit words.
pub fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// A payload of 32-bit words and then 64-bit ones.
pub fn words_and_doubles(first: &[u32], then: &[u64]) -> Vec<u8> {
    let mut payload = words(first);
    payload.extend(then.iter().flat_map(|double| double.to_le_bytes()));
    payload
}

/// Regions of a PCI function, by their numbers in vfio.h; 1 to 6 and 8 are empty here.
pub mod region {
    /// BAR0.
    pub const BAR0: u32 = 0;
    /// Configuration space.
    pub const CONFIG: u32 = 7;
    /// How many there are.
    pub const COUNT: u32 = 9;
    /// The region can be read and written.
    pub const READ_WRITE: u32 = 3;
}

/// Kinds of interrupts of a PCI function, by their numbers in vfio.h.
pub mod irq {
    /// The line.
    pub const LINE: u32 = 0;
    /// MSI.
    pub const MSI: u32 = 1;
    /// MSI-X.
    pub const MSIX: u32 = 2;
    /// How many kinds there are; the last two, error and request, are unused here.
    pub const COUNT: u32 = 5;
    /// Signalled through an event file.
    pub const EVENTFD: u32 = 1;
    /// Can be masked.
    pub const MASKABLE: u32 = 2;
    /// Masked by being signalled.
    pub const AUTOMASKED: u32 = 4;
    /// Cannot change their number while connected.
    pub const NO_RESIZE: u32 = 8;

    /// Flag of SET_IRQS: no data.
    pub const DATA_NONE: u32 = 1;
    /// Flag of SET_IRQS: event files.
    pub const DATA_EVENTFD: u32 = 4;
    /// Flag of SET_IRQS: mask.
    pub const MASK: u32 = 8;
    /// Flag of SET_IRQS: unmask.
    pub const UNMASK: u32 = 16;
    /// Flag of SET_IRQS: connect, disconnect or signal.
    pub const TRIGGER: u32 = 32;
}

/// The answer to the client's version message.
pub fn version_reply() -> Vec<u8> {
    let mut payload = vec![0, 0, 0, 0];
    let capabilities =
        format!(r#"{{"capabilities":{{"max_msg_fds":{MAX_FDS},"max_data_xfer_size":{MAX_DATA}}}}}"#);
    payload.extend_from_slice(capabilities.as_bytes());
    payload.push(0);
    payload
}
