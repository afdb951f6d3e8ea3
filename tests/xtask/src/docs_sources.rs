//! What the doc comments of public functions must say, where neither the compiler nor a lint of this repository looks.

use std::fs;
use std::path::{Path, PathBuf};

use crate::command::Failure;

/// Folders of what is offered to others. Tests and their helpers are not.
const FOLDERS: [&str; 4] = ["interface", "driver", "tools", "tests/nthost/src"];

/// Public functions that can fail and do not say how, as `file:line: name`.
///
/// # Errors
/// A source file cannot be read.
pub fn silent_about_errors(root: &Path) -> Result<Vec<String>, Failure> {
    let mut silent = Vec::new();
    folders(root, FOLDERS.iter().map(|folder| root.join(folder)).collect(), |name, text| {
        silent.extend(functions(text).map(|(line, function)| format!("{name}:{line}: {function}")));
    })?;
    silent.sort();
    Ok(silent)
}

/// Shows each source file in these folders and those in them, but for `tests`, with its name from the root on.
///
/// # Errors
/// A source file cannot be read.
pub fn folders(
    root: &Path,
    mut folders: Vec<PathBuf>,
    mut look: impl FnMut(&str, &str),
) -> Result<(), Failure> {
    while let Some(folder) = folders.pop() {
        let failed = |error| Failure::usage(format!("{}: {error}", folder.display()));
        for entry in fs::read_dir(&folder).map_err(failed)?.flatten() {
            let path = entry.path();
            if path.is_dir() {
                if entry.file_name() != "tests" {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).map_err(failed)?;
                let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
                look(&name, &text);
            }
        }
    }
    Ok(())
}

/// Line and name of each public function of a source file that answers a `Result` and has no section `# Errors`.
fn functions(text: &str) -> impl Iterator<Item = (usize, String)> + '_ {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let mut says_errors = false;
    (0..lines.len()).filter_map(move |at| {
        let line = lines[at];
        if line.starts_with("///") {
            says_errors |= line.starts_with("/// # Errors");
            return None;
        }
        if line.starts_with("#[") {
            return None;
        }
        let said = std::mem::take(&mut says_errors);
        let name = function_name(line)?;
        let signature: Vec<&str> =
            lines[at..].iter().scan(false, |ended, line| until_body(ended, line)).collect();
        let signature = signature.join(" ");
        // The function's own answer is the last arrow outside of parentheses.
        let (_, answer) = signature.rsplit_once(") -> ")?;
        let is_own = answer.matches('(').count() == answer.matches(')').count();
        let answer = answer.split(['<', ' ', '{', ';']).next().unwrap_or_default();
        let fails = answer.rsplit("::").next() == Some("Result");
        (is_own && fails && !said).then(|| (at + 1, name.to_owned()))
    })
}

/// Goes on to the line on which the body opens or the declaration ends, that line included.
pub fn until_body<'l>(ended: &mut bool, line: &&'l str) -> Option<&'l str> {
    if *ended {
        return None;
    }
    *ended = line.contains('{') || line.ends_with(';');
    Some(line)
}

/// The name in a line that declares a public function.
pub fn function_name(line: &str) -> Option<&str> {
    let mut rest = line.strip_prefix("pub ")?;
    for word in ["const ", "unsafe ", "extern \"C\" ", "extern \"system\" "] {
        rest = rest.strip_prefix(word).unwrap_or(rest);
    }
    rest.strip_prefix("fn ")?.split(['(', '<']).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        functions(text).map(|(_, name)| name).collect()
    }

    #[test]
    fn a_function_that_can_fail_must_say_how() {
        let text = "/// Reads.\npub fn silent(\n    a: u8,\n) -> io::Result<u8> {\n}\n\
                    /// Reads.\n///\n/// # Errors\n/// None.\n#[inline]\npub const fn told() -> Result<(), E> {\n}\n\
                    /// Never.\npub fn sound() -> u8 {\n}\n";
        assert_eq!(names(text), ["silent"]);
    }

    #[test]
    fn what_a_closure_answers_and_what_is_private_does_not_count() {
        let text = "pub fn outer(make: impl FnOnce(u8) -> Result<u8>) -> NTSTATUS {\n}\n\
                    pub fn nothing(make: impl FnOnce(u8) -> Result<u8>) {\n}\n\
                    fn private() -> Result<(), E> {\n}\n";
        assert_eq!(names(text), [""; 0]);
    }
}
