//! Enumerations that events carry: why something was refused, which step failed.

use crate::{Kind, Name, Value};

/// Declares an enumeration whose values have names and meanings that a trace reader is shown.
macro_rules! names {
    ($(#[$doc:meta])* $type:ident { $($variant:ident = $value:literal: $meaning:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u64)]
        pub enum $type {
            $(#[doc = $meaning] $variant = $value,)+
        }

        impl $type {
            /// Every value with its name and meaning.
            pub const NAMES: &'static [Name] = &[
                $(Name { value: $value, name: stringify!($variant), meaning: $meaning },)+
            ];
        }

        impl Value for $type {
            const KIND: Kind = Kind::Named(Self::NAMES);
            fn raw(self) -> u64 {
                self as u64
            }
        }
    };
}

names! {
    /// Why netdma.sys refused a provider's registration or start.
    Refusal {
        BadPointer = 1: "a pointer that must be given is null",
        BadVersion = 2: "the NetDMA version is none of 1.0, 1.1, 2.0, 2.1",
        BadFlags = 3: "a flag is set that this version does not define",
        BadName = 4: "the friendly name is missing, empty or malformed",
        MissingEntryPoint = 5: "a mandatory entry point is null",
        UnpairedEntryPoint = 6: "suspend without resume, or resume without suspend",
        BadChannelCount = 7: "the channel count is zero or above what was registered",
        BadAttributes = 8: "an attribute is out of its range",
        NoMemory = 9: "memory ran out",
        NoAdapter = 10: "Windows gave no DMA adapter for the device",
        RemappedMemory = 11: "DMA remapping is active for the device",
        AlreadyRegistered = 12: "the device is registered already",
        WrongState = 13: "the call does not fit the provider's state",
        TooManyProviders = 14: "the table of providers is full",
        BadSize = 15: "the structure's size is smaller than its version demands",
    }
}

names! {
    /// How a caller broke the contract.
    Misuse {
        BadHandle = 1: "the handle is stale, foreign, or was never given",
        WrongIrql = 2: "the call was made at an IRQL at which it is not allowed",
        WrongState = 3: "the call does not fit the object's state",
        CallFromProvider = 4: "a provider called the interface from within its own entry point",
        UnexpectedDpc = 5: "an interrupt was reported for a channel that is not allocated",
        BadNotification = 6: "the notification code or revision is unknown",
        CallFromCallback = 7: "a blocking call was made from within a callback",
    }
}

names! {
    /// The steps by which ioatdma.sys brings an engine up.
    BringUp {
        ReadIdentity = 1: "read the hardware version and channel count",
        MapRegisters = 2: "map the register window",
        QueryBus = 3: "query the PCI bus interface",
        Quiesce = 4: "stop whatever firmware or an earlier system left running",
        ClearErrors = 5: "clear the error registers",
        Reset = 6: "reset the channel",
        Program = 7: "program channel control and interrupt registers",
        SelfTest = 8: "copy between two pages and compare",
        CreateInterrupts = 9: "create the interrupt objects",
        Register = 10: "register with netdma.sys",
        Start = 11: "start with netdma.sys",
        Publish = 12: "offer the device to user mode",
        Claim = 13: "claim a channel that nobody else uses",
    }
}

names! {
    /// The registry values of a device that ioatdma.sys drives.
    Setting {
        InterruptKind = 1: "InterruptKind",
        NetDmaVersion = 2: "NetDmaVersion",
        InterruptDelay = 3: "InterruptDelayMicroseconds",
        Watchdog = 4: "WatchdogMilliseconds",
        SelfTest = 5: "SelfTest",
    }
}

names! {
    /// The kind of interrupt a device was given.
    InterruptKind {
        None = 0: "none: completions are found by polling",
        Line = 1: "a shared line",
        Msi = 2: "message signalled, one message or several of one block",
        MsiX = 3: "message signalled, with a table",
    }
}
