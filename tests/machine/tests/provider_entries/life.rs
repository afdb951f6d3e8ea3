//! The table, the attributes, start and stop, power notices.

use machine::hosted::guid;
use machine::lab::{Failure, PACKAGES};
use netdma_abi::completion::{TransferStatus, word};
use netdma_abi::descriptor::STATUS_UPDATE_ON_COMPLETION;
use nthost::AddedPages;
use nthost::pci::requirements::{FLAG_MESSAGE, FLAG_POLICY, POLICY_SPECIFIED, Requirement, Want};
use nthost::pnp::{DevnodeId, Sleep};
use proof::proves;

use crate::bench::*;
use crate::provider::{nothing_left, setup, vetoed};

#[test]
fn the_table_and_the_attributes_say_what_the_driver_is() -> Result<(), Failure> {
    let mut bench = bench(0x6F20)?;
    let said = desk(|d| d.clone());
    proves!(image: R25; assert_eq!(said.number(2, 2), 0x70));
    let pdo = said.number(8, 8);
    let is_pdo = bench.lab.run(|k| k.dma_domain(pdo).is_some())?;
    proves!(image: R24; assert!(is_pdo, "the device object that the bus made"));
    let entries = [ALLOCATE, FREE, START, APPEND, SUSPEND, RESUME, ABORT, RESET, AFFINITY];
    let inside = bench.lab.run(|k| {
        let images = k.images();
        let image =
            images.iter().find(|image| image.name.to_lowercase().ends_with("ioatdma.sys")).expect("loaded");
        entries.iter().all(|entry| image.is_code(said.entry(*entry)))
    })?;
    proves!(image: R27, R28, R30; assert!(inside, "every entry point is there, in the driver's code"));

    let attributes = said.attributes;
    proves!(image: R59; assert_eq!((attributes[2], attributes[3], &attributes[4..8]), (0x20, 0, &[0; 4][..])));
    proves!(image: R267; assert!(said.calls.iter().all(|(_, _, irql)| *irql == PASSIVE), "{:?}", said.calls));
    bench.end()?;
    let calls = desk(|d| d.calls.clone());
    let names: Vec<_> = calls.iter().map(|(name, _, _)| *name).collect();
    assert_eq!(names, ["register", "start", "stop", "deregister"]);
    proves!(image: R269, R267; assert!(calls[1..].iter().all(|(_, handle, irql)| (*handle, *irql) == (PROVIDER, PASSIVE))));
    Ok(())
}

#[test]
fn without_netdma_the_engine_is_a_plain_device() -> Result<(), Failure> {
    let mut bench = Bench::new(0x6F20, |_| {}, |desk| desk.gives = 0)?;
    let device = bench.device;
    let report = bench.lab.run(|k| k.device(device))?.expect("the device");
    proves!(image: R40; assert_eq!((report.problem, report.state), (None, nthost::pnp::State::Started)));
    bench.end()?;
    let names: Vec<_> = desk(|d| d.calls.iter().map(|(name, _, _)| *name).collect());
    proves!(image: R40; assert_eq!(names, ["register"], "no call with a handle that was not given"));
    Ok(())
}

#[test]
fn channels_can_be_taken_before_the_start_has_returned() -> Result<(), Failure> {
    // The parameters lie in memory that the bench makes before it plugs in: learn the addresses first.
    let mut bench = bench(0x6F20)?;
    let parameters = bench.parameters(0, None, 0)?;
    let device = bench.device;
    desk(|d| d.eager = Some((parameters, parameters + 0x200)));
    vetoed(bench.lab.run(|k| k.rebalance(device))?)?;
    proves!(image: R58; assert_eq!(desk(|d| d.eager_status), Some(SUCCESS)));
    let context: u64 = bench.lab.run(|k| k.read(parameters + 0x200))?;
    bench.call(FREE, &[context])?;
    bench.end()
}

