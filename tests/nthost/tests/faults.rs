//! What the machine does for instructions that cannot work in a process, and what other faults become.

mod support;

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use nthost::memory::mmio::Mmio;
use nthost::{Kernel, Machine, Stop};
use support::{Code, Folder, Image};

fn execute(code: Code, arguments: &[u64]) -> Result<u64, Box<Stop>> {
    let folder = Folder::default().with("test.sys", &Image::code(code));
    let mut machine = Machine::builder().cpus(1).memory(16 << 20).build().expect("a machine");
    machine.run(|k| call(k, &folder, arguments))
}

fn call(k: &Kernel, folder: &Folder, arguments: &[u64]) -> u64 {
    let id = k.load_image(Path::new("test.sys"), folder).expect("it loads");
    k.call("DriverEntry", k.image(id).entry_point, arguments)
}

#[test]
fn cr8_is_the_irql() {
    // mov eax, 2; mov cr8, rax; mov rdx, cr8; xor eax, eax; mov cr8, rax; mov rax, rdx
    let code = Code::default()
        .mov_eax(2)
        .raw(&[0x44, 0x0F, 0x22, 0xC0])
        .raw(&[0x44, 0x0F, 0x20, 0xC2])
        .raw(&[0x31, 0xC0])
        .raw(&[0x44, 0x0F, 0x22, 0xC0])
        .raw(&[0x48, 0x89, 0xD0])
        .ret();
    assert_eq!(execute(code, &[]).unwrap_or_else(|stop| panic!("{stop}")), 2);
}

#[test]
fn the_shared_page_shows_version_and_time() {
    let read = |address: u64| {
        let code = Code::default().mov_rcx(address).raw(&[0x8B, 0x01]).ret(); // mov eax, [rcx]
        execute(code, &[]).unwrap_or_else(|stop| panic!("{stop}"))
    };
    assert_eq!(read(0xFFFF_F780_0000_026C), 10);
    assert_eq!(read(0xFFFF_F780_0000_0260), 19041);
    assert_eq!(read(0xFFFF_F780_0000_03C0), 1);
}

#[test]
fn a_driver_that_overruns_its_stack_without_a_kernel_call_stops_the_machine() {
    // push rax; jmp to it
    let stop = execute(Code::default().raw(&[0x50, 0xEB, 0xFD]), &[]).expect_err("there is no room");
    assert_eq!((stop.rule.as_ref(), stop.code), ("KernelStack", 0x7F), "{stop}");
    assert_eq!(stop.parameters[0].value, 8, "a double fault: {stop}");
    assert!(stop.stack.iter().any(|frame| frame.symbol.starts_with("test.sys")), "{stop}");
    // The process is none the worse for it.
    assert_eq!(execute(Code::default().mov_eax(7).ret(), &[]).unwrap_or_else(|stop| panic!("{stop}")), 7);
}

#[test]
fn gs_leads_to_the_processor_and_the_current_thread() {
    // mov rax, gs:[0x188]
    let code = Code::default().raw(&[0x65, 0x48, 0x8B, 0x04, 0x25, 0x88, 0x01, 0, 0]).ret();
    let folder = Folder::default().with("test.sys", &Image::code(code));
    let mut machine = Machine::builder().cpus(2).memory(16 << 20).build().expect("a machine");
    machine
        .run(|k| assert_eq!(call(k, &folder, &[]), k.call_export("KeGetCurrentThread", &[])))
        .unwrap_or_else(|stop| panic!("{stop}"));
}

/// Sixty-four bytes of registers, and the accesses made to them.
struct Registers {
    bytes: Mutex<[u8; 64]>,
    accesses: Mutex<Vec<(char, u64, u8)>>,
}

impl Registers {
    fn new() -> Arc<Self> {
        Arc::new(Self { bytes: Mutex::new([0; 64]), accesses: Mutex::default() })
    }

    fn bytes(&self) -> MutexGuard<'_, [u8; 64]> {
        self.bytes.lock().expect("no access panics")
    }

    fn note(&self, kind: char, offset: u64, width: u8) {
        self.accesses.lock().expect("no access panics").push((kind, offset, width));
    }
}

