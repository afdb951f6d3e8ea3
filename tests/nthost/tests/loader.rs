//! Loading, binding, protecting and unloading of images.

mod support;

use std::path::Path;

use nthost::loader::LoadError;
use nthost::loader::pe::Malformed;
use nthost::{Kernel, Machine, Stop};
use support::{CHECKSUM, Code, DATA, Folder, Image, TEXT, set_checksum};

fn machine() -> Machine {
    Machine::builder().cpus(1).memory(16 << 20).build().expect("a machine")
}

fn run<R>(work: impl FnOnce(&Kernel) -> R) -> R {
    machine().run(work).unwrap_or_else(|stop| panic!("{stop}"))
}

/// Loads one image and calls its entry point.
fn execute(image: &Image, arguments: &[u64]) -> Result<u64, Box<Stop>> {
    let folder = Folder::default().with("test.sys", image);
    machine().run(|k| {
        let id = k.load_image(Path::new("test.sys"), &folder).expect("it loads");
        k.call("DriverEntry", k.image(id).entry_point, arguments)
    })
}

fn load_error(file: Vec<u8>) -> LoadError {
    let mut folder = Folder::default();
    folder.0.insert("test.sys".to_owned(), file);
    run(|k| k.load_image(Path::new("test.sys"), &folder)).expect_err("it does not load")
}

fn malformed(file: Vec<u8>) -> Malformed {
    match load_error(file) {
        LoadError::Malformed { reason, .. } => reason,
        other => panic!("{other}"),
    }
}

fn small() -> Image {
    Image::code(Code::default().mov_eax(42).ret())
}

#[test]
fn the_entry_point_runs_and_returns() {
    assert_eq!(execute(&small(), &[]).expect("no stop"), 42);
}

#[test]
fn absolute_addresses_are_relocated() {
    let mut image = Image::code(Code::default().lea_rcx_data(8).raw(&[0x48, 0x8B, 0x01]).ret()); // mov rax, [rcx]
    image.data = vec![0; 8];
    image.data.extend(u64::from(DATA).to_le_bytes());
    image.relocations = vec![8];
    let folder = Folder::default().with("test.sys", &image);
    run(|k| {
        let id = k.load_image(Path::new("test.sys"), &folder).expect("it loads");
        let image = k.image(id);
        assert_eq!(k.call("DriverEntry", image.entry_point, &[]), image.base + u64::from(DATA));
    });
}

#[test]
fn an_import_is_bound_to_the_kernel_and_gets_its_arguments() {
    let code = Code::default().mov_ecx(0x40).mov_edx(100).mov_r8d(0x7473_6554).call_import(0).ret();
    let image = Image::code(code).import("ntoskrnl.exe", &["ExAllocatePool2"]);
    let block = execute(&image, &[]).expect("no stop");
    assert_eq!((block + 112) % 4096, 0, "100 bytes, aligned to 16, end at a page");
}

#[test]
fn an_unknown_import_names_image_module_and_function() {
    let image = small().import("ntoskrnl.exe", &["KeSetEvent", "KeNeverHeardOf"]);
    let error = load_error(image.build());
    assert_eq!(error.missing_import(), Some((Path::new("test.sys"), "KeNeverHeardOf")));
    assert_eq!(
        error.to_string(),
        "test.sys: imports KeNeverHeardOf from ntoskrnl.exe, which does not export it"
    );
}

#[test]
fn an_import_from_a_module_that_is_nowhere_is_refused() {
    let error = load_error(small().import("nobody.sys", &["Function"]).build());
    assert!(matches!(&error, LoadError::NoModule { module, .. } if module == "nobody.sys"), "{error}");
}

#[test]
fn a_file_that_is_no_image_or_ends_early_is_refused() {
    assert_eq!(malformed(b"hello".to_vec()), Malformed::NotAnImage);
    assert_eq!(malformed(Vec::new()), Malformed::NotAnImage);
    for length in [0x20, 0x44, 0x60, 0x120, 0x1A0] {
        let reason = malformed(small().build()[..length].to_vec());
        assert!(
            matches!(reason, Malformed::Truncated { .. } | Malformed::Checksum { .. }),
            "{length}: {reason}"
        );
    }
}

