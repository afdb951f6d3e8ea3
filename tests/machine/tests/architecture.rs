//! The table in docs/architecture.md holds: who may use whom, and where `unsafe` may stand.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// One row of the table "Folders and arrows".
#[derive(Debug, PartialEq)]
struct Row {
    folder: String,
    unsafe_forbidden: bool,
    may_use: Vec<String>,
}

/// One package of the workspace as cargo sees it.
#[derive(Debug, Clone)]
struct Package {
    name: String,
    folder: PathBuf,
    /// Every dependency of any kind (normal, dev, build) that lies in this repository.
    ours: Vec<String>,
    /// The root file of each library and program.
    roots: Vec<PathBuf>,
}

/// Tests may say what they prove, whatever crate they stand in: `proof` is part of no picture.
const FOR_EVERY_TEST: &str = "proof";

#[test]
fn every_crate_uses_only_what_the_table_allows() {
    let faults = forbidden_dependencies(&table(), &packages());
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn unsafe_stands_only_where_the_table_allows_it() {
    let faults = forbidden_unsafe(&table(), &packages());
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn a_dependency_outside_the_table_is_reported_by_name() {
    let mut packages = packages();
    let core = packages.iter_mut().find(|package| package.name == "ioat-core").expect("ioat-core");
    core.ours.push("netdma-core".into());
    let faults = forbidden_dependencies(&table(), &packages);
    assert!(faults.iter().any(|fault| fault.contains("ioat-core uses netdma-core")), "{faults:?}");
}

#[test]
fn a_crate_missing_from_the_table_is_reported() {
    let mut rows = table();
    rows.remove("nthost");
    let faults = forbidden_dependencies(&rows, &packages());
    assert!(faults.iter().any(|fault| fault.contains("nthost is missing")), "{faults:?}");
}

#[test]
fn the_word_unsafe_is_found_in_code_and_not_in_prose() {
    assert_eq!(lines_with_unsafe("fn a() {\n    unsafe { b() }\n}"), [2]);
    assert_eq!(lines_with_unsafe("unsafe impl Send for A {}\nlet r#type = 'u'; unsafe fn b() {}"), [1, 2]);
    let prose = "// unsafe\n/* unsafe /* unsafe */\n unsafe */\n//! unsafe\nlet a = \"unsafe \\\" unsafe\";\n\
                 let b = r#\"unsafe \" unsafe\"#;\n#![forbid(unsafe_code)]\nlet c = '\"'; let d = b'\\''; fn e<'a>() {}";
    assert_eq!(lines_with_unsafe(prose), [0usize; 0]);
    assert_eq!(lines_with_unsafe("let a = '\"'; unsafe {}"), [1]);
    assert_eq!(lines_with_unsafe("fn e<'a>(b: &'a str) { unsafe {} }"), [1]);
}

/// What each package uses of ours without being allowed to.
fn forbidden_dependencies(rows: &BTreeMap<String, Row>, packages: &[Package]) -> Vec<String> {
    let mut faults = Vec::new();
    for package in packages {
        let Some(row) = rows.get(&package.name) else {
            faults.push(format!("{} is missing from the table in docs/architecture.md", package.name));
            continue;
        };
        if !package.folder.ends_with(&row.folder) {
            faults.push(format!(
                "{} lies in {}, not in {}",
                package.name,
                package.folder.display(),
                row.folder
            ));
        }
        for used in &package.ours {
            if used != FOR_EVERY_TEST && !row.may_use.contains(used) {
                faults.push(format!(
                    "{} uses {used}; docs/architecture.md allows it only: {}",
                    package.name,
                    if row.may_use.is_empty() { "nothing of ours".into() } else { row.may_use.join(", ") }
                ));
            }
        }
    }
    for name in rows.keys() {
        if !packages.iter().any(|package| package.name == *name) {
            faults.push(format!("the table in docs/architecture.md names {name}, which is no package"));
        }
    }
    faults
}

/// Each `unsafe` in a crate that forbids it, and each crate root that does not say so.
fn forbidden_unsafe(rows: &BTreeMap<String, Row>, packages: &[Package]) -> Vec<String> {
    let mut faults = Vec::new();
    let strict = |package: &&Package| rows.get(&package.name).is_some_and(|row| row.unsafe_forbidden);
    for package in packages.iter().filter(strict) {
        for root in &package.roots {
            if !source(root).contains("#![forbid(unsafe_code)]") {
                faults.push(format!("{} does not say #![forbid(unsafe_code)]", root.display()));
            }
        }
        for file in sources_under(&package.folder) {
            for line in lines_with_unsafe(&source(&file)) {
                faults.push(format!("{}:{line}: unsafe in a crate that forbids it", file.display()));
            }
        }
    }
    faults
}

/// The rows of the table by crate name. A name may be followed by the image it makes, in parentheses.
fn table() -> BTreeMap<String, Row> {
    let page = source(&root().join("docs/architecture.md"));
    let rows = page.lines().skip_while(|line| !line.starts_with("| Crate | Folder | Unsafe |")).skip(2);
    let mut table = BTreeMap::new();
    for line in rows.take_while(|line| line.starts_with('|')) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [name, folder, unsafety, may_use] = cells[..] else { panic!("four cells wanted: {line}") };
        // What stands in parentheses explains; it allows nothing.
        let may_use = may_use.split('(').next().unwrap_or_default();
        let row = Row {
            folder: folder.into(),
            unsafe_forbidden: unsafety == "forbidden",
            may_use: may_use.split(',').map(|used| used.trim().to_owned()).collect(),
        };
        table.insert(name.split(' ').next().unwrap_or_default().to_owned(), row);
    }
    assert!(table.len() > 10, "the table of docs/architecture.md was not found");
    table
}

/// The packages of this workspace, from `cargo metadata`.
fn packages() -> Vec<Package> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo metadata starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    list(&metadata["packages"])
        .iter()
        .map(|package| Package {
            name: text(&package["name"]),
            folder: Path::new(&text(&package["manifest_path"])).parent().expect("a folder").to_owned(),
            ours: list(&package["dependencies"])
                .iter()
                .filter(|dependency| dependency["path"].is_string())
                .map(|dependency| text(&dependency["name"]))
                .collect(),
            roots: list(&package["targets"])
                .iter()
                .filter(|target| {
                    let kinds = list(&target["kind"]);
                    kinds.iter().any(|kind| kind != "custom-build" && kind != "test" && kind != "bench")
                })
                .map(|target| PathBuf::from(text(&target["src_path"])))
                .collect(),
        })
        .collect()
}

