//! One run: the engine's server, QEMU, and what the guest says on its serial line.

use std::{
    env, fs,
    io::{BufRead, BufReader, Read},
    net::Shutdown,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    sync::{
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use crate::{lab::Lab, scenario::Scenario};

/// A guest that says nothing for so long hangs; booting on a busy machine has pauses of half a minute.
const SILENCE: Duration = Duration::from_secs(180);

/// What a run left behind.
pub struct Outcome {
    /// Everything on the serial line.
    pub serial: String,
    /// Everything the server printed, statistics included.
    pub server: String,
    /// Why the run was ended, if it did not end by itself.
    pub cut: Option<String>,
}

impl Outcome {
    /// The rest of the last line that begins with `MARK word `.
    pub fn mark(&self, word: &str) -> Option<&str> {
        let start = format!("MARK {word}");
        self.serial.lines().rev().find_map(|line| Some(line.split_once(&start)?.1.trim()))
    }

    /// How many lines have `text` in them.
    pub fn count(&self, text: &str) -> usize {
        self.serial.lines().filter(|line| line.contains(text)).count()
    }

    /// The sum of the server's counters called `name` over all channels and visits.
    pub fn counter(&self, name: &str) -> u64 {
        let values = self.server.lines().filter_map(|line| line.strip_prefix("  ")?.strip_prefix(name));
        values.filter_map(|rest| rest.trim().parse::<u64>().ok()).sum()
    }
}

/// A folder of its own for each run; gone at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self, String> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("ioat-guest-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The engine's server, listening; ended when dropped.
pub struct Server {
    child: Child,
    output: Option<thread::JoinHandle<String>>,
    sockets: Vec<PathBuf>,
    _folder: Folder,
}

impl Server {
    /// Starts `ioat-vfio` with as many sockets as there are functions, and waits until it listens.
    pub fn start(functions: usize, arguments: &[&str]) -> Result<Self, String> {
        let folder = Folder::new()?;
        let sockets: Vec<PathBuf> = (0..functions).map(|n| folder.0.join(format!("function{n}"))).collect();
        let mut command = Command::new(env!("CARGO_BIN_EXE_ioat-vfio"));
        for socket in &sockets {
            command.arg("--socket").arg(socket);
        }
        let mut child = command
            .args(["--stats"])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .map_err(|error| format!("ioat-vfio: {error}"))?;
        let mut output = BufReader::new(child.stdout.take().ok_or("ioat-vfio has no output")?);
        for _ in &sockets {
            let mut line = String::new();
            let length = output.read_line(&mut line).map_err(|error| format!("ioat-vfio: {error}"))?;
            if length == 0 {
                return Err("ioat-vfio ended at once".into());
            }
        }
        let output = Some(thread::spawn(move || collect(output)));
        Ok(Self { child, output, sockets, _folder: folder })
    }

    /// The sockets, function 0 first.
    pub fn sockets(&self) -> &[PathBuf] {
        &self.sockets
    }

    /// Ends the server and returns what it printed.
    pub fn end(mut self) -> String {
        // Statistics are printed when QEMU's end is seen. A client behind it that says goodbye at once is dismissed
        // after that.
        for socket in &self.sockets {
            if let Ok(mut stream) = UnixStream::connect(socket) {
                let _ = stream.shutdown(Shutdown::Write);
                let _ = stream.read(&mut [0]);
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.output.take().map(|thread| thread.join().unwrap_or_default()).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn collect(mut output: BufReader<ChildStdout>) -> String {
    let mut bytes = Vec::new();
    let _ = output.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Boots the scenario's guest and lets it run to its end.
pub fn boot(lab: &Lab, scenario: &Scenario, initrd: &[u8]) -> Result<Outcome, String> {
    let server = Server::start(scenario.functions, scenario.engine)?;
    let folder = Folder::new()?;
    let image = folder.0.join("initrd");
    fs::write(&image, initrd).map_err(|error| format!("{}: {error}", image.display()))?;
    let mut command = lab.qemu()?;
    let memory = scenario.memory;
    command
        .args(["-M", "q35", "-accel", "tcg", "-cpu", "max", "-m", memory])
        .args(["-object", &format!("memory-backend-memfd,id=m,size={memory},share=on")])
        .args(["-machine", "memory-backend=m", "-nographic", "-nodefaults", "-serial", "stdio"])
        .arg("-kernel")
        .arg(lab.guest_file("vmlinuz")?)
        .arg("-initrd")
        .arg(&image)
        // The kernel's check that its timer ticks waits by the processor's own speed: on a busy machine an emulated
        // timer comes too late for it.
        .args(["-append", &format!("console=ttyS0 loglevel=3 panic=-1 no_timer_check {}", scenario.kernel)])
        .args(scenario.qemu);
    if scenario.boots == 1 {
        command.arg("-no-reboot");
    }
    for (number, socket) in server.sockets().iter().enumerate() {
        command.arg("-device").arg(device(number, scenario.functions, socket));
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut qemu = command.spawn().map_err(|error| format!("QEMU: {error}"))?;
    let (serial, cut) = listen(&mut qemu, scenario.boots);
    let _ = qemu.kill();
    let _ = qemu.wait();
    Ok(Outcome { serial, server: server.end(), cut })
}

fn device(number: usize, functions: usize, socket: &Path) -> String {
    let multifunction = if functions > 1 { r#","multifunction":true"# } else { "" };
    format!(
        r#"{{"driver":"vfio-user-pci","socket":{{"type":"unix","path":"{}"}},"addr":"4.{number}"{multifunction}}}"#,
        socket.display()
    )
}

/// Collects both outputs of QEMU until it ends, the guest has come to its end `boots` times, or falls silent.
fn listen(qemu: &mut Child, boots: usize) -> (String, Option<String>) {
    let (sender, lines) = mpsc::channel();
    let forward = |stream: Option<Box<dyn Read + Send>>| {
        let (Some(stream), sender) = (stream, sender.clone()) else { return };
        thread::spawn(move || {
            for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
                if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                    break;
                }
            }
        });
    };
    forward(qemu.stdout.take().map(|stream| Box::new(stream) as Box<dyn Read + Send>));
    forward(qemu.stderr.take().map(|stream| Box::new(stream) as Box<dyn Read + Send>));
    drop(sender);
    let mut text = String::new();
    let mut ends = 0;
    loop {
        match lines.recv_timeout(SILENCE) {
            Ok(line) => {
                ends += usize::from(line.contains("MARK end"));
                text.push_str(line.trim_end_matches('\r'));
                text.push('\n');
                if boots > 1 && ends == boots {
                    return (text, None);
                }
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => return (text, None),
            Err(mpsc::RecvTimeoutError::Timeout) => {
                return (text, Some(format!("the guest said nothing for {} s", SILENCE.as_secs())));
            }
        }
    }
}
