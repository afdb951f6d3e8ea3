//! The server against a client that others wrote (crate `vfio_user`), without any virtual machine, and against
//! clients that misbehave.

use std::{
    fs::File,
    io::{Read, Write},
    os::{
        fd::AsRawFd,
        unix::{fs::FileExt, net::UnixStream},
    },
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread::{self, JoinHandle},
    time::Duration,
};

use ioat_model::{Engine, Options};
use ioat_regs::{channel, config};
use ioat_vfio::{
    function::Function,
    server::{self, End},
};
use proof::proves;
use proptest::prelude::*;
use rustix::{
    event::{EventfdFlags, eventfd},
    fs::{MemfdFlags, ftruncate, memfd_create},
};
use vfio_user::Client;

const BAR0: u32 = 0;
const CONFIG: u32 = 7;
/// Where the client maps its memory for the engine.
const BUS: u64 = 0x8000_0000;
const SIZE: u64 = 1 << 20;
const RING: u64 = 0x1000;
const WORD: u64 = 0x800;
const SOURCE: u64 = 0x1_0000;
const TARGET: u64 = 0x2_0000;

/// A path of its own for each server.
fn socket() -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("ioat-vfio-{}-{number}", std::process::id()))
}

/// Serves `clients` clients one after the other; joining tells how each visit ended.
fn server(device: u16, path: &Path, clients: usize) -> JoinHandle<Vec<End>> {
    patient_server(device, path, clients, server::PATIENCE)
}

fn patient_server(device: u16, path: &Path, clients: usize, patience: Duration) -> JoinHandle<Vec<End>> {
    let engine = Engine::new(Options::new(0x8086, device).unwrap()).unwrap();
    let listener = server::listen(path).unwrap();
    thread::spawn(move || {
        let mut function = Function::new(engine);
        (0..clients).map(|_| server::serve(&listener, &mut function, patience).unwrap()).collect()
    })
}

/// A client with one megabyte of memory.
struct Rig {
    client: Client,
    memory: File,
}

impl Rig {
    fn connect(path: &Path) -> Self {
        let memory = shared_memory();
        let mut client = Client::new(path).unwrap();
        client.dma_map(0, BUS, SIZE, memory.as_raw_fd()).unwrap();
        let mut rig = Self { client, memory };
        rig.config_write(config::COMMAND, &6_u16.to_le_bytes());
        rig
    }

    fn config_write(&mut self, offset: u16, data: &[u8]) {
        self.client.region_write(CONFIG, offset.into(), data).unwrap();
    }

    fn register(&mut self, offset: u32) -> u64 {
        let mut bytes = [0; 8];
        self.client.region_read(BAR0, (channel::base(0) + offset).into(), &mut bytes).unwrap();
        u64::from_le_bytes(bytes)
    }

    fn write(&mut self, offset: u32, data: &[u8]) {
        self.client.region_write(BAR0, (channel::base(0) + offset).into(), data).unwrap();
    }

    fn bring_up(&mut self) {
        self.write(0x04, &[0x20]);
        self.write(0x00, &0x1D_u16.to_le_bytes());
        self.write(0x18, &(BUS + WORD).to_le_bytes());
        self.write(0x10, &(BUS + RING).to_le_bytes());
    }

    /// Puts a descriptor into slot `number`, linked to the next one.
    fn put(&mut self, number: u64, control: u32, size: u32, source: u64, target: u64) {
        let mut bytes = [0; 64];
        bytes[0..4].copy_from_slice(&size.to_le_bytes());
        bytes[4..8].copy_from_slice(&control.to_le_bytes());
        bytes[8..16].copy_from_slice(&source.to_le_bytes());
        bytes[16..24].copy_from_slice(&target.to_le_bytes());
        bytes[24..32].copy_from_slice(&(BUS + RING + 64 * (number + 1)).to_le_bytes());
        self.memory.write_all_at(&bytes, RING + 64 * number).unwrap();
    }

    fn ring(&mut self, count: u16) {
        self.write(0x06, &count.to_le_bytes());
    }

