//! The framework and the PnP manager, with routines of this program in the place of a driver.

// The routines of this program run as driver code.
#![allow(unsafe_code)]

mod common;

use std::cell::{Cell, RefCell};

use common::{TestFunction, package, register};
use nthost::io::NtStatus;
use nthost::pci::requirements::{FLAG_MESSAGE, FLAG_POLICY, Want};
use nthost::pnp::{DevnodeId, Problem, RemoveError, State};
use nthost::{Kernel, Machine};

const SUCCESS: u64 = 0;
const FAILURE: u64 = 0xC000_0001;

/// What the driver under test is to do.
#[derive(Clone, Default)]
struct Plan {
    /// The callback that fails.
    fails: &'static str,
    /// How many WDFINTERRUPTs are made.
    interrupts: u32,
    /// Their policy: the processors they ask for.
    mask: u64,
    /// The default queue is sequential.
    queue: bool,
    /// A security descriptor is assigned, first without a name for the device.
    descriptor: bool,
    /// Requests are kept by the driver and made cancelable.
    keep: bool,
    /// Callbacks sleep for a millisecond, so that others come in between.
    slow: bool,
}

thread_local! {
    static LOG: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    static PLAN: RefCell<Plan> = RefCell::default();
    static KERNEL: Cell<*const Kernel> = const { Cell::new(std::ptr::null()) };
    static GLOBALS: Cell<u64> = const { Cell::new(0) };
    static TABLE: Cell<u64> = const { Cell::new(0) };
    static LINE: Cell<u64> = const { Cell::new(0) };
}

fn log(what: impl Into<String>) {
    LOG.with_borrow_mut(|log| log.push(what.into()));
}

fn taken_log() -> Vec<String> {
    LOG.take()
}

fn plan() -> Plan {
    PLAN.with_borrow(Clone::clone)
}

fn k() -> &'static Kernel {
    // SAFETY: set by `machine` for the machine that runs these routines, which outlives them.
    unsafe { &*KERNEL.get() }
}

/// Calls a function of the framework.
fn wdf(name: &str, arguments: &[u64]) -> u64 {
    let mut all = vec![GLOBALS.get()];
    all.extend(arguments);
    k().call_export(name, &all)
}

fn outcome(name: &'static str) -> u64 {
    log(name);
    if plan().slow {
        let millisecond = -10_000_i64;
        k().call_export("KeDelayExecutionThread", &[0, 0, &raw const millisecond as u64]);
    }
    if plan().fails == name { FAILURE } else { SUCCESS }
}

macro_rules! events {
    ($($routine:ident $name:literal)*) => {
        $(extern "win64" fn $routine(_device: u64, _argument: u64) -> u64 { outcome($name) })*
    };
}

events! {
    d0_entry "D0Entry"
    d0_post "D0EntryPostInterruptsEnabled"
    d0_exit "D0Exit"
    d0_pre "D0ExitPreInterruptsDisabled"
    prepare "PrepareHardware"
    release "ReleaseHardware"
    surprise "SurpriseRemoval"
    query_remove "QueryRemove"
    query_stop "QueryStop"
    cleanup "device cleanup"
    destroy "device destroy"
    unload "Unload"
}

extern "win64" fn enable(_interrupt: u64, _device: u64) -> u64 {
    log(format!("enable at IRQL {}", k().irql()));
    if plan().fails == "enable" { FAILURE } else { SUCCESS }
}

extern "win64" fn disable(_interrupt: u64, _device: u64) -> u64 {
    log(format!("disable at IRQL {}", k().irql()));
    SUCCESS
}

extern "win64" fn isr(_interrupt: u64, message: u64) -> u64 {
    log(format!("isr of message {message} on cpu {} at IRQL {}", k().cpu_number(), k().irql()));
    // A device on a line is acknowledged the third time only.
    if LINE.get() != 0 && LOG.with_borrow(Vec::len) == 3 {
        k().write(LINE.get() + register::ACKNOWLEDGE, 1_u32);
    }
    1
}

/// EvtIoDeviceControl: completes with the input length as information, or keeps the request.
extern "win64" fn control(_queue: u64, request: u64, _output: u64, input: u64, code: u64) -> u64 {
    log(format!("control {code:#x}"));
    if plan().keep {
        let marked = wdf("WdfRequestMarkCancelableEx", &[request, cancelled as *const () as u64]);
        log(format!("marked {}", NtStatus(marked as u32 as i32)));
    } else {
        wdf("WdfRequestCompleteWithInformation", &[request, SUCCESS, input]);
    }
    SUCCESS
}

