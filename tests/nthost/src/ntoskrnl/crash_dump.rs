//! What drivers add to a crash dump: routines that are called when the system has stopped.
//!
//! They run at HIGH_LEVEL on the processor that stopped; the others stand still, and nothing can be waited for (Learn,
//! "Writing a Bug Check Callback Routine"). A routine that breaks a rule ends there, and so do those that would follow.
//!
//! `KBUGCHECK_SECONDARY_DUMP_DATA` (wdm.h): InBuffer, InBufferLength (32 bits) at 8, MaximumAllowed at 0xC, Guid at 0x10,
//! OutBuffer at 0x20, OutBufferLength (32 bits) at 0x28; 0x30 bytes.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use crate::cpu::irql::HIGH;
use crate::export::ANY;
use crate::kernel::Kernel;

/// The registered routines, by address of their record.
pub(crate) type Callbacks = BTreeMap<u64, Callback>;

/// One registered routine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Callback {
    routine: u64,
    wants: Wants,
}

/// What a routine is called with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wants {
    /// Its own buffer and length (KeRegisterBugCheckCallback): it brings its device to rest and notes its state.
    Buffer(u64, u32),
    /// What its reason says (KeRegisterBugCheckReasonCallback). Only [`SECONDARY_DUMP_DATA`] and [`ADD_PAGES`] are ever
    /// called: the other reasons serve the writing of a dump file, and the machine writes none.
    Reason(i32),
}

/// `KbCallbackSecondaryDumpData`.
const SECONDARY_DUMP_DATA: i32 = 2;
/// `KbCallbackAddPages`.
const ADD_PAGES: i32 = 4;
/// Bytes of `KBUGCHECK_ADD_PAGES`.
const ADD_PAGES_SIZE: u64 = 0x20;
/// Bytes of `KBUGCHECK_SECONDARY_DUMP_DATA`.
const SIZE: u64 = 0x30;
/// Most that one routine may add; our choice.
const MAXIMUM: u32 = 1 << 20;

/// What one routine added to a dump.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DumpData {
    /// The tag by which a debugger finds it.
    pub id: [u8; 16],
    /// Where it stood in memory.
    pub address: u64,
    /// The data.
    pub bytes: Vec<u8>,
}

/// What a routine that may add pages to a dump answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddedPages {
    /// KB_ADD_PAGES_FLAG_VIRTUAL_ADDRESS (1) or KB_ADD_PAGES_FLAG_PHYSICAL_ADDRESS (2), one of which must be set even for no
    /// pages, and whether it wants to be called again (Learn, "KBUGCHECK_ADD_PAGES").
    pub flags: u32,
    /// How many pages.
    pub pages: u64,
}

impl Kernel {
    /// What a crash dump written now would hold of the drivers: their routines are called as at a bug check, at
    /// HIGH_LEVEL.
    #[must_use]
    pub fn secondary_dump_data(&self) -> Vec<DumpData> {
        let callbacks = self.services.crash_dump.with(|callbacks| callbacks.clone());
        let wanted =
            callbacks.into_iter().filter(|(_, call)| call.wants == Wants::Reason(SECONDARY_DUMP_DATA));
        wanted.filter_map(|(record, callback)| self.dump_data_of(record, callback)).collect()
    }

    /// The machine has stopped: calls every registered routine once and adds what they give to the stop.
    pub(crate) fn call_bug_check_routines(&self) {
        self.services.crashing.store(true, Ordering::Relaxed);
        self.set_irql(HIGH);
        let callbacks = self.services.crash_dump.with(|callbacks| callbacks.clone());
        for (record, callback) in callbacks {
            match callback.wants {
                Wants::Buffer(buffer, length) => {
                    self.call("bug check callback", callback.routine, &[buffer, u64::from(length)]);
                }
                Wants::Reason(SECONDARY_DUMP_DATA) => {
                    let data = self.dump_data_of(record, callback);
                    self.stopped.with(|stopped| stopped.as_mut().map(|stop| stop.dump.extend(data)));
                }
                Wants::Reason(ADD_PAGES) => {
                    self.add_pages_of(record, callback);
                }
                Wants::Reason(_) => {}
            }
        }
    }

    /// Whether bug check routines run: nothing else does any more.
    pub(crate) fn is_crashing(&self) -> bool {
        self.services.crashing.load(Ordering::Relaxed)
    }

