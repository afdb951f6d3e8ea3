//! The resources a device was given.
//!
//! The lists are those of "EvtDevicePrepareHardware" and live as long as that call; they are read at PASSIVE_LEVEL
//! ("WdfCmResourceListGetDescriptor").

use core::marker::PhantomData;

use wdk_sys::{
    CM_PARTIAL_RESOURCE_DESCRIPTOR, CM_RESOURCE_INTERRUPT_LATCHED, CM_RESOURCE_INTERRUPT_MESSAGE,
    CmResourceTypeInterrupt as INTERRUPT, CmResourceTypeMemory as MEMORY, USHORT, WDFCMRESLIST,
    call_unsafe_wdf_function_binding,
};

use crate::page::physical;

/// A resource list, for as long as the callback that was given it runs.
#[derive(Clone, Copy, Debug)]
pub struct Resources<'a> {
    list: WDFCMRESLIST,
    lives: PhantomData<&'a ()>,
}

/// One entry of a resource list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// A range of device registers.
    Memory(Memory),
    /// One interrupt: a line, or a message.
    Interrupt(Interrupts),
    /// A kind that our devices do not use.
    Other(u8),
}

/// A range of device registers. Only a resource list makes one: what stands in it may be mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    start: u64,
    length: u32,
}

impl Memory {
    /// Physical address.
    #[must_use]
    pub const fn start(self) -> u64 {
        self.start
    }

    /// Bytes.
    #[must_use]
    pub const fn length(self) -> u32 {
        self.length
    }
}

/// An interrupt resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interrupts {
    /// A message (MSI or MSI-X) rather than a line.
    pub message: bool,
    /// Edge triggered. Every message is.
    pub latched: bool,
}

impl<'a> Resources<'a> {
    /// The list that the framework lent.
    pub(super) const fn new(list: WDFCMRESLIST) -> Self {
        Self { list, lives: PhantomData }
    }

    /// The entries, in order.
    pub fn iter(self) -> impl Iterator<Item = Resource> + 'a {
        // SAFETY: the list is lent for the callback.
        let count = unsafe { call_unsafe_wdf_function_binding!(WdfCmResourceListGetCount, self.list) };
        (0..count).map_while(move |index| {
            // SAFETY: the list is lent for the callback; an index out of range gives null.
            let entry = unsafe {
                call_unsafe_wdf_function_binding!(WdfCmResourceListGetDescriptor, self.list, index)
            };
            // SAFETY: not null means a valid descriptor inside the list.
            unsafe { entry.as_ref() }.map(read)
        })
    }

    /// The register ranges, in the order of the function's BARs.
    pub fn memory(self) -> impl Iterator<Item = Memory> + 'a {
        self.iter().filter_map(|resource| match resource {
            Resource::Memory(memory) => Some(memory),
            _ => None,
        })
    }
}

/// Reads one descriptor.
fn read(entry: &CM_PARTIAL_RESOURCE_DESCRIPTOR) -> Resource {
    match u32::from(entry.Type) {
        MEMORY => {
            // SAFETY: this type says that this member of the union is the one that was written.
            let memory = unsafe { entry.u.Memory };
            Resource::Memory(Memory { start: physical(memory.Start), length: memory.Length })
        }
        INTERRUPT => Resource::Interrupt(Interrupts {
            message: entry.Flags & CM_RESOURCE_INTERRUPT_MESSAGE as USHORT != 0,
            latched: entry.Flags & CM_RESOURCE_INTERRUPT_LATCHED as USHORT != 0,
        }),
        _ => Resource::Other(entry.Type),
    }
}
