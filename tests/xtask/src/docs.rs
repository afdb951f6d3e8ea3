//! `cargo xtask docs`: what the pages say holds. Links lead somewhere, commands run and print what is shown, rustdoc
//! has no complaint.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};

use crate::arguments::Arguments;
use crate::command::{Command, Failure};
use crate::docs_items;
use crate::docs_page::{Page, Shown, broken, commands, missing};
use crate::docs_sources::silent_about_errors;
use crate::{drivers, steps, workspace};

/// The command.
pub const COMMAND: Command = Command {
    name: "docs",
    usage: "[--only WORD] [--no-run] [--no-rustdoc]",
    summary: "Check every page: links, named paths, code blocks, the commands in them; and rustdoc.\n\n\
              Public functions that can fail must say how; public numbers their unit or what they count; files of the \
              interface and the drivers name a source; kernel functions say their IRQL.\n\
              A `console` block is run from the top of the repository, and prints what the page shows below each\n\
              command. Commands that are not run are named with the reason.\n\
              --only WORD     only pages whose name has WORD in it\n\
              --no-run        do not run the commands\n\
              --no-rustdoc    leave rustdoc out",
    run,
};

/// Languages that a code block may say it is in. Only the first is run.
const LANGUAGES: [&str; 10] =
    ["console", "text", "rust", "toml", "mermaid", "powershell", "bat", "windbg", "sh", "json"];

/// Commands that are not run by this one: how they begin, and why.
const NOT_RUN: &[(&str, &str)] = &[
    ("cargo xtask test", "it is what runs this"),
    (
        "cargo xtask vm",
        "`cargo xtask test` runs its short form, the long one boots twenty guests: by hand before a release",
    ),
    ("qemu-system-x86_64", "wants a guest of yours; `tests/vm/tests/guests` boots QEMU with these options"),
];

/// Commands that serve until they are ended: a part of them, and what they print when they are ready.
const SERVERS: &[(&str, &str)] =
    &[("ioat-vfio -- --socket", "listens at"), ("ioat-vfio -- --id", "listens at")];

fn run(words: Vec<OsString>) -> Result<(), Failure> {
    let arguments = Arguments::parse(words, &["--no-run", "--no-rustdoc"], &["--only"])?;
    arguments.no_rest()?;
    let only = arguments.value("--only").map(|word| word.to_string_lossy().into_owned());
    check(only.as_deref(), !arguments.has("--no-run"), !arguments.has("--no-rustdoc"))
}

/// Everything: for `cargo xtask test`.
///
/// # Errors
/// A page is wrong; the message has every complaint.
pub fn check_all() -> Result<(), Failure> {
    check(None, true, true)
}

fn check(only: Option<&str>, execute: bool, rustdoc: bool) -> Result<(), Failure> {
    let root = workspace::root();
    let mut complaints = Vec::new();
    let mut ran = BTreeSet::new();
    let mut not_run = BTreeSet::new();
    for path in pages(&root)? {
        let name = path.strip_prefix(&root).unwrap_or(&path).display().to_string();
        if only.is_some_and(|word| !name.contains(word)) {
            continue;
        }
        let page = read(&path)?;
        let mut complain = |line: usize, what: String| complaints.push(format!("{name}:{line}: {what}"));
        for (line, target) in &page.links {
            if let Some(why) = broken(&path, target, anchors) {
                complain(*line, format!("[…]({target}): {why}"));
            }
        }
        for (line, named) in page.paths.iter().filter(|(_, named)| !root.join(named).exists()) {
            complain(*line, format!("`{named}`: there is no such file or folder"));
        }
        for (line, task) in &page.tasks {
            if let Some(why) = unknown_task(task) {
                complain(*line, format!("`cargo xtask {task}`: {why}"));
            }
        }
        for fence in &page.fences {
            if !LANGUAGES.contains(&fence.language.as_str()) {
                let known = LANGUAGES.join(", ");
                complain(fence.line, format!("a code block in {:?}; known are {known}", fence.language));
            }
            if fence.language != "console" {
                continue;
            }
            let shown = commands(fence).unwrap_or_else(|why| {
                complain(fence.line, why);
                Vec::new()
            });
            for shown in shown {
                if let Some((_, reason)) = reason_not_to(&shown.command) {
                    not_run.insert((shown.command, reason));
                } else if execute
                    && ran.insert(shown.command.clone())
                    && let Err(why) = perform(&shown)
                {
                    complain(shown.line, why.to_string());
                }
            }
        }
    }
    if only.is_none() {
        complaints.extend(unreachable_pages(&root)?);
        let silent = silent_about_errors(&root)?;
        complaints.extend(silent.iter().map(|function| format!("{function}: no section `# Errors`")));
        complaints.extend(docs_items::complaints(&root)?);
        for (start, _) in NOT_RUN {
            if !not_run.iter().any(|(command, _)| command.starts_with(start)) {
                complaints.push(format!("no page has a command that begins with {start:?}: forget it"));
            }
        }
    }
    if execute {
        println!("      {} commands ran", ran.len());
    }
    for (command, reason) in &not_run {
        println!("      not run: {command} ({reason})");
    }
    if !complaints.is_empty() {
        return Err(Failure::verdict(complaints.join("\n")));
    }
    if rustdoc { document() } else { Ok(()) }
}