    /// CHANSTS once the channel is no longer active.
    fn wait(&mut self) -> u64 {
        loop {
            let status = self.register(0x08);
            if status & 7 != 0 {
                return status;
            }
        }
    }

    fn bytes(&self, offset: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.memory.read_exact_at(&mut bytes, offset).unwrap();
        bytes
    }
}

fn shared_memory() -> File {
    let memory = memfd_create("guest", MemfdFlags::CLOEXEC).unwrap();
    ftruncate(&memory, SIZE).unwrap();
    File::from(memory)
}

/// An event file that answers at once.
fn event_file() -> File {
    File::from(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC).unwrap())
}

/// How often it was signalled since the last look.
fn signals(mut file: &File) -> u64 {
    let mut bytes = [0; 8];
    if file.read_exact(&mut bytes).is_ok() { u64::from_ne_bytes(bytes) } else { 0 }
}

/// Waits, without a clock, until it was signalled.
fn wait_for_signal(file: &File) {
    while signals(file) == 0 {
        thread::yield_now();
    }
}

#[test]
fn a_client_copies_through_the_engine_and_gets_its_interrupt() {
    let path = socket();
    let server = server(0x6F20, &path, 1);
    let mut rig = Rig::connect(&path);
    let event = event_file();
    rig.client.set_irqs(2, 4 | 32, 0, 1, &[event.as_raw_fd()]).unwrap();
    rig.config_write(config::MSIX + 2, &0x8000_u16.to_le_bytes());
    let source: Vec<u8> = (0..5000_u32).map(|n| (n * 7) as u8).collect();
    rig.memory.write_all_at(&source, SOURCE + 3).unwrap();
    rig.bring_up();
    rig.put(0, 0x28, 8, 0, 0);
    rig.put(1, 0x09, 5000, BUS + SOURCE + 3, BUS + TARGET + 1);

    rig.ring(2);
    let status = rig.wait();

    wait_for_signal(&event);
    proves!(model: M31, M43, M48;
        assert_eq!(status, (BUS + RING + 64) | 1);
        assert_eq!(rig.bytes(WORD, 8), status.to_le_bytes());
        assert_eq!(rig.bytes(TARGET + 1, 5000), source));
    assert_eq!(rig.bytes(TARGET, 1), [0]);
    rig.client.shutdown().unwrap();
    assert!(matches!(server.join().unwrap()[..], [End::Left]));
}

#[test]
fn the_client_sees_the_shape_of_a_pci_function() {
    for (device, config_size, msi, msix) in [(0x6F20, 4096, 0, 1), (0x1A38, 256, 1, 0)] {
        let path = socket();
        let server = server(device, &path, 1);
        let mut client = Client::new(&path).unwrap();

        let sizes: Vec<u64> = (0..9).map(|number| client.region(number).unwrap().size).collect();
        let bar = if device == 0x6F20 { 0x4000 } else { 0x1000 };
        assert_eq!(sizes, [bar, 0, 0, 0, 0, 0, 0, config_size, 0]);
        assert_eq!([0, 1, 2].map(|kind| client.get_irq_info(kind).unwrap().count), [1, msi, msix]);
        drop(client);
        server.join().unwrap();
    }
}

#[test]
fn the_line_is_signalled_once_and_again_when_unmasked() {
    let path = socket();
    let server = server(0x6F20, &path, 1);
    let mut rig = Rig::connect(&path);
    let event = event_file();
    rig.client.set_irqs(0, 4 | 32, 0, 1, &[event.as_raw_fd()]).unwrap();
    rig.client.region_write(BAR0, 3, &[1]).unwrap();
    rig.bring_up();
    rig.put(0, 0x29, 8, 0, 0);

    rig.ring(1);
    rig.wait();
    wait_for_signal(&event);
    assert_eq!(signals(&event), 0, "masked by being signalled");
    rig.client.set_irqs(0, 1 | 16, 0, 1, &[]).unwrap();
    assert_eq!(signals(&event), 1, "still asserted when unmasked");

    rig.write(0x00, &0x1D_u16.to_le_bytes());
    rig.register(0x08);
    rig.client.set_irqs(0, 1 | 16, 0, 1, &[]).unwrap();
    assert_eq!(signals(&event), 0, "released by the re-arm");
    drop(rig);
    server.join().unwrap();
}

