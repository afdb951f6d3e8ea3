//! Where `core` and `alloc` for Windows come from.
//!
//! In this order: the compiled target, the `rust-src` component, library sources fetched before, library sources of
//! exactly the compiler's version from the machine's own Debian archive. Nothing here ever asks rustup to install
//! anything: that is the user's to do, and some machines must not.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::Failure;
use crate::{cache, toolchain_debian};

/// The target of every driver.
pub const TARGET: &str = "x86_64-pc-windows-msvc";

/// A compiler that can build drivers.
#[derive(Debug)]
pub struct Toolchain {
    /// The compiler's version, `1.95.0`.
    pub version: String,
    /// The folder that holds the compiler's libraries.
    pub sysroot: PathBuf,
    /// LLVM's linker, of the toolchain.
    pub linker: PathBuf,
    /// The `library` folder of the sources, when `core` and `alloc` must be built; `None` when the target is
    /// installed.
    pub sources: Option<PathBuf>,
}

impl Toolchain {
    /// Finds the compiler that cargo uses and what it needs, fetching the library sources when there is no other
    /// way.
    ///
    /// # Errors
    /// There is no compiler, no linker, or no way to the library sources; the message tells each remedy.
    pub fn find() -> Result<Self, Failure> {
        let about = Compiler::ask()?;
        let linker = linker(&about).ok_or_else(|| {
            Failure::usage(
                "there is no rust-lld, neither with the compiler nor with cargo: the drivers are linked with the \
                 linker of the Rust toolchain; use one of rustup",
            )
        })?;
        let sources = match installed(&about.sysroot) {
            Some(Installed::Target) => None,
            Some(Installed::Sources(library)) => Some(library),
            None => Some(cached_or_fetched(&about.version)?),
        };
        Ok(Self { version: about.version, sysroot: about.sysroot, linker, sources })
    }

    /// Tells cargo how to come by `core` and `alloc`.
    ///
    /// `RUSTC_BOOTSTRAP` opens cargo's `-Z` options; where the target is installed the compiler itself is told to
    /// stay as stable as it is.
    pub fn configure(&self, cargo: &mut Command) {
        self.configure_for(cargo, "core,alloc");
    }

    /// The same for a program of user mode, which needs all of `std`. It can be checked, not linked: the C library's
    /// import libraries are Microsoft's.
    pub fn configure_for_programs(&self, cargo: &mut Command) {
        self.configure_for(cargo, "std,panic_abort");
    }

    fn configure_for(&self, cargo: &mut Command, libraries: &str) {
        cargo.env("RUSTC_BOOTSTRAP", "1");
        match &self.sources {
            Some(library) => {
                cargo.arg(format!("-Zbuild-std={libraries}")).env("__CARGO_TESTS_ONLY_SRC_ROOT", library);
            }
            None => {
                cargo.args(["--config", "env.RUSTC_BOOTSTRAP={value=\"-1\",force=true}"]);
            }
        }
    }

    /// One line for the reader: what is used.
    pub fn describe(&self) -> String {
        match &self.sources {
            None => format!("rustc {} with the installed target {TARGET}", self.version),
            Some(library) => format!("rustc {}, core and alloc from {}", self.version, library.display()),
        }
    }
}

/// What the compiler says of itself.
struct Compiler {
    version: String,
    host: String,
    sysroot: PathBuf,
}

impl Compiler {
    fn ask() -> Result<Self, Failure> {
        let verbose = rustc(&["-vV"])?;
        let field = |name: &str| {
            verbose
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
                .map(str::to_owned)
                .ok_or_else(|| Failure::usage(format!("`rustc -vV` does not tell its {name}:\n{verbose}")))
        };
        let sysroot = PathBuf::from(rustc(&["--print", "sysroot"])?.trim());
        Ok(Self { version: field("release")?, host: field("host")?, sysroot })
    }
}

/// LLVM's linker: that of the compiler's toolchain, or of cargo's when the compiler comes from elsewhere and has none.
fn linker(about: &Compiler) -> Option<PathBuf> {
    let cargo = std::env::var_os("CARGO").map(PathBuf::from);
    let with_cargo = cargo.as_deref().and_then(|cargo| Some(cargo.parent()?.parent()?.to_owned()));
    [Some(about.sysroot.clone()), with_cargo]
        .into_iter()
        .flatten()
        .map(|toolchain| toolchain.join("lib/rustlib").join(&about.host).join("bin/rust-lld"))
        .find(|path| path.is_file())
}

/// Runs the compiler that cargo uses, from the repository, so that its toolchain file counts.
fn rustc(arguments: &[&str]) -> Result<String, Failure> {
    let program = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(&program)
        .args(arguments)
        .current_dir(crate::workspace::root())
        .env("RUSTUP_AUTO_INSTALL", "0")
        .output()
        .map_err(|error| Failure::usage(format!("{program:?} cannot be started: {error}")))?;
    if !output.status.success() {
        return Err(Failure::usage(format!(
            "{program:?} {}: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        )));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// What the toolchain itself brings.
#[derive(Debug, PartialEq)]
enum Installed {
    Target,
    Sources(PathBuf),
}

fn installed(sysroot: &Path) -> Option<Installed> {
    let libraries = sysroot.join("lib/rustlib").join(TARGET).join("lib");
    let compiled = std::fs::read_dir(libraries).is_ok_and(|entries| {
        entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("libcore-"))
    });
    if compiled {
        return Some(Installed::Target);
    }
    let library = sysroot.join("lib/rustlib/src/rust/library");
    library.join("core/src/lib.rs").is_file().then_some(Installed::Sources(library))
}

/// The library sources of `version` in the cache, fetched on the first call.
fn cached_or_fetched(version: &str) -> Result<PathBuf, Failure> {
    let folder = cache::folder()?.join(format!("rust-src-{version}"));
    let library = folder.join("library");
    let _lock = cache::lock()?;
    if !library.join("core/src/lib.rs").is_file() {
        toolchain_debian::fetch_sources(version, &folder).map_err(|failure| {
            Failure::usage(format!(
                "the standard library for {TARGET} is missing, and its sources could not be fetched.\n  \
                 {failure}\n\
                 Any one of these helps:\n  \
                 rustup target add {TARGET}\n  \
                 rustup component add rust-src\n  \
                 a copy of the `library` folder of Rust {version}'s sources as {}",
                library.display()
            ))
        })?;
    }
    Ok(library)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sysroot with the given files.
    fn sysroot(name: &str, files: &[&str]) -> PathBuf {
        let root = std::env::temp_dir().join(format!("netdma-sysroot-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&root);
        for file in files {
            let path = root.join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        root
    }

    const CORE: &str = "lib/rustlib/x86_64-pc-windows-msvc/lib/libcore-0123.rlib";
    const SOURCES: &str = "lib/rustlib/src/rust/library/core/src/lib.rs";

    #[test]
    fn the_compiled_target_is_taken_before_the_sources() {
        let root = sysroot("both", &[CORE, SOURCES]);
        assert_eq!(installed(&root), Some(Installed::Target));
        std::fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn an_empty_target_folder_is_not_an_installed_target() {
        let root = sysroot("empty", &["lib/rustlib/x86_64-pc-windows-msvc/lib/readme", SOURCES]);
        assert_eq!(installed(&root), Some(Installed::Sources(root.join("lib/rustlib/src/rust/library"))));
        std::fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn a_bare_toolchain_brings_neither() {
        let root = sysroot("bare", &["bin/rustc"]);
        assert_eq!(installed(&root), None);
        std::fs::remove_dir_all(root).unwrap();
    }
}
