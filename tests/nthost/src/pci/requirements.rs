//! Resource requirements and assignments in the shapes of wdm.h: what a function wants, what the machine gives it.
//!
//! Layouts: IO_RESOURCE_REQUIREMENTS_LIST, IO_RESOURCE_DESCRIPTOR, CM_RESOURCE_LIST, CM_PARTIAL_RESOURCE_DESCRIPTOR of
//! wdm.h for x64. Message interrupts: Learn, "Using Interrupt Resource Descriptors".

use super::config::{Bar, Messages};

/// CmResourceTypeInterrupt.
pub const TYPE_INTERRUPT: u8 = 2;
/// CmResourceTypeMemory.
pub const TYPE_MEMORY: u8 = 3;
/// CmResourceShareDeviceExclusive.
pub const SHARE_EXCLUSIVE: u8 = 1;
/// CmResourceShareShared.
pub const SHARE_SHARED: u8 = 3;
/// CM_RESOURCE_INTERRUPT_LATCHED; level sensitive is zero.
pub const FLAG_LATCHED: u16 = 1;
/// CM_RESOURCE_INTERRUPT_MESSAGE.
pub const FLAG_MESSAGE: u16 = 2;
/// CM_RESOURCE_INTERRUPT_POLICY_INCLUDED.
pub const FLAG_POLICY: u16 = 4;
/// IO_RESOURCE_ALTERNATIVE: this descriptor may stand in for the one before.
pub const OPTION_ALTERNATIVE: u8 = 8;
/// CM_RESOURCE_INTERRUPT_MESSAGE_TOKEN: the vector of a descriptor that means a message.
pub const MESSAGE_TOKEN: u32 = 0xFFFF_FFFE;
/// IrqPolicySpecifiedProcessors.
pub const POLICY_SPECIFIED: u16 = 4;
/// IrqPolicyMachineDefault.
pub const POLICY_DEFAULT: u16 = 0;
/// InterfaceTypeUndefined is -1; PCIBus is 5.
pub const INTERFACE_PCI: u32 = 5;

/// One IO_RESOURCE_DESCRIPTOR.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Requirement {
    /// Option bits.
    pub option: u8,
    /// Share disposition.
    pub share: u8,
    /// Flags of the type.
    pub flags: u16,
    /// What is wanted.
    pub want: Want,
}

impl Requirement {
    /// Puts an interrupt policy into an interrupt's descriptor, marked as there; other descriptors stay as they are.
    pub fn include_policy(&mut self, chosen: u16, rank: u32, processors: u64) {
        if let Want::Interrupt { policy, priority, targets, .. } = &mut self.want {
            self.flags |= FLAG_POLICY;
            (*policy, *priority, *targets) = (chosen, rank, processors);
        }
    }
}

/// The union of IO_RESOURCE_DESCRIPTOR.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// A range of addresses.
    Memory {
        /// Bytes.
        length: u32,
        /// Bytes.
        alignment: u32,
        /// Lowest start.
        minimum: u64,
        /// Highest end.
        maximum: u64,
    },
    /// A vector or a message.
    Interrupt {
        /// Lowest vector, or a message token.
        minimum: u32,
        /// Highest vector, or the message token.
        maximum: u32,
        /// IRQ_DEVICE_POLICY.
        policy: u16,
        /// Processor group.
        group: u16,
        /// IRQ_PRIORITY.
        priority: u32,
        /// Processors, when the policy names them.
        targets: u64,
    },
    /// Any other type: kept as it is.
    Other {
        /// Resource type.
        kind: u8,
        /// The union's 24 bytes.
        data: [u8; 24],
    },
}

/// One CM_PARTIAL_RESOURCE_DESCRIPTOR.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assigned {
    /// Share disposition.
    pub share: u8,
    /// Flags of the type.
    pub flags: u16,
    /// What was given.
    pub given: Given,
}

/// The union of CM_PARTIAL_RESOURCE_DESCRIPTOR.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Given {
    /// A range of addresses.
    Memory {
        /// First address.
        start: u64,
        /// Bytes.
        length: u32,
    },
    /// A vector: `level` is the IRQL in a translated list.
    Interrupt {
        /// IRQL (translated), line (raw).
        level: u16,
        /// Group.
        group: u16,
        /// Vector.
        vector: u32,
        /// Processors.
        affinity: u64,
    },
    /// The raw form of a message interrupt.
    RawMessage {
        /// Group.
        group: u16,
        /// Messages of this descriptor.
        count: u16,
        /// Message data's vector.
        vector: u32,
        /// Processors.
        affinity: u64,
    },
}

