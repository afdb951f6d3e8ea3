//! `cargo xtask bench`: what the hot paths cost, counted by callgrind, written into docs/performance.md.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::process::Command as Process;

use serde_json::Value;

use crate::arguments::Arguments;
use crate::bench_rates as rates;
use crate::bench_stages::{self as stages, Stages};
use crate::command::{Command, Failure};
use crate::valgrind::{self, Tools};
use crate::{generated, steps, workspace};

/// The command.
pub const COMMAND: Command = Command {
    name: "bench",
    usage: "[--check]",
    summary: "Count the instructions of the hot paths and write them into docs/performance.md.\n\n\
              --check  write nothing; fail when a path costs more than the page says, by more than 3 per cent\n\n\
              The counts are callgrind's, over the programs in tests/bench, and do not depend on the machine's speed.\n\
              How fast the hosted machine is here goes into the page too, as an indication that nothing checks.\n\
              valgrind is the machine's own, else comes as a Debian package into the cache folder.",
    run,
};

/// The page with the generated sections.
const PAGE: &str = "docs/performance.md";

/// Descriptors that each case does: `DESCRIPTORS` of both modules of tests/bench.
const DESCRIPTORS: f64 = 8192.0;

/// How much dearer than the page says a path may be: another patch level of the compiler moves a few instructions.
const TOLERANCE: f64 = 1.03;

/// The aim for each batch (our choice), and what others' hot paths were counted to cost.
const BATCHES: &[(u32, &str, &str, &str)] = &[
    (1, "100", "85", "153"),
    (8, "50", "42.1", "113.6"),
    (32, "40", "37.5", "109.4"),
    (128, "37", "36.4", "108.4"),
];

/// The engine model's only batch, and its aim (our choice).
const ENGINE_BATCH: u32 = 64;
const ENGINE_AIM: &str = "400";

/// Instructions per descriptor, by path and batch.
type Counts = BTreeMap<(String, u32), f64>;

fn run(words: Vec<OsString>) -> Result<(), Failure> {
    let arguments = Arguments::parse(words, &["--check"], &[])?;
    arguments.no_rest()?;
    if arguments.has("--check") {
        return check();
    }
    let tools = valgrind::prepare()?;
    let counts = count(&tools)?;
    print(&counts);
    let rates = rates::measure()?;
    let path = workspace::root().join(PAGE);
    let page = std::fs::read_to_string(&path)
        .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
    let page = write_sections(&page, &counts, &tools)?;
    let page = generated::with_section(&page, COMMAND.name, "stages", &stages_section()?)?;
    let page = generated::with_section(&page, COMMAND.name, "hosted machine", &rates::section(&rates))?;
    generated::write(&workspace::root(), PAGE, &page)
}

/// Fails when a path costs more than the committed page says.
///
/// # Errors
/// As said; or valgrind or the runner cannot be had.
pub fn check() -> Result<(), Failure> {
    let path = workspace::root().join(PAGE);
    let page = std::fs::read_to_string(&path)
        .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
    let committed = committed(&page)?;
    let counts = count(&valgrind::prepare()?)?;
    print(&counts);
    let dearer = dearer(&committed, &counts);
    if dearer.is_empty() {
        return Ok(());
    }
    Err(Failure::verdict(format!(
        "{}\nMake it cheaper, or say why it has to cost that: `cargo xtask bench` writes {PAGE}",
        dearer.join("\n")
    )))
}

fn print(counts: &Counts) {
    for ((path, batch), cost) in counts {
        println!("      {path:<10} batch {batch:>3} {cost:>7.1} instructions per descriptor");
    }
}

/// What costs more than it did.
fn dearer(committed: &Counts, counts: &Counts) -> Vec<String> {
    let mut dearer = Vec::new();
    for ((path, batch), cost) in counts {
        match committed.get(&(path.clone(), *batch)) {
            None => dearer.push(format!("{PAGE} has no figure for {path}, batch {batch}")),
            Some(before) if *cost > before * TOLERANCE => dearer.push(format!(
                "{path}, batch {batch}: {cost:.1} instructions per descriptor, {PAGE} says {before:.1}"
            )),
            Some(_) => {}
        }
    }
    dearer
}

