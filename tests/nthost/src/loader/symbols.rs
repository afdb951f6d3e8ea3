//! Names and source lines of code addresses, from the PDB of an image.

use std::path::Path;

use pdb::FallibleIterator;

/// The procedures of an image, sorted by offset.
#[derive(Debug, Default)]
pub(crate) struct Symbols {
    procedures: Vec<(u32, String)>,
    lines: Vec<(u32, String)>,
}

impl Symbols {
    /// Reads a PDB; without a readable one there are simply no names.
    pub(crate) fn load(pdb: &Path) -> Self {
        Self::read(pdb).unwrap_or_default()
    }

    fn read(path: &Path) -> Result<Self, Box<dyn std::error::Error>> {
        let mut pdb = pdb::PDB::open(std::fs::File::open(path)?)?;
        let map = pdb.address_map()?;
        let mut symbols = Self::default();
        let strings = pdb.string_table().ok();
        let information = pdb.debug_information()?;
        let mut modules = information.modules()?;
        while let Some(module) = modules.next()? {
            let Some(info) = pdb.module_info(&module)? else { continue };
            let program = info.line_program().ok();
            let mut stream = info.symbols()?;
            while let Some(symbol) = stream.next()? {
                let Ok(pdb::SymbolData::Procedure(procedure)) = symbol.parse() else { continue };
                let Some(rva) = procedure.offset.to_rva(&map) else { continue };
                symbols.procedures.push((rva.0, procedure.name.to_string().into_owned()));
                let (Some(program), Some(strings)) = (&program, &strings) else { continue };
                let mut lines = program.lines_for_symbol(procedure.offset);
                while let Some(line) = lines.next()? {
                    let (Some(rva), Ok(file)) =
                        (line.offset.to_rva(&map), program.get_file_info(line.file_index))
                    else {
                        continue;
                    };
                    let file = file.name.to_raw_string(strings)?;
                    symbols.lines.push((rva.0, format!("{}:{}", file.to_string(), line.line_start)));
                }
            }
        }
        let globals = pdb.global_symbols()?;
        let mut publics = globals.iter();
        while let Some(symbol) = publics.next()? {
            if let Ok(pdb::SymbolData::Public(public)) = symbol.parse()
                && public.function
                && let Some(rva) = public.offset.to_rva(&map)
            {
                symbols.procedures.push((rva.0, public.name.to_string().into_owned()));
            }
        }
        // A stable sort: of two names at one offset the procedure's own comes first and is kept.
        symbols.procedures.sort_by_key(|&(rva, _)| rva);
        symbols.procedures.dedup_by_key(|&mut (rva, _)| rva);
        symbols.lines.sort_by_key(|&(rva, _)| rva);
        Ok(symbols)
    }

    /// The procedure that `offset` lies in and how far.
    pub(crate) fn procedure(&self, offset: u32) -> Option<(&str, u32)> {
        let after = self.procedures.partition_point(|&(rva, _)| rva <= offset);
        let (rva, name) = self.procedures.get(after.checked_sub(1)?)?;
        Some((name, offset - rva))
    }

    /// The source line of `offset`.
    pub(crate) fn line(&self, offset: u32) -> Option<&str> {
        let after = self.lines.partition_point(|&(rva, _)| rva <= offset);
        self.lines.get(after.checked_sub(1)?).map(|(_, line)| line.as_str())
    }
}
