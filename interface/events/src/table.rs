//! The table itself. One row per event; numbers are never reused.

use crate::etw::{ROOM, describe};
use crate::{
    BringUp, Entry, Field, Hex, InterruptKind, Keyword, Level, MAX_FIELDS, Misuse, Refusal, Setting, Source,
    Status, Value,
};

/// Makes [`Event`], [`EVENTS`] and the way from one to the other out of the rows below.
macro_rules! events {
    ($(
        $source:ident {
            $($id:literal $name:ident ($($field:ident: $type:ty),*) $level:ident $keyword:ident,
              $meaning:literal $(, $remedy:literal)?;)+
        }
    )+) => {
        /// Something that happened, with its values.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Event {
            $($(
                #[doc = $meaning]
                #[allow(missing_docs, reason = "the fields' names say it, and the row's meaning the rest")]
                $name { $($field: $type),* },
            )+)+
        }

        /// Every event, in the order of [`Event`]'s variants.
        pub const EVENTS: &[Entry] = &[
            $($(Entry {
                id: $id,
                name: stringify!($name),
                level: Level::$level,
                keyword: Keyword::$keyword,
                source: Source::$source,
                fields: {
                    const FIELDS: &[Field] =
                        &[$(Field { name: stringify!($field), kind: <$type as Value>::KIND }),*];
                    FIELDS
                },
                meaning: $meaning,
                remedy: concat!($($remedy)?),
                metadata: {
                    const FIELDS: &[Field] =
                        &[$(Field { name: stringify!($field), kind: <$type as Value>::KIND }),*];
                    const DESCRIPTION: &([u8; ROOM], usize) = &describe(stringify!($name), FIELDS);
                    DESCRIPTION.0.split_at(DESCRIPTION.1).0
                },
            },)+)+
        ];

        /// Position of each event in [`EVENTS`].
        #[repr(usize)]
        enum Row { $($($name,)+)+ }

        impl Event {
            /// The event's row in the table.
            pub fn entry(&self) -> &'static Entry {
                match self {
                    $($(Self::$name { .. } => const { &EVENTS[Row::$name as usize] },)+)+
                }
            }

            /// Its values in the order of the row's fields; what is behind the last field is zero.
            pub fn values(&self) -> [u64; MAX_FIELDS] {
                match *self {
                    $($(Self::$name { $($field),* } => values([$(Value::raw($field)),*]),)+)+
                }
            }
        }
    };
}

/// Fills up with zeros. An event with more than [`MAX_FIELDS`] fields does not compile.
fn values<const N: usize>(given: [u64; N]) -> [u64; MAX_FIELDS] {
    const { assert!(N <= MAX_FIELDS) };
    let mut all = [0; MAX_FIELDS];
    for (slot, value) in all.iter_mut().zip(given) {
        *slot = value;
    }
    all
}