extern "win64" fn cancelled(request: u64) {
    log("cancelled");
    wdf("WdfRequestCompleteWithInformation", &[request, 0xC000_0120, 0]);
}

fn attributes(cleanup: u64, destroy: u64) -> u64 {
    let at = k().system_allocate(0x38, "attributes");
    k().write(at, 0x38_u32);
    k().write(at + 8, cleanup);
    k().write(at + 0x10, destroy);
    k().write(at + 0x18, 1_u32);
    k().write(at + 0x1C, 1_u32);
    at
}

extern "win64" fn device_add(_driver: u64, init: u64) -> u64 {
    log("DeviceAdd");
    let k = k();
    let callbacks = k.system_allocate(0x90, "callbacks");
    k.write(callbacks, 0x90_u32);
    let routines: [extern "win64" fn(u64, u64) -> u64; 6] =
        [d0_entry, d0_post, d0_exit, d0_pre, prepare, release];
    for (index, routine) in (1..).zip(routines) {
        k.write(callbacks + 8 * index, routine as *const () as u64);
    }
    let more: [(u64, extern "win64" fn(u64, u64) -> u64); 3] =
        [(0x60, surprise), (0x68, query_remove), (0x70, query_stop)];
    for (at, routine) in more {
        k.write(callbacks + at, routine as *const () as u64);
    }
    wdf("WdfDeviceInitSetPnpPowerEventCallbacks", &[init, callbacks]);
    let slot = k.system_allocate(16, "init and device");
    k.write(slot, init);
    let given = attributes(cleanup as *const () as u64, destroy as *const () as u64);
    if plan().descriptor {
        let sddl = k.make_unicode_string("D:P(A;;GA;;;SY)");
        assert_eq!(wdf("WdfDeviceInitAssignSDDLString", &[init, sddl]) as u32, 0);
        let refused = wdf("WdfDeviceCreate", &[slot, given, slot + 8]);
        log(format!("without a name: {:#x}", refused as u32));
        wdf("WdfDeviceInitSetCharacteristics", &[init, 0x80, 1]);
    }
    let made = wdf("WdfDeviceCreate", &[slot, given, slot + 8]);
    assert_eq!(made as u32, 0, "WdfDeviceCreate");
    let device: u64 = k.read(slot + 8);
    for _ in 0..plan().interrupts {
        let config = k.system_allocate(0x68, "interrupt configuration");
        k.write(config, 0x68_u32);
        k.write(config + 0x10, 2_u32);
        k.write(config + 0x18, isr as *const () as u64);
        k.write(config + 0x28, enable as *const () as u64);
        k.write(config + 0x30, disable as *const () as u64);
        assert_eq!(wdf("WdfInterruptCreate", &[device, config, 0, slot]) as u32, 0);
        if plan().mask != 0 {
            let policy = k.system_allocate(0x20, "policy");
            k.write(policy, 0x20_u32);
            k.write(policy + 4, 4_u32);
            k.write(policy + 0x10, plan().mask);
            wdf("WdfInterruptSetExtendedPolicy", &[k.read(slot), policy]);
        }
    }
    if plan().queue {
        let config = k.system_allocate(0x60, "queue configuration");
        k.write(config, 0x60_u32);
        k.write(config + 4, 1_u32);
        k.write(config + 8, 2_u32);
        k.write(config + 0xD, 1_u8);
        k.write(config + 0x28, control as *const () as u64);
        assert_eq!(wdf("WdfIoQueueCreate", &[device, config, 0, slot]) as u32, 0);
        let guid = k.system_allocate(16, "guid");
        k.write_bytes(guid, &INTERFACE.to_bytes());
        assert_eq!(wdf("WdfDeviceCreateDeviceInterface", &[device, guid, 0]) as u32, 0);
    }
    if plan().fails == "DeviceAdd" { FAILURE } else { SUCCESS }
}

const INTERFACE: nthost::io::Guid =
    nthost::io::Guid { data1: 0x1234_5678, data2: 0x9ABC, data3: 0xDEF0, data4: [1, 2, 3, 4, 5, 6, 7, 8] };
/// CTL_CODE(FILE_DEVICE_UNKNOWN, 0x800, METHOD_BUFFERED, FILE_ANY_ACCESS).
const CODE: u32 = 0x0022_2000;

