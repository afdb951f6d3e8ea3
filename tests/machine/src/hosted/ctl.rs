//! The command line of `cargo xtask ctl`: the machine's options, then netdmactl's words.

use std::ffi::OsString;

use ioat_model::Options;

use crate::lab::{ENGINE, Setup};

/// What `cargo xtask ctl --help` says.
pub const HELP: &str = include_str!("help.txt");

/// Takes the machine's options off the front; what follows is netdmactl's.
///
/// # Errors
/// One line that names the word and says what would be right.
pub fn split(words: Vec<OsString>) -> Result<(Setup, Vec<OsString>), String> {
    let mut words = words.into_iter().peekable();
    let (mut engines, mut cpus, mut seed, mut device, mut faults) = (2, 2, 1, ENGINE, Vec::new());
    while let Some(name) = words.next_if(is_ours) {
        let name = name.to_string_lossy().into_owned();
        let value = words.next().and_then(|value| value.into_string().ok());
        let value = value.ok_or_else(|| format!("{name} needs a value; see `cargo xtask ctl --help`"))?;
        let number = |range: std::ops::RangeInclusive<u64>| {
            value.parse().ok().filter(|number| range.contains(number)).ok_or_else(|| {
                format!("{name} {value}: give a number from {} to {}", range.start(), range.end())
            })
        };
        match name.as_str() {
            "--engines" => engines = number(1..=8)? as u8,
            "--cpus" => cpus = number(1..=8)? as u32,
            "--machine-seed" => seed = number(0..=u64::MAX)?,
            "--device" => {
                device = value
                    .split_once(':')
                    .and_then(|(vendor, device)| {
                        Some((u16::from_str_radix(vendor, 16).ok()?, u16::from_str_radix(device, 16).ok()?))
                    })
                    .ok_or_else(|| format!("--device {value}: give a PCI id such as 8086:6f20"))?;
            }
            _ => {
                let plan: ioat_model::FaultPlan = value
                    .parse()
                    .map_err(|bad: ioat_model::BadFault| format!("--fault {value}: {}", bad.message))?;
                faults.extend(plan.faults);
            }
        }
    }
    let (vendor, id) = device;
    let mut options = (0..engines)
        .map(|number| Options::function_of(vendor, id, number))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|bad| format!("{vendor:04x}:{id:04x} with {engines} engines: {bad}"))?;
    if let Some(first) = options.first_mut() {
        first.faults.faults = faults;
    }
    let setup = Setup {
        cpus,
        seed,
        memory: 256 << 20,
        remapping: false,
        engines: options,
        free_running: false,
        single_step: false,
        replay: None,
    };
    let mut rest: Vec<OsString> = words.collect();
    if rest.first().is_some_and(|word| word == "--") {
        rest.remove(0);
    }
    Ok((setup, rest))
}

fn is_ours(word: &OsString) -> bool {
    ["--engines", "--cpus", "--machine-seed", "--device", "--fault"].iter().any(|ours| word == ours)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(words: &[&str]) -> Result<(Setup, Vec<OsString>), String> {
        super::split(words.iter().map(OsString::from).collect())
    }

    #[test]
    fn the_machine_takes_its_options_and_leaves_the_rest() {
        let (setup, rest) =
            split(&["--cpus", "4", "--fault", "skip-copy copy=3", "stats", "--watch", "1"]).unwrap();
        assert_eq!((setup.cpus, setup.engines.len()), (4, 2));
        assert_eq!(setup.engines[0].faults.to_string(), "skip-copy copy=3\n");
        assert!(setup.engines[1].faults.faults.is_empty());
        assert_eq!(rest, ["stats", "--watch", "1"]);
        assert_eq!(split(&["--", "--help"]).unwrap().1, ["--help"]);
    }

    #[test]
    fn each_mistake_is_named_in_one_line() {
        for (words, named) in [
            (&["--cpus"][..], "--cpus needs a value"),
            (&["--engines", "9", "list"], "--engines 9: give a number from 1 to 8"),
            (&["--device", "6f20"], "--device 6f20: give a PCI id"),
            (&["--device", "8086:0b25"], "8086:0b25"),
            (&["--fault", "nonsense"], "--fault nonsense"),
        ] {
            let line = split(words).unwrap_err();
            assert!(line.contains(named) && !line.contains('\n'), "{words:?}: {line}");
        }
    }
}