#[test]
fn power_notices_have_the_form_that_is_documented() -> Result<(), Failure> {
    let mut bench = bench(0x6F20)?;
    vetoed(bench.lab.run(|k| k.sleep(Sleep::Standby))?)?;
    bench.lab.run(|k| k.wake_up())?;
    let notices = desk(|d| d.notices.clone());
    let codes: Vec<u32> = notices.iter().map(|notice| notice.0).collect();
    proves!(image: R213, R214; assert_eq!(codes, [5, 6]));
    proves!(image: R215, R216, R217; assert!(notices.iter().all(|notice| (notice.1, notice.2, notice.3, notice.4, notice.5) == (1, 0x20, 0, 0, PASSIVE)), "{notices:?}"));
    bench.end()
}

#[test]
fn driver_entry_leaves_add_device_unload_and_a_dispatch_routine_for_every_major_function()
-> Result<(), Failure> {
    let mut lab = setup(0x6F20, |_| {}).boot()?;
    let [driver, export] = lab.run(|k| ["ioatdma", "netdma"].map(|service| k.driver_routines(service)))?;
    let driver = driver.expect("ioatdma runs");
    proves!(image: R3; assert!(driver.add_device != 0 && driver.unload != 0, "{driver:x?}"));
    // PnP, power, WMI, and what its device interface is sent; the others are refused there.
    proves!(image: R4; assert!(driver.dispatch.len() == 28 && driver.dispatch.iter().all(|routine| *routine != 0), "{driver:x?}"));
    // They are what DriverEntry leaves, not what every driver object has: nobody starts the export driver (D1).
    assert!(export.is_none(), "{export:x?}");
    nothing_left(lab)
}

/// The requirements of a device that is added and gets no resources, with and without a wish for its message's processor.
fn asked(processor: Option<u32>) -> Result<(Vec<Requirement>, DevnodeId, Bench), Failure> {
    let mut bench =
        Bench::new(0x6F20, |_| {}, |desk| desk.affinity = processor.map(|processor| (0, processor)))?;
    let device = bench.device;
    let mut lists = bench.lab.run(|k| k.requirements(device))?;
    assert_eq!(lists.len(), 1);
    Ok((lists.remove(0), device, bench))
}

#[test]
fn the_resource_filter_asks_for_the_message_at_the_processor_that_was_wished_for() -> Result<(), Failure> {
    let (plain, _, bench) = asked(None)?;
    bench.end()?;
    for processor in [0, 1] {
        let (list, device, mut bench) = asked(Some(processor))?;
        proves!(image: R273; assert_eq!(list.len(), plain.len()));
        for (before, after) in plain.iter().zip(&list) {
            let Want::Interrupt { policy, targets, group, .. } = after.want else {
                proves!(image: R273; assert_eq!(before, after, "in the same order, and none but interrupts is edited"));
                continue;
            };
            assert!(matches!(before.want, Want::Interrupt { policy: 0, targets: 0, .. }), "{before:?}");
            if after.flags & FLAG_MESSAGE != 0 {
                proves!(image: R48, R50, R52;
                    assert_eq!((after.flags & FLAG_POLICY, policy), (FLAG_POLICY, POLICY_SPECIFIED), "{after:?}");
                    assert_eq!((group, targets), (0, 1 << processor), "{after:?}"));
            }
        }
        // The message comes to that processor, although the channel reports on the other one.
        let at = bench.parameters(0b10 >> processor, None, 0)?;
        let (status, channel, _) = bench.allocate_with(PASSIVE, at)?;
        assert_eq!(status, SUCCESS);
        bench.list(0..1, BOTH)?;
        assert_eq!(bench.post(START, channel, 0, 1)?, SUCCESS);
        bench.settle()?;
        let interrupts = desk(|d| d.interrupts.clone());
        proves!(image: R48, R50; assert!(!interrupts.is_empty() && interrupts.iter().all(|told| told.cpu == processor), "{interrupts:?}"));
        bench.call(FREE, &[channel])?;
        assert_eq!(bench.device, device);
        bench.end()?;
    }
    Ok(())
}

