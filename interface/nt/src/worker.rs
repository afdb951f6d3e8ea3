//! A thread that does at PASSIVE_LEVEL what was asked for at DISPATCH_LEVEL.
//!
//! Why a thread and not a work item: IoAllocateWorkItem wants a device or driver object of the caller's, and netdma.sys
//! has neither when it came in as an import; ExQueueWorkItem lets the image be unloaded under the routine's last
//! instructions. A thread belongs to whoever made it, asking it costs no memory and cannot fail, and once its thread
//! object is signalled none of the image's code runs in it any more.
//!
//! Made at PASSIVE_LEVEL ("PsCreateSystemThread"); asked at up to DISPATCH_LEVEL.

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
use crate::time::Duration;
use crate::{Result, Status};

/// A system thread that calls a routine when it was asked to since the last call began.
///
/// Several requests before a call begins give one call: the routine looks for all there is to do. A routine that returns
/// a [`Duration`] is called again after that time even if nobody asks. Dropping the worker
/// waits until a running call is over, so it is dropped at PASSIVE_LEVEL and not by its own routine.
pub struct Worker<T: Sync + 'static, P: Pace = ()> {
    shared: NonNull<Shared<T, P>>,
    thread: Reference<c_void>,
}

/// What a worker's routine returns: whether it wants to be called although nobody asks.
pub trait Pace: 'static {
    /// The time after which the routine is called again at the latest; `None`: only when it is asked.
    fn rest(self) -> Option<Duration>;
}

impl Pace for () {
    fn rest(self) -> Option<Duration> {
        None
    }
}

impl Pace for Option<Duration> {
    fn rest(self) -> Option<Duration> {
        self
    }
}

struct Shared<T, P> {
    asked: UnsafeCell<KEVENT>,
    stop: AtomicBool,
    routine: fn(&T, &mut Passive) -> P,
    context: T,
}

// SAFETY: the event is serialised by the dispatcher, `stop` is atomic, the context is reached by shared reference only.
unsafe impl<T: Send + Sync, P: Pace> Send for Worker<T, P> {}
// SAFETY: as for `Send`.
unsafe impl<T: Sync, P: Pace> Sync for Worker<T, P> {}

impl<T: Send + Sync + 'static, P: Pace> Worker<T, P> {
    /// Starts a thread that will call `routine` with `context`.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES, or what PsCreateSystemThread reports.
    pub fn new(tag: Tag, context: T, routine: fn(&T, &mut Passive) -> P, _irql: &Passive) -> Result<Self> {
        let shared = Box::new(
            tag,
            Shared {
                asked: UnsafeCell::new(KEVENT::default()),
                stop: AtomicBool::new(false),
                routine,
                context,
            },
        )?;
        // SAFETY: the event is in nonpaged pool, where it stays until the thread has ended.
        unsafe { event::initialize(shared.asked.get(), event::Kind::ReleasesOne) };
        start(shared)
    }
}

/// Starts the thread, which from then on uses what `shared` points to.
fn start<T: Sync + 'static, P: Pace>(shared: Box<Shared<T, P>>) -> Result<Worker<T, P>> {
    let mut attributes = OBJECT_ATTRIBUTES {
        Length: size_of::<OBJECT_ATTRIBUTES>() as ULONG,
        // The handle belongs to the kernel, whatever process the caller runs in.
        Attributes: OBJ_KERNEL_HANDLE,
        ..OBJECT_ATTRIBUTES::default()
    };
    let mut handle: HANDLE = ptr::null_mut();
    // SAFETY: the pointers are to locals; no process handle means the system process; the block outlives the thread,
    // because it is given away below and `Drop` takes it back only after the thread has ended.
    let status = unsafe {
        PsCreateSystemThread(
            &mut handle,
            THREAD_ALL_ACCESS,
            &mut attributes,
            ptr::null_mut(),
            ptr::null_mut(),
            Some(run::<T, P>),
            shared.as_ptr().cast(),
        )
    };
    Status::check(status)?;
    let shared = shared.into_raw();
    let mut thread: *mut c_void = ptr::null_mut();
    // SAFETY: the handle is the thread's, of kernel mode, and the pointer is to a local. No type is named because a kernel
    // caller need not.
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
    // SAFETY: the handle was opened above and is not used again.
    let _closed = unsafe { ZwClose(handle) };
    // This does not fail for a handle with full access. If it did, the thread would wait for ever, with its block.
    Status::check(status)?;
    let thread = NonNull::new(thread).ok_or(Status::UNSUCCESSFUL)?;
    // SAFETY: ObReferenceObjectByHandle counted a reference.
    let thread = unsafe { Reference::adopt(thread) };
    Ok(Worker { shared, thread })
}

impl<T: Sync + 'static, P: Pace> Worker<T, P> {
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

    fn shared(&self) -> &Shared<T, P> {
        // SAFETY: the block lives as long as the worker.
        unsafe { self.shared.as_ref() }
    }
}

impl<T: Sync + 'static, P: Pace> Drop for Worker<T, P> {
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

impl<T: Sync + 'static, P: Pace> fmt::Debug for Worker<T, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Worker")
    }
}

/// The thread.
unsafe extern "C" fn run<T: Sync + 'static, P: Pace>(shared: *mut c_void) {
    // SAFETY: `start` passed this block, and `Drop` keeps it until the thread has ended.
    let shared = unsafe { &*shared.cast::<Shared<T, P>>() };
    // SAFETY: a system thread starts at PASSIVE_LEVEL.
    let mut irql = unsafe { Passive::assume() };
    let mut rest = None;
    loop {
        // SAFETY: `new` initialised the event, the block is alive, and the level is PASSIVE_LEVEL.
        unsafe { event::wait(shared.asked.get().cast(), rest) };
        if shared.stop.load(Ordering::Acquire) {
            break;
        }
        rest = (shared.routine)(&shared.context, &mut irql).rest();
    }
    // SAFETY: this is a thread of PsCreateSystemThread at PASSIVE_LEVEL; nothing on its stack needs to be dropped.
    let _never = unsafe { PsTerminateSystemThread(Status::SUCCESS.code()) };
}
