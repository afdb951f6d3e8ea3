//! The device's life: added, started, in and out of D0, removed.
//!
//! | Callback | Does |
//! |---|---|
//! | EvtDriverDeviceAdd | reads the settings and the PCI id, creates the interrupts, registers with netdma.sys last |
//! | EvtDevicePrepareHardware | maps BAR0, checks that the registers are those that were registered |
//! | EvtDeviceD0Entry | quiesces, resets and programs every channel; needs no interrupt |
//! | EvtDeviceD0EntryPostInterruptsEnabled | self-test, then NetDmaProviderStart, or a power-up notice |
//! | EvtDeviceD0ExitPreInterruptsDisabled | NetDmaProviderStop for good, or a power-down notice; interrupts off |
//! | EvtDeviceD0Exit | waits for the DPCs, resets every channel |
//! | EvtDeviceSurpriseRemoval | has every channel report that it stopped; touches no register |
//! | EvtDeviceReleaseHardware | stops the provider if it still runs; unmaps |
//! | EvtCleanupCallback | deregisters: the only callback that also comes when the device never started |

use core::sync::atomic::{AtomicBool, Ordering};

use ioat_core::identity::{Dialect, ProbeError};
use ioat_core::self_test::{Scratch, ScratchPage, SelfTestError};
use ioat_core::service::{set_delay, set_interrupts};
use ioat_core::settings::{Found, Interrupts, POLL_MS, Settings};
use ioat_core::{BringUpError, Identity, InterruptKind, Registers, Trouble};
use ioat_regs::device::Messages;
use ioat_regs::{channel, config, general, limits};
use netdma_abi::{NotificationCode, PhysicalAddress, ProviderAttributes, ProviderHandle};
use netdma_events::{self as events, BringUp, Event, Hex, Setting, Sink};
use nt::bug_check;
use nt::dma::Adapter;
use nt::irql::Passive;
use nt::mutex::Mutex;
use nt::page::Page;
use nt::pool::Arc;
use nt::processor::Number;
use nt::wdf::{self, DeviceHandle, PowerState, Resource, Resources};
use nt::{Result, Status, mmio, pci};

use crate::engine::Engine;
use crate::interrupt::EngineInterrupt;
use crate::window::Window;
use crate::{TAG, TRACE, entry_points, netdma, report, settings};

/// One PCI function.
pub struct IoatDevice {
    engine: Arc<Engine>,
    config: Arc<pci::Config>,
    settings: Settings,
    /// `None`: there is no NetDMA on this system, and the device is a plain device (R40).
    provider: Option<ProviderHandle>,
    /// Stops the engine before a crash dump is written.
    _crash: bug_check::Callback<Arc<Engine>>,
    phase: Mutex<Phase>,
    /// Set by the surprise removal, which is not ordered against the other callbacks.
    gone: AtomicBool,
    /// In D0, from EvtDeviceD0Entry's end to EvtDeviceD0Exit's beginning; for reports.
    awake: AtomicBool,
}
nt::wdf_context!(IoatDevice);

/// How far the device has come.
struct Phase {
    /// What is known while the device has its registers.
    running: Option<Running>,
    /// NetDmaProviderStart was called, and NetDmaProviderStop was not.
    started: bool,
    /// Of a self-test that failed: an engine that did not come to rest may write there as long as it is told anything.
    scratch: Option<ScratchPages>,
}

/// Memory of the self-test.
struct ScratchPages {
    control: Page,
    source: Page,
    destination: Page,
}

impl ScratchPages {
    fn new() -> Result<Self> {
        Ok(Self { control: Page::new(TAG)?, source: Page::new(TAG)?, destination: Page::new(TAG)? })
    }

    fn scratch(&self) -> Scratch<'_> {
        fn page(page: &Page) -> ScratchPage<'_> {
            ScratchPage { words: page.words(), address: page.physical() }
        }
        Scratch {
            control: page(&self.control),
            source: page(&self.source),
            destination: page(&self.destination),
        }
    }
}

