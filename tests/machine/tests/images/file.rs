//! An image in memory, read with a parser that is not the hosted machine's.

use std::path::{Path, PathBuf};

use object::LittleEndian as LE;
use object::pe::{self, ImageDataDirectory, ImageNtHeaders64};
use object::read::pe::{DataDirectories, ImageNtHeaders as _, ImageOptionalHeader as _, SectionTable};

/// One image with its name.
pub struct File {
    /// The name without `.sys`.
    pub name: String,
    /// The whole file.
    pub bytes: Vec<u8>,
}

impl File {
    /// The image that `cargo xtask drivers` built.
    ///
    /// # Panics
    /// It is not there: the message tells the command.
    pub fn built(name: &str) -> Self {
        let path = Self::path(name, "sys");
        let bytes = std::fs::read(&path)
            .unwrap_or_else(|error| panic!("{}: {error}; `cargo xtask drivers` builds it", path.display()));
        Self { name: name.to_owned(), bytes }
    }

    /// Where the file `NAME.extension` of an image is.
    pub fn path(name: &str, extension: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../target/drivers")
            .join(name)
            .join(format!("{name}.{extension}"))
    }

    /// The headers.
    ///
    /// # Errors
    /// This is no 64-bit image, or its headers are cut.
    pub fn headers(&self) -> Result<Headers<'_>, String> {
        let data = self.bytes.as_slice();
        let dos = pe::ImageDosHeader::parse(data).map_err(|error| error.to_string())?;
        let mut offset = u64::from(dos.nt_headers_offset());
        let start = offset;
        let (nt, directories) =
            ImageNtHeaders64::parse(data, &mut offset).map_err(|error| error.to_string())?;
        let sections = nt.sections(data, offset).map_err(|error| error.to_string())?;
        // Signature, file header, then 64 bytes into the optional header (PE specification, "Optional Header").
        let checksum_at = start as usize + 4 + 20 + 64;
        Ok(Headers { nt, directories, sections, checksum_at })
    }
}

/// The headers of an image.
pub struct Headers<'a> {
    /// File header and optional header.
    pub nt: &'a ImageNtHeaders64,
    /// Where imports, exports and so on are.
    pub directories: DataDirectories<'a>,
    /// The section table.
    pub sections: SectionTable<'a>,
    /// Offset in the file of the checksum.
    pub checksum_at: usize,
}

impl Headers<'_> {
    /// The directory entry at `index`, if it is not empty.
    pub fn directory(&self, index: u16) -> Option<&ImageDataDirectory> {
        self.directories.get(index.into()).filter(|entry| entry.virtual_address.get(LE) != 0)
    }

    /// The name of a section.
    pub fn section_name(section: &pe::ImageSectionHeader) -> String {
        String::from_utf8_lossy(section.raw_name()).into_owned()
    }

    /// Address of the entry point relative to the image's base.
    pub fn entry(&self) -> u32 {
        self.nt.optional_header().address_of_entry_point()
    }
}
