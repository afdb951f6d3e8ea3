//! System threads, object references and handles.

use std::sync::atomic::Ordering;

use super::status::{INVALID_HANDLE, INVALID_PARAMETER, SUCCESS};
use crate::cpu::thread::Yield;
use crate::export::{ANY, DISPATCH, PASSIVE};
use crate::kernel::Kernel;

/// The first kernel handle; the next ones are four apart. Kernel handles have the top bits set.
const FIRST_HANDLE: u64 = 0xFFFF_FFFF_8000_0004;

/// What a handle means.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Handle {
    object: u64,
    made_by: u64,
}

impl Kernel {
    /// Makes a handle for an object and takes a reference for it.
    pub fn make_handle(&self, object: u64) -> u64 {
        self.reference_object(object);
        let entry = Handle { object, made_by: self.caller_address() };
        self.services.handles.with(|handles| {
            let handle = handles.last_key_value().map_or(FIRST_HANDLE, |(last, _)| last + 4);
            handles.insert(handle, entry);
            handle
        })
    }

    /// The object a handle means.
    #[must_use]
    pub fn object_of_handle(&self, handle: u64) -> Option<u64> {
        self.services.handles.with(|handles| handles.get(&handle).map(|entry| entry.object))
    }

    /// Closes a handle; `None` when there is no such handle, else the status for who asked.
    pub fn close_handle(&self, handle: u64) -> Option<i32> {
        let entry = self.services.handles.with(|handles| handles.remove(&handle))?;
        self.dereference_object(entry.object);
        Some(SUCCESS)
    }

    /// Handles that code in an image has got and not closed.
    pub(crate) fn handles_of(&self, image: impl Fn(u64) -> bool) -> Vec<String> {
        let left = |handles: &mut std::collections::BTreeMap<u64, Handle>| -> Vec<(u64, Handle)> {
            handles
                .iter()
                .filter(|(_, entry)| image(entry.made_by))
                .map(|(&handle, &entry)| (handle, entry))
                .collect()
        };
        let left = self.services.handles.with(left);
        left.iter()
            .map(|(handle, entry)| format!("handle {handle:#x} from {}", self.symbol(entry.made_by)))
            .collect()
    }
}

crate::export::exports! {
    module "ntoskrnl.exe";

    /// Starts a system thread.
    fn PsCreateSystemThread(k; handle: u64, access: u32, attributes: u64, process: u64, client: u64, routine: u64, context: u64) -> i32 [PASSIVE, "Learn, PsCreateSystemThread"] {
        if k.allocation_fails() {
            return crate::io::layout::status::INSUFFICIENT_RESOURCES;
        }
        let _ = (access, attributes, process);
        let by = k.caller_address();
        let name = format!("system thread {}", k.symbol(routine));
        let id = k.spawn(name, 0, Box::new(move |k| {
            k.call("system thread", routine, &[context]);
        }));
        let thread = k.thread(id);
        thread.made_by.store(by, Ordering::Relaxed);
        thread.routine.store(routine, Ordering::Relaxed);
        if client != 0 {
            k.write(client, [4u64, u64::from(id.0) * 4 + 4]);
        }
        k.write(handle, k.make_handle(thread.object));
        SUCCESS
    }

    /// Ends the calling thread.
    fn PsTerminateSystemThread(k; status: i32) -> i32 [PASSIVE, "Learn, PsTerminateSystemThread"] {
        let thread = k.current_thread();
        if thread.routine.load(Ordering::Relaxed) == 0 {
            return INVALID_PARAMETER;
        }
        let _ = status;
        k.finish_thread(&thread);
        loop {
            // The fiber is not resumed: the scheduler has seen that the thread has ended.
            thread.suspend(Yield::Finished);
        }
    }

    /// The identifier of the thread that runs.
    pure fn PsGetCurrentThreadId(k;) -> u64 [ANY, "Learn, PsGetCurrentThreadId"] {
        u64::from(k.current_thread_id()) * 4 + 4
    }

    /// One more reference to an object; returns the new count.
    pure fn ObfReferenceObject(k; object: u64) -> i64 [DISPATCH, "Learn, ObfReferenceObject"] {
        k.reference_object(object)
    }

    /// One reference less; returns the new count.
    fn ObfDereferenceObject(k; object: u64) -> i64 [DISPATCH, "Learn, ObDereferenceObject"] {
        k.dereference_object(object)
    }

    /// One reference less, at a later time where the last one may go.
    fn ObDereferenceObjectDeferDelete(k; object: u64) [DISPATCH, "Learn, ObDereferenceObjectDeferDelete"] {
        k.dereference_object(object);
    }

    /// One more reference to an object whose type the caller knows.
    pure fn ObReferenceObjectByPointer(k; object: u64, access: u32, kind: u64, mode: i8) -> i32 [DISPATCH, "Learn, ObReferenceObjectByPointer"] {
        let _ = (access, kind, mode);
        k.reference_object(object);
        SUCCESS
    }

    /// A reference to the object a handle means.
    fn ObReferenceObjectByHandle(k; handle: u64, access: u32, kind: u64, mode: i8, object: u64, information: u64) -> i32 [PASSIVE, "Learn, ObReferenceObjectByHandle"] {
        let _ = (access, kind, mode, information);
        let Some(found) = k.object_of_handle(handle) else { return INVALID_HANDLE };
        k.reference_object(found);
        k.write(object, found);
        SUCCESS
    }
}
