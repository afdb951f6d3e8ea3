//! What the kernel exports: a table of functions with the IRQL each may be called at, and the way in from driver code.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::Ordering;

use crate::call::{CallFrame, CallKind};
use crate::cpu::irql;
use crate::cpu::thread::Thread;
use crate::kernel::Kernel;
use crate::memory::physical::PAGE;
use crate::memory::space::{Access, Kind};
use crate::memory::{Create, Memory};
use crate::stop::{Fault, HOST_FAILURE, bugcheck};

/// The IRQLs a function may be called at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IrqlRule {
    /// Lowest.
    pub low: u8,
    /// Highest.
    pub high: u8,
}

/// IRQL = PASSIVE_LEVEL.
pub const PASSIVE: IrqlRule = Between(irql::PASSIVE, irql::PASSIVE);
/// IRQL <= APC_LEVEL.
pub const APC: IrqlRule = UpTo(irql::APC);
/// IRQL <= DISPATCH_LEVEL.
pub const DISPATCH: IrqlRule = UpTo(irql::DISPATCH);
/// Any IRQL.
pub const ANY: IrqlRule = UpTo(irql::HIGH);

/// IRQL <= `high`.
#[allow(non_snake_case)] // reads as a constructor in the tables
#[must_use]
pub const fn UpTo(high: u8) -> IrqlRule {
    IrqlRule { low: 0, high }
}

/// `low` <= IRQL <= `high`.
#[allow(non_snake_case)] // reads as a constructor in the tables
#[must_use]
pub const fn Between(low: u8, high: u8) -> IrqlRule {
    IrqlRule { low, high }
}

/// One exported function.
#[derive(Debug)]
pub struct Export {
    /// The module that exports it, for example `ntoskrnl.exe`.
    pub module: &'static str,
    /// Its name.
    pub name: &'static str,
    /// Where it may be called.
    pub irql: IrqlRule,
    /// Where that is documented.
    pub source: &'static str,
    /// Its code.
    pub(crate) address: *const (),
}

// SAFETY: the address is a function's.
unsafe impl Sync for Export {}

