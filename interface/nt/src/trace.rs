//! Events as ETW TraceLogging.
//!
//! Each image has one [`Provider`] in a static and hands every event to it, at any IRQL. Two things become of an event:
//!
//! * unless it is verbose it is kept in the image's [`History`], whether anybody listens or not. The debugger finds the
//!   history in the provider, and a crash dump holds it as secondary data under the provider's id;
//! * if a trace session listens, it is written to ETW. A verbose event to which nobody listens costs a load and a compare.
//!
//! The encoding is that of the `tracelogging` crate and of TraceLoggingProvider.h: an event carries its own description,
//! so a trace is read without a manifest. The descriptions come out of the table in `netdma-events`, ready made. The
//! crate itself is not used because its registration keeps two panics in the image (no-panic-path), changes what
//! concurrent writers read through a `&mut`, and knows an event by the place it is written at, while ours is data that the
//! portable crates hand over.

use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::fmt;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};

use netdma_events::history::{History, Moment};
use netdma_events::{Entry, Event, Level, Sink};
use wdk_sys::ntddk::{
    EtwRegister, EtwSetInformation, EtwUnregister, EtwWriteTransfer, KeDeregisterBugCheckReasonCallback,
    KeGetCurrentProcessorNumberEx, KeRegisterBugCheckReasonCallback,
};
use wdk_sys::{
    _EVENT_INFO_CLASS, _KBUGCHECK_CALLBACK_REASON, EVENT_DATA_DESCRIPTOR, EVENT_DESCRIPTOR,
    EVENT_FILTER_DESCRIPTOR, GUID, KBUGCHECK_REASON_CALLBACK_RECORD, KBUGCHECK_SECONDARY_DUMP_DATA, LPCGUID,
    REGHANDLE, UCHAR, ULONG, ULONGLONG,
};

use crate::irql::{self, Passive};
use crate::thread;
use crate::time::Instant;

/// WINEVENT_CHANNEL_TRACELOGGING of winmeta.h: marks events that carry their description.
const CHANNEL_TRACELOGGING: UCHAR = 11;
/// EVENT_DATA_DESCRIPTOR_TYPE_EVENT_METADATA of evntprov.h.
const TYPE_EVENT_METADATA: ULONG = 1;
/// EVENT_DATA_DESCRIPTOR_TYPE_PROVIDER_METADATA of evntprov.h.
const TYPE_PROVIDER_METADATA: ULONG = 2;
/// EVENT_CONTROL_CODE_DISABLE_PROVIDER and _ENABLE_PROVIDER of evntprov.h.
const DISABLE: ULONG = 0;
const ENABLE: ULONG = 1;
/// Below every level: nobody listens.
const NOBODY: i32 = -1;

/// One image's events. Stands in a static, which [`trace_provider!`](crate::trace_provider) declares.
pub struct Provider {
    /// The last events. A static of its own, because it is all zeroes and then takes no room in the image file.
    history: &'static History,
    /// What the system is given to put the history into crash dumps.
    dump: UnsafeCell<KBUGCHECK_REASON_CALLBACK_RECORD>,
    id: GUID,
    /// Size (u16), name and terminating zero: see [`provider_metadata`].
    metadata: &'static [u8],
    /// From the first call of `register` on.
    claimed: AtomicBool,
    /// What EtwRegister gave; 0 = not registered.
    handle: AtomicU64,
    /// Highest level somebody listens to, or [`NOBODY`].
    level: AtomicI32,
    any_keyword: AtomicU64,
    all_keywords: AtomicU64,
}

// SAFETY: `dump` is touched by the system only, between registering and deregistering, which `claimed` makes happen once
// each; all else is atomic or read only.
unsafe impl Sync for Provider {}

impl Provider {
    /// A provider that is not registered. `metadata` comes from [`provider_metadata`].
    #[must_use]
    pub const fn new(id: GUID, metadata: &'static [u8], history: &'static History) -> Self {
        // SAFETY: a record of zeroes is what KeInitializeCallbackRecord makes: its state is BufferEmpty.
        let dump = unsafe { core::mem::zeroed() };
        Self {
            history,
            dump: UnsafeCell::new(dump),
            id,
            metadata,
            claimed: AtomicBool::new(false),
            handle: AtomicU64::new(0),
            level: AtomicI32::new(NOBODY),
            any_keyword: AtomicU64::new(0),
            all_keywords: AtomicU64::new(0),
        }
    }

