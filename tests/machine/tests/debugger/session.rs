//! A debugger's session: Node runs `host.js` with docs/windbg/netdma.js in it, and asks here for symbols and memory.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;

use machine::lab::{self, Failure, Lab};
use nthost::loader::Image;
use nthost::{DumpData, Kernel};
use serde_json::{Value, json};

use crate::symbols::Symbols;

/// Most answers that one command may need. A sound machine's longest takes a few thousand; a walk that follows damage
/// for ever would take more.
const MOST_REQUESTS: usize = 60_000;

/// Most bytes of one read.
const MOST_BYTES: u64 = 1 << 20;

/// A row that a command answered.
#[derive(Debug, Clone)]
pub struct Row {
    /// What the debugger shows of it.
    pub text: String,
    /// What it shows when the row is opened.
    pub fields: Value,
}

impl Row {
    /// A field as text, numbers included; empty when there is none.
    pub fn field(&self, name: &str) -> String {
        match &self.fields[name] {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        }
    }

    /// What could not be read, if the row says so.
    pub fn problem(&self) -> Option<String> {
        self.fields.get("Problem").map(|problem| problem.as_str().unwrap_or_default().to_owned())
    }
}

/// What a small dump of a machine that stopped holds: its list of modules, and what drivers added. No memory of a driver.
pub struct SmallDump {
    /// The images that were loaded.
    pub images: Vec<Arc<Image>>,
    /// What the machine's bug check collected.
    pub added: Vec<DumpData>,
}

/// What the debugger looks at.
enum Target<'a> {
    Machine(&'a Kernel),
    Dump(&'a SmallDump),
}

impl Target<'_> {
    fn images(&self) -> Vec<Arc<Image>> {
        match self {
            Self::Machine(k) => k.images(),
            Self::Dump(dump) => dump.images.clone(),
        }
    }

    /// Where an image lies, by its name without the extension.
    fn base_of(&self, image: &str) -> Option<u64> {
        let file = format!("{image}.sys");
        let images = self.images();
        images.iter().find(|loaded| loaded.name.to_lowercase().ends_with(&file)).map(|image| image.base)
    }

    fn memory(&self, address: u64, length: u64) -> Option<Vec<u8>> {
        match self {
            Self::Machine(k) => memory(k, address, length),
            Self::Dump(_) => None,
        }
    }

    /// What a command of the debugger prints; `None` where it does not work.
    fn print(&self, command: &str) -> Option<Vec<String>> {
        match self {
            Self::Dump(dump) if command == ".enumtag" => Some(dump.added.iter().flat_map(tagged).collect()),
            _ => None,
        }
    }
}

/// A block of secondary data as the page of `.enumtag` shows it: id and size, then 16 bytes a line as numbers and as
/// characters, then an empty line.
fn tagged(data: &DumpData) -> Vec<String> {
    let id = &data.id;
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02X}")).collect::<String>();
    let little = |bytes: &[u8]| bytes.iter().rev().map(|byte| format!("{byte:02X}")).collect::<String>();
    let id = format!("{}-{}-{}-{}", little(&id[..4]), little(&id[4..6]), little(&id[6..8]), hex(&id[8..]));
    let mut lines = vec![format!("{{{id}}} - 0x{:x} bytes", data.bytes.len())];
    for bytes in data.bytes.chunks(16) {
        let numbers: Vec<String> = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
        let shown = bytes.iter().map(|&byte| if byte.is_ascii_graphic() { char::from(byte) } else { '.' });
        lines.push(format!("  {:<47}  {}", numbers.join(" "), shown.collect::<String>()));
    }
    lines.push(String::new());
    lines
}

/// Node with the script loaded.
pub struct Session {
    node: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    symbols: HashMap<&'static str, Symbols>,
    /// The script's tables of names.
    pub tables: Value,
    /// Its commands.
    pub commands: Vec<String>,
}

impl Session {
    /// Loads the script.
    ///
    /// # Errors
    /// Node cannot be started, the script cannot be loaded, or the images' symbols cannot be read.
    pub fn start(node: &Path) -> Result<Self, Failure> {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut node = Command::new(node)
            .arg(here.join("tests/debugger/host.js"))
            .arg(here.join("../../docs/windbg/netdma.js"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| Failure::Other(format!("{}: {error}", node.display())))?;
        let (Some(input), Some(output)) = (node.stdin.take(), node.stdout.take()) else {
            return Err(Failure::Other("node has no pipes".into()));
        };
        let mut symbols = HashMap::new();
        for name in lab::PACKAGES {
            symbols.insert(name, Symbols::read(&pdb(name)).map_err(Failure::Other)?);
        }
        let output = BufReader::new(output);
        let mut session = Self { node, input, output, symbols, tables: Value::Null, commands: Vec::new() };
        let mut ready = session.read()?;
        session.tables = ready["tables"].take();
        let commands = ready["ready"].as_array().cloned().unwrap_or_default();
        session.commands = commands.iter().filter_map(|name| Some(name.as_str()?.to_owned())).collect();
        Ok(session)
    }

    /// The symbols of an image.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn symbols(&self, image: &str) -> Result<&Symbols, Failure> {
        self.symbols.get(image).ok_or_else(|| Failure::Other(format!("no symbols of {image}")))
    }

    /// Runs a command on the machine, which does not go on meanwhile.
    ///
    /// # Errors
    /// The script threw something, or does not come to an end.
    pub fn run(&mut self, lab: &mut Lab, command: &str, arguments: Value) -> Result<Vec<Row>, Failure> {
        lab.run(|k| self.run_on(&Target::Machine(k), command, &arguments))?
    }

