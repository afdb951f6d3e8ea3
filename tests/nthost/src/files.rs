//! The machine's disk: an in-memory file tree with Windows paths, and where the system keeps things on it.

use std::collections::BTreeMap;

/// The system folder; `\SystemRoot` is another name for it.
pub const SYSTEM_ROOT: &str = r"C:\Windows";
/// Where drivers of directory identifier 12 live, and the only second place where the loader looks for imports (D15).
pub const DRIVERS: &str = r"C:\Windows\System32\drivers";
/// Where driver packages live, one folder each.
pub const FILE_REPOSITORY: &str = r"C:\Windows\System32\DriverStore\FileRepository";

/// All files of the machine.
#[derive(Debug, Clone, Default)]
pub struct Files {
    files: BTreeMap<String, File>,
}

/// One file.
#[derive(Debug, Clone)]
pub struct File {
    /// Full path as first written.
    pub path: String,
    /// Contents.
    pub bytes: Vec<u8>,
}

impl Files {
    /// Writes a file, replacing what was there.
    pub fn write(&mut self, path: &str, bytes: Vec<u8>) {
        let path = canonical(path);
        self.files.insert(path.to_lowercase(), File { path, bytes });
    }

    /// The file at `path`, which may begin with `\SystemRoot`, `\??` or, for a service's image, with `System32`.
    pub fn read(&self, path: &str) -> Option<&File> {
        self.files.get(&canonical(path).to_lowercase())
    }

    /// Deletes a file; says whether it was there.
    pub fn delete(&mut self, path: &str) -> bool {
        self.files.remove(&canonical(path).to_lowercase()).is_some()
    }

    /// Every path that ends in `\name`: for messages about files that sit in the wrong folder.
    pub fn named(&self, name: &str) -> Vec<&str> {
        let ending = format!("\\{}", name.to_lowercase());
        let found = self.files.iter().filter(|(path, _)| path.ends_with(&ending));
        found.map(|(_, file)| file.path.as_str()).collect()
    }
}

/// A full path with a drive letter.
pub fn canonical(path: &str) -> String {
    let lower = path.to_lowercase();
    if let Some(rest) = lower.strip_prefix(r"\systemroot") {
        return format!("{SYSTEM_ROOT}{}", &path[path.len() - rest.len()..]);
    }
    if lower.starts_with(r"\??\") {
        return path[4..].to_owned();
    }
    // The path of a service without a root is one below the system folder (Learn, "INF AddService Directive").
    if lower.starts_with(r"system32\") {
        return format!(r"{SYSTEM_ROOT}\{path}");
    }
    path.to_owned()
}

/// The folder part of a path.
pub fn folder(path: &str) -> &str {
    path.rsplit_once('\\').map_or("", |(folder, _)| folder)
}

/// The file part of a path.
pub fn name(path: &str) -> &str {
    path.rsplit_once('\\').map_or(path, |(_, name)| name)
}

/// Why an import could not be found where the loader looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportNotFound {
    /// The image that imports.
    pub importer: String,
    /// The file it imports from.
    pub wanted: String,
    /// Where files of that name do lie.
    pub found: Vec<String>,
}

impl core::fmt::Display for ImportNotFound {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(
            f,
            "{} imports from {}, which is neither in {} nor in {DRIVERS}",
            self.importer,
            self.wanted,
            folder(&self.importer)
        )?;
        if self.found.is_empty() {
            write!(f, "; no file of that name is installed: install the package that carries it first")
        } else {
            write!(
                f,
                "; it was found only in {}, where the loader does not look: install it with directory identifier 12",
                self.found.join(" and ")
            )
        }
    }
}

impl core::error::Error for ImportNotFound {}

impl Files {
    /// The file that an import of `wanted` by the image `importer` means (D15): one in the importing image's folder,
    /// else one in System32\drivers, nothing else.
    ///
    /// # Errors
    /// [`ImportNotFound`], naming the folders that do hold such a file.
    pub fn resolve_import(&self, importer: &str, wanted: &str) -> Result<&File, ImportNotFound> {
        let importer = canonical(importer);
        let beside = format!(r"{}\{wanted}", folder(&importer));
        let system = format!(r"{DRIVERS}\{wanted}");
        self.read(&beside).or_else(|| self.read(&system)).ok_or_else(|| ImportNotFound {
            found: self.named(wanted).into_iter().map(str::to_owned).collect(),
            wanted: wanted.to_owned(),
            importer: importer.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_file_has_many_spellings() {
        let mut files = Files::default();
        files.write(r"C:\Windows\System32\drivers\a.sys", vec![1]);
        for path in [
            r"\SystemRoot\System32\Drivers\A.SYS",
            r"System32\drivers\a.sys",
            r"\??\C:\Windows\System32\drivers\a.sys",
            r"c:\windows\system32\drivers\a.sys",
        ] {
            assert_eq!(files.read(path).map(|file| file.bytes.as_slice()), Some([1].as_slice()), "{path}");
        }
    }

    #[test]
    fn an_import_is_found_beside_the_image_and_in_system32_drivers_and_nowhere_else() {
        let mut files = Files::default();
        let store = format!(r"{FILE_REPOSITORY}\other.inf_amd64_1\netdma.sys");
        let importer = format!(r"{FILE_REPOSITORY}\ioatdma.inf_amd64_2\ioatdma.sys");
        files.write(&store, vec![]);
        let error = files.resolve_import(&importer, "netdma.sys").unwrap_err();
        assert_eq!(error.found, std::slice::from_ref(&store));
        assert!(error.to_string().contains(&format!("found only in {store}")), "{error}");
        assert!(error.to_string().contains("directory identifier 12"), "{error}");

        files.write(&format!(r"{DRIVERS}\netdma.sys"), vec![2]);
        assert_eq!(files.resolve_import(&importer, "NETDMA.SYS").unwrap().bytes, [2]);
        files.write(&format!(r"{FILE_REPOSITORY}\ioatdma.inf_amd64_2\netdma.sys"), vec![3]);
        assert_eq!(files.resolve_import(&importer, "netdma.sys").unwrap().bytes, [3]);
    }
}
