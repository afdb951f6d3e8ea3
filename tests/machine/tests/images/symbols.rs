//! The PDB of an image: names by address, and whether it is the image's own.

use std::collections::BTreeMap;

use pdb::{FallibleIterator as _, SymbolData};

use crate::file::File;
use crate::rules::Verdict;

/// One function.
#[derive(Clone, Debug, PartialEq)]
pub struct Function {
    /// Its name with all generic arguments.
    pub name: String,
    /// First byte, relative to the image's base.
    pub start: u32,
    /// Number of bytes.
    pub length: u32,
}

/// What a PDB tells of an image.
pub struct Symbols {
    /// Functions in the order of their addresses; identical ones that the linker folded share an address.
    pub functions: Vec<Function>,
    publics: BTreeMap<u32, Vec<String>>,
    guid: [u8; 16],
}

impl Symbols {
    /// The symbols beside `image`.
    ///
    /// # Errors
    /// There are none, or they cannot be read.
    pub fn of(image: &File) -> Result<Self, String> {
        let path = File::path(&image.name, "pdb");
        let file = std::fs::File::open(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Self::read(file).map_err(|error| format!("{}: {error}", path.display()))
    }

    fn read(file: std::fs::File) -> pdb::Result<Self> {
        let mut pdb = pdb::PDB::open(file)?;
        let addresses = pdb.address_map()?;
        let guid = pdb.pdb_information()?.guid.as_bytes().to_owned();

        let mut publics: BTreeMap<u32, Vec<String>> = BTreeMap::new();
        let table = pdb.global_symbols()?;
        let mut symbols = table.iter();
        while let Some(symbol) = symbols.next()? {
            if let Ok(SymbolData::Public(public)) = symbol.parse()
                && let Some(address) = public.offset.to_rva(&addresses)
            {
                publics.entry(address.0).or_default().push(public.name.to_string().into_owned());
            }
        }

        let mut functions = Vec::new();
        let information = pdb.debug_information()?;
        let mut modules = information.modules()?;
        while let Some(module) = modules.next()? {
            let Some(module) = pdb.module_info(&module)? else { continue };
            let mut symbols = module.symbols()?;
            while let Some(symbol) = symbols.next()? {
                if let Ok(SymbolData::Procedure(function)) = symbol.parse()
                    && let Some(address) = function.offset.to_rva(&addresses)
                {
                    functions.push(Function {
                        name: function.name.to_string().into_owned(),
                        start: address.0,
                        length: function.len,
                    });
                }
            }
        }
        functions.sort_by_key(|function| function.start);
        Ok(Self { functions, publics, guid })
    }

    /// Every name of the code at `address`: the linker's and the compiler's.
    pub fn at(&self, address: u32) -> Vec<&str> {
        let functions = self.functions.iter().filter(|function| function.start == address);
        let publics = self.publics.get(&address).into_iter().flatten();
        functions.map(|function| function.name.as_str()).chain(publics.map(String::as_str)).collect()
    }
}

/// The identifier in the image is that of the PDB beside it, and the name it gives is a bare file name.
pub fn belong_to(image: &File) -> Verdict {
    let headers = image.headers()?;
    let directory =
        headers.directory(object::pe::IMAGE_DIRECTORY_ENTRY_DEBUG as u16).ok_or("no debug directory")?;
    let entries = directory
        .data(image.bytes.as_slice(), &headers.sections)
        .map_err(|error| error.to_string())?
        .chunks_exact(28);
    // PE specification, "Debug Directory": type at 12, size at 16, file offset at 24; type 2 is CodeView, whose
    // record is "RSDS", a GUID, an age, a name.
    for entry in entries {
        let field = |at: usize| entry.get(at..at + 4).map(|bytes| bytes.try_into().map(u32::from_le_bytes));
        let (Some(Ok(2)), Some(Ok(size)), Some(Ok(offset))) = (field(12), field(16), field(24)) else {
            continue;
        };
        let record = image
            .bytes
            .get(offset as usize..offset as usize + size as usize)
            .ok_or("the CodeView record is outside the file")?;
        let guid = record.get(4..20).ok_or("the CodeView record is cut")?;
        let name = record.get(24..).ok_or("the CodeView record is cut")?;
        let name = String::from_utf8_lossy(name.split(|byte| *byte == 0).next().unwrap_or_default());
        if name != format!("{}.pdb", image.name) {
            return Err(format!("the image names its symbols {name:?}"));
        }
        // In the file the first three parts of a GUID are little-endian, in the PDB crate's form big-endian.
        let symbols = Symbols::of(image)?.guid;
        let order = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
        return if order.iter().zip(guid).all(|(from, byte)| symbols[*from] == *byte) {
            Ok(())
        } else {
            Err("the PDB belongs to another build".to_owned())
        };
    }
    Err("no CodeView record".to_owned())
}
