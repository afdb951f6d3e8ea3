//! The one command that runs a history again.
//!
//! A history is decided by the code of a test and by the machine's seed. So the command is the test's own, with the
//! seed in the environment variable [`SEED`]: a test that tries many takes its seeds from [`seeds`].

use std::ops::RangeInclusive;

/// The environment variable that names the one seed to be tried.
pub const SEED: &str = "NETDMA_SEED";

/// The seeds a test tries: `all`, or the one that [`SEED`] names.
///
/// # Panics
/// When [`SEED`] is set to something that is no number.
#[must_use]
pub fn seeds(all: RangeInclusive<u64>) -> RangeInclusive<u64> {
    match std::env::var(SEED) {
        Err(_) => all,
        Ok(text) => {
            let seed =
                text.parse().unwrap_or_else(|_| panic!("{SEED}={text}: give the number that a stop shows"));
            seed..=seed
        }
    }
}

/// The command that runs the test on this thread with `seed`.
///
/// What it needs to know cargo and the test harness tell: the package in `CARGO_PKG_NAME`, the test program in its own
/// file's name, the test in the thread's. A program that no cargo started is named by its path.
#[must_use]
pub fn command(seed: u64) -> String {
    let program = std::env::current_exe().unwrap_or_default();
    let stem = program.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    // With one test thread the harness runs tests on the main thread: then the command runs them all.
    let test = std::thread::current().name().filter(|name| *name != "main").map(str::to_owned);
    let filter = test.map_or_else(String::new, |test| format!(" {test} -- --exact"));
    let run = match (std::env::var("CARGO_PKG_NAME"), stem.rsplit_once('-')) {
        (Ok(package), Some((target, _hash))) => {
            let target = if target == package.replace('-', "_") {
                "--lib".to_owned()
            } else {
                format!("--test {target}")
            };
            format!("cargo test --profile tests -p {package} {target}{filter}")
        }
        _ => format!("{}{}", program.display(), filter.replace(" --", "")),
    };
    format!("{SEED}={seed} {run}")
}
