//! The import tables against the committed list.

use object::LittleEndian as LE;
use object::read::pe::Import;

use crate::file::File;
use crate::rules::Verdict;

/// `module | name | first Windows release | source`, one a line.
const LIST: &str = include_str!("imports.list");

/// Windows releases, oldest first, as the list spells them.
const RELEASES: [&str; 12] =
    ["2000", "XP", "2003", "XP x64", "Vista", "7", "8", "8.1", "10 1507", "10 1607", "10 1903", "10 2004"];

/// The oldest release that the drivers must load on (D8 of docs/architecture.md).
const OLDEST_SERVED: &str = "10 2004";

/// One line of the list.
struct Entry<'a> {
    module: &'a str,
    name: &'a str,
    release: &'a str,
    source: &'a str,
}

fn list() -> Vec<Entry<'static>> {
    LIST.lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let parts: Vec<&str> = line.split('|').map(str::trim).collect();
            let [module, name, release, source] = parts[..] else {
                panic!("imports.list: {line:?} has not 4 parts")
            };
            Entry { module, name, release, source }
        })
        .collect()
}

/// The modules that an image imports from, sorted.
pub fn modules(image: &File) -> Result<Vec<String>, String> {
    let mut modules: Vec<String> = imports(image)?.into_iter().map(|(module, _)| module).collect();
    modules.sort();
    modules.dedup();
    Ok(modules)
}

/// Every import as (module, name).
fn imports(image: &File) -> Result<Vec<(String, String)>, String> {
    let headers = image.headers()?;
    let table = headers
        .directories
        .import_table(image.bytes.as_slice(), &headers.sections)
        .map_err(|error| error.to_string())?
        .ok_or("no import directory")?;
    let mut found = Vec::new();
    let mut descriptors = table.descriptors().map_err(|error| error.to_string())?;
    while let Some(descriptor) = descriptors.next().map_err(|error| error.to_string())? {
        let module = table.name(descriptor.name.get(LE)).map_err(|error| error.to_string())?;
        let module = String::from_utf8_lossy(module).into_owned();
        let mut thunks =
            table.thunks(descriptor.original_first_thunk.get(LE)).map_err(|error| error.to_string())?;
        while let Some(thunk) =
            thunks.next::<object::pe::ImageNtHeaders64>().map_err(|error| error.to_string())?
        {
            match table.import::<object::pe::ImageNtHeaders64>(thunk).map_err(|error| error.to_string())? {
                Import::Name(_, name) => {
                    found.push((module.clone(), String::from_utf8_lossy(name).into_owned()));
                }
                Import::Ordinal(ordinal) => return Err(format!("{module} is imported by ordinal {ordinal}")),
            }
        }
    }
    Ok(found)
}

/// Every import is on the list, from the module the list gives, and as old as the oldest Windows served.
pub fn known_and_old_enough(image: &File) -> Verdict {
    known_in(image, &list())
}

fn known_in(image: &File, list: &[Entry<'_>]) -> Verdict {
    let age = |release: &str| RELEASES.iter().position(|known| *known == release);
    let mut wrong = Vec::new();
    for (module, name) in imports(image)? {
        // The interface's own exports are held against the specification by another rule.
        if module == "netdma.sys" {
            if !crate::rules::INTERFACE.contains(&name.as_str()) {
                wrong.push(format!("{name} is none of the interface's functions"));
            }
            continue;
        }
        match list.iter().find(|entry| entry.name == name) {
            None => wrong.push(format!("{module}!{name} is not on the list")),
            Some(entry) if entry.module != module => {
                wrong.push(format!("{name} is imported from {module}, not {}", entry.module));
            }
            Some(entry) if age(entry.release) > age(OLDEST_SERVED) || age(entry.release).is_none() => {
                wrong.push(format!("{name} is newer than Windows {OLDEST_SERVED}: {}", entry.release));
            }
            Some(entry) if entry.source.is_empty() => wrong.push(format!("{name} has no source")),
            Some(_) => {}
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("; ")) }
}

/// The names on the list that none of `images` imports.
pub fn unused(images: &[File]) -> Vec<String> {
    let imported: Vec<(String, String)> = images.iter().flat_map(|image| imports(image).unwrap()).collect();
    list()
        .iter()
        .filter(|entry| !imported.iter().any(|(_, name)| name == entry.name))
        .map(|entry| entry.name.to_owned())
        .collect()
}

#[test]
fn an_import_that_is_missing_from_the_list_or_too_new_is_named() {
    let image = File::built("ioatdma");
    let name = "KeInsertQueueDpc";
    let without: Vec<Entry<'_>> = list().into_iter().filter(|entry| entry.name != name).collect();
    assert!(known_in(&image, &without).unwrap_err().contains("KeInsertQueueDpc is not on the list"));

    let mut newer = list();
    newer.iter_mut().find(|entry| entry.name == name).unwrap().release = "11 24H2";
    assert!(known_in(&image, &newer).unwrap_err().contains("KeInsertQueueDpc is newer"));

    let mut elsewhere = list();
    elsewhere.iter_mut().find(|entry| entry.name == name).unwrap().module = "hal.dll";
    assert!(known_in(&image, &elsewhere).unwrap_err().contains("from ntoskrnl.exe, not hal.dll"));
}
