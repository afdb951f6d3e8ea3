//! The INF language, as far as driver packages use it.
//!
//! An INF file is a list of named sections; a section is a list of lines; a line is `key = value, value, …` or just
//! `value, value, …`. The rules followed here are those of the Learn page "General Syntax Rules for INF Files": names
//! do not care about case, sections of one name are one section, `;` starts a comment, `\` at the end of a line
//! joins it with the next, quotes keep blanks, commas and semicolons, `""` inside quotes is one quote, `%name%` stands
//! for a line of `[Strings]`, `%%` for a per cent sign.
//!
//! [`package`] gives the sections their meaning (models, install sections, services), [`crate::install`] carries it out.

pub mod package;

use core::fmt;

/// A parsed INF file.
#[derive(Debug, Clone)]
pub struct Inf {
    /// The file's name, for messages and for the driver store (`ioatdma.inf`).
    pub file: String,
    sections: Vec<Section>,
}

/// All lines of the sections that share one name.
#[derive(Debug, Clone)]
pub struct Section {
    /// The name as first written.
    pub name: String,
    /// The line of the (first) section header, counted from one.
    pub line: u32,
    /// The lines in file order.
    pub entries: Vec<Entry>,
}

/// One logical line: string tokens are replaced, quotes removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it starts, counted from one.
    pub line: u32,
    /// What stands left of `=`, if there is one.
    pub key: Option<String>,
    /// The comma separated values; an empty one is an omitted one.
    pub values: Vec<String>,
}

impl Entry {
    /// The value at `index`; an omitted one is the empty string.
    pub fn value(&self, index: usize) -> &str {
        self.values.get(index).map_or("", String::as_str)
    }

    /// Whether this line's key is `name`.
    pub fn is(&self, name: &str) -> bool {
        self.key.as_deref().is_some_and(|key| key.eq_ignore_ascii_case(name))
    }
}

/// What is wrong with a driver package, where, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InfError {
    /// The INF file.
    pub file: String,
    /// The line, where there is one to point at.
    pub line: Option<u32>,
    /// What is wrong.
    pub problem: String,
    /// What the author of the INF should do.
    pub remedy: String,
}

impl fmt::Display for InfError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}; {}", self.problem, self.remedy)
    }
}

impl core::error::Error for InfError {}

impl Inf {
    /// Parses the bytes of an INF file: UTF-16 with a byte order mark, or UTF-8.
    ///
    /// # Errors
    /// [`InfError`] with the line of the first thing that is no INF.
    pub fn parse(file: &str, bytes: &[u8]) -> Result<Self, InfError> {
        let text = decode(file, bytes)?;
        let lines = logical_lines(file, &text)?;
        let sections = sections(file, &lines)?;
        let mut inf = Self { file: file.to_owned(), sections };
        inf.replace_strings()?;
        Ok(inf)
    }

    /// The section called `name`.
    pub fn section(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|section| section.name.eq_ignore_ascii_case(name))
    }

    /// All sections in file order.
    pub fn sections(&self) -> &[Section] {
        &self.sections
    }

    /// The first value of `key` in `section`.
    pub fn value(&self, section: &str, key: &str) -> Option<&str> {
        let entry = self.section(section)?.entries.iter().find(|entry| entry.is(key))?;
        Some(entry.value(0))
    }

    /// An error in this file.
    pub fn error(
        &self,
        line: Option<u32>,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) -> InfError {
        InfError { file: self.file.clone(), line, problem: problem.into(), remedy: remedy.into() }
    }

    /// Puts the lines of `[Strings]` in the place of their `%tokens%`.
    fn replace_strings(&mut self) -> Result<(), InfError> {
        let strings: Vec<(String, String)> = self
            .section("Strings")
            .map(|section| {
                let named = section.entries.iter().filter_map(|entry| Some((entry.key.clone()?, entry)));
                named.map(|(key, entry)| (key, entry.values.join(", "))).collect()
            })
            .unwrap_or_default();
        let file = self.file.clone();
        for section in &mut self.sections {
            if section.name.to_ascii_lowercase().starts_with("strings") {
                continue;
            }
            for entry in &mut section.entries {
                let line = entry.line;
                let texts = entry.key.iter_mut().chain(entry.values.iter_mut());
                for text in texts {
                    *text = expand(&file, line, text, &strings)?;
                }
            }
        }
        Ok(())
    }
}

