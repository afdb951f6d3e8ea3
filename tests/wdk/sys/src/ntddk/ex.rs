//! The executive: pool.

use crate::types::*;

imports! {
    fn ExAllocatePool2(Flags: POOL_FLAGS, NumberOfBytes: SIZE_T, Tag: ULONG) -> PVOID;
    fn ExFreePool(P: PVOID);
    fn ExFreePoolWithTag(P: PVOID, Tag: ULONG);
}
