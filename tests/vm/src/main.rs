//! `ioat-vfio`: offers engine functions to vfio-user clients such as QEMU. docs/virtual-engine.md has the story.
#![forbid(unsafe_code)]

use std::{env, fs, path::PathBuf, process::ExitCode, sync::Mutex, thread};

use ioat_model::{Engine, FAULTS, FaultPlan, Options, Timing};
use ioat_regs::{
    Version,
    device::{DEVICES, INTEL},
};
use ioat_vfio::{
    function::Function,
    server::{self, End},
};

const USAGE: &str = "\
ioat-vfio --socket PATH [--socket PATH ...] [options]

Offers functions of an I/OAT engine as vfio-user PCI functions, one per socket, function 0 first.

  --id VENDOR:DEVICE   which engine, in hexadecimal (default 8086:6f20; the vendor may be left out)
  --version X.Y        CBVER; only 8086:2021 has a choice, 3.2 or 3.3 (default: as the platform has)
  --channels N         channels per function, 1 to 4 (default: as the product has)
  --capability BITS    DMACAPABILITY, in hexadecimal (default: as the profile has; 0x341 adds XOR and PQ)
  --fault PLAN         what goes wrong, for example 'flip-bit copy=*/100'; may be given several times
  --fault-file FILE    a file of such lines
  --timing LIST        how long things take, for example 'start-delay=30000,jitter=500,seed=7' (nanoseconds)
  --probe N            print the first N register accesses when a client leaves, as two drivers are compared
  --stats              print counters when a client leaves
  --once               end when every socket's first client has left
  --list               print the engines and the faults, and end
";

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(message) => {
            eprintln!("ioat-vfio: {message}");
            ExitCode::from(2)
        }
    }
}

/// What the command line asks for.
struct Request {
    sockets: Vec<PathBuf>,
    device: (u16, u16),
    version: Option<Version>,
    channels: Option<u8>,
    capability: Option<u32>,
    faults: FaultPlan,
    timing: Timing,
    statistics: bool,
    probe: usize,
    once: bool,
}

fn run() -> Result<ExitCode, String> {
    let words: Vec<String> = env::args().skip(1).collect();
    if words.iter().any(|word| word == "--help" || word == "-h") {
        print!("{USAGE}");
        return Ok(ExitCode::SUCCESS);
    }
    if words.iter().any(|word| word == "--list") {
        list();
        return Ok(ExitCode::SUCCESS);
    }
    let request = parse(words)?;
    let mut functions = Vec::new();
    for (number, path) in (0_u8..).zip(&request.sockets) {
        let engine = Engine::new(options(&request, number)?).map_err(|error| error.to_string())?;
        let listener =
            server::listen(path).map_err(|error| format!("cannot listen at {}: {error}", path.display()))?;
        println!("function {number} listens at {}: {engine:?}", path.display());
        let mut function = Function::new(engine);
        function.keep_accesses(request.probe);
        functions.push((number, listener, function));
    }
    let output = Mutex::new(());
    let broken = thread::scope(|scope| {
        let servers: Vec<_> = functions
            .into_iter()
            .map(|(number, listener, mut function)| {
                let (request, output) = (&request, &output);
                scope.spawn(move || {
                    let mut broken = false;
                    loop {
                        let end = server::serve(&listener, &mut function, server::PATIENCE)
                            .map_err(|error| format!("function {number}: {error}"))?;
                        broken |= matches!(end, End::Broken(_));
                        let _turn = output.lock();
                        println!("function {number}: {end}");
                        if request.statistics && !matches!(end, End::Silent) {
                            print_statistics(number, &function);
                        }
                        if !matches!(end, End::Silent) {
                            for line in ioat_model::probe_lines(function.accesses()) {
                                println!("probe {number}: {line}");
                            }
                        }
                        if request.once {
                            return Ok(broken);
                        }
                    }
                })
            })
            .collect();
        servers
            .into_iter()
            .map(|server| server.join().unwrap_or_else(|_| Err("a server thread failed".into())))
            .collect::<Result<Vec<bool>, String>>()
    })?;
    for path in &request.sockets {
        let _ = fs::remove_file(path);
    }
    Ok(if broken.contains(&true) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn options(request: &Request, number: u8) -> Result<Options, String> {
    let (vendor, device) = request.device;
    // A single function plays the id that was asked for, whichever function of its engine that is.
    let options = if request.sockets.len() == 1 {
        Options::new(vendor, device).map(|options| Options { function: 0, multifunction: false, ..options })
    } else {
        Options::function_of(vendor, device, number)
    };
    let mut options = options.map_err(|error| error.to_string())?;
    if number == 0 && request.sockets.len() > 1 && options.device.device != device {
        return Err(format!(
            "--id {device:04x} is not function 0 of its engine: with several sockets give {:04x}",
            options.device.device
        ));
    }
    options.version = request.version.unwrap_or(options.version);
    options.channels = request.channels.unwrap_or(options.channels);
    options.capability = request.capability.map_or(options.capability, Into::into);
    options.faults = request.faults.clone();
    options.timing = request.timing;
    Ok(options)
}

fn parse(words: Vec<String>) -> Result<Request, String> {
    let mut request = Request {
        sockets: Vec::new(),
        device: (INTEL, 0x6F20),
        version: None,
        channels: None,
        capability: None,
        faults: FaultPlan::default(),
        timing: Timing::default(),
        statistics: false,
        probe: 0,
        once: false,
    };
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--stats" => request.statistics = true,
            "--once" => request.once = true,
            "--socket" | "--id" | "--version" | "--channels" | "--capability" | "--fault"
            | "--fault-file" | "--timing" | "--probe" => {
                let value = words.next().ok_or_else(|| format!("{word} wants a value after it"))?;
                take(&mut request, &word, &value)?;
            }
            _ => return Err(format!("unknown option {word}; --help lists them")),
        }
    }
    if request.sockets.is_empty() {
        return Err("no --socket given: where shall clients connect? --help tells more".into());
    }
    Ok(request)
}