/// The Rust files of a package, without those of packages nested in it.
fn sources_under(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.expect("an entry").path();
        if path.is_dir() && !path.join("Cargo.toml").exists() && !path.ends_with("target") {
            files.extend(sources_under(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// Numbers of the lines that hold the word `unsafe` outside comments, strings and characters.
fn lines_with_unsafe(source: &str) -> Vec<usize> {
    let mut found = Vec::new();
    let mut rest = source;
    let mut word = String::new();
    let line = |rest: &str| source[..source.len() - rest.len()].matches('\n').count() + 1;
    while let Some(next) = rest.chars().next() {
        if next.is_alphanumeric() || next == '_' {
            word.push(next);
            rest = &rest[next.len_utf8()..];
            continue;
        }
        if word == "unsafe" && !declares(rest) {
            found.push(line(rest));
        }
        // `r"`, `br#"` and `cr"` begin raw strings: the word before the quote is their prefix.
        let raw = matches!(word.as_str(), "r" | "br" | "cr");
        word.clear();
        rest = &rest[skip(rest, raw)..];
    }
    if word == "unsafe" {
        found.push(line(rest));
    }
    found
}

/// Whether what follows `unsafe` only declares: the type of a function or a block of foreign functions. Neither
/// can do anything before an `unsafe` elsewhere calls it.
fn declares(rest: &str) -> bool {
    let mut rest = rest.trim_start();
    if let Some(abi) = rest.strip_prefix("extern") {
        rest = abi.trim_start();
        rest = rest[skip(rest, false) * usize::from(rest.starts_with('"'))..].trim_start();
        if rest.starts_with('{') {
            return true;
        }
    }
    rest.strip_prefix("fn").is_some_and(|rest| rest.trim_start().starts_with('('))
}

/// How many bytes at the start of `rest`, which begins with no word, are one comment, literal or character.
fn skip(rest: &str, raw: bool) -> usize {
    let hashes = rest.chars().take_while(|&c| c == '#').count();
    if raw && rest[hashes..].starts_with('"') {
        let end = format!("\"{}", "#".repeat(hashes));
        return rest[hashes + 1..].find(&end).map_or(rest.len(), |at| hashes + 1 + at + end.len());
    }
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return block_comment(rest);
    }
    if let Some(text) = rest.strip_prefix('"') {
        return 1 + literal(text, '"');
    }
    if let Some(text) = rest.strip_prefix('\'') {
        // A character closes after one character or an escape; anything else is a lifetime.
        let mut chars = text.chars();
        let first = chars.next();
        if first == Some('\\') || chars.next() == Some('\'') {
            return 1 + literal(text, '\'');
        }
        return 1;
    }
    rest.chars().next().map_or(0, char::len_utf8)
}

/// Bytes up to and with the closing quote, over escapes.
fn literal(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        if !escaped && c == quote {
            return at + 1;
        }
        escaped = !escaped && c == '\\';
    }
    text.len()
}

/// Bytes of a block comment, which may hold others.
fn block_comment(text: &str) -> usize {
    let mut depth = 0usize;
    let mut at = 0;
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// The top folder of the repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the repository")
}

fn source(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}