#[derive(Clone)]
struct Running {
    window: Arc<Window>,
    facts: ioat_core::Engine,
    kind: InterruptKind,
    /// The interrupts are messages.
    message: bool,
}

impl IoatDevice {
    /// EvtDriverDeviceAdd.
    ///
    /// # Errors
    /// The device is not one of ours, or something could not be had; nothing stays registered.
    pub fn add(mut init: wdf::DeviceInit<'_>, irql: &mut Passive) -> Result {
        report::secure(&mut init, irql)?;
        init.create(irql, Self::new).map(|_device| ())
    }

    #[allow(unsafe_code, reason = "the engine becomes the provider context of netdma.sys")]
    fn new(device: DeviceHandle<'_, Self>, irql: &mut Passive) -> Result<Self> {
        let location = Hex(device.pci_location(irql).unwrap_or(0).into());
        let failed = |step, status, detail| failed(location, step, status, detail);
        let config = device.pci_config(irql).map_err(|status| failed(BringUp::QueryBus, status, 0))?;
        let config = Arc::new(TAG, config)?;
        let pdo = device.physical_device()?;
        let settings = settings::read(&pdo, location, irql);
        let identity = identify(location, &config, &settings, irql)?;
        let engine = Arc::new(TAG, Engine::new(identity, location, irql)?)?;
        let crash =
            bug_check::Callback::new(TAG, engine.clone(), |engine, irql| engine.halt_for_dump(irql), irql)?;

        // Interrupts come before the registration, whose wishes they are then given (D20).
        let count = match (settings.interrupts, identity.device.platform.messages) {
            (Interrupts::Off, _) => 0,
            (Interrupts::AsAssigned, Messages::Msix { .. }) => identity.max_channels,
            _ => 1,
        };
        let mut interrupts = [None; limits::MAX_CHANNELS as usize];
        for (number, interrupt) in (0..count).zip(interrupts.iter_mut()) {
            let created = device.create_interrupt(EngineInterrupt::new(engine.clone(), number), irql);
            *interrupt =
                Some(created.map_err(|status| failed(BringUp::CreateInterrupts, status, number.into()))?);
        }

        report::publish(device, irql).map_err(|status| failed(BringUp::Publish, status, 0))?;

        let mut characteristics = entry_points::characteristics(&engine, &pdo);
        // SAFETY: the engine is kept by the value made here, whose `cleanup` deregisters before it goes; nothing after
        // this call fails.
        let provider = unsafe { netdma::register(&raw const *engine, &mut characteristics, irql) }
            .map_err(|status| failed(BringUp::Register, status, 0))?;

        for (lane, interrupt) in engine.lanes.iter().zip(interrupts) {
            if let (Some(processor), Some(interrupt)) = (lane.wished(), interrupt) {
                let targeted =
                    Number::from_index(processor).and_then(|number| interrupt.target(number, irql));
                if let Err(status) = targeted {
                    TRACE.write(Event::AffinityRefused {
                        location,
                        channel: lane.number().into(),
                        processor: processor.into(),
                        status: status.into(),
                    });
                }
            }
        }
        Ok(Self {
            engine,
            config,
            settings,
            provider,
            _crash: crash,
            phase: Mutex::new(Phase { running: None, started: false, scratch: None }),
            gone: AtomicBool::new(false),
            awake: AtomicBool::new(false),
        })
    }

    /// What the entry points and interrupts of the device share.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// What the engine said of itself when it was started; `None` while it has no resources.
    pub fn facts(&self, irql: &mut Passive) -> Option<ioat_core::Engine> {
        self.phase.lock(irql).running.as_ref().map(|running| running.facts)
    }

    /// Whether the engine is in D0 and its channels are up.
    pub fn is_awake(&self) -> bool {
        self.awake.load(Ordering::Acquire)
    }

