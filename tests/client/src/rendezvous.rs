//! Where a submission and its completion meet.
//!
//! netdma.sys gives a copy its cookie when the submitting call returns, but may report the copy complete before that, on
//! another processor. So each side comes here with the cookie; the first leaves what it has, the second takes both.
//!
//! Portable: no kernel call, no allocation.

/// A place for one copy in flight.
#[derive(Debug)]
pub enum Slot<T> {
    /// Nobody's.
    Free,
    /// Submitted; its completion has not come.
    Submitted {
        /// The copy.
        cookie: usize,
        /// What belongs to it.
        value: T,
    },
    /// Completed before its submission returned.
    Completed {
        /// The copy.
        cookie: usize,
        /// How it ended.
        status: i32,
    },
}

/// The copies in flight on one channel; `S` is the memory: a slice or something like it.
#[derive(Debug)]
pub struct Rendezvous<S> {
    slots: S,
    /// How many slots are [`Slot::Completed`]: none, nearly always, which saves looking for one.
    early: usize,
}

impl<S> Rendezvous<S> {
    /// Nothing in flight. All of `slots` must be free.
    pub const fn new(slots: S) -> Self {
        Self { slots, early: 0 }
    }
}

impl<T, S: core::ops::DerefMut<Target = [Slot<T>]>> Rendezvous<S> {
    /// The submitting side: the copy was accepted. Gives the value back with the status if it has been completed already.
    ///
    /// A caller keeps no more copies in flight than there are slots. If it does, the value comes back as if completed with
    /// status 0, so that it is not lost.
    pub fn submitted(&mut self, cookie: usize, value: T) -> Option<(T, i32)> {
        if self.early > 0
            && let Some(slot) =
                self.find(cookie, |slot| matches!(slot, Slot::Completed { cookie: c, .. } if *c == cookie))
            && let Slot::Completed { status, .. } = core::mem::replace(slot, Slot::Free)
        {
            self.early = self.early.saturating_sub(1);
            return Some((value, status));
        }
        match self.find(cookie, |slot| matches!(slot, Slot::Free)) {
            Some(slot) => {
                *slot = Slot::Submitted { cookie, value };
                None
            }
            None => Some((value, 0)),
        }
    }

    /// The completing side. Gives the value if the submission has returned.
    pub fn completed(&mut self, cookie: usize, status: i32) -> Option<T> {
        if let Some(slot) =
            self.find(cookie, |slot| matches!(slot, Slot::Submitted { cookie: c, .. } if *c == cookie))
            && let Slot::Submitted { value, .. } = core::mem::replace(slot, Slot::Free)
        {
            return Some(value);
        }
        if let Some(slot) = self.find(cookie, |slot| matches!(slot, Slot::Free)) {
            *slot = Slot::Completed { cookie, status };
            self.early = self.early.saturating_add(1);
        }
        None
    }

    /// The first slot that fits, looking from where the cookie would be if cookies were consecutive: in one or two steps.
    fn find(&mut self, cookie: usize, fits: impl Fn(&Slot<T>) -> bool) -> Option<&mut Slot<T>> {
        let home = cookie.checked_rem(self.slots.len())?;
        let (before, from) = self.slots.split_at_mut_checked(home)?;
        from.iter_mut().chain(before).find(|slot| fits(slot))
    }
}
