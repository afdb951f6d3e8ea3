//! TraceLogging descriptions, computed at compile time.
//!
//! An event's description is: its size in bytes (u16, itself included), a tag byte (0), the event's name with
//! a terminating zero, and for each field its name with a terminating zero, an input type and, if bit 7 of the
//! input type is set, an output type. (TraceLoggingProvider.h of the Windows SDK; crate `tracelogging` writes
//! the same.)

use crate::{Field, Kind};

/// Room for one description; [`describe`] fails to compile when an event needs more.
pub(crate) const ROOM: usize = 160;

/// TlgInUINT64.
const IN_U64: u8 = 10;
/// TlgInHEXINT64: an unsigned 64-bit number shown in hexadecimal.
const IN_HEX64: u8 = 21;

/// The description of an event, and how many bytes of it are used.
pub(crate) const fn describe(name: &str, fields: &[Field]) -> ([u8; ROOM], usize) {
    let mut bytes = [0; ROOM];
    // Two bytes of size, filled in last, and the tag.
    let mut at = append(&mut bytes, 3, name);
    let mut index = 0;
    while index < fields.len() {
        let field = &fields[index];
        at = append(&mut bytes, at, field.name);
        bytes[at] = match field.kind {
            Kind::Number | Kind::Named(_) => IN_U64,
            Kind::Hex | Kind::Status => IN_HEX64,
        };
        at += 1;
        index += 1;
    }
    assert!(at <= ROOM && at <= u16::MAX as usize);
    let size = (at as u16).to_le_bytes();
    bytes[0] = size[0];
    bytes[1] = size[1];
    (bytes, at)
}

/// Writes `text` and its terminating zero at `at`; the index behind it.
const fn append(bytes: &mut [u8; ROOM], at: usize, text: &str) -> usize {
    let text = text.as_bytes();
    let mut index = 0;
    while index < text.len() {
        assert!(text[index] != 0, "a name ends at its first zero byte");
        bytes[at + index] = text[index];
        index += 1;
    }
    at + text.len() + 1
}