    /// Registers with ETW. Any call but the first does nothing, so whoever comes first may call it.
    ///
    /// An image that registered must [`unregister`](Self::unregister) before it is unloaded. If ETW refuses, events are
    /// dropped and the driver runs without them.
    pub fn register(&'static self, _irql: &Passive) {
        if self.claimed.swap(true, Ordering::AcqRel) {
            return;
        }
        // SAFETY: the record is part of a static, registered once until `unregister`; so are routine and component name,
        // which the system reads. If it is refused, dumps are without the history.
        let _registered = unsafe {
            KeRegisterBugCheckReasonCallback(
                self.dump.get(),
                Some(fill_dump),
                _KBUGCHECK_CALLBACK_REASON::KbCallbackSecondaryDumpData,
                COMPONENT.as_ptr().cast_mut().cast(),
            )
        };
        let mut handle: REGHANDLE = 0;
        let context = ptr::from_ref(self).cast_mut().cast::<c_void>();
        // SAFETY: the id and the context are part of a static, the handle is a local, and the token gives the level the
        // function demands. The callback stays callable until `unregister`.
        let status = unsafe { EtwRegister(&raw const self.id, Some(enabled), context, &mut handle) };
        if status < 0 {
            return;
        }
        // SAFETY: the handle is registered; the function reads the metadata.
        let _named = unsafe {
            EtwSetInformation(
                handle,
                _EVENT_INFO_CLASS::EventProviderSetTraits,
                self.metadata.as_ptr().cast_mut().cast(),
                self.metadata.len() as ULONG,
            )
        };
        self.handle.store(handle, Ordering::Release);
    }

    /// Unregisters, if registered; returns when the callback cannot run any more. A later `register` works again.
    ///
    /// Called when nothing else of the image runs, at its unload: ETW does not expect events of a provider that is gone.
    pub fn unregister(&self, _irql: &Passive) {
        let handle = self.handle.swap(0, Ordering::AcqRel);
        if handle != 0 {
            // SAFETY: the handle came from EtwRegister, and the swap makes this the only call for it.
            let _status = unsafe { EtwUnregister(handle) };
        }
        if self.claimed.load(Ordering::Acquire) {
            // SAFETY: the record is the one that `register` gave, or was refused with, which is then refused here.
            let _deregistered = unsafe { KeDeregisterBugCheckReasonCallback(self.dump.get()) };
        }
        self.level.store(NOBODY, Ordering::Relaxed);
        self.claimed.store(false, Ordering::Release);
    }

    /// Whether somebody listens to events of this kind. A hint: ETW filters again.
    #[inline]
    fn is_wanted(&self, entry: &Entry) -> bool {
        let keyword = entry.keyword as u64;
        let all = self.all_keywords.load(Ordering::Relaxed);
        i32::from(entry.level as u8) <= self.level.load(Ordering::Relaxed)
            && keyword & self.any_keyword.load(Ordering::Relaxed) != 0
            && keyword & all == all
    }

    fn send(&self, entry: &Entry, values: &[u64]) {
        let handle = self.handle.load(Ordering::Acquire);
        if handle == 0 {
            // ETW has told who listens, but `register` has not returned yet.
            return;
        }
        let descriptor = EVENT_DESCRIPTOR {
            Id: entry.id,
            Version: 0,
            Channel: CHANNEL_TRACELOGGING,
            Level: entry.level as UCHAR,
            Opcode: 0,
            Task: 0,
            Keyword: entry.keyword as ULONGLONG,
        };
        let mut data = [
            part(self.metadata, TYPE_PROVIDER_METADATA),
            part(entry.metadata, TYPE_EVENT_METADATA),
            part(values.get(..entry.fields.len()).unwrap_or(values), 0),
        ];
        // SAFETY: descriptor and data are locals that describe live memory; the handle is registered until `unregister`,
        // which comes after the last event; any level is allowed.
        let _status = unsafe {
            EtwWriteTransfer(
                handle,
                &descriptor,
                ptr::null(),
                ptr::null(),
                data.len() as ULONG,
                data.as_mut_ptr(),
            )
        };
    }
}

