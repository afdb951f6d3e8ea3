//! What goes wrong, as data.
//!
//! A [`FaultPlan`] is a list of [`Fault`]s with a text form, so that a command line, a file and a test say the same
//! thing. There is one engine: without a plan it is faithful, with one it misbehaves where the plan says so and
//! nowhere else.
//!
//! ```
//! use ioat_model::FaultPlan;
//!
//! // Every hundredth copy arrives with its tenth bit flipped; descriptor 7 halts the channel.
//! let plan: FaultPlan = "
//!     flip-bit copy=*/100 bit=9
//!     halt descriptor=7 error=read-data
//! ".parse()?;
//! assert_eq!(plan.to_string(), "flip-bit copy=*/100 bit=9\nhalt descriptor=7 error=read-data\n");
//! # Ok::<(), ioat_model::BadFault>(())
//! ```
//!
//! One fault per line (or between semicolons); `#` starts a comment. Things are counted from one, over all
//! channels of the function, from power-on. `n` strikes the n-th only, `n+` that and all later ones, `*/n` each
//! n-th, `*` all.

use std::{fmt, str::FromStr};

use ioat_regs::{ChanErr, error::ErrorBit};

use crate::defects::Defect;

/// Which of many things of a kind a fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// This one, counted from one.
    Only(u64),
    /// This one and all later ones.
    From(u64),
    /// Each n-th.
    Every(u64),
}

impl Which {
    /// Whether it strikes the `number`-th, counted from one.
    pub fn strikes(self, number: u64) -> bool {
        match self {
            Self::Only(n) => number == n,
            Self::From(n) => number >= n,
            Self::Every(n) => number.is_multiple_of(n),
        }
    }
}

/// One thing that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// `flip-bit copy=N [bit=B]`: the copy arrives with one bit inverted; B counts from the first bit of the copied
    /// bytes and wraps at their end.
    FlipBit {
        /// Which copy.
        copy: Which,
        /// Which bit of it.
        bit: u64,
    },
    /// `skip-copy copy=N`: the copy completes without having been done.
    SkipCopy {
        /// Which copy.
        copy: Which,
    },
    /// `early-completion descriptor=N`: the completion word and the interrupt come before the data, which
    /// follows only after `steps` further steps of the engine (default 64).
    EarlyCompletion {
        /// Which descriptor.
        descriptor: Which,
        /// How much later the data follows.
        steps: u64,
    },
    /// `drop-interrupt interrupt=N`: the message is not sent, the line not raised; the channel believes it was.
    DropInterrupt {
        /// Which interrupt signalled.
        interrupt: Which,
    },
    /// `spurious-interrupt descriptor=N`: an interrupt that nobody asked for comes with the descriptor.
    SpuriousInterrupt {
        /// Which descriptor.
        descriptor: Which,
    },
    /// `stuck-interrupt interrupt=N`: from the N-th on the line stays asserted, or the message is repeated every
    /// ten microseconds, whatever software does.
    StuckInterrupt {
        /// The interrupt that gets stuck.
        interrupt: u64,
    },
    /// `halt descriptor=N error=NAME`: the channel halts with this CHANERR bit instead of executing the descriptor.
    Halt {
        /// Which descriptor.
        descriptor: Which,
        /// The one bit.
        error: &'static ErrorBit,
    },
    /// `removed access=N`: from the N-th register access on the function is gone: all reads answer all ones.
    Removed {
        /// The first access that finds nothing.
        access: u64,
    },
    /// `lost-completion completion=N`: the completion word is not written.
    LostCompletion {
        /// Which completion word.
        completion: Which,
    },
    /// `late-completion completion=N by=NS`: it is written NS nanoseconds late, its interrupt later still.
    LateCompletion {
        /// Which completion word.
        completion: Which,
        /// How late, in nanoseconds.
        by: u64,
    },
    /// `torn-completion completion=N`: it is written in two halves, low half first, in separate steps.
    TornCompletion {
        /// Which completion word.
        completion: Which,
    },
    /// `foreign-completion completion=N address=A`: it carries this address instead of the descriptor's.
    ForeignCompletion {
        /// Which completion word.
        completion: Which,
        /// The address it carries.
        address: u64,
    },
    /// `backward-completion completion=N`: it repeats the completion word written before the last one.
    BackwardCompletion {
        /// Which completion word.
        completion: Which,
    },
    /// `endless-reset reset=N`: the reset command never finishes.
    EndlessReset {
        /// Which reset.
        reset: Which,
    },
    /// `endless-suspend suspend=N`: the suspend command has no effect.
    EndlessSuspend {
        /// Which suspend.
        suspend: Which,
    },
    /// `halted-at-start error=NAME`: at power-on the channels are halted with this error recorded.
    HaltedAtStart {
        /// The one bit.
        error: &'static ErrorBit,
    },
    /// `running-at-start`: at power-on the channels report that they are active, as firmware may leave them.
    RunningAtStart,
    /// `defect name=NAME`: the engine has this [`Defect`], from power-on to the end.
    Defect {
        /// Which mistake.
        name: Defect,
    },
    /// `config-unreachable`: configuration space from 0x100 on reads all ones and ignores writes.
    ConfigUnreachable,
}