/// What a function wants: one entry per alternative list, the preferred one first.
///
/// MSI-X: one descriptor per message, and behind the last a line based alternative. MSI: one descriptor for all
/// messages. `limit` is the registry's MessageNumberLimit; `messages_allowed` is its MSISupported.
pub fn requirements(
    bars: &[Bar],
    messages: Messages,
    pin: u8,
    allowed: bool,
    limit: Option<u16>,
) -> Vec<Vec<Requirement>> {
    let mut list: Vec<Requirement> = bars
        .iter()
        .map(|bar| Requirement {
            option: 0,
            share: SHARE_EXCLUSIVE,
            flags: 0,
            want: Want::Memory {
                length: u32::try_from(bar.size).unwrap_or(u32::MAX),
                alignment: u32::try_from(bar.size).unwrap_or(u32::MAX),
                minimum: bar.base,
                maximum: bar.base + (bar.size - 1),
            },
        })
        .collect();
    let interrupt = |minimum, maximum| Want::Interrupt {
        minimum,
        maximum,
        policy: POLICY_DEFAULT,
        group: 0,
        priority: 0,
        targets: 0,
    };
    let message = |option, minimum| Requirement {
        option,
        share: SHARE_EXCLUSIVE,
        flags: FLAG_LATCHED | FLAG_MESSAGE,
        want: interrupt(minimum, MESSAGE_TOKEN),
    };
    let bound = limit.unwrap_or(u16::MAX).max(1);
    let granted = match messages {
        Messages::MsiX { count, .. } if allowed => {
            list.extend((0..count.min(bound)).map(|_| message(0, MESSAGE_TOKEN)));
            true
        }
        Messages::Msi { count, .. } if allowed => {
            list.push(message(0, MESSAGE_TOKEN - u32::from(count.min(bound) - 1)));
            if count.min(bound) > 1 {
                list.push(message(OPTION_ALTERNATIVE, MESSAGE_TOKEN));
            }
            true
        }
        _ => false,
    };
    if pin != 0 {
        list.push(Requirement {
            option: if granted { OPTION_ALTERNATIVE } else { 0 },
            share: SHARE_SHARED,
            flags: 0,
            want: interrupt(0, u32::from(u8::MAX)),
        });
    }
    vec![list]
}

/// Writes lists as an IO_RESOURCE_REQUIREMENTS_LIST.
pub fn encode_requirements(bus: u32, slot: u32, lists: &[Vec<Requirement>]) -> Vec<u8> {
    let mut out = Bytes::default();
    out.u32(0).u32(INTERFACE_PCI).u32(bus).u32(slot).u32(0).u32(0).u32(0);
    out.u32(u32::try_from(lists.len()).unwrap_or(0));
    for list in lists {
        out.u16(1).u16(1).u32(u32::try_from(list.len()).unwrap_or(0));
        for requirement in list {
            encode_requirement(&mut out, requirement);
        }
    }
    let size = u32::try_from(out.0.len()).unwrap_or(0).to_le_bytes();
    out.0[..4].copy_from_slice(&size);
    out.0
}

fn encode_requirement(out: &mut Bytes, requirement: &Requirement) {
    let kind = match requirement.want {
        Want::Memory { .. } => TYPE_MEMORY,
        Want::Interrupt { .. } => TYPE_INTERRUPT,
        Want::Other { kind, .. } => kind,
    };
    out.u8(requirement.option).u8(kind).u8(requirement.share).u8(0).u16(requirement.flags).u16(0);
    match requirement.want {
        Want::Memory { length, alignment, minimum, maximum } => {
            out.u32(length).u32(alignment).u64(minimum).u64(maximum);
        }
        Want::Interrupt { minimum, maximum, policy, group, priority, targets } => {
            out.u32(minimum).u32(maximum).u16(policy).u16(group).u32(priority).u64(targets);
        }
        Want::Other { data, .. } => out.0.extend(data),
    }
}

