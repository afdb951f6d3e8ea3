//! netdmatest.sys as a program meets it: what it refuses, what it finishes, what it leaves behind.

#![forbid(unsafe_code)]

use std::cell::Cell;
use std::rc::Rc;

use machine::client::{ANY_CHANNEL, Client, Copying};
use machine::lab::{CLIENT_DEVICE, Failure, Lab, Setup};
use machine::soft::Soft;
use netdma_ioctl::{
    CONTROL, CONTROL_NULL, CONTROL_RESUME, CONTROL_SUSPEND, COPY, Control, OPEN_CHANNEL, OpenChannel, POLLED,
    PROVIDERS, Piece, STATISTICS, StatisticsOf, Wire,
};
use netdmasoft_control::Command;
use nthost::io::file::Output;
use nthost::memory::user::UserBuffer;
use proof::proves;

const INVALID_HANDLE: u32 = 0xC000_0008;
const INVALID_PARAMETER: u32 = 0xC000_000D;
const INVALID_DEVICE_REQUEST: u32 = 0xC000_0010;
const CONFLICTING_ADDRESSES: u32 = 0xC000_0018;
const BUFFER_TOO_SMALL: u32 = 0xC000_0023;
const DEVICE_NOT_READY: u32 = 0xC000_00A3;
const DEVICE_REMOVED: u32 = 0xC000_02B6;
const REQUEST_ABORTED: u32 = 0xC000_0240;

/// A machine with engines and an open handle.
fn machine(engines: usize) -> Result<(Lab, Client), Failure> {
    let mut lab = Setup::new(engines)?.boot()?;
    let client = lab.open()?;
    Ok((lab, client))
}

fn piece(source: u32, destination: u32, length: u32) -> Piece {
    Piece { source, destination, length, flags: 0 }
}

/// The status with which something failed; success is a failure of the test.
fn refusal<T>(outcome: Result<T, Failure>) -> u32 {
    match outcome {
        Err(Failure::Request { status, .. }) => status.cast_unsigned(),
        Err(other) => panic!("not refused, but: {other}"),
        Ok(_) => panic!("not refused"),
    }
}

/// Copies at once.
fn copy(
    lab: &mut Lab,
    client: &Client,
    channel: u32,
    buffer: UserBuffer,
    pieces: &[Piece],
) -> Result<(), Failure> {
    let copying = client.copy(lab, channel, buffer, pieces)?;
    client.finish(lab, copying)
}

/// Nothing is left behind after everything was unloaded.
fn leaves_nothing(lab: Lab) -> Result<(), Failure> {
    let left = lab.shut_down()?;
    assert!(left.is_empty(), "{left:?}");
    Ok(())
}

#[test]
fn malformed_copies_are_refused_and_touch_nothing() -> Result<(), Failure> {
    let (mut lab, client) = machine(1)?;
    let channel = client.open_channel(&mut lab, ANY_CHANNEL)?.number;
    let buffer = lab.buffer(8192)?;
    lab.fill(buffer, &[0xA5; 8192])?;
    let before = client.statistics(&mut lab, channel)?;

    let cases: &[(u32, &[Piece])] = &[
        (INVALID_PARAMETER, &[]),
        (INVALID_PARAMETER, &[piece(0, 4096, 0)]),
        (INVALID_PARAMETER, &[piece(0, 8000, 193)]),
        (INVALID_PARAMETER, &[piece(8000, 0, 193)]),
        (INVALID_PARAMETER, &[piece(u32::MAX, 0, u32::MAX)]),
        (INVALID_PARAMETER, &[Piece { flags: 1, ..piece(0, 4096, 1) }]),
        (INVALID_PARAMETER, &[piece(0, 4096, 1); 257]),
        (CONFLICTING_ADDRESSES, &[piece(0, 99, 100)]),
        (CONFLICTING_ADDRESSES, &[piece(0, 4096, 100), piece(200, 4195, 100)]),
        (CONFLICTING_ADDRESSES, &[piece(0, 4096, 100), piece(4195, 6000, 100)]),
    ];
    for (status, pieces) in cases {
        assert_eq!(refusal(copy(&mut lab, &client, channel, buffer, pieces)), *status, "{pieces:?}");
    }
    assert_eq!(refusal(copy(&mut lab, &client, channel + 1, buffer, &[piece(0, 4096, 1)])), INVALID_HANDLE);

    assert_eq!(lab.contents(buffer)?, [0xA5; 8192]);
    assert_eq!(client.statistics(&mut lab, channel)?.submitted, before.submitted);
    lab.free(buffer)?;
    client.close(&mut lab)?;
    leaves_nothing(lab)
}