/// DriverEntry as the stub of a KMDF driver does it: bind, then WdfDriverCreate.
extern "win64" fn entry(driver: u64, path: u64) -> u64 {
    let k = k();
    let info = k.system_allocate(0x30, "WDF_BIND_INFO");
    let text: Vec<u8> = "KmdfLibrary\0".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let component = k.system_allocate(32, "component");
    k.write_bytes(component, &text);
    let slots = k.system_allocate(16, "table pointer and globals");
    k.write(info, 0x30_u32);
    k.write(info + 8, component);
    k.write(info + 0x10, 1_u32);
    k.write(info + 0x14, 15_u32);
    k.write(info + 0x1C, 444_u32);
    k.write(info + 0x20, slots);
    assert_eq!(k.call_export("WdfVersionBind", &[driver, path, info, slots + 8]) as u32, 0);
    GLOBALS.set(k.read(slots + 8));
    TABLE.set(k.read(slots));
    let config = k.system_allocate(0x20, "WDF_DRIVER_CONFIG");
    k.write(config, 0x20_u32);
    k.write(config + 8, device_add as *const () as u64);
    k.write(config + 0x10, unload as *const () as u64);
    let result = wdf("WdfDriverCreate", &[driver, path, 0, config, 0]);
    // The stub displaces the framework's unload routine with one that unbinds behind it.
    k.write(driver + 0x68, stub_unload as *const () as u64);
    result
}

extern "win64" fn stub_unload(driver: u64) {
    k().call_export("FxDriverUnload", &[driver]);
    k().call_export("WdfVersionUnbind", &[0, 0, GLOBALS.get()]);
}

/// A machine with the function plugged in and the package installed; the driver is this program's.
fn machine(function: TestFunction, plan: Plan) -> (Machine, DevnodeId) {
    PLAN.set(plan);
    LOG.take();
    let mut machine =
        Machine::builder().cpus(2).seed(1).memory(16 << 20).host_code(true).build().expect("a machine");
    let id = machine
        .run(|k| {
            KERNEL.set(std::ptr::from_ref(k));
            let id = k.plug(None, Box::new(function)).expect("a function");
            k.start_host_driver("engine", entry as *const () as u64).expect("DriverEntry");
            k.install_package(&package()).expect("a package");
            id
        })
        .expect("no stop");
    (machine, id)
}

fn report(machine: &mut Machine, id: DevnodeId) -> nthost::pnp::DeviceReport {
    machine.run(|k| k.device(id).expect("a device")).expect("no stop")
}

#[test]
fn start_and_remove_call_the_driver_in_the_framework_s_order() {
    let (mut machine, id) = machine(TestFunction::new(2), Plan { interrupts: 2, ..Plan::default() });
    let started = report(&mut machine, id);
    assert_eq!((started.state, started.problem, started.messages), (State::Started, None, 2));
    assert_eq!(
        taken_log(),
        [
            "DeviceAdd",
            "PrepareHardware",
            "D0Entry",
            "enable at IRQL 5",
            "enable at IRQL 5",
            "D0EntryPostInterruptsEnabled"
        ]
    );
    let report = machine.run(|k| k.shutdown()).expect("no stop");
    assert_eq!(
        taken_log(),
        [
            "QueryRemove",
            "D0ExitPreInterruptsDisabled",
            "disable at IRQL 5",
            "disable at IRQL 5",
            "D0Exit",
            "ReleaseHardware",
            "device cleanup",
            "device destroy",
            "Unload"
        ]
    );
    assert_eq!(report.leaks(), 0, "{report:?}");
}

