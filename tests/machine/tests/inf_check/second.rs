//! A second reading of an INF, by parsers that are not ours: Python's `configparser` for sections and lines, its `csv` for
//! the values. What they make of a file must be what the hosted machine's parser makes of it.

use std::process::Command;

use nthost::inf::Inf;

/// A line: section, key (empty when there is none), values.
pub type Line = (String, String, Vec<String>);

const SCRIPT: &str = r#"
import configparser, csv, json, re, sys

class Parser(configparser.RawConfigParser):
    # Lines may repeat: each gets a number, which is taken off again below.
    count = 0
    def optionxform(self, option):
        self.count += 1
        return "%06d %s" % (self.count, option)

parser = Parser(delimiters=("=",), comment_prefixes=(";",), inline_comment_prefixes=(";",),
                allow_no_value=True, strict=False, empty_lines_in_values=False, default_section=None)
with open(sys.argv[1], encoding="utf-8") as file:
    parser.read_file(file)

def fields(text):
    return [field.strip() for field in next(csv.reader([text], skipinitialspace=True), [""])]

strings = {option[7:].lower(): fields(value)[0] for option, value in parser._sections["Strings"].items()}
def expand(text):
    return re.sub("%([^%0-9][^%]*)%", lambda token: strings[token.group(1).lower()], text)

for section, lines in parser._sections.items():
    for option, value in lines.items():
        key, values = (option[7:], fields(value)) if value is not None else ("", fields(option[7:]))
        if section != "Strings":
            key, values = expand(key), [expand(value) for value in values]
        print(json.dumps([section, key, values]))
"#;

/// What Python reads.
///
/// # Panics
/// There is no `python3`, or it cannot read the file.
pub fn read(path: &str) -> Vec<Line> {
    let output = Command::new("python3")
        .args(["-c", SCRIPT, path])
        .output()
        .unwrap_or_else(|error| panic!("python3 cannot be started: {error}; install it"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What our parser read, in the same form.
pub fn flat(inf: &Inf) -> Vec<Line> {
    let lines = inf.sections().iter().flat_map(|section| {
        section
            .entries
            .iter()
            .map(|entry| (section.name.clone(), entry.key.clone().unwrap_or_default(), entry.values.clone()))
    });
    lines.collect()
}
