//! Decodes a faulting instruction and does what it would have done.

use iced_x86::{Code, Decoder, DecoderOptions, Instruction, Mnemonic, OpKind, Register};

use super::{Trap, shared_page};
use crate::call::{CallFrame, CallKind};
use crate::kernel::Kernel;
use crate::memory::space::Kind;
use crate::stop::{Fault, bugcheck};

/// Virtual nanoseconds a register read and write take: a read waits for the device, a write is posted. Our choice.
const READ_TIME: u64 = 400;
const WRITE_TIME: u64 = 60;

/// What a faulting memory operand means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    /// The shared page, at this offset.
    Shared(u64),
    /// Device registers at this physical address.
    Device(u64),
}

const FLAG_CARRY: u64 = 1;
const FLAG_PARITY: u64 = 1 << 2;
const FLAG_ADJUST: u64 = 1 << 4;
const FLAG_ZERO: u64 = 1 << 6;
const FLAG_SIGN: u64 = 1 << 7;
const FLAG_OVERFLOW: u64 = 1 << 11;

impl Kernel {
    /// Does the instruction when it is one that the machine stands in for; false leaves everything as it was.
    pub(super) fn emulate(&self, trap: &mut Trap<'_>) -> bool {
        let Some(instruction) = self.decode(trap.rip()) else { return false };
        let registers = trap.registers();
        let thread = self.current_thread();
        let frame = CallFrame::new(&thread, CallKind::Trap { registers });
        let _linked = frame.link(&thread);
        self.emulate_cr8(trap, &instruction) || self.emulate_access(trap, &instruction)
    }

    /// The instruction at `rip`, from an image or from the host's own code on behalf of a driver.
    pub(super) fn decode(&self, rip: u64) -> Option<Instruction> {
        const LONGEST: usize = 15;
        let available = match self.memory.space.with_region(rip, |region| region.end().saturating_sub(rip)) {
            Some(available) => (available as usize).min(LONGEST),
            // Host code: the decoder reads at most as many bytes as the instruction that has just been fetched.
            None => LONGEST,
        };
        let bytes = (0..available as u64).map_while(|offset| {
            let same_page = (rip + offset) & !0xFFF == rip & !0xFFF;
            (same_page || self.memory.space.contains(rip)).then(|| self.read::<u8>(rip + offset))
        });
        let bytes: Vec<u8> = bytes.collect();
        let instruction = Decoder::with_ip(64, &bytes, rip, DecoderOptions::NONE).decode();
        (!instruction.is_invalid()).then_some(instruction)
    }

    /// `mov r, cr8` reads the IRQL, `mov cr8, r` sets it (Intel SDM 3, "Task Priority in IA-32e Mode").
    fn emulate_cr8(&self, trap: &mut Trap<'_>, instruction: &Instruction) -> bool {
        let next = instruction.next_ip();
        match (instruction.code(), instruction.op0_register(), instruction.op1_register()) {
            (Code::Mov_r64_cr, to, Register::CR8) => {
                trap.set(to.number(), u64::from(self.irql()));
                trap.set_rip(next);
                true
            }
            (Code::Mov_cr_r64, Register::CR8, from) => {
                let new = (trap.get(from.number()) & 15) as u8;
                self.switch_point();
                if new < self.irql() {
                    self.lower_irql(new);
                } else {
                    self.raise_irql(new);
                }
                trap.set_rip(next);
                true
            }
            _ => false,
        }
    }

    /// CPUID (Intel SDM 2A) as far as the machine's processors have something to say: who they are, in leaves 0, 1 and 0BH.
    /// Everything else is zero. See `loader::cpuid` for how it comes here.
    pub(super) fn emulate_cpuid(&self, trap: &mut Trap<'_>) -> bool {
        const LENGTH: u64 = 2;
        // Their numbers in encodings.
        let [rax, rcx, rdx, rbx] = [0, 1, 2, 3];
        if !self.images().iter().any(|image| image.is_cpuid(trap.rip())) {
            return false;
        }
        let id = self.options.first_apic_id + 2 * self.cpu_number();
        let text = |four: &[u8; 4]| u32::from_le_bytes(*four);
        let [eax, ebx, ecx, edx] = match trap.get(rax) as u32 {
            0 => [0xB, text(b"Host"), text(b"chin"), text(b"edMa")],
            1 => [0, id << 24, 0, 0],
            0xB => [0, 1, trap.get(rcx) as u32 & 0xFF, id],
            _ => [0; 4],
        };
        for (register, value) in [(rax, eax), (rbx, ebx), (rcx, ecx), (rdx, edx)] {
            trap.set(register, value.into());
        }
        trap.set_rip(trap.rip() + LENGTH);
        true
    }

