//! A short life is lived again and again, and each time the engine is pulled out one switch point later: before or after
//! any kernel call and any register access that a driver makes, in single-step mode behind any instruction.
//!
//! Whatever was under way ends, a copy that claims success is right, nothing stops, nothing is left behind, and the engine
//! that is plugged in next works.
#![forbid(unsafe_code)]

mod provider;

use ioat_model::Options;
use machine::client::ANY_CHANNEL;
use machine::lab::{ENGINE, Failure, Lab, PACKAGES, Setup};
use nthost::pnp::{DevnodeId, Sleep, State};
use proof::proves;
use provider::nothing_left;

/// How many of the points are tried, spread evenly: as many as NETDMA_SWEEP says, or so many that a test run does not notice.
fn tried(few: u64) -> u64 {
    std::env::var("NETDMA_SWEEP").ok().and_then(|text| text.parse().ok()).unwrap_or(few)
}

/// A machine in which the engine may be gone, and whether the system has learned of it.
struct Life {
    lab: Lab,
    engine: DevnodeId,
    vanishes: u64,
    told: bool,
}

impl Life {
    /// The system learns of a removal that has happened.
    fn learn(&mut self) -> Result<(), Failure> {
        let (engine, vanishes) = (self.engine, self.vanishes);
        if !self.told && vanishes != 0 && self.lab.run(|k| k.switch_points())? >= vanishes {
            // Windows itself removes a device that failed to power up.
            let there = self.lab.run(|k| k.device(engine))?.is_some_and(|device| device.state != State::Gone);
            if there {
                provider::vetoed(self.lab.run(|k| k.surprise_remove(engine))?)?;
            }
            self.told = true;
        }
        Ok(())
    }

    /// A copy that may fail only if the engine is or goes away.
    fn copy(&mut self) -> Result<(), Failure> {
        let client = self.lab.open()?;
        let outcome = match client.open_channel(&mut self.lab, ANY_CHANNEL) {
            Ok(channel) => {
                let copying = client.begin_verified(&mut self.lab, channel.number, 12_000, 1)?;
                self.learn()?;
                client.end_verified(&mut self.lab, copying).map(drop)
            }
            Err(failure) => Err(failure),
        };
        client.close(&mut self.lab)?;
        self.learn()?;
        match outcome {
            Err(Failure::Request { .. }) if self.told => Ok(()),
            other => other,
        }
    }
}

/// Install, start, copy, sleep, wake, copy, remove, with the engine gone at this switch point (0: never); how many there were.
fn life(setup: &Setup, vanishes: u64) -> Result<u64, Failure> {
    let mut lab = setup.power_on()?;
    let engine = lab.engine_device(0)?.id;
    provider::vetoed(lab.run(|k| k.vanish_at(engine, vanishes))?)?;
    let mut life = Life { lab, engine, vanishes, told: false };
    life.lab.add_client_device()?;
    for package in PACKAGES {
        life.lab.install(package)?;
        life.learn()?;
    }
    life.copy()?;
    let slept = life.lab.run(|k| k.sleep(Sleep::Standby))?;
    life.lab.run(|k| k.wake_up())?;
    life.lab.machine.until_idle()?;
    life.learn()?;
    assert!(slept.is_ok() || life.told, "{slept:?}");
    life.copy()?;
    if !life.told {
        provider::vetoed(life.lab.run(|k| k.remove_device(engine))?)?;
    }
    let points = life.lab.run(|k| k.switch_points())?;
    life.learn()?;
    // Whoever is plugged in next works.
    life.vanishes = 0;
    life.told = false;
    life.lab.plug("the next".into(), Options::new(ENGINE.0, ENGINE.1)?)?;
    life.copy()?;
    nothing_left(life.lab)?;
    Ok(points)
}

/// Lives as often as asked, the removal at points spread over the whole life; names every point that went wrong.
fn sweep(setup: &Setup, few: u64) -> Result<(), Failure> {
    let device = setup.engines[0].device.device;
    let points = life(setup, 0)?;
    let tried = tried(few).clamp(1, points);
    println!("{device:04x}: {tried} of {points} switch points");
    let mut wrong = Vec::new();
    for number in 0..tried {
        // The middle of each share of the life.
        let point = 1 + (number * points + points / 2) / tried;
        if let Err(failure) = life(setup, point) {
            wrong.push(format!("switch point {point} of {points}: {failure}"));
        }
    }
    proves!(image: H36, R82; assert!(wrong.is_empty(), "{device:04x}: {} of {tried}:\n{}", wrong.len(), wrong.join("\n")));
    Ok(())
}

/// A machine with one engine of this id.
fn setup(device: u16) -> Setup {
    Setup { memory: 64 << 20, ..provider::setup(device, |options| options.d3_loses_state = true) }
}

#[test]
fn an_engine_may_go_at_any_kernel_call_or_register_access() -> Result<(), Failure> {
    // One channel; four in one function, driven by commands and by a counter; the latest.
    for (device, few) in [(0x6F20, 40), (0x1A38, 15), (0x402F, 15), (0x0B00, 15)] {
        sweep(&setup(device), few)?;
    }
    Ok(())
}

#[test]
fn an_engine_may_go_at_any_instruction() -> Result<(), Failure> {
    sweep(&Setup { single_step: true, ..setup(0x6F20) }, 2)
}
