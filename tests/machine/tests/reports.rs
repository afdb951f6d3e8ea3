//! ioatdma.sys as user mode meets it: what it tells, what it refuses, and that an open handle delays nothing.

#![forbid(unsafe_code)]

use std::collections::BTreeSet;

use ioat_model::Options;
use machine::client::ANY_CHANNEL;
use machine::hosted::guid;
use machine::lab::{ENGINE, Failure, Lab, Setup};
use netdma_ioctl::engine::{
    CHANNEL_READY, CHANNEL_RUNNING, Channel, Engine, INTERFACE, INTERRUPTS_PER_CHANNEL, REPORT, STATE_ASLEEP,
    STATE_GONE, STATE_WORKING,
};
use netdma_ioctl::{OPEN_CHANNEL, OpenChannel, PROVIDERS, SDDL, STATISTICS, Statistics, StatisticsOf, Wire};
use nthost::io::NtStatus;
use nthost::io::file::{File, Output};
use nthost::pnp::Sleep;
use proof::proves;

const INVALID_DEVICE_REQUEST: NtStatus = NtStatus(0xC000_0010_u32.cast_signed());
const BUFFER_TOO_SMALL: NtStatus = NtStatus(0xC000_0023_u32.cast_signed());

/// Opens the first engine.
fn open(lab: &mut Lab) -> Result<File, Failure> {
    let file = lab.run(|k| k.open_interface(guid(INTERFACE), 0))?;
    file.map_err(|status| Failure::Request { what: "opening an engine", status: status.0 })
}

/// Its answer to `code` with room for `room` bytes.
fn ask(lab: &mut Lab, file: File, code: u32, room: usize) -> Result<Result<Vec<u8>, NtStatus>, Failure> {
    let mut bytes = vec![0; room];
    let result = lab.run(|k| k.ioctl(file, code, &[], Output::Bytes(&mut bytes)))?;
    bytes.truncate(result.information as usize);
    Ok(if result.status.is_success() { Ok(bytes) } else { Err(result.status) })
}

/// Its report.
fn report(lab: &mut Lab, file: File) -> Result<(Engine, Vec<Channel>), Failure> {
    let bytes = ask(lab, file, REPORT, 4096)?
        .map_err(|status| Failure::Request { what: "a report", status: status.0 })?;
    let (head, rest) = bytes.split_at(Engine::SIZE);
    let channels = rest.chunks_exact(Channel::SIZE).filter_map(Channel::from_bytes).collect();
    Ok((Engine::from_bytes(head).expect("as many bytes as an engine has"), channels))
}

#[test]
fn a_report_says_what_the_engine_is_and_has_done() -> Result<(), Failure> {
    let mut lab = Setup::new(1)?.boot()?;
    let file = open(&mut lab)?;
    let (engine, channels) = report(&mut lab, file)?;
    assert_eq!(engine.location, 4 << 3);
    assert_eq!(engine.id, 0x8086_6F20);
    assert_eq!((engine.version, engine.hardware_version), (0x0002_0001, 0x0003_0002));
    assert_eq!(engine.interface_version, 0x0002_0001);
    assert_eq!((engine.state, engine.interrupts), (STATE_WORKING, INTERRUPTS_PER_CHANNEL));
    assert_eq!((engine.channels, channels.len()), (1, 1));
    assert_eq!((channels[0].state, channels[0].allocated), (CHANNEL_READY, 0));

    let client = lab.open()?;
    let channel = client.open_channel(&mut lab, ANY_CHANNEL)?;
    client.copy_verified(&mut lab, channel.number, 50_000, 1)?;
    let (_, channels) = report(&mut lab, file)?;
    let counted = lab.engines[0].channel(0);
    assert_eq!((channels[0].state, channels[0].allocated), (CHANNEL_RUNNING, 1));
    assert_eq!(channels[0].report_processor, channel.processor);
    assert_eq!(channels[0].interrupts, counted.interrupts_signalled, "the engine's own count");
    assert_eq!((channels[0].halts, channels[0].recovered, channels[0].last_errors), (0, 0, 0));
    Ok(())
}

#[test]
fn no_answer_to_a_program_holds_an_address_of_memory() -> Result<(), Failure> {
    let mut lab = Setup::new(2)?.boot()?;
    let client = lab.open()?;
    let mut channels = Vec::new();
    for provider in client.providers(&mut lab)? {
        let wanted = OpenChannel { provider: provider.id, ..ANY_CHANNEL };
        let mut room = [0; netdma_ioctl::Channel::SIZE];
        client.request(&mut lab, "opening", OPEN_CHANNEL, &wanted.to_bytes(), &mut room)?;
        let channel = netdma_ioctl::Channel::from_bytes(&room).expect("a channel");
        client.copy_verified(&mut lab, channel.number, 50_000, 1)?;
        channels.push((channel.number, room.to_vec()));
    }

    let file = open(&mut lab)?;
    let mut answers = vec![("REPORT", ask(&mut lab, file, REPORT, 4096)?.expect("a report"))];
    let mut room = vec![0; 4096];
    let length = client.request(&mut lab, "listing", PROVIDERS, &[], &mut room)?;
    answers.push(("PROVIDERS", room[..length as usize].to_vec()));
    for (number, opened) in channels {
        answers.push(("OPEN_CHANNEL", opened));
        let of = StatisticsOf { provider: 0, channel: number };
        let mut room = vec![0; Statistics::SIZE];
        client.request(&mut lab, "counting", STATISTICS, &of.to_bytes(), &mut room)?;
        answers.push(("STATISTICS", room));
    }

    // Rings, completion words and the self-test's memory: every page of every common buffer, as drivers and as the engine
    // see it.
    let buffers = lab.run(nthost::Kernel::common_buffers)?;
    assert!(buffers.len() >= 10, "two rings of four pages, and a word each: {}", buffers.len());
    let mut pages = BTreeSet::new();
    for buffer in buffers {
        for offset in (0..buffer.length).step_by(4096) {
            pages.insert((buffer.address + offset) >> 12);
            pages.insert((buffer.bus + offset) >> 12);
        }
    }
    for (what, bytes) in answers {
        assert!(bytes.len() >= 16, "{what}");
        // Members are aligned to 4 bytes at least.
        for (at, window) in bytes.windows(8).enumerate().step_by(4) {
            let value = u64::from_le_bytes(window.try_into().expect("eight bytes"));
            // Two members, the second of which is NOWHERE, are no pointer.
            let pointer = value >> 47 == 0x1_FFFF && value >> 32 != 0xFFFF_FFFF;
            assert!(!pointer, "{what} at {at}: {value:#x} is a kernel pointer");
            assert!(!pages.contains(&(value >> 12)), "{what} at {at}: {value:#x} is in a common buffer");
        }
    }
    Ok(())
}

