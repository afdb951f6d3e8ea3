//! What a provider must bring to be registered (spec 3.2) and to be started (spec 3.5). Every refusal has a name that
//! tells the provider's author what to mend.

use netdma_abi::provider::{
    CHARACTERISTICS_DCA_SUPPORTED, LEAST_MAXIMUM_TRANSFER_SIZE, PROVIDER_SUPPORTS_PROC_GROUPS,
    SIZEOF_CHARACTERISTICS_1_0,
};
use netdma_abi::{ProviderAttributes, ProviderCharacteristics, UnicodeString, Version};
use netdma_events::Refusal;

/// How lists end and how they grow (spec 3.10, 3.11, 3.22).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Below 2.0: a list ends at a zero link; an append first writes the link of the old tail.
    NullTerminated,
    /// From 2.0: the count ends a list; links are always valid and never rewritten.
    Counted,
}

impl Dialect {
    /// The dialect of a registered version.
    #[must_use]
    pub fn of(version: Version) -> Self {
        if version < Version::V2_0 { Self::NullTerminated } else { Self::Counted }
    }
}

/// The highest version this interface serves, and what `NetDmaGetVersion` answers (R15).
pub const INTERFACE_VERSION: Version = Version::V2_1;

/// Most channels of one provider that the interface keeps count of. Our choice: the engines served have at most 16.
pub const MAX_CHANNELS_PER_PROVIDER: u32 = 64;

/// A refused registration or start, with the number that was wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// Why.
    pub reason: Refusal,
    /// The offending value, in the unit of its field, for the log.
    pub detail: u64,
}

impl Refused {
    const fn new(reason: Refusal, detail: u64) -> Self {
        Self { reason, detail }
    }
}

/// Bytes of the characteristics that may be read, by the version and size in their first four bytes: a 1.x table may
/// end before the friendly name (R41, Q3). Larger sizes are accepted, the excess ignored.
///
/// # Errors
/// The version is unknown, or the size below what it demands.
pub fn readable_size(version: Version, size: u16) -> Result<usize, Refused> {
    if ![Version::V1_0, Version::V1_1, Version::V2_0, Version::V2_1].contains(&version) {
        return Err(Refused::new(Refusal::BadVersion, version.0.into()));
    }
    let least = match Dialect::of(version) {
        Dialect::NullTerminated => SIZEOF_CHARACTERISTICS_1_0,
        Dialect::Counted => size_of::<ProviderCharacteristics>(),
    };
    match usize::from(size) {
        size if size < least => Err(Refused::new(Refusal::BadSize, size as u64)),
        size => Ok(size.min(size_of::<ProviderCharacteristics>())),
    }
}

/// Checks a table whose first [`readable_size`] bytes were copied, the rest zero (R20, R37, R284).
///
/// The name's text is not looked at here: only whether there should be one and its counts make sense.
///
/// # Errors
/// The member that is wrong, by reason and value.
pub fn check_characteristics(table: &ProviderCharacteristics) -> Result<(), Refused> {
    let version = table.version();
    readable_size(version, table.size)?;
    if table.physical_device_object.is_null() {
        return Err(Refused::new(Refusal::BadPointer, 0));
    }
    let known_flags = match version {
        version if version < Version::V2_0 => 0,
        Version::V2_0 => CHARACTERISTICS_DCA_SUPPORTED,
        _ => CHARACTERISTICS_DCA_SUPPORTED | PROVIDER_SUPPORTS_PROC_GROUPS,
    };
    if table.flags & !known_flags != 0 {
        return Err(Refused::new(Refusal::BadFlags, table.flags.into()));
    }
    if table.max_dma_channel_count == 0 || table.max_dma_channel_count > MAX_CHANNELS_PER_PROVIDER {
        return Err(Refused::new(Refusal::BadChannelCount, table.max_dma_channel_count.into()));
    }
    let mandatory = [
        table.allocate_dma_channel.is_some(),
        table.free_dma_channel.is_some(),
        table.start_dma.is_some(),
        table.append_dma.is_some(),
    ];
    if let Some(missing) = mandatory.iter().position(|present| !present) {
        return Err(Refused::new(Refusal::MissingEntryPoint, missing as u64));
    }
    if table.suspend_dma.is_some() && table.resume_dma.is_none() {
        return Err(Refused::new(Refusal::UnpairedEntryPoint, 0));
    }
    if Dialect::of(version) == Dialect::Counted {
        check_name(&table.friendly_name)?;
    }
    Ok(())
}

/// The counts of a mandatory name (R31, R284).
fn check_name(name: &UnicodeString) -> Result<(), Refused> {
    let refused = Refused::new(Refusal::BadName, name.length.into());
    if name.length == 0
        || !name.length.is_multiple_of(2)
        || name.length > name.maximum_length
        || name.buffer.is_null()
    {
        return Err(refused);
    }
    Ok(())
}

/// What a started provider can do; the latest start counts (R66).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Channels that may be allocated: the lesser of reported and registered (R68).
    pub channels: u32,
    /// Bytes per descriptor.
    pub maximum_transfer_size: u32,
    /// Largest physical address the engine reaches.
    pub maximum_address: u64,
    /// PCI vendor id.
    pub vendor_id: u32,
    /// Hardware version, major << 16 | minor.
    pub hardware_version: u32,
}

impl Limits {
    /// Before the first start: nothing.
    pub const NONE: Self =
        Self { channels: 0, maximum_transfer_size: 0, maximum_address: 0, vendor_id: 0, hardware_version: 0 };

    /// Checks the attributes of a start (R67). `flags` may only hold the bit that the oldest header defined (Q6).
    ///
    /// # Errors
    /// The attribute that is out of its range, by reason and value.
    pub fn check(attributes: &ProviderAttributes, registered_channels: u32) -> Result<Self, Refused> {
        if usize::from(attributes.size) < size_of::<ProviderAttributes>() {
            return Err(Refused::new(Refusal::BadSize, attributes.size.into()));
        }
        if attributes.flags & !netdma_abi::provider::ATTRIBUTES_DCA_SUPPORTED != 0 {
            return Err(Refused::new(Refusal::BadFlags, attributes.flags.into()));
        }
        if attributes.dma_channel_count == 0 {
            return Err(Refused::new(Refusal::BadChannelCount, 0));
        }
        if attributes.maximum_transfer_size < LEAST_MAXIMUM_TRANSFER_SIZE {
            return Err(Refused::new(Refusal::BadAttributes, attributes.maximum_transfer_size.into()));
        }
        if attributes.maximum_address_space.0 == 0 {
            return Err(Refused::new(Refusal::BadAttributes, 0));
        }
        Ok(Self {
            channels: attributes.dma_channel_count.min(registered_channels),
            maximum_transfer_size: attributes.maximum_transfer_size,
            maximum_address: attributes.maximum_address_space.0,
            vendor_id: attributes.vendor_id,
            hardware_version: u32::from(attributes.major_hw_version) << 16
                | u32::from(attributes.minor_hw_version),
        })
    }
}
