//! Link arguments and `cfg`s of a kernel driver, from the workspace's WDK metadata.

fn main() -> Result<(), wdk_build::ConfigError> {
    wdk_build::configure_wdk_binary_build()
}
