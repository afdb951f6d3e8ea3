//! `cargo xtask package`: driver packages for a test machine, signed with a certificate made on the spot.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command as Process;

use crate::arguments::Arguments;
use crate::command::{Command, Failure};
use crate::package_catalog::{Member, catalogue, hash_of};
use crate::{drivers, drivers_inf, steps, workspace};

/// The command.
pub const COMMAND: Command = Command {
    name: "package",
    usage: "[--twice]",
    summary: "Make signed driver packages for a test machine in target/packages.\n\n\
              Builds the drivers, then for each NAME_package: image with an embedded signature, symbols, INF, signed \
              catalogue, and\nthe test certificate to import on the test machine. The certificate and its key are made \
              on the first call and kept\nin target/test-certificate. Needs openssl and osslsigncode.",
    run,
};

/// The certificate's subject.
const SUBJECT: &str = "/CN=NetDMA for Windows, test signing";

/// How long it is valid.
const DAYS: &str = "730";

/// What it takes to sign.
const TOOLS: [&str; 2] = ["openssl", "osslsigncode"];

fn run(words: Vec<OsString>) -> Result<(), Failure> {
    let arguments = Arguments::parse(words, &["--twice"], &[])?;
    arguments.no_rest()?;
    if let Some(tool) = missing_tool() {
        return Err(Failure::usage(format!("{tool} is missing: install the package of that name")));
    }
    drivers::build(&[])?;
    let packages = packages();
    make_all(&packages)?;
    for name in drivers::DRIVERS {
        let folder = packages.join(format!("{name}_package"));
        println!("{}", folder.display());
        for file in files(name) {
            let bytes = read(&folder.join(&file))?;
            let hash: String = hash_of(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
            println!("  {hash}  {file}");
        }
    }
    if arguments.has("--twice") { make_again(&packages) } else { Ok(()) }
}

/// Makes every package twice from the images that are built, for `cargo xtask test`; verifies and compares. Without the
/// tools nothing is done, and said so.
///
/// # Errors
/// A signature does not hold, or a byte differs.
pub fn check() -> Result<(), Failure> {
    if let Some(tool) = missing_tool() {
        println!("      skipped: {tool} is missing, so no package can be signed");
        return Ok(());
    }
    let packages = packages();
    make_all(&packages)?;
    make_again(&packages)
}

/// What is copied to a test machine. The certificate's key is not in it.
fn packages() -> PathBuf {
    workspace::root().join("target/packages")
}

fn missing_tool() -> Option<&'static str> {
    TOOLS.into_iter().find(|tool| Process::new(tool).arg("--version").output().is_err())
}

/// Makes every package in `folder`.
fn make_all(folder: &Path) -> Result<(), Failure> {
    let certificate = Certificate::in_folder(&workspace::root().join("target/test-certificate"))?;
    drivers::DRIVERS
        .iter()
        .try_for_each(|name| make(name, &folder.join(format!("{name}_package")), &certificate))
}

/// Makes every package anew and compares with those in `packages`: each byte is the same.
fn make_again(packages: &Path) -> Result<(), Failure> {
    let again = packages.with_file_name("packages-again");
    make_all(&again)?;
    for name in drivers::DRIVERS {
        for file in files(name).iter().map(|file| Path::new(&format!("{name}_package")).join(file)) {
            if read(&packages.join(&file))? != read(&again.join(&file))? {
                return Err(Failure::verdict(format!("{} is different in a second package", file.display())));
            }
        }
    }
    Ok(())
}

/// The files of a package.
fn files(name: &str) -> Vec<String> {
    let own = ["sys", "pdb", "inf", "cat"].iter().map(|extension| format!("{name}.{extension}"));
    own.chain([certificate_name()]).collect()
}

fn certificate_name() -> String {
    "netdma-test.cer".to_owned()
}

/// Makes one package and verifies both signatures.
fn make(name: &str, folder: &Path, certificate: &Certificate) -> Result<(), Failure> {
    let _ = fs::remove_dir_all(folder);
    create(folder)?;
    let built = drivers::images().join(name);
    let image = folder.join(format!("{name}.sys"));
    certificate.sign(&built.join(format!("{name}.sys")), &image, &["-ph"])?;
    for extension in ["pdb", "inf"] {
        let file = format!("{name}.{extension}");
        write(&folder.join(&file), &read(&built.join(&file))?)?;
    }
    write(&folder.join(certificate_name()), &read(&certificate.der)?)?;

    let member = |extension: &str| {
        let file = format!("{name}.{extension}");
        read(&folder.join(&file)).map(|bytes| Member::new(&file, &bytes))
    };
    let unsigned = folder.join("unsigned.cat");
    write(&unsigned, &catalogue(&[member("inf")?, member("sys")?], &drivers_inf::release_date()?))?;
    let signed = folder.join(format!("{name}.cat"));
    certificate.sign(&unsigned, &signed, &[])?;
    let _ = fs::remove_file(&unsigned);

    certificate.verify(&image, None)?;
    certificate.verify(&image, Some(&signed))
}