#[test]
fn buffers_that_are_too_short_and_unknown_requests_are_refused() -> Result<(), Failure> {
    let (mut lab, client) = machine(1)?;
    let channel = client.open_channel(&mut lab, ANY_CHANNEL)?.number;
    let mut request = |code, input: &[u8], output: usize| {
        refusal(client.request(&mut lab, "a malformed request", code, input, &mut vec![0; output]))
    };
    let unknown = COPY + 4 * 100;
    assert_eq!(request(unknown, &[], 0), INVALID_DEVICE_REQUEST);
    assert_eq!(request(COPY, &[0; 15], 0), BUFFER_TOO_SMALL);
    assert_eq!(request(OPEN_CHANNEL, &[], 16), BUFFER_TOO_SMALL);
    assert_eq!(request(OPEN_CHANNEL, &ANY_CHANNEL.to_bytes(), 15), BUFFER_TOO_SMALL);
    assert_eq!(
        request(OPEN_CHANNEL, &OpenChannel { flags: 2, ..ANY_CHANNEL }.to_bytes(), 16),
        INVALID_PARAMETER
    );
    assert_eq!(
        request(OPEN_CHANNEL, &OpenChannel { group: 0x1_0000, ..ANY_CHANNEL }.to_bytes(), 16),
        INVALID_PARAMETER
    );
    assert_eq!(request(PROVIDERS, &[], 0), BUFFER_TOO_SMALL);
    assert_eq!(request(STATISTICS, &StatisticsOf { provider: 0, channel }.to_bytes(), 8), BUFFER_TOO_SMALL);
    assert_eq!(request(CONTROL, &Control { channel, operation: 99 }.to_bytes(), 0), INVALID_PARAMETER);
    assert_eq!(
        request(CONTROL, &Control { channel: 63, operation: CONTROL_NULL }.to_bytes(), 0),
        INVALID_HANDLE
    );
    client.close(&mut lab)?;
    leaves_nothing(lab)
}

#[test]
fn a_channel_belongs_to_the_handle_that_opened_it() -> Result<(), Failure> {
    let (mut lab, owner) = machine(1)?;
    let stranger = lab.open()?;
    let channel = owner.open_channel(&mut lab, ANY_CHANNEL)?.number;

    assert_eq!(refusal(stranger.statistics(&mut lab, channel)), INVALID_HANDLE);
    assert_eq!(refusal(stranger.control(&mut lab, channel, CONTROL_NULL)), INVALID_HANDLE);
    assert_eq!(refusal(stranger.close_channel(&mut lab, channel)), INVALID_HANDLE);
    owner.copy_verified(&mut lab, channel, 10_000, 1)?;
    Ok(())
}

#[test]
fn many_requests_under_way_at_once_are_all_finished_and_right() -> Result<(), Failure> {
    let (mut lab, client) = machine(1)?;
    let channel = client.open_channel(&mut lab, ANY_CHANNEL)?.number;
    let mut under_way = Vec::new();
    for number in 0..48_u8 {
        let buffer = lab.buffer(40_000)?;
        let mut bytes = vec![number; 40_000];
        bytes[..20_000].iter_mut().enumerate().for_each(|(at, byte)| *byte = (at as u8) ^ number);
        lab.fill(buffer, &bytes)?;
        let copying = client.copy(&mut lab, channel, buffer, &[piece(3, 20_005, 19_990)])?;
        under_way.push((buffer, bytes, copying));
    }
    for (buffer, bytes, copying) in under_way {
        client.finish(&mut lab, copying)?;
        let mut expected = bytes.clone();
        expected[20_005..39_995].copy_from_slice(&bytes[3..19_993]);
        assert!(lab.contents(buffer)? == expected);
        lab.free(buffer)?;
    }
    let statistics = client.statistics(&mut lab, channel)?;
    assert_eq!((statistics.submitted, statistics.succeeded, statistics.failed), (48, 48, 0));
    client.close(&mut lab)?;
    leaves_nothing(lab)
}

