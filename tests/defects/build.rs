//! Link arguments of a kernel driver for every example, but for two: the entry point differs between WDM and KMDF, and
//! the source's own macro names it; and two routines that do the same keep their names, for the stacks.

fn main() -> Result<(), wdk_build::ConfigError> {
    let ours = |argument: &&&str| !argument.starts_with("/ENTRY:") && !argument.starts_with("/OPT:");
    for argument in wdk_build::LINK_ARGUMENTS.iter().filter(ours).chain(&["/OPT:REF,NOICF"]) {
        println!("cargo::rustc-link-arg-examples={argument}");
    }
    wdk_build::configure_wdk_library_build()
}
