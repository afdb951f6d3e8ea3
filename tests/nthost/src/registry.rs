//! The registry: one tree of keys, names that do not care about case, typed values.
//!
//! Paths are those of the kernel: `\Registry\Machine\System\CurrentControlSet\Services\name`.

use std::collections::BTreeMap;

/// A key's value with its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// REG_NONE.
    None(Vec<u8>),
    /// REG_SZ.
    Sz(String),
    /// REG_EXPAND_SZ.
    ExpandSz(String),
    /// REG_BINARY.
    Binary(Vec<u8>),
    /// REG_DWORD.
    Dword(u32),
    /// REG_MULTI_SZ.
    MultiSz(Vec<String>),
    /// REG_QWORD.
    Qword(u64),
    /// Any other type, kept as bytes.
    Other(u32, Vec<u8>),
}

impl Value {
    /// The type number of winnt.h.
    pub fn kind(&self) -> u32 {
        match self {
            Self::None(_) => 0,
            Self::Sz(_) => 1,
            Self::ExpandSz(_) => 2,
            Self::Binary(_) => 3,
            Self::Dword(_) => 4,
            Self::MultiSz(_) => 7,
            Self::Qword(_) => 11,
            Self::Other(kind, _) => *kind,
        }
    }

    /// The data as it is stored: strings in UTF-16 with their final zero.
    pub fn to_bytes(&self) -> Vec<u8> {
        let wide =
            |text: &str| text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
        match self {
            Self::Sz(text) | Self::ExpandSz(text) => wide(text),
            Self::MultiSz(texts) => {
                let mut bytes: Vec<u8> = texts.iter().flat_map(|text| wide(text)).collect();
                bytes.extend([0, 0]);
                bytes
            }
            Self::Dword(number) => number.to_le_bytes().to_vec(),
            Self::Qword(number) => number.to_le_bytes().to_vec(),
            Self::None(bytes) | Self::Binary(bytes) | Self::Other(_, bytes) => bytes.clone(),
        }
    }

    /// The value that `bytes` of type `kind` are; malformed numbers and strings are kept as bytes.
    pub fn from_bytes(kind: u32, bytes: &[u8]) -> Self {
        let units = || -> Vec<u16> {
            bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect()
        };
        let text = || {
            let units = units();
            let end = units.iter().position(|unit| *unit == 0).unwrap_or(units.len());
            String::from_utf16_lossy(&units[..end])
        };
        match (kind, bytes.len()) {
            (0, _) => Self::None(bytes.to_vec()),
            (1, _) => Self::Sz(text()),
            (2, _) => Self::ExpandSz(text()),
            (3, _) => Self::Binary(bytes.to_vec()),
            (4, 4) => Self::Dword(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])),
            (7, _) => {
                let all = units();
                let texts = all.split(|unit| *unit == 0).take_while(|part| !part.is_empty());
                Self::MultiSz(texts.map(String::from_utf16_lossy).collect())
            }
            (11, 8) => {
                let mut number = [0; 8];
                number.copy_from_slice(bytes);
                Self::Qword(u64::from_le_bytes(number))
            }
            _ => Self::Other(kind, bytes.to_vec()),
        }
    }
}

/// A key: its own name, its keys, its values.
#[derive(Debug, Clone, Default)]
pub struct Key {
    name: String,
    keys: BTreeMap<String, Key>,
    values: BTreeMap<String, (String, Value)>,
}

impl Key {
    /// The name as it was created.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value called `name` (empty: the default value).
    pub fn value(&self, name: &str) -> Option<&Value> {
        self.values.get(&name.to_lowercase()).map(|(_, value)| value)
    }

    /// All values with their names.
    pub fn values(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.values.values().map(|(name, value)| (name.as_str(), value))
    }

    /// The keys below.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.keys.values()
    }
}

/// The whole registry.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    root: Key,
}

/// Where services live.
pub const SERVICES: &str = r"\Registry\Machine\System\CurrentControlSet\Services";
/// Where devices live.
pub const ENUM: &str = r"\Registry\Machine\System\CurrentControlSet\Enum";
/// Where the software keys of devices live.
pub const CLASS: &str = r"\Registry\Machine\System\CurrentControlSet\Control\Class";
/// Where device interfaces live.
pub const DEVICE_CLASSES: &str = r"\Registry\Machine\System\CurrentControlSet\Control\DeviceClasses";