#[test]
fn a_copy_of_more_descriptors_than_the_ring_holds_is_fed_in_as_room_comes() -> Result<(), Failure> {
    let (mut lab, client) = machine(1)?;
    // Nothing is posted before a flush, so the ring fills up.
    let wish = OpenChannel { ring_size: 64, pending_limit: 1000, ..ANY_CHANNEL };
    let channel = client.open_channel(&mut lab, wish)?;
    assert_eq!(channel.ring_size, 64);
    let buffer = lab.buffer(2 << 20)?;
    let bytes: Vec<u8> = (0..2 << 20).map(|at: u32| (at ^ at >> 9) as u8).collect();
    lab.fill(buffer, &bytes)?;
    // 256 pieces of 3,000 bytes: each crosses at least one page.
    let pieces: Vec<Piece> = (0..256).map(|at| piece(at * 4000, (1 << 20) + at * 4000, 3000)).collect();
    copy(&mut lab, &client, channel.number, buffer, &pieces)?;

    let mut expected = bytes.clone();
    for piece in &pieces {
        let (from, to, length) = (piece.source as usize, piece.destination as usize, piece.length as usize);
        expected[to..to + length].copy_from_slice(&bytes[from..from + length]);
    }
    assert!(lab.contents(buffer)? == expected);
    let statistics = client.statistics(&mut lab, channel.number)?;
    assert!(statistics.ring_full > 0, "the ring was never full: {statistics:?}");
    assert_eq!(statistics.succeeded, 256);
    lab.free(buffer)?;
    Ok(())
}

#[test]
fn a_piece_that_never_fits_the_ring_fails_and_the_next_request_works() -> Result<(), Failure> {
    let (mut lab, client) = machine(1)?;
    let channel = client.open_channel(&mut lab, OpenChannel { ring_size: 64, ..ANY_CHANNEL })?.number;
    let buffer = lab.buffer(1 << 20)?;
    lab.fill(buffer, &vec![1; 1 << 20])?;
    // 512 KiB in scattered pages need some 128 descriptors.
    let outcome = copy(&mut lab, &client, channel, buffer, &[piece(0, 1 << 19, 1 << 19)]);
    assert!(outcome.is_err(), "64 slots took 128 pages");
    copy(&mut lab, &client, channel, buffer, &[piece(0, 1 << 19, 1 << 14)])?;
    lab.free(buffer)?;
    client.close(&mut lab)?;
    leaves_nothing(lab)
}

#[test]
fn a_limit_of_pending_requests_batches_them_and_loses_none() -> Result<(), Failure> {
    let (mut lab, client) = machine(1)?;
    let channel = client.open_channel(&mut lab, OpenChannel { pending_limit: 32, ..ANY_CHANNEL })?.number;
    let buffer = lab.buffer(1 << 16)?;
    lab.fill(buffer, &vec![7; 1 << 16])?;
    let pieces: Vec<Piece> = (0..100).map(|at| piece(at * 100, 32_768 + at * 100, 90)).collect();
    copy(&mut lab, &client, channel, buffer, &pieces)?;
    let statistics = client.statistics(&mut lab, channel)?;
    assert_eq!((statistics.succeeded, statistics.bytes), (100, 9000));
    assert!(
        statistics.batches <= 5,
        "100 requests with a limit of 32 were posted in {} batches",
        statistics.batches
    );
    lab.free(buffer)?;
    Ok(())
}

/// A request on a suspended channel: it stays under way.
fn stuck(lab: &mut Lab, client: &Client, channel: u32) -> Result<(UserBuffer, Copying), Failure> {
    client.copy_verified(lab, channel, 5_000, 11)?;
    client.control(lab, channel, CONTROL_SUSPEND)?;
    let buffer = lab.buffer(8192)?;
    lab.fill(buffer, &[9; 8192])?;
    let copying = client.copy(lab, channel, buffer, &[piece(0, 4096, 4000)])?;
    Ok((buffer, copying))
}

