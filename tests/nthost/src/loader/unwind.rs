//! Walks the stack of driver code with the unwind data of its image.
//!
//! Format: Learn, "x64 exception handling" (RUNTIME_FUNCTION, UNWIND_INFO, UNWIND_CODE).

use super::Loader;
use super::pe::Reader;
use crate::cpu::Context;
use crate::kernel::Kernel;

/// The registers that matter for a walk.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Registers {
    pub rip: u64,
    /// By their number in instruction encodings; the stack pointer is number 4.
    pub general: [u64; 16],
}

const RSP: usize = 4;

impl Registers {
    /// The caller of a kernel function: its registers were saved before anything was pushed.
    pub(crate) fn of_call(k: &Kernel, context: &Context) -> Self {
        let Context { rsp, rbx, rbp, rsi, rdi, r12, r13, r14, r15 } = *context;
        let general = [0, 0, 0, rbx, rsp + 8, rbp, rsi, rdi, 0, 0, 0, 0, r12, r13, r14, r15];
        Self { rip: k.read(rsp), general }
    }
}

impl Loader {
    /// The registers of the caller, or `None` where the walk cannot go on.
    pub(crate) fn unwind(&self, k: &Kernel, registers: &Registers) -> Option<Registers> {
        let image = self.image_at(registers.rip)?;
        let offset = u32::try_from(registers.rip - image.base).ok()?;
        let r = Reader(&image.headers_and_tables);
        let mut out = *registers;
        if let Some((start, info)) = find_function(r, image.function_table?, offset) {
            apply(k, r, info as usize, offset - start, &mut out)?;
        }
        let rsp = out.general[RSP];
        if !k.current_thread().is_on_stack(rsp) {
            return None;
        }
        out.rip = k.read(rsp);
        out.general[RSP] = rsp + 8;
        Some(out)
    }
}

/// The start and the unwind information of the function that `offset` lies in. A leaf function has none.
fn find_function(r: Reader<'_>, (table, size): (usize, usize), offset: u32) -> Option<(u32, u32)> {
    let entry = |index: usize| {
        let at = table + index * 12;
        Some((r.u32(at, "").ok()?, r.u32(at + 4, "").ok()?, r.u32(at + 8, "").ok()?))
    };
    let (mut low, mut high) = (0, size / 12);
    while low < high {
        let middle = usize::midpoint(low, high);
        let (start, end, info) = entry(middle)?;
        if offset < start {
            high = middle;
        } else if offset >= end {
            low = middle + 1;
        } else {
            return Some((start, info));
        }
    }
    None
}

/// Undoes what the prologue has done up to `position`.
fn apply(k: &Kernel, r: Reader<'_>, info: usize, position: u32, registers: &mut Registers) -> Option<()> {
    let header = r.u32(info, "").ok()?.to_le_bytes();
    let count = usize::from(header[2]);
    let frame = (usize::from(header[3] & 15), u64::from(header[3] >> 4) * 16);
    let slot = |index: usize| r.u16(info + 4 + index * 2, "").ok();
    let mut index = 0;
    while index < count {
        let [at, code] = slot(index)?.to_le_bytes();
        let (operation, operand) = (code & 15, usize::from(code >> 4));
        let slots = match operation {
            0 | 2 | 3 | 10 => 1,
            1 => 2 + usize::from(operand != 0),
            4 | 8 => 2,
            5 | 9 => 3,
            _ => return None,
        };
        if u32::from(at) <= position {
            let short = || slot(index + 1).map(u64::from);
            let long = || Some(u64::from(slot(index + 1)?) | u64::from(slot(index + 2)?) << 16);
            match operation {
                0 => {
                    registers.general[operand] = k.read(registers.general[RSP]);
                    registers.general[RSP] += 8;
                }
                1 => registers.general[RSP] += if operand == 0 { short()? * 8 } else { long()? },
                2 => registers.general[RSP] += operand as u64 * 8 + 8,
                3 => registers.general[RSP] = registers.general[frame.0].wrapping_sub(frame.1),
                4 => registers.general[operand] = k.read(registers.general[RSP] + short()? * 8),
                5 => registers.general[operand] = k.read(registers.general[RSP] + long()?),
                10 => return None,
                _ => {}
            }
        }
        index += slots;
    }
    // UNW_FLAG_CHAININFO: the rest of the prologue is another entry's.
    if header[0] >> 3 & 4 != 0 {
        let chained = info + 4 + count.next_multiple_of(2) * 2;
        return apply(k, r, r.u32(chained + 8, "").ok()? as usize, u32::MAX, registers);
    }
    Some(())
}