    fn emulate_access(&self, trap: &mut Trap<'_>, instruction: &Instruction) -> bool {
        let Some(operand) = (0..instruction.op_count()).find(|&op| instruction.op_kind(op) == OpKind::Memory)
        else {
            return false;
        };
        let read_register = |register: Register, _, _| {
            Some(if register.is_gpr() { read_register(trap, register) } else { 0 })
        };
        let Some(address) = instruction.virtual_address(operand, 0, read_register) else { return false };
        let width = instruction.memory_size().size() as u8;
        let Some(target) = self.target(address) else { return false };
        if !matches!(width, 1 | 2 | 4 | 8) {
            self.unsupported(instruction, address);
        }
        self.perform(trap, instruction, operand, Access { k: self, target, width });
        trap.set_rip(instruction.next_ip());
        true
    }

    fn target(&self, address: u64) -> Option<Target> {
        if (shared_page::ADDRESS..shared_page::ADDRESS + shared_page::LENGTH).contains(&address) {
            return Some(Target::Shared(address - shared_page::ADDRESS));
        }
        self.memory.space.with_region(address, |region| match region.kind {
            Kind::Mmio(physical)
                if region.freed_by.is_none() && (region.used.0..region.used.1).contains(&address) =>
            {
                Some(Target::Device(physical + (address - region.start)))
            }
            _ => None,
        })?
    }

    fn unsupported(&self, instruction: &Instruction, address: u64) -> ! {
        self.stop(Fault::new("RegisterAccess", bugcheck::KMODE_EXCEPTION_NOT_HANDLED)
            .text(format!("device registers at {address:#x} are accessed with {:?}, which hosted devices do not answer",
                instruction.code()))
            .parameter(address, "the address"));
    }

    /// The instruction, with its memory operand answered by `access`.
    fn perform(&self, trap: &mut Trap<'_>, instruction: &Instruction, operand: u32, access: Access<'_>) {
        let width = access.width;
        let other = if operand == 0 { 1 } else { 0 };
        let other_value = |trap: &Trap<'_>| operand_value(trap, instruction, other) & mask(width);
        let to_memory = operand == 0;
        match instruction.mnemonic() {
            Mnemonic::Mov | Mnemonic::Movnti if to_memory => access.write(other_value(trap)),
            Mnemonic::Mov | Mnemonic::Movzx => {
                let value = access.read();
                write_register(trap, instruction.op0_register(), value);
            }
            Mnemonic::Movsx | Mnemonic::Movsxd => {
                let unused = 64 - u32::from(width) * 8;
                let value = ((access.read() << unused) as i64 >> unused) as u64;
                write_register(trap, instruction.op0_register(), value);
            }
            Mnemonic::Xchg => {
                let value = other_value(trap);
                let old = access.read();
                access.write(value);
                write_register(trap, instruction.op_register(other), old);
            }
            Mnemonic::And | Mnemonic::Or | Mnemonic::Xor | Mnemonic::Add | Mnemonic::Sub => {
                let (memory, value) = (access.read(), other_value(trap));
                let (left, right) = if to_memory { (memory, value) } else { (value, memory) };
                let result = arithmetic(trap, instruction.mnemonic(), left, right, width);
                if to_memory {
                    access.write(result);
                } else {
                    write_register(trap, instruction.op0_register(), result);
                }
            }
            Mnemonic::Cmp | Mnemonic::Test => {
                let (memory, value) = (access.read(), other_value(trap));
                let (left, right) = if to_memory { (memory, value) } else { (value, memory) };
                let as_if =
                    if instruction.mnemonic() == Mnemonic::Cmp { Mnemonic::Sub } else { Mnemonic::And };
                arithmetic(trap, as_if, left, right, width);
            }
            Mnemonic::Bt if instruction.op1_kind() == OpKind::Immediate8 => {
                let bit = instruction.immediate8() as u32 % (u32::from(width) * 8);
                let carry = access.read() >> bit & 1;
                trap.set_flags(trap.flags() & !FLAG_CARRY | carry);
            }
            _ => self.unsupported(instruction, 0),
        }
    }
}

