//! MDLs.
/// The MDLs of a machine.
#[derive(Debug, Default)]
pub struct Mdls;
