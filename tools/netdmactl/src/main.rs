//! The program. What it does is in the library; here it meets the machine it runs on.

use std::process::ExitCode;

use netdmactl::Console;
use netdmactl::transport::{Transport, Trouble};

fn main() -> ExitCode {
    let (mut out, mut err) = (std::io::stdout(), std::io::stderr());
    let mut console = Console { out: &mut out, err: &mut err };
    ExitCode::from(netdmactl::run(std::env::args_os().skip(1), connect, &mut console))
}

#[cfg(windows)]
fn connect() -> Result<Box<dyn Transport>, Trouble> {
    Ok(Box::new(netdmactl::windows::Windows))
}

#[cfg(not(windows))]
fn connect() -> Result<Box<dyn Transport>, Trouble> {
    Err(Trouble::new(
        "this is no Windows, so there are no drivers to ask: `cargo xtask ctl` runs the same commands on the hosted machine",
    ))
}
