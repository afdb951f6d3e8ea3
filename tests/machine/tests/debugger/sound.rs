//! A machine in which nothing is damaged: the script says what is so.

use std::path::Path;

use ioat_model::FaultPlan;
use ioat_regs::ChanErr;
use machine::client::ANY_CHANNEL;
use machine::events::Seen;
use machine::lab::{Failure, Setup};
use netdma_abi::client;
use netdma_events::history::LENGTH;
use netdma_events::{Level, Source};
use netdma_ioctl::Piece;
use nthost::DumpData;
use serde_json::{Value, json};

use crate::Test;
use crate::session::{Row, Session, SmallDump};

pub const TESTS: &[Test] = &[
    ("the_script_offers_its_five_commands", the_script_offers_its_five_commands),
    ("names_are_those_of_the_symbols", names_are_those_of_the_symbols),
    ("providers_are_those_that_the_interface_lists", providers_are_those_that_the_interface_lists),
    ("channels_stand_as_their_client_knows_them", channels_stand_as_their_client_knows_them),
    ("a_ring_shows_the_copy_in_flight", a_ring_shows_the_copy_in_flight),
    ("a_halted_engine_is_shown_with_its_error", a_halted_engine_is_shown_with_its_error),
    ("histories_are_what_the_trace_session_heard", histories_are_what_the_trace_session_heard),
    ("a_small_dump_tells_the_histories_from_its_secondary_data", a_small_dump_tells_the_histories),
    ("an_image_that_is_not_loaded_is_said_so", an_image_that_is_not_loaded_is_said_so),
];

/// Fails with what was found instead.
pub fn expect(holds: bool, what: impl FnOnce() -> String) -> Result<(), Failure> {
    if holds { Ok(()) } else { Err(Failure::Other(what())) }
}

fn same<T: PartialEq + std::fmt::Debug>(found: T, expected: T, what: &str) -> Result<(), Failure> {
    expect(found == expected, || format!("{what}: found {found:?}, expected {expected:?}"))
}

fn the_script_offers_its_five_commands(node: &Path) -> Result<(), Failure> {
    let session = Session::start(node)?;
    let expected =
        ["providers", "channels", "ring", "engine", "history"].map(|name| format!("netdma_{name}"));
    same(session.commands.as_slice(), expected.as_slice(), "commands")
}

fn names_are_those_of_the_symbols(node: &Path) -> Result<(), Failure> {
    let session = Session::start(node)?;
    for (table, image, name) in [
        ("provider", "netdma", "netdma_core::provider::ProviderState"),
        ("channel", "netdma", "netdma_core::channel::ChannelState"),
        ("completion", "netdma", "netdma_abi::completion::TransferStatus"),
        ("lane", "ioatdma", "ioat_core::state::State"),
    ] {
        let known = session.symbols(image)?.enumeration(name);
        let known = known.ok_or_else(|| Failure::Other(format!("{image} has no enumeration {name}")))?;
        same(&session.tables[table], known, name)?;
    }
    let errors = ChanErr::ALL.iter().map(|error| ((1u32 << error.bit).to_string(), json!(error.name)));
    same(&session.tables["errors"], &Value::Object(errors.collect()), "channel errors")?;
    for (bit, name) in [
        (netdma_abi::descriptor::INTERRUPT_ON_COMPLETION, "interrupt"),
        (netdma_abi::descriptor::STATUS_UPDATE_ON_COMPLETION, "completion-write"),
        (netdma_abi::descriptor::SERIALIZE_TRANSFER, "fence"),
        (netdma_abi::descriptor::NULL_TRANSFER, "null"),
        (netdma_abi::descriptor::SOURCE_NO_SNOOP, "source-no-snoop"),
        (netdma_abi::descriptor::DESTINATION_NO_SNOOP, "destination-no-snoop"),
        (netdma_abi::descriptor::SOURCE_PAGE_BREAK, "source-page-break"),
        (netdma_abi::descriptor::DESTINATION_PAGE_BREAK, "destination-page-break"),
    ] {
        same(&session.tables["flags"][bit.to_string()], &json!(name), "a control flag")?;
    }
    Ok(())
}

