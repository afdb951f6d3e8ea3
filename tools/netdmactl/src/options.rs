//! The command line.

use std::ffi::OsString;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use lexopt::Parser;
use lexopt::prelude::*;

use crate::transport::Trouble;

/// The text of `--help`.
pub const HELP: &str = include_str!("help.txt");

/// What the words ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// The help text.
    Help,
    /// The version.
    Version,
    /// A command.
    Run(Options),
}

/// A command with its options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// What to do.
    pub action: Action,
    /// Print JSON.
    pub json: bool,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// What is there.
    List,
    /// Counters.
    Stats {
        /// Seconds between two readings; `None` for one reading.
        watch: Option<u64>,
        /// Readings; `None` for as many as come.
        count: Option<u64>,
    },
    /// What went wrong.
    Errors,
    /// Copy and check.
    Test {
        /// Only this one.
        engine: Option<usize>,
        /// Bytes per engine.
        bytes: u64,
        /// Decides the test data.
        seed: u64,
    },
    /// Measure.
    Bench {
        /// This one.
        engine: usize,
        /// Measurements of each size.
        repeat: u32,
        /// Where the picture goes.
        plot: Option<PathBuf>,
    },
    /// Reset a channel.
    Reset {
        /// Which.
        channel: ChannelName,
    },
    /// Create the test client's device.
    AddDevice,
    /// Remove it.
    RemoveDevice,
}

/// A channel as `list` names it: `ENGINE.CHANNEL`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelName {
    /// Number of the engine.
    pub engine: usize,
    /// Number of the channel in it.
    pub channel: u32,
}

impl std::fmt::Display for ChannelName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.engine, self.channel)
    }
}

/// Bytes that `test` copies with each engine unless told otherwise.
const TEST_BYTES: u64 = 16 << 20;
/// Measurements of each size unless told otherwise.
const REPEAT: u32 = 5;
/// The commands, for messages.
const COMMANDS: &str = "list, stats, errors, test, bench, reset, device add, device remove";

/// Every option, before it is known which command they belong to.
#[derive(Debug, Default)]
struct Given {
    words: Vec<String>,
    json: bool,
    watch: Option<u64>,
    count: Option<u64>,
    engine: Option<usize>,
    bytes: Option<u64>,
    seed: Option<u64>,
    repeat: Option<u32>,
    plot: Option<PathBuf>,
}

impl Request {
    /// Reads the words after the program's name.
    ///
    /// # Errors
    /// One line that names the word and says what would be right.
    pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Self, Trouble> {
        let mut parser = Parser::from_args(words);
        let mut given = Given::default();
        while let Some(argument) = parser.next().map_err(bad)? {
            match argument {
                Long("help") | Short('h') => return Ok(Self::Help),
                Long("version") | Short('V') => return Ok(Self::Version),
                Long("json") => given.json = true,
                Long("watch") => given.watch = Some(number("--watch", &mut parser, 1..=86_400)?),
                Long("count") => given.count = Some(number("--count", &mut parser, 1..=u64::MAX)?),
                Long("engine") => given.engine = Some(number("--engine", &mut parser, 0..=63)? as usize),
                Long("seed") => given.seed = Some(number("--seed", &mut parser, 0..=u64::MAX)?),
                Long("repeat") => given.repeat = Some(number("--repeat", &mut parser, 1..=1000)? as u32),
                Long("bytes") => given.bytes = Some(size("--bytes", &value(&mut parser)?)?),
                Long("plot") => given.plot = Some(parser.value().map_err(bad)?.into()),
                Value(word) => given.words.push(word.into_string().map_err(|word| {
                    Trouble::new(format!("{}: give a command: {COMMANDS}", word.display()))
                })?),
                other => return Err(bad(other.unexpected())),
            }
        }
        given.request()
    }
}

impl Given {
    fn request(mut self) -> Result<Request, Trouble> {
        let words: Vec<String> = std::mem::take(&mut self.words);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let action = match words[..] {
            [] => {
                return Err(Trouble::new(format!("there is no command: give one of {COMMANDS}; see --help")));
            }
            ["list"] => Action::List,
            ["stats"] => {
                let (watch, count) = (self.watch.take(), self.count.take());
                if count.is_some() && watch.is_none() {
                    return Err(Trouble::new("--count belongs to --watch SECONDS: give that, too"));
                }
                Action::Stats { watch, count }
            }
            ["errors"] => Action::Errors,
            ["test"] => Action::Test {
                engine: self.engine.take(),
                bytes: self.bytes.take().unwrap_or(TEST_BYTES),
                seed: self.seed.take().unwrap_or(1),
            },
            ["bench"] => Action::Bench {
                engine: self.engine.take().unwrap_or(0),
                repeat: self.repeat.take().unwrap_or(REPEAT),
                plot: self.plot.take(),
            },
            ["reset", channel] => Action::Reset { channel: channel_name(channel)? },
            ["reset"] => {
                return Err(Trouble::new("reset: name the channel as `list` does, 0.0 for instance"));
            }
            ["device", "add"] => Action::AddDevice,
            ["device", "remove"] => Action::RemoveDevice,
            ["device", ..] => return Err(Trouble::new("device: say `device add` or `device remove`")),
            ["list" | "stats" | "errors" | "test" | "bench", extra, ..] | ["reset", _, extra, ..] => {
                return Err(Trouble::new(format!("{extra}: nothing may follow here; see --help")));
            }
            [unknown, ..] => {
                return Err(Trouble::new(format!("there is no command {unknown}: give one of {COMMANDS}")));
            }
        };
        // What the command has not taken does not belong to it.
        let left = [
            ("--watch", self.watch.is_some()),
            ("--count", self.count.is_some()),
            ("--engine", self.engine.is_some()),
            ("--bytes", self.bytes.is_some()),
            ("--seed", self.seed.is_some()),
            ("--repeat", self.repeat.is_some()),
            ("--plot", self.plot.is_some()),
        ];
        if let Some((option, _)) = left.into_iter().find(|(_, given)| *given) {
            let command = words.first().copied().unwrap_or_default();
            return Err(Trouble::new(format!("{option} does not belong to {command}; see --help")));
        }
        Ok(Request::Run(Options { action, json: self.json }))
    }
}