impl Mmio for Registers {
    fn name(&self) -> String {
        "test registers".to_owned()
    }

    fn read(&self, _k: &Kernel, offset: u64, width: u8) -> u64 {
        self.note('r', offset, width);
        let at = offset as usize;
        self.bytes()[at..at + usize::from(width)]
            .iter()
            .rev()
            .fold(0, |value, &byte| value << 8 | u64::from(byte))
    }

    fn write(&self, _k: &Kernel, offset: u64, width: u8, value: u64) {
        self.note('w', offset, width);
        let at = offset as usize;
        self.bytes()[at..at + usize::from(width)].copy_from_slice(&value.to_le_bytes()[..usize::from(width)]);
    }
}

const WINDOW: u64 = 0xF000_0000;

/// The forms of access that are done for a driver: instruction with the registers at [rcx + 8], other operand in rdx.
const FORMS: &[(&str, &[u8])] = &[
    ("mov [rcx+8], dl", &[0x88, 0x51, 8]),
    ("mov [rcx+8], dh", &[0x88, 0x71, 8]),
    ("mov [rcx+8], dx", &[0x66, 0x89, 0x51, 8]),
    ("mov [rcx+8], edx", &[0x89, 0x51, 8]),
    ("mov [rcx+8], rdx", &[0x48, 0x89, 0x51, 8]),
    ("mov byte [rcx+8], 0x81", &[0xC6, 0x41, 8, 0x81]),
    ("mov dword [rcx+8], imm", &[0xC7, 0x41, 8, 0x78, 0x56, 0x34, 0x12]),
    ("mov qword [rcx+8], imm", &[0x48, 0xC7, 0x41, 8, 0x78, 0x56, 0x34, 0xF2]),
    ("mov dl, [rcx+8]", &[0x8A, 0x51, 8]),
    ("mov dh, [rcx+8]", &[0x8A, 0x71, 8]),
    ("mov dx, [rcx+8]", &[0x66, 0x8B, 0x51, 8]),
    ("mov edx, [rcx+8]", &[0x8B, 0x51, 8]),
    ("mov rdx, [rcx+8]", &[0x48, 0x8B, 0x51, 8]),
    ("mov r9d, [rcx+8]; mov edx, r9d", &[0x44, 0x8B, 0x49, 8, 0x44, 0x89, 0xCA]),
    ("movzx edx, byte [rcx+8]", &[0x0F, 0xB6, 0x51, 8]),
    ("movzx edx, word [rcx+8]", &[0x0F, 0xB7, 0x51, 8]),
    ("movsx rdx, byte [rcx+8]", &[0x48, 0x0F, 0xBE, 0x51, 8]),
    ("movsx edx, word [rcx+8]", &[0x0F, 0xBF, 0x51, 8]),
    ("movsxd rdx, dword [rcx+8]", &[0x48, 0x63, 0x51, 8]),
    ("xchg [rcx+8], edx", &[0x87, 0x51, 8]),
    ("xchg [rcx+8], dl", &[0x86, 0x51, 8]),
    ("and [rcx+8], edx", &[0x21, 0x51, 8]),
    ("or [rcx+8], edx", &[0x09, 0x51, 8]),
    ("xor [rcx+8], rdx", &[0x48, 0x31, 0x51, 8]),
    ("and dword [rcx+8], -16", &[0x83, 0x61, 8, 0xF0]),
    ("or byte [rcx+8], 4", &[0x80, 0x49, 8, 4]),
    ("add [rcx+8], edx", &[0x01, 0x51, 8]),
    ("sub [rcx+8], dx", &[0x66, 0x29, 0x51, 8]),
    ("and edx, [rcx+8]", &[0x23, 0x51, 8]),
    ("add rdx, [rcx+8]", &[0x48, 0x03, 0x51, 8]),
    ("sub edx, [rcx+8]", &[0x2B, 0x51, 8]),
    ("cmp [rcx+8], edx", &[0x39, 0x51, 8]),
    ("cmp edx, [rcx+8]", &[0x3B, 0x51, 8]),
    ("cmp byte [rcx+8], 5", &[0x80, 0x79, 8, 5]),
    ("test [rcx+8], edx", &[0x85, 0x51, 8]),
    ("test byte [rcx+8], 0x80", &[0xF6, 0x41, 8, 0x80]),
];

