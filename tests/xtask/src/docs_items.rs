//! What public items must say beside what they are: units of numbers, sources of facts, levels of kernel functions.

use std::path::{Path, PathBuf};

use crate::command::Failure;
use crate::docs_sources::{folders, function_name, until_body};

/// Folders whose public numbers must say what they count or in which unit they are.
const NUMBERS: &[&str] = &["interface", "driver", "tools"];

/// Folders whose files state facts about Windows and the hardware: each names a source, or says that it is our choice.
const FACTS: &[&str] =
    &["interface/abi/src", "interface/core/src", "interface/nt/src", "driver/regs/src", "driver/core/src"];

/// The folder whose functions say at which IRQL they may be called: by a token, or in words.
const LEVELS: &[&str] = &["interface/nt/src"];

/// What is excused, and why.
const EXCUSED: &[(&str, &str)] = &[
    (
        "interface/abi/src/x86.rs",
        "layouts of another processor: each field names its amd64 counterpart, which says it",
    ),
    ("interface/nt/src/lib.rs", "a list of modules"),
    ("interface/core/src/lib.rs", "a list of modules"),
    ("interface/nt/src/sync.rs", "re-exports"),
    ("interface/core/src/sync.rs", "re-exports"),
    ("interface/core/src/channel/snapshot.rs", "for a search in tests; states no facts"),
    ("interface/core/src/ring/snapshot.rs", "for a search in tests; states no facts"),
];

/// Words of which the documentation of a number has one: a unit, or what is counted, numbered or encoded.
const MEASURES: &[&str] = &[
    "address",
    "bit",
    "bits",
    "bus",
    "byte",
    "bytes",
    "calls",
    "channel",
    "channels",
    "code",
    "copies",
    "count",
    "cookie",
    "descriptor",
    "descriptors",
    "entries",
    "first",
    "flag",
    "flags",
    "group",
    "handle",
    "how",
    "id",
    "index",
    "instructions",
    "largest",
    "last",
    "least",
    "length",
    "level",
    "mask",
    "messages",
    "microseconds",
    "milliseconds",
    "most",
    "nanoseconds",
    "next",
    "number",
    "offset",
    "page",
    "pages",
    "percent",
    "pointer",
    "position",
    "processor",
    "processors",
    "requests",
    "revision",
    "seconds",
    "size",
    "slot",
    "slots",
    "smallest",
    "status",
    "tag",
    "ticks",
    "times",
    "units",
    "up",
    "value",
    "version",
    "words",
    "zero",
];

/// Complaints about public items, as `file:line: what is missing`.
///
/// # Errors
/// A source file cannot be read.
pub fn complaints(root: &Path) -> Result<Vec<String>, Failure> {
    let mut complaints = Vec::new();
    each_file(root, NUMBERS, |name, text| {
        complaints.extend(
            numbers_without_unit(text)
                .map(|(line, item)| format!("{name}:{line}: {item} says neither unit nor what it counts")),
        );
    })?;
    each_file(root, FACTS, |name, text| {
        if !names_a_source(text) {
            complaints.push(format!("{name}:1: no comment names a source, or says that it is our choice"));
        }
    })?;
    each_file(root, LEVELS, |name, text| {
        complaints.extend(functions_without_level(text).into_iter().map(|(line, item)| {
            format!("{name}:{line}: {item} does not say at which IRQL it may be called")
        }));
    })?;
    let forgotten = EXCUSED.iter().filter(|(file, _)| !root.join(file).exists());
    complaints
        .extend(forgotten.map(|(file, why)| format!("{file} is excused ({why}) and not there: forget it")));
    Ok(complaints)
}

fn each_file(root: &Path, wanted: &[&str], mut look: impl FnMut(&str, &str)) -> Result<(), Failure> {
    let wanted: Vec<PathBuf> = wanted.iter().map(|folder| root.join(folder)).collect();
    folders(root, wanted, |name, text| {
        if !EXCUSED.iter().any(|(file, _)| *file == name) {
            look(name, text);
        }
    })
}

/// An item with its line, counted from one, and its documentation.
struct Item<'t> {
    line: usize,
    /// The line on which it begins.
    code: &'t str,
    documentation: String,
}

/// The lines of code that follow documentation or attributes, or stand alone.
fn items(text: &str) -> impl Iterator<Item = Item<'_>> {
    let mut documentation = String::new();
    text.lines().map(str::trim).enumerate().filter_map(move |(at, code)| {
        if let Some(words) = code.strip_prefix("///") {
            documentation.push_str(words);
            return None;
        }
        if code.starts_with("#[") {
            return None;
        }
        Some(Item { line: at + 1, code, documentation: std::mem::take(&mut documentation) })
    })
}