    /// Whether the device left without being asked.
    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    fn running(&self, irql: &mut Passive) -> Result<Running> {
        self.phase.lock(irql).running.clone().ok_or(Status::DEVICE_NOT_READY)
    }

    /// Takes the channels back from the interface, if it has them. It waits for their work (R72), so no lock is held.
    fn stop_provider(&self, irql: &mut Passive) {
        let started = core::mem::take(&mut self.phase.lock(irql).started);
        if let (true, Some(provider)) = (started, self.provider) {
            netdma::stop(provider, irql);
        }
    }

    /// Proves the engine by a copy on each channel. Where that fails, its memory stays until the hardware is released.
    fn self_test(&self, running: &Running, irql: &mut Passive) -> Result {
        let pages = ScratchPages::new()?;
        let result = self.test_channels(running, &pages.scratch(), irql);
        if result.is_err() {
            let before = self.phase.lock(irql).scratch.replace(pages);
            drop(before);
        }
        result
    }

    /// Proves each channel by a copy, and leaves it as bring-up does.
    fn test_channels(&self, running: &Running, scratch: &Scratch<'_>, irql: &mut Passive) -> Result {
        let location = self.engine.location;
        for lane in self.engine.present().iter() {
            if !lane.is_up(irql) {
                continue;
            }
            let channel = u64::from(lane.number());
            let interrupts = running.kind != InterruptKind::None;
            match lane.self_test(scratch, interrupts, irql) {
                Ok(()) => TRACE.write(Event::SelfTestPassed { location, channel }),
                Err(error) => {
                    trace_self_test(location, channel, error);
                    return Err(failed(location, BringUp::SelfTest, Status::IO_DEVICE_ERROR, channel));
                }
            }
        }
        Ok(())
    }

    /// What the engine can do (R57 to R63, R270).
    fn attributes(&self, running: &Running, channels: u32) -> ProviderAttributes {
        let facts = running.facts;
        ProviderAttributes {
            major_hw_version: facts.version.major(),
            minor_hw_version: facts.version.minor(),
            size: size_of::<ProviderAttributes>() as u16,
            flags: 0,
            vendor_id: self.engine.identity.device.vendor.into(),
            dma_channel_count: channels,
            maximum_transfer_size: facts.max_transfer,
            maximum_address_space: PhysicalAddress(facts.max_address),
        }
    }
}

impl wdf::Device for IoatDevice {
    fn prepare_hardware(
        &self,
        _device: DeviceHandle<'_, Self>,
        _raw: Resources<'_>,
        translated: Resources<'_>,
        irql: &mut Passive,
    ) -> Result {
        let registers = map(&self.engine, translated, irql)?;
        let window = Arc::new(TAG, Window::new(registers, self.config.clone()))?;
        let facts = probe(&self.engine, &window)?;
        let (kind, message) = assigned(&self.engine, facts.channels, self.settings.interrupts, translated);
        let watchdog_ms = match kind {
            InterruptKind::None => self.settings.watchdog_ms.min(POLL_MS),
            _ => self.settings.watchdog_ms,
        };
        self.engine.open(&window, facts, kind, watchdog_ms, irql);
        self.phase.lock(irql).running = Some(Running { window, facts, kind, message });
        Ok(())
    }

    fn release_hardware(&self, _device: DeviceHandle<'_, Self>, irql: &mut Passive) {
        self.stop_provider(irql);
        self.engine.close(irql);
        let mut phase = self.phase.lock(irql);
        let (running, scratch) = (phase.running.take(), phase.scratch.take());
        drop(phase);
        drop((running, scratch));
    }

