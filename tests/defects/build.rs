//! Link arguments of a kernel driver for every example, without the entry point, which differs between WDM and KMDF:
//! the source's own macro names it.

fn main() -> Result<(), wdk_build::ConfigError> {
    for argument in wdk_build::LINK_ARGUMENTS.iter().filter(|argument| !argument.starts_with("/ENTRY:")) {
        println!("cargo::rustc-link-arg-examples={argument}");
    }
    wdk_build::configure_wdk_library_build()
}
