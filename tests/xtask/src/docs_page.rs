//! A page of documentation taken apart: headings, links, named paths, code fences.

use std::collections::HashMap;
use std::path::Path;

/// What the checks of `cargo xtask docs` look at.
#[derive(Debug, Default)]
pub struct Page {
    /// Anchors of the headings, as the usual viewers make them.
    pub anchors: Vec<String>,
    /// Targets of links, with their lines.
    pub links: Vec<(usize, String)>,
    /// Code spans that name something of the repository, with their lines.
    pub paths: Vec<(usize, String)>,
    /// Code spans that begin with `cargo xtask`: what follows, with their lines.
    pub tasks: Vec<(usize, String)>,
    /// Code fences.
    pub fences: Vec<Fence>,
}

/// A fenced block.
#[derive(Debug, PartialEq)]
pub struct Fence {
    /// Line of its opening mark, from 1.
    pub line: usize,
    /// The first word behind the opening mark.
    pub language: String,
    /// What stands in it.
    pub text: String,
}

/// A command of a `console` block and the output that the page shows below it.
#[derive(Debug, PartialEq)]
pub struct Shown {
    /// Line of the command, from 1.
    pub line: usize,
    /// The command, continuation lines joined.
    pub command: String,
    /// The lines below it.
    pub output: Vec<String>,
}

/// Folders whose files pages name in code spans.
const FOLDERS: [&str; 8] = ["docs/", "driver/", "inf/", "interface/", "scripts/", "tests/", "tools/", ".ci/"];

impl Page {
    /// Takes a page apart.
    pub fn parse(text: &str) -> Self {
        let mut page = Self::default();
        let mut seen = HashMap::new();
        let mut fence: Option<Fence> = None;
        for (number, line) in (1..).zip(text.lines()) {
            let mark = line.trim_start().strip_prefix("```");
            match (&mut fence, mark) {
                (Some(open), None) => {
                    open.text.push_str(line);
                    open.text.push('\n');
                }
                (Some(_), Some(_)) => page.fences.extend(fence.take()),
                (None, Some(language)) => {
                    let language = language.split_whitespace().next().unwrap_or_default().to_owned();
                    fence = Some(Fence { line: number, language, text: String::new() });
                }
                (None, None) => page.prose(number, line, &mut seen),
            }
        }
        // A fence without an end is one all the same: its language is looked at.
        page.fences.extend(fence);
        page
    }

    fn prose(&mut self, number: usize, line: &str, seen: &mut HashMap<String, usize>) {
        if line.starts_with('#') {
            let slug = anchor(line.trim_start_matches('#').trim());
            let earlier = seen.entry(slug.clone()).or_insert(0);
            self.anchors.push(if *earlier == 0 { slug } else { format!("{slug}-{earlier}") });
            *earlier += 1;
        }
        let spans: Vec<&str> = line.split('`').collect();
        for (index, part) in spans.iter().enumerate() {
            if index % 2 == 1 {
                if let Some(task) = part.strip_prefix("cargo xtask ") {
                    self.tasks.push((number, task.to_owned()));
                }
                let path = part.split([':', ' ']).next().unwrap_or_default();
                if FOLDERS.iter().any(|folder| path.starts_with(folder))
                    && path.chars().all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c))
                {
                    self.paths.push((number, path.trim_end_matches('/').to_owned()));
                }
            }
        }
        // Code spans hold no links, but a link's text may hold a code span.
        let plain: String = spans
            .iter()
            .enumerate()
            .map(|(index, part)| if index % 2 == 1 { "code" } else { part })
            .collect();
        for part in plain.split("](").skip(1) {
            if let Some((target, _)) = part.split_once(')') {
                self.links.push((number, target.to_owned()));
            }
        }
    }
}