fn providers_are_those_that_the_interface_lists(node: &Path) -> Result<(), Failure> {
    let mut session = Session::start(node)?;
    let mut lab = Setup::new(3)?.boot()?;
    let program = lab.open()?;
    program.open_channel(&mut lab, ANY_CHANNEL)?;
    let listed = program.providers(&mut lab)?;
    let rows = session.run(&mut lab, "netdma_providers", json!([]))?;
    same((rows.len(), listed.len()), (3, 3), "providers")?;
    for (row, provider) in rows.iter().zip(listed) {
        let state = match provider.state {
            client::PROVIDER_STOPPED => "Stopped",
            client::PROVIDER_STARTED => "Started",
            client::PROVIDER_STOPPING => "Stopping",
            _ => "PoweredDown",
        };
        let allocated = provider.channels - provider.free_channels;
        for (name, expected) in [
            ("Id", provider.id.to_string()),
            ("State", state.to_owned()),
            ("Channels", provider.channels.to_string()),
            ("Allocated", allocated.to_string()),
            ("Version", format!("{}.{}", provider.version >> 16, provider.version & 0xFFFF)),
            ("MaximumTransfer", provider.maximum_transfer.to_string()),
        ] {
            same(row.field(name), expected, name)?;
        }
    }
    Ok(())
}

fn channels_stand_as_their_client_knows_them(node: &Path) -> Result<(), Failure> {
    let mut session = Session::start(node)?;
    let mut lab = Setup::new(2)?.boot()?;
    let program = lab.open()?;
    let mut opened = Vec::new();
    for ring_size in [256, 1024] {
        let wanted = netdma_ioctl::OpenChannel { ring_size, ..ANY_CHANNEL };
        opened.push(program.open_channel(&mut lab, wanted)?);
    }
    program.copy_verified(&mut lab, opened[1].number, 300_000, 1)?;
    let rows = session.run(&mut lab, "netdma_channels", json!([]))?;
    same(rows.len(), 2, "channels")?;
    for (row, channel) in rows.iter().zip(&opened) {
        let counted = program.statistics(&mut lab, channel.number)?;
        for (name, expected) in [
            ("RingSize", u64::from(channel.ring_size)),
            ("Processor", channel.processor.into()),
            ("Completed", counted.completed),
            ("Failed", counted.errors),
            ("Bytes", counted.interface_bytes),
            ("Interrupts", counted.interrupts),
            ("InFlight", 0),
            ("Pending", 0),
        ] {
            same(row.field(name), expected.to_string(), name)?;
        }
        same(row.field("Doubt"), String::new(), "doubt")?;
    }
    same(rows[0].field("State"), "Initial".into(), "a channel that was not used")?;
    same(rows[1].field("State"), "Idle".into(), "a channel whose work is done")
}

fn a_ring_shows_the_copy_in_flight(node: &Path) -> Result<(), Failure> {
    let mut session = Session::start(node)?;
    // A slow engine: a millisecond for each descriptor. What was just posted is in flight.
    let mut setup = Setup::new(1)?;
    setup.engines[0].timing.per_descriptor = 1_000_000;
    let mut lab = setup.boot()?;
    let program = lab.open()?;
    let channel = program.open_channel(&mut lab, ANY_CHANNEL)?;
    program.copy_verified(&mut lab, channel.number, 64, 1)?;

    // One piece within one page on either side is one descriptor, whose addresses the machine knows.
    let buffer = lab.buffer(0x4000)?;
    let pages = 0x1000 - buffer.address % 0x1000;
    let (source, destination, length) = (pages as u32, pages as u32 + 0x1000, 3000);
    let piece = Piece { source, destination, length, flags: 0 };
    let _copying = program.copy(&mut lab, channel.number, buffer, &[piece])?;
    let physical = |lab: &mut machine::lab::Lab, offset: u32| {
        let address = buffer.address + u64::from(offset);
        lab.run(|k| k.physical(address)).map(|found| format!("{:#x}", found.unwrap_or(0)))
    };
    let (from, to) = (physical(&mut lab, source)?, physical(&mut lab, destination)?);

    let number = session.run(&mut lab, "netdma_channels", json!([]))?[0].field("Number");
    let rows = session.run(&mut lab, "netdma_ring", json!([number.parse::<u32>().unwrap_or(0)]))?;
    let head = &rows[0];
    expect(head.problem().is_none(), || head.text.clone())?;
    let in_flight: Vec<&Row> = rows.iter().filter(|row| row.field("Stage") == "in flight").collect();
    same(in_flight.len(), 1, &format!("descriptors in flight in {rows:#?}"))?;
    for (name, expected) in [("Size", length.to_string()), ("Source", from), ("Destination", to)] {
        same(in_flight[0].field(name), expected, name)?;
    }
    expect(in_flight[0].field("Flags").contains("completion-write"), || in_flight[0].text.clone())?;
    // The word still names what was done last: the slot before.
    let last =
        rows.iter().find(|row| row.field("Stage") == "done").map(|row| format!("slot {}", row.field("Slot")));
    same(Some(head.field("WordNames")), last, "what the completion word names")
}