#[test]
fn closing_the_file_finishes_what_is_under_way_and_frees_the_channel() -> Result<(), Failure> {
    let (mut lab, client) = machine(1)?;
    let channel = client.open_channel(&mut lab, ANY_CHANNEL)?.number;
    let (buffer, copying) = stuck(&mut lab, &client, channel)?;
    let witness = lab.open()?;
    client.close_while(&mut lab, copying)?;
    proves!(image: R263, R285; assert_eq!(&lab.contents(buffer)?[4096..8096], &[9; 4000]));

    let channel = witness.open_channel(&mut lab, ANY_CHANNEL)?.number;
    witness.copy_verified(&mut lab, channel, 5_000, 12)?;
    lab.free(buffer)?;
    witness.close(&mut lab)?;
    leaves_nothing(lab)
}

#[test]
fn a_suspended_copy_times_out_and_the_channel_works_again() -> Result<(), Failure> {
    let (mut lab, client) = machine(1)?;
    let channel = client.open_channel(&mut lab, ANY_CHANNEL)?.number;
    let (buffer, copying) = stuck(&mut lab, &client, channel)?;
    let status = refusal(client.finish(&mut lab, copying));
    assert_eq!(status, 0xC000_00B5, "STATUS_IO_TIMEOUT, not {status:#x}");
    assert!(lab.event_names()?.contains(&"NoProgress"));
    assert_eq!(client.statistics(&mut lab, channel)?.timeouts, 1);
    lab.free(buffer)?;
    let _not_suspended = client.control(&mut lab, channel, CONTROL_RESUME);
    client.copy_verified(&mut lab, channel, 5_000, 13)?;
    client.close(&mut lab)?;
    leaves_nothing(lab)
}

#[test]
fn removing_the_engine_ends_what_waits_and_later_requests_say_that_it_is_gone() -> Result<(), Failure> {
    let (mut lab, client) = machine(1)?;
    let channel = client.open_channel(&mut lab, ANY_CHANNEL)?.number;
    client.copy_verified(&mut lab, channel, 50_000, 14)?;
    let engine = lab.engine_device(0)?.id;
    lab.run(|k| k.surprise_remove(engine))?.map_err(|error| Failure::Other(error.to_string()))?;

    let buffer = lab.buffer(8192)?;
    lab.fill(buffer, &[9; 8192])?;
    proves!(image: R262;
        assert_eq!(refusal(copy(&mut lab, &client, channel, buffer, &[piece(0, 4096, 4000)])), DEVICE_REMOVED));
    client.close_channel(&mut lab, channel)?;
    assert!(client.providers(&mut lab)?.is_empty());
    lab.free(buffer)?;
    client.close(&mut lab)?;
    leaves_nothing(lab)
}

#[test]
fn surprise_removal_under_load_completes_every_request() -> Result<(), Failure> {
    for accesses in [0, 1, 2, 3, 5, 8, 13] {
        let (mut lab, client) = machine(1)?;
        let channel = client.open_channel(&mut lab, ANY_CHANNEL)?.number;
        client.copy_verified(&mut lab, channel, 5_000, 15)?;
        let engine = lab.engine_device(0)?.id;
        lab.run(|k| k.vanish_after(engine, accesses))?.map_err(|error| Failure::Other(error.to_string()))?;
        let mut under_way = Vec::new();
        for _ in 0..8 {
            let buffer = lab.buffer(40_000)?;
            lab.fill(buffer, &vec![3; 40_000])?;
            under_way.push((buffer, client.copy(&mut lab, channel, buffer, &[piece(1, 20_003, 19_000)])?));
        }
        for (buffer, copying) in under_way {
            // Done or failed: the one thing that must not happen is nothing.
            match client.finish(&mut lab, copying) {
                Ok(()) | Err(Failure::Request { .. }) => {}
                Err(other) => return Err(other),
            }
            lab.free(buffer)?;
        }
        client.close(&mut lab)?;
        leaves_nothing(lab)?;
    }
    Ok(())
}

#[test]
fn removing_the_client_device_leaves_nothing_behind() -> Result<(), Failure> {
    let (mut lab, client) = machine(2)?;
    for flags in [0, POLLED] {
        let channel = client.open_channel(&mut lab, OpenChannel { flags, ..ANY_CHANNEL })?.number;
        client.copy_verified(&mut lab, channel, 60_000, 16)?;
    }
    client.close(&mut lab)?;
    let device =
        lab.devices()?.into_iter().find(|device| device.instance.starts_with(&CLIENT_DEVICE.to_uppercase()));
    let device = device.expect("the client's device").id;
    lab.run(|k| k.remove_device(device))?.map_err(|error| Failure::Other(error.to_string()))?;
    assert!(lab.event_names()?.contains(&"TestDeviceStopped"));
    assert!(lab.open().is_err(), "the interface outlived the device");
    leaves_nothing(lab)
}