#[test]
fn every_single_damaged_byte_is_noticed() {
    let file = small().build();
    for at in (0..file.len()).filter(|at| !(2..0x3C).contains(at) || at % 7 == 0) {
        let mut damaged = file.clone();
        damaged[at] ^= 0x40;
        malformed(damaged);
    }
}

#[test]
fn the_wrong_kind_of_image_is_refused_by_name() {
    let change = |at: usize, value: u16| {
        let mut file = small().build();
        file[at..at + 2].copy_from_slice(&value.to_le_bytes());
        set_checksum(&mut file);
        malformed(file)
    };
    const OPTIONAL: usize = 0x58;
    assert_eq!(change(0x44, 0x014C), Malformed::Machine(0x014C));
    assert_eq!(change(OPTIONAL, 0x10B), Malformed::Magic(0x10B));
    assert_eq!(change(OPTIONAL + 68, 3), Malformed::Subsystem(3));
    assert_eq!(change(0x56, 0x23), Malformed::NoRelocations);
    let mut file = small().build();
    file[CHECKSUM] ^= 1;
    assert!(matches!(malformed(file), Malformed::Checksum { .. }));
}

#[test]
fn a_section_that_is_written_and_executed_is_refused() {
    let mut file = small().build();
    const FIRST_SECTION_FLAGS: usize = 0x58 + 240 + 36;
    file[FIRST_SECTION_FLAGS + 3] |= 0x80;
    set_checksum(&mut file);
    assert_eq!(malformed(file), Malformed::WritableCode(".text".to_owned()));
}

/// An export driver: DllInitialize and DllUnload print and return what is given; it also has a function.
fn export_driver(initialize: u32, unload: u32) -> Image {
    let mut code = Code::default().lea_rcx_data(0x20).call_import(0).mov_eax(0xDEAD).ret(); // DriverEntry
    let first = code.here();
    code = code.lea_rcx_data(0).raw(&[0x48, 0x89, 0xCA]).raw(&[0x48, 0x8B, 0x94, 0x24, 0, 0, 0, 0]);
    // The registry path comes in rcx: keep it as the message's argument.
    code.0.truncate(first as usize);
    code = code.raw(&[0x48, 0x89, 0xCA]).lea_rcx_data(0).call_import(0).mov_eax(initialize).ret();
    let second = code.here();
    code = code.lea_rcx_data(0x10).call_import(0).mov_eax(unload).ret();
    let third = code.here();
    code = code.mov_eax(7).ret();
    let mut image = Image::code(code).import("ntoskrnl.exe", &["DbgPrint"]);
    image.data = b"init %wZ\0\0\0\0\0\0\0\0unload\0\0\0\0\0\0\0\0\0\0entry\0".to_vec();
    image.exports = vec![("DllInitialize", first), ("DllUnload", second), ("Seven", third)];
    image
}

fn user_of_export() -> Image {
    Image::code(Code::default().call_import(0).ret()).import("export.sys", &["Seven"])
}

const SERVICE: &str = "\\Registry\\Machine\\System\\CurrentControlSet\\Services\\export.sys";

#[test]
fn an_export_driver_is_initialised_once_and_its_entry_point_never_called() {
    let folder = Folder::default()
        .with("export.sys", &export_driver(0, 0))
        .with("one.sys", &user_of_export())
        .with("two.sys", &user_of_export());
    run(|k| {
        let one = k.load_image(Path::new("one.sys"), &folder).expect("it loads");
        let two = k.load_image(Path::new("two.sys"), &folder).expect("it loads");
        assert_eq!(k.call("DriverEntry", k.image(one).entry_point, &[]), 7);
        assert_eq!(k.messages(), [format!("init {SERVICE}")]);
        let export = k.images().iter().find(|image| image.name == "export.sys").expect("loaded").clone();
        assert_eq!(export.load_count(), 2);
        k.unload_image(one).expect("it leaves");
        assert_eq!(export.load_count(), 1);
        k.unload_image(two).expect("it leaves");
        assert!(k.images().is_empty());
        assert_eq!(k.messages(), [format!("init {SERVICE}"), "unload".to_owned()]);
    });
}

