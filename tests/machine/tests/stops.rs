//! What a stop tells: everything somebody needs who has to find the error, and the command that shows it again.

#![forbid(unsafe_code)]

use std::process::Command;

use machine::client::ANY_CHANNEL;
use machine::lab::{Failure, Setup};
use netdmactl::pieces::{BUFFER, Batch};
use nthost::Stop;
use nthost::random::Random;
use nthost::replay::{SEED, seeds};

/// A life of a machine with the real drivers that ends in a stop: with a copy under way and a spin lock held, a client
/// gives netdma.sys memory that was freed. The seed decides when.
fn stop_with(seed: u64) -> Box<Stop> {
    match life(seed) {
        Err(Failure::Stop(stop)) => stop,
        other => panic!("seed {seed}: no stop but {other:?}"),
    }
}

fn life(seed: u64) -> Result<(), Failure> {
    let mut setup = Setup::new(1)?;
    setup.seed = seed;
    let mut lab = setup.boot()?;
    let client = lab.open()?;
    let channel = client.open_channel(&mut lab, ANY_CHANNEL)?;
    let buffer = lab.buffer(BUFFER)?;
    let mut random = Random::new(seed);
    let batch = Batch::plan(&[7; 20_000], &mut || random.next());
    lab.fill(buffer, &batch.before)?;
    let _copying = client.copy(&mut lab, channel.number, buffer, &batch.request())?;
    lab.run(|k| {
        /// POOL_FLAG_NON_PAGED and a tag.
        const POOL: [u64; 3] = [0x40, 64, 0x7473_6554];
        let freed = k.call_export("ExAllocatePool2", &POOL);
        k.call_export("ExFreePoolWithTag", &[freed, 0]);
        let lock = k.system_allocate(8, "the client's lock");
        k.call_export("KeAcquireSpinLockRaiseToDpc", &[lock]);
        let images = k.images();
        let netdma = images.iter().find(|image| image.name.to_lowercase().ends_with("netdma.sys"));
        let register = netdma.and_then(|image| image.exports.get("NetDmaRegisterClient")).expect("an export");
        k.call("NetDmaRegisterClient", *register, &[1, 0, freed]);
    })
}

#[test]
fn a_stop_tells_what_broke_where_under_which_locks_and_what_came_before() {
    let stop = stop_with(seeds(3..=3).start().to_owned());
    assert_eq!(stop.rule, "Special Pool", "{stop}");
    assert_eq!((stop.code, stop.name), (0xD5, "DRIVER_PAGE_FAULT_IN_FREED_SPECIAL_POOL"), "{stop}");
    assert_eq!(stop.meaning, "a driver used pool that was freed");
    assert!(stop.text.contains("'Test' of 64 bytes") && stop.text.contains("freed"), "{stop}");
    assert_eq!(stop.irql, 2);
    assert!(stop.cpu < 2);
    assert!(stop.thread.contains("host"), "{stop}");

    let innermost = &stop.stack[0];
    assert!(innermost.symbol.starts_with("netdma.sys!"), "{stop}");
    assert!(innermost.line.as_ref().is_some_and(|line| line.contains(".rs:")), "{stop}");
    assert!(stop.stack.iter().any(|frame| frame.symbol.contains("NetDmaRegisterClient")), "{stop}");

    // The client's lock; another processor may hold others.
    let own = format!("cpu {}", stop.cpu);
    assert!(stop.locks.iter().any(|lock| lock.kind == "spin lock" && lock.holder == own), "{stop}");

    assert_eq!(stop.events.len(), 64);
    assert!(stop.events.windows(2).all(|pair| pair[0].number + 1 == pair[1].number), "{stop}");
    assert!(stop.events.iter().any(|event| event.what.contains("KeAcquireSpinLockRaiseToDpc")), "{stop}");
    assert!(stop.replay.starts_with(&format!("{SEED}={} ", stop.seed)), "{stop}");

    let text = stop.to_string();
    for part in [
        "*** STOP 0xd5 DRIVER_PAGE_FAULT_IN_FREED_SPECIAL_POOL: Special Pool",
        "a driver used pool that was freed",
        "IRQL 2",
        "thread ",
        "  stack\n",
        "  locks held\n    spin lock ",
        "  last events\n",
        "    replay: ",
        &stop.replay,
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
}

#[test]
fn drivers_add_their_last_events_to_the_dump_of_a_stop() {
    let stop = stop_with(1);
    assert_eq!(stop.dump.len(), 3, "one history for each image");
    assert!(stop.dump.iter().all(|data| !data.bytes.is_empty()));
}

#[test]
fn the_command_in_a_stop_replays_it() {
    let stops: Vec<_> = seeds(1..=3).map(stop_with).collect();
    stops.iter().for_each(|stop| println!("{stop}"));
    if std::env::var_os(SEED).is_some() {
        return; // Run by the command: what it printed is what was wanted.
    }
    assert!(stops.windows(2).all(|pair| pair[0].time != pair[1].time), "the seed decides");

    let stop = &stops[1];
    let test = "the_command_in_a_stop_replays_it";
    let (before, after) = stop.replay.split_once(test).expect("the test's name");
    let (variable, program) = before.split_once(' ').expect("a variable");
    if std::env::var_os("CARGO_PKG_NAME").is_some() {
        assert_eq!(program, "cargo test --profile tests -p machine --test stops ");
    }
    let (name, seed) = variable.split_once('=').expect("a variable");
    let mut again = Command::new(std::env::current_exe().expect("this program"));
    again.env(name, seed).env_remove("NETDMA_PROOFS").arg(test);
    again.args(after.split_whitespace().filter(|word| *word != "--"));
    let answer = again.arg("--nocapture").output().expect("this program runs");
    let text = String::from_utf8_lossy(&answer.stdout);
    assert!(answer.status.success(), "{text}");
    let replayed = &text[text.find("*** STOP").expect("a stop")..];
    let told = without_addresses(&stop.to_string());
    assert!(without_addresses(replayed).starts_with(&told), "{told}\nis not what came again:\n{replayed}");
}

/// The text without what differs when other machines ran in the process before: addresses, of nine digits or more.
fn without_addresses(text: &str) -> String {
    let is_address = |word: &str| word.len() >= 9 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mut words = String::new();
    for word in text.split_inclusive(|letter: char| !letter.is_ascii_alphanumeric()) {
        let end = word.trim_end_matches(|letter: char| !letter.is_ascii_alphanumeric()).len();
        let bare = word[..end].trim_start_matches("0x");
        words.push_str(if is_address(bare) { "(address)" } else { &word[..end] });
        words.push_str(&word[end..]);
    }
    words
}