/// A certificate for test signing, with its key.
struct Certificate {
    pem: PathBuf,
    der: PathBuf,
    key: PathBuf,
}

impl Certificate {
    /// The certificate in `folder`, made when there is none. It is kept, so that a test machine that trusts it takes the
    /// next build too.
    fn in_folder(folder: &Path) -> Result<Self, Failure> {
        create(folder)?;
        let [pem, der, key] =
            ["netdma-test.pem", "netdma-test.cer", "netdma-test.key"].map(|name| folder.join(name));
        if !(pem.is_file() && der.is_file() && key.is_file()) {
            let mut request = Process::new("openssl");
            request.args(["req", "-x509", "-newkey", "rsa:3072", "-sha256", "-nodes", "-days", DAYS]);
            request.args(["-subj", SUBJECT, "-addext", "extendedKeyUsage=codeSigning"]);
            request.args(["-addext", "keyUsage=critical,digitalSignature"]);
            request.arg("-keyout").arg(&key).arg("-out").arg(&pem);
            steps::run("test certificate", &mut request, |_| {})?;
            let mut convert = Process::new("openssl");
            convert.args(["x509", "-outform", "der"]).arg("-in").arg(&pem).arg("-out").arg(&der);
            steps::run("test certificate", &mut convert, |_| {})?;
        }
        Ok(Self { pem, der, key })
    }

    fn sign(&self, from: &Path, to: &Path, options: &[&str]) -> Result<(), Failure> {
        let mut command = Process::new("osslsigncode");
        // The release's date, not today's: the same sources and certificate give the same package.
        command.args(["sign", "-h", "sha256", "-time"]).arg(release_time()?.to_string()).args(options);
        command.arg("-certs").arg(&self.pem).arg("-key").arg(&self.key);
        command.arg("-in").arg(from).arg("-out").arg(to);
        steps::run(&format!("sign {}", name_of(to)), &mut command, |_| {})
    }

    /// Whether the image's own signature holds, or the one that `catalogue` gives it.
    fn verify(&self, image: &Path, catalogue: Option<&Path>) -> Result<(), Failure> {
        let mut command = Process::new("osslsigncode");
        command.arg("verify").arg("-CAfile").arg(&self.pem);
        if let Some(catalogue) = catalogue {
            command.arg("-catalog").arg(catalogue);
        }
        command.arg("-in").arg(image);
        let what = catalogue.unwrap_or(image);
        steps::run(&format!("verify {}", name_of(what)), &mut command, |_| {})
    }
}

/// The release's date as seconds since 1970.
fn release_time() -> Result<i64, Failure> {
    let date = drivers_inf::release_date()?;
    let part = |range: std::ops::Range<usize>| date.get(range).and_then(|text| text.parse::<i64>().ok());
    let [Some(year), Some(month), Some(day)] = [part(0..2), part(2..4), part(4..6)] else {
        return Err(Failure::usage(format!("Cargo.toml: the release's date {date} is none")));
    };
    Ok(seconds_of(2000 + year, month, day))
}

/// Midnight of a day in UTC, as seconds since 1970 (proleptic Gregorian; years are counted from March, so that the odd day
/// of a leap year is the last).
const fn seconds_of(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    // 719,468 days from 0000-03-01 to 1970-01-01.
    (days - 719_468) * 86_400
}

fn name_of(path: &Path) -> String {
    path.file_name().map(OsStr::to_string_lossy).unwrap_or_default().into_owned()
}

fn create(folder: &Path) -> Result<(), Failure> {
    fs::create_dir_all(folder).map_err(|error| Failure::usage(format!("{}: {error}", folder.display())))
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(path).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    fs::write(path, bytes).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_counted_from_1970() {
        assert_eq!(seconds_of(1970, 1, 1), 0);
        assert_eq!(seconds_of(2000, 2, 29), 951_782_400);
        assert_eq!(seconds_of(2026, 11, 27), 1_795_737_600);
    }
}
