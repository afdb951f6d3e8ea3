//! Lives of a machine that chance decides: installing, copying, rebalancing, sleeping, removing, in any order and with
//! work under way. No history may stop the machine, corrupt a byte, hang, or leave anything behind.

#![forbid(unsafe_code)]

use machine::client::ANY_CHANNEL;
use machine::lab::{CLIENT_DEVICE, Failure, Lab, Setup};
use machine::pieces::{BUFFER, Batch};
use nthost::pnp::{DevnodeId, Sleep, State};
use nthost::random::Random;

/// Histories of a test run; `NETDMA_HISTORIES` asks for another number.
const HISTORIES: u64 = 200;
/// Steps of a history.
const STEPS: u64 = 12;

/// What happened, for the message of a history that went wrong.
struct History {
    seed: u64,
    steps: Vec<String>,
}

impl History {
    fn note(&mut self, step: impl Into<String>) {
        self.steps.push(step.into());
    }
}

#[test]
fn no_history_stops_the_machine_or_leaves_anything_behind() {
    let wanted =
        std::env::var("NETDMA_HISTORIES").ok().and_then(|text| text.parse().ok()).unwrap_or(HISTORIES);
    let only = std::env::var("NETDMA_SEED").ok().and_then(|text| text.parse::<u64>().ok());
    for seed in only.map_or(1..=wanted, |seed| seed..=seed) {
        let mut history = History { seed, steps: Vec::new() };
        if let Err(failure) = live(&mut history) {
            panic!("NETDMA_SEED={} replays it: {}\n{failure}", history.seed, history.steps.join(", "));
        }
    }
}

/// One life, from power-on to shutdown.
fn live(history: &mut History) -> Result<(), Failure> {
    let mut random = Random::new(history.seed);
    let mut setup = Setup::new(1 + random.below(2) as usize)?;
    setup.seed = history.seed;
    setup.cpus = 1 + random.below(3) as u32;
    setup.remapping = random.below(4) == 0;
    let mut lab = setup.power_on()?;
    install(&mut lab, &mut random, history)?;
    for _ in 0..STEPS {
        step(&mut lab, &mut random, history)?;
    }
    let left = lab.shut_down()?;
    if left.is_empty() { Ok(()) } else { Err(Failure::Other(format!("left behind: {left:?}"))) }
}

/// The packages in an order that can work (the interface first), devices before or after their packages.
fn install(lab: &mut Lab, random: &mut Random, history: &mut History) -> Result<(), Failure> {
    match random.below(3) {
        0 => lab.run(|k| k.limit_messages(Some(0)))?,
        1 => lab.run(|k| k.limit_messages(Some(1)))?,
        _ => {}
    }
    lab.add_client_device()?;
    lab.install("netdma")?;
    let order = if random.below(2) == 0 { ["ioatdma", "netdmatest"] } else { ["netdmatest", "ioatdma"] };
    for package in order {
        lab.install(package)?;
    }
    history.note(format!("installed netdma, {}", order.join(", ")));
    lab.expect_no_problems()
}

fn step(lab: &mut Lab, random: &mut Random, history: &mut History) -> Result<(), Failure> {
    match random.below(8) {
        0 | 1 => {
            history.note("copy");
            copy(lab, random)
        }
        2 | 3 => {
            let act = random.below(4);
            history.note(format!("copy under way, then {}", ACTS[act as usize]));
            copy_while(lab, random, act)
        }
        4 => {
            history.note("rebalance");
            engines(lab)?.first().map_or(Ok(()), |engine| rebalance(lab, *engine))
        }
        5 => {
            history.note("sleep and wake");
            sleep(lab, random)
        }
        6 => {
            history.note("remove and start an engine");
            engines(lab)?.first().map_or(Ok(()), |engine| remove_and_start(lab, *engine))
        }
        _ => {
            history.note("remove and make the client's device");
            recreate_client(lab)
        }
    }
}

