//! Pool.

use crate::export::DISPATCH;
use crate::kernel::Kernel;
use crate::memory::pool::{PoolRequest, tag_text};
use crate::stop::{Fault, bugcheck};

/// `POOL_FLAGS` (wdm.h).
const UNINITIALIZED: u64 = 0x02;
const RAISE_ON_FAILURE: u64 = 0x20;
const NON_PAGED: u64 = 0x40;
const NON_PAGED_EXECUTE: u64 = 0x80;
const PAGED: u64 = 0x100;
/// Flags above these 32 bits are optional and may be ignored.
const REQUIRED: u64 = 0xFFFF_FFFF;
const KNOWN: u64 =
    0x01 | UNINITIALIZED | 0x04 | 0x08 | 0x10 | RAISE_ON_FAILURE | NON_PAGED | NON_PAGED_EXECUTE | PAGED;

fn bad_caller(k: &Kernel, text: String) -> ! {
    k.stop(Fault::new("Pool", bugcheck::BAD_POOL_CALLER).text(text))
}

fn check_irql(k: &Kernel, paged: bool, what: &str) {
    if paged && k.irql() > 1 {
        k.stop(
            Fault::new("IrqlExAllocatePool", bugcheck::DRIVER_VERIFIER_DETECTED_VIOLATION)
                .text(format!("paged pool is {what} at IRQL {}; APC_LEVEL is the highest allowed", k.irql()))
                .parameter(1, "paged pool at raised IRQL"),
        );
    }
}

crate::export::exports! {
    module "ntoskrnl.exe";

    /// Allocates pool, zeroed unless asked otherwise; null when the flags are wrong or there is none.
    fn ExAllocatePool2(k; flags: u64, size: u64, tag: u32) -> u64 [DISPATCH, "Learn, ExAllocatePool2"] {
        if k.allocation_fails() {
            return 0;
        }
        let pools = [NON_PAGED, NON_PAGED_EXECUTE, PAGED].iter().filter(|&&pool| flags & pool != 0).count();
        if pools != 1 || flags & REQUIRED & !KNOWN != 0 || size == 0 {
            return 0;
        }
        if tag == 0 {
            bad_caller(k, "ExAllocatePool2 without a tag".to_owned());
        }
        let paged = flags & PAGED != 0;
        check_irql(k, paged, "allocated");
        let request = PoolRequest { size, tag, nonpaged: !paged, zero: flags & UNINITIALIZED == 0 };
        match k.pool_allocate(request) {
            Some(address) => address,
            None if flags & RAISE_ON_FAILURE != 0 => k.stop(Fault::new("Exception", bugcheck::KMODE_EXCEPTION_NOT_HANDLED)
                .text("ExAllocatePool2 raised STATUS_INSUFFICIENT_RESOURCES")),
            None => 0,
        }
    }

    /// Allocates pool of an old pool type, not zeroed.
    fn ExAllocatePoolWithTag(k; kind: i32, size: u64, tag: u32) -> u64 [DISPATCH, "Learn, ExAllocatePoolWithTag"] {
        if k.allocation_fails() {
            return 0;
        }
        let paged = kind & 1 == 1;
        check_irql(k, paged, "allocated");
        if size == 0 {
            bad_caller(k, "ExAllocatePoolWithTag of no bytes".to_owned());
        }
        k.pool_allocate(PoolRequest { size, tag, nonpaged: !paged, zero: false }).unwrap_or(0)
    }

    /// Frees pool.
    fn ExFreePool(k; address: u64) [DISPATCH, "Learn, ExFreePool"] {
        k.pool_free(address);
    }

    /// Frees pool of a tag; a tag of zero is not compared.
    fn ExFreePoolWithTag(k; address: u64, tag: u32) [DISPATCH, "Learn, ExFreePoolWithTag"] {
        if tag != 0 && let Some(actual) = k.pool_tag(address) && actual != tag {
            bad_caller(k, format!("pool block {address:#x} has tag '{}' and is freed with '{}'", tag_text(actual), tag_text(tag)));
        }
        k.pool_free(address);
    }
}
