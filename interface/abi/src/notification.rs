//! PnP and power notices (spec 2.7, 2.8).

use crate::Context;

/// `NET_DMA_PNP_NOTIFICATION_REVISION_1`, the only revision.
#[doc(alias = "NET_DMA_PNP_NOTIFICATION_REVISION_1")]
pub const PNP_NOTIFICATION_REVISION_1: u32 = 1;

/// `NET_DMA_PNP_NOTIFICATION_CODE`: values of the headers and of D24.
#[doc(alias = "NET_DMA_PNP_NOTIFICATION_CODE")]
#[repr(u32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NotificationCode {
    /// `NetDmaNotificationProviderRegistered`, interface to clients: a provider registered.
    #[doc(alias = "NetDmaNotificationProviderRegistered")]
    ProviderRegistered = 1,
    /// `NetDmaNotificationProviderArrival`, interface to clients: a provider can be used.
    #[doc(alias = "NetDmaNotificationProviderArrival")]
    ProviderArrival = 2,
    /// `NetDmaNotificationProviderRemoval`, interface to clients, before its channels are freed (Q16).
    #[doc(alias = "NetDmaNotificationProviderRemoval")]
    ProviderRemoval = 3,
    /// `NetDmaNotificationChannelArrival`, interface to clients: a channel became available.
    #[doc(alias = "NetDmaNotificationChannelArrival")]
    ChannelArrival = 4,
    /// `NetDmaNotificationProviderPowerDown`, provider to interface, relayed to clients: about to leave D0.
    #[doc(alias = "NetDmaNotificationProviderPowerDown")]
    ProviderPowerDown = 5,
    /// `NetDmaNotificationProviderPowerUp`, provider to interface, relayed to clients: back in D0.
    #[doc(alias = "NetDmaNotificationProviderPowerUp")]
    ProviderPowerUp = 6,
}

/// `NetDmaNotificationMax`: exclusive bound of the code's values (Q17).
#[doc(alias = "NetDmaNotificationMax")]
pub const NOTIFICATION_MAX: u32 = 7;

impl NotificationCode {
    /// The code of a raw value, `None` outside 1..=6.
    #[must_use]
    pub const fn from_raw(value: u32) -> Option<Self> {
        match value {
            1 => Some(Self::ProviderRegistered),
            2 => Some(Self::ProviderArrival),
            3 => Some(Self::ProviderRemoval),
            4 => Some(Self::ChannelArrival),
            5 => Some(Self::ProviderPowerDown),
            6 => Some(Self::ProviderPowerUp),
            _ => None,
        }
    }
}

/// `NET_DMA_PNP_NOTIFICATION`: what a provider passes to `NetDmaPnPEventNotify` (D23).
#[doc(alias = "NET_DMA_PNP_NOTIFICATION")]
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct PnpNotification {
    /// `StructureRevision`: the revision, [`PNP_NOTIFICATION_REVISION_1`].
    pub structure_revision: u32,
    /// `StructureSize`: bytes of this structure, without what `buffer` points to.
    pub structure_size: u32,
    /// `NotificationCode`: raw value of a [`NotificationCode`]; the caller may have written anything.
    pub notification_code: u32,
    /// `Buffer`: null for the two power codes.
    pub buffer: Context,
    /// `BufferLength`, in bytes: 0 for the two power codes.
    pub buffer_length: u32,
}
assert_layout!(PnpNotification: size 0x20, align 8, {
    structure_revision @ 0x00,
    structure_size @ 0x04,
    notification_code @ 0x08,
    buffer @ 0x10,
    buffer_length @ 0x18,
});

impl PnpNotification {
    /// A power notice as D23 wants it filled (R215, R216).
    #[must_use]
    pub const fn power(code: NotificationCode) -> Self {
        Self {
            structure_revision: PNP_NOTIFICATION_REVISION_1,
            structure_size: size_of::<Self>() as u32,
            notification_code: code as u32,
            buffer: core::ptr::null_mut(),
            buffer_length: 0,
        }
    }
}