    fn d0_entry(&self, _device: DeviceHandle<'_, Self>, _previous: PowerState, irql: &mut Passive) -> Result {
        let running = self.running(irql)?;
        let location = self.engine.location;
        running.facts.prepare(&*running.window, running.message);
        let mut up = 0u32;
        for lane in self.engine.present() {
            let channel = u64::from(lane.number());
            match lane.bring_up(irql) {
                Ok(trouble) => {
                    trace_trouble(location, channel, trouble);
                    up = up.saturating_add(1);
                }
                Err(BringUpError::Claimed) => TRACE.write(Event::ChannelClaimed { location, channel }),
                Err(error) => return Err(not_up(location, channel, error)),
            }
        }
        if up == 0 {
            return Err(failed(location, BringUp::Claim, Status::DEVICE_BUSY, 0));
        }
        set_interrupts(&*running.window, running.kind);
        self.awake.store(true, Ordering::Release);
        self.engine.publish(&running.window, irql);
        Ok(())
    }

    fn d0_entry_post_interrupts_enabled(
        &self,
        device: DeviceHandle<'_, Self>,
        _previous: PowerState,
        irql: &mut Passive,
    ) -> Result {
        let running = self.running(irql)?;
        if self.settings.self_test
            && let Err(status) = self.self_test(&running, irql)
        {
            // With DMA remapping on, the test cannot pass, and nothing is wrong with the engine: netdma.sys then
            // refuses the provider and says what to do (D17).
            if !is_remapped(device, irql).unwrap_or(false) {
                return Err(status);
            }
        }
        let location = self.engine.location;
        if running.kind != InterruptKind::None {
            let wanted = self.settings.delay_us;
            if set_delay(&*running.window, wanted) != wanted {
                settings::ignored(location, Setting::InterruptDelay, Found::Number(wanted.into()));
            }
        }
        let Some(provider) = self.provider else { return Ok(()) };
        let was_started = core::mem::replace(&mut self.phase.lock(irql).started, true);
        let mut usable = 0u32;
        for lane in self.engine.present() {
            usable = usable.saturating_add(lane.is_up(irql).into());
        }
        let channels = usable.into();
        if was_started {
            netdma::power(provider, NotificationCode::ProviderPowerUp, irql);
            TRACE.write(Event::EngineRestored { location, channels });
        } else {
            netdma::start(provider, self.attributes(&running, usable), irql);
            TRACE.write(Event::DeviceStarted { location, channels });
        }
        Ok(())
    }

    fn d0_exit_pre_interrupts_disabled(
        &self,
        _device: DeviceHandle<'_, Self>,
        target: PowerState,
        irql: &mut Passive,
    ) -> Result {
        let started = self.phase.lock(irql).started;
        if target == PowerState::D3Final || self.is_gone() {
            self.stop_provider(irql);
        } else if let (true, Some(provider)) = (started, self.provider) {
            netdma::power(provider, NotificationCode::ProviderPowerDown, irql);
        }
        if let Ok(running) = self.running(irql)
            && !self.is_gone()
        {
            set_interrupts(&*running.window, InterruptKind::None);
        }
        Ok(())
    }

    fn d0_exit(&self, _device: DeviceHandle<'_, Self>, target: PowerState, irql: &mut Passive) -> Result {
        self.awake.store(false, Ordering::Release);
        self.engine.unpublish(irql);
        nt::dpc::flush(irql);
        let mut result = Ok(());
        for lane in self.engine.present() {
            if let Err(error) = lane.shut_down(irql) {
                result = Err(not_up(self.engine.location, lane.number().into(), error));
            }
        }
        TRACE.write(Event::EngineQuiesced {
            location: self.engine.location,
            channels: self.engine.present().len() as u64,
            state: u64::from((target as i32).unsigned_abs()),
        });
        // A device that has left, or leaves for good, is not failed on top of it.
        if self.is_gone() || target == PowerState::D3Final { Ok(()) } else { result }
    }

    fn surprise_removal(&self, _device: DeviceHandle<'_, Self>, irql: &mut Passive) {
        self.gone.store(true, Ordering::Release);
        for lane in self.engine.present() {
            lane.remove(irql);
        }
        TRACE.write(Event::DeviceRemoved { location: self.engine.location, surprise: 1 });
    }

