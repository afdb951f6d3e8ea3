//! Counted UTF-16 strings.
//!
//! The shape is that of "UNICODE_STRING": lengths in bytes, no end marked. Any IRQL, if the text is not paged.

use core::fmt;
use core::marker::PhantomData;

use wdk_sys::UNICODE_STRING;

/// A borrowed UNICODE_STRING.
#[derive(Clone, Copy)]
pub struct Wide<'a> {
    raw: UNICODE_STRING,
    lives: PhantomData<&'a [u16]>,
}

impl<'a> Wide<'a> {
    /// The string with these characters. What does not fit 32,767 characters is left out.
    #[must_use]
    pub const fn new(characters: &'a [u16]) -> Self {
        const MOST: usize = (u16::MAX / 2) as usize;
        let count = if characters.len() > MOST { MOST } else { characters.len() };
        let bytes = (count * 2) as u16;
        Self {
            raw: UNICODE_STRING {
                Length: bytes,
                MaximumLength: bytes,
                Buffer: characters.as_ptr().cast_mut(),
            },
            lives: PhantomData,
        }
    }

    /// The string that `raw` points to; `None` if it is null or malformed: an odd length, a length above the maximum,
    /// characters at null or at an odd address.
    ///
    /// # Safety
    /// `raw` is null or points to a UNICODE_STRING whose buffer, if not null, holds `Length` bytes that live for `'a`.
    #[must_use]
    pub unsafe fn from_ptr(raw: *const UNICODE_STRING) -> Option<Self> {
        // SAFETY: the caller says what `raw` points to.
        let raw = *unsafe { raw.as_ref() }?;
        let well_formed = raw.Length.is_multiple_of(2)
            && raw.Length <= raw.MaximumLength
            && (raw.Length == 0 || (!raw.Buffer.is_null() && raw.Buffer.is_aligned()));
        well_formed.then_some(Self { raw, lives: PhantomData })
    }

    /// The characters.
    #[must_use]
    pub const fn characters(&self) -> &'a [u16] {
        if self.raw.Length == 0 {
            return &[];
        }
        // SAFETY: the constructors made sure that the buffer holds this many characters and lives for `'a`.
        unsafe { core::slice::from_raw_parts(self.raw.Buffer, (self.raw.Length / 2) as usize) }
    }

    /// As the kernel's functions take it: they read it.
    #[must_use]
    pub const fn as_ptr(&self) -> *mut UNICODE_STRING {
        (&raw const self.raw).cast_mut()
    }
}

impl fmt::Debug for Wide<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for character in char::decode_utf16(self.characters().iter().copied()) {
            write!(f, "{}", character.unwrap_or(char::REPLACEMENT_CHARACTER))?;
        }
        f.write_str("\"")
    }
}

/// A [`Wide`] from an ASCII literal, made at compile time.
#[macro_export]
macro_rules! wide {
    ($text:literal) => {{
        const CHARACTERS: [u16; $text.len()] = $crate::string::widen($text);
        $crate::string::Wide::new(&CHARACTERS)
    }};
}

/// The characters of an ASCII literal. Does not compile for others.
#[must_use]
pub const fn widen<const N: usize>(text: &str) -> [u16; N] {
    let mut characters = [0; N];
    let bytes = text.as_bytes();
    let mut index = 0;
    while index < N {
        assert!(bytes[index].is_ascii(), "only ASCII literals");
        characters[index] = bytes[index] as u16;
        index += 1;
    }
    characters
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::format;

    use super::*;

    #[test]
    fn a_literal_becomes_its_characters() {
        let text = wide!("DWORD");
        assert_eq!(text.characters(), &[68, 87, 79, 82, 68]);
        assert_eq!(format!("{text:?}"), "\"DWORD\"");
    }

    #[test]
    fn an_empty_string_has_no_characters() {
        assert_eq!(Wide::new(&[]).characters(), &[] as &[u16]);
    }

    #[test]
    fn a_malformed_string_is_refused() {
        let mut characters = [65_u16, 66];
        let good = UNICODE_STRING { Length: 4, MaximumLength: 4, Buffer: characters.as_mut_ptr() };
        let odd = UNICODE_STRING { Length: 3, ..good };
        let longer_than_its_buffer = UNICODE_STRING { Length: 4, MaximumLength: 2, ..good };
        let without_buffer = UNICODE_STRING { Buffer: core::ptr::null_mut(), ..good };
        for raw in [odd, longer_than_its_buffer, without_buffer] {
            // SAFETY: the structure is a local; its buffer is null or holds four bytes.
            assert!(unsafe { Wide::from_ptr(&raw) }.is_none());
        }
        // SAFETY: the structure is a local and its buffer holds four bytes.
        let text = unsafe { Wide::from_ptr(&good) }.expect("well formed");
        assert_eq!(text.characters(), &[65, 66]);
        // SAFETY: null is allowed.
        assert!(unsafe { Wide::from_ptr(core::ptr::null()) }.is_none());
    }
}