impl Sink for Provider {
    #[inline]
    fn write(&self, event: Event) {
        let entry = event.entry();
        if entry.level != Level::Verbose {
            self.history.keep(event, here());
        }
        if self.is_wanted(entry) {
            self.send(entry, &event.values());
        }
    }
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Provider {{ handle: {:#x} }}", self.handle.load(Ordering::Relaxed))
    }
}

/// Name under which the system lists the dump callback.
const COMPONENT: &core::ffi::CStr = c"NetDMA";

/// Where and when this runs. Any IRQL.
fn here() -> Moment {
    // SAFETY: null is allowed: group and number are not wanted. Any level is allowed.
    let processor = unsafe { KeGetCurrentProcessorNumberEx(ptr::null_mut()) };
    Moment {
        time: Instant::now().ticks(),
        processor,
        irql: irql::current(),
        thread: thread::current() as u64,
    }
}

/// The system is writing a crash dump and asks what to add (KBUGCHECK_REASON_CALLBACK_ROUTINE). HIGH_LEVEL, one processor.
unsafe extern "C" fn fill_dump(
    _reason: wdk_sys::KBUGCHECK_CALLBACK_REASON,
    record: *mut KBUGCHECK_REASON_CALLBACK_RECORD,
    data: *mut c_void,
    length: ULONG,
) {
    if (length as usize) < size_of::<KBUGCHECK_SECONDARY_DUMP_DATA>() {
        return;
    }
    // SAFETY: the record is a member of the static that `register` gave.
    let provider = unsafe { record.byte_sub(core::mem::offset_of!(Provider, dump)) }.cast::<Provider>();
    // SAFETY: as above.
    let provider = unsafe { &*provider };
    // SAFETY: for this reason the system passes this structure, of the length that was checked.
    let data = unsafe { &mut *data.cast::<KBUGCHECK_SECONDARY_DUMP_DATA>() };
    let bytes = size_of::<History>() as ULONG;
    if data.MaximumAllowed < bytes {
        return;
    }
    data.Guid = provider.id;
    data.OutBuffer = ptr::from_ref(provider.history).cast_mut().cast();
    data.OutBufferLength = bytes;
}

/// Describes the memory of `values` to ETW.
fn part<T>(values: &[T], kind: ULONG) -> EVENT_DATA_DESCRIPTOR {
    let mut part = EVENT_DATA_DESCRIPTOR {
        Ptr: values.as_ptr().addr() as ULONGLONG,
        Size: size_of_val(values) as ULONG,
        ..EVENT_DATA_DESCRIPTOR::default()
    };
    part.__bindgen_anon_1.Reserved = kind;
    part
}

/// ETW tells who listens to what.
unsafe extern "C" fn enabled(
    _source: LPCGUID,
    control: ULONG,
    level: UCHAR,
    any_keyword: ULONGLONG,
    all_keywords: ULONGLONG,
    _filter: *mut EVENT_FILTER_DESCRIPTOR,
    provider: *mut c_void,
) {
    // SAFETY: `register` passed this static.
    let provider = unsafe { &*provider.cast::<Provider>() };
    match control {
        DISABLE => provider.level.store(NOBODY, Ordering::Relaxed),
        ENABLE => {
            // No keyword asked for means every keyword (EnableTraceEx2, MatchAnyKeyword).
            let any_keyword = if any_keyword == 0 { u64::MAX } else { any_keyword };
            provider.any_keyword.store(any_keyword, Ordering::Relaxed);
            provider.all_keywords.store(all_keywords, Ordering::Relaxed);
            // Level 0 means every level (EnableTraceEx2, Level).
            let level = if level == 0 { UCHAR::MAX } else { level };
            provider.level.store(level.into(), Ordering::Relaxed);
        }
        _ => {}
    }
}

/// A provider's description for ETW: size, `name`, terminating zero. `N` is the name's length plus 3.
#[must_use]
pub const fn provider_metadata<const N: usize>(name: &str) -> [u8; N] {
    let mut bytes = [0; N];
    let name = name.as_bytes();
    assert!(N == name.len() + 3 && N <= u16::MAX as usize);
    let size = (N as u16).to_le_bytes();
    bytes[0] = size[0];
    bytes[1] = size[1];
    let mut index = 0;
    while index < name.len() {
        bytes[index + 2] = name[index];
        index += 1;
    }
    bytes
}

/// Declares an image's provider: `trace_provider!(TRACE, "NetDMA.Interface", GUID { .. });`
#[macro_export]
macro_rules! trace_provider {
    ($(#[$doc:meta])* $name:ident, $text:literal, $id:expr) => {
        $(#[$doc])*
        pub static $name: $crate::trace::Provider = {
            const METADATA: &[u8] = &$crate::trace::provider_metadata::<{ $text.len() + 3 }>($text);
            static HISTORY: $crate::events::history::History = $crate::events::history::History::new();
            $crate::trace::Provider::new($id, METADATA, &HISTORY)
        };
    };
}