fn take(request: &mut Request, option: &str, value: &str) -> Result<(), String> {
    match option {
        "--socket" => {
            let path = PathBuf::from(value);
            if request.sockets.contains(&path) {
                return Err(format!("--socket {value} is given twice: each function needs its own"));
            }
            request.sockets.push(path);
        }
        "--id" => request.device = id(value)?,
        "--version" => request.version = Some(version(value)?),
        "--channels" => {
            let channels = value.parse().map_err(|_| format!("--channels {value}: not a number"))?;
            request.channels = Some(channels);
        }
        "--capability" => {
            let digits = value.trim_start_matches("0x");
            let bits = u32::from_str_radix(digits, 16);
            request.capability = Some(bits.map_err(|_| format!("--capability {value}: not hexadecimal"))?);
        }
        "--probe" => request.probe = value.parse().map_err(|_| format!("--probe {value}: not a number"))?,
        "--fault" => add_faults(request, value).map_err(|error| format!("--fault {value}: {error}"))?,
        "--fault-file" => {
            let text = fs::read_to_string(value).map_err(|error| format!("--fault-file {value}: {error}"))?;
            add_faults(request, &text).map_err(|error| format!("--fault-file {value}: {error}"))?;
        }
        _ => request.timing = value.parse().map_err(|error| format!("--timing: {error}"))?,
    }
    Ok(())
}

fn add_faults(request: &mut Request, text: &str) -> Result<(), ioat_model::BadFault> {
    request.faults.faults.extend(text.parse::<FaultPlan>()?.faults);
    Ok(())
}

fn id(text: &str) -> Result<(u16, u16), String> {
    let (vendor, device) = match text.split_once(':') {
        Some((vendor, device)) => (u16::from_str_radix(vendor, 16), device),
        None => (Ok(INTEL), text),
    };
    match (vendor, u16::from_str_radix(device, 16)) {
        (Ok(vendor), Ok(device)) => Ok((vendor, device)),
        _ => Err(format!("--id {text}: write 6f20 or 8086:6f20")),
    }
}

fn version(text: &str) -> Result<Version, String> {
    let digit = |text: &str| text.parse::<u8>().ok().filter(|&digit| digit < 16);
    match text.split_once('.').map(|(major, minor)| (digit(major), digit(minor))) {
        Some((Some(major), Some(minor))) => Ok(Version(major << 4 | minor)),
        _ => Err(format!("--version {text}: write 3.2 or 3.3")),
    }
}

fn list() {
    println!("engines:");
    for row in DEVICES {
        let platform = row.platform;
        println!(
            "  {:04x}:{:04x}  {}  {} channel(s) per function  {}",
            row.vendor, row.device, platform.version, platform.channels, platform.name
        );
    }
    println!("faults:");
    for (name, takes) in FAULTS {
        println!("  {name} {takes}");
    }
}

fn print_statistics(number: u8, function: &Function) {
    let engine = function.engine();
    print!("function {number}:\n{}", engine.statistics());
    for channel in 0..engine.options().channels {
        if let Some(statistics) = engine.channel_statistics(channel) {
            print!("function {number} channel {channel}:\n{statistics}");
        }
    }
}
