//! The guides for providers and clients: their snippets are the sources they name, their examples run, and the import library they
//! describe has every function.

#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::path::PathBuf;

use machine::lab::{Failure, Lab, Setup};
use machine::soft::Soft;
use netdmasoft_control::Entry;
use nthost::pnp::Problem;

const GUIDES: [&str; 2] = ["docs/provider-guide.md", "docs/client-guide.md"];
/// Folders whose sources the guides show.
const EXAMPLES: [&str; 2] = ["tests/provider/src", "tests/copy/src"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The part of a source between `// guide: NAME` and `// guide: end`, moved to the left margin.
fn region(path: &str, name: &str) -> String {
    let source = read(path);
    let begin = format!("// guide: {name}");
    let lines = source.lines().skip_while(|line| line.trim() != begin).skip(1);
    let lines: Vec<&str> = lines.take_while(|line| line.trim() != "// guide: end").collect();
    assert!(!lines.is_empty(), "{path} has no part {name:?}");
    let full = lines.iter().filter(|line| !line.trim().is_empty());
    let margin = full.map(|line| line.len() - line.trim_start().len()).min().unwrap_or(0);
    lines.iter().map(|line| format!("{}\n", line.get(margin..).unwrap_or(""))).collect()
}

/// Every snippet of a guide: file, part, text.
fn snippets(guide: &str) -> Vec<(String, String, String)> {
    let page = read(guide);
    page.split("<!-- from ")
        .skip(1)
        .map(|rest| {
            let (head, rest) = rest.split_once(" -->\n\n```rust\n").expect("a snippet follows its origin");
            let (path, name) = head.split_once(": ").expect("file and part");
            let (text, _) = rest.split_once("```").expect("a snippet ends");
            (path.to_owned(), name.to_owned(), text.to_owned())
        })
        .collect()
}

#[test]
fn every_snippet_is_the_part_of_the_source_that_it_names() {
    let mut shown = BTreeSet::new();
    for guide in GUIDES {
        for (path, name, text) in snippets(guide) {
            assert_eq!(text, region(&path, &name), "{guide}: {path}: {name}");
            shown.insert((path, name));
        }
    }
    let mut marked = BTreeSet::new();
    for folder in EXAMPLES {
        for entry in std::fs::read_dir(root().join(folder)).expect("the example").flatten() {
            let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
            let source = read(&path);
            let names = source.lines().filter_map(|line| line.trim().strip_prefix("// guide: "));
            marked.extend(names.filter(|name| *name != "end").map(|name| (path.clone(), name.to_owned())));
        }
    }
    assert_eq!(marked, shown, "every marked part is shown");
}

#[test]
fn the_module_definition_names_every_export_of_the_image() -> Result<(), Failure> {
    let definition = read("interface/netdma.def");
    let listed = definition.lines().skip_while(|line| *line != "EXPORTS").skip(1).map(str::trim);
    let listed: BTreeSet<String> = listed.map(str::to_owned).collect();
    let mut lab = Setup::new(0)?.power_on()?;
    lab.install("netdma")?;
    let exported = lab.run(|k| {
        let image = k.load_installed("netdma").map_err(|error| Failure::Other(error.to_string()))?;
        let image = k.images().into_iter().find(|loaded| loaded.id == image).expect("just loaded");
        Ok::<_, Failure>(image.exports.keys().cloned().collect::<BTreeSet<String>>())
    })??;
    let entry_points = ["DllInitialize", "DllUnload", "DriverEntry"];
    let functions: BTreeSet<String> =
        exported.into_iter().filter(|name| !entry_points.contains(&name.as_str())).collect();
    assert_eq!(listed, functions);
    Ok(())
}

/// Installs the client example; why its device does not work, if it does not.
fn copy_example(lab: &mut Lab) -> Result<Option<Problem>, Failure> {
    let device = lab.run(|k| k.create_root_device(r"Root\NetDmaCopy"))?;
    lab.install("netdmacopy")?;
    Ok(lab.run(|k| k.device(device))?.and_then(|report| report.problem))
}

/// Bytes that an engine copied for clients that are gone, by the first provider's counters.
fn copied(lab: &mut Lab) -> Result<usize, Failure> {
    Ok(lab.event_names()?.iter().filter(|name| **name == "ChannelFreed").count())
}

#[test]
fn the_client_example_copies_with_an_engine_and_leaves_nothing_behind() -> Result<(), Failure> {
    let mut lab = Setup::new(1)?.boot()?;
    assert!(copy_example(&mut lab)?.is_none());
    assert_eq!(copied(&mut lab)?, 1, "it had a channel");
    let leaks = lab.shut_down()?;
    assert!(leaks.is_empty(), "{leaks:?}");
    Ok(())
}

#[test]
fn the_client_example_copies_by_itself_where_there_is_no_provider_or_a_broken_one() -> Result<(), Failure> {
    let mut lab = Setup::new(0)?.power_on()?;
    lab.install("netdma")?;
    assert!(copy_example(&mut lab)?.is_none(), "the processor has made the copy");
    assert_eq!(copied(&mut lab)?, 0);
    for entry in [Entry::Allocate, Entry::Start] {
        let mut lab = Setup::new(0)?.power_on()?;
        lab.install("netdma")?;
        let soft = lab.run(Soft::install)??;
        lab.run(|k| soft.fail(k, entry, u32::MAX, netdma_abi::status::STATUS_UNSUCCESSFUL))?;
        assert!(copy_example(&mut lab)?.is_none(), "{entry:?}: the processor has made the copy");
        lab.run(|k| soft.remove(k))??;
        let leaks = lab.shut_down()?;
        assert!(leaks.is_empty(), "{leaks:?}");
    }
    Ok(())
}

#[test]
fn the_provider_example_registers_as_its_settings_say() -> Result<(), Failure> {
    let mut lab = Setup::new(0)?.power_on()?;
    lab.install("netdma")?;
    let soft = lab.run(Soft::install)??;
    lab.add_client_device()?;
    lab.install("netdmatest")?;
    let client = lab.open()?;
    let providers = client.providers(&mut lab)?;
    assert_eq!((providers.len(), providers[0].version), (1, 0x0002_0001), "2.1, as the INF says");
    client.close(&mut lab)?;
    lab.run(|k| soft.remove(k))?
}
