//! Drivers: from a service key to a running image and back.
//!
//! A driver's image is loaded when its service is started, by hand or because a device needs it. Only then is
//! DriverEntry called: an image that came in as somebody's import is not started (Learn, "Creating Export Drivers").

use std::io;
use std::path::{Path, PathBuf};

use super::layout::{device, driver, status};
use super::{HostDispatch, NtStatus, low32};
use crate::files::{ImportNotFound, name};
use crate::kernel::Kernel;
use crate::loader::{ImageId, ImageSource, LoadError};
use crate::registry::SERVICES;

/// A driver object's other half.
#[derive(Debug, Clone)]
pub(crate) struct Driver {
    /// `\Driver\ioatdma`.
    pub(crate) name: String,
    /// The service, for a driver with an image.
    pub(crate) service: String,
    pub(crate) image: Option<ImageId>,
    /// Part of the machine: dispatched here, not in an image.
    pub(crate) host: Option<HostDispatch>,
    /// What to free with the object.
    strings: Vec<u64>,
}

/// The routines that a driver object names; zero where it names none.
#[derive(Debug, Clone)]
pub struct DriverRoutines {
    /// DriverExtension->AddDevice.
    pub add_device: u64,
    /// DriverUnload.
    pub unload: u64,
    /// MajorFunction, by IRP_MJ_ code.
    pub dispatch: Vec<u64>,
}

/// Why a service does not start or stop.
#[derive(Debug)]
pub enum ServiceError {
    /// No key under `Services`.
    NotInstalled(String),
    /// It runs already.
    AlreadyRunning(String),
    /// It does not run.
    NotRunning(String),
    /// The loader refused the image.
    Load(LoadError),
    /// An import lies where the loader does not look, or nowhere.
    Import(ImportNotFound),
    /// DriverEntry failed.
    Entry(String, NtStatus),
    /// It has no unload routine, so it stays.
    NoUnload(String),
    /// Devices still need it.
    InUse(String, usize),
    /// The image stays: other images import from it, or its DllUnload said no.
    ImageStays(String, String),
}

impl core::fmt::Display for ServiceError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::NotInstalled(service) => {
                write!(f, "there is no service {service}; install its package first")
            }
            Self::AlreadyRunning(service) => write!(f, "service {service} runs already; stop it first"),
            Self::NotRunning(service) => write!(f, "service {service} does not run; start it first"),
            Self::Load(error) => write!(f, "{error}"),
            Self::Import(error) => write!(f, "{error}"),
            Self::Entry(service, status) => {
                write!(f, "DriverEntry of {service} failed with {status}; see the events before it")
            }
            Self::NoUnload(service) => {
                write!(
                    f,
                    "service {service} cannot be stopped: its driver has no DriverUnload; it goes with the machine"
                )
            }
            Self::InUse(service, count) => {
                write!(f, "service {service} cannot be stopped: {count} device(s) use it; remove them first")
            }
            Self::ImageStays(service, why) => write!(f, "the image of {service} stays loaded: {why}"),
        }
    }
}

impl core::error::Error for ServiceError {}

/// The machine's disk as the loader reads it.
struct Disk<'a>(&'a Kernel);

impl ImageSource for Disk<'_> {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let path = path.to_string_lossy();
        let found = self.0.system.with(|system| system.files.read(&path).map(|file| file.bytes.clone()));
        found.ok_or_else(|| {
            io::Error::new(io::ErrorKind::NotFound, format!("{path} does not exist on the machine"))
        })
    }

    fn find_import(&self, importer: &Path, wanted: &str) -> Option<PathBuf> {
        let importer = importer.to_string_lossy();
        let found = self.0.system.with(|system| {
            system.files.resolve_import(&importer, wanted).map(|file| PathBuf::from(&file.path))
        });
        found.ok()
    }

    fn symbols(&self, image: &Path) -> Option<PathBuf> {
        self.0.system.with(|system| system.symbols(&image.to_string_lossy()).cloned())
    }

    fn registry_path(&self, image: &Path) -> String {
        // DllInitialize gets the path of the service whose name is the image's (Learn, "DllInitialize").
        let image = image.to_string_lossy();
        let stem = name(&image);
        let stem = stem.rsplit_once('.').map_or(stem, |(stem, _)| stem);
        format!(r"{SERVICES}\{stem}")
    }
}

impl Kernel {
    /// What the driver object of a running service names.
    #[must_use]
    pub fn driver_routines(&self, service: &str) -> Option<DriverRoutines> {
        let object = self.driver_of_service(service)?;
        let extension: u64 = self.read(object + driver::EXTENSION);
        let dispatch =
            (0..driver::MAJOR_FUNCTIONS).map(|major| self.read(object + driver::MAJOR_FUNCTION + 8 * major));
        Some(DriverRoutines {
            add_device: self.read(extension + driver::EXTENSION_ADD_DEVICE),
            unload: self.read(object + driver::UNLOAD),
            dispatch: dispatch.collect(),
        })
    }

