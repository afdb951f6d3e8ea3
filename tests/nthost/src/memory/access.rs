//! How the host reads and writes what a driver points at.
//!
//! A pointer from a driver may be anything. Accesses go straight to the address; where nothing is, the fault handler
//! turns the access into a stop that names the address and what it was (null, freed, a guard page).

use crate::kernel::Kernel;

/// A type whose every bit pattern is a value: what may be read from or written to a driver's memory.
///
/// # Safety
/// Implement it only for types without padding that matters, references, or invalid bit patterns.
pub unsafe trait Plain: Copy {}

macro_rules! plain {
    ($($name:ty)*) => {
        // SAFETY: integers have no invalid bit pattern.
        $(unsafe impl Plain for $name {})*
    };
}

plain!(u8 u16 u32 u64 usize i8 i16 i32 i64);

// SAFETY: an array of plain values is plain.
unsafe impl<T: Plain, const N: usize> Plain for [T; N] {}

impl Kernel {
    /// Reads a value at `address`.
    pub fn read<T: Plain>(&self, address: u64) -> T {
        // SAFETY: `T` takes any bits; an address where nothing is faults, and the fault handler stops the machine.
        unsafe { (address as *const T).read_unaligned() }
    }

    /// Writes a value at `address`.
    pub fn write<T: Plain>(&self, address: u64, value: T) {
        // SAFETY: as for `read`; drivers hand out only their own and the machine's memory.
        unsafe { (address as *mut T).write_unaligned(value) };
    }

    /// Copies `length` bytes from `address`.
    #[must_use]
    pub fn bytes(&self, address: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0u8; length];
        // SAFETY: `bytes` has the length; the source faults and stops the machine where nothing is.
        unsafe { std::ptr::copy_nonoverlapping(address as *const u8, bytes.as_mut_ptr(), length) };
        bytes
    }

    /// Copies `bytes` to `address`.
    pub fn write_bytes(&self, address: u64, bytes: &[u8]) {
        // SAFETY: `bytes` has the length; the target faults and stops the machine where nothing is.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), address as *mut u8, bytes.len()) };
    }

    /// The text of the `UNICODE_STRING` (Length, MaximumLength, Buffer at 8) at `address`; empty for a null pointer.
    #[must_use]
    pub fn unicode_string(&self, address: u64) -> String {
        if address == 0 {
            return String::new();
        }
        let length = self.read::<u16>(address) / 2;
        self.wide(self.read(address + 8), usize::from(length))
    }

    /// `length` UTF-16 units at `address` as text.
    #[must_use]
    pub fn wide(&self, address: u64, length: usize) -> String {
        let units: Vec<u16> = (0..length as u64).map(|unit| self.read(address + unit * 2)).collect();
        String::from_utf16_lossy(&units)
    }

    /// The zero-terminated UTF-16 text at `address`.
    #[must_use]
    pub fn wide_string(&self, address: u64) -> String {
        let length = (0..).take_while(|unit| self.read::<u16>(address + unit * 2) != 0).count();
        self.wide(address, length)
    }

    /// The zero-terminated bytes at `address` as text.
    #[must_use]
    pub fn c_string(&self, address: u64) -> String {
        let length = (0..).take_while(|byte| self.read::<u8>(address + byte) != 0).count();
        String::from_utf8_lossy(&self.bytes(address, length)).into_owned()
    }

    /// Makes a `UNICODE_STRING` with its text in one system allocation and returns the address of the structure.
    pub fn make_unicode_string(&self, text: &str) -> u64 {
        let units: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let address = self.system_allocate(16 + units.len() as u64 + 2, format!("string {text:?}"));
        let length = u16::try_from(units.len()).expect("a string of at most 32 KiB");
        self.write(address, length);
        self.write(address + 2, length + 2);
        self.write(address + 8, address + 16);
        self.write_bytes(address + 16, &units);
        address
    }
}