/// Every page of the repository, in the order of their names.
fn pages(root: &Path) -> Result<Vec<PathBuf>, Failure> {
    let failed = |error| Failure::usage(format!("{}: {error}", root.display()));
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(failed)?.flatten() {
            let path = entry.path();
            let name = entry.file_name();
            if path.is_dir() && name != "target" && !name.to_string_lossy().starts_with('.') {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn read(path: &Path) -> Result<Page, Failure> {
    let text =
        fs::read_to_string(path).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
    Ok(Page::parse(&text))
}

/// The anchors of a page; `None` for a file that is none.
fn anchors(path: &Path) -> Option<Vec<String>> {
    (path.extension()? == "md").then(|| read(path).ok().map(|page| page.anchors))?
}

/// Pages that no sequence of links leads to from the README.
fn unreachable_pages(root: &Path) -> Result<Vec<String>, Failure> {
    let mut reached = BTreeSet::new();
    let mut open = vec![root.join("README.md")];
    while let Some(path) = open.pop() {
        let Ok(path) = path.canonicalize() else { continue };
        if path.extension().is_none_or(|extension| extension != "md") || !reached.insert(path.clone()) {
            continue;
        }
        let folder = path.parent().unwrap_or(root);
        open.extend(read(&path)?.links.iter().map(|(_, target)| {
            folder.join(target.split_once('#').map_or(target.as_str(), |(file, _)| file))
        }));
    }
    let all = pages(&root.canonicalize().unwrap_or_else(|_| root.to_owned()))?;
    Ok(all
        .iter()
        .filter(|page| !reached.contains(*page))
        .map(|page| format!("{}: no link leads here from the README", page.display()))
        .collect())
}

/// What `cargo xtask` does not know in these words, if anything. What may follow the options is not looked at.
fn unknown_task(words: &str) -> Option<String> {
    let mut words = words.split_whitespace();
    let name = words.next()?;
    let Some(command) = crate::COMMANDS.iter().find(|command| command.name == name) else {
        return (name.chars().all(|c| c.is_ascii_lowercase()) && name != "help")
            .then(|| format!("there is no command {name}"));
    };
    let known = format!("{} {} --help", command.usage, command.summary);
    let known: BTreeSet<&str> = known.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').collect();
    words.find(|word| word.starts_with("--") && !known.contains(word)).map(|word| format!("it has no {word}"))
}

/// The row of [`NOT_RUN`] for a command.
fn reason_not_to(command: &str) -> Option<&'static (&'static str, &'static str)> {
    NOT_RUN.iter().find(|(start, _)| command.starts_with(start))
}

/// Runs one command with a private folder in the place of /tmp, and holds its output against what the page shows.
fn perform(shown: &Shown) -> Result<(), Failure> {
    let folder = workspace::target().join("docs/tmp");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).map_err(|error| Failure::usage(format!("{}: {error}", folder.display())))?;
    let command = shown.command.replace("/tmp/", &format!("{}/", folder.display()));
    let mut output = String::new();
    match SERVERS.iter().find(|(part, _)| command.contains(part)) {
        Some((_, ready)) => output = serve(&command, ready)?,
        None => {
            let mut shell = Process::new("sh");
            shell.args(["-c", &command]).current_dir(workspace::root()).env("RUSTUP_AUTO_INSTALL", "0");
            steps::run("documented command", &mut shell, |line| {
                output.push_str(line);
                output.push('\n');
            })?;
        }
    }
    match missing(&shown.output, &output) {
        None => Ok(()),
        Some(line) => Err(Failure::verdict(format!(
            "`{}` does not print {line:?} where the page shows it; it printed\n{output}",
            shown.command
        ))),
    }
}

/// What a server prints until it is `ready`; then it is ended.
fn serve(command: &str, ready: &str) -> Result<String, Failure> {
    let failed = |error| Failure::usage(format!("{command}: {error}"));
    let mut server = Process::new("sh")
        .args(["-c", &format!("exec timeout 600 {command} 2>&1")])
        .current_dir(workspace::root())
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let mut output = String::new();
    let mut is_ready = false;
    for line in server.stdout.take().map(BufReader::new).into_iter().flat_map(BufRead::lines) {
        output.push_str(&line.map_err(failed)?);
        output.push('\n');
        if output.contains(ready) {
            is_ready = true;
            break;
        }
    }
    steps::end_group(server.id());
    server.wait().map_err(failed)?;
    if is_ready {
        return Ok(output);
    }
    Err(Failure::verdict(format!("`{command}` never says {ready:?}; it printed\n{output}")))
}

/// rustdoc over every crate, for its own target; a warning is an error.
fn document() -> Result<(), Failure> {
    let mut portable = steps::cargo_command();
    portable.args(["doc", "--no-deps"]).env("RUSTDOCFLAGS", "--deny warnings");
    steps::run("rustdoc", &mut portable, |_| {})?;
    drivers::document()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The PowerShell scripts, by name.
    fn scripts() -> Vec<(String, String)> {
        let folder = workspace::root().join("scripts");
        let mut found: Vec<(String, String)> = fs::read_dir(&folder)
            .unwrap()
            .flatten()
            .filter(|entry| entry.path().extension().is_some_and(|extension| extension == "ps1"))
            .map(|entry| {
                (entry.file_name().to_string_lossy().into_owned(), fs::read_to_string(entry.path()).unwrap())
            })
            .collect();
        found.sort();
        found
    }

    #[test]
    fn each_script_checks_before_it_acts_and_can_be_asked_what_it_would_do() {
        let scripts = scripts();
        assert!(scripts.len() >= 5);
        for (name, text) in scripts {
            let at = |what: &str| text.find(what).unwrap_or_else(|| panic!("{name} has no {what}"));
            at("SupportsShouldProcess");
            at("Set-StrictMode -Version 3.0");
            at("$ErrorActionPreference = 'Stop'");
            assert!(
                at("Assert-NetDmaMachine") < at("$PSCmdlet.ShouldProcess("),
                "{name} acts before it checks"
            );
            // Whatever changes the machine stands behind a ShouldProcess of its own, not above the first.
            for change in ["Invoke-NetDmaTool", "New-Item", "Import-Certificate", "Remove-Item"] {
                let first = text.find(change).unwrap_or(usize::MAX);
                assert!(at("$PSCmdlet.ShouldProcess(") < first, "{name}: {change} is not asked for");
            }
        }
    }

    #[test]
    fn each_script_tells_of_every_parameter() {
        for (name, text) in scripts() {
            assert!(text.starts_with("<#\n.SYNOPSIS\n") && text.contains("\n.EXAMPLE\n"), "{name}");
            let parameters =
                text.split_once("param(").and_then(|(_, rest)| rest.split_once("\nSet-StrictMode"));
            let (parameters, _) = parameters.unwrap_or_else(|| panic!("{name} has no parameters"));
            for word in parameters.split('$').skip(1) {
                let word = word.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
                assert!(text.contains(&format!("\n.PARAMETER {word}\n")), "{name} says nothing of -{word}");
            }
            let open = text.matches('{').count();
            assert_eq!(open, text.matches('}').count(), "{name}: braces do not match");
        }
    }

    #[test]
    fn commands_and_options_that_do_not_exist_are_named() {
        assert_eq!(unknown_task("drivers --package netdma"), None);
        assert_eq!(unknown_task("COMMAND --help"), None);
        assert_eq!(unknown_task("drivers --pakage netdma"), Some("it has no --pakage".into()));
        assert_eq!(unknown_task("divers"), Some("there is no command divers".into()));
    }
}