    /// Starts a service: loads its image and calls DriverEntry. Returns the driver object.
    pub(crate) fn load_driver(&self, service: &str) -> Result<u64, ServiceError> {
        if let Some(running) = self.driver_of_service(service) {
            return Ok(running);
        }
        let key = format!(r"{SERVICES}\{service}");
        let image = self.load_installed(service)?;
        let entry = self.image(image).entry_point;
        let object = self.create_driver_object(&format!(r"\Driver\{service}"), service, Some(image), None);
        if let Err(error) = self.enter_driver(object, service, &key, entry) {
            let _stays = self.unload_image(image);
            return Err(error);
        }
        Ok(object)
    }

    /// Loads the image of an installed service and calls nothing of it.
    ///
    /// # Errors
    /// The service is not installed, or its image cannot be loaded.
    pub fn load_installed(&self, service: &str) -> Result<ImageId, ServiceError> {
        let key = format!(r"{SERVICES}\{service}");
        let path =
            self.system.with(|system| system.registry.text(&key, "ImagePath").map(crate::files::canonical));
        let path = path.ok_or_else(|| ServiceError::NotInstalled(service.to_owned()))?;
        self.load_image(Path::new(&path), &Disk(self)).map_err(|error| self.explain(error))
    }

    /// Starts a service by hand (`sc start`).
    ///
    /// # Errors
    /// Why it does not start; a service that runs already is one of the reasons.
    pub fn start_service(&self, service: &str) -> Result<(), ServiceError> {
        if self.driver_of_service(service).is_some() {
            return Err(ServiceError::AlreadyRunning(service.to_owned()));
        }
        self.load_driver(service).map(|_| ())
    }

    /// Stops a service by hand (`sc stop`).
    ///
    /// # Errors
    /// Why it does not stop: no DriverUnload, devices that need it, images that import from it.
    pub fn stop_service(&self, service: &str) -> Result<(), ServiceError> {
        self.unload_driver(service)
    }

    /// Starts routines of the host program as if they were the driver of a service: for tests of this crate, on a
    /// machine that was built with `host_code`.
    ///
    /// # Errors
    /// When the entry routine fails.
    pub fn start_host_driver(&self, service: &str, entry: u64) -> Result<(), ServiceError> {
        let key = format!(r"{SERVICES}\{service}");
        let object = self.create_driver_object(&format!(r"\Driver\{service}"), service, None, None);
        self.enter_driver(object, service, &key, entry)
    }

    /// Calls DriverEntry; a driver that refuses leaves nothing behind.
    fn enter_driver(&self, object: u64, service: &str, key: &str, entry: u64) -> Result<(), ServiceError> {
        self.write(object + driver::INIT, entry);
        let registry_path = self.make_unicode_string(key);
        self.keep_string(object, registry_path);
        self.record(format!("start of service {service}"), 0);
        let result = low32(self.call(&format!("DriverEntry of {service}"), entry, &[object, registry_path]));
        if !status::ok(result) {
            self.release_driver_object(object);
            return Err(ServiceError::Entry(service.to_owned(), NtStatus(result)));
        }
        // DriverEntry's devices are ready; a PnP device clears the flag itself (Learn, "Clearing DO_DEVICE_INITIALIZING").
        self.devices_of(object).into_iter().for_each(|target| self.clear_initializing(target));
        Ok(())
    }

    /// Stops a service: DriverUnload, then the image goes.
    pub(crate) fn unload_driver(&self, service: &str) -> Result<(), ServiceError> {
        let object =
            self.driver_of_service(service).ok_or_else(|| ServiceError::NotRunning(service.to_owned()))?;
        let unload: u64 = self.read(object + driver::UNLOAD);
        if unload == 0 {
            return Err(ServiceError::NoUnload(service.to_owned()));
        }
        let users = self.pnp_devices_of(object);
        if users > 0 {
            return Err(ServiceError::InUse(service.to_owned(), users));
        }
        self.record(format!("stop of service {service}"), 0);
        self.call(&format!("DriverUnload of {service}"), unload, &[object]);
        self.check_driver_leftovers(object, service);
        let image = self.io.drivers.with(|drivers| drivers.get(&object).and_then(|known| known.image));
        self.release_driver_object(object);
        match image.map(|image| self.unload_image(image)) {
            Some(Err(refused)) => Err(ServiceError::ImageStays(service.to_owned(), refused.to_string())),
            _ => Ok(()),
        }
    }

