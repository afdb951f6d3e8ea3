//! Events as ETW TraceLogging.
//!
//! Each image has one [`Provider`] in a static and hands every event to it, at any IRQL. A provider that is not
//! registered, or that nobody listens to, costs one load and one compare.
//!
//! The encoding is that of the `tracelogging` crate and of TraceLoggingProvider.h: an event carries its own description,
//! so a trace is read without a manifest. The descriptions come out of the table in `netdma-events`, ready made. The
//! crate itself is not used because its registration keeps two panics in the image (no-panic-path), changes what
//! concurrent writers read through a `&mut`, and knows an event by the place it is written at, while ours is data that the
//! portable crates hand over.

use core::ffi::c_void;
use core::fmt;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};

use netdma_events::{Entry, Event, Sink};
use wdk_sys::ntddk::{EtwRegister, EtwSetInformation, EtwUnregister, EtwWriteTransfer};
use wdk_sys::{
    _EVENT_INFO_CLASS, EVENT_DATA_DESCRIPTOR, EVENT_DESCRIPTOR, EVENT_FILTER_DESCRIPTOR, GUID, LPCGUID,
    REGHANDLE, UCHAR, ULONG, ULONGLONG,
};

use crate::irql::Passive;

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

/// One image's ETW provider. Stands in a static.
pub struct Provider {
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

impl Provider {
    /// A provider that is not registered. `metadata` comes from [`provider_metadata`].
    #[must_use]
    pub const fn new(id: GUID, metadata: &'static [u8]) -> Self {
        Self {
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
            $crate::trace::Provider::new($id, METADATA)
        };
    };
}
