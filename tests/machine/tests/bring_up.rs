//! What the Linux driver and ours do to the same engine from finding it to having proven it, register by register, and why
//! they differ: docs/ioat-bringup.md.
#![forbid(unsafe_code)]

mod provider;

use ioat_model::{Options, RegisterAccess, probe_lines};
use machine::lab::{Failure, Setup};
use machine::watched::{Space, Watch};
use provider::{nothing_left, section};

/// What Linux did, as `cargo xtask vm` saw it; the scenario `linux-6f20` holds the file against every run.
const LINUX: &str = include_str!("../../vm/probes/linux-6f20.txt");

/// Whose access it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Linux,
    Ours,
}
use Side::{Linux, Ours};

/// Accesses that only one of them makes at a place, and why. Each is there, and each access that only one makes is here.
const WHY: &[(Side, &str, &str)] = &[
    (Linux, "R32 0x10", CAPABILITIES),
    (Ours, "R32 0x10", CAPABILITIES),
    (Linux, "R64 ch+0x08", TORN),
    (Ours, "R32 ch+0x08", TORN),
    (Ours, "R32 ch+0x0c", TORN),
    (Linux, "W32 ch+0x28 = 0x0", "ours writes errors back only where there are some"),
    (Ours, "R32 ch+0x28", "before a channel gets an owner, ours looks whether an error has halted it"),
    (Ours, "W16 ch+0x00 = 0x0", "a channel that nobody owns neither interrupts nor writes words"),
];

const CAPABILITIES: &str = "copies and nulls need no capability; ours reads them for the log only (H27)";
const TORN: &str = "Linux reads the state at once; on 3.2 the halves were seen torn, so below 3.3 ours reads low, high, and \
                    low again until it stands still. The end of a copy ours sees in the completion word";

/// One row of the comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Row {
    Both(String),
    Only(Side, String),
}

/// The two orders side by side: the longest order that both have in common, and what only one has at its place.
fn align(linux: &[String], ours: &[String]) -> Vec<Row> {
    // Length of what the rests from (i, j) on have in common.
    let mut common = vec![vec![0_usize; ours.len() + 1]; linux.len() + 1];
    for i in (0..linux.len()).rev() {
        for j in (0..ours.len()).rev() {
            common[i][j] = if linux[i] == ours[j] {
                common[i + 1][j + 1] + 1
            } else {
                common[i + 1][j].max(common[i][j + 1])
            };
        }
    }
    let (mut i, mut j, mut rows) = (0, 0, Vec::new());
    while i < linux.len() || j < ours.len() {
        if i < linux.len() && j < ours.len() && linux[i] == ours[j] {
            rows.push(Row::Both(linux[i].clone()));
            (i, j) = (i + 1, j + 1);
        } else if j == ours.len() || i < linux.len() && common[i + 1][j] >= common[i][j + 1] {
            rows.push(Row::Only(Linux, linux[i].clone()));
            i += 1;
        } else {
            rows.push(Row::Only(Ours, ours[j].clone()));
            j += 1;
        }
    }
    rows
}

/// What our images do to a 3.2 engine with MSI-X, up to the end of the self-test.
fn ours() -> Result<Vec<String>, Failure> {
    let watch = Watch::default();
    let mut lab = Setup { engines: Vec::new(), ..Setup::new(1)? }.power_on()?;
    let options = Options::new(0x8086, 0x6F20).expect("an id of the table");
    lab.plug_watched(options, &watch)?;
    lab.install_all()?;
    let accesses: Vec<RegisterAccess> = watch
        .accesses()
        .into_iter()
        // Behind the first channel there is only the table of messages, which is the system's.
        .filter(|access| access.space == Space::Registers && access.offset < 0x100)
        .map(|access| RegisterAccess {
            offset: access.offset,
            width: access.width,
            written: access.is_write.then_some(access.value),
        })
        .collect();
    nothing_left(lab)?;
    Ok(probe_lines(&accesses))
}

/// The table; panics when a difference has no reason, or a reason no difference. Neighbours with one reason are one row.
fn table(rows: &[Row], why: &[(Side, &str, &str)]) -> String {
    let mut used = vec![false; why.len()];
    let mut lines: Vec<(Vec<&str>, Vec<&str>, &str)> = Vec::new();
    for row in rows {
        let (side, line) = match row {
            Row::Both(line) => {
                lines.push((vec![line], vec![line], ""));
                continue;
            }
            Row::Only(side, line) => (*side, line.as_str()),
        };
        let reason = why.iter().position(|(whose, what, _)| (*whose, *what) == (side, line));
        let reason = reason.unwrap_or_else(|| panic!("{side:?} alone does {line}: why?\n{rows:#?}"));
        used[reason] = true;
        let text = why[reason].2;
        if lines.last().is_none_or(|(.., last)| *last != text) {
            lines.push((Vec::new(), Vec::new(), text));
        }
        if let Some((linux, ours, _)) = lines.last_mut() {
            if side == Linux { linux.push(line) } else { ours.push(line) }
        }
    }
    for ((side, line, _), used) in why.iter().zip(used) {
        assert!(used, "{side:?} does not differ by {line} any more");
    }
    let mut text = String::from("| Linux | ioatdma.sys | Why they differ |\n|---|---|---|\n");
    for (linux, ours, why) in lines {
        text.push_str(&format!("| {} | {} | {why} |\n", linux.join(", "), ours.join(", ")));
    }
    text
}

#[test]
fn every_difference_to_the_linux_driver_has_a_reason_and_every_reason_a_difference() -> Result<(), Failure> {
    let linux: Vec<String> = LINUX.lines().map(str::to_owned).collect();
    let rows = align(&linux, &ours()?);
    section("ioat-bringup.md", "bring-up on 8086:6f20", &table(&rows, WHY));
    Ok(())
}

#[test]
#[should_panic(expected = "Ours alone does R8 0x03: why?")]
fn a_difference_without_a_reason_is_noticed() {
    let linux = ["R8 0x08".to_owned()];
    table(&align(&linux, &["R8 0x08".to_owned(), "R8 0x03".to_owned()]), &[]);
}

#[test]
#[should_panic(expected = "Linux does not differ by R8 0x08 any more")]
fn a_reason_without_a_difference_is_noticed() {
    let lines = ["R8 0x08".to_owned()];
    table(&align(&lines, &lines), &[(Linux, "R8 0x08", "no reason")]);
}
