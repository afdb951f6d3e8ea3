//! Says at run time which requirement of the specifications a test has just proven.
//!
//! A test wraps the assertion that proves a requirement:
//!
//! ```no_run
//! use proof::proves;
//!
//! let version = 0x0002_0001u32; // what the image answered
//! proves!(image: R14, R15; assert_eq!(version, 0x0002_0001));
//! ```
//!
//! The first word says what was observed: `image` (a real `.sys` on the hosted machine), `model` (the engine
//! model) or `crate` (portable code in an ordinary test). A number that no specification has does not compile.
//! The assertion runs first; only when it held is the proof recorded, and only when the environment variable
//! [`FOLDER`] names a folder, as `cargo xtask test` does. So a tag in a comment, in a test that did not run or
//! beside an assertion that failed counts for nothing.

#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::str::FromStr;
use std::sync::Mutex;

/// The environment variable that names the folder into which each process writes its proofs.
pub const FOLDER: &str = "NETDMA_PROOFS";

/// Highest number of each kind: `R` in docs/spec/netdma.md, `M` and `H` in docs/spec/ioat.md. A test of this
/// crate compares them with the specifications, in which the numbers have no gaps.
pub const HIGHEST: [(u8, u16); 3] = [(b'R', 286), (b'M', 69), (b'H', 47)];

/// A requirement of the specifications, such as `R14`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Requirement {
    kind: u8,
    number: u16,
}

impl Requirement {
    /// The requirement called `name`, or nothing when the specifications have none of that name.
    pub const fn find(name: &str) -> Option<Self> {
        let name = name.as_bytes();
        if name.len() < 2 || name.len() > 4 || name[1] == b'0' {
            return None;
        }
        let mut number = 0;
        let mut at = 1;
        while at < name.len() {
            if !name[at].is_ascii_digit() {
                return None;
            }
            number = number * 10 + (name[at] - b'0') as u16;
            at += 1;
        }
        let mut kind = 0;
        while kind < HIGHEST.len() {
            if HIGHEST[kind].0 == name[0] && number <= HIGHEST[kind].1 {
                return Some(Self { kind: name[0], number });
            }
            kind += 1;
        }
        None
    }

    /// As [`find`](Self::find), for names that are written in the source.
    ///
    /// # Panics
    /// At compile time (through [`proves!`](crate::proves)) when no specification has the number.
    pub const fn named(name: &str) -> Self {
        match Self::find(name) {
            Some(requirement) => requirement,
            None => panic!("no requirement of this name in docs/spec"),
        }
    }

    /// `R`, `M` or `H`.
    pub const fn kind(self) -> char {
        self.kind as char
    }

    /// The number behind the letter.
    pub const fn number(self) -> u16 {
        self.number
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}{}", self.kind(), self.number)
    }
}

/// What was observed when the assertion held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum On {
    /// A driver image as it ships, running on the hosted machine.
    Image,
    /// The engine model.
    Model,
    /// Portable code called as an ordinary crate.
    Crate,
}

impl On {
    /// The word used in the macro and in the records.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Model => "model",
            Self::Crate => "crate",
        }
    }
}

/// One proof as a test recorded it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Proof {
    /// What was proven.
    pub requirement: Requirement,
    /// What was observed.
    pub on: On,
    /// Path of the function that holds the assertion, crate first.
    pub test: String,
    /// Source file and line of the assertion.
    pub place: String,
}

impl fmt::Display for Proof {
    /// One line of a record file: the fields separated by tabs.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}\t{}\t{}\t{}", self.requirement, self.on.word(), self.test, self.place)
    }
}

impl FromStr for Proof {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let fields: Vec<&str> = line.split('\t').collect();
        let [requirement, on, test, place] = fields[..] else {
            return Err(format!("'{line}' is not a proof: four fields separated by tabs were expected"));
        };
        Ok(Self {
            requirement: Requirement::find(requirement)
                .ok_or_else(|| format!("{requirement} ({place}) is in no specification"))?,
            on: [On::Image, On::Model, On::Crate]
                .into_iter()
                .find(|known| known.word() == on)
                .ok_or_else(|| format!("'{on}' ({place}) is none of image, model, crate"))?,
            test: test.to_owned(),
            place: place.to_owned(),
        })
    }
}

/// Runs the assertions and then records that they proved the requirements before the semicolon.
///
/// ```no_run
/// # use proof::proves;
/// # let (size, offset) = (64, 8);
/// proves!(crate: R249, R250; assert_eq!(size, 64); assert_eq!(offset, 8));
/// ```
///
/// ```compile_fail
/// # use proof::proves;
/// proves!(crate: R287; assert!(true)); // no such requirement
/// ```
#[macro_export]
macro_rules! proves {
    ($on:tt: $($requirement:ident),+; $($assertion:tt)+) => {{
        $($assertion)+;
        fn here() {}
        $($crate::record(
            const { $crate::Requirement::named(stringify!($requirement)) },
            $crate::on!($on),
            ::core::any::type_name_of_val(&here),
            concat!(file!(), ":", line!()),
        );)+
    }};
}

/// The first word of [`proves!`](crate::proves).
#[doc(hidden)]
#[macro_export]
macro_rules! on {
    (image) => {
        $crate::On::Image
    };
    (model) => {
        $crate::On::Model
    };
    (crate) => {
        $crate::On::Crate
    };
}

