//! `cargo xtask requirements`: every requirement of the specifications with the tests that prove it.
//!
//! The proofs are those that the last complete `cargo xtask test` recorded (crate `proof`): a test that was not
//! run, or failed, proves nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use proof::{On, Proof, Requirement};

use crate::arguments::Arguments;
use crate::command::{Command, Failure};
use crate::generated::{self, cell};
use crate::requirements_excluded::{self as excluded, Excluded};
use crate::specification::{self, Specification};
use crate::workspace;

/// The command.
pub const COMMAND: Command = Command {
    name: "requirements",
    usage: "[--check] [--open]",
    summary: "List every R, M and H of docs/spec with its tests, and write docs/requirements.md.\n\n\
              The proofs are those of the last complete `cargo xtask test`.\n\
              --check  write nothing; fail when a proof was lost or the page is out of date\n\
              --open   list only what no test proves and no rule excludes",
    run,
};

/// The generated page.
const PAGE: &str = "docs/requirements.md";

/// What the cell of an excluded requirement begins with.
const EXCLUDED: &str = "excluded by ";

/// Written into the record folder when every test has been run.
const COMPLETE: &str = "complete";

/// Proofs by requirement.
type Proofs = BTreeMap<Requirement, BTreeSet<Proof>>;

/// What is known of the requirements.
struct Found {
    /// What tests prove.
    proofs: Proofs,
    /// What rules exclude.
    excluded: Excluded,
}

impl Found {
    /// What these proofs and the list of exclusions say together.
    ///
    /// # Errors
    /// The list is not in order.
    fn of(proofs: Proofs) -> Result<Self, Failure> {
        let excluded = excluded::read(|requirement| proofs.contains_key(&requirement))?;
        Ok(Self { proofs, excluded })
    }

    /// Neither proven nor excluded.
    fn is_open(&self, requirement: Requirement) -> bool {
        !self.proofs.contains_key(&requirement) && !self.excluded.contains_key(&requirement)
    }
}

fn run(words: Vec<OsString>) -> Result<(), Failure> {
    let arguments = Arguments::parse(words, &["--check", "--open"], &[])?;
    arguments.no_rest()?;
    let root = workspace::root();
    let specifications = specification::read(&root)?;
    let found = Found::of(records(&folder())?)?;
    if arguments.has("--check") {
        return check_against(&root, &specifications, &found);
    }
    list(&specifications, &found, arguments.has("--open"));
    if arguments.has("--open") {
        return Ok(());
    }
    generated::write(&root, PAGE, &page(&specifications, &found))
}

/// Where tests record their proofs while `cargo xtask test` runs.
pub fn folder() -> PathBuf {
    workspace::target().join("proofs")
}

/// Empties the record folder for a new run.
///
/// # Errors
/// It cannot be emptied or made.
pub fn begin() -> Result<PathBuf, Failure> {
    let folder = folder();
    let fresh = std::fs::remove_dir_all(&folder)
        .or_else(|error| if error.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
        .and_then(|()| std::fs::create_dir_all(&folder));
    fresh.map_err(|error| Failure::usage(format!("{}: {error}", folder.display())))?;
    Ok(folder)
}

/// Marks the records as those of a complete run.
///
/// # Errors
/// The folder cannot be written.
pub fn end(folder: &Path) -> Result<(), Failure> {
    let path = folder.join(COMPLETE);
    std::fs::write(&path, "").map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
}

/// Fails when the committed page has a proof that the last run has not, or is otherwise out of date.
///
/// # Errors
/// As said, or there are no records of a complete run.
pub fn check() -> Result<(), Failure> {
    let root = workspace::root();
    check_against(&root, &specification::read(&root)?, &Found::of(records(&folder())?)?)
}

fn check_against(root: &Path, specifications: &[Specification], found: &Found) -> Result<(), Failure> {
    let committed = std::fs::read_to_string(root.join(PAGE)).unwrap_or_default();
    let lost: Vec<String> = proven_on(&committed)
        .into_iter()
        .filter(|requirement| !found.proofs.contains_key(requirement))
        .map(|requirement| requirement.to_string())
        .collect();
    if !lost.is_empty() {
        return Err(Failure::verdict(format!(
            "no test proves {} any longer ({PAGE} says one did); restore the test, or say in the commit why not \
             and run `cargo xtask requirements`",
            lost.join(", ")
        )));
    }
    generated::check(root, PAGE, &page(specifications, found), COMMAND.name)
}

/// The requirements that a generated page lists as proven.
fn proven_on(page: &str) -> BTreeSet<Requirement> {
    page.lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| ")?.split(" | ");
            let requirement = Requirement::find(cells.next()?)?;
            let tests = cells.last()?;
            (tests != "open |" && !tests.starts_with(EXCLUDED)).then_some(requirement)
        })
        .collect()
}

