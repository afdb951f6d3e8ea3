//! The engines and their channels, as ioatdma.sys reports them.

use ioat_regs::ChanErr;
use ioat_regs::device::Device;
use netdma_ioctl::Wire;
use netdma_ioctl::engine::{
    self, Channel, Engine, INTERFACE, INTERRUPTS_NONE, INTERRUPTS_PER_CHANNEL, INTERRUPTS_SHARED,
    MAX_CHANNELS, NOWHERE, REPORT, STATE_ASLEEP, STATE_GONE, STATE_STOPPED, STATE_WORKING,
};
use serde_json::{Value, json};

use crate::transport::{Refusal, Transport, Trouble};

/// One engine with its channels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineReport {
    /// The engine.
    pub engine: Engine,
    /// Its channels; none while it has no resources.
    pub channels: Vec<Channel>,
}

/// Every engine, in the order of its place on the bus.
///
/// # Errors
/// There is none, or one refuses to be asked.
pub fn read_all(transport: &mut dyn Transport) -> Result<Vec<EngineReport>, Trouble> {
    let found = read_any(transport)?;
    if found.is_empty() {
        return Err(Trouble::new(
            "no engine is driven by ioatdma.sys: install netdma.inf, then ioatdma.inf; if they are installed, Device \
             Manager shows the engine's problem code (docs/installing.md)",
        ));
    }
    Ok(found)
}

/// As [`read_all`], and none is no error.
///
/// # Errors
/// One refuses to be asked.
pub fn read_any(transport: &mut dyn Transport) -> Result<Vec<EngineReport>, Trouble> {
    let names =
        transport.devices(INTERFACE).map_err(|refusal| Trouble::refused("looking for engines", refusal))?;
    let mut found = Vec::new();
    for name in names {
        match read(transport, &name) {
            Ok(report) => found.push(report),
            // It left between being listed and being asked.
            Err(Refusal::NotFound) => {}
            Err(refusal) => return Err(Trouble::refused(format!("asking the engine {name}"), refusal)),
        }
    }
    found.sort_by_key(|report| report.engine.location);
    Ok(found)
}

fn read(transport: &mut dyn Transport, name: &str) -> Result<EngineReport, Refusal> {
    let handle = transport.open(name)?;
    let mut room = vec![0; Engine::SIZE + MAX_CHANNELS as usize * Channel::SIZE];
    let answer = transport.control(handle, REPORT, &[], &mut room);
    transport.close(handle);
    let bytes = room.get(..answer?.bytes).unwrap_or_default();
    let engine = Engine::from_bytes(bytes).ok_or(Refusal::Malformed)?;
    let channels = bytes.get(Engine::SIZE..).unwrap_or_default();
    let channels = channels.chunks_exact(Channel::SIZE).filter_map(Channel::from_bytes).collect();
    Ok(EngineReport { engine, channels })
}

impl EngineReport {
    /// Bus, device and function, as `00:04.0`.
    #[must_use]
    pub fn place(&self) -> String {
        let location = self.engine.location;
        format!("{:02x}:{:02x}.{}", location >> 8 & 0xFF, location >> 3 & 0x1F, location & 7)
    }

