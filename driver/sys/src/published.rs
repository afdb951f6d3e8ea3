//! A channel's owner, as the interrupt service routine sees it.

use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicUsize, Ordering};

use ioat_core::channel::CompletionWord;
use netdma_abi::ChannelHandle;
use nt::time::{self, Duration};

/// The owner, for a routine that can take no lock that is held at DISPATCH_LEVEL.
#[derive(Debug)]
pub struct Published {
    /// The interface's handle; zero is no owner.
    handle: AtomicUsize,
    word: AtomicPtr<CompletionWord>,
    /// Service routines that may be using the two.
    visitors: AtomicU32,
}

impl Published {
    /// No owner.
    pub const fn new() -> Self {
        Self {
            handle: AtomicUsize::new(0),
            word: AtomicPtr::new(ptr::null_mut()),
            visitors: AtomicU32::new(0),
        }
    }

    /// Makes the owner known. The word is there before the handle says so.
    pub fn put(&self, handle: ChannelHandle, word: &'static CompletionWord) {
        self.word.store(ptr::from_ref(word).cast_mut(), Ordering::SeqCst);
        self.handle.store(handle.0, Ordering::SeqCst);
    }

    /// Takes the owner back, and waits until no service routine uses it any more: these wait for nobody and are over
    /// within microseconds. Visitors announce themselves before they look, so either they find nothing or we find
    /// them.
    pub fn take_back(&self) {
        self.handle.store(0, Ordering::SeqCst);
        while self.visitors.load(Ordering::SeqCst) != 0 {
            time::stall(Duration::from_micros(1));
        }
        self.word.store(ptr::null_mut(), Ordering::SeqCst);
    }

    /// Calls `act` with the owner, if there is one.
    #[allow(unsafe_code, reason = "the completion word crosses from the entry points to the service routine")]
    pub fn visit<T>(&self, act: impl FnOnce(ChannelHandle, &CompletionWord) -> T) -> Option<T> {
        self.visitors.fetch_add(1, Ordering::SeqCst);
        let handle = self.handle.load(Ordering::SeqCst);
        let answer = if handle == 0 {
            None
        } else {
            let word = self.word.load(Ordering::SeqCst);
            // SAFETY: a handle means that `put` has stored the word before it and that `take_back`, which comes before
            // the interface takes the word's memory back, waits for this visit to end.
            unsafe { word.as_ref() }.map(|word| act(ChannelHandle(handle), word))
        };
        self.visitors.fetch_sub(1, Ordering::SeqCst);
        answer
    }
}
