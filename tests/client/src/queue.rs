//! A queue of fixed capacity.
//!
//! Portable: no kernel call, no allocation.

/// First in, first out; `S` is the memory: a slice of options or something like it, all `None` at first.
#[derive(Debug)]
pub struct Queue<S> {
    slots: S,
    /// Index of the oldest value, if there is one.
    first: usize,
    length: usize,
}

impl<S> Queue<S> {
    /// An empty queue.
    pub const fn new(slots: S) -> Self {
        Self { slots, first: 0, length: 0 }
    }

    /// Whether nothing is in it.
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }
}

impl<T, S: core::ops::DerefMut<Target = [Option<T>]>> Queue<S> {
    /// Puts `value` behind the others.
    ///
    /// # Errors
    /// The value, when the queue is full.
    pub fn push(&mut self, value: T) -> Result<(), T> {
        let capacity = self.slots.len();
        if self.length >= capacity {
            return Err(value);
        }
        // Both numbers are below or at the capacity of memory: the sum does not overflow.
        let Some(index) = self.first.wrapping_add(self.length).checked_rem(capacity) else {
            return Err(value);
        };
        let Some(slot) = self.slots.get_mut(index) else { return Err(value) };
        *slot = Some(value);
        self.length = self.length.wrapping_add(1);
        Ok(())
    }

    /// The oldest value.
    pub fn first(&self) -> Option<&T> {
        if self.length == 0 { None } else { self.slots.get(self.first)?.as_ref() }
    }

    /// Takes the oldest value out.
    pub fn pop(&mut self) -> Option<T> {
        if self.length == 0 {
            return None;
        }
        let value = self.slots.get_mut(self.first)?.take();
        self.first = self.first.wrapping_add(1).checked_rem(self.slots.len())?;
        self.length = self.length.wrapping_sub(1);
        value
    }
}
