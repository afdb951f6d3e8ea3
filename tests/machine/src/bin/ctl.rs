//! `cargo xtask ctl`: netdmactl on a hosted machine that is booted for it.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use machine::hosted::{Hosted, ctl};
use netdmactl::transport::{Transport, Trouble};
use netdmactl::{CANNOT, Console};

fn main() -> ExitCode {
    let words = std::env::args_os().skip(1).collect();
    let (setup, words) = match ctl::split(words) {
        Ok(split) => split,
        Err(line) => {
            eprintln!("error: {line}");
            return ExitCode::from(CANNOT);
        }
    };
    let mut lab = None;
    let place = &mut lab;
    let boot = move || {
        // Moved, not borrowed: what is made here lives as long as `lab`.
        let place = place;
        let booted = setup.boot().map_err(|failure| Trouble::new(failure.to_string()))?;
        Ok::<Box<dyn Transport + '_>, Trouble>(Box::new(Hosted::new(place.insert(booted))))
    };
    let (mut out, mut err) = (std::io::stdout(), std::io::stderr());
    let mut console = Console { out: &mut out, err: &mut err };
    ExitCode::from(netdmactl::run(words, boot, &mut console))
}
