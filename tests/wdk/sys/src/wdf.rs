//! What the real crate's `wdf` module offers beside the types: the size of the function table, for `wdk-macros`.

#[doc(hidden)]
pub mod __private {
    /// Number of entries of the function table that `WdfFunctions` points to.
    #[must_use]
    #[inline(always)]
    pub const fn get_wdf_function_count() -> usize {
        crate::_WDFFUNCENUM::WdfFunctionTableNumEntries as usize
    }
}
