//! Loading and unloading of images.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use super::ImageSource;
use super::pe::{Import, Malformed, Pe};
use super::symbols::Symbols;
use crate::kernel::Kernel;
use crate::memory::Create;
use crate::memory::physical::PAGE;
use crate::memory::space::{Access, Kind};
use crate::stop::{Fault, bugcheck};

/// Names a loaded image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ImageId(u32);

/// A loaded image.
#[derive(Debug)]
pub struct Image {
    /// Its name in the machine.
    pub id: ImageId,
    /// The file it came from.
    pub path: PathBuf,
    /// The file's name.
    pub name: String,
    /// Its first address.
    pub base: u64,
    /// Its length in memory.
    pub size: u64,
    /// The entry point (DriverEntry or what the linker put before it).
    pub entry_point: u64,
    /// Its exported functions.
    pub exports: BTreeMap<String, u64>,
    code: Vec<std::ops::Range<u64>>,
    /// Where its CPUID instructions were.
    cpuid: Vec<u64>,
    pub(super) function_table: Option<(usize, usize)>,
    /// The image as it was before it ran: what stack walks read.
    pub(super) headers_and_tables: Vec<u8>,
    imports: Vec<ImageId>,
    load_count: AtomicU32,
    /// Its DllInitialize succeeded: DllUnload is asked before it leaves.
    initialized: AtomicU32,
    /// Where the host keeps its PDB.
    pdb: Option<PathBuf>,
    symbols: OnceLock<Symbols>,
}

impl Image {
    /// Whether `address` lies in the image.
    #[must_use]
    pub fn contains(&self, address: u64) -> bool {
        (self.base..self.base + self.size).contains(&address)
    }

    /// Whether `address` lies in code of the image.
    #[must_use]
    pub fn is_code(&self, address: u64) -> bool {
        self.code.iter().any(|range| range.contains(&address))
    }

    /// Whether the driver has a CPUID instruction at `address`.
    pub(crate) fn is_cpuid(&self, address: u64) -> bool {
        self.cpuid.contains(&address)
    }

    /// How often it was loaded and not unloaded.
    #[must_use]
    pub fn load_count(&self) -> u32 {
        self.load_count.load(Ordering::Relaxed)
    }

    pub(super) fn resolve(&self, lookup: u64, address: u64) -> (String, Option<String>) {
        let offset = |address: u64| (address - self.base) as u32;
        let image = self.name.rsplit('\\').next().unwrap_or_default();
        let symbols = self.symbols.get_or_init(|| self.pdb.as_deref().map(Symbols::load).unwrap_or_default());
        let symbol = match symbols.procedure(offset(lookup)) {
            Some((name, within)) => {
                let within = u64::from(within) + (address - lookup);
                format!("{image}!{name}+{within:#x}")
            }
            None => format!("{image}+{:#x}", offset(address)),
        };
        (symbol, symbols.line(offset(lookup)).map(str::to_owned))
    }
}

/// Why an image could not be loaded.
#[derive(Debug)]
pub enum LoadError {
    /// The file cannot be read.
    Unreadable {
        /// The file.
        image: PathBuf,
        /// The system's reason.
        reason: std::io::Error,
    },
    /// The file is no loadable driver image.
    Malformed {
        /// The file.
        image: PathBuf,
        /// What is wrong.
        reason: Malformed,
    },
    /// A module it imports from is neither the kernel nor a file where Windows looks.
    NoModule {
        /// The importing file.
        image: PathBuf,
        /// The module.
        module: String,
    },
    /// A module it imports from has no such function.
    NoFunction {
        /// The importing file.
        image: PathBuf,
        /// The module.
        module: String,
        /// The function.
        function: String,
    },
    /// Two images import from one another.
    Circular {
        /// The file that was met again.
        image: PathBuf,
    },
    /// `DllInitialize` of an export driver failed.
    DllInitialize {
        /// The export driver's file.
        image: PathBuf,
        /// What it returned.
        status: i32,
    },
    /// The machine has no memory left for it.
    NoMemory {
        /// The file.
        image: PathBuf,
    },
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { image, reason } => write!(f, "{}: cannot be read: {reason}", image.display()),
            Self::Malformed { image, reason } => write!(f, "{}: {reason}", image.display()),
            Self::NoModule { image, module } => write!(
                f,
                "{}: imports from {module}, which is neither in its own folder nor in System32\\Drivers",
                image.display()
            ),
            Self::NoFunction { image, module, function } => {
                write!(f, "{}: imports {function} from {module}, which does not export it", image.display())
            }
            Self::Circular { image } => write!(f, "{}: imports lead back to it", image.display()),
            Self::DllInitialize { image, status } => {
                write!(f, "{}: DllInitialize returned {:#010x}", image.display(), *status as u32)
            }
            Self::NoMemory { image } => write!(f, "{}: no machine memory left for it", image.display()),
        }
    }
}