/// Runs every case under callgrind.
fn count(tools: &Tools) -> Result<Counts, Failure> {
    let mut counts = Counts::new();
    let mut nonsense = None;
    let mut bench = steps::cargo_command();
    bench
        .args(["bench", "--package", "netdma-bench", "--bench", "cost", "--", "--output-format=json"])
        .env("GUNGRAUN_RUNNER", &tools.runner)
        .env("GUNGRAUN_VALGRIND_BIN", &tools.valgrind);
    steps::run("bench", &mut bench, |line| {
        if line.starts_with('{') {
            match case(line) {
                Some((name, total)) => _ = counts.insert(name, total as f64 / DESCRIPTORS),
                None => nonsense = Some(line.to_owned()),
            }
        }
    })?;
    if let Some(line) = nonsense {
        return Err(Failure::usage(format!("the summary of a case was not understood: {line}")));
    }
    let cases = 2 * BATCHES.len() + 1;
    if counts.len() != cases {
        return Err(Failure::usage(format!("{} cases were counted in place of {cases}", counts.len())));
    }
    Ok(counts)
}

/// The path, batch and instructions of a case from its summary (gungraun's schema, version 6).
fn case(summary: &str) -> Option<((String, u32), u64)> {
    let summary: Value = serde_json::from_str(summary).ok()?;
    let path = summary.get("function_name")?.as_str()?.to_owned();
    let batch = summary.get("id")?.as_str()?.strip_prefix("batch_")?.parse().ok()?;
    Some(((path, batch), instructions(summary.get("profiles")?)?))
}

/// The number under `Ir` in a case's profile: new alone, or new and that of the run before.
fn instructions(profiles: &Value) -> Option<u64> {
    let metrics = profiles.pointer("/0/summaries/total/summary/Callgrind/Ir/metrics")?;
    metrics.get("Left").or_else(|| metrics.pointer("/Both/0"))?.get("Int")?.as_u64()
}

fn write_sections(page: &str, counts: &Counts, tools: &Tools) -> Result<String, Failure> {
    let page = generated::with_section(page, COMMAND.name, "client path", &client_section(counts, tools)?)?;
    generated::with_section(&page, COMMAND.name, "engine model", &engine_section(counts)?)
}

/// The section on the way from a client's call to its callback.
fn client_section(counts: &Counts, tools: &Tools) -> Result<String, Failure> {
    let mut text = String::from("| Batch | 2.x | 1.x | Aim | DPDK | SPDK |\n|---|---|---|---|---|---|\n");
    for (batch, aim, dpdk, spdk) in BATCHES {
        let cost = |path: &str| figure(counts, path, *batch);
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "| {batch} | {} | {} | {aim} | {dpdk} | {spdk} |",
            cost("client_2x")?,
            cost("client_1x")?
        );
    }
    let _ = write!(
        text,
        "\nCounted with {}, cargo's bench profile, {}; {}.\n",
        compiler()?,
        std::env::consts::ARCH,
        tools.versions
    );
    Ok(text)
}

/// The section on where the client path's instructions go, from what callgrind has left of the cases of 2.x.
fn stages_section() -> Result<String, Failure> {
    let mut batches: Vec<(u32, Stages)> = Vec::new();
    for (batch, ..) in BATCHES {
        let case = format!("client_2x.batch_{batch}");
        let path = format!("target/gungraun/netdma-bench/cost/cost/{case}/callgrind.{case}.out");
        batches.push((*batch, stages::read(&workspace::root().join(path))?));
    }
    Ok(stages::section(&batches, DESCRIPTORS))
}

/// The section on the engine model.
fn engine_section(counts: &Counts) -> Result<String, Failure> {
    let cost = figure(counts, "engine", ENGINE_BATCH)?;
    Ok(format!(
        "| Batch | Model and bench | Aim |\n|---|---|---|\n| {ENGINE_BATCH} | {cost} | {ENGINE_AIM} |\n"
    ))
}

