//! Which provider a client gets a channel from, and which processors are asked for.

use netdma_abi::provider::PROVIDER_SUPPORTS_PROC_GROUPS;
use netdma_abi::{CpuAffinity, GroupAffinity};

/// A started provider, as far as the choice goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// Its id.
    pub id: u32,
    /// Channels not allocated.
    pub free_channels: u32,
}

/// The provider to take a channel from: `wanted`, or for 0 the one with most free channels, so that clients spread over
/// the engines; among equals the first.
#[must_use]
pub fn choose_provider(candidates: impl Iterator<Item = Candidate>, wanted: u32) -> Option<u32> {
    candidates
        .filter(|candidate| candidate.free_channels > 0 && (wanted == 0 || candidate.id == wanted))
        .reduce(|best, candidate| if candidate.free_channels > best.free_channels { candidate } else { best })
        .map(|candidate| candidate.id)
}

/// The processors named to a provider: processor groups other than 0 only for providers that know them, any processor
/// instead of one they could not reach (Q13).
#[must_use]
pub fn processors_for(provider_flags: u32, wanted: GroupAffinity) -> GroupAffinity {
    if wanted.group != 0 && provider_flags & PROVIDER_SUPPORTS_PROC_GROUPS == 0 {
        return GroupAffinity::default();
    }
    GroupAffinity { reserved: [0; 3], ..wanted }
}

/// The mask for providers that read only `ProcessorAffinityMask`: the first 32 processors of group 0 (R104).
#[must_use]
pub fn legacy_mask(processors: GroupAffinity) -> u32 {
    if processors.group == 0 { processors.mask as u32 } else { 0 }
}

/// Fills the message affinities of a provider's channels (R44, R45): one processor after the other, beginning at `first`
/// so that the engines of a machine do not all begin at processor 0.
pub fn spread_affinities(affinities: &mut [CpuAffinity], first: u32, processors: u32) {
    let processors = processors.max(1);
    let mut cpu = first.checked_rem(processors).unwrap_or(0);
    for (channel, affinity) in (0..).zip(affinities) {
        *affinity = CpuAffinity { dma_channel: channel, cpu_number: cpu };
        cpu = if cpu.wrapping_add(1) == processors { 0 } else { cpu.wrapping_add(1) };
    }
}
