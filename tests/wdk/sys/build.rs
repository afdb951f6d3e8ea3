//! Writes the Rust form of `kmdf-1.15.table`: the indices, the function pointer types, and the macro that calls by
//! name. `wdk-macros` reads the types from a file whose path it is told, as with the real crate; here the path is relative
//! to where cargo runs the compiler, because the macro's text is hashed into the PDB, and with it into the image.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

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
        out.join("call_unsafe_wdf_function_binding.rs"),
        format!(
            "/// Calls a KMDF function by its name.\n///\n/// # Safety\n/// The function's own conditions.\n#[macro_export]\nmacro_rules! call_unsafe_wdf_function_binding {{\n    ($($tokens:tt)*) => {{\n        $crate::__proc_macros::call_unsafe_wdf_function_binding!(r\"{}\", $($tokens)*)\n    }};\n}}\n",
            relative(&types_path)?.display()
        ),
    )?;
    Ok(())
}

/// `path` as it is named from the top folder of the workspace that is being built, where cargo runs the compiler: that of
/// the stand-ins if their own target folder is built in, else the repository. A target folder elsewhere keeps its
/// absolute path.
fn relative(path: &Path) -> Result<PathBuf, std::env::VarError> {
    let here = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?);
    let workspaces = [here.ancestors().nth(1), here.ancestors().nth(3)];
    let below = workspaces.into_iter().flatten().find_map(|workspace| path.strip_prefix(workspace).ok());
    Ok(below.unwrap_or(path).to_owned())
}
