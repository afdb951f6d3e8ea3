//! A software model of Intel's I/OAT engine: what one PCI function does, register by register.
//!
//! [`Engine`] is the function. It is built from [`Options`] (which device it plays, how long things take, what goes
//! wrong), is read and written like hardware, and works when its bench calls [`Engine::step`]. The bench is a
//! [`Host`]: memory by bus address, messages, the interrupt line, time. The hosted machine, a vfio-user server and
//! unit tests are benches; the engine is the same.
//!
//! ```
//! use ioat_model::{Engine, Options};
//!
//! let mut engine = Engine::new(Options::new(0x8086, 0x6F20)?)?;
//! engine.config_write(0x04, 2, 0x6); // memory and bus mastering on
//! assert_eq!(engine.mmio_read(0x08, 1), 0x32); // CBVER
//! # Ok::<(), ioat_model::BadOptions>(())
//! ```
//!
//! Offsets, bits, limits and identities come from [`ioat_regs`]; nothing comes from a driver: a model that shared
//! the driver's logic would share its mistakes. The rules are those of docs/spec/ioat.md, whose numbers (M) and
//! sections (§) stand beside the code.
//!
//! | Module | Story |
//! |---|---|
//! | [`Options`], [`Timing`], [`FaultPlan`] | what the engine is, how fast, how broken |
//! | `engine` | the function: accesses, resets, whose turn it is |
//! | `space` | configuration space |
//! | `registers` | which register an access touches |
//! | `channel` | registers, commands and states of a channel |
//! | `shared` | what the channels share |
//! | `run` | a channel at work: fetch, execute, complete |
//! | `operation`, `raid` | what a descriptor does to memory |
//! | `interrupts` | from a request to a message or a level |
#![forbid(unsafe_code)]

mod channel;
mod defects;
mod engine;
mod faults;
mod host;
mod interrupts;
mod operation;
mod options;
mod probe;
mod raid;
mod registers;
mod run;
mod shared;
mod space;
mod statistics;
mod timing;

pub use defects::Defect;
pub use engine::Engine;
pub use faults::{BadFault, FAULTS, Fault, FaultPlan, Which};
pub use host::{BusFault, Host, Progress};
pub use options::{BadOptions, Options};
pub use probe::{RegisterAccess, lines as probe_lines};
pub use registers::Register;
pub use statistics::{Accesses, ChannelStatistics, FunctionStatistics};
pub use timing::Timing;