    /// A driver that is unloaded must have deleted its device objects.
    fn check_driver_leftovers(&self, object: u64, service: &str) {
        let left = self.devices_of(object);
        if let Some(first) = left.first() {
            self.stop(
                crate::stop::Fault::new(
                    "DeviceObjectLeak",
                    crate::stop::bugcheck::DRIVER_UNLOADED_WITHOUT_CANCELLING_PENDING_OPERATIONS,
                )
                .text(format!("{service} is unloaded and leaves {} device object(s)", left.len()))
                .parameter(*first, "device object"),
            );
        }
    }

    /// Turns "import not found" into the message that says where the file was found instead.
    fn explain(&self, error: LoadError) -> ServiceError {
        let LoadError::NoModule { image, module } = &error else { return ServiceError::Load(error) };
        let importer = image.to_string_lossy();
        let found = self.system.with(|system| system.files.resolve_import(&importer, module).err());
        found.map_or(ServiceError::Load(error), ServiceError::Import)
    }

    /// Makes a driver object.
    pub(crate) fn create_driver_object(
        &self,
        name: &str,
        service: &str,
        image: Option<ImageId>,
        host: Option<HostDispatch>,
    ) -> u64 {
        let at = self.system_allocate(driver::SIZE + driver::EXTENSION_SIZE, format!("DRIVER_OBJECT {name}"));
        let extension = at + driver::SIZE;
        self.write(at, driver::TYPE);
        self.write(at + 2, u16::try_from(driver::SIZE).unwrap_or(0));
        self.write(at + driver::EXTENSION, extension);
        let name_string = self.make_unicode_string(name);
        self.write_bytes(at + driver::NAME, &self.bytes(name_string, 16));
        let service_string = self.make_unicode_string(service);
        self.write(extension, at);
        self.write_bytes(extension + driver::EXTENSION_SERVICE_KEY, &self.bytes(service_string, 16));
        if let Some(image) = image {
            let image = self.image(image);
            self.write(at + driver::START, image.base);
            self.write(at + driver::IMAGE_SIZE, u32::try_from(image.size).unwrap_or(u32::MAX));
        }
        let known = Driver {
            name: name.to_owned(),
            service: service.to_owned(),
            image,
            host,
            strings: vec![name_string, service_string],
        };
        self.io.drivers.with(|drivers| drivers.insert(at, known));
        at
    }

    fn keep_string(&self, object: u64, string: u64) {
        self.io.drivers.with(|drivers| {
            if let Some(known) = drivers.get_mut(&object) {
                known.strings.push(string);
            }
        });
    }

    fn release_driver_object(&self, object: u64) {
        self.forget_framework_driver(object);
        let Some(known) = self.io.drivers.with(|drivers| drivers.remove(&object)) else { return };
        for string in known.strings {
            self.system_free(string);
        }
        self.system_free(object);
    }

    /// The driver object of a running service.
    pub(crate) fn driver_of_service(&self, service: &str) -> Option<u64> {
        self.io.drivers.with(|drivers| {
            let mut all = drivers.iter();
            all.find(|(_, known)| known.service.eq_ignore_ascii_case(service)).map(|(object, _)| *object)
        })
    }

    /// `\Driver\name`.
    pub(crate) fn driver_name(&self, object: u64) -> String {
        let known = self.io.drivers.with(|drivers| drivers.get(&object).map(|known| known.name.clone()));
        known.unwrap_or_else(|| format!("driver {object:#x}"))
    }

    /// The dispatch routine of a driver that is part of the machine.
    pub(crate) fn host_dispatch(&self, object: u64) -> Option<HostDispatch> {
        self.io.drivers.with(|drivers| drivers.get(&object).and_then(|known| known.host))
    }

    /// From now on packets for this driver go to the framework.
    pub(crate) fn set_host_dispatch(&self, object: u64, host: HostDispatch) {
        self.io.drivers.with(|drivers| {
            if let Some(known) = drivers.get_mut(&object) {
                known.host = Some(host);
            }
        });
    }

    /// The running services, by name.
    pub(crate) fn running_services(&self) -> Vec<String> {
        let names = |drivers: &mut std::collections::BTreeMap<u64, Driver>| {
            let images = drivers.values().filter(|known| !known.service.is_empty());
            images.map(|known| known.service.clone()).collect()
        };
        self.io.drivers.with(names)
    }

    /// Clears DO_DEVICE_INITIALIZING.
    pub(crate) fn clear_initializing(&self, target: u64) {
        let flags: u32 = self.read(target + device::FLAGS);
        self.write(target + device::FLAGS, flags & !device::DO_DEVICE_INITIALIZING);
    }
}
