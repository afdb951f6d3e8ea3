//! How fast the hosted machine is: lives of the three drivers for a few seconds, one after the other on one core.
//!
//! Prints a line for each rate: name, value and unit, with tabs between them. `cargo xtask drivers` builds the drivers.

#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use machine::life::live;

/// How long.
const TIME: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let begun = Instant::now();
    let (mut lives, mut calls) = (0_u32, 0);
    while begun.elapsed() < TIME {
        lives += 1;
        match live(lives.into()) {
            Ok(life) => calls += life.calls,
            Err(death) => {
                eprintln!("error: the life of seed {lives} ended badly: {}", death.failure);
                return ExitCode::FAILURE;
            }
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    println!("kernel calls\t{:.0}\tper second", calls as f64 / seconds);
    println!("seeds (lives of the three drivers)\t{:.1}\tper second", f64::from(lives) / seconds);
    ExitCode::SUCCESS
}
