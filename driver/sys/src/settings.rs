//! The settings of a device, from its registry key.

use ioat_core::settings::{
    Found, INTERRUPT_DELAY, INTERRUPT_KIND, NETDMA_VERSION, Row, SELF_TEST, Settings, WATCHDOG,
};
use netdma_events::{Event, Hex, Setting, Sink};
use nt::irql::Passive;
use nt::object;
use nt::registry::Key;
use nt::string::{Wide, widen};
use nt::{Result, Status};

use crate::TRACE;

/// The settings of the device `pdo`. A key that cannot be opened is one without values.
pub fn read(pdo: &object::Device, location: Hex, irql: &Passive) -> Settings {
    let key = Key::of_device(pdo, irql);
    Settings::read(
        |row| match key.as_ref() {
            Ok(key) => found(key.dword(name(row), irql)),
            Err(_) => Found::Absent,
        },
        |row, value| ignored(location, row.setting, value),
    )
}

/// Says that a setting is not followed.
pub fn ignored(location: Hex, setting: Setting, value: Found) {
    let value = match value {
        Found::Number(value) => Hex(value.into()),
        _ => Hex(u64::MAX),
    };
    TRACE.write(Event::SettingIgnored { location, setting, value });
}

fn found(value: Result<u32>) -> Found {
    match value {
        Ok(value) => Found::Number(value),
        Err(Status::OBJECT_TYPE_MISMATCH) => Found::NotANumber,
        Err(_) => Found::Absent,
    }
}

/// The name as the registry wants it.
fn name(row: &Row) -> Wide<'static> {
    macro_rules! of {
        ($row:ident) => {{
            const CHARACTERS: [u16; $row.name.len()] = widen($row.name);
            Wide::new(&CHARACTERS)
        }};
    }
    match row.setting {
        Setting::InterruptKind => of!(INTERRUPT_KIND),
        Setting::NetDmaVersion => of!(NETDMA_VERSION),
        Setting::InterruptDelay => of!(INTERRUPT_DELAY),
        Setting::Watchdog => of!(WATCHDOG),
        Setting::SelfTest => of!(SELF_TEST),
    }
}