fn a_halted_engine_is_shown_with_its_error(node: &Path) -> Result<(), Failure> {
    let mut session = Session::start(node)?;
    let plan: FaultPlan =
        "halt descriptor=4+ error=read-data".parse().map_err(|bad| Failure::Other(format!("{bad}")))?;
    let mut lab = Setup::new(2)?.faults(plan).boot()?;
    let program = lab.open()?;
    let providers = program.providers(&mut lab)?;
    let wanted = netdma_ioctl::OpenChannel { provider: providers[0].id, ..ANY_CHANNEL };
    let channel = program.open_channel(&mut lab, wanted)?;
    let outcome = program.copy_verified(&mut lab, channel.number, 200_000, 1);
    expect(outcome.is_err(), || "a copy through a halted engine succeeded".into())?;

    let rows = session.run(&mut lab, "netdma_engine", json!([]))?;
    let (engines, lanes): (Vec<&Row>, Vec<&Row>) =
        rows.iter().partition(|row| row.fields.get("Id").is_some());
    same((engines.len(), lanes.len()), (2, 2), &format!("engines and channels of {rows:#?}"))?;
    for (number, row) in engines.iter().enumerate() {
        let location =
            lab.engine_device(number)?.location.ok_or_else(|| Failure::Other("no location".into()))?;
        let location = format!("{}:{}.{}", location.bus, location.device, location.function);
        same(row.field("Location"), location, "location")?;
        let id = lab.engines[number].with(|engine| (engine.config_read(0, 2), engine.config_read(2, 2)));
        same(row.field("Id"), format!("{:04x}:{:04x}", id.0, id.1), "id")?;
        same(row.field("Interrupts"), "one per channel".into(), "interrupts")?;
    }
    same(lanes[0].field("State"), "Faulted".into(), "the channel that halted")?;
    same(lanes[0].field("ErrorNames"), "read-data".into(), "why")?;
    same(lanes[1].field("State"), "Ready".into(), "the channel of the other engine")?;
    same(lanes[1].field("ErrorNames"), "none".into(), "its error")?;
    same(lanes[1].field("Owner"), "nobody".into(), "its owner")?;

    let counted = program.statistics(&mut lab, channel.number)?;
    let rows = session.run(&mut lab, "netdma_channels", json!([]))?;
    same(rows[0].field("State"), "Halted".into(), "state")?;
    same(rows[0].field("Halts"), counted.halts.to_string(), "halts")?;
    same(rows[0].field("Failed"), counted.errors.to_string(), "requests that failed")?;
    same(lanes[0].field("Owner"), format!("channel {}", rows[0].field("Number")), "owner")
}

/// Images and where their events come from.
const SOURCES: [(&str, Source); 3] =
    [("netdma", Source::Netdma), ("ioatdma", Source::Ioatdma), ("netdmatest", Source::Netdmatest)];

/// What the history of an image holds after these events.
fn told(heard: &[Seen], source: Source) -> Vec<String> {
    let of_source =
        heard.iter().filter(|seen| seen.entry.source == source && seen.entry.level < Level::Verbose);
    let told: Vec<String> = of_source.map(ToString::to_string).collect();
    told[told.len().saturating_sub(LENGTH)..].to_vec()
}

fn event(row: &Row) -> String {
    format!("{} {}", row.field("Name"), row.field("Values")).trim_end().to_owned()
}