#[test]
fn an_abort_ends_what_is_under_way_as_aborted() -> Result<(), Failure> {
    let (mut lab, client) = machine(1)?;
    let channel = client.open_channel(&mut lab, ANY_CHANNEL)?.number;
    let (buffer, copying) = stuck(&mut lab, &client, channel)?;
    client.control(&mut lab, channel, netdma_ioctl::CONTROL_ABORT)?;
    assert_eq!(refusal(client.finish(&mut lab, copying)), REQUEST_ABORTED);
    lab.free(buffer)?;
    client.copy_verified(&mut lab, channel, 5_000, 17)?;
    client.close(&mut lab)?;
    leaves_nothing(lab)
}

#[test]
fn a_client_told_of_power_down_posts_nothing_until_it_is_told_of_power_up() -> Result<(), Failure> {
    let mut lab = Setup::new(0)?.power_on()?;
    lab.add_client_device()?;
    for package in ["netdma", "netdmatest"] {
        lab.install(package)?;
    }
    let soft = lab.run(Soft::install)??;
    let client = lab.open()?;
    let channel = client.open_channel(&mut lab, ANY_CHANNEL)?.number;
    client.copy_verified(&mut lab, channel, 20_000, 1)?;
    lab.run(|k| soft.command(k, Command::Power { code: 5 }))?;
    let before = client.statistics(&mut lab, channel)?;
    let refused = refusal(client.copy_verified(&mut lab, channel, 20_000, 2));
    assert_eq!(refused, DEVICE_NOT_READY);
    let after = client.statistics(&mut lab, channel)?;
    proves!(image: R228; assert_eq!((after.submitted, after.accepted), (before.submitted, before.accepted)));
    proves!(image: R228; assert_eq!(after.submitted, after.succeeded, "and it has waited for its copies"));
    lab.run(|k| soft.command(k, Command::Power { code: 6 }))?;
    proves!(image: R228, R261; assert_eq!(client.copy_verified(&mut lab, channel, 20_000, 3)?, 20_000));
    // It never vouches for caches: no descriptor had a no-snoop flag.
    let flags = lab.run(|k| soft.look(k, 0))?.flags;
    let no_snoop = netdma_abi::descriptor::SOURCE_NO_SNOOP | netdma_abi::descriptor::DESTINATION_NO_SNOOP;
    proves!(image: R164; assert!(flags != 0 && flags & no_snoop == 0, "{flags:#x}"));
    client.close(&mut lab)?;
    lab.run(|k| soft.remove(k))??;
    leaves_nothing(lab)
}

#[test]
fn a_channel_that_is_opened_while_its_file_is_closed_is_given_back() -> Result<(), Failure> {
    let mut late = 0;
    for seed in 1..=24 {
        let mut setup = Setup::new(1)?;
        setup.seed = seed;
        let mut lab = setup.boot()?;
        let client = lab.open()?;
        let other = lab.open()?;
        let opened = lab.run(|k| {
            let (file, ended) = (client.file(), Rc::new(Cell::new(false)));
            let ends = Rc::clone(&ended);
            let opener = k.spawn(
                "opener",
                0,
                Box::new(move |k| {
                    let mut answer = [0; netdma_ioctl::Channel::SIZE];
                    k.ioctl(file, OPEN_CHANNEL, &ANY_CHANNEL.to_bytes(), Output::Bytes(&mut answer));
                    ends.set(true);
                }),
            );
            // The other thread is somewhere between the request's arrival and its end.
            for _ in 0..seed * 5 {
                k.call_export("KeStallExecutionProcessor", &[0]);
            }
            let under_way = !ended.get();
            k.close(file);
            k.join(opener);
            under_way
        })?;
        late += u32::from(opened);
        let providers = other.providers(&mut lab)?;
        assert_eq!(providers[0].free_channels, providers[0].channels, "seed {seed}: a channel was kept");
        other.close(&mut lab)?;
        leaves_nothing(lab)?;
    }
    assert!(late > 3, "only {late} openings were under way");
    Ok(())
}
