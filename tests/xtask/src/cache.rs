//! The per-user cache folder: what is fetched once and used by every checkout.

use std::ffi::OsString;
use std::fs::File;
use std::path::PathBuf;

use crate::command::Failure;

/// Where the cache is: `$NETDMA_CACHE`, else `$XDG_CACHE_HOME/netdma`, else `~/.cache/netdma`.
///
/// # Errors
/// None of the three is set to an absolute path, or the folder cannot be made.
pub fn folder() -> Result<PathBuf, Failure> {
    let folder = choose(|name| std::env::var_os(name)).ok_or_else(|| {
        Failure::usage("no cache folder: set NETDMA_CACHE, XDG_CACHE_HOME or HOME to an absolute path")
    })?;
    std::fs::create_dir_all(&folder).map_err(|error| {
        Failure::usage(format!(
            "cannot make the cache folder {}: {error}; set NETDMA_CACHE to a folder that can be written",
            folder.display()
        ))
    })?;
    Ok(folder)
}

/// Holds the cache while something is put into it, so that two commands do not fetch the same thing. Freed by drop
/// and by the end of the process.
///
/// # Errors
/// The lock file cannot be made or locked.
pub fn lock() -> Result<File, Failure> {
    let path = folder()?.join("lock");
    let failed = |error| Failure::usage(format!("{}: {error}", path.display()));
    let file = File::create(&path).map_err(failed)?;
    file.lock().map_err(failed)?;
    Ok(file)
}

fn choose(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let absolute = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("NETDMA_CACHE")
        .or_else(|| absolute("XDG_CACHE_HOME").map(|cache| cache.join("netdma")))
        .or_else(|| absolute("HOME").map(|home| home.join(".cache/netdma")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(variables: &[(&str, &str)]) -> Option<PathBuf> {
        choose(|name| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into()))
    }

    #[test]
    fn the_more_specific_variable_wins() {
        let all = [("NETDMA_CACHE", "/n"), ("XDG_CACHE_HOME", "/x"), ("HOME", "/h")];
        assert_eq!(chosen(&all), Some("/n".into()));
        assert_eq!(chosen(&all[1..]), Some("/x/netdma".into()));
        assert_eq!(chosen(&all[2..]), Some("/h/.cache/netdma".into()));
        assert_eq!(chosen(&[]), None);
    }

    #[test]
    fn a_relative_path_counts_as_unset() {
        assert_eq!(chosen(&[("NETDMA_CACHE", "n"), ("HOME", "/h")]), Some("/h/.cache/netdma".into()));
    }
}
