//! What a person sees while the demonstration runs.

use std::io::{IsTerminal, Write};

use super::report::size;

/// Where the demonstration says what it is doing.
pub trait Progress {
    /// A new stage begins.
    fn stage(&mut self, text: &str);

    /// So much of the data has been copied and verified.
    fn copied(&mut self, bytes: u64, of: u64);
}

/// Says nothing.
#[derive(Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn stage(&mut self, _: &str) {}
    fn copied(&mut self, _: u64, _: u64) {}
}

/// Writes to standard error: a bar that moves on a terminal, a line each quarter elsewhere.
#[derive(Debug)]
pub struct Console {
    terminal: bool,
    /// Quarters (on a terminal, hundredths) last shown.
    shown: u64,
}

impl Default for Console {
    fn default() -> Self {
        Self { terminal: std::io::stderr().is_terminal(), shown: 0 }
    }
}

impl Progress for Console {
    fn stage(&mut self, text: &str) {
        let clear = if self.terminal { "\r\x1b[K" } else { "" };
        eprintln!("{clear}  {text}");
    }

    fn copied(&mut self, bytes: u64, of: u64) {
        let steps = if self.terminal { 100 } else { 4 };
        let now = part(bytes, of, steps);
        if now == self.shown {
            return;
        }
        self.shown = now;
        let line = format!("    {:>3} %  {} of {}", part(bytes, of, 100), size(bytes), size(of));
        if self.terminal {
            eprint!("\r\x1b[K{line}  [{}]", bar(now));
            let _ = std::io::stderr().flush();
            if bytes == of {
                eprint!("\r\x1b[K");
            }
        } else {
            eprintln!("{line}");
        }
    }
}

/// How many of `steps` equal parts `done` of `all` is.
fn part(done: u64, all: u64, steps: u64) -> u64 {
    if all == 0 { steps } else { (u128::from(done) * u128::from(steps) / u128::from(all)) as u64 }
}

/// A bar of 40 characters for so many hundredths.
fn bar(hundredths: u64) -> String {
    let full = (hundredths.min(100) * 40 / 100) as usize;
    format!("{}{}", "=".repeat(full), " ".repeat(40 - full))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_and_bars_are_full_exactly_at_the_end() {
        assert_eq!([part(0, 10, 4), part(9, 10, 4), part(10, 10, 4), part(0, 0, 4)], [0, 3, 4, 4]);
        assert_eq!(bar(100), "=".repeat(40));
        assert_eq!(bar(99).trim_end().len(), 39);
    }
}