    fn cleanup(&self, irql: &mut Passive) {
        if let Some(provider) = self.provider {
            netdma::deregister(provider, irql);
        }
    }
}

/// Which engine this is, from its PCI id.
fn identify(location: Hex, config: &pci::Config, settings: &Settings, irql: &Passive) -> Result<Identity> {
    let vendor = config.read_u16(config::VENDOR.into())?;
    let device = config.read_u16(config::DEVICE.into())?;
    let identity = Identity::of(vendor, device, netdma::version(irql)).map_err(|unknown| {
        TRACE.write(Event::UnknownDevice { location, id: id(unknown.vendor, unknown.device) });
        Status::NOT_SUPPORTED
    })?;
    let forced = settings.version.map(|version| (version, identity.registered_as(version)));
    let identity = match forced {
        Some((_, Some(forced))) => forced,
        Some((version, None)) => {
            let value = version.0.wrapping_shr(8) | version.0 & 0xFF;
            settings::ignored(location, Setting::NetDmaVersion, Found::Number(value));
            identity
        }
        None => identity,
    };
    TRACE.write(Event::DeviceAdded {
        location,
        id: id(vendor, device),
        version: Hex((u64::from(identity.registered.0) >> 8) | u64::from(identity.registered.0 & 0xFF)),
        channels: identity.max_channels.into(),
    });
    Ok(identity)
}

/// A PCI id as events have it.
fn id(vendor: u16, device: u16) -> Hex {
    Hex(u64::from(vendor) << 16 | u64::from(device))
}

/// Maps BAR0, the first memory resource, if it holds every channel the function may have.
fn map(engine: &Engine, resources: Resources<'_>, irql: &Passive) -> Result<mmio::Registers> {
    let failed = |status, detail| failed(engine.location, BringUp::MapRegisters, status, detail);
    let needed = channel::base(engine.identity.max_channels);
    let Some(memory) = resources.memory().next() else {
        return Err(failed(Status::DEVICE_CONFIGURATION_ERROR, 0));
    };
    if memory.length() < needed {
        return Err(failed(Status::DEVICE_CONFIGURATION_ERROR, memory.length().into()));
    }
    mmio::Registers::map(memory, irql).map_err(|status| failed(status, memory.length().into()))
}

/// Checks that the registers are those of the engine that was registered (D4).
fn probe(engine: &Engine, window: &Window) -> Result<ioat_core::Engine> {
    let (location, identity) = (engine.location, &engine.identity);
    let failed = |register: u32| {
        failed(location, BringUp::ReadIdentity, Status::DEVICE_PROTOCOL_ERROR, register.into())
    };
    let facts = ioat_core::Engine::probe(window, identity).map_err(|error| {
        let expected = identity.device.platform.version;
        match error {
            ProbeError::Gone => {
                TRACE.write(Event::RegisterDefaulted { location, channel: 0 });
                return Status::NO_SUCH_DEVICE;
            }
            ProbeError::Version { found, .. } | ProbeError::Dialect { found } => {
                TRACE.write(Event::IdentityRefused {
                    location,
                    expected: Hex(expected.0.into()),
                    found: Hex(found.0.into()),
                });
            }
            ProbeError::NoChannels => {
                return failed(general::CHANCNT);
            }
            ProbeError::TransferLimit { .. } => {
                return failed(general::XFERCAP);
            }
        }
        Status::REVISION_MISMATCH
    })?;
    // 1.x does not define the register.
    let capabilities =
        if identity.dialect == Dialect::Counted { window.read32(general::DMACAPABILITY) } else { 0 };
    TRACE.write(Event::IdentityRead {
        location,
        version: Hex(facts.version.0.into()),
        transfer_limit: facts.max_transfer.into(),
        capabilities: Hex(capabilities.into()),
    });
    Ok(facts)
}

