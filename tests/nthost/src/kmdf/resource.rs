//! Resource lists: WDFCMRESLIST.

use super::object::{Attributes, Body};
use crate::export::{DISPATCH, exports};
use crate::kernel::Kernel;

/// A list of CM_PARTIAL_RESOURCE_DESCRIPTORs, copied for the driver.
#[derive(Debug, Clone, Copy)]
pub(super) struct ResourceList {
    memory: u64,
    count: u32,
}

/// sizeof(CM_PARTIAL_RESOURCE_DESCRIPTOR): packed to four bytes.
pub(super) const DESCRIPTOR_SIZE: u64 = 0x14;
/// CM_RESOURCE_LIST: count 0, then one full descriptor with its partial count at 0x10 and descriptors from 0x14 on.
const LIST_COUNT: u64 = 0x10;
const LIST_DESCRIPTORS: u64 = 0x14;

impl Kernel {
    /// The raw and translated lists of a START packet as objects; null pointers give empty lists.
    pub(super) fn wdf_resource_lists(&self, device: u64, raw: u64, translated: u64) -> (u64, u64) {
        (self.wdf_resource_list(device, raw), self.wdf_resource_list(device, translated))
    }

    fn wdf_resource_list(&self, device: u64, list: u64) -> u64 {
        let count =
            if list == 0 || self.read::<u32>(list) == 0 { 0 } else { self.read::<u32>(list + LIST_COUNT) };
        let size = u64::from(count) * DESCRIPTOR_SIZE;
        let memory = self.system_allocate(size.max(1), "descriptors of a WDFCMRESLIST");
        if count > 0 {
            let bytes = self.bytes(list + LIST_DESCRIPTORS, usize::try_from(size).unwrap_or(0));
            self.write_bytes(memory, &bytes);
        }
        let client = self.wdf_client(device);
        self.wdf_create(
            client,
            device,
            &Attributes::default(),
            Body::ResourceList(ResourceList { memory, count }),
        )
    }

    /// The descriptors of a list.
    pub(super) fn wdf_descriptors(&self, handle: u64) -> Vec<u64> {
        let list = self.wdf_list(handle);
        (0..u64::from(list.count)).map(|index| list.memory + index * DESCRIPTOR_SIZE).collect()
    }

    fn wdf_list(&self, handle: u64) -> ResourceList {
        let found = self.wdf_object(handle, |object| match object.body {
            Body::ResourceList(list) => Some(list),
            _ => None,
        });
        found.unwrap_or_else(|| self.wrong_handle(handle, "WDFCMRESLIST"))
    }

    /// Frees the copies of a list that is disposed.
    pub(super) fn free_resource_list(&self, handle: u64) {
        self.system_free(self.wdf_list(handle).memory);
    }
}

exports! {
    module "Wdf01000.sys";

    /// How many descriptors.
    fn WdfCmResourceListGetCount(k; _globals: u64, list: u64) -> u32
        [DISPATCH, "Learn, WdfCmResourceListGetCount: <= DISPATCH_LEVEL"]
    {
        k.wdf_list(list).count
    }

    /// One descriptor; null past the end.
    fn WdfCmResourceListGetDescriptor(k; _globals: u64, list: u64, index: u32) -> u64
        [DISPATCH, "Learn, WdfCmResourceListGetDescriptor: <= DISPATCH_LEVEL"]
    {
        let list = k.wdf_list(list);
        if index < list.count { list.memory + u64::from(index) * DESCRIPTOR_SIZE } else { 0 }
    }
}
