//! What a driver does when the system has stopped, before the crash dump is written.

use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::fmt;

use wdk_sys::ntddk::{KeDeregisterBugCheckReasonCallback, KeRegisterBugCheckReasonCallback};
use wdk_sys::{
    _KBUGCHECK_CALLBACK_REASON, KB_ADD_PAGES_FLAG_VIRTUAL_ADDRESS, KBUGCHECK_ADD_PAGES,
    KBUGCHECK_CALLBACK_REASON, KBUGCHECK_REASON_CALLBACK_RECORD, ULONG,
};

use crate::Result;
use crate::irql::{BugCheck, Passive};
use crate::pool::{Box, Tag};

/// A routine that runs when the system has stopped and collects what a kernel or complete memory dump will hold
/// (KbCallbackAddPages). The plain bug check callback would come too late: since Windows XP SP1 those run when the dump has
/// been written ("KBUGCHECK_CALLBACK_ROUTINE", remarks).
///
/// Made and dropped at PASSIVE_LEVEL.
pub struct Callback<T: Sync + 'static>(Box<Block<T>>);

/// What the system is given pointers to. The record is first: its address is the block's.
#[repr(C)]
struct Block<T> {
    record: UnsafeCell<KBUGCHECK_REASON_CALLBACK_RECORD>,
    routine: fn(&T, &BugCheck),
    context: T,
}

// SAFETY: the record is touched by the system only, between registering and deregistering; the context may be shared.
unsafe impl<T: Send + Sync> Send for Callback<T> {}
// SAFETY: as for `Send`; nothing is reached through a shared reference.
unsafe impl<T: Sync> Sync for Callback<T> {}

impl<T: Send + Sync + 'static> Callback<T> {
    /// Has `routine` called with `context` at a bug check. A system that refuses writes its dumps without it.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES.
    pub fn new(tag: Tag, context: T, routine: fn(&T, &BugCheck), _irql: &Passive) -> Result<Self> {
        // A record of zeroes is what KeInitializeCallbackRecord makes: its state is BufferEmpty.
        let record = UnsafeCell::new(KBUGCHECK_REASON_CALLBACK_RECORD::default());
        let block = Box::new(tag, Block { record, routine, context })?;
        // SAFETY: the record is in nonpaged pool until `Drop` has taken it back; so is the routine, whose image stays as
        // long as the value does, and the component's name.
        let _registered = unsafe {
            KeRegisterBugCheckReasonCallback(
                block.record.get(),
                Some(called::<T>),
                _KBUGCHECK_CALLBACK_REASON::KbCallbackAddPages,
                c"NetDMA".as_ptr().cast_mut().cast(),
            )
        };
        Ok(Self(block))
    }
}

impl<T: Sync + 'static> Drop for Callback<T> {
    fn drop(&mut self) {
        // SAFETY: the record is the one that `new` gave, or was refused with, which is then refused here.
        let _deregistered = unsafe { KeDeregisterBugCheckReasonCallback(self.0.record.get()) };
    }
}

impl<T: Sync + 'static> fmt::Debug for Callback<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Callback")
    }
}

/// The system asks which pages to add (KBUGCHECK_REASON_CALLBACK_ROUTINE): none.
unsafe extern "C" fn called<T: Sync + 'static>(
    _reason: KBUGCHECK_CALLBACK_REASON,
    record: *mut KBUGCHECK_REASON_CALLBACK_RECORD,
    data: *mut c_void,
    length: ULONG,
) {
    // SAFETY: the record is the first member of the block that `new` registered, which is alive until it is taken back.
    let block = unsafe { &*record.cast::<Block<T>>() };
    (block.routine)(&block.context, &BugCheck::new());
    if (length as usize) < size_of::<KBUGCHECK_ADD_PAGES>() {
        return;
    }
    // SAFETY: for this reason the system passes this structure, of the length that was checked, or null.
    if let Some(pages) = unsafe { data.cast::<KBUGCHECK_ADD_PAGES>().as_mut() } {
        pages.Flags = KB_ADD_PAGES_FLAG_VIRTUAL_ADDRESS;
        pages.Address = 0;
        pages.Count = 0;
    }
}