/// Everything that goes wrong with one function. Empty for a faithful engine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FaultPlan {
    /// In the order in which they were given; where several would strike the same thing, the first does.
    pub faults: Vec<Fault>,
}

/// Why a fault plan is not one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadFault {
    /// Line, counted from one; semicolons do not count.
    pub line: usize,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl fmt::Display for BadFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fault plan, line {}: {}", self.line, self.message)
    }
}

impl std::error::Error for BadFault {}

/// Names of all faults with what they take, for usage texts.
pub const FAULTS: &[(&str, &str)] = &[
    ("flip-bit", "copy=N [bit=B]"),
    ("skip-copy", "copy=N"),
    ("early-completion", "descriptor=N [steps=S]"),
    ("drop-interrupt", "interrupt=N"),
    ("spurious-interrupt", "descriptor=N"),
    ("stuck-interrupt", "interrupt=N"),
    ("halt", "descriptor=N error=NAME"),
    ("removed", "access=N"),
    ("lost-completion", "completion=N"),
    ("late-completion", "completion=N by=NANOSECONDS"),
    ("torn-completion", "completion=N"),
    ("foreign-completion", "completion=N address=A"),
    ("backward-completion", "completion=N"),
    ("endless-reset", "reset=N"),
    ("endless-suspend", "suspend=N"),
    ("halted-at-start", "error=NAME"),
    ("running-at-start", ""),
    ("config-unreachable", ""),
    ("defect", "name=NAME"),
];

impl FromStr for FaultPlan {
    type Err = BadFault;

    fn from_str(text: &str) -> Result<Self, BadFault> {
        let mut faults = Vec::new();
        for (position, line) in text.lines().enumerate() {
            let content = line.split('#').next().unwrap_or_default();
            for statement in content.split(';').map(str::trim).filter(|statement| !statement.is_empty()) {
                let fault = parse(statement).map_err(|message| BadFault { line: position + 1, message })?;
                faults.push(fault);
            }
        }
        Ok(Self { faults })
    }
}

