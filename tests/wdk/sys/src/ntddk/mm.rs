//! The memory manager.

use crate::types::*;

imports! {
    fn MmGetPhysicalAddress(BaseAddress: PVOID) -> PHYSICAL_ADDRESS;
}
