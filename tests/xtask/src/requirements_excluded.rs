//! Requirements that no test can prove on our drivers, each with the rule that excludes it.
//!
//! The list is short on purpose: what can be observed at all has a test. It is checked against the specifications and the
//! proofs each time the page is made, so a row that a test has come to prove has to go.

use std::collections::BTreeMap;

use proof::Requirement;

use crate::command::Failure;

/// Why a requirement has no test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exclusion {
    /// Its number.
    pub requirement: &'static str,
    /// What excludes it: decisions (D..) of docs/architecture.md, questions (Q..) and sections (§) of docs/spec.
    pub rule: &'static str,
    /// Why, for people.
    pub reason: &'static str,
}

/// Exclusions by requirement.
pub type Excluded = BTreeMap<Requirement, Exclusion>;

/// The list.
const LIST: [Exclusion; 6] = [
    Exclusion {
        requirement: "R17",
        rule: "D1, Q32",
        reason: "our interface always exports NetDmaGetVersion, so the provider imports it; one that is to meet an older \
                 interface would have to look it up",
    },
    Exclusion {
        requirement: "R18",
        rule: "D1, Q32",
        reason: "as R17: without the function the provider does not load, so it never behaves without it",
    },
    Exclusion {
        requirement: "R51",
        rule: "D20",
        reason: "the framework edits the list, and it gives an interrupt's policy to the line that stands in for the \
                 messages, too (KMDF source, FxPkgPnp::FilterResourceRequirements); the driver edits nothing",
    },
    Exclusion {
        requirement: "R224",
        rule: "D4",
        reason: "ioatdma.sys registers as 1.1 or 2.x, which have power notices; never as 1.0",
    },
    Exclusion { requirement: "R225", rule: "D4", reason: "as R224: no engine is registered as 1.0" },
    Exclusion {
        requirement: "R281",
        rule: "D1, Q32",
        reason: "as R17: ioatdma.sys is not meant for a 1.0 interface, and ours always exports NetDmaPnPEventNotify",
    },
];

/// The list, checked.
///
/// # Errors
/// A row whose requirement no specification has, that stands there twice, that lacks a rule or a reason, or that a test
/// proves.
pub fn read(is_proven: impl Fn(Requirement) -> bool) -> Result<Excluded, Failure> {
    check(&LIST, is_proven)
        .map_err(|fault| Failure::verdict(format!("tests/xtask/src/requirements_excluded.rs: {fault}")))
}

fn check(list: &[Exclusion], is_proven: impl Fn(Requirement) -> bool) -> Result<Excluded, String> {
    let mut excluded = Excluded::new();
    for exclusion in list {
        let name = exclusion.requirement;
        let requirement = Requirement::find(name)
            .ok_or_else(|| format!("{name} is in no specification; correct the number or remove the row"))?;
        if exclusion.reason.trim().is_empty() {
            return Err(format!("{name} is excluded without a reason; say why no test can prove it"));
        }
        if !names_a_rule(exclusion.rule) {
            return Err(format!(
                "{name} is excluded by '{}'; name the decision (D..), question (Q..) or section (§..) that does",
                exclusion.rule
            ));
        }
        if is_proven(requirement) {
            return Err(format!("{name} is excluded and proven; remove the row"));
        }
        if excluded.insert(requirement, *exclusion).is_some() {
            return Err(format!("{name} is excluded twice; remove one row"));
        }
    }
    Ok(excluded)
}

/// Whether `rule` is a list of names such as `D16`, `Q3` and `§1.5`.
fn names_a_rule(rule: &str) -> bool {
    rule.split(", ").all(|name| {
        let number = name.strip_prefix(['D', 'Q', '§']).unwrap_or_default();
        !number.is_empty() && number.chars().all(|letter| letter.is_ascii_digit() || letter == '.')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: Exclusion = Exclusion { requirement: "R17", rule: "D1, Q32", reason: "imported" };

    fn refusal(list: &[Exclusion], proven: &[&str]) -> String {
        let proven: Vec<Requirement> = proven.iter().map(|name| Requirement::named(name)).collect();
        check(list, |requirement| proven.contains(&requirement)).unwrap_err()
    }

    #[test]
    fn the_list_itself_is_in_order() {
        let excluded = read(|_| false).unwrap();
        assert_eq!(excluded.len(), LIST.len());
    }

    #[test]
    fn a_good_row_is_kept() {
        let excluded = check(&[ROW], |_| false).unwrap();
        assert_eq!(excluded.get(&Requirement::named("R17")), Some(&ROW));
    }

    #[test]
    fn rows_that_name_nothing_or_say_nothing_or_are_proven_are_refused() {
        assert!(refusal(&[Exclusion { requirement: "R999", ..ROW }], &[]).contains("R999"));
        assert!(refusal(&[Exclusion { reason: " ", ..ROW }], &[]).contains("without a reason"));
        for rule in ["", "D", "because", "D1 Q", "D1, "] {
            let answer = refusal(&[Exclusion { rule, ..ROW }], &[]);
            assert!(answer.contains("name the decision"), "{rule}: {answer}");
        }
        assert!(refusal(&[ROW], &["R17"]).contains("remove the row"));
        assert!(refusal(&[ROW, ROW], &[]).contains("twice"));
    }
}
