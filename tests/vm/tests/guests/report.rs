//! The section of docs/evidence.md that a complete run writes.

use std::fmt::Write as _;

use ioat_model::Defect;

use crate::scenario::Scenario;

/// A scenario that ended as it must, and the line it ended with.
pub struct Held {
    pub scenario: Scenario,
    pub text: String,
}

/// The mistakes that a driver of others noticed, each with the scenarios in which one did.
fn noticed(held: &[Held]) -> Vec<(Defect, Vec<&'static str>)> {
    let by_others = |defect: Defect| {
        let broken = held.iter().filter(|held| held.scenario.must_be_caught);
        broken.filter(|held| held.scenario.defect() == Some(defect)).map(|held| held.scenario.name).collect()
    };
    Defect::ALL.iter().map(|&defect| (defect, by_others(defect))).collect()
}

/// How many of the seeded mistakes a driver of others noticed.
pub fn mistakes_noticed(held: &[Held]) -> usize {
    noticed(held).iter().filter(|(_, scenarios)| !scenarios.is_empty()).count()
}

/// The section, for a run in which every scenario held.
pub fn section(versions: &str, held: &[Held]) -> String {
    let mut text = format!(
        "Seen with {versions}, all Debian's; QEMU emulates. {} scenarios, each ended as it must.\n\n\
         | Scenario | What is special | What was seen |\n|---|---|---|\n",
        held.len()
    );
    // Writing to a String cannot fail.
    for Held { scenario, text: seen } in held.iter().filter(|held| !held.scenario.must_be_caught) {
        let _ = writeln!(text, "| {} | {} | {seen} |", scenario.name, scenario.special());
    }
    text.push_str(
        "\nBroken engines, each of which a driver that is not ours has to notice:\n\n\
         | Scenario | What is special | Noticed how |\n|---|---|---|\n",
    );
    for Held { scenario, text: seen } in held.iter().filter(|held| held.scenario.must_be_caught) {
        let _ = writeln!(text, "| {} | {} | {seen} |", scenario.name, scenario.special());
    }
    let _ = write!(
        text,
        "\nMistakes seeded into the model, the test that has to fail with each (it does: `mutation` in \
         `tests/model/tests/engine` runs it with and without), and the scenarios above in which drivers of others \
         noticed it, {} of {}:\n\n\
         | Mistake | Caught by our test | Noticed by drivers of others |\n|---|---|---|\n",
        mistakes_noticed(held),
        Defect::ALL.len()
    );
    for (defect, scenarios) in noticed(held) {
        let others = if scenarios.is_empty() { "-".to_owned() } else { scenarios.join(", ") };
        let _ = writeln!(text, "| {} | `{}` | {others} |", defect.what(), defect.caught_by());
    }
    text
}