#[test]
fn transfers_cross_mappings_and_fault_where_nothing_is_mapped() {
    let path = socket();
    let server = server(0x6F20, &path, 1);
    let mut rig = Rig::connect(&path);
    // Two pages side by side on the bus, apart in the file.
    let pages = BUS + 0x1000_0000;
    rig.client.dma_map(0x4_0000, pages, 4096, rig.memory.as_raw_fd()).unwrap();
    rig.client.dma_map(0x8_0000, pages + 4096, 4096, rig.memory.as_raw_fd()).unwrap();
    rig.memory.write_all_at(&[1; 4096], 0x4_0000).unwrap();
    rig.memory.write_all_at(&[2; 4096], 0x8_0000).unwrap();
    rig.bring_up();
    rig.put(0, 0x08, 200, pages + 4000, BUS + TARGET);
    rig.put(1, 0x08, 200, pages + 4000, BUS + TARGET);

    rig.ring(1);
    assert_eq!(rig.wait() & 7, 1);
    assert_eq!(rig.bytes(TARGET, 200), [[1; 96].as_slice(), &[2; 104]].concat());
    rig.client.dma_unmap(pages + 4096, 4096).unwrap();
    rig.ring(2);
    let status = rig.wait();

    proves!(model: M38, M46;
        assert_eq!(status, (BUS + RING) | 3);
        assert_eq!(rig.register(0x28) as u32, 1, "source address"));
    drop(rig);
    server.join().unwrap();
}

#[test]
fn each_client_finds_a_function_fresh_from_power_on() {
    let path = socket();
    let server = server(0x6F20, &path, 2);
    let mut first = Rig::connect(&path);
    first.bring_up();
    first.put(0, 0x28, 8, 0, 0);
    first.ring(1);
    assert_eq!(first.wait() & 7, 1);
    drop(first);

    let mut second = Rig::connect(&path);

    assert_eq!(second.register(0x08), 3);
    assert_eq!(second.register(0x10), 0);
    drop(second);
    server.join().unwrap();
}

#[test]
fn a_reset_message_returns_the_function_to_power_on() {
    let path = socket();
    let server = server(0x6F20, &path, 1);
    let mut rig = Rig::connect(&path);
    rig.bring_up();

    rig.client.reset().unwrap();
    rig.config_write(config::COMMAND, &6_u16.to_le_bytes());

    assert_eq!(rig.register(0x10), 0);
    drop(rig);
    server.join().unwrap();
}