fn figure(counts: &Counts, path: &str, batch: u32) -> Result<String, Failure> {
    counts
        .get(&(path.to_owned(), batch))
        .map(|cost| format!("{cost:.1}"))
        .ok_or_else(|| Failure::usage(format!("{path} was not counted with batch {batch}")))
}

/// The figures that the page has now: the rows of its tables.
fn committed(page: &str) -> Result<Counts, Failure> {
    let mut counts = Counts::new();
    for (section, paths) in [("client path", &["client_2x", "client_1x"][..]), ("engine model", &["engine"])]
    {
        for row in generated::section(page, COMMAND.name, section)?.lines() {
            let mut cells = row.split('|').map(str::trim).skip(1);
            let Some(batch) = cells.next().and_then(|cell| cell.parse().ok()) else { continue };
            for (path, cell) in paths.iter().zip(cells) {
                let cost = cell
                    .parse()
                    .map_err(|_| Failure::usage(format!("{PAGE}: {cell:?} is no figure, in {row:?}")))?;
                counts.insert(((*path).to_owned(), batch), cost);
            }
        }
    }
    Ok(counts)
}

/// What `rustc --version` says.
fn compiler() -> Result<String, Failure> {
    let output = Process::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
        .arg("--version")
        .current_dir(workspace::root())
        .output()
        .map_err(|error| Failure::usage(format!("rustc: {error}")))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(client: f64) -> Counts {
        let batches = BATCHES.iter().map(|(batch, ..)| *batch);
        let mut counts: Counts =
            batches.clone().map(|batch| (("client_2x".to_owned(), batch), client)).collect();
        counts.extend(batches.map(|batch| (("client_1x".to_owned(), batch), 99.94)));
        counts.insert(("engine".to_owned(), ENGINE_BATCH), 400.0);
        counts
    }

    #[test]
    fn the_page_has_a_figure_for_every_case() {
        let page = std::fs::read_to_string(workspace::root().join(PAGE)).unwrap();
        let committed = committed(&page).unwrap();
        assert!(committed.keys().eq(counts(1.0).keys()), "{committed:?}");
    }

    #[test]
    fn what_is_written_is_what_is_read_back() {
        let tools = Tools { runner: "r".into(), valgrind: "v".into(), versions: "of both".into() };
        let counts = counts(37.26);
        let mut page = String::from("# Page\n");
        for name in ["client path", "engine model"] {
            page.push_str(&format!("<!-- cargo xtask bench: {name} -->\n<!-- end of {name} -->\n"));
        }
        let page = write_sections(&page, &counts, &tools).unwrap();
        let read = committed(&page).unwrap();
        assert_eq!(read.len(), counts.len());
        assert!(read.iter().all(|(case, cost)| (cost - counts[case]).abs() < 0.051), "{page}");
    }

    #[test]
    fn only_what_got_dearer_by_more_than_the_tolerance_is_reported() {
        assert_eq!(dearer(&counts(100.0), &counts(102.9)), [""; 0]);
        assert_eq!(dearer(&counts(100.0), &counts(50.0)), [""; 0]);
        let dearer = dearer(&counts(100.0), &counts(103.1));
        assert_eq!(dearer.len(), BATCHES.len());
        assert!(dearer[0].contains("client_2x, batch 1: 103.1") && dearer[0].contains("100.0"), "{dearer:?}");
    }

    #[test]
    fn a_summary_gives_path_batch_and_instructions() {
        let profile = |metrics: &str| {
            format!(
                r#"{{"function_name":"client_2x","id":"batch_8","profiles":[{{"summaries":{{"total":{{"summary":{{"Callgrind":{{"Ir":{{"metrics":{metrics}}}}}}}}}}}}}]}}"#
            )
        };
        let name = ("client_2x".to_owned(), 8);
        assert_eq!(case(&profile(r#"{"Left":{"Int":7}}"#)), Some((name.clone(), 7)));
        assert_eq!(case(&profile(r#"{"Both":[{"Int":8},{"Int":7}]}"#)), Some((name, 8)));
        assert_eq!(case(&profile(r#"{"Right":{"Int":7}}"#)), None);
    }
}
