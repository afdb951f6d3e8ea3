//! How fast the hosted machine is on the machine of today: kernel calls and whole lives of the three drivers per second.
//!
//! The one figure here that depends on a clock. It is printed and written down as an indication, and nothing fails by it.

use std::fmt::Write as _;

use crate::command::Failure;
use crate::{drivers, steps};

/// One line of the program `rates` of tests/machine: name, value and unit, with tabs between them.
#[derive(Debug, PartialEq)]
pub struct Rate {
    name: String,
    value: f64,
    unit: String,
}

/// Builds the drivers, lets them live for a few seconds and prints what came out.
///
/// # Errors
/// Something does not build, a life ends badly, or the program says something else than rates.
pub fn measure() -> Result<Vec<Rate>, Failure> {
    drivers::build(&[])?;
    let mut program = steps::cargo_command();
    program.args(["run", "--quiet", "--profile", "host", "--package", "machine", "--example", "rates"]);
    let mut rates = Vec::new();
    let mut nonsense = None;
    steps::run("rates", &mut program, |line| match parse(line) {
        Some(rate) => rates.push(rate),
        None => nonsense = Some(line.to_owned()),
    })?;
    match nonsense {
        Some(line) => {
            Err(Failure::usage(format!("the program `rates` said something else than a rate: {line}")))
        }
        None if rates.is_empty() => Err(Failure::usage("the program `rates` gave no rate".to_owned())),
        None => {
            for Rate { name, value, unit } in &rates {
                println!("      {name}: {} {unit}", rounded(*value));
            }
            Ok(rates)
        }
    }
}

/// The section of docs/performance.md.
pub fn section(rates: &[Rate]) -> String {
    let mut text = String::from("| Rate | Here |\n|---|---|\n");
    for Rate { name, value, unit } in rates {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "| {name} | {} {unit} |", rounded(*value));
    }
    text
}

fn parse(line: &str) -> Option<Rate> {
    let mut words = line.split('\t');
    let (name, value, unit) = (words.next()?, words.next()?, words.next()?);
    let value = value.parse().ok().filter(|value: &f64| value.is_finite() && *value >= 0.0)?;
    words.next().is_none().then(|| Rate { name: name.to_owned(), value, unit: unit.to_owned() })
}

/// Two significant digits: more would promise what no other machine, and not even this one in an hour, will show.
fn rounded(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let place = 10_f64.powf(value.log10().floor() - 1.0);
    let digits = if place < 1.0 { 1 } else { 0 };
    format!("{:.digits$}", (value / place).round() * place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_written_with_two_digits() {
        let rate = parse("kernel calls\t1234567\tper second").unwrap();
        assert!(section(&[rate]).ends_with("| kernel calls | 1200000 per second |\n"));
        assert_eq!(rounded(3.456), "3.5");
        assert_eq!(rounded(34.56), "35");
        assert_eq!(rounded(0.0), "0");
    }

    #[test]
    fn what_is_no_rate_is_refused() {
        for line in
            ["", "kernel calls", "kernel calls\tmany\tper second", "a\t1\tb\tc", "a\t-1\tb", "a\tNaN\tb"]
        {
            assert_eq!(parse(line), None, "{line:?}");
        }
    }
}