/// A message as bytes.
fn message(command: u16, size: u32, flags: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![7, 0];
    bytes.extend_from_slice(&command.to_le_bytes());
    bytes.extend_from_slice(&size.to_le_bytes());
    bytes.extend_from_slice(&flags.to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(payload);
    bytes
}

fn whole(command: u16, payload: &[u8]) -> Vec<u8> {
    message(command, 16 + payload.len() as u32, 0, payload)
}

fn greeting() -> Vec<u8> {
    whole(1, b"\0\0\x01\0{}\0")
}

/// Reads one reply and returns its error number.
fn reply(stream: &mut UnixStream) -> u32 {
    let mut header = [0; 16];
    stream.read_exact(&mut header).unwrap();
    let size = u32::from_le_bytes(header[4..8].try_into().unwrap()) as usize;
    stream.read_exact(&mut vec![0; size - 16]).unwrap();
    u32::from_le_bytes(header[12..16].try_into().unwrap())
}

#[test]
fn requests_without_sense_are_refused_and_the_visit_goes_on() {
    let path = socket();
    let server = server(0x6F20, &path, 1);
    let mut stream = UnixStream::connect(&path).unwrap();
    stream.write_all(&whole(4, &[0; 16])).unwrap();
    assert_eq!(reply(&mut stream), 22, "no greeting yet");
    stream.write_all(&whole(1, &[9, 0, 0, 0])).unwrap();
    assert_eq!(reply(&mut stream), 95, "another major version");
    stream.write_all(&greeting()).unwrap();
    assert_eq!(reply(&mut stream), 0);
    let access = |offset: u64, region: u32, count: u32| {
        [&offset.to_le_bytes()[..], &region.to_le_bytes(), &count.to_le_bytes()].concat()
    };
    let requests: Vec<(&str, u16, Vec<u8>, u32)> = vec![
        ("unknown command", 99, vec![], 95),
        ("a server's command", 11, vec![0; 16], 95),
        ("short map", 2, vec![0; 31], 22),
        ("empty map", 2, vec![0; 32], 22),
        ("unmap of an empty range", 3, vec![0; 24], 22),
        ("region that is not there", 5, vec![0xFF; 32], 22),
        ("interrupt that is not there", 7, vec![0xFF; 16], 22),
        ("vectors that are not there", 8, [20_u32, 4 | 32, 2, 5, 1].map(u32::to_le_bytes).concat(), 22),
        (
            "a vector number that overflows",
            8,
            [20, 1 | 32, 2, u32::MAX, u32::MAX].map(u32::to_le_bytes).concat(),
            22,
        ),
        ("unmask through an event file", 8, [20_u32, 4 | 16, 0, 0, 1].map(u32::to_le_bytes).concat(), 95),
        ("read beyond the BAR", 9, access(0x3FFF, 0, 2), 22),
        ("read of two gigabytes", 9, access(0, 0, 1 << 31), 22),
        ("read that wraps", 9, access(u64::MAX, 0, 2), 22),
        ("read of an empty region", 9, access(0, 3, 1), 22),
        ("write without its data", 10, access(0, 0, 8), 22),
        ("read of nothing", 9, access(0, 0, 0), 0),
        ("odd read", 9, access(0x81, 0, 7), 0),
    ];
    for (what, command, payload, errno) in requests {
        stream.write_all(&whole(command, &payload)).unwrap();
        assert_eq!(reply(&mut stream), errno, "{what}");
    }
    drop(stream);
    assert!(matches!(server.join().unwrap()[..], [End::Left]));
}

#[test]
fn a_client_that_breaks_the_protocol_is_dropped_and_the_next_one_is_served() {
    let broken: Vec<(Vec<u8>, &str)> = vec![
        (vec![1, 2, 3], "the connection ended after 3 bytes of a header"),
        (message(4, 15, 0, &[]), "message 7 says it has 15 bytes"),
        (message(4, u32::MAX, 0, &[]), "message 7 says it has 4294967295 bytes"),
        (message(4, 32, 1, &[]), "message 7 is no command (flags 0x1)"),
        (message(10, 64, 0, &[1; 20]), "message 7 stops early"),
        (vec![0xFF; 300], "is no command"),
    ];
    let path = socket();
    let server = server(0x6F20, &path, broken.len() + 1);
    for (bytes, _) in &broken {
        let mut stream = UnixStream::connect(&path).unwrap();
        stream.write_all(bytes).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    }

    let mut rig = Rig::connect(&path);
    assert_eq!(rig.register(0x08), 3, "the next client is served");
    drop(rig);

    let ends = server.join().unwrap();
    for (end, (_, expected)) in ends.iter().zip(&broken) {
        assert!(end.to_string().contains(expected), "{end}, not {expected}");
    }
    assert!(matches!(ends.last(), Some(End::Left)));
}

#[test]
fn a_client_that_falls_silent_within_a_message_or_takes_no_answers_is_dropped() {
    let path = socket();
    let server = patient_server(0x6F20, &path, 4, Duration::from_millis(1));
    let mut half_a_header = UnixStream::connect(&path).unwrap();
    half_a_header.write_all(&[0; 7]).unwrap();
    let _ = half_a_header.read_to_end(&mut Vec::new());
    let mut half_a_payload = UnixStream::connect(&path).unwrap();
    half_a_payload.write_all(&message(10, 64, 0, &[1; 20])).unwrap();
    let _ = half_a_payload.read_to_end(&mut Vec::new());
    let mut deaf = UnixStream::connect(&path).unwrap();
    deaf.write_all(&greeting()).unwrap();
    // More answers than a socket holds: all of configuration space each.
    let read = whole(9, &[&[0; 8][..], &CONFIG.to_le_bytes(), &4096_u32.to_le_bytes()].concat());
    while deaf.write_all(&read).is_ok() {}

    let mut rig = Rig::connect(&path);
    assert_eq!(rig.register(0x08), 3, "the next client is served");
    drop(rig);

    let ends: Vec<String> = server.join().unwrap().iter().map(End::to_string).collect();
    assert_eq!(ends[0], "the client was dropped: a header stops after 7 bytes");
    assert_eq!(ends[1], "the client was dropped: message 7 stops early");
    assert_eq!(ends[2], "the client was dropped: the answer to message 7 is not taken");
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 64,
        rng_seed: proptest::test_runner::RngSeed::Fixed(1),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Well-formed headers around anything: the server answers each message, works on, and serves the next client.
    #[test]
    fn no_sequence_of_messages_upsets_the_server(
        device in prop::sample::select(vec![0x1A38_u16, 0x402F, 0x3430, 0x6F20, 0x6F50, 0x2021, 0x0B00]),
        messages in prop::collection::vec(any_message(), 0..60),
    ) {
        let path = socket();
        let server = server(device, &path, 2);
        let mut stream = UnixStream::connect(&path).unwrap();
        for bytes in [greeting()].iter().chain(&messages) {
            stream.write_all(bytes).unwrap();
            reply(&mut stream);
        }
        drop(stream);
        drop(Client::new(&path).unwrap());
        let ends = server.join().unwrap();
        prop_assert!(matches!(ends[..], [End::Left, End::Left]), "{ends:?}");
    }
}

/// A message with a header that holds and a payload that may be anything, but is often nearly right.
fn any_message() -> impl Strategy<Value = Vec<u8>> {
    let numbers = prop_oneof![
        Just(0_u32),
        Just(1),
        Just(2),
        Just(4),
        Just(7),
        Just(8),
        Just(64),
        Just(0x86),
        Just(0x90),
        Just(0x1000),
        Just(0x8000_1000),
        Just(u32::MAX),
        any::<u32>(),
    ];
    (0_u16..16, prop::collection::vec(numbers, 0..12)).prop_map(|(command, words)| {
        whole(command, &words.into_iter().flat_map(u32::to_le_bytes).collect::<Vec<_>>())
    })
}

#[test]
fn a_client_that_vanishes_during_work_leaves_nothing_behind() {
    let path = socket();
    let server = server(0x6F20, &path, 2);
    let mut rig = Rig::connect(&path);
    rig.bring_up();
    // A ring that runs through all 65535 announced descriptors, with an interrupt each and nobody to take it.
    rig.put(0, 0x09, 4096, BUS + SOURCE, BUS + TARGET);
    rig.memory.write_all_at(&(BUS + RING).to_le_bytes(), RING + 0x18).unwrap();
    rig.ring(65535);
    drop(rig);

    let mut rig = Rig::connect(&path);
    assert_eq!(rig.register(0x08), 3);
    drop(rig);
    assert_eq!(server.join().unwrap().len(), 2);
}

#[test]
fn memory_without_a_file_is_a_fault_of_the_engine() {
    let path = socket();
    let server = server(0x6F20, &path, 1);
    let mut stream = UnixStream::connect(&path).unwrap();
    let mut request = |command: u16, payload: &[u8]| {
        stream.write_all(&whole(command, payload)).unwrap();
        assert_eq!(reply(&mut stream), 0, "command {command}");
    };
    request(1, b"\0\0\x01\0{}\0");
    let map =
        [&32_u32.to_le_bytes()[..], &3_u32.to_le_bytes(), &[0; 8], &BUS.to_le_bytes(), &SIZE.to_le_bytes()];
    request(2, &map.concat());
    let mut write = |region: u32, offset: u32, data: &[u8]| {
        let head =
            [&u64::from(offset).to_le_bytes()[..], &region.to_le_bytes(), &(data.len() as u32).to_le_bytes()];
        request(10, &[&head.concat(), data].concat());
    };
    write(CONFIG, 0x04, &6_u16.to_le_bytes());
    write(BAR0, 0x90, &(BUS + RING).to_le_bytes());
    write(BAR0, 0x86, &1_u16.to_le_bytes());
    stream
        .write_all(&whole(9, &[&0xA8_u64.to_le_bytes()[..], &[0; 4], &4_u32.to_le_bytes()].concat()))
        .unwrap();
    let mut answer = [0; 36];
    stream.read_exact(&mut answer).unwrap();

    assert_eq!(answer[32..], [4, 0, 0, 0], "the descriptor could not be fetched");
    drop(stream);
    server.join().unwrap();
}

fn ioat_vfio(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ioat-vfio"));
    command.args(arguments).stdin(Stdio::null()).output().unwrap()
}

#[test]
fn the_program_names_what_is_wrong_with_its_command_line() {
    let path = socket();
    let path = path.to_str().unwrap();
    for (arguments, expected) in [
        (vec![], "no --socket given"),
        (vec!["--sockets", path], "unknown option --sockets"),
        (vec!["--socket"], "--socket wants a value after it"),
        (vec!["--socket", path, "--id", "0b25"], "8086:0b25 is not an I/OAT engine"),
        (vec!["--socket", path, "--id", "six"], "--id six: write 6f20 or 8086:6f20"),
        (vec!["--socket", path, "--id", "0x6f20"], "--id 0x6f20: write 6f20 or 8086:6f20"),
        (vec!["--socket", path, "--id", "6f2e", "--socket", "/tmp/x"], "with several sockets give 6f20"),
        (vec!["--socket", path, "--socket", path], "is given twice"),
        (vec!["--socket", path, "--version", "3"], "--version 3: write 3.2 or 3.3"),
        (vec!["--socket", path, "--version", "3.4"], "this device never reports version 3.4"),
        (vec!["--socket", path, "--channels", "0"], "0 channels: a function has 1 to 4"),
        (vec!["--socket", path, "--channels", "four"], "--channels four: not a number"),
        (vec!["--socket", path, "--channels", "9"], "9 channels: a function has 1 to 4"),
        (vec!["--socket", path, "--capability", "0x40000"], "does not execute capabilities 0x00040000"),
        (vec!["--socket", path, "--fault", "explode"], "there is no fault `explode`"),
        (vec!["--socket", path, "--fault", "halt descriptor=0 error=read-data"], "descriptor=0: write 5, 5+"),
        (vec!["--socket", path, "--fault", "halt descriptor=1 error=bad"], "error=bad: no such CHANERR bit"),
        (vec!["--socket", path, "--fault", "removed access=0"], "access=0: things are counted from one"),
        (vec!["--socket", path, "--fault", "flip-bit copy=1 copy=2"], "copy= is given twice"),
        (vec!["--socket", path, "--fault-file", "/"], "--fault-file /: Is a directory"),
        (
            vec!["--socket", path, "--fault-file", "/bin/true"],
            "--fault-file /bin/true: stream did not contain",
        ),
        (vec!["--socket", path, "--timing", "jitter=-1"], "jitter=-1: not a number"),
        (vec!["--socket", path, "--fault-file", "/nowhere"], "--fault-file /nowhere: No such file"),
        (vec!["--socket", path, "--timing", "speed=9"], "there is no timing `speed`"),
        (vec!["--socket", "/nowhere/at/all"], "cannot listen at /nowhere/at/all"),
        (vec!["--socket", "/etc/hostname"], "there is a file of this name"),
    ] {
        let output = ioat_vfio(&arguments);
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {message}");
        assert!(message.contains(expected), "{arguments:?}: {message}");
        assert_eq!(message.lines().count(), 1, "one clear line: {message}");
    }
}

#[test]
fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
    let path = socket();
    drop(server::listen(&path).unwrap());
    assert!(path.exists(), "left behind");

    let live = server::listen(&path).unwrap();

    let error = server::listen(&path).unwrap_err();
    assert!(error.to_string().contains("another server listens there"), "{error}");
    drop(live);
}