impl Registry {
    /// The key at `path`.
    pub fn key(&self, path: &str) -> Option<&Key> {
        parts(path).try_fold(&self.root, |key, part| key.keys.get(&part.to_lowercase()))
    }

    /// The key at `path`, created with its parents where missing; says whether it is new.
    pub fn create(&mut self, path: &str) -> (&mut Key, bool) {
        let mut created = false;
        let mut key = &mut self.root;
        for part in parts(path) {
            key = key.keys.entry(part.to_lowercase()).or_insert_with(|| {
                created = true;
                Key { name: part.to_owned(), ..Key::default() }
            });
        }
        (key, created)
    }

    /// A value of the key at `path`.
    pub fn value(&self, path: &str, name: &str) -> Option<&Value> {
        self.key(path)?.value(name)
    }

    /// A number, if the value is one.
    pub fn dword(&self, path: &str, name: &str) -> Option<u32> {
        match self.value(path, name)? {
            Value::Dword(number) => Some(*number),
            _ => None,
        }
    }

    /// A string, if the value is one.
    pub fn text(&self, path: &str, name: &str) -> Option<&str> {
        match self.value(path, name)? {
            Value::Sz(text) | Value::ExpandSz(text) => Some(text),
            _ => None,
        }
    }

    /// Sets a value; the key is created where missing.
    pub fn set(&mut self, path: &str, name: &str, value: Value) {
        self.create(path).0.values.insert(name.to_lowercase(), (name.to_owned(), value));
    }

    /// Removes a value; says whether it was there.
    pub fn remove_value(&mut self, path: &str, name: &str) -> bool {
        let known = self.key(path).is_some();
        known && self.create(path).0.values.remove(&name.to_lowercase()).is_some()
    }

    /// Removes a key and everything below; says whether it was there.
    pub fn remove_key(&mut self, path: &str) -> bool {
        let (parent, name) = path.trim_end_matches('\\').rsplit_once('\\').unwrap_or(("", path));
        let known = self.key(parent).is_some();
        known && self.create(parent).0.keys.remove(&name.to_lowercase()).is_some()
    }
}

fn parts(path: &str) -> impl Iterator<Item = &str> {
    path.split('\\').filter(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_values_ignore_case_and_keep_their_spelling() {
        let mut registry = Registry::default();
        registry.set(r"\Registry\Machine\Test", "Depth", Value::Dword(7));
        assert_eq!(registry.dword(r"\REGISTRY\machine\tEST", "depth"), Some(7));
        let key = registry.key(r"\registry\machine\test").unwrap();
        assert_eq!(key.name(), "Test");
        assert_eq!(key.values().map(|(name, _)| name).collect::<Vec<_>>(), ["Depth"]);
    }

    #[test]
    fn a_missing_key_stays_missing_when_asked_for_a_value() {
        let mut registry = Registry::default();
        assert_eq!(registry.dword(r"\Registry\A\B", "x"), None);
        assert!(!registry.remove_value(r"\Registry\A\B", "x"));
        assert!(registry.key(r"\Registry\A").is_none());
        let (_, created) = registry.create(r"\Registry\A\B");
        assert!(created);
        let (_, created) = registry.create(r"\Registry\a\b");
        assert!(!created);
        assert!(registry.remove_key(r"\Registry\a\b"));
        assert!(registry.key(r"\Registry\A\B").is_none());
    }

    #[test]
    fn every_type_survives_the_way_to_bytes_and_back() {
        let values = [
            Value::None(vec![1]),
            Value::Sz("a".into()),
            Value::ExpandSz("%x%".into()),
            Value::Binary(vec![1, 2, 3]),
            Value::Dword(5),
            Value::MultiSz(vec!["a".into(), "bc".into()]),
            Value::Qword(1 << 40),
            Value::Other(99, vec![4]),
        ];
        for value in values {
            assert_eq!(Value::from_bytes(value.kind(), &value.to_bytes()), value);
        }
        assert_eq!(Value::Sz("a".into()).to_bytes(), [b'a', 0, 0, 0]);
        assert_eq!(Value::from_bytes(4, &[1, 2]), Value::Other(4, vec![1, 2]));
    }
}
