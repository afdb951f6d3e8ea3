//! Stand-in for `wdk-build` 0.6.0 on machines without the WDK.
//!
//! The real crate looks for an installed WDK and refuses to go on without one. Here there is nothing to find: every
//! driver of this workspace is a KMDF driver for x86-64, bound at 1.15, and the linker is LLVM's. What build scripts
//! see is the same: two functions, one error type, the same `cfg`s.

use std::fmt;

/// Why a build script must fail.
#[derive(Debug)]
pub enum ConfigError {
    /// The target is not the only one the stand-in serves.
    UnsupportedTarget(String),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnsupportedTarget(target) => write!(
                f,
                "drivers are built for x86_64-pc-windows-msvc, not for {target:?}: use `cargo xtask drivers`"
            ),
        }
    }
}

impl std::error::Error for ConfigError {}

/// What the linker is told about every driver. Public for the defect drivers, which are no cdylibs.
///
/// The real crate's list (its `configure_binary_build`), with three differences that come from LLVM's linker:
/// `/KERNEL`, `/MAPINFO:EXPORTS` and `/IGNORE` of two Microsoft warnings are unknown to it, so they are left out;
/// `/RELEASE` writes the image checksum that the kernel demands; `/BREPRO` replaces time stamps by a hash.
pub const LINK_ARGUMENTS: &[&str] = &[
    "/DRIVER",
    "/NODEFAULTLIB",
    "/SUBSYSTEM:NATIVE",
    "/ENTRY:FxDriverEntry",
    "/NXCOMPAT",
    "/DYNAMICBASE",
    "/HIGHENTROPYVA",
    "/INTEGRITYCHECK",
    "/OPT:REF,ICF",
    "/MANIFEST:NO",
    "/RELEASE",
    "/BREPRO",
    "/DEBUG",
];

/// Configures the build of a driver: the `cfg`s and the arguments of the linker.
///
/// # Errors
/// The target is not x86_64-pc-windows-msvc.
pub fn configure_wdk_binary_build() -> Result<(), ConfigError> {
    let target = std::env::var("TARGET").unwrap_or_default();
    if target != "x86_64-pc-windows-msvc" {
        return Err(ConfigError::UnsupportedTarget(target));
    }
    for argument in LINK_ARGUMENTS {
        println!("cargo::rustc-cdylib-link-arg={argument}");
    }
    configure_wdk_library_build()
}

/// Configures the build of a library that depends on the WDK: the `cfg`s alone.
///
/// # Errors
/// None; the real function has some.
pub fn configure_wdk_library_build() -> Result<(), ConfigError> {
    println!("cargo::rerun-if-changed=build.rs");
    println!(r#"cargo::rustc-check-cfg=cfg(driver_model__driver_type, values("WDM", "KMDF", "UMDF"))"#);
    println!(r#"cargo::rustc-cfg=driver_model__driver_type="KMDF""#);
    Ok(())
}
