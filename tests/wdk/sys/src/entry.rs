//! What Microsoft's `WdfDriverEntry.lib` does: the image's entry point binds the driver to KMDF, then calls its
//! `DriverEntry`.

use core::cell::UnsafeCell;
use core::ptr;

use crate::constants::STATUS_SUCCESS;
use crate::types::*;
use crate::{NT_SUCCESS, WdfDriverGlobals, WdfFunctions};

#[link(name = "WDFLDR.SYS", kind = "raw-dylib", modifiers = "+verbatim")]
unsafe extern "C" {
    fn WdfVersionBind(
        driver: PDRIVER_OBJECT,
        registry_path: PUNICODE_STRING,
        bind_info: *mut BindInfo,
        globals: *mut PWDF_DRIVER_GLOBALS,
    ) -> NTSTATUS;
    fn WdfVersionUnbind(
        registry_path: PUNICODE_STRING,
        bind_info: *mut BindInfo,
        globals: PWDF_DRIVER_GLOBALS,
    ) -> NTSTATUS;
}

unsafe extern "C" {
    /// The driver's own.
    fn DriverEntry(driver: PDRIVER_OBJECT, registry_path: PUNICODE_STRING) -> NTSTATUS;
}

/// `WDF_BIND_INFO` of wdfldr.h, 0x30 bytes.
#[repr(C)]
struct BindInfo {
    size: ULONG,
    component: *const WCHAR,
    major: ULONG,
    minor: ULONG,
    build: ULONG,
    function_count: ULONG,
    function_table: *mut *const WDFFUNC,
    module: PVOID,
}

const _: () = assert!(size_of::<BindInfo>() == 0x30);

/// The longest registry path that is kept, in UTF-16 units: a service key is
/// `\Registry\Machine\System\CurrentControlSet\Services\<name>`. Our choice: twice the longest path of the object
/// manager's classic limit.
const PATH_UNITS: usize = 520;

/// "KmdfLibrary" and its terminator.
static COMPONENT: [WCHAR; 12] = {
    let text = b"KmdfLibrary\0";
    let mut wide = [0; 12];
    let mut index = 0;
    while index < wide.len() {
        wide[index] = text[index] as WCHAR;
        index += 1;
    }
    wide
};

/// What binding and unbinding share.
struct Binding {
    info: UnsafeCell<BindInfo>,
    path: UnsafeCell<UNICODE_STRING>,
    path_units: UnsafeCell<[WCHAR; PATH_UNITS]>,
    displaced_unload: UnsafeCell<PDRIVER_UNLOAD>,
}

// SAFETY: the system calls an image's entry point once and its unload routine once, afterwards: no two accesses
// overlap.
unsafe impl Sync for Binding {}

static BINDING: Binding = Binding {
    info: UnsafeCell::new(BindInfo {
        size: size_of::<BindInfo>() as ULONG,
        component: COMPONENT.as_ptr(),
        major: 1,
        minor: 15,
        build: 0,
        function_count: crate::_WDFFUNCENUM::WdfFunctionTableNumEntries as ULONG,
        function_table: &raw mut WdfFunctions,
        module: ptr::null_mut(),
    }),
    path: UnsafeCell::new(UNICODE_STRING { Length: 0, MaximumLength: 0, Buffer: ptr::null_mut() }),
    path_units: UnsafeCell::new([0; PATH_UNITS]),
    displaced_unload: UnsafeCell::new(None),
};

// The image's entry point. An assembly symbol, because a function that the linker can name would also be exported.
core::arch::global_asm!(".globl FxDriverEntry", "FxDriverEntry:", "jmp {entry}", entry = sym entry);

/// Binds, starts, and unbinds again when the driver refuses.
unsafe extern "C" fn entry(driver: PDRIVER_OBJECT, registry_path: PUNICODE_STRING) -> NTSTATUS {
    if driver.is_null() {
        // SAFETY: without a driver object there is nothing to bind; the driver gets what the caller gave.
        return unsafe { DriverEntry(driver, registry_path) };
    }
    // SAFETY: the system passes its own, complete registry path.
    unsafe { keep_path(registry_path) };
    // SAFETY: all pointers are to this image's statics or the system's driver object, and stay valid until unbound.
    let status =
        unsafe { WdfVersionBind(driver, BINDING.path.get(), BINDING.info.get(), &raw mut WdfDriverGlobals) };
    if !NT_SUCCESS(status) {
        return status;
    }
    // SAFETY: as `entry`'s own caller promises.
    let status = unsafe { DriverEntry(driver, registry_path) };
    if !NT_SUCCESS(status) {
        // SAFETY: bound above; the driver did not start and calls nothing any more.
        unsafe { unbind() };
        return status;
    }
    // SAFETY: bound, so the loader has stored the globals.
    let globals = unsafe { WdfDriverGlobals };
    // SAFETY: they live until the driver is unbound.
    let displace = unsafe { (*globals).DisplaceDriverUnload } != 0;
    // SAFETY: the driver object is the system's and outlives the driver.
    let unload = unsafe { (*driver).DriverUnload };
    if displace && unload.is_some() {
        // SAFETY: nothing else runs in this image's entry code, see `Binding`.
        unsafe { *BINDING.displaced_unload.get() = unload };
        // SAFETY: the field is the driver's to set while it starts.
        unsafe { (*driver).DriverUnload = Some(unload_and_unbind) };
    }
    STATUS_SUCCESS
}

/// The displaced unload routine, then the unbinding.
unsafe extern "C" fn unload_and_unbind(driver: PDRIVER_OBJECT) {
    // SAFETY: written once, before the system could call this.
    if let Some(unload) = unsafe { *BINDING.displaced_unload.get() } {
        // SAFETY: the driver's own routine, called as the system would have called it.
        unsafe { unload(driver) };
    }
    // SAFETY: the driver has ended.
    unsafe { unbind() };
}

unsafe fn unbind() {
    // SAFETY: the loader stored them when it bound the driver.
    let globals = unsafe { WdfDriverGlobals };
    // SAFETY: the same arguments as at binding. Its status only says that nothing was bound.
    let _ = unsafe { WdfVersionUnbind(BINDING.path.get(), BINDING.info.get(), globals) };
}

/// Copies the registry path, cut at [`PATH_UNITS`], into this image.
unsafe fn keep_path(registry_path: PUNICODE_STRING) {
    if registry_path.is_null() {
        return;
    }
    // SAFETY: not null, and the system's.
    let given = unsafe { *registry_path };
    let bytes = usize::from(given.Length).min((PATH_UNITS - 1) * size_of::<WCHAR>());
    let units: *mut WCHAR = BINDING.path_units.get().cast();
    if !given.Buffer.is_null() {
        // SAFETY: `bytes` is within both buffers, which are distinct.
        unsafe { ptr::copy_nonoverlapping(given.Buffer.cast::<u8>(), units.cast::<u8>(), bytes) };
    }
    let path = UNICODE_STRING {
        Length: bytes as USHORT,
        MaximumLength: (PATH_UNITS * size_of::<WCHAR>()) as USHORT,
        Buffer: units,
    };
    // SAFETY: nothing else runs in this image's entry code, see `Binding`.
    unsafe { *BINDING.path.get() = path };
}