impl std::error::Error for LoadError {}

impl LoadError {
    /// For an import that cannot be bound: the importing file, and the module or function it wants.
    #[must_use]
    pub fn missing_import(&self) -> Option<(&Path, &str)> {
        match self {
            Self::NoModule { image, module } => Some((image, module)),
            Self::NoFunction { image, function, .. } => Some((image, function)),
            _ => None,
        }
    }
}

/// An export driver that does not want to leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Its file name.
    pub image: String,
    /// What its DllUnload returned.
    pub status: i32,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: DllUnload returned {:#010x}; it stays loaded", self.image, self.status as u32)
    }
}

impl std::error::Error for Refused {}

impl Kernel {
    /// Loads the driver image at `path` with everything it imports; counts one more load when it is there already.
    ///
    /// Export drivers that come in as imports get their `DllInitialize` call before this returns; nobody's entry
    /// point is called here. To be called at PASSIVE_LEVEL in a thread.
    ///
    /// # Errors
    /// [`LoadError`]; what had been loaded for it is unloaded again.
    pub fn load_image(&self, path: &Path, source: &dyn ImageSource) -> Result<ImageId, LoadError> {
        self.load(path, source, &mut Vec::new())
    }

    fn load(
        &self,
        path: &Path,
        source: &dyn ImageSource,
        loading: &mut Vec<PathBuf>,
    ) -> Result<ImageId, LoadError> {
        let image = path.to_owned();
        if let Some(loaded) = self.images().iter().find(|loaded| loaded.path == path) {
            loaded.load_count.fetch_add(1, Ordering::Relaxed);
            return Ok(loaded.id);
        }
        if loading.contains(&image) {
            return Err(LoadError::Circular { image });
        }
        let file = match source.read(path) {
            Ok(file) => file,
            Err(reason) => return Err(LoadError::Unreadable { image, reason }),
        };
        loading.push(image);
        let mut imports = Vec::new();
        let loaded = self.place(path, &file, source, loading, &mut imports);
        loading.pop();
        if loaded.is_err() {
            self.release_imports(&imports);
        }
        loaded
    }

    fn place(
        &self,
        path: &Path,
        file: &[u8],
        source: &dyn ImageSource,
        loading: &mut Vec<PathBuf>,
        imports: &mut Vec<ImageId>,
    ) -> Result<ImageId, LoadError> {
        let malformed = |reason| LoadError::Malformed { image: path.to_owned(), reason };
        let pe = Pe::parse(file).map_err(malformed)?;
        let mut bytes = pe.lay_out(file);
        for import in pe.imports(&bytes).map_err(malformed)? {
            let address = self.bind(path, &import, source, loading, imports)?;
            let slot = import.slot as usize;
            bytes[slot..slot + 8].copy_from_slice(&address.to_le_bytes());
        }
        let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let no_memory = || LoadError::NoMemory { image: path.to_owned() };
        let create = Create::new(Kind::Image(name.clone()), u64::from(pe.image_size));
        let base = self.memory.create(&create).ok_or_else(no_memory)?;
        let finished = pe.relocate(&mut bytes, base).and_then(|()| pe.exports(&bytes));
        let exports = match finished {
            Ok(exports) => exports,
            Err(reason) => {
                self.memory.destroy(base, 0);
                return Err(malformed(reason));
            }
        };
        let cpuid = super::cpuid::replace(&mut bytes, pe.function_table());
        self.write_bytes(base, &bytes);
        if self.protect_image(base, &pe).is_err() {
            self.memory.destroy(base, 0);
            return Err(no_memory());
        }
        let code = pe.sections.iter().filter(|section| section.executable);
        let code = code.map(|section| {
            base + u64::from(section.address)..base + u64::from(section.address + section.size)
        });
        let id = ImageId(self.loader.next.with(|next| {
            *next += 1;
            *next
        }));
        let image = Image {
            id,
            path: path.to_owned(),
            name,
            base,
            size: u64::from(pe.image_size),
            entry_point: base + u64::from(pe.entry_point),
            exports: exports.into_iter().map(|(name, offset)| (name, base + u64::from(offset))).collect(),
            code: code.collect(),
            cpuid: cpuid.into_iter().map(|offset| base + u64::from(offset)).collect(),
            function_table: pe.function_table(),
            headers_and_tables: bytes,
            imports: imports.clone(),
            load_count: AtomicU32::new(1),
            initialized: AtomicU32::new(0),
            pdb: source.symbols(path),
            symbols: OnceLock::new(),
        };
        self.record(format!("image {} loaded", image.name), 0);
        self.loader.images.with(|images| images.push(Arc::new(image)));
        Ok(id)
    }