    /// The PCI id, as `8086:6f20`.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{:04x}:{:04x}", self.engine.id >> 16, self.engine.id & 0xFFFF)
    }

    /// The product line.
    #[must_use]
    pub fn platform(&self) -> &'static str {
        Device::find((self.engine.id >> 16) as u16, self.engine.id as u16)
            .map_or("unknown", |device| device.platform.name)
    }

    /// The state's name.
    #[must_use]
    pub const fn state(&self) -> &'static str {
        match self.engine.state {
            STATE_STOPPED => "stopped",
            STATE_WORKING => "working",
            STATE_ASLEEP => "asleep",
            STATE_GONE => "gone",
            _ => "unknown",
        }
    }

    /// How it interrupts.
    #[must_use]
    pub const fn interrupts(&self) -> &'static str {
        match self.engine.interrupts {
            INTERRUPTS_NONE => "none",
            INTERRUPTS_SHARED => "shared",
            INTERRUPTS_PER_CHANNEL => "one per channel",
            _ => "unknown",
        }
    }

    /// Everything, for `--json`; `number` is the engine's in `list`.
    #[must_use]
    pub fn to_json(&self, number: usize) -> Value {
        let channels: Vec<Value> =
            self.channels.iter().map(|channel| channel_json(number, channel)).collect();
        json!({
            "engine": number,
            "place": self.place(),
            "id": self.id(),
            "platform": self.platform(),
            "driver_version": driver_version(self.engine.driver_version),
            "interface_version": version(self.engine.interface_version),
            "netdma_version": version(self.engine.version),
            "hardware_version": version(self.engine.hardware_version),
            "state": self.state(),
            "interrupts": self.interrupts(),
            "largest_copy": self.engine.maximum_transfer,
            "channels": channels,
        })
    }
}

fn channel_json(engine: usize, channel: &Channel) -> Value {
    let errors: Vec<&str> = ChanErr(channel.last_errors).bits().map(|bit| bit.name).collect();
    json!({
        "channel": format!("{engine}.{}", channel.number),
        "state": engine::state_name(channel.state),
        "in_use": channel.allocated != 0,
        "message_processor": processor(channel.message_processor),
        "report_processor": processor(channel.report_processor),
        "interrupts": channel.interrupts,
        "completions": channel.completions,
        "halts": channel.halts,
        "last_errors": errors,
        "recovered": channel.recovered,
        "late_stops": channel.late_stops,
    })
}

/// A processor's index, if it is one.
#[must_use]
pub const fn processor(index: u32) -> Option<u32> {
    if index == NOWHERE { None } else { Some(index) }
}

/// `major << 16 | minor` as `2.1`.
#[must_use]
pub fn version(version: u32) -> String {
    format!("{}.{}", version >> 16, version & 0xFFFF)
}

/// `major << 16 | minor << 8 | patch` as `0.1.0`.
#[must_use]
pub fn driver_version(version: u32) -> String {
    format!("{}.{}.{}", version >> 16, version >> 8 & 0xFF, version & 0xFF)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::{Answer, Handle};
    use netdma_ioctl::Guid;
    use std::time::Duration;

    /// A machine that lists two engines; what it says when they are opened is given.
    struct Two([Option<Refusal>; 2]);

    impl Transport for Two {
        fn devices(&mut self, _class: Guid) -> Result<Vec<String>, Refusal> {
            Ok(vec!["0".into(), "1".into()])
        }

        fn open(&mut self, device: &str) -> Result<Handle, Refusal> {
            let number = usize::from(device != "0");
            self.0[number].map_or(Ok(Handle(number)), Err)
        }

        fn close(&mut self, _handle: Handle) {}

        fn control(
            &mut self,
            _handle: Handle,
            code: u32,
            _input: &[u8],
            output: &mut [u8],
        ) -> Result<Answer, Refusal> {
            assert_eq!(code, REPORT);
            output[..Engine::SIZE].fill(0);
            Ok(Answer { bytes: Engine::SIZE, took: Duration::ZERO })
        }

        fn wait(&mut self, _time: Duration) {}

        fn add_test_device(&mut self) -> Result<String, Trouble> {
            Err(Trouble::new("not asked for"))
        }

        fn remove_test_device(&mut self) -> Result<String, Trouble> {
            Err(Trouble::new("not asked for"))
        }
    }

    #[test]
    fn an_engine_that_leaves_after_it_was_listed_is_left_out() {
        assert_eq!(read_any(&mut Two([Some(Refusal::NotFound), None])).map(|found| found.len()), Ok(1));
        assert_eq!(read_any(&mut Two([None, None])).map(|found| found.len()), Ok(2));
    }

    #[test]
    fn an_engine_that_refuses_is_named() {
        let refused = read_any(&mut Two([None, Some(Refusal::AccessDenied)]));
        assert!(refused.is_err_and(|trouble| trouble.to_string().contains("asking the engine 1")));
    }
}