/// Whether the engine sees memory at other addresses than the processor does (D17).
fn is_remapped(device: DeviceHandle<'_, IoatDevice>, irql: &Passive) -> Result<bool> {
    let adapter = Adapter::new(TAG, &device.physical_device()?, limits::MAX_TRANSFER, irql)?;
    let page = adapter.common_page(irql)?;
    Ok(page.logical() != page.physical())
}

/// How the function interrupts, from the resources it was given and the setting (R53, R54); and whether by messages.
fn assigned(
    engine: &Engine,
    channels: u8,
    wanted: Interrupts,
    resources: Resources<'_>,
) -> (InterruptKind, bool) {
    let (mut messages, mut lines) = (0u32, 0u32);
    for resource in resources.iter() {
        if let Resource::Interrupt(interrupt) = resource {
            let count = if interrupt.message { &mut messages } else { &mut lines };
            *count = count.saturating_add(1);
        }
    }
    let msix = matches!(engine.identity.device.platform.messages, Messages::Msix { .. });
    let (kind, name) = match (messages, lines) {
        (0, 0) => (InterruptKind::None, events::InterruptKind::None),
        _ if wanted == Interrupts::Off => (InterruptKind::None, events::InterruptKind::None),
        (0, _) => (InterruptKind::Shared, events::InterruptKind::Line),
        (_, _) if msix && messages >= channels.into() && wanted == Interrupts::AsAssigned => {
            (InterruptKind::PerChannel, events::InterruptKind::MsiX)
        }
        (_, _) => (InterruptKind::Shared, events::InterruptKind::Msi),
    };
    TRACE.write(Event::InterruptsAssigned {
        location: engine.location,
        kind: name,
        messages: messages.into(),
        channels: channels.into(),
    });
    (kind, messages > 0 && kind != InterruptKind::None)
}

/// Says which step failed; gives the status back.
fn failed(location: Hex, step: BringUp, status: Status, detail: u64) -> Status {
    TRACE.write(Event::BringUpFailed { location, step, status: status.into(), detail: Hex(detail) });
    status
}

/// Says why a channel could not be brought up or shut down; gives the status.
fn not_up(location: Hex, channel: u64, error: BringUpError) -> Status {
    match error {
        BringUpError::Gone => {
            TRACE.write(Event::RegisterDefaulted { location, channel });
            Status::NO_SUCH_DEVICE
        }
        BringUpError::Claimed => failed(location, BringUp::Claim, Status::DEVICE_BUSY, channel),
        BringUpError::ResetExpired => {
            let microseconds = limits::RESET_US.into();
            TRACE.write(Event::ResetTimedOut { location, channel, microseconds });
            failed(location, BringUp::Reset, Status::IO_TIMEOUT, channel)
        }
    }
}

fn trace_trouble(location: Hex, channel: u64, trouble: Trouble) {
    if trouble.was_running || !trouble.errors.is_empty() || !trouble.internal_errors.is_empty() {
        TRACE.write(Event::LeftoversCleared {
            location,
            channel,
            errors: Hex(trouble.errors.0.into()),
            internal_errors: Hex(trouble.internal_errors.0.into()),
        });
    }
    if trouble.did_not_suspend {
        let microseconds = limits::SUSPEND_US.into();
        TRACE.write(Event::StopTimedOut { location, channel, microseconds });
    }
    if trouble.config_unreachable {
        TRACE.write(Event::ErrorsUnreachable { location, channel });
    }
}

fn trace_self_test(location: Hex, channel: u64, error: SelfTestError) {
    TRACE.write(match error {
        SelfTestError::Refused(_) => {
            Event::SelfTestFailed { location, channel, status: Hex(0), errors: Hex(0) }
        }
        SelfTestError::NotCompleted { status, error } => {
            Event::SelfTestFailed { location, channel, status: Hex(status), errors: Hex(error.0.into()) }
        }
        SelfTestError::WrongData { offset } => {
            Event::SelfTestWrongData { location, channel, offset: offset.into() }
        }
        SelfTestError::NoInterrupt => Event::InterruptMissing { location, channel },
    });
}