    /// The address of what an import names.
    fn bind(
        &self,
        importer: &Path,
        import: &Import,
        source: &dyn ImageSource,
        loading: &mut Vec<PathBuf>,
        imports: &mut Vec<ImageId>,
    ) -> Result<u64, LoadError> {
        let Import { module, function, .. } = import;
        let no_function = || LoadError::NoFunction {
            image: importer.to_owned(),
            module: module.clone(),
            function: function.clone(),
        };
        if self.is_kernel_module(module) {
            let export = self.find_export(Some(module), function).ok_or_else(no_function)?;
            return Ok(self.export_address(export));
        }
        let no_module = || LoadError::NoModule { image: importer.to_owned(), module: module.clone() };
        let path = source.find_import(importer, module).ok_or_else(no_module)?;
        let id = match imports.iter().find(|&&id| self.image(id).path == path) {
            Some(&id) => id,
            None => {
                let id = self.load(&path, source, loading)?;
                imports.push(id);
                self.initialize_export_driver(id, source)?;
                id
            }
        };
        self.image(id).exports.get(function).copied().ok_or_else(no_function)
    }

    /// Calls `DllInitialize` of an export driver that came in as an import, once.
    fn initialize_export_driver(&self, id: ImageId, source: &dyn ImageSource) -> Result<(), LoadError> {
        let image = self.image(id);
        let Some(&initialize) = image.exports.get("DllInitialize") else { return Ok(()) };
        if image.initialized.load(Ordering::Relaxed) != 0 {
            return Ok(());
        }
        let path = self.make_unicode_string(&source.registry_path(&image.path));
        let status = self.call("DllInitialize", initialize, &[path]) as i32;
        self.system_free(path);
        if status < 0 {
            return Err(LoadError::DllInitialize { image: image.path.clone(), status });
        }
        image.initialized.store(1, Ordering::Relaxed);
        Ok(())
    }

    /// Read-only headers and data, executable code, writable data; never both.
    fn protect_image(&self, base: u64, pe: &Pe) -> std::io::Result<()> {
        let pages = |size: u32| u64::from(size).div_ceil(PAGE);
        self.memory.space.protect(base, pages(pe.image_size), Access::Read)?;
        for section in &pe.sections {
            let access = match (section.executable, section.writable) {
                (true, _) => Access::Execute,
                (false, true) => Access::ReadWrite,
                (false, false) => continue,
            };
            self.memory.space.protect(base + u64::from(section.address), pages(section.size), access)?;
        }
        Ok(())
    }

    /// Takes one load back. The last one makes the image leave, with the imports that nobody else needs.
    ///
    /// What the image has left behind (pool, DPCs, timers, threads …) stops the machine. The driver's own unload
    /// routine is the caller's to call before; `DllUnload` is called here.
    ///
    /// # Errors
    /// [`Refused`] when its `DllUnload` does not agree: it stays loaded, and so do its imports.
    pub fn unload_image(&self, id: ImageId) -> Result<(), Refused> {
        let image = self.image(id);
        if image.load_count() > 1 {
            image.load_count.fetch_sub(1, Ordering::Relaxed);
            return Ok(());
        }
        if image.initialized.load(Ordering::Relaxed) != 0
            && let Some(&unload) = image.exports.get("DllUnload")
        {
            let status = self.call("DllUnload", unload, &[]) as i32;
            if status < 0 {
                return Err(Refused { image: image.name.clone(), status });
            }
        }
        self.check_unload(&image);
        self.loader.images.with(|images| images.retain(|other| other.id != id));
        self.memory.destroy(image.base, 0);
        self.record(format!("image {} unloaded", image.name), 0);
        self.release_imports(&image.imports);
        Ok(())
    }

    /// Unloads what was loaded for an image. An export driver that refuses stays with a load count of one, as nobody's
    /// import, until something that imports it comes and goes.
    fn release_imports(&self, imports: &[ImageId]) {
        for &import in imports.iter().rev() {
            if let Err(refused) = self.unload_image(import) {
                self.record(format!("{refused}"), 0);
            }
        }
    }

    fn check_unload(&self, image: &Image) {
        let mine = |address: u64| image.contains(address);
        let leaks = self.pool_in_use(mine);
        if !leaks.is_empty() {
            let list: Vec<_> = leaks
                .iter()
                .map(|leak| format!("'{}' {} bytes from {}", leak.tag, leak.size, self.symbol(leak.made_by)))
                .collect();
            self.stop(
                Fault::new("Pool Tracking", bugcheck::DRIVER_VERIFIER_DETECTED_VIOLATION)
                    .text(format!(
                        "{} is unloaded and has not freed {} pool allocations: {}",
                        image.name,
                        leaks.len(),
                        list.join("; ")
                    ))
                    .parameter(0x62, "pool not freed before unload")
                    .parameter(0, "")
                    .parameter(0, "")
                    .parameter(leaks.len() as u64, "allocations not freed"),
            );
        }
        self.check_services_at_unload(image);
        self.check_nothing_live_in(image.base, image.base + image.size, &format!("image {}", image.name));
    }
}