#[test]
fn a_report_is_answered_while_the_machine_sleeps_and_touches_no_register() -> Result<(), Failure> {
    let mut lab = Setup::new(1)?.boot()?;
    let file = open(&mut lab)?;
    lab.run(|k| k.sleep(Sleep::Standby))?.map_err(|error| Failure::Other(error.to_string()))?;
    let before = lab.engines[0].statistics();
    assert_eq!(report(&mut lab, file)?.0.state, STATE_ASLEEP);
    assert_eq!(lab.engines[0].statistics(), before, "a report reached the engine");
    lab.run(nthost::Kernel::wake_up)?;
    assert_eq!(report(&mut lab, file)?.0.state, STATE_WORKING);
    Ok(())
}

#[test]
fn unknown_codes_and_short_buffers_are_refused() -> Result<(), Failure> {
    let mut lab = Setup::new(1)?.boot()?;
    let file = open(&mut lab)?;
    for room in [0, 1, Engine::SIZE - 1] {
        assert_eq!(ask(&mut lab, file, REPORT, room)?, Err(BUFFER_TOO_SMALL), "{room} bytes");
    }
    // Room for the engine and not quite for a channel.
    let short = ask(&mut lab, file, REPORT, Engine::SIZE + Channel::SIZE - 1)?.expect("a report");
    assert_eq!(short.len(), Engine::SIZE);
    for code in [REPORT + 4, netdma_ioctl::PROVIDERS, netdma_ioctl::CONTROL, 0] {
        assert_eq!(ask(&mut lab, file, code, 4096)?, Err(INVALID_DEVICE_REQUEST), "{code:#x}");
    }
    Ok(())
}

#[test]
fn only_the_system_and_administrators_may_open_an_engine() -> Result<(), Failure> {
    let mut lab = Setup::new(1)?.boot()?;
    let device = lab.engine_device(0)?.id;
    assert_eq!(lab.run(|k| k.security(device))?.as_deref(), Some(SDDL));
    Ok(())
}

#[test]
fn an_open_handle_delays_no_surprise_removal_and_still_gets_answers() -> Result<(), Failure> {
    let mut lab = Setup::new(1)?.boot()?;
    let client = lab.open()?;
    let file = open(&mut lab)?;
    let device = lab.engine_device(0)?.id;
    lab.run(|k| k.surprise_remove(device))?.map_err(|error| Failure::Other(error.to_string()))?;

    // With the handle still open everything of the engine's is given back, and nobody can use its provider.
    let events = lab.event_names()?;
    assert!(events.contains(&"DeviceRemoved") && events.contains(&"ProviderStopped"), "{events:?}");
    let providers = client.providers(&mut lab)?;
    assert!(providers.iter().all(|provider| provider.state == 0), "0 is stopped: {providers:?}");
    match ask(&mut lab, file, REPORT, 4096)? {
        Ok(bytes) => assert_eq!(Engine::from_bytes(&bytes).map(|engine| engine.state), Some(STATE_GONE)),
        Err(status) => assert!(!status.is_success()),
    }
    assert!(lab.run(|k| k.interfaces(guid(INTERFACE)))?.is_empty(), "the interface outlived the device");

    // Another engine takes its place at once, and serves.
    let options = Options::function_of(ENGINE.0, ENGINE.1, 0)?;
    lab.plug("another".into(), options)?;
    let channel = client.open_channel(&mut lab, ANY_CHANNEL)?;
    assert_eq!(client.copy_verified(&mut lab, channel.number, 50_000, 1)?, 50_000);

    // The provider is registered, stopped, for as long as Windows keeps the device: it is removed with its last handle (Learn,
    // "Handling an IRP_MN_SURPRISE_REMOVAL Request").
    let deregistered =
        |names: Vec<&str>| names.into_iter().filter(|name| *name == "ProviderDeregistered").count();
    proves!(image: R78; assert_eq!(deregistered(lab.event_names()?), 0, "there was no IRP_MN_REMOVE_DEVICE yet"));
    lab.run(|k| k.close(file))?;
    proves!(image: R78; assert_eq!(deregistered(lab.event_names()?), 1));
    let states: Vec<u32> = client.providers(&mut lab)?.iter().map(|provider| provider.state).collect();
    assert_eq!(states, [1], "only the new engine's is left, and started");
    client.close(&mut lab)?;
    let left = lab.shut_down()?;
    assert!(left.is_empty(), "{left:?}");
    Ok(())
}
