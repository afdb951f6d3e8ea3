//! The KMDF device: registers, starts, stops, takes commands of tests.

use netdma_abi::{NotificationCode, PhysicalAddress, ProviderAttributes, ProviderHandle, Version};
use netdmasoft_control::{
    CHANNEL_WORDS, CHANNELS, COMMAND, COMMAND_SIZE, Command, HISTORY, INTERFACE, Setup, mode, put, take,
};
use nt::irql::Passive;
use nt::mutex::Mutex;
use nt::object;
use nt::pool::{Arc, Array};
use nt::string::Wide;
use nt::wdf::{Device, DeviceControl, DeviceHandle, DeviceInit, PowerState, Request, Served};
use nt::{Result, Status, sys};

use crate::TAG;
use crate::engine::Engine;
use crate::lane::Core;
use crate::work::Step;
use crate::{entry_points, netdma};

/// Who may open the device: the system and administrators.
const SDDL: [u16; 27] = nt::string::widen("D:P(A;;GA;;;SY)(A;;GA;;;BA)");

const CLASS: sys::GUID =
    sys::GUID { Data1: INTERFACE.0, Data2: INTERFACE.1, Data3: INTERFACE.2, Data4: INTERFACE.3 };

/// The device.
pub struct SoftDevice {
    engine: Arc<Engine>,
    pdo: object::Device,
    registration: Mutex<Registration>,
}

/// What the interface knows of us.
struct Registration {
    provider: Option<ProviderHandle>,
    started: bool,
}

nt::wdf_context!(SoftDevice);

impl SoftDevice {
    // guide: add
    /// EvtDriverDeviceAdd: makes the device, then registers. What fails afterwards would have to deregister.
    ///
    /// # Errors
    /// What the framework or the interface reports.
    pub fn add(mut init: DeviceInit<'_>, version: u32, irql: &mut Passive) -> Result {
        init.secure(sys::FILE_DEVICE_UNKNOWN, Wide::new(&SDDL), irql)?;
        let device = init.create(irql, |device, irql| {
            let setup = Setup { version, flags: 0, absent: 0, mode: 0 };
            let registration = Registration { provider: None, started: false };
            Ok(Self {
                engine: Engine::new(setup, irql)?,
                pdo: device.physical_device()?,
                registration: Mutex::new(registration),
            })
        })?;
        device.serve_requests(Served::WhileWorking, irql)?;
        device.create_interface(&CLASS, irql)?;
        device.value()?.register(irql)
    }
    // guide: end

    #[allow(unsafe_code, reason = "the engine becomes the provider context of netdma.sys")]
    fn register(&self, irql: &mut Passive) -> Result {
        let version = Version(self.engine.behaviour.setup().version);
        // A provider registers with a version that the interface knows (R16).
        if version > netdma::version(irql) {
            return Err(Status::NOT_SUPPORTED);
        }
        let mut table = entry_points::characteristics(&self.engine, &self.pdo);
        // SAFETY: the device keeps the engine, and its cleanup deregisters before it goes.
        let provider = unsafe { netdma::register(&raw const *self.engine, &mut table, irql) }?;
        self.registration.lock(irql).provider = Some(provider);
        Ok(())
    }

    // guide: attributes
    fn attributes() -> ProviderAttributes {
        ProviderAttributes {
            major_hw_version: 1,
            minor_hw_version: 0,
            size: size_of::<ProviderAttributes>() as u16,
            flags: 0,
            vendor_id: 0,
            dma_channel_count: CHANNELS,
            maximum_transfer_size: 1 << 20,
            maximum_address_space: PhysicalAddress(u64::MAX),
        }
    }
    // guide: end

    /// Offers the channels, or says that the power is back. No lock is held: entry points may be called meanwhile.
    fn begin(&self, irql: &mut Passive) {
        let mut registration = self.registration.lock(irql);
        let (Some(provider), was_started) = (registration.provider, registration.started) else { return };
        registration.started = true;
        drop(registration);
        if was_started {
            netdma::power(provider, NotificationCode::ProviderPowerUp, irql);
        } else {
            netdma::start(provider, Self::attributes(), irql);
        }
    }

    /// Takes the channels back. The interface waits for their work, so no lock is held.
    fn end(&self, irql: &mut Passive) {
        let mut registration = self.registration.lock(irql);
        registration.started = false;
        let provider = registration.provider;
        drop(registration);
        if let Some(provider) = provider {
            netdma::stop(provider, irql);
        }
    }

    fn deregister(&self, irql: &mut Passive) {
        let mut registration = self.registration.lock(irql);
        let provider = registration.provider.take();
        registration.started = false;
        drop(registration);
        if let Some(provider) = provider {
            netdma::deregister(provider, irql);
        }
    }
}

