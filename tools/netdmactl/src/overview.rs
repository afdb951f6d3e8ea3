//! `list`, `stats`, `errors`: what is read.

use std::collections::BTreeMap;
use std::time::Duration;

use ioat_regs::ChanErr;
use netdma_ioctl::engine::{CHANNEL_FAULTED, CHANNEL_GONE, CHANNEL_LOST, Channel, state_name};
use netdma_ioctl::{Provider, Statistics};
use serde_json::{Value, json};

use crate::Console;
use crate::client::Client;
use crate::engines::{self, EngineReport, processor};
use crate::table::{self, Table};
use crate::transport::{Transport, Trouble};

/// Shows what there is.
///
/// # Errors
/// There is no engine, or it refuses.
pub fn list(
    transport: &mut dyn Transport,
    as_json: bool,
    console: &mut Console<'_>,
) -> Result<bool, Trouble> {
    let engines = engines::read_all(transport)?;
    if as_json {
        writeln!(console.out, "{:#}", all_json(&engines))?;
        return Ok(true);
    }
    if let Some(first) = engines.first() {
        let engine = &first.engine;
        writeln!(
            console.out,
            "NetDMA interface {} (netdma.sys), provider {} (ioatdma.sys)\n",
            engines::version(engine.interface_version),
            engines::driver_version(engine.driver_version)
        )?;
    }
    let mut table = Table::new(&[
        "Engine",
        "Place",
        "Device",
        "Hardware",
        "NetDMA",
        "State",
        "Interrupts",
        "Largest copy",
        "Platform",
    ]);
    for (number, report) in engines.iter().enumerate() {
        table.row([
            number.to_string(),
            report.place(),
            report.id(),
            engines::version(report.engine.hardware_version),
            engines::version(report.engine.version),
            report.state().to_owned(),
            report.interrupts().to_owned(),
            table::bytes(report.engine.maximum_transfer.into()),
            report.platform().to_owned(),
        ]);
    }
    table.print(console.out)?;
    writeln!(console.out)?;
    let mut table =
        Table::new(&["Channel", "State", "In use", "Interrupt at processor", "Reports at processor"]);
    let index = |index| processor(index).map_or_else(|| "-".to_owned(), |index| index.to_string());
    for (name, channel) in named(&engines) {
        table.row([
            name,
            state_name(channel.state).to_owned(),
            if channel.allocated != 0 { "yes" } else { "no" }.to_owned(),
            index(channel.message_processor),
            index(channel.report_processor),
        ]);
    }
    table.print(console.out)?;
    Ok(true)
}

/// What is shown of each channel, and of each provider if the test client is there.
struct Reading {
    engines: Vec<EngineReport>,
    providers: Vec<(Provider, Statistics)>,
}

