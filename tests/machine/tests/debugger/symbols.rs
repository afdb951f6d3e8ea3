//! What a debugger knows of an image from its PDB: where its statics are, and how its types are laid out.

use std::collections::HashMap;
use std::path::Path;

use pdb::{FallibleIterator as _, PrimitiveKind, PrimitiveType, SymbolData, TypeData, TypeFinder, TypeIndex};
use serde_json::{Value, json};

/// The symbols of one image.
pub struct Symbols {
    /// Address relative to the image's base, and type.
    statics: HashMap<String, (u32, u32)>,
    /// By name, the definition.
    named: HashMap<String, u32>,
    /// By number, in the form that `host.js` takes.
    types: HashMap<u32, Value>,
}

impl Symbols {
    /// Reads all of a PDB.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(path: &Path) -> Result<Self, String> {
        let file = std::fs::File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Self::of(file).map_err(|error| format!("{}: {error}", path.display()))
    }

    fn of(file: std::fs::File) -> pdb::Result<Self> {
        let mut pdb = pdb::PDB::open(file)?;
        let addresses = pdb.address_map()?;
        let mut statics = HashMap::new();
        let table = pdb.global_symbols()?;
        let mut symbols = table.iter();
        while let Some(symbol) = symbols.next()? {
            if let Ok(SymbolData::Data(data)) = symbol.parse()
                && let Some(address) = data.offset.to_rva(&addresses)
            {
                statics.insert(data.name.to_string().into_owned(), (address.0, data.type_index.0));
            }
        }
        let information = pdb.type_information()?;
        let mut finder = information.finder();
        let mut named = HashMap::new();
        let mut all = Vec::new();
        let mut types = information.iter();
        while let Some(item) = types.next()? {
            finder.update(&types);
            all.push(item.index());
            let name = match item.parse() {
                Ok(TypeData::Class(class)) if !class.properties.forward_reference() => class.name,
                Ok(TypeData::Union(union)) if !union.properties.forward_reference() => union.name,
                Ok(TypeData::Enumeration(one)) if !one.properties.forward_reference() => one.name,
                _ => continue,
            };
            named.insert(name.to_string().into_owned(), item.index().0);
        }
        // The built-in types, which have numbers of their own and are not in the list.
        let built_in = (0..0x1000).map(TypeIndex);
        let types = built_in.chain(all).map(|index| (index.0, describe(&finder, &named, index))).collect();
        Ok(Self { statics, named, types })
    }

    /// Where a static is, relative to the image's base, and its type.
    pub fn global(&self, name: &str) -> Option<(u32, u32)> {
        self.statics.get(name).copied()
    }

    /// The type called so.
    pub fn named(&self, name: &str) -> Option<u32> {
        self.named.get(name).copied()
    }

    /// The types whose names a pattern with at most one `*` takes, as [`layout`](Self::layout) gives them.
    pub fn matching<'s>(&'s self, pattern: &'s str) -> impl Iterator<Item = Value> + 's {
        let (start, end) = pattern.split_once('*').unwrap_or((pattern, ""));
        let exact = !pattern.contains('*');
        let fits = move |name: &str| {
            if exact { name == start } else { name.starts_with(start) && name.ends_with(end) }
        };
        self.named.iter().filter(move |(name, _)| fits(name)).map(|(_, index)| self.layout(*index))
    }

    /// A type as `host.js` takes it.
    pub fn layout(&self, index: u32) -> Value {
        self.types.get(&index).cloned().unwrap_or_else(other)
    }

    /// The names of an enumeration, by value.
    pub fn enumeration(&self, name: &str) -> Option<&Value> {
        self.types.get(&self.named(name)?)?.get("names")
    }
}