fn bad(error: lexopt::Error) -> Trouble {
    Trouble::new(format!("{error}; see --help"))
}

fn value(parser: &mut Parser) -> Result<String, Trouble> {
    parser
        .value()
        .map_err(bad)?
        .into_string()
        .map_err(|word| Trouble::new(format!("{}: this is no text", word.display())))
}

fn number(option: &str, parser: &mut Parser, range: RangeInclusive<u64>) -> Result<u64, Trouble> {
    let text = value(parser)?;
    text.parse().ok().filter(|number| range.contains(number)).ok_or_else(|| {
        Trouble::new(format!("{option} {text}: give a number from {} to {}", range.start(), range.end()))
    })
}

/// A number of bytes: `4096`, `64K`, `16M`, `2G`.
fn size(option: &str, text: &str) -> Result<u64, Trouble> {
    let (digits, factor) = match text.as_bytes().last() {
        Some(b'K' | b'k') => (&text[..text.len() - 1], 1 << 10),
        Some(b'M' | b'm') => (&text[..text.len() - 1], 1 << 20),
        Some(b'G' | b'g') => (&text[..text.len() - 1], 1 << 30),
        _ => (text, 1_u64),
    };
    let bytes = digits.parse().ok().and_then(|number: u64| number.checked_mul(factor));
    bytes.filter(|bytes| (1..=1 << 50).contains(bytes)).ok_or_else(|| {
        Trouble::new(format!("{option} {text}: give a number of bytes from 1, such as 4096, 64K, 16M or 2G"))
    })
}

fn channel_name(text: &str) -> Result<ChannelName, Trouble> {
    let name = text
        .split_once('.')
        .and_then(|(engine, channel)| Some((engine.parse().ok()?, channel.parse().ok()?)))
        .map(|(engine, channel)| ChannelName { engine, channel });
    name.ok_or_else(|| {
        Trouble::new(format!("reset {text}: name the channel as `list` does, 0.0 for instance"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Request, String> {
        Request::parse(words.iter().map(OsString::from)).map_err(|trouble| trouble.to_string())
    }

    fn action(words: &[&str]) -> Action {
        match parse(words) {
            Ok(Request::Run(options)) => options.action,
            other => panic!("{words:?}: {other:?}"),
        }
    }

    #[test]
    fn every_command_has_its_defaults() {
        assert_eq!(action(&["list"]), Action::List);
        assert_eq!(action(&["stats"]), Action::Stats { watch: None, count: None });
        assert_eq!(action(&["test"]), Action::Test { engine: None, bytes: 16 << 20, seed: 1 });
        assert_eq!(action(&["bench"]), Action::Bench { engine: 0, repeat: 5, plot: None });
        assert_eq!(action(&["device", "add"]), Action::AddDevice);
    }

    #[test]
    fn options_stand_anywhere_and_sizes_have_units() {
        assert_eq!(
            action(&["--bytes=3M", "test", "--engine", "2", "--seed", "9"]),
            Action::Test { engine: Some(2), bytes: 3 << 20, seed: 9 }
        );
        assert_eq!(
            action(&["stats", "--watch", "2", "--count=3"]),
            Action::Stats { watch: Some(2), count: Some(3) }
        );
        assert_eq!(
            action(&["reset", "1.3"]),
            Action::Reset { channel: ChannelName { engine: 1, channel: 3 } }
        );
        assert!(matches!(parse(&["--json", "errors"]), Ok(Request::Run(Options { json: true, .. }))));
    }

    #[test]
    fn help_and_version_win_over_what_follows() {
        assert_eq!(parse(&["test", "--help", "--nonsense"]), Ok(Request::Help));
        assert_eq!(parse(&["-V"]), Ok(Request::Version));
    }

    #[test]
    fn each_mistake_is_named_in_one_line_with_a_remedy() {
        for (words, named) in [
            (&[][..], "give one of list, stats"),
            (&["lst"], "there is no command lst: give one of"),
            (&["list", "all"], "all: nothing may follow"),
            (&["list", "--engine", "1"], "--engine does not belong to list"),
            (&["stats", "--count", "2"], "--count belongs to --watch"),
            (&["stats", "--watch", "0"], "--watch 0: give a number from 1"),
            (&["test", "--bytes", "3X"], "--bytes 3X: give a number of bytes"),
            (&["test", "--bytes", "0"], "--bytes 0"),
            (&["test", "--bytes", "99999999999999G"], "--bytes 99999999999999G"),
            (&["test", "--engine"], "--engine"),
            (&["bench", "--repeat", "1001"], "from 1 to 1000"),
            (&["reset"], "name the channel"),
            (&["reset", "0"], "reset 0: name the channel"),
            (&["reset", "a.b"], "reset a.b"),
            (&["device"], "`device add` or `device remove`"),
            (&["device", "start"], "`device add` or `device remove`"),
            (&["list", "--frobnicate"], "--frobnicate"),
            (&["list", "--json=yes"], "--json"),
        ] {
            let message = parse(words).unwrap_err();
            assert!(message.contains(named) && !message.contains('\n'), "{words:?}: {message}");
        }
    }
}
