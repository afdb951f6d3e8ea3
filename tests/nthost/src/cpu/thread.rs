//! Threads: fibers with a name, a kernel object and a state.

use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::atomic::{AtomicI64, AtomicPtr, AtomicU8, AtomicU64, Ordering};

use corosensei::{Coroutine, CoroutineResult, Yielder};

use super::stack::{Bounds, FiberStack};
use crate::call::CallFrame;
use crate::guarded::Guarded;
use crate::kernel::Kernel;

/// Names a thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ThreadId(pub(crate) u32);

/// Why a fiber hands its host thread back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Yield {
    /// Another processor may run; this thread stays on its own.
    GiveWay,
    /// Another thread may run on this processor.
    Preempted,
    /// It waits.
    Blocked,
    /// The idle thread found nothing to do.
    Idle,
    /// The machine stopped; the fiber is never resumed.
    Stopped,
    /// The thread has ended before its body did.
    Finished,
}

/// What a thread does at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Run {
    Ready,
    Running(u32),
    Waiting,
    Finished,
}

type Fiber = Coroutine<(), Yield, (), FiberStack>;

/// One thread.
pub struct Thread {
    /// Its number.
    pub id: ThreadId,
    /// What it was started for.
    pub name: String,
    /// Address of its kernel object; waits name it.
    pub object: u64,
    /// The processors it may run on, one bit each.
    pub(crate) affinity: Guarded<u64>,
    pub(crate) run: Guarded<Run>,
    /// Its IRQL (PASSIVE or APC) while it is not running.
    pub(crate) irql: AtomicU8,
    /// The innermost record of a call into or out of driver code.
    pub(crate) frames: AtomicPtr<CallFrame>,
    /// KeEnterCriticalRegion minus KeLeaveCriticalRegion.
    pub(crate) critical: AtomicI64,
    fiber: Guarded<Option<Fiber>>,
    yielder: AtomicPtr<Yielder<(), Yield>>,
    stack: Bounds,
    /// For a driver's thread: its routine, and who started it.
    pub(crate) routine: AtomicU64,
    pub(crate) made_by: AtomicU64,
    /// The panic of a host closure, to be continued on the host's side.
    pub(crate) panic: Guarded<Option<Box<dyn std::any::Any + Send>>>,
}

impl std::fmt::Debug for Thread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Thread").field("id", &self.id).field("name", &self.name).finish_non_exhaustive()
    }
}

impl Thread {
    /// Lets the fiber run until it yields; `None` when it has ended.
    pub(crate) fn resume(&self) -> Option<Yield> {
        let mut fiber = self.fiber.with(Option::take).expect("a thread runs on one processor at a time");
        self.stack.use_for_faults();
        match fiber.resume(()) {
            CoroutineResult::Yield(why) => {
                self.fiber.with(|slot| *slot = Some(fiber));
                Some(why)
            }
            CoroutineResult::Return(()) => None,
        }
    }

    /// Forgets the fiber. What its frames own is leaked: they may be driver code, which cannot be unwound.
    pub(crate) fn abandon(&self) {
        if let Some(mut fiber) = self.fiber.with(Option::take) {
            // SAFETY: no frame on the stack is entered again and none of them borrows from outside the machine.
            unsafe { fiber.force_reset() };
        }
    }

    /// Hands the host thread back to the scheduler, from inside the fiber.
    pub(crate) fn suspend(&self, why: Yield) {
        let yielder = self.yielder.load(Ordering::Relaxed);
        // SAFETY: set when the fiber started, and only its own code calls this, so the fiber still exists.
        let yielder = unsafe { yielder.as_ref() }.expect("a fiber that has started");
        yielder.suspend(why);
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.run.with(|run| *run == Run::Finished)
    }

    /// Whether an address is on this thread's stack.
    pub(crate) fn is_on_stack(&self, pointer: u64) -> bool {
        self.stack.contain(pointer)
    }

    /// Whether an access to `address` means that the stack is used up.
    pub(crate) fn is_overrun(&self, address: u64) -> bool {
        self.stack.is_overrun(address)
    }

