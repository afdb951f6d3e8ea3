//! A life of a machine with the three drivers, as chance decides it, from power-on to shutdown.
//!
//! Installing, loading, copying, a rebalance, sleep and wake, and a removal are in every life; what else happens, in
//! which order and with what under way, the seed decides. A life is good when nothing stops the machine, every copy that
//! claims success is right, and nothing is left behind.

use std::collections::BTreeSet;

use ioat_model::{FaultPlan, Options};
use nthost::pnp::{DevnodeId, Query, Sleep, State};
use nthost::random::Random;

use crate::client::ANY_CHANNEL;
use crate::lab::{CLIENT_DEVICE, ENGINE, Failure, Lab, PACKAGES, Setup};
use netdmactl::pieces::{BUFFER, Batch};

/// What every life has.
pub const ALWAYS: [Event; 6] =
    [Event::Install, Event::Load, Event::Copy, Event::Rebalance, Event::SleepAndWake, Event::Removal];

/// Steps beyond those that every life has.
const MORE: usize = 8;

/// Something that happens in a life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    /// The three packages are installed, in one of the orders that can work.
    Install,
    /// The three images are loaded and their devices work.
    Load,
    /// A copy, each byte checked.
    Copy,
    /// A copy with something else happening to its engine, its file or the machine.
    CopyAndMore,
    /// An engine is stopped and started.
    Rebalance,
    /// An engine is stopped and started with fewer messages, a line, or all messages again.
    RebalanceWithOtherInterrupts,
    /// The machine sleeps and wakes.
    SleepAndWake,
    /// An engine is removed in order and started again.
    Removal,
    /// An engine is asked whether it may be stopped or removed, and then is not.
    QueryAndCancel,
    /// An engine is pulled while the machine sleeps.
    PulledAsleep,
    /// An engine is pulled while the machine falls asleep.
    PulledOnTheWayToSleep,
    /// Another engine is plugged in and fails its self-test.
    FailedStart,
    /// The test client's device is removed and made again.
    NewClient,
}

const ANY: [Event; 11] = [
    Event::Copy,
    Event::CopyAndMore,
    Event::CopyAndMore,
    Event::RebalanceWithOtherInterrupts,
    Event::SleepAndWake,
    Event::Removal,
    Event::QueryAndCancel,
    Event::PulledAsleep,
    Event::PulledOnTheWayToSleep,
    Event::FailedStart,
    Event::NewClient,
];

/// What a life was.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Life {
    /// What happened, in order.
    pub events: Vec<Event>,
    /// A hash over the machine's history: equal lives have equal ones.
    pub trace: u64,
    /// Calls of the kernel by drivers.
    pub calls: u64,
}

impl Life {
    /// What happened, each once.
    #[must_use]
    pub fn kinds(&self) -> BTreeSet<Event> {
        self.events.iter().copied().collect()
    }
}

/// A life that ended badly.
#[derive(Debug)]
pub struct Death {
    /// What had happened; the last one is what it died of.
    pub events: Vec<Event>,
    /// Why.
    pub failure: Failure,
}

/// Lives the life of `seed`.
///
/// # Errors
/// What went wrong, and after what.
pub fn live(seed: u64) -> Result<Life, Death> {
    let mut living = Living { random: Random::new(seed), plugged: 0, life: Life::default() };
    match living.live(seed) {
        Ok(()) => Ok(living.life),
        Err(failure) => Err(Death { events: living.life.events, failure }),
    }
}

struct Living {
    random: Random,
    /// Engines plugged in so far.
    plugged: u8,
    life: Life,
}

impl Living {
    fn live(&mut self, seed: u64) -> Result<(), Failure> {
        let engines = 1 + self.below(2);
        let mut setup = Setup::new(engines as usize)?;
        self.plugged = engines as u8;
        setup.seed = seed;
        setup.cpus = 1 + self.below(3) as u32;
        setup.remapping = self.below(4) == 0;
        let mut lab = setup.power_on()?;
        self.install(&mut lab)?;
        for event in self.plan() {
            self.life.events.push(event);
            self.step(&mut lab, event)?;
            lab.expect_no_problems()?;
        }
        self.life.trace = lab.machine.trace_hash();
        self.life.calls = lab.machine.calls();
        let left = lab.shut_down()?;
        if left.is_empty() { Ok(()) } else { Err(Failure::Other(format!("left behind: {left:?}"))) }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.random.below(bound)
    }