const ACTS: [&str; 4] = ["rebalance", "sleep and wake", "surprise removal", "close the file"];

/// The started engines.
fn engines(lab: &mut Lab) -> Result<Vec<DevnodeId>, Failure> {
    let started = lab
        .devices()?
        .into_iter()
        .filter(|device| device.location.is_some() && device.state == State::Started);
    Ok(started.map(|device| device.id).collect())
}

/// Copies and verifies, when there is an engine to do it.
fn copy(lab: &mut Lab, random: &mut Random) -> Result<(), Failure> {
    if engines(lab)?.is_empty() {
        return Ok(());
    }
    let client = lab.open()?;
    let channel = client.open_channel(lab, ANY_CHANNEL)?;
    let bytes = 1 + random.below(60_000) as usize;
    client.copy_verified(lab, channel.number, bytes, random.next())?;
    client.close(lab)
}

/// Begins a copy, then something happens to its engine. The copy ends one way or the other; one that says it is done is.
fn copy_while(lab: &mut Lab, random: &mut Random, act: u64) -> Result<(), Failure> {
    let Some(engine) = engines(lab)?.first().copied() else { return Ok(()) };
    let client = lab.open()?;
    let channel = client.open_channel(lab, ANY_CHANNEL)?;
    let data: Vec<u8> = (0..30_000).map(|_| random.next() as u8).collect();
    let batch = Batch::plan(&data, random);
    let buffer = lab.buffer(BUFFER)?;
    lab.fill(buffer, &batch.before)?;
    let copying = client.copy(lab, channel.number, buffer, &batch.request())?;
    if act == 3 {
        let _ended = client.close_while(lab, copying);
        return lab.free(buffer);
    }
    match act {
        0 => rebalance(lab, engine)?,
        1 => sleep(lab, random)?,
        _ => surprise(lab, engine)?,
    }
    let outcome = client.finish(lab, copying);
    let after = lab.contents(buffer)?;
    lab.free(buffer)?;
    client.close(lab)?;
    match outcome {
        Ok(()) => batch.check(&after).map_err(|wrong| Failure::Other(wrong.to_string())),
        Err(Failure::Request { .. }) => Ok(()),
        Err(other) => Err(other),
    }
}

fn rebalance(lab: &mut Lab, engine: DevnodeId) -> Result<(), Failure> {
    lab.run(|k| k.rebalance(engine))?.map_err(|error| Failure::Other(error.to_string()))?;
    lab.expect_no_problems()
}

fn sleep(lab: &mut Lab, random: &mut Random) -> Result<(), Failure> {
    let kind = if random.below(2) == 0 { Sleep::Standby } else { Sleep::Hibernate };
    lab.run(|k| k.sleep(kind))?.map_err(|error| Failure::Other(error.to_string()))?;
    lab.run(|k| k.wake_up())?;
    lab.expect_no_problems()
}

fn remove_and_start(lab: &mut Lab, engine: DevnodeId) -> Result<(), Failure> {
    lab.run(|k| k.remove_device(engine))?.map_err(|error| Failure::Other(error.to_string()))?;
    lab.run(|k| k.start_device(engine))?;
    lab.expect_no_problems()
}

/// The engine is pulled; another function takes its place.
fn surprise(lab: &mut Lab, engine: DevnodeId) -> Result<(), Failure> {
    lab.run(|k| k.surprise_remove(engine))?.map_err(|error| Failure::Other(error.to_string()))
}

fn recreate_client(lab: &mut Lab) -> Result<(), Failure> {
    let clients = lab.devices()?.into_iter().filter(|device| device.location.is_none());
    for device in clients.collect::<Vec<_>>() {
        lab.run(|k| k.remove_device(device.id))?.map_err(|error| Failure::Other(error.to_string()))?;
    }
    lab.run(|k| k.create_root_device(CLIENT_DEVICE))?;
    lab.expect_no_problems()
}
