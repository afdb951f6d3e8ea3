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

/// `page` with `text` in place of what stands between the markers of section `name`: two lines of their own,
/// `<!-- cargo xtask COMMAND: NAME -->` and `<!-- end of NAME -->`.
///
/// # Errors
/// A marker is missing.
pub fn with_section(page: &str, command: &str, name: &str, text: &str) -> Result<String, Failure> {
    let (before, _, after) = split(page, command, name)?;
    Ok(format!("{before}{text}{after}"))
}

/// What stands between the markers of a section; see [`with_section`].
///
/// # Errors
/// A marker is missing.
pub fn section<'a>(page: &'a str, command: &str, name: &str) -> Result<&'a str, Failure> {
    split(page, command, name).map(|(_, text, _)| text)
}

/// A page up to the end of a section's first marker, the section, and the rest.
fn split<'a>(page: &'a str, command: &str, name: &str) -> Result<(&'a str, &'a str, &'a str), Failure> {
    let (begin, end) =
        (format!("<!-- cargo xtask {command}: {name} -->\n"), format!("<!-- end of {name} -->"));
    page.find(&begin)
        .and_then(|at| page.split_at_checked(at + begin.len()))
        .and_then(|(before, rest)| Some((before, rest.split_at_checked(rest.find(&end)?)?)))
        .map(|(before, (text, after))| (before, text, after))
        .ok_or_else(|| Failure::usage(format!("the page lacks its lines {} and {end}", begin.trim_end())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_replaced_between_its_markers_and_nothing_else_is() {
        let page = "a\n<!-- cargo xtask x: one -->\nold\n<!-- end of one -->\nb\n<!-- cargo xtask x: two -->\n<!-- end of two -->\n";
        let page = with_section(page, "x", "two", "2\n").unwrap();
        let page = with_section(&page, "x", "one", "1\n").unwrap();
        assert_eq!(section(&page, "x", "one").unwrap(), "1\n");
        assert_eq!(section(&page, "x", "two").unwrap(), "2\n");
        assert!(page.starts_with("a\n") && page.contains("-->\nb\n") && !page.contains("old"));
    }

    #[test]
    fn a_missing_marker_is_named() {
        let failure = with_section("<!-- cargo xtask x: one -->\n", "x", "one", "").unwrap_err().to_string();
        assert!(failure.contains("<!-- end of one -->"), "{failure}");
    }
}
