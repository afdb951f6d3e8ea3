//! What the tests of the provider on the real images share.
#![allow(dead_code, reason = "every test binary uses its part of this")]

use ioat_model::{Fault, Options};
use ioat_regs::State;
use machine::client::{ANY_CHANNEL, Client};
use machine::events::Seen;
use machine::lab::{Failure, Lab, PACKAGES, Setup};
use nthost::install::Source;

/// Counter-driven engines: one id of each version, and each with something special about it.
pub const COUNTED: [u16; 6] = [0x402F, 0x3430, 0x6F20, 0x2021, 0x6F50, 0x0B00];

/// One engine of each version.
pub const VERSIONS: [u16; 6] = [0x1A38, 0x402F, 0x3430, 0x6F20, 0x6F50, 0x0B00];

/// A machine with one engine of this id.
pub fn setup(device: u16, change: impl FnOnce(&mut Options)) -> Setup {
    let mut options = Options::new(0x8086, device).expect("the id is in the table");
    change(&mut options);
    Setup { engines: vec![options], ..Setup::new(1).expect("one engine is always possible") }
}

/// A machine with one engine on which these things go wrong.
pub fn faulty(device: u16, faults: &[Fault]) -> Setup {
    setup(device, |options| options.faults.faults.extend_from_slice(faults))
}

/// Installs everything without expecting that the engine starts.
pub fn install(setup: &Setup) -> Result<Lab, Failure> {
    let mut lab = setup.power_on()?;
    lab.add_client_device()?;
    for package in PACKAGES {
        lab.install(package)?;
    }
    Ok(lab)
}

/// A program with one channel open.
pub fn channel(lab: &mut Lab) -> Result<(Client, u32), Failure> {
    let client = lab.open()?;
    let channel = client.open_channel(lab, ANY_CHANNEL)?;
    Ok((client, channel.number))
}

/// The events of this name.
pub fn seen(lab: &mut Lab, name: &str) -> Result<Vec<Seen>, Failure> {
    Ok(lab.events()?.into_iter().filter(|event| event.name() == name).collect())
}

/// Ends the machine; nothing may be left behind.
pub fn nothing_left(lab: Lab) -> Result<(), Failure> {
    let leaks = lab.shut_down()?;
    assert!(leaks.is_empty(), "{leaks:?}");
    Ok(())
}

/// Installs everything with these numbers in place of those of ioatdma's INF.
pub fn install_with(lab: &mut Lab, settings: &[(&str, u32)]) -> Result<(), Failure> {
    install_changed(lab, "ioatdma", settings)
}

/// Installs everything with these numbers in place of those of one package's INF.
pub fn install_changed(lab: &mut Lab, changed: &str, settings: &[(&str, u32)]) -> Result<(), Failure> {
    lab.add_client_device()?;
    for package in PACKAGES {
        let mut source = machine::lab::source(package)?;
        if package == changed {
            change(&mut source, settings);
        }
        lab.install_source(&source)?;
    }
    Ok(())
}

/// Rewrites the numbers at the ends of the lines that set these values.
fn change(source: &mut Source, settings: &[(&str, u32)]) {
    let name = source.inf.to_lowercase();
    let text = source.files.get(&name).cloned().unwrap_or_default();
    let text = String::from_utf8(text).expect("an INF in UTF-8");
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for (setting, value) in settings {
        let line = lines.iter_mut().find(|line| line.contains(&format!(",{setting},0x")));
        let line = line.unwrap_or_else(|| panic!("the INF has no line for {setting}"));
        let end = line.rfind(',').expect("the line has commas");
        line.truncate(end);
        line.push_str(&format!(",{value}"));
    }
    source.files.insert(name, lines.join("\r\n").into_bytes());
}

/// State of channel `number` of the first engine, as CHANSTS has it.
pub fn engine_state(lab: &Lab, number: u8) -> Option<State> {
    lab.engines[0].with(|engine| engine.channel_state(number)).and_then(|(status, _)| status.state())
}

/// What somebody had to say against a removal or a sleep, as a failure.
pub fn vetoed(result: Result<(), impl std::fmt::Display>) -> Result<(), Failure> {
    result.map_err(|error| Failure::Other(error.to_string()))
}

/// How often each event of this name was seen.
pub fn count(lab: &mut Lab, name: &str) -> Result<usize, Failure> {
    Ok(lab.event_names()?.iter().filter(|seen| **seen == name).count())
}

/// Holds one generated section of docs/`name` against what the run gives; the rest of the page is written by hand.
pub fn section(name: &str, what: &str, text: &str) {
    let committed = std::fs::read_to_string(doc(name)).unwrap_or_default();
    let (begin, end) = (format!("<!-- generated: {what} -->\n"), format!("<!-- end of {what} -->\n"));
    let parts = committed.split_once(&begin).and_then(|(head, rest)| Some((head, rest.split_once(&end)?.1)));
    let (head, tail) = parts.unwrap_or_else(|| panic!("docs/{name} has no section {what}"));
    page(name, &format!("{head}{begin}{text}{end}{tail}"));
}

fn doc(name: &str) -> String {
    format!("{}/../../docs/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// Holds docs/`name` against what the run gives, or writes it when UPDATE_DOCS is set.
pub fn page(name: &str, text: &str) {
    let path = doc(name);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, text).expect("the page can be written");
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == text, "docs/{name} is out of date: run this test with UPDATE_DOCS=1");
}
