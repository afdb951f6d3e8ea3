//! Values in the framework's object contexts.

use core::cell::UnsafeCell;
use core::ffi::{CStr, c_void};
use core::mem::MaybeUninit;
use core::ptr;
use core::sync::atomic::{AtomicBool, Ordering};

use wdk_sys::{
    _WDF_EXECUTION_LEVEL, _WDF_SYNCHRONIZATION_SCOPE, PFN_WDF_OBJECT_CONTEXT_CLEANUP, ULONG,
    WDF_OBJECT_ATTRIBUTES, WDF_OBJECT_CONTEXT_TYPE_INFO, WDFOBJECT, call_unsafe_wdf_function_binding,
};

use crate::{Result, Status};

/// A type whose values live in object contexts. Implemented by [`wdf_context!`](crate::wdf_context).
pub trait Context: Send + Sync + Sized + 'static {
    /// The type's identity for the framework: always the same static.
    fn info() -> &'static ContextInfo<Self>;
}

/// Makes a type a [`Context`].
#[macro_export]
macro_rules! wdf_context {
    ($type:ty) => {
        impl $crate::wdf::Context for $type {
            fn info() -> &'static $crate::wdf::ContextInfo<Self> {
                static INFO: $crate::wdf::ContextInfo<$type> = $crate::wdf::ContextInfo::new(
                    match ::core::ffi::CStr::from_bytes_with_nul(concat!(stringify!($type), "\0").as_bytes())
                    {
                        Ok(name) => name,
                        Err(_) => c"context",
                    },
                    &INFO,
                );
                &INFO
            }
        }
    };
}

/// A context type's identity for the framework. Made by [`wdf_context!`](crate::wdf_context).
#[repr(transparent)]
pub struct ContextInfo<T> {
    raw: WDF_OBJECT_CONTEXT_TYPE_INFO,
    of: core::marker::PhantomData<fn() -> T>,
}

// SAFETY: read only, from the moment it is made.
unsafe impl<T> Sync for ContextInfo<T> {}

/// What the framework aligns a context to (MEMORY_ALLOCATION_ALIGNMENT on x64, Learn: "Framework object context space").
const CONTEXT_ALIGNMENT: usize = 16;

impl<T> ContextInfo<T> {
    /// The identity of `T`; `this` is the static that holds it.
    #[must_use]
    pub const fn new(name: &'static CStr, this: &'static Self) -> Self {
        const { assert!(align_of::<Slot<T>>() <= CONTEXT_ALIGNMENT, "the framework aligns contexts to 16 bytes") };
        Self {
            raw: WDF_OBJECT_CONTEXT_TYPE_INFO {
                Size: size_of::<WDF_OBJECT_CONTEXT_TYPE_INFO>() as ULONG,
                ContextName: name.as_ptr().cast_mut(),
                ContextSize: size_of::<Slot<T>>(),
                UniqueType: ptr::from_ref(this).cast(),
                EvtDriverGetUniqueContextType: None,
            },
            of: core::marker::PhantomData,
        }
    }
}

/// What stands in the context. The framework zeroes it, which is an empty slot.
pub(super) struct Slot<T> {
    filled: AtomicBool,
    value: UnsafeCell<MaybeUninit<T>>,
}

impl<T> Slot<T> {
    /// The value, once it has been put in.
    pub(super) fn get(&self) -> Option<&T> {
        if !self.filled.load(Ordering::Acquire) {
            return None;
        }
        // SAFETY: after `fill` nobody writes the slot until `empty`, which the framework calls when no one else has it.
        let value = unsafe { &*self.value.get() };
        // SAFETY: `filled` says that the value is there.
        Some(unsafe { value.assume_init_ref() })
    }

    /// Puts the value in.
    ///
    /// # Safety
    /// Called at most once for an object, by its creator, before any callback can look for the value.
    pub(super) unsafe fn fill(&self, value: T) {
        // SAFETY: by the contract nobody else touches the slot.
        unsafe { self.value.get().write(MaybeUninit::new(value)) };
        self.filled.store(true, Ordering::Release);
    }

