//! Handles, which are checked without a lock, in every order of what threads do.

use std::sync::Arc;

use loom::sync::atomic::{AtomicU32, Ordering};
use loom::thread;
use netdma_core::handle::{Entry, Table};

/// What an interrupt service routine touches of an entry.
struct Channel {
    cpu: AtomicU32,
    interrupts: AtomicU32,
}

fn table() -> Arc<Table<Channel, 1>> {
    let channel = Channel { cpu: AtomicU32::new(1), interrupts: AtomicU32::new(0) };
    Arc::new(Table::new([Entry::new(channel)]))
}

/// An interrupt finds its channel or does not; one that comes after the free never does, even when the entry has a new owner.
#[test]
fn a_free_meets_an_interrupt() {
    loom::model(|| {
        let table = table();
        let (handle, _) = table.claim().expect("a free entry");
        let isr = {
            let table = table.clone();
            thread::spawn(move || {
                table.get(handle).map(|channel| {
                    channel.interrupts.fetch_add(1, Ordering::Relaxed);
                    channel.cpu.load(Ordering::Acquire)
                })
            })
        };
        assert!(table.release(handle));
        assert!(table.get(handle).is_none(), "the old handle is dead");
        let (next, channel) = table.claim().expect("the entry is free again");
        channel.cpu.store(2, Ordering::Release);
        assert!(next != handle && table.get(handle).is_none());
        if let Some(cpu) = isr.join().expect("the routine ended") {
            assert!([1, 2].contains(&cpu));
            assert_eq!(channel.interrupts.load(Ordering::Relaxed), 1);
        }
    });
}

#[test]
fn of_two_frees_one_succeeds() {
    loom::model(|| {
        let table = table();
        let (handle, _) = table.claim().expect("a free entry");
        let other = {
            let table = table.clone();
            thread::spawn(move || table.release(handle))
        };
        let mine = table.release(handle);
        assert!(mine != other.join().expect("the other ended"));
        assert!(table.claim().is_some() && table.claim().is_none(), "free once");
    });
}

#[test]
fn of_two_claims_of_one_entry_one_succeeds() {
    loom::model(|| {
        let table = table();
        let other = {
            let table = table.clone();
            thread::spawn(move || table.claim().is_some())
        };
        let mine = table.claim().is_some();
        assert!(mine != other.join().expect("the other ended"));
    });
}
