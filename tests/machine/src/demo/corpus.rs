//! The files that are copied.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// How much the default files come to at least.
pub const DEFAULT_BYTES: u64 = 64 << 20;

/// A file to copy.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    /// Where it is.
    pub path: PathBuf,
    /// Its length when it was found.
    pub bytes: u64,
}

/// The files that `inputs` name, those in folders in the order of their names.
///
/// # Errors
/// One line that names what cannot be read, or the folder without a file.
pub fn named(inputs: &[PathBuf]) -> Result<Vec<Input>, String> {
    let mut files = Vec::new();
    for input in inputs {
        let before = files.len();
        collect(input, &mut files)?;
        if files.len() == before {
            return Err(format!("{}: no file in this folder", input.display()));
        }
    }
    // Reading begins when the machine already runs: find out now what may not be read.
    for file in &files {
        File::open(&file.path).map_err(|error| unreadable(&file.path, &error))?;
    }
    Ok(files)
}

/// Files of the Rust toolchain that runs here, smallest first, until they come to [`DEFAULT_BYTES`].
///
/// # Errors
/// One line, when the toolchain's folder cannot be found or read.
pub fn toolchain() -> Result<Vec<Input>, String> {
    let output = Command::new("rustc").args(["--print", "sysroot"]).output();
    let output = output.map_err(|error| format!("rustc: {error}; name files to copy instead"))?;
    let sysroot = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    let mut files = Vec::new();
    for folder in ["bin", "lib"] {
        collect(&sysroot.join(folder), &mut files)?;
    }
    files.sort_by(|a, b| (a.bytes, &a.path).cmp(&(b.bytes, &b.path)));
    let mut total = 0;
    let enough = files.iter().position(|file| {
        total += file.bytes;
        total >= DEFAULT_BYTES
    });
    match enough {
        Some(last) => files.truncate(last + 1),
        None => {
            return Err(format!(
                "{} holds only {total} bytes, less than the {DEFAULT_BYTES} wanted; name files to copy instead",
                sysroot.display()
            ));
        }
    }
    Ok(files)
}

/// Adds the file `path`, or every file below it. Links inside folders are not followed: they can form circles.
fn collect(path: &Path, files: &mut Vec<Input>) -> Result<(), String> {
    let failed = |error: io::Error| unreadable(path, &error);
    let kind = fs::metadata(path).map_err(failed)?;
    if kind.is_file() {
        files.push(Input { path: path.to_owned(), bytes: kind.len() });
        return Ok(());
    }
    if !kind.is_dir() {
        return Err(format!("{}: neither a file nor a folder", path.display()));
    }
    let entries: io::Result<Vec<fs::DirEntry>> = fs::read_dir(path).map_err(failed)?.collect();
    let mut entries = entries.map_err(failed)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let kind = entry.file_type().map_err(failed)?;
        if kind.is_file() || kind.is_dir() {
            collect(&entry.path(), files)?;
        }
    }
    Ok(())
}

fn unreadable(path: &Path, error: &io::Error) -> String {
    format!("{}: cannot be read: {error}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of its own for one test, removed in the end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("corpus-{name}-{}", std::process::id()));
            fs::create_dir_all(folder.join("inner")).unwrap();
            Self(folder)
        }

        fn file(&self, name: &str, bytes: usize) -> PathBuf {
            let path = self.0.join(name);
            fs::write(&path, vec![7; bytes]).unwrap();
            path
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn folders_are_searched_in_the_order_of_names() {
        let folder = Folder::new("order");
        let expected = [folder.file("a", 1), folder.file("inner/b", 0), folder.file("z", 3)];
        let files = named(std::slice::from_ref(&folder.0)).unwrap();
        assert_eq!(
            files.iter().map(|file| &file.path).collect::<Vec<_>>(),
            expected.iter().collect::<Vec<_>>()
        );
        assert_eq!(files.iter().map(|file| file.bytes).collect::<Vec<_>>(), [1, 0, 3]);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let folder = Folder::new("missing");
        let missing = folder.0.join("missing");
        let message = named(std::slice::from_ref(&missing)).unwrap_err();
        assert!(message.contains(missing.to_str().unwrap()) && !message.contains('\n'), "{message}");
    }

    #[test]
    fn a_folder_without_files_is_named() {
        let folder = Folder::new("empty");
        let message = named(std::slice::from_ref(&folder.0)).unwrap_err();
        assert!(message.contains("no file"), "{message}");
    }

    #[test]
    fn the_toolchain_gives_enough_and_little_more() {
        let files = toolchain().unwrap();
        let total: u64 = files.iter().map(|file| file.bytes).sum();
        let last = files.last().unwrap().bytes;
        assert!(total >= DEFAULT_BYTES && total - last < DEFAULT_BYTES);
    }
}