#[test]
fn a_device_that_is_added_and_never_started_has_its_requirements_filtered_and_leaves() -> Result<(), Failure>
{
    let mut lab = setup(0x6F20, |_| {}).power_on()?;
    lab.add_client_device()?;
    let device = lab.engine_device(0)?.id;
    lab.run(|k| k.starve(device, true))?;
    for package in PACKAGES {
        lab.install(package)?;
    }
    let report = lab.run(|k| k.device(device))?.expect("the device");
    assert_ne!(report.state, nthost::pnp::State::Started);
    let lists = lab.run(|k| k.requirements(device))?;
    // netdma.sys wishes for a processor while the provider registers, from within AddDevice.
    let edited =
        |wanted: &Requirement| wanted.flags & (FLAG_MESSAGE | FLAG_POLICY) == FLAG_MESSAGE | FLAG_POLICY;
    proves!(image: R49; assert!(lists.iter().flatten().any(edited), "{lists:?}"));
    let names = lab.event_names()?;
    assert!(names.contains(&"ProviderRegistered") && !names.contains(&"ProviderStarted"), "{names:?}");
    vetoed(lab.run(|k| k.remove_device(device))?)?;
    let names = lab.event_names()?;
    proves!(image: R77, R78; assert!(names.contains(&"ProviderDeregistered"), "{names:?}"));
    nothing_left(lab)
}

#[test]
fn the_engine_goes_on_completing_while_the_provider_is_being_stopped() -> Result<(), Failure> {
    for device in [0x1A38, 0x402F, 0x6F20, 0x0B00] {
        let mut bench = Bench::new(device, |options| options.timing.per_descriptor = 1_000_000, |_| {})?;
        let (channel, _) = bench.allocate()?;
        let before = bench.list(0..20, STATUS_UPDATE_ON_COMPLETION)?;
        bench.descriptor(19, 8, BOTH, [bench.pages[SOURCE].1, bench.pages[TARGET].1 + 8 * 19, 0, 0])?;
        bench.link(19, None)?;
        assert_eq!(bench.post(START, channel, 0, 20)?, SUCCESS);
        let (at, bus) = (bench.pages[ARGUMENTS].0 + WORD, bench.pages[RING].1);
        desk(|d| d.patient_stop = Some(at));
        let devnode = bench.device;
        vetoed(bench.lab.run(|k| k.rebalance(devnode))?)?;
        let word = desk(|d| d.patient_stop.take());
        proves!(image: R76; assert_eq!(word, Some(bus + 19 * 64 + 1), "{device:04x}: idle, and the last one done"));
        proves!(image: R76;
            assert_eq!(bench.arrived(&before)?.len(), 20, "{device:04x}");
            assert!(desk(|d| d.reports.iter().any(|told| told.last == bus + 19 * 64)), "{device:04x}: told of by interrupt"));
        bench.call(FREE, &[channel])?;
        bench.end()?;
    }
    Ok(())
}

#[test]
fn a_surprise_removal_ends_what_is_outstanding_at_once_and_touches_no_register() -> Result<(), Failure> {
    for device in [0x1A38, 0x402F, 0x6F20, 0x0B00] {
        let mut bench = Bench::new(device, |options| options.timing.per_descriptor = 1_000_000, |_| {})?;
        let (channel, _) = bench.allocate()?;
        let before = bench.list(0..20, STATUS_UPDATE_ON_COMPLETION)?;
        assert_eq!(bench.post(START, channel, 0, 20)?, SUCCESS);
        bench.lab.machine.advance(3_500_000)?;
        let done = bench.arrived(&before)?.len() as u64;
        assert!((1..20).contains(&done), "{device:04x}: {done}");
        let (devnode, traffic) = (bench.device, bench.traffic()?);
        // An open handle keeps the device until the test has looked.
        let file = bench
            .lab
            .run(|k| k.open_interface(guid(netdma_ioctl::engine::INTERFACE), 1))?
            .expect("the engine");
        let begin = bench.lab.machine.now();
        vetoed(bench.lab.run(|k| k.surprise_remove(devnode))?)?;
        bench.lab.machine.advance(1_000_000)?;
        // The watchdog, which would find it as well, looks every 200 ms.
        assert!(bench.lab.machine.now() - begin < 50_000_000, "{device:04x}");
        let reports: Vec<_> = desk(|d| d.reports.iter().map(|told| (told.channel, told.last)).collect());
        proves!(image: R82;
            assert_eq!(reports, [(CHANNEL, 0)], "{device:04x}");
            assert_eq!(bench.word()?, word(bench.pages[RING].1 + 64 * (done - 1), TransferStatus::Halted), "{device:04x}"));
        proves!(image: R82, H36, H37; assert_eq!(bench.traffic()?, traffic, "{device:04x}: no register of what has left"));
        bench.call(FREE, &[channel])?;
        bench.lab.run(|k| k.close(file))?;
        bench.give_back()?;
    }
    Ok(())
}