fn histories_are_what_the_trace_session_heard(node: &Path) -> Result<(), Failure> {
    let mut session = Session::start(node)?;
    let mut lab = Setup::new(2)?.boot()?;
    let program = lab.open()?;
    for round in 0..150 {
        // More events of netdma.sys than are kept.
        let channel = program.open_channel(&mut lab, ANY_CHANNEL)?;
        if round == 0 {
            program.copy_verified(&mut lab, channel.number, 100_000, 1)?;
        }
        program.close_channel(&mut lab, channel.number)?;
    }
    let heard = lab.events()?;
    let all = session.run(&mut lab, "netdma_history", json!([]))?;
    for (image, source) in SOURCES {
        let kept = told(&heard, source);
        expect(!kept.is_empty(), || format!("{image} was silent"))?;
        let of_image = all.iter().filter(|row| row.field("Module") == image);
        same(of_image.map(event).collect::<Vec<_>>(), kept.clone(), image)?;
        let last = session.run(&mut lab, "netdma_history", json!([image, 2]))?;
        same(last.iter().map(event).collect::<Vec<_>>().as_slice(), &kept[kept.len() - 2..], image)?;
    }
    let times: Vec<u64> = all.iter().filter_map(|row| row.fields["Ticks"].as_u64()).collect();
    expect(times.len() == all.len() && times.is_sorted(), || {
        "events are not in the order of their times".into()
    })
}

fn a_small_dump_tells_the_histories(node: &Path) -> Result<(), Failure> {
    let mut session = Session::start(node)?;
    let mut lab = Setup::new(2)?.boot()?;
    let program = lab.open()?;
    let channel = program.open_channel(&mut lab, ANY_CHANNEL)?;
    program.copy_verified(&mut lab, channel.number, 100_000, 1)?;
    let heard = lab.events()?;
    let images = lab.run(|k| k.images())?;
    let stopped = lab.run(|k| k.call_export("KeBugCheckEx", &[0xE2, 0, 0, 0, 0]));
    let Err(Failure::Stop(stop)) = stopped else {
        return Err(Failure::Other("the machine goes on".into()));
    };
    // Data of another driver stands in front.
    let other = DumpData { id: [0xAB; 16], address: 0, bytes: vec![0x4D; 100] };
    let added = std::iter::once(other).chain(stop.dump).collect();
    let mut dump = SmallDump { images, added };

    let all = session.run_on_dump(&dump, "netdma_history", json!([]))?;
    for (image, source) in SOURCES {
        let of_image: Vec<&Row> = all.iter().filter(|row| row.field("Module") == image).collect();
        same(of_image.iter().copied().map(event).collect::<Vec<_>>(), told(&heard, source), image)?;
        expect(of_image.iter().all(|row| row.field("From") == "secondary data"), || {
            format!("{of_image:#?}")
        })?;
    }
    let rows = session.run_on_dump(&dump, "netdma_channels", json!([]))?;
    expect(rows.len() == 1 && rows[0].text.contains("Unable to read"), || format!("{rows:#?}"))?;

    // Less than a history, and none at all.
    for data in &mut dump.added {
        data.bytes.truncate(40);
    }
    let rows = session.run_on_dump(&dump, "netdma_history", json!(["ioatdma"]))?;
    expect(rows.len() == 1 && rows[0].text.contains("40 bytes, too few"), || format!("{rows:#?}"))?;
    dump.added.clear();
    let rows = session.run_on_dump(&dump, "netdma_history", json!(["ioatdma"]))?;
    expect(rows.len() == 1 && rows[0].text.contains("Unable to read"), || format!("{rows:#?}"))
}

fn an_image_that_is_not_loaded_is_said_so(node: &Path) -> Result<(), Failure> {
    let mut session = Session::start(node)?;
    let mut lab = Setup::new(1)?.power_on()?;
    for (command, expected) in
        [("netdma_providers", "is netdma.sys loaded"), ("netdma_engine", "ioatdma.sys is not loaded")]
    {
        let rows = session.run(&mut lab, command, json!([]))?;
        let problem = rows[0].problem().unwrap_or_default();
        expect(rows.len() == 1 && problem.contains(expected), || format!("{rows:#?}"))?;
    }
    let rows = session.run(&mut lab, "netdma_history", json!(["ioatdma"]))?;
    expect(rows[0].text.contains("is ioatdma.sys loaded"), || format!("{rows:#?}"))?;
    let rows = session.run(&mut lab, "netdma_ring", json!([]))?;
    expect(rows[0].text.contains("of which channel?"), || format!("{rows:#?}"))
}