/// The events that tests of the last complete run saw images emit.
///
/// # Errors
/// There are no records of a complete run.
pub fn events_seen() -> Result<BTreeSet<String>, Failure> {
    let mut seen = BTreeSet::new();
    each_record(&folder(), "events", |_, line| {
        seen.insert(line.to_owned());
        Ok(())
    })?;
    Ok(seen)
}

/// Reads the proofs of the last complete run.
fn records(folder: &Path) -> Result<Proofs, Failure> {
    let mut proofs = Proofs::new();
    each_record(folder, "proofs", |path, line| {
        let proof: Proof =
            line.parse().map_err(|fault: String| Failure::verdict(format!("{}: {fault}", path.display())))?;
        proofs.entry(proof.requirement).or_default().insert(proof);
        Ok(())
    })?;
    Ok(proofs)
}

/// Shows each line of the records of one kind that the last complete run has left.
fn each_record(
    folder: &Path,
    kind: &str,
    mut take: impl FnMut(&Path, &str) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let unreadable =
        |path: &Path, error: std::io::Error| Failure::usage(format!("{}: {error}", path.display()));
    if !folder.join(COMPLETE).exists() {
        return Err(Failure::usage(format!(
            "{} holds no records of a complete run; run `cargo xtask test` first",
            folder.display()
        )));
    }
    for entry in std::fs::read_dir(folder).map_err(|error| unreadable(folder, error))? {
        let path = entry.map_err(|error| unreadable(folder, error))?.path();
        if path.extension().is_none_or(|extension| extension != kind) {
            continue;
        }
        let text = std::fs::read_to_string(&path).map_err(|error| unreadable(&path, error))?;
        text.lines().try_for_each(|line| take(&path, line))?;
    }
    Ok(())
}

/// Prints all requirements, or only the open ones.
fn list(specifications: &[Specification], found: &Found, open_only: bool) {
    for entry in specifications.iter().flat_map(|specification| &specification.entries) {
        let is_open = found.is_open(entry.requirement);
        if open_only && !is_open {
            continue;
        }
        let mark = if is_open { '?' } else { ' ' };
        println!("{mark} {:<5}{}", entry.requirement.to_string(), entry.text);
        for proof in found.proofs.get(&entry.requirement).into_iter().flatten() {
            println!("         {:<6} {}  ({})", proof.on.word(), proof.test, proof.place);
        }
        if let Some(exclusion) = found.excluded.get(&entry.requirement) {
            println!("         {EXCLUDED}{}: {}", exclusion.rule, exclusion.reason);
        }
    }
    println!();
    for specification in specifications {
        for count in counts(specification, found) {
            println!("{count}");
        }
    }
}

/// How many requirements of one kind are proven, and on what, and how many are excluded.
struct Count {
    kind: char,
    all: usize,
    proven: usize,
    on: [(On, usize); 3],
    excluded: usize,
}

impl std::fmt::Display for Count {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {} of {} proven", self.kind, self.proven, self.all)?;
        for (on, count) in self.on.iter().filter(|(_, count)| *count > 0) {
            write!(f, ", {count} on the {}", on.word())?;
        }
        if self.excluded > 0 {
            write!(f, "; {} excluded", self.excluded)?;
        }
        Ok(())
    }
}