    /// Whether a stack pointer leaves too little room.
    pub(crate) fn is_stack_low(&self, pointer: u64) -> bool {
        self.stack.is_low(pointer)
    }
}

impl Kernel {
    /// Starts a system thread on any of the processors of `affinity` (one bit each; zero means all).
    pub fn spawn(&self, name: impl Into<String>, affinity: u64, body: Box<dyn FnOnce(&Self)>) -> ThreadId {
        let id = self.create_thread(name.into(), affinity, body);
        self.make_ready(id);
        id
    }

    fn create_thread(&self, name: String, affinity: u64, body: Box<dyn FnOnce(&Self)>) -> ThreadId {
        let all = u64::MAX >> (64 - self.cpu_count());
        let affinity = if affinity & all == 0 { all } else { affinity & all };
        let object = self.create_thread_object(&name);
        let stack = FiberStack::new().expect("memory for a thread's stack");
        let bounds = stack.bounds();
        let id = ThreadId(self.cpus.threads.with(|threads| threads.len() as u32));
        let fiber = Coroutine::with_stack(stack, move |yielder: &Yielder<(), Yield>, ()| {
            let kernel = Self::current().expect("fibers run inside their machine");
            let thread = kernel.thread(id);
            thread.yielder.store(std::ptr::from_ref(yielder).cast_mut(), Ordering::Relaxed);
            if let Err(payload) = std::panic::catch_unwind(AssertUnwindSafe(|| body(kernel))) {
                thread.panic.with(|slot| *slot = Some(payload));
            }
            kernel.finish_thread(&thread);
        });
        let thread = Rc::new(Thread {
            id,
            name,
            object,
            affinity: Guarded::new(affinity),
            run: Guarded::new(Run::Ready),
            irql: AtomicU8::new(0),
            frames: AtomicPtr::default(),
            critical: AtomicI64::new(0),
            routine: AtomicU64::new(0),
            made_by: AtomicU64::new(0),
            fiber: Guarded::new(Some(fiber)),
            yielder: AtomicPtr::default(),
            stack: bounds,
            panic: Guarded::new(None),
        });
        self.cpus.threads.with(|threads| threads.push(thread));
        id
    }

    pub(crate) fn create_idle_thread(&self, cpu: u32) -> ThreadId {
        let body = |kernel: &Self| loop {
            kernel.idle_work();
            kernel.current_thread().suspend(Yield::Idle);
        };
        self.create_thread(format!("idle {cpu}"), 1 << cpu, Box::new(body))
    }

    /// The thread of `id`.
    pub(crate) fn thread(&self, id: ThreadId) -> Rc<Thread> {
        self.cpus.threads.with(|threads| Rc::clone(&threads[id.0 as usize]))
    }

    /// The thread that runs on this processor.
    pub(crate) fn current_thread(&self) -> Rc<Thread> {
        self.thread(ThreadId(self.current_thread_id()))
    }

    /// The thread whose kernel object is at `object`.
    pub(crate) fn thread_of_object(&self, object: u64) -> Option<Rc<Thread>> {
        self.cpus.threads.with(|threads| threads.iter().find(|thread| thread.object == object).cloned())
    }
}

impl Kernel {
    pub(crate) fn finish_thread(&self, thread: &Thread) {
        thread.run.with(|run| *run = Run::Finished);
        self.set_signal(thread.object, 1);
        self.dereference_object(thread.object);
    }

    fn create_thread_object(&self, name: &str) -> u64 {
        /// Bytes of the object: as many as a KTHREAD has room for. Only its dispatcher header means anything here.
        const SIZE: u64 = 0x600;
        let object = self.system_allocate(SIZE, format!("thread {name}"));
        self.write(object, super::wait::THREAD);
        self.adopt_object(object);
        object
    }

    /// Abandons every fiber: the machine runs no more.
    pub(crate) fn power_off(&self) {
        let threads = self.cpus.threads.with(std::mem::take);
        threads.iter().for_each(|thread| thread.abandon());
    }
}
