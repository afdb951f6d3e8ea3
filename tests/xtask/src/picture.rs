//! `cargo xtask picture`: docs/demo.svg, the demonstration as it looks on a terminal, from a run of it.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::process::Command as Process;

use crate::arguments::Arguments;
use crate::command::{Command, Failure};
use crate::{drivers, generated, steps, workspace};

/// The command.
pub const COMMAND: Command = Command {
    name: "picture",
    usage: "[--from FILE]",
    summary: "Run the demonstration and write what it says to docs/demo.svg.\n\n\
              The times in it are those of the run, so it is made when the demonstration changes, and not checked.\n\
              --from FILE  do not run it: FILE is what a run said, both streams",
    run,
};

const PICTURE: &str = "docs/demo.svg";

/// Widths and heights in pixels.
const CHARACTER: usize = 8;
const LINE: usize = 18;
const MARGIN: usize = 16;

/// Longer lines are cut: they hold paths.
const COLUMNS: usize = 136;

fn run(words: Vec<OsString>) -> Result<(), Failure> {
    let arguments = Arguments::parse(words, &[], &["--from"])?;
    arguments.no_rest()?;
    let mut lines = vec!["$ cargo xtask demo".to_owned()];
    if let Some(file) = arguments.value("--from") {
        let said = std::fs::read_to_string(file)
            .map_err(|error| Failure::usage(format!("{}: {error}", file.to_string_lossy())))?;
        lines.extend(said.lines().map(str::to_owned));
        return generated::write(&workspace::root(), PICTURE, &svg(&lines));
    }
    drivers::build(&[])?;
    steps::cargo("demo", &["build", "--profile", "host", "--package", "machine", "--bin", "demo"])?;
    let mut demo = Process::new(workspace::target().join("host/demo"));
    steps::run("demo run", &mut demo, |line| lines.push(line.to_owned()))?;
    generated::write(&workspace::root(), PICTURE, &svg(&lines))
}

/// Lines of a terminal as a picture: dark, one line of text each, the command and the verdict in colours of their own.
fn svg(lines: &[String]) -> String {
    let cut = |line: &str| line.trim_end().chars().take(COLUMNS).collect::<String>();
    let shown = lines.iter().rposition(|line| !line.trim().is_empty()).map_or(0, |last| last + 1);
    let lines = &lines[..shown];
    let columns = lines.iter().map(|line| cut(line).chars().count()).max().unwrap_or(0);
    let (width, height) = (columns * CHARACTER + 2 * MARGIN, lines.len() * LINE + 2 * MARGIN);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\">\n\
         <title>A run of cargo xtask demo</title>\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"#16181d\"/>\n\
         <g font-family=\"ui-monospace, Consolas, Menlo, monospace\" font-size=\"13\" fill=\"#d7dae0\" xml:space=\"preserve\">\n"
    );
    for (number, line) in (1..).zip(lines) {
        let colour = if line.starts_with("$ ") || line.trim() == "Every byte arrived." {
            " fill=\"#7fd88f\""
        } else {
            ""
        };
        // A set width per line keeps columns in place whatever font there is.
        let shown = cut(line);
        let length = shown.chars().count() * CHARACTER;
        if length > 0 {
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "<text x=\"{MARGIN}\" y=\"{}\" textLength=\"{length}\"{colour}>{}</text>",
                MARGIN + number * LINE - 4,
                escaped(&shown)
            );
        }
    }
    text.push_str("</g>\n</svg>\n");
    text
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_in_the_picture_and_what_is_markup_is_escaped() {
        let picture = svg(&["$ cargo".into(), String::new(), "a < b & c  ".into(), String::new()]);
        assert_eq!(picture.matches("<text ").count(), 2);
        assert!(picture.contains(">a &lt; b &amp; c</text>"), "{picture}");
        assert!(picture.contains("height=\"86\""), "{picture}");
    }

    #[test]
    fn long_lines_are_cut() {
        let picture = svg(&["x".repeat(500)]);
        assert!(picture.contains(&"x".repeat(COLUMNS)) && !picture.contains(&"x".repeat(COLUMNS + 1)));
    }
}
