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
    usage: "",
    summary: "Make signed driver packages for a test machine in target/packages.\n\n\
              Builds the drivers, then for each NAME_package: image with an embedded signature, symbols, INF, signed \
              catalogue, and\nthe test certificate to import on the test machine. The certificate and its key are made \
              on the first call and kept\nin target/packages. Needs openssl and osslsigncode.",
    run,
};

/// The certificate's subject.
const SUBJECT: &str = "/CN=NetDMA for Windows, test signing";

/// How long it is valid.
const DAYS: &str = "730";

fn run(words: Vec<OsString>) -> Result<(), Failure> {
    Arguments::parse(words, &[], &[])?.no_rest()?;
    for tool in ["openssl", "osslsigncode"] {
        if Process::new(tool).arg("--version").output().is_err() {
            return Err(Failure::usage(format!("{tool} is missing: install the package of that name")));
        }
    }
    drivers::build(&[])?;
    let packages = workspace::root().join("target/packages");
    let certificate = Certificate::in_folder(&packages)?;
    for name in drivers::DRIVERS {
        let folder = packages.join(format!("{name}_package"));
        make(name, &folder, &certificate)?;
        println!("{}", folder.display());
        for file in files(name).iter().chain([&certificate_name()]) {
            let bytes = read(&folder.join(file))?;
            let hash: String = hash_of(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
            println!("  {hash}  {file}");
        }
    }
    Ok(())
}

/// The files of a package, the certificate aside.
fn files(name: &str) -> Vec<String> {
    ["sys", "pdb", "inf", "cat"].iter().map(|extension| format!("{name}.{extension}")).collect()
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
        command.args(["sign", "-h", "sha256"]).args(options);
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