#[test]
fn a_failed_callback_fails_the_start_and_is_undone_as_the_framework_undoes_it() {
    let cases: [(&str, &[&str]); 5] = [
        ("PrepareHardware", &["PrepareHardware", "ReleaseHardware"]),
        ("D0Entry", &["PrepareHardware", "D0Entry", "ReleaseHardware"]),
        ("enable", &["PrepareHardware", "D0Entry", "enable at IRQL 5", "D0Exit", "ReleaseHardware"]),
        (
            "D0EntryPostInterruptsEnabled",
            &[
                "PrepareHardware",
                "D0Entry",
                "enable at IRQL 5",
                "D0EntryPostInterruptsEnabled",
                "disable at IRQL 5",
                "D0Exit",
                "ReleaseHardware",
            ],
        ),
        ("DeviceAdd", &[]),
    ];
    for (fails, between) in cases {
        let (mut machine, id) =
            machine(TestFunction::new(1), Plan { fails, interrupts: 1, ..Plan::default() });
        let mut expected = vec!["DeviceAdd"];
        expected.extend(between);
        expected.extend(["device cleanup", "device destroy", "Unload"]);
        assert_eq!(taken_log(), expected, "{fails}");
        let problem = report(&mut machine, id).problem.expect("a problem");
        let code = if fails == "DeviceAdd" { 31 } else { 10 };
        assert_eq!(problem.code(), code, "{fails}: {problem}");
        let left = machine.run(|k| k.shutdown()).expect("no stop");
        assert_eq!(left.leaks(), 0, "{fails}: {left:?}");
    }
}

#[test]
fn a_security_descriptor_is_refused_for_a_device_that_has_no_name() {
    let (mut machine, id) = machine(TestFunction::new(1), Plan { descriptor: true, ..Plan::default() });
    // STATUS_INVALID_SECURITY_DESCR, as fxdeviceapi.cpp of the framework answers.
    assert_eq!(taken_log()[..2], ["DeviceAdd", "without a name: 0xc0000079"]);
    assert_eq!(report(&mut machine, id).state, State::Started);
}

#[test]
fn a_device_that_is_added_and_removed_without_a_start_leaves_nothing_behind() {
    PLAN.set(Plan::default());
    LOG.take();
    let mut machine = Machine::builder().memory(16 << 20).host_code(true).build().expect("a machine");
    let report = machine
        .run(|k| {
            KERNEL.set(std::ptr::from_ref(k));
            let id = k.plug(None, Box::new(TestFunction::new(1))).expect("a function");
            k.starve(id, true);
            k.start_host_driver("engine", entry as *const () as u64).expect("DriverEntry");
            k.install_package(&package()).expect("a package");
            let report = k.device(id).expect("a device");
            assert_eq!((report.state, report.problem), (State::Added, Some(Problem::NormalConflict)));
            k.shutdown()
        })
        .expect("no stop");
    assert_eq!(taken_log(), ["DeviceAdd", "device cleanup", "device destroy", "Unload"]);
    assert_eq!(report.leaks(), 0, "{report:?}");
}

#[test]
fn a_doorbell_reaches_the_isr_of_its_message_on_the_processor_of_its_policy() {
    let function = TestFunction::new(2);
    let (mut machine, id) = machine(function.clone(), Plan { interrupts: 2, mask: 0b10, ..Plan::default() });
    taken_log();
    machine
        .run(|k| {
            let physical = bar(k, id);
            let at = k.call_export("MmMapIoSpaceEx", &[physical, 0x1000, 0x204]);
            k.write(at + register::DOORBELL, 1_u32);
        })
        .expect("no stop");
    machine.until_idle().expect("no stop");
    assert_eq!(taken_log(), ["isr of message 1 on cpu 1 at IRQL 5"]);
}

/// The physical address of BAR 0, as the resource requirements name it.
fn bar(k: &Kernel, id: DevnodeId) -> u64 {
    let lists = k.requirements(id);
    let memory = lists[0].iter().find_map(|requirement| match requirement.want {
        Want::Memory { minimum, .. } => Some(minimum),
        _ => None,
    });
    memory.expect("a BAR")
}

#[test]
fn policies_are_put_into_the_requirements_on_the_way_up() {
    let (mut machine, id) =
        machine(TestFunction::new(2), Plan { interrupts: 1, mask: 0b10, ..Plan::default() });
    let lists = machine.run(|k| k.requirements(id)).expect("no stop");
    let interrupts: Vec<_> = lists[0]
        .iter()
        .filter_map(|requirement| match requirement.want {
            Want::Interrupt { policy, targets, .. } => Some((requirement.flags, policy, targets)),
            _ => None,
        })
        .collect();
    let [first, second, line] = interrupts[..] else { panic!("{interrupts:?}") };
    assert_eq!(
        (first.0 & (FLAG_MESSAGE | FLAG_POLICY), first.1, first.2),
        (FLAG_MESSAGE | FLAG_POLICY, 4, 0b10)
    );
    assert_eq!((second.0 & FLAG_POLICY, second.2), (0, 0), "there is no second interrupt object");
    assert_eq!(
        (line.0 & (FLAG_MESSAGE | FLAG_POLICY), line.2),
        (FLAG_POLICY, 0b10),
        "the alternative of all messages"
    );
}

