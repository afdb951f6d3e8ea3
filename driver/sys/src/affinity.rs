//! Which processor a channel reports on (R89 to R92, R103, R105).

use netdma_abi::Version;
use nt::processor::{self, Number};

/// The processors a channel's DPC may run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allowed {
    /// All of them: an empty mask (R105).
    Any,
    /// Those of one group.
    Of {
        /// The group.
        group: u16,
        /// Bit n: processor n of the group.
        mask: u64,
    },
}

impl Allowed {
    /// What an allocation asks for. `extended` is the group and mask of a revision 2 structure; providers below 2.1
    /// know only `plain`, which is group 0 (R103, R104).
    pub fn from_parameters(registered: Version, plain: u32, extended: Option<(u16, u64)>) -> Self {
        let (group, mask) = match extended {
            Some(extended) if registered >= Version::V2_1 => extended,
            _ => (0, plain.into()),
        };
        if mask == 0 { Self::Any } else { Self::Of { group, mask } }
    }

    /// Whether `processor` is one of them.
    pub fn contains(self, processor: Number) -> bool {
        match self {
            Self::Any => true,
            Self::Of { group, mask } => {
                processor.group == group && mask.checked_shr(processor.number.into()).unwrap_or(0) & 1 != 0
            }
        }
    }

    /// The lowest one that is active; `None` when none of them is.
    pub fn lowest(self) -> Option<Number> {
        let (group, mask) = match self {
            Self::Any => (0, u64::MAX),
            Self::Of { group, mask } => (group, mask),
        };
        let active = mask & processor::group_mask(group);
        (active != 0).then(|| Number { group, number: active.trailing_zeros() as u8 })
    }
}
