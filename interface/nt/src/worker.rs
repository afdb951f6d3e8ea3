//! A thread that does at PASSIVE_LEVEL what was asked for at DISPATCH_LEVEL.
//!
//! Why a thread and not a work item: IoAllocateWorkItem wants a device or driver object of the caller's, and netdma.sys
//! has neither when it came in as an import; ExQueueWorkItem lets the image be unloaded under the routine's last
//! instructions. A thread belongs to whoever made it, asking it costs no memory and cannot fail, and once its thread
//! object is signalled none of the image's code runs in it any more.

use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::fmt;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicBool, Ordering};

use wdk_sys::ntddk::{ObReferenceObjectByHandle, PsCreateSystemThread, PsTerminateSystemThread, ZwClose};
use wdk_sys::{_MODE, HANDLE, KEVENT, KPROCESSOR_MODE, OBJ_KERNEL_HANDLE, OBJECT_ATTRIBUTES};
use wdk_sys::{THREAD_ALL_ACCESS, ULONG};

use crate::event;
use crate::irql::{AtMostDispatch, Passive};
use crate::object::Reference;
use crate::pool::{Box, Tag};
use crate::{Result, Status};

/// A system thread that calls a routine each time it was asked to since the last call began.
///
/// Several requests before a call begins give one call: the routine looks for all there is to do. Dropping the worker
/// waits until a running call is over, so it is dropped at PASSIVE_LEVEL and not by its own routine.
pub struct Worker<T: Sync + 'static> {
    shared: NonNull<Shared<T>>,
    thread: Reference<c_void>,
}

struct Shared<T> {
    asked: UnsafeCell<KEVENT>,
    stop: AtomicBool,
    routine: fn(&T, &mut Passive),
    context: T,
}

// SAFETY: the event is serialised by the dispatcher, `stop` is atomic, the context is reached by shared reference only.
unsafe impl<T: Send + Sync> Send for Worker<T> {}
// SAFETY: as for `Send`.
unsafe impl<T: Sync> Sync for Worker<T> {}

impl<T: Send + Sync + 'static> Worker<T> {
    /// Starts a thread that will call `routine` with `context`.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES, or what PsCreateSystemThread reports.
    pub fn new(tag: Tag, context: T, routine: fn(&T, &mut Passive), _irql: &Passive) -> Result<Self> {
        let shared = Box::new(
            tag,
            Shared { asked: UnsafeCell::new(KEVENT::default()), stop: AtomicBool::new(false), routine, context },
        )?;
        // SAFETY: the event is in nonpaged pool, where it stays until the thread has ended.
        unsafe { event::initialize(shared.asked.get(), event::Kind::ReleasesOne) };
        let thread = start(&shared)?;
        Ok(Self { shared: shared.into_raw(), thread })
    }
}

/// Starts the thread, and counts a reference to it.
fn start<T: Sync + 'static>(shared: &Box<Shared<T>>) -> Result<Reference<c_void>> {
    let mut attributes = OBJECT_ATTRIBUTES {
        Length: size_of::<OBJECT_ATTRIBUTES>() as ULONG,
        // The handle belongs to the kernel, whatever process the caller runs in.
        Attributes: OBJ_KERNEL_HANDLE,
        ..OBJECT_ATTRIBUTES::default()
    };
    let mut handle: HANDLE = ptr::null_mut();
    // SAFETY: the pointers are to locals; no process handle means the system process; the block outlives the thread,
    // because `Drop` waits for its end and this function's caller keeps the block if this succeeds.
    let status = unsafe {
        PsCreateSystemThread(
            &mut handle,
            THREAD_ALL_ACCESS,
            &mut attributes,
            ptr::null_mut(),
            ptr::null_mut(),
            Some(run::<T>),
            shared.as_ptr().cast(),
        )
    };
    Status::check(status)?;
    let mut thread: *mut c_void = ptr::null_mut();
    // SAFETY: the handle is the thread's, of kernel mode, and the pointer is to a local. It cannot fail for a handle that
    // has full access; no type is named because a kernel caller need not.
    let status = unsafe {
        ObReferenceObjectByHandle(
            handle,
            THREAD_ALL_ACCESS,
            ptr::null_mut(),
            _MODE::KernelMode as KPROCESSOR_MODE,
            &mut thread,
            ptr::null_mut(),
        )
    };
    let thread = Status::check(status).and_then(|()| NonNull::new(thread).ok_or(Status::UNSUCCESSFUL));
    // SAFETY: the handle was opened above and is not used again.
    let _closed = unsafe { ZwClose(handle) };
    // SAFETY: ObReferenceObjectByHandle counted a reference.
    thread.map(|thread| unsafe { Reference::adopt(thread) })
}

impl<T: Sync + 'static> Worker<T> {
    /// Asks for a call. Cannot fail, allocates nothing.
    pub fn ask(&self, _irql: &impl AtMostDispatch) {
        // SAFETY: `new` initialised the event, and the block lives as long as the worker; the token gives an allowed level.
        unsafe { event::set(self.shared().asked.get()) };
    }

    /// The context.
    #[must_use]
    pub fn context(&self) -> &T {
        &self.shared().context
    }

    fn shared(&self) -> &Shared<T> {
        // SAFETY: the block lives as long as the worker.
        unsafe { self.shared.as_ref() }
    }
}

impl<T: Sync + 'static> Drop for Worker<T> {
    fn drop(&mut self) {
        self.shared().stop.store(true, Ordering::Release);
        // SAFETY: `new` initialised the event; a worker is dropped at PASSIVE_LEVEL.
        unsafe { event::set(self.shared().asked.get()) };
        // SAFETY: the thread object is alive by our reference; a worker is dropped at PASSIVE_LEVEL.
        unsafe { event::wait(self.thread.as_ptr(), None) };
        // SAFETY: `new` gave the block away, and the thread that used it has ended.
        drop(unsafe { Box::from_raw(self.shared) });
    }
}

impl<T: Sync + 'static> fmt::Debug for Worker<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Worker")
    }
}

/// The thread.
unsafe extern "C" fn run<T: Sync + 'static>(shared: *mut c_void) {
    // SAFETY: `start` passed this block, and `Drop` keeps it until the thread has ended.
    let shared = unsafe { &*shared.cast::<Shared<T>>() };
    // SAFETY: a system thread starts at PASSIVE_LEVEL.
    let mut irql = unsafe { Passive::assume() };
    loop {
        // SAFETY: `new` initialised the event, the block is alive, and the level is PASSIVE_LEVEL.
        unsafe { event::wait(shared.asked.get().cast(), None) };
        if shared.stop.load(Ordering::Acquire) {
            break;
        }
        (shared.routine)(&shared.context, &mut irql);
    }
    // SAFETY: this is a thread of PsCreateSystemThread at PASSIVE_LEVEL; nothing on its stack needs to be dropped.
    let _never = unsafe { PsTerminateSystemThread(Status::SUCCESS.code()) };
}
