//! Who calls whom: every function of an image is disassembled, direct calls and jumps are followed to their names.

use std::collections::{BTreeSet, HashMap};

use iced_x86::{Decoder, DecoderOptions, FlowControl, OpKind};

use crate::file::File;
use crate::symbols::Symbols;

/// Whether a function of this name belongs to the machinery that ends in the panic handler, a bug check.
pub fn is_panic(name: &str) -> bool {
    const FUNCTIONS: [&str; 9] = [
        "core::panicking::",
        "core::option::unwrap_failed",
        "core::option::expect_failed",
        "core::result::unwrap_failed",
        "core::cell::panic_already",
        "alloc::alloc::handle_alloc_error",
        "alloc::raw_vec::handle_error",
        "alloc::raw_vec::capacity_overflow",
        "wdk_panic::",
    ];
    // Slices and strings report a bad index through functions of their own: `slice_index_fail`, `slice_error_fail`.
    let of_core = name.starts_with("core::slice::") || name.starts_with("core::str::");
    FUNCTIONS.iter().any(|start| name.starts_with(start))
        || (of_core && (name.contains("_fail") || name.contains("len_mismatch")))
        || name == "rust_begin_unwind"
        || name == "__rustc::rust_begin_unwind"
}

/// The functions outside the wanted ones that call or jump to a function whose name `wanted` accepts, each as
/// `caller -> callee`.
pub fn callers(image: &File, wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let symbols = Symbols::of(image).unwrap();
    let mut names: HashMap<u32, Vec<&str>> = HashMap::new();
    for function in &symbols.functions {
        names.entry(function.start).or_default().push(&function.name);
    }
    let mut found = BTreeSet::new();
    for function in symbols.functions.iter().filter(|function| !wanted(&function.name)) {
        for target in targets(image, function.start, function.length) {
            let callees = names.get(&target).into_iter().flatten();
            found.extend(
                callees
                    .filter(|callee| wanted(callee))
                    .map(|callee| format!("{} -> {callee}", function.name)),
            );
        }
    }
    found.into_iter().collect()
}

/// Where the direct calls and jumps of the code at `start` lead, outside that code. Addresses are relative to the
/// image's base.
fn targets(image: &File, start: u32, length: u32) -> Vec<u32> {
    let headers = image.headers().unwrap();
    let code = headers
        .sections
        .pe_data_at(image.bytes.as_slice(), start)
        .and_then(|data| data.get(..length as usize))
        .unwrap_or_else(|| panic!("{}: the code at {start:#x} is outside the file", image.name));
    let mut found = Vec::new();
    for instruction in Decoder::with_ip(64, code, u64::from(start), DecoderOptions::NONE).iter() {
        assert!(
            !instruction.is_invalid(),
            "{}: no instruction at {:#x} in the function at {start:#x}",
            image.name,
            instruction.ip()
        );
        let branches = matches!(
            instruction.flow_control(),
            FlowControl::Call | FlowControl::UnconditionalBranch | FlowControl::ConditionalBranch
        );
        if branches && instruction.op0_kind() == OpKind::NearBranch64 {
            let target = instruction.near_branch_target() as u32;
            if !(start..start + length).contains(&target) {
                found.push(target);
            }
        }
    }
    found
}

#[test]
fn panic_machinery_is_known_by_name() {
    for name in [
        "core::panicking::panic_fmt",
        "core::panicking::panic_bounds_check",
        "core::slice::index::slice_index_fail",
        "core::slice::copy_from_slice_impl::len_mismatch_fail",
        "core::str::slice_error_fail",
        "core::option::unwrap_failed",
        "alloc::raw_vec::handle_error",
        "wdk_panic::kernel_panic_handler::panic",
    ] {
        assert!(is_panic(name), "{name}");
    }
    for name in ["core::slice::sort", "netdma::provider::failed", "core::ptr::drop_in_place"] {
        assert!(!is_panic(name), "{name}");
    }
}