    /// What every life has and as much again, in an order of chance.
    fn plan(&mut self) -> Vec<Event> {
        let mut plan = vec![Event::Copy, Event::Rebalance, Event::SleepAndWake, Event::Removal];
        for _ in 0..MORE {
            plan.push(ANY[self.below(ANY.len() as u64) as usize]);
        }
        for last in (1..plan.len()).rev() {
            let other = self.below(last as u64 + 1) as usize;
            plan.swap(last, other);
        }
        plan
    }

    /// The packages in an order that can work (the interface first), with messages, one message, or a line.
    fn install(&mut self, lab: &mut Lab) -> Result<(), Failure> {
        self.life.events.push(Event::Install);
        self.limit_messages(lab)?;
        lab.add_client_device()?;
        lab.install(PACKAGES[0])?;
        let others = if self.below(2) == 0 { [PACKAGES[1], PACKAGES[2]] } else { [PACKAGES[2], PACKAGES[1]] };
        for package in others {
            lab.install(package)?;
        }
        lab.expect_no_problems()?;
        self.life.events.push(Event::Load);
        let images = lab.run(|k| k.images().len())?;
        if images == PACKAGES.len() {
            Ok(())
        } else {
            Err(Failure::Other(format!("{images} images are loaded, not {}", PACKAGES.len())))
        }
    }

    fn limit_messages(&mut self, lab: &mut Lab) -> Result<(), Failure> {
        let limit = [Some(0), Some(1), None][self.below(3) as usize];
        lab.run(|k| k.limit_messages(limit))
    }

    fn step(&mut self, lab: &mut Lab, event: Event) -> Result<(), Failure> {
        let engine = self.an_engine(lab)?;
        match event {
            Event::Install | Event::Load => Ok(()),
            Event::Copy => self.copy(lab),
            Event::CopyAndMore => self.copy_and_more(lab, engine),
            Event::Rebalance => rebalance(lab, engine),
            Event::RebalanceWithOtherInterrupts => {
                self.limit_messages(lab)?;
                rebalance(lab, engine)
            }
            Event::SleepAndWake => self.sleep_and_wake(lab),
            Event::Removal => remove_and_start(lab, engine),
            Event::QueryAndCancel => self.query_and_cancel(lab, engine),
            Event::PulledAsleep => self.pull_asleep(lab, engine),
            Event::PulledOnTheWayToSleep => self.pull_on_the_way_to_sleep(lab, engine),
            Event::FailedStart => self.failed_start(lab),
            Event::NewClient => new_client(lab),
        }
    }

    /// A started engine; another one takes the place of the last that was pulled.
    fn an_engine(&mut self, lab: &mut Lab) -> Result<DevnodeId, Failure> {
        let started =
            |device: &nthost::pnp::DeviceReport| device.location.is_some() && device.state == State::Started;
        if let Some(engine) = lab.devices()?.into_iter().find(started) {
            return Ok(engine.id);
        }
        let engine = self.plug(lab, FaultPlan::default())?;
        lab.expect_no_problems()?;
        Ok(engine)
    }

    fn plug(&mut self, lab: &mut Lab, faults: FaultPlan) -> Result<DevnodeId, Failure> {
        let (vendor, device) = ENGINE;
        // One of the eight functions of the device.
        let mut options = Options::function_of(vendor, device, self.plugged % 8)?;
        options.faults = faults;
        self.plugged = self.plugged.wrapping_add(1);
        lab.plug(format!("engine {}", self.plugged), options)
    }

    fn copy(&mut self, lab: &mut Lab) -> Result<(), Failure> {
        let client = lab.open()?;
        let channel = client.open_channel(lab, ANY_CHANNEL)?;
        let bytes = 1 + self.below(60_000) as usize;
        client.copy_verified(lab, channel.number, bytes, self.random.next())?;
        client.close(lab)
    }

