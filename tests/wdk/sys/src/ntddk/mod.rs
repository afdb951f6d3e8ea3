//! Functions of the kernel's image, one file per prefix. What each does stands on Microsoft Learn under its name.

#![allow(missing_docs, non_snake_case)]

/// Declares functions of ntoskrnl.exe. On the build machine's own target, where only the types are tested, nothing
/// is linked.
macro_rules! imports {
    ($($(#[$meta:meta])* fn $name:ident($($tokens:tt)*) $(-> $result:ty)?;)*) => {
        #[cfg_attr(windows, link(name = "ntoskrnl.exe", kind = "raw-dylib", modifiers = "+verbatim"))]
        unsafe extern "C" {
            $($(#[$meta])* pub fn $name($($tokens)*) $(-> $result)?;)*
        }
    };
}

mod etw;
mod ex;
mod hal;
mod io;
mod ke;
mod mm;
mod ob;
mod ps;
mod rtl;
mod zw;

pub use etw::*;
pub use ex::*;
pub use hal::*;
pub use io::*;
pub use ke::*;
pub use mm::*;
pub use ob::*;
pub use ps::*;
pub use rtl::*;
pub use zw::*;
