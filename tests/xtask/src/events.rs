//! `cargo xtask events`: docs/events.md, and the tables in the debugger script and in
//! docs/troubleshooting.md, from the table in crate `netdma-events`.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt::Write as _;

use ioat_regs::ChanErr;
use netdma_events::{EVENTS, Entry, Field, Kind, Level, Name, Source};

use crate::arguments::Arguments;
use crate::command::{Command, Failure};
use crate::generated::{self, cell};
use crate::{requirements, workspace};

/// The command.
pub const COMMAND: Command = Command {
    name: "events",
    usage: "[--check]",
    summary: "Write docs/events.md, the table of every event the drivers emit, and what else is made from it.\n\n\
              The debugger script has the names, docs/troubleshooting.md what to do.\n\
              --check  write nothing; fail when one of them is out of date",
    run,
};

/// The generated page.
const PAGE: &str = "docs/events.md";

/// A page, the lines before and behind its generated part, and what makes it.
type Part = (&'static str, &'static str, &'static str, fn() -> String);

/// Files with lines between two marks that are generated: file, first mark, last mark, what stands between.
const PARTS: [Part; 2] = [
    ("docs/windbg/netdma.js", "// events begin\n", "// events end\n", table),
    ("docs/troubleshooting.md", "<!-- events begin -->\n", "<!-- events end -->\n", troubles),
];

fn run(words: Vec<OsString>) -> Result<(), Failure> {
    let arguments = Arguments::parse(words, &["--check"], &[])?;
    arguments.no_rest()?;
    if arguments.has("--check") {
        return check_pages();
    }
    let root = workspace::root();
    generated::write(&root, PAGE, &page())?;
    PARTS.iter().try_for_each(|part| generated::write(&root, part.0, &with_part(part)?))
}

/// Fails when a page or the script is not that of the table, or when no test of the last complete run saw some event.
///
/// # Errors
/// As said.
pub fn check() -> Result<(), Failure> {
    check_pages()?;
    let unseen = unseen(&requirements::events_seen()?);
    if unseen.is_empty() {
        return Ok(());
    }
    Err(Failure::verdict(format!("no test saw an image emit {}", unseen.join(", "))))
}

/// Fails when the committed page or the script is not that of the table.
///
/// # Errors
/// As said.
fn check_pages() -> Result<(), Failure> {
    let root = workspace::root();
    generated::check(&root, PAGE, &page(), COMMAND.name)?;
    PARTS.iter().try_for_each(|part| generated::check(&root, part.0, &with_part(part)?, COMMAND.name))
}

/// The events of the table that are not among those seen.
fn unseen(seen: &BTreeSet<String>) -> Vec<&'static str> {
    EVENTS.iter().map(|entry| entry.name).filter(|name| !seen.contains(*name)).collect()
}

/// A file with its generated part as of today.
fn with_part((file, begin, end, text): &(&str, &str, &str, fn() -> String)) -> Result<String, Failure> {
    let path = workspace::root().join(file);
    let old = std::fs::read_to_string(&path)
        .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
    let parts = old.split_once(begin).and_then(|(before, rest)| Some((before, rest.split_once(end)?.1)));
    let (before, after) =
        parts.ok_or_else(|| Failure::verdict(format!("{file} has lost its marks {begin:?} and {end:?}")))?;
    Ok(format!("{before}{begin}{}{end}{after}", text()))
}

/// Every event that reports a trouble, for those who have seen one.
fn troubles() -> String {
    let mut text = String::from("\n| Event | Image | What happened | What to do |\n|---|---|---|---|\n");
    for entry in EVENTS.iter().filter(|entry| entry.level <= Level::Warning) {
        let _ = writeln!(
            text,
            "| {} ({}) | {} | {} | {} |",
            entry.name,
            entry.id,
            image(entry.source),
            cell(entry.meaning),
            cell(entry.remedy)
        );
    }
    text.push('\n');
    text
}

/// The table as the script reads it: each event with the names and kinds of its values.
fn table() -> String {
    let sets = named();
    let mut text = String::from("const __NAMED = [\n");
    for (_, names) in &sets {
        let names: Vec<String> =
            names.iter().map(|name| format!("{}: {:?}", name.value, name.name)).collect();
        let _ = writeln!(text, "    {{ {} }},", names.join(", "));
    }
    text.push_str("];\nconst __EVENTS = {\n");
    for entry in EVENTS {
        let fields = entry.fields.iter().map(|field| {
            let kind = match field.kind {
                Kind::Number => "\"n\"".into(),
                Kind::Hex => "\"x\"".into(),
                Kind::Status => "\"s\"".into(),
                Kind::Named(names) => {
                    let set = sets.iter().position(|(_, known)| *known == names);
                    format!("__NAMED[{}]", set.unwrap_or_default())
                }
            };
            format!("[{:?}, {kind}]", field.name)
        });
        let fields: Vec<String> = fields.collect();
        let _ = writeln!(
            text,
            "    {}: {{ name: {:?}, fields: [{}] }},",
            entry.id,
            entry.name,
            fields.join(", ")
        );
    }
    text.push_str("};\n");
    text
}

