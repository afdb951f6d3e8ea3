//! Event tracing: the machine is a session that listens to every provider and decodes TraceLogging events.
//!
//! Layouts: evntprov.h and TraceLoggingProvider.h (public headers of the Windows SDK).

use std::collections::BTreeMap;

use super::status::{INVALID_HANDLE, SUCCESS};
use crate::export::{ANY, PASSIVE};
use crate::kernel::Kernel;

/// What the session has heard.
#[derive(Debug, Default)]
pub(crate) struct Session {
    providers: BTreeMap<u64, Provider>,
    next: u64,
    events: Vec<TraceEvent>,
}

#[derive(Debug, Clone)]
struct Provider {
    id: [u8; 16],
    name: String,
    made_by: u64,
    callback: u64,
    context: u64,
}

/// One event a driver has written.
#[derive(Debug, Clone, PartialEq)]
pub struct TraceEvent {
    /// Virtual time in nanoseconds.
    pub time: u64,
    /// The processor it was written on.
    pub cpu: u32,
    /// IRQL at that time.
    pub irql: u8,
    /// Name of the provider.
    pub provider: String,
    /// Identifier (GUID) of the provider.
    pub provider_id: [u8; 16],
    /// Name of the event.
    pub name: String,
    /// Its level: 1 critical, 2 error, 3 warning, 4 information, 5 verbose.
    pub level: u8,
    /// Its keywords.
    pub keyword: u64,
    /// Its fields in order.
    pub fields: Vec<(String, Value)>,
}

impl TraceEvent {
    /// The field of that name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Value> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value)
    }
}

/// The value of a field.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// An unsigned number (also times, pointers and hexadecimal ones).
    Unsigned(u64),
    /// A signed number.
    Signed(i64),
    /// A floating-point number.
    Float(f64),
    /// A truth value.
    Bool(bool),
    /// Text.
    Text(String),
    /// Bytes: binary fields, GUIDs and whatever else is not decoded further.
    Bytes(Vec<u8>),
    /// The number of fields of a structure that follow.
    Structure(u8),
}

/// `EVENT_DATA_DESCRIPTOR.Type`.
const EVENT_METADATA: u8 = 1;
const PROVIDER_METADATA: u8 = 2;
/// `EVENT_INFO_CLASS` EventProviderSetTraits.
const SET_TRAITS: i32 = 2;
/// The `ControlCode`s an enable callback is told.
const DISABLE: u64 = 0;
const ENABLE: u64 = 1;
/// The level that takes everything (TRACE_LEVEL_VERBOSE) and all keywords.
const LEVEL: u64 = 5;

/// Reads of metadata and payload that end early instead of running past the end.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(head)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn number(&mut self, length: usize) -> Option<u64> {
        self.take(length).map(|bytes| bytes.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte)))
    }

    fn text(&mut self) -> Option<String> {
        let length = self.0.iter().position(|&byte| byte == 0)?;
        let text = self.take(length + 1)?;
        Some(String::from_utf8_lossy(&text[..length]).into_owned())
    }

    fn wide_text(&mut self) -> Option<String> {
        let units = self.0.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
        let text: Vec<u16> = units.take_while(|&unit| unit != 0).collect();
        self.take(text.len() * 2 + 2)?;
        Some(String::from_utf16_lossy(&text))
    }

    /// Tags: bytes whose top bit says that another follows.
    fn tags(&mut self) -> Option<()> {
        while self.byte()? & 0x80 != 0 {}
        Some(())
    }
}

/// The name in provider traits or provider metadata: a 16-bit size, then the name.
fn provider_name(bytes: &[u8]) -> Option<String> {
    let mut bytes = Bytes(bytes);
    bytes.number(2)?;
    bytes.text()
}

/// The name of an event and its fields.
fn decode(metadata: &[u8], payload: &[u8]) -> Option<(String, Vec<(String, Value)>)> {
    let mut metadata = Bytes(metadata);
    let mut payload = Bytes(payload);
    metadata.number(2)?;
    metadata.tags()?;
    let name = metadata.text()?;
    let mut fields = Vec::new();
    while !metadata.0.is_empty() {
        let field = metadata.text()?;
        let input = metadata.byte()?;
        let output = if input & 0x80 != 0 { metadata.byte()? } else { 0 };
        if output & 0x80 != 0 {
            metadata.tags()?;
        }
        let count = match input & 0x60 {
            0x20 => Some(metadata.number(2)?),
            0x40 => Some(payload.number(2)?),
            _ => None,
        };
        for index in 0..count.unwrap_or(1) {
            let name = if count.is_some() { format!("{field}[{index}]") } else { field.clone() };
            fields.push((name, value(input & 0x1F, output & 0x7F, &mut payload)?));
        }
    }
    Some((name, fields))
}

