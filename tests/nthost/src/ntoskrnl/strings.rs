//! Counted strings.

use super::status::{BUFFER_TOO_SMALL, SUCCESS};
use crate::export::{ANY, PASSIVE};
use crate::kernel::Kernel;

/// Fields of a `UNICODE_STRING`: Length and MaximumLength in bytes, Buffer.
const MAXIMUM: u64 = 2;
const BUFFER: u64 = 8;
/// The longest a counted string can be, in bytes.
const LONGEST: u64 = 0xFFFE;

fn set(k: &Kernel, string: u64, length: u64, maximum: u64, buffer: u64) {
    k.write(string, length as u16);
    k.write(string + MAXIMUM, maximum as u16);
    k.write(string + BUFFER, buffer);
}

/// Adds `bytes` to a counted string, whole or not at all.
fn append(k: &Kernel, string: u64, bytes: &[u8]) -> i32 {
    let (length, maximum) = (u64::from(k.read::<u16>(string)), u64::from(k.read::<u16>(string + MAXIMUM)));
    let new = length + bytes.len() as u64;
    if new > maximum {
        return BUFFER_TOO_SMALL;
    }
    let buffer: u64 = k.read(string + BUFFER);
    k.write_bytes(buffer + length, bytes);
    if new + 2 <= maximum {
        k.write(buffer + new, 0u16);
    }
    k.write(string, new as u16);
    SUCCESS
}

fn content(k: &Kernel, string: u64) -> Vec<u8> {
    let length = usize::from(k.read::<u16>(string));
    k.bytes(k.read(string + BUFFER), length)
}

fn compare(k: &Kernel, left: u64, right: u64, ignore_case: u8) -> std::cmp::Ordering {
    let text = |string| {
        let text = k.unicode_string(string);
        if ignore_case == 0 { text } else { text.to_uppercase() }
    };
    text(left).encode_utf16().cmp(text(right).encode_utf16())
}

crate::export::exports! {
    module "ntoskrnl.exe";

    /// Makes a counted string of a zero-terminated wide string.
    pure fn RtlInitUnicodeString(k; string: u64, source: u64) [ANY, "Learn, RtlInitUnicodeString"] {
        if source == 0 {
            return set(k, string, 0, 0, 0);
        }
        let length = (0..).take_while(|unit| k.read::<u16>(source + unit * 2) != 0).count() as u64 * 2;
        let length = length.min(LONGEST - 2);
        set(k, string, length, length + 2, source);
    }

    /// Makes a counted string of a zero-terminated string.
    pure fn RtlInitAnsiString(k; string: u64, source: u64) [ANY, "Learn, RtlInitAnsiString"] {
        if source == 0 {
            return set(k, string, 0, 0, 0);
        }
        let length = (0..).take_while(|byte| k.read::<u8>(source + byte) != 0).count() as u64;
        let length = length.min(LONGEST);
        set(k, string, length, length + 1, source);
    }

    /// Copies as much as fits.
    pure fn RtlCopyUnicodeString(k; to: u64, from: u64) [ANY, "Learn, RtlCopyUnicodeString"] {
        let mut bytes = if from == 0 { Vec::new() } else { content(k, from) };
        bytes.truncate(usize::from(k.read::<u16>(to + MAXIMUM)) & !1);
        k.write(to, 0u16);
        append(k, to, &bytes);
    }

    /// Appends a zero-terminated wide string.
    pure fn RtlAppendUnicodeToString(k; to: u64, source: u64) -> i32 [ANY, "Learn, RtlAppendUnicodeToString"] {
        if source == 0 {
            return SUCCESS;
        }
        let length = (0..).take_while(|unit| k.read::<u16>(source + unit * 2) != 0).count() * 2;
        append(k, to, &k.bytes(source, length))
    }

    /// Appends a counted string.
    pure fn RtlAppendUnicodeStringToString(k; to: u64, from: u64) -> i32 [ANY, "Learn, RtlAppendUnicodeStringToString"] {
        append(k, to, &content(k, from))
    }

    /// Compares: negative, zero, positive.
    pure fn RtlCompareUnicodeString(k; left: u64, right: u64, ignore_case: u8) -> i32 [PASSIVE, "Learn, RtlCompareUnicodeString"] {
        compare(k, left, right, ignore_case) as i32
    }

    /// Whether two strings are equal.
    pure fn RtlEqualUnicodeString(k; left: u64, right: u64, ignore_case: u8) -> u8 [PASSIVE, "Learn, RtlEqualUnicodeString"] {
        u8::from(compare(k, left, right, ignore_case).is_eq())
    }
}
