//! Work items: routines that a system thread calls at PASSIVE_LEVEL.

use std::collections::BTreeMap;

use crate::export::DISPATCH;
use crate::kernel::Kernel;
use crate::stop::{Fault, bugcheck};

/// The work items of drivers, by address of the `IO_WORKITEM`.
#[derive(Debug, Default)]
pub(crate) struct Work {
    items: BTreeMap<u64, Item>,
    /// How many routines of `ExQueueWorkItem` are waiting or running, by routine.
    plain: BTreeMap<u64, u32>,
}

#[derive(Debug, Clone, Copy)]
struct Item {
    /// The device or driver object it was made for.
    object: u64,
    made_by: u64,
    state: State,
    /// The routine it was queued with last.
    routine: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Free,
    Queued,
    /// Its routine runs; it may be freed from there.
    Running,
}

/// Bytes of an `IO_WORKITEM`. The structure is opaque; the size is our choice.
const SIZE: u64 = 0x60;

fn queue(k: &Kernel, item: u64, routine: u64, context: u64, extended: bool) {
    let busy = k.services.work.with(|work| {
        let entry = work.items.get_mut(&item)?;
        let busy = entry.state == State::Queued;
        (entry.state, entry.routine) = (State::Queued, routine);
        Some((busy, entry.object))
    });
    let Some((busy, object)) = busy else { no_item(k, item) };
    if busy {
        k.stop(
            Fault::new("WorkItemQueued", bugcheck::DRIVER_VERIFIER_DETECTED_VIOLATION)
                .text(format!("a work item is queued that is queued already: {}", k.describe_address(item)))
                .parameter(item, "the work item"),
        );
    }
    let run = move |k: &Kernel| {
        set_state(k, item, State::Running);
        // IO_WORKITEM_ROUTINE(object, context); IO_WORKITEM_ROUTINE_EX(object, context, item).
        let arguments = [object, context, item];
        k.call("work item", routine, &arguments[..if extended { 3 } else { 2 }]);
        k.services.work.with(|work| {
            if let Some(entry) = work.items.get_mut(&item)
                && entry.state == State::Running
            {
                entry.state = State::Free;
            }
        });
        k.dereference_object(object);
    };
    // The device or driver object stays while the work item waits and runs (Learn, IoQueueWorkItem).
    k.reference_object(object);
    k.spawn("work item", 0, Box::new(run));
}

fn set_state(k: &Kernel, item: u64, state: State) {
    k.services.work.with(|work| {
        if let Some(entry) = work.items.get_mut(&item) {
            entry.state = state;
        }
    });
}

fn no_item(k: &Kernel, item: u64) -> ! {
    k.stop(
        Fault::new("WorkItem", bugcheck::DRIVER_VERIFIER_DETECTED_VIOLATION)
            .text(format!("no work item: {}", k.describe_address(item)))
            .parameter(item, "the address"),
    );
}

impl Kernel {
    /// Work items an image has made or whose routine lies in it, for the check at unload.
    pub(crate) fn work_of(&self, image: impl Fn(u64) -> bool) -> Vec<String> {
        self.services.work.with(|work| {
            let items = work.items.iter().filter(|(_, item)| {
                image(item.made_by) || (item.state != State::Free && image(item.routine))
            });
            let items = items.map(|(address, item)| format!("work item {address:#x} ({:?})", item.state));
            let plain = work.plain.iter().filter(|&(&routine, &count)| count != 0 && image(routine));
            items.chain(plain.map(|(routine, _)| format!("queued routine {routine:#x}"))).collect()
        })
    }
}

crate::export::exports! {
    module "ntoskrnl.exe";

    /// Makes a work item for a device or driver object.
    fn IoAllocateWorkItem(k; object: u64) -> u64 [DISPATCH, "Learn, IoAllocateWorkItem"] {
        if k.allocation_fails() {
            return 0;
        }
        let item = k.system_allocate(SIZE, "work item");
        let entry = Item { object, made_by: k.caller_address(), state: State::Free, routine: 0 };
        k.services.work.with(|work| work.items.insert(item, entry));
        item
    }

    /// Frees a work item. It must not be queued.
    fn IoFreeWorkItem(k; item: u64) [DISPATCH, "Learn, IoFreeWorkItem"] {
        let Some(entry) = k.services.work.with(|work| work.items.remove(&item)) else { no_item(k, item) };
        if entry.state == State::Queued {
            k.stop(Fault::new("WorkItemQueued", bugcheck::DRIVER_VERIFIER_DETECTED_VIOLATION)
                .text(format!("a work item is freed while it is queued: {item:#x}"))
                .parameter(item, "the work item"));
        }
        k.system_free(item);
    }

    /// Has a system thread call `routine(object, context)`.
    fn IoQueueWorkItem(k; item: u64, routine: u64, queue_type: i32, context: u64) [DISPATCH, "Learn, IoQueueWorkItem"] {
        let _ = queue_type;
        queue(k, item, routine, context, false);
    }

    /// Has a system thread call `routine(object, context, item)`.
    fn IoQueueWorkItemEx(k; item: u64, routine: u64, queue_type: i32, context: u64) [DISPATCH, "Learn, IoQueueWorkItemEx"] {
        let _ = queue_type;
        queue(k, item, routine, context, true);
    }

    /// Has a system thread call the routine of a WORK_QUEUE_ITEM (List, WorkerRoutine at 0x10, Parameter at 0x18).
    fn ExQueueWorkItem(k; item: u64, queue_type: i32) [DISPATCH, "Learn, ExQueueWorkItem"] {
        let _ = queue_type;
        let (routine, parameter) = (k.read::<u64>(item + 0x10), k.read::<u64>(item + 0x18));
        k.services.work.with(|work| *work.plain.entry(routine).or_default() += 1);
        let run = move |k: &Kernel| {
            k.call("work item", routine, &[parameter]);
            k.services.work.with(|work| {
                work.plain.entry(routine).and_modify(|count| *count -= 1);
            });
        };
        k.spawn("work item", 0, Box::new(run));
    }
}