#[test]
fn a_policy_that_the_registry_already_set_is_not_replaced() {
    PLAN.set(Plan { interrupts: 1, mask: 0b10, ..Plan::default() });
    LOG.take();
    let mut package = package();
    let text = String::from_utf8(package.files["engine.inf"].clone()).expect("text");
    let line = "HKR,\"DMA Management\"";
    let policy = r#"HKR,"Interrupt Management\Affinity Policy",DevicePolicy,0x00010001,4
HKR,"Interrupt Management\Affinity Policy",AssignmentSetOverride,0x00000001,01
"#;
    let text = text.replace(line, &format!("{policy}{line}"));
    package.files.insert("engine.inf".to_owned(), text.into_bytes());
    let mut machine = Machine::builder().memory(16 << 20).host_code(true).build().expect("a machine");
    let lists = machine
        .run(|k| {
            KERNEL.set(std::ptr::from_ref(k));
            let id = k.plug(None, Box::new(TestFunction::new(1))).expect("a function");
            k.start_host_driver("engine", entry as *const () as u64).expect("DriverEntry");
            k.install_package(&package).expect("a package");
            k.requirements(id)
        })
        .expect("no stop");
    let targets: Vec<u64> = lists[0]
        .iter()
        .filter_map(|requirement| match requirement.want {
            Want::Interrupt { targets, .. } => Some(targets),
            _ => None,
        })
        .collect();
    assert_eq!(targets, [0b01, 0b01], "the message and the line");
}

#[test]
fn with_fewer_messages_the_rest_of_the_interrupts_stays_unconnected_and_without_any_the_line_serves() {
    for (limit, expected) in [(1, vec!["enable at IRQL 5"]), (0, vec!["enable at IRQL 11"])] {
        PLAN.set(Plan { interrupts: 2, ..Plan::default() });
        LOG.take();
        let mut machine = Machine::builder().memory(16 << 20).host_code(true).build().expect("a machine");
        machine
            .run(|k| {
                KERNEL.set(std::ptr::from_ref(k));
                k.limit_messages(Some(limit));
                let id = k.plug(None, Box::new(TestFunction::new(2))).expect("a function");
                k.start_host_driver("engine", entry as *const () as u64).expect("DriverEntry");
                k.install_package(&package()).expect("a package");
                assert_eq!(k.device(id).expect("a device").messages, usize::from(limit));
            })
            .expect("no stop");
        let enables: Vec<String> =
            taken_log().into_iter().filter(|line| line.starts_with("enable")).collect();
        assert_eq!(enables, expected);
    }
}

#[test]
fn a_driver_s_veto_and_an_open_file_keep_a_device_from_being_removed() {
    let (mut machine, id) =
        machine(TestFunction::new(1), Plan { fails: "QueryRemove", queue: true, ..Plan::default() });
    machine
        .run(|k| {
            assert!(matches!(k.remove_device(id), Err(RemoveError::Vetoed(_))));
            PLAN.set(Plan { queue: true, ..Plan::default() });
            let file = k.open_interface(INTERFACE, 0).expect("a file");
            assert_eq!(k.remove_device(id), Err(RemoveError::InUse(1)));
            let done = k.ioctl(file, CODE, b"abc", nthost::io::file::Output::Bytes(&mut [0; 8]));
            assert_eq!((done.status, done.information), (NtStatus(0), 3), "the device works on");
            k.close(file);
            assert_eq!(k.remove_device(id), Ok(()));
            assert_eq!(k.open_interface(INTERFACE, 0).unwrap_err(), NtStatus(0xC000_0034_u32 as i32));
        })
        .expect("no stop");
}

#[test]
fn a_surprise_removal_tells_the_driver_and_waits_for_the_last_file() {
    let (mut machine, id) =
        machine(TestFunction::new(1), Plan { interrupts: 1, queue: true, ..Plan::default() });
    taken_log();
    machine
        .run(|k| {
            let file = k.open_interface(INTERFACE, 0).expect("a file");
            k.surprise_remove(id).expect("a device");
            assert_eq!(k.device(id).expect("a device").state, State::SurpriseRemoved);
            assert_eq!(
                taken_log(),
                [
                    "SurpriseRemoval",
                    "D0ExitPreInterruptsDisabled",
                    "disable at IRQL 5",
                    "D0Exit",
                    "ReleaseHardware"
                ]
            );
            k.close(file);
            assert_eq!(k.device(id).expect("a device").state, State::Gone);
            assert_eq!(taken_log(), ["device cleanup", "device destroy", "Unload"]);
            assert_eq!(k.shutdown().leaks(), 0);
        })
        .expect("no stop");
}