/// One value by its TlgIn type.
fn value(input: u8, output: u8, payload: &mut Bytes<'_>) -> Option<Value> {
    let signed = |value: u64, bits: u32| Value::Signed((value << (64 - bits)) as i64 >> (64 - bits));
    Some(match input {
        1 => Value::Text(payload.wide_text()?),
        2 => Value::Text(payload.text()?),
        3 => signed(payload.number(1)?, 8),
        4 => Value::Unsigned(payload.number(1)?),
        5 => signed(payload.number(2)?, 16),
        6 => Value::Unsigned(payload.number(2)?),
        7 => signed(payload.number(4)?, 32),
        8 | 20 => Value::Unsigned(payload.number(4)?),
        9 => signed(payload.number(8)?, 64),
        10 | 17 | 21 => Value::Unsigned(payload.number(8)?),
        11 => Value::Float(f64::from(f32::from_bits(payload.number(4)? as u32))),
        12 => Value::Float(f64::from_bits(payload.number(8)?)),
        13 => Value::Bool(payload.number(4)? != 0),
        15 | 18 => Value::Bytes(payload.take(16)?.to_vec()),
        22 => {
            let length = payload.number(2)? as usize;
            let units =
                payload.take(length)?.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
            Value::Text(String::from_utf16_lossy(&units.collect::<Vec<_>>()))
        }
        23 => {
            let length = payload.number(2)? as usize;
            Value::Text(String::from_utf8_lossy(payload.take(length)?).into_owned())
        }
        14 | 25 => {
            let length = payload.number(2)? as usize;
            Value::Bytes(payload.take(length)?.to_vec())
        }
        24 => Value::Structure(output),
        _ => Value::Bytes(std::mem::take(&mut payload.0).to_vec()),
    })
}

/// The pieces of an event: `EVENT_DATA_DESCRIPTOR` is Ptr, Size (32 bits) at 8, Type (8 bits) at 12; 16 bytes.
fn pieces(k: &Kernel, count: u32, data: u64) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    let (mut provider, mut metadata, mut payload) = (Vec::new(), Vec::new(), Vec::new());
    for index in 0..u64::from(count) {
        let descriptor = data + index * 16;
        let bytes = k.bytes(k.read(descriptor), k.read::<u32>(descriptor + 8) as usize);
        match k.read::<u8>(descriptor + 12) {
            PROVIDER_METADATA => provider.extend(bytes),
            EVENT_METADATA => metadata.extend(bytes),
            _ => payload.extend(bytes),
        }
    }
    (provider, metadata, payload)
}

/// `EVENT_DESCRIPTOR`: Id, Version, Channel, Level at 4, Opcode, Task, Keyword at 8.
fn write(k: &Kernel, handle: u64, descriptor: u64, count: u32, data: u64) -> i32 {
    let known =
        |session: &mut Session| session.providers.get(&handle).map(|known| (known.name.clone(), known.id));
    let Some((name, provider_id)) = k.services.session.with(known) else { return INVALID_HANDLE };
    let (provider, metadata, payload) = pieces(k, count, data);
    let provider = provider_name(&provider).unwrap_or(name);
    let (name, fields) = decode(&metadata, &payload).unwrap_or_else(|| {
        (format!("event {}", k.read::<u16>(descriptor)), vec![("payload".to_owned(), Value::Bytes(payload))])
    });
    k.record(format!("event {provider}.{name}"), 0);
    let event = TraceEvent {
        time: k.now(),
        cpu: k.cpu_number(),
        irql: k.irql(),
        provider,
        provider_id,
        name,
        level: k.read(descriptor + 4),
        keyword: k.read(descriptor + 8),
        fields,
    };
    k.services.session.with(|session| session.events.push(event));
    SUCCESS
}

/// Calls a provider's enable callback: (SourceId, ControlCode, Level, MatchAnyKeyword, MatchAllKeyword, FilterData,
/// CallbackContext).
fn control(k: &Kernel, provider: &Provider, code: u64) {
    if provider.callback == 0 {
        return;
    }
    let source = k.system_allocate(16, "ETW session id");
    k.write_bytes(source, &provider.id);
    let any = if code == ENABLE { u64::MAX } else { 0 };
    k.call("ETW enable callback", provider.callback, &[source, code, LEVEL, any, 0, 0, provider.context]);
    k.system_free(source);
}