/// The generated page.
fn page() -> String {
    let mut page = String::from(
        "# Events\n\n\
         Generated by `cargo xtask events` from the table in `interface/events`; do not edit. Traces, the history in\n\
         memory and the debugger share these numbers and names. A number is never used for another event.\n",
    );
    // Writing to a String cannot fail.
    for source in [Source::Netdma, Source::Ioatdma, Source::Netdmatest] {
        let image = image(source);
        let _ = write!(
            page,
            "\n## {image}\n\n| Id | Event | Level | Keyword | Values | What happened | What to do |\n\
             |---|---|---|---|---|---|---|\n"
        );
        for entry in EVENTS.iter().filter(|entry| entry.source == source) {
            let _ = writeln!(page, "{}", row(entry));
        }
    }
    page.push_str("\n# Named values\n");
    for (fields, names) in named() {
        let fields: Vec<String> = fields.iter().map(|field| format!("`{field}`")).collect();
        let _ = write!(page, "\n## {}\n\n| Value | Name | Meaning |\n|---|---|---|\n", fields.join(", "));
        for Name { value, name, meaning } in names {
            let _ = writeln!(page, "| {value} | {name} | {} |", cell(meaning));
        }
    }
    let fields: Vec<String> = error_fields().iter().map(|field| format!("`{field}`")).collect();
    let _ = write!(
        page,
        "\n# Error bits\n\n## {}\n\nCHANERR of the engine, and CHANERR_INT, which has the same bits; the value is the sum of\n\
         the masks. `netdmactl errors` prints the names.\n\n| Mask | Name | Meaning |\n|---|---|---|\n",
        fields.join(", ")
    );
    for bit in ChanErr::ALL {
        let _ = writeln!(page, "| {:#x} | {} | {} |", 1_u32 << bit.bit, bit.name, cell(bit.text));
    }
    page
}

fn image(source: Source) -> &'static str {
    match source {
        Source::Netdma => "netdma.sys",
        Source::Ioatdma => "ioatdma.sys",
        Source::Netdmatest => "netdmatest.sys",
    }
}

/// Every field that holds CHANERR bits, as `Event.field`: what ioatdma.sys calls errors and does not name otherwise.
fn error_fields() -> Vec<String> {
    let of_engine = EVENTS.iter().filter(|entry| entry.source == Source::Ioatdma);
    of_engine
        .flat_map(|entry| entry.fields.iter().map(move |field| (entry.name, field)))
        .filter(|(_, field)| matches!(field.kind, Kind::Hex) && field.name.ends_with("errors"))
        .map(|(event, field)| format!("{event}.{}", field.name))
        .collect()
}

fn row(entry: &Entry) -> String {
    let values: Vec<String> = entry.fields.iter().map(field).collect();
    format!(
        "| {} | {} | {:?} | {:?} | {} | {} | {} |",
        entry.id,
        entry.name,
        entry.level,
        entry.keyword,
        values.join(", "),
        cell(entry.meaning),
        cell(entry.remedy)
    )
}

/// A field's name, and how it reads where that is not as a plain number.
fn field(field: &Field) -> String {
    match field.kind {
        Kind::Number => field.name.into(),
        Kind::Hex => format!("{} (hex)", field.name),
        Kind::Status => format!("{} (NTSTATUS)", field.name),
        Kind::Named(_) => format!("{} (named below)", field.name),
    }
}

/// Each set of names that events use, with the fields that use it, as `Event.field`.
fn named() -> Vec<(BTreeSet<String>, &'static [Name])> {
    let mut sets: Vec<(BTreeSet<String>, &'static [Name])> = Vec::new();
    for entry in EVENTS {
        for field in entry.fields {
            let Kind::Named(names) = field.kind else { continue };
            let name = format!("{}.{}", entry.name, field.name);
            match sets.iter_mut().find(|(_, known)| *known == names) {
                Some((fields, _)) => {
                    fields.insert(name);
                }
                None => sets.push((BTreeSet::from([name]), names)),
            }
        }
    }
    sets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_that_no_test_saw_is_named() {
        let mut seen: BTreeSet<String> = EVENTS.iter().map(|entry| entry.name.to_owned()).collect();
        assert_eq!(unseen(&seen), [""; 0]);
        seen.remove("BatchPosted");
        assert_eq!(unseen(&seen), ["BatchPosted"]);
    }

    #[test]
    fn the_committed_page_is_that_of_the_table() {
        if let Err(failure) = check_pages() {
            panic!("{failure}");
        }
    }

    #[test]
    fn the_fields_with_error_bits_are_those_of_the_engine() {
        assert_eq!(
            error_fields(),
            [
                "SelfTestFailed.errors",
                "EngineError.errors",
                "LeftoversCleared.errors",
                "LeftoversCleared.internal_errors"
            ]
        );
    }

    #[test]
    fn every_event_has_one_row() {
        let page = page();
        for entry in EVENTS {
            let start = format!("\n| {} | {} |", entry.id, entry.name);
            assert_eq!(page.matches(&start).count(), 1, "{}", entry.name);
        }
    }
}
