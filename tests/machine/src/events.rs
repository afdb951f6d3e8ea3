//! The drivers' events, as a trace session would decode them.

use std::fmt;

use netdma_events::{EVENTS, Entry, Kind};
use nthost::{TraceEvent, Value};

/// An event that a driver emitted.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// Its row in the table.
    pub entry: &'static Entry,
    /// Its values, in the order of the row's fields.
    pub values: Vec<u64>,
}

impl Seen {
    /// An event as the machine's trace session decoded it, held against the table.
    ///
    /// # Errors
    /// What contradicts the table, as a trace reader would stumble over it.
    pub fn of(event: &TraceEvent) -> Result<Self, String> {
        let TraceEvent { name, level, keyword, fields, .. } = event;
        let entry = EVENTS
            .iter()
            .find(|entry| entry.name == name)
            .ok_or_else(|| format!("no event is called {name}"))?;
        if (*level, *keyword) != (entry.level as u8, entry.keyword as u64) {
            return Err(format!("{name}: level {level} and keyword {keyword:#x} are not those of the table"));
        }
        let names = || fields.iter().map(|(field, _)| field.as_str());
        if !names().eq(entry.fields.iter().map(|field| field.name)) {
            return Err(format!(
                "{name}: the fields {:?} are not those of the table",
                names().collect::<Vec<_>>()
            ));
        }
        let number = |(field, value): &(String, Value)| match value {
            Value::Unsigned(number) => Ok(*number),
            other => Err(format!("{name}: {field} is {other:?}, not a number")),
        };
        Ok(Self { entry, values: fields.iter().map(number).collect::<Result<_, _>>()? })
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

/// Holds each event of a machine against the table, and takes note of its name: a run of all tests has seen every event.
///
/// # Errors
/// As [`Seen::of`].
pub fn note(events: &[TraceEvent]) -> Result<(), String> {
    for event in events.iter().filter(|event| event.name != "FrameworkVersion") {
        proof::event(Seen::of(event)?.name());
    }
    Ok(())
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

    fn event(name: &str, fields: &[(&str, u64)]) -> TraceEvent {
        let entry = EVENTS.iter().find(|entry| entry.name == name).expect("an event of the table");
        TraceEvent {
            time: 0,
            cpu: 0,
            irql: 0,
            provider: "NetDMA".into(),
            provider_id: [0; 16],
            name: name.into(),
            level: entry.level as u8,
            keyword: entry.keyword as u64,
            fields: fields.iter().map(|(name, value)| ((*name).into(), Value::Unsigned(*value))).collect(),
        }
    }

    #[test]
    fn an_event_reads_as_its_row_says() {
        let event = event("StartRefused", &[("provider", 3), ("reason", 9), ("detail", 0xC000_0001)]);
        let seen = Seen::of(&event).unwrap();
        assert_eq!(seen.value("provider"), Some(3));
        assert_eq!(seen.to_string(), "StartRefused provider=3 reason=NoMemory detail=0xc0000001");
    }

    #[test]
    fn what_contradicts_the_table_is_refused() {
        let good = event("InterfaceLoaded", &[]);
        assert!(Seen::of(&good).is_ok());
        assert!(Seen::of(&TraceEvent { name: "Nonsense".into(), ..good.clone() }).is_err());
        assert!(Seen::of(&TraceEvent { level: 1, ..good.clone() }).is_err());
        assert!(Seen::of(&TraceEvent { keyword: 0, ..good.clone() }).is_err());
        assert!(Seen::of(&event("InterfaceLoaded", &[("provider", 1)])).is_err());
        let text = vec![("provider".to_owned(), Value::Text("1".into()))];
        assert!(Seen::of(&TraceEvent { fields: text, ..event("ProviderStopped", &[]) }).is_err());
    }
}