/// Public fields and constants of an integer type whose documentation has no measure.
fn numbers_without_unit(text: &str) -> impl Iterator<Item = (usize, &str)> {
    items(text).filter_map(|item| {
        let rest = item.code.strip_prefix("pub ")?;
        let rest = rest.strip_prefix("const ").or_else(|| rest.strip_prefix("static ")).unwrap_or(rest);
        let (name, of_type) = rest.split_once(": ")?;
        let of_type = of_type.split([',', ' ', ';']).next().unwrap_or_default().trim_start_matches("Atomic");
        let is_number = ["8", "16", "32", "64", "size"].iter().any(|width| {
            of_type.len() == width.len() + 1 && of_type[1..] == **width && "uiUI".contains(&of_type[..1])
        });
        let is_name = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        (is_number && is_name && !has_measure(&item.documentation)).then_some((item.line, name))
    })
}

fn has_measure(documentation: &str) -> bool {
    let mut words =
        documentation.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty());
    words.any(|word| {
        word.starts_with(|c: char| c.is_ascii_digit()) || MEASURES.contains(&word.to_lowercase().as_str())
    })
}

/// Whether a comment quotes a requirement, a decision, a page, a header or a specification, or says that it is our choice.
fn names_a_source(text: &str) -> bool {
    let mut comments = text.lines().filter_map(|line| line.split_once("//").map(|(_, comment)| comment));
    comments.any(|comment| {
        let quoted =
            comment.split('"').nth(1).is_some_and(|page| page.starts_with(|c: char| c.is_uppercase()));
        let numbered = comment.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| {
            word.len() > 1 && "RHMQDC".contains(&word[..1]) && word[1..].chars().all(|c| c.is_ascii_digit())
        });
        let named = [".h", "netdma.md", "ioat.md", "our choice", "Our choice", "Ours", "spec "];
        quoted || numbered || named.iter().any(|source| comment.contains(source))
    })
}

/// Public functions without a token of a level in their signature, without a word on it in their own documentation, in that
/// of their file, or by being usable in constants.
fn functions_without_level(text: &str) -> Vec<(usize, String)> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let speaks =
        |words: &str| words.contains("IRQL") || words.contains("_LEVEL") || words.contains("any level");
    if lines.iter().filter(|line| line.starts_with("//!")).any(|line| speaks(line)) {
        return Vec::new();
    }
    items(text)
        .filter_map(|item| {
            let name = function_name(item.code)?;
            let signature: Vec<&str> =
                lines[item.line - 1..].iter().scan(false, |ended, line| until_body(ended, line)).collect();
            let signature = signature.join(" ");
            let token = ["Passive", "Dispatch", "irql"].iter().any(|token| signature.contains(token));
            let says = token || item.code.contains("const ") || speaks(&item.documentation);
            (!says).then(|| (item.line, name.to_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_says_its_unit_or_what_it_counts() {
        let text = "/// How long it takes, in milliseconds.\npub time: u32,\n/// The limit.\npub limit: u64,\n\
                    /// The limit.\n#[doc(hidden)]\npub const LIMIT: usize = 3;\n/// A name.\npub name: String,\n\
                    /// Posts so far.\npub posts: AtomicU64,\n/// Posts, a number.\npub all: AtomicU64,\n";
        let found: Vec<_> = numbers_without_unit(text).collect();
        assert_eq!(found, [(4, "limit"), (7, "LIMIT"), (11, "posts")]);
    }

    #[test]
    fn a_file_names_a_source() {
        assert!(!names_a_source("//! Counters.\n// \"quoted\" words and R alone\n"));
        for comment in [
            "/// As R12 says.",
            "// (\"KeSetEvent\")",
            "//! See wdm.h.",
            "// Our choice.",
            "//! ioat.md, 2.8",
        ] {
            assert!(names_a_source(&format!("fn code() {{}} {comment}\n")), "{comment}");
        }
    }

    #[test]
    fn a_kernel_function_says_its_level() {
        let silent = "/// Sets.\npub fn set(\n    &self,\n) {\n}\n/// At any IRQL.\npub fn read() {\n}\n\
                      /// Waits.\npub fn wait(irql: &Passive) {\n}\n/// Makes.\npub const fn new() -> Self {\n}\n";
        assert_eq!(functions_without_level(silent), [(2, "set".to_owned())]);
        assert!(functions_without_level(&format!("//! At DISPATCH_LEVEL.\n{silent}")).is_empty());
    }
}