fn counts(specification: &Specification, found: &Found) -> Vec<Count> {
    let mut kinds: Vec<char> = specification.entries.iter().map(|entry| entry.requirement.kind()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds
        .into_iter()
        .map(|kind| {
            let of_kind: Vec<_> =
                specification.entries.iter().filter(|entry| entry.requirement.kind() == kind).collect();
            let proven = |on: Option<On>| {
                of_kind
                    .iter()
                    .filter_map(|entry| found.proofs.get(&entry.requirement))
                    .filter(|found| on.is_none_or(|on| found.iter().any(|proof| proof.on == on)))
                    .count()
            };
            Count {
                kind,
                all: of_kind.len(),
                proven: proven(None),
                on: [On::Image, On::Model, On::Crate].map(|on| (on, proven(Some(on)))),
                excluded: of_kind
                    .iter()
                    .filter(|entry| found.excluded.contains_key(&entry.requirement))
                    .count(),
            }
        })
        .collect()
}

/// The generated page.
fn page(specifications: &[Specification], found: &Found) -> String {
    let mut page = String::from(
        "# Requirements and their tests\n\n\
         Generated by `cargo xtask requirements` from the records of a complete `cargo xtask test`; do not edit. A\n\
         requirement counts as proven when an assertion tagged with its number held in that run. *image*: a driver\n\
         image as it ships, on the hosted machine. *model*: the engine model. *crate*: portable code as an ordinary\n\
         crate. What no test can prove on our drivers is *excluded*, with the rule that does it; what is left is *open*.\n\
         The hosted machine is ours: see [evidence.md](evidence.md).\n\n\
         | Kind | All | Proven | on image | on model | on crate | Excluded | Open |\n|---|---|---|---|---|---|---|---|\n",
    );
    // Writing to a String cannot fail.
    for specification in specifications {
        for Count { kind, all, proven, on: [image, model, portable], excluded } in
            counts(specification, found)
        {
            let open = all - proven - excluded;
            let _ = writeln!(
                page,
                "| {kind} ([{0}](spec/{0})) | {all} | {proven} | {1} | {2} | {3} | {excluded} | {open} |",
                specification.page, image.1, model.1, portable.1
            );
        }
    }
    for specification in specifications {
        let _ = write!(page, "\n## {}\n", specification.title);
        let mut section = "";
        for entry in &specification.entries {
            if entry.section != section {
                section = &entry.section;
                let _ = write!(page, "\n### {section}\n\n| | Requirement | Tests |\n|---|---|---|\n");
            }
            let _ = writeln!(
                page,
                "| {} | {} | {} |",
                entry.requirement,
                cell(&entry.text),
                tests(found, entry.requirement)
            );
        }
    }
    page
}

/// The tests of one requirement, or why it has none. Lines of the sources are left out: they move with every edit.
fn tests(found: &Found, requirement: Requirement) -> String {
    if let Some(exclusion) = found.excluded.get(&requirement) {
        return format!("{EXCLUDED}{}: {}", exclusion.rule, cell(exclusion.reason));
    }
    let mut by_kind: BTreeMap<On, BTreeSet<&str>> = BTreeMap::new();
    for proof in found.proofs.get(&requirement).into_iter().flatten() {
        by_kind.entry(proof.on).or_default().insert(&proof.test);
    }
    if by_kind.is_empty() {
        return "open".into();
    }
    let of_kind = |(on, tests): (&On, &BTreeSet<&str>)| {
        let tests: Vec<String> = tests.iter().map(|test| format!("`{test}`")).collect();
        format!("{}: {}", on.word(), tests.join(", "))
    };
    by_kind.iter().map(of_kind).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests_of_the_page {
    use super::*;
    use crate::specification::Entry;

    fn specifications() -> Vec<Specification> {
        let entry = |name: &str| Entry {
            requirement: Requirement::named(name),
            section: "Version".into(),
            text: "(I; D16) a | b".into(),
        };
        vec![Specification {
            page: "netdma.md",
            title: "NetDMA",
            entries: vec![entry("R14"), entry("R15"), entry("R17")],
        }]
    }

    fn found(lines: &[&str]) -> Found {
        let mut proofs = Proofs::new();
        for line in lines {
            let proof: Proof = line.parse().unwrap();
            proofs.entry(proof.requirement).or_default().insert(proof);
        }
        Found::of(proofs).unwrap()
    }

    /// A repository in the temporary folder that holds only `page`.
    fn repository(name: &str, page: &str) -> PathBuf {
        let root = std::env::temp_dir().join(format!("requirements-{name}-{}", std::process::id()));
        std::fs::create_dir_all(root.join("docs")).unwrap();
        std::fs::write(root.join(PAGE), page).unwrap();
        root
    }

    #[test]
    fn the_page_lists_proven_excluded_and_open_requirements() {
        let found = found(&["R14\timage\troad::a\ta.rs:1", "R14\tcrate\tabi::b\tb.rs:1"]);
        let page = page(&specifications(), &found);
        assert!(page.contains("| R14 | (I; D16) a \\| b | image: `road::a`; crate: `abi::b` |"), "{page}");
        assert!(page.contains("| R15 | (I; D16) a \\| b | open |"), "{page}");
        assert!(page.contains("| R17 | (I; D16) a \\| b | excluded by D1, Q32: "), "{page}");
        assert!(page.contains("| 3 | 1 | 1 | 0 | 1 | 1 | 1 |"), "{page}");
        assert_eq!(proven_on(&page), BTreeSet::from([Requirement::named("R14")]));
    }

    #[test]
    fn a_lost_proof_is_named() {
        let before = found(&["R14\timage\troad::a\ta.rs:1", "R15\timage\troad::a\ta.rs:1"]);
        let root = repository("lost", &page(&specifications(), &before));
        let now = found(&["R14\timage\troad::a\ta.rs:1"]);
        let failure = check_against(&root, &specifications(), &now).unwrap_err().to_string();
        let kept = check_against(&root, &specifications(), &before);
        std::fs::remove_dir_all(&root).unwrap();
        assert!(failure.contains("no test proves R15 any longer"), "{failure}");
        assert!(kept.is_ok());
    }

    #[test]
    fn a_new_proof_makes_the_page_out_of_date() {
        let root = repository("new", &page(&specifications(), &found(&[])));
        let now = found(&["R14\timage\troad::a\ta.rs:1"]);
        let failure = check_against(&root, &specifications(), &now).unwrap_err().to_string();
        std::fs::remove_dir_all(&root).unwrap();
        assert!(failure.contains("out of date"), "{failure}");
    }

    #[test]
    fn a_requirement_that_is_excluded_and_proven_is_refused() {
        let mut proofs = Proofs::new();
        let proof: Proof = "R17\timage\troad::a\ta.rs:1".parse().unwrap();
        proofs.entry(proof.requirement).or_default().insert(proof);
        let failure = Found::of(proofs).err().unwrap().to_string();
        assert!(failure.contains("R17 is excluded and proven"), "{failure}");
    }

    #[test]
    fn records_count_only_when_the_run_was_complete() {
        let folder = repository("records", "");
        std::fs::write(folder.join("1.proofs"), "R14\timage\troad::a\ta.rs:1\n").unwrap();
        let partial = records(&folder);
        end(&folder).unwrap();
        let complete = records(&folder);
        std::fs::write(folder.join("2.proofs"), "R999\timage\troad::a\ta.rs:1\n").unwrap();
        let unknown = records(&folder);
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(partial.unwrap_err().to_string().contains("cargo xtask test"));
        assert_eq!(complete.unwrap().len(), 1);
        assert!(unknown.unwrap_err().to_string().contains("R999"));
    }
}