/// The flags an arithmetic instruction defines: carry, parity, zero, sign, overflow. (The auxiliary carry is undefined
/// after logic, so it is left out.)
const FLAGS: u64 = 0x8C5;

#[test]
fn a_trapped_access_does_what_the_processor_does_with_memory() {
    let patterns = [
        0,
        1,
        5,
        0x80,
        0xFF,
        0x8000,
        0x7FFF_FFFF,
        0x8000_0000,
        u64::MAX,
        0x8000_0000_0000_0000,
        0x1122_3344_8566_77F8,
    ];
    let registers = Registers::new();
    let mut machine = Machine::builder().cpus(1).memory(16 << 20).build().expect("a machine");
    machine
        .run(|k| {
            k.map_mmio(WINDOW, 64, Arc::<Registers>::clone(&registers));
            let device = k.call_export("MmMapIoSpaceEx", &[WINDOW, 64, 0x204]);
            let memory = k.system_allocate(64, "plain memory");
            let result = k.system_allocate(16, "result");
            for (number, (name, form)) in FORMS.iter().enumerate() {
                // The form; then flags and rdx are stored where r8 points.
                let code = Code::default()
                    .raw(form)
                    .raw(&[0x9C, 0x41, 0x8F, 0x00])
                    .raw(&[0x49, 0x89, 0x50, 0x08])
                    .ret();
                let file = format!("form{number}.sys");
                let folder = Folder::default().with(&file, &Image::code(code));
                let id = k.load_image(Path::new(&file), &folder).expect("it loads");
                for there in patterns {
                    for operand in patterns {
                        let outcome = |address: u64| {
                            k.call("form", k.image(id).entry_point, &[address, operand, result]);
                            (k.read::<u64>(result) & FLAGS, k.read::<u64>(result + 8))
                        };
                        k.write(memory + 8, there);
                        let expected = outcome(memory);
                        registers.bytes()[8..16].copy_from_slice(&there.to_le_bytes());
                        let found = outcome(device);
                        let case = format!("{name} with {there:#x} there and {operand:#x} in rdx");
                        // mov leaves the flags as they came in, which is not part of the case.
                        if name.starts_with("mov") || name.starts_with("xchg") {
                            assert_eq!(found.1, expected.1, "{case}");
                        } else {
                            assert_eq!(found, expected, "{case}");
                        }
                        let there_now =
                            u64::from_le_bytes(registers.bytes()[8..16].try_into().expect("eight bytes"));
                        assert_eq!(there_now, k.read::<u64>(memory + 8), "{case}");
                    }
                }
                k.unload_image(id).expect("it leaves");
            }
            k.call_export("MmUnmapIoSpace", &[device, 64]);
        })
        .unwrap_or_else(|stop| panic!("{stop}"));
}

#[test]
fn an_access_reaches_the_device_once_with_its_offset_and_width() {
    let registers = Registers::new();
    let code = Code::default().raw(&[0x66, 0x8B, 0x51, 8]).raw(&[0x48, 0x89, 0x51, 0x20]).ret(); // mov dx,[rcx+8]; mov [rcx+32],rdx
    let folder = Folder::default().with("test.sys", &Image::code(code));
    let mut machine = Machine::builder().cpus(1).memory(16 << 20).build().expect("a machine");
    machine
        .run(|k| {
            k.map_mmio(WINDOW, 64, Arc::<Registers>::clone(&registers));
            let device = k.call_export("MmMapIoSpaceEx", &[WINDOW, 64, 0x204]);
            call(k, &folder, &[device]);
        })
        .unwrap_or_else(|stop| panic!("{stop}"));
    assert_eq!(*registers.accesses.lock().expect("no access panics"), [('r', 8, 2), ('w', 32, 8)]);
}