impl Kernel {
    /// All events that drivers have written so far.
    #[must_use]
    pub fn trace_events(&self) -> Vec<TraceEvent> {
        self.services.session.with(|session| session.events.clone())
    }

    /// Providers that code in an image has registered and not unregistered.
    pub(crate) fn providers_of(&self, image: impl Fn(u64) -> bool) -> Vec<String> {
        self.services.session.with(|session| {
            let left = session.providers.values().filter(|provider| image(provider.made_by));
            left.map(|provider| format!("ETW provider {}", provider.name)).collect()
        })
    }
}

crate::export::exports! {
    module "ntoskrnl.exe";

    /// Registers a provider. The machine's session enables it at once.
    fn EtwRegister(k; id: u64, callback: u64, context: u64, handle: u64) -> i32 [PASSIVE, "Learn, EtwRegister"] {
        if k.allocation_fails() {
            return crate::io::layout::status::INSUFFICIENT_RESOURCES;
        }
        let id: [u8; 16] = k.read(id);
        let provider = Provider { id, name: String::new(), made_by: k.caller_address(), callback, context };
        let number = k.services.session.with(|session| {
            session.next += 1;
            session.providers.insert(session.next, provider.clone());
            session.next
        });
        k.write(handle, number);
        control(k, &provider, ENABLE);
        SUCCESS
    }

    /// Unregisters a provider. Its callback is told that nobody listens any more, and never called again.
    fn EtwUnregister(k; handle: u64) -> i32 [PASSIVE, "Learn, EtwUnregister"] {
        let Some(provider) = k.services.session.with(|session| session.providers.get(&handle).cloned()) else {
            return INVALID_HANDLE;
        };
        control(k, &provider, DISABLE);
        k.services.session.with(|session| session.providers.remove(&handle));
        SUCCESS
    }

    /// Tells more about a provider: its traits hold its name.
    fn EtwSetInformation(k; handle: u64, class: i32, information: u64, length: u32) -> i32 [PASSIVE, "Learn, EtwSetInformation"] {
        let traits = k.bytes(information, length as usize);
        let known = k.services.session.with(|session| {
            let provider = session.providers.get_mut(&handle)?;
            if class == SET_TRAITS && let Some(name) = provider_name(&traits) {
                provider.name = name;
            }
            Some(())
        });
        if known.is_some() { SUCCESS } else { INVALID_HANDLE }
    }

    /// Writes an event.
    fn EtwWriteTransfer(k; handle: u64, descriptor: u64, activity: u64, related: u64, count: u32, data: u64) -> i32 [ANY, "Learn, EtwWriteTransfer"] {
        let _ = (activity, related);
        write(k, handle, descriptor, count, data)
    }

    /// Writes an event.
    fn EtwWrite(k; handle: u64, descriptor: u64, activity: u64, count: u32, data: u64) -> i32 [ANY, "Learn, EtwWrite"] {
        let _ = activity;
        write(k, handle, descriptor, count, data)
    }

    /// Makes or tells the activity of the thread. Activities are not followed here: the identifier is all zeros.
    fn EtwActivityIdControl(k; code: u32, activity: u64) -> i32 [ANY, "Learn, EtwActivityIdControl"] {
        let _ = code;
        k.write_bytes(activity, &[0; 16]);
        SUCCESS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_decoded_by_its_metadata() {
        let mut metadata = vec![0, 0, 0];
        metadata.extend(b"Copied\0bytes\0\x0A" as &[u8]);
        metadata.extend(b"file\0\x02" as &[u8]);
        metadata.extend(b"status\0\x87\x0F" as &[u8]);
        let mut payload = 4096u64.to_le_bytes().to_vec();
        payload.extend(b"a.bin\0");
        payload.extend((-5i32).to_le_bytes());
        let (name, fields) = decode(&metadata, &payload).expect("an event");
        assert_eq!(name, "Copied");
        let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value)).collect();
        assert_eq!(fields[0], ("bytes", &Value::Unsigned(4096)));
        assert_eq!(fields[1], ("file", &Value::Text("a.bin".to_owned())));
        assert_eq!(fields[2], ("status", &Value::Signed(-5)));
    }

    #[test]
    fn a_payload_that_ends_early_is_no_event() {
        let metadata = b"\0\0\0Name\0field\0\x0A";
        assert_eq!(decode(metadata, &[1, 2, 3]), None);
    }
}
