//! The drivers' events, as a trace session would decode them.

use std::fmt;

use netdma_events::{EVENTS, Entry, Kind};

/// An event that a driver emitted.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// Its row in the table.
    pub entry: &'static Entry,
    /// Its values, in the order of the row's fields.
    pub values: Vec<u64>,
}

impl Seen {
    /// Decodes what a driver gave to ETW: the descriptor's id and the data, part by part (provider metadata, event
    /// metadata, values).
    ///
    /// # Errors
    /// What contradicts the table, as a trace reader would stumble over it.
    pub fn decode(id: u16, parts: &[Vec<u8>]) -> Result<Self, String> {
        let entry =
            EVENTS.iter().find(|entry| entry.id == id).ok_or_else(|| format!("no event has id {id}"))?;
        let [_provider, metadata, values] = parts else {
            return Err(format!("{}: {} parts instead of three", entry.name, parts.len()));
        };
        if metadata != entry.metadata {
            return Err(format!("{}: its description is not that of the table", entry.name));
        }
        if values.len() != 8 * entry.fields.len() {
            return Err(format!("{}: {} bytes for {} values", entry.name, values.len(), entry.fields.len()));
        }
        let word = |bytes: &[u8]| bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
        Ok(Self { entry, values: values.chunks_exact(8).map(word).collect() })
    }

    /// The event's name.
    pub fn name(&self) -> &'static str {
        self.entry.name
    }

    /// The value of the field called `name`.
    pub fn value(&self, name: &str) -> Option<u64> {
        let at = self.entry.fields.iter().position(|field| field.name == name)?;
        self.values.get(at).copied()
    }
}

/// `EngineError channel=0 errors=0x100 completed=0x1040`.
impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.entry.name)?;
        for (field, value) in self.entry.fields.iter().zip(&self.values) {
            write!(f, " {}=", field.name)?;
            match field.kind {
                Kind::Number => write!(f, "{value}")?,
                Kind::Hex => write!(f, "{value:#x}")?,
                Kind::Status => write!(f, "{value:#010x}")?,
                Kind::Named(names) => match names.iter().find(|name| name.value == *value) {
                    Some(name) => f.write_str(name.name)?,
                    None => write!(f, "{value}?")?,
                },
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str) -> &'static Entry {
        EVENTS.iter().find(|entry| entry.name == name).expect("an event of the table")
    }

    fn words(values: &[u64]) -> Vec<u8> {
        values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    #[test]
    fn an_event_reads_as_its_row_says() {
        let entry = entry("StartRefused");
        let parts = [vec![], entry.metadata.to_vec(), words(&[3, 9, 0xC000_0001])];
        let seen = Seen::decode(entry.id, &parts).unwrap();
        assert_eq!(seen.value("provider"), Some(3));
        assert_eq!(seen.to_string(), "StartRefused provider=3 reason=NoMemory detail=0xc0000001");
    }

    #[test]
    fn what_contradicts_the_table_is_refused() {
        let entry = entry("InterfaceLoaded");
        let good = [vec![], entry.metadata.to_vec(), vec![]];
        assert!(Seen::decode(entry.id, &good).is_ok());
        assert!(Seen::decode(9999, &good).is_err());
        assert!(Seen::decode(entry.id, &good[..2]).is_err());
        assert!(Seen::decode(entry.id, &[vec![], vec![1], vec![]]).is_err());
        assert!(Seen::decode(entry.id, &[vec![], entry.metadata.to_vec(), vec![0; 8]]).is_err());
    }
}