// guide: power
impl Device for SoftDevice {
    fn d0_entry(&self, _device: DeviceHandle<'_, Self>, _previous: PowerState, irql: &mut Passive) -> Result {
        self.begin(irql);
        Ok(())
    }

    fn d0_exit(&self, _device: DeviceHandle<'_, Self>, target: PowerState, irql: &mut Passive) -> Result {
        let registration = self.registration.lock(irql);
        let (provider, started) = (registration.provider, registration.started);
        drop(registration);
        if target == PowerState::D3Final {
            self.end(irql);
        } else if let (true, Some(provider)) = (started, provider) {
            netdma::power(provider, NotificationCode::ProviderPowerDown, irql);
        }
        Ok(())
    }

    fn cleanup(&self, irql: &mut Passive) {
        if self.engine.behaviour.setup().mode & mode::FORGET == 0 {
            self.deregister(irql);
        }
    }
}
// guide: end

impl DeviceControl for SoftDevice {
    fn device_control(&self, request: Request, code: u32, irql: &mut Passive) {
        let answer = match code {
            COMMAND => self.command(&request, irql),
            _ => Err(Status::INVALID_DEVICE_REQUEST),
        };
        request.complete(answer);
    }
}

/// Numbers of the longest answer.
const ANSWER: usize = if CHANNEL_WORDS > HISTORY { CHANNEL_WORDS } else { HISTORY };

impl SoftDevice {
    /// The answer is as many numbers as there are; how many bytes they have.
    fn command(&self, request: &Request, irql: &mut Passive) -> Result<usize> {
        let mut input = [0; COMMAND_SIZE];
        request.read_input(&mut input)?;
        let mut words = [0; 4];
        take(&input, &mut words);
        let command = Command::from_words(words).ok_or(Status::INVALID_PARAMETER)?;
        let mut answer = [0; ANSWER];
        let count = self.obey(command, &mut answer, irql)?;
        let length = count.checked_mul(size_of::<u64>()).ok_or(Status::INTEGER_OVERFLOW)?;
        // In the pool: the numbers are half a page of stack already.
        let mut bytes = Array::new(TAG, length, |_| 0_u8)?;
        put(&answer, &mut bytes);
        request.write_output(&bytes)?;
        Ok(length)
    }

    fn lane(&self, channel: u32) -> Result<&Arc<Core>> {
        self.engine.lanes.get(channel as usize).map(|lane| &lane.core).ok_or(Status::INVALID_PARAMETER)
    }

    /// Does what a test wants; how many numbers are answered.
    fn obey(&self, command: Command, answer: &mut [u64; ANSWER], irql: &mut Passive) -> Result<usize> {
        let [first, ..] = answer;
        match command {
            Command::Setup(setup) => {
                self.deregister(irql);
                self.engine.behaviour.set(setup);
                let registered = self.register(irql);
                *first = Status::from(registered).code().cast_unsigned().into();
                self.begin(irql);
                return Ok(1);
            }
            Command::Fail { entry, count, status } => self.engine.behaviour.fail(entry, count, status),
            Command::Step { channel, count } => {
                let lane = self.lane(channel)?;
                for _ in 0..count {
                    if !matches!(lane.step(irql), Step::Done { .. }) {
                        break;
                    }
                    *first = first.wrapping_add(1);
                }
                return Ok(1);
            }
            Command::Report { channel } => {
                self.lane(channel)?.report(None);
                nt::dpc::flush(irql);
            }
            Command::Halt { channel } => {
                let lane = self.lane(channel)?;
                lane.halt(irql);
                lane.report(Some(0));
                nt::dpc::flush(irql);
            }
            Command::Ask { channel } => {
                self.lane(channel)?.report(Some(0));
                nt::dpc::flush(irql);
            }
            Command::Look { channel } => {
                let words = self.lane(channel)?.look(irql).to_words();
                for (place, word) in answer.iter_mut().zip(words) {
                    *place = word;
                }
                return Ok(CHANNEL_WORDS);
            }
            Command::Calls => {
                let mut count = 0usize;
                self.engine.behaviour.take_history(irql, |call| {
                    if let Some(place) = answer.get_mut(count) {
                        *place = call.into();
                        count = count.wrapping_add(1);
                    }
                });
                return Ok(count);
            }
            Command::Power { code } => {
                let provider = self.registration.lock(irql).provider.ok_or(Status::DEVICE_NOT_READY)?;
                let code = NotificationCode::from_raw(code).ok_or(Status::INVALID_PARAMETER)?;
                netdma::power(provider, code, irql);
            }
            Command::Stop => self.end(irql),
            Command::Start => self.begin(irql),
        }
        Ok(0)
    }
}