#[test]
fn an_export_driver_whose_initialisation_fails_stops_its_importer_from_loading() {
    let folder = Folder::default()
        .with("export.sys", &export_driver(0xC000_0001, 0))
        .with("one.sys", &user_of_export());
    run(|k| {
        let error = k.load_image(Path::new("one.sys"), &folder).expect_err("it does not load");
        assert!(
            matches!(error, LoadError::DllInitialize { status, .. } if status as u32 == 0xC000_0001),
            "{error}"
        );
        assert!(k.images().is_empty(), "nothing stays loaded");
    });
}

#[test]
fn an_export_driver_that_refuses_to_leave_stays_and_serves_the_next_importer() {
    let busy = 0x8000_0011; // STATUS_DEVICE_BUSY
    let folder =
        Folder::default().with("export.sys", &export_driver(0, busy)).with("one.sys", &user_of_export());
    run(|k| {
        let one = k.load_image(Path::new("one.sys"), &folder).expect("it loads");
        k.unload_image(one).expect("the importer itself leaves");
        let names: Vec<_> = k.images().iter().map(|image| image.name.clone()).collect();
        assert_eq!(names, ["export.sys"]);
        let one = k.load_image(Path::new("one.sys"), &folder).expect("it loads again");
        assert_eq!(k.call("DriverEntry", k.image(one).entry_point, &[]), 7);
        assert_eq!(k.messages().iter().filter(|message| message.starts_with("init")).count(), 1);
    });
}

#[test]
fn a_function_that_an_export_driver_lacks_is_refused_and_nothing_stays_loaded() {
    let importer = small().import("export.sys", &["Eight"]);
    let folder = Folder::default().with("export.sys", &export_driver(0, 0)).with("one.sys", &importer);
    run(|k| {
        let error = k.load_image(Path::new("one.sys"), &folder).expect_err("it does not load");
        assert_eq!(error.missing_import(), Some((Path::new("one.sys"), "Eight")));
        assert!(k.images().is_empty());
    });
}

#[test]
fn an_image_that_left_is_no_longer_called() {
    let folder = Folder::default().with("test.sys", &small());
    let stop = machine()
        .run(|k| {
            let id = k.load_image(Path::new("test.sys"), &folder).expect("it loads");
            let entry = k.image(id).entry_point;
            k.unload_image(id).expect("it leaves");
            k.call("late callback", entry, &[]);
        })
        .expect_err("a stop");
    assert!(stop.text.contains("image test.sys + 0x1000, freed"), "{stop}");
}

#[test]
fn a_routine_can_be_looked_up_by_name() {
    run(|k| {
        let known = k.make_unicode_string("KeSetEvent");
        let unknown = k.make_unicode_string("KeNeverHeardOf");
        assert_ne!(k.call_export("MmGetSystemRoutineAddress", &[known]), 0);
        assert_eq!(k.call_export("MmGetSystemRoutineAddress", &[unknown]), 0);
    });
}

#[test]
fn the_stack_of_a_stop_shows_driver_and_kernel_frames() {
    // DriverEntry calls KeBugCheckEx(0xE2).
    let code = Code::default().mov_ecx(0xE2).call_import(0).ret();
    let image = Image::code(code).import("ntoskrnl.exe", &["KeBugCheckEx"]);
    let stop = execute(&image, &[]).expect_err("a stop");
    let symbols: Vec<_> = stop.stack.iter().map(|frame| frame.symbol.as_str()).collect();
    assert_eq!(symbols[..2], ["ntoskrnl.exe!KeBugCheckEx", "test.sys+0x100f"], "{stop}");
    assert_eq!(symbols.last(), Some(&"(kernel calls DriverEntry)"), "{stop}");
    assert_eq!(TEXT, 0x1000);
}