/// Reads an IO_RESOURCE_REQUIREMENTS_LIST: what came back from the driver.
///
/// # Errors
/// In words, when counts and sizes do not agree.
pub fn decode_requirements(bytes: &[u8]) -> Result<Vec<Vec<Requirement>>, String> {
    let mut input = Reader { bytes, at: 0 };
    let size = input.u32()?;
    if usize::try_from(size).is_ok_and(|size| size > bytes.len()) {
        return Err(format!("the list claims {size} bytes and has {}", bytes.len()));
    }
    input.at = 0x1C;
    let alternatives = input.u32()?;
    let mut lists = Vec::new();
    for _ in 0..alternatives {
        let (version, _revision) = (input.u16()?, input.u16()?);
        if version != 1 {
            return Err(format!("version {version} of IO_RESOURCE_LIST is unknown"));
        }
        let count = input.u32()?;
        let mut list = Vec::new();
        for _ in 0..count {
            list.push(decode_requirement(&mut input)?);
        }
        lists.push(list);
    }
    Ok(lists)
}

fn decode_requirement(input: &mut Reader<'_>) -> Result<Requirement, String> {
    let (option, kind, share, _) = (input.u8()?, input.u8()?, input.u8()?, input.u8()?);
    let (flags, _) = (input.u16()?, input.u16()?);
    let want = match kind {
        TYPE_MEMORY => Want::Memory {
            length: input.u32()?,
            alignment: input.u32()?,
            minimum: input.u64()?,
            maximum: input.u64()?,
        },
        TYPE_INTERRUPT => Want::Interrupt {
            minimum: input.u32()?,
            maximum: input.u32()?,
            policy: input.u16()?,
            group: input.u16()?,
            priority: input.u32()?,
            targets: input.u64()?,
        },
        kind => Want::Other { kind, data: input.take::<24>()? },
    };
    Ok(Requirement { option, share, flags, want })
}

/// Writes an assignment as a CM_RESOURCE_LIST with one full descriptor.
pub fn encode_resources(bus: u32, list: &[Assigned]) -> Vec<u8> {
    let mut out = Bytes::default();
    out.u32(1).u32(INTERFACE_PCI).u32(bus).u16(1).u16(1).u32(u32::try_from(list.len()).unwrap_or(0));
    for assigned in list {
        let kind = match assigned.given {
            Given::Memory { .. } => TYPE_MEMORY,
            Given::Interrupt { .. } | Given::RawMessage { .. } => TYPE_INTERRUPT,
        };
        out.u8(kind).u8(assigned.share).u16(assigned.flags);
        match assigned.given {
            Given::Memory { start, length } => out.u64(start).u32(length).u32(0),
            Given::Interrupt { level, group, vector, affinity } => {
                out.u16(level).u16(group).u32(vector).u64(affinity)
            }
            Given::RawMessage { group, count, vector, affinity } => {
                out.u16(group).u16(count).u32(vector).u64(affinity)
            }
        };
    }
    out.0
}

#[derive(Default)]
struct Bytes(Vec<u8>);

impl Bytes {
    fn u8(&mut self, value: u8) -> &mut Self {
        self.0.push(value);
        self
    }
    fn u16(&mut self, value: u16) -> &mut Self {
        self.0.extend(value.to_le_bytes());
        self
    }
    fn u32(&mut self, value: u32) -> &mut Self {
        self.0.extend(value.to_le_bytes());
        self
    }
    fn u64(&mut self, value: u64) -> &mut Self {
        self.0.extend(value.to_le_bytes());
        self
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let part = self.bytes.get(self.at..self.at + N).and_then(|part| part.try_into().ok());
        self.at += N;
        part.ok_or_else(|| format!("the list ends at byte {}, inside a descriptor", self.bytes.len()))
    }
    fn u8(&mut self) -> Result<u8, String> {
        self.take::<1>().map(|[byte]| byte)
    }
    fn u16(&mut self) -> Result<u16, String> {
        self.take().map(u16::from_le_bytes)
    }
    fn u32(&mut self) -> Result<u32, String> {
        self.take().map(u32::from_le_bytes)
    }
    fn u64(&mut self) -> Result<u64, String> {
        self.take().map(u64::from_le_bytes)
    }
}
