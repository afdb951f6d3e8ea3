//! Framework objects: handles, contexts, parents, references, and the order in which they end.
//!
//! An object ends in two steps. Disposing runs its cleanup callbacks, children before parents, and takes the creator's
//! reference. Destroying runs when the last reference is gone: destroy callbacks, then the contexts' memory goes.

use std::collections::BTreeMap;

use super::device::Device;
use super::interrupt::Interrupt;
use super::queue::Queue;
use super::request::{FileObject, Request};
use super::resource::ResourceList;
use super::status;
use crate::export::{ANY, DISPATCH, exports};
use crate::kernel::Kernel;

/// Handles are no addresses: whoever reads through one faults.
const FIRST_HANDLE: u64 = 0xFFFF_A000_0000_0000;

/// sizeof(WDF_OBJECT_ATTRIBUTES) and sizeof(WDF_OBJECT_CONTEXT_TYPE_INFO) (wdfobject.h of 1.15, x64).
const ATTRIBUTES_SIZE: u32 = 0x38;
const TYPE_INFO_SIZE: u32 = 0x28;

/// All objects.
#[derive(Debug, Default)]
pub(super) struct Objects {
    map: BTreeMap<u64, Object>,
    made: u64,
}

/// One object.
#[derive(Debug)]
pub(super) struct Object {
    /// The client's globals.
    pub(super) client: u64,
    pub(super) parent: u64,
    children: Vec<u64>,
    contexts: Vec<Context>,
    references: u32,
    disposed: bool,
    pub(super) body: Body,
}

impl Objects {
    /// Whether the handle names an object.
    pub(super) fn contains(&self, handle: u64) -> bool {
        self.map.contains_key(&handle)
    }

    /// The WDFDEVICE of a device object.
    pub(super) fn device_of(&self, device_object: u64) -> Option<u64> {
        let of =
            |object: &Object| matches!(&object.body, Body::Device(device) if device.object == device_object);
        self.map.iter().find(|(_, object)| of(object)).map(|(handle, _)| *handle)
    }

    /// The WDFFILEOBJECT of a FILE_OBJECT.
    pub(super) fn file_of(&self, device: u64, file_object: u64) -> Option<u64> {
        let of = |object: &Object| matches!(&object.body, Body::File(file) if file.is(device, file_object));
        self.map.iter().find(|(_, object)| of(object)).map(|(handle, _)| *handle)
    }
}

/// What an object is.
#[derive(Debug)]
pub(super) enum Body {
    Driver,
    Device(Box<Device>),
    Interrupt(Box<Interrupt>),
    Queue(Box<Queue>),
    Request(Box<Request>),
    File(FileObject),
    ResourceList(ResourceList),
    General,
}

impl Body {
    /// The handle's type, as headers spell it.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Driver => "WDFDRIVER",
            Self::Device(_) => "WDFDEVICE",
            Self::Interrupt(_) => "WDFINTERRUPT",
            Self::Queue(_) => "WDFQUEUE",
            Self::Request(_) => "WDFREQUEST",
            Self::File(_) => "WDFFILEOBJECT",
            Self::ResourceList(_) => "WDFCMRESLIST",
            Self::General => "WDFOBJECT",
        }
    }
}

/// One typed context.
#[derive(Debug, Clone, Copy)]
struct Context {
    type_info: u64,
    memory: u64,
    cleanup: u64,
    destroy: u64,
}

/// WDF_OBJECT_ATTRIBUTES after validation.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Attributes {
    cleanup: u64,
    destroy: u64,
    pub(super) execution_level: u32,
    pub(super) parent: u64,
    type_info: u64,
    size: u64,
}