#[test]
fn a_cancelled_request_reaches_the_driver_and_is_completed_once() {
    let (mut machine, _) = machine(TestFunction::new(1), Plan { queue: true, keep: true, ..Plan::default() });
    taken_log();
    machine
        .run(|k| {
            let file = k.open_interface(INTERFACE, 0).expect("a file");
            let first = k.ioctl_start(file, CODE, b"x", 0, None);
            let second = k.ioctl_start(file, CODE, b"y", 0, None);
            assert!(!k.is_done(&first) && !k.is_done(&second));
            assert_eq!(taken_log(), ["control 0x222000", "marked STATUS_SUCCESS (0x00000000)"]);
            // The second one waits in the sequential queue: the framework cancels it, the driver never sees it.
            k.cancel(&second);
            assert_eq!(k.wait_request(second, &mut []).status, NtStatus(0xC000_0120_u32 as i32));
            assert_eq!(taken_log(), [""; 0]);
            k.cancel(&first);
            assert_eq!(k.wait_request(first, &mut []).status, NtStatus(0xC000_0120_u32 as i32));
            assert_eq!(taken_log(), ["cancelled"]);
            k.close(file);
            assert_eq!(k.shutdown().leaks(), 0);
        })
        .expect("no stop");
}

#[test]
fn a_function_that_is_not_implemented_names_itself() {
    let (mut machine, _) = machine(TestFunction::new(1), Plan::default());
    let stop = machine
        .run(|k| {
            let entry: u64 = k.read(TABLE.get() + 8 * 93);
            k.call("the table's entry 93", entry, &[GLOBALS.get()]);
        })
        .expect_err("a stop");
    assert!(stop.text.contains("WdfDeviceConfigureRequestDispatching (index 93)"), "{stop}");
}

#[test]
fn a_rebalance_stops_and_starts_the_device() {
    let (mut machine, id) = machine(TestFunction::new(2), Plan { interrupts: 1, ..Plan::default() });
    taken_log();
    machine.run(|k| k.rebalance(id).expect("a device")).expect("no stop");
    assert_eq!(
        taken_log(),
        [
            "QueryStop",
            "D0ExitPreInterruptsDisabled",
            "disable at IRQL 5",
            "D0Exit",
            "ReleaseHardware",
            "PrepareHardware",
            "D0Entry",
            "enable at IRQL 5",
            "D0EntryPostInterruptsEnabled"
        ]
    );
    assert_eq!(report(&mut machine, id).state, State::Started);
}

#[test]
fn sleep_takes_the_device_to_d3_and_waking_brings_it_back_with_its_bars_and_messages() {
    let function = TestFunction::new(1);
    let (mut machine, id) = machine(function.clone(), Plan { interrupts: 1, queue: true, ..Plan::default() });
    taken_log();
    machine.run(|k| k.sleep(nthost::pnp::Sleep::Standby).expect("no veto")).expect("no stop");
    assert_eq!(taken_log(), ["D0ExitPreInterruptsDisabled", "disable at IRQL 5", "D0Exit"]);
    machine.run(Kernel::wake_up).expect("no stop");
    assert_eq!(taken_log(), ["D0Entry", "enable at IRQL 5", "D0EntryPostInterruptsEnabled"]);
    machine
        .run(|k| {
            let at = k.call_export("MmMapIoSpaceEx", &[bar(k, id), 0x1000, 0x204]);
            k.write(at + register::DOORBELL, 0_u32);
        })
        .expect("no stop");
    machine.until_idle().expect("no stop");
    assert_eq!(taken_log(), ["isr of message 0 on cpu 0 at IRQL 5"]);
}