    /// What happens before a kernel memory dump is written (and, from Windows 8 on, a complete one): the routines that add
    /// pages to it are called, at HIGH_LEVEL. What each wants.
    pub fn prepare_dump(&self) -> Vec<AddedPages> {
        let callbacks = self.services.crash_dump.with(|callbacks| callbacks.clone());
        let wanted = callbacks.into_iter().filter(|(_, call)| call.wants == Wants::Reason(ADD_PAGES));
        wanted.map(|(record, callback)| self.add_pages_of(record, callback)).collect()
    }

    /// `KBUGCHECK_ADD_PAGES` (wdm.h): Context, Flags (32 bits) at 8, BugCheckCode at 0xC, Address at 0x10, Count at 0x18;
    /// 0x20 bytes. Pages are not collected.
    fn add_pages_of(&self, record: u64, callback: Callback) -> AddedPages {
        let data = self.system_allocate(ADD_PAGES_SIZE, "KBUGCHECK_ADD_PAGES");
        self.write_bytes(data, &[0; ADD_PAGES_SIZE as usize]);
        let irql = self.raise_irql(HIGH);
        let arguments = [ADD_PAGES as u64, record, data, ADD_PAGES_SIZE];
        self.call("bug check callback", callback.routine, &arguments);
        self.lower_irql(irql);
        let (flags, pages): (u32, u64) = (self.read(data + 8), self.read(data + 0x18));
        self.system_free(data);
        AddedPages { flags, pages }
    }

    fn dump_data_of(&self, record: u64, callback: Callback) -> Option<DumpData> {
        let data = self.system_allocate(SIZE, "KBUGCHECK_SECONDARY_DUMP_DATA");
        self.write_bytes(data, &[0; SIZE as usize]);
        self.write(data + 0xC, MAXIMUM);
        let irql = self.raise_irql(HIGH);
        let arguments = [SECONDARY_DUMP_DATA as u64, record, data, SIZE];
        self.call("bug check callback", callback.routine, &arguments);
        self.lower_irql(irql);
        let (address, length): (u64, u32) = (self.read(data + 0x20), self.read(data + 0x28));
        let added =
            DumpData { id: self.read(data + 0x10), address, bytes: self.bytes(address, length as usize) };
        self.system_free(data);
        (length > 0).then_some(added)
    }

    /// A record that is registered already is refused.
    fn register_bug_check(&self, record: u64, callback: Callback) -> u8 {
        self.services.crash_dump.with(|callbacks| {
            let free = !callbacks.contains_key(&record);
            if free {
                callbacks.insert(record, callback);
            }
            u8::from(free)
        })
    }

    fn deregister_bug_check(&self, record: u64) -> u8 {
        self.services.crash_dump.with(|callbacks| u8::from(callbacks.remove(&record).is_some()))
    }

    /// Routines in an image that would be called at a bug check.
    pub(crate) fn dump_routines_of(&self, image: impl Fn(u64) -> bool) -> Vec<String> {
        self.services.crash_dump.with(|callbacks| {
            let left = callbacks.values().filter(|callback| image(callback.routine));
            left.map(|callback| format!("bug check routine at {:#x}", callback.routine)).collect()
        })
    }
}

crate::export::exports! {
    module "ntoskrnl.exe";

    /// Registers a routine that is called with its own buffer at a bug check.
    fn KeRegisterBugCheckCallback(k; record: u64, routine: u64, buffer: u64, length: u32, _component: u64) -> u8 [ANY, "Learn, KeRegisterBugCheckCallback"] {
        k.register_bug_check(record, Callback { routine, wants: Wants::Buffer(buffer, length) })
    }

    /// Takes a routine back.
    fn KeDeregisterBugCheckCallback(k; record: u64) -> u8 [ANY, "Learn, KeDeregisterBugCheckCallback"] {
        k.deregister_bug_check(record)
    }

    /// Registers a routine for a bug check and what it is to do there.
    fn KeRegisterBugCheckReasonCallback(k; record: u64, routine: u64, reason: i32, _component: u64) -> u8 [ANY, "Learn, KeRegisterBugCheckReasonCallback"] {
        k.register_bug_check(record, Callback { routine, wants: Wants::Reason(reason) })
    }

    /// Takes a routine back.
    fn KeDeregisterBugCheckReasonCallback(k; record: u64) -> u8 [ANY, "Learn, KeDeregisterBugCheckReasonCallback"] {
        k.deregister_bug_check(record)
    }
}