impl Kernel {
    /// Reads and checks WDF_OBJECT_ATTRIBUTES (Size 0, cleanup 8, destroy 0x10, execution level 0x18, scope 0x1C,
    /// parent 0x20, size override 0x28, type 0x30); a null pointer stands for no attributes.
    pub(super) fn wdf_attributes(&self, at: u64, parent_allowed: bool) -> Result<Attributes, i32> {
        if at == 0 {
            return Ok(Attributes { execution_level: 1, ..Attributes::default() });
        }
        if self.read::<u32>(at) != ATTRIBUTES_SIZE {
            return Err(status::INFO_LENGTH_MISMATCH);
        }
        let (level, scope): (u32, u32) = (self.read(at + 0x18), self.read(at + 0x1C));
        if !(1..=3).contains(&level) {
            return Err(status::WDF_EXECUTION_LEVEL_INVALID);
        }
        if !(1..=4).contains(&scope) {
            return Err(status::WDF_SYNCHRONIZATION_SCOPE_INVALID);
        }
        let parent: u64 = self.read(at + 0x20);
        if parent != 0 && !parent_allowed {
            return Err(status::WDF_PARENT_ASSIGNMENT_NOT_ALLOWED);
        }
        let (override_size, given): (u64, u64) = (self.read(at + 0x28), self.read(at + 0x30));
        let mut attributes = Attributes {
            cleanup: self.read(at + 8),
            destroy: self.read(at + 0x10),
            execution_level: level,
            parent,
            type_info: 0,
            size: 0,
        };
        if given == 0 {
            return if override_size == 0 {
                Ok(attributes)
            } else {
                Err(status::WDF_OBJECT_ATTRIBUTES_INVALID)
            };
        }
        if self.read::<u32>(given) != TYPE_INFO_SIZE || self.read::<u64>(given + 8) == 0 {
            return Err(status::WDF_OBJECT_ATTRIBUTES_INVALID);
        }
        let size: u64 = self.read(given + 0x10);
        if override_size != 0 && override_size < size {
            return Err(status::WDF_OBJECT_ATTRIBUTES_INVALID);
        }
        attributes.type_info = self.unique_type(given);
        attributes.size = size.max(override_size);
        Ok(attributes)
    }

    /// WDF_OBJECT_CONTEXT_TYPE_INFO: UniqueType at 0x18 stands for all copies of the structure.
    fn unique_type(&self, given: u64) -> u64 {
        let unique: u64 = self.read(given + 0x18);
        if unique == 0 { given } else { unique }
    }

    /// Makes an object with its first context, zeroed.
    pub(super) fn wdf_create(&self, client: u64, parent: u64, attributes: &Attributes, body: Body) -> u64 {
        let kind = body.kind();
        let handle = self.kmdf.objects.with(|objects| {
            objects.made += 1;
            let handle = FIRST_HANDLE + objects.made * 0x10;
            let object = Object {
                client,
                parent,
                children: Vec::new(),
                contexts: Vec::new(),
                references: 1,
                disposed: false,
                body,
            };
            objects.map.insert(handle, object);
            if let Some(parent) = objects.map.get_mut(&parent) {
                parent.children.push(handle);
            }
            handle
        });
        self.add_context(handle, attributes, kind);
        handle
    }

    fn add_context(&self, handle: u64, attributes: &Attributes, kind: &str) -> u64 {
        let &Attributes { cleanup, destroy, type_info, size, .. } = attributes;
        let memory = if type_info == 0 {
            0
        } else {
            let name = self.c_string(self.read(type_info + 8));
            self.system_allocate(size.max(1), format!("context {name} of a {kind}"))
        };
        self.wdf_object(handle, |object| {
            object.contexts.push(Context { type_info, memory, cleanup, destroy })
        });
        memory
    }

    /// Runs `work` on an object; a handle that is none stops the machine.
    pub(super) fn wdf_object<R>(&self, handle: u64, work: impl FnOnce(&mut Object) -> R) -> R {
        let found = self.kmdf.objects.with(|objects| objects.map.get_mut(&handle).map(work));
        found.unwrap_or_else(|| {
            self.wdf_violation(
                "WdfObjectHandle",
                format!(
                    "{handle:#x} is no handle of a framework object (any more): deleted, foreign or garbage"
                ),
            )
        })
    }