#[test]
fn a_device_that_is_gone_reads_as_ones() {
    let code = Code::default().raw(&[0x89, 0x51, 8]).raw(&[0x8B, 0x41, 8]).ret(); // mov [rcx+8], edx; mov eax, [rcx+8]
    let folder = Folder::default().with("test.sys", &Image::code(code));
    let mut machine = Machine::builder().cpus(1).memory(16 << 20).build().expect("a machine");
    let value = machine
        .run(|k| {
            k.map_mmio(WINDOW, 64, Registers::new());
            let device = k.call_export("MmMapIoSpaceEx", &[WINDOW, 64, 0x204]);
            k.unmap_mmio(WINDOW);
            call(k, &folder, &[device])
        })
        .unwrap_or_else(|stop| panic!("{stop}"));
    assert_eq!(value, 0xFFFF_FFFF);
}

#[test]
fn registers_used_after_they_were_unmapped_stop_the_machine() {
    let code = Code::default().raw(&[0x8B, 0x01]).ret(); // mov eax, [rcx]
    let folder = Folder::default().with("test.sys", &Image::code(code));
    let mut machine = Machine::builder().cpus(1).memory(16 << 20).build().expect("a machine");
    let stop = machine
        .run(|k| {
            k.map_mmio(WINDOW, 64, Registers::new());
            let device = k.call_export("MmMapIoSpaceEx", &[WINDOW, 64, 0x204]);
            k.call_export("MmUnmapIoSpace", &[device, 64]);
            call(k, &folder, &[device]);
        })
        .expect_err("a stop");
    assert!(stop.text.contains("device registers"), "{stop}");
    assert_eq!(stop.stack[0].symbol, "test.sys+0x1000", "{stop}");
}

#[test]
fn exceptions_of_driver_code_are_told_apart() {
    let stop = |code: Code| execute(code, &[]).expect_err("a stop");
    let divide = Code::default().raw(&[0x31, 0xC9, 0x31, 0xD2, 0xF7, 0xF1]).ret(); // xor ecx,ecx; xor edx,edx; div ecx
    assert_eq!(stop(divide).parameters[0].value, 0xC000_0094);
    assert_eq!(stop(Code::default().raw(&[0x0F, 0x0B])).parameters[0].value, 0xC000_001D); // ud2
    assert_eq!(stop(Code::default().raw(&[0xCC])).parameters[0].value, 0x8000_0003); // int3
    assert_eq!(stop(Code::default().mov_ecx(5).raw(&[0xCD, 0x29])).name, "KERNEL_SECURITY_CHECK_FAILURE");
    assert_eq!(stop(Code::default().raw(&[0xF4])).parameters[0].value, 0xC000_0096); // hlt
}

#[test]
fn a_null_pointer_read_by_a_driver_is_told_with_its_place() {
    let code = Code::default().raw(&[0x31, 0xC9, 0x8B, 0x41, 0x10]).ret(); // xor ecx, ecx; mov eax, [rcx+16]
    let stop = execute(code, &[]).expect_err("a stop");
    assert_eq!(stop.name, "PAGE_FAULT_IN_NONPAGED_AREA", "{stop}");
    assert!(stop.text.contains("near null"), "{stop}");
    assert_eq!(stop.stack[0].symbol, "test.sys+0x1002");
}

#[test]
fn a_device_step_happens_between_two_accesses_of_a_driver() {
    /// Counts its steps.
    struct Counter(AtomicU32);
    impl nthost::Device for Counter {
        fn step(&self, _k: &Kernel) -> nthost::pci::Progress {
            if self.0.fetch_add(1, Ordering::Relaxed) < 2 {
                nthost::pci::Progress::Worked
            } else {
                nthost::pci::Progress::Idle
            }
        }
    }
    let counter = Arc::new(Counter(AtomicU32::new(0)));
    let mut machine = Machine::builder().cpus(1).memory(16 << 20).build().expect("a machine");
    machine
        .run(|k| {
            k.attach_device(Arc::<Counter>::clone(&counter));
            k.call_export("KeStallExecutionProcessor", &[10]);
        })
        .expect("no stop");
    assert_eq!(counter.0.load(Ordering::Relaxed), 3);
}