    /// Begins a copy, then something happens. The copy ends one way or the other; one that says it is done is.
    fn copy_and_more(&mut self, lab: &mut Lab, engine: DevnodeId) -> Result<(), Failure> {
        let client = lab.open()?;
        let channel = client.open_channel(lab, ANY_CHANNEL)?;
        let data: Vec<u8> = (0..30_000).map(|_| self.random.next() as u8).collect();
        let batch = Batch::plan(&data, &mut || self.random.next());
        let buffer = lab.buffer(BUFFER)?;
        lab.fill(buffer, &batch.before)?;
        let copying = client.copy(lab, channel.number, buffer, &batch.request())?;
        match self.below(5) {
            0 => rebalance(lab, engine)?,
            1 => self.sleep_and_wake(lab)?,
            2 => pull(lab, engine)?,
            3 => self.query_and_cancel(lab, engine)?,
            _ => {
                let _ended = client.close_while(lab, copying);
                return lab.free(buffer);
            }
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

    fn sleep(&mut self) -> Sleep {
        if self.below(2) == 0 { Sleep::Standby } else { Sleep::Hibernate }
    }

    fn sleep_and_wake(&mut self, lab: &mut Lab) -> Result<(), Failure> {
        let kind = self.sleep();
        lab.run(|k| k.sleep(kind))?.map_err(other)?;
        lab.run(|k| k.wake_up())?;
        lab.expect_no_problems()
    }

    fn query_and_cancel(&mut self, lab: &mut Lab, engine: DevnodeId) -> Result<(), Failure> {
        let query = if self.below(2) == 0 { Query::Stop } else { Query::Remove };
        lab.run(|k| k.query_and_cancel(engine, query))?.map_err(other)
    }

    fn pull_asleep(&mut self, lab: &mut Lab, engine: DevnodeId) -> Result<(), Failure> {
        let kind = self.sleep();
        lab.run(|k| k.sleep(kind))?.map_err(other)?;
        pull(lab, engine)?;
        lab.run(|k| k.wake_up())
    }

    /// One thread sends the power packets, another one, a little later, the surprise removal.
    fn pull_on_the_way_to_sleep(&mut self, lab: &mut Lab, engine: DevnodeId) -> Result<(), Failure> {
        let (kind, later) = (self.sleep(), self.below(40));
        let pulled = lab.run(|k| {
            let sleeper = k.spawn("power manager", 0, Box::new(move |k| drop(k.sleep(kind))));
            (0..later).for_each(|_| k.switch_point());
            let pulled = k.surprise_remove(engine);
            k.join(sleeper);
            k.wake_up();
            pulled
        })?;
        pulled.map_err(other)
    }

    /// The first copy of an engine is its driver's self-test.
    fn failed_start(&mut self, lab: &mut Lab) -> Result<(), Failure> {
        let plan = "skip-copy copy=1".parse().map_err(|bad: ioat_model::BadFault| other(bad))?;
        let broken = self.plug(lab, plan)?;
        match lab.run(|k| k.device(broken))? {
            Some(device) if device.problem.as_ref().is_some_and(|problem| problem.code() == 10) => {}
            device => {
                return Err(Failure::Other(format!("an engine that cannot copy was started: {device:?}")));
            }
        }
        pull(lab, broken)
    }
}

fn other(error: impl std::fmt::Display) -> Failure {
    Failure::Other(error.to_string())
}

fn rebalance(lab: &mut Lab, engine: DevnodeId) -> Result<(), Failure> {
    lab.run(|k| k.rebalance(engine))?.map_err(other)?;
    lab.expect_no_problems()
}

fn remove_and_start(lab: &mut Lab, engine: DevnodeId) -> Result<(), Failure> {
    lab.run(|k| k.remove_device(engine))?.map_err(other)?;
    lab.run(|k| k.start_device(engine))
}

/// The engine is pulled without warning.
fn pull(lab: &mut Lab, engine: DevnodeId) -> Result<(), Failure> {
    lab.run(|k| k.surprise_remove(engine))?.map_err(other)
}

fn new_client(lab: &mut Lab) -> Result<(), Failure> {
    let clients = lab.devices()?.into_iter().filter(|device| device.location.is_none());
    for device in clients.collect::<Vec<_>>() {
        lab.run(|k| k.remove_device(device.id))?.map_err(other)?;
    }
    lab.run(|k| k.create_root_device(CLIENT_DEVICE)).map(drop)
}
