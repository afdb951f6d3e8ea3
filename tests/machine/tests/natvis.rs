//! The visualizers in the images' PDBs: they are there, and what they name exists.

#![forbid(unsafe_code)]

#[path = "debugger/symbols.rs"]
#[allow(dead_code, reason = "the debugger's tests use the rest")]
mod symbols;

use std::path::{Path, PathBuf};

use machine::lab::packages;
use serde_json::Value;
use symbols::Symbols;

/// Each image with its visualizers, and where they are in the repository.
const VISUALIZERS: [(&str, &str); 2] =
    [("netdma", "../../interface/sys/netdma.natvis"), ("ioatdma", "../../driver/sys/ioatdma.natvis")];

fn source(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn pdb_of(image: &str) -> PathBuf {
    packages().join(image).join(format!("{image}.pdb"))
}

/// The visualizers that the linker put into a PDB: a stream under the name of each injected source, `/src/files/PATH`.
fn embedded(image: &str) -> Vec<String> {
    let file = std::fs::File::open(pdb_of(image)).expect("`cargo xtask drivers` builds it");
    let mut pdb = pdb::PDB::open(file).expect("a PDB");
    let information = pdb.pdb_information().expect("its information");
    let names = information.stream_names().expect("its named streams");
    let streams = names.iter().filter(|stream| {
        let name = stream.name.to_string().to_lowercase();
        name.starts_with("/src/files/") && name.ends_with(".natvis")
    });
    let ids: Vec<_> = streams.map(|stream| stream.stream_id).collect();
    ids.into_iter()
        .filter_map(|id| {
            let stream = pdb.raw_stream(id).ok()??;
            Some(String::from_utf8_lossy(stream.as_slice()).into_owned())
        })
        .collect()
}

#[test]
fn each_pdb_carries_the_visualizers_of_its_image() {
    for (image, path) in VISUALIZERS {
        let found = embedded(image);
        assert!(found.contains(&source(path)), "{image}.pdb has {} visualizers, not {path}", found.len());
    }
}

/// The parts of a text between `open` and `close`.
fn between<'t>(text: &'t str, open: &str, close: &str) -> Vec<&'t str> {
    text.split(open).skip(1).filter_map(|part| part.split_once(close).map(|(inside, _)| inside)).collect()
}

/// The names of fields that an expression begins its operands with, as paths.
fn paths(expression: &str) -> Vec<Vec<&str>> {
    let operands = expression.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.'));
    operands
        .filter(|operand| operand.starts_with(|c: char| c.is_alphabetic() || c == '_'))
        .map(|operand| operand.split('.').collect())
        .collect()
}

/// The first name of a path that is no field of a type.
fn lost<'p>(symbols: &Symbols, layout: &Value, path: &[&'p str]) -> Option<&'p str> {
    let mut layout = layout.clone();
    for &name in path {
        let field = layout["fields"].as_array()?.iter().find(|field| field["name"] == name).cloned();
        let Some(field) = field else { return Some(name) };
        layout = symbols.layout(field["type"].as_u64().unwrap_or_default() as u32);
    }
    None
}

#[test]
fn what_the_visualizers_name_exists() {
    for (image, path) in VISUALIZERS {
        let symbols = Symbols::read(&pdb_of(image)).expect("a PDB");
        let text = source(path).replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
        let mut seen = 0;
        for part in text.split("<Type Name=\"").skip(1) {
            let (name, rest) = part.split_once("\">").expect("the type's name");
            let body = rest.split("</Type>").next().unwrap_or_default();
            let mut types = symbols.matching(name).peekable();
            assert!(types.peek().is_some(), "{image}.pdb has no {name}");
            let shown = between(body, "<DisplayString>", "</DisplayString>");
            let mut expressions: Vec<&str> = shown.iter().flat_map(|text| between(text, "{", "}")).collect();
            for element in ["Item Name=", "Size", "ValuePointer"] {
                let open = between(body, &format!("<{element}"), "</");
                expressions
                    .extend(open.iter().filter_map(|part| part.split_once('>').map(|(_, inside)| inside)));
            }
            assert!(!expressions.is_empty(), "{name} shows nothing");
            for layout in types {
                for expression in &expressions {
                    // What follows the last comma says how the value reads.
                    let value = expression.rsplit_once(',').map_or(*expression, |(value, _)| value);
                    for path in paths(value) {
                        let missing = lost(&symbols, &layout, &path);
                        assert_eq!(missing, None, "{image}: {name} has no such field in {expression}");
                        seen += 1;
                    }
                }
            }
        }
        assert!(seen > 10, "{image}: {seen} fields were looked at");
    }
}