/// A memory operand that is not memory.
#[derive(Clone, Copy)]
struct Access<'a> {
    k: &'a Kernel,
    target: Target,
    width: u8,
}

impl Access<'_> {
    fn read(self) -> u64 {
        let Self { k, target, width } = self;
        match target {
            Target::Shared(offset) => k.shared_page(offset, width),
            Target::Device(physical) => {
                k.switch_point();
                k.pass_time(READ_TIME);
                // Where nothing answers any more the bus returns all ones.
                let value = k
                    .mmio_target(physical)
                    .map_or(u64::MAX, |(device, offset)| device.read(k, offset, width));
                k.record("register read", physical);
                k.switch_point();
                value & mask(width)
            }
        }
    }

    fn write(self, value: u64) {
        let Self { k, target, width } = self;
        match target {
            Target::Shared(offset) => k.stop(
                Fault::new("SharedPage", bugcheck::ATTEMPTED_WRITE_TO_READONLY_MEMORY)
                    .text(format!("the shared user page is written at offset {offset:#x}"))
                    .parameter(shared_page::ADDRESS + offset, "the address"),
            ),
            Target::Device(physical) => {
                k.switch_point();
                k.pass_time(WRITE_TIME);
                if let Some((device, offset)) = k.mmio_target(physical) {
                    device.write(k, offset, width, value);
                }
                k.record("register write", physical);
                k.switch_point();
            }
        }
    }
}

fn mask(width: u8) -> u64 {
    u64::MAX >> (64 - u32::from(width) * 8)
}

fn is_high_byte(register: Register) -> bool {
    matches!(register, Register::AH | Register::CH | Register::DH | Register::BH)
}

fn read_register(trap: &Trap<'_>, register: Register) -> u64 {
    if is_high_byte(register) {
        return trap.get(register.number() - Register::AH.number()) >> 8 & 0xFF;
    }
    trap.get(register.full_register().number()) & mask(register.size() as u8)
}

/// Writes a register the way an instruction does: 32 bits clear the upper half, 8 and 16 leave the rest.
fn write_register(trap: &mut Trap<'_>, register: Register, value: u64) {
    if is_high_byte(register) {
        let number = register.number() - Register::AH.number();
        return trap.set(number, trap.get(number) & !0xFF00 | (value & 0xFF) << 8);
    }
    let number = register.full_register().number();
    let width = register.size() as u8;
    let kept = if width < 4 { trap.get(number) & !mask(width) } else { 0 };
    trap.set(number, kept | value & mask(width));
}

fn operand_value(trap: &Trap<'_>, instruction: &Instruction, operand: u32) -> u64 {
    match instruction.op_kind(operand) {
        OpKind::Register => read_register(trap, instruction.op_register(operand)),
        _ => instruction.immediate(operand),
    }
}

/// Computes and sets the flags as the processor does.
fn arithmetic(trap: &mut Trap<'_>, operation: Mnemonic, left: u64, right: u64, width: u8) -> u64 {
    let (left, right) = (left & mask(width), right & mask(width));
    let sign = 1u64 << (u32::from(width) * 8 - 1);
    let result = mask(width)
        & match operation {
            Mnemonic::And => left & right,
            Mnemonic::Or => left | right,
            Mnemonic::Xor => left ^ right,
            Mnemonic::Add => left.wrapping_add(right),
            _ => left.wrapping_sub(right),
        };
    let (carry, overflow) = match operation {
        Mnemonic::Add => (result < left, (left ^ result) & (right ^ result) & sign != 0),
        Mnemonic::Sub => (left < right, (left ^ right) & (left ^ result) & sign != 0),
        _ => (false, false),
    };
    let adjust = matches!(operation, Mnemonic::Add | Mnemonic::Sub) && (left ^ right ^ result) & 0x10 != 0;
    let mut flags = trap.flags();
    for (flag, set) in [
        (FLAG_CARRY, carry),
        (FLAG_PARITY, (result as u8).count_ones().is_multiple_of(2)),
        (FLAG_ADJUST, adjust),
        (FLAG_ZERO, result == 0),
        (FLAG_SIGN, result & sign != 0),
        (FLAG_OVERFLOW, overflow),
    ] {
        flags = if set { flags | flag } else { flags & !flag };
    }
    trap.set_flags(flags);
    result
}
