//! Faults of driver code: what the processor would have done on a real machine, or a stop.

use std::io;

/// Installs the fault handler of the process, once.
pub(crate) fn install() -> io::Result<()> {
    Ok(())
}
