//! Writes the Rust form of `kmdf-1.15.table`: the indices, the function pointer types, and the macro that calls by
//! name. `wdk-macros` reads the types from a file whose absolute path it is told, as with the real crate. That path stands in
//! a file of its own: what a call expands to comes from `src/lib.rs`, whose hash is the same wherever the sources lie.

use std::fmt::Write as _;
use std::path::PathBuf;

const TABLE: &str = "kmdf-1.15.table";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    wdk_build::configure_wdk_library_build()?;
    println!("cargo::rerun-if-changed={TABLE}");

    let table = std::fs::read_to_string(TABLE)?;
    let entries: Vec<&str> = table.lines().filter(|line| !line.starts_with('#')).collect();
    let mut indices = String::new();
    let mut pointers = String::new();
    for (index, entry) in entries.iter().enumerate() {
        let (name, signature) = match entry.split_once('(') {
            Some((name, signature)) => (name, Some(signature)),
            None => (*entry, None),
        };
        writeln!(indices, "    pub const {name}TableIndex: Type = {index};")?;
        if let Some(signature) = signature {
            writeln!(
                pointers,
                "pub type PFN_{} = ::core::option::Option<unsafe extern \"C\" fn(DriverGlobals: PWDF_DRIVER_GLOBALS, {signature}>;",
                name.to_uppercase()
            )?;
        }
    }
    let types = format!(
        "pub mod _WDFFUNCENUM {{\n    pub type Type = ::core::ffi::c_int;\n{indices}    pub const WdfFunctionTableNumEntries: Type = {};\n}}\n{pointers}",
        entries.len()
    );

    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    let types_path = out.join("wdf_functions.rs");
    std::fs::write(&types_path, types)?;
    std::fs::write(
        out.join("types_path.rs"),
        format!(
            "#[doc(hidden)]\n#[macro_export]\nmacro_rules! __with_types_path {{\n    ($($tokens:tt)*) => {{\n        $crate::__call_with_types!(r\"{}\", $($tokens)*)\n    }};\n}}\n",
            types_path.display()
        ),
    )?;
    Ok(())
}