/// The anchor of a heading: lower case, blanks as dashes, no other punctuation.
pub fn anchor(heading: &str) -> String {
    // A link in a heading counts by its text.
    let mut text = String::new();
    for part in heading.split("](") {
        text.push_str(if text.is_empty() { part } else { part.split_once(')').map_or("", |(_, rest)| rest) });
    }
    text.to_lowercase()
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

/// The commands of a `console` block: each begins with `$ `, goes on behind a backslash at a line's end, and is
/// followed by what it prints.
///
/// # Errors
/// The first line of output that stands above any command.
pub fn commands(fence: &Fence) -> Result<Vec<Shown>, String> {
    let mut shown: Vec<Shown> = Vec::new();
    let mut open = false;
    for (line, text) in (fence.line + 1..).zip(fence.text.lines()) {
        if open {
            let last = shown.last_mut().ok_or("a continuation of nothing")?;
            open = text.ends_with('\\');
            last.command.push(' ');
            last.command.push_str(text.trim_end_matches('\\').trim());
        } else if let Some(command) = text.strip_prefix("$ ") {
            open = command.ends_with('\\');
            let command = command.trim_end_matches('\\').trim().to_owned();
            shown.push(Shown { line, command, output: Vec::new() });
        } else if !text.trim().is_empty() {
            let last = shown.last_mut().ok_or_else(|| format!("output above any command: {text}"))?;
            last.output.push(text.to_owned());
        }
    }
    Ok(shown)
}

/// The first of the `expected` lines that `actual` does not have, in their order. A line of dots stands for anything, and
/// anything may stand between two lines.
pub fn missing<'a>(expected: &'a [String], actual: &str) -> Option<&'a str> {
    let mut lines = actual.lines().map(str::trim);
    expected
        .iter()
        .map(|line| line.trim())
        .filter(|line| *line != "..." && *line != "…")
        .find(|wanted| !lines.any(|line| line == *wanted))
}

/// What is wrong with a link of the page at `from`, if anything: no such file, or no such heading in it.
///
/// `anchors` gives the headings of a page of the repository, `None` for a file that is no page.
pub fn broken(from: &Path, target: &str, anchors: impl Fn(&Path) -> Option<Vec<String>>) -> Option<String> {
    if target.contains("://") {
        return Some("addresses a machine by name; say what is meant by its title".into());
    }
    let (file, heading) = target.split_once('#').unwrap_or((target, ""));
    let path = match file {
        "" => from.to_owned(),
        _ => from.parent().unwrap_or(from).join(file),
    };
    if !path.exists() {
        return Some("there is no such file".into());
    }
    if heading.is_empty() || anchors(&path).is_none_or(|known| known.iter().any(|anchor| anchor == heading)) {
        return None;
    }
    Some(format!("there is no heading #{heading} in it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_become_anchors_and_repeated_ones_are_numbered() {
        let page = Page::parse("# A `b`: C-d, e_f\n## Twice\n## Twice\n```text\n# not one\n```\n");
        assert_eq!(page.anchors, ["a-b-c-d-e_f", "twice", "twice-1"]);
    }

    #[test]
    fn links_and_named_paths_are_found_outside_of_fences_only() {
        let page = Page::parse(
            "See [`x`](a.md#b) and `tests/xtask`, `interface/abi/src/lib.rs:7`, `a](b)`.\n```text\n[no](no.md)\n```\n",
        );
        assert_eq!(page.links, [(1, "a.md#b".to_owned())]);
        assert_eq!(page.paths, [(1, "tests/xtask".to_owned()), (1, "interface/abi/src/lib.rs".to_owned())]);
    }

    #[test]
    fn a_console_block_is_commands_with_their_output() {
        let page = Page::parse("```console\n$ one \\\n    two\nout\n\n$ three\n```\n");
        let shown = commands(&page.fences[0]).unwrap();
        assert_eq!(
            shown,
            [
                Shown { line: 2, command: "one two".into(), output: vec!["out".into()] },
                Shown { line: 6, command: "three".into(), output: Vec::new() },
            ]
        );
        let lost = Page::parse("```console\nout\n```\n");
        assert!(commands(&lost.fences[0]).unwrap_err().contains("out"));
    }

    #[test]
    fn shown_output_must_appear_in_its_order() {
        let shown = ["a".to_owned(), "...".to_owned(), "c".to_owned()];
        assert_eq!(missing(&shown, "a\nb\n  c \n"), None);
        assert_eq!(missing(&shown, "c\na\n"), Some("c"));
    }

    #[test]
    fn links_to_nothing_are_told_apart() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        let anchors = |_: &Path| Some(vec!["there".to_owned()]);
        assert_eq!(broken(&here, "src/main.rs", |_| None), None);
        assert_eq!(broken(&here, "#there", anchors), None);
        assert!(broken(&here, "#else", anchors).unwrap().contains("#else"));
        assert!(broken(&here, "no.md", anchors).unwrap().contains("no such file"));
        assert!(broken(&here, "ftp://x/y", anchors).unwrap().contains("by name"));
    }
}
