//! The requirements as the specifications state them.

use std::path::Path;

use proof::Requirement;

use crate::command::Failure;

/// One requirement of docs/spec.
#[derive(Debug, PartialEq)]
pub struct Entry {
    /// Its number.
    pub requirement: Requirement,
    /// The heading it stands under.
    pub section: String,
    /// What it asks, in Markdown.
    pub text: String,
}

/// The requirements of one specification.
#[derive(Debug)]
pub struct Specification {
    /// File name in docs/spec.
    pub page: &'static str,
    /// What the page is about.
    pub title: &'static str,
    /// In the order of the page.
    pub entries: Vec<Entry>,
}

/// Reads both specifications.
///
/// # Errors
/// A page cannot be read, or defines a number that crate `proof` does not know, or one twice.
pub fn read(root: &Path) -> Result<Vec<Specification>, Failure> {
    let page = |page, title| {
        let path = root.join("docs/spec").join(page);
        let text = std::fs::read_to_string(&path)
            .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
        let entries =
            entries(&text).map_err(|fault| Failure::verdict(format!("docs/spec/{page}: {fault}")))?;
        Ok(Specification { page, title, entries })
    };
    Ok(vec![
        page("netdma.md", "NetDMA: provider interface and clients")?,
        page("ioat.md", "I/OAT: the engine")?,
    ])
}

/// The requirements a page defines: lines such as `R14 (I; D16) text` or `* **M1** text`.
fn entries(page: &str) -> Result<Vec<Entry>, String> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut section = String::new();
    for line in page.lines() {
        let Some((name, text)) = definition(line) else {
            // Headings, and the plain lines that group bullets ("Channel control").
            if let Some(heading) = heading(line) {
                section = heading.to_owned();
            }
            continue;
        };
        let requirement = Requirement::find(name)
            .ok_or_else(|| format!("defines {name}, beyond the highest numbers in tests/proof"))?;
        if entries.iter().any(|entry| entry.requirement == requirement) {
            return Err(format!("defines {name} twice"));
        }
        entries.push(Entry { requirement, section: section.clone(), text: text.to_owned() });
    }
    Ok(entries)
}

/// Name and text, if `line` defines a requirement.
fn definition(line: &str) -> Option<(&str, &str)> {
    let (name, text) = match line.strip_prefix("* **") {
        Some(bold) => bold.split_once("** ")?,
        None => {
            let (name, text) = line.split_once(' ')?;
            (name, text.starts_with('(').then_some(text)?)
        }
    };
    let digits = name.strip_prefix(['R', 'M', 'H'])?;
    (!digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit())).then_some((name, text))
}

/// The heading in `line`, without its marks.
fn heading(line: &str) -> Option<&str> {
    if line.starts_with('#') {
        return Some(line.trim_start_matches('#').trim());
    }
    let grouping =
        line.starts_with(|c: char| c.is_ascii_uppercase()) && !line.ends_with('.') && line.len() < 60;
    grouping.then_some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_are_told_from_mentions() {
        assert_eq!(definition("R14 (I; D16) text"), Some(("R14", "(I; D16) text")));
        assert_eq!(definition("* **M1** Class dword"), Some(("M1", "Class dword")));
        for mention in ["R32 at 0x00", "* M1 text", "* **Note** text", "see R14 (I)", "RST (now)", ""] {
            assert_eq!(definition(mention), None, "{mention}");
        }
    }

    #[test]
    fn every_requirement_has_its_section() {
        let page = "## 7.1 Model\n\nPCI\n* **M1** a\n\n### Version\nR14 (I; D16) b\n";
        let entries = entries(page).unwrap();
        let read: Vec<_> = entries
            .iter()
            .map(|e| (e.requirement.to_string(), e.section.as_str(), e.text.as_str()))
            .collect();
        assert_eq!(read, [("M1".into(), "PCI", "a"), ("R14".to_string(), "Version", "(I; D16) b")]);
    }

    #[test]
    fn a_number_defined_twice_or_unknown_is_refused() {
        assert!(entries("R14 (I) a\nR14 (I) b").unwrap_err().contains("R14 twice"));
        assert!(entries("R287 (I) a").unwrap_err().contains("R287"));
    }
}