/// One type, forward references followed.
fn describe(finder: &TypeFinder<'_>, named: &HashMap<String, u32>, index: TypeIndex) -> Value {
    let Ok(data) = finder.find(index).and_then(|item| item.parse()) else { return other() };
    let definition = |name: &pdb::RawString<'_>| named.get(name.to_string().as_ref()).copied();
    match data {
        TypeData::Class(class) if class.properties.forward_reference() => {
            definition(&class.name).map_or_else(other, |index| describe(finder, named, TypeIndex(index)))
        }
        TypeData::Union(union) if union.properties.forward_reference() => {
            definition(&union.name).map_or_else(other, |index| describe(finder, named, TypeIndex(index)))
        }
        TypeData::Class(class) => {
            json!({ "kind": "struct", "size": class.size, "fields": fields(finder, class.fields) })
        }
        TypeData::Union(union) => {
            json!({ "kind": "struct", "size": union.size, "fields": fields(finder, Some(union.fields)) })
        }
        TypeData::Pointer(pointer) => {
            json!({ "kind": "pointer", "size": 8, "target": pointer.underlying_type.0 })
        }
        TypeData::Array(array) => json!({
            "kind": "array",
            "size": array.dimensions.last().copied().unwrap_or(0),
            "element": array.element_type.0,
        }),
        TypeData::Modifier(modifier) => describe(finder, named, modifier.underlying_type),
        TypeData::Enumeration(one) => {
            let size = describe(finder, named, one.underlying_type)["size"].clone();
            json!({ "kind": "enumeration", "size": size, "names": names(finder, one.fields) })
        }
        TypeData::Primitive(data) => primitive(data, index.0),
        _ => other(),
    }
}

/// A type that nothing is to be read of.
fn other() -> Value {
    json!({ "kind": "other", "size": 0 })
}

/// A built-in type; the low byte of its number is the type that a pointer points to.
fn primitive(data: PrimitiveType, index: u32) -> Value {
    let number = |size: u32, signed: bool| json!({ "kind": "number", "size": size, "signed": signed });
    if data.indirection.is_some() {
        return json!({ "kind": "pointer", "size": 8, "target": index & 0xFF });
    }
    match data.kind {
        PrimitiveKind::I8 | PrimitiveKind::Char | PrimitiveKind::RChar => number(1, true),
        PrimitiveKind::U8 | PrimitiveKind::UChar => number(1, false),
        PrimitiveKind::I16 | PrimitiveKind::Short => number(2, true),
        PrimitiveKind::U16 | PrimitiveKind::UShort => number(2, false),
        PrimitiveKind::I32 | PrimitiveKind::Long => number(4, true),
        PrimitiveKind::U32 | PrimitiveKind::ULong => number(4, false),
        PrimitiveKind::I64 | PrimitiveKind::Quad => number(8, true),
        PrimitiveKind::U64 | PrimitiveKind::UQuad => number(8, false),
        PrimitiveKind::Bool8 => json!({ "kind": "bool", "size": 1 }),
        _ => other(),
    }
}

fn fields(finder: &TypeFinder<'_>, list: Option<TypeIndex>) -> Vec<Value> {
    let mut found = Vec::new();
    each(finder, list, &mut |field| {
        if let TypeData::Member(member) = field {
            found.push(json!({
                "name": member.name.to_string(),
                "offset": member.offset,
                "type": member.field_type.0,
            }));
        }
    });
    found
}

fn names(finder: &TypeFinder<'_>, list: TypeIndex) -> Value {
    let mut found = serde_json::Map::new();
    each(finder, Some(list), &mut |field| {
        if let TypeData::Enumerate(one) = field {
            found.insert(one.value.to_string(), json!(one.name.to_string()));
        }
    });
    Value::Object(found)
}

/// Every entry of a field list and of those it goes on in.
fn each<'t>(finder: &TypeFinder<'t>, mut list: Option<TypeIndex>, see: &mut dyn FnMut(&TypeData<'t>)) {
    while let Some(index) = list {
        let Ok(TypeData::FieldList(fields)) = finder.find(index).and_then(|item| item.parse()) else {
            return;
        };
        fields.fields.iter().for_each(&mut *see);
        list = fields.continuation;
    }
}
