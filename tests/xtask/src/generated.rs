//! Pages of docs/ that are generated, so that no figure or name in them is typed.

use std::path::Path;

use crate::command::Failure;

/// Writes `text` to `page` of the repository, and says whether that changed anything.
///
/// # Errors
/// The page cannot be written.
pub fn write(root: &Path, page: &str, text: &str) -> Result<(), Failure> {
    let path = root.join(page);
    if std::fs::read_to_string(&path).is_ok_and(|committed| committed == text) {
        println!("{page} is up to date");
        return Ok(());
    }
    std::fs::write(&path, text).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
    println!("{page} written");
    Ok(())
}

/// Fails when the committed `page` differs from `text`, naming the first line that does and the `command` that
/// writes it.
///
/// # Errors
/// The page is missing or differs.
pub fn check(root: &Path, page: &str, text: &str, command: &str) -> Result<(), Failure> {
    let path = root.join(page);
    let committed = std::fs::read_to_string(&path).map_err(|error| {
        Failure::verdict(format!("{}: {error}; `cargo xtask {command}` writes it", path.display()))
    })?;
    if committed == text {
        return Ok(());
    }
    let line = committed.lines().zip(text.lines()).take_while(|(old, new)| old == new).count();
    Err(Failure::verdict(format!(
        "{page} is out of date from line {}; run `cargo xtask {command}` and commit it\n  committed: {}\n  now:       {}",
        line + 1,
        committed.lines().nth(line).unwrap_or("(end)"),
        text.lines().nth(line).unwrap_or("(end)")
    )))
}

/// `text` as the content of one cell of a Markdown table.
pub fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
