//! `cargo xtask demo`: real files through the drivers and a model of the engine.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use machine::demo::options::{HELP, Options, Request};
use machine::demo::progress::{Console, Progress, Silent};
use machine::demo::{corpus, run};

/// The demonstration could not be run as asked.
const CANNOT: u8 = 2;

fn main() -> ExitCode {
    let options = match Request::parse(std::env::args_os().skip(1)) {
        Ok(Request::Help) => {
            println!("cargo xtask demo [OPTION]... [FILE|FOLDER]...\n\n{HELP}");
            return ExitCode::SUCCESS;
        }
        Ok(Request::Run(options)) => options,
        Err(line) => return cannot(&line),
    };
    match demonstrate(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(line) => cannot(&line),
    }
}

fn demonstrate(options: &Options) -> Result<bool, String> {
    let files =
        if options.inputs.is_empty() { corpus::toolchain()? } else { corpus::named(&options.inputs)? };
    let mut progress: Box<dyn Progress> =
        if options.quiet { Box::new(Silent) } else { Box::new(Console::default()) };
    let report = run::run(options, &files, progress.as_mut())?;
    println!("\n{report}");
    Ok(report.is_good())
}

fn cannot(line: &str) -> ExitCode {
    eprintln!("error: {line}");
    ExitCode::from(CANNOT)
}