#[test]
fn the_provider_is_stopped_once_and_then_deregistered_however_the_device_leaves() -> Result<(), Failure> {
    for device in [0x1A38, 0x6F20] {
        for way in ["removed", "pulled", "pulled in D3", "pulled after a rebalance"] {
            let mut bench = bench(device)?;
            let devnode = bench.device;
            match way {
                "pulled in D3" => vetoed(bench.lab.run(|k| k.sleep(Sleep::Standby))?)?,
                "pulled after a rebalance" => vetoed(bench.lab.run(|k| k.rebalance(devnode))?)?,
                _ => {}
            }
            desk(|d| d.calls.clear());
            let left = bench.lab.run(|k| {
                if way == "removed" { k.remove_device(devnode) } else { k.surprise_remove(devnode) }
            })?;
            vetoed(left)?;
            bench.lab.run(|k| k.wake_up())?;
            let calls: Vec<_> = desk(|d| d.calls.iter().map(|(name, ..)| *name).collect());
            proves!(image: R71, R77, R78; assert_eq!(calls, ["stop", "deregister"], "{device:04x} {way}"));
            bench.give_back()?;
        }
    }
    Ok(())
}

#[test]
fn a_bug_check_in_a_service_routine_halts_every_engine_with_its_copies_cut_short() -> Result<(), Failure> {
    for cell in cells().filter(|cell| cell.interrupts != Interrupts::None) {
        let (mut bench, channel) = slow(cell)?;
        let before = bench.list(0..40, STATUS_UPDATE_ON_COMPLETION)?;
        let (source, target) = (bench.pages[SOURCE].1, bench.pages[TARGET].1 + 8 * 4);
        bench.descriptor(4, 8, BOTH, [source, target, 0, 0])?;
        desk(|d| d.crash = Some(Vec::new()));
        assert_eq!(bench.post(START, channel, 0, 40)?, SUCCESS);
        bench.lab.machine.advance(1_000_000)?;
        // The first engine, which belongs to netdma.sys, is asked as well.
        let none = AddedPages { flags: 1, pages: 0 };
        assert_eq!(desk(|d| d.crash.clone()), Some(vec![none; 2]), "{cell}");
        let arrived = bench.arrived(&before)?;
        let halted = bench.lab.engines.iter().all(|engine| {
            let state = engine.with(|engine| engine.channel_state(0)).and_then(|(status, _)| status.state());
            state == Some(ioat_regs::State::Halted)
        });
        proves!(image: H39; assert!(halted && (5..40).contains(&arrived.len()), "{cell}: {arrived:?}"));
        bench.call(FREE, &[channel])?;
        bench.end()?;
    }
    Ok(())
}

#[test]
fn a_wish_for_a_processor_that_is_not_there_is_told_and_not_followed() -> Result<(), Failure> {
    let mut bench = Bench::new(0x6F20, |_| {}, |desk| desk.affinity = Some((0, 99)))?;
    let events = bench.lab.events()?;
    let refused: Vec<_> = events.iter().filter(|event| event.name() == "AffinityRefused").collect();
    assert_eq!(refused.iter().map(|event| event.value("processor")).collect::<Vec<_>>(), [Some(99)]);
    bench.end()
}