    /// Runs a command on what is left of a machine.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_on_dump(
        &mut self,
        dump: &SmallDump,
        command: &str,
        arguments: Value,
    ) -> Result<Vec<Row>, Failure> {
        self.run_on(&Target::Dump(dump), command, &arguments)
    }

    fn run_on(&mut self, target: &Target<'_>, command: &str, arguments: &Value) -> Result<Vec<Row>, Failure> {
        self.say(&json!({ "call": command, "arguments": arguments }))?;
        for _ in 0..MOST_REQUESTS {
            let said = self.read()?;
            if let Some(rows) = said["rows"].as_array() {
                let row = |row: &Value| Row {
                    text: row["text"].as_str().unwrap_or_default().to_owned(),
                    fields: row["fields"].clone(),
                };
                return Ok(rows.iter().map(row).collect());
            }
            let answer = self.answer(target, &said);
            self.say(&answer)?;
        }
        Err(Failure::Other(format!("{command} does not come to an end")))
    }

    fn answer(&self, target: &Target<'_>, asked: &Value) -> Value {
        let text = |name: &str| asked[name].as_str().unwrap_or_default();
        let module = text("module");
        let symbols = self.symbols.get(module);
        match text("ask") {
            "memory" => {
                let address = u64::from_str_radix(text("address"), 16).unwrap_or_default();
                let bytes = target.memory(address, asked["length"].as_u64().unwrap_or(u64::MAX));
                json!({ "bytes": bytes.map(|bytes| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()) })
            }
            "symbol" => {
                let base = target.base_of(module);
                let found = symbols.and_then(|symbols| symbols.global(text("name"))).zip(base);
                match found {
                    Some(((offset, index), base)) => {
                        json!({ "address": format!("{:x}", base + u64::from(offset)), "type": index })
                    }
                    None => json!({ "type": null }),
                }
            }
            "named" => json!({ "type": symbols.and_then(|symbols| symbols.named(text("name"))) }),
            "type" => {
                let index = asked["type"].as_u64().unwrap_or_default() as u32;
                symbols.map_or(Value::Null, |symbols| symbols.layout(index))
            }
            "modules" => {
                let images = target.images();
                let modules = images.iter().map(|image| {
                    json!({ "name": image.name, "base": format!("{:x}", image.base), "size": image.size })
                });
                json!({ "modules": modules.collect::<Vec<_>>() })
            }
            "command" => json!({ "lines": target.print(text("text")) }),
            other => json!({ "error": format!("nobody knows {other}") }),
        }
    }

    fn say(&mut self, value: &Value) -> Result<(), Failure> {
        writeln!(self.input, "{value}").map_err(|error| Failure::Other(format!("node: {error}")))
    }

    fn read(&mut self) -> Result<Value, Failure> {
        let mut line = String::new();
        let length =
            self.output.read_line(&mut line).map_err(|error| Failure::Other(format!("node: {error}")))?;
        if length == 0 {
            return Err(Failure::Other("the script ended: what it threw stands above".into()));
        }
        serde_json::from_str(&line).map_err(|error| Failure::Other(format!("node said {line:?}: {error}")))
    }

    /// Where a field is in the machine's memory: from a static of an image through the names of fields; a number takes an
    /// element of an array.
    ///
    /// # Errors
    /// A name leads nowhere.
    pub fn place(&self, lab: &mut Lab, image: &str, root: &str, path: &[&str]) -> Result<u64, Failure> {
        let lost = || Failure::Other(format!("{image}.sys with {root} is not there"));
        let base = lab.run(|k| Target::Machine(k).base_of(image))?.ok_or_else(lost)?;
        let (offset, index) = self.symbols(image)?.global(root).ok_or_else(lost)?;
        Ok(base + u64::from(offset) + self.offset(image, index, path)?)
    }

    /// How far a field is from the beginning of a type.
    ///
    /// # Errors
    /// A name leads nowhere.
    pub fn field_of(&self, image: &str, name: &str, path: &[&str]) -> Result<u64, Failure> {
        let index = self.symbols(image)?.named(name);
        self.offset(image, index.ok_or_else(|| Failure::Other(format!("no type {name} in {image}")))?, path)
    }

    fn offset(&self, image: &str, index: u32, path: &[&str]) -> Result<u64, Failure> {
        let symbols = self.symbols(image)?;
        let mut layout = symbols.layout(index);
        let mut offset = 0;
        for &step in path {
            let lost = || Failure::Other(format!("{path:?}: nothing is called {step} in {image}"));
            let (distance, next) = match step.parse::<u64>() {
                Ok(number) => {
                    let element = layout["element"].as_u64().ok_or_else(lost)?;
                    (number * symbols.layout(element as u32)["size"].as_u64().unwrap_or_default(), element)
                }
                Err(_) => {
                    let fields = layout["fields"].as_array().ok_or_else(lost)?;
                    let field = fields.iter().find(|field| field["name"] == step).ok_or_else(lost)?;
                    let number = |name: &str| field[name].as_u64().ok_or_else(lost);
                    (number("offset")?, number("type")?)
                }
            };
            offset += distance;
            layout = symbols.layout(next as u32);
        }
        Ok(offset)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.node.kill();
        let _ = self.node.wait();
    }
}

fn pdb(image: &str) -> PathBuf {
    lab::packages().join(image).join(format!("{image}.pdb"))
}

/// Memory as a debugger sees it: nothing where nothing is.
fn memory(k: &Kernel, address: u64, length: u64) -> Option<Vec<u8>> {
    let end = address.checked_add(length).filter(|_| length <= MOST_BYTES)?;
    let pages = (address & !0xFFF..end).step_by(0x1000);
    pages.map(|page| k.physical(page)).all(|frame| frame.is_some()).then(|| k.bytes(address, length as usize))
}
