//! The loader: maps driver images, binds their imports, and knows what every code address belongs to.

mod cpuid;
pub mod image;
pub mod pe;
mod symbols;
pub(crate) mod unwind;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::export::Thunks;
use crate::guarded::Guarded;
use crate::kernel::Kernel;
pub use image::{Image, ImageId, LoadError, Refused};

/// Where the loader finds images and what it is told about them. Windows' own rules (folders, service keys) are the
/// implementor's.
pub trait ImageSource {
    /// The bytes of the file.
    ///
    /// # Errors
    /// When it cannot be read.
    fn read(&self, path: &Path) -> std::io::Result<Vec<u8>>;

    /// The file that the import `name` of the image at `importer` means.
    fn find_import(&self, importer: &Path, name: &str) -> Option<PathBuf>;

    /// The host's file with the debug symbols (PDB) of an image, for stacks in reports.
    fn symbols(&self, image: &Path) -> Option<PathBuf> {
        let _ = image;
        None
    }

    /// The registry path that an export driver's `DllInitialize` is given.
    fn registry_path(&self, image: &Path) -> String;
}

/// The images of a machine.
#[derive(Debug, Default)]
pub(crate) struct Loader {
    pub(crate) images: Guarded<Vec<Arc<Image>>>,
    pub(crate) thunks: Guarded<Thunks>,
    next: Guarded<u32>,
}

impl Loader {
    fn image_at(&self, address: u64) -> Option<Arc<Image>> {
        let find =
            |images: &mut Vec<Arc<Image>>| images.iter().find(|image| image.contains(address)).cloned();
        self.images.try_with(find).flatten()
    }

    /// Whether a loaded image lies there.
    pub(crate) fn is_in_image(&self, address: u64) -> bool {
        self.image_at(address).is_some()
    }

    /// `image!function+offset` and the source line of `lookup`; the offset is that of `address`.
    pub(crate) fn resolve(&self, lookup: u64, address: u64) -> (String, Option<String>) {
        match self.image_at(lookup) {
            Some(image) => image.resolve(lookup, address),
            None => (format!("{address:#x}"), None),
        }
    }
}

impl Kernel {
    /// The loaded image of `id`.
    ///
    /// # Panics
    /// When it is not loaded (any more).
    #[must_use]
    pub fn image(&self, id: ImageId) -> Arc<Image> {
        let find = |images: &mut Vec<Arc<Image>>| images.iter().find(|image| image.id == id).cloned();
        self.loader.images.with(find).unwrap_or_else(|| panic!("image {id:?} is not loaded"))
    }

    /// The loaded image that `address` lies in.
    #[must_use]
    pub fn image_of(&self, address: u64) -> Option<Arc<Image>> {
        self.loader.image_at(address)
    }

    /// All loaded images, in the order in which they came.
    #[must_use]
    pub fn images(&self) -> Vec<Arc<Image>> {
        self.loader.images.with(|images| images.clone())
    }

    /// Whether `address` is code that may be called: of an image, a thunk, or the test program itself.
    pub(crate) fn is_code(&self, address: u64) -> bool {
        if self.memory.space.contains(address) {
            let thunks = matches!(self.memory.space.find(address),
                Some(region) if region.freed_by.is_none() && matches!(&region.kind, crate::memory::space::Kind::System(what) if what == "import thunks"));
            thunks || self.loader.image_at(address).is_some_and(|image| image.is_code(address))
        } else {
            self.options.host_code && address > 0xFFFF
        }
    }
}
