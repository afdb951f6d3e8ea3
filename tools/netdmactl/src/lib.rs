//! netdmactl: what the NetDMA engines of this machine are, have done and can do.
//!
//! Read in this order:
//!
//! | Module | What it holds |
//! |---|---|
//! | [`transport`] | how a device is reached, and how a request is refused: Windows or the hosted machine |
//! | [`options`] | the command line |
//! | [`engines`] | the engines and their channels, as ioatdma.sys reports them |
//! | [`client`] | copies and channels through netdmatest.sys, the test client |
//! | [`overview`] | `list`, `stats`, `errors`: what is read |
//! | [`trial`] | `test`, `reset`: what is copied and checked |
//! | [`bench`](mod@bench), [`plot`] | `bench`: engine against processor, as a table and as a picture |
//! | [`table`] | columns |
//! | [`pieces`], [`chance`] | scattered test data, and whether it arrived |
//!
//! Every command gets what it shows from the drivers; nothing is kept. Exit codes: 0 done and good, 1 done and the answer
//! is no (a wrong byte, errors found), 2 not done, with one line that says why and what helps.

pub mod bench;
pub mod chance;
pub mod client;
pub mod engines;
pub mod options;
pub mod overview;
pub mod pieces;
pub mod plot;
pub mod table;
pub mod transport;
pub mod trial;
#[cfg(windows)]
pub mod windows;

use std::ffi::OsString;
use std::io::Write;

use options::{Action, HELP, Options, Request};
use transport::{Transport, Trouble};

/// Exit code: done, and all is well.
pub const GOOD: u8 = 0;
/// Exit code: done, and the answer is no.
pub const BAD: u8 = 1;
/// Exit code: could not be done as asked.
pub const CANNOT: u8 = 2;

/// Where a command speaks.
pub struct Console<'a> {
    /// Its result.
    pub out: &'a mut dyn Write,
    /// Progress and errors.
    pub err: &'a mut dyn Write,
}

/// Runs the command that `words`, which do not include the program's name, ask for. `connect` gives the machine; it is not
/// called when the words are wrong or ask for help.
pub fn run<'t>(
    words: impl IntoIterator<Item = OsString>,
    connect: impl FnOnce() -> Result<Box<dyn Transport + 't>, Trouble>,
    console: &mut Console<'_>,
) -> u8 {
    match attempt(words, connect, console) {
        Ok(true) => GOOD,
        Ok(false) => BAD,
        Err(trouble) => {
            // Nobody is left to be told when this fails.
            let _closed = writeln!(console.err, "error: {trouble}");
            CANNOT
        }
    }
}

fn attempt<'t>(
    words: impl IntoIterator<Item = OsString>,
    connect: impl FnOnce() -> Result<Box<dyn Transport + 't>, Trouble>,
    console: &mut Console<'_>,
) -> Result<bool, Trouble> {
    let options = match Request::parse(words)? {
        Request::Help => {
            console.out.write_all(HELP.as_bytes())?;
            return Ok(true);
        }
        Request::Version => {
            writeln!(console.out, "netdmactl {}", env!("CARGO_PKG_VERSION"))?;
            return Ok(true);
        }
        Request::Run(options) => options,
    };
    let mut transport = connect()?;
    perform(&options, transport.as_mut(), console)
}

fn perform(
    options: &Options,
    transport: &mut dyn Transport,
    console: &mut Console<'_>,
) -> Result<bool, Trouble> {
    let json = options.json;
    match &options.action {
        Action::List => overview::list(transport, json, console),
        Action::Stats { watch, count } => overview::stats(transport, *watch, *count, json, console),
        Action::Errors => overview::errors(transport, json, console),
        Action::Test { engine, bytes, seed } => trial::test(transport, *engine, *bytes, *seed, json, console),
        Action::Reset { channel } => trial::reset(transport, *channel, json, console),
        Action::Bench { engine, repeat, plot } => {
            bench::bench(transport, *engine, *repeat, plot.as_deref(), json, console)
        }
        Action::AddDevice => said(transport.add_test_device()?, json, console),
        Action::RemoveDevice => said(transport.remove_test_device()?, json, console),
    }
}

/// What was done, in one line.
fn said(line: String, json: bool, console: &mut Console<'_>) -> Result<bool, Trouble> {
    if json {
        writeln!(console.out, "{:#}", serde_json::json!({ "done": line }))?;
    } else {
        writeln!(console.out, "{line}")?;
    }
    Ok(true)
}