    /// What kind of handle it is.
    fn wdf_kind(&self, handle: u64) -> &'static str {
        self.wdf_object(handle, |object| object.body.kind())
    }

    /// A handle of the wrong type.
    pub(super) fn wrong_handle(&self, handle: u64, wanted: &str) -> ! {
        let kind = self.wdf_kind(handle);
        self.wdf_violation("WdfObjectHandle", format!("{handle:#x} is a {kind} where a {wanted} belongs"))
    }

    /// The client that owns a handle.
    pub(super) fn wdf_client(&self, handle: u64) -> u64 {
        self.wdf_object(handle, |object| object.client)
    }

    /// Ends an object: cleanup callbacks of its descendants and its own, then the creator's reference.
    pub(super) fn wdf_delete(&self, handle: u64) {
        self.wdf_dispose(handle);
        self.wdf_dereference(handle);
    }

    /// The first step of an object's end. Children end wholly: they are disposed and lose their creator's reference.
    pub(super) fn wdf_dispose(&self, handle: u64) {
        loop {
            let last = self.wdf_object(handle, |object| object.children.pop());
            match last {
                Some(child) => {
                    self.wdf_object(child, |object| object.parent = 0);
                    self.wdf_delete(child);
                }
                None => break,
            }
        }
        let (first, contexts, kind) = self.wdf_object(handle, |object| {
            let first = !core::mem::replace(&mut object.disposed, true);
            (first, object.contexts.clone(), object.body.kind())
        });
        if !first {
            return;
        }
        self.wdf_dispose_body(handle);
        for context in contexts.iter().filter(|context| context.cleanup != 0) {
            self.call(&format!("EvtCleanupCallback of a {kind}"), context.cleanup, &[handle]);
        }
    }

    /// What the framework itself gives up when an object is disposed.
    fn wdf_dispose_body(&self, handle: u64) {
        match self.wdf_kind(handle) {
            "WDFINTERRUPT" => self.forget_interrupt(handle),
            "WDFCMRESLIST" => self.free_resource_list(handle),
            _ => {}
        }
    }

    /// One more reference.
    pub(super) fn wdf_reference(&self, handle: u64) {
        self.wdf_object(handle, |object| object.references += 1);
    }

    /// One reference less; the last one destroys.
    pub(super) fn wdf_dereference(&self, handle: u64) {
        let left = self.wdf_object(handle, |object| {
            object.references -= 1;
            object.references
        });
        if left > 0 {
            return;
        }
        let (contexts, parent, kind) =
            self.wdf_object(handle, |object| (object.contexts.clone(), object.parent, object.body.kind()));
        for context in contexts.iter().filter(|context| context.destroy != 0) {
            self.call(&format!("EvtDestroyCallback of a {kind}"), context.destroy, &[handle]);
        }
        self.kmdf.objects.with(|objects| {
            objects.map.remove(&handle);
            if let Some(parent) = objects.map.get_mut(&parent) {
                parent.children.retain(|child| *child != handle);
            }
        });
        for context in contexts.iter().filter(|context| context.memory != 0) {
            self.system_free(context.memory);
        }
    }

    /// Objects of a client that still exist, in words.
    pub(super) fn wdf_left(&self, client: u64) -> Vec<String> {
        self.kmdf.objects.with(|objects| {
            let own = objects.map.iter().filter(|(_, object)| object.client == client);
            own.map(|(handle, object)| {
                format!("{} {handle:#x} ({} references)", object.body.kind(), object.references)
            })
            .collect()
        })
    }

    /// All objects that still exist, for the report at the end.
    pub(crate) fn wdf_objects(&self) -> usize {
        self.kmdf.objects.with(|objects| objects.map.len())
    }
}