events! {
    Netdma {
        100 InterfaceLoaded () Information Lifecycle,
            "netdma.sys was loaded and initialised";
        101 InterfaceUnloaded () Information Lifecycle,
            "netdma.sys was asked to unload and had nothing registered";
        102 UnloadRefused (providers: u64, clients: u64) Warning Lifecycle,
            "netdma.sys was asked to unload while providers or clients were registered, and stays",
            "stop the drivers that use netdma.sys first";
        103 DrainLimitIgnored (value: u64) Warning Lifecycle,
            "the registry value DrainLimitMilliseconds is out of its range and was ignored",
            "give a number of milliseconds from 100 to 60000";
        110 ProviderRegistered (provider: u64, version: Hex, channels: u64) Information Lifecycle,
            "a provider registered; version is major << 8 | minor, channels the most it will ever offer";
        111 RegistrationRefused (reason: Refusal, version: Hex, detail: u64) Error Lifecycle,
            "a provider's registration was refused",
            "the reason names the member of the characteristics table that the provider must mend";
        112 ProviderStarted (provider: u64, channels: u64, hardware: Hex) Information Lifecycle,
            "a provider can be used; hardware is major << 8 | minor of the engine";
        113 StartRefused (provider: u64, reason: Refusal, detail: Status) Error Lifecycle,
            "a provider's start was refused",
            "the reason names what is missing; the device then runs without NetDMA until its next start";
        114 RemappedMemoryRefused (provider: u64, logical: Hex, physical: Hex) Error Lifecycle,
            "DMA remapping is active for the provider's device, so the physical addresses of clients would not reach memory; the start was refused",
            "install the provider with an INF that sets RemappingSupported and DmaRemappingCompatible to 0, and restart the device";
        115 ProviderStopped (provider: u64, outstanding: u64) Information Lifecycle,
            "a provider was stopped; outstanding is the work that was completed as aborted";
        116 ProviderDeregistered (provider: u64) Information Lifecycle,
            "a provider left";
        117 DrainAborted (provider: u64, channel: u64, client: u64, outstanding: u64) Error Lifecycle,
            "a channel made no progress for the drain limit and was aborted so that stop or power-down could go on",
            "look for a halted engine (EngineError) or a suspended channel of this client";
        118 ProviderPoweredDown (provider: u64, channels: u64) Information Power,
            "a provider is about to leave D0; its channels are quiet";
        119 ProviderPoweredUp (provider: u64, channels: u64) Information Power,
            "a provider is back in D0; the next post on each channel is a start";
        120 ClientRegistered (client: u64) Information Lifecycle,
            "a client registered";
        121 ClientDeregistered (client: u64) Information Lifecycle,
            "a client left";
        130 ChannelAllocated (provider: u64, channel: u64, client: u64, processor: u64) Information Channel,
            "a client was given a channel; processor is the index at which its completions are reported";
        131 ChannelRefused (provider: u64, client: u64, status: Status) Warning Channel,
            "no channel could be given to a client",
            "free a channel, or ask for fewer descriptors";
        132 ChannelFreed (provider: u64, channel: u64, client: u64) Information Channel,
            "a client gave its channel back";
        133 ChannelHalted (provider: u64, channel: u64, completed: Hex, outstanding: u64) Error Channel,
            "a channel halted by itself; completed is the last descriptor known to be done",
            "the provider's own events name the engine's error; the client may reset the channel or copy by CPU";
        134 ChannelControlFailed (provider: u64, channel: u64, status: Status) Error Channel,
            "a provider's suspend, resume, abort or reset entry point failed",
            "reset the channel, or restart the device";
        135 ForeignCompletion (provider: u64, channel: u64, word: Hex) Error Channel,
            "a completion word named an address that is no outstanding descriptor of the ring",
            "the engine or its driver wrote wrong data: restart the device; if it returns, suspect the hardware";
        136 PostFailed (provider: u64, channel: u64, status: Status, descriptors: u64) Error Channel,
            "a provider's start or append entry point failed",
            "the interface starts the channel anew; if that fails too the channel is reset";
        140 BatchPosted (channel: u64, descriptors: u64, start: u64) Verbose Data,
            "descriptors were handed to the provider; start is 1 for a start, 0 for an append";
        150 CallRefused (misuse: Misuse, function: u64, argument: Hex) Error Misuse,
            "a caller broke the contract and got an error; function is the export's number in docs/events.md's order of exports",
            "run the caller under Driver Verifier; argument is the handle or value it passed";
    }
    Ioatdma {
        200 DeviceAdded (location: Hex, id: Hex, version: Hex, channels: u64) Information Lifecycle,
            "an engine was found; id is vendor << 16 | device, version the NetDMA version it will be registered with, major << 8 | minor";
        201 UnknownDevice (location: Hex, id: Hex) Error Lifecycle,
            "the driver was put on a device that is not in its table",
            "uninstall the driver from this device: its hardware id is not one of the INF's";
        202 IdentityRead (location: Hex, version: Hex, transfer_limit: u64, capabilities: Hex) Information Lifecycle,
            "hardware version (major << 4 | minor), largest transfer in bytes and capability bits as the engine reports them";
        203 IdentityRefused (location: Hex, expected: Hex, found: Hex) Error Lifecycle,
            "the engine reports a hardware version that does not fit its device id",
            "report the device, with both versions";
        204 BringUpFailed (location: Hex, step: BringUp, status: Status, detail: Hex) Error Lifecycle,
            "the engine could not be brought up",
            "the step names where; detail is the register, channel or byte count that was wrong";
        205 DeviceStarted (location: Hex, channels: u64) Information Lifecycle,
            "the engine is up and started with netdma.sys";
        206 DeviceRemoved (location: Hex, surprise: u64) Information Lifecycle,
            "the engine is gone; surprise is 1 when nobody asked first";
        207 RegisterDefaulted (location: Hex, channel: u64) Error Lifecycle,
            "a register of the channel read all ones: the device no longer answers",
            "the device was unplugged, lost power or hangs: rescan for hardware changes, or restart the machine";
        210 SelfTestPassed (location: Hex, channel: u64) Information Channel,
            "the channel copied between two pages and the bytes are equal";
        211 SelfTestFailed (location: Hex, channel: u64, status: Hex, errors: Hex) Error Channel,
            "the channel did not complete a copy; status and errors are CHANSTS and CHANERR",
            "the device is not offered to clients: check firmware settings and the processor's errata";
        212 EngineError (location: Hex, channel: u64, errors: Hex, completed: Hex) Error Channel,
            "the engine halted with error bits (CHANERR); completed is the last good descriptor",
            "docs/events.md names each bit; address errors mean that a client passed a wrong address";
        213 ResetTimedOut (location: Hex, channel: u64, microseconds: u64) Error Channel,
            "a channel did not finish its reset in time",
            "the channel stays out of use: restart the device";
        214 StopTimedOut (location: Hex, channel: u64, microseconds: u64) Warning Channel,
            "a suspend, abort or reset did not finish while it was waited for, and is finished in the background",
            "nothing to do; if it happens often, the engine is slow to stop: report the device";
        215 LeftoversCleared (location: Hex, channel: u64, errors: Hex, internal_errors: Hex) Warning Channel,
            "firmware or an earlier system had left the channel working or with errors (CHANERR and CHANERR_INT); it was reset",
            "nothing to do; if it happens at every start, the firmware uses the engine itself";
        216 ErrorsUnreachable (location: Hex, channel: u64) Warning Channel,
            "CHANERR_INT lies in extended configuration space, which cannot be reached here; an error in it would keep the channel halted",
            "usual in virtual machines; on a real one let the firmware offer extended configuration space (MMCONFIG)";
        217 InterruptMissing (location: Hex, channel: u64) Error Channel,
            "the self-test copied correctly, but no interrupt came",
            "check the device's interrupt resources in Device Manager, and the firmware's interrupt routing";
        218 SelfTestWrongData (location: Hex, channel: u64, offset: u64) Error Channel,
            "the channel copied wrongly; offset is the first wrong byte of the destination page",
            "the device is not offered to clients: check firmware settings and the processor's errata";
        219 CompletionRecovered (location: Hex, channel: u64, completed: Hex) Warning Channel,
            "the watchdog found a completion that no interrupt had told of, or no completion word",
            "nothing was lost but time; if it happens often, suspect the interrupt routing or the engine";
        220 InterruptsAssigned (location: Hex, kind: InterruptKind, messages: u64, channels: u64) Information Interrupt,
            "the interrupt resources that the device was given";
        221 AffinityRefused (location: Hex, channel: u64, processor: u64, status: Status) Warning Interrupt,
            "a processor asked for by the interface cannot be used for a channel's interrupt",
            "nothing to do: the interrupt arrives elsewhere, the channel reports where it was asked to";
        222 SpuriousInterrupt (location: Hex, attention: Hex) Verbose Interrupt,
            "an interrupt was raised that no channel owns up to; attention is ATTNSTATUS";
        230 EngineQuiesced (location: Hex, channels: u64, state: u64) Information Power,
            "the engine is quiet before it leaves D0; state is the target, 1 for D0 up to 5 for D3Final";
        231 EngineRestored (location: Hex, channels: u64) Information Power,
            "the engine was programmed anew after it came back to D0";
        232 SettingIgnored (location: Hex, setting: Setting, value: Hex) Warning Lifecycle,
            "a registry setting has a value that is not allowed for this engine and was ignored; value is all ones when it is no number",
            "docs/settings.md lists the values";
        233 ChannelClaimed (location: Hex, channel: u64) Warning Channel,
            "somebody else, firmware or another driver, has claimed the channel, which stays out of use",
            "nothing to do if the firmware uses the engine itself; else restart the machine";
    }
    Netdmatest {
        300 TestDeviceStarted () Information Lifecycle,
            "the test client registered with netdma.sys";
        301 TestDeviceStopped () Information Lifecycle,
            "the test client left netdma.sys";
        303 CopyFailed (channel: u64, bytes: u64, status: Status) Error Data,
            "a piece of a copy failed",
            "the status names why; the channel's and provider's events say more";
        304 ProviderNotice (code: u64, provider: u64) Information Lifecycle,
            "netdma.sys reported a provider or power event (NET_DMA_PNP_NOTIFICATION_CODE)";
        305 InterruptLost (channel: u64, found: u64) Error Interrupt,
            "completions were found by polling after a second without a callback: their interrupt never came",
            "the engine's interrupt does not arrive: see InterruptsAssigned of ioatdma, and the machine's message routing";
        306 NoProgress (channel: u64, outstanding: u64) Error Channel,
            "nothing was completed for a second, not even by polling; the channel is aborted, the second time reset",
            "the engine hangs: look for EngineError and ResetTimedOut of ioatdma";
    }
}
