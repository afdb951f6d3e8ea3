//! What the table of events promises to those who read traces.

use std::collections::BTreeSet;

use netdma_events::{EVENTS, Event, Hex, Kind, Level, MAX_FIELDS, Refusal, Source, Status};

#[test]
fn numbers_and_names_are_unique() {
    let numbers: BTreeSet<_> = EVENTS.iter().map(|entry| entry.id).collect();
    let names: BTreeSet<_> = EVENTS.iter().map(|entry| entry.name).collect();
    assert_eq!(numbers.len(), EVENTS.len());
    assert_eq!(names.len(), EVENTS.len());
}

#[test]
fn numbers_lie_in_the_range_of_their_driver() {
    for entry in EVENTS {
        let range = match entry.source {
            Source::Netdma => 100..200,
            Source::Ioatdma => 200..300,
            Source::Netdmatest => 300..400,
        };
        assert!(range.contains(&entry.id), "{} has number {}", entry.name, entry.id);
    }
}

#[test]
fn no_event_has_more_fields_than_a_record_holds() {
    for entry in EVENTS {
        assert!(entry.fields.len() <= MAX_FIELDS, "{}", entry.name);
    }
}

#[test]
fn every_error_says_what_to_do() {
    for entry in EVENTS.iter().filter(|entry| entry.level <= Level::Error) {
        assert!(!entry.remedy.is_empty(), "{} reports an error without a remedy", entry.name);
    }
}

#[test]
fn meanings_are_sentences_without_a_full_stop_and_names_are_camel_case() {
    for entry in EVENTS {
        assert!(!entry.meaning.is_empty() && !entry.meaning.ends_with('.'), "{}", entry.name);
        assert!(entry.name.starts_with(|c: char| c.is_ascii_uppercase()), "{}", entry.name);
        assert!(entry.name.chars().all(|c| c.is_ascii_alphanumeric()), "{}", entry.name);
    }
}

#[test]
fn an_event_finds_its_row_and_its_values_stand_in_the_order_of_the_fields() {
    let event = Event::RemappedMemoryRefused { provider: 1, logical: Hex(2), physical: Hex(3) };
    assert_eq!(event.entry().name, "RemappedMemoryRefused");
    let names: Vec<_> = event.entry().fields.iter().map(|field| field.name).collect();
    assert_eq!(names, ["provider", "logical", "physical"]);
    assert_eq!(event.values(), [1, 2, 3, 0]);
}

#[test]
fn a_status_keeps_its_32_bits_and_a_reason_its_number() {
    let event = Event::StartRefused {
        provider: 0,
        reason: Refusal::RemappedMemory,
        detail: Status(0xC000_009A_u32 as i32),
    };
    assert_eq!(event.values(), [0, 11, 0xC000_009A, 0]);
}

#[test]
fn named_values_are_unique_within_their_field() {
    for field in EVENTS.iter().flat_map(|entry| entry.fields) {
        if let Kind::Named(names) = field.kind {
            let values: BTreeSet<_> = names.iter().map(|name| name.value).collect();
            assert_eq!(values.len(), names.len(), "{}", field.name);
        }
    }
}

#[test]
fn descriptions_read_back_as_name_and_fields() {
    // TraceLogging: u16 size, tag 0, name\0, then for each field name\0 and its input type.
    const IN_U64: u8 = 10;
    const IN_HEX64: u8 = 21;
    for entry in EVENTS {
        let bytes = entry.metadata;
        assert_eq!(usize::from(u16::from_le_bytes([bytes[0], bytes[1]])), bytes.len(), "{}", entry.name);
        assert_eq!(bytes[2], 0, "{}", entry.name);
        let mut rest = &bytes[3..];
        assert_eq!(text(&mut rest), entry.name);
        for field in entry.fields {
            assert_eq!(text(&mut rest), field.name);
            let expected = match field.kind {
                Kind::Number | Kind::Named(_) => IN_U64,
                Kind::Hex | Kind::Status => IN_HEX64,
            };
            assert_eq!(rest[0], expected, "{}.{}", entry.name, field.name);
            rest = &rest[1..];
        }
        assert!(rest.is_empty(), "{}", entry.name);
    }
}

/// Takes a zero-terminated text off the front.
fn text<'a>(bytes: &mut &'a [u8]) -> &'a str {
    let length = bytes.iter().position(|&byte| byte == 0).expect("a terminating zero");
    let text = core::str::from_utf8(&bytes[..length]).expect("ASCII");
    *bytes = &bytes[length + 1..];
    text
}
