//! The entries of the function table that are not implemented: each stops the machine and says which one it is.

use super::names;
use crate::export::{ANY, Export, enter};
use crate::kernel::Kernel;

/// One entry point for each index.
struct Entry<const INDEX: usize>;

impl<const INDEX: usize> Entry<INDEX> {
    const EXPORT: &'static Export = &Export {
        module: "Wdf01000.sys",
        name: "a function of KMDF that is not implemented",
        irql: ANY,
        source: "none: any level, to be able to say which function it is",
        address: Self::call as *const (),
    };

    extern "win64" fn call() -> u64 {
        enter(Self::EXPORT, false, |k: &Kernel| {
            let name = names::name(INDEX);
            k.wdf_violation(
                "WdfFunction",
                format!("{name} (index {INDEX}) is not implemented in this machine: add it to tests/nthost/src/kmdf"),
            )
        })
    }
}

/// Ten entries from `$ten * 10` on, for each `$ten`.
macro_rules! tens {
    ($($ten:literal)*) => {
        [$(
            Entry::<{ $ten * 10 }>::EXPORT, Entry::<{ $ten * 10 + 1 }>::EXPORT, Entry::<{ $ten * 10 + 2 }>::EXPORT,
            Entry::<{ $ten * 10 + 3 }>::EXPORT, Entry::<{ $ten * 10 + 4 }>::EXPORT, Entry::<{ $ten * 10 + 5 }>::EXPORT,
            Entry::<{ $ten * 10 + 6 }>::EXPORT, Entry::<{ $ten * 10 + 7 }>::EXPORT, Entry::<{ $ten * 10 + 8 }>::EXPORT,
            Entry::<{ $ten * 10 + 9 }>::EXPORT,
        )*]
    };
}

/// The entry for any index of the table.
pub(super) static ENTRIES: [&Export; 450] = tens!(
    0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38 39 40 41
    42 43 44
);
