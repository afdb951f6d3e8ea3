//! Where the instructions of the client path go: callgrind's own account of each function, summed by stage.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use crate::command::Failure;

/// Stages of the way, and how their functions' names end. What is inlined counts as its caller.
const STAGES: &[(&str, &[&str])] = &[
    ("a copy: checks, descriptor, request", &["Client::copy", "::copy_plain", "::copy_pieces", "::accepted"]),
    ("a post: flags, links, counters", &["::post", "::try_again"]),
    ("the provider: its register", &["Provider::ring"]),
    ("a report: word, walk, order, lock", &["Client::interrupt", "memcpy", "memcpy_avx_unaligned_erms"]),
    ("the client's callback", &["client::callback"]),
];

/// Everything else: the loop that posts and the engine that completes.
const REST: &str = "the bench's loop and its engine";

/// Instructions by stage.
pub type Stages = BTreeMap<&'static str, u64>;

/// Reads what callgrind wrote.
///
/// # Errors
/// The file cannot be read.
pub fn read(path: &Path) -> Result<Stages, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
    Ok(sum(&text))
}

/// The instructions that each stage's functions did themselves (Callgrind Format Specification: a line after `calls=` is the
/// inclusive cost of that call, every other line of numbers the function's own).
fn sum(text: &str) -> Stages {
    let mut stages = Stages::new();
    let (mut stage, mut is_call) = (REST, false);
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("fn=") {
            stage = stage_of(name);
        } else if line.starts_with("calls=") {
            is_call = true;
        } else if line.starts_with(|first: char| first.is_ascii_digit()) && !std::mem::take(&mut is_call) {
            let own = line.split(' ').nth(1).and_then(|word| word.parse::<u64>().ok()).unwrap_or(0);
            *stages.entry(stage).or_default() += own;
        }
    }
    stages
}

fn stage_of(name: &str) -> &'static str {
    let belongs = |ends: &[&str]| ends.iter().any(|end| name.ends_with(end));
    STAGES.iter().find(|(_, ends)| belongs(ends)).map_or(REST, |(stage, _)| stage)
}

/// The table: stages by batch, in instructions per descriptor.
pub fn section(batches: &[(u32, Stages)], descriptors: f64) -> String {
    let mut text = String::from("| Stage |");
    // Writing to a String cannot fail.
    for (batch, _) in batches {
        let _ = write!(text, " {batch} |");
    }
    let _ = writeln!(text, "\n|---|{}", "---|".repeat(batches.len()));
    for stage in STAGES.iter().map(|(stage, _)| *stage).chain([REST]) {
        let _ = write!(text, "| {stage} |");
        for (_, stages) in batches {
            let count = stages.get(stage).copied().unwrap_or(0);
            let _ = write!(text, " {:.1} |", count as f64 / descriptors);
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "# callgrind format\nevents: Ir Dr\nsummary: 126 9\n\nfl=a.rs\nfn=netdma_bench::client::Client::rounds\n\
                          10 5 1\ncfn=netdma_bench::client::Client::copy\ncalls=2 30\n11 120 8\n12 1 0\n\n\
                          fl=b.rs\nfn=netdma_bench::client::Client::copy\n30 100 8\nfi=c.rs\n40 20 0\n";

    #[test]
    fn a_functions_own_instructions_count_and_its_calls_do_not() {
        let stages = sum(OUTPUT);
        assert_eq!(stages.get(REST), Some(&6));
        assert_eq!(stages.get(STAGES[0].0), Some(&120));
    }

    #[test]
    fn the_stages_add_up_to_the_whole() {
        let stages = sum(OUTPUT);
        assert_eq!(stages.values().sum::<u64>(), 126);
        let table = section(&[(8, stages)], 2.0);
        assert!(table.starts_with("| Stage | 8 |\n|---|---|\n"), "{table}");
        assert!(table.contains("| a copy: checks, descriptor, request | 60.0 |"), "{table}");
    }
}