fn parse(statement: &str) -> Result<Fault, String> {
    let mut words = statement.split_whitespace();
    let name = words.next().unwrap_or_default();
    let mut fields = Fields::of(name, words)?;
    let fault = match name {
        "flip-bit" => Fault::FlipBit { copy: fields.which("copy")?, bit: fields.number_or("bit", 0)? },
        "skip-copy" => Fault::SkipCopy { copy: fields.which("copy")? },
        "early-completion" => Fault::EarlyCompletion {
            descriptor: fields.which("descriptor")?,
            steps: fields.number_or("steps", 64)?,
        },
        "drop-interrupt" => Fault::DropInterrupt { interrupt: fields.which("interrupt")? },
        "spurious-interrupt" => Fault::SpuriousInterrupt { descriptor: fields.which("descriptor")? },
        "stuck-interrupt" => Fault::StuckInterrupt { interrupt: fields.ordinal("interrupt")? },
        "halt" => Fault::Halt { descriptor: fields.which("descriptor")?, error: fields.error()? },
        "removed" => Fault::Removed { access: fields.ordinal("access")? },
        "lost-completion" => Fault::LostCompletion { completion: fields.which("completion")? },
        "late-completion" => {
            Fault::LateCompletion { completion: fields.which("completion")?, by: fields.number("by")? }
        }
        "torn-completion" => Fault::TornCompletion { completion: fields.which("completion")? },
        "foreign-completion" => Fault::ForeignCompletion {
            completion: fields.which("completion")?,
            address: fields.number("address")?,
        },
        "backward-completion" => Fault::BackwardCompletion { completion: fields.which("completion")? },
        "endless-reset" => Fault::EndlessReset { reset: fields.which("reset")? },
        "endless-suspend" => Fault::EndlessSuspend { suspend: fields.which("suspend")? },
        "halted-at-start" => Fault::HaltedAtStart { error: fields.error()? },
        "running-at-start" => Fault::RunningAtStart,
        "config-unreachable" => Fault::ConfigUnreachable,
        "defect" => Fault::Defect { name: fields.defect()? },
        _ => {
            let names: Vec<_> = FAULTS.iter().map(|&(name, _)| name).collect();
            return Err(format!("there is no fault `{name}`; there are {}", names.join(", ")));
        }
    };
    fields.finish()?;
    Ok(fault)
}

/// The `key=value` words after a fault's name.
struct Fields<'a> {
    name: &'a str,
    pairs: Vec<(&'a str, &'a str)>,
}

impl<'a> Fields<'a> {
    fn of(name: &'a str, words: impl Iterator<Item = &'a str>) -> Result<Self, String> {
        let mut pairs: Vec<(&str, &str)> = Vec::new();
        for word in words {
            let (key, value) =
                word.split_once('=').ok_or_else(|| format!("`{word}` is not of the form key=value"))?;
            if pairs.iter().any(|&(known, _)| known == key) {
                return Err(format!("{key}= is given twice"));
            }
            pairs.push((key, value));
        }
        Ok(Self { name, pairs })
    }

    fn usage(&self) -> String {
        let takes = FAULTS.iter().find(|&&(name, _)| name == self.name).map_or("", |&(_, takes)| takes);
        format!("write `{}`", format!("{} {takes}", self.name).trim_end())
    }

    fn take(&mut self, key: &str) -> Option<&'a str> {
        let position = self.pairs.iter().position(|&(name, _)| name == key)?;
        Some(self.pairs.remove(position).1)
    }

    fn required(&mut self, key: &str) -> Result<&'a str, String> {
        self.take(key).ok_or_else(|| format!("`{}` needs {key}=; {}", self.name, self.usage()))
    }

    fn number(&mut self, key: &str) -> Result<u64, String> {
        let text = self.required(key)?;
        number(text).ok_or_else(|| format!("{key}={text}: not a number (decimal, or hexadecimal after 0x)"))
    }

    /// A number of a thing that is counted from one.
    fn ordinal(&mut self, key: &str) -> Result<u64, String> {
        match self.number(key)? {
            0 => Err(format!("{key}=0: things are counted from one")),
            number => Ok(number),
        }
    }

    fn number_or(&mut self, key: &str, default: u64) -> Result<u64, String> {
        if self.pairs.iter().any(|&(name, _)| name == key) { self.number(key) } else { Ok(default) }
    }

    fn which(&mut self, key: &str) -> Result<Which, String> {
        let text = self.required(key)?;
        let which = match (text.strip_prefix("*/"), text.strip_suffix('+')) {
            _ if text == "*" => Some(Which::Every(1)),
            (Some(every), _) => number(every).map(Which::Every),
            (_, Some(first)) => number(first).map(Which::From),
            _ => number(text).map(Which::Only),
        };
        which
            .filter(|which| !matches!(which, Which::Only(0) | Which::From(0) | Which::Every(0)))
            .ok_or_else(|| format!("{key}={text}: write 5, 5+, */5 or *, counting from one"))
    }

    fn error(&mut self) -> Result<&'static ErrorBit, String> {
        let text = self.required("error")?;
        ErrorBit::named(text).ok_or_else(|| {
            let names: Vec<_> = ChanErr::ALL.iter().map(|error| error.name).collect();
            format!("error={text}: no such CHANERR bit; there are {}", names.join(", "))
        })
    }

    fn defect(&mut self) -> Result<Defect, String> {
        let text = self.required("name")?;
        Defect::named(text).ok_or_else(|| {
            let names: Vec<_> = Defect::ALL.iter().map(|defect| defect.name()).collect();
            format!("name={text}: no such defect; there are {}", names.join(", "))
        })
    }

    fn finish(self) -> Result<(), String> {
        match self.pairs.first() {
            Some((key, _)) => Err(format!("`{}` does not take {key}=; {}", self.name, self.usage())),
            None => Ok(()),
        }
    }
}

fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Only(n) => write!(f, "{n}"),
            Self::From(n) => write!(f, "{n}+"),
            Self::Every(1) => f.write_str("*"),
            Self::Every(n) => write!(f, "*/{n}"),
        }
    }
}

/// The text that parses to the same fault.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FlipBit { copy, bit } => write!(f, "flip-bit copy={copy} bit={bit}"),
            Self::SkipCopy { copy } => write!(f, "skip-copy copy={copy}"),
            Self::EarlyCompletion { descriptor, steps } => {
                write!(f, "early-completion descriptor={descriptor} steps={steps}")
            }
            Self::DropInterrupt { interrupt } => write!(f, "drop-interrupt interrupt={interrupt}"),
            Self::SpuriousInterrupt { descriptor } => write!(f, "spurious-interrupt descriptor={descriptor}"),
            Self::StuckInterrupt { interrupt } => write!(f, "stuck-interrupt interrupt={interrupt}"),
            Self::Halt { descriptor, error } => {
                write!(f, "halt descriptor={descriptor} error={}", error.name)
            }
            Self::Removed { access } => write!(f, "removed access={access}"),
            Self::LostCompletion { completion } => write!(f, "lost-completion completion={completion}"),
            Self::LateCompletion { completion, by } => {
                write!(f, "late-completion completion={completion} by={by}")
            }
            Self::TornCompletion { completion } => write!(f, "torn-completion completion={completion}"),
            Self::ForeignCompletion { completion, address } => {
                write!(f, "foreign-completion completion={completion} address={address:#x}")
            }
            Self::BackwardCompletion { completion } => {
                write!(f, "backward-completion completion={completion}")
            }
            Self::EndlessReset { reset } => write!(f, "endless-reset reset={reset}"),
            Self::EndlessSuspend { suspend } => write!(f, "endless-suspend suspend={suspend}"),
            Self::HaltedAtStart { error } => write!(f, "halted-at-start error={}", error.name),
            Self::RunningAtStart => f.write_str("running-at-start"),
            Self::ConfigUnreachable => f.write_str("config-unreachable"),
            Self::Defect { name } => write!(f, "defect name={name}"),
        }
    }
}

/// One fault per line.
impl fmt::Display for FaultPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.faults.iter().try_for_each(|fault| writeln!(f, "{fault}"))
    }
}

impl FaultPlan {
    /// Whether the engine has this mistake.
    pub(crate) fn has(&self, defect: Defect) -> bool {
        !self.faults.is_empty() && self.faults.contains(&Fault::Defect { name: defect })
    }

    /// The first fault for which `strikes` answers.
    pub(crate) fn find<T>(&self, strikes: impl FnMut(&Fault) -> Option<T>) -> Option<T> {
        self.faults.iter().find_map(strikes)
    }
}
