//! The two variables that the framework's loader fills when the driver binds. `wdk-macros` names them.

use crate::types::{PWDF_DRIVER_GLOBALS, WDFFUNC};

/// The function table: `_WDFFUNCENUM::WdfFunctionTableNumEntries` pointers. Null until the driver is bound.
#[allow(non_upper_case_globals)]
pub static mut WdfFunctions: *const WDFFUNC = core::ptr::null();

/// The framework's record of this driver, the first argument of every function. Null until the driver is bound.
#[allow(non_upper_case_globals)]
pub static mut WdfDriverGlobals: PWDF_DRIVER_GLOBALS = core::ptr::null_mut();