/// Appends a proof to this process's record, once however often the same assertion holds.
///
/// # Panics
/// When the folder named by [`FOLDER`] cannot be written: a lost proof must not look like a missing one.
#[doc(hidden)]
pub fn record(requirement: Requirement, on: On, here: &str, place: &str) {
    static RECORD: Mutex<Option<Record>> = Mutex::new(None);

    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let proof = Proof { requirement, on, test: function(here), place: place.to_owned() };
    let mut record = RECORD.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    record.get_or_insert_with(|| Record::open(Path::new(&folder))).add(proof);
}

/// Appends the name of an event, which an image emitted and a test decoded, to this process's list, once.
///
/// # Panics
/// As [`record`].
pub fn event(name: &str) {
    static SEEN: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let mut seen = SEEN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if !seen.insert(name.to_owned()) {
        return;
    }
    let path = Path::new(&folder).join(format!("{}.events", std::process::id()));
    let written = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .and_then(|mut file| file.write_all(format!("{name}\n").as_bytes()));
    written.unwrap_or_else(|error| panic!("{FOLDER}: cannot write {}: {error}", path.display()));
}

/// This process's record file and what it already holds.
struct Record {
    file: File,
    seen: BTreeSet<Proof>,
}

impl Record {
    fn open(folder: &Path) -> Self {
        let path = folder.join(format!("{}.proofs", std::process::id()));
        let file = OpenOptions::new().create(true).append(true).open(&path);
        let file = file.unwrap_or_else(|error| panic!("{FOLDER}: cannot write {}: {error}", path.display()));
        Self { file, seen: BTreeSet::new() }
    }

    fn add(&mut self, proof: Proof) {
        if self.seen.contains(&proof) {
            return;
        }
        // One write for the line: tests in threads of their own share the file.
        let line = format!("{proof}\n");
        self.file.write_all(line.as_bytes()).unwrap_or_else(|error| panic!("{FOLDER}: {error}"));
        self.seen.insert(proof);
    }
}

/// The enclosing function's path out of that of the item `here` declared in it.
fn function(here: &str) -> String {
    here.trim_end_matches("::here").replace("::{{closure}}", "")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers of one kind that a specification defines, in the order of the page.
    fn defined(specification: &str, kind: char) -> Vec<u16> {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/spec/").to_owned() + specification;
        let text = std::fs::read_to_string(&page).unwrap_or_else(|error| panic!("{page}: {error}"));
        text.lines()
            .filter_map(|line| {
                let line = line.trim_start_matches(['*', ' ']);
                let digits: String =
                    line.strip_prefix(kind)?.chars().take_while(char::is_ascii_digit).collect();
                // A definition names who is bound (R) or is set in bold (M, H); "R32 at 0x00" is neither.
                let rest = &line[1 + digits.len()..];
                (rest.starts_with("** ") || rest.starts_with(" (")).then(|| digits.parse().ok())?
            })
            .collect()
    }

    #[test]
    fn highest_numbers_are_those_of_the_specifications_and_there_are_no_gaps() {
        for (kind, highest) in HIGHEST {
            let page = if kind == b'R' { "netdma.md" } else { "ioat.md" };
            let mut numbers = defined(page, kind as char);
            numbers.sort_unstable();
            assert_eq!(numbers, (1..=highest).collect::<Vec<_>>(), "{} in {page}", kind as char);
        }
    }

    #[test]
    fn only_numbers_of_the_specifications_are_requirements() {
        for name in ["R1", "R286", "M69", "H47"] {
            assert_eq!(Requirement::find(name).map(|found| found.to_string()).as_deref(), Some(name));
        }
        for name in ["", "R", "R0", "R01", "R287", "M70", "H48", "Q1", "R1a", "r1", "R65537", "R99999"] {
            assert_eq!(Requirement::find(name), None, "{name}");
        }
    }

    #[test]
    fn a_line_of_a_record_reads_back_as_the_same_proof() {
        let proof = Proof {
            requirement: Requirement::named("M3"),
            on: On::Model,
            test: "ioat_model::pci::reads_as_the_table_says".into(),
            place: "tests/model/src/pci.rs:7".into(),
        };
        assert_eq!(proof.to_string().parse(), Ok(proof));
        assert!("R287\timage\ta::b\ta.rs:1".parse::<Proof>().is_err());
        assert!("R1\tpaper\ta::b\ta.rs:1".parse::<Proof>().is_err());
        assert!("R1\timage".parse::<Proof>().is_err());
    }

    #[test]
    fn a_record_holds_each_proof_once() {
        let folder = std::env::temp_dir().join(format!("proofs-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let mut record = Record::open(&folder);
        let proof: Proof = "R14\timage\tmachine::road\ttests/road.rs:3".parse().unwrap();
        record.add(proof.clone());
        record.add(proof.clone());
        let written = std::fs::read_to_string(folder.join(format!("{}.proofs", std::process::id()))).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(written, format!("{proof}\n"));
    }

    #[test]
    fn a_proof_names_the_function_that_holds_the_assertion() {
        fn here() {}
        let path = std::any::type_name_of_val(&here);
        assert_eq!(function(path), "proof::tests::a_proof_names_the_function_that_holds_the_assertion");
        let inside = || {
            fn here() {}
            function(std::any::type_name_of_val(&here))
        };
        assert_eq!(inside(), "proof::tests::a_proof_names_the_function_that_holds_the_assertion");
    }
}