/// Defines exported functions and the table `EXPORTS` of them.
///
/// ```text
/// exports! {
///     module "ntoskrnl.exe";
///
///     /// What it does.
///     fn KeSetEvent(k; event: u64, increment: i32, wait: u8) -> i32 [DISPATCH, "Learn, KeSetEvent"] {
///         …
///     }
/// }
/// ```
///
/// Pointers are `u64`. Inside the body `k` is the [`Kernel`]. Every call checks the IRQL and is a switch point, before
/// and after; `pure fn` leaves the switch points out (for what touches only its arguments).
macro_rules! exports {
    (module $module:literal; $($rest:tt)*) => {
        $crate::export::exports!(@functions $module, [] $($rest)*);
    };
    (@functions $module:literal, [$($name:ident)*]) => {
        /// The functions of this file.
        pub(crate) static EXPORTS: &[&$crate::export::Export] = &[$(&$name::EXPORT),*];
    };
    (@functions $module:literal, [$($names:ident)*]
        $(#[doc = $doc:literal])* pure fn $name:ident($k:ident; $($argument:ident: $type:ty),* $(,)?) $(-> $result:ty)?
        [$irql:expr, $source:literal] $body:block $($rest:tt)*
    ) => {
        $crate::export::exports!(@one $module, false, [$($doc)*] $name($k; $($argument: $type),*) ($($result)?) [$irql, $source] $body);
        $crate::export::exports!(@functions $module, [$($names)* $name] $($rest)*);
    };
    (@functions $module:literal, [$($names:ident)*]
        $(#[doc = $doc:literal])* fn $name:ident($k:ident; $($argument:ident: $type:ty),* $(,)?) $(-> $result:ty)?
        [$irql:expr, $source:literal] $body:block $($rest:tt)*
    ) => {
        $crate::export::exports!(@one $module, true, [$($doc)*] $name($k; $($argument: $type),*) ($($result)?) [$irql, $source] $body);
        $crate::export::exports!(@functions $module, [$($names)* $name] $($rest)*);
    };
    (@one $module:literal, $switches:literal, [$($doc:literal)*] $name:ident($k:ident; $($argument:ident: $type:ty),*)
        ($($result:ty)?) [$irql:expr, $source:literal] $body:block
    ) => {
        #[allow(non_snake_case)] // the names are the kernel's
        mod $name {
            #[allow(unused_imports)]
            use super::*;
            use $crate::export::Export;

            pub(super) static EXPORT: Export =
                Export { module: $module, name: stringify!($name), irql: $irql, source: $source, address: $name as *const () };

            $(#[doc = $doc])*
            extern "win64" fn $name($($argument: $type),*) $(-> $result)? {
                $crate::export::enter(&EXPORT, $switches, |$k: &$crate::kernel::Kernel| { let _ = $k; $body })
            }
        }
    };
}
pub(crate) use exports;

/// Everything the kernel exports.
pub(crate) fn all() -> impl Iterator<Item = &'static Export> {
    let own = crate::ntoskrnl::tables().into_iter();
    let managers = crate::io::tables().into_iter().chain([crate::pnp::tables()]).chain(crate::kmdf::tables());
    own.chain(managers).flatten().copied()
}

/// The way from driver code into an exported function.
pub(crate) fn enter<R>(export: &'static Export, switches: bool, body: impl FnOnce(&Kernel) -> R) -> R {
    let Some(k) = Kernel::current() else {
        // Driver code cannot run outside a machine; there is nobody to report to.
        eprintln!("nthost: {} called outside a machine", export.name);
        std::process::abort();
    };
    let step = k.pause_single_step();
    // Given back at the very end, after everything else that is dropped here.
    let _kernel = k.enter_kernel();
    let thread = k.current_thread();
    let frame = CallFrame::new(&thread, CallKind::Into { export, context: k.cpu().segment.saved() });
    let _linked = frame.link(&thread);
    let run = AssertUnwindSafe(|| {
        k.check_call(export, &thread, &frame);
        if switches {
            k.calls.fetch_add(1, Ordering::Relaxed);
            k.record_from(
                export.name.into(),
                0,
                Some(k.caller_address()).filter(|&caller| k.memory.space.contains(caller)),
            );
            k.switch_point();
        }
        let result = body(k);
        if switches {
            k.switch_point();
        }
        result
    });
    match std::panic::catch_unwind(run) {
        Ok(result) => {
            k.resume_single_step(step);
            result
        }
        Err(payload) => k.stop(Fault::new("Host", HOST_FAILURE).text(format!(
            "the host panicked in {}: {}",
            export.name,
            panic_text(payload.as_ref())
        ))),
    }
}

/// The message of a panic.
pub(crate) fn panic_text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}

/// The code that driver images call: one thunk for each exported function in use.
///
/// A thunk saves the caller's nonvolatile registers behind GS, for the stack walk, and jumps to the function.
#[derive(Debug, Default)]
pub(crate) struct Thunks {
    by_function: BTreeMap<usize, u64>,
    page: Option<(u64, u64)>,
}

impl Thunks {
    /// The thunk of the function at `target`.
    pub(crate) fn get(&mut self, memory: &Memory, target: u64) -> Option<u64> {
        if let Some(&thunk) = self.by_function.get(&(target as usize)) {
            return Some(thunk);
        }
        let code = thunk(target);
        let (page, used) = match self.page {
            Some((page, used)) if used + code.len() as u64 <= PAGE => (page, used),
            _ => {
                let mut create = Create::new(Kind::System("import thunks".to_owned()), PAGE);
                create.access = Access::Execute;
                create.fill = 0xCC;
                (memory.create(&create)?, 0)
            }
        };
        memory.physical.write(memory.space.frame_of(page)?, used, &code);
        self.page = Some((page, used + code.len() as u64));
        self.by_function.insert(target as usize, page + used);
        Some(page + used)
    }
}

/// `mov gs:[SAVED + 8 n], register` for each register of [`crate::cpu::Context`], then `jmp target`.
fn thunk(target: u64) -> Vec<u8> {
    const REGISTERS: [u8; 9] = [4, 3, 5, 6, 7, 12, 13, 14, 15];
    let mut code = Vec::with_capacity(96);
    for (slot, register) in REGISTERS.into_iter().enumerate() {
        let offset = (crate::cpu::SAVED + slot * 8) as u32;
        code.extend([0x65, 0x48 | (register >> 3) << 2, 0x89, (register & 7) << 3 | 4, 0x25]);
        code.extend(offset.to_le_bytes());
    }
    code.extend([0xFF, 0x25, 0, 0, 0, 0]);
    code.extend(target.to_le_bytes());
    code.resize(code.len().next_multiple_of(16), 0xCC);
    code
}

impl Kernel {
    /// The address driver code calls `export` at.
    ///
    /// # Panics
    /// When the machine has no memory left for its own code.
    #[must_use]
    pub fn export_address(&self, export: &'static Export) -> u64 {
        self.loader
            .thunks
            .with(|thunks| thunks.get(&self.memory, export.address as u64))
            .expect("memory for a thunk")
    }

    /// The function the kernel exports as `name` from `module` (without regard to case), or from any module.
    #[must_use]
    pub fn find_export(&self, module: Option<&str>, name: &str) -> Option<&'static Export> {
        all().find(|export| {
            export.name == name && module.is_none_or(|module| export.module.eq_ignore_ascii_case(module))
        })
    }

    /// Whether the kernel itself stands for the module (`ntoskrnl.exe`, `WDFLDR.SYS` …).
    #[must_use]
    pub fn is_kernel_module(&self, module: &str) -> bool {
        all().any(|export| export.module.eq_ignore_ascii_case(module))
    }

    fn check_call(&self, export: &'static Export, thread: &Thread, frame: &CallFrame) {
        let irql = self.irql();
        if !(export.irql.low..=export.irql.high).contains(&irql) {
            self.stop(
                Fault::new("IrqlCheck", bugcheck::DRIVER_VERIFIER_DETECTED_VIOLATION)
                    .text(format!(
                        "{} was called at IRQL {irql}; it may be called at {} to {} ({})",
                        export.name, export.irql.low, export.irql.high, export.source
                    ))
                    .parameter(u64::from(irql), "current IRQL")
                    .parameter(u64::from(export.irql.high), "highest allowed IRQL"),
            );
        }
        if thread.is_stack_low(frame.stack_pointer()) {
            self.stop(
                Fault::new("KernelStack", bugcheck::PANIC_STACK_SWITCH)
                    .text(format!("the kernel stack is used up at the call of {}", export.name)),
            );
        }
    }
}