exports! {
    module "Wdf01000.sys";

    /// The context of a type; null when the object has none of it.
    pure fn WdfObjectGetTypedContextWorker(k; _globals: u64, handle: u64, type_info: u64) -> u64
        [ANY, "KMDF: any level"]
    {
        let wanted = k.unique_type(type_info);
        k.wdf_object(handle, |object| {
            let found = object.contexts.iter().find(|context| context.type_info == wanted);
            found.map_or(0, |context| context.memory)
        })
    }

    /// Adds a context of another type.
    fn WdfObjectAllocateContext(k; _globals: u64, handle: u64, attributes: u64, result: u64) -> i32
        [DISPATCH, "Learn, WdfObjectAllocateContext: <= DISPATCH_LEVEL"]
    {
        if k.allocation_fails() {
            return status::INSUFFICIENT_RESOURCES;
        }
        match k.wdf_attributes(attributes, false) {
            Ok(read) if read.type_info != 0 => {
                let known = k.wdf_object(handle, |object| {
                    object.contexts.iter().find(|context| context.type_info == read.type_info).map(|known| known.memory)
                });
                let kind = k.wdf_kind(handle);
                let memory = known.unwrap_or_else(|| k.add_context(handle, &read, kind));
                if result != 0 {
                    k.write(result, memory);
                }
                if known.is_some() { 0x4000_0000 /* STATUS_OBJECT_NAME_EXISTS */ } else { status::SUCCESS }
            }
            Ok(_) => status::WDF_OBJECT_ATTRIBUTES_INVALID,
            Err(error) => error,
        }
    }

    /// The object of a context.
    fn WdfObjectContextGetObject(k; _globals: u64, context: u64) -> u64 [ANY, "KMDF: any level"] {
        k.kmdf.objects.with(|objects| {
            let mut all = objects.map.iter();
            let has = |object: &Object| object.contexts.iter().any(|known| known.memory == context);
            all.find(|(_, object)| has(object)).map_or(0, |(handle, _)| *handle)
        })
    }

    /// One more reference.
    fn WdfObjectReferenceActual(k; _globals: u64, handle: u64, _tag: u64, _line: u32, _file: u64)
        [DISPATCH, "Learn, WdfObjectReference: <= DISPATCH_LEVEL"]
    {
        k.wdf_reference(handle);
    }

    /// One reference less.
    fn WdfObjectDereferenceActual(k; _globals: u64, handle: u64, _tag: u64, _line: u32, _file: u64)
        [DISPATCH, "Learn, WdfObjectDereference: <= DISPATCH_LEVEL"]
    {
        let held = k.wdf_object(handle, |object| object.references > 1 || object.disposed);
        if !held {
            k.wdf_violation("WdfObjectReference", "an object loses a reference that its driver never took");
        }
        k.wdf_dereference(handle);
    }

    /// Makes a general object.
    fn WdfObjectCreate(k; globals: u64, attributes: u64, result: u64) -> i32
        [DISPATCH, "Learn, WdfObjectCreate: <= DISPATCH_LEVEL"]
    {
        if k.allocation_fails() {
            return status::INSUFFICIENT_RESOURCES;
        }
        match k.wdf_attributes(attributes, true) {
            Ok(read) => {
                let parent = if read.parent == 0 { k.wdf_driver(globals) } else { read.parent };
                k.write(result, k.wdf_create(globals, parent, &read, Body::General));
                status::SUCCESS
            }
            Err(error) => error,
        }
    }

    /// Deletes an object that its driver may delete.
    fn WdfObjectDelete(k; _globals: u64, handle: u64) [DISPATCH, "Learn, WdfObjectDelete: <= DISPATCH_LEVEL"] {
        let kind = k.wdf_kind(handle);
        // The framework owns these (Learn, WdfObjectDelete: objects a driver cannot delete).
        if ["WDFDRIVER", "WDFDEVICE", "WDFFILEOBJECT", "WDFCMRESLIST", "WDFINTERRUPT"].contains(&kind) {
            k.wdf_violation("WdfObjectDelete", format!("a driver deletes a {kind}, which belongs to the framework"));
        }
        k.wdf_delete(handle);
    }
}
