//! One request with its pieces.

use core::sync::atomic::{AtomicI32, Ordering};

use netdma_ioctl::Piece;
use nt::Status;
use nt::pool::Array;
use nt::wdf::Request;

/// A request on its way. Whoever still has to do with it owns a part of it: the queue while pieces are to be submitted,
/// and every piece in flight. When the last owner drops it, the request is completed: exactly once, and not before the
/// engine is done with the request's pages.
pub struct Operation {
    /// `None` only while it is being completed.
    request: Option<Request>,
    work: Work,
    /// First failure; 0 = none.
    status: AtomicI32,
}

/// What a request asks for.
pub enum Work {
    /// Copies within the request's pages.
    Copy(Array<Piece>),
    /// A transfer that moves nothing.
    Null,
}

impl Work {
    /// Pieces to be submitted.
    pub fn pieces(&self) -> usize {
        match self {
            Self::Copy(pieces) => pieces.len(),
            Self::Null => 1,
        }
    }
}

impl Operation {
    /// An operation whose pieces are yet to be submitted.
    pub const fn new(request: Request, work: Work) -> Self {
        Self { request: Some(request), work, status: AtomicI32::new(0) }
    }

    /// The request; `None` while it is being completed.
    pub const fn request(&self) -> Option<&Request> {
        self.request.as_ref()
    }

    /// What it asks for.
    pub const fn work(&self) -> &Work {
        &self.work
    }

    /// Remembers a failure; the first one is what the request is completed with.
    pub fn fail(&self, status: Status) {
        let _first = self.status.compare_exchange(0, status.code(), Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Takes back a failure that was set in case it came about.
    pub fn recover(&self) {
        self.status.store(0, Ordering::Relaxed);
    }

    /// Bytes of all pieces.
    pub fn bytes(&self) -> u64 {
        match &self.work {
            Work::Copy(pieces) => {
                pieces.iter().map(|piece| u64::from(piece.length)).fold(0, u64::saturating_add)
            }
            Work::Null => 0,
        }
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        let result = match self.status.load(Ordering::Relaxed) {
            0 => Ok(self.bytes() as usize),
            status => Err(Status::from_code(status)),
        };
        if let Some(request) = self.request.take() {
            request.complete(result);
        }
    }
}
