//! The recording profile for Windows Performance Recorder names the providers that the images register.

#![forbid(unsafe_code)]

use std::collections::BTreeSet;

use machine::lab::{Failure, Setup};
use nthost::Kernel;
use nthost::io::Guid;

/// The lines of the profile's providers: image, detail level, GUID, ETW level.
fn profile() -> Vec<(String, String, String, String)> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/netdma.wprp");
    let text = std::fs::read_to_string(path).expect("docs/netdma.wprp");
    let attribute = |line: &str, name: &str| {
        let (_, rest) = line.split_once(&format!(" {name}=\""))?;
        rest.split_once('"').map(|(value, _)| value.to_owned())
    };
    let providers = text.lines().filter(|line| line.trim_start().starts_with("<EventProvider "));
    providers
        .map(|line| {
            let id = attribute(line, "Id").expect("an id");
            let (image, detail) = id.split_once('_').expect("image and detail");
            let [guid, level] = ["Name", "Level"].map(|name| attribute(line, name).expect("name and level"));
            (image.to_lowercase(), detail.to_owned(), guid, level)
        })
        .collect()
}

#[test]
fn the_recording_profile_names_the_provider_of_each_image() -> Result<(), Failure> {
    let mut lab = Setup::new(1)?.boot()?;
    let events = lab.run(Kernel::trace_events)?;
    let registered: BTreeSet<(String, String)> = events
        .iter()
        .map(|event| {
            // NetDMA.Ioatdma is ioatdma.sys, but netdma.sys is called NetDMA.Interface.
            let image = event.provider.rsplit('.').next().unwrap_or_default().to_lowercase();
            let image = if image == "interface" { "netdma".to_owned() } else { image };
            (image, Guid::from_bytes(event.provider_id).to_string().trim_matches(['{', '}']).to_owned())
        })
        .collect();
    assert_eq!(registered.len(), 3, "{registered:?}");
    for (detail, level) in [("Information", "4"), ("Verbose", "5")] {
        let named: BTreeSet<(String, String)> = profile()
            .into_iter()
            .filter(|(_, of, _, at)| of == detail && at == level)
            .map(|(image, _, guid, _)| (image, guid))
            .collect();
        assert_eq!(named, registered, "{detail}");
    }
    Ok(())
}

#[test]
fn the_profile_refers_to_every_provider_that_it_defines() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/netdma.wprp"))
        .expect("docs/netdma.wprp");
    for (image, detail, _, _) in profile() {
        let reference = format!("value=\"{image}_{}\"", detail.to_lowercase());
        assert_eq!(text.to_lowercase().matches(&reference).count(), 1, "{image} {detail}");
    }
}