    /// Drops the value, if there is one.
    ///
    /// # Safety
    /// Nobody holds a reference to the value, and nobody will ask for one.
    unsafe fn empty(&self) {
        if self.filled.swap(false, Ordering::AcqRel) {
            // SAFETY: by the contract nobody else touches the slot.
            let value = unsafe { &mut *self.value.get() };
            // SAFETY: `filled` said that the value is there, and now says that it is not.
            unsafe { value.assume_init_drop() };
        }
    }
}

/// Attributes of an object with a context of type `T`, which is dropped when the object is destroyed.
pub(super) fn attributes<T: Context>(cleanup: PFN_WDF_OBJECT_CONTEXT_CLEANUP) -> WDF_OBJECT_ATTRIBUTES {
    WDF_OBJECT_ATTRIBUTES {
        Size: size_of::<WDF_OBJECT_ATTRIBUTES>() as ULONG,
        EvtCleanupCallback: cleanup,
        EvtDestroyCallback: Some(destroy::<T>),
        ExecutionLevel: _WDF_EXECUTION_LEVEL::WdfExecutionLevelInheritFromParent,
        SynchronizationScope: _WDF_SYNCHRONIZATION_SCOPE::WdfSynchronizationScopeInheritFromParent,
        ContextTypeInfo: &raw const T::info().raw,
        ..WDF_OBJECT_ATTRIBUTES::default()
    }
}

/// Attributes of an object without context whose callbacks come at PASSIVE_LEVEL.
pub(super) fn passive_attributes() -> WDF_OBJECT_ATTRIBUTES {
    WDF_OBJECT_ATTRIBUTES {
        Size: size_of::<WDF_OBJECT_ATTRIBUTES>() as ULONG,
        ExecutionLevel: _WDF_EXECUTION_LEVEL::WdfExecutionLevelPassive,
        SynchronizationScope: _WDF_SYNCHRONIZATION_SCOPE::WdfSynchronizationScopeInheritFromParent,
        ..WDF_OBJECT_ATTRIBUTES::default()
    }
}

/// The slot of `object`.
///
/// # Errors
/// INVALID_HANDLE when the object has no context of this type.
///
/// # Safety
/// `object` is a valid handle for `'a`.
pub(super) unsafe fn slot<'a, T: Context>(object: WDFOBJECT) -> Result<&'a Slot<T>> {
    let info = &raw const T::info().raw;
    // SAFETY: the handle is valid by the contract, and the type is a static.
    let context: *mut c_void =
        unsafe { call_unsafe_wdf_function_binding!(WdfObjectGetTypedContextWorker, object, info) };
    // SAFETY: the framework gives the context of this very type: `attributes` asked for a `Slot<T>`, zeroed, and it lives
    // as long as the object. Null gives an error.
    unsafe { context.cast::<Slot<T>>().as_ref() }.ok_or(Status::INVALID_HANDLE)
}

/// The value in the context of `object`.
///
/// # Errors
/// INVALID_HANDLE when the object has no context of this type, or an empty one.
///
/// # Safety
/// `object` is a valid handle for `'a`, and `'a` ends before the object is destroyed.
pub(super) unsafe fn value<'a, T: Context>(object: WDFOBJECT) -> Result<&'a T> {
    // SAFETY: by the contract.
    unsafe { slot::<T>(object) }?.get().ok_or(Status::INVALID_HANDLE)
}

/// The framework destroys an object: its last reference is gone.
unsafe extern "C" fn destroy<T: Context>(object: WDFOBJECT) {
    // SAFETY: the handle and its context are valid until this callback returns.
    if let Ok(slot) = unsafe { slot::<T>(object) } {
        // SAFETY: no callback of the object runs any more, and references to the value end with the callbacks.
        unsafe { slot.empty() };
    }
}
