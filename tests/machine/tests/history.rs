//! The last events of each image, as a crash dump would hold them, held against what the trace session heard.

#![forbid(unsafe_code)]

use machine::client::ANY_CHANNEL;
use machine::lab::{Failure, Lab, Setup};
use netdma_events::history::{HEADER_BYTES, LENGTH, RECORD_BYTES};
use netdma_events::{EVENTS, Level, Source};
use nthost::DumpData;

/// An event as it stands in a dump: name and values.
type Kept = (&'static str, Vec<u64>);

fn number(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

/// The events of a history, oldest first.
fn kept(data: &DumpData) -> Vec<Kept> {
    assert_eq!(data.bytes.len(), HEADER_BYTES + LENGTH * RECORD_BYTES);
    let written = number(&data.bytes, 0);
    let oldest = written.saturating_sub(LENGTH as u64) + 1;
    (oldest..=written)
        .map(|event| {
            let at = HEADER_BYTES + (event as usize % LENGTH) * RECORD_BYTES;
            assert_eq!(number(&data.bytes, at), event, "a record that nobody is writing has its number");
            let id = number(&data.bytes, at + 16) as u16;
            let entry = EVENTS.iter().find(|entry| entry.id == id).expect("an event of the table");
            let values =
                (0..entry.fields.len()).map(|field| number(&data.bytes, at + 32 + 8 * field)).collect();
            (entry.name, values)
        })
        .collect()
}

/// The events of one image that the trace session heard, without the verbose ones.
fn heard(lab: &mut Lab, source: Source) -> Result<Vec<Kept>, Failure> {
    let events = lab.events()?;
    let of_source =
        events.iter().filter(|seen| seen.entry.source == source && seen.entry.level < Level::Verbose);
    Ok(of_source.map(|seen| (seen.entry.name, seen.values.clone())).collect())
}

#[test]
fn a_crash_dump_holds_the_last_events_of_each_image() -> Result<(), Failure> {
    let mut lab = Setup::new(2)?.boot()?;
    let client = lab.open()?;
    let channel = client.open_channel(&mut lab, ANY_CHANNEL)?;
    client.copy_verified(&mut lab, channel.number, 100_000, 1)?;

    let dump = lab.run(|k| k.secondary_dump_data())?;
    assert_eq!(dump.len(), 3, "one history for each image");
    for source in [Source::Netdma, Source::Ioatdma, Source::Netdmatest] {
        let expected = heard(&mut lab, source)?;
        assert!(!expected.is_empty(), "{source:?} was silent");
        assert!(
            dump.iter().any(|data| kept(data) == expected),
            "no history has what {source:?} told: {expected:?}"
        );
    }
    Ok(())
}

#[test]
fn only_the_newest_events_are_kept_when_there_are_many() -> Result<(), Failure> {
    let mut lab = Setup::new(1)?.boot()?;
    let client = lab.open()?;
    for _ in 0..LENGTH {
        let channel = client.open_channel(&mut lab, ANY_CHANNEL)?;
        client.close_channel(&mut lab, channel.number)?;
    }
    let expected = heard(&mut lab, Source::Netdma)?;
    assert!(expected.len() > LENGTH);
    let dump = lab.run(|k| k.secondary_dump_data())?;
    assert!(dump.iter().any(|data| kept(data) == expected[expected.len() - LENGTH..]));
    Ok(())
}

#[test]
fn an_unloaded_image_is_asked_for_nothing() -> Result<(), Failure> {
    let lab = Setup::new(1)?.boot()?;
    // An image that left its routine behind stops the machine when it is unloaded.
    let left = lab.shut_down()?;
    assert!(left.is_empty(), "{left:?}");
    Ok(())
}
