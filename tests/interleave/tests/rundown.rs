//! Who comes and goes without a lock, and an owner who ends it, in every order.

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

// The very sources of the crate nt, over loom's atomics and its counting pointer.
#[path = "../../../interface/nt/src/lent.rs"]
#[allow(unsafe_code, reason = "nt is the home of unsafe code")]
mod lent;
#[path = "../../../interface/nt/src/rundown.rs"]
mod rundown;
mod pool {
    pub use loom::sync::Arc;
}
mod sync {
    pub use loom::sync::atomic::{AtomicPtr, AtomicU32, Ordering};
}

use lent::Lent;
use rundown::Rundown;

#[test]
fn a_rundown_lets_in_until_closed_and_is_empty_when_the_last_has_left() {
    loom::model(|| {
        let rundown = Rundown::new();
        assert!(rundown.enter().is_none(), "not opened yet");
        rundown.open();
        let inside = rundown.enter().expect("open");
        rundown.close();
        assert!(rundown.enter().is_none());
        assert!(!rundown.is_empty());
        drop(inside);
        assert!(rundown.is_empty());
    });
}

/// A registration behind its rundown: loom reports a reader and a writer that nothing orders.
struct Registration {
    users: Rundown,
    client: UnsafeCell<u32>,
}

/// Deregistration waits for who is inside and then clears the record; a new registration fills it. A user sees a whole one,
/// and who is turned away meanwhile leaves no trace: the new registration lets users in, and waits for them when it ends.
#[test]
fn a_deregistration_meets_users_and_the_next_registration() {
    loom::model(|| {
        let registration = Arc::new(Registration { users: Rundown::new(), client: UnsafeCell::new(1) });
        registration.users.open();
        let user = {
            let registration = registration.clone();
            thread::spawn(move || registration.users.enter().map(|_pass| registration.client.with(read)))
        };
        registration.users.close();
        while !registration.users.is_empty() {
            thread::yield_now();
        }
        registration.client.with_mut(|client| write(client, 2));
        registration.users.open();
        let next = registration.users.enter();
        if let Some(seen) = user.join().expect("the user ended") {
            assert!([1, 2].contains(&seen));
        }
        assert!(next.is_some(), "the next registration is open");
        registration.users.close();
        assert!(!registration.users.is_empty(), "somebody is inside");
        drop(next);
        assert!(registration.users.is_empty(), "the last one has left");
    });
}

#[allow(unsafe_code, reason = "loom's cell gives pointers")]
fn read(client: *const u32) -> u32 {
    // SAFETY: loom has just checked that nobody writes meanwhile, and the cell lives on.
    unsafe { *client }
}

#[allow(unsafe_code, reason = "loom's cell gives pointers")]
fn write(client: *mut u32, value: u32) {
    // SAFETY: loom has just checked that nobody else is there, and the cell lives on.
    unsafe { *client = value };
}

/// A value behind a loan, as polls use it: whoever finds it uses it before its owner has it back.
#[test]
fn a_visit_meets_the_end_of_a_loan() {
    loom::model(|| {
        let lent = Arc::new(Lent::<UnsafeCell<u32>>::new());
        assert!(lent.lend(Arc::new(UnsafeCell::new(1))));
        assert!(!lent.lend(Arc::new(UnsafeCell::new(3))), "one at a time");
        let visitor = {
            let lent = lent.clone();
            thread::spawn(move || lent.visit(|value| value.with(read)))
        };
        let value = lent.take_back(thread::yield_now).expect("it was lent");
        value.with_mut(|value| write(value, 2));
        assert!(lent.lend(value));
        assert!([None, Some(1), Some(2)].contains(&visitor.join().expect("the visitor left")));
        assert_eq!(lent.visit(|value| value.with(read)), Some(2));
        assert!(lent.take_back(thread::yield_now).is_some());
        assert!(lent.take_back(thread::yield_now).is_none());
    });
}

/// A channel's owner as the interrupt service routine of `ioatdma.sys` finds it: two processors serve interrupts while the
/// channel goes from one owner to the next, whose handles and words must not be mixed up.
#[test]
fn two_visits_meet_a_change_of_owner() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(|| {
        let lent = Arc::new(Lent::<Owner>::new());
        let [first, second] = [1, 2].map(|handle| Arc::new(Owner { handle, word: UnsafeCell::new(handle) }));
        assert!(lent.lend(first));
        let routines = [(); 2].map(|()| {
            let lent = lent.clone();
            thread::spawn(move || lent.visit(|owner| assert_eq!(owner.word.with(read), owner.handle)))
        });
        let first = lent.take_back(thread::yield_now).expect("it was lent");
        first.word.with_mut(|word| write(word, 0));
        drop(first);
        assert!(lent.lend(second));
        for routine in routines {
            let _found = routine.join().expect("the routine ended");
        }
        assert_eq!(lent.visit(|owner| owner.handle), Some(2));
    });
}

/// Whom a channel is allocated to; the word's memory goes with the owner.
struct Owner {
    handle: u32,
    word: UnsafeCell<u32>,
}
