//! Buffers of the host's "user mode": scattered pages, a chosen offset in the first one, guard bytes around.

use super::Create;
use super::physical::PAGE;
use super::space::Kind;
use crate::kernel::Kernel;

/// What surrounds a buffer in its pages.
const GUARD: u8 = 0xC7;

/// A buffer of the host's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UserBuffer {
    /// Its first byte.
    pub address: u64,
    /// Its length in bytes.
    pub length: u64,
}

impl Kernel {
    /// A buffer of `length` bytes that starts `offset` bytes into its first page; `None` when there is no memory.
    ///
    /// Its pages are scattered over physical memory. The bytes around it in its pages are guard bytes.
    #[must_use]
    pub fn user_allocate(&self, length: u64, offset: u64) -> Option<UserBuffer> {
        let mut create = Create::new(Kind::User, length);
        create.before = offset % PAGE;
        create.fill = GUARD;
        let address = self.memory.create(&create)?;
        Some(UserBuffer { address, length })
    }

    /// Frees a buffer. It must not be locked by an MDL any more.
    pub fn user_free(&self, buffer: UserBuffer) {
        self.check_nothing_live_in(
            buffer.address,
            buffer.address + buffer.length,
            "a user buffer being freed",
        );
        let start = buffer.address - buffer.address % PAGE;
        assert!(self.memory.destroy(start, 0).is_some(), "{buffer:?} is no live user buffer");
    }

    /// The first guard byte around a buffer that was overwritten.
    #[must_use]
    pub fn user_guard_damage(&self, buffer: UserBuffer) -> Option<u64> {
        let start = buffer.address - buffer.address % PAGE;
        let end = buffer.address + buffer.length;
        let last = end.next_multiple_of(PAGE);
        let mut guards = (start..buffer.address).chain(end..last);
        guards.find(|&address| self.read::<u8>(address) != GUARD)
    }
}