#[test]
fn a_request_that_comes_while_the_device_sleeps_is_presented_after_it_woke() {
    let (mut machine, _) = machine(TestFunction::new(1), Plan { queue: true, ..Plan::default() });
    machine
        .run(|k| {
            let file = k.open_interface(INTERFACE, 0).expect("a file");
            k.sleep(nthost::pnp::Sleep::Hibernate).expect("no veto");
            taken_log();
            let request = k.ioctl_start(file, CODE, b"four", 0, None);
            assert!(!k.is_done(&request));
            k.wake_up();
            assert_eq!(k.wait_request(request, &mut []).information, 4);
            assert_eq!(taken_log(), ["D0Entry", "D0EntryPostInterruptsEnabled", "control 0x222000"]);
            k.close(file);
            assert_eq!(k.shutdown().leaks(), 0);
        })
        .expect("no stop");
}

#[test]
fn a_device_that_cannot_wake_is_given_up_and_removed() {
    let (mut machine, id) = machine(TestFunction::new(1), Plan { interrupts: 1, ..Plan::default() });
    machine
        .run(|k| {
            k.sleep(nthost::pnp::Sleep::Standby).expect("no veto");
            PLAN.set(Plan { fails: "D0Entry", ..Plan::default() });
            taken_log();
            k.wake_up();
        })
        .expect("no stop");
    machine.until_idle().expect("no stop");
    let ended = report(&mut machine, id);
    assert_eq!((ended.state, ended.problem), (State::Removed, Some(Problem::FailedPostStart)));
    assert_eq!(
        taken_log(),
        ["D0Entry", "ReleaseHardware", "SurpriseRemoval", "device cleanup", "device destroy", "Unload"]
    );
}

#[test]
fn a_device_removed_while_it_sleeps_is_not_powered_down_again() {
    let (mut machine, id) = machine(TestFunction::new(1), Plan { interrupts: 1, ..Plan::default() });
    machine
        .run(|k| {
            k.sleep(nthost::pnp::Sleep::Standby).expect("no veto");
            taken_log();
            k.surprise_remove(id).expect("a device");
        })
        .expect("no stop");
    assert_eq!(
        taken_log(),
        ["SurpriseRemoval", "ReleaseHardware", "device cleanup", "device destroy", "Unload"]
    );
}

#[test]
fn a_surprise_removal_may_come_while_another_thread_takes_the_device_out_of_d0_which_happens_once() {
    let mut during = 0;
    for later in 0..60 {
        let (mut machine, id) =
            machine(TestFunction::new(1), Plan { interrupts: 1, slow: true, ..Plan::default() });
        taken_log();
        machine
            .run(|k| {
                let asleep = move |k: &Kernel| drop(k.sleep(nthost::pnp::Sleep::Standby));
                let power = k.spawn("power manager", 0, Box::new(asleep));
                (0..later).for_each(|_| k.switch_point());
                k.surprise_remove(id).expect("a device");
                k.join(power);
                k.wake_up();
            })
            .unwrap_or_else(|stop| panic!("{stop}"));
        let log = taken_log();
        let places = |name: &str| -> Vec<usize> {
            log.iter().enumerate().filter(|(_, entry)| *entry == name).map(|(place, _)| place).collect()
        };
        for name in ["SurpriseRemoval", "D0ExitPreInterruptsDisabled", "D0Exit", "ReleaseHardware"] {
            assert_eq!(places(name).len(), 1, "{name}, {later} switch points later: {log:?}");
        }
        let [surprise, begun, ended] =
            ["SurpriseRemoval", "D0ExitPreInterruptsDisabled", "D0Exit"].map(|name| places(name)[0]);
        during += u32::from(begun < surprise && surprise < ended);
    }
    assert!(during > 0, "one of 60 comes in between");
}

#[test]
fn a_line_interrupt_is_serviced_again_until_the_device_releases_it() {
    PLAN.set(Plan { interrupts: 1, ..Plan::default() });
    LOG.take();
    let function = TestFunction::new(0);
    let mut machine = Machine::builder().memory(16 << 20).host_code(true).build().expect("a machine");
    let stop = machine
        .run(|k| {
            KERNEL.set(std::ptr::from_ref(k));
            let id = k.plug(None, Box::new(function)).expect("a function");
            k.start_host_driver("engine", entry as *const () as u64).expect("DriverEntry");
            k.install_package(&package()).expect("a package");
            taken_log();
            let at = k.call_export("MmMapIoSpaceEx", &[bar(k, id), 0x1000, 0x204]);
            LINE.set(at);
            k.write(at + register::DOORBELL, 0_u32);
        })
        .err();
    assert!(stop.is_none(), "{stop:?}");
    machine.until_idle().expect("no stop");
    let services = taken_log();
    assert_eq!(services.len(), 3, "{services:?}");
}