/// Counters by name, for one channel or provider.
type Counters = Vec<(&'static str, u64)>;

/// Whose they are, and the counters.
type Rows = Vec<(String, Counters)>;

impl Reading {
    fn take(transport: &mut dyn Transport) -> Result<Self, Trouble> {
        let engines = engines::read_all(transport)?;
        let mut providers = Vec::new();
        if let Some(mut client) = Client::open_if_there(transport)? {
            for provider in client.providers()? {
                let statistics = client.provider_statistics(provider.id)?;
                providers.push((provider, statistics));
            }
        }
        Ok(Self { engines, providers })
    }

    /// Of the channels, and of the providers.
    fn rows(&self) -> (Rows, Rows) {
        let channels = named(&self.engines)
            .map(|(name, channel)| {
                let counters = vec![
                    ("Interrupts", channel.interrupts),
                    ("Completions", channel.completions),
                    ("Halts", channel.halts),
                    ("Recovered", channel.recovered),
                    ("Late stops", channel.late_stops),
                ];
                (name, counters)
            })
            .collect();
        let providers = self
            .providers
            .iter()
            .map(|(provider, statistics)| {
                let counters = vec![
                    ("Requests", statistics.accepted),
                    ("Bytes", statistics.interface_bytes),
                    ("Descriptors", statistics.descriptors),
                    ("Starts", statistics.starts),
                    ("Appends", statistics.appends),
                    ("Interrupts", statistics.interrupts),
                    ("Aborted", statistics.aborted),
                    ("Failed", statistics.errors),
                    ("Ring full", statistics.ring_full),
                ];
                (provider.id.to_string(), counters)
            })
            .collect();
        (channels, providers)
    }
}

/// Shows counters, once, or again and again with the change since the last time.
///
/// # Errors
/// There is no engine, or it refuses.
pub fn stats(
    transport: &mut dyn Transport,
    watch: Option<u64>,
    count: Option<u64>,
    as_json: bool,
    console: &mut Console<'_>,
) -> Result<bool, Trouble> {
    let rounds = if watch.is_some() { count.unwrap_or(u64::MAX) } else { 1 };
    let mut before = BTreeMap::new();
    for round in 0..rounds {
        if let (Some(seconds), true) = (watch, round > 0) {
            transport.wait(Duration::from_secs(seconds));
            if !as_json {
                writeln!(console.out)?;
            }
        }
        let (channels, providers) = Reading::take(transport)?.rows();
        if as_json {
            writeln!(
                console.out,
                "{}",
                json!({ "channels": counters_json(&channels), "providers": counters_json(&providers) })
            )?;
        } else {
            print_counters("Channel", &channels, &mut before, round > 0, console)?;
            if !providers.is_empty() {
                writeln!(console.out)?;
                print_counters("Provider", &providers, &mut before, round > 0, console)?;
            }
        }
    }
    Ok(true)
}

/// Prints the rows; from the second time on with what was added since.
fn print_counters(
    kind: &'static str,
    rows: &[(String, Counters)],
    before: &mut BTreeMap<(&'static str, String, &'static str), u64>,
    again: bool,
    console: &mut Console<'_>,
) -> Result<(), Trouble> {
    let mut heading = vec![kind];
    heading.extend(rows.first().into_iter().flat_map(|(_, counters)| counters.iter().map(|(name, _)| *name)));
    let mut table = Table::new(&heading);
    for (whose, counters) in rows {
        let mut row = vec![whose.clone()];
        for (name, value) in counters {
            let old = before.insert((kind, whose.clone(), name), *value).unwrap_or(0);
            row.push(if again {
                format!("{value} +{}", value.saturating_sub(old))
            } else {
                value.to_string()
            });
        }
        table.row(row);
    }
    table.print(console.out)?;
    Ok(())
}

fn counters_json(rows: &[(String, Counters)]) -> Value {
    let rows = rows.iter().map(|(whose, counters)| {
        let mut row = serde_json::Map::new();
        row.insert("name".to_owned(), json!(whose));
        for (name, value) in counters {
            row.insert(name.to_lowercase().replace(' ', "_"), json!(value));
        }
        Value::Object(row)
    });
    rows.collect()
}

/// Shows what went wrong; `false` when something did.
///
/// # Errors
/// There is no engine, or it refuses.
pub fn errors(
    transport: &mut dyn Transport,
    as_json: bool,
    console: &mut Console<'_>,
) -> Result<bool, Trouble> {
    let engines = engines::read_all(transport)?;
    let findings: Vec<(String, String)> = named(&engines)
        .flat_map(|(name, channel)| complaints(&channel).into_iter().map(move |line| (name.clone(), line)))
        .collect();
    let clean = findings.is_empty();
    if as_json {
        let list: Vec<Value> =
            findings.iter().map(|(name, line)| json!({ "channel": name, "finding": line })).collect();
        writeln!(console.out, "{:#}", json!({ "good": clean, "findings": list }))?;
    } else if clean {
        writeln!(console.out, "no errors on {} channels", named(&engines).count())?;
    } else {
        for (name, line) in &findings {
            writeln!(console.out, "{name}: {line}")?;
        }
    }
    Ok(clean)
}

/// What is wrong with a channel, or was.
fn complaints(channel: &Channel) -> Vec<String> {
    let mut lines = Vec::new();
    if channel.halts > 0 {
        let bits = ChanErr(channel.last_errors);
        let cause =
            if bits.is_empty() { "no error bit was set".to_owned() } else { format!("CHANERR {bits}") };
        let meanings: Vec<&str> = bits.bits().map(|bit| bit.text).collect();
        let meanings = if meanings.is_empty() { String::new() } else { format!(": {}", meanings.join("; ")) };
        lines.push(format!("halted {}, the last time with {cause}{meanings}", times(channel.halts)));
    }
    if channel.recovered > 0 {
        lines.push(format!(
            "completed work was found {} without an interrupt: if it goes on, check the interrupt routing",
            times(channel.recovered)
        ));
    }
    if channel.late_stops > 0 {
        lines.push(format!(
            "was slow to stop {}: nothing to do; if it goes on, report the device",
            times(channel.late_stops)
        ));
    }
    match channel.state {
        CHANNEL_FAULTED => lines.push("is halted now: its client starts or resets it".to_owned()),
        CHANNEL_LOST => lines.push("did not finish a reset and is out of use: restart the device".to_owned()),
        CHANNEL_GONE => lines.push("its device has left: rescan for hardware changes".to_owned()),
        _ => {}
    }
    lines
}

fn times(number: u64) -> String {
    if number == 1 { "once".to_owned() } else { format!("{number} times") }
}

fn all_json(engines: &[EngineReport]) -> Value {
    let all: Vec<Value> = engines.iter().enumerate().map(|(number, report)| report.to_json(number)).collect();
    json!({ "engines": all })
}

/// Every channel with its name.
fn named(engines: &[EngineReport]) -> impl Iterator<Item = (String, Channel)> {
    engines.iter().enumerate().flat_map(|(engine, report)| {
        report.channels.iter().map(move |channel| (format!("{engine}.{}", channel.number), *channel))
    })
}