/// Bytes to text.
fn decode(file: &str, bytes: &[u8]) -> Result<String, InfError> {
    let wrong = |problem: &str| InfError {
        file: file.to_owned(),
        line: None,
        problem: problem.to_owned(),
        remedy: "save it as UTF-8 or as UTF-16 with a byte order mark".to_owned(),
    };
    match bytes {
        [0xFF, 0xFE, rest @ ..] => {
            let units: Vec<u16> = rest
                .chunks(2)
                .map(|pair| u16::from_le_bytes([pair[0], *pair.get(1).unwrap_or(&0)]))
                .collect();
            String::from_utf16(&units).map_err(|_| wrong("the file is no valid UTF-16"))
        }
        [0xEF, 0xBB, 0xBF, rest @ ..] => {
            String::from_utf8(rest.to_vec()).map_err(|_| wrong("the file is no valid UTF-8"))
        }
        _ => String::from_utf8(bytes.to_vec())
            .map_err(|_| wrong("the file is neither UTF-8 nor marked as UTF-16")),
    }
}

/// Removes comments and joins continued lines; keeps the number of the first physical line.
fn logical_lines(file: &str, text: &str) -> Result<Vec<(u32, String)>, InfError> {
    let mut lines = Vec::new();
    let mut open: Option<(u32, String)> = None;
    for (number, physical) in (1..).zip(text.lines()) {
        let bare = without_comment(file, number, physical)?;
        let (start, mut joined) = open.take().unwrap_or((number, String::new()));
        match bare.trim_end().strip_suffix('\\') {
            Some(head) => {
                joined.push_str(head);
                open = Some((start, joined));
            }
            None => {
                joined.push_str(bare);
                if !joined.trim().is_empty() {
                    lines.push((start, joined.trim().to_owned()));
                }
            }
        }
    }
    match open {
        Some((line, _)) => Err(InfError {
            file: file.to_owned(),
            line: Some(line),
            problem: "the file ends inside a continued line".to_owned(),
            remedy: "remove the backslash at the end".to_owned(),
        }),
        None => Ok(lines),
    }
}

/// The part of a physical line before its comment.
fn without_comment<'a>(file: &str, line: u32, physical: &'a str) -> Result<&'a str, InfError> {
    let mut quoted = false;
    for (at, letter) in physical.char_indices() {
        match letter {
            '"' => quoted = !quoted,
            ';' if !quoted => return Ok(&physical[..at]),
            _ => {}
        }
    }
    if quoted {
        return Err(InfError {
            file: file.to_owned(),
            line: Some(line),
            problem: "a quote is opened and not closed on this line".to_owned(),
            remedy: "close it; inside quotes write \"\" for a quote".to_owned(),
        });
    }
    Ok(physical)
}

/// Groups logical lines under their section headers.
fn sections(file: &str, lines: &[(u32, String)]) -> Result<Vec<Section>, InfError> {
    let mut sections: Vec<Section> = Vec::new();
    let mut current: Option<usize> = None;
    for (line, text) in lines {
        let wrong = |problem: String, remedy: &str| InfError {
            file: file.to_owned(),
            line: Some(*line),
            problem,
            remedy: remedy.to_owned(),
        };
        if let Some(header) = text.strip_prefix('[') {
            let name = header
                .strip_suffix(']')
                .map(str::trim)
                .filter(|name| !name.is_empty() && !name.contains(['[', ']']))
                .ok_or_else(|| {
                    wrong(format!("`{text}` is no section header"), "write [name] alone on its line")
                })?;
            let known = sections.iter().position(|section| section.name.eq_ignore_ascii_case(name));
            current = Some(known.unwrap_or_else(|| {
                sections.push(Section { name: name.to_owned(), line: *line, entries: Vec::new() });
                sections.len() - 1
            }));
            continue;
        }
        let section = current.and_then(|index| sections.get_mut(index)).ok_or_else(|| {
            wrong(format!("`{text}` stands before the first section"), "start with [Version]")
        })?;
        let (key, values) = fields(text);
        section.entries.push(Entry { line: *line, key, values });
    }
    Ok(sections)
}

/// Splits `key = value, value` at the unquoted `=` and commas and removes the quotes.
fn fields(text: &str) -> (Option<String>, Vec<String>) {
    let mut key = None;
    let mut values = Vec::new();
    let mut field = Field::default();
    let mut letters = text.chars().peekable();
    let mut quoted = false;
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => {
                letters.next();
                field.push_quoted('"');
            }
            '"' => {
                quoted = !quoted;
                field.touch();
            }
            _ if quoted => field.push_quoted(letter),
            '=' if key.is_none() && values.is_empty() => key = Some(core::mem::take(&mut field).finish()),
            ',' => values.push(core::mem::take(&mut field).finish()),
            _ => field.push(letter),
        }
    }
    let last = field.finish();
    if !last.is_empty() || !values.is_empty() || key.is_none() {
        values.push(last);
    }
    (key, values)
}

/// One field under construction: unquoted blanks at both ends go, quoted ones stay.
#[derive(Default)]
struct Field {
    text: String,
    /// Length up to which the text must be kept, blanks included.
    keep: usize,
}

