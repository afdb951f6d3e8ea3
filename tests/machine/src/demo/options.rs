//! The command line of the demonstration.

use std::ffi::OsString;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use ioat_model::FaultPlan;

/// The text of `--help`.
pub const HELP: &str = include_str!("help.txt");

/// The CHANERR bit of `--fault halt` where none is named.
const HALT_ERROR: &str = "read-data";

/// What was asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Seed of everything that chance decides.
    pub seed: u64,
    /// Processors of the machine.
    pub cpus: usize,
    /// Engine functions.
    pub engines: usize,
    /// What the first engine does wrong.
    pub faults: FaultPlan,
    /// No progress.
    pub quiet: bool,
    /// Files and folders to copy; empty for the default.
    pub inputs: Vec<PathBuf>,
}

impl Options {
    /// The command that runs the same again.
    pub fn command(&self) -> String {
        let Self { seed, cpus, engines, faults, quiet: _, inputs } = self;
        let mut command = format!("cargo xtask demo --seed {seed} --cpus {cpus} --engines {engines}");
        for fault in &faults.faults {
            command.push_str(&format!(" --fault {}", quoted(&fault.to_string())));
        }
        for (number, input) in inputs.iter().enumerate() {
            command.push_str(if number == 0 { " -- " } else { " " });
            command.push_str(&quoted(&input.display().to_string()));
        }
        command
    }
}

/// `text` as one word of a shell.
fn quoted(text: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./+,=:@%".contains(letter);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// What a command line asks for.
#[derive(Debug, PartialEq)]
pub enum Request {
    /// The help text.
    Help,
    /// A run.
    Run(Options),
}

impl Default for Options {
    fn default() -> Self {
        Self { seed: 1, cpus: 2, engines: 2, faults: FaultPlan::default(), quiet: false, inputs: Vec::new() }
    }
}

impl Request {
    /// Reads the words after the program's name. An option's value follows as the next word or after `=`; after
    /// `--` every word is a file.
    ///
    /// # Errors
    /// One line that names the word and says what would be right.
    pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Self, String> {
        let mut options = Options::default();
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            let Some(text) = word.to_str().filter(|text| text.starts_with('-') && text.len() > 1) else {
                options.inputs.push(word.into());
                continue;
            };
            let (name, inline) = match text.split_once('=') {
                Some((name, value)) => (name, Some(OsString::from(value))),
                None => (text, None),
            };
            let mut value = || {
                let value = inline.clone().or_else(|| words.next());
                let value = value.ok_or_else(|| format!("{name} needs a value; see --help"))?;
                value.into_string().map_err(|value| format!("{name}: {} is no text", value.display()))
            };
            match name {
                "--help" | "-h" => return Ok(Self::Help),
                "--quiet" => options.quiet = true,
                "--seed" => options.seed = number(name, &value()?, 0..=u64::MAX)?,
                "--cpus" => options.cpus = number(name, &value()?, 1..=8)? as usize,
                "--engines" => options.engines = number(name, &value()?, 1..=8)? as usize,
                "--fault" => options.faults.faults.extend(fault(&value()?)?.faults),
                "--" => options.inputs.extend(words.by_ref().map(PathBuf::from)),
                _ => return Err(format!("unknown option {name}; see --help")),
            }
        }
        Ok(Self::Run(options))
    }
}

fn number(name: &str, text: &str, range: RangeInclusive<u64>) -> Result<u64, String> {
    let number = text.parse().ok().filter(|number| range.contains(number));
    number.ok_or_else(|| format!("{name} {text}: give a number from {} to {}", range.start(), range.end()))
}

/// A fault in the demonstration's short form, or a line of a fault plan.
fn fault(text: &str) -> Result<FaultPlan, String> {
    let (what, at) = match text.split_once('@') {
        Some((what, at)) => (what, Some(number("--fault", at, 1..=u64::MAX)?)),
        None => (text, None),
    };
    let (name, error) = what.split_once(':').unwrap_or((what, HALT_ERROR));
    let plan = match name {
        "flip-bit" => format!("flip-bit copy={} bit=13", at.unwrap_or(100)),
        "no-copy" => format!("skip-copy copy={}", at.unwrap_or(100)),
        "drop-interrupt" => format!("drop-interrupt interrupt={}", at.unwrap_or(5)),
        "halt" => format!("halt descriptor={} error={error}", at.unwrap_or(100)),
        _ => text.to_owned(),
    };
    plan.parse().map_err(|bad: ioat_model::BadFault| format!("--fault {text}: {}", bad.message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Request, String> {
        Request::parse(words.iter().map(OsString::from))
    }

    fn run(words: &[&str]) -> Options {
        match parse(words) {
            Ok(Request::Run(options)) => options,
            other => panic!("{words:?}: {other:?}"),
        }
    }

    #[test]
    fn without_words_the_defaults_hold() {
        assert_eq!(run(&[]), Options::default());
    }

    #[test]
    fn options_take_their_value_from_the_next_word_or_after_an_equals_sign() {
        let options = run(&["a", "--seed", "7", "--cpus=4", "--engines", "1", "--quiet", "--", "--seed"]);
        assert_eq!((options.seed, options.cpus, options.engines, options.quiet), (7, 4, 1, true));
        assert_eq!(options.inputs, [PathBuf::from("a"), PathBuf::from("--seed")]);
    }

    #[test]
    fn the_command_of_a_run_asks_for_the_same_run() {
        let words = ["--seed=9", "--cpus", "3", "--fault", "halt:write-data@9", "--", "it's", "b/c.txt"];
        let options = run(&words);
        let command = options.command();
        assert_eq!(
            command,
            r"cargo xtask demo --seed 9 --cpus 3 --engines 2 --fault 'halt descriptor=9 error=write-data' -- 'it'\''s' b/c.txt"
        );
        // A shell's view of it, by the shell.
        let shell = std::process::Command::new("sh")
            .args(["-c", &format!("printf '%s\\n' {}", command.trim_start_matches("cargo xtask demo "))])
            .output()
            .expect("a shell");
        let words = String::from_utf8(shell.stdout).expect("words");
        assert_eq!(run(&words.lines().collect::<Vec<_>>()), options);
    }

    #[test]
    fn short_faults_become_lines_of_a_plan() {
        let plan = run(&["--fault", "flip-bit@3", "--fault=no-copy", "--fault", "halt:write-data@9"]).faults;
        assert_eq!(
            plan.to_string(),
            "flip-bit copy=3 bit=13\nskip-copy copy=100\nhalt descriptor=9 error=write-data\n"
        );
        let plan = run(&["--fault", "drop-interrupt", "--fault", "lost-completion completion=7"]).faults;
        assert_eq!(plan.to_string(), "drop-interrupt interrupt=5\nlost-completion completion=7\n");
    }

    #[test]
    fn help_wins_over_what_follows() {
        assert_eq!(parse(&["--help", "--nonsense"]), Ok(Request::Help));
    }

    #[test]
    fn each_mistake_is_named_in_one_line() {
        for (words, named) in [
            (&["--sed", "1"][..], "unknown option --sed"),
            (&["--seed"], "--seed needs a value"),
            (&["--seed", "x"], "--seed x"),
            (&["--cpus", "0"], "from 1 to 8"),
            (&["--engines=9"], "from 1 to 8"),
            (&["--fault", "halt:nonsense"], "nonsense"),
            (&["--fault", "flip-bit@0"], "--fault 0"),
            (&["--fault", "explode"], "no fault `explode`"),
        ] {
            let message = parse(words).unwrap_err();
            assert!(message.contains(named) && !message.contains('\n'), "{words:?}: {message}");
        }
    }
}
