//! The driver images as files: what Windows' loader will look at, checked without loading them.
//!
//! Every rule is a function from an image to a verdict. The images keep all of them, and each rule is shown to
//! bite on a copy of an image that was broken on purpose.

#![forbid(unsafe_code)]

mod broken;
mod calls;
mod file;
mod imports;
mod rules;
mod symbols;

use file::File;
use proof::proves;
use rules::{RULES, Verdict};

/// The images: three that are shipped, two of tests and guides.
const IMAGES: [&str; 5] = ["netdma", "ioatdma", "netdmatest", "netdmasoft", "netdmacopy"];

/// Applies `rule` to every image.
fn every_image(rule: impl Fn(&File) -> Verdict) {
    let mut broken = Vec::new();
    for name in IMAGES {
        if let Err(reason) = rule(&File::built(name)) {
            broken.push(format!("{name}.sys: {reason}"));
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn every_image_is_one_the_loader_takes() {
    for (name, rule) in RULES {
        every_image(|image| rule(image).map_err(|reason| format!("{name}: {reason}")));
    }
}

#[test]
fn every_import_is_listed_and_no_newer_than_the_oldest_windows_served() {
    every_image(imports::known_and_old_enough);
}

#[test]
fn the_list_of_imports_names_nothing_that_no_image_imports() {
    let images: Vec<File> = IMAGES.iter().map(|name| File::built(name)).collect();
    assert_eq!(imports::unused(&images), Vec::<String>::new());
}

#[test]
fn netdma_exports_the_interface_and_nothing_else() {
    rules::exports_are(&File::built("netdma"), rules::INTERFACE).unwrap();
}

#[test]
fn the_other_drivers_export_only_what_the_language_forces_on_them() {
    for name in &IMAGES[1..] {
        rules::exports_are(&File::built(name), &[]).unwrap();
    }
}

#[test]
fn clients_know_the_kernel_the_framework_and_the_interface_and_no_provider() {
    for name in ["netdmatest", "netdmacopy"] {
        let mut modules = imports::modules(&File::built(name)).unwrap();
        modules.retain(|module| !["ntoskrnl.exe", "WDFLDR.SYS"].contains(&module.as_str()));
        proves!(image: R264; assert_eq!(modules, ["netdma.sys"], "{name}"));
    }
}

#[test]
fn every_image_has_the_symbols_that_were_made_with_it() {
    every_image(symbols::belong_to);
}

#[test]
fn no_code_of_ours_calls_the_panic_machinery() {
    every_image(|image| {
        let callers = calls::callers(image, calls::is_panic);
        if callers.is_empty() {
            Ok(())
        } else {
            Err(format!("calls into the panic machinery:\n{}", callers.join("\n")))
        }
    });
}

#[test]
fn the_search_for_callers_finds_calls_and_names_the_caller() {
    let callers = calls::callers(&File::built("netdma"), |name| name.starts_with("nt::"));
    assert!(
        callers.iter().any(|call| call.starts_with("netdma::") && call.contains(" -> nt::")),
        "the interface calls the kernel primitives, but only these calls were found: {callers:?}"
    );
}