impl Field {
    fn push(&mut self, letter: char) {
        if letter.is_whitespace() {
            if !self.text.is_empty() {
                self.text.push(letter);
            }
        } else {
            self.text.push(letter);
            self.keep = self.text.len();
        }
    }

    fn push_quoted(&mut self, letter: char) {
        self.text.push(letter);
        self.keep = self.text.len();
    }

    fn touch(&mut self) {
        self.keep = self.text.len();
    }

    fn finish(mut self) -> String {
        self.text.truncate(self.keep);
        self.text
    }
}

/// Replaces `%name%` by its string. Directory identifiers (`%13%`) stay: they are not strings.
fn expand(file: &str, line: u32, text: &str, strings: &[(String, String)]) -> Result<String, InfError> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        let (name, tail) = after.split_once('%').ok_or_else(|| InfError {
            file: file.to_owned(),
            line: Some(line),
            problem: format!("`{text}` has a single per cent sign"),
            remedy: "write %name% for a string of [Strings], or %% for a per cent sign".to_owned(),
        })?;
        if name.is_empty() {
            out.push('%');
        } else if name.bytes().all(|digit| digit.is_ascii_digit()) {
            out.push_str(&format!("%{name}%"));
        } else {
            let (_, string) =
                strings.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).ok_or_else(|| InfError {
                    file: file.to_owned(),
                    line: Some(line),
                    problem: format!("%{name}% is not defined"),
                    remedy: format!("add `{name} = \"…\"` to [Strings]"),
                })?;
            out.push_str(string);
        }
        rest = tail;
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Inf, InfError> {
        Inf::parse("test.inf", text.as_bytes())
    }

    fn values(inf: &Inf, section: &str) -> Vec<(Option<String>, Vec<String>)> {
        let section = inf.section(section).expect("the section exists");
        section.entries.iter().map(|entry| (entry.key.clone(), entry.values.clone())).collect()
    }

    #[test]
    fn a_line_is_a_key_and_values_with_comments_and_blanks_removed() {
        let inf = parse("[A]\n key = one , two ,, \"three, ; four\" ; comment\nalone\n").unwrap();
        assert_eq!(
            values(&inf, "a"),
            [
                (Some("key".into()), vec!["one".into(), "two".into(), String::new(), "three, ; four".into()]),
                (None, vec!["alone".into()]),
            ]
        );
    }

    #[test]
    fn a_backslash_joins_lines_and_errors_name_the_first_of_them() {
        let inf = parse("[A]\nkey = one, \\ ; why\n two\n").unwrap();
        assert_eq!(values(&inf, "A"), [(Some("key".into()), vec!["one".into(), "two".into()])]);
        let error = parse("[A]\nkey = one, \\\n %nowhere%\n").unwrap_err();
        assert_eq!(error.line, Some(2));
        assert!(error.to_string().starts_with("test.inf:2: %nowhere% is not defined; add `nowhere"));
    }

    #[test]
    fn doubled_quotes_are_one_quote_and_quoted_blanks_stay() {
        let inf = parse("[A]\nk = \" a \"\"b\"\" \"\n").unwrap();
        assert_eq!(values(&inf, "A"), [(Some("k".into()), vec![" a \"b\" ".into()])]);
    }

    #[test]
    fn sections_of_one_name_are_one_section_whatever_their_case() {
        let inf = parse("[A]\nx\n[B]\ny\n[a]\nz\n").unwrap();
        assert_eq!(values(&inf, "A"), [(None, vec!["x".into()]), (None, vec!["z".into()])]);
    }

    #[test]
    fn tokens_are_replaced_and_directory_numbers_stay() {
        let inf = parse("[A]\n%Name% = %13%\\%file%, 100%%\n[Strings]\nName = \"A, name\"\nfile = a.sys\n")
            .unwrap();
        assert_eq!(values(&inf, "A"), [(Some("A, name".into()), vec!["%13%\\a.sys".into(), "100%".into()])]);
    }

    #[test]
    fn utf16_with_a_mark_reads_like_utf8() {
        let mut bytes = vec![0xFF, 0xFE];
        bytes.extend("[A]\r\nk = ü\r\n".encode_utf16().flat_map(u16::to_le_bytes));
        let inf = Inf::parse("wide.inf", &bytes).unwrap();
        assert_eq!(inf.value("a", "K"), Some("ü"));
    }

    #[test]
    fn what_is_no_inf_is_refused_with_its_line() {
        assert_eq!(parse("x = 1\n").unwrap_err().line, Some(1));
        assert_eq!(parse("[A]\n[B\n").unwrap_err().line, Some(2));
        assert_eq!(parse("[A]\nk = \"open\n").unwrap_err().line, Some(2));
        assert_eq!(parse("[A]\nk = 5%\n").unwrap_err().line, Some(2));
        assert_eq!(parse("[A]\nk = 1 \\").unwrap_err().line, Some(2));
    }
}
